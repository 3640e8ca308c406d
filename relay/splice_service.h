/* SPDX-License-Identifier: MIT */
#pragma once

/* The relay's side of spliced paths: joins two connections of TCP between peers that have a
 * circuit.
 *
 *   source                       relay                              destination
 *     │ ASK, peer ─────────────▶ READING   a circuit between them?
 *     │                          OPENING   a stream, over a connection that stands
 *     │                          ASKING    two tokens; OFFER, one of them ─▶ │
 *     │                                    ◀───────────────────── STATUS OK ─ │
 *     │ ◀─ STATUS OK, the other  WAITING
 *     │ ════ magic, token ═════▶           ◀═══════════════ magic, token ════ │
 *     │ ◀══════════════════════▶ JOINED    uring/splice.h ◀══════════════════▶ │
 *     │ its stream's end ──────▶ ENDING    what is on its way ──────────────▶ │
 *
 * Both streams stay open, and with them the path.  When a peer ends its own, or its connection to
 * us, the legs go on until they end by themselves, so that a slow reader gets the rest; but no
 * longer than relay/proto/splice_linger.h lets them.  All is reset at once when a peer is dead,
 * breaks the rules or loses its right here, when either leg breaks, at the limits that a circuit
 * has, and when the service closes.  The circuit it was made beside must stand until it is joined,
 * and is not needed any longer.
 *
 * A path is charged to the ledger as one more circuit, from when it is joined to its real end.
 *
 * Spec:    docs/adr/0013-spliced-relay-path.md
 * Limits:  SPLICE_HALF_OPEN_MAX paths that are not joined, from their stream's beginning on, asked
 *          for or not, of which one source has SPLICE_HALF_OPEN_PER_PEER_MAX; more are reset with
 *          RESOURCE_LIMIT.  Tokens and legs:
 *          relay/proto/splice_book.h, transport/tcp_leg.h.
 * Memory:  2 KiB a path, and two pipes in the kernel once it is joined (uring/splice.h).
 * Life:    splice_service_new() .. splice_service_close() .. closed() .. splice_service_free(), all
 *          while the host lives.
 * Thread:  the reactor's.
 */

#include "core/base/time.h"
#include "relay/circuit_pump.h"
#include "relay/proto/hop_book.h"
#include "relay/proto/splice_book.h"

struct host;
struct log;
struct splice_service;

enum {
    SPLICE_HALF_OPEN_MAX = 64,
    SPLICE_HALF_OPEN_PER_PEER_MAX = 4,
};

#define SPLICE_MESSAGE_TIMEOUT SEC(10) /* until the source has asked */
#define SPLICE_OPEN_TIMEOUT    SEC(10) /* of the destination's stream */

/* What the service asks about circuits: whoever serves them. */
struct splice_circuits {
    /* The number of one that stands between the two, in this direction; 0: there is none. */
    uint64_t (*find)(void *user, const struct peer_id *source, const struct peer_id *destination);
    bool (*stands)(void *user, uint64_t number);
    void *user;
};

struct splice_service_config {
    struct reactor *reactor;
    struct host *host;
    struct log *log;       /* may be NULL */
    struct hop_book *book; /* the ledger; outlives the service */
    struct splice_circuits circuits;
    uint64_t data_max;   /* each way; 0: without limit */
    nsec_t duration_max; /* 0: without limit */
};

struct splice_service_stats {
    uint32_t standing;
    uint32_t half_open;
    uint64_t joined;   /* since the start */
    uint64_t failed;   /* whose stream was let in, and that were not joined */
    uint64_t refused;  /* streams, at the limits of half-open ones or without memory */
    uint64_t unwanted; /* legs without a good token */
    struct circuit_totals bytes;
};

/* Registers with the host and its TCP transport.
 *   -EEXIST  the host has the protocol already
 *   -ENOMEM */
NODISCARD int splice_service_new(const struct splice_service_config *cfg,
                                 struct splice_service **ret_service);
/* Ends all paths, and lets no leg in any more.  closed() comes at the end of a turn. */
void splice_service_close(struct splice_service *s, void (*closed)(void *user), void *user);
/* Accepts NULL, returns NULL. */
struct splice_service *splice_service_free(struct splice_service *s);

const struct splice_service_stats *splice_service_stats(const struct splice_service *s);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The server of circuit relay v2: peers reserve, others are connected to them.
 *
 *   RESERVE   a reservation in the ledger (relay/proto/hop_book.h), and one answer
 *   CONNECT   a stop stream to the destination, over a direct connection that stands; when it has
 *             agreed, a circuit (relay/circuit_pump.h) until one of the two ends it.  Two peers of
 *             ours may then have a spliced path beside it (relay/splice_service.h)
 *
 * A reservation ends when it expires, and when the last connection to its peer closes: also when
 * that is because the peer is no longer authorized.  A circuit outlives it, and ends with its
 * streams.
 *
 * Spec:    libp2p relay-v2; decisions 1 (who may use it), 2 (limits are told also when they are
 *          zero), 7 (limits by address).
 * Limits:  HOP_HALF_OPEN_MAX streams between their first byte and their answer or circuit, of which
 *          one peer has HOP_HALF_OPEN_PER_PEER_MAX; more are reset with RESOURCE_LIMIT.  Circuits
 *          are bounded by the ledger.
 * Memory:  some 6 KiB a half-open stream, 2 KiB a circuit and what its pump and streams hold.
 * Life:    hop_service_new() .. hop_service_close() .. closed() .. hop_service_free(), all while
 *          the host lives.
 * Thread:  the reactor's.
 */

#include "core/base/time.h"
#include "core/p2p/multiaddr.h"
#include "relay/circuit_pump.h"
#include "relay/proto/circuit_msg.h"
#include "relay/splice_service.h"

struct hop_service;
struct host;
struct log;

enum {
    HOP_HALF_OPEN_MAX = 256, /* go's limits */
    HOP_HALF_OPEN_PER_PEER_MAX = 64,
    HOP_ADDRS_MAX = 16, /* in a reservation */
};

#define HOP_MESSAGE_TIMEOUT SEC(60) /* until a peer has said what it wants */
#define HOP_OPEN_TIMEOUT    SEC(30) /* of the stop stream */
#define HOP_STOP_TIMEOUT    SEC(60) /* until the destination has answered */

/* What a stream wanted. */
enum hop_request { HOP_REQUEST_RESERVE, HOP_REQUEST_CONNECT, HOP_REQUEST_UNKNOWN, HOP_REQUESTS };

struct hop_answer {
    const struct peer_id *peer;
    enum hop_request request;
    const struct peer_id *destination; /* of a CONNECT that names one; else NULL */
    enum circuit_status status;
    bool is_renewal; /* of a reservation that was held */
};

/* Who wants to know what is answered; any of these may be NULL.  They come from the reactor, and
 * what they point to is valid during the call. */
struct hop_events {
    void (*answered)(void *user, const struct hop_answer *a);
    /* Of a circuit that was answered with OK; `error` as circuit_pump_config.closed() has it. */
    void (*circuit_ended)(void *user, const struct peer_id *source,
                          const struct peer_id *destination, int error);
};

struct hop_service_config {
    struct reactor *reactor;
    struct host *host;
    struct log *log; /* may be NULL */
    /* As for struct hop_book; none of these may be 0 (asserted). */
    uint32_t reservations_max;
    uint32_t reservations_per_ip;
    uint32_t reservations_per_asn;
    uint32_t circuits_per_peer_max;
    nsec_t reservation_ttl;  /* a second at least (asserted) */
    nsec_t circuit_duration; /* 0: without limit */
    uint64_t circuit_bytes;  /* each way; 0: without limit */
    bool splices; /* offers spliced paths (relay/splice_service.h) to those with a circuit */
    /* There is no gate, and strangers reserve: the limits by address bind. */
    bool is_open;
    /* Where we are, besides what the host knows; copied, at most HOP_ADDRS_MAX.  Without or with
     * our /p2p behind it. */
    const struct multiaddr *announce;
    size_t announce_count;
    /* Reservations list addresses that are not public, too. */
    bool announces_private;
    const struct hop_events *events; /* NULL: none; outlives the service */
    void *user;
};

/* The statuses that there are, in this order in the counters below. */
enum { HOP_STATUSES = 8 };
extern const enum circuit_status hop_statuses[HOP_STATUSES];

struct hop_service_stats {
    uint32_t reservations;
    uint32_t circuits;
    uint32_t half_open;
    uint64_t answers[HOP_REQUESTS][HOP_STATUSES];
    uint64_t unanswered;         /* half-open ones whose peer went away, or said nothing in time */
    uint64_t refused;            /* at the limits of half-open ones */
    struct circuit_totals bytes; /* of both kinds */
    struct splice_service_stats spliced;
};

/* Registers with the host.
 *   -EEXIST  there is such a service already, or one of spliced paths
 *   -ENOMEM */
NODISCARD int hop_service_new(const struct hop_service_config *cfg,
                              struct hop_service **ret_service);
/* Whoever waits for an answer gets PERMISSION_DENIED, circuits are reset, and nobody is let in any
 * more. */
void hop_service_close(struct hop_service *s, void (*closed)(void *user), void *user);
/* Accepts NULL, returns NULL. */
struct hop_service *hop_service_free(struct hop_service *s);

void hop_service_stats(const struct hop_service *s, struct hop_service_stats *ret_stats);

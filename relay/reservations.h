/* SPDX-License-Identifier: MIT */
#pragma once

/* Keeps a reservation on each of our relays, so that peers who cannot reach us directly can through
 * them.  The driver of relay/proto/reserver.h, one engine a relay.
 *
 *   reservations_new()   connects to all of them and asks
 *   held                 their circuit addresses are announced: where the relay says that it is,
 *                        and where we reached it
 *
 * To the host it is also a source of addresses: each peer may be behind any of these relays.
 * Thread: the reactor's. */

#include "core/base/time.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"
#include "relay/proto/circuit_msg.h"

struct circuit_transport;
struct host;
struct log;
struct problem;
struct reactor;
struct reservations;

enum { RESERVATIONS_MAX = 16 };

struct reservations_config {
    struct reactor *reactor;
    struct host *host;                 /* outlives this */
    struct circuit_transport *circuit; /* the host's */
    struct log *log;                   /* may be NULL */
    /* With /p2p/<relay>; several of one relay are ways to it. */
    const struct multiaddr *relays;
    size_t relays_count;
    nsec_t renew_interval; /* at the latest; NSEC_NEVER: as the relay's lifetime demands */
    bool reserves;         /* false: relays are used to reach others, and we are not reached */
};

/* -ENOMEM; -EINVAL with the sentence: an address without /p2p, more than RESERVATIONS_MAX relays */
NODISCARD int reservations_new(const struct reservations_config *cfg, struct problem *ret_problem,
                               struct reservations **ret_reservations);
/* Ends at once; relays forget the reservations by themselves.  Accepts NULL, returns NULL. */
struct reservations *reservations_free(struct reservations *r);

/* Our addresses changed: all relays are asked anew. */
void reservations_network_changed(struct reservations *r);

/* A reservation that a relay granted. */
struct reservation_grant {
    nsec_t at;         /* 0: it never did */
    walltime_t expire; /* by the relay's clock */
    bool has_voucher;  /* a good one */
    bool has_limit;    /* a Limit message for the circuits to us was present */
    struct circuit_limit limit;
};

/* Pointers are valid during the call. */
struct reservation_info {
    struct peer_id relay;
    bool held;
    struct reservation_grant last;
    int error;                    /* of the last attempt; 0: it was granted, or there was none */
    uint32_t status;              /* of the answer that refused it; 0: there was none */
    const struct multiaddr *told; /* where the relay says that it is, without /p2p */
    size_t told_count;
    const struct multiaddr *addrs; /* announced of it, without /p2p */
    size_t addrs_count;
};
void reservations_each(const struct reservations *r,
                       void (*each)(void *user, const struct reservation_info *info), void *user);

/* SPDX-License-Identifier: MIT */
#pragma once

/* AutoNAT v2's server: dials addresses back for peers that ask (relay/proto/autonat_server.h), by a
 * stranger (relay/stranger.h).
 *
 * Served are authorized peers, on direct connections: what a relayed one would ask for is refused.
 *
 * Bounds:  the engine's limits of requests; AUTONAT_SERVICE_STREAMS_MAX streams at once, beyond
 *          which they are reset.
 * Spec:    libp2p AutoNAT v2; decision 1.
 * Thread:  the reactor's. */

#include "relay/proto/autonat_server.h"

struct autonat_service;
struct host;
struct log;
struct netwatch;
struct reactor;
struct stranger;

enum { AUTONAT_SERVICE_STREAMS_MAX = 64 };

/* How a request ended, whether or not the peer waited for the answer. */
struct autonat_served {
    const struct peer_id *peer;
    const struct multiaddr *addr; /* that was dialled; NULL: none was */
    bool is_reached;
    bool has_data; /* the peer paid for it */
};

struct autonat_service_config {
    struct reactor *reactor;
    struct host *host;         /* outlives this */
    struct stranger *stranger; /* outlives this */
    struct log *log;           /* may be NULL */
    /* Outlives this; addresses of a family in which this machine has none are not dialled.  NULL:
     * all are. */
    const struct netwatch *netwatch;
    bool accept_private; /* for labs */
    /* May be NULL; what it starts happens later. */
    void (*served)(void *user, const struct autonat_served *what);
    void *user;
};

/* -ENOMEM; -EEXIST: somebody serves the protocol on this host */
NODISCARD int autonat_service_new(const struct autonat_service_config *cfg,
                                  struct autonat_service **ret_service);
/* Resets what runs.  Accepts NULL, returns NULL. */
struct autonat_service *autonat_service_free(struct autonat_service *s);

struct autonat_service_stats {
    uint64_t reached;
    uint64_t unreached;
    uint64_t refused; /* no address to dial, too many requests, or streams beyond the limit */
    uint64_t failed;  /* the peer broke the rules, went or took too long; or no verdict */
};
const struct autonat_service_stats *autonat_service_stats(const struct autonat_service *s);

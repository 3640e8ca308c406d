/* SPDX-License-Identifier: MIT */
#pragma once

/* AutoNAT v1's server (relay/proto/autonat_v1_server.h), for peers that know nothing newer: dials
 * back by a stranger, at the IP address at which the peer is seen.
 *
 * For hosts that others can reach: a server behind a NAT would take what its NAT does for what the
 * peer's does.  Served are authorized peers.
 *
 * Bounds:  the engine's limits of streams, whether or not a request comes; AUTONAT_V1_STREAMS_MAX
 *          streams at once, beyond which they are reset.
 * Spec:    libp2p AutoNAT v1; decision 1.
 * Thread:  the reactor's.
 */

#include "core/base/base.h"

struct autonat_v1_service;
struct host;
struct log;
struct reactor;
struct stranger;

enum { AUTONAT_V1_STREAMS_MAX = 32 };

struct autonat_v1_service_config {
    struct reactor *reactor;
    struct host *host;         /* outlives this */
    struct stranger *stranger; /* outlives this */
    struct log *log;           /* may be NULL */
    bool accept_private;       /* for labs */
};

/* -ENOMEM; -EEXIST: somebody serves the protocol on this host */
NODISCARD int autonat_v1_service_new(const struct autonat_v1_service_config *cfg,
                                     struct autonat_v1_service **ret_service);
/* Resets what runs.  Accepts NULL, returns NULL. */
struct autonat_v1_service *autonat_v1_service_free(struct autonat_v1_service *s);

struct autonat_v1_service_stats {
    uint64_t reached;
    uint64_t unreached;
    uint64_t refused; /* nothing to dial, too many requests, or streams beyond the limit */
    uint64_t failed;  /* the peer broke the rules, went or took too long */
};
const struct autonat_v1_service_stats *autonat_v1_service_stats(const struct autonat_v1_service *s);

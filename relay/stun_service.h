/* SPDX-License-Identifier: MIT */
#pragma once

/* The STUN server: tells whoever asks from which address it was asked, on each QUIC port of the
 * host and on a second one beside it.  Two ports of one host show a client that its NAT's mapping
 * depends on the port; each answer names the other one.
 *
 * The second port is the next one, so that a firewall can be told of it beforehand; where that is
 * taken, any.  Where none can be had, or for the QUIC ports beyond STUN_SERVICE_SECONDS_MAX, the
 * QUIC port alone answers.
 *
 * Bounds:  the engine's, for all ports together (relay/proto/stun_server.h); an answer that there
 *          is no place for is as good as lost.
 * Spec:    decision 10.
 * Thread:  the reactor's. */

#include "core/base/base.h"
#include "core/base/net_addr.h"

struct host;
struct log;
struct reactor;
struct stun_service;

enum {
    STUN_SERVICE_SECONDS_MAX = 4,
    STUN_SERVICE_SENDS_MAX = 16, /* of a second port, in flight */
};

struct stun_service_config {
    struct reactor *reactor;
    struct host *host; /* outlives this */
    struct log *log;   /* may be NULL */
};

/* -ENOMEM */
NODISCARD int stun_service_new(const struct stun_service_config *cfg,
                               struct stun_service **ret_service);

/* Nothing is answered any more; ends in `closed`, in a later turn, after which it may be freed. */
void stun_service_close(struct stun_service *s, void (*closed)(void *user), void *user);
/* Accepts NULL, returns NULL. */
struct stun_service *stun_service_free(struct stun_service *s);

/* The second ports as bound.  Returns how many are written. */
size_t stun_service_seconds(const struct stun_service *s,
                            struct net_addr ret_addrs[STUN_SERVICE_SECONDS_MAX]);

struct stun_service_stats {
    uint64_t answered;
    uint64_t ignored; /* no requests, or too many */
    uint64_t dropped; /* answers that there was no place for */
};
const struct stun_service_stats *stun_service_stats(const struct stun_service *s);

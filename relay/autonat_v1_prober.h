/* SPDX-License-Identifier: MIT */
#pragma once

/* AutoNAT's client, v1: one verdict for all addresses of a family, from connected peers that serve
 * v1 and nothing newer (relay/proto/autonat_v1.h).
 *
 * A server dials the IP address at which it sees us, so what it says is of the family of the
 * connection that it was asked over.  A verdict stands as long as somebody is there who could say
 * otherwise: who goes behind a lie takes it along.
 *
 * Spec:    libp2p AutoNAT v1, "Client (go)".
 * Bounds:  one question at a time; AUTONAT_V1_SERVERS_MAX servers are known.
 * Thread:  the reactor's. */

#include "core/base/net_addr.h"
#include "relay/proto/autonat_v1.h"

struct autonat_v1_prober;
struct host;
struct log;
struct reactor;

enum { AUTONAT_V1_SERVERS_MAX = 16 };

struct autonat_v1_prober_config {
    struct reactor *reactor;
    struct host *host; /* outlives this, and has no connection yet */
    struct log *log;   /* may be NULL */
    /* Those of our addresses that the host does not advertise.  Returns how many are written, at
     * most `max`.  May be NULL: none. */
    size_t (*more_addrs)(void *user, struct multiaddr *out, size_t max);
    /* The verdict is another one, or confirmed; what it starts happens later.  May be NULL. */
    void (*changed)(void *user);
    void *user;
    bool accept_private; /* addresses of ours are told though they are not public; for labs */
};

/* -ENOMEM */
NODISCARD int autonat_v1_prober_new(const struct autonat_v1_prober_config *cfg,
                                    struct autonat_v1_prober **ret_prober);
/* Gives up what runs.  Accepts NULL, returns NULL. */
struct autonat_v1_prober *autonat_v1_prober_free(struct autonat_v1_prober *p);

/* Our addresses may be others. */
void autonat_v1_prober_addrs_changed(struct autonat_v1_prober *p);

/* What was said is of another network. */
void autonat_v1_prober_network_changed(struct autonat_v1_prober *p);

/* Asks at once if a server is known, whenever it would be due. */
void autonat_v1_prober_ask(struct autonat_v1_prober *p);

enum autonat_v1_reach autonat_v1_prober_reach(const struct autonat_v1_prober *p,
                                              enum net_family family);
/* Whether that is more than one answer. */
bool autonat_v1_prober_is_confirmed(const struct autonat_v1_prober *p, enum net_family family);

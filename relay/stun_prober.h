/* SPDX-License-Identifier: MIT */
#pragma once

/* The STUN client: asks servers, over the host's own QUIC socket, from where they see it; at once,
 * again every ten minutes, when the network changes, and sooner while nobody answers or when the
 * NAT's type is found to be another one: a NAT that was restarted meanwhile looks like many kinds.
 *
 * One round asks all servers once (relay/proto/stun_client.h), in each family in which the host
 * listens for QUIC; where it listens in none, there is nothing to ask about.  Names are looked up
 * anew for each round, the first address of each family counts.
 *
 * Bounds:  STUN_PROBER_SERVERS_MAX servers; what the engine sends.
 * Spec:    decision 10; behaviour.md, section 10.3.
 * Thread:  the reactor's. */

#include "core/base/time.h"
#include "relay/proto/stun_client.h"

struct host;
struct log;
struct reactor;
struct resolver;
struct stun_prober;

enum { STUN_PROBER_SERVERS_MAX = 16 };

#define STUN_PROBER_REFRESH       SEC(600)
/* When nobody answered, or too few to tell, doubled each time; or for news. */
#define STUN_PROBER_RETRY         SEC(60)
#define STUN_PROBER_NAMES_TIMEOUT SEC(10)

struct stun_server_name {
    const char *host; /* a name or an IP address */
    uint16_t port;
};

/* What a round found in one family. */
struct stun_finding {
    struct net_addr listen; /* the socket's, as bound */
    struct stun_result result;
    struct net_addr server; /* one of those that answered; NET_NONE: none did */
    unsigned answered;      /* servers and their second ports */
    unsigned unanswered;
};

struct stun_prober_config {
    struct reactor *reactor;
    struct host *host;                      /* outlives this */
    struct resolver *resolver;              /* outlives this; NULL: names are passed over */
    struct log *log;                        /* may be NULL */
    const struct stun_server_name *servers; /* copied; those with too long a name are left out */
    size_t servers_count;                   /* those beyond STUN_PROBER_SERVERS_MAX, too */
    void (*found)(void *user, const struct stun_finding *f); /* once a family and round */
    void *user;
};

/* The first round begins in a later turn.  -ENOMEM */
NODISCARD int stun_prober_new(const struct stun_prober_config *cfg,
                              struct stun_prober **ret_prober);
/* Not from inside found().  Accepts NULL, returns NULL. */
struct stun_prober *stun_prober_free(struct stun_prober *p);

/* What was found is of another network: a round begins, within a second. */
void stun_prober_network_changed(struct stun_prober *p);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The addresses behind names: /dns, /dns4 and /dns6 become IP addresses, /dnsaddr what its TXT
 * records say, which may be names again.  Part of the swarm (swarm_dial.c): names are looked up
 * before addresses are ranked.
 *
 * A /wss address keeps its name as /tls/sni/NAME, for the certificate.
 * Spec:   libp2p connection-lifecycle.md, "Dial ranking" (at most 4 levels, 100 results).
 * Limits: NAMES_QUERIES_MAX questions a peer; what is beyond is passed over. */

#include "core/base/list.h"
#include "core/p2p/multiaddr.h"
#include "uring/resolver.h"

struct mem;

enum { NAMES_QUERIES_MAX = 32, NAMES_DEPTH_MAX = 4 };

struct names {
    struct resolver *resolver;
    struct mem *mem;
    struct peer_id peer; /* addresses of others are left out */
    struct list queries;
    uint32_t queries_count; /* all that were made */
    struct multiaddr *results;
    uint32_t results_count;
    uint32_t results_max;
    /* Nothing is asked any more. */
    void (*done)(struct names *n);
};

/* Whether an address begins with a name. */
bool names_is_name(const struct multiaddr *a);

/* Fields are the caller's to fill; `results` has room for results_max. */
void names_init(struct names *n);
void names_add(struct names *n, const struct multiaddr *a);
/* Cancels what is still asked. */
void names_done(struct names *n);

static inline bool names_is_asking(const struct names *n) {
    return !list_is_empty(&n->queries);
}

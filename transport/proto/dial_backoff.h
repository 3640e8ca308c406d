/* SPDX-License-Identifier: MIT */
#pragma once

/* Addresses that failed lately, and until when they rest: 5 s + n² · 1 s after the n-th failure
 * (n from 0), at most five minutes.  A success forgets the failures, and so does having rested as
 * long again without another one.  Engine: no I/O, no clock.
 *
 * Spec:   libp2p connection-lifecycle.md, "Dial ranking", limits.
 * Memory: DIAL_BACKOFFS_MAX addresses; beyond, the one that rests shortest is forgotten.  Out of
 *         memory: the failure is not remembered.
 * Thread: one at a time. */

#include "core/base/map.h"
#include "core/base/time.h"
#include "core/p2p/multiaddr.h"

enum { DIAL_BACKOFFS_MAX = 1024 };

struct dial_backoff {
    struct map entries;
    struct mem *mem;
};

/* -ENOMEM */
NODISCARD int dial_backoff_init(struct dial_backoff *b, struct mem *mem, struct rng *rng);
void dial_backoff_done(struct dial_backoff *b);

/* Until when the address of this peer rests; 0: it does not. */
nsec_t dial_backoff_until(const struct dial_backoff *b, const struct peer_id *peer,
                          const struct multiaddr *addr, nsec_t now);
void dial_backoff_failed(struct dial_backoff *b, const struct peer_id *peer,
                         const struct multiaddr *addr, nsec_t now);
void dial_backoff_succeeded(struct dial_backoff *b, const struct peer_id *peer,
                            const struct multiaddr *addr);
/* Our own network changed: what failed there may work here. */
void dial_backoff_forget(struct dial_backoff *b);

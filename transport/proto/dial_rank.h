/* SPDX-License-Identifier: MIT */
#pragma once

/* In which order, and when, the addresses of a peer are dialled.  Engine: no I/O, no clock.
 *
 * Addresses fall into groups (private, public, relayed, others), which are independent of each
 * other.  In a group QUIC comes before TCP and IPv6 before IPv4, the low port first, each next step
 * 250 ms (public) or 30 ms (private) after the one before; the best IPv4 address goes second when
 * an IPv6 address goes first (happy eyeballs).
 *
 * Spec:   libp2p connection-lifecycle.md, "Dial ranking".
 * Thread: any. */

#include "core/base/time.h"
#include "core/p2p/multiaddr.h"

/* A wish, not a prohibition: what is not preferred is dialled when all that is preferred has
 * failed, or has not connected in time. */
enum dial_preference { DIAL_AUTO, DIAL_QUIC, DIAL_TCP };

/* "auto", "quic", "tcp".  -EINVAL */
NODISCARD int dial_preference_parse(const char *text, enum dial_preference *ret_preference);

enum { DIAL_ADDRS_MAX = 100 }; /* what the names of one peer may resolve to (go's limit, too) */

/* How long what is preferred gets before the rest: three seconds are TCP and Noise over a satellite
 * (four round trips of 600 ms). */
#define DIAL_FALLBACK_DELAY SEC(3)

struct dial_ranked {
    nsec_t delay;    /* from the start of the race */
    uint32_t index;  /* of the address */
    bool is_tcp;     /* needs a descriptor of its own */
    bool is_private; /* loopback, too */
};

/* Writes one element an address, by rising delay, and of equal delay by rank.  `count` is at most
 * DIAL_ADDRS_MAX. */
void dial_rank(const struct multiaddr *addrs, size_t count, enum dial_preference prefer,
               struct dial_ranked *out);

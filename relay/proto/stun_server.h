/* SPDX-License-Identifier: MIT */
#pragma once

/* Tells whoever asks from which address it was asked.  Engine: no I/O, no clock.
 *
 * An answer to a forged sender address goes to a victim, so the answer is at most STUN_ANSWER_MAX
 * bytes for a request of 20 or more (IP and UDP included: twice as much), and limited: what asks
 * more often gets silence, as if its packet had been lost.
 *
 *   a source (IPv4 address, IPv6 /56)   STUN_SOURCE_PER_SECOND, after a burst
 *   all newcomers together              STUN_ANSWERS_PER_SECOND, after a burst
 *
 * Who asks again, a second or more after it was first answered, is settled: its answers are its own
 * and cost the newcomers nothing, so that no flood, from however many forged addresses, takes them
 * from it.  It keeps its place until it has been silent for STUN_SETTLED_TIME, two rounds of our
 * client.  Newcomers push out each other, the one that was silent longest.
 *
 * Forged addresses may settle, too, each for answers of its own; when there are STUN_SETTLED_MAX,
 * others stay newcomers.  In all there are no more answers than both together may have.
 *
 * Spec:   RFC 8489, section 6.3.1.
 * Memory: the struct, under 12 KiB.
 * Thread: one at a time.
 */

#include "core/base/rate.h"
#include "relay/proto/stun_msg.h"

enum {
    STUN_ANSWERS_PER_SECOND = 100,
    STUN_ANSWERS_BURST = 200,
    STUN_SOURCE_PER_SECOND = 4, /* a NAT may have many behind it */
    STUN_SOURCE_BURST = 32,
    STUN_SOURCES_MAX = 256,
    STUN_SETTLED_MAX = 192,
};

#define STUN_SETTLES_AFTER SEC(1)
#define STUN_SETTLED_TIME  SEC(1260)

struct stun_source {
    uint64_t key; /* 0: free */
    nsec_t first_at;
    nsec_t last_at; /* it was answered */
    struct rate rate;
    bool is_settled;
};

/* Embedded by its owner; zeros are a new one.  One for all ports. */
struct stun_server {
    struct rate newcomers;
    struct stun_source sources[STUN_SOURCES_MAX];
};

/* Writes the answer to a datagram from `from` and returns its length; 0: say nothing, as it was no
 * request, or there were too many.  `other`: our address that answers besides the one which was
 * asked, or NULL; only its port needs to be right. */
NODISCARD size_t stun_server_answer(struct stun_server *s, const struct net_addr *from,
                                    const struct net_addr *other, struct bytes datagram,
                                    uint8_t ret_out[STUN_ANSWER_MAX], nsec_t now);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Tells whoever asks from which address it was asked: stateless but for its rate limit.  Engine: no
 * I/O, no clock.
 *
 * An answer to a forged sender address goes to a victim, so the answer is at most STUN_ANSWER_MAX
 * bytes for a request of 20 or more (IP and UDP included: twice as much), and all answers together
 * are limited: what asks more often gets silence, as if its packet had been lost.
 *
 * Spec:   RFC 8489, section 6.3.1.
 * Thread: one at a time.
 */

#include "core/base/time.h"
#include "relay/proto/stun_msg.h"

enum { STUN_ANSWERS_PER_SECOND = 100, STUN_ANSWERS_BURST = 200 };

/* Embedded by its owner; zeros are a new one.  One for all ports. */
struct stun_server {
    nsec_t used_until; /* the time up to which answers were given out */
};

/* Writes the answer to a datagram from `from` and returns its length; 0: say nothing, as it was no
 * request, or there were too many.  `other`: our address that answers besides the one which was
 * asked, or NULL; only its port needs to be right. */
NODISCARD size_t stun_server_answer(struct stun_server *s, const struct net_addr *from,
                                    const struct net_addr *other, struct bytes datagram,
                                    uint8_t ret_out[STUN_ANSWER_MAX], nsec_t now);

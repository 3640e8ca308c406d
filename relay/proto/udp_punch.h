/* SPDX-License-Identifier: MIT */
#pragma once

/* When the server of a hole punch sends what opens its NAT for the client's handshake: 64 random
 * bytes at once, then each time 10 ms and up to min(10 · (i+1)², 200) ms later, UDP_PUNCH_QUICK_MAX
 * packets in about a second; then two a second, for five seconds in all or until the connection
 * stands.  Engine: no I/O, no clock.
 *
 *   while (udp_punch_next(&p, out, now)) send `out` to each address; again at udp_punch_deadline()
 *
 * Spec:   libp2p DCUtR, "QUIC details"; the schedule of the first second is go-libp2p's, which goes
 *         on like that.  But one packet opens a hole that stands for half a minute at least: later
 *         ones are for what is lost.
 * Thread: one at a time.
 */

#include "core/base/base.h"
#include "core/base/time.h"

struct rng;

enum { UDP_PUNCH_BYTES = 64, UDP_PUNCH_QUICK_MAX = 12 };

#define UDP_PUNCH_TIMEOUT SEC(5)

/* Embedded by its owner; fields are the engine's. */
struct udp_punch {
    struct rng *rng;
    nsec_t next_at; /* NSEC_NEVER: over */
    nsec_t until;
    uint32_t sent_count;
};

/* `rng` must live as long as the engine. */
void udp_punch_init(struct udp_punch *p, struct rng *rng, nsec_t now);

/* Whether a packet is due now: it is in ret_out then.  Its bytes never look like QUIC or STUN to
 * those who tell them apart by the first byte, so that it costs the receiver nothing. */
bool udp_punch_next(struct udp_punch *p, uint8_t ret_out[UDP_PUNCH_BYTES], nsec_t now);

/* When the next one is due, or the end; NSEC_NEVER when it is over. */
nsec_t udp_punch_deadline(const struct udp_punch *p);

/* The five seconds are over. */
static inline bool udp_punch_is_over(const struct udp_punch *p) {
    return p->next_at == NSEC_NEVER;
}

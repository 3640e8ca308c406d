/* SPDX-License-Identifier: MIT */
#pragma once

/* How often a peer is dialled that does not answer: at most a packet a second (decision 6), however
 * many addresses it has and whoever waits for it.  Engine: no I/O, no clock.
 *
 *   dial_pace_choose()     which addresses a round dials
 *   dial_pace_begin()      it begins
 *   dial_pace_spent()      each of its dials that led to nothing
 *   dial_pace_failed()     all of them; the next round waits for dial_pace_not_before()
 *   dial_pace_reached()    a connection by one of them
 *   dial_pace_forget()     all addresses are worth a round at once again
 *
 * An address costs a packet at 0, 1, 3 and 7 s, over QUIC as over TCP.  A first round asks all of
 * them at once.  Once that has failed, a round asks
 *
 *   - two addresses: the one at which the peer was reached last, and one of the others, which take
 *     turns by rank; two of them where it was reached nowhere
 *   - and no sooner after the one before than that has cost seconds
 *
 * So a peer that was silent and comes back where it was is found within four seconds, as if it had
 * no other address; where it answers at others only, in as many rounds as it has addresses.
 *
 * Thread: one at a time. */

#include "transport/proto/dial_rank.h"

enum { DIAL_PACE_ADDRS = 2 };

struct dial_pace {
    struct multiaddr reached; /* at which a dial reached the peer last; empty: nowhere */
    uint32_t turn;            /* of the others */
    uint32_t spent;           /* packets of the round */
    uint32_t spent_max;       /* of its dearest address */
    nsec_t began_at;
    nsec_t not_before;
    bool is_slow; /* the last round has failed */
};

/* Zeros are a peer that was not dialled yet. */

/* Brings what is to be dialled to the front, best first unless all are, and returns how many those
 * are.  Counts as a turn. */
uint32_t dial_pace_choose(struct dial_pace *p, struct multiaddr *addrs, uint32_t count,
                          enum dial_preference prefer);

void dial_pace_begin(struct dial_pace *p, nsec_t now);
/* A dial of the round has failed, after that time. */
void dial_pace_spent(struct dial_pace *p, nsec_t lasted);
void dial_pace_failed(struct dial_pace *p);
/* There is a connection: by a dial of ours to `addr`. */
void dial_pace_reached(struct dial_pace *p, const struct multiaddr *addr);
/* All addresses are worth a round at once: a connection is there or is sound again, there are other
 * addresses, or another network. */
void dial_pace_forget(struct dial_pace *p);

/* Whether dial_pace_choose() chooses. */
static inline bool dial_pace_is_slow(const struct dial_pace *p) {
    return p->is_slow;
}

/* When the next round may begin. */
static inline nsec_t dial_pace_not_before(const struct dial_pace *p) {
    return p->not_before;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/* Whether a way of dialling (UDP, IPv6) leads anywhere from here.  With fewer than five successes
 * in the last hundred dials it is blocked: passed over where there is another way, except for every
 * hundredth request, which probes.  One success lifts the block.  Engine: no I/O, no clock.
 *
 * Only dials of public, direct addresses are told: others say nothing of the way out.
 *
 * Spec:   libp2p connection-lifecycle.md, "Dial ranking", limits.
 * Thread: one at a time. */

#include "core/base/base.h"

enum { BLACK_HOLE_WINDOW = 100, BLACK_HOLE_SUCCESSES_MIN = 5 };

/* All zeros at first. */
struct black_hole {
    uint64_t results[2]; /* a bit each: success */
    uint32_t results_count;
    uint32_t next;
    uint32_t successes;
    uint32_t requests; /* while blocked */
};

static inline bool black_hole_is_blocked(const struct black_hole *b) {
    return b->results_count == BLACK_HOLE_WINDOW && b->successes < BLACK_HOLE_SUCCESSES_MIN;
}

/* Whether a dial that begins now, one that has addresses of this kind, may use them.  Counts. */
bool black_hole_admits(struct black_hole *b);
void black_hole_record(struct black_hole *b, bool success);

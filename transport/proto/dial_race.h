/* SPDX-License-Identifier: MIT */
#pragma once

/* A race between the addresses of one peer: which is dialled now, and when to ask again.  Engine:
 * no I/O, no clock.
 *
 *   for (;;) { i = dial_race_next(); dial it; dial_race_started(); }      until it gives none
 *   dial_race_connected(), dial_race_failed()                             as dials report
 *   and the same again at dial_race_deadline()
 *
 * An address is due at its delay; at once when nothing is in flight.  When a public TCP socket is
 * connected, what was not started yet waits 250 ms for its upgrade.
 *
 * Spec:   libp2p connection-lifecycle.md, "Dial ranking", extra rules.
 * Thread: one at a time. */

#include "transport/proto/dial_rank.h"

enum { DIAL_RACE_PARALLEL_MAX = 8 }; /* in flight to one peer (go's limit, too) */

struct dial_race {
    struct dial_ranked entries[DIAL_ADDRS_MAX]; /* by delay */
    uint8_t states[DIAL_ADDRS_MAX];
    uint32_t count;
    uint32_t waiting;
    uint32_t in_flight;
    nsec_t started_at;
    nsec_t held_until;
    nsec_t reached; /* the delay of the last that was started: its equals are due, too */
};

/* `ranked` is dial_rank()'s result, copied. */
void dial_race_init(struct dial_race *r, const struct dial_ranked *ranked, size_t count,
                    nsec_t now);

/* The place of the entry that is to be started now; -1: none, ask again at the deadline, or when
 * something ended.  Without room for another TCP dial (`tcp_allowed`) others may still go. */
int dial_race_next(const struct dial_race *r, bool tcp_allowed, nsec_t now);
void dial_race_started(struct dial_race *r, int place);
/* The socket of a TCP dial is connected, its upgrade runs. */
void dial_race_connected(struct dial_race *r, int place, nsec_t now);
/* A dial that was started, or could not be, is over. */
void dial_race_failed(struct dial_race *r, int place);

/* When the next one is due by time alone; NSEC_NEVER when none is, or as many as may be are in
 * flight. */
nsec_t dial_race_deadline(const struct dial_race *r, bool tcp_allowed);

/* Nothing is in flight and nothing is left. */
static inline bool dial_race_is_over(const struct dial_race *r) {
    return r->in_flight == 0 && r->waiting == 0;
}

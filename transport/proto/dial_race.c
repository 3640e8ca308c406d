/* SPDX-License-Identifier: MIT */
#include "transport/proto/dial_race.h"

/* WAITING -> FLYING -> OVER;  WAITING -> OVER when it could not be started */
enum state { STATE_WAITING, STATE_FLYING, STATE_OVER };

/* go-libp2p's PublicTCPDelay. */
#define UPGRADE_HOLD MSEC(250)

void dial_race_init(struct dial_race *r, const struct dial_ranked *ranked, size_t count,
                    nsec_t now) {
    assert(count <= DIAL_ADDRS_MAX);
    *r =
        (struct dial_race){.count = (uint32_t)count, .waiting = (uint32_t)count, .started_at = now};
    memcpy(r->entries, ranked, count * sizeof(*ranked));
    for (size_t i = 1; i < count; i++)
        assert(ranked[i - 1].delay <= ranked[i].delay);
}

/* The first that waits, and may be started. */
static int first_waiting(const struct dial_race *r, bool tcp_allowed) {
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->states[i] == STATE_WAITING && (tcp_allowed || !r->entries[i].is_tcp))
            return (int)i;
    }
    return -1;
}

static nsec_t due_at(const struct dial_race *r, int place) {
    nsec_t delay = r->entries[place].delay;
    return MAX(r->started_at + (delay <= r->reached ? 0 : delay), r->held_until);
}

int dial_race_next(const struct dial_race *r, bool tcp_allowed, nsec_t now) {
    if (r->in_flight >= DIAL_RACE_PARALLEL_MAX)
        return -1;
    int place = first_waiting(r, tcp_allowed);
    if (place < 0 || r->in_flight == 0 || due_at(r, place) <= now)
        return place;
    return -1;
}

void dial_race_started(struct dial_race *r, int place) {
    assert(r->states[place] == STATE_WAITING);
    assert(r->waiting > 0);
    r->states[place] = STATE_FLYING;
    r->reached = MAX(r->reached, r->entries[place].delay);
    r->waiting--;
    r->in_flight++;
}

void dial_race_connected(struct dial_race *r, int place, nsec_t now) {
    assert(r->states[place] == STATE_FLYING);
    if (r->entries[place].is_tcp && !r->entries[place].is_private)
        r->held_until = now + UPGRADE_HOLD;
}

void dial_race_failed(struct dial_race *r, int place) {
    assert(r->states[place] != STATE_OVER);
    if (r->states[place] == STATE_WAITING)
        r->waiting--;
    else
        r->in_flight--;
    r->states[place] = STATE_OVER;
}

nsec_t dial_race_deadline(const struct dial_race *r, bool tcp_allowed) {
    int place = first_waiting(r, tcp_allowed);
    if (place < 0 || r->in_flight >= DIAL_RACE_PARALLEL_MAX)
        return NSEC_NEVER;
    return due_at(r, place);
}

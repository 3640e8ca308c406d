/* SPDX-License-Identifier: MIT */
#pragma once

/* A round of dials to one peer: its addresses, ranked and raced, until one connects, all have
 * failed, or the time is up.  Part of the swarm (host_internal.h): whoever looks at a peer at the
 * end of a turn drives its round with dial_round_advance().
 *
 * Limits: names have 10 s (2 s where there are addresses, too), an address 10 s (5 s if it is
 *         private), the round 60 s; 8 dials in flight for a peer
 *         and HOST_TCP_DIALS_MAX over TCP in all, beyond which they wait; a packet a second to a
 *         peer that does not answer (transport/proto/dial_pace.h). */

#include "core/base/problem.h"
#include "transport/proto/dial_race.h"
#include "transport/swarm_names.h"
#include "transport/transport.h"
#include "uring/reactor.h"

struct dial_round;
struct host;
struct peer;

/* Whether an address can lead to another host at all. */
bool dial_addr_is_possible(const struct host *h, const struct multiaddr *a);

struct dial_slot {
    struct dial dial;
    struct timer deadline;
    struct dial_round *round;
    nsec_t began_at;
    int place;    /* in the race */
    bool running; /* the transport's */
};

/* How a round differs from others. */
struct dial_wish {
    enum dial_preference prefer;
    bool only_preferred; /* nothing else is dialled */
    bool only_direct;    /* no relayed addresses are */
    bool background;     /* nobody waits: addresses that rest after failures are left alone */
};

struct dial_round {
    struct peer *peer;
    struct dial_wish wish;
    struct names names;
    nsec_t names_until; /* what is not known by then is left out; 0: the race is on */
    struct dial_race race;
    struct timer timer;
    struct dial_slot slots[DIAL_RACE_PARALLEL_MAX];
    struct list tcp_node; /* in host.tcp_waiting: addresses wait for room */
    nsec_t ends_at;
    bool is_over;
    bool has_left_out;      /* addresses that rest, or are not of the preferred kind */
    int error;              /* when it is over: 0 for a connection */
    struct problem problem; /* what was tried, and what became of it */
    uint32_t failed_count;
    uint32_t addrs_count;
    struct multiaddr addrs[DIAL_ADDRS_MAX];
    struct multiaddr resolved[DIAL_ADDRS_MAX];
};

/* Begins a round; dial_round_advance() starts its first dials.
 *   -ERR_NO_ADDRESSES  nothing can be dialled; the problem says why
 *   -ERR_DIAL_BACKOFF  everything rests; the problem says until when
 *   -ENOMEM */
NODISCARD int dial_round_start(struct peer *p, const struct dial_wish *wish,
                               struct problem *ret_problem, struct dial_round **ret_round);
/* Starts what is due. */
void dial_round_advance(struct dial_round *r);
/* Says which addresses have not answered yet. */
void dial_round_describe(const struct dial_round *r, struct problem *problem);
/* Cancels what is in flight.  Accepts NULL, returns NULL. */
struct dial_round *dial_round_free(struct dial_round *r);

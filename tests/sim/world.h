/* SPDX-License-Identifier: MIT */
#pragma once

/* The world of one run: virtual time, what will happen next, and the record of what has happened.
 *
 *   events    stand in a heap by time; equal times in the order in which they were set.
 *   trace     every event of the run is told to world_trace(), which prints it if asked to, and
 *             folds it into a hash: two runs of one seed have the same hash or the simulation has
 *             a hole.
 *   failure   the first broken promise that a checker found ends the run.
 *
 * Memory is the C library's: it is not what is tested.
 */

#include "core/base/base.h"
#include "core/base/heap.h"
#include "core/base/time.h"
#include "tests/sim/rand.h"

enum { FAILURE_TEXT_MAX = 512 };

/* What a run does wrong on purpose, to see that its checkers look. */
enum sabotage {
    SABOTAGE_NONE,
    SABOTAGE_BYTE,   /* one byte of a transfer is another */
    SABOTAGE_DOUBLE, /* a piece is sent twice */
    SABOTAGE_END,    /* a server ends cleanly before it has sent all */
    SABOTAGE_HANG,   /* a server never ends */
    SABOTAGE_LEAK,   /* a node leaves memory behind */
    SABOTAGE_TURNS,  /* a node wakes up all the time */
    SABOTAGE_TALK,   /* a host sends all the time */
    SABOTAGE_CHANCE, /* a run has chance that is not the seed's */
    SABOTAGE_COUNT,
};

struct world {
    nsec_t now;
    struct heap events;
    uint64_t seed;
    struct sim_rand net;   /* what the network does */
    struct sim_rand sched; /* when processes get to run */
    uint64_t hash;
    uint64_t traced;
    uint64_t events_left; /* a run that has more does not end */
    enum sabotage sabotage;
    bool prints_trace;
    bool stopped;
    char failure[FAILURE_TEXT_MAX]; /* "": none */
};

struct sim_event {
    struct heap_node node;
    void (*run)(struct sim_event *e);
};

void world_init(struct world *w, uint64_t seed, bool prints_trace);
void world_done(struct world *w);

void sim_event_init(struct sim_event *e, void (*run)(struct sim_event *e));
/* Sets or moves it. */
void world_at(struct world *w, struct sim_event *e, nsec_t at);
static inline void world_after(struct world *w, struct sim_event *e, nsec_t delay) {
    world_at(w, e, w->now + delay);
}
void world_cancel(struct world *w, struct sim_event *e);

/* Runs events until `until`, world_stop(), or a failure.  The clock stands at `until` afterwards,
 * unless it was ended before. */
void world_run(struct world *w, nsec_t until);
/* Makes world_run() return after the current event. */
void world_stop(struct world *w);

void world_trace(struct world *w, const char *format, ...) PRINTF(2, 3);
/* The same for what happens too often to be formatted when nobody reads it: `fields` go into the
 * hash as they are, and world_print() follows if the trace is printed. */
void world_trace_fast(struct world *w, const char *what, const void *fields, size_t size);
void world_print(struct world *w, const char *format, ...) PRINTF(2, 3);
/* Bytes that are part of the event just traced. */
void world_trace_bytes(struct world *w, const void *data, size_t len);

/* Keeps the first. */
void world_fail(struct world *w, const char *format, ...) PRINTF(2, 3);
static inline bool world_has_failed(const struct world *w) {
    return w->failure[0] != '\0';
}

/* Memory of the simulation itself: ends the program when there is none. */
void *sim_alloc(size_t size);
void *sim_resize(void *p, size_t size);
void sim_free(void *p);

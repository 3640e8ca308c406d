/* SPDX-License-Identifier: MIT */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { TRACE_TEXT_MAX = 512, EVENTS_MAX = 50000000 };

/* So that no moment of a run is 0, which product code may take for "never". */
#define WORLD_BEGINS SEC(1000)

void *sim_resize(void *p, size_t size) {
    void *q = mem_resize(mem_system(), p, size);
    if (q == NULL)
        abort();
    return q;
}

void *sim_alloc(size_t size) {
    void *p = sim_resize(NULL, size);
    memset(p, 0, size);
    return p;
}

void sim_free(void *p) {
    (void)mem_free(mem_system(), p);
}

void world_init(struct world *w, uint64_t seed, bool prints_trace) {
    *w = (struct world){.now = WORLD_BEGINS, .seed = seed, .prints_trace = prints_trace};
    w->events_left = EVENTS_MAX;
    w->hash = 0xcbf29ce484222325u;
    heap_init(&w->events, mem_system());
    sim_rand_init(&w->net, seed, "net", 0);
    sim_rand_init(&w->sched, seed, "sched", 0);
}

void world_done(struct world *w) {
    heap_done(&w->events);
}

void sim_event_init(struct sim_event *e, void (*run)(struct sim_event *e)) {
    heap_node_init(&e->node);
    e->run = run;
}

void world_at(struct world *w, struct sim_event *e, nsec_t at) {
    if (heap_set(&w->events, &e->node, MAX(at, w->now)) < 0)
        abort();
}

void world_cancel(struct world *w, struct sim_event *e) {
    if (heap_node_is_linked(&e->node))
        heap_remove(&w->events, &e->node);
}

void world_run(struct world *w, nsec_t until) {
    w->stopped = false;
    while (!w->stopped && !world_has_failed(w)) {
        struct heap_node *first = heap_first(&w->events);
        if (first == NULL || first->at > until) {
            w->now = MAX(w->now, until);
            return;
        }
        heap_remove(&w->events, first);
        assert(first->at >= w->now);
        w->now = first->at;
        if (w->events_left-- == 0)
            world_fail(w, "too many events: something is in a loop");
        struct sim_event *e = CONTAINER_OF(first, struct sim_event, node);
        e->run(e);
    }
}

void world_stop(struct world *w) {
    w->stopped = true;
}

/* FNV-1a, eight bytes at a time. */
static void hash_add(struct world *w, const void *data, size_t len) {
    const uint8_t *at = data;
    while (len > 0) {
        uint64_t word = 0;
        size_t n = MIN(len, sizeof(word));
        memcpy(&word, at, n);
        w->hash = (w->hash ^ word) * 0x100000001b3u;
        w->hash ^= w->hash >> 29;
        at += n;
        len -= n;
    }
}

static void print(const struct world *w, const char *text) {
    (void)printf("%4llu.%09llu %s\n", (unsigned long long)(w->now / SEC(1)),
                 (unsigned long long)(w->now % SEC(1)), text);
}

void world_trace_fast(struct world *w, const char *what, const void *fields, size_t size) {
    hash_add(w, &w->now, sizeof(w->now));
    hash_add(w, what, strlen(what));
    hash_add(w, fields, size);
    w->traced++;
}

void world_print(struct world *w, const char *format, ...) {
    char text[TRACE_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print(w, text);
}

void world_trace(struct world *w, const char *format, ...) {
    char text[TRACE_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    hash_add(w, &w->now, sizeof(w->now));
    hash_add(w, text, MIN((size_t)MAX(len, 0), sizeof(text) - 1));
    w->traced++;
    if (w->prints_trace)
        print(w, text);
}

void world_trace_bytes(struct world *w, const void *data, size_t len) {
    hash_add(w, data, len);
}

void world_fail(struct world *w, const char *format, ...) {
    if (world_has_failed(w))
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->failure, sizeof(w->failure), format, args);
    va_end(args);
    world_trace(w, "FAILURE %s", w->failure);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/* Metrics: a table that describes them and an array that holds them.
 *
 *   enum { M_STREAMS, M_STREAMS_REFUSED, M_COUNT };
 *   static const struct metric_info table[M_COUNT] = {
 *       [M_STREAMS] = {"peerup_streams", METRIC_GAUGE, "", "direction=\"in\"", "Open."},
 *   };
 *   uint64_t values[M_COUNT] = {0};
 *   struct metric_set set;
 *   metric_set_init(&set, table, values, M_COUNT);
 *   metric_registry_add(registry, &set);
 *   metric_add(&set, M_STREAMS, 1);
 *
 * Updating is an addition to memory of the owner: no allocation, no lock.  What has labels has one
 * row for each of their values, fixed at build time, so that peers cannot make a table grow.
 *
 * Thread: one; a registry belongs to one reactor.  An exporter on another thread asks by message.
 */

#include "core/base/base.h"
#include "core/base/list.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct metric_info {
    const char *name; /* Prometheus name; rows of one name follow one another */
    enum metric_type type;
    const char *unit;   /* "bytes", "seconds", "" */
    const char *labels; /* "path=\"direct\",direction=\"in\"", or "" */
    const char *help;   /* a sentence */
};

struct metric_set {
    struct list node;
    const struct metric_info *infos;
    uint64_t *values; /* a gauge's is an int64_t */
    uint32_t count;
};

struct metric_registry {
    struct list sets;
};

struct metric_sample {
    const struct metric_info *info;
    uint64_t value; /* to be read as int64_t for a gauge */
};

/* Where a walk stands; all zero at the start. */
struct metric_cursor {
    const struct metric_set *set;
    uint32_t index;
};

/* Table and values must outlive the set; the values start as they are. */
void metric_set_init(struct metric_set *s, const struct metric_info *infos, uint64_t *values,
                     uint32_t count);

void metric_registry_init(struct metric_registry *r);
/* Sets must have been removed (asserted). */
void metric_registry_done(struct metric_registry *r);
void metric_registry_add(struct metric_registry *r, struct metric_set *s);
/* Harmless for a set that is in no registry. */
void metric_registry_remove(struct metric_set *s);

/* The next sample of all sets in the order of registration; false at the end.  No set may come or
 * go during the walk. */
bool metric_next(const struct metric_registry *r, struct metric_cursor *cursor,
                 struct metric_sample *ret_sample);

/* Counters only go up (asserted). */
static inline void metric_add(struct metric_set *s, uint32_t index, int64_t n) {
    assert(index < s->count);
    if (s->infos[index].type == METRIC_COUNTER)
        assert(n >= 0);
    s->values[index] += (uint64_t)n;
}

/* Gauges only (asserted). */
static inline void metric_set_value(struct metric_set *s, uint32_t index, int64_t value) {
    assert(index < s->count);
    assert(s->infos[index].type == METRIC_GAUGE);
    s->values[index] = (uint64_t)value;
}

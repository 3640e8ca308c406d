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
 * A histogram counts how long things took.  Its rows stand behind all others, and have memory of
 * their own:
 *
 *       [M_TOOK] = {"peerup_dial_duration_seconds", METRIC_HISTOGRAM, "seconds", "", "A dial's.",
 *                   &buckets},
 *   struct metric_histogram histograms[M_COUNT - M_TOOK] = {0};
 *   metric_set_init_with(&set, table, values, histograms, M_TOOK, M_COUNT);
 *   metric_observe(&set, M_TOOK, reactor_now(r) - began_at);
 *
 * Updating is an addition to memory of the owner: no allocation, no lock.  What has labels has one
 * row for each of their values, fixed at build time, so that peers cannot make a table grow.
 *
 * Thread: one; a registry belongs to one reactor.  An exporter on another thread asks by message.
 */

#include "core/base/base.h"
#include "core/base/list.h"
#include "core/base/time.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum { METRIC_BUCKETS_MAX = 12 };

/* Upper bounds, each in its bucket, the shortest first. */
struct metric_buckets {
    nsec_t bounds[METRIC_BUCKETS_MAX];
    uint32_t count;
};

struct metric_histogram {
    uint64_t counts[METRIC_BUCKETS_MAX + 1]; /* of each bucket alone; the last: above all bounds */
    nsec_t sum;
};

struct metric_info {
    const char *name; /* Prometheus name; rows of one name follow one another */
    enum metric_type type;
    const char *unit;                     /* "bytes", "seconds", "" */
    const char *labels;                   /* "path=\"direct\",direction=\"in\"", or "" */
    const char *help;                     /* a sentence */
    const struct metric_buckets *buckets; /* of a histogram; else NULL */
};

struct metric_set {
    struct list node;
    const struct metric_info *infos;
    uint64_t *values;                    /* a gauge's is an int64_t */
    struct metric_histogram *histograms; /* of the rows from histograms_first on */
    uint32_t histograms_first;
    uint32_t count;
};

struct metric_registry {
    struct list sets;
};

struct metric_sample {
    const struct metric_info *info;
    uint64_t value; /* to be read as int64_t for a gauge; 0 for a histogram */
    const struct metric_histogram *histogram;
};

/* Where a walk stands; all zero at the start. */
struct metric_cursor {
    const struct metric_set *set;
    uint32_t index;
};

/* Table and values must outlive the set; the values start as they are.  No row is a histogram
 * (asserted). */
void metric_set_init(struct metric_set *s, const struct metric_info *infos, uint64_t *values,
                     uint32_t count);
/* The same for `count` rows of which those from `histograms_first` on are histograms (asserted). */
void metric_set_init_with(struct metric_set *s, const struct metric_info *infos, uint64_t *values,
                          struct metric_histogram *histograms, uint32_t histograms_first,
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

/* A thing took so long. */
void metric_histogram_observe(struct metric_histogram *h, const struct metric_buckets *b,
                              nsec_t took);

/* Histograms only (asserted). */
static inline void metric_observe(struct metric_set *s, uint32_t index, nsec_t took) {
    assert(index >= s->histograms_first);
    assert(index < s->count);
    metric_histogram_observe(&s->histograms[index - s->histograms_first], s->infos[index].buckets,
                             took);
}

/* Counters only go up (asserted). */
static inline void metric_add(struct metric_set *s, uint32_t index, int64_t n) {
    assert(index < s->histograms_first);
    if (s->infos[index].type == METRIC_COUNTER)
        assert(n >= 0);
    s->values[index] += (uint64_t)n;
}

/* Gauges only (asserted). */
static inline void metric_set_value(struct metric_set *s, uint32_t index, int64_t value) {
    assert(index < s->histograms_first);
    assert(s->infos[index].type == METRIC_GAUGE);
    s->values[index] = (uint64_t)value;
}

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/metric.h"

enum { M_IN, M_OUT, M_OPEN, M_COUNT };

static const struct metric_info table[M_COUNT] = {
    [M_IN] = {"bytes_total", METRIC_COUNTER, "bytes", "direction=\"in\"", "Bytes carried.", NULL},
    [M_OUT] = {"bytes_total", METRIC_COUNTER, "bytes", "direction=\"out\"", "Bytes carried.", NULL},
    [M_OPEN] = {"open", METRIC_GAUGE, "", "", "Open things.", NULL},
};

Test(metric, a_walk_gives_every_row_of_every_set) {
    struct metric_registry r;
    struct metric_set sets[2];
    uint64_t values[2][M_COUNT] = {{0}};
    metric_registry_init(&r);
    for (int i = 0; i < 2; i++) {
        metric_set_init(&sets[i], table, values[i], M_COUNT);
        metric_registry_add(&r, &sets[i]);
    }
    metric_add(&sets[0], M_IN, 5);
    metric_add(&sets[0], M_IN, 6);
    metric_add(&sets[1], M_OPEN, 2);
    metric_add(&sets[1], M_OPEN, -3);
    metric_set_value(&sets[0], M_OPEN, 9);

    static const int64_t expected[] = {11, 0, 9, 0, 0, -1};
    struct metric_cursor cursor = {0};
    struct metric_sample s;
    int met = 0;
    while (metric_next(&r, &cursor, &s)) {
        cr_assert_eq(s.info, &table[met % M_COUNT]);
        cr_assert_eq((int64_t)s.value, expected[met], "sample %d", met);
        met++;
    }
    cr_assert_eq(met, 6);
    metric_registry_remove(&sets[0]);
    metric_registry_remove(&sets[0]);
    metric_registry_remove(&sets[1]);
    metric_registry_done(&r);
}

Test(metric, an_empty_registry_has_no_samples) {
    struct metric_registry r;
    struct metric_cursor cursor = {0};
    struct metric_sample s;
    metric_registry_init(&r);
    cr_assert_not(metric_next(&r, &cursor, &s));
    metric_registry_done(&r);
}

/* --- Histograms --- */

static const struct metric_buckets buckets = {{MSEC(10), MSEC(20), SEC(1)}, 3};

enum { H_OPEN, H_TOOK, H_LASTED, H_COUNT };

static const struct metric_info mixed[H_COUNT] = {
    [H_OPEN] = {"open", METRIC_GAUGE, "", "", "Open things.", NULL},
    [H_TOOK] = {"took", METRIC_HISTOGRAM, "seconds", "", "How long.", &buckets},
    [H_LASTED] = {"lasted", METRIC_HISTOGRAM, "seconds", "", "How long.", &buckets},
};

/* A bound is in its bucket; what is above all is counted, too. */
Test(metric, a_histogram_counts_each_observation_once) {
    static const struct {
        nsec_t took;
        uint32_t bucket;
    } rows[] = {{0, 0},        {MSEC(10), 0}, {MSEC(10) + 1, 1}, {MSEC(20), 1},
                {MSEC(21), 2}, {SEC(1), 2},   {SEC(1) + 1, 3},   {SEC(3600), 3}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct metric_histogram h = {.sum = 5};
        metric_histogram_observe(&h, &buckets, rows[i].took);
        for (uint32_t k = 0; k <= METRIC_BUCKETS_MAX; k++)
            cr_assert_eq(h.counts[k], k == rows[i].bucket, "row %zu, bucket %u", i, k);
        cr_assert_eq(h.sum, rows[i].took + 5);
    }
}

Test(metric, histograms_stand_behind_the_others_in_a_walk) {
    struct metric_registry r;
    struct metric_set set;
    uint64_t values[H_TOOK] = {0};
    struct metric_histogram histograms[H_COUNT - H_TOOK] = {0};
    struct metric_cursor cursor = {0};
    struct metric_sample s;
    metric_registry_init(&r);
    metric_set_init_with(&set, mixed, values, histograms, H_TOOK, H_COUNT);
    metric_registry_add(&r, &set);
    metric_add(&set, H_OPEN, 3);
    metric_observe(&set, H_LASTED, MSEC(15));
    metric_observe(&set, H_LASTED, MSEC(16));
    cr_assert(metric_next(&r, &cursor, &s));
    cr_assert_eq(s.value, 3);
    cr_assert_null(s.histogram);
    cr_assert(metric_next(&r, &cursor, &s));
    cr_assert_eq(s.info, &mixed[H_TOOK]);
    cr_assert_eq(s.histogram, &histograms[0]);
    cr_assert_eq(s.histogram->sum, 0);
    cr_assert(metric_next(&r, &cursor, &s));
    cr_assert_eq(s.histogram->counts[1], 2);
    cr_assert_eq(s.histogram->sum, MSEC(31));
    cr_assert_not(metric_next(&r, &cursor, &s));
    metric_registry_remove(&set);
    metric_registry_done(&r);
}

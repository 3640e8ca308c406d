/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/metric.h"

enum { M_IN, M_OUT, M_OPEN, M_COUNT };

static const struct metric_info table[M_COUNT] = {
    [M_IN] = {"bytes_total", METRIC_COUNTER, "bytes", "direction=\"in\"", "Bytes carried."},
    [M_OUT] = {"bytes_total", METRIC_COUNTER, "bytes", "direction=\"out\"", "Bytes carried."},
    [M_OPEN] = {"open", METRIC_GAUGE, "", "", "Open things."},
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

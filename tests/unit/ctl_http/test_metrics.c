/* SPDX-License-Identifier: MIT */

/* Spec: behaviour.md, section 11.3; Prometheus' text format. */

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "ctl/metrics_text.h"
#include "ctl/process_metrics.h"

enum { M_IN, M_OUT, M_OPEN, M_COUNT };

static const struct metric_info TABLE[M_COUNT] = {
    [M_IN] = {"peerup_bytes_total", METRIC_COUNTER, "bytes", "direction=\"rx\"", "Bytes.", NULL},
    [M_OUT] = {"peerup_bytes_total", METRIC_COUNTER, "bytes", "direction=\"tx\"", "Bytes.", NULL},
    [M_OPEN] = {"peerup_open", METRIC_GAUGE, "", "", "What is open.", NULL},
};

Test(metrics, a_registry_becomes_text) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(KIB(64));
    uint64_t values[M_COUNT] = {1, UINT64_MAX, 0};
    struct metric_registry registry;
    struct metric_set set;
    metric_registry_init(&registry);
    metrics_text_registry(&registry, &out);
    cr_assert_str_eq(strbuf_text(&out), "");
    metric_set_init(&set, TABLE, values, M_COUNT);
    metric_set_value(&set, M_OPEN, -2);
    metric_registry_add(&registry, &set);
    metrics_text_registry(&registry, &out);
    cr_assert_str_eq(strbuf_text(&out),
                     "# HELP peerup_bytes_total Bytes.\n"
                     "# TYPE peerup_bytes_total counter\n"
                     "peerup_bytes_total{direction=\"rx\"} 1\n"
                     "peerup_bytes_total{direction=\"tx\"} 18446744073709551615\n"
                     "# HELP peerup_open What is open.\n"
                     "# TYPE peerup_open gauge\n"
                     "peerup_open -2\n");
    metric_registry_remove(&set);
    metric_registry_done(&registry);
}

static const struct metric_buckets BUCKETS = {{MSEC(10), MSEC(2560), SEC(2048)}, 3};

enum { M_TOOK, M_LASTED, M_HISTOGRAMS };

static const struct metric_info HISTOGRAMS[M_HISTOGRAMS] = {
    [M_TOOK] = {"peerup_took_seconds", METRIC_HISTOGRAM, "seconds", "result=\"success\"", "Time.",
                &BUCKETS},
    [M_LASTED] = {"peerup_lasted_seconds", METRIC_HISTOGRAM, "seconds", "", "Time.", &BUCKETS},
};

/* Buckets hold all that is below them; seconds are exact. */
Test(metrics, histograms_become_text) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(KIB(64));
    struct metric_histogram histograms[M_HISTOGRAMS] = {0};
    struct metric_registry registry;
    struct metric_set set;
    metric_registry_init(&registry);
    metric_set_init_with(&set, HISTOGRAMS, NULL, histograms, 0, M_HISTOGRAMS);
    metric_registry_add(&registry, &set);
    metric_observe(&set, M_TOOK, MSEC(5));
    metric_observe(&set, M_TOOK, SEC(2));
    metric_observe(&set, M_TOOK, SEC(2));
    metric_observe(&set, M_TOOK, SEC(3000) + 1);
    metrics_text_registry(&registry, &out);
    cr_assert_str_eq(strbuf_text(&out),
                     "# HELP peerup_took_seconds Time.\n"
                     "# TYPE peerup_took_seconds histogram\n"
                     "peerup_took_seconds_bucket{result=\"success\",le=\"0.01\"} 1\n"
                     "peerup_took_seconds_bucket{result=\"success\",le=\"2.56\"} 3\n"
                     "peerup_took_seconds_bucket{result=\"success\",le=\"2048\"} 3\n"
                     "peerup_took_seconds_bucket{result=\"success\",le=\"+Inf\"} 4\n"
                     "peerup_took_seconds_sum{result=\"success\"} 3004.005000001\n"
                     "peerup_took_seconds_count{result=\"success\"} 4\n"
                     "# HELP peerup_lasted_seconds Time.\n"
                     "# TYPE peerup_lasted_seconds histogram\n"
                     "peerup_lasted_seconds_bucket{le=\"0.01\"} 0\n"
                     "peerup_lasted_seconds_bucket{le=\"2.56\"} 0\n"
                     "peerup_lasted_seconds_bucket{le=\"2048\"} 0\n"
                     "peerup_lasted_seconds_bucket{le=\"+Inf\"} 0\n"
                     "peerup_lasted_seconds_sum 0\n"
                     "peerup_lasted_seconds_count 0\n");
    metric_registry_remove(&set);
    metric_registry_done(&registry);
}

static double value_of(const char *text, const char *name) {
    const char *at = strstr(text, name);
    cr_assert_not_null(at, "%s in:\n%s", name, text);
    return strtod(at + strlen(name), NULL);
}

Test(metrics, a_process_tells_of_itself) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(KIB(64));
    process_metrics_write(1798859045, &out);
    const char *text = strbuf_text(&out);
    cr_assert_eq(value_of(text, "\nprocess_start_time_seconds "), 1798859045);
    cr_assert_gt(value_of(text, "\nprocess_cpu_seconds_total "), 0);
    cr_assert_geq(value_of(text, "\nprocess_open_fds "), 3);
    cr_assert_gt(value_of(text, "\nprocess_max_fds "), value_of(text, "\nprocess_open_fds "));
    cr_assert_gt(value_of(text, "\nprocess_resident_memory_bytes "), 100000);
    cr_assert_gt(value_of(text, "\nprocess_virtual_memory_bytes "),
                 value_of(text, "\nprocess_resident_memory_bytes "));
    cr_assert_not_null(strstr(text, "\npeerup_info{version=\""));
    cr_assert_eq(out.text[out.len - 1], '\n');
}

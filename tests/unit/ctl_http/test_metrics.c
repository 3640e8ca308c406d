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
    [M_IN] = {"peerup_bytes_total", METRIC_COUNTER, "bytes", "direction=\"rx\"", "Bytes."},
    [M_OUT] = {"peerup_bytes_total", METRIC_COUNTER, "bytes", "direction=\"tx\"", "Bytes."},
    [M_OPEN] = {"peerup_open", METRIC_GAUGE, "", "", "What is open."},
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

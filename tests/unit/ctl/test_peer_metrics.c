/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "ctl/peer_metrics.h"
#include "tests/unit/transport_host/hosts.h"

/* The value with these labels. */
static int64_t value_of(const struct metric_registry *r, const char *labels) {
    struct metric_cursor cursor = {0};
    struct metric_sample sample;
    while (metric_next(r, &cursor, &sample))
        if (strcmp(sample.info->labels, labels) == 0)
            return (int64_t)sample.value;
    cr_assert_fail("no such labels: %s", labels);
    return -1;
}

static int64_t sum_of(const struct metric_registry *r) {
    struct metric_cursor cursor = {0};
    struct metric_sample sample;
    int64_t sum = 0;
    while (metric_next(r, &cursor, &sample))
        sum += (int64_t)sample.value;
    return sum;
}

CASE(peer_metrics, count_each_peer_by_the_way_to_it) {
    struct metric_registry registry;
    struct peer_metrics m;
    const char *labels = t->stack == STACK_QUIC
                             ? "path_type=\"DIRECT\",transport=\"quic\",ip_version=\"ipv4\""
                             : "path_type=\"DIRECT\",transport=\"tcp\",ip_version=\"ipv4\"";
    metric_registry_init(&registry);
    peer_metrics_open(&m, &registry);
    open_pair(t);
    cr_assert_eq(peer_metrics_update(&m, t->b.host, &t->mem.mem), 0);
    cr_assert_eq(sum_of(&registry), 0);
    connect_pair(&t->a, &t->b);
    for (int i = 0; i < 2; i++) { /* a gauge: asking twice counts once */
        cr_assert_eq(peer_metrics_update(&m, t->b.host, &t->mem.mem), 0);
        cr_assert_eq(sum_of(&registry), 1);
        cr_assert_eq(value_of(&registry, labels), 1);
    }
    for (int n = 1; n <= 2; n++) {
        t->mem.fail_at = t->mem.calls + n;
        cr_assert_eq(peer_metrics_update(&m, t->b.host, &t->mem.mem), -ENOMEM);
        cr_assert_eq(sum_of(&registry), 1, "the old counts stay");
    }
    peer_metrics_close(&m);
    cr_assert_eq(sum_of(&registry), 0);
    metric_registry_done(&registry);
}

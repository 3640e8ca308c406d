/* SPDX-License-Identifier: MIT */
#include "ctl/service_metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/base/strbuf.h"
#include "ctl/metrics_text.h"
#include "relay/service.h"

/* A name is a DNS label, so that it needs no escapes. */
enum { LABELS_MAX = SERVICE_NAME_MAX + 32 };

static void write_bytes(void *user, const struct service_info *i) {
    strbuf_addf(user, "peerup_proxy_bytes_total{direction=\"rx\",service=\"%s\"} %" PRIu64 "\n",
                i->name, i->rx_bytes);
    strbuf_addf(user, "peerup_proxy_bytes_total{direction=\"tx\",service=\"%s\"} %" PRIu64 "\n",
                i->name, i->tx_bytes);
}

static void write_connections(void *user, const struct service_info *i) {
    strbuf_addf(user, "peerup_proxy_connections_total{service=\"%s\"} %" PRIu64 "\n", i->name,
                i->connections);
}

static void write_active(void *user, const struct service_info *i) {
    strbuf_addf(user, "peerup_proxy_active_connections{service=\"%s\"} %u\n", i->name, i->active);
}

static void write_durations(void *user, const struct service_info *i) {
    char labels[LABELS_MAX];
    (void)snprintf(labels, sizeof(labels), "service=\"%s\"", i->name);
    metrics_text_histogram("peerup_proxy_duration_seconds", labels, &SERVICE_DURATIONS,
                           i->durations, user);
}

struct service_metric {
    const char *name;
    enum metric_type type;
    const char *help;
    void (*write)(void *user, const struct service_info *i);
};

static const struct service_metric METRICS[] = {
    {"peerup_proxy_bytes_total", METRIC_COUNTER, "Bytes of a service, from and to the network.",
     write_bytes},
    {"peerup_proxy_connections_total", METRIC_COUNTER,
     "Streams of peers that reached a service's local address.", write_connections},
    {"peerup_proxy_active_connections", METRIC_GAUGE, "Streams to a service that run now.",
     write_active},
    {"peerup_proxy_duration_seconds", METRIC_HISTOGRAM, "How long streams to a service lasted.",
     write_durations},
};

void service_metrics_write(const struct services *s, struct strbuf *out) {
    for (size_t i = 0; i < ARRAY_COUNT(METRICS); i++) {
        const struct service_metric *m = &METRICS[i];
        metrics_text_head(m->name, m->type, m->help, out);
        services_each(s, m->write, out);
    }
}

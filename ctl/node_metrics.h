/* SPDX-License-Identifier: MIT */
#pragma once

/* What a node counts of what it does, and others scrape.
 *
 * Spec:    behaviour.md, section 11.3.
 * Thread:  the reactor's.  All but open and close accept NULL: nobody counts. */

#include "core/base/metric.h"

enum { NODE_METRICS_VALUES = 10, NODE_METRICS_HISTOGRAMS = 2 };

struct node_metrics {
    struct metric_set set;
    uint64_t values[NODE_METRICS_VALUES];
    struct metric_histogram histograms[NODE_METRICS_HISTOGRAMS];
};

void node_metrics_open(struct node_metrics *m, struct metric_registry *registry);
void node_metrics_close(struct node_metrics *m);

/* The gate let somebody in, or did not. */
void node_metrics_decided(struct node_metrics *m, bool allowed);

/* An upgrade in which the two agreed to dial is over. */
void node_metrics_punched(struct node_metrics *m, bool succeeded, nsec_t took);

/* The machine's network is another; `is_ip4` and `is_ip6`: its public addresses of that kind. */
void node_metrics_network(struct node_metrics *m, bool is_ip4, bool is_ip6);

/* A round of STUN is over: servers that answered, and that did not. */
void node_metrics_stun(struct node_metrics *m, uint32_t answered, uint32_t unanswered);

/* How many public addresses the machine has. */
void node_metrics_addrs(struct node_metrics *m, uint32_t ip4_count, uint32_t ip6_count);

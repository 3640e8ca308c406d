/* SPDX-License-Identifier: MIT */
#pragma once

/* The gauge peerup_interface_count, the counters peerup_network_change_total and
 * peerup_stun_probe_total, which a node's parts keep anyway.
 *
 * Spec: behaviour.md, section 11.3. */

#include "core/base/metric.h"

struct node;

enum { NETWORK_METRICS_COUNT = 6 };

struct network_metrics {
    struct metric_set set;
    uint64_t values[NETWORK_METRICS_COUNT];
};

/* Registers the set. */
void network_metrics_open(struct network_metrics *m, struct metric_registry *registry);
void network_metrics_close(struct network_metrics *m);

/* What is so now. */
void network_metrics_update(struct network_metrics *m, const struct node *n);

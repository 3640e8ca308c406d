/* SPDX-License-Identifier: MIT */
#pragma once

/* What a relay does for others, as metrics: reservations, circuits, spliced paths.  The service
 * counts; its numbers are copied when they are asked for. */

#include "core/base/metric.h"

struct hop_service;

enum { RELAY_METRICS_COUNT = 1 + 3 * 8 + 13 };

struct relay_metrics {
    struct metric_set set;
    uint64_t values[RELAY_METRICS_COUNT];
};

void relay_metrics_open(struct relay_metrics *m, struct metric_registry *registry);
/* Harmless when it is not open, if it is zeros. */
void relay_metrics_close(struct relay_metrics *m);
void relay_metrics_update(struct relay_metrics *m, const struct hop_service *s);

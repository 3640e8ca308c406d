/* SPDX-License-Identifier: MIT */
#pragma once

/* Who is connected and how, as a metric: peerup_connected_peers.  It is counted when it is asked
 * for, not kept.
 *
 * Spec: behaviour.md, section 11.3. */

#include "core/base/metric.h"

struct host;
struct mem;

/* direct or relayed, by QUIC, TCP or WebSocket, over IPv4 or IPv6 */
enum { PEER_METRICS_COUNT = 2 * 3 * 2 };

struct peer_metrics {
    struct metric_set set;
    uint64_t values[PEER_METRICS_COUNT];
};

void peer_metrics_open(struct peer_metrics *m, struct metric_registry *registry);
void peer_metrics_close(struct peer_metrics *m);

/* Counts; each peer once, by its first connection.  -ENOMEM leaves the old counts. */
NODISCARD int peer_metrics_update(struct peer_metrics *m, struct host *h, struct mem *mem);

/* SPDX-License-Identifier: MIT */
#include "ctl/peer_metrics.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "core/p2p/peer_id.h"
#include "ctl/connected_peers.h"
#include "transport/host.h"

#define PEERS(name, path, transport, ip)                                                \
    {                                                                                   \
        name, METRIC_GAUGE, "",                                                         \
            "path_type=\"" path "\",transport=\"" transport "\",ip_version=\"" ip "\"", \
            "Connected peers, by the way to them.", NULL                                \
    }

/* Index: (is relayed * 3 + transport) * 2 + is IPv6 */
/* clang-format off */
static const struct metric_info METRICS[PEER_METRICS_COUNT] = {
    PEERS("peerup_connected_peers", "DIRECT", "quic", "ipv4"),
    PEERS("peerup_connected_peers", "DIRECT", "quic", "ipv6"),
    PEERS("peerup_connected_peers", "DIRECT", "tcp", "ipv4"),
    PEERS("peerup_connected_peers", "DIRECT", "tcp", "ipv6"),
    PEERS("peerup_connected_peers", "DIRECT", "websocket", "ipv4"),
    PEERS("peerup_connected_peers", "DIRECT", "websocket", "ipv6"),
    PEERS("peerup_connected_peers", "RELAYED", "quic", "ipv4"),
    PEERS("peerup_connected_peers", "RELAYED", "quic", "ipv6"),
    PEERS("peerup_connected_peers", "RELAYED", "tcp", "ipv4"),
    PEERS("peerup_connected_peers", "RELAYED", "tcp", "ipv6"),
    PEERS("peerup_connected_peers", "RELAYED", "websocket", "ipv4"),
    PEERS("peerup_connected_peers", "RELAYED", "websocket", "ipv6"),
};
/* clang-format on */

/* By the address's own beginning, which of a relayed one is the relay's. */
static size_t index_of(const struct multiaddr *remote) {
    struct net_addr ip = {.family = NET_NONE};
    bool has_ip = multiaddr_to_net_addr(remote, &ip) == 0;
    size_t transport = 1;
    if (multiaddr_has(remote, MULTIADDR_QUIC_V1))
        transport = 0;
    else if (multiaddr_has(remote, MULTIADDR_WS) || multiaddr_has(remote, MULTIADDR_WSS))
        transport = 2;
    return ((multiaddr_is_relayed(remote) ? 3 : 0) + transport) * 2 +
           (has_ip && ip.family == NET_IP6 ? 1 : 0);
}

void peer_metrics_open(struct peer_metrics *m, struct metric_registry *registry) {
    memset(m->values, 0, sizeof(m->values));
    metric_set_init(&m->set, METRICS, m->values, PEER_METRICS_COUNT);
    metric_registry_add(registry, &m->set);
}

void peer_metrics_close(struct peer_metrics *m) {
    metric_registry_remove(&m->set);
}

struct counting {
    struct connected_peers peers;
    bool *is_counted; /* by the index of the peer */
    struct peer_metrics *metrics;
};

static void count_conn(void *user, const struct conn_info *info) {
    struct counting *c = user;
    size_t at = connected_peers_index(&c->peers, &info->peer);
    if (!c->is_counted[at])
        metric_add(&c->metrics->set, (uint32_t)index_of(&info->remote), 1);
    c->is_counted[at] = true;
}

int peer_metrics_update(struct peer_metrics *m, struct host *h, struct mem *mem) {
    struct counting c = {.metrics = m};
    int e = connected_peers_find(h, mem, &c.peers);
    if (e < 0)
        return e;
    c.is_counted = mem_alloc_array(mem, MAX(c.peers.count, (size_t)1), sizeof(*c.is_counted));
    if (c.is_counted != NULL) {
        for (uint32_t i = 0; i < PEER_METRICS_COUNT; i++)
            metric_set_value(&m->set, i, 0);
        host_each_conn(h, count_conn, &c);
        c.is_counted = mem_free(mem, c.is_counted);
    } else {
        e = -ENOMEM;
    }
    connected_peers_done(&c.peers);
    return e;
}

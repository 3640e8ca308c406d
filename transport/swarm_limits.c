/* SPDX-License-Identifier: MIT */
/* How many connections there may be, and which go when there are too many.
 *
 * Peers that the gate lists are limited each by itself; strangers, which is everybody where gating
 * is off, by IP address as well, and they cannot fill more than the high mark (decision 7).
 * Spec: libp2p connection-lifecycle.md, "Connection manager" and "Resource manager". */

#include "core/base/net_addr.h"
#include "transport/host_internal.h"

enum {
    INBOUND_PER_IP4_MAX = 8,
    INBOUND_PER_IP6_56_MAX = 8,
    INBOUND_PER_IP6_48_MAX = 64,
    /* Over a relay everybody comes from its address.  A relay has a limit of its own for us, go's
     * and ours 16 circuits. */
    INBOUND_PER_RELAY_MAX = 64,
};

/* A connection without streams that is older than this makes room for another one of its peer: the
 * peer may have been restarted, and the old ones be dead. */
#define IDLE_AFTER SEC(5)

/* Between two looks whether connections are too many. */
#define TRIM_INTERVAL SEC(10)

/* --- Letting in --- */

static bool shares_prefix(const struct net_addr *a, const struct net_addr *b, size_t bytes) {
    return a->family == b->family && memcmp(a->ip, b->ip, bytes) == 0;
}

static bool is_listed(const struct host *h, const struct host_conn *hc) {
    return h->gate != NULL && hc->authorized;
}

/* Inbound connections of strangers whose address, or whose relay's, begins with the same bytes. */
static uint32_t count_prefix(const struct host *h, const struct net_addr *ip, size_t bytes,
                             bool is_relayed) {
    uint32_t count = 0;
    list_for_each (node, &h->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, const struct host_conn, host_node);
        struct net_addr other;
        count += hc->conn->inbound && !is_listed(h, hc) &&
                 multiaddr_is_relayed(&hc->conn->remote) == is_relayed &&
                 multiaddr_to_net_addr(&hc->conn->remote, &other) == 0 &&
                 shares_prefix(ip, &other, bytes);
    }
    return count;
}

static bool has_room_for_ip(const struct host *h, const struct conn *c) {
    struct net_addr ip;
    if (multiaddr_to_net_addr(&c->remote, &ip) < 0 || net_addr_is_loopback(&ip))
        return true;
    if (multiaddr_is_relayed(&c->remote))
        return count_prefix(h, &ip, ip.family == NET_IP4 ? 4 : 7, true) < INBOUND_PER_RELAY_MAX;
    if (ip.family == NET_IP4)
        return count_prefix(h, &ip, 4, false) < INBOUND_PER_IP4_MAX;
    return count_prefix(h, &ip, 7, false) < INBOUND_PER_IP6_56_MAX &&
           count_prefix(h, &ip, 6, false) < INBOUND_PER_IP6_48_MAX;
}

static void close_for_room(struct host_conn *hc) {
    hc->closing = true;
    hc->conn->ops->close(hc->conn, CONN_CODE_GARBAGE_COLLECTED);
}

/* Makes room at the peer's limit by closing its oldest idle connection.  false: none is idle. */
static bool make_room(const struct host *h, const struct peer *p) {
    list_for_each (node, &p->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, node);
        if (hc->closing || hc->conn->streams_count > 0 ||
            reactor_now(h->reactor) < hc->conn->opened_at + IDLE_AFTER)
            continue;
        close_for_room(hc);
        return true;
    }
    return false;
}

static uint32_t open_conns(const struct peer *p) {
    uint32_t count = 0;
    list_for_each (node, &p->conns)
        count += !LIST_ENTRY(node, const struct host_conn, node)->closing;
    return count;
}

bool swarm_has_room(struct host *h, const struct conn *c) {
    bool listed = h->gate != NULL && !host_denies(h, &c->peer);
    const struct peer *p = swarm_find(h, &c->peer);
    if (h->conns_count >= (listed ? h->limits.conns_max : h->limits.conns_high))
        return false;
    if (!listed && !has_room_for_ip(h, c))
        return false;
    return p == NULL || open_conns(p) < HOST_CONNS_PER_PEER_MAX || make_room(h, p);
}

/* --- Trimming --- */

/* In use by us, or by a peer that the gate lists; or too new to tell. */
static bool is_protected(const struct host *h, const struct host_conn *hc) {
    const struct conn *c = hc->conn;
    return hc->closing || c->own_streams_count > 0 || (is_listed(h, hc) && c->streams_count > 0) ||
           reactor_now(h->reactor) < c->opened_at + h->limits.grace;
}

/* Whether `a` goes rather than `b`. */
static bool goes_before(const struct host *h, const struct host_conn *a,
                        const struct host_conn *b) {
    if (is_listed(h, a) != is_listed(h, b))
        return !is_listed(h, a);
    if (a->conn->streams_count != b->conn->streams_count)
        return a->conn->streams_count < b->conn->streams_count;
    if (a->conn->inbound != b->conn->inbound)
        return a->conn->inbound;
    return a->conn->opened_at < b->conn->opened_at;
}

static bool trim_one(struct host *h) {
    struct host_conn *victim = NULL;
    list_for_each (node, &h->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, host_node);
        if (!is_protected(h, hc) && (victim == NULL || goes_before(h, hc, victim)))
            victim = hc;
    }
    if (victim == NULL)
        return false;
    close_for_room(victim);
    return true;
}

static void on_trim(struct timer *t) {
    struct host *h = CONTAINER_OF(t, struct host, trim_timer);
    uint32_t open = 0;
    list_for_each (node, &h->conns)
        open += !LIST_ENTRY(node, const struct host_conn, host_node)->closing;
    uint32_t before = open;
    if (open >= h->limits.conns_high) {
        while (open > h->limits.conns_low && trim_one(h))
            open--;
    }
    if (open < before)
        log_info(reactor_log(h->reactor), L_SWARM, "too many connections: idle ones closed",
                 kv_uint("open", before), kv_uint("closed", before - open));
    h->trim_at = reactor_now(h->reactor) + TRIM_INTERVAL;
    if (open >= h->limits.conns_high)
        timer_start(t, h->trim_at);
}

/* At the mark already: strangers are let in below it only, and those who idle would keep all others
 * out. */
void swarm_check_limits(struct host *h) {
    if (h->conns_count >= h->limits.conns_high && !heap_node_is_linked(&h->trim_timer.node))
        timer_start(&h->trim_timer, MAX(h->trim_at, reactor_now(h->reactor)));
}

int swarm_limits_init(struct host *h, const struct host_limits *limits) {
    h->limits = *limits;
    if (h->limits.conns_max == 0)
        h->limits = (struct host_limits){.conns_max = HOST_CONNS_MAX,
                                         .conns_high = HOST_CONNS_HIGH,
                                         .conns_low = HOST_CONNS_LOW,
                                         .grace = HOST_CONNS_GRACE};
    return timer_init(&h->trim_timer, h->reactor, on_trim);
}

void swarm_limits_done(struct host *h) {
    timer_done(&h->trim_timer);
}

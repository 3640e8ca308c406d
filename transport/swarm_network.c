/* SPDX-License-Identifier: MIT */
/* The machine is elsewhere in the network, or a peer is: which connections that concerns, and what
 * becomes of them. */

#include "core/base/net_addr.h"
#include "transport/host_internal.h"
#include "transport/swarm_dial.h"
#include "uring/netwatch.h"

/* Peers that are dialled after one change.  All of them have lost their way to us. */
enum { MISSED_MAX = 64 };

/* --- Our addresses --- */

/* What the system does not list may be there all the same. */
static bool is_gone(const struct netwatch_snapshot *s, const struct net_addr *ip) {
    if (!s->is_known || s->is_cut || !netwatch_lists(ip))
        return false;
    for (uint32_t i = 0; i < s->addrs_count; i++) {
        if (net_addr_ip_equal(&s->addrs[i].ip, ip))
            return false;
    }
    return true;
}

static bool has_lost_address(const struct host *h, const struct conn *c) {
    struct net_addr local;
    return multiaddr_to_net_addr(&c->local, &local) == 0 &&
           is_gone(netwatch_snapshot(h->netwatch), &local);
}

static void give_up(struct host_conn *hc) {
    struct conn *c = hc->conn;
    char text[MULTIADDR_TEXT_MAX];
    char id[PEER_ID_SHORT_MAX];
    log_info(reactor_log(hc->peer->host->reactor), L_SWARM,
             "connection given up: our address is gone",
             kv_str("peer", peer_id_format_short(&c->peer, id)),
             kv_str("address", multiaddr_format(&c->local, text)));
    hc->closing = true;
    c->ops->close(c, CONN_CODE_NONE);
}

/* Returns whether it was given up. */
static bool look_at_conn(struct host_conn *hc, bool all_are_in_doubt) {
    struct conn *c = hc->conn;
    if (hc->closing)
        return false;
    bool is_lost = has_lost_address(hc->peer->host, c);
    if (is_lost && (c->ops->can_move == NULL || !c->ops->can_move(c))) {
        give_up(hc);
        return true;
    }
    if (is_lost || all_are_in_doubt)
        swarm_doubt(hc);
    return false;
}

static void look_at_conns(struct host *h, bool all_are_in_doubt) {
    uint32_t missed = 0;
    list_for_each (node, &h->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, host_node);
        struct peer *p = hc->peer;
        bool is_missed = look_at_conn(hc, all_are_in_doubt) && hc->authorized;
        if (!is_missed || p->is_missed || missed == MISSED_MAX)
            continue;
        p->is_missed = true;
        missed++;
    }
}

void host_network_changed(struct host *h, const struct netwatch_change *change) {
    assert(h->netwatch != NULL);
    if (h->closing)
        return;
    dial_backoff_forget(&h->backoff);
    h->udp_hole = (struct black_hole){.results_count = 0};
    h->ip6_hole = (struct black_hole){.results_count = 0};
    look_at_conns(h, change->was_suspended || change->routes_differ);
    map_for_each (node, &h->peers) {
        struct peer *p = CONTAINER_OF(node, struct peer, node);
        p->round = dial_round_free(p->round);
        dial_pace_forget(&p->pace);
        p->race_again_at = 0;
        p->missing_again_at = 0;
        swarm_wake(p);
    }
    identify_moved(h);
}

/* --- Peers' addresses --- */

static bool is_at(const struct conn *c, const struct net_addr *ip) {
    struct net_addr remote;
    return !c->relayed && multiaddr_to_net_addr(&c->remote, &remote) == 0 &&
           net_addr_ip_equal(&remote, ip);
}

/* One that dials us from another address of the same family has lost the one that it had, or has
 * two: it is asked.  So is one over QUIC that now comes without: to it, UDP may pass no more.
 *
 * A peer can have at most its other connections asked, by a packet each, for a handshake. */
void swarm_doubt_others(const struct host_conn *newcomer) {
    const struct conn *c = newcomer->conn;
    struct net_addr at;
    if (!c->inbound || c->relayed || multiaddr_to_net_addr(&c->remote, &at) < 0)
        return;
    bool is_past_quic = !multiaddr_has(&c->remote, MULTIADDR_QUIC_V1);
    list_for_each (node, &newcomer->peer->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, node);
        struct net_addr was_at;
        bool is_direct =
            !hc->conn->relayed && multiaddr_to_net_addr(&hc->conn->remote, &was_at) == 0;
        if (hc == newcomer || !is_direct)
            continue;
        bool has_moved = was_at.family == at.family && !net_addr_ip_equal(&was_at, &at);
        if (has_moved && !swarm_is_doubted(hc))
            swarm_doubt(hc);
        if (is_past_quic || has_moved)
            swarm_doubt_replaced(hc);
    }
}

void host_doubt(struct host *h, const struct stream *s) {
    struct host_conn *hc = host_conn_of(stream_conn(s));
    assert(hc->peer->host == h);
    swarm_doubt(hc);
    swarm_wake(hc->peer);
}

static bool says(const struct identify_walk *walk, const struct net_addr *ip) {
    struct identify_walk at = *walk;
    struct multiaddr addr;
    struct net_addr said;
    while (identify_next_addr(&at, &addr)) {
        if (!multiaddr_is_relayed(&addr) && multiaddr_to_net_addr(&addr, &said) == 0 &&
            net_addr_ip_equal(&said, ip))
            return true;
    }
    return false;
}

void swarm_doubt_left(const struct peer *p, const struct addr_list *before,
                      const struct identify_walk *now) {
    for (uint32_t i = 0; i < before->count; i++) {
        struct net_addr left;
        if (multiaddr_is_relayed(&before->items[i]) ||
            multiaddr_to_net_addr(&before->items[i], &left) < 0 || net_addr_is_loopback(&left) ||
            says(now, &left))
            continue;
        list_for_each (node, &p->conns) {
            struct host_conn *hc = LIST_ENTRY(node, struct host_conn, node);
            if (is_at(hc->conn, &left))
                swarm_doubt(hc);
        }
    }
}

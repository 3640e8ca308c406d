/* SPDX-License-Identifier: MIT */
/* Strangers whom the gate denies and who are let in for one errand: see struct host_guests.
 * Spec: decision 1, "pending nonce". */

#include "transport/host_internal.h"

static uint32_t count_guests(const struct host *h) {
    uint32_t count = 0;
    list_for_each (node, &h->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, const struct host_conn, host_node);
        count += hc->is_guest && !hc->closing;
    }
    return count;
}

bool swarm_expects(struct host *h, const struct conn *c) {
    struct host_guests *g = h->guests;
    if (g == NULL || h->closing || !g->expects(g, c))
        return false;
    if (count_guests(h) < HOST_GUESTS_MAX &&
        rate_take(&h->guest_rate, HOST_GUEST_EVERY, HOST_GUESTS_BURST, reactor_now(h->reactor)))
        return true;
    if (g->turned_away != NULL)
        g->turned_away(g);
    return false;
}

void swarm_welcome(struct host_conn *hc) {
    struct host *h = hc->peer->host;
    hc->is_guest = true;
    if (!heap_node_is_linked(&h->guest_timer.node))
        timer_start(&h->guest_timer, reactor_now(h->reactor) + HOST_GUEST_TIME);
}

bool swarm_may_guest_use(const struct host *h, const struct protocol_handler *ph) {
    return h->guests != NULL && strcmp(ph->protocol, h->guests->protocol) == 0;
}

static void on_guest_timer(struct timer *t) {
    struct host *h = CONTAINER_OF(t, struct host, guest_timer);
    nsec_t next = NSEC_NEVER;
    list_for_each (node, &h->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, host_node);
        nsec_t until = hc->conn->opened_at + HOST_GUEST_TIME;
        if (!hc->is_guest || hc->closing)
            continue;
        if (until > reactor_now(h->reactor)) {
            next = MIN(next, until);
            continue;
        }
        hc->closing = true;
        hc->conn->ops->close(hc->conn, CONN_CODE_GATED);
    }
    if (next != NSEC_NEVER)
        timer_start(t, next);
}

void host_expect_guests(struct host *h, struct host_guests *g) {
    h->guests = g;
}

int swarm_guests_init(struct host *h) {
    return timer_init(&h->guest_timer, h->reactor, on_guest_timer);
}

void swarm_guests_done(struct host *h) {
    timer_done(&h->guest_timer);
}

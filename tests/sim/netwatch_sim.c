/* SPDX-License-Identifier: MIT */
#include "tests/sim/netwatch_sim.h"

#include <stdio.h>

#define SETTLE MSEC(500)

enum { LINK_INDEX = 2 };

static void add_default_route(struct netwatch_snapshot *s, uint8_t family) {
    struct netwatch_route r = {.link_index = LINK_INDEX, .family = family};
    r.gateway = (struct net_addr){.family = family, .ip = {5, 0, 0, 1}};
    for (uint32_t i = 0; i < s->routes_count; i++) {
        if (s->routes[i].family == family)
            return;
    }
    netwatch_add_route(s, &r);
}

void sim_netwatch_read_host(const struct sim_host *h, struct netwatch_snapshot *ret_snapshot) {
    struct netwatch_link link = {.index = LINK_INDEX, .is_running = true};
    *ret_snapshot = (struct netwatch_snapshot){.knows_routes = true};
    (void)snprintf(link.name, sizeof(link.name), "sim0");
    for (uint32_t i = 0; i < h->addrs_count; i++) {
        struct netwatch_addr a = {.ip = h->addrs[i], .link_index = LINK_INDEX, .prefix_len = 24};
        if (!netwatch_lists(&a.ip))
            continue;
        netwatch_add_addr(ret_snapshot, &a);
        add_default_route(ret_snapshot, a.ip.family);
    }
    if (ret_snapshot->addrs_count > 0)
        netwatch_add_link(ret_snapshot, &link);
}

/* In a turn of the reactor's. */
static void deliver(struct mailbox_msg *m) {
    struct sim_netwatch *w = CONTAINER_OF(m, struct sim_netwatch, msg);
    bool was_suspended = w->was_suspended;
    w->is_posted = false;
    w->was_suspended = false;
    netwatch_publish(&w->netwatch, &w->next, was_suspended);
}

static void on_settled(struct sim_event *e) {
    struct sim_netwatch *w = CONTAINER_OF(e, struct sim_netwatch, event);
    if (w->is_posted)
        return;
    w->is_posted = true;
    reactor_post(w->reactor, &w->msg);
}

static void settle(struct sim_netwatch *w) {
    if (!heap_node_is_linked(&w->event.node))
        world_after(w->host->net->world, &w->event, SETTLE);
}

void sim_netwatch_set(struct sim_netwatch *w, const struct netwatch_snapshot *s) {
    w->next = *s;
    settle(w);
}

void sim_netwatch_wake_up(struct sim_netwatch *w) {
    w->was_suspended = true;
    settle(w);
}

void sim_netwatch_init(struct sim_netwatch *w, struct sim_host *h) {
    *w = (struct sim_netwatch){.host = h, .msg.deliver = deliver};
    sim_event_init(&w->event, on_settled);
    sim_netwatch_read_host(h, &w->next);
    netwatch_publish(&w->netwatch, &w->next, false);
}

void sim_netwatch_done(struct sim_netwatch *w) {
    world_cancel(w->host->net->world, &w->event);
}

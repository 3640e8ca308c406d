/* SPDX-License-Identifier: MIT */
#include "uring/netwatch.h"

const struct netwatch_snapshot *netwatch_snapshot(const struct netwatch *w) {
    return &w->now;
}

void netwatch_set_watcher(struct netwatch *w, netwatch_fn *changed, void *user) {
    w->changed = changed;
    w->user = user;
}

const struct netwatch_link *netwatch_link_of(const struct netwatch_snapshot *s, uint32_t index) {
    for (uint32_t i = 0; i < s->links_count; i++) {
        if (s->links[i].index == index)
            return &s->links[i];
    }
    return NULL;
}

/* --- Building --- */

bool netwatch_lists(const struct net_addr *ip) {
    if (ip->family == NET_NONE || net_addr_is_unspecified(ip) || net_addr_is_loopback(ip))
        return false;
    return ip->family == NET_IP4 || !net_addr_is_link_local(ip);
}

void netwatch_add_addr(struct netwatch_snapshot *s, const struct netwatch_addr *a) {
    if (s->addrs_count < NETWATCH_ADDRS_MAX)
        s->addrs[s->addrs_count++] = *a;
    else
        s->is_cut = true;
}

void netwatch_add_route(struct netwatch_snapshot *s, const struct netwatch_route *r) {
    if (s->routes_count < NETWATCH_ROUTES_MAX)
        s->routes[s->routes_count++] = *r;
    else
        s->is_cut = true;
}

void netwatch_add_link(struct netwatch_snapshot *s, const struct netwatch_link *l) {
    if (s->links_count < NETWATCH_LINKS_MAX)
        s->links[s->links_count++] = *l;
    else
        s->is_cut = true;
}

/* --- Comparing: as sets, for the kernel's order is its own --- */

static const struct netwatch_addr *find_addr(const struct netwatch_snapshot *in,
                                             const struct netwatch_addr *a) {
    for (uint32_t i = 0; i < in->addrs_count; i++) {
        const struct netwatch_addr *b = &in->addrs[i];
        if (b->link_index == a->link_index && net_addr_ip_equal(&b->ip, &a->ip))
            return b;
    }
    return NULL;
}

static bool has_other_flags(const struct netwatch_addr *a, const struct netwatch_addr *b) {
    return a->prefix_len != b->prefix_len || a->scope != b->scope ||
           a->is_temporary != b->is_temporary || a->is_deprecated != b->is_deprecated;
}

static void compare_addrs(const struct netwatch_snapshot *before,
                          const struct netwatch_snapshot *after, struct netwatch_change *change) {
    for (uint32_t i = 0; i < before->addrs_count; i++)
        change->addrs_removed += find_addr(after, &before->addrs[i]) == NULL;
    for (uint32_t i = 0; i < after->addrs_count; i++) {
        const struct netwatch_addr *old = find_addr(before, &after->addrs[i]);
        change->addrs_added += old == NULL;
        change->addrs_altered += old != NULL && has_other_flags(old, &after->addrs[i]);
    }
}

static bool has_route(const struct netwatch_snapshot *in, const struct netwatch_route *r) {
    for (uint32_t i = 0; i < in->routes_count; i++) {
        const struct netwatch_route *s = &in->routes[i];
        if (s->family == r->family && s->link_index == r->link_index && s->metric == r->metric &&
            net_addr_ip_equal(&s->gateway, &r->gateway))
            return true;
    }
    return false;
}

static bool has_all_routes(const struct netwatch_snapshot *in, const struct netwatch_snapshot *of) {
    for (uint32_t i = 0; i < of->routes_count; i++) {
        if (!has_route(in, &of->routes[i]))
            return false;
    }
    return true;
}

void netwatch_publish(struct netwatch *w, const struct netwatch_snapshot *s, bool was_suspended) {
    struct netwatch_change change = {.was_suspended = was_suspended};
    compare_addrs(&w->now, s, &change);
    change.routes_differ = !has_all_routes(&w->now, s) || !has_all_routes(s, &w->now);
    bool counts = change.addrs_added > 0 || change.addrs_removed > 0 || change.addrs_altered > 0 ||
                  change.routes_differ || was_suspended || !w->now.is_known;
    w->now = *s;
    w->now.is_known = true;
    if (counts && w->changed != NULL)
        w->changed(w->user, &change);
}

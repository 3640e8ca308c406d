/* SPDX-License-Identifier: MIT */
#include "ctl/netmon.h"

#include <string.h>

#include "core/base/log.h"
#include "core/base/net_addr.h"
#include "ctl/node_metrics.h"
#include "ctl/reachability.h"
#include "relay/holepunch.h"
#include "relay/portmap.h"
#include "relay/reservations.h"
#include "transport/host.h"

/* Whether all addresses of a family in `a` are in `b`. */
static bool are_in(const struct net_addr *a, uint32_t a_count, const struct net_addr *b,
                   uint32_t b_count, uint8_t family) {
    for (uint32_t i = 0; i < a_count; i++) {
        uint32_t k = 0;
        while (k < b_count && !net_addr_equal(&a[i], &b[k]))
            k++;
        if (a[i].family == family && k == b_count)
            return false;
    }
    return true;
}

/* Takes the public addresses over. */
static void count(struct netmon *m, bool is_change) {
    const struct netwatch_snapshot *s = netwatch_snapshot(m->watch);
    struct net_addr now[NETWATCH_ADDRS_MAX];
    uint32_t n = 0, ip4_count = 0;
    bool differs[2];
    for (uint32_t i = 0; i < s->addrs_count; i++) {
        if (net_addr_is_public(&s->addrs[i].ip))
            now[n++] = s->addrs[i].ip;
    }
    for (uint32_t i = 0; i < n; i++)
        ip4_count += now[i].family == NET_IP4;
    for (int i = 0; i < 2; i++) {
        uint8_t family = i == 0 ? NET_IP4 : NET_IP6;
        differs[i] = !are_in(now, n, m->addrs, m->addrs_count, family) ||
                     !are_in(m->addrs, m->addrs_count, now, n, family);
    }
    node_metrics_addrs(m->metrics, ip4_count, n - ip4_count);
    if (is_change)
        node_metrics_network(m->metrics, differs[0], differs[1]);
    memcpy(m->addrs, now, n * sizeof(now[0]));
    m->addrs_count = n;
}

static bool has_public(const struct netmon *m, uint8_t family) {
    for (uint32_t i = 0; i < m->addrs_count; i++)
        if (m->addrs[i].family == family)
            return true;
    return false;
}

static void say(const struct netmon *m, const char *format, ...) PRINTF(2, 3);

static void say(const struct netmon *m, const char *format, ...) {
    va_list args;
    if (m->say == NULL)
        return;
    va_start(args, format);
    say_v(m->say, m->user, format, args);
    va_end(args);
}

static void tell(const struct netmon *m, const struct netwatch_change *c) {
    bool ip6 = has_public(m, NET_IP6);
    bool ip4 = has_public(m, NET_IP4);
    log_info(m->log, L_NODE, "network change detected", kv_uint("added", c->addrs_added),
             kv_uint("removed", c->addrs_removed), kv_bool("other_routes", c->routes_differ),
             kv_bool("was_suspended", c->was_suspended), kv_bool("ipv6", ip6),
             kv_bool("ipv4", ip4));
    if (c->addrs_added + c->addrs_removed > 0)
        say(m, "Network change: +%u -%u IPs (ipv6=%s ipv4=%s)", c->addrs_added, c->addrs_removed,
            ip6 ? "true" : "false", ip4 ? "true" : "false");
    else if (c->was_suspended)
        say(m, "Network change: the machine was suspended");
    else
        say(m, "Network change: another default route");
}

static void on_changed(void *user, const struct netwatch_change *c) {
    struct netmon *m = user;
    /* An address that others will replace soon is good until then. */
    if (c->addrs_added + c->addrs_removed == 0 && !c->routes_differ && !c->was_suspended)
        return;
    count(m, true);
    tell(m, c);
    host_network_changed(m->host, c);
    if (m->reservations != NULL)
        reservations_network_changed(m->reservations);
    if (m->reachability != NULL)
        reachability_network_changed(m->reachability);
    if (m->holepunch != NULL)
        holepunch_network_changed(m->holepunch);
    if (m->portmap != NULL)
        portmap_network_changed(m->portmap);
}

int netmon_open(struct netmon *m, struct reactor *r, struct netwatch *watch) {
    *m = (struct netmon){.watch = watch};
    if (watch != NULL)
        return 0;
    int e = netwatch_system_new(r, &m->own_watch);
    m->watch = m->own_watch;
    return e;
}

void netmon_start(struct netmon *m, const struct netmon_config *cfg) {
    m->host = cfg->host;
    m->reservations = cfg->reservations;
    m->reachability = cfg->reachability;
    m->holepunch = cfg->holepunch;
    m->portmap = cfg->portmap;
    m->log = cfg->log;
    m->say = cfg->say;
    m->user = cfg->user;
    m->metrics = cfg->metrics;
    count(m, false);
    netwatch_set_watcher(m->watch, on_changed, m);
}

void netmon_stop(struct netmon *m) {
    if (m->watch != NULL)
        netwatch_set_watcher(m->watch, NULL, NULL);
}

void netmon_close(struct netmon *m) {
    netmon_stop(m);
    m->watch = NULL;
    m->own_watch = netwatch_system_free(m->own_watch);
}

/* SPDX-License-Identifier: MIT */
#include "ctl/netmon.h"

#include "core/base/log.h"
#include "core/base/net_addr.h"
#include "ctl/reachability.h"
#include "relay/holepunch.h"
#include "relay/reservations.h"
#include "transport/host.h"

static bool has_public(const struct netwatch_snapshot *s, uint8_t family) {
    for (uint32_t i = 0; i < s->addrs_count; i++) {
        const struct net_addr *ip = &s->addrs[i].ip;
        if (ip->family == family && net_addr_is_public(ip))
            return true;
    }
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
    const struct netwatch_snapshot *s = netwatch_snapshot(m->watch);
    bool ip6 = has_public(s, NET_IP6);
    bool ip4 = has_public(s, NET_IP4);
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

static bool lists(const struct netwatch_snapshot *s, const struct net_addr *ip) {
    for (uint32_t i = 0; i < s->addrs_count; i++)
        if (net_addr_ip_equal(&s->addrs[i].ip, ip))
            return true;
    return false;
}

/* Whether `a` has an address of the family that `b` has not. */
static bool has_more(const struct netwatch_snapshot *a, const struct netwatch_snapshot *b,
                     uint8_t family) {
    for (uint32_t i = 0; i < a->addrs_count; i++)
        if (a->addrs[i].ip.family == family && !lists(b, &a->addrs[i].ip))
            return true;
    return false;
}

static void count(struct netmon *m) {
    const struct netwatch_snapshot *now = netwatch_snapshot(m->watch);
    m->changes.ip4 += has_more(now, &m->before, NET_IP4) || has_more(&m->before, now, NET_IP4);
    m->changes.ip6 += has_more(now, &m->before, NET_IP6) || has_more(&m->before, now, NET_IP6);
    m->before = *now;
}

static void on_changed(void *user, const struct netwatch_change *c) {
    struct netmon *m = user;
    /* An address that others will replace soon is good until then. */
    if (c->addrs_added + c->addrs_removed == 0 && !c->routes_differ && !c->was_suspended)
        return;
    tell(m, c);
    count(m);
    host_network_changed(m->host, c);
    if (m->reservations != NULL)
        reservations_network_changed(m->reservations);
    if (m->reachability != NULL)
        reachability_network_changed(m->reachability);
    if (m->holepunch != NULL)
        holepunch_network_changed(m->holepunch);
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
    m->log = cfg->log;
    m->say = cfg->say;
    m->user = cfg->user;
    m->before = *netwatch_snapshot(m->watch);
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

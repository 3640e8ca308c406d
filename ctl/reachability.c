/* SPDX-License-Identifier: MIT */
#include "ctl/reachability.h"

#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "ctl/node_metrics.h"
#include "relay/autonat_prober.h"
#include "relay/autonat_v1_prober.h"
#include "relay/external_addrs.h"
#include "transport/host.h"
#include "uring/netif.h"
#include "uring/netwatch.h"
#include "uring/reactor.h"

enum { INTERFACE_ADDRS_MAX = 64, FAMILIES = 2 };

struct reachability {
    struct reachability_config cfg;
    struct external_addrs *external;
    struct stun_prober *stun;             /* NULL: off */
    struct autonat_prober *autonat;       /* NULL: off */
    struct autonat_v1_prober *autonat_v1; /* the same */
    struct stun_finding found[FAMILIES];
    bool is_found[FAMILIES];
    char said[REACH_TEXT_MAX]; /* of the NAT, last */
    char grade;                /* that was logged last, */
    enum autonat_reach reach;  /* with this */
};

/* --- What is known --- */

static void count_ips(const struct reachability *r, struct reach_ips *ret_ips) {
    const struct netwatch_snapshot *s = netwatch_snapshot(r->cfg.netwatch);
    struct net_addr own[INTERFACE_ADDRS_MAX];
    *ret_ips = (struct reach_ips){0};
    for (uint32_t i = 0; s->is_known && i < s->addrs_count; i++)
        reach_add_ip(ret_ips, &s->addrs[i].ip);
    ssize_t count = s->is_known ? 0 : netif_addrs(own, INTERFACE_ADDRS_MAX);
    for (ssize_t i = 0; i < count; i++)
        reach_add_ip(ret_ips, &own[i]);
}

/* IPv6 is rarely translated: the NAT is that of IPv4, as long as somebody answered there. */
static const struct stun_finding *main_finding(const struct reachability *r) {
    for (size_t i = 0; i < FAMILIES; i++)
        if (r->is_found[i] && r->found[i].answered > 0)
            return &r->found[i];
    return NULL;
}

static void v2_info(const struct reachability *r, struct autonat_prober_info *ret_info) {
    *ret_info = (struct autonat_prober_info){.servers = 0};
    if (r->autonat != NULL)
        autonat_prober_info(r->autonat, ret_info);
}

static bool has_v2_answer(const struct autonat_prober_info *info) {
    return info->reachable + info->unreachable > 0;
}

static enum autonat_v1_reach v1_reach(const struct reachability *r, enum net_family family) {
    return r->autonat_v1 == NULL ? AUTONAT_V1_UNKNOWN
                                 : autonat_v1_prober_reach(r->autonat_v1, family);
}

/* That one family is public is enough. */
static enum autonat_reach node_reach(const struct reachability *r) {
    enum autonat_v1_reach ip4 = v1_reach(r, NET_IP4);
    enum autonat_v1_reach ip6 = v1_reach(r, NET_IP6);
    struct autonat_prober_info v2;
    v2_info(r, &v2);
    struct reach_asked asked = {.has_v2_answer = has_v2_answer(&v2), .v1 = ip4};
    if (ip6 == AUTONAT_V1_PUBLIC || ip4 == AUTONAT_V1_UNKNOWN)
        asked.v1 = ip6;
    if (v2.reachable > 0)
        asked.v2 = AUTONAT_REACH_PUBLIC;
    else if (v2.unreachable > 0 && v2.unknown == 0)
        asked.v2 = AUTONAT_REACH_PRIVATE;
    return reach_of_node(&asked);
}

static bool is_reached(const struct reachability *r, const struct net_addr *external) {
    struct multiaddr addr;
    if (r->autonat == NULL || external->family == NET_NONE)
        return false;
    multiaddr_from_net_addr(external, MULTIADDR_KIND_QUIC, &addr);
    return autonat_prober_reach(r->autonat, &addr) == AUTONAT_REACH_PUBLIC;
}

/* By STUN, or where one server alone answered, by what peers see of the same socket. */
static enum nat_type type_of(const struct reachability *r, const struct stun_finding *f) {
    enum nat_type type = f->result.type;
    if (type == NAT_UNKNOWN)
        type = external_addrs_nat_type(r->external, &f->listen, false);
    return is_reached(r, &f->result.external) ? nat_type_reached(type) : type;
}

void reachability_info(const struct reachability *r, struct reach_info *ret_info) {
    struct reach_info info = {.external = {.family = NET_NONE}, .reach = node_reach(r)};
    const struct stun_finding *f = main_finding(r);
    count_ips(r, &info.ips);
    info.nat.is_probed = r->is_found[0] || r->is_found[1];
    if (f != NULL) {
        info.nat.type = type_of(r, f);
        info.external = f->result.external;
        info.nat.is_external_known = info.external.family != NET_NONE;
    }
    info.grade = reach_grade(&info.ips, &info.nat);
    *ret_info = info;
}

/* --- What is said of it --- */

static bool is_punchable(enum nat_type type) {
    return type == NAT_FULL_CONE || type == NAT_ADDRESS_RESTRICTED || type == NAT_PORT_RESTRICTED;
}

const char *reach_info_text(const struct reach_info *info, char out[REACH_TEXT_MAX]) {
    char external[NET_ADDR_TEXT_MAX];
    const char *note = "";
    if (info->ips.is_cgnat)
        note = " [CGNAT]";
    else if (is_punchable(info->nat.type))
        note = " [hole-punchable]";
    if (info->nat.is_external_known)
        (void)snprintf(out, REACH_TEXT_MAX, "NAT type: %s (external: %s)%s",
                       nat_type_name(info->nat.type), net_addr_format(&info->external, external),
                       note);
    else
        (void)snprintf(out, REACH_TEXT_MAX, "NAT type: %s%s", nat_type_name(info->nat.type), note);
    return out;
}

static void say_nat(struct reachability *r, const struct reach_info *info) {
    char text[REACH_TEXT_MAX] = "Warning: STUN probe failed: no server answered";
    if (!info->nat.is_probed)
        return;
    if (main_finding(r) != NULL)
        (void)reach_info_text(info, text);
    if (strcmp(text, r->said) == 0)
        return;
    memcpy(r->said, text, sizeof(r->said));
    if (r->cfg.say != NULL)
        r->cfg.say(r->cfg.say_user, text);
}

static void tell(struct reachability *r) {
    static const char *const names[] = {[AUTONAT_REACH_UNKNOWN] = "unknown",
                                        [AUTONAT_REACH_PUBLIC] = "public",
                                        [AUTONAT_REACH_PRIVATE] = "private"};
    struct reach_info info;
    reachability_info(r, &info);
    say_nat(r, &info);
    if (info.grade.grade == r->grade && info.reach == r->reach)
        return;
    char grade[] = {info.grade.grade, '\0'};
    r->grade = info.grade.grade;
    r->reach = info.reach;
    log_info(r->cfg.log, L_NODE, "reachability", kv_str("grade", grade),
             kv_str("label", info.grade.label), kv_str("reason", info.grade.description),
             kv_str("nat_type", nat_type_name(info.nat.type)),
             kv_str("autonat", names[info.reach]));
}

/* --- What happens --- */

static void on_found(void *user, const struct stun_finding *f) {
    struct reachability *r = user;
    size_t at = f->listen.family == NET_IP6;
    bool is_ours = f->result.type != NAT_SYMMETRIC && f->result.type != NAT_NONE;
    struct net_addr nowhere = {.family = NET_NONE};
    r->found[at] = *f;
    r->is_found[at] = true;
    node_metrics_stun(r->cfg.metrics, f->answered, f->unanswered);
    /* Behind a symmetric NAT others see another one; and what we listen on is announced anyway. */
    external_addrs_probed(r->external, &f->listen, is_ours ? &f->result.external : &nowhere,
                          &f->server);
    tell(r);
}

static size_t on_more_addrs(void *user, struct multiaddr *out, size_t max) {
    const struct reachability *r = user;
    struct multiaddr to_ask[EXTERNAL_ADDRS_MAX];
    size_t count = MIN(external_addrs_to_ask(r->external, to_ask), max);
    memcpy(out, to_ask, count * sizeof(*out));
    return count;
}

static void on_verdict(void *user) {
    struct reachability *r = user;
    external_addrs_reach_changed(r->external);
    tell(r);
}

static enum autonat_reach on_reach(void *user, const struct multiaddr *addr, bool is_vouched_for) {
    const struct reachability *r = user;
    struct reach_asked asked = {.v2 = AUTONAT_REACH_UNKNOWN, .is_vouched_for = is_vouched_for};
    struct autonat_prober_info v2;
    struct net_addr ip;
    v2_info(r, &v2);
    asked.has_v2_answer = has_v2_answer(&v2);
    if (r->autonat != NULL)
        asked.v2 = autonat_prober_reach(r->autonat, addr);
    if (r->autonat_v1 != NULL && multiaddr_to_net_addr(addr, &ip) == 0) {
        enum net_family family = (enum net_family)ip.family;
        asked.v1 = v1_reach(r, family);
        asked.is_v1_confirmed = autonat_v1_prober_is_confirmed(r->autonat_v1, family);
    }
    return reach_of_addr(&asked);
}

static void ask_anew(struct reachability *r) {
    if (r->autonat != NULL)
        autonat_prober_addrs_changed(r->autonat);
    if (r->autonat_v1 != NULL)
        autonat_v1_prober_addrs_changed(r->autonat_v1);
}

void reachability_network_changed(struct reachability *r) {
    ask_anew(r);
    if (r->autonat_v1 != NULL)
        autonat_v1_prober_network_changed(r->autonat_v1);
    if (r->stun != NULL)
        stun_prober_network_changed(r->stun);
    tell(r);
}

static void on_to_ask_added(void *user) {
    ask_anew(user);
}

static void on_added(void *user) {
    const struct reachability *r = user;
    if (r->cfg.addr_added != NULL)
        r->cfg.addr_added(r->cfg.user);
}

/* --- Life --- */

static int open_external(struct reachability *r) {
    struct external_addrs_config cfg = {.reactor = r->cfg.reactor,
                                        .host = r->cfg.host,
                                        .log = r->cfg.log,
                                        .trusted = r->cfg.trusted,
                                        .trusted_count = r->cfg.trusted_count,
                                        .is_hidden = r->cfg.is_private,
                                        .reach = on_reach,
                                        .added = on_added,
                                        .to_ask_added = on_to_ask_added,
                                        .user = r};
    return external_addrs_new(&cfg, &r->external);
}

static int open_stun(struct reachability *r) {
    struct stun_prober_config cfg = {.reactor = r->cfg.reactor,
                                     .host = r->cfg.host,
                                     .resolver = r->cfg.resolver,
                                     .log = r->cfg.log,
                                     .servers = r->cfg.stun_servers,
                                     .servers_count = r->cfg.stun_servers_count,
                                     .found = on_found,
                                     .user = r};
    return r->cfg.stun_servers_count == 0 ? 0 : stun_prober_new(&cfg, &r->stun);
}

static int open_autonat(struct reachability *r) {
    struct autonat_prober_config cfg = {.reactor = r->cfg.reactor,
                                        .host = r->cfg.host,
                                        .log = r->cfg.log,
                                        .more_addrs = on_more_addrs,
                                        .changed = on_verdict,
                                        .user = r};
    return autonat_prober_new(&cfg, &r->autonat);
}

static int open_autonat_v1(struct reachability *r) {
    struct autonat_v1_prober_config cfg = {.reactor = r->cfg.reactor,
                                           .host = r->cfg.host,
                                           .log = r->cfg.log,
                                           .more_addrs = on_more_addrs,
                                           .changed = on_verdict,
                                           .user = r};
    return autonat_v1_prober_new(&cfg, &r->autonat_v1);
}

int reachability_new(const struct reachability_config *cfg,
                     struct reachability **ret_reachability) {
    struct reachability *r = mem_alloc(reactor_mem(cfg->reactor), sizeof(*r));
    if (r == NULL)
        return -ENOMEM;
    r->cfg = *cfg;
    int e = open_external(r);
    if (e == 0)
        e = open_stun(r);
    if (e == 0 && !cfg->is_private)
        e = open_autonat(r);
    if (e == 0 && !cfg->is_private)
        e = open_autonat_v1(r);
    if (e < 0) {
        (void)reachability_free(r);
        return e;
    }
    /* The caller's, and of no use any more. */
    r->cfg.trusted = NULL;
    r->cfg.stun_servers = NULL;
    tell(r);
    *ret_reachability = r;
    return 0;
}

void reachability_stop(struct reachability *r) {
    r->stun = stun_prober_free(r->stun);
    r->autonat = autonat_prober_free(r->autonat);
    r->autonat_v1 = autonat_v1_prober_free(r->autonat_v1);
}

struct reachability *reachability_free(struct reachability *r) {
    if (r == NULL)
        return NULL;
    reachability_stop(r);
    r->external = external_addrs_free(r->external);
    return mem_free(reactor_mem(r->cfg.reactor), r);
}

struct external_addrs *reachability_external(const struct reachability *r) {
    return r->external;
}

const struct autonat_prober *reachability_autonat(const struct reachability *r) {
    return r->autonat;
}

const struct autonat_v1_prober *reachability_autonat_v1(const struct reachability *r) {
    return r->autonat_v1;
}

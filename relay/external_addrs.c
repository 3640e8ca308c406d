/* SPDX-License-Identifier: MIT */
#include "relay/external_addrs.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "core/base/rate.h"
#include "relay/proto/observed.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "uring/reactor.h"

enum { LISTEN_ADDRS_MAX = 32 };

_Static_assert((int)EXTERNAL_ADDRS_MAX <= (int)HOST_ANNOUNCED_MAX, "all may be announced");

struct addrs {
    struct multiaddr list[EXTERNAL_ADDRS_MAX];
    size_t count;
};

struct external_addrs {
    struct external_addrs_config cfg;
    struct host_watch watch;
    struct peer_id trusted[EXTERNAL_TRUSTED_MAX];
    size_t trusted_count;
    struct observed tracker;
    struct rate news;
    struct addrs mapped;
    struct addrs seen;
    struct addrs told;   /* of those, what `added` was told */
    struct addrs to_ask; /* as `to_ask_added` was */
    struct addrs announced;
};

/* What is known now. */
struct view {
    struct addrs seen;
    struct addrs to_ask;
    struct addrs announced;
};

/* --- What is believed --- */

enum belief {
    BELIEF_NONE,
    BELIEF_TO_ASK, /* with AutoNAT's proof */
    BELIEF_FULL,
    BELIEF_VOUCHED, /* by the gateway, or by whom the user trusts */
};

static bool is_to_be_announced(const struct external_addrs *x, const struct multiaddr *addr,
                               enum belief belief) {
    enum autonat_reach reach = AUTONAT_REACH_UNKNOWN;
    if (x->cfg.reach != NULL)
        reach = x->cfg.reach(x->cfg.user, addr, belief == BELIEF_VOUCHED);
    if (x->cfg.is_hidden || reach == AUTONAT_REACH_PRIVATE)
        return false;
    return belief >= BELIEF_FULL || (belief == BELIEF_TO_ASK && reach == AUTONAT_REACH_PUBLIC);
}

static enum belief belief_in(const struct observed_addr *f) {
    if (f->is_trusted)
        return BELIEF_VOUCHED;
    if (f->observers_count >= OBSERVED_TO_ANNOUNCE)
        return BELIEF_FULL;
    return f->observers_count >= OBSERVED_TO_ASK ? BELIEF_TO_ASK : BELIEF_NONE;
}

static void add(struct addrs *a, const struct multiaddr *addr) {
    assert(a->count < EXTERNAL_ADDRS_MAX);
    a->list[a->count++] = *addr;
}

static void consider(const struct external_addrs *x, const struct multiaddr *addr,
                     enum belief belief, struct view *v) {
    add(&v->seen, addr);
    if (belief != BELIEF_NONE)
        add(&v->to_ask, addr);
    if (is_to_be_announced(x, addr, belief))
        add(&v->announced, addr);
}

/* What is mapped and what anybody sees. */
static void collect(const struct external_addrs *x, struct view *ret_view) {
    struct observed_addr found[EXTERNAL_ADDRS_MAX];
    size_t count = observed_addrs(&x->tracker, OBSERVED_TO_PUNCH, found, EXTERNAL_ADDRS_MAX);
    *ret_view = (struct view){.seen = {.count = 0}};
    for (size_t i = 0; i < x->mapped.count; i++)
        consider(x, &x->mapped.list[i], BELIEF_VOUCHED, ret_view);
    for (size_t i = 0; i < count && ret_view->seen.count < EXTERNAL_ADDRS_MAX; i++) {
        const struct observed_addr *f = &found[i];
        struct multiaddr addr;
        multiaddr_from_net_addr(&f->external, f->is_tcp ? MULTIADDR_KIND_TCP : MULTIADDR_KIND_QUIC,
                                &addr);
        if (!multiaddr_is_in(&addr, x->mapped.list, x->mapped.count))
            consider(x, &addr, belief_in(f), ret_view);
    }
}

static bool contains(const struct addrs *all, const struct addrs *some) {
    for (size_t i = 0; i < some->count; i++) {
        if (!multiaddr_is_in(&some->list[i], all->list, all->count))
            return false;
    }
    return true;
}

/* What nobody sees any more is news when it comes back. */
static void keep_common(struct addrs *a, const struct addrs *now) {
    size_t kept = 0;
    for (size_t i = 0; i < a->count; i++) {
        if (multiaddr_is_in(&a->list[i], now->list, now->count))
            a->list[kept++] = a->list[i];
    }
    a->count = kept;
}

/* Another order, as observers come and go, is no news to peers. */
static void announce(struct external_addrs *x, const struct addrs *now) {
    if (contains(now, &x->announced) && contains(&x->announced, now))
        return;
    char text[MULTIADDR_TEXT_MAX];
    for (size_t i = 0; i < now->count; i++)
        log_debug(x->cfg.log, L_RELAY, "external address",
                  kv_str("address", multiaddr_format(&now->list[i], text)));
    x->announced = *now;
    host_announce(x->cfg.host, now->list, now->count);
}

static bool is_news_due(struct external_addrs *x) {
    return rate_take(&x->news, EXTERNAL_NEWS_EVERY, EXTERNAL_NEWS_BURST,
                     reactor_now(x->cfg.reactor));
}

/* What was no news for want of room is news as soon as there is some, or when it is confirmed. */
static void tell_added(struct external_addrs *x) {
    bool is_sure = !contains(&x->told, &x->to_ask);
    if (contains(&x->told, &x->seen) || (!is_sure && !is_news_due(x)))
        return;
    x->told = x->seen;
    if (x->cfg.added != NULL)
        x->cfg.added(x->cfg.user);
}

static void look(struct external_addrs *x) {
    struct view v;
    collect(x, &v);
    bool has_more_to_ask = !contains(&x->to_ask, &v.to_ask);
    x->seen = v.seen;
    x->to_ask = v.to_ask;
    keep_common(&x->told, &v.seen);
    announce(x, &v.announced);
    if (has_more_to_ask && x->cfg.to_ask_added != NULL)
        x->cfg.to_ask_added(x->cfg.user);
    tell_added(x);
}

/* --- What peers say --- */

/* The listen address that a connection uses. */
static bool find_listen(const struct host *h, enum multiaddr_kind kind, const struct net_addr *used,
                        struct net_addr *ret_listen) {
    struct multiaddr bound[LISTEN_ADDRS_MAX];
    size_t count = host_listen_addrs(h, bound, LISTEN_ADDRS_MAX);
    for (size_t i = 0; i < MIN(count, (size_t)LISTEN_ADDRS_MAX); i++) {
        struct net_addr a;
        if (multiaddr_kind(&bound[i]) != kind || multiaddr_to_net_addr(&bound[i], &a) < 0 ||
            a.family != used->family || a.port != used->port)
            continue;
        *ret_listen = a;
        if (net_addr_is_unspecified(&a) || net_addr_equal(&a, used))
            return true;
    }
    return false;
}

static bool is_trusted(const struct external_addrs *x, const struct peer_id *peer) {
    for (size_t i = 0; i < x->trusted_count; i++) {
        if (peer_id_equal(&x->trusted[i], peer))
            return true;
    }
    return false;
}

static void on_observed(struct host_watch *w, struct conn *c, struct bytes addr) {
    struct external_addrs *x = CONTAINER_OF(w, struct external_addrs, watch);
    struct observed_report report = {.conn = (uintptr_t)c,
                                     .peer = c->peer,
                                     .kind = multiaddr_kind(&c->remote),
                                     .addr = addr,
                                     .is_trusted = is_trusted(x, &c->peer)};
    struct net_addr used;
    bool is_punchable = report.kind == MULTIADDR_KIND_TCP || report.kind == MULTIADDR_KIND_QUIC;
    if (!is_punchable || c->relayed || multiaddr_to_net_addr(&c->local, &used) < 0 ||
        multiaddr_to_net_addr(&c->remote, &report.observer) < 0 ||
        !find_listen(x->cfg.host, report.kind, &used, &report.local))
        return;
    if (observed_add(&x->tracker, &report))
        look(x);
}

static void on_closed(struct host_watch *w, struct conn *c) {
    struct external_addrs *x = CONTAINER_OF(w, struct external_addrs, watch);
    observed_conn_closed(&x->tracker, (uintptr_t)c);
    look(x);
}

/* --- What STUN and AutoNAT found --- */

void external_addrs_probed(struct external_addrs *x, const struct net_addr *listen,
                           const struct net_addr *external, const struct net_addr *server) {
    uint64_t number = listen->family; /* which no connection's address is */
    struct multiaddr addr;
    observed_conn_closed(&x->tracker, number);
    if (external->family != NET_NONE) {
        multiaddr_from_net_addr(external, MULTIADDR_KIND_QUIC, &addr);
        struct observed_report report = {.conn = number,
                                         .kind = MULTIADDR_KIND_QUIC,
                                         .local = *listen,
                                         .observer = *server,
                                         .addr = multiaddr_bytes(&addr),
                                         .is_trusted = true};
        bool is_of_use = observed_add(&x->tracker, &report);
        (void)is_of_use; /* a private one is not: the server is within our network */
    }
    look(x);
}

void external_addrs_reach_changed(struct external_addrs *x) {
    look(x);
}

/* --- Life --- */

int external_addrs_new(const struct external_addrs_config *cfg, struct external_addrs **ret_addrs) {
    struct external_addrs *x = mem_alloc(reactor_mem(cfg->reactor), sizeof(*x));
    if (x == NULL)
        return -ENOMEM;
    x->cfg = *cfg;
    x->cfg.trusted = NULL;
    x->trusted_count = MIN(cfg->trusted_count, (size_t)EXTERNAL_TRUSTED_MAX);
    for (size_t i = 0; i < x->trusted_count; i++)
        x->trusted[i] = cfg->trusted[i];
    observed_init(&x->tracker, cfg->accept_private);
    x->watch = (struct host_watch){.observed = on_observed, .closed = on_closed};
    host_watch(cfg->host, &x->watch);
    *ret_addrs = x;
    return 0;
}

struct external_addrs *external_addrs_free(struct external_addrs *x) {
    if (x == NULL)
        return NULL;
    host_unwatch(&x->watch);
    host_announce(x->cfg.host, NULL, 0);
    return mem_free(reactor_mem(x->cfg.reactor), x);
}

void external_addrs_set_mapped(struct external_addrs *x, const struct multiaddr *addrs,
                               size_t count) {
    x->mapped.count = MIN(count, (size_t)EXTERNAL_ADDRS_MAX);
    for (size_t i = 0; i < x->mapped.count; i++)
        x->mapped.list[i] = addrs[i];
    look(x);
}

enum nat_type external_addrs_nat_type(const struct external_addrs *x, const struct net_addr *listen,
                                      bool is_tcp) {
    return observed_nat_type(&x->tracker, listen, is_tcp);
}

static size_t copy(const struct addrs *a, struct multiaddr ret_addrs[EXTERNAL_ADDRS_MAX]) {
    memcpy(ret_addrs, a->list, a->count * sizeof(a->list[0]));
    return a->count;
}

size_t external_addrs_seen(const struct external_addrs *x,
                           struct multiaddr ret_addrs[EXTERNAL_ADDRS_MAX]) {
    return copy(&x->seen, ret_addrs);
}

size_t external_addrs_to_ask(const struct external_addrs *x,
                             struct multiaddr ret_addrs[EXTERNAL_ADDRS_MAX]) {
    return copy(&x->to_ask, ret_addrs);
}

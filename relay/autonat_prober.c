/* SPDX-License-Identifier: MIT */
#include "relay/autonat_prober.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/p2p/protocol_id.h"
#include "relay/autonat_question.h"
#include "relay/dial_backs.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "transport/proto/identify.h"
#include "uring/reactor.h"

enum { ADDRS_MAX = HOST_ADVERTISED_MAX + AUTONAT_TRACKED_MAX };

/* A probe that runs, or a place for one. */
struct probe {
    struct autonat_prober *owner;
    struct autonat_question *question; /* NULL: free */
    struct autonat_plan plan;
};

struct autonat_prober {
    struct autonat_prober_config cfg;
    struct host_watch watch;
    struct dial_backs *dial_backs;
    struct timer timer;
    struct deferred work; /* to look what is due */
    struct autonat_client engine;
    struct probe probes[AUTONAT_PROBES_MAX];
    struct autonat_prober_stats stats;
};

static nsec_t now_of(const struct autonat_prober *p) {
    return reactor_now(p->cfg.reactor);
}

static void wake(struct autonat_prober *p) {
    reactor_defer(p->cfg.reactor, &p->work);
}

/* --- Probes --- */

/* What others see comes first: it is what we cannot know ourselves. */
static void renew_addrs(struct autonat_prober *p) {
    struct multiaddr addrs[ADDRS_MAX];
    size_t count = 0;
    if (p->cfg.more_addrs != NULL)
        count = p->cfg.more_addrs(p->cfg.user, addrs, AUTONAT_TRACKED_MAX);
    count += host_advertised_addrs(p->cfg.host, NULL, addrs + count);
    autonat_client_set_addrs(&p->engine, addrs, count, now_of(p));
}

static void tell(const struct autonat_prober *p, const struct autonat_plan *plan,
                 const struct autonat_result *result) {
    static const char *const names[] = {
        [AUTONAT_NO_VERDICT] = "none",         [AUTONAT_REACHABLE] = "reachable",
        [AUTONAT_UNREACHABLE] = "unreachable", [AUTONAT_REFUSED] = "refused",
        [AUTONAT_REJECTED] = "rejected",       [AUTONAT_FAILED] = "failed"};
    char id[PEER_ID_SHORT_MAX], text[MULTIADDR_TEXT_MAX] = "";
    if (result->verdict <= AUTONAT_UNREACHABLE)
        (void)multiaddr_format(&plan->addrs[result->index], text);
    log_debug(p->cfg.log, L_RELAY, "autonat: probe complete",
              kv_str("server", peer_id_format_short(&plan->server, id)),
              kv_str("verdict", names[result->verdict]), kv_str("address", text),
              kv_err(result->verdict == AUTONAT_FAILED ? result->error : 0));
}

static void end_probe(struct probe *x, const struct autonat_result *result) {
    struct autonat_prober *p = x->owner;
    p->stats.ended[result->verdict]++;
    tell(p, &x->plan, result);
    bool is_news = autonat_client_done(&p->engine, &x->plan, result, now_of(p));
    if (is_news && p->cfg.changed != NULL)
        p->cfg.changed(p->cfg.user);
    wake(p);
}

static void on_done(void *user, const struct autonat_result *result) {
    struct probe *x = user;
    struct autonat_result r = *result;
    x->question = autonat_question_free(x->question);
    end_probe(x, &r);
}

static struct probe *find_place(struct autonat_prober *p) {
    for (size_t i = 0; i < ARRAY_COUNT(p->probes); i++)
        if (p->probes[i].question == NULL)
            return &p->probes[i];
    return NULL;
}

static void start_due(struct autonat_prober *p) {
    struct probe *x;
    while ((x = find_place(p)) != NULL && autonat_client_next(&p->engine, &x->plan, now_of(p))) {
        struct autonat_question_config cfg = {.reactor = p->cfg.reactor,
                                              .host = p->cfg.host,
                                              .dial_backs = p->dial_backs,
                                              .server = &x->plan.server,
                                              .addrs = x->plan.addrs,
                                              .addrs_count = x->plan.addrs_count,
                                              .done = on_done,
                                              .user = x};
        int e = autonat_question_new(&cfg, &x->question);
        if (e < 0)
            end_probe(x, &(struct autonat_result){.verdict = AUTONAT_FAILED, .error = e});
    }
}

static void on_work(struct deferred *d) {
    struct autonat_prober *p = CONTAINER_OF(d, struct autonat_prober, work);
    if (p->engine.servers_count > 0)
        renew_addrs(p);
    start_due(p);
    timer_start(&p->timer, autonat_client_deadline(&p->engine));
}

static void on_timer(struct timer *t) {
    wake(CONTAINER_OF(t, struct autonat_prober, timer));
}

void autonat_prober_addrs_changed(struct autonat_prober *p) {
    wake(p);
}

/* --- Servers --- */

static void on_told(struct host_watch *w, struct conn *c, const struct identify_message *m) {
    struct autonat_prober *p = CONTAINER_OF(w, struct autonat_prober, watch);
    /* One that does not list it here may do so elsewhere: rust's server identifies itself on the
     * connection of a dial-back as one that serves less. */
    if (c->relayed || !identify_has_protocol(m, PROTOCOL_AUTONAT_REQUEST))
        return;
    /* One within our network would dial through our own router, which may not turn it round. */
    if (!p->cfg.accept_private && multiaddr_class(&c->remote) != MULTIADDR_PUBLIC)
        return;
    autonat_client_server_added(&p->engine, &c->peer, now_of(p));
    wake(p);
}

static void on_closed(struct host_watch *w, struct conn *c) {
    struct autonat_prober *p = CONTAINER_OF(w, struct autonat_prober, watch);
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    size_t count = host_conns(p->cfg.host, &c->peer, conns, HOST_CONNS_PER_PEER_MAX);
    for (size_t i = 0; i < count; i++)
        if (!conns[i]->relayed)
            return;
    if (autonat_client_server_gone(&p->engine, &c->peer) && p->cfg.changed != NULL)
        p->cfg.changed(p->cfg.user);
}

/* --- What is known --- */

enum autonat_reach autonat_prober_reach(const struct autonat_prober *p,
                                        const struct multiaddr *addr) {
    return autonat_client_reach(&p->engine, addr);
}

void autonat_prober_info(const struct autonat_prober *p, struct autonat_prober_info *ret_info) {
    *ret_info = (struct autonat_prober_info){.servers = p->engine.servers_count};
    for (size_t i = 0; i < p->engine.tracked_count; i++) {
        enum autonat_reach reach = (enum autonat_reach)p->engine.tracked[i].reach;
        ret_info->reachable += reach == AUTONAT_REACH_PUBLIC;
        ret_info->unreachable += reach == AUTONAT_REACH_PRIVATE;
        ret_info->unknown += reach == AUTONAT_REACH_UNKNOWN;
    }
}

const struct autonat_prober_stats *autonat_prober_stats(const struct autonat_prober *p) {
    return &p->stats;
}

/* --- Life --- */

int autonat_prober_new(const struct autonat_prober_config *cfg,
                       struct autonat_prober **ret_prober) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct autonat_prober *p = mem_alloc(mem, sizeof(*p));
    if (p == NULL || timer_init(&p->timer, cfg->reactor, on_timer) < 0) {
        (void)mem_free(mem, p);
        return -ENOMEM;
    }
    int e = dial_backs_new(cfg->reactor, cfg->host, &p->dial_backs);
    if (e < 0) {
        timer_done(&p->timer);
        (void)mem_free(mem, p);
        return e;
    }
    p->cfg = *cfg;
    deferred_init(&p->work, on_work);
    autonat_client_init(&p->engine);
    for (size_t i = 0; i < ARRAY_COUNT(p->probes); i++)
        p->probes[i].owner = p;
    p->watch = (struct host_watch){.told = on_told, .closed = on_closed};
    host_watch(cfg->host, &p->watch);
    *ret_prober = p;
    return 0;
}

struct autonat_prober *autonat_prober_free(struct autonat_prober *p) {
    if (p == NULL)
        return NULL;
    host_unwatch(&p->watch);
    for (size_t i = 0; i < ARRAY_COUNT(p->probes); i++)
        p->probes[i].question = autonat_question_free(p->probes[i].question);
    p->dial_backs = dial_backs_free(p->dial_backs);
    deferred_cancel(&p->work);
    timer_done(&p->timer);
    return mem_free(reactor_mem(p->cfg.reactor), p);
}

/* SPDX-License-Identifier: MIT */
#include "relay/stun_prober.h"

#include <stdio.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/p2p/multiaddr.h"
#include "transport/host.h"
#include "transport/quic_transport.h"
#include "uring/reactor.h"
#include "uring/resolver.h"

enum { LISTEN_ADDRS_MAX = 32, LOCALS_MAX = 8, FAMILIES = 2 };

/* Rounds that changes of the network begin. */
#define ROUND_INTERVAL SEC(1)

struct server {
    char host[RESOLVE_HOST_MAX];
    uint16_t port;
    struct stun_prober *prober;
    struct resolve_request lookup;
    bool is_asked_for; /* the lookup is in flight */
};

/* A socket and what is asked over it. */
struct socket_round {
    struct net_addr listen; /* NET_NONE: there is no such socket */
    struct stun_client engine;
    struct net_addr locals[LOCALS_MAX]; /* where answers came to */
    size_t locals_count;
    bool is_running;
    enum nat_type type; /* as found last */
};

/* IDLE -> NAMES -> ASKING -> IDLE; each also to NAMES. */
enum state {
    STATE_IDLE,   /* between rounds */
    STATE_NAMES,  /* lookups run */
    STATE_ASKING, /* one of the sockets' rounds runs */
};

struct stun_prober {
    struct stun_prober_config cfg;
    struct dgram_sink sink;
    struct timer timer;
    enum state state;
    nsec_t began_at; /* the last round */
    nsec_t retry;    /* after a round without answers */
    bool has_answers;
    bool has_doubts; /* answers, too few to tell, were lost */
    bool has_news;   /* a NAT is of another type than it was */
    struct net_addr addrs[FAMILIES * STUN_PROBER_SERVERS_MAX];
    size_t addrs_count;
    struct socket_round rounds[FAMILIES];
    size_t servers_count;
    struct server servers[STUN_PROBER_SERVERS_MAX];
};

static const enum net_family families[FAMILIES] = {NET_IP4, NET_IP6};

static nsec_t now_of(const struct stun_prober *p) {
    return reactor_now(p->cfg.reactor);
}

/* --- Sockets --- */

/* The QUIC listen address of a family; one of loopback alone leads to no server. */
static struct net_addr find_listen(const struct host *h, enum net_family family) {
    struct multiaddr bound[LISTEN_ADDRS_MAX];
    struct net_addr found = {.family = NET_NONE};
    size_t count = host_listen_addrs(h, bound, LISTEN_ADDRS_MAX);
    for (size_t i = 0; i < MIN(count, (size_t)LISTEN_ADDRS_MAX); i++) {
        struct net_addr a;
        if (multiaddr_kind(&bound[i]) != MULTIADDR_KIND_QUIC ||
            multiaddr_to_net_addr(&bound[i], &a) < 0 || a.family != family)
            continue;
        if (found.family == NET_NONE || net_addr_is_loopback(&found))
            found = a;
    }
    return found;
}

static struct socket_round *round_at(struct stun_prober *p, const struct net_addr *local) {
    for (size_t i = 0; i < FAMILIES; i++) {
        struct socket_round *r = &p->rounds[i];
        if (r->is_running && r->listen.family == local->family && r->listen.port == local->port &&
            (net_addr_is_unspecified(&r->listen) || net_addr_ip_equal(&r->listen, local)))
            return r;
    }
    return NULL;
}

static void add_local(struct socket_round *r, const struct net_addr *local) {
    for (size_t i = 0; i < r->locals_count; i++)
        if (net_addr_equal(&r->locals[i], local))
            return;
    if (r->locals_count < LOCALS_MAX)
        r->locals[r->locals_count++] = *local;
}

/* --- Asking --- */

static void finish_socket(struct stun_prober *p, struct socket_round *r) {
    struct stun_finding f = {.listen = r->listen, .server = {.family = NET_NONE}};
    r->is_running = false;
    for (size_t i = 0; i < r->engine.probes_count; i++) {
        const struct stun_probe *probe = &r->engine.probes[i];
        bool is_answered = probe->state == STUN_ANSWERED;
        f.answered += is_answered;
        f.unanswered += !is_answered;
        if (is_answered && f.server.family == NET_NONE)
            f.server = probe->to;
    }
    p->has_answers = p->has_answers || f.answered > 0;
    stun_client_result(&r->engine, r->locals, r->locals_count, &f.result);
    p->has_doubts =
        p->has_doubts || (f.answered > 0 && f.unanswered > 0 && f.result.type == NAT_UNKNOWN);
    p->has_news = p->has_news || f.result.type != r->type;
    r->type = f.result.type;
    log_debug(p->cfg.log, L_RELAY, "stun: probe complete", kv_uint("answered", f.answered),
              kv_uint("unanswered", f.unanswered),
              kv_str("nat_type", nat_type_name(f.result.type)));
    p->cfg.found(p->cfg.user, &f);
}

static void send_due(struct stun_prober *p, struct socket_round *r) {
    uint8_t out[STUN_REQUEST_BYTES];
    struct net_addr to;
    while (stun_client_next_send(&r->engine, &to, out, now_of(p))) {
        int e = quic_transport_send_raw(host_quic(p->cfg.host), &r->listen, &to, BYTES_OF(out));
        (void)e; /* one that is lost here is as one that is lost on the way */
    }
}

static void end_round(struct stun_prober *p) {
    p->state = STATE_IDLE;
    bool is_settled = p->has_answers && !p->has_doubts;
    nsec_t wait = is_settled ? STUN_PROBER_REFRESH : p->retry;
    if (p->has_news)
        wait = STUN_PROBER_RETRY;
    p->retry = is_settled ? STUN_PROBER_RETRY : MIN(2 * p->retry, STUN_PROBER_REFRESH);
    timer_start(&p->timer, now_of(p) + wait);
}

static void drive(struct stun_prober *p) {
    nsec_t at = NSEC_NEVER;
    for (size_t i = 0; i < FAMILIES; i++) {
        struct socket_round *r = &p->rounds[i];
        if (!r->is_running)
            continue;
        stun_client_tick(&r->engine, now_of(p));
        send_due(p, r);
        if (stun_client_is_over(&r->engine))
            finish_socket(p, r);
        else
            at = MIN(at, stun_client_deadline(&r->engine));
    }
    if (at == NSEC_NEVER)
        end_round(p);
    else
        timer_start(&p->timer, at);
}

static void ask(struct stun_prober *p) {
    p->state = STATE_ASKING;
    for (size_t i = 0; i < FAMILIES; i++) {
        struct socket_round *r = &p->rounds[i];
        r->listen = find_listen(p->cfg.host, families[i]);
        r->locals_count = 0;
        stun_client_init(&r->engine, families[i], p->addrs, p->addrs_count,
                         reactor_rng(p->cfg.reactor), now_of(p));
        r->is_running = r->listen.family != NET_NONE && r->engine.probes_count > 0;
    }
    drive(p);
}

static void on_answer(struct dgram_sink *sink, const struct net_addr *local,
                      const struct net_addr *remote, struct bytes datagram) {
    struct stun_prober *p = CONTAINER_OF(sink, struct stun_prober, sink);
    struct socket_round *r = round_at(p, local);
    if (r == NULL || !stun_client_recv(&r->engine, remote, datagram, now_of(p)))
        return;
    add_local(r, local);
    drive(p);
}

/* --- Names --- */

static bool is_looking_up(const struct stun_prober *p) {
    for (size_t i = 0; i < p->servers_count; i++)
        if (p->servers[i].is_asked_for)
            return true;
    return false;
}

static void stop_lookups(struct stun_prober *p) {
    for (size_t i = 0; i < p->servers_count; i++) {
        if (p->servers[i].is_asked_for)
            resolve_cancel(&p->servers[i].lookup);
        p->servers[i].is_asked_for = false;
    }
}

static void add_addr(struct stun_prober *p, const struct net_addr *ip, uint16_t port) {
    struct net_addr *a = &p->addrs[p->addrs_count++];
    *a = *ip;
    a->port = port;
}

static void on_looked_up(struct resolve_request *request, int error) {
    struct server *s = CONTAINER_OF(request, struct server, lookup);
    struct stun_prober *p = s->prober;
    s->is_asked_for = false;
    for (size_t f = 0; error == 0 && f < FAMILIES; f++) {
        for (uint32_t i = 0; i < request->count; i++) {
            if (request->addrs[i].family != families[f])
                continue;
            add_addr(p, &request->addrs[i], s->port);
            break;
        }
    }
    if (!is_looking_up(p))
        ask(p);
}

static void look_up(struct stun_prober *p, struct server *s) {
    struct net_addr ip;
    if (net_addr_parse_ip(s->host, &ip) == 0) {
        add_addr(p, &ip, s->port);
        return;
    }
    if (p->cfg.resolver != NULL)
        s->is_asked_for = resolve_start(p->cfg.resolver, &s->lookup, s->host, on_looked_up) == 0;
}

static void begin(struct stun_prober *p) {
    p->began_at = now_of(p);
    p->has_answers = false;
    p->has_doubts = false;
    p->has_news = false;
    p->addrs_count = 0;
    p->state = STATE_NAMES;
    for (size_t i = 0; i < FAMILIES; i++)
        p->rounds[i].is_running = false;
    stop_lookups(p);
    for (size_t i = 0; i < p->servers_count; i++)
        look_up(p, &p->servers[i]);
    if (is_looking_up(p))
        timer_start(&p->timer, now_of(p) + STUN_PROBER_NAMES_TIMEOUT);
    else
        ask(p);
}

static void on_timer(struct timer *t) {
    struct stun_prober *p = CONTAINER_OF(t, struct stun_prober, timer);
    switch (p->state) {
    case STATE_IDLE:
        begin(p);
        break;
    case STATE_NAMES:
        stop_lookups(p);
        ask(p); /* those that are known */
        break;
    case STATE_ASKING:
        drive(p);
        break;
    }
}

/* --- Life --- */

void stun_prober_network_changed(struct stun_prober *p) {
    stop_lookups(p);
    for (size_t i = 0; i < FAMILIES; i++)
        p->rounds[i].is_running = false;
    p->state = STATE_IDLE;
    p->retry = STUN_PROBER_RETRY;
    timer_start(&p->timer, MAX(now_of(p), p->began_at + ROUND_INTERVAL));
}

static void add_server(struct stun_prober *p, const struct stun_server_name *name) {
    struct server *s = &p->servers[p->servers_count];
    if (p->servers_count == STUN_PROBER_SERVERS_MAX || strlen(name->host) >= sizeof(s->host))
        return;
    (void)snprintf(s->host, sizeof(s->host), "%s", name->host);
    s->port = name->port;
    s->prober = p;
    p->servers_count++;
}

int stun_prober_new(const struct stun_prober_config *cfg, struct stun_prober **ret_prober) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct stun_prober *p = mem_alloc(mem, sizeof(*p));
    if (p == NULL || timer_init(&p->timer, cfg->reactor, on_timer) < 0) {
        (void)mem_free(mem, p);
        return -ENOMEM;
    }
    p->cfg = *cfg;
    p->cfg.servers = NULL;
    for (size_t i = 0; i < cfg->servers_count; i++)
        add_server(p, &cfg->servers[i]);
    p->retry = STUN_PROBER_RETRY;
    p->sink.received = on_answer;
    quic_transport_set_sink(host_quic(cfg->host), DGRAM_STUN_ANSWER, &p->sink);
    timer_start(&p->timer, now_of(p));
    *ret_prober = p;
    return 0;
}

struct stun_prober *stun_prober_free(struct stun_prober *p) {
    if (p == NULL)
        return NULL;
    quic_transport_set_sink(host_quic(p->cfg.host), DGRAM_STUN_ANSWER, NULL);
    stop_lookups(p);
    timer_done(&p->timer);
    return mem_free(reactor_mem(p->cfg.reactor), p);
}

/* SPDX-License-Identifier: MIT */
#include "relay/portmap.h"

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "relay/portmap_upnp.h"
#include "uring/netwatch.h"
#include "uring/reactor.h"
#include "uring/udp.h"

/* When the socket could not be opened, or broke. */
#define SOCKET_RETRY_AFTER SEC(60)

/* How long a gateway may be silent to PCP, which is given up only half a minute later. */
#define UPNP_AFTER SEC(3)

/* A listening port.  Two addresses with one port of one protocol share the mapping. */
struct port {
    struct net_addr local;
    enum multiaddr_kind kind;
    size_t mapping; /* of the engine; SIZE_MAX: the gateway's network does not reach it */
};

/* Where to ask, and as whom. */
struct gateway {
    struct net_addr at; /* NET_NONE: there is none */
    struct net_addr client;
};

/* CLOSED -> OPEN -> CLOSING -> CLOSED */
enum socket_state { SOCKET_CLOSED, SOCKET_OPEN, SOCKET_CLOSING };

struct portmap {
    struct portmap_config cfg;
    struct port ports[PORTMAP_PORTS_MAX];
    size_t ports_count;
    struct gateway gateway;                    /* in use, or last */
    struct pcp engine;                         /* likewise */
    struct net_addr by_pcp[PCP_MAPPINGS_MAX];  /* of its mappings; NET_NONE: not mapped */
    struct net_addr by_upnp[PCP_MAPPINGS_MAX]; /* of the same ones, where that failed */
    struct portmap_upnp *upnp;                 /* NULL: it was not needed, or is closed */
    bool is_upnp_wanted;
    bool is_upnp_closing;
    enum socket_state state;
    struct udp_socket socket;
    struct udp_send send;
    uint8_t out[PCP_OUT_MAX];
    bool is_sending;
    struct timer timer;
    struct timer upnp_timer;
    struct deferred begin; /* and the end */
    struct deferred news;  /* changed() */
    bool is_resting;       /* the socket could not be opened, or broke: the timer goes on */
    bool is_closing;
    void (*closed)(void *user);
    void *closed_user;
};

static nsec_t now_of(const struct portmap *p) {
    return reactor_now(p->cfg.reactor);
}

/* --- The gateway --- */

static const struct netwatch_route *find_route(const struct netwatch_snapshot *s) {
    const struct netwatch_route *best = NULL;
    for (uint32_t i = 0; i < s->routes_count; i++) {
        const struct netwatch_route *r = &s->routes[i];
        if (r->family == NET_IP4 && r->gateway.family == NET_IP4 &&
            (best == NULL || r->metric < best->metric))
            best = r;
    }
    return best;
}

static bool is_on_link(const struct netwatch_addr *a, const struct net_addr *ip) {
    unsigned left = a->prefix_len;
    for (unsigned i = 0; i < 4 && left > 0; i++) {
        unsigned bits = MIN(left, 8u);
        uint8_t mask = (uint8_t)(0xff << (8 - bits));
        if ((a->ip.ip[i] & mask) != (ip->ip[i] & mask))
            return false;
        left -= bits;
    }
    return true;
}

/* Our address in the gateway's network. */
static const struct netwatch_addr *find_client(const struct netwatch_snapshot *s,
                                               const struct netwatch_route *r) {
    for (uint32_t i = 0; i < s->addrs_count; i++) {
        const struct netwatch_addr *a = &s->addrs[i];
        if (a->ip.family == NET_IP4 && a->link_index == r->link_index && is_on_link(a, &r->gateway))
            return a;
    }
    return NULL;
}

/* None where it is not known, or where our own address is public: then no NAT is there. */
static struct gateway find_gateway(const struct portmap *p) {
    const struct netwatch_snapshot *s = netwatch_snapshot(p->cfg.netwatch);
    const struct netwatch_route *route = find_route(s);
    const struct netwatch_addr *client = route == NULL ? NULL : find_client(s, route);
    struct gateway g = {.at.family = NET_NONE};
    if (client == NULL || net_addr_is_public(&client->ip))
        return g;
    g.at = route->gateway;
    g.at.port = p->cfg.gateway_port != 0 ? p->cfg.gateway_port : PCP_PORT;
    g.client = client->ip;
    return g;
}

static bool are_same(const struct gateway *a, const struct gateway *b) {
    return net_addr_equal(&a->at, &b->at) && net_addr_ip_equal(&a->client, &b->client);
}

/* --- What it says --- */

/* By either way. */
static const struct net_addr *external_of(const struct portmap *p, size_t mapping) {
    return p->by_pcp[mapping].family != NET_NONE ? &p->by_pcp[mapping] : &p->by_upnp[mapping];
}

/* Whether it was another. */
static bool replace(struct net_addr *slot, const struct net_addr *external) {
    bool is_other = slot->family != external->family ||
                    (slot->family != NET_NONE && !net_addr_equal(slot, external));
    *slot = *external;
    return is_other;
}

/* An event of either engine.  Whether anything is another than before. */
static bool take_event(struct portmap *p, const char *way, struct net_addr *slots, size_t mapping,
                       int error, const struct net_addr *external) {
    static const struct net_addr none = {.family = NET_NONE};
    const struct pcp_mapping *m = &p->engine.mappings[mapping];
    const char *protocol = m->is_tcp ? "tcp" : "udp";
    char text[NET_ADDR_TEXT_MAX];
    if (error < 0)
        log_info(p->cfg.log, L_RELAY, "port not mapped", kv_str("protocol", protocol),
                 kv_uint("port", m->internal_port), kv_str("way", way), kv_err(error));
    else
        log_info(p->cfg.log, L_RELAY, "port mapped", kv_str("protocol", protocol),
                 kv_uint("port", m->internal_port),
                 kv_str("external", net_addr_format(external, text)),
                 kv_bool("public", net_addr_is_public(external)), kv_str("way", way));
    return replace(&slots[mapping], error < 0 ? &none : external);
}

static bool drop_externals(struct net_addr slots[PCP_MAPPINGS_MAX]) {
    bool had_any = false;
    for (size_t i = 0; i < PCP_MAPPINGS_MAX; i++) {
        had_any |= slots[i].family != NET_NONE;
        slots[i] = (struct net_addr){.family = NET_NONE};
    }
    return had_any;
}

static void tell_later(struct portmap *p, bool is_other) {
    if (is_other && !p->is_closing && p->cfg.changed != NULL)
        reactor_defer(p->cfg.reactor, &p->news);
}

static void on_news(struct deferred *d) {
    const struct portmap *p = CONTAINER_OF(d, struct portmap, news);
    p->cfg.changed(p->cfg.user);
}

/* --- UPnP, where the gateway knows nothing else --- */

/* Told by on_begin() alone, so that it is told once. */
static void finish_if_closed(struct portmap *p) {
    if (p->is_closing && p->state == SOCKET_CLOSED && p->upnp == NULL)
        reactor_defer(p->cfg.reactor, &p->begin);
}

static void on_upnp_event(void *user, const struct upnp_event *ev) {
    struct portmap *p = user;
    tell_later(p, take_event(p, "upnp", p->by_upnp, ev->mapping, ev->error, &ev->external));
}

/* The mappings are those of the other engine, in its order; what that has is not asked for. */
static void start_upnp(struct portmap *p) {
    struct portmap_upnp_config cfg = {.reactor = p->cfg.reactor,
                                      .gateway = p->gateway.at,
                                      .client = p->gateway.client,
                                      .event = on_upnp_event,
                                      .user = p};
    p->is_upnp_wanted = true;
    if (p->upnp != NULL || p->is_closing)
        return; /* else when it is closed */
    int e = portmap_upnp_new(&cfg, &p->upnp);
    if (e < 0) {
        log_info(p->cfg.log, L_RELAY, "the gateway cannot be asked for ports", kv_err(e));
        return;
    }
    for (size_t i = 0; i < p->engine.mappings_count; i++) {
        const struct pcp_mapping *m = &p->engine.mappings[i];
        size_t at = portmap_upnp_add(p->upnp, m->is_tcp, m->internal_port);
        assert(at == i);
        if (p->by_pcp[i].family != NET_NONE)
            portmap_upnp_yield(p->upnp, i, p->by_pcp[i].port);
    }
}

static void on_upnp_closed(void *user) {
    struct portmap *p = user;
    p->upnp = NULL;
    p->is_upnp_closing = false;
    if (p->is_upnp_wanted && p->state == SOCKET_OPEN)
        start_upnp(p);
    finish_if_closed(p);
}

static bool is_mapped_by_pcp(const struct portmap *p) {
    for (size_t i = 0; i < PCP_MAPPINGS_MAX; i++) {
        if (p->by_pcp[i].family != NET_NONE)
            return true;
    }
    return false;
}

static void on_upnp_timer(struct timer *t) {
    struct portmap *p = CONTAINER_OF(t, struct portmap, upnp_timer);
    assert(p->state == SOCKET_OPEN);
    if (!is_mapped_by_pcp(p))
        start_upnp(p);
}

/* PCP has it, or has it no longer. */
static void yield_to_pcp(struct portmap *p, size_t mapping) {
    p->by_upnp[mapping] = (struct net_addr){.family = NET_NONE};
    if (p->upnp != NULL && !p->is_upnp_closing)
        portmap_upnp_yield(p->upnp, mapping, p->by_pcp[mapping].port);
}

static void resume_upnp(struct portmap *p, size_t mapping) {
    if (p->upnp != NULL && !p->is_upnp_closing)
        portmap_upnp_resume(p->upnp, mapping);
    else
        start_upnp(p);
}

/* Whether anything was mapped by it. */
static bool stop_upnp(struct portmap *p, bool removes) {
    p->is_upnp_wanted = false;
    timer_stop(&p->upnp_timer);
    if (p->upnp != NULL && !p->is_upnp_closing) {
        p->is_upnp_closing = true;
        portmap_upnp_close(p->upnp, removes, on_upnp_closed, p);
    }
    return drop_externals(p->by_upnp);
}

/* Nothing is mapped on this gateway any more.  Whether anything was. */
static bool drop_all(struct portmap *p) {
    bool was_mapped = drop_externals(p->by_pcp);
    return stop_upnp(p, false) || was_mapped;
}

/* --- Feeding the engine --- */

/* Whether anything is another than before. */
static bool take_events(struct portmap *p) {
    struct pcp_event ev;
    bool is_other = false;
    while (pcp_next_event(&p->engine, &ev)) {
        is_other |= take_event(p, "pcp", p->by_pcp, ev.mapping, ev.error, &ev.external);
        if (ev.error < 0)
            resume_upnp(p, ev.mapping);
        else
            yield_to_pcp(p, ev.mapping);
    }
    return is_other;
}

static void on_sent(struct udp_send *s, int error);

/* false: nothing is to be sent now. */
static bool send_next(struct portmap *p) {
    size_t len;
    if (!pcp_next_send(&p->engine, p->out, &len, now_of(p)))
        return false;
    p->is_sending = true;
    p->send = (struct udp_send){.data = p->out,
                                .len = len,
                                .segment_len = len,
                                .remote = p->gateway.at,
                                .local = {.family = NET_NONE},
                                .done = on_sent};
    udp_send_start(&p->socket, &p->send);
    return true;
}

static void close_socket(struct portmap *p) {
    p->state = SOCKET_CLOSING;
    timer_stop(&p->timer);
    udp_close(&p->socket);
}

static void look(struct portmap *p) {
    if (p->state != SOCKET_OPEN)
        return;
    if (!p->is_sending && !send_next(p) && p->is_closing) {
        close_socket(p);
        return;
    }
    bool is_other = take_events(p);
    timer_start(&p->timer, p->is_sending ? NSEC_NEVER : pcp_deadline(&p->engine));
    tell_later(p, is_other);
}

/* That a packet did not leave is no other than that it was lost. */
static void on_sent(struct udp_send *s, int error) {
    struct portmap *p = CONTAINER_OF(s, struct portmap, send);
    (void)error;
    p->is_sending = false;
    look(p);
}

static void on_received(struct udp_socket *u, const struct udp_batch *b) {
    struct portmap *p = CONTAINER_OF(u, struct portmap, socket);
    if (p->state != SOCKET_OPEN || !net_addr_equal(&b->remote, &p->gateway.at))
        return;
    for (size_t at = 0; at < b->len; at += b->segment_len)
        pcp_recv(&p->engine, bytes_of(b->data + at, MIN(b->segment_len, b->len - at)), now_of(p));
    look(p);
}

/* --- The socket --- */

static void start(struct portmap *p);

static void retry_later(struct portmap *p, int error) {
    p->is_resting = true;
    log_info(p->cfg.log, L_RELAY, "the gateway cannot be asked for ports", kv_err(error));
    timer_start(&p->timer, now_of(p) + SOCKET_RETRY_AFTER);
}

static void on_failed(struct udp_socket *u, int error) {
    struct portmap *p = CONTAINER_OF(u, struct portmap, socket);
    bool is_other = drop_all(p);
    close_socket(p);
    retry_later(p, error);
    tell_later(p, is_other);
}

static void on_socket_closed(struct udp_socket *u) {
    struct portmap *p = CONTAINER_OF(u, struct portmap, socket);
    p->state = SOCKET_CLOSED;
    if (p->is_closing)
        finish_if_closed(p);
    else if (!p->is_resting)
        start(p);
}

static const struct udp_events socket_events = {
    .received = on_received, .failed = on_failed, .closed = on_socket_closed};

static size_t find_mapping(const struct portmap *p, bool is_tcp, uint16_t port) {
    for (size_t i = 0; i < p->engine.mappings_count; i++) {
        const struct pcp_mapping *m = &p->engine.mappings[i];
        if (m->is_tcp == is_tcp && m->internal_port == port)
            return i;
    }
    return SIZE_MAX;
}

/* What listens at another address of ours than the gateway's network has cannot be reached. */
static void add_ports(struct portmap *p) {
    for (size_t i = 0; i < p->ports_count; i++) {
        struct port *port = &p->ports[i];
        bool is_tcp = port->kind != MULTIADDR_KIND_QUIC;
        port->mapping = SIZE_MAX;
        if (!net_addr_is_unspecified(&port->local) &&
            !net_addr_ip_equal(&port->local, &p->gateway.client))
            continue;
        port->mapping = find_mapping(p, is_tcp, port->local.port);
        if (port->mapping == SIZE_MAX)
            port->mapping = pcp_add(&p->engine, is_tcp, port->local.port, now_of(p));
    }
}

static void start(struct portmap *p) {
    struct gateway g = find_gateway(p);
    p->is_resting = false;
    if (g.at.family == NET_NONE)
        return;
    p->gateway = g;
    pcp_init(&p->engine, &g.client, reactor_rng(p->cfg.reactor), now_of(p));
    add_ports(p);
    if (p->engine.mappings_count == 0)
        return;
    struct udp_config cfg = {.local = g.client};
    cfg.local.port = 0;
    int e = udp_open(&p->socket, p->cfg.reactor, &cfg, &socket_events);
    if (e < 0) {
        retry_later(p, e);
        return;
    }
    p->state = SOCKET_OPEN;
    timer_start(&p->upnp_timer, now_of(p) + UPNP_AFTER);
    look(p);
}

/* Of a gateway that is no longer ours the mappings run out by themselves. */
static void renew(struct portmap *p) {
    struct gateway g = find_gateway(p);
    if (p->state == SOCKET_CLOSED) {
        timer_stop(&p->timer);
        start(p);
    } else if (p->state == SOCKET_OPEN && are_same(&g, &p->gateway)) {
        pcp_ask_again(&p->engine, now_of(p));
        if (p->upnp != NULL && !p->is_upnp_closing)
            portmap_upnp_ask_again(p->upnp);
        look(p);
    } else if (p->state == SOCKET_OPEN) {
        bool is_other = drop_all(p);
        close_socket(p); /* goes on in on_socket_closed() */
        tell_later(p, is_other);
    }
}

static void on_timer(struct timer *t) {
    struct portmap *p = CONTAINER_OF(t, struct portmap, timer);
    if (p->state == SOCKET_OPEN) {
        pcp_tick(&p->engine, now_of(p));
        look(p);
    } else if (p->state == SOCKET_CLOSED) {
        start(p);
    }
}

static void on_begin(struct deferred *d) {
    struct portmap *p = CONTAINER_OF(d, struct portmap, begin);
    if (!p->is_closing && p->state == SOCKET_CLOSED)
        start(p);
    else if (p->is_closing && p->state == SOCKET_CLOSED && p->upnp == NULL)
        p->closed(p->closed_user);
}

/* --- For the owner --- */

static void note_port(struct portmap *p, const struct multiaddr *listen) {
    struct port port = {.kind = multiaddr_kind(listen), .mapping = SIZE_MAX};
    bool is_kind = port.kind == MULTIADDR_KIND_QUIC || port.kind == MULTIADDR_KIND_TCP ||
                   port.kind == MULTIADDR_KIND_WS;
    if (is_kind && p->ports_count < PORTMAP_PORTS_MAX &&
        multiaddr_to_net_addr(listen, &port.local) == 0 && port.local.family == NET_IP4 &&
        port.local.port != 0)
        p->ports[p->ports_count++] = port;
}

int portmap_new(const struct portmap_config *cfg, struct portmap **ret_portmap) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct portmap *p = mem_alloc(mem, sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    p->cfg = *cfg;
    p->cfg.listen = NULL;
    (void)drop_externals(p->by_pcp);
    (void)drop_externals(p->by_upnp);
    for (size_t i = 0; i < cfg->listen_count; i++)
        note_port(p, &cfg->listen[i]);
    deferred_init(&p->begin, on_begin);
    deferred_init(&p->news, on_news);
    int e = timer_init(&p->timer, cfg->reactor, on_timer);
    if (e < 0) {
        (void)mem_free(mem, p);
        return e;
    }
    e = timer_init(&p->upnp_timer, cfg->reactor, on_upnp_timer);
    if (e < 0) {
        timer_done(&p->timer);
        (void)mem_free(mem, p);
        return e;
    }
    reactor_defer(cfg->reactor, &p->begin);
    *ret_portmap = p;
    return 0;
}

void portmap_network_changed(struct portmap *p) {
    if (!p->is_closing)
        renew(p);
}

size_t portmap_addrs(const struct portmap *p, struct multiaddr ret_addrs[PORTMAP_PORTS_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < p->ports_count; i++) {
        const struct port *port = &p->ports[i];
        if (port->mapping != SIZE_MAX && net_addr_is_public(external_of(p, port->mapping)))
            multiaddr_from_net_addr(external_of(p, port->mapping), port->kind, &ret_addrs[count++]);
    }
    return count;
}

void portmap_close(struct portmap *p, void (*closed)(void *user), void *user) {
    assert(!p->is_closing);
    p->is_closing = true;
    p->closed = closed;
    p->closed_user = user;
    (void)drop_externals(p->by_pcp);
    (void)stop_upnp(p, true);
    timer_stop(&p->timer);
    deferred_cancel(&p->news);
    finish_if_closed(p);
    if (p->state == SOCKET_OPEN) {
        pcp_close(&p->engine, now_of(p));
        look(p);
    }
}

struct portmap *portmap_free(struct portmap *p) {
    if (p == NULL)
        return NULL;
    assert(p->is_closing);
    assert(p->state == SOCKET_CLOSED);
    assert(p->upnp == NULL);
    timer_done(&p->timer);
    timer_done(&p->upnp_timer);
    deferred_cancel(&p->begin);
    deferred_cancel(&p->news);
    return mem_free(reactor_mem(p->cfg.reactor), p);
}

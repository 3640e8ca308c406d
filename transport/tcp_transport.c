/* SPDX-License-Identifier: MIT */
#include "transport/tcp_transport.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "core/base/problem.h"
#include "transport/half_open.h"
#include "transport/proto/tls_context.h"
#include "transport/tcp_leg.h"
#include "transport/tcp_link.h"
#include "transport/upgrade.h"
#include "transport/ws_dial.h"
#include "transport/ws_link.h"
#include "uring/tcp.h"

struct tcp_transport {
    struct transport base;
    struct reactor *reactor;
    struct tls_context *tls;
    struct upgrader upgrader;
    struct list listenings;
    struct list pendings;
    struct list conns;      /* struct conn.transport_node */
    uint32_t inbound_count; /* accepted, and their conn is not gone */
    struct half_open_book half_open;
    struct tcp_preface *preface; /* NULL: there is none */
    struct list legs;
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
};

/* An address that we listen on. */
struct listening {
    struct tcp_listener listener;
    struct tcp_transport *transport;
    struct list node;
    struct net_addr bound;
    enum multiaddr_kind kind;
};

/* A TCP connection that is not a struct conn yet. */
struct pending {
    struct tcp_transport *transport;
    struct list node;
    struct half_open half_open; /* inbound */
    struct dial *dial;          /* outbound */
    struct link *tcp;
    struct upgrade *upgrade;
    struct net_addr remote;
    enum multiaddr_kind kind; /* of the address that was dialled or listened on */
    bool from_listener;       /* dialled from the port of one */
};

static struct tcp_transport *of(struct transport *t) {
    return CONTAINER_OF(t, struct tcp_transport, base);
}

static void check_closed(struct tcp_transport *t) {
    if (!t->closing || t->closed == NULL || !list_is_empty(&t->listenings) ||
        !list_is_empty(&t->pendings) || !list_is_empty(&t->legs) || !list_is_empty(&t->conns) ||
        t->upgrader.closing_count > 0)
        return;
    void (*closed)(void *) = TAKE(t->closed);
    closed(t->closed_user);
}

/* --- Upgrading --- */

static void on_evict(struct half_open *h);

static struct pending *pending_new(struct tcp_transport *t, enum multiaddr_kind kind) {
    struct pending *p = mem_alloc(reactor_mem(t->reactor), sizeof(*p));
    if (p == NULL)
        return NULL;
    p->transport = t;
    p->kind = kind;
    list_init(&p->node);
    half_open_init(&p->half_open, on_evict);
    list_push(&t->pendings, &p->node);
    return p;
}

static void pending_free(struct pending *p) {
    struct tcp_transport *t = p->transport;
    half_open_leave(&t->half_open, &p->half_open);
    list_remove(&p->node);
    (void)mem_free(reactor_mem(t->reactor), p);
}

/* Forgets it; its link closes by itself. */
static void pending_cancel(struct pending *p) {
    upgrade_cancel(p->upgrade);
    if (p->dial == NULL)
        p->transport->inbound_count--;
    pending_free(p);
}

static void on_evict(struct half_open *h) {
    pending_cancel(CONTAINER_OF(h, struct pending, half_open));
}

static void hand_over(struct pending *p, struct conn *c) {
    struct tcp_transport *t = p->transport;
    struct dial *dial = p->dial;
    struct sock_addr local;
    bool is_ws = p->kind != MULTIADDR_KIND_TCP;
    if (tcp_link_local_addr(p->tcp, &local) == 0)
        multiaddr_from_net_addr(&local.ip, is_ws ? MULTIADDR_KIND_WS : MULTIADDR_KIND_TCP,
                                &c->local);
    pending_free(p);
    list_init(&c->transport_node);
    list_push(&t->conns, &c->transport_node);
    if (dial != NULL)
        dial->done(dial, c, 0, NULL);
    else
        t->base.events->accepted(&t->base, c);
}

static int dial_from(struct pending *p, const struct listening *l);

/* Whether dialling from any port may help.  The one that we listen on may be connected to that
 * address already, by the peer's own dial, say; or there is no way from the address that we listen
 * on; or the two dials met half-way, and of the one connection that they became both sides think
 * that they opened it (its handshake fails with "wrong client/server type", or, where each
 * proposed another security, each takes the other's proposal for a wrong answer).  With the part of
 * the responder, which a coordinated dial gives us, no other port will do. */
static bool another_port_may_do(const struct pending *p, int error) {
    return p->from_listener && !p->dial->responder &&
           (error == -EADDRINUSE || error == -EADDRNOTAVAIL || error == -ENETUNREACH ||
            error == -EHOSTUNREACH || error == -EINVAL || error == -ERR_HANDSHAKE ||
            error == -ERR_PROTOCOL_VIOLATION);
}

/* A dial as responder finds the connection there already.  We accepted it; but where a NAT has
 * turned two dials into it, so did the peer, and each waits for the other. */
static void let_accepted_lead(const struct pending *dial, int error) {
    if (!dial->dial->responder || (error != -EADDRINUSE && error != -EADDRNOTAVAIL))
        return;
    list_for_each (node, &dial->transport->pendings) {
        const struct pending *p = LIST_ENTRY(node, const struct pending, node);
        if (p->dial == NULL && p->kind == dial->kind && net_addr_equal(&p->remote, &dial->remote))
            upgrade_let_lead(p->upgrade);
    }
}

static void on_upgraded(void *user, struct conn *c, int error, const struct problem *why) {
    struct pending *p = user;
    struct tcp_transport *t = p->transport;
    struct dial *dial = p->dial;
    if (error == 0) {
        hand_over(p, c);
    } else if (dial == NULL) {
        t->inbound_count--;
        pending_free(p);
    } else if (!another_port_may_do(p, error) || dial_from(p, NULL) < 0) {
        let_accepted_lead(p, error);
        pending_free(p);
        dial->done(dial, NULL, error, why);
    }
}

static void on_conn_gone(struct upgrader *u, struct conn *c) {
    struct tcp_transport *t = CONTAINER_OF(u, struct tcp_transport, upgrader);
    list_remove(&c->transport_node);
    if (c->inbound)
        t->inbound_count--;
    check_closed(t);
}

static void on_upgrade_gone(struct upgrader *u) {
    check_closed(CONTAINER_OF(u, struct tcp_transport, upgrader));
}

/* What lies between TCP and the upgrade; *link is to be closed when this fails. */
static int pending_wrap(struct pending *p, struct link **link) {
    struct reactor *r = p->transport->reactor;
    struct slice_queue nothing;
    if (p->kind == MULTIADDR_KIND_TCP)
        return 0;
    if (p->dial != NULL)
        return ws_dial_over(r, p->transport->tls, &p->dial->to, link);
    slice_queue_init(&nothing, reactor_mem(r));
    return ws_link_accept(r, *link, &nothing, link);
}

/* The link is taken over, also when this fails. */
static int pending_upgrade(struct pending *p, struct link *link, const struct multiaddr *remote,
                           nsec_t deadline) {
    struct tcp_transport *t = p->transport;
    const struct dial *dial = p->dial;
    p->tcp = link;
    int e = pending_wrap(p, &link);
    if (e < 0) {
        upgrade_abandon(&t->upgrader, link);
        return e;
    }
    struct upgrade_config cfg = {
        .link = link,
        .remote = remote,
        .initiator = dial != NULL && !dial->responder,
        .may_lead = dial != NULL && dial->responder,
        .inbound = dial == NULL,
        .deadline = deadline,
        .done = on_upgraded,
        .user = p,
    };
    if (dial != NULL && !peer_id_is_none(&dial->expected))
        cfg.expected = &dial->expected;
    return upgrade_start(&t->upgrader, &cfg, &p->upgrade);
}

/* --- Dialling --- */

static bool can_dial(const struct transport *t, const struct multiaddr *to) {
    struct net_addr addr;
    (void)t;
    bool is_tcp = multiaddr_kind(to) == MULTIADDR_KIND_TCP;
    return (is_tcp && multiaddr_to_net_addr(to, &addr) == 0) || ws_dial_can(to);
}

/* Of the family of `to`, and on loopback only if `to` is; NULL: there is none.  A WebSocket's port
 * is not used: it would show the peer an address where only WebSockets are answered. */
static const struct listening *listening_for(const struct tcp_transport *t,
                                             const struct net_addr *to) {
    list_for_each (node, &t->listenings) {
        const struct listening *l = LIST_ENTRY(node, const struct listening, node);
        if (l->kind == MULTIADDR_KIND_TCP && l->bound.family == to->family &&
            (net_addr_is_unspecified(&l->bound) ||
             net_addr_is_loopback(&l->bound) == net_addr_is_loopback(to)))
            return l;
    }
    return NULL;
}

static void on_socket_connected(void *user) {
    const struct pending *p = user;
    if (p->dial->connected != NULL)
        p->dial->connected(p->dial);
}

static int dial_from(struct pending *p, const struct listening *l) {
    struct reactor *r = p->transport->reactor;
    struct sock_addr to = {.ip = p->remote};
    struct sock_addr from = {.ip = l != NULL ? l->bound : (struct net_addr){.family = NET_NONE}};
    struct link *link;
    p->from_listener = l != NULL;
    int e = tcp_link_connect(r, &to, l != NULL ? &from : NULL, &link);
    if (e < 0)
        return e;
    if (p->kind == MULTIADDR_KIND_TCP) /* a WebSocket's link may outlive the dial */
        tcp_link_on_connected(link, on_socket_connected, p);
    return pending_upgrade(p, link, &p->dial->to, reactor_now(r) + UPGRADE_TIMEOUT);
}

static int dial(struct transport *base, struct dial *dial) {
    struct tcp_transport *t = of(base);
    struct net_addr to;
    int e = multiaddr_to_net_addr(&dial->to, &to);
    if (e < 0)
        return e;
    if (t->closing)
        return -ERR_SHUTDOWN;
    struct pending *p = pending_new(t, multiaddr_kind(&dial->to));
    if (p == NULL)
        return -ENOMEM;
    p->dial = dial;
    p->remote = to;
    bool from_listener = p->kind == MULTIADDR_KIND_TCP && !dial->from_any_port;
    e = dial_from(p, from_listener ? listening_for(t, &to) : NULL);
    if (e < 0 && another_port_may_do(p, e))
        e = dial_from(p, NULL);
    if (e == 0) {
        dial->handle = p;
        return 0;
    }
    let_accepted_lead(p, e);
    pending_free(p);
    return e;
}

static void cancel(struct transport *base, struct dial *dial) {
    struct pending *p = dial->handle;
    (void)base;
    assert(p->dial == dial);
    pending_cancel(p);
}

/* --- Listening --- */

static bool may_accept(const struct tcp_transport *t, const struct net_addr *remote) {
    return !t->closing && t->inbound_count < TCP_CONNS_MAX &&
           !half_open_is_full_for(&t->half_open, remote);
}

/* The link is taken over. */
static void accept_link(struct tcp_transport *t, enum multiaddr_kind kind, struct link *link,
                        const struct net_addr *remote, nsec_t deadline) {
    struct multiaddr from;
    struct pending *p = pending_new(t, kind);
    if (p == NULL) {
        upgrade_abandon(&t->upgrader, link);
        return;
    }
    p->remote = *remote;
    multiaddr_from_net_addr(remote, kind, &from);
    if (pending_upgrade(p, link, &from, deadline) < 0) {
        pending_free(p);
        return;
    }
    half_open_add(&t->half_open, &p->half_open, remote);
    t->inbound_count++;
}

static void on_ordinary(void *user, struct link *link, const struct net_addr *remote,
                        nsec_t deadline) {
    accept_link(user, MULTIADDR_KIND_TCP, link, remote, deadline);
}

static void on_leg_gone(void *user) {
    struct tcp_transport *t = user;
    t->inbound_count--;
    check_closed(t);
}

/* Whose first bytes are looked at before it is a leg, or not. */
static int accept_leg(struct tcp_transport *t, int handle, const struct net_addr *remote,
                      nsec_t deadline) {
    struct tcp_leg_config cfg = {.reactor = t->reactor,
                                 .preface = t->preface,
                                 .handle = handle,
                                 .half_open = &t->half_open,
                                 .remote = remote,
                                 .deadline = deadline,
                                 .ordinary = on_ordinary,
                                 .gone = on_leg_gone,
                                 .user = t};
    int e = tcp_leg_new(&cfg, &t->legs);
    t->inbound_count += e == 0;
    return e;
}

static int accept_handle(const struct listening *l, int handle, const struct net_addr *remote) {
    struct tcp_transport *t = l->transport;
    nsec_t deadline = reactor_now(t->reactor) + UPGRADE_TIMEOUT;
    struct link *link;
    if (t->preface != NULL && l->kind == MULTIADDR_KIND_TCP)
        return accept_leg(t, handle, remote, deadline);
    int e = tcp_link_adopt(t->reactor, handle, SIZE_MAX, &link);
    if (e == 0)
        accept_link(t, l->kind, link, remote, deadline);
    return e;
}

static void on_accepted(struct tcp_listener *listener, int handle, const struct sock_addr *remote) {
    struct listening *l = CONTAINER_OF(listener, struct listening, listener);
    struct tcp_transport *t = l->transport;
    bool taken = may_accept(t, &remote->ip);
    if (taken) {
        if (t->half_open.count >= TCP_HALF_OPEN_MAX)
            half_open_evict(&t->half_open);
        taken = accept_handle(l, handle, &remote->ip) == 0;
    }
    if (!taken)
        tcp_handle_close(t->reactor, handle, true);
}

static void on_listener_closed(struct tcp_listener *listener) {
    struct listening *l = CONTAINER_OF(listener, struct listening, listener);
    struct tcp_transport *t = l->transport;
    list_remove(&l->node);
    (void)mem_free(reactor_mem(t->reactor), l);
    check_closed(t);
}

static const struct tcp_listener_events listener_events = {
    .accepted = on_accepted,
    .closed = on_listener_closed,
};

static int listening_open(struct tcp_transport *t, const struct net_addr *at,
                          enum multiaddr_kind kind) {
    struct listening *l = mem_alloc(reactor_mem(t->reactor), sizeof(*l));
    if (l == NULL)
        return -ENOMEM;
    struct sock_addr addr = {.ip = *at};
    int e = tcp_listen(&l->listener, t->reactor, &addr, &listener_events);
    if (e < 0) {
        (void)mem_free(reactor_mem(t->reactor), l);
        return e;
    }
    l->transport = t;
    l->kind = kind;
    list_init(&l->node);
    list_push(&t->listenings, &l->node);
    l->bound = *at;
    if (tcp_listener_addr(&l->listener, &addr) == 0)
        l->bound = addr.ip;
    return 0;
}

static int listen_at(struct transport *base, const struct multiaddr *at, struct problem *problem) {
    char text[MULTIADDR_TEXT_MAX];
    struct net_addr addr;
    enum multiaddr_kind kind = multiaddr_kind(at);
    if (kind == MULTIADDR_KIND_WSS || !can_dial(base, at)) /* a reverse proxy makes /ws that */
        return problem_set(problem, -ERR_UNSUPPORTED, "cannot listen on %s: not a TCP address",
                           multiaddr_format(at, text));
    int e = multiaddr_to_net_addr(at, &addr);
    if (e == 0)
        e = listening_open(of(base), &addr, kind);
    if (e < 0)
        return problem_set(problem, e, "cannot listen on %s: %s", multiaddr_format(at, text),
                           err_text(e));
    return 0;
}

static size_t listen_addrs(const struct transport *base, struct multiaddr *out, size_t max) {
    const struct tcp_transport *t = CONTAINER_OF(base, const struct tcp_transport, base);
    size_t count = 0;
    list_for_each (node, &t->listenings) {
        const struct listening *l = LIST_ENTRY(node, const struct listening, node);
        if (count < max)
            multiaddr_from_net_addr(&l->bound, l->kind, &out[count]);
        count++;
    }
    return count;
}

/* --- Life --- */

static void close_all(struct transport *base, uint64_t code, void (*closed)(void *), void *user) {
    struct tcp_transport *t = of(base);
    assert(!t->closing);
    t->closing = true;
    t->closed = closed;
    t->closed_user = user;
    list_for_each (node, &t->listenings) {
        tcp_listener_close(&LIST_ENTRY(node, struct listening, node)->listener);
    }
    tcp_legs_close(&t->legs);
    while (!list_is_empty(&t->pendings)) {
        struct pending *p = LIST_ENTRY(t->pendings.next, struct pending, node);
        struct dial *dial = p->dial;
        pending_cancel(p);
        if (dial != NULL)
            dial->done(dial, NULL, -ERR_SHUTDOWN, NULL);
    }
    list_for_each_safe (node, &t->conns) {
        struct conn *c = LIST_ENTRY(node, struct conn, transport_node);
        c->ops->close(c, code);
    }
    check_closed(t);
}

static void free_transport(struct transport *base) {
    struct tcp_transport *t = of(base);
    assert(list_is_empty(&t->listenings));
    assert(list_is_empty(&t->pendings));
    assert(list_is_empty(&t->legs));
    assert(list_is_empty(&t->conns));
    t->tls = tls_context_free(t->tls);
    (void)mem_free(reactor_mem(t->reactor), t);
}

static const struct transport_ops transport_ops = {
    .name = "tcp",
    .can_dial = can_dial,
    .dial = dial,
    .cancel = cancel,
    .listen = listen_at,
    .listen_addrs = listen_addrs,
    .close = close_all,
    .free = free_transport,
};

int tcp_transport_new(const struct tcp_transport_config *cfg, const struct transport_events *events,
                      void *user, struct transport **ret_transport) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct tcp_transport *t = mem_alloc(mem, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    int e = tls_context_new(mem, cfg->cert, &t->tls);
    if (e < 0) {
        (void)mem_free(mem, t);
        return e;
    }
    t->base = (struct transport){.ops = &transport_ops, .events = events, .user = user};
    t->reactor = cfg->reactor;
    t->upgrader = (struct upgrader){
        .reactor = cfg->reactor,
        .identity = cfg->identity,
        .tls = t->tls,
        .securities = cfg->securities,
        .conn_gone = on_conn_gone,
        .upgrade_gone = on_upgrade_gone,
    };
    list_init(&t->base.node);
    list_init(&t->listenings);
    list_init(&t->pendings);
    list_init(&t->legs);
    list_init(&t->conns);
    half_open_book_init(&t->half_open, TCP_HALF_OPEN_PER_IP_MAX);
    *ret_transport = &t->base;
    return 0;
}

void tcp_transport_set_preface(struct transport *t, struct tcp_preface *p) {
    assert(t->ops == &transport_ops);
    tcp_legs_forget_preface(&of(t)->legs);
    of(t)->preface = p;
}

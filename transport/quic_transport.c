/* SPDX-License-Identifier: MIT */
#include "transport/quic_transport.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "transport/proto/tls_context.h"
#include "transport/quic_transport_internal.h"

static bool can_dial(const struct transport *t, const struct multiaddr *to) {
    struct net_addr addr;
    (void)t;
    return multiaddr_kind(to) == MULTIADDR_KIND_QUIC && multiaddr_to_net_addr(to, &addr) == 0;
}

static int dial(struct transport *base, struct dial *dial) {
    struct quic_transport *t = quic_transport_of(base);
    struct net_addr to;
    int e = multiaddr_to_net_addr(&dial->to, &to);
    if (e < 0)
        return e;
    if (t->closing)
        return -ERR_SHUTDOWN;
    struct quic_socket *s;
    e = quic_socket_for(t, &to, &s);
    if (e < 0)
        return e;
    e = quic_driver_dial(t, s, dial, &to);
    if (e < 0)
        quic_socket_close_if_unused(s);
    return e;
}

static void cancel(struct transport *base, struct dial *dial) {
    (void)base;
    struct quic_driver *d = dial->handle;
    assert(d->dial == dial);
    d->dial = NULL;
    quic_driver_close(d, CONN_CODE_NONE);
}

static int listen_at(struct transport *base, const struct multiaddr *at, struct problem *problem) {
    char text[MULTIADDR_TEXT_MAX];
    struct net_addr addr;
    if (!can_dial(base, at))
        return problem_set(problem, -ERR_UNSUPPORTED, "cannot listen on %s: not a QUIC address",
                           multiaddr_format(at, text));
    int e = multiaddr_to_net_addr(at, &addr);
    struct quic_socket *s;
    if (e == 0)
        e = quic_socket_open(quic_transport_of(base), &addr, true, &s);
    if (e < 0)
        return problem_set(problem, e, "cannot listen on %s: %s", multiaddr_format(at, text),
                           err_text(e));
    return 0;
}

static size_t listen_addrs(const struct transport *base, struct multiaddr *out, size_t max) {
    const struct quic_transport *t = CONTAINER_OF(base, const struct quic_transport, base);
    size_t count = 0;
    list_for_each (node, &t->sockets) {
        const struct quic_socket *s = LIST_ENTRY(node, struct quic_socket, node);
        if (!s->listening)
            continue;
        if (count < max)
            multiaddr_from_net_addr(&s->udp.bound, MULTIADDR_KIND_QUIC, &out[count]);
        count++;
    }
    return count;
}

void quic_transport_check_closed(struct quic_transport *t) {
    if (!t->closing || t->drivers_count > 0 || !list_is_empty(&t->sockets) || t->closed == NULL)
        return;
    void (*closed)(void *) = TAKE(t->closed);
    closed(t->closed_user);
}

static void close_all(struct transport *base, uint64_t code, void (*closed)(void *), void *user) {
    struct quic_transport *t = quic_transport_of(base);
    assert(!t->closing);
    t->closing = true;
    t->closed = closed;
    t->closed_user = user;
    list_for_each (node, &t->drivers) {
        quic_driver_close(LIST_ENTRY(node, struct quic_driver, node), code);
    }
    list_for_each_safe (node, &t->sockets) {
        quic_socket_close_if_unused(LIST_ENTRY(node, struct quic_socket, node));
    }
    quic_transport_check_closed(t);
}

static void free_transport(struct transport *base) {
    struct quic_transport *t = quic_transport_of(base);
    assert(t->drivers_count == 0);
    assert(list_is_empty(&t->sockets));
    map_done(&t->routes);
    t->tls = tls_context_free(t->tls);
    mem_wipe(t->reset_key, sizeof(t->reset_key));
    mem_wipe(t->token_key, sizeof(t->token_key));
    (void)mem_free(reactor_mem(t->reactor), t);
}

static const struct transport_ops transport_ops = {
    .name = "quic",
    .can_dial = can_dial,
    .dial = dial,
    .cancel = cancel,
    .listen = listen_at,
    .listen_addrs = listen_addrs,
    .close = close_all,
    .free = free_transport,
};

int quic_transport_new(struct reactor *r, const struct tls_cert *cert, const uint8_t *reset_key,
                       const struct transport_events *events, void *user,
                       struct transport **ret_transport) {
    struct mem *mem = reactor_mem(r);
    struct quic_transport *t = mem_alloc(mem, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->base = (struct transport){.ops = &transport_ops, .events = events, .user = user};
    t->reactor = r;
    list_init(&t->base.node);
    list_init(&t->sockets);
    list_init(&t->drivers);
    half_open_book_init(&t->half_open, QUIC_HALF_OPEN_PER_IP_MAX);
    if (reset_key != NULL)
        memcpy(t->reset_key, reset_key, sizeof(t->reset_key));
    else
        reactor_random(r, t->reset_key, sizeof(t->reset_key));
    reactor_random(r, t->token_key, sizeof(t->token_key));
    int e = map_init(&t->routes, mem, reactor_rng(r));
    if (e < 0) {
        (void)mem_free(mem, t);
        return e;
    }
    e = tls_context_new(mem, cert, &t->tls);
    if (e < 0) {
        map_done(&t->routes);
        (void)mem_free(mem, t);
        return e;
    }
    *ret_transport = &t->base;
    return 0;
}

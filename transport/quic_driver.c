/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "transport/quic_transport_internal.h"

/* GSO batches that one connection fills before others have their turn; at 64 KiB each the kernel
 * has work for a while, and completions are looked at in between. */
enum { BATCHES_PER_TURN = 4 };

/* When a connection without a slot looks again by itself: there may have been no memory for one,
 * and its timers must run meanwhile. */
#define SLOT_RETRY_AFTER MSEC(10)

struct quic_driver *quic_driver_of(struct conn *c) {
    return CONTAINER_OF(c, struct quic_driver, conn);
}

void quic_driver_wake(struct quic_driver *d) {
    reactor_defer(d->transport->reactor, &d->work);
}

/* --- Events of the engine --- */

static void add_route(struct quic_driver *d, const struct quic_cid *cid) {
    struct quic_transport *t = d->transport;
    struct bytes key = bytes_of(cid->bytes, cid->len);
    if (map_find(&t->routes, key) != NULL)
        return; /* a client chose an ID that is taken: its packets go to the older connection */
    for (size_t i = 0; i < ARRAY_COUNT(d->routes); i++) {
        struct quic_route *r = &d->routes[i];
        if (r->driver != NULL)
            continue;
        r->driver = d;
        r->cid = *cid;
        map_insert(&t->routes, &r->node, bytes_of(r->cid.bytes, r->cid.len));
        return;
    }
    assert(false);
}

static void remove_route(struct quic_driver *d, const struct quic_cid *cid) {
    for (size_t i = 0; i < ARRAY_COUNT(d->routes); i++) {
        struct quic_route *r = &d->routes[i];
        if (r->driver == NULL || r->cid.len != cid->len ||
            memcmp(r->cid.bytes, cid->bytes, cid->len) != 0)
            continue;
        map_remove(&d->transport->routes, &r->node);
        r->driver = NULL;
    }
}

static void on_connected(struct quic_driver *d) {
    struct conn *c = &d->conn;
    const struct quic_path *path = quic_conn_path(d->engine);
    c->peer = *quic_conn_peer(d->engine);
    c->opened_at = reactor_now(d->transport->reactor);
    multiaddr_from_net_addr(&path->remote, MULTIADDR_KIND_QUIC, &c->remote);
    if (c->inbound)
        multiaddr_from_net_addr(&path->local, MULTIADDR_KIND_QUIC, &c->local);
    half_open_leave(&d->transport->half_open, &d->half_open);
    d->handed_over = true;
    if (c->inbound) {
        d->transport->base.events->accepted(&d->transport->base, c);
    } else {
        struct dial *dial = TAKE(d->dial);
        if (dial != NULL)
            dial->done(dial, c, 0, NULL);
    }
}

static void on_moved(struct quic_driver *d) {
    const struct quic_path *path = quic_conn_path(d->engine);
    multiaddr_from_net_addr(&path->remote, MULTIADDR_KIND_QUIC, &d->conn.remote);
}

static void on_closed(struct quic_driver *d) {
    struct problem why = PROBLEM_INIT;
    int error = quic_conn_error(d->engine, &why);
    half_open_leave(&d->transport->half_open, &d->half_open);
    struct dial *dial = TAKE(d->dial);
    if (dial != NULL)
        dial->done(dial, NULL, error == 0 ? -ERR_CONN_CLOSED : error, &why);
    else if (d->handed_over && d->conn.events != NULL)
        d->conn.events->closed(&d->conn, error, &why);
}

static void free_driver(struct quic_driver *d) {
    struct quic_transport *t = d->transport;
    struct quic_socket *s = d->socket;
    for (size_t i = 0; i < ARRAY_COUNT(d->routes); i++)
        map_remove(&t->routes, &d->routes[i].node);
    half_open_leave(&d->transport->half_open, &d->half_open);
    timer_done(&d->timer);
    deferred_cancel(&d->work);
    list_remove(&d->node);
    list_remove(&d->wait_node);
    d->engine = quic_conn_free(d->engine);
    assert(t->drivers_count > 0);
    t->drivers_count--;
    assert(s->drivers_count > 0);
    s->drivers_count--;
    (void)mem_free(reactor_mem(t->reactor), d);
    quic_socket_wake_next(s);
    quic_socket_close_if_unused(s);
    quic_transport_check_closed(t);
}

static void on_stream_event(struct quic_driver *d, const struct quic_event *ev,
                            enum muxed_event muxed_event) {
    struct stream *owner = quic_stream_user(ev->stream);
    int error = 0;
    if (muxed_event == MUXED_CLOSED && !quic_conn_is_open(d->engine)) {
        error = quic_conn_error(d->engine, NULL);
        if (error == 0)
            error = -ERR_CONN_CLOSED;
    }
    if (owner != NULL)
        stream_on_muxed(owner, muxed_event, ev->code, error);
}

static struct muxed *muxed_of(struct quic_stream *s) {
    return (struct muxed *)s;
}

/* false: the driver is gone. */
static bool handle_event(struct quic_driver *d, struct quic_event *ev) {
    struct conn *c = &d->conn;
    switch (ev->type) {
    case QUIC_EV_CID_ADDED:
        add_route(d, &ev->cid);
        break;
    case QUIC_EV_CID_REMOVED:
        remove_route(d, &ev->cid);
        break;
    case QUIC_EV_CONNECTED:
        on_connected(d);
        break;
    case QUIC_EV_CONFIRMED:
        c->confirmed = true;
        if (c->events != NULL)
            c->events->confirmed(c);
        break;
    case QUIC_EV_MOVED:
        on_moved(d);
        break;
    case QUIC_EV_STREAMS_AVAILABLE:
        if (c->events != NULL)
            c->events->streams_available(c);
        break;
    case QUIC_EV_STREAM_OPENED:
        if (c->events != NULL)
            c->events->stream_opened(c, muxed_of(ev->stream));
        else
            quic_stream_release(ev->stream);
        break;
    case QUIC_EV_STREAM_READABLE:
        on_stream_event(d, ev, MUXED_READABLE);
        break;
    case QUIC_EV_STREAM_WRITABLE:
        on_stream_event(d, ev, MUXED_WRITABLE);
        break;
    case QUIC_EV_STREAM_STOPPED:
        on_stream_event(d, ev, MUXED_STOPPED);
        break;
    case QUIC_EV_STREAM_RESET:
        on_stream_event(d, ev, MUXED_RESET);
        break;
    case QUIC_EV_STREAM_CLOSED:
        on_stream_event(d, ev, MUXED_CLOSED);
        break;
    case QUIC_EV_DATAGRAM:
        if (c->events != NULL)
            c->events->datagram(c, ev->datagram);
        else
            slice_unref(&ev->datagram);
        break;
    case QUIC_EV_CLOSED:
        on_closed(d);
        break;
    case QUIC_EV_GONE:
        free_driver(d);
        return false;
    }
    return true;
}

static bool drain_events(struct quic_driver *d) {
    struct quic_event ev;
    while (quic_conn_next_event(d->engine, &ev)) {
        if (!handle_event(d, &ev))
            return false;
    }
    return true;
}

/* --- Feed, drain, pull, set the timer --- */

enum pulled { PULLED_ALL, PULLED_SOME, PULLED_NO_SLOT };

static enum pulled pull(struct quic_driver *d) {
    nsec_t now = reactor_now(d->transport->reactor);
    for (int i = 0; i < BATCHES_PER_TURN; i++) {
        struct quic_slot *slot = quic_socket_take_slot(d->socket);
        if (slot == NULL)
            return PULLED_NO_SLOT;
        struct quic_batch batch;
        if (!quic_conn_pull(d->engine, slot->buf->data, UDP_SEND_BYTES_MAX, &batch, now)) {
            quic_socket_return_slot(slot);
            return PULLED_ALL;
        }
        if (!d->conn.inbound)
            batch.path.local = d->dial_local;
        quic_socket_send(slot, &batch);
    }
    return PULLED_SOME;
}

static void work(struct deferred *deferred) {
    struct quic_driver *d = CONTAINER_OF(deferred, struct quic_driver, work);
    if (!drain_events(d))
        return;
    enum pulled p = pull(d);
    /* Sending makes room, which makes events, which make users write. */
    if (!drain_events(d))
        return;
    if (p != PULLED_NO_SLOT)
        list_remove(&d->wait_node);
    switch (p) {
    case PULLED_SOME:
        quic_driver_wake(d);
        return;
    case PULLED_NO_SLOT:
        if (!list_is_linked(&d->wait_node))
            list_push(&d->socket->waiting, &d->wait_node);
        timer_start(&d->timer, reactor_now(d->transport->reactor) + SLOT_RETRY_AFTER);
        return;
    case PULLED_ALL:
        timer_start(&d->timer, quic_conn_deadline(d->engine));
        return;
    }
}

static void on_timer(struct timer *timer) {
    struct quic_driver *d = CONTAINER_OF(timer, struct quic_driver, timer);
    quic_conn_tick(d->engine, reactor_now(d->transport->reactor));
    quic_driver_wake(d);
}

/* Which of our addresses the system sends from, its answers tell. */
static void note_local(struct quic_driver *d, const struct net_addr *local) {
    if (local->family == NET_NONE || net_addr_ip_equal(local, &d->reached_at))
        return;
    d->reached_at = *local;
    d->reached_at.port = d->dial_local.port;
    multiaddr_from_net_addr(&d->reached_at, MULTIADDR_KIND_QUIC, &d->conn.local);
}

void quic_driver_recv(struct quic_driver *d, const struct quic_path *path, uint8_t ecn,
                      struct bytes packet) {
    struct quic_path p = *path;
    if (!d->conn.inbound) {
        note_local(d, &path->local);
        p.local = d->dial_local; /* one path: the wildcard address that it was dialled from */
    }
    quic_conn_recv(d->engine, &p, ecn, packet, reactor_now(d->transport->reactor));
    quic_driver_wake(d);
}

void quic_driver_recv_stray(struct quic_driver *d, const struct net_addr *remote,
                            struct bytes packet) {
    if (!quic_conn_is_open(d->engine) ||
        !net_addr_equal(&quic_conn_path(d->engine)->remote, remote))
        return;
    quic_conn_recv_stray(d->engine, packet, reactor_now(d->transport->reactor));
    quic_driver_wake(d);
}

/* --- Making --- */

static int driver_new(struct quic_socket *s, struct quic_driver **ret_driver) {
    struct quic_transport *t = s->transport;
    struct quic_driver *d = mem_alloc(reactor_mem(t->reactor), sizeof(*d));
    if (d == NULL)
        return -ENOMEM;
    int e = timer_init(&d->timer, t->reactor, on_timer);
    if (e < 0) {
        (void)mem_free(reactor_mem(t->reactor), d);
        return e;
    }
    d->conn.ops = &quic_conn_ops;
    d->transport = t;
    d->socket = s;
    d->quota = QUOTA_INIT(QUIC_CONN_QUOTA_BYTES, NULL);
    deferred_init(&d->work, work);
    list_init(&d->node);
    list_init(&d->wait_node);
    half_open_init(&d->half_open, NULL); /* here the newest is refused */
    for (size_t i = 0; i < ARRAY_COUNT(d->routes); i++)
        map_node_init(&d->routes[i].node);
    *ret_driver = d;
    return 0;
}

static struct quic_conn_config engine_config(struct quic_driver *d) {
    struct reactor *r = d->transport->reactor;
    return (struct quic_conn_config){.mem = reactor_mem(r),
                                     .rng = reactor_rng(r),
                                     .pool = reactor_pool(r),
                                     .quota = &d->quota,
                                     .tls = d->transport->tls,
                                     .reset_key = d->transport->reset_key,
                                     .walltime = reactor_walltime(r)};
}

static void driver_join(struct quic_driver *d) {
    list_push(&d->transport->drivers, &d->node);
    d->transport->drivers_count++;
    d->socket->drivers_count++;
    quic_driver_wake(d);
}

static void driver_abandon(struct quic_driver *d) {
    timer_done(&d->timer);
    (void)mem_free(reactor_mem(d->transport->reactor), d);
}

int quic_driver_dial(struct quic_transport *t, struct quic_socket *s, struct dial *dial,
                     const struct net_addr *to) {
    struct quic_driver *d;
    int e = driver_new(s, &d);
    if (e < 0)
        return e;
    d->dial_local = s->udp.bound;
    struct quic_path path = {.local = d->dial_local, .remote = *to};
    struct quic_conn_config cfg = engine_config(d);
    if (!peer_id_is_none(&dial->expected))
        cfg.expected = &dial->expected;
    e = quic_conn_connect(&cfg, &path, reactor_now(t->reactor), &d->engine);
    if (e < 0) {
        driver_abandon(d);
        return e;
    }
    d->dial = dial;
    dial->handle = d;
    driver_join(d);
    return 0;
}

int quic_driver_accept(struct quic_socket *s, const struct quic_initial *initial,
                       const struct quic_path *path, struct quic_driver **ret_driver) {
    struct quic_transport *t = s->transport;
    struct quic_driver *d;
    int e = driver_new(s, &d);
    if (e < 0)
        return e;
    struct quic_conn_config cfg = engine_config(d);
    e = quic_conn_accept(&cfg, initial, path, reactor_now(t->reactor), &d->engine);
    if (e < 0) {
        driver_abandon(d);
        return e;
    }
    d->conn.inbound = true;
    half_open_add(&t->half_open, &d->half_open, &path->remote);
    /* The client's second packet may be in this batch already. */
    struct quic_event ev;
    while (quic_conn_next_event(d->engine, &ev)) {
        assert(ev.type == QUIC_EV_CID_ADDED);
        add_route(d, &ev.cid);
    }
    driver_join(d);
    *ret_driver = d;
    return 0;
}

void quic_driver_close(struct quic_driver *d, uint64_t code) {
    quic_conn_close(d->engine, code, reactor_now(d->transport->reactor));
    quic_driver_wake(d);
}

void quic_driver_fail_dials(struct quic_socket *s, const struct net_addr *to, int error) {
    list_for_each (node, &s->transport->drivers) {
        struct quic_driver *d = LIST_ENTRY(node, struct quic_driver, node);
        if (d->socket != s || d->dial == NULL ||
            !net_addr_equal(&quic_conn_path(d->engine)->remote, to))
            continue;
        quic_conn_unreachable(d->engine, error, reactor_now(s->transport->reactor));
        quic_driver_wake(d);
    }
}

/* --- The connection interface --- */

static struct quic_stream *stream_of(const struct muxed *m) {
    return (struct quic_stream *)(uintptr_t)m;
}

/* Every verb may leave something to send. */
static void wake_stream(struct quic_stream *s) {
    struct quota *q = quic_stream_quota(s)->parent;
    quic_driver_wake(CONTAINER_OF(q, struct quic_driver, quota));
}

static void muxed_set_owner(struct muxed *m, struct stream *owner) {
    quic_stream_set_user(stream_of(m), owner);
}

static ssize_t muxed_write(struct muxed *m, const struct slice *v, size_t count) {
    wake_stream(stream_of(m));
    return quic_stream_write(stream_of(m), v, count);
}

static ssize_t muxed_read(struct muxed *m, struct slice *out, size_t max) {
    ssize_t n = quic_stream_read(stream_of(m), out, max);
    if (n == -ENODATA)
        wake_stream(stream_of(m)); /* CLOSED may be due */
    return n;
}

static void muxed_credit(struct muxed *m, size_t bytes) {
    quic_stream_credit(stream_of(m), bytes);
    wake_stream(stream_of(m));
}

static void muxed_shutdown_write(struct muxed *m) {
    quic_stream_shutdown_write(stream_of(m));
    wake_stream(stream_of(m));
}

static void muxed_stop_reading(struct muxed *m, uint64_t code) {
    quic_stream_stop_reading(stream_of(m), code);
    wake_stream(stream_of(m));
}

static void muxed_reset(struct muxed *m, uint64_t code) {
    quic_stream_reset(stream_of(m), code);
    wake_stream(stream_of(m));
}

static void muxed_release(struct muxed *m) {
    wake_stream(stream_of(m));
    quic_stream_release(stream_of(m));
}

static struct quota *muxed_quota(struct muxed *m) {
    return quic_stream_quota(stream_of(m));
}

static size_t muxed_unsent(const struct muxed *m) {
    return quic_stream_unsent(stream_of(m));
}

static int conn_open_stream(struct conn *c, struct muxed **ret_muxed) {
    struct quic_stream *s;
    int e = quic_stream_open(quic_driver_of(c)->engine, &s);
    if (e < 0)
        return e;
    *ret_muxed = muxed_of(s);
    return 0;
}

static int conn_send_datagram(struct conn *c, struct slice datagram) {
    struct quic_driver *d = quic_driver_of(c);
    quic_driver_wake(d);
    return quic_conn_send_datagram(d->engine, datagram);
}

static size_t conn_datagram_max(const struct conn *c) {
    return quic_conn_datagram_max(CONTAINER_OF(c, const struct quic_driver, conn)->engine);
}

static void conn_admit(struct conn *c) {
    struct quic_driver *d = quic_driver_of(c);
    quic_conn_admit(d->engine);
    quic_driver_wake(d);
}

static void conn_close(struct conn *c, uint64_t code) {
    quic_driver_close(quic_driver_of(c), code);
}

static nsec_t conn_rtt(const struct conn *c) {
    return quic_conn_rtt(CONTAINER_OF(c, const struct quic_driver, conn)->engine);
}

static nsec_t conn_unanswered_since(const struct conn *c) {
    return quic_conn_unanswered_since(CONTAINER_OF(c, const struct quic_driver, conn)->engine);
}

static void conn_probe(struct conn *c) {
    struct quic_driver *d = quic_driver_of(c);
    quic_conn_probe(d->engine);
    quic_driver_wake(d);
}

static nsec_t conn_heard_at(const struct conn *c) {
    return quic_conn_heard_at(CONTAINER_OF(c, const struct quic_driver, conn)->engine);
}

/* A client's packets leave from whatever address the system has, and the server follows. */
static bool conn_can_move(const struct conn *c) {
    const struct quic_driver *d = CONTAINER_OF(c, const struct quic_driver, conn);
    return !c->inbound && net_addr_is_unspecified(&d->dial_local);
}

const struct conn_ops quic_conn_ops = {
    .muxed =
        {
            .set_owner = muxed_set_owner,
            .write = muxed_write,
            .read = muxed_read,
            .credit = muxed_credit,
            .shutdown_write = muxed_shutdown_write,
            .stop_reading = muxed_stop_reading,
            .reset = muxed_reset,
            .release = muxed_release,
            .quota = muxed_quota,
            .unsent = muxed_unsent,
        },
    .open_stream = conn_open_stream,
    .send_datagram = conn_send_datagram,
    .datagram_max = conn_datagram_max,
    .admit = conn_admit,
    .close = conn_close,
    .rtt = conn_rtt,
    .unanswered_since = conn_unanswered_since,
    .probe = conn_probe,
    .heard_at = conn_heard_at,
    .can_move = conn_can_move,
};

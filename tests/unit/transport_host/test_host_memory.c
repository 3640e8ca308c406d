/* SPDX-License-Identifier: MIT */
#include "hosts.h"
#include "transport/ping_service.h"

/* Goal: whichever allocation fails, each request ends once, and closing leaves nothing behind. */

struct outcome {
    struct fixture *t;
    struct connect_request connect;
    struct stream_request open;
    struct host_ping ping;
    struct tap a;
    struct tap b;
    int connects;
    int opens;
    int pings;
};

static void on_connected(struct connect_request *r, const struct multiaddr *remote, int error) {
    (void)remote;
    (void)error;
    CONTAINER_OF(r, struct outcome, connect)->connects++;
}

static void on_opened(struct stream_request *r, struct stream *s, int error) {
    struct outcome *o = CONTAINER_OF(r, struct outcome, open);
    o->opens++;
    if (error == 0)
        tap_attach(&o->a, o->t, s);
}

static void on_pong(struct host_ping *p, nsec_t rtt, int error) {
    (void)rtt;
    (void)error;
    CONTAINER_OF(p, struct outcome, ping)->pings++;
}

/* Connects, pings and carries some bytes, as far as memory goes. */
static void live(struct fixture *t, struct outcome *o) {
    nsec_t deadline = reactor_now(t->reactor) + MSEC(300);
    const struct peer_id *to = &t->b.identity.id;
    if (host_add_addrs(t->a.host, to, &t->b.addr, 1) < 0)
        return;
    host_connect(t->a.host, &o->connect, to, deadline, on_connected);
    host_open_stream(t->a.host, &o->open, to, TEST_PROTOCOL, deadline, on_opened);
    if (host_ping_start(t->a.host, &o->ping, to, deadline, on_pong) < 0)
        o->pings++;
    /* A ping that went out has its own time limit: 10 s. */
    while ((o->connects < 1 || o->opens < 1) && reactor_now(t->reactor) < deadline + SEC(1))
        cr_assert_eq(reactor_turn(t->reactor, deadline), 0);
    if (o->a.stream != NULL) {
        uint8_t bytes[1000] = {0};
        if (stream_write_bytes(o->a.stream, BYTES_OF(bytes)) == 0)
            stream_shutdown_write(o->a.stream);
    }
    while (!o->b.eof && reactor_now(t->reactor) < deadline)
        cr_assert_eq(reactor_turn(t->reactor, deadline), 0);
    cr_assert_eq(o->connects, 1);
    cr_assert_eq(o->opens, 1);
}

static bool fails_at(struct fixture *t, long n, bool for_good) {
    static struct outcome o;
    static struct handler handler;
    open_pair(t);
    o = (struct outcome){.t = t};
    handler_open(&handler, &t->b, TEST_PROTOCOL, CLASS_ANY, &o.b, 1);
    t->mem.calls = 0;
    t->mem.fail_at = n;
    t->mem.fail_for_good = for_good;
    live(t, &o);
    bool failed = t->mem.calls >= n;
    t->mem.fail_at = 0;
    tap_end(&o.a);
    tap_end(&o.b);
    party_end_start(&t->a);
    party_end_start(&t->b);
    party_end(&t->a);
    party_end(&t->b);
    cr_assert(o.pings == 1 || !o.ping.pending);
    cr_assert(o.pings <= 1);
    return failed;
}

/* All of the first ones, then fewer: a run takes a quarter of a second. */
static long next_after(long n) {
    return n + 1 + n / 6;
}

CASE(memory, may_be_refused_once_at_any_place) {
    for (long n = 1; fails_at(t, n, false); n = next_after(n))
        ;
}

CASE(memory, may_be_refused_for_good_from_any_place_on) {
    for (long n = 1; fails_at(t, n, true); n = next_after(n))
        ;
}

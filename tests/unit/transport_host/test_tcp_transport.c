/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "hosts.h"
#include "transport/proto/tls_cert.h"
#include "transport/tcp_transport.h"
#include "transport/upgrade.h"

/* Goal: transport/tcp_transport.h: from which port is dialled, who takes which part, and how it
 * ends.  What strangers can hold is asked in tests/unit/transport_tcp. */

enum { CONNS_MAX = 8 };

struct station {
    struct fixture *t;
    struct identity identity;
    struct transport *tcp;
    struct multiaddr at;
    struct conn *accepted[CONNS_MAX];
    int accepted_count;
    bool closed;
};

struct call {
    struct dial dial;
    int connected;
    int done;
    struct conn *conn;
    int error;
};

static void ignore_confirmed(struct conn *c) {
    (void)c;
}

static void ignore_closed(struct conn *c, int error, const struct problem *why) {
    (void)c;
    (void)error;
    (void)why;
}

static const struct conn_events conn_events = {.confirmed = ignore_confirmed,
                                               .closed = ignore_closed};

static void on_accepted(struct transport *t, struct conn *c) {
    struct station *n = t->user;
    cr_assert(c->inbound);
    cr_assert(n->accepted_count < CONNS_MAX);
    c->events = &conn_events;
    n->accepted[n->accepted_count++] = c;
}

static const struct transport_events transport_events = {.accepted = on_accepted};

static void station_open(struct station *n, struct fixture *t, uint8_t seed, const char *listen) {
    uint8_t seed_bytes[ED25519_SEED_BYTES];
    memset(seed_bytes, seed, sizeof(seed_bytes));
    *n = (struct station){.t = t};
    cr_assert_eq(identity_from_seed(seed_bytes, &n->identity), 0);
    struct tls_cert cert;
    cr_assert_eq(tls_cert_make(&n->identity, reactor_rng(t->reactor), &cert), 0);
    struct tcp_transport_config cfg = {.reactor = t->reactor,
                                       .identity = &n->identity,
                                       .cert = &cert,
                                       .securities = UPGRADE_NOISE};
    cr_assert_eq(tcp_transport_new(&cfg, &transport_events, n, &n->tcp), 0);
    tls_cert_done(&cert);
    if (listen == NULL)
        return;
    struct multiaddr at;
    struct problem problem = PROBLEM_INIT;
    cr_assert_eq(multiaddr_parse(listen, &at), 0);
    cr_assert_eq(n->tcp->ops->listen(n->tcp, &at, &problem), 0, "%s", problem.text);
    cr_assert_eq(n->tcp->ops->listen_addrs(n->tcp, &n->at, 1), 1);
}

static void on_station_closed(void *user) {
    ((struct station *)user)->closed = true;
}

static void station_end(struct station *n) {
    n->tcp->ops->close(n->tcp, CONN_CODE_SHUTDOWN, on_station_closed, n);
    TURN_UNTIL(n->t, n->closed);
    n->tcp->ops->free(n->tcp);
}

static void on_dialled(struct dial *d, struct conn *c, int error, const struct problem *why) {
    struct call *x = CONTAINER_OF(d, struct call, dial);
    (void)why;
    cr_assert_eq(c == NULL, error < 0);
    x->done++;
    cr_assert_eq(x->done, 1);
    x->conn = c;
    x->error = error;
    if (c != NULL)
        c->events = &conn_events;
}

static void on_connected(struct dial *d) {
    struct call *x = CONTAINER_OF(d, struct call, dial);
    cr_assert_eq(x->done, 0);
    x->connected++;
}

static void call_start(struct call *x, struct station *from, const struct station *to,
                       bool responder) {
    *x = (struct call){.dial = {.transport = from->tcp,
                                .expected = to->identity.id,
                                .to = to->at,
                                .responder = responder,
                                .connected = on_connected,
                                .done = on_dialled}};
    list_init(&x->dial.node);
    int e = from->tcp->ops->dial(from->tcp, &x->dial);
    cr_assert_eq(x->done, 0, "a callback from inside the call");
    if (e < 0) {
        x->done = 1;
        x->error = e;
    }
}

static uint16_t port_of(const struct multiaddr *a) {
    struct net_addr addr;
    cr_assert_eq(multiaddr_to_net_addr(a, &addr), 0);
    return addr.port;
}

static void check_dials_from_its_port(struct fixture *t, const char *at_a, const char *at_b) {
    static struct station a;
    static struct station b;
    struct call first;
    struct call second;
    station_open(&a, t, 1, at_a);
    station_open(&b, t, 2, at_b);
    call_start(&first, &a, &b, false);
    TURN_UNTIL(t, first.done == 1 && b.accepted_count == 1);
    cr_assert_eq(first.error, 0);
    cr_assert_eq(port_of(&first.conn->local), port_of(&a.at));
    cr_assert(multiaddr_equal(&first.conn->remote, &b.at));
    cr_assert_eq(port_of(&b.accepted[0]->remote), port_of(&a.at));
    cr_assert_eq(port_of(&b.accepted[0]->local), port_of(&b.at));

    /* The pair of addresses is taken now. */
    call_start(&second, &a, &b, false);
    TURN_UNTIL(t, second.done == 1 && b.accepted_count == 2);
    cr_assert_eq(second.error, 0);
    cr_assert_neq(port_of(&second.conn->local), port_of(&a.at));
    station_end(&a);
    station_end(&b);
}

CASE_QUIC(tcp_transport,
          dials_from_the_port_that_it_listens_on_and_from_another_when_that_is_taken) {
    check_dials_from_its_port(t, "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0");
    check_dials_from_its_port(t, "/ip4/0.0.0.0/tcp/0", "/ip4/127.0.0.1/tcp/0");
    check_dials_from_its_port(t, "/ip6/::1/tcp/0", "/ip6/::1/tcp/0");
}

CASE_QUIC(tcp_transport, dials_from_any_port_where_it_listens_on_no_such_address) {
    static struct station a;
    static struct station b;
    struct call x;
    station_open(&a, t, 1, "/ip6/::1/tcp/0");
    station_open(&b, t, 2, "/ip4/127.0.0.1/tcp/0");
    call_start(&x, &a, &b, false);
    TURN_UNTIL(t, x.done == 1);
    cr_assert_eq(x.error, 0);
    cr_assert_eq(x.connected, 1, "the socket, before the upgrade");
    cr_assert_neq(port_of(&x.conn->local), port_of(&a.at));
    station_end(&a);
    station_end(&b);
}

/* Both dial at the same instant from the ports that they listen on, and one has been given the
 * responder's part (dcutr.md).  Whether the two meet in one connection or one finds its ports
 * taken: exactly one is usable, between the right parts. */
static void check_both_dial(struct fixture *t, bool responder_first) {
    static struct station a;
    static struct station b;
    struct call from_a;
    struct call from_b;
    station_open(&a, t, 1, "/ip4/127.0.0.1/tcp/0");
    station_open(&b, t, 2, "/ip4/127.0.0.1/tcp/0");
    if (responder_first) {
        call_start(&from_b, &b, &a, true);
        call_start(&from_a, &a, &b, false);
    } else {
        call_start(&from_a, &a, &b, false);
        call_start(&from_b, &b, &a, true);
    }
    TURN_UNTIL(t, from_a.done == 1 && from_a.error == 0);
    TURN_UNTIL(t, b.accepted_count == 1 || from_b.done == 1);
    cr_assert_eq(a.accepted_count, 0);
    if (from_b.done == 0) /* it awaits an initiator, which its peer's listener is not */
        b.tcp->ops->cancel(b.tcp, &from_b.dial);
    else if (from_b.error != 0)
        cr_assert(from_b.error == -EADDRNOTAVAIL || from_b.error == -EADDRINUSE, "%d",
                  from_b.error);
    TURN_UNTIL(t, b.accepted_count == 1 || (from_b.done == 1 && from_b.error == 0));
    station_end(&a);
    station_end(&b);
}

CASE_QUIC(tcp_transport, both_may_dial_at_once) {
    check_both_dial(t, false);
    check_both_dial(t, true);
}

/* The dialler as responder, against a link that takes the initiator's part on the other side. */
CASE_QUIC(tcp_transport, a_responder_that_dials_does_not_try_another_port) {
    static struct station a;
    static struct station b;
    struct call first;
    struct call second;
    station_open(&a, t, 1, "/ip4/127.0.0.1/tcp/0");
    station_open(&b, t, 2, "/ip4/127.0.0.1/tcp/0");
    call_start(&first, &a, &b, false);
    TURN_UNTIL(t, first.done == 1);
    cr_assert_eq(first.error, 0);
    call_start(&second, &a, &b, true);
    TURN_UNTIL(t, second.done == 1);
    cr_assert(second.error == -EADDRNOTAVAIL || second.error == -EADDRINUSE, "%d", second.error);
    station_end(&a);
    station_end(&b);
}

CASE_QUIC(tcp_transport, tells_why_it_cannot_listen) {
    static struct station a;
    static struct station b;
    struct multiaddr udp;
    struct problem problem = PROBLEM_INIT;
    station_open(&a, t, 1, "/ip4/127.0.0.1/tcp/0");
    station_open(&b, t, 2, NULL);
    cr_assert_eq(b.tcp->ops->listen(b.tcp, &a.at, &problem), -EADDRINUSE);
    char text[MULTIADDR_TEXT_MAX];
    cr_assert(strstr(problem.text, multiaddr_format(&a.at, text)) != NULL, "%s", problem.text);
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/udp/0/quic-v1", &udp), 0);
    cr_assert_eq(b.tcp->ops->listen(b.tcp, &udp, &problem), -ERR_UNSUPPORTED);
    cr_assert_not(b.tcp->ops->can_dial(b.tcp, &udp));
    cr_assert(b.tcp->ops->can_dial(b.tcp, &a.at));
    station_end(&a);
    station_end(&b);
}

CASE_QUIC(tcp_transport, closes_with_dials_and_handshakes_under_way) {
    static struct station a;
    static struct station b;
    struct call calls[3];
    station_open(&a, t, 1, "/ip4/127.0.0.1/tcp/0");
    station_open(&b, t, 2, "/ip4/127.0.0.1/tcp/0");
    for (size_t turns = 0; turns < 6; turns++) {
        struct call x;
        call_start(&x, &a, &b, false);
        for (size_t i = 0; i < turns; i++)
            cr_assert_eq(reactor_turn(t->reactor, 0), 0);
        if (x.done == 0)
            a.tcp->ops->cancel(a.tcp, &x.dial);
    }
    for (size_t i = 0; i < ARRAY_COUNT(calls); i++)
        call_start(&calls[i], &a, &b, false);
    cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    station_end(&a);
    for (size_t i = 0; i < ARRAY_COUNT(calls); i++)
        cr_assert_eq(calls[i].done, 1);
    station_end(&b);
}

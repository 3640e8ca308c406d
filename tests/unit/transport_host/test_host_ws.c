/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "hosts.h"

/* Goal: /ws is listened on and dialled like any other address, and nobody who speaks something else
 * at its port hangs. */

static void see_conn(void *user, const struct conn_info *info) {
    *(struct conn_info *)user = *info;
}

static struct conn_info info_of(const struct party *p) {
    struct conn_info info = {.agent = NULL};
    host_each_conn(p->host, see_conn, &info);
    cr_assert(info.agent != NULL, "no connection");
    return info;
}

static void check_connect(struct fixture *t) {
    open_pair(t);
    cr_assert_eq(multiaddr_kind(&t->b.addr), MULTIADDR_KIND_WS);
    connect_pair(&t->a, &t->b);
    TURN_UNTIL(t, info_of(&t->b).agent[0] != '\0');
    struct conn_info at_a = info_of(&t->a);
    struct conn_info at_b = info_of(&t->b);
    cr_assert(multiaddr_equal(&at_a.remote, &t->b.addr));
    cr_assert_eq(multiaddr_kind(&at_b.remote), MULTIADDR_KIND_WS);
    cr_assert_eq(multiaddr_kind(&only_conn(&t->a)->conn->local), MULTIADDR_KIND_WS);
    cr_assert_eq(multiaddr_kind(&only_conn(&t->b)->conn->local), MULTIADDR_KIND_WS);
    cr_assert(at_b.inbound);
}

CASE_WS(ws_host, connects_over_IPv4) {
    check_connect(t);
}

CASE_WS(ws_host, connects_over_IPv6) {
    t->listen = t->traits->any_ip6;
    check_connect(t);
}

CASE_WS(ws_host, streams_carry_bytes_both_ways_at_once) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    tap_write(&p.a, 5000000, true);
    tap_write(&p.b, 3000000, true);
    TURN_UNTIL(t, p.a.closed == 1 && p.b.closed == 1);
    cr_assert_eq(p.b.got, 5000000);
    cr_assert_eq(p.a.got, 3000000);
    cr_assert_not(p.a.wrong || p.b.wrong);
    cr_assert_eq(p.a.closed_error + p.b.closed_error, 0);
}

static void expect_no_connection(struct fixture *t, const char *ending) {
    char text[MULTIADDR_TEXT_MAX];
    char to[MULTIADDR_TEXT_MAX + 64];
    struct net_addr at;
    struct multiaddr addr;
    struct connecting c;
    party_open(&t->a, t, 1, &(struct party_options){.listen = ""});
    party_open(&t->b, t, 2, &(struct party_options){.agent = "b"});
    cr_assert_eq(multiaddr_to_net_addr(&t->b.addr, &at), 0);
    multiaddr_from_net_addr(&at, MULTIADDR_KIND_TCP, &addr);
    (void)snprintf(to, sizeof(to), "%s%s", multiaddr_format(&addr, text), ending);
    cr_assert_eq(multiaddr_parse(to, &addr), 0);
    cr_assert_eq(host_add_addrs(t->a.host, &t->b.identity.id, &addr, 1), 0);
    nsec_t start = reactor_now(t->reactor);
    connect_start(&c, &t->a, &t->b.identity.id, SEC(15));
    TURN_UNTIL(t, c.done == 1);
    cr_assert_lt(c.error, 0);
    cr_assert(reactor_now(t->reactor) - start < SEC(5), "it was told, not waited for");
    cr_assert_eq(conns_count(&t->b), 0);
}

CASE_WS(ws_host, who_dials_its_port_without_a_WebSocket_learns_so) {
    expect_no_connection(t, "");
}

CASE_WS(ws_host, who_asks_a_plain_port_for_a_WebSocket_learns_so) {
    t->listen = stacks[STACK_NOISE].any_ip4;
    expect_no_connection(t, "/ws");
}

CASE_WS(ws_host, who_speaks_TLS_to_its_port_learns_so) {
    expect_no_connection(t, "/tls/sni/example.test/ws");
}

CASE_WS(ws_host, does_not_listen_with_TLS) {
    struct multiaddr at;
    struct problem problem = PROBLEM_INIT;
    struct host *host;
    const uint8_t seed[ED25519_SEED_BYTES] = {1};
    struct identity identity;
    cr_assert_eq(identity_from_seed(seed, &identity), 0);
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/tcp/0/tls/sni/example.test/ws", &at), 0);
    struct host_config cfg = {
        .reactor = t->reactor, .identity = &identity, .listen = &at, .listen_count = 1};
    cr_assert_eq(host_new(&cfg, &problem, &host), -ERR_UNSUPPORTED);
    cr_assert(problem.text[0] != '\0');
    TURN_UNTIL(t, !reactor_has_handles(t->reactor));
}

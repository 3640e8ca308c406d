/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "hosts.h"

/* Goal: who gets a connection to whom, and what everybody else is told. */

static void see_conn(void *user, const struct conn_info *info) {
    *(struct conn_info *)user = *info;
}

static struct conn_info info_of(const struct party *p) {
    struct conn_info info = {.agent = NULL};
    host_each_conn(p->host, see_conn, &info);
    cr_assert(info.agent != NULL, "no connection");
    return info;
}

static void check_connect_and_identify(struct fixture *t) {
    open_pair(t);
    struct connecting c;
    connect_start(&c, &t->a, &t->b.identity.id, SEC(5));
    TURN_UNTIL(t, c.done == 1);
    cr_assert_eq(c.error, 0, "%s", c.problem);
    TURN_UNTIL(t, info_of(&t->a).agent[0] != '\0' && conns_count(&t->b) == 1);
    TURN_UNTIL(t, info_of(&t->b).agent[0] != '\0');

    struct conn_info at_a = info_of(&t->a);
    struct conn_info at_b = info_of(&t->b);
    cr_assert_str_eq(at_a.agent, "bob/2");
    cr_assert_str_eq(at_b.agent, "alice/1");
    cr_assert(peer_id_equal(&at_a.peer, &t->b.identity.id));
    cr_assert(peer_id_equal(&at_b.peer, &t->a.identity.id));
    cr_assert(multiaddr_equal(&at_a.remote, &t->b.addr));
    cr_assert_not(at_a.inbound);
    cr_assert(at_b.inbound);
    cr_assert(at_a.rtt > 0 && at_a.rtt < SEC(1));
    cr_assert(only_conn(&t->a)->wants_push);

    /* A second request is answered from the connection that stands. */
    connect_start(&c, &t->a, &t->b.identity.id, SEC(5));
    TURN_UNTIL(t, c.done == 1);
    cr_assert_eq(c.error, 0);
    cr_assert_eq(conns_count(&t->a), 1);
}

CASE(connect, over_IPv4_and_both_learn_who_the_other_is) {
    check_connect_and_identify(t);
}

CASE(connect, over_IPv6_and_both_learn_who_the_other_is) {
    t->listen = t->traits->any_ip6;
    check_connect_and_identify(t);
}

CASE(connect, requests_in_one_turn_share_a_dial) {
    open_pair(t);
    struct connecting c[3];
    for (size_t i = 0; i < ARRAY_COUNT(c); i++)
        connect_start(&c[i], &t->a, &t->b.identity.id, SEC(5));
    connect_request_cancel(&c[1].request);
    connect_request_cancel(&c[1].request);
    TURN_UNTIL(t, c[0].done == 1 && c[2].done == 1);
    turn_for(t, MSEC(20));
    cr_assert_eq(c[1].done, 0);
    cr_assert_eq(conns_count(&t->b), 1);
}

CASE(connect, the_address_that_answers_wins) {
    open_pair(t);
    struct multiaddr addrs[3];
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/udp/9/quic-v1", &addrs[0]), 0);
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/tcp/9", &addrs[1]), 0);
    addrs[2] = t->b.addr;
    cr_assert_eq(multiaddr_add_peer(&addrs[2], &t->b.identity.id), 0);
    cr_assert_eq(host_add_addrs(t->a.host, &t->b.identity.id, addrs, 3), 0);
    connect_pair(&t->a, &t->b);
    struct conn_info info = info_of(&t->a);
    cr_assert(multiaddr_equal(&info.remote, &t->b.addr));
}

CASE(connect, dials_from_both_sides_at_once_both_stand) {
    party_open(&t->a, t, 1, &(struct party_options){.agent = "a"});
    party_open(&t->b, t, 2, &(struct party_options){.agent = "b"});
    party_knows(&t->a, &t->b);
    party_knows(&t->b, &t->a);
    struct connecting from_a;
    struct connecting from_b;
    connect_start(&from_a, &t->a, &t->b.identity.id, SEC(5));
    connect_start(&from_b, &t->b, &t->a.identity.id, SEC(5));
    TURN_UNTIL(t, from_a.done == 1 && from_b.done == 1);
    cr_assert_eq(from_a.error, 0);
    cr_assert_eq(from_b.error, 0);
    TURN_UNTIL(t, conns_count(&t->a) == 2 && conns_count(&t->b) == 2);
}

/* The listener's port is the one that peers are dialled from, so that a NAT shows one mapping. */
CASE(connect, a_listening_host_dials_from_its_port) {
    party_open(&t->a, t, 1, &(struct party_options){.agent = "a"});
    party_open(&t->b, t, 2, &(struct party_options){.agent = "b"});
    party_knows(&t->a, &t->b);
    connect_pair(&t->a, &t->b);
    struct conn_info info = info_of(&t->b);
    cr_assert(multiaddr_equal(&info.remote, &t->a.addr));
}

CASE(connect, another_peer_at_the_address_is_named) {
    open_pair(t);
    struct identity other;
    uint8_t seed[ED25519_SEED_BYTES] = {9};
    cr_assert_eq(identity_from_seed(seed, &other), 0);
    cr_assert_eq(host_add_addrs(t->a.host, &other.id, &t->b.addr, 1), 0);
    struct connecting c;
    connect_start(&c, &t->a, &other.id, SEC(5));
    TURN_UNTIL(t, c.done == 1);
    cr_assert_eq(c.error, -ERR_PEER_ID_MISMATCH);
    char actual[PEER_ID_TEXT_MAX];
    cr_assert(strstr(c.problem, peer_id_format(&t->b.identity.id, actual)) != NULL, "%s",
              c.problem);
    cr_assert_eq(conns_count(&t->a), 0);
    turn_for(t, MSEC(50));
    cr_assert_eq(conns_count(&t->b), 0);
}

CASE(connect, nobody_there_ends_at_the_deadline) {
    open_pair(t);
    struct multiaddr dead;
    cr_assert_eq(multiaddr_parse(t->traits->dead, &dead), 0);
    cr_assert_eq(host_add_addrs(t->a.host, &t->b.identity.id, &dead, 1), 0);
    nsec_t start = reactor_now(t->reactor);
    struct connecting c;
    connect_start(&c, &t->a, &t->b.identity.id, MSEC(300));
    TURN_UNTIL(t, c.done == 1);
    cr_assert(c.error == -ETIMEDOUT || c.error == -ECONNREFUSED, "%s", c.problem);
    cr_assert(c.problem[0] != '\0');
    cr_assert(reactor_now(t->reactor) - start < SEC(2));
    if (c.error == -ETIMEDOUT)
        cr_assert(reactor_now(t->reactor) - start >= MSEC(300));
}

CASE(connect, without_addresses_the_answer_comes_at_once) {
    open_pair(t);
    struct identity other;
    uint8_t seed[ED25519_SEED_BYTES] = {9};
    cr_assert_eq(identity_from_seed(seed, &other), 0);
    struct connecting c;
    connect_start(&c, &t->a, &other.id, SEC(5));
    TURN_UNTIL(t, c.done == 1);
    cr_assert_eq(c.error, -ERR_NO_ADDRESSES);
    static struct tap x;
    tap_open(&x, &t->a, &other.id, TEST_PROTOCOL);
    TURN_UNTIL(t, x.opened == 1);
    cr_assert_eq(x.open_error, -ERR_NO_ADDRESSES);
    cr_assert(swarm_find(t->a.host, &other.id) == NULL, "a peer nobody wants is remembered");
}

/* --- The gate --- */

static void open_gated_pair(struct fixture *t, bool allowed) {
    party_open(&t->a, t, 1, &(struct party_options){.listen = "", .agent = "a"});
    party_open(&t->b, t, 2, &(struct party_options){.gated = true, .agent = "b"});
    party_knows(&t->a, &t->b);
    if (allowed)
        party_allow(&t->b, &t->a);
}

CASE(gate, a_peer_that_is_not_listed_learns_that_and_no_stream_of_its_is_accepted) {
    open_gated_pair(t, false);
    static struct handler handler;
    handler_open(&handler, &t->b, TEST_PROTOCOL, CLASS_ANY, NULL, 0);
    struct connecting c;
    static struct tap x;
    connect_start(&c, &t->a, &t->b.identity.id, SEC(5));
    tap_open(&x, &t->a, &t->b.identity.id, TEST_PROTOCOL);
    TURN_UNTIL(t, c.done == 1 && x.opened == 1 && (x.open_error < 0 || x.closed == 1));
    cr_assert_eq(c.error, -ERR_GATED);
    cr_assert(strstr(c.problem, "authorized_keys") != NULL, "%s", c.problem);
    cr_assert_eq(x.open_error < 0 ? x.open_error : x.closed_error, -ERR_GATED);
    cr_assert_eq(handler.accepted, 0);
    cr_assert_eq(t->b.gate.inbound_denied, 1);
    cr_assert_eq(t->b.gate.inbound_allowed, 0);
    cr_assert_eq(conns_count(&t->b), 0);
}

CASE(gate, a_change_closes_connections_that_lost_their_right_at_once) {
    open_gated_pair(t, true);
    connect_pair(&t->a, &t->b);
    static struct stream_pair p;
    stream_pair_open(&p, t);
    host_gate_changed(t->b.host);
    turn_for(t, MSEC(10));
    cr_assert_eq(conns_count(&t->b), 1, "nothing has changed for this peer");

    t->b.gate.allowed_count = 0;
    host_gate_changed(t->b.host);
    cr_assert_eq(p.b.closed, 0, "a callback from inside the call");
    TURN_UNTIL(t, p.a.closed == 1 && p.b.closed == 1);
    cr_assert_eq(p.a.closed_error, -ERR_GATED);
    cr_assert_eq(p.b.closed_error, -ERR_CONN_CLOSED);
    TURN_UNTIL(t, conns_count(&t->a) == 0 && conns_count(&t->b) == 0);
}

/* Dialling is never gated, but what the dialled peer may use of us is. */
CASE(gate, over_a_connection_that_we_dialled_the_peer_may_use_its_class_only) {
    open_gated_pair(t, false);
    struct party *server = &t->b;
    struct party *client = &t->a;
    party_end(client);
    party_open(client, t, 1, &(struct party_options){.agent = "a"});
    party_knows(server, client);
    static struct tap taps[2];
    static struct handler authorized;
    static struct handler any;
    handler_open(&authorized, server, "/authorized/1", CLASS_AUTHORIZED, &taps[0], 1);
    handler_open(&any, server, "/any/1", CLASS_ANY, &taps[1], 1);
    connect_pair(server, client);

    static struct tap x;
    tap_open(&x, client, &server->identity.id, "/authorized/1");
    TURN_UNTIL(t, x.reset == 1);
    cr_assert_eq(x.reset_code, STREAM_CODE_GATED);
    cr_assert_eq(authorized.accepted, 0);
    cr_assert_eq(server->gate.denied, 1);
    tap_end(&x);
    static struct tap y;
    tap_open(&y, client, &server->identity.id, "/any/1");
    TURN_UNTIL(t, any.accepted == 1);
    cr_assert_eq(conns_count(server), 1, "only the stream was refused");

    party_allow(server, client);
    host_gate_changed(server->host);
    static struct tap z;
    tap_open(&z, client, &server->identity.id, "/authorized/1");
    TURN_UNTIL(t, authorized.accepted == 1);
    tap_end(&y);
    tap_end(&z);
    tap_end(&taps[0]);
    tap_end(&taps[1]);
}

/* --- Protocols --- */

CASE(protocol, one_that_nobody_speaks_is_told_by_closed) {
    open_pair(t);
    static struct tap x;
    tap_open(&x, &t->a, &t->b.identity.id, "/nobody/speaks/this");
    TURN_UNTIL(t, x.closed == 1);
    cr_assert_eq(x.open_error, 0);
    cr_assert_eq(x.closed_error, -ERR_PROTOCOL_NOT_SUPPORTED);
    cr_assert_eq(conns_count(&t->a), 1);
}

/* What is written before the answer is no proposal, so the peer resets the stream, and its refusal is
 * lost with all that was not read. */
CASE(protocol, one_that_nobody_speaks_is_told_also_to_who_writes_at_once) {
    open_pair(t);
    static struct tap x;
    connect_pair(&t->a, &t->b);
    tap_open(&x, &t->a, &t->b.identity.id, "/nobody/speaks/this");
    while (x.opened == 0)
        cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    tap_write(&x, 1000, false);
    TURN_UNTIL(t, x.closed == 1);
    cr_assert_eq(x.closed_error, -ERR_PROTOCOL_NOT_SUPPORTED);
    cr_assert_eq(x.reset, 0);
}

CASE(protocol, is_registered_once_and_can_be_taken_back) {
    open_pair(t);
    static struct handler first;
    static struct handler second;
    handler_open(&first, &t->b, TEST_PROTOCOL, CLASS_ANY, NULL, 0);
    second.handler.protocol = TEST_PROTOCOL;
    cr_assert_eq(host_handle(t->b.host, &second.handler), -EEXIST);
    host_unhandle(t->b.host, &first.handler);
    static struct tap x;
    tap_open(&x, &t->a, &t->b.identity.id, TEST_PROTOCOL);
    TURN_UNTIL(t, x.closed == 1);
    cr_assert_eq(x.closed_error, -ERR_PROTOCOL_NOT_SUPPORTED);
    handler_open(&first, &t->b, TEST_PROTOCOL, CLASS_ANY, NULL, 0);
    cr_assert_eq(host_handle(t->b.host, &second.handler), -EEXIST);
}

/* --- Life --- */

CASE(life, a_host_that_cannot_listen_says_where_and_goes_by_itself) {
    open_pair(t);
    struct multiaddr at[3];
    cr_assert_eq(multiaddr_parse(t->traits->any_ip4, &at[0]), 0);
    at[1] = t->b.addr;
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/udp/0", &at[2]), 0);
    struct host_config cfg = {.reactor = t->reactor,
                              .identity = &t->a.identity,
                              .agent = "x",
                              .listen = at,
                              .listen_count = 2};
    struct host *h = NULL;
    struct problem problem = PROBLEM_INIT;
    cr_assert_eq(host_new(&cfg, &problem, &h), -EADDRINUSE);
    cr_assert(h == NULL);
    char text[MULTIADDR_TEXT_MAX];
    cr_assert(strstr(problem.text, multiaddr_format(&at[1], text)) != NULL, "%s", problem.text);
    cfg.listen = &at[2];
    cfg.listen_count = 1;
    cr_assert_eq(host_new(&cfg, &problem, &h), -ERR_UNSUPPORTED);
    cr_assert(strstr(problem.text, "/udp/0") != NULL, "%s", problem.text);
}

CASE(life, closing_ends_streams_and_dials_and_requests) {
    open_pair(t);
    static struct stream_pair p;
    stream_pair_open(&p, t);
    p.b.paused = true;
    tap_write(&p.a, 4 << 20, true);
    struct silent silent;
    silent_open(&silent, t);
    struct identity other;
    uint8_t seed[ED25519_SEED_BYTES] = {9};
    cr_assert_eq(identity_from_seed(seed, &other), 0);
    cr_assert_eq(host_add_addrs(t->a.host, &other.id, &silent.addr, 1), 0);
    struct connecting c;
    connect_start(&c, &t->a, &other.id, SEC(5));
    turn_for(t, MSEC(5));
    struct connecting late;
    connect_start(&late, &t->a, &other.id, SEC(5));
    static struct tap x;
    tap_open(&x, &t->a, &t->b.identity.id, "/late/1");

    nsec_t start = reactor_now(t->reactor);
    party_end_start(&t->a);
    cr_assert_eq(p.a.closed + c.done + late.done + x.opened, 0, "a callback from inside the call");
    TURN_UNTIL(t, t->a.closed);
    cr_assert_eq(c.error, -ERR_SHUTDOWN);
    cr_assert_eq(late.error, -ERR_SHUTDOWN);
    cr_assert_eq(x.open_error, -ERR_SHUTDOWN);
    cr_assert_eq(p.a.closed, 1);
    cr_assert_eq(p.a.closed_error, -ERR_CONN_CLOSED);
    TURN_UNTIL(t, p.b.closed == 1);
    cr_assert_eq(p.b.closed_error, -ERR_CONN_CLOSED);
    cr_assert(reactor_now(t->reactor) - start < SEC(5));
    silent_end(&silent);
}

CASE(life, a_request_of_a_closing_host_fails) {
    open_pair(t);
    connect_pair(&t->a, &t->b);
    party_end_start(&t->a);
    struct connecting c;
    connect_start(&c, &t->a, &t->b.identity.id, SEC(5));
    TURN_UNTIL(t, c.done == 1);
    cr_assert_eq(c.error, -ERR_SHUTDOWN);
}

CASE(life, a_peer_that_is_gone_can_be_dialled_again) {
    open_pair(t);
    for (int i = 0; i < 3; i++) {
        connect_pair(&t->a, &t->b);
        struct conn *c = only_conn(i % 2 == 0 ? &t->a : &t->b)->conn;
        c->ops->close(c, 0);
        TURN_UNTIL(t, conns_count(&t->a) == 0 && conns_count(&t->b) == 0);
    }
}

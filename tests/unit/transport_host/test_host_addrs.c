/* SPDX-License-Identifier: MIT */
/* Goal: what identify tells of addresses reaches those who need it: where the peer sees us, where
 * it may be found, and where we say that we may be.
 * Spec: libp2p identify, "Observed addresses". */
#include "hosts.h"

#define EXTERNAL "/ip4/8.8.8.8/udp/700/quic-v1"

struct observer {
    struct host_watch watch;
    struct conn *conn;
    struct multiaddr addr;
    int observed;
    int identified;
    int told;
    bool does;
};

static void on_observed(struct host_watch *w, struct conn *c, struct bytes addr) {
    struct observer *o = CONTAINER_OF(w, struct observer, watch);
    cr_assert_eq(o->identified, 0, "told too late");
    cr_assert_eq(multiaddr_decode(addr, &o->addr), 0);
    o->conn = c;
    o->observed++;
}

static void on_told(struct host_watch *w, struct conn *c, const struct identify_message *m) {
    struct observer *o = CONTAINER_OF(w, struct observer, watch);
    cr_assert(o->told > 0 || o->identified == 0, "told too late");
    o->conn = c;
    o->does = identify_has_protocol(m, TEST_PROTOCOL);
    o->told++;
}

static void on_identified(struct host_watch *w, struct conn *c) {
    (void)c;
    CONTAINER_OF(w, struct observer, watch)->identified++;
}

static struct multiaddr parse(const char *text) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(text, &a), 0, "%s", text);
    return a;
}

static bool knows(const struct party *p, const struct party *whom, const struct multiaddr *a) {
    struct multiaddr addrs[2 * HOST_ADDRS_PER_PEER_MAX];
    size_t count = host_peer_addrs(p->host, &whom->identity.id, addrs, ARRAY_COUNT(addrs));
    for (size_t i = 0; i < count; i++) {
        if (multiaddr_equal(&addrs[i], a))
            return true;
    }
    return false;
}

CASE(addrs, the_peer_says_where_it_sees_us) {
    struct observer o = {.watch = {.observed = on_observed, .identified = on_identified}};
    open_pair(t);
    host_watch(t->a.host, &o.watch);
    connect_pair(&t->a, &t->b);
    TURN_UNTIL(t, o.identified == 1);
    cr_assert_eq(o.observed, 1);
    cr_assert(o.conn == only_conn(&t->a)->conn);
    cr_assert(multiaddr_equal(&o.addr, &only_conn(&t->b)->conn->remote));
    host_unwatch(&o.watch);
}

CASE_QUIC(addrs, the_peer_says_whether_it_speaks_a_protocol) {
    struct handler handler;
    struct observer o = {.watch = {.told = on_told, .identified = on_identified}};
    open_pair(t);
    host_watch(t->a.host, &o.watch);
    connect_pair(&t->a, &t->b);
    TURN_UNTIL(t, o.identified == 1);
    cr_assert_eq(o.told, 1);
    cr_assert_not(o.does);
    cr_assert(o.conn == only_conn(&t->a)->conn);
    TURN_UNTIL(t, only_conn(&t->b)->wants_push);
    handler_open(&handler, &t->b, TEST_PROTOCOL, CLASS_ANY, NULL, 0);
    TURN_UNTIL(t, o.does);
    cr_assert_eq(o.identified, 1);
    host_unwatch(&o.watch);
}

CASE_QUIC(addrs, what_is_announced_reaches_peers_and_a_change_does_too) {
    struct multiaddr external = parse(EXTERNAL);
    struct multiaddr other = parse("/ip4/8.8.4.4/tcp/700");
    open_pair(t);
    host_announce(t->b.host, &external, 1);
    connect_pair(&t->a, &t->b);
    TURN_UNTIL(t, knows(&t->a, &t->b, &external));
    cr_assert(knows(&t->a, &t->b, &t->b.addr), "beside what it listens on");
    cr_assert_not(knows(&t->a, &t->b, &other));
    TURN_UNTIL(t, only_conn(&t->b)->wants_push);
    host_announce(t->b.host, &other, 1);
    TURN_UNTIL(t, knows(&t->a, &t->b, &other));
    cr_assert_not(knows(&t->a, &t->b, &external));
}

CASE_QUIC(addrs, announcing_the_same_is_no_news) {
    struct multiaddr external = parse(EXTERNAL);
    open_pair(t);
    connect_pair(&t->a, &t->b);
    host_announce(t->b.host, &external, 1);
    cr_assert(only_conn(&t->b)->push_due);
    only_conn(&t->b)->push_due = false;
    host_announce(t->b.host, &external, 1);
    cr_assert_not(only_conn(&t->b)->push_due);
}

CASE_QUIC(addrs, as_many_are_announced_as_there_is_room_for_and_none_twice) {
    struct multiaddr many[HOST_ADVERTISED_MAX];
    struct multiaddr all[HOST_ADVERTISED_MAX];
    open_pair(t);
    connect_pair(&t->a, &t->b);
    size_t before = host_advertised_addrs(t->b.host, only_conn(&t->b)->conn, all);
    cr_assert_gt(before, 0);
    host_announce(t->b.host, all, 1); /* one that is listened on */
    cr_assert_eq(host_advertised_addrs(t->b.host, only_conn(&t->b)->conn, all), before);
    for (uint16_t i = 0; i < HOST_ADVERTISED_MAX; i++) {
        many[i] = parse(EXTERNAL);
        many[i].bytes[4] = (uint8_t)i; /* of the IP */
    }
    host_announce(t->b.host, many, HOST_ADVERTISED_MAX);
    cr_assert_eq(host_advertised_addrs(t->b.host, only_conn(&t->b)->conn, all),
                 MIN(before + HOST_ANNOUNCED_MAX, (size_t)HOST_ADVERTISED_MAX));
    host_announce(t->b.host, NULL, 0);
    cr_assert_eq(host_advertised_addrs(t->b.host, only_conn(&t->b)->conn, all), before);
}

CASE_QUIC(addrs, of_an_unknown_peer_nothing_is_known) {
    struct multiaddr a;
    struct conn *c;
    open_pair(t);
    cr_assert_eq(host_peer_addrs(t->b.host, &t->a.identity.id, &a, 1), 0);
    cr_assert_eq(host_conns(t->b.host, &t->a.identity.id, &c, 1), 0);
    cr_assert_eq(host_peer_addrs(t->a.host, &t->b.identity.id, &a, 1), 1);
    cr_assert(multiaddr_equal(&a, &t->b.addr));
    cr_assert_eq(host_peer_addrs(t->a.host, &t->b.identity.id, &a, 0), 0);
}

CASE(addrs, a_stream_is_opened_on_the_connection_that_was_named) {
    struct handler h;
    struct tap near = {.closed = 0};
    struct tap far = {.closed = 0};
    struct stream *s;
    open_pair(t);
    handler_open(&h, &t->a, TEST_PROTOCOL, CLASS_ANY, &far, 1);
    connect_pair(&t->a, &t->b);
    struct conn *c = only_conn(&t->b)->conn;
    cr_assert_eq(host_open_stream_on(t->b.host, c, TEST_PROTOCOL, &s), 0);
    cr_assert(stream_conn(s) == c);
    tap_attach(&near, t, s);
    TURN_UNTIL(t, far.stream != NULL);
    tap_end(&near);
    tap_end(&far);
}

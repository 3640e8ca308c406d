/* SPDX-License-Identifier: MIT */
/* Goal: an address is announced when enough networks see it, and no liar decides alone.
 * Spec: libp2p identify, "Observed addresses". */
#include "relay/proto/observed.h"
#include "tests/unit/relay_nat/addrs.h"

#define LOCAL "192.168.1.2:4001"
#define SEEN  "/ip4/8.8.8.8/udp/700/quic-v1"

static struct peer_id peer_of(uint64_t n) {
    return (struct peer_id){.len = 2, .bytes = {1, (uint8_t)n}};
}

static bool report_of(struct observed *o, uint64_t conn, uint64_t peer, const char *observer,
                      const char *seen) {
    struct multiaddr a = maddr(seen);
    struct observed_report r = {
        .conn = conn,
        .peer = peer_of(peer),
        .kind = MULTIADDR_KIND_QUIC,
        .local = naddr(LOCAL),
        .observer = naddr(observer),
        .addr = multiaddr_bytes(&a),
    };
    return observed_add(o, &r);
}

/* By a peer of its own. */
static bool report(struct observed *o, uint64_t conn, const char *observer, const char *seen) {
    return report_of(o, conn, conn, observer, seen);
}

/* As seen by `count` networks, from connection `conn` on. */
static void seen_by(struct observed *o, uint64_t conn, unsigned count, const char *seen) {
    for (unsigned i = 0; i < count; i++) {
        char observer[NET_ADDR_TEXT_MAX];
        struct net_addr a = naddr("5.1.0.9:4001");
        a.ip[1] = (uint8_t)(conn + i);
        cr_assert(report(o, conn + i, net_addr_format(&a, observer), seen));
    }
}

static size_t announced(const struct observed *o, struct observed_addr *out) {
    return observed_addrs(o, OBSERVED_TO_ANNOUNCE, out, 8);
}

static enum nat_type nat_type(const struct observed *o) {
    struct net_addr local = naddr(LOCAL);
    return observed_nat_type(o, &local, false);
}

Test(observed, an_address_is_announced_when_four_networks_see_it_and_not_before) {
    struct observed o;
    struct observed_addr out[8];
    struct net_addr external = naddr("8.8.8.8:700");
    struct net_addr local = naddr(LOCAL);
    observed_init(&o, false);
    seen_by(&o, 1, 3, SEEN);
    cr_assert_eq(announced(&o, out), 0);
    cr_assert_eq(observed_addrs(&o, OBSERVED_TO_PUNCH, out, 8), 1);
    cr_assert_eq(out[0].observers_count, 3);
    seen_by(&o, 4, 1, SEEN);
    cr_assert_eq(announced(&o, out), 1);
    cr_assert(net_addr_equal(&out[0].external, &external));
    cr_assert(net_addr_equal(&out[0].local, &local));
    cr_assert(!out[0].is_tcp);
    cr_assert_eq(out[0].observers_count, 4);
}

Test(observed, peers_of_one_network_count_once) {
    struct observed o;
    struct observed_addr out[8];
    observed_init(&o, false);
    cr_assert(report(&o, 1, "5.1.1.1:1", SEEN));
    cr_assert(report(&o, 2, "5.1.1.200:1", SEEN));
    cr_assert(report(&o, 3, "[2001:0:0:10::1]:1", SEEN));
    cr_assert(report(&o, 4, "[2001:0:0:1f::1]:1", SEEN));
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 1);
    cr_assert_eq(out[0].observers_count, 2);
    cr_assert(report(&o, 5, "5.1.2.1:1", SEEN));
    cr_assert(report(&o, 6, "[2001:0:0:110::1]:1", SEEN));
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 1);
    cr_assert_eq(out[0].observers_count, 4);
}

Test(observed, it_ends_with_the_connections_that_saw_it) {
    struct observed o;
    struct observed_addr out[8];
    observed_init(&o, false);
    seen_by(&o, 1, 5, SEEN);
    observed_conn_closed(&o, 3);
    cr_assert_eq(announced(&o, out), 1);
    observed_conn_closed(&o, 77); /* unknown */
    observed_conn_closed(&o, 3);
    cr_assert_eq(announced(&o, out), 1);
    observed_conn_closed(&o, 1);
    cr_assert_eq(announced(&o, out), 0);
}

Test(observed, a_connections_new_word_replaces_the_old_one) {
    struct observed o;
    struct observed_addr out[8];
    observed_init(&o, false);
    seen_by(&o, 1, 4, SEEN);
    seen_by(&o, 1, 1, "/ip4/8.8.8.8/udp/701/quic-v1");
    cr_assert_eq(announced(&o, out), 0);
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 2);
    cr_assert_eq(out[0].external.port, 700, "more observers first");
    cr_assert_eq(out[1].external.port, 701);
    cr_assert_not(report(&o, 2, "5.2.0.9:1", "/ip4/127.0.0.1/udp/701/quic-v1"));
    cr_assert_eq(observed_addrs(&o, 3, out, 8), 1, "nonsense leaves it");
}

Test(observed, what_is_no_external_address_of_the_connection_is_ignored) {
    static const char *const ignored[] = {
        "/ip4/127.0.0.1/udp/700/quic-v1",
        "/ip4/192.168.1.2/udp/700/quic-v1",
        "/ip4/100.64.0.2/udp/700/quic-v1",
        "/ip4/169.254.1.1/udp/700/quic-v1",
        "/ip4/0.0.0.0/udp/700/quic-v1",
        "/ip4/8.8.8.8/udp/0/quic-v1",
        "/ip4/8.8.8.8/tcp/700",
        "/ip4/8.8.8.8",
        "/ip6/2001::1/udp/700/quic-v1",
        "/dns4/example.com/udp/700/quic-v1",
        "/ip4/8.8.8.8/udp/700/quic-v1/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
        "/p2p-circuit",
    };
    struct observed o;
    observed_init(&o, false);
    for (size_t i = 0; i < ARRAY_COUNT(ignored); i++)
        cr_assert_not(report(&o, i, "5.6.7.8:1", ignored[i]), "%s", ignored[i]);
    struct observed_report garbage = {.kind = MULTIADDR_KIND_QUIC,
                                      .local = naddr(LOCAL),
                                      .observer = naddr("5.6.7.8:1"),
                                      .addr = BYTES_LIT("\xff\xff")};
    cr_assert_not(observed_add(&o, &garbage));
    garbage.addr = BYTES_EMPTY;
    cr_assert_not(observed_add(&o, &garbage));
    cr_assert_eq(o.entries_count, 0);
}

Test(observed, translated_ipv6_is_ignored) {
    struct observed o;
    struct multiaddr a = maddr("/ip6/64:ff9b::808:808/tcp/700");
    struct multiaddr b = maddr("/ip6/2001::1/tcp/700");
    struct observed_report r = {.kind = MULTIADDR_KIND_TCP,
                                .local = naddr("[fd00::1]:4001"),
                                .observer = naddr("[2001::9]:1"),
                                .addr = multiaddr_bytes(&a)};
    observed_init(&o, false);
    cr_assert_not(observed_add(&o, &r));
    r.addr = multiaddr_bytes(&b);
    cr_assert(observed_add(&o, &r));
}

Test(observed, labs_may_take_private_addresses) {
    struct observed o;
    observed_init(&o, true);
    cr_assert(report(&o, 1, "5.6.7.8:1", "/ip4/10.0.0.1/udp/700/quic-v1"));
    cr_assert_not(report(&o, 2, "5.6.7.8:1", "/ip4/127.0.0.1/udp/700/quic-v1"));
    cr_assert_not(report(&o, 2, "5.6.7.8:1", "/ip4/0.0.0.0/udp/700/quic-v1"));
}

Test(observed, a_websocket_counts_as_its_tcp_port) {
    struct observed o;
    struct observed_addr out[8];
    struct multiaddr a = maddr("/ip4/8.8.8.8/tcp/700");
    struct observed_report r = {.conn = 1,
                                .kind = MULTIADDR_KIND_WS,
                                .local = naddr(LOCAL),
                                .observer = naddr("5.6.7.8:1"),
                                .addr = multiaddr_bytes(&a)};
    observed_init(&o, false);
    cr_assert(observed_add(&o, &r));
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 1);
    cr_assert(out[0].is_tcp);
    cr_assert_eq(nat_type(&o), NAT_UNKNOWN, "UDP's is another one");
}

Test(observed, at_most_three_addresses_of_a_socket_are_given_the_most_seen_ones) {
    struct observed o;
    struct observed_addr out[8];
    observed_init(&o, false);
    seen_by(&o, 1, 4, "/ip4/8.8.8.8/udp/701/quic-v1");
    seen_by(&o, 11, 6, "/ip4/8.8.8.8/udp/702/quic-v1");
    seen_by(&o, 21, 5, "/ip4/8.8.8.8/udp/703/quic-v1");
    seen_by(&o, 31, 4, "/ip4/8.8.8.8/udp/704/quic-v1");
    seen_by(&o, 41, 7, "/ip4/8.8.8.8/udp/705/quic-v1");
    cr_assert_eq(announced(&o, out), 3);
    cr_assert_eq(out[0].external.port, 705);
    cr_assert_eq(out[1].external.port, 702);
    cr_assert_eq(out[2].external.port, 703);
    cr_assert_eq(observed_addrs(&o, 4, out, 2), 2, "and no more than there is room for");
}

Test(observed, another_socket_has_three_of_its_own) {
    struct observed o;
    struct observed_addr out[8];
    observed_init(&o, false);
    for (unsigned i = 0; i < 8; i++) {
        struct multiaddr a = maddr(SEEN);
        a.bytes[a.len - 3] = (uint8_t)i;
        struct observed_report r = {.conn = i,
                                    .kind = MULTIADDR_KIND_QUIC,
                                    .local = naddr(i % 2 == 0 ? LOCAL : "192.168.1.3:4001"),
                                    .observer = naddr("5.6.7.8:1"),
                                    .addr = multiaddr_bytes(&a)};
        cr_assert(observed_add(&o, &r));
    }
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 6);
}

Test(observed, as_many_sockets_are_told_apart_as_there_are_reports) {
    static struct observed o;
    static struct observed_addr out[OBSERVED_REPORTS_MAX];
    struct multiaddr a = maddr(SEEN);
    observed_init(&o, false);
    for (uint16_t i = 0; i < OBSERVED_REPORTS_MAX; i++) {
        struct observed_report r = {.conn = i,
                                    .kind = MULTIADDR_KIND_QUIC,
                                    .local = naddr(LOCAL),
                                    .observer = naddr("5.6.7.8:1"),
                                    .addr = multiaddr_bytes(&a)};
        r.local.port = (uint16_t)(i + 1);
        cr_assert(observed_add(&o, &r));
    }
    cr_assert_eq(observed_addrs(&o, 1, out, ARRAY_COUNT(out)), OBSERVED_REPORTS_MAX);
    for (uint16_t i = 0; i < OBSERVED_REPORTS_MAX; i++)
        cr_assert_eq(out[i].local.port, i + 1, "equals in the order in which they came");
}

Test(observed, the_oldest_report_goes_when_there_are_too_many) {
    struct observed o;
    struct observed_addr out[8];
    observed_init(&o, false);
    seen_by(&o, 1, 1, "/ip4/8.8.4.4/udp/1/quic-v1");
    seen_by(&o, 2, OBSERVED_REPORTS_MAX, SEEN);
    cr_assert_eq(o.entries_count, OBSERVED_REPORTS_MAX);
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 1);
    cr_assert_eq(out[0].external.port, 700);
}

/* Connections are anybody's. */
Test(observed, but_not_that_of_one_who_is_trusted_while_there_is_another) {
    struct observed o;
    struct observed_addr out[8];
    struct multiaddr a = maddr("/ip4/8.8.4.4/udp/1/quic-v1");
    struct observed_report r = {.kind = MULTIADDR_KIND_QUIC,
                                .local = naddr(LOCAL),
                                .observer = naddr("5.99.9.9:1"),
                                .addr = multiaddr_bytes(&a),
                                .is_trusted = true};
    observed_init(&o, false);
    cr_assert(observed_add(&o, &r));
    seen_by(&o, 2, OBSERVED_REPORTS_MAX, SEEN);
    cr_assert_eq(o.entries_count, OBSERVED_REPORTS_MAX);
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 2);
    cr_assert(out[0].is_trusted);
    cr_assert_eq(o.entries[1].conn, 3, "the oldest of the others went");
    for (uint64_t i = 0; i < OBSERVED_REPORTS_MAX; i++) {
        r.conn = 1000 + i;
        cr_assert(observed_add(&o, &r));
    }
    cr_assert_eq(o.entries[0].conn, 1000, "of those that are trusted the first, too");
}

Test(observed, agreement_tells_the_nat) {
    struct observed o;
    observed_init(&o, false);
    cr_assert_eq(nat_type(&o), NAT_UNKNOWN);
    seen_by(&o, 1, 1, SEEN);
    cr_assert_eq(nat_type(&o), NAT_UNKNOWN, "one observer cannot disagree");
    seen_by(&o, 2, 1, "/ip4/8.8.8.8/udp/701/quic-v1");
    cr_assert_eq(nat_type(&o), NAT_SYMMETRIC);
    seen_by(&o, 3, 1, SEEN);
    cr_assert_eq(nat_type(&o), NAT_ADDRESS_RESTRICTED, "two of three");
    seen_by(&o, 4, 1, "/ip4/8.8.8.8/udp/701/quic-v1");
    cr_assert_eq(nat_type(&o), NAT_UNKNOWN, "two against two");
}

Test(observed, a_socket_that_is_seen_as_it_is_has_no_nat) {
    struct observed o;
    struct multiaddr a = maddr("/ip4/4.4.4.4/udp/4001/quic-v1");
    struct observed_report r = {.kind = MULTIADDR_KIND_QUIC,
                                .local = naddr("4.4.4.4:4001"),
                                .observer = naddr("5.6.7.8:1"),
                                .addr = multiaddr_bytes(&a)};
    observed_init(&o, false);
    cr_assert(observed_add(&o, &r));
    r.conn = 1;
    r.observer = naddr("5.6.9.8:1");
    cr_assert(observed_add(&o, &r));
    cr_assert_eq(observed_nat_type(&o, &r.local, false), NAT_NONE);
}

Test(observed, the_engine_stays_within_its_stated_size) {
    cr_assert_leq(sizeof(struct observed), 18 * 1024);
}

/* However many addresses it has. */
Test(observed, a_peer_counts_once_by_what_it_said_last) {
    struct observed o;
    struct observed_addr out[8];
    observed_init(&o, false);
    cr_assert(report_of(&o, 1, 7, "5.1.1.1:1", SEEN));
    cr_assert(report_of(&o, 2, 7, "5.2.1.1:1", SEEN));
    cr_assert(report_of(&o, 3, 7, "5.3.1.1:1", SEEN));
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 1);
    cr_assert_eq(out[0].observers_count, 1);
    cr_assert(report_of(&o, 4, 7, "5.4.1.1:1", "/ip4/8.8.8.8/udp/701/quic-v1"));
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 1);
    cr_assert_eq(out[0].external.port, 701);
    cr_assert_eq(nat_type(&o), NAT_UNKNOWN, "and does not contradict itself");
    observed_conn_closed(&o, 4);
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 1);
    cr_assert_eq(out[0].external.port, 700, "what it said before counts again");
    cr_assert(report_of(&o, 5, 8, "5.5.1.1:1", SEEN));
    cr_assert_eq(observed_addrs(&o, OBSERVED_TO_ASK, out, 8), 1);
}

Test(observed, of_another_socket_a_peer_may_say_something_else) {
    struct observed o;
    struct observed_addr out[8];
    struct multiaddr a = maddr("/ip4/8.8.8.8/tcp/700");
    struct observed_report r = {.conn = 2,
                                .peer = peer_of(1),
                                .kind = MULTIADDR_KIND_TCP,
                                .local = naddr(LOCAL),
                                .observer = naddr("5.1.1.1:1"),
                                .addr = multiaddr_bytes(&a)};
    observed_init(&o, false);
    cr_assert(report(&o, 1, "5.1.1.1:1", SEEN));
    cr_assert(observed_add(&o, &r));
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 2);
}

Test(observed, many_liars_do_not_push_out_what_one_who_is_trusted_sees) {
    struct observed o;
    struct observed_addr out[8];
    struct multiaddr a = maddr(SEEN);
    struct observed_report r = {.conn = 99,
                                .kind = MULTIADDR_KIND_QUIC,
                                .local = naddr(LOCAL),
                                .observer = naddr("5.99.9.9:1"),
                                .addr = multiaddr_bytes(&a),
                                .is_trusted = true};
    observed_init(&o, false);
    seen_by(&o, 1, 2, "/ip4/8.8.8.8/udp/701/quic-v1");
    seen_by(&o, 11, 2, "/ip4/8.8.8.8/udp/702/quic-v1");
    seen_by(&o, 21, 2, "/ip4/8.8.8.8/udp/703/quic-v1");
    cr_assert(observed_add(&o, &r));
    cr_assert_eq(observed_addrs(&o, 1, out, 8), OBSERVED_PER_LOCAL_MAX);
    cr_assert(out[0].is_trusted);
    cr_assert_eq(out[0].external.port, 700);
    cr_assert_eq(out[2].external.port, 702, "the youngest goes");
}

Test(observed, the_word_of_one_who_is_trusted_is_enough) {
    struct observed o;
    struct observed_addr out[8];
    struct multiaddr a = maddr(SEEN);
    struct observed_report r = {.conn = 9,
                                .kind = MULTIADDR_KIND_QUIC,
                                .local = naddr(LOCAL),
                                .observer = naddr("5.9.9.9:1"),
                                .addr = multiaddr_bytes(&a),
                                .is_trusted = true};
    observed_init(&o, false);
    seen_by(&o, 1, 1, "/ip4/8.8.8.8/udp/701/quic-v1");
    seen_by(&o, 2, 1, SEEN);
    cr_assert_eq(announced(&o, out), 0);
    cr_assert(observed_add(&o, &r));
    cr_assert_eq(announced(&o, out), 1);
    cr_assert_eq(out[0].external.port, 700);
    cr_assert_eq(out[0].observers_count, 2);
    cr_assert(out[0].is_trusted);
    observed_conn_closed(&o, 9);
    cr_assert_eq(announced(&o, out), 0);
    cr_assert_eq(observed_addrs(&o, 1, out, 8), 2);
    cr_assert_not(out[0].is_trusted);
}

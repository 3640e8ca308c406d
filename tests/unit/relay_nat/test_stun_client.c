/* SPDX-License-Identifier: MIT */
/* Goal: from what several servers see of one socket, what kind of NAT is in front of it.
 * Spec: RFC 8489; behaviour of the NAT types, see nat_type.h. */
#include "core/base/rng.h"
#include "relay/proto/stun_client.h"
#include "tests/support/fixed_rng.h"
#include "tests/unit/relay_nat/addrs.h"

#define ONE       "5.6.7.8:4001"
#define ONE_OTHER "5.6.7.8:3479"
#define TWO       "9.9.9.9:4001"

struct run {
    struct fixed_rng rng;
    struct stun_client c;
    struct net_addr to;
    uint8_t request[STUN_REQUEST_BYTES];
};

static void start(struct run *r, const char *one, const char *two) {
    struct net_addr servers[2] = {naddr(one), two == NULL ? naddr(one) : naddr(two)};
    fixed_rng_init(&r->rng, 3);
    stun_client_init(&r->c, servers[0].family == NET_IP4 ? NET_IP4 : NET_IP6, servers,
                     two == NULL ? 1 : 2, &r->rng.rng, SEC(1));
}

static void expect_send(struct run *r, const char *to, nsec_t now) {
    struct net_addr expected = naddr(to);
    cr_assert(stun_client_next_send(&r->c, &r->to, r->request, now), "nothing to %s", to);
    cr_assert(net_addr_equal(&r->to, &expected), "to another than %s", to);
}

static void expect_no_send(struct run *r, nsec_t now) {
    cr_assert(!stun_client_next_send(&r->c, &r->to, r->request, now));
}

/* The server that was last sent to answers with what it sees, and its second port (0: none). */
static void answer_from(struct run *r, const char *from, const char *mapped, uint16_t port,
                        nsec_t now) {
    uint8_t out[STUN_ANSWER_MAX];
    struct net_addr seen = naddr(mapped);
    struct net_addr other = naddr("10.9.9.9:1");
    struct net_addr source = naddr(from);
    other.port = port;
    size_t len = stun_encode_success(r->request + 8, &seen, port == 0 ? NULL : &other, out);
    cr_assert(stun_client_recv(&r->c, &source, bytes_of(out, len), now));
}

static struct stun_result result(const struct run *r, const char *local) {
    struct net_addr addr = naddr(local);
    struct stun_result result;
    stun_client_result(&r->c, &addr, 1, &result);
    return result;
}

/* Both hosts answer. */
static struct stun_result verdict(const char *seen_by_one, const char *seen_by_two) {
    struct run r;
    start(&r, ONE, TWO);
    expect_send(&r, ONE, SEC(1));
    answer_from(&r, ONE, seen_by_one, 0, SEC(1));
    expect_send(&r, TWO, SEC(1));
    answer_from(&r, TWO, seen_by_two, 0, SEC(1));
    cr_assert(stun_client_is_over(&r.c));
    return result(&r, "4.4.4.4:4001");
}

/* --- verdicts --------------------------------------------------------------------------------- */

Test(stun_client, two_hosts_that_see_the_same_address_tell_a_cone) {
    struct stun_result r = verdict("8.8.8.8:700", "8.8.8.8:700");
    struct net_addr external = naddr("8.8.8.8:700");
    cr_assert_eq(r.type, NAT_ADDRESS_RESTRICTED);
    cr_assert(net_addr_equal(&r.external, &external));
    cr_assert_eq(r.answers_count, 2);
    cr_assert_eq(r.hosts_count, 2);
}

Test(stun_client, different_ports_or_addresses_tell_a_symmetric_nat) {
    cr_assert_eq(verdict("8.8.8.8:700", "8.8.8.8:701").type, NAT_SYMMETRIC);
    cr_assert_eq(verdict("8.8.8.8:700", "8.8.8.9:700").type, NAT_SYMMETRIC);
}

Test(stun_client, the_sockets_own_public_address_tells_that_there_is_no_nat) {
    struct stun_result r = verdict("4.4.4.4:4001", "4.4.4.4:4001");
    cr_assert_eq(r.type, NAT_NONE);
    cr_assert_eq(r.answers_count, 2);
    cr_assert_eq(verdict("4.4.4.4:4002", "4.4.4.4:4002").type, NAT_ADDRESS_RESTRICTED,
                 "another port is a NAT");
}

Test(stun_client, one_answer_tells_the_address_and_no_type) {
    struct run r;
    start(&r, ONE, NULL);
    expect_send(&r, ONE, SEC(1));
    answer_from(&r, ONE, "8.8.8.8:700", 0, SEC(1));
    struct stun_result verdict_of_one = result(&r, "192.168.1.2:4001");
    cr_assert_eq(verdict_of_one.type, NAT_UNKNOWN);
    cr_assert_eq(verdict_of_one.external.port, 700);
    cr_assert_eq(verdict_of_one.answers_count, 1);
}

Test(stun_client, no_answer_tells_nothing) {
    struct run r;
    start(&r, ONE, NULL);
    struct stun_result nothing = result(&r, "192.168.1.2:4001");
    cr_assert_eq(nothing.type, NAT_UNKNOWN);
    cr_assert_eq(nothing.external.family, NET_NONE);
    cr_assert_eq(nothing.answers_count, 0);
}

/* A relay in our own network sees us without the NAT that the others see. */
Test(stun_client, who_sees_our_private_address_tells_nothing) {
    struct run r;
    start(&r, "192.168.1.9:4001", ONE);
    expect_send(&r, "192.168.1.9:4001", SEC(1));
    answer_from(&r, "192.168.1.9:4001", "192.168.1.2:4001", 0, SEC(1));
    cr_assert_eq(result(&r, "192.168.1.2:4001").answers_count, 0);
    cr_assert_eq(result(&r, "192.168.1.2:4001").type, NAT_UNKNOWN);
    expect_send(&r, ONE, SEC(1));
    answer_from(&r, ONE, "8.8.8.8:700", 3479, SEC(1));
    expect_send(&r, ONE_OTHER, SEC(2));
    answer_from(&r, ONE_OTHER, "8.8.8.8:700", 4001, SEC(2));
    struct stun_result both = result(&r, "192.168.1.2:4001");
    cr_assert_eq(both.type, NAT_ADDRESS_RESTRICTED);
    cr_assert_eq(both.answers_count, 2);
    cr_assert_eq(both.hosts_count, 1, "the mapping could still depend on the host");
}

/* A container's relay on the same LAN: it sees the machine, others the router behind that. */
Test(stun_client, who_sees_a_private_address_does_not_contradict_who_sees_a_public_one) {
    cr_assert_eq(verdict("192.168.1.2:700", "8.8.8.8:700").type, NAT_UNKNOWN, "one answer left");
    cr_assert_eq(verdict("192.168.1.2:700", "8.8.8.8:700").external.ip[0], 8);
    cr_assert_eq(verdict("192.168.1.2:700", "192.168.1.2:700").type, NAT_ADDRESS_RESTRICTED);
    cr_assert_eq(verdict("192.168.1.2:700", "192.168.1.2:701").type, NAT_SYMMETRIC);
    cr_assert_eq(verdict("4.4.4.4:4001", "8.8.8.8:700").type, NAT_UNKNOWN);
}

/* --- second ports ----------------------------------------------------------------------------- */

Test(stun_client, a_second_port_is_asked_on_the_host_that_named_it_a_second_later) {
    struct run r;
    start(&r, ONE, NULL);
    expect_send(&r, ONE, SEC(1));
    answer_from(&r, ONE, "8.8.8.8:700", 3479, SEC(1) + MSEC(20));
    expect_no_send(&r, SEC(1) + MSEC(20));
    cr_assert_eq(stun_client_deadline(&r.c), SEC(2));
    expect_no_send(&r, SEC(2) - 1);
    expect_send(&r, ONE_OTHER, SEC(2));
    answer_from(&r, ONE_OTHER, "8.8.8.8:701", 4001, SEC(2));
    cr_assert(stun_client_is_over(&r.c), "the first port is known already");
    cr_assert_eq(result(&r, "192.168.1.2:4001").type, NAT_SYMMETRIC);
}

Test(stun_client, no_more_addresses_are_asked_than_fit) {
    struct run r;
    struct net_addr servers[STUN_PROBES_MAX + 4];
    for (size_t i = 0; i < ARRAY_COUNT(servers); i++) {
        servers[i] = naddr("5.6.7.8:0");
        servers[i].ip[3] = (uint8_t)i;
        servers[i].port = (uint16_t)(i + 1);
    }
    servers[1] = servers[0];            /* repeated */
    servers[2] = naddr("[2001::1]:99"); /* of the other family */
    servers[3].port = 0;
    fixed_rng_init(&r.rng, 3);
    stun_client_init(&r.c, NET_IP4, servers, ARRAY_COUNT(servers), &r.rng.rng, 0);
    size_t count = 0;
    while (stun_client_next_send(&r.c, &r.to, r.request, 0)) {
        cr_assert(r.to.port == 1 || r.to.port > 4);
        answer_from(&r, net_addr_format(&r.to, (char[NET_ADDR_TEXT_MAX]){0}), "8.8.8.8:700", 3479,
                    0);
        count++;
    }
    cr_assert_eq(count, STUN_PROBES_MAX, "%zu", count);
    cr_assert(stun_client_is_over(&r.c), "no room for second ports");
}

/* --- silence ---------------------------------------------------------------------------------- */

Test(stun_client, a_silent_server_is_asked_three_times_and_given_up) {
    struct run r;
    uint8_t first[STUN_REQUEST_BYTES];
    start(&r, ONE, NULL);
    expect_send(&r, ONE, SEC(1));
    memcpy(first, r.request, sizeof(first));
    expect_no_send(&r, SEC(2) - 1);
    expect_send(&r, ONE, SEC(2));
    cr_assert(memcmp(first, r.request, sizeof(first)) == 0, "the same transaction");
    expect_no_send(&r, SEC(4) - 1);
    expect_send(&r, ONE, SEC(4));
    cr_assert_eq(stun_client_deadline(&r.c), SEC(8));
    stun_client_tick(&r.c, SEC(8) - 1);
    expect_no_send(&r, SEC(8) - 1);
    cr_assert(!stun_client_is_over(&r.c));
    stun_client_tick(&r.c, SEC(8));
    cr_assert(stun_client_is_over(&r.c));
    expect_no_send(&r, SEC(9));
}

Test(stun_client, a_late_answer_counts_until_the_server_is_given_up) {
    struct run r;
    start(&r, ONE, NULL);
    expect_send(&r, ONE, SEC(1));
    expect_send(&r, ONE, SEC(2));
    answer_from(&r, ONE, "8.8.8.8:700", 0, SEC(2) + MSEC(1));
    cr_assert(stun_client_is_over(&r.c));
}

Test(stun_client, one_host_gets_at_most_a_packet_a_second) {
    struct run r;
    start(&r, ONE, ONE_OTHER);
    nsec_t last = 0;
    size_t count = 0;
    for (nsec_t now = SEC(1); !stun_client_is_over(&r.c); now += MSEC(10)) {
        stun_client_tick(&r.c, now);
        while (stun_client_next_send(&r.c, &r.to, r.request, now)) {
            if (count > 0)
                cr_assert_geq(now, last + SEC(1));
            last = now;
            count++;
        }
        cr_assert_lt(now, SEC(20), "it ends");
    }
    cr_assert_eq(count, 2 * STUN_SENDS_MAX);
}

/* --- answers that are none -------------------------------------------------------------------- */

Test(stun_client, an_answer_counts_only_from_where_it_was_asked_with_its_transaction) {
    struct run r;
    uint8_t out[STUN_ANSWER_MAX];
    struct net_addr one = naddr(ONE);
    struct net_addr two = naddr(TWO);
    struct net_addr seen = naddr("8.8.8.8:700");
    struct net_addr seen6 = naddr("[2001::8]:700");
    start(&r, ONE, TWO);
    expect_send(&r, ONE, SEC(1));
    size_t len = stun_encode_success(r.request + 8, &seen, NULL, out);
    cr_assert(!stun_client_recv(&r.c, &two, bytes_of(out, len), SEC(1)), "another host");
    one.port++;
    cr_assert(!stun_client_recv(&r.c, &one, bytes_of(out, len), SEC(1)), "another port");
    one.port--;
    out[9] ^= 1;
    cr_assert(!stun_client_recv(&r.c, &one, bytes_of(out, len), SEC(1)), "another transaction");
    out[9] ^= 1;
    out[0] = 0x00;
    out[1] = 0x11;
    cr_assert(!stun_client_recv(&r.c, &one, bytes_of(out, len), SEC(1)), "an indication");
    out[0] = 0x01;
    out[1] = 0x01;
    cr_assert(!stun_client_recv(&r.c, &one, bytes_of(out, len - 4), SEC(1)), "cut");
    size_t len6 = stun_encode_success(r.request + 8, &seen6, NULL, out);
    cr_assert(!stun_client_recv(&r.c, &one, bytes_of(out, len6), SEC(1)), "of the other family");
    len = stun_encode_success(r.request + 8, &seen, NULL, out);
    cr_assert(stun_client_recv(&r.c, &one, bytes_of(out, len), SEC(1)));
    cr_assert(!stun_client_recv(&r.c, &one, bytes_of(out, len), SEC(1)), "twice");
}

Test(stun_client, an_error_gives_the_server_up) {
    struct run r;
    struct net_addr one = naddr(ONE);
    struct stun_msg request = {.unknown = {3}, .unknown_count = 1};
    uint8_t out[STUN_ANSWER_MAX];
    start(&r, ONE, NULL);
    expect_send(&r, ONE, SEC(1));
    memcpy(request.txid, r.request + 8, sizeof(request.txid));
    size_t len = stun_encode_refusal(&request, out);
    cr_assert(stun_client_recv(&r.c, &one, bytes_of(out, len), SEC(1)));
    cr_assert(stun_client_is_over(&r.c));
    cr_assert_eq(result(&r, "4.4.4.4:1").answers_count, 0);
}

Test(stun_client, ipv6_has_its_own_client) {
    struct run r;
    start(&r, "[2001::1]:4001", "[2001::2]:4001");
    expect_send(&r, "[2001::1]:4001", SEC(1));
    answer_from(&r, "[2001::1]:4001", "[2001::77]:4001", 0, SEC(1));
    expect_send(&r, "[2001::2]:4001", SEC(1));
    answer_from(&r, "[2001::2]:4001", "[2001::77]:4001", 0, SEC(1));
    cr_assert_eq(result(&r, "[2001::77]:4001").type, NAT_NONE);
}

Test(stun_client, the_engine_stays_within_its_stated_size) {
    cr_assert_leq(sizeof(struct stun_client), 2048);
}

/* SPDX-License-Identifier: MIT */
/* Goal: the answer goes to who asked, is small, and there are not too many.
 * Spec: RFC 8489, section 6.3.1. */
#include "relay/proto/stun_server.h"
#include "tests/support/hex.h"
#include "tests/unit/relay_nat/addrs.h"

#define REQUEST HEX("000100002112a442101112131415161718191a1b")

static size_t ask(struct stun_server *s, struct bytes datagram, uint8_t *out, nsec_t now) {
    struct net_addr from = naddr("203.0.113.5:54321");
    struct net_addr other = naddr("192.0.2.1:3479");
    return stun_server_answer(s, &from, &other, datagram, out, now);
}

Test(stun_server, a_request_is_answered_with_its_senders_address_and_our_second_port) {
    struct stun_server s = {.newcomers = {.used_until = 0}};
    uint8_t out[STUN_ANSWER_MAX];
    struct stun_msg m;
    size_t len = ask(&s, REQUEST, out, SEC(1));
    cr_assert_eq(stun_decode(bytes_of(out, len), &m), 0);
    cr_assert_eq(m.type, STUN_BINDING_SUCCESS);
    struct net_addr from = naddr("203.0.113.5:54321");
    cr_assert(net_addr_equal(&m.mapped, &from));
    cr_assert_eq(m.other.port, 3479);
}

Test(stun_server, nothing_but_requests_is_answered) {
    struct stun_server s = {.newcomers = {.used_until = 0}};
    uint8_t out[STUN_ANSWER_MAX];
    cr_assert_eq(ask(&s, HEX("010100002112a442101112131415161718191a1b"), out, 0), 0);
    cr_assert_eq(ask(&s, HEX("011100002112a442101112131415161718191a1b"), out, 0), 0);
    cr_assert_eq(ask(&s, HEX("001100002112a442101112131415161718191a1b"), out, 0), 0);
    cr_assert_eq(ask(&s, HEX("000100002112a443101112131415161718191a1b"), out, 0), 0);
    cr_assert_eq(ask(&s, BYTES_EMPTY, out, 0), 0);
    cr_assert_eq(s.newcomers.used_until, 0, "and costs nothing");
    cr_assert_eq(s.sources[0].key, 0);
}

Test(stun_server, unknown_attributes_are_refused) {
    struct stun_server s = {.newcomers = {.used_until = 0}};
    uint8_t out[STUN_ANSWER_MAX];
    struct stun_msg m;
    struct bytes change = HEX("000100082112a442101112131415161718191a1b0003000400000006");
    size_t len = ask(&s, change, out, 0);
    cr_assert_eq(stun_decode(bytes_of(out, len), &m), 0);
    cr_assert_eq(m.type, STUN_BINDING_ERROR);
}

static bool ask_from(struct stun_server *s, const struct net_addr *from, nsec_t now) {
    uint8_t out[STUN_ANSWER_MAX];
    return stun_server_answer(s, from, NULL, REQUEST, out, now) > 0;
}

/* The n-th of those whose addresses somebody forges. */
static struct net_addr forged(uint32_t n) {
    struct net_addr a = naddr("9.0.0.0:5");
    a.ip[1] = (uint8_t)(n >> 16);
    a.ip[2] = (uint8_t)(n >> 8);
    a.ip[3] = (uint8_t)n;
    return a;
}

Test(stun_server, answers_to_newcomers_are_limited_in_all_and_come_back_with_time) {
    struct stun_server s = {.newcomers = {.used_until = 0}};
    nsec_t now = SEC(5);
    uint32_t n = 0;
    for (int i = 0; i < STUN_ANSWERS_BURST; i++) {
        struct net_addr from = forged(n++);
        cr_assert(ask_from(&s, &from, now), "answer %d", i);
    }
    struct net_addr from = forged(n++);
    cr_assert_not(ask_from(&s, &from, now));
    now += SEC(1) / STUN_ANSWERS_PER_SECOND;
    cr_assert_not(ask_from(&s, &from, now - 1));
    cr_assert(ask_from(&s, &from, now));
    from = forged(n++);
    cr_assert_not(ask_from(&s, &from, now));
    now += SEC(1);
    int count = 0;
    for (int i = 0; i < 2 * STUN_ANSWERS_PER_SECOND; i++) {
        from = forged(n++);
        count += ask_from(&s, &from, now);
    }
    cr_assert_eq(count, STUN_ANSWERS_PER_SECOND);
}

Test(stun_server, one_source_has_its_share_and_leaves_the_others_theirs) {
    struct stun_server s = {.newcomers = {.used_until = 0}};
    nsec_t now = SEC(5);
    struct net_addr greedy = naddr("8.8.8.8:1");
    struct net_addr other = naddr("8.8.8.9:1");
    int count = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        greedy.port = (uint16_t)(i + 1); /* all of its ports are one */
        count += ask_from(&s, &greedy, now);
    }
    cr_assert_eq(count, STUN_SOURCE_BURST);
    cr_assert(ask_from(&s, &other, now));
    now += SEC(1);
    count = 0;
    while (ask_from(&s, &greedy, now))
        count++;
    cr_assert_eq(count, STUN_SOURCE_PER_SECOND);
}

Test(stun_server, a_network_of_ipv6_is_one_source) {
    struct stun_server s = {.newcomers = {.used_until = 0}};
    struct net_addr a = naddr("[2a01::1]:1");
    int count = 0;
    for (uint32_t i = 0; i < 200; i++) {
        a.ip[7] = (uint8_t)i; /* within one /56 */
        count += ask_from(&s, &a, SEC(5));
    }
    cr_assert_eq(count, STUN_SOURCE_BURST);
    a.ip[6] = 1;
    cr_assert(ask_from(&s, &a, SEC(5)));
}

/* Half of them come again, as if they were many clients. */
Test(stun_server, a_flood_of_forged_sources_takes_nothing_from_who_has_settled) {
    static struct stun_server s;
    struct net_addr sound = naddr("8.8.8.8:1");
    nsec_t now = SEC(5);
    cr_assert(ask_from(&s, &sound, now));
    now += STUN_SETTLES_AFTER;
    cr_assert(ask_from(&s, &sound, now));
    for (uint32_t i = 0; i < 200000; i++) {
        struct net_addr from = forged(i % 2 == 0 ? i : i % 1000);
        (void)ask_from(&s, &from, now);
        if (i % 10000 == 0)
            cr_assert(ask_from(&s, &sound, now), "after %u", i);
        now += USEC(100);
    }
}

Test(stun_server, a_settled_place_is_free_when_it_was_silent_long_enough) {
    static struct stun_server s;
    nsec_t now = SEC(5);
    for (int round = 0; round < 2; round++, now += STUN_SETTLES_AFTER)
        for (uint32_t i = 0; i < STUN_SETTLED_MAX; i++) {
            struct net_addr from = forged(i);
            cr_assert(ask_from(&s, &from, now));
        }
    struct net_addr late = naddr("8.8.8.8:1");
    cr_assert(ask_from(&s, &late, now));
    cr_assert(ask_from(&s, &late, now + STUN_SETTLES_AFTER));
    size_t settled = 0;
    for (size_t i = 0; i < STUN_SOURCES_MAX; i++)
        settled += s.sources[i].is_settled;
    cr_assert_eq(settled, STUN_SETTLED_MAX, "it stays a newcomer");
    now += STUN_SETTLED_TIME;
    cr_assert(ask_from(&s, &late, now));
    settled = 0;
    for (size_t i = 0; i < STUN_SOURCES_MAX; i++)
        settled += s.sources[i].is_settled && now - s.sources[i].last_at < STUN_SETTLED_TIME;
    cr_assert_eq(settled, 1);
}

Test(stun_server, the_engine_stays_within_its_stated_size) {
    cr_assert_leq(sizeof(struct stun_server), 12 * 1024);
}

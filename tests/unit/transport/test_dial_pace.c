/* SPDX-License-Identifier: MIT */
/* Goal: what a peer that does not answer is asked, and how often; that it costs a packet a second.
 * Spec: decision 6; transport/proto/dial_pace.h. */
#include <criterion/criterion.h>
#include <string.h>

#include "transport/proto/dial_pace.h"

#define START SEC(100)

enum { ALL = 4 };

/* By rank. */
static const char *const TEXTS[ALL] = {
    "/ip6/2a01::1/udp/4001/quic-v1",
    "/ip4/5.1.0.1/udp/4001/quic-v1",
    "/ip6/2a01::1/tcp/4001",
    "/ip4/5.1.0.1/tcp/4001",
};

static struct multiaddr addr(int i) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(TEXTS[i], &a), 0);
    return a;
}

/* Worst first, as they may well be. */
static void fill(struct multiaddr out[ALL]) {
    for (int i = 0; i < ALL; i++)
        out[i] = addr(ALL - 1 - i);
}

static int number_of(const struct multiaddr *a) {
    for (int i = 0; i < ALL; i++) {
        struct multiaddr one = addr(i);
        if (multiaddr_equal(a, &one))
            return i;
    }
    return -1;
}

/* Those of the next round, by their numbers, as digits. */
static unsigned choose(struct dial_pace *p) {
    struct multiaddr addrs[ALL];
    unsigned digits = 0;
    fill(addrs);
    uint32_t count = dial_pace_choose(p, addrs, ALL, DIAL_AUTO);
    for (uint32_t i = 0; i < count; i++)
        digits = digits * 10 + (unsigned)number_of(&addrs[i]) + 1;
    return digits;
}

static void fail_round(struct dial_pace *p, nsec_t now, uint32_t dials, nsec_t each) {
    dial_pace_begin(p, now);
    for (uint32_t i = 0; i < dials; i++)
        dial_pace_spent(p, each);
    dial_pace_failed(p);
}

Test(dial_pace, a_first_round_has_all_addresses_at_once) {
    struct dial_pace p = {0};
    cr_assert_eq(choose(&p), 4321, "as they were");
    cr_assert_eq(dial_pace_not_before(&p), 0);
    cr_assert_not(dial_pace_is_slow(&p));
}

Test(dial_pace, after_a_failed_round_two_of_them_take_turns_by_rank) {
    struct dial_pace p = {0};
    fail_round(&p, START, ALL, SEC(10));
    cr_assert(dial_pace_is_slow(&p));
    cr_assert_eq(choose(&p), 12);
    cr_assert_eq(choose(&p), 34);
    cr_assert_eq(choose(&p), 12);
}

Test(dial_pace, where_the_peer_was_reached_is_asked_each_time_beside_another) {
    struct dial_pace p = {0};
    struct multiaddr at = addr(3);
    dial_pace_reached(&p, &at);
    cr_assert_eq(choose(&p), 4321, "it is there");
    fail_round(&p, START, ALL, SEC(10));
    cr_assert_eq(choose(&p), 41);
    cr_assert_eq(choose(&p), 42);
    cr_assert_eq(choose(&p), 43);
    cr_assert_eq(choose(&p), 41);
}

Test(dial_pace, where_it_was_reached_need_not_be_among_its_addresses_any_more) {
    struct dial_pace p = {0};
    struct multiaddr elsewhere;
    cr_assert_eq(multiaddr_parse("/ip4/5.1.0.2/tcp/4001", &elsewhere), 0);
    dial_pace_reached(&p, &elsewhere);
    fail_round(&p, START, ALL, SEC(10));
    cr_assert_eq(choose(&p), 12);
}

Test(dial_pace, two_addresses_are_all_there_is_to_ask) {
    struct dial_pace p = {0};
    struct multiaddr addrs[2] = {addr(3), addr(0)};
    fail_round(&p, START, 2, SEC(10));
    cr_assert_eq(dial_pace_choose(&p, addrs, 2, DIAL_AUTO), 2);
    cr_assert_eq(dial_pace_choose(&p, addrs, 0, DIAL_AUTO), 0);
}

Test(dial_pace, a_round_costs_a_second_for_each_packet) {
    static const struct {
        uint32_t dials;
        nsec_t each;
        nsec_t rest; /* from its beginning */
    } rows[] =
        {
            {1, 0, SEC(1)},          {2, 0, SEC(2)},
            {1, SEC(1) - 1, SEC(1)}, {1, SEC(1), SEC(2)},
            {2, SEC(3) - 1, SEC(4)}, {2, SEC(3), SEC(6)},
            {2, SEC(7) - 1, SEC(6)}, {2, SEC(10), SEC(8)},
            {1, SEC(60), SEC(4)},    {0, 0, 0},
            {ALL, SEC(10), SEC(8)}, /* the next one need not make up for a first round */
            {ALL, MSEC(1), SEC(2)},
        };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct dial_pace p = {0};
        fail_round(&p, START, rows[i].dials, rows[i].each);
        cr_expect_eq(dial_pace_not_before(&p), START + rows[i].rest, "row %zu", i);
    }
}

Test(dial_pace, what_the_round_before_cost_is_not_counted_again) {
    struct dial_pace p = {0};
    fail_round(&p, START, 2, SEC(10));
    fail_round(&p, START + SEC(11), 1, 0);
    cr_assert_eq(dial_pace_not_before(&p), START + SEC(12));
}

Test(dial_pace, a_connection_or_news_lift_it) {
    struct dial_pace p = {0};
    struct multiaddr at = addr(2);
    fail_round(&p, START, ALL, SEC(10));
    dial_pace_reached(&p, &at);
    cr_assert_eq(choose(&p), 4321);
    cr_assert_eq(dial_pace_not_before(&p), 0);
    fail_round(&p, START + SEC(20), ALL, SEC(10));
    dial_pace_forget(&p);
    cr_assert_eq(choose(&p), 4321);
    fail_round(&p, START + SEC(40), ALL, SEC(10));
    dial_pace_forget(&p);
    cr_assert_eq(choose(&p), 4321);
    fail_round(&p, START + SEC(60), ALL, SEC(10));
    cr_assert_eq(choose(&p) / 10, 3, "where it was reached is kept");
}

static size_t most_within(const nsec_t *at, size_t count, nsec_t window) {
    size_t most = 0;
    for (size_t first = 0, end = 0; first < count; first++) {
        while (end < count && at[end] < at[first] + window)
            end++;
        most = MAX(most, end - first);
    }
    return most;
}

/* The promise itself: dialled without a pause, by somebody who never gives up. */
Test(dial_pace, a_minute_has_sixty_packets_and_ten_seconds_at_most_twelve) {
    static const nsec_t gives_up[] = {0, MSEC(200), SEC(1), SEC(5), SEC(10)};
    static const nsec_t sent[] = {0, SEC(1), SEC(3), SEC(7)};
    for (size_t g = 0; g < ARRAY_COUNT(gives_up); g++) {
        struct dial_pace p = {0};
        nsec_t packets[4096];
        size_t count = 0;
        nsec_t now = START;
        fail_round(&p, now, ALL, gives_up[g]);
        for (int round = 0; round < 100; round++) {
            struct multiaddr addrs[ALL];
            fill(addrs);
            now = MAX(now + gives_up[g], dial_pace_not_before(&p));
            uint32_t dials = dial_pace_choose(&p, addrs, ALL, DIAL_AUTO);
            for (size_t k = 0; k < ARRAY_COUNT(sent) && sent[k] <= gives_up[g]; k++)
                for (uint32_t i = 0; i < dials; i++)
                    packets[count++] = now + sent[k];
            fail_round(&p, now, dials, gives_up[g]);
        }
        cr_expect_leq(most_within(packets, count, SEC(10)), 12, "given up after %llu ms",
                      (unsigned long long)(gives_up[g] / MSEC(1)));
        cr_expect_leq(most_within(packets, count, SEC(60)), 62, "given up after %llu ms",
                      (unsigned long long)(gives_up[g] / MSEC(1)));
    }
}

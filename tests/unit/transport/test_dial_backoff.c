/* SPDX-License-Identifier: MIT */
/* Goal: addresses and ways that failed rest, and come back.
 * Spec: libp2p connection-lifecycle.md, "Dial ranking", limits. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "tests/support/fixed_rng.h"
#include "transport/proto/black_hole.h"
#include "transport/proto/dial_backoff.h"

static const struct peer_id ANNE = {.len = 3, .bytes = "ann"};
static const struct peer_id BERT = {.len = 3, .bytes = "ber"};

static struct multiaddr at(unsigned port) {
    char text[64];
    struct multiaddr a;
    (void)snprintf(text, sizeof(text), "/ip4/1.2.3.4/udp/%u/quic-v1", port);
    cr_assert_eq(multiaddr_parse(text, &a), 0);
    return a;
}

static struct dial_backoff backoff_new(struct mem *mem) {
    static struct fixed_rng rng;
    struct dial_backoff b;
    fixed_rng_init(&rng, 1);
    cr_assert_eq(dial_backoff_init(&b, mem, &rng.rng), 0);
    return b;
}

Test(dial_backoff, rests_grow_with_the_square_of_the_failures_up_to_five_minutes) {
    static const unsigned seconds[] = {5,   6,   9,   14,  21,  30,  41,  54,  69,  86,
                                       105, 126, 149, 174, 201, 230, 261, 294, 300, 300};
    struct dial_backoff b = backoff_new(mem_system());
    struct multiaddr a = at(1);
    nsec_t now = SEC(100);
    cr_assert_eq(dial_backoff_until(&b, &ANNE, &a, now), 0);
    for (size_t i = 0; i < ARRAY_COUNT(seconds); i++) {
        dial_backoff_failed(&b, &ANNE, &a, now);
        nsec_t until = dial_backoff_until(&b, &ANNE, &a, now);
        cr_assert_eq(until, now + SEC(seconds[i]), "failure %zu", i);
        cr_assert_eq(dial_backoff_until(&b, &ANNE, &a, until - 1), until);
        cr_assert_eq(dial_backoff_until(&b, &ANNE, &a, until), 0);
        now = until;
    }
    dial_backoff_done(&b);
}

Test(dial_backoff, a_success_forgets_and_so_does_a_rest_of_twice_the_time) {
    struct dial_backoff b = backoff_new(mem_system());
    struct multiaddr a = at(1);
    for (int i = 0; i < 3; i++)
        dial_backoff_failed(&b, &ANNE, &a, SEC(1));
    cr_assert_eq(dial_backoff_until(&b, &ANNE, &a, SEC(1)), SEC(10));
    dial_backoff_failed(&b, &ANNE, &a, SEC(19));
    cr_assert_eq(dial_backoff_until(&b, &ANNE, &a, SEC(19)), SEC(24), "as the first time");
    dial_backoff_succeeded(&b, &ANNE, &a);
    cr_assert_eq(dial_backoff_until(&b, &ANNE, &a, SEC(19)), 0);
    dial_backoff_succeeded(&b, &ANNE, &a);
    dial_backoff_failed(&b, &ANNE, &a, SEC(20));
    cr_assert_eq(dial_backoff_until(&b, &ANNE, &a, SEC(20)), SEC(25));
    dial_backoff_forget(&b);
    cr_assert_eq(dial_backoff_until(&b, &ANNE, &a, SEC(20)), 0);
    dial_backoff_done(&b);
}

Test(dial_backoff, addresses_and_peers_rest_by_themselves) {
    struct dial_backoff b = backoff_new(mem_system());
    struct multiaddr a = at(1);
    struct multiaddr other = at(2);
    dial_backoff_failed(&b, &ANNE, &a, SEC(1));
    cr_assert_eq(dial_backoff_until(&b, &ANNE, &other, SEC(1)), 0);
    cr_assert_eq(dial_backoff_until(&b, &BERT, &a, SEC(1)), 0);
    dial_backoff_done(&b);
}

Test(dial_backoff, of_too_many_the_one_that_rests_shortest_is_forgotten) {
    struct dial_backoff b = backoff_new(mem_system());
    for (unsigned i = 0; i <= DIAL_BACKOFFS_MAX; i++) {
        struct multiaddr a = at(i + 1);
        dial_backoff_failed(&b, &ANNE, &a, SEC(1) + i);
    }
    struct multiaddr first = at(1);
    struct multiaddr second = at(2);
    struct multiaddr last = at(DIAL_BACKOFFS_MAX + 1);
    cr_assert_eq(dial_backoff_until(&b, &ANNE, &first, SEC(2)), 0);
    cr_assert_neq(dial_backoff_until(&b, &ANNE, &second, SEC(2)), 0);
    cr_assert_neq(dial_backoff_until(&b, &ANNE, &last, SEC(2)), 0);
    /* Much later all are over, and make room without a loss. */
    dial_backoff_failed(&b, &ANNE, &first, SEC(100));
    cr_assert_eq(b.entries.count, 1);
    dial_backoff_done(&b);
}

Test(black_hole, blocks_after_a_hundred_dials_with_fewer_than_five_successes) {
    for (unsigned successes = 4; successes <= 5; successes++) {
        struct black_hole b = {.next = 0};
        for (unsigned i = 0; i < BLACK_HOLE_WINDOW; i++) {
            cr_assert_not(black_hole_is_blocked(&b));
            cr_assert(black_hole_admits(&b));
            black_hole_record(&b, i < successes);
        }
        cr_assert_eq(black_hole_is_blocked(&b), successes < 5);
        black_hole_record(&b, false); /* the first success leaves the window */
        cr_assert(black_hole_is_blocked(&b));
    }
}

Test(black_hole, every_hundredth_request_probes_and_one_success_lifts_the_block) {
    struct black_hole b = {.next = 0};
    for (unsigned i = 0; i < BLACK_HOLE_WINDOW; i++)
        black_hole_record(&b, false);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 1; i < BLACK_HOLE_WINDOW; i++)
            cr_assert_not(black_hole_admits(&b), "request %u of round %u", i, round);
        cr_assert(black_hole_admits(&b));
        black_hole_record(&b, round == 1);
    }
    cr_assert_not(black_hole_is_blocked(&b));
    cr_assert(black_hole_admits(&b));
    cr_assert_eq(b.results_count, 0, "judged anew");
}

/* SPDX-License-Identifier: MIT */
/* Goal: a token joins the path and the side that it was made for, once and in time, and nothing
 * else; and there are never more in the making than there may be.
 * Spec: ADR 13. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "relay/proto/splice_book.h"
#include "tests/support/fixed_rng.h"

static struct fixed_rng rng;

static void book_init(struct splice_book *b) {
    fixed_rng_init(&rng, 1);
    splice_book_init(b, &rng.rng, SEC(1));
}

static struct peer_id peer(uint8_t n) {
    return (struct peer_id){.len = 3, .bytes = {0, 1, n}};
}

static int issue(struct splice_book *b, struct splice_ticket *t, uint8_t source,
                 uint8_t destination) {
    struct peer_id from = peer(source);
    struct peer_id to = peer(destination);
    return splice_book_issue(b, t, &from, &to, b->now);
}

static void expect_redeemed(struct splice_book *b, struct splice_ticket *t, enum splice_side side) {
    enum splice_side got = SPLICE_SIDES;
    cr_assert_eq(splice_book_redeem(b, t->tokens[side], b->now, &got), t);
    cr_assert_eq(got, side);
}

static void expect_refused(struct splice_book *b, const uint8_t token[SPLICE_TOKEN_BYTES]) {
    enum splice_side got = SPLICE_SIDES;
    cr_assert_null(splice_book_redeem(b, token, b->now, &got));
    cr_assert_eq(got, SPLICE_SIDES);
}

Test(splice_book, both_sides_redeem_theirs_in_either_order) {
    for (int first = 0; first < SPLICE_SIDES; first++) {
        struct splice_book b;
        struct splice_ticket t = {.deadline = 0};
        book_init(&b);
        cr_assert_eq(issue(&b, &t, 1, 2), 0);
        cr_assert_eq(splice_book_deadline(&b), SEC(11));
        expect_redeemed(&b, &t, (enum splice_side)first);
        cr_assert_not(splice_ticket_is_complete(&t));
        expect_redeemed(&b, &t, (enum splice_side)(1 - first));
        cr_assert(splice_ticket_is_complete(&t));
        splice_book_drop(&b, &t);
        cr_assert_eq(splice_book_deadline(&b), NSEC_NEVER);
    }
}

Test(splice_book, a_token_is_good_once) {
    struct splice_book b;
    struct splice_ticket t;
    book_init(&b);
    cr_assert_eq(issue(&b, &t, 1, 2), 0);
    expect_redeemed(&b, &t, SPLICE_SOURCE);
    expect_refused(&b, t.tokens[SPLICE_SOURCE]);
    cr_assert_not(splice_ticket_is_complete(&t));
    expect_redeemed(&b, &t, SPLICE_DESTINATION);
    expect_refused(&b, t.tokens[SPLICE_DESTINATION]);
}

Test(splice_book, a_token_of_a_path_that_was_made_or_given_up_is_worthless) {
    struct splice_book b;
    struct splice_ticket t;
    uint8_t token[SPLICE_TOKEN_BYTES];
    static const uint8_t zeros[SPLICE_TOKEN_BYTES];
    book_init(&b);
    expect_refused(&b, zeros);
    cr_assert_eq(issue(&b, &t, 1, 2), 0);
    memcpy(token, t.tokens[SPLICE_SOURCE], sizeof(token));
    splice_book_drop(&b, &t);
    splice_book_drop(&b, &t); /* harmless */
    expect_refused(&b, token);
    cr_assert_arr_eq(t.tokens[SPLICE_SOURCE], zeros, sizeof(zeros));
    cr_assert_arr_eq(t.tokens[SPLICE_DESTINATION], zeros, sizeof(zeros));
    expect_refused(&b, zeros);
}

Test(splice_book, a_token_that_differs_in_one_bit_is_no_token) {
    struct splice_book b;
    struct splice_ticket t;
    book_init(&b);
    cr_assert_eq(issue(&b, &t, 1, 2), 0);
    for (int bit = 0; bit < SPLICE_TOKEN_BYTES * 8; bit++) {
        uint8_t forged[SPLICE_TOKEN_BYTES];
        memcpy(forged, t.tokens[SPLICE_DESTINATION], sizeof(forged));
        forged[bit / 8] ^= (uint8_t)(1 << bit % 8);
        expect_refused(&b, forged);
    }
    expect_redeemed(&b, &t, SPLICE_DESTINATION);
}

Test(splice_book, a_token_is_good_for_ten_seconds_and_not_longer) {
    struct splice_book b;
    struct splice_ticket t;
    enum splice_side side;
    book_init(&b);
    cr_assert_eq(issue(&b, &t, 1, 2), 0);
    nsec_t late = splice_book_deadline(&b);
    cr_assert_eq(late, b.now + SEC(10));
    cr_assert_null(splice_book_expired(&b, late - 1));
    cr_assert_eq(splice_book_redeem(&b, t.tokens[SPLICE_SOURCE], late - 1, &side), &t);
    cr_assert_null(splice_book_redeem(&b, t.tokens[SPLICE_DESTINATION], late, &side));
    cr_assert_eq(splice_book_expired(&b, late), &t);
    splice_book_drop(&b, &t);
    cr_assert_null(splice_book_expired(&b, late));
}

Test(splice_book, the_oldest_ticket_is_late_first) {
    struct splice_book b;
    struct splice_ticket t[2];
    book_init(&b);
    cr_assert_eq(issue(&b, &t[0], 1, 2), 0);
    b.now += SEC(3);
    cr_assert_eq(issue(&b, &t[1], 1, 2), 0);
    cr_assert_eq(splice_book_expired(&b, t[0].deadline), &t[0]);
    splice_book_drop(&b, &t[0]);
    cr_assert_eq(splice_book_deadline(&b), t[1].deadline);
}

Test(splice_book, a_source_has_four) {
    struct splice_book b;
    struct splice_ticket t[SPLICE_TICKETS_PER_SOURCE_MAX + 2] = {{.deadline = 0}};
    book_init(&b);
    for (uint8_t i = 0; i < SPLICE_TICKETS_PER_SOURCE_MAX; i++)
        cr_assert_eq(issue(&b, &t[i], 1, 10 + i), 0);
    struct splice_ticket *more = &t[SPLICE_TICKETS_PER_SOURCE_MAX];
    cr_assert_eq(issue(&b, more, 1, 99), -ERR_LIMIT);
    splice_book_drop(&b, more); /* never was in */
    cr_assert_eq(issue(&b, &more[1], 99, 1), 0, "of which others ask for as many as they may");
    splice_book_drop(&b, &t[2]);
    cr_assert_eq(issue(&b, more, 1, 98), 0);
}

/* Goal: a hostile source does not keep others from the same destination, nor does the destination
 * get more of its tickets by asking, too. */
Test(splice_book, two_peers_have_two_with_one_another_in_whichever_direction) {
    struct splice_book b;
    struct splice_ticket t[4] = {{.deadline = 0}};
    for (int first = 0; first < 4; first++) {
        book_init(&b);
        for (int i = 0; i < SPLICE_TICKETS_PER_PAIR_MAX; i++)
            cr_assert_eq(first >> i & 1 ? issue(&b, &t[i], 1, 2) : issue(&b, &t[i], 2, 1), 0);
        cr_assert_eq(issue(&b, &t[2], 1, 2), -ERR_LIMIT);
        cr_assert_eq(issue(&b, &t[2], 2, 1), -ERR_LIMIT);
        cr_assert_eq(issue(&b, &t[2], 1, 3), 0);
        cr_assert_eq(issue(&b, &t[3], 3, 2), 0);
        splice_book_drop(&b, &t[0]);
        cr_assert_eq(issue(&b, &t[0], 1, 2), 0);
    }
}

Test(splice_book, no_destination_is_used_up) {
    struct splice_book b;
    static struct splice_ticket t[SPLICE_TICKETS_MAX];
    book_init(&b);
    for (uint8_t i = 0; i < SPLICE_TICKETS_MAX; i++)
        cr_assert_eq(issue(&b, &t[i], 10 + i, 1), 0);
}

Test(splice_book, there_are_sixty_four_in_all) {
    struct splice_book b;
    static struct splice_ticket t[SPLICE_TICKETS_MAX + 1];
    book_init(&b);
    for (uint8_t i = 0; i < SPLICE_TICKETS_MAX; i++)
        cr_assert_eq(issue(&b, &t[i], (uint8_t)(2 * i), (uint8_t)(2 * i + 1)), 0);
    cr_assert_eq(issue(&b, &t[SPLICE_TICKETS_MAX], 200, 201), -ERR_LIMIT);
    for (int i = SPLICE_TICKETS_MAX - 1; i >= 0; i--)
        expect_redeemed(&b, &t[i], SPLICE_DESTINATION);
    splice_book_drop(&b, &t[17]);
    cr_assert_eq(issue(&b, &t[SPLICE_TICKETS_MAX], 200, 201), 0);
}

Test(splice_book, no_two_tokens_are_alike) {
    struct splice_book b;
    struct splice_ticket t[2];
    book_init(&b);
    cr_assert_eq(issue(&b, &t[0], 1, 2), 0);
    cr_assert_eq(issue(&b, &t[1], 1, 2), 0);
    cr_assert_neq(memcmp(t[0].tokens[0], t[0].tokens[1], SPLICE_TOKEN_BYTES), 0);
    cr_assert_neq(memcmp(t[0].tokens[0], t[1].tokens[0], SPLICE_TOKEN_BYTES), 0);
}

/* SPDX-License-Identifier: MIT */
/* Goal: blocks of 32 bytes come back as they went, within go-libp2p's time limits.
 * Spec: libp2p ping. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "transport/proto/ping.h"

/* 00 01 02 ... 1f and on: the vector "ping" of ping_perf.json. */
struct counting_rng {
    struct rng rng;
    uint8_t next;
};

static void count_up(struct rng *g, void *out, size_t size) {
    struct counting_rng *c = (struct counting_rng *)(void *)g;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = c->next++;
}

static const uint8_t block[PING_BYTES] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                          11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                          22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

static void expect_ended(struct ping_acceptor *p, int error) {
    int got = 1;
    cr_assert(ping_acceptor_next_event(p, &got));
    cr_assert_eq(got, error, "%s instead of %s", err_name(got), err_name(error));
    cr_assert_eq(ping_acceptor_deadline(p), NSEC_NEVER);
    cr_assert(!ping_acceptor_next_event(p, &got));
}

Test(ping, every_split_of_two_blocks_is_echoed) {
    uint8_t in[2 * PING_BYTES];
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i * 7);

    for (size_t a = 0; a <= sizeof(in); a++)
        for (size_t pull_size = 1; pull_size <= 40; pull_size += 13) {
            struct ping_acceptor p;
            uint8_t out[sizeof(in)];
            size_t ends[] = {a, sizeof(in)};
            size_t taken = 0;
            size_t got = 0;
            ping_acceptor_init(&p, SEC(1));
            for (size_t i = 0; i < ARRAY_COUNT(ends); i++)
                while (taken < ends[i]) {
                    taken += ping_acceptor_recv(&p, bytes_of(in + taken, ends[i] - taken), SEC(1));
                    for (size_t n;
                         (n = ping_acceptor_pull(&p, out + got, MIN(pull_size, sizeof(out) - got),
                                                 SEC(1))) > 0;)
                        got += n;
                }
            cr_assert_eq(got, sizeof(in), "split at %zu, pulled by %zu", a, pull_size);
            cr_assert(memcmp(out, in, sizeof(in)) == 0, "split at %zu", a);
        }
}

Test(ping, nothing_is_taken_while_an_echo_is_to_be_pulled) {
    struct ping_acceptor p;
    uint8_t out[PING_BYTES];
    ping_acceptor_init(&p, 0);
    cr_assert_eq(ping_acceptor_recv(&p, BYTES_OF(block), 0), PING_BYTES);
    cr_assert_eq(ping_acceptor_recv(&p, BYTES_OF(block), 0), 0);
    cr_assert_eq(ping_acceptor_pull(&p, out, 31, 0), 31);
    cr_assert_eq(ping_acceptor_recv(&p, BYTES_OF(block), 0), 0);
    cr_assert_eq(ping_acceptor_pull(&p, out, 31, 0), 1);
    cr_assert_eq(ping_acceptor_recv(&p, BYTES_OF(block), 0), PING_BYTES);
}

Test(ping, a_partial_block_at_the_end_is_ignored_and_a_whole_one_still_echoed) {
    struct ping_acceptor p;
    uint8_t out[PING_BYTES];
    ping_acceptor_init(&p, 0);
    cr_assert_eq(ping_acceptor_recv(&p, bytes_of(block, 31), 0), 31);
    ping_acceptor_recv_end(&p, 0);
    expect_ended(&p, 0);
    cr_assert_eq(ping_acceptor_pull(&p, out, sizeof(out), 0), 0);

    ping_acceptor_init(&p, 0);
    cr_assert_eq(ping_acceptor_recv(&p, BYTES_OF(block), 0), PING_BYTES);
    ping_acceptor_recv_end(&p, 0);
    int error;
    cr_assert(!ping_acceptor_next_event(&p, &error), "the echo is due");
    cr_assert_eq(ping_acceptor_pull(&p, out, sizeof(out), 0), PING_BYTES);
    expect_ended(&p, 0);
}

Test(ping, the_acceptor_ends_ten_seconds_after_the_last_block_and_not_before) {
    struct ping_acceptor p;
    uint8_t out[PING_BYTES];
    int error;
    ping_acceptor_init(&p, SEC(1));
    cr_assert_eq(ping_acceptor_deadline(&p), SEC(11));
    cr_assert_eq(ping_acceptor_recv(&p, BYTES_OF(block), SEC(5)), PING_BYTES);
    cr_assert_eq(ping_acceptor_pull(&p, out, sizeof(out), SEC(5)), PING_BYTES);
    cr_assert_eq(ping_acceptor_deadline(&p), SEC(15));
    /* Half a block is no sign of life. */
    cr_assert_eq(ping_acceptor_recv(&p, bytes_of(block, 16), SEC(14)), 16);
    ping_acceptor_tick(&p, SEC(15) - 1);
    cr_assert(!ping_acceptor_next_event(&p, &error));
    ping_acceptor_tick(&p, SEC(15));
    expect_ended(&p, -ETIMEDOUT);
    cr_assert_eq(ping_acceptor_recv(&p, BYTES_OF(block), SEC(16)), 0);
}

Test(ping, the_acceptor_ends_after_thirty_seconds_in_any_case) {
    struct ping_acceptor p;
    uint8_t out[PING_BYTES];
    int error;
    ping_acceptor_init(&p, 0);
    for (nsec_t now = 0; now < SEC(30); now += SEC(5)) {
        cr_assert_eq(ping_acceptor_recv(&p, BYTES_OF(block), now), PING_BYTES);
        cr_assert_eq(ping_acceptor_pull(&p, out, sizeof(out), now), PING_BYTES);
    }
    cr_assert_eq(ping_acceptor_deadline(&p), SEC(30));
    ping_acceptor_tick(&p, SEC(30) - 1);
    cr_assert(!ping_acceptor_next_event(&p, &error));
    ping_acceptor_tick(&p, SEC(30));
    expect_ended(&p, -ETIMEDOUT);
}

static struct counting_rng counting(void) {
    return (struct counting_rng){.rng = {.fill = count_up}};
}

static void expect_failed(struct ping_opener *p, int error) {
    struct ping_event event;
    cr_assert(ping_opener_next_event(p, &event));
    cr_assert_eq(event.type, PING_EV_FAILED);
    cr_assert_eq(event.error, error, "%s instead of %s", err_name(event.error), err_name(error));
    cr_assert_eq(ping_opener_deadline(p), NSEC_NEVER);
}

/* A round is under way, all sent, at SEC(1). */
static void begin_round(struct ping_opener *p, struct counting_rng *g) {
    uint8_t out[64];
    *g = counting();
    ping_opener_init(p, &g->rng, SEC(1));
    ping_opener_send(p, SEC(1));
    cr_assert_eq(ping_opener_pull(p, out, sizeof(out), SEC(1)), PING_BYTES);
    cr_assert(memcmp(out, block, PING_BYTES) == 0);
    cr_assert_eq(ping_opener_pull(p, out, sizeof(out), SEC(1)), 0);
}

Test(ping, the_round_trip_is_measured_from_the_first_pull_to_the_last_byte) {
    for (size_t split = 0; split <= PING_BYTES; split++) {
        struct counting_rng g;
        struct ping_opener p;
        struct ping_event event;
        begin_round(&p, &g);
        ping_opener_recv(&p, bytes_of(block, split), SEC(1) + MSEC(3));
        cr_assert_eq(ping_opener_next_event(&p, &event), split == PING_BYTES);
        if (split < PING_BYTES) {
            ping_opener_recv(&p, bytes_skip(BYTES_OF(block), split), SEC(1) + MSEC(5));
            cr_assert(ping_opener_next_event(&p, &event));
        }
        cr_assert_eq(event.type, PING_EV_PONG);
        cr_assert_eq(event.rtt, split == PING_BYTES ? MSEC(3) : MSEC(5));
        cr_assert_eq(ping_opener_deadline(&p), NSEC_NEVER, "idle between rounds");
    }
}

Test(ping, one_stream_serves_many_rounds_with_new_bytes_each) {
    struct counting_rng g;
    struct ping_opener p;
    struct ping_event event;
    uint8_t out[PING_BYTES];
    begin_round(&p, &g);
    ping_opener_recv(&p, BYTES_OF(block), SEC(1));
    cr_assert(ping_opener_next_event(&p, &event));
    for (nsec_t now = SEC(2); now < SEC(7); now += SEC(1)) {
        ping_opener_send(&p, now);
        cr_assert_eq(ping_opener_pull(&p, out, sizeof(out), now), PING_BYTES);
        cr_assert(memcmp(out, block, PING_BYTES) != 0, "the same bytes twice");
        ping_opener_recv(&p, BYTES_OF(out), now + 7);
        cr_assert(ping_opener_next_event(&p, &event));
        cr_assert_eq(event.type, PING_EV_PONG);
        cr_assert_eq(event.rtt, 7);
    }
    ping_opener_recv_end(&p, SEC(7));
    cr_assert(!ping_opener_next_event(&p, &event), "ending between rounds is no failure");
}

Test(ping, any_wrong_byte_fails_the_round) {
    for (size_t i = 0; i < PING_BYTES; i++) {
        struct counting_rng g;
        struct ping_opener p;
        uint8_t wrong[PING_BYTES];
        memcpy(wrong, block, sizeof(wrong));
        wrong[i] ^= 0x80;
        begin_round(&p, &g);
        ping_opener_recv(&p, BYTES_OF(wrong), SEC(1));
        expect_failed(&p, -ERR_PROTOCOL_VIOLATION);
        ping_opener_recv(&p, BYTES_OF(block), SEC(1)); /* late bytes are dropped */
    }
}

Test(ping, bytes_that_nobody_asked_for_fail) {
    uint8_t more[PING_BYTES + 1] = {0};
    memcpy(more, block, sizeof(block));
    struct counting_rng g;
    struct ping_opener p;
    begin_round(&p, &g);
    ping_opener_recv(&p, BYTES_OF(more), SEC(1));
    expect_failed(&p, -ERR_PROTOCOL_VIOLATION);

    ping_opener_init(&p, &g.rng, SEC(1));
    ping_opener_recv(&p, bytes_of(block, 1), SEC(1));
    expect_failed(&p, -ERR_PROTOCOL_VIOLATION);
}

Test(ping, the_peers_end_within_a_round_fails) {
    struct counting_rng g;
    struct ping_opener p;
    begin_round(&p, &g);
    ping_opener_recv(&p, bytes_of(block, 31), SEC(1));
    ping_opener_recv_end(&p, SEC(1));
    expect_failed(&p, -ERR_TRUNCATED);
}

Test(ping, a_round_times_out_at_the_deadline_and_not_before) {
    struct counting_rng g;
    struct ping_opener p;
    struct ping_event event;
    begin_round(&p, &g);
    cr_assert_eq(ping_opener_deadline(&p), SEC(1) + PING_ROUND_TIMEOUT);
    ping_opener_tick(&p, SEC(11) - 1);
    cr_assert(!ping_opener_next_event(&p, &event));
    ping_opener_tick(&p, SEC(11));
    expect_failed(&p, -ETIMEDOUT);
}

Test(ping, the_engines_stay_within_their_stated_size) {
    cr_assert_leq(sizeof(struct ping_acceptor), 150);
    cr_assert_leq(sizeof(struct ping_opener), 150);
}

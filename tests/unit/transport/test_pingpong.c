/* SPDX-License-Identifier: MIT */
/* Goal: one line there, one back, with a bound on both length and time.
 * Spec: peerup protocols, section 5. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "transport/proto/pingpong.h"

static void expect_failed(struct pingpong *p, int error) {
    struct pingpong_event event;
    cr_assert(pingpong_next_event(p, &event));
    cr_assert_eq(event.type, PINGPONG_EV_FAILED);
    cr_assert_eq(event.error, error, "%s instead of %s", err_name(event.error), err_name(error));
    cr_assert_eq(pingpong_deadline(p), NSEC_NEVER);
    cr_assert(!pingpong_next_event(p, &event));
}

/* What an acceptor answers to `in`, cut at `split`. */
static const char *answer(struct bytes in, size_t split) {
    static char out[32];
    struct pingpong p;
    struct pingpong_event event;
    pingpong_init_acceptor(&p, SEC(1));
    pingpong_recv(&p, bytes_of(in.data, split), SEC(1));
    pingpong_recv(&p, bytes_skip(in, split), SEC(1));
    pingpong_recv_end(&p, SEC(1)); /* the Go client half-closes only later; either is fine */
    size_t n = pingpong_pull(&p, out, sizeof(out) - 1, SEC(1));
    out[n] = '\0';
    cr_assert(pingpong_next_event(&p, &event));
    cr_assert_eq(event.type, PINGPONG_EV_DONE);
    cr_assert_eq(pingpong_pull(&p, out + n, sizeof(out) - n, SEC(1)), 0);
    return out;
}

Test(pingpong, the_acceptor_trims_the_line_and_answers_at_every_split) {
    static const struct {
        struct bytes in;
        const char *answer;
    } rows[] = {
        {BYTES_LIT("ping\n"), "pong\n"},      {BYTES_LIT("ping\r\n"), "pong\n"},
        {BYTES_LIT(" \t ping \n"), "pong\n"}, {BYTES_LIT("ping\nand more"), "pong\n"},
        {BYTES_LIT("Ping\n"), "unknown\n"},   {BYTES_LIT("pingping\n"), "unknown\n"},
        {BYTES_LIT("\n"), "unknown\n"},       {BYTES_LIT("p\0ng\n"), "unknown\n"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (size_t split = 0; split <= rows[i].in.len; split++)
            cr_assert_str_eq(answer(rows[i].in, split), rows[i].answer, "row %zu at %zu", i, split);
}

Test(pingpong, a_line_of_64_bytes_is_read_and_one_more_fails) {
    uint8_t line[PINGPONG_LINE_MAX + 1];
    memset(line, ' ', sizeof(line));
    memcpy(line, "ping", 4);
    line[PINGPONG_LINE_MAX - 1] = '\n';
    cr_assert_str_eq(answer(bytes_of(line, PINGPONG_LINE_MAX), 0), "pong\n");

    struct pingpong p;
    line[PINGPONG_LINE_MAX - 1] = ' ';
    line[PINGPONG_LINE_MAX] = '\n';
    pingpong_init_acceptor(&p, 0);
    pingpong_recv(&p, BYTES_OF(line), 0);
    expect_failed(&p, -ERR_LIMIT);
}

Test(pingpong, the_end_before_a_newline_fails) {
    struct pingpong p;
    pingpong_init_acceptor(&p, 0);
    pingpong_recv(&p, BYTES_LIT("ping"), 0);
    pingpong_recv_end(&p, 0);
    expect_failed(&p, -ERR_TRUNCATED);
}

/* An opener that has asked at SEC(1). */
static struct pingpong asked(void) {
    struct pingpong p;
    char out[8];
    pingpong_init_opener(&p, SEC(0));
    cr_assert_eq(pingpong_pull(&p, out, sizeof(out), SEC(1)), 5);
    cr_assert(memcmp(out, "ping\n", 5) == 0);
    return p;
}

Test(pingpong, the_round_trip_ends_with_the_newline) {
    struct pingpong p = asked();
    struct pingpong_event event;
    pingpong_recv(&p, BYTES_LIT("pong\r"), SEC(1) + MSEC(1));
    cr_assert(!pingpong_next_event(&p, &event));
    pingpong_recv(&p, BYTES_LIT("\n"), SEC(1) + MSEC(2));
    cr_assert(pingpong_next_event(&p, &event));
    cr_assert_eq(event.type, PINGPONG_EV_DONE);
    cr_assert_eq(event.rtt, MSEC(2));
    cr_assert_eq(pingpong_deadline(&p), NSEC_NEVER);
    pingpong_recv_end(&p, SEC(2));
    cr_assert(!pingpong_next_event(&p, &event));
}

Test(pingpong, any_other_answer_fails) {
    struct pingpong p = asked();
    pingpong_recv(&p, BYTES_LIT("unknown\n"), SEC(1));
    expect_failed(&p, -ERR_PROTOCOL_VIOLATION);

    p = asked();
    pingpong_recv_end(&p, SEC(1));
    expect_failed(&p, -ERR_TRUNCATED);

    pingpong_init_opener(&p, 0);
    pingpong_recv(&p, BYTES_LIT("pong\n"), 0); /* before the question */
    expect_failed(&p, -ERR_PROTOCOL_VIOLATION);
}

Test(pingpong, output_may_be_pulled_byte_by_byte) {
    struct pingpong p;
    char byte;
    pingpong_init_opener(&p, 0);
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(pingpong_pull(&p, &byte, 1, 0), 1);
        cr_assert_eq(byte, "ping\n"[i]);
    }
    cr_assert_eq(pingpong_pull(&p, &byte, 1, 0), 0);
}

Test(pingpong, silence_times_out_at_the_deadline_and_not_before) {
    for (int is_opener = 0; is_opener < 2; is_opener++) {
        struct pingpong p;
        struct pingpong_event event;
        if (is_opener)
            pingpong_init_opener(&p, SEC(2));
        else
            pingpong_init_acceptor(&p, SEC(2));
        cr_assert_eq(pingpong_deadline(&p), SEC(2) + PINGPONG_TIMEOUT);
        pingpong_tick(&p, SEC(17) - 1);
        cr_assert(!pingpong_next_event(&p, &event));
        pingpong_tick(&p, SEC(17));
        expect_failed(&p, -ETIMEDOUT);
        pingpong_recv(&p, BYTES_LIT("ping\n"), SEC(18));
        pingpong_recv_end(&p, SEC(18));
        cr_assert(!pingpong_next_event(&p, &event));
    }
}

Test(pingpong, the_engine_stays_within_its_stated_size) {
    cr_assert_leq(sizeof(struct pingpong), 150);
}

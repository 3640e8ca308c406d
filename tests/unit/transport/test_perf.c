/* SPDX-License-Identifier: MIT */
/* Goal: exact counts both ways, nothing sent before the peer's end, caps and stalls ended.
 * Spec: libp2p perf. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "transport/proto/perf.h"

static void expect_acceptor_failed(struct perf_acceptor *p, int error) {
    struct perf_event event;
    cr_assert(perf_acceptor_next_event(p, &event));
    cr_assert_eq(event.type, PERF_EV_FAILED);
    cr_assert_eq(event.error, error, "%s instead of %s", err_name(event.error), err_name(error));
    cr_assert_eq(perf_acceptor_deadline(p), NSEC_NEVER);
    cr_assert(!perf_acceptor_next_event(p, &event));
}

static void expect_opener_failed(struct perf_opener *p, int error) {
    struct perf_event event;
    cr_assert(perf_opener_next_event(p, &event));
    cr_assert_eq(event.type, PERF_EV_FAILED);
    cr_assert_eq(event.error, error, "%s instead of %s", err_name(event.error), err_name(error));
    cr_assert_eq(perf_opener_deadline(p), NSEC_NEVER);
    cr_assert(!perf_opener_next_event(p, &event));
}

/* Vector "perf-upload-5-download-3", cut anywhere. */
Test(perf, upload_5_download_3_at_every_split) {
    struct bytes in = BYTES_LIT("\0\0\0\0\0\0\0\3\0\0\0\0\0");
    for (size_t split = 0; split <= in.len; split++) {
        struct perf_acceptor p;
        struct perf_event event;
        perf_acceptor_init(&p, 100, 0);
        perf_acceptor_recv(&p, bytes_of(in.data, split), 0);
        cr_assert_eq(perf_acceptor_fill(&p, 100, 0), 0, "nothing before the peer's end");
        perf_acceptor_recv(&p, bytes_skip(in, split), 0);
        cr_assert_eq(perf_acceptor_fill(&p, 100, 0), 0, "nothing before the peer's end");
        perf_acceptor_recv_end(&p, 0);
        cr_assert_eq(p.bytes_received, 5);
        cr_assert(!perf_acceptor_next_event(&p, &event));
        cr_assert_eq(perf_acceptor_fill(&p, 2, 0), 2);
        cr_assert_eq(perf_acceptor_fill(&p, 2, 0), 1);
        cr_assert_eq(perf_acceptor_fill(&p, 2, 0), 0);
        cr_assert_eq(p.bytes_sent, 3);
        cr_assert(perf_acceptor_next_event(&p, &event));
        cr_assert_eq(event.type, PERF_EV_DONE);
        cr_assert_eq(perf_acceptor_deadline(&p), NSEC_NEVER);
    }
}

/* Vector "perf-upload-0-download-0". */
Test(perf, nothing_wanted_is_done_at_the_peers_end) {
    struct perf_acceptor p;
    struct perf_event event;
    perf_acceptor_init(&p, 100, 0);
    perf_acceptor_recv(&p, BYTES_LIT("\0\0\0\0\0\0\0\0"), 0);
    cr_assert(!perf_acceptor_next_event(&p, &event));
    perf_acceptor_recv_end(&p, 0);
    cr_assert(perf_acceptor_next_event(&p, &event));
    cr_assert_eq(event.type, PERF_EV_DONE);
}

Test(perf, the_end_before_eight_bytes_fails) {
    for (size_t n = 0; n < PERF_HEAD_BYTES; n++) {
        struct perf_acceptor p;
        perf_acceptor_init(&p, 100, 0);
        perf_acceptor_recv(&p, bytes_of("\0\0\0\0\0\0\0", n), 0);
        perf_acceptor_recv_end(&p, 0);
        expect_acceptor_failed(&p, -ERR_TRUNCATED);
    }
}

Test(perf, the_cap_holds_both_ways_to_the_byte) {
    uint8_t filler[101] = {0};
    struct perf_acceptor p;
    perf_acceptor_init(&p, 100, 0);
    perf_acceptor_recv(&p, BYTES_LIT("\0\0\0\0\0\0\0\x64"), 0);
    perf_acceptor_recv(&p, bytes_of(filler, 100), 0);
    cr_assert_eq(p.bytes_received, 100);
    perf_acceptor_recv(&p, bytes_of(filler, 1), 0);
    expect_acceptor_failed(&p, -ERR_LIMIT);

    perf_acceptor_init(&p, 100, 0);
    perf_acceptor_recv(&p, BYTES_LIT("\0\0\0\0\0\0\0\x65"), 0);
    expect_acceptor_failed(&p, -ERR_LIMIT);

    perf_acceptor_init(&p, 100, 0);
    perf_acceptor_recv(&p, BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff"), 0);
    expect_acceptor_failed(&p, -ERR_LIMIT);
    perf_acceptor_recv(&p, BYTES_OF(filler), 0);
    perf_acceptor_recv_end(&p, 0);
    cr_assert_eq(perf_acceptor_fill(&p, 100, 0), 0);
}

Test(perf, the_acceptor_gives_up_on_a_stall_and_not_before) {
    struct perf_acceptor p;
    struct perf_event event;
    perf_acceptor_init(&p, 100, 0);
    perf_acceptor_recv(&p, BYTES_LIT("\0\0\0\0\0\0\0\x64"), SEC(20));
    cr_assert_eq(perf_acceptor_deadline(&p), SEC(20) + PERF_STALL_TIMEOUT);
    perf_acceptor_recv_end(&p, SEC(40));
    cr_assert_eq(perf_acceptor_fill(&p, 1, SEC(60)), 1);
    perf_acceptor_tick(&p, SEC(90) - 1);
    cr_assert(!perf_acceptor_next_event(&p, &event));
    perf_acceptor_tick(&p, SEC(90));
    expect_acceptor_failed(&p, -ETIMEDOUT);
}

/* An opener of 5 up and 3 down that has half-closed at SEC(2). */
static struct perf_opener uploaded(void) {
    struct perf_opener p;
    struct perf_event event;
    uint8_t head[PERF_HEAD_BYTES];
    perf_opener_init(&p, 5, 3, SEC(0));
    perf_opener_head(&p, head, SEC(1));
    cr_assert(memcmp(head, "\0\0\0\0\0\0\0\3", sizeof(head)) == 0);
    cr_assert_eq(perf_opener_fill(&p, 4, SEC(1)), 4);
    cr_assert(!perf_opener_next_event(&p, &event));
    cr_assert_eq(perf_opener_fill(&p, 4, SEC(2)), 1);
    cr_assert(perf_opener_next_event(&p, &event));
    cr_assert_eq(event.type, PERF_EV_HALF_CLOSE);
    cr_assert_eq(perf_opener_fill(&p, 4, SEC(2)), 0);
    return p;
}

Test(perf, upload_and_download_are_timed_apart) {
    struct perf_opener p = uploaded();
    struct perf_event event;
    perf_opener_recv(&p, BYTES_LIT("\0\0"), SEC(3));
    perf_opener_recv(&p, BYTES_LIT("\0"), SEC(4));
    cr_assert(!perf_opener_next_event(&p, &event));
    perf_opener_recv_end(&p, SEC(5));
    cr_assert(perf_opener_next_event(&p, &event));
    cr_assert_eq(event.type, PERF_EV_DONE);
    cr_assert_eq(event.upload_time, SEC(1));
    cr_assert_eq(event.download_time, SEC(3));
    cr_assert_eq(p.bytes_uploaded, 5);
    cr_assert_eq(p.bytes_downloaded, 3);
}

Test(perf, without_an_upload_the_half_close_follows_the_head) {
    struct perf_opener p;
    struct perf_event event;
    uint8_t head[PERF_HEAD_BYTES];
    perf_opener_init(&p, 0, 0, 0);
    perf_opener_head(&p, head, 0);
    cr_assert(perf_opener_next_event(&p, &event));
    cr_assert_eq(event.type, PERF_EV_HALF_CLOSE);
    perf_opener_recv_end(&p, 0);
    cr_assert(perf_opener_next_event(&p, &event));
    cr_assert_eq(event.type, PERF_EV_DONE);
}

Test(perf, fewer_or_more_bytes_than_asked_for_fail) {
    struct perf_opener p = uploaded();
    perf_opener_recv(&p, BYTES_LIT("\0\0"), SEC(3));
    perf_opener_recv_end(&p, SEC(3));
    expect_opener_failed(&p, -ERR_TRUNCATED);

    p = uploaded();
    perf_opener_recv(&p, BYTES_LIT("\0\0\0\0"), SEC(3));
    expect_opener_failed(&p, -ERR_PROTOCOL_VIOLATION);
    perf_opener_recv(&p, BYTES_LIT("\0"), SEC(3));
    perf_opener_recv_end(&p, SEC(3));
}

Test(perf, bytes_or_the_end_before_the_half_close_fail) {
    struct perf_opener p;
    uint8_t head[PERF_HEAD_BYTES];
    for (int end = 0; end < 2; end++) {
        perf_opener_init(&p, 5, 3, 0);
        perf_opener_head(&p, head, 0);
        if (end)
            perf_opener_recv_end(&p, 0);
        else
            perf_opener_recv(&p, BYTES_LIT("\0"), 0);
        expect_opener_failed(&p, end ? -ERR_TRUNCATED : -ERR_PROTOCOL_VIOLATION);
    }
}

Test(perf, the_opener_gives_up_on_a_stall_and_not_before) {
    struct perf_opener p = uploaded();
    struct perf_event event;
    cr_assert_eq(perf_opener_deadline(&p), SEC(2) + PERF_STALL_TIMEOUT);
    perf_opener_recv(&p, BYTES_LIT("\0"), SEC(31));
    perf_opener_tick(&p, SEC(61) - 1);
    cr_assert(!perf_opener_next_event(&p, &event));
    perf_opener_tick(&p, SEC(61));
    expect_opener_failed(&p, -ETIMEDOUT);
}

Test(perf, the_engines_stay_within_their_stated_size) {
    cr_assert_leq(sizeof(struct perf_acceptor), 150);
    cr_assert_leq(sizeof(struct perf_opener), 150);
}

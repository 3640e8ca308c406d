/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "transport/proto/yamux_window.h"

enum { FIRST = YAMUX_WINDOW_FIRST };

#define RTT MSEC(20)

/* The window is used up, and all but `held` bytes of it are read; so many never were. */
static struct yamux_window used_up(uint32_t size, uint32_t held, uint32_t queue) {
    struct yamux_window w;
    yamux_window_init(&w, 0);
    w.size = w.granted = size;
    cr_assert(yamux_window_take(&w, size));
    yamux_window_give(&w, size - held);
    w.queue = queue;
    w.was = size;
    return w;
}

/* A sender that always has more, whose bytes come a round trip after they were granted and all at
 * once, and a reader that takes so many a millisecond. */
struct path {
    struct yamux_window w;
    uint32_t coming[100]; /* a millisecond each */
    int rtt;              /* milliseconds, as many at most */
    uint32_t reads;
    int now;
};

static struct path path(int rtt, uint32_t reads, uint32_t size) {
    struct path p = {.rtt = rtt, .reads = reads, .coming = {size}};
    yamux_window_init(&p.w, 0);
    p.w.size = p.w.granted = p.w.was = size;
    return p;
}

/* Returns the bytes read. */
static uint64_t run(struct path *p, int millis) {
    uint64_t got = 0;
    for (int end = p->now + millis; p->now < end; p->now++) {
        uint32_t *coming = &p->coming[p->now % p->rtt];
        cr_assert(yamux_window_take(&p->w, *coming));
        *coming = 0;
        uint32_t n = MIN(p->reads, p->w.held);
        yamux_window_give(&p->w, n);
        got += n;
        if (!yamux_window_is_due(&p->w))
            continue;
        *coming = yamux_window_update(&p->w, MSEC(p->now), MSEC(p->rtt), UINT32_MAX);
        cr_assert_geq(*coming, p->w.size / 8, "nothing worth a frame");
    }
    return got;
}

Test(yamux_window, takes_what_was_granted_and_not_a_byte_more) {
    struct yamux_window w;
    yamux_window_init(&w, 0);
    cr_assert_not(yamux_window_take(&w, FIRST + 1));
    cr_assert(yamux_window_take(&w, FIRST));
    cr_assert_not(yamux_window_take(&w, 1));
}

Test(yamux_window, grows_where_next_to_nothing_stood_whatever_is_held_now) {
    struct yamux_window w = used_up(FIRST, FIRST / 2, FIRST / 16);
    cr_assert_eq(yamux_window_update(&w, 4 * RTT - 1, RTT, UINT32_MAX), FIRST + FIRST / 2);
    cr_assert_eq(w.size, 2 * FIRST);
    cr_assert_eq(w.queue, FIRST / 2, "begins anew with what is held");
    w = used_up(FIRST, FIRST / 2, FIRST / 16);
    cr_assert_eq(yamux_window_update(&w, 4 * RTT, RTT, UINT32_MAX), FIRST / 2);
    cr_assert_eq(w.size, FIRST);
}

Test(yamux_window, stays_where_a_small_queue_stood) {
    struct yamux_window w = used_up(2 * FIRST, FIRST, FIRST / 8 + 1);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, UINT32_MAX), FIRST);
    cr_assert_eq(w.size, 2 * FIRST);
    w = used_up(2 * FIRST, FIRST, FIRST / 4);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, UINT32_MAX), FIRST);
    cr_assert_eq(w.size, 2 * FIRST);
}

Test(yamux_window, goes_back_by_the_queue_beyond_an_eighth_and_not_below_the_first) {
    struct yamux_window w = used_up(4 * FIRST, 2 * FIRST, FIRST);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, UINT32_MAX), 2 * FIRST - FIRST / 2);
    cr_assert_eq(w.size, 4 * FIRST - FIRST / 2);
    cr_assert_eq(w.granted + w.held, w.size, "what was granted stays");

    w = used_up(FIRST + 1000, FIRST / 2, FIRST / 2);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, UINT32_MAX), FIRST / 2);
    cr_assert_eq(w.size, FIRST);
    cr_assert_eq(w.granted + w.held, FIRST);
}

Test(yamux_window, queue_is_the_least_that_was_held_since_the_last_update) {
    struct yamux_window w = used_up(FIRST, FIRST / 2, 0);
    (void)yamux_window_update(&w, 0, 0, 0);
    yamux_window_give(&w, 1000);
    cr_assert(yamux_window_take(&w, 5000));
    yamux_window_give(&w, 500);
    cr_assert_eq(w.queue, FIRST / 2 - 1000);
}

/* Goal: one queue is not taken off twice, which would leave the reader with nothing. */
Test(yamux_window, goes_back_once_for_what_stood_before_it_did) {
    struct yamux_window w = used_up(8 * FIRST, 4 * FIRST, 2 * FIRST);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, UINT32_MAX), 3 * FIRST);
    cr_assert_eq(w.size, 7 * FIRST);
    cr_assert(yamux_window_take(&w, 3 * FIRST));
    yamux_window_give(&w, 4 * FIRST);
    w.queue = FIRST + FIRST / 2;
    (void)yamux_window_update(&w, 2 * RTT, RTT, UINT32_MAX);
    cr_assert_eq(w.size, 7 * FIRST);
}

/* Goal: no growth on the evidence of a queue that the last one has not come to yet. */
Test(yamux_window, grows_again_at_once_only_where_little_is_held) {
    struct yamux_window w = used_up(FIRST, FIRST / 2, 0);
    (void)yamux_window_update(&w, RTT, RTT, UINT32_MAX);
    cr_assert(yamux_window_take(&w, w.granted));
    struct yamux_window left = w;
    left.queue = 0;
    yamux_window_give(&left, FIRST);
    (void)yamux_window_update(&left, 2 * RTT, RTT, UINT32_MAX);
    cr_assert_eq(left.size, 2 * FIRST);
    yamux_window_give(&w, 2 * FIRST - FIRST / 4);
    w.queue = 0;
    (void)yamux_window_update(&w, 2 * RTT, RTT, UINT32_MAX);
    cr_assert_eq(w.size, 4 * FIRST);
}

/* Goal: a long path is filled although it comes in bursts that the reader takes its time for. */
Test(yamux_window, of_100_ms_and_100_mbit_of_a_reader_is_filled_by_bursts) {
    struct path p = path(100, 12500, FIRST);
    (void)run(&p, 1000);
    double mbits = (double)run(&p, 2000) * 8 / 2e6;
    cr_assert_gt(mbits, 95, "%.1f Mbit/s", mbits);
    /* And no more than that takes, which is twice what is on its way. */
    cr_assert_lt(p.w.size, 3 * 1250000);
}

Test(yamux_window, that_was_idle_is_not_lost_by_a_burst) {
    struct path p = path(100, 12500, 16 * FIRST);
    p.now = 10000;
    (void)run(&p, 200); /* to where half is read */
    cr_assert_geq(p.w.size, 16 * FIRST);
}

/* Goal: what stands before a reader that is slower than its peer goes again, and it still has
 * something to read at any time. */
Test(yamux_window, of_a_reader_that_is_behind_goes_back) {
    struct path p = path(10, 6250, 16 * FIRST);
    cr_assert_eq(run(&p, 3000), 3000 * 6250);
    cr_assert_eq(p.w.size, FIRST);
    cr_assert_eq(run(&p, 1000), 1000 * 6250);
    cr_assert_eq(p.w.size, FIRST);
}

/* Goal: the sum of all streams' growth is bounded by who calls. */
Test(yamux_window, grows_no_further_than_it_may) {
    struct yamux_window w = used_up(FIRST, 0, 0);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, 5), FIRST + 5);
    w = used_up(YAMUX_WINDOW_MAX - 7, 0, 0);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, UINT32_MAX), YAMUX_WINDOW_MAX);
    w = used_up(FIRST, 0, 0);
    cr_assert_eq(yamux_window_update(&w, RTT, 0, UINT32_MAX), FIRST, "no round trip is known");
}

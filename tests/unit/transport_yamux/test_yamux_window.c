/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "transport/proto/yamux_window.h"

enum { FIRST = YAMUX_WINDOW_FIRST };

#define RTT MSEC(20)

/* The window is used up, and all but `held` bytes of it are read. */
static struct yamux_window used_up(uint32_t size, uint32_t held) {
    struct yamux_window w;
    yamux_window_init(&w, 0);
    w.size = w.granted = size;
    cr_assert(yamux_window_take(&w, size));
    yamux_window_give(&w, size - held);
    return w;
}

Test(yamux_window, takes_what_was_granted_and_not_a_byte_more) {
    struct yamux_window w;
    yamux_window_init(&w, 0);
    cr_assert_not(yamux_window_take(&w, FIRST + 1));
    cr_assert(yamux_window_take(&w, FIRST));
    cr_assert_not(yamux_window_take(&w, 1));
}

Test(yamux_window, grows_for_a_reader_that_has_left_an_eighth_at_most) {
    struct yamux_window w = used_up(FIRST, FIRST / 8);
    cr_assert_eq(yamux_window_update(&w, 4 * RTT - 1, RTT, UINT32_MAX), 2 * FIRST - FIRST / 8);
    cr_assert_eq(w.size, 2 * FIRST);
    w = used_up(FIRST, FIRST / 8 + 1);
    cr_assert_eq(yamux_window_update(&w, 4 * RTT - 1, RTT, UINT32_MAX), FIRST - FIRST / 8 - 1);
    cr_assert_eq(w.size, FIRST);
}

Test(yamux_window, grows_whatever_is_left_when_half_of_it_was_read_at_once) {
    struct yamux_window w = used_up(FIRST, FIRST / 2);
    (void)yamux_window_update(&w, MSEC(10), RTT, UINT32_MAX);
    cr_assert_eq(w.size, 2 * FIRST);
    w = used_up(FIRST, FIRST / 2);
    (void)yamux_window_update(&w, MSEC(10) + 1, RTT, UINT32_MAX);
    cr_assert_eq(w.size, FIRST);
}

/* Goal: a queue that has built up goes again, and what was granted stays so. */
Test(yamux_window, of_a_reader_that_is_behind_goes_back_to_the_first_size_and_no_further) {
    struct yamux_window w = used_up(4 * FIRST, 2 * FIRST);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, UINT32_MAX), 0);
    cr_assert_eq(w.size, 2 * FIRST);
    yamux_window_give(&w, FIRST);
    cr_assert(yamux_window_is_due(&w));
    cr_assert_eq(yamux_window_update(&w, 2 * RTT, RTT, UINT32_MAX), 0);
    cr_assert_eq(w.size, FIRST);
    yamux_window_give(&w, FIRST / 2);
    cr_assert_eq(yamux_window_update(&w, 3 * RTT, RTT, UINT32_MAX), FIRST / 2);
    cr_assert_eq(w.size, FIRST);

    w = used_up(FIRST + 1000, FIRST / 2);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, UINT32_MAX), FIRST / 2);
    cr_assert_eq(w.size, FIRST);
    cr_assert_eq(w.granted + w.held, FIRST);
}

/* Goal: the sum of all streams' growth is bounded by who calls. */
Test(yamux_window, grows_no_further_than_it_may) {
    struct yamux_window w = used_up(FIRST, 0);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, 5), FIRST + 5);
    w = used_up(YAMUX_WINDOW_MAX - 7, 0);
    cr_assert_eq(yamux_window_update(&w, RTT, RTT, UINT32_MAX), YAMUX_WINDOW_MAX);
    w = used_up(FIRST, 0);
    cr_assert_eq(yamux_window_update(&w, RTT, 0, UINT32_MAX), FIRST, "no round trip is known");
}

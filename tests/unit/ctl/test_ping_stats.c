/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "ctl/ping_stats.h"

Test(ping_stats, nothing_sent_is_no_loss_and_no_time) {
    struct ping_stats s = {0};
    cr_assert_eq(ping_stats_loss(&s), 0);
    cr_assert_eq(ping_stats_avg_ms(&s), 0);
}

Test(ping_stats, lost_answers_count_and_have_no_time) {
    struct ping_stats s = {0};
    ping_stats_add(&s, &(struct ping_reply){.seq = 1, .rtt = USEC(1500)});
    ping_stats_add(&s, &(struct ping_reply){.seq = 2, .error = -ETIMEDOUT});
    ping_stats_add(&s, &(struct ping_reply){.seq = 3, .rtt = USEC(500)});
    ping_stats_add(&s, &(struct ping_reply){.seq = 4, .error = -ETIMEDOUT});
    cr_assert_eq(s.sent, 4);
    cr_assert_eq(s.received, 2);
    cr_assert_eq(ping_stats_loss(&s), 50);
    cr_assert_eq(ping_ms(s.min), 0.5);
    cr_assert_eq(ping_ms(s.max), 1.5);
    cr_assert_eq(ping_stats_avg_ms(&s), 1.0);
}

/* peerup-protocols, section 5: cut to whole microseconds, not rounded. */
Test(ping_stats, times_are_cut_to_whole_microseconds) {
    cr_assert_eq(ping_ms(2168999), 2.168);
    cr_assert_eq(ping_ms(999), 0);
}

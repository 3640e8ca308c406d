/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "transport/link_limit.h"

static int end_of(const struct link_limit *l, uint64_t unsent, nsec_t now) {
    return link_limit_error(l, unsent, now, -ECONNRESET);
}

Test(link_limit, without_a_limit_an_end_is_what_it_is) {
    struct link_limit l = {.in_bytes = UINT64_MAX, .out_bytes = UINT64_MAX};
    cr_assert_eq(end_of(&l, 0, SEC(1000000)), -ECONNRESET);
}

Test(link_limit, the_data_of_either_direction_counts) {
    struct link_limit l = {.limit.data_bytes = 1000, .in_bytes = 999, .out_bytes = 999};
    cr_assert_eq(end_of(&l, 0, 0), -ECONNRESET);
    l.in_bytes = 1000;
    cr_assert_eq(end_of(&l, 0, 0), -ERR_RELAY_DATA_LIMIT);
    l.in_bytes = 0;
    l.out_bytes = 1000;
    cr_assert_eq(end_of(&l, 0, 0), -ERR_RELAY_DATA_LIMIT);
    cr_assert_eq(end_of(&l, 1, 0), -ECONNRESET, "it has not left");
}

/* What was said on a stream before it became the link. */
Test(link_limit, bytes_older_than_the_count_may_be_unsent) {
    struct link_limit l = {.limit.data_bytes = 1000, .out_bytes = 10};
    cr_assert_eq(end_of(&l, 11, 0), -ECONNRESET);
}

Test(link_limit, a_relays_clock_may_be_up_to_a_second_early) {
    struct link_limit l = {.limit.duration_s = 10, .began_at = SEC(5)};
    cr_assert_eq(end_of(&l, 0, SEC(14) - 1), -ECONNRESET);
    cr_assert_eq(end_of(&l, 0, SEC(14)), -ERR_RELAY_TIME_LIMIT);
    l.limit.duration_s = 1; /* or half of it */
    cr_assert_eq(end_of(&l, 0, SEC(5) + MSEC(500) - 1), -ECONNRESET);
    cr_assert_eq(end_of(&l, 0, SEC(5) + MSEC(500)), -ERR_RELAY_TIME_LIMIT);
}

/* SPDX-License-Identifier: MIT */
/* Goal: as many at once as the bucket holds, and then one each time. */
#include <criterion/criterion.h>

#include "core/base/rate.h"

Test(rate, gives_a_burst_and_then_one_each_time) {
    struct rate r = {0};
    nsec_t now = 5;
    for (int i = 0; i < 3; i++)
        cr_assert(rate_take(&r, SEC(1), 3, now));
    cr_assert_not(rate_take(&r, SEC(1), 3, now));
    cr_assert_not(rate_take(&r, SEC(1), 3, now + SEC(1) - 1));
    cr_assert(rate_take(&r, SEC(1), 3, now + SEC(1)));
    cr_assert_not(rate_take(&r, SEC(1), 3, now + SEC(1)));
    now += SEC(100);
    for (int i = 0; i < 3; i++)
        cr_assert(rate_take(&r, SEC(1), 3, now), "full again, and no fuller");
    cr_assert_not(rate_take(&r, SEC(1), 3, now));
}

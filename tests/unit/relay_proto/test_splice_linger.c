/* SPDX-License-Identifier: MIT */
/* Goal: a path that its peer has ended goes on while bytes arrive, and not for ever.  Spec: ADR 13.
 */
#include <criterion/criterion.h>

#include "relay/proto/splice_linger.h"

#define BEGINNING SEC(100)

Test(splice_linger, a_path_on_which_nothing_moves_is_over_after_ten_seconds_and_not_before) {
    struct splice_linger l;
    splice_linger_begin(&l, 5000, NSEC_NEVER, BEGINNING);
    nsec_t at = splice_linger_deadline(&l);
    cr_assert_eq(at, BEGINNING + SPLICE_LINGER_STILL);
    cr_assert(splice_linger_goes_on(&l, 5000, at - 1));
    cr_assert_eq(splice_linger_deadline(&l), at);
    cr_assert_not(splice_linger_goes_on(&l, 5000, at));
}

Test(splice_linger, a_slow_reader_that_reads_on_has_two_minutes_and_not_more) {
    struct splice_linger l;
    uint64_t moved = 0;
    splice_linger_begin(&l, moved, NSEC_NEVER, BEGINNING);
    nsec_t at = splice_linger_deadline(&l);
    while (at < BEGINNING + SPLICE_LINGER_MAX) {
        cr_assert(splice_linger_goes_on(&l, ++moved, at));
        cr_assert_gt(splice_linger_deadline(&l), at);
        at = splice_linger_deadline(&l);
    }
    cr_assert_eq(at, BEGINNING + SPLICE_LINGER_MAX);
    cr_assert_not(splice_linger_goes_on(&l, ++moved, at));
}

Test(splice_linger, a_reader_that_stops_after_a_while_is_given_up) {
    struct splice_linger l;
    splice_linger_begin(&l, 0, NSEC_NEVER, BEGINNING);
    cr_assert(splice_linger_goes_on(&l, 7, splice_linger_deadline(&l)));
    cr_assert_not(splice_linger_goes_on(&l, 7, splice_linger_deadline(&l)));
}

/* Goal: what moved between two looks counts in the first of them only. */
Test(splice_linger, an_early_look_takes_nothing_from_the_next_one) {
    struct splice_linger l;
    splice_linger_begin(&l, 0, NSEC_NEVER, BEGINNING);
    cr_assert(splice_linger_goes_on(&l, 7, BEGINNING + SEC(1)));
    cr_assert(splice_linger_goes_on(&l, 7, BEGINNING + SPLICE_LINGER_STILL));
}

Test(splice_linger, the_paths_own_bound_holds_if_it_is_earlier) {
    struct splice_linger l;
    splice_linger_begin(&l, 0, BEGINNING + SEC(3), BEGINNING);
    cr_assert_eq(splice_linger_deadline(&l), BEGINNING + SEC(3));
    cr_assert_not(splice_linger_goes_on(&l, 1, BEGINNING + SEC(3)));
}

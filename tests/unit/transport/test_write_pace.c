/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "transport/proto/write_pace.h"

Test(write_pace, a_quick_path_is_given_all_there_is) {
    struct write_pace p = WRITE_PACE_INIT;
    for (int i = 0; i < 10; i++)
        write_pace_note(&p, p.bytes, MSEC(1));
    cr_assert_eq(p.bytes, WRITE_PACE_BYTES_MAX);
}

Test(write_pace, follows_a_slow_path_down_at_once) {
    struct write_pace p = WRITE_PACE_INIT;
    write_pace_note(&p, KIB(256), MSEC(20)); /* 64 KiB in five milliseconds */
    cr_assert_eq(p.bytes, KIB(64));
    write_pace_note(&p, KIB(64), MSEC(5));
    cr_assert_eq(p.bytes, KIB(64));
    write_pace_note(&p, KIB(64), SEC(3));
    cr_assert_eq(p.bytes, WRITE_PACE_BYTES_MIN);
}

Test(write_pace, a_small_write_that_waited_says_how_little_passes) {
    struct write_pace p = WRITE_PACE_INIT;
    write_pace_note(&p, 100, MSEC(6));
    cr_assert_eq(p.bytes, WRITE_PACE_BYTES_MIN);
}

Test(write_pace, grows_by_full_writes_that_were_quick_and_by_no_others) {
    struct write_pace p = {.bytes = KIB(64)};
    write_pace_note(&p, KIB(64) - 1, 0);
    cr_assert_eq(p.bytes, KIB(64));
    write_pace_note(&p, KIB(64), WRITE_PACE_TARGET / 2);
    cr_assert_eq(p.bytes, KIB(64));
    write_pace_note(&p, KIB(64), WRITE_PACE_TARGET / 2 - 1);
    cr_assert_eq(p.bytes, KIB(128));
    for (int i = 0; i < 10; i++)
        write_pace_note(&p, p.bytes, 0);
    cr_assert_eq(p.bytes, WRITE_PACE_BYTES_MAX);
}

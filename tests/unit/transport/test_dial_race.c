/* SPDX-License-Identifier: MIT */
/* Goal: who is started when, of ranked addresses, as dials connect, fail and finish.
 * Spec: libp2p connection-lifecycle.md, "Dial ranking", extra rules. */
#include <criterion/criterion.h>

#include "transport/proto/dial_race.h"

#define START SEC(10)

static const struct dial_ranked QUIC_QUIC_TCP_TCP[] = {
    {.delay = 0},
    {.delay = MSEC(250)},
    {.delay = MSEC(500), .is_tcp = true},
    {.delay = MSEC(750), .is_tcp = true},
};

/* Starts all that may go, and returns how many those were. */
static int go(struct dial_race *r, bool tcp_allowed, nsec_t now) {
    int started = 0;
    int place;
    while ((place = dial_race_next(r, tcp_allowed, now)) >= 0) {
        dial_race_started(r, place);
        started++;
    }
    return started;
}

Test(dial_race, each_goes_at_its_delay_and_not_before) {
    struct dial_race r;
    dial_race_init(&r, QUIC_QUIC_TCP_TCP, 4, START);
    cr_assert_eq(go(&r, true, START), 1);
    for (uint32_t i = 1; i < 4; i++) {
        nsec_t due = START + MSEC(250) * i;
        cr_assert_eq(dial_race_deadline(&r, true), due);
        cr_assert_eq(go(&r, true, due - 1), 0);
        cr_assert_eq(go(&r, true, due), 1);
    }
    cr_assert_eq(dial_race_deadline(&r, true), NSEC_NEVER);
    for (int i = 0; i < 4; i++) {
        cr_assert_not(dial_race_is_over(&r));
        dial_race_failed(&r, i);
    }
    cr_assert(dial_race_is_over(&r));
}

Test(dial_race, with_nothing_in_flight_the_next_and_its_equals_go_at_once) {
    static const struct dial_ranked ranked[] = {
        {.delay = 0}, {.delay = MSEC(250)}, {.delay = MSEC(250)}, {.delay = MSEC(500)}};
    struct dial_race r;
    dial_race_init(&r, ranked, 4, START);
    cr_assert_eq(go(&r, true, START), 1);
    dial_race_failed(&r, 0);
    cr_assert_eq(go(&r, true, START + 1), 2);
    dial_race_failed(&r, 2);
    cr_assert_eq(go(&r, true, START + 2), 0, "one is in flight");
    cr_assert_eq(dial_race_deadline(&r, true), START + MSEC(500), "the others keep their delays");
}

Test(dial_race, a_connected_public_TCP_socket_holds_the_rest_for_its_upgrade) {
    struct dial_race r;
    dial_race_init(&r, QUIC_QUIC_TCP_TCP, 4, START);
    cr_assert_eq(go(&r, true, START), 1);
    cr_assert_eq(go(&r, true, START + MSEC(500)), 2);
    dial_race_connected(&r, 2, START + MSEC(700));
    cr_assert_eq(dial_race_deadline(&r, true), START + MSEC(950));
    cr_assert_eq(go(&r, true, START + MSEC(949)), 0);
    cr_assert_eq(go(&r, true, START + MSEC(950)), 1);
}

Test(dial_race, a_private_TCP_socket_and_QUIC_hold_nobody) {
    static const struct dial_ranked ranked[] = {
        {.delay = 0, .is_private = true},
        {.delay = MSEC(30), .is_tcp = true, .is_private = true},
        {.delay = MSEC(60), .is_tcp = true, .is_private = true}};
    struct dial_race r;
    dial_race_init(&r, ranked, 3, START);
    cr_assert_eq(go(&r, true, START + MSEC(30)), 2);
    dial_race_connected(&r, 0, START + MSEC(31));
    dial_race_connected(&r, 1, START + MSEC(31));
    cr_assert_eq(dial_race_deadline(&r, true), START + MSEC(60));
}

Test(dial_race, an_upgrade_that_fails_with_nothing_else_in_flight_holds_nobody) {
    static const struct dial_ranked ranked[] = {{.delay = 0, .is_tcp = true},
                                                {.delay = MSEC(250), .is_tcp = true}};
    struct dial_race r;
    dial_race_init(&r, ranked, 2, START);
    cr_assert_eq(go(&r, true, START), 1);
    dial_race_connected(&r, 0, START + MSEC(10));
    dial_race_failed(&r, 0);
    cr_assert_eq(go(&r, true, START + MSEC(11)), 1);
}

Test(dial_race, at_most_eight_are_in_flight) {
    struct dial_ranked ranked[20] = {{.delay = 0}};
    struct dial_race r;
    dial_race_init(&r, ranked, 20, START);
    cr_assert_eq(go(&r, true, START), DIAL_RACE_PARALLEL_MAX);
    cr_assert_eq(dial_race_deadline(&r, true), NSEC_NEVER);
    dial_race_failed(&r, 3);
    dial_race_failed(&r, 4);
    cr_assert_eq(go(&r, true, START), 2);
}

Test(dial_race, without_room_for_TCP_the_others_go_and_TCP_waits_and_does_not_fail) {
    static const struct dial_ranked ranked[] = {
        {.delay = 0, .is_tcp = true}, {.delay = 0, .is_tcp = true}, {.delay = MSEC(250)}};
    struct dial_race r;
    dial_race_init(&r, ranked, 3, START);
    cr_assert_eq(dial_race_next(&r, false, START), 2, "nothing else is in flight");
    dial_race_started(&r, 2);
    cr_assert_eq(dial_race_deadline(&r, false), NSEC_NEVER);
    dial_race_failed(&r, 2);
    cr_assert_eq(dial_race_next(&r, false, START), -1);
    cr_assert_not(dial_race_is_over(&r));
    cr_assert_eq(go(&r, true, START), 2);
}

Test(dial_race, what_could_not_be_started_is_passed_over) {
    struct dial_race r;
    dial_race_init(&r, QUIC_QUIC_TCP_TCP, 4, START);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(dial_race_next(&r, true, START), i);
        dial_race_failed(&r, i);
    }
    cr_assert(dial_race_is_over(&r));
    cr_assert_eq(dial_race_next(&r, true, START), -1);
}

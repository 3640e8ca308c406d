/* SPDX-License-Identifier: MIT */
/* Goal: one verdict for the node, which a single failure does not overturn.
 * Spec: libp2p AutoNAT v1, "Client (go)". */
#include <criterion/criterion.h>

#include "relay/proto/autonat_v1.h"

Test(autonat_v1, the_first_answer_counts_and_an_ok_at_any_time) {
    struct autonat_v1 v;
    autonat_v1_init(&v, SEC(1));
    cr_assert_eq(v.reach, AUTONAT_V1_UNKNOWN);
    cr_assert(autonat_v1_answered(&v, AUTONAT_V1_E_DIAL_ERROR, SEC(16)));
    cr_assert_eq(v.reach, AUTONAT_V1_PRIVATE);
    cr_assert_not(autonat_v1_is_confirmed(&v));
    cr_assert(autonat_v1_answered(&v, AUTONAT_V1_E_DIAL_ERROR, SEC(17)), "it is confirmed");
    cr_assert(autonat_v1_is_confirmed(&v));
    for (int i = 0; i < 5; i++)
        cr_assert_not(autonat_v1_answered(&v, AUTONAT_V1_E_DIAL_ERROR, SEC(17)));
    cr_assert(autonat_v1_answered(&v, AUTONAT_V1_OK, SEC(18)));
    cr_assert_eq(v.reach, AUTONAT_V1_PUBLIC);
    cr_assert_not(autonat_v1_answered(&v, AUTONAT_V1_OK, SEC(19)), "of an OK one is enough");
}

Test(autonat_v1, failures_must_outnumber_the_oks_and_three_of_those_count) {
    struct autonat_v1 v;
    autonat_v1_init(&v, 0);
    for (int i = 0; i < 10; i++)
        (void)autonat_v1_answered(&v, AUTONAT_V1_OK, 0);
    for (int i = 0; i < 3; i++)
        cr_assert_not(autonat_v1_answered(&v, AUTONAT_V1_E_DIAL_ERROR, 0), "failure %d", i);
    cr_assert(autonat_v1_answered(&v, AUTONAT_V1_E_DIAL_ERROR, 0));
    cr_assert_eq(v.reach, AUTONAT_V1_PRIVATE);
    cr_assert_not(autonat_v1_is_confirmed(&v));
}

Test(autonat_v1, other_answers_and_silence_say_nothing) {
    static const uint64_t others[] = {AUTONAT_V1_E_DIAL_REFUSED, AUTONAT_V1_E_BAD_REQUEST,
                                      AUTONAT_V1_E_INTERNAL_ERROR, 77, UINT64_MAX};
    struct autonat_v1 v;
    autonat_v1_init(&v, 0);
    (void)autonat_v1_answered(&v, AUTONAT_V1_OK, 0);
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        cr_assert_not(autonat_v1_answered(&v, others[i], SEC(1)));
        cr_assert_eq(autonat_v1_deadline(&v), SEC(91));
    }
    autonat_v1_unanswered(&v, SEC(2));
    cr_assert_eq(autonat_v1_deadline(&v), SEC(92));
    cr_assert_eq(v.reach, AUTONAT_V1_PUBLIC);
    cr_assert_eq(v.confidence, 0);
}

Test(autonat_v1, a_sure_verdict_is_refreshed_every_quarter_of_an_hour) {
    struct autonat_v1 v;
    autonat_v1_init(&v, SEC(1));
    cr_assert_eq(autonat_v1_deadline(&v), SEC(16));
    for (int i = 0; i < 3; i++) {
        (void)autonat_v1_answered(&v, AUTONAT_V1_OK, SEC(20));
        cr_assert_eq(autonat_v1_deadline(&v), SEC(110));
    }
    (void)autonat_v1_answered(&v, AUTONAT_V1_OK, SEC(20));
    cr_assert_eq(autonat_v1_deadline(&v), SEC(920));
    autonat_v1_addrs_changed(&v, SEC(30));
    cr_assert_eq(autonat_v1_deadline(&v), SEC(45));
    autonat_v1_addrs_changed(&v, SEC(40));
    cr_assert_eq(autonat_v1_deadline(&v), SEC(45), "not later for another change");
}

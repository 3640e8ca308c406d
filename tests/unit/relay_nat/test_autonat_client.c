/* SPDX-License-Identifier: MIT */
/* Goal: every address gets a verdict by several answers, and no server is bothered.
 * Spec: libp2p AutoNAT v2, "Client step". */
#include "core/base/err.h"
#include "relay/proto/autonat_client.h"
#include "tests/unit/relay_nat/addrs.h"

static struct peer_id server(uint8_t n) {
    struct peer_id id = {.len = 34, .bytes = {0x12, 0x20, n}};
    return id;
}

/* Addresses 5.6.7.1 and on. */
static struct multiaddr addr(uint8_t n) {
    struct multiaddr a = maddr("/ip4/5.6.7.0/udp/4001/quic-v1");
    a.bytes[4] = n;
    return a;
}

static void init(struct autonat_client *c, uint8_t addrs_count, uint8_t servers_count) {
    struct multiaddr addrs[AUTONAT_TRACKED_MAX];
    for (uint8_t i = 0; i < addrs_count; i++)
        addrs[i] = addr((uint8_t)(i + 1));
    autonat_client_init(c);
    autonat_client_set_addrs(c, addrs, addrs_count, SEC(1));
    for (uint8_t i = 0; i < servers_count; i++) {
        struct peer_id id = server((uint8_t)(i + 1));
        autonat_client_server_added(c, &id, SEC(1));
    }
}

static struct autonat_plan next(struct autonat_client *c, nsec_t now) {
    struct autonat_plan plan;
    cr_assert(autonat_client_next(c, &plan, now), "nothing is due");
    return plan;
}

static void expect_nothing(struct autonat_client *c, nsec_t now) {
    struct autonat_plan plan;
    cr_assert_not(autonat_client_next(c, &plan, now));
}

static bool done(struct autonat_client *c, const struct autonat_plan *plan,
                 enum autonat_verdict verdict, nsec_t now) {
    struct autonat_result result = {.verdict = verdict};
    return autonat_client_done(c, plan, &result, now);
}

static enum autonat_reach reach_of(const struct autonat_client *c, uint8_t n) {
    struct multiaddr a = addr(n);
    return autonat_client_reach(c, &a);
}

/* Runs the next probe at its time; returns that. */
static nsec_t probe(struct autonat_client *c, enum autonat_verdict verdict, bool changes) {
    nsec_t now = autonat_client_deadline(c);
    expect_nothing(c, now - 1);
    struct autonat_plan plan = next(c, now);
    cr_assert_eq(done(c, &plan, verdict, now), changes);
    return now;
}

Test(autonat_client, two_answers_make_a_verdict_and_nothing_is_asked_without_servers) {
    struct autonat_client c;
    init(&c, 1, 0);
    expect_nothing(&c, SEC(1));
    cr_assert_eq(autonat_client_deadline(&c), NSEC_NEVER);
    struct peer_id one = server(1);
    autonat_client_server_added(&c, &one, SEC(2));
    cr_assert_eq(probe(&c, AUTONAT_REACHABLE, false), SEC(2));
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_UNKNOWN);
    cr_assert_eq(probe(&c, AUTONAT_REACHABLE, true), SEC(12));
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_PUBLIC);
    cr_assert_eq(reach_of(&c, 9), AUTONAT_REACH_UNKNOWN, "not tracked");
}

Test(autonat_client, a_verdict_falls_by_way_of_unknown) {
    struct autonat_client c;
    init(&c, 1, 1);
    (void)probe(&c, AUTONAT_REACHABLE, false);
    (void)probe(&c, AUTONAT_REACHABLE, true);
    (void)probe(&c, AUTONAT_UNREACHABLE, false);
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_PUBLIC, "one failure");
    (void)probe(&c, AUTONAT_UNREACHABLE, true);
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_UNKNOWN);
    (void)probe(&c, AUTONAT_UNREACHABLE, false);
    (void)probe(&c, AUTONAT_UNREACHABLE, true);
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_PRIVATE);
    (void)probe(&c, AUTONAT_REACHABLE, false);
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_PRIVATE);
    (void)probe(&c, AUTONAT_REACHABLE, true);
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_UNKNOWN);
}

Test(autonat_client, sure_addresses_are_asked_about_less_and_less) {
    struct autonat_client c;
    init(&c, 1, 1);
    nsec_t at = probe(&c, AUTONAT_REACHABLE, false);
    cr_assert_eq(autonat_client_deadline(&c), at + SEC(10));
    at = probe(&c, AUTONAT_REACHABLE, true);
    cr_assert_eq(autonat_client_deadline(&c), at + SEC(10));
    at = probe(&c, AUTONAT_REACHABLE, false);
    cr_assert_eq(autonat_client_deadline(&c), at + SEC(300));
    (void)probe(&c, AUTONAT_REACHABLE, false);
    at = probe(&c, AUTONAT_REACHABLE, false);
    cr_assert_eq(autonat_client_deadline(&c), at + SEC(300));
    at = probe(&c, AUTONAT_REACHABLE, false);
    cr_assert_eq(autonat_client_deadline(&c), at + SEC(3600));
    at = probe(&c, AUTONAT_UNREACHABLE, false);
    cr_assert_eq(autonat_client_deadline(&c), at + SEC(10), "what changes is asked again soon");
}

Test(autonat_client, servers_take_turns_and_each_rests_six_seconds) {
    struct autonat_client c;
    init(&c, 3, 2);
    struct autonat_plan plan = next(&c, SEC(1));
    cr_assert_eq(plan.addrs_count, 3);
    cr_assert_eq(plan.server.bytes[2], 1);
    (void)done(&c, &plan, AUTONAT_REACHABLE, SEC(2)); /* the first address */
    plan = next(&c, SEC(2));
    cr_assert_eq(plan.server.bytes[2], 2);
    cr_assert_eq(plan.addrs_count, 2, "those that were not dialled");
    struct multiaddr second = addr(2);
    cr_assert(multiaddr_equal(&plan.addrs[0], &second));
    (void)done(&c, &plan, AUTONAT_REACHABLE, SEC(3));
    expect_nothing(&c, SEC(8) - 1);
    cr_assert_eq(autonat_client_deadline(&c), SEC(8));
    plan = next(&c, SEC(8));
    cr_assert_eq(plan.server.bytes[2], 1);
    cr_assert_eq(plan.addrs_count, 1);
}

Test(autonat_client, a_server_that_rejects_fails_or_proves_nothing_rests_two_minutes) {
    static const enum autonat_verdict verdicts[] = {AUTONAT_REJECTED, AUTONAT_FAILED,
                                                    AUTONAT_NO_VERDICT};
    for (size_t i = 0; i < ARRAY_COUNT(verdicts); i++) {
        struct autonat_client c;
        init(&c, 1, 1);
        nsec_t at = probe(&c, verdicts[i], false);
        cr_assert_eq(autonat_client_deadline(&c), at + SEC(120));
        cr_assert_eq(c.tracked[0].confidence, 0);
    }
}

Test(autonat_client, a_server_is_not_asked_about_what_it_refused_but_about_others) {
    struct autonat_client c;
    init(&c, 2, 1);
    struct autonat_plan plan = next(&c, SEC(1));
    cr_assert_not(done(&c, &plan, AUTONAT_REFUSED, SEC(1)));
    cr_assert_eq(autonat_client_deadline(&c), SEC(301));
    struct multiaddr addrs[] = {addr(1), addr(2), addr(3)};
    autonat_client_set_addrs(&c, addrs, 3, SEC(2));
    cr_assert_eq(autonat_client_deadline(&c), SEC(7), "a new one");
    plan = next(&c, SEC(7));
    cr_assert_eq(plan.addrs_count, 1);
    (void)done(&c, &plan, AUTONAT_REFUSED, SEC(7));
    expect_nothing(&c, SEC(301) - 1);
    cr_assert_eq(autonat_client_deadline(&c), SEC(301), "the second puts off nothing");
    plan = next(&c, SEC(301));
    cr_assert_eq(plan.addrs_count, 3);
    (void)done(&c, &plan, AUTONAT_REFUSED, SEC(302));
    cr_assert_eq(autonat_client_deadline(&c), SEC(602), "and it may be refused again");
}

Test(autonat_client, what_one_server_refuses_others_are_asked_about_at_once) {
    struct autonat_client c;
    init(&c, 2, 3);
    for (uint8_t i = 1; i <= 2; i++) {
        struct autonat_plan plan = next(&c, SEC(1));
        cr_assert_eq(plan.server.bytes[2], i);
        cr_assert_eq(plan.addrs_count, 2);
        (void)done(&c, &plan, AUTONAT_REFUSED, SEC(1));
        cr_assert_eq(autonat_client_deadline(&c), SEC(1));
    }
    (void)probe(&c, AUTONAT_REACHABLE, false);
    struct autonat_plan plan = next(&c, SEC(7));
    cr_assert_eq(plan.server.bytes[2], 3, "the only one for the second address");
}

/* The last server takes the place of one that goes, with what it refused and no more. */
Test(autonat_client, refusals_stay_with_their_server) {
    struct autonat_client c;
    struct peer_id one = server(1), two = server(2), four = server(4);
    init(&c, 1, 3);
    for (int i = 0; i < 2; i++) {
        struct autonat_plan plan = next(&c, SEC(1));
        (void)done(&c, &plan, AUTONAT_REFUSED, SEC(1));
    }
    autonat_client_server_gone(&c, &one); /* the third, which refused nothing, moves there */
    struct autonat_plan plan = next(&c, SEC(1));
    cr_assert_eq(plan.server.bytes[2], 3);
    (void)done(&c, &plan, AUTONAT_REFUSED, SEC(1));
    autonat_client_server_gone(&c, &two);
    autonat_client_server_added(&c, &four, SEC(2));
    plan = next(&c, SEC(2));
    cr_assert_eq(plan.server.bytes[2], 4, "a new one has no past");
    (void)done(&c, &plan, AUTONAT_REFUSED, SEC(2));
    cr_assert_eq(autonat_client_deadline(&c), SEC(301));
}

Test(autonat_client, two_probes_run_at_once_and_no_more) {
    struct autonat_client c;
    init(&c, AUTONAT_TRACKED_MAX, 3);
    struct autonat_plan one = next(&c, SEC(1));
    struct autonat_plan two = next(&c, SEC(1));
    cr_assert_eq(one.addrs_count, AUTONAT_ADDRS_MAX);
    cr_assert_eq(two.addrs_count, AUTONAT_ADDRS_MAX);
    cr_assert_not(peer_id_equal(&one.server, &two.server));
    cr_assert_not(multiaddr_equal(&one.addrs[0], &two.addrs[0]));
    expect_nothing(&c, SEC(1));
    cr_assert_eq(autonat_client_deadline(&c), NSEC_NEVER);
    (void)done(&c, &one, AUTONAT_REACHABLE, SEC(1));
    (void)next(&c, SEC(1));
}

Test(autonat_client, what_is_known_of_an_address_that_stays_is_kept) {
    struct autonat_client c;
    init(&c, 2, 1);
    struct autonat_plan plan = next(&c, SEC(1));
    struct multiaddr addrs[] = {addr(5), addr(1), addr(5)};
    autonat_client_set_addrs(&c, addrs, 3, SEC(2));
    cr_assert_eq(c.tracked_count, 2, "each once");
    (void)done(&c, &plan, AUTONAT_REACHABLE, SEC(3));
    cr_assert_eq(c.tracked[1].confidence, 1);
    autonat_client_set_addrs(&c, addrs, 1, SEC(4));
    autonat_client_set_addrs(&c, addrs, 2, SEC(4));
    cr_assert_eq(c.tracked[1].confidence, 0, "gone and come back");
}

Test(autonat_client, only_public_addresses_are_tracked_and_not_too_many) {
    struct autonat_client c;
    struct multiaddr addrs[AUTONAT_TRACKED_MAX + 6];
    size_t count = 0;
    addrs[count++] = maddr("/ip4/192.168.1.2/tcp/4001");
    addrs[count++] = maddr("/ip4/127.0.0.1/tcp/4001");
    addrs[count++] = maddr("/ip4/1.2.3.4/tcp/1/p2p/"
                           "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB/p2p-circuit");
    while (count < ARRAY_COUNT(addrs)) {
        addrs[count] = addr((uint8_t)count);
        count++;
    }
    autonat_client_init(&c);
    autonat_client_set_addrs(&c, addrs, count, 0);
    cr_assert_eq(c.tracked_count, AUTONAT_TRACKED_MAX);
    for (size_t i = 0; i < c.tracked_count; i++)
        cr_assert(multiaddr_equal(&c.tracked[i].addr, &addrs[i + 3]));
}

Test(autonat_client, servers_come_and_go_even_during_their_probe) {
    struct autonat_client c;
    init(&c, 1, 1);
    struct peer_id one = server(1);
    struct peer_id two = server(2);
    struct autonat_plan plan = next(&c, SEC(1));
    cr_assert_not(autonat_client_server_gone(&c, &one));
    cr_assert_not(autonat_client_server_gone(&c, &one));
    (void)done(&c, &plan, AUTONAT_FAILED, SEC(1));
    expect_nothing(&c, SEC(600));
    autonat_client_server_added(&c, &two, SEC(2));
    autonat_client_server_added(&c, &two, SEC(2));
    cr_assert_eq(c.servers_count, 1);
    plan = next(&c, SEC(2));
    cr_assert(peer_id_equal(&plan.server, &two));
    for (unsigned i = 0; i < 2 * AUTONAT_SERVERS_MAX; i++) {
        struct peer_id id = server((uint8_t)(i + 10));
        autonat_client_server_added(&c, &id, SEC(3));
    }
    cr_assert_eq(c.servers_count, AUTONAT_SERVERS_MAX);
}

/* A peer that says so, and another one of its kind. */
Test(autonat_client, another_address_each_second_is_not_asked_about_for_long) {
    struct autonat_client c;
    init(&c, 0, 4);
    unsigned asked = 0;
    struct multiaddr addrs[2] = {addr(1), addr(2)};
    nsec_t now = SEC(1);
    for (uint32_t i = 0; i < 600; i++, now += SEC(1)) {
        struct autonat_plan plan;
        addrs[1].bytes[3] = (uint8_t)(i >> 8);
        addrs[1].bytes[4] = (uint8_t)i;
        autonat_client_set_addrs(&c, addrs, 2, now);
        while (autonat_client_next(&c, &plan, now)) {
            asked += !multiaddr_equal(&plan.addrs[0], &addrs[0]);
            (void)done(&c, &plan, AUTONAT_REACHABLE, now);
        }
    }
    cr_assert_leq(asked, AUTONAT_TRACKED_MAX);
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_PUBLIC, "others are asked about as ever");
    addrs[1] = addr(77);
    autonat_client_set_addrs(&c, addrs, 2, now);
    cr_assert_leq(c.tracked[1].next_at, now + AUTONAT_ADDR_WAIT_MAX, "a sound one waits a minute");
    now += SEC(1) + AUTONAT_TRACKED_MAX * AUTONAT_ADDR_EVERY + AUTONAT_ADDR_WAIT_MAX;
    addrs[1] = addr(78);
    autonat_client_set_addrs(&c, addrs, 2, now);
    cr_assert_eq(c.tracked[1].next_at, now);
}

/* What nobody can say otherwise any more may be a lie that was left behind. */
Test(autonat_client, a_denial_goes_with_the_last_server_and_a_proof_stays) {
    struct autonat_client c;
    struct peer_id one = server(1);
    init(&c, 1, 1);
    (void)probe(&c, AUTONAT_UNREACHABLE, false);
    nsec_t at = probe(&c, AUTONAT_UNREACHABLE, true);
    struct peer_id two = server(2);
    autonat_client_server_added(&c, &two, at);
    cr_assert_not(autonat_client_server_gone(&c, &one));
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_PRIVATE);
    cr_assert(autonat_client_server_gone(&c, &two));
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_UNKNOWN);
    autonat_client_server_added(&c, &one, at + SEC(1));
    cr_assert_eq(autonat_client_deadline(&c), at + SEC(1), "the next one is asked at once");

    init(&c, 1, 1);
    (void)probe(&c, AUTONAT_REACHABLE, false);
    (void)probe(&c, AUTONAT_REACHABLE, true);
    cr_assert_not(autonat_client_server_gone(&c, &one));
    cr_assert_eq(reach_of(&c, 1), AUTONAT_REACH_PUBLIC);
}

Test(autonat_client, the_engine_stays_within_its_stated_size) {
    cr_assert_leq(sizeof(struct autonat_client), 20 * 1024);
}

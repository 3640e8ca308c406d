/* SPDX-License-Identifier: MIT */
/* Goal: whom the swarm dials, when, and what it says when nothing comes of it; on a clock that the
 * test moves.
 * Spec: libp2p connection-lifecycle.md, "Dial ranking" and its limits; decision 6. */
#include <stdio.h>
#include <string.h>

#include "scripted.h"

#define Q1 "/ip4/1.2.3.4/udp/1/quic-v1"
#define T1 "/ip4/1.2.3.4/tcp/1"
#define Q2 "/ip4/1.2.3.4/udp/2/quic-v1"
#define T2 "/ip4/1.2.3.4/tcp/2"

#define CASE_SWARM(name)                           \
    static void swarm_##name(struct script *s);    \
    Test(swarm, name) {                            \
        static struct script s;                    \
        script_init(&s, &(struct host_config){0}); \
        swarm_##name(&s);                          \
        script_done(&s);                           \
    }                                              \
    static void swarm_##name(struct script *s)

static void knows(struct script *s, const char *a, const char *b) {
    script_knows(s, &s->peer, b == NULL ? 1 : 2, (const char *const[]){a, b});
}

CASE_SWARM(dials_by_rank_and_the_first_success_cancels_the_rest) {
    static struct script_connect c;
    knows(s, T1, Q1);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    cr_assert(script_dial(s, Q1) != NULL && s->dials_count == 1);
    script_wait(s, MSEC(249));
    cr_assert_eq(s->dials_count, 1);
    script_wait(s, MSEC(1));
    cr_assert(script_dial(s, T1) != NULL);
    (void)script_dial_ok(s, T1);
    cr_assert_eq(s->dials_cancelled, 1);
    cr_assert_eq(c.done, 1);
    cr_assert_eq(c.error, 0);
    char text[MULTIADDR_TEXT_MAX];
    cr_assert_str_eq(multiaddr_format(&c.remote, text), T1);
}

CASE_SWARM(a_failure_brings_the_next_at_once) {
    static struct script_connect c;
    knows(s, T1, Q1);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    script_dial_fails(s, Q1, -ECONNREFUSED);
    cr_assert(script_dial(s, T1) != NULL);
}

CASE_SWARM(a_connected_socket_gets_time_for_its_upgrade) {
    static struct script_connect c;
    knows(s, T1, T2);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    script_wait(s, MSEC(200));
    struct dial *d = script_dial(s, T1);
    d->connected(d);
    script_wait(s, MSEC(249));
    cr_assert_eq(s->dials_count, 1);
    script_wait(s, MSEC(1));
    cr_assert_eq(s->dials_count, 2);
}

CASE_SWARM(the_error_lists_what_was_tried_and_has_the_code_that_tells_most) {
    static struct script_connect c;
    knows(s, T1, Q1);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    script_dial_fails(s, Q1, -ERR_PEER_ID_MISMATCH);
    script_dial_fails(s, T1, -ECONNREFUSED);
    cr_assert_eq(c.done, 1);
    cr_assert_eq(c.error, -ERR_PEER_ID_MISMATCH);
    const char *text = c.request.base.problem.text;
    cr_assert(strstr(text, Q1 ": the peer is not") != NULL, "%s", text);
    cr_assert(strstr(text, "; " T1 ": ") != NULL, "%s", text);
}

CASE_SWARM(a_long_list_of_failures_is_cut) {
    static struct script_connect c;
    char texts[HOST_ADDRS_PER_PEER_MAX][64];
    const char *addrs[HOST_ADDRS_PER_PEER_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(addrs); i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "/ip4/1.2.3.4/tcp/%zu", i + 1);
        addrs[i] = texts[i];
    }
    script_knows(s, &s->peer, ARRAY_COUNT(addrs), addrs);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1));
    for (size_t i = 0; i < ARRAY_COUNT(addrs); i++)
        script_dial_fails(s, addrs[i], -ECONNREFUSED);
    cr_assert_eq(c.done, 1);
    const char *text = c.request.base.problem.text;
    cr_assert(strlen(text) > PROBLEM_TEXT_MAX / 2 && strlen(text) < PROBLEM_TEXT_MAX);
    cr_assert_str_eq(text + strlen(text) - 5, "; ...");
}

CASE_SWARM(an_address_has_ten_seconds_or_five_if_it_is_private) {
    static const char *const addrs[] = {Q1, "/ip4/10.0.0.1/udp/1/quic-v1"};
    static struct script_connect c;
    script_knows(s, &s->peer, 2, addrs);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(5) - 1);
    cr_assert_eq(s->dials_count, 2);
    script_wait(s, 1);
    cr_assert(s->dials_count == 1 && script_dial(s, Q1) != NULL);
    script_wait(s, SEC(5) - 1);
    cr_assert_eq(c.done, 0);
    script_wait(s, 1);
    cr_assert_eq(c.done, 1);
    cr_assert_eq(c.error, -ETIMEDOUT);
    cr_assert(strstr(c.request.base.problem.text, Q1 ": no answer") != NULL);
}

CASE_SWARM(a_round_ends_after_a_minute_whatever_is_left) {
    char texts[HOST_ADDRS_PER_PEER_MAX][64];
    const char *addrs[HOST_ADDRS_PER_PEER_MAX];
    static struct script_connect c;
    for (size_t i = 0; i < ARRAY_COUNT(addrs); i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "/ip4/1.2.3.4/tcp/%zu", i + 1);
        addrs[i] = texts[i];
    }
    script_knows(s, &s->peer, ARRAY_COUNT(addrs), addrs);
    s->host->tcp_dials = HOST_TCP_DIALS_MAX - 1; /* one at a time */
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(60) - 1);
    cr_assert_eq(c.done, 0);
    cr_assert_eq(s->dials_begun, 6);
    script_wait(s, 1);
    cr_assert_eq(c.done, 1);
    cr_assert_eq(c.error, -ETIMEDOUT);
    cr_assert_eq(s->dials_count, 0);
    s->host->tcp_dials = 0;
}

CASE_SWARM(TCP_dials_beyond_the_limit_wait_and_do_not_fail) {
    enum { COUNT = HOST_TCP_DIALS_MAX + 20 };
    static struct script_connect c[COUNT];
    struct peer_id peers[COUNT];
    const char *addr = T1;
    for (unsigned i = 0; i < COUNT; i++) {
        peers[i] = script_peer(100 + i);
        script_knows(s, &peers[i], 1, &addr);
        script_connect(s, &c[i], &peers[i]);
    }
    script_turn(s);
    cr_assert_eq(s->dials_count, HOST_TCP_DIALS_MAX);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)script_dial_ok(s, T1);
        cr_assert_eq(s->dials_count, MIN((unsigned)HOST_TCP_DIALS_MAX, COUNT - 1 - i));
    }
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert(c[i].done == 1 && c[i].error == 0);
    cr_assert_eq(s->host->tcp_dials, 0);
}

CASE_SWARM(addresses_that_lead_nowhere_are_not_dialled) {
    static const char *const addrs[] = {"/ip4/0.0.0.0/tcp/1",    "/ip6/fe80::1/tcp/1",
                                        "/ip4/1.2.3.4/tcp/0",    "/ip4/192.0.2.1/tcp/4001",
                                        "/ip4/1.2.3.4/tcp/1/ws", T1};
    static struct script_connect c;
    script_knows(s, &s->peer, ARRAY_COUNT(addrs), addrs);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1));
    cr_assert_eq(s->dials_begun, 1, "WebSocket where TCP is offered, too");
    cr_assert(script_dial(s, T1) != NULL);
    script_dial_fails(s, T1, -ECONNREFUSED);
    cr_assert_eq(c.error, -ECONNREFUSED);

    script_knows(s, &s->peer, 4, addrs);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    cr_assert_eq(c.error, -ERR_NO_ADDRESSES);
    cr_assert(strstr(c.request.base.problem.text, addrs[0]) != NULL);
}

CASE_SWARM(we_do_not_dial_ourselves) {
    static struct script_connect c;
    const char *addr = T1;
    script_knows(s, &s->identity.id, 1, &addr);
    script_connect(s, &c, &s->identity.id);
    script_turn(s);
    cr_assert_eq(c.done, 1);
    cr_assert_eq(c.error, -ERR_NO_ADDRESSES);
    cr_assert_eq(s->dials_begun, 0);
}

/* --- Back-off --- */

static void fail_once(struct script *s, const char *addr) {
    static struct script_connect c;
    knows(s, addr, NULL);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    script_dial_fails(s, addr, -ECONNREFUSED);
    cr_assert_eq(c.error, -ECONNREFUSED);
}

CASE_SWARM(in_the_background_addresses_rest_and_the_error_says_until_when) {
    static struct script_connect c;
    fail_once(s, T1);
    script_wait(s, SEC(2));
    script_connect_with(s, &c, &s->peer, HOST_REQUEST_BACKGROUND);
    script_turn(s);
    cr_assert_eq(c.done, 1);
    cr_assert_eq(c.error, -ERR_DIAL_BACKOFF);
    cr_assert(strstr(c.request.base.problem.text, "in 3 s") != NULL, "%s",
              c.request.base.problem.text);
    script_wait(s, SEC(3));
    script_connect_with(s, &c, &s->peer, HOST_REQUEST_BACKGROUND);
    script_turn(s);
    cr_assert(script_dial(s, T1) != NULL);
}

CASE_SWARM(who_waits_has_resting_addresses_dialled_behind_the_others) {
    static struct script_connect c;
    fail_once(s, Q1);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1));
    cr_assert(script_dial(s, Q1) != NULL, "there is no other");
    script_dial_fails(s, Q1, -ECONNREFUSED);

    knows(s, Q1, T1);
    script_connect(s, &c, &s->peer);
    script_wait(s, DIAL_FALLBACK_DELAY - 1);
    cr_assert(script_dial(s, T1) != NULL && script_dial(s, Q1) == NULL);
    script_wait(s, 1);
    cr_assert(script_dial(s, Q1) != NULL);
    (void)script_dial_ok(s, Q1);
    cr_assert_eq(dial_backoff_until(&s->host->backoff, &s->peer, &c.remote, s->fake->now), 0,
                 "a success forgets");
}

CASE_SWARM(who_comes_to_a_round_of_the_background_gets_one_of_its_own) {
    static struct script_connect background;
    static struct script_connect c;
    fail_once(s, Q1);
    knows(s, Q1, T1);
    script_connect_with(s, &background, &s->peer, HOST_REQUEST_BACKGROUND);
    script_turn(s);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    script_dial_fails(s, T1, -ECONNREFUSED);
    cr_assert_eq(c.done, 0);
    cr_assert(script_dial(s, Q1) != NULL);
    (void)script_dial_ok(s, Q1);
    cr_assert(c.done == 1 && c.error == 0);
    cr_assert(background.done == 1 && background.error == 0);
}

/* --- A peer that does not answer --- */

/* Decision 6: a packet a second, whoever waits and however many addresses there are. */

static const char *const FOUR[] = {Q1, Q2, T1, T2};

static void fail_all(struct script *s, size_t count, const char *const *addrs) {
    for (size_t i = 0; i < count; i++)
        script_dial_fails(s, addrs[i], -ECONNREFUSED);
}

static void fail_round_of_four(struct script *s) {
    static struct script_connect c;
    script_knows(s, &s->peer, ARRAY_COUNT(FOUR), FOUR);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1) - 1);
    cr_assert_eq(s->dials_count, ARRAY_COUNT(FOUR));
    fail_all(s, ARRAY_COUNT(FOUR), FOUR);
    cr_assert_eq(c.error, -ECONNREFUSED);
}

CASE_SWARM(a_peer_that_does_not_answer_is_dialled_at_two_addresses_once_in_two_seconds) {
    static struct script_connect c;
    fail_round_of_four(s);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1));
    cr_assert_eq(s->dials_count, 0, "each packet of the round before has its second");
    script_wait(s, MSEC(250) + 1);
    cr_assert(script_dial(s, Q1) != NULL && script_dial(s, Q2) != NULL);
    cr_assert_eq(s->dials_count, 2);
    fail_all(s, 2, FOUR);
    cr_assert_eq(c.done, 1);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(2));
    cr_assert(script_dial(s, T1) != NULL && script_dial(s, T2) != NULL);
    cr_assert_eq(s->dials_count, 2, "the others");
    (void)script_dial_ok(s, T2);
    cr_assert(c.done == 1 && c.error == 0);
}

CASE_SWARM(where_a_peer_was_reached_is_dialled_each_time) {
    static struct script_connect c;
    script_knows(s, &s->peer, ARRAY_COUNT(FOUR), FOUR);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1));
    script_conn_over(script_dial_ok(s, T2), -ERR_CONN_CLOSED, "");
    fail_round_of_four(s);
    for (int i = 0; i < 3; i++) {
        script_connect(s, &c, &s->peer);
        script_wait(s, SEC(3));
        cr_assert(script_dial(s, T2) != NULL && script_dial(s, FOUR[i]) != NULL, "round %d", i);
        cr_assert_eq(s->dials_count, 2);
        script_dial_fails(s, T2, -ECONNREFUSED);
        script_dial_fails(s, FOUR[i], -ECONNREFUSED);
    }
}

CASE_SWARM(what_is_preferred_of_a_peer_that_does_not_answer_waits_for_no_fallback) {
    static struct script_connect c;
    s->host->prefer = DIAL_TCP;
    knows(s, Q1, T1);
    script_connect(s, &c, &s->peer);
    script_wait(s, DIAL_FALLBACK_DELAY);
    script_dial_fails(s, T1, -ECONNREFUSED);
    script_dial_fails(s, Q1, -ECONNREFUSED);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1));
    cr_assert_eq(s->dials_count, 1);
    cr_assert(script_dial(s, T1) != NULL);
    script_wait(s, SEC(1));
    cr_assert(script_dial(s, Q1) != NULL);
}

CASE_SWARM(detours_to_a_peer_that_does_not_answer_are_all_dialled) {
    static struct script_connect c;
    char detour[2][160];
    const char *addrs[] = {Q1, Q2, detour[0], detour[1], T1, T2};
    for (unsigned i = 0; i < 2; i++) {
        struct peer_id relay = script_peer(10 + i);
        char id[PEER_ID_TEXT_MAX];
        (void)snprintf(detour[i], sizeof(detour[i]), "/ip4/9.9.9.9/tcp/%u/p2p/%s/p2p-circuit",
                       i + 1, peer_id_format(&relay, id));
    }
    script_knows(s, &s->peer, ARRAY_COUNT(addrs), addrs);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1));
    cr_assert_eq(s->dials_count, ARRAY_COUNT(addrs));
    fail_all(s, ARRAY_COUNT(addrs), addrs);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(5));
    cr_assert_eq(s->dials_count, 4);
    for (unsigned i = 0; i < 4; i++)
        cr_assert(script_dial(s, addrs[i]) != NULL, "%s", addrs[i]);
}

CASE_SWARM(other_addresses_or_another_network_have_all_of_them_dialled_at_once) {
    static struct script_connect c;
    static const char *const ours[] = {"10.0.0.7"};
    static const char *const elsewhere[] = {"/ip4/7.7.7.7/tcp/1"};
    struct multiaddr more;
    fail_round_of_four(s);
    cr_assert_eq(multiaddr_parse(elsewhere[0], &more), 0);
    cr_assert_eq(host_add_addr(s->host, &s->peer, &more), 0);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    cr_assert(script_dial(s, elsewhere[0]) != NULL, "the others rest");
    script_dial_fails(s, elsewhere[0], -ECONNREFUSED);
    script_wait(s, SEC(4));
    cr_assert_eq(s->dials_count, ARRAY_COUNT(FOUR));
    fail_all(s, ARRAY_COUNT(FOUR), FOUR);
    cr_assert_eq(c.done, 1);

    script_network(s, ARRAY_COUNT(ours), ours);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1));
    cr_assert_eq(s->dials_count, ARRAY_COUNT(FOUR) + 1);
}

CASE_SWARM(a_peer_that_dials_us_may_be_dialled_at_once) {
    static struct script_connect c;
    fail_round_of_four(s);
    struct script_conn *conn = script_accept(s, &s->peer, "/ip4/1.2.3.4/tcp/7");
    script_conn_over(conn, -ERR_CONN_CLOSED, "");
    script_connect(s, &c, &s->peer);
    script_turn(s);
    cr_assert_eq(s->dials_count, 1);
}

CASE_SWARM(who_waits_does_not_wait_for_a_round_of_the_background_to_end) {
    static struct script_connect background;
    static struct script_connect c;
    fail_once(s, Q1);
    script_wait(s, SEC(1));
    knows(s, Q1, T1);
    script_connect_with(s, &background, &s->peer, HOST_REQUEST_BACKGROUND);
    script_turn(s);
    cr_assert(script_dial(s, T1) != NULL && script_dial(s, Q1) == NULL);
    script_connect(s, &c, &s->peer);
    script_wait(s, DIAL_FALLBACK_DELAY);
    cr_assert(script_dial(s, T1) != NULL && script_dial(s, Q1) != NULL);
    cr_assert_eq(s->dials_cancelled, 1);
    (void)script_dial_ok(s, Q1);
    cr_assert(c.done == 1 && background.done == 1);
}

CASE_SWARM(cancelled_dials_do_not_rest) {
    static struct script_connect c;
    knows(s, Q1, T1);
    script_connect(s, &c, &s->peer);
    script_wait(s, MSEC(250));
    (void)script_dial_ok(s, T1);
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(Q1, &a), 0);
    cr_assert_eq(dial_backoff_until(&s->host->backoff, &s->peer, &a, s->fake->now), 0);
}

/* A peer that accepts, and closes before it has let us in, is not dialled in a circle. */
CASE_SWARM(a_connection_that_is_refused_after_the_handshake_ends_the_request) {
    static struct script_connect c;
    knows(s, Q1, NULL);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    struct dial *d = script_dial(s, Q1);
    struct script_conn *conn = script_dial_ok(s, Q1);
    (void)d;
    conn->conn.confirmed = false;
    script_connect(s, &c, &s->peer);
    script_turn(s);
    cr_assert_eq(c.done, 0, "it waits to be let in");
    script_conn_over(conn, -ERR_GATED, "go away");
    cr_assert_eq(c.error, -ERR_GATED);
    cr_assert_str_eq(c.request.base.problem.text, "go away");
    cr_assert_eq(s->dials_begun, 1);
}

/* --- Black holes --- */

CASE_SWARM(UDP_that_leads_nowhere_is_passed_over_as_long_as_there_is_another_way) {
    static struct script_connect c;
    for (unsigned i = 0; i < BLACK_HOLE_WINDOW; i++)
        black_hole_record(&s->host->udp_hole, false);
    knows(s, Q1, T1);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1));
    cr_assert(script_dial(s, T1) != NULL && s->dials_begun == 1);
    (void)script_dial_ok(s, T1);

    struct peer_id other = script_peer(2);
    const char *only = Q1;
    script_knows(s, &other, 1, &only);
    script_connect(s, &c, &other);
    script_turn(s);
    (void)script_dial_ok(s, Q1);
    cr_assert_not(black_hole_is_blocked(&s->host->udp_hole), "a success lifts the block");
}

CASE_SWARM(IPv6_that_leads_nowhere_is_passed_over_and_private_addresses_never_are) {
    static const char *const addrs[] = {"/ip6/2a00::1/tcp/1", "/ip6/fd00::1/tcp/1", T1};
    static struct script_connect c;
    for (unsigned i = 0; i < BLACK_HOLE_WINDOW; i++)
        black_hole_record(&s->host->ip6_hole, false);
    script_knows(s, &s->peer, 3, addrs);
    script_connect(s, &c, &s->peer);
    script_wait(s, SEC(1));
    cr_assert_eq(s->dials_begun, 2);
    cr_assert(script_dial(s, addrs[0]) == NULL);
}

CASE_SWARM(dials_are_counted_for_black_holes) {
    static struct script_connect c;
    knows(s, Q1, NULL);
    for (unsigned i = 0; i < BLACK_HOLE_WINDOW; i++) {
        script_connect(s, &c, &s->peer);
        script_wait(s, SEC(1));
        script_dial_fails(s, Q1, -ETIMEDOUT);
    }
    cr_assert(black_hole_is_blocked(&s->host->udp_hole));
    cr_assert_not(black_hole_is_blocked(&s->host->ip6_hole));
}

/* What finds out that UDP is blocked here, for peers that listen on both. */
CASE_SWARM(a_dial_that_another_way_overtakes_counts_as_failed) {
    static struct script_connect c;
    knows(s, Q1, T1);
    for (unsigned i = 0; i < BLACK_HOLE_WINDOW; i++) {
        script_connect(s, &c, &s->peer);
        script_wait(s, MSEC(250));
        cr_assert(script_dial(s, Q1) != NULL);
        script_conn_over(script_dial_ok(s, T1), -ERR_CONN_CLOSED, "");
    }
    cr_assert(black_hole_is_blocked(&s->host->udp_hole));
}

CASE_SWARM(a_dial_that_its_like_or_its_elder_overtakes_says_nothing_of_the_way) {
    static const char *const addrs[] = {Q1, "/ip4/10.0.0.1/tcp/1"};
    static struct script_connect c;
    knows(s, Q1, Q2);
    script_connect(s, &c, &s->peer);
    script_wait(s, MSEC(250));
    script_conn_over(script_dial_ok(s, Q2), -ERR_CONN_CLOSED, "");
    cr_assert_eq(s->host->udp_hole.results_count, 1);
    cr_assert_eq(s->host->udp_hole.successes, 1);

    s->host->prefer = DIAL_TCP; /* the later dial had no time yet */
    knows(s, Q1, T1);
    script_connect(s, &c, &s->peer);
    script_wait(s, DIAL_FALLBACK_DELAY);
    cr_assert(script_dial(s, Q1) != NULL);
    script_conn_over(script_dial_ok(s, T1), -ERR_CONN_CLOSED, "");
    cr_assert_eq(s->host->udp_hole.results_count, 1);

    s->host->prefer = DIAL_AUTO; /* a way inside says nothing of the one out */
    script_knows(s, &s->peer, 2, addrs);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    cr_assert(script_dial(s, Q1) != NULL);
    script_conn_over(script_dial_ok(s, addrs[1]), -ERR_CONN_CLOSED, "");
    cr_assert_eq(s->host->udp_hole.results_count, 1);
}

CASE_SWARM(a_private_address_is_no_other_way_than_one_that_leads_nowhere) {
    static const char *const addrs[] = {Q1, "/ip4/10.0.0.1/tcp/1"};
    static struct script_connect c;
    for (unsigned i = 0; i < BLACK_HOLE_WINDOW; i++)
        black_hole_record(&s->host->udp_hole, false);
    script_knows(s, &s->peer, 2, addrs);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    cr_assert(script_dial(s, Q1) != NULL);
}

/* --- Preferences --- */

CASE_SWARM(a_preference_orders_dials_and_the_choice_between_connections) {
    static struct script_connect c;
    static struct script_stream x;
    s->host->prefer = DIAL_TCP;
    knows(s, Q1, T1);
    script_connect(s, &c, &s->peer);
    script_turn(s);
    cr_assert(script_dial(s, T1) != NULL && s->dials_count == 1);
    script_wait(s, DIAL_FALLBACK_DELAY);
    cr_assert(script_dial(s, Q1) != NULL);
    struct script_conn *tcp = script_dial_ok(s, T1);
    struct script_conn *quic = script_accept(s, &s->peer, Q1);
    script_open(s, &x, &s->peer);
    script_turn(s);
    cr_assert_eq(tcp->conn.streams_count + quic->conn.streams_count, 3, "two are identify's");
    cr_assert_eq(tcp->conn.streams_count, 2);
    (void)stream_release(x.stream);
}

CASE_SWARM(who_comes_to_a_round_behind_a_stream_may_use_every_address) {
    static struct script_stream x;
    static struct script_connect c;
    s->host->prefer = DIAL_TCP;
    knows(s, Q1, T1);
    struct script_conn *quic = script_accept(s, &s->peer, Q1);
    script_open(s, &x, &s->peer);
    script_turn(s);
    cr_assert(script_dial(s, T1) != NULL);
    (void)stream_release(x.stream);
    script_conn_over(quic, -ETIMEDOUT, "");
    script_connect(s, &c, &s->peer);
    script_turn(s);
    script_dial_fails(s, T1, -ECONNREFUSED);
    cr_assert_eq(c.done, 0);
    cr_assert(script_dial(s, Q1) != NULL);
}

CASE_SWARM(without_a_connection_of_the_preferred_kind_one_is_dialled_behind_the_stream) {
    static struct script_stream x;
    s->host->prefer = DIAL_TCP;
    knows(s, Q1, T1);
    (void)script_accept(s, &s->peer, Q1);
    script_open(s, &x, &s->peer);
    script_turn(s);
    cr_assert(x.done == 1 && x.error == 0, "it does not wait");
    cr_assert(script_dial(s, T1) != NULL && s->dials_count == 1);
    script_dial_fails(s, T1, -ECONNREFUSED);
    cr_assert_eq(s->dials_count, 0);
    (void)stream_release(x.stream);
    script_open(s, &x, &s->peer);
    script_turn(s);
    cr_assert_eq(s->dials_count, 0, "it rests");
    (void)stream_release(x.stream);
}

CASE_SWARM(bulk_takes_the_connection_that_comes_first_and_TCP_from_then_on) {
    static struct script_stream x;
    static struct script_stream y;
    s->host->prefer_bulk = DIAL_TCP;
    knows(s, Q1, T1);
    script_open_with(s, &x, &s->peer, HOST_REQUEST_BULK);
    script_turn(s);
    cr_assert(script_dial(s, Q1) != NULL && s->dials_count == 1, "whoever waits is served first");
    (void)script_dial_ok(s, Q1);
    cr_assert(x.done == 1 && x.error == 0);
    cr_assert(script_dial(s, T1) != NULL && s->dials_count == 1);
    struct script_conn *tcp = script_dial_ok(s, T1);
    uint32_t before = tcp->conn.streams_count;
    script_open_with(s, &y, &s->peer, HOST_REQUEST_BULK);
    script_turn(s);
    cr_assert_eq(tcp->conn.streams_count, before + 1);
    (void)stream_release(x.stream);
    (void)stream_release(y.stream);
}

CASE_SWARM(a_kind_of_connection_that_is_missed_is_not_looked_for_with_every_stream) {
    static struct script_stream x;
    static const char name[] = "/dns4/home.example/udp/4001/quic-v1";
    s->host->prefer_bulk = DIAL_TCP;
    script_knows(s, &s->peer, 1, (const char *const[]){name});
    (void)script_accept(s, &s->peer, Q1);
    for (int i = 0; i < 10; i++) {
        script_open_with(s, &x, &s->peer, HOST_REQUEST_BULK);
        script_turn(s);
        if (s->questions_count > 0)
            script_resolve(s, "home.example", RESOLVE_IP4, "192.0.2.1");
        (void)stream_release(x.stream);
        script_wait(s, SEC(2));
    }
    cr_assert_eq(s->questions_asked, 2, "in 20 s, not %zu", s->questions_asked);
    cr_assert_eq(s->dials_begun, 0, "UDP is there already");
}

/* --- Connections that fall silent --- */

/* UDP stops passing: data is outstanding on the QUIC connection, and nothing comes any more. */
static struct script_conn *silent_conn(struct script *s, struct script_stream *x) {
    knows(s, Q1, T1);
    script_open(s, x, &s->peer);
    script_turn(s);
    struct script_conn *c = script_dial_ok(s, Q1);
    cr_assert(x->done == 1 && x->error == 0);
    c->unanswered_since = s->fake->now;
    return c;
}

CASE_SWARM(silence_under_a_stream_starts_a_race_after_two_seconds) {
    static struct script_stream x;
    static struct script_stream y;
    struct script_conn *quic = silent_conn(s, &x);
    script_wait(s, HOST_SUSPECT_AFTER - 1);
    cr_assert_eq(s->dials_count, 0);
    script_wait(s, MSEC(300));
    cr_assert(script_dial(s, T1) != NULL);
    struct script_conn *tcp = script_dial_ok(s, T1);
    script_open(s, &y, &s->peer);
    script_turn(s);
    cr_assert(y.done == 1 && stream_conn(y.stream) == &tcp->conn);
    cr_assert_not(quic->close_asked, "it may come back");
    size_t begun = s->dials_begun;
    script_wait(s, SEC(5));
    cr_assert_eq(s->dials_begun, begun, "there is another way now");
    (void)stream_release(x.stream);
    (void)stream_release(y.stream);
}

/* What the stream had to say left a moment after it was opened, and so was missed when somebody
 * looked two seconds after that; and two round trips are longer on a slow path. */
CASE_SWARM(silence_that_began_behind_the_stream_starts_a_race_as_well) {
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        struct script_stream x = {.done = 0};
        struct script_conn *quic = silent_conn(s, &x);
        nsec_t within = is_slow ? SEC(6) : HOST_SUSPECT_AFTER;
        quic->rtt = is_slow ? SEC(2) : 0;
        script_wait(s, MSEC(1));
        quic->unanswered_since = s->fake->now;
        script_wait(s, within - 1);
        cr_assert_eq(s->dials_count, 0);
        script_wait(s, 1);
        cr_assert(script_dial(s, Q1) != NULL);
        script_dial_fails(s, Q1, -ECONNREFUSED);
        script_dial_fails(s, T1, -ECONNREFUSED);
        (void)stream_release(x.stream);
        script_conn_over(quic, -ETIMEDOUT, "");
        script_wait(s, SEC(100)); /* no back-off is left */
    }
}

CASE_SWARM(a_stream_that_is_opened_on_a_silent_connection_waits_for_the_race) {
    static struct script_stream x;
    static struct script_stream y;
    (void)silent_conn(s, &x);
    (void)stream_release(x.stream);
    x.stream = NULL;
    script_wait(s, HOST_SUSPECT_AFTER);
    script_open(s, &y, &s->peer);
    script_wait(s, MSEC(250));
    cr_assert_eq(y.done, 0);
    struct script_conn *tcp = script_dial_ok(s, T1);
    cr_assert(y.done == 1 && stream_conn(y.stream) == &tcp->conn);
    (void)stream_release(y.stream);
}

/* Both sides dialled: the second connection over UDP carries nothing, and seems well. */
CASE_SWARM(an_idle_connection_beside_a_silent_one_is_not_trusted_either) {
    static struct script_stream x;
    static struct script_stream y;
    struct script_conn *idle = script_accept(s, &s->peer, Q1);
    script_wait(s, MSEC(10));
    struct script_conn *silent = script_accept(s, &s->peer, Q1);
    script_wait(s, MSEC(10));
    knows(s, Q1, T1);
    script_open(s, &x, &s->peer);
    script_turn(s);
    cr_assert(x.done == 1);
    silent->unanswered_since = s->fake->now;
    script_wait(s, HOST_SUSPECT_AFTER);
    script_open(s, &y, &s->peer);
    script_wait(s, MSEC(250));
    cr_assert_eq(y.done, 0);
    struct script_conn *tcp = script_dial_ok(s, T1);
    cr_assert(y.done == 1 && stream_conn(y.stream) == &tcp->conn);
    cr_assert_not(idle->close_asked);
    (void)stream_release(x.stream);
    (void)stream_release(y.stream);
}

CASE_SWARM(when_nothing_comes_of_the_race_the_silent_connection_has_to_do) {
    static struct script_stream x;
    static struct script_stream y;
    struct script_conn *quic = silent_conn(s, &x);
    (void)stream_release(x.stream);
    script_wait(s, HOST_SUSPECT_AFTER);
    script_open(s, &y, &s->peer);
    script_turn(s);
    script_dial_fails(s, Q1, -ECONNREFUSED);
    script_dial_fails(s, T1, -ECONNREFUSED);
    cr_assert(y.done == 1 && y.error == 0 && stream_conn(y.stream) == &quic->conn);
    (void)stream_release(y.stream);
}

/* A peer that did not answer is dialled at two addresses at a time; not if it has answered since.
 */
CASE_SWARM(a_connection_that_recovers_is_no_peer_that_does_not_answer) {
    static const char *const all[] = {Q1, T1, "/ip4/1.2.3.9/udp/1/quic-v1", "/ip4/1.2.3.9/tcp/1"};
    static struct script_stream x;
    static struct script_stream y;
    struct script_conn *quic = silent_conn(s, &x);
    for (size_t i = 2; i < ARRAY_COUNT(all); i++) {
        struct multiaddr a;
        cr_assert_eq(multiaddr_parse(all[i], &a), 0);
        cr_assert_eq(host_add_addr(s->host, &s->peer, &a), 0);
    }
    script_wait(s, HOST_SUSPECT_AFTER + SEC(12)); /* they time out */
    cr_assert_eq(s->dials_count, 0);
    quic->unanswered_since = NSEC_NEVER;
    script_wait(s, SEC(100)); /* no back-off is left */
    quic->unanswered_since = s->fake->now;
    script_wait(s, HOST_SUSPECT_AFTER);
    script_open(s, &y, &s->peer);
    script_wait(s, SEC(3));
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        cr_assert(script_dial(s, all[i]) != NULL, "%s", all[i]);
    (void)script_dial_ok(s, T1);
    cr_assert_eq(y.done, 1);
    (void)stream_release(x.stream);
    (void)stream_release(y.stream);
}

CASE_SWARM(a_silence_that_ends_lets_the_streams_go_on_at_once) {
    static struct script_stream x;
    static struct script_stream y;
    struct script_conn *quic = silent_conn(s, &x);
    (void)stream_release(x.stream);
    script_wait(s, HOST_SUSPECT_AFTER);
    script_open(s, &y, &s->peer);
    script_turn(s);
    cr_assert_eq(y.done, 0);
    quic->unanswered_since = NSEC_NEVER;
    script_wait(s, MSEC(250));
    cr_assert(y.done == 1 && stream_conn(y.stream) == &quic->conn);
    (void)stream_release(y.stream);
}

CASE_SWARM(on_a_slow_path_silence_is_three_round_trips) {
    static struct script_stream x;
    struct script_conn *quic = silent_conn(s, &x);
    quic->rtt = SEC(1);
    script_wait(s, SEC(3) - 1);
    static struct script_stream y;
    script_open(s, &y, &s->peer);
    script_turn(s);
    cr_assert_eq(y.done, 1);
    (void)stream_release(x.stream);
    (void)stream_release(y.stream);
}

/* --- Which connection --- */

CASE_SWARM(a_stream_takes_the_direct_then_the_spliced_then_the_unlimited_connection) {
    struct script_conn *c[5];
    static struct script_stream x[5];
    for (size_t i = 0; i < 5; i++) {
        c[i] = script_accept(s, &s->peer, Q1);
        c[i]->conn.relayed = i >= 2;
        c[i]->conn.spliced = i == 2;
        c[i]->conn.limited = i == 2 || i == 4;
    }
    static const size_t expected[] = {1, 0, 2, 3, 4};
    for (size_t i = 0; i < 5; i++) {
        script_open_with(s, &x[i], &s->peer, HOST_REQUEST_LIMITED);
        script_turn(s);
        cr_assert(x[i].done == 1 && x[i].error == 0);
        cr_assert(stream_conn(x[i].stream) == &c[expected[i]]->conn, "stream %zu", i);
        c[expected[i]]->streams_max = 0;
    }
    for (size_t i = 0; i < 5; i++)
        (void)stream_release(x[i].stream);
}

/* SPDX-License-Identifier: MIT */
/* Goal: how many connections there may be, by peer, by address and in all, and which go.
 * Spec: libp2p connection-lifecycle.md; decision 7. */
#include <stdio.h>

#include "scripted.h"

#define A1 "/ip4/1.2.3.4/tcp/1"

static struct script s;

static void begin(bool is_gated, const struct host_limits *limits) {
    static struct peer_id friend;
    friend = script_peer(1);
    s.is_gated = is_gated;
    s.allowed = &friend;
    script_init(&s, &(struct host_config){.limits = *limits});
}

static const struct host_limits DEFAULTS = {0};

static struct script_conn *accept_from(unsigned peer, const char *addr) {
    struct peer_id id = script_peer(peer);
    return script_accept(&s, &id, addr);
}

static bool is_refused(const struct script_conn *c) {
    return c->close_asked && c->close_code == CONN_CODE_RESOURCE_LIMIT;
}

Test(swarm_limits, a_peer_has_eight_and_an_idle_one_makes_room) {
    begin(true, &DEFAULTS);
    struct script_conn *c[HOST_CONNS_PER_PEER_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(c); i++)
        c[i] = accept_from(1, A1);
    cr_assert(is_refused(accept_from(1, A1)), "all are new");
    script_wait(&s, SEC(6)); /* identify has given up on them */
    struct script_conn *more = accept_from(1, A1);
    cr_assert_not(more->close_asked);
    cr_assert(c[0]->close_asked && c[0]->close_code == CONN_CODE_GARBAGE_COLLECTED);
    cr_assert_not(c[1]->close_asked);
    script_conn_over(c[0], 0, "");
    script_done(&s);
}

Test(swarm_limits, connections_in_use_make_no_room) {
    begin(true, &DEFAULTS);
    static struct script_stream x[HOST_CONNS_PER_PEER_MAX];
    struct script_conn *c[HOST_CONNS_PER_PEER_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(c); i++) {
        c[i] = accept_from(1, A1);
        script_open(&s, &x[i], &s.peer);
        script_turn(&s);
        cr_assert(stream_conn(x[i].stream) == &c[i]->conn);
        c[i]->streams_max = 0;
    }
    script_wait(&s, SEC(60));
    cr_assert(is_refused(accept_from(1, A1)));
    for (size_t i = 0; i < ARRAY_COUNT(c); i++)
        (void)stream_release(x[i].stream);
    script_done(&s);
}

Test(swarm_limits, strangers_are_limited_by_address_and_friends_are_not) {
    begin(false, &DEFAULTS);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_not(accept_from(10 + i, "/ip4/1.2.3.4/tcp/1")->close_asked);
    cr_assert(is_refused(accept_from(20, "/ip4/1.2.3.4/tcp/2")));
    cr_assert_not(accept_from(20, "/ip4/1.2.3.5/tcp/2")->close_asked);
    for (unsigned i = 0; i < 20; i++)
        cr_assert_not(accept_from(30 + i, "/ip4/127.0.0.1/tcp/2")->close_asked);
    script_done(&s);

    begin(true, &DEFAULTS);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_not(accept_from(1, "/ip4/1.2.3.4/tcp/1")->close_asked);
    cr_assert_eq(s.host->conns_count, 8);
    struct script_conn *stranger = accept_from(2, "/ip4/1.2.3.4/tcp/1");
    cr_assert_eq(stranger->close_code, CONN_CODE_GATED);
    script_done(&s);
}

/* They are different strangers, and none of them is the relay. */
Test(swarm_limits, strangers_over_a_relay_are_counted_beside_those_at_its_address) {
    char text[128];
    for (int i = 0; i < 2; i++) {
        const char *ip = i == 0 ? "/ip4/1.2.3.4" : "/ip6/2a00:1:1:100::1";
        begin(false, &DEFAULTS);
        (void)snprintf(text, sizeof(text),
                       "%s/tcp/1/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
                       "/p2p-circuit",
                       ip);
        for (unsigned k = 0; k < 64; k++)
            cr_assert_not(accept_from(100 + k, text)->close_asked, "%u", k);
        cr_assert(is_refused(accept_from(200, text)));
        (void)snprintf(text, sizeof(text), "%s/tcp/2", ip);
        for (unsigned k = 0; k < 8; k++)
            cr_assert_not(accept_from(300 + k, text)->close_asked);
        cr_assert(is_refused(accept_from(400, text)));
        script_done(&s);
    }
}

Test(swarm_limits, of_IPv6_the_first_56_and_48_bits_count) {
    begin(false, &DEFAULTS);
    char text[64];
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(text, sizeof(text), "/ip6/2a00:1:1:%x::1/tcp/1", i);
        cr_assert_not(accept_from(10 + i, text)->close_asked);
    }
    cr_assert(is_refused(accept_from(20, "/ip6/2a00:1:1:ff::9/tcp/1")));
    for (unsigned i = 1; i < 8; i++) {
        for (unsigned k = 0; k < 8; k++) {
            (void)snprintf(text, sizeof(text), "/ip6/2a00:1:1:%x%02x::1/tcp/1", i, k);
            cr_assert_not(accept_from(100 + 8 * i + k, text)->close_asked);
        }
    }
    cr_assert(is_refused(accept_from(21, "/ip6/2a00:1:1:ff00::9/tcp/1")));
    cr_assert_not(accept_from(22, "/ip6/2a00:1:2::9/tcp/1")->close_asked);
    script_done(&s);
}

Test(swarm_limits, strangers_stop_at_the_high_mark_and_friends_do_not) {
    begin(false, &(struct host_limits){10, 4, 2, SEC(60)});
    for (unsigned i = 0; i < 4; i++)
        cr_assert_not(accept_from(10 + i, "/ip4/127.0.0.1/tcp/1")->close_asked);
    cr_assert(is_refused(accept_from(20, "/ip4/127.0.0.1/tcp/1")));
    script_done(&s);
    begin(true, &(struct host_limits){6, 4, 2, SEC(60)});
    for (unsigned i = 0; i < 6; i++)
        cr_assert_not(accept_from(1, A1)->close_asked);
    cr_assert(is_refused(accept_from(1, A1)));
    script_done(&s);
}

static size_t closed_count(void) {
    size_t count = 0;
    for (size_t i = 0; i < s.conns_count; i++)
        count += s.conns[i]->close_asked;
    return count;
}

Test(swarm_limits, above_the_high_mark_idle_connections_go_down_to_the_low_one_after_their_grace) {
    begin(true, &(struct host_limits){20, 4, 2, SEC(60)});
    static struct script_stream x;
    for (unsigned i = 0; i < 5; i++)
        (void)accept_from(1, A1);
    script_open(&s, &x, &s.peer); /* takes the newest */
    script_wait(&s, SEC(60) - 1);
    cr_assert_eq(closed_count(), 0, "they are all new");
    script_wait(&s, SEC(11));
    cr_assert_eq(closed_count(), 3);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(s.conns[i]->close_asked, i < 3, "the oldest first: %u", i);
        cr_assert_eq(s.conns[i]->close_code, i < 3 ? CONN_CODE_GARBAGE_COLLECTED : 0);
    }
    script_wait(&s, SEC(30));
    cr_assert_eq(closed_count(), 3, "what is closing is not counted again");
    (void)stream_release(x.stream);
    script_done(&s);
}

Test(swarm_limits, strangers_who_idle_at_the_high_mark_make_room_for_others) {
    begin(false, &(struct host_limits){10, 4, 2, SEC(60)});
    for (unsigned i = 0; i < 4; i++)
        (void)accept_from(10 + i, "/ip4/127.0.0.1/tcp/1");
    cr_assert(is_refused(accept_from(20, "/ip4/127.0.0.1/tcp/1")));
    script_wait(&s, SEC(71));
    for (size_t i = 0; i < s.conns_count; i++)
        if (s.conns[i]->close_asked && !s.conns[i]->is_closed)
            script_conn_over(s.conns[i], 0, "");
    cr_assert_not(accept_from(20, "/ip4/127.0.0.1/tcp/1")->close_asked);
    script_done(&s);
}

Test(swarm_limits, connections_that_are_used_are_not_trimmed) {
    begin(true, &(struct host_limits){20, 2, 1, SEC(1)});
    static struct script_stream x[4];
    for (unsigned i = 0; i < 4; i++) {
        struct script_conn *c = accept_from(1, A1);
        script_open(&s, &x[i], &s.peer);
        script_turn(&s);
        c->streams_max = 0;
    }
    script_wait(&s, SEC(60));
    cr_assert_eq(closed_count(), 0);
    for (unsigned i = 0; i < 3; i++)
        (void)stream_release(x[i].stream);
    script_wait(&s, SEC(10));
    cr_assert_eq(closed_count(), 3);
    (void)stream_release(x[3].stream);
    script_done(&s);
}

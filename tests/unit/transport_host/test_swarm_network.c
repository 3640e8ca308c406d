/* SPDX-License-Identifier: MIT */
/* Goal: when this machine, or a peer, is elsewhere in the network, what led there ends or is passed
 * over, and what failed is tried again, at once.
 * Spec: decision 6 (own address changed); libp2p connection-lifecycle.md. */
#include "scripted.h"

#define Q1   "/ip4/1.2.3.4/udp/1/quic-v1"
#define T1   "/ip4/1.2.3.4/tcp/1"
#define Q2   "/ip4/1.2.3.5/udp/1/quic-v1"
#define HERE "/ip4/192.0.2.1/tcp/7"

static struct script s;
static struct script_stream streams[4];

static void network(const char *ip) {
    script_network(&s, 1, &ip);
}

static void begin(void) {
    script_init(&s, &(struct host_config){0});
    memset(streams, 0, sizeof(streams));
    network("192.0.2.1");
    script_knows(&s, &s.peer, 2, (const char *const[]){Q1, T1});
}

static struct script_conn *settle(struct script_conn *c, const char *local) {
    cr_assert_eq(multiaddr_parse(local, &c->conn.local), 0);
    script_wait(&s, SEC(20)); /* identify has given up, nothing is pushed */
    c->heard_at = s.fake->now;
    return c;
}

static struct script_conn *dial(const char *addr, const char *local) {
    script_open(&s, &streams[3], &s.peer);
    script_wait(&s, SEC(1)); /* TCP's turn, too */
    struct script_conn *c = script_dial_ok(&s, addr);
    (void)stream_release(streams[3].stream);
    return settle(c, local);
}

static void open_one(struct script_stream *x) {
    script_open(&s, x, &s.peer);
    script_turn(&s);
}

static void end(void) {
    for (size_t i = 0; i < ARRAY_COUNT(streams); i++) {
        if (i != 3 && streams[i].stream != NULL)
            (void)stream_release(streams[i].stream);
    }
    script_done(&s);
}

/* --- Our own network --- */

Test(swarm_network, a_connection_from_an_address_that_is_gone_is_closed_and_its_peer_dialled) {
    begin();
    struct script_conn *c = dial(T1, HERE);
    network("192.0.2.9");
    cr_assert(c->close_asked);
    cr_assert_eq(c->close_code, CONN_CODE_NONE);
    cr_assert(script_dial(&s, Q1) != NULL);
    script_conn_over(c, 0, "");
    open_one(&streams[0]);
    cr_assert_not(streams[0].done);
    struct script_conn *again = script_dial_ok(&s, Q1);
    cr_assert_eq(streams[0].done, 1);
    cr_assert(stream_conn(streams[0].stream) == &again->conn);
    end();
}

Test(swarm_network, a_connection_that_can_move_stays_and_takes_streams_when_its_peer_is_heard) {
    begin();
    struct script_conn *c = dial(Q1, "/ip4/192.0.2.1/udp/7/quic-v1");
    c->can_move = true;
    network("192.0.2.9");
    cr_assert_not(c->close_asked);
    cr_assert_eq(c->probes, 1);
    cr_assert_eq(s.dials_count, 0, "nobody waits");
    open_one(&streams[0]);
    cr_assert_not(streams[0].done, "it is in doubt");
    cr_assert_gt(s.dials_count, 0);
    script_wait(&s, MSEC(30));
    c->heard_at = s.fake->now;
    script_wait(&s, MSEC(250));
    cr_assert_eq(streams[0].done, 1);
    cr_assert(stream_conn(streams[0].stream) == &c->conn);
    end();
}

Test(swarm_network, streams_on_one_that_does_not_follow_find_another_way) {
    begin();
    struct script_conn *c = dial(Q1, "/ip4/192.0.2.1/udp/7/quic-v1");
    c->can_move = true;
    open_one(&streams[0]);
    network("192.0.2.9");
    struct script_conn *other = script_dial_ok(&s, Q1);
    open_one(&streams[1]);
    cr_assert(stream_conn(streams[1].stream) == &other->conn);
    end();
}

Test(swarm_network, what_an_address_more_does_not_concern_is_left_alone) {
    begin();
    struct script_conn *here = dial(Q1, "/ip4/192.0.2.1/udp/7/quic-v1");
    struct script_conn *loopback = settle(script_accept(&s, &s.peer, T1), "/ip4/127.0.0.1/tcp/7");
    struct script_conn *unknown = script_accept(&s, &s.peer, T1);
    here->probes = 0; /* its peer came past QUIC */
    script_network(&s, 2, (const char *const[]){"192.0.2.1", "198.51.100.1"});
    cr_assert_not(here->close_asked || loopback->close_asked || unknown->close_asked);
    cr_assert_eq(here->probes + loopback->probes + unknown->probes, 0);
    cr_assert_eq(s.dials_count, 0);
    end();
}

Test(swarm_network, after_a_sleep_or_with_another_route_all_are_in_doubt) {
    static const struct netwatch_change changes[] = {{.was_suspended = true},
                                                     {.routes_differ = true}};
    for (size_t i = 0; i < ARRAY_COUNT(changes); i++) {
        begin();
        struct script_conn *c = dial(Q1, "/ip4/192.0.2.1/udp/7/quic-v1");
        host_network_changed(s.host, &changes[i]);
        script_turn(&s);
        cr_assert_eq(c->probes, 1);
        cr_assert_not(c->close_asked);
        open_one(&streams[0]);
        cr_assert_not(streams[0].done);
        end();
    }
}

Test(swarm_network, nothing_is_known_to_be_gone_while_the_system_does_not_tell) {
    begin();
    struct script_conn *c = dial(T1, HERE);
    s.netwatch.now = (struct netwatch_snapshot){.is_known = false};
    host_network_changed(s.host, &(struct netwatch_change){.addrs_removed = 1});
    s.netwatch.now = (struct netwatch_snapshot){.is_known = true, .is_cut = true};
    host_network_changed(s.host, &(struct netwatch_change){.addrs_removed = 1});
    script_turn(&s);
    cr_assert_not(c->close_asked);
    end();
}

Test(swarm_network, what_failed_before_is_tried_at_once) {
    begin();
    open_one(&streams[0]);
    script_dial_fails(&s, Q1, -ETIMEDOUT);
    script_dial_fails(&s, T1, -ETIMEDOUT);
    cr_assert_eq(streams[0].error, -ETIMEDOUT);
    for (int i = 0; i < BLACK_HOLE_WINDOW; i++)
        black_hole_record(&s.host->udp_hole, false);
    network("192.0.2.9");
    cr_assert_not(black_hole_is_blocked(&s.host->udp_hole));
    open_one(&streams[0]);
    cr_assert(script_dial(&s, Q1) != NULL, "it does not rest any more");
    script_dial_fails(&s, Q1, -ETIMEDOUT);
    script_dial_fails(&s, T1, -ETIMEDOUT);
    end();
}

Test(swarm_network, dials_under_way_begin_anew) {
    begin();
    open_one(&streams[0]);
    script_wait(&s, SEC(2));
    size_t begun = s.dials_begun;
    size_t in_flight = s.dials_count;
    cr_assert_gt(in_flight, 0);
    network("192.0.2.9");
    cr_assert_eq(s.dials_cancelled, in_flight);
    cr_assert_gt(s.dials_begun, begun);
    (void)script_dial_ok(&s, Q1);
    cr_assert_eq(streams[0].done, 1);
    cr_assert_eq(streams[0].error, 0);
    end();
}

Test(swarm_network, strangers_whose_connections_were_closed_are_not_dialled) {
    struct peer_id nobody = script_peer(9);
    memset(&s, 0, sizeof(s));
    s.is_gated = true;
    s.allowed = &nobody;
    begin();
    struct script_conn *c = dial(T1, HERE);
    network("192.0.2.9");
    cr_assert(c->close_asked);
    cr_assert_eq(s.dials_count, 0);
    end();
}

Test(swarm_network, a_host_that_closes_has_no_network_any_more) {
    begin();
    s.host->closing = true;
    network("192.0.2.9");
    s.host->closing = false;
    end();
}

/* --- A peer's --- */

Test(swarm_network, who_comes_from_elsewhere_casts_doubt_on_connections_to_where_it_was) {
    begin();
    struct script_conn *there = dial(Q1, HERE);
    open_one(&streams[0]);
    struct script_conn *same = script_accept(&s, &s.peer, "/ip4/1.2.3.4/udp/2/quic-v1");
    cr_assert_eq(there->probes, 0, "the same address says nothing");
    struct script_conn *v6 = script_accept(&s, &s.peer, "/ip6/2001:db8::1/udp/1/quic-v1");
    cr_assert_eq(there->probes + same->probes, 0, "nor does one of another family");
    struct script_conn *moved = script_accept(&s, &s.peer, "/ip4/1.2.3.5/udp/1/quic-v1");
    cr_assert_eq(there->probes, 1);
    cr_assert_eq(same->probes, 1);
    cr_assert_eq(v6->probes + moved->probes, 0);
    script_conn_over(v6, 0, "");
    open_one(&streams[1]);
    cr_assert(stream_conn(streams[1].stream) == &moved->conn, "not where there are more streams");
    cr_assert_not(there->close_asked);
    end();
}

static const struct conn *silent;
static uint32_t silences;

static void on_silent(struct host_watch *w, struct conn *c) {
    (void)w;
    silent = c;
    silences++;
}

static struct host_watch silence = {.silent = on_silent};

/* A connection over QUIC, and whoever watches. */
static struct script_conn *begin_watched(void) {
    begin();
    silences = 0;
    struct script_conn *c = dial(Q1, HERE);
    open_one(&streams[0]);
    host_watch(s.host, &silence);
    return c;
}

static void end_watched(void) {
    host_unwatch(&silence);
    end();
}

/* Goal: a relay learns of a dead connection when its peer is back, and not when that times out. */
Test(swarm_network, one_whose_peer_comes_past_quic_is_told_when_it_is_not_heard_in_time) {
    struct script_conn *c = begin_watched();
    struct script_conn *past = script_accept(&s, &s.peer, T1);
    cr_assert_eq(c->probes, 1);
    script_wait(&s, HOST_SUSPECT_AFTER - 1);
    cr_assert_eq(silences, 0);
    script_wait(&s, 1);
    cr_assert_eq(silences, 1);
    cr_assert(silent == &c->conn);
    cr_assert_not(c->close_asked, "it may be a pause");
    script_wait(&s, SEC(10));
    cr_assert_eq(silences, 1, "once");
    cr_assert_eq(past->probes, 0);
    end_watched();
}

Test(swarm_network, one_on_a_slow_path_has_three_round_trips_to_be_heard) {
    struct script_conn *c = begin_watched();
    c->rtt = SEC(1);
    (void)script_accept(&s, &s.peer, T1);
    script_wait(&s, SEC(3) - 1);
    cr_assert_eq(silences, 0);
    script_wait(&s, 1);
    cr_assert_eq(silences, 1);
    end_watched();
}

/* Goal: who dials us twice for reasons of its own loses nothing. */
Test(swarm_network, one_that_is_heard_is_not_told_and_takes_streams_again) {
    struct script_conn *c = begin_watched();
    (void)script_accept(&s, &s.peer, T1);
    script_wait(&s, MSEC(100));
    c->heard_at = s.fake->now;
    cr_assert_not(swarm_is_suspect(host_conn_of(&c->conn)));
    script_wait(&s, SEC(10));
    cr_assert_eq(silences, 0);
    end_watched();
}

/* Goal: a doubt that comes when the time of a former one is over has its own. */
Test(swarm_network, one_that_was_heard_and_is_in_doubt_again_is_not_told_at_once) {
    struct script_conn *c = begin_watched();
    (void)script_accept(&s, &s.peer, T1);
    script_wait(&s, MSEC(100));
    c->heard_at = s.fake->now;
    script_wait(&s, HOST_SUSPECT_AFTER - MSEC(100) - 1);
    swarm_doubt(host_conn_of(&c->conn));
    script_wait(&s, HOST_SUSPECT_AFTER - 1);
    cr_assert_eq(silences, 0);
    c->heard_at = s.fake->now;
    script_wait(&s, SEC(10));
    cr_assert_eq(silences, 0);
    end_watched();
}

Test(swarm_network, one_is_not_told_when_there_is_no_other_way_any_more) {
    (void)begin_watched();
    script_conn_over(script_accept(&s, &s.peer, T1), -ECONNRESET, "");
    script_wait(&s, SEC(10));
    cr_assert_eq(silences, 0);
    end_watched();
}

/* Over TCP silence may be a queue. */
Test(swarm_network, one_over_tcp_is_asked_and_never_told) {
    begin();
    silences = 0;
    struct script_conn *c = dial(T1, HERE);
    open_one(&streams[0]);
    host_watch(s.host, &silence);
    script_conn_over(script_accept(&s, &s.peer, Q1), 0, "");
    cr_assert_eq(c->probes, 0, "QUIC beside it says nothing");
    (void)script_accept(&s, &s.peer, "/ip4/1.2.3.5/tcp/1");
    cr_assert_eq(c->probes, 1);
    script_wait(&s, SEC(10));
    cr_assert_eq(silences, 0);
    end_watched();
}

/* Goal: nobody can make us send more than it sends. */
Test(swarm_network, one_in_doubt_is_not_asked_again_by_each_that_comes) {
    struct script_conn *c = begin_watched();
    for (int i = 0; i < 6; i++)
        (void)script_accept(&s, &s.peer, T1);
    cr_assert_eq(c->probes, 1);
    script_wait(&s, HOST_SUSPECT_AFTER);
    cr_assert_eq(silences, 1, "nor is it put off");
    end_watched();
}

Test(swarm_network, nor_by_each_that_comes_from_elsewhere) {
    struct script_conn *c = begin_watched();
    for (int i = 0; i < 4; i++) {
        (void)script_accept(&s, &s.peer, "/ip4/1.2.3.5/tcp/1");
        script_wait(&s, MSEC(100));
    }
    cr_assert_eq(c->probes, 1);
    script_wait(&s, HOST_SUSPECT_AFTER - MSEC(400));
    cr_assert_eq(silences, 1, "nor is it put off");
    end_watched();
}

/* An identify message that says these addresses, without a record. */
static void learn(struct script_conn *c, size_t count, const char *const *addrs) {
    uint8_t message[512];
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        struct multiaddr a;
        cr_assert_eq(multiaddr_parse(addrs[i], &a), 0);
        message[len++] = 0x12; /* field 2, bytes: listenAddrs */
        message[len++] = (uint8_t)a.len;
        memcpy(message + len, a.bytes, a.len);
        len += a.len;
    }
    struct identify_walk walk = {.left = bytes_of(message, len)};
    swarm_learn_addrs(host_conn_of(&c->conn), &walk);
}

Test(swarm_network, who_says_to_have_left_an_address_casts_doubt_on_connections_there) {
    begin();
    struct script_conn *left = dial(Q1, HERE);
    open_one(&streams[0]); /* else it is one too many */
    struct script_conn *other = settle(script_accept(&s, &s.peer, Q2), HERE);
    left->probes = 0;
    learn(other, 2, (const char *const[]){Q1, Q2});
    learn(other, 2, (const char *const[]){T1, Q2});
    cr_assert_eq(left->probes + other->probes, 0, "another port of it is still there");
    learn(other, 0, NULL);
    cr_assert_eq(left->probes + other->probes, 0, "silence says nothing");
    learn(other, 1, (const char *const[]){Q2});
    cr_assert_eq(left->probes, 1);
    cr_assert_eq(other->probes, 0);
    learn(other, 1, (const char *const[]){Q2});
    cr_assert_eq(left->probes, 1, "told once");
    end();
}

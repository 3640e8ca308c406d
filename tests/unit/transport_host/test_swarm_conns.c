/* SPDX-License-Identifier: MIT */
/* Goal: of several connections to a peer, those that nobody needs are closed, by one end only, and
 * never the last that works.
 * Spec: libp2p connection-lifecycle.md, "Duplicate connections". */
#include <stdio.h>

#include "scripted.h"

#define Q1 "/ip4/1.2.3.4/udp/1/quic-v1"
#define Q2 "/ip4/1.2.3.4/udp/2/quic-v1"
#define T1 "/ip4/1.2.3.4/tcp/1"
#define R2 "/ip4/5.6.7.8/tcp/2/p2p/12D3KooWQvzCBP1MdU6g3UC6rUwHtDkbMUWQKDapmHqQFPqZqTn7/p2p-circuit"
#define R1 "/ip4/5.6.7.8/tcp/1/p2p/12D3KooWQvzCBP1MdU6g3UC6rUwHtDkbMUWQKDapmHqQFPqZqTn7/p2p-circuit"

/* Identify, whose streams count, has given up on new connections. */
#define IDENTIFIED (IDENTIFY_TIMEOUT + SEC(1))

static struct script s;
static struct script_stream streams[4];

static void begin(void) {
    script_init(&s, &(struct host_config){0});
    memset(streams, 0, sizeof(streams));
}

/* A peer that is ordered before us, or behind. */
static struct peer_id ordered_peer(bool is_before_us) {
    for (unsigned i = 1;; i++) {
        struct peer_id id = script_peer(i);
        if ((peer_id_compare(&id, &s.identity.id) < 0) == is_before_us)
            return id;
    }
}

/* A connection that we dial, which takes a reason: those that stand have no room. */
static struct script_conn *dial(const char *addr) {
    static struct script_stream x;
    uint32_t room[SCRIPT_CONNS_MAX];
    for (size_t i = 0; i < s.conns_count; i++) {
        room[i] = s.conns[i]->streams_max;
        s.conns[i]->streams_max = 0;
    }
    script_knows(&s, &s.peer, 1, (const char *const[]){addr});
    script_open(&s, &x, &s.peer);
    script_turn(&s);
    struct script_conn *c = script_dial_ok(&s, addr);
    cr_assert(x.stream != NULL && stream_conn(x.stream) == &c->conn);
    (void)stream_release(x.stream);
    for (size_t i = 0; i + 1 < s.conns_count; i++) {
        s.conns[i]->streams_max = room[i];
        s.conns[i]->conn.events->streams_available(&s.conns[i]->conn);
    }
    script_turn(&s);
    return c;
}

static void open_on(struct script_stream *x, const struct script_conn *c) {
    script_open(&s, x, &s.peer);
    script_turn(&s);
    cr_assert(x->stream != NULL && stream_conn(x->stream) == &c->conn);
}

Test(swarm_conns, of_two_that_we_dialled_the_older_is_closed_when_it_was_idle_for_a_while) {
    begin();
    struct script_conn *a = dial(Q1);
    struct script_conn *b = dial(Q2);
    open_on(&streams[0], b);
    script_wait(&s, IDENTIFY_TIMEOUT + HOST_SPARE_AFTER - 1);
    cr_assert_not(a->close_asked);
    script_wait(&s, 1);
    cr_assert(a->close_asked);
    cr_assert_eq(a->close_code, CONN_CODE_SUPPLANTED);
    script_conn_over(a, 0, "");
    script_wait(&s, SEC(60));
    cr_assert_not(b->close_asked);
    (void)stream_release(streams[0].stream);
    script_wait(&s, SEC(60));
    cr_assert_not(b->close_asked, "the last one stays, idle or not");
    script_done(&s);
}

Test(swarm_conns, streams_keep_one_open_and_their_end_starts_the_wait) {
    begin();
    struct script_conn *a = dial(Q1);
    script_wait(&s, IDENTIFIED);
    open_on(&streams[0], a);
    struct script_conn *b = dial(Q2);
    script_wait(&s, SEC(90));
    cr_assert_not(a->close_asked);
    (void)stream_release(streams[0].stream);
    script_wait(&s, HOST_SPARE_AFTER - 1);
    cr_assert_not(a->close_asked);
    script_wait(&s, HOST_SPARE_AFTER);
    cr_assert(a->close_asked, "at the latest when it is looked at again");
    cr_assert_not(b->close_asked);
    script_done(&s);
}

/* The peer opens a stream on the old one, and dials another way behind its back: the stream may
 * come later than the connection. */
Test(swarm_conns, one_that_was_idle_for_long_is_not_closed_as_soon_as_another_stands) {
    begin();
    struct script_conn *a = dial(Q1);
    script_wait(&s, SEC(60));
    (void)script_accept(&s, &s.peer, Q2);
    script_wait(&s, HOST_SPARE_AFTER - 1);
    cr_assert_not(a->close_asked);
    script_wait(&s, 1);
    cr_assert(a->close_asked);
    script_done(&s);
}

Test(swarm_conns, what_the_peer_dialled_is_the_peers_to_close) {
    begin();
    struct script_conn *a = script_accept(&s, &s.peer, Q1);
    script_wait(&s, SEC(20));
    struct script_conn *b = dial(Q2);
    script_wait(&s, SEC(90));
    cr_assert_not(a->close_asked);
    cr_assert_not(b->close_asked, "the newer of them");
    script_done(&s);
}

Test(swarm_conns, an_older_one_of_ours_goes_when_the_peer_dials_anew) {
    begin();
    struct script_conn *a = dial(Q1);
    script_wait(&s, SEC(20));
    struct script_conn *b = script_accept(&s, &s.peer, Q2);
    script_wait(&s, SEC(20));
    cr_assert(a->close_asked);
    cr_assert_not(b->close_asked);
    script_done(&s);
}

/* Both ends run this rule on the same two connections: one of them closes one. */
Test(swarm_conns, where_dials_crossed_the_two_ends_close_the_same_one) {
    for (int is_before_us = 0; is_before_us <= 1; is_before_us++) {
        for (int ours_is_first = 0; ours_is_first <= 1; ours_is_first++) {
            begin();
            s.peer = ordered_peer(is_before_us);
            struct script_conn *ours = ours_is_first ? dial(Q1) : NULL;
            script_wait(&s, SEC(1));
            struct script_conn *theirs = script_accept(&s, &s.peer, Q2);
            script_wait(&s, SEC(1));
            ours = ours == NULL ? dial(Q1) : ours;
            script_wait(&s, SEC(60));
            cr_assert_not(theirs->close_asked);
            cr_assert_eq(ours->close_asked, is_before_us);
            script_done(&s);
        }
    }
}

Test(swarm_conns, new_streams_take_the_one_that_stays) {
    begin();
    s.peer = ordered_peer(true);
    struct script_conn *theirs = script_accept(&s, &s.peer, Q2);
    struct script_conn *ours = dial(Q1);
    script_wait(&s, IDENTIFIED);
    open_on(&streams[0], theirs);
    (void)stream_release(streams[0].stream);
    script_wait(&s, SEC(60));
    cr_assert(ours->close_asked);
    script_done(&s);
}

Test(swarm_conns, one_over_quic_and_one_over_tcp_both_stay) {
    begin();
    struct script_conn *a = dial(Q1);
    struct script_conn *b = dial(T1);
    script_wait(&s, SEC(120));
    cr_assert_not(a->close_asked);
    cr_assert_not(b->close_asked);
    script_done(&s);
}

Test(swarm_conns, a_direct_one_of_any_kind_stands_in_for_a_relayed_one_though_it_is_older) {
    begin();
    struct script_conn *direct = dial(Q1);
    struct script_conn *relayed = dial(R1);
    relayed->conn.relayed = true;
    script_wait(&s, SEC(60));
    cr_assert(relayed->close_asked);
    cr_assert_not(direct->close_asked);
    script_done(&s);
}

Test(swarm_conns,
     a_spliced_one_stands_in_for_a_circuit_though_it_is_older_and_not_for_a_direct_one) {
    begin();
    struct script_conn *spliced = dial(R1);
    struct script_conn *circuit = dial(R2);
    spliced->conn.relayed = true;
    spliced->conn.spliced = true;
    circuit->conn.relayed = true;
    script_wait(&s, SEC(60));
    cr_assert(circuit->close_asked);
    cr_assert_not(spliced->close_asked);
    struct script_conn *direct = dial(Q1);
    script_wait(&s, SEC(60));
    cr_assert(spliced->close_asked);
    cr_assert_not(direct->close_asked);
    script_done(&s);
}

Test(swarm_conns, one_that_is_in_doubt_or_not_confirmed_stands_in_for_none) {
    begin();
    struct script_conn *a = dial(Q1);
    struct script_conn *b = dial(Q2);
    b->unanswered_since = reactor_now(s.reactor);
    script_wait(&s, SEC(60));
    cr_assert_not(a->close_asked);
    b->unanswered_since = NSEC_NEVER;
    b->conn.confirmed = false;
    script_wait(&s, SEC(60));
    cr_assert_not(a->close_asked);
    b->conn.confirmed = true;
    b->conn.events->confirmed(&b->conn);
    script_turn(&s);
    cr_assert(a->close_asked);
    script_done(&s);
}

Test(swarm_conns, a_connection_that_is_closing_serves_nobody) {
    begin();
    struct script_conn *a = dial(Q1);
    struct script_conn *b = dial(Q2);
    script_wait(&s, SEC(60));
    cr_assert(a->close_asked);
    script_conn_over(b, -ERR_CONN_CLOSED, "gone");
    /* `a` is closing and is not over yet. */
    static struct script_connect c;
    script_connect(&s, &c, &s.peer);
    script_turn(&s);
    cr_assert_eq(c.done, 0);
    cr_assert(script_dial(&s, Q2) != NULL);
    (void)script_dial_ok(&s, Q2);
    cr_assert_eq(c.done, 1);
    cr_assert_eq(c.error, 0);
    script_done(&s);
}

/* --- Limited connections --- */

static struct script_conn *accept_limited(void) {
    struct script_conn *c = script_accept(&s, &s.peer, R1);
    c->conn.relayed = true;
    c->conn.limited = true;
    return c;
}

Test(swarm_conns, a_limited_one_serves_those_who_take_it_and_others_wait_for_a_direct_one) {
    begin();
    struct script_conn *limited = accept_limited();
    script_knows(&s, &s.peer, 2, (const char *const[]){Q1, R1});
    script_open(&s, &streams[0], &s.peer);
    script_open_with(&s, &streams[1], &s.peer, HOST_REQUEST_LIMITED);
    script_turn(&s);
    cr_assert_eq(streams[0].done, 0);
    cr_assert(streams[1].stream != NULL && stream_conn(streams[1].stream) == &limited->conn);
    cr_assert_eq(s.dials_count, 1, "the direct address alone");
    struct script_conn *direct = script_dial_ok(&s, Q1);
    cr_assert(streams[0].stream != NULL && stream_conn(streams[0].stream) == &direct->conn);
    (void)stream_release(streams[0].stream);
    (void)stream_release(streams[1].stream);
    script_done(&s);
}

Test(swarm_conns, who_wants_more_than_a_limited_one_is_told_when_nothing_else_is_to_be_had) {
    begin();
    (void)accept_limited();
    script_knows(&s, &s.peer, 2, (const char *const[]){Q1, R1});
    script_open(&s, &streams[0], &s.peer);
    script_turn(&s);
    script_dial_fails(&s, Q1, -ECONNREFUSED);
    cr_assert_eq(streams[0].done, 1);
    cr_assert_eq(streams[0].error, -ERR_LIMITED_CONN);
    script_done(&s);
}

/* --- Without dialling --- */

Test(swarm_conns, a_stream_without_dialling_takes_what_stands_or_ends) {
    begin();
    script_knows(&s, &s.peer, 1, (const char *const[]){Q1});
    script_open_with(&s, &streams[0], &s.peer, HOST_REQUEST_NO_DIAL);
    script_turn(&s);
    cr_assert_eq(streams[0].error, -ERR_NOT_CONNECTED);
    cr_assert_eq(s.dials_begun, 0);
    struct script_conn *c = script_accept(&s, &s.peer, Q2);
    script_open_with(&s, &streams[1], &s.peer, HOST_REQUEST_NO_DIAL);
    script_turn(&s);
    cr_assert(streams[1].stream != NULL);
    c->streams_max = 0;
    script_open_with(&s, &streams[2], &s.peer, HOST_REQUEST_NO_DIAL);
    script_turn(&s);
    cr_assert_eq(streams[2].error, -ERR_RESOURCE_LIMIT);
    cr_assert_eq(s.dials_begun, 0);
    (void)stream_release(streams[1].stream);
    script_done(&s);
}

/* --- Addresses one by one --- */

Test(swarm_conns, an_address_more_is_dialled_with_the_others_and_known_ones_change_nothing) {
    begin();
    char text[64];
    struct multiaddr a;
    script_knows(&s, &s.peer, 1, (const char *const[]){Q1});
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(multiaddr_parse(Q2, &a), 0);
        cr_assert_eq(host_add_addr(s.host, &s.peer, &a), 0);
    }
    const struct peer *p = swarm_find(s.host, &s.peer);
    cr_assert_eq(p->given.count, 2);
    for (int i = 0; i < HOST_ADDRS_PER_PEER_MAX; i++) {
        (void)snprintf(text, sizeof(text), "/ip4/9.9.9.9/tcp/%d", i + 1);
        cr_assert_eq(multiaddr_parse(text, &a), 0);
        cr_assert_eq(host_add_addr(s.host, &s.peer, &a), 0);
    }
    cr_assert_eq(p->given.count, HOST_ADDRS_PER_PEER_MAX);
    cr_assert(multiaddr_equal(&p->given.items[HOST_ADDRS_PER_PEER_MAX - 1], &a), "the latest");
    script_done(&s);
}

/* --- Who watches --- */

struct watcher {
    struct host_watch watch;
    int opened;
    int closed;
    bool leaves; /* in the next call */
};

static void on_opened(struct host_watch *w, struct conn *c) {
    struct watcher *x = CONTAINER_OF(w, struct watcher, watch);
    cr_assert(peer_id_equal(&c->peer, &s.peer));
    cr_assert_eq(host_conns_count(s.host, &s.peer), 1);
    x->opened++;
    if (x->leaves)
        host_unwatch(w);
}

static void on_closed(struct host_watch *w, struct conn *c) {
    struct watcher *x = CONTAINER_OF(w, struct watcher, watch);
    cr_assert(peer_id_equal(&c->peer, &s.peer));
    cr_assert_eq(host_conns_count(s.host, &s.peer), 0);
    x->closed++;
}

Test(swarm_conns, watchers_are_told_of_connections_that_come_and_go) {
    begin();
    static struct watcher a = {.watch = {.opened = on_opened, .closed = on_closed}};
    static struct watcher b = {.watch = {.opened = on_opened}, .leaves = true};
    host_watch(s.host, &a.watch);
    host_watch(s.host, &b.watch);
    struct script_conn *c = script_accept(&s, &s.peer, Q1);
    cr_assert(a.opened == 1 && b.opened == 1 && a.closed == 0);
    script_conn_over(c, 0, "");
    cr_assert_eq(a.closed, 1);
    c = script_accept(&s, &s.peer, Q1);
    cr_assert(a.opened == 2 && b.opened == 1);
    host_unwatch(&a.watch);
    script_done(&s);
}

/* Who waits on a stream in vain says so: the next one goes elsewhere, until the peer is heard. */
Test(swarm_conns, one_on_which_somebody_waits_in_vain_takes_no_stream_until_its_peer_is_heard) {
    begin();
    struct script_conn *c = dial(T1);
    c->heard_at = s.fake->now;
    open_on(&streams[0], c);
    cr_assert(stream_is_silent(streams[0].stream, 0));
    cr_assert_not(stream_is_silent(streams[0].stream, SEC(3)));
    script_wait(&s, SEC(3));
    cr_assert(stream_is_silent(streams[0].stream, SEC(3)));
    host_doubt(s.host, streams[0].stream);
    cr_assert_eq(c->probes, 1);
    script_open(&s, &streams[1], &s.peer);
    script_wait(&s, SEC(1));
    cr_assert_eq(streams[1].done, 0);
    cr_assert(script_dial(&s, T1) != NULL);
    c->heard_at = s.fake->now;
    script_wait(&s, SEC(1));
    cr_assert(streams[1].stream != NULL && stream_conn(streams[1].stream) == &c->conn);
    (void)stream_release(streams[0].stream);
    (void)stream_release(streams[1].stream);
    script_done(&s);
}

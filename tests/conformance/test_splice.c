/* SPDX-License-Identifier: MIT */

/* Two connections joined to one: everything passes, in order and both ways, and ends as it would
 * without the join.
 *
 *   near.client ── near.server ═ join ═ far.server ── far.client */

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"
#include "uring/splice.h"

struct join {
    struct fixture *t;
    struct pair near;
    struct pair far;
    struct tcp_splice splice;
    uint64_t totals[TCP_SPLICE_DIRECTIONS];
    int ended;
    int error;
};

static void on_ended(struct tcp_splice *s, int error) {
    struct join *j = CONTAINER_OF(s, struct join, splice);
    j->ended++;
    j->error = error;
    cr_assert_eq(j->ended, 1);
}

static void join_open(struct join *j, struct fixture *t) {
    *j = (struct join){.t = t};
    cr_assert(pair_open(&j->near, t, V4));
    cr_assert(pair_open(&j->far, t, V4));
    tcp_read_stop(&j->near.server.conn); /* so that a reset is told */
    tcp_read_stop(&j->far.server.conn);
}

static int join_try(struct join *j, uint64_t data_max) {
    struct tcp_splice_config cfg = {
        .a = &j->near.server.conn,
        .b = &j->far.server.conn,
        .data_max = data_max,
        .totals = {&j->totals[TCP_SPLICE_A_TO_B], &j->totals[TCP_SPLICE_B_TO_A]},
        .ended = on_ended,
    };
    int e = tcp_splice_start(&j->splice, j->t->reactor, &cfg);
    cr_assert_eq(j->ended, 0, "a callback from inside the call");
    return e;
}

static void join_start(struct join *j, uint64_t data_max) {
    cr_assert_eq(join_try(j, data_max), 0);
    tcp_read_start(&j->near.client.conn);
    tcp_read_start(&j->far.client.conn);
}

static void join_end(struct join *j) {
    tcp_splice_stop(&j->splice);
    pair_end(&j->near);
    pair_end(&j->far);
    tcp_splice_done(&j->splice);
}

/* Sends [*at, to) of the pattern, as far as it goes without waiting. */
static void feed(struct fixture *t, struct peer *p, uint64_t *at, uint64_t to) {
    struct slice v[4];
    size_t count = 0;
    if (tcp_is_writing(&p->conn))
        return;
    while (count < ARRAY_COUNT(v) && *at < to) {
        uint32_t len = (uint32_t)MIN(to - *at, (uint64_t)50000);
        v[count++] = pattern_slice(t, *at, len);
        *at += len;
    }
    if (count > 0)
        tcp_write(&p->conn, v, count);
}

static void turn(struct fixture *t) {
    cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(20)), 0);
}

CASE(splice, carries_both_ways_at_once_and_each_ends_by_itself) {
    enum { LEN = 6 << 20 };
    struct join j;
    uint64_t near_at = 0;
    uint64_t far_at = 0;
    join_open(&j, t);
    join_start(&j, 0);
    nsec_t until = reactor_now(t->reactor) + SEC(20);
    while (j.near.client.got_len < LEN / 2 || j.far.client.got_len < LEN) {
        feed(t, &j.near.client, &near_at, LEN);
        feed(t, &j.far.client, &far_at, LEN / 2);
        turn(t);
        cr_assert(reactor_now(t->reactor) < until);
    }
    cr_assert_eq(j.far.client.sum, pattern_sum(LEN));
    cr_assert_eq(j.near.client.sum, pattern_sum(LEN / 2));
    cr_assert_eq(j.totals[TCP_SPLICE_A_TO_B], LEN);
    cr_assert_eq(j.totals[TCP_SPLICE_B_TO_A], LEN / 2);
    TURN_UNTIL(t, !tcp_is_writing(&j.near.client.conn) && !tcp_is_writing(&j.far.client.conn));

    tcp_shutdown_write(&j.near.client.conn);
    TURN_UNTIL(t, j.far.client.eof == 1);
    cr_assert_eq(j.near.client.eof, 0);
    cr_assert_eq(j.ended, 0);
    struct slice s = pattern_slice(t, LEN / 2, 1000); /* the other way goes on */
    tcp_write(&j.far.client.conn, &s, 1);
    TURN_UNTIL(t, j.near.client.got_len == LEN / 2 + 1000);
    tcp_shutdown_write(&j.far.client.conn);
    TURN_UNTIL(t, j.near.client.eof == 1 && j.ended == 1);
    cr_assert_eq(j.error, 0);
    cr_assert_not(j.splice.ways[TCP_SPLICE_A_TO_B].is_limited);
    join_end(&j);
}

/* Goal: what came before the join, up to an end, is not lost. */
CASE(splice, what_waited_in_the_socket_passes) {
    struct join j;
    join_open(&j, t);
    struct slice s = pattern_slice(t, 0, 20000);
    tcp_write(&j.near.client.conn, &s, 1);
    TURN_UNTIL(t, j.near.client.written == 1);
    tcp_shutdown_write(&j.near.client.conn);
    turn_while_ready(t);
    join_start(&j, 0);
    TURN_UNTIL(t, j.far.client.eof == 1);
    cr_assert_eq(j.far.client.sum, pattern_sum(20000));
    join_end(&j);
}

/* Goal: a reader that does not read stops its sender, and nothing of it is kept here but a pipe. */
CASE(splice, a_slow_reader_holds_back_its_sender) {
    enum { LEN = 24 << 20 };
    struct join j;
    uint64_t at = 0;
    join_open(&j, t);
    join_start(&j, 0);
    tcp_read_stop(&j.far.client.conn);
    uint64_t before = 1;
    while (before != at) { /* until it does not go on for a while */
        before = at;
        nsec_t until = reactor_now(t->reactor) + MSEC(300);
        while (reactor_now(t->reactor) < until) {
            feed(t, &j.near.client, &at, LEN);
            turn(t);
        }
    }
    cr_assert_lt(at, LEN);
    cr_assert_eq(j.far.client.got_len, 0);
    cr_assert_gt(j.splice.ways[TCP_SPLICE_A_TO_B].held, 0);
    cr_assert_leq(j.splice.ways[TCP_SPLICE_A_TO_B].held, STREAM_PIPE_BYTES);
    struct slice s = pattern_slice(t, 0, 1000); /* and not the other way */
    tcp_write(&j.far.client.conn, &s, 1);
    TURN_UNTIL(t, j.near.client.got_len == 1000);

    tcp_read_start(&j.far.client.conn);
    nsec_t until = reactor_now(t->reactor) + SEC(20);
    while (j.far.client.got_len < LEN) {
        feed(t, &j.near.client, &at, LEN);
        turn(t);
        cr_assert(reactor_now(t->reactor) < until);
    }
    cr_assert_eq(j.far.client.sum, pattern_sum(LEN));
    TURN_UNTIL(t, !tcp_is_writing(&j.near.client.conn));
    join_end(&j);
}

CASE(splice, exactly_as_much_as_the_limit_passes_each_way) {
    enum { LIMIT = 300001 };
    struct join j;
    uint64_t near_at = 0;
    uint64_t far_at = 0;
    join_open(&j, t);
    join_start(&j, LIMIT);
    nsec_t until = reactor_now(t->reactor) + SEC(20);
    while (j.ended == 0) {
        feed(t, &j.near.client, &near_at, 8 << 20);
        if (j.far.client.eof == 1)
            feed(t, &j.far.client, &far_at, 8 << 20);
        turn(t);
        cr_assert(reactor_now(t->reactor) < until);
    }
    TURN_UNTIL(t, j.near.client.eof == 1);
    cr_assert_eq(j.error, 0);
    cr_assert(j.splice.ways[TCP_SPLICE_A_TO_B].is_limited);
    cr_assert(j.splice.ways[TCP_SPLICE_B_TO_A].is_limited);
    cr_assert_eq(j.far.client.got_len, LIMIT);
    cr_assert_eq(j.far.client.sum, pattern_sum(LIMIT));
    cr_assert_eq(j.near.client.got_len, LIMIT);
    cr_assert_eq(j.totals[TCP_SPLICE_A_TO_B], LIMIT);
    join_end(&j);
}

/* Goal: as many bytes as the limit are not beyond it. */
CASE(splice, an_end_right_at_the_limit_is_an_end) {
    struct join j;
    join_open(&j, t);
    join_start(&j, 5000);
    struct slice s = pattern_slice(t, 0, 5000);
    tcp_write(&j.near.client.conn, &s, 1);
    TURN_UNTIL(t, j.far.client.got_len == 5000 && j.far.client.eof == 1);
    cr_assert_eq(j.far.client.sum, pattern_sum(5000));
    join_end(&j);
}

/* Goal: a reset of either end is told, by one of the two ways that there are. */
CASE(splice, a_reset_of_either_end_is_told) {
    for (int i = 0; i < 2; i++) {
        struct join j;
        join_open(&j, t);
        join_start(&j, 0);
        struct peer *victim = i == 0 ? &j.near.client : &j.far.client;
        struct peer *here = i == 0 ? &j.near.server : &j.far.server;
        tcp_reset(&victim->conn);
        TURN_UNTIL(t, j.ended + here->failed > 0);
        cr_assert(j.ended == 0 || j.error < 0);
        join_end(&j);
    }
}

CASE(splice, a_reset_in_the_middle_of_a_transfer_is_told) {
    struct join j;
    uint64_t at = 0;
    join_open(&j, t);
    join_start(&j, 0);
    while (j.far.client.got_len < 1 << 20) {
        feed(t, &j.near.client, &at, 64 << 20);
        turn(t);
    }
    tcp_reset(&j.far.client.conn);
    nsec_t until = reactor_now(t->reactor) + SEC(20);
    while (j.ended + j.far.server.failed == 0) {
        feed(t, &j.near.client, &at, 64 << 20);
        turn(t);
        cr_assert(reactor_now(t->reactor) < until);
    }
    join_end(&j);
}

static void buffer_little(const struct tcp_conn *c, int option) {
    int bytes = 4096;
    cr_assert_eq(setsockopt(c->fd, SOL_SOCKET, option, &bytes, sizeof(bytes)), 0);
}

/* Goal: who closes behind its last byte resets whatever comes for it later; that costs the slow
 * reader of those last bytes nothing. */
static void close_under_a_slow_reader(struct fixture *t, bool at_once) {
    enum { LEN = 320000 };
    struct join j;
    uint64_t at = 0;
    uint64_t back = 0;
    join_open(&j, t);
    buffer_little(&j.far.server.conn, SO_SNDBUF);
    buffer_little(&j.far.client.conn, SO_RCVBUF);
    join_start(&j, 0);
    tcp_read_stop(&j.far.client.conn);
    while (at < LEN || tcp_is_writing(&j.near.client.conn)) {
        feed(t, &j.near.client, &at, LEN);
        turn(t);
    }
    if (at_once) {
        cr_assert_eq(shutdown(j.near.client.conn.fd, SHUT_RDWR), 0);
        cr_assert_eq(send(j.near.server.conn.fd, "x", 1, 0), 1);
    } else {
        tcp_shutdown_write(&j.near.client.conn);
        TURN_UNTIL(t, j.near.server.conn.fin_seen);
        tcp_close(&j.near.client.conn);
        TURN_UNTIL(t, j.near.client.closed == 1);
    }
    nsec_t until = reactor_now(t->reactor) + SEC(20);
    while (!j.splice.ways[TCP_SPLICE_B_TO_A].is_unwanted) {
        feed(t, &j.far.client, &back, UINT64_MAX);
        turn(t);
        cr_assert(reactor_now(t->reactor) < until);
    }
    cr_assert_gt(j.splice.ways[TCP_SPLICE_A_TO_B].held, 0);
    cr_assert_eq(j.far.client.got_len, 0);
    tcp_read_start(&j.far.client.conn);
    TURN_UNTIL(t, j.far.client.eof == 1);
    cr_assert_eq(j.far.client.got_len, LEN);
    cr_assert_eq(j.far.client.sum, pattern_sum(LEN));
    cr_assert_eq(j.ended, 0);
    TURN_UNTIL(t, !tcp_is_writing(&j.far.client.conn));
    tcp_shutdown_write(&j.far.client.conn);
    TURN_UNTIL(t, j.ended == 1);
    cr_assert_eq(j.error, 0);
    cr_assert_eq(j.near.server.failed, 0);
    join_end(&j);
}

CASE(splice, what_comes_for_a_closed_end_takes_nothing_from_the_other_one) {
    NEEDS_KERNEL();
    close_under_a_slow_reader(t, false);
}

CASE(splice, nor_where_the_end_and_the_reset_are_seen_in_one_turn) {
    NEEDS_KERNEL();
    close_under_a_slow_reader(t, true);
}

/* Goal: urgent data, which poll() and splice() see differently, does not make it spin. */
CASE(splice, urgent_data_breaks_it) {
    NEEDS_KERNEL();
    struct join j;
    join_open(&j, t);
    join_start(&j, 0);
    cr_assert_eq(send(j.near.client.conn.fd, "abc", 3, 0), 3);
    cr_assert_eq(send(j.near.client.conn.fd, "!", 1, MSG_OOB), 1);
    cr_assert_eq(send(j.near.client.conn.fd, "def", 3, 0), 3);
    TURN_UNTIL(t, j.ended == 1);
    cr_assert_eq(j.error, -EPROTO);
    join_end(&j);
}

/* Goal: its owner may end it at any time, and hears nothing more. */
CASE(splice, may_be_ended_while_it_waits_and_while_it_carries) {
    for (uint64_t len = 0; len <= 4 << 20; len += 2 << 20) {
        struct join j;
        uint64_t at = 0;
        join_open(&j, t);
        join_start(&j, 0);
        tcp_read_stop(&j.far.client.conn);
        for (int i = 0; i < 20 && at < len; i++) {
            feed(t, &j.near.client, &at, len);
            turn(t);
        }
        turn(t);
        tcp_splice_stop(&j.splice);
        tcp_reset(&j.near.server.conn);
        tcp_reset(&j.far.server.conn);
        TURN_UNTIL(t, j.near.server.closed == 1 && j.far.server.closed == 1);
        tcp_splice_done(&j.splice);
        cr_assert_eq(j.ended, 0);
        pair_end(&j.near);
        pair_end(&j.far);
    }
}

CASE(splice, ten_beside_each_other_stay_apart) {
    enum { JOINS = 10 };
    static struct join joins[JOINS];
    uint64_t at[JOINS];
    uint64_t left = JOINS;
    for (uint64_t i = 0; i < JOINS; i++) {
        join_open(&joins[i], t);
        join_start(&joins[i], 0);
        at[i] = i * 777;
    }
    nsec_t until = reactor_now(t->reactor) + SEC(20);
    while (left > 0) {
        left = 0;
        for (uint64_t i = 0; i < JOINS; i++) {
            feed(t, &joins[i].near.client, &at[i], i * 777 + (1 << 20));
            left += joins[i].far.client.got_len < 1 << 20;
        }
        turn(t);
        cr_assert(reactor_now(t->reactor) < until);
    }
    for (uint64_t i = 0; i < JOINS; i++) {
        cr_assert_eq(joins[i].far.client.sum, pattern_sum_from(i * 777, 1 << 20));
        join_end(&joins[i]);
    }
}

/* Goal: four descriptors or none; the connections are as before. */
CASE(splice, does_not_begin_without_descriptors) {
    NEEDS_KERNEL();
    struct join j;
    struct rlimit before;
    join_open(&j, t);
    int next = dup(STDERR_FILENO);
    cr_assert_geq(next, 0);
    (void)close(next);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int room = 0; room < 4; room++) {
        struct rlimit few = {.rlim_cur = (rlim_t)(next + room), .rlim_max = before.rlim_max};
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        cr_assert_eq(join_try(&j, 0), -EMFILE, "room for %d", room);
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    join_start(&j, 0);
    struct slice s = pattern_slice(t, 0, 1000);
    tcp_write(&j.near.client.conn, &s, 1);
    TURN_UNTIL(t, j.far.client.got_len == 1000);
    join_end(&j);
}

/* --- Reading no further than wanted --- */

/* Goal: what is behind the limit is still in the socket, for whoever takes it over. */
static void stop_inside(struct peer *p, struct slice *s) {
    (void)s;
    tcp_read_stop(&p->conn);
}

CASE(splice, takes_what_a_limited_read_left_to_the_byte) {
    enum { HEAD = 48, LEN = 30000 };
    struct join j;
    join_open(&j, t);
    struct slice s = pattern_slice(t, 0, LEN);
    tcp_write(&j.near.client.conn, &s, 1);
    TURN_UNTIL(t, j.near.client.written == 1);
    struct peer *head = &j.near.server;
    head->on_data = stop_inside;
    while (head->got_len < HEAD) { /* in steps of 7 */
        int before = head->data;
        tcp_read_limit(&head->conn, (uint32_t)MIN((size_t)7, HEAD - head->got_len));
        tcp_read_start(&head->conn);
        TURN_UNTIL(t, head->data > before);
        cr_assert_leq(head->got_len, HEAD);
    }
    cr_assert_eq(head->sum, pattern_sum(HEAD));
    join_start(&j, 0);
    TURN_UNTIL(t, j.far.client.got_len == LEN - HEAD);
    cr_assert_eq(j.far.client.sum, pattern_sum_from(HEAD, LEN - HEAD));
    join_end(&j);
}

/* SPDX-License-Identifier: MIT */
#include "core/base/problem.h"
#include "links.h"
#include "transport/proto/yamux.h"
#include "transport/stream_internal.h"
#include "transport/yamux_conn.h"

/* Goal: transport/conn.h over yamux: YAMUX_CASE(name) makes tcp_yamux_name (in a bare TCP link) and
 * secure_yamux_name (in a channel), each over both backends. */

enum { TAPS_MAX = 256 };

/* A connection, what it told, and its streams. */
struct peer_end {
    struct fixture *t;
    struct conn *conn;
    bool deaf; /* takes no events */
    int confirmed;
    int available;
    int closed;
    int closed_error;
    char why[PROBLEM_TEXT_MAX];
    int gone;
    struct stream_acceptor acceptor;
    struct protocol_handler handler;
    struct tap taps[TAPS_MAX];
    size_t taps_count;
};

struct world {
    struct fixture *t;
    struct ends ends;
    struct peer_end a; /* initiator */
    struct peer_end b;
};

static void on_confirmed(struct conn *c) {
    ((struct peer_end *)c->user)->confirmed++;
}

static void on_stream_opened(struct conn *c, struct muxed *m) {
    struct peer_end *x = c->user;
    stream_new_inbound(x->t->reactor, c, m, &x->acceptor);
}

static void on_streams_available(struct conn *c) {
    ((struct peer_end *)c->user)->available++;
}

static void on_datagram(struct conn *c, struct slice datagram) {
    (void)c;
    (void)datagram;
    cr_assert_fail("yamux has no datagrams");
}

static void on_conn_closed(struct conn *c, int error, const struct problem *why) {
    struct peer_end *x = c->user;
    x->closed++;
    x->closed_error = error;
    memcpy(x->why, why->text, sizeof(x->why));
}

static const struct conn_events conn_events = {on_confirmed, on_stream_opened, on_streams_available,
                                               on_datagram, on_conn_closed};

static struct protocol_handler *propose(struct stream_acceptor *a, struct conn *c,
                                        struct bytes name, bool *ret_refused) {
    (void)c;
    (void)name;
    (void)ret_refused;
    return &CONTAINER_OF(a, struct peer_end, acceptor)->handler;
}

static void accepted(struct stream_acceptor *a, struct protocol_handler *h, struct stream *s) {
    struct peer_end *x = CONTAINER_OF(a, struct peer_end, acceptor);
    (void)h;
    cr_assert_lt(x->taps_count, (size_t)TAPS_MAX);
    tap_attach(&x->taps[x->taps_count++], x->t, s);
}

static void on_gone(void *user, struct conn *c) {
    struct peer_end *x = user;
    cr_assert_eq(x->conn, c);
    x->gone++;
}

static int conn_make(struct peer_end *x, struct world *w, struct link *link, bool initiator,
                     struct slice_queue *rest) {
    struct slice_queue nothing;
    x->t = w->t;
    x->acceptor = (struct stream_acceptor){propose, accepted};
    x->handler.protocol = TEST_PROTOCOL;
    slice_queue_init(&nothing, reactor_mem(w->t->reactor));
    struct yamux_conn_config cfg = {.reactor = w->t->reactor,
                                    .link = link,
                                    .rest = rest == NULL ? &nothing : rest,
                                    .initiator = initiator,
                                    .inbound = !initiator,
                                    .gone = on_gone,
                                    .user = x};
    int e = yamux_conn_new(&cfg, &x->conn);
    if (e < 0)
        return e;
    x->conn->user = x;
    if (!x->deaf)
        x->conn->events = &conn_events;
    return 0;
}

static void conns_open(struct world *w) {
    cr_assert_eq(conn_make(&w->a, w, TAKE(w->ends.a.link), true, NULL), 0);
    cr_assert_eq(conn_make(&w->b, w, TAKE(w->ends.b.link), false, NULL), 0);
}

/* The next tap of x gets a stream of its own. */
static struct tap *open_stream(struct peer_end *x) {
    struct muxed *m;
    struct stream *s;
    cr_assert_eq(x->conn->ops->open_stream(x->conn, &m), 0);
    cr_assert_eq(stream_new_outbound(x->t->reactor, x->conn, m, TEST_PROTOCOL, &s), 0);
    struct tap *tap = &x->taps[x->taps_count++];
    tap_attach(tap, x->t, s);
    return tap;
}

static void taps_end(struct peer_end *x) {
    for (size_t i = 0; i < x->taps_count; i++)
        x->taps[i].stream = stream_release(x->taps[i].stream);
}

static void world_end(struct world *w) {
    if (w->a.conn != NULL && w->a.gone == 0)
        w->a.conn->ops->close(w->a.conn, 0);
    taps_end(&w->a);
    taps_end(&w->b);
    TURN_UNTIL(w->t, w->a.gone == (w->a.conn != NULL) && w->b.gone == (w->b.conn != NULL));
}

#define YAMUX_CASE(name)               \
    static void name(struct world *w); \
    CASE(tcp_yamux, name) {            \
        static struct world w;         \
        w.t = t;                       \
        tcp_ends_open(&w.ends, t);     \
        name(&w);                      \
        world_end(&w);                 \
    }                                  \
    CASE(secure_yamux, name) {         \
        static struct world w;         \
        w.t = t;                       \
        secure_ends_open(&w.ends, t);  \
        name(&w);                      \
        world_end(&w);                 \
    }                                  \
    static void name(struct world *w)

/* --- Life --- */

YAMUX_CASE(initiator_is_confirmed_by_the_first_byte_and_a_responder_at_once) {
    cr_assert_eq(conn_make(&w->a, w, TAKE(w->ends.a.link), true, NULL), 0);
    w->ends.b.paused = true;
    turn_for(w->t, MSEC(5));
    cr_assert_eq(w->a.confirmed, 0);
    cr_assert_not(w->a.conn->confirmed);
    cr_assert_eq(conn_make(&w->b, w, TAKE(w->ends.b.link), false, NULL), 0);
    cr_assert_eq(w->b.confirmed, 0, "a callback from inside the call");
    TURN_UNTIL(w->t, w->a.confirmed == 1 && w->b.confirmed == 1);
    cr_assert(w->a.conn->confirmed);
    cr_assert(w->b.conn->inbound);
    cr_assert_not(w->a.conn->inbound);
    TURN_UNTIL(w->t, w->a.conn->ops->rtt(w->a.conn) > 0);
    cr_assert_eq(w->a.confirmed + w->b.confirmed, 2);
}

YAMUX_CASE(has_no_datagrams) {
    conns_open(w);
    struct buf *b = buf_new(reactor_pool(w->t->reactor), BUF_1K, NULL);
    cr_assert_eq(w->a.conn->ops->datagram_max(w->a.conn), 0);
    cr_assert_eq(w->a.conn->ops->send_datagram(w->a.conn, slice_of(b, 0, 10)), -ENOTSUP);
}

YAMUX_CASE(refusal_is_told_with_its_code_to_a_peer_that_is_not_confirmed) {
    w->b.deaf = true;
    conns_open(w);
    struct tap *x = open_stream(&w->a);
    w->b.conn->ops->close(w->b.conn, CONN_CODE_GATED);
    TURN_UNTIL(w->t, w->a.closed == 1);
    cr_assert_eq(w->a.closed_error, -ERR_GATED);
    cr_assert_neq(w->a.why[0], '\0');
    cr_assert_eq(w->a.confirmed, 0);
    cr_assert_eq(x->closed, 1);
    cr_assert_eq(x->closed_error, -ERR_GATED);
}

YAMUX_CASE(closes_with_all_its_streams_on_both_sides) {
    conns_open(w);
    struct tap *x = open_stream(&w->a);
    tap_write(x, 1000, false);
    TURN_UNTIL(w->t, w->b.taps_count == 1 && w->b.taps[0].got == 1000);
    w->a.conn->ops->close(w->a.conn, CONN_CODE_NONE);
    cr_assert_eq(w->a.closed + x->closed, 0, "a callback from inside the call");
    TURN_UNTIL(w->t, w->a.closed == 1 && w->b.closed == 1);
    cr_assert_eq(w->a.closed_error, 0);
    cr_assert_eq(w->b.closed_error, -ERR_CONN_CLOSED);
    cr_assert_eq(x->closed_error, -ERR_CONN_CLOSED);
    cr_assert_eq(w->b.taps[0].closed_error, -ERR_CONN_CLOSED);
    TURN_UNTIL(w->t, w->a.gone == 1 && w->b.gone == 1);
}

YAMUX_CASE(stays_until_its_last_stream_is_released) {
    struct muxed *held;
    struct muxed *m;
    conns_open(w);
    cr_assert_eq(w->a.conn->ops->open_stream(w->a.conn, &held), 0);
    w->a.conn->ops->close(w->a.conn, CONN_CODE_NONE);
    TURN_UNTIL(w->t, w->a.closed == 1 && w->b.gone == 1);
    turn_for(w->t, MSEC(5));
    cr_assert_eq(w->a.gone, 0);
    cr_assert_eq(w->a.conn->ops->open_stream(w->a.conn, &m), -ERR_CONN_CLOSED);
    w->a.conn->ops->muxed.release(held);
    TURN_UNTIL(w->t, w->a.gone == 1);
}

YAMUX_CASE(end_of_the_link_is_a_close) {
    cr_assert_eq(conn_make(&w->a, w, TAKE(w->ends.a.link), true, NULL), 0);
    (void)open_stream(&w->a);
    w->ends.b.paused = true;
    turn_for(w->t, MSEC(2));
    link_shutdown_write(w->ends.b.link);
    TURN_UNTIL(w->t, w->a.closed == 1);
    cr_assert_eq(w->a.closed_error, -ERR_CONN_CLOSED);
    cr_assert_eq(w->a.taps[0].closed_error, -ERR_CONN_CLOSED);
    end_close(&w->ends.b, false);
    TURN_UNTIL(w->t, w->ends.b.closed == 1);
}

/* go closes so. */
YAMUX_CASE(reset_of_the_link_is_a_close) {
    cr_assert_eq(conn_make(&w->a, w, TAKE(w->ends.a.link), true, NULL), 0);
    (void)open_stream(&w->a);
    w->ends.b.paused = true;
    turn_for(w->t, MSEC(2));
    end_close(&w->ends.b, true);
    TURN_UNTIL(w->t, w->a.closed == 1);
    cr_assert_eq(w->a.closed_error, -ERR_CONN_CLOSED);
    TURN_UNTIL(w->t, w->ends.b.closed == 1);
}

/* Its last words cannot be taken: the link goes all the same. */
YAMUX_CASE(closes_beside_a_peer_that_reads_nothing) {
    cr_assert_eq(conn_make(&w->a, w, TAKE(w->ends.a.link), true, NULL), 0);
    w->ends.b.paused = true;
    for (int i = 0; i < 100; i++)
        tap_write(open_stream(&w->a), 256 << 10, false);
    turn_for(w->t, MSEC(20));
    w->a.conn->ops->close(w->a.conn, CONN_CODE_SHUTDOWN);
    taps_end(&w->a);
    TURN_UNTIL(w->t, w->a.gone == 1);
    cr_assert_eq(w->a.closed, 1);
    end_close(&w->ends.b, false);
    TURN_UNTIL(w->t, w->ends.b.closed == 1);
}

/* What was read behind the negotiation of the multiplexer. */
YAMUX_CASE(begins_with_the_bytes_that_were_read_before) {
    static const uint8_t ping[] = {0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7};
    struct slice_queue rest;
    w->ends.a.paused = true;
    w->ends.b.paused = true;
    slice_queue_init(&rest, reactor_mem(w->t->reactor));
    struct buf *b = buf_new(reactor_pool(w->t->reactor), BUF_1K, NULL);
    memcpy(b->data, ping, sizeof(ping));
    struct slice v = slice_of(b, 0, sizeof(ping));
    cr_assert_eq(link_write(w->ends.a.link, &v, 1), 1);
    ssize_t n = 0;
    while (n == 0) {
        cr_assert_eq(reactor_turn(w->t->reactor, 0), 0);
        n = link_read(w->ends.b.link, &v, 1);
    }
    cr_assert_eq(n, 1);
    cr_assert_eq(slice_queue_push(&rest, v), 0);
    cr_assert_eq(conn_make(&w->b, w, TAKE(w->ends.b.link), false, &rest), 0);
    cr_assert_eq(rest.count, 0);
    /* Its first ping and its answer. */
    size_t got = 0;
    uint8_t answer[64];
    while (got < 24) {
        cr_assert_eq(reactor_turn(w->t->reactor, reactor_now(w->t->reactor) + MSEC(10)), 0);
        while (link_read(w->ends.a.link, &v, 1) == 1) {
            memcpy(answer + got, v.data, v.len);
            got += v.len;
            link_consume(w->ends.a.link, &v);
        }
    }
    cr_assert_eq(memcmp(answer, "\0\2\0\2\0\0\0\0\0\0\0\7", 12), 0);
    end_close(&w->ends.a, false);
    TURN_UNTIL(w->t, w->b.closed == 1);
}

YAMUX_CASE(new_fails_without_memory_and_leaves_the_link) {
    for (long at = 1;; at++) {
        w->t->mem.fail_at = w->t->mem.calls + at;
        int e = conn_make(&w->a, w, w->ends.a.link, true, NULL);
        w->t->mem.fail_at = 0;
        if (e == 0)
            break;
        cr_assert_eq(e, -ENOMEM);
    }
    w->ends.a.link = NULL;
    cr_assert_eq(conn_make(&w->b, w, TAKE(w->ends.b.link), false, NULL), 0);
    TURN_UNTIL(w->t, w->a.confirmed == 1);
}

/* --- Streams --- */

YAMUX_CASE(carries_many_streams_both_ways) {
    enum { STREAMS = 50 };
    conns_open(w);
    for (uint64_t i = 0; i < STREAMS; i++)
        tap_write(open_stream(&w->a), 1 + i * 40009, true);
    TURN_UNTIL(w->t, w->b.taps_count == STREAMS);
    for (size_t i = 0; i < STREAMS; i++)
        tap_write(&w->b.taps[i], 1 + i * 30011, true);
    for (size_t i = 0; i < STREAMS; i++)
        TURN_UNTIL(w->t, w->a.taps[i].closed == 1 && w->b.taps[i].closed == 1);
    for (size_t i = 0; i < STREAMS; i++) {
        cr_assert_eq(w->a.taps[i].closed_error + w->b.taps[i].closed_error, 0);
        cr_assert(w->a.taps[i].eof && w->b.taps[i].eof);
        cr_assert_not(w->a.taps[i].wrong || w->b.taps[i].wrong);
        cr_assert_eq(w->b.taps[i].got, 1 + i * 40009);
        cr_assert_eq(w->a.taps[i].got, 1 + i * 30011);
    }
}

YAMUX_CASE(stream_that_nobody_reads_holds_up_no_other) {
    enum { BYTES = 16 << 20 };
    conns_open(w);
    struct tap *slow = open_stream(&w->a);
    TURN_UNTIL(w->t, w->b.taps_count == 1);
    w->b.taps[0].paused = true;
    tap_write(slow, BYTES, true);
    struct tap *fast = open_stream(&w->a);
    tap_write(fast, BYTES, true);
    TURN_UNTIL(w->t, w->b.taps_count == 2 && w->b.taps[1].eof);
    cr_assert_eq(w->b.taps[1].got, BYTES);
    cr_assert_not(w->b.taps[1].wrong);
    cr_assert_eq(w->b.taps[0].got, 0);
    /* What it holds is its window: with what was written and waits, no more was taken. */
    cr_assert_leq(slow->written, YAMUX_WINDOW_FIRST + YAMUX_STREAM_UNSENT_MAX + 65536);
    w->b.taps[0].paused = false;
    tap_read(&w->b.taps[0]);
    TURN_UNTIL(w->t, w->b.taps[0].eof);
    cr_assert_eq(w->b.taps[0].got, BYTES);
    cr_assert_not(w->b.taps[0].wrong);
}

YAMUX_CASE(reset_reaches_the_other_side_with_its_code) {
    conns_open(w);
    struct tap *x = open_stream(&w->a);
    tap_write(x, 1000, false);
    TURN_UNTIL(w->t, w->b.taps_count == 1 && w->b.taps[0].got == 1000);
    stream_reset(x->stream, STREAM_CODE_RATE_LIMITED);
    TURN_UNTIL(w->t, w->b.taps[0].closed == 1 && x->closed == 1);
    cr_assert_eq(w->b.taps[0].reset_code, STREAM_CODE_RATE_LIMITED);
    cr_assert_eq(w->b.taps[0].stop_code, STREAM_CODE_RATE_LIMITED);
    cr_assert_eq(x->closed_error + w->b.taps[0].closed_error, 0);
}

YAMUX_CASE(is_full_at_200_streams_and_tells_when_it_is_not) {
    struct muxed *m;
    conns_open(w);
    for (int i = 0; i < YAMUX_STREAMS_OPEN_MAX; i++)
        (void)open_stream(&w->a);
    cr_assert_eq(w->a.conn->ops->open_stream(w->a.conn, &m), -EAGAIN);
    TURN_UNTIL(w->t, w->b.taps_count == YAMUX_STREAMS_OPEN_MAX);
    cr_assert_eq(w->a.available, 0);
    stream_reset(w->b.taps[7].stream, STREAM_CODE_NONE);
    TURN_UNTIL(w->t, w->a.available == 1);
    (void)open_stream(&w->a);
    TURN_UNTIL(w->t, w->b.taps_count == YAMUX_STREAMS_OPEN_MAX + 1);
}

/* --- Peers that mean harm; more of them in tests/unit/transport_yamux --- */

enum { PINGS = 100000 };

/* Writes as many pings as the link takes; how many that were. */
static size_t write_pings(struct ends *e, size_t max) {
    size_t written = 0;
    while (written < max) {
        struct buf *b = buf_new(reactor_pool(e->t->reactor), BUF_64K, link_quota(e->b.link));
        if (b == NULL)
            return written;
        size_t count = MIN(max - written, (size_t)b->size / YAMUX_HEADER_BYTES);
        for (size_t i = 0; i < count; i++)
            memcpy(b->data + YAMUX_HEADER_BYTES * i, "\0\2\0\1\0\0\0\0\0\0\0\7", 12);
        struct slice v = slice_of(b, 0, (uint32_t)(count * YAMUX_HEADER_BYTES));
        if (link_write(e->b.link, &v, 1) != 1) {
            slice_unref(&v);
            return written;
        }
        written += count;
    }
    return written;
}

/* Answers that nobody reads are not made: the flood waits in the kernel. */
YAMUX_CASE(flood_of_pings_holds_little_and_is_answered_as_it_is_read) {
    struct slice v;
    size_t asked = 0;
    size_t got = 0;
    struct buf_pool_stats before;
    struct buf_pool_stats after;
    cr_assert_eq(conn_make(&w->a, w, TAKE(w->ends.a.link), true, NULL), 0);
    w->ends.b.paused = true;
    turn_for(w->t, MSEC(5));
    buf_pool_stats(reactor_pool(w->t->reactor), &before);
    for (int i = 0; i < 1000 && asked < PINGS; i++) {
        asked += write_pings(&w->ends, PINGS - asked);
        cr_assert_eq(reactor_turn(w->t->reactor, 0), 0);
    }
    buf_pool_stats(reactor_pool(w->t->reactor), &after);
    cr_assert_leq(after.bytes_in_use, before.bytes_in_use + (8 << 20), "%zu", after.bytes_in_use);
    while (asked < PINGS || got < (PINGS + 1) * YAMUX_HEADER_BYTES) {
        asked += write_pings(&w->ends, PINGS - asked);
        while (link_read(w->ends.b.link, &v, 1) == 1) {
            got += v.len;
            link_consume(w->ends.b.link, &v);
        }
        cr_assert_eq(w->a.closed, 0, "%s", w->a.why);
        cr_assert_eq(reactor_turn(w->t->reactor, reactor_now(w->t->reactor) + MSEC(1)), 0);
    }
    cr_assert_eq(got, (size_t)(PINGS + 1) * YAMUX_HEADER_BYTES, "its own ping, and an answer each");
    end_close(&w->ends.b, false);
    TURN_UNTIL(w->t, w->a.closed == 1);
}

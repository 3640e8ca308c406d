/* SPDX-License-Identifier: MIT */
#include "hosts.h"

/* Goal: transport/stream.h, sentence by sentence, as a user of it over the network sees it. */

CASE(stream, carries_bytes_both_ways_and_ends_one_direction_at_a_time) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    cr_assert(peer_id_equal(stream_peer(p.a.stream), &t->b.identity.id));
    cr_assert(peer_id_equal(stream_peer(p.b.stream), &t->a.identity.id));
    cr_assert_str_eq(stream_protocol(p.a.stream), TEST_PROTOCOL);
    cr_assert(stream_user(p.a.stream) == &p.a);

    tap_write(&p.a, 100000, true);
    TURN_UNTIL(t, p.b.eof);
    cr_assert_eq(p.b.got, 100000);
    cr_assert_not(p.b.wrong);
    cr_assert_not(p.a.eof);
    cr_assert_eq(p.a.closed + p.b.closed, 0);

    tap_write(&p.b, 300000, true);
    TURN_UNTIL(t, p.a.closed == 1 && p.b.closed == 1);
    cr_assert(p.a.eof);
    cr_assert_eq(p.a.got, 300000);
    cr_assert_not(p.a.wrong);
    cr_assert_eq(p.a.closed_error, 0);
    cr_assert_eq(p.b.closed_error, 0);
    cr_assert_eq(p.a.stopped + p.a.reset + p.b.stopped + p.b.reset, 0);
}

CASE(stream, takes_data_and_end_in_the_turn_that_opens_it) {
    open_pair(t);
    static struct handler handler;
    static struct tap b;
    static struct tap a;
    handler_open(&handler, &t->b, TEST_PROTOCOL, CLASS_ANY, &b, 1);
    connect_pair(&t->a, &t->b);
    tap_open(&a, &t->a, &t->b.identity.id, TEST_PROTOCOL);
    while (a.opened == 0)
        cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    tap_write(&a, 1000, true);
    TURN_UNTIL(t, b.eof);
    cr_assert_eq(b.got, 1000);
    cr_assert_not(b.wrong);
    tap_end(&a);
    tap_end(&b);
}

CASE(stream, writes_after_the_end_are_refused) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    uint8_t byte = 1;
    cr_assert_eq(stream_write_bytes(p.a.stream, bytes_of(&byte, 1)), 0);
    stream_shutdown_write(p.a.stream);
    stream_shutdown_write(p.a.stream);
    cr_assert_eq(stream_write_bytes(p.a.stream, bytes_of(&byte, 1)), -EPIPE);
    TURN_UNTIL(t, p.b.eof);
    cr_assert_eq(p.b.got, 1);
    /* The end is told again to who asks again. */
    struct slice in;
    cr_assert_eq(stream_read(p.b.stream, &in, 1), -ENODATA);
    stream_pair_end(&p);
}

CASE(stream, reset_ends_both_directions_with_the_code) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    tap_write(&p.a, 50000, false);
    TURN_UNTIL(t, p.b.got == 50000);
    stream_reset(p.a.stream, 0x1234);
    cr_assert_eq(p.a.closed, 0, "a callback from inside the call");
    TURN_UNTIL(t, p.b.reset == 1 && p.b.stopped == 1);
    cr_assert_eq(p.b.reset_code, 0x1234);
    cr_assert_eq(p.b.stop_code, 0x1234);
    TURN_UNTIL(t, p.a.closed == 1 && p.b.closed == 1);
    cr_assert_eq(p.a.closed_error, 0);
    cr_assert_eq(p.a.reset + p.a.stopped, 0, "our own doing is no news");
}

CASE(stream, a_reset_drops_what_was_not_read) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    p.b.paused = true;
    tap_write(&p.a, 50000, false);
    TURN_UNTIL(t, p.b.readable > 0);
    turn_for(t, MSEC(10));
    stream_reset(p.a.stream, 7);
    struct slice in;
    TURN_UNTIL(t, p.b.reset == 1);
    cr_assert_eq(p.b.got, 0);
    if (p.b.closed == 0) {
        cr_assert_eq(stream_read(p.b.stream, &in, 1), -ECONNRESET);
        cr_assert_eq(stream_write_bytes(p.b.stream, BYTES_LIT("x")), -EPIPE);
    }
    stream_pair_end(&p);
}

CASE(stream, stop_reading_ends_the_peers_writing_only) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    stream_stop_reading(p.a.stream, 0x77);
    if (t->traits->tells_stop) {
        TURN_UNTIL(t, p.b.stopped == 1);
        cr_assert_eq(p.b.stop_code, 0x77);
        cr_assert_eq(stream_write_bytes(p.b.stream, BYTES_LIT("x")), -EPIPE);
    } else { /* what it writes goes nowhere, and holds up nothing */
        tap_write(&p.b, 4 << 20, true);
        TURN_UNTIL(t, p.b.written == 4 << 20);
    }
    cr_assert_eq(p.b.reset, 0);
    tap_write(&p.a, 20000, true);
    TURN_UNTIL(t, p.b.eof);
    cr_assert_eq(p.b.got, 20000);
    TURN_UNTIL(t, p.a.closed == 1 && p.b.closed == 1);
    cr_assert_eq(p.a.closed_error, 0);
    cr_assert_eq(p.b.closed_error, 0);
    cr_assert_eq(p.a.reset, 0, "the answer to our own stop is no news");
}

CASE(stream, released_without_end_is_reset) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    tap_write(&p.a, 1000, false);
    TURN_UNTIL(t, p.b.got == 1000);
    tap_end(&p.a);
    TURN_UNTIL(t, p.b.reset == 1 && p.b.stopped == 1);
    cr_assert_eq(p.b.reset_code, 0);
    stream_pair_end(&p);
}

CASE(stream, released_after_shutdown_delivers_everything) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    tap_write(&p.a, 400000, true);
    cr_assert_eq(p.a.written, 400000);
    tap_end(&p.a);
    TURN_UNTIL(t, p.b.eof);
    cr_assert_eq(p.b.got, 400000);
    cr_assert_not(p.b.wrong);
    cr_assert_eq(p.b.reset, 0);
    stream_pair_end(&p);
}

/* Every event may be the one in which the owner lets go. */
CASE(stream, may_be_released_in_any_event) {
    for (int what = 0; what < 5; what++) {
        static struct stream_pair p;
        if (what == 2 && !t->traits->tells_stop)
            continue;
        stream_pair_open(&p, t);
        if (what == 1) /* writable */
            tap_write(&p.b, 4 << 20, false);
        p.b.drop = true;
        switch (what) {
        case 0:
            tap_write(&p.a, 10, false);
            break;
        case 1:
            break;
        case 2:
            stream_stop_reading(p.a.stream, 1);
            break;
        case 3:
            stream_reset(p.a.stream, 1);
            break;
        default:
            only_conn(&t->a)->conn->ops->close(only_conn(&t->a)->conn, 0);
            break;
        }
        TURN_UNTIL(t, p.b.stream == NULL);
        tap_end(&p.a);
        host_unhandle(t->b.host, &p.handler.handler);
        turn_for(t, MSEC(5));
    }
}

CASE(stream, a_handler_may_refuse_at_once) {
    open_pair(t);
    static struct handler handler;
    handler_open(&handler, &t->b, TEST_PROTOCOL, CLASS_ANY, NULL, 0);
    static struct tap x;
    tap_open(&x, &t->a, &t->b.identity.id, TEST_PROTOCOL);
    TURN_UNTIL(t, x.reset == 1);
    cr_assert_eq(x.reset_code, STREAM_CODE_RESOURCE_LIMIT);
    cr_assert_eq(handler.accepted, 1);
    tap_end(&x);
}

CASE(stream, ends_with_its_connection) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    tap_write(&p.a, 2 << 20, false);
    struct conn *c = only_conn(&t->b)->conn;
    c->ops->close(c, 0);
    TURN_UNTIL(t, p.a.closed == 1 && p.b.closed == 1);
    cr_assert_eq(p.a.closed_error, -ERR_CONN_CLOSED);
    cr_assert_eq(p.b.closed_error, -ERR_CONN_CLOSED);
}

/* After closed() the stream is still the owner's, and every verb is harmless. */
static void on_closed_try_all(struct stream *s, int error) {
    struct slice in;
    struct buf *b = stream_user(s);
    struct slice out = slice_of(b, 0, 1);
    cr_assert_eq(error, -ERR_CONN_CLOSED);
    cr_assert_eq(stream_write(s, &out, 1), -ERR_CONN_CLOSED);
    cr_assert_eq(stream_write_bytes(s, BYTES_LIT("x")), -ERR_CONN_CLOSED);
    cr_assert(stream_read(s, &in, 1) <= 0);
    stream_credit(s, 1);
    stream_shutdown_write(s);
    stream_stop_reading(s, 1);
    stream_reset(s, 1);
    cr_assert_eq(stream_unsent(s), 0);
    slice_unref(&out);
    stream_release(s);
}

CASE(stream, that_is_closed_takes_every_verb) {
    static const struct stream_events events = {.closed = on_closed_try_all};
    static struct stream_pair p;
    stream_pair_open(&p, t);
    struct buf *b = buf_new(reactor_pool(t->reactor), BUF_1K, NULL);
    cr_assert(b != NULL);
    stream_set_events(p.b.stream, &events, b);
    p.b.stream = NULL;
    struct conn *c = only_conn(&t->a)->conn;
    c->ops->close(c, 0);
    TURN_UNTIL(t, p.a.closed == 1 && conns_count(&t->b) == 0);
}

/* --- Pushing back --- */

CASE(stream, a_reader_that_never_reads_holds_its_writer_and_nobody_else) {
    static struct stream_pair slow;
    stream_pair_open(&slow, t);
    slow.b.paused = true;
    tap_write(&slow.a, 64 << 20, false);
    cr_assert(slow.a.written < 64 << 20, "the writer was never short");
    turn_for(t, MSEC(300));
    uint64_t stuck_at = slow.a.written;
    /* What the peer's window takes, and what waits before it. */
    cr_assert(stuck_at <= t->traits->window_max + t->traits->unsent_max + 65536);
    cr_assert_eq(slow.b.got, 0);

    static struct tap fast_a;
    static struct tap fast_b;
    static struct handler handler;
    handler_open(&handler, &t->b, "/fast/1", CLASS_ANY, &fast_b, 1);
    tap_open(&fast_a, &t->a, &t->b.identity.id, "/fast/1");
    TURN_UNTIL(t, fast_a.opened == 1);
    tap_write(&fast_a, 32 << 20, true);
    TURN_UNTIL(t, fast_b.eof);
    cr_assert_eq(fast_b.got, 32 << 20);
    cr_assert_eq(slow.a.written, stuck_at);

    slow.b.paused = false;
    tap_read(&slow.b);
    TURN_UNTIL(t, slow.b.got == 64 << 20);
    cr_assert_not(slow.b.wrong);
    cr_assert(slow.a.writable > 0);
    stream_pair_end(&slow);
    tap_end(&fast_a);
    tap_end(&fast_b);
}

/* Reading gives slices; only credit gives the peer room. */
CASE(stream, bytes_without_credit_hold_the_writer) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    p.b.paused = true;
    tap_write(&p.a, 16 << 20, false);
    static struct slice held[65536];
    size_t count = 0;
    uint64_t bytes = 0;
    nsec_t until = reactor_now(t->reactor) + MSEC(300);
    while (reactor_now(t->reactor) < until) {
        cr_assert_eq(reactor_turn(t->reactor, until), 0);
        ssize_t n;
        while ((n = stream_read(p.b.stream, &held[count], 1)) == 1)
            bytes += held[count++].len;
        cr_assert_eq(n, 0);
    }
    cr_assert(bytes > 0);
    cr_assert(bytes <= t->traits->window_first, "%llu bytes", (unsigned long long)bytes);
    for (size_t i = 0; i < count; i++)
        stream_consume(p.b.stream, &held[i]);
    p.b.paused = false;
    TURN_UNTIL(t, p.b.got + bytes == 16 << 20);
    stream_pair_end(&p);
}

CASE(stream, a_short_write_takes_what_it_said_and_charges_the_quota) {
    static struct stream_pair p;
    stream_pair_open(&p, t);
    size_t count = t->traits->unsent_max / 65536 + 8;
    struct slice v[64];
    cr_assert(count <= ARRAY_COUNT(v));
    for (size_t i = 0; i < count; i++) {
        struct buf *b = buf_new(reactor_pool(t->reactor), BUF_64K, stream_quota(p.a.stream));
        cr_assert(b != NULL);
        memset(b->data, 0, b->size);
        v[i] = slice_of(b, 0, b->size);
    }
    ssize_t n = stream_write(p.a.stream, v, count);
    cr_assert(n > 0 && n < (ssize_t)count);
    cr_assert_eq(stream_unsent(p.a.stream), (size_t)n << 16);
    cr_assert(stream_quota(p.a.stream)->used_bytes >= count << 16);
    for (size_t i = (size_t)n; i < count; i++)
        slice_unref(&v[i]);
    TURN_UNTIL(t, p.a.writable == 1 && p.b.got == (uint64_t)n << 16);
    cr_assert_eq(stream_unsent(p.a.stream), 0);
    stream_pair_end(&p);
}

/* --- Datagrams --- */

struct receiver {
    struct conn_events events;
    const struct conn_events *before;
    int count;
    size_t bytes;
};

static struct receiver receiver;

static void on_datagram(struct conn *c, struct slice datagram) {
    (void)c;
    receiver.count++;
    receiver.bytes += datagram.len;
    slice_unref(&datagram);
}

static int send_datagram(struct fixture *t, struct conn *c, uint32_t len) {
    struct buf *b = buf_new(reactor_pool(t->reactor), buf_class_for(len), NULL);
    cr_assert(b != NULL);
    memset(b->data, 1, len);
    return c->ops->send_datagram(c, slice_of(b, 0, len));
}

CASE_QUIC(datagram, travels_and_has_its_limits) {
    open_pair(t);
    connect_pair(&t->a, &t->b);
    turn_for(t, MSEC(50)); /* path MTU discovery */
    struct conn *from = only_conn(&t->a)->conn;
    struct conn *to = only_conn(&t->b)->conn;
    receiver.events = *to->events;
    receiver.before = to->events;
    receiver.events.datagram = on_datagram;
    to->events = &receiver.events;

    size_t max = from->ops->datagram_max(from);
    cr_assert(max > 1000 && max < QUIC_PACKET_BYTES_MAX);
    cr_assert_eq(send_datagram(t, from, (uint32_t)max + 1), -EMSGSIZE);
    cr_assert_eq(send_datagram(t, from, (uint32_t)max), 0);
    cr_assert_eq(send_datagram(t, from, 1), 0);
    TURN_UNTIL(t, receiver.count == 2);
    cr_assert_eq(receiver.bytes, max + 1);

    int accepted = 0;
    while (send_datagram(t, from, 100) == 0)
        accepted++;
    cr_assert_eq(accepted, QUIC_DATAGRAMS_QUEUED_MAX);
    TURN_UNTIL(t, receiver.count > 2);
    to->events = receiver.before;
    /* One that the host receives is dropped without a trace. */
    cr_assert_eq(send_datagram(t, from, 100), 0);
    turn_for(t, MSEC(20));
}

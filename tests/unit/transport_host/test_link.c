/* SPDX-License-Identifier: MIT */
#include "links.h"
#include "transport/stream_link.h"
#include "transport/tcp_link.h"

/* Goal: transport/link.h, sentence by sentence, for every kind of link: LINK_CASE(name) makes
 * tcp_link_name, stream_link_name, secure_link_name and ws_link_name, each over both backends. */

#define LINK_CASE(name)               \
    static void name(struct ends *e); \
    CASE_QUIC(tcp_link, name) {       \
        static struct ends e;         \
        tcp_ends_open(&e, t);         \
        name(&e);                     \
        ends_close(&e);               \
    }                                 \
    CASE_QUIC(stream_link, name) {    \
        static struct ends e;         \
        stream_ends_open(&e, t);      \
        name(&e);                     \
        ends_close(&e);               \
    }                                 \
    CASE_QUIC(secure_link, name) {    \
        static struct ends e;         \
        secure_ends_open(&e, t);      \
        name(&e);                     \
        ends_close(&e);               \
    }                                 \
    CASE_QUIC(ws_link, name) {        \
        static struct ends e;         \
        ws_ends_open(&e, t);          \
        name(&e);                     \
        ends_close(&e);               \
    }                                 \
    static void name(struct ends *e)

/* --- Bytes --- */

LINK_CASE(carries_bytes_whole_through_odd_sizes) {
    end_write(&e->a, 3000001);
    end_write(&e->b, 1700003);
    TURN_UNTIL(e->t, e->b.got == 3000001 && e->a.got == 1700003);
    cr_assert_eq(e->a.read_error + e->b.read_error + e->a.write_error + e->b.write_error, 0);
}

LINK_CASE(takes_what_fits_and_tells_when_there_is_room_again) {
    struct slice v[64];
    for (size_t i = 0; i < ARRAY_COUNT(v); i++) {
        v[i] = end_slice(&e->a, 16384);
        e->a.written += v[i].len;
        cr_assert_eq(v[i].len, 16384);
    }
    ssize_t n = link_write(e->a.link, v, ARRAY_COUNT(v));
    cr_assert(n > 0 && n < (ssize_t)ARRAY_COUNT(v));
    cr_assert_eq(link_write(e->a.link, &v[n], 1), 0);
    for (size_t i = (size_t)n; i < ARRAY_COUNT(v); i++)
        slice_unref(&v[i]);
    cr_assert_eq(e->a.writable, 0, "a callback from inside the call");
    TURN_UNTIL(e->t, e->a.writable == 1 && e->b.got == (uint64_t)n * 16384);
    turn_for(e->t, MSEC(5));
    cr_assert_eq(e->a.writable, 1);
}

/* --- Pushing back --- */

LINK_CASE(reader_that_never_reads_holds_the_writer) {
    e->b.paused = true;
    end_write(&e->a, 256 << 20);
    uint64_t seen = UINT64_MAX;
    while (e->a.written != seen) {
        seen = e->a.written;
        turn_for(e->t, MSEC(100));
    }
    /* A stream's window, or the kernel's buffers, and ours. */
    cr_assert(seen < 64 << 20, "%llu bytes", (unsigned long long)seen);
    cr_assert_eq(e->b.got, 0);
    e->b.paused = false;
    end_read(&e->b);
    TURN_UNTIL(e->t, e->b.got > seen);
    e->a.to_write = e->a.written;
    TURN_UNTIL(e->t, e->b.got == e->a.written);
}

LINK_CASE(bytes_without_credit_hold_the_writer) {
    e->b.keeps_credit = true;
    end_write(&e->a, 16 << 20);
    turn_for(e->t, MSEC(200));
    cr_assert(e->b.got > 0);
    cr_assert(e->b.got < LINK_BUFFERED_MAX + 65536);
    e->b.keeps_credit = false;
    end_credit(&e->b);
    TURN_UNTIL(e->t, e->b.got == 16 << 20);
}

/* --- Ends --- */

static void half_close_with(struct ends *e, struct end *first, struct end *second) {
    end_write(first, 100001);
    link_shutdown_write(first->link);
    link_shutdown_write(first->link);
    struct slice none = SLICE_EMPTY;
    cr_assert_eq(link_write(first->link, &none, 1), -EPIPE);
    TURN_UNTIL(e->t, second->read_error == -ENODATA);
    cr_assert_eq(second->got, first->written);
    cr_assert_eq(first->read_error, 0);

    end_write(second, 200003);
    TURN_UNTIL(e->t, first->got == 200003);
    link_shutdown_write(second->link);
    TURN_UNTIL(e->t, first->read_error == -ENODATA);
    struct slice in;
    cr_assert_eq(link_read(second->link, &in, 1), -ENODATA, "told again to who asks again");
    ends_close(e);
    cr_assert_eq(first->closed_error, 0);
    cr_assert_eq(second->closed_error, 0);
}

LINK_CASE(ends_one_direction_at_a_time) {
    half_close_with(e, &e->a, &e->b);
}

LINK_CASE(ends_the_other_direction_first) {
    half_close_with(e, &e->b, &e->a);
}

LINK_CASE(reset_is_told_to_reader_and_writer) {
    end_write(&e->a, 1000);
    TURN_UNTIL(e->t, e->b.got == 1000);
    end_close(&e->a, true);
    TURN_UNTIL(e->t, e->b.read_error != 0 && e->a.closed == 1);
    cr_assert_eq(e->b.read_error, -ECONNRESET);
    struct slice none = SLICE_EMPTY;
    cr_assert_eq(link_write(e->b.link, &none, 1), -ECONNRESET);
    ends_close(e);
    cr_assert_eq(e->a.closed_error, 0, "our own doing is no error");
    cr_assert_eq(e->b.closed_error, -ECONNRESET);
}

LINK_CASE(reset_is_told_to_a_writer_that_waits) {
    e->a.paused = true;
    e->b.paused = true;
    end_write(&e->a, 256 << 20);
    turn_for(e->t, MSEC(50));
    end_close(&e->b, true);
    TURN_UNTIL(e->t, e->a.write_error != 0);
    /* A stream may hear first that nobody reads. */
    cr_assert(e->a.write_error == -ECONNRESET || e->a.write_error == -EPIPE);
    e->a.paused = false;
    TURN_UNTIL(e->t, (end_read(&e->a), e->a.read_error != 0));
    cr_assert_eq(e->a.read_error, -ECONNRESET);
}

LINK_CASE(closed_with_nothing_on_its_way_ends_for_the_peer) {
    end_write(&e->a, 10);
    TURN_UNTIL(e->t, e->b.got == 10);
    turn_for(e->t, MSEC(5));
    end_close(&e->a, false);
    TURN_UNTIL(e->t, e->b.read_error != 0);
    cr_assert_eq(e->b.read_error, -ENODATA);
}

/* What was lost must not look like an end. */
LINK_CASE(closed_with_bytes_on_their_way_is_reset_for_the_peer) {
    e->b.paused = true;
    end_write(&e->a, 256 << 20);
    turn_for(e->t, MSEC(50));
    end_close(&e->a, false);
    e->b.paused = false;
    end_read(&e->b);
    TURN_UNTIL(e->t, e->a.closed == 1 && e->b.read_error != 0);
    cr_assert_eq(e->a.closed_error, 0);
    cr_assert_eq(e->b.read_error, -ECONNRESET);
}

LINK_CASE(may_be_closed_when_readable) {
    e->b.close_at = CLOSE_AT_READABLE;
    end_write(&e->a, 1 << 20);
    end_write(&e->b, 1 << 20);
    TURN_UNTIL(e->t, e->b.closed == 1);
    TURN_UNTIL(e->t, e->a.read_error != 0);
    turn_for(e->t, MSEC(5));
    cr_assert_eq(e->b.closed, 1);
}

LINK_CASE(may_be_closed_when_writable) {
    e->a.close_at = CLOSE_AT_WRITABLE;
    end_write(&e->a, 8 << 20);
    TURN_UNTIL(e->t, e->a.closed == 1);
    TURN_UNTIL(e->t, e->b.read_error != 0);
}

/* --- What only one kind has --- */

CASE_QUIC(tcp_link, takes_bytes_once_it_is_connected) {
    static struct ends e;
    struct link *link;
    listener_open(&e, t);
    cr_assert_eq(tcp_link_connect(t->reactor, &e.at, NULL, &link), 0);
    end_attach(&e.a, t, link);
    struct slice none = SLICE_EMPTY;
    cr_assert_eq(link_write(link, &none, 1), 0);
    link_shutdown_write(link);
    TURN_UNTIL(t, e.a.writable == 1 && e.b.read_error == -ENODATA);
    listener_close(&e);
    ends_close(&e);
}

CASE_QUIC(tcp_link, that_does_not_connect_tells_why) {
    static struct ends e;
    struct link *link;
    listener_open(&e, t);
    listener_close(&e);
    cr_assert_eq(tcp_link_connect(t->reactor, &e.at, NULL, &link), 0);
    end_attach(&e.a, t, link);
    TURN_UNTIL(t, e.a.read_error != 0);
    cr_assert_eq(e.a.read_error, -ECONNREFUSED);
    end_close(&e.a, false);
    TURN_UNTIL(t, e.a.closed == 1);
    cr_assert_eq(e.a.closed_error, -ECONNREFUSED);
}

CASE_QUIC(tcp_link, may_be_closed_while_it_connects) {
    static struct ends e;
    struct link *link;
    listener_open(&e, t);
    cr_assert_eq(tcp_link_connect(t->reactor, &e.at, NULL, &link), 0);
    end_attach(&e.a, t, link);
    end_close(&e.a, false);
    TURN_UNTIL(t, e.a.closed == 1);
    cr_assert_eq(e.a.closed_error, 0);
    turn_for(t, MSEC(5)); /* the listener may have got it */
    listener_close(&e);
    end_close(&e.b, false);
    TURN_UNTIL(t, e.b.t == NULL || e.b.closed == 1);
}

/* One byte in a slab of its own counts as the slab. */
CASE_QUIC(tcp_link, bounds_the_slabs_of_a_peer_that_sends_single_bytes) {
    static struct ends e;
    tcp_ends_open(&e, t);
    e.b.paused = true;
    struct buf_pool_stats before;
    struct buf_pool_stats after;
    buf_pool_stats(reactor_pool(t->reactor), &before);
    for (int i = 0; i < 3000; i++) {
        end_write(&e.a, 1);
        for (int turn = 0; turn < 3; turn++)
            cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    }
    buf_pool_stats(reactor_pool(t->reactor), &after);
    cr_assert(after.bytes_in_use > before.bytes_in_use, "nothing was received");
    cr_assert(after.bytes_in_use < before.bytes_in_use + LINK_BUFFERED_MAX + (2 << 16));
    e.b.paused = false;
    end_read(&e.b);
    TURN_UNTIL(t, e.b.got == 3000);
    ends_close(&e);
}

CASE_QUIC(stream_link, fails_with_its_connection) {
    static struct ends e;
    stream_ends_open(&e, t);
    struct conn *c = only_conn(&t->b)->conn;
    c->ops->close(c, 0);
    TURN_UNTIL(t, e.a.read_error != 0 && e.b.read_error != 0);
    cr_assert_eq(e.a.read_error, -ERR_CONN_CLOSED);
    ends_close(&e);
    cr_assert_eq(e.a.closed_error, -ERR_CONN_CLOSED);
    cr_assert_eq(e.b.closed_error, -ERR_CONN_CLOSED);
}

static nsec_t since_three(const struct conn *c) {
    (void)c;
    return SEC(3);
}

/* By which a circuit comes under suspicion with the connection that carries it. */
CASE_QUIC(stream_link, tells_since_when_its_connection_waits_also_from_below_a_channel) {
    static struct ends e;
    stream_ends_open(&e, t);
    struct conn *c = only_conn(&t->a)->conn;
    const struct conn_ops *ops = c->ops;
    struct conn_ops waiting = *ops;
    c->ops = &waiting;
    waiting.unanswered_since = NULL;
    cr_assert_eq(link_unanswered_since(e.a.link), NSEC_NEVER);
    waiting.unanswered_since = since_three;
    cr_assert_eq(link_unanswered_since(e.a.link), SEC(3));
    e.channel_a.initiator = true;
    end_attach(&e.a, t, channel_over(&e, TAKE(e.a.link), &e.channel_a, NULL));
    end_attach(&e.b, t, channel_over(&e, TAKE(e.b.link), &e.channel_b, NULL));
    cr_assert_eq(link_unanswered_since(e.a.link), SEC(3));
    c->ops = ops;
    ends_close(&e);
}

CASE_QUIC(tcp_link, tells_nothing_of_silence) {
    static struct ends e;
    tcp_ends_open(&e, t);
    cr_assert_eq(link_unanswered_since(e.a.link), NSEC_NEVER);
    ends_close(&e);
}

/* A circuit's stream was read up to its last message, and a little further. */
CASE_QUIC(stream_link, what_was_read_ahead_comes_first) {
    static struct stream_pair p;
    static struct end x;
    struct slice rest = SLICE_EMPTY;
    struct link *link;
    uint8_t sent[100];
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = i < 5 ? 0xff : end_pattern(i - 5);
    stream_pair_open(&p, t);
    p.b.paused = true;
    cr_assert_eq(stream_write_bytes(p.a.stream, bytes_of(sent, sizeof(sent))), 0);
    TURN_UNTIL(t, stream_read(p.b.stream, &rest, 1) != 0);
    slice_skip(&rest, 5);
    stream_credit(p.b.stream, 5);
    cr_assert_eq(stream_link_new(t->reactor, TAKE(p.b.stream), &rest, &no_limit, &link), 0);
    cr_assert_null(rest.buf);
    stream_shutdown_write(p.a.stream);
    end_attach(&x, t, link);
    TURN_UNTIL(t, x.read_error == -ENODATA);
    cr_assert_eq(x.got, sizeof(sent) - 5);
    end_close(&x, false);
    TURN_UNTIL(t, x.closed == 1);
    stream_pair_end(&p);
}

/* STOP_SENDING is how go closes a stream that it has read enough of. */
CASE_QUIC(stream_link, writer_that_waits_learns_that_the_peer_reads_no_more) {
    static struct stream_pair p;
    static struct end x;
    struct slice rest = SLICE_EMPTY;
    struct link *link;
    stream_pair_open(&p, t);
    p.a.paused = true;
    cr_assert_eq(stream_link_new(t->reactor, TAKE(p.b.stream), &rest, &no_limit, &link), 0);
    end_attach(&x, t, link);
    end_write(&x, 256 << 20);
    turn_for(t, MSEC(50));
    cr_assert_eq(x.write_error, 0);
    stream_stop_reading(p.a.stream, 0);
    TURN_UNTIL(t, x.write_error != 0);
    cr_assert_eq(x.write_error, -EPIPE);
    cr_assert_eq(x.read_error, 0);
    stream_shutdown_write(p.a.stream);
    TURN_UNTIL(t, x.read_error == -ENODATA);
    end_close(&x, false);
    TURN_UNTIL(t, x.closed == 1);
    cr_assert_eq(x.closed_error, 0);
    stream_pair_end(&p);
}

/* Goal: two sockets that somebody has joined are two systems. */
CASE_QUIC(tcp_link, tells_what_the_far_end_acknowledged_unless_it_is_joined) {
    static struct ends e;
    uint64_t bytes;
    nsec_t at;
    tcp_ends_open(&e, t);
    end_write(&e.a, 1000);
    TURN_UNTIL(t, e.b.got == 1000);
    TURN_UNTIL(t, link_acked(e.a.link, &bytes, &at) == 0 && bytes >= 1000);
    tcp_link_is_joined(e.a.link, &(struct conn_limit){0});
    cr_assert_eq(link_acked(e.a.link, &bytes, &at), -ENOTSUP);
    ends_close(&e);
}

/* How the link of `a` ends after so many bytes each way, with a limit of 1,000. */
static int end_of_limited(struct fixture *t, size_t in, size_t out, bool reset) {
    static struct ends e;
    e = (struct ends){.t = NULL};
    tcp_ends_open(&e, t);
    tcp_link_is_joined(e.a.link, &(struct conn_limit){.data_bytes = 1000});
    end_write(&e.a, out);
    end_write(&e.b, in);
    TURN_UNTIL(t, e.b.got == out && e.a.got == in);
    end_close(&e.b, reset);
    TURN_UNTIL(t, e.a.read_error != 0);
    int error = e.a.read_error;
    end_close(&e.a, false);
    TURN_UNTIL(t, e.a.closed == 1 && e.b.closed == 1);
    return error;
}

CASE_QUIC(tcp_link, tells_that_it_met_the_limit_of_the_relay_that_joined_it) {
    cr_assert_eq(end_of_limited(t, 1000, 1, true), -ERR_RELAY_DATA_LIMIT);
    cr_assert_eq(end_of_limited(t, 1000, 1, false), -ERR_RELAY_DATA_LIMIT);
    cr_assert_eq(end_of_limited(t, 1, 1000, true), -ERR_RELAY_DATA_LIMIT);
    cr_assert_eq(end_of_limited(t, 999, 999, true), -ECONNRESET);
    cr_assert_eq(end_of_limited(t, 999, 999, false), -ENODATA);
}

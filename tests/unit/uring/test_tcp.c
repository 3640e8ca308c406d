/* SPDX-License-Identifier: MIT */
#include "fake_backend.h"

struct subject {
    struct tcp_conn conn; /* first */
    struct fake *fake;
    struct reactor *reactor;
    int connected;
    int connected_error;
    int data;
    int eof;
    int written;
    int failed;
    int failed_error;
    int closed;
};

static struct subject *subject_of(struct tcp_conn *c) {
    return CONTAINER_OF(c, struct subject, conn);
}

static void on_connected(struct tcp_conn *c, int error) {
    subject_of(c)->connected++;
    subject_of(c)->connected_error = error;
}

static void on_data(struct tcp_conn *c, struct slice s) {
    subject_of(c)->data++;
    slice_unref(&s);
}

static void on_eof(struct tcp_conn *c) {
    subject_of(c)->eof++;
}

static void on_written(struct tcp_conn *c) {
    subject_of(c)->written++;
}

static void on_failed(struct tcp_conn *c, int error) {
    subject_of(c)->failed++;
    subject_of(c)->failed_error = error;
}

static void on_closed(struct tcp_conn *c) {
    subject_of(c)->closed++;
}

static const struct tcp_events events = {on_connected, on_data,   on_eof,
                                         on_written,   on_failed, on_closed};

static const struct sock_addr somewhere = {
    .ip = {.family = NET_IP4, .ip = {192, 0, 2, 2}, .port = 80}};

static void subject_open(struct subject *x) {
    *x = (struct subject){0};
    x->fake = fake_new(&x->reactor);
    tcp_conn_init(&x->conn, x->reactor, &events, NULL);
    cr_assert_eq(tcp_connect(&x->conn, &somewhere, NULL), 0);
    fake_end(x->reactor, x->fake, OP_CONNECT, 0);
    cr_assert_eq(x->connected, 1);
}

static void subject_end(struct subject *x) {
    tcp_close(&x->conn);
    for (int i = 0; i < 4; i++)
        fake_turn(x->reactor);
    cr_assert_eq(x->closed, 1);
    fake_free(x->reactor);
}

static struct slice slab_of(struct subject *x, uint32_t len) {
    struct buf *b = buf_new(reactor_pool(x->reactor), BUF_4K, NULL);
    cr_assert_not_null(b);
    return slice_of(b, 0, len);
}

static size_t bytes_in(const struct op *op) {
    const struct slice *v = op->data;
    size_t len = 0;
    for (size_t i = 0; i < op->size; i++)
        len += v[i].len;
    return len;
}

/* Goal: whatever part the backend takes, the rest follows, and written() comes once at the end. */
Test(tcp, partial_sends_are_continued) {
    static const int32_t steps[] = {1, 999, 1, 500, 499, 2, 998};
    struct subject x;
    subject_open(&x);
    struct slice v[3];
    for (int i = 0; i < 3; i++)
        v[i] = slab_of(&x, 1000);
    tcp_write(&x.conn, v, 3);
    size_t left = 3000;
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        cr_assert_eq(bytes_in(fake_find(x.fake, OP_SEND)), left);
        cr_assert_eq(x.written, 0);
        fake_end(x.reactor, x.fake, OP_SEND, steps[i]);
        left -= (size_t)steps[i];
    }
    cr_assert_eq(left, 0u);
    cr_assert_eq(x.written, 1);
    subject_end(&x);
}

/* Goal: FIN waits for the write, and is sent once. */
Test(tcp, shutdown_waits_for_the_write) {
    struct subject x;
    subject_open(&x);
    struct slice s = slab_of(&x, 100);
    tcp_write(&x.conn, &s, 1);
    tcp_shutdown_write(&x.conn);
    tcp_shutdown_write(&x.conn);
    cr_assert_eq(x.fake->shutdowns, 0);
    fake_end(x.reactor, x.fake, OP_SEND, 60);
    cr_assert_eq(x.fake->shutdowns, 0);
    fake_end(x.reactor, x.fake, OP_SEND, 40);
    cr_assert_eq(x.fake->shutdowns, 1);
    cr_assert_eq(x.written, 1);
    subject_end(&x);
}

/* Goal: both directions failing is one failure, and nothing is given after it. */
Test(tcp, failure_is_told_once) {
    struct subject x;
    subject_open(&x);
    tcp_read_start(&x.conn);
    struct slice s = slab_of(&x, 100);
    tcp_write(&x.conn, &s, 1);
    fake_end(x.reactor, x.fake, OP_RECV, -ECONNRESET);
    fake_end(x.reactor, x.fake, OP_SEND, -EPIPE);
    cr_assert_eq(x.failed, 1);
    cr_assert_eq(x.failed_error, -ECONNRESET);
    cr_assert_eq(x.written, 0);
    tcp_read_start(&x.conn);
    cr_assert_not(fake_has(x.fake, OP_RECV));
    subject_end(&x);
}

/* Goal: who does not read learns at once that nobody is there any more, by the receive that was in
 * flight. */
Test(tcp, read_failure_is_told_while_stopped) {
    struct subject x;
    subject_open(&x);
    tcp_read_start(&x.conn);
    tcp_read_stop(&x.conn);
    cr_assert_not(fake_has(x.fake, OP_HANGUP));
    fake_end(x.reactor, x.fake, OP_RECV, -ECONNRESET);
    cr_assert_eq(x.failed, 1);
    cr_assert_eq(x.failed_error, -ECONNRESET);
    subject_end(&x);
}

/* Goal: the same when no receive is in flight; once, whatever the write says. */
Test(tcp, hangup_is_told_while_stopped) {
    struct subject x;
    subject_open(&x);
    tcp_read_stop(&x.conn);
    cr_assert(fake_has(x.fake, OP_HANGUP));
    struct slice s = slab_of(&x, 100);
    tcp_write(&x.conn, &s, 1);
    x.fake->stream_error = -ECONNRESET;
    fake_end(x.reactor, x.fake, OP_HANGUP, 0);
    cr_assert_eq(x.failed, 1);
    cr_assert_eq(x.failed_error, -ECONNRESET);
    fake_end(x.reactor, x.fake, OP_SEND, -EPIPE);
    cr_assert_eq(x.failed, 1);
    subject_end(&x);
}

/* Goal: a reader hears of it by its receive, behind the bytes; a FIN is no failure and is not asked
 * for again. */
Test(tcp, hangup_is_left_to_the_reader) {
    struct subject x;
    subject_open(&x);
    tcp_read_stop(&x.conn);
    tcp_read_start(&x.conn);
    x.fake->stream_error = -ECONNRESET;
    fake_end(x.reactor, x.fake, OP_HANGUP, 0);
    cr_assert_eq(x.failed, 0);
    fake_end(x.reactor, x.fake, OP_RECV, -ECONNRESET);
    cr_assert_eq(x.failed, 1);
    subject_end(&x);

    subject_open(&x);
    tcp_read_stop(&x.conn);
    x.fake->stream_error = 0;
    fake_end(x.reactor, x.fake, OP_HANGUP, 0);
    cr_assert_eq(x.failed, 0);
    tcp_read_stop(&x.conn);
    cr_assert_not(fake_has(x.fake, OP_HANGUP));
    subject_end(&x);
}

/* Goal: a failed connect is told, and nothing but close is left. */
Test(tcp, failed_connect) {
    struct subject x = {0};
    x.fake = fake_new(&x.reactor);
    tcp_conn_init(&x.conn, x.reactor, &events, NULL);
    cr_assert_eq(tcp_connect(&x.conn, &somewhere, NULL), 0);
    tcp_read_start(&x.conn);
    fake_end(x.reactor, x.fake, OP_CONNECT, -EHOSTUNREACH);
    cr_assert_eq(x.connected_error, -EHOSTUNREACH);
    cr_assert_eq(x.failed, 0);
    cr_assert_not(fake_has(x.fake, OP_RECV));
    subject_end(&x);
}

/* Goal: when the source address is refused the handle is closed again and the error told. */
Test(tcp, refused_source_address_leaves_nothing_open) {
    struct subject x = {0};
    x.fake = fake_new(&x.reactor);
    tcp_conn_init(&x.conn, x.reactor, &events, NULL);
    struct sock_addr from = {.ip = {.family = NET_IP4, .port = 1}};
    cr_assert_eq(tcp_connect(&x.conn, &somewhere, &from), -EACCES);
    cr_assert_eq(x.fake->handles_open, 0);
    subject_end(&x);
}

/* Goal: reset and close in either order close once. */
Test(tcp, reset_then_close) {
    struct subject x;
    subject_open(&x);
    tcp_read_start(&x.conn);
    tcp_reset(&x.conn);
    cr_assert_eq(x.fake->resets, 1);
    tcp_reset(&x.conn);
    cr_assert_eq(x.fake->resets, 1);
    subject_end(&x);
}

/* --- Listening --- */

struct host {
    struct tcp_listener listener;
    int accepted;
    int closed;
};

static void on_accepted(struct tcp_listener *l, int fd, const struct sock_addr *remote) {
    (void)remote;
    CONTAINER_OF(l, struct host, listener)->accepted++;
    tcp_handle_close(l->reactor, fd, false);
}

static void on_listener_closed(struct tcp_listener *l) {
    CONTAINER_OF(l, struct host, listener)->closed++;
}

static const struct tcp_listener_events listener_events = {on_accepted, on_listener_closed};

/* Goal: without descriptors a listener rests 100 ms instead of asking in a circle; other errors
 * belong to one connection and do not stop it. */
Test(listener, rests_when_descriptors_run_out) {
    struct reactor *r = NULL;
    struct host h = {0};
    struct fake *f = fake_new(&r);
    cr_assert_eq(tcp_listen(&h.listener, r, &somewhere, &listener_events), 0);
    fake_end(r, f, OP_ACCEPT, -ECONNABORTED);
    cr_assert(fake_has(f, OP_ACCEPT));

    fake_end(r, f, OP_ACCEPT, -EMFILE);
    cr_assert_not(fake_has(f, OP_ACCEPT));
    nsec_t until = reactor_now(r) + MSEC(100);
    f->now = until - 1;
    fake_turn(r);
    cr_assert_not(fake_has(f, OP_ACCEPT));
    f->now = until;
    fake_turn(r);
    cr_assert(fake_has(f, OP_ACCEPT));

    f->handles_open++;
    fake_more(r, f, OP_ACCEPT, 77);
    cr_assert_eq(h.accepted, 1);
    cr_assert(fake_has(f, OP_ACCEPT));

    fake_end(r, f, OP_ACCEPT, -EMFILE);
    tcp_listener_pause(&h.listener);
    f->now += SEC(1);
    fake_turn(r);
    cr_assert_not(fake_has(f, OP_ACCEPT));
    tcp_listener_resume(&h.listener);
    cr_assert(fake_has(f, OP_ACCEPT));
    tcp_listener_close(&h.listener);
    for (int i = 0; i < 4; i++)
        fake_turn(r);
    cr_assert_eq(h.closed, 1);
    fake_free(r);
}

/* SPDX-License-Identifier: MIT */
#include "transport/tcp_link.h"

#include "core/base/mem.h"
#include "transport/link_limit.h"
#include "uring/tcp.h"

struct tcp_link {
    struct link link;
    struct tcp_conn tcp;
    struct slice_queue received;
    size_t uncredited; /* bytes received and not credited, read or not */
    size_t read_left;  /* may still be received; without limit SIZE_MAX */
    struct quota read_quota;
    struct quota write_quota;
    struct write_pace pace;
    size_t writing_bytes; /* of the write in flight, which began then */
    nsec_t writing_since;
    void (*connected)(void *user); /* may be NULL */
    void *connected_user;
    int error;
    bool want_writable;
    bool is_joined; /* at the other end is not the far one */
    struct link_limit limit;
    bool write_over;
    bool read_over; /* the end is behind `received` */
    bool closing;
};

static struct tcp_link *link_of(struct link *l) {
    return CONTAINER_OF(l, struct tcp_link, link);
}

static struct tcp_link *link_of_tcp(struct tcp_conn *c) {
    return CONTAINER_OF(c, struct tcp_link, tcp);
}

/* --- Telling; the owner may close the link in each event, and it is not freed before closed() ---
 */

static void tell_readable(struct tcp_link *t) {
    if (!t->closing)
        t->link.events->readable(&t->link);
}

static void tell_writable_if_wanted(struct tcp_link *t) {
    if (!t->want_writable || t->closing)
        return;
    t->want_writable = false;
    t->link.events->writable(&t->link);
}

/* The relay's limit that was met, or else `error`. */
static int error_at_end(const struct tcp_link *t, int error) {
    uint64_t unsent = tcp_is_writing(&t->tcp) ? t->writing_bytes : 0;
    return link_limit_error(&t->limit, unsent, reactor_now(t->tcp.reactor), error);
}

static void fail(struct tcp_link *t, int error) {
    if (t->error != 0)
        return;
    /* Writing to a peer that has reset may be told as either. */
    t->error = error == -EPIPE ? -ECONNRESET : error;
    slice_queue_done(&t->received);
    tcp_read_stop(&t->tcp);
    tell_readable(t);
    tell_writable_if_wanted(t);
}

/* --- From TCP --- */

static bool may_receive(const struct tcp_link *t) {
    return t->read_left > 0 && t->uncredited < LINK_BUFFERED_MAX &&
           t->read_quota.used_bytes < LINK_BUFFERED_MAX;
}

static void set_read_left(struct tcp_link *t, size_t bytes) {
    t->read_left = bytes;
    tcp_read_limit(&t->tcp, bytes == SIZE_MAX ? 0 : (uint32_t)MIN(bytes, (size_t)UINT32_MAX));
}

static void on_connected(struct tcp_conn *c, int error) {
    struct tcp_link *t = link_of_tcp(c);
    if (error < 0) {
        fail(t, error);
        return;
    }
    if (t->write_over)
        tcp_shutdown_write(c);
    if (t->connected != NULL && !t->closing)
        t->connected(t->connected_user);
    tell_writable_if_wanted(t);
}

static void on_data(struct tcp_conn *c, struct slice s) {
    struct tcp_link *t = link_of_tcp(c);
    size_t bytes = s.len;
    if (slice_queue_push(&t->received, s) < 0) {
        slice_unref(&s);
        fail(t, -ENOMEM);
        return;
    }
    t->uncredited += bytes;
    t->limit.in_bytes += bytes;
    if (t->read_left != SIZE_MAX) {
        assert(bytes <= t->read_left);
        set_read_left(t, t->read_left - bytes);
    }
    if (!may_receive(t))
        tcp_read_stop(c);
    tell_readable(t);
}

static void on_eof(struct tcp_conn *c) {
    struct tcp_link *t = link_of_tcp(c);
    int e = error_at_end(t, 0);
    t->read_over = true;
    if (e < 0)
        fail(t, e);
    else
        tell_readable(t);
}

static void on_written(struct tcp_conn *c) {
    struct tcp_link *t = link_of_tcp(c);
    nsec_t took = reactor_now(c->reactor) - t->writing_since;
    /* With everything sent it was we who came late. */
    if (took > WRITE_PACE_TARGET && tcp_unsent(c) == 0)
        took = 0;
    write_pace_note(&t->pace, t->writing_bytes, took);
    tell_writable_if_wanted(t);
}

static void on_failed(struct tcp_conn *c, int error) {
    struct tcp_link *t = link_of_tcp(c);
    fail(t, error_at_end(t, error));
}

static void on_closed(struct tcp_conn *c) {
    struct tcp_link *t = link_of_tcp(c);
    assert(t->closing);
    assert(t->read_quota.used_bytes == 0);
    assert(t->write_quota.used_bytes == 0);
    t->link.events->closed(&t->link, t->error);
    (void)mem_free(reactor_mem(c->reactor), t);
}

static const struct tcp_events tcp_events = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .written = on_written,
    .failed = on_failed,
    .closed = on_closed,
};

/* --- From the owner --- */

static void write_now(struct tcp_link *t, const struct slice *v, size_t count) {
    t->writing_since = reactor_now(t->tcp.reactor);
    t->writing_bytes = 0;
    for (size_t i = 0; i < count; i++)
        t->writing_bytes += v[i].len;
    t->limit.out_bytes += t->writing_bytes;
    tcp_write(&t->tcp, v, count);
}

static ssize_t tcp_link_write(struct link *l, const struct slice *v, size_t count) {
    struct tcp_link *t = link_of(l);
    assert(!t->closing);
    if (t->error != 0)
        return t->error;
    if (t->write_over)
        return -EPIPE;
    size_t taken = 0;
    if (!t->tcp.connecting && !tcp_is_writing(&t->tcp))
        taken = MIN(count, (size_t)TCP_WRITE_SLICES_MAX);
    if (taken > 0)
        write_now(t, v, taken);
    t->want_writable = taken < count;
    return (ssize_t)taken;
}

static ssize_t tcp_link_read(struct link *l, struct slice *out, size_t max) {
    struct tcp_link *t = link_of(l);
    assert(!t->closing);
    if (t->error != 0)
        return t->error;
    size_t n = 0;
    while (n < max && slice_queue_shift(&t->received, &out[n]))
        n++;
    return n == 0 && max > 0 && t->read_over ? -ENODATA : (ssize_t)n;
}

static void tcp_link_credit(struct link *l, size_t bytes) {
    struct tcp_link *t = link_of(l);
    assert(!t->closing);
    assert(bytes <= t->uncredited);
    t->uncredited -= bytes;
    if (t->error == 0 && may_receive(t))
        tcp_read_start(&t->tcp);
}

static void tcp_link_shutdown_write(struct link *l) {
    struct tcp_link *t = link_of(l);
    assert(!t->closing);
    t->write_over = true;
    if (!t->tcp.connecting)
        tcp_shutdown_write(&t->tcp);
}

static void tcp_link_close(struct link *l, bool reset) {
    struct tcp_link *t = link_of(l);
    assert(!t->closing);
    t->closing = true;
    slice_queue_done(&t->received);
    if (reset || tcp_is_writing(&t->tcp))
        tcp_reset(&t->tcp);
    else
        tcp_close(&t->tcp);
}

static struct quota *tcp_link_quota(struct link *l) {
    return &link_of(l)->write_quota;
}

static size_t tcp_link_batch(const struct link *l) {
    return CONTAINER_OF(l, const struct tcp_link, link)->pace.bytes;
}

static int tcp_link_acked(const struct link *l, uint64_t *ret_bytes, nsec_t *ret_at) {
    const struct tcp_link *t = CONTAINER_OF(l, const struct tcp_link, link);
    return t->is_joined ? -ENOTSUP : tcp_acked(&t->tcp, ret_bytes, ret_at);
}

static const struct link_ops tcp_link_ops = {
    .write = tcp_link_write,
    .read = tcp_link_read,
    .credit = tcp_link_credit,
    .shutdown_write = tcp_link_shutdown_write,
    .close = tcp_link_close,
    .quota = tcp_link_quota,
    .batch = tcp_link_batch,
    .acked = tcp_link_acked,
};

/* --- Making --- */

static struct tcp_link *tcp_link_new(struct reactor *r) {
    struct tcp_link *t = mem_alloc(reactor_mem(r), sizeof(*t));
    if (t == NULL)
        return NULL;
    *t = (struct tcp_link){
        .link.ops = &tcp_link_ops, .pace = WRITE_PACE_INIT, .read_left = SIZE_MAX};
    t->read_quota = QUOTA_INIT(LINK_BUFFERED_MAX, NULL);
    /* A write in flight, and as much being made. */
    size_t write_bytes_max = (size_t)TCP_WRITE_SLICES_MAX * buf_class_size(BUF_64K);
    t->write_quota = QUOTA_INIT(2 * write_bytes_max, NULL);
    slice_queue_init(&t->received, reactor_mem(r));
    tcp_conn_init(&t->tcp, r, &tcp_events, &t->read_quota);
    return t;
}

int tcp_link_connect(struct reactor *r, const struct sock_addr *to, const struct sock_addr *from,
                     struct link **ret_link) {
    struct tcp_link *t = tcp_link_new(r);
    if (t == NULL)
        return -ENOMEM;
    int error = tcp_connect(&t->tcp, to, from);
    if (error < 0) {
        (void)mem_free(reactor_mem(r), t);
        return error;
    }
    tcp_read_start(&t->tcp);
    *ret_link = &t->link;
    return 0;
}

int tcp_link_adopt(struct reactor *r, int handle, size_t read_max, struct link **ret_link) {
    struct tcp_link *t = tcp_link_new(r);
    if (t == NULL)
        return -ENOMEM;
    tcp_conn_adopt(&t->tcp, handle);
    set_read_left(t, read_max);
    tcp_read_start(&t->tcp);
    *ret_link = &t->link;
    return 0;
}

void tcp_link_is_joined(struct link *l, const struct conn_limit *limit) {
    struct tcp_link *t = link_of(l);
    assert(l->ops == &tcp_link_ops);
    t->is_joined = true;
    t->limit = (struct link_limit){.limit = *limit, .began_at = reactor_now(t->tcp.reactor)};
}

void tcp_link_read_on(struct link *l) {
    struct tcp_link *t = link_of(l);
    assert(l->ops == &tcp_link_ops);
    set_read_left(t, SIZE_MAX);
    if (t->error == 0 && may_receive(t))
        tcp_read_start(&t->tcp);
}

struct bytes tcp_link_peek(const struct link *l) {
    const struct tcp_link *t = CONTAINER_OF(l, const struct tcp_link, link);
    assert(l->ops == &tcp_link_ops);
    return t->received.count == 0 ? BYTES_EMPTY : slice_bytes(slice_queue_at(&t->received, 0));
}

struct tcp_conn *tcp_link_conn(struct link *l) {
    assert(l->ops == &tcp_link_ops);
    return &link_of(l)->tcp;
}

void tcp_link_on_connected(struct link *l, void (*connected)(void *user), void *user) {
    struct tcp_link *t = link_of(l);
    t->connected = connected;
    t->connected_user = user;
}

int tcp_link_local_addr(const struct link *l, struct sock_addr *ret_addr) {
    assert(l->ops == &tcp_link_ops);
    return tcp_local_addr(&CONTAINER_OF(l, const struct tcp_link, link)->tcp, ret_addr);
}

/* SPDX-License-Identifier: MIT */
#include "uring/tcp.h"

#include "uring/reactor_internal.h"
#include "uring/tcp_internal.h"

static const struct reactor_backend *type_of(const struct reactor *r) {
    return r->backend->type;
}

/* --- Operations in flight --- */

void tcp_op_start(struct tcp_conn *c, struct op *op) {
    op->fd = c->fd;
    c->ops_in_flight++;
    reactor_start_op(c->reactor, op);
}

void tcp_close_when_idle(struct tcp_conn *c) {
    if (c->closing && c->ops_in_flight == 0 && c->fd >= 0 && !c->close_op.flying) {
        c->close_op.fd = c->fd;
        reactor_start_op(c->reactor, &c->close_op);
    }
}

void tcp_op_ended(struct tcp_conn *c) {
    assert(c->ops_in_flight > 0);
    c->ops_in_flight--;
}

static void write_drop(struct tcp_conn *c) {
    for (uint32_t i = c->write_first; i < c->write_count; i++)
        slice_unref(&c->write_slices[i]);
    c->write_first = 0;
    c->write_count = 0;
    c->writing = false;
}

static void received_drop(struct tcp_conn *c) {
    for (uint32_t i = 0; i < c->received.count; i++)
        slice_unref(&c->received.slices[i]);
    c->received.count = 0;
}

static void fail(struct tcp_conn *c, int error) {
    if (c->dead || c->closing)
        return;
    c->dead = true;
    c->reading = false;
    c->events->failed(c, error);
}

/* --- Reading --- */

/* Large receives are for streams that fill them, and whose quota has room: what a receive brings is
 * charged afterwards, and should overrun the quota by one slab at most. */
static size_t recv_size(const struct tcp_conn *c) {
    size_t slab = buf_class_size(BUF_64K);
    if (c->recv_max > 0)
        return MIN((size_t)c->recv_max, slab);
    if (!c->recv_was_full)
        return slab;
    size_t left = quota_left(c->quota) / slab * slab;
    return MAX(slab, MIN(left, (size_t)RECV_BYTES_MAX));
}

static void recv_start(struct tcp_conn *c) {
    if (c->recv_op.flying || c->read_ended || c->dead || c->closing || c->connecting)
        return;
    assert(c->received.count == 0);
    c->recv_op.data = &c->received;
    c->recv_op.size = recv_size(c);
    tcp_op_start(c, &c->recv_op);
}

static struct slice received_shift(struct tcp_conn *c) {
    struct slice s = c->received.slices[0];
    c->received.count--;
    memmove(&c->received.slices[0], &c->received.slices[1], c->received.count * sizeof(s));
    return s;
}

/* Gives what was received, then its end, then goes on receiving.  Each callback may stop reading,
 * or close, and the rest waits for tcp_read_start(). */
static void give(struct tcp_conn *c) {
    while (c->received.count > 0 && c->reading && !c->closing)
        c->events->data(c, received_shift(c));
    if (!c->reading || c->closing)
        return;

    int end = c->received_end;
    c->received_end = 0;
    if (end < 0)
        fail(c, end);
    else if (end > 0)
        c->events->eof(c);
    else
        recv_start(c);
}

/* While nobody reads, no receive tells that the peer is gone.  Once started it stays until it ends,
 * so that the pauses of a busy stream cost nothing more. */
static void hangup_watch(struct tcp_conn *c) {
    if (c->reading || c->hangup_op.flying || c->recv_op.flying || c->read_ended || c->fin_seen ||
        c->dead || c->closing || c->connecting)
        return;
    tcp_op_start(c, &c->hangup_op);
}

static void on_hangup(struct op *op) {
    struct tcp_conn *c = CONTAINER_OF(op, struct tcp_conn, hangup_op);
    tcp_op_ended(c);
    /* A reader gets what the kernel still has, and then the error. */
    if (!c->reading && !c->recv_op.flying && !c->read_ended && !c->dead && !c->closing) {
        int error = type_of(c->reactor)->stream_error(c->reactor->backend, c->fd);
        /* A reset behind the end is about what was sent there: what the peer had said may pass. */
        c->fin_seen = error == 0 || (error == -EPIPE && c->is_spliced);
        if (!c->fin_seen)
            fail(c, error);
    }
    tcp_close_when_idle(c);
}

static void on_received(struct op *op) {
    struct tcp_conn *c = CONTAINER_OF(op, struct tcp_conn, recv_op);
    int result = op->result;
    tcp_op_ended(c);
    for (uint32_t i = 0; i < c->received.count; i++) {
        struct slice *s = &c->received.slices[i];
        buf_charge(s->buf, c->quota);
        slice_compact(s, c->quota);
    }
    c->recv_was_full = result >= (int)buf_class_size(BUF_64K);
    if (c->closing || c->dead) {
        received_drop(c);
    } else {
        c->read_ended = result <= 0;
        if (result <= 0)
            c->received_end = result < 0 ? result : 1;
        if (result < 0 && !c->reading)
            fail(c, result);
        else
            give(c);
        hangup_watch(c);
    }
    tcp_close_when_idle(c);
}

void tcp_read_start(struct tcp_conn *c) {
    assert(!c->closing);
    if (c->reading || c->dead)
        return;
    c->reading = true;
    if (c->received.count > 0 || c->received_end != 0)
        reactor_defer(c->reactor, &c->later);
    else
        recv_start(c);
}

void tcp_read_limit(struct tcp_conn *c, uint32_t bytes_max) {
    c->recv_max = bytes_max;
}

void tcp_read_stop(struct tcp_conn *c) {
    c->reading = false;
    hangup_watch(c);
}

void tcp_set_quota(struct tcp_conn *c, struct quota *quota) {
    c->quota = quota;
    for (uint32_t i = 0; i < c->received.count; i++)
        buf_charge(c->received.slices[i].buf, quota);
}

/* --- Writing --- */

static void send_start(struct tcp_conn *c) {
    c->send_op.data = &c->write_slices[c->write_first];
    c->send_op.size = c->write_count - c->write_first;
    tcp_op_start(c, &c->send_op);
}

static void write_skip(struct tcp_conn *c, size_t sent) {
    while (c->write_first < c->write_count) {
        struct slice *s = &c->write_slices[c->write_first];
        if (sent < s->len) {
            slice_skip(s, (uint32_t)sent);
            return;
        }
        sent -= s->len;
        slice_unref(s);
        c->write_first++;
    }
    assert(sent == 0);
}

static void shutdown_now(struct tcp_conn *c) {
    int error = type_of(c->reactor)->shutdown_write(c->reactor->backend, c->fd);
    /* Failures mean that the connection is gone already, which reading reports. */
    (void)error;
}

static void on_sent(struct op *op) {
    struct tcp_conn *c = CONTAINER_OF(op, struct tcp_conn, send_op);
    int result = op->result;
    tcp_op_ended(c);
    if (result < 0 || c->closing) {
        write_drop(c);
        if (result < 0)
            fail(c, result);
        tcp_close_when_idle(c);
        return;
    }
    write_skip(c, (size_t)result);
    if (c->write_first < c->write_count) {
        send_start(c);
        return;
    }
    write_drop(c);
    if (c->shutdown_wanted)
        shutdown_now(c);
    if (!c->dead)
        c->events->written(c);
    tcp_close_when_idle(c);
}

void tcp_write(struct tcp_conn *c, const struct slice *v, size_t count) {
    assert(!c->writing);
    assert(!c->closing);
    assert(!c->shutdown_wanted);
    assert(!c->connecting);
    assert(count > 0);
    assert(count <= TCP_WRITE_SLICES_MAX);
    memcpy(c->write_slices, v, count * sizeof(v[0]));
    c->write_first = 0;
    c->write_count = (uint32_t)count;
    c->writing = true;
    send_start(c);
}

void tcp_shutdown_write(struct tcp_conn *c) {
    assert(!c->closing);
    assert(!c->connecting);
    if (c->shutdown_wanted)
        return;
    c->shutdown_wanted = true;
    if (!c->writing && !c->dead)
        shutdown_now(c);
}

/* --- Connecting, and the ends --- */

static void on_connected(struct op *op) {
    struct tcp_conn *c = CONTAINER_OF(op, struct tcp_conn, connect_op);
    int result = op->result;
    tcp_op_ended(c);
    c->connecting = false;
    if (!c->closing) {
        if (result < 0)
            c->dead = true;
        c->events->connected(c, result);
        if (c->reading)
            recv_start(c);
    }
    tcp_close_when_idle(c);
}

static void on_cancelled(struct op *op) {
    struct tcp_conn *c = CONTAINER_OF(op, struct tcp_conn, cancel_op);
    tcp_op_ended(c);
    if (c->ops_in_flight > 0) /* one was between two of the backend's steps, and slipped through */
        tcp_op_start(c, op);
    tcp_close_when_idle(c);
}

static void closed(struct tcp_conn *c) {
    c->reactor->handles_count--;
    c->fd = -1;
    c->events->closed(c);
}

static void on_closed(struct op *op) {
    closed(CONTAINER_OF(op, struct tcp_conn, close_op));
}

static void on_later(struct deferred *d) {
    struct tcp_conn *c = CONTAINER_OF(d, struct tcp_conn, later);
    if (c->closing)
        closed(c); /* there never was a handle */
    else if (c->reading)
        give(c);
}

void tcp_conn_init(struct tcp_conn *c, struct reactor *r, const struct tcp_events *events,
                   struct quota *quota) {
    *c = (struct tcp_conn){.reactor = r, .events = events, .quota = quota, .fd = -1};
    op_init(&c->connect_op, OP_CONNECT, on_connected);
    op_init(&c->recv_op, OP_RECV, on_received);
    op_init(&c->send_op, OP_SEND, on_sent);
    op_init(&c->cancel_op, OP_CANCEL, on_cancelled);
    op_init(&c->close_op, OP_CLOSE, on_closed);
    op_init(&c->hangup_op, OP_HANGUP, on_hangup);
    deferred_init(&c->later, on_later);
}

int tcp_connect(struct tcp_conn *c, const struct sock_addr *to, const struct sock_addr *from) {
    assert(c->fd < 0);
    struct backend *b = c->reactor->backend;
    int fd = b->type->stream_open(b, to);
    if (fd < 0)
        return fd;
    if (from != NULL) {
        int error = b->type->stream_bind(b, fd, from);
        if (error < 0) {
            b->type->handle_close(b, fd);
            return error;
        }
    }
    tcp_conn_adopt(c, fd);
    c->connecting = true;
    c->connect_to = *to;
    c->connect_op.data = &c->connect_to;
    tcp_op_start(c, &c->connect_op);
    return 0;
}

void tcp_conn_adopt(struct tcp_conn *c, int fd) {
    assert(c->fd < 0);
    assert(fd >= 0);
    c->fd = fd;
    c->reactor->handles_count++;
}

void tcp_close(struct tcp_conn *c) {
    if (c->closing)
        return;
    c->closing = true;
    c->reading = false;
    received_drop(c);
    deferred_cancel(&c->later);
    if (c->fd < 0) {
        c->reactor->handles_count++; /* until closed() */
        reactor_defer(c->reactor, &c->later);
    } else if (c->ops_in_flight > 0) {
        tcp_op_start(c, &c->cancel_op);
    } else {
        tcp_close_when_idle(c);
    }
}

void tcp_reset(struct tcp_conn *c) {
    if (c->fd >= 0 && !c->closing)
        type_of(c->reactor)->reset_on_close(c->reactor->backend, c->fd);
    tcp_close(c);
}

int tcp_remote_addr(const struct tcp_conn *c, struct sock_addr *ret_addr) {
    if (c->fd < 0)
        return -ENOTCONN;
    return type_of(c->reactor)->remote_addr(c->reactor->backend, c->fd, ret_addr);
}

int tcp_local_addr(const struct tcp_conn *c, struct sock_addr *ret_addr) {
    if (c->fd < 0)
        return -ENOTCONN;
    return type_of(c->reactor)->local_addr(c->reactor->backend, c->fd, ret_addr);
}

ssize_t tcp_unsent(const struct tcp_conn *c) {
    return c->fd < 0 ? -ENOTSUP : type_of(c->reactor)->stream_unsent(c->reactor->backend, c->fd);
}

int tcp_acked(const struct tcp_conn *c, uint64_t *ret_bytes, nsec_t *ret_at) {
    if (c->fd < 0)
        return -ENOTSUP;
    int e = type_of(c->reactor)->stream_acked(c->reactor->backend, c->fd, ret_bytes, ret_at);
    if (e == 0)
        *ret_at = MIN(*ret_at, reactor_now(c->reactor)); /* which stands still during a turn */
    return e;
}

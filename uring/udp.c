/* SPDX-License-Identifier: MIT */
#include "uring/udp.h"

#include "uring/reactor_internal.h"

/* Receive errors without a datagram between them, after which the socket counts as broken. */
enum { UDP_ERRORS_IN_ROW_MAX = 64 };

static void close_when_idle(struct udp_socket *u) {
    if (u->closing && u->ops_in_flight == 0 && !u->close_op.flying)
        reactor_start_op(u->reactor, &u->close_op);
}

static void start(struct udp_socket *u, struct op *op) {
    op->fd = u->fd;
    u->ops_in_flight++;
    reactor_start_op(u->reactor, op);
}

static void op_done(struct udp_socket *u) {
    assert(u->ops_in_flight > 0);
    u->ops_in_flight--;
}

/* --- Receiving --- */

/* An error that comes from the network (ICMP, an interface that went away for a moment) or from a
 * shortage of memory says nothing about the socket. */
static bool is_fatal(int error) {
    return error == -EBADF || error == -ENOTSOCK || error == -EINVAL || error == -EFAULT ||
           error == -EOPNOTSUPP;
}

static void give_batch(struct udp_socket *u, struct udp_batch *batch) {
    u->errors_in_row = 0;
    if (batch->len == 0) /* an empty datagram, which means nothing to anybody */
        return;
    if (batch->local.family == NET_NONE)
        batch->local = u->bound;
    batch->local.port = u->bound.port;
    u->events->received(u, batch);
}

static void on_received(struct op *op) {
    struct udp_socket *u = CONTAINER_OF(op, struct udp_socket, recv_op);
    int result = op->result;
    bool more = (op->flags & OP_MORE) != 0;
    if (!more)
        op_done(u);
    if (!u->closing && result >= 0 && op->data != NULL)
        give_batch(u, op->data);
    if (!u->closing && !more) {
        if (result < 0 && (is_fatal(result) || ++u->errors_in_row > UDP_ERRORS_IN_ROW_MAX))
            u->events->failed(u, result);
        else
            start(u, op);
    }
    close_when_idle(u);
}

/* --- Sending --- */

/* What the kernel answers when it will not cut a batch: EIO without checksum offload on the way
 * out, EINVAL when a segment does not fit the device, EMSGSIZE for too many, EOPNOTSUPP from a
 * module in between.  Each may also have another cause, so the datagrams are tried one by one, and
 * only when that works is GSO to blame. */
static bool may_be_refused_gso(int error) {
    return error == -EIO || error == -EINVAL || error == -EMSGSIZE || error == -EOPNOTSUPP;
}

static void send_part(struct udp_send *s) {
    size_t left = s->len - s->sent_bytes;
    bool whole = !s->split;
    s->out.data = s->data + s->sent_bytes;
    s->out.len = whole ? left : MIN(left, s->segment_len);
    s->out.segment_len = MIN(s->segment_len, s->out.len);
    start(s->socket, &s->op);
}

static void send_end(struct udp_send *s) {
    struct udp_socket *u = s->socket;
    s->done(s, s->first_error);
    close_when_idle(u);
}

static void on_sent(struct op *op) {
    struct udp_send *s = CONTAINER_OF(op, struct udp_send, op);
    struct udp_socket *u = s->socket;
    int result = op->result;
    op_done(u);

    if (result < 0 && !s->split && s->segment_len < s->len && may_be_refused_gso(result) &&
        !u->closing) {
        s->split = true;
        send_part(s);
        return;
    }
    if (result < 0 && s->first_error == 0)
        s->first_error = result;
    s->sent_bytes += s->out.len;
    if (s->sent_bytes < s->len && !u->closing) {
        send_part(s);
        return;
    }
    /* All its datagrams passed alone: the batch was the trouble. */
    if (s->split && s->first_error == 0)
        u->gso = false;
    send_end(s);
}

static bool is_batch(const struct udp_send *s) {
    return s->segment_len > 0 && s->segment_len <= s->len && s->len <= UDP_SEND_BYTES_MAX &&
           s->len <= s->segment_len * UDP_SEGMENTS_MAX;
}

void udp_send_start(struct udp_socket *u, struct udp_send *s) {
    assert(!u->closing);
    assert(is_batch(s));
    assert(s->remote.family == u->bound.family);

    op_init(&s->op, OP_UDP_SEND, on_sent);
    s->socket = u;
    s->sent_bytes = 0;
    s->first_error = 0;
    s->split = !u->gso;
    s->out.remote = s->remote;
    s->out.local = s->local;
    s->out.ecn = s->ecn;
    s->op.data = &s->out;
    send_part(s);
}

/* --- Life --- */

static void on_cancelled(struct op *op) {
    struct udp_socket *u = CONTAINER_OF(op, struct udp_socket, cancel_op);
    op_done(u);
    if (u->ops_in_flight > 0) /* one was between two of the backend's steps, and slipped through */
        start(u, op);
    close_when_idle(u);
}

static void on_closed(struct op *op) {
    struct udp_socket *u = CONTAINER_OF(op, struct udp_socket, close_op);
    u->reactor->handles_count--;
    u->fd = -1;
    u->events->closed(u);
}

int udp_open(struct udp_socket *u, struct reactor *r, const struct udp_config *cfg,
             const struct udp_events *events) {
    const struct reactor_backend *type = r->backend->type;
    int fd = type->udp_open(r->backend, &cfg->local);
    if (fd < 0)
        return fd;
    struct sock_addr bound;
    int error = type->local_addr(r->backend, fd, &bound);
    if (error < 0) {
        type->handle_close(r->backend, fd);
        return error;
    }
    *u = (struct udp_socket){.reactor = r, .events = events, .bound = bound.ip, .fd = fd};
    u->gso = r->backend->features.udp_gso;
    op_init(&u->recv_op, OP_UDP_RECV, on_received);
    op_init(&u->cancel_op, OP_CANCEL, on_cancelled);
    op_init(&u->close_op, OP_CLOSE, on_closed);
    u->close_op.fd = fd;
    r->handles_count++;
    start(u, &u->recv_op);
    return 0;
}

void udp_close(struct udp_socket *u) {
    if (u->closing)
        return;
    u->closing = true;
    if (u->ops_in_flight > 0)
        start(u, &u->cancel_op);
    else
        close_when_idle(u);
}

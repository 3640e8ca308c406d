/* SPDX-License-Identifier: MIT */

/* Listening sockets; the contract is in tcp.h. */

#include "uring/reactor_internal.h"
#include "uring/tcp.h"

/* How long a listener rests when accepting fails for another reason than the connection itself:
 * most of all, when the process has no descriptor left. */
#define ACCEPT_RETRY_AFTER MSEC(100)

static void start(struct tcp_listener *l, struct op *op) {
    op->fd = l->fd;
    l->ops_in_flight++;
    reactor_start_op(l->reactor, op);
}

static void op_ended(struct tcp_listener *l) {
    assert(l->ops_in_flight > 0);
    l->ops_in_flight--;
}

static void accept_start(struct tcp_listener *l) {
    if (!l->paused && !l->closing && !l->accept_op.flying)
        start(l, &l->accept_op);
}

static void close_when_idle(struct tcp_listener *l) {
    if (l->closing && l->ops_in_flight == 0 && !l->close_op.flying) {
        l->close_op.fd = l->fd;
        reactor_start_op(l->reactor, &l->close_op);
    }
}

/* Of a connection that died in the queue, or of a pause that has already been taken back. */
static bool may_go_on(int result) {
    return result >= 0 || result == -ECONNABORTED || result == -EPROTO || result == -EPERM ||
           result == -ECANCELED || result == -EINTR;
}

static void give(struct tcp_listener *l, int fd) {
    struct backend *b = l->reactor->backend;
    struct sock_addr remote;
    /* A peer that has reset already has no address any more. */
    if (l->closing || b->type->remote_addr(b, fd, &remote) < 0)
        b->type->handle_close(b, fd);
    else
        l->events->accepted(l, fd, &remote);
}

static void on_accepted(struct op *op) {
    struct tcp_listener *l = CONTAINER_OF(op, struct tcp_listener, accept_op);
    int result = op->result;
    bool more = (op->flags & OP_MORE) != 0;
    if (!more)
        op_ended(l);
    if (result >= 0)
        give(l, result);
    if (!more) {
        if (may_go_on(result) || l->closing)
            accept_start(l);
        else if (!l->paused)
            timer_start(&l->retry, reactor_now(l->reactor) + ACCEPT_RETRY_AFTER);
    }
    close_when_idle(l);
}

static void on_retry(struct timer *t) {
    accept_start(CONTAINER_OF(t, struct tcp_listener, retry));
}

static void on_cancelled(struct op *op) {
    struct tcp_listener *l = CONTAINER_OF(op, struct tcp_listener, cancel_op);
    op_ended(l);
    /* Paused, resumed and paused again while this one was under way, or it slipped through. */
    if ((l->paused || l->closing) && l->accept_op.flying)
        start(l, &l->cancel_op);
    close_when_idle(l);
}

static void on_closed(struct op *op) {
    struct tcp_listener *l = CONTAINER_OF(op, struct tcp_listener, close_op);
    l->reactor->handles_count--;
    l->fd = -1;
    l->events->closed(l);
}

int tcp_listen(struct tcp_listener *l, struct reactor *r, const struct sock_addr *at,
               const struct tcp_listener_events *events) {
    *l = (struct tcp_listener){.reactor = r, .events = events, .fd = -1};
    int error = timer_init(&l->retry, r, on_retry);
    if (error < 0)
        return error;
    int fd = r->backend->type->stream_listen(r->backend, at);
    if (fd < 0) {
        timer_done(&l->retry);
        return fd;
    }
    op_init(&l->accept_op, OP_ACCEPT, on_accepted);
    op_init(&l->cancel_op, OP_CANCEL, on_cancelled);
    op_init(&l->close_op, OP_CLOSE, on_closed);
    l->fd = fd;
    r->handles_count++;
    accept_start(l);
    return 0;
}

void tcp_listener_pause(struct tcp_listener *l) {
    assert(!l->closing);
    l->paused = true;
    timer_stop(&l->retry);
    if (l->accept_op.flying && !l->cancel_op.flying)
        start(l, &l->cancel_op);
}

void tcp_listener_resume(struct tcp_listener *l) {
    assert(!l->closing);
    l->paused = false;
    accept_start(l); /* one that a pause is just cancelling starts again when it has ended */
}

void tcp_listener_close(struct tcp_listener *l) {
    if (l->closing)
        return;
    l->closing = true;
    timer_done(&l->retry);
    if (l->accept_op.flying && !l->cancel_op.flying)
        start(l, &l->cancel_op);
    close_when_idle(l);
}

int tcp_listener_addr(const struct tcp_listener *l, struct sock_addr *ret_addr) {
    struct backend *b = l->reactor->backend;
    return b->type->local_addr(b, l->fd, ret_addr);
}

void tcp_handle_close(struct reactor *r, int fd, bool reset) {
    if (reset)
        r->backend->type->reset_on_close(r->backend, fd);
    r->backend->type->handle_close(r->backend, fd);
}

/* SPDX-License-Identifier: MIT */

/* Descriptors that are not sockets of ours: polled, and closed when nothing is in flight. */

#include "uring/reactor_internal.h"

static void on_closed(struct op *op) {
    struct fd_watch *w = CONTAINER_OF(op, struct fd_watch, close_op);
    w->reactor->handles_count--;
    w->events->closed(w);
}

static void start(struct fd_watch *w, struct op *op) {
    op->fd = w->fd;
    reactor_start_op(w->reactor, op);
}

static void on_poll(struct op *op) {
    struct fd_watch *w = CONTAINER_OF(op, struct fd_watch, poll_op);
    if (!w->closing)
        w->events->readable(w);
    if (!w->closing)
        start(w, op);
    else if (!w->cancel_op.flying)
        start(w, &w->close_op);
}

static void on_cancelled(struct op *op) {
    struct fd_watch *w = CONTAINER_OF(op, struct fd_watch, cancel_op);
    start(w, w->poll_op.flying ? op : &w->close_op);
}

void fd_watch_open(struct fd_watch *w, struct reactor *r, int fd,
                   const struct fd_watch_events *events) {
    *w = (struct fd_watch){.reactor = r, .events = events, .fd = fd};
    op_init(&w->poll_op, OP_POLL, on_poll);
    op_init(&w->cancel_op, OP_CANCEL, on_cancelled);
    /* Through the backend, which may remember the descriptor. */
    op_init(&w->close_op, OP_CLOSE, on_closed);
    r->handles_count++;
    start(w, &w->poll_op);
}

void fd_watch_close(struct fd_watch *w) {
    assert(!w->closing);
    w->closing = true;
    start(w, &w->cancel_op);
}

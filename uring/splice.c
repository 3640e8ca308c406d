/* SPDX-License-Identifier: MIT */
#include "uring/splice.h"

#include "uring/reactor_internal.h"
#include "uring/tcp_internal.h"

/* Turns stay short enough for timers and others: a busy way goes on in the next one. */
enum { FILLS_PER_TURN = 8 };

static void end(struct tcp_splice *s, int error) {
    assert(!s->is_stopped);
    s->is_stopped = true;
    s->ended(s, error);
}

static void wait_for(struct tcp_conn *c, struct op *op) {
    if (!op->flying)
        tcp_op_start(c, op);
}

static ssize_t fill(struct tcp_splice_way *w) {
    struct backend *b = w->splice->reactor->backend;
    size_t max = (size_t)MIN(w->left, (uint64_t)STREAM_PIPE_BYTES);
    ssize_t n = b->type->pipe_fill(b, &w->pipe, w->from->fd, max);
    if (n == 0)
        w->is_ended = true;
    if (n > 0) {
        assert((size_t)n <= max);
        w->held = (size_t)n;
        w->left -= (uint64_t)n;
    }
    return n;
}

static void drop(struct tcp_splice_way *w) {
    struct backend *b = w->splice->reactor->backend;
    if (w->held > 0)
        b->type->pipe_drop(b, &w->pipe, w->held);
    w->held = 0;
}

/* Whether its peer had said all before the socket broke: it closed while bytes were on their way to
 * it.  What it said may still be here.  A reset of whoever had not said its end is -ECONNRESET. */
static bool has_finished(const struct tcp_splice_way *w, int error) {
    const struct tcp_splice_way *ways = w->splice->ways;
    const struct tcp_splice_way *back =
        &ways[ways[TCP_SPLICE_A_TO_B].from == w->to ? TCP_SPLICE_A_TO_B : TCP_SPLICE_B_TO_A];
    return error == -EPIPE || back->is_ended || w->to->fin_seen;
}

/* Until the pipe is empty or the socket full: a short write may have other reasons. */
static ssize_t drain(struct tcp_splice_way *w) {
    struct backend *b = w->splice->reactor->backend;
    if (w->is_unwanted)
        drop(w);
    while (w->held > 0) {
        ssize_t n = b->type->pipe_drain(b, &w->pipe, w->to->fd, w->held);
        if (n < 0 && n != -EAGAIN && has_finished(w, (int)n)) {
            w->is_unwanted = true;
            drop(w);
            return 0;
        }
        if (n <= 0)
            return n < 0 ? n : -EPIPE;
        assert((size_t)n <= w->held);
        w->held -= (size_t)n;
        w->bytes += (uint64_t)n;
        *w->total += (uint64_t)n;
    }
    return 0;
}

/* Until one of the sockets has no more; what it waits for then is polled.  Or the error that one of
 * them is broken by. */
static int way_move(struct tcp_splice_way *w) {
    for (int i = 0; i < FILLS_PER_TURN; i++) {
        ssize_t e = drain(w);
        if (e == -EAGAIN)
            break;
        if (e < 0)
            return (int)e;
        if (w->is_ended || w->left == 0) {
            w->is_over = true;
            w->is_limited = !w->is_ended;
            tcp_shutdown_write(w->to);
            return 0;
        }
        e = fill(w);
        if (e < 0 && e != -EAGAIN)
            return (int)e;
        if (e == -EAGAIN)
            break;
    }
    if (w->held > 0)
        wait_for(w->to, &w->out_op);
    else
        wait_for(w->from, &w->in_op);
    return 0;
}

static void way_flow(struct tcp_splice_way *w) {
    struct tcp_splice *s = w->splice;
    if (s->is_stopped || w->is_over)
        return;
    assert(!w->from->closing);
    assert(!w->to->closing);
    int e = way_move(w);
    if (e < 0)
        end(s, e);
    else if (s->ways[TCP_SPLICE_A_TO_B].is_over && s->ways[TCP_SPLICE_B_TO_A].is_over)
        end(s, 0);
}

/* A poll that failed would fail again. */
static void on_polled(struct tcp_splice_way *w, struct tcp_conn *c, int result) {
    tcp_op_ended(c);
    if (result < 0 && !w->splice->is_stopped)
        end(w->splice, result);
    else
        way_flow(w);
    tcp_close_when_idle(c);
}

static void on_in(struct op *op) {
    struct tcp_splice_way *w = CONTAINER_OF(op, struct tcp_splice_way, in_op);
    on_polled(w, w->from, op->result);
}

static void on_out(struct op *op) {
    struct tcp_splice_way *w = CONTAINER_OF(op, struct tcp_splice_way, out_op);
    on_polled(w, w->to, op->result);
}

static void way_init(struct tcp_splice *s, int direction, const struct tcp_splice_config *cfg) {
    struct tcp_splice_way *w = &s->ways[direction];
    bool is_forth = direction == TCP_SPLICE_A_TO_B;
    *w = (struct tcp_splice_way){.splice = s,
                                 .from = is_forth ? cfg->a : cfg->b,
                                 .to = is_forth ? cfg->b : cfg->a,
                                 .left = cfg->data_max == 0 ? UINT64_MAX : cfg->data_max,
                                 .total = cfg->totals[direction]};
    assert(!w->from->reading);
    assert(!w->from->recv_op.flying);
    assert(w->from->received.count == 0);
    assert(!w->from->writing);
    w->from->is_spliced = true;
    op_init(&w->in_op, OP_POLL, on_in);
    op_init(&w->out_op, OP_POLL_OUT, on_out);
}

int tcp_splice_start(struct tcp_splice *s, struct reactor *r, const struct tcp_splice_config *cfg) {
    struct backend *b = r->backend;
    *s = (struct tcp_splice){.reactor = r, .ended = cfg->ended};
    for (int i = 0; i < TCP_SPLICE_DIRECTIONS; i++)
        way_init(s, i, cfg);
    struct tcp_splice_way *forth = &s->ways[TCP_SPLICE_A_TO_B];
    struct tcp_splice_way *back = &s->ways[TCP_SPLICE_B_TO_A];
    int e = b->type->pipe_open(b, forth->from->fd, forth->to->fd, &forth->pipe);
    if (e < 0)
        return e;
    e = b->type->pipe_open(b, back->from->fd, back->to->fd, &back->pipe);
    if (e < 0) {
        b->type->pipe_close(b, &forth->pipe);
        return e;
    }
    wait_for(forth->from, &forth->in_op);
    wait_for(back->from, &back->in_op);
    return 0;
}

void tcp_splice_stop(struct tcp_splice *s) {
    s->is_stopped = true;
}

void tcp_splice_done(struct tcp_splice *s) {
    struct backend *b = s->reactor->backend;
    assert(s->is_stopped);
    for (int i = 0; i < TCP_SPLICE_DIRECTIONS; i++) {
        assert(!s->ways[i].in_op.flying);
        assert(!s->ways[i].out_op.flying);
        b->type->pipe_close(b, &s->ways[i].pipe);
    }
}

/* SPDX-License-Identifier: MIT */
#include "relay/circuit_pump.h"

#include "core/base/err.h"
#include "transport/stream.h"

static void drop_held(struct circuit_way *w) {
    for (uint32_t i = 0; i < w->held_count; i++)
        slice_unref(&w->held[i]);
    w->held_count = 0;
}

/* --- Ends ------------------------------------------------------------------------------------ */

static void close_with(struct circuit_pump *p, int error) {
    assert(!p->is_closing);
    p->is_closing = true;
    p->error = error;
    timer_stop(&p->timer);
    reactor_defer(p->reactor, &p->end);
}

static void on_end(struct deferred *d) {
    struct circuit_pump *p = CONTAINER_OF(d, struct circuit_pump, end);
    assert(p->is_closing);
    for (int i = 0; i < CIRCUIT_DIRECTIONS; i++) {
        assert(p->ways[i].held_count == 0);
        p->ways[i].from = stream_release(p->ways[i].from);
        p->ways[i].to = NULL;
    }
    p->closed(p, p->error);
}

void circuit_pump_abort(struct circuit_pump *p, int error, uint64_t code) {
    if (p->is_closing)
        return;
    for (int i = 0; i < CIRCUIT_DIRECTIONS; i++) {
        drop_held(&p->ways[i]);
        if (!p->is_stream_over[i])
            stream_reset(p->ways[i].from, code);
    }
    close_with(p, error);
}

static void way_over(struct circuit_pump *p, struct circuit_way *w) {
    drop_held(w);
    w->is_over = true;
    if (p->ways[CIRCUIT_TO_DESTINATION].is_over && p->ways[CIRCUIT_TO_SOURCE].is_over)
        close_with(p, p->is_limited ? -ERR_LIMIT : 0);
}

/* Nobody is there to take it. */
static void way_stopped(struct circuit_pump *p, struct circuit_way *w, uint64_t code) {
    stream_stop_reading(w->from, code);
    way_over(p, w);
}

static void way_ended(struct circuit_pump *p, struct circuit_way *w) {
    stream_shutdown_write(w->to);
    if (!w->is_ended) {
        assert(w->left == 0);
        p->is_limited = true;
        stream_stop_reading(w->from, STREAM_CODE_NONE);
    }
    way_over(p, w);
}

/* --- Whose a slab is ------------------------------------------------------------------------- */

static bool is_charged_to(const struct buf *b, const struct quota *q) {
    while (q != NULL && q != b->quota)
        q = q->parent;
    return q != NULL;
}

/* Whether the slab of a held slice can be charged to the outgoing stream: no slices but ours are
 * views of it, or it is charged there since that stream took others of ours. */
static bool is_ours(const struct circuit_way *w, uint32_t index) {
    const struct buf *b = w->held[index].buf;
    uint32_t held = 0;
    for (uint32_t i = 0; i < w->held_count; i++)
        held += w->held[i].buf == b;
    return held == b->refs || is_charged_to(b, stream_quota(w->to));
}

/* Copies the first slice.
 *   -EAGAIN  no slab for the outgoing stream: writable() follows
 *   -ENOMEM  none for anybody: nothing follows
 *   and the errors of stream_write() */
static int copy_first(struct circuit_way *w) {
    struct slice *first = &w->held[0];
    struct quota *quota = stream_quota(w->to);
    enum buf_class class = buf_class_for(first->len);
    assert(first->buf != NULL);
    struct buf *b = buf_new(first->buf->pool, class, quota);
    if (b == NULL) {
        if (quota_left(quota) >= buf_class_size(class))
            return -ENOMEM;
        /* A slice of nothing, so that writable() follows. */
        ssize_t n = stream_write(w->to, &SLICE_EMPTY, 1);
        return n < 0 ? (int)n : -EAGAIN;
    }
    memcpy(b->data, first->data, first->len);
    struct slice copy = slice_of(b, 0, first->len);
    slice_unref(first);
    *first = copy;
    return 0;
}

/* --- One way --------------------------------------------------------------------------------- */

/* The outgoing stream has taken the first slices.  Nothing is sent from inside a call, so their
 * slabs are still there; what it did not take stays charged to the incoming one. */
static void note_taken(struct circuit_way *w, uint32_t count) {
    struct quota *quota = stream_quota(w->to);
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += w->held[i].len;
        if (!is_charged_to(w->held[i].buf, quota))
            buf_charge(w->held[i].buf, quota);
    }
    w->held_count -= count;
    memmove(&w->held[0], &w->held[count], w->held_count * sizeof(w->held[0]));
    w->bytes += bytes;
    *w->total += bytes;
    stream_credit(w->from, bytes);
}

/* How many of the first slices are ours, and not more than the quota has room for: their charge
 * follows when they are taken. */
static uint32_t count_ours(const struct circuit_way *w) {
    size_t slabs = quota_left(stream_quota(w->to)) / buf_class_size(BUF_64K);
    uint32_t max = (uint32_t)MIN((size_t)w->held_count, MAX(slabs, (size_t)1));
    uint32_t count = 0;
    while (count < max && is_ours(w, count))
        count++;
    return count;
}

/* Where the limit was met, that an end gives up is what comes of it. */
static int reset_error(const struct circuit_pump *p) {
    return p->is_limited ? -ERR_LIMIT : -ERR_STREAM_RESET;
}

/* Writes what is held.  -EAGAIN: writable() follows; -EPIPE and other errors of stream_write(),
 * -ENOMEM */
static int write_held(struct circuit_way *w) {
    while (w->held_count > 0) {
        uint32_t count = count_ours(w);
        if (count == 0) {
            int e = copy_first(w);
            if (e < 0)
                return e;
            count = 1;
        }
        ssize_t taken = stream_write(w->to, w->held, count);
        if (taken < 0)
            return (int)taken;
        note_taken(w, (uint32_t)taken);
        if (taken < count)
            return -EAGAIN;
    }
    return 0;
}

/* Cuts what was read at the limit.  What is dropped needs no credit: the stream will be stopped. */
static void cut_held(struct circuit_way *w) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->held_count; i++) {
        struct slice *s = &w->held[i];
        s->len = (uint32_t)MIN((uint64_t)s->len, w->left);
        w->left -= s->len;
        if (s->len > 0)
            kept++;
        else
            slice_unref(s);
    }
    w->held_count = kept;
}

/* 1, or 0 when nothing is there now; -ECONNRESET */
static int read_more(struct circuit_way *w) {
    assert(w->held_count == 0);
    ssize_t n = stream_read(w->from, w->held, CIRCUIT_SLICES_MAX);
    if (n == -ENODATA) {
        w->is_ended = true;
        return 1;
    }
    if (n <= 0)
        return (int)n;
    w->held_count = (uint32_t)n;
    cut_held(w);
    return 1;
}

/* Until one of the streams has no more. */
static int way_move(struct circuit_pump *p, struct circuit_way *w) {
    for (;;) {
        int e = write_held(w);
        if (e < 0)
            return e;
        if (w->is_ended || w->left == 0) {
            way_ended(p, w);
            return 0;
        }
        e = read_more(w);
        if (e <= 0)
            return e;
    }
}

static void way_flow(struct circuit_pump *p, struct circuit_way *w) {
    if (p->is_closing || w->is_over)
        return;
    int e = way_move(p, w);
    if (e == 0 || e == -EAGAIN)
        return;
    if (e == -EPIPE)
        way_stopped(p, w, STREAM_CODE_NONE);
    else if (e == -ECONNRESET)
        circuit_pump_abort(p, reset_error(p), STREAM_CODE_NONE);
    else
        circuit_pump_abort(p, e, e == -ENOMEM ? STREAM_CODE_RESOURCE_LIMIT : STREAM_CODE_NONE);
}

/* --- Events ---------------------------------------------------------------------------------- */

static enum circuit_direction direction_from(const struct circuit_pump *p, const struct stream *s) {
    return p->ways[CIRCUIT_TO_DESTINATION].from == s ? CIRCUIT_TO_DESTINATION : CIRCUIT_TO_SOURCE;
}

static struct circuit_way *way_from(struct circuit_pump *p, const struct stream *s) {
    return &p->ways[direction_from(p, s)];
}

static struct circuit_way *way_to(struct circuit_pump *p, const struct stream *s) {
    return &p->ways[1 - direction_from(p, s)];
}

static void on_readable(struct stream *s) {
    struct circuit_pump *p = stream_user(s);
    struct circuit_way *w = way_from(p, s);
    if (w->held_count == 0) /* else the outgoing stream is full */
        way_flow(p, w);
}

static void on_writable(struct stream *s) {
    struct circuit_pump *p = stream_user(s);
    way_flow(p, way_to(p, s));
}

static void on_stopped(struct stream *s, uint64_t code) {
    struct circuit_pump *p = stream_user(s);
    struct circuit_way *w = way_to(p, s);
    if (!p->is_closing && !w->is_over)
        way_stopped(p, w, code);
}

static void on_reset(struct stream *s, uint64_t code) {
    struct circuit_pump *p = stream_user(s);
    (void)code; /* it would be taken for ours */
    if (!way_from(p, s)->is_over)
        circuit_pump_abort(p, reset_error(p), STREAM_CODE_NONE);
}

static void on_closed(struct stream *s, int error) {
    struct circuit_pump *p = stream_user(s);
    p->is_stream_over[direction_from(p, s)] = true;
    if (error != 0)
        circuit_pump_abort(p, error, STREAM_CODE_NONE);
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .writable = on_writable,
    .stopped = on_stopped,
    .reset = on_reset,
    .closed = on_closed,
};

static void on_timer(struct timer *t) {
    circuit_pump_abort(CONTAINER_OF(t, struct circuit_pump, timer), -ETIME,
                       STREAM_CODE_RESOURCE_LIMIT);
}

/* --- Life ------------------------------------------------------------------------------------ */

static void way_begin(struct circuit_way *w, struct slice *rest, uint64_t data_max) {
    w->left = data_max == 0 ? UINT64_MAX : data_max;
    if (rest->len == 0)
        return;
    w->held[0] = slice_take(rest);
    w->held_count = 1;
    cut_held(w);
}

int circuit_pump_init(struct circuit_pump *p, struct reactor *r) {
    *p = (struct circuit_pump){.reactor = r};
    deferred_init(&p->end, on_end);
    return timer_init(&p->timer, r, on_timer);
}

void circuit_pump_start(struct circuit_pump *p, const struct circuit_pump_config *cfg) {
    struct circuit_way *ways = p->ways;
    ways[CIRCUIT_TO_DESTINATION] = (struct circuit_way){
        .from = cfg->source, .to = cfg->destination, .total = &cfg->totals->to_destination};
    ways[CIRCUIT_TO_SOURCE] = (struct circuit_way){
        .from = cfg->destination, .to = cfg->source, .total = &cfg->totals->to_source};
    way_begin(&ways[CIRCUIT_TO_DESTINATION], cfg->source_rest, cfg->data_max);
    way_begin(&ways[CIRCUIT_TO_SOURCE], cfg->destination_rest, cfg->data_max);
    p->closed = cfg->closed;
    stream_set_events(cfg->source, &stream_events, p);
    stream_set_events(cfg->destination, &stream_events, p);
    if (cfg->duration_max > 0)
        timer_start(&p->timer, reactor_now(p->reactor) + cfg->duration_max);
    /* What arrived before has been told already. */
    way_flow(p, &ways[CIRCUIT_TO_DESTINATION]);
    way_flow(p, &ways[CIRCUIT_TO_SOURCE]);
}

void circuit_pump_done(struct circuit_pump *p) {
    assert(p->ways[CIRCUIT_TO_DESTINATION].from == NULL);
    timer_done(&p->timer);
    deferred_cancel(&p->end);
}

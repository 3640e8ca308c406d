/* SPDX-License-Identifier: MIT */
#include "relay/pump.h"

#include "core/base/err.h"
#include "transport/stream.h"

static struct pump *pump_of(struct tcp_conn *c) {
    return CONTAINER_OF(c, struct pump, tcp);
}

void pump_abort(struct pump *p, int error, uint64_t code) {
    if (p->closing)
        return;
    p->closing = true;
    p->error = error;
    if (p->aborting != NULL)
        p->aborting(p, error);
    slice_unref(&p->waiting);
    if (!p->stream_over)
        stream_reset(p->stream, code);
    tcp_reset(&p->tcp);
}

static void finish_if_over(struct pump *p) {
    if (p->closing || !p->up_over || !p->down_over)
        return;
    assert(!tcp_is_writing(&p->tcp));
    p->closing = true;
    tcp_close(&p->tcp);
}

/* --- TCP -> stream --- */

/* The peer reads no more.  TCP is read on, else its end would never be noticed. */
static void up_stop(struct pump *p) {
    bool was_stalled = p->waiting.buf != NULL;

    p->up_over = true;
    slice_unref(&p->waiting);
    finish_if_over(p);
    if (was_stalled && !p->closing)
        tcp_read_start(&p->tcp);
}

static void up_write(struct pump *p, struct slice s) {
    ssize_t taken = stream_write(p->stream, &s, 1);
    if (taken > 0) {
        p->totals->tx_bytes += s.len;
        return;
    }
    if (taken == 0) {
        p->waiting = s;
        tcp_read_stop(&p->tcp);
        return;
    }
    slice_unref(&s);
    if (taken == -EPIPE)
        up_stop(p);
    else
        pump_abort(p, (int)taken, STREAM_CODE_NONE);
}

static void on_tcp_data(struct tcp_conn *c, struct slice s) {
    struct pump *p = pump_of(c);

    assert(p->waiting.buf == NULL);
    if (p->closing || p->up_over)
        slice_unref(&s);
    else
        up_write(p, s);
}

static void on_tcp_eof(struct tcp_conn *c) {
    struct pump *p = pump_of(c);
    if (p->closing || p->up_over)
        return;

    assert(p->waiting.buf == NULL);
    p->tcp_ended = true;
    p->up_over = true;
    stream_shutdown_write(p->stream);
    finish_if_over(p);
}

static void on_stream_writable(struct stream *s) {
    struct pump *p = stream_user(s);
    if (p->closing || p->waiting.buf == NULL)
        return;

    struct slice waiting = p->waiting;
    p->waiting = SLICE_EMPTY;
    up_write(p, waiting);
    if (!p->closing && p->waiting.buf == NULL)
        tcp_read_start(&p->tcp);
}

static void on_stream_stopped(struct stream *s, uint64_t code) {
    struct pump *p = stream_user(s);
    (void)code; /* with an error a reset comes too, and that is what ends both ways */

    if (!p->closing && !p->up_over)
        up_stop(p);
}

/* --- stream -> TCP --- */

static void down_pull(struct pump *p) {
    struct slice v[TCP_WRITE_SLICES_MAX];
    if (p->closing || p->down_over || tcp_is_writing(&p->tcp))
        return;

    ssize_t count = stream_read(p->stream, v, ARRAY_COUNT(v));
    if (count == -ENODATA) {
        p->down_over = true;
        if (!p->tcp_ended) /* else closing, which follows, says the same */
            tcp_shutdown_write(&p->tcp);
        finish_if_over(p);
    } else if (count < 0) {
        pump_abort(p, -ERR_STREAM_RESET, STREAM_CODE_NONE);
    } else if (count > 0) {
        p->writing_bytes = 0;
        for (ssize_t i = 0; i < count; i++)
            p->writing_bytes += v[i].len;
        tcp_write(&p->tcp, v, (size_t)count);
    }
}

static void on_tcp_written(struct tcp_conn *c) {
    struct pump *p = pump_of(c);
    if (p->closing)
        return;

    p->totals->rx_bytes += p->writing_bytes;
    stream_credit(p->stream, p->writing_bytes);
    down_pull(p);
}

static void on_stream_readable(struct stream *s) {
    down_pull(stream_user(s));
}

/* --- Ends that come from elsewhere --- */

static void on_stream_reset(struct stream *s, uint64_t code) {
    struct pump *p = stream_user(s);
    (void)code; /* RST has no room for it */

    if (!p->down_over)
        pump_abort(p, -ERR_STREAM_RESET, STREAM_CODE_NONE);
}

static void on_stream_closed(struct stream *s, int error) {
    struct pump *p = stream_user(s);

    p->stream_over = true;
    if (error != 0)
        pump_abort(p, error, STREAM_CODE_NONE);
}

static void on_tcp_failed(struct tcp_conn *c, int error) {
    pump_abort(pump_of(c), error, STREAM_CODE_NONE);
}

static void on_tcp_closed(struct tcp_conn *c) {
    struct pump *p = pump_of(c);

    assert(p->closing);
    assert(p->waiting.buf == NULL);
    p->stream = stream_release(p->stream);
    p->closed(p, p->error);
}

static const struct tcp_events tcp_events = {
    .data = on_tcp_data,
    .eof = on_tcp_eof,
    .written = on_tcp_written,
    .failed = on_tcp_failed,
    .closed = on_tcp_closed,
};

static const struct stream_events stream_events = {
    .readable = on_stream_readable,
    .writable = on_stream_writable,
    .stopped = on_stream_stopped,
    .reset = on_stream_reset,
    .closed = on_stream_closed,
};

void pump_start(struct pump *p, struct stream *s, struct pump_totals *totals,
                void (*closed)(struct pump *p, int error)) {
    p->stream = s;
    p->totals = totals;
    p->closed = closed;
    p->aborting = NULL;
    p->waiting = SLICE_EMPTY;
    p->writing_bytes = 0;
    p->error = 0;
    p->tcp_ended = false;
    p->up_over = false;
    p->down_over = false;
    p->stream_over = false;
    p->closing = false;
    p->tcp.events = &tcp_events;
    p->tcp.quota = stream_quota(s);
    stream_set_events(s, &stream_events, p);
    tcp_read_start(&p->tcp);
    /* What arrived while TCP was being connected has been told already. */
    down_pull(p);
}

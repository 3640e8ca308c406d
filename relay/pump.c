/* SPDX-License-Identifier: MIT */
#include "relay/pump.h"

#include "core/base/err.h"
#include "transport/stream.h"

static struct pump *pump_of(struct tcp_conn *c) {
    return CONTAINER_OF(c, struct pump, tcp);
}

static void head_drop(struct pump *p, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        slice_unref(&p->head[i]);
    p->head_count -= count;
    memmove(&p->head[0], &p->head[count], p->head_count * sizeof(p->head[0]));
    p->head_sent -= MIN(count, p->head_sent);
    p->head_counted -= MIN(count, p->head_counted);
}

void pump_abort(struct pump *p, int error, uint64_t code) {
    if (p->closing)
        return;
    p->closing = true;
    p->error = error;
    if (p->aborting != NULL)
        p->aborting(p, error);
    head_drop(p, p->head_count);
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

static bool head_is_full(const struct pump *p) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < p->head_count; i++)
        bytes += p->head[i].len;
    return bytes >= PUMP_HEAD_MAX || p->head_count == PUMP_HEAD_SLICES_MAX;
}

static void up_write(struct pump *p) {
    if (p->waits)
        return;
    while (p->head_sent < p->head_count) {
        struct slice s = slice_ref(&p->head[p->head_sent]);
        ssize_t taken = stream_write(p->stream, &s, 1);
        if (taken <= 0)
            slice_unref(&s);
        if (taken == 0)
            return;
        if (taken == -EPIPE) {
            p->up_over = true;
            return;
        }
        if (taken < 0) {
            pump_abort(p, (int)taken, STREAM_CODE_NONE);
            return;
        }
        if (p->head_sent++ == p->head_counted) {
            p->totals->tx_bytes += s.len;
            p->head_counted++;
        }
    }
    if (p->tcp_ended) {
        p->up_over = true;
        stream_shutdown_write(p->stream);
    }
}

/* After every change: writes, drops what need not be kept, and reads TCP or not.  When the peer
 * reads no more TCP is read on, else its end would never be noticed. */
static void up_flow(struct pump *p) {
    if (!p->up_over)
        up_write(p);
    if (p->closing)
        return;
    if (p->keeps && p->is_agreed && head_is_full(p))
        p->keeps = false;
    if (!p->keeps)
        head_drop(p, p->up_over ? p->head_count : p->head_sent);
    finish_if_over(p);
    if (p->closing)
        return;
    if (p->keeps ? head_is_full(p) : p->head_count > 0)
        tcp_read_stop(&p->tcp);
    else
        tcp_read_start(&p->tcp);
}

static void on_tcp_data(struct tcp_conn *c, struct slice s) {
    struct pump *p = pump_of(c);

    if (p->closing || (p->up_over && !p->keeps)) {
        slice_unref(&s);
        return;
    }
    assert(p->head_count < PUMP_HEAD_SLICES_MAX);
    p->head[p->head_count++] = s;
    up_flow(p);
}

static void on_tcp_eof(struct tcp_conn *c) {
    struct pump *p = pump_of(c);
    if (p->closing)
        return;

    p->tcp_ended = true;
    up_flow(p);
}

static void on_stream_writable(struct stream *s) {
    struct pump *p = stream_user(s);

    if (!p->closing)
        up_flow(p);
}

static void on_stream_stopped(struct stream *s, uint64_t code) {
    struct pump *p = stream_user(s);
    (void)code; /* with an error a reset comes too, and that is what ends both ways */

    if (p->closing || p->up_over)
        return;
    p->up_over = true;
    up_flow(p);
}

/* --- stream -> TCP --- */

/* The peer has taken up its work: no other stream will do. */
static void keep_no_more(struct pump *p) {
    if (p->closing || !p->keeps)
        return;
    p->keeps = false;
    up_flow(p);
}

static void down_pull(struct pump *p) {
    struct slice v[TCP_WRITE_SLICES_MAX];
    if (p->closing || p->down_over || tcp_is_writing(&p->tcp))
        return;

    ssize_t count = stream_read(p->stream, v, ARRAY_COUNT(v));
    if (count == -ENODATA) {
        p->down_over = true;
        if (!p->tcp_ended) /* else closing, which follows, says the same */
            tcp_shutdown_write(&p->tcp);
        keep_no_more(p);
        finish_if_over(p);
    } else if (count < 0 && !p->keeps) { /* else on_stream_reset() looks at the code */
        pump_abort(p, -ERR_STREAM_RESET, STREAM_CODE_NONE);
    } else if (count > 0) {
        p->writing_bytes = 0;
        for (ssize_t i = 0; i < count; i++)
            p->writing_bytes += v[i].len;
        tcp_write(&p->tcp, v, (size_t)count);
        keep_no_more(p);
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
    struct pump *p = stream_user(s);

    if (!p->closing && p->keeps && !p->is_agreed && stream_is_agreed(s)) {
        p->is_agreed = true;
        p->waits = false;
        p->agreed(p);
        up_flow(p);
    }
    down_pull(p);
}

/* --- Ends that come from elsewhere --- */

static bool is_refusal(const struct pump *p, uint64_t code) {
    if (p->closing || !p->keeps)
        return false;
    return code == STREAM_CODE_RESOURCE_LIMIT ||
           (code == STREAM_CODE_RATE_LIMITED && !stream_is_agreed(p->stream));
}

/* TCP is the owner's again, and what it has sent waits. */
static void give_back(struct pump *p) {
    tcp_read_stop(&p->tcp);
    tcp_set_quota(&p->tcp, NULL);
    for (uint32_t i = 0; i < p->head_count; i++)
        buf_charge(p->head[i].buf, NULL);
    p->head_sent = 0;
    p->waits = false;
    if (!p->stream_over)
        stream_reset(p->stream, STREAM_CODE_NONE);
    p->stream = stream_release(p->stream);
}

static void on_stream_reset(struct stream *s, uint64_t code) {
    struct pump *p = stream_user(s);

    if (is_refusal(p, code)) {
        give_back(p);
        p->refused(p);
    } else if (!p->down_over) { /* RST has no room for the code */
        pump_abort(p, -ERR_STREAM_RESET, STREAM_CODE_NONE);
    }
}

/* The connection ended with the peer knowing nothing of TCP.  -ETIMEDOUT is also the end of the
 * negotiation's time, which another stream of a connection that lives would only wait for again. */
static bool is_loss(const struct pump *p, int error) {
    return pump_is_waiting(p) && (error == -ERR_CONN_CLOSED ||
                                  (error == -ETIMEDOUT && stream_is_silent(p->stream, p->silence)));
}

static void on_stream_closed(struct stream *s, int error) {
    struct pump *p = stream_user(s);

    p->stream_over = true;
    if (is_loss(p, error)) {
        give_back(p);
        p->lost(p, error);
    } else if (error != 0)
        pump_abort(p, error, STREAM_CODE_NONE);
}

static void on_tcp_failed(struct tcp_conn *c, int error) {
    pump_abort(pump_of(c), error, STREAM_CODE_NONE);
}

static void on_tcp_closed(struct tcp_conn *c) {
    struct pump *p = pump_of(c);

    assert(p->closing);
    assert(p->head_count == 0);
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

static void begin(struct pump *p, struct stream *s) {
    p->stream = s;
    p->up_over = false;
    p->down_over = false;
    p->stream_over = false;
    p->keeps = p->refused != NULL;
    p->is_agreed = false;
    p->tcp.events = &tcp_events;
    tcp_set_quota(&p->tcp, stream_quota(s));
    stream_set_events(s, &stream_events, p);
    up_flow(p);
    /* What arrived while TCP was being connected has been told already. */
    down_pull(p);
}

void pump_start_refusable(struct pump *p, struct stream *s, struct pump_totals *totals,
                          void (*closed)(struct pump *p, int error),
                          void (*refused)(struct pump *p), void (*agreed)(struct pump *p)) {
    p->totals = totals;
    p->closed = closed;
    p->aborting = NULL;
    p->lost = NULL;
    p->silence = 0;
    p->waits = false;
    p->refused = refused;
    p->agreed = agreed;
    p->head_count = 0;
    p->head_sent = 0;
    p->head_counted = 0;
    p->writing_bytes = 0;
    p->error = 0;
    p->tcp_ended = false;
    p->closing = false;
    begin(p, s);
}

void pump_start(struct pump *p, struct stream *s, struct pump_totals *totals,
                void (*closed)(struct pump *p, int error)) {
    pump_start_refusable(p, s, totals, closed, NULL, NULL);
}

void pump_wait_for_peer(struct pump *p, nsec_t silence, void (*lost)(struct pump *p, int error)) {
    assert(p->head_sent == 0);
    p->silence = silence;
    p->lost = lost;
    p->waits = true;
}

void pump_take_back(struct pump *p) {
    assert(pump_is_waiting(p));
    give_back(p);
}

void pump_restart(struct pump *p, struct stream *s) {
    assert(!p->closing);
    begin(p, s);
}

void pump_forget(struct pump *p) {
    head_drop(p, p->head_count);
}

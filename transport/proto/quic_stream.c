/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/proto/quic_conn_internal.h"

/* A stream's slabs: what may be in flight, what waits, and the window of the other direction, each
 * with one partly filled slab, and as much again for writes that fill their slabs badly. */
enum {
    STREAM_QUOTA_BYTES = 2 * (QUIC_STREAM_IN_FLIGHT_MAX + QUIC_STREAM_UNSENT_MAX) +
                         QUIC_STREAM_WINDOW_MAX + 4 * (64 << 10),
    /* Room below which nothing more is accepted: one receive of the TCP side is on its way. */
    STREAM_QUOTA_SPARE = 128 << 10,
    /* The largest slab: with less left, a writer might not get one for what it wants to write. */
    STREAM_QUOTA_LAST = 64 << 10,
};

int quic_stream_new(struct quic_conn *c, int64_t id, struct quic_stream **ret_stream) {
    struct quic_stream *s = mem_alloc(c->mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->conn = c;
    s->id = id;
    s->quota = QUOTA_INIT(STREAM_QUOTA_BYTES, c->quota);
    list_init(&s->node);
    list_init(&s->event_node);
    list_init(&s->send_node);
    list_init(&s->starved_node);
    slice_queue_init(&s->unsent, c->mem);
    slice_queue_init(&s->in_flight, c->mem);
    slice_queue_init(&s->received, c->mem);
    slice_writer_init(&s->receiver, &s->received, c->pool, &s->quota);
    list_push(&c->streams, &s->node);
    c->streams_count++;
    *ret_stream = s;
    return 0;
}

/* With nothing on its way a stream may go further: new ones can negotiate, and short messages pass,
 * while many others fill the connection. */
static bool has_quota(const struct quic_stream *s) {
    bool is_idle = s->unsent.len + s->in_flight.len == 0;
    return quota_left(&s->quota) >= (is_idle ? STREAM_QUOTA_LAST : STREAM_QUOTA_SPARE);
}

/* What is unacknowledged, counted as if all packets were full ones of the largest size: each slice
 * may have ended one early, the path may take smaller ones only, and what must be bounded is the
 * number of packets. */
static size_t in_flight_cost(const struct quic_stream *s) {
    size_t cost = s->in_flight.len + (size_t)s->in_flight.count * QUIC_PACKET_BYTES_MAX;
    return s->conn->small_packets ? cost + cost / 4 : cost;
}

static bool has_room(const struct quic_stream *s) {
    return s->unsent.len < QUIC_STREAM_UNSENT_MAX &&
           s->unsent.len + in_flight_cost(s) < QUIC_STREAM_IN_FLIGHT_MAX && has_quota(s);
}

/* Told with hysteresis: half of the room must be free, or each packet sent would wake the writer.
 */
static void tell_writable_if_wanted(struct quic_stream *s) {
    if (s->want_writable && !s->write_stopped && has_room(s) &&
        s->unsent.len <= QUIC_STREAM_UNSENT_MAX / 2) {
        s->want_writable = false;
        list_remove(&s->starved_node);
        quic_stream_tell(s, STREAM_EV_WRITABLE);
    }
}

/* Slabs of the connection were given back.  Who found it full may have nothing on its way whose
 * acknowledgement would wake it, so that others have to: in turn, as far as it goes round. */
static void wake_starved(struct quic_conn *c) {
    if (list_is_empty(&c->starved))
        return;
    size_t left = quota_left(c->quota);
    while (left / 2 >= STREAM_QUOTA_SPARE && !list_is_empty(&c->starved)) {
        struct list *node = list_shift(&c->starved);
        tell_writable_if_wanted(LIST_ENTRY(node, struct quic_stream, starved_node));
        left -= STREAM_QUOTA_SPARE;
    }
}

static void drop_outgoing(struct quic_stream *s) {
    slice_queue_done(&s->unsent);
    slice_queue_done(&s->in_flight);
    list_remove(&s->send_node);
    list_remove(&s->starved_node);
    wake_starved(s->conn);
}

/* The connection's window is given back when bytes arrive, not when they are read: each stream is
 * held by its own window, and a few slow readers must not stall all others.  Only when very much is
 * buffered for one connection does its window wait for the readers. */
static void settle_window(struct quic_conn *c) {
    if (c->owed == 0 || c->buffered >= QUIC_CONN_BUFFERED_MAX || c->state > QUIC_OPEN)
        return;
    ngtcp2_conn_extend_max_offset(c->ngtcp2, c->owed);
    c->owed = 0;
}

static void take_in(struct quic_conn *c, size_t bytes) {
    c->buffered += bytes;
    c->owed += bytes;
    settle_window(c);
}

static void give_off(struct quic_conn *c, size_t bytes) {
    assert(bytes <= c->buffered);
    c->buffered -= bytes;
    settle_window(c);
    wake_starved(c);
}

static void drop_incoming(struct quic_stream *s) {
    size_t bytes = s->received.len + s->uncredited;
    slice_writer_done(&s->receiver);
    slice_queue_done(&s->received);
    s->uncredited = 0;
    give_off(s->conn, bytes);
}

void quic_stream_free_if_done(struct quic_stream *s) {
    struct quic_conn *c = s->conn;
    if (!s->released || !s->closed)
        return;
    bool remote = c->ngtcp2 != NULL && !ngtcp2_conn_is_local_stream2(c->ngtcp2, s->id);
    if (remote && c->state == QUIC_OPEN)
        ngtcp2_conn_extend_max_streams_bidi(c->ngtcp2, 1); /* told with the next packet */
    drop_outgoing(s);
    drop_incoming(s);
    list_remove(&s->event_node);
    list_remove(&s->node);
    assert(c->streams_count > 0);
    c->streams_count--;
    assert(s->quota.used_bytes == 0);
    (void)mem_free(c->mem, s);
}

void quic_stream_tell(struct quic_stream *s, unsigned event_bits) {
    if (s->released)
        return;
    s->events |= (uint8_t)event_bits;
    if (!list_is_linked(&s->event_node))
        list_push(&s->conn->events, &s->event_node);
}

/* CLOSED is told when nothing can follow it: what was received has been read, or never will be. */
void quic_stream_tell_closed_if_over(struct quic_stream *s) {
    bool reading_over =
        s->fin_told || s->read_reset || s->read_stopped || s->conn->state > QUIC_OPEN;
    if (!s->closed || !reading_over || s->closed_told)
        return;
    s->closed_told = true;
    quic_stream_tell(s, STREAM_EV_CLOSED);
}

void quic_stream_update_sendable(struct quic_stream *s) {
    bool something = s->unsent.len > 0 || (s->fin_wanted && !s->fin_sent);
    bool may = !s->closed && !s->write_stopped && !s->blocked &&
               in_flight_cost(s) < QUIC_STREAM_IN_FLIGHT_MAX;
    if (something && may) {
        if (!list_is_linked(&s->send_node))
            list_push(&s->conn->sendable, &s->send_node);
    } else {
        list_remove(&s->send_node);
    }
}

/* --- What ngtcp2 reports --- */

int quic_stream_on_data(struct quic_stream *s, struct bytes data, bool fin) {
    if (s->released || s->read_stopped) {
        ngtcp2_conn_extend_max_offset(s->conn->ngtcp2, data.len);
        return 0;
    }
    size_t taken = slice_writer_add(&s->receiver, data);
    take_in(s->conn, taken);
    if (taken < data.len) {
        /* The peer keeps within its window, so it is our pool that is used up. */
        ngtcp2_conn_extend_max_offset(s->conn->ngtcp2, data.len - taken);
        quic_stream_reset(s, 0x1002 /* STREAM_CODE_RESOURCE_LIMIT */);
        s->read_reset = true;
        s->reset_code = 0x1002;
        quic_stream_tell(s, STREAM_EV_RESET);
        return 0;
    }
    s->fin_received = s->fin_received || fin;
    quic_stream_tell(s, STREAM_EV_READABLE);
    return 0;
}

void quic_stream_on_acked(struct quic_stream *s, uint64_t len) {
    assert(len <= s->in_flight.len);
    slice_queue_drop(&s->in_flight, (size_t)len);
    quic_stream_update_sendable(s);
    tell_writable_if_wanted(s);
    wake_starved(s->conn);
}

/* Moves the first bytes of `unsent` to `in_flight`: a slice of the same slab grows, so that the
 * packets of one slab do not make a queue entry each. */
static void move_to_in_flight(struct quic_stream *s, size_t len) {
    while (len > 0) {
        struct slice *from = slice_queue_at(&s->unsent, 0);
        uint32_t n = (uint32_t)MIN(len, (size_t)from->len);
        struct slice *last =
            s->in_flight.count > 0 ? slice_queue_at(&s->in_flight, s->in_flight.count - 1) : NULL;
        if (last != NULL && last->buf == from->buf && last->data + last->len == from->data) {
            last->len += n;
            s->in_flight.len += n;
        } else {
            struct slice part = slice_ref(from);
            part.len = n;
            if (slice_queue_push(&s->in_flight, part) < 0) {
                /* ngtcp2 holds the bytes already: without memory to remember them the connection
                 * cannot go on.  They stay where they are until quic_conn_pull() ends it. */
                slice_unref(&part);
                s->conn->send_failed = true;
                return;
            }
        }
        slice_queue_drop(&s->unsent, n);
        len -= n;
    }
}

void quic_stream_on_sent(struct quic_stream *s, size_t len, bool fin) {
    move_to_in_flight(s, len);
    s->fin_sent = s->fin_sent || fin;
    quic_stream_update_sendable(s);
    tell_writable_if_wanted(s);
}

void quic_stream_on_stopped(struct quic_stream *s, uint64_t code) {
    s->write_stopped = true;
    s->stop_code = code;
    quic_stream_update_sendable(s);
    quic_stream_tell(s, STREAM_EV_STOPPED);
}

void quic_stream_on_reset(struct quic_stream *s, uint64_t code) {
    /* A reset that answers our own STOP_SENDING, or one after the end was read, says nothing new.
     */
    bool news = !s->read_stopped && !s->fin_told;
    s->read_reset = true;
    s->reset_code = code;
    drop_incoming(s);
    if (news)
        quic_stream_tell(s, STREAM_EV_RESET);
}

void quic_stream_on_closed(struct quic_stream *s) {
    if (s->closed)
        return;
    s->closed = true;
    drop_outgoing(s);
    quic_stream_tell_closed_if_over(s);
    quic_stream_free_if_done(s);
}

/* --- What the user does --- */

int quic_stream_open(struct quic_conn *c, struct quic_stream **ret_stream) {
    if (c->state != QUIC_OPEN)
        return -ERR_CONN_CLOSED;
    if (ngtcp2_conn_get_streams_bidi_left2(c->ngtcp2) == 0)
        return -EAGAIN;
    struct quic_stream *s;
    int e = quic_stream_new(c, -1, &s);
    if (e < 0)
        return e;
    s->announced = true;
    if (ngtcp2_conn_open_bidi_stream(c->ngtcp2, &s->id, s) != 0) {
        s->closed = true;
        s->released = true;
        list_remove(&s->event_node);
        list_remove(&s->node);
        c->streams_count--;
        (void)mem_free(c->mem, s);
        return -ENOMEM;
    }
    *ret_stream = s;
    return 0;
}

void quic_stream_set_user(struct quic_stream *s, void *user) {
    s->user = user;
}

void *quic_stream_user(const struct quic_stream *s) {
    return s->user;
}

struct quic_conn *quic_stream_conn(const struct quic_stream *s) {
    return s->conn;
}

int64_t quic_stream_id(const struct quic_stream *s) {
    return s->id;
}

struct quota *quic_stream_quota(struct quic_stream *s) {
    return &s->quota;
}

size_t quic_stream_unsent(const struct quic_stream *s) {
    return s->unsent.len;
}

ssize_t quic_stream_write(struct quic_stream *s, const struct slice *v, size_t count) {
    assert(!s->released);
    if (s->conn->state > QUIC_OPEN)
        return -ERR_CONN_CLOSED;
    if (s->fin_wanted || s->write_stopped || s->closed)
        return -EPIPE;
    size_t taken = 0;
    while (taken < count && has_room(s) && slice_queue_push(&s->unsent, v[taken]) == 0)
        taken++;
    s->want_writable = taken < count;
    if (s->want_writable && !has_quota(s) && !list_is_linked(&s->starved_node))
        list_push(&s->conn->starved, &s->starved_node);
    quic_stream_update_sendable(s);
    return (ssize_t)taken;
}

ssize_t quic_stream_read(struct quic_stream *s, struct slice *out, size_t max) {
    assert(!s->released);
    if (s->read_reset)
        return -ECONNRESET;
    size_t n = 0;
    while (n < max && slice_queue_shift(&s->received, &out[n])) {
        s->uncredited += out[n].len;
        n++;
    }
    if (s->received.count == 0)
        slice_writer_done(&s->receiver); /* an idle stream holds no slab */
    if (n > 0 || !s->fin_received || s->read_stopped)
        return (ssize_t)n;
    s->fin_told = true;
    quic_stream_tell_closed_if_over(s);
    return -ENODATA;
}

void quic_stream_credit(struct quic_stream *s, size_t bytes) {
    /* A reset gave everything back already. */
    bytes = MIN(bytes, s->uncredited);
    s->uncredited -= bytes;
    give_off(s->conn, bytes);
    if (bytes == 0 || s->conn->state > QUIC_OPEN)
        return;
    s->conn->uncredited_bytes += (uint32_t)bytes;
    if (!s->closed && !s->fin_received && !s->read_stopped)
        /* Out of memory: the peer waits for the next credit. */
        (void)ngtcp2_conn_extend_max_stream_offset(s->conn->ngtcp2, s->id, bytes);
}

void quic_stream_shutdown_write(struct quic_stream *s) {
    s->fin_wanted = true;
    quic_stream_update_sendable(s);
}

static void stop_writing(struct quic_stream *s, uint64_t code) {
    if (s->write_stopped || s->closed)
        return;
    s->write_stopped = true;
    quic_stream_update_sendable(s);
    quic_conn_hurry(s->conn);
    if (s->conn->state <= QUIC_OPEN)
        /* Out of memory: the peer learns of it by the connection's end. */
        (void)ngtcp2_conn_shutdown_stream_write(s->conn->ngtcp2, 0, s->id, code);
}

void quic_stream_stop_reading(struct quic_stream *s, uint64_t code) {
    if (s->read_stopped)
        return;
    s->read_stopped = true;
    drop_incoming(s);
    quic_conn_hurry(s->conn);
    if (!s->closed && !s->fin_received && !s->read_reset && s->conn->state <= QUIC_OPEN)
        (void)ngtcp2_conn_shutdown_stream_read(s->conn->ngtcp2, 0, s->id, code);
    quic_stream_tell_closed_if_over(s);
}

void quic_stream_reset(struct quic_stream *s, uint64_t code) {
    stop_writing(s, code);
    quic_stream_stop_reading(s, code);
}

void quic_stream_release(struct quic_stream *s) {
    assert(!s->released);
    if (!s->fin_wanted)
        stop_writing(s, 0);
    quic_stream_stop_reading(s, 0);
    s->released = true;
    s->events = 0;
    list_remove(&s->event_node);
    quic_stream_free_if_done(s);
}

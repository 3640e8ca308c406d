/* SPDX-License-Identifier: MIT */
#include "transport/secure_link.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "uring/reactor.h"

enum {
    OUT_SLICES_MAX = 16,
    /* Sealed and not taken by the lower link: as much is prepared as is in flight. */
    OUT_BYTES_MAX = 256 << 10,
    /* Pieces up to this share a record with their neighbours by being copied: cheaper than a record
     * of their own.  Larger ones are sealed from where they lie. */
    GATHER_MAX = 1 << 10,
    SAID_MAX = 512,
    READ_SLICES = 8,
};

/* How long a last word may take to get on its way. */
#define LINGER_MAX SEC(1)

struct secure_link {
    struct link link;
    struct reactor *reactor;
    struct link *lower;
    struct secure *engine;
    void (*secured)(struct link *l);
    struct deferred work; /* what a call could not do or tell from inside itself */
    struct timer linger;
    int error;

    /* Reading: `received` holds records, `plain` what was in them. */
    struct slice_queue received;
    struct slice_queue plain;
    struct quota read_quota;   /* slabs of both: bounded by may_receive() */
    const struct buf *own_buf; /* the first of `received` is in it, and nobody else had a view */
    /* A record that does not lie in one slab of ours is put together here. */
    uint8_t header[SECURE_HEADER_MAX];
    size_t header_got;
    struct buf *body; /* NULL until the header is whole */
    uint32_t body_size;
    uint32_t body_got;

    /* Writing: records in `out`, the last of which ends at tail_used in `tail`. */
    struct slice out[OUT_SLICES_MAX];
    uint32_t out_count;
    size_t out_bytes;
    struct buf *tail; /* own reference while something is in `out` */
    uint32_t tail_used;
    uint32_t gathered; /* plaintext in the tail behind it, of a record that is not sealed yet */
    struct slice part; /* what is left of the slice that was taken last */
    struct quota write_quota;
    uint8_t said[SAID_MAX]; /* by the engine, and not in `out` yet */
    size_t said_len;

    bool handshaking;
    bool secured_due;
    bool readable_due;
    bool want_writable;
    bool read_over;
    bool write_over; /* shut down, or nobody reads */
    bool goodbye_said;
    bool lower_shut;
    bool lower_busy; /* has something to pass on, and will tell */
    bool paused;     /* receiving, until more is read */
    bool closing;
};

static struct secure_link *link_of(struct link *l) {
    return CONTAINER_OF(l, struct secure_link, link);
}

/* --- The ends --- */

static void assembly_drop(struct secure_link *t) {
    t->header_got = 0;
    t->body = buf_unref(t->body);
    t->body_got = 0;
}

static void read_drop(struct secure_link *t) {
    slice_queue_done(&t->received);
    slice_queue_done(&t->plain);
    assembly_drop(t);
    t->own_buf = NULL;
}

static void out_drop(struct secure_link *t) {
    for (uint32_t i = 0; i < t->out_count; i++)
        slice_unref(&t->out[i]);
    t->out_count = 0;
    t->out_bytes = 0;
    t->said_len = 0;
    t->gathered = 0;
    t->tail = buf_unref(t->tail);
}

/* What is in `out` stays: an alert may be the last of it. */
static void fail(struct secure_link *t, int error) {
    assert(error < 0);
    if (t->error != 0)
        return;
    t->error = error;
    read_drop(t);
    slice_unref(&t->part);
    t->readable_due = true;
}

static void fail_by_engine(struct secure_link *t) {
    fail(t, t->engine->error != 0 ? t->engine->error : -ERR_CRYPTO);
}

/* --- Writing: records into slabs --- */

/* Room for `min` bytes behind tail_used; a new slab is of the size that `hint` bytes need, or
 * smaller when only that is to be had. */
static bool tail_reserve(struct secure_link *t, size_t min, size_t hint) {
    assert(t->gathered == 0);
    if (t->tail != NULL && t->tail->size - t->tail_used >= min)
        return true;
    if (t->out_count == OUT_SLICES_MAX)
        return false;
    for (int c = (int)buf_class_for(MAX(min, hint)); c >= (int)buf_class_for(min); c--) {
        struct buf *b = buf_new(reactor_pool(t->reactor), (enum buf_class)c, link_quota(t->lower));
        if (b == NULL)
            continue;
        (void)buf_unref(t->tail);
        t->tail = b;
        t->tail_used = 0;
        return true;
    }
    return false;
}

/* The next n bytes of the tail are to be sent. */
static void tail_publish(struct secure_link *t, size_t n) {
    struct slice *last = t->out_count == 0 ? NULL : &t->out[t->out_count - 1];
    if (last != NULL && last->data + last->len == t->tail->data + t->tail_used &&
        last->buf == t->tail) {
        last->len += (uint32_t)n;
    } else {
        assert(t->out_count < OUT_SLICES_MAX);
        t->out[t->out_count++] = slice_of(buf_ref(t->tail), t->tail_used, (uint32_t)n);
    }
    t->out_bytes += n;
    t->tail_used += (uint32_t)n;
}

/* What the engine has to say goes out before anything else.  False while there is no slab for it.
 */
static bool say(struct secure_link *t) {
    assert(t->gathered == 0);
    for (;;) {
        if (t->said_len == 0)
            t->said_len = secure_pull(t->engine, t->said, sizeof(t->said));
        if (t->said_len == 0)
            return true;
        if (!tail_reserve(t, t->said_len, t->said_len))
            return false;
        memcpy(t->tail->data + t->tail_used, t->said, t->said_len);
        tail_publish(t, t->said_len);
        t->said_len = 0;
    }
}

/* Makes a record at the tail of plaintext that lies there already, or elsewhere. */
static bool seal(struct secure_link *t, struct bytes plain) {
    size_t len = secure_seal(t->engine, plain, t->tail->data + t->tail_used);
    if (len == 0) {
        fail_by_engine(t);
        return false;
    }
    assert(len <= t->tail->size - t->tail_used);
    tail_publish(t, len);
    return true;
}

static void seal_gathered(struct secure_link *t) {
    size_t n = t->gathered;
    t->gathered = 0;
    if (n == 0)
        return;
    uint8_t *plain = t->tail->data + t->tail_used + t->engine->ops->header_bytes;
    if (seal(t, bytes_of(plain, n)))
        (void)say(t); /* what found no slab is tried again */
}

/* How much plaintext the record at the tail could have. */
static size_t record_room(const struct secure_link *t) {
    size_t room = t->tail->size - t->tail_used;
    size_t overhead = t->engine->ops->overhead_max;
    return room <= overhead ? 0 : MIN(room - overhead, t->engine->ops->plain_max);
}

/* The two ways into a record; each returns how much it took, 0 without a slab. */

static size_t gather(struct secure_link *t, struct bytes in, size_t hint) {
    in.len = MIN(in.len, t->engine->ops->plain_max);
    if (t->gathered > 0 && record_room(t) < t->gathered + in.len)
        seal_gathered(t);
    if (t->error != 0)
        return 0;
    if (t->gathered == 0 && !tail_reserve(t, in.len + t->engine->ops->overhead_max, hint))
        return 0;
    uint8_t *at = t->tail->data + t->tail_used + t->engine->ops->header_bytes;
    memcpy(at + t->gathered, in.data, in.len);
    t->gathered += (uint32_t)in.len;
    return in.len;
}

static size_t seal_from(struct secure_link *t, struct bytes in, size_t hint) {
    seal_gathered(t);
    if (t->error != 0 || !tail_reserve(t, GATHER_MAX + t->engine->ops->overhead_max, hint))
        return 0;
    size_t n = MIN(in.len, record_room(t));
    if (!seal(t, bytes_of(in.data, n)))
        return 0;
    (void)say(t);
    return n;
}

static bool has_room(const struct secure_link *t) {
    return t->out_count < OUT_SLICES_MAX && t->out_bytes < OUT_BYTES_MAX;
}

/* Seals what is left of the slice that was taken; `behind` tells how much follows it. */
static void seal_part(struct secure_link *t, size_t behind) {
    size_t n = 1;
    while (t->part.len > 0 && n > 0 && t->error == 0 && t->said_len == 0 && has_room(t)) {
        size_t hint = t->part.len + behind + 4 * t->engine->ops->overhead_max;
        struct bytes in = slice_bytes(&t->part);
        n = in.len <= GATHER_MAX ? gather(t, in, hint) : seal_from(t, in, hint);
        if (t->error == 0)
            slice_skip(&t->part, (uint32_t)n);
    }
    if (t->part.len == 0)
        slice_unref(&t->part);
}

/* Takes slices from *taken on while there is room.  Whether anything was sealed. */
static bool fill(struct secure_link *t, const struct slice *v, size_t count, size_t *taken) {
    size_t before = t->out_bytes;
    size_t behind = 0;
    for (size_t i = *taken; i < count; i++)
        behind += v[i].len;
    seal_part(t, behind);
    while (t->error == 0 && t->part.len == 0 && has_room(t) && *taken < count &&
           v[*taken].len > 0) {
        t->part = v[(*taken)++];
        behind -= t->part.len;
        seal_part(t, behind);
    }
    if (t->error == 0)
        seal_gathered(t);
    return t->out_bytes > before;
}

/* --- Writing: slabs to the lower link --- */

static void lower_failed(struct secure_link *t, int error) {
    out_drop(t);
    slice_unref(&t->part);
    t->write_over = true;
    t->lower_shut = true;
    t->lower_busy = false;
    if (error != -EPIPE)
        fail(t, error);
}

/* Whether all was taken. */
static bool flush(struct secure_link *t) {
    if (t->out_count == 0)
        return true;
    ssize_t n = link_write(t->lower, t->out, t->out_count);
    if (n < 0) {
        lower_failed(t, (int)n);
        return false;
    }
    for (ssize_t i = 0; i < n; i++)
        t->out_bytes -= t->out[i].len;
    t->out_count -= (uint32_t)n;
    memmove(t->out, t->out + n, t->out_count * sizeof(t->out[0]));
    if (t->out_count > 0)
        return false;
    struct slice none = SLICE_EMPTY;
    t->tail = buf_unref(t->tail);
    t->lower_busy = link_write(t->lower, &none, 1) == 0;
    return true;
}

static void goodbye(struct secure_link *t) {
    if (!t->goodbye_said && t->error == 0 && !t->handshaking) {
        t->goodbye_said = true;
        secure_close(t->engine);
    }
}

/* A slab was not to be had, and nothing of ours is in flight that would tell when to try again. */
static void ask_for_room(struct secure_link *t) {
    struct slice none = SLICE_EMPTY;
    if (link_write(t->lower, &none, 1) != 0)
        reactor_defer(t->reactor, &t->work);
}

/* All that can be sealed and sent now. */
static void write_on(struct secure_link *t, const struct slice *v, size_t count, size_t *taken) {
    bool more = true;
    while (more) {
        (void)say(t);
        more = !t->handshaking && fill(t, v, count, taken);
        more = flush(t) && more;
    }
    if (t->out_count == 0 && (t->part.len > 0 || t->said_len > 0))
        ask_for_room(t);
}

/* The end, once all before it is with the lower link. */
static void end_on(struct secure_link *t) {
    if (!t->write_over || t->lower_shut || t->handshaking || t->part.len > 0)
        return;
    goodbye(t);
    if (say(t) && flush(t)) {
        link_shutdown_write(t->lower);
        t->lower_shut = true;
    }
}

/* --- Reading: from the lower link to records --- */

/* What is read above and not credited is bounded by the lower link; what is not even read, here, by
 * its slabs. */
static bool may_receive(const struct secure_link *t) {
    return t->error == 0 &&
           (t->plain.count == 0 || t->read_quota.used_bytes < t->read_quota.max_bytes);
}

/* The slab is accounted here from now on, or the lower link would stop for want of slabs while the
 * user above holds many that it has credited. */
static void take_over(struct secure_link *t, const struct slice *s) {
    if (s->buf != NULL && s->buf->refs == 1)
        buf_charge(s->buf, &t->read_quota);
}

static void received_skip(struct secure_link *t, size_t n) {
    const struct buf *first = slice_queue_at(&t->received, 0)->buf;
    slice_queue_drop(&t->received, n);
    if (t->received.count == 0 || slice_queue_at(&t->received, 0)->buf != first)
        t->own_buf = NULL;
}

static void plain_push(struct secure_link *t, struct slice s) {
    if (slice_queue_push(&t->plain, s) < 0) {
        slice_unref(&s);
        fail(t, -ENOMEM);
        return;
    }
    t->readable_due = true;
}

/* Opens a record whose body lies in a slab that nobody else looks at. */
static void open_record(struct secure_link *t, const uint8_t *header, struct slice body) {
    size_t bytes = t->engine->ops->header_bytes + body.len;
    struct bytes plain = bytes_of(NULL, 0);
    int error = secure_open(t->engine, header, body.data, body.len, &plain);
    if (error == -ENODATA) {
        t->read_over = true;
        t->readable_due = true;
    } else if (error < 0) {
        fail_by_engine(t);
    }
    if (error == 0 && plain.len > 0) {
        assert(plain.data >= body.data);
        assert(plain.len <= body.len - (size_t)(plain.data - body.data));
        uint32_t offset = (uint32_t)(plain.data - body.buf->data);
        plain_push(t, slice_of(buf_ref(body.buf), offset, (uint32_t)plain.len));
    }
    link_credit(t->lower, bytes - plain.len);
    (void)say(t);
}

/* The body's size, or 0 after a failure. */
static size_t body_size_of(struct secure_link *t, const uint8_t *header) {
    ssize_t size = secure_body_size(t->engine, header);
    if (size < 0) {
        fail_by_engine(t);
        (void)say(t);
        return 0;
    }
    assert(size <= SECURE_BODY_MAX);
    return (size_t)size;
}

/* The first record, where it lies.  False: it is not whole in one slab of ours. */
static bool open_in_place(struct secure_link *t) {
    struct slice *first = slice_queue_at(&t->received, 0);
    size_t header_bytes = t->engine->ops->header_bytes;
    if (t->own_buf == NULL && first->buf->refs == 1)
        t->own_buf = first->buf;
    if (t->own_buf != first->buf || first->len < header_bytes)
        return false;
    size_t size = body_size_of(t, first->data);
    if (t->error != 0)
        return true;
    if (first->len < header_bytes + size)
        return false;
    uint8_t *header = first->data;
    struct slice body = slice_of(
        buf_ref(first->buf), (uint32_t)(header + header_bytes - first->buf->data), (uint32_t)size);
    received_skip(t, header_bytes + size);
    open_record(t, header, body);
    slice_unref(&body);
    return true;
}

static size_t received_copy(struct secure_link *t, uint8_t *out, size_t max) {
    const struct slice *first = slice_queue_at(&t->received, 0);
    size_t n = MIN(max, (size_t)first->len);
    memcpy(out, first->data, n);
    received_skip(t, n);
    return n;
}

static bool assembly_begin(struct secure_link *t) {
    t->body_size = (uint32_t)body_size_of(t, t->header);
    if (t->error != 0)
        return false;
    /* One a link, and no peer can make it wait for slabs that others hold: taken as the reactor's
     * own receives are. */
    t->body = buf_new(reactor_pool(t->reactor), buf_class_for(t->body_size), NULL);
    if (t->body == NULL) {
        fail(t, -ENOMEM);
        return false;
    }
    buf_charge(t->body, &t->read_quota);
    return true;
}

/* Puts the first record together, slice by slice, so that none of them is kept waiting.  False: the
 * rest has yet to come. */
static bool assemble(struct secure_link *t) {
    size_t header_bytes = t->engine->ops->header_bytes;
    while (t->header_got < header_bytes && t->received.count > 0)
        t->header_got += received_copy(t, t->header + t->header_got, header_bytes - t->header_got);
    if (t->header_got < header_bytes || (t->body == NULL && !assembly_begin(t)))
        return false;
    while (t->body_got < t->body_size && t->received.count > 0)
        t->body_got +=
            (uint32_t)received_copy(t, t->body->data + t->body_got, t->body_size - t->body_got);
    if (t->body_got < t->body_size)
        return false;
    struct slice body = slice_of(buf_ref(t->body), 0, t->body_size);
    uint8_t header[SECURE_HEADER_MAX];
    memcpy(header, t->header, sizeof(header));
    assembly_drop(t);
    open_record(t, header, body);
    slice_unref(&body);
    return true;
}

static void open_records(struct secure_link *t) {
    bool whole = true;
    while (whole && t->received.count > 0 && !t->read_over && may_receive(t))
        whole = (t->header_got == 0 && open_in_place(t)) || assemble(t);
}

/* --- Reading: the handshake --- */

/* What the engine said goes out between its steps: it may wait for that. */
static void handshake(struct secure_link *t) {
    bool more = true;
    while (more && t->engine->state == SECURE_HANDSHAKE) {
        size_t n = 0;
        if (t->received.count > 0)
            n = secure_recv(t->engine, slice_bytes(slice_queue_at(&t->received, 0)));
        if (n > 0) {
            received_skip(t, n);
            link_credit(t->lower, n);
        }
        more = say(t) && n > 0;
    }
    if (t->engine->state == SECURE_FAILED)
        fail_by_engine(t);
    t->handshaking = t->engine->state == SECURE_HANDSHAKE;
    t->secured_due = t->engine->state == SECURE_OPEN;
}

static void received_ended(struct secure_link *t) {
    if (t->handshaking)
        fail(t, -ERR_CONN_CLOSED);
    else if (t->header_got > 0)
        fail(t, -ERR_TRUNCATED);
    /* An end without the protocol's word for it is taken as one: what runs inside tells by itself
     * what is whole. */
    if (t->error == 0 && !t->read_over) {
        t->read_over = true;
        t->readable_due = true;
    }
}

/* Behind the peer's goodbye nothing is meant for us. */
static void received_discard(struct secure_link *t) {
    size_t bytes = t->received.len;
    slice_queue_drop(&t->received, bytes);
    t->own_buf = NULL;
    link_credit(t->lower, bytes);
}

static void open_received(struct secure_link *t) {
    if (t->handshaking)
        handshake(t);
    if (!t->handshaking)
        open_records(t);
    if (t->read_over && t->error == 0)
        received_discard(t);
}

static void receive(struct secure_link *t) {
    struct slice in[READ_SLICES];
    ssize_t n = 1;
    open_received(t);
    while (n > 0 && may_receive(t)) {
        n = link_read(t->lower, in, ARRAY_COUNT(in));
        for (ssize_t i = 0; i < n; i++) {
            take_over(t, &in[i]);
            if (t->error == 0 && slice_queue_push(&t->received, in[i]) == 0)
                continue;
            slice_unref(&in[i]);
            fail(t, -ENOMEM);
        }
        if (n > 0 && t->error == 0)
            open_received(t);
    }
    t->paused = !may_receive(t);
    if (n == -ENODATA && t->error == 0)
        received_ended(t);
    else if (n < 0)
        lower_failed(t, (int)n);
}

/* --- Telling; the owner may close the link in each event --- */

static void tell(struct secure_link *t) {
    if (t->secured_due && t->error == 0 && !t->closing) {
        t->secured_due = false;
        t->secured(&t->link);
    }
    if (t->readable_due && !t->closing) {
        t->readable_due = false;
        t->link.events->readable(&t->link);
    }
    bool room = !t->handshaking && t->part.len == 0 && has_room(t);
    if (t->want_writable && (room || t->write_over || t->error != 0) && !t->closing) {
        t->want_writable = false;
        t->link.events->writable(&t->link);
    }
}

/* Everything that can be done now, whatever happened. */
static void look(struct secure_link *t) {
    size_t none = 0;
    receive(t);
    write_on(t, NULL, 0, &none);
    end_on(t);
    tell(t);
}

/* --- Closing --- */

static void lower_close(struct secure_link *t, bool reset) {
    out_drop(t);
    timer_stop(&t->linger);
    if (reset)
        link_reset(t->lower);
    else
        link_close(t->lower);
}

/* The last word is on its way: closes when the lower link has passed it on. */
static void linger(struct secure_link *t) {
    (void)flush(t);
    if (t->out_count == 0 && !t->lower_busy)
        lower_close(t, false);
}

static void on_linger_over(struct timer *timer) {
    lower_close(CONTAINER_OF(timer, struct secure_link, linger), true);
}

static void secure_link_close(struct link *l, bool reset) {
    struct secure_link *t = link_of(l);
    assert(!t->closing);
    t->closing = true;
    deferred_cancel(&t->work);
    read_drop(t);
    bool loses = t->error == 0 && (t->part.len > 0 || t->out_count > 0);
    slice_unref(&t->part);
    if (reset || loses) {
        lower_close(t, true);
        return;
    }
    goodbye(t);
    (void)say(t);
    timer_start(&t->linger, reactor_now(t->reactor) + LINGER_MAX);
    linger(t);
}

/* --- From the lower link --- */

static void on_lower_readable(struct link *lower) {
    struct secure_link *t = lower->user;
    if (!t->closing)
        look(t);
}

static void on_lower_writable(struct link *lower) {
    struct secure_link *t = lower->user;
    t->lower_busy = false;
    if (t->closing)
        linger(t);
    else
        look(t);
}

static void on_work(struct deferred *d) {
    look(CONTAINER_OF(d, struct secure_link, work));
}

static void on_lower_closed(struct link *lower, int error) {
    struct secure_link *t = lower->user;
    assert(t->closing);
    assert(t->read_quota.used_bytes == 0);
    assert(t->write_quota.used_bytes == 0);
    (void)error; /* told before, or nobody asked */
    timer_done(&t->linger);
    t->engine = secure_free(t->engine); /* its library context may go in closed() */
    t->link.events->closed(&t->link, t->error);
    (void)mem_free(reactor_mem(t->reactor), t);
}

static const struct link_events lower_events = {
    .readable = on_lower_readable,
    .writable = on_lower_writable,
    .closed = on_lower_closed,
};

/* --- From the owner --- */

static ssize_t secure_link_write(struct link *l, const struct slice *v, size_t count) {
    struct secure_link *t = link_of(l);
    assert(!t->closing);
    if (t->error != 0)
        return t->error;
    if (t->write_over)
        return -EPIPE;
    size_t taken = 0;
    write_on(t, v, count, &taken);
    t->want_writable = taken < count;
    if (t->error != 0 || t->write_over)
        reactor_defer(t->reactor, &t->work);
    else if (t->want_writable && !t->handshaking && t->out_count == 0)
        ask_for_room(t);
    return (ssize_t)taken;
}

static ssize_t secure_link_read(struct link *l, struct slice *out, size_t max) {
    struct secure_link *t = link_of(l);
    assert(!t->closing);
    if (t->error != 0)
        return t->error;
    size_t n = 0;
    while (n < max && slice_queue_shift(&t->plain, &out[n]))
        n++;
    if (t->paused && may_receive(t))
        reactor_defer(t->reactor, &t->work);
    return n == 0 && max > 0 && t->read_over ? -ENODATA : (ssize_t)n;
}

static void secure_link_credit(struct link *l, size_t bytes) {
    struct secure_link *t = link_of(l);
    assert(!t->closing);
    link_credit(t->lower, bytes);
}

static void secure_link_shutdown_write(struct link *l) {
    struct secure_link *t = link_of(l);
    assert(!t->closing);
    if (t->write_over || t->error != 0)
        return;
    t->write_over = true;
    end_on(t);
    if (t->error != 0)
        reactor_defer(t->reactor, &t->work);
}

static struct quota *secure_link_quota(struct link *l) {
    return &link_of(l)->write_quota;
}

static const struct link_ops secure_link_ops = {
    .write = secure_link_write,
    .read = secure_link_read,
    .credit = secure_link_credit,
    .shutdown_write = secure_link_shutdown_write,
    .close = secure_link_close,
    .quota = secure_link_quota,
};

/* --- Making --- */

int secure_link_new(struct reactor *r, struct link *lower, struct secure *engine,
                    struct slice_queue *rest, void (*secured)(struct link *l),
                    struct link **ret_link) {
    struct secure_link *t = mem_alloc(reactor_mem(r), sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    *t = (struct secure_link){
        .link.ops = &secure_link_ops,
        .reactor = r,
        .lower = lower,
        .engine = engine,
        .secured = secured,
        .received = *rest,
        .handshaking = true,
        .read_quota = QUOTA_INIT(LINK_BUFFERED_MAX, NULL),
        /* As much as a TCP link has; what is taken is sealed at once. */
        .write_quota = QUOTA_INIT(8 * OUT_BYTES_MAX, NULL),
    };
    int error = timer_init(&t->linger, r, on_linger_over);
    if (error < 0) {
        (void)mem_free(reactor_mem(r), t);
        return error;
    }
    slice_queue_init(rest, reactor_mem(r));
    slice_queue_init(&t->plain, reactor_mem(r));
    for (uint32_t i = 0; i < t->received.count; i++)
        take_over(t, slice_queue_at(&t->received, i));
    deferred_init(&t->work, on_work);
    link_set_events(lower, &lower_events, t);
    reactor_defer(r, &t->work);
    *ret_link = &t->link;
    return 0;
}

const struct secure *secure_link_engine(const struct link *l) {
    return CONTAINER_OF(l, const struct secure_link, link)->engine;
}

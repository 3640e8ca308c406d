/* SPDX-License-Identifier: MIT */
#include "transport/ws_link.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/proto/websocket.h"
#include "transport/ws_frames.h"
#include "uring/reactor.h"

enum {
    OUT_SLICES_MAX = 32, /* each of a server's payloads has a header before it */
    /* In frames and not taken by the lower link: as much is prepared as is in flight. */
    OUT_BYTES_MAX = 256 << 10,
    SAID_MAX = WEBSOCKET_OUT_MAX + 2 * WS_CONTROL_FRAME_MAX,
    READ_SLICES = 8,
};

/* How long a last word may take to get on its way. */
#define LINGER_MAX  SEC(1)
/* Until a slab is asked for again, when nothing of ours is under way that would tell. */
#define RETRY_AFTER MSEC(10)

struct ws_link {
    struct link link;
    struct reactor *reactor;
    struct link *lower;
    struct ws_frames *frames;
    struct deferred work; /* what a call could not do or tell from inside itself */
    struct timer timer;   /* lingering, or trying again */
    int error;

    /* Reading: `received` holds what came from below, `plain` the payload of it. */
    struct slice_queue received;
    size_t taken; /* from below, which is neither credited nor payload */
    struct slice_queue plain;
    struct slice_writer plain_writer;
    struct quota read_quota;
    struct bytes held; /* payload in the frames' memory, for want of a slab */

    /* Writing. */
    struct slice_queue out;
    struct slice_writer out_writer;
    struct slice part; /* what is left of the slice that was taken last */
    struct quota write_quota;
    uint8_t said[SAID_MAX]; /* to go before the next slice, and not in `out` yet */
    size_t said_len;
    uint8_t pong[WS_CONTROL_PAYLOAD_MAX]; /* the answer that is due */
    uint8_t pong_len;

    bool upgrading;
    bool pong_due;
    bool readable_due;
    bool want_writable;
    bool read_over;  /* the peer's Close, or the end below */
    bool write_over; /* shut down, or nobody reads */
    bool close_said;
    bool lower_shut;
    bool lower_busy; /* has something to pass on, and will tell */
    bool paused;     /* receiving, until more is read */
    bool closing;

    struct websocket upgrade; /* while upgrading */
};

static struct ws_link *link_of(struct link *l) {
    return CONTAINER_OF(l, struct ws_link, link);
}

/* --- The ends --- */

static void read_drop(struct ws_link *t) {
    slice_queue_done(&t->received);
    slice_queue_done(&t->plain);
    slice_writer_done(&t->plain_writer);
    t->held = BYTES_EMPTY;
}

static void out_drop(struct ws_link *t) {
    slice_queue_done(&t->out);
    slice_writer_done(&t->out_writer);
    t->said_len = 0;
}

/* What is in `out` stays: a refusal or a Close may be the last of it. */
static void fail(struct ws_link *t, int error) {
    assert(error < 0);
    if (t->error != 0)
        return;
    t->error = error;
    read_drop(t);
    slice_unref(&t->part);
    t->pong_due = false; /* not into the middle of the frame that the part leaves */
    t->readable_due = true;
}

/* --- Writing: frames into `out` --- */

static void say_control(struct ws_link *t, enum ws_control opcode, struct bytes payload) {
    assert(t->part.len == 0);
    assert(sizeof(t->said) - t->said_len >= WS_CONTROL_FRAME_MAX);
    t->said_len += ws_frames_control(t->frames, opcode, payload, t->said + t->said_len);
}

static void say_close(struct ws_link *t, enum ws_status status) {
    const uint8_t payload[2] = {(uint8_t)(status >> 8), (uint8_t)status};
    if (t->close_said)
        return;
    t->close_said = true;
    say_control(t, WS_CLOSE, BYTES_OF(payload));
}

/* What is to be said between two slices.  False while there is no slab for it. */
static bool say(struct ws_link *t) {
    if (t->part.len > 0)
        return true;
    if (t->upgrading)
        t->said_len +=
            websocket_pull(&t->upgrade, t->said + t->said_len, sizeof(t->said) - t->said_len);
    if (t->pong_due && !t->close_said && t->said_len == 0) {
        t->pong_due = false;
        say_control(t, WS_PONG, bytes_of(t->pong, t->pong_len));
    }
    size_t n = slice_writer_add(&t->out_writer, bytes_of(t->said, t->said_len));
    t->said_len -= n;
    memmove(t->said, t->said + n, t->said_len);
    return t->said_len == 0;
}

static bool has_room(const struct ws_link *t) {
    return t->out.count < OUT_SLICES_MAX && t->out.len < OUT_BYTES_MAX;
}

static bool frame_part(struct ws_link *t) {
    return t->part.len == 0 || ws_frames_data(t->frames, &t->part, &t->out_writer);
}

/* Takes slices from *taken on while there is room. */
static void fill(struct ws_link *t, const struct slice *v, size_t count, size_t *taken) {
    bool more = frame_part(t) && say(t);
    while (more && !t->upgrading && has_room(t) && *taken < count && v[*taken].len > 0) {
        t->part = v[(*taken)++];
        more = frame_part(t) && say(t);
    }
}

/* --- Writing: `out` to the lower link --- */

static void lower_failed(struct ws_link *t, int error) {
    out_drop(t);
    slice_unref(&t->part);
    t->write_over = true;
    t->close_said = true;
    t->lower_shut = true;
    t->lower_busy = false;
    if (error != -EPIPE)
        fail(t, error);
}

/* Whether all was taken. */
static bool flush(struct ws_link *t) {
    struct slice v[OUT_SLICES_MAX], gone;
    struct slice none = SLICE_EMPTY;
    while (t->out.count > 0) {
        uint32_t count = MIN(t->out.count, (uint32_t)OUT_SLICES_MAX);
        for (uint32_t i = 0; i < count; i++)
            v[i] = *slice_queue_at(&t->out, i);
        ssize_t n = link_write(t->lower, v, count);
        if (n < 0) {
            lower_failed(t, (int)n);
            return false;
        }
        for (ssize_t i = 0; i < n; i++)
            (void)slice_queue_shift(&t->out, &gone); /* the reference is the lower link's now */
        t->lower_busy = true;
        if ((uint32_t)n < count)
            return false;
    }
    slice_writer_done(&t->out_writer);
    t->lower_busy = t->lower_busy && link_write(t->lower, &none, 1) == 0;
    return true;
}

/* A slab was not to be had: who has slabs of ours tells when it is done with them, or nobody. */
static void ask_for_room(struct ws_link *t) {
    struct slice none = SLICE_EMPTY;
    if (link_write(t->lower, &none, 1) != 0)
        timer_start(&t->timer, reactor_now(t->reactor) + RETRY_AFTER);
}

/* All that can be framed and sent now. */
static void write_on(struct ws_link *t, const struct slice *v, size_t count, size_t *taken) {
    size_t before;
    do {
        before = *taken;
        fill(t, v, count, taken);
    } while (flush(t) && *taken > before);
    if (t->out.count == 0 && (t->part.len > 0 || t->said_len > 0))
        ask_for_room(t);
}

/* Our Close, once all before it is framed; when both sides have said it, nothing follows. */
static void end_on(struct ws_link *t) {
    if (!t->write_over || t->upgrading || t->part.len > 0 || t->error != 0)
        return;
    if (!t->close_said)
        say_close(t, WS_STATUS_NORMAL);
    if (say(t) && flush(t) && t->read_over && !t->lower_shut) {
        t->lower_shut = true;
        link_shutdown_write(t->lower);
    }
}

/* --- Reading --- */

static bool may_receive(const struct ws_link *t) {
    return t->error == 0 && t->held.len == 0 &&
           (t->plain.count == 0 || t->read_quota.used_bytes < t->read_quota.max_bytes);
}

static void received_skip(struct ws_link *t, size_t n) {
    slice_queue_drop(&t->received, n);
    t->taken += n;
}

/* What was taken and is no payload. */
static void credit_taken(struct ws_link *t) {
    size_t bytes = t->taken;
    t->taken = 0;
    if (bytes > 0)
        link_credit(t->lower, bytes);
}

/* Payload to `plain`; the lower link is credited for it by whoever reads it. */
static void keep(struct ws_link *t, struct bytes payload) {
    size_t n = slice_writer_add(&t->plain_writer, payload);
    t->taken -= n;
    t->held = bytes_skip(payload, n);
    t->readable_due = t->readable_due || n > 0;
    if (t->held.len > 0 && t->plain.count == 0)
        timer_start(&t->timer, reactor_now(t->reactor) + RETRY_AFTER);
}

static void end_reading(struct ws_link *t) {
    t->read_over = true;
    t->readable_due = true;
}

/* The Close that says so comes out between frames only. */
static void broken(struct ws_link *t) {
    if (t->part.len == 0)
        say_close(t, WS_STATUS_PROTOCOL_ERROR);
    fail(t, -ERR_PROTOCOL_VIOLATION);
}

static void got_event(struct ws_link *t, const struct ws_event *ev) {
    switch (ev->type) {
    case WS_EV_DATA:
        keep(t, ev->bytes);
        break;
    case WS_EV_PING:
        t->pong_due = true; /* a later one takes its place: RFC 6455, section 5.5.3 */
        t->pong_len = (uint8_t)ev->bytes.len;
        if (ev->bytes.len > 0)
            memcpy(t->pong, ev->bytes.data, ev->bytes.len);
        break;
    case WS_EV_CLOSE:
        end_reading(t);
        break;
    case WS_EV_NOTHING:
        credit_taken(t);
        break;
    }
}

/* Behind the peer's Close nothing is meant for us. */
static void received_discard(struct ws_link *t) {
    received_skip(t, t->received.len);
    credit_taken(t);
}

static void read_frames(struct ws_link *t) {
    struct ws_event ev = {.type = WS_EV_DATA};
    if (t->held.len > 0)
        keep(t, t->held);
    while (may_receive(t) && !t->read_over && (ev.type != WS_EV_NOTHING || t->received.count > 0)) {
        struct bytes in = BYTES_EMPTY;
        if (t->received.count > 0)
            in = slice_bytes(slice_queue_at(&t->received, 0));
        size_t offered = in.len;
        if (ws_frames_recv(t->frames, &in, &ev) < 0) {
            broken(t);
            return;
        }
        received_skip(t, offered - in.len);
        got_event(t, &ev);
    }
}

static void read_upgrade(struct ws_link *t) {
    while (t->upgrade.state == WEBSOCKET_UPGRADING && t->received.count > 0)
        received_skip(t, websocket_recv(&t->upgrade, slice_bytes(slice_queue_at(&t->received, 0))));
    credit_taken(t);
    (void)say(t);
    if (t->upgrade.state == WEBSOCKET_FAILED)
        fail(t, t->upgrade.error);
    t->upgrading = t->upgrade.state == WEBSOCKET_UPGRADING;
}

static void read_received(struct ws_link *t) {
    if (t->upgrading)
        read_upgrade(t);
    if (!t->upgrading)
        read_frames(t);
    if (t->read_over && t->error == 0)
        received_discard(t);
}

/* Also without a Close: what runs inside tells by itself what is whole. */
static void received_ended(struct ws_link *t) {
    if (t->upgrading)
        fail(t, -ERR_CONN_CLOSED);
    else if (!t->read_over && ws_frames_is_inside(t->frames))
        fail(t, -ERR_TRUNCATED);
    else if (!t->read_over)
        end_reading(t);
}

static void receive(struct ws_link *t) {
    struct slice in[READ_SLICES];
    ssize_t n = 1;
    read_received(t);
    while (n > 0 && may_receive(t)) {
        n = link_read(t->lower, in, ARRAY_COUNT(in));
        for (ssize_t i = 0; i < n; i++) {
            if (t->error == 0 && slice_queue_push(&t->received, in[i]) == 0)
                continue;
            slice_unref(&in[i]);
            fail(t, -ENOMEM);
        }
        if (n > 0)
            read_received(t);
    }
    t->paused = !may_receive(t);
    if (n == -ENODATA && t->error == 0)
        received_ended(t);
    else if (n < 0 && n != -ENODATA)
        lower_failed(t, (int)n);
}

/* --- Telling; the owner may close the link in each event --- */

static void tell(struct ws_link *t) {
    if (t->readable_due && !t->closing) {
        t->readable_due = false;
        t->link.events->readable(&t->link);
    }
    bool room = !t->upgrading && t->part.len == 0 && has_room(t);
    if (t->want_writable && (room || t->write_over || t->error != 0) && !t->closing) {
        t->want_writable = false;
        t->link.events->writable(&t->link);
    }
}

/* Everything that can be done now, whatever happened. */
static void look(struct ws_link *t) {
    size_t none = 0;
    receive(t);
    write_on(t, NULL, 0, &none);
    end_on(t);
    tell(t);
}

/* --- Closing --- */

static void lower_close(struct ws_link *t, bool reset) {
    out_drop(t);
    timer_stop(&t->timer);
    if (reset)
        link_reset(t->lower);
    else
        link_close(t->lower);
}

/* The last word is on its way: closes when the lower link has passed it on. */
static void linger(struct ws_link *t) {
    (void)flush(t);
    if (t->out.count == 0 && !t->lower_busy)
        lower_close(t, false);
}

static void ws_link_close(struct link *l, bool reset) {
    struct ws_link *t = link_of(l);
    assert(!t->closing);
    t->closing = true;
    deferred_cancel(&t->work);
    read_drop(t);
    bool loses = t->error == 0 && (t->part.len > 0 || t->out.count > 0);
    slice_unref(&t->part);
    if (reset || loses || t->upgrading) {
        lower_close(t, reset || loses);
        return;
    }
    if (t->error == 0)
        say_close(t, WS_STATUS_NORMAL);
    (void)say(t);
    timer_start(&t->timer, reactor_now(t->reactor) + LINGER_MAX);
    linger(t);
}

static void on_timer(struct timer *timer) {
    struct ws_link *t = CONTAINER_OF(timer, struct ws_link, timer);
    if (t->closing)
        lower_close(t, true);
    else
        look(t);
}

/* --- From the lower link --- */

static void on_lower_readable(struct link *lower) {
    struct ws_link *t = lower->user;
    if (!t->closing)
        look(t);
}

static void on_lower_writable(struct link *lower) {
    struct ws_link *t = lower->user;
    t->lower_busy = false;
    if (t->closing)
        linger(t);
    else
        look(t);
}

static void on_work(struct deferred *d) {
    look(CONTAINER_OF(d, struct ws_link, work));
}

static void on_lower_closed(struct link *lower, int error) {
    struct ws_link *t = lower->user;
    assert(t->closing);
    assert(t->read_quota.used_bytes == 0);
    assert(t->write_quota.used_bytes == 0);
    (void)error; /* told before, or nobody asked */
    t->link.events->closed(&t->link, t->error);
    timer_done(&t->timer);
    t->frames = ws_frames_free(t->frames);
    (void)mem_free(reactor_mem(t->reactor), t);
}

static const struct link_events lower_events = {
    .readable = on_lower_readable,
    .writable = on_lower_writable,
    .closed = on_lower_closed,
};

/* --- From the owner --- */

static ssize_t ws_link_write(struct link *l, const struct slice *v, size_t count) {
    struct ws_link *t = link_of(l);
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
    else if (t->want_writable && !t->upgrading && t->out.count == 0 && t->part.len == 0)
        ask_for_room(t);
    return (ssize_t)taken;
}

static ssize_t ws_link_read(struct link *l, struct slice *out, size_t max) {
    struct ws_link *t = link_of(l);
    assert(!t->closing);
    if (t->error != 0)
        return t->error;
    size_t n = 0;
    while (n < max && slice_queue_shift(&t->plain, &out[n]))
        n++;
    if (t->plain.count == 0)
        slice_writer_done(&t->plain_writer); /* the reader is the slabs' only holder */
    if (n > 0 && t->paused)
        reactor_defer(t->reactor, &t->work);
    bool is_end = t->read_over && t->held.len == 0;
    return n == 0 && max > 0 && is_end ? -ENODATA : (ssize_t)n;
}

static void ws_link_credit(struct link *l, size_t bytes) {
    struct ws_link *t = link_of(l);
    assert(!t->closing);
    link_credit(t->lower, bytes);
    if (t->held.len > 0) /* slabs came free, too */
        reactor_defer(t->reactor, &t->work);
}

static void ws_link_shutdown_write(struct link *l) {
    struct ws_link *t = link_of(l);
    assert(!t->closing);
    if (t->write_over || t->error != 0)
        return;
    t->write_over = true;
    end_on(t);
    if (t->error != 0)
        reactor_defer(t->reactor, &t->work);
}

static struct quota *ws_link_quota(struct link *l) {
    return &link_of(l)->write_quota;
}

static size_t ws_link_batch(const struct link *l) {
    return link_batch(CONTAINER_OF(l, const struct ws_link, link)->lower);
}

static int ws_link_acked(const struct link *l, uint64_t *ret_bytes, nsec_t *ret_at) {
    return link_acked(CONTAINER_OF(l, const struct ws_link, link)->lower, ret_bytes, ret_at);
}

static const struct link_ops ws_link_ops = {
    .write = ws_link_write,
    .read = ws_link_read,
    .credit = ws_link_credit,
    .shutdown_write = ws_link_shutdown_write,
    .close = ws_link_close,
    .quota = ws_link_quota,
    .batch = ws_link_batch,
    .acked = ws_link_acked,
};

/* --- Making --- */

static int ws_link_new(struct reactor *r, bool is_client, struct ws_link **ret_link) {
    struct ws_link *t = mem_alloc(reactor_mem(r), sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    *t = (struct ws_link){
        .link.ops = &ws_link_ops,
        .reactor = r,
        .upgrading = true,
        .read_quota = QUOTA_INIT(LINK_BUFFERED_MAX, NULL),
        /* As much as a TCP link has. */
        .write_quota = QUOTA_INIT(8 * OUT_BYTES_MAX, NULL),
    };
    if (ws_frames_new(reactor_mem(r), reactor_rng(r), is_client, &t->frames) < 0) {
        (void)mem_free(reactor_mem(r), t);
        return -ENOMEM;
    }
    if (timer_init(&t->timer, r, on_timer) < 0) {
        t->frames = ws_frames_free(t->frames);
        (void)mem_free(reactor_mem(r), t);
        return -ENOMEM;
    }
    *ret_link = t;
    return 0;
}

static void ws_link_start(struct ws_link *t, struct link *lower, struct link **ret_link) {
    struct reactor *r = t->reactor;
    t->lower = lower;
    slice_queue_init(&t->plain, reactor_mem(r));
    slice_queue_init(&t->out, reactor_mem(r));
    slice_writer_init(&t->plain_writer, &t->plain, reactor_pool(r), &t->read_quota);
    slice_writer_init(&t->out_writer, &t->out, reactor_pool(r), link_quota(lower));
    deferred_init(&t->work, on_work);
    link_set_events(lower, &lower_events, t);
    reactor_defer(r, &t->work);
    *ret_link = &t->link;
}

int ws_link_dial(struct reactor *r, struct link *lower, const char *host, struct link **ret_link) {
    struct websocket upgrade;
    struct ws_link *t;
    int e = websocket_init_client(&upgrade, host, reactor_rng(r));
    if (e == 0)
        e = ws_link_new(r, true, &t);
    if (e < 0)
        return e;
    t->upgrade = upgrade;
    slice_queue_init(&t->received, reactor_mem(r));
    ws_link_start(t, lower, ret_link);
    return 0;
}

int ws_link_accept(struct reactor *r, struct link *lower, struct slice_queue *rest,
                   struct link **ret_link) {
    struct ws_link *t;
    int e = ws_link_new(r, false, &t);
    if (e < 0)
        return e;
    websocket_init_server(&t->upgrade);
    t->received = *rest;
    slice_queue_init(rest, reactor_mem(r));
    ws_link_start(t, lower, ret_link);
    return 0;
}

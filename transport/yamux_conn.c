/* SPDX-License-Identifier: MIT */
#include "transport/yamux_conn.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "transport/proto/yamux.h"
#include "uring/reactor.h"

/* Slices that are pulled at once: what a TCP link takes in one write. */
enum { OUT_MAX = 16 };

/* How long the last words may take, and the peer to close its side after them. */
#define ENDING_MAX SEC(1)

/* RUNNING -> ENDING   the session is over; what it has to say goes out
 *         -> SHUT     all is said; waits for the peer's end
 *         -> CLOSING  the link is being closed; from each state before
 *         -> CLOSED   it is gone; streams may still be held */
enum phase { RUNNING, ENDING, SHUT, CLOSING, CLOSED };

struct yamux_conn {
    struct conn conn;
    struct reactor *reactor;
    struct link *link; /* NULL: CLOSED */
    struct yamux *engine;
    struct timer timer;
    struct deferred work;
    enum phase phase;
    nsec_t ending_until;
    struct slice_queue rest; /* read before us */
    struct slice out[OUT_MAX];
    uint32_t out_first; /* pulled, and not taken by the link */
    uint32_t out_count;
    bool initiator;
    bool link_full;  /* writable() comes */
    bool write_over; /* the peer reads no more */
    bool read_over;
    void (*gone)(void *user, struct conn *c);
    void *user;
};

static struct yamux_conn *conn_of(struct conn *c) {
    return CONTAINER_OF(c, struct yamux_conn, conn);
}

static nsec_t now_of(const struct yamux_conn *t) {
    return reactor_now(t->reactor);
}

static void wake(struct yamux_conn *t) {
    reactor_defer(t->reactor, &t->work);
}

/* --- Events of the engine --- */

static void confirm(struct yamux_conn *t) {
    if (t->conn.confirmed || !yamux_is_open(t->engine))
        return;
    t->conn.confirmed = true;
    if (t->conn.events != NULL)
        t->conn.events->confirmed(&t->conn);
}

static void on_closed(struct yamux_conn *t) {
    struct problem why = PROBLEM_INIT;
    int error = yamux_error(t->engine, &why);
    if (t->conn.events != NULL)
        t->conn.events->closed(&t->conn, error, &why);
}

static void on_stream_event(const struct yamux_event *ev, enum muxed_event muxed_event) {
    struct stream *owner = yamux_stream_user(ev->stream);
    if (owner != NULL)
        stream_on_muxed(owner, muxed_event, ev->code, ev->error);
}

static struct muxed *muxed_of(struct yamux_stream *s) {
    return (struct muxed *)s;
}

static void on_opened(struct yamux_conn *t, struct yamux_stream *s) {
    if (t->conn.events != NULL)
        t->conn.events->stream_opened(&t->conn, muxed_of(s));
    else
        yamux_stream_release(s);
}

static void handle_event(struct yamux_conn *t, const struct yamux_event *ev) {
    switch (ev->type) {
    case YAMUX_EV_STREAMS_AVAILABLE:
        if (t->conn.events != NULL)
            t->conn.events->streams_available(&t->conn);
        break;
    case YAMUX_EV_STREAM_OPENED:
        on_opened(t, ev->stream);
        break;
    case YAMUX_EV_STREAM_READABLE:
        on_stream_event(ev, MUXED_READABLE);
        break;
    case YAMUX_EV_STREAM_WRITABLE:
        on_stream_event(ev, MUXED_WRITABLE);
        break;
    case YAMUX_EV_STREAM_STOPPED:
        on_stream_event(ev, MUXED_STOPPED);
        break;
    case YAMUX_EV_STREAM_RESET:
        on_stream_event(ev, MUXED_RESET);
        break;
    case YAMUX_EV_STREAM_CLOSED:
        on_stream_event(ev, MUXED_CLOSED);
        break;
    case YAMUX_EV_CLOSED:
        on_closed(t);
        break;
    }
}

static void drain_events(struct yamux_conn *t) {
    struct yamux_event ev;
    while (yamux_next_event(t->engine, &ev))
        handle_event(t, &ev);
}

/* --- Reading --- */

static ssize_t next_input(struct yamux_conn *t, struct slice *ret_slice) {
    if (slice_queue_shift(&t->rest, ret_slice))
        return 1;
    return t->read_over ? -ENODATA : link_read(t->link, ret_slice, 1);
}

static void note_link_end(struct yamux_conn *t, int error) {
    t->read_over = true;
    if (error != -ENODATA)
        t->write_over = true;
}

static void on_link_end(struct yamux_conn *t, int error) {
    note_link_end(t, error);
    yamux_recv_end(t->engine, error, now_of(t));
}

static void read_frames(struct yamux_conn *t) {
    bool any = false;
    while (yamux_wants_input(t->engine)) {
        struct slice in;
        ssize_t n = next_input(t, &in);
        if (n < 0)
            on_link_end(t, (int)n);
        if (n <= 0)
            break;
        size_t bytes = in.len;
        yamux_recv(t->engine, in, now_of(t));
        link_credit(t->link, bytes);
        any = true;
    }
    if (any || !t->initiator)
        confirm(t);
}

/* What comes after the end of the session is for nobody. */
static void discard_input(struct yamux_conn *t) {
    struct slice in;
    ssize_t n;
    while (!t->read_over && (n = next_input(t, &in)) != 0) {
        if (n > 0)
            link_consume(t->link, &in);
        else
            note_link_end(t, (int)n);
    }
}

/* --- Writing --- */

static void drop_out(struct yamux_conn *t) {
    for (; t->out_count > 0; t->out_count--)
        slice_unref(&t->out[t->out_first++]);
}

static void on_write_error(struct yamux_conn *t, int error) {
    drop_out(t);
    t->write_over = true;
    /* A peer that reads no more may still have said why. */
    if (error != -EPIPE)
        on_link_end(t, error);
}

/* Whether all that was pulled is with the link. */
static bool flush(struct yamux_conn *t) {
    if (t->write_over)
        drop_out(t);
    if (t->out_count == 0)
        return true;
    ssize_t n = link_write(t->link, t->out + t->out_first, t->out_count);
    if (n < 0) {
        on_write_error(t, (int)n);
        return true;
    }
    t->out_first += (uint32_t)n;
    t->out_count -= (uint32_t)n;
    t->link_full = t->out_count > 0;
    return !t->link_full;
}

/* Frames for as long as the link has room.  Whether all was said. */
static bool write_frames(struct yamux_conn *t) {
    if (t->link_full)
        return false;
    while (flush(t)) {
        t->out_first = 0;
        t->out_count =
            (uint32_t)yamux_pull(t->engine, t->out, OUT_MAX, link_batch(t->link), now_of(t));
        if (t->out_count == 0)
            return true;
    }
    return false;
}

/* --- Ending --- */

static void close_link(struct yamux_conn *t, bool reset) {
    assert(t->phase < CLOSING);
    t->phase = CLOSING;
    drop_out(t);
    slice_queue_done(&t->rest);
    if (reset)
        link_reset(t->link);
    else
        link_close(t->link);
}

static void free_conn(struct yamux_conn *t) {
    t->gone(t->user, &t->conn);
    timer_done(&t->timer);
    deferred_cancel(&t->work);
    slice_queue_done(&t->rest);
    t->engine = yamux_free(t->engine);
    (void)mem_free(reactor_mem(t->reactor), t);
}

/* The session is over: says why, waits for the peer to take it, and closes. */
static void end_on(struct yamux_conn *t) {
    bool all_said = write_frames(t);
    if (t->phase == RUNNING) {
        t->phase = ENDING;
        t->ending_until = now_of(t) + ENDING_MAX;
    }
    discard_input(t);
    if (t->phase == ENDING && all_said) {
        t->phase = SHUT;
        if (!t->write_over)
            link_shutdown_write(t->link);
    }
    bool dead = yamux_error(t->engine, NULL) == -ETIMEDOUT;
    if (dead || now_of(t) >= t->ending_until)
        close_link(t, t->phase != SHUT || dead);
    else if (t->read_over)
        close_link(t, false);
}

static void set_timer(struct yamux_conn *t) {
    nsec_t at = yamux_deadline(t->engine);
    timer_start(&t->timer, t->phase == RUNNING ? at : MIN(at, t->ending_until));
}

/* --- One look at the end of a turn --- */

static void look(struct yamux_conn *t) {
    if (t->phase < CLOSING) {
        read_frames(t);
        drain_events(t);
        bool paused = !yamux_wants_input(t->engine);
        (void)write_frames(t);
        if (paused && yamux_wants_input(t->engine))
            wake(t); /* answers went out: there may be more in the link, of which it was told */
    }
    /* Sending makes room, which makes events, which make users write. */
    drain_events(t);
    if (t->phase < CLOSING && !yamux_is_open(t->engine))
        end_on(t);
    if (t->phase < CLOSING)
        set_timer(t);
    else
        timer_stop(&t->timer);
}

static void work(struct deferred *deferred) {
    struct yamux_conn *t = CONTAINER_OF(deferred, struct yamux_conn, work);
    look(t);
    if (t->phase == CLOSED && yamux_streams_count(t->engine) == 0)
        free_conn(t);
}

static void on_timer(struct timer *timer) {
    struct yamux_conn *t = CONTAINER_OF(timer, struct yamux_conn, timer);
    uint64_t bytes;
    nsec_t at;
    if (t->phase == RUNNING && link_acked(t->link, &bytes, &at) == 0)
        yamux_link_acked(t->engine, bytes, at);
    yamux_tick(t->engine, now_of(t));
    wake(t);
}

/* --- From the link --- */

static void on_readable(struct link *l) {
    wake(l->user);
}

static void on_writable(struct link *l) {
    struct yamux_conn *t = l->user;
    t->link_full = false;
    wake(t);
}

static void on_link_closed(struct link *l, int error) {
    struct yamux_conn *t = l->user;
    assert(t->phase == CLOSING);
    (void)error; /* the session's end has been told */
    t->link = NULL;
    t->phase = CLOSED;
    wake(t);
}

static const struct link_events link_events = {
    .readable = on_readable,
    .writable = on_writable,
    .closed = on_link_closed,
};

/* --- The connection interface --- */

static struct yamux_stream *stream_of(const struct muxed *m) {
    return (struct yamux_stream *)(uintptr_t)m;
}

/* Every verb may leave something to send. */
static void wake_stream(const struct muxed *m) {
    wake(yamux_user(yamux_stream_session(stream_of(m))));
}

static void muxed_set_owner(struct muxed *m, struct stream *owner) {
    yamux_stream_set_user(stream_of(m), owner);
}

static ssize_t muxed_write(struct muxed *m, const struct slice *v, size_t count) {
    wake_stream(m);
    return yamux_stream_write(stream_of(m), v, count);
}

static ssize_t muxed_read(struct muxed *m, struct slice *out, size_t max) {
    ssize_t n = yamux_stream_read(stream_of(m), out, max);
    if (n == -ENODATA)
        wake_stream(m); /* CLOSED may be due */
    return n;
}

static void muxed_credit(struct muxed *m, size_t bytes) {
    yamux_stream_credit(stream_of(m), bytes);
    wake_stream(m);
}

static void muxed_shutdown_write(struct muxed *m) {
    yamux_stream_shutdown_write(stream_of(m));
    wake_stream(m);
}

static void muxed_stop_reading(struct muxed *m, uint64_t code) {
    (void)code; /* yamux has no word for it */
    yamux_stream_stop_reading(stream_of(m));
    wake_stream(m);
}

static void muxed_reset(struct muxed *m, uint64_t code) {
    yamux_stream_reset(stream_of(m), code);
    wake_stream(m);
}

static void muxed_release(struct muxed *m) {
    wake_stream(m);
    yamux_stream_release(stream_of(m));
}

static struct quota *muxed_quota(struct muxed *m) {
    return yamux_stream_quota(stream_of(m));
}

static size_t muxed_unsent(const struct muxed *m) {
    return yamux_stream_unsent(stream_of(m));
}

static size_t muxed_batch(const struct muxed *m) {
    return yamux_stream_batch(stream_of(m));
}

static int conn_open_stream(struct conn *c, struct muxed **ret_muxed) {
    struct yamux_conn *t = conn_of(c);
    struct yamux_stream *s;
    wake(t);
    int e = yamux_stream_open(t->engine, &s);
    if (e < 0)
        return e;
    *ret_muxed = muxed_of(s);
    return 0;
}

static int conn_send_datagram(struct conn *c, struct slice datagram) {
    (void)c;
    slice_unref(&datagram);
    return -ENOTSUP;
}

static size_t conn_datagram_max(const struct conn *c) {
    (void)c;
    return 0;
}

static void conn_admit(struct conn *c) {
    yamux_admit(conn_of(c)->engine);
}

static void conn_close(struct conn *c, uint64_t code) {
    yamux_close(conn_of(c)->engine, code, now_of(conn_of(c)));
    wake(conn_of(c));
}

static nsec_t conn_rtt(const struct conn *c) {
    return yamux_rtt(CONTAINER_OF(c, const struct yamux_conn, conn)->engine);
}

static void conn_probe(struct conn *c) {
    yamux_probe(conn_of(c)->engine);
    wake(conn_of(c));
}

static nsec_t conn_heard_at(const struct conn *c) {
    return yamux_heard_at(CONTAINER_OF(c, const struct yamux_conn, conn)->engine);
}

/* The engine is more patient: over TCP, silence tells little. */
static nsec_t conn_unanswered_since(const struct conn *c) {
    const struct yamux_conn *t = CONTAINER_OF(c, const struct yamux_conn, conn);
    return t->phase == RUNNING ? link_unanswered_since(t->link) : NSEC_NEVER;
}

static const struct conn_ops yamux_conn_ops = {
    .muxed =
        {
            .set_owner = muxed_set_owner,
            .write = muxed_write,
            .read = muxed_read,
            .credit = muxed_credit,
            .shutdown_write = muxed_shutdown_write,
            .stop_reading = muxed_stop_reading,
            .reset = muxed_reset,
            .release = muxed_release,
            .quota = muxed_quota,
            .unsent = muxed_unsent,
            .batch = muxed_batch,
        },
    .open_stream = conn_open_stream,
    .send_datagram = conn_send_datagram,
    .datagram_max = conn_datagram_max,
    .admit = conn_admit,
    .close = conn_close,
    .rtt = conn_rtt,
    .probe = conn_probe,
    .heard_at = conn_heard_at,
    .unanswered_since = conn_unanswered_since,
};

/* --- Making --- */

static int engine_new(struct yamux_conn *t) {
    struct yamux_config cfg = {.mem = reactor_mem(t->reactor),
                               .rng = reactor_rng(t->reactor),
                               .pool = reactor_pool(t->reactor),
                               .client = t->initiator,
                               .user = t};
    return yamux_new(&cfg, now_of(t), &t->engine);
}

int yamux_conn_new(const struct yamux_conn_config *cfg, struct conn **ret_conn) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct yamux_conn *t = mem_alloc(mem, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->reactor = cfg->reactor;
    t->link = cfg->link;
    t->initiator = cfg->initiator;
    t->gone = cfg->gone;
    t->user = cfg->user;
    int e = timer_init(&t->timer, t->reactor, on_timer);
    if (e < 0) {
        (void)mem_free(mem, t);
        return e;
    }
    e = engine_new(t);
    if (e < 0) {
        timer_done(&t->timer);
        (void)mem_free(mem, t);
        return e;
    }
    t->rest = *cfg->rest;
    slice_queue_init(cfg->rest, mem);
    deferred_init(&t->work, work);
    t->conn.ops = &yamux_conn_ops;
    t->conn.peer = cfg->peer;
    t->conn.remote = cfg->remote;
    t->conn.local = cfg->local;
    t->conn.opened_at = now_of(t);
    t->conn.inbound = cfg->inbound;
    link_set_events(t->link, &link_events, t);
    wake(t); /* there may be something in the link already */
    *ret_conn = &t->conn;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "transport/stream.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/handler.h"
#include "transport/proto/multistream.h"
#include "transport/proto/write_pace.h"
#include "transport/stream_internal.h"
#include "uring/reactor.h"

/* NEGOTIATING -> OPEN    the protocol is agreed
 * any         -> OVER    closed() was told, or nobody will ever hear of this stream */
enum stream_phase { STREAM_NEGOTIATING, STREAM_OPEN, STREAM_OVER };

struct stream {
    struct reactor *reactor;
    struct conn *conn;
    struct muxed *muxed;
    const struct stream_events *events;
    void *user;
    struct stream_acceptor *acceptor; /* inbound, while it negotiates */
    const char *protocol;
    enum stream_phase phase;
    struct multistream negotiation;
    struct timer timer;
    struct slice pending; /* payload that came right behind the negotiation */
    bool is_own;          /* we opened it */
    bool *freed;          /* set while a callback may free us */
};

static const struct muxed_ops *ops(const struct stream *s) {
    return &s->conn->ops->muxed;
}

static nsec_t now_of(const struct stream *s) {
    return reactor_now(s->reactor);
}

static void count(const struct stream *s, int by) {
    s->conn->streams_count += (uint32_t)by;
    s->conn->idle_since = now_of(s);
    s->conn->own_streams_count += s->is_own ? (uint32_t)by : 0;
    assert(s->conn->own_streams_count <= s->conn->streams_count);
}

static struct stream *stream_free(struct stream *s) {
    if (s->freed != NULL)
        *s->freed = true;
    slice_unref(&s->pending);
    count(s, -1);
    ops(s)->release(s->muxed);
    timer_done(&s->timer);
    return mem_free(reactor_mem(s->reactor), s);
}

/* --- Ending --- */

static void tell_closed(struct stream *s, int error) {
    if (s->phase == STREAM_OVER)
        return;
    s->phase = STREAM_OVER;
    timer_stop(&s->timer);
    if (s->events != NULL && s->events->closed != NULL)
        s->events->closed(s, error);
}

/* Negotiation failed: nobody owns an inbound stream yet, so it goes. */
static void give_up(struct stream *s, int error, uint64_t code) {
    ops(s)->reset(s->muxed, code);
    if (s->acceptor != NULL)
        (void)stream_free(s);
    else
        tell_closed(s, error);
}

/* --- Negotiation --- */

static int write_copy(struct stream *s, struct bytes b) {
    struct quota *quota = ops(s)->quota(s->muxed);
    enum buf_class class = buf_class_for(b.len);
    struct buf *buf = buf_new(reactor_pool(s->reactor), class, quota);
    if (buf == NULL) {
        if (quota_left(quota) >= buf_class_size(class))
            return -ENOMEM;
        /* A slice of nothing, so that writable() follows. */
        (void)ops(s)->write(s->muxed, &SLICE_EMPTY, 1);
        return -EAGAIN;
    }
    memcpy(buf->data, b.data, b.len);
    struct slice v = slice_of(buf, 0, (uint32_t)b.len);
    ssize_t n = ops(s)->write(s->muxed, &v, 1);
    if (n == 1)
        return 0;
    slice_unref(&v);
    return n < 0 ? (int)n : -EAGAIN;
}

/* -EAGAIN, -ENOMEM: the connection or the pool is full, which is no time for another stream. */
static int send_negotiation(struct stream *s) {
    uint8_t out[MULTISTREAM_OUT_MAX];
    size_t n;
    while ((n = multistream_pull(&s->negotiation, out, sizeof(out), now_of(s))) > 0) {
        int e = write_copy(s, bytes_of(out, n));
        if (e == -EAGAIN || e == -ENOMEM)
            return e;
        /* A peer that stopped reading has no use for the echo, but what it sent counts. */
    }
    return 0;
}

/* false: the stream is gone or over. */
static bool negotiate_further(struct stream *s) {
    if (send_negotiation(s) == 0)
        return true;
    give_up(s, -ERR_RESOURCE_LIMIT, STREAM_CODE_RESOURCE_LIMIT);
    return false;
}

/* false: the stream is gone or over. */
static bool handle_proposal(struct stream *s, struct bytes name) {
    struct stream_acceptor *a = s->acceptor;
    bool refused = false;
    struct protocol_handler *h = a->propose(a, s->conn, name, &refused);
    if (refused) {
        give_up(s, -ERR_NOT_AUTHORIZED, STREAM_CODE_GATED);
        return false;
    }
    if (h == NULL) {
        multistream_refuse(&s->negotiation, now_of(s));
        return negotiate_further(s);
    }
    multistream_accept(&s->negotiation, now_of(s));
    if (!negotiate_further(s))
        return false;
    s->acceptor = NULL;
    s->phase = STREAM_OPEN;
    s->protocol = h->protocol;
    timer_stop(&s->timer);
    /* The handler may refuse the stream, which frees it. */
    bool freed = false;
    /* cppcheck-suppress autoVariables ; the stream forgets it below, or is gone */
    s->freed = &freed;
    a->accepted(a, h, s);
    if (!freed)
        s->freed = NULL;
    return !freed;
}

static bool handle_negotiation_event(struct stream *s, const struct multistream_event *ev) {
    switch (ev->type) {
    case MULTISTREAM_EV_PROPOSAL:
        return handle_proposal(s, ev->name);
    case MULTISTREAM_EV_AGREED:
        s->phase = STREAM_OPEN;
        timer_stop(&s->timer);
        return true;
    case MULTISTREAM_EV_REFUSED:
        give_up(s, -ERR_PROTOCOL_NOT_SUPPORTED, STREAM_CODE_NEGOTIATION_FAILED);
        return false;
    case MULTISTREAM_EV_FAILED:
        give_up(s, ev->error, STREAM_CODE_NEGOTIATION_FAILED);
        return false;
    }
    return false;
}

static bool drain_negotiation(struct stream *s) {
    struct multistream_event ev;
    while (s->phase == STREAM_NEGOTIATING && multistream_next_event(&s->negotiation, &ev)) {
        if (!handle_negotiation_event(s, &ev))
            return false;
    }
    return true;
}

/* Feeds one slice; what the negotiation leaves is payload.  false: the stream is gone or over. */
static bool feed_negotiation(struct stream *s, struct slice in) {
    assert(s->pending.buf == NULL);
    s->pending = in;
    while (s->pending.len > 0 && s->phase == STREAM_NEGOTIATING) {
        if (!negotiate_further(s))
            return false;
        size_t n = multistream_recv(&s->negotiation, slice_bytes(&s->pending), now_of(s));
        slice_skip(&s->pending, (uint32_t)n);
        ops(s)->credit(s->muxed, n);
        if (!drain_negotiation(s))
            return false;
    }
    if (s->pending.len == 0)
        slice_unref(&s->pending);
    return true;
}

/* Reads until the protocol is agreed or nothing is left.  false: the stream is gone or over. */
static bool negotiate(struct stream *s) {
    while (s->phase == STREAM_NEGOTIATING) {
        struct slice in;
        ssize_t n = ops(s)->read(s->muxed, &in, 1);
        if (n == 0)
            return true;
        if (n == -ECONNRESET)
            return true; /* an event of its own tells it */
        if (n < 0) {
            multistream_recv_end(&s->negotiation, now_of(s));
            return drain_negotiation(s);
        }
        if (!feed_negotiation(s, in))
            return false;
    }
    return true;
}

static void on_timer(struct timer *t) {
    struct stream *s = CONTAINER_OF(t, struct stream, timer);
    multistream_tick(&s->negotiation, now_of(s));
    (void)drain_negotiation(s);
}

static int stream_new(struct reactor *r, struct conn *c, struct muxed *m, const char *protocol,
                      struct stream **ret_stream) {
    struct stream *s = mem_alloc(reactor_mem(r), sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->reactor = r;
    s->conn = c;
    s->muxed = m;
    s->protocol = protocol;
    int e = timer_init(&s->timer, r, on_timer);
    if (e < 0) {
        (void)mem_free(reactor_mem(r), s);
        return e;
    }
    struct multistream_config cfg = {.names = protocol == NULL ? NULL : &s->protocol,
                                     .names_count = protocol == NULL ? 0 : 1};
    multistream_init(&s->negotiation, &cfg, reactor_now(r));
    timer_start(&s->timer, multistream_deadline(&s->negotiation));
    c->ops->muxed.set_owner(m, s);
    s->is_own = protocol != NULL;
    count(s, 1);
    *ret_stream = s;
    return 0;
}

void stream_new_inbound(struct reactor *r, struct conn *c, struct muxed *m,
                        struct stream_acceptor *acceptor) {
    struct stream *s;
    if (stream_new(r, c, m, NULL, &s) < 0) {
        c->ops->muxed.release(m);
        return;
    }
    s->acceptor = acceptor;
    (void)negotiate_further(s);
}

int stream_new_outbound(struct reactor *r, struct conn *c, struct muxed *m, const char *protocol,
                        struct stream **ret_stream) {
    struct stream *s;
    int e = stream_new(r, c, m, protocol, &s);
    if (e < 0)
        return e;
    e = send_negotiation(s);
    if (e < 0) {
        count(s, -1);
        timer_done(&s->timer);
        (void)mem_free(reactor_mem(r), s);
        return e;
    }
    *ret_stream = s;
    return 0;
}

/* --- Events from below --- */

static void on_readable(struct stream *s) {
    bool was_negotiating = s->phase == STREAM_NEGOTIATING;
    if (was_negotiating && !negotiate(s))
        return;
    if (s->phase == STREAM_OPEN && s->events != NULL && s->events->readable != NULL)
        s->events->readable(s);
}

static void on_reset(struct stream *s, uint64_t code) {
    slice_unref(&s->pending);
    if (s->acceptor != NULL)
        give_up(s, -ERR_STREAM_RESET, STREAM_CODE_NEGOTIATION_FAILED);
    else if (s->phase == STREAM_NEGOTIATING && code == STREAM_CODE_NEGOTIATION_FAILED)
        give_up(s, -ERR_PROTOCOL_NOT_SUPPORTED, code); /* its refusal was lost to the reset */
    else if (s->phase != STREAM_OVER && s->events != NULL && s->events->reset != NULL)
        s->events->reset(s, code);
}

static void on_closed(struct stream *s, int error) {
    if (s->acceptor != NULL)
        (void)stream_free(s);
    else
        tell_closed(s, error);
}

void stream_on_muxed(struct stream *s, enum muxed_event ev, uint64_t code, int error) {
    switch (ev) {
    case MUXED_READABLE:
        on_readable(s);
        break;
    case MUXED_WRITABLE:
        if (s->phase != STREAM_OVER && s->events != NULL && s->events->writable != NULL)
            s->events->writable(s);
        break;
    case MUXED_STOPPED:
        if (s->phase != STREAM_OVER && s->events != NULL && s->events->stopped != NULL)
            s->events->stopped(s, code);
        break;
    case MUXED_RESET:
        on_reset(s, code);
        break;
    case MUXED_CLOSED:
        on_closed(s, error);
        break;
    }
}

/* --- What the owner does --- */

void stream_set_events(struct stream *s, const struct stream_events *events, void *user) {
    s->events = events;
    s->user = user;
}

void *stream_user(const struct stream *s) {
    return s->user;
}

ssize_t stream_write(struct stream *s, const struct slice *v, size_t count) {
    if (s->phase == STREAM_OVER)
        return -ERR_CONN_CLOSED;
    return ops(s)->write(s->muxed, v, count);
}

int stream_write_bytes(struct stream *s, struct bytes b) {
    assert(b.len <= buf_class_size(BUF_64K));
    if (s->phase == STREAM_OVER)
        return -ERR_CONN_CLOSED;
    return write_copy(s, b);
}

ssize_t stream_read(struct stream *s, struct slice *out, size_t max) {
    size_t n = 0;
    if (s->phase == STREAM_NEGOTIATING || max == 0)
        return 0;
    if (s->pending.buf != NULL) {
        out[n++] = s->pending;
        s->pending = SLICE_EMPTY;
    }
    if (n == max)
        return (ssize_t)n;
    ssize_t more = ops(s)->read(s->muxed, out + n, max - n);
    if (more < 0)
        return n > 0 ? (ssize_t)n : more;
    return (ssize_t)n + more;
}

void stream_credit(struct stream *s, size_t bytes) {
    ops(s)->credit(s->muxed, bytes);
}

void stream_shutdown_write(struct stream *s) {
    ops(s)->shutdown_write(s->muxed);
}

void stream_stop_reading(struct stream *s, uint64_t code) {
    slice_unref(&s->pending);
    ops(s)->stop_reading(s->muxed, code);
}

void stream_reset(struct stream *s, uint64_t code) {
    slice_unref(&s->pending);
    ops(s)->reset(s->muxed, code);
}

struct stream *stream_release(struct stream *s) {
    return s == NULL ? NULL : stream_free(s);
}

const struct peer_id *stream_peer(const struct stream *s) {
    return &s->conn->peer;
}

struct conn *stream_conn(const struct stream *s) {
    return s->conn;
}

const char *stream_protocol(const struct stream *s) {
    return s->protocol;
}

bool stream_is_agreed(const struct stream *s) {
    return s->phase == STREAM_OPEN;
}

bool stream_is_silent(const struct stream *s, nsec_t silence) {
    const struct conn *c = s->conn;
    return c->ops->heard_at != NULL && now_of(s) - c->ops->heard_at(c) >= silence;
}

struct quota *stream_quota(struct stream *s) {
    return ops(s)->quota(s->muxed);
}

size_t stream_unsent(const struct stream *s) {
    return ops(s)->unsent(s->muxed);
}

size_t stream_batch(const struct stream *s) {
    return ops(s)->batch == NULL ? WRITE_PACE_BYTES_MAX : ops(s)->batch(s->muxed);
}

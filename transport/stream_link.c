/* SPDX-License-Identifier: MIT */
#include "transport/stream_link.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/conn.h"
#include "transport/link_limit.h"
#include "transport/stream.h"
#include "uring/reactor.h"

struct stream_link {
    struct link link;
    struct reactor *reactor;
    struct stream *stream;
    struct slice rest;    /* comes before what the stream has */
    struct deferred work; /* tells of an error, or of the close */
    struct link_limit limit;
    int error;
    bool closing;
};

static struct stream_link *link_of(struct link *l) {
    return CONTAINER_OF(l, struct stream_link, link);
}

/* --- What the stream's end may come of --- */

/* The limit that was met, or else `error`. */
static int error_at_end(const struct stream_link *t, int error) {
    return link_limit_error(&t->limit, stream_unsent(t->stream), reactor_now(t->reactor), error);
}

/* --- From the stream; after link_close() it tells nothing --- */

static void on_readable(struct stream *s) {
    struct stream_link *t = stream_user(s);
    t->link.events->readable(&t->link);
}

static void on_writable(struct stream *s) {
    struct stream_link *t = stream_user(s);
    t->link.events->writable(&t->link);
}

/* To both, since a stream tells nothing of the kind to a writer that waits. */
static void tell_error(struct stream_link *t) {
    t->link.events->readable(&t->link);
    if (!t->closing)
        t->link.events->writable(&t->link);
}

static void fail(struct stream_link *t, int error) {
    if (t->error != 0)
        return;
    t->error = error;
    tell_error(t);
}

static void on_stopped(struct stream *s, uint64_t code) {
    struct stream_link *t = stream_user(s);
    int e = error_at_end(t, 0);
    (void)code;
    if (e < 0)
        fail(t, e);
    else
        on_writable(s); /* which finds -EPIPE */
}

static void on_reset(struct stream *s, uint64_t code) {
    struct stream_link *t = stream_user(s);
    (void)code;
    fail(t, error_at_end(t, -ECONNRESET));
}

static void on_stream_closed(struct stream *s, int error) {
    if (error != 0)
        fail(stream_user(s), error);
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .writable = on_writable,
    .stopped = on_stopped,
    .reset = on_reset,
    .closed = on_stream_closed,
};

/* --- From the owner --- */

static ssize_t stream_link_write(struct link *l, const struct slice *v, size_t count) {
    struct stream_link *t = link_of(l);
    assert(!t->closing);
    if (t->error != 0)
        return t->error;
    ssize_t n = stream_write(t->stream, v, count);
    for (ssize_t i = 0; i < n; i++)
        t->limit.out_bytes += v[i].len;
    /* The connection's end comes with an event of its own; without one both directions are over. */
    return n == -ERR_CONN_CLOSED ? -EPIPE : n;
}

static ssize_t stream_link_read(struct link *l, struct slice *out, size_t max) {
    struct stream_link *t = link_of(l);
    assert(!t->closing);
    if (t->error != 0)
        return t->error;
    if (t->rest.buf != NULL && max > 0) {
        *out = slice_take(&t->rest);
        return 1;
    }
    ssize_t n = stream_read(t->stream, out, max);
    for (ssize_t i = 0; i < n; i++)
        t->limit.in_bytes += out[i].len;
    if (n != -ENODATA && n != -ECONNRESET)
        return n;
    int e = error_at_end(t, (int)n);
    if (e != n) {
        t->error = e;
        reactor_defer(t->reactor, &t->work);
    }
    return e;
}

static void stream_link_credit(struct link *l, size_t bytes) {
    struct stream_link *t = link_of(l);
    assert(!t->closing);
    stream_credit(t->stream, bytes);
}

static void stream_link_shutdown_write(struct link *l) {
    struct stream_link *t = link_of(l);
    assert(!t->closing);
    stream_shutdown_write(t->stream);
}

static void stream_link_close(struct link *l, bool reset) {
    struct stream_link *t = link_of(l);
    assert(!t->closing);
    t->closing = true;
    slice_unref(&t->rest);
    /* Releasing a stream without an end resets it. */
    if (reset || t->error != 0)
        stream_reset(t->stream, STREAM_CODE_NONE);
    else if (stream_unsent(t->stream) == 0)
        stream_shutdown_write(t->stream);
    t->stream = stream_release(t->stream);
    reactor_defer(t->reactor, &t->work);
}

static void on_work(struct deferred *d) {
    struct stream_link *t = CONTAINER_OF(d, struct stream_link, work);
    if (!t->closing) {
        tell_error(t);
        return;
    }
    t->link.events->closed(&t->link, t->error);
    (void)mem_free(reactor_mem(t->reactor), t);
}

static struct quota *stream_link_quota(struct link *l) {
    return stream_quota(link_of(l)->stream);
}

static size_t stream_link_batch(const struct link *l) {
    const struct stream_link *t = CONTAINER_OF(l, const struct stream_link, link);
    assert(!t->closing);
    return stream_batch(t->stream);
}

static nsec_t stream_link_unanswered_since(const struct link *l) {
    const struct stream_link *t = CONTAINER_OF(l, const struct stream_link, link);
    assert(!t->closing);
    const struct conn *c = stream_conn(t->stream);
    return c->ops->unanswered_since == NULL ? NSEC_NEVER : c->ops->unanswered_since(c);
}

static const struct link_ops stream_link_ops = {
    .write = stream_link_write,
    .read = stream_link_read,
    .credit = stream_link_credit,
    .shutdown_write = stream_link_shutdown_write,
    .close = stream_link_close,
    .quota = stream_link_quota,
    .batch = stream_link_batch,
    .unanswered_since = stream_link_unanswered_since,
};

int stream_link_new(struct reactor *r, struct stream *s, struct slice *rest,
                    const struct conn_limit *limit, struct link **ret_link) {
    struct stream_link *t = mem_alloc(reactor_mem(r), sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    *t = (struct stream_link){
        .link.ops = &stream_link_ops,
        .reactor = r,
        .stream = s,
        .limit = {.limit = *limit, .began_at = reactor_now(r), .in_bytes = rest->len}};
    t->rest = slice_take(rest);
    deferred_init(&t->work, on_work);
    stream_set_events(s, &stream_events, t);
    *ret_link = &t->link;
    return 0;
}

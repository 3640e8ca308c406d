/* SPDX-License-Identifier: MIT */
/* Answering /perf/1.0.0: what comes is counted and credited, what goes is one slab of zeros, sent
 * again and again by reference. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/host_internal.h"
#include "transport/proto/perf.h"

enum { FILLER_BYTES = 64 << 10, READ_SLICES = 16 };

/* Each way, of one stream: no measurement needs more, and no peer keeps us busy for ever. */
#define PERF_BYTES_MAX ((uint64_t)64 << 30)

static const char perf_protocol[] = "/perf/1.0.0";

struct perf {
    struct host *host;
    struct stream *stream;
    struct timer timer;
    struct perf_acceptor engine;
    struct buf *filler;
    uint32_t owed; /* counted by the engine, and not taken by the stream yet */
};

static void end_perf(struct perf *p) {
    p->filler = buf_unref(p->filler);
    timer_done(&p->timer);
    (void)stream_release(p->stream);
    (void)mem_free(reactor_mem(p->host->reactor), p);
}

static void fail_perf(struct perf *p, int error) {
    uint64_t code = STREAM_CODE_NONE;
    if (error == -ERR_LIMIT || error == -ENOMEM)
        code = STREAM_CODE_RESOURCE_LIMIT;
    else if (error == -ERR_TRUNCATED)
        code = STREAM_CODE_PROTOCOL_VIOLATION;
    stream_reset(p->stream, code);
    end_perf(p);
}

static void read_perf(struct perf *p) {
    nsec_t now = reactor_now(p->host->reactor);
    struct slice in[READ_SLICES];
    ssize_t n;
    while ((n = stream_read(p->stream, in, READ_SLICES)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            perf_acceptor_recv(&p->engine, slice_bytes(&in[i]), now);
            stream_consume(p->stream, &in[i]);
        }
    }
    if (n == -ENODATA)
        perf_acceptor_recv_end(&p->engine, now);
}

/* Writes until the stream is full; writable() goes on.  -ENOMEM, -ERR_STREAM_RESET */
static int fill_perf(struct perf *p) {
    nsec_t now = reactor_now(p->host->reactor);
    for (;;) {
        if (p->owed == 0)
            p->owed = (uint32_t)perf_acceptor_fill(&p->engine, FILLER_BYTES, now);
        if (p->owed == 0)
            return 0;
        if (p->filler == NULL) {
            p->filler = buf_new(reactor_pool(p->host->reactor), buf_class_for(p->owed),
                                stream_quota(p->stream));
            if (p->filler == NULL)
                return -ENOMEM;
            memset(p->filler->data, 0, p->filler->size);
        }
        struct slice v = slice_of(buf_ref(p->filler), 0, p->owed);
        ssize_t n = stream_write(p->stream, &v, 1);
        if (n != 1) {
            slice_unref(&v);
            return n < 0 ? -ERR_STREAM_RESET : 0;
        }
        p->owed = 0;
    }
}

/* Feed, fill, drain, set the timer. */
static void work_perf(struct perf *p) {
    read_perf(p);
    int e = fill_perf(p);
    if (e < 0) {
        fail_perf(p, e);
        return;
    }
    struct perf_event ev;
    if (p->owed > 0 || !perf_acceptor_next_event(&p->engine, &ev)) {
        /* Whatever called us was progress. */
        timer_start(&p->timer, reactor_now(p->host->reactor) + PERF_STALL_TIMEOUT);
        return;
    }
    switch (ev.type) {
    case PERF_EV_HALF_CLOSE: /* the opener's */
    case PERF_EV_DONE:
        stream_shutdown_write(p->stream);
        end_perf(p);
        break;
    case PERF_EV_FAILED:
        fail_perf(p, ev.error);
        break;
    }
}

static void on_io(struct stream *s) {
    work_perf(stream_user(s));
}

static void on_stopped(struct stream *s, uint64_t code) {
    (void)code; /* a write tells, if there is one to come */
    work_perf(stream_user(s));
}

static void on_reset(struct stream *s, uint64_t code) {
    (void)code;
    fail_perf(stream_user(s), -ERR_STREAM_RESET);
}

static void on_closed(struct stream *s, int error) {
    fail_perf(stream_user(s), error);
}

static const struct stream_events perf_events = {
    .readable = on_io,
    .writable = on_io,
    .stopped = on_stopped,
    .reset = on_reset,
    .closed = on_closed,
};

static void on_timer(struct timer *t) {
    struct perf *p = CONTAINER_OF(t, struct perf, timer);
    fail_perf(p, -ETIMEDOUT);
}

static int start_perf(struct host *h, struct stream *s) {
    struct mem *mem = reactor_mem(h->reactor);
    struct perf *p = mem_alloc(mem, sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    int e = timer_init(&p->timer, h->reactor, on_timer);
    if (e < 0) {
        (void)mem_free(mem, p);
        return e;
    }
    p->host = h;
    p->stream = s;
    perf_acceptor_init(&p->engine, PERF_BYTES_MAX, reactor_now(h->reactor));
    timer_start(&p->timer, perf_acceptor_deadline(&p->engine));
    stream_set_events(s, &perf_events, p);
    return 0;
}

static void on_accept(struct protocol_handler *ph, struct stream *s) {
    struct host *h = CONTAINER_OF(ph, struct host, perf_handler);
    if (start_perf(h, s) < 0) {
        stream_reset(s, STREAM_CODE_RESOURCE_LIMIT);
        (void)stream_release(s);
    }
}

void perf_service_init(struct host *h) {
    h->perf_handler = (struct protocol_handler){
        .protocol = perf_protocol, .protocol_class = CLASS_AUTHORIZED, .accept = on_accept};
    int e = host_handle(h, &h->perf_handler);
    assert(e == 0);
}

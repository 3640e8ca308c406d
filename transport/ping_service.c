/* SPDX-License-Identifier: MIT */
#include "transport/ping_service.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/host_internal.h"

enum { STREAMS_PER_PEER_MAX = 2 }; /* go's limit for inbound ones */

static const char ping_protocol[] = "/ipfs/ping/1.0.0";

/* --- Answering --- */

struct echo {
    struct host *host;
    struct peer *peer;
    struct stream *stream;
    struct timer timer;
    struct ping_acceptor engine;
    struct slice in; /* read, and not taken by the engine yet */
    uint8_t out[PING_BYTES];
    size_t out_len; /* pulled, and not taken by the stream yet */
};

static void end_echo(struct echo *x) {
    assert(x->peer->pings_count > 0);
    x->peer->pings_count--;
    slice_unref(&x->in);
    timer_done(&x->timer);
    (void)stream_release(x->stream);
    (void)mem_free(reactor_mem(x->host->reactor), x);
}

static void abandon_echo(struct echo *x) {
    stream_reset(x->stream, STREAM_CODE_NONE);
    end_echo(x);
}

/* Whether all that was pulled is on its way.  Without room it waits for writable(), and then
 * nothing is read either: a peer that reads no answers is not heard. */
static bool flush_echo(struct echo *x) {
    nsec_t now = reactor_now(x->host->reactor);
    for (;;) {
        if (x->out_len == 0)
            x->out_len = ping_acceptor_pull(&x->engine, x->out, sizeof(x->out), now);
        if (x->out_len == 0)
            return true;
        int e = stream_write_bytes(x->stream, bytes_of(x->out, x->out_len));
        if (e == -EAGAIN || e == -ENOMEM)
            return false; /* of memory, the time limits take care */
        x->out_len = 0;   /* other errors: the end is on its way */
    }
}

static void feed_echo(struct echo *x) {
    nsec_t now = reactor_now(x->host->reactor);
    ssize_t n = 1;
    while (flush_echo(x) && n == 1) {
        if (x->in.buf == NULL) {
            n = stream_read(x->stream, &x->in, 1);
            if (n == -ENODATA)
                ping_acceptor_recv_end(&x->engine, now);
            if (n != 1)
                continue; /* what is left to pull, then the end */
        }
        size_t taken = ping_acceptor_recv(&x->engine, slice_bytes(&x->in), now);
        slice_skip(&x->in, (uint32_t)taken);
        stream_credit(x->stream, taken);
        if (x->in.len == 0)
            slice_unref(&x->in);
        if (taken == 0)
            return; /* the engine is over */
    }
}

/* Feed, drain, set the timer. */
static void work_echo(struct echo *x) {
    int error;
    feed_echo(x);
    if (!ping_acceptor_next_event(&x->engine, &error)) {
        timer_start(&x->timer, ping_acceptor_deadline(&x->engine));
        return;
    }
    if (error < 0) {
        abandon_echo(x);
        return;
    }
    stream_shutdown_write(x->stream);
    end_echo(x);
}

static void on_echo_io(struct stream *s) {
    work_echo(stream_user(s));
}

static void on_echo_reset(struct stream *s, uint64_t code) {
    (void)code;
    abandon_echo(stream_user(s));
}

static void on_echo_stopped(struct stream *s, uint64_t code) {
    (void)code; /* nobody is left to answer */
    abandon_echo(stream_user(s));
}

static void on_echo_closed(struct stream *s, int error) {
    (void)error;
    end_echo(stream_user(s));
}

static const struct stream_events echo_events = {
    .readable = on_echo_io,
    .writable = on_echo_io,
    .stopped = on_echo_stopped,
    .reset = on_echo_reset,
    .closed = on_echo_closed,
};

static void on_echo_timer(struct timer *t) {
    struct echo *x = CONTAINER_OF(t, struct echo, timer);
    ping_acceptor_tick(&x->engine, reactor_now(x->host->reactor));
    work_echo(x);
}

static int start_echo(struct host *h, struct stream *s) {
    struct peer *peer = host_conn_of(stream_conn(s))->peer;
    struct mem *mem = reactor_mem(h->reactor);
    if (peer->pings_count >= STREAMS_PER_PEER_MAX)
        return -ERR_RESOURCE_LIMIT;
    struct echo *x = mem_alloc(mem, sizeof(*x));
    if (x == NULL)
        return -ENOMEM;
    int e = timer_init(&x->timer, h->reactor, on_echo_timer);
    if (e < 0) {
        (void)mem_free(mem, x);
        return e;
    }
    x->host = h;
    x->peer = peer;
    x->stream = s;
    peer->pings_count++;
    ping_acceptor_init(&x->engine, reactor_now(h->reactor));
    timer_start(&x->timer, ping_acceptor_deadline(&x->engine));
    stream_set_events(s, &echo_events, x);
    return 0;
}

static void on_accept(struct protocol_handler *ph, struct stream *s) {
    struct host *h = CONTAINER_OF(ph, struct host, ping_handler);
    if (start_echo(h, s) < 0) {
        stream_reset(s, STREAM_CODE_RESOURCE_LIMIT);
        (void)stream_release(s);
    }
}

void ping_service_init(struct host *h) {
    h->ping_handler = (struct protocol_handler){
        .protocol = ping_protocol, .protocol_class = CLASS_ANY, .accept = on_accept};
    int e = host_handle(h, &h->ping_handler);
    assert(e == 0);
}

/* --- Asking --- */

static void end_ping(struct host_ping *p) {
    p->pending = false;
    timer_done(&p->timer);
    p->stream = stream_release(p->stream);
}

static void fail_ping(struct host_ping *p, int error) {
    if (p->stream != NULL)
        stream_reset(p->stream, error == -ERR_PROTOCOL_VIOLATION ? STREAM_CODE_PROTOCOL_VIOLATION
                                                                 : STREAM_CODE_NONE);
    end_ping(p);
    p->done(p, 0, error);
}

static void finish_ping(struct host_ping *p, nsec_t rtt) {
    stream_shutdown_write(p->stream);
    end_ping(p);
    p->done(p, rtt, 0);
}

/* Pull, drain, set the timer. */
static void work_ping(struct host_ping *p) {
    uint8_t out[PING_BYTES];
    size_t n = ping_opener_pull(&p->engine, out, sizeof(out), reactor_now(p->host->reactor));
    int e = n == 0 ? 0 : stream_write_bytes(p->stream, bytes_of(out, n));
    if (e < 0) {
        /* A new stream has room for 32 bytes, unless the connection or the pool is full. */
        fail_ping(p, e == -EPIPE ? -ERR_STREAM_RESET : e == -EAGAIN ? -ERR_RESOURCE_LIMIT : e);
        return;
    }
    struct ping_event ev;
    if (!ping_opener_next_event(&p->engine, &ev)) {
        timer_start(&p->timer, ping_opener_deadline(&p->engine));
        return;
    }
    switch (ev.type) {
    case PING_EV_PONG:
        finish_ping(p, ev.rtt);
        break;
    case PING_EV_FAILED:
        fail_ping(p, ev.error == -ERR_TRUNCATED ? -ERR_STREAM_RESET : ev.error);
        break;
    }
}

static void on_ping_readable(struct stream *s) {
    struct host_ping *p = stream_user(s);
    nsec_t now = reactor_now(p->host->reactor);
    struct slice in;
    ssize_t n;
    while ((n = stream_read(s, &in, 1)) == 1) {
        ping_opener_recv(&p->engine, slice_bytes(&in), now);
        stream_consume(s, &in);
    }
    if (n == -ENODATA)
        ping_opener_recv_end(&p->engine, now);
    work_ping(p);
}

static void on_ping_reset(struct stream *s, uint64_t code) {
    (void)code;
    fail_ping(stream_user(s), -ERR_STREAM_RESET);
}

static void on_ping_closed(struct stream *s, int error) {
    fail_ping(stream_user(s), error == 0 ? -ERR_STREAM_RESET : error);
}

static const struct stream_events ping_events = {
    .readable = on_ping_readable,
    .reset = on_ping_reset,
    .closed = on_ping_closed,
};

static void on_ping_timer(struct timer *t) {
    struct host_ping *p = CONTAINER_OF(t, struct host_ping, timer);
    ping_opener_tick(&p->engine, reactor_now(p->host->reactor));
    work_ping(p);
}

static void on_ping_opened(struct stream_request *r, struct stream *s, int error) {
    struct host_ping *p = CONTAINER_OF(r, struct host_ping, request);
    if (error < 0) {
        fail_ping(p, error);
        return;
    }
    nsec_t now = reactor_now(p->host->reactor);
    p->stream = s;
    stream_set_events(s, &ping_events, p);
    ping_opener_init(&p->engine, reactor_rng(p->host->reactor), now);
    ping_opener_send(&p->engine, now);
    work_ping(p);
}

int host_ping_start(struct host *h, struct host_ping *p, const struct peer_id *peer,
                    nsec_t deadline, void (*done)(struct host_ping *p, nsec_t rtt, int error)) {
    *p = (struct host_ping){.host = h, .done = done};
    int e = timer_init(&p->timer, h->reactor, on_ping_timer);
    if (e < 0)
        return e;
    p->pending = true;
    host_open_stream_with(h, &p->request, peer, ping_protocol, HOST_REQUEST_LIMITED, deadline,
                          on_ping_opened);
    return 0;
}

void host_ping_cancel(struct host_ping *p) {
    if (!p->pending)
        return;
    stream_request_cancel(&p->request);
    end_ping(p);
}

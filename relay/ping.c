/* SPDX-License-Identifier: MIT */
#include "relay/ping.h"

#include "core/base/err.h"
#include "core/base/mem.h"

/* --- One exchange --- */

static void exchange_done(struct ping_exchange *x) {
    timer_done(&x->timer);
    x->stream = stream_release(x->stream);
}

static uint64_t code_for(int error) {
    return error == -ERR_PROTOCOL_VIOLATION || error == -ERR_LIMIT ? STREAM_CODE_PROTOCOL_VIOLATION
                                                                   : STREAM_CODE_NONE;
}

static void exchange_end(struct ping_exchange *x, nsec_t rtt, int error) {
    if (error == 0)
        stream_shutdown_write(x->stream);
    else if (!x->stream_over)
        stream_reset(x->stream, code_for(error));
    exchange_done(x);
    x->ended(x, rtt, error);
}

/* 0, or the error that ends the exchange. */
static int exchange_read(struct ping_exchange *x) {
    struct slice v[4];
    ssize_t count;

    while ((count = stream_read(x->stream, v, ARRAY_COUNT(v))) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            stream_credit(x->stream, v[i].len);
            pingpong_recv(&x->engine, slice_bytes(&v[i]), reactor_now(x->reactor));
            slice_unref(&v[i]);
        }
    }
    if (count == -ENODATA)
        pingpong_recv_end(&x->engine, reactor_now(x->reactor));
    else if (count < 0)
        return -ERR_STREAM_RESET;
    return 0;
}

static int exchange_write(struct ping_exchange *x) {
    if (x->out_len == 0)
        x->out_len = pingpong_pull(&x->engine, x->out, sizeof(x->out), reactor_now(x->reactor));
    if (x->out_len == 0)
        return 0;
    int e = stream_write_bytes(x->stream, bytes_of(x->out, x->out_len));
    if (e == -EAGAIN)
        return 0;
    x->out_len = 0;
    return e == -EPIPE ? -ERR_STREAM_RESET : e;
}

/* Feeds, pulls, asks for the event.  The exchange may be over afterwards. */
static void exchange_step(struct ping_exchange *x) {
    struct pingpong_event ev;

    int e = exchange_read(x);
    if (e == 0)
        e = exchange_write(x);
    if (e < 0)
        exchange_end(x, 0, e);
    else if (x->out_len == 0 && pingpong_next_event(&x->engine, &ev))
        exchange_end(x, ev.rtt, ev.type == PINGPONG_EV_DONE ? 0 : ev.error);
}

static void on_io(struct stream *s) {
    exchange_step(stream_user(s));
}

static void on_stopped(struct stream *s, uint64_t code) {
    (void)s; /* the next write tells, if there is one */
    (void)code;
}

static void on_reset(struct stream *s, uint64_t code) {
    (void)code;
    exchange_end(stream_user(s), 0, -ERR_STREAM_RESET);
}

static void on_closed(struct stream *s, int error) {
    struct ping_exchange *x = stream_user(s);

    x->stream_over = true;
    exchange_end(x, 0, error < 0 ? error : -ERR_TRUNCATED);
}

static const struct stream_events stream_events = {
    .readable = on_io,
    .writable = on_io,
    .stopped = on_stopped,
    .reset = on_reset,
    .closed = on_closed,
};

static void on_timer(struct timer *t) {
    exchange_end(CONTAINER_OF(t, struct ping_exchange, timer), 0, -ETIMEDOUT);
}

/* The timer is initialised before; the engine too. */
static void exchange_start(struct ping_exchange *x, struct stream *s,
                           void (*ended)(struct ping_exchange *x, nsec_t rtt, int error)) {
    x->stream = s;
    x->ended = ended;
    x->out_len = 0;
    x->stream_over = false;
    stream_set_events(s, &stream_events, x);
    timer_start(&x->timer, pingpong_deadline(&x->engine));
    exchange_step(x);
}

/* --- Serving --- */

struct ping_server {
    struct protocol_handler handler;
    struct reactor *reactor;
    struct host *host;
    struct list sessions;
    char *protocol;
};

struct session {
    struct ping_exchange exchange;
    struct list node;
};

static void session_free(struct session *ss) {
    struct mem *mem = reactor_mem(ss->exchange.reactor);

    list_remove(&ss->node);
    (void)mem_free(mem, ss);
}

static void on_session_ended(struct ping_exchange *x, nsec_t rtt, int error) {
    (void)rtt;
    (void)error; /* the peer's affair */
    session_free(CONTAINER_OF(x, struct session, exchange));
}

static void on_accept(struct protocol_handler *h, struct stream *s) {
    struct ping_server *server = CONTAINER_OF(h, struct ping_server, handler);

    struct session *ss = mem_alloc(reactor_mem(server->reactor), sizeof(*ss));
    if (ss == NULL || timer_init(&ss->exchange.timer, server->reactor, on_timer) < 0) {
        (void)mem_free(reactor_mem(server->reactor), ss);
        stream_reset(s, STREAM_CODE_RESOURCE_LIMIT);
        (void)stream_release(s);
        return;
    }
    list_init(&ss->node);
    list_push(&server->sessions, &ss->node);
    ss->exchange.reactor = server->reactor;
    pingpong_init_acceptor(&ss->exchange.engine, reactor_now(server->reactor));
    exchange_start(&ss->exchange, s, on_session_ended);
}

int ping_server_new(struct reactor *r, struct host *h, const char *protocol,
                    struct ping_server **ret_server) {
    struct mem *mem = reactor_mem(r);
    struct ping_server *s = mem_alloc(mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->reactor = r;
    s->host = h;
    list_init(&s->sessions);
    s->protocol = mem_strdup(mem, protocol);
    s->handler = (struct protocol_handler){
        .protocol = s->protocol, .protocol_class = CLASS_AUTHORIZED, .accept = on_accept};
    list_init(&s->handler.node);
    int e = s->protocol == NULL ? -ENOMEM : host_handle(h, &s->handler);
    if (e < 0) {
        (void)mem_free(mem, s->protocol);
        (void)mem_free(mem, s);
        return e;
    }
    *ret_server = s;
    return 0;
}

struct ping_server *ping_server_free(struct ping_server *s) {
    if (s == NULL)
        return NULL;
    struct mem *mem = reactor_mem(s->reactor);

    host_unhandle(s->host, &s->handler);
    list_for_each_safe (node, &s->sessions) {
        struct session *ss = LIST_ENTRY(node, struct session, node);
        stream_reset(ss->exchange.stream, STREAM_CODE_SHUTDOWN);
        exchange_done(&ss->exchange);
        session_free(ss);
    }
    (void)mem_free(mem, s->protocol);
    return mem_free(mem, s);
}

/* --- Asking --- */

static void request_end(struct ping_request *q, const char *phase, nsec_t rtt, int error) {
    q->exchanging = false;
    q->done(q, &(struct ping_result){.rtt = rtt, .error = error, .phase = phase});
}

static void on_exchange_ended(struct ping_exchange *x, nsec_t rtt, int error) {
    /* A stream that is refused was opened lazily: it counts as not opened. */
    const char *phase = error == -ERR_PROTOCOL_NOT_SUPPORTED ? "stream" : "read";
    request_end(CONTAINER_OF(x, struct ping_request, exchange), phase, rtt, error);
}

static void on_opened(struct stream_request *r, struct stream *s, int error) {
    struct ping_request *q = CONTAINER_OF(r, struct ping_request, open);

    if (error < 0) {
        timer_done(&q->exchange.timer);
        request_end(q, "stream", 0, error);
        return;
    }
    q->exchanging = true;
    pingpong_init_opener(&q->exchange.engine, reactor_now(q->exchange.reactor));
    exchange_start(&q->exchange, s, on_exchange_ended);
}

int ping_request_start(struct ping_request *q, struct reactor *r, struct host *h,
                       const struct peer_id *peer, const char *protocol,
                       void (*done)(struct ping_request *q, const struct ping_result *result)) {
    *q = (struct ping_request){.done = done};
    q->exchange.reactor = r;
    int e = timer_init(&q->exchange.timer, r, on_timer);
    if (e < 0)
        return e;
    host_open_stream_with(h, &q->open, peer, protocol, HOST_REQUEST_LIMITED,
                          reactor_now(r) + PING_OPEN_TIMEOUT, on_opened);
    return 0;
}

void ping_request_cancel(struct ping_request *q) {
    if (q->exchanging) {
        q->exchanging = false;
        stream_reset(q->exchange.stream, STREAM_CODE_NONE);
        exchange_done(&q->exchange);
    } else if (q->open.base.pending) {
        stream_request_cancel(&q->open);
        timer_done(&q->exchange.timer);
    }
}

/* SPDX-License-Identifier: MIT */

/* libpeerup: streams to services of peers.  The program holds one end of a socket pair, a pump
 * joins the other end to the stream. */

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/conf/config.h"
#include "core/p2p/protocol_id.h"
#include "ctl/node.h"
#include "ctl/peerup_internal.h"
#include "relay/pump.h"
#include "relay/service.h"
#include "uring/socket_pair.h"

/* Held by the program and by the pump: the last one frees. */
struct peerup_stream {
    struct pump pump;
    struct pump_totals totals;
    struct stream_request request;
    struct list node;
    struct peerup *p;
    struct call *opening;
    int fd; /* the program's end */
    _Atomic int holders;
    _Atomic int error; /* why it broke, before the program's end can show it */
    char protocol[sizeof(PROTOCOL_SERVICE_PREFIX) + SERVICE_NAME_MAX +
                  sizeof(PROTOCOL_SERVICE_SUFFIX)];
};

static void drop(struct peerup_stream *s) {
    if (atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) == 1)
        (void)mem_free(mem_system(), s);
}

static void on_aborting(struct pump *pump, int error) {
    struct peerup_stream *s = CONTAINER_OF(pump, struct peerup_stream, pump);
    atomic_store_explicit(&s->error, error, memory_order_release);
}

static void on_pump_closed(struct pump *pump, int error) {
    struct peerup_stream *s = CONTAINER_OF(pump, struct peerup_stream, pump);
    (void)error;

    list_remove(&s->node);
    drop(s);
}

/* --- Opening --- */

struct connect_call {
    struct call call;
    const char *target;
    const char *service;
    nsec_t timeout;
    struct peerup_stream *stream; /* the result */
};

static const struct tcp_events no_events = {0}; /* until the pump sets its own */

static int join_to_socket(struct peerup_stream *s, struct stream *stream) {
    struct reactor *r = node_reactor(s->p->node);
    bool nonblocking = (s->p->flags & PEERUP_CALLERS_LOOP) != 0;
    int handle;

    int e = socket_pair_open(r, nonblocking, &handle, &s->fd);
    if (e < 0)
        return e;
    tcp_conn_init(&s->pump.tcp, r, &no_events, NULL);
    tcp_conn_adopt(&s->pump.tcp, handle);
    atomic_store(&s->holders, 2);
    list_push(&s->p->streams, &s->node);
    pump_start(&s->pump, stream, &s->totals, on_pump_closed);
    s->pump.aborting = on_aborting;
    if (s->pump.closing)
        on_aborting(&s->pump, s->pump.error); /* it broke while it was started */
    return 0;
}

static void on_opened(struct stream_request *r, struct stream *stream, int error) {
    struct peerup_stream *s = CONTAINER_OF(r, struct peerup_stream, request);
    struct call *opening = TAKE(s->opening);
    struct connect_call *x = CONTAINER_OF(opening, struct connect_call, call);

    if (error == 0) {
        error = join_to_socket(s, stream);
        if (error < 0) {
            stream_reset(stream, STREAM_CODE_RESOURCE_LIMIT);
            (void)stream_release(stream);
        }
    }
    if (error == 0)
        x->stream = s;
    else
        (void)mem_free(mem_system(), s);
    call_finish(opening, error);
}

static void start_connect(struct call *c) {
    struct connect_call *x = CONTAINER_OF(c, struct connect_call, call);
    struct peerup *p = c->p;
    struct peer_id peer;

    int e = peerup_find_peer(p, x->target, &peer);
    struct peerup_stream *s = e < 0 ? NULL : mem_alloc(mem_system(), sizeof(*s));
    if (s == NULL) {
        call_finish(c, e < 0 ? e : -ENOMEM);
        return;
    }
    s->p = p;
    s->opening = c;
    s->fd = -1;
    list_init(&s->node);
    (void)snprintf(s->protocol, sizeof(s->protocol), "%s%s%s", PROTOCOL_SERVICE_PREFIX, x->service,
                   PROTOCOL_SERVICE_SUFFIX);
    host_open_stream_with(node_host(p->node), &s->request, &peer, s->protocol, HOST_REQUEST_LIMITED,
                          reactor_now(node_reactor(p->node)) + x->timeout, on_opened);
}

int peerup_connect(struct peerup *p, const char *target, const char *service, int timeout_ms,
                   struct peerup_stream **ret_stream) {
    if (timeout_ms < 0 || config_service_name_check(service, NULL) < 0)
        return -EINVAL;
    struct connect_call x = {
        .target = target,
        .service = service,
        .timeout = MSEC(timeout_ms == 0 ? PEERUP_CONNECT_TIMEOUT_MS : timeout_ms),
    };
    int e = call_run(p, &x.call, start_connect);
    if (e == 0)
        *ret_stream = x.stream;
    return e;
}

void peerup_streams_abort(struct peerup *p) {
    list_for_each_safe (node, &p->streams) {
        struct peerup_stream *s = LIST_ENTRY(node, struct peerup_stream, node);
        pump_abort(&s->pump, -ERR_SHUTDOWN, STREAM_CODE_SHUTDOWN);
    }
}

/* --- Using, on any thread --- */

int peerup_stream_fd(const struct peerup_stream *s) {
    return s->fd;
}

static int broken(const struct peerup_stream *s) {
    int error = atomic_load_explicit(&s->error, memory_order_acquire);
    return error == -ECONNRESET ? -ERR_STREAM_RESET : error;
}

ssize_t peerup_stream_read(struct peerup_stream *s, void *out, size_t size) {
    ssize_t n = socket_pair_read(s->fd, out, size);
    if (n > 0 || n == -EAGAIN || size == 0)
        return n;
    int error = broken(s);
    if (error < 0)
        return error;
    return n == -ECONNRESET ? -ERR_STREAM_RESET : n;
}

ssize_t peerup_stream_write(struct peerup_stream *s, const void *data, size_t size) {
    ssize_t n = socket_pair_write(s->fd, data, size);
    if (n != -EPIPE && n != -ECONNRESET)
        return n;
    int error = broken(s);
    return error < 0 ? error : n;
}

int peerup_stream_shutdown_write(struct peerup_stream *s) {
    return socket_pair_shutdown_write(s->fd);
}

void peerup_stream_close(struct peerup_stream *s) {
    if (s == NULL)
        return;
    (void)close(s->fd);
    s->fd = -1;
    drop(s);
}

/* SPDX-License-Identifier: MIT */
#include "relay/autonat_v1_service.h"

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/p2p/protocol_id.h"
#include "relay/proto/autonat_v1_server.h"
#include "relay/stranger.h"
#include "relay/stream_frame.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "transport/stream.h"
#include "uring/reactor.h"

_Static_assert((int)AUTONAT_V1_DIALS_MAX <= (int)DIRECT_DIAL_ADDRS_MAX, "all are dialled");

struct autonat_v1_service {
    struct autonat_v1_service_config cfg;
    struct protocol_handler handler;
    struct autonat_v1_limits limits;
    struct list sessions;
    size_t sessions_count;
    struct autonat_v1_service_stats stats;
};

/* One request. */
struct session {
    struct autonat_v1_service *service;
    struct list node;
    struct peer_id peer;
    struct autonat_v1_admitted *place;
    struct stream *stream;
    struct stream_frame in;
    struct timer timer;
    bool is_asked; /* the request was read */
    struct stranger_dial dial;
    uint8_t memory[AUTONAT_V1_MESSAGE_MAX];
};

/* --- The end --- */

static void session_free(struct session *x) {
    struct autonat_v1_service *s = x->service;
    stranger_dial_cancel(&x->dial);
    autonat_v1_leave(x->place);
    stream_frame_done(&x->in);
    x->stream = stream_release(x->stream);
    timer_done(&x->timer);
    list_remove(&x->node);
    s->sessions_count--;
    (void)mem_free(reactor_mem(s->cfg.reactor), x);
}

static void fail(struct session *x, enum stream_code code) {
    x->service->stats.failed++;
    stream_reset(x->stream, code);
    session_free(x);
}

static void count(struct autonat_v1_service_stats *stats, enum autonat_v1_status status) {
    stats->reached += status == AUTONAT_V1_OK;
    stats->unreached += status == AUTONAT_V1_E_DIAL_ERROR;
    stats->refused += status != AUTONAT_V1_OK && status != AUTONAT_V1_E_DIAL_ERROR;
}

static void answer(struct session *x, enum autonat_v1_status status,
                   const struct multiaddr *reached) {
    uint8_t out[AUTONAT_V1_RESPONSE_MAX];
    char id[PEER_ID_SHORT_MAX];
    size_t len = autonat_v1_encode_response(status, reached, out);
    count(&x->service->stats, status);
    log_debug(x->service->cfg.log, L_RELAY, "autonat: request of v1 answered",
              kv_str("peer", peer_id_format_short(&x->peer, id)), kv_uint("status", status));
    /* A stream that has no room for so few bytes is as good as broken. */
    if (stream_write_bytes(x->stream, bytes_of(out, len)) == 0)
        stream_shutdown_write(x->stream);
    else
        stream_reset(x->stream, STREAM_CODE_NONE);
    session_free(x);
}

/* --- The dial --- */

static void on_dialled(struct stranger_dial *d, enum autonat_dial_status status) {
    struct session *x = CONTAINER_OF(d, struct session, dial);
    if (status == AUTONAT_DIAL_OK)
        answer(x, AUTONAT_V1_OK, &d->reached);
    else
        answer(x,
               status == AUTONAT_DIAL_E_DIAL ? AUTONAT_V1_E_DIAL_ERROR
                                             : AUTONAT_V1_E_INTERNAL_ERROR,
               NULL);
}

static void take_request(struct session *x) {
    struct autonat_v1_service *s = x->service;
    const struct conn *c = stream_conn(x->stream);
    struct autonat_v1_asker asker = {.peer = &x->peer,
                                     .observed = c->relayed ? NULL : &c->remote,
                                     .kinds = STRANGER_KINDS,
                                     .accept_private = s->cfg.accept_private};
    struct autonat_v1_task task;
    x->is_asked = true;
    if (autonat_v1_ask(&asker, frame_body(&x->in.frame), &task) < 0) {
        fail(x, STREAM_CODE_PROTOCOL_VIOLATION);
        return;
    }
    struct stranger_dial_config cfg = {.peer = &x->peer,
                                       .addrs = task.addrs,
                                       .addrs_count = task.addrs_count,
                                       .timeout = AUTONAT_V1_DIAL_TIMEOUT};
    if (task.addrs_count == 0)
        answer(x, task.status, NULL);
    else if (stranger_dial(s->cfg.stranger, &x->dial, &cfg, on_dialled) < 0)
        answer(x, AUTONAT_V1_E_INTERNAL_ERROR, NULL);
}

/* --- The stream --- */

/* Behind its request a peer may end its side, or say what nobody reads. */
static void on_readable(struct stream *s) {
    struct session *x = stream_user(s);
    int e = x->is_asked ? 0 : stream_frame_read(&x->in, s);
    if (e == 1)
        take_request(x);
    else if (e < 0)
        fail(x, e == -ERR_LIMIT || e == -ERR_MALFORMED ? STREAM_CODE_PROTOCOL_VIOLATION
                                                       : STREAM_CODE_NONE);
}

static void on_reset(struct stream *s, uint64_t code) {
    (void)code;
    fail(stream_user(s), STREAM_CODE_NONE);
}

static void on_closed(struct stream *s, int error) {
    (void)error;
    fail(stream_user(s), STREAM_CODE_NONE);
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .stopped = on_reset, /* nobody waits for the answer */
    .reset = on_reset,
    .closed = on_closed,
};

static void on_timer(struct timer *t) {
    fail(CONTAINER_OF(t, struct session, timer), STREAM_CODE_NONE);
}

static struct session *session_new(struct autonat_v1_service *s, struct stream *stream) {
    struct mem *mem = reactor_mem(s->cfg.reactor);
    if (s->sessions_count == AUTONAT_V1_STREAMS_MAX)
        return NULL;
    struct session *x = mem_alloc(mem, sizeof(*x));
    if (x == NULL || timer_init(&x->timer, s->cfg.reactor, on_timer) < 0)
        return mem_free(mem, x);
    x->service = s;
    x->stream = stream;
    x->peer = *stream_peer(stream);
    stream_frame_init(&x->in, x->memory, sizeof(x->memory));
    list_init(&x->node);
    list_push(&s->sessions, &x->node);
    s->sessions_count++;
    return x;
}

static void on_accepted(struct protocol_handler *ph, struct stream *stream) {
    struct autonat_v1_service *s = CONTAINER_OF(ph, struct autonat_v1_service, handler);
    struct session *x = session_new(s, stream);
    if (x == NULL) {
        s->stats.refused++;
        stream_reset(stream, STREAM_CODE_RESOURCE_LIMIT);
        (void)stream_release(stream);
        return;
    }
    nsec_t now = reactor_now(s->cfg.reactor);
    stream_set_events(stream, &stream_events, x);
    timer_start(&x->timer, now + AUTONAT_V1_STREAM_TIMEOUT);
    x->place = autonat_v1_enter(&s->limits, &x->peer, now);
    if (x->place == NULL) /* who asks too often is answered at once */
        answer(x, AUTONAT_V1_E_DIAL_REFUSED, NULL);
}

/* --- Life --- */

int autonat_v1_service_new(const struct autonat_v1_service_config *cfg,
                           struct autonat_v1_service **ret_service) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct autonat_v1_service *s = mem_alloc(mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->cfg = *cfg;
    list_init(&s->sessions);
    s->handler = (struct protocol_handler){
        .protocol = PROTOCOL_AUTONAT_V1, .protocol_class = CLASS_AUTHORIZED, .accept = on_accepted};
    int e = host_handle(cfg->host, &s->handler);
    if (e < 0) {
        (void)mem_free(mem, s);
        return e;
    }
    *ret_service = s;
    return 0;
}

struct autonat_v1_service *autonat_v1_service_free(struct autonat_v1_service *s) {
    if (s == NULL)
        return NULL;
    host_unhandle(s->cfg.host, &s->handler);
    while (!list_is_empty(&s->sessions)) {
        struct session *x = LIST_ENTRY(s->sessions.next, struct session, node);
        stream_reset(x->stream, STREAM_CODE_SHUTDOWN);
        session_free(x);
    }
    return mem_free(reactor_mem(s->cfg.reactor), s);
}

const struct autonat_v1_service_stats *
autonat_v1_service_stats(const struct autonat_v1_service *s) {
    return &s->stats;
}

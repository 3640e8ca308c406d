/* SPDX-License-Identifier: MIT */
#include "relay/autonat_service.h"

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/p2p/protocol_id.h"
#include "relay/stranger.h"
#include "relay/stream_frame.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "transport/stream.h"
#include "uring/netwatch.h"
#include "uring/reactor.h"

struct autonat_service {
    struct autonat_service_config cfg;
    struct protocol_handler handler;
    struct autonat_limits limits;
    struct list sessions;
    size_t sessions_count;
    struct autonat_service_stats stats;
};

/* One request. */
struct session {
    struct autonat_service *service;
    struct list node;
    struct stream *stream;
    struct stream_frame in;
    struct autonat_server engine;
    struct timer timer;
    struct stranger_dial dial;
    bool is_dialled; /* an address was chosen for it */
    bool has_data;
    enum autonat_dial_status status; /* UNUSED: the dial has not ended */
    uint8_t memory[AUTONAT_MESSAGE_MAX];
};

static nsec_t now_of(const struct session *x) {
    return reactor_now(x->service->cfg.reactor);
}

/* --- The end --- */

static void session_free(struct session *x) {
    struct autonat_service *s = x->service;
    stranger_dial_cancel(&x->dial);
    autonat_server_done(&x->engine);
    stream_frame_done(&x->in);
    x->stream = stream_release(x->stream);
    timer_done(&x->timer);
    list_remove(&x->node);
    s->sessions_count--;
    (void)mem_free(reactor_mem(s->cfg.reactor), x);
}

static void count(struct session *x, int error) {
    struct autonat_service_stats *stats = &x->service->stats;
    if (error < 0 || x->status == AUTONAT_DIAL_E_DIAL_BACK)
        stats->failed++;
    else if (x->status == AUTONAT_DIAL_UNUSED)
        stats->refused++;
    else if (x->status == AUTONAT_DIAL_OK)
        stats->reached++;
    else
        stats->unreached++;
}

static void tell(struct session *x) {
    const struct autonat_service_config *cfg = &x->service->cfg;
    struct peer_id peer = x->engine.config.peer;
    struct multiaddr addr = x->engine.addr;
    struct autonat_served what = {.peer = &peer,
                                  .addr = x->is_dialled ? &addr : NULL,
                                  .is_reached = x->status == AUTONAT_DIAL_OK,
                                  .has_data = x->has_data};
    if (cfg->served != NULL)
        cfg->served(cfg->user, &what);
}

static void end(struct session *x, int error) {
    char id[PEER_ID_SHORT_MAX];
    count(x, error);
    if (error < 0) {
        bool is_fault = error != -ETIMEDOUT && error != -ERR_STREAM_RESET;
        log_debug(x->service->cfg.log, L_RELAY, "autonat: request failed",
                  kv_str("peer", peer_id_format_short(&x->engine.config.peer, id)), kv_err(error));
        stream_reset(x->stream, is_fault ? STREAM_CODE_PROTOCOL_VIOLATION : STREAM_CODE_NONE);
    } else {
        stream_shutdown_write(x->stream);
    }
    tell(x);
    session_free(x);
}

/* --- The engine --- */

static void on_dialled(struct stranger_dial *d, enum autonat_dial_status status);

static void start_dial(struct session *x, const struct autonat_server_event *ev) {
    struct stranger_dial_config cfg = {.peer = &x->engine.config.peer,
                                       .addrs = ev->addr,
                                       .addrs_count = 1,
                                       .timeout = AUTONAT_DIAL_TIMEOUT,
                                       .has_nonce = true,
                                       .nonce = ev->nonce};
    x->is_dialled = true;
    if (stranger_dial(x->service->cfg.stranger, &x->dial, &cfg, on_dialled) < 0) {
        x->status = AUTONAT_DIAL_E_DIAL_BACK;
        autonat_server_dialled(&x->engine, x->status, now_of(x));
    }
}

/* false: the session is over. */
static bool drive(struct session *x) {
    struct autonat_server_event ev;
    while (autonat_server_next_event(&x->engine, &ev)) {
        switch (ev.type) {
        case AUTONAT_SERVER_EV_SEND:
            /* A stream that has no room for so few bytes is as good as broken. */
            if (stream_write_bytes(x->stream, ev.message) < 0) {
                end(x, -ERR_STREAM_RESET);
                return false;
            }
            x->has_data = x->has_data || x->engine.state == AUTONAT_SERVER_DATA;
            break;
        case AUTONAT_SERVER_EV_DIAL:
            start_dial(x, &ev);
            break;
        case AUTONAT_SERVER_EV_END:
            end(x, ev.error);
            return false;
        }
    }
    timer_start(&x->timer, autonat_server_deadline(&x->engine));
    return true;
}

static void on_dialled(struct stranger_dial *d, enum autonat_dial_status status) {
    struct session *x = CONTAINER_OF(d, struct session, dial);
    x->status = status;
    autonat_server_dialled(&x->engine, status, now_of(x));
    (void)drive(x);
}

static void on_timer(struct timer *t) {
    struct session *x = CONTAINER_OF(t, struct session, timer);
    autonat_server_tick(&x->engine, now_of(x));
    (void)drive(x);
}

/* --- The stream --- */

/* Behind its request a peer may end its side: the answer follows. */
static void read_messages(struct session *x) {
    int e;
    while ((e = stream_frame_read(&x->in, x->stream)) == 1) {
        autonat_server_recv(&x->engine, frame_body(&x->in.frame), now_of(x));
        stream_frame_next(&x->in);
        if (!drive(x))
            return;
    }
    bool is_waiting =
        x->engine.state == AUTONAT_SERVER_PAUSE || x->engine.state == AUTONAT_SERVER_DIALLING;
    if (e < 0 && !(e == -ERR_TRUNCATED && is_waiting))
        end(x, e);
}

static void on_readable(struct stream *s) {
    read_messages(stream_user(s));
}

static void on_stopped(struct stream *s, uint64_t code) {
    (void)code; /* nobody waits for the answer */
    end(stream_user(s), -ERR_STREAM_RESET);
}

static void on_reset(struct stream *s, uint64_t code) {
    (void)code;
    end(stream_user(s), -ERR_STREAM_RESET);
}

static void on_closed(struct stream *s, int error) {
    (void)error;
    end(stream_user(s), -ERR_STREAM_RESET);
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .stopped = on_stopped,
    .reset = on_reset,
    .closed = on_closed,
};

static void observe(const struct conn *c, struct net_addr *ret_addr) {
    *ret_addr = (struct net_addr){.family = NET_NONE};
    if (!c->relayed && multiaddr_to_net_addr(&c->remote, ret_addr) < 0)
        *ret_addr = (struct net_addr){.family = NET_NONE};
}

/* A private IPv4 address may be translated, one of IPv6 leads nowhere. */
static unsigned lacking_families(const struct netwatch *w) {
    const struct netwatch_snapshot *s = w == NULL ? NULL : netwatch_snapshot(w);
    unsigned lacking = 1 << NET_IP4 | 1 << NET_IP6;
    if (s == NULL || !s->is_known)
        return 0;
    for (uint32_t i = 0; i < s->addrs_count; i++) {
        const struct net_addr *ip = &s->addrs[i].ip;
        if (ip->family == NET_IP4 || net_addr_is_public(ip))
            lacking &= ~(1u << ip->family);
    }
    return lacking;
}

static struct session *session_new(struct autonat_service *s, struct stream *stream) {
    struct mem *mem = reactor_mem(s->cfg.reactor);
    if (s->sessions_count == AUTONAT_SERVICE_STREAMS_MAX)
        return NULL;
    struct session *x = mem_alloc(mem, sizeof(*x));
    if (x == NULL || timer_init(&x->timer, s->cfg.reactor, on_timer) < 0)
        return mem_free(mem, x);
    struct autonat_server_config cfg = {.limits = &s->limits,
                                        .rng = reactor_rng(s->cfg.reactor),
                                        .peer = *stream_peer(stream),
                                        .kinds = STRANGER_KINDS,
                                        .lacking = lacking_families(s->cfg.netwatch),
                                        .accept_private = s->cfg.accept_private};
    observe(stream_conn(stream), &cfg.observed);
    x->service = s;
    x->stream = stream;
    stream_frame_init(&x->in, x->memory, sizeof(x->memory));
    list_init(&x->node);
    list_push(&s->sessions, &x->node);
    s->sessions_count++;
    autonat_server_init(&x->engine, &cfg, now_of(x));
    return x;
}

static void on_accepted(struct protocol_handler *ph, struct stream *stream) {
    struct autonat_service *s = CONTAINER_OF(ph, struct autonat_service, handler);
    struct session *x = session_new(s, stream);
    if (x == NULL) {
        s->stats.refused++;
        stream_reset(stream, STREAM_CODE_RESOURCE_LIMIT);
        (void)stream_release(stream);
        return;
    }
    stream_set_events(stream, &stream_events, x);
    (void)drive(x); /* who asks too often is answered at once */
}

/* --- Life --- */

int autonat_service_new(const struct autonat_service_config *cfg,
                        struct autonat_service **ret_service) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct autonat_service *s = mem_alloc(mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->cfg = *cfg;
    list_init(&s->sessions);
    s->handler = (struct protocol_handler){.protocol = PROTOCOL_AUTONAT_REQUEST,
                                           .protocol_class = CLASS_AUTHORIZED,
                                           .accept = on_accepted};
    int e = host_handle(cfg->host, &s->handler);
    if (e < 0) {
        (void)mem_free(mem, s);
        return e;
    }
    *ret_service = s;
    return 0;
}

struct autonat_service *autonat_service_free(struct autonat_service *s) {
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

const struct autonat_service_stats *autonat_service_stats(const struct autonat_service *s) {
    return &s->stats;
}

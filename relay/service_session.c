/* SPDX-License-Identifier: MIT */
#include "relay/service_session.h"

#include <stdio.h>
#include <strings.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "relay/relay_limit.h"
#include "transport/conn.h"
#include "transport/stream.h"
#include "uring/reactor.h"
#include "uring/resolver.h"

/* RESOLVING -> CONNECTING (once an address) -> PUMPING -> freed; from each of them -> freed */
enum session_state { SESSION_RESOLVING, SESSION_CONNECTING, SESSION_PUMPING };

struct session {
    struct pump pump; /* its tcp from the first connect on */
    struct service_target *target;
    struct stream *stream; /* until the pump has it */
    struct list node;
    nsec_t began_at;
    struct timer timeout;
    struct resolve_request lookup;
    struct net_addr addrs[RESOLVE_ADDRS_MAX];
    uint32_t addrs_count;
    uint32_t addrs_next;
    int error;
    bool stream_over;
    bool giving_up; /* nothing more is tried once TCP is closed */
    enum session_state state;
};

static struct session *session_of(struct tcp_conn *c) {
    return CONTAINER_OF(c, struct session, pump.tcp);
}

static void session_free(struct session *ss) {
    struct service_target *t = ss->target;

    timer_done(&ss->timeout);
    list_remove(&ss->node);
    assert(t->active > 0);
    t->active--;
    (void)mem_free(reactor_mem(t->reactor), ss);
    t->ended(t);
}

/* --- The stream without TCP --- */

static void log_failed(struct session *ss) {
    struct service_target *t = ss->target;

    if (log_allow(&t->failed_log, reactor_now(t->reactor)))
        log_error(t->log, L_PROXY, "failed to connect to local service",
                  kv_str("service", t->service), kv_str("host", t->host), kv_uint("port", t->port),
                  kv_err(ss->error));
}

/* No TCP connection is open and none will be. */
static void session_refuse(struct session *ss) {
    if (!ss->stream_over) {
        if (ss->error != -ERR_SHUTDOWN) {
            ss->target->failed++;
            log_failed(ss);
        }
        stream_reset(ss->stream,
                     ss->error == -ERR_SHUTDOWN ? STREAM_CODE_SHUTDOWN : STREAM_CODE_NONE);
    }
    ss->stream = stream_release(ss->stream);
    session_free(ss);
}

static void session_give_up(struct session *ss, int error) {
    if (ss->giving_up)
        return;
    ss->giving_up = true;
    ss->error = error;
    switch (ss->state) {
    case SESSION_RESOLVING:
        resolve_cancel(&ss->lookup);
        session_refuse(ss);
        break;
    case SESSION_CONNECTING:
        tcp_close(&ss->pump.tcp); /* goes on in on_tcp_closed() */
        break;
    case SESSION_PUMPING:
        pump_abort(&ss->pump, error, STREAM_CODE_SHUTDOWN);
        break;
    }
}

static void on_stream_event(struct stream *s) {
    /* What arrives before TCP is there waits in the stream; pump_start() looks for it. */
    (void)s;
}

static void on_stream_stopped(struct stream *s, uint64_t code) {
    (void)s; /* told again by the first write */
    (void)code;
}

static void on_stream_reset(struct stream *s, uint64_t code) {
    struct session *ss = stream_user(s);
    (void)code;

    ss->stream_over = true;
    stream_reset(s, STREAM_CODE_NONE);
    session_give_up(ss, -ERR_STREAM_RESET);
}

static void on_stream_closed(struct stream *s, int error) {
    struct session *ss = stream_user(s);

    ss->stream_over = true;
    session_give_up(ss, error);
}

static const struct stream_events stream_events = {
    .readable = on_stream_event,
    .writable = on_stream_event,
    .stopped = on_stream_stopped,
    .reset = on_stream_reset,
    .closed = on_stream_closed,
};

/* --- Connecting --- */

static void on_pump_closed(struct pump *p, int error) {
    struct session *ss = CONTAINER_OF(p, struct session, pump);
    struct service_target *t = ss->target;

    log_debug(t->log, L_PROXY, "closed connection", kv_str("service", t->service), kv_err(error));
    metric_histogram_observe(&t->durations, t->buckets, reactor_now(t->reactor) - ss->began_at);
    session_free(ss);
}

static void on_pump_aborting(struct pump *p, int error) {
    struct service_target *t = CONTAINER_OF(p, struct session, pump)->target;
    char text[RELAY_LIMIT_TEXT_MAX];

    if (!relay_limit_is_met(error) || !log_allow(&t->failed_log, reactor_now(t->reactor)))
        return;
    const struct conn_limit *limit = &stream_conn(p->stream)->limit;
    log_warn(t->log, L_PROXY, "the relay ended a connection", kv_str("service", t->service),
             kv_str("limit", relay_limit_format(error, limit, text)), kv_err(error));
}

static void on_connected(struct tcp_conn *c, int error) {
    struct session *ss = session_of(c);

    if (error < 0) {
        ss->error = error;
        tcp_close(c); /* the next address follows in on_tcp_closed() */
        return;
    }
    timer_stop(&ss->timeout);
    ss->state = SESSION_PUMPING;
    ss->began_at = reactor_now(ss->target->reactor);
    ss->target->connections++;
    struct stream *s = TAKE(ss->stream);
    pump_start(&ss->pump, s, &ss->target->totals, on_pump_closed);
    ss->pump.aborting = on_pump_aborting;
}

static void connect_next(struct session *ss);

static void on_tcp_closed(struct tcp_conn *c) {
    struct session *ss = session_of(c);
    if (ss->giving_up)
        session_refuse(ss);
    else
        connect_next(ss);
}

/* Reading starts with the pump, so no other event can come. */
static const struct tcp_events tcp_events = {
    .connected = on_connected,
    .closed = on_tcp_closed,
};

static void connect_next(struct session *ss) {
    while (ss->addrs_next < ss->addrs_count) {
        struct sock_addr to = {.ip = ss->addrs[ss->addrs_next++]};
        to.ip.port = ss->target->port;
        tcp_conn_init(&ss->pump.tcp, ss->target->reactor, &tcp_events, NULL);
        ss->error = tcp_connect(&ss->pump.tcp, &to, NULL);
        if (ss->error == 0) {
            ss->state = SESSION_CONNECTING;
            return;
        }
    }
    session_refuse(ss);
}

static void on_resolved(struct resolve_request *r, int error) {
    struct session *ss = CONTAINER_OF(r, struct session, lookup);

    ss->error = error;
    if (error == 0) {
        memcpy(ss->addrs, r->addrs, r->count * sizeof(ss->addrs[0]));
        ss->addrs_count = r->count;
    }
    connect_next(ss);
}

static void on_timeout(struct timer *t) {
    session_give_up(CONTAINER_OF(t, struct session, timeout), -ETIMEDOUT);
}

static void session_begin(struct session *ss) {
    struct service_target *t = ss->target;

    ss->state = SESSION_RESOLVING;
    if (t->addrs_count > 0) {
        memcpy(ss->addrs, t->addrs, t->addrs_count * sizeof(ss->addrs[0]));
        ss->addrs_count = t->addrs_count;
        connect_next(ss);
        return;
    }
    ss->error = resolve_start(t->resolver, &ss->lookup, t->host, on_resolved);
    if (ss->error < 0)
        session_refuse(ss);
}

/* --- For service.c --- */

void service_target_init(struct service_target *t, const struct service_target *from,
                         const char *host) {
    *t = *from;
    t->failed_log = LOG_LIMIT_INIT(5, SEC(1));
    (void)snprintf(t->host, sizeof(t->host), "%s", host);
    if (net_addr_parse_ip(host, &t->addrs[0]) == 0) {
        t->addrs_count = 1;
    } else if (strcasecmp(host, "localhost") == 0) {
        t->addrs[0] = (struct net_addr){.family = NET_IP4, .ip = {127, 0, 0, 1}};
        t->addrs[1] = (struct net_addr){.family = NET_IP6, .ip = {[15] = 1}};
        t->addrs_count = 2;
    } else {
        t->addrs_count = 0;
    }
}

int service_session_start(struct service_target *t, struct list *sessions, struct stream *s) {
    struct session *ss = mem_alloc(reactor_mem(t->reactor), sizeof(*ss));
    if (ss == NULL)
        return -ENOMEM;
    int e = timer_init(&ss->timeout, t->reactor, on_timeout);
    if (e < 0) {
        (void)mem_free(reactor_mem(t->reactor), ss);
        return e;
    }
    ss->target = t;
    ss->stream = s;
    t->active++;
    list_init(&ss->node);
    list_push(sessions, &ss->node);
    stream_set_events(s, &stream_events, ss);
    timer_start(&ss->timeout, reactor_now(t->reactor) + SERVICE_CONNECT_TIMEOUT);
    session_begin(ss);
    return 0;
}

void service_sessions_abort(struct list *sessions) {
    list_for_each_safe (node, sessions) {
        struct session *ss = LIST_ENTRY(node, struct session, node);
        session_give_up(ss, -ERR_SHUTDOWN);
    }
}

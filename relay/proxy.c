/* SPDX-License-Identifier: MIT */
#include "relay/proxy.h"

#include <stdio.h>

#include "core/base/err.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/p2p/protocol_id.h"
#include "relay/pump.h"
#include "relay/relay_limit.h"
#include "relay/service.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "transport/stream.h"
#include "uring/reactor.h"
#include "uring/tcp.h"

/* How long a client at the limit waits when no stream of ours ends meanwhile: others may use up the
 * limit too. */
#define LIMIT_RETRY_AFTER SEC(1)

/* When the peer has let in a client that it had refused, how long until the next one tries: go's
 * refusal may come right behind its agreement. */
#define LIMIT_NEXT_AFTER MSEC(50)

/* A connection on which the peer was heard since then is taken for alive.  On others a client's
 * bytes wait for the peer's agreement, a round trip, so that they can go elsewhere. */
#define HEARD_WITHIN     SEC(1)
/* How long they wait, when the peer says nothing at all. */
#define AGREED_WITHIN    SEC(3)
/* It may have said something meanwhile, and be gone since. */
#define LOOK_AGAIN_AFTER SEC(1)

struct listener {
    struct tcp_listener tcp;
    struct proxy *proxy;
    bool is_open;
};

struct proxy {
    struct proxy_config cfg;
    struct mem *mem;
    struct listener listeners[PROXY_LISTEN_MAX];
    struct net_addr addr;
    struct list clients;
    struct list at_limit; /* those of them that wait for another stream's end, in turn */
    struct timer limit_retry;
    struct deferred close_check;
    struct pump_totals totals;
    struct log_limit failed_log;
    uint32_t active;
    uint64_t connections;
    uint64_t failed;
    void (*closed)(void *user);
    void *closed_user;
    bool limited; /* listeners rest; until no client waits in at_limit */
    bool closing;
    char protocol[sizeof(PROTOCOL_SERVICE_PREFIX) + SERVICE_NAME_MAX +
                  sizeof(PROTOCOL_SERVICE_SUFFIX)];
    char service[SERVICE_NAME_MAX + 1];
};

/* OPENING <-> WAITING (for the next attempt) and LIMITED; OPENING -> PUMPING; PUMPING -> LIMITED
 * when the peer refuses the stream, -> OPENING when its connection turns out to be dead;
 * all -> CLOSING */
enum client_state {
    CLIENT_OPENING,
    CLIENT_WAITING,
    CLIENT_LIMITED,
    CLIENT_PUMPING,
    CLIENT_CLOSING,
};

struct client {
    struct pump pump;
    struct proxy *proxy;
    struct list node;
    struct list limit_node;
    struct stream_request request;
    struct timer retry; /* runs in WAITING, and in PUMPING while the pump waits for the peer */
    nsec_t refused_at;  /* by the peer, for the first time; 0: never */
    uint32_t attempts;
    enum client_state state;
    bool is_started; /* its pump */
};

static struct client *client_of(struct tcp_conn *c) {
    return CONTAINER_OF(c, struct client, pump.tcp);
}

/* --- The limit of streams --- */

static void listeners_pause(struct proxy *p, bool pause) {
    for (uint32_t i = 0; i < p->cfg.listen_count; i++) {
        struct listener *l = &p->listeners[i];
        if (!l->is_open)
            continue;
        if (pause)
            tcp_listener_pause(&l->tcp);
        else
            tcp_listener_resume(&l->tcp);
    }
}

static void client_open(struct client *cl);

static void limit_reached(struct client *cl) {
    struct proxy *p = cl->proxy;

    timer_stop(&cl->retry);
    cl->state = CLIENT_LIMITED;
    if (!p->limited) {
        p->limited = true;
        log_warn(p->cfg.log, L_PROXY, "limit of streams to the peer reached: clients wait",
                 kv_str("service", p->service), kv_uint("active", p->active));
        listeners_pause(p, true);
    }
    list_push(&p->at_limit, &cl->limit_node);
    timer_start(&p->limit_retry, reactor_now(p->cfg.reactor) + LIMIT_RETRY_AFTER);
}

/* A stream has ended, or time has passed: the oldest tries again.  When it gets one, so does the
 * next. */
static void limit_try_next(struct proxy *p) {
    struct list *node = list_shift(&p->at_limit);
    if (node == NULL || p->closing)
        return;
    client_open(LIST_ENTRY(node, struct client, limit_node));
}

static void limit_passed(struct proxy *p) {
    if (!p->limited)
        return;
    if (list_is_empty(&p->at_limit)) {
        p->limited = false;
        timer_stop(&p->limit_retry);
        listeners_pause(p, false);
    } else {
        limit_try_next(p);
    }
}

static void on_limit_retry(struct timer *t) {
    limit_passed(CONTAINER_OF(t, struct proxy, limit_retry));
}

/* --- One client --- */

static void on_tcp_failed(struct tcp_conn *c, int error);
static void on_tcp_closed(struct tcp_conn *c);

/* Without a stream nothing is read or written; a client that was refused may leave. */
static const struct tcp_events client_tcp_events = {.failed = on_tcp_failed,
                                                    .closed = on_tcp_closed};

static void client_free(struct client *cl) {
    struct proxy *p = cl->proxy;

    pump_forget(&cl->pump);
    timer_done(&cl->retry);
    list_remove(&cl->limit_node);
    list_remove(&cl->node);
    assert(p->active > 0);
    p->active--;
    (void)mem_free(p->mem, cl);
    if (p->closing)
        reactor_defer(p->cfg.reactor, &p->close_check);
    else
        limit_passed(p);
}

static void on_pump_closed(struct pump *pump, int error) {
    struct client *cl = CONTAINER_OF(pump, struct client, pump);
    struct proxy *p = cl->proxy;

    if (error == -ERR_PROTOCOL_NOT_SUPPORTED || error == -ERR_GATED) {
        p->failed++;
        if (p->cfg.refused != NULL)
            p->cfg.refused(p->cfg.user, error);
    }
    log_debug(p->cfg.log, L_PROXY, "closed connection", kv_str("service", p->service),
              kv_err(error));
    client_free(cl);
}

static void on_pump_aborting(struct pump *pump, int error) {
    struct proxy *p = CONTAINER_OF(pump, struct client, pump)->proxy;
    char text[RELAY_LIMIT_TEXT_MAX];

    if (!relay_limit_is_met(error))
        return;
    const struct conn_limit *limit = &stream_conn(pump->stream)->limit;
    if (log_allow(&p->failed_log, reactor_now(p->cfg.reactor)))
        log_warn(p->cfg.log, L_PROXY, "the relay ended a connection", kv_str("service", p->service),
                 kv_str("limit", relay_limit_format(error, limit, text)), kv_err(error));
    if (p->cfg.limit_met != NULL)
        p->cfg.limit_met(p->cfg.user, error, limit);
}

static void client_refuse(struct client *cl, int error) {
    struct proxy *p = cl->proxy;

    timer_stop(&cl->retry);
    if (log_allow(&p->failed_log, reactor_now(p->cfg.reactor)))
        log_warn(p->cfg.log, L_PROXY, "connection attempt failed", kv_str("service", p->service),
                 kv_uint("attempt", cl->attempts), kv_err(error));
    p->failed++;
    if (p->cfg.refused != NULL)
        p->cfg.refused(p->cfg.user, error);
    cl->state = CLIENT_CLOSING;
    tcp_reset(&cl->pump.tcp);
}

static bool may_pass_by_itself(int error) {
    return error == -ETIMEDOUT || error == -ECONNREFUSED || error == -ENETUNREACH ||
           error == -EHOSTUNREACH || error == -ERR_HANDSHAKE || error == -ERR_CONN_CLOSED ||
           error == -ERR_NO_RESERVATION;
}

static void client_failed(struct client *cl, int error) {
    struct proxy *p = cl->proxy;

    if (!may_pass_by_itself(error) || cl->attempts >= PROXY_ATTEMPTS_MAX) {
        client_refuse(cl, error);
        return;
    }
    cl->state = CLIENT_WAITING;
    timer_start(&cl->retry, reactor_now(p->cfg.reactor) + (SEC(1) << (cl->attempts - 1)));
}

static bool may_try_again(struct client *cl) {
    struct proxy *p = cl->proxy;
    nsec_t now = reactor_now(p->cfg.reactor);
    nsec_t timeout =
        p->cfg.refused_timeout > 0 ? p->cfg.refused_timeout : (nsec_t)PROXY_REFUSED_TIMEOUT;

    if (cl->refused_at == 0)
        cl->refused_at = now;
    return now - cl->refused_at < timeout;
}

static void on_pump_refused(struct pump *pump) {
    struct client *cl = CONTAINER_OF(pump, struct client, pump);

    pump->tcp.events = &client_tcp_events;
    if (may_try_again(cl)) {
        cl->attempts = 0; /* the peer is there */
        limit_reached(cl);
    } else {
        client_refuse(cl, -ERR_RESOURCE_LIMIT);
    }
}

static void on_pump_agreed(struct pump *pump) {
    struct client *cl = CONTAINER_OF(pump, struct client, pump);
    struct proxy *p = cl->proxy;

    timer_stop(&cl->retry);
    if (cl->refused_at == 0 || !p->limited)
        return;
    timer_start(&p->limit_retry, reactor_now(p->cfg.reactor) + LIMIT_NEXT_AFTER);
}

static void on_pump_lost(struct pump *pump, int error) {
    struct client *cl = CONTAINER_OF(pump, struct client, pump);

    pump->tcp.events = &client_tcp_events;
    if (cl->attempts < PROXY_ATTEMPTS_MAX)
        client_open(cl);
    else
        client_refuse(cl, error);
}

static void client_pump(struct client *cl, struct stream *s) {
    struct proxy *p = cl->proxy;
    bool waits = stream_is_silent(s, HEARD_WITHIN);

    if (waits)
        timer_start(&cl->retry, reactor_now(p->cfg.reactor) + AGREED_WITHIN);
    if (cl->is_started) {
        if (waits)
            pump_wait_for_peer(&cl->pump, AGREED_WITHIN, on_pump_lost);
        pump_restart(&cl->pump, s);
        return;
    }
    cl->is_started = true;
    p->connections++;
    pump_start_refusable(&cl->pump, s, &p->totals, on_pump_closed, on_pump_refused, on_pump_agreed);
    cl->pump.aborting = on_pump_aborting;
    if (waits)
        pump_wait_for_peer(&cl->pump, AGREED_WITHIN, on_pump_lost);
}

static void on_opened(struct stream_request *r, struct stream *s, int error) {
    struct client *cl = CONTAINER_OF(r, struct client, request);
    struct proxy *p = cl->proxy;

    if (error == -ERR_RESOURCE_LIMIT) {
        cl->attempts--; /* no failure: there was nothing to try */
        limit_reached(cl);
        return;
    }
    if (error < 0) {
        client_failed(cl, error);
        limit_passed(p);
        return;
    }
    cl->state = CLIENT_PUMPING;
    client_pump(cl, s);
    if (cl->refused_at == 0) /* else it is for the peer to say whether the limit has passed */
        limit_passed(p);
}

static void client_open(struct client *cl) {
    struct proxy *p = cl->proxy;

    assert(!list_is_linked(&cl->limit_node));
    timer_stop(&cl->retry);
    cl->state = CLIENT_OPENING;
    cl->attempts++;
    host_open_stream_with(p->cfg.host, &cl->request, &p->cfg.peer, p->protocol,
                          HOST_REQUEST_BULK | HOST_REQUEST_LIMITED,
                          reactor_now(p->cfg.reactor) + PROXY_OPEN_TIMEOUT, on_opened);
}

/* With the last attempt the client stays. */
static void client_try_elsewhere(struct client *cl) {
    struct proxy *p = cl->proxy;

    if (!pump_is_waiting(&cl->pump) || cl->attempts >= PROXY_ATTEMPTS_MAX)
        return;
    if (!stream_is_silent(cl->pump.stream, AGREED_WITHIN)) {
        timer_start(&cl->retry, reactor_now(p->cfg.reactor) + LOOK_AGAIN_AFTER);
        return;
    }
    host_doubt(p->cfg.host, cl->pump.stream);
    pump_take_back(&cl->pump);
    cl->pump.tcp.events = &client_tcp_events;
    client_open(cl);
}

static void on_retry(struct timer *t) {
    struct client *cl = CONTAINER_OF(t, struct client, retry);

    if (cl->state == CLIENT_PUMPING) {
        client_try_elsewhere(cl);
    } else {
        assert(cl->state == CLIENT_WAITING);
        client_open(cl);
    }
}

static void client_abort(struct client *cl) {
    switch (cl->state) {
    case CLIENT_PUMPING:
        pump_abort(&cl->pump, -ERR_SHUTDOWN, STREAM_CODE_SHUTDOWN);
        break;
    case CLIENT_OPENING:
    case CLIENT_WAITING:
    case CLIENT_LIMITED:
        stream_request_cancel(&cl->request);
        timer_stop(&cl->retry);
        list_remove(&cl->limit_node);
        cl->state = CLIENT_CLOSING;
        tcp_reset(&cl->pump.tcp);
        break;
    case CLIENT_CLOSING:
        break;
    }
}

static void on_tcp_failed(struct tcp_conn *c, int error) {
    struct client *cl = client_of(c);

    log_debug(cl->proxy->cfg.log, L_PROXY, "client left", kv_str("service", cl->proxy->service),
              kv_err(error));
    client_abort(cl);
}

static void on_tcp_closed(struct tcp_conn *c) {
    client_free(client_of(c));
}

/* --- Listening --- */

static void on_accepted(struct tcp_listener *tcp, int fd, const struct sock_addr *remote) {
    struct proxy *p = CONTAINER_OF(tcp, struct listener, tcp)->proxy;
    (void)remote;

    struct client *cl = p->closing ? NULL : mem_alloc(p->mem, sizeof(*cl));
    if (cl == NULL || timer_init(&cl->retry, p->cfg.reactor, on_retry) < 0) {
        (void)mem_free(p->mem, cl);
        tcp_handle_close(p->cfg.reactor, fd, true);
        return;
    }
    cl->proxy = p;
    list_init(&cl->node);
    list_init(&cl->limit_node);
    list_push(&p->clients, &cl->node);
    p->active++;
    tcp_conn_init(&cl->pump.tcp, p->cfg.reactor, &client_tcp_events, NULL);
    tcp_conn_adopt(&cl->pump.tcp, fd);
    if (!p->limited)
        client_open(cl);
    else
        limit_reached(cl); /* it was on its way when the listeners were paused */
}

static void on_listener_closed(struct tcp_listener *tcp) {
    struct listener *l = CONTAINER_OF(tcp, struct listener, tcp);

    l->is_open = false;
    reactor_defer(l->proxy->cfg.reactor, &l->proxy->close_check);
}

static const struct tcp_listener_events listener_events = {
    .accepted = on_accepted,
    .closed = on_listener_closed,
};

void proxy_listen_localhost(uint16_t port, struct net_addr ret_addrs[2]) {
    ret_addrs[0] = (struct net_addr){.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = port};
    ret_addrs[1] = (struct net_addr){.family = NET_IP6, .ip = {[15] = 1}, .port = port};
}

static int listen_at(struct proxy *p, uint32_t i, const struct net_addr *at) {
    struct listener *l = &p->listeners[i];
    struct sock_addr local = {.ip = *at};

    if (local.ip.port == 0)
        local.ip.port = p->addr.port;
    l->proxy = p;
    int e = tcp_listen(&l->tcp, p->cfg.reactor, &local, &listener_events);
    if (e < 0)
        return e;
    l->is_open = true;
    if (i == 0) {
        p->addr = local.ip;
        if (tcp_listener_addr(&l->tcp, &local) == 0)
            p->addr = local.ip;
    }
    return 0;
}

static int listen_all(struct proxy *p, const struct net_addr *addrs, struct problem *problem) {
    char text[NET_ADDR_TEXT_MAX];

    for (uint32_t i = 0; i < p->cfg.listen_count; i++) {
        int e = listen_at(p, i, &addrs[i]);
        if (e == 0)
            continue;
        (void)net_addr_format(&addrs[i], text);
        if (i == 0)
            return problem_set(problem, e, "listen on %s: %s", text, err_text(e));
        log_warn(p->cfg.log, L_PROXY, "not listening there", kv_str("address", text), kv_err(e));
    }
    return 0;
}

/* --- All of it --- */

static bool is_anything_open(const struct proxy *p) {
    for (uint32_t i = 0; i < p->cfg.listen_count; i++)
        if (p->listeners[i].is_open)
            return true;
    return !list_is_empty(&p->clients);
}

static void check_closed(struct deferred *d) {
    struct proxy *p = CONTAINER_OF(d, struct proxy, close_check);
    if (!is_anything_open(p))
        p->closed(p->closed_user);
}

int proxy_open(const struct proxy_config *cfg, struct problem *ret_problem,
               struct proxy **ret_proxy) {
    if (strlen(cfg->service) > SERVICE_NAME_MAX || cfg->listen_count == 0 ||
        cfg->listen_count > PROXY_LISTEN_MAX)
        return problem_set(ret_problem, -EINVAL, "service name or listen addresses");

    struct mem *mem = reactor_mem(cfg->reactor);
    struct proxy *p = mem_alloc(mem, sizeof(*p));
    if (p == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s", err_text(ENOMEM));
    p->cfg = *cfg;
    p->cfg.service = p->service;
    p->cfg.listen = NULL;
    p->mem = mem;
    list_init(&p->clients);
    list_init(&p->at_limit);
    deferred_init(&p->close_check, check_closed);
    p->failed_log = LOG_LIMIT_INIT(5, SEC(1));
    (void)snprintf(p->service, sizeof(p->service), "%s", cfg->service);
    (void)snprintf(p->protocol, sizeof(p->protocol), "%s%s%s", PROTOCOL_SERVICE_PREFIX, p->service,
                   PROTOCOL_SERVICE_SUFFIX);
    int e = timer_init(&p->limit_retry, cfg->reactor, on_limit_retry);
    if (e < 0) {
        (void)mem_free(mem, p);
        return problem_set(ret_problem, e, "%s", err_text(e));
    }
    e = listen_all(p, cfg->listen, ret_problem);
    if (e < 0) {
        (void)proxy_free(p);
        return e;
    }
    *ret_proxy = p;
    return 0;
}

void proxy_close(struct proxy *p, void (*closed)(void *user), void *user) {
    assert(!p->closing);
    p->closing = true;
    p->closed = closed;
    p->closed_user = user;
    timer_stop(&p->limit_retry);
    for (uint32_t i = 0; i < p->cfg.listen_count; i++)
        if (p->listeners[i].is_open)
            tcp_listener_close(&p->listeners[i].tcp);
    list_for_each (node, &p->clients)
        client_abort(LIST_ENTRY(node, struct client, node));
    reactor_defer(p->cfg.reactor, &p->close_check);
}

struct proxy *proxy_free(struct proxy *p) {
    if (p == NULL)
        return NULL;
    assert(!is_anything_open(p));
    timer_done(&p->limit_retry);
    deferred_cancel(&p->close_check);
    return mem_free(p->mem, p);
}

const struct net_addr *proxy_addr(const struct proxy *p) {
    return &p->addr;
}

const char *proxy_service(const struct proxy *p) {
    return p->service;
}

const struct peer_id *proxy_peer(const struct proxy *p) {
    return &p->cfg.peer;
}

void proxy_stats(const struct proxy *p, struct proxy_stats *ret_stats) {
    *ret_stats = (struct proxy_stats){
        .active = p->active,
        .connections = p->connections,
        .failed = p->failed,
        .rx_bytes = p->totals.rx_bytes,
        .tx_bytes = p->totals.tx_bytes,
    };
}

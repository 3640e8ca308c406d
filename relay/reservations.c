/* SPDX-License-Identifier: MIT */
#include "relay/reservations.h"

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/p2p/protocol_id.h"
#include "relay/circuit_transport.h"
#include "relay/proto/circuit_msg.h"
#include "relay/proto/reserver.h"
#include "relay/stream_frame.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "transport/stream.h"
#include "uring/reactor.h"

struct reservations {
    struct reservations_config cfg;
    struct mem *mem;
    struct keeper *keepers[RESERVATIONS_MAX];
    size_t keepers_count;
    struct host_watch watch;
    struct addr_source source;
};

/* One relay. */
struct keeper {
    struct reservations *all;
    struct reserver engine;
    struct timer timer;
    struct deferred work;
    bool opening; /* the request is the host's */
    struct stream_request request;
    struct stream *stream; /* on which the answer is awaited */
    struct stream_frame in;
    uint8_t memory[CIRCUIT_MSG_MAX];
    struct reservation_grant last;
    int error;                /* of the last attempt */
    uint32_t status;          /* which the relay gave as the reason */
    struct multiaddr reached; /* the relay, on the connection of the last answer */
    struct multiaddr addrs[CIRCUIT_RELAY_ADDRS_MAX];
    size_t addrs_count;
    struct log_limit failure_log;
};

static nsec_t now_of(const struct keeper *k) {
    return reactor_now(k->all->cfg.reactor);
}

static void wake(struct keeper *k) {
    reactor_defer(k->all->cfg.reactor, &k->work);
}

/* --- One exchange --- */

static void drop_exchange(struct keeper *k) {
    if (k->opening)
        stream_request_cancel(&k->request);
    k->opening = false;
    stream_frame_done(&k->in);
    k->stream = stream_release(k->stream);
}

/* `status`: of the relay's answer, 0 without one. */
static void note_failure(struct keeper *k, int error, uint32_t status, const char *why) {
    char id[PEER_ID_SHORT_MAX];
    k->error = error;
    k->status = status;
    if (log_allow(&k->failure_log, now_of(k)))
        log_warn(k->all->cfg.log, L_RELAY, "no reservation on the relay",
                 kv_str("relay", peer_id_format_short(&k->engine.cfg.relay, id)), kv_err(error),
                 kv_str("why", why));
}

static void exchange_failed(struct keeper *k, enum reserver_failure failure, int error,
                            const char *why) {
    note_failure(k, error, 0, why);
    drop_exchange(k);
    reserver_failed(&k->engine, failure, now_of(k));
    wake(k);
}

static void note_grant(struct keeper *k, const struct hop_msg *m) {
    k->error = 0;
    k->status = 0;
    k->last = (struct reservation_grant){.at = now_of(k),
                                         .expire = m->reservation.expire,
                                         .has_voucher = m->reservation.voucher.len > 0,
                                         .has_limit = m->has_limit,
                                         .limit = m->limit};
}

static void take_answer(struct keeper *k) {
    struct hop_msg m;
    int e = hop_msg_decode(frame_body(&k->in.frame), &m);
    if (e < 0) {
        exchange_failed(k, RESERVER_BROKEN, e, "the relay's answer makes no sense");
        return;
    }
    /* Of a connection that it opened, the port leads nowhere. */
    const struct conn *c = stream_conn(k->stream);
    k->reached = c->inbound ? (struct multiaddr){0} : c->remote;
    e = reserver_answer(&k->engine, &m, reactor_walltime(k->all->cfg.reactor), now_of(k));
    if (e == 0)
        note_grant(k, &m);
    else
        note_failure(k, e, m.status, m.has_status ? circuit_status_text(m.status) : "no status");
    stream_shutdown_write(k->stream);
    drop_exchange(k);
    wake(k);
}

static void on_readable(struct stream *s) {
    struct keeper *k = stream_user(s);
    int e = stream_frame_read(&k->in, s);
    if (e == 1)
        take_answer(k);
    else if (e < 0)
        exchange_failed(k, RESERVER_BROKEN, e, "the relay breaks off");
}

static void on_stopped(struct stream *s, uint64_t code) {
    (void)s; /* it may answer all the same */
    (void)code;
}

static void on_reset(struct stream *s, uint64_t code) {
    struct keeper *k = stream_user(s);
    if (code == STREAM_CODE_GATED)
        exchange_failed(k, RESERVER_DENIED, -ERR_GATED, "it does not let us use it");
    else
        exchange_failed(k, RESERVER_BROKEN, -ERR_STREAM_RESET, "it resets our stream");
}

static void on_closed(struct stream *s, int error) {
    error = error == 0 ? -ERR_TRUNCATED : error;
    exchange_failed(stream_user(s), error == -ERR_GATED ? RESERVER_DENIED : RESERVER_BROKEN, error,
                    error == -ERR_PROTOCOL_NOT_SUPPORTED ? "it is no relay"
                                                         : "the relay breaks off");
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .stopped = on_stopped,
    .reset = on_reset,
    .closed = on_closed,
};

static void on_opened(struct stream_request *r, struct stream *s, int error) {
    struct keeper *k = CONTAINER_OF(r, struct keeper, request);
    struct hop_msg m = {.type = HOP_RESERVE};
    uint8_t out[CIRCUIT_OUT_MAX];
    k->opening = false;
    if (error < 0) {
        exchange_failed(k, error == -ERR_GATED ? RESERVER_DENIED : RESERVER_UNREACHED, error,
                        r->base.problem.text);
        return;
    }
    reserver_reached(&k->engine, now_of(k));
    k->stream = s;
    stream_set_events(s, &stream_events, k);
    ssize_t n = hop_msg_encode(&m, out);
    assert(n > 0); /* two bytes */
    /* A new stream has room for them; a connection that has none is as good as broken. */
    int e = stream_write_bytes(s, bytes_of(out, (size_t)n));
    if (e < 0)
        exchange_failed(k, RESERVER_BROKEN, e, "the connection to the relay takes nothing");
    else
        wake(k);
}

static void ask(struct keeper *k) {
    assert(!k->opening && k->stream == NULL);
    stream_frame_init(&k->in, k->memory, sizeof(k->memory));
    k->opening = true;
    host_open_stream(k->all->cfg.host, &k->request, &k->engine.cfg.relay, PROTOCOL_CIRCUIT_HOP,
                     now_of(k) + RESERVER_REACH_TIMEOUT, on_opened);
}

/* --- What is announced --- */

static void add_addr(struct keeper *k, const struct multiaddr *a) {
    if (k->addrs_count < ARRAY_COUNT(k->addrs) && !multiaddr_is_in(a, k->addrs, k->addrs_count))
        k->addrs[k->addrs_count++] = *a;
}

/* The way on which we reached it is tried and good, at least from here. */
static void announce(struct keeper *k) {
    const struct reservations *all = k->all;
    size_t count;
    const struct multiaddr *told = reserver_addrs(&k->engine, &count);
    k->addrs_count = 0;
    if (reserver_is_held(&k->engine) && k->reached.len > 0)
        add_addr(k, &k->reached);
    for (size_t i = 0; i < count; i++)
        add_addr(k, &told[i]);
    circuit_transport_announce(all->cfg.circuit, &k->engine.cfg.relay, k->addrs, k->addrs_count);
}

/* --- The engine --- */

static void handle(struct keeper *k, enum reserver_event event, bool changed) {
    char id[PEER_ID_SHORT_MAX];
    (void)peer_id_format_short(&k->engine.cfg.relay, id);
    switch (event) {
    case RESERVER_EV_GIVE_UP:
        if (k->opening || k->stream != NULL)
            note_failure(k, -ETIMEDOUT, 0, "no answer");
        drop_exchange(k);
        break;
    case RESERVER_EV_LOST:
        log_warn(k->all->cfg.log, L_RELAY, "reservation on the relay lost", kv_str("relay", id));
        announce(k);
        break;
    case RESERVER_EV_HELD:
        if (changed)
            log_info(k->all->cfg.log, L_RELAY, "reservation on the relay", kv_str("relay", id));
        announce(k);
        break;
    case RESERVER_EV_ASK:
        ask(k);
        break;
    }
}

static void drain(struct keeper *k) {
    enum reserver_event event;
    bool changed = false;
    while (reserver_next_event(&k->engine, &event, &changed))
        handle(k, event, changed);
    nsec_t at = reserver_deadline(&k->engine);
    if (at == NSEC_NEVER)
        timer_stop(&k->timer);
    else
        timer_start(&k->timer, at);
}

static void on_work(struct deferred *d) {
    drain(CONTAINER_OF(d, struct keeper, work));
}

/* At once: an exchange that is given up must not have an outcome in this turn still. */
static void on_timer(struct timer *t) {
    struct keeper *k = CONTAINER_OF(t, struct keeper, timer);
    reserver_tick(&k->engine, now_of(k));
    drain(k);
}

/* --- The host --- */

static struct keeper *find(const struct reservations *r, const struct peer_id *relay) {
    for (size_t i = 0; i < r->keepers_count; i++) {
        if (peer_id_equal(&r->keepers[i]->engine.cfg.relay, relay))
            return r->keepers[i];
    }
    return NULL;
}

static void on_conn_opened(struct host_watch *w, struct conn *c) {
    struct reservations *r = CONTAINER_OF(w, struct reservations, watch);
    struct keeper *k = find(r, &c->peer);
    if (k == NULL || !r->cfg.reserves)
        return;
    reserver_conn_opened(&k->engine, now_of(k));
    wake(k);
}

static void on_conn_closed(struct host_watch *w, struct conn *c) {
    struct reservations *r = CONTAINER_OF(w, struct reservations, watch);
    struct keeper *k = find(r, &c->peer);
    if (k == NULL || host_conns_count(r->cfg.host, &c->peer) > 0)
        return;
    reserver_conn_closed(&k->engine, now_of(k));
    wake(k);
}

/* A relay is not looked for behind another one. */
static size_t find_addrs(struct addr_source *s, const struct peer_id *peer, struct multiaddr *out,
                         size_t max) {
    const struct reservations *r = CONTAINER_OF(s, const struct reservations, source);
    size_t count = 0;
    if (find(r, peer) != NULL)
        return 0;
    for (size_t i = 0; i < r->keepers_count && count < max; i++) {
        struct multiaddr *a = &out[count];
        *a = (struct multiaddr){0};
        count += multiaddr_add_peer(a, &r->keepers[i]->engine.cfg.relay) == 0 &&
                 multiaddr_add(a, MULTIADDR_P2P_CIRCUIT) == 0;
    }
    return count;
}

/* --- Life --- */

static struct keeper *keeper_free(struct keeper *k) {
    drop_exchange(k);
    deferred_cancel(&k->work);
    timer_done(&k->timer);
    return mem_free(k->all->mem, k);
}

static int keeper_new(struct reservations *r, const struct peer_id *relay) {
    struct keeper *k = mem_alloc(r->mem, sizeof(*k));
    struct reserver_config cfg = {.relay = *relay,
                                  .self = host_identity(r->cfg.host)->id,
                                  .rng = reactor_rng(r->cfg.reactor),
                                  .renew_interval = r->cfg.renew_interval};
    if (k == NULL || timer_init(&k->timer, r->cfg.reactor, on_timer) < 0) {
        (void)mem_free(r->mem, k);
        return -ENOMEM;
    }
    k->all = r;
    k->failure_log = LOG_LIMIT_INIT(3, SEC(60));
    deferred_init(&k->work, on_work);
    stream_frame_init(&k->in, k->memory, sizeof(k->memory));
    reserver_init(&k->engine, &cfg, now_of(k));
    r->keepers[r->keepers_count++] = k;
    return r->cfg.reserves ? circuit_transport_listen(r->cfg.circuit, relay) : 0;
}

static int add_relay(struct reservations *r, const struct multiaddr *a, struct problem *problem) {
    char text[MULTIADDR_TEXT_MAX];
    struct multiaddr addr;
    struct peer_id relay;
    if (multiaddr_split_peer(a, &addr, &relay) < 0 || multiaddr_is_relayed(a))
        return problem_set(problem, -EINVAL, "relay %s: /p2p/<peer ID> is missing at its end",
                           multiaddr_format(a, text));
    int e = 0;
    if (find(r, &relay) == NULL) {
        if (r->keepers_count == RESERVATIONS_MAX)
            return problem_set(problem, -EINVAL, "more than %d relays", RESERVATIONS_MAX);
        e = keeper_new(r, &relay);
    }
    if (e == 0)
        e = host_add_addr(r->cfg.host, &relay, &addr);
    return e < 0 ? problem_set(problem, e, "%s", err_text(e)) : 0;
}

int reservations_new(const struct reservations_config *cfg, struct problem *ret_problem,
                     struct reservations **ret_reservations) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct reservations *r = mem_alloc(mem, sizeof(*r));
    if (r == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s", err_text(ENOMEM));
    r->cfg = *cfg;
    r->cfg.relays = NULL;
    r->mem = mem;
    r->watch.opened = on_conn_opened;
    r->watch.closed = on_conn_closed;
    r->source.find = find_addrs;
    host_watch(cfg->host, &r->watch);
    host_add_source(cfg->host, &r->source);
    for (size_t i = 0; i < cfg->relays_count; i++) {
        int e = add_relay(r, &cfg->relays[i], ret_problem);
        if (e < 0) {
            (void)reservations_free(r);
            return e;
        }
    }
    for (size_t i = 0; i < r->keepers_count && cfg->reserves; i++) {
        reserver_start(&r->keepers[i]->engine, now_of(r->keepers[i]));
        wake(r->keepers[i]);
    }
    *ret_reservations = r;
    return 0;
}

struct reservations *reservations_free(struct reservations *r) {
    if (r == NULL)
        return NULL;
    host_unwatch(&r->watch);
    host_remove_source(&r->source);
    for (size_t i = 0; i < r->keepers_count; i++) {
        circuit_transport_unlisten(r->cfg.circuit, &r->keepers[i]->engine.cfg.relay);
        (void)keeper_free(r->keepers[i]);
    }
    return mem_free(r->mem, r);
}

void reservations_network_changed(struct reservations *r) {
    for (size_t i = 0; i < r->keepers_count; i++) {
        if (!r->cfg.reserves)
            continue;
        reserver_network_changed(&r->keepers[i]->engine, now_of(r->keepers[i]));
        drain(r->keepers[i]);
    }
}

void reservations_each(const struct reservations *r,
                       void (*each)(void *user, const struct reservation_info *info), void *user) {
    for (size_t i = 0; i < r->keepers_count; i++) {
        const struct keeper *k = r->keepers[i];
        struct reservation_info info = {.relay = k->engine.cfg.relay,
                                        .held = reserver_is_held(&k->engine),
                                        .last = k->last,
                                        .error = k->error,
                                        .status = k->status,
                                        .addrs = k->addrs,
                                        .addrs_count = k->addrs_count};
        info.told = reserver_addrs(&k->engine, &info.told_count);
        each(user, &info);
    }
}

/* SPDX-License-Identifier: MIT */
#include "relay/circuit_transport.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/p2p/protocol_id.h"
#include "relay/proto/circuit_msg.h"
#include "relay/stream_frame.h"
#include "transport/host.h"
#include "transport/proto/tls_cert.h"
#include "transport/proto/tls_context.h"
#include "transport/stream_link.h"
#include "transport/transport.h"
#include "transport/upgrade.h"
#include "uring/reactor.h"

/* A relay where we keep a reservation. */
struct circuit_relay {
    struct peer_id id;
    struct multiaddr addrs[CIRCUIT_RELAY_ADDRS_MAX];
    size_t addrs_count;
};

struct circuit_transport {
    struct transport base;
    struct reactor *reactor;
    struct host *host;
    struct tls_context *tls;
    struct upgrader upgrader;
    struct protocol_handler stop;
    struct circuit_relay relays[CIRCUIT_RELAYS_MAX];
    size_t relays_count;
    struct list pendings;
    uint32_t inbound_count; /* of the pendings */
    struct list conns;      /* struct conn.transport_node */
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
};

/* Outbound: OPENING -> ASKING -> UPGRADING -> freed
 * Inbound:             ASKED  -> UPGRADING -> freed
 * Spliced:                       UPGRADING -> freed */
enum pending_phase {
    PENDING_OPENING,   /* the hop stream */
    PENDING_ASKING,    /* CONNECT is being sent, or its answer awaited */
    PENDING_ASKED,     /* CONNECT is awaited, or the answer being sent */
    PENDING_UPGRADING, /* the stream is the upgrade's */
};

/* A circuit that is not a struct conn yet. */
struct pending {
    struct circuit_transport *transport;
    struct list node;
    enum pending_phase phase;
    struct dial *dial;          /* of an outbound circuit; else NULL */
    struct circuit_link *owner; /* of a spliced path; else NULL */
    bool inbound;
    struct peer_id expected; /* none: anybody */
    struct peer_id relay;
    struct multiaddr remote;
    bool limited;
    struct conn_limit limit;
    struct stream_request request;
    struct stream *stream;
    struct stream_frame in;
    struct timer timer; /* inbound */
    struct upgrade *upgrade;
    size_t out_len; /* of `out`, for which there was no room yet */
    uint8_t out[CIRCUIT_OUT_MAX];
    uint8_t memory[CIRCUIT_MSG_MAX];
};

static struct circuit_transport *of(struct transport *t) {
    return CONTAINER_OF(t, struct circuit_transport, base);
}

static void check_closed(struct circuit_transport *t) {
    if (!t->closing || t->closed == NULL || !list_is_empty(&t->pendings) ||
        !list_is_empty(&t->conns) || t->upgrader.closing_count > 0)
        return;
    void (*closed)(void *) = TAKE(t->closed);
    closed(t->closed_user);
}

/* --- One circuit --- */

static void on_timer(struct timer *timer);

static bool is_inbound_circuit(const struct pending *p) {
    return p->dial == NULL && p->owner == NULL;
}

/* Neither of them: an inbound circuit. */
static struct pending *pending_new(struct circuit_transport *t, struct dial *dial,
                                   struct circuit_link *owner) {
    struct pending *p = mem_alloc(reactor_mem(t->reactor), sizeof(*p));
    if (p == NULL || timer_init(&p->timer, t->reactor, on_timer) < 0) {
        (void)mem_free(reactor_mem(t->reactor), p);
        return NULL;
    }
    p->transport = t;
    p->dial = dial;
    p->owner = owner;
    p->inbound = dial == NULL;
    p->phase = dial != NULL ? PENDING_OPENING : PENDING_ASKED;
    if (dial != NULL)
        p->expected = dial->expected;
    list_init(&p->node);
    list_push(&t->pendings, &p->node);
    t->inbound_count += is_inbound_circuit(p);
    stream_frame_init(&p->in, p->memory, sizeof(p->memory));
    return p;
}

static void pending_free(struct pending *p) {
    struct circuit_transport *t = p->transport;
    stream_frame_done(&p->in);
    p->stream = stream_release(p->stream);
    timer_done(&p->timer);
    list_remove(&p->node);
    t->inbound_count -= is_inbound_circuit(p);
    (void)mem_free(reactor_mem(t->reactor), p);
    check_closed(t);
}

static void pending_cancel(struct pending *p) {
    if (p->phase == PENDING_OPENING)
        stream_request_cancel(&p->request);
    if (p->phase == PENDING_UPGRADING)
        upgrade_cancel(p->upgrade);
    pending_free(p);
}

/* Nobody hears of an inbound circuit that fails. */
static void pending_fail(struct pending *p, int error, const struct problem *why) {
    struct dial *dial = p->dial;
    struct circuit_link *owner = p->owner;
    if (p->stream != NULL)
        stream_reset(p->stream, STREAM_CODE_NONE);
    pending_free(p);
    if (dial != NULL)
        dial->done(dial, NULL, error, why);
    if (owner != NULL)
        owner->done(owner, NULL, error);
}

static void PRINTF(3, 4) fail(struct pending *p, int error, const char *format, ...) {
    struct problem why;
    va_list args;
    va_start(args, format);
    (void)problem_set_v(&why, error, format, args);
    va_end(args);
    pending_fail(p, error, &why);
}

static void on_timer(struct timer *timer) {
    fail(CONTAINER_OF(timer, struct pending, timer), -ETIMEDOUT, "the relay does not go on");
}

/* --- Upgrading --- */

/* The host has it, or does not want it. */
static int give_to_host(struct circuit_transport *t, struct conn *c) {
    if (!c->inbound)
        return host_add_conn(t->host, c);
    t->base.events->accepted(&t->base, c);
    return c->events == NULL ? -ERR_GATED : 0;
}

static void hand_over(struct pending *p, struct conn *c) {
    struct circuit_transport *t = p->transport;
    struct dial *dial = p->dial;
    struct circuit_link *owner = p->owner;
    c->relayed = true;
    c->spliced = owner != NULL;
    c->limited = p->limited;
    c->limit = p->limit;
    list_init(&c->transport_node);
    list_push(&t->conns, &c->transport_node);
    pending_free(p);
    if (dial != NULL) {
        dial->done(dial, c, 0, NULL);
        return;
    }
    int e = give_to_host(t, c);
    if (owner != NULL)
        owner->done(owner, e < 0 ? NULL : c, e);
}

static void on_upgraded(void *user, struct conn *c, int error, const struct problem *why) {
    struct pending *p = user;
    if (error == 0)
        hand_over(p, c);
    else
        pending_fail(p, error, why);
}

static void on_conn_gone(struct upgrader *u, struct conn *c) {
    struct circuit_transport *t = CONTAINER_OF(u, struct circuit_transport, upgrader);
    list_remove(&c->transport_node);
    check_closed(t);
}

static void on_upgrade_gone(struct upgrader *u) {
    check_closed(CONTAINER_OF(u, struct circuit_transport, upgrader));
}

/* The link is taken over. */
static int upgrade(struct pending *p, struct link *link, const struct multiaddr *local) {
    struct circuit_transport *t = p->transport;
    struct upgrade_config cfg = {
        .link = link,
        .expected = peer_id_is_none(&p->expected) ? NULL : &p->expected,
        .remote = &p->remote,
        .local = local,
        .initiator = !p->inbound,
        .inbound = p->inbound,
        .deadline = reactor_now(t->reactor) + UPGRADE_TIMEOUT,
        .done = on_upgraded,
        .user = p,
    };
    timer_stop(&p->timer);
    p->phase = PENDING_UPGRADING;
    return upgrade_start(&t->upgrader, &cfg, &p->upgrade);
}

/* The stream becomes the upgrade's. */
static void start_upgrade(struct pending *p) {
    struct link *link;
    int e = stream_link_new(p->transport->reactor, p->stream, &p->in.rest, &p->limit, &link);
    if (e == 0) {
        p->stream = NULL;
        e = upgrade(p, link, NULL);
    }
    if (e < 0)
        fail(p, e, "%s", err_text(e));
}

/* --- The messages --- */

/* Whether all of it is on its way. */
static int flush(struct pending *p) {
    if (p->out_len == 0)
        return 0;
    int e = stream_write_bytes(p->stream, bytes_of(p->out, p->out_len));
    if (e == 0)
        p->out_len = 0;
    return e;
}

static int error_of(uint32_t status) {
    switch (status) {
    case CIRCUIT_STATUS_NO_RESERVATION:
        return -ERR_NO_RESERVATION;
    case CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED:
        return -ERR_RESOURCE_LIMIT;
    case CIRCUIT_STATUS_PERMISSION_DENIED:
        return -ERR_RELAY_REFUSED;
    case CIRCUIT_STATUS_CONNECTION_FAILED:
        return -ECONNREFUSED;
    default:
        return -ERR_PROTOCOL_VIOLATION;
    }
}

static void note_limit(struct pending *p, bool is_there, const struct circuit_limit *limit) {
    p->limited = is_there;
    p->limit = (struct conn_limit){limit->duration_s, limit->data_bytes};
}

static void take_answer(struct pending *p) {
    struct hop_msg m;
    int e = hop_msg_decode(frame_body(&p->in.frame), &m);
    if (e < 0 || m.type != HOP_STATUS || !m.has_status) {
        fail(p, -ERR_PROTOCOL_VIOLATION, "the relay's answer makes no sense");
    } else if (m.status != CIRCUIT_STATUS_OK) {
        fail(p, error_of(m.status), "the relay answers: %s (%u)", circuit_status_text(m.status),
             m.status);
    } else {
        note_limit(p, m.has_limit, &m.limit);
        start_upgrade(p);
    }
}

static void answer(struct pending *p, enum circuit_status status) {
    struct stop_msg m = {.type = STOP_STATUS, .has_status = true, .status = status};
    p->out_len = stop_msg_encode(&m, p->out);
}

/* A refusal that does not reach the relay does no harm: it then sees a reset. */
static void refuse(struct pending *p, enum circuit_status status) {
    answer(p, status);
    (void)flush(p);
    stream_shutdown_write(p->stream);
    pending_free(p);
}

/* false: it was refused, and is gone. */
static bool take_question(struct pending *p) {
    struct stop_msg m;
    int e = stop_msg_decode(frame_body(&p->in.frame), &m);
    bool is_malformed = e < 0 || (m.type == STOP_CONNECT && !m.has_peer);
    if (is_malformed || m.type != STOP_CONNECT) {
        refuse(p,
               is_malformed ? CIRCUIT_STATUS_MALFORMED_MESSAGE : CIRCUIT_STATUS_UNEXPECTED_MESSAGE);
        return false;
    }
    note_limit(p, m.has_limit, &m.limit);
    answer(p, CIRCUIT_STATUS_OK);
    return true;
}

/* Reads the message, writes ours, and goes on when both are done.  `p` may be gone afterwards. */
static void step(struct pending *p) {
    bool was_whole = frame_is_whole(&p->in.frame);
    int e = stream_frame_read(&p->in, p->stream);
    if (e < 0) {
        fail(p, e, "the relay breaks off: %s", err_text(e));
        return;
    }
    if (e == 1 && p->phase == PENDING_ASKING) {
        take_answer(p);
        return;
    }
    if (e == 1 && !was_whole && !take_question(p))
        return;
    int written = flush(p);
    if (written < 0 && written != -EAGAIN)
        fail(p, written, "the relay breaks off: %s", err_text(written));
    else if (written == 0 && e == 1)
        start_upgrade(p);
}

/* --- The streams --- */

static void on_io(struct stream *s) {
    step(stream_user(s));
}

static void on_stopped(struct stream *s, uint64_t code) {
    (void)s; /* the relay may still answer: go half-closes so */
    (void)code;
}

static void on_reset(struct stream *s, uint64_t code) {
    struct pending *p = stream_user(s);
    if (code == STREAM_CODE_RESOURCE_LIMIT)
        fail(p, -ERR_RESOURCE_LIMIT, "the relay is at its limit of streams");
    else if (code == STREAM_CODE_GATED)
        fail(p, -ERR_GATED, "the relay does not let us use it: we are not authorized there");
    else
        fail(p, -ERR_STREAM_RESET, "the relay breaks off");
}

static void on_stream_closed(struct stream *s, int error) {
    struct pending *p = stream_user(s);
    if (error == -ERR_PROTOCOL_NOT_SUPPORTED)
        fail(p, error, "the peer does not relay");
    else
        fail(p, error == 0 ? -ERR_TRUNCATED : error, "the relay breaks off: %s",
             err_text(error == 0 ? -ERR_TRUNCATED : error));
}

static const struct stream_events stream_events = {
    .readable = on_io,
    .writable = on_io,
    .stopped = on_stopped,
    .reset = on_reset,
    .closed = on_stream_closed,
};

/* --- Dialling --- */

/* Splits <relay's address>/p2p/R/p2p-circuit; the address may be empty.  false: it is none, or
 * leads over two relays. */
static bool split(const struct multiaddr *to, struct multiaddr *ret_addr,
                  struct peer_id *ret_relay) {
    struct multiaddr front = {0};
    struct multiaddr_part part;
    struct bytes left = multiaddr_bytes(to);
    struct bytes before = left;
    while (multiaddr_next(&left, &part) && part.code != MULTIADDR_P2P_CIRCUIT)
        before = left;
    if (left.len > 0 || before.len == 0)
        return false;
    front.len = (uint16_t)(to->len - before.len);
    memcpy(front.bytes, to->bytes, front.len);
    return multiaddr_split_peer(&front, ret_addr, ret_relay) == 0;
}

static bool can_dial(const struct transport *base, const struct multiaddr *to) {
    struct circuit_transport *t = CONTAINER_OF(base, struct circuit_transport, base);
    struct multiaddr addr;
    struct peer_id relay;
    return split(to, &addr, &relay) && !peer_id_equal(&relay, &host_identity(t->host)->id);
}

static void on_hop_opened(struct stream_request *r, struct stream *s, int error) {
    struct pending *p = CONTAINER_OF(r, struct pending, request);
    if (p->dial->handle != p)
        return; /* from inside the call: dial() itself says so */
    if (error < 0) {
        fail(p, error, "the relay cannot be reached: %s", r->base.problem.text);
        return;
    }
    struct hop_msg m = {.type = HOP_CONNECT, .has_peer = true, .peer = p->dial->expected};
    p->phase = PENDING_ASKING;
    p->stream = s;
    stream_set_events(s, &stream_events, p);
    ssize_t n = hop_msg_encode(&m, p->out);
    assert(n > 0); /* no list of addresses in it */
    p->out_len = (size_t)n;
    int e = flush(p);
    if (e < 0 && e != -EAGAIN)
        fail(p, e, "the relay breaks off: %s", err_text(e));
}

static int dial(struct transport *base, struct dial *d) {
    struct circuit_transport *t = of(base);
    struct multiaddr addr;
    struct peer_id relay;
    if (t->closing)
        return -ERR_SHUTDOWN;
    if (d->responder || peer_id_is_none(&d->expected) || !split(&d->to, &addr, &relay))
        return -ERR_UNSUPPORTED;
    if (peer_id_equal(&relay, &d->expected))
        return -ERR_UNSUPPORTED; /* a way to the relay through itself */
    if (addr.len > 0) {
        int e = host_add_addr(t->host, &relay, &addr);
        if (e < 0)
            return e;
    }
    struct pending *p = pending_new(t, d, NULL);
    if (p == NULL)
        return -ENOMEM;
    p->relay = relay;
    p->remote = d->to;
    d->handle = NULL;
    host_open_stream_with(t->host, &p->request, &p->relay, PROTOCOL_CIRCUIT_HOP, 0,
                          reactor_now(t->reactor) + UPGRADE_TIMEOUT, on_hop_opened);
    if (!p->request.base.pending) {
        pending_free(p);
        return -ENOMEM;
    }
    d->handle = p;
    return 0;
}

static void cancel(struct transport *base, struct dial *d) {
    struct pending *p = d->handle;
    (void)base;
    assert(p->dial == d);
    if (p->stream != NULL)
        stream_reset(p->stream, STREAM_CODE_NONE);
    pending_cancel(p);
}

/* --- Being dialled --- */

static struct circuit_relay *find_relay(struct circuit_transport *t, const struct peer_id *id) {
    for (size_t i = 0; i < t->relays_count; i++) {
        if (peer_id_equal(&t->relays[i].id, id))
            return &t->relays[i];
    }
    return NULL;
}

static bool admits(struct protocol_handler *h, const struct conn *c) {
    struct circuit_transport *t = CONTAINER_OF(h, struct circuit_transport, stop);
    return !c->relayed && find_relay(t, &c->peer) != NULL;
}

/* <the relay's address>/p2p/R/p2p-circuit */
static int circuit_addr(const struct multiaddr *at, const struct peer_id *relay,
                        struct multiaddr *ret_addr) {
    *ret_addr = *at;
    int e = multiaddr_add_peer(ret_addr, relay);
    return e < 0 ? e : multiaddr_add(ret_addr, MULTIADDR_P2P_CIRCUIT);
}

static void on_stop_accepted(struct protocol_handler *h, struct stream *s) {
    struct circuit_transport *t = CONTAINER_OF(h, struct circuit_transport, stop);
    const struct conn *c = stream_conn(s);
    bool has_room = !t->closing && t->inbound_count < CIRCUIT_HALF_OPEN_MAX;
    struct pending *p = has_room ? pending_new(t, NULL, NULL) : NULL;
    if (p == NULL || circuit_addr(&c->remote, &c->peer, &p->remote) < 0) {
        stream_reset(s, STREAM_CODE_RESOURCE_LIMIT);
        (void)stream_release(s);
        if (p != NULL)
            pending_free(p);
        return;
    }
    p->relay = c->peer;
    p->stream = s;
    stream_set_events(s, &stream_events, p);
    timer_start(&p->timer, reactor_now(t->reactor) + UPGRADE_TIMEOUT);
    step(p);
}

/* --- Spliced paths --- */

bool circuit_relay_of(const struct multiaddr *addr, struct peer_id *ret_relay) {
    struct multiaddr at;
    return split(addr, &at, ret_relay);
}

int circuit_transport_upgrade(struct circuit_transport *t, struct circuit_link *l,
                              const struct circuit_link_config *cfg) {
    const struct conn *c = cfg->circuit;
    struct pending *p = t->closing ? NULL : pending_new(t, NULL, l);
    if (p == NULL) {
        upgrade_abandon(&t->upgrader, cfg->link);
        return t->closing ? -ERR_SHUTDOWN : -ENOMEM;
    }
    p->inbound = c->inbound;
    p->expected = c->peer;
    p->remote = *cfg->remote;
    p->limited = c->limited;
    p->limit = c->limit;
    int e = upgrade(p, cfg->link, cfg->local);
    if (e < 0) {
        pending_free(p);
        return e;
    }
    *l = (struct circuit_link){.transport = t, .handle = p, .done = cfg->done};
    return 0;
}

void circuit_link_cancel(struct circuit_link *l) {
    pending_cancel(l->handle);
}

/* --- Listening --- */

bool circuit_transport_is_listening(struct circuit_transport *t, const struct peer_id *relay) {
    return find_relay(t, relay) != NULL;
}

int circuit_transport_listen(struct circuit_transport *t, const struct peer_id *relay) {
    if (find_relay(t, relay) != NULL)
        return 0;
    if (t->relays_count == CIRCUIT_RELAYS_MAX)
        return -ERR_LIMIT;
    if (t->relays_count == 0) {
        int e = host_handle(t->host, &t->stop);
        if (e < 0)
            return e;
    }
    t->relays[t->relays_count++] = (struct circuit_relay){.id = *relay};
    return 0;
}

void circuit_transport_unlisten(struct circuit_transport *t, const struct peer_id *relay) {
    struct circuit_relay *r = find_relay(t, relay);
    if (r == NULL)
        return;
    bool was_announced = r->addrs_count > 0;
    *r = t->relays[--t->relays_count];
    if (t->relays_count == 0 && !t->closing)
        host_unhandle(t->host, &t->stop);
    if (was_announced)
        host_addrs_changed(t->host);
}

static bool are_announced(const struct circuit_relay *r, const struct multiaddr *addrs,
                          size_t count) {
    if (r->addrs_count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!multiaddr_equal(&r->addrs[i], &addrs[i]))
            return false;
    }
    return true;
}

void circuit_transport_announce(struct circuit_transport *t, const struct peer_id *relay,
                                const struct multiaddr *addrs, size_t count) {
    struct circuit_relay *r = find_relay(t, relay);
    assert(r != NULL);
    count = MIN(count, (size_t)CIRCUIT_RELAY_ADDRS_MAX);
    if (are_announced(r, addrs, count))
        return;
    for (size_t i = 0; i < count; i++)
        r->addrs[i] = addrs[i];
    r->addrs_count = count;
    if (!t->closing)
        host_addrs_changed(t->host);
}

/* Listening is a matter of reservations, not of addresses. */
static int listen_at(struct transport *base, const struct multiaddr *at, struct problem *problem) {
    (void)base;
    (void)at;
    return problem_set(problem, -ERR_UNSUPPORTED, "relays are listened on by reservations");
}

static size_t listen_addrs(const struct transport *base, struct multiaddr *out, size_t max) {
    const struct circuit_transport *t = CONTAINER_OF(base, const struct circuit_transport, base);
    size_t count = 0;
    for (size_t i = 0; i < t->relays_count; i++) {
        const struct circuit_relay *r = &t->relays[i];
        for (size_t k = 0; k < r->addrs_count; k++) {
            if (count < max && circuit_addr(&r->addrs[k], &r->id, &out[count]) < 0)
                continue;
            count++;
        }
    }
    return count;
}

/* --- Life --- */

static void close_all(struct transport *base, uint64_t code, void (*closed)(void *), void *user) {
    struct circuit_transport *t = of(base);
    assert(!t->closing);
    t->closing = true;
    if (t->relays_count > 0)
        host_unhandle(t->host, &t->stop);
    while (!list_is_empty(&t->pendings)) {
        struct pending *p = LIST_ENTRY(t->pendings.next, struct pending, node);
        struct dial *d = p->dial;
        struct circuit_link *owner = p->owner;
        if (p->stream != NULL)
            stream_reset(p->stream, STREAM_CODE_SHUTDOWN);
        pending_cancel(p);
        if (d != NULL)
            d->done(d, NULL, -ERR_SHUTDOWN, NULL);
        if (owner != NULL)
            owner->done(owner, NULL, -ERR_SHUTDOWN);
    }
    list_for_each_safe (node, &t->conns) {
        struct conn *c = LIST_ENTRY(node, struct conn, transport_node);
        c->ops->close(c, code);
    }
    t->closed = closed;
    t->closed_user = user;
    check_closed(t);
}

static void free_transport(struct transport *base) {
    struct circuit_transport *t = of(base);
    assert(list_is_empty(&t->pendings));
    assert(list_is_empty(&t->conns));
    t->tls = tls_context_free(t->tls);
    (void)mem_free(reactor_mem(t->reactor), t);
}

static const struct transport_ops transport_ops = {
    .name = "circuit",
    .can_dial = can_dial,
    .dial = dial,
    .cancel = cancel,
    .listen = listen_at,
    .listen_addrs = listen_addrs,
    .close = close_all,
    .free = free_transport,
};

static int make_tls(struct circuit_transport *t) {
    struct tls_cert cert;
    int e = tls_cert_make(host_identity(t->host), reactor_rng(t->reactor), &cert);
    if (e == 0)
        e = tls_context_new(reactor_mem(t->reactor), &cert, &t->tls);
    tls_cert_done(&cert);
    return e;
}

int circuit_transport_new(const struct circuit_transport_config *cfg,
                          struct circuit_transport **ret_transport) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct circuit_transport *t = mem_alloc(mem, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->base.ops = &transport_ops;
    t->reactor = cfg->reactor;
    t->host = cfg->host;
    list_init(&t->pendings);
    list_init(&t->conns);
    t->stop = (struct protocol_handler){.protocol = PROTOCOL_CIRCUIT_STOP,
                                        .protocol_class = CLASS_OWN,
                                        .admits = admits,
                                        .accept = on_stop_accepted};
    int e = make_tls(t);
    if (e < 0) {
        (void)mem_free(mem, t);
        return e;
    }
    t->upgrader = (struct upgrader){
        .reactor = cfg->reactor,
        .identity = host_identity(cfg->host),
        .tls = t->tls,
        .securities = cfg->securities != 0 ? cfg->securities : UPGRADE_TLS | UPGRADE_NOISE,
        .conn_gone = on_conn_gone,
        .upgrade_gone = on_upgrade_gone,
    };
    host_add_transport(cfg->host, &t->base);
    *ret_transport = t;
    return 0;
}

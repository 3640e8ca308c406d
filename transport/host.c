/* SPDX-License-Identifier: MIT */
#include "transport/host.h"

#include <stdio.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/host_internal.h"
#include "transport/proto/quic_conn.h"
#include "transport/proto/quic_packet.h"
#include "transport/proto/tls_cert.h"
#include "transport/quic_transport.h"
#include "transport/tcp_transport.h"
#include "transport/upgrade.h"

enum { REFUSALS_LOGGED_AT_ONCE = 20 }; /* then one a second */

/* --- The gate --- */

bool host_denies(const struct host *h, const struct peer_id *peer) {
    return h->gate != NULL && h->gate->denies(h->gate, peer, reactor_walltime(h->reactor));
}

static void decided(struct host *h, const struct peer_id *peer, bool inbound, bool allowed) {
    if (h->gate != NULL && h->gate->decided != NULL)
        h->gate->decided(h->gate, peer, inbound, allowed);
}

void host_gate_changed(struct host *h) {
    list_for_each (node, &h->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, host_node);
        bool was = hc->authorized;
        hc->authorized = !host_denies(h, &hc->conn->peer);
        if (was && !hc->authorized)
            hc->conn->ops->close(hc->conn, CONN_CODE_GATED);
        else if (!was && hc->authorized)
            hc->conn->ops->admit(hc->conn);
        hc->is_guest = hc->is_guest && !hc->authorized;
    }
    list_for_each_safe (node, &h->watches) {
        struct host_watch *w = LIST_ENTRY(node, struct host_watch, node);
        if (w->gate_changed != NULL)
            w->gate_changed(w);
    }
}

/* --- Connections --- */

static void on_confirmed(struct conn *c) {
    swarm_wake(host_conn_of(c)->peer);
}

static void on_stream_opened(struct conn *c, struct muxed *m) {
    struct host *h = host_conn_of(c)->peer->host;
    stream_new_inbound(h->reactor, c, m, &h->acceptor);
}

static void on_streams_available(struct conn *c) {
    struct host_conn *hc = host_conn_of(c);
    hc->full = false;
    swarm_wake(hc->peer);
}

static void on_datagram(struct conn *c, struct slice datagram) {
    (void)c; /* nobody registers for datagrams yet (TUN mode will) */
    slice_unref(&datagram);
}

static void on_conn_closed(struct conn *c, int error, const struct problem *why) {
    struct host_conn *hc = host_conn_of(c);
    struct host *h = hc->peer->host;
    char id[PEER_ID_SHORT_MAX];
    log_info(reactor_log(h->reactor), L_SWARM, "connection closed",
             kv_str("peer", peer_id_format_short(&c->peer, id)), kv_bool("inbound", c->inbound),
             kv_str("reason", error == 0 ? "closed by us" : why->text));
    c->user = NULL;
    c->events = NULL;
    swarm_remove_conn(hc, error == 0 ? -ERR_CONN_CLOSED : error, why);
}

const struct conn_events host_conn_events = {
    .confirmed = on_confirmed,
    .stream_opened = on_stream_opened,
    .streams_available = on_streams_available,
    .datagram = on_datagram,
    .closed = on_conn_closed,
};

static void on_accepted(struct transport *t, struct conn *c) {
    struct host *h = t->user;
    char id[PEER_ID_SHORT_MAX];
    bool is_listed = !host_denies(h, &c->peer);
    bool is_guest = !is_listed && swarm_expects(h, c);
    bool allowed = is_listed || is_guest;
    decided(h, &c->peer, true, allowed);
    if (allowed || log_allow(&h->refusal_log, reactor_now(h->reactor)))
        log_info(reactor_log(h->reactor), L_GATE,
                 is_listed  ? "inbound connection allowed"
                 : is_guest ? "inbound connection allowed (dial-back)"
                            : "inbound connection denied",
                 kv_str("peer", peer_id_format_short(&c->peer, id)));
    struct host_conn *hc;
    if (!allowed)
        c->ops->close(c, CONN_CODE_GATED);
    else if (h->closing)
        c->ops->close(c, CONN_CODE_SHUTDOWN);
    else if (!swarm_has_room(h, c) || swarm_add_conn(h, c, &hc) < 0)
        c->ops->close(c, CONN_CODE_RESOURCE_LIMIT);
    else if (is_guest)
        swarm_welcome(hc);
    else
        identify_start(h, hc);
}

int host_add_conn(struct host *h, struct conn *c) {
    const struct peer *p = swarm_find(h, &c->peer);
    struct host_conn *hc;
    int e = h->closing ? -ERR_SHUTDOWN : -ERR_RESOURCE_LIMIT;
    if (!h->closing && (p == NULL || p->conns_count < HOST_CONNS_PER_PEER_MAX))
        e = swarm_add_conn(h, c, &hc);
    if (e == 0)
        identify_start(h, hc);
    else
        c->ops->close(c, CONN_CODE_NONE);
    return e;
}

static const struct transport_events transport_events = {.accepted = on_accepted};

/* --- Protocols --- */

static struct protocol_handler *find_handler(const struct host *h, struct bytes name) {
    list_for_each (node, &h->handlers) {
        struct protocol_handler *ph = LIST_ENTRY(node, struct protocol_handler, node);
        if (bytes_equal(bytes_of_str(ph->protocol), name))
            return ph;
    }
    return NULL;
}

int host_handle(struct host *h, struct protocol_handler *ph) {
    if (find_handler(h, bytes_of_str(ph->protocol)) != NULL)
        return -EEXIST;
    list_init(&ph->node);
    list_push(&h->handlers, &ph->node);
    identify_changed(h);
    return 0;
}

void host_unhandle(struct host *h, struct protocol_handler *ph) {
    list_remove(&ph->node);
    identify_changed(h);
}

size_t host_protocols(const struct host *h, const char **out, size_t max) {
    size_t count = 0;
    list_for_each (node, &h->handlers) {
        if (count < max)
            out[count] = LIST_ENTRY(node, const struct protocol_handler, node)->protocol;
        count++;
    }
    return count;
}

static bool may_use(struct host *h, const struct conn *c, struct protocol_handler *ph) {
    switch (ph->protocol_class) {
    case CLASS_ANY:
        return true;
    case CLASS_AUTHORIZED:
        return !host_denies(h, &c->peer);
    case CLASS_OWN:
        return ph->admits(ph, c);
    case CLASS_COUNT:
        break;
    }
    return false;
}

static struct protocol_handler *on_proposed(struct stream_acceptor *a, struct conn *c,
                                            struct bytes name, bool *ret_refused) {
    struct host *h = CONTAINER_OF(a, struct host, acceptor);
    struct protocol_handler *ph = find_handler(h, name);
    if (ph == NULL || h->closing)
        return NULL;
    /* A guest's host may well ask who we are: that is no news. */
    bool is_for_others = host_conn_of(c)->is_guest && !swarm_may_guest_use(h, ph);
    *ret_refused = is_for_others;
    if (is_for_others)
        return NULL;
    if (may_use(h, c, ph))
        return ph;
    char id[PEER_ID_SHORT_MAX];
    decided(h, &c->peer, c->inbound, false);
    if (log_allow(&h->refusal_log, reactor_now(h->reactor)))
        log_warn(reactor_log(h->reactor), L_GATE, "stream of a peer that is not authorized reset",
                 kv_str("peer", peer_id_format_short(&c->peer, id)),
                 kv_str("protocol", ph->protocol));
    *ret_refused = true;
    return NULL;
}

static void on_stream_accepted(struct stream_acceptor *a, struct protocol_handler *ph,
                               struct stream *s) {
    (void)a;
    ph->accept(ph, s);
}

/* --- Life --- */

void host_add_transport(struct host *h, struct transport *t) {
    t->events = &transport_events;
    t->user = h;
    list_init(&t->node);
    list_unshift(&h->transports, &t->node);
    h->transports_open++;
}

struct transport *host_transport_for(const struct host *h, const struct multiaddr *to) {
    list_for_each (node, &h->transports) {
        struct transport *t = LIST_ENTRY(node, struct transport, node);
        if (t->ops->can_dial(t, to))
            return t;
    }
    return NULL;
}

static int add_quic(struct host *h, const struct tls_cert *cert, bool listens) {
    uint8_t reset_key[QUIC_RESET_KEY_BYTES];
    struct transport *t;
    quic_packet_reset_key(&h->identity, reset_key);
    int e =
        quic_transport_new(h->reactor, cert, listens ? reset_key : NULL, &transport_events, h, &t);
    mem_wipe(reset_key, sizeof(reset_key));
    if (e == 0) {
        host_add_transport(h, t);
        h->quic = t;
    }
    return e;
}

static int add_tcp(struct host *h, const struct tls_cert *cert, unsigned securities) {
    struct tcp_transport_config cfg = {
        .reactor = h->reactor,
        .identity = &h->identity,
        .cert = cert,
        .securities = securities != 0 ? securities : UPGRADE_TLS | UPGRADE_NOISE,
    };
    struct transport *t;
    int e = tcp_transport_new(&cfg, &transport_events, h, &t);
    if (e == 0) {
        host_add_transport(h, t);
        h->tcp = t;
    }
    return e;
}

static int add_transports(struct host *h, const struct host_config *cfg, struct problem *problem) {
    struct tls_cert cert;
    int e = tls_cert_make(&h->identity, reactor_rng(h->reactor), &cert);
    if (e == 0)
        e = add_tcp(h, &cert, cfg->securities);
    if (e == 0)
        e = add_quic(h, &cert, cfg->listen_count > 0);
    tls_cert_done(&cert);
    return e < 0 ? problem_set(problem, e, "cannot set up the transports: %s", err_text(e)) : 0;
}

static int listen_at(struct host *h, const struct multiaddr *at, struct problem *problem) {
    list_for_each (node, &h->transports) {
        struct transport *t = LIST_ENTRY(node, struct transport, node);
        int e = t->ops->listen(t, at, problem);
        if (e != -ERR_UNSUPPORTED)
            return e;
    }
    char text[MULTIADDR_TEXT_MAX];
    return problem_set(problem, -ERR_UNSUPPORTED,
                       "cannot listen on %s: no transport for such an address",
                       multiaddr_format(at, text));
}

static int open_transports(struct host *h, const struct host_config *cfg, struct problem *problem) {
    int e = add_transports(h, cfg, problem);
    for (size_t i = 0; i < cfg->listen_count && e == 0; i++)
        e = listen_at(h, &cfg->listen[i], problem);
    return e;
}

static void on_transport_closed(void *user) {
    struct host *h = user;
    assert(h->transports_open > 0);
    if (--h->transports_open > 0)
        return;
    void (*closed)(void *) = TAKE(h->closed);
    closed(h->closed_user);
}

static void close_now(struct deferred *d) {
    struct host *h = CONTAINER_OF(d, struct host, close_work);
    /* The last one to close may free the host, and its list with it, in the middle of the walk. */
    for (struct list *node = h->transports.next; node != NULL;) {
        struct transport *t = LIST_ENTRY(node, struct transport, node);
        node = node->next == &h->transports ? NULL : node->next;
        t->ops->close(t, CONN_CODE_SHUTDOWN, on_transport_closed, h);
    }
}

void host_close(struct host *h, void (*closed)(void *user), void *user) {
    assert(!h->closing);
    h->closing = true;
    h->closed = closed;
    h->closed_user = user;
    timer_stop(&h->push_timer);
    /* Whoever waits for something hears of it at the end of the turn, and before closed(). */
    swarm_fail_all(h);
    reactor_defer(h->reactor, &h->close_work);
}

struct host *host_free(struct host *h) {
    if (h == NULL)
        return NULL;
    assert(list_is_empty(&h->conns));
    swarm_done(h);
    timer_done(&h->push_timer);
    deferred_cancel(&h->work);
    deferred_cancel(&h->close_work);
    map_done(&h->peers);
    struct list *node;
    while ((node = list_shift(&h->transports)) != NULL) {
        struct transport *t = LIST_ENTRY(node, struct transport, node);
        t->ops->free(t);
    }
    identity_done(&h->identity);
    return mem_free(reactor_mem(h->reactor), h);
}

static void free_abandoned(void *user) {
    (void)host_free(user);
}

/* A host that could not be set up goes by itself, as soon as its sockets are closed. */
static void abandon(struct host *h) {
    if (list_is_empty(&h->transports))
        (void)host_free(h);
    else
        host_close(h, free_abandoned, h);
}

int host_new(const struct host_config *cfg, struct problem *problem, struct host **ret_host) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct host *h = mem_alloc(mem, sizeof(*h));
    if (h == NULL)
        return -ENOMEM;
    h->reactor = cfg->reactor;
    h->identity = *cfg->identity;
    h->gate = cfg->gate;
    (void)snprintf(h->agent, sizeof(h->agent), "%s", cfg->agent);
    h->acceptor = (struct stream_acceptor){.propose = on_proposed, .accepted = on_stream_accepted};
    h->refusal_log = LOG_LIMIT_INIT(REFUSALS_LOGGED_AT_ONCE, SEC(1));
    list_init(&h->transports);
    list_init(&h->handlers);
    list_init(&h->conns);
    list_init(&h->watches);
    list_init(&h->sources);
    deferred_init(&h->close_work, close_now);
    h->is_anonymous = cfg->is_anonymous;
    h->prefer = cfg->prefer;
    h->prefer_bulk = HOST_BULK_PREFERENCE;
    h->resolver = cfg->resolver;
    h->netwatch = cfg->netwatch;
    int e = map_init(&h->peers, mem, reactor_rng(h->reactor));
    if (e < 0) {
        (void)mem_free(mem, h);
        return e;
    }
    e = swarm_init(h, &cfg->limits);
    if (e < 0) {
        map_done(&h->peers);
        (void)mem_free(mem, h);
        return e;
    }
    e = identify_service_init(h);
    if (e < 0) {
        swarm_done(h);
        map_done(&h->peers);
        (void)mem_free(mem, h);
        return e;
    }
    ping_service_init(h);
    if (cfg->serve_perf)
        perf_service_init(h);
    e = open_transports(h, cfg, problem);
    if (e < 0) {
        abandon(h);
        return e;
    }
    *ret_host = h;
    return 0;
}

struct transport *host_quic(struct host *h) {
    return h->quic;
}

void host_set_preface(struct host *h, struct tcp_preface *p) {
    tcp_transport_set_preface(h->tcp, p);
}

const struct identity *host_identity(const struct host *h) {
    return &h->identity;
}

size_t host_listen_addrs(const struct host *h, struct multiaddr *out, size_t max) {
    size_t count = 0;
    list_for_each (node, &h->transports) {
        const struct transport *t = LIST_ENTRY(node, const struct transport, node);
        size_t more = t->ops->listen_addrs(t, out + count, max - count);
        count += MIN(more, max - count);
    }
    return count;
}

void host_each_conn(struct host *h, void (*each)(void *user, const struct conn_info *info),
                    void *user) {
    list_for_each (node, &h->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, struct host_conn, host_node);
        const struct conn *c = hc->conn;
        struct conn_info info = {.peer = c->peer,
                                 .remote = c->remote,
                                 .agent = hc->agent,
                                 .rtt = c->ops->rtt(c),
                                 .opened_at = c->opened_at,
                                 .inbound = c->inbound,
                                 .relayed = c->relayed,
                                 .spliced = c->spliced,
                                 .limit = c->limited ? &c->limit : NULL};
        each(user, &info);
    }
}

void host_watch(struct host *h, struct host_watch *w) {
    list_init(&w->node);
    list_push(&h->watches, &w->node);
}

void host_unwatch(struct host_watch *w) {
    list_remove(&w->node);
}

void host_add_source(struct host *h, struct addr_source *s) {
    list_init(&s->node);
    list_push(&h->sources, &s->node);
}

void host_remove_source(struct addr_source *s) {
    list_remove(&s->node);
}

size_t host_conns(const struct host *h, const struct peer_id *peer, struct conn **out, size_t max) {
    const struct peer *p = swarm_find(h, peer);
    size_t count = 0;
    if (p == NULL)
        return 0;
    list_for_each (conn, &p->conns) {
        const struct host_conn *hc = LIST_ENTRY(conn, const struct host_conn, node);
        if (!hc->closing && count < max)
            out[count++] = hc->conn;
    }
    return count;
}

uint32_t host_conns_count(const struct host *h, const struct peer_id *peer) {
    const struct peer *p = swarm_find(h, peer);
    uint32_t count = 0;
    if (p == NULL)
        return 0;
    list_for_each (conn, &p->conns)
        count += !LIST_ENTRY(conn, const struct host_conn, node)->closing;
    return count;
}

void host_addrs_changed(struct host *h) {
    identify_changed(h);
}

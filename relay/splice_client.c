/* SPDX-License-Identifier: MIT */
#include "relay/splice_client.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "core/p2p/protocol_id.h"
#include "relay/splice_client_internal.h"
#include "transport/conn.h"
#include "transport/proto/identify.h"
#include "transport/stream.h"
#include "uring/reactor.h"

/* A peer to which we dialled a circuit. */
struct splice_peer {
    struct splice_client *client;
    struct map_node node;
    struct peer_id id;
    struct deferred work;
    struct timer timer;
    struct splice_path *path; /* that we asked for; NULL: there is none */
    bool speaks;              /* the protocol */
    unsigned failures;        /* in a row */
    nsec_t again_at;          /* not before */
};

static nsec_t now_of(const struct splice_client *s) {
    return reactor_now(s->cfg.reactor);
}

static struct splice_peer *find(const struct splice_client *s, const struct peer_id *id) {
    struct map_node *node = map_find(&s->peers, peer_id_bytes(id));
    return node == NULL ? NULL : CONTAINER_OF(node, struct splice_peer, node);
}

static void wake(struct splice_peer *o) {
    if (o != NULL)
        reactor_defer(o->client->cfg.reactor, &o->work);
}

/* --- What stands --- */

static bool is_circuit(const struct conn *c, bool is_source) {
    return c->relayed && !c->spliced && c->inbound == !is_source;
}

/* `relay` NULL: whichever; the newest. */
static const struct conn *find_circuit(const struct splice_client *s, const struct peer_id *peer,
                                       const struct peer_id *relay, bool is_source,
                                       bool *ret_has_better) {
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    size_t count = host_conns(s->cfg.host, peer, conns, HOST_CONNS_PER_PEER_MAX);
    const struct conn *found = NULL;
    *ret_has_better = false;
    for (size_t i = 0; i < count; i++) {
        struct peer_id through;
        *ret_has_better = *ret_has_better || !conns[i]->relayed || conns[i]->spliced;
        if (is_circuit(conns[i], is_source) && circuit_relay_of(&conns[i]->remote, &through) &&
            (relay == NULL || peer_id_equal(&through, relay)))
            found = conns[i];
    }
    return found;
}

const struct conn *splice_client_circuit(const struct splice_client *s, const struct peer_id *peer,
                                         const struct peer_id *relay, bool is_source) {
    bool has_better;
    const struct conn *c = find_circuit(s, peer, relay, is_source, &has_better);
    return has_better ? NULL : c;
}

static bool is_where(const struct conn *const *conns, size_t count, const struct net_addr *ip) {
    struct net_addr at;
    for (size_t i = 0; i < count; i++) {
        if (!conns[i]->relayed && multiaddr_to_net_addr(&conns[i]->remote, &at) == 0 &&
            net_addr_ip_equal(&at, ip))
            return true;
    }
    return false;
}

int splice_client_relay_addr(const struct splice_client *s, const struct peer_id *relay,
                             struct multiaddr *ret_addr) {
    struct multiaddr known[2 * HOST_ADDRS_PER_PEER_MAX];
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    struct net_addr ip;
    size_t count = host_conns(s->cfg.host, relay, conns, HOST_CONNS_PER_PEER_MAX);
    for (size_t i = 0; i < count; i++) {
        if (conns[i]->inbound || multiaddr_kind(&conns[i]->remote) != MULTIADDR_KIND_TCP)
            continue;
        *ret_addr = conns[i]->remote;
        return 0;
    }
    size_t known_count = host_peer_addrs(s->cfg.host, relay, known, ARRAY_COUNT(known));
    for (size_t i = 0; i < known_count; i++) {
        if (multiaddr_kind(&known[i]) != MULTIADDR_KIND_TCP ||
            multiaddr_to_net_addr(&known[i], &ip) < 0 ||
            !is_where((const struct conn *const *)conns, count, &ip))
            continue;
        *ret_addr = known[i];
        return 0;
    }
    return -ERR_NO_ADDRESSES;
}

/* --- Back-off --- */

static nsec_t pause_after(unsigned failures) {
    nsec_t pause = SPLICE_FIRST_PAUSE;
    for (unsigned i = 1; i < failures && pause < SPLICE_LAST_PAUSE; i++)
        pause *= 2;
    return MIN(pause, SPLICE_LAST_PAUSE);
}

static void rest(struct splice_peer *o) {
    o->again_at = now_of(o->client) + pause_after(o->failures);
    o->path = NULL;
    wake(o);
}

void splice_client_failed(struct splice_client *s, const struct splice_path *p, int error) {
    struct splice_peer *o = p->is_source ? find(s, &p->peer) : NULL;
    char id[PEER_ID_SHORT_MAX];
    s->stats.failed++;
    log_debug(s->cfg.log, L_RELAY, "no spliced path with the peer",
              kv_str("peer", peer_id_format_short(&p->peer, id)), kv_err(error));
    if (o == NULL || o->path != p)
        return;
    /* Who relays in the other way only, or not over TCP, will not learn it soon. */
    bool is_for_long = error == -ERR_PROTOCOL_NOT_SUPPORTED || error == -ERR_NO_ADDRESSES;
    o->failures = is_for_long ? MAX(o->failures, 5u) + 1 : o->failures + 1;
    rest(o);
}

void splice_client_made(struct splice_client *s, const struct splice_path *p) {
    struct splice_peer *o = p->is_source ? find(s, &p->peer) : NULL;
    char peer[PEER_ID_SHORT_MAX];
    char relay[PEER_ID_SHORT_MAX];
    s->stats.made++;
    log_info(s->cfg.log, L_RELAY, "spliced path stands",
             kv_str("peer", peer_id_format_short(&p->peer, peer)),
             kv_str("relay", peer_id_format_short(&p->relay, relay)));
    if (o != NULL)
        o->failures = 0;
}

/* --- Peers --- */

static struct splice_peer *peer_free(struct splice_peer *o) {
    assert(o->path == NULL);
    deferred_cancel(&o->work);
    timer_done(&o->timer);
    map_remove(&o->client->peers, &o->node);
    return mem_free(o->client->mem, o);
}

static void ask(struct splice_peer *o, const struct conn *circuit) {
    int e = splice_path_ask(o->client, circuit, &o->path);
    if (e == 0)
        return;
    o->failures++;
    rest(o);
}

static void on_work(struct deferred *d) {
    struct splice_peer *o = CONTAINER_OF(d, struct splice_peer, work);
    struct splice_client *s = o->client;
    bool has_better;
    const struct conn *circuit = find_circuit(s, &o->id, NULL, true, &has_better);
    bool is_rested = now_of(s) >= o->again_at;
    timer_stop(&o->timer);
    if (o->path != NULL)
        return;
    if (!is_rested)
        timer_start(&o->timer, o->again_at);
    else if (circuit == NULL)
        (void)peer_free(o);
    else if (!has_better && o->speaks)
        ask(o, circuit);
}

static void on_timer(struct timer *t) {
    wake(CONTAINER_OF(t, struct splice_peer, timer));
}

/* Without memory there is no path. */
static void peer_new(struct splice_client *s, const struct peer_id *id) {
    struct splice_peer *o = mem_alloc(s->mem, sizeof(*o));
    if (o == NULL || timer_init(&o->timer, s->cfg.reactor, on_timer) < 0) {
        (void)mem_free(s->mem, o);
        return;
    }
    o->client = s;
    o->id = *id;
    deferred_init(&o->work, on_work);
    map_node_init(&o->node);
    map_insert(&s->peers, &o->node, peer_id_bytes(&o->id));
}

/* --- Connections come and go --- */

static void on_conn_opened(struct host_watch *w, struct conn *c) {
    struct splice_client *s = CONTAINER_OF(w, struct splice_client, watch);
    if (is_circuit(c, true) && find(s, &c->peer) == NULL)
        peer_new(s, &c->peer);
    wake(find(s, &c->peer));
}

static void on_told(struct host_watch *w, struct conn *c, const struct identify_message *m) {
    struct splice_peer *o = find(CONTAINER_OF(w, struct splice_client, watch), &c->peer);
    if (o == NULL)
        return;
    o->speaks = identify_has_protocol(m, PROTOCOL_SPLICE);
    wake(o);
}

static void on_conn_closed(struct host_watch *w, struct conn *c) {
    struct splice_client *s = CONTAINER_OF(w, struct splice_client, watch);
    struct splice_peer *o = find(s, &c->peer);
    list_for_each_safe (node, &s->paths) {
        struct splice_path *p = LIST_ENTRY(node, struct splice_path, node);
        if (p->conn != c)
            continue;
        if (o != NULL && o->path == p)
            rest(o);
        splice_path_drop(p);
    }
    wake(o);
}

/* --- Offers --- */

static bool admits(struct protocol_handler *h, const struct conn *c) {
    const struct splice_client *s = CONTAINER_OF(h, struct splice_client, handler);
    return !c->relayed && circuit_transport_is_listening(s->cfg.circuit, &c->peer);
}

static void on_accept(struct protocol_handler *h, struct stream *stream) {
    struct splice_client *s = CONTAINER_OF(h, struct splice_client, handler);
    if (s->offers < SPLICE_OFFERS_MAX && splice_path_listen(s, stream) == 0)
        return;
    stream_reset(stream, STREAM_CODE_RESOURCE_LIMIT);
    (void)stream_release(stream);
}

/* --- Life --- */

const struct splice_client_stats *splice_client_stats(const struct splice_client *s) {
    return &s->stats;
}

int splice_client_new(const struct splice_client_config *cfg, struct splice_client **ret_client) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct splice_client *s = mem_alloc(mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->cfg = *cfg;
    s->mem = mem;
    list_init(&s->paths);
    s->handler = (struct protocol_handler){.protocol = PROTOCOL_SPLICE,
                                           .protocol_class = CLASS_OWN,
                                           .admits = admits,
                                           .accept = on_accept};
    s->watch =
        (struct host_watch){.opened = on_conn_opened, .told = on_told, .closed = on_conn_closed};
    int e = map_init(&s->peers, mem, reactor_rng(cfg->reactor));
    if (e == 0) {
        e = host_handle(cfg->host, &s->handler);
        if (e < 0)
            map_done(&s->peers);
    }
    if (e < 0) {
        (void)mem_free(mem, s);
        return e;
    }
    host_watch(cfg->host, &s->watch);
    *ret_client = s;
    return 0;
}

struct splice_client *splice_client_free(struct splice_client *s) {
    struct map_node *node;
    if (s == NULL)
        return NULL;
    host_unwatch(&s->watch);
    host_unhandle(s->cfg.host, &s->handler);
    list_for_each_safe (path, &s->paths)
        splice_path_drop(LIST_ENTRY(path, struct splice_path, node));
    while ((node = map_next(&s->peers, NULL)) != NULL) {
        struct splice_peer *o = CONTAINER_OF(node, struct splice_peer, node);
        o->path = NULL;
        (void)peer_free(o);
    }
    map_done(&s->peers);
    return mem_free(s->mem, s);
}

/* SPDX-License-Identifier: MIT */
#include "relay/holepunch.h"

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "core/p2p/identity.h"
#include "core/p2p/protocol_id.h"
#include "relay/external_addrs.h"
#include "relay/punch.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "uring/reactor.h"

enum { LISTEN_ADDRS_MAX = 32 };

struct holepunch {
    struct holepunch_config cfg;
    struct mem *mem;
    struct map holes;
    struct host_watch watch;
    struct protocol_handler handler;
    struct holepunch_stats stats;
    uint32_t active; /* upgrades */
    /* Ours towards other networks, of IPv4, as the last connection there has it; NET_NONE: unknown.
     */
    struct net_addr main_ip;
};

/* A peer with a relayed connection, or with an upgrade. */
struct hole {
    struct holepunch *all;
    struct map_node node;
    struct peer_id peer;
    struct deferred work;
    struct timer timer;
    struct punch *punch; /* NULL: none runs */
    bool is_identified;  /* on a connection that it dialled */
    bool is_stale;       /* our addresses changed under the upgrade */
    unsigned failures;   /* in a row, as opener */
    bool has_dialled;    /* with it, in the last upgrade */
    nsec_t started_at;
    nsec_t again_at;   /* the opener's next upgrade is not before that */
    nsec_t rests_till; /* nor before this, whatever changes */
    nsec_t accepts_since;
    unsigned accepts; /* since then */
};

static nsec_t now_of(const struct hole *o) {
    return reactor_now(o->all->cfg.reactor);
}

static void wake(struct hole *o) {
    reactor_defer(o->all->cfg.reactor, &o->work);
}

static struct hole *find(const struct holepunch *h, const struct peer_id *peer) {
    struct map_node *node = map_find(&h->holes, peer_id_bytes(peer));
    return node == NULL ? NULL : CONTAINER_OF(node, struct hole, node);
}

/* --- Which ways there are --- */

struct ways {
    bool has_direct;
    bool has_relayed;
    bool is_opener;
};

static struct ways look_for_ways(const struct hole *o) {
    const struct host *host = o->all->cfg.host;
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    size_t count = host_conns(host, &o->peer, conns, HOST_CONNS_PER_PEER_MAX);
    struct ways w = {.has_direct = false};
    bool is_dialled = false;
    for (size_t i = 0; i < count; i++) {
        w.has_direct = w.has_direct || !conns[i]->relayed;
        w.has_relayed = w.has_relayed || conns[i]->relayed;
        w.is_opener = w.is_opener || (conns[i]->relayed && conns[i]->inbound);
        is_dialled = is_dialled || (conns[i]->relayed && !conns[i]->inbound);
    }
    /* Where each dialled the other through a relay, both would open. */
    if (is_dialled && peer_id_compare(&host_identity(host)->id, &o->peer) > 0)
        w.is_opener = false;
    return w;
}

/* --- Addresses --- */

static bool is_seen(enum multiaddr_kind kind, uint8_t family, const struct multiaddr *seen,
                    size_t seen_count) {
    for (size_t i = 0; i < seen_count; i++) {
        struct net_addr at;
        if (multiaddr_kind(&seen[i]) == kind && multiaddr_to_net_addr(&seen[i], &at) == 0 &&
            at.family == family)
            return true;
    }
    return false;
}

/* A relay that is reached over one transport does not see the other one's socket, but the peer may
 * have just that one: most NATs keep ports, so it may be where the first is seen, with the port
 * that we listen on. */
static void add_guesses(const struct holepunch *h, const struct multiaddr *seen, size_t seen_count,
                        struct dcutr_addrs *addrs) {
    struct multiaddr listen[LISTEN_ADDRS_MAX];
    size_t count = host_listen_addrs(h->cfg.host, listen, LISTEN_ADDRS_MAX);
    for (size_t i = 0; i < MIN(count, (size_t)LISTEN_ADDRS_MAX); i++) {
        enum multiaddr_kind kind = multiaddr_kind(&listen[i]);
        struct net_addr ours;
        if ((kind != MULTIADDR_KIND_QUIC && kind != MULTIADDR_KIND_TCP) ||
            multiaddr_to_net_addr(&listen[i], &ours) < 0 ||
            is_seen(kind, ours.family, seen, seen_count))
            continue;
        for (size_t k = 0; k < seen_count; k++) {
            struct net_addr at;
            struct multiaddr guess;
            if (multiaddr_to_net_addr(&seen[k], &at) < 0 || at.family != ours.family)
                continue;
            at.port = ours.port;
            multiaddr_from_net_addr(&at, kind, &guess);
            (void)dcutr_addrs_add(addrs, &guess, h->cfg.accept_private);
        }
    }
}

static void own_addrs(const struct holepunch *h, const struct conn *via,
                      struct dcutr_addrs *ret_addrs) {
    struct multiaddr seen[EXTERNAL_ADDRS_MAX];
    struct multiaddr advertised[HOST_ADVERTISED_MAX];
    size_t seen_count = h->cfg.external == NULL ? 0 : external_addrs_seen(h->cfg.external, seen);
    ret_addrs->count = 0;
    for (size_t i = 0; i < seen_count; i++)
        (void)dcutr_addrs_add(ret_addrs, &seen[i], h->cfg.accept_private);
    size_t count = host_advertised_addrs(h->cfg.host, via, advertised);
    for (size_t i = 0; i < count; i++)
        (void)dcutr_addrs_add(ret_addrs, &advertised[i], h->cfg.accept_private);
    add_guesses(h, seen, seen_count, ret_addrs);
    /* For neighbours, who are known by the others alone. */
    if (ret_addrs->count > 0)
        dcutr_addrs_add_own_private(ret_addrs, advertised, count, &h->main_ip);
}

static void peer_addrs(const struct hole *o, struct dcutr_addrs *ret_addrs) {
    const struct holepunch *h = o->all;
    struct multiaddr known[2 * HOST_ADDRS_PER_PEER_MAX];
    size_t count = host_peer_addrs(h->cfg.host, &o->peer, known, ARRAY_COUNT(known));
    ret_addrs->count = 0;
    for (size_t i = 0; i < count; i++)
        (void)dcutr_addrs_add(ret_addrs, &known[i], h->cfg.accept_private);
}

/* --- The end of an upgrade --- */

static void tell(const struct hole *o, enum holepunch_outcome outcome, int error) {
    static const char *const texts[] = {[HOLEPUNCH_FAILED] = "hole punch failed",
                                        [HOLEPUNCH_SUCCEEDED] = "hole punch succeeded",
                                        [HOLEPUNCH_REVERSED] = "direct dial succeeded"};
    const struct holepunch_config *cfg = &o->all->cfg;
    nsec_t elapsed = now_of(o) - o->started_at;
    char id[PEER_ID_SHORT_MAX];
    (void)peer_id_format_short(&o->peer, id);
    if (outcome == HOLEPUNCH_FAILED)
        log_info(cfg->log, L_RELAY, texts[outcome], kv_str("peer", id), kv_nsec("elapsed", elapsed),
                 kv_err(error));
    else
        log_info(cfg->log, L_RELAY, texts[outcome], kv_str("peer", id),
                 kv_nsec("elapsed", elapsed));
    if (cfg->ended != NULL)
        cfg->ended(cfg->user, &o->peer, outcome, elapsed);
}

static void take_outcome(struct hole *o, int error) {
    struct holepunch *h = o->all;
    char id[PEER_ID_SHORT_MAX];
    if (punch_is_reversed(o->punch)) {
        tell(o, HOLEPUNCH_REVERSED, 0);
    } else if (punch_attempts(o->punch) > 0) {
        h->stats.succeeded += error == 0;
        h->stats.failed += error != 0;
        o->rests_till = now_of(o) + HOLEPUNCH_PAUSE_MIN;
        tell(o, error == 0 ? HOLEPUNCH_SUCCEEDED : HOLEPUNCH_FAILED, error);
    } else if (error < 0) {
        log_debug(h->cfg.log, L_RELAY, "no hole punch with the peer",
                  kv_str("peer", peer_id_format_short(&o->peer, id)), kv_err(error));
    }
}

static void rest(struct hole *o) {
    static const nsec_t pauses[] = {HOLEPUNCH_FIRST_PAUSE, SEC(60), SEC(120), SEC(300), SEC(600)};
    unsigned nth = o->failures > 0 ? o->failures - 1 : 0;
    o->again_at = now_of(o) + pauses[MIN(nth, (unsigned)ARRAY_COUNT(pauses) - 1)];
}

static void begin_anew(struct hole *o) {
    o->failures = 0;
    o->again_at = o->rests_till;
}

static void end_punch(struct hole *o, int error) {
    struct holepunch *h = o->all;
    take_outcome(o, error);
    o->has_dialled = punch_attempts(o->punch) > 0;
    if (punch_is_opener(o->punch)) {
        o->failures = error == 0 ? 0 : o->failures + 1;
        rest(o);
    }
    if (o->is_stale)
        begin_anew(o);
    o->is_stale = false;
    o->punch = punch_free(o->punch);
    assert(h->active > 0);
    h->active--;
    wake(o);
}

static void on_done(void *user, int error) {
    end_punch(user, error);
}

static void on_attempting(void *user, unsigned attempt) {
    const struct hole *o = user;
    char id[PEER_ID_SHORT_MAX];
    o->all->stats.attempts++;
    log_info(o->all->cfg.log, L_RELAY, "hole punch started",
             kv_str("peer", peer_id_format_short(&o->peer, id)), kv_uint("attempt", attempt));
}

/* --- Its beginning --- */

/* `s` is NULL for the opener.  -ERR_LIMIT, -ENOMEM */
static int start(struct hole *o, const struct conn *via, struct stream *s) {
    struct holepunch *h = o->all;
    struct dcutr_addrs own;
    struct dcutr_addrs direct;
    if (h->active == HOLEPUNCH_ACTIVE_MAX)
        return -ERR_LIMIT;
    own_addrs(h, via, &own);
    peer_addrs(o, &direct);
    struct punch_config cfg = {.reactor = h->cfg.reactor,
                               .host = h->cfg.host,
                               .peer = &o->peer,
                               .stream = s,
                               .own = &own,
                               .direct = &direct,
                               .accept_private = h->cfg.accept_private,
                               .attempts_max = o->failures == 0 ? 0 : 1,
                               .attempting = on_attempting,
                               .done = on_done,
                               .user = o};
    o->started_at = now_of(o);
    int e = punch_new(&cfg, &o->punch);
    h->active += e == 0;
    return e;
}

static void open_if_due(struct hole *o) {
    const struct conn *via = punch_find_conn(o->all->cfg.host, &o->peer);
    if (now_of(o) >= o->again_at && start(o, via, NULL) < 0)
        o->again_at = now_of(o) + HOLEPUNCH_PAUSE_MIN; /* for want of room */
    if (o->punch == NULL)
        timer_start(&o->timer, o->again_at);
}

static struct hole *hole_free(struct hole *o);

static void on_work(struct deferred *d) {
    struct hole *o = CONTAINER_OF(d, struct hole, work);
    struct ways w = look_for_ways(o);
    timer_stop(&o->timer);
    if (o->punch != NULL && w.has_direct)
        punch_connected(o->punch);
    else if (o->punch == NULL && !w.has_relayed)
        (void)hole_free(o);
    else if (o->punch == NULL && !w.has_direct && w.is_opener && o->is_identified)
        open_if_due(o);
}

static void on_timer(struct timer *t) {
    wake(CONTAINER_OF(t, struct hole, timer));
}

/* --- Streams of openers --- */

/* Who else opens streams was dialled by us directly, and may be anybody (decision 1). */
static bool admits(struct protocol_handler *ph, const struct conn *c) {
    (void)ph;
    return c->relayed || c->inbound;
}

static bool has_accepts_left(struct hole *o) {
    nsec_t now = now_of(o);
    if (now - o->accepts_since >= HOLEPUNCH_ACCEPTS_PERIOD) {
        o->accepts_since = now;
        o->accepts = 0;
    }
    return o->accepts++ < HOLEPUNCH_ACCEPTS_MAX;
}

/* Whether the peer's upgrade goes before the one that runs. */
static bool may_replace(const struct hole *o) {
    const struct peer_id *own = &host_identity(o->all->cfg.host)->id;
    if (punch_is_opener(o->punch))
        return peer_id_compare(own, &o->peer) > 0;
    return punch_attempts(o->punch) > 0;
}

/* 0 takes the stream over. */
static enum stream_code accept_stream(struct holepunch *h, struct stream *s) {
    const struct conn *c = stream_conn(s);
    struct hole *o = find(h, &c->peer);
    if (!c->relayed || c->inbound)
        return STREAM_CODE_PROTOCOL_VIOLATION; /* it is for us to open, or there is no need */
    if (o == NULL || !has_accepts_left(o))
        return STREAM_CODE_RATE_LIMITED;
    if (o->punch != NULL && !may_replace(o))
        return STREAM_CODE_RESOURCE_LIMIT;
    if (o->punch != NULL)
        end_punch(o, -ETIMEDOUT);
    return start(o, c, s) < 0 ? STREAM_CODE_RESOURCE_LIMIT : STREAM_CODE_NONE;
}

static void on_accepted(struct protocol_handler *ph, struct stream *s) {
    enum stream_code code = accept_stream(CONTAINER_OF(ph, struct holepunch, handler), s);
    if (code == STREAM_CODE_NONE)
        return;
    stream_reset(s, code);
    (void)stream_release(s);
}

/* --- Peers --- */

static struct hole *hole_free(struct hole *o) {
    struct holepunch *h = o->all;
    h->active -= o->punch != NULL;
    o->punch = punch_free(o->punch);
    deferred_cancel(&o->work);
    timer_done(&o->timer);
    map_remove(&h->holes, &o->node);
    return mem_free(h->mem, o);
}

/* A peer for whom there is no memory stays where it is. */
static struct hole *hole_new(struct holepunch *h, const struct peer_id *peer) {
    struct hole *o = mem_alloc(h->mem, sizeof(*o));
    if (o == NULL || timer_init(&o->timer, h->cfg.reactor, on_timer) < 0)
        return mem_free(h->mem, o);
    o->all = h;
    o->peer = *peer;
    deferred_init(&o->work, on_work);
    map_node_init(&o->node);
    map_insert(&h->holes, &o->node, peer_id_bytes(&o->peer));
    return o;
}

static void learn_main_ip(struct holepunch *h, const struct conn *c) {
    struct net_addr local;
    struct net_addr remote;
    if (!c->relayed && multiaddr_to_net_addr(&c->remote, &remote) == 0 &&
        remote.family == NET_IP4 && net_addr_is_public(&remote) &&
        multiaddr_to_net_addr(&c->local, &local) == 0)
        h->main_ip = local;
}

static void on_opened(struct host_watch *w, struct conn *c) {
    struct holepunch *h = CONTAINER_OF(w, struct holepunch, watch);
    struct hole *o = find(h, &c->peer);
    learn_main_ip(h, c);
    if (o == NULL && c->relayed)
        o = hole_new(h, &c->peer);
    if (o != NULL)
        wake(o);
}

static void on_identified(struct host_watch *w, struct conn *c) {
    struct hole *o = find(CONTAINER_OF(w, struct holepunch, watch), &c->peer);
    if (o == NULL || !c->relayed || !c->inbound)
        return;
    o->is_identified = true;
    wake(o);
}

static void on_closed(struct host_watch *w, struct conn *c) {
    struct hole *o = find(CONTAINER_OF(w, struct holepunch, watch), &c->peer);
    if (o != NULL)
        wake(o);
}

/* --- Life --- */

static void start_over(struct hole *o) {
    begin_anew(o);
    o->is_stale = o->punch != NULL;
    wake(o);
}

void holepunch_network_changed(struct holepunch *h) {
    map_for_each (node, &h->holes) {
        start_over(CONTAINER_OF(node, struct hole, node));
    }
}

void holepunch_addrs_added(struct holepunch *h) {
    map_for_each (node, &h->holes) {
        struct hole *o = CONTAINER_OF(node, struct hole, node);
        if (o->punch != NULL && punch_attempts(o->punch) > 0)
            continue;
        if (!o->has_dialled) {
            start_over(o);
            continue;
        }
        nsec_t dialled_at = o->rests_till - HOLEPUNCH_PAUSE_MIN;
        o->again_at = MIN(o->again_at, dialled_at + HOLEPUNCH_FIRST_PAUSE);
        wake(o);
    }
}

const struct holepunch_stats *holepunch_stats(const struct holepunch *h) {
    return &h->stats;
}

int holepunch_new(const struct holepunch_config *cfg, struct holepunch **ret_holepunch) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct holepunch *h = mem_alloc(mem, sizeof(*h));
    if (h == NULL)
        return -ENOMEM;
    h->cfg = *cfg;
    h->mem = mem;
    h->handler = (struct protocol_handler){.protocol = PROTOCOL_DCUTR,
                                           .protocol_class = CLASS_OWN,
                                           .admits = admits,
                                           .accept = on_accepted};
    h->watch =
        (struct host_watch){.opened = on_opened, .identified = on_identified, .closed = on_closed};
    int e = map_init(&h->holes, mem, reactor_rng(cfg->reactor));
    if (e == 0) {
        e = host_handle(cfg->host, &h->handler);
        if (e < 0)
            map_done(&h->holes);
    }
    if (e < 0) {
        (void)mem_free(mem, h);
        return e;
    }
    host_watch(cfg->host, &h->watch);
    *ret_holepunch = h;
    return 0;
}

struct holepunch *holepunch_free(struct holepunch *h) {
    struct map_node *node;
    if (h == NULL)
        return NULL;
    host_unwatch(&h->watch);
    host_unhandle(h->cfg.host, &h->handler);
    while ((node = map_next(&h->holes, NULL)) != NULL)
        (void)hole_free(CONTAINER_OF(node, struct hole, node));
    map_done(&h->holes);
    return mem_free(h->mem, h);
}

/* SPDX-License-Identifier: MIT */
/* Peers, their connections, and what waits for one.  All decisions are made in look_at(), at the
 * end of a turn, from the state that the turn left. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "transport/host_internal.h"
#include "transport/swarm_dial.h"

/* --- Peers --- */

struct peer *swarm_find(const struct host *h, const struct peer_id *id) {
    struct map_node *node = map_find(&h->peers, peer_id_bytes(id));
    return node == NULL ? NULL : CONTAINER_OF(node, struct peer, node);
}

static void on_peer_timer(struct timer *t) {
    swarm_wake(CONTAINER_OF(t, struct peer, timer));
}

static int peer_new(struct host *h, const struct peer_id *id, struct peer **ret_peer) {
    struct peer *p = mem_alloc(reactor_mem(h->reactor), sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    int e = timer_init(&p->timer, h->reactor, on_peer_timer);
    if (e < 0) {
        (void)mem_free(reactor_mem(h->reactor), p);
        return e;
    }
    p->host = h;
    p->id = *id;
    list_init(&p->conns);
    list_init(&p->stream_requests);
    list_init(&p->connect_requests);
    list_init(&p->work_node);
    map_node_init(&p->node);
    map_insert(&h->peers, &p->node, peer_id_bytes(&p->id));
    *ret_peer = p;
    return 0;
}

int swarm_peer(struct host *h, const struct peer_id *id, struct peer **ret_peer) {
    struct peer *p = swarm_find(h, id);
    if (p == NULL)
        return peer_new(h, id, ret_peer);
    *ret_peer = p;
    return 0;
}

static void free_peer(struct peer *p) {
    struct mem *mem = reactor_mem(p->host->reactor);
    p->round = dial_round_free(p->round);
    timer_done(&p->timer);
    list_remove(&p->work_node);
    map_remove(&p->host->peers, &p->node);
    (void)mem_free(mem, p->given.items);
    (void)mem_free(mem, p->learnt.items);
    (void)mem_free(mem, p);
}

/* A peer of whom nothing is known and nothing is wanted is forgotten. */
static void free_if_idle(struct peer *p) {
    if (p->conns_count == 0 && p->given.count == 0 && p->round == NULL &&
        list_is_empty(&p->stream_requests) && list_is_empty(&p->connect_requests))
        free_peer(p);
}

void swarm_wake(struct peer *p) {
    if (!list_is_linked(&p->work_node))
        list_push(&p->host->busy, &p->work_node);
    reactor_defer(p->host->reactor, &p->host->work);
}

static void wake_at(struct peer *p, nsec_t at) {
    if (!heap_node_is_linked(&p->timer.node) || p->timer.node.at > at)
        timer_start(&p->timer, at);
}

/* --- Addresses --- */

static int addrs_replace(struct host *h, struct addr_list *l, const struct multiaddr *addrs,
                         uint32_t count) {
    struct mem *mem = reactor_mem(h->reactor);
    struct multiaddr *items = NULL;
    if (count > 0) {
        items = mem_alloc_array(mem, count, sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
        memcpy(items, addrs, count * sizeof(*items));
    }
    (void)mem_free(mem, l->items);
    *l = (struct addr_list){.items = items, .count = count};
    return 0;
}

static bool addrs_are(const struct addr_list *l, const struct multiaddr *addrs, uint32_t count) {
    bool are = l->count == count;
    for (uint32_t i = 0; are && i < count; i++)
        are = multiaddr_equal(&l->items[i], &addrs[i]);
    return are;
}

/* In one of a peer's lists. */
static int peer_addrs_replace(struct peer *p, struct addr_list *l, const struct multiaddr *addrs,
                              uint32_t count) {
    if (addrs_are(l, addrs, count))
        return 0;
    dial_pace_forget(&p->pace);
    return addrs_replace(p->host, l, addrs, count);
}

/* An address as it is kept: without the peer's ID.  false: it is another peer's. */
static bool is_of_peer(const struct peer_id *peer, const struct multiaddr *addr,
                       struct multiaddr *ret_addr) {
    struct peer_id suffix;
    *ret_addr = *addr;
    return multiaddr_split_peer(addr, ret_addr, &suffix) < 0 || peer_id_equal(&suffix, peer);
}

int host_add_addr(struct host *h, const struct peer_id *peer, const struct multiaddr *addr) {
    struct multiaddr kept[HOST_ADDRS_PER_PEER_MAX];
    struct multiaddr added;
    struct peer *p;
    int e = swarm_peer(h, peer, &p);
    if (e < 0)
        return e;
    swarm_wake(p);
    if (!is_of_peer(peer, addr, &added) || multiaddr_is_in(&added, p->given.items, p->given.count))
        return 0;
    uint32_t oldest = p->given.count == HOST_ADDRS_PER_PEER_MAX ? 1 : 0;
    uint32_t count = p->given.count - oldest;
    if (count > 0)
        memcpy(kept, p->given.items + oldest, count * sizeof(kept[0]));
    kept[count] = added;
    return peer_addrs_replace(p, &p->given, kept, count + 1);
}

int host_add_addrs(struct host *h, const struct peer_id *peer, const struct multiaddr *addrs,
                   size_t count) {
    struct multiaddr kept[HOST_ADDRS_PER_PEER_MAX];
    uint32_t kept_count = 0;
    struct peer *p;
    int e = swarm_peer(h, peer, &p);
    if (e < 0)
        return e;
    for (size_t i = 0; i < count && kept_count < HOST_ADDRS_PER_PEER_MAX; i++)
        kept_count += is_of_peer(peer, &addrs[i], &kept[kept_count]);
    swarm_wake(p); /* which forgets it if there is nothing to keep */
    return peer_addrs_replace(p, &p->given, kept, kept_count);
}

/* Addresses of a narrower world than the one in which we met the peer lead elsewhere, or nowhere
 * (go's rule). */
static bool is_worth_learning(const struct multiaddr *addr, const struct multiaddr *remote) {
    struct net_addr met;
    struct net_addr ip;
    if (multiaddr_to_net_addr(remote, &met) < 0 || multiaddr_to_net_addr(addr, &ip) < 0)
        return false;
    if (net_addr_is_loopback(&met))
        return true;
    if (net_addr_is_loopback(&ip))
        return false;
    return net_addr_is_private(&met) || !net_addr_is_private(&ip);
}

void swarm_learn_addrs(struct host_conn *hc, struct identify_walk *addrs) {
    struct peer *p = hc->peer;
    struct multiaddr kept[HOST_ADDRS_PER_PEER_MAX];
    struct identify_walk all = *addrs;
    struct multiaddr addr;
    uint32_t count = 0;
    while (count < HOST_ADDRS_PER_PEER_MAX && identify_next_addr(addrs, &addr)) {
        if (is_of_peer(&p->id, &addr, &kept[count]) && is_worth_learning(&addr, &hc->conn->remote))
            count++;
    }
    if (count == 0)
        return;
    swarm_doubt_left(p, &p->learnt, &all);
    /* Without memory the old ones do. */
    (void)peer_addrs_replace(p, &p->learnt, kept, count);
}

static size_t copy_addrs(const struct addr_list *l, struct multiaddr *out, size_t max) {
    size_t count = MIN((size_t)l->count, max);
    for (size_t i = 0; i < count; i++)
        out[i] = l->items[i];
    return count;
}

size_t host_peer_addrs(const struct host *h, const struct peer_id *peer, struct multiaddr *out,
                       size_t max) {
    const struct peer *p = swarm_find(h, peer);
    if (p == NULL)
        return 0;
    size_t count = copy_addrs(&p->given, out, max);
    return count + copy_addrs(&p->learnt, out + count, max - count);
}

/* What is announced lies here as the lists of peers do. */
void host_announce(struct host *h, const struct multiaddr *addrs, size_t count) {
    uint32_t kept = (uint32_t)MIN(count, (size_t)HOST_ANNOUNCED_MAX);
    /* Without memory the old ones do. */
    if (!addrs_are(&h->announced, addrs, kept) && addrs_replace(h, &h->announced, addrs, kept) == 0)
        identify_changed(h);
}

/* --- Requests --- */

static void request_end(struct host_request *q) {
    list_remove(&q->node);
    timer_done(&q->timer);
    q->pending = false;
}

static void finish_stream(struct stream_request *r, struct stream *s, int error) {
    request_end(&r->base);
    r->done(r, s, error);
}

static void finish_connect(struct connect_request *r, const struct multiaddr *remote, int error) {
    request_end(&r->base);
    r->done(r, remote, error);
}

static void fail_requests(struct peer *p, int error, const struct problem *why) {
    struct list streams;
    struct list connects;
    list_init(&streams);
    list_init(&connects);
    /* A callback may ask again at once: that is another round. */
    list_splice(&streams, &p->stream_requests);
    list_splice(&connects, &p->connect_requests);
    while (!list_is_empty(&streams)) {
        struct stream_request *r = LIST_ENTRY(streams.next, struct stream_request, base.node);
        r->base.problem = *why;
        finish_stream(r, NULL, error);
    }
    while (!list_is_empty(&connects)) {
        struct connect_request *r = LIST_ENTRY(connects.next, struct connect_request, base.node);
        r->base.problem = *why;
        finish_connect(r, NULL, error);
    }
}

/* Says what was tried so far, if something was. */
static int timed_out(struct host_request *q) {
    const struct peer *p = swarm_find(q->host, &q->peer);
    q->problem = PROBLEM_INIT;
    if (p != NULL && p->round != NULL)
        dial_round_describe(p->round, &q->problem);
    if (q->problem.text[0] != '\0')
        return -ETIMEDOUT;
    return problem_set(&q->problem, -ETIMEDOUT, "the peer does not answer in time");
}

static void on_stream_timeout(struct timer *t) {
    struct stream_request *r = CONTAINER_OF(t, struct stream_request, base.timer);
    finish_stream(r, NULL, timed_out(&r->base));
}

static void on_connect_timeout(struct timer *t) {
    struct connect_request *r = CONTAINER_OF(t, struct connect_request, base.timer);
    finish_connect(r, NULL, timed_out(&r->base));
}

/* Starts what all requests share; the caller queues it with the peer.  NULL: out of memory before
 * anything could be queued, the one case in which the answer cannot wait for the end of the turn.
 */
static struct peer *request_begin(struct host *h, struct host_request *q, const struct peer_id *id,
                                  nsec_t deadline, void (*on_timeout)(struct timer *t)) {
    struct peer *p;
    q->host = h;
    q->peer = *id;
    list_init(&q->node);
    int e = timer_init(&q->timer, h->reactor, on_timeout);
    if (e == 0 && swarm_peer(h, id, &p) == 0) {
        q->pending = true;
        timer_start(&q->timer, deadline);
        swarm_wake(p);
        return p;
    }
    if (e == 0)
        timer_done(&q->timer);
    (void)problem_set(&q->problem, -ENOMEM, "out of memory");
    return NULL;
}

static void request_cancel(struct host_request *q) {
    if (q->pending)
        request_end(q);
}

void host_open_stream_with(struct host *h, struct stream_request *r, const struct peer_id *peer,
                           const char *protocol, unsigned flags, nsec_t deadline,
                           void (*done)(struct stream_request *r, struct stream *s, int error)) {
    *r = (struct stream_request){.base.flags = flags, .protocol = protocol, .done = done};
    struct peer *p = request_begin(h, &r->base, peer, deadline, on_stream_timeout);
    if (p != NULL)
        list_push(&p->stream_requests, &r->base.node);
    else
        done(r, NULL, -ENOMEM);
}

void stream_request_cancel(struct stream_request *r) {
    request_cancel(&r->base);
}

void host_connect_with(struct host *h, struct connect_request *r, const struct peer_id *peer,
                       unsigned flags, nsec_t deadline,
                       void (*done)(struct connect_request *r, const struct multiaddr *remote,
                                    int error)) {
    *r = (struct connect_request){.base.flags = flags, .done = done};
    struct peer *p = request_begin(h, &r->base, peer, deadline, on_connect_timeout);
    if (p != NULL)
        list_push(&p->connect_requests, &r->base.node);
    else
        done(r, NULL, -ENOMEM);
}

void connect_request_cancel(struct connect_request *r) {
    request_cancel(&r->base);
}

/* --- Who watches --- */

static void tell_opened(struct host_conn *hc) {
    list_for_each_safe (node, &hc->peer->host->watches) {
        struct host_watch *w = LIST_ENTRY(node, struct host_watch, node);
        if (w->opened != NULL)
            w->opened(w, hc->conn);
    }
}

void swarm_identified(struct host_conn *hc) {
    if (hc->identified)
        return;
    hc->identified = true;
    list_for_each_safe (node, &hc->peer->host->watches) {
        struct host_watch *w = LIST_ENTRY(node, struct host_watch, node);
        if (w->identified != NULL)
            w->identified(w, hc->conn);
    }
}

void swarm_told(struct host_conn *hc, const struct identify_message *m) {
    list_for_each_safe (node, &hc->peer->host->watches) {
        struct host_watch *w = LIST_ENTRY(node, struct host_watch, node);
        if (w->told != NULL)
            w->told(w, hc->conn, m);
    }
}

void swarm_observed(struct host_conn *hc, struct bytes addr) {
    list_for_each_safe (node, &hc->peer->host->watches) {
        struct host_watch *w = LIST_ENTRY(node, struct host_watch, node);
        if (w->observed != NULL)
            w->observed(w, hc->conn, addr);
    }
}

/* A watch may end streams, but closes no connection. */
static void tell_silent(struct peer *p) {
    nsec_t again = NSEC_NEVER;
    list_for_each (node, &p->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, node);
        if (!swarm_take_silent(hc, &again))
            continue;
        list_for_each_safe (watch, &p->host->watches) {
            struct host_watch *w = LIST_ENTRY(watch, struct host_watch, node);
            if (w->silent != NULL)
                w->silent(w, hc->conn);
        }
    }
    if (again != NSEC_NEVER)
        wake_at(p, again);
}

static void tell_closed(struct host *h, struct conn *c) {
    list_for_each_safe (node, &h->watches) {
        struct host_watch *w = LIST_ENTRY(node, struct host_watch, node);
        if (w->closed != NULL)
            w->closed(w, c);
    }
}

/* --- Connections --- */

int swarm_add_conn(struct host *h, struct conn *c, struct host_conn **ret_conn) {
    struct peer *p;
    int e = swarm_peer(h, &c->peer, &p);
    if (e < 0)
        return e;
    struct host_conn *hc = mem_alloc(reactor_mem(h->reactor), sizeof(*hc));
    if (hc == NULL) {
        swarm_wake(p); /* which forgets it if nothing else is known of it: the caller may hold it */
        return -ENOMEM;
    }
    hc->conn = c;
    hc->peer = p;
    list_init(&hc->node);
    list_init(&hc->host_node);
    list_push(&p->conns, &hc->node);
    list_push(&h->conns, &hc->host_node);
    p->conns_count++;
    h->conns_count++;
    c->idle_since = reactor_now(h->reactor);
    c->user = hc;
    c->events = &host_conn_events;
    hc->authorized = !host_denies(h, &c->peer);
    if (hc->authorized)
        c->ops->admit(c);
    *ret_conn = hc;
    if (!c->relayed)
        dial_pace_forget(&p->pace);
    swarm_doubt_others(hc);
    swarm_check_limits(h);
    swarm_wake(p);
    tell_opened(hc);
    return 0;
}

/* --- Streams --- */

int host_open_stream_on(struct host *h, struct conn *c, const char *protocol,
                        struct stream **ret_stream) {
    struct muxed *m;
    int e = c->ops->open_stream(c, &m);
    if (e < 0)
        return e;
    e = stream_new_outbound(h->reactor, c, m, protocol, ret_stream);
    if (e < 0)
        c->ops->muxed.release(m);
    return e;
}

static int open_on(struct host_conn *hc, const char *protocol, struct stream **ret_stream) {
    int e = host_open_stream_on(hc->peer->host, hc->conn, protocol, ret_stream);
    if (e == -EAGAIN)
        hc->full = true;
    return e == -ERR_CONN_CLOSED ? -EAGAIN : e; /* another connection may do */
}

/* Opens a stream on the best connection that has room.  -EAGAIN when none has. */
static int open_somewhere(struct peer *p, const char *protocol, const struct conn_choice *choice,
                          struct stream **ret_stream) {
    list_for_each (node, &p->conns) {
        LIST_ENTRY(node, struct host_conn, node)->tried = false;
    }
    struct host_conn *hc;
    while ((hc = swarm_best_conn(p, choice)) != NULL) {
        int e = open_on(hc, protocol, ret_stream);
        if (e == 0 && !swarm_is_preferred(hc->conn, choice->prefer))
            p->missing = choice->prefer;
        if (e != -EAGAIN)
            return e;
        hc->tried = true;
    }
    return -EAGAIN;
}

/* --- Serving requests --- */

static enum dial_preference preference_of(const struct peer *p, const struct host_request *q) {
    if (p->host->prefer != DIAL_AUTO)
        return p->host->prefer;
    return (q->flags & HOST_REQUEST_BULK) != 0 ? p->host->prefer_bulk : DIAL_AUTO;
}

static void serve_connects(struct peer *p, bool takes_suspects) {
    const struct host_conn *hc = swarm_confirmed_conn(p, takes_suspects);
    while (hc != NULL && !list_is_empty(&p->connect_requests)) {
        struct connect_request *r =
            LIST_ENTRY(p->connect_requests.next, struct connect_request, base.node);
        finish_connect(r, &hc->conn->remote, 0);
    }
}

/* false: there is no room for it, and it waits. */
static bool serve_stream(struct peer *p, struct stream_request *r, bool takes_suspects) {
    struct conn_choice choice = {.prefer = preference_of(p, &r->base),
                                 .takes_suspects = takes_suspects,
                                 .takes_limited = (r->base.flags & HOST_REQUEST_LIMITED) != 0};
    struct stream *s;
    int e = open_somewhere(p, r->protocol, &choice, &s);
    if (e == -EAGAIN && (r->base.flags & HOST_REQUEST_NO_DIAL) == 0)
        return false;
    if (e == -EAGAIN)
        e = p->conns_count == 0 ? -ERR_NOT_CONNECTED : -ERR_RESOURCE_LIMIT;
    if (e < 0)
        (void)problem_set(&r->base.problem, e, "%s", err_text(e));
    else
        wake_at(p, reactor_now(p->host->reactor) + HOST_SUSPECT_AFTER);
    finish_stream(r, e == 0 ? s : NULL, e);
    return true;
}

/* Where there is no room for one, there is none for those behind it that are as choosy. */
static void serve_streams(struct peer *p, bool takes_suspects) {
    struct list waiting;
    struct list *node;
    bool is_full[2] = {false, false}; /* to those that take a limited connection, too */
    list_init(&waiting);
    /* A callback may ask again at once: it waits for its turn. */
    list_splice(&waiting, &p->stream_requests);
    while ((node = list_shift(&waiting)) != NULL) {
        struct stream_request *r = LIST_ENTRY(node, struct stream_request, base.node);
        bool takes_limited = (r->base.flags & HOST_REQUEST_LIMITED) != 0;
        bool must_end = (r->base.flags & HOST_REQUEST_NO_DIAL) != 0;
        if ((!is_full[takes_limited] || must_end) && serve_stream(p, r, takes_suspects))
            continue;
        is_full[takes_limited] = true;
        list_push(&p->stream_requests, node);
    }
}

/* Whether some request wants more than a limited connection. */
static bool is_choosy(const struct peer *p) {
    list_for_each (node, &p->stream_requests) {
        if ((LIST_ENTRY(node, struct host_request, node)->flags & HOST_REQUEST_LIMITED) == 0)
            return true;
    }
    return false;
}

static bool streams_wait(const struct peer *p) {
    return !list_is_empty(&p->stream_requests) && !swarm_room_may_come(p);
}

static bool connects_wait(const struct peer *p) {
    return !list_is_empty(&p->connect_requests) && !swarm_has_sound_conn(p);
}

/* No new connection comes of it.  A connection that is under suspicion is better than none; and
 * where connections stand, it is not the dials that keep the requests from their streams. */
static void give_up(struct peer *p, int error, const struct problem *why) {
    struct problem full;
    serve_connects(p, true);
    serve_streams(p, true);
    if (p->conns_count > 0 && is_choosy(p) && !swarm_has_unlimited_conn(p)) {
        error = problem_set(&full, -ERR_LIMITED_CONN,
                            "the peer is reached through a relay that limits what may be sent");
        why = &full;
    } else if (p->conns_count > 0) {
        error = problem_set(&full, -ERR_RESOURCE_LIMIT,
                            "all connections to the peer are at their limit of streams");
        why = &full;
    }
    fail_requests(p, error, why);
}

/* Who waited for a connection that we dialled to be confirmed learns why it was not: dialling again
 * would only repeat it. */
static void on_not_let_in(struct peer *p, const struct conn *c, int error,
                          const struct problem *why) {
    struct host *h = p->host;
    dial_backoff_failed(&h->backoff, &p->id, &c->remote, reactor_now(h->reactor));
    bool is_dialling = p->round != NULL && !p->round->is_over;
    if (!is_dialling && (streams_wait(p) || connects_wait(p)))
        give_up(p, error, why);
}

void swarm_remove_conn(struct host_conn *hc, int error, const struct problem *why) {
    struct peer *p = hc->peer;
    struct conn *c = hc->conn;
    list_remove(&hc->node);
    list_remove(&hc->host_node);
    assert(p->conns_count > 0);
    p->conns_count--;
    p->host->conns_count--;
    (void)mem_free(reactor_mem(p->host->reactor), hc);
    if (!c->inbound && !c->confirmed)
        on_not_let_in(p, c, error, why);
    swarm_wake(p);
    tell_closed(p->host, c);
}

/* --- Rounds of dials --- */

/* Who waits gets the connection that comes first, also for much data: another that suits it better
 * is dialled behind its back, once it has its stream. */
static struct dial_wish wish_of(const struct peer *p) {
    struct dial_wish wish = {.prefer = p->host->prefer, .background = true};
    /* Another detour would be as limited. */
    wish.only_direct = p->conns_count > 0 && is_choosy(p) && !swarm_has_unlimited_conn(p);
    list_for_each (node, &p->stream_requests) {
        const struct host_request *q = LIST_ENTRY(node, const struct host_request, node);
        wish.background = wish.background && (q->flags & HOST_REQUEST_BACKGROUND) != 0;
    }
    list_for_each (node, &p->connect_requests) {
        const struct host_request *q = LIST_ENTRY(node, const struct host_request, node);
        wish.background = wish.background && (q->flags & HOST_REQUEST_BACKGROUND) != 0;
    }
    return wish;
}

static void dial_for_requests(struct peer *p) {
    struct dial_wish wish = wish_of(p);
    struct problem why = PROBLEM_INIT;
    int error = -ERR_RESOURCE_LIMIT;
    if (p->conns_count < HOST_CONNS_PER_PEER_MAX)
        error = dial_round_start(p, &wish, &why, &p->round);
    if (error < 0)
        give_up(p, error, &why);
    else
        dial_round_advance(p->round);
}

/* Between two races to a peer whose connections are in doubt: one that fails ends with a look at
 * the peer, and names may be asked for each. */
#define DOUBT_INTERVAL SEC(1)

/* The same of dials for a kind of connection that streams had to do without: a peer that has no
 * such address is not asked for it, nor its names, with every stream. */
#define MISSING_INTERVAL SEC(15)

/* Nobody waits for these, and nobody hears of them when they fail. */
static void dial_in_background(struct peer *p) {
    struct dial_wish wish = {.prefer = p->host->prefer, .background = true};
    struct problem why;
    nsec_t now = reactor_now(p->host->reactor);
    enum dial_preference missing = p->missing;
    p->missing = DIAL_AUTO;
    bool is_missed = p->is_missed && !swarm_has_sound_conn(p);
    p->is_missed = false;
    if (is_missed) {
        p->race_again_at = now + DOUBT_INTERVAL;
    } else if (missing != DIAL_AUTO && now >= p->missing_again_at) {
        wish.prefer = missing;
        wish.only_preferred = true;
        p->missing_again_at = now + MISSING_INTERVAL;
    } else if (!swarm_is_in_doubt(p) || now < p->race_again_at) {
        return;
    } else {
        p->race_again_at = now + DOUBT_INTERVAL;
    }
    if (p->conns_count < HOST_CONNS_PER_PEER_MAX &&
        dial_round_start(p, &wish, &why, &p->round) == 0)
        dial_round_advance(p->round);
}

/* When the next of those is due, as far as is known. */
static nsec_t background_due(const struct peer *p) {
    if (p->host->closing)
        return NSEC_NEVER;
    if (p->is_missed || p->missing != DIAL_AUTO)
        return 0;
    return swarm_is_in_doubt(p) ? p->race_again_at : NSEC_NEVER;
}

/* Takes what came of the round.  One that began with nobody waiting may not have tried all. */
static void end_round(struct peer *p) {
    struct dial_round *r = TAKE(p->round);
    bool is_awaited = !wish_of(p).background;
    if (r->error < 0 && !r->has_left_out)
        dial_pace_failed(&p->pace);
    bool has_more = r->has_left_out && (r->wish.only_preferred || is_awaited);
    if (r->error < 0 && !has_more && (streams_wait(p) || connects_wait(p)))
        give_up(p, r->error, &r->problem);
    (void)dial_round_free(r);
}

/* A suspicion may turn out to be none while requests wait for a race. */
#define SUSPECT_RECHECK MSEC(250)

static void fail_at_shutdown(struct peer *p) {
    struct problem why;
    (void)problem_set(&why, 0, "%s", err_text(-ERR_SHUTDOWN));
    fail_requests(p, -ERR_SHUTDOWN, &why);
}

static void close_spares(struct peer *p) {
    struct host_conn *hc;
    nsec_t again;
    while ((hc = swarm_spare_conn(p, &again)) != NULL) {
        hc->closing = true;
        hc->conn->ops->close(hc->conn, CONN_CODE_SUPPLANTED);
    }
    if (again != NSEC_NEVER)
        wake_at(p, again);
}

/* Whether somebody waits for a round that began for nobody: what that has left out may be there
 * sooner than it ends. */
static bool is_too_little(const struct peer *p) {
    const struct dial_round *r = p->round;
    return r != NULL && r->wish.background && r->has_left_out && !wish_of(p).background;
}

/* Nothing where a round runs: its end is looked at. */
static void dial_if_due(struct peer *p, bool waits) {
    nsec_t now = reactor_now(p->host->reactor);
    nsec_t not_before = dial_pace_not_before(&p->pace);
    if (p->round == NULL && now >= not_before && waits)
        dial_for_requests(p);
    else if (p->round == NULL && now >= not_before && !p->host->closing)
        dial_in_background(p);
    nsec_t due = waits ? not_before : background_due(p);
    if (p->round == NULL && due != NSEC_NEVER && MAX(due, not_before) > now)
        wake_at(p, MAX(due, not_before));
}

static void look_at(struct peer *p) {
    if (p->host->closing)
        fail_at_shutdown(p);
    if (p->round != NULL)
        dial_round_advance(p->round);
    serve_connects(p, false);
    serve_streams(p, false);
    if (p->round != NULL && p->round->is_over)
        end_round(p);
    if (swarm_has_sound_direct_conn(p))
        dial_pace_forget(&p->pace);
    bool waits = streams_wait(p) || connects_wait(p);
    if (waits && is_too_little(p))
        p->round = dial_round_free(p->round);
    dial_if_due(p, waits);
    if (p->conns_count > 0 && waits)
        wake_at(p, reactor_now(p->host->reactor) + SUSPECT_RECHECK);
    nsec_t suspicion_due = swarm_suspicion_due(p);
    if (suspicion_due != NSEC_NEVER)
        wake_at(p, suspicion_due);
    tell_silent(p);
    if (p->conns_count > 1)
        close_spares(p);
    free_if_idle(p);
}

void swarm_work(struct deferred *d) {
    struct host *h = CONTAINER_OF(d, struct host, work);
    struct list now;
    list_init(&now);
    list_splice(&now, &h->busy);
    struct list *node;
    while ((node = list_shift(&now)) != NULL)
        look_at(LIST_ENTRY(node, struct peer, work_node));
}

void swarm_fail_all(struct host *h) {
    map_for_each (node, &h->peers) {
        struct peer *p = CONTAINER_OF(node, struct peer, node);
        p->round = dial_round_free(p->round);
        swarm_wake(p);
    }
    direct_dial_fail_all(h);
}

void swarm_done(struct host *h) {
    struct map_node *node;
    while ((node = map_next(&h->peers, NULL)) != NULL)
        free_peer(CONTAINER_OF(node, struct peer, node));
    (void)mem_free(reactor_mem(h->reactor), h->announced.items);
    dial_backoff_done(&h->backoff);
    swarm_guests_done(h);
    swarm_limits_done(h);
}

int swarm_init(struct host *h, const struct host_limits *limits) {
    list_init(&h->busy);
    list_init(&h->tcp_waiting);
    list_init(&h->direct_dials);
    deferred_init(&h->work, swarm_work);
    int e = swarm_limits_init(h, limits);
    if (e < 0)
        return e;
    e = swarm_guests_init(h);
    if (e == 0) {
        e = dial_backoff_init(&h->backoff, reactor_mem(h->reactor), reactor_rng(h->reactor));
        if (e < 0)
            swarm_guests_done(h);
    }
    if (e < 0)
        swarm_limits_done(h);
    return e;
}

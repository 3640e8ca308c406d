/* SPDX-License-Identifier: MIT */
/* Peers, their connections, and what waits for one.  All decisions are made in look_at(), at the
 * end of a turn, from the state that the turn left. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/host_internal.h"

/* --- Peers --- */

struct peer *swarm_find(struct host *h, const struct peer_id *id) {
    struct map_node *node = map_find(&h->peers, peer_id_bytes(id));
    return node == NULL ? NULL : CONTAINER_OF(node, struct peer, node);
}

int swarm_peer(struct host *h, const struct peer_id *id, struct peer **ret_peer) {
    struct peer *p = swarm_find(h, id);
    if (p == NULL) {
        p = mem_alloc(reactor_mem(h->reactor), sizeof(*p));
        if (p == NULL)
            return -ENOMEM;
        p->host = h;
        p->id = *id;
        list_init(&p->conns);
        list_init(&p->stream_requests);
        list_init(&p->connect_requests);
        list_init(&p->work_node);
        map_node_init(&p->node);
        map_insert(&h->peers, &p->node, peer_id_bytes(&p->id));
    }
    *ret_peer = p;
    return 0;
}

static void free_peer(struct peer *p) {
    list_remove(&p->work_node);
    map_remove(&p->host->peers, &p->node);
    (void)mem_free(reactor_mem(p->host->reactor), p);
}

/* A peer of whom nothing is known and nothing is wanted is forgotten. */
static void free_if_idle(struct peer *p) {
    if (p->conns_count == 0 && p->addrs_count == 0 && p->dials_running == 0 &&
        list_is_empty(&p->stream_requests) && list_is_empty(&p->connect_requests))
        free_peer(p);
}

void swarm_wake(struct peer *p) {
    if (!list_is_linked(&p->work_node))
        list_push(&p->host->busy, &p->work_node);
    reactor_defer(p->host->reactor, &p->host->work);
}

int host_add_addrs(struct host *h, const struct peer_id *peer, const struct multiaddr *addrs,
                   size_t count) {
    struct peer *p;
    int e = swarm_peer(h, peer, &p);
    if (e < 0)
        return e;
    p->addrs_count = 0;
    for (size_t i = 0; i < count && p->addrs_count < HOST_ADDRS_PER_PEER_MAX; i++) {
        struct multiaddr transport_addr = addrs[i];
        struct peer_id suffix;
        if (multiaddr_split_peer(&addrs[i], &transport_addr, &suffix) == 0 &&
            !peer_id_equal(&suffix, peer))
            continue;
        p->addrs[p->addrs_count++] = transport_addr;
    }
    swarm_wake(p);
    return 0;
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

static int timed_out(struct host_request *q) {
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

void host_open_stream(struct host *h, struct stream_request *r, const struct peer_id *peer,
                      const char *protocol, nsec_t deadline,
                      void (*done)(struct stream_request *r, struct stream *s, int error)) {
    *r = (struct stream_request){.protocol = protocol, .done = done};
    struct peer *p = request_begin(h, &r->base, peer, deadline, on_stream_timeout);
    if (p != NULL)
        list_push(&p->stream_requests, &r->base.node);
    else
        done(r, NULL, -ENOMEM);
}

void stream_request_cancel(struct stream_request *r) {
    request_cancel(&r->base);
}

void host_connect(struct host *h, struct connect_request *r, const struct peer_id *peer,
                  nsec_t deadline,
                  void (*done)(struct connect_request *r, const struct multiaddr *remote,
                               int error)) {
    *r = (struct connect_request){.done = done};
    struct peer *p = request_begin(h, &r->base, peer, deadline, on_connect_timeout);
    if (p != NULL)
        list_push(&p->connect_requests, &r->base.node);
    else
        done(r, NULL, -ENOMEM);
}

void connect_request_cancel(struct connect_request *r) {
    request_cancel(&r->base);
}

/* --- Dialling --- */

static struct peer *peer_of_dial(struct dial *d) {
    struct peer *p =
        d->transport->user == NULL ? NULL : swarm_find(d->transport->user, &d->expected);
    assert(p != NULL); /* a peer with a dial running is not freed */
    return p;
}

static void cancel_dials(struct peer *p) {
    for (uint32_t i = 0; i < HOST_ADDRS_PER_PEER_MAX; i++) {
        if ((p->dials_running & 1u << i) != 0)
            p->dials[i].transport->ops->cancel(p->dials[i].transport, &p->dials[i]);
    }
    p->dials_running = 0;
}

static void on_dialled(struct dial *d, struct conn *c, int error, const struct problem *why) {
    struct peer *p = peer_of_dial(d);
    struct host *h = p->host;
    p->dials_running &= ~(1u << (d - p->dials));
    struct host_conn *hc;
    if (error == 0)
        error = swarm_add_conn(h, c, &hc);
    if (error == 0) {
        p->dial_error = 0;
        cancel_dials(p);
        identify_start(h, hc);
        swarm_wake(p);
        return;
    }
    char text[MULTIADDR_TEXT_MAX];
    log_debug(reactor_log(h->reactor), L_DIAL, "dial failed",
              kv_str("address", multiaddr_format(&d->to, text)), kv_err(error));
    if (c != NULL)
        c->ops->close(c, 0);
    p->dial_error = error;
    if (why != NULL)
        p->dial_problem = *why;
    swarm_wake(p);
}

/* Dials every address at once; the first that answers wins. */
static void start_dials(struct peer *p) {
    p->dial_error = -ERR_NO_ADDRESSES;
    (void)problem_set(&p->dial_problem, 0, "%s", err_text(-ERR_NO_ADDRESSES));
    for (uint32_t i = 0; i < p->addrs_count; i++) {
        struct dial *d = &p->dials[i];
        struct transport *t = host_transport_for(p->host, &p->addrs[i]);
        if (t == NULL)
            continue;
        *d = (struct dial){.transport = t, .expected = p->id, .to = p->addrs[i]};
        list_init(&d->node);
        d->done = on_dialled;
        int e = t->ops->dial(t, d);
        if (e == 0) {
            p->dials_running |= 1u << i;
        } else {
            p->dial_error = e;
            (void)problem_set(&p->dial_problem, e, "%s", err_text(e));
        }
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
    c->user = hc;
    c->events = &host_conn_events;
    hc->authorized = !host_denies(h, &c->peer);
    if (hc->authorized)
        c->ops->admit(c);
    *ret_conn = hc;
    swarm_wake(p);
    return 0;
}

void swarm_remove_conn(struct host_conn *hc, int error, const struct problem *why) {
    struct peer *p = hc->peer;
    list_remove(&hc->node);
    list_remove(&hc->host_node);
    assert(p->conns_count > 0);
    p->conns_count--;
    (void)mem_free(reactor_mem(p->host->reactor), hc);
    /* Who waited for this very connection to be confirmed learns why it was not; dialling again
     * would only repeat it. */
    if (p->conns_count == 0 && p->dials_running == 0)
        fail_requests(p, error, why);
    swarm_wake(p);
}

/* Whether a new stream goes over `a` rather than over `b`, which is older (connection-lifecycle.md,
 * "Duplicate connections"). */
static bool conn_is_better(const struct conn *a, const struct conn *b) {
    if (a->limited != b->limited)
        return !a->limited;
    if (a->relayed != b->relayed)
        return !a->relayed;
    return a->streams_count >= b->streams_count;
}

/* The best of those that were not tried yet for this stream. */
static struct host_conn *best_conn_with_room(const struct peer *p) {
    struct host_conn *best = NULL;
    list_for_each (node, &p->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, node);
        if (!hc->full && !hc->tried && (best == NULL || conn_is_better(hc->conn, best->conn)))
            best = hc;
    }
    return best;
}

static int open_on(struct host_conn *hc, const char *protocol, struct stream **ret_stream) {
    struct conn *c = hc->conn;
    struct muxed *m;
    int e = c->ops->open_stream(c, &m);
    if (e < 0) {
        hc->full = e == -EAGAIN;
        return -EAGAIN; /* another connection may do */
    }
    e = stream_new_outbound(hc->peer->host->reactor, c, m, protocol, ret_stream);
    if (e < 0)
        c->ops->muxed.release(m);
    return e;
}

/* Opens a stream on the best connection that has room.  -EAGAIN when none has. */
static int open_somewhere(struct peer *p, const char *protocol, struct stream **ret_stream) {
    list_for_each (node, &p->conns) {
        LIST_ENTRY(node, struct host_conn, node)->tried = false;
    }
    struct host_conn *hc;
    while ((hc = best_conn_with_room(p)) != NULL) {
        int e = open_on(hc, protocol, ret_stream);
        if (e != -EAGAIN)
            return e;
        hc->tried = true;
    }
    return -EAGAIN;
}

static const struct host_conn *confirmed_conn(const struct peer *p) {
    list_for_each (node, &p->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, struct host_conn, node);
        if (hc->conn->confirmed)
            return hc;
    }
    return NULL;
}

/* A peer lets us open more streams when it has admitted us, which is what confirms a connection. */
static bool room_may_come(const struct peer *p) {
    list_for_each (node, &p->conns) {
        if (!LIST_ENTRY(node, const struct host_conn, node)->conn->confirmed)
            return true;
    }
    return false;
}

static void serve_connects(struct peer *p) {
    const struct host_conn *hc = confirmed_conn(p);
    while (hc != NULL && !list_is_empty(&p->connect_requests)) {
        struct connect_request *r =
            LIST_ENTRY(p->connect_requests.next, struct connect_request, base.node);
        finish_connect(r, &hc->conn->remote, 0);
    }
}

static void serve_streams(struct peer *p) {
    while (!list_is_empty(&p->stream_requests)) {
        struct stream_request *r =
            LIST_ENTRY(p->stream_requests.next, struct stream_request, base.node);
        struct stream *s;
        int e = open_somewhere(p, r->protocol, &s);
        if (e == -EAGAIN)
            return;
        if (e < 0)
            (void)problem_set(&r->base.problem, e, "%s", err_text(e));
        finish_stream(r, e == 0 ? s : NULL, e);
    }
}

/* Every address of this round failed, or there was none to dial.  With connections that stand, that
 * is not what keeps the requests from their streams. */
static void fail_dial_round(struct peer *p) {
    struct problem why = p->dial_problem;
    int error = p->dial_error;
    if (error == 0 || p->conns_count > 0) {
        error = -ERR_RESOURCE_LIMIT;
        (void)problem_set(&why, error, "all connections to the peer are at their limit of streams");
    }
    p->dial_error = 0;
    fail_requests(p, error, &why);
}

static void fail_at_shutdown(struct peer *p) {
    struct problem why;
    (void)problem_set(&why, 0, "%s", err_text(-ERR_SHUTDOWN));
    fail_requests(p, -ERR_SHUTDOWN, &why);
}

static void look_at(struct peer *p) {
    if (p->host->closing)
        fail_at_shutdown(p);
    serve_connects(p);
    serve_streams(p);
    bool streams_wait = !list_is_empty(&p->stream_requests) && !room_may_come(p);
    bool connects_wait = !list_is_empty(&p->connect_requests) && p->conns_count == 0;
    if (p->dials_running == 0 && !streams_wait && !connects_wait)
        p->dial_error = 0; /* nobody is left to hear of it */
    else if (p->dials_running == 0) {
        if (p->dial_error == 0 && p->conns_count < HOST_CONNS_PER_PEER_MAX)
            start_dials(p);
        if (p->dials_running == 0)
            fail_dial_round(p);
    }
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
        cancel_dials(p);
        swarm_wake(p);
    }
}

void swarm_done(struct host *h) {
    struct map_node *node;
    while ((node = map_next(&h->peers, NULL)) != NULL)
        free_peer(CONTAINER_OF(node, struct peer, node));
}

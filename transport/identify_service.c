/* SPDX-License-Identifier: MIT */
/* Identify among the host's services: who the peer is, who we are, and the news about us.
 *
 *   readings  the peer's message: on a stream that we opened (identify), or that it did (push)
 *   answers   ours, written at once, and the stream forgotten: it ends by itself
 *   pushes    ours, on streams that we opened, held until the peer has read
 *
 * Each ends with its stream, which ends before its connection does: none outlives a host_conn. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/host_internal.h"
#include "uring/netif.h"
#include "uring/netwatch.h"

enum {
    /* Messages that one peer may be pushing at a time; each can take IDENTIFY_READ_MAX bytes. */
    PUSHES_PER_PEER_MAX = 4,
    /* Each is signed anew, so that thousands at once would hold the reactor up. */
    PUSHES_PER_TURN = 32,
    INTERFACE_ADDRS_MAX = 64,
};

static const char identify_protocol[] = "/ipfs/id/1.0.0";
static const char push_protocol[] = "/ipfs/id/push/1.0.0";

/* --- Our own message --- */

/* `kind` is that of the listen address. */
static size_t add_addr(const struct net_addr *a, enum multiaddr_kind kind, const struct conn *c,
                       struct multiaddr *out, size_t count) {
    struct net_addr remote;
    bool peer_is_local = c != NULL && multiaddr_to_net_addr(&c->remote, &remote) == 0 &&
                         net_addr_is_loopback(&remote);
    if (count == HOST_ADVERTISED_MAX || (net_addr_is_loopback(a) && !peer_is_local))
        return count;
    multiaddr_from_net_addr(a, kind == MULTIADDR_KIND_WS ? MULTIADDR_KIND_TCP : kind, &out[count]);
    if (kind == MULTIADDR_KIND_WS && multiaddr_add(&out[count], MULTIADDR_WS) < 0)
        return count;
    return count + 1;
}

/* What "all addresses of this machine" comes to. */
static size_t interface_addrs(const struct host *h, struct net_addr *out, size_t max) {
    static const struct net_addr loopback[] = {
        {.family = NET_IP4, .ip = {127, 0, 0, 1}},
        {.family = NET_IP6, .ip = {[15] = 1}},
    };
    const struct netwatch_snapshot *s = h->netwatch == NULL ? NULL : netwatch_snapshot(h->netwatch);
    if (s == NULL || !s->is_known)
        return (size_t)MAX(netif_addrs(out, max), (ssize_t)0);
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(loopback) && count < max; i++)
        out[count++] = loopback[i];
    for (uint32_t i = 0; i < s->addrs_count && count < max; i++)
        out[count++] = s->addrs[i].ip;
    return count;
}

/* Behind no NAT it is what we listen on. */
static size_t add_announced(const struct multiaddr *a, struct multiaddr *out, size_t count) {
    if (count < HOST_ADVERTISED_MAX && !multiaddr_is_in(a, out, count))
        out[count++] = *a;
    return count;
}

/* Loopback addresses are for those who came that way: go's rule. */
size_t host_advertised_addrs(const struct host *h, const struct conn *c,
                             struct multiaddr ret_addrs[HOST_ADVERTISED_MAX]) {
    struct multiaddr bound[HOST_LISTEN_MAX];
    struct net_addr interfaces[INTERFACE_ADDRS_MAX];
    size_t bound_count = host_listen_addrs(h, bound, HOST_LISTEN_MAX);
    ssize_t interfaces_count = -1; /* not asked for */
    size_t count = 0;
    for (size_t i = 0; i < bound_count; i++) {
        enum multiaddr_kind kind = multiaddr_kind(&bound[i]);
        struct net_addr a;
        if (kind == MULTIADDR_KIND_CIRCUIT && count < HOST_ADVERTISED_MAX)
            ret_addrs[count++] = bound[i];
        if (kind == MULTIADDR_KIND_CIRCUIT || multiaddr_to_net_addr(&bound[i], &a) < 0)
            continue;
        if (!net_addr_is_unspecified(&a)) {
            count = add_addr(&a, kind, c, ret_addrs, count);
            continue;
        }
        if (interfaces_count < 0)
            interfaces_count = (ssize_t)interface_addrs(h, interfaces, INTERFACE_ADDRS_MAX);
        for (ssize_t j = 0; j < interfaces_count; j++) {
            struct net_addr *at = &interfaces[j];
            at->port = a.port;
            if (at->family == a.family)
                count = add_addr(at, kind, c, ret_addrs, count);
        }
    }
    for (uint32_t i = 0; i < h->announced.count; i++)
        count = add_announced(&h->announced.items[i], ret_addrs, count);
    identify_sort_addrs(ret_addrs, count);
    return count;
}

/* -ENOMEM, else the count. */
static ssize_t own_protocols(const struct host *h, const char ***ret_names) {
    size_t count = host_protocols(h, NULL, 0);
    const char **names = mem_alloc_array(reactor_mem(h->reactor), count, sizeof(*names));
    if (names == NULL)
        return -ENOMEM;
    *ret_names = names;
    return (ssize_t)host_protocols(h, names, count);
}

/* Grows over restarts, too: nanoseconds since 1970, as in go. */
static uint64_t next_record_seq(struct host *h) {
    uint64_t now = (uint64_t)reactor_walltime(h->reactor) * 1000000000u;
    h->record_seq = MAX(h->record_seq + 1, now);
    return h->record_seq;
}

/* Returns the length; the errors of identify_encode() and -ENOMEM. */
static ssize_t encode(struct host *h, const struct conn *c, uint8_t ret_out[IDENTIFY_OUT_MAX]) {
    struct multiaddr addrs[HOST_ADVERTISED_MAX];
    const char **names;
    ssize_t names_count = own_protocols(h, &names);
    if (names_count < 0)
        return names_count;
    struct identify_info info = {.identity = &h->identity,
                                 .addrs = addrs,
                                 .addrs_count = host_advertised_addrs(h, c, addrs),
                                 .protocols = names,
                                 .protocols_count = (size_t)names_count,
                                 .observed = &c->remote,
                                 .protocol_version = "",
                                 .agent = h->agent,
                                 .record_seq = next_record_seq(h)};
    ssize_t n = identify_encode(&info, ret_out);
    (void)mem_free(reactor_mem(h->reactor), names);
    return n;
}

/* Writes our message and the end.  A new stream has room, unless the pool is used up. */
static int write_message(struct host *h, struct stream *s) {
    uint8_t out[IDENTIFY_OUT_MAX];
    ssize_t n = encode(h, stream_conn(s), out);
    int e = n < 0 ? (int)n : stream_write_bytes(s, bytes_of(out, (size_t)n));
    if (e < 0) {
        log_warn(reactor_log(h->reactor), L_SWARM, "cannot tell a peer who we are", kv_err(e));
        stream_reset(s, STREAM_CODE_RESOURCE_LIMIT);
        return e;
    }
    stream_shutdown_write(s);
    return 0;
}

/* --- Answers --- */

static void on_asked(struct protocol_handler *ph, struct stream *s) {
    struct host *h = CONTAINER_OF(ph, struct host, identify_handler);
    if (write_message(h, s) == 0)
        host_conn_of(stream_conn(s))->push_due = false;
    (void)stream_release(s);
}

/* --- Readings --- */

struct reading {
    struct host *host;
    struct host_conn *conn;
    struct stream *stream;
    struct identify_reader reader;
    struct timer timer;
    bool pushed;
};

static void end_reading(struct reading *r) {
    if (r->pushed) {
        assert(r->conn->peer->pushes_count > 0);
        r->conn->peer->pushes_count--;
    }
    identify_reader_done(&r->reader);
    timer_done(&r->timer);
    (void)stream_release(r->stream);
    (void)mem_free(reactor_mem(r->host->reactor), r);
}

static void schedule_pushes(struct host *h) {
    nsec_t next = h->pushed_at == 0 ? 0 : h->pushed_at + HOST_PUSH_INTERVAL;
    timer_start(&h->push_timer, MAX(next, reactor_now(h->reactor)));
}

/* A message is the whole state: what it lacks is gone. */
static void learn(struct reading *r, const struct identify_message *m) {
    struct host_conn *hc = r->conn;
    struct identify_walk addrs = identify_addrs(m, &hc->peer->id);
    swarm_learn_addrs(hc, &addrs);
    if (m->observed.len > 0)
        swarm_observed(hc, m->observed);
    _Static_assert(sizeof(hc->agent) == sizeof(m->agent), "one limit");
    memcpy(hc->agent, m->agent, sizeof(hc->agent));
    swarm_told(hc, m);
    swarm_identified(hc);
    hc->wants_push = identify_has_protocol(m, push_protocol);
    if (hc->wants_push && hc->push_due && !r->host->closing)
        schedule_pushes(r->host);
    char id[PEER_ID_SHORT_MAX];
    log_debug(reactor_log(r->host->reactor), L_SWARM, "peer identified",
              kv_str("peer", peer_id_format_short(&hc->peer->id, id)), kv_str("agent", hc->agent),
              kv_bool("pushed", r->pushed));
}

static void fail_reading(struct reading *r, int error) {
    bool is_fault = error == -ERR_LIMIT || error == -ERR_MALFORMED || error == -ERR_TRUNCATED;
    char id[PEER_ID_SHORT_MAX];
    log_debug(reactor_log(r->host->reactor), L_SWARM, "peer not identified",
              kv_str("peer", peer_id_format_short(&r->conn->peer->id, id)), kv_err(error),
              kv_bool("pushed", r->pushed));
    stream_reset(r->stream, is_fault ? STREAM_CODE_PROTOCOL_VIOLATION : STREAM_CODE_NONE);
    end_reading(r);
}

/* false: the reading is over. */
static bool handle_reading_event(struct reading *r) {
    struct identify_event ev;
    if (!identify_reader_next_event(&r->reader, &ev))
        return true;
    switch (ev.type) {
    case IDENTIFY_EV_MESSAGE:
        learn(r, &ev.message);
        stream_shutdown_write(r->stream);
        end_reading(r);
        return false;
    case IDENTIFY_EV_FAILED:
        fail_reading(r, ev.error);
        return false;
    }
    return false;
}

static void on_reading_readable(struct stream *s) {
    struct reading *r = stream_user(s);
    nsec_t now = reactor_now(r->host->reactor);
    struct slice in;
    ssize_t n;
    while ((n = stream_read(s, &in, 1)) == 1) {
        identify_reader_recv(&r->reader, slice_bytes(&in), now);
        stream_consume(s, &in);
    }
    if (n == -ENODATA)
        identify_reader_recv_end(&r->reader, now);
    (void)handle_reading_event(r);
}

static void on_reading_reset(struct stream *s, uint64_t code) {
    (void)code;
    fail_reading(stream_user(s), -ERR_STREAM_RESET);
}

static void on_reading_closed(struct stream *s, int error) {
    fail_reading(stream_user(s), error == 0 ? -ERR_STREAM_RESET : error);
}

/* That the peer reads no more is how go closes. */
static const struct stream_events reading_events = {
    .readable = on_reading_readable,
    .reset = on_reading_reset,
    .closed = on_reading_closed,
};

static void on_reading_timer(struct timer *t) {
    struct reading *r = CONTAINER_OF(t, struct reading, timer);
    identify_reader_tick(&r->reader, reactor_now(r->host->reactor));
    if (handle_reading_event(r))
        timer_start(t, identify_reader_deadline(&r->reader));
}

/* Takes over the stream.  -ENOMEM leaves it with the caller. */
static int start_reading(struct host *h, struct host_conn *hc, struct stream *s, bool pushed) {
    struct mem *mem = reactor_mem(h->reactor);
    struct reading *r = mem_alloc(mem, sizeof(*r));
    if (r == NULL)
        return -ENOMEM;
    int e = timer_init(&r->timer, h->reactor, on_reading_timer);
    if (e < 0) {
        (void)mem_free(mem, r);
        return e;
    }
    r->host = h;
    r->conn = hc;
    r->stream = s;
    r->pushed = pushed;
    if (pushed)
        hc->peer->pushes_count++;
    identify_reader_init(&r->reader, mem, reactor_now(h->reactor));
    timer_start(&r->timer, identify_reader_deadline(&r->reader));
    stream_set_events(s, &reading_events, r);
    return 0;
}

void identify_start(struct host *h, struct host_conn *hc) {
    struct stream *s;
    if (h->is_anonymous)
        return;
    int e = host_open_stream_on(h, hc->conn, identify_protocol, &s);
    if (e == 0) {
        e = start_reading(h, hc, s, false);
        if (e < 0)
            (void)stream_release(s);
    }
    if (e < 0)
        log_debug(reactor_log(h->reactor), L_SWARM, "cannot ask a peer who it is", kv_err(e));
}

static void on_pushed(struct protocol_handler *ph, struct stream *s) {
    struct host *h = CONTAINER_OF(ph, struct host, push_handler);
    struct host_conn *hc = host_conn_of(stream_conn(s));
    if (hc->peer->pushes_count >= PUSHES_PER_PEER_MAX || start_reading(h, hc, s, true) < 0) {
        stream_reset(s, STREAM_CODE_RESOURCE_LIMIT);
        (void)stream_release(s);
    }
}

/* --- Pushes --- */

struct push {
    struct host *host;
    struct stream *stream;
    struct timer timer;
};

static void end_push(struct push *p) {
    timer_done(&p->timer);
    (void)stream_release(p->stream);
    (void)mem_free(reactor_mem(p->host->reactor), p);
}

/* The peer's end says that it has read.  Going before that would stop its echo of the protocol, for
 * which older go versions give the whole stream up. */
static void on_push_readable(struct stream *s) {
    struct slice in;
    ssize_t n;
    while ((n = stream_read(s, &in, 1)) == 1)
        stream_consume(s, &in);
    if (n < 0)
        end_push(stream_user(s));
}

static void on_push_reset(struct stream *s, uint64_t code) {
    (void)code; /* it will have its reasons */
    end_push(stream_user(s));
}

static void on_push_closed(struct stream *s, int error) {
    (void)error; /* that the peer does not take pushes, at worst */
    end_push(stream_user(s));
}

static const struct stream_events push_events = {
    .readable = on_push_readable,
    .reset = on_push_reset,
    .closed = on_push_closed,
};

static void on_push_timeout(struct timer *t) {
    struct push *p = CONTAINER_OF(t, struct push, timer);
    stream_reset(p->stream, STREAM_CODE_NONE);
    end_push(p);
}

static int start_push(struct host *h, struct host_conn *hc) {
    struct mem *mem = reactor_mem(h->reactor);
    struct push *p = mem_alloc(mem, sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    p->host = h;
    int e = timer_init(&p->timer, h->reactor, on_push_timeout);
    if (e < 0) {
        (void)mem_free(mem, p);
        return e;
    }
    e = host_open_stream_on(h, hc->conn, push_protocol, &p->stream);
    if (e == 0)
        e = write_message(h, p->stream);
    if (e < 0) {
        end_push(p);
        return e;
    }
    timer_start(&p->timer, reactor_now(h->reactor) + IDENTIFY_TIMEOUT);
    stream_set_events(p->stream, &push_events, p);
    return 0;
}

static void on_push_timer(struct timer *t) {
    struct host *h = CONTAINER_OF(t, struct host, push_timer);
    uint32_t count = 0;
    list_for_each (node, &h->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, host_node);
        if (!hc->push_due || !hc->wants_push)
            continue;
        if (count == PUSHES_PER_TURN) {
            timer_start(t, reactor_now(h->reactor)); /* the next turn */
            break;
        }
        hc->push_due = false;
        count++;
        int e = start_push(h, hc);
        if (e < 0)
            log_debug(reactor_log(h->reactor), L_SWARM, "cannot push to a peer", kv_err(e));
    }
    if (count > 0)
        h->pushed_at = reactor_now(h->reactor);
}

void identify_moved(struct host *h) {
    h->pushed_at = 0;
    identify_changed(h);
}

void identify_changed(struct host *h) {
    if (h->closing)
        return;
    list_for_each (node, &h->conns) {
        LIST_ENTRY(node, struct host_conn, host_node)->push_due = true;
    }
    if (!list_is_empty(&h->conns))
        schedule_pushes(h);
}

/* --- Life --- */

int identify_service_init(struct host *h) {
    int e = timer_init(&h->push_timer, h->reactor, on_push_timer);
    if (e < 0)
        return e;
    h->identify_handler = (struct protocol_handler){
        .protocol = identify_protocol, .protocol_class = CLASS_ANY, .accept = on_asked};
    h->push_handler = (struct protocol_handler){
        .protocol = push_protocol, .protocol_class = CLASS_ANY, .accept = on_pushed};
    e = host_handle(h, &h->identify_handler);
    assert(e == 0); /* the first ones */
    e = host_handle(h, &h->push_handler);
    assert(e == 0);
    return 0;
}

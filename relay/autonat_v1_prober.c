/* SPDX-License-Identifier: MIT */
#include "relay/autonat_v1_prober.h"

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/p2p/protocol_id.h"
#include "relay/stream_frame.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "transport/proto/identify.h"
#include "transport/stream.h"
#include "uring/reactor.h"

enum { ADDRS_MAX = HOST_ADVERTISED_MAX + AUTONAT_V1_ADDRS_MAX, FAMILIES = 2 };

static const enum net_family families[FAMILIES] = {NET_IP4, NET_IP6};

struct autonat_v1_prober {
    struct autonat_v1_prober_config cfg;
    struct host_watch watch;
    struct autonat_v1 engines[FAMILIES];
    size_t asked;          /* of which family the question that runs is */
    struct timer timer;    /* the next question */
    struct timer give_up;  /* of the one that runs */
    struct stream *stream; /* NULL: nobody is being asked */
    struct stream_frame in;
    struct peer_id servers[AUTONAT_V1_SERVERS_MAX]; /* who was asked last comes last */
    size_t servers_count;
    uint8_t memory[AUTONAT_V1_MESSAGE_MAX];
};

static nsec_t now_of(const struct autonat_v1_prober *p) {
    return reactor_now(p->cfg.reactor);
}

/* --- Whom there is to ask --- */

static bool is_of_family(const struct conn *c, enum net_family family) {
    struct net_addr at;
    return !c->relayed && multiaddr_to_net_addr(&c->remote, &at) == 0 && at.family == family;
}

static struct conn *direct_conn(const struct autonat_v1_prober *p, const struct peer_id *peer,
                                enum net_family family) {
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    size_t count = host_conns(p->cfg.host, peer, conns, HOST_CONNS_PER_PEER_MAX);
    for (size_t i = 0; i < count; i++)
        if (is_of_family(conns[i], family))
            return conns[i];
    return NULL;
}

/* The server that was not asked for longest; servers_count: there is none. */
static size_t find_server(const struct autonat_v1_prober *p, enum net_family family) {
    size_t i = 0;
    while (i < p->servers_count && direct_conn(p, &p->servers[i], family) == NULL)
        i++;
    return i;
}

/* The family that is due first; FAMILIES: nobody is there to ask. */
static size_t next_family(const struct autonat_v1_prober *p) {
    size_t best = FAMILIES;
    for (size_t i = 0; i < FAMILIES; i++) {
        if (find_server(p, families[i]) < p->servers_count &&
            (best == FAMILIES ||
             autonat_v1_deadline(&p->engines[i]) < autonat_v1_deadline(&p->engines[best])))
            best = i;
    }
    return best;
}

/* --- One question --- */

static void schedule(struct autonat_v1_prober *p) {
    size_t next = p->stream == NULL ? next_family(p) : FAMILIES;
    nsec_t at = next == FAMILIES ? NSEC_NEVER : autonat_v1_deadline(&p->engines[next]);
    timer_start(&p->timer, MAX(at, now_of(p)));
}

static void release(struct autonat_v1_prober *p) {
    timer_stop(&p->give_up);
    stream_frame_done(&p->in);
    p->stream = stream_release(p->stream);
}

static void end_unanswered(struct autonat_v1_prober *p, int error) {
    log_debug(p->cfg.log, L_RELAY, "autonat: no answer of v1", kv_err(error));
    if (p->stream != NULL)
        stream_reset(p->stream, STREAM_CODE_NONE);
    release(p);
    autonat_v1_unanswered(&p->engines[p->asked], now_of(p));
    schedule(p);
}

static void take_answer(struct autonat_v1_prober *p) {
    uint64_t status;
    int e = autonat_v1_decode_response(frame_body(&p->in.frame), &status);
    if (e < 0) {
        end_unanswered(p, e);
        return;
    }
    stream_shutdown_write(p->stream);
    release(p);
    bool is_news = autonat_v1_answered(&p->engines[p->asked], status, now_of(p));
    log_debug(p->cfg.log, L_RELAY, "autonat: answer of v1", kv_uint("status", status));
    if (is_news && p->cfg.changed != NULL)
        p->cfg.changed(p->cfg.user);
    schedule(p);
}

static void on_readable(struct stream *s) {
    struct autonat_v1_prober *p = stream_user(s);
    int e = stream_frame_read(&p->in, s);
    if (e == 1)
        take_answer(p);
    else if (e < 0)
        end_unanswered(p, e);
}

static void on_reset(struct stream *s, uint64_t code) {
    end_unanswered(stream_user(s), code == STREAM_CODE_GATED ? -ERR_GATED : -ERR_STREAM_RESET);
}

static void on_closed(struct stream *s, int error) {
    end_unanswered(stream_user(s), error == 0 ? -ERR_TRUNCATED : error);
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .reset = on_reset,
    .closed = on_closed,
};

/* What others see comes first.  Returns how many. */
static size_t own_addrs(const struct autonat_v1_prober *p,
                        struct multiaddr ret_addrs[AUTONAT_V1_ADDRS_MAX]) {
    struct multiaddr all[ADDRS_MAX];
    size_t all_count = 0, count = 0;
    if (p->cfg.more_addrs != NULL)
        all_count = p->cfg.more_addrs(p->cfg.user, all, AUTONAT_V1_ADDRS_MAX);
    all_count += host_advertised_addrs(p->cfg.host, NULL, all + all_count);
    for (size_t i = 0; i < all_count && count < AUTONAT_V1_ADDRS_MAX; i++) {
        bool is_of_use = p->cfg.accept_private || multiaddr_class(&all[i]) == MULTIADDR_PUBLIC;
        if (is_of_use && !multiaddr_is_relayed(&all[i]) &&
            !multiaddr_is_in(&all[i], ret_addrs, count))
            ret_addrs[count++] = all[i];
    }
    return count;
}

static int write_question(struct autonat_v1_prober *p, const struct multiaddr *addrs,
                          size_t count) {
    uint8_t out[AUTONAT_V1_OUT_MAX];
    size_t len = autonat_v1_encode_dial(&host_identity(p->cfg.host)->id, addrs, count, out);
    return stream_write_bytes(p->stream, bytes_of(out, len));
}

static int ask(struct autonat_v1_prober *p, const struct peer_id *server) {
    struct multiaddr addrs[AUTONAT_V1_ADDRS_MAX];
    size_t count = own_addrs(p, addrs);
    struct conn *c = direct_conn(p, server, families[p->asked]);
    if (count == 0)
        return -ERR_NO_ADDRESSES;
    if (c == NULL)
        return -ERR_NOT_CONNECTED;
    int e = host_open_stream_on(p->cfg.host, c, PROTOCOL_AUTONAT_V1, &p->stream);
    if (e < 0)
        return e;
    stream_frame_init(&p->in, p->memory, sizeof(p->memory));
    stream_set_events(p->stream, &stream_events, p);
    timer_start(&p->give_up, now_of(p) + AUTONAT_V1_TIMEOUT);
    return write_question(p, addrs, count);
}

void autonat_v1_prober_ask(struct autonat_v1_prober *p) {
    size_t family = p->stream == NULL ? next_family(p) : FAMILIES;
    if (family == FAMILIES)
        return;
    p->asked = family;
    size_t at = find_server(p, families[family]);
    struct peer_id server = p->servers[at];
    memmove(&p->servers[at], &p->servers[at + 1], (p->servers_count - at - 1) * sizeof(server));
    p->servers[p->servers_count - 1] = server;
    int e = ask(p, &server);
    if (e < 0)
        end_unanswered(p, e);
    else
        schedule(p);
}

static void on_timer(struct timer *t) {
    autonat_v1_prober_ask(CONTAINER_OF(t, struct autonat_v1_prober, timer));
}

static void on_give_up(struct timer *t) {
    end_unanswered(CONTAINER_OF(t, struct autonat_v1_prober, give_up), -ETIMEDOUT);
}

void autonat_v1_prober_addrs_changed(struct autonat_v1_prober *p) {
    for (size_t i = 0; i < FAMILIES; i++)
        autonat_v1_addrs_changed(&p->engines[i], now_of(p));
    schedule(p);
}

static bool forget(struct autonat_v1_prober *p, size_t family) {
    bool is_news = p->engines[family].reach != AUTONAT_V1_UNKNOWN;
    autonat_v1_init(&p->engines[family], now_of(p));
    return is_news;
}

static void tell(const struct autonat_v1_prober *p, bool is_news) {
    if (is_news && p->cfg.changed != NULL)
        p->cfg.changed(p->cfg.user);
}

void autonat_v1_prober_network_changed(struct autonat_v1_prober *p) {
    bool is_news = false;
    if (p->stream != NULL)
        end_unanswered(p, -ENETRESET);
    for (size_t i = 0; i < FAMILIES; i++)
        is_news = forget(p, i) || is_news;
    schedule(p);
    tell(p, is_news);
}

/* --- Servers --- */

static size_t find(const struct autonat_v1_prober *p, const struct peer_id *peer) {
    size_t i = 0;
    while (i < p->servers_count && !peer_id_equal(&p->servers[i], peer))
        i++;
    return i;
}

static void on_told(struct host_watch *w, struct conn *c, const struct identify_message *m) {
    struct autonat_v1_prober *p = CONTAINER_OF(w, struct autonat_v1_prober, watch);
    bool serves = identify_has_protocol(m, PROTOCOL_AUTONAT_V1) &&
                  !identify_has_protocol(m, PROTOCOL_AUTONAT_REQUEST);
    if (c->relayed || !serves || p->servers_count == AUTONAT_V1_SERVERS_MAX ||
        find(p, &c->peer) < p->servers_count)
        return;
    p->servers[p->servers_count++] = c->peer;
    schedule(p);
}

static bool is_there(const struct autonat_v1_prober *p, const struct peer_id *peer) {
    for (size_t i = 0; i < FAMILIES; i++)
        if (direct_conn(p, peer, families[i]) != NULL)
            return true;
    return false;
}

static void on_conn_closed(struct host_watch *w, struct conn *c) {
    struct autonat_v1_prober *p = CONTAINER_OF(w, struct autonat_v1_prober, watch);
    size_t at = find(p, &c->peer);
    bool is_news = false;
    if (at == p->servers_count)
        return;
    if (!is_there(p, &c->peer)) {
        p->servers_count--;
        memmove(&p->servers[at], &p->servers[at + 1], (p->servers_count - at) * sizeof(c->peer));
    }
    for (size_t i = 0; i < FAMILIES; i++)
        if (p->engines[i].reach != AUTONAT_V1_UNKNOWN &&
            find_server(p, families[i]) == p->servers_count)
            is_news = forget(p, i) || is_news;
    schedule(p); /* or the gone family's time would have the other one asked too soon */
    tell(p, is_news);
}

/* --- Life --- */

enum autonat_v1_reach autonat_v1_prober_reach(const struct autonat_v1_prober *p,
                                              enum net_family family) {
    return p->engines[family == NET_IP6].reach;
}

bool autonat_v1_prober_is_confirmed(const struct autonat_v1_prober *p, enum net_family family) {
    return autonat_v1_is_confirmed(&p->engines[family == NET_IP6]);
}

int autonat_v1_prober_new(const struct autonat_v1_prober_config *cfg,
                          struct autonat_v1_prober **ret_prober) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct autonat_v1_prober *p = mem_alloc(mem, sizeof(*p));
    if (p == NULL || timer_init(&p->timer, cfg->reactor, on_timer) < 0) {
        (void)mem_free(mem, p);
        return -ENOMEM;
    }
    if (timer_init(&p->give_up, cfg->reactor, on_give_up) < 0) {
        timer_done(&p->timer);
        (void)mem_free(mem, p);
        return -ENOMEM;
    }
    p->cfg = *cfg;
    stream_frame_init(&p->in, p->memory, sizeof(p->memory));
    for (size_t i = 0; i < FAMILIES; i++)
        autonat_v1_init(&p->engines[i], now_of(p));
    p->watch = (struct host_watch){.told = on_told, .closed = on_conn_closed};
    host_watch(cfg->host, &p->watch);
    *ret_prober = p;
    return 0;
}

struct autonat_v1_prober *autonat_v1_prober_free(struct autonat_v1_prober *p) {
    if (p == NULL)
        return NULL;
    host_unwatch(&p->watch);
    if (p->stream != NULL)
        stream_reset(p->stream, STREAM_CODE_NONE);
    release(p);
    timer_done(&p->timer);
    timer_done(&p->give_up);
    return mem_free(reactor_mem(p->cfg.reactor), p);
}

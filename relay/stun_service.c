/* SPDX-License-Identifier: MIT */
#include "relay/stun_service.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/p2p/multiaddr.h"
#include "relay/proto/stun_server.h"
#include "transport/host.h"
#include "transport/quic_transport.h"
#include "uring/reactor.h"
#include "uring/udp.h"

enum { LISTEN_ADDRS_MAX = 32 };

/* An answer on its way out of a second port. */
struct answer {
    struct udp_send send;
    bool is_sending;
    uint8_t data[STUN_ANSWER_MAX];
};

/* The port beside a QUIC port. */
struct second {
    struct stun_service *service;
    struct udp_socket udp;
    struct net_addr quic; /* as bound */
    struct answer answers[STUN_SERVICE_SENDS_MAX];
};

struct stun_service {
    struct stun_service_config cfg;
    struct dgram_sink sink;
    struct stun_server engine;
    struct stun_service_stats stats;
    struct second seconds[STUN_SERVICE_SECONDS_MAX];
    size_t seconds_count;
    size_t open_count; /* sockets that are not closed */
    bool closing;
    struct deferred close_work;
    void (*closed)(void *user);
    void *closed_user;
};

/* --- Answers --- */

/* Returns the answer's length; 0: none.  `local`: the address that was asked; `other_port`: ours
 * that answers, too, or 0. */
static size_t make_answer(struct stun_service *s, const struct net_addr *local, uint16_t other_port,
                          const struct net_addr *remote, struct bytes datagram,
                          uint8_t ret_out[STUN_ANSWER_MAX]) {
    struct net_addr other = *local;
    other.port = other_port;
    size_t len = stun_server_answer(&s->engine, remote, other_port == 0 ? NULL : &other, datagram,
                                    ret_out, reactor_now(s->cfg.reactor));
    s->stats.ignored += len == 0;
    return len;
}

static void count(struct stun_service *s, bool is_sent) {
    s->stats.answered += is_sent;
    s->stats.dropped += !is_sent;
}

/* The port beside the QUIC port of an address of ours; 0: there is none. */
static uint16_t second_port_of(const struct stun_service *s, const struct net_addr *local) {
    for (size_t i = 0; i < s->seconds_count; i++) {
        const struct second *b = &s->seconds[i];
        if (!b->udp.closing && b->quic.family == local->family && b->quic.port == local->port &&
            (net_addr_is_unspecified(&b->quic) || net_addr_ip_equal(&b->quic, local)))
            return b->udp.bound.port;
    }
    return 0;
}

static void on_asked(struct dgram_sink *sink, const struct net_addr *local,
                     const struct net_addr *remote, struct bytes datagram) {
    struct stun_service *s = CONTAINER_OF(sink, struct stun_service, sink);
    uint8_t out[STUN_ANSWER_MAX];
    size_t len = make_answer(s, local, second_port_of(s, local), remote, datagram, out);
    if (len > 0)
        count(s, quic_transport_send_raw(host_quic(s->cfg.host), local, remote,
                                         bytes_of(out, len)) == 0);
}

/* --- The second port --- */

static void on_sent(struct udp_send *send, int error) {
    struct answer *a = CONTAINER_OF(send, struct answer, send);
    (void)error; /* as if it were lost on the way */
    a->is_sending = false;
}

static struct answer *find_place(struct second *b) {
    for (size_t i = 0; i < ARRAY_COUNT(b->answers); i++)
        if (!b->answers[i].is_sending)
            return &b->answers[i];
    return NULL;
}

static void answer_one(struct second *b, const struct udp_batch *batch, struct bytes datagram) {
    struct stun_service *s = b->service;
    uint8_t out[STUN_ANSWER_MAX];
    size_t len = make_answer(s, &batch->local, b->quic.port, &batch->remote, datagram, out);
    struct answer *a = len == 0 ? NULL : find_place(b);
    if (len > 0)
        count(s, a != NULL);
    if (a == NULL)
        return;
    memcpy(a->data, out, len);
    a->is_sending = true;
    a->send = (struct udp_send){.data = a->data,
                                .len = len,
                                .segment_len = len,
                                .remote = batch->remote,
                                .local = batch->local,
                                .done = on_sent};
    udp_send_start(&b->udp, &a->send);
}

static void on_received(struct udp_socket *u, const struct udp_batch *batch) {
    struct second *b = CONTAINER_OF(u, struct second, udp);
    for (size_t at = 0; at < batch->len && !u->closing; at += batch->segment_len)
        answer_one(b, batch, bytes_of(batch->data + at, MIN(batch->segment_len, batch->len - at)));
}

static void on_failed(struct udp_socket *u, int error) {
    struct second *b = CONTAINER_OF(u, struct second, udp);
    log_warn(b->service->cfg.log, L_RELAY, "the second STUN port has failed", kv_err(error));
    udp_close(u);
}

static void end_if_closed(struct stun_service *s) {
    if (s->closing && s->open_count == 0)
        reactor_defer(s->cfg.reactor, &s->close_work);
}

static void on_socket_closed(struct udp_socket *u) {
    struct stun_service *s = CONTAINER_OF(u, struct second, udp)->service;
    assert(s->open_count > 0);
    s->open_count--;
    end_if_closed(s);
}

static const struct udp_events udp_events = {
    .received = on_received, .failed = on_failed, .closed = on_socket_closed};

/* One that another program has, or that is privileged, is as good as any other. */
static int bind_beside(struct second *b) {
    struct reactor *r = b->service->cfg.reactor;
    struct udp_config cfg = {.local = b->quic};
    cfg.local.port = b->quic.port == UINT16_MAX ? 0 : (uint16_t)(b->quic.port + 1);
    int e = udp_open(&b->udp, r, &cfg, &udp_events);
    if (e == 0 || cfg.local.port == 0)
        return e;
    cfg.local.port = 0;
    return udp_open(&b->udp, r, &cfg, &udp_events);
}

static void add_second(struct stun_service *s, const struct net_addr *quic) {
    struct second *b = &s->seconds[s->seconds_count];
    char text[NET_ADDR_TEXT_MAX];
    *b = (struct second){.service = s, .quic = *quic};
    int e = bind_beside(b);
    if (e < 0) {
        log_warn(s->cfg.log, L_RELAY, "no second port for STUN",
                 kv_str("beside", net_addr_format(quic, text)), kv_err(e));
        return;
    }
    s->seconds_count++;
    s->open_count++;
    log_info(s->cfg.log, L_RELAY, "STUN is answered on the QUIC port and a second one",
             kv_str("second", net_addr_format(&b->udp.bound, text)));
}

static void open_seconds(struct stun_service *s) {
    struct multiaddr bound[LISTEN_ADDRS_MAX];
    size_t listen_count = host_listen_addrs(s->cfg.host, bound, LISTEN_ADDRS_MAX);
    for (size_t i = 0; i < MIN(listen_count, (size_t)LISTEN_ADDRS_MAX); i++) {
        struct net_addr at;
        if (s->seconds_count < STUN_SERVICE_SECONDS_MAX &&
            multiaddr_kind(&bound[i]) == MULTIADDR_KIND_QUIC &&
            multiaddr_to_net_addr(&bound[i], &at) == 0)
            add_second(s, &at);
    }
}

/* --- Life --- */

static void on_close_work(struct deferred *d) {
    struct stun_service *s = CONTAINER_OF(d, struct stun_service, close_work);
    s->closed(s->closed_user);
}

int stun_service_new(const struct stun_service_config *cfg, struct stun_service **ret_service) {
    struct stun_service *s = mem_alloc(reactor_mem(cfg->reactor), sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->cfg = *cfg;
    s->sink.received = on_asked;
    deferred_init(&s->close_work, on_close_work);
    open_seconds(s);
    quic_transport_set_sink(host_quic(cfg->host), DGRAM_STUN_REQUEST, &s->sink);
    *ret_service = s;
    return 0;
}

void stun_service_close(struct stun_service *s, void (*closed)(void *user), void *user) {
    assert(!s->closing);
    s->closing = true;
    s->closed = closed;
    s->closed_user = user;
    quic_transport_set_sink(host_quic(s->cfg.host), DGRAM_STUN_REQUEST, NULL);
    for (size_t i = 0; i < s->seconds_count; i++)
        udp_close(&s->seconds[i].udp);
    end_if_closed(s);
}

struct stun_service *stun_service_free(struct stun_service *s) {
    if (s == NULL)
        return NULL;
    assert(s->closing && s->open_count == 0);
    deferred_cancel(&s->close_work);
    return mem_free(reactor_mem(s->cfg.reactor), s);
}

size_t stun_service_seconds(const struct stun_service *s,
                            struct net_addr ret_addrs[STUN_SERVICE_SECONDS_MAX]) {
    for (size_t i = 0; i < s->seconds_count; i++)
        ret_addrs[i] = s->seconds[i].udp.bound;
    return s->seconds_count;
}

const struct stun_service_stats *stun_service_stats(const struct stun_service *s) {
    return &s->stats;
}

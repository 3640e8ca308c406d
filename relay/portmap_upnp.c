/* SPDX-License-Identifier: MIT */
#include "relay/portmap_upnp.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "uring/reactor.h"
#include "uring/tcp.h"
#include "uring/udp.h"

/* Whom a search goes to: routers that do not listen to the group, and others. */
enum { SEARCH_GATEWAY, SEARCH_GROUP, SEARCHES_COUNT };

struct portmap_upnp {
    struct portmap_upnp_config cfg;
    struct upnp engine;
    struct udp_socket socket;
    struct udp_send searches[SEARCHES_COUNT];
    char search[UPNP_SEARCH_BYTES_MAX];
    size_t search_len;
    unsigned searching; /* of the sends, those in flight */
    struct tcp_conn tcp;
    struct timer timer; /* of the engine, or of the exchange */
    char request[UPNP_REQUEST_BYTES_MAX];
    size_t request_len;
    uint8_t *answer; /* UPNP_ANSWER_BYTES_MAX, during an exchange; NULL: there is none */
    size_t answer_len;
    bool is_answered; /* the engine was told, and TCP is being closed */
    bool is_closing;
    nsec_t close_by;
    void (*closed)(void *user);
    void *closed_user;
};

static nsec_t now_of(const struct portmap_upnp *p) {
    return reactor_now(p->cfg.reactor);
}

static struct mem *mem_of(const struct portmap_upnp *p) {
    return reactor_mem(p->cfg.reactor);
}

static void look(struct portmap_upnp *p);

/* --- An exchange ------------------------------------------------------------------------------ */

static void end_exchange(struct portmap_upnp *p) {
    p->is_answered = true;
    timer_stop(&p->timer);
    tcp_close(&p->tcp);
}

static void fail_exchange(struct portmap_upnp *p) {
    if (p->is_answered)
        return;
    upnp_failed(&p->engine, now_of(p));
    end_exchange(p);
}

/* What has come so far. */
static void take_answer(struct portmap_upnp *p, bool is_ended) {
    unsigned status;
    struct bytes body;
    int e = upnp_parse_http(p->answer, p->answer_len, is_ended, &status, &body);
    if (e == -EAGAIN && p->answer_len < UPNP_ANSWER_BYTES_MAX)
        return;
    if (e < 0) {
        fail_exchange(p);
        return;
    }
    upnp_answered(&p->engine, status, body, now_of(p));
    end_exchange(p);
}

static void on_connected(struct tcp_conn *c, int error) {
    struct portmap_upnp *p = CONTAINER_OF(c, struct portmap_upnp, tcp);
    struct buf *b =
        error < 0 ? NULL
                  : buf_new(reactor_pool(p->cfg.reactor), buf_class_for(p->request_len), NULL);
    if (b == NULL) {
        fail_exchange(p);
        return;
    }
    memcpy(b->data, p->request, p->request_len);
    struct slice s = slice_of(b, 0, (uint32_t)p->request_len);
    tcp_read_start(c);
    tcp_write(c, &s, 1);
}

static void on_data(struct tcp_conn *c, struct slice s) {
    struct portmap_upnp *p = CONTAINER_OF(c, struct portmap_upnp, tcp);
    size_t len = MIN((size_t)s.len, UPNP_ANSWER_BYTES_MAX - p->answer_len);
    if (!p->is_answered) {
        memcpy(p->answer + p->answer_len, s.data, len);
        p->answer_len += len;
        take_answer(p, false);
    }
    slice_unref(&s);
}

static void on_eof(struct tcp_conn *c) {
    struct portmap_upnp *p = CONTAINER_OF(c, struct portmap_upnp, tcp);
    if (!p->is_answered)
        take_answer(p, true);
}

static void on_written(struct tcp_conn *c) {
    (void)c; /* the answer is what counts */
}

static void on_tcp_failed(struct tcp_conn *c, int error) {
    (void)error;
    fail_exchange(CONTAINER_OF(c, struct portmap_upnp, tcp));
}

static void on_tcp_closed(struct tcp_conn *c) {
    struct portmap_upnp *p = CONTAINER_OF(c, struct portmap_upnp, tcp);
    p->answer = mem_free(mem_of(p), p->answer);
    look(p);
}

static const struct tcp_events tcp_events = {.connected = on_connected,
                                             .data = on_data,
                                             .eof = on_eof,
                                             .written = on_written,
                                             .failed = on_tcp_failed,
                                             .closed = on_tcp_closed};

/* If the engine has a question. */
static void start_exchange(struct portmap_upnp *p) {
    struct sock_addr to = {0};
    struct sock_addr from = {.ip = p->cfg.client};
    if (!upnp_next_request(&p->engine, &to.ip, p->request, &p->request_len, now_of(p)))
        return;
    from.ip.port = 0;
    p->answer = mem_alloc(mem_of(p), UPNP_ANSWER_BYTES_MAX);
    p->answer_len = 0;
    p->is_answered = false;
    tcp_conn_init(&p->tcp, p->cfg.reactor, &tcp_events, NULL);
    if (p->answer == NULL || tcp_connect(&p->tcp, &to, &from) < 0) {
        p->answer = mem_free(mem_of(p), p->answer);
        upnp_failed(&p->engine, now_of(p));
        return;
    }
    nsec_t ends_at = now_of(p) + PORTMAP_UPNP_EXCHANGE_MAX;
    timer_start(&p->timer, p->is_closing ? MIN(ends_at, p->close_by) : ends_at);
}

/* --- The search ------------------------------------------------------------------------------- */

static void on_search_sent(struct udp_send *s, int error) {
    struct portmap_upnp *p = CONTAINER_OF(s->socket, struct portmap_upnp, socket);
    (void)error; /* it counts as lost */
    p->searching &= ~(1u << (s - p->searches));
}

static void send_searches(struct portmap_upnp *p) {
    struct net_addr to[SEARCHES_COUNT] = {p->cfg.gateway, UPNP_SEARCH_GROUP};
    to[SEARCH_GATEWAY].port = UPNP_SEARCH_PORT;
    for (unsigned i = 0; i < SEARCHES_COUNT; i++) {
        if ((p->searching & 1u << i) != 0)
            continue;
        p->searching |= 1u << i;
        p->searches[i] = (struct udp_send){.data = (const uint8_t *)p->search,
                                           .len = p->search_len,
                                           .segment_len = p->search_len,
                                           .remote = to[i],
                                           .local = {.family = NET_NONE},
                                           .done = on_search_sent};
        udp_send_start(&p->socket, &p->searches[i]);
    }
}

static void on_received(struct udp_socket *u, const struct udp_batch *b) {
    struct portmap_upnp *p = CONTAINER_OF(u, struct portmap_upnp, socket);
    if (p->is_closing || !net_addr_ip_equal(&b->remote, &p->cfg.gateway))
        return;
    for (size_t at = 0; at < b->len; at += b->segment_len)
        upnp_recv_search(&p->engine, bytes_of(b->data + at, MIN(b->segment_len, b->len - at)),
                         now_of(p));
    look(p);
}

/* Without it nothing is found any more; what is mapped stays until it runs out. */
static void on_failed(struct udp_socket *u, int error) {
    (void)u;
    (void)error;
}

static void on_socket_closed(struct udp_socket *u) {
    struct portmap_upnp *p = CONTAINER_OF(u, struct portmap_upnp, socket);
    void (*closed)(void *) = p->closed;
    void *user = p->closed_user;
    assert(p->is_closing);
    assert(p->answer == NULL);
    timer_done(&p->timer);
    (void)mem_free(mem_of(p), p);
    closed(user);
}

static const struct udp_events socket_events = {
    .received = on_received, .failed = on_failed, .closed = on_socket_closed};

/* --- All of it -------------------------------------------------------------------------------- */

static void look(struct portmap_upnp *p) {
    struct upnp_event ev;
    while (upnp_next_search(&p->engine, now_of(p)))
        send_searches(p);
    if (p->answer == NULL)
        start_exchange(p);
    if (p->is_closing) {
        if (p->answer == NULL)
            udp_close(&p->socket);
        return;
    }
    if (p->answer == NULL)
        timer_start(&p->timer, upnp_deadline(&p->engine));
    while (upnp_next_event(&p->engine, &ev))
        p->cfg.event(p->cfg.user, &ev);
}

static void on_timer(struct timer *t) {
    struct portmap_upnp *p = CONTAINER_OF(t, struct portmap_upnp, timer);
    if (p->answer != NULL) {
        fail_exchange(p);
        return;
    }
    upnp_tick(&p->engine, now_of(p));
    look(p);
}

int portmap_upnp_new(const struct portmap_upnp_config *cfg, struct portmap_upnp **ret_upnp) {
    struct portmap_upnp *p = mem_alloc(reactor_mem(cfg->reactor), sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    p->cfg = *cfg;
    int e = timer_init(&p->timer, cfg->reactor, on_timer);
    if (e < 0) {
        (void)mem_free(mem_of(p), p);
        return e;
    }
    struct udp_config udp_cfg = {.local = cfg->client};
    udp_cfg.local.port = 0;
    e = udp_open(&p->socket, cfg->reactor, &udp_cfg, &socket_events);
    if (e < 0) {
        timer_done(&p->timer);
        (void)mem_free(mem_of(p), p);
        return e;
    }
    p->search_len = upnp_encode_search(p->search);
    upnp_init(&p->engine, &cfg->gateway, &cfg->client, reactor_rng(cfg->reactor), now_of(p));
    timer_start(&p->timer, now_of(p));
    *ret_upnp = p;
    return 0;
}

size_t portmap_upnp_add(struct portmap_upnp *p, bool is_tcp, uint16_t internal_port) {
    return upnp_add(&p->engine, is_tcp, internal_port, now_of(p));
}

/* The engine has something new to do. */
static void wake(struct portmap_upnp *p) {
    if (p->answer == NULL)
        timer_start(&p->timer, now_of(p));
}

void portmap_upnp_yield(struct portmap_upnp *p, size_t mapping, uint16_t external_port) {
    upnp_yield(&p->engine, mapping, external_port, now_of(p));
    wake(p);
}

void portmap_upnp_resume(struct portmap_upnp *p, size_t mapping) {
    upnp_resume(&p->engine, mapping, now_of(p));
    wake(p);
}

void portmap_upnp_ask_again(struct portmap_upnp *p) {
    upnp_ask_again(&p->engine, now_of(p));
    wake(p);
}

void portmap_upnp_close(struct portmap_upnp *p, bool removes, void (*closed)(void *user),
                        void *user) {
    assert(!p->is_closing);
    p->is_closing = true;
    p->close_by = now_of(p) + PORTMAP_UPNP_CLOSE_MAX;
    p->closed = closed;
    p->closed_user = user;
    if (removes) {
        upnp_close(&p->engine, now_of(p));
    } else {
        upnp_abandon(&p->engine);
        if (p->answer != NULL && !p->is_answered)
            end_exchange(p);
    }
    if (p->answer == NULL) {
        timer_stop(&p->timer);
        look(p);
    } else if (!p->is_answered) {
        timer_start(&p->timer, p->close_by);
    }
}

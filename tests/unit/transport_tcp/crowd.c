/* SPDX-License-Identifier: MIT */
#include "crowd.h"

#include <malloc.h>
#include <stdlib.h>

#include "transport/proto/tls.h"

/* --- Memory and the world --- */

static void *crowd_resize(struct mem *m, void *p, size_t size) {
    struct crowd_mem *c = CONTAINER_OF(m, struct crowd_mem, mem);
    size_t before = p == NULL ? 0 : malloc_usable_size(p);
    void *q = mem_system()->resize(mem_system(), p, size);
    if (size > 0 && q == NULL)
        return NULL;
    c->used += (size == 0 ? 0 : malloc_usable_size(q)) - before;
    c->blocks += (p == NULL && size > 0) - (p != NULL && size == 0);
    return q;
}

static walltime_t fixed_wall(void *context) {
    (void)context;
    return 1800000000; /* early 2027 */
}

static struct net_addr address(unsigned last, uint16_t port) {
    if (last == CROWD_LOCALHOST)
        return (struct net_addr){.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = port};
    return (struct net_addr){.family = NET_IP4, .ip = {5, 1, 0, (uint8_t)last}, .port = port};
}

/* --- What strangers say --- */

static size_t put(uint8_t *out, size_t at, const void *text, size_t len) {
    cr_assert_leq(at + len, CROWD_HELLO_MAX);
    memcpy(out + at, text, len);
    return at + len;
}

#define PUT(out, at, literal) put((out), (at), (literal), sizeof(literal) - 1)
#define GREETING              "\x13/multistream/1.0.0\n"

static size_t put_client_hello(struct crowd *c, const struct tls_cert *cert, uint8_t *out,
                               size_t at) {
    struct tls_context *context;
    struct secure *client;
    uint8_t hello[CROWD_HELLO_MAX];
    cr_assert_eq(tls_context_new(mem_system(), cert, &context), 0);
    struct tls_config cfg = {
        .mem = mem_system(), .context = context, .now = fixed_wall(NULL), .initiator = true};
    cr_assert_eq(tls_new(&cfg, &client), 0);
    size_t n = secure_pull(client, hello, sizeof(hello));
    (void)secure_free(client);
    (void)tls_context_free(context);
    (void)c;
    return put(out, at, hello, n);
}

static void make_words(struct crowd *c, const struct tls_cert *cert) {
    static const uint8_t noise_message[2 + 32] = {0, 32, 9};
    for (enum loris_kind k = LORIS_SLOW; k < LORIS_KINDS; k++)
        c->words_len[k] = PUT(c->words[k], 0, GREETING);
    uint8_t *out = c->words[LORIS_TLS];
    size_t at = PUT(out, c->words_len[LORIS_TLS], "\x0b/tls/1.0.0\n");
    c->words_len[LORIS_TLS] = put_client_hello(c, cert, out, at);
    c->words_len[LORIS_TLS_HALF] = at + (c->words_len[LORIS_TLS] - at) / 2;
    memcpy(c->words[LORIS_TLS_HALF], out, c->words_len[LORIS_TLS_HALF]);
    at = PUT(c->words[LORIS_NOISE], c->words_len[LORIS_NOISE], "\x07/noise\n");
    c->words_len[LORIS_NOISE] =
        put(c->words[LORIS_NOISE], at, noise_message, sizeof(noise_message));
}

static void say(struct crowd *c, struct loris *l, size_t max) {
    size_t n = MIN(max, c->words_len[l->kind] - l->sent);
    if (n == 0 || !l->connected || l->ended || tcp_is_writing(&l->conn))
        return;
    struct buf *b = buf_new(reactor_pool(c->reactor), buf_class_for(n), NULL);
    cr_assert_not_null(b);
    memcpy(b->data, c->words[l->kind] + l->sent, n);
    struct slice s = slice_of(b, 0, (uint32_t)n);
    tcp_write(&l->conn, &s, 1);
    l->sent += n;
}

static void on_tick(struct timer *t) {
    struct crowd *c = CONTAINER_OF(t, struct crowd, tick);
    for (size_t i = 0; i < c->lorises_count; i++)
        if (c->lorises[i].kind == LORIS_SLOW)
            say(c, &c->lorises[i], 1);
    timer_start(&c->tick, reactor_now(c->reactor) + SEC(1));
}

/* --- Strangers --- */

static struct loris *loris_of(struct tcp_conn *conn) {
    return CONTAINER_OF(conn, struct loris, conn);
}

static void loris_ended(struct tcp_conn *conn) {
    struct loris *l = loris_of(conn);
    if (l->ended)
        return;
    l->ended = true;
    l->ended_at = reactor_now(conn->reactor);
    tcp_close(conn);
}

static void loris_connected(struct tcp_conn *conn, int error) {
    loris_of(conn)->connected = true;
    if (error < 0)
        loris_ended(conn);
    else
        tcp_read_start(conn);
}

static void loris_data(struct tcp_conn *conn, struct slice s) {
    loris_of(conn)->got += s.len;
    slice_unref(&s);
}

static void loris_failed(struct tcp_conn *conn, int error) {
    (void)error;
    loris_ended(conn);
}

static void loris_closed(struct tcp_conn *conn) {
    loris_of(conn)->closed = true;
}

static void loris_written(struct tcp_conn *conn) {
    (void)conn;
}

static const struct tcp_events loris_events = {
    .connected = loris_connected,
    .data = loris_data,
    .eof = loris_ended,
    .written = loris_written,
    .failed = loris_failed,
    .closed = loris_closed,
};

static bool all_connected(const struct crowd *c) {
    for (size_t i = 0; i < c->lorises_count; i++)
        if (!c->lorises[i].connected)
            return false;
    return true;
}

void crowd_add(struct crowd *c, size_t count, unsigned from, enum loris_kind kind) {
    size_t first = c->lorises_count;
    struct sock_addr source = {.ip = address(from, 0)};
    struct sock_addr to = {.ip =
                               address(from == CROWD_LOCALHOST ? CROWD_LOCALHOST : 1, CROWD_PORT)};
    for (size_t i = first; i < first + count; i++) {
        struct loris *l = &c->lorises[i];
        l->kind = kind == LORIS_KINDS ? (enum loris_kind)(i % LORIS_KINDS) : kind;
        tcp_conn_init(&l->conn, c->reactor, &loris_events, NULL);
        cr_assert_eq(tcp_connect(&l->conn, &to, &source), 0);
        c->lorises_count++;
        /* One after the other, so that it is known who is the oldest. */
        CROWD_RUN_UNTIL(c, l->connected);
        say(c, l, l->kind == LORIS_SLOW ? 1 : CROWD_HELLO_MAX);
    }
    CROWD_RUN_UNTIL(c, all_connected(c));
    crowd_run_for(c, MSEC(10));
}

size_t crowd_ended(const struct crowd *c, size_t first, size_t count) {
    size_t ended = 0;
    assert(first + count <= c->lorises_count);
    for (size_t i = first; i < first + count; i++)
        ended += c->lorises[i].ended;
    return ended;
}

void crowd_run_for(struct crowd *c, nsec_t time) {
    nsec_t until = reactor_now(c->reactor) + time;
    while (reactor_now(c->reactor) < until)
        cr_assert_eq(reactor_turn(c->reactor, until), 0);
}

/* --- Connections --- */

static void conn_confirmed(struct conn *conn) {
    (void)conn;
}

static void conn_datagram(struct conn *conn, struct slice s) {
    (void)conn;
    slice_unref(&s);
}

static void conn_stream_opened(struct conn *conn, struct muxed *m) {
    conn->ops->muxed.release(m);
}

static void conn_closed(struct conn *conn, int error, const struct problem *why) {
    struct crowd *c = conn->user;
    (void)error;
    (void)why;
    c->conns_open--;
    for (size_t i = 0; i < c->conns_count; i++)
        if (c->conns[i] == conn)
            c->conns[i] = NULL;
}

static const struct conn_events conn_events = {
    .confirmed = conn_confirmed,
    .stream_opened = conn_stream_opened,
    .streams_available = conn_confirmed,
    .datagram = conn_datagram,
    .closed = conn_closed,
};

static void keep(struct crowd *c, struct conn *conn) {
    cr_assert_lt(c->conns_count, CROWD_CONNS_MAX);
    conn->events = &conn_events;
    conn->user = c;
    c->conns[c->conns_count++] = conn;
    c->conns_open++;
}

static void on_accepted(struct transport *t, struct conn *conn) {
    struct crowd *c = t->user;
    c->accepted++;
    keep(c, conn);
}

static const struct transport_events transport_events = {.accepted = on_accepted};

static void honest_done(struct dial *d, struct conn *conn, int error, const struct problem *why) {
    struct honest *h = CONTAINER_OF(d, struct honest, dial);
    (void)why;
    h->error = error;
    h->done_at = reactor_now(h->crowd->reactor);
    h->conn = conn;
    if (conn != NULL)
        keep(h->crowd, conn);
}

void honest_dial(struct honest *h, struct crowd *c, unsigned to) {
    struct net_addr at = address(to, CROWD_PORT);
    uint32_t accepted = c->accepted;
    *h = (struct honest){.crowd = c, .began_at = reactor_now(c->reactor)};
    list_init(&h->dial.node);
    h->dial.transport = c->dialler;
    h->dial.expected = c->identity[0].id;
    h->dial.done = honest_done;
    multiaddr_from_net_addr(&at, MULTIADDR_KIND_TCP, &h->dial.to);
    cr_assert_eq(c->dialler->ops->dial(c->dialler, &h->dial), 0);
    CROWD_RUN_UNTIL(c, h->done_at != 0 && (h->error < 0 || c->accepted > accepted));
}

/* --- Life --- */

static struct transport *transport_open(struct crowd *c, const struct identity *id,
                                        const struct tls_cert *cert, unsigned securities) {
    struct tcp_transport_config cfg = {
        .reactor = c->reactor, .identity = id, .cert = cert, .securities = securities};
    struct transport *t;
    cr_assert_eq(tcp_transport_new(&cfg, &transport_events, c, &t), 0);
    return t;
}

static void listen_at(struct crowd *c, unsigned last) {
    struct problem why = PROBLEM_INIT;
    struct multiaddr at;
    struct net_addr addr = address(last, CROWD_PORT);
    multiaddr_from_net_addr(&addr, MULTIADDR_KIND_TCP, &at);
    cr_assert_eq(c->listener->ops->listen(c->listener, &at, &why), 0, "%s", why.text);
}

void crowd_init(struct crowd *c, size_t lorises) {
    struct tls_cert certs[2];
    memset(c, 0, sizeof(*c));
    fixed_rng_init(&c->rng, 88172645463325252u);
    c->env = (struct wolf_env){.rng = &c->rng.rng, .wall = fixed_wall};
    c->env_before = wolf_env_set(&c->env);
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t seed[ED25519_SEED_BYTES] = {(uint8_t)(i + 1)};
        cr_assert_eq(identity_from_seed(seed, &c->identity[i]), 0);
        cr_assert_eq(tls_cert_make(&c->identity[i], &c->rng.rng, &certs[i]), 0);
    }
    make_words(c, &certs[1]);
    world_init(&c->world, 1, false);
    net_init(&c->net, &c->world);
    struct sim_host *host = net_add_host(&c->net);
    for (unsigned last = 1; last <= HOST_ADDRS_MAX; last++)
        net_add_addr(host, &(struct net_addr){.family = NET_IP4, .ip = {5, 1, 0, (uint8_t)last}});
    proc_start_alone(&c->proc, host);
    c->mem.mem.resize = crowd_resize;
    struct reactor_config cfg = {
        .mem = &c->mem.mem,
        .backend = &backend_sim,
        .backend_context = &(struct sim_backend_config){.proc = &c->proc},
    };
    cr_assert_eq(reactor_new(&cfg, &c->reactor), 0);
    c->listener = transport_open(c, &c->identity[0], &certs[0], UPGRADE_TLS | UPGRADE_NOISE);
    c->dialler = transport_open(c, &c->identity[1], &certs[1], UPGRADE_TLS);
    listen_at(c, CROWD_LOCALHOST);
    listen_at(c, 1);
    c->lorises = calloc(lorises, sizeof(*c->lorises));
    cr_assert_not_null(c->lorises);
    cr_assert_eq(timer_init(&c->tick, c->reactor, on_tick), 0);
    timer_start(&c->tick, reactor_now(c->reactor) + SEC(1));
    tls_cert_done(&certs[0]);
    tls_cert_done(&certs[1]);
}

static void transport_closed(void *user) {
    ((struct crowd *)user)->closed++;
}

static bool all_closed(const struct crowd *c) {
    for (size_t i = 0; i < c->lorises_count; i++)
        if (!c->lorises[i].closed)
            return false;
    return c->closed == 2;
}

void crowd_done(struct crowd *c) {
    timer_done(&c->tick);
    for (size_t i = 0; i < c->lorises_count; i++)
        loris_ended(&c->lorises[i].conn);
    c->dialler->ops->close(c->dialler, 0, transport_closed, c);
    c->listener->ops->close(c->listener, 0, transport_closed, c);
    CROWD_RUN_UNTIL(c, all_closed(c));
    cr_assert_eq(c->conns_open, 0);
    c->dialler->ops->free(c->dialler);
    c->listener->ops->free(c->listener);
    crowd_run_for(c, SEC(1));
    reactor_free(c->reactor);
    cr_assert_eq(c->mem.blocks, 0);
    proc_done(&c->proc);
    net_done(&c->net);
    cr_assert_not(world_has_failed(&c->world), "%s", c->world.failure);
    world_done(&c->world);
    free(c->lorises);
    (void)wolf_env_set(c->env_before);
}

/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include "core/base/mem.h"

static void test_rng_fill(struct rng *rng, void *out, size_t size) {
    struct test_rng *g = CONTAINER_OF(rng, struct test_rng, rng);
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++) {
        g->state ^= g->state << 13;
        g->state ^= g->state >> 7;
        g->state ^= g->state << 17;
        bytes[i] = (uint8_t)(g->state >> 24);
    }
}

void test_rng_init(struct test_rng *g, uint64_t seed) {
    *g = (struct test_rng){.rng.fill = test_rng_fill, .state = seed};
}

static walltime_t fixed_wall(void *context) {
    (void)context;
    return 1800000000; /* early 2027 */
}

static void side_init(struct pair *p, struct side *s, uint8_t seed, const char *local,
                      const char *remote) {
    uint8_t seed_bytes[ED25519_SEED_BYTES];
    memset(seed_bytes, seed, sizeof(seed_bytes));
    assert(identity_from_seed(seed_bytes, &s->identity) == 0);
    struct tls_cert cert;
    assert(tls_cert_make(&s->identity, &p->rng.rng, &cert) == 0);
    assert(tls_context_new(mem_system(), &cert, &s->tls) == 0);
    tls_cert_done(&cert);
    s->quota = QUOTA_INIT(MIB(64), NULL);
    assert(net_addr_parse(local, &s->path.local) == 0);
    assert(net_addr_parse(remote, &s->path.remote) == 0);
}

void pair_init(struct pair *p) {
    *p = (struct pair){.now = SEC(1)};
    test_rng_init(&p->rng, 88172645463325252u);
    p->env = (struct wolf_env){.rng = &p->rng.rng, .wall = fixed_wall};
    p->env_before = wolf_env_set(&p->env);
    struct buf_pool_config cfg = {.bytes_max = MIB(256), .reserve_bytes = MIB(1)};
    assert(buf_pool_new(mem_system(), &cfg, &p->pool) == 0);
    memset(p->reset_key, 7, sizeof(p->reset_key));
    side_init(p, &p->client, 1, "192.0.2.1:1111", "192.0.2.2:2222");
    side_init(p, &p->server, 2, "192.0.2.2:2222", "192.0.2.1:1111");
}

static void side_done(struct side *s) {
    slice_unref(&s->datagram);
    if (s->conn != NULL) {
        for (size_t i = 0; i < s->seen_count; i++) {
            if (s->seen[i].stream != NULL)
                quic_stream_release(s->seen[i].stream);
        }
        s->conn = quic_conn_free(s->conn);
    }
    s->tls = tls_context_free(s->tls);
    assert(s->quota.used_bytes == 0);
}

void pair_done(struct pair *p) {
    for (size_t i = 0; i < 2; i++) {
        struct side *s = i == 0 ? &p->client : &p->server;
        if (s->conn != NULL && !s->closed)
            quic_conn_close(s->conn, CONN_CODE_NONE, p->now);
    }
    (void)pair_exchange(p);
    side_done(&p->client);
    side_done(&p->server);
    struct buf_pool_stats stats;
    buf_pool_stats(p->pool, &stats);
    assert(stats.bytes_in_use == 0);
    p->pool = buf_pool_free(p->pool);
    (void)wolf_env_set(p->env_before);
}

struct seen *pair_seen(struct side *s, const struct quic_stream *stream) {
    for (size_t i = 0; i < s->seen_count; i++) {
        if (s->seen[i].stream == stream)
            return &s->seen[i];
    }
    assert(s->seen_count < PAIR_STREAMS_MAX);
    s->seen[s->seen_count] = (struct seen){.stream = (struct quic_stream *)(uintptr_t)stream};
    return &s->seen[s->seen_count++];
}

static void note_event(struct side *s, const struct quic_event *ev) {
    switch (ev->type) {
    case QUIC_EV_CONNECTED:
        s->connected = true;
        break;
    case QUIC_EV_CONFIRMED:
        s->confirmed = true;
        break;
    case QUIC_EV_CID_ADDED:
        s->cids++;
        break;
    case QUIC_EV_CID_REMOVED:
        s->cids--;
        break;
    case QUIC_EV_MOVED:
        s->moved = true;
        break;
    case QUIC_EV_STREAMS_AVAILABLE:
        s->streams_available = true;
        break;
    case QUIC_EV_STREAM_OPENED:
        pair_seen(s, ev->stream)->opened = true;
        break;
    case QUIC_EV_STREAM_READABLE:
        pair_seen(s, ev->stream)->readable = true;
        break;
    case QUIC_EV_STREAM_WRITABLE:
        pair_seen(s, ev->stream)->writable = true;
        break;
    case QUIC_EV_STREAM_STOPPED:
        pair_seen(s, ev->stream)->stopped = true;
        pair_seen(s, ev->stream)->code = ev->code;
        break;
    case QUIC_EV_STREAM_RESET:
        pair_seen(s, ev->stream)->reset = true;
        pair_seen(s, ev->stream)->code = ev->code;
        break;
    case QUIC_EV_STREAM_CLOSED:
        pair_seen(s, ev->stream)->closed = true;
        break;
    case QUIC_EV_DATAGRAM:
        slice_unref(&s->datagram);
        s->datagram = ev->datagram;
        s->datagrams++;
        break;
    case QUIC_EV_CLOSED:
        s->closed = true;
        break;
    case QUIC_EV_GONE:
        s->gone = true;
        break;
    }
}

static void drain(struct side *s) {
    struct quic_event ev;
    while (s->conn != NULL && !s->gone && quic_conn_next_event(s->conn, &ev))
        note_event(s, &ev);
}

static struct quic_conn_config config_of(struct pair *p, struct side *s) {
    return (struct quic_conn_config){.mem = p->mem == NULL ? mem_system() : p->mem,
                                     .rng = &p->rng.rng,
                                     .pool = p->pool,
                                     .quota = &s->quota,
                                     .tls = s->tls,
                                     .reset_key = p->reset_key,
                                     .walltime = fixed_wall(NULL)};
}

/* The server's part before it has a connection. */
static void first_packet(struct pair *p, struct bytes packet) {
    struct quic_packet in;
    quic_packet_parse(packet, &in);
    if (in.kind != QUIC_PACKET_INITIAL)
        return;
    struct quic_initial initial;
    assert(quic_packet_initial(&in, &p->server.path.remote, p->reset_key, p->now, &initial) == 0);
    if (p->retry && !initial.after_retry) {
        uint8_t out[QUIC_PACKET_OUT_MAX];
        size_t n =
            quic_packet_retry(&in, &p->server.path.remote, p->reset_key, &p->rng.rng, p->now, out);
        assert(n > 0);
        quic_conn_recv(p->client.conn, &p->client.path, 0, bytes_of(out, n), p->now);
        return;
    }
    struct quic_conn_config cfg = config_of(p, &p->server);
    assert(quic_conn_accept(&cfg, &initial, &p->server.path, p->now, &p->server.conn) == 0);
    quic_conn_recv(p->server.conn, &p->server.path, 0, packet, p->now);
}

static bool lost(struct pair *p) {
    return p->cut || rng_below(&p->rng.rng, 100) < p->loss_percent;
}

void pair_feed_server(struct pair *p, struct bytes packet) {
    if (p->server.conn == NULL)
        first_packet(p, packet);
    else
        quic_conn_recv(p->server.conn, &p->server.path, 0, packet, p->now);
    drain(&p->server);
}

static bool carry(struct pair *p, struct side *from, struct side *to) {
    static uint8_t out[65536];
    struct quic_batch batch;
    bool moved = false;
    while (from->conn != NULL && quic_conn_pull(from->conn, out, 65507, &batch, p->now)) {
        moved = true;
        for (size_t at = 0; at < batch.len; at += batch.segment_len) {
            struct bytes packet = bytes_of(out + at, MIN(batch.segment_len, batch.len - at));
            from->packets_out++;
            if (lost(p))
                continue;
            if (to->conn == NULL)
                first_packet(p, packet);
            else
                quic_conn_recv(to->conn, &to->path, batch.ecn, packet, p->now);
        }
    }
    drain(from);
    drain(to);
    return moved;
}

bool pair_exchange(struct pair *p) {
    bool there = carry(p, &p->client, &p->server);
    p->now += p->delay;
    bool back = carry(p, &p->server, &p->client);
    p->now += p->delay;
    return there || back;
}

static nsec_t next_deadline(const struct pair *p) {
    nsec_t at = NSEC_NEVER;
    if (p->client.conn != NULL)
        at = MIN(at, quic_conn_deadline(p->client.conn));
    if (p->server.conn != NULL)
        at = MIN(at, quic_conn_deadline(p->server.conn));
    return at;
}

static void tick(struct pair *p) {
    if (p->client.conn != NULL)
        quic_conn_tick(p->client.conn, p->now);
    if (p->server.conn != NULL)
        quic_conn_tick(p->server.conn, p->now);
    drain(&p->client);
    drain(&p->server);
}

void pair_run_until(struct pair *p, nsec_t until) {
    while (p->now < until) {
        if (pair_exchange(p))
            continue;
        p->now = MAX(p->now, MIN(MAX(p->now + USEC(1), next_deadline(p)), until));
        tick(p);
    }
}

void pair_run_until_set(struct pair *p, const bool *flag) {
    nsec_t give_up = p->now + SEC(120);
    while (!*flag) {
        assert(p->now < give_up); /* waited 120 s for nothing */
        if (pair_exchange(p))
            continue;
        p->now = MAX(p->now, MIN(MAX(p->now + USEC(1), next_deadline(p)), give_up));
        tick(p);
    }
}

void pair_start(struct pair *p) {
    struct quic_conn_config cfg = config_of(p, &p->client);
    if (peer_id_is_none(&p->expected))
        p->expected = p->server.identity.id;
    cfg.expected = &p->expected;
    assert(quic_conn_connect(&cfg, &p->client.path, p->now, &p->client.conn) == 0);
}

void pair_connect(struct pair *p) {
    pair_start(p);
    nsec_t give_up = p->now + SEC(60);
    while (!(p->client.confirmed && p->server.confirmed) && !p->client.closed && p->now < give_up) {
        if (pair_exchange(p))
            continue;
        p->now = MAX(p->now + USEC(1), next_deadline(p));
        tick(p);
    }
}

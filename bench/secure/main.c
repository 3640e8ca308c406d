/* SPDX-License-Identifier: MIT */

/* What the records of secure channels cost, without sockets: plaintext in Gbit/s per CPU-second of
 * one thread that seals and opens.
 *
 *   peerup-bench-secure [ROUNDS [PLAIN_BYTES]]
 *
 *   library   wolfSSL_write() and wolfSSL_read() between two pieces of memory
 *   own       transport/proto/tls_record.h: the plaintext lies elsewhere, or where it is sealed
 *   channel   the engine of transport/proto/tls.h or noise.h behind secure.h, as the driver calls
 * it
 *
 * Then whole handshakes, both ends and both certificates or signatures, per CPU-second.
 *
 * Rounds are interleaved; the median is printed, with the least and the most. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/secure/library.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/crypto/wolf_env.h"
#include "core/p2p/identity.h"
#include "transport/proto/noise.h"
#include "transport/proto/tls.h"
#include "transport/proto/tls_record.h"

enum {
    ROUNDS_MAX = 99,
    ROUND_MSEC = 200,
    BATCH = 16, /* records between two looks at the clock */
    WIRE_BYTES = BATCH * (TLS_PLAIN_MAX + 64),
    WALL = LIBRARY_WALL,
};

static void fatal(const char *what) {
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static void check(bool ok, const char *what) {
    if (!ok)
        fatal(what);
}

static double cpu_now(void) {
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- The world --- */

struct weak_rng {
    struct rng rng;
    uint64_t state;
};

static void weak_fill(struct rng *rng, void *out, size_t size) {
    struct weak_rng *g = CONTAINER_OF(rng, struct weak_rng, rng);
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++) {
        g->state ^= g->state << 13;
        g->state ^= g->state >> 7;
        g->state ^= g->state << 17;
        bytes[i] = (uint8_t)(g->state >> 24);
    }
}

static walltime_t fixed_wall(void *context) {
    (void)context;
    return WALL;
}

struct world {
    struct weak_rng rng;
    struct wolf_env env;
    struct identity identity;
    struct tls_context *context;
    size_t plain_bytes;
    uint8_t *plain;
    uint8_t *wire;
    uint8_t *result;
};

static void world_init(struct world *w, size_t plain_bytes) {
    uint8_t seed[ED25519_SEED_BYTES] = {1};
    struct tls_cert cert;
    w->rng = (struct weak_rng){.rng.fill = weak_fill, .state = 88172645463325252u};
    w->env = (struct wolf_env){.rng = &w->rng.rng, .wall = fixed_wall};
    (void)wolf_env_set(&w->env);
    check(identity_from_seed(seed, &w->identity) == 0 &&
              tls_cert_make(&w->identity, &w->rng.rng, &cert) == 0 &&
              tls_context_new(mem_system(), &cert, &w->context) == 0,
          "set-up");
    w->plain_bytes = plain_bytes;
    w->plain = calloc(1, TLS_PLAIN_MAX);
    w->wire = calloc(1, WIRE_BYTES);
    w->result = calloc(1, TLS_PLAIN_MAX);
    check(w->plain != NULL && w->wire != NULL && w->result != NULL, "memory");
}

/* --- wolfSSL's records --- */

static void *library_of(struct world *w, const char *suite) {
    struct library *l = library_new(w->context, suite);
    check(l != NULL, "the library's handshake");
    return l;
}

static void library_batch(struct world *w, void *state) {
    for (int i = 0; i < BATCH; i++)
        check(library_write(state, bytes_of(w->plain, w->plain_bytes)), "write");
    for (int i = 0; i < BATCH; i++)
        check(library_read(state, w->result, w->plain_bytes), "read");
}

/* --- Our own records --- */

struct own {
    struct tls_flow tx;
    struct tls_flow rx;
    bool in_place;
};

static void *own_new(uint16_t suite, bool in_place) {
    static const uint8_t secret[TLS_SECRET_BYTES_MAX] = {7};
    struct own *o = calloc(1, sizeof(*o));
    check(o != NULL && tls_flow_init(&o->tx, mem_system(), tls_suite_find(suite), secret) == 0 &&
              tls_flow_init(&o->rx, mem_system(), tls_suite_find(suite), secret) == 0,
          "flow");
    o->in_place = in_place;
    return o;
}

static void own_batch(struct world *w, void *state) {
    struct own *o = state;
    size_t record = w->plain_bytes + TLS_OVERHEAD;
    for (size_t i = 0; i < BATCH; i++) {
        uint8_t *at = w->wire + i * record;
        const uint8_t *from = o->in_place ? at + TLS_HEADER_BYTES : w->plain;
        (void)tls_flow_seal(&o->tx, TLS_CONTENT_DATA, bytes_of(from, w->plain_bytes), at);
    }
    for (size_t i = 0; i < BATCH; i++) {
        uint8_t *at = w->wire + i * record;
        uint8_t type;
        struct bytes content;
        check(tls_flow_open(&o->rx, at, at + TLS_HEADER_BYTES, record - TLS_HEADER_BYTES, &type,
                            &content) == 0,
              "open");
    }
}

/* --- Whole channels --- */

struct channel {
    struct secure *client;
    struct secure *server;
};

static bool carry(struct secure *from, struct secure *to) {
    uint8_t out[SECURE_PULL_MAX];
    size_t n = secure_pull(from, out, sizeof(out));
    return n > 0 && secure_recv(to, bytes_of(out, n)) == n;
}

static void *channel_of(struct secure *client, struct secure *server) {
    struct channel *c = calloc(1, sizeof(*c));
    check(c != NULL, "memory");
    *c = (struct channel){client, server};
    while (carry(client, server) || carry(server, client))
        ;
    check(client->state == SECURE_OPEN && server->state == SECURE_OPEN, "handshake");
    return c;
}

static void *tls_channel_new(struct world *w) {
    struct tls_config cfg = {.mem = mem_system(), .context = w->context, .now = WALL};
    struct secure *server, *client;
    check(tls_new(&cfg, &server) == 0, "TLS");
    cfg.initiator = true;
    check(tls_new(&cfg, &client) == 0, "TLS");
    return channel_of(client, server);
}

static void *noise_channel_new(struct world *w) {
    struct noise_config cfg = {.mem = mem_system(), .rng = &w->rng.rng, .identity = &w->identity};
    struct secure *server, *client;
    check(noise_new(&cfg, &server) == 0, "Noise");
    cfg.initiator = true;
    check(noise_new(&cfg, &client) == 0, "Noise");
    return channel_of(client, server);
}

static void channel_free(struct channel *c) {
    (void)secure_free(c->client);
    (void)secure_free(c->server);
    free(c);
}

static void tls_handshake_batch(struct world *w, void *state) {
    (void)state;
    channel_free(tls_channel_new(w));
}

static void noise_handshake_batch(struct world *w, void *state) {
    (void)state;
    channel_free(noise_channel_new(w));
}

static void channel_batch(struct world *w, void *state) {
    struct channel *c = state;
    size_t plain = MIN(w->plain_bytes, c->client->ops->plain_max);
    size_t header = c->client->ops->header_bytes;
    size_t len = 0;
    size_t left = BATCH * w->plain_bytes;
    while (left > 0) {
        size_t n = MIN(plain, left);
        len += secure_seal(c->client, bytes_of(w->plain, n), w->wire + len);
        left -= n;
    }
    for (size_t at = 0; at < len;) {
        struct bytes got;
        ssize_t body = secure_body_size(c->server, w->wire + at);
        check(body > 0 && secure_open(c->server, w->wire + at, w->wire + at + header, (size_t)body,
                                      &got) == 0,
              "open");
        at += header + (size_t)body;
    }
}

/* --- Rounds --- */

struct contestant {
    const char *name;
    void (*batch)(struct world *w, void *state);
    void *state;
    double result[ROUNDS_MAX];
};

/* Batches per CPU-second. */
static double measure(struct world *w, const struct contestant *c) {
    double start = cpu_now();
    double end = start + ROUND_MSEC / 1e3;
    uint64_t batches = 0;
    double now;
    do {
        c->batch(w, c->state);
        batches++;
        now = cpu_now();
    } while (now < end);
    return (double)batches / (now - start);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* `unit`: what a batch counts. */
static void compare(struct world *w, struct contestant *all, size_t count, long rounds,
                    double unit) {
    for (long round = 0; round < rounds; round++) {
        for (size_t i = 0; i < count; i++)
            all[i].result[round] = measure(w, &all[i]) * unit;
    }
    for (size_t i = 0; i < count; i++) {
        double *r = all[i].result;
        qsort(r, (size_t)rounds, sizeof(r[0]), by_value);
        printf("%-32s %7.1f / %7.1f / %7.1f\n", all[i].name, r[0], r[rounds / 2], r[rounds - 1]);
    }
}

int main(int argc, char **argv) {
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 5;
    long plain_bytes = argc > 2 ? strtol(argv[2], NULL, 10) : TLS_PLAIN_MAX;
    if (rounds < 1 || rounds > ROUNDS_MAX || plain_bytes < 1 || plain_bytes > TLS_PLAIN_MAX)
        fatal("usage: peerup-bench-secure [ROUNDS [PLAIN_BYTES]]:");
    struct world w;
    world_init(&w, (size_t)plain_bytes);
    struct contestant all[] = {
        {"library  AES-128-GCM", library_batch, library_of(&w, "TLS13-AES128-GCM-SHA256"), {0}},
        {"own      AES-128-GCM", own_batch, own_new(0x1301, false), {0}},
        {"own      AES-128-GCM, in place", own_batch, own_new(0x1301, true), {0}},
        {"channel  TLS", channel_batch, tls_channel_new(&w), {0}},
        {"library  AES-256-GCM", library_batch, library_of(&w, "TLS13-AES256-GCM-SHA384"), {0}},
        {"own      AES-256-GCM", own_batch, own_new(0x1302, false), {0}},
        {"library  ChaCha20-Poly1305",
         library_batch,
         library_of(&w, "TLS13-CHACHA20-POLY1305-SHA256"),
         {0}},
        {"own      ChaCha20-Poly1305", own_batch, own_new(0x1303, false), {0}},
        {"channel  Noise", channel_batch, noise_channel_new(&w), {0}},
    };
    struct contestant handshakes[] = {
        {"handshake  TLS", tls_handshake_batch, NULL, {0}},
        {"handshake  Noise", noise_handshake_batch, NULL, {0}},
    };
    printf("%ld bytes a record, Gbit/s per CPU-second, sealing and opening together\n",
           plain_bytes);
    compare(&w, all, ARRAY_COUNT(all), rounds, BATCH * (double)plain_bytes * 8 / 1e9);
    printf("handshakes per CPU-second, both ends together\n");
    compare(&w, handshakes, ARRAY_COUNT(handshakes), rounds, 1);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/* Two QUIC connections in memory, with a counter for a clock and a wire that loses what it is told
 * to lose.  Also driven by tests/fuzz/fuzz_quic_pair.c, hence plain assertions. */

#include "core/base/buf.h"
#include "core/base/rng.h"
#include "core/crypto/wolf_env.h"
#include "core/p2p/identity.h"
#include "transport/proto/quic_conn.h"
#include "transport/proto/quic_packet.h"
#include "transport/proto/tls_context.h"

enum { PAIR_STREAMS_MAX = 512 };

/* xorshift: the same bytes in every run. */
struct test_rng {
    struct rng rng;
    uint64_t state;
};
void test_rng_init(struct test_rng *g, uint64_t seed);

/* What one side has seen of a stream. */
struct seen {
    struct quic_stream *stream;
    bool opened, readable, writable, stopped, reset, closed;
    uint64_t code;
};

struct side {
    struct quic_conn *conn;
    struct tls_context *tls;
    struct identity identity;
    struct quota quota;
    struct quic_path path;
    struct seen seen[PAIR_STREAMS_MAX];
    size_t seen_count;
    bool connected, confirmed, closed, gone, streams_available, moved;
    size_t cids;
    size_t datagrams;
    struct slice datagram; /* the last one */
    size_t packets_out;
};

struct pair {
    struct test_rng rng;
    struct wolf_env env;
    const struct wolf_env *env_before;
    struct buf_pool *pool;
    uint8_t reset_key[QUIC_RESET_KEY_BYTES];
    struct side client;
    struct side server;
    nsec_t now;
    nsec_t delay; /* one way; every packet takes this long */
    unsigned loss_percent;
    bool cut;                /* nothing arrives any more */
    struct peer_id expected; /* by the client; none: the server's */
    bool retry;              /* the server asks for a token first */
    struct mem *mem;         /* of the connections; NULL: the system's */
};

void pair_init(struct pair *p);
void pair_done(struct pair *p);
/* Makes the client's connection. */
void pair_start(struct pair *p);
/* The same, and runs until both sides are confirmed or one is closed. */
void pair_connect(struct pair *p);
/* Moves packets and the clock until nothing happens before `until`. */
void pair_run_until(struct pair *p, nsec_t until);
/* The same until `*flag`; fails the test after 120 s of the pair's time. */
void pair_run_until_set(struct pair *p, const bool *flag);
/* One exchange of everything that is ready now, without advancing the clock.  false: nothing moved.
 */
bool pair_exchange(struct pair *p);
/* A packet that comes to the server from elsewhere than the client. */
void pair_feed_server(struct pair *p, struct bytes packet);
struct seen *pair_seen(struct side *s, const struct quic_stream *stream);

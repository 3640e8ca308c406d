/* SPDX-License-Identifier: MIT */
#pragma once

/* Two ends of a secure channel and what flows between them, in memory: the smallest driver. */

#include "core/crypto/wolf_env.h"
#include "core/p2p/identity.h"
#include "tests/support/fixed_rng.h"
#include "transport/proto/tls.h"

enum { CHANNEL_ROOM = 1 << 20, CHANNEL_WALL = 1800000000 /* early 2027 */ };

/* What tests share: randomness and wall clock of wolfSSL from one seed. */
struct world {
    struct fixed_rng rng;
    struct wolf_env env;
    const struct wolf_env *env_before;
};

void world_init(struct world *w);
void world_done(struct world *w);

struct end {
    struct world *world;
    struct mem *mem;
    struct identity identity;
    struct tls_context *context;
    struct secure *secure; /* NULL before end_open() */
    uint8_t *in;           /* came and was not taken */
    size_t in_len;
    uint8_t *got; /* plaintext */
    size_t got_len;
    int error; /* of the call that failed last */
    uint64_t records_per_key_max;
};

/* `seed` makes the identity. */
void end_init(struct end *e, struct world *w, uint8_t seed);
void end_done(struct end *e);
void end_open(struct end *e, bool initiator, const struct peer_id *expected);

/* Bytes came: takes what can be taken. */
void end_receive(struct end *e, struct bytes in);
/* What is to be sent by itself. */
size_t end_pull(struct end *e, uint8_t *out, size_t size);
/* Seals `plain` in records of `piece` bytes behind what is to be sent, all of it to `out`. */
size_t end_write(struct end *e, struct bytes plain, size_t piece, uint8_t *out, size_t size);

/* Both ends, until nothing moves; in chunks of `chunk` bytes.  Whether anything moved. */
bool ends_exchange(struct end *a, struct end *b, size_t chunk);

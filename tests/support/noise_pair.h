/* SPDX-License-Identifier: MIT */
#pragma once

/* Two Noise engines face to face, for tests and fuzz targets. */

#include "core/base/mem.h"
#include "tests/support/fixed_rng.h"
#include "transport/proto/noise.h"

struct noise_pair {
    struct fixed_rng rng;
    struct identity identities[2];
    struct secure *ends[2]; /* the initiator first */
};

/* `expected` is whom the initiator wants to meet; NULL: the responder. */
static inline void noise_pair_init(struct noise_pair *p, struct mem *mem, uint64_t seed,
                                   const struct peer_id *expected) {
    *p = (struct noise_pair){.ends = {NULL, NULL}};
    fixed_rng_init(&p->rng, seed);
    for (uint8_t i = 0; i < 2; i++) {
        const uint8_t key_seed[ED25519_SEED_BYTES] = {i};
        int e = identity_from_seed(key_seed, &p->identities[i]);
        assert(e == 0);
    }
    if (expected == NULL)
        expected = &p->identities[1].id;
    for (int i = 0; i < 2; i++) {
        struct noise_config cfg = {
            .mem = mem,
            .rng = &p->rng.rng,
            .identity = &p->identities[i],
            .expected = i == 0 ? expected : NULL,
            .initiator = i == 0,
        };
        int e = noise_new(&cfg, &p->ends[i]);
        assert(e == 0);
    }
}

static inline void noise_pair_done(struct noise_pair *p) {
    for (int i = 0; i < 2; i++) {
        p->ends[i] = secure_free(p->ends[i]);
        identity_done(&p->identities[i]);
    }
}

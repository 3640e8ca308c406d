/* SPDX-License-Identifier: MIT */
#pragma once

/* A source of bytes that a test can repeat: xorshift64* from a seed. */

#include <string.h>

#include "core/base/rng.h"

struct fixed_rng {
    struct rng rng;
    uint64_t state;
};

static inline void fixed_rng_fill(struct rng *g, void *out, size_t size) {
    struct fixed_rng *f = CONTAINER_OF(g, struct fixed_rng, rng);
    for (size_t i = 0; i < size; i++) {
        f->state ^= f->state >> 12;
        f->state ^= f->state << 25;
        f->state ^= f->state >> 27;
        ((uint8_t *)out)[i] = (uint8_t)((f->state * 0x2545f4914f6cdd1d) >> 56);
    }
}

static inline void fixed_rng_init(struct fixed_rng *f, uint64_t seed) {
    *f = (struct fixed_rng){.rng = {.fill = fixed_rng_fill}, .state = seed | 1};
}

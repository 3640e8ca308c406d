/* SPDX-License-Identifier: MIT */
#include "core/base/rng.h"

uint64_t rng_below(struct rng *g, uint64_t bound) {
    assert(bound > 0);
    /* 2^64 mod bound values at the bottom would come once too often: draw again. */
    uint64_t unfair = (0 - bound) % bound;
    for (;;) {
        uint64_t v;
        rng_fill(g, &v, sizeof(v));
        if (v >= unfair)
            return v % bound;
    }
}

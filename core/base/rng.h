/* SPDX-License-Identifier: MIT */
#pragma once

/* Where an engine gets its random bytes: handed down by the reactor, fixed in tests. */

#include "core/base/base.h"

struct rng {
    void (*fill)(struct rng *g, void *out, size_t size);
};

static inline void rng_fill(struct rng *g, void *out, size_t size) {
    g->fill(g, out, size);
}

/* Uniform in [0, bound); bound must not be 0. */
uint64_t rng_below(struct rng *g, uint64_t bound);

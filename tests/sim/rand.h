/* SPDX-License-Identifier: MIT */
#pragma once

/* Where all chance of a run comes from: small generators, each with a purpose of its own, all made
 * from the one seed.  Drawing more from one changes nothing about the others, so a change to the
 * network's model does not change the topology of a seed. */

#include "core/base/base.h"
#include "core/base/rng.h"
#include "core/base/time.h"

struct sim_rand {
    struct rng rng; /* the same source, for product code */
    uint64_t state[2];
};

/* `purpose` and `number` tell generators of one seed apart. */
void sim_rand_init(struct sim_rand *r, uint64_t seed, const char *purpose, uint64_t number);

uint64_t sim_rand_u64(struct sim_rand *r);
/* Uniform in [0, bound). */
uint64_t sim_rand_below(struct sim_rand *r, uint64_t bound);
/* Uniform in [min, max]. */
uint64_t sim_rand_range(struct sim_rand *r, uint64_t min, uint64_t max);
/* Between min and max with each order of magnitude as likely as the next; min > 0. */
uint64_t sim_rand_scale(struct sim_rand *r, uint64_t min, uint64_t max);
/* True in `ppm` of a million cases.  Draws nothing for 0. */
bool sim_rand_chance(struct sim_rand *r, uint32_t ppm);
bool sim_rand_bool(struct sim_rand *r);

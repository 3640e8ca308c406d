/* SPDX-License-Identifier: MIT */
#include "tests/sim/rand.h"

#include <string.h>

enum { MILLION = 1000000 };

/* splitmix64: spreads a seed. */
static uint64_t mix(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void fill(struct rng *g, void *out, size_t size) {
    struct sim_rand *r = CONTAINER_OF(g, struct sim_rand, rng);
    uint8_t *at = out;
    while (size > 0) {
        uint64_t v = sim_rand_u64(r);
        size_t n = MIN(size, sizeof(v));
        memcpy(at, &v, n);
        at += n;
        size -= n;
    }
}

void sim_rand_init(struct sim_rand *r, uint64_t seed, const char *purpose, uint64_t number) {
    uint64_t state = seed;
    for (const char *p = purpose; *p != '\0'; p++)
        state = mix(&state) ^ (uint8_t)*p;
    state = mix(&state) ^ number;
    *r = (struct sim_rand){.rng.fill = fill};
    r->state[0] = mix(&state);
    r->state[1] = mix(&state) | 1; /* never both zero */
}

/* xoroshiro128+ */
uint64_t sim_rand_u64(struct sim_rand *r) {
    uint64_t a = r->state[0];
    uint64_t b = r->state[1];
    uint64_t result = a + b;
    b ^= a;
    r->state[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
    r->state[1] = b << 37 | b >> 27;
    return result;
}

uint64_t sim_rand_below(struct sim_rand *r, uint64_t bound) {
    return rng_below(&r->rng, bound);
}

uint64_t sim_rand_range(struct sim_rand *r, uint64_t min, uint64_t max) {
    assert(min <= max);
    return min + sim_rand_below(r, max - min + 1);
}

uint64_t sim_rand_scale(struct sim_rand *r, uint64_t min, uint64_t max) {
    assert(min > 0);
    assert(min <= max);
    uint64_t doublings = 0;
    while (doublings < 63 && min << doublings <= max / 2)
        doublings++;
    uint64_t low = min << sim_rand_below(r, doublings + 1);
    return sim_rand_range(r, low, MIN(max, 2 * low - 1));
}

bool sim_rand_chance(struct sim_rand *r, uint32_t ppm) {
    return ppm > 0 && sim_rand_below(r, MILLION) < ppm;
}

bool sim_rand_bool(struct sim_rand *r) {
    return (sim_rand_u64(r) >> 63) != 0;
}

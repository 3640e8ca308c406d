/* SPDX-License-Identifier: MIT */
#include "core/base/siphash.h"

#include <endian.h>

struct state {
    uint64_t v0;
    uint64_t v1;
    uint64_t v2;
    uint64_t v3;
};

static uint64_t rotate(uint64_t v, unsigned n) {
    return v << n | v >> (64 - n);
}

static void mix(struct state *s, unsigned rounds) {
    for (unsigned i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 = rotate(s->v2, 32);
    }
}

static void absorb(struct state *s, uint64_t word, unsigned rounds) {
    s->v3 ^= word;
    mix(s, rounds);
    s->v0 ^= word;
}

uint64_t siphash(const uint64_t key[2], struct bytes in, unsigned c_rounds, unsigned d_rounds) {
    struct state s = {
        .v0 = key[0] ^ 0x736f6d6570736575, /* "somepseudorandomlygeneratedbytes" */
        .v1 = key[1] ^ 0x646f72616e646f6d,
        .v2 = key[0] ^ 0x6c7967656e657261,
        .v3 = key[1] ^ 0x7465646279746573,
    };
    uint64_t last = (uint64_t)in.len << 56;
    for (; in.len >= 8; in = bytes_skip(in, 8)) {
        uint64_t word;
        memcpy(&word, in.data, sizeof(word));
        absorb(&s, le64toh(word), c_rounds);
    }
    for (size_t i = 0; i < in.len; i++)
        last |= (uint64_t)in.data[i] << (8 * i);
    absorb(&s, last, c_rounds);
    s.v2 ^= 0xff;
    mix(&s, d_rounds);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

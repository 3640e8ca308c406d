/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/crypto/aead.h"
#include "tests/support/fixed_rng.h"
#include "tests/support/hex.h"

enum { PLAIN_MAX = 20000 };

/* RFC 8439, section 2.8.2. */
Test(aead, known_answer) {
    struct bytes plain =
        BYTES_LIT("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
                  "the future, sunscreen would be it.");
    struct bytes key = HEX("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    struct bytes nonce = HEX("070000004041424344454647");
    uint8_t out[114 + CHACHA_TAG_BYTES];
    cr_assert_eq(plain.len + CHACHA_TAG_BYTES, sizeof(out));
    chacha_seal(key.data, nonce.data, HEX("50515253c0c1c2c3c4c5c6c7"), plain, out);
    cr_assert(bytes_start_with(BYTES_OF(out), HEX("d31a8d34648e60db7b86afbc53ef7ec2")));
    cr_assert(bytes_equal(bytes_of(out + plain.len, CHACHA_TAG_BYTES),
                          HEX("1ae10b594f09e26a7e902ecbd0600691")));
}

/* The library has four kernels, chosen by size: all around their bounds, in place and not. */
Test(aead, what_is_sealed_opens_in_place_and_out_of_place) {
    static uint8_t plain[PLAIN_MAX], sealed[PLAIN_MAX + CHACHA_TAG_BYTES],
        placed[PLAIN_MAX + CHACHA_TAG_BYTES], opened[PLAIN_MAX];
    static const size_t bounds[] = {0, 64, 128, 192, 256, 1024, 4096, 5120, 16384, 19000};
    struct fixed_rng rng;
    uint8_t key[CHACHA_KEY_BYTES], nonce[CHACHA_NONCE_BYTES];
    fixed_rng_init(&rng, 7);
    rng_fill(&rng.rng, plain, sizeof(plain));
    for (size_t i = 0; i < ARRAY_COUNT(bounds); i++) {
        for (size_t len = bounds[i] < 3 ? 0 : bounds[i] - 3; len <= bounds[i] + 3; len++) {
            struct bytes whole = bytes_of(sealed, len + CHACHA_TAG_BYTES);
            rng_fill(&rng.rng, key, sizeof(key));
            rng_fill(&rng.rng, nonce, sizeof(nonce));
            chacha_seal(key, nonce, BYTES_EMPTY, bytes_of(plain, len), sealed);
            memcpy(placed, plain, len);
            chacha_seal(key, nonce, BYTES_EMPTY, bytes_of(placed, len), placed);
            cr_assert_arr_eq(placed, sealed, whole.len, "%zu", len);
            cr_assert_eq(chacha_open(key, nonce, BYTES_EMPTY, whole, opened), 0, "%zu", len);
            cr_assert(bytes_equal(bytes_of(opened, len), bytes_of(plain, len)), "%zu", len);
            cr_assert_eq(chacha_open(key, nonce, BYTES_EMPTY, bytes_of(placed, whole.len), placed),
                         0, "%zu", len);
            cr_assert(bytes_equal(bytes_of(placed, len), bytes_of(plain, len)), "%zu", len);
        }
    }
}

Test(aead, nothing_opens_with_a_bit_changed) {
    uint8_t key[CHACHA_KEY_BYTES] = {1}, nonce[CHACHA_NONCE_BYTES] = {2};
    uint8_t sealed[48 + CHACHA_TAG_BYTES], out[48];
    static const uint8_t plain[48] = {3};
    chacha_seal(key, nonce, BYTES_LIT("ad"), BYTES_OF(plain), sealed);
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(chacha_open(key, nonce, BYTES_LIT("ad"), BYTES_OF(sealed), out), -ERR_CRYPTO,
                     "bit %zu", bit);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(chacha_open(key, nonce, BYTES_LIT("bd"), BYTES_OF(sealed), out), -ERR_CRYPTO);
    cr_assert_eq(chacha_open(key, nonce, BYTES_LIT("ad"), BYTES_OF(sealed), out), 0);
    for (size_t len = 0; len < sizeof(sealed); len++)
        cr_assert_eq(chacha_open(key, nonce, BYTES_LIT("ad"), bytes_of(sealed, len), out),
                     -ERR_CRYPTO, "%zu bytes", len);
}

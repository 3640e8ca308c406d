/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/crypto/aead_key.h"
#include "tests/support/fail_mem.h"
#include "tests/support/fixed_rng.h"
#include "tests/support/hex.h"

enum { PLAIN_MAX = 20000 };

static const uint8_t zeros[AEAD_KEY_BYTES_MAX];

static struct aead_key *key_of(enum aead_cipher cipher, const uint8_t *bytes) {
    struct aead_key *k;
    cr_assert_eq(aead_key_new(mem_system(), cipher, bytes, &k), 0);
    return k;
}

/* The cases 2 and 14 of McGrew and Viega's paper on GCM. */
Test(aead_key, known_answers_of_gcm) {
    uint8_t out[16 + AEAD_TAG_BYTES];
    struct aead_key *k = key_of(AEAD_AES_128_GCM, zeros);
    aead_seal(k, zeros, BYTES_EMPTY, bytes_of(zeros, 16), out);
    cr_assert(bytes_equal(BYTES_OF(out),
                          HEX("0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf")));
    (void)aead_key_free(k);
    k = key_of(AEAD_AES_256_GCM, zeros);
    aead_seal(k, zeros, BYTES_EMPTY, bytes_of(zeros, 16), out);
    cr_assert(bytes_equal(BYTES_OF(out),
                          HEX("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")));
    (void)aead_key_free(k);
}

/* Goal: all ciphers, around the bounds of their kernels, in place and not, with a key that took the
 * place of another. */
Test(aead_key, what_is_sealed_opens_and_nothing_opens_with_a_bit_changed) {
    static uint8_t plain[PLAIN_MAX], sealed[PLAIN_MAX + AEAD_TAG_BYTES],
        placed[PLAIN_MAX + AEAD_TAG_BYTES];
    static const size_t sizes[] = {0, 1, 15, 16, 17, 127, 128, 129, 1350, 4096, 16385, 19999};
    uint8_t bytes[AEAD_KEY_BYTES_MAX], nonce[AEAD_NONCE_BYTES];
    struct fixed_rng rng;
    fixed_rng_init(&rng, 7);
    rng_fill(&rng.rng, plain, sizeof(plain));
    for (enum aead_cipher c = AEAD_AES_128_GCM; c <= AEAD_CHACHA20_POLY1305; c++) {
        struct aead_key *k = key_of(c, zeros);
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
            struct bytes from = bytes_of(plain, sizes[i]);
            size_t len = sizes[i] + AEAD_TAG_BYTES;
            rng_fill(&rng.rng, bytes, sizeof(bytes));
            rng_fill(&rng.rng, nonce, sizeof(nonce));
            aead_key_replace(k, bytes);
            aead_seal(k, nonce, BYTES_LIT("ad"), from, sealed);
            memcpy(placed, plain, sizes[i]);
            aead_seal(k, nonce, BYTES_LIT("ad"), bytes_of(placed, sizes[i]), placed);
            cr_assert_arr_eq(placed, sealed, len, "%d, %zu", c, sizes[i]);
            cr_assert_eq(aead_open(k, nonce, BYTES_LIT("ad"), bytes_of(placed, len), placed), 0);
            cr_assert(bytes_equal(bytes_of(placed, sizes[i]), from), "%d, %zu", c, sizes[i]);
            sealed[sizes[i] / 2] ^= 0x10;
            cr_assert_eq(aead_open(k, nonce, BYTES_LIT("ad"), bytes_of(sealed, len), placed),
                         -ERR_CRYPTO, "%d, %zu", c, sizes[i]);
            sealed[sizes[i] / 2] ^= 0x10;
            cr_assert_eq(aead_open(k, nonce, BYTES_LIT("da"), bytes_of(sealed, len), placed),
                         -ERR_CRYPTO, "%d, %zu", c, sizes[i]);
        }
        cr_assert_eq(aead_open(k, nonce, BYTES_EMPTY, bytes_of(sealed, AEAD_TAG_BYTES - 1), placed),
                     -ERR_CRYPTO);
        (void)aead_key_free(k);
    }
}

Test(aead_key, without_memory_there_is_no_key) {
    struct fail_mem f;
    struct aead_key *k = NULL;
    fail_mem_start(&f);
    cr_assert_eq(aead_key_new(&f.mem, AEAD_AES_128_GCM, zeros, &k), -ENOMEM);
    cr_assert_null(k);
    cr_assert_eq(f.blocks, 0);
}

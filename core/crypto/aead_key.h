/* SPDX-License-Identifier: MIT */
#pragma once

/* One key of the AEAD of a TLS 1.3 suite, ready for use: what can be computed from the key alone is
 * computed once.  For ChaCha20-Poly1305 without a key object see core/crypto/aead.h.
 *
 * Lengths are below 2^32 (asserted).
 * Thread: one at a time; keys share nothing. */

#include "core/base/bytes.h"

struct mem;
struct aead_key;

enum aead_cipher { AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 };

enum { AEAD_KEY_BYTES_MAX = 32, AEAD_NONCE_BYTES = 12, AEAD_TAG_BYTES = 16 };

size_t aead_key_bytes(enum aead_cipher cipher);

/* `key` has aead_key_bytes() and is copied.  -ENOMEM */
NODISCARD int aead_key_new(struct mem *mem, enum aead_cipher cipher, const uint8_t *key,
                           struct aead_key **ret_key);
/* Wipes it.  Accepts NULL, returns NULL. */
struct aead_key *aead_key_free(struct aead_key *k);

/* Another key of the same cipher in the place of this one. */
void aead_key_replace(struct aead_key *k, const uint8_t *key);

/* Writes plain.len bytes and the tag to `out`, which may be where the plaintext lies and must not
 * overlap it otherwise.  Cannot fail with the library as it is built. */
void aead_seal(struct aead_key *k, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes associated,
               struct bytes plain, uint8_t *out);

/* Opens `sealed`, tag included, to `out`, which has room for all but the tag and may be where the
 * sealed bytes lie.  -ERR_CRYPTO: not authentic, or shorter than a tag */
NODISCARD int aead_open(struct aead_key *k, const uint8_t nonce[AEAD_NONCE_BYTES],
                        struct bytes associated, struct bytes sealed, uint8_t *out);

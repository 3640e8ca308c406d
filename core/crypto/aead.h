/* SPDX-License-Identifier: MIT */
#pragma once

/* ChaCha20-Poly1305, RFC 8439.  Thin over wolfCrypt.
 *
 * A key is its 32 bytes: the cipher has no schedule, and setting it anew for each record measures
 * the same as keeping the library's state.  The library's one-pass kernel (x86-64 with AVX-512
 * IFMA) takes whole KiB from 4 KiB on, and the rest goes at a third of the speed: a record of
 * 16,384 bytes is sealed in 2.6 us, one of 16,368 in 4.
 *
 * Lengths are below 2^32 (asserted).
 * Thread: any.
 */

#include "core/base/bytes.h"

enum { CHACHA_KEY_BYTES = 32, CHACHA_NONCE_BYTES = 12, CHACHA_TAG_BYTES = 16 };

/* Writes plain.len bytes and the tag to `out`, which may be where the plaintext lies and must not
 * overlap it otherwise.  Cannot fail with the library as it is built. */
void chacha_seal(const uint8_t key[CHACHA_KEY_BYTES], const uint8_t nonce[CHACHA_NONCE_BYTES],
                 struct bytes associated, struct bytes plain, uint8_t *out);

/* Opens `sealed`, tag included, to `out`, which has room for all but the tag and may be where the
 * sealed bytes lie.  -ERR_CRYPTO: not authentic, or shorter than a tag; `out` then holds nothing
 * of the plaintext */
NODISCARD int chacha_open(const uint8_t key[CHACHA_KEY_BYTES],
                          const uint8_t nonce[CHACHA_NONCE_BYTES], struct bytes associated,
                          struct bytes sealed, uint8_t *out);

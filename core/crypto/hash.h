/* SPDX-License-Identifier: MIT */
#pragma once

/* SHA-256 and what is made from it; SHA-1 for the one protocol that asks for it.  Thin over wolfCrypt.
 *
 * None of these can fail with the library as it is built (software or CPU instructions, no heap),
 * so a failure is asserted, not returned.
 * Thread: any.
 */

#include "core/base/bytes.h"

enum { SHA256_BYTES = 32, HKDF_SHA256_BYTES_MAX = 255 * SHA256_BYTES, SHA1_BYTES = 20 };

void sha256(struct bytes in, uint8_t ret_digest[SHA256_BYTES]);

/* Of the second behind the first, as running hashes of a transcript need.  The digest may overwrite
 * either. */
void sha256_joined(struct bytes first, struct bytes second, uint8_t ret_digest[SHA256_BYTES]);

/* Secures nothing: WebSocket's proof that a server has read the request. */
void sha1(struct bytes in, uint8_t ret_digest[SHA1_BYTES]);

void hmac_sha256(struct bytes key, struct bytes in, uint8_t ret_mac[SHA256_BYTES]);

/* RFC 5869 extract and expand.  `size` is at most HKDF_SHA256_BYTES_MAX (asserted). */
void hkdf_sha256(struct bytes salt, struct bytes key, struct bytes info, void *out, size_t size);

/* Compares in time that depends on n only. */
bool secret_equal(const void *a, const void *b, size_t n);

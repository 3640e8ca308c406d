/* SPDX-License-Identifier: MIT */
#pragma once

/* Signatures of TLS certificates: an own P-256 key that makes them, and the algorithms in which
 * peers' certificates are signed beyond what core/crypto/sign.h verifies.  Thin over wolfCrypt.
 *
 * Keys and signatures to verify come from peers: anything malformed is an error, never an
 * assertion.
 * Thread: any.
 */

#include "core/base/bytes.h"

struct rng;

enum {
    P256_SECRET_BYTES = 32,
    P256_POINT_BYTES = 65,         /* uncompressed: 04, X, Y */
    P256_SIGNATURE_BYTES_MAX = 72, /* DER: two integers of at most 33 bytes */
};

enum cert_curve { CERT_P256, CERT_P384 };
enum cert_digest { CERT_SHA256, CERT_SHA384, CERT_SHA512 };

/* A new key pair; the secret is big-endian.  -ERR_CRYPTO */
NODISCARD int p256_generate(struct rng *rng, uint8_t ret_secret[P256_SECRET_BYTES],
                            uint8_t ret_point[P256_POINT_BYTES]);

/* ECDSA with SHA-256, in DER.  Returns the signature's length, or -ERR_CRYPTO. */
NODISCARD ssize_t p256_sign(const uint8_t secret[P256_SECRET_BYTES],
                            const uint8_t point[P256_POINT_BYTES], struct rng *rng,
                            struct bytes message, uint8_t ret_signature[P256_SIGNATURE_BYTES_MAX]);

/* ECDSA by an uncompressed point.
 *   -ERR_BAD_KEY        not a point of the curve
 *   -ERR_BAD_SIGNATURE  does not verify, or is malformed
 *   -ERR_CRYPTO         the library failed (out of memory) */
NODISCARD int cert_ecdsa_verify(enum cert_curve curve, enum cert_digest digest, struct bytes point,
                                struct bytes message, struct bytes signature);

/* RSASSA-PKCS1-v1_5 by a DER SubjectPublicKeyInfo, which rsa_check_key() has accepted.  Errors as
 * above. */
NODISCARD int cert_rsa_verify(enum cert_digest digest, struct bytes spki, struct bytes message,
                              struct bytes signature);

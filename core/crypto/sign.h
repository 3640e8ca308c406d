/* SPDX-License-Identifier: MIT */
#pragma once

/* Signatures: Ed25519 both ways; RSA, ECDSA and secp256k1 to verify.  Thin over wolfCrypt.
 *
 * Keys and signatures to verify come from peers: anything malformed is an error, never an
 * assertion.  Errors of the verifying functions:
 *   -ERR_BAD_SIGNATURE  does not verify, or is malformed
 *   -ERR_BAD_KEY        the key is malformed
 *   -ERR_UNSUPPORTED    a curve that this build lacks
 *   -ERR_CRYPTO         the library failed (out of memory)
 * Thread: any.
 */

#include "core/base/bytes.h"

enum {
    ED25519_PUBLIC_BYTES = 32,
    ED25519_SEED_BYTES = 32,
    ED25519_SIGNATURE_BYTES = 64,
    SECP256K1_POINT_BYTES = 33,
    SECP256K1_POINT_LONG_BYTES = 65,
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192,
};

/* The point of a seed.  -ERR_CRYPTO */
NODISCARD int ed25519_public(const uint8_t seed[ED25519_SEED_BYTES],
                             uint8_t ret_point[ED25519_PUBLIC_BYTES]);

/* -ERR_CRYPTO */
NODISCARD int ed25519_sign(const uint8_t seed[ED25519_SEED_BYTES],
                           const uint8_t point[ED25519_PUBLIC_BYTES], struct bytes message,
                           uint8_t ret_signature[ED25519_SIGNATURE_BYTES]);

NODISCARD int ed25519_verify(struct bytes point, struct bytes message, struct bytes signature);

/* Checks the point and gives its compressed form; `point` may be either form.  -ERR_BAD_KEY */
NODISCARD int secp256k1_compress(struct bytes point, uint8_t ret_point[SECP256K1_POINT_BYTES]);

/* DER signature over SHA-256 of the message. */
NODISCARD int secp256k1_verify(struct bytes point, struct bytes message, struct bytes signature);

/* Whether a DER SubjectPublicKeyInfo holds an ECDSA key, or an RSA key of RSA_BITS_MIN to
 * RSA_BITS_MAX, and nothing behind it.  -ERR_BAD_KEY, -ERR_UNSUPPORTED */
NODISCARD int ecdsa_check_key(struct bytes spki);
NODISCARD int rsa_check_key(struct bytes spki);

/* DER signature over SHA-256 of the message, any curve of the build. */
NODISCARD int ecdsa_verify(struct bytes spki, struct bytes message, struct bytes signature);

/* RSASSA-PKCS1-v1_5 with SHA-256. */
NODISCARD int rsa_verify(struct bytes spki, struct bytes message, struct bytes signature);

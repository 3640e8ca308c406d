/* SPDX-License-Identifier: MIT */
#pragma once

/* libp2p public keys of all four types: decoded to be verified against, never owned.  The node's
 * own key pair is core/p2p/identity.h.
 *
 * Spec:   libp2p peer-ids-and-keys, section 1.
 * Memory: values; wolfCrypt's big-number work inside a verification is its own.
 * Thread: any.
 */

#include "core/base/bytes.h"
#include "core/crypto/sign.h"

/* Numbers as on the wire. */
enum key_type { KEY_RSA = 0, KEY_ED25519 = 1, KEY_SECP256K1 = 2, KEY_ECDSA = 3 };

enum {
    /* An RSA key of 8,192 bits (the most that go-libp2p takes) is 1,067 bytes of protobuf. */
    PUBLIC_KEY_BYTES_MAX = 1100,
    /* RSA-8192; the others are far below. */
    SIGNATURE_BYTES_MAX = 1024,
};

/* Holds the canonical protobuf, which is what peer IDs are made from. */
struct public_key {
    uint16_t len;
    uint16_t data_offset; /* where the key material of this type begins */
    uint8_t type;         /* enum key_type */
    uint8_t bytes[PUBLIC_KEY_BYTES_MAX];
};

/* Decodes a PublicKey message: fields in any order, unknown ones skipped, then kept in canonical
 * form (an uncompressed secp256k1 point is compressed).  The key material is checked: lengths,
 * points on their curve, RSA moduli of 2,048 to 8,192 bits.
 *   -ERR_BAD_KEY      anything else, truncation too
 *   -ERR_UNSUPPORTED  an elliptic curve that this build lacks */
NODISCARD int public_key_decode(struct bytes protobuf, struct public_key *ret_key);

/* From the 32 bytes of an Ed25519 point, which are not checked. */
void public_key_from_ed25519(const uint8_t point[ED25519_PUBLIC_BYTES], struct public_key *ret_key);

/* The canonical protobuf. */
static inline struct bytes public_key_protobuf(const struct public_key *k) {
    return bytes_of(k->bytes, k->len);
}

/* The key material: an Ed25519 point, a compressed secp256k1 point, or a DER SubjectPublicKeyInfo
 * for RSA and ECDSA. */
static inline struct bytes public_key_data(const struct public_key *k) {
    return bytes_of(k->bytes + k->data_offset, (size_t)k->len - k->data_offset);
}

bool public_key_equal(const struct public_key *a, const struct public_key *b);

/* Verifies a signature as the key's type makes it (section 1 of the spec).
 *   -ERR_BAD_SIGNATURE  it does not verify, or is no signature at all
 *   -ERR_CRYPTO         out of memory in the library */
NODISCARD int key_verify(const struct public_key *k, struct bytes message, struct bytes signature);

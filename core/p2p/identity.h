/* SPDX-License-Identifier: MIT */
#pragma once

/* The node's own Ed25519 key pair and the file that holds it.
 *
 * File:   one libp2p PrivateKey message, 68 bytes, mode 0600 (peerup-protocols, section 3); the
 *         96-byte legacy form is read, never written.
 * Memory: a value; identity_done() wipes it.  Copies are secrets too.
 * Thread: any; the file functions block and belong at start or in offload.
 */

#include "core/base/base.h"
#include "core/p2p/key.h"
#include "core/p2p/peer_id.h"

struct problem;
struct rng;

enum { PRIVATE_KEY_BYTES = 68, PRIVATE_KEY_BYTES_MAX = 100 };

struct identity {
    struct peer_id id;
    uint8_t public_bytes[ED25519_PUBLIC_BYTES];
    uint8_t seed[ED25519_SEED_BYTES];
};

/* A new key pair.  -ERR_CRYPTO */
NODISCARD int identity_generate(struct rng *rng, struct identity *ret_identity);

/* The key pair of a seed.  -ERR_CRYPTO */
NODISCARD int identity_from_seed(const uint8_t seed[ED25519_SEED_BYTES],
                                 struct identity *ret_identity);

/* From a PrivateKey message.
 *   -ERR_UNSUPPORTED  a key of another type: we own Ed25519 only
 *   -ERR_BAD_KEY      malformed, or the public half is not the seed's
 *   -ERR_CRYPTO */
NODISCARD int identity_decode(struct bytes protobuf, struct identity *ret_identity);

/* The PrivateKey message. */
void identity_encode(const struct identity *i, uint8_t ret_protobuf[PRIVATE_KEY_BYTES]);

/* Reads the key file.
 *   -ENOENT           no such file
 *   -ERR_FILE_MODE    group or others may do something with it
 *   other errno, and the errors of identity_decode() */
NODISCARD int identity_load(const char *path, struct identity *ret_identity,
                            struct problem *problem);

/* Writes a new key file with mode 0600: temporary name, fsync, then a name that did not exist.
 * -EEXIST leaves the old file alone; other errno. */
NODISCARD int identity_save(const struct identity *i, const char *path, struct problem *problem);

/* Loads the key file, or creates it when there is none.  `ret_created` may be NULL. */
NODISCARD int identity_load_or_create(const char *path, struct rng *rng,
                                      struct identity *ret_identity, bool *ret_created,
                                      struct problem *problem);

/* Deterministic (RFC 8032).  -ERR_CRYPTO */
NODISCARD int identity_sign(const struct identity *i, struct bytes message,
                            uint8_t ret_signature[ED25519_SIGNATURE_BYTES]);

void identity_public_key(const struct identity *i, struct public_key *ret_key);

/* Wipes.  For SCOPED(identity_done). */
void identity_done(struct identity *i);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Multihashes: which hash, how long, the digest; and the two texts of those that name a key.
 *
 * Spec:   libp2p peer-ids-and-keys, section 2.
 * Thread: any.
 */

#include "core/base/bytes.h"

enum { MULTIHASH_IDENTITY = 0x00, MULTIHASH_SHA256 = 0x12 };

struct multihash {
    uint64_t code;
    struct bytes digest; /* borrowed */
};

/* -ERR_MALFORMED: truncated, bytes left over, numbers that are not minimal. */
NODISCARD int multihash_decode(struct bytes in, struct multihash *ret_hash);

/* Whether it can stand for a key as go-libp2p has it: SHA-256 of 32 bytes, or the identity of at
 * least one byte.  What peer_id.h takes is less. */
bool multihash_is_of_key(const struct multihash *h);

/* The binary form from text: base58btc when it begins with "1" or "Qm", else a multibase CIDv1 with
 * codec libp2p-key.  Returns the length.  The hash itself is not checked.
 *   -ERR_MALFORMED, -ERR_UNSUPPORTED, -ERR_LIMIT (more than `size` bytes) */
NODISCARD ssize_t multihash_parse(struct bytes text, void *out, size_t size);

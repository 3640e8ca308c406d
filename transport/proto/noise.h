/* SPDX-License-Identifier: MIT */
#pragma once

/* Noise_XX_25519_ChaChaPoly_SHA256 with libp2p's payload: the secure channel "/noise".
 *
 * Spec:   libp2p noise.md; Noise revision 34.  The first message is empty, the muxer is agreed
 *         early when the peer takes part in that, and frames of any length are accepted.
 * Memory: one allocation that stays, one for the time of the handshake, and in it a message of at
 *         most NOISE_HANDSHAKE_MAX bytes.
 *
 * There are no alerts and no close: what fails says nothing more, and secure_close() does nothing.
 * Errors of the handshake: -ERR_HANDSHAKE, -ERR_BAD_SIGNATURE, -ERR_PEER_ID_MISMATCH (the peer has
 * proved who it is then), -ERR_CRYPTO, -ENOMEM; of a record: -ERR_PROTOCOL_VIOLATION,
 * and -ERR_LIMIT when 2^64 - 1 records were sealed. */

#include "core/p2p/identity.h"
#include "transport/proto/secure.h"

struct mem;
struct rng;

enum {
    NOISE_HANDSHAKE_MAX = 8 << 10, /* of a peer's message: an RSA key and its signature fit well */
    /* Plaintext in one record of ours; a peer's may have 65,519 bytes.  Four fit a slab of 64 KiB
     * with their frames, so that the reader, for whom each slab cuts one record, copies a quarter
     * of the bytes at most; whole KiB, for core/crypto/aead.h.  Half of it would cost 10 % more for
     * sealing and opening, and as much in calls. */
    NOISE_PLAIN_MAX = 15 << 10,
};

struct noise_config {
    struct mem *mem;
    struct rng *rng; /* static and ephemeral key of this channel, 32 bytes each; now */
    const struct identity *identity; /* outlives the handshake */
    const struct peer_id *expected;  /* who must answer; NULL: anybody.  Copied */
    bool initiator;
};

/* -ENOMEM */
NODISCARD int noise_new(const struct noise_config *cfg, struct secure **ret_secure);

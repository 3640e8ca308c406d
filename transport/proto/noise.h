/* SPDX-License-Identifier: MIT */
#pragma once

/* Noise_XX_25519_ChaChaPoly_SHA256 with libp2p's payload: the secure channel "/noise".
 *
 * Spec:   libp2p noise.md; Noise revision 34.  The first message is empty, the muxer is agreed
 *         early when the peer takes part in that, and frames of any length are accepted.
 * Memory: one allocation, and a handshake message of at most NOISE_HANDSHAKE_MAX bytes. */

#include "core/p2p/identity.h"
#include "transport/proto/secure.h"

struct mem;
struct rng;

enum {
    NOISE_HANDSHAKE_MAX = 8 << 10, /* of a peer's message: an RSA key and its signature fit well */
    NOISE_PLAIN_MAX = 65535 - 16,  /* that a peer may send in one record */
};

struct noise_config {
    struct mem *mem;
    struct rng *rng;                 /* ephemeral and static keys of this channel */
    const struct identity *identity; /* outlives the handshake */
    const struct peer_id *expected;  /* who must answer; NULL: anybody.  Copied */
    bool initiator;
};

/* -ENOMEM, -ERR_CRYPTO */
NODISCARD int noise_new(const struct noise_config *cfg, struct secure **ret_secure);

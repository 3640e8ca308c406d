/* SPDX-License-Identifier: MIT */
#pragma once

/* libp2p's payload in the second and third message of Noise: whose the static key is, and which
 * muxers its owner would go on with.
 *
 * Spec:   libp2p noise.md, "Payload protobuf" and "Early muxer choice".
 * Thread: any. */

#include "core/base/bytes.h"
#include "core/crypto/x25519.h"
#include "core/p2p/peer_id.h"

struct identity;
struct problem;

enum {
    NOISE_PAYLOAD_BYTES = 120, /* of ours: an Ed25519 key, its signature, the name of one muxer */
    NOISE_PAYLOAD_NAMES_MAX = 100, /* muxers of a peer; go-libp2p too forgets a longer list */
};

struct noise_peer {
    struct peer_id id;
    bool has_yamux; /* it would go on with yamux at once */
};

/* -ERR_CRYPTO */
NODISCARD int noise_payload_seal(const struct identity *identity,
                                 const uint8_t static_point[X25519_BYTES],
                                 uint8_t ret_payload[NOISE_PAYLOAD_BYTES]);

/* Checks that the owner of the identity key has signed the static key that Noise delivered.
 *   -ERR_HANDSHAKE      malformed, or without a key that we know
 *   -ERR_BAD_SIGNATURE  the signature does not verify
 *   -ERR_CRYPTO         the library failed (out of memory) */
NODISCARD int noise_payload_open(struct bytes payload, const uint8_t static_point[X25519_BYTES],
                                 struct noise_peer *ret_peer, struct problem *problem);

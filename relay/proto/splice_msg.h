/* SPDX-License-Identifier: MIT */
#pragma once

/* How two peers and their relay agree on a spliced path, and how its two legs begin.
 *
 *   A > relay   ASK, peer B          on a stream of A's
 *   relay > B   OFFER, peer A, token on a stream of the relay's
 *   B > relay   STATUS
 *   relay > A   STATUS, and with OK: token
 *
 * Each is one frame (core/base/frame.h) of at most SPLICE_MSG_MAX bytes.  Both streams then stay
 * open, silent, for as long as the path is to live.  Then A and B each connect to the relay by TCP:
 *
 *   leg         magic, 16 bytes ‖ token, 32 bytes ‖ what is meant for the other one
 *
 * The magic's first byte begins no multistream header (0x13), no TLS and no HTTP, so that one byte
 * tells a leg from all else that may come to the port.
 *
 * Spec:    docs/adr/0013-spliced-relay-path.md
 * Reading: known fields in any order, others skipped, the last of each wins.
 * Writing: fields in the order of their numbers; the type also when it is 0.
 * Memory:  values.
 * Thread:  any.
 */

#include "core/p2p/peer_id.h"
#include "relay/proto/circuit_msg.h"

enum {
    SPLICE_MAGIC_BYTES = 16,
    SPLICE_TOKEN_BYTES = 32,
    SPLICE_PREFACE_BYTES = SPLICE_MAGIC_BYTES + SPLICE_TOKEN_BYTES,
    SPLICE_MSG_MAX = 256, /* of the body */
    SPLICE_OUT_MAX = SPLICE_MSG_MAX + 2,
};

extern const uint8_t splice_magic[SPLICE_MAGIC_BYTES];

enum splice_type {
    SPLICE_ASK = 0,
    SPLICE_OFFER = 1,
    SPLICE_STATUS = 2,
    SPLICE_OTHER, /* read only: any other number */
};

struct splice_msg {
    enum splice_type type;
    bool has_peer; /* the other end of the path */
    bool has_token;
    bool has_status;
    struct peer_id peer;
    uint8_t token[SPLICE_TOKEN_BYTES];
    uint32_t status; /* enum circuit_status, or what a peer made up */
};

/* Decodes a body.  Which fields a type needs is the caller's question.
 *   -ERR_TRUNCATED, -ERR_MALFORMED (also a token of another length), -ERR_BAD_PEER_ID */
NODISCARD int splice_msg_decode(struct bytes in, struct splice_msg *ret_msg);

/* Writes length and body, and returns the bytes written. */
NODISCARD size_t splice_msg_encode(const struct splice_msg *m, uint8_t ret_out[SPLICE_OUT_MAX]);

/* What a leg begins with. */
void splice_preface(const uint8_t token[SPLICE_TOKEN_BYTES],
                    uint8_t ret_preface[SPLICE_PREFACE_BYTES]);

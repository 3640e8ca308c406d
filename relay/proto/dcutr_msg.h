/* SPDX-License-Identifier: MIT */
#pragma once

/* The messages of /libp2p/dcutr: CONNECT with the sender's addresses, and SYNC.
 *
 * Spec:    libp2p DCUtR (protobuf HolePunch, proto2), vectors dcutr.json.
 * Memory:  none; a decoded message borrows from its bytes.
 * Thread:  any.
 */

#include "core/base/bytes.h"
#include "core/p2p/multiaddr.h"

enum {
    DCUTR_MESSAGE_MAX = 4096, /* without the length in front; every implementation's limit */
    DCUTR_OUT_MAX = DCUTR_MESSAGE_MAX + 2,
};

enum dcutr_msg_type { DCUTR_MSG_CONNECT = 100, DCUTR_MSG_SYNC = 300 };

struct dcutr_msg {
    enum dcutr_msg_type type;
    struct bytes addrs; /* what dcutr_msg_next_addr() walks */
};

/* Reads one message without its length.
 *   -ERR_LIMIT      beyond DCUTR_MESSAGE_MAX
 *   -ERR_MALFORMED  no protobuf, or without one of the two types
 *   -ERR_TRUNCATED */
NODISCARD int dcutr_msg_decode(struct bytes body, struct dcutr_msg *ret_msg);

/* Takes the next address off `left`, which began as a message's `addrs`; undecodable and empty ones
 * are skipped.  false at the end. */
bool dcutr_msg_next_addr(struct bytes *left, struct multiaddr *ret_addr);

/* Writes length and message; a SYNC has no addresses (asserted).  Addresses that no longer fit are
 * left out: the best come first.  Returns the bytes written. */
NODISCARD size_t dcutr_msg_encode(enum dcutr_msg_type type, const struct multiaddr *addrs,
                                  size_t addrs_count, uint8_t ret_out[DCUTR_OUT_MAX]);

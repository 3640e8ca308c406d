/* SPDX-License-Identifier: MIT */
#pragma once

/* STUN's Binding request and its answers.
 *
 * Spec:    RFC 8489; OTHER-ADDRESS of RFC 5780.  Requests without the magic cookie (RFC 3489) are
 *          none.  No authentication: an answer is believed for coming from where it was asked, with
 *          the transaction ID.
 * Thread:  any.
 */

#include "core/base/bytes.h"
#include "core/base/net_addr.h"

enum {
    STUN_HEADER_BYTES = 20,
    STUN_TXID_BYTES = 12,
    STUN_REQUEST_BYTES = STUN_HEADER_BYTES,
    STUN_ADDRESS_BYTES_MAX = 24, /* an attribute with an IPv6 address */
    STUN_ANSWER_MAX = STUN_HEADER_BYTES + 2 * STUN_ADDRESS_BYTES_MAX,
    STUN_UNKNOWN_MAX = 4, /* of unknown attributes that are listed */
};

enum stun_type {
    STUN_BINDING_REQUEST = 0x0001,
    STUN_BINDING_SUCCESS = 0x0101,
    STUN_BINDING_ERROR = 0x0111,
};

struct stun_msg {
    uint16_t type; /* enum stun_type, or another one */
    uint8_t txid[STUN_TXID_BYTES];
    struct net_addr mapped; /* XOR-MAPPED-ADDRESS, else MAPPED-ADDRESS; NET_NONE: absent */
    struct net_addr other;  /* OTHER-ADDRESS; NET_NONE: absent */
    /* Attributes that must be understood and are not. */
    uint16_t unknown[STUN_UNKNOWN_MAX];
    size_t unknown_count;
};

/* Whether a datagram of a socket that also speaks QUIC is STUN's: its first two bits are zero,
 * where the second one of QUIC's is set, and length and cookie are right. */
bool stun_is_message(struct bytes datagram);

/* Reads a datagram.
 *   -ERR_UNSUPPORTED  not STUN: see above
 *   -ERR_MALFORMED    attributes that do not parse, or a wrong FINGERPRINT */
NODISCARD int stun_decode(struct bytes datagram, struct stun_msg *ret_msg);

void stun_encode_request(const uint8_t txid[STUN_TXID_BYTES], uint8_t ret_out[STUN_REQUEST_BYTES]);

/* The answer to whoever asked from `mapped`.  `other`: another address of ours that answers, or
 * NULL.  Returns its length. */
size_t stun_encode_success(const uint8_t txid[STUN_TXID_BYTES], const struct net_addr *mapped,
                           const struct net_addr *other, uint8_t ret_out[STUN_ANSWER_MAX]);

/* The answer 420 to a request with unknown attributes. */
size_t stun_encode_refusal(const struct stun_msg *request, uint8_t ret_out[STUN_ANSWER_MAX]);

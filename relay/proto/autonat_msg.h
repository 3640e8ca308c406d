/* SPDX-License-Identifier: MIT */
#pragma once

/* The messages of AutoNAT v2 and v1.  Encoders write the length in
 * front, decoders take a message without it.
 *
 * Spec:    libp2p AutoNAT, vectors autonat.json.  v2 is proto3: zeros are left out.
 * Memory:  none; a decoded message borrows from its bytes.
 * Thread:  any.
 */

#include "core/base/bytes.h"
#include "core/p2p/multiaddr.h"

enum {
    AUTONAT_MESSAGE_MAX = 8192, /* on the request's stream; go's limit */
    AUTONAT_ADDRS_MAX = 10,     /* that we send in one request */
    AUTONAT_DATA_FRAME = 4000,  /* what go's client sends at once */
    AUTONAT_DATA_FRAME_MAX = 4096,
    AUTONAT_OUT_MAX = AUTONAT_ADDRS_MAX * (MULTIADDR_BYTES_MAX + 4) + 64,
    AUTONAT_SMALL_OUT_MAX = 32,

    AUTONAT_V1_MESSAGE_MAX = 4096,
    AUTONAT_V1_ADDRS_MAX = 7, /* of any size, with the peer's ID, within that */
    AUTONAT_V1_OUT_MAX = AUTONAT_V1_MESSAGE_MAX + 2,
    AUTONAT_V1_RESPONSE_MAX = MULTIADDR_BYTES_MAX + 32,
};

_Static_assert(AUTONAT_OUT_MAX <= AUTONAT_MESSAGE_MAX, "a request is within every server's limit");
_Static_assert(AUTONAT_DATA_FRAME + AUTONAT_SMALL_OUT_MAX <= AUTONAT_OUT_MAX,
               "all messages of a client fit the same memory");

/* --- v2, the request's stream ---------------------------------------------------------------- */

enum autonat_msg_type {
    AUTONAT_DIAL_REQUEST = 1,
    AUTONAT_DIAL_RESPONSE = 2,
    AUTONAT_DATA_REQUEST = 3,
    AUTONAT_DATA_RESPONSE = 4,
};

enum autonat_status {
    AUTONAT_E_INTERNAL_ERROR = 0,
    AUTONAT_E_REQUEST_REJECTED = 100,
    AUTONAT_E_DIAL_REFUSED = 101,
    AUTONAT_OK = 200,
};

enum autonat_dial_status {
    AUTONAT_DIAL_UNUSED = 0,
    AUTONAT_DIAL_E_DIAL = 100,
    AUTONAT_DIAL_E_DIAL_BACK = 101,
    AUTONAT_DIAL_OK = 200,
};

struct autonat_msg {
    enum autonat_msg_type type;
    struct bytes addrs;   /* DIAL_REQUEST: what autonat_next_addr() walks */
    uint64_t nonce;       /* DIAL_REQUEST */
    uint32_t addr_index;  /* DIAL_RESPONSE, DATA_REQUEST */
    uint64_t status;      /* DIAL_RESPONSE: enum autonat_status, or another value */
    uint64_t dial_status; /* DIAL_RESPONSE: enum autonat_dial_status, or another value */
    uint64_t data_bytes;  /* DATA_REQUEST: wanted; DATA_RESPONSE: contained */
};

/*   -ERR_LIMIT      beyond AUTONAT_MESSAGE_MAX
 *   -ERR_MALFORMED  no protobuf, none of the four, or an index beyond 32 bits
 *   -ERR_TRUNCATED */
NODISCARD int autonat_decode(struct bytes body, struct autonat_msg *ret_msg);

/* Takes the next address off `left`, which began as a request's `addrs`; undecodable ones, too, as
 * answers name an address by its index.  false at the end. */
bool autonat_next_addr(struct bytes *left, struct bytes *ret_addr);

/* Each returns the bytes written.  The request has AUTONAT_ADDRS_MAX addresses at most (asserted),
 * a frame of data AUTONAT_DATA_FRAME bytes, all zero. */
size_t autonat_encode_request(const struct multiaddr *addrs, size_t addrs_count, uint64_t nonce,
                              uint8_t ret_out[AUTONAT_OUT_MAX]);
size_t autonat_encode_data(size_t data_bytes, uint8_t ret_out[AUTONAT_OUT_MAX]);
size_t autonat_encode_data_request(uint32_t addr_index, uint64_t data_bytes,
                                   uint8_t ret_out[AUTONAT_SMALL_OUT_MAX]);
size_t autonat_encode_response(enum autonat_status status, uint32_t addr_index,
                               enum autonat_dial_status dial_status,
                               uint8_t ret_out[AUTONAT_SMALL_OUT_MAX]);

/* --- v2, the dial-back's stream -------------------------------------------------------------- */

/* The answer to a DialBack: an empty message, which says OK. */
#define AUTONAT_DIAL_BACK_ANSWER BYTES_LIT("\0")

size_t autonat_encode_dial_back(uint64_t nonce, uint8_t ret_out[AUTONAT_SMALL_OUT_MAX]);

/*   -ERR_MALFORMED, -ERR_TRUNCATED, -ERR_LIMIT */
NODISCARD int autonat_decode_dial_back(struct bytes body, uint64_t *ret_nonce);

/* --- v1 -------------------------------------------------------------------------------------- */

enum autonat_v1_status {
    AUTONAT_V1_OK = 0,
    AUTONAT_V1_E_DIAL_ERROR = 100,
    AUTONAT_V1_E_DIAL_REFUSED = 101,
    AUTONAT_V1_E_BAD_REQUEST = 200,
    AUTONAT_V1_E_INTERNAL_ERROR = 300,
};

/* Asks to be dialled back: us, and AUTONAT_V1_ADDRS_MAX addresses at most (asserted). */
size_t autonat_v1_encode_dial(const struct peer_id *self, const struct multiaddr *addrs,
                              size_t addrs_count, uint8_t ret_out[AUTONAT_V1_OUT_MAX]);

/* The answer's status, enum autonat_v1_status or another value.
 *   -ERR_LIMIT, -ERR_MALFORMED (an answer without status, too), -ERR_TRUNCATED */
NODISCARD int autonat_v1_decode_response(struct bytes body, uint64_t *ret_status);

/* Who asks to be dialled back, as it says, and where: what autonat_v1_next_addr() walks. */
struct autonat_v1_dial {
    struct bytes peer;
    struct bytes addrs;
};

/*   -ERR_LIMIT, -ERR_MALFORMED (no DIAL, or one without a peer), -ERR_TRUNCATED */
NODISCARD int autonat_v1_decode_dial(struct bytes body, struct autonat_v1_dial *ret_dial);

/* Takes the next address, undecoded, off `left`, which began as a dial's `addrs`.  false at the
 * end. */
bool autonat_v1_next_addr(struct bytes *left, struct bytes *ret_addr);

/* `addr`: the one that worked, or NULL. */
size_t autonat_v1_encode_response(enum autonat_v1_status status, const struct multiaddr *addr,
                                  uint8_t ret_out[AUTONAT_V1_RESPONSE_MAX]);

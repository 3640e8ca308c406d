/* SPDX-License-Identifier: MIT */
#pragma once

/* The messages of circuit relay v2: what client and relay say on hop, relay and reserved peer on
 * stop.  Each is one frame (core/base/frame.h) of at most CIRCUIT_MSG_MAX bytes.
 *
 *   reservation   client > relay   hop   RESERVE
 *                 relay > client   hop   STATUS, and with OK: reservation, limit
 *   circuit       A > relay        hop   CONNECT, peer B
 *                 relay > B        stop  CONNECT, peer A, limit
 *                 B > relay        stop  STATUS
 *                 relay > A        hop   STATUS, limit
 *
 * The very next byte behind a circuit's last message belongs to the connection inside it.
 *
 * Spec:    libp2p relay-v2.  What is absent and what is zero are two things: a limit that is there
 *          makes a connection `limited`, whatever its values (decision 2).
 * Reading: known fields in any order, others skipped, the last of each wins.  An absent type is 0,
 *          as for go.
 * Writing: fields in the order of their numbers; type, and both values of a limit, also when they
 *          are 0: what go writes, so that the bytes are the same.
 * Memory:  values; what is decoded borrows from the input.
 * Thread:  any.
 */

#include "core/base/time.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"

struct wr;

enum {
    CIRCUIT_MSG_MAX = 4096, /* of the body: go's and rust's limit */
    /* With the length in front. */
    CIRCUIT_OUT_MAX = CIRCUIT_MSG_MAX + 2,
};

enum circuit_status {
    CIRCUIT_STATUS_UNUSED = 0, /* never sent */
    CIRCUIT_STATUS_OK = 100,
    CIRCUIT_STATUS_RESERVATION_REFUSED = 200,
    CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED = 201,
    CIRCUIT_STATUS_PERMISSION_DENIED = 202,
    CIRCUIT_STATUS_CONNECTION_FAILED = 203,
    CIRCUIT_STATUS_NO_RESERVATION = 204,
    CIRCUIT_STATUS_MALFORMED_MESSAGE = 400,
    CIRCUIT_STATUS_UNEXPECTED_MESSAGE = 401,
};

/* The spec's words, "reservation refused"; "unknown status" for another number.  Static storage. */
const char *circuit_status_text(uint32_t status);

/* Zero is unlimited.  Beyond 32 bits of seconds a peer means the longest there is. */
struct circuit_limit {
    uint32_t duration_s;
    uint64_t data_bytes; /* each direction */
};

struct circuit_reservation {
    walltime_t expire;    /* beyond 63 bits: INT64_MAX */
    struct bytes addrs;   /* see circuit_next_addr() and circuit_put_addr() */
    struct bytes voucher; /* see voucher.h; empty: none */
};

/* Takes the next address off `left`, which began as a reservation's addrs; undecodable ones are
 * skipped.  Whether it is of any use is the caller's question.  false at the end. */
bool circuit_next_addr(struct bytes *left, struct multiaddr *ret_addr);

/* Appends an address, ending in /p2p/<relay>, to a list that will be a reservation's addrs:
 *
 *   struct wr w = wr_init(memory, sizeof(memory));
 *   circuit_put_addr(&w, &addr);
 *   if (wr_done(&w) >= 0) reservation.addrs = wr_written(&w);                                 */
void circuit_put_addr(struct wr *w, const struct multiaddr *addr);

/* --- hop ------------------------------------------------------------------------------------- */

enum hop_type {
    HOP_RESERVE = 0,
    HOP_CONNECT = 1,
    HOP_STATUS = 2,
    HOP_OTHER, /* read only: any other number */
};

struct hop_msg {
    enum hop_type type;
    bool has_peer; /* of CONNECT: the destination */
    bool has_reservation;
    bool has_limit;
    bool has_status;
    struct peer_id peer;
    struct circuit_reservation reservation;
    struct circuit_limit limit;
    uint32_t status; /* enum circuit_status, or what a peer made up */
};

/* Decodes a body.  Which fields a type needs is the caller's question.
 *   -ERR_TRUNCATED, -ERR_MALFORMED, -ERR_BAD_PEER_ID: answer CIRCUIT_STATUS_MALFORMED_MESSAGE */
NODISCARD int hop_msg_decode(struct bytes in, struct hop_msg *ret_msg);

/* Writes length and body, and returns the bytes written.  -ERR_LIMIT: the body would be too long,
 * which takes a list of addresses. */
NODISCARD ssize_t hop_msg_encode(const struct hop_msg *m, uint8_t ret_out[CIRCUIT_OUT_MAX]);

/* --- stop ------------------------------------------------------------------------------------ */

enum stop_type {
    STOP_CONNECT = 0,
    STOP_STATUS = 1,
    STOP_OTHER, /* read only: any other number */
};

struct stop_msg {
    enum stop_type type;
    bool has_peer; /* of CONNECT: the source */
    bool has_limit;
    bool has_status;
    struct peer_id peer;
    struct circuit_limit limit;
    uint32_t status;
};

/* As for hop. */
NODISCARD int stop_msg_decode(struct bytes in, struct stop_msg *ret_msg);

/* As for hop, but nothing in it can be too long. */
NODISCARD size_t stop_msg_encode(const struct stop_msg *m, uint8_t ret_out[CIRCUIT_OUT_MAX]);

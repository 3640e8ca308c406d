/* SPDX-License-Identifier: MIT */
#pragma once

/* Signed envelopes and the peer record inside them.
 *
 * Spec:   libp2p peer-ids-and-keys, section 4.
 * Limits: ENVELOPE_BYTES_MAX, as go-libp2p's identify bounds the message around it.
 * Memory: values; what is decoded borrows from the input.
 * Thread: any.
 */

#include "core/base/bytes.h"
#include "core/p2p/key.h"
#include "core/p2p/peer_id.h"

struct identity;
struct multiaddr;

enum { ENVELOPE_BYTES_MAX = 8192, ENVELOPE_DOMAIN_BYTES_MAX = 64 };

#define ENVELOPE_DOMAIN_PEER_RECORD "libp2p-peer-record"
#define ENVELOPE_TYPE_PEER_RECORD   BYTES_LIT("\x03\x01")
#define ENVELOPE_DOMAIN_VOUCHER     "libp2p-relay-rsvp"
#define ENVELOPE_TYPE_VOUCHER       BYTES_LIT("\x03\x02")

struct envelope {
    struct public_key key; /* the signer's */
    struct bytes payload;
};

/* Decodes, compares the payload type, verifies.  Whether the signer is the right one is the
 * caller's question.
 *   -ERR_TRUNCATED, -ERR_MALFORMED, -ERR_LIMIT (too large), -ERR_BAD_KEY
 *   -ERR_UNSUPPORTED    another payload type (a rust record), or a key of an unknown curve
 *   -ERR_BAD_SIGNATURE  also when the domain is another */
NODISCARD int envelope_open(struct bytes in, const char *domain, struct bytes payload_type,
                            struct envelope *ret_envelope);

/* Signs and encodes into `out`.  Returns the length, or -ERR_LIMIT when `size` or
 * ENVELOPE_BYTES_MAX is too small, or -ERR_CRYPTO. */
NODISCARD ssize_t envelope_seal(const struct identity *signer, const char *domain,
                                struct bytes payload_type, struct bytes payload, void *out,
                                size_t size);

struct peer_record {
    struct peer_id peer;
    uint64_t seq;         /* the highest wins; go uses nanoseconds since 1970 */
    struct bytes payload; /* for peer_record_next() */
};

/* Opens an envelope with a peer record and checks that the signer speaks about itself.
 * The errors of envelope_open(), and -ERR_PEER_ID_MISMATCH.  Treat all of them as "no record",
 * never as an error of the connection. */
NODISCARD int peer_record_open(struct bytes envelope, struct peer_record *ret_record);

/* Walks the addresses: `left` begins as the record's payload.  Undecodable ones are skipped. */
bool peer_record_next(struct bytes *left, struct multiaddr *ret_addr);

/* Signs a record for the signer's own addresses (without /p2p).  Returns the envelope's length;
 * errors of envelope_seal(). */
NODISCARD ssize_t peer_record_seal(const struct identity *signer, uint64_t seq,
                                   const struct multiaddr *addrs, size_t addrs_count, void *out,
                                   size_t size);

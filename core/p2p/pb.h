/* SPDX-License-Identifier: MIT */
#pragma once

/* Protobuf on the cursors of rd.h and wr.h, for the flat messages of libp2p.
 *
 *   struct rd r = rd_init(in);
 *   struct pb_field f;
 *   while (pb_next(&r, &f)) {
 *       if (pb_is_bytes(&f, 1))
 *           m.peer = f.bytes;
 *       else if (pb_is_uint(&f, 2))
 *           m.seq = f.uint;
 *   }
 *   return rd_done(&r);
 *
 * Fields come in any order; what the loop does not ask for is skipped, a known number with another
 * wire type too, as Go's decoder does.  The last of a repeated scalar wins by itself.
 *
 * Errors (rd_done): -ERR_TRUNCATED; -ERR_MALFORMED for a varint beyond 64 bits, field number 0 or
 * beyond 2^29 - 1, and groups, which no libp2p message has.
 */

#include "core/base/rd.h"
#include "core/base/wr.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_field {
    uint32_t number;
    enum pb_wire wire;
    uint64_t uint;      /* PB_VARINT, PB_FIXED32, PB_FIXED64 */
    struct bytes bytes; /* PB_BYTES; borrowed from the input */
};

/* The next field; false at the end or after an error. */
bool pb_next(struct rd *r, struct pb_field *ret_field);

static inline bool pb_is_uint(const struct pb_field *f, uint32_t number) {
    return f->number == number && f->wire == PB_VARINT;
}

static inline bool pb_is_bytes(const struct pb_field *f, uint32_t number) {
    return f->number == number && f->wire == PB_BYTES;
}

static inline bool pb_is_fixed64(const struct pb_field *f, uint32_t number) {
    return f->number == number && f->wire == PB_FIXED64;
}

/* Each writes tag and value, zero and empty too: leaving those out is the message's affair
 * (proto3 does, proto2 does not). */
void pb_wr_uint(struct wr *w, uint32_t number, uint64_t value);
void pb_wr_fixed64(struct wr *w, uint32_t number, uint64_t value);
void pb_wr_bytes(struct wr *w, uint32_t number, struct bytes value);
/* Tag and length of a field of `len` bytes that the caller writes next. */
void pb_wr_head(struct wr *w, uint32_t number, size_t len);

/* Bytes that pb_wr_uint(), pb_wr_fixed64() and pb_wr_bytes() take. */
size_t pb_uint_size(uint32_t number, uint64_t value);
size_t pb_fixed64_size(uint32_t number);
size_t pb_bytes_size(uint32_t number, size_t len);

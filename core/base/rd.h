/* SPDX-License-Identifier: MIT */
#pragma once

/* A reading cursor over borrowed bytes whose error sticks: after the first failure every read is
 * a no-op that gives zeros, so fields are read in order and rd_done() is the one check.
 *
 * Errors: -ERR_TRUNCATED the input ended inside a field; -ERR_MALFORMED a varint was too long or
 * not minimal, or bytes were left over. */

#include "core/base/bytes.h"

struct rd {
    struct bytes left;
    int error;
};

struct rd rd_init(struct bytes in);
uint8_t rd_u8(struct rd *r);
uint16_t rd_be16(struct rd *r);
uint32_t rd_be32(struct rd *r);
uint64_t rd_be64(struct rd *r);

/* Unsigned LEB128 of at most 10 bytes whose value fits 64 bits; any padding is accepted, as
 * protobuf decoders do. */
uint64_t rd_varint(struct rd *r);

/* Unsigned LEB128 as multiformats have it: minimal, at most 9 bytes (63 bits). */
uint64_t rd_uvarint(struct rd *r);

/* The next n bytes, still borrowed from the input. */
struct bytes rd_bytes(struct rd *r, size_t n);

/* rd_uvarint() and then that many bytes.  A length beyond `max` is -ERR_LIMIT. */
struct bytes rd_uvarint_bytes(struct rd *r, size_t max);

/* Makes the cursor fail with `error` (negative) unless it failed before. */
void rd_fail(struct rd *r, int error);

static inline bool rd_more(const struct rd *r) {
    return r->error == 0 && r->left.len > 0;
}

/* 0, or the first error; bytes left over are -ERR_MALFORMED. */
NODISCARD int rd_done(const struct rd *r);

/* SPDX-License-Identifier: MIT */
#pragma once

/* A writing cursor over memory of fixed size whose error sticks: a write that does not fit is
 * dropped, wr_done() tells. */

#include "core/base/bytes.h"

struct wr {
    uint8_t *start;
    size_t len;  /* bytes written */
    size_t room; /* size of the memory */
    int error;   /* 0 or -ERR_LIMIT */
};

enum { UVARINT_BYTES_MAX = 10 };

struct wr wr_init(void *memory, size_t size);
void wr_u8(struct wr *w, uint8_t v);
void wr_be16(struct wr *w, uint16_t v);
void wr_be32(struct wr *w, uint32_t v);
void wr_be64(struct wr *w, uint64_t v);
void wr_uvarint(struct wr *w, uint64_t v);
void wr_bytes(struct wr *w, struct bytes b);

/* Length as uvarint, then the bytes. */
void wr_uvarint_bytes(struct wr *w, struct bytes b);

/* Bytes that wr_uvarint() needs for v: 1 to 10. */
size_t uvarint_size(uint64_t v);

static inline struct bytes wr_written(const struct wr *w) {
    return bytes_of(w->start, w->len);
}

/* The length written, or -ERR_LIMIT when something did not fit. */
NODISCARD ssize_t wr_done(const struct wr *w);

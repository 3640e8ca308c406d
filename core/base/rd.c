/* SPDX-License-Identifier: MIT */
#include "core/base/rd.h"

#include "core/base/err.h"

enum {
    VARINT_BYTES_MAX = 10,          /* ceil(64 / 7) */
    MULTIFORMATS_UVARINT_BYTES = 9, /* 63 bits */
};

struct rd rd_init(struct bytes in) {
    return (struct rd){.left = in};
}

void rd_fail(struct rd *r, int error) {
    assert(error < 0);
    if (r->error == 0)
        r->error = error;
}

struct bytes rd_bytes(struct rd *r, size_t n) {
    if (r->error != 0)
        return BYTES_EMPTY;
    if (n > r->left.len) {
        rd_fail(r, -ERR_TRUNCATED);
        return BYTES_EMPTY;
    }
    struct bytes taken = bytes_of(r->left.data, n);
    r->left = bytes_skip(r->left, n);
    return taken;
}

/* Big-endian integer of n bytes. */
static uint64_t be(struct rd *r, size_t n) {
    struct bytes b = rd_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < b.len; i++)
        v = v << 8 | b.data[i];
    return v;
}

uint8_t rd_u8(struct rd *r) {
    return (uint8_t)be(r, 1);
}

uint16_t rd_be16(struct rd *r) {
    return (uint16_t)be(r, 2);
}

uint32_t rd_be32(struct rd *r) {
    return (uint32_t)be(r, 4);
}

uint64_t rd_be64(struct rd *r) {
    return be(r, 8);
}

/* LEB128 of at most `bytes_max` bytes. */
static uint64_t leb128(struct rd *r, size_t bytes_max, bool minimal) {
    if (r->error != 0)
        return 0;
    uint64_t v = 0;
    for (size_t i = 0; i < bytes_max; i++) {
        if (i == r->left.len) {
            rd_fail(r, -ERR_TRUNCATED);
            return 0;
        }
        uint8_t byte = r->left.data[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            break; /* beyond 64 bits */
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) != 0)
            continue;
        if (minimal && byte == 0 && i > 0)
            break;
        r->left = bytes_skip(r->left, i + 1);
        return v;
    }
    rd_fail(r, -ERR_MALFORMED);
    return 0;
}

uint64_t rd_varint(struct rd *r) {
    return leb128(r, VARINT_BYTES_MAX, false);
}

uint64_t rd_uvarint(struct rd *r) {
    return leb128(r, MULTIFORMATS_UVARINT_BYTES, true);
}

struct bytes rd_uvarint_bytes(struct rd *r, size_t max) {
    uint64_t n = rd_uvarint(r);
    if (n > max) {
        rd_fail(r, -ERR_LIMIT);
        return BYTES_EMPTY;
    }
    return rd_bytes(r, (size_t)n);
}

int rd_done(const struct rd *r) {
    if (r->error != 0)
        return r->error;
    return r->left.len == 0 ? 0 : -ERR_MALFORMED;
}

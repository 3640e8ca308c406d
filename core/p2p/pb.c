/* SPDX-License-Identifier: MIT */
#include "core/p2p/pb.h"

#include "core/base/err.h"

enum { PB_NUMBER_MAX = (1 << 29) - 1, PB_WIRE_BITS = 3 };

/* Little-endian integer of n bytes. */
static uint64_t fixed(struct rd *r, size_t n) {
    struct bytes b = rd_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < b.len; i++)
        v |= (uint64_t)b.data[i] << (8 * i);
    return v;
}

static struct bytes delimited(struct rd *r) {
    uint64_t len = rd_varint(r);
    if (len > r->left.len) {
        rd_fail(r, -ERR_TRUNCATED);
        return BYTES_EMPTY;
    }
    return rd_bytes(r, (size_t)len);
}

bool pb_next(struct rd *r, struct pb_field *ret_field) {
    if (!rd_more(r))
        return false;
    uint64_t tag = rd_varint(r);
    uint64_t number = tag >> PB_WIRE_BITS;
    if (number == 0 || number > PB_NUMBER_MAX) {
        rd_fail(r, -ERR_MALFORMED);
        return false;
    }
    struct pb_field f = {.number = (uint32_t)number, .wire = tag & ((1u << PB_WIRE_BITS) - 1)};
    switch (f.wire) {
    case PB_VARINT:
        f.uint = rd_varint(r);
        break;
    case PB_FIXED64:
        f.uint = fixed(r, 8);
        break;
    case PB_BYTES:
        f.bytes = delimited(r);
        break;
    case PB_FIXED32:
        f.uint = fixed(r, 4);
        break;
    default:
        rd_fail(r, -ERR_MALFORMED);
        break;
    }
    if (r->error != 0)
        return false;
    *ret_field = f;
    return true;
}

static void wr_tag(struct wr *w, uint32_t number, enum pb_wire wire) {
    assert(number > 0);
    assert(number <= PB_NUMBER_MAX);
    wr_uvarint(w, (uint64_t)number << PB_WIRE_BITS | wire);
}

void pb_wr_uint(struct wr *w, uint32_t number, uint64_t value) {
    wr_tag(w, number, PB_VARINT);
    wr_uvarint(w, value);
}

void pb_wr_fixed64(struct wr *w, uint32_t number, uint64_t value) {
    wr_tag(w, number, PB_FIXED64);
    for (int shift = 0; shift < 64; shift += 8)
        wr_u8(w, (uint8_t)(value >> shift));
}

void pb_wr_head(struct wr *w, uint32_t number, size_t len) {
    wr_tag(w, number, PB_BYTES);
    wr_uvarint(w, len);
}

void pb_wr_bytes(struct wr *w, uint32_t number, struct bytes value) {
    pb_wr_head(w, number, value.len);
    wr_bytes(w, value);
}

static size_t tag_size(uint32_t number) {
    return uvarint_size((uint64_t)number << PB_WIRE_BITS);
}

size_t pb_uint_size(uint32_t number, uint64_t value) {
    return tag_size(number) + uvarint_size(value);
}

size_t pb_fixed64_size(uint32_t number) {
    return tag_size(number) + sizeof(uint64_t);
}

size_t pb_bytes_size(uint32_t number, size_t len) {
    return tag_size(number) + uvarint_size(len) + len;
}

/* SPDX-License-Identifier: MIT */
#include "transport/proto/der.h"

#include "core/base/err.h"

bool der_is_next(const struct rd *r, enum der_tag tag) {
    return rd_more(r) && r->left.data[0] == tag;
}

static size_t take_length(struct rd *r) {
    uint8_t first = rd_u8(r);
    if (first < 0x80)
        return first;

    size_t len = 0;
    size_t bytes_count = first & 0x7f;
    if (bytes_count == 0 || bytes_count > 3) {
        rd_fail(r, -ERR_MALFORMED);
        return 0;
    }
    for (size_t i = 0; i < bytes_count; i++)
        len = len << 8 | rd_u8(r);
    /* Minimal: the short form where it fits, no leading zero byte. */
    if (len < 0x80 || len >> (8 * (bytes_count - 1)) == 0)
        rd_fail(r, -ERR_MALFORMED);
    return len;
}

struct bytes der_take(struct rd *r, enum der_tag tag) {
    if (rd_u8(r) != tag)
        rd_fail(r, -ERR_MALFORMED);
    size_t len = take_length(r);
    return rd_bytes(r, len);
}

struct bytes der_take_whole(struct rd *r, enum der_tag tag) {
    struct bytes before = r->left;
    (void)der_take(r, tag); /* The cursor is what counts. */
    if (r->error != 0)
        return BYTES_EMPTY;
    return bytes_of(before.data, before.len - r->left.len);
}

struct bytes der_take_bits(struct rd *r) {
    struct bytes content = der_take(r, DER_BIT_STRING);
    /* The first byte counts the unused bits of the last one. */
    if (content.len == 0 || content.data[0] != 0) {
        rd_fail(r, -ERR_MALFORMED);
        return BYTES_EMPTY;
    }
    return bytes_skip(content, 1);
}

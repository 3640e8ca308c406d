/* SPDX-License-Identifier: MIT */
#include "core/base/wr.h"

#include "core/base/err.h"

struct wr wr_init(void *memory, size_t size) {
    return (struct wr){.start = memory, .room = size};
}

void wr_bytes(struct wr *w, struct bytes b) {
    assert(w->len <= w->room);
    if (w->error != 0)
        return;
    if (b.len > w->room - w->len) {
        w->error = -ERR_LIMIT;
        return;
    }
    if (b.len > 0)
        memcpy(w->start + w->len, b.data, b.len);
    w->len += b.len;
}

/* The low n bytes of v, big-endian. */
static void be(struct wr *w, uint64_t v, size_t n) {
    uint8_t out[8];
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    wr_bytes(w, bytes_of(out, n));
}

void wr_u8(struct wr *w, uint8_t v) {
    be(w, v, 1);
}

void wr_be16(struct wr *w, uint16_t v) {
    be(w, v, 2);
}

void wr_be32(struct wr *w, uint32_t v) {
    be(w, v, 4);
}

void wr_be64(struct wr *w, uint64_t v) {
    be(w, v, 8);
}

void wr_uvarint(struct wr *w, uint64_t v) {
    uint8_t out[UVARINT_BYTES_MAX];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    wr_bytes(w, bytes_of(out, n));
}

void wr_uvarint_bytes(struct wr *w, struct bytes b) {
    wr_uvarint(w, b.len);
    wr_bytes(w, b);
}

size_t uvarint_size(uint64_t v) {
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

ssize_t wr_done(const struct wr *w) {
    return w->error != 0 ? w->error : (ssize_t)w->len;
}

/* SPDX-License-Identifier: MIT */
#include "core/base/frame.h"

#include "core/base/err.h"

enum { LEN_BYTES_MAX = 9 }; /* 63 bits, as in rd_uvarint() */

int frame_len_take(struct frame_len *l, uint8_t byte, uint64_t max) {
    assert(l->count < LEN_BYTES_MAX);
    l->value |= (uint64_t)(byte & 0x7f) << (7 * l->count);
    l->count++;
    if ((byte & 0x80) != 0) /* One byte more means this much at least, or padding. */
        return l->count == LEN_BYTES_MAX || (uint64_t)1 << (7 * l->count) > max ? -ERR_LIMIT : 0;
    if (byte == 0 && l->count > 1)
        return -ERR_MALFORMED;
    return l->value > max ? -ERR_LIMIT : 1;
}

void frame_init(struct frame *f, void *memory, size_t size) {
    *f = (struct frame){.memory = memory, .size = size};
}

ssize_t frame_recv(struct frame *f, struct bytes in) {
    size_t taken = 0;
    while (!f->len_whole && taken < in.len) {
        int e = frame_len_take(&f->len, in.data[taken++], f->size);
        if (e < 0)
            return e;
        f->len_whole = e == 1;
    }
    if (!f->len_whole)
        return (ssize_t)taken;
    assert(f->len.value <= f->size);
    size_t n = MIN(in.len - taken, (size_t)f->len.value - f->got);
    if (n > 0)
        memcpy(f->memory + f->got, in.data + taken, n);
    f->got += n;
    return (ssize_t)(taken + n);
}

struct bytes frame_body(const struct frame *f) {
    assert(frame_is_whole(f));
    return bytes_of(f->memory, f->got);
}

/* SPDX-License-Identifier: MIT */
/* Goal: one message comes out of bytes cut anywhere, and not a byte behind it is taken.
 * Spec: libp2p relay-v2; lengths as multiformats' unsigned varint. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/frame.h"
#include "core/base/wr.h"

enum { BODY_MAX = 4096 };

struct reader {
    struct frame frame;
    uint8_t memory[BODY_MAX];
};

static void reader_init(struct reader *r) {
    frame_init(&r->frame, r->memory, sizeof(r->memory));
}

/* The whole of `in` at once. */
static ssize_t recv_all(struct reader *r, struct bytes in) {
    reader_init(r);
    return frame_recv(&r->frame, in);
}

/* Length and `size` bytes that count up. */
static struct bytes make_frame(uint8_t *memory, size_t room, size_t size) {
    struct wr w = wr_init(memory, room);
    wr_uvarint(&w, size);
    for (size_t i = 0; i < size; i++)
        wr_u8(&w, (uint8_t)i);
    cr_assert_gt(wr_done(&w), 0);
    return wr_written(&w);
}

Test(frame, every_cut_gives_the_same_body_and_leaves_what_follows) {
    static const size_t sizes[] = {1, 2, 127, 128, 300};
    for (size_t k = 0; k < ARRAY_COUNT(sizes); k++) {
        uint8_t memory[512];
        struct bytes whole = make_frame(memory, sizeof(memory), sizes[k]);
        for (size_t cut = 0; cut <= whole.len; cut++) {
            struct reader r;
            struct bytes first = bytes_of(whole.data, cut);
            struct bytes rest = bytes_of(memory + cut, whole.len - cut + 5);
            reader_init(&r);
            cr_assert_eq(frame_recv(&r.frame, first), (ssize_t)cut);
            cr_assert_eq(frame_is_whole(&r.frame), cut == whole.len);
            cr_assert_eq(frame_recv(&r.frame, rest), (ssize_t)(whole.len - cut),
                         "size %zu, cut %zu", sizes[k], cut);
            cr_assert(frame_is_whole(&r.frame));
            cr_assert(bytes_equal(frame_body(&r.frame), bytes_skip(whole, whole.len - sizes[k])));
            cr_assert_eq(frame_recv(&r.frame, rest), 0, "nothing behind the message");
        }
    }
}

Test(frame, an_empty_message_is_one) {
    struct reader r;
    reader_init(&r);
    cr_assert_not(frame_is_whole(&r.frame));
    cr_assert_eq(frame_recv(&r.frame, BYTES_EMPTY), 0);
    cr_assert_not(frame_is_whole(&r.frame));
    cr_assert_eq(frame_recv(&r.frame, BYTES_LIT("\x00more")), 1);
    cr_assert(frame_is_whole(&r.frame));
    cr_assert_eq(frame_body(&r.frame).len, 0);
}

Test(frame, the_largest_message_fits_and_one_byte_more_is_refused) {
    static uint8_t memory[BODY_MAX + 8];
    struct reader r;
    struct bytes whole = make_frame(memory, sizeof(memory), BODY_MAX);
    cr_assert_eq(recv_all(&r, whole), (ssize_t)whole.len);
    cr_assert(bytes_equal(frame_body(&r.frame), bytes_skip(whole, 2)));
    cr_assert_eq(recv_all(&r, BYTES_LIT("\x81\x20")), -ERR_LIMIT);
}

Test(frame, a_length_beyond_the_limit_is_refused_at_the_first_byte_that_tells) {
    struct reader r;
    cr_assert_eq(recv_all(&r, BYTES_LIT("\x80")), 1);
    cr_assert_eq(recv_all(&r, BYTES_LIT("\x80\x80")), -ERR_LIMIT);
    frame_init(&r.frame, r.memory, 127);
    cr_assert_eq(frame_recv(&r.frame, BYTES_LIT("\x80")), -ERR_LIMIT);
    frame_init(&r.frame, r.memory, 0);
    cr_assert_eq(frame_recv(&r.frame, BYTES_LIT("\x01")), -ERR_LIMIT);
}

Test(frame, a_padded_length_is_malformed) {
    struct reader r;
    cr_assert_eq(recv_all(&r, BYTES_LIT("\x80\x00")), -ERR_MALFORMED);
    cr_assert_eq(recv_all(&r, BYTES_LIT("\x85\x00hello")), -ERR_MALFORMED);
}

Test(frame, lengths_of_up_to_63_bits_are_read) {
    static const uint64_t values[] = {0, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        uint8_t memory[UVARINT_BYTES_MAX];
        struct wr w = wr_init(memory, sizeof(memory));
        struct frame_len len = {.count = 0};
        wr_uvarint(&w, values[i]);
        for (size_t k = 0; k < w.len; k++)
            cr_assert_eq(frame_len_take(&len, memory[k], UINT64_MAX), k + 1 == w.len);
        cr_assert_eq(len.value, values[i]);
    }
    struct frame_len len = {.count = 0};
    for (int k = 0; k < 8; k++)
        cr_assert_eq(frame_len_take(&len, 0xff, UINT64_MAX), 0);
    cr_assert_eq(frame_len_take(&len, 0xff, UINT64_MAX), -ERR_LIMIT);
}

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/rd.h"
#include "core/base/wr.h"

Test(rd, fields_come_in_order_and_nothing_may_be_left_over) {
    static const uint8_t in[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xaa, 0xbb};
    struct rd r = rd_init(BYTES_OF(in));
    cr_assert_eq(rd_u8(&r), 1);
    cr_assert_eq(rd_be16(&r), 0x0203);
    cr_assert_eq(rd_be32(&r), 0x04050607);
    cr_assert_eq(rd_be64(&r), 0x08090a0b0c0d0e0f);
    cr_assert(rd_more(&r));
    cr_assert_eq(rd_done(&r), -ERR_MALFORMED);
    cr_assert_eq(rd_bytes(&r, 2).data, in + 15);
    cr_assert_not(rd_more(&r));
    cr_assert_eq(rd_done(&r), 0);
}

Test(rd, the_first_error_sticks) {
    static const uint8_t in[] = {1, 2, 3};
    struct rd r = rd_init(BYTES_OF(in));
    cr_assert_eq(rd_be32(&r), 0);
    cr_assert_eq(rd_u8(&r), 0, "a byte is there, but the cursor is dead");
    cr_assert_eq(rd_bytes(&r, 0).data, NULL);
    rd_fail(&r, -ERR_LIMIT);
    cr_assert_eq(rd_varint(&r), 0);
    cr_assert_eq(rd_done(&r), -ERR_TRUNCATED);
    r = rd_init(BYTES_OF(in));
    rd_fail(&r, -ERR_LIMIT);
    cr_assert_eq(rd_done(&r), -ERR_LIMIT);
}

static const struct varint_row {
    const char *name;
    struct bytes in;
    uint64_t value;
    int varint_error;
    int uvarint_error;
} varint_rows[] = {
    {"zero", BYTES_LIT("\x00"), 0, 0, 0},
    {"127", BYTES_LIT("\x7f"), 127, 0, 0},
    {"128", BYTES_LIT("\x80\x01"), 128, 0, 0},
    {"300", BYTES_LIT("\xac\x02"), 300, 0, 0},
    {"63 bits", BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), INT64_MAX, 0, 0},
    {"64 bits", BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), UINT64_MAX, 0,
     -ERR_MALFORMED},
    {"65 bits", BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), 0, -ERR_MALFORMED,
     -ERR_MALFORMED},
    {"eleven bytes", BYTES_LIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), 0, -ERR_MALFORMED,
     -ERR_MALFORMED},
    {"padded", BYTES_LIT("\x84\x00"), 4, 0, -ERR_MALFORMED},
    {"padded zero", BYTES_LIT("\x80\x80\x00"), 0, 0, -ERR_MALFORMED},
    {"cut", BYTES_LIT("\x80"), 0, -ERR_TRUNCATED, -ERR_TRUNCATED},
    {"empty", {NULL, 0}, 0, -ERR_TRUNCATED, -ERR_TRUNCATED},
};

Test(rd, varints_of_both_kinds) {
    for (size_t i = 0; i < ARRAY_COUNT(varint_rows); i++) {
        const struct varint_row *row = &varint_rows[i];
        struct rd r = rd_init(row->in);
        cr_assert_eq(rd_varint(&r), row->value, "%s", row->name);
        cr_assert_eq(rd_done(&r), row->varint_error, "%s", row->name);
        r = rd_init(row->in);
        cr_assert_eq(rd_uvarint(&r), row->uvarint_error == 0 ? row->value : 0, "%s", row->name);
        cr_assert_eq(rd_done(&r), row->uvarint_error, "%s", row->name);
    }
}

Test(rd, a_length_is_checked_against_its_limit_before_the_input) {
    static const uint8_t in[] = {4, 'a', 'b', 'c', 'd'};
    struct rd r = rd_init(BYTES_OF(in));
    cr_assert(bytes_equal(rd_uvarint_bytes(&r, 4), BYTES_LIT("abcd")));
    cr_assert_eq(rd_done(&r), 0);
    r = rd_init(BYTES_OF(in));
    cr_assert_eq(rd_uvarint_bytes(&r, 3).len, 0);
    cr_assert_eq(rd_done(&r), -ERR_LIMIT);
    r = rd_init(bytes_of(in, 4));
    cr_assert_eq(rd_uvarint_bytes(&r, 4).len, 0);
    cr_assert_eq(rd_done(&r), -ERR_TRUNCATED);
}

Test(wr, writes_what_rd_reads) {
    uint8_t memory[64];
    struct wr w = wr_init(memory, sizeof(memory));
    wr_u8(&w, 0xfe);
    wr_be16(&w, 0x1234);
    wr_be32(&w, 0xdeadbeef);
    wr_be64(&w, 0x0123456789abcdef);
    wr_uvarint(&w, 300);
    wr_uvarint_bytes(&w, BYTES_LIT("name"));
    wr_bytes(&w, BYTES_EMPTY);
    cr_assert_eq(wr_done(&w), 1 + 2 + 4 + 8 + 2 + 5);
    struct rd r = rd_init(wr_written(&w));
    cr_assert_eq(rd_u8(&r), 0xfe);
    cr_assert_eq(rd_be16(&r), 0x1234);
    cr_assert_eq(rd_be32(&r), 0xdeadbeef);
    cr_assert_eq(rd_be64(&r), 0x0123456789abcdef);
    cr_assert_eq(rd_uvarint(&r), 300);
    cr_assert(bytes_equal(rd_uvarint_bytes(&r, 10), BYTES_LIT("name")));
    cr_assert_eq(rd_done(&r), 0);
}

Test(wr, what_does_not_fit_is_dropped_whole_and_the_error_sticks) {
    uint8_t memory[4] = {0, 0, 0, 0xcc};
    struct wr w = wr_init(memory, 3);
    wr_be16(&w, 1);
    wr_be16(&w, 2);
    wr_u8(&w, 3);
    cr_assert_eq(wr_done(&w), -ERR_LIMIT);
    cr_assert_eq(wr_written(&w).len, 2);
    cr_assert_eq(memory[3], 0xcc);
}

Test(wr, uvarint_size_tells_what_is_written) {
    static const uint64_t values[] = {0, 127, 128, 16383, 16384, 1ull << 62, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        uint8_t memory[UVARINT_BYTES_MAX];
        struct wr w = wr_init(memory, sizeof(memory));
        wr_uvarint(&w, values[i]);
        cr_assert_eq(wr_done(&w), (ssize_t)uvarint_size(values[i]), "value %zu", i);
        struct rd r = rd_init(wr_written(&w));
        cr_assert_eq(rd_varint(&r), values[i]);
    }
}

Test(bytes, comparisons_know_the_empty_one) {
    cr_assert(bytes_equal(BYTES_EMPTY, BYTES_LIT("")));
    cr_assert_not(bytes_equal(BYTES_LIT("a"), BYTES_LIT("b")));
    cr_assert(bytes_start_with(BYTES_LIT("abc"), BYTES_LIT("ab")));
    cr_assert(bytes_start_with(BYTES_LIT("abc"), BYTES_EMPTY));
    cr_assert_not(bytes_start_with(BYTES_LIT("a"), BYTES_LIT("ab")));
    cr_assert(bytes_equal(bytes_skip(bytes_of_str("abc"), 1), BYTES_LIT("bc")));
}

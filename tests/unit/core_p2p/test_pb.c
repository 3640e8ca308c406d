/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/p2p/pb.h"
#include "tests/support/hex.h"

/* One of each wire type, with the highest field number. */
Test(pb, fields_of_every_wire_type_are_read) {
    struct rd r = rd_init(HEX("08ac02"
                              "1103000000000000ff"
                              "1a03616263"
                              "2501020380"
                              "f8ffffff0f01"));
    struct pb_field f;
    cr_assert(pb_next(&r, &f));
    cr_assert(pb_is_uint(&f, 1));
    cr_assert_not(pb_is_uint(&f, 2));
    cr_assert_not(pb_is_bytes(&f, 1));
    cr_assert_eq(f.uint, 300);
    cr_assert(pb_next(&r, &f));
    cr_assert_eq(f.number, 2);
    cr_assert_eq(f.wire, PB_FIXED64);
    cr_assert_eq(f.uint, 0xff00000000000003);
    cr_assert(pb_next(&r, &f));
    cr_assert(pb_is_bytes(&f, 3));
    cr_assert(bytes_equal(f.bytes, BYTES_LIT("abc")));
    cr_assert(pb_next(&r, &f));
    cr_assert_eq(f.wire, PB_FIXED32);
    cr_assert_eq(f.uint, 0x80030201);
    cr_assert(pb_next(&r, &f));
    cr_assert(pb_is_uint(&f, (1 << 29) - 1));
    cr_assert_not(pb_next(&r, &f));
    cr_assert_eq(rd_done(&r), 0);
    cr_assert_not(pb_next(&r, &f), "the end stays the end");
}

Test(pb, malformed_messages_end_with_their_error) {
    static const struct {
        const char *name;
        const char *hex;
        int error;
    } rows[] = {
        {"tag cut", "80", -ERR_TRUNCATED},
        {"no value", "08", -ERR_TRUNCATED},
        {"value cut", "0880", -ERR_TRUNCATED},
        {"length beyond the input", "0a0361", -ERR_TRUNCATED},
        {"length beyond memory", "0affffffffffffffffff01", -ERR_TRUNCATED},
        {"fixed64 cut", "0901020304050607", -ERR_TRUNCATED},
        {"fixed32 cut", "0d010203", -ERR_TRUNCATED},
        {"field number 0", "0001", -ERR_MALFORMED},
        {"field number too high", "808080801001", -ERR_MALFORMED},
        {"group begins", "0b0c", -ERR_MALFORMED},
        {"group ends", "0c", -ERR_MALFORMED},
        {"wire type 6", "0e", -ERR_MALFORMED},
        {"wire type 7", "0f", -ERR_MALFORMED},
        {"varint of 65 bits", "08ffffffffffffffffff02", -ERR_MALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t memory[32];
        struct rd r = rd_init(hex_into(rows[i].hex, memory, sizeof(memory)));
        struct pb_field f;
        cr_assert_not(pb_next(&r, &f), "%s", rows[i].name);
        cr_assert_eq(rd_done(&r), rows[i].error, "%s: %s", rows[i].name, err_name(rd_done(&r)));
    }
}

Test(pb, what_is_written_has_the_promised_size_and_reads_back) {
    uint8_t memory[64];
    struct wr w = wr_init(memory, sizeof(memory));
    pb_wr_uint(&w, 1, 0);
    pb_wr_uint(&w, 16, UINT64_MAX);
    pb_wr_bytes(&w, 2, BYTES_LIT("xyz"));
    pb_wr_bytes(&w, 3, BYTES_EMPTY);
    pb_wr_head(&w, 2000, 1);
    wr_u8(&w, 'z');
    cr_assert_eq((size_t)wr_done(&w), pb_uint_size(1, 0) + pb_uint_size(16, UINT64_MAX) +
                                          pb_bytes_size(2, 3) + pb_bytes_size(3, 0) +
                                          pb_bytes_size(2000, 1));
    static const struct {
        uint32_t number;
        uint64_t uint;
        const char *bytes;
    } expected[] = {
        {1, 0, NULL}, {16, UINT64_MAX, NULL}, {2, 0, "xyz"}, {3, 0, ""}, {2000, 0, "z"}};
    struct rd r = rd_init(wr_written(&w));
    struct pb_field f;
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        cr_assert(pb_next(&r, &f));
        cr_assert_eq(f.number, expected[i].number);
        cr_assert_eq(f.uint, expected[i].uint);
        if (expected[i].bytes != NULL)
            cr_assert(bytes_equal(f.bytes, bytes_of_str(expected[i].bytes)));
    }
    cr_assert_eq(rd_done(&r), 0);
}

Test(pb, fixed64_is_little_endian) {
    uint8_t memory[16];
    struct wr w = wr_init(memory, sizeof(memory));
    pb_wr_fixed64(&w, 2, 0x0102030405060708);
    cr_assert(bytes_equal(wr_written(&w), HEX("110807060504030201")));
    cr_assert_eq(pb_fixed64_size(2), 9);
    struct rd r = rd_init(wr_written(&w));
    struct pb_field f;
    cr_assert(pb_next(&r, &f));
    cr_assert(pb_is_fixed64(&f, 2));
    cr_assert_not(pb_is_fixed64(&f, 1));
    cr_assert_not(pb_is_uint(&f, 2));
    cr_assert_eq(f.uint, 0x0102030405060708);
}

/* SPDX-License-Identifier: MIT */
/* Goal: only the one form that DER allows is read, and never beyond the input.
 * Spec: X.690, 8.1 and 10.1. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "transport/proto/der.h"

Test(der, lengths_are_definite_and_minimal) {
    static const struct {
        struct bytes in;
        int error;
    } rows[] = {
        {BYTES_LIT("\x04\x00"), 0},
        {BYTES_LIT("\x04\x01x"), 0},
        {BYTES_LIT("\x04"), -ERR_TRUNCATED},
        {BYTES_LIT("\x04\x01"), -ERR_TRUNCATED},
        {BYTES_LIT("\x04\x82\x01"), -ERR_TRUNCATED},
        {BYTES_LIT("\x04\x80x\x00\x00"), -ERR_MALFORMED},         /* indefinite */
        {BYTES_LIT("\x04\x81\x01x"), -ERR_MALFORMED},             /* fits the short form */
        {BYTES_LIT("\x04\x82\x00\x80x"), -ERR_MALFORMED},         /* a leading zero */
        {BYTES_LIT("\x04\x84\x00\x00\x00\x01x"), -ERR_MALFORMED}, /* more than three bytes */
        {BYTES_LIT("\x04\xff"), -ERR_MALFORMED},
        {BYTES_LIT("\x05\x00"), -ERR_MALFORMED},   /* another tag */
        {BYTES_LIT("\x04\x01xy"), -ERR_MALFORMED}, /* something behind it */
        {BYTES_LIT("\x04\x83\x01\x00\x00x"), -ERR_TRUNCATED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct rd r = rd_init(rows[i].in);
        (void)der_take(&r, DER_OCTET_STRING);
        int e = rd_done(&r);
        cr_assert_eq(e, rows[i].error, "row %zu: %s", i, err_name(e));
    }
}

Test(der, long_forms_are_read_where_they_are_needed) {
    static uint8_t in[4 + 0x10000];
    static const struct {
        size_t len;
        size_t head;
        uint8_t bytes[5];
    } rows[] = {
        {0x7f, 2, {0x04, 0x7f}},
        {0x80, 3, {0x04, 0x81, 0x80}},
        {0xff, 3, {0x04, 0x81, 0xff}},
        {0x100, 4, {0x04, 0x82, 0x01, 0x00}},
        {0xffff, 4, {0x04, 0x82, 0xff, 0xff}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        memcpy(in, rows[i].bytes, rows[i].head);
        struct bytes whole = bytes_of(in, rows[i].head + rows[i].len);
        struct rd r = rd_init(whole);
        cr_assert(der_is_next(&r, DER_OCTET_STRING));
        cr_assert(!der_is_next(&r, DER_SEQUENCE));
        struct bytes got = der_take(&r, DER_OCTET_STRING);
        cr_assert_eq(rd_done(&r), 0, "row %zu", i);
        cr_assert_eq(got.len, rows[i].len);
        cr_assert_eq(got.data, in + rows[i].head);

        r = rd_init(whole);
        got = der_take_whole(&r, DER_OCTET_STRING);
        cr_assert_eq(got.data, in);
        cr_assert_eq(got.len, whole.len);
    }
}

Test(der, bit_strings_have_whole_bytes) {
    struct rd r = rd_init(BYTES_LIT("\x03\x03\x00xy"));
    cr_assert(bytes_equal(der_take_bits(&r), BYTES_LIT("xy")));
    cr_assert_eq(rd_done(&r), 0);
    r = rd_init(BYTES_LIT("\x03\x02\x01x"));
    (void)der_take_bits(&r);
    cr_assert_eq(rd_done(&r), -ERR_MALFORMED, "an unused bit");
    r = rd_init(BYTES_LIT("\x03\x00"));
    (void)der_take_bits(&r);
    cr_assert_eq(rd_done(&r), -ERR_MALFORMED, "without the count of unused bits");
}

Test(der, a_failed_cursor_gives_nothing) {
    struct rd r = rd_init(BYTES_LIT("\x05\x00\x04\x00"));
    cr_assert_eq(der_take_whole(&r, DER_OCTET_STRING).len, 0);
    cr_assert(!der_is_next(&r, DER_OCTET_STRING));
    cr_assert_eq(der_take_whole(&r, DER_OCTET_STRING).len, 0);
    cr_assert_eq(rd_done(&r), -ERR_MALFORMED);
}

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/codec.h"
#include "core/base/err.h"
#include "tests/support/fixed_rng.h"

/* RFC 4648 section 10, and for base58 the examples of its Internet draft. */
static const struct row {
    enum codec codec;
    struct bytes bytes;
    const char *text;
} rows[] = {
    {CODEC_HEX, BYTES_LIT("foobar"), "666f6f626172"},
    {CODEC_HEX_UPPER, BYTES_LIT("foo/\xff"), "666F6F2FFF"},
    {CODEC_BASE32, BYTES_LIT("f"), "my"},
    {CODEC_BASE32, BYTES_LIT("fo"), "mzxq"},
    {CODEC_BASE32, BYTES_LIT("foo"), "mzxw6"},
    {CODEC_BASE32, BYTES_LIT("foob"), "mzxw6yq"},
    {CODEC_BASE32_UPPER, BYTES_LIT("fooba"), "MZXW6YTB"},
    {CODEC_BASE32_UPPER, BYTES_LIT("foobar"), "MZXW6YTBOI"},
    {CODEC_BASE64, BYTES_LIT("f"), "Zg=="},
    {CODEC_BASE64, BYTES_LIT("fo"), "Zm8="},
    {CODEC_BASE64, BYTES_LIT("foo"), "Zm9v"},
    {CODEC_BASE64_PLAIN, BYTES_LIT("foob"), "Zm9vYg"},
    {CODEC_BASE64, BYTES_LIT("foobar"), "Zm9vYmFy"},
    {CODEC_BASE64, BYTES_LIT("\xfb\xff\xfe"), "+//+"},
    {CODEC_BASE64URL, BYTES_LIT("\xfb\xff\xfe"), "-__-"},
    {CODEC_BASE64URL, BYTES_LIT("fo"), "Zm8"},
    {CODEC_BASE58, BYTES_LIT("Hello World!"), "2NEpo7TZRRrLZSi2U"},
    {CODEC_BASE58, BYTES_LIT("\x00\x00\x28\x7f\xb4\xcd"), "11233QC4"},
    {CODEC_BASE36, BYTES_LIT("\x00\x00\x01\x00"), "0074"},
    {CODEC_BASE36_UPPER, BYTES_LIT("\xff"), "73"},
    {CODEC_BASE36, BYTES_LIT("\x00"), "0"},
};

Test(codec, known_answers_both_ways) {
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char text[64];
        uint8_t back[64];
        size_t len = codec_encode(rows[i].codec, rows[i].bytes, text);
        cr_assert_str_eq(text, rows[i].text, "row %zu", i);
        cr_assert_eq(len, strlen(text), "row %zu", i);
        ssize_t n = codec_decode(rows[i].codec, bytes_of_str(rows[i].text), back, sizeof(back));
        cr_assert_eq(n, (ssize_t)rows[i].bytes.len, "row %zu: %zd", i, n);
        cr_assert(bytes_equal(bytes_of(back, (size_t)n), rows[i].bytes), "row %zu", i);
    }
}

Test(codec, nothing_is_nothing_in_every_codec) {
    for (unsigned c = 0; c < CODEC_COUNT; c++) {
        char text[8] = "x";
        uint8_t back[1];
        cr_assert_eq(codec_encode((enum codec)c, BYTES_EMPTY, text), 0);
        cr_assert_str_eq(text, "");
        cr_assert_eq(codec_decode((enum codec)c, BYTES_EMPTY, back, 0), 0, "codec %u", c);
    }
}

Test(codec, decoding_undoes_encoding_for_every_length) {
    struct fixed_rng rng;
    fixed_rng_init(&rng, 7);
    for (unsigned c = 0; c < CODEC_COUNT; c++) {
        for (size_t n = 0; n <= 100; n++) {
            uint8_t in[100];
            uint8_t back[100];
            char text[256];
            rng_fill(&rng.rng, in, n);
            if (n % 5 == 0)
                memset(in, 0, n / 2); /* leading zeros */
            cr_assert_leq(codec_text_size((enum codec)c, n), sizeof(text));
            size_t len = codec_encode((enum codec)c, bytes_of(in, n), text);
            ssize_t got = codec_decode((enum codec)c, bytes_of(text, len), back, n);
            cr_assert_eq(got, (ssize_t)n, "codec %u, %zu bytes: %zd", c, n, got);
            cr_assert_eq(memcmp(in, back, n), 0, "codec %u, %zu bytes", c, n);
            if (n > 0)
                cr_assert_eq(codec_decode((enum codec)c, bytes_of(text, len), back, n - 1),
                             -ERR_LIMIT, "codec %u, %zu bytes", c, n);
        }
    }
}

Test(codec, the_largest_number_still_fits) {
    static uint8_t in[CODEC_NUMBER_BYTES_MAX + 1];
    static uint8_t back[CODEC_NUMBER_BYTES_MAX + 1];
    static char text[2 * CODEC_NUMBER_BYTES_MAX];
    memset(in, 0xff, sizeof(in));
    size_t len = codec_encode(CODEC_BASE36, bytes_of(in, CODEC_NUMBER_BYTES_MAX), text);
    cr_assert_eq(codec_decode(CODEC_BASE36, bytes_of(text, len), back, sizeof(back)),
                 CODEC_NUMBER_BYTES_MAX);
    memset(text, 'z', sizeof(text));
    cr_assert_eq(codec_decode(CODEC_BASE58, bytes_of(text, sizeof(text)), back, sizeof(back)),
                 -ERR_LIMIT);
    /* Leading zeros count as bytes. */
    memset(text, '1', sizeof(text));
    cr_assert_eq(
        codec_decode(CODEC_BASE58, bytes_of(text, CODEC_NUMBER_BYTES_MAX + 1), back, sizeof(back)),
        -ERR_LIMIT);
}

Test(codec, case_does_not_matter_where_it_need_not) {
    uint8_t out[8];
    cr_assert_eq(codec_decode(CODEC_HEX, BYTES_LIT("AbCd"), out, 8), 2);
    cr_assert_eq(out[0], 0xab);
    cr_assert_eq(codec_decode(CODEC_BASE32_UPPER, BYTES_LIT("mZxW6"), out, 8), 3);
    cr_assert_eq(codec_decode(CODEC_BASE36, BYTES_LIT("ZZ"), out, 8), 2);
}

Test(codec, malformed_text_is_refused) {
    static const struct {
        enum codec codec;
        struct bytes text;
    } bad[] = {
        {CODEC_HEX, BYTES_LIT("abc")},
        {CODEC_HEX, BYTES_LIT("0g")},
        {CODEC_HEX, BYTES_LIT("0\0")},
        {CODEC_BASE32, BYTES_LIT("m")},
        {CODEC_BASE32, BYTES_LIT("mz1q")},
        {CODEC_BASE32, BYTES_LIT("mz")}, /* a stray bit: "my" is f */
        {CODEC_BASE32, BYTES_LIT("my======")},
        {CODEC_BASE58, BYTES_LIT("0")},
        {CODEC_BASE58, BYTES_LIT("l")},
        {CODEC_BASE58, BYTES_LIT("I")},
        {CODEC_BASE58, BYTES_LIT("O")},
        {CODEC_BASE64, BYTES_LIT("Zg")},
        {CODEC_BASE64, BYTES_LIT("Zg=")},
        {CODEC_BASE64, BYTES_LIT("Z===")},
        {CODEC_BASE64, BYTES_LIT("====")},
        {CODEC_BASE64, BYTES_LIT("Zh==")},
        {CODEC_BASE64, BYTES_LIT("Zg==Zg==")},
        {CODEC_BASE64_PLAIN, BYTES_LIT("Zg==")},
        {CODEC_BASE64URL, BYTES_LIT("+//+")},
        {CODEC_BASE64URL, BYTES_LIT("Z")},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        uint8_t out[16];
        cr_assert_eq(codec_decode(bad[i].codec, bad[i].text, out, sizeof(out)), -ERR_MALFORMED,
                     "row %zu", i);
    }
}

Test(codec, multibase_names_the_codec) {
    static const char *const same[] = {"f666f", "F666F", "bmzxq", "BMZXQ", "kk8f",
                                       "KK8F",  "z8o8",  "mZm8",  "MZm8=", "uZm8"};
    for (size_t i = 0; i < ARRAY_COUNT(same); i++) {
        uint8_t out[8];
        ssize_t n = multibase_decode(bytes_of_str(same[i]), out, sizeof(out));
        cr_assert_eq(n, 2, "%s: %zd", same[i], n);
        cr_assert_eq(memcmp(out, "fo", 2), 0, "%s", same[i]);
    }
    uint8_t out[8];
    cr_assert_eq(multibase_decode(BYTES_LIT("x00"), out, sizeof(out)), -ERR_UNSUPPORTED);
    cr_assert_eq(multibase_decode(BYTES_EMPTY, out, sizeof(out)), -ERR_MALFORMED);
}

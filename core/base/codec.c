/* SPDX-License-Identifier: MIT */
#include "core/base/codec.h"

#include "core/base/err.h"

static const char HEX[] = "0123456789abcdef";
static const char HEX_UPPER[] = "0123456789ABCDEF";
static const char BASE32[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char BASE32_UPPER[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char BASE36[] = "0123456789abcdefghijklmnopqrstuvwxyz";
static const char BASE36_UPPER[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char BASE58[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char BASE64URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const struct codec_info {
    const char *alphabet;
    uint8_t base;
    uint8_t bits; /* a digit's, when the base is a power of two; else 0 */
    bool any_case;
    bool padded;
    char multibase;
} infos[CODEC_COUNT] = {
    [CODEC_HEX] = {HEX, 16, 4, true, false, 'f'},
    [CODEC_HEX_UPPER] = {HEX_UPPER, 16, 4, true, false, 'F'},
    [CODEC_BASE32] = {BASE32, 32, 5, true, false, 'b'},
    [CODEC_BASE32_UPPER] = {BASE32_UPPER, 32, 5, true, false, 'B'},
    [CODEC_BASE36] = {BASE36, 36, 0, true, false, 'k'},
    [CODEC_BASE36_UPPER] = {BASE36_UPPER, 36, 0, true, false, 'K'},
    [CODEC_BASE58] = {BASE58, 58, 0, false, false, 'z'},
    [CODEC_BASE64] = {BASE64, 64, 6, false, true, 'M'},
    [CODEC_BASE64_PLAIN] = {BASE64, 64, 6, false, false, 'm'},
    [CODEC_BASE64URL] = {BASE64URL, 64, 6, false, false, 'u'},
};

enum {
    /* Digits of CODEC_NUMBER_BYTES_MAX bytes in base 36, the smaller of the two: 8 / log2(36). */
    NUMBER_DIGITS_MAX = CODEC_NUMBER_BYTES_MAX * 1548 / 1000 + 1,
    BASE64_GROUP = 4,
};

size_t codec_text_size(enum codec c, size_t n) {
    switch (c) {
    case CODEC_HEX:
    case CODEC_HEX_UPPER:
        return 2 * n + 1;
    case CODEC_BASE32:
    case CODEC_BASE32_UPPER:
        return (8 * n + 4) / 5 + 1;
    case CODEC_BASE36:
    case CODEC_BASE36_UPPER:
        return n * 1548 / 1000 + 2; /* 8 / log2(36), and one more for the rest */
    case CODEC_BASE58:
        return n * 1366 / 1000 + 2;
    case CODEC_BASE64:
    case CODEC_BASE64_PLAIN:
    case CODEC_BASE64URL:
        return (n + 2) / 3 * BASE64_GROUP + 1;
    case CODEC_COUNT:
        break;
    }
    assert(false);
    return 0;
}

static size_t encode_bits(const struct codec_info *info, struct bytes in, char *out) {
    unsigned mask = (1u << info->bits) - 1;
    unsigned window = 0;
    unsigned window_bits = 0;
    size_t len = 0;
    for (size_t i = 0; i < in.len; i++) {
        window = window << 8 | in.data[i];
        window_bits += 8;
        while (window_bits >= info->bits) {
            window_bits -= info->bits;
            out[len++] = info->alphabet[window >> window_bits & mask];
        }
    }
    if (window_bits > 0)
        out[len++] = info->alphabet[window << (info->bits - window_bits) & mask];
    while (info->padded && len % BASE64_GROUP != 0)
        out[len++] = '=';
    return len;
}

static size_t count_leading(struct bytes in, uint8_t value) {
    size_t n = 0;
    while (n < in.len && in.data[n] == value)
        n++;
    return n;
}

/* number = number * factor + addend, for a number of `len` digits of `base`, lowest first.  Returns
 * its new length. */
static size_t multiply_add(uint8_t *number, size_t len, unsigned base, unsigned factor,
                           unsigned addend) {
    unsigned carry = addend;
    for (size_t i = 0; i < len; i++) {
        carry += number[i] * factor;
        number[i] = (uint8_t)(carry % base);
        carry /= base;
    }
    for (; carry > 0; carry /= base)
        number[len++] = (uint8_t)(carry % base);
    return len;
}

static size_t encode_number(const struct codec_info *info, struct bytes in, char *out) {
    assert(in.len <= CODEC_NUMBER_BYTES_MAX);
    uint8_t digits[NUMBER_DIGITS_MAX];
    size_t count = 0;
    size_t zeros = count_leading(in, 0);
    for (size_t i = zeros; i < in.len; i++)
        count = multiply_add(digits, count, info->base, 256, in.data[i]);
    assert(count <= NUMBER_DIGITS_MAX);
    size_t len = 0;
    while (len < zeros)
        out[len++] = info->alphabet[0];
    while (count > 0)
        out[len++] = info->alphabet[digits[--count]];
    return len;
}

size_t codec_encode(enum codec c, struct bytes in, char *out) {
    const struct codec_info *info = &infos[c];
    size_t len = info->bits != 0 ? encode_bits(info, in, out) : encode_number(info, in, out);
    assert(len < codec_text_size(c, in.len));
    out[len] = '\0';
    return len;
}

static bool is_letter(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A digit's value, or -1. */
static int digit(const struct codec_info *info, uint8_t c) {
    const char *at = memchr(info->alphabet, c, info->base);
    if (at == NULL && info->any_case && is_letter(c))
        at = memchr(info->alphabet, c ^ ('a' ^ 'A'), info->base);
    return at == NULL ? -1 : (int)(at - info->alphabet);
}

/* Takes the '=' away that must be there: one or two, to a multiple of four. */
static int strip_padding(struct bytes *text) {
    if (text->len % BASE64_GROUP != 0)
        return -ERR_MALFORMED;
    for (int i = 0; i < 2 && text->len > 0 && text->data[text->len - 1] == '='; i++)
        text->len--;
    return 0;
}

static ssize_t decode_bits(const struct codec_info *info, struct bytes text, uint8_t *out,
                           size_t size) {
    if (info->padded && strip_padding(&text) < 0)
        return -ERR_MALFORMED;
    unsigned window = 0;
    unsigned window_bits = 0;
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        int d = digit(info, text.data[i]);
        if (d < 0)
            return -ERR_MALFORMED;
        window = window << info->bits | (unsigned)d;
        window_bits += info->bits;
        if (window_bits < 8)
            continue;
        if (len == size)
            return -ERR_LIMIT;
        window_bits -= 8;
        out[len++] = (uint8_t)(window >> window_bits);
    }
    /* A whole digit too many, or bits that the encoder leaves zero. */
    if (window_bits >= info->bits || (window & ((1u << window_bits) - 1)) != 0)
        return -ERR_MALFORMED;
    return (ssize_t)len;
}

static ssize_t decode_number(const struct codec_info *info, struct bytes text, uint8_t *out,
                             size_t size) {
    if (text.len > NUMBER_DIGITS_MAX)
        return -ERR_LIMIT;
    uint8_t number[NUMBER_DIGITS_MAX]; /* more than enough: a digit is less than a byte */
    size_t count = 0;
    size_t zeros = count_leading(text, (uint8_t)info->alphabet[0]);
    for (size_t i = zeros; i < text.len; i++) {
        int d = digit(info, text.data[i]);
        if (d < 0)
            return -ERR_MALFORMED;
        count = multiply_add(number, count, 256, info->base, (unsigned)d);
    }
    if (zeros + count > MIN(size, (size_t)CODEC_NUMBER_BYTES_MAX))
        return -ERR_LIMIT;
    memset(out, 0, zeros);
    for (size_t i = 0; i < count; i++)
        out[zeros + i] = number[count - 1 - i];
    return (ssize_t)(zeros + count);
}

ssize_t codec_decode(enum codec c, struct bytes text, void *out, size_t size) {
    const struct codec_info *info = &infos[c];
    if (info->bits != 0)
        return decode_bits(info, text, out, size);
    return decode_number(info, text, out, size);
}

ssize_t multibase_decode(struct bytes text, void *out, size_t size) {
    if (text.len == 0)
        return -ERR_MALFORMED;
    for (unsigned c = 0; c < CODEC_COUNT; c++) {
        if ((char)text.data[0] == infos[c].multibase)
            return codec_decode((enum codec)c, bytes_skip(text, 1), out, size);
    }
    return -ERR_UNSUPPORTED;
}

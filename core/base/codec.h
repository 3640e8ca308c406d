/* SPDX-License-Identifier: MIT */
#pragma once

/* Bytes as text.  Base32 is RFC 4648 without padding; base36 and base58btc take the bytes as one
 * big number in which each leading zero byte is one leading zero digit. */

#include "core/base/bytes.h"

enum codec {
    CODEC_HEX,
    CODEC_HEX_UPPER,
    CODEC_BASE32,
    CODEC_BASE32_UPPER,
    CODEC_BASE36,
    CODEC_BASE36_UPPER,
    CODEC_BASE58,
    CODEC_BASE64,       /* with padding */
    CODEC_BASE64_PLAIN, /* without */
    CODEC_BASE64URL,    /* without */
    CODEC_COUNT,
};

/* Base36 and base58 take quadratic time, so their input is bounded. */
enum { CODEC_NUMBER_BYTES_MAX = 512 };

/* Characters that codec_encode() writes for n bytes, at most, with the NUL. */
size_t codec_text_size(enum codec c, size_t n);

/* Writes text and NUL, returns the text's length.  `out` has codec_text_size() bytes.  Base36 and
 * base58 take at most CODEC_NUMBER_BYTES_MAX bytes (asserted). */
size_t codec_encode(enum codec c, struct bytes in, char *out);

/* Returns the bytes written.  Hex, base32 and base36 accept either case.
 *   -ERR_MALFORMED  a character of another alphabet, an impossible length, stray bits or padding
 *   -ERR_LIMIT      more than `size` bytes, or more than CODEC_NUMBER_BYTES_MAX */
NODISCARD ssize_t codec_decode(enum codec c, struct bytes text, void *out, size_t size);

/* Multibase: the first character names the codec (f F b B k K z m u; M is padded base64).  As
 * codec_decode(); -ERR_UNSUPPORTED for another first character. */
NODISCARD ssize_t multibase_decode(struct bytes text, void *out, size_t size);

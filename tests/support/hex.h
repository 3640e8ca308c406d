/* SPDX-License-Identifier: MIT */
#pragma once

/* Hex constants in tests, decoded where they are used. */

#include <criterion/criterion.h>

#include "core/base/codec.h"

/* Decodes into `out` of `size` bytes; a test with bad hex fails. */
static inline struct bytes hex_into(const char *text, void *out, size_t size) {
    ssize_t n = codec_decode(CODEC_HEX, bytes_of_str(text), out, size);
    cr_assert_geq(n, 0, "bad hex: %.40s", text);
    return bytes_of(out, (size_t)n);
}

/* HEX("00ff"): bytes in memory of the enclosing block. */
#define HEX(text) hex_into((text), (uint8_t[sizeof(text) / 2 + 1]){0}, sizeof(text) / 2 + 1)

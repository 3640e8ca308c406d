/* SPDX-License-Identifier: MIT */
#pragma once

/* Borrowed bytes: a view that owns nothing and says nothing about lifetime. */

#include <string.h>

#include "core/base/base.h"

struct bytes {
    const uint8_t *data;
    size_t len;
};

#define BYTES_EMPTY     ((struct bytes){NULL, 0})
#define BYTES_LIT(s)    ((struct bytes){(const uint8_t *)(s), sizeof(s) - 1})
#define BYTES_OF(array) ((struct bytes){(array), sizeof(array)})

static inline struct bytes bytes_of(const void *data, size_t len) {
    return (struct bytes){.data = data, .len = len};
}

static inline struct bytes bytes_of_str(const char *s) {
    return bytes_of(s, strlen(s));
}

static inline bool bytes_equal(struct bytes a, struct bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool bytes_start_with(struct bytes b, struct bytes prefix) {
    return b.len >= prefix.len && (prefix.len == 0 || memcmp(b.data, prefix.data, prefix.len) == 0);
}

/* The first `n` bytes go; n must not exceed the length. */
static inline struct bytes bytes_skip(struct bytes b, size_t n) {
    assert(n <= b.len);
    return bytes_of(n == 0 ? b.data : b.data + n, b.len - n); /* NULL + 0 is undefined */
}

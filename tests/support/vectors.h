/* SPDX-License-Identifier: MIT */
#pragma once

/* Known answers in tests/vectors/NAME.json: {"format":1,"about":...,"vectors":[{...}, ...]}.
 *
 *   struct vectors v = vectors_open("keys");
 *   vectors_for_each(row, &v)
 *       cr_assert(..., "%s", row_str(row, "name"));
 *   vectors_close(&v);
 *
 * Tests run in the root of the source tree.
 */

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>

#include "core/base/codec.h"

struct vectors {
    json_t *root;
    json_t *rows;
};

static inline struct vectors vectors_open(const char *name) {
    char path[128];
    json_error_t error;
    (void)snprintf(path, sizeof(path), "tests/vectors/%s.json", name);
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    cr_assert_not_null(root, "%s, line %d: %s", path, error.line, error.text);
    cr_assert_eq(json_integer_value(json_object_get(root, "format")), 1, "%s", path);
    json_t *rows = json_object_get(root, "vectors");
    cr_assert_gt(json_array_size(rows), 0, "%s is empty", path);
    return (struct vectors){.root = root, .rows = rows};
}

static inline void vectors_close(struct vectors *v) {
    json_decref(v->root);
}

#define vectors_for_each(row, v)                                              \
    for (size_t row##_i = 0; row##_i < json_array_size((v)->rows); row##_i++) \
        for (json_t *row = json_array_get((v)->rows, row##_i); row != NULL; row = NULL)

/* NULL when the row has no such field. */
static inline const char *row_str(const json_t *row, const char *field) {
    return json_string_value(json_object_get(row, field));
}

static inline bool row_has(const json_t *row, const char *field) {
    return json_object_get(row, field) != NULL;
}

static inline bool row_is(const json_t *row, const char *field, const char *value) {
    const char *text = row_str(row, field);
    return text != NULL && strcmp(text, value) == 0;
}

/* A field of hex digits, decoded into `out`. */
static inline struct bytes row_hex(const json_t *row, const char *field, void *out, size_t size) {
    const char *text = row_str(row, field);
    cr_assert_not_null(text, "%s: no %s", row_str(row, "name"), field);
    ssize_t n = codec_decode(CODEC_HEX, bytes_of_str(text), out, size);
    cr_assert_geq(n, 0, "%s: bad hex in %s", row_str(row, "name"), field);
    return bytes_of(out, (size_t)n);
}

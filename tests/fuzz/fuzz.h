/* SPDX-License-Identifier: MIT */
#pragma once

/* What fuzz targets share.
 *
 * A target is one file with LLVMFuzzerTestOneInput().  Built by clang in the fuzz preset it is a
 * libFuzzer program; in every other build walk_corpus.c feeds it the saved inputs, as a test.
 *
 *   raw:    the input is what a peer or a file says
 *   script: the input's bytes are operations, taken with fuzz_u8() and fuzz_take(), so that states
 *           are reached that no single message reaches
 *
 * Oracles are plain assertions: they are on in every build.  Beyond crashes a target checks what
 * must hold for every input: decode∘encode and encode∘decode change nothing, the whole input and
 * its pieces give the same result, results keep their bounds, a failure leaves ret_ untouched.
 */

#include <stdlib.h>

#include "core/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next operand of a script; 0 when it is used up. */
static inline uint8_t fuzz_u8(struct bytes *script) {
    if (script->len == 0)
        return 0;
    uint8_t v = script->data[0];
    *script = bytes_skip(*script, 1);
    return v;
}

static inline uint64_t fuzz_u64(struct bytes *script) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | fuzz_u8(script);
    return v;
}

/* The next n bytes of a script, or what is left of it. */
static inline struct bytes fuzz_take(struct bytes *script, size_t n) {
    n = MIN(n, script->len);
    struct bytes taken = bytes_of(script->data, n);
    *script = bytes_skip(*script, n);
    return taken;
}

/* A copy in memory of exactly its size, so that ASan sees a read beyond its end.  free() it. */
static inline uint8_t *fuzz_copy(struct bytes b) {
    uint8_t *copy = malloc(b.len > 0 ? b.len : 1);
    assert(copy != NULL);
    if (b.len > 0)
        memcpy(copy, b.data, b.len);
    return copy;
}

/* The same with a NUL behind it; NUL bytes inside end the text earlier. */
static inline char *fuzz_text(struct bytes b) {
    char *text = malloc(b.len + 1);
    assert(text != NULL);
    if (b.len > 0)
        memcpy(text, b.data, b.len);
    text[b.len] = '\0';
    return text;
}

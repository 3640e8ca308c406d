/* SPDX-License-Identifier: MIT */
/* Bytes as text, raw: any bytes survive every codec, and any text either fails or comes back as
 * the same bytes. */

#include "core/base/codec.h"
#include "core/base/err.h"
#include "tests/fuzz/fuzz.h"

static void check_bytes(enum codec c, struct bytes in) {
    size_t size = codec_text_size(c, in.len);
    char *text = malloc(size);
    uint8_t *out = malloc(in.len + 1);
    assert(text != NULL && out != NULL);

    size_t len = codec_encode(c, in, text);
    assert(len < size && text[len] == '\0');
    assert(codec_decode(c, bytes_of(text, len), out, in.len) == (ssize_t)in.len);
    assert(bytes_equal(bytes_of(out, in.len), in));
    if (in.len > 0)
        assert(codec_decode(c, bytes_of(text, len), out, in.len - 1) == -ERR_LIMIT);
    free(text);
    free(out);
}

static void check_text(enum codec c, struct bytes text) {
    uint8_t *out = malloc(text.len + 1), *again = malloc(text.len + 1);
    assert(out != NULL && again != NULL);
    ssize_t len = codec_decode(c, text, out, text.len);
    assert(len >= 0 || len == -ERR_MALFORMED || len == -ERR_LIMIT);
    if (len >= 0) {
        char *canonical = malloc(codec_text_size(c, (size_t)len));
        assert(canonical != NULL);
        size_t canonical_len = codec_encode(c, bytes_of(out, (size_t)len), canonical);
        assert(canonical_len == text.len); /* one spelling, apart from upper and lower case */
        assert(codec_decode(c, bytes_of(canonical, canonical_len), again, text.len) == len);
        assert(memcmp(out, again, (size_t)len) == 0);
        free(canonical);
    }
    free(out);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    for (enum codec c = 0; c < CODEC_COUNT; c++) {
        if (size <= CODEC_NUMBER_BYTES_MAX)
            check_bytes(c, in);
        check_text(c, in);
    }
    uint8_t out[CODEC_NUMBER_BYTES_MAX];
    ssize_t len = multibase_decode(in, out, sizeof out);
    assert(len >= 0 || len == -ERR_MALFORMED || len == -ERR_LIMIT || len == -ERR_UNSUPPORTED);
    return 0;
}

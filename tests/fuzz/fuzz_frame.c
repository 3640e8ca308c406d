/* SPDX-License-Identifier: MIT */
/* Frames, raw in pieces: two bytes tell the limit, the next ones the sizes of the pieces.  Oracles:
 * the whole feed and the pieces end the same, and both as rd_uvarint_bytes() has it. */
#include "core/base/err.h"
#include "core/base/frame.h"
#include "core/base/rd.h"
#include "tests/fuzz/fuzz.h"

/* What one run came to. */
struct outcome {
    ssize_t error;
    size_t taken;
    bool whole;
    struct bytes body;
};

static struct outcome run(struct bytes in, struct bytes script, uint8_t *memory, size_t size) {
    struct frame f;
    struct outcome o = {.error = 0};
    frame_init(&f, memory, size);
    for (;;) {
        struct bytes left = bytes_skip(in, o.taken);
        size_t n = script.len == 0 ? left.len : MIN(left.len, (size_t)fuzz_u8(&script) % 19);
        uint8_t *copy = fuzz_copy(bytes_of(left.data, n));
        ssize_t taken = frame_recv(&f, bytes_of(copy, n));
        free(copy);
        if (taken < 0) {
            o.error = taken;
            return o;
        }
        assert((size_t)taken <= n);
        assert((size_t)taken == n || frame_is_whole(&f));
        o.taken += (size_t)taken;
        o.whole = frame_is_whole(&f);
        if (o.whole || o.taken == in.len)
            break;
    }
    if (o.whole)
        o.body = frame_body(&f);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    size_t limit = (size_t)fuzz_u8(&in) << 8;
    limit |= fuzz_u8(&in);
    struct bytes script = fuzz_take(&in, fuzz_u8(&in) % 32);
    uint8_t *memory[2] = {malloc(limit + 1), malloc(limit + 1)};
    assert(memory[0] != NULL && memory[1] != NULL);

    struct outcome whole = run(in, BYTES_EMPTY, memory[0], limit);
    struct outcome pieces = run(in, script, memory[1], limit);
    assert(whole.error == pieces.error);
    assert(whole.whole == pieces.whole);
    assert(whole.taken == pieces.taken || whole.error != 0);
    assert(bytes_equal(whole.body, pieces.body));

    struct rd r = rd_init(in);
    struct bytes body = rd_uvarint_bytes(&r, limit);
    assert(whole.whole == (r.error == 0));
    if (whole.whole) {
        assert(bytes_equal(whole.body, body));
        assert(whole.taken == in.len - r.left.len);
    }
    if (whole.error == 0 && !whole.whole)
        assert(r.error == -ERR_TRUNCATED);
    free(memory[0]);
    free(memory[1]);
    return 0;
}

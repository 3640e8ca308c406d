/* SPDX-License-Identifier: MIT */
/* The upgrade of a WebSocket, raw: a server, or a client, hears anything.  Oracles: whole and in
 * pieces is the same, nothing behind the upgrade is taken, a server always answers and its answer
 * is one that a client understands. */
#include "core/base/err.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fixed_rng.h"
#include "transport/proto/websocket.h"

struct outcome {
    size_t taken;
    size_t out_len;
    enum websocket_state state;
    char out[WEBSOCKET_OUT_MAX];
};

static struct outcome run(bool is_client, struct bytes in, size_t piece) {
    struct websocket w;
    struct fixed_rng rng;
    struct outcome o = {.taken = 0};
    fixed_rng_init(&rng, 1);
    websocket_init_server(&w);
    if (is_client) {
        int e = websocket_init_client(&w, "localhost:1", &rng.rng);
        assert(e == 0);
    }
    while (o.taken < in.len && w.state == WEBSOCKET_UPGRADING) {
        struct bytes left = bytes_skip(in, o.taken);
        left.len = MIN(left.len, piece);
        uint8_t *copy = fuzz_copy(left);
        size_t n = websocket_recv(&w, bytes_of(copy, left.len));
        assert(n == left.len || w.state != WEBSOCKET_UPGRADING);
        o.taken += n;
        free(copy);
    }
    assert(o.taken <= WEBSOCKET_HEAD_MAX + 1);
    o.out_len = websocket_pull(&w, o.out, sizeof(o.out));
    o.state = w.state;
    assert((w.error == -ERR_HANDSHAKE) == (w.state == WEBSOCKET_FAILED));
    assert((w.problem.text[0] != '\0') == (w.state == WEBSOCKET_FAILED));
    if (w.state == WEBSOCKET_OPEN)
        assert(in.data[o.taken - 1] == '\n');
    return o;
}

/* It is whole, and no client takes the answer to somebody else's request. */
static void check_answer(const struct outcome *o) {
    struct outcome client = run(true, bytes_of(o->out, o->out_len), SIZE_MAX);
    assert(client.state == WEBSOCKET_FAILED);
    bool is_refusal = o->state == WEBSOCKET_FAILED;
    assert(memcmp(o->out, "HTTP/1.1 ", 9) == 0);
    assert((memcmp(o->out + 9, "101 ", 4) != 0) == is_refusal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    uint8_t kind = fuzz_u8(&in);
    bool is_client = kind & 1;
    struct outcome whole = run(is_client, in, SIZE_MAX);
    struct outcome pieces = run(is_client, in, (size_t)kind / 2 + 1);
    assert(whole.taken == pieces.taken);
    assert(whole.state == pieces.state);
    assert(whole.out_len == pieces.out_len);
    assert(memcmp(whole.out, pieces.out, whole.out_len) == 0);
    if (!is_client) {
        assert((whole.out_len > 0) == (whole.state != WEBSOCKET_UPGRADING));
        if (whole.out_len > 0)
            check_answer(&whole);
    }
    return 0;
}

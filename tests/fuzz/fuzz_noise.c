/* SPDX-License-Identifier: MIT */
/* Noise, raw: a peer that says anything, before and after the handshake, and anything as a payload.
 * Oracles: nobody is proved, whole and in pieces is the same, memory keeps its bound. */
#include "core/base/err.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_mem.h"
#include "tests/support/noise_pair.h"
#include "transport/proto/noise_payload.h"

enum { MEM_MAX = 12 << 10, OUT_MAX = 512 };

/* What one run came to. */
struct outcome {
    size_t taken;
    size_t out_len;
    int error;
    enum secure_state state;
};

static struct outcome run(bool initiator, struct bytes in, size_t piece) {
    struct fuzz_mem mem = fuzz_mem_make(MEM_MAX, 0);
    struct fixed_rng rng;
    struct identity id;
    struct secure *s;
    struct outcome o = {.taken = 0};
    uint8_t out[OUT_MAX];
    const uint8_t seed[ED25519_SEED_BYTES] = {1};
    fixed_rng_init(&rng, 1);
    int e = identity_from_seed(seed, &id);
    assert(e == 0);
    struct noise_config cfg = {
        .mem = &mem.mem, .rng = &rng.rng, .identity = &id, .initiator = initiator};
    e = noise_new(&cfg, &s);
    assert(e == 0);
    for (;;) {
        o.out_len += secure_pull(s, out, sizeof(out));
        struct bytes left = bytes_skip(in, o.taken);
        size_t n = secure_recv(s, bytes_of(left.data, MIN(piece, left.len)));
        if (n == 0)
            break;
        o.taken += n;
    }
    assert(s->state == SECURE_HANDSHAKE || s->state == SECURE_FAILED);
    assert((s->error != 0) == (s->state == SECURE_FAILED));
    assert(peer_id_is_none(&s->peer));
    if (s->state == SECURE_HANDSHAKE)
        assert(o.taken == in.len);
    o.error = s->error;
    o.state = s->state;
    s = secure_free(s);
    assert(mem.used == 0);
    return o;
}

static void check_handshake(bool initiator, size_t piece, struct bytes in) {
    struct outcome whole = run(initiator, in, SIZE_MAX);
    struct outcome pieces = run(initiator, in, piece);
    assert(whole.taken == pieces.taken);
    assert(whole.out_len == pieces.out_len);
    assert(whole.error == pieces.error);
    assert(whole.state == pieces.state);
}

static void check_payload(struct bytes in) {
    const uint8_t point[X25519_BYTES] = {1};
    struct problem problem = PROBLEM_INIT;
    struct noise_peer peer = {.id = {.len = 77}};
    uint8_t *copy = fuzz_copy(in);
    int e = noise_payload_open(bytes_of(copy, in.len), point, &peer, &problem);
    free(copy);
    assert(e == -ERR_HANDSHAKE || e == -ERR_BAD_SIGNATURE);
    assert(peer.id.len == 77);
    assert(problem.text[0] != '\0');
}

/* Frames at an open channel: the first that is whole fails it. */
static void check_records(struct bytes in) {
    struct noise_pair p;
    uint8_t out[OUT_MAX];
    noise_pair_init(&p, mem_system(), 1, NULL);
    for (int i = 0; i < 3; i++) {
        size_t len = secure_pull(p.ends[i % 2], out, sizeof(out));
        size_t taken = secure_recv(p.ends[!(i % 2)], bytes_of(out, len));
        assert(taken == len);
    }
    struct secure *s = p.ends[1];
    assert(s->state == SECURE_OPEN);
    if (in.len >= s->ops->header_bytes) {
        ssize_t body_len = secure_body_size(s, in.data);
        struct bytes left = bytes_skip(in, s->ops->header_bytes);
        assert((body_len < 0) == (s->state == SECURE_FAILED));
        assert(body_len <= SECURE_BODY_MAX);
        if (body_len >= 0 && left.len >= (size_t)body_len) {
            struct bytes plain;
            uint8_t *copy = fuzz_copy(bytes_of(left.data, (size_t)body_len));
            int e = secure_open(s, in.data, copy, (size_t)body_len, &plain);
            assert(e == -ERR_PROTOCOL_VIOLATION);
            assert(s->state == SECURE_FAILED);
            free(copy);
        }
    }
    noise_pair_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    uint8_t kind = fuzz_u8(&in);
    switch (kind % 4) {
    case 0:
    case 1:
        check_handshake(kind % 2 == 1, (size_t)kind / 4 + 1, in);
        break;
    case 2:
        check_payload(in);
        break;
    default:
        check_records(in);
        break;
    }
    return 0;
}

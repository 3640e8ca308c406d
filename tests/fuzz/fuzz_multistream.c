/* SPDX-License-Identifier: MIT */
/* multistream-select, script: what is fed, in which pieces, and what the driver does in between are
 * the input.  Oracles: nothing is taken that should wait, output and state keep their bounds, the
 * whole feed and its pieces end the same. */
#include "core/base/err.h"
#include "tests/fuzz/fuzz.h"
#include "transport/proto/multistream.h"

static const char *const names[] = {"/noise", "/tls/1.0.0", "/ipfs/ping/1.0.0"};

/* What one run came to. */
struct outcome {
    uint64_t out_hash; /* FNV-1a of all that was pulled */
    size_t out_len;
    size_t taken;
    size_t proposals;
    int last_event;
    int error;
    uint8_t state;
};

static bool is_known(struct bytes name) {
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (bytes_equal(name, bytes_of_str(names[i])))
            return true;
    return false;
}

/* Answers, and pulls in pieces of at most `pull_max` bytes. */
static void drive(struct multistream *m, struct outcome *o, size_t pull_max) {
    struct multistream_event event;
    uint8_t out[MULTISTREAM_OUT_MAX];
    while (multistream_next_event(m, &event)) {
        assert(o->last_event != MULTISTREAM_EV_FAILED);
        o->last_event = (int)event.type;
        o->error = event.error;
        if (event.type != MULTISTREAM_EV_PROPOSAL)
            continue;
        o->proposals++;
        assert(event.name.len <= MULTISTREAM_NAME_MAX);
        if (is_known(event.name))
            multistream_accept(m, 0);
        else
            multistream_refuse(m, 0);
    }
    if (m->state == MULTISTREAM_DEAD)
        return;
    for (size_t n; (n = multistream_pull(m, out, MIN(pull_max, sizeof(out)), 0)) > 0;)
        for (size_t i = 0; i < n; i++, o->out_len++)
            o->out_hash = (o->out_hash ^ out[i]) * 0x100000001b3;
}

/* Feeds `in` in pieces whose sizes come from `script`; an empty script feeds it whole. */
static struct outcome run(size_t names_count, struct bytes in, struct bytes script) {
    struct multistream m;
    struct outcome o = {.last_event = -1};
    multistream_init(&m, &(struct multistream_config){names, names_count}, 0);
    drive(&m, &o, SIZE_MAX);
    while (o.taken < in.len && m.state != MULTISTREAM_DEAD) {
        bool whole = script.len == 0;
        size_t piece = whole ? in.len : (size_t)fuzz_u8(&script) % 37 + 1;
        struct bytes left = bytes_skip(in, o.taken);
        uint8_t *copy = fuzz_copy(bytes_of(left.data, MIN(piece, left.len)));
        size_t n = multistream_recv(&m, bytes_of(copy, MIN(piece, left.len)), 0);
        free(copy);
        assert(n <= piece);
        o.taken += n;
        drive(&m, &o, whole ? SIZE_MAX : (size_t)fuzz_u8(&script) % 7 + 1);
        if (n == 0) {
            assert(multistream_is_done(&m));
            break;
        }
    }
    if (o.taken == in.len && m.state != MULTISTREAM_DEAD) {
        multistream_recv_end(&m, 0);
        drive(&m, &o, SIZE_MAX);
    }
    o.state = m.state;
    bool is_over = o.state == MULTISTREAM_DONE || o.state == MULTISTREAM_DEAD;
    assert(is_over);
    assert(multistream_deadline(&m) == NSEC_NEVER);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes input = bytes_of(data, size);
    size_t names_count = fuzz_u8(&input) % (ARRAY_COUNT(names) + 1);
    struct bytes script = fuzz_take(&input, fuzz_u8(&input));
    struct outcome whole = run(names_count, input, BYTES_EMPTY);
    struct outcome pieces = run(names_count, input, script);

    assert(whole.taken == pieces.taken);
    assert(whole.out_len == pieces.out_len);
    assert(whole.out_hash == pieces.out_hash);
    assert(whole.proposals == pieces.proposals);
    assert(whole.last_event == pieces.last_event);
    assert(whole.error == pieces.error);
    assert(whole.state == pieces.state);
    return 0;
}

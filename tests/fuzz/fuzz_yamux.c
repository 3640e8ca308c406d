/* SPDX-License-Identifier: MIT */
/* A yamux session, raw: the input is what a peer says, to either role.
 *
 * The whole input and its pieces give the same answers, events and bytes; what is held stays within
 * its bound, and all of it comes back. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/transport_yamux/pair.h"

enum { OWN_STREAMS = 3, TOLD_MAX = 1 << 22 };

/* What a run gave. */
struct told {
    uint8_t *data;
    size_t len;
};

static void tell(struct told *t, const void *data, size_t len) {
    assert(t->len + len <= TOLD_MAX);
    memcpy(t->data + t->len, data, len);
    t->len += len;
}

static void tell_wire(struct told *t, struct wire *w) {
    tell(t, w->data, w->len);
    w->len = 0;
}

static void feed(struct pair *p, unsigned side, struct bytes in, struct told *t) {
    struct side *s = &p->side[side];
    while (in.len > 0 && yamux_is_open(s->y)) {
        (void)pair_feed(p, side, &in);
        assert(s->quota.used_bytes <= YAMUX_RECEIVED_MAX + (64 << 10));
        /* Answers are waited for. */
        while (!yamux_wants_input(s->y) && pair_pull(p, side))
            ;
        tell_wire(t, &s->out);
    }
}

static void read_all(struct seen *seen, struct told *t) {
    struct slice v;
    ssize_t n;
    while ((n = yamux_stream_read(seen->stream, &v, 1)) == 1) {
        uint32_t len = v.len;
        assert(len > 0);
        tell(t, v.data, len);
        slice_unref(&v);
        yamux_stream_credit(seen->stream, len);
    }
    assert(n == 0 || n == -ENODATA || n == -ECONNRESET);
    assert(n != -ECONNRESET || seen->reset);
    tell(t, &n, sizeof(n));
}

static void run(unsigned side, size_t fragment_max, struct bytes in, struct told *t) {
    static struct pair p;
    pair_init(&p);
    struct side *s = &p.side[side];
    p.fragment_max = fragment_max;
    for (unsigned i = 0; i < OWN_STREAMS; i++) {
        struct yamux_stream *own;
        int e = yamux_stream_open(s->y, &own);
        assert(e == 0);
        (void)pair_seen(s, own);
    }
    while (pair_pull(&p, side))
        ;
    tell_wire(t, &s->out);
    feed(&p, side, in, t);
    (void)pair_drain(&p, side);
    for (size_t i = 0; i < s->seen_count; i++) {
        struct seen *seen = &s->seen[i];
        tell(t, &seen->id, sizeof(seen->id));
        tell(t, &seen->code, sizeof(seen->code));
        read_all(seen, t);
    }
    while (pair_pull(&p, side))
        ;
    tell_wire(t, &s->out);
    int error = yamux_error(s->y, NULL);
    assert((error == 0) == yamux_is_open(s->y));
    tell(t, &error, sizeof(error));
    pair_done(&p); /* nothing is left */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    unsigned side = fuzz_u8(&in) & 1;
    size_t fragment_max = 1 + fuzz_u8(&in);
    struct told whole = {.data = malloc(TOLD_MAX)};
    struct told pieces = {.data = malloc(TOLD_MAX)};
    assert(whole.data != NULL && pieces.data != NULL);
    run(side, 0, in, &whole);
    run(side, fragment_max, in, &pieces);
    assert(bytes_equal(bytes_of(whole.data, whole.len), bytes_of(pieces.data, pieces.len)));
    free(whole.data);
    free(pieces.data);
    return 0;
}

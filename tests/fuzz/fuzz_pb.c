/* SPDX-License-Identifier: MIT */
/* Protobuf fields, and the messages of core/p2p that are made of them, raw.  Oracles: a field lies
 * in its message, what is written again reads the same, sizes are as foretold, and messages that
 * are accepted are accepted in their canonical form. */
#include "core/base/err.h"
#include "core/p2p/envelope.h"
#include "core/p2p/key.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/pb.h"
#include "tests/fuzz/fuzz.h"

static bool is_within(struct bytes part, struct bytes whole) {
    return part.data >= whole.data && part.len <= whole.len &&
           part.data + part.len <= whole.data + whole.len;
}

/* Writes the field at the end of `w` and reads it from there. */
static void check_rewritten(const struct pb_field *f, struct wr *w) {
    size_t start = w->len;
    if (f->wire == PB_VARINT) {
        pb_wr_uint(w, f->number, f->uint);
        assert(w->len - start == pb_uint_size(f->number, f->uint));
    } else if (f->wire == PB_BYTES) {
        pb_wr_bytes(w, f->number, f->bytes);
        assert(w->len - start == pb_bytes_size(f->number, f->bytes.len));
    } else {
        return; /* fixed ones are only read */
    }
    assert(w->error == 0);

    struct rd r = rd_init(bytes_of(w->start + start, w->len - start));
    struct pb_field again;
    bool found = pb_next(&r, &again);
    assert(found);
    assert(again.number == f->number);
    assert(again.wire == f->wire);
    assert(again.uint == f->uint);
    assert(bytes_equal(again.bytes, f->bytes));
    assert(rd_done(&r) == 0);
}

static void check_fields(struct bytes in) {
    /* A tag and a length are never longer than what they were read from. */
    uint8_t *memory = malloc(in.len + 1);
    assert(memory != NULL);
    struct wr w = wr_init(memory, in.len);
    struct rd r = rd_init(in);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        assert(f.number > 0);
        if (f.wire == PB_BYTES && f.bytes.len > 0)
            assert(is_within(f.bytes, in));
        check_rewritten(&f, &w);
    }
    int e = rd_done(&r);
    assert(e == 0 || e == -ERR_TRUNCATED || e == -ERR_MALFORMED);
    free(memory);
}

static void check_key(struct bytes in) {
    struct public_key key;
    struct public_key again;
    if (public_key_decode(in, &key) < 0)
        return;
    int e = public_key_decode(public_key_protobuf(&key), &again);
    assert(e == 0);
    assert(public_key_equal(&key, &again));
}

static void check_record(struct bytes in) {
    struct peer_record record;
    struct multiaddr addr;
    if (peer_record_open(in, &record) < 0)
        return;
    assert(!peer_id_is_none(&record.peer));
    for (struct bytes left = record.payload; peer_record_next(&left, &addr);)
        assert(addr.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    check_fields(in);
    check_key(in);
    check_record(in);
    return 0;
}

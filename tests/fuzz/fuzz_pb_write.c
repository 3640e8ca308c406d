/* SPDX-License-Identifier: MIT */
/* Protobuf fields, script: what is written reads back, at the announced size.  fuzz_pb.c is the raw
 * kind. */

#include "core/p2p/pb.h"
#include "tests/fuzz/fuzz.h"

static bool field_equal(const struct pb_field *a, const struct pb_field *b) {
    if (a->number != b->number || a->wire != b->wire)
        return false;
    return a->wire == PB_BYTES ? bytes_equal(a->bytes, b->bytes) : a->uint == b->uint;
}

static void write_field(struct wr *w, const struct pb_field *f) {
    size_t before = w->len;
    if (f->wire == PB_BYTES) {
        pb_wr_bytes(w, f->number, f->bytes);
        assert(w->len - before == pb_bytes_size(f->number, f->bytes.len));
    } else if (f->wire == PB_FIXED64) {
        pb_wr_fixed64(w, f->number, f->uint);
        assert(w->len - before == pb_fixed64_size(f->number));
    } else {
        pb_wr_uint(w, f->number, f->uint);
        assert(w->len - before == pb_uint_size(f->number, f->uint));
    }
}

static struct pb_field scripted_field(struct bytes *script) {
    uint8_t op = fuzz_u8(script);
    struct pb_field f = {.number = 1 + (uint32_t)(fuzz_u64(script) % ((1u << 29) - 1))};
    if (op & 1) {
        f.wire = PB_BYTES;
        f.bytes = fuzz_take(script, op >> 1);
    } else if (op == 0xfe) {
        f.wire = PB_FIXED64;
        f.uint = fuzz_u64(script);
    } else {
        f.wire = PB_VARINT;
        f.uint = fuzz_u64(script) >> (op >> 1) % 64;
    }
    return f;
}

static void check_script(struct bytes script) {
    uint8_t memory[2048];
    struct wr w = wr_init(memory, sizeof memory);
    struct pb_field fields[64];
    size_t count = 0;
    while (script.len > 0 && count < ARRAY_COUNT(fields)) {
        struct pb_field f = scripted_field(&script);
        if (w.room - w.len < pb_bytes_size(f.number, f.bytes.len) + UVARINT_BYTES_MAX)
            break;
        write_field(&w, &f);
        fields[count++] = f;
    }
    assert(wr_done(&w) == (ssize_t)w.len);

    struct rd r = rd_init(wr_written(&w));
    struct pb_field f;
    for (size_t i = 0; i < count; i++) {
        assert(pb_next(&r, &f));
        assert(field_equal(&f, &fields[i]));
    }
    assert(!pb_next(&r, &f));
    assert(rd_done(&r) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_script(bytes_of(data, size));
    return 0;
}

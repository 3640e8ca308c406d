/* SPDX-License-Identifier: MIT */
/* Frames of a WebSocket.
 *
 * raw:    a reader of either role hears anything.  Oracle: whole and in pieces is the same.
 * script: a writer's slices and control frames, for want of slabs made in several goes, cut
 * anywhere and read by the other role.  Oracle: every byte, ping and Close arrives, in order. */
#include "core/base/err.h"
#include "core/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fixed_rng.h"
#include "transport/ws_frames.h"

enum { WIRE_MAX = 1 << 18, SLABS_HELD_MAX = 32 };

static struct ws_frames *frames_new(struct fixed_rng *rng, bool is_client) {
    struct ws_frames *f;
    fixed_rng_init(rng, 1);
    int e = ws_frames_new(mem_system(), &rng->rng, is_client, &f);
    assert(e == 0);
    return f;
}

/* What a reader heard. */
struct heard {
    int error;
    bool inside;
    size_t pings;
    size_t closes;
    size_t data_len;
    uint64_t hash; /* FNV-1a of payload and control frames, each */
};

static void hear(struct ws_frames *f, struct bytes in, struct heard *h) {
    struct ws_event ev;
    do {
        h->error = ws_frames_recv(f, &in, &ev);
        if (h->error < 0)
            return;
        h->pings += ev.type == WS_EV_PING;
        h->closes += ev.type == WS_EV_CLOSE;
        h->data_len += ev.type == WS_EV_DATA ? ev.bytes.len : 0;
        assert(ev.type == WS_EV_DATA || ev.bytes.len <= WS_CONTROL_PAYLOAD_MAX);
        for (size_t i = 0; i < ev.bytes.len; i++)
            h->hash = (h->hash ^ ev.bytes.data[i]) * 0x100000001b3;
    } while (ev.type != WS_EV_NOTHING);
    assert(in.len == 0);
    h->inside = ws_frames_is_inside(f);
}

static struct heard read_all(bool is_client, struct bytes in, size_t piece) {
    struct fixed_rng rng;
    struct heard h = {.error = 0};
    struct ws_frames *f = frames_new(&rng, is_client);
    while (in.len > 0 && h.error == 0) {
        struct bytes part = bytes_of(in.data, MIN(piece, in.len));
        uint8_t *copy = fuzz_copy(part);
        hear(f, bytes_of(copy, part.len), &h);
        free(copy);
        in = bytes_skip(in, part.len);
    }
    f = ws_frames_free(f);
    return h;
}

static void check_raw(bool is_client, size_t piece, struct bytes in) {
    struct heard whole = read_all(is_client, in, SIZE_MAX);
    struct heard pieces = read_all(is_client, in, piece);
    assert(whole.error == pieces.error);
    assert(whole.pings == pieces.pings);
    assert(whole.closes == pieces.closes);
    if (whole.error == 0) { /* a piece that fails tells less */
        assert(whole.inside == pieces.inside);
        assert(whole.data_len == pieces.data_len);
        assert(whole.pings + whole.closes > 0 || whole.hash == pieces.hash);
    }
}

/* --- Script --- */

struct bed {
    struct buf_pool *pool;
    struct quota quota;
    struct slice_queue queue;
    struct slice_writer writer;
    size_t sent_len;
    size_t pings;
    uint64_t hash;
    size_t wire_len;
    uint8_t wire[WIRE_MAX];
};

/* What the queue holds goes to the wire. */
static void drain(struct bed *b) {
    struct slice s;
    while (slice_queue_shift(&b->queue, &s)) {
        assert(s.len <= WIRE_MAX - b->wire_len);
        memcpy(b->wire + b->wire_len, s.data, s.len);
        b->wire_len += s.len;
        slice_unref(&s);
    }
    slice_writer_done(&b->writer);
}

static void send_data(struct bed *b, struct ws_frames *f, uint32_t len) {
    if (b->queue.count >= SLABS_HELD_MAX)
        drain(b);
    struct buf *buf = buf_new(b->pool, BUF_64K, NULL);
    assert(buf != NULL);
    for (uint32_t i = 0; i < len; i++) {
        buf->data[i] = (uint8_t)(b->sent_len + i);
        b->hash = (b->hash ^ buf->data[i]) * 0x100000001b3;
    }
    b->sent_len += len;
    struct slice s = slice_of(buf, 0, len);
    while (!ws_frames_data(f, &s, &b->writer)) {
        assert(b->queue.count > 0); /* a slab was to be had, or held */
        drain(b);
    }
}

static void send_ping(struct bed *b, struct ws_frames *f, struct bytes payload) {
    uint8_t frame[WS_CONTROL_FRAME_MAX];
    struct bytes left = bytes_of(frame, ws_frames_control(f, WS_PING, payload, frame));
    b->pings++;
    for (size_t i = 0; i < payload.len; i++)
        b->hash = (b->hash ^ payload.data[i]) * 0x100000001b3;
    while (left.len > 0) {
        left = bytes_skip(left, slice_writer_add(&b->writer, left));
        drain(b);
    }
}

static void check_script(bool is_client, size_t piece, struct bytes script) {
    struct fixed_rng rng;
    struct bed *b = calloc(1, sizeof(*b));
    assert(b != NULL);
    struct buf_pool_config cfg = {.bytes_max = 8 << 20, .reserve_bytes = 1 << 20};
    int e = buf_pool_new(mem_system(), &cfg, &b->pool);
    assert(e == 0);
    b->quota = QUOTA_INIT(5120, NULL);
    slice_queue_init(&b->queue, mem_system());
    slice_writer_init(&b->writer, &b->queue, b->pool, &b->quota);
    struct ws_frames *f = frames_new(&rng, is_client);
    while (script.len > 0 && b->sent_len + b->wire_len < WIRE_MAX / 2) {
        uint8_t op = fuzz_u8(&script);
        if (op < 0xc0)
            send_data(b, f, (op < 0x80 ? 1u : 250u) * (1u + op));
        else if (op < 0xf0)
            send_ping(b, f, fuzz_take(&script, op - 0xc0));
        else
            drain(b);
    }
    drain(b);
    struct heard h = read_all(!is_client, bytes_of(b->wire, b->wire_len), piece);
    assert(h.error == 0);
    assert(!h.inside);
    assert(h.closes == 0);
    assert(h.pings == b->pings);
    assert(h.data_len == b->sent_len);
    assert(h.hash == b->hash);
    f = ws_frames_free(f);
    slice_queue_done(&b->queue);
    b->pool = buf_pool_free(b->pool);
    free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    uint8_t kind = fuzz_u8(&in);
    size_t piece = fuzz_u8(&in) + 1u;
    if (kind & 2)
        check_script(kind & 1, piece * 16, in);
    else
        check_raw(kind & 1, piece, in);
    return 0;
}

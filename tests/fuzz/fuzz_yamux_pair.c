/* SPDX-License-Identifier: MIT */
/* Two yamux sessions, script: streams of both sides are written, read, credited and ended, while
 * the wire is cut anywhere, and memory may fail once.
 *
 * A direction that nobody broke off carries every byte once, in order, and its end, as long as its
 * reader reads: no credit is lost.  When all streams are released nothing is charged to anybody. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_mem.h"
#include "tests/unit/transport_yamux/pair.h"

enum { FLOWS_MAX = 16, STEPS_MAX = 400, WRITTEN_MAX = 8 << 20, MEM_MAX = 4 << 20 };

/* One direction of a stream, by who writes it. */
struct half {
    uint64_t written;
    uint64_t got;
    bool fin;
    bool ended;  /* its end was read */
    bool broken; /* reset, let go or no longer read before its end */
};

/* A stream; `of` is NULL before the peer has heard of it and after its release. */
struct flow {
    uint32_t id;
    struct yamux_stream *of[2]; /* by side */
    bool known[2];
    struct half half[2];
    size_t uncredited[2];
};

struct world {
    struct pair pair;
    struct fuzz_mem mem;
    struct flow flows[FLOWS_MAX];
    size_t flows_count;
    uint64_t written;
    bool closed; /* by the script */
};

static uint8_t pattern_at(const struct flow *f, unsigned writer, uint64_t at) {
    return (uint8_t)((at + f->id * 7 + writer) * 2654435761u >> 13);
}

/* --- Local calls --- */

static void flow_open(struct world *w, unsigned side) {
    struct yamux_stream *stream;
    if (w->flows_count == FLOWS_MAX || yamux_stream_open(w->pair.side[side].y, &stream) != 0)
        return;
    (void)pair_seen(&w->pair.side[side], stream);
    struct flow *f = &w->flows[w->flows_count++];
    *f = (struct flow){.id = yamux_stream_id(stream)};
    f->of[side] = stream;
    f->known[side] = true;
}

/* Streams that the peer opened meanwhile. */
static void flows_join(struct world *w) {
    for (unsigned side = 0; side < 2; side++) {
        struct side *s = &w->pair.side[side];
        for (size_t i = 0; i < s->seen_count; i++) {
            if (!s->seen[i].opened || s->seen[i].stream == NULL)
                continue;
            size_t at = 0;
            while (w->flows[at].id != s->seen[i].id) {
                at++;
                assert(at < w->flows_count);
            }
            w->flows[at].known[side] = true;
            w->flows[at].of[side] = s->seen[i].stream;
        }
    }
}

static bool is_over(const struct world *w) {
    return !yamux_is_open(w->pair.side[0].y) || !yamux_is_open(w->pair.side[1].y);
}

static void flow_write(struct world *w, struct flow *f, unsigned side, uint32_t len) {
    struct half *h = &f->half[side];
    if (f->of[side] == NULL || w->written + len > WRITTEN_MAX)
        return;
    struct buf *b = buf_new(w->pair.pool, buf_class_for(len), yamux_stream_quota(f->of[side]));
    if (b == NULL)
        return;
    for (uint32_t i = 0; i < len; i++)
        b->data[i] = pattern_at(f, side, h->written + i);
    struct slice v = slice_of(b, 0, len);
    ssize_t n = yamux_stream_write(f->of[side], &v, 1);
    if (n == 1) {
        assert(!h->fin);
        h->written += len;
        w->written += len;
        return;
    }
    slice_unref(&v);
    assert(n == 0 || n == -EPIPE || n == -ERR_CONN_CLOSED);
    assert(n != -EPIPE || h->fin || h->broken || w->mem.failed);
    assert(n != -ERR_CONN_CLOSED || is_over(w));
}

/* false: nothing more to read now, or ever. */
static bool flow_read(struct world *w, struct flow *f, unsigned side) {
    struct half *h = &f->half[!side];
    struct slice v;
    ssize_t n = f->of[side] == NULL ? 0 : yamux_stream_read(f->of[side], &v, 1);
    if (n == 1) {
        assert(v.len > 0);
        assert(h->got + v.len <= h->written);
        for (uint32_t i = 0; i < v.len; i++)
            assert(v.data[i] == pattern_at(f, !side, h->got + i));
        h->got += v.len;
        f->uncredited[side] += v.len;
        slice_unref(&v);
        return true;
    }
    assert(n == 0 || n == -ENODATA || n == -ECONNRESET);
    assert(n != -ECONNRESET || h->broken || w->mem.failed);
    if (n == -ENODATA) {
        assert(h->fin);
        assert(h->got == h->written);
        h->ended = true;
    }
    return false;
}

static void flow_credit(struct flow *f, unsigned side, size_t bytes) {
    bytes = MIN(bytes, f->uncredited[side]);
    f->uncredited[side] -= bytes;
    if (f->of[side] != NULL)
        yamux_stream_credit(f->of[side], bytes);
}

static void flow_shutdown(struct flow *f, unsigned side) {
    if (f->of[side] == NULL)
        return;
    yamux_stream_shutdown_write(f->of[side]);
    f->half[side].fin = true;
}

static void break_off(struct flow *f, unsigned writer) {
    f->half[writer].broken |= !f->half[writer].ended;
}

static void flow_stop(struct flow *f, unsigned side) {
    if (f->of[side] == NULL)
        return;
    yamux_stream_stop_reading(f->of[side]);
    break_off(f, !side);
}

static void flow_reset(struct flow *f, unsigned side) {
    if (f->of[side] == NULL)
        return;
    yamux_stream_reset(f->of[side], 0x1234);
    break_off(f, 0);
    break_off(f, 1);
}

static void flow_release(struct world *w, struct flow *f, unsigned side) {
    struct yamux_stream *stream = TAKE(f->of[side]);
    if (stream == NULL)
        return;
    pair_release(&w->pair, side, stream);
    /* Without an end it is reset, which the other direction hears, too; and one that lingers is, in
     * the end. */
    break_off(f, !side);
    if (!f->half[side].fin || !f->half[!side].ended)
        break_off(f, side);
}

/* --- The wire --- */

static void move(struct world *w, unsigned from, size_t max) {
    (void)pair_pull(&w->pair, from);
    (void)pair_carry(&w->pair, from, max);
    (void)pair_drain(&w->pair, !from);
    (void)pair_drain(&w->pair, from);
    flows_join(w);
}

static void run_for(struct world *w, nsec_t time) {
    pair_run_until(&w->pair, w->pair.now + time);
    flows_join(w);
    assert(w->closed || w->mem.failed || !is_over(w));
}

static void step(struct world *w, struct bytes *script) {
    uint8_t op = fuzz_u8(script), operand = fuzz_u8(script);
    unsigned side = op >> 7;
    struct flow *f = &w->flows[w->flows_count == 0 ? 0 : (op >> 4 & 7) % w->flows_count];
    switch (op & 15) {
    case 0:
        flow_open(w, side);
        break;
    case 1:
        for (unsigned i = 0; i < 8; i++)
            flow_write(w, f, side, 1 + operand * 257u);
        break;
    case 2:
        flow_write(w, f, side, 1 + operand);
        break;
    case 3:
        for (unsigned i = 0; i <= operand && flow_read(w, f, side); i++)
            ;
        break;
    case 4:
        flow_credit(f, side, operand == 0 ? SIZE_MAX : operand * 1024u);
        break;
    case 5:
        flow_shutdown(f, side);
        break;
    case 6:
        flow_stop(f, side);
        break;
    case 7:
        flow_reset(f, side);
        break;
    case 8:
        flow_release(w, f, side);
        break;
    case 9:
        w->pair.fragment_max = operand * 16u;
        break;
    case 10:
        w->pair.pull_max = 2 + operand % 40;
        break;
    case 11:
        run_for(w, MSEC(operand));
        break;
    case 12:
        run_for(w, MSEC(operand * 100u));
        break;
    case 13:
        if (operand == 77) {
            w->closed = true;
            yamux_close(w->pair.side[side].y, CONN_CODE_SHUTDOWN, w->pair.now);
        }
        break;
    case 14:
        w->pair.now += USEC(operand * 10u);
        break;
    default:
        move(w, side, operand == 0 ? SIZE_MAX : operand * 64u);
        break;
    }
}

/* --- What must hold at the end --- */

static bool is_complete(const struct half *h) {
    return h->broken || (h->got == h->written && h->ended == h->fin);
}

static bool all_complete(const struct world *w) {
    for (size_t i = 0; i < w->flows_count; i++)
        if (!is_complete(&w->flows[i].half[0]) || !is_complete(&w->flows[i].half[1]))
            return false;
    return true;
}

/* Everybody reads. */
static void settle(struct world *w) {
    nsec_t give_up = w->pair.now + SEC(10);
    while (!all_complete(w) && !is_over(w) && !w->mem.failed) {
        assert(w->pair.now < give_up);
        for (size_t i = 0; i < w->flows_count; i++) {
            for (unsigned side = 0; side < 2; side++) {
                while (flow_read(w, &w->flows[i], side))
                    ;
                flow_credit(&w->flows[i], side, SIZE_MAX);
            }
        }
        run_for(w, MSEC(50));
    }
}

static void release_all(struct world *w) {
    for (size_t i = 0; i < w->flows_count; i++) {
        flow_release(w, &w->flows[i], 0);
        flow_release(w, &w->flows[i], 1);
    }
    run_for(w, YAMUX_LINGER + SEC(1));
}

static void check_script(struct world *w, struct bytes script) {
    uint8_t failing_call = fuzz_u8(&script);
    w->mem = fuzz_mem_make(MEM_MAX, failing_call);
    w->pair.mem = &w->mem.mem;
    pair_init(&w->pair);
    if (w->pair.side[0].y != NULL && w->pair.side[1].y != NULL) {
        for (int i = 0; i < STEPS_MAX && script.len > 0; i++)
            step(w, &script);
        settle(w);
        release_all(w);
        release_all(w); /* streams that the peer heard of only now */
        for (unsigned side = 0; side < 2; side++) {
            assert(yamux_streams_count(w->pair.side[side].y) == 0);
            assert(w->pair.side[side].quota.used_bytes == 0);
        }
    }
    pair_done(&w->pair);
    assert(w->mem.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world *w = calloc(1, sizeof(*w));
    assert(w != NULL);
    check_script(w, bytes_of(data, size));
    free(w);
    return 0;
}

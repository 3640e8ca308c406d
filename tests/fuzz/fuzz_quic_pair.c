/* SPDX-License-Identifier: MIT */
/* Two QUIC connections, script: streams of both sides are written, read, credited and ended, while
 * the wire loses packets and strangers send their own.
 *
 * A direction that nobody broke off carries every byte once, in order, and its end; when all
 * streams are released nothing is charged to anybody any more. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/transport_quic/pair.h"

enum { FLOWS_MAX = 8, STEPS_MAX = 300, WRITTEN_MAX = 6 << 20, LOSS_PERCENT_MAX = 40 };

/* One direction of a stream, by who writes it. */
struct half {
    uint64_t written;
    uint64_t got;
    bool fin;
    bool ended;  /* its end was read */
    bool broken; /* reset, stopped or let go before its end */
};

/* A stream; `of` is NULL before the peer has heard of it and after its release. */
struct flow {
    int64_t id;
    struct quic_stream *of[2]; /* by side: 0 the client's, 1 the server's */
    bool known[2];
    struct half half[2];
    size_t uncredited[2];
};

struct world {
    struct pair pair;
    struct flow flows[FLOWS_MAX];
    size_t flows_count;
    uint64_t written;
    bool was_lossy;
};

static struct side *side_of(struct world *w, unsigned side) {
    return side == 0 ? &w->pair.client : &w->pair.server;
}

static uint8_t pattern_at(const struct flow *f, unsigned writer, uint64_t at) {
    return (uint8_t)((at + (uint64_t)f->id * 7 + writer) * 2654435761u >> 13);
}

/* --- Local calls --- */

static void flow_open(struct world *w, unsigned side) {
    struct side *s = side_of(w, side);
    struct quic_stream *stream;
    if (w->flows_count == FLOWS_MAX || quic_stream_open(s->conn, &stream) != 0)
        return;
    (void)pair_seen(s, stream);
    struct flow *f = &w->flows[w->flows_count++];
    *f = (struct flow){.id = quic_stream_id(stream)};
    f->of[side] = stream;
    f->known[side] = true;
}

/* Streams that the peer opened meanwhile. */
static void flows_join(struct world *w) {
    for (unsigned side = 0; side < 2; side++) {
        struct side *s = side_of(w, side);
        for (size_t i = 0; i < s->seen_count; i++) {
            if (!s->seen[i].opened || s->seen[i].stream == NULL)
                continue;
            size_t at = 0;
            while (w->flows[at].id != quic_stream_id(s->seen[i].stream))
                assert(++at < w->flows_count);
            assert(!w->flows[at].known[side] || w->flows[at].of[side] == s->seen[i].stream);
            w->flows[at].known[side] = true;
            w->flows[at].of[side] = s->seen[i].stream;
        }
    }
}

static void flow_write(struct world *w, struct flow *f, unsigned side, uint32_t len) {
    struct half *h = &f->half[side];
    if (f->of[side] == NULL || w->written + len > WRITTEN_MAX)
        return;
    struct buf *b = buf_new(w->pair.pool, buf_class_for(len), quic_stream_quota(f->of[side]));
    if (b == NULL)
        return;
    for (uint32_t i = 0; i < len; i++)
        b->data[i] = pattern_at(f, side, h->written + i);
    struct slice v = slice_of(b, 0, len);
    ssize_t n = quic_stream_write(f->of[side], &v, 1);
    if (n == 1) {
        assert(!h->fin);
        h->written += len;
        w->written += len;
        return;
    }
    slice_unref(&v);
    assert(n == 0 || n == -EPIPE || n == -ERR_CONN_CLOSED);
    assert(n != -EPIPE || h->fin || h->broken);
    assert(n != -ERR_CONN_CLOSED || side_of(w, side)->closed);
}

/* false: nothing more to read now, or ever. */
static bool flow_read(struct world *w, struct flow *f, unsigned side) {
    struct half *h = &f->half[!side];
    struct slice v;
    ssize_t n = f->of[side] == NULL ? 0 : quic_stream_read(f->of[side], &v, 1);
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
    assert(n != -ECONNRESET || h->broken || side_of(w, side)->closed);
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
        quic_stream_credit(f->of[side], bytes);
}

static void flow_shutdown(struct flow *f, unsigned side) {
    if (f->of[side] == NULL)
        return;
    quic_stream_shutdown_write(f->of[side]);
    f->half[side].fin = true;
}

static void flow_stop(struct flow *f, unsigned side) {
    if (f->of[side] == NULL)
        return;
    quic_stream_stop_reading(f->of[side], 0);
    f->half[!side].broken |= !f->half[!side].ended;
}

static void flow_reset(struct flow *f, unsigned side) {
    if (f->of[side] == NULL)
        return;
    quic_stream_reset(f->of[side], 0x1234);
    f->half[side].broken = true;
    f->half[!side].broken |= !f->half[!side].ended;
}

static void flow_release(struct world *w, struct flow *f, unsigned side) {
    struct quic_stream *stream = TAKE(f->of[side]);
    if (stream == NULL)
        return;
    pair_seen(side_of(w, side), stream)->stream = NULL;
    quic_stream_release(stream);
    f->half[side].broken |= !f->half[side].fin;
    f->half[!side].broken |= !f->half[!side].ended;
}

/* --- The wire --- */

static void run_for(struct world *w, nsec_t time) {
    pair_run_until(&w->pair, w->pair.now + time);
    flows_join(w);
    assert(w->was_lossy || (!w->pair.client.closed && !w->pair.server.closed));
}

static void stranger_sends(struct world *w, unsigned side, struct bytes packet) {
    struct side *s = side_of(w, side);
    uint8_t *copy = fuzz_copy(packet);
    if (!s->gone)
        quic_conn_recv(s->conn, &s->path, 0, bytes_of(copy, packet.len), w->pair.now);
    free(copy);
}

static void set_loss(struct world *w, uint8_t operand) {
    w->pair.loss_percent = operand % (LOSS_PERCENT_MAX + 1);
    w->was_lossy |= w->pair.loss_percent > 0;
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
        set_loss(w, operand);
        break;
    case 10:
        w->pair.delay = USEC(operand * 100u);
        break;
    case 11:
        run_for(w, MSEC(operand));
        break;
    case 12:
        run_for(w, MSEC(operand * 20u));
        break;
    case 13:
        stranger_sends(w, side, fuzz_take(script, operand * 6u));
        break;
    case 14:
        w->flows_count > 0 && side == 0 ? quic_conn_admit(w->pair.client.conn)
                                        : quic_conn_admit(w->pair.server.conn);
        break;
    default:
        (void)pair_exchange(&w->pair);
        flows_join(w);
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

static bool is_over(const struct world *w) {
    return w->pair.client.closed || w->pair.server.closed;
}

/* Everybody reads, and nothing is lost any more. */
static void settle(struct world *w) {
    nsec_t give_up = w->pair.now + SEC(60);
    w->pair.loss_percent = 0;
    while (!all_complete(w) && !is_over(w)) {
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

static void check_script(struct world *w, struct bytes script) {
    pair_init(&w->pair);
    pair_connect(&w->pair);
    assert(w->pair.client.confirmed);
    assert(w->pair.server.confirmed);
    for (int i = 0; i < STEPS_MAX && script.len > 0; i++)
        step(w, &script);
    settle(w);
    for (size_t i = 0; i < w->flows_count; i++) {
        flow_release(w, &w->flows[i], 0);
        flow_release(w, &w->flows[i], 1);
    }
    run_for(w, SEC(5));
    /* Streams that the peer heard of only now. */
    for (size_t i = 0; i < w->flows_count; i++) {
        flow_release(w, &w->flows[i], 0);
        flow_release(w, &w->flows[i], 1);
    }
    run_for(w, SEC(5));
    assert(w->pair.client.quota.used_bytes == 0);
    assert(w->pair.server.quota.used_bytes == 0);
    pair_done(&w->pair); /* no slab is left */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world *w = calloc(1, sizeof(*w));
    assert(w != NULL);
    check_script(w, bytes_of(data, size));
    free(w);
    return 0;
}

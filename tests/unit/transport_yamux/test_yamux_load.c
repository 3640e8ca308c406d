/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "raw.h"

/* Goal: many streams at once, cut anywhere, by a seed that a failure names; every byte is checked
 * and all memory comes back (pair_done()). */

enum {
    STREAMS = 500,        /* of each side; 200 at a time */
    BYTES_MAX = 40 << 10, /* of a stream and direction, mostly */
    BYTES_LONG = 1 << 20, /* and of some */
    PIECE_MAX = 20 << 10,
    STEPS_MAX = 2000000,
};

struct direction {
    uint64_t total;
    uint64_t written;
    uint64_t got;
    bool shut;
    bool ended;
};

/* Directions by who writes: 0 who opened. */
struct flow {
    struct yamux_stream *of[2];
    struct direction way[2];
};

struct load {
    struct pair *p;
    struct flow flows[2][STREAMS]; /* by who opened */
    size_t opened[2];
    size_t ended;
};

static uint32_t draw(struct load *l, uint32_t max) {
    uint32_t v;
    rng_fill(&l->p->rng.rng, &v, sizeof(v));
    return v % max;
}

static uint8_t pattern_at(uint32_t id, unsigned way, uint64_t at) {
    return (uint8_t)((at + id * 31 + way) * 2654435761u >> 11);
}

static uint64_t draw_total(struct load *l) {
    return draw(l, 20) == 0 ? draw(l, BYTES_LONG) : draw(l, BYTES_MAX);
}

static void open_one(struct load *l, unsigned side) {
    struct flow *f = &l->flows[side][l->opened[side]];
    struct yamux_stream *s;
    if (l->opened[side] == STREAMS || yamux_stream_open(l->p->side[side].y, &s) != 0)
        return;
    (void)pair_seen(&l->p->side[side], s);
    cr_assert_eq(yamux_stream_id(s), 2 * l->opened[side] + 1 + side);
    *f = (struct flow){.of[0] = s, .way = {{.total = draw_total(l)}, {.total = draw_total(l)}}};
    l->opened[side]++;
}

/* Streams that the other side has heard of. */
static void join(struct load *l, unsigned side) {
    struct side *s = &l->p->side[side];
    for (size_t i = 0; i < s->seen_count; i++) {
        if (!s->seen[i].opened || s->seen[i].stream == NULL)
            continue;
        l->flows[!side][(s->seen[i].id - 1) / 2].of[1] = s->seen[i].stream;
        s->seen[i].opened = false;
    }
}

static void write_piece(struct load *l, struct flow *f, unsigned end) {
    struct direction *d = &f->way[end];
    struct yamux_stream *s = f->of[end];
    static uint8_t piece[PIECE_MAX];
    if (s == NULL || d->shut)
        return;
    size_t len = MIN(d->total - d->written, (uint64_t)(1 + draw(l, PIECE_MAX)));
    for (size_t i = 0; i < len; i++)
        piece[i] = pattern_at(yamux_stream_id(s), end, d->written + i);
    if (len > 0) {
        ssize_t n = pair_write(l->p, s, bytes_of(piece, len));
        cr_assert_geq(n, 0);
        d->written += (uint64_t)n;
    }
    if (d->written == d->total) {
        yamux_stream_shutdown_write(s);
        d->shut = true;
    }
}

static void read_some(struct load *l, struct flow *f, unsigned end) {
    struct direction *d = &f->way[!end];
    struct yamux_stream *s = f->of[end];
    for (uint32_t pieces = draw(l, 8); s != NULL && pieces > 0 && !d->ended; pieces--) {
        struct slice v;
        ssize_t n = yamux_stream_read(s, &v, 1);
        if (n == 1) {
            uint32_t len = v.len;
            for (uint32_t i = 0; i < len; i++)
                cr_assert_eq(v.data[i], pattern_at(yamux_stream_id(s), !end, d->got + i));
            d->got += len;
            slice_unref(&v);
            yamux_stream_credit(s, len);
            continue;
        }
        if (n == 0)
            return;
        cr_assert_eq(n, -ENODATA);
        cr_assert_eq(d->got, d->total);
        d->ended = true;
    }
}

static void release_if_over(struct load *l, struct flow *f, unsigned side, unsigned end) {
    if (f->of[end] == NULL || !f->way[0].ended || !f->way[1].ended)
        return;
    struct yamux_stream *s = TAKE(f->of[end]);
    pair_release(l->p, end == 0 ? side : !side, s);
    l->ended++;
}

static void touch(struct load *l) {
    unsigned side = draw(l, 2);
    if (l->opened[side] == 0)
        return;
    struct flow *f = &l->flows[side][draw(l, (uint32_t)l->opened[side])];
    for (unsigned end = 0; end < 2; end++) {
        write_piece(l, f, end);
        read_some(l, f, end);
        release_if_over(l, f, side, end);
    }
}

static void move_wire(struct load *l) {
    for (unsigned side = 0; side < 2; side++) {
        (void)pair_pull(l->p, side);
        (void)pair_carry(l->p, side, draw(l, 100000));
        (void)pair_drain(l->p, !side);
        join(l, !side);
    }
}

static void run(uint64_t seed, size_t fragment_max) {
    static struct pair p;
    static struct load l;
    pair_init(&p);
    fixed_rng_init(&p.rng, seed);
    p.fragment_max = fragment_max;
    l = (struct load){.p = &p};
    yamux_admit(p.side[0].y);
    yamux_admit(p.side[1].y);
    for (int step = 0; l.ended < 4 * (size_t)STREAMS; step++) {
        cr_assert_lt(step, STEPS_MAX, "seed %llu: %zu ended", (unsigned long long)seed, l.ended);
        open_one(&l, draw(&l, 2));
        for (int i = 0; i < 20; i++)
            touch(&l);
        move_wire(&l);
        p.now += USEC(draw(&l, 1000));
        cr_assert(yamux_is_open(p.side[0].y) && yamux_is_open(p.side[1].y), "seed %llu",
                  (unsigned long long)seed);
    }
    pair_exchange(&p);
    for (unsigned side = 0; side < 2; side++) {
        cr_assert_eq(yamux_streams_count(p.side[side].y), 0);
        cr_assert_eq(p.side[side].quota.used_bytes, 0);
        cr_assert_eq(p.side[side].link.used_bytes, 0);
    }
    pair_done(&p);
}

Test(yamux_load, thousand_streams_whole) {
    run(1, 0);
}

Test(yamux_load, thousand_streams_in_records) {
    run(2, 16 << 10);
}

Test(yamux_load, thousand_streams_in_crumbs) {
    run(3, 40);
}

/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "raw.h"

/* Goal: what a hostile peer can do is bounded in memory, and answered as yamux.md says. */

enum { SLAB = 64 << 10 };

/* A wire that is fed in slabs as they fill. */
struct stuffing {
    struct pair *p;
    uint8_t slab[SLAB];
    size_t len;
};

static void put(struct stuffing *f, const void *data, size_t len) {
    for (size_t i = 0; i < len; i++) {
        f->slab[f->len++] = ((const uint8_t *)data)[i];
        if (f->len < SLAB)
            continue;
        raw_hear(f->p, SERVER, bytes_of(f->slab, SLAB));
        f->len = 0;
    }
}

static void put_header(struct stuffing *f, unsigned type, unsigned flags, uint32_t id,
                       uint32_t length) {
    uint8_t h[12] = {0,
                     (uint8_t)type,
                     0,
                     (uint8_t)flags,
                     (uint8_t)(id >> 24),
                     (uint8_t)(id >> 16),
                     (uint8_t)(id >> 8),
                     (uint8_t)id,
                     (uint8_t)(length >> 24),
                     (uint8_t)(length >> 16),
                     (uint8_t)(length >> 8),
                     (uint8_t)length};
    put(f, h, sizeof(h));
}

static void put_zeros(struct stuffing *f, size_t len) {
    static const uint8_t zeros[SLAB];
    for (; len > 0; len -= MIN(len, (size_t)SLAB))
        put(f, zeros, MIN(len, (size_t)SLAB));
}

static void flush(struct stuffing *f) {
    raw_hear(f->p, SERVER, bytes_of(f->slab, f->len));
    f->len = 0;
}

static size_t held(const struct pair *p) {
    return p->side[SERVER].quota.used_bytes;
}

static void assert_lives(struct pair *p) {
    cr_assert(yamux_is_open(p->side[SERVER].y));
    (void)raw_said(p, SERVER);
    HEARS(p, SERVER, "000200010000000000c0ffee");
    SAYS(p, SERVER, "000200020000000000c0ffee");
}

static void open_streams(struct stuffing *f, uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        put_header(f, 1, 1, first + 2 * i, 0);
    flush(f);
    (void)raw_said(f->p, SERVER);
}

/* --- Streams that are never read --- */

/* A byte a frame: the frames cost, the bytes do not. */
Test(yamux_hostile, window_full_of_single_bytes_costs_no_more_than_its_bytes) {
    static struct stuffing f;
    struct pair *p = f.p = raw_pair();
    open_streams(&f, 1, 1);
    for (int i = 0; i < YAMUX_WINDOW_FIRST; i++) {
        put_header(&f, 0, 0, 1, 1);
        put_zeros(&f, 1);
    }
    flush(&f);
    cr_assert_leq(held(p), YAMUX_WINDOW_FIRST + SLAB);
    assert_lives(p);
    cr_assert_eq(raw_read(raw_stream(p, SERVER, 1), NULL, 0), YAMUX_WINDOW_FIRST);
    cr_assert_eq(held(p), 0);
    pair_done(p);
}

/* The smallest body that is kept as a view, and the rest of its slab for a stream that is read. */
Test(yamux_hostile, body_that_pins_its_slab_costs_eight_times_itself_at_most) {
    static struct stuffing f;
    struct pair *p = f.p = raw_pair();
    open_streams(&f, 1, 2);
    size_t pinned = 0;
    while (pinned + SLAB / YAMUX_VIEW_PARTS <= YAMUX_WINDOW_FIRST) {
        put_header(&f, 0, 0, 1, SLAB / YAMUX_VIEW_PARTS);
        put_zeros(&f, SLAB / YAMUX_VIEW_PARTS);
        pinned += SLAB / YAMUX_VIEW_PARTS;
        put_header(&f, 0, 0, 3, (uint32_t)(SLAB - f.len - YAMUX_HEADER_BYTES));
        put_zeros(&f, SLAB - f.len);
        cr_assert_eq(f.len, 0);
        (void)raw_read(raw_stream(p, SERVER, 3), NULL, 0);
        (void)raw_said(p, SERVER);
    }
    cr_assert_eq(held(p), YAMUX_WINDOW_FIRST * YAMUX_VIEW_PARTS);
    assert_lives(p);
    pair_done(p);
}

Test(yamux_hostile, windows_of_all_streams_together_are_bounded_and_the_largest_pays) {
    static struct stuffing f;
    struct pair *p = f.p = raw_pair();
    yamux_admit(p->side[SERVER].y);
    open_streams(&f, 1, YAMUX_STREAMS_MAX);
    for (uint32_t i = 0; i < YAMUX_STREAMS_MAX; i++) {
        put_header(&f, 0, 0, 1 + 2 * i, i == 0 ? 1000 : YAMUX_WINDOW_FIRST);
        put_zeros(&f, i == 0 ? 1000 : YAMUX_WINDOW_FIRST);
        cr_assert_leq(held(p), YAMUX_RECEIVED_MAX + SLAB);
    }
    flush(&f);
    (void)pair_drain(p, SERVER);
    size_t reset = 0;
    for (size_t i = 0; i < YAMUX_STREAMS_MAX; i++) {
        const struct seen *seen = &p->side[SERVER].seen[i];
        reset += seen->reset;
        if (seen->reset)
            cr_assert_eq(seen->code, STREAM_CODE_RESOURCE_LIMIT);
    }
    cr_assert_gt(held(p), YAMUX_RECEIVED_MAX / 2);
    cr_assert_leq(reset, YAMUX_STREAMS_MAX - YAMUX_RECEIVED_MAX / YAMUX_WINDOW_FIRST + 16);
    cr_assert_not(pair_seen_id(&p->side[SERVER], 1)->reset, "not who holds little");
    assert_lives(p);
    pair_done(p);
}

/* The reactor must go on receiving for others, or everybody stalls. */
Test(yamux_hostile, windows_that_fill_the_pool_leave_it_its_reserve) {
    static struct stuffing f;
    static struct pair p = {.pool_bytes = 24 << 20};
    f.p = &p;
    pair_init(&p);
    yamux_admit(p.side[SERVER].y);
    open_streams(&f, 1, 200);
    for (uint32_t i = 0; i < 200; i++) {
        put_header(&f, 0, 0, 1 + 2 * i, YAMUX_WINDOW_FIRST);
        put_zeros(&f, YAMUX_WINDOW_FIRST);
        cr_assert_not(buf_pool_is_short(p.pool), "%u", i);
        struct buf *own = buf_new(p.pool, BUF_64K, NULL);
        cr_assert_not_null(own, "%u", i);
        (void)buf_unref(own);
    }
    flush(&f);
    cr_assert_gt(held(&p), (size_t)18 << 20);
    assert_lives(&p);
    pair_done(&p);
}

/* --- Floods --- */

static void assert_bounded_until_read(struct pair *p, size_t answer_bytes) {
    cr_assert_not(yamux_wants_input(p->side[SERVER].y));
    cr_assert_leq(held(p), SLAB);
    size_t answers = 0;
    while (!yamux_wants_input(p->side[SERVER].y)) {
        cr_assert(pair_pull(p, SERVER));
        answers++;
    }
    while (pair_pull(p, SERVER))
        ;
    cr_assert_eq(p->side[SERVER].out.len, answer_bytes);
    p->side[SERVER].out.len = 0;
    cr_assert_eq(held(p), 0);
}

Test(yamux_hostile, flood_of_pings_waits_until_its_answers_are_read) {
    static struct stuffing f;
    struct pair *p = f.p = raw_pair();
    for (uint32_t i = 0; i < SLAB / YAMUX_HEADER_BYTES; i++)
        put_header(&f, 2, 1, 0, i);
    flush(&f);
    assert_bounded_until_read(p, (size_t)SLAB / YAMUX_HEADER_BYTES * YAMUX_HEADER_BYTES);
    assert_lives(p);
    pair_done(p);
}

Test(yamux_hostile, flood_of_opens_waits_until_the_refusals_are_read) {
    static struct stuffing f;
    struct pair *p = f.p = raw_pair();
    open_streams(&f, 1, YAMUX_STREAMS_FIRST);
    for (uint32_t i = 0; i < SLAB / YAMUX_HEADER_BYTES; i++)
        put_header(&f, 1, 1, 0x10001 + 2 * i, 0);
    flush(&f);
    cr_assert_eq(yamux_streams_count(p->side[SERVER].y), YAMUX_STREAMS_FIRST);
    assert_bounded_until_read(p, (size_t)SLAB / YAMUX_HEADER_BYTES * YAMUX_HEADER_BYTES);
    assert_lives(p);
    pair_done(p);
}

/* Nobody hears of them, and they leave nothing. */
Test(yamux_hostile, flood_of_opens_that_are_reset_at_once_costs_nothing) {
    static struct stuffing f;
    struct pair *p = f.p = raw_pair();
    for (uint32_t i = 0; i < 100000; i++) {
        put_header(&f, 1, 1, 1 + 2 * i, 0);
        put_header(&f, 1, 8, 1 + 2 * i, 0);
    }
    flush(&f);
    cr_assert_eq(yamux_streams_count(p->side[SERVER].y), 0);
    cr_assert_not(pair_drain(p, SERVER));
    SAYS(p, SERVER, "");
    assert_lives(p);
    pair_done(p);
}

/* Each was accepted, which costs: after a burst no more than so many a second. */
static int resets_until_the_end(struct pair *p, nsec_t pause, int max) {
    for (int i = 0; i < max; i++) {
        raw_frame(p, SERVER, 1, 1, 1 + 2 * (uint32_t)i, 0, 0);
        (void)pair_drain(p, SERVER);
        struct seen *seen = &p->side[SERVER].seen[0];
        struct yamux_stream *s = seen->stream;
        raw_frame(p, SERVER, 1, 8, 1 + 2 * (uint32_t)i, 0, 0);
        (void)pair_drain(p, SERVER);
        if (!yamux_is_open(p->side[SERVER].y))
            return i;
        cr_assert(seen->reset);
        pair_release(p, SERVER, s);
        p->side[SERVER].seen_count = 0;
        p->now += pause;
        (void)raw_said(p, SERVER);
    }
    return max;
}

Test(yamux_hostile, peer_that_resets_what_was_accepted_too_often_is_sent_away) {
    struct pair *p = raw_pair();
    cr_assert_eq(resets_until_the_end(p, 0, 100000), YAMUX_RESETS_BURST);
    SAYS(p, SERVER, "000300000000000000001002");
    cr_assert_eq(yamux_error(p->side[SERVER].y, NULL), -ERR_PROTOCOL_VIOLATION);
    pair_done(p);

    p = raw_pair();
    HEARS(p, SERVER, "000200020000000000000000");
    nsec_t pause = SEC(1) / YAMUX_RESETS_PER_SECOND + 1;
    int many = 10 * YAMUX_RESETS_BURST;
    cr_assert_eq(resets_until_the_end(p, pause, many), many);
    assert_lives(p);
    pair_done(p);
}

Test(yamux_hostile, flood_of_what_means_nothing_leaves_nothing) {
    static struct stuffing f;
    struct pair *p = f.p = raw_pair();
    open_streams(&f, 1, 1);
    for (uint32_t i = 0; i < 50000; i++) {
        put_header(&f, 1, 0, 1, 0);            /* no credit */
        put_header(&f, 1, 2, 1, 0);            /* acknowledged, again */
        put_header(&f, 1, 0, 7 + 2 * i, 1000); /* credit for nobody */
        put_header(&f, 1, 8, 7 + 2 * i, 0);    /* a reset of nobody */
        put_header(&f, 0, 0, 7 + 2 * i, 100);  /* data for nobody */
        put_zeros(&f, 100);
        put_header(&f, 2, 2, 0, i); /* an answer to nothing */
    }
    flush(&f);
    cr_assert_eq(held(p), 0);
    SAYS(p, SERVER, "");
    cr_assert_eq(yamux_streams_count(p->side[SERVER].y), 1);
    assert_lives(p);
    pair_done(p);
}

/* It grants nothing and reads nothing: what is written waits, up to its bounds. */
Test(yamux_hostile, peer_that_grants_nothing_holds_up_its_writers_only) {
    static struct stuffing f;
    struct pair *p = f.p = raw_pair();
    static uint8_t some[SLAB];
    yamux_admit(p->side[SERVER].y);
    open_streams(&f, 1, YAMUX_STREAMS_MAX);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < YAMUX_STREAMS_MAX; i++) {
            struct yamux_stream *s = p->side[SERVER].seen[i].stream;
            for (int j = 0; j < 20; j++)
                (void)pair_write(p, s, BYTES_OF(some));
        }
        while (pair_drain(p, SERVER) || pair_pull(p, SERVER))
            p->side[SERVER].out.len = 0;
    }
    for (size_t i = 0; i < YAMUX_STREAMS_MAX; i++) {
        struct yamux_stream *s = p->side[SERVER].seen[i].stream;
        cr_assert_leq(yamux_stream_unsent(s), YAMUX_STREAM_UNSENT_MAX);
    }
    cr_assert_leq(held(p), YAMUX_SENDING_MAX);
    cr_assert_gt(held(p), YAMUX_SENDING_MAX / 2);
    assert_lives(p);
    /* Those that found no slab are told when others let go of theirs. */
    for (size_t i = 0; i < 200; i++) {
        p->side[SERVER].seen[i].writable = false;
        pair_release(p, SERVER, p->side[SERVER].seen[i].stream);
    }
    (void)raw_said(p, SERVER);
    size_t told = 0;
    for (size_t i = 200; i < YAMUX_STREAMS_MAX; i++)
        told += p->side[SERVER].seen[i].writable;
    cr_assert_gt(told, 0);
    pair_done(p);
}

/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "raw.h"

/* Goal: windows are large enough for a long, fast path soon, in virtual time: a step is a
 * millisecond, the path takes so many bytes of one direction in it and delivers them later. */

enum {
    STEP_BYTES = 125000, /* 1 Gbit/s */
    DELAY_STEPS = 30,    /* one way */
    WARM_STEPS = 600,
    STEPS = 1000,
};

/* What is on its way in a direction, by the step that it left in. */
struct path {
    struct wire steps[DELAY_STEPS];
};

static void send(struct pair *p, unsigned from, struct path *path, int step) {
    struct wire *out = &p->side[from].out;
    struct wire *slot = &path->steps[step % DELAY_STEPS];
    while (out->len < STEP_BYTES && pair_pull(p, from))
        ;
    size_t len = MIN(out->len, (size_t)STEP_BYTES);
    if (len == 0)
        return;
    if (slot->data == NULL)
        slot->data = malloc(STEP_BYTES);
    memcpy(slot->data, out->data, len);
    slot->len = len;
    out->len -= len;
    memmove(out->data, out->data + len, out->len);
}

static void deliver(struct pair *p, unsigned to, struct path *path, int step) {
    struct wire *slot = &path->steps[step % DELAY_STEPS];
    struct bytes in = bytes_of(slot->data, slot->len);
    cr_assert(pair_feed(p, to, &in));
    slot->len = 0;
    (void)pair_drain(p, to);
}

static void write_on(struct pair *p, struct yamux_stream *s) {
    ssize_t n = 1;
    while (n == 1) {
        struct slice v = SLICE_EMPTY;
        struct buf *b = buf_new(p->pool, BUF_64K, yamux_stream_quota(s));
        if (b != NULL)
            v = slice_of(b, 0, b->size);
        n = yamux_stream_write(s, &v, 1);
        if (n != 1)
            slice_unref(&v);
    }
}

Test(yamux_path, of_60_ms_and_a_gigabit_is_filled_by_one_stream) {
    static struct path there;
    static struct path back;
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    uint64_t got = 0;
    uint64_t warm = 0;
    /* The round trip is measured by the first ping. */
    HEARS(p, SERVER, "000200010000000000000000");
    (void)raw_said(p, SERVER);
    p->now += MSEC(2 * DELAY_STEPS);
    HEARS(p, SERVER, "000200020000000000000000");
    for (int step = 0; step < STEPS; step++) {
        p->now += MSEC(1);
        deliver(p, SERVER, &there, step);
        deliver(p, CLIENT, &back, step);
        struct seen *seen = pair_seen_id(&p->side[SERVER], 1);
        if (seen != NULL)
            got += (uint64_t)MAX(raw_read(seen->stream, NULL, 0), (ssize_t)0);
        write_on(p, s);
        send(p, CLIENT, &there, step);
        send(p, SERVER, &back, step);
        warm = step < WARM_STEPS ? got : warm;
    }
    double part = (double)(got - warm) / ((double)STEP_BYTES * (STEPS - WARM_STEPS));
    cr_assert_gt(part, 0.95, "%.2f of the path", part);
    cr_assert_gt((double)warm / ((double)STEP_BYTES * WARM_STEPS), 0.4, "slow to begin");
    for (size_t i = 0; i < DELAY_STEPS; i++) {
        free(there.steps[i].data);
        free(back.steps[i].data);
    }
    pair_done(p);
}

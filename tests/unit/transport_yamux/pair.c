/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include <stdlib.h>

#include "core/base/mem.h"

enum { POOL_BYTES = 512 << 20, RESERVE_BYTES = 4 << 20, SLICES_MAX = 64 };

void pair_init(struct pair *p) {
    *p = (struct pair){.now = SEC(1),
                       .pull_max = 16,
                       .pull_bytes_max = SIZE_MAX,
                       .mem = p->mem,
                       .pool_bytes = p->pool_bytes};
    fixed_rng_init(&p->rng, 1);
    struct buf_pool_config cfg = {.bytes_max = p->pool_bytes == 0 ? POOL_BYTES : p->pool_bytes,
                                  .reserve_bytes = RESERVE_BYTES};
    int e = buf_pool_new(mem_system(), &cfg, &p->pool);
    assert(e == 0);
    for (unsigned i = 0; i < 2; i++) {
        struct side *s = &p->side[i];
        s->quota = QUOTA_INIT(SIZE_MAX, NULL);
        s->link = QUOTA_INIT(SIZE_MAX, NULL);
        struct yamux_config c = {.mem = p->mem == NULL ? mem_system() : p->mem,
                                 .rng = &p->rng.rng,
                                 .pool = p->pool,
                                 .quota = &s->quota,
                                 .client = i == 0};
        if (yamux_new(&c, p->now, &s->y) < 0)
            s->y = NULL;
    }
}

void pair_done(struct pair *p) {
    for (unsigned i = 0; i < 2; i++) {
        struct side *s = &p->side[i];
        if (s->y != NULL)
            yamux_close(s->y, 0, p->now);
        while (s->y != NULL && pair_drain(p, i))
            ;
        for (size_t j = 0; j < s->seen_count; j++) {
            if (s->seen[j].stream != NULL)
                yamux_stream_release(s->seen[j].stream);
        }
        s->y = yamux_free(s->y);
        assert(s->quota.used_bytes == 0);
        assert(s->link.used_bytes == 0);
        free(s->out.data);
    }
    p->pool = buf_pool_free(p->pool);
}

static void wire_add(struct wire *w, struct bytes b) {
    if (w->len + b.len > w->size) {
        w->size = 2 * (w->len + b.len);
        w->data = realloc(w->data, w->size);
        assert(w->data != NULL);
    }
    memcpy(w->data + w->len, b.data, b.len);
    w->len += b.len;
}

static void wire_drop(struct wire *w, size_t n) {
    assert(n <= w->len);
    w->len -= n;
    memmove(w->data, w->data + n, w->len);
}

/* A slab as a receive has it: in a large one, unless little came. */
static struct slice slab_of(struct pair *p, unsigned side, struct bytes b) {
    enum buf_class c = b.len < (16 << 10) ? buf_class_for(b.len) : BUF_64K;
    struct buf *buf = buf_new(p->pool, c, NULL); /* the kernel has it already */
    assert(buf != NULL);
    buf_charge(buf, &p->side[side].link);
    memcpy(buf->data, b.data, b.len);
    return slice_of(buf, 0, (uint32_t)b.len);
}

static uint32_t draw(struct pair *p, size_t max) {
    uint32_t v;
    rng_fill(&p->rng.rng, &v, sizeof(v));
    return 1 + v % (uint32_t)max;
}

bool pair_feed(struct pair *p, unsigned side, struct bytes *in) {
    struct side *s = &p->side[side];
    while (in->len > 0 && yamux_wants_input(s->y)) {
        /* One slab, of which parts are handed over as a secure channel's records are. */
        struct bytes slab = bytes_of(in->data, MIN(in->len, (size_t)64 << 10));
        struct slice whole = slab_of(p, side, slab);
        while (whole.len > 0 && yamux_wants_input(s->y)) {
            struct slice part = slice_ref(&whole);
            if (p->fragment_max > 0)
                part.len = MIN(part.len, draw(p, p->fragment_max));
            slice_skip(&whole, part.len);
            *in = bytes_skip(*in, part.len);
            yamux_recv(s->y, part, p->now);
        }
        slice_unref(&whole);
    }
    return in->len == 0;
}

bool pair_pull(struct pair *p, unsigned side) {
    struct side *s = &p->side[side];
    struct slice out[SLICES_MAX];
    size_t count = yamux_pull(s->y, out, p->pull_max, p->pull_bytes_max, p->now);
    assert(count <= p->pull_max);
    for (size_t i = 0; i < count; i++) {
        assert(out[i].len > 0);
        wire_add(&s->out, slice_bytes(&out[i]));
        slice_unref(&out[i]);
    }
    return count > 0;
}

struct seen *pair_seen(struct side *s, struct yamux_stream *stream) {
    struct seen *seen = yamux_stream_user(stream);
    if (seen != NULL)
        return seen;
    assert(s->seen_count < PAIR_SEEN_MAX);
    seen = &s->seen[s->seen_count++];
    *seen = (struct seen){.stream = stream, .id = yamux_stream_id(stream)};
    yamux_stream_set_user(stream, seen);
    return seen;
}

struct seen *pair_seen_id(struct side *s, uint32_t id) {
    for (size_t i = s->seen_count; i-- > 0;)
        if (s->seen[i].id == id)
            return &s->seen[i];
    return NULL;
}

static void note(struct side *s, const struct yamux_event *ev) {
    struct seen *seen = ev->stream == NULL ? NULL : pair_seen(s, ev->stream);
    switch (ev->type) {
    case YAMUX_EV_STREAMS_AVAILABLE:
        s->streams_available = true;
        break;
    case YAMUX_EV_STREAM_OPENED:
        assert(!seen->opened);
        seen->opened = true;
        break;
    case YAMUX_EV_STREAM_READABLE:
        seen->readable = true;
        break;
    case YAMUX_EV_STREAM_WRITABLE:
        seen->writable = true;
        break;
    case YAMUX_EV_STREAM_STOPPED:
        assert(!seen->stopped);
        seen->stopped = true;
        seen->code = ev->code;
        break;
    case YAMUX_EV_STREAM_RESET:
        assert(!seen->reset);
        seen->reset = true;
        seen->code = ev->code;
        break;
    case YAMUX_EV_STREAM_CLOSED:
        assert(!seen->closed);
        seen->closed = true;
        seen->error = ev->error;
        break;
    case YAMUX_EV_CLOSED:
        assert(!s->closed);
        s->closed = true;
        break;
    }
}

bool pair_drain(struct pair *p, unsigned side) {
    struct yamux_event ev;
    bool any = false;
    while (yamux_next_event(p->side[side].y, &ev)) {
        note(&p->side[side], &ev);
        any = true;
    }
    return any;
}

bool pair_carry(struct pair *p, unsigned from, size_t max) {
    struct wire *w = &p->side[from].out;
    size_t len = MIN(w->len, max);
    struct bytes in = bytes_of(w->data, len);
    if (len == 0)
        return false;
    if (yamux_is_open(p->side[!from].y))
        (void)pair_feed(p, !from, &in);
    else
        in.len = 0; /* nobody is there */
    wire_drop(w, len - in.len);
    return in.len < len;
}

void pair_exchange(struct pair *p) {
    bool moved = true;
    while (moved) {
        moved = false;
        for (unsigned i = 0; i < 2; i++) {
            moved |= pair_drain(p, i);
            moved |= pair_pull(p, i);
            moved |= pair_carry(p, i, SIZE_MAX);
        }
    }
}

void pair_run_until(struct pair *p, nsec_t at) {
    for (;;) {
        pair_exchange(p);
        nsec_t due = MIN(yamux_deadline(p->side[0].y), yamux_deadline(p->side[1].y));
        p->now = MAX(p->now, MIN(due, at));
        if (due > at)
            break;
        yamux_tick(p->side[0].y, p->now);
        yamux_tick(p->side[1].y, p->now);
    }
    pair_exchange(p);
}

void pair_release(struct pair *p, unsigned side, struct yamux_stream *stream) {
    pair_seen(&p->side[side], stream)->stream = NULL;
    yamux_stream_release(stream);
}

ssize_t pair_write(struct pair *p, struct yamux_stream *s, struct bytes b) {
    struct buf *buf = buf_new(p->pool, buf_class_for(b.len), yamux_stream_quota(s));
    if (buf == NULL) {
        (void)!yamux_stream_write(s, &SLICE_EMPTY, 1); /* asks to be told of room */
        return 0;
    }
    memcpy(buf->data, b.data, b.len);
    struct slice v = slice_of(buf, 0, (uint32_t)b.len);
    ssize_t n = yamux_stream_write(s, &v, 1);
    if (n == 1)
        return (ssize_t)b.len;
    slice_unref(&v);
    return n;
}

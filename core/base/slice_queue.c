/* SPDX-License-Identifier: MIT */
#include "core/base/buf.h"
#include "core/base/mem.h"

enum { RING_SIZE_MIN = 8, RING_SIZE_MAX = 1 << 24 };

void slice_queue_init(struct slice_queue *q, struct mem *mem) {
    *q = (struct slice_queue){.mem = mem};
}

void slice_queue_done(struct slice_queue *q) {
    slice_queue_drop(q, q->len);
    assert(q->count == 0);
    q->ring = mem_free(q->mem, q->ring);
    q->ring_size = 0;
}

static struct slice *slot(const struct slice_queue *q, uint32_t i) {
    return &q->ring[(q->head + i) & (q->ring_size - 1)];
}

struct slice *slice_queue_at(const struct slice_queue *q, uint32_t i) {
    assert(i < q->count);
    return slot(q, i);
}

static int grow(struct slice_queue *q) {
    if (q->ring_size >= RING_SIZE_MAX)
        return -ENOMEM;
    uint32_t size = q->ring_size == 0 ? RING_SIZE_MIN : 2 * q->ring_size;
    struct slice *ring = mem_alloc_array(q->mem, size, sizeof(*ring));
    if (ring == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < q->count; i++)
        ring[i] = *slot(q, i);
    (void)mem_free(q->mem, q->ring);
    q->ring = ring;
    q->ring_size = size;
    q->head = 0;
    return 0;
}

int slice_queue_push(struct slice_queue *q, struct slice s) {
    if (s.len == 0) { /* would never be dropped */
        slice_unref(&s);
        return 0;
    }
    if (q->count == q->ring_size) {
        int e = grow(q);
        if (e < 0)
            return e;
    }
    *slot(q, q->count) = s;
    q->count++;
    q->len += s.len;
    return 0;
}

bool slice_queue_shift(struct slice_queue *q, struct slice *ret_slice) {
    if (q->count == 0)
        return false;
    *ret_slice = *slot(q, 0);
    q->head++;
    q->count--;
    assert(q->len >= ret_slice->len);
    q->len -= ret_slice->len;
    return true;
}

void slice_queue_drop(struct slice_queue *q, size_t n) {
    assert(n <= q->len);
    while (n > 0) {
        struct slice *first = slot(q, 0);
        if (n < first->len) {
            slice_skip(first, (uint32_t)n);
            q->len -= n;
            return;
        }
        struct slice gone;
        bool shifted = slice_queue_shift(q, &gone);
        assert(shifted);
        n -= gone.len;
        slice_unref(&gone);
    }
}

void slice_writer_init(struct slice_writer *w, struct slice_queue *queue, struct buf_pool *pool,
                       struct quota *quota) {
    *w = (struct slice_writer){.queue = queue, .pool = pool, .quota = quota};
}

void slice_writer_done(struct slice_writer *w) {
    w->tail = buf_unref(w->tail);
    w->tail_used = 0;
}

/* A new tail: as large as what waits already, or what is still to come, so that a backlog needs few
 * slabs and a short message no large one; smaller when only that is to be had. */
static bool renew_tail(struct slice_writer *w, size_t left) {
    slice_writer_done(w);
    for (int c = (int)buf_class_for(MAX(w->queue->len, left)); c >= BUF_1K; c--) {
        w->tail = buf_new(w->pool, (enum buf_class)c, w->quota);
        if (w->tail != NULL)
            return true;
    }
    return false;
}

/* Makes the n bytes behind tail_used part of the queue: of its last slice where that ends there. */
static bool publish(struct slice_writer *w, uint32_t n) {
    struct slice_queue *q = w->queue;
    struct slice *last = q->count == 0 ? NULL : slot(q, q->count - 1);
    if (last != NULL && last->buf == w->tail &&
        last->data + last->len == w->tail->data + w->tail_used) {
        last->len += n;
        q->len += n;
        return true;
    }
    struct slice s = slice_of(buf_ref(w->tail), w->tail_used, n);
    if (slice_queue_push(q, s) == 0)
        return true;
    slice_unref(&s);
    return false;
}

size_t slice_writer_add(struct slice_writer *w, struct bytes in) {
    size_t taken = 0;
    while (taken < in.len) {
        size_t left = in.len - taken;
        if ((w->tail == NULL || w->tail_used == w->tail->size) && !renew_tail(w, left))
            break;
        uint32_t n = (uint32_t)MIN(left, (size_t)(w->tail->size - w->tail_used));
        memcpy(w->tail->data + w->tail_used, in.data + taken, n);
        if (!publish(w, n))
            break;
        w->tail_used += n;
        taken += n;
    }
    if (w->tail != NULL && w->tail_used == w->tail->size)
        slice_writer_done(w); /* full: only its readers hold it now */
    return taken;
}

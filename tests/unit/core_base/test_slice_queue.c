/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "tests/support/fail_mem.h"
#include "tests/support/fixed_rng.h"

static struct buf_pool *pool_new(size_t chunks) {
    struct buf_pool_config cfg = {.bytes_max = chunks * BUF_CHUNK_BYTES};
    struct buf_pool *p = NULL;
    cr_assert_eq(buf_pool_new(mem_system(), &cfg, &p), 0);
    return p;
}

static size_t in_use(struct buf_pool *p) {
    struct buf_pool_stats s;
    buf_pool_stats(p, &s);
    return s.bytes_in_use;
}

static struct slice slice_make(struct buf_pool *p, uint8_t first, uint32_t len) {
    struct buf *b = buf_new(p, BUF_1K, NULL);
    cr_assert_not_null(b);
    for (uint32_t i = 0; i < len; i++)
        b->data[i] = (uint8_t)(first + i);
    return slice_of(b, 0, len);
}

/* Byte i of the queue, found the slow way. */
static uint8_t byte_at(const struct slice_queue *q, size_t i) {
    for (uint32_t k = 0;; k++) {
        const struct slice *s = slice_queue_at(q, k);
        if (i < s->len)
            return s->data[i];
        i -= s->len;
    }
}

Test(slice_queue, bytes_come_out_in_order_across_slices_and_growth) {
    struct buf_pool *p = pool_new(1);
    struct slice_queue q;
    slice_queue_init(&q, mem_system());
    uint8_t pushed = 0;
    uint8_t dropped = 0;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(slice_queue_push(&q, slice_make(p, pushed, 7)), 0);
            pushed = (uint8_t)(pushed + 7);
        }
        slice_queue_drop(&q, 17);
        dropped = (uint8_t)(dropped + 17);
        cr_assert_eq(byte_at(&q, 0), dropped, "round %d", round);
        cr_assert_eq(byte_at(&q, q.len - 1), (uint8_t)(pushed - 1), "round %d", round);
    }
    cr_assert_eq(q.len, 200 * (21 - 17));
    struct slice s;
    size_t left = q.len;
    while (slice_queue_shift(&q, &s)) {
        left -= s.len;
        slice_unref(&s);
    }
    cr_assert_eq(left, 0);
    cr_assert_eq(q.len, 0);
    cr_assert_eq(in_use(p), 0);
    slice_queue_done(&q);
    (void)buf_pool_free(p);
}

Test(slice_queue, an_empty_slice_is_not_kept) {
    struct buf_pool *p = pool_new(1);
    struct slice_queue q;
    slice_queue_init(&q, mem_system());
    cr_assert_eq(slice_queue_push(&q, slice_make(p, 0, 0)), 0);
    cr_assert_eq(slice_queue_push(&q, SLICE_EMPTY), 0);
    cr_assert_eq(q.count, 0);
    cr_assert_eq(in_use(p), 0);
    slice_queue_drop(&q, 0);
    slice_queue_done(&q);
    (void)buf_pool_free(p);
}

Test(slice_queue, without_memory_the_slice_stays_the_callers) {
    struct buf_pool *p = pool_new(1);
    struct fail_mem f;
    struct slice_queue q;
    fail_mem_start(&f);
    f.fail_at = 2;
    slice_queue_init(&q, &f.mem);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(slice_queue_push(&q, slice_make(p, 0, 1)), 0);
    struct slice s = slice_make(p, 9, 1);
    cr_assert_eq(slice_queue_push(&q, s), -ENOMEM);
    cr_assert_eq(q.len, 8);
    cr_assert_eq(slice_queue_push(&q, s), 0);
    cr_assert_eq(byte_at(&q, 8), 9);
    slice_queue_done(&q);
    cr_assert_eq(in_use(p), 0);
    cr_assert_eq(f.blocks, 0);
    (void)buf_pool_free(p);
}

struct writing {
    struct buf_pool *pool;
    struct quota quota;
    struct slice_queue queue;
    struct slice_writer writer;
};

static void writing_init(struct writing *w, size_t quota_bytes) {
    w->pool = pool_new(4);
    w->quota = QUOTA_INIT(quota_bytes, NULL);
    slice_queue_init(&w->queue, mem_system());
    slice_writer_init(&w->writer, &w->queue, w->pool, &w->quota);
}

static void writing_done(struct writing *w) {
    slice_writer_done(&w->writer);
    slice_queue_done(&w->queue);
    cr_assert_eq(w->quota.used_bytes, 0);
    (void)buf_pool_free(w->pool);
}

Test(slice_writer, small_writes_share_a_small_slab_and_a_slice) {
    struct writing w;
    writing_init(&w, SIZE_MAX);
    for (int i = 0; i < 16; i++)
        cr_assert_eq(slice_writer_add(&w.writer, BYTES_LIT("0123456789abcdef0123456789abcdef")),
                     32);
    cr_assert_eq(w.queue.count, 1);
    cr_assert_eq(w.queue.len, 512);
    cr_assert_eq(w.quota.used_bytes, 1024);
    /* The rest of the slab serves after the queue ran empty, too. */
    slice_queue_drop(&w.queue, 512);
    cr_assert_eq(slice_writer_add(&w.writer, BYTES_LIT("xyz")), 3);
    cr_assert_eq(byte_at(&w.queue, 0), 'x');
    cr_assert_eq(w.quota.used_bytes, 1024);
    slice_queue_drop(&w.queue, 3);
    slice_writer_done(&w.writer);
    cr_assert_eq(w.quota.used_bytes, 0);
    cr_assert_eq(slice_writer_add(&w.writer, BYTES_LIT("on")), 2);
    writing_done(&w);
}

Test(slice_writer, slabs_grow_with_the_backlog) {
    struct writing w;
    static const uint8_t in[1000];
    writing_init(&w, SIZE_MAX);
    for (int i = 0; i < 300; i++)
        cr_assert_eq(slice_writer_add(&w.writer, BYTES_OF(in)), sizeof(in));
    cr_assert_eq(slice_queue_at(&w.queue, 0)->buf->size, 1024);
    cr_assert_eq(slice_queue_at(&w.queue, w.queue.count - 1)->buf->size, 65536);
    cr_assert_lt(w.queue.count, 16);
    writing_done(&w);
}

Test(slice_writer, takes_what_the_quota_allows_to_the_last_slab) {
    struct writing w;
    static uint8_t in[100000];
    writing_init(&w, 65536 + 4096 + 1024);
    cr_assert_eq(slice_writer_add(&w.writer, BYTES_OF(in)), 65536 + 4096 + 1024);
    cr_assert_eq(slice_writer_add(&w.writer, BYTES_OF(in)), 0);
    slice_queue_drop(&w.queue, 65536);
    cr_assert_eq(slice_writer_add(&w.writer, bytes_of(in, 10)), 10);
    writing_done(&w);
}

Test(slice_writer, without_memory_for_the_ring_nothing_is_taken_or_lost) {
    struct writing w;
    struct fail_mem f;
    writing_init(&w, SIZE_MAX);
    fail_mem_start(&f);
    w.queue.mem = &f.mem;
    cr_assert_eq(slice_writer_add(&w.writer, BYTES_LIT("abc")), 0);
    cr_assert(f.failed);
    cr_assert_eq(w.queue.len, 0);
    cr_assert_eq(slice_writer_add(&w.writer, BYTES_LIT("abc")), 3);
    cr_assert(bytes_equal(slice_bytes(slice_queue_at(&w.queue, 0)), BYTES_LIT("abc")));
    writing_done(&w);
    cr_assert_eq(f.blocks, 0);
}

/* Someone else may have put slices into the queue, or hold views of ours, in between. */
Test(slice_writer, appends_only_behind_its_own_last_byte) {
    struct writing w;
    writing_init(&w, SIZE_MAX);
    cr_assert_eq(slice_writer_add(&w.writer, BYTES_LIT("abc")), 3);
    struct slice view = slice_ref(slice_queue_at(&w.queue, 0));
    cr_assert_eq(slice_queue_push(&w.queue, slice_make(w.pool, '0', 2)), 0);
    cr_assert_eq(slice_writer_add(&w.writer, BYTES_LIT("def")), 3);
    cr_assert_eq(w.queue.count, 3);
    cr_assert_eq(byte_at(&w.queue, 3), '0');
    cr_assert_eq(byte_at(&w.queue, 5), 'd');
    cr_assert(bytes_equal(slice_bytes(&view), BYTES_LIT("abc")));
    slice_unref(&view);
    writing_done(&w);
}

Test(slice_writer, a_stream_of_random_writes_and_drops_stays_in_order) {
    static uint8_t in[5000];
    struct fixed_rng rng;
    struct writing w;
    uint32_t written = 0;
    uint32_t read = 0;
    fixed_rng_init(&rng, 11);
    writing_init(&w, 300000);
    for (int step = 0; step < 5000; step++) {
        size_t n = rng_below(&rng.rng, sizeof(in) + 1);
        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)((written + i) * 31 >> 3);
        written += (uint32_t)slice_writer_add(&w.writer, bytes_of(in, n));
        cr_assert_eq(w.queue.len, written - read);
        if (w.queue.len == 0)
            continue;
        cr_assert_eq(byte_at(&w.queue, 0), (uint8_t)((size_t)read * 31 >> 3), "step %d", step);
        size_t dropped = rng_below(&rng.rng, w.queue.len + 1);
        slice_queue_drop(&w.queue, dropped);
        read += (uint32_t)dropped;
        cr_assert_leq(w.quota.used_bytes, 300000);
    }
    writing_done(&w);
}

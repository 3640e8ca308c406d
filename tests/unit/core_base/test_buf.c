/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "tests/support/fail_mem.h"
#include "tests/support/fixed_rng.h"

static struct buf_pool *pool_with(size_t chunks, size_t reserve_bytes) {
    struct buf_pool_config cfg = {.bytes_max = chunks * BUF_CHUNK_BYTES,
                                  .reserve_bytes = reserve_bytes};
    struct buf_pool *p = NULL;
    cr_assert_eq(buf_pool_new(mem_system(), &cfg, &p), 0);
    return p;
}

static struct buf_pool_stats stats_of(struct buf_pool *p) {
    struct buf_pool_stats s;
    buf_pool_stats(p, &s);
    return s;
}

Test(buf, classes_fit_what_they_are_asked_for) {
    static const struct {
        size_t size;
        enum buf_class class;
    } rows[] = {{0, BUF_1K},      {1024, BUF_1K},   {1025, BUF_4K},
                {4096, BUF_4K},   {4097, BUF_16K},  {16384, BUF_16K},
                {16385, BUF_64K}, {65536, BUF_64K}, {1 << 20, BUF_64K}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        cr_assert_eq(buf_class_for(rows[i].size), rows[i].class, "%zu", rows[i].size);
    cr_assert_eq(buf_class_size(BUF_64K), 65536);
}

Test(buf, slabs_are_aligned_disjoint_and_whole) {
    struct buf_pool *p = pool_with(4, 0);
    for (unsigned c = 0; c < BUF_CLASS_COUNT; c++) {
        uint32_t size = buf_class_size((enum buf_class)c);
        struct buf *all[2 * BUF_CHUNK_BYTES / 16384];
        uint32_t count = MIN(2 * BUF_CHUNK_BYTES / size, (uint32_t)ARRAY_COUNT(all));
        for (uint32_t i = 0; i < count; i++) {
            all[i] = buf_new(p, (enum buf_class)c, NULL);
            cr_assert_not_null(all[i]);
            cr_assert_eq(all[i]->size, size);
            cr_assert_eq((uintptr_t)all[i]->data % MIN(size, 4096u), 0);
            memset(all[i]->data, (int)(i % 251), size);
        }
        for (uint32_t i = 0; i < count; i++) {
            cr_assert_eq(all[i]->data[0], i % 251);
            cr_assert_eq(all[i]->data[size - 1], i % 251);
            cr_assert_null(buf_unref(all[i]));
        }
    }
    cr_assert_null(buf_unref(NULL));
    cr_assert_null(buf_pool_free(p));
    cr_assert_null(buf_pool_free(NULL));
}

Test(buf, the_last_reference_returns_the_slab) {
    struct buf_pool *p = pool_with(1, 0);
    struct buf *b = buf_new(p, BUF_4K, NULL);
    (void)buf_ref(b);
    (void)buf_unref(b);
    cr_assert_eq(stats_of(p).bytes_in_use, 4096);
    (void)buf_unref(b);
    cr_assert_eq(stats_of(p).bytes_in_use, 0);
    cr_assert_eq(stats_of(p).bytes_in_use_max, 4096);
    cr_assert_eq(buf_new(p, BUF_4K, NULL), b, "the warmest slab comes first");
    (void)buf_unref(b);
    (void)buf_pool_free(p);
}

Test(buf, every_quota_up_the_line_is_asked_and_charged) {
    struct buf_pool *p = pool_with(1, 0);
    struct quota peer = QUOTA_INIT(8192, NULL);
    struct quota conn = QUOTA_INIT(SIZE_MAX, &peer);
    struct quota stream = QUOTA_INIT(6000, &conn);
    struct quota other = QUOTA_INIT(SIZE_MAX, &conn);
    cr_assert_eq(quota_left(&stream), 6000);
    cr_assert_eq(quota_left(NULL), SIZE_MAX);
    struct buf *a = buf_new(p, BUF_4K, &stream);
    cr_assert_not_null(a);
    cr_assert_eq(stream.used_bytes, 4096);
    cr_assert_eq(peer.used_bytes, 4096);
    cr_assert_null(buf_new(p, BUF_4K, &stream), "its own quota");
    struct buf *b = buf_new(p, BUF_4K, &other);
    cr_assert_not_null(b);
    cr_assert_null(buf_new(p, BUF_1K, &other), "its peer's quota");
    cr_assert_eq(quota_left(&other), 0);
    cr_assert_eq(stats_of(p).refused, 2);
    (void)buf_unref(a);
    (void)buf_unref(b);
    cr_assert_eq(stream.used_bytes + other.used_bytes + conn.used_bytes + peer.used_bytes, 0);
    (void)buf_pool_free(p);
}

Test(buf, a_charge_moves_even_beyond_the_limit) {
    struct buf_pool *p = pool_with(1, 0);
    struct quota q = QUOTA_INIT(1024, NULL);
    struct buf *b = buf_new(p, BUF_64K, NULL);
    buf_charge(b, &q);
    cr_assert_eq(q.used_bytes, 65536);
    cr_assert_eq(quota_left(&q), 0);
    cr_assert_null(buf_new(p, BUF_1K, &q));
    buf_charge(b, NULL);
    cr_assert_eq(q.used_bytes, 0);
    cr_assert_eq(stats_of(p).bytes_in_use, 65536);
    (void)buf_unref(b);
    (void)buf_pool_free(p);
}

Test(buf, a_shared_slab_has_one_charge_which_moves_too) {
    struct buf_pool *p = pool_with(1, 0);
    struct quota link = QUOTA_INIT(1 << 20, NULL);
    struct quota session = QUOTA_INIT(1 << 20, NULL);
    struct buf *b = buf_new(p, BUF_64K, &link);
    struct buf *second = buf_ref(b);
    buf_charge(b, &session);
    cr_assert_eq(link.used_bytes, 0);
    cr_assert_eq(session.used_bytes, 65536);
    (void)buf_unref(b);
    cr_assert_eq(session.used_bytes, 65536);
    (void)buf_unref(second);
    cr_assert_eq(session.used_bytes, 0);
    (void)buf_pool_free(p);
}

Test(buf, charges_that_moved_into_the_reserve_show) {
    struct buf_pool *p = pool_with(2, BUF_CHUNK_BYTES);
    struct quota q = QUOTA_INIT(SIZE_MAX, NULL);
    struct buf *held[17];
    for (size_t i = 0; i < 17; i++) {
        held[i] = buf_new(p, BUF_64K, NULL);
        cr_assert_not_null(held[i]);
        cr_assert_not(buf_pool_is_short(p), "%zu", i);
    }
    for (size_t i = 0; i < 17; i++) {
        buf_charge(held[i], &q);
        cr_assert_eq(buf_pool_is_short(p), i == 16, "%zu", i);
    }
    for (size_t i = 0; i < 17; i++)
        (void)buf_unref(held[i]);
    cr_assert_not(buf_pool_is_short(p));
    (void)buf_pool_free(p);
}

Test(buf, peers_cannot_take_the_reserve) {
    struct buf_pool *p = pool_with(2, BUF_CHUNK_BYTES);
    struct quota q = QUOTA_INIT(SIZE_MAX, NULL);
    struct buf *held[64];
    size_t count = 0;
    while (count < ARRAY_COUNT(held) && (held[count] = buf_new(p, BUF_64K, &q)) != NULL)
        count++;
    cr_assert_eq(count, 16, "one chunk of two");
    for (int i = 0; i < 16; i++) {
        held[count] = buf_new(p, BUF_64K, NULL);
        cr_assert_not_null(held[count], "%d", i);
        count++;
    }
    cr_assert_null(buf_new(p, BUF_64K, NULL));
    (void)buf_unref(held[--count]);
    cr_assert_null(buf_new(p, BUF_64K, &q), "what was given back is the reserve's");
    while (count > 0)
        (void)buf_unref(held[--count]);
    (void)buf_pool_free(p);
}

Test(buf, chunks_go_back_when_unused_and_when_another_class_needs_them) {
    struct buf_pool *p = pool_with(1, 0);
    struct buf *small = buf_new(p, BUF_1K, NULL);
    cr_assert_null(buf_new(p, BUF_64K, NULL), "the only chunk has a slab in use");
    (void)buf_unref(small);
    cr_assert_eq(stats_of(p).bytes_mapped, BUF_CHUNK_BYTES, "kept for the next one");
    struct buf *large = buf_new(p, BUF_64K, NULL);
    cr_assert_not_null(large);
    buf_pool_trim(p);
    cr_assert_eq(stats_of(p).bytes_mapped, BUF_CHUNK_BYTES);
    (void)buf_unref(large);
    buf_pool_trim(p);
    cr_assert_eq(stats_of(p).bytes_mapped, 0);
    (void)buf_pool_free(p);
}

Test(buf, fuller_chunks_fill_up_first_so_that_others_empty) {
    enum { PER_CHUNK = BUF_CHUNK_BYTES / 65536 };
    struct buf_pool *p = pool_with(4, 0);
    struct buf *held[2 * PER_CHUNK];
    for (int i = 0; i < 2 * PER_CHUNK; i++)
        held[i] = buf_new(p, BUF_64K, NULL);
    /* One free slab in the first chunk, then all of the second. */
    (void)buf_unref(held[0]);
    for (int i = PER_CHUNK; i < 2 * PER_CHUNK; i++)
        (void)buf_unref(held[i]);
    held[0] = buf_new(p, BUF_64K, NULL);
    buf_pool_trim(p);
    cr_assert_eq(stats_of(p).bytes_mapped, BUF_CHUNK_BYTES);
    for (int i = 0; i < PER_CHUNK; i++)
        (void)buf_unref(held[i]);
    (void)buf_pool_free(p);
}

Test(buf, running_out_of_memory_loses_nothing) {
    struct fail_mem f;
    struct buf_pool_config cfg = {.bytes_max = 4 * (size_t)BUF_CHUNK_BYTES};
    for (fail_mem_start(&f);; fail_mem_again(&f)) {
        struct buf_pool *p = NULL;
        if (buf_pool_new(&f.mem, &cfg, &p) == 0) {
            struct buf *a = buf_new(p, BUF_1K, NULL);
            struct buf *b = buf_new(p, BUF_4K, NULL);
            cr_assert(f.failed || (a != NULL && b != NULL));
            (void)buf_unref(a);
            (void)buf_unref(b);
            (void)buf_pool_free(p);
        }
        cr_assert_eq(f.blocks, 0, "call %ld", f.fail_at);
        if (!f.failed)
            break;
    }
    cr_assert_geq(f.fail_at, 3);
}

Test(buf, sums_stay_right_over_many_random_steps) {
    enum { HELD = 300, STEPS = 50000 };
    static struct buf *held[HELD];
    struct buf_pool *p = pool_with(3, 65536);
    struct quota top = QUOTA_INIT(2 * BUF_CHUNK_BYTES, NULL);
    struct quota quotas[3] = {QUOTA_INIT(100000, &top), QUOTA_INIT(500000, &top),
                              QUOTA_INIT(SIZE_MAX, &top)};
    struct fixed_rng rng;
    fixed_rng_init(&rng, 5);
    for (int step = 0; step < STEPS; step++) {
        struct buf **b = &held[rng_below(&rng.rng, HELD)];
        uint64_t who = rng_below(&rng.rng, 4);
        if (*b != NULL)
            *b = buf_unref(*b);
        else
            *b = buf_new(p, (enum buf_class)rng_below(&rng.rng, BUF_CLASS_COUNT),
                         who == 3 ? NULL : &quotas[who]);
        if (step % 1000 == 0)
            buf_pool_trim(p);
        if (step % 100 != 0)
            continue;
        size_t sum = 0;
        for (int i = 0; i < HELD; i++)
            sum += held[i] == NULL ? 0 : held[i]->size;
        cr_assert_eq(stats_of(p).bytes_in_use, sum, "step %d", step);
        cr_assert_geq(stats_of(p).bytes_mapped, sum);
        cr_assert_eq(top.used_bytes,
                     quotas[0].used_bytes + quotas[1].used_bytes + quotas[2].used_bytes);
        cr_assert_leq(quotas[0].used_bytes, 100000);
    }
    for (int i = 0; i < HELD; i++)
        held[i] = buf_unref(held[i]);
    cr_assert_eq(top.used_bytes, 0);
    (void)buf_pool_free(p);
}

Test(slice, a_view_holds_its_slab) {
    struct buf_pool *p = pool_with(1, 0);
    struct buf *b = buf_new(p, BUF_1K, NULL);
    memcpy(b->data, "0123456789", 10);
    struct slice s = slice_of(b, 2, 8);
    struct slice t = slice_ref(&s);
    slice_skip(&s, 3);
    cr_assert(bytes_equal(slice_bytes(&s), BYTES_LIT("56789")));
    cr_assert(bytes_equal(slice_bytes(&t), BYTES_LIT("23456789")));
    slice_unref(&s);
    cr_assert_null(s.buf);
    slice_unref(&s);
    cr_assert_eq(stats_of(p).bytes_in_use, 1024);
    slice_unref(&t);
    cr_assert_eq(stats_of(p).bytes_in_use, 0);
    struct slice none = SLICE_EMPTY;
    slice_unref(&none);
    (void)buf_pool_free(p);
}

Test(slice, a_small_view_of_a_large_slab_moves_to_a_small_one) {
    struct buf_pool *p = pool_with(4, 0);
    struct quota q = QUOTA_INIT(SIZE_MAX, NULL);
    static const struct {
        uint32_t len;
        uint32_t slab;
    } rows[] = {{1, 1024},      {1024, 1024},   {1025, 4096},  {4097, 16384},
                {16383, 16384}, {16384, 65536}, {65536, 65536}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf *b = buf_new(p, BUF_64K, NULL);
        memset(b->data, (int)i, b->size);
        struct slice s = slice_of(b, 65536 - rows[i].len, rows[i].len);
        slice_compact(&s, &q);
        cr_assert_eq(s.buf->size, rows[i].slab, "%u bytes", rows[i].len);
        cr_assert_eq(s.len, rows[i].len);
        cr_assert_eq(s.data[s.len - 1], i);
        cr_assert_eq(q.used_bytes, rows[i].slab == 65536 ? 0 : rows[i].slab);
        slice_unref(&s);
        cr_assert_eq(stats_of(p).bytes_in_use, 0);
    }
    (void)buf_pool_free(p);
}

Test(slice, without_room_for_the_small_slab_the_view_stays) {
    struct buf_pool *p = pool_with(1, 0);
    struct quota q = QUOTA_INIT(1000, NULL);
    struct slice s = slice_of(buf_new(p, BUF_4K, NULL), 0, 10);
    struct buf *before = s.buf;
    slice_compact(&s, &q);
    cr_assert_eq(s.buf, before);
    s.len = 0;
    slice_compact(&s, &q);
    cr_assert_null(s.buf);
    (void)buf_pool_free(p);
}

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/heap.h"
#include "tests/support/fail_mem.h"
#include "tests/support/fixed_rng.h"

static void node_init_all(struct heap_node *nodes, size_t count) {
    for (size_t i = 0; i < count; i++)
        heap_node_init(&nodes[i]);
}

static struct heap_node *pop(struct heap *h) {
    struct heap_node *n = heap_first(h);
    if (n != NULL)
        heap_remove(h, n);
    return n;
}

Test(heap, equal_deadlines_come_out_in_the_order_they_went_in) {
    struct heap h;
    struct heap_node nodes[100];
    heap_init(&h, mem_system());
    node_init_all(nodes, 100);
    for (size_t i = 0; i < 100; i++)
        cr_assert_eq(heap_set(&h, &nodes[i], 5 - i / 20), 0);
    for (size_t group = 5; group-- > 0;) {
        for (size_t i = 0; i < 20; i++)
            cr_assert_eq(pop(&h), &nodes[20 * group + i], "group %zu, %zu", group, i);
    }
    cr_assert_null(heap_first(&h));
    heap_done(&h);
}

Test(heap, a_node_moves_and_leaves_from_anywhere) {
    struct heap h;
    struct heap_node nodes[3];
    heap_init(&h, mem_system());
    node_init_all(nodes, 3);
    cr_assert_eq(heap_set(&h, &nodes[0], 10), 0);
    cr_assert_eq(heap_set(&h, &nodes[1], 20), 0);
    cr_assert_eq(heap_set(&h, &nodes[2], 30), 0);
    cr_assert_eq(heap_set(&h, &nodes[2], 5), 0);
    cr_assert_eq(heap_first(&h), &nodes[2]);
    cr_assert_eq(heap_set(&h, &nodes[2], 15), 0);
    cr_assert_eq(heap_first(&h), &nodes[0]);
    heap_remove(&h, &nodes[0]);
    heap_remove(&h, &nodes[0]);
    cr_assert_not(heap_node_is_linked(&nodes[0]));
    cr_assert_eq(pop(&h), &nodes[2]);
    cr_assert_eq(pop(&h), &nodes[1]);
    heap_done(&h);
}

/* Against the dullest possible queue: an array that is searched. */
Test(heap, agrees_with_a_plain_search_over_many_random_steps) {
    enum { NODES = 200, STEPS = 20000 };
    struct fixed_rng rng;
    struct heap h;
    static struct heap_node nodes[NODES];
    fixed_rng_init(&rng, 42);
    heap_init(&h, mem_system());
    node_init_all(nodes, NODES);
    for (int step = 0; step < STEPS; step++) {
        struct heap_node *n = &nodes[rng_below(&rng.rng, NODES)];
        if (rng_below(&rng.rng, 3) == 0)
            heap_remove(&h, n);
        else
            cr_assert_eq(heap_set(&h, n, rng_below(&rng.rng, 50)), 0);
        struct heap_node *best = NULL;
        uint32_t linked = 0;
        for (int i = 0; i < NODES; i++) {
            struct heap_node *m = &nodes[i];
            if (!heap_node_is_linked(m))
                continue;
            linked++;
            if (best == NULL || m->at < best->at || (m->at == best->at && m->seq < best->seq))
                best = m;
        }
        cr_assert_eq(h.count, linked, "step %d", step);
        cr_assert_eq(heap_first(&h), best, "step %d", step);
    }
    heap_done(&h);
    for (int i = 0; i < NODES; i++)
        cr_assert_not(heap_node_is_linked(&nodes[i]));
}

Test(heap, reserved_room_cannot_fail_and_more_can) {
    struct fail_mem f;
    struct heap h;
    struct heap_node nodes[40];
    fail_mem_start(&f);
    f.fail_at = 2;
    f.for_good = true;
    heap_init(&h, &f.mem);
    node_init_all(nodes, 40);
    cr_assert_eq(heap_reserve(&h, 39), 0);
    for (size_t i = 0; i < 39; i++)
        cr_assert_eq(heap_set(&h, &nodes[i], i), 0);
    cr_assert_eq(heap_set(&h, &nodes[39], 0), -ENOMEM);
    cr_assert_not(heap_node_is_linked(&nodes[39]));
    cr_assert_eq(heap_set(&h, &nodes[38], 0), 0, "moving needs no memory");
    cr_assert_eq(h.count, 39);
    heap_done(&h);
    cr_assert_eq(f.blocks, 0);
}

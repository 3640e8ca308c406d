/* SPDX-License-Identifier: MIT */
#include "core/base/heap.h"

#include "core/base/mem.h"

enum { HEAP_SIZE_MIN = 16 };

void heap_init(struct heap *h, struct mem *mem) {
    *h = (struct heap){.mem = mem};
}

void heap_done(struct heap *h) {
    for (uint32_t i = 0; i < h->count; i++)
        h->nodes[i]->index = HEAP_NO_INDEX;
    h->nodes = mem_free(h->mem, h->nodes);
    h->count = 0;
    h->size = 0;
}

static bool is_before(const struct heap_node *a, const struct heap_node *b) {
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void place(struct heap *h, uint32_t index, struct heap_node *n) {
    h->nodes[index] = n;
    n->index = index;
}

/* Both sifts move a hole instead of swapping: one store a level. */
static void sift_up(struct heap *h, uint32_t hole, struct heap_node *n) {
    while (hole > 0) {
        uint32_t parent = (hole - 1) / 2;
        if (!is_before(n, h->nodes[parent]))
            break;
        place(h, hole, h->nodes[parent]);
        hole = parent;
    }
    place(h, hole, n);
}

static void sift_down(struct heap *h, uint32_t hole, struct heap_node *n) {
    for (;;) {
        uint64_t child = 2 * (uint64_t)hole + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && is_before(h->nodes[child + 1], h->nodes[child]))
            child++;
        if (!is_before(h->nodes[child], n))
            break;
        place(h, hole, h->nodes[child]);
        hole = (uint32_t)child;
    }
    place(h, hole, n);
}

/* Puts n where it belongs, starting from a place that is free. */
static void settle(struct heap *h, uint32_t hole, struct heap_node *n) {
    if (hole > 0 && is_before(n, h->nodes[(hole - 1) / 2]))
        sift_up(h, hole, n);
    else
        sift_down(h, hole, n);
}

int heap_reserve(struct heap *h, uint32_t count) {
    if (count <= h->size)
        return 0;
    if (count >= HEAP_NO_INDEX / 2)
        return -ENOMEM;
    uint32_t size = MAX(MAX(count, 2 * h->size), (uint32_t)HEAP_SIZE_MIN);
    struct heap_node **nodes = mem_resize(h->mem, h->nodes, size * sizeof(struct heap_node *));
    if (nodes == NULL)
        return -ENOMEM;
    h->nodes = nodes;
    h->size = size;
    return 0;
}

int heap_set(struct heap *h, struct heap_node *n, nsec_t at) {
    uint32_t hole = n->index;
    if (hole == HEAP_NO_INDEX) {
        int e = heap_reserve(h, h->count + 1);
        if (e < 0)
            return e;
        hole = h->count++;
    } else {
        assert(hole < h->count);
        assert(h->nodes[hole] == n);
    }
    n->at = at;
    n->seq = h->next_seq++;
    settle(h, hole, n);
    return 0;
}

void heap_remove(struct heap *h, struct heap_node *n) {
    if (n->index == HEAP_NO_INDEX)
        return;
    uint32_t hole = n->index;
    assert(hole < h->count);
    assert(h->nodes[hole] == n);
    struct heap_node *last = h->nodes[--h->count];
    n->index = HEAP_NO_INDEX;
    if (last != n)
        settle(h, hole, last);
}

struct heap_node *heap_first(const struct heap *h) {
    return h->count == 0 ? NULL : h->nodes[0];
}

/* SPDX-License-Identifier: MIT */
/* Map and heap, script: after each operation they agree with plain arrays. */

#include "core/base/err.h"
#include "core/base/heap.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "tests/fuzz/fuzz.h"

enum { KEYS_COUNT = 256 };

struct element {
    struct map_node in_map;
    struct heap_node in_heap;
    uint64_t order; /* of its last insertion into the heap or move there */
    uint8_t key;
};

struct model {
    struct map map;
    struct heap heap;
    struct element elements[KEYS_COUNT];
    uint64_t next_order;
    uint32_t in_map_count;
    uint32_t in_heap_count;
};

static void fill_zeros(struct rng *g, void *out, size_t size) {
    (void)g;
    memset(out, 0, size);
}

static void check_map(const struct model *m, uint8_t key) {
    const struct element *e = &m->elements[key];
    struct map_node *found = map_find(&m->map, bytes_of(&key, 1));
    assert(found == (map_node_is_linked(&e->in_map) ? &e->in_map : NULL));
    assert(m->map.count == m->in_map_count);
}

static void check_heap(const struct model *m) {
    const struct heap_node *first = heap_first(&m->heap);
    assert(m->heap.count == m->in_heap_count);
    assert((first == NULL) == (m->in_heap_count == 0));
    if (first == NULL)
        return;
    const struct element *top = CONTAINER_OF(first, struct element, in_heap);
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        const struct element *e = &m->elements[i];
        if (!heap_node_is_linked(&e->in_heap) || e == top)
            continue;
        assert(top->in_heap.at <= e->in_heap.at);
        if (top->in_heap.at == e->in_heap.at)
            assert(top->order < e->order);
    }
}

static void check_walk(const struct model *m) {
    bool seen[KEYS_COUNT] = {false};
    uint32_t count = 0;
    map_for_each (node, &m->map) {
        const struct element *e = CONTAINER_OF(node, struct element, in_map);
        assert(!seen[e->key]);
        seen[e->key] = true;
        count++;
    }
    assert(count == m->in_map_count);
}

static void step_map(struct model *m, struct element *e) {
    if (map_node_is_linked(&e->in_map)) {
        map_remove(&m->map, &e->in_map);
        m->in_map_count--;
    } else {
        map_insert(&m->map, &e->in_map, bytes_of(&e->key, 1));
        m->in_map_count++;
    }
    check_map(m, e->key);
}

static void step_heap_set(struct model *m, struct element *e, nsec_t at) {
    bool was_linked = heap_node_is_linked(&e->in_heap);
    assert(heap_set(&m->heap, &e->in_heap, at) == 0);
    e->order = m->next_order++;
    m->in_heap_count += !was_linked;
    check_heap(m);
}

static void step_heap_remove(struct model *m, struct element *e) {
    m->in_heap_count -= heap_node_is_linked(&e->in_heap);
    heap_remove(&m->heap, &e->in_heap);
    assert(!heap_node_is_linked(&e->in_heap));
    check_heap(m);
}

static void step_heap_pop(struct model *m) {
    struct heap_node *first = heap_first(&m->heap);
    if (first != NULL)
        step_heap_remove(m, CONTAINER_OF(first, struct element, in_heap));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    struct rng rng = {.fill = fill_zeros};
    struct model m = {.next_order = 0};
    assert(map_init(&m.map, mem_system(), &rng) == 0);
    heap_init(&m.heap, mem_system());
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        m.elements[i].key = (uint8_t)i;
        map_node_init(&m.elements[i].in_map);
        heap_node_init(&m.elements[i].in_heap);
    }

    while (script.len > 0) {
        uint8_t op = fuzz_u8(&script);
        struct element *e = &m.elements[fuzz_u8(&script)];
        switch (op % 5) {
        case 0:
            step_map(&m, e);
            break;
        case 1:
            step_heap_set(&m, e, op / 5);
            break;
        case 2:
            step_heap_remove(&m, e);
            break;
        case 3:
            step_heap_pop(&m);
            break;
        default:
            check_walk(&m);
        }
    }

    for (size_t i = 0; i < KEYS_COUNT; i++) {
        map_remove(&m.map, &m.elements[i].in_map);
        heap_remove(&m.heap, &m.elements[i].in_heap);
    }
    map_done(&m.map);
    heap_done(&m.heap);
    return 0;
}

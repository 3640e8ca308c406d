/* SPDX-License-Identifier: MIT */
#pragma once

/* A binary heap of deadlines with the index kept inside the element, so that an element is moved
 * or removed in O(log n).  Equal deadlines come out in the order in which they went in. */

#include "core/base/base.h"
#include "core/base/time.h"

struct mem;

struct heap_node {
    nsec_t at;
    uint64_t seq;
    uint32_t index; /* HEAP_NO_INDEX when in no heap */
};

enum { HEAP_NO_INDEX = UINT32_MAX };

struct heap {
    struct heap_node **nodes;
    uint32_t count;
    uint32_t size;
    uint64_t next_seq;
    struct mem *mem;
};

void heap_init(struct heap *h, struct mem *mem);
void heap_done(struct heap *h);

static inline void heap_node_init(struct heap_node *n) {
    n->at = NSEC_NEVER;
    n->seq = 0;
    n->index = HEAP_NO_INDEX;
}

static inline bool heap_node_is_linked(const struct heap_node *n) {
    return n->index != HEAP_NO_INDEX;
}

/* Inserts, or moves when it is already there.  -ENOMEM only on insertion beyond the reserved
 * room. */
NODISCARD int heap_set(struct heap *h, struct heap_node *n, nsec_t at);
void heap_remove(struct heap *h, struct heap_node *n);
/* The earliest, or NULL. */
struct heap_node *heap_first(const struct heap *h);
/* Makes room for `count` nodes in all, so that heap_set() up to there cannot fail. */
NODISCARD int heap_reserve(struct heap *h, uint32_t count);

/* SPDX-License-Identifier: MIT */
#pragma once

/* A hash map with the links inside the elements: byte-string keys that the element owns (its key
 * must stay in place while linked).  Keyed hashing (SipHash-1-3 with a random key), since peers
 * choose some of the keys.  Buckets grow by doubling; a failed growth only makes chains longer. */

#include "core/base/bytes.h"
#include "core/base/list.h"
#include "core/base/rng.h"

struct mem;

struct map_node {
    struct list chain;
    struct bytes key;
    uint64_t hash;
};

struct map {
    struct list *buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t count;
    uint64_t hash_key[2];
    struct mem *mem;
};

/* -ENOMEM */
NODISCARD int map_init(struct map *m, struct mem *mem, struct rng *rng);
/* The map must be empty (asserted). */
void map_done(struct map *m);

static inline void map_node_init(struct map_node *n) {
    list_init(&n->chain);
}

static inline bool map_node_is_linked(const struct map_node *n) {
    return list_is_linked(&n->chain);
}

/* The key must not be in the map yet (asserted). */
void map_insert(struct map *m, struct map_node *n, struct bytes key);
struct map_node *map_find(const struct map *m, struct bytes key);
/* Harmless for a node that is in no map. */
void map_remove(struct map *m, struct map_node *n);
/* The next node after `n` in no particular order, the first for NULL; NULL at the end.  To remove
 * while walking, take the next one first. */
struct map_node *map_next(const struct map *m, const struct map_node *n);

#define map_for_each(node, map) \
    for (struct map_node *node = map_next((map), NULL); node != NULL; node = map_next((map), node))

/* SPDX-License-Identifier: MIT */
#include "core/base/map.h"

#include "core/base/mem.h"
#include "core/base/siphash.h"

enum {
    MAP_BUCKETS_MIN = 16,
    MAP_BUCKETS_MAX = 1 << 24,
    /* SipHash-1-3: enough against chosen keys (Rust and Ruby use it so), twice as fast as 2-4. */
    MAP_HASH_C_ROUNDS = 1,
    MAP_HASH_D_ROUNDS = 3,
};

static struct list *buckets_new(struct mem *mem, uint32_t count) {
    struct list *buckets = mem_alloc_array(mem, count, sizeof(*buckets));
    if (buckets == NULL)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        list_init(&buckets[i]);
    return buckets;
}

int map_init(struct map *m, struct mem *mem, struct rng *rng) {
    struct list *buckets = buckets_new(mem, MAP_BUCKETS_MIN);
    if (buckets == NULL)
        return -ENOMEM;
    *m = (struct map){.buckets = buckets, .bucket_count = MAP_BUCKETS_MIN, .mem = mem};
    rng_fill(rng, m->hash_key, sizeof(m->hash_key));
    return 0;
}

void map_done(struct map *m) {
    assert(m->count == 0);
    m->buckets = mem_free(m->mem, m->buckets);
    m->bucket_count = 0;
}

static uint64_t hash(const struct map *m, struct bytes key) {
    return siphash(m->hash_key, key, MAP_HASH_C_ROUNDS, MAP_HASH_D_ROUNDS);
}

static struct list *bucket_of(const struct map *m, uint64_t h) {
    return &m->buckets[h & (m->bucket_count - 1)];
}

/* Without memory the chains grow instead. */
static void grow(struct map *m) {
    if (m->bucket_count >= MAP_BUCKETS_MAX)
        return;
    struct list *buckets = buckets_new(m->mem, 2 * m->bucket_count);
    if (buckets == NULL)
        return;
    struct list *old = m->buckets;
    uint32_t old_count = m->bucket_count;
    m->buckets = buckets;
    m->bucket_count = 2 * old_count;
    for (uint32_t i = 0; i < old_count; i++) {
        struct list *link;
        while ((link = list_shift(&old[i])) != NULL) {
            struct map_node *n = LIST_ENTRY(link, struct map_node, chain);
            list_push(bucket_of(m, n->hash), &n->chain);
        }
    }
    (void)mem_free(m->mem, old);
}

static struct map_node *find_hashed(const struct map *m, struct bytes key, uint64_t h) {
    struct list *bucket = bucket_of(m, h);
    list_for_each (link, bucket) {
        struct map_node *n = LIST_ENTRY(link, struct map_node, chain);
        if (n->hash == h && bytes_equal(n->key, key))
            return n;
    }
    return NULL;
}

void map_insert(struct map *m, struct map_node *n, struct bytes key) {
    uint64_t h = hash(m, key);
    assert(!map_node_is_linked(n));
    assert(find_hashed(m, key, h) == NULL);
    if (m->count >= m->bucket_count)
        grow(m);
    n->key = key;
    n->hash = h;
    list_push(bucket_of(m, h), &n->chain);
    m->count++;
}

struct map_node *map_find(const struct map *m, struct bytes key) {
    return find_hashed(m, key, hash(m, key));
}

void map_remove(struct map *m, struct map_node *n) {
    if (!map_node_is_linked(n))
        return;
    assert(m->count > 0);
    list_remove(&n->chain);
    m->count--;
}

struct map_node *map_next(const struct map *m, const struct map_node *n) {
    uint32_t i = 0;
    if (n != NULL) {
        struct list *bucket = bucket_of(m, n->hash);
        if (n->chain.next != bucket)
            return LIST_ENTRY(n->chain.next, struct map_node, chain);
        i = (uint32_t)(bucket - m->buckets) + 1;
    }
    for (; i < m->bucket_count; i++) {
        if (!list_is_empty(&m->buckets[i]))
            return LIST_ENTRY(m->buckets[i].next, struct map_node, chain);
    }
    return NULL;
}

/* SPDX-License-Identifier: MIT */
#include "core/base/buf.h"

#include <sys/mman.h>

#include "core/base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define BUF_POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUF_POISONING 1
#endif
#endif

#ifdef BUF_POISONING
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

/* A mapping cut into slabs of one class.  Their heads stand here, apart from the payload, so that
 * slabs stay aligned to their size and 64 KiB is 64 KiB. */
struct buf_chunk {
    struct list node; /* in its class's list while it has free slabs */
    struct buf_pool *pool;
    uint8_t *memory;
    struct buf *first_free; /* given back, the latest first: it is the warmest in the cache */
    uint32_t carved;        /* slabs [carved, count) have never been used */
    uint32_t in_use;
    uint32_t count;
    enum buf_class class;
    struct buf bufs[];
};

struct buf_pool {
    struct mem *mem;
    /* Chunks with free slabs.  In front the one that was full last, so that the fuller fill up
     * first; the unused ones stand at the end. */
    struct list usable[BUF_CLASS_COUNT];
    size_t bytes_max;
    size_t reserve_bytes;
    size_t bytes_mapped;
    size_t bytes_in_use;
    size_t bytes_in_use_max;
    size_t bytes_own; /* of bytes_in_use: without quota */
    uint64_t refused;
};

enum buf_class buf_class_for(size_t size) {
    unsigned c = BUF_1K;
    while (c < BUF_64K && size > buf_class_size((enum buf_class)c))
        c++;
    return (enum buf_class)c;
}

size_t quota_left(const struct quota *q) {
    size_t left = SIZE_MAX;
    for (; q != NULL; q = q->parent)
        left = MIN(left, q->used_bytes >= q->max_bytes ? 0 : q->max_bytes - q->used_bytes);
    return left;
}

static void quota_take(struct quota *q, size_t n) {
    for (; q != NULL; q = q->parent)
        q->used_bytes += n;
}

static void quota_give(struct quota *q, size_t n) {
    for (; q != NULL; q = q->parent) {
        assert(q->used_bytes >= n);
        q->used_bytes -= n;
    }
}

/* Every change of who holds how much passes through these two. */
static void account_take(struct buf_pool *p, struct quota *q, size_t n) {
    quota_take(q, n);
    p->bytes_in_use += n;
    if (q == NULL)
        p->bytes_own += n;
    p->bytes_in_use_max = MAX(p->bytes_in_use_max, p->bytes_in_use);
}

static void account_give(struct buf_pool *p, struct quota *q, size_t n) {
    quota_give(q, n);
    assert(p->bytes_in_use >= n);
    p->bytes_in_use -= n;
    if (q != NULL)
        return;
    assert(p->bytes_own >= n);
    p->bytes_own -= n;
}

int buf_pool_new(struct mem *mem, const struct buf_pool_config *cfg, struct buf_pool **ret_pool) {
    size_t bytes_max = cfg->bytes_max / BUF_CHUNK_BYTES * BUF_CHUNK_BYTES;
    assert(bytes_max > 0);
    assert(cfg->reserve_bytes < bytes_max);
    struct buf_pool *p = mem_alloc(mem, sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    p->mem = mem;
    p->bytes_max = bytes_max;
    p->reserve_bytes = cfg->reserve_bytes;
    for (unsigned c = 0; c < BUF_CLASS_COUNT; c++)
        list_init(&p->usable[c]);
    *ret_pool = p;
    return 0;
}

struct buf_pool *buf_pool_free(struct buf_pool *p) {
    if (p == NULL)
        return NULL;
    assert(p->bytes_in_use == 0);
    buf_pool_trim(p);
    assert(p->bytes_mapped == 0);
    return mem_free(p->mem, p);
}

static struct buf_chunk *chunk_new(struct buf_pool *p, enum buf_class c) {
    uint32_t size = buf_class_size(c);
    uint32_t count = BUF_CHUNK_BYTES / size;
    struct buf_chunk *chunk = mem_alloc(p->mem, sizeof(*chunk) + count * sizeof(struct buf));
    if (chunk == NULL)
        return NULL;
    void *memory =
        mmap(NULL, BUF_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return mem_free(p->mem, chunk);
    POISON(memory, BUF_CHUNK_BYTES);
    chunk->pool = p;
    chunk->memory = memory;
    chunk->count = count;
    chunk->class = c;
    list_init(&chunk->node);
    p->bytes_mapped += BUF_CHUNK_BYTES;
    return chunk;
}

static void chunk_free(struct buf_chunk *chunk) {
    struct buf_pool *p = chunk->pool;
    assert(chunk->in_use == 0);
    list_remove(&chunk->node);
    UNPOISON(chunk->memory, BUF_CHUNK_BYTES);
    int e = munmap(chunk->memory, BUF_CHUNK_BYTES);
    assert(e == 0);
    p->bytes_mapped -= BUF_CHUNK_BYTES;
    (void)mem_free(p->mem, chunk);
}

/* Unmaps unused chunks of a class, which all stand at its list's end. */
static void trim_class(struct buf_pool *p, enum buf_class c) {
    struct list *usable = &p->usable[c];
    while (!list_is_empty(usable)) {
        struct buf_chunk *last = LIST_ENTRY(usable->prev, struct buf_chunk, node);
        if (last->in_use > 0)
            return;
        chunk_free(last);
    }
}

void buf_pool_trim(struct buf_pool *p) {
    for (unsigned c = 0; c < BUF_CLASS_COUNT; c++)
        trim_class(p, (enum buf_class)c);
}

void buf_pool_stats(const struct buf_pool *p, struct buf_pool_stats *ret_stats) {
    *ret_stats = (struct buf_pool_stats){
        .bytes_mapped = p->bytes_mapped,
        .bytes_in_use = p->bytes_in_use,
        .bytes_in_use_max = p->bytes_in_use_max,
        .refused = p->refused,
    };
}

/* What is left of bytes_max when the untaken part of the reserve is set aside. */
static size_t ceiling(const struct buf_pool *p, const struct quota *q) {
    if (q == NULL || p->bytes_own >= p->reserve_bytes)
        return p->bytes_max;
    return p->bytes_max - (p->reserve_bytes - p->bytes_own);
}

bool buf_pool_is_short(const struct buf_pool *p) {
    return p->bytes_in_use - p->bytes_own > p->bytes_max - p->reserve_bytes;
}

/* A chunk of the class with a free slab, or NULL. */
static struct buf_chunk *find_chunk(struct buf_pool *p, enum buf_class c, const struct quota *q) {
    if (!list_is_empty(&p->usable[c]))
        return LIST_ENTRY(p->usable[c].next, struct buf_chunk, node);
    size_t mapped_max = ceiling(p, q);
    if (p->bytes_mapped + BUF_CHUNK_BYTES > mapped_max)
        buf_pool_trim(p); /* other classes may sit on chunks that they don't use */
    if (p->bytes_mapped + BUF_CHUNK_BYTES > mapped_max)
        return NULL;
    struct buf_chunk *chunk = chunk_new(p, c);
    if (chunk != NULL)
        list_push(&p->usable[c], &chunk->node);
    return chunk;
}

static struct buf *chunk_take(struct buf_chunk *chunk) {
    assert(chunk->in_use < chunk->count);
    struct buf *b = chunk->first_free;
    if (b != NULL) {
        chunk->first_free = b->next_free;
    } else {
        uint32_t size = buf_class_size(chunk->class);
        b = &chunk->bufs[chunk->carved];
        *b = (struct buf){
            .data = chunk->memory + (size_t)chunk->carved * size,
            .pool = chunk->pool,
            .chunk = chunk,
            .size = size,
        };
        chunk->carved++;
    }
    if (++chunk->in_use == chunk->count)
        list_remove(&chunk->node);
    return b;
}

struct buf *buf_new(struct buf_pool *p, enum buf_class c, struct quota *q) {
    size_t size = buf_class_size(c);
    struct buf_chunk *chunk = NULL;
    if (size <= quota_left(q) && p->bytes_in_use + size <= ceiling(p, q))
        chunk = find_chunk(p, c, q);
    if (chunk == NULL) {
        p->refused++;
        return NULL;
    }
    struct buf *b = chunk_take(chunk);
    assert(b->refs == 0);
    b->refs = 1;
    b->quota = q;
    b->next_free = NULL;
    account_take(p, q, size);
    UNPOISON(b->data, size);
    return b;
}

void buf_charge(struct buf *b, struct quota *q) {
    assert(b->refs > 0);
    account_give(b->pool, b->quota, b->size);
    account_take(b->pool, q, b->size);
    b->quota = q;
}

void buf_release(struct buf *b) {
    struct buf_chunk *chunk = b->chunk;
    struct list *usable = &b->pool->usable[chunk->class];
    assert(b->refs == 0);
    assert(chunk->in_use > 0);
    account_give(b->pool, b->quota, b->size);
    POISON(b->data, b->size);
    b->quota = NULL;
    b->next_free = chunk->first_free;
    chunk->first_free = b;
    if (chunk->in_use == chunk->count)
        list_unshift(usable, &chunk->node);
    if (--chunk->in_use == 0) {
        list_remove(&chunk->node);
        list_push(usable, &chunk->node);
    }
}

void slice_compact(struct slice *s, struct quota *q) {
    if (s->len == 0) {
        slice_unref(s);
        return;
    }
    if (s->len >= s->buf->size / 4)
        return;
    enum buf_class c = buf_class_for(s->len);
    if (buf_class_size(c) >= s->buf->size)
        return;
    struct buf *small = buf_new(s->buf->pool, c, q);
    if (small == NULL)
        return;
    memcpy(small->data, s->data, s->len);
    struct slice compact = slice_of(small, 0, s->len);
    slice_unref(s);
    *s = compact;
}

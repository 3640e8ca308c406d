/* SPDX-License-Identifier: MIT */
#pragma once

/* Payload memory: reference-counted slabs, views into them, quotas.
 *
 *   struct buf    a slab of one of a few sizes, counted references
 *   struct slice  a view into one slab; holding a slice means holding one reference
 *   struct quota  how many slab bytes a stream, connection or peer may hold; quotas nest
 *
 * Layers pass slices and never copy payload, except where a library owns the bytes.  A holder is
 * charged slab sizes, not bytes: one byte in a 64 KiB slab costs 64 KiB until it is moved to a
 * smaller slab with slice_compact().
 *
 * Memory: the pool takes chunks of BUF_CHUNK_BYTES as needed, at most cfg.bytes_max.  A chunk whose
 * slabs are all free stays until buf_pool_trim(), or until another class needs its room: mapping
 * and faulting in a chunk again and again would cost about 0.2 CPU-seconds for each GiB carried. Of
 * bytes_max, cfg.reserve_bytes can be taken only by callers without a quota (the reactor's own
 * receive buffers), so that no peer can starve it.
 * Thread: one; a pool belongs to one reactor, and a slab never leaves it.
 * Under ASan freed slabs are poisoned.
 */

#include "core/base/bytes.h"
#include "core/base/list.h"

struct buf_chunk;
struct buf_pool;
struct mem;

enum buf_class { BUF_1K, BUF_4K, BUF_16K, BUF_64K, BUF_CLASS_COUNT };

enum { BUF_CHUNK_BYTES = 1 << 20 };

/* Slab size in bytes of a class: 1,024 to 65,536. */
static inline uint32_t buf_class_size(enum buf_class c) {
    return 1024u << (2 * (unsigned)c);
}

/* The smallest class that holds `size` bytes; BUF_64K when none does. */
enum buf_class buf_class_for(size_t size);

struct quota {
    size_t used_bytes;
    size_t max_bytes;
    struct quota *parent; /* charged too; NULL at the top */
};

#define QUOTA_INIT(max, up) ((struct quota){.max_bytes = (max), .parent = (up)})

/* Bytes that can still be charged: the least over the quota and its parents. */
size_t quota_left(const struct quota *q);

/* Read-only but for the bytes; all else is the pool's. */
struct buf {
    uint8_t *data;
    struct quota *quota;
    struct buf_pool *pool;
    struct buf_chunk *chunk;
    struct buf *next_free;
    uint32_t size;
    uint32_t refs;
};

struct slice {
    struct buf *buf;
    uint8_t *data;
    uint32_t len;
};

#define SLICE_EMPTY ((struct slice){NULL, NULL, 0})

struct buf_pool_config {
    size_t bytes_max;     /* at least one chunk; rounded down to whole ones */
    size_t reserve_bytes; /* less than that */
};

struct buf_pool_stats {
    size_t bytes_mapped; /* chunks taken from the system */
    size_t bytes_in_use; /* slabs handed out */
    size_t bytes_in_use_max;
    uint64_t refused; /* times that a quota or the pool said no */
};

/* -ENOMEM */
NODISCARD int buf_pool_new(struct mem *mem, const struct buf_pool_config *cfg,
                           struct buf_pool **ret_pool);

/* All slabs must have been returned (asserted).  Accepts NULL, returns NULL. */
struct buf_pool *buf_pool_free(struct buf_pool *p);

/* Returns all unused chunks to the system.  For a reactor that has been idle for a while. */
void buf_pool_trim(struct buf_pool *p);

void buf_pool_stats(const struct buf_pool *p, struct buf_pool_stats *ret_stats);

/* A slab with one reference, charged to `q` and its parents until it is freed.  q may be NULL: the
 * reactor's own.  NULL when a quota or the pool is used up: the caller pauses and tries again when
 * it has given something back.  The quota must outlive the slab. */
NODISCARD struct buf *buf_new(struct buf_pool *p, enum buf_class c, struct quota *q);

/* Moves the charge of a slab to another quota, without asking whether there is room: a receive that
 * the kernel has already made must be accounted, even when it overruns by one slab.  A slab has one
 * charge however many share it; the new quota must outlive it. */
void buf_charge(struct buf *b, struct quota *q);

/* Whether buf_charge() has moved more to quotas than their share of the pool: who did it gives
 * something back, or the reserve goes. */
bool buf_pool_is_short(const struct buf_pool *p);

static inline struct buf *buf_ref(struct buf *b) {
    assert(b->refs > 0);
    b->refs++;
    return b;
}

/* For buf_unref() alone: the slab has no references left. */
void buf_release(struct buf *b);

/* Drops one reference; the last one returns the slab.  Accepts NULL, returns NULL. */
static inline struct buf *buf_unref(struct buf *b) {
    if (b == NULL)
        return NULL;
    assert(b->refs > 0);
    if (--b->refs == 0)
        buf_release(b);
    return NULL;
}

/* A view that takes over the caller's reference to b. */
static inline struct slice slice_of(struct buf *b, uint32_t offset, uint32_t len) {
    assert(offset <= b->size);
    assert(len <= b->size - offset);
    return (struct slice){.buf = b, .data = b->data + offset, .len = len};
}

/* A second view of the same bytes, with a reference of its own. */
static inline struct slice slice_ref(const struct slice *s) {
    if (s->buf != NULL)
        (void)buf_ref(s->buf);
    return *s;
}

/* Drops the view and its reference. */
static inline void slice_unref(struct slice *s) {
    (void)buf_unref(s->buf);
    *s = SLICE_EMPTY;
}

/* Hands the reference over; nothing is left behind. */
static inline struct slice slice_take(struct slice *s) {
    struct slice taken = *s;
    *s = SLICE_EMPTY;
    return taken;
}

static inline void slice_skip(struct slice *s, uint32_t n) {
    assert(n <= s->len);
    s->data += n;
    s->len -= n;
}

static inline struct bytes slice_bytes(const struct slice *s) {
    return bytes_of(s->data, s->len);
}

/* When the view fills less than a quarter of its slab, copies it to the smallest slab that holds
 * it, charged to `q`, and drops the old one, so that 64 bytes awaiting an acknowledgement do not
 * hold 64 KiB.  Without room for the small slab the view stays as it is. */
void slice_compact(struct slice *s, struct quota *q);

/* A queue of slices: bytes in order, each slice holding its reference. */
struct slice_queue {
    struct slice *ring; /* power-of-two sized; grows by mem */
    uint32_t ring_size;
    uint32_t head; /* index of the first, not wrapped */
    uint32_t count;
    size_t len; /* bytes in all */
    struct mem *mem;
};

void slice_queue_init(struct slice_queue *q, struct mem *mem);
/* Drops all slices and the ring. */
void slice_queue_done(struct slice_queue *q);
/* Takes over the slice's reference.  -ENOMEM leaves it with the caller. */
NODISCARD int slice_queue_push(struct slice_queue *q, struct slice s);
/* The i-th slice from the front. */
struct slice *slice_queue_at(const struct slice_queue *q, uint32_t i);
/* Drops n bytes from the front, and the slices that they end. */
void slice_queue_drop(struct slice_queue *q, size_t n);
/* Removes the first slice and hands its reference over; false when empty. */
bool slice_queue_shift(struct slice_queue *q, struct slice *ret_slice);

/* Appends bytes by copying them: into the last slab while its tail is free, else into new slabs
 * charged to `quota`, small first, larger as the backlog grows.  `tail_used` tells how much of the
 * last slab is written; what is behind it belongs to the queue's one writer. */
struct slice_writer {
    struct slice_queue *queue;
    struct buf_pool *pool;
    struct quota *quota;
    struct buf *tail; /* own reference while it has room */
    uint32_t tail_used;
};

void slice_writer_init(struct slice_writer *w, struct slice_queue *queue, struct buf_pool *pool,
                       struct quota *quota);
/* Gives up the tail of the last slab, which otherwise stays charged while the queue is empty.  The
 * writer can go on afterwards. */
void slice_writer_done(struct slice_writer *w);
/* Returns bytes taken: fewer than offered when the quota, the pool or memory is used up. */
NODISCARD size_t slice_writer_add(struct slice_writer *w, struct bytes in);

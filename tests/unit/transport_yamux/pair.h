/* SPDX-License-Identifier: MIT */
#pragma once

/* Two yamux sessions in memory, or one and a test that speaks to it in bytes.  A counter is the
 * clock; the wire cuts where it is told.  Also driven by tests/fuzz/fuzz_yamux_pair.c, hence plain
 * assertions. */

#include "core/base/bytes.h"
#include "tests/support/fixed_rng.h"
#include "transport/proto/yamux.h"

enum { PAIR_SEEN_MAX = 2048 };

/* What one side has seen of a stream. */
struct seen {
    struct yamux_stream *stream;
    uint32_t id;
    bool opened, readable, writable, stopped, reset, closed;
    uint32_t code;
    int error;
};

/* Bytes on the wire. */
struct wire {
    uint8_t *data;
    size_t len;
    size_t size;
};

struct side {
    struct yamux *y;
    struct quota quota; /* the session's parent */
    struct quota link;  /* what came from the wire is charged here first */
    struct wire out;    /* pulled and not fed to the other side */
    struct seen seen[PAIR_SEEN_MAX];
    size_t seen_count;
    bool closed, streams_available;
};

struct pair {
    struct fixed_rng rng;
    struct buf_pool *pool;
    struct side side[2]; /* 0: the client */
    nsec_t now;
    size_t fragment_max; /* bytes that are fed at once; 0: as much as a slab holds */
    size_t pull_max;     /* slices a pull */
    size_t pull_bytes_max;
    /* Set before pair_init(). */
    struct mem *mem;   /* of the sessions; NULL: the system's */
    size_t pool_bytes; /* 0: plenty */
};

void pair_init(struct pair *p);
/* Ends the sessions, releases what is left, and asserts that all memory came back. */
void pair_done(struct pair *p);

/* Bytes from the wire to a side, in slabs and fragments; false: it takes no more, `*in` is the rest
 */
bool pair_feed(struct pair *p, unsigned side, struct bytes *in);
/* Takes what a side has to send to its wire; false: nothing. */
bool pair_pull(struct pair *p, unsigned side);
/* Feeds up to `max` bytes of a side's wire to the other; false: none went. */
bool pair_carry(struct pair *p, unsigned from, size_t max);
/* Notes the events of a side; false: none. */
bool pair_drain(struct pair *p, unsigned side);
/* Moves everything until nothing moves. */
void pair_exchange(struct pair *p);
/* Turns the clock to `at`, with ticks and exchanges where they are due. */
void pair_run_until(struct pair *p, nsec_t at);

struct seen *pair_seen(struct side *s, struct yamux_stream *stream);
struct seen *pair_seen_id(struct side *s, uint32_t id);
/* Must come before a release through the engine. */
void pair_release(struct pair *p, unsigned side, struct yamux_stream *stream);
/* Writes a copy; bytes taken (all or nothing). */
ssize_t pair_write(struct pair *p, struct yamux_stream *s, struct bytes b);

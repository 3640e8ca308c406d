/* SPDX-License-Identifier: MIT */
#pragma once

/* What secure_link.c (life, events, the interface), secure_link_read.c (records in, the handshake)
 * and secure_link_write.c (records out) share.
 *
 * Whatever happened, everything that can be done is done in one look: read, write, tell.  What a
 * call of the owner could not do or tell from inside itself is left to the next look. */

#include "core/base/err.h"
#include "transport/secure_link.h"
#include "uring/reactor.h"

enum {
    SECURE_OUT_SLICES_MAX = 16,
    /* Sealed and not taken by the lower link: as much is prepared as is in flight.  Over loopback
     * both ends together take 0.36 CPU-seconds for each GiB with it, 0.42 with 64 KiB, and 0.65
     * with 512 KiB, which the cache does not hold. */
    SECURE_OUT_BYTES_MAX = 256 << 10,
    SECURE_SAID_MAX = 512,
};

/* Until a slab is asked for again, when nothing of ours is under way that would tell. */
#define SECURE_RETRY_AFTER MSEC(10)

struct secure_link {
    struct link link;
    struct reactor *reactor;
    struct link *lower;
    struct secure *engine;
    void (*secured)(struct link *l);
    struct deferred work; /* what a call could not do or tell from inside itself */
    struct timer timer;   /* lingering, or trying again */
    int error;

    /* Reading: `received` holds records, `plain` what was in them. */
    struct slice_queue received;
    struct slice_queue plain;
    struct quota read_quota;   /* slabs of both: bounded by may_receive() */
    const struct buf *own_buf; /* the first of `received` is in it, and nobody else had a view */
    /* A record that does not lie in one slab of ours is put together here. */
    uint8_t header[SECURE_HEADER_MAX];
    size_t header_got;
    struct buf *body; /* NULL until the header is whole */
    uint32_t body_size;
    uint32_t body_got;

    /* Writing: records in `out`, the last of which ends at tail_used in `tail`. */
    struct slice out[SECURE_OUT_SLICES_MAX];
    uint32_t out_count;
    size_t out_bytes;
    struct buf *tail; /* own reference while something is in `out` */
    uint32_t tail_used;
    uint32_t gathered; /* plaintext in the tail behind it, of a record that is not sealed yet */
    struct slice part; /* what is left of the slice that was taken last */
    struct quota write_quota;
    uint8_t said[SECURE_SAID_MAX]; /* by the engine, and not in `out` yet */
    size_t said_len;

    bool handshaking;
    bool secured_due;
    bool readable_due;
    bool want_writable;
    bool read_over;
    bool write_over; /* shut down, or nobody reads */
    bool goodbye_said;
    bool lower_shut;
    bool lower_busy; /* has something to pass on, and will tell */
    bool paused;     /* receiving, until more is read */
    bool closing;
};

/* secure_link.c */
/* Drops what was read; what is in `out` stays, an alert may be the last of it. */
void secure_link_fail(struct secure_link *t, int error);
void secure_link_fail_by_engine(struct secure_link *t);
void secure_link_lower_failed(struct secure_link *t, int error);

/* secure_link_read.c */
/* From the lower link to `plain`. */
void secure_link_receive(struct secure_link *t);
/* Whether receiving goes on: what is read above and not credited is bounded by the lower link; what
 * is not even read, here, by its slabs. */
bool secure_link_may_receive(const struct secure_link *t);
/* The slab is accounted here from now on, or the lower link would stop for want of slabs while the
 * user above holds many that it has credited. */
void secure_link_take_over(struct secure_link *t, const struct slice *s);
void secure_link_read_drop(struct secure_link *t);

/* secure_link_write.c */
/* Seals slices from v[*taken] on, as far as there is room, and hands all to the lower link. */
void secure_link_write_on(struct secure_link *t, const struct slice *v, size_t count,
                          size_t *taken);
/* What the engine has to say goes out before anything else.  False while there is no slab for it.
 */
bool secure_link_say(struct secure_link *t);
/* Hands `out` to the lower link; whether all was taken. */
bool secure_link_flush(struct secure_link *t);
bool secure_link_has_room(const struct secure_link *t);
/* A slab was not to be had: who has slabs of ours tells when it is done with them, or nobody, and
 * then it is tried again after a while. */
void secure_link_ask_for_room(struct secure_link *t);
void secure_link_out_drop(struct secure_link *t);

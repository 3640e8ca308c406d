/* SPDX-License-Identifier: MIT */
#pragma once

/* A link: ordered bytes both ways, below security.  Nothing is known about who is at the other end,
 * and who connected does not matter here: the role is the upgrader's.  Made by
 * transport/tcp_link.h and transport/stream_link.h; users cannot tell.
 *
 *   reading   readable() tells that link_read() has slices, the end or an error.  link_credit()
 *             tells which bytes went where they belong: with LINK_BUFFERED_MAX unread or
 *             uncredited a link reads no further, and the far end is held back.
 *   writing   link_write() takes references to slices as far as there is room; writable() follows
 *             when it took fewer than offered.  The bytes must not change until the link is done
 *             with them.  A link that is still connecting has no room.
 *   ending    each direction by itself: link_shutdown_write() here, -ENODATA from there.  A link
 *             that failed tells its error to whoever reads or writes: readable() and, after a short
 *             write, writable() come.  link_close() or link_reset() end both directions at once, in
 *             one closed().
 *
 * Life:   the owner calls link_close() or link_reset() when it is done with a link, also with one
 *         that failed.  Slices that came from link_read() and are not charged to a quota of its own
 * by then, and slabs charged to link_quota(), must be dropped before.  Between that call and
 * closed() nothing else may be called, and nothing else is told; when closed() returns, the link is
 * freed. Events: set in the turn that made the link; may be led elsewhere at any time (the upgrader
 * hands the link on).  Whoever takes it over reads at once: what was told before is not told again.
 * Thread: the reactor's.  Events come from the reactor, never from inside a call.
 */

#include "core/base/buf.h"
#include "core/base/time.h"
#include "transport/proto/write_pace.h"

struct link;

enum { LINK_BUFFERED_MAX = 512 << 10 }; /* two of the largest receives */

struct link_events {
    void (*readable)(struct link *l);
    /* Room again after a short link_write(), or none any more: the peer reads no further. */
    void (*writable)(struct link *l);
    /* The last one.  0, or the error with which the link failed before. */
    void (*closed)(struct link *l, int error);
};

struct link_ops {
    ssize_t (*write)(struct link *l, const struct slice *v, size_t count);
    ssize_t (*read)(struct link *l, struct slice *out, size_t max);
    void (*credit)(struct link *l, size_t bytes);
    void (*shutdown_write)(struct link *l);
    void (*close)(struct link *l, bool reset);
    struct quota *(*quota)(struct link *l);
    /* These may be NULL. */
    size_t (*batch)(const struct link *l);
    int (*acked)(const struct link *l, uint64_t *ret_bytes, nsec_t *ret_at);
    nsec_t (*unanswered_since)(const struct link *l);
};

struct link {
    const struct link_ops *ops;
    const struct link_events *events;
    void *user;
};

static inline void link_set_events(struct link *l, const struct link_events *events, void *user) {
    l->events = events;
    l->user = user;
}

/* Takes over the references of the first slices of v and returns how many slices those were, 0 to
 * count.  Fewer than count: writable() follows.  When link_quota() has no room for a slab, a slice
 * of nothing asks for writable().
 *   -EPIPE       the writing side was shut down, or the peer reads no more; reading goes on
 *   -ECONNRESET  the peer reset the link
 *   -ECONNREFUSED, -ETIMEDOUT, -ERR_CONN_CLOSED, -ENOMEM ...: the link failed otherwise */
NODISCARD static inline ssize_t link_write(struct link *l, const struct slice *v, size_t count) {
    return l->ops->write(l, v, count);
}

/* Hands over up to `max` slices with their references.  Returns their number;
 *   0        nothing now: readable() follows
 *   -ENODATA the end: the peer shut its side down and all was read
 *   and the failures of link_write(): what was not read before is dropped */
NODISCARD static inline ssize_t link_read(struct link *l, struct slice *out, size_t max) {
    return l->ops->read(l, out, max);
}

/* Bytes that were read before, and whose slices are dropped or charged to a quota of the reader's
 * (buf_charge()), which then outlives the link.  0 bytes are welcome: who charged slabs elsewhere
 * and has nothing to credit tells so that there is room again. */
static inline void link_credit(struct link *l, size_t bytes) {
    l->ops->credit(l, bytes);
}

/* Drops a slice that was read and is not needed any more, and credits it. */
static inline void link_consume(struct link *l, struct slice *in) {
    size_t bytes = in->len;
    slice_unref(in);
    link_credit(l, bytes);
}

/* The end follows the last byte.  Harmless when it was called before. */
static inline void link_shutdown_write(struct link *l) {
    l->ops->shutdown_write(l);
}

/* Closes.  What the link has taken and not passed on yet is lost, and the peer then sees a reset
 * instead of an end: who needs the peer to have everything shuts down and reads until -ENODATA
 * first. */
static inline void link_close(struct link *l) {
    l->ops->close(l, false);
}

/* The same; the peer sees -ECONNRESET. */
static inline void link_reset(struct link *l) {
    l->ops->close(l, true);
}

/* Against which slabs for writing should be charged. */
static inline struct quota *link_quota(struct link *l) {
    return l->ops->quota(l);
}

/* How many bytes at once are enough to keep the link busy, WRITE_PACE_BYTES_MAX where it does not
 * tell: who can still choose what to say next holds back what goes beyond. */
static inline size_t link_batch(const struct link *l) {
    return l->ops->batch == NULL ? WRITE_PACE_BYTES_MAX : l->ops->batch(l);
}

/* How many bytes, of whatever is below, the far end's system has acknowledged in all, and when it
 * last acknowledged anything: it may be alive and have a lot to swallow before it comes to what it
 * is asked.  -ENOTSUP where that is not known. */
NODISCARD static inline int link_acked(const struct link *l, uint64_t *ret_bytes, nsec_t *ret_at) {
    return l->ops->acked == NULL ? -ENOTSUP : l->ops->acked(l, ret_bytes, ret_at);
}

/* Since when what carries it waits for any sign that somebody is there, as in struct conn_ops: of a
 * stream, its connection.  NSEC_NEVER: it does not wait, or does not tell. */
static inline nsec_t link_unanswered_since(const struct link *l) {
    return l->ops->unanswered_since == NULL ? NSEC_NEVER : l->ops->unanswered_since(l);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/* A stream's receive window: what the peer may send, what we hold, what we owe it.
 *
 *   size == granted + held + owed, at all times
 *
 * It is tuned to the bandwidth-delay product as go does it: an update is due when half is owed, and
 * one that comes less than 4 round trips after the last doubles the size.  Not so where the reader
 * has a queue, which is what it never came to the end of since the last update: what is held at the
 * moment of one may be a burst, and the reader idle until the next.  With more of a window there
 * would only be more that waits, for whatever comes behind it in the same stream, too, which is
 * what a circuit is.  By what a queue is beyond an eighth of the size it goes back, to
 * YAMUX_WINDOW_FIRST at least; the eighth keeps the reader from running dry.  Nothing that was
 * granted is taken back. */

#include "core/base/base.h"
#include "core/base/time.h"

enum {
    YAMUX_WINDOW_FIRST = 256 << 10, /* of every stream, both ways: fixed by the protocol */
    YAMUX_WINDOW_MAX = 16 << 20,    /* go's limit */
};

struct yamux_window {
    uint32_t size;
    uint32_t granted; /* the peer may still send */
    uint32_t held;    /* the peer has sent (announced in a header), the reader not yet credited */
    uint32_t queue;   /* the least that was held since the last update */
    uint32_t was;     /* the size before the last update, which made this queue */
    nsec_t updated_at;
};

void yamux_window_init(struct yamux_window *w, nsec_t now);

static inline uint32_t yamux_window_owed(const struct yamux_window *w) {
    assert(w->granted <= w->size);
    assert(w->held <= w->size - w->granted);
    return w->size - w->granted - w->held;
}

/* Takes a body of the peer into account.  false: it is larger than was granted. */
NODISCARD bool yamux_window_take(struct yamux_window *w, uint32_t bytes);

/* The reader is done with bytes. */
static inline void yamux_window_give(struct yamux_window *w, uint32_t bytes) {
    assert(bytes <= w->held);
    w->held -= bytes;
    w->queue = MIN(w->queue, w->held);
}

static inline bool yamux_window_is_due(const struct yamux_window *w) {
    return yamux_window_owed(w) >= w->size / 2;
}

/* Grants all that is owed and returns it, an eighth of the size at least.  With a known round trip
 * the window may grow by up to `growth_max` bytes.  Only when one is due (asserted). */
uint32_t yamux_window_update(struct yamux_window *w, nsec_t now, nsec_t rtt, uint32_t growth_max);

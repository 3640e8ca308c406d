/* SPDX-License-Identifier: MIT */
#pragma once

/* A stream's receive window: what the peer may send, what we hold, what we owe it.
 *
 *   size == granted + held + owed, at all times
 *
 * It is tuned to the bandwidth-delay product as go does it: an update is due when half is owed, and
 * one that comes less than 4 round trips after the last doubles the size.  Not so for a reader that
 * is behind: with more of a window there is only more that waits, for whatever comes behind it in
 * the same stream, too, which is what a circuit is.  Then the size goes back by what would have
 * been granted, to YAMUX_WINDOW_FIRST at least, and nothing that was granted is taken back. */

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
}

static inline bool yamux_window_is_due(const struct yamux_window *w) {
    return yamux_window_owed(w) >= w->size / 2;
}

/* Grants all that is owed and returns it; 0 when that is what the size went back by.  With a known
 * round trip the window may grow by up to `growth_max` bytes. */
uint32_t yamux_window_update(struct yamux_window *w, nsec_t now, nsec_t rtt, uint32_t growth_max);

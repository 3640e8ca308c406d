/* SPDX-License-Identifier: MIT */
#include "transport/proto/yamux_window.h"

/* Of the size.  A path is full with a window of twice its bandwidth-delay product, since half is
 * owed before anything is granted; with 2.3 times that a GROWTH_PART stands, with 2.7 a QUEUE_PART.
 * Between the two the size stays as it is. */
enum { GROWTH_PART = 16, QUEUE_PART = 8 };

enum { GROWTH_RTTS = 4 };

void yamux_window_init(struct yamux_window *w, nsec_t now) {
    *w = (struct yamux_window){.size = YAMUX_WINDOW_FIRST,
                               .granted = YAMUX_WINDOW_FIRST,
                               .was = YAMUX_WINDOW_FIRST,
                               .updated_at = now};
}

bool yamux_window_take(struct yamux_window *w, uint32_t bytes) {
    if (bytes > w->granted)
        return false;
    w->granted -= bytes;
    w->held += bytes;
    return true;
}

/* What has stood since the last update, less what that took off the size: it was the one before
 * that granted what came meanwhile.  At an update half is held at most, and half is read until the
 * next, so that what stands then has stood for longer than a round trip. */
static uint32_t standing(const struct yamux_window *w) {
    uint32_t shrunk = w->was - MIN(w->was, w->size);
    return w->queue - MIN(w->queue, shrunk);
}

/* The reader came to the end of what there was, and more than the last growth would have come to if
 * that is still to show. */
static bool ran_dry(const struct yamux_window *w) {
    bool is_known = w->size <= w->was || w->held <= w->size / QUEUE_PART;
    return is_known && w->queue <= w->size / GROWTH_PART;
}

uint32_t yamux_window_update(struct yamux_window *w, nsec_t now, nsec_t rtt, uint32_t growth_max) {
    assert(now >= w->updated_at);
    assert(yamux_window_is_due(w));
    /* A round trip of 0 is not known. */
    bool is_soon = now - w->updated_at < GROWTH_RTTS * rtt;
    uint32_t size = w->size;
    uint32_t queue = standing(w);
    if (queue > size / QUEUE_PART)
        w->size -= MIN(queue - size / QUEUE_PART, size - (uint32_t)YAMUX_WINDOW_FIRST);
    else if (is_soon && ran_dry(w))
        w->size += MIN(MIN(size, (uint32_t)YAMUX_WINDOW_MAX - size), growth_max);
    w->was = size;
    uint32_t delta = yamux_window_owed(w);
    w->granted += delta;
    w->queue = w->held;
    w->updated_at = now;
    return delta;
}

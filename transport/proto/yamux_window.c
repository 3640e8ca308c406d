/* SPDX-License-Identifier: MIT */
#include "transport/proto/yamux_window.h"

enum { GROWTH_RTTS = 4 };

/* Half of a window that was read within this is no queue worth the name. */
#define BEHIND_MIN MSEC(10)

void yamux_window_init(struct yamux_window *w, nsec_t now) {
    *w = (struct yamux_window){
        .size = YAMUX_WINDOW_FIRST, .granted = YAMUX_WINDOW_FIRST, .updated_at = now};
}

bool yamux_window_take(struct yamux_window *w, uint32_t bytes) {
    if (bytes > w->granted)
        return false;
    w->granted -= bytes;
    w->held += bytes;
    return true;
}

/* With more than an eighth of it unread it is not the window that holds up the peer. */
static bool reader_is_behind(const struct yamux_window *w, nsec_t took) {
    return w->held > w->size / 8 && took > BEHIND_MIN;
}

uint32_t yamux_window_update(struct yamux_window *w, nsec_t now, nsec_t rtt, uint32_t growth_max) {
    assert(now >= w->updated_at);
    nsec_t took = now - w->updated_at;
    /* A round trip of 0 is not known. */
    if (reader_is_behind(w, took)) {
        if (w->size > YAMUX_WINDOW_FIRST)
            w->size -= MIN(yamux_window_owed(w), w->size - (uint32_t)YAMUX_WINDOW_FIRST);
    } else if (took < GROWTH_RTTS * rtt) {
        uint32_t growth = MIN(w->size, (uint32_t)YAMUX_WINDOW_MAX - w->size);
        w->size += MIN(growth, growth_max);
    }
    uint32_t delta = yamux_window_owed(w);
    w->granted += delta;
    w->updated_at = now;
    return delta;
}

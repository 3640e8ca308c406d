/* SPDX-License-Identifier: MIT */
#include "transport/proto/yamux_window.h"

enum { GROWTH_RTTS = 4 };

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

uint32_t yamux_window_update(struct yamux_window *w, nsec_t now, nsec_t rtt, uint32_t growth_max) {
    assert(now >= w->updated_at);
    /* A round trip of 0 is not known. */
    if (now - w->updated_at < GROWTH_RTTS * rtt) {
        uint32_t growth = MIN(w->size, (uint32_t)YAMUX_WINDOW_MAX - w->size);
        w->size += MIN(growth, growth_max);
    }
    uint32_t delta = yamux_window_owed(w);
    w->granted += delta;
    w->updated_at = now;
    return delta;
}

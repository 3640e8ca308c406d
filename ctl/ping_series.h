/* SPDX-License-Identifier: MIT */
#pragma once

/* Pings to one peer, one after the other at an interval.  Embedded in its owner.
 * Thread: the reactor's. */

#include "ctl/ping_stats.h"
#include "relay/ping.h"

struct ping_series {
    struct ping_request request;
    struct timer next;
    struct reactor *reactor;
    struct host *host;
    struct peer_id peer;
    const char *protocol; /* must outlive the series */
    uint64_t count;       /* 0: until it is cancelled */
    nsec_t interval;
    bool is_relayed;
    struct ping_stats stats;
    nsec_t asked_at;
    bool is_open;
    /* false: enough. */
    bool (*answered)(struct ping_series *s, const struct ping_reply *reply);
    /* Once, unless it is cancelled: 0, or -ENOMEM. */
    void (*ended)(struct ping_series *s, int error);
};

/* Everything above `stats`, and the callbacks, are set before; asks at once.  -ENOMEM */
NODISCARD int ping_series_start(struct ping_series *s);
/* Harmless when it is over, and for a series of all zeros. */
void ping_series_cancel(struct ping_series *s);

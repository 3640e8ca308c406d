/* SPDX-License-Identifier: MIT */
#pragma once

/* What a series of pings came to.  Times are cut to whole microseconds, as peerup-protocols,
 * section 5, has it. */

#include "core/base/base.h"
#include "core/base/time.h"

struct ping_reply {
    uint64_t seq; /* from 1 */
    nsec_t rtt;
    int error;         /* 0: answered in time */
    const char *phase; /* "stream" or "read": what failed */
    bool is_relayed;   /* the connection goes over a relay */
};

struct ping_stats {
    uint64_t sent;
    uint64_t received;
    nsec_t min;
    nsec_t max;
    nsec_t sum;
};

void ping_stats_add(struct ping_stats *s, const struct ping_reply *reply);

/* Milliseconds with three decimals at most. */
double ping_ms(nsec_t rtt);
/* 0 when nothing was received. */
double ping_stats_avg_ms(const struct ping_stats *s);
/* In percent, 0 when nothing was sent. */
double ping_stats_loss(const struct ping_stats *s);

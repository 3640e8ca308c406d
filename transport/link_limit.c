/* SPDX-License-Identifier: MIT */
#include "transport/link_limit.h"

#include "core/base/err.h"

/* How much earlier than by our clock the relay's may say that time is over: the two begin with
 * different messages. */
#define EARLY_MAX SEC(1)

static bool data_is_met(const struct link_limit *l, uint64_t unsent) {
    uint64_t max = l->limit.data_bytes;
    return max > 0 && (l->in_bytes >= max || l->out_bytes - MIN(unsent, l->out_bytes) >= max);
}

static bool time_is_met(const struct link_limit *l, nsec_t now) {
    nsec_t max = SEC((nsec_t)l->limit.duration_s);
    return max > 0 && now - l->began_at >= max - MIN(EARLY_MAX, max / 2);
}

int link_limit_error(const struct link_limit *l, uint64_t unsent, nsec_t now, int error) {
    if (data_is_met(l, unsent))
        return -ERR_RELAY_DATA_LIMIT;
    return time_is_met(l, now) ? -ERR_RELAY_TIME_LIMIT : error;
}

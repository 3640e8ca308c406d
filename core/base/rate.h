/* SPDX-License-Identifier: MIT */
#pragma once

/* A token bucket without a timer: `burst` at once, and one more each `every`.  It is kept as the
 * time up to which it is used, so that a full one lies in the past and zeros are a new one. */

#include "core/base/base.h"
#include "core/base/time.h"

struct rate {
    nsec_t used_until;
};

/* Whether one more may be had now; takes it. */
static inline bool rate_take(struct rate *r, nsec_t every, uint32_t burst, nsec_t now) {
    nsec_t used_until = MAX(r->used_until, now) + every;
    if (used_until > now + burst * every)
        return false;
    r->used_until = used_until;
    return true;
}

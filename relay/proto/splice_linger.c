/* SPDX-License-Identifier: MIT */
#include "relay/proto/splice_linger.h"

static void look_later(struct splice_linger *l, nsec_t now) {
    l->look_at = MIN(now + SPLICE_LINGER_STILL, l->ends_at);
}

void splice_linger_begin(struct splice_linger *l, uint64_t moved, nsec_t ends_at, nsec_t now) {
    *l = (struct splice_linger){.moved = moved, .ends_at = MIN(now + SPLICE_LINGER_MAX, ends_at)};
    look_later(l, now);
}

nsec_t splice_linger_deadline(const struct splice_linger *l) {
    return l->look_at;
}

bool splice_linger_goes_on(struct splice_linger *l, uint64_t moved, nsec_t now) {
    if (now < l->look_at)
        return true;
    if (now >= l->ends_at || moved <= l->moved)
        return false;
    l->moved = moved;
    look_later(l, now);
    return true;
}

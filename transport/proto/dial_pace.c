/* SPDX-License-Identifier: MIT */
#include "transport/proto/dial_pace.h"

/* When an address gets its packets: RFC 9002's probes and Linux's SYNs alike, as long as nothing is
 * known of the path. */
static const nsec_t sent_at[] = {0, SEC(1), SEC(3), SEC(7)};

static bool is_reached(const struct dial_pace *p, const struct multiaddr *a) {
    return p->reached.len > 0 && multiaddr_equal(&p->reached, a);
}

uint32_t dial_pace_choose(struct dial_pace *p, struct multiaddr *addrs, uint32_t count,
                          enum dial_preference prefer) {
    struct dial_ranked ranked[DIAL_ADDRS_MAX];
    struct multiaddr chosen[DIAL_PACE_ADDRS];
    uint32_t others[DIAL_ADDRS_MAX];
    uint32_t others_count = 0;
    uint32_t n = 0;
    assert(count <= DIAL_ADDRS_MAX);
    if (!p->is_slow || count <= DIAL_PACE_ADDRS)
        return count;
    dial_rank(addrs, count, prefer, ranked);
    for (uint32_t i = 0; i < count; i++) {
        const struct multiaddr *a = &addrs[ranked[i].index];
        if (n == 0 && is_reached(p, a))
            chosen[n++] = *a;
        else
            others[others_count++] = ranked[i].index;
    }
    while (n < DIAL_PACE_ADDRS)
        chosen[n++] = addrs[others[p->turn++ % others_count]];
    memcpy(addrs, chosen, sizeof(chosen));
    return DIAL_PACE_ADDRS;
}

void dial_pace_begin(struct dial_pace *p, nsec_t now) {
    assert(now >= p->began_at);
    p->began_at = now;
    p->spent = 0;
    p->spent_max = 0;
}

void dial_pace_spent(struct dial_pace *p, nsec_t lasted) {
    uint32_t packets = 0;
    while (packets < ARRAY_COUNT(sent_at) && sent_at[packets] <= lasted)
        packets++;
    p->spent += packets;
    p->spent_max = MAX(p->spent_max, packets);
}

/* A first round may have had many addresses, which the next one need not make up for: a peer that
 * comes back is to be found as soon as after any other. */
void dial_pace_failed(struct dial_pace *p) {
    p->is_slow = true;
    p->not_before = p->began_at + SEC(MIN(p->spent, DIAL_PACE_ADDRS * p->spent_max));
}

void dial_pace_forget(struct dial_pace *p) {
    p->is_slow = false;
    p->not_before = 0;
}

void dial_pace_reached(struct dial_pace *p, const struct multiaddr *addr) {
    dial_pace_forget(p);
    p->reached = *addr;
}

/* SPDX-License-Identifier: MIT */
#include "relay/proto/udp_punch.h"

#include "core/base/rng.h"

enum { PAUSE_MIN_MS = 10, PAUSE_STEP_MS = 10, PAUSE_RANDOM_MAX_MS = 200 };
enum { SLOW_PAUSE_MIN_MS = 400, SLOW_PAUSE_RANDOM_MS = 200 };

/* Half of the first bytes that are neither STUN's (0 to 3) nor QUIC's (64 and above). */
enum { FIRST_BYTE_SET = 0x04, FIRST_BYTE_MASK = 0x3f };

void udp_punch_init(struct udp_punch *p, struct rng *rng, nsec_t now) {
    *p = (struct udp_punch){.rng = rng, .next_at = now, .until = now + UDP_PUNCH_TIMEOUT};
}

/* The spread keeps two peers' packets from crossing in step, and grows: most holes open at once. */
static nsec_t pause(const struct udp_punch *p) {
    uint64_t nth = p->sent_count; /* i + 1 */
    if (nth >= UDP_PUNCH_QUICK_MAX)
        return MSEC(SLOW_PAUSE_MIN_MS) + MSEC(rng_below(p->rng, SLOW_PAUSE_RANDOM_MS));
    uint64_t spread_ms = MIN(PAUSE_STEP_MS * nth * nth, (uint64_t)PAUSE_RANDOM_MAX_MS);
    return MSEC(PAUSE_MIN_MS) + MSEC(rng_below(p->rng, spread_ms));
}

bool udp_punch_next(struct udp_punch *p, uint8_t ret_out[UDP_PUNCH_BYTES], nsec_t now) {
    if (now >= p->until)
        p->next_at = NSEC_NEVER;
    if (now < p->next_at || udp_punch_is_over(p))
        return false;
    rng_fill(p->rng, ret_out, UDP_PUNCH_BYTES);
    ret_out[0] = (uint8_t)((ret_out[0] & FIRST_BYTE_MASK) | FIRST_BYTE_SET);
    p->sent_count++;
    p->next_at = now + pause(p);
    return true;
}

nsec_t udp_punch_deadline(const struct udp_punch *p) {
    return udp_punch_is_over(p) ? NSEC_NEVER : MIN(p->next_at, p->until);
}

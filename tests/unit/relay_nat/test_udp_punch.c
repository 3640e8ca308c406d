/* SPDX-License-Identifier: MIT */
/* Goal: packets that open a NAT, at first on go-libp2p's schedule, then rarely.
 * Spec: libp2p DCUtR, "QUIC details". */
#include <criterion/criterion.h>

#include "core/base/rng.h"
#include "relay/proto/udp_punch.h"
#include "tests/support/fixed_rng.h"

Test(udp_punch, the_first_packet_goes_at_once_and_each_later_one_within_its_spread) {
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct fixed_rng g;
        struct udp_punch p;
        uint8_t out[UDP_PUNCH_BYTES];
        nsec_t now = SEC(3);
        fixed_rng_init(&g, seed);
        udp_punch_init(&p, &g.rng, now);
        cr_assert_eq(udp_punch_deadline(&p), now);
        for (uint64_t i = 0; !udp_punch_is_over(&p); i++) {
            bool is_end = udp_punch_deadline(&p) == SEC(8);
            cr_assert_eq(udp_punch_next(&p, out, now), !is_end, "packet %zu", (size_t)i);
            if (is_end)
                break;
            bool is_quick = i + 1 < UDP_PUNCH_QUICK_MAX;
            nsec_t pause_min = is_quick ? MSEC(10) : MSEC(400);
            nsec_t spread = MSEC(200);
            if (is_quick)
                spread = MIN(MSEC(10) * (i + 1) * (i + 1), spread);
            nsec_t next = udp_punch_deadline(&p);
            cr_assert(!udp_punch_next(&p, out, next - 1), "early");
            cr_assert(next == SEC(8) || next >= now + pause_min);
            cr_assert_lt(next, now + pause_min + spread);
            now = next;
        }
        cr_assert_eq(udp_punch_deadline(&p), NSEC_NEVER);
        cr_assert(!udp_punch_next(&p, out, SEC(9)));
        /* The quick ones take 110 ms to 2,060 ms, the others are 400 to 600 ms apart. */
        cr_assert_geq(p.sent_count, UDP_PUNCH_QUICK_MAX + 2940 / 600);
        cr_assert_leq(p.sent_count, UDP_PUNCH_QUICK_MAX + 4890 / 400 + 1);
    }
}

Test(udp_punch, a_late_call_sends_one_packet_and_no_burst) {
    struct fixed_rng g;
    struct udp_punch p;
    uint8_t out[UDP_PUNCH_BYTES];
    fixed_rng_init(&g, 7);
    udp_punch_init(&p, &g.rng, 0);
    cr_assert(udp_punch_next(&p, out, SEC(2)));
    cr_assert(!udp_punch_next(&p, out, SEC(2)));
    cr_assert(!udp_punch_next(&p, out, SEC(5)), "the time is over");
    cr_assert(udp_punch_is_over(&p));
}

Test(udp_punch, no_packet_looks_like_quic_or_stun_and_no_two_are_alike) {
    struct fixed_rng g;
    struct udp_punch p;
    uint8_t last[UDP_PUNCH_BYTES] = {0};
    uint8_t out[UDP_PUNCH_BYTES];
    fixed_rng_init(&g, 9);
    udp_punch_init(&p, &g.rng, 0);
    for (nsec_t now = 0; !udp_punch_is_over(&p); now = udp_punch_deadline(&p)) {
        if (!udp_punch_next(&p, out, now))
            break;
        cr_assert_geq(out[0], 4);
        cr_assert_lt(out[0], 64);
        cr_assert(memcmp(out, last, sizeof(out)) != 0);
        memcpy(last, out, sizeof(out));
    }
}

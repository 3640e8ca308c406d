/* SPDX-License-Identifier: MIT */
#include "crowd.h"

/* Goal: strangers who do not go on with their handshakes hold little, not for long, and keep nobody
 * else out.  Spec: transport/tcp_transport.h, transport/upgrade.h. */

enum { THOUSAND = 1000, MANY = TCP_HALF_OPEN_MAX + 76 };

static void expect_let_in(struct crowd *c, unsigned to) {
    struct honest h;
    honest_dial(&h, c, to);
    cr_assert_eq(h.error, 0, "%s", err_text(h.error));
    cr_assert(peer_id_equal(&h.conn->peer, &c->identity[0].id));
    /* Of virtual time: nobody was waited for. */
    cr_assert_lt(h.done_at - h.began_at, MSEC(100));
}

static size_t slabs_in_use(const struct crowd *c) {
    struct buf_pool_stats stats;
    buf_pool_stats(reactor_pool(c->reactor), &stats);
    return stats.bytes_in_use;
}

Test(half_open, a_handshake_left_half_way_is_closed_at_its_deadline_and_not_before) {
    static struct crowd c;
    crowd_init(&c, 10 * LORIS_KINDS);
    nsec_t began_at = reactor_now(c.reactor);
    crowd_add(&c, 10 * LORIS_KINDS, CROWD_LOCALHOST, LORIS_KINDS);
    nsec_t there_at = reactor_now(c.reactor);
    crowd_run_for(&c, began_at + UPGRADE_TIMEOUT - there_at - MSEC(1));
    cr_assert_eq(crowd_ended(&c, 0, c.lorises_count), 0);
    /* All that TLS and Noise had to say was said. */
    for (size_t i = 0; i < c.lorises_count; i++) {
        const struct loris *l = &c.lorises[i];
        cr_assert(l->kind != LORIS_TLS || l->got > 500, "%zu bytes", l->got);
        cr_assert(l->kind != LORIS_NOISE || l->got > 100, "%zu bytes", l->got);
    }
    crowd_run_for(&c, there_at - began_at + SEC(1));
    cr_assert_eq(crowd_ended(&c, 0, c.lorises_count), c.lorises_count);
    cr_assert_eq(slabs_in_use(&c), 0);
    crowd_done(&c);
}

Test(half_open, a_thousand_strangers_keep_nobody_out) {
    static struct crowd c;
    crowd_init(&c, THOUSAND);
    crowd_add(&c, THOUSAND, CROWD_LOCALHOST, LORIS_KINDS);
    for (int i = 0; i < 10; i++)
        expect_let_in(&c, i % 2);
    cr_assert_eq(crowd_ended(&c, 0, THOUSAND), 0);
    crowd_done(&c);
}

Test(half_open, what_a_thousand_strangers_hold_is_bounded_and_given_back) {
    static struct crowd c;
    crowd_init(&c, THOUSAND);
    crowd_run_for(&c, SEC(1));
    size_t before = c.mem.used;
    crowd_add(&c, THOUSAND, CROWD_LOCALHOST, LORIS_KINDS);
    /* wolfSSL's own memory is beside this: about 15 KiB of each that is in TLS. */
    cr_assert_lt(c.mem.used - before, THOUSAND * KIB(6), "%zu each",
                 (c.mem.used - before) / THOUSAND);
    cr_assert_lt(slabs_in_use(&c), THOUSAND * KIB(2), "%zu each", slabs_in_use(&c) / THOUSAND);
    crowd_run_for(&c, UPGRADE_TIMEOUT + SEC(2));
    cr_assert_eq(crowd_ended(&c, 0, THOUSAND), THOUSAND);
    cr_assert_eq(slabs_in_use(&c), 0);
    cr_assert_lt(c.mem.used, before + KIB(256)); /* tables that grew */
    crowd_done(&c);
}

Test(half_open, beyond_the_limit_the_oldest_goes) {
    static struct crowd c;
    crowd_init(&c, MANY);
    crowd_add(&c, MANY, CROWD_LOCALHOST, LORIS_KINDS);
    cr_assert_eq(crowd_ended(&c, 0, MANY), MANY - TCP_HALF_OPEN_MAX);
    cr_assert_eq(crowd_ended(&c, 0, MANY - TCP_HALF_OPEN_MAX), MANY - TCP_HALF_OPEN_MAX);
    expect_let_in(&c, CROWD_LOCALHOST);
    crowd_run_for(&c, MSEC(10));
    cr_assert_eq(crowd_ended(&c, 0, MANY), MANY - TCP_HALF_OPEN_MAX + 1);
    cr_assert(c.lorises[MANY - TCP_HALF_OPEN_MAX].ended);
    crowd_done(&c);
}

Test(half_open, one_address_has_its_share_and_another_has_its_own) {
    static struct crowd c;
    enum { EACH = TCP_HALF_OPEN_PER_IP_MAX, EXTRA = 20 };
    crowd_init(&c, 3 * (EACH + EXTRA));
    for (unsigned from = 2; from <= 4; from++) {
        size_t first = c.lorises_count;
        crowd_add(&c, EACH + EXTRA, from, LORIS_SILENT);
        cr_assert_eq(crowd_ended(&c, first, EACH), 0, "address %u", from);
        cr_assert_eq(crowd_ended(&c, first + EACH, EXTRA), EXTRA, "address %u", from);
    }
    expect_let_in(&c, 1);
    crowd_done(&c);
}

Test(half_open, when_its_strangers_are_gone_an_address_has_its_share_again) {
    static struct crowd c;
    enum { EACH = TCP_HALF_OPEN_PER_IP_MAX };
    crowd_init(&c, 2 * EACH + 1);
    crowd_add(&c, EACH + 1, 2, LORIS_TLS);
    cr_assert_eq(crowd_ended(&c, 0, EACH + 1), 1);
    crowd_run_for(&c, UPGRADE_TIMEOUT + SEC(2));
    cr_assert_eq(crowd_ended(&c, 0, EACH + 1), EACH + 1);
    crowd_add(&c, EACH, 2, LORIS_NOISE);
    cr_assert_eq(crowd_ended(&c, EACH + 1, EACH), 0);
    crowd_done(&c);
}

/* SPDX-License-Identifier: MIT */
#include "crowd.h"
#include "transport/tcp_leg.h"
#include "uring/splice.h"

/* Goal: a connection that begins with a preface is known by it, to the byte, whatever else comes to
 * the port is not kept from it, and strangers gain nothing by one.  Spec: transport/tcp_leg.h. */

enum { MAGIC = 4, PREFACE = 12, LEGS_MAX = TCP_HALF_OPEN_MAX + 8 };

static const uint8_t magic[MAGIC] = {0x89, 'm', 'a', 'g'};

/* One transport's legs; `takes` of them are taken. */
struct legs {
    struct tcp_preface preface;
    struct crowd c;
    size_t takes;
    size_t arrived;
    uint8_t last[PREFACE];
    struct tcp_leg *legs[LEGS_MAX]; /* taken */
    int lost_error[LEGS_MAX];
    bool is_closed[LEGS_MAX];
    size_t lost;
    size_t closed;
    int splice_ended;
};

static struct legs all; /* one a process */

static size_t index_of(const struct tcp_leg *leg) {
    size_t i = 0;
    while (all.legs[i] != leg)
        i++;
    return i;
}

static void on_lost(struct tcp_leg *leg, int error) {
    cr_assert_eq(tcp_leg_user(leg), &all);
    all.lost_error[index_of(leg)] = error;
    all.lost++;
    tcp_leg_close(leg, false);
    tcp_leg_close(leg, true); /* harmless */
}

static void on_closed(struct tcp_leg *leg) {
    size_t i = index_of(leg);
    cr_assert_not(all.is_closed[i]);
    all.is_closed[i] = true;
    all.closed++;
    all.legs[i] = NULL;
}

static const struct tcp_leg_events leg_events = {.lost = on_lost, .closed = on_closed};

static void on_arrived(struct tcp_preface *p, struct tcp_leg *leg, const uint8_t *bytes) {
    cr_assert_eq(p, &all.preface);
    memcpy(all.last, bytes, PREFACE);
    if (all.arrived < all.takes) {
        all.legs[all.arrived] = leg;
        tcp_leg_take(leg, &leg_events, &all);
    }
    all.arrived++;
}

static void legs_init(size_t lorises, size_t takes) {
    all = (struct legs){.takes = takes};
    all.preface = (struct tcp_preface){
        .magic = magic, .magic_len = MAGIC, .len = PREFACE, .arrived = on_arrived};
    crowd_init(&all.c, lorises);
    tcp_transport_set_preface(all.c.listener, &all.preface);
    /* Strangers of this kind say a preface and something behind it. */
    uint8_t *words = all.c.words[LORIS_CHOOSING];
    memcpy(words, magic, MAGIC);
    for (int i = MAGIC; i < CROWD_HELLO_MAX; i++)
        words[i] = (uint8_t)i;
    all.c.words_len[LORIS_CHOOSING] = CROWD_HELLO_MAX;
}

static void expect_let_in(void) {
    struct honest h;
    honest_dial(&h, &all.c, 1);
    cr_assert_eq(h.error, 0, "%s", err_text(h.error));
}

static void say(struct loris *l, const uint8_t *bytes, size_t len) {
    struct buf *b = buf_new(reactor_pool(all.c.reactor), buf_class_for(len), NULL);
    cr_assert_not_null(b);
    memcpy(b->data, bytes, len);
    struct slice s = slice_of(b, 0, (uint32_t)len);
    tcp_write(&l->conn, &s, 1);
    crowd_run_for(&all.c, MSEC(10));
    cr_assert_not(tcp_is_writing(&l->conn));
}

Test(tcp_leg, a_whole_preface_arrives_and_what_is_behind_it_stays_in_the_socket) {
    struct buf_pool_stats stats;
    legs_init(1, 1);
    crowd_add(&all.c, 1, 2, LORIS_CHOOSING);
    crowd_run_for(&all.c, SEC(20)); /* it has no deadline of its own once it is taken */
    cr_assert_eq(all.arrived, 1);
    cr_assert_arr_eq(all.last, all.c.words[LORIS_CHOOSING], PREFACE);
    cr_assert_eq(crowd_ended(&all.c, 0, 1), 0);
    buf_pool_stats(reactor_pool(all.c.reactor), &stats);
    cr_assert_eq(stats.bytes_in_use, 0);
    tcp_leg_close(all.legs[0], false);
    crowd_run_for(&all.c, SEC(1));
    cr_assert_eq(all.closed, 1);
    cr_assert_eq(all.lost, 0);
    cr_assert_eq(crowd_ended(&all.c, 0, 1), 1);
    crowd_done(&all.c);
}

Test(tcp_leg, a_preface_may_come_byte_by_byte) {
    legs_init(1, 1);
    crowd_add(&all.c, 1, 2, LORIS_SILENT);
    for (size_t i = 0; i < PREFACE; i++) {
        cr_assert_eq(all.arrived, 0);
        say(&all.c.lorises[0], all.c.words[LORIS_CHOOSING] + i, 1);
    }
    cr_assert_eq(all.arrived, 1);
    cr_assert_arr_eq(all.last, all.c.words[LORIS_CHOOSING], PREFACE);
    crowd_done(&all.c);
}

Test(tcp_leg, what_begins_with_the_first_byte_and_is_no_preface_is_closed) {
    for (size_t wrong = 1; wrong < MAGIC; wrong++) {
        legs_init(1, 1);
        all.c.words[LORIS_CHOOSING][wrong] ^= 1;
        crowd_add(&all.c, 1, 2, LORIS_CHOOSING);
        cr_assert_eq(crowd_ended(&all.c, 0, 1), 1, "byte %zu", wrong);
        cr_assert_eq(all.arrived, 0);
        crowd_done(&all.c);
    }
}

Test(tcp_leg, what_nobody_takes_is_closed) {
    legs_init(1, 0);
    crowd_add(&all.c, 1, 2, LORIS_CHOOSING);
    cr_assert_eq(all.arrived, 1);
    cr_assert_eq(crowd_ended(&all.c, 0, 1), 1);
    crowd_done(&all.c);
}

Test(tcp_leg, what_is_not_whole_in_ten_seconds_is_closed_then_and_not_before) {
    static const size_t lens[] = {0, 1, MAGIC, PREFACE - 1};
    legs_init(ARRAY_COUNT(lens), 1);
    nsec_t began_at = reactor_now(all.c.reactor);
    for (size_t i = 0; i < ARRAY_COUNT(lens); i++) {
        crowd_add(&all.c, 1, 2, LORIS_SILENT);
        if (lens[i] > 0)
            say(&all.c.lorises[i], all.c.words[LORIS_CHOOSING], lens[i]);
    }
    crowd_run_for(&all.c, began_at + UPGRADE_TIMEOUT - reactor_now(all.c.reactor) - MSEC(1));
    cr_assert_eq(crowd_ended(&all.c, 0, ARRAY_COUNT(lens)), 0);
    crowd_run_for(&all.c, SEC(1));
    cr_assert_eq(crowd_ended(&all.c, 0, ARRAY_COUNT(lens)), ARRAY_COUNT(lens));
    cr_assert_eq(all.arrived, 0);
    crowd_done(&all.c);
}

Test(tcp_leg, an_end_in_the_middle_of_a_preface_is_an_end) {
    legs_init(1, 1);
    crowd_add(&all.c, 1, 2, LORIS_SILENT);
    say(&all.c.lorises[0], all.c.words[LORIS_CHOOSING], PREFACE - 1);
    tcp_shutdown_write(&all.c.lorises[0].conn);
    crowd_run_for(&all.c, MSEC(100));
    cr_assert_eq(crowd_ended(&all.c, 0, 1), 1);
    cr_assert_eq(all.arrived, 0);
    crowd_done(&all.c);
}

Test(tcp_leg, all_others_are_let_in_or_not_as_ever) {
    legs_init(600, 0);
    memcpy(all.c.words[LORIS_CHOOSING], "\x13/multistream/1.0.0\n", 20);
    all.c.words_len[LORIS_CHOOSING] = 20;
    crowd_add(&all.c, 600, CROWD_LOCALHOST, LORIS_KINDS);
    for (int i = 0; i < 4; i++)
        expect_let_in();
    cr_assert_eq(crowd_ended(&all.c, 0, 600), 0);
    crowd_run_for(&all.c, UPGRADE_TIMEOUT + SEC(2));
    cr_assert_eq(crowd_ended(&all.c, 0, 600), 600);
    cr_assert_eq(all.arrived, 0);
    crowd_done(&all.c);
}

Test(tcp_leg, counts_as_half_open_by_its_address_until_it_is_joined) {
    enum { EACH = TCP_HALF_OPEN_PER_IP_MAX };
    legs_init(EACH + 3, EACH + 3);
    crowd_add(&all.c, EACH, 2, LORIS_CHOOSING);
    cr_assert_eq(all.arrived, EACH);
    crowd_add(&all.c, 1, 2, LORIS_CHOOSING);
    cr_assert_eq(crowd_ended(&all.c, EACH, 1), 1);
    cr_assert_eq(all.arrived, EACH);
    tcp_leg_joined(all.legs[0]);
    crowd_add(&all.c, 1, 2, LORIS_CHOOSING);
    cr_assert_eq(all.arrived, EACH + 1);
    tcp_leg_close(all.legs[1], false);
    crowd_add(&all.c, 1, 2, LORIS_CHOOSING);
    cr_assert_eq(all.arrived, EACH + 2);
    crowd_done(&all.c);
}

Test(tcp_leg, the_oldest_is_lost_when_others_need_the_place) {
    legs_init(TCP_HALF_OPEN_MAX + 3, 2);
    crowd_add(&all.c, 2, 2, LORIS_CHOOSING);
    tcp_leg_joined(all.legs[0]);
    crowd_add(&all.c, TCP_HALF_OPEN_MAX, CROWD_LOCALHOST, LORIS_SILENT);
    cr_assert_eq(all.lost, 1);
    cr_assert_eq(all.lost_error[1], -ERR_RESOURCE_LIMIT);
    cr_assert(all.is_closed[1]);
    cr_assert_eq(crowd_ended(&all.c, 2, TCP_HALF_OPEN_MAX), 0);
    crowd_add(&all.c, 1, CROWD_LOCALHOST, LORIS_SILENT); /* one that reads its preface goes, too */
    cr_assert_eq(crowd_ended(&all.c, 2, 1), 1);
    cr_assert_eq(all.lost, 1);
    crowd_done(&all.c);
}

Test(tcp_leg, one_that_breaks_is_lost) {
    legs_init(2, 2);
    all.c.words_len[LORIS_CHOOSING] = PREFACE;
    crowd_add(&all.c, 2, 2, LORIS_CHOOSING);
    tcp_shutdown_write(&all.c.lorises[1].conn);
    crowd_run_for(&all.c, SEC(1));
    cr_assert_eq(all.lost, 0, "an end is for the other leg");
    all.c.lorises[0].ended = true;
    tcp_reset(&all.c.lorises[0].conn);
    crowd_run_for(&all.c, SEC(1));
    cr_assert_eq(all.lost, 1);
    cr_assert_eq(all.lost_error[0], -ECONNRESET);
    cr_assert_eq(all.closed, 1);
    crowd_done(&all.c);
}

Test(tcp_leg, is_lost_when_its_transport_closes) {
    legs_init(2, 1);
    crowd_add(&all.c, 1, 2, LORIS_CHOOSING);
    crowd_add(&all.c, 1, 2, LORIS_SILENT);
    crowd_done(&all.c);
    cr_assert_eq(all.lost, 1);
    cr_assert_eq(all.lost_error[0], -ERR_SHUTDOWN);
    cr_assert_eq(all.closed, 1);
}

static void on_splice_ended(struct tcp_splice *s, int error) {
    (void)s;
    (void)error;
    all.splice_ended++;
}

Test(tcp_leg, two_of_them_are_joined_with_all_that_came_early) {
    uint64_t totals[2] = {0};
    struct tcp_splice splice;
    legs_init(2, 2);
    crowd_add(&all.c, 2, 2, LORIS_CHOOSING);
    struct tcp_splice_config cfg = {.a = tcp_leg_conn(all.legs[0]),
                                    .b = tcp_leg_conn(all.legs[1]),
                                    .totals = {&totals[0], &totals[1]},
                                    .ended = on_splice_ended};
    cr_assert_eq(tcp_splice_start(&splice, all.c.reactor, &cfg), 0);
    tcp_leg_joined(all.legs[0]);
    tcp_leg_joined(all.legs[1]);
    crowd_run_for(&all.c, SEC(1));
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(totals[i], CROWD_HELLO_MAX - PREFACE);
        cr_assert_eq(all.c.lorises[i].got, CROWD_HELLO_MAX - PREFACE);
    }
    tcp_shutdown_write(&all.c.lorises[0].conn);
    crowd_run_for(&all.c, SEC(1));
    cr_assert_eq(crowd_ended(&all.c, 1, 1), 1); /* which then ends, too */
    cr_assert_eq(all.splice_ended, 1);
    tcp_leg_close(all.legs[0], false);
    tcp_leg_close(all.legs[1], false);
    crowd_run_for(&all.c, SEC(1));
    cr_assert_eq(all.closed, 2);
    tcp_splice_done(&splice);
    crowd_done(&all.c);
}

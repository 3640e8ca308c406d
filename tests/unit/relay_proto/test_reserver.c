/* SPDX-License-Identifier: MIT */
/* Goal: a reservation is asked for, kept and asked for again as the header's tables say, to the
 * nanosecond, whatever the relay answers.
 * Spec: libp2p relay-v2, "Reservation"; decision 6. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/wr.h"
#include "core/p2p/identity.h"
#include "core/p2p/pb.h"
#include "relay/proto/circuit_msg.h"
#include "relay/proto/reserver.h"
#include "relay/proto/voucher.h"
#include "tests/support/fixed_rng.h"

#define WALL  ((walltime_t)1800000000)
#define START SEC(100)

/* The engine, and a copy of its random source: what it will draw next. */
struct bed {
    struct reserver r;
    struct fixed_rng rng;
    struct identity relay;
    struct identity self;
};

static struct identity identity_of(uint8_t seed_byte) {
    const uint8_t seed[ED25519_SEED_BYTES] = {seed_byte};
    struct identity i;
    cr_assert_eq(identity_from_seed(seed, &i), 0);
    return i;
}

static void bed_init(struct bed *b, nsec_t renew_interval) {
    fixed_rng_init(&b->rng, 1);
    b->relay = identity_of(1);
    b->self = identity_of(2);
    struct reserver_config cfg = {
        .relay = b->relay.id,
        .self = b->self.id,
        .rng = &b->rng.rng,
        .renew_interval = renew_interval,
    };
    reserver_init(&b->r, &cfg, START);
}

/* --- events ---------------------------------------------------------------------------------- */

static bool expect_event(struct bed *b, enum reserver_event expected) {
    enum reserver_event event;
    bool changed;
    cr_assert(reserver_next_event(&b->r, &event, &changed), "event %d is missing", expected);
    cr_assert_eq(event, expected, "%d instead of %d", event, expected);
    return changed;
}

static void expect_silence(struct bed *b) {
    enum reserver_event event;
    bool changed;
    cr_assert_not(reserver_next_event(&b->r, &event, &changed), "unexpected event %d", event);
}

static void expect_only(struct bed *b, enum reserver_event expected) {
    (void)expect_event(b, expected);
    expect_silence(b);
}

/* Nothing happens before `at`, which is the deadline; then it ticks. */
static void tick_at(struct bed *b, nsec_t at) {
    cr_assert_eq(reserver_deadline(&b->r), at, "%+lld ns off",
                 (long long)(reserver_deadline(&b->r) - at));
    if (at - 1 >= b->r.now)
        reserver_tick(&b->r, at - 1);
    expect_silence(b);
    reserver_tick(&b->r, at);
}

/* The next attempt begins at `at`. */
static void expect_ask_at(struct bed *b, nsec_t at) {
    tick_at(b, at);
    expect_only(b, RESERVER_EV_ASK);
}

/* A rest as the engine is about to draw it, `ahead` draws later. */
static nsec_t drawn(const struct bed *b, nsec_t rest, int ahead) {
    struct fixed_rng copy = b->rng;
    while (ahead-- > 0) {
        uint64_t v;
        rng_fill(&copy.rng, &v, sizeof(v));
    }
    nsec_t drawn = rest - rng_below(&copy.rng, rest / 4 + 1);
    cr_assert_geq(drawn, rest - rest / 4);
    cr_assert_leq(drawn, rest);
    return drawn;
}

/* --- answers --------------------------------------------------------------------------------- */

static struct hop_msg status(uint32_t code) {
    return (struct hop_msg){.type = HOP_STATUS, .has_status = true, .status = code};
}

/* A reservation without addresses for so many seconds. */
static struct hop_msg lasting(walltime_t seconds) {
    struct hop_msg m = status(CIRCUIT_STATUS_OK);
    m.has_reservation = true;
    m.reservation.expire = WALL + seconds;
    return m;
}

static int answer(struct bed *b, const struct hop_msg *m, nsec_t now) {
    reserver_reached(&b->r, now);
    return reserver_answer(&b->r, m, WALL, now);
}

static void start(struct bed *b) {
    reserver_start(&b->r, START);
    expect_only(b, RESERVER_EV_ASK);
}

/* Starts, and holds a reservation of so many seconds from `at` on. */
static void hold(struct bed *b, walltime_t seconds, nsec_t at) {
    struct hop_msg m = lasting(seconds);
    start(b);
    cr_assert_eq(answer(b, &m, at), 0);
    cr_assert(expect_event(b, RESERVER_EV_HELD), "there was none before");
    expect_silence(b);
    cr_assert(reserver_is_held(&b->r));
}

/* --- asking ---------------------------------------------------------------------------------- */

Test(reserver, it_is_idle_until_started_and_then_asks_at_once) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    cr_assert_eq(reserver_deadline(&b.r), NSEC_NEVER);
    reserver_tick(&b.r, START);
    reserver_network_changed(&b.r, START);
    reserver_conn_closed(&b.r, START);
    reserver_stop(&b.r, START);
    expect_silence(&b);
    start(&b);
    cr_assert_not(reserver_is_held(&b.r));
    cr_assert_eq(reserver_deadline(&b.r), START + RESERVER_REACH_TIMEOUT);
}

Test(reserver, it_starts_at_the_origin_of_the_clock) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    struct reserver_config cfg = b.r.cfg;
    reserver_init(&b.r, &cfg, 0);
    reserver_start(&b.r, 0);
    expect_only(&b, RESERVER_EV_ASK);
}

/* Decision 6: a relay that comes back hears of us within 4 s. */
Test(reserver, unreached_it_begins_attempts_1_2_and_then_4_seconds_apart) {
    static const unsigned seconds[] = {1, 2, 4, 4, 4, 4};
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    start(&b);
    nsec_t began = START;
    for (size_t i = 0; i < ARRAY_COUNT(seconds); i++) {
        nsec_t failed = began + MSEC(1); /* refused at once */
        nsec_t next = MAX(began + drawn(&b, SEC(seconds[i]), 0), failed + drawn(&b, SEC(1), 1));
        next = MAX(next, began + RESERVER_SPACING);
        reserver_failed(&b.r, RESERVER_UNREACHED, failed);
        expect_ask_at(&b, next);
        cr_assert_leq(next - began, SEC(4));
        cr_assert_geq(next - began, RESERVER_SPACING);
        began = next;
    }
}

Test(reserver, an_attempt_without_connection_is_given_up_after_10_seconds) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    start(&b);
    nsec_t began = START;
    for (int i = 0; i < 5; i++) {
        nsec_t end = began + RESERVER_REACH_TIMEOUT;
        nsec_t next = end + drawn(&b, SEC(1), 1);
        tick_at(&b, end);
        expect_only(&b, RESERVER_EV_GIVE_UP);
        expect_ask_at(&b, next);
        began = next;
    }
}

Test(reserver, an_attempt_without_answer_is_given_up_after_5_seconds) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    start(&b);
    reserver_reached(&b.r, START + SEC(9));
    expect_silence(&b);
    nsec_t end = START + SEC(9) + RESERVER_ANSWER_TIMEOUT;
    nsec_t next = end + drawn(&b, SEC(1), 0);
    tick_at(&b, end);
    expect_only(&b, RESERVER_EV_GIVE_UP);
    expect_ask_at(&b, next);
}

/* What each refusal is worth. */
Test(reserver, rests_grow_by_the_kind_of_failure) {
    static const struct {
        uint32_t status; /* 0: reserver_failed() */
        enum reserver_failure failure;
        int error;
        unsigned first;
        unsigned longest;
    } rows[] = {
        {0, RESERVER_BROKEN, 0, 1, 30},           {0, RESERVER_DENIED, 0, 5, 60},
        {200, 0, -ERR_RESOURCE_LIMIT, 15, 300},   {201, 0, -ERR_RESOURCE_LIMIT, 5, 60},
        {202, 0, -ERR_NOT_AUTHORIZED, 5, 60},     {203, 0, -ERR_PROTOCOL_VIOLATION, 1, 30},
        {204, 0, -ERR_PROTOCOL_VIOLATION, 1, 30}, {400, 0, -ERR_PROTOCOL_VIOLATION, 1, 30},
        {401, 0, -ERR_PROTOCOL_VIOLATION, 1, 30}, {7, 0, -ERR_PROTOCOL_VIOLATION, 1, 30},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct bed b;
        bed_init(&b, NSEC_NEVER);
        start(&b);
        nsec_t now = START;
        unsigned rest = rows[i].first;
        for (int k = 0; k < 8; k++, rest = MIN(2 * rest, rows[i].longest)) {
            struct hop_msg m = status(rows[i].status);
            nsec_t failed = now + SEC(2);
            nsec_t next = failed + drawn(&b, SEC(rest), 0);
            if (rows[i].status == 0)
                reserver_failed(&b.r, rows[i].failure, failed);
            else
                cr_assert_eq(answer(&b, &m, failed), rows[i].error, "status %u", m.status);
            expect_ask_at(&b, next);
            now = next;
        }
        cr_assert_eq(rest, rows[i].longest, "the longest rest was reached");
    }
}

Test(reserver, another_kind_of_failure_begins_anew) {
    struct bed b;
    struct hop_msg full = status(200);
    bed_init(&b, NSEC_NEVER);
    start(&b);
    nsec_t next = START;
    for (int i = 0; i < 4; i++) {
        nsec_t failed = next + SEC(1);
        next = failed + drawn(&b, SEC(15u << i), 0);
        cr_assert_eq(answer(&b, &full, failed), -ERR_RESOURCE_LIMIT);
        expect_ask_at(&b, next);
    }
    nsec_t failed = next + SEC(1);
    next = failed + drawn(&b, SEC(1), 0);
    reserver_failed(&b.r, RESERVER_BROKEN, failed);
    expect_ask_at(&b, next);
    failed = next + SEC(1);
    next = failed + drawn(&b, SEC(15), 0);
    cr_assert_eq(answer(&b, &full, failed), -ERR_RESOURCE_LIMIT);
    expect_ask_at(&b, next);
}

/* --- answers --------------------------------------------------------------------------------- */

Test(reserver, nonsense_is_no_reservation) {
    struct hop_msg reserve = lasting(3600);
    struct hop_msg without_status = lasting(3600);
    struct hop_msg without_reservation = status(CIRCUIT_STATUS_OK);
    struct hop_msg never = status(CIRCUIT_STATUS_OK);
    reserve.type = HOP_RESERVE;
    without_status.has_status = false;
    without_status.status = 0;
    never.has_reservation = true; /* expiry 0 */
    const struct {
        const struct hop_msg *answer;
        int error;
    } rows[] = {
        {&reserve, -ERR_PROTOCOL_VIOLATION},
        {&without_status, -ERR_PROTOCOL_VIOLATION},
        {&without_reservation, -ERR_PROTOCOL_VIOLATION},
        {&never, -ETIME},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct bed b;
        bed_init(&b, NSEC_NEVER);
        start(&b);
        nsec_t next = START + SEC(2) + drawn(&b, SEC(1), 0);
        int e = answer(&b, rows[i].answer, START + SEC(2));
        cr_assert_eq(e, rows[i].error, "row %zu: %s", i, err_name(e));
        cr_assert_not(reserver_is_held(&b.r));
        expect_ask_at(&b, next);
    }
}

Test(reserver, a_voucher_is_optional_but_must_be_good) {
    struct bed b;
    struct identity other = identity_of(3);
    uint8_t memory[VOUCHER_BYTES_MAX];
    for (int kind = 0; kind < 4; kind++) {
        bed_init(&b, NSEC_NEVER);
        start(&b);
        struct hop_msg m = lasting(3600);
        ssize_t n = voucher_seal(kind == 1 ? &other : &b.relay, kind == 2 ? &other.id : &b.self.id,
                                 WALL + 3600, memory);
        cr_assert_gt(n, 0);
        m.reservation.voucher = bytes_of(memory, (size_t)n - (kind == 3));
        int e = answer(&b, &m, START);
        static const int errors[] = {0, -ERR_PEER_ID_MISMATCH, -ERR_PEER_ID_MISMATCH,
                                     -ERR_TRUNCATED};
        cr_assert_eq(e, errors[kind], "%s", err_name(e));
        cr_assert_eq(reserver_is_held(&b.r), kind == 0);
    }
}

/* --- renewal --------------------------------------------------------------------------------- */

Test(reserver, it_renews_early_enough_for_every_lifetime) {
    static const struct {
        walltime_t seconds;
        nsec_t lifetime;
        nsec_t renewal;
    } rows[] = {
        {3600, SEC(3600), SEC(2700)},                /* go's and ours: three quarters */
        {7200, SEC(3600), SEC(2700)},                /* js's: cut */
        {(walltime_t)1 << 40, SEC(3600), SEC(2700)}, /* our clock is in 1970 */
        {481, SEC(481), MSEC(360750)},
        {480, SEC(480), SEC(360)}, /* both rules */
        {479, SEC(479), SEC(359)}, /* two minutes before */
        {241, SEC(241), SEC(121)},
        {240, SEC(240), SEC(120)}, /* half */
        {120, SEC(120), SEC(60)},
        {60, SEC(60), SEC(30)},
        {5, SEC(5), MSEC(2500)},
        {4, SEC(4), SEC(2)},
        {3, SEC(4), SEC(2)}, /* stretched */
        {1, SEC(4), SEC(2)},
        {0, SEC(120), SEC(60)}, /* over already: one of the clocks is wrong */
        {-1, SEC(120), SEC(60)},
        {-86400, SEC(120), SEC(60)},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct bed b;
        nsec_t at = START + SEC(1);
        bed_init(&b, NSEC_NEVER);
        hold(&b, rows[i].seconds, at);
        cr_assert_eq(b.r.held_until, at + rows[i].lifetime, "%zu", i);
        expect_ask_at(&b, at + rows[i].renewal);
        cr_assert(reserver_is_held(&b.r));
    }
}

Test(reserver, the_expiry_at_the_end_of_time_is_far_away) {
    struct bed b;
    struct hop_msg m = lasting(0);
    bed_init(&b, NSEC_NEVER);
    start(&b);
    m.reservation.expire = INT64_MAX;
    reserver_reached(&b.r, START);
    cr_assert_eq(reserver_answer(&b.r, &m, INT64_MIN, START), 0);
    cr_assert_eq(b.r.held_until, START + SEC(3600));
}

Test(reserver, it_renews_after_the_configured_interval_at_the_latest) {
    struct bed b;
    bed_init(&b, SEC(120));
    hold(&b, 3600, START);
    expect_ask_at(&b, START + SEC(120));

    bed_init(&b, SEC(120));
    hold(&b, 60, START);
    expect_ask_at(&b, START + SEC(30));

    bed_init(&b, 1); /* a nonsensical one */
    struct hop_msg m = lasting(3600);
    start(&b);
    cr_assert_eq(answer(&b, &m, START + MSEC(1)), 0);
    expect_only(&b, RESERVER_EV_HELD);
    expect_ask_at(&b, START + RESERVER_SPACING);
}

Test(reserver, a_renewal_extends_and_counts_from_its_own_answer) {
    struct bed b;
    struct hop_msg m = lasting(600);
    bed_init(&b, NSEC_NEVER);
    hold(&b, 3600, START);
    expect_ask_at(&b, START + SEC(2700));
    cr_assert_eq(answer(&b, &m, START + SEC(2703)), 0);
    cr_assert_not(expect_event(&b, RESERVER_EV_HELD), "the same addresses: none");
    expect_silence(&b);
    expect_ask_at(&b, START + SEC(2703 + 450));
    cr_assert_eq(b.r.held_until, START + SEC(2703 + 600));
}

Test(reserver, while_held_failures_lose_nothing_until_it_expires) {
    struct bed b;
    struct hop_msg denied = status(202);
    bed_init(&b, NSEC_NEVER);
    hold(&b, 60, START);
    expect_ask_at(&b, START + SEC(30));
    nsec_t next = START + SEC(31) + drawn(&b, SEC(1), 0);
    reserver_failed(&b.r, RESERVER_BROKEN, START + SEC(31));
    expect_ask_at(&b, next);
    nsec_t failed = START + SEC(45);
    cr_assert_eq(answer(&b, &denied, failed), -ERR_NOT_AUTHORIZED);
    expect_silence(&b);
    cr_assert(reserver_is_held(&b.r));
    reserver_tick(&b.r, START + SEC(55)); /* asks once more, and gets no answer */
    expect_only(&b, RESERVER_EV_ASK);
    tick_at(&b, START + SEC(60));
    expect_only(&b, RESERVER_EV_LOST);
    cr_assert_not(reserver_is_held(&b.r));
    cr_assert_eq(reserver_deadline(&b.r), START + SEC(65), "the attempt goes on");
}

Test(reserver, after_a_success_failures_begin_anew) {
    struct bed b;
    struct hop_msg m = lasting(60);
    bed_init(&b, NSEC_NEVER);
    start(&b);
    nsec_t next = START;
    for (int i = 0; i < 4; i++) {
        nsec_t failed = next + SEC(1);
        next = failed + drawn(&b, SEC(1u << i), 0);
        reserver_failed(&b.r, RESERVER_BROKEN, failed);
        expect_ask_at(&b, next);
    }
    cr_assert_eq(answer(&b, &m, next), 0);
    expect_only(&b, RESERVER_EV_HELD);
    nsec_t failed = next + SEC(30);
    expect_ask_at(&b, failed);
    next = failed + drawn(&b, SEC(1), 0);
    reserver_failed(&b.r, RESERVER_BROKEN, failed);
    expect_ask_at(&b, MAX(next, failed + RESERVER_SPACING));
}

/* --- the connection to the relay ------------------------------------------------------------- */

Test(reserver, a_closed_connection_loses_the_reservation_and_asks_at_once) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    hold(&b, 3600, START);
    reserver_conn_closed(&b.r, START + RESERVER_SETTLED_AFTER);
    (void)expect_event(&b, RESERVER_EV_LOST);
    expect_only(&b, RESERVER_EV_ASK);
    cr_assert_not(reserver_is_held(&b.r));
    reserver_conn_closed(&b.r, START + RESERVER_SETTLED_AFTER + 1);
    expect_silence(&b);
}

Test(reserver, a_connection_that_closes_soon_after_a_renewal_has_lasted) {
    struct bed b;
    struct hop_msg m = lasting(3600);
    bed_init(&b, SEC(60));
    hold(&b, 3600, START);
    expect_ask_at(&b, START + SEC(60));
    cr_assert_eq(answer(&b, &m, START + SEC(60)), 0);
    expect_only(&b, RESERVER_EV_HELD);
    reserver_conn_closed(&b.r, START + SEC(62));
    (void)expect_event(&b, RESERVER_EV_LOST);
    expect_only(&b, RESERVER_EV_ASK);
}

/* A relay that takes every reservation and closes the connection must not make us run in circles.
 */
Test(reserver, reservations_that_are_lost_soon_are_asked_for_more_and_more_slowly) {
    static const unsigned seconds[] = {1, 2, 4, 8, 16, 30, 30};
    struct bed b;
    struct hop_msg m = lasting(3600);
    bed_init(&b, NSEC_NEVER);
    start(&b);
    nsec_t now = START;
    for (size_t i = 0; i < ARRAY_COUNT(seconds); i++) {
        cr_assert_eq(answer(&b, &m, now), 0);
        expect_only(&b, RESERVER_EV_HELD);
        now += RESERVER_SETTLED_AFTER - 1;
        nsec_t next = now + drawn(&b, SEC(seconds[i]), 0);
        reserver_conn_closed(&b.r, now);
        expect_only(&b, RESERVER_EV_LOST);
        expect_ask_at(&b, next);
        now = next;
    }
    cr_assert_eq(answer(&b, &m, now), 0);
    expect_only(&b, RESERVER_EV_HELD);
    now += RESERVER_SETTLED_AFTER;
    reserver_conn_closed(&b.r, now);
    (void)expect_event(&b, RESERVER_EV_LOST);
    expect_only(&b, RESERVER_EV_ASK);
    cr_assert_eq(answer(&b, &m, now), 0);
    expect_only(&b, RESERVER_EV_HELD);
    nsec_t next = now + SEC(1) + drawn(&b, SEC(1), 0);
    reserver_conn_closed(&b.r, now + SEC(1));
    expect_only(&b, RESERVER_EV_LOST);
    expect_ask_at(&b, next); /* from the beginning again */
}

Test(reserver, a_renewal_in_flight_is_not_affected_by_a_closed_connection) {
    struct bed b;
    struct hop_msg m = lasting(3600);
    bed_init(&b, NSEC_NEVER);
    hold(&b, 3600, START);
    expect_ask_at(&b, START + SEC(2700));
    reserver_reached(&b.r, START + SEC(2701));
    reserver_conn_closed(&b.r, START + SEC(2701));
    expect_only(&b, RESERVER_EV_LOST);
    cr_assert_eq(reserver_deadline(&b.r), START + SEC(2701) + RESERVER_ANSWER_TIMEOUT);
    cr_assert_eq(reserver_answer(&b.r, &m, WALL, START + SEC(2702)), 0, "over another one");
    cr_assert(expect_event(&b, RESERVER_EV_HELD));
    expect_silence(&b);
}

/* A refusal outlasts the connection: gates close it each time. */
Test(reserver, a_closed_connection_without_reservation_changes_nothing) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    start(&b);
    nsec_t next = START + SEC(1) + drawn(&b, SEC(5), 0);
    reserver_failed(&b.r, RESERVER_DENIED, START + SEC(1));
    reserver_conn_closed(&b.r, START + SEC(1));
    expect_ask_at(&b, next);
}

/* --- another connection ---------------------------------------------------------------------- */

/* The relay was restarted, and a new connection stood before the old one was found dead. */
Test(reserver, another_connection_is_a_reason_to_ask_whether_the_relay_still_knows_us) {
    struct bed b;
    struct hop_msg m = lasting(3600);
    bed_init(&b, NSEC_NEVER);
    hold(&b, 3600, START);
    reserver_conn_opened(&b.r, START + SEC(60));
    expect_only(&b, RESERVER_EV_ASK);
    cr_assert(reserver_is_held(&b.r));
    reserver_conn_opened(&b.r, START + SEC(60));
    expect_silence(&b); /* it is being asked */
    cr_assert_eq(answer(&b, &m, START + SEC(60)), 0);
    expect_only(&b, RESERVER_EV_HELD);
    reserver_conn_opened(&b.r, START + SEC(60));
    expect_silence(&b);
    expect_ask_at(&b, START + SEC(61)); /* attempts are a second apart */
}

Test(reserver, a_connection_that_somebody_else_made_ends_the_wait_for_one) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    start(&b);
    reserver_failed(&b.r, RESERVER_UNREACHED, START + SEC(10));
    reserver_conn_opened(&b.r, START + SEC(10) + MSEC(1));
    expect_only(&b, RESERVER_EV_ASK);
}

Test(reserver, another_connection_changes_nothing_after_an_answer_that_was_no) {
    struct bed b;
    struct hop_msg full = status(200);
    bed_init(&b, NSEC_NEVER);
    hold(&b, 3600, START);
    expect_ask_at(&b, START + SEC(2700));
    nsec_t next = START + SEC(2701) + drawn(&b, SEC(15), 0);
    cr_assert_eq(answer(&b, &full, START + SEC(2701)), -ERR_RESOURCE_LIMIT);
    reserver_conn_opened(&b.r, START + SEC(2705));
    expect_ask_at(&b, next);
    reserver_stop(&b.r, next);
    while (reserver_next_event(&b.r, &(enum reserver_event){0}, &(bool){false}))
        ;
    reserver_conn_opened(&b.r, next);
    expect_silence(&b);
}

Test(reserver, another_connection_does_not_hurry_reservations_that_are_lost_soon) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    hold(&b, 3600, START);
    nsec_t next = START + SEC(2) + drawn(&b, SEC(1), 0);
    reserver_conn_closed(&b.r, START + SEC(2));
    expect_only(&b, RESERVER_EV_LOST);
    reserver_conn_opened(&b.r, START + SEC(2));
    expect_ask_at(&b, next);
}

/* --- our network ----------------------------------------------------------------------------- */

Test(reserver, after_a_network_change_it_asks_at_once_and_forgets_its_failures) {
    struct bed b;
    struct hop_msg full = status(200);
    bed_init(&b, NSEC_NEVER);
    start(&b);
    nsec_t next = START;
    for (int i = 0; i < 3; i++) {
        nsec_t failed = next + SEC(1);
        next = failed + drawn(&b, SEC(15u << i), 0);
        cr_assert_eq(answer(&b, &full, failed), -ERR_RESOURCE_LIMIT);
        if (i < 2)
            expect_ask_at(&b, next);
    }
    nsec_t changed = b.r.now + SEC(5);
    reserver_network_changed(&b.r, changed);
    expect_only(&b, RESERVER_EV_ASK);
    next = changed + SEC(1) + drawn(&b, SEC(15), 0);
    cr_assert_eq(answer(&b, &full, changed + SEC(1)), -ERR_RESOURCE_LIMIT);
    expect_ask_at(&b, next);
}

/* Takes a reservation that is lost at once, which is the n-th one in succession. */
static nsec_t hold_shortly(struct bed *b, nsec_t at, unsigned n) {
    struct hop_msg m = lasting(3600);
    cr_assert_eq(answer(b, &m, at), 0);
    expect_only(b, RESERVER_EV_HELD);
    nsec_t next = at + SEC(1) + drawn(b, SEC(n), 0);
    reserver_conn_closed(&b->r, at + SEC(1));
    expect_only(b, RESERVER_EV_LOST);
    return next;
}

Test(reserver, after_a_network_change_or_a_start_short_reservations_are_forgotten) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    start(&b);
    nsec_t next = hold_shortly(&b, START, 1);
    expect_ask_at(&b, next);
    (void)hold_shortly(&b, next, 2);
    nsec_t changed = b.r.now;
    reserver_network_changed(&b.r, changed);
    expect_only(&b, RESERVER_EV_ASK);
    next = hold_shortly(&b, changed, 1);
    expect_ask_at(&b, next);
    reserver_stop(&b.r, next + SEC(9));
    expect_only(&b, RESERVER_EV_GIVE_UP);
    reserver_start(&b.r, next + SEC(9));
    expect_only(&b, RESERVER_EV_ASK);
    expect_ask_at(&b, hold_shortly(&b, next + SEC(9), 1));
}

Test(reserver, after_a_start_failures_are_forgotten) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    start(&b);
    reserver_failed(&b.r, RESERVER_DENIED, START + SEC(1));
    reserver_stop(&b.r, START + SEC(1));
    reserver_start(&b.r, START + SEC(1));
    expect_only(&b, RESERVER_EV_ASK);
    nsec_t next = START + SEC(2) + drawn(&b, SEC(5), 0);
    reserver_failed(&b.r, RESERVER_DENIED, START + SEC(2));
    expect_ask_at(&b, next);
}

Test(reserver, after_a_network_change_a_reservation_is_renewed_not_lost) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    hold(&b, 3600, START);
    reserver_network_changed(&b.r, START + SEC(77));
    expect_only(&b, RESERVER_EV_ASK);
    cr_assert(reserver_is_held(&b.r));
}

Test(reserver, a_network_change_replaces_the_attempt_in_flight) {
    for (int reached = 0; reached < 2; reached++) {
        struct bed b;
        bed_init(&b, NSEC_NEVER);
        start(&b);
        if (reached)
            reserver_reached(&b.r, START + MSEC(100));
        reserver_network_changed(&b.r, START + MSEC(400));
        expect_only(&b, RESERVER_EV_GIVE_UP);
        expect_ask_at(&b, START + RESERVER_SPACING);
        reserver_network_changed(&b.r, START + SEC(5));
        (void)expect_event(&b, RESERVER_EV_GIVE_UP);
        expect_only(&b, RESERVER_EV_ASK);
    }
}

Test(reserver, many_network_changes_make_one_attempt_a_second) {
    struct bed b;
    int asks = 0;
    bed_init(&b, NSEC_NEVER);
    start(&b);
    for (nsec_t now = START; now <= START + SEC(10); now += MSEC(50)) {
        enum reserver_event event;
        bool changed;
        reserver_network_changed(&b.r, now);
        reserver_tick(&b.r, now);
        while (reserver_next_event(&b.r, &event, &changed))
            asks += event == RESERVER_EV_ASK;
    }
    cr_assert_eq(asks, 10);
}

/* --- stopping -------------------------------------------------------------------------------- */

Test(reserver, stopped_it_gives_up_loses_and_is_silent) {
    struct bed b;
    bed_init(&b, NSEC_NEVER);
    hold(&b, 3600, START);
    expect_ask_at(&b, START + SEC(2700));
    reserver_stop(&b.r, START + SEC(2701));
    (void)expect_event(&b, RESERVER_EV_GIVE_UP);
    expect_only(&b, RESERVER_EV_LOST);
    cr_assert_eq(reserver_deadline(&b.r), NSEC_NEVER);
    reserver_tick(&b.r, START + SEC(9999));
    expect_silence(&b);
    reserver_start(&b.r, START + SEC(9999));
    expect_only(&b, RESERVER_EV_ASK);
    reserver_failed(&b.r, RESERVER_BROKEN, START + SEC(9999));
    reserver_stop(&b.r, START + SEC(9999));
    expect_silence(&b);
    reserver_start(&b.r, START + SEC(9999) + MSEC(1));
    expect_silence(&b);
    expect_ask_at(&b, START + SEC(9999) + RESERVER_SPACING);
}

Test(reserver, events_that_nobody_fetched_are_withdrawn) {
    struct bed b;
    struct hop_msg m = lasting(3600);
    bed_init(&b, NSEC_NEVER);
    reserver_start(&b.r, START);
    reserver_stop(&b.r, START);
    expect_silence(&b);
    reserver_start(&b.r, START + SEC(1));
    reserver_network_changed(&b.r, START + SEC(2));
    expect_only(&b, RESERVER_EV_ASK); /* of the second attempt: the first was never known */
    cr_assert_eq(answer(&b, &m, START + SEC(2)), 0);
    reserver_conn_closed(&b.r, START + SEC(20));
    (void)expect_event(&b, RESERVER_EV_LOST);
    expect_only(&b, RESERVER_EV_ASK);
}

/* --- addresses ------------------------------------------------------------------------------- */

enum { FIELD_ADDR = 2 };

/* Appends "<transport>/p2p/<relay>"; NULL: without that. */
static void tell(struct wr *w, const char *transport, const struct peer_id *id) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(transport, &a), 0, "%s", transport);
    if (id != NULL)
        cr_assert_eq(multiaddr_add_peer(&a, id), 0);
    circuit_put_addr(w, &a);
}

static void expect_addrs(const struct bed *b, const char *const *texts, size_t texts_count) {
    size_t count;
    char text[MULTIADDR_TEXT_MAX];
    const struct multiaddr *addrs = reserver_addrs(&b->r, &count);
    cr_assert_eq(count, texts_count);
    for (size_t i = 0; i < count; i++)
        cr_assert_str_eq(multiaddr_format(&addrs[i], text), texts[i]);
}

Test(reserver, addresses_are_stripped_and_useless_ones_left_out) {
    static const char *const expected[] = {"/ip4/44.0.0.1/udp/4001/quic-v1", "/dns4/a.b/tcp/443",
                                           "/ip4/44.0.0.1/tcp/4001"};
    uint8_t memory[2048];
    struct bed b;
    struct hop_msg m = lasting(3600);
    struct wr w = wr_init(memory, sizeof(memory));
    struct multiaddr a;
    bed_init(&b, NSEC_NEVER);
    tell(&w, expected[0], &b.relay.id);
    tell(&w, "/ip4/44.0.0.9/tcp/9", &b.self.id); /* another peer's */
    pb_wr_bytes(&w, FIELD_ADDR, BYTES_LIT("\x04\x01"));
    pb_wr_bytes(&w, FIELD_ADDR, BYTES_EMPTY);
    tell(&w, expected[1], NULL);        /* allowed */
    tell(&w, expected[0], &b.relay.id); /* twice */
    a = (struct multiaddr){.len = 0};
    cr_assert_eq(multiaddr_add_peer(&a, &b.relay.id), 0); /* "/p2p/<relay>" alone */
    circuit_put_addr(&w, &a);
    cr_assert_eq(multiaddr_add(&a, MULTIADDR_P2P_CIRCUIT), 0); /* relayed */
    circuit_put_addr(&w, &a);
    cr_assert_eq(multiaddr_add_peer(&a, &b.relay.id), 0);
    circuit_put_addr(&w, &a);
    tell(&w, expected[2], &b.relay.id);
    m.reservation.addrs = wr_written(&w);
    cr_assert_eq(w.error, 0);

    start(&b);
    cr_assert_eq(answer(&b, &m, START), 0);
    cr_assert(expect_event(&b, RESERVER_EV_HELD));
    expect_addrs(&b, expected, ARRAY_COUNT(expected));
    reserver_conn_closed(&b.r, START + SEC(60));
    expect_addrs(&b, NULL, 0);
}

Test(reserver, of_too_many_addresses_the_first_ones_are_kept) {
    uint8_t memory[4096];
    struct bed b;
    struct hop_msg m = lasting(3600);
    struct wr w = wr_init(memory, sizeof(memory));
    size_t count;
    bed_init(&b, NSEC_NEVER);
    for (int i = 0; i < 2 * RESERVER_ADDRS_MAX; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "/ip4/44.0.0.%d/tcp/4001", i);
        tell(&w, text, &b.relay.id);
    }
    m.reservation.addrs = wr_written(&w);
    start(&b);
    cr_assert_eq(answer(&b, &m, START), 0);
    const struct multiaddr *addrs = reserver_addrs(&b.r, &count);
    char text[MULTIADDR_TEXT_MAX];
    cr_assert_eq(count, RESERVER_ADDRS_MAX);
    cr_assert_str_eq(multiaddr_format(&addrs[count - 1], text), "/ip4/44.0.0.15/tcp/4001");
}

/* Each answer is a list of digits: the relay's addresses.  Their order does not matter. */
Test(reserver, held_says_whether_the_addresses_changed) {
    static const struct {
        const char *told;
        bool changed;
    } rows[] = {{"12", true},  {"12", false},  {"21", false}, {"1", true}, {"2", true},
                {"213", true}, {"231", false}, {"", true},    {"", false}, {"3", true}};
    struct bed b;
    nsec_t now = START;
    bed_init(&b, SEC(60));
    start(&b);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t memory[1024];
        struct hop_msg m = lasting(3600);
        struct wr w = wr_init(memory, sizeof(memory));
        for (const char *c = rows[i].told; *c != '\0'; c++) {
            char text[64];
            (void)snprintf(text, sizeof(text), "/ip4/44.0.0.%c/tcp/4001", *c);
            tell(&w, text, &b.relay.id);
        }
        m.reservation.addrs = wr_written(&w);
        cr_assert_eq(answer(&b, &m, now), 0);
        cr_assert_eq(expect_event(&b, RESERVER_EV_HELD), rows[i].changed, "row %zu", i);
        now += SEC(60);
        expect_ask_at(&b, now);
    }
}

/* --- decision 6 ------------------------------------------------------------------------------ */

/* A relay that is away for an hour and comes back at any moment: whether its host answers that
 * nobody listens or is silent, something is sent to it within 4 s.  QUIC and TCP send at 0, 1, 3
 * and 7 s of an attempt. */
Test(reserver, a_relay_that_comes_back_hears_of_us_within_4_seconds) {
    for (int silent = 0; silent < 2; silent++) {
        static const unsigned sent[] = {0, 1, 3, 7};
        struct bed b;
        nsec_t last = START;
        unsigned packets = 0;
        bed_init(&b, NSEC_NEVER);
        reserver_start(&b.r, START);
        while (b.r.now < START + SEC(3600)) {
            enum reserver_event event;
            bool changed;
            bool asked = false;
            while (reserver_next_event(&b.r, &event, &changed))
                asked = event == RESERVER_EV_ASK;
            for (size_t i = 0; asked && i < (silent ? ARRAY_COUNT(sent) : 1); i++) {
                nsec_t at = b.r.now + SEC(sent[i]);
                cr_assert_leq(at - last, SEC(4));
                last = at;
                packets++;
            }
            if (asked && !silent)
                reserver_failed(&b.r, RESERVER_UNREACHED, b.r.now + MSEC(20));
            reserver_tick(&b.r, reserver_deadline(&b.r));
        }
        cr_assert_leq(packets, 3600 / 2, "two addresses make a packet a second");
        cr_assert_geq(packets, 900);
    }
}

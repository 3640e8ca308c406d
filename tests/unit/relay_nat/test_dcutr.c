/* SPDX-License-Identifier: MIT */
/* Goal: two peers dial at the same moment, three times at most, whatever the other one says.
 * Spec: libp2p DCUtR; one-sided dial beside the exchange. */
#include <stdio.h>

#include "core/base/err.h"
#include "relay/proto/dcutr.h"
#include "tests/support/hex.h"
#include "tests/unit/relay_nat/addrs.h"

static const char a_quic[] = "/ip4/192.0.2.1/udp/4001/quic-v1";
static const char a_tcp[] = "/ip4/192.0.2.1/tcp/4001";

/* CONNECT with a_tcp and a_quic, and with a relayed address alone, without their lengths. */
#define CONNECT_BODY HEX("0864120804c0000201060fa1120b04c000020191020fa1cd03")
#define SYNC_BODY    HEX("08ac02")

static struct dcutr_addrs some_addrs(const char *text) {
    struct dcutr_addrs addrs = {.count = 0};
    struct multiaddr a = maddr(text);
    cr_assert(dcutr_addrs_add(&addrs, &a, true));
    return addrs;
}

static struct dcutr_event expect(struct dcutr *d, enum dcutr_event_type type) {
    struct dcutr_event event;
    cr_assert(dcutr_next_event(d, &event), "no event instead of %d", type);
    cr_assert_eq(event.type, type, "event %d instead of %d", event.type, type);
    return event;
}

static void expect_nothing(struct dcutr *d) {
    struct dcutr_event event;
    cr_assert(!dcutr_next_event(d, &event), "event %d", event.type);
}

static void expect_failed(struct dcutr *d, int error) {
    struct dcutr_event event = expect(d, DCUTR_EV_FAILED);
    cr_assert_eq(event.error, error, "%s instead of %s", err_name(event.error), err_name(error));
    expect_nothing(d);
    cr_assert_eq(dcutr_deadline(d), NSEC_NEVER);
}

static void init(struct dcutr *d, enum dcutr_role role, bool try_direct) {
    struct dcutr_addrs own = some_addrs("/ip4/198.51.100.7/udp/4001/quic-v1");
    struct dcutr_config config = {
        .role = role, .own = &own, .accept_private = true, .try_direct = try_direct};
    dcutr_init(d, &config, SEC(1));
}

/* An opener that has sent CONNECT at SEC(1). */
static void init_asking(struct dcutr *d) {
    init(d, DCUTR_OPENER, false);
    cr_assert_eq(expect(d, DCUTR_EV_OPEN).attempt, 1);
    dcutr_stream_open(d, SEC(1));
    struct dcutr_event event = expect(d, DCUTR_EV_SEND);
    cr_assert(bytes_equal(event.message, HEX("0f0864120b04c633640791020fa1cd03")));
    cr_assert(!event.is_last);
    expect_nothing(d);
}

/* An opener that dials since SEC(1) + 150 ms. */
static void init_dialling(struct dcutr *d) {
    init_asking(d);
    dcutr_recv(d, CONNECT_BODY, SEC(1) + MSEC(100));
    (void)expect(d, DCUTR_EV_SEND);
    dcutr_tick(d, SEC(1) + MSEC(150));
    (void)expect(d, DCUTR_EV_DIAL);
}

/* An acceptor that has answered CONNECT at SEC(2). */
static void init_answered(struct dcutr *d) {
    init(d, DCUTR_ACCEPTOR, false);
    expect_nothing(d);
    dcutr_recv(d, CONNECT_BODY, SEC(2));
    struct dcutr_event event = expect(d, DCUTR_EV_SEND);
    cr_assert(bytes_equal(event.message, HEX("0f0864120b04c633640791020fa1cd03")));
    cr_assert(!event.is_last);
    expect_nothing(d);
}

/* --- the way it goes -------------------------------------------------------------------------- */

Test(dcutr, the_opener_dials_half_a_round_trip_after_its_sync) {
    struct dcutr d;
    init_asking(&d);
    dcutr_recv(&d, CONNECT_BODY, SEC(1) + MSEC(100));
    struct dcutr_event event = expect(&d, DCUTR_EV_SEND);
    cr_assert(bytes_equal(event.message, HEX("0308ac02")));
    cr_assert(event.is_last);
    expect_nothing(&d);
    cr_assert_eq(dcutr_deadline(&d), SEC(1) + MSEC(150));
    dcutr_tick(&d, SEC(1) + MSEC(150) - 1);
    expect_nothing(&d);
    dcutr_tick(&d, SEC(1) + MSEC(150));
    event = expect(&d, DCUTR_EV_DIAL);
    cr_assert_eq(event.attempt, 1);
    cr_assert_eq(event.addrs->count, 2);
    struct multiaddr tcp = maddr(a_tcp);
    struct multiaddr quic = maddr(a_quic);
    cr_assert(multiaddr_equal(&event.addrs->list[0], &tcp));
    cr_assert(multiaddr_equal(&event.addrs->list[1], &quic));
    dcutr_connected(&d, SEC(2));
    (void)expect(&d, DCUTR_EV_DONE);
    expect_nothing(&d);
    cr_assert_eq(dcutr_deadline(&d), NSEC_NEVER);
}

Test(dcutr, the_acceptor_dials_at_the_sync) {
    struct dcutr d;
    init_answered(&d);
    dcutr_recv(&d, SYNC_BODY, SEC(3));
    struct dcutr_event event = expect(&d, DCUTR_EV_DIAL);
    cr_assert_eq(event.addrs->count, 2);
    cr_assert_eq(event.attempt, 1);
    expect_nothing(&d);
    cr_assert_eq(dcutr_deadline(&d), SEC(13));
    dcutr_stream_failed(&d, -ERR_STREAM_RESET, SEC(4)); /* no longer needed */
    expect_nothing(&d);
    dcutr_connected(&d, SEC(4));
    (void)expect(&d, DCUTR_EV_DONE);
    expect_nothing(&d);
}

Test(dcutr, both_sides_of_one_exchange_dial_at_the_same_time) {
    /* 40 ms there, 40 ms back. */
    struct dcutr b;
    struct dcutr a;
    init_asking(&b);
    init(&a, DCUTR_ACCEPTOR, false);
    dcutr_recv(&a, CONNECT_BODY, SEC(1) + MSEC(40));
    struct bytes answer = bytes_skip(expect(&a, DCUTR_EV_SEND).message, 1);
    dcutr_recv(&b, answer, SEC(1) + MSEC(80));
    struct bytes sync = bytes_skip(expect(&b, DCUTR_EV_SEND).message, 1);
    dcutr_recv(&a, sync, SEC(1) + MSEC(120));
    (void)expect(&a, DCUTR_EV_DIAL);
    cr_assert_eq(dcutr_deadline(&b), SEC(1) + MSEC(120));
}

Test(dcutr, the_opener_dials_back_when_that_was_not_enough) {
    struct dcutr d;
    init_dialling(&d);
    nsec_t at = SEC(1) + MSEC(150) + DCUTR_DIAL_BACK_DELAY;
    cr_assert_eq(dcutr_deadline(&d), at);
    dcutr_tick(&d, at - 1);
    expect_nothing(&d);
    dcutr_tick(&d, at);
    cr_assert_eq(expect(&d, DCUTR_EV_DIAL_BACK).addrs->count, 2);
    expect_nothing(&d);
    cr_assert_eq(dcutr_deadline(&d), SEC(11) + MSEC(150));
    dcutr_connected(&d, SEC(2));
    (void)expect(&d, DCUTR_EV_DONE);
    expect_nothing(&d);

    init_dialling(&d); /* not when it was */
    dcutr_connected(&d, at - 1);
    (void)expect(&d, DCUTR_EV_DONE);
    dcutr_tick(&d, SEC(100));
    expect_nothing(&d);

    init_dialling(&d); /* nor in an attempt that is over */
    dcutr_dial_failed(&d, at - 1);
    cr_assert_eq(expect(&d, DCUTR_EV_OPEN).attempt, 2);
    dcutr_tick(&d, at);
    expect_nothing(&d);

    init_dialling(&d);
    dcutr_tick(&d, SEC(12)); /* and a late tick ends it */
    (void)expect(&d, DCUTR_EV_DIAL_END);
    (void)expect(&d, DCUTR_EV_OPEN);
    expect_nothing(&d);
}

/* --- attempts --------------------------------------------------------------------------------- */

Test(dcutr, the_opener_tries_three_times_each_with_a_round_trip_of_its_own) {
    struct dcutr d;
    nsec_t now = SEC(1);
    init(&d, DCUTR_OPENER, false);
    for (unsigned attempt = 1; attempt <= DCUTR_ATTEMPTS_MAX; attempt++) {
        cr_assert_eq(expect(&d, DCUTR_EV_OPEN).attempt, attempt);
        dcutr_stream_open(&d, now);
        (void)expect(&d, DCUTR_EV_SEND);
        dcutr_recv(&d, CONNECT_BODY, now + MSEC(20) * attempt);
        cr_assert(expect(&d, DCUTR_EV_SEND).is_last);
        now += MSEC(30) * attempt;
        cr_assert_eq(dcutr_deadline(&d), now, "attempt %u", attempt);
        dcutr_tick(&d, now);
        cr_assert_eq(expect(&d, DCUTR_EV_DIAL).addrs->count, 2, "the list is not added to");
        dcutr_tick(&d, dcutr_deadline(&d));
        (void)expect(&d, DCUTR_EV_DIAL_BACK);
        cr_assert_eq(dcutr_deadline(&d), now + SEC(10));
        now += SEC(10);
        dcutr_tick(&d, now - 1);
        expect_nothing(&d);
        dcutr_tick(&d, now);
        (void)expect(&d, DCUTR_EV_DIAL_END);
    }
    expect_failed(&d, -ETIMEDOUT);
}

Test(dcutr, the_opener_tries_less_often_if_it_is_told_to) {
    struct dcutr_addrs own = some_addrs("/ip4/198.51.100.7/udp/4001/quic-v1");
    struct dcutr_config config = {
        .role = DCUTR_OPENER, .own = &own, .accept_private = true, .attempts_max = 1};
    struct dcutr d;
    dcutr_init(&d, &config, SEC(1));
    (void)expect(&d, DCUTR_EV_OPEN);
    dcutr_stream_open(&d, SEC(1));
    (void)expect(&d, DCUTR_EV_SEND);
    dcutr_recv(&d, CONNECT_BODY, SEC(1));
    (void)expect(&d, DCUTR_EV_SEND);
    dcutr_tick(&d, SEC(1));
    (void)expect(&d, DCUTR_EV_DIAL);
    dcutr_dial_failed(&d, SEC(2));
    expect_failed(&d, -EHOSTUNREACH);
}

Test(dcutr, dials_that_all_failed_begin_the_next_attempt_at_once) {
    struct dcutr d;
    init_dialling(&d);
    dcutr_dial_failed(&d, SEC(2));
    cr_assert_eq(expect(&d, DCUTR_EV_OPEN).attempt, 2);
    expect_nothing(&d);
    dcutr_dial_failed(&d, SEC(2)); /* those that were given up already */
    expect_nothing(&d);
    cr_assert_eq(dcutr_deadline(&d), SEC(12));
}

Test(dcutr, the_acceptor_tries_once) {
    struct dcutr d;
    init_answered(&d);
    dcutr_recv(&d, SYNC_BODY, SEC(3));
    (void)expect(&d, DCUTR_EV_DIAL);
    dcutr_dial_failed(&d, SEC(4));
    expect_failed(&d, -EHOSTUNREACH);

    init_answered(&d);
    dcutr_recv(&d, SYNC_BODY, SEC(3));
    (void)expect(&d, DCUTR_EV_DIAL);
    dcutr_tick(&d, SEC(13));
    (void)expect(&d, DCUTR_EV_DIAL_END);
    expect_failed(&d, -ETIMEDOUT);
}

Test(dcutr, a_connection_during_the_next_attempt_ends_it) {
    struct dcutr d;
    init_dialling(&d);
    dcutr_dial_failed(&d, SEC(2));
    (void)expect(&d, DCUTR_EV_OPEN);
    dcutr_stream_open(&d, SEC(3));
    (void)expect(&d, DCUTR_EV_SEND);
    dcutr_connected(&d, SEC(4));
    (void)expect(&d, DCUTR_EV_RESET);
    (void)expect(&d, DCUTR_EV_DONE);
    expect_nothing(&d);
    /* Everything is harmless afterwards. */
    dcutr_connected(&d, SEC(5));
    dcutr_recv(&d, SYNC_BODY, SEC(5));
    dcutr_stream_open(&d, SEC(5));
    dcutr_stream_failed(&d, -ETIMEDOUT, SEC(5));
    dcutr_dial_failed(&d, SEC(5));
    dcutr_direct_failed(&d, SEC(5));
    dcutr_tick(&d, SEC(500));
    expect_nothing(&d);
}

/* --- the one-sided dial ----------------------------------------------------------------------- */

Test(dcutr, the_one_sided_dial_runs_beside_the_exchange_for_a_second) {
    struct dcutr d;
    init(&d, DCUTR_OPENER, true);
    (void)expect(&d, DCUTR_EV_DIRECT);
    (void)expect(&d, DCUTR_EV_OPEN);
    expect_nothing(&d);
    cr_assert_eq(dcutr_deadline(&d), SEC(2));
    dcutr_tick(&d, SEC(2) - 1);
    expect_nothing(&d);
    dcutr_tick(&d, SEC(2));
    (void)expect(&d, DCUTR_EV_DIRECT_END);
    expect_nothing(&d);
    cr_assert_eq(dcutr_deadline(&d), SEC(11), "the exchange's");
    dcutr_direct_failed(&d, SEC(3)); /* given up already */
    expect_nothing(&d);
}

Test(dcutr, the_one_sided_dials_success_ends_everything) {
    struct dcutr d;
    init(&d, DCUTR_OPENER, true);
    (void)expect(&d, DCUTR_EV_DIRECT);
    (void)expect(&d, DCUTR_EV_OPEN);
    dcutr_connected(&d, SEC(1) + MSEC(50));
    (void)expect(&d, DCUTR_EV_DONE);
    expect_nothing(&d);
    cr_assert_eq(dcutr_deadline(&d), NSEC_NEVER);
}

Test(dcutr, a_failed_exchange_waits_for_the_one_sided_dial) {
    for (int end = 0; end < 3; end++) {
        struct dcutr d;
        init(&d, DCUTR_OPENER, true);
        (void)expect(&d, DCUTR_EV_DIRECT);
        (void)expect(&d, DCUTR_EV_OPEN);
        dcutr_stream_failed(&d, -ERR_PROTOCOL_NOT_SUPPORTED, SEC(1));
        expect_nothing(&d);
        cr_assert_eq(dcutr_deadline(&d), SEC(2));
        if (end == 0) {
            dcutr_direct_failed(&d, SEC(1) + 1);
        } else if (end == 1) {
            dcutr_tick(&d, SEC(2));
            (void)expect(&d, DCUTR_EV_DIRECT_END);
        } else {
            dcutr_connected(&d, SEC(1) + 1);
            (void)expect(&d, DCUTR_EV_DONE);
            continue;
        }
        expect_failed(&d, -ERR_PROTOCOL_NOT_SUPPORTED);
    }
}

Test(dcutr, with_nothing_to_tell_only_the_one_sided_dial_remains) {
    struct dcutr d;
    struct dcutr_addrs none = {.count = 0};
    struct dcutr_config config = {.role = DCUTR_OPENER, .own = &none, .try_direct = true};
    dcutr_init(&d, &config, 0);
    (void)expect(&d, DCUTR_EV_DIRECT);
    expect_nothing(&d);
    dcutr_direct_failed(&d, MSEC(1));
    expect_failed(&d, -ERR_NO_ADDRESSES);

    config.try_direct = false;
    dcutr_init(&d, &config, 0);
    expect_failed(&d, -ERR_NO_ADDRESSES);

    config.role = DCUTR_ACCEPTOR;
    dcutr_init(&d, &config, 0);
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ERR_NO_ADDRESSES);
}

/* --- what the peer may do wrong --------------------------------------------------------------- */

Test(dcutr, a_message_out_of_its_turn_fails) {
    struct dcutr d;
    init_asking(&d);
    dcutr_recv(&d, SYNC_BODY, SEC(1));
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ERR_PROTOCOL_VIOLATION);

    init(&d, DCUTR_ACCEPTOR, false);
    dcutr_recv(&d, SYNC_BODY, SEC(1));
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ERR_PROTOCOL_VIOLATION);

    init_answered(&d);
    dcutr_recv(&d, CONNECT_BODY, SEC(2));
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ERR_PROTOCOL_VIOLATION);
}

Test(dcutr, what_comes_after_the_exchange_is_ignored) {
    struct dcutr d;
    init_dialling(&d);
    dcutr_recv(&d, CONNECT_BODY, SEC(2));
    dcutr_recv(&d, HEX("ff"), SEC(2));
    expect_nothing(&d);

    init_answered(&d);
    dcutr_recv(&d, SYNC_BODY, SEC(3));
    (void)expect(&d, DCUTR_EV_DIAL);
    dcutr_recv(&d, SYNC_BODY, SEC(3));
    expect_nothing(&d);
}

Test(dcutr, no_message_fails) {
    struct dcutr d;
    init_asking(&d);
    dcutr_recv(&d, HEX("0801"), SEC(1));
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ERR_MALFORMED);
}

Test(dcutr, silence_fails_after_ten_seconds_and_not_before) {
    struct dcutr d;
    init_asking(&d);
    cr_assert_eq(dcutr_deadline(&d), SEC(11));
    dcutr_tick(&d, SEC(11) - 1);
    expect_nothing(&d);
    dcutr_tick(&d, SEC(11));
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ETIMEDOUT);

    init_answered(&d); /* from the start, not from CONNECT */
    cr_assert_eq(dcutr_deadline(&d), SEC(11));
    dcutr_tick(&d, SEC(11));
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ETIMEDOUT);
}

Test(dcutr, a_stream_that_ends_too_early_fails) {
    struct dcutr d;
    init_asking(&d);
    dcutr_stream_failed(&d, -ERR_STREAM_RESET, SEC(2));
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ERR_STREAM_RESET);

    init_answered(&d);
    dcutr_stream_failed(&d, -ERR_TRUNCATED, SEC(2));
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ERR_TRUNCATED);
}

Test(dcutr, an_end_of_the_stream_behind_sync_is_as_it_should_be) {
    struct dcutr d;
    init_asking(&d);
    dcutr_recv(&d, CONNECT_BODY, SEC(2));
    (void)expect(&d, DCUTR_EV_SEND);
    dcutr_stream_failed(&d, -ERR_TRUNCATED, SEC(2));
    expect_nothing(&d);
    cr_assert_eq(dcutr_deadline(&d), SEC(2) + MSEC(500));
}

Test(dcutr, a_peer_without_any_address_of_use_fails) {
    struct dcutr_addrs own = some_addrs(a_quic);
    struct dcutr_config config = {.role = DCUTR_ACCEPTOR, .own = &own};
    struct dcutr d;
    dcutr_init(&d, &config, 0);
    dcutr_recv(&d, CONNECT_BODY, 0); /* 192.0.2.1 is not public */
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ERR_NO_ADDRESSES);

    dcutr_init(&d, &config, 0);
    dcutr_recv(&d, HEX("0864"), 0);
    (void)expect(&d, DCUTR_EV_RESET);
    expect_failed(&d, -ERR_NO_ADDRESSES);
}

Test(dcutr, a_long_list_is_cut_and_repeated_addresses_count_once) {
    static struct multiaddr addrs[2 * DCUTR_ADDRS_MAX];
    static uint8_t out[DCUTR_OUT_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(addrs); i++) {
        addrs[i] = maddr(a_tcp);
        addrs[i].bytes[4] = (uint8_t)(i / 2 + 1);
    }
    struct dcutr d;
    init(&d, DCUTR_ACCEPTOR, false);
    size_t len = dcutr_msg_encode(DCUTR_MSG_CONNECT, addrs, ARRAY_COUNT(addrs), out);
    dcutr_recv(&d, bytes_of(out + 2, len - 2), SEC(1));
    (void)expect(&d, DCUTR_EV_SEND);
    dcutr_recv(&d, SYNC_BODY, SEC(1));
    cr_assert_eq(expect(&d, DCUTR_EV_DIAL).addrs->count, DCUTR_ADDRS_MAX);

    for (size_t i = 0; i < ARRAY_COUNT(addrs); i++)
        addrs[i].bytes[4] = (uint8_t)(i + 1);
    init(&d, DCUTR_ACCEPTOR, false);
    len = dcutr_msg_encode(DCUTR_MSG_CONNECT, addrs, ARRAY_COUNT(addrs), out);
    dcutr_recv(&d, bytes_of(out + 2, len - 2), SEC(1));
    (void)expect(&d, DCUTR_EV_SEND);
    dcutr_recv(&d, SYNC_BODY, SEC(1));
    struct dcutr_event event = expect(&d, DCUTR_EV_DIAL);
    cr_assert_eq(event.addrs->count, DCUTR_ADDRS_MAX);
    for (size_t i = 0; i < DCUTR_ADDRS_MAX; i++)
        cr_assert_eq(event.addrs->list[i].bytes[4], i + 1, "the first are kept");
}

/* --- addresses -------------------------------------------------------------------------------- */

Test(dcutr, only_addresses_that_can_be_punched_are_taken) {
    static const struct {
        const char *text;
        bool is_taken;
        bool is_taken_in_labs;
    } rows[] = {
        {"/ip4/1.2.3.4/udp/4001/quic-v1", true, true},
        {"/ip4/1.2.3.4/tcp/4001", true, true},
        {"/ip6/2001:db9::1/udp/4001/quic-v1", true, true},
        {"/ip4/192.168.1.2/udp/4001/quic-v1", false, true},
        {"/ip4/100.64.0.1/tcp/4001", false, true},
        {"/ip4/127.0.0.1/tcp/4001", false, true},
        {"/ip4/0.0.0.0/tcp/4001", false, false},
        {"/ip6/::/udp/4001/quic-v1", false, false},
        {"/ip4/1.2.3.4/tcp/0", false, false},
        {"/ip4/1.2.3.4/udp/4001", false, false},
        {"/ip4/1.2.3.4/tcp/4001/ws", false, false},
        {"/ip4/1.2.3.4/udp/4001/quic-v1/webtransport", false, false},
        {"/dns4/example.com/tcp/4001", false, false},
        {"/ip4/1.2.3.4/udp/4001/quic-v1/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
         "/p2p-circuit",
         false, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct dcutr_addrs addrs = {.count = 0};
        struct multiaddr a = maddr(rows[i].text);
        cr_assert_eq(dcutr_addrs_add(&addrs, &a, false), rows[i].is_taken, "%s", rows[i].text);
        addrs.count = 0;
        cr_assert_eq(dcutr_addrs_add(&addrs, &a, true), rows[i].is_taken_in_labs, "%s",
                     rows[i].text);
    }
}

/* --- neighbours ------------------------------------------------------------------------------- */

static struct dcutr_addrs told(const char *const *texts, size_t count) {
    struct dcutr_addrs addrs = {.count = 0};
    for (size_t i = 0; i < count; i++) {
        struct multiaddr a = maddr(texts[i]);
        cr_assert(dcutr_addrs_add(&addrs, &a, false) || dcutr_addrs_add_private(&addrs, &a), "%s",
                  texts[i]);
    }
    return addrs;
}

/* Which of `theirs` an acceptor dials that tells `ours`. */
static struct dcutr_addrs dialled(const struct dcutr_addrs *ours, const struct multiaddr *theirs,
                                  size_t theirs_count) {
    struct dcutr d;
    struct dcutr_config config = {.role = DCUTR_ACCEPTOR, .own = ours};
    uint8_t connect[DCUTR_OUT_MAX];
    size_t n = dcutr_msg_encode(DCUTR_MSG_CONNECT, theirs, theirs_count, connect);
    size_t prefix = connect[0] >= 0x80 ? 2 : 1;
    dcutr_init(&d, &config, 0);
    dcutr_recv(&d, bytes_of(connect + prefix, n - prefix), SEC(1));
    (void)expect(&d, DCUTR_EV_SEND);
    dcutr_recv(&d, SYNC_BODY, SEC(1));
    return *expect(&d, DCUTR_EV_DIAL).addrs;
}

static const char *const at_home[] = {"/ip4/81.2.69.7/udp/4001/quic-v1",
                                      "/ip4/192.168.1.5/udp/4001/quic-v1",
                                      "/ip4/192.168.1.5/tcp/4001", "/ip4/172.17.0.1/tcp/4001"};

Test(dcutr, who_is_seen_at_our_address_is_dialled_at_private_ones_too) {
    struct dcutr_addrs ours = told(at_home, ARRAY_COUNT(at_home));
    const struct multiaddr theirs[] = {
        maddr("/ip4/192.168.1.6/tcp/4001"), maddr("/ip4/81.2.69.7/udp/9999/quic-v1"),
        maddr("/ip4/127.0.0.1/tcp/4001"),   maddr("/ip4/169.254.1.1/tcp/4001"),
        maddr("/ip6/fe80::1/tcp/4001"),     maddr("/ip6/fd00::6/tcp/4001"),
        maddr("/ip4/172.17.0.1/tcp/4001"),  maddr("/ip4/0.0.0.0/tcp/4001"),
    };
    struct dcutr_addrs got = dialled(&ours, theirs, ARRAY_COUNT(theirs));
    cr_assert_eq(got.count, 3);
    cr_assert(multiaddr_equal(&got.list[0], &theirs[1]), "what is public goes first");
    cr_assert(multiaddr_equal(&got.list[1], &theirs[0]));
    cr_assert(multiaddr_equal(&got.list[2], &theirs[5]), "of ours, that of a bridge is not theirs");
}

Test(dcutr, who_is_seen_elsewhere_is_not) {
    struct dcutr_addrs ours = told(at_home, ARRAY_COUNT(at_home));
    const struct multiaddr theirs[] = {
        maddr("/ip4/81.2.69.8/udp/4001/quic-v1"), maddr("/ip4/192.168.1.6/tcp/4001"),
        maddr("/ip4/192.168.1.5/udp/4001/quic-v1"), /* an equal private address proves nothing */
    };
    struct dcutr_addrs got = dialled(&ours, theirs, ARRAY_COUNT(theirs));
    cr_assert_eq(got.count, 1);
    cr_assert(multiaddr_equal(&got.list[0], &theirs[0]));
}

Test(dcutr, an_ip6_address_makes_no_neighbours) {
    static const char *const both[] = {"/ip6/2a02:26f0::1/tcp/4001", "/ip4/192.168.1.5/tcp/4001"};
    struct dcutr_addrs ours = told(both, ARRAY_COUNT(both));
    const struct multiaddr theirs[] = {maddr(both[0]), maddr("/ip4/192.168.1.6/tcp/4001")};
    cr_assert_eq(dialled(&ours, theirs, ARRAY_COUNT(theirs)).count, 1);
}

Test(dcutr, of_our_private_addresses_those_of_our_own_network_are_told_first) {
    struct multiaddr own[2 * DCUTR_PRIVATE_MAX];
    struct dcutr_addrs addrs = {.count = 0};
    struct net_addr main_ip = naddr("172.16.0.11:4001");
    for (unsigned i = 0; i < ARRAY_COUNT(own); i++) {
        own[i] = maddr("/ip4/172.16.0.0/udp/4001/quic-v1");
        own[i].bytes[4] = (uint8_t)(i + 1);
    }
    dcutr_addrs_add_own_private(&addrs, own, ARRAY_COUNT(own), &main_ip);
    cr_assert_eq(addrs.count, DCUTR_PRIVATE_MAX);
    cr_assert(multiaddr_equal(&addrs.list[0], &own[10]));
    cr_assert(multiaddr_equal(&addrs.list[1], &own[0]), "then the others, in their order");
    addrs.count = 0;
    main_ip = (struct net_addr){.family = NET_NONE};
    dcutr_addrs_add_own_private(&addrs, own, ARRAY_COUNT(own), &main_ip);
    cr_assert(multiaddr_equal(&addrs.list[0], &own[0]));
}

Test(dcutr, a_neighbour_gets_eight_dials_of_private_addresses) {
    struct dcutr_addrs ours = told(at_home, ARRAY_COUNT(at_home));
    struct multiaddr theirs[DCUTR_PRIVATE_MAX + 2];
    char text[64];
    theirs[0] = maddr("/ip4/81.2.69.7/tcp/9999");
    for (unsigned i = 1; i < ARRAY_COUNT(theirs); i++) {
        (void)snprintf(text, sizeof(text), "/ip4/10.0.0.%u/tcp/22", i);
        theirs[i] = maddr(text);
    }
    cr_assert_eq(dialled(&ours, theirs, ARRAY_COUNT(theirs)).count, 1 + DCUTR_PRIVATE_MAX);
}

Test(dcutr, a_trailing_peer_id_is_cut_off) {
    struct dcutr_addrs addrs = {.count = 0};
    struct multiaddr bare = maddr("/ip4/1.2.3.4/tcp/4001");
    struct multiaddr a =
        maddr("/ip4/1.2.3.4/tcp/4001/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB");
    cr_assert(dcutr_addrs_add(&addrs, &a, false));
    cr_assert(multiaddr_equal(&addrs.list[0], &bare));
    cr_assert(!dcutr_addrs_add(&addrs, &bare, false), "the same once more");
}

Test(dcutr, the_engine_stays_within_its_stated_size) {
    cr_assert_leq(sizeof(struct dcutr), 22 * 1024);
}

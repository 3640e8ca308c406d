/* SPDX-License-Identifier: MIT */
/* Goal: ports stay mapped, by the protocol that the gateway knows, and gateways are not bothered.
 * Spec: RFC 6887, sections 8.1.1, 8.5 and 11; RFC 6886, section 3. */
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/rd.h"
#include "core/base/wr.h"
#include "relay/proto/pcp.h"
#include "tests/support/fixed_rng.h"
#include "tests/support/hex.h"
#include "tests/unit/relay_nat/addrs.h"

struct bed {
    struct fixed_rng rng;
    struct pcp p;
    uint8_t out[PCP_OUT_MAX];
    size_t len;
};

/* One mapping, UDP 4001, from SEC(1). */
static void init(struct bed *b, const char *client) {
    struct net_addr addr = naddr(client);
    fixed_rng_init(&b->rng, 21);
    pcp_init(&b->p, &addr, &b->rng.rng, SEC(1));
    cr_assert_eq(pcp_deadline(&b->p), NSEC_NEVER);
    cr_assert_eq(pcp_add(&b->p, false, 4001, SEC(1)), 0);
}

static void expect_send(struct bed *b, size_t len, nsec_t now) {
    cr_assert(pcp_next_send(&b->p, b->out, &b->len, now), "nothing to send");
    cr_assert_eq(b->len, len, "%zu bytes instead of %zu", b->len, len);
}

static void expect_no_send(struct bed *b, nsec_t now) {
    cr_assert_not(pcp_next_send(&b->p, b->out, &b->len, now));
}

static void expect_mapped(struct bed *b, const char *external) {
    struct pcp_event event;
    struct net_addr expected = naddr(external);
    cr_assert(pcp_next_event(&b->p, &event), "not mapped");
    cr_assert_eq(event.error, 0, "%s", err_name(event.error));
    cr_assert(net_addr_equal(&event.external, &expected));
}

static void expect_error(struct bed *b, int error) {
    struct pcp_event event;
    cr_assert(pcp_next_event(&b->p, &event), "no error");
    cr_assert_eq(event.error, error, "%s instead of %s", err_name(event.error), err_name(error));
}

static void expect_no_event(struct bed *b) {
    struct pcp_event event;
    cr_assert_not(pcp_next_event(&b->p, &event));
}

/* PCP's answer to the request that was last sent: the port wished for, on 8.8.8.8. */
static void answer(struct bed *b, uint8_t result, uint32_t lifetime_s, uint32_t epoch_s,
                   nsec_t now) {
    uint8_t message[PCP_REQUEST_BYTES] = {0};
    struct wr w = wr_init(message, sizeof(message));
    static const uint8_t ip[] = {8, 8, 8, 8};
    wr_be32(&w, 0x02810000u | result);
    wr_be32(&w, lifetime_s);
    wr_be32(&w, epoch_s);
    memcpy(message + 24, b->out + 24, 36);
    memcpy(message + 54, HEX("ffff").data, 2);
    memcpy(message + 56, ip, sizeof(ip));
    pcp_recv(&b->p, BYTES_OF(message), now);
}

/* Mapped at SEC(1) to 8.8.8.8:4001, by PCP, for 7,200 s, epoch 1000. */
static void init_mapped(struct bed *b) {
    init(b, "192.168.1.2");
    expect_send(b, PCP_REQUEST_BYTES, SEC(1));
    answer(b, PCP_SUCCESS, 7200, 1000, SEC(1));
    expect_mapped(b, "8.8.8.8:4001");
}

static void answer_natpmp(struct bed *b, const char *text, nsec_t now) {
    uint8_t memory[32];
    pcp_recv(&b->p, hex_into(text, memory, sizeof(memory)), now);
}

#define NATPMP_UNSUPPORTED "0081000100000000"
#define NATPMP_IP          "00800000000003e808080808"
#define NATPMP_OK          "00810000000003e80fa10fa100001c20"

/* Asks by NAT-PMP: both requests are sent at SEC(1). */
static void init_natpmp(struct bed *b) {
    init(b, "192.168.1.2");
    expect_send(b, PCP_REQUEST_BYTES, SEC(1));
    answer_natpmp(b, NATPMP_UNSUPPORTED, SEC(1));
    expect_send(b, NATPMP_ADDRESS_REQUEST_BYTES, SEC(1));
    expect_send(b, NATPMP_MAP_REQUEST_BYTES, SEC(1));
    expect_no_send(b, SEC(1));
}

/* Ticks at each deadline and counts what is sent, until `until`. */
static size_t count_sends(struct bed *b, nsec_t now, nsec_t until) {
    size_t count = 0;
    for (; now <= until; now = pcp_deadline(&b->p)) {
        pcp_tick(&b->p, now);
        while (pcp_next_send(&b->p, b->out, &b->len, now))
            count++;
        cr_assert_gt(pcp_deadline(&b->p), now, "no progress");
    }
    return count;
}

/* --- PCP -------------------------------------------------------------------------------------- */

Test(pcp, a_port_is_mapped_and_renewed_at_half_its_lifetime) {
    struct bed b;
    init_mapped(&b);
    expect_no_event(&b);
    expect_no_send(&b, SEC(1));
    nsec_t at = pcp_deadline(&b.p);
    cr_assert_geq(at, SEC(1 + 3600));
    cr_assert_lt(at, SEC(1 + 4500));
    expect_no_send(&b, at - 1);
    expect_send(&b, PCP_REQUEST_BYTES, at);
    cr_assert(bytes_equal(bytes_of(b.out + 44, 16), HEX("00000000000000000000ffff08080808")),
              "the same address is wished for");
    answer(&b, PCP_SUCCESS, 7200, (uint32_t)(1000 + at / SEC(1)), at);
    expect_no_event(&b);
    cr_assert_geq(pcp_deadline(&b.p), at + SEC(3600));
}

/* Several ports were asked for by PCP before the first answer, and gateways differ in the opcode. */
Test(pcp, late_answers_that_the_version_is_unknown_are_no_refusals) {
    static const char *const late[] = {"0080000100000000", "0081000100000000", "0082000100000000",
                                       "008000010000000000000000"};
    struct bed b;
    init_natpmp(&b);
    for (size_t i = 0; i < ARRAY_COUNT(late); i++)
        answer_natpmp(&b, late[i], SEC(1));
    expect_no_event(&b);
    answer_natpmp(&b, NATPMP_IP, SEC(1));
    answer_natpmp(&b, NATPMP_OK, SEC(1));
    expect_mapped(&b, "8.8.8.8:4001");
}

/* On a change of the network: at once, with the port and nonce that it knows. */
Test(pcp, all_are_asked_for_again_when_the_owner_says_so) {
    struct bed b;
    uint8_t first[PCP_REQUEST_BYTES];
    init_mapped(&b);
    memcpy(first, b.out, sizeof(first));
    pcp_ask_again(&b.p, SEC(100));
    expect_send(&b, PCP_REQUEST_BYTES, SEC(100));
    cr_assert_arr_eq(b.out + 24, first + 24, 18);
    answer(&b, PCP_SUCCESS, 7200, 1099, SEC(100));
    expect_no_event(&b);
    cr_assert_geq(pcp_deadline(&b.p), SEC(3700));
}

Test(pcp, a_silent_gateway_is_asked_again_when_the_owner_says_so) {
    struct bed b;
    init(&b, "192.168.1.2");
    (void)count_sends(&b, SEC(1), SEC(60));
    expect_error(&b, -ETIMEDOUT);
    expect_no_send(&b, SEC(100));
    pcp_ask_again(&b.p, SEC(100));
    expect_send(&b, PCP_REQUEST_BYTES, SEC(100));
}

Test(pcp, an_address_that_changed_is_told) {
    struct bed b;
    init_mapped(&b);
    nsec_t at = pcp_deadline(&b.p);
    expect_send(&b, PCP_REQUEST_BYTES, at);
    b.out[43] = 0xa2; /* the gateway gives another port */
    answer(&b, PCP_SUCCESS, 7200, (uint32_t)(1000 + at / SEC(1)), at);
    expect_mapped(&b, "8.8.8.8:4002");
    expect_no_event(&b);
}

Test(pcp, a_request_is_repeated_at_the_rfcs_intervals_with_jitter) {
    struct bed b;
    init(&b, "192.168.1.2");
    nsec_t now = SEC(1);
    for (unsigned i = 0; i < 3; i++) {
        expect_send(&b, PCP_REQUEST_BYTES, now);
        nsec_t wait = pcp_deadline(&b.p) - now;
        cr_assert_geq(wait, SEC(3 << i) * 9 / 10);
        cr_assert_leq(wait, SEC(3 << i) * 11 / 10);
        now += wait;
    }
    expect_no_send(&b, now);
    pcp_tick(&b.p, now);
    expect_send(&b, NATPMP_ADDRESS_REQUEST_BYTES, now);
}

Test(pcp, a_short_lifetime_is_renewed_no_faster_than_every_half_minute) {
    static const uint32_t lifetimes[] = {1, 60, 100000, UINT32_MAX};
    static const nsec_t renewals[] = {SEC(30), SEC(30), SEC(43200), SEC(43200)};
    for (size_t i = 0; i < ARRAY_COUNT(lifetimes); i++) {
        struct bed b;
        init(&b, "192.168.1.2");
        expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
        answer(&b, PCP_SUCCESS, lifetimes[i], 1000, SEC(1));
        expect_mapped(&b, "8.8.8.8:4001");
        cr_assert_geq(pcp_deadline(&b.p), SEC(1) + renewals[i]);
        cr_assert_leq(pcp_deadline(&b.p), SEC(1) + renewals[i] * 5 / 4);
    }
}

Test(pcp, a_refusal_is_told_once_and_asked_again_after_its_lifetime) {
    static const struct {
        uint32_t lifetime_s;
        nsec_t rest;
    } rows[] = {{0, SEC(30)}, {60, SEC(60)}, {UINT32_MAX, SEC(1800)}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct bed b;
        init(&b, "192.168.1.2");
        expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
        answer(&b, PCP_NOT_AUTHORIZED, rows[i].lifetime_s, 1000, SEC(1));
        expect_error(&b, -EACCES);
        nsec_t at = pcp_deadline(&b.p);
        cr_assert_eq(at, SEC(1) + rows[i].rest);
        expect_send(&b, PCP_REQUEST_BYTES, at);
        answer(&b, PCP_NO_RESOURCES, 0, (uint32_t)(1000 + at / SEC(1)), at);
        expect_no_event(&b);
        expect_send(&b, PCP_REQUEST_BYTES, at + SEC(30));
        answer(&b, PCP_SUCCESS, 7200, (uint32_t)(1030 + at / SEC(1)), at + SEC(30));
        expect_mapped(&b, "8.8.8.8:4001");
    }
}

Test(pcp, a_mapping_of_no_use_is_a_refusal) {
    struct bed b;
    init(&b, "192.168.1.2");
    expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
    answer(&b, PCP_SUCCESS, 0, 1000, SEC(1)); /* for no time */
    expect_error(&b, -EACCES);
    init(&b, "192.168.1.2");
    expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
    b.out[42] = 0;
    b.out[43] = 0;
    answer(&b, PCP_SUCCESS, 7200, 1000, SEC(1)); /* port 0 */
    expect_error(&b, -EACCES);
}

Test(pcp, only_the_answer_with_our_nonce_and_port_counts) {
    static const size_t places[] = {24, 35, 36, 41};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        struct bed b;
        init(&b, "192.168.1.2");
        expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
        b.out[places[i]] ^= 1;
        answer(&b, PCP_SUCCESS, 7200, 1000, SEC(1));
        expect_no_event(&b);
        b.out[places[i]] ^= 1;
        answer(&b, PCP_SUCCESS, 7200, 1000, SEC(1));
        expect_mapped(&b, "8.8.8.8:4001");
        answer(&b, PCP_NOT_AUTHORIZED, 7200, 1000, SEC(1)); /* a second one */
        expect_no_event(&b);
    }
}

Test(pcp, several_ports_are_mapped_each_for_itself) {
    struct bed b;
    struct pcp_event event;
    init(&b, "192.168.1.2");
    cr_assert_eq(pcp_add(&b.p, true, 4001, SEC(1)), 1);
    expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
    expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
    cr_assert_eq(b.out[36], 6, "TCP");
    answer(&b, PCP_SUCCESS, 7200, 1000, SEC(1));
    cr_assert(pcp_next_event(&b.p, &event));
    cr_assert_eq(event.mapping, 1);
    expect_no_event(&b);
}

/* --- the gateway's clock ---------------------------------------------------------------------- */

/* Mapped twice at SEC(1), epoch 1000; one is renewed at its time, with an epoch so much off.
 * Returns whether the other is asked for soon. */
static bool is_reborn(int64_t off_s, uint32_t *ret_elapsed_s) {
    struct bed b;
    init_mapped(&b);
    (void)pcp_add(&b.p, true, 4001, SEC(1));
    expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
    answer(&b, PCP_SUCCESS, 86400, 1000, SEC(1));
    expect_mapped(&b, "8.8.8.8:4001");
    nsec_t at = pcp_deadline(&b.p);
    expect_send(&b, PCP_REQUEST_BYTES, at);
    *ret_elapsed_s = (uint32_t)((at - SEC(1)) / SEC(1));
    answer(&b, PCP_SUCCESS, 7200, (uint32_t)(1000 + *ret_elapsed_s + off_s), at);
    expect_no_event(&b);
    expect_no_send(&b, at + SEC(2) - 1);
    return pcp_next_send(&b.p, b.out, &b.len, at + SEC(5));
}

Test(pcp, a_gateway_that_began_anew_is_asked_for_everything) {
    uint32_t elapsed;
    cr_assert_not(is_reborn(0, &elapsed));
    cr_assert_not(is_reborn(2, &elapsed));
    cr_assert_not(is_reborn(-2, &elapsed));
    int64_t share = elapsed / 16;
    cr_assert_not(is_reborn(-share - 2, &elapsed), "clocks differ");
    cr_assert(is_reborn(-share - 3, &elapsed));
    cr_assert_not(is_reborn(share, &elapsed));
    cr_assert(is_reborn(share + share / 8 + 3, &elapsed), "too fast is another one, too");
    cr_assert(is_reborn(-(int64_t)elapsed - 900, &elapsed), "behind what it was");
}

Test(pcp, a_gateway_that_always_begins_anew_is_not_asked_for_ever) {
    struct bed b;
    nsec_t now = SEC(1);
    size_t count = 0;
    init_mapped(&b);
    (void)pcp_add(&b.p, true, 4001, now);
    for (uint32_t epoch = 100000; now <= SEC(61); now = pcp_deadline(&b.p)) {
        pcp_tick(&b.p, now);
        while (pcp_next_send(&b.p, b.out, &b.len, now)) {
            answer(&b, PCP_SUCCESS, 7200, epoch -= 1000, now);
            count++;
        }
    }
    cr_assert_leq(count, 2 * 30 + 1, "%zu in a minute", count);
}

/* --- NAT-PMP ---------------------------------------------------------------------------------- */

Test(pcp, a_version_error_makes_it_natpmp_at_once) {
    struct bed b;
    init_natpmp(&b);
    cr_assert(bytes_equal(bytes_of(b.out, b.len), HEX("000100000fa10fa100001c20")));
    answer_natpmp(&b, NATPMP_OK, SEC(1));
    expect_no_event(&b); /* without the address */
    answer_natpmp(&b, NATPMP_IP, SEC(1));
    expect_mapped(&b, "8.8.8.8:4001");
    expect_no_event(&b);

    init_natpmp(&b); /* in the other order */
    answer_natpmp(&b, NATPMP_IP, SEC(1));
    expect_no_event(&b);
    answer_natpmp(&b, NATPMP_OK, SEC(1));
    expect_mapped(&b, "8.8.8.8:4001");

    init(&b, "192.168.1.2"); /* PCP's own form of the error */
    expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
    answer(&b, PCP_UNSUPP_VERSION, 0, 0, SEC(1));
    expect_send(&b, NATPMP_ADDRESS_REQUEST_BYTES, SEC(1));
}

Test(pcp, a_gateway_that_spoke_pcp_is_not_talked_out_of_it) {
    struct bed b;
    init_mapped(&b);
    answer_natpmp(&b, NATPMP_UNSUPPORTED, SEC(2));
    answer(&b, PCP_UNSUPP_VERSION, 0, 0, SEC(2));
    expect_no_send(&b, SEC(2));
    expect_no_event(&b);
}

Test(pcp, natpmp_is_repeated_six_times_from_a_quarter_of_a_second) {
    struct bed b;
    init_natpmp(&b);
    nsec_t now = SEC(1);
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(pcp_deadline(&b.p), now + MSEC(250u << i));
        now += MSEC(250u << i);
        if (i == 5)
            break;
        expect_send(&b, NATPMP_ADDRESS_REQUEST_BYTES, now);
        expect_send(&b, NATPMP_MAP_REQUEST_BYTES, now);
    }
    expect_no_send(&b, now);
    pcp_tick(&b.p, now);
    expect_error(&b, -ETIMEDOUT);
    cr_assert_eq(pcp_deadline(&b.p), now + SEC(600));
    answer_natpmp(&b, NATPMP_OK, now); /* late */
    expect_no_event(&b);
}

Test(pcp, natpmps_address_is_asked_for_again_with_each_renewal) {
    struct bed b;
    init_natpmp(&b);
    answer_natpmp(&b, NATPMP_IP, SEC(1));
    answer_natpmp(&b, NATPMP_OK, SEC(1));
    expect_mapped(&b, "8.8.8.8:4001");
    nsec_t at = pcp_deadline(&b.p);
    cr_assert_geq(at, SEC(3601));
    expect_send(&b, NATPMP_MAP_REQUEST_BYTES, at);
    char ok[64];
    uint32_t epoch = 1000 + (uint32_t)(at / SEC(1));
    (void)snprintf(ok, sizeof(ok), "00810000%08x0fa10fa100001c20", epoch);
    answer_natpmp(&b, ok, at);
    expect_no_event(&b);
    expect_send(&b, NATPMP_ADDRESS_REQUEST_BYTES, at);
    char ip[64];
    (void)snprintf(ip, sizeof(ip), "00800000%08x09090909", epoch);
    answer_natpmp(&b, ip, at);
    expect_mapped(&b, "9.9.9.9:4001");
    expect_no_send(&b, at);
}

Test(pcp, natpmps_refusals_rest_five_minutes) {
    struct bed b;
    init_natpmp(&b);
    answer_natpmp(&b, NATPMP_IP, SEC(1));
    answer_natpmp(&b, "00810002000003e80fa1000000000000", SEC(1));
    expect_error(&b, -EACCES);
    cr_assert_eq(pcp_deadline(&b.p), SEC(301));
    expect_send(&b, NATPMP_MAP_REQUEST_BYTES, SEC(301));

    init_natpmp(&b);
    answer_natpmp(&b, NATPMP_OK, SEC(1));
    answer_natpmp(&b, "00800000000003e800000000", SEC(1)); /* no address as yet */
    expect_no_event(&b);
    cr_assert_eq(pcp_deadline(&b.p), SEC(301));
    expect_send(&b, NATPMP_ADDRESS_REQUEST_BYTES, SEC(301));
}

Test(pcp, natpmps_answers_to_what_nobody_asked_are_ignored) {
    struct bed b;
    init_natpmp(&b);
    answer_natpmp(&b, "00820000000003e80fa10fa100001c20", SEC(1)); /* TCP */
    answer_natpmp(&b, "00810000000003e80fa20fa100001c20", SEC(1)); /* another port */
    answer_natpmp(&b, NATPMP_IP, SEC(1));
    answer_natpmp(&b, "00800000000003e809090909", SEC(1)); /* a second one */
    answer_natpmp(&b, NATPMP_OK, SEC(1));
    expect_mapped(&b, "8.8.8.8:4001");
}

Test(pcp, natpmp_ignores_garbage_and_pcp) {
    struct bed b;
    init_natpmp(&b);
    answer_natpmp(&b, "00810000", SEC(1));
    pcp_recv(&b.p, HEX("02810000"), SEC(1));
    answer_natpmp(&b, NATPMP_IP, SEC(1));
    expect_no_event(&b);
    answer_natpmp(&b, NATPMP_OK, SEC(1));
    expect_mapped(&b, "8.8.8.8:4001");
}

Test(pcp, ipv6_has_no_natpmp) {
    struct bed b;
    init(&b, "2001::2");
    expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
    answer_natpmp(&b, NATPMP_UNSUPPORTED, SEC(1));
    expect_error(&b, -ETIMEDOUT);
    cr_assert_eq(pcp_deadline(&b.p), SEC(601));
}

/* --- silence and the end ---------------------------------------------------------------------- */

Test(pcp, a_silent_gateway_is_asked_a_bounded_number_of_times) {
    struct bed b;
    init(&b, "192.168.1.2");
    /* Three of PCP, six of NAT-PMP twice over, in each round of some ten minutes and 37 s. */
    cr_assert_eq(count_sends(&b, SEC(1), SEC(60)), 15);
    expect_error(&b, -ETIMEDOUT);
    expect_no_event(&b);
    cr_assert_eq(count_sends(&b, pcp_deadline(&b.p), SEC(1000)), 15);
    expect_no_event(&b);
}

Test(pcp, a_mapping_lasts_until_its_end_though_the_gateway_is_silent) {
    struct bed b;
    init_mapped(&b);
    (void)count_sends(&b, pcp_deadline(&b.p), SEC(7201) - 1);
    expect_no_event(&b);
    pcp_tick(&b.p, SEC(7201));
    expect_error(&b, -ETIMEDOUT);
    expect_no_event(&b);
}

Test(pcp, a_port_added_during_the_rest_waits_for_its_end) {
    struct bed b;
    init(&b, "2001::2");
    expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
    answer_natpmp(&b, NATPMP_UNSUPPORTED, SEC(1));
    expect_error(&b, -ETIMEDOUT);
    (void)pcp_add(&b.p, true, 4001, SEC(2));
    expect_error(&b, -ETIMEDOUT);
    expect_no_send(&b, SEC(2));
    pcp_tick(&b.p, SEC(601));
    expect_send(&b, PCP_REQUEST_BYTES, SEC(601));
    expect_send(&b, PCP_REQUEST_BYTES, SEC(601));
}

Test(pcp, closing_removes_what_is_mapped_with_one_packet_each) {
    struct bed b;
    init_mapped(&b);
    (void)pcp_add(&b.p, true, 4001, SEC(1)); /* not mapped */
    pcp_close(&b.p, SEC(2));
    cr_assert_eq(pcp_deadline(&b.p), SEC(2));
    expect_send(&b, PCP_REQUEST_BYTES, SEC(2));
    cr_assert(bytes_equal(bytes_of(b.out + 4, 4), HEX("00000000")), "for no time");
    expect_no_send(&b, SEC(2));
    cr_assert_eq(pcp_deadline(&b.p), NSEC_NEVER);
    answer(&b, PCP_SUCCESS, 0, 1001, SEC(2));
    expect_no_event(&b);
    expect_no_send(&b, SEC(9999));

    init_natpmp(&b);
    answer_natpmp(&b, NATPMP_OK, SEC(1));
    pcp_close(&b.p, SEC(2));
    expect_send(&b, NATPMP_MAP_REQUEST_BYTES, SEC(2));
    cr_assert(bytes_equal(bytes_of(b.out, b.len), HEX("000100000fa1000000000000")));
    expect_no_send(&b, SEC(2));
    cr_assert_eq(pcp_deadline(&b.p), NSEC_NEVER);
}

Test(pcp, garbage_is_ignored) {
    struct bed b;
    init(&b, "192.168.1.2");
    pcp_recv(&b.p, BYTES_EMPTY, SEC(1));
    pcp_recv(&b.p, HEX("02"), SEC(1));
    pcp_recv(&b.p, HEX("ff"), SEC(1));
    expect_no_event(&b);
    expect_send(&b, PCP_REQUEST_BYTES, SEC(1));
}

Test(pcp, the_engine_stays_within_its_stated_size) {
    cr_assert_leq(sizeof(struct pcp), 1024);
}

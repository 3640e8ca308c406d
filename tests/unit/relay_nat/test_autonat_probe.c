/* SPDX-License-Identifier: MIT */
/* Goal: a server's word counts with the nonce alone, and costs us no more than 100,000 bytes.
 * Spec: libp2p AutoNAT v2, "Client step". */
#include "core/base/err.h"
#include "relay/proto/autonat_probe.h"
#include "tests/support/fixed_rng.h"
#include "tests/support/hex.h"
#include "tests/unit/relay_nat/addrs.h"

#define OK_0         HEX("120608c80118c801")
#define OK_1         HEX("120808c801100118c801")
#define UNREACHED_1  HEX("120708c80110011864")
#define BACK_FAILED  HEX("120508c8011865")
#define REFUSED      HEX("12020865")
#define REJECTED     HEX("12020864")
#define INTERNAL     HEX("1200")
#define WANTS_100000 HEX("1a0410a08d06")

/* Two addresses, TCP and QUIC; the request is sent at SEC(1). */
static void init(struct autonat_probe *p) {
    struct multiaddr addrs[] = {maddr("/ip4/5.6.7.8/tcp/4001"),
                                maddr("/ip4/5.6.7.8/udp/4001/quic-v1")};
    static uint8_t out[AUTONAT_OUT_MAX];
    struct fixed_rng g;
    struct autonat_msg m;
    fixed_rng_init(&g, 5);
    autonat_probe_init(p, addrs, 2, &g.rng, SEC(1));
    size_t len = autonat_probe_pull(p, out, SEC(1));
    cr_assert_eq(autonat_decode(bytes_of(out + 1, len - 1), &m), 0);
    cr_assert_eq(m.type, AUTONAT_DIAL_REQUEST);
    cr_assert_eq(m.nonce, p->nonce);
    cr_assert_neq(m.nonce, 0);
    cr_assert_eq(autonat_probe_pull(p, out, SEC(1)), 0);
}

static void expect(struct autonat_probe *p, enum autonat_verdict verdict, uint32_t index) {
    struct autonat_result r;
    cr_assert(autonat_probe_result(p, &r), "no result");
    cr_assert_eq(r.verdict, verdict, "verdict %d instead of %d", r.verdict, verdict);
    cr_assert_eq(r.index, index);
    cr_assert_not(autonat_probe_result(p, &r), "once");
    cr_assert_eq(autonat_probe_deadline(p), NSEC_NEVER);
}

static void expect_failed(struct autonat_probe *p, int error) {
    struct autonat_result r;
    cr_assert(autonat_probe_result(p, &r), "no result");
    cr_assert_eq(r.verdict, AUTONAT_FAILED);
    cr_assert_eq(r.error, error, "%s instead of %s", err_name(r.error), err_name(error));
    cr_assert_eq(autonat_probe_deadline(p), NSEC_NEVER);
}

static void expect_none(struct autonat_probe *p) {
    struct autonat_result r;
    cr_assert_not(autonat_probe_result(p, &r));
}

#define BY_TCP  "/ip4/9.8.7.6/tcp/50000"
#define BY_QUIC "/ip4/9.8.7.6/udp/50000/quic-v1"

static bool dial_back(struct autonat_probe *p, const char *remote, nsec_t now) {
    struct multiaddr from = maddr(remote);
    return autonat_probe_dial_back(p, p->nonce, &from, now);
}

Test(autonat_probe, the_nonce_and_the_servers_word_make_an_address_reachable) {
    struct autonat_probe p;
    init(&p);
    cr_assert(dial_back(&p, BY_QUIC, SEC(2)));
    expect_none(&p);
    autonat_probe_recv(&p, OK_1, SEC(3));
    expect(&p, AUTONAT_REACHABLE, 1);
}

Test(autonat_probe, the_nonce_may_come_five_seconds_late) {
    struct autonat_probe p;
    init(&p);
    autonat_probe_recv(&p, OK_0, SEC(3));
    expect_none(&p);
    cr_assert_eq(autonat_probe_deadline(&p), SEC(8));
    autonat_probe_failed(&p, -ERR_TRUNCATED, SEC(4)); /* the stream ended, as it should */
    expect_none(&p);
    autonat_probe_tick(&p, SEC(8) - 1);
    cr_assert(dial_back(&p, BY_TCP, SEC(8) - 1));
    expect(&p, AUTONAT_REACHABLE, 0);

    init(&p);
    autonat_probe_recv(&p, OK_0, SEC(3));
    autonat_probe_tick(&p, SEC(8));
    expect(&p, AUTONAT_NO_VERDICT, 0);
    cr_assert_not(dial_back(&p, BY_TCP, SEC(8)), "too late");
}

Test(autonat_probe, the_nonce_must_come_over_what_the_address_is_dialled_with) {
    struct autonat_probe p;
    init(&p);
    cr_assert(dial_back(&p, BY_TCP, SEC(2)));
    autonat_probe_recv(&p, OK_1, SEC(3));
    expect(&p, AUTONAT_NO_VERDICT, 1);
    init(&p);
    cr_assert(dial_back(&p, "/ip6/2a01::9/udp/50000/quic-v1", SEC(2)));
    autonat_probe_recv(&p, OK_1, SEC(3));
    expect(&p, AUTONAT_NO_VERDICT, 1); /* IPv6 proves nothing of IPv4 */
}

Test(autonat_probe, a_secure_websocket_is_dialled_back_through_its_proxy) {
    struct multiaddr wss = maddr("/dns4/example.com/tcp/443/wss");
    struct autonat_probe p;
    struct fixed_rng g;
    static uint8_t out[AUTONAT_OUT_MAX];
    fixed_rng_init(&g, 5);
    autonat_probe_init(&p, &wss, 1, &g.rng, 0);
    cr_assert_gt(autonat_probe_pull(&p, out, 0), 0);
    cr_assert(dial_back(&p, "/ip6/2a01::9/tcp/50000/ws", 0));
    autonat_probe_recv(&p, OK_0, 0);
    expect(&p, AUTONAT_REACHABLE, 0);
}

Test(autonat_probe, an_unknown_nonce_and_a_second_one_are_not_ours) {
    struct autonat_probe p;
    struct multiaddr from = maddr(BY_TCP);
    init(&p);
    cr_assert_not(autonat_probe_dial_back(&p, p.nonce + 1, &from, SEC(1)));
    cr_assert_not(autonat_probe_dial_back(&p, 0, &from, SEC(1)));
    cr_assert(dial_back(&p, BY_TCP, SEC(1)));
    cr_assert_not(dial_back(&p, BY_TCP, SEC(1)));
}

Test(autonat_probe, a_failed_dial_makes_an_address_unreachable_unless_the_nonce_came) {
    struct autonat_probe p;
    init(&p);
    autonat_probe_recv(&p, UNREACHED_1, SEC(3));
    expect(&p, AUTONAT_UNREACHABLE, 1);

    init(&p);
    cr_assert(dial_back(&p, BY_QUIC, SEC(2)));
    autonat_probe_recv(&p, UNREACHED_1, SEC(3));
    expect(&p, AUTONAT_NO_VERDICT, 1);
}

Test(autonat_probe, a_failed_dial_back_counts_when_the_nonce_came_all_the_same) {
    struct autonat_probe p;
    init(&p);
    autonat_probe_recv(&p, BACK_FAILED, SEC(3));
    expect(&p, AUTONAT_NO_VERDICT, 0);

    init(&p);
    cr_assert(dial_back(&p, BY_TCP, SEC(2)));
    autonat_probe_recv(&p, BACK_FAILED, SEC(3));
    expect(&p, AUTONAT_REACHABLE, 0);
}

Test(autonat_probe, refusals_are_told_apart) {
    struct autonat_probe p;
    init(&p);
    autonat_probe_recv(&p, REFUSED, SEC(3));
    expect(&p, AUTONAT_REFUSED, 0);
    init(&p);
    autonat_probe_recv(&p, REJECTED, SEC(3));
    expect(&p, AUTONAT_REJECTED, 0);
    init(&p);
    autonat_probe_recv(&p, INTERNAL, SEC(3));
    expect_failed(&p, -ECONNABORTED);
}

/* go's server rejects before it reads. */
Test(autonat_probe, a_rejection_may_come_before_the_request_went) {
    struct multiaddr addr = maddr("/ip4/5.6.7.8/tcp/4001");
    struct autonat_probe p;
    struct fixed_rng g;
    static uint8_t out[AUTONAT_OUT_MAX];
    fixed_rng_init(&g, 5);
    autonat_probe_init(&p, &addr, 1, &g.rng, 0);
    autonat_probe_recv(&p, REJECTED, 0);
    expect(&p, AUTONAT_REJECTED, 0);
    cr_assert_eq(autonat_probe_pull(&p, out, 0), 0);

    autonat_probe_init(&p, &addr, 1, &g.rng, 0);
    autonat_probe_recv(&p, OK_0, 0);
    expect_failed(&p, -ERR_PROTOCOL_VIOLATION);
}

Test(autonat_probe, data_is_sent_exactly_as_much_as_was_wanted) {
    struct autonat_probe p;
    static uint8_t out[AUTONAT_OUT_MAX];
    struct autonat_msg m;
    size_t sum = 0;
    size_t frames = 0;
    init(&p);
    autonat_probe_recv(&p, WANTS_100000, SEC(2));
    for (size_t len; (len = autonat_probe_pull(&p, out, SEC(2))) > 0; frames++) {
        cr_assert_eq(autonat_decode(bytes_of(out + 2, len - 2), &m), 0);
        cr_assert_eq(m.type, AUTONAT_DATA_RESPONSE);
        sum += m.data_bytes;
    }
    cr_assert_eq(sum, 100000);
    cr_assert_eq(frames, 25);
    autonat_probe_recv(&p, UNREACHED_1, SEC(3));
    expect(&p, AUTONAT_UNREACHABLE, 1);

    init(&p);
    autonat_probe_recv(&p,
                       HEX("1a0310"
                           "a11f"),
                       SEC(2)); /* 4,001 */
    cr_assert_gt(autonat_probe_pull(&p, out, SEC(2)), 4000);
    cr_assert_eq(autonat_probe_pull(&p, out, SEC(2)), 6); /* one byte of data */
    cr_assert_eq(autonat_probe_pull(&p, out, SEC(2)), 0);
}

Test(autonat_probe, data_beyond_the_limit_or_out_of_turn_is_refused) {
    static const char *const wants[] = {
        "1a0410a18d06", /* 100,001 */
        "1a0c10ffffffffffffffffff01"
        "0800", /* 2^64 - 1 */
        "1a00", /* none */
        "1a060802"
        "10c0b802", /* of the third address of two */
    };
    for (size_t i = 0; i < ARRAY_COUNT(wants); i++) {
        struct autonat_probe p;
        uint8_t memory[32];
        static uint8_t out[AUTONAT_OUT_MAX];
        init(&p);
        struct bytes body = hex_into(wants[i], memory, sizeof(memory));
        if (i == 1) /* the inner length counts both fields */
            memory[1] = (uint8_t)(body.len - 2);
        autonat_probe_recv(&p, body, SEC(2));
        expect_failed(&p, -ERR_PROTOCOL_VIOLATION);
        cr_assert_eq(autonat_probe_pull(&p, out, SEC(2)), 0);
    }
    struct autonat_probe p;
    init(&p);
    autonat_probe_recv(&p, WANTS_100000, SEC(2));
    autonat_probe_recv(&p, WANTS_100000, SEC(2));
    expect_failed(&p, -ERR_PROTOCOL_VIOLATION);
    init(&p);
    autonat_probe_recv(&p, WANTS_100000, SEC(2));
    autonat_probe_recv(&p, OK_0, SEC(2)); /* without having been paid */
    expect_failed(&p, -ERR_PROTOCOL_VIOLATION);
}

Test(autonat_probe, a_rejection_ends_the_data) {
    struct autonat_probe p;
    static uint8_t out[AUTONAT_OUT_MAX];
    init(&p);
    autonat_probe_recv(&p, WANTS_100000, SEC(2));
    cr_assert_gt(autonat_probe_pull(&p, out, SEC(2)), 0);
    autonat_probe_recv(&p, REJECTED, SEC(2));
    cr_assert_eq(autonat_probe_pull(&p, out, SEC(2)), 0);
    expect(&p, AUTONAT_REJECTED, 0);
}

Test(autonat_probe, answers_that_make_no_sense_fail) {
    static const struct {
        const char *body;
        int error;
    } rows[] = {
        {"120808c801100218c801", -ERR_PROTOCOL_VIOLATION}, /* the third address of two */
        {"120308c801", -ERR_PROTOCOL_VIOLATION},           /* OK, and no dial status */
        {"120508c8011866", -ERR_PROTOCOL_VIOLATION},       /* an unknown one */
        {"12020801", -ERR_PROTOCOL_VIOLATION},             /* an unknown status */
        {"0a00", -ERR_PROTOCOL_VIOLATION},                 /* a client's message */
        {"2200", -ERR_PROTOCOL_VIOLATION},
        {"ff", -ERR_TRUNCATED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct autonat_probe p;
        uint8_t memory[32];
        init(&p);
        autonat_probe_recv(&p, hex_into(rows[i].body, memory, sizeof(memory)), SEC(2));
        expect_failed(&p, rows[i].error);
        autonat_probe_recv(&p, OK_0, SEC(2)); /* ignored */
        expect_none(&p);
    }
    struct autonat_probe p;
    init(&p);
    autonat_probe_recv(&p, OK_0, SEC(2));
    autonat_probe_recv(&p, OK_0, SEC(2));
    expect_failed(&p, -ERR_PROTOCOL_VIOLATION);
}

Test(autonat_probe, silence_fails_after_thirty_seconds_and_not_before) {
    struct autonat_probe p;
    init(&p);
    cr_assert_eq(autonat_probe_deadline(&p), SEC(31));
    autonat_probe_tick(&p, SEC(31) - 1);
    expect_none(&p);
    autonat_probe_tick(&p, SEC(31));
    expect_failed(&p, -ETIMEDOUT);
}

Test(autonat_probe, a_stream_that_ends_before_the_answer_fails) {
    struct autonat_probe p;
    init(&p);
    autonat_probe_failed(&p, -ERR_STREAM_RESET, SEC(2));
    expect_failed(&p, -ERR_STREAM_RESET);
    autonat_probe_failed(&p, -ERR_STREAM_RESET, SEC(2));
    expect_none(&p);
}

/* Spec: decision 1, "pending nonce". */
Test(autonat_probe, a_dial_back_is_expected_for_ten_seconds_and_not_before_it_is_paid) {
    struct autonat_probe p;
    static uint8_t out[AUTONAT_OUT_MAX];
    init(&p);
    cr_assert(autonat_probe_expects(&p, SEC(1)));
    cr_assert(autonat_probe_expects(&p, SEC(11) - 1));
    cr_assert_not(autonat_probe_expects(&p, SEC(11)));
    autonat_probe_recv(&p, WANTS_100000, SEC(2));
    cr_assert_not(autonat_probe_expects(&p, SEC(2)));
    while (autonat_probe_pull(&p, out, SEC(3)) > 0)
        continue;
    cr_assert(autonat_probe_expects(&p, SEC(13) - 1));
    cr_assert_not(autonat_probe_expects(&p, SEC(13)));
    cr_assert(dial_back(&p, BY_QUIC, SEC(4)));
    cr_assert_not(autonat_probe_expects(&p, SEC(4)), "one is enough");

    struct multiaddr addr = maddr("/ip4/5.6.7.8/tcp/4001");
    struct fixed_rng g;
    fixed_rng_init(&g, 5);
    autonat_probe_init(&p, &addr, 1, &g.rng, SEC(1));
    cr_assert_not(autonat_probe_expects(&p, SEC(1)), "nobody was asked");
    autonat_probe_failed(&p, -ERR_STREAM_RESET, SEC(1));
    cr_assert_not(autonat_probe_expects(&p, SEC(1)));
}

/* Strangers who take all places must not make us unreachable. */
Test(autonat_probe, a_failed_dial_says_nothing_when_somebody_was_turned_away) {
    struct autonat_probe p;
    init(&p);
    autonat_probe_turned_away(&p);
    autonat_probe_recv(&p, UNREACHED_1, SEC(3));
    expect(&p, AUTONAT_NO_VERDICT, 1);
}

Test(autonat_probe, the_engine_stays_within_its_stated_size) {
    cr_assert_leq(sizeof(struct autonat_probe), 6 * 1024);
}

/* SPDX-License-Identifier: MIT */

/* Goal: a reservation is had, told of and announced; what refuses it has its error.  When it is
 * asked for again is the engine's: tests/unit/relay_proto. */

#include <stdio.h>

#include "core/base/problem.h"
#include "tests/unit/relay_hosts/circuits.h"

static const struct hop_service_config limits = {.circuit_duration = SEC(60),
                                                 .circuit_bytes = 1 << 20};

static struct reservations *keep(struct circuits *c, bool reserves) {
    struct problem problem = PROBLEM_INIT;
    struct multiaddr relay = relay_addr(c);
    struct reservations *r;
    struct reservations_config cfg = {.reactor = c->t->reactor,
                                      .host = c->t->b.host,
                                      .circuit = c->at_b,
                                      .relays = &relay,
                                      .relays_count = 1,
                                      .renew_interval = NSEC_NEVER,
                                      .reserves = reserves};
    cr_assert_eq(reservations_new(&cfg, &problem, &r), 0, "%s", problem.text);
    return r;
}

CASE(reservation, is_had_told_of_and_announced) {
    static struct circuits c;
    struct multiaddr listed[4];
    circuits_open(&c, t, &limits);
    walltime_t wall = reactor_walltime(t->reactor);
    circuits_reserve(&c);
    struct reservation_info info = reservation_of(c.of_b);
    cr_assert(peer_id_equal(&info.relay, &c.relay.identity.id));
    cr_assert_eq(info.error, 0);
    cr_assert_eq(info.status, 0);
    cr_assert_gt(info.last.at, 0);
    cr_assert_geq(info.last.expire, wall + 3599);
    cr_assert_leq(info.last.expire, wall + 3610);
    cr_assert(info.last.has_voucher);
    cr_assert(info.last.has_limit);
    cr_assert_eq(info.last.limit.duration_s, 60);
    cr_assert_eq(info.last.limit.data_bytes, 1 << 20);
    cr_assert_eq(info.told_count, 1);
    cr_assert(multiaddr_equal(&info.told[0], &c.relay.addr));
    cr_assert_eq(info.addrs_count, 1, "where it was reached is what it told");
    cr_assert(multiaddr_equal(&info.addrs[0], &c.relay.addr));
    cr_assert_eq(host_listen_addrs(t->b.host, listed, ARRAY_COUNT(listed)), 1);
    struct multiaddr at = circuit_addr(&c);
    cr_assert(multiaddr_equal(&listed[0], &at));

    circuits_unreserve(&c);
    cr_assert_eq(host_listen_addrs(t->b.host, listed, ARRAY_COUNT(listed)), 0);
    circuits_close(&c);
}

CASE(reservation, is_lost_with_the_connection_and_comes_back) {
    static struct circuits c;
    struct multiaddr listed[4];
    circuits_open(&c, t, &limits);
    circuits_reserve(&c);
    nsec_t first = reservation_of(c.of_b).last.at;
    struct conn *conn = conn_to(&c.relay, &t->b.identity.id);
    conn->ops->close(conn, CONN_CODE_NONE);
    TURN_UNTIL(t, host_listen_addrs(t->b.host, listed, ARRAY_COUNT(listed)) == 0);
    cr_assert_not(reservation_of(c.of_b).held);
    cr_assert_eq(reservation_of(c.of_b).told_count, 0);
    /* It may rest now; that our network changed is a reason not to. */
    reservations_network_changed(c.of_b);
    TURN_UNTIL(t, host_listen_addrs(t->b.host, listed, ARRAY_COUNT(listed)) == 1);
    cr_assert(reservation_of(c.of_b).held);
    cr_assert_gt(reservation_of(c.of_b).last.at, first);
    circuits_close(&c);
}

/* --- What a relay may answer --- */

struct row {
    struct hop_msg message;
    const char *raw; /* instead */
    size_t raw_len;
    bool ends;
    bool resets; /* instead */
    int error;
    uint32_t status;
};

#define STATUS(number) .message = {.type = HOP_STATUS, .has_status = true, .status = (number)}

static const struct row rows[] = {
    {STATUS(200), .error = -ERR_RESOURCE_LIMIT, .status = 200},
    {STATUS(201), .error = -ERR_RESOURCE_LIMIT, .status = 201},
    {STATUS(202), .error = -ERR_NOT_AUTHORIZED, .status = 202},
    {STATUS(100), .error = -ERR_PROTOCOL_VIOLATION, .status = 100},
    {STATUS(7), .error = -ERR_PROTOCOL_VIOLATION, .status = 7},
    {.message = {.type = HOP_RESERVE}, .error = -ERR_PROTOCOL_VIOLATION},
    {.raw = "\x03\x0a\xff\xff", .raw_len = 4, .error = -ERR_TRUNCATED},
    {.raw = "\xff\xff\x03", .raw_len = 3, .error = -ERR_LIMIT},
    {.raw = "\x05\x08", .raw_len = 2, .ends = true, .error = -ERR_TRUNCATED},
    {.raw = "", .raw_len = 0, .ends = true, .error = -ERR_TRUNCATED},
    {.resets = true, .error = -ERR_STREAM_RESET},
};

static void answer(struct said *s, const struct row *row) {
    uint8_t out[CIRCUIT_OUT_MAX];
    if (row->resets) {
        stream_reset(s->stream, STREAM_CODE_NONE);
        return;
    }
    struct bytes b = bytes_of(row->raw, row->raw_len);
    if (row->raw == NULL)
        b = bytes_of(out, (size_t)hop_msg_encode(&row->message, out));
    if (b.len > 0)
        say(s, b);
    if (row->ends)
        stream_shutdown_write(s->stream);
}

CASE(reservation, that_is_refused_says_why) {
    static struct circuits c;
    circuits_open(&c, t, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct reservations *r = keep(&c, true);
        TURN_UNTIL(t, c.said_count == i + 1 && c.said[i].got_len > 0);
        cr_assert_eq(c.said[i].got_len, 3);
        cr_assert_arr_eq(c.said[i].got, "\x02\x08\x00", 3, "RESERVE");
        answer(&c.said[i], &rows[i]);
        TURN_UNTIL(t, reservation_of(r).error != 0);
        struct reservation_info info = reservation_of(r);
        cr_assert_eq(info.error, rows[i].error, "%zu: %s", i, err_text(info.error));
        cr_assert_eq(info.status, rows[i].status, "%zu: %u", i, info.status);
        cr_assert_not(info.held);
        cr_assert_eq(info.last.at, 0);
        cr_assert_null(reservations_free(r));
    }
    circuits_close(&c);
}

CASE_QUIC(reservation, is_not_had_of_who_is_no_relay) {
    static struct circuits c;
    circuits_open(&c, t, NULL);
    host_unhandle(c.relay.host, &c.hop);
    struct reservations *r = keep(&c, true);
    TURN_UNTIL(t, reservation_of(r).error != 0);
    cr_assert_eq(reservation_of(r).error, -ERR_PROTOCOL_NOT_SUPPORTED);
    cr_assert_null(reservations_free(r));
    circuits_close(&c);
}

/* In each phase of an exchange. */
CASE(reservation, may_be_given_up_at_any_time) {
    for (int phase = 0; phase < 3; phase++) {
        static struct circuits c;
        circuits_open(&c, t, NULL);
        struct reservations *r = keep(&c, true);
        if (phase == 1)
            TURN_UNTIL(t, conns_count(&t->b) == 1);
        if (phase == 2)
            TURN_UNTIL(t, c.said_count == 1 && c.said[0].got_len > 0);
        cr_assert_null(reservations_free(r));
        turn_for(t, MSEC(5));
        circuits_close(&c);
    }
}

/* --- Relays as ways to others --- */

/* Who reserves nowhere asks nobody, and finds others behind its relays all the same. */
CASE_QUIC(reservation, is_not_needed_to_find_others) {
    static struct circuits c;
    circuits_open(&c, t, &limits);
    circuits_reserve(&c);
    struct problem problem = PROBLEM_INIT;
    struct multiaddr relay = relay_addr(&c);
    struct reservations *of_a;
    struct reservations_config cfg = {.reactor = t->reactor,
                                      .host = t->a.host,
                                      .circuit = c.at_a,
                                      .relays = &relay,
                                      .relays_count = 1,
                                      .renew_interval = NSEC_NEVER};
    cr_assert_eq(reservations_new(&cfg, &problem, &of_a), 0);
    turn_for(t, MSEC(20));
    cr_assert_eq(conns_count(&t->a), 0);
    struct connecting x = circuits_try(&c, &t->b.identity.id);
    cr_assert_eq(x.error, 0, "%s", x.problem);
    cr_assert(conn_to(&t->a, &t->b.identity.id)->relayed);
    cr_assert_not(reservation_of(of_a).held);
    cr_assert_null(reservations_free(of_a));
    circuits_close(&c);
}

/* --- Relays that are none --- */

CASE_QUIC(reservation, relays_need_their_id_and_are_bounded) {
    static struct circuits c;
    struct multiaddr relays[RESERVATIONS_MAX + 1];
    struct reservations *r;
    circuits_open(&c, t, NULL);
    struct reservations_config cfg = {.reactor = t->reactor,
                                      .host = t->b.host,
                                      .circuit = c.at_b,
                                      .relays = relays,
                                      .relays_count = 1,
                                      .renew_interval = NSEC_NEVER,
                                      .reserves = true};
    struct problem problem = PROBLEM_INIT;
    relays[0] = c.relay.addr;
    cr_assert_eq(reservations_new(&cfg, &problem, &r), -EINVAL);
    cr_assert_not_null(strstr(problem.text, "/p2p/"), "%s", problem.text);
    relays[0] = circuit_addr(&c);
    cr_assert_eq(multiaddr_add_peer(&relays[0], &t->a.identity.id), 0);
    cr_assert_eq(reservations_new(&cfg, &problem, &r), -EINVAL, "a relay behind a relay");

    for (uint8_t i = 0; i < ARRAY_COUNT(relays); i++) {
        uint8_t seed[ED25519_SEED_BYTES];
        struct identity identity;
        memset(seed, 100 + i, sizeof(seed));
        cr_assert_eq(identity_from_seed(seed, &identity), 0);
        relays[i] = c.relay.addr;
        cr_assert_eq(multiaddr_add_peer(&relays[i], &identity.id), 0);
        identity_done(&identity);
    }
    cfg.relays_count = ARRAY_COUNT(relays);
    cr_assert_eq(reservations_new(&cfg, &problem, &r), -EINVAL);
    cr_assert_not_null(strstr(problem.text, "16 relays"), "%s", problem.text);
    cfg.relays_count = RESERVATIONS_MAX;
    cr_assert_eq(reservations_new(&cfg, &problem, &r), 0, "%s", problem.text);
    cr_assert_null(reservations_free(r));
    cr_assert_null(reservations_free(NULL));
    circuits_close(&c);
}

/* SPDX-License-Identifier: MIT */

/* Goal: every status, every way to go away in the middle, every bound.
 * Spec: libp2p relay-v2; decisions 1, 2 and 7. */

#include <stdio.h>
#include <string.h>

#include "core/p2p/protocol_id.h"
#include "relay/proto/voucher.h"
#include "tests/unit/relay_circuit/relay_rig.h"

static struct multiaddr parsed(const char *text) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(text, &a), 0, "%s", text);
    return a;
}

/* Asserts that the addresses of a reservation are these, each with the relay's ID behind it. */
static void assert_addrs(const struct relay_rig *rig, const struct hop_msg *m,
                         const char *const *texts) {
    struct bytes left = m->reservation.addrs;
    struct multiaddr got;
    for (; *texts != NULL; texts++) {
        struct multiaddr expected = parsed(*texts);
        cr_assert_eq(multiaddr_add_peer(&expected, &host_identity(rig->relay)->id), 0);
        cr_assert(circuit_next_addr(&left, &got), "%s is missing", *texts);
        cr_assert(multiaddr_equal(&got, &expected), "not %s", *texts);
    }
    cr_assert_not(circuit_next_addr(&left, &got), "one too many");
}

/* --- Reservations --- */

Test(hop_service, a_reservation_says_until_when_where_and_with_which_limit) {
    struct relay_rig rig;
    struct multiaddr advertised[] = {parsed("/ip4/192.168.7.7/tcp/7777"),
                                     parsed("/ip4/8.8.4.4/tcp/7777"),
                                     parsed("/ip4/8.8.4.4/udp/7777/quic-v1")};
    rig_prepare(&rig);
    fake_host_advertise(rig.relay, advertised, ARRAY_COUNT(advertised));
    rig.cfg.circuit_duration = SEC(120);
    rig.cfg.circuit_bytes = 131072;
    rig_start(&rig);
    struct peer_end *end = rig_reserve(&rig, rig.b);
    struct hop_msg m = end_answer(end, CIRCUIT_STATUS_OK);
    cr_assert(end->is_ended);
    cr_assert_not(end->was_reset);
    cr_assert(m.has_reservation);
    cr_assert_eq(m.reservation.expire, reactor_walltime(rig.reactor) + 3600);
    cr_assert(m.has_limit);
    cr_assert_eq(m.limit.duration_s, 120);
    cr_assert_eq(m.limit.data_bytes, 131072);
    assert_addrs(&rig, &m,
                 (const char *[]){"/ip4/8.8.4.4/tcp/7777", "/ip4/8.8.4.4/udp/7777/quic-v1", NULL});
    walltime_t expire;
    cr_assert_eq(voucher_open(m.reservation.voucher, &host_identity(rig.relay)->id,
                              &host_identity(rig.b)->id, &expire),
                 0);
    cr_assert_eq(expire, m.reservation.expire);
    cr_assert_eq(rig_stats(&rig).reservations, 1);
    cr_assert_eq(rig_stats(&rig).half_open, 0);
    cr_assert_eq(rig_answers(&rig, HOP_REQUEST_RESERVE, CIRCUIT_STATUS_OK), 1);
    cr_assert_eq(rig_logged(&rig, "reservation made"), 1);

    /* A renewal is no news. */
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    cr_assert_eq(rig_stats(&rig).reservations, 1);
    cr_assert_eq(rig_logged(&rig, "reservation made"), 1);
    rig_close(&rig);
}

/* Decision 2: without limits a Limit message of zeros goes out.  A part of a second is none. */
Test(hop_service, limits_are_told_also_when_there_are_none) {
    static const struct {
        nsec_t duration;
        uint32_t told;
    } rows[] = {{0, 0}, {1, 1}, {MSEC(1500), 2}, {SEC(7), 7}, {NSEC_NEVER, UINT32_MAX}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct relay_rig rig;
        rig_prepare(&rig);
        rig.cfg.circuit_duration = rows[i].duration;
        rig_start(&rig);
        struct hop_msg m = end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
        cr_assert(m.has_limit);
        cr_assert_eq(m.limit.duration_s, rows[i].told);
        cr_assert_eq(m.limit.data_bytes, 0);
        rig_close(&rig);
    }
}

/* Configured ones first, each once, none of another peer; private ones if wanted; where the client
 * came in if there is no other. */
Test(hop_service, which_addresses_a_reservation_lists) {
    struct relay_rig rig;
    struct multiaddr advertised[] = {parsed("/ip4/10.0.0.1/tcp/1"), parsed("/ip4/8.8.4.4/tcp/1"),
                                     parsed("/ip4/8.8.8.8/tcp/1/p2p-circuit"),
                                     parsed("/ip4/127.0.0.1/tcp/1")};
    struct multiaddr announce[] = {parsed("/ip4/8.8.4.4/tcp/1"),
                                   parsed("/dns4/relay.example/tcp/2"),
                                   parsed("/ip4/8.8.8.8/tcp/3"), parsed("/ip4/8.8.8.8/tcp/4")};
    struct hop_msg m;
    rig_prepare(&rig);
    cr_assert_eq(multiaddr_add_peer(&announce[1], &host_identity(rig.relay)->id), 0);
    cr_assert_eq(multiaddr_add_peer(&announce[2], &host_identity(rig.a)->id), 0);

    rig_start(&rig);
    m = end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    assert_addrs(&rig, &m, (const char *[]){"/ip4/192.168.7.7/tcp/7777", NULL});
    rig_close_service(&rig);
    rig.is_closed = false;

    fake_host_advertise(rig.relay, advertised, ARRAY_COUNT(advertised));
    rig.cfg.announce = announce;
    rig.cfg.announce_count = ARRAY_COUNT(announce);
    rig_start(&rig);
    m = end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    assert_addrs(&rig, &m,
                 (const char *[]){"/ip4/8.8.4.4/tcp/1", "/dns4/relay.example/tcp/2",
                                  "/ip4/8.8.8.8/tcp/4", NULL});
    rig_close_service(&rig);
    rig.is_closed = false;

    rig.cfg.announce_count = 0;
    rig.cfg.announces_private = true;
    rig_start(&rig);
    m = end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    assert_addrs(&rig, &m,
                 (const char *[]){"/ip4/10.0.0.1/tcp/1", "/ip4/8.8.4.4/tcp/1",
                                  "/ip4/127.0.0.1/tcp/1", NULL});
    rig_close(&rig);
}

/* Where we dialled the client, our address is no place to come to. */
Test(hop_service, an_address_that_we_dialled_from_is_not_listed) {
    struct relay_rig rig;
    rig_open(&rig);
    fake_disconnect(rig.conn_b, -ERR_CONN_CLOSED);
    rig_turn(&rig);
    (void)fake_connect(rig.relay, rig.b, "/ip4/192.168.7.7/tcp/50000", "/ip4/10.1.1.1/tcp/1");
    struct hop_msg m = end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    assert_addrs(&rig, &m, (const char *[]){NULL});
    rig_close(&rig);
}

/* An answer has room for 4,096 bytes, whatever is announced. */
Test(hop_service, addresses_beyond_the_room_are_left_out) {
    struct relay_rig rig;
    struct multiaddr announce[HOP_ADDRS_MAX];
    char text[512];
    rig_prepare(&rig);
    for (size_t i = 0; i < ARRAY_COUNT(announce); i++) {
        int n = snprintf(text, sizeof(text), "/dns4/%zu", i);
        memset(text + n, 'x', 300);
        (void)snprintf(text + n + 300, sizeof(text) - (size_t)n - 300, ".example/tcp/1");
        announce[i] = parsed(text);
    }
    rig.cfg.announce = announce;
    rig.cfg.announce_count = ARRAY_COUNT(announce);
    rig_start(&rig);
    struct hop_msg m = end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    struct bytes left = m.reservation.addrs;
    struct multiaddr got;
    size_t count = 0;
    while (circuit_next_addr(&left, &got))
        count++;
    cr_assert_eq(count, 3072 / (300 + 60));
    cr_assert_gt(m.reservation.voucher.len, 0);
    rig_close(&rig);
}

Test(hop_service, a_second_peer_beyond_the_limit_is_refused) {
    struct relay_rig rig;
    rig_prepare(&rig);
    rig.cfg.reservations_max = 1;
    rig_start(&rig);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    struct peer_end *end = rig_reserve(&rig, rig.a);
    struct hop_msg m = end_answer(end, CIRCUIT_STATUS_RESERVATION_REFUSED);
    cr_assert_not(m.has_reservation);
    cr_assert_not(m.has_limit);
    cr_assert(end->is_ended);
    cr_assert_eq(rig_answers(&rig, HOP_REQUEST_RESERVE, CIRCUIT_STATUS_RESERVATION_REFUSED), 1);
    cr_assert_eq(rig_logged(&rig, "request refused"), 1);
    rig_close(&rig);
}

/* Decision 7: friends share an address; strangers don't get more for it. */
Test(hop_service, limits_by_address_bind_strangers_alone) {
    for (int is_open = 0; is_open < 2; is_open++) {
        struct relay_rig rig;
        rig_prepare(&rig);
        rig.cfg.reservations_per_ip = 1;
        rig.cfg.is_open = is_open;
        fake_disconnect(rig.conn_a, -ERR_CONN_CLOSED);
        (void)fake_connect(rig.a, rig.relay, "/ip4/198.51.100.2/tcp/4",
                           "/ip4/192.168.7.7/tcp/7777");
        rig_start(&rig);
        (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
        (void)end_answer(rig_reserve(&rig, rig.a),
                         is_open ? CIRCUIT_STATUS_RESERVATION_REFUSED : CIRCUIT_STATUS_OK);
        rig_close(&rig);
    }
}

Test(hop_service, a_reservation_ends_with_the_last_connection) {
    struct relay_rig rig;
    rig_open(&rig);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    struct fake_conn *second =
        fake_connect(rig.b, rig.relay, "/ip4/198.51.100.2/tcp/4", "/ip4/192.168.7.7/tcp/7777");
    fake_disconnect(rig.conn_b, -ERR_CONN_CLOSED);
    fake_disconnect(rig.conn_a, -ERR_CONN_CLOSED); /* has none */
    rig_turn(&rig);
    cr_assert_eq(rig_stats(&rig).reservations, 1);
    fake_disconnect(second, -ERR_CONN_CLOSED);
    rig_turn(&rig);
    cr_assert_eq(rig_stats(&rig).reservations, 0);
    cr_assert_eq(rig_logged(&rig, "reservation lost"), 1);
    rig_close(&rig);
}

Test(hop_service, a_reservation_expires_when_it_said) {
    struct relay_rig rig;
    rig_open(&rig);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    rig_wait(&rig, SEC(3600) - 1);
    cr_assert_eq(rig_stats(&rig).reservations, 1);
    rig_wait(&rig, 1);
    cr_assert_eq(rig_stats(&rig).reservations, 0);
    cr_assert_eq(rig_logged(&rig, "reservations expired"), 1);
    (void)end_answer(rig_connect(&rig, rig.a, rig.b), CIRCUIT_STATUS_NO_RESERVATION);
    rig_close(&rig);
}

/* --- What is no request --- */

Test(hop_service, what_cannot_be_read_is_malformed) {
    static const struct bytes rows[] = {
        BYTES_LIT("\x81\x00"),                     /* a padded length */
        BYTES_LIT("\x81\x20"),                     /* 4,097 bytes */
        BYTES_LIT("\x02\x08"),                     /* the end in the middle */
        BYTES_LIT("\x00"),                         /* see below: a message of nothing is RESERVE */
        BYTES_LIT("\x02\xff\xff"),                 /* no protobuf */
        BYTES_LIT("\x02\x08\x01"),                 /* CONNECT to nobody */
        BYTES_LIT("\x06\x08\x01\x12\x02\x0a\x00"), /* CONNECT to an empty ID */
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct relay_rig rig;
        rig_open(&rig);
        struct peer_end *end = rig_hop(&rig, rig.a);
        end_write(end, rows[i]);
        stream_shutdown_write(end->stream);
        rig_turn(&rig);
        (void)end_answer(end, i == 3 ? CIRCUIT_STATUS_OK : CIRCUIT_STATUS_MALFORMED_MESSAGE);
        cr_assert(end->is_ended);
        cr_assert_eq(rig_stats(&rig).half_open, 0);
        rig_close(&rig);
    }
}

Test(hop_service, a_status_is_no_request) {
    struct relay_rig rig;
    rig_open(&rig);
    struct hop_msg m = {.type = HOP_STATUS, .has_status = true, .status = CIRCUIT_STATUS_OK};
    (void)end_answer(rig_ask(&rig, rig.a, &m), CIRCUIT_STATUS_UNEXPECTED_MESSAGE);
    struct peer_end *end = rig_hop(&rig, rig.a);
    end_write(end, BYTES_LIT("\x02\x08\x09")); /* a type that there is not */
    rig_turn(&rig);
    (void)end_answer(end, CIRCUIT_STATUS_UNEXPECTED_MESSAGE);
    cr_assert_eq(rig_answers(&rig, HOP_REQUEST_UNKNOWN, CIRCUIT_STATUS_UNEXPECTED_MESSAGE), 2);
    rig_close(&rig);
}

/* The message may come byte by byte. */
Test(hop_service, a_request_may_be_cut_anywhere) {
    struct relay_rig rig;
    rig_open(&rig);
    struct peer_end *end = rig_hop(&rig, rig.b);
    static const uint8_t reserve[] = {0x02, 0x08, 0x00};
    for (size_t i = 0; i < sizeof(reserve); i++) {
        cr_assert_not(end->has_message);
        end_write(end, bytes_of(&reserve[i], 1));
        rig_turn(&rig);
    }
    (void)end_answer(end, CIRCUIT_STATUS_OK);
    rig_close(&rig);
}

/* Over a relayed connection nobody reserves or connects. */
Test(hop_service, no_relay_over_a_relay) {
    struct relay_rig rig;
    rig_open(&rig);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    fake_disconnect(rig.conn_a, -ERR_CONN_CLOSED);
    (void)fake_connect(rig.a, rig.relay, "/ip4/8.8.8.8/tcp/1/p2p-circuit",
                       "/ip4/8.8.8.8/tcp/1/p2p-circuit");
    (void)end_answer(rig_reserve(&rig, rig.a), CIRCUIT_STATUS_PERMISSION_DENIED);
    (void)end_answer(rig_connect(&rig, rig.a, rig.b), CIRCUIT_STATUS_PERMISSION_DENIED);
    cr_assert_eq(rig_stats(&rig).reservations, 1);
    cr_assert_eq(rig.stops, 0);
    rig_close(&rig);
}

/* --- Circuits --- */

Test(hop_service, a_circuit_carries_bytes_from_the_first_one_behind_the_messages) {
    struct relay_rig rig;
    struct stop_msg asked;
    struct hop_msg m;
    rig_prepare(&rig);
    rig.cfg.circuit_duration = SEC(100);
    rig.cfg.circuit_bytes = 1000;
    rig_start(&rig);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    uint8_t out[CIRCUIT_OUT_MAX + 8];
    struct hop_msg connect = {
        .type = HOP_CONNECT, .has_peer = true, .peer = host_identity(rig.b)->id};
    ssize_t n = hop_msg_encode(&connect, out);
    memcpy(out + n, "hello", 5);
    struct peer_end *a = rig_hop(&rig, rig.a);
    end_write(a, bytes_of(out, (size_t)n + 5));
    rig_turn(&rig);
    cr_assert_eq(rig.stops, 1);
    struct peer_end *b = rig.stopped_at;
    asked = end_asked(b);
    cr_assert(asked.has_peer && peer_id_equal(&asked.peer, &host_identity(rig.a)->id));
    cr_assert(asked.has_limit);
    cr_assert_eq(asked.limit.duration_s, 100);
    cr_assert_eq(asked.limit.data_bytes, 1000);
    cr_assert_not(a->has_message);
    cr_assert_eq(rig_stats(&rig).half_open, 1);

    struct stop_msg ok = {.type = STOP_STATUS, .has_status = true, .status = CIRCUIT_STATUS_OK};
    size_t len = stop_msg_encode(&ok, out);
    memcpy(out + len, "hi", 2);
    end_write(b, bytes_of(out, len + 2));
    rig_turn(&rig);
    m = end_answer(a, CIRCUIT_STATUS_OK);
    cr_assert(m.has_limit);
    cr_assert_eq(m.limit.duration_s, 100);
    cr_assert_eq(m.limit.data_bytes, 1000);
    cr_assert_eq(a->got_len, 2);
    cr_assert_eq(b->got_len, 5);
    cr_assert_arr_eq(b->got, "hello", 5);
    cr_assert_eq(rig_stats(&rig).circuits, 1);
    cr_assert_eq(rig_stats(&rig).half_open, 0);

    end_write(a, BYTES_LIT(" again"));
    rig_turn(&rig);
    cr_assert_arr_eq(b->got, "hello again", 11);
    stream_shutdown_write(a->stream);
    stream_shutdown_write(b->stream);
    rig_turn(&rig);
    cr_assert(a->is_ended && b->is_ended);
    cr_assert_eq(rig_stats(&rig).circuits, 0);
    cr_assert_eq(rig_stats(&rig).bytes.to_destination, 11);
    cr_assert_eq(rig_stats(&rig).bytes.to_source, 2);
    cr_assert_eq(rig_answers(&rig, HOP_REQUEST_CONNECT, CIRCUIT_STATUS_OK), 1);
    cr_assert_eq(rig_logged(&rig, "circuit opened"), 1);
    cr_assert_eq(rig_logged(&rig, "circuit closed"), 1);
    cr_assert_eq(rig_logged(&rig, "reason=ended"), 1);
    rig_close(&rig);
}

Test(hop_service, the_limits_end_circuits) {
    struct relay_rig rig;
    struct peer_end *a;
    struct peer_end *b;
    rig_prepare(&rig);
    rig.cfg.circuit_duration = SEC(100);
    rig.cfg.circuit_bytes = 3;
    rig_start(&rig);
    rig_circuit(&rig, &a, &b);
    end_write(a, BYTES_LIT("1234"));
    rig_turn(&rig);
    cr_assert_eq(b->got_len, 3);
    cr_assert(b->is_ended);
    cr_assert(a->was_stopped);
    rig_wait(&rig, SEC(100));
    cr_assert(a->was_reset);
    cr_assert_eq(rig_stats(&rig).circuits, 0);
    cr_assert_eq(rig_logged(&rig, "reason=\"duration limit\""), 1);

    rig_circuit(&rig, &a, &b);
    end_write(a, BYTES_LIT("123"));
    end_write(b, BYTES_LIT("456"));
    rig_turn(&rig);
    cr_assert_eq(rig_stats(&rig).circuits, 0);
    cr_assert_eq(rig_logged(&rig, "reason=\"data limit\""), 1);
    rig_close(&rig);
}

Test(hop_service, nobody_is_connected_to_who_has_no_reservation) {
    struct relay_rig rig;
    rig_open(&rig);
    (void)end_answer(rig_connect(&rig, rig.a, rig.b), CIRCUIT_STATUS_NO_RESERVATION);
    (void)end_answer(rig_connect(&rig, rig.a, rig.relay), CIRCUIT_STATUS_NO_RESERVATION);
    cr_assert_eq(rig.stops, 0);
    rig_close(&rig);
}

/* Half-open circuits count. */
Test(hop_service, circuits_beyond_a_peers_limit_are_refused) {
    struct relay_rig rig;
    rig_prepare(&rig);
    rig.cfg.circuits_per_peer_max = 2;
    rig_start(&rig);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    (void)rig_connect(&rig, rig.a, rig.b);
    (void)rig_connect(&rig, rig.a, rig.b);
    cr_assert_eq(rig.stops, 2);
    (void)end_answer(rig_connect(&rig, rig.a, rig.b), CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED);
    stream_reset(rig.stopped_at->stream, 0);
    rig_turn(&rig);
    (void)rig_connect(&rig, rig.a, rig.b);
    cr_assert_eq(rig.stops, 3);
    rig_close(&rig);
}

/* --- The destination that does not --- */

Test(hop_service, a_destination_that_is_not_there_is_a_failed_connection) {
    struct relay_rig rig;
    rig_open(&rig);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    fake_host_fail(rig.relay, -ERR_RESOURCE_LIMIT, 1);
    (void)end_answer(rig_connect(&rig, rig.a, rig.b), CIRCUIT_STATUS_CONNECTION_FAILED);

    /* It speaks no stop. */
    host_unhandle(rig.b, &rig.stop);
    struct peer_end *end = rig_connect(&rig, rig.a, rig.b);
    (void)end_answer(end, CIRCUIT_STATUS_CONNECTION_FAILED);
    cr_assert(end->is_ended);
    cr_assert_eq(host_handle(rig.b, &rig.stop), 0);

    /* Only a relay leads to it any more. */
    (void)fake_connect(rig.b, rig.relay, "/ip4/8.8.8.8/tcp/1/p2p-circuit",
                       "/ip4/8.8.8.8/tcp/1/p2p-circuit");
    fake_disconnect(rig.conn_b, -ERR_CONN_CLOSED);
    rig_turn(&rig);
    cr_assert_eq(rig_stats(&rig).reservations, 1);
    (void)end_answer(rig_connect(&rig, rig.a, rig.b), CIRCUIT_STATUS_CONNECTION_FAILED);
    rig_turn(&rig);
    cr_assert(rig.stopped_at->was_reset);
    cr_assert_not(rig.stopped_at->has_message);
    cr_assert_eq(rig_stats(&rig).half_open, 0);
    cr_assert_eq(rig_answers(&rig, HOP_REQUEST_CONNECT, CIRCUIT_STATUS_CONNECTION_FAILED), 3);
    rig_close(&rig);
}

/* What a destination can do instead of saying OK. */
enum refusal {
    SAYS_NO,
    SAYS_NO_AS_GO,
    CONNECTS,
    TALKS_NONSENSE,
    TALKS_TOO_LONG,
    ENDS,
    ENDS_HALF_WAY,
    RESETS,
    GOES_AWAY,
    SAYS_NOTHING,
    REFUSALS
};

static void refuse_as(struct relay_rig *rig, struct peer_end *b, enum refusal what) {
    switch (what) {
    case SAYS_NO:
        end_status(b, CIRCUIT_STATUS_PERMISSION_DENIED);
        break;
    case SAYS_NO_AS_GO:
        end_status(b, CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED);
        stream_stop_reading(b->stream, 0);
        stream_shutdown_write(b->stream);
        break;
    case CONNECTS:
        end_write(b, BYTES_LIT("\x04\x08\x00\x20\x64"));
        break;
    case TALKS_NONSENSE:
        end_write(b, BYTES_LIT("\x02\xff\xff"));
        break;
    case TALKS_TOO_LONG:
        end_write(b, BYTES_LIT("\x81\x20"));
        break;
    case ENDS:
        stream_shutdown_write(b->stream);
        break;
    case ENDS_HALF_WAY:
        end_write(b, BYTES_LIT("\x04\x08"));
        stream_shutdown_write(b->stream);
        break;
    case RESETS:
        stream_reset(b->stream, 0);
        break;
    case GOES_AWAY:
        fake_disconnect(rig->conn_b, -ERR_CONN_CLOSED);
        break;
    case SAYS_NOTHING:
        rig_wait(rig, HOP_STOP_TIMEOUT - 1);
        cr_assert_eq(rig_stats(rig).half_open, 1);
        rig_wait(rig, 1);
        break;
    case REFUSALS:
        break;
    }
}

Test(hop_service, a_destination_that_does_not_say_ok_is_a_failed_connection) {
    for (int what = 0; what < REFUSALS; what++) {
        struct relay_rig rig;
        rig_open(&rig);
        (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
        struct peer_end *a = rig_connect(&rig, rig.a, rig.b);
        cr_assert_eq(rig.stops, 1);
        cr_assert_not(a->has_message);
        refuse_as(&rig, rig.stopped_at, (enum refusal)what);
        rig_turn(&rig);
        (void)end_answer(a, CIRCUIT_STATUS_CONNECTION_FAILED);
        cr_assert(a->is_ended);
        cr_assert_not(a->was_reset);
        cr_assert_eq(rig_stats(&rig).half_open, 0);
        cr_assert_eq(rig_stats(&rig).circuits, 0);
        rig_close(&rig);
    }
}

/* It may close its reading side with its OK. */
Test(hop_service, a_destination_may_stop_with_its_ok) {
    struct relay_rig rig;
    rig_open(&rig);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    struct peer_end *a = rig_connect(&rig, rig.a, rig.b);
    end_status(rig.stopped_at, CIRCUIT_STATUS_OK);
    end_write(rig.stopped_at, BYTES_LIT("bye"));
    stream_stop_reading(rig.stopped_at->stream, 0);
    stream_shutdown_write(rig.stopped_at->stream);
    rig_turn(&rig);
    (void)end_answer(a, CIRCUIT_STATUS_OK);
    cr_assert_eq(a->got_len, 3);
    cr_assert(a->is_ended);
    end_write(a, BYTES_LIT("?"));
    rig_turn(&rig);
    cr_assert(a->was_stopped);
    cr_assert_eq(rig_stats(&rig).circuits, 0);
    rig_close(&rig);
}

/* --- The source that goes --- */

enum leaving { LEAVES_BY_RESET, LEAVES_BY_STOP, LEAVES_AS_GO, LEAVES_BY_DYING, LEAVINGS };

static void leave(struct relay_rig *rig, struct peer_end *a, enum leaving how) {
    switch (how) {
    case LEAVES_BY_RESET:
        stream_reset(a->stream, 0);
        break;
    case LEAVES_BY_STOP:
        stream_stop_reading(a->stream, 0);
        break;
    case LEAVES_AS_GO:
        stream_stop_reading(a->stream, 0);
        stream_shutdown_write(a->stream);
        break;
    case LEAVES_BY_DYING:
        fake_disconnect(rig->conn_a, -ETIMEDOUT);
        break;
    case LEAVINGS:
        break;
    }
}

/* While its message comes, while the stop stream is asked for, while the destination thinks. */
Test(hop_service, a_source_may_go_at_any_point) {
    for (int row = 0; row < 3 * LEAVINGS; row++) {
        struct relay_rig rig;
        enum leaving how = (enum leaving)(row % LEAVINGS);
        int point = row / LEAVINGS;
        uint8_t out[CIRCUIT_OUT_MAX];
        rig_open(&rig);
        (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
        struct hop_msg connect = {
            .type = HOP_CONNECT, .has_peer = true, .peer = host_identity(rig.b)->id};
        size_t n = (size_t)hop_msg_encode(&connect, out);
        struct peer_end *a = rig_hop(&rig, rig.a);
        end_write(a, bytes_of(out, point == 0 ? n - 1 : n));
        if (point == 1) {
            leave(&rig, a, how); /* with the message */
            fake_turn(rig.reactor);
        } else {
            rig_turn(&rig);
            leave(&rig, a, how);
        }
        rig_turn(&rig);
        cr_assert_eq(rig_stats(&rig).half_open, 0, "row %d", row);
        cr_assert_eq(rig_stats(&rig).unanswered, 1, "row %d", row);
        if (rig.stopped_at != NULL)
            cr_assert(rig.stopped_at->was_reset, "row %d", row);
        /* Its place is free. */
        if (how != LEAVES_BY_DYING) {
            uint32_t before = rig.stops;
            (void)rig_connect(&rig, rig.a, rig.b);
            cr_assert_eq(rig.stops, before + 1);
        }
        rig_close(&rig);
    }
}

/* FIN behind the request is no leaving: rust does so behind RESERVE. */
Test(hop_service, a_source_may_end_its_side_behind_the_request) {
    struct relay_rig rig;
    rig_open(&rig);
    struct peer_end *end = rig_hop(&rig, rig.b);
    end_write(end, BYTES_LIT("\x02\x08\x00"));
    stream_shutdown_write(end->stream);
    rig_turn(&rig);
    (void)end_answer(end, CIRCUIT_STATUS_OK);

    struct peer_end *a = rig_connect(&rig, rig.a, rig.b);
    stream_shutdown_write(a->stream);
    rig_turn(&rig);
    end_status(rig.stopped_at, CIRCUIT_STATUS_OK);
    end_write(rig.stopped_at, BYTES_LIT("all of it"));
    rig_turn(&rig);
    (void)end_answer(a, CIRCUIT_STATUS_OK);
    cr_assert_eq(a->got_len, 9);
    cr_assert(rig.stopped_at->is_ended);
    rig_close(&rig);
}

Test(hop_service, silence_is_dropped_at_the_deadline_and_not_before) {
    struct relay_rig rig;
    rig_open(&rig);
    struct peer_end *end = rig_hop(&rig, rig.a);
    nsec_t opened = reactor_now(rig.reactor);
    rig_wait(&rig, opened + HOP_MESSAGE_TIMEOUT - 1 - reactor_now(rig.reactor));
    cr_assert_eq(rig_stats(&rig).half_open, 1);
    cr_assert_not(end->was_reset);
    rig_wait(&rig, 1);
    cr_assert(end->was_reset);
    cr_assert_eq(rig_stats(&rig).half_open, 0);
    cr_assert_eq(rig_stats(&rig).unanswered, 1);
    rig_close(&rig);
}

/* --- Circuits that die --- */

/* Also what deauthorization does: the host closes the connections of that peer. */
Test(hop_service, a_circuit_dies_with_either_connection) {
    for (int who = 0; who < 2; who++) {
        struct relay_rig rig;
        struct peer_end *a;
        struct peer_end *b;
        rig_open(&rig);
        rig_circuit(&rig, &a, &b);
        const struct peer_end *other = who == 0 ? b : a;
        fake_disconnect(who == 0 ? rig.conn_a : rig.conn_b, -ERR_GATED);
        rig_turn(&rig);
        cr_assert(other->was_reset);
        cr_assert_eq(rig_stats(&rig).circuits, 0);
        cr_assert_eq(rig_stats(&rig).reservations, who == 0 ? 1 : 0);
        cr_assert_eq(rig_logged(&rig, "circuit closed"), 1);
        rig_close(&rig);
    }
}

/* Goal: who has a circuit to a peer that is back learns of it then, and not when the old connection
 * times out; others have nothing to do with it. */
Test(hop_service, a_circuit_is_reset_when_either_end_is_back_on_another_connection) {
    for (int who = 0; who < 2; who++) {
        struct relay_rig rig;
        struct peer_end *a;
        struct peer_end *b;
        rig_open(&rig);
        rig_circuit(&rig, &a, &b);
        struct peer_end *half_open = rig_hop(&rig, rig.a);
        rig_turn(&rig);
        struct fake_conn *elsewhere =
            fake_connect(rig.b, rig.relay, "/ip4/9.9.9.9/tcp/9", "/ip4/1.2.3.4/tcp/4001");
        fake_conn_silent(elsewhere, rig.relay);
        rig_turn(&rig);
        cr_assert_eq(rig_stats(&rig).circuits, 1, "it is over another one");
        fake_conn_silent(who == 0 ? rig.conn_a : rig.conn_b, rig.relay);
        rig_turn(&rig);
        cr_assert(a->was_reset);
        cr_assert(b->was_reset);
        cr_assert_eq(rig_stats(&rig).circuits, 0);
        cr_assert_not(half_open->was_reset);
        cr_assert_eq(rig_stats(&rig).reservations, 1);
        rig_close(&rig);
    }
}

/* A circuit outlives its reservation. */
Test(hop_service, a_circuit_goes_on_behind_the_end_of_its_reservation) {
    struct relay_rig rig;
    struct peer_end *a;
    struct peer_end *b;
    rig_open(&rig);
    rig_circuit(&rig, &a, &b);
    rig_wait(&rig, SEC(3600));
    cr_assert_eq(rig_stats(&rig).reservations, 0);
    end_write(a, BYTES_LIT("x"));
    rig_turn(&rig);
    cr_assert_eq(b->got_len, 1);
    rig_close(&rig);
}

/* --- Closing --- */

/* Whoever waits is told that it is not let in; circuits are reset. */
Test(hop_service, closing_ends_what_is_under_way) {
    struct relay_rig rig;
    struct peer_end *a;
    struct peer_end *b;
    rig_open(&rig);
    rig_circuit(&rig, &a, &b);
    struct peer_end *silent = rig_hop(&rig, rig.a);
    struct peer_end *waits = rig_connect(&rig, rig.a, rig.b);
    struct peer_end *asked = rig.stopped_at;
    uint8_t out[CIRCUIT_OUT_MAX];
    struct hop_msg connect = {
        .type = HOP_CONNECT, .has_peer = true, .peer = host_identity(rig.b)->id};
    struct peer_end *opens = rig_hop(&rig, rig.a);
    end_write(opens, bytes_of(out, (size_t)hop_msg_encode(&connect, out)));
    for (int i = 0; i < 2; i++)
        fake_turn(rig.reactor);
    cr_assert_eq(rig_stats(&rig).half_open, 3);
    rig_close_service(&rig);
    (void)end_answer(silent, CIRCUIT_STATUS_PERMISSION_DENIED);
    (void)end_answer(waits, CIRCUIT_STATUS_PERMISSION_DENIED);
    (void)end_answer(opens, CIRCUIT_STATUS_PERMISSION_DENIED);
    cr_assert(asked->was_reset);
    cr_assert(a->was_reset && b->was_reset);
    cr_assert_eq(a->reset_code, STREAM_CODE_SHUTDOWN);
    cr_assert_eq(b->reset_code, STREAM_CODE_SHUTDOWN);
    rig_close(&rig);
}

/* --- Events --- */

/* What was told, a line each. */
struct told {
    const struct relay_rig *rig;
    char text[1024];
};

static const char *name_of(const struct relay_rig *rig, const struct peer_id *id) {
    if (id == NULL)
        return "-";
    return peer_id_equal(id, &host_identity(rig->a)->id) ? "a" : "b";
}

static void tell(struct told *told, const char *line) {
    size_t len = strlen(told->text);
    (void)snprintf(told->text + len, sizeof(told->text) - len, "%s\n", line);
}

static void on_told_answer(void *user, const struct hop_answer *a) {
    static const char *const requests[] = {"reserve", "connect", "unknown"};
    struct told *told = user;
    char line[128];
    (void)snprintf(line, sizeof(line), "%s %s %s %d%s", name_of(told->rig, a->peer),
                   requests[a->request], name_of(told->rig, a->destination), (int)a->status,
                   a->is_renewal ? " renewal" : "");
    tell(told, line);
}

static void on_told_end(void *user, const struct peer_id *source, const struct peer_id *destination,
                        int error) {
    struct told *told = user;
    char line[128];
    (void)snprintf(line, sizeof(line), "%s to %s ended: %d", name_of(told->rig, source),
                   name_of(told->rig, destination), error);
    tell(told, line);
}

Test(hop_service, who_wants_to_know_is_told_of_answers_and_ends) {
    static const struct hop_events events = {on_told_answer, on_told_end};
    struct relay_rig rig;
    struct told told = {.rig = &rig};
    struct peer_end *a;
    struct peer_end *b;
    rig_prepare(&rig);
    rig.cfg.events = &events;
    rig.cfg.user = &told;
    rig.cfg.reservations_max = 1;
    rig.cfg.circuit_duration = SEC(3);
    rig_start(&rig);
    (void)rig_connect(&rig, rig.a, rig.b);
    rig_circuit(&rig, &a, &b);
    (void)rig_reserve(&rig, rig.b);
    (void)rig_reserve(&rig, rig.a);
    (void)rig_ask(&rig, rig.a, &(struct hop_msg){.type = HOP_CONNECT});
    (void)rig_ask(&rig, rig.a, &(struct hop_msg){.type = HOP_STATUS});
    rig_wait(&rig, SEC(3));
    char expected[1024];
    (void)snprintf(expected, sizeof(expected),
                   "a connect b 204\n"
                   "b reserve - 100\n"
                   "a connect b 100\n"
                   "b reserve - 100 renewal\n"
                   "a reserve - 200\n"
                   "a connect - 400\n"
                   "a unknown - 401\n"
                   "a to b ended: %d\n",
                   -ETIME);
    cr_assert_str_eq(told.text, expected);
    rig_close(&rig);
}

Test(hop_service, there_is_one_a_host) {
    struct relay_rig rig;
    struct hop_service *second;
    rig_open(&rig);
    cr_assert_eq(hop_service_new(&rig.cfg, &second), -EEXIST);
    cr_assert_eq(hop_service_free(NULL), NULL);
    rig_close(&rig);
}

/* --- Bounds --- */

Test(hop_service, half_open_streams_are_bounded_for_a_peer_and_in_all) {
    struct relay_rig rig;
    struct host *more[HOP_HALF_OPEN_MAX / HOP_HALF_OPEN_PER_PEER_MAX];
    rig_open(&rig);
    struct peer_end *first = rig_hop(&rig, rig.a);
    for (int i = 1; i < HOP_HALF_OPEN_PER_PEER_MAX; i++)
        (void)rig_hop(&rig, rig.a);
    struct peer_end *over = rig_hop(&rig, rig.a);
    rig_turn(&rig);
    cr_assert(over->was_reset);
    cr_assert_eq(over->reset_code, STREAM_CODE_RESOURCE_LIMIT);
    cr_assert_eq(rig_stats(&rig).refused, 1);
    cr_assert_eq(rig_stats(&rig).half_open, HOP_HALF_OPEN_PER_PEER_MAX);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);

    for (size_t i = 1; i < ARRAY_COUNT(more); i++) {
        more[i] = fake_host_new(rig.reactor, "more", NULL);
        fake_host_set_key(more[i], (uint8_t)(10 + i));
        (void)fake_connect(more[i], rig.relay, "/ip4/198.51.100.9/tcp/1", "/ip4/10.0.0.1/tcp/1");
        for (int j = 0; j < HOP_HALF_OPEN_PER_PEER_MAX; j++)
            (void)rig_hop(&rig, more[i]);
    }
    cr_assert_eq(rig_stats(&rig).half_open, HOP_HALF_OPEN_MAX);
    over = rig_hop(&rig, rig.b);
    rig_turn(&rig);
    cr_assert(over->was_reset);
    cr_assert_eq(rig_logged(&rig, "too many requests"), 2);

    stream_reset(first->stream, 0);
    rig_turn(&rig);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    rig_wait(&rig, HOP_MESSAGE_TIMEOUT);
    cr_assert_eq(rig_stats(&rig).half_open, 0);
    rig_close_service(&rig);
    for (size_t i = 0; i < rig.ends_count; i++)
        end_release(rig.ends[i]);
    for (size_t i = 1; i < ARRAY_COUNT(more); i++)
        fake_host_free(more[i]);
    rig_close(&rig);
}

/* Thousands of refusals write a few lines. */
Test(hop_service, refusals_do_not_fill_the_log) {
    struct relay_rig rig;
    rig_open(&rig);
    for (int i = 0; i < 200; i++)
        (void)rig_connect(&rig, rig.a, rig.b);
    cr_assert_eq(rig_answers(&rig, HOP_REQUEST_CONNECT, CIRCUIT_STATUS_NO_RESERVATION), 200);
    cr_assert_eq(rig_logged(&rig, "request refused"), 20);
    rig_close(&rig);
}

/* --- Memory --- */

/* A whole dialogue; which of its steps go well depends on the memory. */
static void dialogue(struct relay_rig *rig) {
    if (hop_service_new(&rig->cfg, &rig->service) < 0)
        return;
    (void)rig_reserve(rig, rig->b);
    struct peer_end *a = rig_connect(rig, rig->a, rig->b);
    if (rig->stopped_at != NULL) {
        end_status(rig->stopped_at, CIRCUIT_STATUS_OK);
        rig_turn(rig);
    }
    if (!a->was_reset && !a->is_ended && a->has_message) {
        end_write(a, BYTES_LIT("some bytes"));
        rig_turn(rig);
    }
    (void)rig_reserve(rig, rig->b);
}

/* There is nothing to answer with, or to ask with. */
Test(hop_service, without_slabs_streams_are_reset) {
    struct relay_rig rig;
    uint8_t out[CIRCUIT_OUT_MAX];
    rig_open(&rig);
    (void)end_answer(rig_reserve(&rig, rig.b), CIRCUIT_STATUS_OK);
    struct peer_end *end = rig_hop(&rig, rig.b);
    fake_stream_starve(end->stream);
    end_write(end, BYTES_LIT("\x02\x08\x00"));
    rig_turn(&rig);
    cr_assert(end->was_reset);
    cr_assert_eq(end->reset_code, STREAM_CODE_RESOURCE_LIMIT);

    fake_host_starve(rig.relay, 1);
    end = rig_connect(&rig, rig.a, rig.b);
    (void)end_answer(end, CIRCUIT_STATUS_CONNECTION_FAILED);
    cr_assert(rig.stopped_at->was_reset);

    struct hop_msg connect = {
        .type = HOP_CONNECT, .has_peer = true, .peer = host_identity(rig.b)->id};
    end = rig_hop(&rig, rig.a);
    fake_stream_starve(end->stream);
    end_write(end, bytes_of(out, (size_t)hop_msg_encode(&connect, out)));
    rig_turn(&rig);
    end_status(rig.stopped_at, CIRCUIT_STATUS_OK);
    rig_turn(&rig);
    cr_assert(end->was_reset);
    cr_assert(rig.stopped_at->was_reset);
    cr_assert_eq(rig_stats(&rig).half_open, 0);
    cr_assert_eq(rig_stats(&rig).circuits, 0);
    rig_close(&rig);
}

/* The n-th allocation fails, once or for good: what has no memory ends in order, and the rest goes
 * on. */
Test(hop_service, without_memory_it_says_so_or_resets) {
    long fail_at = 1;
    bool for_good = false;
    for (;;) {
        struct relay_rig rig;
        rig_prepare(&rig);
        rig_turn(&rig);
        /* Streams and requests of the fake hosts have memory of their own, and slabs are there: all
         * that fails is ours. */
        for (int c = BUF_1K; c < BUF_CLASS_COUNT; c++)
            buf_unref(buf_new(reactor_pool(rig.reactor), (enum buf_class)c, NULL));
        rig.mem.calls = 0;
        rig.mem.fail_at = fail_at;
        rig.mem.for_good = for_good;
        dialogue(&rig);
        bool failed = rig.mem.failed;
        rig.mem.fail_at = 0;
        if (!failed) {
            cr_assert_eq(rig_stats(&rig).circuits, 1);
            cr_assert_eq(rig.stopped_at->got_len, 10);
        }
        rig_close(&rig);
        if (!failed)
            break;
        fail_at += for_good;
        for_good = !for_good;
    }
    cr_assert_gt(fail_at, 8);
}

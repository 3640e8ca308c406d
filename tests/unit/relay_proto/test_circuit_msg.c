/* SPDX-License-Identifier: MIT */
/* Goal: hop and stop messages are read as go reads them and written as go writes them; the bytes
 * themselves are tests/vectors/test_relay.c.
 * Spec: libp2p relay-v2, protobufs. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/p2p/pb.h"
#include "relay/proto/circuit_msg.h"
#include "tests/support/hex.h"

static const struct peer_id anne = {.len = 5, .bytes = {0x00, 3, 'a', 'n', 'n'}};

static struct hop_msg hop(struct bytes in) {
    struct hop_msg m;
    int e = hop_msg_decode(in, &m);
    cr_assert_eq(e, 0, "%s", err_name(e));
    return m;
}

static struct stop_msg stop(struct bytes in) {
    struct stop_msg m;
    int e = stop_msg_decode(in, &m);
    cr_assert_eq(e, 0, "%s", err_name(e));
    return m;
}

static struct multiaddr addr(const char *text) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(text, &a), 0, "%s", text);
    return a;
}

static void expect_hop_bytes(const struct hop_msg *m, struct bytes expected) {
    uint8_t out[CIRCUIT_OUT_MAX];
    ssize_t n = hop_msg_encode(m, out);
    cr_assert_eq(n, (ssize_t)expected.len);
    cr_assert(bytes_equal(bytes_of(out, (size_t)n), expected));
}

static void expect_stop_bytes(const struct stop_msg *m, struct bytes expected) {
    uint8_t out[CIRCUIT_OUT_MAX];
    size_t n = stop_msg_encode(m, out);
    cr_assert(bytes_equal(bytes_of(out, n), expected));
}

/* Decision 2: our relay without limits says so with a limit of zeros, which go writes as two
 * explicit fields, and which makes the connection limited for go. */
Test(circuit_msg, a_limit_of_zeros_is_written_and_is_there_when_read) {
    struct hop_msg h = {.type = HOP_STATUS, .has_limit = true, .has_status = true, .status = 100};
    struct stop_msg s = {.type = STOP_CONNECT, .has_peer = true, .peer = anne, .has_limit = true};
    expect_hop_bytes(&h, HEX("0a08022204080010002864"));
    expect_stop_bytes(&s, HEX("11080012070a050003616e6e1a0408001000"));

    struct hop_msg got = hop(HEX("08022204080010002864"));
    cr_assert(got.has_limit);
    cr_assert_eq(got.limit.duration_s, 0);
    cr_assert_eq(got.limit.data_bytes, 0);
    cr_assert(hop(HEX("080222002864")).has_limit, "empty, as proto3 writes zeros");
    cr_assert_not(hop(HEX("08022864")).has_limit);
    cr_assert(stop(HEX("08001a00")).has_limit);
    cr_assert_not(stop(HEX("0800")).has_limit);
}

Test(circuit_msg, an_absent_type_is_zero_and_a_strange_one_is_other) {
    cr_assert_eq(hop(BYTES_EMPTY).type, HOP_RESERVE);
    cr_assert_eq(hop(HEX("0800")).type, HOP_RESERVE);
    cr_assert_eq(hop(HEX("0801")).type, HOP_CONNECT);
    cr_assert_eq(hop(HEX("0802")).type, HOP_STATUS);
    cr_assert_eq(hop(HEX("0803")).type, HOP_OTHER);
    cr_assert_eq(hop(HEX("08ffffffffffffffffff01")).type, HOP_OTHER);
    cr_assert_eq(hop(HEX("088280808010")).type, HOP_OTHER, "2^32 + 2 is no STATUS");
    cr_assert_eq(stop(BYTES_EMPTY).type, STOP_CONNECT);
    cr_assert_eq(stop(HEX("0801")).type, STOP_STATUS);
    cr_assert_eq(stop(HEX("0802")).type, STOP_OTHER);
}

Test(circuit_msg, numbers_beyond_their_size_are_the_largest_not_the_remainder) {
    struct hop_msg m = hop(HEX("08022208088080808010100128e4808080103801"));
    cr_assert_eq(m.limit.duration_s, UINT32_MAX, "2^32 seconds are no unlimited");
    cr_assert_eq(m.limit.data_bytes, 1);
    cr_assert(m.has_status);
    cr_assert_eq(m.status, UINT32_MAX, "2^32 + 100 is not OK");
    m = hop(HEX("1a0b08ffffffffffffffffff01"));
    cr_assert_eq(m.reservation.expire, INT64_MAX);
}

Test(circuit_msg, fields_come_in_any_order_and_the_last_of_each_wins) {
    struct hop_msg m = hop(HEX("28c8014a01792864220208012202100208021805"));
    cr_assert_eq(m.type, HOP_STATUS);
    cr_assert_eq(m.status, CIRCUIT_STATUS_OK);
    cr_assert_eq(m.limit.duration_s, 0);
    cr_assert_eq(m.limit.data_bytes, 2);
    cr_assert_not(m.has_reservation, "field 3 as a number is another one's");
    cr_assert_not(m.has_peer);
}

Test(circuit_msg, addresses_of_a_peer_are_skipped) {
    struct hop_msg m = hop(HEX("0801120c12014e0a050003616e6e1200"));
    cr_assert(m.has_peer);
    cr_assert(peer_id_equal(&m.peer, &anne));
}

/* Everything for which a relay answers MALFORMED_MESSAGE; ret_msg stays as it was. */
Test(circuit_msg, malformed_messages_fail) {
    static const struct {
        const char *hex;
        int error;
    } rows[] = {
        {"08", -ERR_TRUNCATED},
        {"0801120a", -ERR_TRUNCATED},
        {"0801120701050003616e6e", -ERR_MALFORMED}, /* field 0 in a peer */
        {"0801120a0a0a0003616e6e", -ERR_TRUNCATED}, /* an ID beyond its peer */
        {"08011200", -ERR_BAD_PEER_ID},             /* a peer without ID */
        {"080112020a00", -ERR_BAD_PEER_ID},         /* an empty ID */
        {"080112050a03616e6e", -ERR_BAD_PEER_ID},   /* no multihash */
        {"08021a0108", -ERR_TRUNCATED},             /* a reservation */
        {"08021a02120a", -ERR_TRUNCATED},           /* its address */
        {"0802220108", -ERR_TRUNCATED},             /* a limit */
        {"080222020b0c", -ERR_MALFORMED},           /* a group */
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t memory[64];
        struct hop_msg m = {.status = 7};
        struct bytes in = hex_into(rows[i].hex, memory, sizeof(memory));
        int e = hop_msg_decode(in, &m);
        cr_assert_eq(e, rows[i].error, "%s: %s", rows[i].hex, err_name(e));
        cr_assert_eq(m.status, 7);
    }
    struct stop_msg s = {.status = 7};
    cr_assert_eq(stop_msg_decode(HEX("08001200"), &s), -ERR_BAD_PEER_ID);
    cr_assert_eq(stop_msg_decode(HEX("08001a020b00"), &s), -ERR_MALFORMED);
    cr_assert_eq(stop_msg_decode(HEX("08001a0108"), &s), -ERR_TRUNCATED);
    cr_assert_eq(stop_msg_decode(HEX("0801200b"), &s), 0);
    cr_assert_eq(stop_msg_decode(HEX("080120"), &s), -ERR_TRUNCATED);
}

Test(circuit_msg, undecodable_addresses_of_a_reservation_are_skipped) {
    struct multiaddr first = addr("/ip4/44.0.0.1/udp/1/quic-v1");
    struct multiaddr second = addr("/ip4/44.0.0.1/tcp/1");
    struct multiaddr got;
    uint8_t memory[256];
    struct wr w = wr_init(memory, sizeof(memory));
    circuit_put_addr(&w, &first);
    pb_wr_bytes(&w, 2, BYTES_EMPTY);
    pb_wr_bytes(&w, 2, BYTES_LIT("\x04\x01"));
    pb_wr_uint(&w, 2, 4);
    pb_wr_bytes(&w, 3, BYTES_LIT("a voucher"));
    circuit_put_addr(&w, &second);
    pb_wr_bytes(&w, 2, BYTES_LIT("\xff\xff\x01"));

    uint8_t message[300];
    struct wr m = wr_init(message, sizeof(message));
    pb_wr_bytes(&m, 3, wr_written(&w));
    struct hop_msg h = hop(wr_written(&m));
    struct bytes left = h.reservation.addrs;
    cr_assert(circuit_next_addr(&left, &got));
    cr_assert(multiaddr_equal(&got, &first));
    cr_assert(circuit_next_addr(&left, &got));
    cr_assert(multiaddr_equal(&got, &second));
    cr_assert_not(circuit_next_addr(&left, &got));
    cr_assert_not(circuit_next_addr(&left, &got));
    cr_assert(bytes_equal(h.reservation.voucher, BYTES_LIT("a voucher")));
}

/* A relay that does not know its own address, and signs nothing. */
Test(circuit_msg, a_reservation_without_addresses_and_voucher_is_one) {
    struct hop_msg m = {.type = HOP_STATUS,
                        .has_reservation = true,
                        .reservation = {.expire = 1},
                        .has_status = true,
                        .status = 100};
    struct multiaddr got;
    expect_hop_bytes(&m, HEX("0808021a0208012864"));
    m = hop(HEX("08021a0208012864"));
    cr_assert(m.has_reservation);
    cr_assert_eq(m.reservation.expire, 1);
    cr_assert_eq(m.reservation.voucher.len, 0);
    cr_assert_not(circuit_next_addr(&m.reservation.addrs, &got));
}

Test(circuit_msg, a_message_of_4096_bytes_is_written_and_a_longer_one_refused) {
    uint8_t memory[CIRCUIT_MSG_MAX];
    uint8_t out[CIRCUIT_OUT_MAX];
    struct hop_msg m = {.type = HOP_STATUS, .has_reservation = true};
    /* Around the voucher: type, tag and length of the reservation, expiry, tag and length. */
    size_t around = 2 + 3 + 2 + 3;
    memset(memory, 'v', sizeof(memory));
    m.reservation.voucher = bytes_of(memory, CIRCUIT_MSG_MAX - around);
    cr_assert_eq(hop_msg_encode(&m, out), CIRCUIT_OUT_MAX);
    m.reservation.voucher.len++;
    cr_assert_eq(hop_msg_encode(&m, out), -ERR_LIMIT);
}

Test(circuit_msg, every_status_has_its_text) {
    static const uint32_t known[] = {100, 200, 201, 202, 203, 204, 400, 401};
    const char *unknown = circuit_status_text(CIRCUIT_STATUS_UNUSED);
    cr_assert_str_eq(unknown, "unknown status");
    cr_assert_eq(circuit_status_text(99), unknown);
    cr_assert_eq(circuit_status_text(UINT32_MAX), unknown);
    for (size_t i = 0; i < ARRAY_COUNT(known); i++)
        for (size_t k = 0; k < i; k++)
            cr_assert_str_neq(circuit_status_text(known[i]), circuit_status_text(known[k]));
    cr_assert_str_neq(circuit_status_text(100), unknown);
    cr_assert_str_eq(circuit_status_text(204), "no reservation");
}

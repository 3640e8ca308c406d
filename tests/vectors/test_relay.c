/* SPDX-License-Identifier: MIT */
/* Goal: the engines of relay/proto say and understand what go-libp2p does, byte for byte.
 * Spec: libp2p relay-v2, vectors. */
#include "core/base/err.h"
#include "core/base/frame.h"
#include "core/p2p/identity.h"
#include "core/p2p/pb.h"
#include "relay/proto/circuit_msg.h"
#include "relay/proto/voucher.h"
#include "tests/support/vectors.h"

enum { ROW_BYTES_MAX = 1024 };

/* The identities of the vectors: seeds that count up from 00 (A), 20 (B) and 40 (R). */
static struct identity identity_of(uint8_t first) {
    uint8_t seed[ED25519_SEED_BYTES];
    struct identity i;
    for (size_t k = 0; k < sizeof(seed); k++)
        seed[k] = (uint8_t)(first + k);
    cr_assert_eq(identity_from_seed(seed, &i), 0);
    return i;
}

/* --- relay_v2.json --------------------------------------------------------------------------- */

static const struct circuit_limit two_minutes = {.duration_s = 120, .data_bytes = 131072};

static struct hop_msg hop_status(uint32_t status) {
    return (struct hop_msg){.type = HOP_STATUS, .has_status = true, .status = status};
}

/* What a row says, as we would write it.  Bytes of the reservation go into `memory`. */
static struct hop_msg expected_hop(const char *name, uint8_t *memory, size_t size) {
    struct identity b = identity_of(0x20);
    struct identity relay = identity_of(0x40);
    struct multiaddr addr;
    static const struct {
        const char *name;
        uint32_t status;
    } plain[] = {
        {"hop-status-ok-unlimited", 100},
        {"hop-status-RESERVATION_REFUSED", 200},
        {"hop-status-RESOURCE_LIMIT_EXCEEDED", 201},
        {"hop-status-PERMISSION_DENIED", 202},
        {"hop-status-CONNECTION_FAILED", 203},
        {"hop-status-NO_RESERVATION", 204},
        {"hop-status-MALFORMED_MESSAGE", 400},
        {"hop-status-UNEXPECTED_MESSAGE", 401},
    };
    for (size_t i = 0; i < ARRAY_COUNT(plain); i++)
        if (strcmp(name, plain[i].name) == 0)
            return hop_status(plain[i].status);
    if (strcmp(name, "hop-reserve") == 0)
        return (struct hop_msg){.type = HOP_RESERVE};
    if (strcmp(name, "hop-connect-to-B") == 0)
        return (struct hop_msg){.type = HOP_CONNECT, .has_peer = true, .peer = b.id};

    struct hop_msg m = hop_status(100);
    m.has_limit = true;
    m.limit = two_minutes;
    if (strcmp(name, "hop-status-ok-limited") == 0)
        return m;
    cr_assert_str_eq(name, "hop-status-ok-reservation");
    ssize_t voucher_len = voucher_seal(&relay, &b.id, 1800000000, memory);
    cr_assert_gt(voucher_len, 0);
    cr_assert_eq(multiaddr_parse("/ip4/203.0.113.9/tcp/4001", &addr), 0);
    cr_assert_eq(multiaddr_add_peer(&addr, &relay.id), 0);
    struct wr w = wr_init(memory + voucher_len, size - (size_t)voucher_len);
    circuit_put_addr(&w, &addr);
    cr_assert_gt(wr_done(&w), 0);
    m.has_reservation = true;
    m.reservation = (struct circuit_reservation){
        .expire = 1800000000,
        .addrs = wr_written(&w),
        .voucher = bytes_of(memory, (size_t)voucher_len),
    };
    return m;
}

static struct stop_msg expected_stop(const char *name) {
    struct identity a = identity_of(0x00);
    struct stop_msg m = {.type = STOP_STATUS, .has_status = true, .status = 100};
    if (strcmp(name, "stop-status-ok") == 0)
        return m;
    m.status = CIRCUIT_STATUS_CONNECTION_FAILED;
    if (strcmp(name, "stop-status-CONNECTION_FAILED") == 0)
        return m;
    m = (struct stop_msg){.type = STOP_CONNECT, .has_peer = true, .peer = a.id};
    if (strcmp(name, "stop-connect-from-A-unlimited") == 0)
        return m;
    cr_assert_str_eq(name, "stop-connect-from-A-limited");
    m.has_limit = true;
    m.limit = two_minutes;
    return m;
}

static void expect_limit(const struct circuit_limit *got, const struct circuit_limit *expected) {
    cr_assert_eq(got->duration_s, expected->duration_s);
    cr_assert_eq(got->data_bytes, expected->data_bytes);
}

static void check_hop(const char *name, struct bytes body, struct bytes delimited) {
    uint8_t memory[2 * VOUCHER_BYTES_MAX];
    uint8_t out[CIRCUIT_OUT_MAX];
    struct hop_msg expected = expected_hop(name, memory, sizeof(memory));
    struct hop_msg got;
    ssize_t n = hop_msg_encode(&expected, out);
    cr_assert(n > 0 && bytes_equal(bytes_of(out, (size_t)n), delimited), "%s", name);

    cr_assert_eq(hop_msg_decode(body, &got), 0, "%s", name);
    cr_assert_eq(got.type, expected.type, "%s", name);
    cr_assert_eq(got.has_peer, expected.has_peer, "%s", name);
    cr_assert(peer_id_equal(&got.peer, &expected.peer), "%s", name);
    cr_assert_eq(got.has_limit, expected.has_limit, "%s", name);
    expect_limit(&got.limit, &expected.limit);
    cr_assert_eq(got.has_status, expected.has_status, "%s", name);
    cr_assert_eq(got.status, expected.status, "%s", name);
    cr_assert_eq(got.has_reservation, expected.has_reservation, "%s", name);
    n = hop_msg_encode(&got, out);
    cr_assert(n > 0 && bytes_equal(bytes_of(out, (size_t)n), delimited), "%s", name);
}

static void check_stop(const char *name, struct bytes body, struct bytes delimited) {
    uint8_t out[CIRCUIT_OUT_MAX];
    struct stop_msg expected = expected_stop(name);
    struct stop_msg got;
    size_t n = stop_msg_encode(&expected, out);
    cr_assert(bytes_equal(bytes_of(out, n), delimited), "%s", name);

    cr_assert_eq(stop_msg_decode(body, &got), 0, "%s", name);
    cr_assert_eq(got.type, expected.type, "%s", name);
    cr_assert_eq(got.has_peer, expected.has_peer, "%s", name);
    cr_assert(peer_id_equal(&got.peer, &expected.peer), "%s", name);
    cr_assert_eq(got.has_limit, expected.has_limit, "%s", name);
    expect_limit(&got.limit, &expected.limit);
    cr_assert_eq(got.has_status, expected.has_status, "%s", name);
    cr_assert_eq(got.status, expected.status, "%s", name);
}

Test(relay, every_message_of_the_reference_both_ways) {
    struct vectors v = vectors_open("relay_v2");
    cr_assert_eq(json_array_size(v.rows), 16);
    vectors_for_each(row, &v) {
        uint8_t memory[2][ROW_BYTES_MAX];
        uint8_t frame_memory[CIRCUIT_MSG_MAX];
        struct frame frame;
        const char *name = row_str(row, "name");
        struct bytes body = row_hex(row, "message", memory[0], ROW_BYTES_MAX);
        struct bytes delimited = row_hex(row, "delimited", memory[1], ROW_BYTES_MAX);
        frame_init(&frame, frame_memory, sizeof(frame_memory));
        cr_assert_eq(frame_recv(&frame, delimited), (ssize_t)delimited.len, "%s", name);
        cr_assert(frame_is_whole(&frame), "%s", name);
        cr_assert(bytes_equal(frame_body(&frame), body), "%s", name);
        if (strncmp(name, "hop-", 4) == 0)
            check_hop(name, body, delimited);
        else
            check_stop(name, body, delimited);
    }
    vectors_close(&v);
}

Test(relay, the_reservation_of_the_reference_is_read) {
    struct vectors v = vectors_open("relay_v2");
    const json_t *row = json_array_get(v.rows, 1);
    struct identity b = identity_of(0x20);
    struct identity relay = identity_of(0x40);
    uint8_t memory[ROW_BYTES_MAX];
    char text[MULTIADDR_TEXT_MAX];
    char expected[MULTIADDR_TEXT_MAX];
    char id[PEER_ID_TEXT_MAX];
    struct hop_msg m;
    struct multiaddr addr;
    walltime_t expire;
    cr_assert_eq(hop_msg_decode(row_hex(row, "message", memory, sizeof(memory)), &m), 0);
    cr_assert_eq(m.reservation.expire, 1800000000);
    struct bytes left = m.reservation.addrs;
    cr_assert(circuit_next_addr(&left, &addr));
    (void)snprintf(expected, sizeof(expected), "/ip4/203.0.113.9/tcp/4001/p2p/%s",
                   peer_id_format(&relay.id, id));
    cr_assert_str_eq(multiaddr_format(&addr, text), expected);
    cr_assert_not(circuit_next_addr(&left, &addr));
    cr_assert_eq(voucher_open(m.reservation.voucher, &relay.id, &b.id, &expire), 0);
    cr_assert_eq(expire, 1800000000);
    vectors_close(&v);
}

/* --- envelopes.json -------------------------------------------------------------------------- */

Test(relay, every_voucher_of_the_reference_is_judged_as_wanted) {
    struct vectors v = vectors_open("envelopes");
    struct identity b = identity_of(0x20);
    struct identity relay = identity_of(0x40);
    int rows = 0;
    vectors_for_each(row, &v) {
        uint8_t memory[ROW_BYTES_MAX];
        uint8_t out[VOUCHER_BYTES_MAX];
        walltime_t expire;
        const char *name = row_str(row, "name");
        if (!row_is(row, "domain", "libp2p-relay-rsvp"))
            continue;
        rows++;
        struct bytes in = row_hex(row, "envelope", memory, sizeof(memory));
        int e = voucher_open(in, &relay.id, &b.id, &expire);
        if (row_is(row, "expect", "reject")) {
            cr_assert_eq(e, -ERR_BAD_SIGNATURE, "%s: %s", name, err_name(e));
            continue;
        }
        cr_assert_eq(e, 0, "%s: %s", name, err_name(e));
        cr_assert_eq(expire, 1800000000);
        ssize_t n = voucher_seal(&relay, &b.id, expire, out);
        cr_assert(n > 0 && bytes_equal(bytes_of(out, (size_t)n), in), "%s", name);
    }
    cr_assert_eq(rows, 2, "one of each verdict");
    vectors_close(&v);
}

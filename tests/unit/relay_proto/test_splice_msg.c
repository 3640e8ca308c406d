/* SPDX-License-Identifier: MIT */
/* Goal: what the relay and its two peers say of a spliced path is these bytes and no others.
 * Spec: ADR 13. */
#include <criterion/criterion.h>

#include "core/base/codec.h"
#include "core/base/err.h"
#include "core/base/frame.h"
#include "relay/proto/splice_msg.h"

static struct peer_id peer(void) {
    static const uint8_t bytes[] = {0, 4, 1, 2, 3, 4};
    struct peer_id id;
    cr_assert_eq(peer_id_decode(BYTES_OF(bytes), &id), 0);
    return id;
}

static struct splice_msg with_token(struct splice_msg m) {
    m.has_token = true;
    for (int i = 0; i < SPLICE_TOKEN_BYTES; i++)
        m.token[i] = (uint8_t)i;
    return m;
}

#define TOKEN_HEX "1a20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const struct {
    const char *name;
    const char *hex; /* with the length */
} rows[] = {
    {"ask", "0a08001206000401020304"}, {"offer", "2c08011206000401020304" TOKEN_HEX},
    {"accepted", "0408022064"},        {"granted", "260802" TOKEN_HEX "2064"},
    {"refused", "05080220cc01"},
};

static struct splice_msg message(const char *name) {
    struct splice_msg m = {.type = SPLICE_STATUS, .has_status = true, .status = 100};
    if (strcmp(name, "ask") == 0)
        return (struct splice_msg){.type = SPLICE_ASK, .has_peer = true, .peer = peer()};
    if (strcmp(name, "offer") == 0)
        return with_token(
            (struct splice_msg){.type = SPLICE_OFFER, .has_peer = true, .peer = peer()});
    if (strcmp(name, "granted") == 0)
        return with_token(m);
    if (strcmp(name, "refused") == 0)
        m.status = CIRCUIT_STATUS_NO_RESERVATION;
    return m;
}

static size_t from_hex(const char *hex, uint8_t *out, size_t size) {
    ssize_t n = codec_decode(CODEC_HEX, bytes_of_str(hex), out, size);
    cr_assert_gt(n, 0, "%s", hex);
    return (size_t)n;
}

Test(splice_msg, is_written_and_read_byte_for_byte) {
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct splice_msg m = message(rows[i].name);
        struct splice_msg read;
        uint8_t expected[SPLICE_OUT_MAX];
        uint8_t out[SPLICE_OUT_MAX];
        uint8_t memory[SPLICE_MSG_MAX];
        struct frame f;
        size_t len = from_hex(rows[i].hex, expected, sizeof(expected));
        cr_assert_eq(splice_msg_encode(&m, out), len, "%s", rows[i].name);
        cr_assert_arr_eq(out, expected, len, "%s", rows[i].name);
        frame_init(&f, memory, sizeof(memory));
        cr_assert_eq(frame_recv(&f, bytes_of(out, len)), (ssize_t)len);
        cr_assert_eq(splice_msg_decode(frame_body(&f), &read), 0, "%s", rows[i].name);
        cr_assert_eq(read.type, m.type);
        cr_assert_eq(read.has_peer, m.has_peer);
        cr_assert_eq(read.has_token, m.has_token);
        cr_assert_eq(read.has_status, m.has_status);
        cr_assert_eq(read.status, m.status);
        cr_assert(peer_id_equal(&read.peer, &m.peer));
        cr_assert_arr_eq(read.token, m.token, SPLICE_TOKEN_BYTES);
    }
}

static int decode_hex(const char *hex, struct splice_msg *ret_msg) {
    uint8_t in[SPLICE_MSG_MAX];
    size_t len = from_hex(hex, in, sizeof(in));
    return splice_msg_decode(bytes_of(in, len), ret_msg);
}

Test(splice_msg, fields_come_in_any_order_and_unknown_ones_are_skipped) {
    struct splice_msg m;
    cr_assert_eq(decode_hex("20643a0161" TOKEN_HEX "0802", &m), 0);
    cr_assert_eq(m.type, SPLICE_STATUS);
    cr_assert_eq(m.status, 100);
    cr_assert(m.has_token);
    cr_assert_not(m.has_peer);
    cr_assert_eq(decode_hex("0809", &m), 0);
    cr_assert_eq(m.type, SPLICE_OTHER);
    cr_assert_eq(decode_hex("2064", &m), 0); /* an absent type is 0 */
    cr_assert_eq(m.type, SPLICE_ASK);
    cr_assert_eq(decode_hex("20ffffffffff01", &m), 0);
    cr_assert_eq(m.status, UINT32_MAX);
}

Test(splice_msg, what_makes_no_sense_is_refused_and_leaves_the_result_alone) {
    struct splice_msg m = {.status = 7};
    cr_assert_eq(decode_hex("1a0100", &m), -ERR_MALFORMED); /* a token of one byte */
    cr_assert_eq(decode_hex("1a2100" TOKEN_HEX, &m), -ERR_MALFORMED);
    cr_assert_eq(decode_hex("1a20", &m), -ERR_TRUNCATED);
    cr_assert_eq(decode_hex("1201ff", &m), -ERR_BAD_PEER_ID);
    cr_assert_eq(decode_hex("00", &m), -ERR_MALFORMED);
    cr_assert_eq(m.status, 7);
}

Test(splice_msg, a_leg_begins_with_magic_and_token_and_with_nothing_else_that_there_is) {
    struct splice_msg m = with_token((struct splice_msg){.type = SPLICE_OFFER});
    uint8_t preface[SPLICE_PREFACE_BYTES];
    uint8_t expected[SPLICE_PREFACE_BYTES];
    splice_preface(m.token, preface);
    cr_assert_eq(from_hex("897065657275702f73706c696365310a"
                          "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                          expected, sizeof(expected)),
                 sizeof(expected));
    cr_assert_arr_eq(preface, expected, sizeof(expected));
    static const uint8_t others[] = {0x13 /* multistream */, 0x16 /* TLS */, 'G' /* HTTP */};
    for (size_t i = 0; i < sizeof(others); i++)
        cr_assert_neq(splice_magic[0], others[i]);
}

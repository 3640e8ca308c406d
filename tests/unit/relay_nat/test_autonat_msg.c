/* SPDX-License-Identifier: MIT */
/* Goal: what is none of AutoNAT's messages, and what proto3 leaves out.
 * Spec: libp2p AutoNAT; known answers are in tests/vectors. */
#include "core/base/err.h"
#include "relay/proto/autonat_msg.h"
#include "tests/support/hex.h"
#include "tests/unit/relay_nat/addrs.h"

static void expect_error(struct bytes body, int error) {
    struct autonat_msg m = {.nonce = 7};
    int e = autonat_decode(body, &m);
    cr_assert_eq(e, error, "%s instead of %s", err_name(e), err_name(error));
    cr_assert_eq(m.nonce, 7, "untouched on failure");
}

static struct autonat_msg decoded(struct bytes body) {
    struct autonat_msg m;
    cr_assert_eq(autonat_decode(body, &m), 0);
    return m;
}

Test(autonat_msg, a_message_of_none_of_the_four_kinds_is_malformed) {
    expect_error(BYTES_EMPTY, -ERR_MALFORMED);
    expect_error(HEX("0801"), -ERR_MALFORMED);
    expect_error(HEX("2a00"), -ERR_MALFORMED);
    expect_error(HEX("0aff"), -ERR_TRUNCATED);
    expect_error(HEX("0a021100"), -ERR_TRUNCATED);
    expect_error(HEX("12061080808080"
                     "20"),
                 -ERR_MALFORMED); /* an index of 33 bits */
    expect_error(HEX("1a0608808080"
                     "8020"),
                 -ERR_MALFORMED);
}

Test(autonat_msg, more_than_8192_bytes_are_refused_unread) {
    static uint8_t body[AUTONAT_MESSAGE_MAX + 1] = {0x22, 0xfd, 0x3f, 0x0a, 0xfa, 0x3f};
    cr_assert_eq(decoded(bytes_of(body, AUTONAT_MESSAGE_MAX)).data_bytes, 8186);
    expect_error(BYTES_OF(body), -ERR_LIMIT);
}

Test(autonat_msg, absent_fields_are_zero_and_unknown_ones_skipped) {
    struct autonat_msg m = decoded(HEX("1200"));
    cr_assert_eq(m.type, AUTONAT_DIAL_RESPONSE);
    cr_assert_eq(m.status, AUTONAT_E_INTERNAL_ERROR);
    cr_assert_eq(m.dial_status, AUTONAT_DIAL_UNUSED);
    m = decoded(HEX("2a0161"
                    "0a00"
                    "1a0408032005"));
    cr_assert_eq(m.type, AUTONAT_DATA_REQUEST, "the last of the oneof");
    cr_assert_eq(m.addr_index, 3);
    cr_assert_eq(m.data_bytes, 0);
    m = decoded(HEX("0a021005"));
    cr_assert_eq(m.nonce, 0, "the nonce as a varint is none");
}

Test(autonat_msg, addresses_keep_their_places_whatever_they_are) {
    struct autonat_msg m = decoded(HEX("0a12"
                                       "0a00"
                                       "0a02ffff"
                                       "0a0804c0000201060fa1"
                                       "1001"));
    static const size_t lens[] = {0, 2, 8};
    struct bytes addr;
    for (size_t i = 0; i < ARRAY_COUNT(lens); i++) {
        cr_assert(autonat_next_addr(&m.addrs, &addr));
        cr_assert_eq(addr.len, lens[i]);
    }
    cr_assert_not(autonat_next_addr(&m.addrs, &addr));
    cr_assert_not(autonat_next_addr(&m.addrs, &addr));
}

Test(autonat_msg, the_longest_request_fits_its_memory) {
    static struct multiaddr addrs[AUTONAT_ADDRS_MAX];
    static uint8_t out[AUTONAT_OUT_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(addrs); i++) /* only their size matters here */
        addrs[i].len = MULTIADDR_BYTES_MAX;
    size_t len = autonat_encode_request(addrs, ARRAY_COUNT(addrs), UINT64_MAX, out);
    cr_assert_leq(len, AUTONAT_OUT_MAX);
    static uint8_t out_v1[AUTONAT_V1_OUT_MAX];
    struct peer_id self = {.len = PEER_ID_BYTES_MAX};
    len = autonat_v1_encode_dial(&self, addrs, AUTONAT_V1_ADDRS_MAX, out_v1);
    cr_assert_leq(len, AUTONAT_V1_OUT_MAX);
    cr_assert_geq(len, AUTONAT_V1_ADDRS_MAX * MULTIADDR_BYTES_MAX);
}

Test(autonat_msg, the_longest_answers_fit_their_memory) {
    uint8_t out[AUTONAT_SMALL_OUT_MAX];
    size_t len = autonat_encode_data_request(UINT32_MAX, UINT64_MAX, out);
    struct autonat_msg m = decoded(bytes_of(out + 1, len - 1));
    cr_assert_eq(m.addr_index, UINT32_MAX);
    cr_assert_eq(m.data_bytes, UINT64_MAX);
    len = autonat_encode_response(AUTONAT_OK, UINT32_MAX, AUTONAT_DIAL_E_DIAL_BACK, out);
    m = decoded(bytes_of(out + 1, len - 1));
    cr_assert_eq(m.addr_index, UINT32_MAX);
    cr_assert_eq(m.dial_status, AUTONAT_DIAL_E_DIAL_BACK);
}

Test(autonat_msg, a_dial_back_is_read_or_an_error) {
    uint64_t nonce = 7;
    cr_assert_eq(autonat_decode_dial_back(HEX("090807060504"), &nonce), -ERR_TRUNCATED);
    cr_assert_eq(autonat_decode_dial_back(HEX("00"), &nonce), -ERR_MALFORMED);
    static const uint8_t large[AUTONAT_MESSAGE_MAX + 1];
    cr_assert_eq(autonat_decode_dial_back(BYTES_OF(large), &nonce), -ERR_LIMIT);
    cr_assert_eq(nonce, 7);
    cr_assert_eq(autonat_decode_dial_back(BYTES_EMPTY, &nonce), 0);
    cr_assert_eq(nonce, 0);
}

Test(autonat_msg, a_question_of_v1_needs_type_and_peer) {
    static const uint8_t empty[] = {8, 0, 0x12, 2, 0x0a, 0};
    static const uint8_t two[] = {8, 0, 0x12, 8, 0x0a, 6, 0x12, 2, 9, 9, 0x12, 0};
    struct autonat_v1_dial d = {.peer = BYTES_LIT("before")};
    struct bytes addr;
    cr_assert_eq(autonat_v1_decode_dial(BYTES_EMPTY, &d), -ERR_MALFORMED);
    cr_assert_eq(autonat_v1_decode_dial(HEX("080112020a00"), &d), -ERR_MALFORMED); /* a response */
    cr_assert_eq(autonat_v1_decode_dial(HEX("08001200"), &d), -ERR_MALFORMED);
    cr_assert_eq(autonat_v1_decode_dial(HEX("080012040a050000"), &d), -ERR_TRUNCATED);
    cr_assert_eq(autonat_v1_decode_dial(HEX("080012040a021205"), &d), -ERR_TRUNCATED);
    static const uint8_t large[AUTONAT_V1_MESSAGE_MAX + 1];
    cr_assert_eq(autonat_v1_decode_dial(BYTES_OF(large), &d), -ERR_LIMIT);
    cr_assert(bytes_equal(d.peer, BYTES_LIT("before")));
    cr_assert_eq(autonat_v1_decode_dial(BYTES_OF(empty), &d), 0);
    cr_assert_eq(d.peer.len, 0, "whose it is, is another question");
    cr_assert_not(autonat_v1_next_addr(&d.addrs, &addr));
    cr_assert_eq(autonat_v1_decode_dial(BYTES_OF(two), &d), 0);
    cr_assert(autonat_v1_next_addr(&d.addrs, &addr));
    cr_assert(bytes_equal(addr, BYTES_LIT("\x09\x09")));
    cr_assert(autonat_v1_next_addr(&d.addrs, &addr));
    cr_assert_eq(addr.len, 0);
    cr_assert_not(autonat_v1_next_addr(&d.addrs, &addr));
}

Test(autonat_msg, the_longest_answer_of_v1_fits_its_memory) {
    struct multiaddr addr = {.len = MULTIADDR_BYTES_MAX};
    uint8_t out[AUTONAT_V1_RESPONSE_MAX];
    size_t len = autonat_v1_encode_response(AUTONAT_V1_E_INTERNAL_ERROR, &addr, out);
    cr_assert_leq(len, AUTONAT_V1_RESPONSE_MAX);
}

Test(autonat_msg, an_answer_of_v1_needs_type_and_status) {
    uint64_t status = 7;
    cr_assert_eq(autonat_v1_decode_response(BYTES_EMPTY, &status), -ERR_MALFORMED);
    cr_assert_eq(autonat_v1_decode_response(HEX("08001a020800"), &status), -ERR_MALFORMED);
    cr_assert_eq(autonat_v1_decode_response(HEX("1a020800"), &status), -ERR_MALFORMED);
    cr_assert_eq(autonat_v1_decode_response(HEX("08011a0412026869"), &status), -ERR_MALFORMED);
    cr_assert_eq(autonat_v1_decode_response(HEX("08011a0308ff"), &status), -ERR_TRUNCATED);
    cr_assert_eq(autonat_v1_decode_response(HEX("08011a0108"), &status), -ERR_TRUNCATED);
    static const uint8_t large[AUTONAT_V1_MESSAGE_MAX + 1];
    cr_assert_eq(autonat_v1_decode_response(BYTES_OF(large), &status), -ERR_LIMIT);
    cr_assert_eq(status, 7);
    cr_assert_eq(autonat_v1_decode_response(HEX("08011a0308ac02"), &status), 0);
    cr_assert_eq(status, AUTONAT_V1_E_INTERNAL_ERROR);
}

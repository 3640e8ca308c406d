/* SPDX-License-Identifier: MIT */
/* Goal: Binding requests and answers byte for byte, and nothing else taken for them.
 * Spec: RFC 8489, test vectors of RFC 5769; the request and answer of peerup-protocols. */
#include <stdio.h>

#include "core/base/err.h"
#include "relay/proto/nat_type.h"
#include "relay/proto/stun_msg.h"
#include "tests/support/hex.h"
#include "tests/unit/relay_nat/addrs.h"

#define TXID "101112131415161718191a1b"

static const uint8_t txid[STUN_TXID_BYTES] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
                                              0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b};

static struct stun_msg decoded(struct bytes datagram) {
    struct stun_msg m;
    int e = stun_decode(datagram, &m);
    cr_assert_eq(e, 0, "%s", err_name(e));
    return m;
}

static void expect_error(struct bytes datagram, int error) {
    struct stun_msg m = {.type = 7};
    int e = stun_decode(datagram, &m);
    cr_assert_eq(e, error, "%s instead of %s", err_name(e), err_name(error));
    cr_assert_eq(m.type, 7, "untouched on failure");
}

static void expect_addr(const struct net_addr *got, const char *expected) {
    struct net_addr want = naddr(expected);
    char text[NET_ADDR_TEXT_MAX];
    cr_assert(net_addr_equal(got, &want), "%s instead of %s", net_addr_format(got, text), expected);
}

Test(stun_msg, a_request_is_a_header_alone) {
    uint8_t out[STUN_REQUEST_BYTES];
    stun_encode_request(txid, out);
    cr_assert(bytes_equal(BYTES_OF(out), HEX("000100002112a442" TXID)));
    struct stun_msg m = decoded(BYTES_OF(out));
    cr_assert_eq(m.type, STUN_BINDING_REQUEST);
    cr_assert(memcmp(m.txid, txid, sizeof(txid)) == 0);
    cr_assert_eq(m.mapped.family, NET_NONE);
    cr_assert_eq(m.other.family, NET_NONE);
}

Test(stun_msg, an_answer_names_the_address_that_it_goes_to) {
    uint8_t out[STUN_ANSWER_MAX];
    struct net_addr mapped = naddr("203.0.113.5:54321");
    size_t len = stun_encode_success(txid, &mapped, NULL, out);
    cr_assert(
        bytes_equal(bytes_of(out, len), HEX("0101000c2112a442" TXID "002000080001f523ea12d547")));
    struct stun_msg m = decoded(bytes_of(out, len));
    cr_assert_eq(m.type, STUN_BINDING_SUCCESS);
    expect_addr(&m.mapped, "203.0.113.5:54321");
    cr_assert_eq(m.other.family, NET_NONE);
}

Test(stun_msg, an_answer_of_both_families_comes_back_as_it_went) {
    static const char *const texts[][2] = {{"203.0.113.5:54321", "192.0.2.9:3479"},
                                           {"[2001:db8::5]:1", "[2001:db8::9]:65535"}};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        uint8_t out[STUN_ANSWER_MAX];
        struct net_addr mapped = naddr(texts[i][0]);
        struct net_addr other = naddr(texts[i][1]);
        size_t len = stun_encode_success(txid, &mapped, &other, out);
        struct stun_msg m = decoded(bytes_of(out, len));
        expect_addr(&m.mapped, texts[i][0]);
        expect_addr(&m.other, texts[i][1]);
        cr_assert_eq(len == STUN_ANSWER_MAX, i == 1);
    }
}

Test(stun_msg, the_answers_of_rfc_5769_are_read) {
    struct stun_msg m =
        decoded(HEX("0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
                    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
                    "80280004c07d4c96"));
    expect_addr(&m.mapped, "192.0.2.1:32853");
    m = decoded(HEX("010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
                    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf1"
                    "1784c97c8292c275bfe3ed4180280004c8fb0b4c"));
    expect_addr(&m.mapped, "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
    cr_assert_eq(m.unknown_count, 0);
}

/* The request of RFC 5769 has PRIORITY, which is ICE's. */
Test(stun_msg, a_required_attribute_that_we_do_not_know_is_refused_by_name) {
    struct stun_msg m =
        decoded(HEX("000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c6965"
                    "6e74002400046e0001ff80290008932ff9b151263b36000600096576746a3a6836765920202000"
                    "0800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"));
    uint8_t out[STUN_ANSWER_MAX];
    cr_assert_eq(m.unknown_count, 1);
    cr_assert_eq(m.unknown[0], 0x0024);
    size_t len = stun_encode_refusal(&m, out);
    cr_assert(bytes_equal(bytes_of(out, len), HEX("011100102112a442b7e7a701bc34d686fa87dfae"
                                                  "000900040000041400"
                                                  "0a000200240000")));
    m = decoded(bytes_of(out, len));
    cr_assert_eq(m.type, STUN_BINDING_ERROR);
}

Test(stun_msg, unknown_attributes_are_listed_up_to_a_limit) {
    struct stun_msg m =
        decoded(HEX("000100182112a442" TXID "000300000101000001020000010300000104000001050000"));
    uint8_t out[STUN_ANSWER_MAX];
    cr_assert_eq(m.unknown_count, STUN_UNKNOWN_MAX);
    cr_assert_eq(m.unknown[0], 0x0003);
    cr_assert_eq(m.unknown[3], 0x0103);
    cr_assert_leq(stun_encode_refusal(&m, out), STUN_ANSWER_MAX);
}

Test(stun_msg, what_is_not_stun_is_told_from_its_first_bytes) {
    expect_error(BYTES_EMPTY, -ERR_UNSUPPORTED);
    expect_error(HEX("000100002112a442101112131415161718191a"), -ERR_UNSUPPORTED); /* 19 bytes */
    expect_error(HEX("000100002112a443" TXID), -ERR_UNSUPPORTED);                  /* cookie */
    expect_error(HEX("000100042112a442" TXID), -ERR_UNSUPPORTED);                  /* too short */
    expect_error(HEX("000100002112a442" TXID "00000000"), -ERR_UNSUPPORTED);       /* too long */
    expect_error(HEX("000100022112a442" TXID "0000"), -ERR_UNSUPPORTED); /* no multiple of four */
    for (unsigned first = 0; first < 256; first++) {
        uint8_t datagram[STUN_REQUEST_BYTES];
        stun_encode_request(txid, datagram);
        datagram[0] = (uint8_t)first;
        cr_assert_eq(stun_is_message(BYTES_OF(datagram)), first < 64, "first byte %u", first);
    }
}

Test(stun_msg, attributes_that_do_not_parse_are_malformed) {
    static const char *const bodies[] = {
        "00200000",                         /* an empty address */
        "002000080003f523ea12d547",         /* of no family */
        "002000080002f523ea12d547",         /* IPv6 in four bytes */
        "0020000c0001f523ea12d54700000000", /* IPv4 in eight */
        "002000ff0001f523ea12d547",         /* longer than the message */
        "80280004c07d4c97",                 /* a wrong fingerprint */
        "8028000400000000"
        "002000080001f523ea12d547", /* not the last */
        "80280000",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        char text[128];
        size_t len = strlen(bodies[i]) / 2;
        (void)snprintf(text, sizeof(text), "0101%04zx2112a442" TXID "%s", len, bodies[i]);
        uint8_t memory[128];
        expect_error(hex_into(text, memory, sizeof(memory)), -ERR_MALFORMED);
    }
}

Test(stun_msg, the_xored_address_goes_before_the_plain_one_and_the_first_of_each_counts) {
    struct stun_msg m = decoded(HEX("010100302112a442" TXID "00010008000100507f000001"
                                    "002000080001f523ea12d547"
                                    "002000080001f524ea12d547"
                                    "00010008000100507f000002"));
    expect_addr(&m.mapped, "203.0.113.5:54321");
    m = decoded(HEX("0101000c2112a442" TXID "0001000800010050c0000207"));
    expect_addr(&m.mapped, "192.0.2.7:80");
}

Test(nat_type, its_names_are_those_of_the_status_page) {
    cr_assert_str_eq(nat_type_name(NAT_UNKNOWN), "unknown");
    cr_assert_str_eq(nat_type_name(NAT_NONE), "none");
    cr_assert_str_eq(nat_type_name(NAT_FULL_CONE), "full-cone");
    cr_assert_str_eq(nat_type_name(NAT_ADDRESS_RESTRICTED), "address-restricted");
    cr_assert_str_eq(nat_type_name(NAT_PORT_RESTRICTED), "port-restricted");
    cr_assert_str_eq(nat_type_name(NAT_SYMMETRIC), "symmetric");
}

Test(nat_type, a_strangers_dial_makes_a_cone_a_full_one_and_nothing_else) {
    cr_assert_eq(nat_type_reached(NAT_ADDRESS_RESTRICTED), NAT_FULL_CONE);
    cr_assert_eq(nat_type_reached(NAT_SYMMETRIC), NAT_SYMMETRIC);
    cr_assert_eq(nat_type_reached(NAT_UNKNOWN), NAT_UNKNOWN);
    cr_assert_eq(nat_type_reached(NAT_NONE), NAT_NONE);
}

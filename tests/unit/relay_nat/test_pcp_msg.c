/* SPDX-License-Identifier: MIT */
/* Goal: requests to gateways byte for byte, and what is no answer of theirs.
 * Spec: RFC 6887, sections 7 and 11; RFC 6886, section 3. */
#include <stdio.h>

#include "core/base/err.h"
#include "relay/proto/pcp_msg.h"
#include "tests/support/hex.h"
#include "tests/unit/relay_nat/addrs.h"

#define NONCE  "000102030405060708090a0b"
#define ZEROS  "000000000000000000000000"
#define V4(ip) "00000000000000000000ffff" ip
/* Header of a successful answer: 7,200 s, epoch 3,600. */
#define OK     \
    "02810000" \
    "00001c20" \
    "00000e10" ZEROS

static void expect_pcp_error(struct bytes datagram, int error) {
    struct pcp_map_response r = {.internal_port = 7};
    int e = pcp_decode_map(datagram, &r);
    cr_assert_eq(e, error, "%s instead of %s", err_name(e), err_name(error));
    cr_assert_eq(r.internal_port, 7, "untouched on failure");
}

static void expect_natpmp_error(struct bytes datagram, int error) {
    struct natpmp_response r = {.internal_port = 7};
    int e = natpmp_decode(datagram, &r);
    cr_assert_eq(e, error, "%s instead of %s", err_name(e), err_name(error));
    cr_assert_eq(r.internal_port, 7, "untouched on failure");
}

Test(pcp_msg, a_request_has_sixty_bytes) {
    uint8_t out[PCP_REQUEST_BYTES];
    struct pcp_map_request request = {
        .client = naddr("192.168.1.2"),
        .nonce = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
        .internal_port = 4001,
        .external = naddr("8.8.8.8:4002"),
        .lifetime_s = 7200,
    };
    pcp_encode_map(&request, out);
    cr_assert(
        bytes_equal(BYTES_OF(out), HEX("02010000"
                                       "00001c20" V4("c0a80102") NONCE "11000000"
                                                                       "0fa1"
                                                                       "0fa2" V4("08080808"))));
    request.is_tcp = true;
    request.lifetime_s = 0;
    request.external.family = NET_NONE;
    pcp_encode_map(&request, out);
    cr_assert(
        bytes_equal(BYTES_OF(out), HEX("02010000"
                                       "00000000" V4("c0a80102") NONCE "06000000"
                                                                       "0fa1"
                                                                       "0000" V4("00000000"))));
}

Test(pcp_msg, ipv6_goes_as_it_is) {
    uint8_t out[PCP_REQUEST_BYTES];
    struct pcp_map_request request = {.client = naddr("2001:db8::1"), .internal_port = 1};
    pcp_encode_map(&request, out);
    cr_assert(bytes_equal(bytes_of(out + 8, 16), HEX("20010db8000000000000000000000001")));
    cr_assert(bytes_equal(bytes_of(out + 44, 16), HEX("00000000" ZEROS)));
}

Test(pcp_msg, an_answer_is_read_with_options_behind_it) {
    static const char *const options[] = {"", "01000004"
                                              "00000000"};
    for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
        char text[256];
        uint8_t memory[128];
        struct pcp_map_response r;
        (void)snprintf(text, sizeof(text), "%s%s",
                       OK NONCE "06000000"
                                "0fa1"
                                "0fa2" V4("08080808"),
                       options[i]);
        cr_assert_eq(pcp_decode_map(hex_into(text, memory, sizeof(memory)), &r), 0);
        struct net_addr external = naddr("8.8.8.8:4002");
        cr_assert_eq(r.version, PCP_VERSION);
        cr_assert_eq(r.result, PCP_SUCCESS);
        cr_assert_eq(r.lifetime_s, 7200);
        cr_assert_eq(r.epoch_s, 3600);
        cr_assert_eq(r.nonce[11], 11);
        cr_assert(r.is_tcp);
        cr_assert_eq(r.internal_port, 4001);
        cr_assert(net_addr_equal(&r.external, &external));
    }
}

Test(pcp_msg, an_external_address_may_be_ipv6) {
    struct pcp_map_response r;
    struct net_addr external = naddr("[2001:db8::9]:4002");
    cr_assert_eq(pcp_decode_map(HEX(OK NONCE "11000000"
                                             "0fa1"
                                             "0fa2"
                                             "20010db8000000000000000000000009"),
                                &r),
                 0);
    cr_assert(net_addr_equal(&r.external, &external));
    cr_assert_not(r.is_tcp);
}

Test(pcp_msg, of_another_version_only_the_result_is_read) {
    struct pcp_map_response r;
    cr_assert_eq(pcp_decode_map(HEX("01810001"
                                    "00000005"
                                    "00000e10" ZEROS),
                                &r),
                 0);
    cr_assert_eq(r.version, 1);
    cr_assert_eq(r.result, PCP_UNSUPP_VERSION);
    cr_assert_eq(r.lifetime_s, 0);
}

Test(pcp_msg, what_is_no_answer_to_map_is_told) {
    expect_pcp_error(BYTES_EMPTY, -ERR_TRUNCATED);
    expect_pcp_error(HEX("0281000000001c2000000e"), -ERR_TRUNCATED);
    expect_pcp_error(HEX(OK), -ERR_TRUNCATED);
    expect_pcp_error(HEX(OK NONCE "06000000"
                                  "0fa10fa2" ZEROS),
                     -ERR_TRUNCATED);
    expect_pcp_error(HEX("0081000000001c2000000e10"), -ERR_UNSUPPORTED); /* NAT-PMP */
    expect_pcp_error(HEX("0201000000001c2000000e10"), -ERR_UNSUPPORTED); /* a request */
    expect_pcp_error(HEX("0282000000001c2000000e10"), -ERR_UNSUPPORTED); /* PEER's */
    expect_pcp_error(HEX(OK NONCE "84000000"
                                  "0fa10fa2" V4("08080808")),
                     -ERR_UNSUPPORTED); /* SCTP */
    expect_pcp_error(HEX(OK NONCE "06000000"
                                  "0fa10fa2" V4("08080808") "0000"),
                     -ERR_MALFORMED);
    static const uint8_t large[PCP_MESSAGE_MAX + 4] = {2, 0x81};
    expect_pcp_error(BYTES_OF(large), -ERR_MALFORMED);
}

Test(pcp_msg, natpmp_asks_in_two_and_twelve_bytes) {
    uint8_t address[NATPMP_ADDRESS_REQUEST_BYTES];
    uint8_t map[NATPMP_MAP_REQUEST_BYTES];
    natpmp_encode_address(address);
    cr_assert(bytes_equal(BYTES_OF(address), HEX("0000")));
    natpmp_encode_map(false, 4001, 4002, 7200, map);
    cr_assert(bytes_equal(BYTES_OF(map), HEX("000100000fa10fa200001c20")));
    natpmp_encode_map(true, 4001, 0, 0, map);
    cr_assert(bytes_equal(BYTES_OF(map), HEX("000200000fa1000000000000")));
}

Test(pcp_msg, natpmps_answers_are_read) {
    struct natpmp_response r;
    struct net_addr external = naddr("8.8.8.8");
    cr_assert_eq(natpmp_decode(HEX("0080000000000e1008080808"), &r), 0);
    cr_assert_eq(r.op, NATPMP_ADDRESS);
    cr_assert_eq(r.epoch_s, 3600);
    cr_assert(net_addr_equal(&r.external, &external));
    cr_assert_eq(natpmp_decode(HEX("0082000000000e100fa10fa200001c20"), &r), 0);
    cr_assert_eq(r.op, NATPMP_MAP_TCP);
    cr_assert_eq(r.internal_port, 4001);
    cr_assert_eq(r.external_port, 4002);
    cr_assert_eq(r.lifetime_s, 7200);
    cr_assert_eq(natpmp_decode(HEX("0081000200000e10"), &r), 0, "an error may be short");
    cr_assert_eq(r.op, NATPMP_MAP_UDP);
    cr_assert_eq(r.result, 2);
    cr_assert_eq(natpmp_decode(HEX("0081000200000e100fa1000000000000"), &r), 0);
    cr_assert_eq(r.internal_port, 4001);
}

Test(pcp_msg, what_is_no_answer_of_natpmps_is_told) {
    expect_natpmp_error(BYTES_EMPTY, -ERR_TRUNCATED);
    expect_natpmp_error(HEX("008000"), -ERR_TRUNCATED);
    expect_natpmp_error(HEX("0080000000000e10"), -ERR_TRUNCATED);
    expect_natpmp_error(HEX("0081000000000e100fa10fa2"), -ERR_TRUNCATED);
    expect_natpmp_error(HEX("0080000000000e100808080800"), -ERR_MALFORMED);
    expect_natpmp_error(HEX("0180000000000e1008080808"), -ERR_UNSUPPORTED);
    expect_natpmp_error(HEX("0083000000000e1008080808"), -ERR_UNSUPPORTED);
    expect_natpmp_error(HEX("0001000000000e1008080808"), -ERR_UNSUPPORTED);
}

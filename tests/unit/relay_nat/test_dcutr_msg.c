/* SPDX-License-Identifier: MIT */
/* Goal: the two messages as they are on the wire, and what is none of them.
 * Spec: libp2p DCUtR; known answers are in tests/vectors. */
#include "core/base/err.h"
#include "relay/proto/dcutr_msg.h"
#include "tests/support/hex.h"
#include "tests/unit/relay_nat/addrs.h"

static void expect_error(struct bytes body, int error) {
    struct dcutr_msg msg = {.type = 7};
    int e = dcutr_msg_decode(body, &msg);
    cr_assert_eq(e, error, "%s instead of %s", err_name(e), err_name(error));
    cr_assert_eq(msg.type, 7, "untouched on failure");
}

Test(dcutr_msg, a_message_without_one_of_the_two_types_is_malformed) {
    expect_error(BYTES_EMPTY, -ERR_MALFORMED);
    expect_error(HEX("0865"), -ERR_MALFORMED);                 /* type 101 */
    expect_error(HEX("120804c0000201060fa1"), -ERR_MALFORMED); /* an address alone */
    expect_error(HEX("0a0164"), -ERR_MALFORMED);               /* the type as bytes */
    expect_error(HEX("0864ff"), -ERR_TRUNCATED);
    expect_error(HEX("08641209"), -ERR_TRUNCATED);
    expect_error(HEX("00"), -ERR_MALFORMED);
}

Test(dcutr_msg, more_than_4096_bytes_are_refused_unread) {
    static uint8_t body[DCUTR_MESSAGE_MAX + 1] = {0x08, 0x64, 0x1a, 0xfb, 0x1f};
    struct dcutr_msg msg;
    cr_assert_eq(dcutr_msg_decode(bytes_of(body, DCUTR_MESSAGE_MAX), &msg), 0);
    expect_error(BYTES_OF(body), -ERR_LIMIT);
}

Test(dcutr_msg, the_last_of_several_types_wins_and_unknown_fields_are_skipped) {
    struct dcutr_msg msg;
    cr_assert_eq(dcutr_msg_decode(HEX("0864"
                                      "1805"
                                      "220161"
                                      "08ac02"),
                                  &msg),
                 0);
    cr_assert_eq(msg.type, DCUTR_MSG_SYNC);
}

Test(dcutr_msg, undecodable_and_empty_addresses_are_skipped) {
    struct dcutr_msg msg;
    struct multiaddr a;
    struct multiaddr expected = maddr("/ip4/192.0.2.1/tcp/4001");
    struct bytes body = HEX("0864"
                            "1200"
                            "1203ffff7f"
                            "120804c0000201060fa1"
                            "120104");
    cr_assert_eq(dcutr_msg_decode(body, &msg), 0);
    cr_assert(dcutr_msg_next_addr(&msg.addrs, &a));
    cr_assert(multiaddr_equal(&a, &expected));
    cr_assert(!dcutr_msg_next_addr(&msg.addrs, &a));
    cr_assert(!dcutr_msg_next_addr(&msg.addrs, &a));
}

Test(dcutr_msg, addresses_that_do_not_fit_are_left_out_and_the_first_stay) {
    enum { COUNT = 400 };
    static struct multiaddr addrs[COUNT];
    static uint8_t out[DCUTR_OUT_MAX];
    for (size_t i = 0; i < COUNT; i++) {
        addrs[i] = maddr("/ip4/192.0.2.1/udp/4001/quic-v1");
        addrs[i].bytes[4] = (uint8_t)i;
    }
    size_t len = dcutr_msg_encode(DCUTR_MSG_CONNECT, addrs, COUNT, out);
    struct dcutr_msg msg;
    struct multiaddr a;
    size_t count = 0;
    cr_assert_leq(len, DCUTR_OUT_MAX);
    cr_assert_gt(len, DCUTR_OUT_MAX - 16, "as many as fit");
    cr_assert_eq(dcutr_msg_decode(bytes_of(out + 2, len - 2), &msg), 0);
    for (; dcutr_msg_next_addr(&msg.addrs, &a); count++)
        cr_assert(multiaddr_equal(&a, &addrs[count]), "address %zu", count);
    cr_assert_eq(count, (DCUTR_MESSAGE_MAX - 2) / 13);
}

Test(dcutr_msg, a_message_of_exactly_4096_bytes_is_written_whole) {
    enum { LONG_COUNT = 308, SHORT_COUNT = 9 }; /* of 13 and of 10 bytes; 2 are the type's */
    static struct multiaddr addrs[LONG_COUNT + SHORT_COUNT];
    static uint8_t out[DCUTR_OUT_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(addrs); i++)
        addrs[i] =
            maddr(i < LONG_COUNT ? "/ip4/192.0.2.1/udp/4001/quic-v1" : "/ip4/192.0.2.1/tcp/4001");
    cr_assert_eq(dcutr_msg_encode(DCUTR_MSG_CONNECT, addrs, ARRAY_COUNT(addrs), out),
                 DCUTR_OUT_MAX);
}

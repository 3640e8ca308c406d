/* SPDX-License-Identifier: MIT */
/* Goal: the answer goes to who asked, is small, and there are not too many.
 * Spec: RFC 8489, section 6.3.1. */
#include "relay/proto/stun_server.h"
#include "tests/support/hex.h"
#include "tests/unit/relay_nat/addrs.h"

#define REQUEST HEX("000100002112a442101112131415161718191a1b")

static size_t ask(struct stun_server *s, struct bytes datagram, uint8_t *out, nsec_t now) {
    struct net_addr from = naddr("203.0.113.5:54321");
    struct net_addr other = naddr("192.0.2.1:3479");
    return stun_server_answer(s, &from, &other, datagram, out, now);
}

Test(stun_server, a_request_is_answered_with_its_senders_address_and_our_second_port) {
    struct stun_server s = {.used_until = 0};
    uint8_t out[STUN_ANSWER_MAX];
    struct stun_msg m;
    size_t len = ask(&s, REQUEST, out, SEC(1));
    cr_assert_eq(stun_decode(bytes_of(out, len), &m), 0);
    cr_assert_eq(m.type, STUN_BINDING_SUCCESS);
    struct net_addr from = naddr("203.0.113.5:54321");
    cr_assert(net_addr_equal(&m.mapped, &from));
    cr_assert_eq(m.other.port, 3479);
}

Test(stun_server, nothing_but_requests_is_answered) {
    struct stun_server s = {.used_until = 0};
    uint8_t out[STUN_ANSWER_MAX];
    cr_assert_eq(ask(&s, HEX("010100002112a442101112131415161718191a1b"), out, 0), 0);
    cr_assert_eq(ask(&s, HEX("011100002112a442101112131415161718191a1b"), out, 0), 0);
    cr_assert_eq(ask(&s, HEX("001100002112a442101112131415161718191a1b"), out, 0), 0);
    cr_assert_eq(ask(&s, HEX("000100002112a443101112131415161718191a1b"), out, 0), 0);
    cr_assert_eq(ask(&s, BYTES_EMPTY, out, 0), 0);
    cr_assert_eq(s.used_until, 0, "and costs nothing");
}

Test(stun_server, unknown_attributes_are_refused) {
    struct stun_server s = {.used_until = 0};
    uint8_t out[STUN_ANSWER_MAX];
    struct stun_msg m;
    struct bytes change = HEX("000100082112a442101112131415161718191a1b0003000400000006");
    size_t len = ask(&s, change, out, 0);
    cr_assert_eq(stun_decode(bytes_of(out, len), &m), 0);
    cr_assert_eq(m.type, STUN_BINDING_ERROR);
}

Test(stun_server, answers_are_limited_in_all_and_come_back_with_time) {
    struct stun_server s = {.used_until = 0};
    uint8_t out[STUN_ANSWER_MAX];
    nsec_t now = SEC(5);
    for (int i = 0; i < STUN_ANSWERS_BURST; i++)
        cr_assert_gt(ask(&s, REQUEST, out, now), 0, "answer %d", i);
    cr_assert_eq(ask(&s, REQUEST, out, now), 0);
    now += SEC(1) / STUN_ANSWERS_PER_SECOND;
    cr_assert_eq(ask(&s, REQUEST, out, now - 1), 0);
    cr_assert_gt(ask(&s, REQUEST, out, now), 0);
    cr_assert_eq(ask(&s, REQUEST, out, now), 0);
    now += SEC(1);
    int count = 0;
    while (ask(&s, REQUEST, out, now) > 0)
        count++;
    cr_assert_eq(count, STUN_ANSWERS_PER_SECOND);
}

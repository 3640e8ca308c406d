/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/p2p/envelope.h"
#include "core/p2p/identity.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/pb.h"
#include "tests/support/hex.h"

static struct identity signer_of(uint8_t first) {
    uint8_t seed[ED25519_SEED_BYTES] = {first};
    struct identity i;
    cr_assert_eq(identity_from_seed(seed, &i), 0);
    return i;
}

static struct bytes record_of(const struct identity *i, uint8_t out[ENVELOPE_BYTES_MAX]) {
    struct multiaddr addr;
    cr_assert_eq(multiaddr_parse("/ip4/1.2.3.4/udp/1/quic-v1", &addr), 0);
    ssize_t len = peer_record_seal(i, 7, &addr, 1, out, ENVELOPE_BYTES_MAX);
    cr_assert_gt(len, 0);
    return bytes_of(out, (size_t)len);
}

Test(envelope, every_truncation_is_an_error_and_none_a_record) {
    uint8_t memory[ENVELOPE_BYTES_MAX];
    struct identity i = signer_of(1);
    struct bytes whole = record_of(&i, memory);
    struct peer_record record;
    cr_assert_eq(peer_record_open(whole, &record), 0);
    for (size_t n = 0; n < whole.len; n++)
        cr_assert_lt(peer_record_open(bytes_of(whole.data, n), &record), 0, "%zu bytes", n);
}

Test(envelope, every_flipped_bit_is_an_error) {
    uint8_t memory[ENVELOPE_BYTES_MAX];
    struct identity i = signer_of(1);
    struct bytes whole = record_of(&i, memory);
    struct peer_record record;
    for (size_t n = 0; n < whole.len; n++) {
        memory[n] ^= (uint8_t)(1u << n % 8);
        cr_assert_lt(peer_record_open(whole, &record), 0, "byte %zu", n);
        memory[n] ^= (uint8_t)(1u << n % 8);
    }
}

Test(envelope, each_step_has_its_error) {
    uint8_t memory[ENVELOPE_BYTES_MAX];
    static const uint8_t huge[ENVELOPE_BYTES_MAX + 1];
    struct identity i = signer_of(1);
    struct bytes whole = record_of(&i, memory);
    struct envelope opened;
    cr_assert_eq(envelope_open(BYTES_OF(huge), "d", BYTES_LIT("t"), &opened), -ERR_LIMIT);
    cr_assert_eq(envelope_open(BYTES_LIT("\x0a\x05"), "d", BYTES_LIT("t"), &opened),
                 -ERR_TRUNCATED);
    cr_assert_eq(envelope_open(BYTES_EMPTY, "d", BYTES_LIT("t"), &opened), -ERR_UNSUPPORTED);
    cr_assert_eq(envelope_open(BYTES_LIT("\x12\x01t"), "d", BYTES_LIT("t"), &opened), -ERR_BAD_KEY);
    cr_assert_eq(envelope_open(whole, ENVELOPE_DOMAIN_PEER_RECORD, ENVELOPE_TYPE_VOUCHER, &opened),
                 -ERR_UNSUPPORTED);
    cr_assert_eq(envelope_open(whole, ENVELOPE_DOMAIN_VOUCHER, ENVELOPE_TYPE_PEER_RECORD, &opened),
                 -ERR_BAD_SIGNATURE);
    cr_assert_eq(
        envelope_open(whole, ENVELOPE_DOMAIN_PEER_RECORD, ENVELOPE_TYPE_PEER_RECORD, &opened), 0);
}

/* Signed properly, but about somebody else. */
Test(envelope, a_record_about_another_peer_is_refused) {
    uint8_t payload[256];
    uint8_t out[ENVELOPE_BYTES_MAX];
    struct identity i = signer_of(1);
    struct identity other = signer_of(2);
    struct peer_record record;
    struct wr w = wr_init(payload, sizeof(payload));
    pb_wr_bytes(&w, 1, peer_id_bytes(&other.id));
    pb_wr_uint(&w, 2, 1);
    ssize_t len = envelope_seal(&i, ENVELOPE_DOMAIN_PEER_RECORD, ENVELOPE_TYPE_PEER_RECORD,
                                wr_written(&w), out, sizeof(out));
    cr_assert_gt(len, 0);
    cr_assert_eq(peer_record_open(bytes_of(out, (size_t)len), &record), -ERR_PEER_ID_MISMATCH);
}

Test(envelope, undecodable_addresses_in_a_record_are_skipped) {
    uint8_t payload[256];
    uint8_t out[ENVELOPE_BYTES_MAX];
    struct identity i = signer_of(1);
    struct peer_record record;
    struct multiaddr addr;
    char text[MULTIADDR_TEXT_MAX];
    struct wr w = wr_init(payload, sizeof(payload));
    pb_wr_bytes(&w, 3, HEX("0a03ff7f00"));           /* an unknown code */
    pb_wr_bytes(&w, 3, HEX("0a080401020304060fa1")); /* good */
    pb_wr_bytes(&w, 3, HEX("0a"));                   /* malformed itself */
    pb_wr_bytes(&w, 3, HEX(""));                     /* no address */
    pb_wr_uint(&w, 3, 5);                            /* no message */
    pb_wr_bytes(&w, 1, peer_id_bytes(&i.id));
    pb_wr_bytes(&w, 3, HEX("0a080501020304060fa1")); /* unknown again */
    pb_wr_bytes(&w, 3, HEX("0a080401020305060fa1"));
    ssize_t len = envelope_seal(&i, ENVELOPE_DOMAIN_PEER_RECORD, ENVELOPE_TYPE_PEER_RECORD,
                                wr_written(&w), out, sizeof(out));
    cr_assert_eq(peer_record_open(bytes_of(out, (size_t)len), &record), 0);
    cr_assert_eq(record.seq, 0);
    struct bytes left = record.payload;
    cr_assert(peer_record_next(&left, &addr));
    cr_assert_str_eq(multiaddr_format(&addr, text), "/ip4/1.2.3.4/tcp/4001");
    cr_assert(peer_record_next(&left, &addr));
    cr_assert_str_eq(multiaddr_format(&addr, text), "/ip4/1.2.3.5/tcp/4001");
    cr_assert_not(peer_record_next(&left, &addr));
    cr_assert_not(peer_record_next(&left, &addr));
}

Test(envelope, too_many_addresses_are_a_limit) {
    static struct multiaddr addrs[400];
    uint8_t out[2 * ENVELOPE_BYTES_MAX];
    struct identity i = signer_of(1);
    for (size_t k = 0; k < ARRAY_COUNT(addrs); k++)
        cr_assert_eq(multiaddr_parse("/ip6/2001:db9::1/udp/65535/quic-v1", &addrs[k]), 0);
    cr_assert_gt(peer_record_seal(&i, 1, addrs, 250, out, sizeof(out)), 0);
    cr_assert_eq(peer_record_seal(&i, 1, addrs, 400, out, sizeof(out)), -ERR_LIMIT);
    cr_assert_eq(peer_record_seal(&i, 1, addrs, 1, out, 50), -ERR_LIMIT);
}

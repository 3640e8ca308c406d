/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "pair.h"

/* Goal: the contract of transport/proto/quic_packet.h.  Spec: RFC 8999, RFC 9000; libp2p quic.md.
 */

static const uint8_t key[QUIC_RESET_KEY_BYTES] = {1, 2, 3};

/* A version 1 Initial header in a datagram of `size` bytes; the payload is not looked at here. */
static struct bytes initial_packet(uint8_t *out, size_t size, uint32_t version) {
    memset(out, 0, size);
    out[0] = 0xc0;
    out[1] = (uint8_t)(version >> 24);
    out[2] = (uint8_t)(version >> 16);
    out[3] = (uint8_t)(version >> 8);
    out[4] = (uint8_t)version;
    out[5] = 8;
    memset(out + 6, 0xaa, 8);
    out[14] = 4;
    memset(out + 15, 0xbb, 4);
    out[19] = 0;    /* no token */
    out[20] = 0x44; /* length, two bytes */
    out[21] = 0x90;
    return bytes_of(out, size);
}

Test(quic_packet, kinds_are_told_apart) {
    uint8_t raw[1500];
    struct quic_packet in;
    quic_packet_parse(initial_packet(raw, 1200, 1), &in);
    cr_assert_eq(in.kind, QUIC_PACKET_INITIAL);
    cr_assert_eq(in.dcid.len, 8);
    cr_assert_eq(in.scid.len, 4);
    quic_packet_parse(initial_packet(raw, 1199, 1), &in);
    cr_assert_eq(in.kind, QUIC_PACKET_LONG, "an Initial below 1200 bytes begins nothing");
    quic_packet_parse(initial_packet(raw, 1200, 0x0a0a0a0a), &in);
    cr_assert_eq(in.kind, QUIC_PACKET_VERSION);
    quic_packet_parse(initial_packet(raw, 100, 0x0a0a0a0a), &in);
    cr_assert_eq(in.kind, QUIC_PACKET_FOREIGN, "small packets provoke no version negotiation");
    raw[0] = 0x40;
    quic_packet_parse(bytes_of(raw, 100), &in);
    cr_assert_eq(in.kind, QUIC_PACKET_SHORT);
    cr_assert_eq(in.dcid.len, QUIC_CID_BYTES);
    quic_packet_parse(bytes_of(raw, 5), &in);
    cr_assert_eq(in.kind, QUIC_PACKET_FOREIGN);
    raw[0] = 0x00; /* a STUN request */
    quic_packet_parse(bytes_of(raw, 100), &in);
    cr_assert_eq(in.kind, QUIC_PACKET_FOREIGN);
    quic_packet_parse(BYTES_EMPTY, &in);
    cr_assert_eq(in.kind, QUIC_PACKET_FOREIGN);
}

Test(quic_packet, version_negotiation_offers_version_1) {
    struct test_rng rng;
    uint8_t raw[1200];
    uint8_t out[QUIC_PACKET_OUT_MAX];
    struct quic_packet in;
    test_rng_init(&rng, 1);
    quic_packet_parse(initial_packet(raw, sizeof(raw), 0xff00001d), &in);
    size_t n = quic_packet_version_negotiation(&in, &rng.rng, out);
    cr_assert_eq(n, 7 + 4 + 8 + 2 * 4);
    cr_assert_eq(out[0] & 0x80, 0x80);
    static const uint8_t zeros[4] = {0};
    static const uint8_t one[4] = {0, 0, 0, 1};
    cr_assert_eq(memcmp(out + 1, zeros, 4), 0);
    cr_assert_eq(out[5], 4); /* their source is our destination */
    cr_assert_eq(out[6], 0xbb);
    cr_assert_eq(memcmp(out + 7 + 4 + 8, one, 4), 0);
}

Test(quic_packet, stateless_reset_is_shorter_than_what_caused_it) {
    struct test_rng rng;
    uint8_t raw[100] = {0x40, 1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t out[QUIC_PACKET_OUT_MAX];
    struct quic_packet in;
    test_rng_init(&rng, 1);
    quic_packet_parse(bytes_of(raw, QUIC_RESET_BYTES), &in);
    cr_assert_eq(quic_packet_stateless_reset(&in, QUIC_RESET_BYTES, key, &rng.rng, out), 0);
    cr_assert_eq(quic_packet_stateless_reset(&in, QUIC_RESET_BYTES + 1, key, &rng.rng, out),
                 QUIC_RESET_BYTES);
    /* The token at its end depends on the ID and the key alone. */
    uint8_t again[QUIC_PACKET_OUT_MAX];
    cr_assert_eq(quic_packet_stateless_reset(&in, 100, key, &rng.rng, again), QUIC_RESET_BYTES);
    cr_assert_eq(memcmp(out + QUIC_RESET_BYTES - 16, again + QUIC_RESET_BYTES - 16, 16), 0);
}

/* Known answer: go-libp2p v0.47 for the identity of the seed 00 01 .. 1f. */
Test(quic_packet, reset_key_is_go_libp2ps_of_the_identity) {
    static const uint8_t wanted[QUIC_RESET_KEY_BYTES] = {
        0xc7, 0x4f, 0x1f, 0x6d, 0xd8, 0x1a, 0xa7, 0x51, 0xab, 0x0c, 0x4b,
        0x5d, 0x9a, 0x31, 0x7d, 0xd8, 0xfa, 0x26, 0x84, 0xef, 0xef, 0x0c,
        0x0a, 0x63, 0x57, 0x36, 0x56, 0xef, 0x1a, 0x87, 0xea, 0x2c};
    uint8_t seed[ED25519_SEED_BYTES];
    uint8_t got[QUIC_RESET_KEY_BYTES];
    struct identity identity;
    for (size_t i = 0; i < sizeof(seed); i++)
        seed[i] = (uint8_t)i;
    cr_assert_eq(identity_from_seed(seed, &identity), 0);
    quic_packet_reset_key(&identity, got);
    cr_assert_eq(memcmp(got, wanted, sizeof(got)), 0);
}

Test(quic_packet, retry_token_binds_address_and_age) {
    struct pair p; /* for the environment of the crypto library */
    uint8_t raw[1200];
    uint8_t out[QUIC_PACKET_OUT_MAX];
    struct quic_packet in;
    struct quic_initial initial;
    struct net_addr here;
    struct net_addr there;
    pair_init(&p);
    cr_assert_eq(net_addr_parse("192.0.2.9:9", &here), 0);
    cr_assert_eq(net_addr_parse("192.0.2.8:9", &there), 0);
    quic_packet_parse(initial_packet(raw, sizeof(raw), 1), &in);
    cr_assert_eq(quic_packet_initial(&in, &here, key, SEC(1), &initial), 0);
    cr_assert_not(initial.after_retry);
    size_t n = quic_packet_retry(&in, &here, key, &p.rng.rng, SEC(1), out);
    cr_assert_gt(n, 0);
    /* What a client makes of it: the ID that Retry named, and its token. */
    struct quic_packet back = in;
    back.dcid = bytes_of(out + 7 + 4, QUIC_CID_BYTES);
    back.token = bytes_of(out + 7 + 4 + QUIC_CID_BYTES, n - 7 - 4 - QUIC_CID_BYTES - 16);
    cr_assert_eq(quic_packet_initial(&back, &here, key, SEC(2), &initial), 0);
    cr_assert(initial.after_retry);
    cr_assert_eq(initial.original_dcid.len, 8);
    cr_assert_eq(initial.original_dcid.bytes[0], 0xaa);
    cr_assert_eq(quic_packet_initial(&back, &there, key, SEC(2), &initial), -ERR_BAD_SIGNATURE);
    cr_assert_eq(quic_packet_initial(&back, &here, key, SEC(12), &initial), -ERR_BAD_SIGNATURE);
    static const uint8_t other_key[QUIC_RESET_KEY_BYTES] = {9};
    cr_assert_eq(quic_packet_initial(&back, &here, other_key, SEC(2), &initial),
                 -ERR_BAD_SIGNATURE);
    pair_done(&p);
}

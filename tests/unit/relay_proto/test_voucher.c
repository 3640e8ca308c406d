/* SPDX-License-Identifier: MIT */
/* Goal: a voucher counts when the relay signed it, about itself and about us; the bytes themselves
 * are tests/vectors/test_relay.c.
 * Spec: libp2p relay-v2, ReservationVoucher. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/p2p/envelope.h"
#include "core/p2p/identity.h"
#include "core/p2p/pb.h"
#include "relay/proto/voucher.h"

static struct identity identity_of(uint8_t seed_byte) {
    const uint8_t seed[ED25519_SEED_BYTES] = {seed_byte};
    struct identity i;
    cr_assert_eq(identity_from_seed(seed, &i), 0);
    return i;
}

/* A voucher with any fields, rightly signed. */
static struct bytes sealed(const struct identity *signer, const struct wr *payload, uint8_t *out) {
    ssize_t n = envelope_seal(signer, ENVELOPE_DOMAIN_VOUCHER, ENVELOPE_TYPE_VOUCHER,
                              wr_written(payload), out, VOUCHER_BYTES_MAX);
    cr_assert_gt(n, 0);
    return bytes_of(out, (size_t)n);
}

Test(voucher, what_is_sealed_opens) {
    static const walltime_t expiries[] = {0, 1, 1800000000, INT64_MAX};
    struct identity relay = identity_of(1);
    struct identity peer = identity_of(2);
    for (size_t i = 0; i < ARRAY_COUNT(expiries); i++) {
        uint8_t out[VOUCHER_BYTES_MAX];
        walltime_t expire = -1;
        ssize_t n = voucher_seal(&relay, &peer.id, expiries[i], out);
        cr_assert_gt(n, 0);
        cr_assert_eq(voucher_open(bytes_of(out, (size_t)n), &relay.id, &peer.id, &expire), 0);
        cr_assert_eq(expire, expiries[i]);
    }
}

Test(voucher, the_longest_id_fits) {
    struct identity relay = identity_of(1);
    struct peer_id peer = {.len = PEER_ID_BYTES_MAX, .bytes = {0, PEER_ID_BYTES_MAX - 2}};
    uint8_t out[VOUCHER_BYTES_MAX];
    walltime_t expire;
    ssize_t n = voucher_seal(&relay, &peer, INT64_MAX, out);
    cr_assert_gt(n, 0);
    cr_assert_eq(voucher_open(bytes_of(out, (size_t)n), &relay.id, &peer, &expire), 0);
}

Test(voucher, another_signer_relay_or_peer_is_a_mismatch) {
    struct identity relay = identity_of(1);
    struct identity peer = identity_of(2);
    struct identity other = identity_of(3);
    const struct {
        const struct identity *signer;
        const struct identity *relay;
        const struct identity *peer;
        int error;
    } rows[] = {
        {&relay, &relay, &peer, 0},
        {&other, &relay, &peer, -ERR_PEER_ID_MISMATCH},
        {&relay, &other, &peer, -ERR_PEER_ID_MISMATCH},
        {&other, &other, &peer, -ERR_PEER_ID_MISMATCH},
        {&relay, &relay, &other, -ERR_PEER_ID_MISMATCH},
        {&relay, &relay, NULL, -ERR_PEER_ID_MISMATCH},
        {&relay, NULL, &peer, -ERR_PEER_ID_MISMATCH},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t memory[128];
        uint8_t out[VOUCHER_BYTES_MAX];
        walltime_t expire = 7;
        struct wr w = wr_init(memory, sizeof(memory));
        if (rows[i].relay != NULL)
            pb_wr_bytes(&w, 1, peer_id_bytes(&rows[i].relay->id));
        if (rows[i].peer != NULL)
            pb_wr_bytes(&w, 2, peer_id_bytes(&rows[i].peer->id));
        pb_wr_uint(&w, 3, 9);
        int e = voucher_open(sealed(rows[i].signer, &w, out), &relay.id, &peer.id, &expire);
        cr_assert_eq(e, rows[i].error, "row %zu: %s", i, err_name(e));
        cr_assert_eq(expire, e == 0 ? 9 : 7);
    }
}

Test(voucher, an_expiry_beyond_63_bits_is_the_largest) {
    struct identity relay = identity_of(1);
    struct identity peer = identity_of(2);
    uint8_t memory[128];
    uint8_t out[VOUCHER_BYTES_MAX];
    walltime_t expire;
    struct wr w = wr_init(memory, sizeof(memory));
    pb_wr_bytes(&w, 1, peer_id_bytes(&relay.id));
    pb_wr_bytes(&w, 2, peer_id_bytes(&peer.id));
    pb_wr_uint(&w, 3, UINT64_MAX);
    cr_assert_eq(voucher_open(sealed(&relay, &w, out), &relay.id, &peer.id, &expire), 0);
    cr_assert_eq(expire, INT64_MAX);
}

Test(voucher, other_envelopes_and_broken_ones_fail) {
    struct identity relay = identity_of(1);
    struct identity peer = identity_of(2);
    uint8_t out[VOUCHER_BYTES_MAX];
    walltime_t expire;
    ssize_t n = voucher_seal(&relay, &peer.id, 9, out);
    cr_assert_gt(n, 0);
    out[n - 1] ^= 1;
    cr_assert_eq(voucher_open(bytes_of(out, (size_t)n), &relay.id, &peer.id, &expire),
                 -ERR_BAD_SIGNATURE);
    cr_assert_eq(voucher_open(bytes_of(out, (size_t)n - 1), &relay.id, &peer.id, &expire),
                 -ERR_TRUNCATED);
    ssize_t record = peer_record_seal(&relay, 1, NULL, 0, out, sizeof(out));
    cr_assert_gt(record, 0);
    cr_assert_eq(voucher_open(bytes_of(out, (size_t)record), &relay.id, &peer.id, &expire),
                 -ERR_UNSUPPORTED);
    struct wr w = wr_init((uint8_t[8]){0}, 8);
    wr_u8(&w, 0x0a); /* a tag without its value */
    cr_assert_eq(voucher_open(sealed(&relay, &w, out), &relay.id, &peer.id, &expire),
                 -ERR_TRUNCATED);
}

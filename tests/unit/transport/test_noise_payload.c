/* SPDX-License-Identifier: MIT */
/* Goal: only a payload whose identity key signed this static key counts, and the muxer is agreed
 * early exactly when both lists have it.
 * Spec: libp2p noise.md, "Payload protobuf", "Early muxer choice". */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/p2p/identity.h"
#include "core/p2p/pb.h"
#include "transport/proto/noise_payload.h"

static const uint8_t static_point[X25519_BYTES] = {1, 2, 3};

static void ours(struct identity *ret_identity, uint8_t ret_payload[NOISE_PAYLOAD_BYTES]) {
    const uint8_t seed[ED25519_SEED_BYTES] = {7};
    cr_assert_eq(identity_from_seed(seed, ret_identity), 0);
    cr_assert_eq(noise_payload_seal(ret_identity, static_point, ret_payload), 0);
}

static int judge(struct bytes payload, struct noise_peer *ret_peer) {
    struct problem problem = PROBLEM_INIT;
    int e = noise_payload_open(payload, static_point, ret_peer, &problem);
    cr_assert_eq(e == 0, problem.text[0] == '\0');
    return e;
}

Test(noise_payload, ours_is_opened) {
    struct identity id;
    uint8_t payload[NOISE_PAYLOAD_BYTES];
    struct noise_peer peer;
    ours(&id, payload);
    cr_assert_eq(judge(BYTES_OF(payload), &peer), 0);
    cr_assert(peer_id_equal(&peer.id, &id.id));
    cr_assert(peer.has_yamux);
}

Test(noise_payload, another_static_key_does_not_verify) {
    struct identity id;
    uint8_t payload[NOISE_PAYLOAD_BYTES];
    struct noise_peer peer;
    struct problem problem = PROBLEM_INIT;
    const uint8_t other[X25519_BYTES] = {1, 2, 4};
    ours(&id, payload);
    cr_assert_eq(noise_payload_open(BYTES_OF(payload), other, &peer, &problem), -ERR_BAD_SIGNATURE);
}

/* Cut behind a field it may still be a message: without extensions it is rust's. */
Test(noise_payload, what_is_cut_off_is_not_accepted_but_for_the_extensions) {
    struct identity id;
    uint8_t payload[NOISE_PAYLOAD_BYTES];
    ours(&id, payload);
    for (size_t len = 0; len < sizeof(payload); len++) {
        struct noise_peer peer;
        int e = judge(bytes_of(payload, len), &peer);
        if (len == 38 + 66)
            cr_assert(e == 0 && !peer.has_yamux);
        else if (len == 38)
            cr_assert_eq(e, -ERR_BAD_SIGNATURE);
        else
            cr_assert_eq(e, -ERR_HANDSHAKE, "%zu bytes", len);
    }
}

Test(noise_payload, a_changed_bit_of_key_or_signature_is_refused) {
    struct identity id;
    uint8_t payload[NOISE_PAYLOAD_BYTES];
    struct noise_peer peer;
    ours(&id, payload);
    for (size_t bit = 0; bit < 8 * (38 + 66); bit++) {
        payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_lt(judge(BYTES_OF(payload), &peer), 0, "bit %zu", bit);
        payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Key and signature of ours, then lists of `names`, one extensions message for each; unknown
 * fields around them. */
static bool has_yamux(const char *const *names, size_t names_count, size_t repeat) {
    static uint8_t memory[8192];
    struct identity id;
    uint8_t payload[NOISE_PAYLOAD_BYTES];
    struct noise_peer peer;
    ours(&id, payload);
    struct wr w = wr_init(memory, sizeof(memory));
    pb_wr_uint(&w, 9, 1);
    wr_bytes(&w, bytes_of(payload, 38 + 66));
    for (size_t i = 0; i < names_count * repeat; i++) {
        struct bytes name = bytes_of_str(names[i % names_count]);
        pb_wr_head(&w, 4, pb_bytes_size(1, 3) + pb_bytes_size(2, name.len));
        pb_wr_bytes(&w, 1, BYTES_LIT("crt"));
        pb_wr_bytes(&w, 2, name);
    }
    cr_assert_gt(wr_done(&w), 0);
    cr_assert_eq(judge(wr_written(&w), &peer), 0);
    return peer.has_yamux;
}

Test(noise_payload, the_muxer_is_agreed_early_when_both_lists_have_it) {
    static const char *const yamux[] = {"/yamux/1.0.0"};
    static const char *const second[] = {"/mplex/6.7.0", "/yamux/1.0.0"};
    static const char *const other[] = {"/mplex/6.7.0", "/yamux/1.0", "/yamux/1.0.00", ""};
    cr_assert(has_yamux(yamux, 1, 1));
    cr_assert(has_yamux(second, 2, 1));
    cr_assert_not(has_yamux(other, ARRAY_COUNT(other), 1));
    cr_assert_not(has_yamux(other, 0, 1));
    cr_assert(has_yamux(yamux, 1, NOISE_PAYLOAD_NAMES_MAX));
    cr_assert_not(has_yamux(yamux, 1, NOISE_PAYLOAD_NAMES_MAX + 1));
}

/* SPDX-License-Identifier: MIT */
/* What an endpoint does with a packet before a connection sees it, raw: first byte a choice of
 * clocks, then the packet. */

#include "core/base/err.h"
#include "core/base/net_addr.h"
#include "core/crypto/wolf_env.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fixed_rng.h"
#include "transport/proto/quic_packet.h"

enum { LONG_HEADER_BYTES = 7, RETRY_TAG_BYTES = 16 };

static const uint8_t key[QUIC_RESET_KEY_BYTES] = {1, 2, 3};
static const struct net_addr here = {.family = NET_IP4, .ip = {192, 0, 2, 1}, .port = 1};
static const struct net_addr there = {.family = NET_IP4, .ip = {192, 0, 2, 2}, .port = 1};

static bool lies_within(struct bytes part, struct bytes whole) {
    return part.len == 0 ||
           (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static bool cid_is(const struct quic_cid *cid, struct bytes b) {
    return bytes_equal(bytes_of(cid->bytes, cid->len), b);
}

/* A Retry leads the client back, from the same address and in time, and tells where it began. */
static void check_retry(const struct quic_packet *in, struct rng *rng, nsec_t now) {
    uint8_t out[QUIC_PACKET_OUT_MAX];
    size_t n = quic_packet_retry(in, &here, key, rng, now, out);
    assert(n > 0);
    assert(n <= sizeof(out));
    struct quic_packet retry;
    quic_packet_parse(bytes_of(out, n), &retry);
    assert(retry.kind == QUIC_PACKET_LONG);
    assert(bytes_equal(retry.dcid, in->scid));

    size_t header_len = LONG_HEADER_BYTES + retry.dcid.len + retry.scid.len;
    struct quic_packet back = *in;
    back.dcid = retry.scid;
    back.token = bytes_of(out + header_len, n - header_len - RETRY_TAG_BYTES);
    struct quic_initial initial = {.token = BYTES_EMPTY};
    assert(quic_packet_initial(&back, &there, key, now, &initial) == -ERR_BAD_SIGNATURE);
    assert(quic_packet_initial(&back, &here, key, now + SEC(20), &initial) == -ERR_BAD_SIGNATURE);
    assert(!initial.after_retry); /* untouched */
    assert(quic_packet_initial(&back, &here, key, now + SEC(1), &initial) == 0);
    assert(initial.after_retry);
    assert(cid_is(&initial.original_dcid, in->dcid));
    assert(cid_is(&initial.dcid, retry.scid));
}

static void check_initial(const struct quic_packet *in, struct bytes packet, struct rng *rng,
                          nsec_t now) {
    assert(packet.len >= QUIC_INITIAL_BYTES_MIN);
    struct quic_initial initial;
    int error = quic_packet_initial(in, &here, key, now, &initial);
    assert(error == 0 || error == -ERR_MALFORMED || error == -ERR_BAD_SIGNATURE);
    if (error != 0)
        return;
    assert(!initial.after_retry); /* nobody can forge a token */
    assert(cid_is(&initial.dcid, in->dcid));
    assert(cid_is(&initial.scid, in->scid));
    assert(cid_is(&initial.original_dcid, in->dcid));
    check_retry(in, rng, now);

    uint8_t out[QUIC_PACKET_OUT_MAX];
    size_t n = quic_packet_refusal(in, out);
    assert(n > 0);
    assert(n < packet.len);
    struct quic_packet refusal;
    quic_packet_parse(bytes_of(out, n), &refusal);
    assert(refusal.kind == QUIC_PACKET_LONG);
    assert(bytes_equal(refusal.dcid, in->scid));
    assert(bytes_equal(refusal.scid, in->dcid));
}

/* Answers are shorter than what causes them: nobody is flooded through us, and two endpoints do not
 * answer each other for ever. */
static void check_answers(const struct quic_packet *in, struct bytes packet, struct rng *rng) {
    uint8_t out[QUIC_PACKET_OUT_MAX];
    size_t n = quic_packet_stateless_reset(in, packet.len, key, rng, out);
    assert(n < packet.len || n == 0);
    assert(n == 0 || in->kind == QUIC_PACKET_SHORT);
    if (in->kind != QUIC_PACKET_VERSION)
        return;
    n = quic_packet_version_negotiation(in, rng, out);
    assert(n < packet.len);
    assert(n == LONG_HEADER_BYTES + in->dcid.len + in->scid.len + 2 * sizeof(uint32_t) || n == 0);
    assert(n > 0 || in->dcid.len + in->scid.len > 400); /* of at most 510 */
}

/* The random source must not be foreseen: ngtcp2 asserts that the ID in a Retry is another than the
 * client's, which it is but for one in 2^64. */
static uint64_t sum_of(struct bytes b) {
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < b.len; i++)
        sum = (sum ^ b.data[i]) * 0x100000001b3u;
    return sum;
}

static walltime_t fixed_wall(void *context) {
    (void)context;
    return 1800000000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    nsec_t now = SEC(1) + SEC(fuzz_u8(&script));
    struct fixed_rng rng;
    fixed_rng_init(&rng, sum_of(script));
    struct wolf_env env = {.rng = &rng.rng, .wall = fixed_wall};
    const struct wolf_env *env_before = wolf_env_set(&env);
    uint8_t *copy = fuzz_copy(script);
    struct bytes packet = bytes_of(copy, script.len);

    struct quic_packet in;
    quic_packet_parse(packet, &in);
    assert(lies_within(in.dcid, packet));
    assert(lies_within(in.scid, packet));
    assert(lies_within(in.token, packet));
    assert(in.kind == QUIC_PACKET_INITIAL || in.token.len == 0);
    assert(in.kind != QUIC_PACKET_SHORT || in.dcid.len == QUIC_CID_BYTES);
    check_answers(&in, packet, &rng.rng);
    if (in.kind == QUIC_PACKET_INITIAL)
        check_initial(&in, packet, &rng.rng, now);

    free(copy);
    (void)wolf_env_set(env_before);
    return 0;
}

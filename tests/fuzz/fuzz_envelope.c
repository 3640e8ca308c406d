/* SPDX-License-Identifier: MIT */
/* Signed envelopes and peer records, raw; and script: what we seal opens, and opens no more once a
 * byte has changed. */

#include "core/base/err.h"
#include "core/p2p/envelope.h"
#include "core/p2p/identity.h"
#include "core/p2p/multiaddr.h"
#include "tests/fuzz/fuzz.h"

enum { ADDRS_MAX = 8 };

static void check_error(int e) {
    assert(e == 0 || e == -ERR_TRUNCATED || e == -ERR_MALFORMED || e == -ERR_LIMIT ||
           e == -ERR_BAD_KEY || e == -ERR_UNSUPPORTED || e == -ERR_BAD_SIGNATURE ||
           e == -ERR_PEER_ID_MISMATCH);
}

static bool lies_within(struct bytes inner, struct bytes outer) {
    return inner.len == 0 ||
           (inner.data >= outer.data && inner.data + inner.len <= outer.data + outer.len);
}

static void walk_addrs(struct bytes payload) {
    struct multiaddr a;
    size_t count = 0;
    while (peer_record_next(&payload, &a)) {
        assert(a.len <= MULTIADDR_BYTES_MAX);
        count++;
    }
    assert(count <= ENVELOPE_BYTES_MAX);
}

static void check_raw(struct bytes in) {
    struct envelope envelope;
    int e = envelope_open(in, ENVELOPE_DOMAIN_VOUCHER, ENVELOPE_TYPE_VOUCHER, &envelope);
    check_error(e);
    if (e == 0)
        assert(lies_within(envelope.payload, in));

    struct peer_record record;
    e = peer_record_open(in, &record);
    check_error(e);
    if (e == 0) {
        assert(lies_within(record.payload, in));
        walk_addrs(record.payload);
    }
    walk_addrs(in);
}

static void check_changed(uint8_t *sealed, size_t len, struct bytes *script,
                          const struct peer_record *good) {
    size_t at = fuzz_u64(script) % len;
    uint8_t change = fuzz_u8(script);
    if (change == 0)
        return;
    sealed[at] ^= change;
    struct peer_record record;
    int e = peer_record_open(bytes_of(sealed, len), &record);
    check_error(e);
    /* Protobuf has several spellings of one message: if it opens, it must say the same. */
    if (e == 0) {
        assert(record.seq == good->seq);
        assert(peer_id_equal(&record.peer, &good->peer));
    }
}

static void check_script(struct bytes script) {
    static const uint8_t seed[ED25519_SEED_BYTES] = {1, 2, 3};
    struct identity signer;
    assert(identity_from_seed(seed, &signer) == 0);

    struct multiaddr addrs[ADDRS_MAX], a;
    size_t count = 0;
    uint64_t seq = fuzz_u64(&script);
    for (size_t left = fuzz_u8(&script) % (ADDRS_MAX + 1); left > 0; left--) {
        if (multiaddr_decode(fuzz_take(&script, fuzz_u8(&script)), &addrs[count]) == 0 &&
            addrs[count].len > 0)
            count++;
    }
    uint8_t sealed[ENVELOPE_BYTES_MAX];
    ssize_t len = peer_record_seal(&signer, seq, addrs, count, sealed, sizeof sealed);
    assert(len > 0);

    struct peer_record record;
    assert(peer_record_open(bytes_of(sealed, (size_t)len), &record) == 0);
    assert(record.seq == seq);
    assert(peer_id_equal(&record.peer, &signer.id));
    struct bytes left = record.payload;
    for (size_t i = 0; i < count; i++) {
        assert(peer_record_next(&left, &a));
        assert(multiaddr_equal(&a, &addrs[i]));
    }
    assert(!peer_record_next(&left, &a));
    check_changed(sealed, (size_t)len, &script, &record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_raw(bytes_of(data, size));
    if (size > 0 && data[0] & 1) /* a signature made and two checked: half of the runs will do */
        check_script(bytes_of(data, size));
    return 0;
}

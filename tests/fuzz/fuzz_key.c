/* SPDX-License-Identifier: MIT */
/* Keys and peer IDs, raw: public and private key messages, IDs as binary and as text. */

#include "core/base/err.h"
#include "core/p2p/identity.h"
#include "core/p2p/key.h"
#include "core/p2p/peer_id.h"
#include "tests/fuzz/fuzz.h"

static void check_id(const struct peer_id *id) {
    assert(id->len > 0 && id->len <= PEER_ID_BYTES_MAX);
    struct peer_id again;
    assert(peer_id_decode(peer_id_bytes(id), &again) == 0);
    assert(memcmp(id, &again, sizeof *id) == 0);

    char text[PEER_ID_TEXT_MAX], cid[PEER_ID_CID_MAX], brief[PEER_ID_SHORT_MAX];
    assert(peer_id_parse(peer_id_format(id, text), &again) == 0);
    assert(memcmp(id, &again, sizeof *id) == 0);
    assert(peer_id_parse(peer_id_format_cid(id, cid), &again) == 0);
    assert(memcmp(id, &again, sizeof *id) == 0);
    assert(strlen(peer_id_format_short(id, brief)) < sizeof brief);

    struct public_key key;
    int e = peer_id_to_key(id, &key);
    assert(e == 0 || e == -ENOENT || e == -ERR_BAD_KEY || e == -ERR_UNSUPPORTED);
}

static void check_public_key(struct bytes in) {
    struct public_key key, again;
    int e = public_key_decode(in, &key);
    assert(e == 0 || e == -ERR_BAD_KEY || e == -ERR_UNSUPPORTED);
    if (e < 0)
        return;
    assert(key.len <= PUBLIC_KEY_BYTES_MAX && key.data_offset <= key.len);
    assert(public_key_decode(public_key_protobuf(&key), &again) == 0);
    assert(public_key_equal(&key, &again));
    assert(bytes_equal(public_key_protobuf(&key), public_key_protobuf(&again)));

    struct peer_id id;
    peer_id_from_key(&key, &id);
    assert(peer_id_matches_key(&id, &key));
    check_id(&id);
    e = peer_id_to_key(&id, &again);
    if (e == 0)
        assert(public_key_equal(&key, &again));
    if (key.type == KEY_ED25519)
        assert(e == 0);

    e = key_verify(&key, BYTES_LIT("message"), in);
    assert(e == -ERR_BAD_SIGNATURE || e == -ERR_CRYPTO);
}

static void check_private_key(struct bytes in) {
    struct identity identity, again;
    int e = identity_decode(in, &identity);
    assert(e == 0 || e == -ERR_BAD_KEY || e == -ERR_UNSUPPORTED || e == -ERR_CRYPTO);
    if (e < 0)
        return;
    uint8_t protobuf[PRIVATE_KEY_BYTES];
    identity_encode(&identity, protobuf);
    assert(identity_decode(BYTES_OF(protobuf), &again) == 0);
    assert(peer_id_equal(&identity.id, &again.id));
    assert(memcmp(identity.seed, again.seed, sizeof again.seed) == 0);
    check_id(&identity.id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    check_public_key(in);
    check_private_key(in);

    struct peer_id id;
    int e = peer_id_decode(in, &id);
    assert(e == 0 || e == -ERR_BAD_PEER_ID);
    if (e == 0) {
        assert(bytes_equal(peer_id_bytes(&id), in));
        check_id(&id);
    }
    e = peer_id_parse_bytes(in, &id);
    assert(e == 0 || e == -ERR_BAD_PEER_ID);
    if (e == 0)
        check_id(&id);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "core/p2p/peer_id.h"

#include <stdio.h>

#include "core/base/codec.h"
#include "core/base/err.h"
#include "core/base/wr.h"
#include "core/crypto/hash.h"
#include "core/p2p/key.h"
#include "core/p2p/multihash.h"

enum { IDENTITY_BYTES_MAX = 42, SHORT_CHARS = 16 };

static const uint8_t cid_prefix[] = {0x01, 0x72}; /* version 1, libp2p-key */

_Static_assert(PEER_ID_BYTES_MAX == 2 + IDENTITY_BYTES_MAX, "the longest identity form");
_Static_assert(PEER_ID_BYTES_MAX >= 2 + SHA256_BYTES, "the hash form fits too");

static void set(struct peer_id *id, uint8_t code, struct bytes digest) {
    assert(digest.len <= IDENTITY_BYTES_MAX);
    *id = (struct peer_id){.len = (uint8_t)(2 + digest.len)};
    id->bytes[0] = code;
    id->bytes[1] = (uint8_t)digest.len; /* below 0x80: one byte of uvarint */
    memcpy(id->bytes + 2, digest.data, digest.len);
}

int peer_id_decode(struct bytes in, struct peer_id *ret_id) {
    struct multihash h;
    if (multihash_decode(in, &h) < 0 || !multihash_is_of_key(&h) ||
        h.digest.len > IDENTITY_BYTES_MAX)
        return -ERR_BAD_PEER_ID;
    set(ret_id, (uint8_t)h.code, h.digest);
    return 0;
}

int peer_id_parse_bytes(struct bytes text, struct peer_id *ret_id) {
    uint8_t hash[PEER_ID_BYTES_MAX];
    ssize_t len = multihash_parse(text, hash, sizeof(hash));
    if (len < 0)
        return -ERR_BAD_PEER_ID;
    return peer_id_decode(bytes_of(hash, (size_t)len), ret_id);
}

int peer_id_parse(const char *text, struct peer_id *ret_id) {
    return peer_id_parse_bytes(bytes_of_str(text), ret_id);
}

void peer_id_from_key(const struct public_key *k, struct peer_id *ret_id) {
    struct bytes protobuf = public_key_protobuf(k);
    if (protobuf.len <= IDENTITY_BYTES_MAX) {
        set(ret_id, MULTIHASH_IDENTITY, protobuf);
        return;
    }
    uint8_t digest[SHA256_BYTES];
    sha256(protobuf, digest);
    set(ret_id, MULTIHASH_SHA256, BYTES_OF(digest));
}

int peer_id_to_key(const struct peer_id *id, struct public_key *ret_key) {
    assert(!peer_id_is_none(id));
    if (id->bytes[0] != MULTIHASH_IDENTITY)
        return -ENOENT;
    int e = public_key_decode(bytes_skip(peer_id_bytes(id), 2), ret_key);
    return e < 0 ? -ERR_BAD_KEY : 0;
}

bool peer_id_matches_key(const struct peer_id *id, const struct public_key *k) {
    struct peer_id of_key;
    peer_id_from_key(k, &of_key);
    return peer_id_equal(id, &of_key);
}

const char *peer_id_format(const struct peer_id *id, char *out) {
    assert(codec_text_size(CODEC_BASE58, id->len) <= PEER_ID_TEXT_MAX);
    (void)codec_encode(CODEC_BASE58, peer_id_bytes(id), out);
    return out;
}

const char *peer_id_format_cid(const struct peer_id *id, char *out) {
    uint8_t cid[sizeof(cid_prefix) + PEER_ID_BYTES_MAX];
    struct wr w = wr_init(cid, sizeof(cid));
    wr_bytes(&w, BYTES_OF(cid_prefix));
    wr_bytes(&w, peer_id_bytes(id));
    assert(1 + codec_text_size(CODEC_BASE32, w.len) <= PEER_ID_CID_MAX);
    out[0] = 'b';
    (void)codec_encode(CODEC_BASE32, wr_written(&w), out + 1);
    return out;
}

const char *peer_id_format_short(const struct peer_id *id, char *out) {
    char text[PEER_ID_TEXT_MAX];
    (void)snprintf(out, PEER_ID_SHORT_MAX, "%.*s...", SHORT_CHARS, peer_id_format(id, text));
    return out;
}

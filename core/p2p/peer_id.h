/* SPDX-License-Identifier: MIT */
#pragma once

/* Peer IDs: the multihash of a public key, as a value.  Compare IDs, never their texts.
 *
 * Spec:   libp2p peer-ids-and-keys, section 2.  As strict as rust-libp2p: identity of 1 to 42
 *         bytes or SHA-256; go takes any multihash.
 * Thread: any.
 */

#include "core/base/bytes.h"

struct public_key;

enum {
    PEER_ID_BYTES_MAX = 44, /* 00, length, and at most 42 bytes of key */
    PEER_ID_TEXT_MAX = 64,  /* base58btc of 44 bytes is at most 61 characters; NUL */
    PEER_ID_CID_MAX = 80,   /* 'b' and base32 of 46 bytes; NUL */
    PEER_ID_SHORT_MAX = 20, /* 16 characters and "..."; NUL */
};

/* Bytes beyond len are zero, so that equal IDs are equal memory and an ID can be a map key.
 * All zeros is no ID. */
struct peer_id {
    uint8_t len;
    uint8_t bytes[PEER_ID_BYTES_MAX];
};

#define PEER_ID_NONE ((struct peer_id){.len = 0})

/* From the binary multihash.  -ERR_BAD_PEER_ID */
NODISCARD int peer_id_decode(struct bytes in, struct peer_id *ret_id);

/* From text: base58btc ("12D3KooW...", "Qm...") or a CIDv1 with codec libp2p-key in multibase b, B,
 * f, F, k, K, z, m, u or U.  -ERR_BAD_PEER_ID */
NODISCARD int peer_id_parse(const char *text, struct peer_id *ret_id);
NODISCARD int peer_id_parse_bytes(struct bytes text, struct peer_id *ret_id);

void peer_id_from_key(const struct public_key *k, struct peer_id *ret_id);

/* The key that an identity-form ID contains.
 *   -ENOENT       a hash: the key has to come from the handshake
 *   -ERR_BAD_KEY  the content is no key  */
NODISCARD int peer_id_to_key(const struct peer_id *id, struct public_key *ret_key);

/* Whether the ID is the one of this key. */
bool peer_id_matches_key(const struct peer_id *id, const struct public_key *k);

/* base58btc into `out` of PEER_ID_TEXT_MAX bytes; returns out.  "" for no ID. */
const char *peer_id_format(const struct peer_id *id, char *out);

/* "bafz...", into PEER_ID_CID_MAX bytes. */
const char *peer_id_format_cid(const struct peer_id *id, char *out);

/* "12D3KooWA4Xop1Ja...", into PEER_ID_SHORT_MAX bytes.  For people only: it is no identifier. */
const char *peer_id_format_short(const struct peer_id *id, char *out);

static inline bool peer_id_is_none(const struct peer_id *id) {
    return id->len == 0;
}

static inline bool peer_id_equal(const struct peer_id *a, const struct peer_id *b) {
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* Below 0, 0 or above 0: some order, the same on every machine. */
static inline int peer_id_compare(const struct peer_id *a, const struct peer_id *b) {
    return a->len != b->len ? (int)a->len - (int)b->len : memcmp(a->bytes, b->bytes, a->len);
}

/* Borrowed; NUL-free comparison and map key. */
static inline struct bytes peer_id_bytes(const struct peer_id *id) {
    return bytes_of(id->bytes, id->len);
}

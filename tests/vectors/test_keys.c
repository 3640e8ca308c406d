/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "core/p2p/identity.h"
#include "core/p2p/key.h"
#include "core/p2p/peer_id.h"
#include "tests/support/vectors.h"

enum { FIELD_MAX = 4096 };

/* Text and bytes of the key's ID, both ways, in every text form. */
static void check_peer_id(const json_t *row, const struct public_key *key) {
    const char *name = row_str(row, "name");
    uint8_t memory[FIELD_MAX];
    char text[PEER_ID_CID_MAX];
    struct peer_id id;
    struct peer_id again;
    peer_id_from_key(key, &id);
    struct bytes expected = row_hex(row, "peer_id_bytes", memory, sizeof(memory));
    cr_assert(bytes_equal(peer_id_bytes(&id), expected), "%s", name);
    cr_assert_str_eq(peer_id_format(&id, text), row_str(row, "peer_id_base58"), "%s", name);
    cr_assert_str_eq(peer_id_format_cid(&id, text), row_str(row, "peer_id_cidv1_base32"), "%s",
                     name);
    static const char *const forms[] = {"peer_id_base58", "peer_id_cidv1_base32",
                                        "peer_id_cidv1_base36"};
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        cr_assert_eq(peer_id_parse(row_str(row, forms[i]), &again), 0, "%s: %s", name, forms[i]);
        cr_assert(peer_id_equal(&id, &again), "%s: %s", name, forms[i]);
        cr_assert_eq(memcmp(&id, &again, sizeof(id)), 0, "%s: unused bytes differ", name);
    }
    cr_assert_eq(peer_id_decode(expected, &again), 0, "%s", name);
    cr_assert(peer_id_matches_key(&again, key), "%s", name);

    struct public_key extracted;
    int e = peer_id_to_key(&id, &extracted);
    cr_assert_eq(e, key->len <= 42 ? 0 : -ENOENT, "%s: %s", name, err_name(e));
    if (e == 0)
        cr_assert(public_key_equal(key, &extracted), "%s", name);
}

static void check_signature(const json_t *row, const struct public_key *key) {
    const char *name = row_str(row, "name");
    uint8_t message_memory[FIELD_MAX];
    uint8_t signature_memory[FIELD_MAX];
    struct bytes message = row_hex(row, "message", message_memory, FIELD_MAX);
    struct bytes signature = row_hex(row, "signature", signature_memory, FIELD_MAX);
    cr_assert_eq(key_verify(key, message, signature), 0, "%s", name);
    signature_memory[signature.len - 1] ^= 1;
    cr_assert_eq(key_verify(key, message, signature), -ERR_BAD_SIGNATURE, "%s", name);
    signature_memory[signature.len - 1] ^= 1;
    cr_assert_eq(key_verify(key, bytes_skip(message, 1), signature), -ERR_BAD_SIGNATURE, "%s",
                 name);
}

/* Ours are Ed25519; of the others it must be said that they are not. */
static void check_private(const json_t *row, const struct public_key *key) {
    const char *name = row_str(row, "name");
    uint8_t memory[FIELD_MAX];
    uint8_t encoded[PRIVATE_KEY_BYTES];
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    struct bytes private = row_hex(row, "private_key_protobuf", memory, FIELD_MAX);
    struct identity id;
    struct public_key of_identity;
    int e = identity_decode(private, &id);
    if (!row_is(row, "type", "Ed25519")) {
        cr_assert_eq(e, -ERR_UNSUPPORTED, "%s: %s", name, err_name(e));
        return;
    }
    cr_assert_eq(e, 0, "%s: %s", name, err_name(e));
    identity_public_key(&id, &of_identity);
    cr_assert(public_key_equal(key, &of_identity), "%s", name);
    cr_assert(peer_id_matches_key(&id.id, key), "%s", name);
    identity_encode(&id, encoded);
    cr_assert(bytes_equal(BYTES_OF(encoded), private), "%s", name);
    struct bytes message = row_hex(row, "message", memory, FIELD_MAX);
    cr_assert_eq(identity_sign(&id, message, signature), 0);
    struct bytes expected = row_hex(row, "signature", memory, FIELD_MAX);
    cr_assert(bytes_equal(BYTES_OF(signature), expected), "%s", name);
}

static void check_key(const json_t *row) {
    const char *name = row_str(row, "name");
    uint8_t memory[FIELD_MAX];
    struct public_key key;
    struct bytes protobuf = row_hex(row, "public_key_protobuf", memory, FIELD_MAX);
    int e = public_key_decode(protobuf, &key);
    if (row_is(row, "expect", "reject")) {
        cr_assert_eq(e, -ERR_BAD_KEY, "%s: %s", name, err_name(e));
        return;
    }
    cr_assert_eq(e, 0, "%s: %s", name, err_name(e));
    cr_assert(bytes_equal(public_key_protobuf(&key), protobuf), "%s", name);
    check_peer_id(row, &key);
    check_signature(row, &key);
    check_private(row, &key);
}

static void check_legacy_private(const json_t *row) {
    const char *name = row_str(row, "name");
    uint8_t memory[FIELD_MAX];
    uint8_t encoded[PRIVATE_KEY_BYTES];
    struct identity id;
    int e = identity_decode(row_hex(row, "private_key_protobuf", memory, FIELD_MAX), &id);
    if (row_is(row, "expect", "reject")) {
        cr_assert_eq(e, -ERR_BAD_KEY, "%s: %s", name, err_name(e));
        return;
    }
    cr_assert_eq(e, 0, "%s: %s", name, err_name(e));
    identity_encode(&id, encoded);
    cr_assert(bytes_equal(BYTES_OF(encoded),
                          row_hex(row, "equals_private_key_protobuf", memory, FIELD_MAX)),
              "%s", name);
}

static void check_text(const json_t *row) {
    const char *text = row_str(row, "text");
    uint8_t memory[FIELD_MAX];
    struct peer_id id;
    int e = peer_id_parse(text, &id);
    if (row_is(row, "expect", "reject")) {
        cr_assert_eq(e, -ERR_BAD_PEER_ID, "'%s': %s", text, err_name(e));
        return;
    }
    cr_assert_eq(e, 0, "'%s': %s", text, err_name(e));
    cr_assert(
        bytes_equal(peer_id_bytes(&id), row_hex(row, "peer_id_bytes", memory, sizeof(memory))),
        "'%s'", text);
}

Test(keys, every_row_of_the_reference) {
    struct vectors v = vectors_open("keys");
    int keys = 0;
    int private_keys = 0;
    int texts = 0;
    vectors_for_each(row, &v) {
        if (row_has(row, "public_key_protobuf")) {
            check_key(row);
            keys++;
        } else if (row_has(row, "private_key_protobuf")) {
            check_legacy_private(row);
            private_keys++;
        } else {
            check_text(row);
            texts++;
        }
    }
    cr_assert_eq(keys, 13);
    cr_assert_eq(private_keys, 2);
    cr_assert_eq(texts, 9);
    vectors_close(&v);
}

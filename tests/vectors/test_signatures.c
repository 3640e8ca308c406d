/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "core/crypto/sign.h"
#include "tests/support/vectors.h"

static int verify(const json_t *row, struct bytes key, struct bytes message,
                  struct bytes signature) {
    if (row_is(row, "kind", "ed25519"))
        return ed25519_verify(key, message, signature);
    if (row_is(row, "kind", "secp256k1"))
        return secp256k1_verify(key, message, signature);
    if (row_is(row, "kind", "ecdsa"))
        return ecdsa_verify(key, message, signature);
    cr_assert(row_is(row, "kind", "rsa"), "%s: unknown kind", row_str(row, "name"));
    return rsa_verify(key, message, signature);
}

static int check_key(const json_t *row, struct bytes key) {
    uint8_t point[SECP256K1_POINT_BYTES];
    if (row_is(row, "kind", "secp256k1"))
        return secp256k1_compress(key, point);
    if (row_is(row, "kind", "ecdsa"))
        return ecdsa_check_key(key);
    if (row_is(row, "kind", "rsa"))
        return rsa_check_key(key);
    return key.len == ED25519_PUBLIC_BYTES ? 0 : -ERR_BAD_KEY;
}

static int expected_error(const json_t *row) {
    if (row_is(row, "expect", "bad_signature"))
        return -ERR_BAD_SIGNATURE;
    if (row_is(row, "expect", "bad_key"))
        return -ERR_BAD_KEY;
    if (row_is(row, "expect", "unsupported"))
        return -ERR_UNSUPPORTED;
    cr_assert(row_is(row, "expect", "accept"), "%s: unknown verdict", row_str(row, "name"));
    return 0;
}

Test(signatures, each_verdict_is_the_expected_one) {
    static uint8_t key_memory[2048];
    static uint8_t message_memory[256];
    static uint8_t signature_memory[2048];
    struct vectors v = vectors_open("signatures");
    vectors_for_each(row, &v) {
        const char *name = row_str(row, "name");
        struct bytes key = row_hex(row, "key", key_memory, sizeof(key_memory));
        struct bytes message = row_hex(row, "message", message_memory, sizeof(message_memory));
        struct bytes signature =
            row_hex(row, "signature", signature_memory, sizeof(signature_memory));
        int expected = expected_error(row);
        int e = verify(row, key, message, signature);
        cr_expect_eq(e, expected, "%s: %s, not %s", name, err_name(e), err_name(expected));
        int of_key = expected == -ERR_BAD_SIGNATURE ? 0 : expected;
        e = check_key(row, key);
        cr_expect_eq(e, of_key, "%s: the key alone: %s", name, err_name(e));
    }
    vectors_close(&v);
}

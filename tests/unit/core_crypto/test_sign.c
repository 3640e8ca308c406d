/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/crypto/sign.h"
#include "tests/support/hex.h"

/* RFC 8032, section 7.1, test 3. */
Test(sign, ed25519_signs_as_the_rfc_does) {
    struct bytes seed = HEX("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
    uint8_t point[ED25519_PUBLIC_BYTES];
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    cr_assert_eq(ed25519_public(seed.data, point), 0);
    cr_assert(bytes_equal(BYTES_OF(point),
                          HEX("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")));
    cr_assert_eq(ed25519_sign(seed.data, point, HEX("af82"), signature), 0);
    cr_assert(
        bytes_equal(BYTES_OF(signature),
                    HEX("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d"
                        "16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")));
    cr_assert_eq(ed25519_verify(BYTES_OF(point), HEX("af82"), BYTES_OF(signature)), 0);
    cr_assert_eq(ed25519_sign(seed.data, point, BYTES_EMPTY, signature), 0);
    cr_assert_eq(ed25519_verify(BYTES_OF(point), BYTES_EMPTY, BYTES_OF(signature)), 0);
}

Test(sign, a_secp256k1_point_has_one_compressed_form) {
    static const char text[] =
        "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"; /* the generator */
    uint8_t out[SECP256K1_POINT_BYTES] = {0};
    struct bytes expected =
        HEX("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
    cr_assert_eq(secp256k1_compress(HEX(text), out), 0);
    cr_assert(bytes_equal(BYTES_OF(out), expected));
    memset(out, 0, sizeof(out));
    cr_assert_eq(secp256k1_compress(expected, out), 0);
    cr_assert(bytes_equal(BYTES_OF(out), expected));
}

/* DER has one form for each length; the vectors have 0x81 before a short one. */
Test(sign, lengths_in_other_forms_are_no_der) {
    static const char *const rows[] = {"30820002", "3083000002", "3080", "30850000000002",
                                       "3081ff",   "3082ffff",   "30"};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t memory[16];
        struct bytes in = hex_into(rows[i], memory, sizeof(memory));
        cr_assert_eq(ecdsa_check_key(in), -ERR_BAD_KEY, "%s", rows[i]);
        cr_assert_eq(rsa_check_key(in), -ERR_BAD_KEY, "%s", rows[i]);
    }
}

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/p2p/key.h"
#include "core/p2p/pb.h"
#include "tests/support/hex.h"

#define POINT_A "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"

Test(key, any_order_of_fields_gives_the_canonical_form) {
    static const char *const rows[] = {
        "08011220" POINT_A,         /* canonical */
        "1220" POINT_A "0801",      /* the other way round */
        "0800080112001220" POINT_A, /* the last of each counts */
        "08011a0161280512"
        "20" POINT_A, /* unknown fields */
        "8001818000"
        "1220" POINT_A "0801",  /* an unknown one with a padded varint */
        "0a0008011220" POINT_A, /* field 1 as bytes is not the type */
        "088100"
        "1220" POINT_A, /* padded */
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t memory[128];
        struct public_key k;
        int e = public_key_decode(hex_into(rows[i], memory, sizeof(memory)), &k);
        cr_assert_eq(e, 0, "row %zu: %s", i, err_name(e));
        cr_assert(bytes_equal(public_key_protobuf(&k), HEX("08011220" POINT_A)), "row %zu", i);
        cr_assert(bytes_equal(public_key_data(&k), HEX(POINT_A)), "row %zu", i);
        cr_assert_eq(k.type, KEY_ED25519);
    }
}

Test(key, malformed_messages_are_bad_keys) {
    static const char *const rows[] = {
        "",
        "08011220" POINT_A "00",
        "08011220" POINT_A "1a05",
        "0801121f" POINT_A,
        "0801122103" POINT_A,
        "08001220" POINT_A,               /* no RSA key */
        "08031220" POINT_A,               /* no ECDSA key */
        "08021220" POINT_A,               /* no secp256k1 key */
        "0801120008ffffffffffffffffff01", /* a type of 64 bits */
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t memory[128];
        struct public_key k = {.len = 7};
        int e = public_key_decode(hex_into(rows[i], memory, sizeof(memory)), &k);
        cr_assert_eq(e, -ERR_BAD_KEY, "row %zu: %s", i, err_name(e));
        cr_assert_eq(k.len, 7, "row %zu: touched on failure", i);
    }
}

Test(key, an_uncompressed_secp256k1_point_is_kept_compressed) {
    uint8_t memory[128];
    struct public_key k;
    struct bytes in =
        hex_into("080212410479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
                 "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8",
                 memory, sizeof(memory));
    cr_assert_eq(public_key_decode(in, &k), 0);
    cr_assert(bytes_equal(
        public_key_protobuf(&k),
        HEX("080212210279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")));
}

Test(key, equality_is_of_all_bytes) {
    uint8_t point[ED25519_PUBLIC_BYTES] = {1};
    struct public_key a;
    struct public_key b;
    public_key_from_ed25519(point, &a);
    public_key_from_ed25519(point, &b);
    cr_assert(public_key_equal(&a, &b));
    point[31] = 1;
    public_key_from_ed25519(point, &b);
    cr_assert_not(public_key_equal(&a, &b));
}

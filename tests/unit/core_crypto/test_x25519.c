/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/crypto/x25519.h"
#include "tests/support/hex.h"

static void expect(const uint8_t *got, struct bytes expected) {
    cr_assert(bytes_equal(bytes_of(got, X25519_BYTES), expected));
}

/* RFC 7748, section 5.2: one product, then a thousand, each of the two before it. */
Test(x25519, known_answers) {
    uint8_t out[X25519_BYTES];
    int e = x25519_shared(
        HEX("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4").data,
        HEX("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c").data, out);
    cr_assert_eq(e, 0);
    expect(out, HEX("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"));

    uint8_t k[X25519_BYTES] = {9};
    uint8_t u[X25519_BYTES] = {9};
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(x25519_shared(k, u, out), 0);
        memcpy(u, k, sizeof(u));
        memcpy(k, out, sizeof(k));
        if (i == 0)
            expect(k, HEX("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"));
    }
    expect(k, HEX("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
}

/* The keys of the specs' Noise vectors. */
Test(x25519, two_sides_share_a_secret) {
    uint8_t a[X25519_BYTES], b[X25519_BYTES], a_point[X25519_BYTES], b_point[X25519_BYTES];
    uint8_t ab[X25519_BYTES], ba[X25519_BYTES];
    for (uint8_t i = 0; i < X25519_BYTES; i++) {
        a[i] = (uint8_t)(0x60 + i);
        b[i] = (uint8_t)(0xa0 + i);
    }
    x25519_public(a, a_point);
    x25519_public(b, b_point);
    expect(a_point, HEX("675dd574ed7789310b3d2e7681f3790b466c773b1521fecf36577958371ea52f"));
    expect(b_point, HEX("605a725d2a4adfeeb1a29e17edd621c1b7593ee8cdbc44ac6c4ab6e2f805d23c"));
    cr_assert_eq(x25519_shared(a, b_point, ab), 0);
    cr_assert_eq(x25519_shared(b, a_point, ba), 0);
    expect(ab, BYTES_OF(ba));
    b_point[X25519_BYTES - 1] |= 0x80;
    cr_assert_eq(x25519_shared(a, b_point, ab), 0, "the highest bit is ignored");
    expect(ab, BYTES_OF(ba));
}

/* RFC 7748, section 6.1: the result is zero, and the check is ours to make. */
Test(x25519, points_of_low_order_are_refused) {
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    const uint8_t secret[X25519_BYTES] = {1, 2, 3};
    for (size_t i = 0; i < 2 * ARRAY_COUNT(points); i++) {
        uint8_t point[X25519_BYTES];
        uint8_t shared[X25519_BYTES] = {0x55};
        (void)hex_into(points[i / 2], point, sizeof(point));
        point[X25519_BYTES - 1] |= i % 2 == 0 ? 0 : 0x80;
        cr_assert_eq(x25519_shared(secret, point, shared), -ERR_BAD_KEY, "%s", points[i / 2]);
        cr_assert_eq(shared[0], 0x55, "untouched on failure");
    }
}

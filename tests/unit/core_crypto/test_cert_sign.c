/* SPDX-License-Identifier: MIT */
/* Goal: what the own P-256 key signs verifies, and nothing else does; keys and signatures of peers
 * that are none give errors. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/crypto/cert_sign.h"
#include "core/crypto/wolf_env.h"
#include "tests/support/fixed_rng.h"

#define MESSAGE BYTES_LIT("to be signed")

struct signed_message {
    uint8_t secret[P256_SECRET_BYTES];
    uint8_t point[P256_POINT_BYTES];
    uint8_t signature[P256_SIGNATURE_BYTES_MAX];
    size_t signature_len;
};

static struct signed_message sign(uint64_t seed) {
    struct signed_message s;
    struct fixed_rng rng;
    fixed_rng_init(&rng, seed);
    cr_assert_eq(p256_generate(&rng.rng, s.secret, s.point), 0);
    ssize_t n = p256_sign(s.secret, s.point, &rng.rng, MESSAGE, s.signature);
    cr_assert_gt(n, 0);
    cr_assert_leq(n, P256_SIGNATURE_BYTES_MAX);
    s.signature_len = (size_t)n;
    return s;
}

static int verify(const struct signed_message *s, enum cert_digest digest, struct bytes message) {
    return cert_ecdsa_verify(CERT_P256, digest, BYTES_OF(s->point), message,
                             bytes_of(s->signature, s->signature_len));
}

Test(cert_sign, a_signature_verifies_for_its_message_key_and_digest_only) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct signed_message s = sign(seed * 7919);
        struct signed_message other = sign(seed * 7919 + 2);
        cr_assert_eq(s.point[0], 4, "an uncompressed point");
        cr_assert_eq(verify(&s, CERT_SHA256, MESSAGE), 0);
        cr_assert_eq(verify(&s, CERT_SHA256, BYTES_LIT("to be Signed")), -ERR_BAD_SIGNATURE);
        cr_assert_eq(verify(&s, CERT_SHA384, MESSAGE), -ERR_BAD_SIGNATURE);
        memcpy(s.point, other.point, sizeof(s.point));
        cr_assert_eq(verify(&s, CERT_SHA256, MESSAGE), -ERR_BAD_SIGNATURE);
    }
}

Test(cert_sign, the_threads_environment_is_given_back) {
    struct fixed_rng rng;
    struct wolf_env env = {.rng = &rng.rng};
    fixed_rng_init(&rng, 3);
    cr_assert_null(wolf_env_set(&env));
    (void)sign(1);
    cr_assert_eq(wolf_env_set(NULL), &env);
}

Test(cert_sign, what_is_no_point_is_a_bad_key) {
    struct signed_message s = sign(1);
    struct bytes signature = bytes_of(s.signature, s.signature_len);
    struct bytes point = BYTES_OF(s.point);
    for (size_t n = 0; n < sizeof(s.point); n++)
        cr_assert_eq(
            cert_ecdsa_verify(CERT_P256, CERT_SHA256, bytes_of(s.point, n), MESSAGE, signature),
            -ERR_BAD_KEY, "%zu bytes", n);
    cr_assert_eq(cert_ecdsa_verify(CERT_P384, CERT_SHA256, point, MESSAGE, signature), -ERR_BAD_KEY,
                 "a point of another curve");
    s.point[P256_POINT_BYTES - 1] ^= 1;
    cr_assert_eq(cert_ecdsa_verify(CERT_P256, CERT_SHA256, point, MESSAGE, signature), -ERR_BAD_KEY,
                 "beside the curve");
}

Test(cert_sign, malformed_signatures_are_bad_ones) {
    struct signed_message s = sign(1);
    size_t len = s.signature_len;
    for (s.signature_len = 0; s.signature_len < len; s.signature_len++)
        cr_assert_eq(verify(&s, CERT_SHA256, MESSAGE), -ERR_BAD_SIGNATURE, "%zu bytes",
                     s.signature_len);
    for (size_t i = 0; i < len; i++) {
        s.signature[i] ^= 0x10;
        cr_assert_eq(verify(&s, CERT_SHA256, MESSAGE), -ERR_BAD_SIGNATURE, "byte %zu", i);
        s.signature[i] ^= 0x10;
    }
    cr_assert_eq(verify(&s, CERT_SHA256, MESSAGE), 0);
}

Test(cert_sign, what_is_no_rsa_key_is_a_bad_key) {
    cr_assert_eq(cert_rsa_verify(CERT_SHA256, BYTES_LIT("\x30\x00"), MESSAGE, BYTES_LIT("x")),
                 -ERR_BAD_KEY);
}

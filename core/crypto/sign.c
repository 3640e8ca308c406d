/* SPDX-License-Identifier: MIT */
#include "core/crypto/sign.h"

#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/settings.h>
#include <wolfssl/wolfcrypt/signature.h>

#include "core/base/err.h"
#include "core/base/rd.h"
#include "core/crypto/hash.h"

enum {
    /* Go takes public exponents below 2^31; larger ones only make verification slow. */
    RSA_EXPONENT_BYTES_MAX = 4,
    MESSAGE_BYTES_MAX = 1 << 30, /* the library counts in 32 bits */
};

/* What the library says about a signature.  All it finds wrong is the signature's fault, unless it
 * ran out of memory. */
static int verdict(int wolf_error, bool verified) {
    if (wolf_error == MEMORY_E)
        return -ERR_CRYPTO;
    return wolf_error == 0 && verified ? 0 : -ERR_BAD_SIGNATURE;
}

/* Ed25519 */

int ed25519_public(const uint8_t seed[ED25519_SEED_BYTES],
                   uint8_t ret_point[ED25519_PUBLIC_BYTES]) {
    ed25519_key key;
    if (wc_ed25519_init(&key) != 0)
        return -ERR_CRYPTO;
    int e = wc_ed25519_import_private_only(seed, ED25519_SEED_BYTES, &key);
    if (e == 0)
        e = wc_ed25519_make_public(&key, ret_point, ED25519_PUBLIC_BYTES);
    wc_ed25519_free(&key); /* wipes */
    return e == 0 ? 0 : -ERR_CRYPTO;
}

int ed25519_sign(const uint8_t seed[ED25519_SEED_BYTES], const uint8_t point[ED25519_PUBLIC_BYTES],
                 struct bytes message, uint8_t ret_signature[ED25519_SIGNATURE_BYTES]) {
    assert(message.len <= MESSAGE_BYTES_MAX);
    ed25519_key key;
    if (wc_ed25519_init(&key) != 0)
        return -ERR_CRYPTO;
    word32 len = ED25519_SIGNATURE_BYTES;
    /* Trusted: the caller's point is the seed's, checked when the identity was loaded. */
    int e = wc_ed25519_import_private_key_ex(seed, ED25519_SEED_BYTES, point, ED25519_PUBLIC_BYTES,
                                             &key, 1);
    if (e == 0)
        e = wc_ed25519_sign_msg(message.data, (word32)message.len, ret_signature, &len, &key);
    wc_ed25519_free(&key);
    if (e != 0)
        return -ERR_CRYPTO;
    assert(len == ED25519_SIGNATURE_BYTES);
    return 0;
}

int ed25519_verify(struct bytes point, struct bytes message, struct bytes signature) {
    if (point.len != ED25519_PUBLIC_BYTES)
        return -ERR_BAD_KEY;
    if (signature.len != ED25519_SIGNATURE_BYTES || message.len > MESSAGE_BYTES_MAX)
        return -ERR_BAD_SIGNATURE;
    ed25519_key key;
    if (wc_ed25519_init(&key) != 0)
        return -ERR_CRYPTO;
    int verified = 0;
    /* "Trusted" spares the library's own check of the point: verifying decompresses it anyhow. */
    int e = wc_ed25519_import_public_ex(point.data, ED25519_PUBLIC_BYTES, &key, 1);
    if (e == 0)
        e = wc_ed25519_verify_msg(signature.data, ED25519_SIGNATURE_BYTES, message.data,
                                  (word32)message.len, &verified, &key);
    wc_ed25519_free(&key);
    return verdict(e, verified == 1);
}

/* Elliptic curves over a point, for both secp256k1 and ECDSA. */

struct curve_key {
    int curve; /* the library's number */
    struct bytes point;
};

/* Opens the key; the library checks that the point lies on the curve.  The caller frees it. */
static int curve_key_open(const struct curve_key *k, ecc_key *ret_key) {
    if (wc_ecc_init(ret_key) != 0)
        return -ERR_CRYPTO;
    int e = wc_ecc_import_x963_ex2(k->point.data, (word32)k->point.len, ret_key, k->curve, 1);
    if (e == 0)
        return 0;
    (void)wc_ecc_free(ret_key);
    return e == MEMORY_E ? -ERR_CRYPTO : -ERR_BAD_KEY;
}

static int curve_verify(const struct curve_key *k, struct bytes message, struct bytes signature) {
    if (signature.len == 0 || signature.len > UINT16_MAX)
        return -ERR_BAD_SIGNATURE;
    ecc_key key;
    int e = curve_key_open(k, &key);
    if (e < 0)
        return e;
    uint8_t digest[SHA256_BYTES];
    sha256(message, digest);
    int verified = 0;
    e = wc_ecc_verify_hash(signature.data, (word32)signature.len, digest, sizeof(digest), &verified,
                           &key);
    (void)wc_ecc_free(&key);
    return verdict(e, verified == 1);
}

/* Either form by its length and first byte; the library also knows a hybrid one, which has no place
 * here. */
static bool is_secp256k1_form(struct bytes point) {
    if (point.len == SECP256K1_POINT_BYTES)
        return point.data[0] == 2 || point.data[0] == 3;
    return point.len == SECP256K1_POINT_LONG_BYTES && point.data[0] == 4;
}

int secp256k1_compress(struct bytes point, uint8_t ret_point[SECP256K1_POINT_BYTES]) {
    if (!is_secp256k1_form(point))
        return -ERR_BAD_KEY;
    const struct curve_key k = {.curve = ECC_SECP256K1, .point = point};
    ecc_key key;
    int e = curve_key_open(&k, &key);
    if (e < 0)
        return e;
    word32 len = SECP256K1_POINT_BYTES;
    e = wc_ecc_export_x963_ex(&key, ret_point, &len, 1);
    (void)wc_ecc_free(&key);
    return e == 0 ? 0 : -ERR_CRYPTO;
}

int secp256k1_verify(struct bytes point, struct bytes message, struct bytes signature) {
    if (!is_secp256k1_form(point))
        return -ERR_BAD_KEY;
    const struct curve_key k = {.curve = ECC_SECP256K1, .point = point};
    return curve_verify(&k, message, signature);
}

/* DER by hand.  The library's decoders would also take private keys, curves given by their numbers,
 * and RSA keys without the wrapping, all of which other implementations refuse. */

static const uint8_t oid_ec[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t oid_rsa_null[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                       0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
static const uint8_t oid_p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t oid_p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t oid_p521[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};

static const struct {
    struct bytes oid;
    int curve;
    size_t point_bytes;
} curves[] = {
    {BYTES_OF(oid_p256), ECC_SECP256R1, 65},
    {BYTES_OF(oid_p384), ECC_SECP384R1, 97},
    {BYTES_OF(oid_p521), ECC_SECP521R1, 133},
};

enum { DER_INTEGER = 0x02, DER_BIT_STRING = 0x03, DER_SEQUENCE = 0x30 };

/* The content of the next element, which must have this tag and the shortest length. */
static struct bytes der_next(struct rd *r, uint8_t tag) {
    if (rd_u8(r) != tag)
        rd_fail(r, -ERR_MALFORMED);
    size_t len = rd_u8(r);
    if (len == 0x81) {
        len = rd_u8(r);
        if (len < 0x80)
            rd_fail(r, -ERR_MALFORMED);
    } else if (len == 0x82) {
        len = rd_be16(r);
        if (len < 0x100)
            rd_fail(r, -ERR_MALFORMED);
    } else if (len >= 0x80) {
        rd_fail(r, -ERR_MALFORMED);
    }
    return rd_bytes(r, len);
}

/* SEQUENCE { SEQUENCE algorithm, BIT STRING key } without unused bits. */
static int spki_open(struct bytes spki, struct bytes *ret_algorithm, struct bytes *ret_key) {
    struct rd outer = rd_init(spki);
    struct rd r = rd_init(der_next(&outer, DER_SEQUENCE));
    struct bytes algorithm = der_next(&r, DER_SEQUENCE);
    struct rd bits = rd_init(der_next(&r, DER_BIT_STRING));
    if (rd_u8(&bits) != 0 || bits.error != 0 || rd_done(&r) < 0 || rd_done(&outer) < 0)
        return -ERR_BAD_KEY;
    *ret_algorithm = algorithm;
    *ret_key = bits.left;
    return 0;
}

/* ECDSA */

static int ecdsa_key_open(struct bytes spki, struct curve_key *ret_key) {
    struct bytes algorithm;
    struct bytes point;
    int e = spki_open(spki, &algorithm, &point);
    if (e < 0)
        return e;
    if (!bytes_start_with(algorithm, BYTES_OF(oid_ec)))
        return -ERR_BAD_KEY;
    struct bytes oid = bytes_skip(algorithm, sizeof(oid_ec));
    for (size_t i = 0; i < ARRAY_COUNT(curves); i++) {
        if (!bytes_equal(oid, curves[i].oid))
            continue;
        if (point.len != curves[i].point_bytes || point.data[0] != 4)
            return -ERR_BAD_KEY;
        *ret_key = (struct curve_key){.curve = curves[i].curve, .point = point};
        return 0;
    }
    return -ERR_UNSUPPORTED;
}

int ecdsa_check_key(struct bytes spki) {
    struct curve_key k;
    int e = ecdsa_key_open(spki, &k);
    if (e < 0)
        return e;
    ecc_key key;
    e = curve_key_open(&k, &key);
    if (e == 0)
        (void)wc_ecc_free(&key);
    return e;
}

int ecdsa_verify(struct bytes spki, struct bytes message, struct bytes signature) {
    struct curve_key k;
    int e = ecdsa_key_open(spki, &k);
    if (e < 0)
        return e;
    return curve_verify(&k, message, signature);
}

/* RSA */

struct rsa_numbers {
    struct bytes modulus;
    struct bytes exponent;
};

/* A positive INTEGER, without the zero that keeps it so. */
static struct bytes der_next_positive(struct rd *r) {
    struct bytes b = der_next(r, DER_INTEGER);
    if (b.len > 1 && b.data[0] == 0 && b.data[1] >= 0x80)
        return bytes_skip(b, 1);
    if (b.len == 0 || b.data[0] == 0 || b.data[0] >= 0x80)
        rd_fail(r, -ERR_MALFORMED);
    return b;
}

static size_t bit_count(struct bytes positive) {
    return 8 * positive.len - (size_t)(__builtin_clz(positive.data[0]) - 24);
}

static int rsa_key_parse(struct bytes spki, struct rsa_numbers *ret_numbers) {
    struct bytes algorithm;
    struct bytes content;
    int e = spki_open(spki, &algorithm, &content);
    if (e < 0)
        return e;
    struct rd outer = rd_init(content);
    struct rd r = rd_init(der_next(&outer, DER_SEQUENCE));
    struct bytes n = der_next_positive(&r);
    struct bytes exponent = der_next_positive(&r);
    if (!bytes_equal(algorithm, BYTES_OF(oid_rsa_null)) || rd_done(&r) < 0 || rd_done(&outer) < 0)
        return -ERR_BAD_KEY;
    if (bit_count(n) < RSA_BITS_MIN || bit_count(n) > RSA_BITS_MAX)
        return -ERR_BAD_KEY;
    if (exponent.len > RSA_EXPONENT_BYTES_MAX || exponent.data[exponent.len - 1] % 2 == 0 ||
        bit_count(exponent) < 2)
        return -ERR_BAD_KEY;
    *ret_numbers = (struct rsa_numbers){.modulus = n, .exponent = exponent};
    return 0;
}

int rsa_check_key(struct bytes spki) {
    struct rsa_numbers numbers;
    return rsa_key_parse(spki, &numbers);
}

int rsa_verify(struct bytes spki, struct bytes message, struct bytes signature) {
    struct rsa_numbers n;
    int e = rsa_key_parse(spki, &n);
    if (e < 0)
        return e;
    if (signature.len != n.modulus.len || message.len > MESSAGE_BYTES_MAX)
        return -ERR_BAD_SIGNATURE;
    RsaKey key;
    if (wc_InitRsaKey(&key, NULL) != 0)
        return -ERR_CRYPTO;
    int wolf = wc_RsaPublicKeyDecodeRaw(n.modulus.data, (word32)n.modulus.len, n.exponent.data,
                                        (word32)n.exponent.len, &key);
    if (wolf == 0)
        wolf = wc_SignatureVerify(WC_HASH_TYPE_SHA256, WC_SIGNATURE_TYPE_RSA_W_ENC, message.data,
                                  (word32)message.len, signature.data, (word32)signature.len, &key,
                                  sizeof(key));
    (void)wc_FreeRsaKey(&key);
    return verdict(wolf, true);
}

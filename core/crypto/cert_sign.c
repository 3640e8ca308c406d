/* SPDX-License-Identifier: MIT */
#include "core/crypto/cert_sign.h"

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/settings.h>
#include <wolfssl/wolfcrypt/signature.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/crypto/wolf_env.h"

/* The library asks the thread's environment for random bytes, our callers hand them down: for the
 * length of one call the two are joined. */
struct joined_rng {
    struct wolf_env env;
    const struct wolf_env *before;
    WC_RNG wolf;
    bool ready;
};

static void joined_rng_done(struct joined_rng *j) {
    if (j->ready)
        (void)wc_FreeRng(&j->wolf); /* Nothing useful can be done about a failure. */
    (void)wolf_env_set(j->before);
}

static int joined_rng_init(struct joined_rng *j, struct rng *rng) {
    j->env = (struct wolf_env){.rng = rng};
    j->before = wolf_env_set(&j->env);
    j->ready = wc_InitRng(&j->wolf) == 0;
    return j->ready ? 0 : -ERR_CRYPTO;
}

int p256_generate(struct rng *rng, uint8_t ret_secret[P256_SECRET_BYTES],
                  uint8_t ret_point[P256_POINT_BYTES]) {
    struct joined_rng joined;
    ecc_key key;
    uint8_t secret[P256_SECRET_BYTES];
    uint8_t point[P256_POINT_BYTES];
    word32 secret_len = sizeof(secret);
    word32 point_len = sizeof(point);

    if (wc_ecc_init(&key) != 0)
        return -ERR_CRYPTO;
    int e = joined_rng_init(&joined, rng);
    if (e == 0 && (wc_ecc_make_key_ex(&joined.wolf, P256_SECRET_BYTES, &key, ECC_SECP256R1) != 0 ||
                   wc_ecc_export_private_only(&key, secret, &secret_len) != 0 ||
                   wc_ecc_export_x963(&key, point, &point_len) != 0))
        e = -ERR_CRYPTO;
    joined_rng_done(&joined);
    (void)wc_ecc_free(&key);
    if (e == 0) {
        assert(secret_len == sizeof(secret));
        assert(point_len == sizeof(point));
        memcpy(ret_secret, secret, sizeof(secret));
        memcpy(ret_point, point, sizeof(point));
    }
    mem_wipe(secret, sizeof(secret));
    return e;
}

ssize_t p256_sign(const uint8_t secret[P256_SECRET_BYTES], const uint8_t point[P256_POINT_BYTES],
                  struct rng *rng, struct bytes message,
                  uint8_t ret_signature[P256_SIGNATURE_BYTES_MAX]) {
    struct joined_rng joined;
    ecc_key key;
    uint8_t signature[P256_SIGNATURE_BYTES_MAX];
    word32 len = sizeof(signature);

    if (wc_ecc_init(&key) != 0)
        return -ERR_CRYPTO;
    int e = joined_rng_init(&joined, rng);
    if (e == 0 && (wc_ecc_import_private_key_ex(secret, P256_SECRET_BYTES, point, P256_POINT_BYTES,
                                                &key, ECC_SECP256R1) != 0 ||
                   wc_SignatureGenerate(WC_HASH_TYPE_SHA256, WC_SIGNATURE_TYPE_ECC, message.data,
                                        (word32)message.len, signature, &len, &key, sizeof(key),
                                        &joined.wolf) != 0))
        e = -ERR_CRYPTO;
    joined_rng_done(&joined);
    (void)wc_ecc_free(&key);
    if (e < 0)
        return e;
    memcpy(ret_signature, signature, len);
    return (ssize_t)len;
}

static enum wc_HashType hash_type(enum cert_digest d) {
    switch (d) {
    case CERT_SHA256:
        return WC_HASH_TYPE_SHA256;
    case CERT_SHA384:
        return WC_HASH_TYPE_SHA384;
    case CERT_SHA512:
        return WC_HASH_TYPE_SHA512;
    }
    assert(false);
    return WC_HASH_TYPE_NONE;
}

/* Every refusal is the signature's fault, unless memory ran out. */
static int verify_result(int wolf_error) {
    if (wolf_error == 0)
        return 0;
    return wolf_error == MEMORY_E ? -ERR_CRYPTO : -ERR_BAD_SIGNATURE;
}

int cert_ecdsa_verify(enum cert_curve curve, enum cert_digest digest, struct bytes point,
                      struct bytes message, struct bytes signature) {
    ecc_key key;
    int id = curve == CERT_P256 ? ECC_SECP256R1 : ECC_SECP384R1;

    if (wc_ecc_init(&key) != 0)
        return -ERR_CRYPTO;
    int e = -ERR_BAD_KEY;
    /* "Untrusted" makes the library check that the point lies on the curve. */
    if (wc_ecc_import_x963_ex2(point.data, (word32)point.len, &key, id, 1) == 0)
        e = verify_result(wc_SignatureVerify(hash_type(digest), WC_SIGNATURE_TYPE_ECC, message.data,
                                             (word32)message.len, signature.data,
                                             (word32)signature.len, &key, sizeof(key)));
    (void)wc_ecc_free(&key);
    return e;
}

int cert_rsa_verify(enum cert_digest digest, struct bytes spki, struct bytes message,
                    struct bytes signature) {
    RsaKey key;
    word32 index = 0;

    if (wc_InitRsaKey(&key, NULL) != 0)
        return -ERR_CRYPTO;
    int e = -ERR_BAD_KEY;
    if (wc_RsaPublicKeyDecode(spki.data, &index, &key, (word32)spki.len) == 0 && index == spki.len)
        e = verify_result(wc_SignatureVerify(hash_type(digest), WC_SIGNATURE_TYPE_RSA_W_ENC,
                                             message.data, (word32)message.len, signature.data,
                                             (word32)signature.len, &key, sizeof(key)));
    (void)wc_FreeRsaKey(&key);
    return e;
}

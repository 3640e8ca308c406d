/* SPDX-License-Identifier: MIT */
#include "transport/proto/quic_crypto.h"

#include <ngtcp2/ngtcp2_crypto.h>
#include <shared.h> /* ngtcp2's private header: what a backend must define */
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/kdf.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/crypto/aead_key.h"
#include "core/crypto/wolf_env.h"

/* One row is the AEAD, the header protection cipher and the hash of a TLS 1.3 suite.  ngtcp2's
 * native handles point into this table. */
struct suite_row {
    enum aead_cipher cipher;
    uint16_t tls_id;
    uint8_t hash_bytes;
    int hash; /* wolfCrypt's number */
    uint64_t encryptions_max;
    uint64_t decryption_failures_max;
};

static const struct suite_row suites[] = {
    [AEAD_AES_128_GCM] = {AEAD_AES_128_GCM, 0x1301, 32, WC_SHA256,
                          NGTCP2_CRYPTO_MAX_ENCRYPTION_AES_GCM,
                          NGTCP2_CRYPTO_MAX_DECRYPTION_FAILURE_AES_GCM},
    [AEAD_AES_256_GCM] = {AEAD_AES_256_GCM, 0x1302, 48, WC_SHA384,
                          NGTCP2_CRYPTO_MAX_ENCRYPTION_AES_GCM,
                          NGTCP2_CRYPTO_MAX_DECRYPTION_FAILURE_AES_GCM},
    [AEAD_CHACHA20_POLY1305] = {AEAD_CHACHA20_POLY1305, 0x1303, 32, WC_SHA256,
                                NGTCP2_CRYPTO_MAX_ENCRYPTION_CHACHA20_POLY1305,
                                NGTCP2_CRYPTO_MAX_DECRYPTION_FAILURE_CHACHA20_POLY1305},
};

static const struct suite_row *row_of(const void *native_handle) {
    return native_handle;
}

static void *handle_of(enum aead_cipher c) {
    return (void *)(uintptr_t)&suites[c];
}

/* A key of header protection: the AES key schedule, or ChaCha20's plain key. */
struct mask_key {
    enum aead_cipher cipher;
    union {
        Aes aes;
        uint8_t chacha[AEAD_KEY_BYTES_MAX];
    };
};

static struct mask_key *mask_key_free(struct mask_key *k) {
    if (k == NULL)
        return NULL;
    if (k->cipher != AEAD_CHACHA20_POLY1305)
        wc_AesFree(&k->aes);
    mem_wipe(k, sizeof(*k));
    return mem_free(mem_system(), k);
}

DEFINE_SCOPED_FREE(struct mask_key *, mask_key_free);

static struct mask_key *mask_key_new(enum aead_cipher cipher, const uint8_t *key) {
    SCOPED(mask_key_freep) struct mask_key *k = mem_alloc(mem_system(), sizeof(*k));
    if (k == NULL)
        return NULL;
    k->cipher = AEAD_CHACHA20_POLY1305; /* nothing to undo yet */
    if (cipher == AEAD_CHACHA20_POLY1305) {
        memcpy(k->chacha, key, sizeof(k->chacha));
        return TAKE(k);
    }
    if (wc_AesInit(&k->aes, NULL, INVALID_DEVID) != 0)
        return NULL;
    k->cipher = cipher;
    int e = wc_AesSetKeyDirect(&k->aes, key, (word32)aead_key_bytes(cipher), NULL, AES_ENCRYPTION);
    return e == 0 ? TAKE(k) : NULL;
}

/* --- What ngtcp2's helper asks of a backend --- */

ngtcp2_crypto_aead *ngtcp2_crypto_aead_init(ngtcp2_crypto_aead *aead, void *native_handle) {
    aead->native_handle = native_handle;
    aead->max_overhead = AEAD_TAG_BYTES;
    return aead;
}

ngtcp2_crypto_aead *ngtcp2_crypto_aead_aes_128_gcm(ngtcp2_crypto_aead *aead) {
    return ngtcp2_crypto_aead_init(aead, handle_of(AEAD_AES_128_GCM));
}

ngtcp2_crypto_aead *ngtcp2_crypto_aead_retry(ngtcp2_crypto_aead *aead) {
    return ngtcp2_crypto_aead_aes_128_gcm(aead);
}

ngtcp2_crypto_md *ngtcp2_crypto_md_sha256(ngtcp2_crypto_md *md) {
    md->native_handle = handle_of(AEAD_AES_128_GCM);
    return md;
}

static ngtcp2_crypto_ctx *ctx_for(ngtcp2_crypto_ctx *ctx, const struct suite_row *row) {
    void *handle = handle_of(row->cipher);
    (void)ngtcp2_crypto_aead_init(&ctx->aead, handle);
    ctx->md.native_handle = handle;
    ctx->hp.native_handle = handle;
    ctx->max_encryption = row->encryptions_max;
    ctx->max_decryption_failure = row->decryption_failures_max;
    return ctx;
}

ngtcp2_crypto_ctx *ngtcp2_crypto_ctx_initial(ngtcp2_crypto_ctx *ctx) {
    (void)ctx_for(ctx, &suites[AEAD_AES_128_GCM]);
    ctx->max_encryption = 0;
    ctx->max_decryption_failure = 0;
    return ctx;
}

ngtcp2_crypto_ctx *ngtcp2_crypto_ctx_tls(ngtcp2_crypto_ctx *ctx, void *tls) {
    int tls_id = wolfSSL_get_current_cipher_suite(tls);
    for (size_t i = 0; i < ARRAY_COUNT(suites); i++) {
        if (suites[i].tls_id == tls_id)
            return ctx_for(ctx, &suites[i]);
    }
    return NULL;
}

ngtcp2_crypto_ctx *ngtcp2_crypto_ctx_tls_early(ngtcp2_crypto_ctx *ctx, void *tls) {
    return ngtcp2_crypto_ctx_tls(ctx, tls);
}

size_t ngtcp2_crypto_md_hashlen(const ngtcp2_crypto_md *md) {
    return row_of(md->native_handle)->hash_bytes;
}

size_t ngtcp2_crypto_aead_keylen(const ngtcp2_crypto_aead *aead) {
    return aead_key_bytes(row_of(aead->native_handle)->cipher);
}

size_t ngtcp2_crypto_aead_noncelen(const ngtcp2_crypto_aead *aead) {
    (void)aead;
    return AEAD_NONCE_BYTES;
}

int ngtcp2_crypto_aead_ctx_encrypt_init(ngtcp2_crypto_aead_ctx *ctx, const ngtcp2_crypto_aead *aead,
                                        const uint8_t *key, size_t noncelen) {
    assert(noncelen == AEAD_NONCE_BYTES);
    struct aead_key *k;
    if (aead_key_new(mem_system(), row_of(aead->native_handle)->cipher, key, &k) < 0)
        return -1;
    ctx->native_handle = k;
    return 0;
}

int ngtcp2_crypto_aead_ctx_decrypt_init(ngtcp2_crypto_aead_ctx *ctx, const ngtcp2_crypto_aead *aead,
                                        const uint8_t *key, size_t noncelen) {
    return ngtcp2_crypto_aead_ctx_encrypt_init(ctx, aead, key, noncelen);
}

void ngtcp2_crypto_aead_ctx_free(ngtcp2_crypto_aead_ctx *ctx) {
    ctx->native_handle = aead_key_free(ctx->native_handle);
}

int ngtcp2_crypto_cipher_ctx_encrypt_init(ngtcp2_crypto_cipher_ctx *ctx,
                                          const ngtcp2_crypto_cipher *cipher, const uint8_t *key) {
    ctx->native_handle = mask_key_new(row_of(cipher->native_handle)->cipher, key);
    return ctx->native_handle == NULL ? -1 : 0;
}

void ngtcp2_crypto_cipher_ctx_free(ngtcp2_crypto_cipher_ctx *ctx) {
    ctx->native_handle = mask_key_free(ctx->native_handle);
}

int ngtcp2_crypto_hkdf_extract(uint8_t *dest, const ngtcp2_crypto_md *md, const uint8_t *secret,
                               size_t secretlen, const uint8_t *salt, size_t saltlen) {
    int e = wc_HKDF_Extract(row_of(md->native_handle)->hash, salt, (word32)saltlen, secret,
                            (word32)secretlen, dest);
    return e == 0 ? 0 : -1;
}

int ngtcp2_crypto_hkdf_expand(uint8_t *dest, size_t destlen, const ngtcp2_crypto_md *md,
                              const uint8_t *secret, size_t secretlen, const uint8_t *info,
                              size_t infolen) {
    int e = wc_HKDF_Expand(row_of(md->native_handle)->hash, secret, (word32)secretlen, info,
                           (word32)infolen, dest, (word32)destlen);
    return e == 0 ? 0 : -1;
}

int ngtcp2_crypto_hkdf(uint8_t *dest, size_t destlen, const ngtcp2_crypto_md *md,
                       const uint8_t *secret, size_t secretlen, const uint8_t *salt, size_t saltlen,
                       const uint8_t *info, size_t infolen) {
    int e = wc_HKDF(row_of(md->native_handle)->hash, secret, (word32)secretlen, salt,
                    (word32)saltlen, info, (word32)infolen, dest, (word32)destlen);
    return e == 0 ? 0 : -1;
}

int ngtcp2_crypto_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                          const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *plaintext,
                          size_t plaintextlen, const uint8_t *nonce, size_t noncelen,
                          const uint8_t *aad, size_t aadlen) {
    (void)aead;
    (void)noncelen;
    aead_seal(ctx->native_handle, nonce, bytes_of(aad, aadlen), bytes_of(plaintext, plaintextlen),
              dest);
    return 0;
}

int ngtcp2_crypto_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                          const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *ciphertext,
                          size_t ciphertextlen, const uint8_t *nonce, size_t noncelen,
                          const uint8_t *aad, size_t aadlen) {
    (void)aead;
    (void)noncelen;
    int e = aead_open(ctx->native_handle, nonce, bytes_of(aad, aadlen),
                      bytes_of(ciphertext, ciphertextlen), dest);
    return e == 0 ? 0 : -1;
}

static int chacha_mask(const struct mask_key *k, uint8_t *dest, const uint8_t *sample) {
    static const uint8_t zeros[NGTCP2_HP_MASKLEN];
    ChaCha chacha;
    word32 counter = (word32)sample[0] | (word32)sample[1] << 8 | (word32)sample[2] << 16 |
                     (word32)sample[3] << 24;
    if (wc_Chacha_SetKey(&chacha, k->chacha, sizeof(k->chacha)) != 0 ||
        wc_Chacha_SetIV(&chacha, sample + sizeof(counter), counter) != 0)
        return -1;
    int e = wc_Chacha_Process(&chacha, dest, zeros, sizeof(zeros));
    mem_wipe(&chacha, sizeof(chacha));
    return e == 0 ? 0 : -1;
}

int ngtcp2_crypto_hp_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
                          const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample) {
    (void)hp;
    struct mask_key *k = ctx->native_handle;
    if (k->cipher == AEAD_CHACHA20_POLY1305)
        return chacha_mask(k, dest, sample);
    return wc_AesEncryptDirect(&k->aes, dest, sample) == 0 ? 0 : -1;
}

int ngtcp2_crypto_random(uint8_t *data, size_t datalen) {
    return peerup_wolf_random(data, (unsigned)datalen) == 0 ? 0 : -1;
}

int ngtcp2_crypto_get_path_challenge_data_cb(ngtcp2_conn *conn, uint8_t *data, void *user_data) {
    (void)conn;
    (void)user_data;
    return ngtcp2_crypto_random(data, NGTCP2_PATH_CHALLENGE_DATALEN) == 0
               ? 0
               : NGTCP2_ERR_CALLBACK_FAILURE;
}

int ngtcp2_crypto_get_path_challenge_data2_cb(ngtcp2_conn *conn, ngtcp2_path_challenge_data *data,
                                              void *user_data) {
    return ngtcp2_crypto_get_path_challenge_data_cb(conn, data->data, user_data);
}

/* --- TLS handshake messages in both directions --- */

static WOLFSSL_ENCRYPTION_LEVEL level_to_wolfssl(ngtcp2_encryption_level level) {
    switch (level) {
    case NGTCP2_ENCRYPTION_LEVEL_INITIAL:
        return wolfssl_encryption_initial;
    case NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE:
        return wolfssl_encryption_handshake;
    case NGTCP2_ENCRYPTION_LEVEL_1RTT:
        return wolfssl_encryption_application;
    case NGTCP2_ENCRYPTION_LEVEL_0RTT:
        return wolfssl_encryption_early_data;
    }
    abort();
}

static ngtcp2_encryption_level level_from_wolfssl(WOLFSSL_ENCRYPTION_LEVEL level) {
    switch (level) {
    case wolfssl_encryption_initial:
        return NGTCP2_ENCRYPTION_LEVEL_INITIAL;
    case wolfssl_encryption_handshake:
        return NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE;
    case wolfssl_encryption_application:
        return NGTCP2_ENCRYPTION_LEVEL_1RTT;
    case wolfssl_encryption_early_data:
        return NGTCP2_ENCRYPTION_LEVEL_0RTT;
    }
    abort();
}

/* What wolfSSL answers when it only waits for more of the peer's messages. */
static bool wants_more(WOLFSSL *ssl, int result) {
    int e = wolfSSL_get_error(ssl, result);
    return e == WOLFSSL_ERROR_WANT_READ || e == WOLFSSL_ERROR_WANT_WRITE;
}

int ngtcp2_crypto_read_write_crypto_data(ngtcp2_conn *conn, ngtcp2_encryption_level level,
                                         const uint8_t *data, size_t datalen) {
    WOLFSSL *ssl = ngtcp2_conn_get_tls_native_handle2(conn);
    if (datalen > 0 &&
        wolfSSL_provide_quic_data(ssl, level_to_wolfssl(level), data, datalen) != WOLFSSL_SUCCESS)
        return -1;

    int result = wolfSSL_quic_do_handshake(ssl);
    if (result != WOLFSSL_SUCCESS)
        return wants_more(ssl, result) ? 0 : -1;
    ngtcp2_conn_tls_handshake_completed(conn);
    return 0;
}

int ngtcp2_crypto_set_remote_transport_params(ngtcp2_conn *conn, void *tls) {
    const uint8_t *params;
    size_t params_len;
    wolfSSL_get_peer_quic_transport_params(tls, &params, &params_len);
    int e = ngtcp2_conn_decode_and_set_remote_transport_params(conn, params, params_len);
    if (e != 0) {
        ngtcp2_conn_set_tls_error(conn, e);
        return -1;
    }
    return 0;
}

int ngtcp2_crypto_set_local_transport_params(void *tls, const uint8_t *buf, size_t len) {
    return wolfSSL_set_quic_transport_params(tls, buf, len) == WOLFSSL_SUCCESS ? 0 : -1;
}

static ngtcp2_conn *conn_of(WOLFSSL *ssl) {
    ngtcp2_crypto_conn_ref *ref = wolfSSL_get_app_data(ssl);
    return ref->get_conn(ref);
}

static int on_secrets(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL wolf_level, const uint8_t *read,
                      const uint8_t *write, size_t len) {
    ngtcp2_conn *conn = conn_of(ssl);
    ngtcp2_encryption_level level = level_from_wolfssl(wolf_level);
    if (read != NULL &&
        ngtcp2_crypto_derive_and_install_rx_key(conn, NULL, NULL, NULL, level, read, len) != 0)
        return 0;
    if (write != NULL &&
        ngtcp2_crypto_derive_and_install_tx_key(conn, NULL, NULL, NULL, level, write, len) != 0)
        return 0;
    return 1;
}

static int on_handshake_data(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, const uint8_t *data,
                             size_t len) {
    ngtcp2_conn *conn = conn_of(ssl);
    int e = ngtcp2_conn_submit_crypto_data(conn, level_from_wolfssl(level), data, len);
    if (e != 0) {
        ngtcp2_conn_set_tls_error(conn, e);
        return 0;
    }
    return 1;
}

static int on_flush(WOLFSSL *ssl) {
    (void)ssl;
    return 1;
}

static int on_alert(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, uint8_t alert) {
    (void)level;
    ngtcp2_conn_set_tls_alert(conn_of(ssl), alert);
    return 1;
}

static const WOLFSSL_QUIC_METHOD quic_method = {
    .set_encryption_secrets = on_secrets,
    .add_handshake_data = on_handshake_data,
    .flush_flight = on_flush,
    .send_alert = on_alert,
};

int quic_crypto_configure(WOLFSSL *ssl) {
    return wolfSSL_set_quic_method(ssl, &quic_method) == WOLFSSL_SUCCESS ? 0 : -ERR_CRYPTO;
}

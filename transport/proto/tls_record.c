/* SPDX-License-Identifier: MIT */
#include "transport/proto/tls_record.h"

#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/kdf.h>

#include "core/base/err.h"
#include "core/base/mem.h"

struct tls_suite {
    uint16_t id;
    enum aead_cipher cipher;
    int hash; /* wolfCrypt's number */
    uint8_t secret_bytes;
};

static const struct tls_suite suites[] = {
    {0x1301, AEAD_AES_128_GCM, WC_SHA256, 32},
    {0x1302, AEAD_AES_256_GCM, WC_SHA384, 48},
    {0x1303, AEAD_CHACHA20_POLY1305, WC_SHA256, 32},
};

const struct tls_suite *tls_suite_find(uint16_t id) {
    for (size_t i = 0; i < ARRAY_COUNT(suites); i++) {
        if (suites[i].id == id)
            return &suites[i];
    }
    return NULL;
}

size_t tls_suite_secret_bytes(const struct tls_suite *s) {
    return s->secret_bytes;
}

static void expand(const struct tls_flow *f, struct bytes label, uint8_t *out, size_t size) {
    int e = wc_Tls13_HKDF_Expand_Label(out, (word32)size, f->secret, f->suite->secret_bytes,
                                       (const byte *)"tls13 ", 6, label.data, (word32)label.len,
                                       NULL, 0, f->suite->hash);
    assert(e == 0);
}

static void derive_key(const struct tls_flow *f, uint8_t key[AEAD_KEY_BYTES_MAX]) {
    expand(f, BYTES_LIT("key"), key, aead_key_bytes(f->suite->cipher));
}

static void derive_iv(struct tls_flow *f) {
    expand(f, BYTES_LIT("iv"), f->iv, sizeof(f->iv));
}

int tls_flow_init(struct tls_flow *f, struct mem *mem, const struct tls_suite *suite,
                  const uint8_t *secret) {
    uint8_t key[AEAD_KEY_BYTES_MAX];
    *f = (struct tls_flow){.suite = suite};
    memcpy(f->secret, secret, suite->secret_bytes);
    derive_iv(f);
    derive_key(f, key);
    int e = aead_key_new(mem, suite->cipher, key, &f->key);
    mem_wipe(key, sizeof(key));
    if (e < 0)
        tls_flow_done(f);
    return e;
}

void tls_flow_done(struct tls_flow *f) {
    (void)aead_key_free(f->key);
    mem_wipe(f, sizeof(*f));
}

void tls_flow_update(struct tls_flow *f) {
    uint8_t next[TLS_SECRET_BYTES_MAX];
    uint8_t key[AEAD_KEY_BYTES_MAX];
    expand(f, BYTES_LIT("traffic upd"), next, f->suite->secret_bytes);
    memcpy(f->secret, next, f->suite->secret_bytes);
    derive_iv(f);
    derive_key(f, key);
    aead_key_replace(f->key, key);
    f->sequence = 0;
    mem_wipe(next, sizeof(next));
    mem_wipe(key, sizeof(key));
}

static void take_nonce(struct tls_flow *f, uint8_t nonce[AEAD_NONCE_BYTES]) {
    memcpy(nonce, f->iv, AEAD_NONCE_BYTES);
    for (size_t i = 0; i < 8; i++)
        nonce[AEAD_NONCE_BYTES - 1 - i] ^= (uint8_t)(f->sequence >> 8 * i);
    f->sequence++;
}

size_t tls_flow_seal(struct tls_flow *f, enum tls_content type, struct bytes plain, uint8_t *out) {
    uint8_t nonce[AEAD_NONCE_BYTES];
    uint8_t *body = out + TLS_HEADER_BYTES;
    size_t inner = plain.len + 1;
    size_t len = inner + AEAD_TAG_BYTES;

    assert(plain.len <= TLS_PLAIN_MAX);
    assert(f->sequence < UINT64_MAX);
    take_nonce(f, nonce);
    const uint8_t header[TLS_HEADER_BYTES] = {TLS_CONTENT_DATA, 3, 3, (uint8_t)(len >> 8),
                                              (uint8_t)len};
    memcpy(out, header, sizeof(header));
    /* The type stands behind the plaintext and is sealed with it, and the cipher takes one piece.
     */
    if (plain.data != body)
        memcpy(body, plain.data, plain.len);
    body[plain.len] = (uint8_t)type;
    aead_seal(f->key, nonce, bytes_of(out, TLS_HEADER_BYTES), bytes_of(body, inner), body);
    return TLS_HEADER_BYTES + len;
}

int tls_flow_open(struct tls_flow *f, const uint8_t header[TLS_HEADER_BYTES], uint8_t *body,
                  size_t len, uint8_t *ret_type, struct bytes *ret_content) {
    uint8_t nonce[AEAD_NONCE_BYTES];
    if (f->sequence == UINT64_MAX)
        return -ERR_LIMIT;
    take_nonce(f, nonce);
    int e = aead_open(f->key, nonce, bytes_of(header, TLS_HEADER_BYTES), bytes_of(body, len), body);
    if (e < 0)
        return e;
    size_t inner = len - AEAD_TAG_BYTES;
    if (inner > TLS_PLAIN_MAX + 1) /* padding counts */
        return -ERR_LIMIT;
    while (inner > 0 && body[inner - 1] == 0)
        inner--;
    if (inner == 0)
        return -ERR_MALFORMED;
    *ret_type = body[inner - 1];
    *ret_content = bytes_of(body, inner - 1);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "core/crypto/aead_key.h"

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/settings.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/crypto/aead.h"

_Static_assert((int)AEAD_NONCE_BYTES == CHACHA_NONCE_BYTES, "all suites have the same sizes");
_Static_assert((int)AEAD_TAG_BYTES == CHACHA_TAG_BYTES, "all suites have the same sizes");

struct aead_key {
    struct mem *mem;
    enum aead_cipher cipher;
    union {
        Aes aes;
        uint8_t chacha[CHACHA_KEY_BYTES];
    };
};

static word32 size32(size_t size) {
    assert(size <= UINT32_MAX);
    return (word32)size;
}

size_t aead_key_bytes(enum aead_cipher cipher) {
    return cipher == AEAD_AES_128_GCM ? 16 : 32;
}

int aead_key_new(struct mem *mem, enum aead_cipher cipher, const uint8_t *key,
                 struct aead_key **ret_key) {
    struct aead_key *k = mem_alloc(mem, sizeof(*k));
    if (k == NULL)
        return -ENOMEM;
    k->mem = mem;
    k->cipher = cipher;
    if (cipher != AEAD_CHACHA20_POLY1305) {
        int e = wc_AesInit(&k->aes, NULL, INVALID_DEVID);
        assert(e == 0);
    }
    aead_key_replace(k, key);
    *ret_key = k;
    return 0;
}

struct aead_key *aead_key_free(struct aead_key *k) {
    if (k == NULL)
        return NULL;
    if (k->cipher != AEAD_CHACHA20_POLY1305)
        wc_AesFree(&k->aes);
    struct mem *mem = k->mem;
    mem_wipe(k, sizeof(*k));
    return mem_free(mem, k);
}

void aead_key_replace(struct aead_key *k, const uint8_t *key) {
    if (k->cipher == AEAD_CHACHA20_POLY1305) {
        memcpy(k->chacha, key, sizeof(k->chacha));
        return;
    }
    int e = wc_AesGcmSetKey(&k->aes, key, size32(aead_key_bytes(k->cipher)));
    assert(e == 0);
}

void aead_seal(struct aead_key *k, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes associated,
               struct bytes plain, uint8_t *out) {
    if (k->cipher == AEAD_CHACHA20_POLY1305) {
        chacha_seal(k->chacha, nonce, associated, plain, out);
        return;
    }
    int e =
        wc_AesGcmEncrypt(&k->aes, out, plain.data, size32(plain.len), nonce, AEAD_NONCE_BYTES,
                         out + plain.len, AEAD_TAG_BYTES, associated.data, size32(associated.len));
    assert(e == 0);
}

int aead_open(struct aead_key *k, const uint8_t nonce[AEAD_NONCE_BYTES], struct bytes associated,
              struct bytes sealed, uint8_t *out) {
    if (k->cipher == AEAD_CHACHA20_POLY1305)
        return chacha_open(k->chacha, nonce, associated, sealed, out);
    if (sealed.len < AEAD_TAG_BYTES)
        return -ERR_CRYPTO;
    size_t len = sealed.len - AEAD_TAG_BYTES;
    int e = wc_AesGcmDecrypt(&k->aes, out, sealed.data, size32(len), nonce, AEAD_NONCE_BYTES,
                             sealed.data + len, AEAD_TAG_BYTES, associated.data,
                             size32(associated.len));
    return e == 0 ? 0 : -ERR_CRYPTO;
}

/* SPDX-License-Identifier: MIT */
#include "core/crypto/hash.h"

#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/settings.h>
#include <wolfssl/wolfcrypt/sha.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "core/base/mem.h"

_Static_assert(SHA256_BYTES == WC_SHA256_DIGEST_SIZE, "SHA-256");
_Static_assert(SHA1_BYTES == WC_SHA_DIGEST_SIZE, "SHA-1");

static word32 size32(size_t size) {
    assert(size <= UINT32_MAX);
    return (word32)size;
}

void sha256(struct bytes in, uint8_t ret_digest[SHA256_BYTES]) {
    sha256_joined(in, BYTES_EMPTY, ret_digest);
}

void sha256_joined(struct bytes first, struct bytes second, uint8_t ret_digest[SHA256_BYTES]) {
    wc_Sha256 state;
    int e = wc_InitSha256(&state);
    assert(e == 0);
    e = wc_Sha256Update(&state, first.data, size32(first.len));
    assert(e == 0);
    e = wc_Sha256Update(&state, second.data, size32(second.len));
    assert(e == 0);
    e = wc_Sha256Final(&state, ret_digest);
    assert(e == 0);
    wc_Sha256Free(&state);
}

void sha1(struct bytes in, uint8_t ret_digest[SHA1_BYTES]) {
    wc_Sha state;
    int e = wc_InitSha(&state);
    assert(e == 0);
    e = wc_ShaUpdate(&state, in.data, size32(in.len));
    assert(e == 0);
    e = wc_ShaFinal(&state, ret_digest);
    assert(e == 0);
    wc_ShaFree(&state);
}

void hmac_sha256(struct bytes key, struct bytes in, uint8_t ret_mac[SHA256_BYTES]) {
    Hmac state;
    int e = wc_HmacInit(&state, NULL, INVALID_DEVID);
    assert(e == 0);
    e = wc_HmacSetKey(&state, WC_SHA256, key.data, size32(key.len));
    assert(e == 0);
    e = wc_HmacUpdate(&state, in.data, size32(in.len));
    assert(e == 0);
    e = wc_HmacFinal(&state, ret_mac);
    assert(e == 0);
    wc_HmacFree(&state);
    mem_wipe(&state, sizeof(state));
}

void hkdf_sha256(struct bytes salt, struct bytes key, struct bytes info, void *out, size_t size) {
    assert(size <= HKDF_SHA256_BYTES_MAX);
    int e = wc_HKDF(WC_SHA256, key.data, size32(key.len), salt.data, size32(salt.len), info.data,
                    size32(info.len), out, (word32)size);
    assert(e == 0);
}

bool secret_equal(const void *a, const void *b, size_t n) {
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    unsigned difference = 0;
    for (size_t i = 0; i < n; i++)
        difference |= (unsigned)(x[i] ^ y[i]);
    return difference == 0;
}

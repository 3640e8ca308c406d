/* SPDX-License-Identifier: MIT */
#include "core/crypto/x25519.h"

#include <string.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/settings.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/crypto/hash.h"

_Static_assert((int)X25519_BYTES == CURVE25519_KEYSIZE, "X25519");

/* RFC 7748, section 5: the library refuses scalars that are not in this form. */
static void clamp(const uint8_t secret[X25519_BYTES], uint8_t ret_scalar[X25519_BYTES]) {
    memcpy(ret_scalar, secret, X25519_BYTES);
    ret_scalar[0] &= 0xf8;
    ret_scalar[X25519_BYTES - 1] = (ret_scalar[X25519_BYTES - 1] & 0x7f) | 0x40;
}

void x25519_public(const uint8_t secret[X25519_BYTES], uint8_t ret_point[X25519_BYTES]) {
    uint8_t scalar[X25519_BYTES];
    clamp(secret, scalar);
    int e = wc_curve25519_make_pub(X25519_BYTES, ret_point, X25519_BYTES, scalar);
    assert(e == 0); /* no memory is taken, and a clamped scalar has a good point */
    mem_wipe(scalar, sizeof(scalar));
}

int x25519_shared(const uint8_t secret[X25519_BYTES], const uint8_t point[X25519_BYTES],
                  uint8_t ret_shared[X25519_BYTES]) {
    static const uint8_t zero[X25519_BYTES];
    uint8_t scalar[X25519_BYTES];
    uint8_t masked[X25519_BYTES];
    uint8_t shared[X25519_BYTES];

    clamp(secret, scalar);
    memcpy(masked, point, sizeof(masked));
    masked[X25519_BYTES - 1] &= 0x7f;
    int e = wc_curve25519_generic(X25519_BYTES, shared, X25519_BYTES, scalar, X25519_BYTES, masked);
    assert(e == 0);
    bool is_zero = secret_equal(shared, zero, sizeof(zero));
    if (!is_zero)
        memcpy(ret_shared, shared, sizeof(shared));
    mem_wipe(scalar, sizeof(scalar));
    mem_wipe(shared, sizeof(shared));
    return is_zero ? -ERR_BAD_KEY : 0;
}

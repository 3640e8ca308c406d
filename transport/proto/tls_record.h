/* SPDX-License-Identifier: MIT */
#pragma once

/* TLS 1.3 records of one direction: their protection by a traffic secret, sealed and opened where
 * they lie.  What they say is the session's business (tls.c).
 *
 * Why they are not the library's: docs/adr/0008-tls-records.md.
 * Spec:   RFC 8446 sections 5, 7.2, 7.3. */

#include "core/base/bytes.h"
#include "core/crypto/aead_key.h"

struct mem;

enum {
    TLS_HEADER_BYTES = 5,
    TLS_PLAIN_MAX = 1 << 14,
    TLS_BODY_MAX = TLS_PLAIN_MAX + 256, /* of a protected record */
    TLS_OVERHEAD = TLS_HEADER_BYTES + 1 + AEAD_TAG_BYTES,
    TLS_SECRET_BYTES_MAX = 48,
    /* Before AES-GCM's 2^24.5 full records, RFC 8446 section 5.5. */
    TLS_RECORDS_PER_KEY_MAX = 1 << 24,
};

enum tls_content {
    TLS_CONTENT_CHANGE_CIPHER_SPEC = 20,
    TLS_CONTENT_ALERT = 21,
    TLS_CONTENT_HANDSHAKE = 22,
    TLS_CONTENT_DATA = 23,
};

struct tls_suite;

/* NULL: not one that we speak. */
const struct tls_suite *tls_suite_find(uint16_t id);
size_t tls_suite_secret_bytes(const struct tls_suite *s);

struct tls_flow {
    const struct tls_suite *suite;
    struct aead_key *key;
    uint64_t sequence;
    uint8_t iv[AEAD_NONCE_BYTES];
    uint8_t secret[TLS_SECRET_BYTES_MAX];
};

/* -ENOMEM: `f` is as after tls_flow_done() */
NODISCARD int tls_flow_init(struct tls_flow *f, struct mem *mem, const struct tls_suite *suite,
                            const uint8_t *secret);
/* Wipes it.  A zeroed one may be done too. */
void tls_flow_done(struct tls_flow *f);

/* The next generation of the secret, as after a KeyUpdate message. */
void tls_flow_update(struct tls_flow *f);

/* Writes a record of `plain`, at most TLS_PLAIN_MAX, to `out`, and returns its length, TLS_OVERHEAD
 * more.  The plaintext may lie at out + TLS_HEADER_BYTES and must not overlap otherwise. */
size_t tls_flow_seal(struct tls_flow *f, enum tls_content type, struct bytes plain, uint8_t *out);

/* Opens a body in place, and tells its inner type and content, padding removed.
 *   -ERR_CRYPTO     does not verify
 *   -ERR_MALFORMED  verifies, but has no type
 *   -ERR_LIMIT      verifies, but is too long; or the sequence numbers are used up */
NODISCARD int tls_flow_open(struct tls_flow *f, const uint8_t header[TLS_HEADER_BYTES],
                            uint8_t *body, size_t len, uint8_t *ret_type,
                            struct bytes *ret_content);

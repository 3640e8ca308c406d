/* SPDX-License-Identifier: MIT */
#pragma once

/* The one X.509 certificate of libp2p's TLS and QUIC handshakes: made for ourselves, judged for
 * the peer.
 *
 * Nothing of the public key infrastructure is used.  A certificate is a fresh key, signed by
 * itself, with one extension in which the long-lived host key signs that key: so the peer's ID is
 * proved.  tls_cert_verify() walks the DER by itself, since TLS libraries refuse critical
 * extensions that they don't know and don't check the signature of a self-signed certificate.
 *
 * Spec:    libp2p tls/tls.md.  Stricter than go-libp2p: the self-signature is checked, bytes after
 *          the extension's value are refused.
 * Memory:  none is allocated by the walk; one struct tls_cert is under 1 KiB.
 * Thread:  any; functions share nothing.
 */

#include "core/base/bytes.h"
#include "core/base/time.h"
#include "core/p2p/key.h"
#include "core/p2p/peer_id.h"

struct identity;
struct rng;

enum {
    /* An RSA-8192 host key, its signature and an RSA-4096 certificate key need about 4,400. */
    TLS_CERT_PEER_DER_MAX = 8192,
    /* Ours: P-256 key, Ed25519 host key.  The two DER integers of the signature vary in length. */
    TLS_CERT_OWN_DER_MAX = 512,
    /* SEC 1 ECPrivateKey with curve and public point: always of this size for P-256. */
    TLS_CERT_KEY_DER_BYTES = 121,
};

/* Our certificate and its private key, in the forms that TLS libraries read. */
struct tls_cert {
    uint8_t der[TLS_CERT_OWN_DER_MAX];
    size_t der_len;
    uint8_t key_der[TLS_CERT_KEY_DER_BYTES]; /* secret */
};

/* Makes a P-256 key and a certificate that proves `id`, valid from 1975 to 4096 so that no wrong
 * clock matters.  Done once per process: peers don't compare certificates.
 *   -ERR_CRYPTO  key generation or a signature failed: give up */
NODISCARD int tls_cert_make(const struct identity *id, struct rng *rng, struct tls_cert *ret_cert);

/* Wipes the private key.  Accepts NULL. */
void tls_cert_done(struct tls_cert *c);

/* What can be wrong with a peer's certificate, in the order of the checks: name, TLS alert to send
 * (RFC 8446 section 6.2), sentence for the log. */
#define TLS_CERT_FAULT_TABLE(FAULT)                                                           \
    FAULT(MALFORMED, 42, "the certificate is not well-formed DER")                            \
    FAULT(NO_EXTENSION, 42, "the certificate has no libp2p extension")                        \
    FAULT(DUPLICATE_EXTENSION, 42, "the certificate has the libp2p extension twice")          \
    FAULT(UNKNOWN_CRITICAL, 43, "the certificate has an unknown critical extension")          \
    FAULT(NOT_YET_VALID, 45, "the certificate is not valid yet")                              \
    FAULT(EXPIRED, 45, "the certificate has expired")                                         \
    FAULT(KEY_UNSUPPORTED, 43, "the certificate's key or signature algorithm is not handled") \
    FAULT(SELF_SIGNATURE, 42, "the certificate's own signature does not verify")              \
    FAULT(EXTENSION_MALFORMED, 42, "the libp2p extension's value is malformed")               \
    FAULT(HOST_KEY, 42, "the host key in the certificate is not valid")                       \
    FAULT(HOST_SIGNATURE, 42, "the host key did not sign the certificate's key")

enum tls_cert_fault {
#define TLS_CERT_FAULT_ENUM(name, alert, text) TLS_CERT_##name,
    TLS_CERT_FAULT_TABLE(TLS_CERT_FAULT_ENUM)
#undef TLS_CERT_FAULT_ENUM
        TLS_CERT_FAULT_COUNT
};

/* The number of the TLS alert that reports a fault to the peer. */
uint8_t tls_cert_fault_alert(enum tls_cert_fault f);

/* Static storage. */
const char *tls_cert_fault_text(enum tls_cert_fault f);

/* Who a good certificate proves. */
struct tls_peer {
    struct peer_id id;
    struct public_key key;
};

/* Judges the only certificate that a peer presented (that there is exactly one is the caller's
 * check).  Cheap checks come first, signatures last.  Handled certificate keys: P-256, P-384,
 * Ed25519, RSA of 2,048 to 8,192 bits with PKCS #1 v1.5; host keys: what core/p2p/key.h verifies.
 * Whether the ID is the expected one is for the caller to compare: it reports the actual one.
 *   -ERR_BAD_CERTIFICATE  end the handshake with tls_cert_fault_alert(*ret_fault).  ret_fault is
 *                         written only then, ret_peer only on success */
NODISCARD int tls_cert_verify(struct bytes der, walltime_t now, struct tls_peer *ret_peer,
                              enum tls_cert_fault *ret_fault);

/* SPDX-License-Identifier: MIT */
/* Settings of wolfSSL for peerup: TLS 1.3 over QUIC and the primitives of libp2p, nothing else.
 *
 * The library and everything that includes its headers must see the same settings, so this file
 * travels with the headers of a built wolfSSL.  Dates and randomness come from two functions of
 * ours, so that tests and the simulator rule both; core/crypto defines them.
 */
#pragma once

#ifndef __ASSEMBLER__
#include <time.h>

/* Fills out with size random bytes.  Returns 0, or non-zero when there are none. */
int peerup_wolf_random(unsigned char *out, unsigned int size);

/* Wall clock in seconds since 1970; stored to *t too when t is not NULL. */
time_t peerup_wolf_time(time_t *t);
#endif

/* Randomness and wall clock. */
#define CUSTOM_RAND_GENERATE_BLOCK peerup_wolf_random
#define WC_NO_HASHDRBG
#define XTIME(t) peerup_wolf_time(t)
#define HAVE_GMTIME_R

/* Protocol.  No session tickets and no session cache: a resumed session would skip the peer's
 * certificate, which is what proves its ID. */
#define WOLFSSL_TLS13
#define WOLFSSL_NO_TLS12
#define NO_OLD_TLS
#define WOLFSSL_QUIC
#define HAVE_TLS_EXTENSIONS
#define HAVE_SUPPORTED_CURVES
#define HAVE_EXTENDED_MASTER
#define HAVE_ENCRYPT_THEN_MAC
#define HAVE_SNI
#define HAVE_ALPN
#define HAVE_SECRET_CALLBACK
#define HAVE_KEYING_MATERIAL
#define HAVE_EX_DATA
#define OPENSSL_EXTRA
#define WOLFSSL_ALT_NAMES
#define NO_SESSION_CACHE
#define NO_SESSION_CACHE_REF
#define NO_PSK
#define NO_ERROR_QUEUE

/* Primitives. */
#define HAVE_AESGCM
#define GCM_TABLE_4BIT
#define WOLFSSL_AES_COUNTER
#define WOLFSSL_AES_DIRECT
#define HAVE_AES_ECB
#define HAVE_CHACHA
#define HAVE_POLY1305
#define HAVE_ECC
#define ECC_SHAMIR
#define ECC_TIMING_RESISTANT
#define ECC_USER_CURVES
#define HAVE_ECC384
#define HAVE_ECC521
#define HAVE_ECC_KOBLITZ /* secp256k1 */
#define HAVE_COMP_KEY    /* compressed points: libp2p's secp256k1 keys */
#define WOLFSSL_CUSTOM_CURVES
#define HAVE_CURVE25519
#define HAVE_ED25519
#define HAVE_HKDF
#define WOLFSSL_SHA224
#define WOLFSSL_SHA384
#define WOLFSSL_SHA512
#define WOLFSSL_SHA3
#define WC_RSA_PSS
#define WC_RSA_BLINDING
#define TFM_TIMING_RESISTANT
#define WOLFSSL_BASE64_ENCODE
#define NO_DES3
#define NO_DSA
#define NO_MD4
#define NO_MD5
#define NO_RC4
#define NO_DH

/* Certificates: made with libp2p's extension, read with it also where it is critical. */
#define WOLFSSL_ASN_TEMPLATE
#define WOLFSSL_CERT_GEN
#define WOLFSSL_CERT_EXT
#define WOLFSSL_KEY_GEN
#define HAVE_OID_ENCODING
#define HAVE_OID_DECODING
#define WOLFSSL_CUSTOM_OID
#define WC_ASN_UNKNOWN_EXT_CB

/* Arithmetic and the machine. */
#define WOLFSSL_SP_MATH_ALL
#define WOLFSSL_HAVE_SP_ECC
#define WOLFSSL_HAVE_SP_RSA
#define WOLFSSL_SP_4096
#define SP_INT_BITS 8192 /* RSA keys as large as go-libp2p takes; unset, 4,096 */
#define WOLFSSL_SP_LARGE_CODE
#define HAVE___UINT128_T 1
#define WOLFSSL_HAVE_ATOMIC_H
#define HAVE_THREAD_LS
#define HAVE_PTHREAD 1
#define WOLFSSL_USE_ALIGN

#if defined(__x86_64__)
#define WOLFSSL_X86_64_BUILD
#define WOLFSSL_AESNI
#define USE_INTEL_SPEEDUP
#define WOLFSSL_SP_ASM
#define WOLFSSL_SP_X86_64
#define WOLFSSL_SP_X86_64_ASM
#elif defined(__aarch64__)
#define WOLFSSL_AARCH64_BUILD
#define WOLFSSL_ARMASM
#define WOLFSSL_SP_ASM
#define WOLFSSL_SP_ARM64
#define WOLFSSL_SP_ARM64_ASM
#endif

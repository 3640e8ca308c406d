/* SPDX-License-Identifier: MIT */
#pragma once

/* Our TLS backend below ngtcp2's crypto helper: quic_crypto.c defines the functions that the helper
 * (crypto/shared.c of ngtcp2) leaves to a backend, over wolfSSL and wolfCrypt.
 *
 * Sealing and opening call the cipher with the key schedule that was made when the key was
 * installed.  Going through the EVP layer instead starts the cipher anew, allocates and copies for
 * each packet, which costs a quarter of the throughput of a connection.
 *
 * Spec: RFC 9001.  Thread: none of the functions shares state. */

#include "core/base/base.h"

struct WOLFSSL;

/* Makes a TLS session speak QUIC through an ngtcp2 connection: its application data must be
 * an ngtcp2_crypto_conn_ref.  -ERR_CRYPTO */
NODISCARD int quic_crypto_configure(struct WOLFSSL *ssl);

/* SPDX-License-Identifier: MIT */
#pragma once

/* One TLS 1.3 handshake inside QUIC, embedded in its connection: a context's session
 * (transport/proto/tls_context.h) with ngtcp2's glue and ALPN "libp2p".
 *
 * Spec:   libp2p quic.md. */

#include <ngtcp2/ngtcp2_crypto.h>

#include "transport/proto/tls_context.h"

struct quic_tls_session {
    struct WOLFSSL *ssl;
    ngtcp2_crypto_conn_ref ref;
    struct tls_judge judge;
};

/* Prepares one handshake.  `get_conn` finds the ngtcp2 connection of a ref that is embedded in the
 * session; `expected` is the peer that a dialler wants, NULL for a listener.  -ENOMEM, -ERR_CRYPTO
 */
NODISCARD int quic_tls_session_open(struct quic_tls_session *s, struct tls_context *t, bool server,
                                    const struct peer_id *expected, walltime_t now,
                                    ngtcp2_conn *(*get_conn)(ngtcp2_crypto_conn_ref *ref));
void quic_tls_session_close(struct quic_tls_session *s);

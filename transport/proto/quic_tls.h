/* SPDX-License-Identifier: MIT */
#pragma once

/* One TLS 1.3 handshake inside QUIC, embedded in its connection: a context's session
 * (transport/proto/tls_context.h) with ngtcp2's glue and ALPN "libp2p".
 *
 * The library's session is needed for the handshake alone, and a third of what an idle connection
 * would cost: close it then.  A server may go on to send tickets, which nobody here uses;
 * quic_tls_skip() reads past them.
 *
 * Spec:   libp2p quic.md; RFC 9001, 4 and 6; RFC 8446, 4.6. */

#include <ngtcp2/ngtcp2_crypto.h>

#include "transport/proto/tls_context.h"

struct quic_tls_session {
    struct WOLFSSL *ssl;
    ngtcp2_crypto_conn_ref ref;
    struct tls_judge judge;
    uint8_t head[4];  /* of the message that is read past */
    uint8_t head_len; /* bytes of it that are here */
    uint32_t skip;    /* bytes of its body to come */
};

/* Prepares one handshake.  `get_conn` finds the ngtcp2 connection of a ref that is embedded in the
 * session; `expected` is the peer that a dialler wants, NULL for a listener.  -ENOMEM, -ERR_CRYPTO
 */
NODISCARD int quic_tls_session_open(struct quic_tls_session *s, struct tls_context *t, bool server,
                                    const struct peer_id *expected, walltime_t now,
                                    ngtcp2_conn *(*get_conn)(ngtcp2_crypto_conn_ref *ref));
void quic_tls_session_close(struct quic_tls_session *s);

/* Takes what the peer's TLS says after the handshake.  -ERR_PROTOCOL_VIOLATION: something else than
 * a server's tickets, which is an unexpected message to TLS. */
NODISCARD int quic_tls_skip(struct quic_tls_session *s, bool from_server, struct bytes data);

/* SPDX-License-Identifier: MIT */
#pragma once

/* TLS 1.3 inside QUIC as libp2p wants it: both sides show one certificate with the libp2p
 * extension, ALPN "libp2p", no names, no tickets, no early data.
 *
 *   struct quic_tls          our certificate in two library contexts; one a host
 *   struct quic_tls_session  one handshake, embedded in its connection
 *
 * Spec:   libp2p tls.md, quic.md.  Thread: the reactor's; several hosts share nothing.
 */

#include <ngtcp2/ngtcp2_crypto.h>

#include "core/base/time.h"
#include "core/p2p/peer_id.h"
#include "transport/proto/tls_cert.h"

struct mem;
struct quic_tls;
struct WOLFSSL;

/* The certificate is copied into the contexts.  -ENOMEM, -ERR_CRYPTO */
NODISCARD int quic_tls_new(struct mem *mem, const struct tls_cert *cert, struct quic_tls **ret_tls);
/* Accepts NULL, returns NULL.  No session may be left. */
struct quic_tls *quic_tls_free(struct quic_tls *t);

struct quic_tls_session {
    struct WOLFSSL *ssl;
    ngtcp2_crypto_conn_ref ref;
    struct peer_id expected; /* none: anybody */
    walltime_t now;          /* at the start of the handshake */
    bool judged;             /* the peer's certificate was seen, and ... */
    int verdict;             /* 0, -ERR_BAD_CERTIFICATE or -ERR_PEER_ID_MISMATCH */
    enum tls_cert_fault fault;
    struct peer_id peer; /* whom the certificate proves; also after a mismatch */
};

/* Prepares one handshake.  `get_conn` finds the ngtcp2 connection of a ref that is embedded in the
 * session; `expected` is the peer that a dialler wants, NULL for a listener.  -ENOMEM, -ERR_CRYPTO
 */
NODISCARD int quic_tls_session_open(struct quic_tls_session *s, struct quic_tls *t, bool server,
                                    const struct peer_id *expected, walltime_t now,
                                    ngtcp2_conn *(*get_conn)(ngtcp2_crypto_conn_ref *ref));
void quic_tls_session_close(struct quic_tls_session *s);

/* The alert that tells the peer what was wrong with its certificate. */
uint8_t quic_tls_session_alert(const struct quic_tls_session *s);

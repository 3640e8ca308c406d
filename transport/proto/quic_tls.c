/* SPDX-License-Identifier: MIT */
#include "transport/proto/quic_tls.h"

#include <wolfssl/ssl.h>

#include "core/base/err.h"
#include "transport/proto/quic_crypto.h"

enum { QUIC_V1_TRANSPORT_PARAMS = 0x39 };

int quic_tls_session_open(struct quic_tls_session *s, struct tls_context *t, bool server,
                          const struct peer_id *expected, walltime_t now,
                          ngtcp2_conn *(*get_conn)(ngtcp2_crypto_conn_ref *ref)) {
    *s = (struct quic_tls_session){.ssl = NULL};
    tls_judge_init(&s->judge, expected, now);
    s->ref = (ngtcp2_crypto_conn_ref){.get_conn = get_conn, .user_data = s};
    int e = tls_context_open(t, server, "libp2p", &s->judge, &s->ssl);
    if (e < 0)
        return e;
    wolfSSL_set_quic_transport_version(s->ssl, QUIC_V1_TRANSPORT_PARAMS);
    if (quic_crypto_configure(s->ssl) < 0 ||
        wolfSSL_set_app_data(s->ssl, &s->ref) != WOLFSSL_SUCCESS) {
        quic_tls_session_close(s);
        return -ERR_CRYPTO;
    }
    return 0;
}

void quic_tls_session_close(struct quic_tls_session *s) {
    wolfSSL_free(s->ssl);
    s->ssl = NULL;
}

/* SPDX-License-Identifier: MIT */
#include "transport/proto/quic_tls.h"

#include <wolfssl/ssl.h>

#include "core/base/err.h"
#include "transport/proto/quic_crypto.h"

enum { QUIC_V1_TRANSPORT_PARAMS = 0x39, MESSAGE_NEW_SESSION_TICKET = 4 };

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

int quic_tls_skip(struct quic_tls_session *s, bool from_server, struct bytes data) {
    while (data.len > 0) {
        if (s->skip > 0) {
            size_t n = MIN(data.len, (size_t)s->skip);
            s->skip -= (uint32_t)n;
            data = bytes_skip(data, n);
            continue;
        }
        s->head[s->head_len++] = data.data[0];
        data = bytes_skip(data, 1);
        if (s->head[0] != MESSAGE_NEW_SESSION_TICKET || !from_server)
            return -ERR_PROTOCOL_VIOLATION;
        if (s->head_len < sizeof(s->head))
            continue;
        s->skip = (uint32_t)s->head[1] << 16 | (uint32_t)s->head[2] << 8 | s->head[3];
        s->head_len = 0;
    }
    return 0;
}

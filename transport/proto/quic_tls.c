/* SPDX-License-Identifier: MIT */
#include "transport/proto/quic_tls.h"

#include <wolfssl/ssl.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/proto/quic_crypto.h"

enum { TLS_ALERT_BAD_CERTIFICATE = 42, QUIC_V1_TRANSPORT_PARAMS = 0x39 };

/* AES-128-GCM costs a third of ChaCha20-Poly1305 where the CPU has AES. */
#define SUITES_WITH_AES \
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256"
#define ALPN "libp2p"

struct quic_tls {
    struct mem *mem;
    WOLFSSL_CTX *server;
    WOLFSSL_CTX *client;
};

/* wolfSSL asks about extensions that it does not know, and would end the handshake without an
 * alert. All pass: tls_cert_verify() judges them. */
static int on_unknown_extension(const word16 *oid, word32 oid_count, int critical,
                                const unsigned char *der, word32 der_len) {
    (void)oid;
    (void)oid_count;
    (void)critical;
    (void)der;
    (void)der_len;
    return 0;
}

static void judge(struct quic_tls_session *s, const WOLFSSL_X509_STORE_CTX *store) {
    s->judged = true;
    s->verdict = -ERR_BAD_CERTIFICATE;
    s->fault = TLS_CERT_MALFORMED;
    if (store->totalCerts != 1)
        return;
    struct tls_peer peer;
    int e = tls_cert_verify(bytes_of(store->certs[0].buffer, store->certs[0].length), s->now, &peer,
                            &s->fault);
    if (e < 0)
        return;
    s->peer = peer.id;
    bool wanted = peer_id_is_none(&s->expected) || peer_id_equal(&s->expected, &s->peer);
    s->verdict = wanted ? 0 : -ERR_PEER_ID_MISMATCH;
}

/* Called twice for a self-signed certificate, first with the complaint that its issuer is not known
 * and then without: both times the answer is our own verdict. */
static int on_verify(int preverify, WOLFSSL_X509_STORE_CTX *store) {
    (void)preverify;
    struct quic_tls_session *s = store->userCtx;
    if (!s->judged)
        judge(s, store);
    return s->verdict == 0;
}

static int context_new(WOLFSSL_METHOD *method, const struct tls_cert *cert, WOLFSSL_CTX **ret) {
    int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1};
    if (method == NULL)
        return -ENOMEM;
    WOLFSSL_CTX *c = wolfSSL_CTX_new(method);
    if (c == NULL)
        return -ENOMEM;
    wolfSSL_CTX_set_verify(c, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    bool ok = wolfSSL_CTX_use_certificate_buffer(c, cert->der, (long)cert->der_len,
                                                 WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS &&
              wolfSSL_CTX_use_PrivateKey_buffer(c, cert->key_der, sizeof(cert->key_der),
                                                WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS &&
              wolfSSL_CTX_set_cipher_list(c, SUITES_WITH_AES) == WOLFSSL_SUCCESS &&
              wolfSSL_CTX_set_groups(c, groups, ARRAY_COUNT(groups)) == WOLFSSL_SUCCESS &&
              quic_crypto_configure(c) == 0;
    wolfSSL_CertManagerSetUnknownExtCallback(wolfSSL_CTX_GetCertManager(c), on_unknown_extension);
    if (!ok) {
        wolfSSL_CTX_free(c);
        return -ERR_CRYPTO;
    }
    *ret = c;
    return 0;
}

struct quic_tls *quic_tls_free(struct quic_tls *t) {
    if (t == NULL)
        return NULL;
    wolfSSL_CTX_free(t->server);
    wolfSSL_CTX_free(t->client);
    return mem_free(t->mem, t);
}

DEFINE_SCOPED_FREE(struct quic_tls *, quic_tls_free);

int quic_tls_new(struct mem *mem, const struct tls_cert *cert, struct quic_tls **ret_tls) {
    SCOPED(quic_tls_freep) struct quic_tls *t = mem_alloc(mem, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->mem = mem;
    int e = context_new(wolfTLSv1_3_server_method(), cert, &t->server);
    if (e == 0)
        e = context_new(wolfTLSv1_3_client_method(), cert, &t->client);
    if (e < 0)
        return e;
    *ret_tls = TAKE(t);
    return 0;
}

int quic_tls_session_open(struct quic_tls_session *s, struct quic_tls *t, bool server,
                          const struct peer_id *expected, walltime_t now,
                          ngtcp2_conn *(*get_conn)(ngtcp2_crypto_conn_ref *ref)) {
    *s = (struct quic_tls_session){.now = now};
    if (expected != NULL)
        s->expected = *expected;
    s->ref = (ngtcp2_crypto_conn_ref){.get_conn = get_conn, .user_data = s};
    s->ssl = wolfSSL_new(server ? t->server : t->client);
    if (s->ssl == NULL)
        return -ENOMEM;
    wolfSSL_SetCertCbCtx(s->ssl, s);
    wolfSSL_set_quic_transport_version(s->ssl, QUIC_V1_TRANSPORT_PARAMS);
    if (server)
        wolfSSL_set_accept_state(s->ssl);
    else
        wolfSSL_set_connect_state(s->ssl);
    if (wolfSSL_set_app_data(s->ssl, &s->ref) != WOLFSSL_SUCCESS ||
        wolfSSL_UseALPN(s->ssl, (char[]){ALPN}, sizeof(ALPN) - 1,
                        WOLFSSL_ALPN_FAILED_ON_MISMATCH) != WOLFSSL_SUCCESS) {
        quic_tls_session_close(s);
        return -ERR_CRYPTO;
    }
    return 0;
}

void quic_tls_session_close(struct quic_tls_session *s) {
    wolfSSL_free(s->ssl);
    s->ssl = NULL;
}

uint8_t quic_tls_session_alert(const struct quic_tls_session *s) {
    if (s->verdict == -ERR_BAD_CERTIFICATE)
        return tls_cert_fault_alert(s->fault);
    return TLS_ALERT_BAD_CERTIFICATE;
}

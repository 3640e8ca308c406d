/* SPDX-License-Identifier: MIT */
#include "transport/proto/tls_context.h"

#include <wolfssl/ssl.h>

#include "core/base/err.h"
#include "core/base/mem.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* AES-128-GCM costs a third of ChaCha20-Poly1305 where the CPU has AES, and several times as much
 * where it has not. */
#define SUITES_WITH_AES \
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256"
#define SUITES_WITHOUT_AES \
    "TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384"

struct tls_context {
    struct mem *mem;
    WOLFSSL_CTX *server;
    WOLFSSL_CTX *client;
};

static bool cpu_has_aes(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & 1UL << 3) != 0; /* HWCAP_AES */
#else
    return false;
#endif
}

/* --- The peer's certificate --- */

void tls_judge_init(struct tls_judge *j, const struct peer_id *expected, walltime_t now) {
    *j = (struct tls_judge){.now = now};
    if (expected != NULL)
        j->expected = *expected;
}

uint8_t tls_judge_alert(const struct tls_judge *j) {
    if (j->verdict == -ERR_BAD_CERTIFICATE)
        return tls_cert_fault_alert(j->fault);
    return TLS_ALERT_BAD_CERTIFICATE;
}

int tls_judge_explain(const struct tls_judge *j, struct problem *ret_problem) {
    assert(j->verdict < 0);
    if (j->verdict == -ERR_PEER_ID_MISMATCH) {
        char actual[PEER_ID_TEXT_MAX];
        return problem_set(ret_problem, j->verdict,
                           "peer ID mismatch: the peer at this address is %s",
                           peer_id_format(&j->peer, actual));
    }
    return problem_set(ret_problem, j->verdict, "%s", tls_cert_fault_text(j->fault));
}

static void judge(struct tls_judge *j, const WOLFSSL_X509_STORE_CTX *store) {
    j->judged = true;
    j->verdict = -ERR_BAD_CERTIFICATE;
    j->fault = TLS_CERT_MALFORMED;
    if (store->totalCerts != 1)
        return;
    struct tls_peer peer;
    int e = tls_cert_verify(bytes_of(store->certs[0].buffer, store->certs[0].length), j->now, &peer,
                            &j->fault);
    if (e < 0)
        return;
    j->peer = peer.id;
    bool wanted = peer_id_is_none(&j->expected) || peer_id_equal(&j->expected, &j->peer);
    j->verdict = wanted ? 0 : -ERR_PEER_ID_MISMATCH;
}

/* Called twice for a self-signed certificate, first with the complaint that its issuer is not known
 * and then without: both times the answer is our own verdict. */
static int on_verify(int preverify, WOLFSSL_X509_STORE_CTX *store) {
    (void)preverify;
    struct tls_judge *j = store->userCtx;
    if (!j->judged)
        judge(j, store);
    return j->verdict == 0;
}

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

/* --- Contexts and sessions --- */

static int library_context_new(WOLFSSL_METHOD *method, const struct tls_cert *cert,
                               WOLFSSL_CTX **ret) {
    int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1};
    if (method == NULL)
        return -ENOMEM;
    WOLFSSL_CTX *c = wolfSSL_CTX_new(method);
    if (c == NULL)
        return -ENOMEM;
    wolfSSL_CTX_set_verify(c, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    const char *suites = cpu_has_aes() ? SUITES_WITH_AES : SUITES_WITHOUT_AES;
    bool ok = wolfSSL_CTX_use_certificate_buffer(c, cert->der, (long)cert->der_len,
                                                 WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS &&
              wolfSSL_CTX_use_PrivateKey_buffer(c, cert->key_der, sizeof(cert->key_der),
                                                WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS &&
              wolfSSL_CTX_set_cipher_list(c, suites) == WOLFSSL_SUCCESS &&
              wolfSSL_CTX_set_groups(c, groups, ARRAY_COUNT(groups)) == WOLFSSL_SUCCESS;
    wolfSSL_CertManagerSetUnknownExtCallback(wolfSSL_CTX_GetCertManager(c), on_unknown_extension);
    if (!ok) {
        wolfSSL_CTX_free(c);
        return -ERR_CRYPTO;
    }
    *ret = c;
    return 0;
}

struct tls_context *tls_context_free(struct tls_context *t) {
    if (t == NULL)
        return NULL;
    wolfSSL_CTX_free(t->server);
    wolfSSL_CTX_free(t->client);
    return mem_free(t->mem, t);
}

DEFINE_SCOPED_FREE(struct tls_context *, tls_context_free);

int tls_context_new(struct mem *mem, const struct tls_cert *cert,
                    struct tls_context **ret_context) {
    SCOPED(tls_context_freep) struct tls_context *t = mem_alloc(mem, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->mem = mem;
    int e = library_context_new(wolfTLSv1_3_server_method(), cert, &t->server);
    if (e == 0)
        e = library_context_new(wolfTLSv1_3_client_method(), cert, &t->client);
    if (e < 0)
        return e;
    *ret_context = TAKE(t);
    return 0;
}

int tls_context_open(struct tls_context *t, bool server, const char *alpn, struct tls_judge *j,
                     struct WOLFSSL **ret_ssl) {
    WOLFSSL *ssl = wolfSSL_new(server ? t->server : t->client);
    if (ssl == NULL)
        return -ENOMEM;
    wolfSSL_SetCertCbCtx(ssl, j);
    if (server)
        wolfSSL_set_accept_state(ssl);
    else
        wolfSSL_set_connect_state(ssl);
    if (wolfSSL_UseALPN(ssl, (char *)(uintptr_t)alpn, (unsigned)strlen(alpn),
                        WOLFSSL_ALPN_FAILED_ON_MISMATCH) != WOLFSSL_SUCCESS) {
        wolfSSL_free(ssl);
        return -ERR_CRYPTO;
    }
    *ret_ssl = ssl;
    return 0;
}

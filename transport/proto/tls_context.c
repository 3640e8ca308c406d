/* SPDX-License-Identifier: MIT */
#include "transport/proto/tls_context.h"

#include <wolfssl/ssl.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* AES-128-GCM costs a third of ChaCha20-Poly1305 where the CPU has AES, and several times as much
 * where it has not. */
#define SUITES_WITH_AES \
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256"
#define SUITES_WITHOUT_AES \
    "TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384"

/* Where distributions keep the roots: Debian's, Red Hat's, SUSE's, Alpine's place. */
static const char *const root_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

struct tls_context {
    struct mem *mem;
    WOLFSSL_CTX *server;
    WOLFSSL_CTX *client;
    WOLFSSL_CTX *web; /* a client without our certificate; NULL before it is needed */
};

static bool cpu_has_aes(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & (HWCAP_AES | HWCAP_PMULL)) == (HWCAP_AES | HWCAP_PMULL);
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

DEFINE_SCOPED_FREE(WOLFSSL_CTX *, wolfSSL_CTX_free);

/* Suites and groups; nothing of certificates. */
static int plain_context_new(WOLFSSL_METHOD *method, WOLFSSL_CTX **ret) {
    int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1};
    if (method == NULL)
        return -ENOMEM;
    SCOPED(wolfSSL_CTX_freep) WOLFSSL_CTX *c = wolfSSL_CTX_new(method);
    if (c == NULL)
        return -ENOMEM;
    const char *suites = cpu_has_aes() ? SUITES_WITH_AES : SUITES_WITHOUT_AES;
    if (wolfSSL_CTX_set_cipher_list(c, suites) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_set_groups(c, groups, ARRAY_COUNT(groups)) != WOLFSSL_SUCCESS)
        return -ERR_CRYPTO;
    *ret = TAKE(c);
    return 0;
}

static int peer_context_new(WOLFSSL_METHOD *method, const struct tls_cert *cert,
                            WOLFSSL_CTX **ret) {
    SCOPED(wolfSSL_CTX_freep) WOLFSSL_CTX *c = NULL;
    int e = plain_context_new(method, &c);
    if (e < 0)
        return e;
    wolfSSL_CTX_set_verify(c, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    wolfSSL_CertManagerSetUnknownExtCallback(wolfSSL_CTX_GetCertManager(c), on_unknown_extension);
    if (wolfSSL_CTX_use_certificate_buffer(c, cert->der, (long)cert->der_len,
                                           WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_PrivateKey_buffer(c, cert->key_der, sizeof(cert->key_der),
                                          WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS)
        return -ERR_CRYPTO;
    *ret = TAKE(c);
    return 0;
}

struct tls_context *tls_context_free(struct tls_context *t) {
    if (t == NULL)
        return NULL;
    wolfSSL_CTX_free(t->server);
    wolfSSL_CTX_free(t->client);
    wolfSSL_CTX_free(t->web);
    return mem_free(t->mem, t);
}

DEFINE_SCOPED_FREE(struct tls_context *, tls_context_free);

int tls_context_new(struct mem *mem, const struct tls_cert *cert,
                    struct tls_context **ret_context) {
    SCOPED(tls_context_freep) struct tls_context *t = mem_alloc(mem, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->mem = mem;
    int e = peer_context_new(wolfTLSv1_3_server_method(), cert, &t->server);
    if (e == 0)
        e = peer_context_new(wolfTLSv1_3_client_method(), cert, &t->client);
    if (e < 0)
        return e;
    *ret_context = TAKE(t);
    return 0;
}

DEFINE_SCOPED_FREE(WOLFSSL *, wolfSSL_free);

static bool use_alpn(WOLFSSL *ssl, const char *names) {
    return wolfSSL_UseALPN(ssl, (char *)(uintptr_t)names, (unsigned)strlen(names),
                           WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS;
}

int tls_context_open(struct tls_context *t, bool server, const char *alpn, struct tls_judge *j,
                     struct WOLFSSL **ret_ssl) {
    SCOPED(wolfSSL_freep) WOLFSSL *ssl = wolfSSL_new(server ? t->server : t->client);
    if (ssl == NULL)
        return -ENOMEM;
    wolfSSL_SetCertCbCtx(ssl, j);
    if (server)
        wolfSSL_set_accept_state(ssl);
    else
        wolfSSL_set_connect_state(ssl);
    if (!use_alpn(ssl, alpn))
        return -ERR_CRYPTO;
    *ret_ssl = TAKE(ssl);
    return 0;
}

/* --- Web servers --- */

int tls_context_trust(struct tls_context *t, const char *file) {
    SCOPED(wolfSSL_CTX_freep) WOLFSSL_CTX *c = NULL;
    int e = plain_context_new(wolfTLSv1_3_client_method(), &c);
    if (e < 0)
        return e;
    /* A root that the library cannot read, or that has expired, is one root less. */
    if (wolfSSL_CTX_load_verify_locations_ex(
            c, file, NULL, WOLFSSL_LOAD_FLAG_IGNORE_ERR | WOLFSSL_LOAD_FLAG_DATE_ERR_OKAY) !=
        WOLFSSL_SUCCESS)
        return -ENOENT;
    wolfSSL_CTX_set_verify(c, WOLFSSL_VERIFY_PEER, NULL);
    wolfSSL_CTX_free(t->web);
    t->web = TAKE(c);
    return 0;
}

static int trust_system(struct tls_context *t) {
    int e = -ENOENT;
    for (size_t i = 0; i < ARRAY_COUNT(root_files) && e == -ENOENT; i++)
        e = tls_context_trust(t, root_files[i]);
    return e;
}

static bool is_address(const char *host) {
    struct net_addr address;
    return net_addr_parse_ip(host, &address) == 0;
}

static bool want_host(WOLFSSL *ssl, const char *host) {
    return wolfSSL_check_domain_name(ssl, host) == WOLFSSL_SUCCESS &&
           wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, host, (word16)strlen(host)) ==
               WOLFSSL_SUCCESS;
}

int tls_context_open_web(struct tls_context *t, const char *host, struct WOLFSSL **ret_ssl) {
    /* The library as it is built reads no addresses in certificates. */
    if (is_address(host))
        return -ERR_UNSUPPORTED;
    int e = t->web == NULL ? trust_system(t) : 0;
    if (e < 0)
        return e;
    SCOPED(wolfSSL_freep) WOLFSSL *ssl = wolfSSL_new(t->web);
    if (ssl == NULL)
        return -ENOMEM;
    wolfSSL_set_connect_state(ssl);
    if (!use_alpn(ssl, "http/1.1") || !want_host(ssl, host))
        return -ERR_CRYPTO;
    *ret_ssl = TAKE(ssl);
    return 0;
}

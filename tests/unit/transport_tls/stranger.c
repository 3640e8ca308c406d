/* SPDX-License-Identifier: MIT */
#include "stranger.h"

#include <stdlib.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/coding.h>

#include "core/base/mem.h"

static int on_read(WOLFSSL *ssl, char *out, int size, void *user) {
    struct stranger *s = user;
    (void)ssl;
    size_t n = MIN((size_t)size, s->in_len);
    if (n == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(out, s->in, n);
    memmove(s->in, s->in + n, s->in_len - n);
    s->in_len -= n;
    return (int)n;
}

static int on_write(WOLFSSL *ssl, char *data, int size, void *user) {
    struct stranger *s = user;
    (void)ssl;
    assert(s->out_len + (size_t)size <= STRANGER_ROOM);
    memcpy(s->out + s->out_len, data, (size_t)size);
    s->out_len += (size_t)size;
    return size;
}

static int on_secret(WOLFSSL *ssl, int id, const unsigned char *secret, int size, void *user) {
    struct stranger *s = user;
    (void)ssl;
    if (id == CLIENT_TRAFFIC_SECRET || id == SERVER_TRAFFIC_SECRET)
        memcpy(s->secrets[id == SERVER_TRAFFIC_SECRET], secret, (size_t)size);
    return 0;
}

static int accept_anything(int preverify, WOLFSSL_X509_STORE_CTX *store) {
    (void)preverify;
    (void)store;
    return 1;
}

static int accept_extension(const word16 *oid, word32 oid_count, int critical,
                            const unsigned char *der, word32 der_len) {
    (void)oid;
    (void)oid_count;
    (void)critical;
    (void)der;
    (void)der_len;
    return 0;
}

static void use_chain(WOLFSSL_CTX *c, const struct stranger_config *cfg) {
    static const char begin[] = "-----BEGIN CERTIFICATE-----\n";
    static const char end[] = "-----END CERTIFICATE-----\n";
    uint8_t pem[2 * STRANGER_CHAIN_BYTES_MAX];
    size_t len = 0;
    for (size_t i = 0; i < cfg->chain_count; i++) {
        word32 room = (word32)(sizeof(pem) - len - sizeof(begin) - sizeof(end));
        memcpy(pem + len, begin, sizeof(begin) - 1);
        len += sizeof(begin) - 1;
        assert(Base64_Encode(cfg->chain[i].data, (word32)cfg->chain[i].len, pem + len, &room) == 0);
        len += room;
        memcpy(pem + len, end, sizeof(end) - 1);
        len += sizeof(end) - 1;
    }
    int e = wolfSSL_CTX_use_certificate_chain_buffer(c, pem, (long)len);
    assert(e == WOLFSSL_SUCCESS);
}

void stranger_init(struct stranger *s, const struct stranger_config *cfg) {
    *s = (struct stranger){.server = cfg->server, .alert = -1};
    s->in = malloc(STRANGER_ROOM);
    s->out = malloc(STRANGER_ROOM);
    assert(s->in != NULL);
    assert(s->out != NULL);
    WOLFSSL_CTX *c = s->context =
        wolfSSL_CTX_new(cfg->server ? wolfTLSv1_3_server_method() : wolfTLSv1_3_client_method());
    assert(c != NULL);
    wolfSSL_CTX_set_verify(c, cfg->wants_no_cert ? WOLFSSL_VERIFY_NONE : WOLFSSL_VERIFY_PEER,
                           accept_anything);
    wolfSSL_CertManagerSetUnknownExtCallback(wolfSSL_CTX_GetCertManager(c), accept_extension);
    if (cfg->chain_count > 0) {
        use_chain(c, cfg);
        int e = wolfSSL_CTX_use_PrivateKey_buffer(c, cfg->key.data, (long)cfg->key.len,
                                                  WOLFSSL_FILETYPE_ASN1);
        assert(e == WOLFSSL_SUCCESS);
    }
    if (cfg->suites != NULL)
        assert(wolfSSL_CTX_set_cipher_list(c, cfg->suites) == WOLFSSL_SUCCESS);
    s->ssl = wolfSSL_new(c);
    assert(s->ssl != NULL);
    if (cfg->alpn != NULL)
        assert(wolfSSL_UseALPN(s->ssl, (char *)(uintptr_t)cfg->alpn, (unsigned)strlen(cfg->alpn),
                               WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS);
    wolfSSL_SSLSetIORecv(s->ssl, on_read);
    wolfSSL_SSLSetIOSend(s->ssl, on_write);
    wolfSSL_SetIOReadCtx(s->ssl, s);
    wolfSSL_SetIOWriteCtx(s->ssl, s);
    (void)wolfSSL_set_tls13_secret_cb(s->ssl, on_secret, s);
    stranger_receive(s, BYTES_EMPTY);
}

void stranger_done(struct stranger *s) {
    tls_flow_done(&s->tx);
    tls_flow_done(&s->rx);
    wolfSSL_free(s->ssl);
    wolfSSL_CTX_free(s->context);
    free(s->in);
    free(s->out);
}

static void note_result(struct stranger *s, int result) {
    WOLFSSL_ALERT_HISTORY alerts;
    int e = wolfSSL_get_error(s->ssl, result);
    s->error = e == WOLFSSL_ERROR_WANT_READ ? 0 : e;
    (void)wolfSSL_get_alert_history(s->ssl, &alerts);
    s->alert = alerts.last_rx.code;
}

static void become_done(struct stranger *s) {
    const struct tls_suite *suite =
        tls_suite_find((uint16_t)wolfSSL_get_current_cipher_suite(s->ssl));
    s->is_done = true;
    assert(tls_flow_init(&s->tx, mem_system(), suite, s->secrets[s->server]) == 0);
    assert(tls_flow_init(&s->rx, mem_system(), suite, s->secrets[!s->server]) == 0);
}

void stranger_receive(struct stranger *s, struct bytes in) {
    assert(s->in_len + in.len <= STRANGER_ROOM);
    if (in.len > 0)
        memcpy(s->in + s->in_len, in.data, in.len);
    s->in_len += in.len;
    if (s->is_done || s->error != 0)
        return;
    int result = s->server ? wolfSSL_accept(s->ssl) : wolfSSL_connect(s->ssl);
    if (result == WOLFSSL_SUCCESS)
        become_done(s);
    else
        note_result(s, result);
}

size_t stranger_pull(struct stranger *s, uint8_t *out, size_t size) {
    size_t n = MIN(size, s->out_len);
    memcpy(out, s->out, n);
    memmove(s->out, s->out + n, s->out_len - n);
    s->out_len -= n;
    return n;
}

void stranger_write(struct stranger *s, struct bytes plain) {
    int n = wolfSSL_write(s->ssl, plain.data, (int)plain.len);
    assert(n == (int)plain.len);
}

size_t stranger_read(struct stranger *s, uint8_t *out, size_t size) {
    size_t len = 0;
    for (;;) {
        int n = wolfSSL_read(s->ssl, out + len, (int)(size - len));
        if (n <= 0) {
            note_result(s, n);
            return len;
        }
        len += (size_t)n;
    }
}

void stranger_update_keys(struct stranger *s) {
    int e = wolfSSL_update_keys(s->ssl);
    assert(e == WOLFSSL_SUCCESS);
}

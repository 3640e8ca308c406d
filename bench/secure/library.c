/* SPDX-License-Identifier: MIT */
#include "bench/secure/library.h"

#include <stdlib.h>
#include <wolfssl/ssl.h>

#include "transport/proto/tls_context.h"

enum { PIPE_BYTES = 1 << 20 };

struct pipe {
    uint8_t *data;
    size_t len;
    size_t at;
};

struct library_end {
    WOLFSSL *ssl;
    struct tls_judge judge;
    struct pipe *in;
    struct pipe *out;
};

struct library {
    struct library_end client;
    struct library_end server;
    struct pipe up;
    struct pipe down;
};

static int pipe_read(WOLFSSL *ssl, char *out, int size, void *user) {
    struct pipe *p = ((struct library_end *)user)->in;
    (void)ssl;
    size_t n = MIN((size_t)size, p->len - p->at);
    if (n == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(out, p->data + p->at, n);
    p->at += n;
    if (p->at == p->len)
        p->at = p->len = 0;
    return (int)n;
}

static int pipe_write(WOLFSSL *ssl, char *data, int size, void *user) {
    struct pipe *p = ((struct library_end *)user)->out;
    (void)ssl;
    if (p->len + (size_t)size > PIPE_BYTES)
        return WOLFSSL_CBIO_ERR_GENERAL;
    memcpy(p->data + p->len, data, (size_t)size);
    p->len += (size_t)size;
    return size;
}

static bool end_open(struct tls_context *context, struct library_end *e, bool server,
                     const char *suite) {
    tls_judge_init(&e->judge, NULL, LIBRARY_WALL);
    if (tls_context_open(context, server, "libp2p", &e->judge, &e->ssl) < 0)
        return false;
    wolfSSL_SSLSetIORecv(e->ssl, pipe_read);
    wolfSSL_SSLSetIOSend(e->ssl, pipe_write);
    wolfSSL_SetIOReadCtx(e->ssl, e);
    wolfSSL_SetIOWriteCtx(e->ssl, e);
    return wolfSSL_set_cipher_list(e->ssl, suite) == WOLFSSL_SUCCESS;
}

struct library *library_new(struct tls_context *context, const char *suite) {
    struct library *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return NULL;
    l->up.data = malloc(PIPE_BYTES);
    l->down.data = malloc(PIPE_BYTES);
    l->client.out = l->server.in = &l->up;
    l->client.in = l->server.out = &l->down;
    if (l->up.data == NULL || l->down.data == NULL ||
        !end_open(context, &l->client, false, suite) || !end_open(context, &l->server, true, suite))
        return NULL;
    /* A hello, its answer, and the client's proof. */
    for (int i = 0; i < 3; i++) {
        (void)wolfSSL_connect(l->client.ssl);
        (void)wolfSSL_accept(l->server.ssl);
    }
    return wolfSSL_is_init_finished(l->server.ssl) ? l : NULL;
}

bool library_write(struct library *l, struct bytes plain) {
    return wolfSSL_write(l->client.ssl, plain.data, (int)plain.len) == (int)plain.len;
}

bool library_read(struct library *l, void *out, size_t size) {
    return wolfSSL_read(l->server.ssl, out, (int)size) == (int)size;
}

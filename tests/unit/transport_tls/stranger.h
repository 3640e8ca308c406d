/* SPDX-License-Identifier: MIT */
#pragma once

/* The other end of a handshake, which does what our own channel never would: wolfSSL with any
 * certificates, any ALPN, and records made by hand with its traffic secrets. */

#include "core/base/bytes.h"
#include "transport/proto/tls_cert.h"
#include "transport/proto/tls_record.h"

struct WOLFSSL;
struct WOLFSSL_CTX;

enum { STRANGER_ROOM = 1 << 18, STRANGER_CHAIN_MAX = 2, STRANGER_CHAIN_BYTES_MAX = 8 << 10 };

struct stranger_config {
    bool server;
    const char *alpn;                       /* with commas; NULL: none */
    struct bytes chain[STRANGER_CHAIN_MAX]; /* DER, its own first; none: shows no certificate */
    size_t chain_count;
    struct bytes key;   /* DER; need not belong to the certificate */
    bool wants_no_cert; /* a server that does not ask for the client's */
    const char *suites; /* NULL: the library's */
};

struct stranger {
    struct WOLFSSL_CTX *context;
    struct WOLFSSL *ssl;
    bool server;
    uint8_t *in;
    size_t in_len;
    uint8_t *out;
    size_t out_len;
    bool is_done;       /* its handshake */
    int error;          /* of the library */
    int alert;          /* that it got; -1 for none */
    struct tls_flow tx; /* by hand, from is_done on */
    struct tls_flow rx;
    uint8_t secrets[2][TLS_SECRET_BYTES_MAX]; /* the client's and the server's */
};

void stranger_init(struct stranger *s, const struct stranger_config *cfg);
void stranger_done(struct stranger *s);
/* Bytes came, of the handshake or of the library's records. */
void stranger_receive(struct stranger *s, struct bytes in);
/* Takes what it has to say. */
size_t stranger_pull(struct stranger *s, uint8_t *out, size_t size);

/* The library's records, after the handshake. */
void stranger_write(struct stranger *s, struct bytes plain);
size_t stranger_read(struct stranger *s, uint8_t *out, size_t size);
void stranger_update_keys(struct stranger *s);

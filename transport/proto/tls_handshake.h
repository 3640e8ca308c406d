/* SPDX-License-Identifier: MIT */
#pragma once

/* One TLS 1.3 handshake on a link: wolfSSL between two pieces of memory, until both sides' traffic
 * secrets are there.  Exists only that long, so that an open channel costs its keys.
 *
 * wolfSSL is fed one record at a time: what follows the last of the handshake is not touched.
 * Alerts: wolfSSL makes its own.  Where it would say something less exact than we know about a
 * certificate, or nothing, the alert is ours, sealed with what the peer expects at that point. */

#include "core/base/bytes.h"
#include "core/base/problem.h"
#include "transport/proto/tls_context.h"
#include "transport/proto/tls_record.h"

struct mem;
struct WOLFSSL;

enum {
    /* Of all records of a peer's handshake together: the largest certificates, twice. */
    TLS_HANDSHAKE_IN_MAX = 64 << 10,
    TLS_HANDSHAKE_OUT_MAX = 16 << 10,
};

/* What waits to be sent. */
struct tls_out {
    struct mem *mem;
    uint8_t *data;
    size_t size; /* of the memory at data */
    size_t len;  /* written */
    size_t at;   /* of those, taken */
};

/* Room for `size` more bytes, to be counted in `len` when they are written; NULL: no memory, or too
 * much waits already (TLS_HANDSHAKE_OUT_MAX). */
uint8_t *tls_out_room(struct tls_out *o, size_t size);
size_t tls_out_pull(struct tls_out *o, void *out, size_t size);
void tls_out_done(struct tls_out *o);

/* The sentence about a peer's alert that ended a handshake; returns its error code. */
int tls_alert_explain(uint8_t alert, struct problem *ret_problem);

enum tls_handshake_state { TLS_HANDSHAKE_RUNS, TLS_HANDSHAKE_DONE, TLS_HANDSHAKE_FAILED };

struct tls_secrets {
    const struct tls_suite *suite;
    uint8_t client[TLS_SECRET_BYTES_MAX];
    uint8_t server[TLS_SECRET_BYTES_MAX];
};

/* Readable by the session. */
struct tls_handshake {
    struct mem *mem;
    struct WOLFSSL *ssl;
    struct tls_out *out; /* the session's */
    enum tls_handshake_state state;
    int error;
    struct problem problem;
    struct tls_judge judge;
    bool client;
    bool out_of_memory;

    /* The record that is being read. */
    uint8_t header[TLS_HEADER_BYTES];
    size_t header_len;
    size_t body_left;
    struct bytes feed; /* what wolfSSL may take now */
    size_t taken;      /* of all records */

    bool has_handshake_secrets;
    bool has_traffic_secrets;
    uint8_t client_handshake[TLS_SECRET_BYTES_MAX];
    struct tls_secrets secrets;
};

/* Takes over `ssl`, also when it fails; `judge` is where the library asks (tls_context_open).  A
 * client's first message is written.  -ENOMEM, -ERR_CRYPTO */
NODISCARD int tls_handshake_start(struct tls_handshake *h, struct mem *mem, struct WOLFSSL *ssl,
                                  struct tls_out *out, bool client);
/* Wipes the secrets. */
void tls_handshake_done(struct tls_handshake *h);

/* Takes bytes and returns how many: all, unless the state changed. */
size_t tls_handshake_recv(struct tls_handshake *h, struct bytes in);

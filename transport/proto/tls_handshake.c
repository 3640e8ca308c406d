/* SPDX-License-Identifier: MIT */
#include "transport/proto/tls_handshake.h"

#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

#include "core/base/err.h"
#include "core/base/mem.h"

enum { ALERT_FATAL = 2, ALERT_BYTES = 2, TLS_ALERT_NONE = 256 };

/* --- What waits to be sent --- */

uint8_t *tls_out_room(struct tls_out *o, size_t size) {
    if (o->len + size > TLS_HANDSHAKE_OUT_MAX)
        return NULL;
    if (o->len + size > o->size) {
        size_t wanted = MAX(o->len + size, (size_t)256);
        uint8_t *data = mem_resize(o->mem, o->data, wanted);
        if (data == NULL)
            return NULL;
        o->data = data;
        o->size = wanted;
    }
    return o->data + o->len;
}

size_t tls_out_pull(struct tls_out *o, void *out, size_t size) {
    size_t n = MIN(size, o->len - o->at);
    if (n == 0)
        return 0;
    memcpy(out, o->data + o->at, n);
    o->at += n;
    if (o->at == o->len)
        tls_out_done(o);
    return n;
}

void tls_out_done(struct tls_out *o) {
    *o = (struct tls_out){.mem = o->mem, .data = mem_free(o->mem, o->data)};
}

/* --- Alerts --- */

int tls_alert_explain(uint8_t alert, struct problem *ret_problem) {
    if (alert == TLS_ALERT_ACCESS_DENIED)
        return problem_set(ret_problem, -ERR_GATED,
                           "the peer refused us: our ID is not in its authorized_keys");
    if (alert == TLS_ALERT_CLOSE_NOTIFY)
        return problem_set(ret_problem, -ERR_HANDSHAKE, "the peer closed during the handshake");
    return problem_set(ret_problem, -ERR_HANDSHAKE,
                       "the peer refused our handshake (TLS alert %u, %s)", alert,
                       wolfSSL_alert_desc_string_long(alert));
}

static void send_plain_alert(struct tls_handshake *h, const uint8_t alert[ALERT_BYTES]) {
    const uint8_t header[TLS_HEADER_BYTES] = {TLS_CONTENT_ALERT, 3, 3, 0, ALERT_BYTES};
    uint8_t *room = tls_out_room(h->out, sizeof(header) + ALERT_BYTES);
    if (room == NULL)
        return;
    memcpy(room, header, sizeof(header));
    memcpy(room + sizeof(header), alert, ALERT_BYTES);
    h->out->len += sizeof(header) + ALERT_BYTES;
}

/* In answer to what a peer sent, the server has changed to the traffic secret and the client to its
 * handshake secret, and neither has sealed anything with it. */
static void send_alert(struct tls_handshake *h, unsigned code) {
    const uint8_t alert[ALERT_BYTES] = {ALERT_FATAL, (uint8_t)code};
    struct tls_flow flow;
    if (!h->has_handshake_secrets) {
        send_plain_alert(h, alert);
        return;
    }
    if (h->client == h->has_traffic_secrets || h->secrets.suite == NULL)
        return;
    const uint8_t *secret = h->client ? h->client_handshake : h->secrets.server;
    uint8_t *room = tls_out_room(h->out, TLS_OVERHEAD + ALERT_BYTES);
    if (room == NULL || tls_flow_init(&flow, h->mem, h->secrets.suite, secret) < 0)
        return;
    h->out->len += tls_flow_seal(&flow, TLS_CONTENT_ALERT, BYTES_OF(alert), room);
    tls_flow_done(&flow);
}

/* `alert` TLS_ALERT_NONE: the library has sent one. */
static void fail(struct tls_handshake *h, int error, unsigned alert) {
    h->error = error;
    h->state = TLS_HANDSHAKE_FAILED;
    if (alert != TLS_ALERT_NONE)
        send_alert(h, alert);
}

static void explain_failure(struct tls_handshake *h, int library_error) {
    WOLFSSL_ALERT_HISTORY alerts;
    (void)wolfSSL_get_alert_history(h->ssl, &alerts);
    bool said_why = alerts.last_tx.level == ALERT_FATAL;
    if (h->out_of_memory || library_error == MEMORY_E || library_error == MEMORY_ERROR) {
        fail(h, problem_set(&h->problem, -ENOMEM, "no memory for the TLS handshake"),
             said_why ? TLS_ALERT_NONE : TLS_ALERT_INTERNAL_ERROR);
    } else if (h->judge.verdict < 0) {
        fail(h, tls_judge_explain(&h->judge, &h->problem), tls_judge_alert(&h->judge));
    } else if (alerts.last_rx.code >= 0) {
        fail(h, tls_alert_explain((uint8_t)alerts.last_rx.code, &h->problem), TLS_ALERT_NONE);
    } else {
        /* In the end what we said tells best what was wrong. */
        bool certificate = library_error == NO_PEER_CERT ||
                           (said_why && alerts.last_tx.code >= TLS_ALERT_BAD_CERTIFICATE &&
                            alerts.last_tx.code <= TLS_ALERT_UNKNOWN_CA &&
                            alerts.last_tx.code != TLS_ALERT_ILLEGAL_PARAMETER);
        int e = certificate ? -ERR_BAD_CERTIFICATE : -ERR_HANDSHAKE;
        fail(h,
             problem_set(&h->problem, e, "the TLS handshake failed: %s",
                         wolfSSL_ERR_reason_error_string((unsigned long)library_error)),
             said_why ? TLS_ALERT_NONE : TLS_ALERT_HANDSHAKE_FAILURE);
    }
}

/* --- What the library calls --- */

static int on_read(WOLFSSL *ssl, char *out, int size, void *user) {
    struct tls_handshake *h = user;
    (void)ssl;
    size_t n = MIN((size_t)size, h->feed.len);
    if (n == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(out, h->feed.data, n);
    h->feed = bytes_skip(h->feed, n);
    return (int)n;
}

static int on_write(WOLFSSL *ssl, char *data, int size, void *user) {
    struct tls_handshake *h = user;
    (void)ssl;
    if (h->judge.verdict < 0) /* its alert; ours says more */
        return size;
    uint8_t *room = tls_out_room(h->out, (size_t)size);
    if (room == NULL) {
        h->out_of_memory = true;
        return WOLFSSL_CBIO_ERR_GENERAL;
    }
    memcpy(room, data, (size_t)size);
    h->out->len += (size_t)size;
    return size;
}

static int on_secret(WOLFSSL *ssl, int id, const unsigned char *secret, int size, void *user) {
    struct tls_handshake *h = user;
    if (h->secrets.suite == NULL)
        h->secrets.suite = tls_suite_find((uint16_t)wolfSSL_get_current_cipher_suite(ssl));
    if (h->secrets.suite == NULL || (size_t)size != tls_suite_secret_bytes(h->secrets.suite))
        return -1;
    switch (id) {
    case CLIENT_HANDSHAKE_TRAFFIC_SECRET:
        memcpy(h->client_handshake, secret, (size_t)size);
        h->has_handshake_secrets = true;
        break;
    case CLIENT_TRAFFIC_SECRET:
        memcpy(h->secrets.client, secret, (size_t)size);
        break;
    case SERVER_TRAFFIC_SECRET:
        memcpy(h->secrets.server, secret, (size_t)size);
        h->has_traffic_secrets = true;
        break;
    default:
        break;
    }
    return 0;
}

/* --- Steps --- */

static void step(struct tls_handshake *h) {
    int result = h->client ? wolfSSL_connect(h->ssl) : wolfSSL_accept(h->ssl);
    if (result == WOLFSSL_SUCCESS) {
        assert(h->has_traffic_secrets);
        h->state = TLS_HANDSHAKE_DONE;
        return;
    }
    int e = wolfSSL_get_error(h->ssl, result);
    if (e != WOLFSSL_ERROR_WANT_READ && e != WOLFSSL_ERROR_WANT_WRITE)
        explain_failure(h, e);
}

int tls_handshake_start(struct tls_handshake *h, struct mem *mem, struct WOLFSSL *ssl,
                        struct tls_out *out, bool client) {
    h->mem = mem;
    h->ssl = ssl;
    h->out = out;
    h->client = client;
    wolfSSL_SSLSetIORecv(ssl, on_read);
    wolfSSL_SSLSetIOSend(ssl, on_write);
    wolfSSL_SetIOReadCtx(ssl, h);
    wolfSSL_SetIOWriteCtx(ssl, h);
    (void)wolfSSL_set_tls13_secret_cb(ssl, on_secret, h);
    if (client)
        step(h);
    if (h->state != TLS_HANDSHAKE_FAILED)
        return 0;
    tls_handshake_done(h);
    return h->error == -ENOMEM ? -ENOMEM : -ERR_CRYPTO;
}

void tls_handshake_done(struct tls_handshake *h) {
    wolfSSL_free(h->ssl);
    h->ssl = NULL;
    mem_wipe(&h->secrets, sizeof(h->secrets));
    mem_wipe(h->client_handshake, sizeof(h->client_handshake));
}

/* A whole header was read: is this a record that a handshake may have? */
static void begin_body(struct tls_handshake *h) {
    h->body_left = (size_t)h->header[3] << 8 | h->header[4];
    if (h->header[0] < TLS_CONTENT_CHANGE_CIPHER_SPEC || h->header[0] > TLS_CONTENT_DATA ||
        h->header[1] != 3)
        fail(h, problem_set(&h->problem, -ERR_HANDSHAKE, "what the peer sends is not TLS"),
             TLS_ALERT_UNEXPECTED_MESSAGE);
    else if (h->body_left > TLS_BODY_MAX)
        fail(h, problem_set(&h->problem, -ERR_PROTOCOL_VIOLATION, "a TLS record is too long"),
             TLS_ALERT_RECORD_OVERFLOW);
}

/* The next bytes that belong to one record's header, or to one record's body. */
static struct bytes next_piece(struct tls_handshake *h, struct bytes in) {
    if (h->header_len == TLS_HEADER_BYTES && h->body_left == 0)
        h->header_len = 0;
    if (h->header_len < TLS_HEADER_BYTES) {
        size_t n = MIN(in.len, TLS_HEADER_BYTES - h->header_len);
        memcpy(h->header + h->header_len, in.data, n);
        h->header_len += n;
        if (h->header_len == TLS_HEADER_BYTES)
            begin_body(h);
        return bytes_of(in.data, n);
    }
    size_t n = MIN(in.len, h->body_left);
    h->body_left -= n;
    return bytes_of(in.data, n);
}

size_t tls_handshake_recv(struct tls_handshake *h, struct bytes in) {
    size_t len = in.len;
    while (h->state == TLS_HANDSHAKE_RUNS && in.len > 0) {
        h->feed = next_piece(h, in);
        in = bytes_skip(in, h->feed.len);
        h->taken += h->feed.len;
        if (h->state == TLS_HANDSHAKE_FAILED)
            break;
        if (h->taken > TLS_HANDSHAKE_IN_MAX) {
            fail(h, problem_set(&h->problem, -ERR_PROTOCOL_VIOLATION, "the handshake is too long"),
                 TLS_ALERT_DECODE_ERROR);
            break;
        }
        step(h);
    }
    return len - in.len;
}

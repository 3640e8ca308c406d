/* SPDX-License-Identifier: MIT */
#include "transport/proto/tls.h"

#include <wolfssl/ssl.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/proto/tls_handshake.h"
#include "transport/proto/tls_record.h"

#define MUXER "/yamux/1.0.0"
/* Who knows no muxer by ALPN says "libp2p", and then multistream-select chooses one. */
#define ALPN  MUXER ",libp2p"

enum { MESSAGE_HEADER_BYTES = 4, MESSAGE_NEW_SESSION_TICKET = 4, MESSAGE_KEY_UPDATE = 24 };
enum { KEY_UPDATE_NOT_REQUESTED = 0, KEY_UPDATE_REQUESTED = 1, KEY_UPDATE_BYTES = 5 };
enum { ALERT_FATAL = 2, ALERT_BYTES = 2 };

enum {
    /* Records in a row that carry no data: tickets, key updates, empty ones.  go ends at 16. */
    IDLE_RECORDS_MAX = 32,
    KEY_UPDATE_RECORD_BYTES = TLS_OVERHEAD + KEY_UPDATE_BYTES,
};

_Static_assert((int)TLS_HEADER_BYTES <= (int)SECURE_HEADER_MAX, "the driver's header fits");
_Static_assert((int)TLS_HANDSHAKE_OUT_MAX <= (int)SECURE_PULL_MAX, "one pull gives all");

struct tls {
    struct secure base;
    struct mem *mem;
    struct tls_handshake *handshake; /* NULL when it is over */
    struct tls_out out;
    bool initiator;
    bool proves_peer; /* a libp2p peer, not a web server */
    uint64_t records_per_key_max;

    struct tls_flow tx;
    struct tls_flow rx;
    bool heard;            /* a record was opened that is no alert: the peer wants us */
    bool said_goodbye;     /* close_notify was sealed */
    bool update_queued;    /* a KeyUpdate waits in `out` */
    unsigned idle_records; /* in a row */
    uint8_t message[MESSAGE_HEADER_BYTES]; /* the handshake message that is being read */
    size_t message_len;                    /* of its header */
    size_t message_left;                   /* of its body, which is skipped */
};

static struct tls *of(struct secure *s) {
    return CONTAINER_OF(s, struct tls, base);
}

/* --- Ends --- */

static void send_alert(struct tls *t, uint8_t level, enum tls_alert alert) {
    const uint8_t text[ALERT_BYTES] = {level, (uint8_t)alert};
    uint8_t *room = tls_out_room(&t->out, TLS_OVERHEAD + ALERT_BYTES);
    if (room != NULL)
        t->out.len += tls_flow_seal(&t->tx, TLS_CONTENT_ALERT, BYTES_OF(text), room);
}

static int set_failed(struct tls *t, int error) {
    t->base.error = error;
    t->base.state = SECURE_FAILED;
    return error;
}

/* The peer broke the rules of records. */
static int violation(struct tls *t, enum tls_alert alert, const char *what) {
    if (!t->said_goodbye)
        send_alert(t, ALERT_FATAL, alert);
    return set_failed(t, problem_set(&t->base.problem, -ERR_PROTOCOL_VIOLATION, "%s", what));
}

static struct tls_handshake *handshake_free(struct tls *t) {
    if (t->handshake == NULL)
        return NULL;
    tls_handshake_done(t->handshake);
    return mem_free(t->mem, t->handshake);
}

static void tls_free(struct secure *s) {
    struct tls *t = of(s);
    struct mem *mem = t->mem;
    t->handshake = handshake_free(t);
    tls_flow_done(&t->tx);
    tls_flow_done(&t->rx);
    tls_out_done(&t->out);
    (void)mem_free(mem, t);
}

/* --- Handshake --- */

static const char *agreed_muxer(WOLFSSL *ssl) {
    char *name;
    word16 len;
    if (wolfSSL_ALPN_GetProtocol(ssl, &name, &len) != WOLFSSL_SUCCESS)
        return NULL;
    return bytes_equal(bytes_of(name, len), BYTES_LIT(MUXER)) ? MUXER : NULL;
}

static void become_open(struct tls *t) {
    struct tls_handshake *h = t->handshake;
    const struct tls_secrets *secrets = &h->secrets;
    /* The library's word alone lets nobody in. */
    if (t->proves_peer && (!h->judge.judged || h->judge.verdict != 0)) {
        (void)set_failed(t, problem_set(&t->base.problem, -ERR_BAD_CERTIFICATE,
                                        "the peer's certificate was not seen"));
        return;
    }
    int e = tls_flow_init(&t->tx, t->mem, secrets->suite,
                          t->initiator ? secrets->client : secrets->server);
    if (e == 0)
        e = tls_flow_init(&t->rx, t->mem, secrets->suite,
                          t->initiator ? secrets->server : secrets->client);
    if (e < 0) {
        (void)set_failed(t, problem_set(&t->base.problem, e, "no memory for the channel's keys"));
        return;
    }
    t->base.peer = h->judge.peer;
    t->base.muxer = agreed_muxer(h->ssl);
    t->base.state = SECURE_OPEN;
}

static size_t tls_recv(struct secure *s, struct bytes in) {
    struct tls *t = of(s);
    struct tls_handshake *h = t->handshake;
    if (h == NULL)
        return 0;
    size_t taken = tls_handshake_recv(h, in);
    switch (h->state) {
    case TLS_HANDSHAKE_RUNS:
        return taken;
    case TLS_HANDSHAKE_DONE:
        become_open(t);
        break;
    case TLS_HANDSHAKE_FAILED:
        t->base.problem = h->problem;
        t->base.peer = h->judge.peer;
        (void)set_failed(t, h->error);
        break;
    }
    t->handshake = handshake_free(t);
    return taken;
}

static size_t tls_pull(struct secure *s, void *out, size_t size) {
    struct tls *t = of(s);
    size_t n = tls_out_pull(&t->out, out, size);
    if (t->out.len == 0)
        t->update_queued = false;
    return n;
}

/* --- Records in --- */

static ssize_t tls_body_size(struct secure *s, const uint8_t *header) {
    struct tls *t = of(s);
    assert(t->base.state == SECURE_OPEN);
    size_t len = (size_t)header[3] << 8 | header[4];
    if (header[0] != TLS_CONTENT_DATA)
        return violation(t, TLS_ALERT_UNEXPECTED_MESSAGE, "a TLS record is not protected");
    if (len > TLS_BODY_MAX)
        return violation(t, TLS_ALERT_RECORD_OVERFLOW, "a TLS record is too long");
    return (ssize_t)len;
}

static int read_alert(struct tls *t, struct bytes content) {
    if (content.len != ALERT_BYTES)
        return violation(t, TLS_ALERT_DECODE_ERROR, "a TLS alert has a wrong length");
    uint8_t alert = content.data[1];
    if (alert == TLS_ALERT_USER_CANCELED) /* close_notify follows */
        return 0;
    if (alert == TLS_ALERT_CLOSE_NOTIFY) {
        t->base.state = SECURE_ENDED;
        return -ENODATA;
    }
    if (t->initiator && !t->heard)
        return set_failed(t, tls_alert_explain(alert, &t->base.problem));
    return set_failed(t, problem_set(&t->base.problem, -ERR_CONN_CLOSED,
                                     "the peer broke off (TLS alert %u, %s)", alert,
                                     wolfSSL_alert_desc_string_long(alert)));
}

/* With the key that is in use up to here; the next record has the next one. */
static size_t seal_key_update(struct tls *t, uint8_t request, uint8_t *out) {
    const uint8_t message[KEY_UPDATE_BYTES] = {MESSAGE_KEY_UPDATE, 0, 0, 1, request};
    size_t n = tls_flow_seal(&t->tx, TLS_CONTENT_HANDSHAKE, BYTES_OF(message), out);
    tls_flow_update(&t->tx);
    return n;
}

/* Several requests that come while an answer waits are answered by that one. */
static int answer_key_update(struct tls *t) {
    if (t->update_queued || t->said_goodbye)
        return 0;
    uint8_t *room = tls_out_room(&t->out, KEY_UPDATE_RECORD_BYTES);
    if (room == NULL)
        return set_failed(t, problem_set(&t->base.problem, -ENOMEM, "no memory for a key update"));
    t->out.len += seal_key_update(t, KEY_UPDATE_NOT_REQUESTED, room);
    t->update_queued = true;
    return 0;
}

/* `rest` is what follows the message's header in the record. */
static int read_key_update(struct tls *t, struct bytes rest, size_t len) {
    if (len != 1 || rest.len != 1)
        return violation(t, TLS_ALERT_UNEXPECTED_MESSAGE, "a key update must end its record");
    if (rest.data[0] > KEY_UPDATE_REQUESTED)
        return violation(t, TLS_ALERT_ILLEGAL_PARAMETER, "a key update asks for what nobody knows");
    t->message_len = 0;
    tls_flow_update(&t->rx);
    return rest.data[0] == KEY_UPDATE_REQUESTED ? answer_key_update(t) : 0;
}

/* Messages may be cut anywhere between records, but for key updates. */
static int read_messages(struct tls *t, struct bytes content) {
    if (content.len == 0)
        return violation(t, TLS_ALERT_UNEXPECTED_MESSAGE, "an empty TLS handshake record");
    while (content.len > 0) {
        if (t->message_len < MESSAGE_HEADER_BYTES) {
            t->message[t->message_len++] = content.data[0];
            content = bytes_skip(content, 1);
            if (t->message_len < MESSAGE_HEADER_BYTES)
                continue;
            size_t len = (size_t)t->message[1] << 16 | (size_t)t->message[2] << 8 | t->message[3];
            if (t->message[0] == MESSAGE_KEY_UPDATE)
                return read_key_update(t, content, len);
            if (t->message[0] != MESSAGE_NEW_SESSION_TICKET || !t->initiator)
                return violation(t, TLS_ALERT_UNEXPECTED_MESSAGE,
                                 "a TLS handshake message that does not belong here");
            t->message_left = len;
        }
        size_t n = MIN(content.len, t->message_left);
        content = bytes_skip(content, n);
        t->message_left -= n;
        if (t->message_left == 0)
            t->message_len = 0;
    }
    return 0;
}

static int read_content(struct tls *t, uint8_t type, struct bytes content,
                        struct bytes *ret_plain) {
    *ret_plain = bytes_of(content.data, 0);
    if (type == TLS_CONTENT_ALERT)
        return read_alert(t, content);
    t->heard = true;
    if (type == TLS_CONTENT_DATA && content.len > 0 && t->message_len == 0) {
        t->idle_records = 0;
        *ret_plain = content;
        return 0;
    }
    if (++t->idle_records > IDLE_RECORDS_MAX)
        return violation(t, TLS_ALERT_UNEXPECTED_MESSAGE, "too many TLS records without data");
    if (type == TLS_CONTENT_HANDSHAKE)
        return read_messages(t, content);
    if (type == TLS_CONTENT_DATA && t->message_len == 0)
        return 0;
    return violation(t, TLS_ALERT_UNEXPECTED_MESSAGE, "a TLS record of an unexpected type");
}

static int tls_open(struct secure *s, const uint8_t *header, uint8_t *body, size_t len,
                    struct bytes *ret_plain) {
    struct tls *t = of(s);
    uint8_t type;
    struct bytes content;
    assert(t->base.state == SECURE_OPEN);
    int e = tls_flow_open(&t->rx, header, body, len, &type, &content);
    if (e == -ERR_LIMIT)
        return violation(t, TLS_ALERT_RECORD_OVERFLOW, "a TLS record is too long");
    if (e == -ERR_MALFORMED)
        return violation(t, TLS_ALERT_UNEXPECTED_MESSAGE, "a TLS record has no type");
    if (e < 0)
        return violation(t, TLS_ALERT_BAD_RECORD_MAC, "a TLS record does not verify");
    return read_content(t, type, content, ret_plain);
}

/* --- Records out --- */

/* A key that is used up is replaced behind the record, so that no order between this and
 * secure_pull() matters. */
static size_t tls_seal(struct secure *s, struct bytes plain, uint8_t *out) {
    struct tls *t = of(s);
    if (t->base.state == SECURE_FAILED)
        return 0;
    assert(t->base.state == SECURE_OPEN || t->base.state == SECURE_ENDED);
    assert(!t->said_goodbye);
    assert(t->out.len == 0); /* what secure_pull() gives goes first: it was sealed first */
    assert(plain.len > 0);
    size_t n = tls_flow_seal(&t->tx, TLS_CONTENT_DATA, plain, out);
    if (t->tx.sequence >= t->records_per_key_max)
        n += seal_key_update(t, KEY_UPDATE_NOT_REQUESTED, out + n);
    return n;
}

static void tls_close(struct secure *s) {
    struct tls *t = of(s);
    if ((t->base.state != SECURE_OPEN && t->base.state != SECURE_ENDED) || t->said_goodbye)
        return;
    send_alert(t, 1, TLS_ALERT_CLOSE_NOTIFY);
    t->said_goodbye = true;
}

static const struct secure_ops ops = {
    .protocol = "/tls/1.0.0",
    .header_bytes = TLS_HEADER_BYTES,
    .overhead_max = TLS_OVERHEAD + KEY_UPDATE_RECORD_BYTES,
    .plain_max = TLS_PLAIN_MAX,
    .recv = tls_recv,
    .pull = tls_pull,
    .body_size = tls_body_size,
    .open = tls_open,
    .seal = tls_seal,
    .close = tls_close,
    .free = tls_free,
};

static void secure_freep(struct secure **s) {
    (void)secure_free(*s);
}

static struct tls *channel_new(const struct tls_config *cfg) {
    struct tls *t = mem_alloc(cfg->mem, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->base.ops = &ops;
    t->mem = cfg->mem;
    t->out.mem = cfg->mem;
    t->initiator = cfg->initiator;
    t->records_per_key_max =
        cfg->records_per_key_max == 0 ? TLS_RECORDS_PER_KEY_MAX : cfg->records_per_key_max;
    t->handshake = mem_alloc(cfg->mem, sizeof(*t->handshake));
    if (t->handshake == NULL)
        return mem_free(cfg->mem, t);
    tls_judge_init(&t->handshake->judge, cfg->expected, cfg->now);
    return t;
}

/* `e`: whether the library's object could be made. */
static int channel_start(struct tls *t, int e, WOLFSSL *ssl, struct secure **ret_secure) {
    SCOPED(secure_freep) struct secure *s = &t->base;
    if (e == 0)
        e = tls_handshake_start(t->handshake, t->mem, ssl, &t->out, t->initiator);
    if (e < 0)
        return e;
    *ret_secure = TAKE(s);
    return 0;
}

int tls_new(const struct tls_config *cfg, struct secure **ret_secure) {
    WOLFSSL *ssl = NULL;
    struct tls *t = channel_new(cfg);
    if (t == NULL)
        return -ENOMEM;
    t->proves_peer = true;
    int e = tls_context_open(cfg->context, !cfg->initiator, ALPN, &t->handshake->judge, &ssl);
    return channel_start(t, e, ssl, ret_secure);
}

int tls_web_new(const struct tls_config *cfg, const char *host, struct secure **ret_secure) {
    WOLFSSL *ssl = NULL;
    assert(cfg->initiator);
    struct tls *t = channel_new(cfg);
    if (t == NULL)
        return -ENOMEM;
    int e = tls_context_open_web(cfg->context, host, &ssl);
    return channel_start(t, e, ssl, ret_secure);
}

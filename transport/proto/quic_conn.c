/* SPDX-License-Identifier: MIT */
#include "transport/proto/quic_conn.h"

#include <arpa/inet.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <stdarg.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "transport/proto/quic_conn_internal.h"

enum {
    FIRST_DCID_BYTES = 18,
    TLS_CRYPTO_ERROR = 0x100, /* plus the alert: RFC 9000, 20.1 */
    TLS_CRYPTO_ERROR_LAST = 0x1ff,
    CLOSING_PTOS = 3,
};

/* OPENING -> OPEN      the handshake is complete
 * OPENING, OPEN -> CLOSING   we close; -> DRAINING   the peer does; -> DEAD   nobody is there
 * CLOSING, DRAINING -> DEAD  three probe timeouts later */
static void set_state(struct quic_conn *c, enum quic_state to) {
    assert(to > c->state);
    assert(to != QUIC_OPEN || c->state == QUIC_OPENING);
    assert(to != QUIC_DRAINING || c->state <= QUIC_OPEN);
    c->state = to;
}

/* --- Paths --- */

static ngtcp2_addr addr_to_ngtcp2(const struct net_addr *a, ngtcp2_sockaddr_union *out) {
    if (a->family == NET_IP6) {
        out->in6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons(a->port), .sin6_scope_id = a->scope_id};
        memcpy(&out->in6.sin6_addr, a->ip, sizeof(out->in6.sin6_addr));
        return (ngtcp2_addr){.addr = &out->sa, .addrlen = sizeof(out->in6)};
    }
    out->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(a->port)};
    memcpy(&out->in.sin_addr, a->ip, sizeof(out->in.sin_addr));
    return (ngtcp2_addr){.addr = &out->sa, .addrlen = sizeof(out->in)};
}

static void addr_from_ngtcp2(const ngtcp2_addr *in, struct net_addr *out) {
    *out = (struct net_addr){.family = NET_NONE};
    if (in->addrlen == sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 sin6;
        memcpy(&sin6, in->addr, sizeof(sin6));
        out->family = NET_IP6;
        out->port = ntohs(sin6.sin6_port);
        out->scope_id = sin6.sin6_scope_id;
        memcpy(out->ip, &sin6.sin6_addr, sizeof(sin6.sin6_addr));
    } else if (in->addrlen == sizeof(struct sockaddr_in)) {
        struct sockaddr_in sin;
        memcpy(&sin, in->addr, sizeof(sin));
        out->family = NET_IP4;
        out->port = ntohs(sin.sin_port);
        memcpy(out->ip, &sin.sin_addr, sizeof(sin.sin_addr));
    }
}

void quic_path_to_ngtcp2(const struct quic_path *p, ngtcp2_path_storage *out) {
    out->path.user_data = NULL;
    out->path.local = addr_to_ngtcp2(&p->local, &out->local_addrbuf);
    out->path.remote = addr_to_ngtcp2(&p->remote, &out->remote_addrbuf);
}

void quic_path_from_ngtcp2(const ngtcp2_path *p, struct quic_path *out) {
    addr_from_ngtcp2(&p->local, &out->local);
    addr_from_ngtcp2(&p->remote, &out->remote);
}

static void set_path(struct quic_conn *c, const struct quic_path *p) {
    if (net_addr_equal(&p->local, &c->path.local) && net_addr_equal(&p->remote, &c->path.remote))
        return;
    c->path = *p;
    quic_path_to_ngtcp2(p, &c->path_storage);
}

/* --- Ending --- */

static void close_streams(struct quic_conn *c) {
    list_for_each_safe (node, &c->streams) {
        struct quic_stream *s = LIST_ENTRY(node, struct quic_stream, node);
        bool announced = s->announced;
        quic_stream_on_closed(s);
        /* The peer opened it, but the driver never heard of it and will not release it. */
        if (!announced)
            quic_stream_release(s);
    }
    c->tell_closed = true;
}

static void end_after_pause(struct quic_conn *c, enum quic_state to) {
    nsec_t pause = to == QUIC_DEAD ? 0 : CLOSING_PTOS * ngtcp2_conn_get_pto2(c->ngtcp2);
    pause = MIN(pause, QUIC_CLOSING_PAUSE_MAX);
    /* Without a round trip measured the probe timeout is a guess of a second.  Nobody should wait
     * that long for a dial that was given up, and refused handshakes must not pile up. */
    if (c->state == QUIC_OPENING)
        pause = MIN(pause, QUIC_HANDSHAKE_PAUSE_MAX);
    set_state(c, to);
    c->gone_at = c->now + pause;
    close_streams(c);
}

static void write_close_packet(struct quic_conn *c, const ngtcp2_ccerr *reason) {
    ngtcp2_pkt_info pi;
    ngtcp2_ssize n =
        ngtcp2_conn_write_connection_close(c->ngtcp2, &c->send_storage.path, &pi, c->close_packet,
                                           sizeof(c->close_packet), reason, c->now);
    if (n <= 0)
        return;
    c->close_packet_len = (size_t)n;
    quic_path_from_ngtcp2(&c->send_storage.path, &c->send_path);
    c->send_close = true;
}

/* The first reason stays. */
static void PRINTF(3, 4) set_error(struct quic_conn *c, int error, const char *format, ...) {
    if (c->error != 0)
        return;
    va_list args;
    va_start(args, format);
    c->error = problem_set_v(&c->problem, error, format, args);
    va_end(args);
}

/* What the peer's CONNECTION_CLOSE says. */
static void note_peers_reason(struct quic_conn *c) {
    const ngtcp2_ccerr *r = ngtcp2_conn_get_ccerr2(c->ngtcp2);
    unsigned long long code = r->error_code;
    if (r->type == NGTCP2_CCERR_TYPE_APPLICATION) {
        if (code == CONN_CODE_GATED)
            set_error(c, -ERR_GATED, "the peer refused us: our ID is not in its authorized_keys");
        else if (code == CONN_CODE_RESOURCE_LIMIT)
            set_error(c, -ERR_RESOURCE_LIMIT, "the peer closed: its limits are reached");
        else
            set_error(c, -ERR_CONN_CLOSED, "the peer closed the connection (code 0x%llx)", code);
    } else if (code == NGTCP2_CONNECTION_REFUSED) {
        set_error(c, -ECONNREFUSED, "the peer refused the connection");
    } else if (code >= TLS_CRYPTO_ERROR && code <= TLS_CRYPTO_ERROR_LAST) {
        set_error(c, -ERR_HANDSHAKE, "the peer refused our handshake (TLS alert %llu)",
                  code - TLS_CRYPTO_ERROR);
    } else {
        set_error(c, -ERR_CONN_CLOSED, "the peer closed the connection (transport error 0x%llx)",
                  code);
    }
}

/* Our own refusal of the peer's certificate, with the alert that says why. */
static void note_bad_certificate(struct quic_conn *c, ngtcp2_ccerr *reason) {
    ngtcp2_ccerr_set_tls_alert(reason, tls_judge_alert(&c->tls.judge), NULL, 0);
    c->error = tls_judge_explain(&c->tls.judge, &c->problem);
}

void quic_conn_fail(struct quic_conn *c, int e) {
    if (c->state > QUIC_OPEN)
        return;
    switch (e) {
    case NGTCP2_ERR_DRAINING:
        note_peers_reason(c);
        end_after_pause(c, QUIC_DRAINING);
        return;
    case NGTCP2_ERR_IDLE_CLOSE:
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
        set_error(c, -ETIMEDOUT, "the peer does not answer");
        end_after_pause(c, QUIC_DEAD);
        return;
    case NGTCP2_ERR_RETRY:
        c->wants_retry = true;
        set_error(c, -ERR_HANDSHAKE, "the client's first packets came out of order");
        end_after_pause(c, QUIC_DEAD);
        return;
    case NGTCP2_ERR_DROP_CONN:
    case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
        set_error(c, -ERR_HANDSHAKE, "the peer does not speak QUIC version 1");
        end_after_pause(c, QUIC_DEAD);
        return;
    default:
        break;
    }
    ngtcp2_ccerr reason;
    ngtcp2_ccerr_default(&reason);
    if (e == NGTCP2_ERR_CRYPTO && c->tls.judge.verdict < 0) {
        note_bad_certificate(c, &reason);
    } else if (e == NGTCP2_ERR_CRYPTO) {
        uint8_t alert = ngtcp2_conn_get_tls_alert2(c->ngtcp2);
        if (alert == 0) /* wolfSSL has none for a certificate that it cannot read */
            alert = tls_judge_alert(&c->tls.judge);
        ngtcp2_ccerr_set_tls_alert(&reason, alert, NULL, 0);
        if (c->state == QUIC_OPEN)
            set_error(c, -ERR_PROTOCOL_VIOLATION, "the peer went on with TLS (alert %u)", alert);
        else
            set_error(c, -ERR_HANDSHAKE, "the TLS handshake failed (alert %u)", alert);
    } else {
        ngtcp2_ccerr_set_liberr(&reason, e, NULL, 0);
        set_error(c, e == NGTCP2_ERR_NOMEM ? -ENOMEM : -ERR_PROTOCOL_VIOLATION,
                  "the connection broke (QUIC library error %d)", e);
    }
    write_close_packet(c, &reason);
    end_after_pause(c, QUIC_CLOSING);
}

static void close_open(struct quic_conn *c, uint64_t code, nsec_t now) {
    assert(now >= c->now);
    c->now = now;
    ngtcp2_ccerr reason;
    ngtcp2_ccerr_set_application_error(&reason, code, NULL, 0);
    write_close_packet(c, &reason);
    end_after_pause(c, QUIC_CLOSING);
}

void quic_conn_unreachable(struct quic_conn *c, int error, nsec_t now) {
    if (c->state != QUIC_OPENING || c->heard)
        return;
    assert(now >= c->now);
    c->now = now;
    set_error(c, error, "the peer's address cannot be reached: %s", err_text(error));
    end_after_pause(c, QUIC_DEAD);
}

void quic_conn_close(struct quic_conn *c, uint64_t code, nsec_t now) {
    if (c->state <= QUIC_OPEN)
        close_open(c, code, now);
    /* Streams that were received whole can be read to their end when the peer goes, but whoever
     * closes waits for their owners. */
    list_for_each (node, &c->streams) {
        quic_stream_tell_closed_if_over(LIST_ENTRY(node, struct quic_stream, node));
    }
}

/* --- What ngtcp2 reports: each callback notes it and returns --- */

static void remember_cid(struct quic_conn *c, const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < ARRAY_COUNT(c->cids); i++) {
        struct quic_own_cid *o = &c->cids[i];
        if (o->used || o->tell_removed)
            continue;
        o->used = true;
        o->tell_added = true;
        o->cid.len = (uint8_t)len;
        memcpy(o->cid.bytes, bytes, len);
        return;
    }
    /* More than ngtcp2 ever has at once: packets to this one will not find us. */
    assert(false);
}

static int on_new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, ngtcp2_stateless_reset_token *token,
                      size_t len, void *user) {
    struct quic_conn *c = user;
    (void)conn;
    cid->datalen = len;
    rng_fill(c->rng, cid->data, len);
    if (ngtcp2_crypto_generate_stateless_reset_token(token->data, c->reset_key,
                                                     sizeof(c->reset_key), cid) != 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    remember_cid(c, cid->data, cid->datalen);
    return 0;
}

static int on_remove_cid(ngtcp2_conn *conn, const ngtcp2_cid *cid, void *user) {
    struct quic_conn *c = user;
    (void)conn;
    for (size_t i = 0; i < ARRAY_COUNT(c->cids); i++) {
        struct quic_own_cid *o = &c->cids[i];
        if (!o->used || o->cid.len != cid->datalen ||
            memcmp(o->cid.bytes, cid->data, cid->datalen) != 0)
            continue;
        o->used = false;
        o->tell_removed = !o->tell_added;
        o->tell_added = false;
    }
    return 0;
}

static int on_tls_data(ngtcp2_conn *conn, ngtcp2_encryption_level level, uint64_t offset,
                       const uint8_t *data, size_t len, void *user) {
    struct quic_conn *c = user;
    if (c->state == QUIC_OPENING)
        return ngtcp2_crypto_recv_crypto_data_cb(conn, level, offset, data, len, user);
    if (level == NGTCP2_ENCRYPTION_LEVEL_1RTT &&
        quic_tls_skip(&c->tls, !c->server, bytes_of(data, len)) == 0)
        return 0;
    ngtcp2_conn_set_tls_alert(conn, TLS_ALERT_UNEXPECTED_MESSAGE);
    return NGTCP2_ERR_CRYPTO;
}

static int on_handshake_completed(ngtcp2_conn *conn, void *user) {
    struct quic_conn *c = user;
    /* The library asks for our verdict in every handshake; an ID that was not proved must not pass
     * whatever it does. */
    if (!c->tls.judge.judged || c->tls.judge.verdict != 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    const ngtcp2_transport_params *remote = ngtcp2_conn_get_remote_transport_params2(conn);
    nsec_t idle = QUIC_IDLE_TIMEOUT;
    if (remote->max_idle_timeout > 0)
        idle = MIN(idle, (nsec_t)remote->max_idle_timeout);
    c->keep_alive = MIN(QUIC_KEEP_ALIVE, idle / 2);
    ngtcp2_conn_set_keep_alive_timeout(conn, c->keep_alive);
    set_state(c, QUIC_OPEN);
    c->tell_connected = true;
    if (c->server) {
        c->confirmed = true;
        c->tell_confirmed = true;
    }
    return 0;
}

static int on_handshake_confirmed(ngtcp2_conn *conn, void *user) {
    struct quic_conn *c = user;
    (void)conn;
    c->tell_confirmed = !c->confirmed;
    c->confirmed = true;
    return 0;
}

/* Only a server's peer can move. */
static int on_path_validated(ngtcp2_conn *conn, uint32_t flags, const ngtcp2_path *path,
                             const ngtcp2_path *fallback, ngtcp2_path_validation_result result,
                             void *user) {
    struct quic_conn *c = user;
    (void)flags;
    (void)path;
    (void)fallback;
    if (result != NGTCP2_PATH_VALIDATION_RESULT_SUCCESS)
        return 0;
    quic_path_from_ngtcp2(ngtcp2_conn_get_path2(conn), &c->send_path);
    c->tell_moved = true;
    return 0;
}

static int on_stream_open(ngtcp2_conn *conn, int64_t id, void *user) {
    struct quic_conn *c = user;
    struct quic_stream *s;
    if (quic_stream_new(c, id, &s) < 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    if (ngtcp2_conn_set_stream_user_data(conn, id, s) != 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    quic_stream_tell(s, STREAM_EV_OPENED);
    return 0;
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset,
                          const uint8_t *data, size_t len, void *user, void *stream) {
    (void)conn;
    (void)id;
    (void)offset;
    (void)user;
    if (stream == NULL)
        return 0;
    return quic_stream_on_data(stream, bytes_of(data, len),
                               (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0) == 0
               ? 0
               : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int on_acked(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t len, void *user,
                    void *stream) {
    (void)conn;
    (void)id;
    (void)offset;
    (void)user;
    if (stream != NULL)
        quic_stream_on_acked(stream, len);
    return 0;
}

static int on_window(ngtcp2_conn *conn, int64_t id, uint64_t max, void *user, void *stream) {
    (void)conn;
    (void)id;
    (void)max;
    (void)user;
    struct quic_stream *s = stream;
    if (s != NULL) {
        s->blocked = false;
        quic_stream_update_sendable(s);
    }
    return 0;
}

static int on_streams_available(ngtcp2_conn *conn, uint64_t max, void *user) {
    (void)conn;
    (void)max;
    ((struct quic_conn *)user)->tell_streams = true;
    return 0;
}

static int on_stream_reset(ngtcp2_conn *conn, int64_t id, uint64_t final_size, uint64_t code,
                           void *user, void *stream) {
    (void)conn;
    (void)id;
    (void)final_size;
    (void)user;
    if (stream != NULL)
        quic_stream_on_reset(stream, code);
    return 0;
}

static int on_stop_sending(ngtcp2_conn *conn, int64_t id, uint64_t code, void *user, void *stream) {
    (void)conn;
    (void)id;
    (void)user;
    if (stream != NULL)
        quic_stream_on_stopped(stream, code);
    return 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t rx_code,
                           uint64_t tx_code, void *user, void *stream) {
    (void)conn;
    (void)flags;
    (void)id;
    (void)rx_code;
    (void)tx_code;
    (void)user;
    if (stream != NULL)
        quic_stream_on_closed(stream);
    return 0;
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data, size_t len,
                       void *user) {
    struct quic_conn *c = user;
    (void)conn;
    (void)flags;
    if (c->datagrams_in.count >= QUIC_DATAGRAMS_QUEUED_MAX)
        return 0; /* unreliable by contract: nobody fetched the earlier ones */
    struct buf *b = buf_new(c->pool, buf_class_for(len), c->quota);
    if (b == NULL)
        return 0;
    memcpy(b->data, data, len);
    struct slice s = slice_of(b, 0, (uint32_t)len);
    if (slice_queue_push(&c->datagrams_in, s) < 0)
        slice_unref(&s);
    return 0;
}

static int on_stateless_reset(ngtcp2_conn *conn, const ngtcp2_pkt_stateless_reset2 *sr,
                              void *user) {
    (void)conn;
    (void)sr;
    struct quic_conn *c = user;
    set_error(c, -ERR_CONN_CLOSED, "the peer has forgotten the connection (restarted?)");
    return 0;
}

static void on_rand(uint8_t *dest, size_t len, const ngtcp2_rand_ctx *ctx) {
    rng_fill(ctx->native_handle, dest, len);
}

static const ngtcp2_callbacks callbacks = {
    .client_initial = ngtcp2_crypto_client_initial_cb,
    .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
    .recv_crypto_data = on_tls_data,
    .handshake_completed = on_handshake_completed,
    .handshake_confirmed = on_handshake_confirmed,
    .encrypt = ngtcp2_crypto_encrypt_cb,
    .decrypt = ngtcp2_crypto_decrypt_cb,
    .hp_mask = ngtcp2_crypto_hp_mask_cb,
    .recv_retry = ngtcp2_crypto_recv_retry_cb,
    .update_key = ngtcp2_crypto_update_key_cb,
    .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
    .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
    .get_path_challenge_data2 = ngtcp2_crypto_get_path_challenge_data2_cb,
    .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
    .rand = on_rand,
    .get_new_connection_id2 = on_new_cid,
    .remove_connection_id = on_remove_cid,
    .path_validation = on_path_validated,
    .stream_open = on_stream_open,
    .recv_stream_data = on_stream_data,
    .acked_stream_data_offset = on_acked,
    .extend_max_stream_data = on_window,
    .extend_max_local_streams_bidi = on_streams_available,
    .stream_reset = on_stream_reset,
    .recv_stop_sending = on_stop_sending,
    .stream_close2 = on_stream_close,
    .recv_datagram = on_datagram,
    .recv_stateless_reset2 = on_stateless_reset,
};

/* --- Making and freeing --- */

static void *lib_alloc(size_t size, void *mem) {
    return mem_resize(mem, NULL, size);
}

static void lib_dealloc(void *p, void *mem) {
    (void)mem_free(mem, p);
}

static void *lib_zalloc(size_t count, size_t size, void *mem) {
    return mem_alloc_array(mem, count, size);
}

static void *lib_realloc(void *p, size_t size, void *mem) {
    return mem_resize(mem, p, size);
}

static ngtcp2_conn *conn_of_ref(ngtcp2_crypto_conn_ref *ref) {
    struct quic_tls_session *tls = ref->user_data;
    return CONTAINER_OF(tls, struct quic_conn, tls)->ngtcp2;
}

/* Ethernet; the same over PPPoE; most tunnels; what IPv6 guarantees. */
static const uint16_t mtu_probes[] = {QUIC_PACKET_BYTES_MAX, QUIC_PACKET_BYTES_MAX - 8, 1350, 1232};

static void fill_settings(struct quic_conn *c, ngtcp2_settings *s, nsec_t now) {
    ngtcp2_settings_default(s);
    s->initial_ts = now;
    s->cc_algo = NGTCP2_CC_ALGO_CUBIC;
    s->max_tx_udp_payload_size = QUIC_PACKET_BYTES_MAX;
    s->max_window = QUIC_CONN_WINDOW_MAX;
    s->max_stream_window = QUIC_STREAM_WINDOW_MAX;
    s->handshake_timeout = QUIC_HANDSHAKE_TIMEOUT;
    s->pmtud_probes = mtu_probes;
    s->pmtud_probeslen = ARRAY_COUNT(mtu_probes);
    s->rand_ctx.native_handle = c->rng;
}

static void fill_params(ngtcp2_transport_params *p) {
    ngtcp2_transport_params_default(p);
    p->initial_max_data = QUIC_CONN_WINDOW_FIRST;
    p->initial_max_stream_data_bidi_local = QUIC_STREAM_WINDOW_FIRST;
    p->initial_max_stream_data_bidi_remote = QUIC_STREAM_WINDOW_FIRST;
    p->initial_max_streams_bidi = QUIC_STREAMS_FIRST;
    p->max_idle_timeout = QUIC_IDLE_TIMEOUT;
    p->active_connection_id_limit = 7;
    p->disable_active_migration = 1;
    p->max_datagram_frame_size = QUIC_DATAGRAM_BYTES_MAX;
}

static int conn_new(const struct quic_conn_config *cfg, const struct quic_path *path, bool server,
                    nsec_t now, struct quic_conn **ret_conn) {
    struct quic_conn *c = mem_alloc(cfg->mem, sizeof(*c));
    if (c == NULL)
        return -ENOMEM;
    c->mem = cfg->mem;
    c->rng = cfg->rng;
    c->pool = cfg->pool;
    c->quota = cfg->quota;
    c->server = server;
    c->now = now;
    c->unanswered_since = NSEC_NEVER;
    c->ack_hold_until = NSEC_NEVER;
    c->gone_at = NSEC_NEVER;
    memcpy(c->reset_key, cfg->reset_key, sizeof(c->reset_key));
    c->ngtcp2_mem = (ngtcp2_mem){.user_data = cfg->mem,
                                 .malloc = lib_alloc,
                                 .free = lib_dealloc,
                                 .calloc = lib_zalloc,
                                 .realloc = lib_realloc};
    list_init(&c->events);
    list_init(&c->streams);
    list_init(&c->sendable);
    list_init(&c->starved);
    slice_queue_init(&c->datagrams_in, c->mem);
    slice_queue_init(&c->datagrams_out, c->mem);
    set_path(c, path);
    c->send_path = *path;
    ngtcp2_path_storage_zero(&c->send_storage);
    int e =
        quic_tls_session_open(&c->tls, cfg->tls, server, cfg->expected, cfg->walltime, conn_of_ref);
    if (e < 0) {
        (void)mem_free(c->mem, c);
        return e;
    }
    *ret_conn = c;
    return 0;
}

DEFINE_SCOPED_FREE(struct quic_conn *, quic_conn_free);

static ngtcp2_cid to_ngtcp2_cid(const struct quic_cid *in) {
    ngtcp2_cid out;
    ngtcp2_cid_init(&out, in->bytes, in->len);
    return out;
}

int quic_conn_connect(const struct quic_conn_config *cfg, const struct quic_path *path, nsec_t now,
                      struct quic_conn **ret_conn) {
    SCOPED(quic_conn_freep) struct quic_conn *c = NULL;
    int e = conn_new(cfg, path, false, now, &c);
    if (e < 0)
        return e;
    ngtcp2_settings settings;
    fill_settings(c, &settings, now);
    ngtcp2_transport_params params;
    fill_params(&params);
    ngtcp2_cid dcid = {.datalen = FIRST_DCID_BYTES};
    ngtcp2_cid scid = {.datalen = QUIC_CID_BYTES};
    rng_fill(c->rng, dcid.data, dcid.datalen);
    rng_fill(c->rng, scid.data, scid.datalen);
    remember_cid(c, scid.data, scid.datalen);
    if (ngtcp2_conn_client_new(&c->ngtcp2, &dcid, &scid, &c->path_storage.path, NGTCP2_PROTO_VER_V1,
                               &callbacks, &settings, &params, &c->ngtcp2_mem, c) != 0)
        return -ENOMEM;
    ngtcp2_conn_set_tls_native_handle(c->ngtcp2, c->tls.ssl);
    *ret_conn = TAKE(c);
    return 0;
}

int quic_conn_accept(const struct quic_conn_config *cfg, const struct quic_initial *initial,
                     const struct quic_path *path, nsec_t now, struct quic_conn **ret_conn) {
    SCOPED(quic_conn_freep) struct quic_conn *c = NULL;
    int e = conn_new(cfg, path, true, now, &c);
    if (e < 0)
        return e;
    ngtcp2_settings settings;
    fill_settings(c, &settings, now);
    ngtcp2_transport_params params;
    fill_params(&params);
    params.original_dcid = to_ngtcp2_cid(&initial->original_dcid);
    params.original_dcid_present = 1;
    if (initial->after_retry) {
        params.retry_scid = to_ngtcp2_cid(&initial->dcid);
        params.retry_scid_present = 1;
        settings.token = initial->token.data;
        settings.tokenlen = initial->token.len;
        settings.token_type = NGTCP2_TOKEN_TYPE_RETRY;
    }
    ngtcp2_cid dcid = to_ngtcp2_cid(&initial->scid);
    ngtcp2_cid scid = {.datalen = QUIC_CID_BYTES};
    rng_fill(c->rng, scid.data, scid.datalen);
    params.stateless_reset_token_present = 1;
    if (ngtcp2_crypto_generate_stateless_reset_token(params.stateless_reset_token, c->reset_key,
                                                     sizeof(c->reset_key), &scid) != 0)
        return -ERR_CRYPTO;
    /* Until our ID reaches the client, its packets carry the one that it chose itself. */
    remember_cid(c, initial->dcid.bytes, initial->dcid.len);
    remember_cid(c, scid.data, scid.datalen);
    if (ngtcp2_conn_server_new(&c->ngtcp2, &dcid, &scid, &c->path_storage.path, NGTCP2_PROTO_VER_V1,
                               &callbacks, &settings, &params, &c->ngtcp2_mem, c) != 0)
        return -ENOMEM;
    ngtcp2_conn_set_tls_native_handle(c->ngtcp2, c->tls.ssl);
    *ret_conn = TAKE(c);
    return 0;
}

struct quic_conn *quic_conn_free(struct quic_conn *c) {
    if (c == NULL)
        return NULL;
    assert(c->streams_count == 0);
    ngtcp2_conn_del(c->ngtcp2);
    quic_tls_session_close(&c->tls);
    slice_queue_done(&c->datagrams_in);
    slice_queue_done(&c->datagrams_out);
    return mem_free(c->mem, c);
}

/* --- Packets and time --- */

/* After our close, packets of the peer are answered with it again, ever more rarely (RFC 9000,
 * 10.2.1). */
static void answer_with_close(struct quic_conn *c) {
    c->close_packets_seen++;
    if ((c->close_packets_seen & (c->close_packets_seen - 1)) == 0)
        c->send_close = true;
}

/* The keys are installed and what we had to say is with ngtcp2: the library's session has done its
 * work.  Not from inside a callback, where it may be the caller. */
static void end_tls(struct quic_conn *c) {
    ngtcp2_conn_set_tls_native_handle(c->ngtcp2, NULL);
    quic_tls_session_close(&c->tls);
}

void quic_conn_recv(struct quic_conn *c, const struct quic_path *path, uint8_t ecn,
                    struct bytes packet, nsec_t now) {
    assert(now >= c->now);
    c->now = now;
    if (c->state == QUIC_CLOSING)
        answer_with_close(c);
    if (c->state > QUIC_OPEN)
        return;
    set_path(c, path);
    ngtcp2_pkt_info pi = {.ecn = ecn};
    int e =
        ngtcp2_conn_read_pkt(c->ngtcp2, &c->path_storage.path, &pi, packet.data, packet.len, now);
    c->unanswered_since = NSEC_NEVER;
    c->heard = true;
    c->heard_at = now;
    if (c->unacked_packets++ == 0)
        c->ack_hold_until = now + QUIC_ACK_HOLD;
    if (e != 0)
        quic_conn_fail(c, e);
    else if (c->state == QUIC_OPEN)
        end_tls(c);
}

void quic_conn_recv_stray(struct quic_conn *c, struct bytes packet, nsec_t now) {
    if (c->state != QUIC_OPEN)
        return;
    struct quic_path path = *quic_conn_path(c);
    nsec_t unanswered_since = c->unanswered_since;
    nsec_t heard_at = c->heard_at;
    quic_conn_recv(c, &path, 0, packet, now);
    c->unanswered_since = unanswered_since;
    c->heard_at = heard_at;
}

bool quic_conn_wants_retry(const struct quic_conn *c) {
    return c->wants_retry;
}

nsec_t quic_conn_deadline(const struct quic_conn *c) {
    if (c->state == QUIC_DEAD)
        return NSEC_NEVER; /* only streams that are still held keep it */
    if (c->state > QUIC_OPEN)
        return c->gone_at;
    nsec_t at =
        quic_conn_only_ack_is_due(c) ? c->ack_hold_until : ngtcp2_conn_get_expiry2(c->ngtcp2);
    if (c->unanswered_since != NSEC_NEVER && c->state == QUIC_OPEN)
        at = MIN(at, c->unanswered_since + QUIC_SILENCE_MAX);
    return at;
}

void quic_conn_tick(struct quic_conn *c, nsec_t now) {
    assert(now >= c->now);
    c->now = now;
    if (c->state == QUIC_CLOSING || c->state == QUIC_DRAINING) {
        if (now >= c->gone_at)
            set_state(c, QUIC_DEAD);
        return;
    }
    if (c->state > QUIC_OPEN)
        return;
    if (c->state == QUIC_OPEN && c->unanswered_since != NSEC_NEVER &&
        now >= c->unanswered_since + QUIC_SILENCE_MAX) {
        quic_conn_fail(c, NGTCP2_ERR_IDLE_CLOSE);
        return;
    }
    if (now < ngtcp2_conn_get_expiry2(c->ngtcp2))
        return;
    quic_conn_hurry(c);
    int e = ngtcp2_conn_handle_expiry(c->ngtcp2, now);
    if (e != 0)
        quic_conn_fail(c, e);
}

/* --- Events --- */

static bool next_cid_event(struct quic_conn *c, struct quic_event *ev) {
    for (size_t i = 0; i < ARRAY_COUNT(c->cids); i++) {
        struct quic_own_cid *o = &c->cids[i];
        if (!o->tell_added && !o->tell_removed)
            continue;
        *ev = (struct quic_event){.type = o->tell_added ? QUIC_EV_CID_ADDED : QUIC_EV_CID_REMOVED,
                                  .cid = o->cid};
        o->tell_added = false;
        o->tell_removed = false;
        return true;
    }
    return false;
}

static bool take_flag(bool *flag) {
    bool was = *flag;
    *flag = false;
    return was;
}

static const struct {
    uint8_t bit;
    enum quic_event_type type;
} stream_events[] = {
    {STREAM_EV_OPENED, QUIC_EV_STREAM_OPENED},     {STREAM_EV_READABLE, QUIC_EV_STREAM_READABLE},
    {STREAM_EV_WRITABLE, QUIC_EV_STREAM_WRITABLE}, {STREAM_EV_STOPPED, QUIC_EV_STREAM_STOPPED},
    {STREAM_EV_RESET, QUIC_EV_STREAM_RESET},       {STREAM_EV_CLOSED, QUIC_EV_STREAM_CLOSED},
};

static bool next_stream_event(struct quic_conn *c, struct quic_event *ev) {
    while (!list_is_empty(&c->events)) {
        struct quic_stream *s = LIST_ENTRY(c->events.next, struct quic_stream, event_node);
        for (size_t i = 0; i < ARRAY_COUNT(stream_events); i++) {
            if ((s->events & stream_events[i].bit) == 0)
                continue;
            s->events &= (uint8_t)~stream_events[i].bit;
            if (s->events == 0)
                list_remove(&s->event_node);
            *ev = (struct quic_event){.type = stream_events[i].type, .stream = s};
            if (ev->type == QUIC_EV_STREAM_STOPPED)
                ev->code = s->stop_code;
            if (ev->type == QUIC_EV_STREAM_RESET)
                ev->code = s->reset_code;
            if (ev->type == QUIC_EV_STREAM_OPENED)
                s->announced = true;
            return true;
        }
        list_remove(&s->event_node);
    }
    return false;
}

static bool next_datagram(struct quic_conn *c, struct quic_event *ev) {
    struct slice s;
    if (!slice_queue_shift(&c->datagrams_in, &s))
        return false;
    *ev = (struct quic_event){.type = QUIC_EV_DATAGRAM, .datagram = s};
    return true;
}

/* A closed connection answers stray packets with the one that it has written: all else goes now, so
 * that a thousand of them weigh little. */
static void shed(struct quic_conn *c) {
    assert(c->state > QUIC_OPEN);
    ngtcp2_conn_del(c->ngtcp2);
    c->ngtcp2 = NULL;
    quic_tls_session_close(&c->tls);
    slice_queue_done(&c->datagrams_out);
}

bool quic_conn_next_event(struct quic_conn *c, struct quic_event *ret_event) {
    *ret_event = (struct quic_event){.type = QUIC_EV_CONNECTED};
    if (next_cid_event(c, ret_event))
        return true;
    if (take_flag(&c->tell_connected))
        return true;
    ret_event->type = QUIC_EV_CONFIRMED;
    if (take_flag(&c->tell_confirmed))
        return true;
    ret_event->type = QUIC_EV_MOVED;
    if (take_flag(&c->tell_moved) && c->state == QUIC_OPEN)
        return true;
    ret_event->type = QUIC_EV_STREAMS_AVAILABLE;
    if (take_flag(&c->tell_streams))
        return true;
    if (next_stream_event(c, ret_event) || next_datagram(c, ret_event))
        return true;
    ret_event->type = QUIC_EV_CLOSED;
    if (take_flag(&c->tell_closed)) {
        c->told_closed = true;
        shed(c);
        return true;
    }
    ret_event->type = QUIC_EV_GONE;
    if (c->state == QUIC_DEAD && c->told_closed && c->streams_count == 0 && !c->told_gone) {
        c->told_gone = true;
        return true;
    }
    return false;
}

/* --- The rest --- */

int quic_conn_error(const struct quic_conn *c, struct problem *ret_problem) {
    if (c->error < 0 && ret_problem != NULL)
        *ret_problem = c->problem;
    return c->error;
}

const struct peer_id *quic_conn_peer(const struct quic_conn *c) {
    return &c->tls.judge.peer;
}

bool quic_conn_is_server(const struct quic_conn *c) {
    return c->server;
}

bool quic_conn_is_open(const struct quic_conn *c) {
    return c->state == QUIC_OPEN;
}

bool quic_conn_is_confirmed(const struct quic_conn *c) {
    return c->confirmed;
}

const struct quic_path *quic_conn_path(const struct quic_conn *c) {
    return &c->send_path;
}

nsec_t quic_conn_rtt(const struct quic_conn *c) {
    ngtcp2_conn_info info;
    if (c->state > QUIC_OPEN)
        return 0;
    ngtcp2_conn_get_conn_info2(c->ngtcp2, &info);
    return info.smoothed_rtt;
}

nsec_t quic_conn_heard_at(const struct quic_conn *c) {
    return c->heard_at;
}

nsec_t quic_conn_unanswered_since(const struct quic_conn *c) {
    return c->state == QUIC_OPEN ? c->unanswered_since : NSEC_NEVER;
}

/* ngtcp2 has no other way to ask for a PING: it is overdue by the keep-alive's time until it, or
 * something that has to be answered, too, is out. */
void quic_conn_probe(struct quic_conn *c) {
    if (c->state != QUIC_OPEN)
        return;
    c->probes = true;
    quic_conn_hurry(c);
    ngtcp2_conn_set_keep_alive_timeout(c->ngtcp2, 1);
}

void quic_conn_admit(struct quic_conn *c) {
    if (c->state != QUIC_OPEN || c->admitted)
        return;
    c->admitted = true;
    quic_conn_hurry(c);
    ngtcp2_conn_extend_max_streams_bidi(c->ngtcp2, QUIC_STREAMS_MAX - QUIC_STREAMS_FIRST);
}

size_t quic_conn_datagram_max(const struct quic_conn *c) {
    /* Short header with our peer's ID and a long packet number, tag, frame type and length. */
    enum { OVERHEAD = 1 + QUIC_CID_BYTES_MAX + 4 + 16 + 1 + 2 };
    if (c->state != QUIC_OPEN)
        return 0;
    uint64_t peer_max =
        ngtcp2_conn_get_remote_transport_params2(c->ngtcp2)->max_datagram_frame_size;
    size_t packet = ngtcp2_conn_get_path_max_tx_udp_payload_size2(c->ngtcp2);
    if (peer_max <= 3)
        return 0;
    return MIN((size_t)peer_max - 3, packet - OVERHEAD);
}

int quic_conn_send_datagram(struct quic_conn *c, struct slice datagram) {
    size_t max = quic_conn_datagram_max(c);
    int e = 0;
    if (max == 0)
        e = -ENOTSUP;
    else if (datagram.len > max)
        e = -EMSGSIZE;
    else if (c->datagrams_out.count >= QUIC_DATAGRAMS_QUEUED_MAX ||
             slice_queue_push(&c->datagrams_out, datagram) < 0)
        e = -EAGAIN;
    if (e < 0)
        slice_unref(&datagram);
    return e;
}

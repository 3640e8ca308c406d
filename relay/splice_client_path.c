/* SPDX-License-Identifier: MIT */
/* One spliced path, from the first word with the relay to the end of its connection. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "core/p2p/protocol_id.h"
#include "relay/splice_client_internal.h"
#include "transport/conn.h"
#include "transport/stream.h"
#include "transport/tcp_link.h"
#include "uring/sock_addr.h"

static nsec_t now_of(const struct splice_path *p) {
    return reactor_now(p->client->cfg.reactor);
}

/* --- Ends --- */

static bool is_offer(const struct splice_path *p) {
    return !p->is_source && p->state != SPLICE_PATH_STANDING;
}

static void path_free(struct splice_path *p) {
    struct splice_client *s = p->client;
    s->offers -= is_offer(p);
    stream_frame_done(&p->frame);
    if (p->stream != NULL)
        stream_reset(p->stream, STREAM_CODE_NONE);
    p->stream = stream_release(p->stream);
    timer_done(&p->timer);
    list_remove(&p->node);
    mem_wipe(p->preface, sizeof(p->preface));
    (void)mem_free(s->mem, p);
}

static void on_abandoned_io(struct link *l) {
    (void)l;
}

static void on_abandoned_closed(struct link *l, int error) {
    (void)l;
    (void)error;
}

static const struct link_events abandoned_events = {
    .readable = on_abandoned_io, .writable = on_abandoned_io, .closed = on_abandoned_closed};

void splice_path_drop(struct splice_path *p) {
    if (p->state == SPLICE_PATH_OPENING)
        stream_request_cancel(&p->request);
    if (p->state == SPLICE_PATH_CONNECTING) {
        link_set_events(p->link, &abandoned_events, NULL);
        link_close(p->link);
    }
    if (p->state == SPLICE_PATH_UPGRADING)
        circuit_link_cancel(&p->upgrade);
    path_free(p);
}

static void fail(struct splice_path *p, int error) {
    splice_client_failed(p->client, p, error);
    splice_path_drop(p);
}

static void on_timer(struct timer *t) {
    fail(CONTAINER_OF(t, struct splice_path, timer), -ETIMEDOUT);
}

/* --- The connection --- */

static void on_upgraded(struct circuit_link *l, struct conn *c, int error) {
    struct splice_path *p = CONTAINER_OF(l, struct splice_path, upgrade);
    if (error < 0) {
        splice_client_failed(p->client, p, error);
        path_free(p);
        return;
    }
    p->client->offers -= is_offer(p);
    p->state = SPLICE_PATH_STANDING;
    p->conn = c;
    splice_client_made(p->client, p);
}

/* <where the relay was dialled>/p2p/R/p2p-circuit */
static int remote_of(const struct splice_path *p, struct multiaddr *ret_addr) {
    *ret_addr = p->at;
    int e = multiaddr_add_peer(ret_addr, &p->relay);
    return e < 0 ? e : multiaddr_add(ret_addr, MULTIADDR_P2P_CIRCUIT);
}

/* The link is the upgrade's. */
static int upgrade(struct splice_path *p) {
    struct splice_client *s = p->client;
    struct multiaddr local = {.len = 0};
    struct multiaddr remote;
    struct sock_addr bound;
    struct link *link = p->link;
    const struct conn *circuit = splice_client_circuit(s, &p->peer, &p->relay, p->is_source);
    int e = circuit == NULL ? -ERR_NOT_CONNECTED : remote_of(p, &remote);
    if (e < 0)
        return e;
    if (tcp_link_local_addr(link, &bound) == 0)
        multiaddr_from_net_addr(&bound.ip, MULTIADDR_KIND_TCP, &local);
    struct circuit_link_config cfg = {
        .link = link, .local = &local, .remote = &remote, .circuit = circuit, .done = on_upgraded};
    tcp_link_is_joined(link, &circuit->limit);
    p->link = NULL;
    p->state = SPLICE_PATH_UPGRADING;
    return circuit_transport_upgrade(s->cfg.circuit, &p->upgrade, &cfg);
}

static void fail_upgrade(struct splice_path *p, int error) {
    if (p->state == SPLICE_PATH_CONNECTING) {
        fail(p, error);
        return;
    }
    splice_client_failed(p->client, p, error); /* the link is the transport's, or closing */
    path_free(p);
}

/* --- The leg --- */

/* The preface goes out ahead of all that the upgrade says. */
static int send_preface(struct splice_path *p) {
    struct reactor *r = p->client->cfg.reactor;
    struct buf *b =
        buf_new(reactor_pool(r), buf_class_for(SPLICE_PREFACE_BYTES), link_quota(p->link));
    if (b == NULL)
        return -ENOMEM;
    memcpy(b->data, p->preface, SPLICE_PREFACE_BYTES);
    struct slice s = slice_of(b, 0, SPLICE_PREFACE_BYTES);
    ssize_t n = link_write(p->link, &s, 1);
    if (n != 1)
        slice_unref(&s);
    return n < 0 ? (int)n : n == 1;
}

static void on_link_writable(struct link *l) {
    struct splice_path *p = l->user;
    int e = send_preface(p);
    if (e == 0)
        return;
    timer_stop(&p->timer);
    if (e > 0)
        e = upgrade(p);
    if (e < 0)
        fail_upgrade(p, e);
}

static void on_link_readable(struct link *l) {
    struct slice nothing;
    ssize_t n = link_read(l, &nothing, 1);
    if (n > 0)
        slice_unref(&nothing); /* the relay speaks before us: it is none */
    if (n != 0)
        fail(l->user, n < 0 ? (int)n : -ERR_PROTOCOL_VIOLATION);
}

static const struct link_events link_events = {
    .readable = on_link_readable, .writable = on_link_writable, .closed = on_abandoned_closed};

static int dial_relay(struct splice_path *p, const uint8_t token[SPLICE_TOKEN_BYTES]) {
    struct reactor *r = p->client->cfg.reactor;
    struct sock_addr to = {.ip = {.family = NET_NONE}};
    int e = splice_client_relay_addr(p->client, &p->relay, &p->at);
    if (e == 0)
        e = multiaddr_to_net_addr(&p->at, &to.ip);
    if (e == 0)
        e = tcp_link_connect(r, &to, NULL, &p->link);
    if (e < 0)
        return e;
    splice_preface(token, p->preface);
    p->state = SPLICE_PATH_CONNECTING;
    link_set_events(p->link, &link_events, p);
    e = send_preface(p); /* asks for writable(): it is not connected yet */
    assert(e <= 0);
    timer_start(&p->timer, now_of(p) + SPLICE_DIAL_WITHIN);
    return e;
}

/* --- The relay's words --- */

static int tell(struct splice_path *p, const struct splice_msg *m) {
    uint8_t out[SPLICE_OUT_MAX];
    size_t n = splice_msg_encode(m, out);
    return stream_write_bytes(p->stream, bytes_of(out, n));
}

/* The errors that circuits have for these. */
static int error_of(uint32_t status) {
    switch (status) {
    case CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED:
        return -ERR_RESOURCE_LIMIT;
    case CIRCUIT_STATUS_NO_RESERVATION:
        return -ERR_NOT_CONNECTED;
    default:
        return -ERR_RELAY_REFUSED;
    }
}

static void take_answer(struct splice_path *p, const struct splice_msg *m) {
    bool is_granted = m->status == CIRCUIT_STATUS_OK;
    int e = -ERR_PROTOCOL_VIOLATION;
    if (m->type == SPLICE_STATUS && m->has_status && is_granted == m->has_token)
        e = is_granted ? dial_relay(p, m->token) : error_of(m->status);
    if (e < 0)
        fail(p, e);
}

static void take_offer(struct splice_path *p, const struct splice_msg *m) {
    struct splice_msg answer = {
        .type = SPLICE_STATUS, .has_status = true, .status = CIRCUIT_STATUS_OK};
    if (m->type != SPLICE_OFFER || !m->has_peer || !m->has_token) {
        fail(p, -ERR_PROTOCOL_VIOLATION);
        return;
    }
    p->peer = m->peer;
    int e = 0;
    if (splice_client_circuit(p->client, &p->peer, &p->relay, false) == NULL) {
        answer.status = CIRCUIT_STATUS_NO_RESERVATION;
        e = -ERR_NOT_CONNECTED;
    } else {
        e = dial_relay(p, m->token);
        if (e < 0)
            answer.status = CIRCUIT_STATUS_CONNECTION_FAILED;
    }
    int told = tell(p, &answer);
    if (e < 0) { /* the answer reaches the relay, or a reset does */
        if (told == 0) {
            stream_shutdown_write(p->stream);
            stream_frame_done(&p->frame);
            p->stream = stream_release(p->stream);
        }
        fail(p, e);
    } else if (told < 0) {
        fail(p, told);
    }
}

static void take_message(struct splice_path *p) {
    struct splice_msg m;
    int e = splice_msg_decode(frame_body(&p->frame.frame), &m);
    mem_wipe(p->memory, sizeof(p->memory));
    timer_stop(&p->timer);
    if (e < 0)
        fail(p, e);
    else if (p->is_source)
        take_answer(p, &m);
    else
        take_offer(p, &m);
    mem_wipe(&m, sizeof(m));
}

/* --- The stream --- */

/* The relay is done with the path.  One that stands ends with its socket. */
static void stream_over(struct splice_path *p, int error) {
    if (p->state != SPLICE_PATH_STANDING) {
        fail(p, error);
        return;
    }
    stream_frame_done(&p->frame);
    p->stream = stream_release(p->stream);
}

static void on_readable(struct stream *stream) {
    struct splice_path *p = stream_user(stream);
    struct slice s;
    if (p->state == SPLICE_PATH_ASKING || p->state == SPLICE_PATH_ASKED) {
        int e = stream_frame_read(&p->frame, stream);
        if (e == 1)
            take_message(p);
        else if (e < 0)
            fail(p, e);
        return;
    }
    ssize_t n = stream_read(stream, &s, 1);
    if (n > 0)
        stream_consume(stream, &s); /* there is nothing more to be said */
    if (n != 0)
        stream_over(p, n < 0 ? -ERR_STREAM_RESET : -ERR_PROTOCOL_VIOLATION);
}

static void on_event(struct stream *stream) {
    (void)stream; /* a message fits into a new stream */
}

static void on_reset(struct stream *stream, uint64_t code) {
    stream_over(stream_user(stream), code == STREAM_CODE_GATED            ? -ERR_GATED
                                     : code == STREAM_CODE_RESOURCE_LIMIT ? -ERR_RESOURCE_LIMIT
                                                                          : -ERR_STREAM_RESET);
}

/* A relay that refuses is done with the stream as soon as it has answered. */
static void on_stopped(struct stream *stream, uint64_t code) {
    const struct splice_path *p = stream_user(stream);
    if (p->state != SPLICE_PATH_ASKING)
        on_reset(stream, code);
}

static void on_closed(struct stream *stream, int error) {
    stream_over(stream_user(stream), error == 0 ? -ERR_TRUNCATED : error);
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .writable = on_event,
    .stopped = on_stopped,
    .reset = on_reset,
    .closed = on_closed,
};

static void take_stream(struct splice_path *p, struct stream *stream) {
    p->stream = stream;
    stream_set_events(stream, &stream_events, p);
}

static void on_opened(struct stream_request *r, struct stream *stream, int error) {
    struct splice_path *p = CONTAINER_OF(r, struct splice_path, request);
    struct splice_msg m = {.type = SPLICE_ASK, .has_peer = true, .peer = p->peer};
    if (!p->is_begun)
        return; /* from inside the call: splice_path_ask() says so */
    if (error == 0) {
        p->state = SPLICE_PATH_ASKING;
        take_stream(p, stream);
        error = tell(p, &m);
    }
    if (error < 0)
        fail(p, error);
}

/* --- Beginnings --- */

static struct splice_path *path_new(struct splice_client *s, bool is_source,
                                    const struct peer_id *relay) {
    struct splice_path *p = mem_alloc(s->mem, sizeof(*p));
    if (p == NULL || timer_init(&p->timer, s->cfg.reactor, on_timer) < 0)
        return mem_free(s->mem, p);
    p->client = s;
    p->is_source = is_source;
    p->state = is_source ? SPLICE_PATH_OPENING : SPLICE_PATH_ASKED;
    p->relay = *relay;
    stream_frame_init(&p->frame, p->memory, sizeof(p->memory));
    list_init(&p->node);
    list_push(&s->paths, &p->node);
    s->offers += is_offer(p);
    timer_start(&p->timer, now_of(p) + SPLICE_ANSWER_WITHIN);
    return p;
}

int splice_path_ask(struct splice_client *s, const struct conn *circuit,
                    struct splice_path **ret_path) {
    struct peer_id relay;
    bool is_circuit = circuit_relay_of(&circuit->remote, &relay);
    assert(is_circuit);
    struct splice_path *p = path_new(s, true, &relay);
    if (p == NULL)
        return -ENOMEM;
    p->peer = circuit->peer;
    host_open_stream_with(s->cfg.host, &p->request, &p->relay, PROTOCOL_SPLICE,
                          HOST_REQUEST_NO_DIAL, now_of(p) + SPLICE_ANSWER_WITHIN, on_opened);
    if (!p->request.base.pending) {
        path_free(p);
        return -ENOMEM;
    }
    p->is_begun = true;
    *ret_path = p;
    return 0;
}

int splice_path_listen(struct splice_client *s, struct stream *stream) {
    struct splice_path *p = path_new(s, false, stream_peer(stream));
    if (p == NULL)
        return -ENOMEM;
    take_stream(p, stream);
    return 0;
}

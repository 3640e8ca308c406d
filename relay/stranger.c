/* SPDX-License-Identifier: MIT */
#include "relay/stranger.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/p2p/identity.h"
#include "core/p2p/protocol_id.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "transport/stream.h"
#include "uring/reactor.h"

struct stranger {
    struct reactor *reactor;
    struct host *host;
};

/* --- The end of a dial --- */

static void close_conn(struct conn *c) {
    c->ops->close(c, CONN_CODE_NONE);
}

static bool is_open(const struct stranger *s, const struct peer_id *peer, const struct conn *c) {
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    size_t count = host_conns(s->host, peer, conns, HOST_CONNS_PER_PEER_MAX);
    for (size_t i = 0; i < count; i++)
        if (conns[i] == c)
            return true;
    return false;
}

/* What a dial brought of whose end we are told only later in the turn, or NULL. */
static struct conn *untold_conn(const struct stranger_dial *d) {
    const struct direct_dial *dial = &d->dial;
    if (d->state != STRANGER_DIALLING || !dial->pending || !dial->is_over || dial->error < 0)
        return NULL;
    return is_open(d->stranger, &dial->tries[0].dial.expected, dial->conn) ? dial->conn : NULL;
}

/* `is_alive`: the stream's connection is. */
static void release(struct stranger_dial *d, bool is_alive) {
    struct conn *c = untold_conn(d);
    if (d->stream != NULL && is_alive)
        c = stream_conn(d->stream);
    direct_dial_cancel(&d->dial);
    d->stream = stream_release(d->stream);
    timer_done(&d->timer);
    d->state = STRANGER_IDLE;
    if (c != NULL)
        close_conn(c);
}

static void finish(struct stranger_dial *d, bool is_alive, enum autonat_dial_status status) {
    release(d, is_alive);
    d->done(d, status);
}

void stranger_dial_cancel(struct stranger_dial *d) {
    if (d->state != STRANGER_IDLE)
        release(d, true);
}

/* --- The dial-back --- */

/* One byte of an answer will do: it has no other meaning.  Its end does, too, and a reset: go's
 * client resets its stream right behind the answer, so that over QUIC neither that nor the agreed
 * protocol may be heard, and go's server takes it so.  Who lies here fools himself. */
static void on_readable(struct stream *s) {
    struct stranger_dial *d = stream_user(s);
    struct slice in;
    ssize_t n = stream_read(s, &in, 1);
    if (n == 0)
        return;
    if (n > 0)
        stream_consume(s, &in);
    finish(d, true, stream_is_agreed(s) ? AUTONAT_DIAL_OK : AUTONAT_DIAL_E_DIAL_BACK);
}

static void on_reset(struct stream *s, uint64_t code) {
    finish(stream_user(s), true,
           code == STREAM_CODE_NONE ? AUTONAT_DIAL_OK : AUTONAT_DIAL_E_DIAL_BACK);
}

static void on_closed(struct stream *s, int error) {
    bool is_alive = error == 0 || error == -ERR_PROTOCOL_NOT_SUPPORTED;
    finish(stream_user(s), is_alive, AUTONAT_DIAL_E_DIAL_BACK);
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .reset = on_reset,
    .closed = on_closed,
};

static int say_nonce(struct stranger_dial *d, struct conn *c) {
    uint8_t out[AUTONAT_SMALL_OUT_MAX];
    int e = host_open_stream_on(d->stranger->host, c, PROTOCOL_AUTONAT_DIAL_BACK, &d->stream);
    if (e < 0)
        return e;
    stream_set_events(d->stream, &stream_events, d);
    e = stream_write_bytes(d->stream, bytes_of(out, autonat_encode_dial_back(d->nonce, out)));
    if (e < 0)
        return e;
    stream_shutdown_write(d->stream);
    timer_start(&d->timer, reactor_now(d->stranger->reactor) + AUTONAT_DIAL_BACK_TIMEOUT);
    return 0;
}

/* --- The connection --- */

/* What says something of us rather than of the address. */
static enum autonat_dial_status status_of(int error) {
    switch (error) {
    case -ENETUNREACH:
    case -EADDRNOTAVAIL:
    case -EAFNOSUPPORT:
    case -EACCES:
    case -EPERM:
    case -ENOMEM:
    case -ERR_NO_ADDRESSES:
    case -ERR_RESOURCE_LIMIT:
    case -ERR_SHUTDOWN:
        return AUTONAT_DIAL_E_DIAL_BACK;
    default:
        return AUTONAT_DIAL_E_DIAL;
    }
}

static void on_dialled(struct direct_dial *dial, int error) {
    struct stranger_dial *d = CONTAINER_OF(dial, struct stranger_dial, dial);
    struct conn *c = dial->conn;
    if (error < 0) {
        finish(d, false, status_of(error));
        return;
    }
    bool is_there = is_open(d->stranger, &dial->tries[0].dial.expected, c);
    d->state = STRANGER_SAYING;
    if (is_there)
        d->reached = c->remote;
    if (is_there && d->has_nonce && say_nonce(d, c) == 0)
        return;
    if (is_there && d->stream == NULL)
        close_conn(c);
    finish(d, is_there, d->has_nonce ? AUTONAT_DIAL_E_DIAL_BACK : AUTONAT_DIAL_OK);
}

static void on_timer(struct timer *t) {
    struct stranger_dial *d = CONTAINER_OF(t, struct stranger_dial, timer);
    finish(d, true, d->state == STRANGER_SAYING ? AUTONAT_DIAL_E_DIAL_BACK : AUTONAT_DIAL_E_DIAL);
}

int stranger_dial(struct stranger *s, struct stranger_dial *d,
                  const struct stranger_dial_config *cfg,
                  void (*done)(struct stranger_dial *d, enum autonat_dial_status status)) {
    struct direct_dial_config dial_cfg = {
        .peer = *cfg->peer, .addrs = cfg->addrs, .addrs_count = cfg->addrs_count};
    *d = (struct stranger_dial){
        .stranger = s, .has_nonce = cfg->has_nonce, .nonce = cfg->nonce, .done = done};
    int e = timer_init(&d->timer, s->reactor, on_timer);
    if (e < 0)
        return e;
    e = host_dial_direct(s->host, &d->dial, &dial_cfg, on_dialled);
    if (e < 0) {
        timer_done(&d->timer);
        return e;
    }
    d->state = STRANGER_DIALLING;
    timer_start(&d->timer, reactor_now(s->reactor) + cfg->timeout);
    return 0;
}

/* --- Life --- */

int stranger_new(struct reactor *r, struct stranger **ret_stranger) {
    struct stranger *s = mem_alloc(reactor_mem(r), sizeof(*s));
    struct identity identity;
    struct problem problem = PROBLEM_INIT;
    if (s == NULL)
        return -ENOMEM;
    int e = identity_generate(reactor_rng(r), &identity);
    if (e == 0) {
        struct host_config cfg = {
            .reactor = r, .identity = &identity, .agent = "peerup/dial-back", .is_anonymous = true};
        e = host_new(&cfg, &problem, &s->host);
        identity_done(&identity);
    }
    if (e < 0) {
        (void)mem_free(reactor_mem(r), s);
        return e;
    }
    s->reactor = r;
    *ret_stranger = s;
    return 0;
}

void stranger_close(struct stranger *s, void (*closed)(void *user), void *user) {
    host_close(s->host, closed, user);
}

struct stranger *stranger_free(struct stranger *s) {
    if (s == NULL)
        return NULL;
    s->host = host_free(s->host);
    return mem_free(reactor_mem(s->reactor), s);
}

struct host *stranger_host(struct stranger *s) {
    return s->host;
}

/* SPDX-License-Identifier: MIT */
#include "relay/autonat_question.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/p2p/protocol_id.h"
#include "relay/dial_backs.h"
#include "relay/stream_frame.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "transport/stream.h"
#include "uring/reactor.h"

enum { ANSWER_MAX = 512 }; /* a server says little; fields that we do not know may follow */

struct autonat_question {
    struct autonat_question_config cfg;
    struct autonat_probe engine;
    struct dial_back_waiter waiter;
    struct timer timer;
    struct deferred work; /* done() is due */
    struct autonat_result result;
    struct stream *stream; /* NULL: there is none (any more) */
    struct stream_frame in;
    size_t out_len; /* of `out`, waiting for room */
    uint8_t out[AUTONAT_OUT_MAX];
    uint8_t memory[ANSWER_MAX];
};

static nsec_t now_of(const struct autonat_question *q) {
    return reactor_now(q->cfg.reactor);
}

/* --- The end --- */

static void leave(struct autonat_question *q, bool is_orderly) {
    dial_backs_forget(&q->waiter);
    timer_stop(&q->timer);
    stream_frame_done(&q->in);
    if (q->stream != NULL && is_orderly)
        stream_shutdown_write(q->stream);
    else if (q->stream != NULL)
        stream_reset(q->stream, STREAM_CODE_NONE);
    q->stream = stream_release(q->stream);
}

static void on_work(struct deferred *d) {
    struct autonat_question *q = CONTAINER_OF(d, struct autonat_question, work);
    leave(q, q->result.verdict != AUTONAT_FAILED);
    q->cfg.done(q->cfg.user, &q->result);
}

/* --- The engine --- */

static void fail(struct autonat_question *q, int error) {
    autonat_probe_failed(&q->engine, error, now_of(q));
}

/* Writes until there is nothing or no room. */
static void pull(struct autonat_question *q) {
    while (q->stream != NULL) {
        if (q->out_len == 0)
            q->out_len = autonat_probe_pull(&q->engine, q->out, now_of(q));
        if (q->out_len == 0)
            return;
        int e = stream_write_bytes(q->stream, bytes_of(q->out, q->out_len));
        if (e == -EAGAIN)
            return;
        q->out_len = 0;
        if (e < 0) {
            fail(q, -ERR_STREAM_RESET);
            return;
        }
    }
}

static void drive(struct autonat_question *q) {
    pull(q);
    if (autonat_probe_result(&q->engine, &q->result))
        reactor_defer(q->cfg.reactor, &q->work);
    timer_start(&q->timer, autonat_probe_deadline(&q->engine));
}

static bool on_offer(struct dial_back_waiter *w, uint64_t nonce, const struct multiaddr *remote) {
    struct autonat_question *q = CONTAINER_OF(w, struct autonat_question, waiter);
    if (!autonat_probe_dial_back(&q->engine, nonce, remote, now_of(q)))
        return false;
    drive(q);
    return true;
}

static bool on_expects(const struct dial_back_waiter *w) {
    const struct autonat_question *q = CONTAINER_OF(w, const struct autonat_question, waiter);
    return autonat_probe_expects(&q->engine, now_of(q));
}

static void on_turned_away(struct dial_back_waiter *w) {
    autonat_probe_turned_away(&CONTAINER_OF(w, struct autonat_question, waiter)->engine);
}

static void on_timer(struct timer *t) {
    struct autonat_question *q = CONTAINER_OF(t, struct autonat_question, timer);
    autonat_probe_tick(&q->engine, now_of(q));
    drive(q);
}

/* --- The stream --- */

/* The nonce may still come. */
static void lose_stream(struct autonat_question *q, int error) {
    stream_frame_done(&q->in);
    q->stream = stream_release(q->stream);
    fail(q, error);
    drive(q);
}

static void on_readable(struct stream *s) {
    struct autonat_question *q = stream_user(s);
    int e;
    while ((e = stream_frame_read(&q->in, s)) == 1) {
        autonat_probe_recv(&q->engine, frame_body(&q->in.frame), now_of(q));
        stream_frame_next(&q->in);
    }
    if (e < 0)
        fail(q, e);
    drive(q);
}

static void on_writable(struct stream *s) {
    drive(stream_user(s));
}

static void on_reset(struct stream *s, uint64_t code) {
    lose_stream(stream_user(s), code == STREAM_CODE_GATED ? -ERR_GATED : -ERR_STREAM_RESET);
}

static void on_closed(struct stream *s, int error) {
    lose_stream(stream_user(s), error == 0 ? -ERR_TRUNCATED : error);
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .writable = on_writable,
    .reset = on_reset,
    .closed = on_closed,
};

static struct conn *find_conn(const struct autonat_question *q) {
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    struct conn *found = NULL;
    size_t count = host_conns(q->cfg.host, q->cfg.server, conns, HOST_CONNS_PER_PEER_MAX);
    for (size_t i = 0; i < count; i++)
        if (!conns[i]->relayed && (found == NULL || !conns[i]->inbound))
            found = conns[i];
    return found;
}

static int open_stream(struct autonat_question *q) {
    struct conn *c = find_conn(q);
    if (c == NULL)
        return -ERR_NOT_CONNECTED;
    int e = host_open_stream_on(q->cfg.host, c, PROTOCOL_AUTONAT_REQUEST, &q->stream);
    if (e == 0)
        stream_set_events(q->stream, &stream_events, q);
    return e;
}

/* --- Life --- */

int autonat_question_new(const struct autonat_question_config *cfg,
                         struct autonat_question **ret_question) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct autonat_question *q = mem_alloc(mem, sizeof(*q));
    if (q == NULL || timer_init(&q->timer, cfg->reactor, on_timer) < 0) {
        (void)mem_free(mem, q);
        return -ENOMEM;
    }
    q->cfg = *cfg;
    deferred_init(&q->work, on_work);
    stream_frame_init(&q->in, q->memory, sizeof(q->memory));
    autonat_probe_init(&q->engine, cfg->addrs, cfg->addrs_count, reactor_rng(cfg->reactor),
                       now_of(q));
    q->waiter.offer = on_offer;
    q->waiter.expects = on_expects;
    q->waiter.turned_away = on_turned_away;
    dial_backs_expect(cfg->dial_backs, &q->waiter);
    int e = open_stream(q);
    if (e < 0)
        fail(q, e);
    drive(q);
    /* The caller's, and of no use any more. */
    q->cfg.server = NULL;
    q->cfg.addrs = NULL;
    *ret_question = q;
    return 0;
}

struct autonat_question *autonat_question_free(struct autonat_question *q) {
    if (q == NULL)
        return NULL;
    leave(q, false);
    deferred_cancel(&q->work);
    timer_done(&q->timer);
    return mem_free(reactor_mem(q->cfg.reactor), q);
}

/* SPDX-License-Identifier: MIT */
#include "relay/punch.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "core/p2p/protocol_id.h"
#include "relay/proto/udp_punch.h"
#include "relay/stream_frame.h"
#include "transport/conn.h"
#include "transport/direct_dial.h"
#include "transport/host.h"
#include "transport/quic_transport.h"
#include "transport/stream.h"
#include "uring/reactor.h"

_Static_assert((int)DCUTR_ADDRS_MAX <= (int)DIRECT_DIAL_ADDRS_MAX, "all are dialled");

struct punch {
    struct punch_config cfg;
    struct peer_id peer;
    struct dcutr engine;
    struct timer timer;
    struct deferred work;
    bool is_over; /* done() is due */
    int error;
    unsigned attempts;
    struct stream *stream;
    struct stream_frame in;
    struct direct_dial direct; /* one-sided */
    struct direct_dial dial;   /* together with the peer */
    struct direct_dial back;   /* the opener's over QUIC, a moment later */
    bool is_dialling;          /* the engine waits for `dial`, the opener's for `udp`, too */
    bool is_reversed;          /* `direct` won */
    struct udp_punch udp;
    struct net_addr targets[DCUTR_ADDRS_MAX];
    size_t targets_count;
    /* What an event came to at once; the engine hears of it behind the last event. */
    bool has_opened;
    int stream_error;
    bool has_no_direct;
    uint8_t memory[DCUTR_MESSAGE_MAX];
};

static nsec_t now_of(const struct punch *p) {
    return reactor_now(p->cfg.reactor);
}

bool punch_is_opener(const struct punch *p) {
    return p->engine.role == DCUTR_OPENER;
}

unsigned punch_attempts(const struct punch *p) {
    return p->attempts;
}

bool punch_is_reversed(const struct punch *p) {
    return p->is_reversed;
}

/* --- The stream --- */

static const struct stream_events stream_events;

struct conn *punch_find_conn(const struct host *h, const struct peer_id *peer) {
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    size_t count = host_conns(h, peer, conns, HOST_CONNS_PER_PEER_MAX);
    while (count-- > 0) {
        if (conns[count]->relayed && conns[count]->inbound)
            return conns[count];
    }
    return NULL;
}

static void take_stream(struct punch *p, struct stream *s) {
    assert(p->stream == NULL);
    p->stream = s;
    stream_frame_init(&p->in, p->memory, sizeof(p->memory));
    stream_set_events(s, &stream_events, p);
}

/* A FIN that was asked for before is still sent. */
static void release_stream(struct punch *p) {
    stream_frame_done(&p->in);
    p->stream = stream_release(p->stream);
}

static void close_stream(struct punch *p) {
    stream_shutdown_write(p->stream);
    release_stream(p);
}

static void reset_stream(struct punch *p) {
    if (p->stream != NULL)
        stream_reset(p->stream, STREAM_CODE_NONE);
    release_stream(p);
}

static void open_stream(struct punch *p) {
    struct conn *via = punch_find_conn(p->cfg.host, &p->peer);
    struct stream *s;
    int e = -ERR_NOT_CONNECTED;
    if (via != NULL)
        e = host_open_stream_on(p->cfg.host, via, PROTOCOL_DCUTR, &s);
    if (e == 0)
        take_stream(p, s);
    p->has_opened = e == 0;
    p->stream_error = e;
}

/* With SYNC: the peer's dial may be here before our own begins. */
static void begin_attempt(struct punch *p, unsigned attempt) {
    p->attempts = attempt;
    p->cfg.attempting(p->cfg.user, attempt);
}

static void send_message(struct punch *p, const struct dcutr_event *ev) {
    if (p->stream == NULL)
        return;
    /* A stream that has no room for a kilobyte is as good as broken. */
    p->stream_error = stream_write_bytes(p->stream, ev->message);
    if (p->stream_error < 0) {
        reset_stream(p);
    } else if (ev->is_last) {
        close_stream(p);
        begin_attempt(p, ev->attempt);
    }
}

/* --- Dials --- */

static void stop_dials(struct punch *p) {
    direct_dial_cancel(&p->dial);
    direct_dial_cancel(&p->back);
    p->is_dialling = false;
}

static void on_direct_done(struct direct_dial *d, int error);
static void on_dial_done(struct direct_dial *d, int error);
static void on_back_done(struct direct_dial *d, int error);

/* By TCP from a port of its own: in that of the hole it would meet the peer's dial, and both would
 * be initiators. */
static void dial_directly(struct punch *p) {
    struct direct_dial_config cfg = {.peer = p->peer,
                                     .addrs = p->cfg.direct->list,
                                     .addrs_count = p->cfg.direct->count,
                                     .from_any_port = true};
    p->has_no_direct = host_dial_direct(p->cfg.host, &p->direct, &cfg, on_direct_done) < 0;
}

/* Splits the addresses: as the server we answer over QUIC, whose packets find us once ours have
 * opened the way, and dial over TCP.  Returns how many are dialled. */
static size_t choose_dials(struct punch *p, const struct dcutr_addrs *addrs,
                           struct multiaddr ret_dials[DCUTR_ADDRS_MAX]) {
    size_t count = 0;
    p->targets_count = 0;
    for (size_t i = 0; i < addrs->count; i++) {
        bool is_punched =
            punch_is_opener(p) && multiaddr_kind(&addrs->list[i]) == MULTIADDR_KIND_QUIC;
        if (!is_punched)
            ret_dials[count++] = addrs->list[i];
        else if (multiaddr_to_net_addr(&addrs->list[i], &p->targets[p->targets_count]) == 0)
            p->targets_count++;
    }
    return count;
}

static bool is_punching(const struct punch *p) {
    return p->is_dialling && punch_is_opener(p) && !udp_punch_is_over(&p->udp);
}

/* Without targets, too: that is the time for which the peer's dials are waited for. */
static void send_punches(struct punch *p) {
    uint8_t out[UDP_PUNCH_BYTES];
    while (is_punching(p) && udp_punch_next(&p->udp, out, now_of(p))) {
        for (size_t i = 0; i < p->targets_count; i++) {
            int e = quic_transport_send_raw(host_quic(p->cfg.host), NULL, &p->targets[i],
                                            BYTES_OF(out));
            (void)e; /* one that is lost here is as one that is lost on the way */
        }
    }
}

static void dial_together(struct punch *p, const struct dcutr_event *ev) {
    struct multiaddr dials[DCUTR_ADDRS_MAX];
    size_t count = choose_dials(p, ev->addrs, dials);
    struct direct_dial_config cfg = {.peer = p->peer,
                                     .addrs = dials,
                                     .addrs_count = count,
                                     .responder = punch_is_opener(p),
                                     .repeats = true};
    if (p->stream != NULL)
        close_stream(p);
    p->is_dialling = true;
    udp_punch_init(&p->udp, reactor_rng(p->cfg.reactor), now_of(p));
    send_punches(p);
    int e = count > 0 ? host_dial_direct(p->cfg.host, &p->dial, &cfg, on_dial_done) : 0;
    (void)e; /* it is not pending then */
    if (!punch_is_opener(p))
        begin_attempt(p, ev->attempt);
}

/* Where it cannot begin or fails, the peer's may succeed. */
static void dial_back(struct punch *p, const struct dcutr_addrs *addrs) {
    struct multiaddr dials[DCUTR_ADDRS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < addrs->count; i++) {
        if (multiaddr_kind(&addrs->list[i]) == MULTIADDR_KIND_QUIC)
            dials[count++] = addrs->list[i];
    }
    struct direct_dial_config cfg = {.peer = p->peer, .addrs = dials, .addrs_count = count};
    int e = count > 0 ? host_dial_direct(p->cfg.host, &p->back, &cfg, on_back_done) : 0;
    (void)e; /* it is not pending then */
}

/* --- The engine --- */

static void finish(struct punch *p, int error) {
    direct_dial_cancel(&p->direct);
    stop_dials(p);
    reset_stream(p);
    timer_stop(&p->timer);
    p->is_over = true;
    p->error = error;
    reactor_defer(p->cfg.reactor, &p->work);
}

static void handle(struct punch *p, const struct dcutr_event *ev) {
    switch (ev->type) {
    case DCUTR_EV_DIRECT:
        dial_directly(p);
        break;
    case DCUTR_EV_DIRECT_END:
        direct_dial_cancel(&p->direct);
        break;
    case DCUTR_EV_DIAL_END:
        stop_dials(p);
        break;
    case DCUTR_EV_OPEN:
        open_stream(p);
        break;
    case DCUTR_EV_SEND:
        send_message(p, ev);
        break;
    case DCUTR_EV_RESET:
        reset_stream(p);
        break;
    case DCUTR_EV_DIAL:
        dial_together(p, ev);
        break;
    case DCUTR_EV_DIAL_BACK:
        dial_back(p, ev->addrs);
        break;
    case DCUTR_EV_DONE:
        finish(p, 0);
        break;
    case DCUTR_EV_FAILED:
        finish(p, ev->error);
        break;
    }
}

/* Tells the engine one thing that happened meanwhile; false: nothing did. */
static bool report(struct punch *p) {
    nsec_t now = now_of(p);
    int error = p->stream_error;
    if (p->has_opened) {
        p->has_opened = false;
        dcutr_stream_open(&p->engine, now);
    } else if (error < 0) {
        p->stream_error = 0;
        dcutr_stream_failed(&p->engine, error, now);
    } else if (p->has_no_direct) {
        p->has_no_direct = false;
        dcutr_direct_failed(&p->engine, now);
    } else if (p->is_dialling && !p->dial.pending && !is_punching(p)) {
        stop_dials(p); /* one to the peer's QUIC addresses may be left */
        dcutr_dial_failed(&p->engine, now);
    } else {
        return false;
    }
    return true;
}

static void schedule(struct punch *p) {
    nsec_t at = dcutr_deadline(&p->engine);
    if (is_punching(p))
        at = MIN(at, udp_punch_deadline(&p->udp));
    timer_start(&p->timer, at);
}

static void drive(struct punch *p) {
    struct dcutr_event ev;
    do {
        while (dcutr_next_event(&p->engine, &ev))
            handle(p, &ev);
    } while (report(p));
    if (!p->is_over)
        schedule(p);
}

static void on_work(struct deferred *d) {
    struct punch *p = CONTAINER_OF(d, struct punch, work);
    p->cfg.done(p->cfg.user, p->error);
}

void punch_connected(struct punch *p) {
    dcutr_connected(&p->engine, now_of(p));
    drive(p);
}

/* --- What happens --- */

static void on_timer(struct timer *t) {
    struct punch *p = CONTAINER_OF(t, struct punch, timer);
    send_punches(p);
    dcutr_tick(&p->engine, now_of(p));
    drive(p);
}

static void on_direct_done(struct direct_dial *d, int error) {
    struct punch *p = CONTAINER_OF(d, struct punch, direct);
    p->is_reversed = error == 0;
    if (error == 0)
        dcutr_connected(&p->engine, now_of(p));
    else
        dcutr_direct_failed(&p->engine, now_of(p));
    drive(p);
}

/* Where it failed, report() says so. */
static void on_dial_done(struct direct_dial *d, int error) {
    struct punch *p = CONTAINER_OF(d, struct punch, dial);
    if (error == 0)
        dcutr_connected(&p->engine, now_of(p));
    drive(p);
}

static void on_back_done(struct direct_dial *d, int error) {
    struct punch *p = CONTAINER_OF(d, struct punch, back);
    if (error < 0)
        return;
    dcutr_connected(&p->engine, now_of(p));
    drive(p);
}

static void lose_stream(struct punch *p, int error) {
    reset_stream(p);
    dcutr_stream_failed(&p->engine, error, now_of(p));
    drive(p);
}

static void on_readable(struct stream *s) {
    struct punch *p = stream_user(s);
    int e = 0;
    while (p->stream == s && (e = stream_frame_read(&p->in, s)) == 1) {
        dcutr_recv(&p->engine, frame_body(&p->in.frame), now_of(p));
        stream_frame_next(&p->in);
        drive(p);
    }
    if (p->stream == s && e < 0)
        lose_stream(p, e);
}

static void on_reset(struct stream *s, uint64_t code) {
    lose_stream(stream_user(s), code == STREAM_CODE_GATED ? -ERR_GATED : -ERR_STREAM_RESET);
}

static void on_closed(struct stream *s, int error) {
    lose_stream(stream_user(s), error == 0 ? -ERR_TRUNCATED : error);
}

/* That the peer reads no more is how go closes. */
static const struct stream_events stream_events = {
    .readable = on_readable,
    .reset = on_reset,
    .closed = on_closed,
};

/* --- Life --- */

int punch_new(const struct punch_config *cfg, struct punch **ret_punch) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct punch *p = mem_alloc(mem, sizeof(*p));
    if (p == NULL || timer_init(&p->timer, cfg->reactor, on_timer) < 0) {
        (void)mem_free(mem, p);
        return -ENOMEM;
    }
    bool is_opener = cfg->stream == NULL;
    struct dcutr_config engine_cfg = {.role = is_opener ? DCUTR_OPENER : DCUTR_ACCEPTOR,
                                      .own = cfg->own,
                                      .accept_private = cfg->accept_private,
                                      .attempts_max = cfg->attempts_max,
                                      .try_direct = is_opener && cfg->direct->count > 0};
    p->cfg = *cfg;
    p->peer = *cfg->peer;
    deferred_init(&p->work, on_work);
    stream_frame_init(&p->in, p->memory, sizeof(p->memory));
    if (!is_opener)
        take_stream(p, cfg->stream);
    dcutr_init(&p->engine, &engine_cfg, now_of(p));
    drive(p);
    /* The caller's, and of no use any more. */
    p->cfg.peer = NULL;
    p->cfg.stream = NULL;
    p->cfg.own = NULL;
    p->cfg.direct = NULL;
    *ret_punch = p;
    return 0;
}

struct punch *punch_free(struct punch *p) {
    if (p == NULL)
        return NULL;
    direct_dial_cancel(&p->direct);
    stop_dials(p);
    reset_stream(p);
    deferred_cancel(&p->work);
    timer_done(&p->timer);
    return mem_free(reactor_mem(p->cfg.reactor), p);
}

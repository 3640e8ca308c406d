/* SPDX-License-Identifier: MIT */
#include "relay/dial_backs.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/p2p/protocol_id.h"
#include "relay/proto/autonat_msg.h"
#include "relay/stream_frame.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "transport/stream.h"
#include "uring/reactor.h"

struct dial_backs {
    struct reactor *reactor;
    struct host *host;
    struct protocol_handler handler;
    struct host_guests guests;
    struct list waiters;
    struct list readings;
    size_t readings_count;
};

/* One dial-back's stream. */
struct reading {
    struct dial_backs *owner;
    struct list node;
    struct stream *stream;
    struct stream_frame in;
    struct timer timer;
    uint8_t memory[AUTONAT_SMALL_OUT_MAX];
};

/* --- Streams --- */

static void reading_free(struct reading *r) {
    struct dial_backs *d = r->owner;
    stream_frame_done(&r->in);
    r->stream = stream_release(r->stream);
    timer_done(&r->timer);
    list_remove(&r->node);
    d->readings_count--;
    (void)mem_free(reactor_mem(d->reactor), r);
}

static void refuse(struct reading *r) {
    stream_reset(r->stream, STREAM_CODE_NONE);
    reading_free(r);
}

static bool is_expected(const struct dial_backs *d, uint64_t nonce,
                        const struct multiaddr *remote) {
    list_for_each_safe (node, &d->waiters) {
        struct dial_back_waiter *w = LIST_ENTRY(node, struct dial_back_waiter, node);
        if (w->offer(w, nonce, remote))
            return true;
    }
    return false;
}

static void take_message(struct reading *r) {
    uint64_t nonce;
    if (autonat_decode_dial_back(frame_body(&r->in.frame), &nonce) < 0 ||
        !is_expected(r->owner, nonce, &stream_conn(r->stream)->remote) ||
        stream_write_bytes(r->stream, AUTONAT_DIAL_BACK_ANSWER) < 0) {
        refuse(r);
        return;
    }
    stream_shutdown_write(r->stream);
    reading_free(r);
}

static void on_readable(struct stream *s) {
    struct reading *r = stream_user(s);
    int e = stream_frame_read(&r->in, s);
    if (e == 1)
        take_message(r);
    else if (e < 0)
        refuse(r);
}

static void on_reset(struct stream *s, uint64_t code) {
    (void)code;
    refuse(stream_user(s));
}

static void on_closed(struct stream *s, int error) {
    (void)error;
    refuse(stream_user(s));
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .reset = on_reset,
    .closed = on_closed,
};

static void on_timer(struct timer *t) {
    refuse(CONTAINER_OF(t, struct reading, timer));
}

static struct reading *reading_new(struct dial_backs *d, struct stream *s) {
    struct mem *mem = reactor_mem(d->reactor);
    if (d->readings_count == DIAL_BACKS_STREAMS_MAX)
        return NULL;
    struct reading *r = mem_alloc(mem, sizeof(*r));
    if (r == NULL || timer_init(&r->timer, d->reactor, on_timer) < 0)
        return mem_free(mem, r);
    r->owner = d;
    r->stream = s;
    stream_frame_init(&r->in, r->memory, sizeof(r->memory));
    list_init(&r->node);
    list_push(&d->readings, &r->node);
    d->readings_count++;
    return r;
}

static void on_accepted(struct protocol_handler *ph, struct stream *s) {
    struct dial_backs *d = CONTAINER_OF(ph, struct dial_backs, handler);
    struct reading *r = reading_new(d, s);
    if (r == NULL) {
        stream_reset(s, STREAM_CODE_RESOURCE_LIMIT);
        (void)stream_release(s);
        return;
    }
    stream_set_events(s, &stream_events, r);
    timer_start(&r->timer, reactor_now(d->reactor) + DIAL_BACKS_TIMEOUT);
}

/* --- Who may come --- */

/* A new connection to one of our addresses, not one that we made. */
static bool is_dial_back(const struct dial_backs *d, const struct conn *c) {
    return c->inbound && !c->relayed && !list_is_empty(&d->waiters);
}

static bool admits(struct protocol_handler *ph, const struct conn *c) {
    return is_dial_back(CONTAINER_OF(ph, struct dial_backs, handler), c);
}

static void turned_away(struct host_guests *g) {
    struct dial_backs *d = CONTAINER_OF(g, struct dial_backs, guests);
    list_for_each (node, &d->waiters) {
        struct dial_back_waiter *w = LIST_ENTRY(node, struct dial_back_waiter, node);
        w->turned_away(w);
    }
}

/* Who is denied may be the server all the same: over a slow line it has what was paid for its dial
 * long after we queued that. */
static bool expects(struct host_guests *g, const struct conn *c) {
    const struct dial_backs *d = CONTAINER_OF(g, struct dial_backs, guests);
    if (!is_dial_back(d, c))
        return false;
    list_for_each (node, &d->waiters) {
        const struct dial_back_waiter *w = LIST_ENTRY(node, const struct dial_back_waiter, node);
        if (w->expects(w))
            return true;
    }
    turned_away(g);
    return false;
}

void dial_backs_expect(struct dial_backs *d, struct dial_back_waiter *w) {
    list_init(&w->node);
    list_push(&d->waiters, &w->node);
}

void dial_backs_forget(struct dial_back_waiter *w) {
    if (list_is_linked(&w->node))
        list_remove(&w->node);
}

/* --- Life --- */

int dial_backs_new(struct reactor *r, struct host *h, struct dial_backs **ret_dial_backs) {
    struct dial_backs *d = mem_alloc(reactor_mem(r), sizeof(*d));
    if (d == NULL)
        return -ENOMEM;
    d->reactor = r;
    d->host = h;
    list_init(&d->waiters);
    list_init(&d->readings);
    d->guests = (struct host_guests){
        .protocol = PROTOCOL_AUTONAT_DIAL_BACK, .expects = expects, .turned_away = turned_away};
    d->handler = (struct protocol_handler){.protocol = PROTOCOL_AUTONAT_DIAL_BACK,
                                           .protocol_class = CLASS_OWN,
                                           .admits = admits,
                                           .accept = on_accepted};
    int e = host_handle(h, &d->handler);
    if (e < 0) {
        (void)mem_free(reactor_mem(r), d);
        return e;
    }
    host_expect_guests(h, &d->guests);
    *ret_dial_backs = d;
    return 0;
}

struct dial_backs *dial_backs_free(struct dial_backs *d) {
    if (d == NULL)
        return NULL;
    assert(list_is_empty(&d->waiters));
    host_expect_guests(d->host, NULL);
    host_unhandle(d->host, &d->handler);
    while (!list_is_empty(&d->readings))
        refuse(LIST_ENTRY(d->readings.next, struct reading, node));
    return mem_free(reactor_mem(d->reactor), d);
}

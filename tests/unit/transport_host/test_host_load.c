/* SPDX-License-Identifier: MIT */
#include "hosts.h"

/* Goal: many of everything, and nothing left behind. */

CASE(load, three_hundred_streams_at_once) {
    enum { COUNT = 300, BYTES = 40000 };
    open_pair(t);
    static struct tap a[COUNT];
    static struct tap b[COUNT];
    static struct handler handler;
    handler_open(&handler, &t->b, TEST_PROTOCOL, CLASS_ANY, b, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        tap_open(&a[i], &t->a, &t->b.identity.id, TEST_PROTOCOL);
    TURN_UNTIL(t, handler.accepted == COUNT);
    /* At the limit of one connection another is opened. */
    cr_assert_eq(conns_count(&t->a), COUNT > t->traits->streams_max ? 2 : 1);
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(a[i].open_error, 0);
        tap_write(&a[i], BYTES, true);
        tap_write(&b[i], BYTES, true);
    }
    for (size_t i = 0; i < COUNT; i++) {
        TURN_UNTIL(t, a[i].closed == 1 && b[i].closed == 1);
        cr_assert(a[i].eof && b[i].eof, "stream %zu", i);
        cr_assert_not(a[i].wrong, "stream %zu", i);
        cr_assert_not(b[i].wrong, "stream %zu", i);
        cr_assert_eq(a[i].closed_error, 0);
    }
}

/* One socket has 16 slots for sending, which its connections share. */
CASE(load, forty_connections_share_one_sockets_slots) {
    enum { COUNT = 40, BYTES = 1 << 20 };
    static struct party diallers[COUNT];
    static struct tap a[COUNT];
    static struct tap b[COUNT];
    static struct handler handler;
    open_pair(t);
    handler_open(&handler, &t->b, TEST_PROTOCOL, CLASS_ANY, b, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        party_open(&diallers[i], t, (uint8_t)(10 + i), &(struct party_options){.listen = ""});
        party_knows(&diallers[i], &t->b);
        tap_open(&a[i], &diallers[i], &t->b.identity.id, TEST_PROTOCOL);
    }
    TURN_UNTIL(t, handler.accepted == COUNT);
    for (size_t i = 0; i < COUNT; i++)
        tap_write(&b[i], BYTES, true);
    for (size_t i = 0; i < COUNT; i++) {
        TURN_UNTIL(t, a[i].eof);
        cr_assert_not(a[i].wrong, "connection %zu", i);
        tap_end(&a[i]);
        party_end_start(&diallers[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        tap_end(&b[i]); /* in the order in which they came, which is not the diallers' */
        party_end(&diallers[i]);
    }
}

/* All that a connection may hold is held: what waits is to be served when others are done. */
CASE(load, writers_that_found_the_connection_full_go_on_when_others_are_done) {
    enum { COUNT = 300, BYTES = 512 << 10 };
    /* With more, the first windows of readers who do not read pass what a session of yamux holds.
     */
    const size_t count = t->stack == STACK_QUIC ? COUNT : 120;
    open_pair(t);
    static struct tap a[COUNT];
    static struct tap b[COUNT];
    static struct handler handler;
    handler_open(&handler, &t->b, TEST_PROTOCOL, CLASS_ANY, b, COUNT);
    for (size_t i = 0; i < count; i++) {
        b[i].paused = true;
        tap_open(&a[i], &t->a, &t->b.identity.id, TEST_PROTOCOL);
    }
    TURN_UNTIL(t, handler.accepted == count);
    size_t waiting = 0;
    for (size_t i = 0; i < count; i++) {
        tap_write(&a[i], BYTES, true);
        waiting += a[i].written == 0;
    }
    cr_assert(waiting > 0, "nobody found the connection full: the test is too small");
    turn_for(t, MSEC(500));
    for (size_t i = 0; i < count; i++) {
        b[i].paused = false;
        tap_read(&b[i]);
    }
    for (size_t i = 0; i < count; i++) {
        TURN_UNTIL(t, b[i].eof);
        cr_assert_not(b[i].wrong, "stream %zu", i);
        tap_end(&a[i]);
        tap_end(&b[i]);
    }
}

/* Before the peer is admitted it may open 256; who waits beyond is served as others end. */
CASE(load, streams_beyond_the_peers_limit_wait_for_room) {
    enum { COUNT = 280 };
    party_open(&t->a, t, 1, &(struct party_options){.listen = t->traits->any_ip4});
    party_open(&t->b, t, 2, &(struct party_options){.gated = true});
    party_knows(&t->b, &t->a); /* b dials: a is not authorized there, and not admitted */
    static struct tap a[COUNT];
    static struct tap b[COUNT];
    static struct handler handler;
    handler_open(&handler, &t->b, TEST_PROTOCOL, CLASS_ANY, b, COUNT);
    connect_pair(&t->b, &t->a);
    for (size_t i = 0; i < COUNT; i++)
        tap_open(&a[i], &t->a, &t->b.identity.id, TEST_PROTOCOL);
    size_t served = 0;
    size_t failed = 0;
    for (size_t i = 0; i < COUNT; i++) {
        TURN_UNTIL(t, a[i].opened == 1);
        served += a[i].open_error == 0;
        failed += a[i].open_error < 0;
    }
    size_t limit = t->traits->streams_max_first;
    cr_assert(served >= limit - 6 && served <= limit, "%zu", served);
    cr_assert_eq(served + failed, COUNT,
                 "another connection is refused: they must not wait for ever");
    TURN_UNTIL(t, handler.accepted == served);
    for (size_t i = 0; i < COUNT; i++) {
        if (a[i].open_error < 0)
            cr_assert_eq(a[i].open_error, -ERR_RESOURCE_LIMIT, "%d", a[i].open_error);
        tap_end(&a[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        tap_end(&b[i]);
    turn_for(t, MSEC(50));
    static struct tap again;
    tap_open(&again, &t->a, &t->b.identity.id, TEST_PROTOCOL);
    TURN_UNTIL(t, again.opened == 1);
    cr_assert_eq(again.open_error, 0, "the others have ended");
    tap_end(&again);
}

/* --- Connections that come and go --- */

enum { DIALLERS = 8, CONNECTIONS = 1000, STREAMS = 4 };

struct wanderer {
    struct party party;
    struct connecting connecting;
    struct tap taps[STREAMS];
    bool asked;
    int turns_left;
};

static void close_one(struct host *h, const struct peer_id *peer, uint64_t code) {
    list_for_each (node, &h->conns) {
        struct conn *c = LIST_ENTRY(node, struct host_conn, host_node)->conn;
        if (peer_id_equal(&c->peer, peer)) {
            c->ops->close(c, code);
            return;
        }
    }
}

static void end_taps(struct wanderer *w) {
    for (size_t i = 0; i < STREAMS; i++) {
        tap_end(&w->taps[i]);
        w->taps[i] = (struct tap){.closed = 0};
    }
}

static void begin(struct wanderer *w, struct fixture *t, struct rng *rng) {
    connect_start(&w->connecting, &w->party, &t->b.identity.id, SEC(10));
    w->asked = true;
    w->turns_left = (int)rng_below(rng, 30);
    size_t streams = rng_below(rng, STREAMS + 1);
    for (size_t i = 0; i < streams; i++)
        tap_open(&w->taps[i], &w->party, &t->b.identity.id,
                 rng_below(rng, 8) == 0 ? "/unknown" : "/ipfs/ping/1.0.0");
}

static void wander(struct wanderer *w, struct fixture *t, struct rng *rng) {
    struct tap *x = &w->taps[rng_below(rng, STREAMS)];
    if (x->stream != NULL && x->written == 0)
        tap_write(x, 32 * rng_below(rng, 1000), rng_below(rng, 2) == 0);
    else if (x->stream != NULL && rng_below(rng, 4) == 0)
        tap_end(x);
    if (--w->turns_left > 0)
        return;
    if (rng_below(rng, 2) == 0)
        close_one(w->party.host, &t->b.identity.id, rng_below(rng, 0x2000));
    else
        close_one(t->b.host, &w->party.identity.id, rng_below(rng, 0x2000));
}

/* xorshift: the same run for the same seed, but for the timing of the kernel. */
struct seeded {
    struct rng rng;
    uint64_t state;
};

static void seeded_fill(struct rng *g, void *out, size_t size) {
    struct seeded *s = CONTAINER_OF(g, struct seeded, rng);
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++) {
        s->state ^= s->state << 13;
        s->state ^= s->state >> 7;
        s->state ^= s->state << 17;
        bytes[i] = (uint8_t)(s->state >> 24);
    }
}

CASE(load, a_thousand_connections_come_and_go_and_leave_nothing) {
    struct seeded seeded = {.rng.fill = seeded_fill, .state = 0x9e3779b97f4a7c15u};
    static struct wanderer w[DIALLERS];
    open_pair(t);
    for (size_t i = 0; i < DIALLERS; i++) {
        party_open(&w[i].party, t, (uint8_t)(10 + i), &(struct party_options){.listen = ""});
        party_knows(&w[i].party, &t->b);
    }
    struct buf_pool_stats before;
    buf_pool_stats(reactor_pool(t->reactor), &before);
    int connections = 0;
    nsec_t until = reactor_now(t->reactor) + SEC(120);
    while (connections < CONNECTIONS) {
        cr_assert(reactor_now(t->reactor) < until, "%d connections", connections);
        for (size_t i = 0; i < DIALLERS; i++) {
            if (!w[i].asked && conns_count(&w[i].party) == 0) {
                begin(&w[i], t, &seeded.rng);
            } else if (w[i].asked && w[i].connecting.done == 1) {
                wander(&w[i], t, &seeded.rng);
                if (conns_count(&w[i].party) == 0 || w[i].turns_left < -50) {
                    connections++;
                    end_taps(&w[i]);
                    w[i].asked = false;
                }
            }
        }
        cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(1)), 0);
    }
    for (size_t i = 0; i < DIALLERS; i++) {
        end_taps(&w[i]);
        connect_request_cancel(&w[i].connecting.request);
        party_end_start(&w[i].party);
    }
    for (size_t i = 0; i < DIALLERS; i++)
        party_end(&w[i].party);
    TURN_UNTIL(t, conns_count(&t->b) == 0);
    turn_for(t, MSEC(300));
    cr_assert_eq(t->b.host->peers.count, 0);
    /* Links over TCP stay a moment for their last words, and some slabs stay lent to the kernel for
     * the next receive. */
    size_t lent_max = t->stack == STACK_QUIC ? 0 : 64 * 65536;
    struct buf_pool_stats after;
    TURN_UNTIL(t, (buf_pool_stats(reactor_pool(t->reactor), &after),
                   after.bytes_in_use <= before.bytes_in_use + lent_max));
}

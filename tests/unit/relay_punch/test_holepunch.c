/* SPDX-License-Identifier: MIT */
/* Goal: two hosts whose connection is relayed get a direct one, in both roles and over each
 * transport; who breaks the rules gets nothing of it.
 *
 * The relay is played: a connection over loopback that both hosts are told is a relayed one.  `a`
 * dialled it, and is the acceptor; `b` is the opener.
 *
 * Spec: libp2p DCUtR; decision 1. */
#include "core/p2p/protocol_id.h"
#include "relay/external_addrs.h"
#include "relay/holepunch.h"
#include "tests/unit/transport_host/hosts.h"
#include "transport/direct_dial.h"

/* Makes the next connection of a host a relayed one, and counts the others. */
struct relayer {
    struct host_watch watch;
    bool plays;
    bool forgets; /* what the peer tells of its addresses */
    struct conn *conn;
    int direct;
    int identified;
};

struct side {
    struct party *party;
    struct relayer relayer;
    struct holepunch *holepunch;
    int ended[3]; /* by outcome */
};

struct pair {
    struct fixture *t;
    struct side a;
    struct side b;
};

static void on_opened(struct host_watch *w, struct conn *c) {
    struct relayer *r = CONTAINER_OF(w, struct relayer, watch);
    r->direct += !r->plays;
    if (!r->plays)
        return;
    r->plays = false;
    r->conn = c;
    c->relayed = true;
    c->limited = true;
}

static void on_identified(struct host_watch *w, struct conn *c) {
    struct relayer *r = CONTAINER_OF(w, struct relayer, watch);
    r->identified += c == r->conn;
    if (r->forgets)
        host_conn_of(c)->peer->learnt.count = 0;
}

static void open_side(struct side *s, struct party *p) {
    *s = (struct side){.party = p};
    s->relayer = (struct relayer){.watch = {.opened = on_opened, .identified = on_identified},
                                  .plays = true};
    host_watch(p->host, &s->relayer.watch);
}

static void on_ended(void *user, const struct peer_id *peer, enum holepunch_outcome outcome,
                     nsec_t took) {
    (void)took;
    struct side *s = user;
    const struct fixture *t = s->party->t;
    const struct party *other = s->party == &t->a ? &t->b : &t->a;
    cr_assert(peer_id_equal(peer, &other->identity.id));
    s->ended[outcome]++;
}

static void add_holepunch(struct side *s) {
    struct holepunch_config cfg = {.reactor = s->party->t->reactor,
                                   .host = s->party->host,
                                   .accept_private = true,
                                   .ended = on_ended,
                                   .user = s};
    cr_assert_eq(holepunch_new(&cfg, &s->holepunch), 0);
}

/* `a` listens if it is to be reached; else it says that it is where nobody is. */
static void open_hosts(struct pair *p, struct fixture *t, bool a_listens) {
    struct multiaddr dead;
    *p = (struct pair){.t = t};
    party_open(&t->a, t, 1, &(struct party_options){.listen = a_listens ? NULL : ""});
    party_open(&t->b, t, 2, &(struct party_options){.listen = NULL});
    party_knows(&t->a, &t->b);
    cr_assert_eq(multiaddr_parse(t->traits->dead, &dead), 0);
    if (!a_listens)
        host_announce(t->a.host, &dead, 1);
    open_side(&p->a, &t->a);
    open_side(&p->b, &t->b);
}

static void open_punchers(struct pair *p, struct fixture *t, bool a_listens) {
    open_hosts(p, t, a_listens);
    add_holepunch(&p->a);
    add_holepunch(&p->b);
}

/* `a` dials `b`, over the relay as they think. */
static void meet(struct pair *p) {
    connect_pair(p->a.party, p->b.party);
    cr_assert(p->a.relayer.conn != NULL && p->b.relayer.conn != NULL);
}

static void close_punchers(struct pair *p) {
    p->a.holepunch = holepunch_free(p->a.holepunch);
    p->b.holepunch = holepunch_free(p->b.holepunch);
    host_unwatch(&p->a.relayer.watch);
    host_unwatch(&p->b.relayer.watch);
}

static uint64_t succeeded(const struct side *s) {
    return holepunch_stats(s->holepunch)->succeeded;
}

static uint64_t failed(const struct side *s) {
    return holepunch_stats(s->holepunch)->failed;
}

/* --- Success --- */

CASE(punch, opens_a_direct_connection_where_one_side_is_not_reached) {
    static struct pair p;
    open_punchers(&p, t, false);
    meet(&p);
    TURN_UNTIL(t, succeeded(&p.a) == 1 && succeeded(&p.b) == 1);
    cr_assert_eq(p.a.relayer.direct, 1);
    cr_assert_eq(p.b.relayer.direct, 1);
    cr_assert_eq(p.a.ended[HOLEPUNCH_SUCCEEDED], 1);
    cr_assert_eq(p.b.ended[HOLEPUNCH_SUCCEEDED], 1);
    cr_assert_eq(failed(&p.a) + failed(&p.b), 0);
    close_punchers(&p);
}

/* What either side dials may come first: `a` as ever, `b` in the responder's role. */
CASE(punch, opens_a_direct_connection_where_both_dial_at_once) {
    static struct pair p;
    open_punchers(&p, t, true);
    p.b.relayer.forgets = true;
    meet(&p);
    TURN_UNTIL(t, succeeded(&p.a) == 1 && succeeded(&p.b) == 1);
    cr_assert_geq(p.a.relayer.direct, 1);
    close_punchers(&p);
}

CASE(punch, is_not_needed_where_a_one_sided_dial_does) {
    static struct pair p;
    open_punchers(&p, t, true);
    meet(&p);
    TURN_UNTIL(t, p.a.relayer.direct > 0 && p.b.relayer.direct > 0);
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    size_t count = host_conns(t->a.host, &t->b.identity.id, conns, ARRAY_COUNT(conns));
    cr_assert_geq(count, 2);
    turn_for(t, MSEC(20));
    cr_assert_eq(failed(&p.a) + failed(&p.b), 0);
    close_punchers(&p);
}

/* New streams take the direct connection from then on. */
CASE_QUIC(punch, gives_streams_a_better_way) {
    static struct pair p;
    struct handler h;
    struct tap near = {.closed = 0};
    struct tap far = {.closed = 0};
    open_punchers(&p, t, false);
    handler_open(&h, &t->b, TEST_PROTOCOL, CLASS_ANY, &far, 1);
    meet(&p);
    TURN_UNTIL(t, succeeded(&p.a) == 1);
    tap_open(&near, &t->a, &t->b.identity.id, TEST_PROTOCOL);
    TURN_UNTIL(t, far.stream != NULL);
    cr_assert_not(stream_conn(near.stream)->relayed);
    tap_end(&near);
    tap_end(&far);
    close_punchers(&p);
}

/* Who has no address to tell resets the stream, and the other side asks again much later. */
CASE_QUIC(punch, needs_an_address_on_either_side) {
    static struct pair p;
    open_punchers(&p, t, false);
    host_announce(t->a.host, NULL, 0);
    meet(&p);
    TURN_UNTIL(t, p.b.relayer.identified == 1);
    turn_for(t, MSEC(50));
    cr_assert_eq(p.a.relayer.direct, 0);
    cr_assert_eq(succeeded(&p.b) + failed(&p.b), 0, "it never came to a dial");
    close_punchers(&p);
}

/* --- Who may --- */

struct opened_stream {
    struct tap tap;
    struct stream *stream;
};

static void open_on(struct pair *p, struct opened_stream *o, struct side *from, struct conn *on) {
    *o = (struct opened_stream){.stream = NULL};
    cr_assert_eq(host_open_stream_on(from->party->host, on, PROTOCOL_DCUTR, &o->stream), 0);
    tap_attach(&o->tap, p->t, o->stream);
}

static bool is_over(const struct opened_stream *o) {
    return o->tap.reset > 0 || o->tap.closed > 0;
}

static void write_hex(struct opened_stream *o, const char *bytes, size_t len) {
    cr_assert_eq(stream_write_bytes(o->tap.stream, bytes_of((const uint8_t *)bytes, len)), 0);
}

#define WRITE(o, literal) write_hex((o), (literal), sizeof(literal) - 1)

#define CONNECT "\x0f\x08\x64\x12\x0b\x04\x7f\x00\x00\x01\x91\x02\x00\x09\xcd\x03"
#define SYNC    "\x03\x08\xac\x02"

/* `a` with its acceptor, `b` a stranger to hole punching whose streams the test writes. */
static void open_acceptor(struct pair *p, struct fixture *t) {
    open_hosts(p, t, false);
    add_holepunch(&p->a);
    meet(p);
    TURN_UNTIL(t, p->a.relayer.identified == 1);
}

CASE(acceptor, resets_a_stream_over_a_connection_that_it_was_dialled_on) {
    static struct pair p;
    struct opened_stream o;
    open_hosts(&p, t, false);
    add_holepunch(&p.b);
    p.a.relayer.forgets = true;
    meet(&p);
    open_on(&p, &o, &p.a, p.a.relayer.conn); /* relayed, but inbound to `b` */
    TURN_UNTIL(t, is_over(&o));
    if (o.tap.reset > 0)
        cr_assert_eq(o.tap.reset_code, STREAM_CODE_PROTOCOL_VIOLATION);
    tap_end(&o.tap);
    close_punchers(&p);
}

CASE(acceptor, resets_a_stream_over_a_direct_connection) {
    static struct pair p;
    struct opened_stream o;
    open_hosts(&p, t, false);
    p.a.relayer.plays = false;
    p.b.relayer.plays = false;
    add_holepunch(&p.a);
    add_holepunch(&p.b);
    connect_pair(&t->a, &t->b);
    open_on(&p, &o, &p.a, only_conn(&t->a)->conn);
    TURN_UNTIL(t, is_over(&o));
    tap_end(&o.tap);
    open_on(&p, &o, &p.b, only_conn(&t->b)->conn); /* `a` dialled it: anybody may be there */
    TURN_UNTIL(t, is_over(&o));
    if (o.tap.reset > 0)
        cr_assert_eq(o.tap.reset_code, STREAM_CODE_GATED);
    tap_end(&o.tap);
    close_punchers(&p);
}

CASE_QUIC(acceptor, resets_a_stream_that_begins_with_sync) {
    static struct pair p;
    struct opened_stream o;
    open_acceptor(&p, t);
    open_on(&p, &o, &p.b, p.b.relayer.conn);
    WRITE(&o, SYNC);
    TURN_UNTIL(t, is_over(&o));
    turn_for(t, MSEC(20));
    cr_assert_eq(p.a.relayer.direct, 0);
    cr_assert_eq(succeeded(&p.a) + failed(&p.a), 0);
    tap_end(&o.tap);
    close_punchers(&p);
}

CASE_QUIC(acceptor, resets_what_is_no_message) {
    static struct pair p;
    struct opened_stream o;
    open_acceptor(&p, t);
    open_on(&p, &o, &p.b, p.b.relayer.conn);
    WRITE(&o, "\xff\xff\x03");
    TURN_UNTIL(t, is_over(&o));
    tap_end(&o.tap);
    open_on(&p, &o, &p.b, p.b.relayer.conn);
    WRITE(&o, "\x02\x08\x01");
    TURN_UNTIL(t, is_over(&o));
    tap_end(&o.tap);
    close_punchers(&p);
}

CASE_QUIC(acceptor, serves_one_stream_at_a_time) {
    static struct pair p;
    struct opened_stream first, second;
    open_acceptor(&p, t);
    open_on(&p, &first, &p.b, p.b.relayer.conn);
    TURN_UNTIL(t, first.tap.readable > 0 || stream_is_agreed(first.tap.stream));
    open_on(&p, &second, &p.b, p.b.relayer.conn);
    TURN_UNTIL(t, is_over(&second));
    cr_assert_not(is_over(&first));
    tap_end(&first.tap);
    tap_end(&second.tap);
    close_punchers(&p);
}

/* Both messages in one piece: what is behind the first is not lost. */
CASE_QUIC(acceptor, a_stream_replaces_an_upgrade_whose_dials_run) {
    static struct pair p;
    struct opened_stream first, second;
    open_acceptor(&p, t);
    open_on(&p, &first, &p.b, p.b.relayer.conn);
    WRITE(&first, CONNECT SYNC);
    TURN_UNTIL(t, first.tap.eof || is_over(&first));
    open_on(&p, &second, &p.b, p.b.relayer.conn);
    TURN_UNTIL(t, failed(&p.a) == 1);
    cr_assert_eq(p.a.ended[HOLEPUNCH_FAILED], 1);
    turn_for(t, MSEC(10));
    cr_assert_not(is_over(&second));
    tap_end(&first.tap);
    tap_end(&second.tap);
    close_punchers(&p);
}

CASE_QUIC(acceptor, has_had_enough_after_some_streams) {
    static struct pair p;
    struct opened_stream o;
    open_acceptor(&p, t);
    for (int i = 0; i <= HOLEPUNCH_ACCEPTS_MAX; i++) {
        open_on(&p, &o, &p.b, p.b.relayer.conn);
        WRITE(&o, CONNECT SYNC);
        TURN_UNTIL(t, o.tap.eof || is_over(&o));
        tap_end(&o.tap);
    }
    /* The last one made no dials, and so replaced none. */
    cr_assert_eq(failed(&p.a), HOLEPUNCH_ACCEPTS_MAX - 1);
    close_punchers(&p);
}

/* --- Ends --- */

/* Whoever ends, and whenever, leaves nothing behind: fixture_done() counts. */
CASE(punch, ends_at_any_time) {
    static struct pair p;
    for (int turns = 0; turns < 16; turns++) {
        open_punchers(&p, t, turns % 2 == 0);
        p.b.relayer.forgets = turns % 4 < 2;
        meet(&p);
        for (int i = 0; i < turns; i++)
            cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(1)), 0);
        close_punchers(&p);
        party_end(&t->a);
        party_end(&t->b);
    }
}

CASE_QUIC(punch, ends_with_the_relayed_connection) {
    static struct pair p;
    open_punchers(&p, t, false);
    meet(&p);
    p.a.relayer.conn->ops->close(p.a.relayer.conn, CONN_CODE_NONE);
    TURN_UNTIL(t, conns_count(&t->a) == 0 && conns_count(&t->b) == 0);
    turn_for(t, MSEC(20));
    cr_assert_eq(succeeded(&p.a) + failed(&p.a), 0);
    close_punchers(&p);
}

CASE_QUIC(punch, without_memory_nothing_is_left) {
    struct holepunch *h;
    struct external_addrs *x;
    open_pair(t);
    struct holepunch_config cfg = {.reactor = t->reactor, .host = t->a.host};
    struct external_addrs_config external_cfg = {.reactor = t->reactor, .host = t->a.host};
    int e = -ENOMEM;
    for (t->mem.fail_at = 1; e == -ENOMEM; t->mem.fail_at++) {
        t->mem.calls = 0;
        e = holepunch_new(&cfg, &h);
    }
    t->mem.fail_at = 0;
    cr_assert_eq(e, 0);
    struct holepunch *other;
    cr_assert_eq(holepunch_new(&cfg, &other), -EEXIST);
    h = holepunch_free(h);
    t->mem.calls = 0;
    t->mem.fail_at = 1;
    cr_assert_eq(external_addrs_new(&external_cfg, &x), -ENOMEM);
    t->mem.fail_at = 0;
    cr_assert(holepunch_free(NULL) == NULL);
    cr_assert(external_addrs_free(NULL) == NULL);
}

/* The n-th allocation behind the circuit fails: the punch may, and nothing else.  Over one stack
 * that closes quickly. */
static void punch_lives_with_every_failing_allocation(struct fixture *t);
CASE_ON(noise, STACK_NOISE, punch_lives_with_every_failing_allocation)
static void punch_lives_with_every_failing_allocation(struct fixture *t) {
    static struct pair p;
    for (long n = 1; n <= 40; n++) {
        open_punchers(&p, t, false);
        meet(&p);
        t->mem.calls = 0;
        t->mem.fail_at = n;
        turn_for(t, MSEC(4));
        t->mem.fail_at = 0;
        close_punchers(&p);
        party_end(&t->a);
        party_end(&t->b);
    }
}

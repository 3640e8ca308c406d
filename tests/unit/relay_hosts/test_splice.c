/* SPDX-License-Identifier: MIT */

/* Goal: beside a circuit stands a spliced path, where everybody can have one, and nobody else's
 * bytes ever pass on it; it ends with what it depends on.  Spec: ADR 13. */

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/frame.h"
#include "relay/proto/splice_linger.h"
#include "relay/proto/splice_msg.h"
#include "tests/unit/relay_hosts/circuits.h"
#include "uring/sock_addr.h"

#define ALSO_TCP "/ip4/127.0.0.1/tcp/0"

static const struct hop_service_config splicing = {.splices = true};

static struct hop_service_stats stats_of(const struct circuits *c) {
    struct hop_service_stats stats;
    hop_service_stats(c->service, &stats);
    return stats;
}

/* The spliced connection of `who` to `to`, or NULL. */
static struct conn *spliced(const struct party *who, const struct party *to) {
    list_for_each (node, &who->host->conns) {
        struct conn *c = LIST_ENTRY(node, struct host_conn, host_node)->conn;
        if (peer_id_equal(&c->peer, &to->identity.id) && c->spliced)
            return c;
    }
    return NULL;
}

static void open_with(struct circuits *c, struct fixture *t,
                      const struct hop_service_config *limits) {
    circuits_open_also(c, t, limits, t->stack == STACK_QUIC ? ALSO_TCP : NULL);
    circuits_splice(c, &t->a);
    circuits_splice(c, &t->b);
    circuits_reserve(c);
    circuits_connect(c);
}

static bool both_stand(const struct fixture *t) {
    const struct conn *at_a = spliced(&t->a, &t->b);
    return at_a != NULL && at_a->confirmed && spliced(&t->b, &t->a) != NULL;
}

static void open_spliced(struct circuits *c, struct fixture *t,
                         const struct hop_service_config *limits) {
    open_with(c, t, limits);
    TURN_UNTIL(t, both_stand(t));
}

/* --- A path --- */

static void assert_path(const struct circuits *c, const struct conn *conn, bool inbound) {
    struct peer_id through;
    cr_assert(conn->relayed);
    cr_assert(conn->limited); /* as the circuit's */
    cr_assert_eq(conn->inbound, inbound);
    cr_assert_eq(multiaddr_has(&conn->remote, MULTIADDR_TCP), 1);
    cr_assert(circuit_relay_of(&conn->remote, &through));
    cr_assert(peer_id_equal(&through, &c->relay.identity.id));
}

/* Over QUIC the relay's address is learnt from it; over TCP it is that of the connection. */
CASE(splice, stands_beside_a_circuit_and_takes_its_streams) {
    static struct circuits c;
    open_spliced(&c, t, &splicing);
    assert_path(&c, spliced(&t->a, &t->b), false);
    assert_path(&c, spliced(&t->b, &t->a), true);
    cr_assert_eq(host_conns_count(t->a.host, &t->b.identity.id), 2);
    uint64_t before = stats_of(&c).bytes.to_destination;
    circuits_stream(&c);
    cr_assert(stream_conn(c.a.stream)->spliced);
    cr_assert(stream_conn(c.b.stream)->spliced);
    tap_write(&c.a, 3 << 20, true);
    tap_write(&c.b, 3 << 20, true);
    TURN_UNTIL(t, c.a.eof && c.b.eof);
    cr_assert_eq(c.a.got, 3 << 20);
    cr_assert_eq(c.b.got, 3 << 20);
    cr_assert_not(c.a.wrong || c.b.wrong);
    struct hop_service_stats stats = stats_of(&c);
    cr_assert_eq(stats.spliced.standing, 1);
    cr_assert_eq(stats.spliced.half_open, 0);
    cr_assert_eq(stats.spliced.joined, 1);
    cr_assert_eq(stats.spliced.failed, 0);
    cr_assert_eq(stats.circuits, 1);
    cr_assert_geq(stats.bytes.to_destination, before + (3 << 20));
    circuits_close(&c);
}

/* Goal: the circuit is not needed any longer once the path is joined. */
CASE(splice, outlives_its_circuit) {
    static struct circuits c;
    open_spliced(&c, t, &splicing);
    circuits_stream(&c);
    list_for_each (node, &t->a.host->conns) {
        struct conn *conn = LIST_ENTRY(node, struct host_conn, host_node)->conn;
        if (conn->relayed && !conn->spliced)
            conn->ops->close(conn, CONN_CODE_NONE);
    }
    TURN_UNTIL(t, stats_of(&c).circuits == 0);
    tap_write(&c.a, 1 << 20, true);
    TURN_UNTIL(t, c.b.eof);
    cr_assert_eq(c.b.got, 1 << 20);
    cr_assert_eq(stats_of(&c).spliced.standing, 1);
    circuits_close(&c);
}

static bool nothing_is_asked(const struct circuits *c) {
    struct hop_service_stats stats = stats_of(c);
    return stats.spliced.half_open + stats.spliced.standing == 0 &&
           stats.spliced.joined + stats.spliced.failed == 0;
}

CASE(splice, is_not_asked_for_where_the_peer_does_not_speak_it) {
    static struct circuits c;
    circuits_open(&c, t, &splicing);
    circuits_splice(&c, &t->a);
    circuits_reserve(&c);
    circuits_connect(&c);
    turn_for(t, MSEC(300));
    cr_assert(nothing_is_asked(&c));
    circuits_close(&c);
}

CASE(splice, a_relay_that_offers_none_is_let_alone) {
    static const struct hop_service_config plain;
    static struct circuits c;
    open_with(&c, t, &plain);
    TURN_UNTIL(t, splice_client_stats(c.splice_a)->failed == 1);
    turn_for(t, MSEC(300));
    cr_assert_eq(splice_client_stats(c.splice_a)->failed, 1);
    circuits_stream(&c); /* over the circuit */
    circuits_close(&c);
}

/* Goal: a relay that nobody reaches over TCP. */
CASE_QUIC(splice, needs_an_address_of_the_relays_for_tcp) {
    static struct circuits c;
    circuits_open(&c, t, &splicing);
    circuits_splice(&c, &t->a);
    circuits_splice(&c, &t->b);
    circuits_reserve(&c);
    circuits_connect(&c);
    TURN_UNTIL(t, splice_client_stats(c.splice_a)->failed == 1);
    cr_assert_eq(stats_of(&c).spliced.standing, 0);
    cr_assert_eq(stats_of(&c).spliced.half_open, 0);
    circuits_close(&c);
}

/* --- Its ends --- */

static bool none_stands(const struct circuits *c) {
    return spliced(&c->t->a, &c->t->b) == NULL && spliced(&c->t->b, &c->t->a) == NULL;
}

CASE(splice, ends_with_either_peers_right_to_use_the_relay) {
    for (int i = 0; i < 2; i++) {
        static struct circuits c;
        open_spliced(&c, t, &splicing);
        circuits_deauthorize(&c, i == 0 ? &t->a : &t->b);
        TURN_UNTIL(t, none_stands(&c));
        cr_assert_eq(stats_of(&c).spliced.standing, 0);
        circuits_close(&c);
    }
}

CASE(splice, ends_with_either_end_of_the_connection) {
    for (int i = 0; i < 2; i++) {
        static struct circuits c;
        open_spliced(&c, t, &splicing);
        struct conn *conn = i == 0 ? spliced(&t->a, &t->b) : spliced(&t->b, &t->a);
        conn->ops->close(conn, CONN_CODE_NONE);
        TURN_UNTIL(t, none_stands(&c) && stats_of(&c).spliced.standing == 0);
        cr_assert_eq(stats_of(&c).circuits, 1);
        circuits_stream(&c); /* over the circuit, which carries on */
        cr_assert_not(stream_conn(c.a.stream)->spliced);
        circuits_close(&c);
    }
}

/* Goal: in the order in which a node closes, what it has sent arrives, and its stream's end. */
CASE(splice, a_node_that_closes_loses_nothing_that_it_has_sent) {
    enum { LEN = 200000 };
    static struct circuits c;
    open_spliced(&c, t, &splicing);
    circuits_stream(&c);
    cr_assert(stream_conn(c.a.stream)->spliced);
    tap_write(&c.a, LEN, true);
    TURN_UNTIL(t, stream_unsent(c.a.stream) == 0);
    c.splice_a = splice_client_free(c.splice_a);
    party_end_start(&t->a);
    TURN_UNTIL(t, c.b.eof || c.b.closed > 0);
    cr_assert_eq(c.b.got, LEN);
    cr_assert(c.b.eof);
    cr_assert_not(c.b.wrong);
    TURN_UNTIL(t, stats_of(&c).spliced.standing == 0);
    circuits_close(&c);
}

CASE(splice, ends_when_the_relay_stops) {
    static struct circuits c;
    open_spliced(&c, t, &splicing);
    circuits_close_service(&c);
    TURN_UNTIL(t, none_stands(&c));
    circuits_close(&c);
}

/* Goal: each path has the data that a circuit has. */
CASE(splice, ends_at_the_relays_limit_of_data) {
    static const struct hop_service_config limits = {.splices = true, .circuit_bytes = 400000};
    static struct circuits c;
    open_spliced(&c, t, &limits);
    cr_assert_eq(spliced(&t->a, &t->b)->limit.data_bytes, 400000);
    circuits_stream(&c);
    cr_assert(stream_conn(c.a.stream)->spliced);
    tap_write(&c.a, 1 << 20, true);
    TURN_UNTIL(t, c.b.closed == 1 && none_stands(&c));
    cr_assert_lt(c.b.got, 400000);
    cr_assert_gt(c.b.got, 0);
    TURN_UNTIL(t, stats_of(&c).spliced.standing == 0);
    circuits_close(&c);
}

CASE(splice, ends_at_the_relays_limit_of_time) {
    static const struct hop_service_config limits = {.splices = true, .circuit_duration = SEC(1)};
    static struct circuits c;
    open_spliced(&c, t, &limits);
    TURN_UNTIL(t, none_stands(&c));
    TURN_UNTIL(t, stats_of(&c).spliced.standing == 0);
    circuits_close(&c);
}

/* --- Whom a peer believes --- */

static void say_msg(struct said *s, const struct splice_msg *m) {
    uint8_t out[SPLICE_OUT_MAX];
    say(s, bytes_of(out, splice_msg_encode(m, out)));
}

static struct splice_msg answer_to(struct said *s) {
    uint8_t memory[SPLICE_MSG_MAX];
    struct splice_msg m = {.type = SPLICE_OTHER};
    struct frame f;
    frame_init(&f, memory, sizeof(memory));
    TURN_UNTIL(s->t, s->got_len > 0 && s->got_len > s->got[0]);
    cr_assert_geq(frame_recv(&f, bytes_of(s->got, s->got_len)), 0);
    cr_assert(frame_is_whole(&f));
    cr_assert_eq(splice_msg_decode(frame_body(&f), &m), 0);
    return m;
}

static struct splice_msg offer_of(const struct party *peer) {
    return (struct splice_msg){
        .type = SPLICE_OFFER, .has_peer = true, .has_token = true, .peer = peer->identity.id};
}

CASE(splice, an_offer_without_a_circuit_is_refused) {
    static struct circuits c;
    circuits_open_also(&c, t, &splicing, t->stack == STACK_QUIC ? ALSO_TCP : NULL);
    circuits_splice(&c, &t->b);
    circuits_reserve(&c);
    struct splice_msg m = offer_of(&t->a);
    struct said *s = relay_opens(&c, &t->b, PROTOCOL_SPLICE);
    say_msg(s, &m);
    cr_assert_eq(answer_to(s).status, CIRCUIT_STATUS_NO_RESERVATION);
    TURN_UNTIL(t, s->eof);
    circuits_close(&c);
}

CASE(splice, an_offer_that_makes_no_sense_is_reset) {
    static const struct splice_msg rows[] = {
        {.type = SPLICE_ASK},
        {.type = SPLICE_STATUS, .has_status = true},
        {.type = SPLICE_OFFER, .has_token = true},
    };
    static struct circuits c;
    circuits_open(&c, t, &splicing);
    circuits_splice(&c, &t->b);
    circuits_reserve(&c);
    for (size_t i = 0; i <= ARRAY_COUNT(rows); i++) {
        struct said *s = relay_opens(&c, &t->b, PROTOCOL_SPLICE);
        if (i < ARRAY_COUNT(rows))
            say_msg(s, &rows[i]);
        else
            say(s, bytes_of("\xff\xff\xff", 3));
        TURN_UNTIL(t, s->resets == 1 || s->closed == 1);
    }
    circuits_close(&c);
}

CASE(splice, a_relay_without_a_reservation_may_not_offer) {
    static struct circuits c;
    circuits_open(&c, t, &splicing);
    circuits_splice(&c, &t->b);
    party_knows(&t->b, &c.relay);
    connect_pair(&t->b, &c.relay);
    struct said *s = relay_opens(&c, &t->b, PROTOCOL_SPLICE);
    struct splice_msg m = offer_of(&t->a);
    say_msg(s, &m);
    TURN_UNTIL(t, s->resets == 1);
    cr_assert_eq(s->reset_code, STREAM_CODE_GATED);
    circuits_close(&c);
}

/* --- Whom the relay believes: a asks by hand, and both legs are raw sockets --- */

struct raw {
    struct circuits c;
    struct said *ask;   /* a's stream to the relay */
    struct said *offer; /* b's end of the relay's stream */
    struct protocol_handler handler;
    uint8_t token[2][SPLICE_TOKEN_BYTES]; /* a's, b's */
    struct sock_addr at;
};

static void on_offered(struct protocol_handler *h, struct stream *s) {
    struct raw *r = CONTAINER_OF(h, struct raw, handler);
    r->offer = circuits_adopt(&r->c, s);
}

static bool always(struct protocol_handler *h, const struct conn *c) {
    (void)h;
    (void)c;
    return true;
}

/* Where the relay listens for TCP. */
static void raw_find_port(struct raw *r) {
    struct multiaddr listen[4];
    size_t count = host_listen_addrs(r->c.relay.host, listen, ARRAY_COUNT(listen));
    for (size_t i = 0; i < count; i++)
        if (multiaddr_kind(&listen[i]) == MULTIADDR_KIND_TCP)
            cr_assert_eq(multiaddr_to_net_addr(&listen[i], &r->at.ip), 0);
    cr_assert_neq(r->at.ip.port, 0);
}

static void raw_open(struct raw *r, struct fixture *t, const struct hop_service_config *limits) {
    *r = (struct raw){.ask = NULL};
    circuits_open_also(&r->c, t, limits, t->stack == STACK_QUIC ? ALSO_TCP : NULL);
    r->handler = (struct protocol_handler){.protocol = PROTOCOL_SPLICE,
                                           .protocol_class = CLASS_OWN,
                                           .admits = always,
                                           .accept = on_offered};
    cr_assert_eq(host_handle(t->b.host, &r->handler), 0);
    circuits_reserve(&r->c);
    circuits_connect(&r->c);
    raw_find_port(r);
}

static void raw_ask(struct raw *r) {
    struct splice_msg m = {.type = SPLICE_ASK, .has_peer = true, .peer = r->c.t->b.identity.id};
    r->offer = NULL;
    r->ask = party_opens(&r->c, &r->c.t->a, PROTOCOL_SPLICE);
    say_msg(r->ask, &m);
}

/* Both have their tokens. */
static void raw_agree(struct raw *r) {
    struct splice_msg ok = {.type = SPLICE_STATUS, .has_status = true, .status = CIRCUIT_STATUS_OK};
    raw_ask(r);
    TURN_UNTIL(r->c.t, r->offer != NULL);
    struct splice_msg m = answer_to(r->offer);
    cr_assert_eq(m.type, SPLICE_OFFER);
    cr_assert(m.has_peer && m.has_token);
    cr_assert(peer_id_equal(&m.peer, &r->c.t->a.identity.id));
    memcpy(r->token[1], m.token, sizeof(m.token));
    say_msg(r->offer, &ok);
    m = answer_to(r->ask);
    cr_assert_eq(m.status, CIRCUIT_STATUS_OK);
    cr_assert(m.has_token);
    memcpy(r->token[0], m.token, sizeof(m.token));
    cr_assert_neq(memcmp(r->token[0], r->token[1], SPLICE_TOKEN_BYTES), 0);
}

static void raw_close(struct raw *r) {
    circuits_close(&r->c);
}

/* A non-blocking socket to the relay. */
static int leg_connect(const struct raw *r) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(r->at.ip.port)};
    memcpy(&to.sin_addr, r->at.ip.ip, 4);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void leg_send(int fd, const void *data, size_t len) {
    cr_assert_eq(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static int leg_open(const struct raw *r, const uint8_t token[SPLICE_TOKEN_BYTES]) {
    uint8_t preface[SPLICE_PREFACE_BYTES];
    int fd = leg_connect(r);
    splice_preface(token, preface);
    leg_send(fd, preface, sizeof(preface));
    return fd;
}

/* What is there to read: bytes, 0 at the end, -errno. */
static ssize_t leg_read(int fd, uint8_t *out, size_t size) {
    ssize_t n = recv(fd, out, size, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

static bool leg_is_over(int fd) {
    uint8_t byte;
    ssize_t n = leg_read(fd, &byte, 1);
    return n == 0 || n == -ECONNRESET;
}

static void leg_expect(struct fixture *t, int fd, const char *text) {
    uint8_t got[64];
    size_t len = 0;
    while (len < strlen(text)) {
        ssize_t n = 0;
        TURN_UNTIL(t, (n = leg_read(fd, got + len, sizeof(got) - len)) != -EAGAIN);
        cr_assert_gt(n, 0, "%zd", n);
        len += (size_t)n;
    }
    cr_assert_eq(len, strlen(text));
    cr_assert_arr_eq(got, text, len);
}

static uint64_t unwanted(const struct raw *r) {
    return stats_of(&r->c).spliced.unwanted;
}

CASE(splice, joins_the_two_legs_with_all_that_came_early) {
    for (int first = 0; first < 2; first++) {
        static struct raw r;
        raw_open(&r, t, &splicing);
        raw_agree(&r);
        int early = leg_open(&r, r.token[first]);
        leg_send(early, "early", 5);
        turn_for(t, MSEC(50));
        cr_assert_eq(stats_of(&r.c).spliced.standing, 0);
        int late = leg_open(&r, r.token[1 - first]);
        leg_expect(t, late, "early");
        leg_send(late, "answer", 6);
        leg_expect(t, early, "answer");
        cr_assert_eq(stats_of(&r.c).spliced.standing, 1);
        (void)shutdown(early, SHUT_WR);
        TURN_UNTIL(t, leg_is_over(late));
        cr_assert_eq(stats_of(&r.c).spliced.standing, 1);
        leg_send(late, "more", 4);
        leg_expect(t, early, "more");
        (void)close(late);
        TURN_UNTIL(t, leg_is_over(early) && stats_of(&r.c).spliced.standing == 0);
        TURN_UNTIL(t, r.ask->resets + r.ask->closed > 0 && r.offer->resets + r.offer->closed > 0);
        (void)close(early);
        cr_assert_eq(unwanted(&r), 0);
        raw_close(&r);
    }
}

CASE(splice, a_leg_may_come_byte_by_byte) {
    static struct raw r;
    uint8_t preface[SPLICE_PREFACE_BYTES];
    raw_open(&r, t, &splicing);
    raw_agree(&r);
    int other = leg_open(&r, r.token[1]);
    int fd = leg_connect(&r);
    splice_preface(r.token[0], preface);
    for (size_t i = 0; i < sizeof(preface); i++) {
        cr_assert_eq(stats_of(&r.c).spliced.standing, 0);
        leg_send(fd, &preface[i], 1);
        turn_for(t, MSEC(2));
    }
    leg_send(fd, "whole", 5);
    leg_expect(t, other, "whole");
    (void)close(fd);
    (void)close(other);
    raw_close(&r);
}

CASE(splice, a_forged_a_used_and_a_foreign_token_are_shown_the_door) {
    static struct raw r;
    raw_open(&r, t, &splicing);
    raw_agree(&r);
    uint8_t forged[SPLICE_TOKEN_BYTES];
    memcpy(forged, r.token[0], sizeof(forged));
    forged[31] ^= 1;
    int stranger = leg_open(&r, forged);
    TURN_UNTIL(t, leg_is_over(stranger));
    cr_assert_eq(unwanted(&r), 1);

    int a = leg_open(&r, r.token[0]);
    turn_for(t, MSEC(50));
    int again = leg_open(&r, r.token[0]); /* its own side twice is no pair */
    TURN_UNTIL(t, leg_is_over(again));
    cr_assert_eq(unwanted(&r), 2);
    cr_assert_eq(stats_of(&r.c).spliced.standing, 0);
    cr_assert_not(leg_is_over(a));

    int b = leg_open(&r, r.token[1]);
    leg_send(b, "b", 1);
    leg_expect(t, a, "b");
    int late = leg_open(&r, r.token[1]); /* used, of a path that stands */
    TURN_UNTIL(t, leg_is_over(late));
    cr_assert_eq(unwanted(&r), 3);
    cr_assert_eq(stats_of(&r.c).spliced.standing, 1);
    int fds[] = {stranger, a, again, b, late};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        (void)close(fds[i]);
    raw_close(&r);
}

/* Goal: two paths in the making at once do not mix. */
CASE(splice, tokens_of_two_paths_join_each_its_own) {
    static struct raw r;
    uint8_t first[2][SPLICE_TOKEN_BYTES];
    raw_open(&r, t, &splicing);
    raw_agree(&r);
    memcpy(first, r.token, sizeof(first));
    raw_agree(&r);
    int a1 = leg_open(&r, first[0]);
    int b2 = leg_open(&r, r.token[1]);
    turn_for(t, MSEC(50));
    cr_assert_eq(stats_of(&r.c).spliced.standing, 0);
    int a2 = leg_open(&r, r.token[0]);
    int b1 = leg_open(&r, first[1]);
    leg_send(a1, "one", 3);
    leg_send(a2, "two", 3);
    leg_expect(t, b1, "one");
    leg_expect(t, b2, "two");
    int fds[] = {a1, a2, b1, b2};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        (void)close(fds[i]);
    raw_close(&r);
}

CASE(splice, a_leg_that_dies_while_it_waits_ends_the_path) {
    for (int side = 0; side < 2; side++) {
        static struct raw r;
        raw_open(&r, t, &splicing);
        raw_agree(&r);
        int fd = leg_open(&r, r.token[side]);
        turn_for(t, MSEC(50));
        struct linger hard = {.l_onoff = 1};
        cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
        (void)close(fd);
        TURN_UNTIL(t, r.ask->resets == 1 && r.offer->resets == 1);
        cr_assert_eq(stats_of(&r.c).spliced.failed, 1);
        int other = leg_open(&r, r.token[1 - side]); /* worthless now */
        TURN_UNTIL(t, leg_is_over(other));
        (void)close(other);
        raw_close(&r);
    }
}

CASE(splice, a_reset_of_either_leg_resets_the_other) {
    for (int side = 0; side < 2; side++) {
        static struct raw r;
        uint8_t byte;
        raw_open(&r, t, &splicing);
        raw_agree(&r);
        int fds[2] = {leg_open(&r, r.token[0]), leg_open(&r, r.token[1])};
        leg_send(fds[0], "up", 2);
        leg_expect(t, fds[1], "up");
        struct linger hard = {.l_onoff = 1};
        cr_assert_eq(setsockopt(fds[side], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
        (void)close(fds[side]);
        TURN_UNTIL(t, leg_read(fds[1 - side], &byte, 1) == -ECONNRESET);
        TURN_UNTIL(t, stats_of(&r.c).spliced.standing == 0);
        (void)close(fds[1 - side]);
        raw_close(&r);
    }
}

/* Goal: at each point at which one of the two may give up, the other one hears of it. */
CASE(splice, either_stream_that_ends_ends_a_path_in_the_making) {
    enum { AGREED, WAITING, POINTS };
    for (int i = 0; i < 2 * POINTS; i++) {
        static struct raw r;
        int fds[2] = {-1, -1};
        raw_open(&r, t, &splicing);
        raw_agree(&r);
        for (int k = 0; k < i / 2; k++)
            fds[k] = leg_open(&r, r.token[k]);
        turn_for(t, MSEC(20));
        struct said *goes = i % 2 == 0 ? r.ask : r.offer;
        struct said *stays = i % 2 == 0 ? r.offer : r.ask;
        stream_reset(goes->stream, STREAM_CODE_NONE);
        TURN_UNTIL(t, stays->resets + stays->closed > 0);
        for (int k = 0; k < i / 2; k++) {
            TURN_UNTIL(t, leg_is_over(fds[k]));
            (void)close(fds[k]);
        }
        TURN_UNTIL(t, stats_of(&r.c).spliced.standing + stats_of(&r.c).spliced.half_open == 0);
        raw_close(&r);
    }
}

/* --- A peer's own end, with much on its way to a slow reader --- */

enum { TAIL = 2 << 20 };

struct tail {
    struct raw r;
    int fds[2]; /* a's, which sends and has closed; b's, which has read nothing yet */
};

static uint8_t tail_byte(size_t at) {
    return (uint8_t)(at * 7 + (at >> 8));
}

static void tail_send(struct fixture *t, int fd) {
    static uint8_t bytes[TAIL];
    size_t sent = 0;
    for (size_t i = 0; i < TAIL; i++)
        bytes[i] = tail_byte(i);
    while (sent < TAIL) {
        ssize_t n = send(fd, bytes + sent, TAIL - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        cr_assert(n > 0 || errno == EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
        turn_for(t, MSEC(1));
    }
}

static void tail_open(struct tail *x, struct fixture *t, const struct hop_service_config *limits) {
    struct raw *r = &x->r;
    int little = 128 << 10; /* a window of two segments */
    raw_open(r, t, limits);
    raw_agree(r);
    x->fds[0] = leg_open(r, r->token[0]);
    x->fds[1] = leg_open(r, r->token[1]);
    cr_assert_eq(setsockopt(x->fds[1], SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
    TURN_UNTIL(t, stats_of(&r->c).spliced.standing == 1);
    tail_send(t, x->fds[0]);
    cr_assert_eq(shutdown(x->fds[0], SHUT_WR), 0);
}

/* Reads what there is, up to the end (0) or what broke it. */
static ssize_t tail_read(struct fixture *t, const struct tail *x, size_t *ret_got) {
    uint8_t got[8192];
    ssize_t n;
    *ret_got = 0;
    do {
        TURN_UNTIL(t, (n = leg_read(x->fds[1], got, sizeof(got))) != -EAGAIN);
        for (ssize_t i = 0; i < n; i++)
            cr_assert_eq(got[i], tail_byte((*ret_got)++));
    } while (n > 0);
    return n;
}

static void tail_close(struct tail *x) {
    (void)close(x->fds[0]);
    (void)close(x->fds[1]);
    TURN_UNTIL(x->r.c.t, stats_of(&x->r.c).spliced.standing == 0);
    raw_close(&x->r);
}

/* a ends the path: in each way in which a peer can. */
enum own_end { END_FIN, END_RESET, END_CONN, OWN_ENDS };

static void tail_end(struct tail *x, enum own_end how) {
    struct raw *r = &x->r;
    struct fixture *t = r->c.t;
    struct conn *conn = conn_to(&t->a, &r->c.relay.identity.id);
    if (how == END_FIN)
        stream_shutdown_write(r->ask->stream);
    else if (how == END_RESET)
        stream_reset(r->ask->stream, STREAM_CODE_NONE);
    else
        conn->ops->close(conn, CONN_CODE_SHUTDOWN);
    TURN_UNTIL(t, r->ask->resets + r->ask->closed > 0);
    turn_for(t, MSEC(50));
    cr_assert_eq(stats_of(&r->c).spliced.standing, 1);
    cr_assert_eq(r->offer->resets + r->offer->closed, 0);
}

CASE(splice, a_slow_reader_gets_all_when_its_source_has_ended_the_path) {
    for (enum own_end how = 0; how < OWN_ENDS; how++) {
        static struct tail x;
        size_t got;
        tail_open(&x, t, &splicing);
        tail_end(&x, how);
        cr_assert_eq(tail_read(t, &x, &got), 0, "end %d", how);
        cr_assert_eq(got, TAIL, "end %d", how);
        cr_assert_eq(stats_of(&x.r.c).spliced.standing, 1, "the reader has not ended");
        tail_close(&x);
    }
}

/* Goal: the reader's own end of its stream takes nothing from it either. */
CASE(splice, a_slow_reader_gets_all_when_both_have_ended_the_path) {
    static struct tail x;
    size_t got;
    tail_open(&x, t, &splicing);
    tail_end(&x, END_RESET);
    stream_reset(x.r.offer->stream, STREAM_CODE_NONE);
    turn_for(t, MSEC(50));
    cr_assert_eq(tail_read(t, &x, &got), 0);
    cr_assert_eq(got, TAIL);
    tail_close(&x);
}

/* Goal: who may not use the relay any more does not do so by going first. */
CASE(splice, a_right_that_is_lost_while_the_rest_is_read_ends_it_at_once) {
    for (int i = 0; i < 2; i++) {
        static struct tail x;
        size_t got;
        tail_open(&x, t, &splicing);
        tail_end(&x, END_CONN);
        circuits_deauthorize(&x.r.c, i == 0 ? &t->a : &t->b);
        cr_assert_eq(stats_of(&x.r.c).spliced.standing, 0);
        cr_assert_eq(tail_read(t, &x, &got), -ECONNRESET);
        cr_assert_lt(got, TAIL);
        tail_close(&x);
    }
}

CASE(splice, a_relay_that_stops_while_the_rest_is_read_ends_it_at_once) {
    static struct tail x;
    size_t got;
    tail_open(&x, t, &splicing);
    tail_end(&x, END_RESET);
    circuits_close_service(&x.r.c);
    cr_assert_eq(tail_read(t, &x, &got), -ECONNRESET);
    cr_assert_lt(got, TAIL);
    (void)close(x.fds[0]);
    (void)close(x.fds[1]);
    raw_close(&x.r);
}

CASE(splice, a_limit_of_time_holds_while_the_rest_is_read) {
    static const struct hop_service_config limits = {.splices = true, .circuit_duration = SEC(1)};
    static struct tail x;
    size_t got;
    tail_open(&x, t, &limits);
    tail_end(&x, END_RESET);
    TURN_UNTIL(t, stats_of(&x.r.c).spliced.standing == 0);
    cr_assert_eq(tail_read(t, &x, &got), -ECONNRESET);
    tail_close(&x);
}

/* Goal: the engine that bounds it (relay/proto/splice_linger.h) is asked. */
CASE_QUIC(splice, a_reader_that_does_not_read_the_rest_is_given_up) {
    static struct tail x;
    tail_open(&x, t, &splicing);
    tail_end(&x, END_RESET);
    nsec_t began = reactor_now(t->reactor);
    TURN_UNTIL(t, stats_of(&x.r.c).spliced.standing == 0);
    cr_assert_gt(reactor_now(t->reactor) - began, SPLICE_LINGER_STILL / 2);
    TURN_UNTIL(t, x.r.offer->resets + x.r.offer->closed > 0);
    tail_close(&x);
}

CASE(splice, whoever_speaks_again_breaks_the_path) {
    static struct raw r;
    raw_open(&r, t, &splicing);
    raw_agree(&r);
    say(r.offer, bytes_of("x", 1));
    TURN_UNTIL(t, r.ask->resets == 1);
    raw_close(&r);
}

/* Goal: the circuit must stand when the legs are joined. */
CASE(splice, is_not_joined_when_the_circuit_is_gone) {
    static struct raw r;
    raw_open(&r, t, &splicing);
    raw_agree(&r);
    struct conn *circuit = conn_to(&t->a, &t->b.identity.id);
    circuit->ops->close(circuit, CONN_CODE_NONE);
    TURN_UNTIL(t, stats_of(&r.c).circuits == 0);
    int fds[2] = {leg_open(&r, r.token[0]), leg_open(&r, r.token[1])};
    TURN_UNTIL(t, leg_is_over(fds[0]) && leg_is_over(fds[1]));
    cr_assert_eq(stats_of(&r.c).spliced.joined, 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
    raw_close(&r);
}

/* Goal: a path counts as a circuit, of which each of the two may have four. */
CASE(splice, is_not_joined_beyond_the_limit_of_circuits) {
    static struct raw r;
    struct hop_msg m = {.type = HOP_CONNECT, .has_peer = true};
    uint8_t out[CIRCUIT_OUT_MAX];
    raw_open(&r, t, &splicing);
    m.peer = t->b.identity.id;
    ssize_t n = hop_msg_encode(&m, out);
    for (uint32_t i = 1; i < 4; i++) {
        struct said *more = party_opens(&r.c, &t->a, PROTOCOL_CIRCUIT_HOP);
        say(more, bytes_of(out, (size_t)n));
        TURN_UNTIL(t, stats_of(&r.c).circuits == i + 1);
    }
    raw_agree(&r);
    int fds[2] = {leg_open(&r, r.token[0]), leg_open(&r, r.token[1])};
    TURN_UNTIL(t, leg_is_over(fds[0]) && leg_is_over(fds[1]));
    TURN_UNTIL(t, r.ask->resets == 1);
    cr_assert_eq(r.ask->reset_code, STREAM_CODE_RESOURCE_LIMIT);
    cr_assert_eq(stats_of(&r.c).spliced.joined, 0);
    cr_assert_eq(stats_of(&r.c).circuits, 4);
    (void)close(fds[0]);
    (void)close(fds[1]);
    raw_close(&r);
}

/* Goal: whoever copies a token and comes first speaks with the other peer's handshake, and gets no
 * further.  The circuit carries on. */
CASE(splice, a_thief_of_a_token_gets_no_connection) {
    static const char hello[] = "\x13/multistream/1.0.0\n\x07/noise\n\x0b/tls/1.0.0\nand so on";
    static struct raw r;
    struct splice_msg m = {.type = SPLICE_ASK, .has_peer = true};
    r = (struct raw){.ask = NULL};
    circuits_open_also(&r.c, t, &splicing, t->stack == STACK_QUIC ? ALSO_TCP : NULL);
    circuits_splice(&r.c, &t->b);
    circuits_reserve(&r.c);
    circuits_connect(&r.c);
    raw_find_port(&r);
    m.peer = t->b.identity.id;
    r.ask = party_opens(&r.c, &t->a, PROTOCOL_SPLICE);
    say_msg(r.ask, &m);
    m = answer_to(r.ask);
    cr_assert_eq(m.status, CIRCUIT_STATUS_OK);
    int thief = leg_open(&r, m.token);
    leg_send(thief, hello, sizeof(hello) - 1);
    TURN_UNTIL(t, splice_client_stats(r.c.splice_b)->failed == 1);
    (void)close(thief);
    cr_assert_null(spliced(&t->b, &t->a));
    circuits_stream(&r.c);
    tap_write(&r.c.a, 1000, true);
    TURN_UNTIL(t, r.c.b.eof);
    raw_close(&r);
}

/* --- The relay's answers --- */

static enum circuit_status refused(struct raw *r, const struct splice_msg *m) {
    struct said *s = party_opens(&r->c, &r->c.t->a, PROTOCOL_SPLICE);
    say_msg(s, m);
    struct splice_msg answer = answer_to(s);
    cr_assert_eq(answer.type, SPLICE_STATUS);
    cr_assert_not(answer.has_token);
    TURN_UNTIL(r->c.t, s->eof);
    return (enum circuit_status)answer.status;
}

CASE(splice, what_cannot_be_is_refused_by_its_status) {
    static struct raw r;
    struct splice_msg nobody = {
        .type = SPLICE_ASK, .has_peer = true, .peer = {.len = 3, .bytes = {0, 1, 9}}};
    struct splice_msg self = nobody;
    raw_open(&r, t, &splicing);
    self.peer = t->a.identity.id;
    cr_assert_eq(refused(&r, &nobody), CIRCUIT_STATUS_NO_RESERVATION);
    cr_assert_eq(refused(&r, &self), CIRCUIT_STATUS_NO_RESERVATION);
    cr_assert_eq(refused(&r, &(struct splice_msg){.type = SPLICE_ASK}),
                 CIRCUIT_STATUS_MALFORMED_MESSAGE);
    cr_assert_eq(refused(&r, &(struct splice_msg){.type = SPLICE_OFFER}),
                 CIRCUIT_STATUS_UNEXPECTED_MESSAGE);
    cr_assert_eq(stats_of(&r.c).spliced.half_open, 0);
    raw_close(&r);
}

CASE(splice, a_destination_that_refuses_or_goes_is_a_failed_connection) {
    for (int i = 0; i < 4; i++) {
        static struct raw r;
        raw_open(&r, t, &splicing);
        raw_ask(&r);
        TURN_UNTIL(t, r.offer != NULL);
        struct splice_msg no = {.type = SPLICE_STATUS, .has_status = true, .status = 202};
        if (i == 0)
            say_msg(r.offer, &no);
        else if (i == 1)
            stream_reset(r.offer->stream, STREAM_CODE_NONE);
        else if (i == 2)
            stream_shutdown_write(r.offer->stream);
        else
            say(r.offer, bytes_of("\x01\xff", 2));
        cr_assert_eq(answer_to(r.ask).status, CIRCUIT_STATUS_CONNECTION_FAILED, "%d", i);
        cr_assert_eq(stats_of(&r.c).spliced.failed, 1);
        raw_close(&r);
    }
}

CASE(splice, two_peers_have_two_in_the_making) {
    static struct raw r;
    raw_open(&r, t, &splicing);
    for (int i = 0; i < SPLICE_TICKETS_PER_PAIR_MAX; i++)
        raw_agree(&r);
    raw_ask(&r);
    cr_assert_eq(answer_to(r.ask).status, CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED);
    TURN_UNTIL(t, stats_of(&r.c).spliced.half_open == SPLICE_TICKETS_PER_PAIR_MAX);
    raw_close(&r);
}

/* Goal: streams on which nothing is asked are in nobody's way but their own peer's. */
CASE(splice, a_peer_that_asks_for_nothing_has_four_streams) {
    static struct raw r;
    struct said *silent[SPLICE_HALF_OPEN_PER_PEER_MAX];
    raw_open(&r, t, &splicing);
    for (int i = 0; i < SPLICE_HALF_OPEN_PER_PEER_MAX; i++)
        silent[i] = party_opens(&r.c, &t->a, PROTOCOL_SPLICE);
    TURN_UNTIL(t, stats_of(&r.c).spliced.half_open == SPLICE_HALF_OPEN_PER_PEER_MAX);
    for (uint64_t i = 1; i <= 20; i++) {
        raw_ask(&r);
        TURN_UNTIL(t, r.ask->resets == 1);
        cr_assert_eq(r.ask->reset_code, STREAM_CODE_RESOURCE_LIMIT);
        cr_assert_eq(stats_of(&r.c).spliced.refused, i);
    }
    cr_assert_eq(stats_of(&r.c).spliced.half_open, SPLICE_HALF_OPEN_PER_PEER_MAX);
    (void)party_opens(&r.c, &t->b, PROTOCOL_SPLICE); /* another one is let in */
    TURN_UNTIL(t, stats_of(&r.c).spliced.half_open == SPLICE_HALF_OPEN_PER_PEER_MAX + 1);
    stream_reset(silent[0]->stream, STREAM_CODE_NONE);
    TURN_UNTIL(t, stats_of(&r.c).spliced.half_open == SPLICE_HALF_OPEN_PER_PEER_MAX);
    raw_agree(&r);
    raw_close(&r);
}

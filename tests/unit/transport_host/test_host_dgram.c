/* SPDX-License-Identifier: MIT */
/* Goal: STUN and punch packets go over the sockets that QUIC uses, with the right addresses, and
 * do the connections there no harm. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/rng.h"
#include "hosts.h"
#include "transport/quic_transport.h"
#include "uring/sock.h"

#define COOKIE 0x21, 0x12, 0xa4, 0x42

enum { DGRAM_MAX = QUIC_PACKET_BYTES_MAX };

struct sink {
    struct dgram_sink sink; /* first */
    int count;
    struct net_addr local;
    struct net_addr remote;
    uint8_t bytes[DGRAM_MAX];
    size_t len;
    struct transport *answers; /* NULL: it does not */
};

static void on_received(struct dgram_sink *sink, const struct net_addr *local,
                        const struct net_addr *remote, struct bytes datagram) {
    struct sink *s = CONTAINER_OF(sink, struct sink, sink);
    s->count++;
    s->local = *local;
    s->remote = *remote;
    s->len = MIN(datagram.len, sizeof(s->bytes));
    memcpy(s->bytes, datagram.data, s->len);
    if (s->answers != NULL)
        cr_assert_eq(quic_transport_send_raw(s->answers, local, remote, datagram), 0);
}

static void sink_set(struct sink *s, struct party *p, enum dgram_kind kind) {
    *s = (struct sink){.sink.received = on_received};
    quic_transport_set_sink(host_quic(p->host), kind, &s->sink);
}

/* --- A socket that is nobody's --- */

struct stranger {
    int fd;
    struct net_addr addr;
};

static void stranger_open(struct stranger *s, uint8_t family) {
    struct net_addr any = {.family = family};
    union sock_name name;
    any.ip[family == NET_IP4 ? 0 : 15] = family == NET_IP4 ? 127 : 1;
    any.ip[3] = family == NET_IP4;
    int len = sock_name_from(&(struct sock_addr){.ip = any}, &name);
    s->fd = socket(name.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_geq(s->fd, 0);
    cr_assert_eq(bind(s->fd, &name.sa, (socklen_t)len), 0);
    socklen_t size = sizeof(name);
    struct sock_addr bound;
    cr_assert_eq(getsockname(s->fd, &name.sa, &size), 0);
    sock_name_to(&name, size, &bound);
    s->addr = bound.ip;
}

static void stranger_send(const struct stranger *s, const struct net_addr *to, const void *data,
                          size_t len) {
    union sock_name name;
    int size = sock_name_from(&(struct sock_addr){.ip = *to}, &name);
    cr_assert_eq(sendto(s->fd, data, len, 0, &name.sa, (socklen_t)size), (ssize_t)len);
}

/* Bytes, or -1; from where. */
static ssize_t stranger_read(const struct stranger *s, uint8_t *data, struct net_addr *ret_from) {
    union sock_name name;
    socklen_t size = sizeof(name);
    struct sock_addr from;
    ssize_t n = recvfrom(s->fd, data, DGRAM_MAX, 0, &name.sa, &size);
    if (n < 0)
        return -1;
    sock_name_to(&name, size, &from);
    *ret_from = from.ip;
    return n;
}

static struct net_addr addr_of(const struct party *p) {
    struct net_addr a;
    cr_assert_eq(multiaddr_to_net_addr(&p->addr, &a), 0);
    return a;
}

/* --- Receiving --- */

static const uint8_t stun[20] = {0, 1, 0, 0, COOKIE, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static void asks_and_gets_an_answer(struct fixture *t, const char *listen, struct net_addr at) {
    struct stranger s;
    static struct sink sink;
    uint8_t data[DGRAM_MAX];
    struct net_addr from;
    ssize_t n;
    party_open(&t->b, t, 2, &(struct party_options){.listen = listen});
    sink_set(&sink, &t->b, DGRAM_STUN_REQUEST);
    sink.answers = host_quic(t->b.host);
    stranger_open(&s, at.family);
    at.port = addr_of(&t->b).port;
    stranger_send(&s, &at, stun, sizeof(stun));
    TURN_UNTIL(t, sink.count == 1 && (n = stranger_read(&s, data, &from)) >= 0);
    cr_expect(net_addr_equal(&sink.local, &at));
    cr_expect(net_addr_equal(&sink.remote, &s.addr));
    cr_expect_eq(sink.len, sizeof(stun));
    cr_expect_arr_eq(sink.bytes, stun, sizeof(stun));
    cr_expect_eq((size_t)n, sizeof(stun));
    cr_expect_arr_eq(data, stun, sizeof(stun));
    cr_expect(net_addr_equal(&from, &at), "it left from another address than was asked");
    close(s.fd);
    party_end(&t->b);
}

CASE_QUIC(dgram, stun_is_answered_from_the_address_that_was_asked) {
    struct net_addr at = {.family = NET_IP4, .ip = {127, 0, 0, 77}};
    asks_and_gets_an_answer(t, t->traits->all_ip4, at);
    at.ip[3] = 1;
    asks_and_gets_an_answer(t, t->traits->any_ip4, at);
    at = (struct net_addr){.family = NET_IP6, .ip = {[15] = 1}};
    asks_and_gets_an_answer(t, t->traits->any_ip6, at);
}

static int all_count(const struct sink sinks[DGRAM_KINDS_COUNT]) {
    int count = 0;
    for (int k = 0; k < DGRAM_KINDS_COUNT; k++)
        count += sinks[k].count;
    return count;
}

CASE_QUIC(dgram, kinds_are_told_apart) {
    static const struct {
        size_t len;
        enum dgram_kind kind;
        uint8_t start[8];
    } ROWS[] = {
        {20, DGRAM_STUN_REQUEST, {0, 1, 0, 0, COOKIE}},
        {100, DGRAM_STUN_ANSWER, {1, 1, 0, 80, COOKIE}},
        {20, DGRAM_STUN_ANSWER, {3, 0xff, 0, 0, COOKIE}},
        {20, DGRAM_STRAY, {4, 1, 0, 0, COOKIE}},
        {19, DGRAM_STRAY, {0, 1, 0, 0, COOKIE}},
        {20, DGRAM_STRAY, {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x43}},
        {1, DGRAM_STRAY, {0}},
        {64, DGRAM_STRAY, {0x20}},
        {64, DGRAM_STRAY, {0x40, 9, 9}},          /* a short header of no connection's */
        {5, DGRAM_STRAY, {0x40}},                 /* too short for one */
        {64, DGRAM_STRAY, {0xc0, 0, 0, 0, 1, 8}}, /* a small Initial begins nothing */
        {64, DGRAM_STRAY, {0xe0, 0, 0, 0, 1, 8}}, /* a Handshake of no connection's */
        {64, DGRAM_STRAY, {0xc0, 1, 2, 3, 4, 8}}, /* another version, too small to answer */
        {64, DGRAM_STRAY, {0x80, 0, 0, 0, 0, 8}}, /* Version Negotiation */
        {64, DGRAM_STRAY, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    };
    static struct sink sinks[DGRAM_KINDS_COUNT];
    int wanted[DGRAM_KINDS_COUNT] = {0};
    struct stranger s;
    party_open(&t->b, t, 2, &(struct party_options){0});
    for (enum dgram_kind k = 0; k < DGRAM_KINDS_COUNT; k++)
        sink_set(&sinks[k], &t->b, k);
    stranger_open(&s, NET_IP4);
    struct net_addr to = addr_of(&t->b);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        uint8_t data[DGRAM_MAX] = {0};
        memcpy(data, ROWS[i].start, MIN(ROWS[i].len, sizeof(ROWS[i].start)));
        wanted[ROWS[i].kind]++;
        stranger_send(&s, &to, data, ROWS[i].len);
        TURN_UNTIL(t, all_count(sinks) == (int)i + 1);
        cr_assert_eq(sinks[ROWS[i].kind].count, wanted[ROWS[i].kind], "row %zu", i);
        cr_assert_eq(sinks[ROWS[i].kind].len, ROWS[i].len, "row %zu", i);
    }
    close(s.fd);
}

/* --- Sending --- */

CASE_QUIC(dgram, leaves_from_the_port_that_we_listen_on) {
    struct stranger s;
    uint8_t data[DGRAM_MAX];
    struct net_addr from;
    ssize_t n;
    party_open(&t->b, t, 2, &(struct party_options){0});
    stranger_open(&s, NET_IP4);
    cr_assert_eq(quic_transport_send_raw(host_quic(t->b.host), NULL, &s.addr, BYTES_LIT("punch")),
                 0);
    TURN_UNTIL(t, (n = stranger_read(&s, data, &from)) >= 0);
    cr_expect_eq(n, 5);
    struct net_addr at = addr_of(&t->b);
    cr_expect(net_addr_equal(&from, &at));
    close(s.fd);
}

CASE_QUIC(dgram, who_does_not_listen_has_one_port_for_it) {
    struct stranger s;
    uint8_t data[DGRAM_MAX];
    struct net_addr from[2];
    party_open(&t->a, t, 1, &(struct party_options){.listen = ""});
    stranger_open(&s, NET_IP4);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(
            quic_transport_send_raw(host_quic(t->a.host), NULL, &s.addr, BYTES_LIT("punch")), 0);
        TURN_UNTIL(t, stranger_read(&s, data, &from[i]) == 5);
    }
    cr_expect(net_addr_equal(&from[0], &from[1]));
    static struct sink sink;
    sink_set(&sink, &t->a, DGRAM_STUN_REQUEST);
    stranger_send(&s, &from[0], stun, sizeof(stun));
    TURN_UNTIL(t, sink.count == 1);
    cr_expect(net_addr_equal(&sink.local, &from[0]));
    close(s.fd);
}

/* Spec: libp2p dcutr.md: an ICMP answer to a punch must not kill the socket. */
CASE_QUIC(dgram, punches_at_closed_ports_do_no_harm) {
    enum { PUNCHES = 100 }; /* more errors than a socket is allowed in a row */
    struct stranger gone;
    struct stream_pair p;
    open_pair(t);
    stream_pair_open(&p, t);
    stranger_open(&gone, NET_IP4);
    close(gone.fd);
    struct transport *quic = host_quic(t->a.host);
    for (int i = 0; i < PUNCHES; i++) {
        cr_assert_eq(quic_transport_send_raw(quic, NULL, &gone.addr, BYTES_LIT("anybody there?")),
                     0);
        TURN_UNTIL(t, quic_transport_dgram_stats(quic)->sent == (uint64_t)i + 1);
    }
    cr_expect_eq(quic_transport_dgram_stats(quic)->failed, 0u);
    tap_write(&p.a, 1 << 20, true);
    tap_write(&p.b, 1 << 20, true);
    TURN_UNTIL(t, p.a.closed == 1 && p.b.closed == 1);
    cr_assert(p.a.got == 1 << 20 && p.b.got == 1 << 20);
    cr_assert(p.a.closed_error == 0 && p.b.closed_error == 0);
    stream_pair_end(&p);
    /* And the socket still takes what is new. */
    party_end(&t->a);
    party_open(&t->a, t, 3, &(struct party_options){0});
    party_knows(&t->a, &t->b);
    connect_pair(&t->a, &t->b);
}

/* --- Garbage --- */

/* Whatever the kernel and the limits drop of it. */
static void send_garbage(struct fixture *t, const struct stranger *s, uint8_t first, size_t len,
                         bool version_1) {
    static uint8_t data[DGRAM_MAX];
    struct net_addr b = addr_of(&t->b);
    int e = -EAGAIN;
    rng_fill(reactor_rng(t->reactor), data, len);
    data[0] = first;
    if (version_1 && len >= 6)
        memcpy(data + 1, (uint8_t[]){0, 0, 0, 1, 8}, 5);
    stranger_send(s, &b, data, len);
    /* As from the peer itself: by its own socket. */
    while ((e = quic_transport_send_raw(host_quic(t->a.host), NULL, &b, bytes_of(data, len))) ==
           -EAGAIN)
        cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(1)), 0);
    cr_assert_eq(e, 0);
}

CASE_QUIC(dgram, garbage_of_every_first_byte_does_no_harm) {
    static const size_t sizes[] = {1, 20, 64, 1200, DGRAM_MAX};
    static struct sink sink;
    struct stranger s;
    struct stream_pair p;
    open_pair(t);
    stream_pair_open(&p, t);
    stranger_open(&s, NET_IP4);
    sink_set(&sink, &t->b, DGRAM_STRAY);
    struct conn *before = only_conn(&t->b)->conn;
    for (int first = 0; first < 256; first++) {
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
            send_garbage(t, &s, (uint8_t)first, sizes[i], false);
            send_garbage(t, &s, (uint8_t)first, sizes[i], true);
        }
        tap_write(&p.a, 5000, false);
        tap_write(&p.b, 5000, false);
        cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(1)), 0);
    }
    tap_write(&p.a, 1, true);
    tap_write(&p.b, 1, true);
    TURN_UNTIL(t, p.a.closed == 1 && p.b.closed == 1);
    cr_assert(p.a.got == 256 * 5000 + 1 && p.b.got == 256 * 5000 + 1);
    cr_assert(p.a.closed_error == 0 && p.b.closed_error == 0);
    cr_assert_not(p.a.wrong || p.b.wrong);
    cr_assert_eq(conns_count(&t->a), 1u);
    cr_assert_eq(only_conn(&t->b)->conn, before);
    cr_assert_gt(sink.count, 0);
    stream_pair_end(&p);
    close(s.fd);
}

/* SPDX-License-Identifier: MIT */
/* Goal: what shares a socket with QUIC is bounded both ways and counted, and neither waits for the
 * other.  The backend ends sends when the test says, and time stands. */

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "core/base/err.h"
#include "core/p2p/identity.h"
#include "tests/unit/uring/fake_backend.h"
#include "transport/proto/quic_conn.h"
#include "transport/proto/tls_cert.h"
#include "transport/quic_transport.h"

enum { STUN_PER_SECOND = 2000, STRAYS_PER_SECOND = 200, DGRAM_LEN = 20 };

struct sink {
    struct dgram_sink sink; /* first */
    struct fixture *owner;
    enum dgram_kind kind;
    int count;
    bool leaves; /* when it receives */
};

struct fixture {
    struct reactor *reactor;
    struct fake *fake;
    struct transport *transport;
    struct sink stun;
    struct sink stray;
    struct dial dials[QUIC_SEND_SLOTS];
    struct net_addr ours;
    struct net_addr theirs;
    bool closed;
};

static const struct transport_events no_events;

static void on_received(struct dgram_sink *sink, const struct net_addr *local,
                        const struct net_addr *remote, struct bytes datagram) {
    struct sink *s = CONTAINER_OF(sink, struct sink, sink);
    cr_assert(net_addr_equal(local, &s->owner->ours));
    cr_assert(net_addr_equal(remote, &s->owner->theirs));
    cr_assert_eq(datagram.len, (size_t)DGRAM_LEN);
    s->count++;
    if (s->leaves)
        quic_transport_set_sink(s->owner->transport, s->kind, NULL);
}

static void sink_set(struct fixture *f, struct sink *s, enum dgram_kind kind) {
    *s = (struct sink){.sink.received = on_received, .owner = f, .kind = kind};
    quic_transport_set_sink(f->transport, kind, &s->sink);
}

static void setup(struct fixture *f) {
    uint8_t seed[ED25519_SEED_BYTES] = {1};
    struct identity identity;
    struct tls_cert cert;
    struct multiaddr at;
    *f = (struct fixture){0};
    f->fake = fake_new(&f->reactor);
    reactor_make_current(f->reactor);
    cr_assert_eq(identity_from_seed(seed, &identity), 0);
    cr_assert_eq(tls_cert_make(&identity, reactor_rng(f->reactor), &cert), 0);
    cr_assert_eq(quic_transport_new(f->reactor, &cert, NULL, &no_events, NULL, &f->transport), 0);
    tls_cert_done(&cert);
    cr_assert_eq(multiaddr_parse("/ip4/192.0.2.1/udp/1000/quic-v1", &at), 0);
    cr_assert_eq(f->transport->ops->listen(f->transport, &at, NULL), 0);
    cr_assert_eq(net_addr_parse("192.0.2.1:1000", &f->ours), 0);
    cr_assert_eq(net_addr_parse("198.51.100.7:3478", &f->theirs), 0);
}

static void on_closed(void *user) {
    ((struct fixture *)user)->closed = true;
}

static void teardown(struct fixture *f) {
    f->transport->ops->close(f->transport, 0, on_closed, f);
    for (int i = 0; i < 1000 && !f->closed; i++) {
        while (fake_has(f->fake, OP_UDP_SEND))
            fake_end(f->reactor, f->fake, OP_UDP_SEND, 1200);
        f->fake->now += MSEC(20);
        fake_turn(f->reactor);
    }
    cr_assert(f->closed);
    f->transport->ops->free(f->transport);
    fake_free(f->reactor);
}

static int send_raw(struct fixture *f, size_t len) {
    static uint8_t data[QUIC_PACKET_BYTES_MAX + 1];
    return quic_transport_send_raw(f->transport, NULL, &f->theirs, bytes_of(data, len));
}

static const struct dgram_stats *stats_of(const struct fixture *f) {
    return quic_transport_dgram_stats(f->transport);
}

/* --- Sending --- */

Test(quic_dgram, what_finds_no_room_is_dropped_and_counted) {
    static struct fixture f;
    setup(&f);
    for (int i = 0; i < QUIC_RAW_SLOTS; i++)
        cr_assert_eq(send_raw(&f, 64), 0);
    cr_assert_eq(send_raw(&f, 64), -EAGAIN);
    cr_assert_eq(stats_of(&f)->dropped, 1u);
    cr_assert_eq(stats_of(&f)->sent, 0u);
    fake_end(f.reactor, f.fake, OP_UDP_SEND, 64);
    fake_end(f.reactor, f.fake, OP_UDP_SEND, -EPERM);
    cr_assert_eq(stats_of(&f)->sent, 1u);
    cr_assert_eq(stats_of(&f)->failed, 1u);
    cr_assert_eq(send_raw(&f, 64), 0);
    cr_assert_eq(send_raw(&f, 64), 0);
    cr_assert_eq(send_raw(&f, 64), -EAGAIN);
    cr_assert_eq(stats_of(&f)->dropped, 2u);
    teardown(&f); /* with all of them in flight */
}

static void on_dialled(struct dial *d, struct conn *c, int error, const struct problem *why) {
    (void)c;
    (void)error;
    (void)why;
    d->handle = NULL;
}

Test(quic_dgram, connections_that_fill_the_socket_do_not_keep_it_from_others) {
    static struct fixture f;
    setup(&f);
    for (size_t i = 0; i < QUIC_SEND_SLOTS; i++) {
        struct dial *d = &f.dials[i];
        *d = (struct dial){.transport = f.transport, .done = on_dialled};
        list_init(&d->node);
        multiaddr_from_net_addr(&f.theirs, MULTIADDR_KIND_QUIC, &d->to);
        cr_assert_eq(f.transport->ops->dial(f.transport, d), 0);
    }
    fake_turn(f.reactor);
    cr_assert_eq(f.fake->flying_count, (size_t)QUIC_SEND_SLOTS + 1, "and the receive");
    cr_assert_eq(send_raw(&f, 64), 0);
    cr_assert_eq(f.fake->flying_count, (size_t)QUIC_SEND_SLOTS + 2);
    teardown(&f);
}

Test(quic_dgram, the_copy_leaves_from_where_it_was_asked_to) {
    static struct fixture f;
    uint8_t data[] = "before";
    setup(&f);
    cr_assert_eq(quic_transport_send_raw(f.transport, &f.ours, &f.theirs, BYTES_OF(data)), 0);
    memcpy(data, "after!", sizeof(data));
    const struct udp_out *out = fake_find(f.fake, OP_UDP_SEND)->data;
    cr_assert_eq(out->len, sizeof(data));
    cr_assert_str_eq((const char *)out->data, "before");
    cr_assert(net_addr_equal(&out->remote, &f.theirs));
    cr_assert(net_addr_equal(&out->local, &f.ours));
    teardown(&f);
}

Test(quic_dgram, refusals_have_their_errors) {
    static struct fixture f;
    struct net_addr other;
    uint8_t data[20] = {0};
    setup(&f);
    cr_expect_eq(send_raw(&f, 0), -EMSGSIZE);
    cr_expect_eq(send_raw(&f, QUIC_PACKET_BYTES_MAX + 1), -EMSGSIZE);
    cr_expect_eq(send_raw(&f, QUIC_PACKET_BYTES_MAX), 0);
    static const char *const others[] = {"192.0.2.1:1001", "[2001:db8::1]:1000"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        cr_assert_eq(net_addr_parse(others[i], &other), 0);
        cr_expect_eq(quic_transport_send_raw(f.transport, &other, &f.theirs, BYTES_OF(data)),
                     -EADDRNOTAVAIL, "%s", others[i]);
    }
    f.transport->ops->close(f.transport, 0, on_closed, &f);
    cr_expect_eq(send_raw(&f, 64), -ERR_SHUTDOWN);
    cr_expect_eq(stats_of(&f)->dropped, 0u);
    while (!f.closed)
        fake_turn(f.reactor);
    f.transport->ops->free(f.transport);
    fake_free(f.reactor);
}

/* --- Receiving --- */

static void deliver(struct fixture *f, bool stun, int count) {
    static uint8_t data[DGRAM_LEN] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    struct udp_batch batch = {.data = data,
                              .len = sizeof(data),
                              .segment_len = sizeof(data),
                              .remote = f->theirs,
                              .local = f->ours};
    data[0] = stun ? 0 : 5;
    fake_find(f->fake, OP_UDP_RECV)->data = &batch;
    for (int i = 0; i < count; i++)
        op_complete(fake_find(f->fake, OP_UDP_RECV), DGRAM_LEN, OP_MORE);
}

Test(quic_dgram, each_kind_has_so_many_a_second) {
    static struct fixture f;
    setup(&f);
    sink_set(&f, &f.stun, DGRAM_STUN_REQUEST);
    sink_set(&f, &f.stray, DGRAM_STRAY);
    deliver(&f, false, STRAYS_PER_SECOND + 7);
    cr_expect_eq(f.stray.count, STRAYS_PER_SECOND);
    cr_expect_eq(f.stun.count, 0);
    deliver(&f, true, STUN_PER_SECOND + 3);
    cr_expect_eq(f.stun.count, STUN_PER_SECOND, "strays took none of it");
    f.fake->now += SEC(1) - 1;
    fake_turn(f.reactor);
    deliver(&f, true, 1);
    cr_expect_eq(f.stun.count, STUN_PER_SECOND);
    f.fake->now += 1;
    fake_turn(f.reactor);
    deliver(&f, true, 1);
    deliver(&f, false, 1);
    cr_expect_eq(f.stun.count, STUN_PER_SECOND + 1);
    cr_expect_eq(f.stray.count, STRAYS_PER_SECOND + 1);
    cr_expect_eq(stats_of(&f)->received[DGRAM_STUN_REQUEST], (uint64_t)f.stun.count);
    cr_expect_eq(stats_of(&f)->received[DGRAM_STRAY], (uint64_t)f.stray.count);
    cr_expect_eq(stats_of(&f)->refused[DGRAM_STUN_REQUEST], 4u);
    cr_expect_eq(stats_of(&f)->refused[DGRAM_STRAY], 7u);
    teardown(&f);
}

Test(quic_dgram, what_nobody_wants_is_counted) {
    static struct fixture f;
    setup(&f);
    deliver(&f, true, 2);
    deliver(&f, false, 3);
    cr_expect_eq(stats_of(&f)->refused[DGRAM_STUN_REQUEST], 2u);
    cr_expect_eq(stats_of(&f)->refused[DGRAM_STRAY], 3u);
    sink_set(&f, &f.stun, DGRAM_STUN_REQUEST);
    f.stun.leaves = true;
    deliver(&f, true, 3);
    cr_expect_eq(f.stun.count, 1);
    cr_expect_eq(stats_of(&f)->refused[DGRAM_STUN_REQUEST], 4u);
    teardown(&f);
}

/* SPDX-License-Identifier: MIT */
/* More connections than slots to send from: each gets its turn; and how many handshakes one address
 * may have running.  The backend ends sends when the test says. */

#include <criterion/criterion.h>

#include "core/p2p/identity.h"
#include "tests/unit/uring/fake_backend.h"
#include "transport/proto/tls_cert.h"
#include "transport/quic_transport_internal.h"
#include "transport/transport.h"

enum { DIALS = QUIC_SEND_SLOTS + 2 };

struct fixture {
    struct reactor *reactor;
    struct fake *fake;
    struct transport *transport;
    struct dial dials[DIALS];
    bool closed;
};

static void on_dialled(struct dial *d, struct conn *c, int error, const struct problem *why) {
    (void)why;
    cr_assert_null(c);
    cr_assert_lt(error, 0);
    d->handle = NULL;
}

static const struct transport_events no_events;

static void setup(struct fixture *f) {
    uint8_t seed[ED25519_SEED_BYTES] = {1};
    struct identity identity;
    struct tls_cert cert;
    *f = (struct fixture){0};
    f->fake = fake_new(&f->reactor);
    reactor_make_current(f->reactor);
    cr_assert_eq(identity_from_seed(seed, &identity), 0);
    cr_assert_eq(tls_cert_make(&identity, reactor_rng(f->reactor), &cert), 0);
    cr_assert_eq(quic_transport_new(f->reactor, &cert, NULL, &no_events, NULL, &f->transport), 0);
    tls_cert_done(&cert);
}

static void start_dial(struct fixture *f, uint16_t i) {
    struct net_addr to;
    struct dial *d = &f->dials[i];
    cr_assert_eq(net_addr_parse("192.0.2.9:4001", &to), 0);
    *d = (struct dial){.transport = f->transport, .done = on_dialled};
    list_init(&d->node);
    multiaddr_from_net_addr(&to, MULTIADDR_KIND_QUIC, &d->to);
    cr_assert_eq(f->transport->ops->dial(f->transport, d), 0);
}

static size_t sends_in_flight(const struct fixture *f) {
    size_t n = 0;
    for (size_t i = 0; i < f->fake->flying_count; i++)
        n += f->fake->flying[i]->kind == OP_UDP_SEND;
    return n;
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

Test(quic_slots, a_slot_that_the_first_in_line_does_not_need_goes_to_the_second) {
    struct fixture f;
    setup(&f);
    for (uint16_t i = 0; i < DIALS; i++)
        start_dial(&f, i);
    fake_turn(f.reactor);
    cr_assert_eq(sends_in_flight(&f), (size_t)QUIC_SEND_SLOTS);

    f.transport->ops->cancel(f.transport, &f.dials[QUIC_SEND_SLOTS]);
    fake_end(f.reactor, f.fake, OP_UDP_SEND, 1200);
    fake_turn(f.reactor);
    cr_expect_eq(sends_in_flight(&f), (size_t)QUIC_SEND_SLOTS);
    teardown(&f);
}

Test(quic_slots, who_found_no_memory_to_send_from_looks_again) {
    struct fixture f;
    struct buf *held[8192];
    size_t held_count = 0;
    setup(&f);
    struct buf *b;
    while ((b = buf_new(reactor_pool(f.reactor), BUF_64K, NULL)) != NULL) {
        cr_assert_lt(held_count, ARRAY_COUNT(held));
        held[held_count++] = b;
    }
    start_dial(&f, 0);
    fake_turn(f.reactor);
    cr_assert_eq(sends_in_flight(&f), 0u);

    while (held_count > 0)
        (void)buf_unref(held[--held_count]);
    f.fake->now += MSEC(20);
    fake_turn(f.reactor);
    cr_expect_eq(sends_in_flight(&f), 1u);
    teardown(&f);
}

/* The first packet of a client that never goes on. */
static void deliver_initial(struct fixture *f, const char *from) {
    const struct quic_transport *t = CONTAINER_OF(f->transport, struct quic_transport, base);
    static uint8_t packet[UDP_SEND_BYTES_MAX];
    struct udp_batch batch = {.data = packet};
    struct quota quota = QUOTA_INIT(MIB(1), NULL);
    struct quic_conn_config cfg = {.mem = reactor_mem(f->reactor),
                                   .rng = reactor_rng(f->reactor),
                                   .pool = reactor_pool(f->reactor),
                                   .quota = &quota,
                                   .tls = t->tls,
                                   .reset_key = t->reset_key};
    struct quic_batch out;
    struct quic_conn *client;
    cr_assert_eq(net_addr_parse(from, &batch.remote), 0);
    cr_assert_eq(net_addr_parse("192.0.2.1:4001", &batch.local), 0);
    struct quic_path path = {.local = batch.remote, .remote = batch.local};
    cr_assert_eq(quic_conn_connect(&cfg, &path, reactor_now(f->reactor), &client), 0);
    cr_assert(quic_conn_pull(client, packet, sizeof(packet), &out, reactor_now(f->reactor)));
    (void)quic_conn_free(client);
    batch.len = out.len;
    batch.segment_len = out.segment_len;
    fake_find(f->fake, OP_UDP_RECV)->data = &batch;
    fake_more(f->reactor, f->fake, OP_UDP_RECV, (int32_t)out.len);
    while (fake_has(f->fake, OP_UDP_SEND))
        fake_end(f->reactor, f->fake, OP_UDP_SEND, 1200);
}

Test(quic_half_open, one_address_cannot_take_the_handshakes_of_others) {
    struct fixture f;
    struct multiaddr at;
    setup(&f);
    const struct quic_transport *t = CONTAINER_OF(f.transport, struct quic_transport, base);
    cr_assert_eq(multiaddr_parse("/ip4/192.0.2.1/udp/4001/quic-v1", &at), 0);
    cr_assert_eq(f.transport->ops->listen(f.transport, &at, NULL), 0);
    for (int i = 0; i < QUIC_HALF_OPEN_PER_IP_MAX + 20; i++)
        deliver_initial(&f, "198.51.100.7:1");
    cr_assert_eq(t->half_open.count, QUIC_HALF_OPEN_PER_IP_MAX, "%u half open", t->half_open.count);
    for (int i = 0; i < 5; i++)
        deliver_initial(&f, "198.51.100.8:1");
    cr_assert_eq(t->half_open.count, QUIC_HALF_OPEN_PER_IP_MAX + 5);
    for (int i = 0; i < QUIC_HALF_OPEN_PER_IP_MAX + 20; i++)
        deliver_initial(&f, "127.0.0.1:1");
    cr_assert_eq(t->half_open.count, 2 * QUIC_HALF_OPEN_PER_IP_MAX + 25, "loopback is not counted");
    teardown(&f);
}

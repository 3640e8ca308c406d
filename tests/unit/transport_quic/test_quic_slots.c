/* SPDX-License-Identifier: MIT */
/* More connections than slots to send from: each gets its turn.  The backend ends sends when the
 * test says. */

#include <criterion/criterion.h>

#include "core/p2p/identity.h"
#include "tests/unit/uring/fake_backend.h"
#include "transport/proto/tls_cert.h"
#include "transport/quic_transport.h"
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

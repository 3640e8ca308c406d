/* SPDX-License-Identifier: MIT */
#include "fake_backend.h"

struct subject {
    struct udp_socket socket; /* first */
    struct fake *fake;
    struct reactor *reactor;
    struct udp_send send;
    uint8_t data[3000];
    int done;
    int error;
    int received;
    int failed;
    int closed;
};

static void on_received(struct udp_socket *u, const struct udp_batch *b) {
    (void)b;
    CONTAINER_OF(u, struct subject, socket)->received++;
}

static void on_failed(struct udp_socket *u, int error) {
    (void)error;
    CONTAINER_OF(u, struct subject, socket)->failed++;
}

static void on_closed(struct udp_socket *u) {
    CONTAINER_OF(u, struct subject, socket)->closed++;
}

static const struct udp_events events = {on_received, on_failed, on_closed};

static void on_done(struct udp_send *s, int error) {
    struct subject *x = CONTAINER_OF(s, struct subject, send);
    x->done++;
    x->error = error;
}

static void subject_open(struct subject *x) {
    *x = (struct subject){0};
    x->fake = fake_new(&x->reactor);
    struct udp_config cfg = {.local = {.family = NET_IP4}};
    cr_assert_eq(udp_open(&x->socket, x->reactor, &cfg, &events), 0);
}

static void subject_end(struct subject *x) {
    udp_close(&x->socket);
    for (int i = 0; i < 4; i++)
        fake_turn(x->reactor);
    cr_assert_eq(x->closed, 1);
    fake_free(x->reactor);
}

/* Three datagrams: 1,000, 1,000 and 700 bytes. */
static void send_three(struct subject *x) {
    x->done = 0;
    x->send = (struct udp_send){.data = x->data,
                                .len = 2700,
                                .segment_len = 1000,
                                .remote = {.family = NET_IP4, .ip = {192, 0, 2, 2}, .port = 9},
                                .done = on_done};
    udp_send_start(&x->socket, &x->send);
}

static const struct udp_out *out_of(struct subject *x) {
    return fake_find(x->fake, OP_UDP_SEND)->data;
}

static void expect_out(struct subject *x, size_t offset, size_t len, size_t segment_len) {
    cr_assert_eq((size_t)(out_of(x)->data - x->data), offset);
    cr_assert_eq(out_of(x)->len, len);
    cr_assert_eq(out_of(x)->segment_len, segment_len);
}

/* Goal: a device that refuses GSO gets the datagrams one by one, at once and ever after. */
Test(udp, refused_gso_falls_back_and_is_remembered) {
    static const int refusals[] = {-EIO, -EINVAL, -EMSGSIZE, -EOPNOTSUPP};
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        static struct subject x;
        subject_open(&x);
        send_three(&x);
        expect_out(&x, 0, 2700, 1000);
        fake_end(x.reactor, x.fake, OP_UDP_SEND, refusals[i]);
        expect_out(&x, 0, 1000, 1000);
        fake_end(x.reactor, x.fake, OP_UDP_SEND, 1000);
        expect_out(&x, 1000, 1000, 1000);
        fake_end(x.reactor, x.fake, OP_UDP_SEND, 1000);
        expect_out(&x, 2000, 700, 700);
        cr_assert_eq(x.done, 0);
        fake_end(x.reactor, x.fake, OP_UDP_SEND, 700);
        cr_assert_eq(x.done, 1);
        cr_assert_eq(x.error, 0);

        send_three(&x);
        expect_out(&x, 0, 1000, 1000);
        for (int part = 0; part < 3; part++)
            fake_end(x.reactor, x.fake, OP_UDP_SEND, 1);
        cr_assert_eq(x.done, 1);
        subject_end(&x);
    }
}

/* Goal: when the datagrams do not pass alone either, the path is to blame: the error is told and
 * GSO stays. */
Test(udp, too_large_for_the_path_is_not_a_refusal_of_gso) {
    static struct subject x;
    subject_open(&x);
    send_three(&x);
    fake_end(x.reactor, x.fake, OP_UDP_SEND, -EINVAL);
    fake_end(x.reactor, x.fake, OP_UDP_SEND, -EMSGSIZE);
    fake_end(x.reactor, x.fake, OP_UDP_SEND, -EMSGSIZE);
    fake_end(x.reactor, x.fake, OP_UDP_SEND, 700);
    cr_assert_eq(x.done, 1);
    cr_assert_eq(x.error, -EMSGSIZE);
    send_three(&x);
    expect_out(&x, 0, 2700, 1000);
    fake_end(x.reactor, x.fake, OP_UDP_SEND, -ENETUNREACH); /* a loss, no refusal */
    cr_assert_eq(x.done, 1);
    cr_assert_eq(x.error, -ENETUNREACH);
    subject_end(&x);
}

/* Goal: what the network can cause does not end receiving, however often with datagrams between;
 * a socket that only gives errors is given up. */
Test(udp, receive_errors) {
    static struct subject x;
    static uint8_t payload[8];
    struct udp_batch batch = {.data = payload, .len = 8, .segment_len = 8};
    subject_open(&x);
    for (int i = 0; i < 200; i++) {
        fake_end(x.reactor, x.fake, OP_UDP_RECV, i % 2 == 0 ? -ECONNREFUSED : -EHOSTUNREACH);
        cr_assert(fake_has(x.fake, OP_UDP_RECV));
        if (i % 50 == 0) {
            fake_find(x.fake, OP_UDP_RECV)->data = &batch;
            fake_more(x.reactor, x.fake, OP_UDP_RECV, 8);
            fake_find(x.fake, OP_UDP_RECV)->data = NULL;
        }
    }
    cr_assert_eq(x.received, 4);
    cr_assert_eq(x.failed, 0);
    while (x.failed == 0)
        fake_end(x.reactor, x.fake, OP_UDP_RECV, -ECONNREFUSED);
    cr_assert_not(fake_has(x.fake, OP_UDP_RECV));
    subject_end(&x);

    subject_open(&x);
    fake_end(x.reactor, x.fake, OP_UDP_RECV, -EBADF);
    cr_assert_eq(x.failed, 1);
    subject_end(&x);
}

/* Goal: an operation that a cancellation misses is cancelled again; closed() waits for it. */
Test(udp, close_cancels_until_all_has_ended) {
    static struct subject x;
    subject_open(&x);
    send_three(&x);
    x.fake->cancel_misses = true;
    udp_close(&x.socket);
    for (int i = 0; i < 5; i++)
        fake_turn(x.reactor);
    cr_assert(x.fake->cancels >= 4);
    cr_assert_eq(x.closed, 0);
    cr_assert_eq(x.done, 0);
    x.fake->cancel_misses = false;
    for (int i = 0; i < 4; i++)
        fake_turn(x.reactor);
    cr_assert_eq(x.done, 1);
    cr_assert_eq(x.error, -ECANCELED);
    cr_assert_eq(x.closed, 1);
    fake_free(x.reactor);
}

/* SPDX-License-Identifier: MIT */
#include "support.h"

#define ECN_ECT0 2

struct sending {
    struct udp_send send; /* first */
    uint8_t data[65536];
    int done;
    int error;
};

static void on_done(struct udp_send *s, int error) {
    struct sending *x = CONTAINER_OF(s, struct sending, send);
    x->done++;
    x->error = error;
    cr_assert_eq(x->done, 1);
}

static void send_start(struct sending *x, struct dgrams *from, const struct dgrams *to, size_t len,
                       size_t segment_len) {
    for (size_t i = 0; i < len; i++)
        x->data[i] = (uint8_t)(i * 31 + i / 251);
    x->send = (struct udp_send){
        .data = x->data,
        .len = len,
        .segment_len = segment_len,
        .remote = to->socket.bound,
        .local = from->socket.bound,
        .ecn = ECN_ECT0,
        .done = on_done,
    };
    x->done = 0;
    udp_send_start(&from->socket, &x->send);
    cr_assert_eq(x->done, 0, "a callback from inside the call");
}

static void round_trip(struct fixture *t, enum family family, size_t len, size_t segment_len) {
    struct dgrams a;
    struct dgrams b;
    if (!dgrams_open(&a, t, family))
        return;
    cr_assert(dgrams_open(&b, t, family));
    static struct sending x;
    send_start(&x, &a, &b, len, segment_len);
    TURN_UNTIL(t, x.done == 1 && b.bytes == len);
    cr_assert_eq(x.error, 0);
    cr_assert_eq(b.sum, fnv1a(FNV1A_START, x.data, len));
    size_t count = (len + segment_len - 1) / segment_len;
    cr_assert_eq((size_t)b.datagrams, count);
    for (size_t i = 0; i + 1 < count; i++)
        cr_assert_eq(b.sizes[i], segment_len);
    cr_assert_eq(b.sizes[count - 1], len - (count - 1) * segment_len);
    cr_assert_eq(b.last.ecn, ECN_ECT0);
    cr_assert(net_addr_equal(&b.last.remote, &a.socket.bound));
    cr_assert(net_addr_equal(&b.last.local, &b.socket.bound));
    dgrams_end(&a);
    dgrams_end(&b);
}

CASE(udp, one_datagram_with_ecn_and_both_addresses) {
    round_trip(t, V4, 1200, 1200);
    round_trip(t, V6, 1200, 1200);
    round_trip(t, V4, 1, 1);
}

/* Goal: a batch arrives with its boundaries, the last datagram shorter. */
CASE(udp, batch_with_an_odd_last_segment) {
    round_trip(t, V4, 1350 * 40 + 77, 1350);
    round_trip(t, V6, 1350 * 40 + 77, 1350);
    round_trip(t, V4, 1452 * 45, 1452);
    round_trip(t, V4, 64, 1);
}

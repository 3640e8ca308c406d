/* SPDX-License-Identifier: MIT */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* Goal: with a socket on all addresses, the batch tells which was asked, and an answer can leave
 * from it. */
CASE(udp, answers_leave_from_the_address_that_was_asked) {
    struct dgrams a;
    struct dgrams b;
    struct udp_config any = {.local = {.family = NET_IP4}};
    cr_assert(dgrams_open(&a, t, V4));
    b = (struct dgrams){.t = t, .sum = FNV1A_START};
    cr_assert_eq(udp_open(&b.socket, t->reactor, &any, a.socket.events), 0);
    static struct sending x;
    struct dgrams asked = {.socket.bound = b.socket.bound};
    memcpy(asked.socket.bound.ip, (uint8_t[]){127, 0, 0, 77}, 4);
    send_start(&x, &a, &asked, 100, 100);
    TURN_UNTIL(t, b.datagrams == 1 && x.done == 1);
    cr_assert(net_addr_equal(&b.last.local, &asked.socket.bound));

    x.send = (struct udp_send){.data = x.data,
                               .len = 100,
                               .segment_len = 100,
                               .remote = b.last.remote,
                               .local = b.last.local,
                               .done = on_done};
    x.done = 0;
    udp_send_start(&b.socket, &x.send);
    TURN_UNTIL(t, a.datagrams == 1 && x.done == 1);
    cr_assert(net_addr_equal(&a.last.remote, &asked.socket.bound));
    cr_assert_eq(a.last.ecn, 0);
    dgrams_end(&a);
    dgrams_end(&b);
}

/* Goal: a port where nobody listens, and a datagram that the path does not take, leave the socket
 * as it was. */
CASE(udp, errors_of_one_send_do_not_kill_the_socket) {
    struct dgrams a;
    struct dgrams b;
    struct dgrams gone;
    static struct sending x;
    for (enum family f = V4; f <= V6; f++) {
        if (!dgrams_open(&a, t, f))
            continue;
        cr_assert(dgrams_open(&gone, t, f));
        cr_assert(dgrams_open(&b, t, f));
        struct dgrams nobody = {.socket.bound = gone.socket.bound};
        dgrams_end(&gone);
        for (int i = 0; i < 3; i++) {
            send_start(&x, &a, &nobody, 100, 100);
            TURN_UNTIL(t, x.done == 1);
        }
        if (f == V6) { /* with its headers more than the 65,536 bytes of the loopback interface */
            send_start(&x, &a, &b, 65507, 65507);
            TURN_UNTIL(t, x.done == 1);
            cr_assert_eq(x.error, -EMSGSIZE);
        }
        send_start(&x, &a, &b, 2500, 1000);
        TURN_UNTIL(t, x.done == 1 && b.datagrams == 3);
        cr_assert_eq(x.error, 0);
        cr_assert_eq(a.failed, 0);
        cr_assert(a.socket.gso == reactor_features(t->reactor)->udp_gso);
        dgrams_end(&a);
        dgrams_end(&b);
    }
}

/* Goal: an empty datagram is no event, and disturbs none. */
CASE(udp, empty_datagram_is_dropped) {
    NEEDS_KERNEL();
    struct dgrams a;
    static struct sending x;
    cr_assert(dgrams_open(&a, t, V4));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons(a.socket.bound.port);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(sendto(fd, "", 0, 0, (struct sockaddr *)&to, sizeof(to)), 0);
    close(fd);
    send_start(&x, &a, &a, 10, 10);
    TURN_UNTIL(t, a.datagrams == 1 && x.done == 1);
    cr_assert_eq(a.batches, 1);
    cr_assert_eq(a.failed, 0);
    dgrams_end(&a);
}

/* Goal: more batches than there are receive buffers arrive all the same. */
CASE(udp, more_batches_than_receive_buffers) {
    enum { BATCHES = 80 };
    struct dgrams a;
    struct dgrams b;
    static struct sending sends[BATCHES];
    cr_assert(dgrams_open(&a, t, V4));
    cr_assert(dgrams_open(&b, t, V4));
    for (int i = 0; i < BATCHES; i++)
        send_start(&sends[i], &a, &b, 1200 * 40, 1200);
    TURN_UNTIL(t, b.datagrams == BATCHES * 40);
    for (int i = 0; i < BATCHES; i++)
        TURN_UNTIL(t, sends[i].done == 1);
    cr_assert_eq(b.bytes, (size_t)BATCHES * 1200 * 40);
    dgrams_end(&a);
    dgrams_end(&b);
}

struct small_sending {
    struct udp_send send;
    int done;
};

static int small_done_count;

static void on_small_done(struct udp_send *s, int error) {
    struct small_sending *x = CONTAINER_OF(s, struct small_sending, send);
    (void)error;
    x->done++;
    cr_assert_eq(x->done, 1);
    small_done_count++;
}

enum { MANY = 10000 };
static struct small_sending many[MANY];

static void start_many(struct dgrams *from, const struct dgrams *to, int count) {
    static const uint8_t payload[64];
    small_done_count = 0;
    for (int i = 0; i < count; i++) {
        many[i] = (struct small_sending){.send = {.data = payload,
                                                  .len = sizeof(payload),
                                                  .segment_len = sizeof(payload),
                                                  .remote = to->socket.bound,
                                                  .done = on_small_done}};
        udp_send_start(&from->socket, &many[i].send);
    }
    cr_assert_eq(small_done_count, 0, "a callback from inside the call");
}

/* Goal: many more operations in one turn than the kernel's queues have room for: each ends once. */
CASE(udp, ten_thousand_sends_in_one_turn) {
    struct dgrams a;
    struct dgrams b;
    cr_assert(dgrams_open(&a, t, V4));
    cr_assert(dgrams_open(&b, t, V4));
    start_many(&a, &b, MANY);
    TURN_UNTIL(t, small_done_count == MANY);
    turn_while_ready(t);
    cr_assert_eq(small_done_count, MANY);
    cr_assert(b.datagrams > 0);
    dgrams_end(&a);
    dgrams_end(&b);
}

/* Goal: closed() comes after every done(). */
CASE(udp, close_with_sends_in_flight) {
    struct dgrams a;
    struct dgrams b;
    cr_assert(dgrams_open(&a, t, V4));
    cr_assert(dgrams_open(&b, t, V4));
    start_many(&a, &b, 1000);
    udp_close(&a.socket);
    udp_close(&a.socket);
    cr_assert_eq(a.closed, 0, "a callback from inside the call");
    TURN_UNTIL(t, a.closed == 1);
    cr_assert_eq(small_done_count, 1000);
    dgrams_end(&b);
}

CASE(udp, address_in_use_and_address_of_others) {
    struct dgrams a;
    struct udp_socket u;
    cr_assert(dgrams_open(&a, t, V4));
    struct udp_config cfg = {.local = a.socket.bound};
    cr_assert_eq(udp_open(&u, t->reactor, &cfg, a.socket.events), -EADDRINUSE);
    cfg.local.ip[0] = 203;
    cr_assert_eq(udp_open(&u, t->reactor, &cfg, a.socket.events), -EADDRNOTAVAIL);
    dgrams_end(&a);
}

/* Goal: once it runs, the data path allocates nothing. */
CASE(udp, datagrams_allocate_nothing) {
    struct dgrams a;
    struct dgrams b;
    static struct sending x;
    cr_assert(dgrams_open(&a, t, V4));
    cr_assert(dgrams_open(&b, t, V4));
    uint64_t calls = 0;
    for (int i = 0; i < 40; i++) {
        if (i == 2)
            calls = t->mem.calls;
        send_start(&x, &a, &b, 50000, 1250);
        TURN_UNTIL(t, x.done == 1 && b.datagrams == (i + 1) * 40);
    }
    cr_assert_eq(t->mem.calls, calls);
    dgrams_end(&a);
    dgrams_end(&b);
}

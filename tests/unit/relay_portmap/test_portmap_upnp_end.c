/* SPDX-License-Identifier: MIT */

/* Goal: however slow the gateway is, the end comes within PORTMAP_UPNP_CLOSE_MAX, on a clock that
 * the test moves; and what it answers in time is removed. */

#include "core/base/err.h"
#include "relay/portmap_upnp.h"
#include "tests/unit/relay_nat/addrs.h"
#include "tests/unit/uring/fake_backend.h"

#define PLACE "HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1:5000/d.xml\r\n\r\n"
#define DESCRIPTION                                                                      \
    "HTTP/1.1 200 OK\r\n\r\n"                                                            \
    "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>" \
    "<controlURL>/ctl</controlURL></service>"
#define ADDRESS "HTTP/1.1 200 OK\r\n\r\n<NewExternalIPAddress>8.8.8.8</NewExternalIPAddress>"
#define DONE    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

enum { PORTS = 4 };

struct end {
    struct reactor *reactor;
    struct fake *fake;
    struct portmap_upnp *upnp;
    int mapped;
    int removed;
    int closed;
};

static void on_event(void *user, const struct upnp_event *ev) {
    ((struct end *)user)->mapped += ev->error == 0;
}

static void on_closed(void *user) {
    ((struct end *)user)->closed++;
}

static void turn(struct end *x) {
    for (int i = 0; i < 6; i++)
        fake_turn(x->reactor);
}

static void pass(struct end *x, nsec_t time) {
    nsec_t until = reactor_now(x->reactor) + time;
    while (reactor_now(x->reactor) < until)
        cr_assert_eq(reactor_turn(x->reactor, until), 0);
    turn(x);
}

/* Takes the next request, and answers it after a while. */
static void exchange(struct end *x, const char *text, nsec_t after) {
    fake_end(x->reactor, x->fake, OP_CONNECT, 0);
    const struct op *sent = fake_find(x->fake, OP_SEND);
    const struct slice *request = sent->data;
    x->removed += memmem(request->data, request->len, "#DeletePortMapping", 18) != NULL;
    fake_end(x->reactor, x->fake, OP_SEND, (int32_t)request->len);
    pass(x, after);
    if (!fake_has(x->fake, OP_RECV))
        return; /* it was given up */
    struct recv_result *r = fake_find(x->fake, OP_RECV)->data;
    struct buf *b = buf_new(reactor_pool(x->reactor), BUF_4K, NULL);
    cr_assert_not_null(b);
    memcpy(b->data, text, strlen(text));
    *r = (struct recv_result){.slices[0] = slice_of(b, 0, (uint32_t)strlen(text)), .count = 1};
    fake_end(x->reactor, x->fake, OP_RECV, (int32_t)strlen(text));
    if (fake_has(x->fake, OP_RECV))
        fake_end(x->reactor, x->fake, OP_RECV, 0);
    turn(x);
}

static void open_found(struct end *x) {
    *x = (struct end){.closed = 0};
    x->fake = fake_new(&x->reactor);
    struct portmap_upnp_config cfg = {.reactor = x->reactor,
                                      .gateway = naddr("192.168.1.1"),
                                      .client = naddr("192.168.1.2"),
                                      .event = on_event,
                                      .user = x};
    cr_assert_eq(portmap_upnp_new(&cfg, &x->upnp), 0);
    for (uint16_t i = 0; i < PORTS; i++)
        cr_assert_eq(portmap_upnp_add(x->upnp, false, (uint16_t)(4001 + i)), i);
    pass(x, 1);
    while (fake_has(x->fake, OP_UDP_SEND))
        fake_end(x->reactor, x->fake, OP_UDP_SEND, 1);
    struct udp_batch batch = {.data = (uint8_t *)(uintptr_t)PLACE,
                              .len = strlen(PLACE),
                              .segment_len = strlen(PLACE),
                              .remote = naddr("192.168.1.1:1900")};
    fake_find(x->fake, OP_UDP_RECV)->data = &batch;
    fake_more(x->reactor, x->fake, OP_UDP_RECV, (int32_t)batch.len);
    turn(x);
}

static void open_mapped(struct end *x) {
    open_found(x);
    exchange(x, DESCRIPTION, 0);
    exchange(x, ADDRESS, 0);
    for (int i = 0; i < PORTS; i++)
        exchange(x, DONE, 0);
    cr_assert_eq(x->mapped, PORTS);
}

static void assert_ends(struct end *x) {
    turn(x);
    cr_assert_eq(x->closed, 1);
    fake_free(x->reactor);
}

Test(portmap_upnp_end, a_fast_gateway_forgets_all) {
    struct end x;
    open_mapped(&x);
    nsec_t began = reactor_now(x.reactor);
    portmap_upnp_close(x.upnp, true, on_closed, &x);
    for (int i = 0; i < PORTS; i++)
        exchange(&x, DONE, MSEC(50));
    cr_assert_eq(x.removed, PORTS);
    cr_assert_eq(reactor_now(x.reactor), began + PORTS * MSEC(50));
    assert_ends(&x);
}

Test(portmap_upnp_end, a_slow_one_has_a_second_for_all_of_them) {
    struct end x;
    open_mapped(&x);
    portmap_upnp_close(x.upnp, true, on_closed, &x);
    exchange(&x, DONE, MSEC(600));
    cr_assert_eq(x.closed, 0);
    exchange(&x, DONE, MSEC(400));
    cr_assert_eq(x.removed, 2);
    assert_ends(&x);
}

Test(portmap_upnp_end, a_silent_one_has_a_second) {
    for (int i = 0; i < 2; i++) {
        struct end x;
        if (i == 0)
            open_mapped(&x);
        else
            open_found(&x); /* the question is under way already */
        portmap_upnp_close(x.upnp, true, on_closed, &x);
        turn(&x);
        pass(&x, PORTMAP_UPNP_CLOSE_MAX - 1);
        cr_assert_eq(x.closed, 0);
        pass(&x, 1);
        assert_ends(&x);
    }
}

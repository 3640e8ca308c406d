/* SPDX-License-Identifier: MIT */

/* Goal: listening ports are mapped on the gateway of the default route as long as there is one, and
 * nobody but it can tell us where we are. Spec: RFC 6886, RFC 6887; behaviour.md, section 1.
 * The retries and lifetimes themselves: tests/unit/relay_nat/test_pcp.c. */

#include <stdio.h>

#include "core/base/err.h"
#include "core/base/rd.h"
#include "core/base/wr.h"
#include "relay/portmap.h"
#include "relay/proto/upnp_msg.h"
#include "tests/support/fail_mem.h"
#include "tests/unit/relay_nat/addrs.h"
#include "tests/unit/uring/fake_backend.h"
#include "uring/netwatch.h"

enum { LISTEN_MAX = 12, GATEWAY_SENT_MAX = 16 };

struct home {
    struct reactor *reactor;
    struct fake *fake;
    struct fail_mem mem;
    struct netwatch watch;
    struct portmap *portmap;
    struct multiaddr listen[LISTEN_MAX];
    size_t listen_count;
    int changes;
    int closed;
    /* What came to the gateway, and how it answers. */
    const char *external; /* of PCP; NULL: it is silent */
    uint8_t result;
    uint32_t lifetimes[GATEWAY_SENT_MAX];
    uint16_t ports[GATEWAY_SENT_MAX];
    bool are_tcp[GATEWAY_SENT_MAX];
    size_t sent_count;
    struct net_addr sent_to;
};

static void on_changed(void *user) {
    ((struct home *)user)->changes++;
}

static void on_closed(void *user) {
    ((struct home *)user)->closed++;
}

static void add_addr(struct netwatch_snapshot *s, const char *ip, uint8_t prefix_len,
                     uint32_t link) {
    netwatch_add_addr(
        s, &(struct netwatch_addr){.ip = naddr(ip), .prefix_len = prefix_len, .link_index = link});
}

static void add_route(struct netwatch_snapshot *s, const char *gateway, uint32_t link,
                      uint32_t metric) {
    netwatch_add_route(s, &(struct netwatch_route){.gateway = naddr(gateway),
                                                   .link_index = link,
                                                   .metric = metric,
                                                   .family = naddr(gateway).family});
}

/* 192.168.1.2/24 behind 192.168.1.1 */
static struct netwatch_snapshot usual(void) {
    struct netwatch_snapshot s = {.knows_routes = true};
    add_addr(&s, "192.168.1.2", 24, 2);
    add_route(&s, "192.168.1.1", 2, 100);
    return s;
}

static void prepare(struct home *h) {
    *h = (struct home){.mem.mem.resize = fail_mem_resize, .external = "8.8.8.8"};
    h->fake = fake_new_with(&h->reactor, &h->mem.mem, NULL);
    struct netwatch_snapshot s = usual();
    netwatch_publish(&h->watch, &s, false);
    h->listen[h->listen_count++] = maddr("/ip4/0.0.0.0/udp/4001/quic-v1");
    h->listen[h->listen_count++] = maddr("/ip4/0.0.0.0/tcp/4001");
}

static int try_open(struct home *h) {
    struct portmap_config cfg = {.reactor = h->reactor,
                                 .netwatch = &h->watch,
                                 .listen = h->listen,
                                 .listen_count = h->listen_count,
                                 .changed = on_changed,
                                 .user = h};
    return portmap_new(&cfg, &h->portmap);
}

static void turn(struct home *h) {
    for (int i = 0; i < 10; i++)
        fake_turn(h->reactor);
}

static struct op *waiting_recv(struct home *h) {
    return fake_find(h->fake, OP_UDP_RECV);
}

static void deliver_from(struct home *h, const char *from, struct bytes datagram) {
    struct udp_batch batch = {.data = (uint8_t *)(uintptr_t)datagram.data,
                              .len = datagram.len,
                              .segment_len = datagram.len,
                              .remote = naddr(from)};
    waiting_recv(h)->data = &batch;
    fake_more(h->reactor, h->fake, OP_UDP_RECV, (int32_t)datagram.len);
}

/* PCP's answer to a request: the port wished for, at h->external. */
static size_t make_answer(const struct home *h, struct bytes request, uint8_t *out) {
    struct net_addr external = naddr(h->external);
    struct wr w = wr_init(out, PCP_REQUEST_BYTES);
    memset(out, 0, PCP_REQUEST_BYTES);
    wr_be32(&w, 0x02810000u | h->result);
    wr_be32(&w, 7200);
    wr_be32(&w, 1000 + (uint32_t)(reactor_now(h->reactor) / SEC(1)));
    memcpy(out + 24, request.data + 24, 36);
    memset(out + 44, 0, 10);
    memset(out + 54, 0xff, 2);
    memcpy(out + 56, external.ip, 4);
    return PCP_REQUEST_BYTES;
}

static void note(struct home *h, struct bytes request) {
    struct rd r = rd_init(request);
    cr_assert_eq(request.len, PCP_REQUEST_BYTES);
    cr_assert_lt(h->sent_count, GATEWAY_SENT_MAX);
    (void)rd_be32(&r);
    h->lifetimes[h->sent_count] = rd_be32(&r);
    h->are_tcp[h->sent_count] = request.data[36] == 6;
    h->ports[h->sent_count++] = (uint16_t)(request.data[40] << 8 | request.data[41]);
}

/* Takes what is sent, and answers, until nothing is. */
static void serve(struct home *h) {
    turn(h);
    while (fake_has(h->fake, OP_UDP_SEND)) {
        const struct udp_out *out = fake_find(h->fake, OP_UDP_SEND)->data;
        uint8_t answer[PCP_REQUEST_BYTES];
        struct bytes request = bytes_of(out->data, out->len);
        h->sent_to = out->remote;
        note(h, request);
        size_t len = h->external == NULL ? 0 : make_answer(h, request, answer);
        fake_end(h->reactor, h->fake, OP_UDP_SEND, (int32_t)out->len);
        if (len > 0 && fake_has(h->fake, OP_UDP_RECV))
            deliver_from(h, "192.168.1.1:5351", bytes_of(answer, len));
        turn(h);
    }
}

static void open_home(struct home *h) {
    prepare(h);
    cr_assert_eq(try_open(h), 0);
    serve(h);
}

static void close_home(struct home *h) {
    if (h->portmap != NULL) {
        portmap_close(h->portmap, on_closed, h);
        cr_assert_eq(h->closed, 0, "told from inside the call");
        serve(h);
        cr_assert_eq(h->closed, 1);
        h->portmap = portmap_free(h->portmap);
    }
    fake_free(h->reactor);
    cr_assert_eq(h->mem.blocks, 0);
}

static void change(struct home *h, const struct netwatch_snapshot *s) {
    netwatch_publish(&h->watch, s, false);
    portmap_network_changed(h->portmap);
    turn(h);
}

static void assert_addrs(const struct home *h, size_t count, const char *const *texts) {
    struct multiaddr got[PORTMAP_PORTS_MAX];
    cr_assert_eq(portmap_addrs(h->portmap, got), count);
    for (size_t i = 0; i < count; i++) {
        struct multiaddr wanted = maddr(texts[i]);
        char text[MULTIADDR_TEXT_MAX];
        cr_assert(multiaddr_equal(&got[i], &wanted), "%s", multiaddr_format(&got[i], text));
    }
}

static const char *const BOTH[] = {"/ip4/8.8.8.8/udp/4001/quic-v1", "/ip4/8.8.8.8/tcp/4001"};

/* --- A gateway that does ---------------------------------------------------------------------- */

Test(portmap, listening_ports_are_mapped_and_forgotten_at_the_end) {
    struct home h;
    struct net_addr gateway = naddr("192.168.1.1:5351");
    open_home(&h);
    cr_assert(net_addr_equal(&h.sent_to, &gateway));
    cr_assert_eq(h.sent_count, 2);
    cr_assert(h.are_tcp[0] != h.are_tcp[1]);
    assert_addrs(&h, 2, BOTH);
    cr_assert_geq(h.changes, 1);
    cr_assert_leq(h.changes, 2);
    int changes = h.changes;
    close_home(&h);
    cr_assert_eq(h.sent_count, 4);
    cr_assert_eq(h.lifetimes[2], 0);
    cr_assert_eq(h.lifetimes[3], 0);
    cr_assert_eq(h.changes, changes, "nothing is told any more");
}

Test(portmap, mappings_are_renewed_at_half_their_lifetime) {
    struct home h;
    open_home(&h);
    int changes = h.changes;
    nsec_t began = reactor_now(h.reactor);
    cr_assert_eq(reactor_turn(h.reactor, began + SEC(3599)), 0);
    serve(&h);
    cr_assert_eq(h.sent_count, 2, "not before");
    while (h.sent_count < 4 && reactor_now(h.reactor) < began + SEC(5000)) {
        cr_assert_eq(reactor_turn(h.reactor, reactor_next_deadline(h.reactor)), 0);
        serve(&h);
    }
    cr_assert_eq(h.sent_count, 4);
    cr_assert_eq(h.changes, changes, "the same addresses are no news");
    close_home(&h);
}

/* What several of our addresses share is one mapping; IPv6 and what is bound elsewhere is none. */
Test(portmap, ports_are_chosen_by_what_the_gateway_reaches) {
    struct home h;
    prepare(&h);
    h.listen_count = 0;
    static const char *const LISTEN[] = {"/ip4/192.168.1.2/udp/4001/quic-v1",
                                         "/ip4/10.9.9.9/tcp/4002", "/ip6/::/tcp/4003",
                                         "/ip4/0.0.0.0/tcp/4004", "/ip4/0.0.0.0/tcp/4004/ws"};
    static const char *const MAPPED[] = {"/ip4/8.8.8.8/udp/4001/quic-v1", "/ip4/8.8.8.8/tcp/4004",
                                         "/ip4/8.8.8.8/tcp/4004/ws"};
    for (size_t i = 0; i < ARRAY_COUNT(LISTEN); i++)
        h.listen[h.listen_count++] = maddr(LISTEN[i]);
    cr_assert_eq(try_open(&h), 0);
    serve(&h);
    cr_assert_eq(h.sent_count, 2);
    assert_addrs(&h, 3, MAPPED);
    close_home(&h);
}

Test(portmap, ports_beyond_the_limit_are_left_out) {
    struct home h;
    char text[64];
    prepare(&h);
    h.listen_count = 0;
    for (int i = 0; i < LISTEN_MAX; i++) {
        (void)snprintf(text, sizeof(text), "/ip4/0.0.0.0/tcp/%d", 5000 + i);
        h.listen[h.listen_count++] = maddr(text);
    }
    cr_assert_eq(try_open(&h), 0);
    serve(&h);
    cr_assert_eq(h.sent_count, PORTMAP_PORTS_MAX);
    h.sent_count = 0;
    close_home(&h);
}

/* --- Networks --------------------------------------------------------------------------------- */

Test(portmap, the_best_default_route_names_the_gateway) {
    struct home h;
    prepare(&h);
    struct netwatch_snapshot s = {.knows_routes = true};
    add_addr(&s, "10.1.1.9", 8, 3);
    add_addr(&s, "172.16.5.6", 16, 2); /* another network on the same link */
    add_addr(&s, "192.168.1.2", 24, 2);
    add_route(&s, "10.1.1.1", 3, 600);
    add_route(&s, "192.168.1.1", 2, 100);
    netwatch_publish(&h.watch, &s, false);
    cr_assert_eq(try_open(&h), 0);
    serve(&h);
    assert_addrs(&h, 2, BOTH);
    close_home(&h);
}

Test(portmap, where_there_is_no_gateway_or_no_nat_nothing_is_asked) {
    for (int i = 0; i < 6; i++) {
        struct home h;
        prepare(&h);
        struct netwatch_snapshot s = {.knows_routes = true};
        if (i == 0) {
            add_addr(&s, "192.168.1.2", 24, 2); /* no route */
        } else if (i == 1) {
            add_addr(&s, "9.9.9.9", 24, 2); /* public */
            add_route(&s, "9.9.9.1", 2, 100);
        } else if (i == 2) {
            add_addr(&s, "192.168.1.2", 24, 3); /* no address on the link */
            add_route(&s, "192.168.1.1", 2, 100);
        } else if (i == 3) {
            add_addr(&s, "192.168.2.2", 24, 2); /* nor in the gateway's network */
            add_route(&s, "192.168.1.1", 2, 100);
        } else {
            s = usual();
            h.listen_count = i == 4 ? 0 : 1; /* nothing listens, or at the machine itself */
            h.listen[0] = maddr("/ip4/127.0.0.1/tcp/4001");
        }
        netwatch_publish(&h.watch, &s, false);
        cr_assert_eq(try_open(&h), 0);
        serve(&h);
        cr_assert_eq(h.sent_count, 0, "row %d", i);
        cr_assert_eq(reactor_next_deadline(h.reactor), NSEC_NEVER, "row %d", i);
        close_home(&h);
    }
}

Test(portmap, another_gateway_is_asked_anew_and_no_gateway_maps_nothing) {
    struct home h;
    open_home(&h);
    struct netwatch_snapshot s = {.knows_routes = true};
    add_addr(&s, "192.168.1.77", 24, 2); /* the same gateway, as another client */
    add_route(&s, "192.168.1.1", 2, 100);
    int changes = h.changes;
    change(&h, &s);
    assert_addrs(&h, 0, NULL);
    cr_assert_eq(h.changes, changes + 1);
    serve(&h);
    cr_assert_eq(h.sent_count, 4);
    assert_addrs(&h, 2, BOTH);
    s = (struct netwatch_snapshot){.knows_routes = true};
    change(&h, &s);
    assert_addrs(&h, 0, NULL);
    s = usual();
    change(&h, &s);
    serve(&h);
    assert_addrs(&h, 2, BOTH);
    close_home(&h);
}

/* It may have lost what it knew, or we slept beyond the end of a mapping. */
Test(portmap, the_same_gateway_is_asked_again_when_the_network_changes) {
    struct home h;
    open_home(&h);
    struct netwatch_snapshot s = usual();
    change(&h, &s);
    serve(&h);
    cr_assert_eq(h.sent_count, 4);
    assert_addrs(&h, 2, BOTH);
    close_home(&h);
}

/* --- Gateways that do not --------------------------------------------------------------------- */

Test(portmap, a_refusal_and_an_external_address_that_is_no_way_in_are_not_told) {
    for (int i = 0; i < 3; i++) {
        struct home h;
        prepare(&h);
        h.result = i == 0 ? PCP_NOT_AUTHORIZED : PCP_SUCCESS;
        h.external = i == 1 ? "100.64.3.4" : i == 2 ? "127.0.0.1" : "8.8.8.8";
        cr_assert_eq(try_open(&h), 0);
        serve(&h);
        cr_assert_eq(h.sent_count, 2);
        assert_addrs(&h, 0, NULL);
        close_home(&h);
    }
}

Test(portmap, only_the_gateway_is_believed) {
    struct home h;
    uint8_t answer[PCP_REQUEST_BYTES];
    prepare(&h);
    cr_assert_eq(try_open(&h), 0);
    turn(&h);
    const struct udp_out *out = fake_find(h.fake, OP_UDP_SEND)->data;
    size_t len = make_answer(&h, bytes_of(out->data, out->len), answer);
    static const char *const OTHERS[] = {"192.168.1.1:5352", "192.168.1.3:5351", "8.8.8.8:5351"};
    for (size_t i = 0; i < ARRAY_COUNT(OTHERS); i++) {
        deliver_from(&h, OTHERS[i], bytes_of(answer, len));
        assert_addrs(&h, 0, NULL);
    }
    deliver_from(&h, "192.168.1.1:5351", bytes_of(answer, len - 1));
    assert_addrs(&h, 0, NULL);
    deliver_from(&h, "192.168.1.1:5351", bytes_of(answer, len));
    assert_addrs(&h, 1, BOTH);
    serve(&h);
    close_home(&h);
}

/* Datagrams of one size come in one batch. */
Test(portmap, answers_that_come_together_all_count) {
    struct home h;
    uint8_t answers[2 * PCP_REQUEST_BYTES];
    open_home(&h);
    struct netwatch_snapshot s = usual();
    h.external = NULL;
    change(&h, &s);
    h.external = "8.8.4.4";
    for (size_t i = 0; i < 2; i++) {
        const struct udp_out *out = fake_find(h.fake, OP_UDP_SEND)->data;
        (void)make_answer(&h, bytes_of(out->data, out->len), answers + i * PCP_REQUEST_BYTES);
        fake_end(h.reactor, h.fake, OP_UDP_SEND, (int32_t)out->len);
        turn(&h);
    }
    struct udp_batch batch = {.data = answers,
                              .len = sizeof(answers),
                              .segment_len = PCP_REQUEST_BYTES,
                              .remote = naddr("192.168.1.1:5351")};
    waiting_recv(&h)->data = &batch;
    fake_more(h.reactor, h.fake, OP_UDP_RECV, (int32_t)sizeof(answers));
    assert_addrs(&h, 2,
                 (const char *const[]){"/ip4/8.8.4.4/udp/4001/quic-v1", "/ip4/8.8.4.4/tcp/4001"});
    close_home(&h);
}

Test(portmap, a_silent_gateway_is_left_alone_for_a_while) {
    struct home h;
    prepare(&h);
    h.external = NULL;
    cr_assert_eq(try_open(&h), 0);
    turn(&h);
    nsec_t began = reactor_now(h.reactor);
    size_t sends = 0;
    while (reactor_now(h.reactor) < began + SEC(600)) {
        while (fake_has(h.fake, OP_UDP_SEND)) {
            sends++;
            fake_end(h.reactor, h.fake, OP_UDP_SEND, 1);
        }
        nsec_t next = reactor_next_deadline(h.reactor);
        cr_assert_eq(reactor_turn(h.reactor, MIN(next, began + SEC(600))), 0);
        turn(&h);
    }
    cr_assert_lt(sends, 40, "%zu packets in ten minutes", sends);
    assert_addrs(&h, 0, NULL);
    cr_assert_eq(h.changes, 0);
    close_home(&h);
}

/* --- Sockets and memory ----------------------------------------------------------------------- */

Test(portmap, a_socket_that_cannot_be_opened_is_tried_again_in_a_minute) {
    struct home h;
    prepare(&h);
    h.fake->udp_error = -EADDRNOTAVAIL;
    cr_assert_eq(try_open(&h), 0);
    serve(&h);
    cr_assert_eq(h.sent_count, 0);
    h.fake->udp_error = 0;
    cr_assert_eq(reactor_next_deadline(h.reactor), reactor_now(h.reactor) + SEC(60));
    cr_assert_eq(reactor_turn(h.reactor, reactor_now(h.reactor) + SEC(60)), 0);
    serve(&h);
    assert_addrs(&h, 2, BOTH);
    close_home(&h);
}

Test(portmap, a_socket_that_breaks_is_opened_anew_after_a_minute) {
    struct home h;
    open_home(&h);
    nsec_t broke_at = reactor_now(h.reactor);
    fake_end(h.reactor, h.fake, OP_UDP_RECV, -ENOTSOCK);
    turn(&h);
    assert_addrs(&h, 0, NULL);
    cr_assert_eq(reactor_turn(h.reactor, broke_at + SEC(60) - 1), 0);
    serve(&h);
    assert_addrs(&h, 0, NULL);
    cr_assert_eq(reactor_turn(h.reactor, broke_at + SEC(60)), 0);
    serve(&h);
    assert_addrs(&h, 2, BOTH);
    close_home(&h);
}

Test(portmap, a_packet_that_does_not_leave_is_sent_again_in_time) {
    struct home h;
    prepare(&h);
    cr_assert_eq(try_open(&h), 0);
    turn(&h);
    for (int i = 0; i < 2; i++) {
        fake_end(h.reactor, h.fake, OP_UDP_SEND, -ENETUNREACH);
        turn(&h);
    }
    cr_assert_not(fake_has(h.fake, OP_UDP_SEND));
    cr_assert_eq(reactor_turn(h.reactor, reactor_next_deadline(h.reactor)), 0);
    serve(&h);
    cr_assert_geq(h.sent_count, 1);
    close_home(&h);
}

Test(portmap, it_ends_at_any_time) {
    for (int i = 0; i < 3; i++) {
        struct home h;
        prepare(&h);
        cr_assert_eq(try_open(&h), 0);
        if (i > 0)
            turn(&h); /* a request is on its way */
        if (i > 1) {
            struct netwatch_snapshot s = {.knows_routes = true};
            netwatch_publish(&h.watch, &s, false);
            portmap_network_changed(h.portmap); /* the socket is being closed */
        }
        close_home(&h);
    }
}

Test(portmap, without_memory_there_is_none) {
    struct home h;
    prepare(&h);
    for (int n = 1;; n++) {
        h.mem.fail_at = n;
        int e = try_open(&h);
        h.mem.fail_at = 0;
        if (e == 0)
            break;
        cr_assert_eq(e, -ENOMEM);
        cr_assert_lt(n, 10);
    }
    serve(&h);
    close_home(&h);
}

/* --- UPnP; what it says itself: test_upnp.c, and over real sockets tests/netlab/test_portmap.py
 * --- */

/* Ends all sends in flight, unanswered; how many of them were searches. */
static size_t lose_sends(struct home *h) {
    size_t searches = 0;
    turn(h);
    while (fake_has(h->fake, OP_UDP_SEND)) {
        const struct udp_out *out = fake_find(h->fake, OP_UDP_SEND)->data;
        searches += out->remote.port == UPNP_SEARCH_PORT;
        fake_end(h->reactor, h->fake, OP_UDP_SEND, (int32_t)out->len);
        turn(h);
    }
    return searches;
}

/* The same until then, timer by timer. */
static size_t pass(struct home *h, nsec_t time) {
    nsec_t until = reactor_now(h->reactor) + time;
    size_t searches = lose_sends(h);
    while (reactor_now(h->reactor) < until) {
        cr_assert_eq(reactor_turn(h->reactor, until), 0);
        searches += lose_sends(h);
    }
    return searches;
}

static void open_silent(struct home *h) {
    prepare(h);
    h->external = NULL;
    cr_assert_eq(try_open(h), 0);
    cr_assert_eq(lose_sends(h), 0);
}

Test(portmap, upnp_is_searched_for_after_three_seconds_of_silence) {
    struct home h;
    open_silent(&h);
    cr_assert_eq(pass(&h, SEC(3) - 1), 0);
    cr_assert_eq(pass(&h, 2), 2, "to the gateway, and to the group");
    close_home(&h);
}

Test(portmap, upnp_is_not_searched_for_where_pcp_does) {
    struct home h;
    open_home(&h);
    cr_assert_eq(pass(&h, SEC(10)), 0);
    close_home(&h);
}

Test(portmap, upnp_is_searched_for_at_once_where_pcp_is_refused) {
    struct home h;
    prepare(&h);
    h.result = PCP_NOT_AUTHORIZED;
    cr_assert_eq(try_open(&h), 0);
    turn(&h);
    const struct udp_out *out = fake_find(h.fake, OP_UDP_SEND)->data;
    uint8_t answer[PCP_REQUEST_BYTES];
    size_t len = make_answer(&h, bytes_of(out->data, out->len), answer);
    deliver_from(&h, "192.168.1.1:5351", bytes_of(answer, len));
    cr_assert_eq(pass(&h, 1), 2, "not in three seconds");
    close_home(&h);
}

/* With the search under way, with the gateway gone, and with another one in its place. */
Test(portmap, upnp_ends_with_its_gateway) {
    for (int i = 0; i < 3; i++) {
        struct home h;
        open_silent(&h);
        cr_assert_eq(pass(&h, SEC(3) + 1), 2);
        if (i > 0) {
            struct netwatch_snapshot s = {.knows_routes = true};
            if (i > 1) {
                add_addr(&s, "192.168.7.2", 24, 2);
                add_route(&s, "192.168.7.1", 2, 100);
            }
            change(&h, &s);
            cr_assert_eq(pass(&h, SEC(3) + 1), i > 1 ? 2 : 0);
        }
        close_home(&h);
    }
}

Test(portmap, the_same_gateway_is_searched_for_again_when_the_network_changes) {
    struct home h;
    open_silent(&h);
    cr_assert_eq(pass(&h, SEC(3) + 1), 2);
    struct netwatch_snapshot s = usual();
    change(&h, &s);
    cr_assert_eq(pass(&h, 1), 2);
    close_home(&h);
}

/* The network is gone, and we end while that is under way: whichever socket closes first, and
 * whenever we are told to. */
Test(portmap, the_end_is_told_once) {
    for (int turns = 0; turns < 12; turns++) {
        struct home h;
        struct netwatch_snapshot none = {.knows_routes = true};
        open_silent(&h);
        cr_assert_eq(pass(&h, SEC(3) + 1), 2);
        h.fake->cancel_misses = true;
        netwatch_publish(&h.watch, &none, false);
        portmap_network_changed(h.portmap);
        if (turns % 2 == 1) {
            struct op *first = h.fake->flying[0];
            h.fake->flying[0] = h.fake->flying[1];
            h.fake->flying[1] = first;
        }
        fake_end(h.reactor, h.fake, OP_UDP_RECV, -ECANCELED);
        turn(&h);
        fake_end(h.reactor, h.fake, OP_UDP_RECV, -ECANCELED);
        for (int i = 0; i < turns / 2; i++)
            fake_turn(h.reactor);
        portmap_close(h.portmap, on_closed, &h);
        turn(&h);
        cr_assert_eq(h.closed, 1, "%d turns", turns);
        h.portmap = portmap_free(h.portmap);
        fake_free(h.reactor);
    }
}

/* SPDX-License-Identifier: MIT */

/* Goal: the sockets of UPnP, over loopback with a gateway that the test plays: every way an
 * exchange ends, and that each ends once. What it says in words: test_upnp.c. */

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "relay/portmap.h"
#include "relay/portmap_upnp.h"
#include "tests/support/fail_mem.h"
#include "tests/unit/relay_nat/addrs.h"
#include "uring/netwatch.h"
#include "uring/reactor.h"

/* How the gateway ends an answer. */
enum answer_kind { WITH_LENGTH, AT_THE_END, RESETS, SAYS_NOTHING, POURS };

struct igd {
    struct reactor *reactor;
    struct fail_mem mem;
    struct portmap_upnp *upnp;
    int ssdp;
    int http;
    int pcp; /* -1: it knows UPnP only */
    uint8_t pcp_result;
    uint16_t pcp_port; /* that it gives; 0: the one that is wished for */
    int pcp_removed;
    uint16_t port;
    enum answer_kind kind; /* of descriptions */
    int described;
    int mapped;
    int unmapped;
    int events;
    int errors;
    struct net_addr external;
    int closed;
};

/* Tests run side by side, each as a process, and the port of searches is one: so each has a
 * gateway's address of its own. */
static void gateway_text(char out[NET_ADDR_TEXT_MAX]) {
    unsigned id = (unsigned)getpid();
    (void)snprintf(out, NET_ADDR_TEXT_MAX, "127.%u.%u.%u", 1 + (id >> 16) % 254, (id >> 8) % 256,
                   id % 256);
}

static struct sockaddr_in gateway_at(uint16_t port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    char text[NET_ADDR_TEXT_MAX];
    gateway_text(text);
    cr_assert_eq(inet_pton(AF_INET, text, &a.sin_addr), 1);
    return a;
}

static int bound(int type, uint16_t port) {
    struct sockaddr_in a = gateway_at(port);
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
        cr_skip("somebody has UDP port 1900 on all addresses");
    return fd;
}

/* --- The gateway ------------------------------------------------------------------------------ */

static void answer_search(struct igd *g) {
    char text[512], ip[NET_ADDR_TEXT_MAX];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(g->ssdp, text, sizeof(text), 0, (struct sockaddr *)&from, &len);
    if (n <= 0)
        return;
    cr_assert_eq(strncmp(text, "M-SEARCH * HTTP/1.1\r\n", 21), 0);
    gateway_text(ip);
    int out = snprintf(text, sizeof(text),
                       "HTTP/1.1 200 OK\r\nLocation: http://%s:%u/d.xml\r\n\r\n", ip, g->port);
    cr_assert_eq(sendto(g->ssdp, text, (size_t)out, 0, (struct sockaddr *)&from, len), out);
}

/* Waits for it; false: the client has gone. */
static bool read_request(struct igd *g, int fd, char *out, size_t size) {
    size_t len = 0;
    out[0] = '\0';
    while (strncmp(out, "GET", 3) == 0 ? strstr(out, "\r\n\r\n") == NULL
                                       : strstr(out, "</s:Envelope>") == NULL) {
        ssize_t n = recv(fd, out + len, size - 1 - len, MSG_DONTWAIT);
        if (n > 0)
            len += (size_t)n;
        else if (n == 0 || errno != EAGAIN)
            return false;
        else
            cr_assert_eq(reactor_turn(g->reactor, reactor_now(g->reactor) + MSEC(1)), 0);
        out[len] = '\0';
    }
    return true;
}

static void say(int fd, const char *text) {
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void pour(int fd) {
    static char much[UPNP_ANSWER_BYTES_MAX];
    memset(much, 'a', sizeof(much));
    say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    for (int i = 0; i < 4; i++)
        (void)!send(fd, much, sizeof(much), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void describe(struct igd *g, int fd) {
    static const char DESCRIPTION[] =
        "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>"
        "<controlURL>/ctl</controlURL></service>";
    char text[512];
    struct linger hard = {.l_onoff = 1};
    g->described++;
    switch (g->kind) {
    case WITH_LENGTH:
        (void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(DESCRIPTION), DESCRIPTION);
        say(fd, text);
        break;
    case AT_THE_END:
        (void)snprintf(text, sizeof(text), "HTTP/1.0 200 OK\r\n\r\n%s", DESCRIPTION);
        say(fd, text);
        break;
    case RESETS:
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        break;
    case SAYS_NOTHING:
        break;
    case POURS:
        pour(fd);
        break;
    }
}

static void act(struct igd *g, int fd, const char *request) {
    bool is_address = strstr(request, "#GetExternalIPAddress\"") != NULL;
    g->mapped += strstr(request, "#AddPortMapping\"") != NULL;
    g->unmapped += strstr(request, "#DeletePortMapping\"") != NULL;
    say(fd, is_address ? "HTTP/1.1 200 OK\r\n\r\n<NewExternalIPAddress>8.8.8.8"
                         "</NewExternalIPAddress>"
                       : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

/* What it gives is at another address than by UPnP, so that one can tell. */
static void answer_pcp(struct igd *g) {
    uint8_t text[PCP_REQUEST_BYTES];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(g->pcp, text, sizeof(text), 0, (struct sockaddr *)&from, &len);
    if (n != PCP_REQUEST_BYTES)
        return;
    g->pcp_removed += text[4] == 0 && text[5] == 0 && text[6] == 0 && text[7] == 0;
    text[1] = 0x81;
    text[3] = g->pcp_result;
    memset(text + 8, 0, 16);
    if (g->pcp_port != 0) {
        text[42] = (uint8_t)(g->pcp_port >> 8);
        text[43] = (uint8_t)g->pcp_port;
    }
    memset(text + 44, 0, 10);
    memcpy(text + 54, (const uint8_t[]){0xff, 0xff, 8, 8, 4, 4}, 6);
    cr_assert_eq(sendto(g->pcp, text, sizeof(text), 0, (struct sockaddr *)&from, len), n);
}

static void serve(struct igd *g) {
    char request[UPNP_REQUEST_BYTES_MAX];
    answer_search(g);
    if (g->pcp >= 0)
        answer_pcp(g);
    int fd = accept(g->http, NULL, NULL);
    if (fd < 0)
        return;
    bool is_whole = read_request(g, fd, request, sizeof(request));
    if (is_whole && strncmp(request, "GET /d.xml ", 11) == 0)
        describe(g, fd);
    else if (is_whole)
        act(g, fd, request);
    close(fd);
}

#define TURN_UNTIL(g, condition)                                                              \
    do {                                                                                      \
        nsec_t until_ = reactor_now((g)->reactor) + SEC(10);                                  \
        while (!(condition)) {                                                                \
            cr_assert_lt(reactor_now((g)->reactor), until_, "never: " #condition);            \
            cr_assert_eq(reactor_turn((g)->reactor, reactor_now((g)->reactor) + MSEC(2)), 0); \
            serve(g);                                                                         \
        }                                                                                     \
    } while (0)

/* --- Ours ------------------------------------------------------------------------------------- */

static void on_event(void *user, const struct upnp_event *ev) {
    struct igd *g = user;
    g->events++;
    g->errors += ev->error < 0;
    if (ev->error == 0)
        g->external = ev->external;
}

static void on_closed(void *user) {
    ((struct igd *)user)->closed++;
}

static int try_open(struct igd *g) {
    char ip[NET_ADDR_TEXT_MAX];
    gateway_text(ip);
    struct portmap_upnp_config cfg = {.reactor = g->reactor,
                                      .gateway = naddr(ip),
                                      .client = naddr("127.0.0.1"),
                                      .event = on_event,
                                      .user = g};
    return portmap_upnp_new(&cfg, &g->upnp);
}

static uint16_t port_of(int fd) {
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    return ntohs(a.sin_port);
}

static void prepare(struct igd *g, enum reactor_io io) {
    *g = (struct igd){.mem.mem.resize = fail_mem_resize, .pcp = -1};
    int e = reactor_new(&(struct reactor_config){.mem = &g->mem.mem, .io = io}, &g->reactor);
    if (io == REACTOR_IO_URING && (e == -ENOSYS || e == -EPERM))
        cr_skip("io_uring is refused on this system");
    cr_assert_eq(e, 0);
    g->ssdp = bound(SOCK_DGRAM, UPNP_SEARCH_PORT);
    g->http = bound(SOCK_STREAM, 0);
    cr_assert_eq(listen(g->http, 8), 0);
    g->port = port_of(g->http);
}

static void open_igd(struct igd *g, enum reactor_io io) {
    prepare(g, io);
    cr_assert_eq(try_open(g), 0);
    cr_assert_eq(portmap_upnp_add(g->upnp, false, 4001), 0);
}

static void close_igd(struct igd *g, bool removes) {
    portmap_upnp_close(g->upnp, removes, on_closed, g);
    cr_assert_eq(g->closed, 0, "told from inside the call");
    TURN_UNTIL(g, g->closed == 1);
    close(g->ssdp);
    close(g->http);
    g->reactor = reactor_free(g->reactor);
    cr_assert_eq(g->mem.blocks, 0);
}

#define CASE(name)                        \
    static void name(enum reactor_io io); \
    Test(portmap_upnp_io_uring, name) {   \
        name(REACTOR_IO_URING);           \
    }                                     \
    Test(portmap_upnp_epoll, name) {      \
        name(REACTOR_IO_EPOLL);           \
    }                                     \
    static void name(enum reactor_io io)

CASE(a_port_is_mapped_and_unmapped) {
    for (int kind = WITH_LENGTH; kind <= AT_THE_END; kind++) {
        struct igd g;
        struct net_addr wanted = naddr("8.8.8.8:4001");
        open_igd(&g, io);
        g.kind = (enum answer_kind)kind;
        TURN_UNTIL(&g, g.events == 1);
        cr_assert(net_addr_equal(&g.external, &wanted));
        cr_assert_eq(g.mapped, 1);
        close_igd(&g, true);
        cr_assert_eq(g.unmapped, 1);
        cr_assert_eq(g.events, 1);
    }
}

CASE(a_mapping_may_be_left_behind) {
    struct igd g;
    open_igd(&g, io);
    TURN_UNTIL(&g, g.events == 1);
    close_igd(&g, false);
    cr_assert_eq(g.unmapped, 0);
}

CASE(answers_that_break_off_or_do_not_end_are_failures) {
    for (int kind = RESETS; kind <= POURS; kind++) {
        struct igd g;
        open_igd(&g, io);
        g.kind = (enum answer_kind)kind;
        TURN_UNTIL(&g, g.errors == 1);
        cr_assert_eq(g.described, 1);
        cr_assert_eq(g.mapped, 0);
        close_igd(&g, true);
    }
}

CASE(a_port_where_nobody_listens_is_a_failure) {
    struct igd g;
    open_igd(&g, io);
    close(g.http);
    g.http = -1;
    TURN_UNTIL(&g, g.errors == 1);
    close_igd(&g, true);
}

CASE(it_is_looked_for_again_when_its_owner_says_so) {
    struct igd g;
    open_igd(&g, io);
    TURN_UNTIL(&g, g.events == 1);
    portmap_upnp_ask_again(g.upnp);
    TURN_UNTIL(&g, g.mapped == 2);
    cr_assert_eq(g.described, 2);
    close_igd(&g, true);
}

/* After any number of turns: before the search, in an exchange, between two. */
CASE(it_ends_at_any_time) {
    for (int turns = 0; turns < 24; turns++) {
        struct igd g;
        open_igd(&g, io);
        for (int i = 0; i < turns; i++) {
            cr_assert_eq(reactor_turn(g.reactor, reactor_now(g.reactor) + MSEC(1)), 0);
            serve(&g);
        }
        int events = g.events;
        close_igd(&g, turns % 2 == 0);
        cr_assert_eq(g.events, events);
        if (turns % 2 == 0)
            cr_assert_eq(g.unmapped, g.mapped, "after %d turns", turns);
    }
}

CASE(without_memory_it_is_not_there_or_fails_in_order) {
    struct igd g;
    prepare(&g, io);
    long before = g.mem.calls;
    for (long n = 1; g.upnp == NULL; n++) {
        g.mem.fail_at = before + n;
        int e = try_open(&g);
        g.mem.fail_at = 0;
        cr_assert(e == 0 || e == -ENOMEM, "%d", e);
        before = g.mem.calls;
        cr_assert_lt(n, 10);
    }
    close_igd(&g, true);
    for (long n = 1; n <= 4; n++) { /* of a search, or an exchange: one of them has the answer */
        open_igd(&g, io);
        g.mem.fail_at = g.mem.calls + n;
        TURN_UNTIL(&g, g.events == 1);
        g.mem.fail_at = 0;
        close_igd(&g, true);
    }
}

/* --- Beside PCP ------------------------------------------------------------------------------- */

static bool is_mapped(const struct portmap *p, const char *text) {
    struct multiaddr got[PORTMAP_PORTS_MAX], wanted = maddr(text);
    return portmap_addrs(p, got) == 1 && multiaddr_equal(&got[0], &wanted);
}

/* It refuses by PCP, maps by UPnP, and then does by PCP, too: `pcp_port` there. */
static struct portmap *open_both(struct igd *g, struct netwatch *watch, enum reactor_io io,
                                 uint16_t pcp_port) {
    char ip[NET_ADDR_TEXT_MAX];
    struct netwatch_snapshot s = {.knows_routes = true};
    struct multiaddr listen = maddr("/ip4/0.0.0.0/udp/4001/quic-v1");
    struct portmap *p;
    prepare(g, io);
    gateway_text(ip);
    g->pcp = bound(SOCK_DGRAM, 0);
    g->pcp_result = PCP_NOT_AUTHORIZED;
    g->pcp_port = pcp_port;
    netwatch_add_addr(
        &s, &(struct netwatch_addr){.ip = naddr("127.0.0.1"), .prefix_len = 8, .link_index = 1});
    netwatch_add_route(
        &s, &(struct netwatch_route){.gateway = naddr(ip), .link_index = 1, .family = NET_IP4});
    netwatch_publish(watch, &s, false);
    struct portmap_config cfg = {.reactor = g->reactor,
                                 .netwatch = watch,
                                 .listen = &listen,
                                 .listen_count = 1,
                                 .gateway_port = port_of(g->pcp)};
    cr_assert_eq(portmap_new(&cfg, &p), 0);
    TURN_UNTIL(g, is_mapped(p, "/ip4/8.8.8.8/udp/4001/quic-v1"));
    g->pcp_result = PCP_SUCCESS;
    portmap_network_changed(p);
    return p;
}

static void close_both(struct igd *g, struct portmap *p) {
    portmap_close(p, on_closed, g);
    TURN_UNTIL(g, g->closed == 1 && g->pcp_removed > 0);
    (void)portmap_free(p);
    close(g->ssdp);
    close(g->http);
    close(g->pcp);
    g->reactor = reactor_free(g->reactor);
    cr_assert_eq(g->mem.blocks, 0);
}

/* What UPnP removed would be PCP's, at a gateway that has one table. */
CASE(a_port_that_pcp_maps_late_under_the_same_number_stays) {
    struct igd g;
    struct netwatch watch = {0};
    struct portmap *p = open_both(&g, &watch, io, 0);
    TURN_UNTIL(&g, is_mapped(p, "/ip4/8.8.4.4/udp/4001/quic-v1"));
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(reactor_turn(g.reactor, reactor_now(g.reactor) + MSEC(2)), 0);
        serve(&g);
    }
    cr_assert_eq(g.unmapped, 0);
    cr_assert(is_mapped(p, "/ip4/8.8.4.4/udp/4001/quic-v1"));
    close_both(&g, p);
    cr_assert_eq(g.unmapped, 1, "at the end both are asked to forget it");
}

CASE(a_port_that_pcp_maps_late_under_another_number_is_unmapped_by_upnp) {
    struct igd g;
    struct netwatch watch = {0};
    struct portmap *p = open_both(&g, &watch, io, 4009);
    TURN_UNTIL(&g, g.unmapped == 1);
    cr_assert(is_mapped(p, "/ip4/8.8.4.4/udp/4009/quic-v1"));
    close_both(&g, p);
    cr_assert_eq(g.unmapped, 1);
}

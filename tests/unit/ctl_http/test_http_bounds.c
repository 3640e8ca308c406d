/* SPDX-License-Identifier: MIT */

/* Clients that do not behave: each is bounded in time, size and number, and disturbs no other. */

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/net_addr.h"
#include "http_client.h"

static const char SLOW[] = "GET /echo HTTP/1.1\r\nHost: x\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static void reset_on_close(const struct client *c) {
    struct linger now = {.l_onoff = 1};
    cr_assert_eq(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
}

static bool is_served(struct fixture *t) {
    return strstr(fetch(t, "GET", "/echo"), "GET /echo []\n") != NULL;
}

/* Goal: bytes that keep coming do not keep a connection open. */
CASE(bounds, a_client_that_drips_is_ended_in_time_and_others_are_served) {
    t->cfg.timeout = MSEC(60);
    server_open(t);
    struct client *c = client_connect(t);
    const char *p = SLOW;
    nsec_t start = reactor_now(t->reactor), until = start + SEC(10);
    while (!client_poll(c)) {
        cr_assert(reactor_now(t->reactor) < until, "it drips still");
        client_send(c, (const char[]){*p, '\0'});
        p = p[1] == '\0' ? p - 10 : p + 1;
        turn_for(t, MSEC(2));
    }
    cr_assert_geq(reactor_now(t->reactor) - start, MSEC(60));
    cr_assert_eq(c->len, 0);
    cr_assert_eq(t->handled, 0);
    client_end(c);
    cr_assert(is_served(t));
}

CASE(bounds, a_client_that_says_nothing_is_ended_in_time) {
    t->cfg.timeout = MSEC(30);
    server_open(t);
    struct client *silent = client_connect(t);
    struct client *idle = client_connect(t);
    client_send(idle, "GET /teapot HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(t, client_has(idle, "{}\n"));
    TURN_UNTIL(t, client_poll(silent));
    TURN_UNTIL(t, client_poll(idle));
    client_end(silent);
    client_end(idle);
}

/* Goal: each answer gives the next request its own time. */
CASE(bounds, a_connection_in_use_goes_on_beyond_one_requests_time) {
    t->cfg.timeout = MSEC(500);
    server_open(t);
    struct client *c = client_connect(t);
    nsec_t start = reactor_now(t->reactor);
    while (reactor_now(t->reactor) < start + MSEC(1100)) {
        client_clear(c);
        client_send(c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
        TURN_UNTIL(t, client_has(c, "GET /echo []\n"));
        cr_assert_not(c->is_over);
        turn_for(t, MSEC(20));
    }
    client_end(c);
}

CASE(bounds, a_client_that_does_not_read_is_ended_in_time) {
    static const char MANY[] = "GET /long HTTP/1.1\r\nHost: x\r\n\r\n";
    t->cfg.timeout = MSEC(60);
    server_open(t);
    struct client *c = client_connect(t);
    int fds_before = open_fds_count();
    for (int i = 0; i < 400; i++) /* 40 MB of answers: more than the kernel keeps */
        client_send(c, MANY);
    TURN_UNTIL(t, open_fds_count() > fds_before);
    TURN_UNTIL(t, open_fds_count() == fds_before);
    ssize_t n;
    size_t got = 0;
    while ((n = recv(c->fd, c->got, sizeof(c->got), 0)) > 0)
        got += (size_t)n;
    cr_assert_lt(got, 40000000);
    client_end(c);
    cr_assert(is_served(t));
}

CASE(bounds, a_head_that_is_too_long_is_refused) {
    static char long_head[3 * HTTP_HEAD_BYTES_MAX];
    server_open(t);
    memset(long_head, 'a', sizeof(long_head) - 1);
    memcpy(long_head, "GET /echo HTTP/1.1\r\nHost: x\r\nX: ", 32);
    struct client *c = client_connect(t);
    client_send(c, long_head);
    TURN_UNTIL(t, client_poll(c));
    cr_assert_eq(strncmp(c->got, "HTTP/1.1 4", c->len == 0 ? 0 : 10), 0, "%.40s", c->got);
    client_end(c);
    memcpy(long_head, "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaa", 32);
    c = client_connect(t);
    client_send(c, long_head);
    TURN_UNTIL(t, client_poll(c));
    cr_assert_eq(strncmp(c->got, "HTTP/1.1 4", c->len == 0 ? 0 : 10), 0, "%.40s", c->got);
    client_end(c);
    cr_assert_eq(t->handled, 0);
    cr_assert(is_served(t));
}

CASE(bounds, a_body_that_is_too_long_is_refused) {
    server_open(t);
    struct client *c = client_connect(t);
    client_send(c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 65\r\n\r\n");
    TURN_UNTIL(t, client_has(c, "Content Too Large\n"));
    cr_assert_eq(strncmp(c->got, "HTTP/1.1 413 ", 13), 0, "%s", c->got);
    client_end(c);

    c = client_connect(t);
    client_send(c, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 5; i++)
        client_send(c, "10\r\n0123456789abcdef\r\n");
    TURN_UNTIL(t, client_poll(c));
    client_end(c);
    cr_assert_eq(t->handled, 0);
    cr_assert(is_served(t));
}

CASE(bounds, what_is_no_http_is_refused) {
    static const char *const ROWS[] = {
        "\x16\x03\x01\x02\x01\xfc\x03\x03 a TLS client\r\n\r\n",
        "\x16\x03\x01",
        "GET\r\n\r\n",
        "GET /echo HTTP/1.1\r\n\r\n", /* no Host */
        "GET /echo HTTP/9.9\r\nHost: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    };
    t->cfg.timeout = MSEC(100); /* half a line, and FIN in the same packet: not noticed before */
    server_open(t);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct client *c = client_connect(t);
        client_send(c, ROWS[i]);
        cr_assert_eq(shutdown(c->fd, SHUT_WR), 0);
        TURN_UNTIL(t, client_poll(c));
        cr_assert(c->len == 0 || c->got[9] == '4' || c->got[9] == '5', "row %zu: %s", i, c->got);
        client_end(c);
    }
    cr_assert_eq(t->handled, 0);
    cr_assert(is_served(t));
}

/* Goal: beyond the limit clients wait, and are served when there is room. */
CASE(bounds, connections_beyond_the_limit_wait) {
    t->cfg.connections_max = 2;
    server_open(t);
    struct client *a = client_connect(t), *b = client_connect(t), *c = client_connect(t);
    turn_for(t, MSEC(5));
    client_send(c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    turn_for(t, MSEC(20));
    cr_assert_not(client_has(c, "200 OK"));
    client_end(a);
    TURN_UNTIL(t, client_has(c, "200 OK"));
    client_send(b, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(t, client_has(b, "200 OK"));
    client_end(b);
    client_end(c);
    turn_for(t, MSEC(5));
    cr_assert(is_served(t));
}

CASE(bounds, clients_that_vanish_leave_nothing) {
    static const char *const SAID[] = {
        "",
        "GET",
        "GET /long HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234",
    };
    server_open(t);
    for (size_t i = 0; i < 2 * ARRAY_COUNT(SAID); i++) {
        struct client *c = client_connect(t);
        client_send(c, SAID[i / 2]);
        turn_for(t, MSEC(1));
        if (i % 2 == 0)
            reset_on_close(c);
        client_end(c);
    }
    cr_assert(is_served(t));
}

CASE(bounds, closing_ends_all_connections) {
    server_open(t);
    struct client *silent = client_connect(t), *half = client_connect(t);
    client_send(half, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234");
    turn_for(t, MSEC(5));
    t->server = http_server_close(t->server);
    TURN_UNTIL(t, client_poll(silent));
    TURN_UNTIL(t, client_poll(half));
    client_end(silent);
    client_end(half);
}

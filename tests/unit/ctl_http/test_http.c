/* SPDX-License-Identifier: MIT */

/* What requests are answered.  Spec: daemon-api.md, section 2. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/net_addr.h"
#include "core/base/problem.h"
#include "http_client.h"

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

static const char *body_of(const char *answer) {
    const char *end = strstr(answer, "\r\n\r\n");
    cr_assert_not_null(end, "%s", answer);
    return end + 4;
}

CASE(http, a_route_is_called_and_its_reply_sent) {
    server_open(t);
    const char *got = fetch(t, "GET", "/echo?x=1");
    cr_assert(begins(got, "HTTP/1.1 200 OK\r\n"), "%s", got);
    cr_assert_not_null(strstr(got, "Content-Type: text/plain; charset=utf-8\r\n"));
    cr_assert_not_null(strstr(got, "Content-Length: 13\r\n"));
    cr_assert_str_eq(body_of(got), "GET /echo []\n");
    cr_assert_eq(t->handled, 1);
    cr_assert(net_addr_is_loopback(&t->remote));
    cr_assert_neq(t->remote.port, 0);

    got = fetch(t, "GET", "/teapot");
    cr_assert(begins(got, "HTTP/1.1 418 "), "%s", got);
    cr_assert_not_null(strstr(got, "Content-Type: application/json\r\n"));
    cr_assert_str_eq(body_of(got), "{}\n");
}

CASE(http, head_is_get_without_a_body) {
    server_open(t);
    const char *got = fetch(t, "HEAD", "/echo");
    cr_assert(begins(got, "HTTP/1.1 200 OK\r\n"), "%s", got);
    cr_assert_not_null(strstr(got, "Content-Length: 13\r\n"));
    cr_assert_str_eq(body_of(got), "");
    cr_assert_str_eq(t->method, "GET");
}

CASE(http, unknown_paths_and_methods_are_told) {
    server_open(t);
    const char *got = fetch(t, "GET", "/ech");
    cr_assert(begins(got, "HTTP/1.1 404 "), "%s", got);
    cr_assert_str_eq(body_of(got), "404 page not found\n");
    got = fetch(t, "DELETE", "/echo");
    cr_assert(begins(got, "HTTP/1.1 405 "), "%s", got);
    cr_assert_not_null(strstr(got, "Allow: GET, HEAD, POST\r\n"), "%s", got);
    got = fetch(t, "POST", "/long");
    cr_assert_not_null(strstr(got, "Allow: GET, HEAD\r\n"), "%s", got);
    cr_assert_eq(t->handled, 0);
}

CASE(http, a_route_may_take_one_more_segment) {
    static const struct {
        const char *path, *body;
    } ROWS[] = {
        {"/item/proxy-1", "item [proxy-1]\n"}, {"/item/a%20b?x=1", "item [a b]\n"},
        {"/item/", "404 page not found\n"},    {"/item", "404 page not found\n"},
        {"/item/a/b", "404 page not found\n"}, {"/item/a%2Fb", "404 page not found\n"},
        {"/item/a/", "404 page not found\n"},  {"/items/a", "404 page not found\n"},
        {"/teapot/a", "404 page not found\n"},
    };
    server_open(t);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++)
        cr_assert_str_eq(body_of(fetch(t, "DELETE", ROWS[i].path)), ROWS[i].body, "%s",
                         ROWS[i].path);
    const char *got = fetch(t, "GET", "/item/a");
    cr_assert(begins(got, "HTTP/1.1 405 "), "%s", got);
    cr_assert_not_null(strstr(got, "Allow: DELETE\r\n"), "%s", got);
}

CASE(http, errors_may_be_json) {
    t->cfg.errors_as_json = true;
    server_open(t);
    const char *got = fetch(t, "GET", "/excess");
    cr_assert_not_null(strstr(got, "Content-Type: application/json\r\n"));
    cr_assert_str_eq(body_of(got), "{\"error\":\"Internal Server Error\"}\n");
    cr_assert_str_eq(body_of(fetch(t, "GET", "/none")), "404 page not found\n");
}

CASE(http, a_body_comes_whole_however_it_is_cut) {
    static const char HEAD[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n";
    static const char BODY[] = "0123456789";
    server_open(t);
    struct client *c = client_connect(t);
    for (int i = 0; i < 3; i++) { /* on one connection */
        client_send(c, HEAD);
        for (const char *p = BODY; *p != '\0'; p++) {
            client_send(c, (const char[]){*p, '\0'});
            turn_for(t, USEC(100));
        }
        TURN_UNTIL(t, client_has(c, "POST /echo [0123456789]\n"));
        cr_assert_eq(t->handled, i + 1);
        client_clear(c);
    }
    client_send(c, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    TURN_UNTIL(t, client_has(c, "POST /echo [abcde]\n"));
    client_end(c);
}

CASE(http, requests_that_come_together_are_answered_in_order) {
    server_open(t);
    struct client *c = client_connect(t);
    client_send(c, "GET /teapot HTTP/1.1\r\nHost: x\r\n\r\nGET /long HTTP/1.1\r\nHost: x\r\n\r\n"
                   "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    TURN_UNTIL(t, client_poll(c));
    const char *first = strstr(c->got, "418"), *last = strstr(c->got, "GET /echo []");
    cr_assert(first != NULL && last != NULL && first < last);
    cr_assert_gt(c->len, 100000);
    client_end(c);
}

CASE(http, a_reply_that_is_too_long_is_an_error_of_ours) {
    server_open(t);
    const char *got = fetch(t, "GET", "/excess");
    cr_assert(begins(got, "HTTP/1.1 500 "), "%s", got);
    cr_assert_str_eq(body_of(got), "Internal Server Error\n");
}

CASE(http, ipv6_is_listened_on) {
    t->cfg.listen.ip = (struct net_addr){.family = NET_IP6, .ip = {[15] = 1}};
    int e = http_server_open(&t->cfg, &t->server, NULL);
    if (e == -EADDRNOTAVAIL || e == -EAFNOSUPPORT)
        cr_skip("no IPv6 on this system");
    cr_assert_eq(e, 0);
    cr_assert_str_eq(body_of(fetch(t, "GET", "/echo")), "GET /echo []\n");
    cr_assert_eq(t->remote.family, NET_IP6);
    cr_assert(net_addr_is_loopback(&t->remote));
}

CASE(http, a_unix_socket_is_for_its_owner) {
    char folder[] = "/tmp/peerup-test-XXXXXX";
    struct stat st;
    cr_assert_not_null(mkdtemp(folder));
    t->cfg.listen = (struct sock_addr){.ip.family = NET_NONE};
    (void)snprintf(t->cfg.listen.unix_path, sizeof(t->cfg.listen.unix_path), "%s/sock", folder);
    server_open(t);
    cr_assert_eq(stat(t->cfg.listen.unix_path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_str_eq(body_of(fetch(t, "GET", "/echo")), "GET /echo []\n");
    cr_assert_eq(t->remote.family, NET_NONE);
    cr_assert_eq(unlink(t->cfg.listen.unix_path), 0);
    cr_assert_eq(rmdir(folder), 0);
}

CASE(http, what_cannot_be_opened_is_an_error) {
    struct problem why = PROBLEM_INIT;
    struct http_server *second = NULL;
    char wanted[128], text[NET_ADDR_TEXT_MAX];
    server_open(t);
    struct http_config cfg = t->cfg;
    cfg.listen = *http_server_addr(t->server);
    cr_assert_neq(cfg.listen.ip.port, 0);
    cr_assert_eq(http_server_open(&cfg, &second, &why), -EADDRINUSE);
    (void)snprintf(wanted, sizeof(wanted), "listen on %s: Address already in use",
                   net_addr_format(&cfg.listen.ip, text));
    cr_assert_str_eq(why.text, wanted);
    cr_assert_null(second);
    cfg.listen = (struct sock_addr){.unix_path = "/nowhere/sock"};
    cr_assert_eq(http_server_open(&cfg, &second, &why), -ENOENT);
    cr_assert_str_eq(why.text, "listen on /nowhere/sock: No such file or directory");

    /* Each request for memory fails once. */
    int e = -ENOMEM;
    for (int n = 1; e < 0; n++) {
        t->mem.fail_at = n;
        e = http_server_open(&t->cfg, &second, &why);
        cr_assert(e == 0 || e == -ENOMEM, "%d", e);
        cr_assert_lt(n, 100);
    }
    t->mem.fail_at = 0;
    second = http_server_close(second);
    cr_assert_null(http_server_close(NULL));
}

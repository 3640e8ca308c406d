/* SPDX-License-Identifier: MIT */
#include "http_client.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void *counting_resize(struct mem *m, void *p, size_t size) {
    struct counting_mem *c = CONTAINER_OF(m, struct counting_mem, mem);
    if (size > 0 && c->fail_at > 0 && --c->fail_at == 0)
        return NULL;
    if (p == NULL && size > 0)
        c->live++;
    if (p != NULL && size == 0)
        c->live--;
    return mem_system()->resize(mem_system(), p, size);
}

int open_fds_count(void) {
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    cr_assert_not_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* --- What the server does --- */

static void echo(void *user, const struct http_request *request, struct http_reply *reply) {
    struct fixture *t = user;
    t->handled++;
    (void)snprintf(t->method, sizeof(t->method), "%s", request->method);
    (void)snprintf(t->path, sizeof(t->path), "%s", request->path);
    (void)snprintf(t->body, sizeof(t->body), "%.*s", (int)request->body.len,
                   (const char *)request->body.data);
    t->remote = request->remote;
    strbuf_addf(&reply->body, "%s %s [%s]\n", t->method, t->path, t->body);
}

static void add_bytes(struct http_reply *reply, size_t count) {
    for (size_t i = 0; i < count; i++)
        strbuf_add_char(&reply->body, (char)('a' + i % 26));
}

static void answer_long(void *user, const struct http_request *request, struct http_reply *reply) {
    (void)user;
    (void)request;
    add_bytes(reply, 100000);
}

static void answer_excess(void *user, const struct http_request *request,
                          struct http_reply *reply) {
    (void)user;
    (void)request;
    add_bytes(reply, HTTP_REPLY_BYTES_MAX + 1);
}

static void answer_teapot(void *user, const struct http_request *request,
                          struct http_reply *reply) {
    (void)user;
    (void)request;
    reply->status = 418;
    reply->content_type = HTTP_JSON;
    strbuf_add(&reply->body, "{}\n");
}

static void delete_item(void *user, const struct http_request *request, struct http_reply *reply) {
    (void)user;
    strbuf_addf(&reply->body, "item [%s]\n", request->segment);
}

static const struct http_route ROUTES[] = {
    {"GET", "/echo", echo},
    {"POST", "/echo", echo},
    {"GET", "/long", answer_long},
    {"GET", "/excess", answer_excess},
    {"GET", "/teapot", answer_teapot},
    {"DELETE", "/item/", delete_item},
};

/* --- The fixture --- */

void fixture_init(struct fixture *t, enum reactor_io io) {
    *t = (struct fixture){.mem.mem.resize = counting_resize, .fds_before = open_fds_count()};
    struct reactor_config cfg = {.mem = &t->mem.mem, .io = io};
    int error = reactor_new(&cfg, &t->reactor);
    if (io == REACTOR_IO_URING && (error == -ENOSYS || error == -EPERM))
        cr_skip("io_uring is refused on this system");
    cr_assert_eq(error, 0);
    t->cfg = (struct http_config){
        .reactor = t->reactor,
        .listen.ip = {.family = NET_IP4, .ip = {127, 0, 0, 1}},
        .routes = ROUTES,
        .routes_count = ARRAY_COUNT(ROUTES),
        .user = t,
        .connections_max = 8,
        .body_bytes_max = 64,
        .timeout = SEC(10),
    };
}

void fixture_done(struct fixture *t) {
    t->server = http_server_close(t->server);
    TURN_UNTIL(t, !reactor_has_handles(t->reactor));
    reactor_free(t->reactor);
    cr_expect_eq(t->mem.live, 0, "%ld allocations are left", (long)t->mem.live);
    cr_expect_eq(open_fds_count(), t->fds_before);
}

void server_open(struct fixture *t) {
    cr_assert_eq(http_server_open(&t->cfg, &t->server, NULL), 0);
}

void turn_for(struct fixture *t, nsec_t time) {
    nsec_t until = reactor_now(t->reactor) + time;
    while (reactor_now(t->reactor) < until)
        cr_assert_eq(reactor_turn(t->reactor, until), 0);
}

/* --- Clients --- */

static int connect_to(const struct sock_addr *at) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(at->ip.port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(at->ip.port)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int family = at->ip.family == NET_IP4 ? AF_INET : at->ip.family == NET_IP6 ? AF_INET6 : AF_UNIX;
    memcpy(&in.sin_addr, at->ip.ip, 4);
    memcpy(&in6.sin6_addr, at->ip.ip, 16);
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", at->unix_path);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    int e = family == AF_INET    ? connect(fd, (const struct sockaddr *)&in, sizeof(in))
            : family == AF_INET6 ? connect(fd, (const struct sockaddr *)&in6, sizeof(in6))
                                 : connect(fd, (const struct sockaddr *)&un, sizeof(un));
    cr_assert_eq(e, 0, "connect: %s", strerror(errno));
    return fd;
}

struct client *client_connect(struct fixture *t) {
    return client_connect_to(http_server_addr(t->server));
}

struct client *client_connect_to(const struct sock_addr *at) {
    static struct client clients[4];
    static unsigned next;
    struct client *c = &clients[next++ % ARRAY_COUNT(clients)];
    c->fd = connect_to(at);
    c->len = 0;
    c->got[0] = '\0';
    c->is_over = false;
    return c;
}

void client_send(struct client *c, const char *text) {
    size_t len = strlen(text);
    /* A server that closes while we write is for the test to notice. */
    (void)!send(c->fd, text, len, MSG_NOSIGNAL);
}

bool client_poll(struct client *c) {
    while (!c->is_over) {
        ssize_t n = recv(c->fd, c->got + c->len, sizeof(c->got) - 1 - c->len, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            c->is_over = true;
        else
            c->len += (size_t)n;
        c->got[c->len] = '\0';
    }
    return c->is_over;
}

bool client_has(struct client *c, const char *text) {
    (void)client_poll(c);
    return strstr(c->got, text) != NULL;
}

void client_clear(struct client *c) {
    c->len = 0;
    c->got[0] = '\0';
}

void client_end(struct client *c) {
    close(c->fd);
}

const char *fetch(struct fixture *t, const char *method, const char *path) {
    char request[256];
    struct client *c = client_connect(t);
    (void)snprintf(request, sizeof(request),
                   "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
    client_send(c, request);
    TURN_UNTIL(t, client_poll(c));
    client_end(c);
    return c->got;
}

/* SPDX-License-Identifier: MIT */
#include "tests/unit/relay/tunnel.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"

static const struct sockaddr_in loopback = {.sin_family = AF_INET};

static struct sockaddr_in at_port(uint16_t port) {
    struct sockaddr_in a = loopback;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons(port);
    return a;
}

static void listen_target(struct tunnel *t) {
    struct sockaddr_in a = at_port(0);
    socklen_t len = sizeof(a);
    t->target = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(t->target, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(listen(t->target, 1024), 0);
    cr_assert_eq(getsockname(t->target, (struct sockaddr *)&a, &len), 0);
    t->target_port = ntohs(a.sin_port);
}

void tunnel_add_service(struct tunnel *t, const struct service_config *cfg) {
    struct problem problem = PROBLEM_INIT;
    cr_assert_eq(services_add(t->services, cfg, &problem), 0, "%s", problem.text);
}

static void on_refused(void *user, int error) {
    struct tunnel *t = user;
    t->refusals++;
    t->refusal = error;
}

static void on_limit_met(void *user, int error, const struct conn_limit *limit) {
    struct tunnel *t = user;
    t->limits_met++;
    t->limit_error = error;
    t->limit_bytes = limit->data_bytes;
}

int tunnel_try_proxy(struct tunnel *t, const char *service) {
    struct net_addr addr[2];
    proxy_listen_localhost(0, addr);
    struct proxy_config cfg = {.reactor = t->reactor,
                               .host = t->near,
                               .peer = fake_peer_id("far"),
                               .service = service,
                               .listen = addr,
                               .listen_count = 1,
                               .refused_timeout = t->refused_timeout,
                               .refused = on_refused,
                               .limit_met = on_limit_met,
                               .user = t};
    return proxy_open(&cfg, NULL, &t->proxy);
}

int tunnel_try_service(struct tunnel *t, const char *name) {
    struct service_config cfg = {.name = name, .host = "127.0.0.1", .port = t->target_port};
    return services_add(t->services, &cfg, NULL);
}

static void on_audit(struct log *l, enum log_level level, const char *line, size_t len) {
    struct tunnel *t = CONTAINER_OF(l, struct tunnel, audit);
    (void)level;
    (void)snprintf(t->audited, sizeof(t->audited), "%.*s", (int)len, line);
}

void tunnel_prepare(struct tunnel *t, struct mem *mem) {
    *t = (struct tunnel){0};
    cr_assert_eq(reactor_new(&(struct reactor_config){.mem = mem}, &t->reactor), 0);
    cr_assert_eq(resolver_system_new(t->reactor, NULL, &t->resolver), 0);
    t->far = fake_host_new(t->reactor, "far", NULL);
    t->near = fake_host_new(t->reactor, "near", t->far);
    listen_target(t);
    t->audit =
        (struct log){.sink = on_audit, .level_max = LOG_INFO, .json = true, .group = "audit"};
    struct services_config cfg = {
        .reactor = t->reactor, .host = t->far, .resolver = t->resolver, .audit = &t->audit};
    cr_assert_eq(services_new(&cfg, &t->services), 0);
}

void tunnel_open(struct tunnel *t) {
    tunnel_prepare(t, mem_system());
    cr_assert_eq(tunnel_try_service(t, "echo"), 0);
    cr_assert_eq(tunnel_try_proxy(t, "echo"), 0);
}

static void on_closed(void *user) {
    ((struct tunnel *)user)->closed = true;
}

static void close_proxy(struct tunnel *t) {
    if (t->proxy == NULL)
        return;
    t->closed = false;
    proxy_close(t->proxy, on_closed, t);
    turn_until(t, t->closed);
    t->proxy = proxy_free(t->proxy);
}

void tunnel_proxy_to(struct tunnel *t, const char *service) {
    close_proxy(t);
    cr_assert_eq(tunnel_try_proxy(t, service), 0);
}

void tunnel_close(struct tunnel *t) {
    close_proxy(t);
    t->closed = false;
    services_close(t->services, on_closed, t);
    turn_until(t, t->closed);
    t->services = services_free(t->services);
    cr_assert_eq(fake_host_streams(t->near), 0);
    fake_host_free(t->near);
    fake_host_free(t->far);
    t->resolver = resolver_system_free(t->resolver);
    close(t->target);
    t->reactor = reactor_free(t->reactor);
}

void turn(struct tunnel *t) {
    cr_assert_geq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(10)), 0);
}

void turn_while_busy(struct tunnel *t) {
    for (int i = 0; i < 50; i++)
        cr_assert_geq(reactor_turn(t->reactor, 0), 0);
}

int client_connect(const struct tunnel *t) {
    struct sockaddr_in a = at_port(proxy_addr(t->proxy)->port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    int e = connect(fd, (struct sockaddr *)&a, sizeof(a));
    cr_assert(e == 0 || errno == EINPROGRESS);
    return fd;
}

int target_accept(const struct tunnel *t) {
    return accept4(t->target, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int accept_next(struct tunnel *t) {
    int target = -1;
    turn_until(t, (target = target_accept(t)) >= 0);
    return target;
}

int connect_through(struct tunnel *t, int *ret_target) {
    int client = client_connect(t);
    *ret_target = accept_next(t);
    return client;
}

void sock_abort(int fd) {
    struct linger hard = {.l_onoff = 1};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    close(fd);
}

ssize_t sock_read(int fd, void *out, size_t size) {
    ssize_t n = recv(fd, out, size, 0);
    return n < 0 ? -errno : n;
}

bool sock_is_reset(int fd) {
    char byte[4096];
    ssize_t n;
    while ((n = sock_read(fd, byte, sizeof(byte))) > 0)
        ;
    cr_assert_neq(n, 0, "an orderly end instead of a reset");
    return n == -ECONNRESET;
}

bool sock_is_ended(int fd) {
    char byte;
    ssize_t n = sock_read(fd, &byte, 1);
    cr_assert_neq(n, -ECONNRESET, "a reset instead of an orderly end");
    cr_assert_leq(n, 0);
    return n == 0;
}

void sock_drain(int fd, size_t *count) {
    static char sink[1 << 16];
    ssize_t n;
    while ((n = sock_read(fd, sink, sizeof(sink))) > 0)
        *count += (size_t)n;
}

bool sock_has(int fd, const char *text) {
    char got[256];
    size_t len = strlen(text);
    cr_assert_lt(len, sizeof(got));
    ssize_t n = recv(fd, got, len, MSG_PEEK);
    if (n < (ssize_t)len)
        return false;
    cr_assert_eq(recv(fd, got, len, 0), (ssize_t)len);
    cr_assert_arr_eq(got, text, len);
    return true;
}

void sock_send(int fd, const char *text) {
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

uint32_t descriptors_open(void) {
    uint32_t count = 0;
    DIR *d = opendir("/proc/self/fd");
    cr_assert_not_null(d);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/load.h"

enum { EVENTS = 64, BACKLOG = 4096 };

/* One connection, found by its descriptor. */
struct conn {
    char service;  /* 0 until the first byte came */
    bool draining; /* source: all is sent, waiting for the client's end */
    uint8_t header[DURATION_BYTES];
    uint8_t header_bytes;
    uint8_t trailer[COUNT_BYTES];
    uint8_t trailer_sent;
    uint64_t bytes; /* moved so far */
    nsec_t deadline;
};

struct server {
    int epfd;
    int listener;
    size_t conns_size;
    struct conn *conns;
    uint8_t *noise;
    uint8_t *scratch;
};

static int listen_on(const struct load_args *args) {
    int fd = load_socket();
    int on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(args->port)};
    if (inet_pton(AF_INET, args->host, &at.sin_addr) != 1 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0)
        load_die("listen");
    return fd;
}

static void accept_all(struct server *s) {
    for (;;) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if ((size_t)fd >= s->conns_size) {
            close(fd);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        s->conns[fd] = (struct conn){0};
        load_epoll_add(s->epfd, fd, EPOLLIN, (uint64_t)fd);
    }
}

/* The functions below return false when the connection is over. */

static bool echo(int fd, const uint8_t *data, size_t bytes) {
    return send(fd, data, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

static bool source_start(struct server *s, int fd, const uint8_t *data, size_t bytes) {
    struct conn *c = &s->conns[fd];
    while (bytes-- > 0 && c->header_bytes < DURATION_BYTES)
        c->header[c->header_bytes++] = *data++;
    if (c->header_bytes < DURATION_BYTES)
        return true;
    uint32_t ms = 0;
    for (size_t i = 0; i < DURATION_BYTES; i++)
        ms = ms << 8 | c->header[i];
    c->deadline = load_now() + (nsec_t)ms * 1000000;
    load_epoll_mod(s->epfd, fd, EPOLLOUT, (uint64_t)fd);
    return true;
}

static bool source_end(struct server *s, int fd) {
    struct conn *c = &s->conns[fd];
    if (c->trailer_sent == 0)
        load_put_be64(c->trailer, c->bytes);
    ssize_t n = send(fd, c->trailer + c->trailer_sent, COUNT_BYTES - c->trailer_sent, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN;
    c->trailer_sent += (uint8_t)n;
    if (c->trailer_sent < COUNT_BYTES)
        return true;
    c->draining = true;
    load_epoll_mod(s->epfd, fd, EPOLLIN, (uint64_t)fd);
    return shutdown(fd, SHUT_WR) == 0;
}

static bool source_more(struct server *s, int fd) {
    struct conn *c = &s->conns[fd];
    if (load_now() >= c->deadline)
        return source_end(s, fd);
    ssize_t n = send(fd, s->noise, BULK_BYTES, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN;
    c->bytes += (uint64_t)n;
    return true;
}

static bool at_eof(struct server *s, int fd) {
    uint8_t count[COUNT_BYTES];
    load_put_be64(count, s->conns[fd].bytes);
    if (s->conns[fd].service == SERVICE_SINK)
        send(fd, count, sizeof(count), MSG_NOSIGNAL);
    return false;
}

static bool readable(struct server *s, int fd) {
    struct conn *c = &s->conns[fd];
    ssize_t n = recv(fd, s->scratch, BULK_BYTES, 0);
    if (n < 0)
        return errno == EAGAIN;
    if (n == 0)
        return at_eof(s, fd);
    const uint8_t *data = s->scratch;
    size_t bytes = (size_t)n;
    if (c->service == 0) {
        c->service = (char)data[0];
        if (c->service != SERVICE_ECHO) {
            data++;
            bytes--;
        }
    }
    switch (c->service) {
    case SERVICE_ECHO:
        return echo(fd, data, bytes);
    case SERVICE_SINK:
        c->bytes += bytes;
        return true;
    case SERVICE_SOURCE:
        return !c->draining && source_start(s, fd, data, bytes);
    default:
        return false;
    }
}

void load_serve(const struct load_args *args) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        load_die("getrlimit");
    struct server s = {.epfd = epoll_create1(EPOLL_CLOEXEC), .conns_size = files.rlim_cur};
    s.listener = listen_on(args);
    s.conns = calloc(s.conns_size, sizeof(*s.conns));
    s.noise = load_new_noise(BULK_BYTES);
    s.scratch = malloc(BULK_BYTES);
    if (s.epfd < 0 || !s.conns || !s.scratch)
        load_die("serve");
    load_epoll_add(s.epfd, s.listener, EPOLLIN, (uint64_t)s.listener);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(s.epfd, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = (int)events[i].data.u64;
            if (fd == s.listener)
                accept_all(&s);
            else if (!(events[i].events & EPOLLOUT ? source_more(&s, fd) : readable(&s, fd)))
                close(fd);
        }
    }
}

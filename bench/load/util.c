/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/load.h"

nsec_t load_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (nsec_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void load_die(const char *what) {
    perror(what);
    exit(1);
}

int load_socket(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        load_die("socket");
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        load_die("TCP_NODELAY");
    return fd;
}

int load_connect(int fd, const struct load_args *args) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(args->port)};
    if (inet_pton(AF_INET, args->host, &to.sin_addr) != 1) {
        errno = EINVAL;
        load_die(args->host);
    }
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS)
        return 0;
    return -errno;
}

int load_open_blocking(const struct load_args *args, const void *request, size_t bytes) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        load_die("socket");
    int on = 1;
    struct timeval stall = {.tv_sec = STALL_MS / 1000};
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof(stall)) < 0)
        load_die("setsockopt");
    if (load_connect(fd, args) < 0 || !load_send_all(fd, request, bytes))
        load_die("connect");
    return fd;
}

bool load_send_all(int fd, const void *data, size_t bytes) {
    const uint8_t *next = data;
    while (bytes > 0) {
        ssize_t n = send(fd, next, bytes, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        next += n;
        bytes -= (size_t)n;
    }
    return true;
}

bool load_recv_all(int fd, void *data, size_t bytes) {
    uint8_t *next = data;
    while (bytes > 0) {
        ssize_t n = recv(fd, next, bytes, 0);
        if (n <= 0)
            return false;
        next += n;
        bytes -= (size_t)n;
    }
    return true;
}

static void epoll_set(int epfd, int op, int fd, uint32_t events, uint64_t tag) {
    struct epoll_event event = {.events = events, .data.u64 = tag};
    if (epoll_ctl(epfd, op, fd, &event) < 0)
        load_die("epoll_ctl");
}

void load_epoll_add(int epfd, int fd, uint32_t events, uint64_t tag) {
    epoll_set(epfd, EPOLL_CTL_ADD, fd, events, tag);
}

void load_epoll_mod(int epfd, int fd, uint32_t events, uint64_t tag) {
    epoll_set(epfd, EPOLL_CTL_MOD, fd, events, tag);
}

void load_put_be64(uint8_t out[COUNT_BYTES], uint64_t value) {
    for (size_t i = 0; i < COUNT_BYTES; i++)
        out[i] = (uint8_t)(value >> (56 - 8 * i));
}

uint64_t load_get_be64(const uint8_t in[COUNT_BYTES]) {
    uint64_t value = 0;
    for (size_t i = 0; i < COUNT_BYTES; i++)
        value = value << 8 | in[i];
    return value;
}

uint8_t *load_new_noise(size_t bytes) {
    uint8_t *noise = malloc(bytes);
    if (!noise)
        load_die("malloc");
    uint64_t state = 0x9e3779b97f4a7c15; /* xorshift64: any seed but zero */
    for (size_t i = 0; i < bytes; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise[i] = (uint8_t)state;
    }
    return noise;
}

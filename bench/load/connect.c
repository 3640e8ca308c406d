/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/load.h"

enum {
    EVENTS = 64,
    HOLD_IN_FLIGHT = 16,
};

enum phase { PHASE_CONNECTING, PHASE_ECHOING };

/* One connection on its way: connect, send a byte, get it back. */
struct slot {
    int fd;
    enum phase phase;
};

struct churn {
    const struct load_args *args;
    int epfd;
    struct slot *slots;
    size_t started;
    size_t started_max;
    size_t in_flight;
    size_t echoed;
    size_t failed;
    bool keep;       /* What was echoed stays open. */
    nsec_t deadline; /* No connection starts after it. */
};

static void start_one(struct churn *c, size_t index) {
    struct slot *slot = &c->slots[index];
    while (c->started < c->started_max && load_now() < c->deadline) {
        c->started++;
        slot->fd = load_socket();
        slot->phase = PHASE_CONNECTING;
        int r = load_connect(slot->fd, c->args);
        if (r == 0) {
            load_epoll_add(c->epfd, slot->fd, EPOLLOUT, index);
            c->in_flight++;
            return;
        }
        close(slot->fd);
        c->failed++;
    }
}

static void finish_one(struct churn *c, size_t index, bool echoed) {
    struct slot *slot = &c->slots[index];
    c->in_flight--;
    if (echoed)
        c->echoed++;
    else
        c->failed++;
    if (echoed && c->keep) {
        if (epoll_ctl(c->epfd, EPOLL_CTL_DEL, slot->fd, NULL) < 0)
            load_die("epoll_ctl");
    } else {
        close(slot->fd);
    }
    start_one(c, index);
}

static void advance(struct churn *c, size_t index) {
    struct slot *slot = &c->slots[index];
    char byte = SERVICE_ECHO;
    if (slot->phase == PHASE_CONNECTING) {
        if (send(slot->fd, &byte, 1, MSG_NOSIGNAL) != 1) {
            finish_one(c, index, false);
            return;
        }
        slot->phase = PHASE_ECHOING;
        load_epoll_mod(c->epfd, slot->fd, EPOLLIN, index);
        return;
    }
    ssize_t n = recv(slot->fd, &byte, 1, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    finish_one(c, index, n == 1 && byte == SERVICE_ECHO);
}

/* Runs until nothing is in flight or nothing has moved for STALL_MS. */
static void run(struct churn *c, size_t slots_count) {
    c->epfd = epoll_create1(EPOLL_CLOEXEC);
    c->slots = calloc(slots_count, sizeof(*c->slots));
    if (c->epfd < 0 || !c->slots)
        load_die("connect");
    for (size_t i = 0; i < slots_count; i++)
        start_one(c, i);
    while (c->in_flight > 0) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(c->epfd, events, EVENTS, STALL_MS);
        if (ready <= 0)
            return;
        for (int i = 0; i < ready; i++)
            advance(c, events[i].data.u64);
    }
}

static void churn_done(struct churn *c) {
    free(c->slots);
    close(c->epfd);
}

void load_connections(const struct load_args *args) {
    nsec_t start = load_now();
    struct churn c = {.args = args, .started_max = SIZE_MAX, .deadline = start + args->duration};
    run(&c, args->count);
    double seconds = (double)(load_now() - start) / 1e9;
    printf("{\"echoed\": %zu, \"failed\": %zu, \"stalled\": %zu, \"seconds\": %.6f, "
           "\"per_second\": %.1f}\n",
           c.echoed, c.failed, c.in_flight, seconds, (double)c.echoed / seconds);
    churn_done(&c);
}

void load_hold(const struct load_args *args) {
    struct churn c = {
        .args = args, .started_max = args->count, .deadline = INT64_MAX, .keep = true};
    run(&c, HOLD_IN_FLIGHT);
    printf("{\"held\": %zu, \"failed\": %zu, \"stalled\": %zu}\n", c.echoed, c.failed, c.in_flight);
    (void)fflush(stdout);
    while (getchar() != EOF)
        continue;
    churn_done(&c);
}

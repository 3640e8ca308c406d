/* SPDX-License-Identifier: MIT */
#pragma once

/* A server of ctl/http.h and clients of it, on one reactor and over real sockets.  Each case is
 * written once and runs over io_uring and epoll:
 *
 *   CASE(http, answers) { ... uses `t->reactor`, `t->server` ... }
 *
 * After a case descriptors and memory must be as many as before. */

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "core/base/mem.h"
#include "ctl/http.h"
#include "uring/reactor.h"

/* Counts; the n-th request fails. */
struct counting_mem {
    struct mem mem;
    int64_t live;
    int fail_at; /* 0: never */
};

struct fixture {
    struct reactor *reactor;
    struct counting_mem mem;
    int fds_before;
    struct http_config cfg; /* a case may change it before server_open() */
    struct http_server *server;
    int handled;
    char method[16];
    char path[64];
    char body[256];
    struct net_addr remote;
};

void fixture_init(struct fixture *t, enum reactor_io io);
void fixture_done(struct fixture *t);

/* Routes: GET and POST /echo (what came), GET /long (100,000 bytes), GET /excess (too much), GET
 * /teapot (418, JSON), DELETE /item/ (its segment). */
void server_open(struct fixture *t);

/* Turns until the condition holds; the test fails when that takes ten seconds. */
#define TURN_UNTIL(t, condition)                                                              \
    do {                                                                                      \
        nsec_t until_ = reactor_now((t)->reactor) + SEC(10);                                  \
        while (!(condition)) {                                                                \
            cr_assert(reactor_now((t)->reactor) < until_, "never true: %s", #condition);      \
            cr_assert_eq(reactor_turn((t)->reactor, reactor_now((t)->reactor) + MSEC(1)), 0); \
        }                                                                                     \
    } while (0)

/* Of this process. */
int open_fds_count(void);

void turn_for(struct fixture *t, nsec_t time);

struct client {
    int fd;
    char got[256 << 10];
    size_t len;
    bool is_over; /* the server closed */
};

/* Static ones, for they are large. */
struct client *client_connect(struct fixture *t);
struct client *client_connect_to(const struct sock_addr *at);
void client_send(struct client *c, const char *text);
/* Takes what is there; returns whether the server has closed. */
bool client_poll(struct client *c);
/* Whether this came. */
bool client_has(struct client *c, const char *text);
/* Forgets what came. */
void client_clear(struct client *c);
void client_end(struct client *c);

/* One request on a connection of its own, which it asks to be closed; the whole answer. */
const char *fetch(struct fixture *t, const char *method, const char *path);

#define CASE(suite, name)                               \
    static void suite##_##name(struct fixture *t);      \
    CASE_ON(io_uring, REACTOR_IO_URING, suite##_##name) \
    CASE_ON(epoll, REACTOR_IO_EPOLL, suite##_##name)    \
    static void suite##_##name(struct fixture *t)
#define CASE_ON(backend, io, function) \
    Test(backend, function) {          \
        static struct fixture t;       \
        fixture_init(&t, io);          \
        function(&t);                  \
        fixture_done(&t);              \
    }

/* SPDX-License-Identifier: MIT */
#pragma once

/* A tunnel on one reactor, for the tests of relay/: a TCP client on the left, a proxy, two hosts in
 * memory, a service, and its target on the right.  Both TCP ends are the test's own sockets.
 */

#include "core/base/log.h"
#include "relay/proxy.h"
#include "relay/service.h"
#include "tests/support/fake_host.h"
#include "uring/reactor.h"
#include "uring/resolver.h"

struct tunnel {
    struct reactor *reactor;
    struct resolver *resolver;
    struct host *near; /* the proxy's */
    struct host *far;  /* the service's */
    struct services *services;
    struct proxy *proxy;
    struct log audit;
    char audited[256]; /* its last line */
    int target;        /* listens */
    uint16_t target_port;
    uint32_t refusals; /* what the proxy's refused() told */
    int refusal;
    uint32_t limits_met; /* what its limit_met() told */
    int limit_error;
    uint64_t limit_bytes;
    nsec_t refused_timeout; /* of the next proxy */
    bool closed;            /* what is being closed is */
};

/* Everything but the service and the proxy; memory of the reactor's users comes from `mem`. */
void tunnel_prepare(struct tunnel *t, struct mem *mem);
/* -errno, with nothing of it left. */
int tunnel_try_service(struct tunnel *t, const char *name);
int tunnel_try_proxy(struct tunnel *t, const char *service);
/* The service "echo" leads to the target at 127.0.0.1, and the proxy to the service. */
void tunnel_open(struct tunnel *t);
/* Asserts that nothing is left: no stream, no handle, no slab (reactor_free() asks). */
void tunnel_close(struct tunnel *t);
/* The proxy's, which is opened again for another service. */
void tunnel_proxy_to(struct tunnel *t, const char *service);
void tunnel_add_service(struct tunnel *t, const struct service_config *cfg);

/* Turns the reactor until the condition holds; the test fails after 20 s. */
#define turn_until(t, condition)                                                   \
    do {                                                                           \
        nsec_t until_ = reactor_now((t)->reactor) + SEC(20);                       \
        while (!(condition)) {                                                     \
            cr_assert_lt(reactor_now((t)->reactor), until_, "never: " #condition); \
            turn(t);                                                               \
        }                                                                          \
    } while (0)
void turn(struct tunnel *t);
/* As often as something happens at once. */
void turn_while_busy(struct tunnel *t);

/* Non-blocking sockets. */
int client_connect(const struct tunnel *t);
/* -1 while nobody is there. */
int target_accept(const struct tunnel *t);
/* Waits for it. */
int accept_next(struct tunnel *t);
/* Returns the client; the target's end goes to *ret_target. */
int connect_through(struct tunnel *t, int *ret_target);
/* Sends RST. */
void sock_abort(int fd);
/* What is there: bytes, 0 at the end of file, -EAGAIN, -ECONNRESET. */
ssize_t sock_read(int fd, void *out, size_t size);
bool sock_is_reset(int fd);
bool sock_is_ended(int fd);
/* Reads all that is there and is no end; adds the count. */
void sock_drain(int fd, size_t *count);
/* Whether `text` is what comes, wholly there. */
bool sock_has(int fd, const char *text);
void sock_send(int fd, const char *text);
uint32_t descriptors_open(void);

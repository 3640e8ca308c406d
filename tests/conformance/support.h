/* SPDX-License-Identifier: MIT */
#pragma once

/* What the conformance suite stands on: each case is written once and run over every backend.
 *
 *   CASE(timers, fire_in_order) { ... uses `t->reactor` ... }
 *
 * makes the tests io_uring/timers_fire_in_order and epoll/timers_fire_in_order.  A backend that the
 * system refuses is a skip.  Built with CONFORMANCE_SIM, it makes sim/timers_fire_in_order, and the
 * cases that look behind the reactor at the kernel are skipped.  After a case the reactor is freed,
 * which asserts that every handle is closed, and descriptors, slabs and memory are as many as
 * before. */

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "core/base/mem.h"
#ifdef CONFORMANCE_SIM
#include "tests/sim/backend_sim.h"
#endif
#include "uring/reactor.h"
#include "uring/tcp.h"
#include "uring/udp.h"

/* Counts what passes through it. */
struct counting_mem {
    struct mem mem;
    uint64_t calls;
    int64_t live;
};

struct fixture {
    struct reactor *reactor;
    struct counting_mem mem;
    int fds_before;
#ifdef CONFORMANCE_SIM
    struct world world;
    struct net net;
    struct sim_proc proc;
#endif
};

/* For cases with sockets, descriptors or threads of the kernel's. */
#ifdef CONFORMANCE_SIM
#define NEEDS_KERNEL() cr_skip("not in a simulation: it looks at the kernel")
#else
#define NEEDS_KERNEL() ((void)0)
#endif

void fixture_init(struct fixture *t, enum reactor_io io, size_t pool_bytes);
void fixture_done(struct fixture *t);

/* Turns until the condition holds; the test fails when that takes ten seconds. */
#define TURN_UNTIL(t, condition)                                                         \
    do {                                                                                 \
        nsec_t until_ = reactor_now((t)->reactor) + SEC(10);                             \
        while (!(condition)) {                                                           \
            cr_assert(reactor_now((t)->reactor) < until_, "never true: %s", #condition); \
            cr_assert_eq(reactor_turn((t)->reactor, until_), 0);                         \
        }                                                                                \
    } while (0)

/* Turns for as long as something is ready, without waiting. */
void turn_while_ready(struct fixture *t);

#ifdef CONFORMANCE_SIM
#define CASE_POOL(suite, name, pool_bytes)                    \
    static void suite##_##name(struct fixture *t);            \
    CASE_ON(sim, REACTOR_IO_AUTO, suite##_##name, pool_bytes) \
    static void suite##_##name(struct fixture *t)
#else
#define CASE_POOL(suite, name, pool_bytes)                          \
    static void suite##_##name(struct fixture *t);                  \
    CASE_ON(io_uring, REACTOR_IO_URING, suite##_##name, pool_bytes) \
    CASE_ON(epoll, REACTOR_IO_EPOLL, suite##_##name, pool_bytes)    \
    static void suite##_##name(struct fixture *t)
#endif
#define CASE(suite, name) CASE_POOL(suite, name, 0)
#define CASE_ON(backend, io, function, pool_bytes) \
    Test(backend, function) {                      \
        struct fixture t;                          \
        fixture_init(&t, io, pool_bytes);          \
        function(&t);                              \
        fixture_done(&t);                          \
    }

int open_fds_count(void);

/* --- A connection that records what happens to it --- */

struct peer {
    struct tcp_conn conn; /* first */
    struct fixture *t;
    uint8_t *got; /* all bytes received, when wanted */
    size_t got_size;
    size_t got_len;
    uint64_t sum; /* FNV-1a of all bytes received */
    int connected;
    int connected_error;
    int eof;
    int written;
    int failed;
    int failed_error;
    int closed;
    int data;
    bool is_open; /* init'ed and not closed */
    bool echo;
    bool keep; /* the last slice stays in `kept` */
    struct slice kept;
    /* Called in data() after the bytes were counted. */
    void (*on_data)(struct peer *p, struct slice *s);
    void *context;
};

extern const struct tcp_events peer_events;

void peer_init(struct peer *p, struct fixture *t);
/* Closes if need be, and waits for it. */
void peer_end(struct peer *p);
uint64_t fnv1a(uint64_t sum, const uint8_t *data, size_t len);
#define FNV1A_START 0xcbf29ce484222325u

/* A slab with `len` bytes of a pattern that depends on `at`, the position in the stream. */
struct slice pattern_slice(struct fixture *t, uint64_t at, uint32_t len);
uint64_t pattern_sum_from(uint64_t at, uint64_t len);
uint64_t pattern_sum(uint64_t len);

/* --- A listener that keeps what it accepts --- */

struct host {
    struct tcp_listener listener; /* first */
    struct fixture *t;
    struct sock_addr addr;
    struct peer *accept_into; /* the next one; NULL: refuse with RST */
    int accepted;
    int closed;
};

enum family { V4, V6, LOCAL, FAMILY_COUNT };
extern const char *const family_names[FAMILY_COUNT];

/* False: this machine, or the simulation, has no such family. */
bool host_open(struct host *h, struct fixture *t, enum family family);
void host_end(struct host *h);

/* Two connected peers through a listener that is closed again. */
struct pair {
    struct peer client;
    struct peer server;
};
bool pair_open(struct pair *p, struct fixture *t, enum family family);
void pair_end(struct pair *p);

/* --- UDP --- */

struct dgrams {
    struct udp_socket socket; /* first */
    struct fixture *t;
    int batches;
    int datagrams;
    size_t bytes;
    int failed;
    int closed;
    struct udp_batch last; /* without its data */
    uint64_t sum;
    size_t sizes[128]; /* of the first datagrams */
};

/* False: this machine has no such family. */
bool dgrams_open(struct dgrams *d, struct fixture *t, enum family family);
void dgrams_end(struct dgrams *d);

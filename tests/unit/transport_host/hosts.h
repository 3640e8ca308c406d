/* SPDX-License-Identifier: MIT */
#pragma once

/* Hosts that talk over loopback, on one real reactor, and streams that record what happens to them.
 * Each case is written once and run over every stack and both backends:
 *
 *   CASE(connect, finds_the_peer) { ... uses `t->a`, `t->b` ... }
 *
 * makes quic_io_uring/connect_finds_the_peer, tls_epoll/connect_finds_the_peer and so on.
 * CASE_QUIC() is for what only QUIC has, and for what hosts do over no stack.  After a case all
 * hosts are closed and freed, and descriptors, slabs and memory must be as many as before. */

#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/crypto/wolf_env.h"
#include "transport/host.h"
#include "transport/host_internal.h"
#include "transport/proto/quic_conn.h"

/* Counts, and fails when it is told to. */
struct counting_mem {
    struct mem mem;
    int64_t live;
    long calls;
    long fail_at; /* the call that fails; 0: none */
    bool fail_for_good;
};

enum { PEERS_LISTED_MAX = 8 };

/* authorized_keys in small. */
struct list_gate {
    struct gate gate;
    struct peer_id allowed[PEERS_LISTED_MAX];
    size_t allowed_count;
    int inbound_allowed;
    int inbound_denied;
    int denied; /* both directions */
};

struct fixture;

struct party {
    struct fixture *t;
    struct host *host;
    struct identity identity;
    struct multiaddr addr; /* the first listen address */
    struct list_gate gate;
    bool closed;
};

/* What is under streams. */
enum stack { STACK_QUIC, STACK_TLS, STACK_NOISE, STACK_WS, STACK_COUNT };

/* What a test has to know of a stack. */
struct stack_traits {
    const char *any_ip4; /* addresses to listen on */
    const char *any_ip6;
    const char *all_ip4;
    const char *dead; /* an address where nobody is */
    enum multiaddr_kind kind;
    unsigned securities;
    size_t window_first; /* of a stream */
    size_t window_max;
    size_t unsent_max;
    size_t streams_max;       /* that one side may open on a connection */
    size_t streams_max_first; /* before it is admitted */
    bool tells_stop;          /* the peer learns of stream_stop_reading() */
};
extern const struct stack_traits stacks[STACK_COUNT];

struct fixture {
    enum stack stack;
    const struct stack_traits *traits;
    struct reactor *reactor;
    struct counting_mem mem;
    struct wolf_env env;
    const struct wolf_env *env_before;
    int fds_before;
    const char *listen; /* of parties that are opened */
    struct party a;     /* dials */
    struct party b;     /* listens */
};

void fixture_init(struct fixture *t, enum stack stack, enum reactor_io io);
void fixture_done(struct fixture *t);

/* Turns until the condition holds; the test fails when that takes twenty seconds. */
#define TURN_UNTIL(t, condition)                                                         \
    do {                                                                                 \
        nsec_t until_ = reactor_now((t)->reactor) + SEC(20);                             \
        while (!(condition)) {                                                           \
            cr_assert(reactor_now((t)->reactor) < until_, "never true: %s", #condition); \
            cr_assert_eq(reactor_turn((t)->reactor, until_), 0);                         \
        }                                                                                \
    } while (0)

/* Turns for so long, whatever happens. */
void turn_for(struct fixture *t, nsec_t time);

#define CASE(suite, name)                          \
    static void suite##_##name(struct fixture *t); \
    CASE_ON(quic, STACK_QUIC, suite##_##name)      \
    CASE_ON(tls, STACK_TLS, suite##_##name)        \
    CASE_ON(noise, STACK_NOISE, suite##_##name)    \
    static void suite##_##name(struct fixture *t)
#define CASE_QUIC(suite, name)                     \
    static void suite##_##name(struct fixture *t); \
    CASE_ON(quic, STACK_QUIC, suite##_##name)      \
    static void suite##_##name(struct fixture *t)
#define CASE_WS(suite, name)                       \
    static void suite##_##name(struct fixture *t); \
    CASE_ON(ws, STACK_WS, suite##_##name)          \
    static void suite##_##name(struct fixture *t)
#define CASE_ON(prefix, stack, function)                            \
    CASE_WITH(prefix##_io_uring, stack, REACTOR_IO_URING, function) \
    CASE_WITH(prefix##_epoll, stack, REACTOR_IO_EPOLL, function)
#define CASE_WITH(prefix, stack, io, function) \
    Test(prefix, function) {                   \
        static struct fixture t;               \
        fixture_init(&t, stack, io);           \
        function(&t);                          \
        fixture_done(&t);                      \
    }

/* --- Parties --- */

struct party_options {
    const char *listen;      /* NULL: the fixture's; "": nothing */
    const char *also_listen; /* NULL: nowhere else */
    bool gated;
    bool serve_perf;
    const char *agent;
};

/* Somebody at an address of the stack who listens and never says a word. */
struct silent {
    int fd;
    struct multiaddr addr;
};
void silent_open(struct silent *s, const struct fixture *t);
void silent_end(struct silent *s);

void party_open(struct party *p, struct fixture *t, uint8_t seed, const struct party_options *o);
/* Closes and frees; harmless when it is not open. */
void party_end(struct party *p);
void party_end_start(struct party *p);
void party_allow(struct party *p, const struct party *whom);
/* `p` learns where `whom` listens. */
void party_knows(struct party *p, const struct party *whom);

/* Opens a and b, b with a perf service; a knows b. */
void open_pair(struct fixture *t);

size_t conns_count(const struct party *p);
/* The one connection of a party. */
struct host_conn *only_conn(const struct party *p);

/* A connect request that records its end. */
struct connecting {
    struct connect_request request;
    int done;
    int error;
    char problem[PROBLEM_TEXT_MAX];
};
void connect_start(struct connecting *c, struct party *from, const struct peer_id *to,
                   nsec_t timeout);
/* Connects and waits; asserts success. */
void connect_pair(struct party *from, struct party *to);

/* --- Streams --- */

struct tap {
    struct fixture *t;
    struct stream *stream;
    bool paused; /* readable() reads nothing */
    bool drop;   /* released in the first event, whatever it is */
    uint64_t got;
    bool wrong; /* the bytes were not the pattern's */
    bool eof;
    int read_error;
    int readable;
    int writable;
    int stopped;
    uint64_t stop_code;
    int reset;
    uint64_t reset_code;
    int closed;
    int closed_error;
    /* What is to be written, of the pattern; tap_push() and writable() go on with it. */
    uint64_t to_write;
    uint64_t written;
    bool fin; /* behind it */
    struct stream_request request;
    int opened;
    int open_error;
};

/* Releases what is open. */
void tap_end(struct tap *x);
void tap_attach(struct tap *x, struct fixture *t, struct stream *s);
/* Reads all that is there. */
void tap_read(struct tap *x);
/* Writes `bytes` more of the pattern, as room comes; then FIN if wanted. */
void tap_write(struct tap *x, uint64_t bytes, bool fin);

/* Opens a stream of `protocol` from a party; done when x->opened. */
void tap_open(struct tap *x, struct party *from, const struct peer_id *to, const char *protocol);

/* A handler that gives its streams to taps, in order; streams beyond are reset. */
struct handler {
    struct protocol_handler handler;
    struct fixture *t;
    struct tap *taps;
    size_t taps_count;
    size_t accepted;
};
void handler_open(struct handler *h, struct party *p, const char *protocol,
                  enum protocol_class class, struct tap *taps, size_t taps_count);

#define TEST_PROTOCOL "/test/1.0.0"

/* A stream of TEST_PROTOCOL from a to b, open on both sides. */
struct stream_pair {
    struct handler handler;
    struct tap a;
    struct tap b;
};
void stream_pair_open(struct stream_pair *p, struct fixture *t);
void stream_pair_end(struct stream_pair *p);

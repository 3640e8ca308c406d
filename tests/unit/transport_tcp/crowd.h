/* SPDX-License-Identifier: MIT */
#pragma once

/* A TCP transport that listens, strangers that do not go on with their handshakes, and an honest
 * dialler, all on one simulated host in virtual time: ten seconds cost nothing, and a stranger may
 * come from any address.  The host has 5.1.0.1, where the transport listens, to 5.1.0.6. */

#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/crypto/wolf_env.h"
#include "core/p2p/identity.h"
#include "tests/sim/backend_sim.h"
#include "tests/support/fixed_rng.h"
#include "transport/proto/tls_cert.h"
#include "transport/tcp_transport.h"
#include "transport/upgrade.h"
#include "uring/reactor.h"
#include "uring/tcp.h"

enum { CROWD_PORT = 4001, CROWD_CONNS_MAX = 64, CROWD_HELLO_MAX = 2048, CROWD_LOCALHOST = 0 };

/* Where a stranger stops. */
enum loris_kind {
    LORIS_SILENT,   /* says nothing */
    LORIS_SLOW,     /* one byte a second */
    LORIS_CHOOSING, /* has greeted, and proposes nothing */
    LORIS_TLS,      /* has sent its ClientHello */
    LORIS_TLS_HALF, /* half of it */
    LORIS_NOISE,    /* has sent its first message */
    LORIS_KINDS,
};

struct loris {
    struct tcp_conn conn;
    enum loris_kind kind;
    size_t sent;
    size_t got;
    nsec_t ended_at; /* it was shown out; 0: not yet */
    bool connected;
    bool ended;
    bool closed;
};

struct crowd_mem {
    struct mem mem;
    size_t used;
    int64_t blocks;
};

struct honest {
    struct dial dial;
    struct crowd *crowd;
    struct conn *conn;
    nsec_t began_at;
    nsec_t done_at; /* 0: not yet */
    int error;
};

struct crowd {
    struct world world;
    struct net net;
    struct sim_proc proc;
    struct crowd_mem mem;
    struct reactor *reactor;
    struct fixed_rng rng;
    struct wolf_env env;
    const struct wolf_env *env_before;
    struct identity identity[2]; /* the listener's and the dialler's */
    struct transport *listener;
    struct transport *dialler;
    struct timer tick; /* for LORIS_SLOW */
    uint8_t words[LORIS_KINDS][CROWD_HELLO_MAX];
    size_t words_len[LORIS_KINDS];
    struct loris *lorises;
    size_t lorises_count;
    uint32_t accepted;
    uint32_t conns_open; /* on both sides */
    struct conn *conns[CROWD_CONNS_MAX];
    size_t conns_count;
    int closed; /* transports */
};

/* Room for `lorises`; none is there yet. */
void crowd_init(struct crowd *c, size_t lorises);
/* Everybody leaves; no memory, no slab and no socket may be left. */
void crowd_done(struct crowd *c);

/* `count` more strangers from 5.1.0.<from>, CROWD_LOCALHOST for 127.0.0.1 (to it, too); waits until
 * they are connected or refused.  `kind` LORIS_KINDS: all of them in turn. */
void crowd_add(struct crowd *c, size_t count, unsigned from, enum loris_kind kind);
/* How many of lorises [first, first + count) were shown out. */
size_t crowd_ended(const struct crowd *c, size_t first, size_t count);

void crowd_run_for(struct crowd *c, nsec_t time);

/* An honest peer dials the listener, and is let in or not within five seconds. */
void honest_dial(struct honest *h, struct crowd *c, unsigned from);

#define CROWD_RUN_UNTIL(c, condition)                                                    \
    do {                                                                                 \
        nsec_t until_ = reactor_now((c)->reactor) + SEC(60);                             \
        while (!(condition)) {                                                           \
            cr_assert(reactor_now((c)->reactor) < until_, "never true: %s", #condition); \
            cr_assert_eq(reactor_turn((c)->reactor, until_), 0);                         \
        }                                                                                \
    } while (0)

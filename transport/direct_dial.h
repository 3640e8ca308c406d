/* SPDX-License-Identifier: MIT */
#pragma once

/* Dials of a peer's addresses, all of them at once: for hole punching, where the moment counts.
 * Connections with the peer that stand already are neither used nor in the way, and the swarm's own
 * rounds go on beside it: no ranking, no back-off, nothing remembered of failures.
 *
 *   host_dial_direct() .. done(), or direct_dial_cancel()
 *
 * The first connection wins and is the host's; the other dials are cancelled.  Each transport's
 * own time limits apply; whoever is in a hurry cancels.
 *
 * A TCP address that refuses is dialled again after DIRECT_DIAL_PAUSE, DIRECT_DIAL_TRIES_MAX times
 * in all, if that is wished: a NAT may answer so as long as the peer's own packets have not opened
 * it.  So is one that resets before it is connected, or that our port is connected to already: the
 * peer's dial, of which that is half, may come to nothing.
 *
 * Spec:    libp2p DCUtR, "Addresses" and "TCP details".
 * Memory:  the struct, about 10 KiB.
 * Thread:  the reactor's.  done() comes from the end of a turn, never from inside a call. */

#include "transport/transport.h"
#include "uring/reactor.h"

struct conn;
struct direct_dial;
struct host;

enum { DIRECT_DIAL_ADDRS_MAX = 16, DIRECT_DIAL_TRIES_MAX = 8 };

#define DIRECT_DIAL_PAUSE MSEC(250)

enum direct_try_state {
    DIRECT_TRY_OVER,
    DIRECT_TRY_DIALLING,
    DIRECT_TRY_CONNECTED, /* its socket is, the upgrade runs */
    DIRECT_TRY_RESTING,   /* to be dialled again */
};

struct direct_try {
    struct dial dial;
    struct direct_dial *owner;
    enum direct_try_state state;
};

struct direct_dial_config {
    struct peer_id peer;
    const struct multiaddr *addrs; /* relayed and impossible ones are passed over */
    size_t addrs_count;            /* those beyond DIRECT_DIAL_ADDRS_MAX, too */
    bool responder;                /* see struct dial: QUIC addresses fail */
    bool repeats;                  /* dials what refuses again */
    bool from_any_port;            /* see struct dial; else from the listening ports */
};

/* Embedded by its owner; fields are the module's. */
struct direct_dial {
    struct host *host;
    struct list node;
    struct deferred work;
    struct timer again;
    bool pending;
    bool is_over; /* done() is due */
    bool repeats;
    uint8_t rounds; /* of dials */
    int error;
    /* Where done() says 0: the connection, as long as host_conns() tells of it. */
    struct conn *conn;
    size_t tries_count;
    struct direct_try tries[DIRECT_DIAL_ADDRS_MAX];
    /* 0: a connection is the host's; else what the last of the dials failed with, or
     *   -ERR_NO_ADDRESSES    there was none to dial
     *   -ERR_RESOURCE_LIMIT  with this peer there are as many connections as there may be
     *   -ENOMEM, -ERR_SHUTDOWN */
    void (*done)(struct direct_dial *d, int error);
};

/* -ENOMEM, and done() will not come. */
NODISCARD int host_dial_direct(struct host *h, struct direct_dial *d,
                               const struct direct_dial_config *cfg,
                               void (*done)(struct direct_dial *d, int error));

/* Harmless when it is not pending; not from inside a host_watch. */
void direct_dial_cancel(struct direct_dial *d);

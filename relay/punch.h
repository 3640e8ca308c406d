/* SPDX-License-Identifier: MIT */
#pragma once

/* One upgrade of a relayed connection to a direct one: the engine of relay/proto/dcutr.h with its
 * streams, dials and packets.
 *
 *   punch_new() .. done(), or at any time punch_free()
 *
 *   opener    streams on the newest relayed connection that the peer dialled; over UDP random
 *             packets from the listening socket (relay/proto/udp_punch.h) and, if that was not
 *             enough, dials; over TCP dials in the responder's role
 *   acceptor  the peer's stream; dials everything as ever
 *
 * Spec:    libp2p DCUtR.
 * Memory:  about 50 KiB.
 * Thread:  the reactor's.  Callbacks come from the reactor, never from inside a call. */

#include "relay/proto/dcutr.h"

struct conn;
struct host;
struct peer_id;
struct punch;
struct reactor;
struct stream;

struct punch_config {
    struct reactor *reactor;
    struct host *host;
    const struct peer_id *peer;
    struct stream *stream;            /* the acceptor's, taken over; NULL: we are the opener */
    const struct dcutr_addrs *own;    /* observed ones first */
    const struct dcutr_addrs *direct; /* the opener: where the peer may be reached one-sidedly */
    bool accept_private;              /* of the peer's addresses: for labs */
    unsigned attempts_max;            /* the opener's; 0: as many as there are */
    /* The two have agreed to dial, for the n-th time (from 1). */
    void (*attempting)(void *user, unsigned attempt);
    /* 0: a direct connection stands; else see DCUTR_EV_FAILED.  It may be freed here. */
    void (*done)(void *user, int error);
    void *user;
};

/* -ENOMEM leaves the stream with the caller. */
NODISCARD int punch_new(const struct punch_config *cfg, struct punch **ret_punch);
/* Gives up what runs.  Accepts NULL, returns NULL. */
struct punch *punch_free(struct punch *p);

/* A direct connection with the peer stands, whoever dialled it. */
void punch_connected(struct punch *p);

bool punch_is_opener(const struct punch *p);
/* How often the two agreed to dial so far. */
unsigned punch_attempts(const struct punch *p);

/* The opener's one-sided dial was it. */
bool punch_is_reversed(const struct punch *p);

/* The relayed connection on which we are the opener: the newest that the peer dialled, or NULL. */
struct conn *punch_find_conn(const struct host *h, const struct peer_id *peer);

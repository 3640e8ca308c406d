/* SPDX-License-Identifier: MIT */
#pragma once

/* The transport interface: makes connections from addresses.  Registered with the host, so that
 * relayed circuits can be added from above without the host knowing them.
 *
 * Thread: the reactor's. */

#include "core/base/list.h"
#include "core/base/time.h"
#include "transport/conn.h"

struct problem;
struct transport;

/* One dial in flight, embedded in its owner.  Exactly one done(), unless cancelled before. */
struct dial {
    struct list node;
    struct transport *transport;
    void *handle; /* the transport's */
    struct peer_id expected;
    struct multiaddr to; /* without /p2p */
    /* The far end takes the initiator's part although we connect (DCUtR over TCP, simultaneous
     * open), unless it turns out not to.  QUIC refuses it: -ERR_UNSUPPORTED. */
    bool responder;
    /* TCP: from any port, not from the one that we listen on: for an address that is about to be
     * dialled from there. */
    bool from_any_port;
    /* A socket is connected and its upgrade runs: TCP's half of the way.  May be NULL. */
    void (*connected)(struct dial *d);
    /* A connection whose handshake is complete (not yet confirmed by the peer), or an error with
     * the sentence in `why`. */
    void (*done)(struct dial *d, struct conn *c, int error, const struct problem *why);
};

struct transport_events {
    /* An inbound connection, its peer proved.  Nothing of its streams was accepted yet: the callee
     * closes it here if the peer is not wanted. */
    void (*accepted)(struct transport *t, struct conn *c);
};

struct transport_ops {
    const char *name; /* "quic", "tcp" */
    bool (*can_dial)(const struct transport *t, const struct multiaddr *to);
    /* Starts; ends in done().  An error at once means that done() will not come. */
    int (*dial)(struct transport *t, struct dial *d);
    void (*cancel)(struct transport *t, struct dial *d);
    /* -ERR_UNSUPPORTED: an address for another transport; and errors of binding. */
    int (*listen)(struct transport *t, const struct multiaddr *at, struct problem *problem);
    size_t (*listen_addrs)(const struct transport *t, struct multiaddr *out, size_t max);
    /* Closes all connections with `code` and all sockets; ends in closed().  Streams must be
     * released by their owners meanwhile. */
    void (*close)(struct transport *t, uint64_t code, void (*closed)(void *user), void *user);
    void (*free)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    const struct transport_events *events;
    void *user; /* the host's */
    struct list node;
};

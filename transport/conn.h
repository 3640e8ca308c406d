/* SPDX-License-Identifier: MIT */
#pragma once

/* The connection interface: secured, multiplexed, and the peer's ID proved.  Made by a transport
 * (transport/transport.h), owned by it, used by the host.  Under it is QUIC (quic_driver.c) or
 * yamux in a secured link (yamux_conn.c); users cannot tell.
 *
 * A muxed stream is a stream below protocol negotiation: the same verbs as transport/stream.h
 * without the protocol.  Its events go to the struct stream that was set with set_owner().
 *
 * Thread: the reactor's.  Events come from the end of a turn, never from inside a call. */

#include "core/base/buf.h"
#include "core/base/list.h"
#include "core/base/time.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"

struct conn;
struct muxed; /* opaque: the multiplexer's own stream type */
struct problem;
struct stream;

enum muxed_event { MUXED_READABLE, MUXED_WRITABLE, MUXED_STOPPED, MUXED_RESET, MUXED_CLOSED };

/* Verbs of a muxed stream; semantics and errors are those of transport/stream.h. */
struct muxed_ops {
    void (*set_owner)(struct muxed *m, struct stream *owner);
    ssize_t (*write)(struct muxed *m, const struct slice *v, size_t count);
    ssize_t (*read)(struct muxed *m, struct slice *out, size_t max);
    void (*credit)(struct muxed *m, size_t bytes);
    void (*shutdown_write)(struct muxed *m);
    void (*stop_reading)(struct muxed *m, uint64_t code);
    void (*reset)(struct muxed *m, uint64_t code);
    void (*release)(struct muxed *m);
    struct quota *(*quota)(struct muxed *m);
    size_t (*unsent)(const struct muxed *m);
    size_t (*batch)(const struct muxed *m); /* may be NULL */
};

struct conn_ops {
    struct muxed_ops muxed;
    /* -EAGAIN at the peer's limit (streams_available() follows), -ERR_CONN_CLOSED, -ENOMEM */
    int (*open_stream)(struct conn *c, struct muxed **ret_muxed);
    /* Takes over the slice.  -ENOTSUP, -EMSGSIZE, -EAGAIN (dropped) */
    int (*send_datagram)(struct conn *c, struct slice datagram);
    size_t (*datagram_max)(const struct conn *c);
    /* Lets the peer open as many streams as admitted peers may. */
    void (*admit)(struct conn *c);
    /* Ends it with a code of connection-lifecycle.md; closed() follows. */
    void (*close)(struct conn *c, uint64_t code);
    nsec_t (*rtt)(const struct conn *c);
    /* Since when bytes that we sent wait for any sign of the peer; NSEC_NEVER: none do.  NULL where
     * the transport does not tell. */
    nsec_t (*unanswered_since)(const struct conn *c);
    /* Asks the peer at once for a sign of life, which heard_at() then shows.  NULL, as heard_at:
     * the transport cannot. */
    void (*probe)(struct conn *c);
    nsec_t (*heard_at)(const struct conn *c);
    /* Whether it goes on, after a probe, when our address `local` is gone.  NULL: it does not. */
    bool (*can_move)(const struct conn *c);
};

/* What the host hears of its connections. */
struct conn_events {
    /* The peer is known to have let us in. */
    void (*confirmed)(struct conn *c);
    void (*stream_opened)(struct conn *c, struct muxed *m);
    void (*streams_available)(struct conn *c);
    /* Takes over the slice's reference. */
    void (*datagram)(struct conn *c, struct slice datagram);
    /* Every stream has had its end.  The conn is the transport's again after this call, once all
     * streams are released.  0: we closed it. */
    void (*closed)(struct conn *c, int error, const struct problem *why);
};

/* What a relay lets through, as it said; zero is unlimited. */
struct conn_limit {
    uint32_t duration_s;
    uint64_t data_bytes; /* each direction */
};

struct conn {
    const struct conn_ops *ops;
    const struct conn_events *events;
    void *user;                 /* the host's */
    struct list transport_node; /* the transport's */
    struct peer_id peer;
    struct multiaddr remote; /* without /p2p; another one when the peer has moved */
    struct multiaddr local;  /* as far as it is known; empty: not at all */
    nsec_t opened_at;
    nsec_t idle_since;          /* while streams_count is 0 */
    uint32_t streams_count;     /* struct streams on it (transport/stream.c) */
    uint32_t own_streams_count; /* those of them that we opened */
    bool inbound;
    bool confirmed;
    bool relayed; /* the address has /p2p-circuit */
    bool spliced; /* relayed, but by sockets that the relay has joined */
    bool limited; /* a relay's Limit message was present */
    struct conn_limit limit;
};

/* Delivers an event of a muxed stream to its owner (transport/stream.c). */
void stream_on_muxed(struct stream *s, enum muxed_event ev, uint64_t code, int error);

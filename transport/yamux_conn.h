/* SPDX-License-Identifier: MIT */
#pragma once

/* A connection (transport/conn.h) of yamux in a secured link.
 *
 * One look at the end of a turn, however much happened in it: frames in, events out, frames to the
 * link for as long as it has room.  Ping and go-away are answered from there, behind nobody's
 * reading: what the link gives is taken into the session's account (transport/proto/yamux.h tells
 * how that is bounded) and credited at once, so that no stream holds up the link.
 * When it ends, closed() comes at once; the link stays for the last words, and a moment for the
 * peer to take them, and is closed.
 * Datagrams: -ENOTSUP.
 * Thread: the reactor's. */

#include "transport/conn.h"
#include "transport/link.h"

struct reactor;

struct yamux_conn_config {
    struct reactor *reactor;
    struct link *link;        /* secured; taken over */
    struct slice_queue *rest; /* bytes read from it and not credited; left empty */
    struct peer_id peer;
    struct multiaddr remote;
    struct multiaddr local;
    bool initiator;
    bool inbound;
    /* All is over and released; the memory goes after this call. */
    void (*gone)(void *user, struct conn *c);
    void *user;
};

/* An initiator's connection is confirmed by the first byte that the peer sends, a responder's at
 * once.  Events are set by whoever takes it in the same turn.
 * -ENOMEM: the link and the bytes are still the caller's */
NODISCARD int yamux_conn_new(const struct yamux_conn_config *cfg, struct conn **ret_conn);

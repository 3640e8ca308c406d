/* SPDX-License-Identifier: MIT */
#pragma once

/* Asking a peer by /ipfs/ping/1.0.0, which every libp2p host answers: one round on a stream of its
 * own.  The protocol is proposed in the same packet, so that costs no round trip.
 *
 * Thread: the reactor's.  Callbacks come from the end of a turn, never from inside a call.
 */

#include "transport/host.h"
#include "transport/proto/ping.h"

/* Embedded in its owner.  Exactly one done(), unless cancelled before. */
struct host_ping {
    struct stream_request request;
    struct host *host;
    struct stream *stream;
    struct timer timer;
    struct ping_opener engine;
    /* 0 and the round trip, or the errors of host_open_stream() and
     *   -ERR_PROTOCOL_NOT_SUPPORTED, -ERR_PROTOCOL_VIOLATION (other bytes came back),
     *   -ERR_STREAM_RESET (the peer gave the stream up: two at a time are go's limit, and ours),
     *   -ERR_CONN_CLOSED, -ETIMEDOUT */
    void (*done)(struct host_ping *p, nsec_t rtt, int error);
    bool pending;
};

/* Opens a stream, dialling if need be until `deadline`; the answer has PING_ROUND_TIMEOUT from
 * then on.  -ENOMEM: nothing was started. */
NODISCARD int host_ping_start(struct host *h, struct host_ping *p, const struct peer_id *peer,
                              nsec_t deadline,
                              void (*done)(struct host_ping *p, nsec_t rtt, int error));

/* Harmless when it is not pending, and for a struct of all zeros. */
void host_ping_cancel(struct host_ping *p);

/* SPDX-License-Identifier: MIT */
#pragma once

/* peerup's own ping over streams: serves it, and asks a peer.  One exchange a stream; the engine is
 * transport/proto/pingpong.h, and its limits (64 bytes a line, 15 s) hold on both sides.
 *
 * Spec:   peerup-protocols, section 5.
 * Thread: the reactor's.
 */

#include "core/base/base.h"
#include "core/base/time.h"
#include "transport/host.h"
#include "transport/proto/pingpong.h"
#include "uring/reactor.h"

struct ping_server;

/* Serves `protocol` (copied) to authorized peers.  -EEXIST, -ENOMEM */
NODISCARD int ping_server_new(struct reactor *r, struct host *h, const char *protocol,
                              struct ping_server **ret_server);
/* Resets what is open.  Accepts NULL, returns NULL. */
struct ping_server *ping_server_free(struct ping_server *s);

/* One exchange: both sides' driver, embedded in its owner. */
struct ping_exchange {
    struct reactor *reactor;
    struct stream *stream;
    struct pingpong engine;
    struct timer timer;
    uint8_t out[PINGPONG_LINE_MAX]; /* pulled, and not taken by the stream yet */
    size_t out_len;
    bool stream_over;
    void (*ended)(struct ping_exchange *x, nsec_t rtt, int error);
};

/* What a ping came to. */
struct ping_result {
    nsec_t rtt;
    int error;         /* 0: answered */
    const char *phase; /* "stream" or "read": what failed, for messages */
};

/* A question to a peer, embedded in its owner. */
struct ping_request {
    struct stream_request open;
    struct ping_exchange exchange;
    void (*done)(struct ping_request *q, const struct ping_result *result);
    bool exchanging;
};

#define PING_OPEN_TIMEOUT SEC(15)

/* Ends in one done(), never inside this call; its errors are those of host_open_stream() and
 *   -ERR_PROTOCOL_NOT_SUPPORTED, -ERR_PROTOCOL_VIOLATION, -ERR_STREAM_RESET, -ETIMEDOUT, -ERR_LIMIT
 *   and what the stream's end told.
 * -ENOMEM at once: nothing was started. */
NODISCARD int ping_request_start(struct ping_request *q, struct reactor *r, struct host *h,
                                 const struct peer_id *peer, const char *protocol,
                                 void (*done)(struct ping_request *q,
                                              const struct ping_result *result));
/* Harmless after done(), and for a request of all zeros. */
void ping_request_cancel(struct ping_request *q);

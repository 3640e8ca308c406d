/* SPDX-License-Identifier: MIT */
#pragma once

/* The HTTP upgrade that a WebSocket begins with, from either side.  Engine: no I/O, no clock.
 *
 *   bytes in -> websocket_recv()      bytes out <- websocket_pull()
 *   until `state` is WEBSOCKET_OPEN or WEBSOCKET_FAILED
 *
 * Nothing behind the blank line is taken: frames may follow it in the same piece.
 * A server's answer to a request that it refuses says why, and with what to try again; it is still
 * there to be pulled in WEBSOCKET_FAILED.
 *
 * Spec:   RFC 6455, section 4; of HTTP (RFC 9112) what such a request and its answer need.  Which
 *         path is asked for, and from which origin, does not matter: a proxy before us decides
 * that. Neither extensions nor subprotocols are offered or accepted. Memory: the struct, whatever
 * the peer sends.  Thread: one at a time. */

#include "core/base/bytes.h"
#include "core/base/problem.h"

struct rng;

enum {
    WEBSOCKET_HEAD_MAX = 8 << 10, /* of a peer's request or answer, all its lines */
    /* Of one line, what is kept.  Longer ones (cookies) are passed over; none that counts is. */
    WEBSOCKET_LINE_MAX = 512,
    WEBSOCKET_HOST_MAX = 255 + 6, /* a name and a port */
    WEBSOCKET_OUT_MAX = 512,
    WEBSOCKET_KEY_CHARS = 24,
    WEBSOCKET_ACCEPT_CHARS = 28,
};

enum websocket_state {
    WEBSOCKET_UPGRADING,
    WEBSOCKET_OPEN,
    WEBSOCKET_FAILED, /* `error` and `problem` say why */
};

/* Users read state, error and problem; all else is the engine's. */
struct websocket {
    enum websocket_state state;
    int error; /* -ERR_HANDSHAKE */
    struct problem problem;

    bool is_client;
    bool has_first_line;
    unsigned seen;    /* headers, as bits */
    unsigned refusal; /* a server's: the status of the first thing that is wrong; 0: nothing yet */
    size_t head_len;
    size_t line_len; /* also beyond what is kept */
    uint16_t out_len;
    uint16_t out_sent;
    char line[WEBSOCKET_LINE_MAX];
    char key[WEBSOCKET_KEY_CHARS + 1];
    char out[WEBSOCKET_OUT_MAX];
};

/* A client that asks for "/" at `host`, "name:port".  -EINVAL: that is empty, too long, or has
 * characters which no host has */
NODISCARD int websocket_init_client(struct websocket *w, const char *host, struct rng *rng);

void websocket_init_server(struct websocket *w);

/* Returns the bytes taken: fewer than offered only when the state is no longer
 * WEBSOCKET_UPGRADING. */
NODISCARD size_t websocket_recv(struct websocket *w, struct bytes in);

/* Copies what is to be sent, in any state; returns the length, 0 for nothing. */
NODISCARD size_t websocket_pull(struct websocket *w, void *out, size_t size);

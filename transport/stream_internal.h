/* SPDX-License-Identifier: MIT */
#pragma once

/* How the host makes streams out of muxed ones: multistream-select in between. */

#include "transport/conn.h"
#include "transport/stream.h"

struct protocol_handler;
struct reactor;

/* Who decides about the protocols that peers propose. */
struct stream_acceptor {
    /* The handler of a proposed name, or NULL for "na".  A handler that this peer may not use sets
     * *ret_refused: the stream is then reset with STREAM_CODE_GATED. */
    struct protocol_handler *(*propose)(struct stream_acceptor *a, struct conn *c,
                                        struct bytes name, bool *ret_refused);
    /* The stream speaks the handler's protocol now: the handler becomes its owner. */
    void (*accepted)(struct stream_acceptor *a, struct protocol_handler *h, struct stream *s);
};

/* A stream that the peer opened.  Lives by itself until a handler takes it.  Out of memory: the
 * muxed stream is released. */
void stream_new_inbound(struct reactor *r, struct conn *c, struct muxed *m,
                        struct stream_acceptor *acceptor);

/* Proposes one protocol without waiting for the answer; the string must outlive the stream.
 * -ENOMEM, -EAGAIN (the connection is full): the muxed stream is still the caller's. */
NODISCARD int stream_new_outbound(struct reactor *r, struct conn *c, struct muxed *m,
                                  const char *protocol, struct stream **ret_stream);

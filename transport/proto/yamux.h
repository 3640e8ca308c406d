/* SPDX-License-Identifier: MIT */
#pragma once

/* yamux: many streams in one ordered, secured byte stream.  Engine: no I/O, no clock.
 *
 *   bytes in  -> yamux_recv()      events out -> yamux_next_event()
 *   bytes out <- yamux_pull()      time       -> yamux_tick() at yamux_deadline()
 *
 * Nothing is copied on the way in or out: received bodies are views into the slabs that they came
 * in, sent ones the user's own slices behind a header of 12 bytes.  (A body that fills little of
 * its slab is copied when it has to wait for its reader.)
 *   windows     a stream's receive window begins at 256 KiB and doubles while the reader keeps up
 *               and the window was used up within a few round trips, to YAMUX_WINDOW_MAX; the sum
 *               of what was granted beyond 256 KiB each is bounded by YAMUX_SESSION_WINDOW_MAX.
 *               Credit goes back for bytes that were credited by the reader only.
 *   sending     round robin over streams that have data and window, cut to YAMUX_BODY_MAX; control
 *               frames first, and bounded: a flood of pings makes us stop reading, not grow.
 *   closing     FIN and RST never ride on a body.  A stream that only stops reading drains: what
 *               comes is dropped and credited.
 *
 * Spec:   yamux.md.  go's forms are sent, everybody's are taken.
 * Thread: one at a time.  No callbacks.  `now` never goes back. */

#include "core/base/buf.h"
#include "core/base/time.h"
#include "transport/proto/codes.h"

struct mem;
struct yamux;
struct yamux_stream;

enum {
    YAMUX_HEADER_BYTES = 12,
    YAMUX_WINDOW_FIRST = 256 << 10, /* of every stream, both ways: fixed by the protocol */
    YAMUX_WINDOW_MAX = 16 << 20,    /* go's limit */
    YAMUX_SESSION_WINDOW_MAX = 64 << 20,
    YAMUX_BODY_MAX = 64 << 10, /* of a frame that we send */
    YAMUX_STREAM_UNSENT_MAX = 512 << 10,
    YAMUX_STREAMS_OPEN_MAX = 200, /* that we open: rust dies of 513 in all */
    YAMUX_UNACKED_MAX = 200,      /* opened by us and not acknowledged: go and rust take 256 */
    YAMUX_STREAMS_FIRST = 256,    /* inbound, until the peer is admitted */
    YAMUX_STREAMS_MAX = 1024,     /* inbound (decision 7); more are reset */
};

#define YAMUX_PING_INTERVAL SEC(10) /* of silence */
#define YAMUX_PING_TIMEOUT  SEC(15)

struct yamux_config {
    struct mem *mem;
    struct buf_pool *pool;
    struct quota *quota; /* parent of the streams' quotas; outlives the session */
    bool client;         /* the initiator of the security handshake: odd stream IDs */
};

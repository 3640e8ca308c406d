/* SPDX-License-Identifier: MIT */
#pragma once

/* Joins two connections: what comes in on the one goes out on the other, moved from socket to
 * socket by the kernel, so that this process never has the bytes.
 *
 *   tcp_splice_start() .. ended(), or tcp_splice_stop() .. both connections are closed ..
 *   tcp_splice_done()
 *
 * Each way, up to STREAM_PIPE_BYTES go from the incoming socket into a pipe, and from there to the
 * outgoing one, as long as either goes on.  What the outgoing one has no room for waits in the
 * pipe; then nothing more is taken, the incoming socket's window closes, and a slow reader holds
 * back its own sender and nobody else.  A way's end is the incoming end, or the limit: exactly so
 * many bytes pass.  FIN goes out behind the last one, and the other way goes on.
 *
 * A socket that had its FIN and is broken afterwards was closed by its peer, who wants to hear
 * nothing more: what comes for it is dropped, up to the end, and the other way loses nothing.
 *
 * ended() comes when both ways are over, or one socket is broken, urgent data included (-EPROTO);
 * nothing moves any more then, and the owner closes both connections, with a reset if it was an
 * error.  Their events stay the owner's: failed() tells a reset that no way is about to meet, but
 * not one behind a FIN.
 *
 * Memory:  the struct, and in the kernel a pipe each way: STREAM_PIPE_BYTES of pages at most, that
 *          the sockets held anyway.  Two descriptors a pipe.
 * Thread:  the reactor's.  ended() comes from the reactor, never from inside a call.  The thread
 * has SIGPIPE blocked from the first one on.
 */

#include "uring/stream_pipe.h"
#include "uring/tcp.h"

enum tcp_splice_direction { TCP_SPLICE_A_TO_B, TCP_SPLICE_B_TO_A, TCP_SPLICE_DIRECTIONS };

/* One way. */
struct tcp_splice_way {
    struct tcp_splice *splice;
    struct tcp_conn *from;
    struct tcp_conn *to;
    struct stream_pipe pipe;
    struct op in_op;  /* waits for bytes */
    struct op out_op; /* waits for room */
    size_t held;      /* in the pipe */
    uint64_t left;    /* may still be taken; without limit it never gets to 0 */
    uint64_t bytes;   /* that passed */
    uint64_t *total;  /* of the owner's */
    bool is_ended;    /* the end of `from` was met */
    bool is_over;     /* and passed on */
    bool is_unwanted; /* `to` is closed: nobody hears what passes */
    bool is_limited;  /* over, but by the limit */
};

/* Embedded by its owner; fields are the module's, ways[].bytes and .is_limited may be read. */
struct tcp_splice {
    struct reactor *reactor;
    struct tcp_splice_way ways[TCP_SPLICE_DIRECTIONS];
    void (*ended)(struct tcp_splice *s, int error);
    bool is_stopped;
};

struct tcp_splice_config {
    struct tcp_conn *a; /* both of them idle (asserted): not read, with nothing to be written */
    struct tcp_conn *b;
    uint64_t data_max;                       /* each way; 0: without limit */
    uint64_t *totals[TCP_SPLICE_DIRECTIONS]; /* counters that grow with the bytes */
    /* 0, or what broke one of the sockets: -ECONNRESET, -EPIPE, ... */
    void (*ended)(struct tcp_splice *s, int error);
};

/* After a failure the connections are as before.
 *   -EMFILE, -ENFILE  no descriptors */
NODISCARD int tcp_splice_start(struct tcp_splice *s, struct reactor *r,
                               const struct tcp_splice_config *cfg);
/* Nothing moves any more, and ended() does not come.  Before either connection is closed; harmless
 * behind ended(). */
void tcp_splice_stop(struct tcp_splice *s);
/* Both connections are closed (asserted: nothing is in flight). */
void tcp_splice_done(struct tcp_splice *s);

/* SPDX-License-Identifier: MIT */
#pragma once

/* What carries operations out: io_uring, epoll, and in the tests a simulation.  Handles, timers,
 * deferred calls, messages, signals and offload stand above it and know no backend.
 *
 * Who writes a backend provides every function of struct reactor_backend and keeps these rules:
 *
 *   start     Never calls done().  Never fails: an error is a completion.
 *   dispatch  The only place where done() is called.  What done() starts may complete in a later
 *             dispatch only.  A bounded amount of work, so that timers get their turn.
 *   once      Each operation ends exactly once (a completion without OP_MORE), cancelled or not.
 *   order     Completions of one operation in their order; between operations there is none.
 *   memory    Nothing is allocated per operation after a handle's first ones.
 *   thread    All but wake() on one thread, which need not be the one that called open().
 *
 * A handle is a small number >= 0 that the backend gives out and OP_CLOSE takes back; it may be a
 * descriptor.  op->fd names it.  What the kinds take, and give in done():
 *
 *   OP_ACCEPT    multishot      result: a handle
 *   OP_CONNECT   data: struct sock_addr     result: 0
 *   OP_RECV      data: struct recv_result, empty; size: how many bytes are welcome, RECV_BYTES_MAX
 *                at most; less than a slab's size is a limit to the byte      result: bytes, 0 at
 *                the end; the references in data are the callee's.  A backend that has no memory
 *                for it waits inside until slabs come back to the pool, and holds none while the
 *                peer is silent
 *   OP_SEND      data: struct slice[size]   result: bytes taken, possibly not all
 *   OP_UDP_RECV  multishot      data: struct udp_batch, valid during done()
 *   OP_UDP_SEND  data: struct udp_out       result: bytes, all or none
 *   OP_POLL      completes when the handle, a stream or a foreign descriptor, is readable or broken
 *   OP_POLL_OUT  completes when the stream has room, or is broken
 *   OP_HANGUP    completes when a stream's connection is over or its peer sent FIN, whichever bytes
 *                are still unread; what it was, stream_error() tells
 *   OP_CANCEL    asks all other operations on the handle to end (-ECANCELED, or their result if
 *                that was faster), and ends itself after those that it found.  Handles repeat it
 *                until all have ended, so one that slips through does no harm
 *   OP_CLOSE     nothing else is in flight on the handle, which is gone afterwards
 *
 * A multishot operation may end at any time for reasons of the backend's own with a result >= 0
 * and without OP_MORE: its owner starts it again.
 */

#include "core/base/buf.h"
#include "core/base/time.h"
#include "uring/datagram.h"
#include "uring/features.h"
#include "uring/op.h"
#include "uring/sock_addr.h"
#include "uring/stream_pipe.h"

struct log;
struct mem;
struct reactor_backend;

struct backend_config {
    struct mem *mem;
    struct log *log; /* may be NULL */
    struct buf_pool *pool;
    void *context; /* reactor_config.backend_context */
};

/* Embedded first by each backend's own struct. */
struct backend {
    const struct reactor_backend *type;
    struct backend_config cfg;
    struct reactor_features features;
    int socket_flags; /* kernel backends: SOCK_NONBLOCK or 0 */
    bool buffers_warned;
};

struct reactor_backend {
    const char *name;

    /* -ENOMEM; -ENOSYS, -EPERM, ... when the system refuses what the backend needs. */
    int (*open)(const struct backend_config *cfg, struct backend **ret_backend);
    /* Nothing is in flight. */
    void (*free)(struct backend *b);

    /* --- Operations --- */

    void (*start)(struct backend *b, struct op *op);
    /* Hands what was started to the kernel; wait() does that too. */
    void (*submit)(struct backend *b);
    /* Returns when something is there to dispatch, at the deadline, or after wake(); at once for
     * deadline 0.  Spurious returns are harmless.  0, or the error that broke the backend. */
    int (*wait)(struct backend *b, nsec_t deadline);
    /* Returns whether there was a completion. */
    bool (*dispatch)(struct backend *b);
    /* dispatch() has something to do, whatever the descriptor says. */
    bool (*has_work)(struct backend *b);
    /* Any thread: makes the current or next wait() return. */
    void (*wake)(struct backend *b);
    int (*poll_fd)(struct backend *b);
    /* Now and then after traffic: gives back memory that only a burst needed.  May be NULL. */
    void (*trim)(struct backend *b);

    /* --- Handles: what never waits is a plain call --- */

    /* A socket for a connection to an address of this family; TCP with TCP_NODELAY and keep-alive
     * after 30 s.  Returns the handle, or -EMFILE, -EAFNOSUPPORT, ... */
    int (*stream_open)(struct backend *b, const struct sock_addr *peer);
    /* The port may be one that we listen on, or that other connections leave from: one to the same
     * destination is refused, here (-EADDRINUSE) or by OP_CONNECT (-EADDRNOTAVAIL). */
    int (*stream_bind)(struct backend *b, int fd, const struct sock_addr *local);
    /* Bound and listening, alone on its port; a Unix path gets mode 0600.  The handle, or
     * -EADDRINUSE, ... */
    int (*stream_listen)(struct backend *b, const struct sock_addr *at);
    /* FIN after what was sent. */
    int (*shutdown_write)(struct backend *b, int fd);
    /* Takes what broke the connection, such as -ECONNRESET: told once, here or by a read or write.
     * 0: nothing did. */
    int (*stream_error)(struct backend *b, int fd);
    /* How many bytes of ours the peer's system has acknowledged in all, and when it last
     * acknowledged anything.  -ENOTSUP: not TCP, or not connected. */
    int (*stream_acked)(struct backend *b, int fd, uint64_t *ret_bytes, nsec_t *ret_at);
    /* How many bytes of ours the kernel has not sent once.  -ENOTSUP, likewise. */
    ssize_t (*stream_unsent)(struct backend *b, int fd);
    /* A pipe that moves bytes from one of these streams to the other; no operation but polls,
     * OP_HANGUP, OP_CANCEL and OP_CLOSE is started on them any more.  -EMFILE, -ENFILE */
    int (*pipe_open)(struct backend *b, int from, int to, struct stream_pipe *ret_pipe);
    void (*pipe_close)(struct backend *b, struct stream_pipe *pipe);
    /* Moves up to `max` bytes into a pipe that is empty.  Bytes, 0 at the stream's end, -EAGAIN
     * when there are none, or what broke the stream. */
    ssize_t (*pipe_fill)(struct backend *b, const struct stream_pipe *pipe, int from, size_t max);
    /* Moves some of the `held` bytes on.  Bytes, -EAGAIN when there is no room, or what broke the
     * stream. */
    ssize_t (*pipe_drain)(struct backend *b, const struct stream_pipe *pipe, int to, size_t held);
    /* Throws away the `held` bytes: what they were for is broken. */
    void (*pipe_drop)(struct backend *b, const struct stream_pipe *pipe, size_t held);
    /* Closing will send RST. */
    void (*reset_on_close)(struct backend *b, int fd);
    /* For a handle on which nothing was ever started. */
    void (*handle_close)(struct backend *b, int fd);
    /* A bound UDP socket with all that udp.h promises.  The handle, or -EADDRINUSE, ... */
    int (*udp_open)(struct backend *b, const struct net_addr *local);
    int (*local_addr)(struct backend *b, int fd, struct sock_addr *ret_addr);
    int (*remote_addr)(struct backend *b, int fd, struct sock_addr *ret_addr);

    /* --- The world --- */

    nsec_t (*now)(struct backend *b);
    walltime_t (*walltime)(struct backend *b);
    int64_t (*suspended)(struct backend *b);
    void (*random)(struct backend *b, void *out, size_t size);
    /* Calls run(context) where blocking does no harm, then the reactor delivers what it posted.
     * NULL: a thread of the reactor's. */
    int (*offload)(struct backend *b, void (*run)(void *context), void *context);
};

extern const struct reactor_backend backend_uring;
extern const struct reactor_backend backend_epoll;

/* For backends: one completion. */
static inline void op_complete(struct op *op, int32_t result, uint32_t flags) {
    assert(op->flying);
    op->result = result;
    op->flags = flags;
    op->flying = (flags & OP_MORE) != 0;
    op->done(op);
}

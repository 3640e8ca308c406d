/* SPDX-License-Identifier: MIT */
#pragma once

/* Stream sockets on the reactor: TCP over IPv4 and IPv6, and Unix stream sockets, which differ in
 * their address only.
 *
 *   reading   tcp_read_start() .. data(slice) data(slice) .. eof() | failed(); tcp_read_stop()
 *             pauses, which is the backpressure: unread bytes stay in the kernel.
 *   writing   one tcp_write() at a time: takes references to slices, written() when the kernel has
 *             taken every byte (partial writes are continued inside).
 *   ending    tcp_shutdown_write() sends FIN after the write in flight; tcp_close() or tcp_reset()
 *             (RST) cancel what is in flight and end in closed(), after which the memory is the
 *             owner's again.
 *
 * Memory: received bytes arrive in slabs of the reactor's pool, charged to `quota` when they are
 * delivered; a receive that fills less than a quarter of a slab is moved to a small one.  An idle
 * connection holds no slab (the kernel picks one from the buffer ring when data is there).
 * Thread: the reactor's.
 */

#include "core/base/buf.h"
#include "uring/op.h"
#include "uring/reactor.h"
#include "uring/sock_addr.h"

struct tcp_conn;
struct tcp_listener;

enum { TCP_WRITE_SLICES_MAX = SEND_SLICES_MAX };

struct tcp_events {
    /* The connect ended: 0 or a negative errno (-ETIMEDOUT is the kernel's, after minutes: owners
     * have a timer and call tcp_close()); after a failure only closed() follows, once tcp_close()
     * was called. */
    void (*connected)(struct tcp_conn *c, int error);
    /* Bytes; the callee takes over the slice's reference. */
    void (*data)(struct tcp_conn *c, struct slice s);
    /* The peer sent FIN.  Writing may go on. */
    void (*eof)(struct tcp_conn *c);
    /* The last tcp_write() is wholly in the kernel; another may start. */
    void (*written)(struct tcp_conn *c);
    /* -ECONNRESET, -EPIPE, ...: nothing more is read or written; the owner closes. */
    void (*failed)(struct tcp_conn *c, int error);
    /* No operation is in flight any more and the descriptor is closed. */
    void (*closed)(struct tcp_conn *c);
};

struct tcp_conn {
    struct reactor *reactor;
    const struct tcp_events *events;
    struct quota *quota; /* may be NULL */
    int fd;              /* the backend's handle, not necessarily a descriptor */
    uint32_t ops_in_flight;
    struct op connect_op;
    struct op recv_op;
    struct op send_op;
    struct op cancel_op;
    struct op close_op;
    struct op hangup_op;
    struct deferred later; /* what a call could not report from inside itself */
    union {
        struct sock_addr connect_to;
        struct slice write_slices[TCP_WRITE_SLICES_MAX];
    };
    uint32_t write_first;
    uint32_t write_count;
    struct recv_result received; /* and not given yet: some stay after tcp_read_stop() */
    int received_end;            /* behind them: 1 for EOF, negative for an error */
    bool reading;
    bool recv_was_full; /* the stream is busy: the next receive may be larger */
    uint32_t recv_max;  /* 0: none was set */
    bool writing;
    bool connecting;
    bool read_ended; /* eof() was given, or is held */
    bool fin_seen;   /* behind unread bytes: a hangup would be about it for ever */
    bool is_spliced; /* its bytes are moved by uring/splice.h */
    bool shutdown_wanted;
    bool closing;
    bool dead; /* failed() was given, or is held */
};

void tcp_conn_init(struct tcp_conn *c, struct reactor *r, const struct tcp_events *events,
                   struct quota *quota);

/* Starts a connect; `from` may be NULL, or have a port that we listen on.  Sets TCP_NODELAY and
 * keep-alive.  Ends in connected(): -EADDRNOTAVAIL, or -EADDRINUSE at once, when that port is
 * connected to the same address already.  -EMFILE and other errors of socket(2) at once. */
NODISCARD int tcp_connect(struct tcp_conn *c, const struct sock_addr *to,
                          const struct sock_addr *from);

/* Takes over a handle that a listener accepted. */
void tcp_conn_adopt(struct tcp_conn *c, int fd);

void tcp_read_start(struct tcp_conn *c);
/* No receive that starts from now on takes more; 0: as much as there is. */
void tcp_read_limit(struct tcp_conn *c, uint32_t bytes_max);
/* No data() or eof() is given until reading starts again; what the kernel has already handed over
 * waits inside.  A reset by the peer is told at once, by failed(): who waits for a reader of its
 * own might never start again.  (Not behind a FIN that is unread.) */
void tcp_read_stop(struct tcp_conn *c);

/* From now on charges `quota`, which may be NULL, also for what was received and not given yet. */
void tcp_set_quota(struct tcp_conn *c, struct quota *quota);

/* Takes over the references of v[0..count), count <= TCP_WRITE_SLICES_MAX, no write in flight and
 * not shut down (asserted). */
void tcp_write(struct tcp_conn *c, const struct slice *v, size_t count);

static inline bool tcp_is_writing(const struct tcp_conn *c) {
    return c->writing;
}

/* FIN after the write in flight. */
void tcp_shutdown_write(struct tcp_conn *c);

/* Ends in closed(), also when it was never connected.  Unsent bytes that the kernel has are still
 * delivered by it. */
void tcp_close(struct tcp_conn *c);

/* The same with RST: the peer sees an error, not an end. */
void tcp_reset(struct tcp_conn *c);

/* -ENOTCONN */
NODISCARD int tcp_remote_addr(const struct tcp_conn *c, struct sock_addr *ret_addr);
NODISCARD int tcp_local_addr(const struct tcp_conn *c, struct sock_addr *ret_addr);

/* How many bytes of ours the peer's system has acknowledged in all, and when it last acknowledged
 * anything.  -ENOTSUP: not TCP, or not connected */
NODISCARD int tcp_acked(const struct tcp_conn *c, uint64_t *ret_bytes, nsec_t *ret_at);
/* How many bytes of what was written the kernel has not sent once.  -ENOTSUP, likewise */
NODISCARD ssize_t tcp_unsent(const struct tcp_conn *c);

/* --- Listening --- */

struct tcp_listener_events {
    /* A connection.  The callee adopts the handle (tcp_conn_adopt) or refuses it
     * (tcp_handle_close, with RST when `reset`). */
    void (*accepted)(struct tcp_listener *l, int fd, const struct sock_addr *remote);
    void (*closed)(struct tcp_listener *l);
};

struct tcp_listener {
    struct reactor *reactor;
    const struct tcp_listener_events *events;
    int fd;
    uint32_t ops_in_flight;
    struct op accept_op;
    struct op cancel_op;
    struct op close_op;
    struct timer retry; /* after the process ran out of descriptors */
    bool paused;
    bool closing;
};

/* Binds and listens; port 0 picks one (tcp_listener_addr tells).  A Unix path is made with mode
 * 0600 and must not exist; whoever chose it removes it after closing.  IPv6 sockets take IPv6 only.
 * After a failure nothing is open and the memory is the caller's.
 * -EADDRINUSE, -EACCES, -ENOMEM, ... */
NODISCARD int tcp_listen(struct tcp_listener *l, struct reactor *r, const struct sock_addr *at,
                         const struct tcp_listener_events *events);
/* Connections wait in the kernel's backlog meanwhile.  One that was already on its way may still be
 * given. */
void tcp_listener_pause(struct tcp_listener *l);
void tcp_listener_resume(struct tcp_listener *l);
void tcp_listener_close(struct tcp_listener *l);
NODISCARD int tcp_listener_addr(const struct tcp_listener *l, struct sock_addr *ret_addr);
void tcp_handle_close(struct reactor *r, int fd, bool reset);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The reactor: one thread's event loop, completion-shaped.
 *
 * Start an operation, get exactly one callback with its result (multishot operations: several,
 * the last one marked).  An operation is a struct embedded in its owner, so starting one allocates
 * nothing, and an owner with operations in flight is not freed: closing is asynchronous and ends
 * in one `closed` event.  A callback runs from the completion loop, never inside the call that
 * started the operation.
 *
 * One turn:  wait for completions -> read the clock -> callbacks -> due timers -> deferred calls
 *            -> submit everything that they started, in one system call, and wait again.
 *
 * A reactor is a value that belongs to one thread.  Several may exist and share nothing but
 * messages (reactor_post).  Each turn sets the thread's environment of core/crypto/wolf_env.h to
 * the reactor's clock and random source.  Three backends stand behind it
 * (uring/backend.h): io_uring, epoll, and in the tests a simulation; whoever uses this header
 * cannot tell them apart.
 *
 * Handles: uring/tcp.h (TCP and Unix streams), uring/udp.h, uring/file_watch.h.
 */

#include "core/base/buf.h"
#include "core/base/heap.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/rng.h"
#include "core/base/time.h"
#include "uring/features.h"
#include "uring/op.h"

struct reactor;
struct reactor_backend;
struct mem;

enum reactor_io {
    REACTOR_IO_AUTO,  /* PEERUP_IO from the environment, else io_uring, else epoll with a warning */
    REACTOR_IO_URING, /* fail where io_uring is refused */
    REACTOR_IO_EPOLL,
};

struct reactor_config {
    struct mem *mem;
    struct log *log;             /* may be NULL */
    struct buf_pool_config pool; /* zeros: defaults for a daemon */
    enum reactor_io io;
    const struct reactor_backend *backend; /* not NULL: this one instead (the simulation) */
    void *backend_context;                 /* handed to that backend */
};

/* May be called on another thread than the one that turns it later.
 *   -ENOMEM
 *   -ENOSYS, -EPERM   REACTOR_IO_URING (or PEERUP_IO=io_uring) was asked for and is refused
 *   -EINVAL           PEERUP_IO has a value other than io_uring, epoll or nothing: say so and end
 */
NODISCARD int reactor_new(const struct reactor_config *cfg, struct reactor **ret_reactor);

/* Whether a handle is open or still closing, so more turns are needed before reactor_free(). */
bool reactor_has_handles(const struct reactor *r);

/* On the thread that turned it.  Every handle must be closed and every timer done (asserted). Waits
 * for the worker thread, and delivers what it still posts.  Accepts NULL, returns NULL. */
struct reactor *reactor_free(struct reactor *r);

/* Does for this thread's wolfSSL what a turn does, for what is built before the first one (keys,
 * certificates).  Holds until another reactor's turn, or reactor_free(). */
void reactor_make_current(struct reactor *r);

/* Runs turns until reactor_stop().  0, or the error that broke the backend. */
NODISCARD int reactor_run(struct reactor *r);

/* Makes reactor_run() return after the current turn.  The reactor's thread only; others post a
 * message that does it. */
void reactor_stop(struct reactor *r);

/* One turn that waits at most until `deadline` (0: not at all).  For tests and for callers with
 * a loop of their own. */
NODISCARD int reactor_turn(struct reactor *r, nsec_t deadline);

/* A descriptor that is readable when a turn has something to do, for callers with a loop of their
 * own. */
int reactor_poll_fd(const struct reactor *r);
/* When a turn is due even if that descriptor stays silent; 0: now.  Such callers ask right before
 * they wait: what was started since the last turn is handed to the kernel here. */
nsec_t reactor_next_deadline(const struct reactor *r);

/* Monotonic time, read once a turn. */
nsec_t reactor_now(const struct reactor *r);
walltime_t reactor_walltime(const struct reactor *r);
/* Nanoseconds that the machine has slept, from an origin of its own: grows by what reactor_now()
 * left out while the machine was suspended. */
int64_t reactor_suspended(const struct reactor *r);
void reactor_random(struct reactor *r, void *out, size_t size);
/* The same source as a value for engines; lives as long as the reactor. */
struct rng *reactor_rng(struct reactor *r);

struct mem *reactor_mem(const struct reactor *r);
struct log *reactor_log(const struct reactor *r);
struct buf_pool *reactor_pool(const struct reactor *r);
const struct reactor_features *reactor_features(const struct reactor *r);

/* --- Timers: one-shot; starting a running one moves it.  The callback may start it again. --- */

struct timer {
    struct heap_node node;
    void (*fire)(struct timer *t);
    struct reactor *reactor;
};

/* Makes room in the heap, so that timer_start() cannot fail: -ENOMEM, which is why a constructor
 * may return it.  After that failure timer_done() is not called. */
int timer_init(struct timer *t, struct reactor *r, void (*fire)(struct timer *t));
/* Fires at the first turn at or after `at`; NSEC_NEVER stops it.  A timer that starts itself again
 * for a time already past fires in the next turn. */
void timer_start(struct timer *t, nsec_t at);
void timer_stop(struct timer *t);
/* Must precede freeing the owner. */
void timer_done(struct timer *t);

/* --- Deferred calls: run once at the end of this turn, after all completions and timers.  Where
 *     work that several completions caused is done once (filling packets, flushing). --- */

struct deferred {
    struct list node;
    void (*run)(struct deferred *d);
};

void deferred_init(struct deferred *d, void (*run)(struct deferred *d));
/* Harmless when it is already queued.  May be called from a deferred call, also for itself: it then
 * runs in the next turn, which does not wait. */
void reactor_defer(struct reactor *r, struct deferred *d);
/* Takes it out of the queue. */
void deferred_cancel(struct deferred *d);

/* --- Messages from other threads. --- */

struct mailbox_msg {
    struct mailbox_msg *next;
    void (*deliver)(struct mailbox_msg *m); /* runs on the receiving reactor */
};

/* Any thread.  The message belongs to the receiver until deliver() is called.  Order is kept per
 * sender. */
void reactor_post(struct reactor *r, struct mailbox_msg *m);

/* --- What blocks: a worker thread, started on first use. --- */

struct offload_job {
    struct mailbox_msg msg;
    void (*work)(struct offload_job *j); /* on the worker: no reactor call, no shared state */
    void (*done)(struct offload_job *j); /* back on the reactor */
    struct reactor *reactor;
};

/* Jobs are done in order, one at a time.  -EAGAIN when OFFLOAD_JOBS_MAX are waiting, or no thread
 * could be started. */
NODISCARD int reactor_offload(struct reactor *r, struct offload_job *j);
enum { OFFLOAD_JOBS_MAX = 256 };

/* --- Foreign descriptors: made by a library or the kernel, and read by other means than an
 *     operation.  What has several puts them into one of epoll and has that one watched. --- */

struct fd_watch;

struct fd_watch_events {
    /* Something can be read, or the descriptor has an error.  Asked again after it returns, so
     * what it leaves unread is told once more in the next turn. */
    void (*readable)(struct fd_watch *w);
    /* The descriptor is closed and nothing is in flight: the owner may go. */
    void (*closed)(struct fd_watch *w);
};

struct fd_watch {
    struct reactor *reactor;
    const struct fd_watch_events *events;
    struct op poll_op;
    struct op cancel_op;
    struct op close_op;
    int fd;
    bool closing;
};

/* Takes the descriptor over, which must not block. */
void fd_watch_open(struct fd_watch *w, struct reactor *r, int fd,
                   const struct fd_watch_events *events);
/* Ends in closed(); may be called from readable(). */
void fd_watch_close(struct fd_watch *w);

/* --- Signals --- */

struct signal_watch {
    struct list node;
    void (*raised)(struct signal_watch *w, int signo);
    int signo;
};

/* Blocks the signal in this thread and delivers it as an event.  A process does this on one
 * reactor, before it starts threads.  -EINVAL, -ENOMEM, -EMFILE */
NODISCARD int signal_watch_open(struct reactor *r, struct signal_watch *w, int signo);
/* At once; the signal is unblocked again.  May be called from raised(). */
void signal_watch_close(struct reactor *r, struct signal_watch *w);

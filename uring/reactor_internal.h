/* SPDX-License-Identifier: MIT */
#pragma once

/* What the reactor's own files and the handles share. */

#include <stdatomic.h>

#include "core/crypto/wolf_env.h"
#include "uring/backend.h"
#include "uring/reactor.h"

struct offload;
struct signals;

struct reactor {
    struct backend *backend;
    struct mem *mem;
    struct log *log;
    struct buf_pool *pool;
    struct rng rng;
    struct wolf_env wolf_env;

    nsec_t now;
    struct heap timers;
    uint32_t timers_count;   /* initialised and not done: the heap has room for all */
    struct timer trim_timer; /* runs after a turn that did something */
    struct list deferred;
    bool stopping;
    uint32_t handles_count; /* open, or closing */

    /* Newest first.  Whoever finds it empty wakes the backend; the reactor takes all at once. */
    _Atomic(struct mailbox_msg *) mailbox;

    struct offload *offload; /* NULL until the first job */
    struct signals *signals; /* NULL until the first watch */
};

static inline void reactor_start_op(struct reactor *r, struct op *op) {
    assert(!op->flying);
    op->flying = true;
    r->backend->type->start(r->backend, op);
}

/* Runs what other threads have posted.  Returns whether there was anything. */
bool reactor_deliver_mail(struct reactor *r);

/* Waits for the jobs that were taken, ends the thread.  Accepts NULL. */
void offload_free(struct offload *o);

/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of libpeerup share. */

#include <pthread.h>

#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/problem.h"
#include "core/conf/names.h"
#include "include/peerup/peerup.h"
#include "transport/host.h"
#include "uring/reactor.h"
#include "uring/thread.h"

struct node;

struct peerup {
    struct node *node;
    struct mem *mem;
    struct log log;
    struct gate gate; /* where options decide, not a file */
    struct list streams;
    struct list names;
    struct thread thread;
    pthread_mutex_t lock; /* of each call's `done` */
    pthread_cond_t done;
    int open_error;
    struct problem open_problem;
    bool opened; /* the thread has tried */
    bool ending;
    bool allow_everybody;
    bool (*allow)(void *user, const char *peer_id);
    void (*write_log)(void *user, const char *line);
    void *user;
    unsigned flags;
    char id[PEER_ID_TEXT_MAX];
    char ping_protocol[128];
};

/* One call of the program, carried out on the library's thread. */
struct call {
    struct mailbox_msg msg;
    struct peerup *p;
    /* Calls call_finish(), now or later. */
    void (*start)(struct call *c);
    int result;
    bool done;
};

/* Carries the call out and waits.  Returns its result, or -EDEADLK inside a callback. */
NODISCARD int call_run(struct peerup *p, struct call *c, void (*start)(struct call *c));
/* On the library's thread.  The call's memory is its caller's again. */
void call_finish(struct call *c, int result);

/* Names first, then what target_resolve() knows.  Tells the host the addresses that come with it.
 * On the library's thread. */
NODISCARD int peerup_find_peer(struct peerup *p, const char *target, struct peer_id *ret_id);

/* Breaks off the streams that are open. */
void peerup_streams_abort(struct peerup *p);

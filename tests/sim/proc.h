/* SPDX-License-Identifier: MIT */
#pragma once

/* A process on a simulated host: code that blocks in its reactor's wait, on a stack of its own, and
 * a clock that began when its host did.
 *
 * A process that waits is run again at its deadline, or soon after something happened to one of its
 * sockets: a turn takes a moment of virtual time, so that what arrives together is seen together,
 * and one that never waits is seen as turns without end.
 *
 * A process that was killed has no socket any more, and its peers have seen what they see when a
 * kernel cleans up (RST) or when the power fails (nothing).  What is left of it runs on in a
 * pocket of the world, where every wait is over at once and nobody answers, so that the product's
 * own code frees its memory.
 */

#include "tests/sim/fiber.h"
#include "tests/sim/net.h"

struct sim_proc {
    struct sim_host *host;
    struct fiber fiber;
    struct sim_event wake;
    struct sim_rand rand;    /* what it gets for random */
    struct sim_rand latency; /* how long it takes to run */
    nsec_t clock_offset;     /* its monotonic clock is the world's plus this */
    nsec_t latency_max;
    nsec_t stalled_until; /* stopped, as by SIGSTOP */
    bool is_alone;        /* has no stack: while it waits, the world runs inside of it */
    bool is_dead;
    nsec_t dead_time; /* its clock, once dead */
    uint32_t dead_waits;
    uint64_t turns;
    struct list handles; /* its backend's, so that a kill finds them */
    void (*ended)(struct sim_proc *p);
};

/* `incarnation` tells processes of one host apart.  run() is called in virtual time, after this
 * returns; ended() from outside its stack. */
void proc_start(struct sim_proc *p, struct sim_host *h, uint64_t incarnation,
                void (*run)(void *user), void *user, void (*ended)(struct sim_proc *p));
/* For one process and its caller's stack: it has no run(), and may do what it likes at once. */
void proc_start_alone(struct sim_proc *p, struct sim_host *h);
/* It has ended. */
void proc_done(struct sim_proc *p);

nsec_t proc_now(const struct sim_proc *p);
/* Something has happened for it. */
void proc_wake(struct sim_proc *p);
/* On its own stack: until then, or earlier. */
void proc_wait(struct sim_proc *p, nsec_t deadline);
/* From outside: it has no sockets any more.  The caller tells it to end. */
void proc_kill(struct sim_proc *p, bool silently);
/* From outside: runs it now. */
void proc_run(struct sim_proc *p);

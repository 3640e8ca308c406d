/* SPDX-License-Identifier: MIT */
#pragma once

/* The third backend of the reactor: uring/backend.h over the simulated network. */

#include "tests/sim/proc.h"
#include "uring/backend.h"

/* What the simulated kernel does with reads, writes and datagrams; by seed. */
struct sim_backend_config {
    struct sim_proc *proc;
    bool short_io; /* reads and writes take part of what they could */
    bool no_gso;
    bool no_gro;
};

/* reactor_config.backend_context is a struct sim_backend_config, copied. */
extern const struct reactor_backend backend_sim;

/* Takes all sockets from a process: TCP connections are reset, or dropped silently. */
void sim_backend_kill(struct sim_proc *p, bool silently);

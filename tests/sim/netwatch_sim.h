/* SPDX-License-Identifier: MIT */
#pragma once

/* A simulated host's network state as its process sees it.  It begins as the host's addresses, with
 * a default route for each family that it has; afterwards it is what a scenario says, half a second
 * later, as on a kernel.  What the scenario says does not change the host: that is its own part. */

#include "tests/sim/net.h"
#include "uring/netwatch.h"
#include "uring/reactor.h"

struct sim_netwatch {
    struct netwatch netwatch;
    struct sim_host *host;
    struct reactor *reactor; /* in whose turns it tells; set before the first change */
    struct sim_event event;
    struct mailbox_msg msg;
    struct netwatch_snapshot next;
    bool is_posted;
    bool was_suspended;
};

void sim_netwatch_init(struct sim_netwatch *w, struct sim_host *h);
/* The reactor is gone. */
void sim_netwatch_done(struct sim_netwatch *w);

/* One link whose addresses are the host's present ones. */
void sim_netwatch_read_host(const struct sim_host *h, struct netwatch_snapshot *ret_snapshot);

/* From outside of the process: this is what the kernel says from now on. */
void sim_netwatch_set(struct sim_netwatch *w, const struct netwatch_snapshot *s);
/* The machine has woken up. */
void sim_netwatch_wake_up(struct sim_netwatch *w);

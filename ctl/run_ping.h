/* SPDX-License-Identifier: MIT */
#pragma once

/* `peerup ping`: questions to a peer at an interval, without a daemon.
 * Spec: cli.md, section 5.1; peerup-protocols, section 5. */

#include "ctl/client_config.h"
#include "ctl/ping_stats.h"

struct problem;

struct run_ping_config {
    struct client_config client;
    uint64_t count; /* 0: until a signal */
    nsec_t interval;
    void (*connected)(void *user);
    void (*answered)(void *user, const struct ping_reply *reply);
    void *user;
};

/* Blocks until `count` questions are over, or a signal came.  0 whether or not they were answered;
 * an error when no connection came about. */
NODISCARD int run_ping(const struct run_ping_config *cfg, struct ping_stats *ret_stats,
                       struct problem *ret_problem);

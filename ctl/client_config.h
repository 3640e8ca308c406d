/* SPDX-License-Identifier: MIT */
#pragma once

/* What the commands that run without a daemon are given. */

#include "transport/proto/dial_rank.h"

struct config;
struct log;
struct mem;
struct target;

struct client_config {
    struct mem *mem;
    const struct config *config;
    struct log *log;
    const struct target *target; /* the peer that the command is about */
    enum dial_preference transport;
    /* With relays: listens where the config does, on ports that admit the target alone, so that a
     * hole can be punched. */
    bool punches;
};

/* SPDX-License-Identifier: MIT */
#pragma once

/* The relay server in the foreground: a node by a relay's config file, from its start to SIGINT or
 * SIGTERM.  Changes of the list of peers count at once (ctl/gate_watch.h).
 *
 * Spec: behaviour.md, sections 8 and 9; config.md, sections 5 (the archive) and 8. */

#include "ctl/say.h"

struct log;
struct mem;
struct problem;
struct relay_config;

struct run_relay_config {
    struct mem *mem;
    const struct relay_config *config;
    struct log *log;
    struct log *audit; /* is used where the config says so */
    say_fn *say;
    void *user;
};

/* Blocks.  0 after an orderly end; otherwise the problem is a whole sentence:
 *   -ERR_CONFIG_INVALID, the errors of node_open()  "Failed to start: ..."
 *   errors of authkeys_load()                       "Failed to load authorized keys: ..."       */
NODISCARD int run_relay(const struct run_relay_config *cfg, struct problem *ret_problem);

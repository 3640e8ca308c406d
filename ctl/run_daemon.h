/* SPDX-License-Identifier: MIT */
#pragma once

/* The daemon in the foreground: a node by a config file, from its start to SIGINT or SIGTERM.
 * Changes of authorized_keys count at once (ctl/gate_watch.h).
 *
 * Spec: behaviour.md, sections 2 and 8; config.md, section 5 (the archive).
 */

#include "core/base/base.h"

struct config;
struct log;
struct mem;
struct problem;

struct run_daemon_config {
    struct mem *mem;
    const struct config *config;
    struct log *log;
    struct log *audit; /* is used where the config says so */
    /* Progress for people: one line, or several with LF between them. */
    void (*say)(void *user, const char *text);
    void *user;
};

/* Blocks.  0 after an orderly end.
 *   -ERR_CONFIG_INVALID and the errors of node_open(), with the reason as the problem */
NODISCARD int run_daemon(const struct run_daemon_config *cfg, struct problem *ret_problem);

/* SPDX-License-Identifier: MIT */
#pragma once

/* `peerup proxy`: a local port that leads to a peer's service, without a daemon.
 * Spec: cli.md, section 5.3. */

#include "core/base/base.h"
#include "core/base/time.h"
#include "ctl/client_config.h"

struct multiaddr;
struct peer_id;
struct problem;

struct run_proxy_config {
    struct client_config client;
    const char *service;
    uint16_t port;
    /* Told in this order; `user` is handed to all. */
    void (*identified)(void *user, const struct peer_id *own);
    void (*connected)(void *user, const struct multiaddr *remote, nsec_t took);
    void (*listening)(void *user, uint16_t port);
    /* A local client got no stream, and why. */
    void (*refused)(void *user, int error);
    /* A local client's connection met a limit of its relay: "1MB each way". */
    void (*limit_met)(void *user, int error, const char *limit);
    void *user;
};

/* Which part failed, for the sentence that a person reads. */
enum run_proxy_stage { RUN_PROXY_START, RUN_PROXY_CONNECT, RUN_PROXY_LISTEN };

/* Blocks until a signal: 0.  Errors are those of client_open(), host_connect() and proxy_open();
 * *ret_stage tells where. */
NODISCARD int run_proxy(const struct run_proxy_config *cfg, enum run_proxy_stage *ret_stage,
                        struct problem *ret_problem);

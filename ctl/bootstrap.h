/* SPDX-License-Identifier: MIT */
#pragma once

/* The peers that a daemon dials when it starts: discovery.bootstrap_peers.  Each is tried once;
 * that one is not there is no error.  They learn nothing by being dialled: what they may use is
 * decided by authorized_keys like for anybody else. */

#include "core/base/base.h"

struct bootstrap;
struct config_addrs;
struct host;
struct log;
struct reactor;

/* Starts dialling; told() comes once, when all have answered or failed.  Without a peer to dial
 * *ret_bootstrap is NULL and nothing comes.  -ENOMEM */
NODISCARD int bootstrap_start(struct reactor *r, struct host *h, struct log *log,
                              const struct config_addrs *peers,
                              void (*told)(void *user, uint32_t connected), void *user,
                              struct bootstrap **ret_bootstrap);

/* Cancels what is under way.  Accepts NULL, returns NULL. */
struct bootstrap *bootstrap_free(struct bootstrap *b);

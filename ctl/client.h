/* SPDX-License-Identifier: MIT */
#pragma once

/* What the commands that run without a daemon share: a node that dials, and lets in nobody but the
 * peer that they are about, and the first connection to that. */

#include "core/base/time.h"
#include "core/p2p/multiaddr.h"
#include "ctl/client_config.h"
#include "ctl/stop_signals.h"
#include "transport/host.h"

struct node;
struct problem;

struct client {
    struct node *node;
    struct gate gate;
    struct peer_id target;
    struct stop_signals stop;
    struct connect_request connect;
    nsec_t connect_began;
    void (*connected)(struct client *c, const struct multiaddr *remote, nsec_t took);
    struct problem *problem;
    int error; /* that made the run end */
};

/* How long the first connection may take. */
#define CLIENT_CONNECT_TIMEOUT SEC(45)

/* A node for the config's identity.
 *   -ERR_DAEMON_RUNNING  a daemon has the identity (decision 5)
 *   -ERR_NO_ADDRESSES    the target is a peer ID without an address, and there is no relay
 *   and the errors of node_open() */
NODISCARD int client_open(struct client *c, const struct client_config *cfg,
                          struct problem *ret_problem);

/* Connects, calls connected(), and runs until a signal or client_end(). */
NODISCARD int client_run(struct client *c, const struct target *target,
                         void (*connected)(struct client *c, const struct multiaddr *remote,
                                           nsec_t took),
                         struct problem *ret_problem);

/* Ends the run; 0 is an orderly end.  The problem is the caller's to fill. */
void client_end(struct client *c, int error);

void client_close(struct client *c);

/* SPDX-License-Identifier: MIT */
#pragma once

/* A node of the product on a simulated host: ctl/node.h with services and proxies, by its own code,
 * in a process that can be stopped, killed and started again with the same identity.
 *
 * Memory that it takes is counted and bounded while it runs, and must be back when it has ended.
 */

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/p2p/identity.h"
#include "core/p2p/multiaddr.h"
#include "relay/hop_service.h"
#include "tests/sim/backend_sim.h"
#include "tests/sim/netwatch_sim.h"
#include "tests/sim/proc.h"
#include "tests/sim/resolver_sim.h"
#include "transport/proto/dial_rank.h"

enum {
    NODE_SERVICES_MAX = 3,
    NODE_PROXIES_MAX = 8,
    NODE_LISTEN_MAX = 6,
    NODE_PATH_MAX = 128,
    SERVICE_PORT_FIRST = 8000,
    PROXY_PORT_FIRST = 9000,
};

struct config_addrs;
struct node;
struct proxy;
struct sim_node;

struct counting_mem {
    struct mem mem;
    size_t bytes;
    size_t bytes_max;
    size_t blocks;
};

struct sim_proxy {
    struct proxy *proxy;
    struct sim_node *owner;
    const struct sim_node *to;
    uint32_t service;
    uint16_t port;
    bool closed;
};

struct sim_node {
    struct world *world;
    struct sim_host *host;
    uint32_t index;
    struct identity identity;
    char key_file[NODE_PATH_MAX];
    char gate_file[NODE_PATH_MAX]; /* "": everybody may connect */
    struct multiaddr listen[NODE_LISTEN_MAX];
    uint32_t listen_count;
    bool listens_everywhere; /* at those ports of all addresses that the host has */
    /* What others know of it: the same, or names; nothing where only relays lead to it. */
    struct multiaddr dialled[NODE_LISTEN_MAX];
    uint32_t dialled_count;
    enum dial_preference transport;
    const char *security;              /* NULL: all */
    const struct config_addrs *relays; /* on which it reserves; NULL: none */
    bool is_relay;
    struct hop_service_config relay_service;
    uint32_t services_count;
    const char *services_host; /* a name or an address of this host's loopback */
    struct sim_proxy proxies[NODE_PROXIES_MAX];
    uint32_t proxies_count;
    struct sim_backend_config io;

    struct sim_proc proc;
    uint32_t incarnation;
    bool is_running; /* its process exists */
    bool is_up;      /* and is serving */
    bool stop_wanted;
    struct sim_resolver resolver;
    struct sim_netwatch netwatch;
    const struct sim_zone *zone;
    struct node *node;
    struct counting_mem mem;
    struct log log;
};

/* Makes the identity and its files below `folder`.  The caller sets the rest before the start. */
void sim_node_init(struct sim_node *n, struct world *w, struct sim_host *h, const char *folder);
void sim_node_done(struct sim_node *n);

struct sim_proxy *sim_node_add_proxy(struct sim_node *n, const struct sim_node *to,
                                     uint32_t service);
void sim_node_start(struct sim_node *n);
/* In order, as by SIGTERM; is_running tells when it has ended. */
void sim_node_stop(struct sim_node *n);
/* At once.  `silently`: as when the power fails. */
void sim_node_kill(struct sim_node *n, bool silently);

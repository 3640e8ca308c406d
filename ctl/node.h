/* SPDX-License-Identifier: MIT */
#pragma once

/* A node: identity, gate, host, services and pings on one reactor, wired together and nothing else.
 * The daemon, the commands that run without one, and libpeerup each make theirs.
 *
 *   node_open() .. node_run(), or turns of node_reactor() .. node_close() .. node_free()
 *
 * Thread: the one that opens it, until node_free().
 */

#include "core/base/log.h"
#include "core/base/time.h"
#include "core/p2p/multiaddr.h"
#include "ctl/say.h"
#include "transport/proto/dial_rank.h"
#include "uring/features.h"

struct autonat_service;
struct config_addrs;
struct config_servers;
struct gate;
struct gate_table;
struct holepunch;
struct hop_service;
struct hop_service_config;
struct host;
struct identity;
struct mem;
struct netmon;
struct netwatch;
struct node;
struct node_metrics;
struct problem;
struct reachability;
struct reactor;
struct reactor_backend;
struct reservations;
struct resolver;
struct services;
struct splice_client;
struct stun_service;

struct node_config {
    struct mem *mem;
    struct log *log;                /* may be NULL */
    const char *key_file;           /* made when it is missing */
    const char *agent;              /* NULL: "peerup/<version>" */
    const struct multiaddr *listen; /* other kinds than QUIC are passed over with a warning */
    uint32_t listen_count;          /* 0: dials only */
    enum dial_preference transport;
    const char *security;              /* config.network.security; NULL: auto */
    const char *authorized_keys_file;  /* NULL: `gate` decides */
    struct gate *gate;                 /* NULL: everybody is authorized */
    const char *ping_protocol;         /* NULL: not served */
    const struct config_addrs *relays; /* NULL: none; each ends in /p2p/<relay> */
    nsec_t reservation_interval;       /* see relay/reservations.h; 0: as the relay demands */
    bool reserves;                     /* is reached through the relays: a daemon */
    bool splices;                      /* has relays of ours join sockets, beside circuits */
    bool punches;                      /* makes relayed connections direct ones; needs `listen` */
    bool maps_ports;                   /* has the gateway pass on what it listens on, likewise */
    /* Who is asked where we are seen; missing in the file: the relays.  NULL: nobody */
    const struct config_servers *stun_servers;
    bool is_private; /* is taken for unreachable: network.force_private_reachability */
    /* Is a relay; reactor, host and log are filled in.  NULL: it is none */
    const struct hop_service_config *relay_service;
    bool serves_stun;
    bool serves_autonat;    /* dials addresses back for authorized peers */
    bool serves_autonat_v1; /* too: who can be reached; needs the former */
    bool serve_perf;
    uint32_t conns_wanted; /* beyond the host's usual limits there is room for so many; 0: none */
    bool is_exclusive;     /* holds the identity's lock: a daemon */
    struct node_metrics *metrics; /* outlives the node; NULL: nobody counts */
    struct log *audit;            /* who was let in, who may come, whom services denied; or NULL */
    say_fn *say;                  /* what people should know while it runs; NULL: nobody reads it */
    void *say_user;
    /* The world, where it is not the machine's: the simulation's.  All NULL otherwise. */
    const struct reactor_backend *backend;
    void *backend_context;
    struct resolver *resolver; /* must outlive the node, as the next */
    struct netwatch *netwatch;
};

/* What each needs is named in the problem: a bad key, a list that cannot be read (gating without a
 * list does not start), an address that is taken, io_uring refused where it was asked for, a
 * running daemon (-ERR_DAEMON_RUNNING). */
NODISCARD int node_open(const struct node_config *cfg, struct node **ret_node,
                        struct problem *ret_problem);

/* Runs until node_stop(); returns 0, or what broke the reactor. */
NODISCARD int node_run(struct node *n);
/* Makes node_run() return after this turn. */
void node_stop(struct node *n);

/* Ends services, connections and sockets, turning the reactor until all are gone (at most
 * NODE_CLOSE_TIMEOUT for peers that do not answer). */
void node_close(struct node *n);
#define NODE_CLOSE_TIMEOUT SEC(5)

/* Closes first if that was not done.  Accepts NULL, returns NULL. */
struct node *node_free(struct node *n);
DEFINE_SCOPED_FREE(struct node *, node_free);

/* Reads authorized_keys again; connections that lost their right are closed at once.  0 where
 * gating is off; errors of gate_table_reload() leave the old list in force. */
NODISCARD int node_reload_gate(struct node *n, struct problem *ret_problem);

struct reactor *node_reactor(const struct node *n);
struct host *node_host(const struct node *n);
struct services *node_services(const struct node *n);
/* NULL where it is no relay. */
struct hop_service *node_relay_service(const struct node *n);
/* NULL without relays. */
struct reservations *node_reservations(const struct node *n);
const struct netmon *node_netmon(const struct node *n);
/* NULL where it does not listen. */
const struct reachability *node_reachability(const struct node *n);
/* NULL where it does not serve it. */
const struct autonat_service *node_autonat_service(const struct node *n);
/* NULL where it does not answer STUN. */
const struct stun_service *node_stun_service(const struct node *n);
/* NULL where it does not have relays join sockets. */
struct splice_client *node_splice_client(const struct node *n);
/* NULL where it does not punch. */
struct holepunch *node_holepunch(const struct node *n);
const struct identity *node_identity(const struct node *n);
/* NULL where gating is off. */
const struct gate_table *node_gate(const struct node *n);

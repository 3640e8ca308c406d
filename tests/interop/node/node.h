/* SPDX-License-Identifier: MIT */
#pragma once

/* Our test peer of the interop matrix: the product's host, driven by JSON lines (../README.md).
 *
 *   main.c      flags, the loop over standard input and the reactor
 *   commands.c  a line -> a dial, or a batch of exchanges
 *   batch.c     the exchanges of one command, and its reply
 *   flow.c      one stream: the protocols, both parts of each
 *   report.c    events about connections
 *   circuit.c   reservations on relays, and events about them
 *   relay.c     a relay, and events about what it does
 *   punch.c     hole punching, and events about it
 *   probe.c     AutoNAT, and events about it
 *
 * Thread: one. */

#include <jansson.h>

#include "core/base/list.h"
#include "core/p2p/identity.h"
#include "transport/host.h"
#include "uring/reactor.h"

#define SUM_PROTOCOL     "/peerup-test/sum/1.0.0"
#define REVERSE_PROTOCOL "/peerup-test/reverse/1.0.0"
#define RESET_PROTOCOL   "/peerup-test/reset/1.0.0"
#define PERF_PROTOCOL    "/perf/1.0.0"
#define PING_PROTOCOL    "/ipfs/ping/1.0.0"

enum { SERVED_PROTOCOLS = 3 };

/* What we served: the command "stats". */
struct counters {
    json_int_t sums;
    json_int_t reverses;
    json_int_t resets;
};

struct node {
    struct reactor *reactor;
    struct host *host;
    struct counters counters;
    struct protocol_handler handlers[SERVED_PROTOCOLS];
    struct list batches;
    struct list flows;                 /* that we serve */
    struct list conns;                 /* that were reported */
    struct circuit_transport *circuit; /* NULL: without -circuit; the host's */
    struct list reservings;
    struct hop_service *relay; /* NULL: without -relay */
    bool relay_closed;
    struct external_addrs *external; /* NULL: without -dcutr */
    struct holepunch *holepunch;
    /* AutoNAT, as far as -autonat wants it; NULL otherwise. */
    struct dial_backs *dial_backs;
    struct list askings;
    struct autonat_v1_prober *v1_prober;
    struct multiaddr v1_addr; /* of the command under way */
    json_t *v1_reply;         /* NULL: none is */
    struct stranger *stranger;
    struct autonat_service *autonat;
    struct autonat_v1_service *v1_server;
    bool stranger_closed;
    bool knows_itself; /* an address of its own; told */
    struct host_watch watch;
    bool ending;
    bool closed;
};

/* Steals the reference; one line on standard output. */
void node_write(json_t *line);
/* Allocates zeros, or ends the process: this is a test. */
void *node_alloc(size_t size);

/* commands.c: one line of standard input. */
void node_execute(struct node *n, const char *line);

/* report.c */
/* From now on a peer that is gone is reached where the next "dial" says, and nowhere else. */
void node_watch_conns(struct node *n);
/* Tells what is new since the last call. */
void node_report_conns(struct node *n);
void node_forget_conns(struct node *n);

/* circuit.c */
void node_use_circuits(struct node *n, unsigned securities);
/* Reserves on a relay and keeps that up; answers `reply`, whose reference it takes, when the relay
 * has granted it, or with what went wrong, after which nothing is kept. */
void node_reserve(struct node *n, const struct multiaddr *relay, nsec_t deadline, json_t *reply);
/* Tells what is new since the last call. */
void node_report_reservations(struct node *n);
void node_stop_reserving(struct node *n);
bool node_reserves_on(struct node *n, const struct peer_id *relay);
/* punch.c */
void node_punch_holes(struct node *n);
void node_stop_punching(struct node *n);

/* probe.c */
/* "client", "server", "v1-client", "v1-server" or "off".  -EINVAL, -ENOMEM */
int node_use_autonat(struct node *n, const char *part);
void node_stop_autonat(struct node *n);
/* Has a connected server try the address; takes the reference of `reply`. */
void node_probe(struct node *n, const struct peer_id *server, const struct multiaddr *addr,
                json_t *reply);

/* relay.c */
int node_serve_relay(struct node *n, const char *limits);
void node_close_relay(struct node *n);

/* A relay's limit; null where it sent none. */
json_t *node_limit_json(bool is_there, uint32_t duration_s, uint64_t data_bytes);

/* SPDX-License-Identifier: MIT */
#pragma once

/* What the parts of a scenario share. */

#include "core/conf/schema.h"
#include "tests/sim/nat.h"
#include "tests/sim/scenario.h"
#include "tests/sim/transfer.h"

enum fault_kind {
    FAULT_CUT,         /* a link, both ways */
    FAULT_CUT_ONE_WAY, /* one direction */
    FAULT_CUT_UDP,     /* UDP alone */
    FAULT_LOSS,        /* much is lost for a while */
    FAULT_DELAY,       /* and much is late */
    FAULT_KILL,        /* a process dies, and is started again */
    FAULT_CRASH,       /* a host's power fails */
    FAULT_RESTART,     /* a process is stopped in order */
    FAULT_STALL,       /* a process does not run for a while */
    FAULT_SERVICE,     /* the program behind a service is gone */
    FAULT_NAMES,       /* a host's name server answers every other question only */
    FAULT_BOX,         /* a box loses its power, and with it what it knows */
    FAULT_COUNT,
};

enum {
    FAULTS_MAX = 64,
    RELAYS_MAX = 2,
    ZONE_TEXT_MAX = MULTIADDR_TEXT_MAX + PEER_ID_TEXT_MAX + 16
};

/* What the nodes listen with. */
enum transports {
    TRANSPORTS_QUIC,
    TRANSPORTS_TCP,
    TRANSPORTS_BOTH,
    TRANSPORTS_MIXED,
    TRANSPORTS_COUNT,
};

struct scenario;

struct fault {
    struct sim_event undo;
    struct scenario *scenario;
    enum fault_kind kind;
    struct sim_node *node;
    struct sim_link *link;
    struct sim_link *back; /* NULL: one way */
    struct service_port *port;
    struct sim_host *box;
    bool active;
};

struct scenario {
    struct world world;
    struct net net;
    struct transfers transfers;
    struct sim_node nodes[HOSTS_MAX];
    uint32_t nodes_count;
    struct sim_rand plan;   /* topology and load */
    struct sim_rand fate;   /* faults */
    struct sim_rand walls;  /* boxes */
    struct sim_rand moves;  /* who gets other addresses, and when */
    struct sim_rand naps;   /* whose machine sleeps, and how long */
    struct sim_rand splits; /* what passes one way only, and when a relay is full */
    struct sim_node *mover; /* NULL: nobody */
    bool has_boxes;
    uint32_t relays_count; /* the first of the nodes; 0 without boxes */
    struct config_addr relay_addrs[RELAYS_MAX * NODE_LISTEN_MAX];
    struct config_addrs relays; /* the same, as others have them in their config */
    const char *folder;
    uint64_t rate_min; /* of all links; 0: no limit */
    nsec_t rtt_max;
    enum transports transports;
    bool has_names;
    struct sim_zone zone; /* the nodes' addresses as texts */
    char zone_texts[HOSTS_MAX][NODE_LISTEN_MAX][ZONE_TEXT_MAX];

    bool fault_is_on[FAULT_COUNT];
    bool resets_are_on;
    bool slow_readers_are_on;
    bool udp_is_cut;
    bool hurry; /* strict transfers are small, and have seconds */
    struct fault faults[FAULTS_MAX];
    struct sim_event next_fault;
    struct sim_event disturb;
    nsec_t storm_ends;
};

/* By which what one node sends reaches another: between the two, or between boxes before them. */
static inline struct sim_link *link_of(struct scenario *s, uint32_t from, uint32_t to) {
    return net_link_between(&s->net, s->nodes[from].host, s->nodes[to].host);
}
/* Hosts, boxes, links, nodes, proxies. */
void topology_make(struct scenario *s);
/* Some of the nodes become relays of the others. */
void relays_make(struct scenario *s);
/* Every node has a reservation on each relay, or the run fails. */
void relays_check_reserved(struct scenario *s, const char *when);
/* After a relay listens again. */
nsec_t relays_reserved_within(const struct scenario *s);
/* 0 where it is no relay. */
uint32_t relays_circuits_of(const struct sim_node *n);
/* Of AutoNAT that have ended, asked by it or answered. */
uint64_t relays_questions_of(const struct sim_node *n);
/* A phase: one of them is away for a while, and perhaps full when it is back. */
void relays_come_back(struct scenario *s);
/* Nothing is half-open, and circuits are the connections that nodes know of. */
void relays_check_idle(struct scenario *s);
/* Whom strangers can dial knows it, and no other; a NAT is what it is. */
void relays_check_reach(struct scenario *s);
/* All others have stopped: nothing is left of them. */
void relays_check_empty(struct scenario *s);
/* Whether an address leads over this relay. */
bool relays_is_through(const struct multiaddr *a, const struct sim_node *relay);
/* A transfer over the proxy that begins between the two; `strict`: it must succeed. */
void load_add(struct scenario *s, const struct sim_proxy *p, nsec_t from, nsec_t until,
              bool strict);
/* The power of a node's host fails; and is back, without its node. */
void host_down(struct scenario *s, struct sim_node *n);
void host_up(struct scenario *s, struct sim_node *n);
/* Its machine sleeps: nothing of it runs, nothing reaches it, and its clock stands. */
void host_sleep(struct scenario *s, struct sim_node *n, nsec_t time);
/* Its host has other addresses from now on, of which all others know. */
void node_readdress(struct scenario *s, struct sim_node *n);
/* Begins the storm. */
void faults_start(struct scenario *s);
/* Ends it: everything works again, at once; processes are up soon. */
void faults_heal(struct scenario *s);

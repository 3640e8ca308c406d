/* SPDX-License-Identifier: MIT */
#pragma once

/* Local programs on both hosts: a client that connects to a proxy's port, and the server behind the
 * service, which exchange bytes whose every position is known.
 *
 * Whatever breaks, what arrives is a beginning of what was sent, and a clean end means that all of
 * it arrived: each violation of that is a failure of the run.  A reset is none, unless the transfer
 * had to succeed.
 */

#include "tests/sim/sim_node.h"
#include "tests/sim/tcp_model.h"

struct transfers;

enum transfer_order {
    ORDER_FREE,         /* each side ends when it has sent all */
    ORDER_ANSWER,       /* the server sends after the client's end */
    ORDER_SERVER_FIRST, /* the client ends after the server's end */
    ORDER_CLIENT_FIRST, /* the server ends after the client's end, but sends before */
    ORDER_COUNT,
};

struct transfer_plan {
    const struct sim_proxy *proxy;
    uint64_t bytes[2];    /* of client, of server */
    uint64_t rate[2];     /* bytes a second at which each reads; 0: no limit */
    uint64_t reset_at[2]; /* it resets after so many bytes sent and received; UINT64_MAX: never */
    enum transfer_order order;
    nsec_t begins;
    nsec_t must_end; /* NSEC_NEVER: it may fail */
};

struct transfer;

/* One end of it. */
struct transfer_side {
    struct transfer *transfer;
    struct transfers *all;
    struct sim_host *host;
    struct sim_tcp *sock; /* NULL: not yet, or no more */
    struct sim_event step;
    struct list node;
    uint64_t sent;
    uint64_t received;
    uint64_t id; /* a server's: what the first bytes say */
    nsec_t reads_at;
    uint32_t number; /* 0: the client's, 1: the server's */
    bool is_open;
    bool fin_sent;
    bool got_end;
    bool over;
};

struct transfer {
    struct transfer_plan plan;
    uint64_t id;
    struct transfer_side client;
    struct transfer_side *server; /* NULL until it is known */
    struct sim_event deadline;
    bool server_ended_well;
    bool broken;
    bool done;
    nsec_t ended;
};

struct service_port {
    struct transfers *all;
    struct sim_host *host;
    struct sim_listener *listener; /* NULL: nobody listens */
    struct sim_event step;
    uint16_t port;
};

enum { TRANSFERS_MAX = 512, SERVICE_PORTS_MAX = HOSTS_MAX * NODE_SERVICES_MAX };

struct transfers {
    struct world *world;
    struct transfer *items[TRANSFERS_MAX];
    uint32_t count;
    struct list servers; /* transfer_side.node */
    struct service_port ports[SERVICE_PORTS_MAX];
    uint32_t ports_count;
    uint64_t bytes; /* that arrived and were compared */
    uint32_t done;
    uint32_t broken;
};

void transfers_init(struct transfers *t, struct world *w);
void transfers_done(struct transfers *t);

/* Servers of a service: none listens until service_port_open(). */
struct service_port *transfers_add_port(struct transfers *t, struct sim_host *h, uint16_t port);
void service_port_open(struct service_port *p);
void service_port_close(struct service_port *p);

/* NULL: TRANSFERS_MAX. */
struct transfer *transfers_add(struct transfers *t, const struct transfer_plan *plan);
/* Whether none runs or is to begin. */
bool transfers_are_over(const struct transfers *t);
/* The power failed: the programs of this host are gone. */
void transfers_drop_host(struct transfers *t, struct sim_host *h);

/* SPDX-License-Identifier: MIT */
#pragma once

/* A node's eye on the machine's network: when it changes, and when the machine has slept, all that
 * depends on it is renewed.
 *
 *   netmon_open()    the watch, for the host that is made next
 *   netmon_start()   tells all of these of changes from now on, the log, and people
 *
 * Spec: behaviour.md, section 10.2; private addresses, default routes and sleep count, too. */

#include "ctl/say.h"
#include "uring/netwatch.h"

struct holepunch;
struct host;
struct log;
struct node_metrics;
struct portmap;
struct reachability;
struct reactor;
struct reservations;

struct netmon {
    struct netwatch *watch;
    struct net_addr addrs[NETWATCH_ADDRS_MAX]; /* the public ones, as they were told last */
    uint32_t addrs_count;
    struct node_metrics *metrics;
    struct netwatch *own_watch; /* NULL: the caller's is used */
    struct host *host;
    struct reservations *reservations;
    struct reachability *reachability;
    struct holepunch *holepunch;
    struct portmap *portmap;
    struct log *log;
    say_fn *say;
    void *user;
};

/* `watch` outlives it; NULL: the system's own is made.  -ENOMEM */
NODISCARD int netmon_open(struct netmon *m, struct reactor *r, struct netwatch *watch);

struct netmon_config {
    struct host *host;                 /* made with netmon.watch */
    struct reservations *reservations; /* may be NULL */
    struct reachability *reachability; /* may be NULL */
    struct holepunch *holepunch;       /* may be NULL */
    struct portmap *portmap;           /* may be NULL */
    struct node_metrics *metrics;      /* may be NULL */
    struct log *log;                   /* may be NULL */
    say_fn *say;                       /* may be NULL */
    void *user;
};
void netmon_start(struct netmon *m, const struct netmon_config *cfg);
/* Before any of these goes.  Harmless when it was not started. */
void netmon_stop(struct netmon *m);

/* After the host has gone; what the system's watch has open closes in the reactor's next turns.
 * Harmless when it is not open. */
void netmon_close(struct netmon *m);

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
struct reachability;
struct reactor;
struct reservations;

/* Changes of the set of addresses, by family. */
struct netmon_changes {
    uint64_t ip4;
    uint64_t ip6;
};

struct netmon {
    struct netwatch *watch;
    struct netwatch *own_watch; /* NULL: the caller's is used */
    struct host *host;
    struct reservations *reservations;
    struct reachability *reachability;
    struct holepunch *holepunch;
    struct log *log;
    say_fn *say;
    void *user;
    struct netwatch_snapshot before; /* the last change */
    struct netmon_changes changes;
};

/* `watch` outlives it; NULL: the system's own is made.  -ENOMEM */
NODISCARD int netmon_open(struct netmon *m, struct reactor *r, struct netwatch *watch);

struct netmon_config {
    struct host *host;                 /* made with netmon.watch */
    struct reservations *reservations; /* may be NULL */
    struct reachability *reachability; /* may be NULL */
    struct holepunch *holepunch;       /* may be NULL */
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

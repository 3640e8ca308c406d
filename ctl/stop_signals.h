/* SPDX-License-Identifier: MIT */
#pragma once

/* SIGINT and SIGTERM end a node's run.  The first one does it in order; after it both have their
 * usual meaning again, so that a second one ends a process that does not get to its end. */

#include "uring/reactor.h"

struct node;

struct stop_signals {
    struct signal_watch interrupt;
    struct signal_watch terminate;
    struct node *node;
    int received; /* the signal, 0 before */
    bool is_open;
};

/* Errors of signal_watch_open(). */
NODISCARD int stop_signals_open(struct stop_signals *s, struct node *n);
/* Harmless when it is not open. */
void stop_signals_close(struct stop_signals *s);
/* "interrupt", "terminated". */
const char *stop_signals_name(const struct stop_signals *s);

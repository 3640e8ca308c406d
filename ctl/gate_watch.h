/* SPDX-License-Identifier: MIT */
#pragma once

/* Keeps a node's gate in step with its authorized_keys: reads the file again when it changes, and
 * on SIGHUP.  A list that cannot be read is logged, and the old one stays in force.
 *
 * So commands that edit the file need not know whether anything runs: `auth add` and `relay
 * authorize` reach it through the file, as does an editor. */

#include "uring/file_watch.h"
#include "uring/reactor.h"

struct log;
struct node;

struct gate_watch {
    struct node *node;
    struct log *log;
    struct signal_watch hangup;
    struct file_watch file;
    bool has_hangup;
    bool has_file;
};

/* Where the file cannot be watched, and where gating is off, SIGHUP alone is heard; the former is
 * logged.  Errors of signal_watch_open(). */
NODISCARD int gate_watch_open(struct gate_watch *g, struct node *n, struct log *log);

/* `g` lives until the node is freed.  Harmless when it is not open. */
void gate_watch_close(struct gate_watch *g);

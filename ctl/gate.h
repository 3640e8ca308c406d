/* SPDX-License-Identifier: MIT */
#pragma once

/* Who is authorized: the gate of the host, from an authorized_keys file.  A live table: reloading
 * replaces it as a whole, and an entry that expires stops counting at that second.
 *
 * Spec:   config.md, section 6; decision 1.
 * Thread: the reactor's.  Reading the file blocks.
 */

#include "core/base/time.h"
#include "transport/host.h"

struct log;
struct mem;
struct problem;

struct gate_table;

/* Who hears of it: for the audit log and metrics.  Either may be NULL. */
struct gate_watcher {
    /* An inbound connection was let in or not, or a stream of a peer that lost its right denied. */
    void (*decided)(void *user, const struct peer_id *peer, bool inbound, bool allowed);
    /* A reload added a peer to the list or removed it. */
    void (*changed)(void *user, const struct peer_id *peer, bool is_added);
    void *user;
};

/* Errors of authkeys_load(). */
NODISCARD int gate_table_new(struct mem *mem, const char *path, struct log *log,
                             struct gate_table **ret_table, struct problem *ret_problem);
/* Accepts NULL, returns NULL. */
struct gate_table *gate_table_free(struct gate_table *t);

void gate_table_set_watcher(struct gate_table *t, const struct gate_watcher *w);

/* Reads the file again; on failure the old table stays.  The caller tells the host. */
NODISCARD int gate_table_reload(struct gate_table *t, struct problem *ret_problem);

/* Whether the file has changed since it was read. */
bool gate_table_is_stale(const struct gate_table *t);

/* What the host asks. */
struct gate *gate_table_gate(struct gate_table *t);

uint32_t gate_table_count(const struct gate_table *t);
const char *gate_table_path(const struct gate_table *t);
/* When the next entry stops counting; AUTHKEY_NO_EXPIRY for never. */
walltime_t gate_table_next_expiry(const struct gate_table *t, walltime_t now);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Copies of a relay's files, so that `relay setup` can put back what it replaces:
 *
 *   <dir>/backups/2026-11-30_184813/     mode 0700, those of the files that exist, mode 0600
 *
 * Spec: config.md, section 8.  Everything here blocks. */

#include "core/base/base.h"
#include "core/base/time.h"

struct mem;
struct problem;

enum relay_file { RELAY_FILE_CONFIG, RELAY_FILE_KEY, RELAY_FILE_PEERS, RELAY_FILES_COUNT };

/* "relay-server.yaml", "relay_node.key", "relay_authorized_keys". */
extern const char *const RELAY_FILE_NAMES[RELAY_FILES_COUNT];

enum { SNAPSHOT_NAME_MAX = 24 };

struct snapshot {
    char name[SNAPSHOT_NAME_MAX]; /* the time in UTC, and _01 to _99 where that was taken */
};

/* Copies those of the files that exist.  On failure no snapshot is left behind.
 *   -EEXIST  a hundred of this second are there
 *   -errno, -ERR_LIMIT (a file of more than 4 MiB), -ENOMEM                                   */
NODISCARD int snapshot_take(struct mem *mem, const char *dir, walltime_t now,
                            struct snapshot *ret_snapshot, struct problem *ret_problem);

/* The newest `max`, newest first.  Returns how many there are, even beyond `max`; 0 without a
 * folder of snapshots; -errno. */
NODISCARD ssize_t snapshot_list(const char *dir, struct snapshot *out, size_t max);

/* Copies all files of a snapshot back, with mode 0600.  Files that it lacks stay as they are.
 * Errors as above; some files may have been copied by then. */
NODISCARD int snapshot_restore(struct mem *mem, const char *dir, const struct snapshot *s,
                               struct problem *ret_problem);

/* SPDX-License-Identifier: MIT */
#pragma once

/* One identity, one host (decision 5): a daemon holds a lock on its key file, and what else would
 * run a host with that identity asks for it.  flock(2) on the file itself, so it follows the
 * identity wherever the config lies, needs no further file, and ends with the process.
 */

#include "core/base/base.h"

struct problem;

/* Takes the lock for as long as *ret_lock is open.
 *   -ERR_DAEMON_RUNNING  another process has it
 *   -errno               the file cannot be opened */
NODISCARD int lock_take(const char *key_file, int *ret_lock, struct problem *ret_problem);

/* Whether a daemon has it; a key file that is not there is nobody's. */
bool lock_is_taken(const char *key_file);

/* Sets *lock to -1.  Accepts -1. */
void lock_release(int *lock);

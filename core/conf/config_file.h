/* SPDX-License-Identifier: MIT */
#pragma once

/* The files beside a config: read by the rules of decision 4, replaced as a whole, locked while
 * they are changed.  Everything here blocks. */

#include "core/base/bytes.h"

struct mem;
struct problem;

enum { CONFIG_BYTES_MAX = 1 << 20 }; /* a file with 2,000 services is a quarter of it */

/* Reads a config file.  The text is NUL-terminated beyond *ret_len and the caller's (mem_free).
 *   -ERR_FILE_MODE  group or others may write it: the problem tells the chmod to run
 *   -ERR_LIMIT      more than CONFIG_BYTES_MAX
 *   -errno, -ENOMEM                                                                           */
NODISCARD int config_file_read(struct mem *mem, const char *path, char **ret_text, size_t *ret_len,
                               struct problem *ret_problem);

/* The same for other lists of trusted things; `what` names the file in messages, "config file". */
NODISCARD int trusted_file_read(struct mem *mem, const char *path, const char *what,
                                size_t bytes_max, char **ret_text, size_t *ret_len,
                                struct problem *ret_problem);

/* Replaces a file as a whole and keeps its mode, 0600 for a new one; a symbolic link stays and
 * its target is replaced.  On failure the old file is as it was.  -errno */
NODISCARD int file_replace(const char *path, struct bytes content, struct problem *ret_problem);

/* Takes the lock under which the files of a directory are read, changed and replaced by several
 * processes, whatever links lead to it.  Waits for a second; SCOPED(file_unlock) gives it back.
 *   -EWOULDBLOCK  another process keeps it
 *   -errno        it cannot be opened or locked */
NODISCARD int file_lock(const char *path, int *ret_lock, struct problem *ret_problem);
void file_unlock(int *lock);

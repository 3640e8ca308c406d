/* SPDX-License-Identifier: MIT */
#pragma once

/* Small files, whole: keys, config, lists.  These block; the reactor's threads use them at start
 * or through offload.
 */

#include <sys/stat.h>

#include "core/base/bytes.h"

struct problem;

/* Reads a regular file into `out`.  Returns its length.
 *   -errno          as open(2) and read(2); -EISDIR and -EINVAL for what is no regular file
 *   -ERR_LIMIT      longer than `size`
 *   -ERR_FILE_MODE  a bit of `modes_refused` is set (0077: anything for group or others)
 * `what` names the file's purpose in the problem's text: "config file". */
NODISCARD ssize_t file_read(const char *path, const char *what, mode_t modes_refused, void *out,
                            size_t size, struct problem *problem);

enum file_write_flags {
    FILE_REPLACE = 0,  /* an existing file is replaced as a whole */
    FILE_NEW_ONLY = 1, /* -EEXIST when there is one */
};

/* Writes a file so that at any time either the old or the new one is there, whole: temporary name
 * ".<name>.<random>.tmp" in the same directory, mode as given, owner and group of the old file
 * where the system lets us, fsync, rename, fsync of the directory.  On failure the old file stays
 * and the temporary one is removed.  -errno */
NODISCARD int file_write(const char *path, struct bytes content, mode_t mode,
                         enum file_write_flags flags, struct problem *problem);

/* Makes a directory and those above it that are missing, as mkdir -p; the umask cuts the mode.  One
 * that is there is left as it is.  -errno */
NODISCARD int directory_make(const char *path, mode_t mode, struct problem *problem);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Changes of one file, known by its path: written and closed, replaced by a rename, made, removed.
 *
 * A file that is replaced is another file each time, so its directory is watched (inotify); where
 * the path is a symbolic link, its target's directory too.  Several changes within
 * FILE_WATCH_DELAY are told as one.  A directory that is itself moved away is not followed, nor is
 * what another machine does on a network file system.
 * Thread: the reactor's. */

#include <limits.h>

#include "uring/reactor.h"

#define FILE_WATCH_DELAY MSEC(50)

/* Where the name stands: the path itself, and what a symbolic link leads to. */
struct file_watch_place {
    int directory;           /* inotify's number for it; -1 for none */
    char name[NAME_MAX + 1]; /* in it */
};

struct file_watch {
    struct fd_watch events;
    struct timer delay;
    void (*changed)(struct file_watch *w);
    char path[PATH_MAX];
    struct file_watch_place places[2];
};

/* The caller has set changed().  The file need not be there, its directory must.
 *   -ENOENT, -EACCES, ...  the directory cannot be watched
 *   -EMFILE, -ENOSPC       the system's limits of inotify
 *   -ENAMETOOLONG, -ENOMEM                                                                      */
NODISCARD int file_watch_open(struct file_watch *w, struct reactor *r, const char *path);

/* changed() comes no more; `w` lives until the reactor has no handles.  May be called from
 * changed(). */
void file_watch_close(struct file_watch *w);

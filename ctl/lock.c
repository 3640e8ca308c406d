/* SPDX-License-Identifier: MIT */
#include "ctl/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/problem.h"

int lock_take(const char *key_file, int *ret_lock, struct problem *ret_problem) {
    int fd = open(key_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return problem_set(ret_problem, -errno, "cannot open %s: %s", key_file, err_text(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int e = errno == EWOULDBLOCK ? -ERR_DAEMON_RUNNING : -errno;
        (void)close(fd);
        return problem_set(ret_problem, e, "%s: %s", key_file, err_text(e));
    }
    *ret_lock = fd;
    return 0;
}

bool lock_is_taken(const char *key_file) {
    int fd = open(key_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    bool taken = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    (void)close(fd); /* gives a shared lock back */
    return taken;
}

void lock_release(int *lock) {
    if (*lock >= 0)
        (void)close(*lock);
    *lock = -1;
}

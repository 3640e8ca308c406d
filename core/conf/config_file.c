/* SPDX-License-Identifier: MIT */
#include "core/conf/config_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/problem.h"

enum { WRITABLE_BY_OTHERS = 0022, READ_TRIES = 16 };
enum { LOCK_TRIES = 200, LOCK_PAUSE_NS = 5000000 }; /* a second */

/* As trusted_file_read(), and -EAGAIN when another, larger file took its place meanwhile. */
static int read_once(struct mem *mem, const char *path, const char *what, size_t bytes_max,
                     char **ret_text, size_t *ret_len, struct problem *ret_problem) {
    struct stat st;
    if (stat(path, &st) < 0) {
        int e = -errno;
        return problem_set(ret_problem, e, "failed to open %s: %s: %s", what, path, err_text(e));
    }
    if ((st.st_mode & WRITABLE_BY_OTHERS) != 0)
        return problem_set(ret_problem, -ERR_FILE_MODE,
                           "%s %s has overly permissive mode <%04o>; expected 0600 - fix with: "
                           "chmod 600 %s",
                           what, path, (unsigned)st.st_mode & 07777, path);
    if (st.st_size < 0 || (uintmax_t)st.st_size > bytes_max)
        return problem_set(ret_problem, -ERR_LIMIT, "%s %s is larger than %zu bytes", what, path,
                           bytes_max);

    size_t size = (size_t)st.st_size + 1;
    char *text = mem_alloc(mem, size);
    if (text == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s: %s", path, err_text(-ENOMEM));
    /* The mode is asked again, of the very file that is read. */
    ssize_t n =
        size == 1 ? 0 : file_read(path, what, WRITABLE_BY_OTHERS, text, size - 1, ret_problem);
    if (n < 0) {
        (void)mem_free(mem, text);
        return n == -ERR_LIMIT ? -EAGAIN : (int)n;
    }
    text[n] = '\0';
    *ret_text = text;
    *ret_len = (size_t)n;
    return 0;
}

int trusted_file_read(struct mem *mem, const char *path, const char *what, size_t bytes_max,
                      char **ret_text, size_t *ret_len, struct problem *ret_problem) {
    int e = -EAGAIN;
    for (int i = 0; e == -EAGAIN && i < READ_TRIES; i++)
        e = read_once(mem, path, what, bytes_max, ret_text, ret_len, ret_problem);
    return e;
}

int config_file_read(struct mem *mem, const char *path, char **ret_text, size_t *ret_len,
                     struct problem *ret_problem) {
    return trusted_file_read(mem, path, "config file", CONFIG_BYTES_MAX, ret_text, ret_len,
                             ret_problem);
}

int file_replace(const char *path, struct bytes content, struct problem *ret_problem) {
    char target[PATH_MAX];
    struct stat old;
    struct problem why = PROBLEM_INIT;

    if (realpath(path, target) == NULL) {
        int e = -errno;
        if (e == -ENOENT)
            return file_write(path, content, 0600, FILE_REPLACE, ret_problem);
        return problem_set(ret_problem, e, "cannot write %s: %s", path, err_text(e));
    }
    if (stat(target, &old) < 0) {
        int e = -errno;
        return problem_set(ret_problem, e, "cannot write %s: %s", path, err_text(e));
    }
    int e = file_write(target, content, old.st_mode & 07777, FILE_REPLACE, &why);
    if (e < 0)
        return problem_set(ret_problem, e, "%s (the old file was left as it was)", why.text);
    return 0;
}

/* Whoever may read a directory may lock it, and keep it so. */
static int lock_soon(int fd) {
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        (void)nanosleep(&pause, NULL);
    }
    return -EWOULDBLOCK;
}

int file_lock(const char *path, int *ret_lock, struct problem *ret_problem) {
    char target[PATH_MAX], dir[PATH_MAX];
    int e = 0;

    /* A file that is replaced by rename cannot be locked itself: its directory is, the one in which
     * a symbolic link's target stands. */
    if (realpath(path, target) != NULL)
        path = target;
    const char *slash = strrchr(path, '/');
    int n = slash == NULL ? snprintf(dir, sizeof(dir), ".")
                          : snprintf(dir, sizeof(dir), "%.*s/", (int)(slash - path), path);
    if (n < 0 || (size_t)n >= sizeof(dir))
        return problem_set(ret_problem, -ENAMETOOLONG, "%s: %s", path, err_text(-ENAMETOOLONG));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        e = -errno;
    if (e == 0)
        e = lock_soon(fd);
    if (e == -EWOULDBLOCK) {
        file_unlock(&fd);
        return problem_set(ret_problem, e, "cannot lock %s: another program keeps it locked", dir);
    }
    if (e < 0) {
        file_unlock(&fd);
        return problem_set(ret_problem, e, "cannot lock %s: %s", dir, err_text(e));
    }
    *ret_lock = fd;
    return 0;
}

void file_unlock(int *lock) {
    if (*lock >= 0)
        (void)close(*lock); /* only a lock hangs on it */
    *lock = -EBADF;
}

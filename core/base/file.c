/* SPDX-License-Identifier: MIT */
#include "core/base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/problem.h"

static void fd_closep(const int *fd) {
    if (*fd >= 0)
        (void)close(*fd); /* nothing unwritten hangs on it: see the fsync before */
}

/* Fills `out`; the length, -errno, or -ERR_LIMIT when there is more. */
static ssize_t read_all(int fd, uint8_t *out, size_t size) {
    size_t len = 0;
    for (;;) {
        uint8_t beyond;
        bool full = len == size;
        ssize_t n = read(fd, full ? &beyond : out + len, full ? 1 : size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return (ssize_t)len;
        if (full)
            return -ERR_LIMIT;
        len += (size_t)n;
    }
}

static int write_all(int fd, struct bytes content) {
    while (content.len > 0) {
        ssize_t n = write(fd, content.data, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        content = bytes_skip(content, (size_t)n);
    }
    return 0;
}

ssize_t file_read(const char *path, const char *what, mode_t modes_refused, void *out, size_t size,
                  struct problem *problem) {
    /* Not blocking: opening a FIFO that somebody left there must not hang. */
    SCOPED(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return problem_set(problem, -errno, "cannot read %s %s: %s", what, path, err_text(errno));
    struct stat st;
    if (fstat(fd, &st) < 0)
        return problem_set(problem, -errno, "cannot read %s %s: %s", what, path, err_text(errno));
    if (!S_ISREG(st.st_mode)) {
        int e = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        return problem_set(problem, e, "cannot read %s %s: not a regular file", what, path);
    }
    if ((st.st_mode & modes_refused) != 0)
        return problem_set(problem, -ERR_FILE_MODE,
                           "%s %s has overly permissive mode %04o; expected 0600 - fix with: "
                           "chmod 600 %s",
                           what, path, st.st_mode & 07777, path);
    ssize_t len = read_all(fd, out, size);
    if (len < 0)
        return problem_set(problem, (int)len, "cannot read %s %s: %s", what, path,
                           err_text((int)len));
    return len;
}

/* Splits off the directory; "." when the path names none. */
static int directory_of(const char *path, char *out, size_t size, const char **ret_name) {
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    if (*name == '\0')
        return -EISDIR;
    int len = slash == NULL   ? snprintf(out, size, ".")
              : slash == path ? snprintf(out, size, "/")
                              : snprintf(out, size, "%.*s", (int)(slash - path), path);
    if (len < 0 || (size_t)len >= size)
        return -ENAMETOOLONG;
    *ret_name = name;
    return 0;
}

static int sync_directory(const char *directory) {
    SCOPED(fd_closep) int fd = open(directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0)
        return -errno;
    /* Some file systems cannot sync a directory; there is nothing better to do on them. */
    if (fsync(fd) < 0 && errno != EINVAL)
        return -errno;
    return 0;
}

/* What root edits for a service stays the service's, which could not read it any more.  Others may
 * not give files away, and need not: theirs stay theirs. */
static void keep_owner(int fd, const char *path) {
    struct stat old;
    if (lstat(path, &old) < 0 || !S_ISREG(old.st_mode))
        return;
    int e = fchown(fd, old.st_uid, old.st_gid);
    (void)e; /* see above */
}

static int fill(int fd, struct bytes content, mode_t mode) {
    int e = write_all(fd, content);
    if (e < 0)
        return e;
    if (fchmod(fd, mode) < 0) /* not open(2)'s mode, which the umask cuts */
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

/* Gives the temporary file its name. */
static int publish(const char *temporary, const char *path, enum file_write_flags flags) {
    if (flags == FILE_REPLACE)
        return rename(temporary, path) < 0 ? -errno : 0;
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL)
        return -errno;
    /* A file system that has no such flag (NFS): link(2) fails on an existing name, too. */
    if (link(temporary, path) < 0)
        return -errno;
    return unlink(temporary) < 0 ? -errno : 0;
}

static int write_whole(const char *path, struct bytes content, mode_t mode,
                       enum file_write_flags flags) {
    char directory[PATH_MAX];
    const char *name;
    int e = directory_of(path, directory, sizeof(directory), &name);
    if (e < 0)
        return e;
    char temporary[PATH_MAX];
    int len = snprintf(temporary, sizeof(temporary), "%s/.%s.XXXXXX.tmp", directory, name);
    if (len < 0 || (size_t)len >= sizeof(temporary))
        return -ENAMETOOLONG;
    SCOPED(fd_closep) int fd = mkostemps(temporary, (int)strlen(".tmp"), O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (flags == FILE_REPLACE)
        keep_owner(fd, path);
    e = fill(fd, content, mode);
    if (e == 0)
        e = publish(temporary, path, flags);
    if (e < 0) {
        (void)unlink(temporary); /* the error that counts is the one before */
        return e;
    }
    return sync_directory(directory);
}

int file_write(const char *path, struct bytes content, mode_t mode, enum file_write_flags flags,
               struct problem *problem) {
    int e = write_whole(path, content, mode, flags);
    if (e < 0)
        return problem_set(problem, e, "cannot write %s: %s", path, err_text(e));
    return 0;
}

int directory_make(const char *path, mode_t mode, struct problem *problem) {
    char part[PATH_MAX];
    int n = snprintf(part, sizeof(part), "%s", path);
    if (n <= 0 || (size_t)n >= sizeof(part))
        return problem_set(problem, n == 0 ? -ENOENT : -ENAMETOOLONG,
                           "cannot create directory %s: %s", path,
                           err_text(n == 0 ? ENOENT : ENAMETOOLONG));
    for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST) {
            int e = -errno;
            return problem_set(problem, e, "cannot create directory %s: %s", part, err_text(e));
        }
        if (slash == NULL)
            return 0;
        *slash = '/';
    }
}

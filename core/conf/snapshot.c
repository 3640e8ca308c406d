/* SPDX-License-Identifier: MIT */
#include "core/conf/snapshot.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/conf/authkeys.h"
#include "core/conf/relay_config.h"
#include "core/conf/units.h"

enum {
    FILE_BYTES_MAX = AUTHKEYS_BYTES_MAX, /* the longest of them */
    SAME_SECOND_MAX = 99,
    STAMP_LEN = sizeof("2026-11-30_184813") - 1,
};

static const char FOLDER[] = "backups";

const char *const RELAY_FILE_NAMES[RELAY_FILES_COUNT] = {
    [RELAY_FILE_CONFIG] = RELAY_CONFIG_NAME,
    [RELAY_FILE_KEY] = "relay_node.key",
    [RELAY_FILE_PEERS] = "relay_authorized_keys",
};

/* 0 when it fits. */
static int join(char out[PATH_MAX], const char *a, const char *b, const char *c) {
    int n = snprintf(out, PATH_MAX, "%s/%s%s%s", a, b, c == NULL ? "" : "/", c == NULL ? "" : c);
    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Copies one file; one that does not exist is no error. */
static int copy(const char *from, const char *to, uint8_t *buffer, struct problem *problem) {
    if (access(from, F_OK) < 0 && errno == ENOENT)
        return 0;
    ssize_t n = file_read(from, "file", 0, buffer, FILE_BYTES_MAX, problem);
    if (n < 0)
        return (int)n;
    return file_write(to, bytes_of(buffer, (size_t)n), 0600, FILE_REPLACE, problem);
}

/* Copies the relay's files from one directory to another. */
static int copy_all(struct mem *mem, const char *from, const char *to, struct problem *problem) {
    char source[PATH_MAX], target[PATH_MAX];
    uint8_t *buffer = mem_alloc(mem, FILE_BYTES_MAX);
    if (buffer == NULL)
        return problem_set(problem, -ENOMEM, "cannot copy from %s: %s", from, err_text(ENOMEM));
    int e = 0;
    for (size_t i = 0; i < RELAY_FILES_COUNT && e == 0; i++) {
        e = join(source, from, RELAY_FILE_NAMES[i], NULL);
        if (e == 0)
            e = join(target, to, RELAY_FILE_NAMES[i], NULL);
        e = e < 0 ? problem_set(problem, e, "%s: %s", to, err_text(e))
                  : copy(source, target, buffer, problem);
    }
    mem_wipe(buffer, FILE_BYTES_MAX); /* one of them is the key */
    (void)mem_free(mem, buffer);
    return e;
}

/* --- Taking --- */

static void remove_snapshot(const char *path) {
    char file[PATH_MAX];
    for (size_t i = 0; i < RELAY_FILES_COUNT; i++)
        if (join(file, path, RELAY_FILE_NAMES[i], NULL) == 0)
            (void)unlink(file); /* the error that counts is the one before */
    (void)rmdir(path);          /* as above */
}

/* Makes the folder of a new snapshot. */
static int make_folder(const char *dir, walltime_t now, struct snapshot *ret_snapshot,
                       char path[PATH_MAX]) {
    char time[RFC3339_TEXT_MAX];
    struct snapshot s;

    (void)rfc3339_format(now, time); /* 2026-11-30T18:48:13Z */
    (void)snprintf(s.name, sizeof(s.name), "%.10s_%.2s%.2s%.2s", time, time + 11, time + 14,
                   time + 17);
    for (uint8_t i = 1;; i++) {
        int e = join(path, dir, FOLDER, s.name);
        if (e < 0)
            return e;
        if (mkdir(path, 0700) == 0)
            break;
        if (errno != EEXIST || i > SAME_SECOND_MAX)
            return -errno;
        (void)snprintf(s.name + STAMP_LEN, sizeof(s.name) - STAMP_LEN, "_%02u", i);
    }
    *ret_snapshot = s;
    return 0;
}

int snapshot_take(struct mem *mem, const char *dir, walltime_t now, struct snapshot *ret_snapshot,
                  struct problem *ret_problem) {
    char path[PATH_MAX];
    struct snapshot s;

    int e = join(path, dir, FOLDER, NULL);
    if (e == 0)
        e = directory_make(path, 0700, ret_problem);
    if (e < 0)
        return e;
    e = make_folder(dir, now, &s, path);
    if (e < 0)
        return problem_set(ret_problem, e, "cannot make a snapshot in %s/%s: %s", dir, FOLDER,
                           err_text(e));
    e = copy_all(mem, dir, path, ret_problem);
    if (e < 0) {
        remove_snapshot(path);
        return e;
    }
    *ret_snapshot = s;
    return 0;
}

/* --- Listing and restoring --- */

static bool is_snapshot_name(const char *name) {
    static const char FORM[] = "dddd-dd-dd_dddddd_dd";
    size_t len = strlen(name);
    if (len != STAMP_LEN && len != sizeof(FORM) - 1)
        return false;
    for (size_t i = 0; i < len; i++)
        if (FORM[i] == 'd' ? name[i] < '0' || name[i] > '9' : name[i] != FORM[i])
            return false;
    return true;
}

/* Names sort as their times do. */
static void insert(struct snapshot *out, size_t count, size_t max, const char *name) {
    size_t at = MIN(count, max);
    while (at > 0 && strcmp(out[at - 1].name, name) < 0) {
        if (at < max)
            out[at] = out[at - 1];
        at--;
    }
    if (at < max)
        memcpy(out[at].name, name, strlen(name) + 1); /* fits: is_snapshot_name() */
}

ssize_t snapshot_list(const char *dir, struct snapshot *out, size_t max) {
    char path[PATH_MAX];
    ssize_t count = 0;

    int e = join(path, dir, FOLDER, NULL);
    if (e < 0)
        return e;
    DIR *d = opendir(path);
    if (d == NULL)
        return errno == ENOENT ? 0 : -errno;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (is_snapshot_name(entry->d_name))
            insert(out, (size_t)count++, max, entry->d_name);
    (void)closedir(d);
    return count;
}

int snapshot_restore(struct mem *mem, const char *dir, const struct snapshot *s,
                     struct problem *ret_problem) {
    char path[PATH_MAX];
    int e = join(path, dir, FOLDER, s->name);
    if (e == 0 && access(path, F_OK) < 0)
        e = -errno;
    if (e < 0)
        return problem_set(ret_problem, e, "cannot read snapshot %s: %s", s->name, err_text(e));
    return copy_all(mem, path, dir, ret_problem);
}

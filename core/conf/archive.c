/* SPDX-License-Identifier: MIT */
#include "core/conf/archive.h"

#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/conf/config_file.h"

char *config_sibling_path(struct arena *a, const char *path, enum config_sibling which) {
    static const char *const SUFFIXES[] = {"last-good", "pending", "pre-confirmed"};
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    const char *dot = strrchr(name, '.');
    if (dot == NULL)
        dot = name + strlen(name);
    return arena_printf(a, "%.*s.%.*s.%s%s", (int)(name - path), path, (int)(dot - name), name,
                        SUFFIXES[which], which == CONFIG_PENDING ? "" : dot);
}

static int archive_in(struct arena *a, const char *path, struct problem *ret_problem) {
    char *pending = config_sibling_path(a, path, CONFIG_PENDING);
    char *archive = config_sibling_path(a, path, CONFIG_LAST_GOOD);
    char *text;
    size_t len;

    if (pending == NULL || archive == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s: %s", path, err_text(-ENOMEM));
    if (access(pending, F_OK) == 0)
        return 0;
    int e = config_file_read(a->mem, path, &text, &len, ret_problem);
    if (e < 0)
        return e;
    e = file_write(archive, bytes_of(text, len), 0600, FILE_REPLACE, ret_problem);
    (void)mem_free(a->mem, text);
    return e;
}

int config_archive(struct mem *mem, const char *path, struct problem *ret_problem) {
    struct arena a;
    arena_init(&a, mem);
    int e = archive_in(&a, path, ret_problem);
    arena_done(&a);
    return e;
}

void config_keep_last_good(struct mem *mem, const char *path, struct log *log) {
    struct problem why = PROBLEM_INIT;
    if (config_archive(mem, path, &why) < 0)
        log_warn(log, L_NODE, "failed to archive config", kv_str("reason", why.text));
}

static int rollback_in(struct arena *a, const char *path, struct problem *ret_problem) {
    SCOPED(file_unlock) int lock = -EBADF;
    char *archive = config_sibling_path(a, path, CONFIG_LAST_GOOD);
    char *text;
    size_t len;

    if (archive == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s: %s", path, err_text(-ENOMEM));
    int e = file_lock(path, &lock, ret_problem);
    if (e < 0)
        return e;
    e = config_file_read(a->mem, archive, &text, &len, ret_problem);
    if (e == -ENOENT)
        return problem_set(ret_problem, e, "no last-known-good archive for %s", path);
    if (e < 0)
        return e;
    e = file_replace(path, bytes_of(text, len), ret_problem);
    (void)mem_free(a->mem, text);
    return e;
}

int config_rollback(struct mem *mem, const char *path, struct problem *ret_problem) {
    struct arena a;
    arena_init(&a, mem);
    int e = rollback_in(&a, path, ret_problem);
    arena_done(&a);
    return e;
}

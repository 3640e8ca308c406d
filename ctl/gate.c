/* SPDX-License-Identifier: MIT */
#include "ctl/gate.h"

#include <sys/stat.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/conf/authkeys.h"

struct gate_table {
    struct gate gate;
    struct mem *mem;
    struct log *log;
    struct authkeys *keys;
    char *path;
    struct gate_watcher watcher;
    struct stat read_from; /* the file that `keys` are of, or an older one */
};

/* Before the file is read: what changes meanwhile is then seen as a change. */
static struct stat look_at(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? st : (struct stat){0};
}

static bool denies(struct gate *g, const struct peer_id *peer, walltime_t now) {
    struct gate_table *t = CONTAINER_OF(g, struct gate_table, gate);
    return !authkeys_allow(t->keys, peer, now);
}

static void decided(struct gate *g, const struct peer_id *peer, bool inbound, bool allowed) {
    const struct gate_table *t = CONTAINER_OF(g, struct gate_table, gate);
    if (t->watcher.decided != NULL)
        t->watcher.decided(t->watcher.user, peer, inbound, allowed);
}

/* Those of `in` that are not in `other`; of a peer that is listed twice, once. */
static void tell_missing(const struct gate_table *t, const struct authkeys *in,
                         const struct authkeys *other, bool is_added) {
    uint32_t count;
    const struct authkey *items = authkeys_items(in, &count);
    for (uint32_t i = 0; t->watcher.changed != NULL && i < count; i++)
        if (authkeys_find(in, &items[i].id) == &items[i] &&
            authkeys_find(other, &items[i].id) == NULL)
            t->watcher.changed(t->watcher.user, &items[i].id, is_added);
}

void gate_table_set_watcher(struct gate_table *t, const struct gate_watcher *w) {
    t->watcher = *w;
}

int gate_table_new(struct mem *mem, const char *path, struct log *log,
                   struct gate_table **ret_table, struct problem *ret_problem) {
    struct gate_table *t = mem_alloc(mem, sizeof(*t));
    if (t == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s", err_text(ENOMEM));
    t->mem = mem;
    t->log = log;
    t->gate = (struct gate){.denies = denies, .decided = decided};
    t->read_from = look_at(path);
    t->path = mem_strdup(mem, path);
    int e = t->path == NULL ? problem_set(ret_problem, -ENOMEM, "%s", err_text(ENOMEM))
                            : authkeys_load(mem, path, &t->keys, ret_problem);
    if (e < 0) {
        (void)gate_table_free(t);
        return e;
    }
    *ret_table = t;
    return 0;
}

struct gate_table *gate_table_free(struct gate_table *t) {
    if (t == NULL)
        return NULL;
    t->keys = authkeys_free(t->keys);
    (void)mem_free(t->mem, t->path);
    return mem_free(t->mem, t);
}

int gate_table_reload(struct gate_table *t, struct problem *ret_problem) {
    struct stat st = look_at(t->path);
    struct authkeys *keys;
    int e = authkeys_load(t->mem, t->path, &keys, ret_problem);
    if (e < 0)
        return e;
    struct authkeys *old = t->keys;
    t->keys = keys;
    tell_missing(t, old, keys, false);
    tell_missing(t, keys, old, true);
    (void)authkeys_free(old);
    t->read_from = st;
    log_info(t->log, L_GATE, "updated authorized peers list",
             kv_uint("count", gate_table_count(t)));
    return 0;
}

bool gate_table_is_stale(const struct gate_table *t) {
    struct stat now = look_at(t->path);
    return now.st_dev != t->read_from.st_dev || now.st_ino != t->read_from.st_ino ||
           now.st_size != t->read_from.st_size ||
           now.st_mtim.tv_sec != t->read_from.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != t->read_from.st_mtim.tv_nsec;
}

struct gate *gate_table_gate(struct gate_table *t) {
    return &t->gate;
}

uint32_t gate_table_count(const struct gate_table *t) {
    uint32_t count;
    (void)authkeys_items(t->keys, &count);
    return count;
}

const char *gate_table_path(const struct gate_table *t) {
    return t->path;
}

walltime_t gate_table_next_expiry(const struct gate_table *t, walltime_t now) {
    walltime_t next = AUTHKEY_NO_EXPIRY;
    uint32_t count;
    const struct authkey *items = authkeys_items(t->keys, &count);
    for (uint32_t i = 0; i < count; i++)
        if (items[i].expires > now)
            next = MIN(next, items[i].expires);
    return next;
}

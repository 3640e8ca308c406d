/* SPDX-License-Identifier: MIT */
#include "core/conf/names.h"

#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/schema_internal.h"

static int resolve_name(const struct config_name *n, struct target *ret_target,
                        struct problem *ret_problem) {
    if (peer_id_is_none(&n->target.id))
        return problem_set(ret_problem, -ERR_BAD_PEER_ID, "invalid peer ID for name %s: %s",
                           n->item.key,
                           n->target.error_text == NULL ? "no value" : n->target.error_text);
    *ret_target = (struct target){
        .id = n->target.id,
        .source = TARGET_NAME,
        .addrs = n->target.addrs,
        .addrs_count = n->target.addrs_count,
    };
    return 0;
}

int target_resolve(const struct config *c, struct arena *a, const char *text,
                   struct target *ret_target, struct problem *ret_problem) {
    const struct config_name *name = c == NULL ? NULL : config_name_find(c, text);
    struct config_target t;

    if (name != NULL)
        return resolve_name(name, ret_target, ret_problem);
    int e = schema_target_parse(a, &text, 1, &t, ret_problem);
    if (e == -ENOMEM)
        return problem_set(ret_problem, e, "%s", err_text(e));
    if (e < 0 && *text == '/')
        return -ERR_BAD_MULTIADDR;
    if (e < 0)
        return problem_set(ret_problem, -ERR_NAME_NOT_FOUND, "name not found: %s", text);
    *ret_target = (struct target){
        .id = t.id,
        .source = *text == '/' ? TARGET_ADDRESS : TARGET_PEER_ID,
        .addrs = t.addrs,
        .addrs_count = t.addrs_count,
    };
    return 0;
}

void name_sanitize(struct bytes from_peer, char *out) {
    static const char KEPT[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = 0;

    for (size_t i = 0; i < from_peer.len && len < NAME_BYTES_MAX; i++)
        if (from_peer.data[i] != '\0' && strchr(KEPT, from_peer.data[i]) != NULL)
            out[len++] = (char)from_peer.data[i];
    out[len] = '\0';
}

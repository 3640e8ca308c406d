/* SPDX-License-Identifier: MIT */
#pragma once

/* authorized_keys: who may connect, one peer a line.
 *
 *   <peer-id> [key=value ...] [# comment]
 *
 * Spec:    config.md, section 6.  `expires` is enforced: see authkey_is_valid_at().
 * Memory:  a list owns its entries; authkeys_free() ends them.
 * Files:   changes read, edit the one line that is meant, and replace the file under the
 *          directory's lock; comments, order and other lines stay.  These calls block.
 */

#include "core/base/bytes.h"
#include "core/base/time.h"
#include "core/p2p/peer_id.h"

struct mem;
struct problem;

enum {
    AUTHKEYS_BYTES_MAX = 4 << 20, /* about 50,000 peers */
    AUTHKEY_ATTRIBUTES_MAX = 16,
};

/* An expiry that never comes. */
#define AUTHKEY_NO_EXPIRY ((walltime_t)INT64_MAX)

struct authkey_attribute {
    const char *key;
    const char *value;
};

struct authkey {
    struct peer_id id;
    uint32_t line;
    walltime_t expires;  /* AUTHKEY_NO_EXPIRY when there is no such attribute */
    const char *comment; /* "" when there is none */
    const struct authkey_attribute *attributes; /* in the file's order, `expires` among them */
    uint32_t attributes_count;
};

struct authkeys;

/* Reads the file.
 *   -ENOENT, other errno  "failed to open authorized_keys file: ..."
 *   -ERR_FILE_MODE        group or others may write it
 *   -ERR_MALFORMED        "invalid peer ID at line <n>: ...", or a bad expiry
 *   -ERR_LIMIT, -ENOMEM                                                                       */
NODISCARD int authkeys_load(struct mem *mem, const char *path, struct authkeys **ret_keys,
                            struct problem *ret_problem);

/* The same for a list of what is there: bad lines are left out instead of failing the load.  Never
 * for deciding who may connect. */
NODISCARD int authkeys_load_readable(struct mem *mem, const char *path, struct authkeys **ret_keys,
                                     struct problem *ret_problem);

/* As authkeys_load() from text; `path` is for messages. */
NODISCARD int authkeys_parse(struct mem *mem, const char *path, struct bytes text,
                             struct authkeys **ret_keys, struct problem *ret_problem);

/* Accepts NULL, returns NULL. */
struct authkeys *authkeys_free(struct authkeys *k);
DEFINE_SCOPED_FREE(struct authkeys *, authkeys_free);

/* In file order. */
const struct authkey *authkeys_items(const struct authkeys *k, uint32_t *ret_count);

/* The entry of a peer, the first if there are several; NULL when there is none. */
const struct authkey *authkeys_find(const struct authkeys *k, const struct peer_id *id);

/* "" when the entry lacks it. */
const char *authkey_attribute(const struct authkey *k, const char *key);

/* Whether the entry still counts at `now`. */
static inline bool authkey_is_valid_at(const struct authkey *k, walltime_t now) {
    return now < k->expires;
}

/* Whether the peer is in the list and the entry still counts. */
bool authkeys_allow(const struct authkeys *k, const struct peer_id *id, walltime_t now);

/* One line's fault, for `auth validate`. */
struct authkeys_fault {
    uint32_t line;
    char text[160];
};

/* Reads every line and collects faults instead of stopping at the first.  Returns their number in
 * *ret_faults_count even beyond faults_max; errors are those of opening only. */
NODISCARD int authkeys_validate(struct mem *mem, const char *path, struct authkeys_fault *faults,
                                uint32_t faults_max, uint32_t *ret_faults_count,
                                uint32_t *ret_valid_count, struct problem *ret_problem);

/* Appends a peer; creates the file with mode 0600.  Line breaks and NUL vanish from the comment,
 * which may be NULL.
 *   -ERR_PEER_EXISTS  "peer already authorized: <short>"
 *   errors of authkeys_load() and of writing                                                  */
NODISCARD int authkeys_add(struct mem *mem, const char *path, const struct peer_id *id,
                           const char *comment, struct problem *ret_problem);

/* Removes every line of a peer.  -ERR_PEER_NOT_FOUND "peer not found: <short>"; other errors as
 * above.  Undecodable lines stay and are no error. */
NODISCARD int authkeys_remove(struct mem *mem, const char *path, const struct peer_id *id,
                              struct problem *ret_problem);

/* Sets one attribute of a peer's line; an empty value deletes it.
 *   -EINVAL              key or value has white space, '#', '=' in the key, or control characters;
 *                        or `expires` is no RFC 3339 time
 *   -ERR_LIMIT           AUTHKEY_ATTRIBUTES_MAX are there
 *   -ERR_PEER_NOT_FOUND                                                                       */
NODISCARD int authkeys_set_attribute(struct mem *mem, const char *path, const struct peer_id *id,
                                     const char *key, const char *value,
                                     struct problem *ret_problem);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The node's configuration: a typed snapshot of one file, never changed after it was read.
 *
 *   path found by config_find() -> config_load() -> struct config -> config_check()
 *
 * Spec:    config.md; decisions 3 (no relay is needed), 4 (forgiving), 10 (STUN).
 * Memory:  all of a snapshot's values are its own and live until config_free().
 * Thread:  any number may read one snapshot.
 */

#include "core/base/time.h"
#include "core/conf/schema.h"

struct mem;

struct config_service {
    struct config_item item; /* the name, a DNS label */
    bool enabled;
    struct config_host_port local;
    const char *protocol; /* shown, otherwise without effect; NULL when missing */
    /* is_set with no valid entry denies everyone; not is_set admits all authorized peers. */
    struct config_peers allowed_peers;
};

struct config_name {
    struct config_item item;
    struct config_target target;
};

struct config {
    struct config_base base;
    int64_t version;
    struct {
        const char *key_file;
    } identity;
    struct {
        struct config_addrs listen_addresses;
        const char *transport; /* "auto", "quic", "tcp" */
        const char *security;  /* of TCP: "auto", "tls", "noise" */
        bool force_private_reachability;
        bool port_mapping;
        bool resource_limits_enabled;
        struct config_servers stun_servers; /* not is_set: the relays; set and empty: off */
    } network;
    struct {
        struct config_addrs addresses; /* each ends in /p2p/ID */
        int64_t reservation_interval_ns;
        bool splice;
    } relay;
    struct {
        const char *rendezvous;
        const char *network; /* NULL: the global one */
        struct config_addrs bootstrap_peers;
    } discovery;
    struct {
        const char *authorized_keys_file; /* NULL when missing */
        bool enable_connection_gating;
    } security;
    struct {
        bool ping_pong_enabled;
        const char *ping_pong_id;
    } protocols;
    const struct config_service *services; /* by name */
    uint32_t services_count;
    const struct config_name *names; /* by name */
    uint32_t names_count;
    struct {
        bool metrics_enabled;
        const char *metrics_listen_address;
        bool audit_enabled;
    } telemetry;
};

extern const struct config_schema CONFIG_SCHEMA;

/* The first file of the search order that exists: `given` alone when not NULL, else peerup.yaml,
 * <home>/.config/peerup/config.yaml, /etc/peerup/config.yaml.  `home` may be NULL.  The path is
 * the caller's (mem_free).
 *   -ERR_CONFIG_NOT_FOUND  the problem lists where it was looked for */
NODISCARD int config_find(struct mem *mem, const char *given, const char *home, char **ret_path,
                          struct problem *ret_problem);

/* Reads a file.  A snapshot may still have findings that are errors: see config_check().
 *   -ERR_FILE_MODE       group or others may write it
 *   -ERR_CONFIG_INVALID  the problem names file, line and key
 *   -errno, -ERR_LIMIT, -ENOMEM                                                              */
NODISCARD int config_load(struct mem *mem, const char *path, struct config **ret_config,
                          struct problem *ret_problem);

/* The same from text; relative paths resolve against the directory of `path`. */
NODISCARD int config_parse(struct mem *mem, const char *path, struct bytes text,
                           struct config **ret_config, struct problem *ret_problem);

/* Whether a daemon may run with it.
 *   -ERR_CONFIG_INVALID  the problem is the first finding that is an error */
NODISCARD int config_check(const struct config *c, struct problem *ret_problem);

/* Accepts NULL, returns NULL. */
struct config *config_free(struct config *c);
DEFINE_SCOPED_FREE(struct config *, config_free);

/* NULL when there is none. */
const struct config_service *config_service_find(const struct config *c, const char *name);
const struct config_name *config_name_find(const struct config *c, const char *name);

/* 0, or -EINVAL with the reason: no DNS label, or reserved for a built-in protocol. */
NODISCARD int config_service_name_check(const char *name, struct problem *ret_problem);

/* Writes the document of `init` and `join`: `generator` is named in its first line, `relay` and
 * `network` may be NULL. */
struct config_generate {
    const char *generator;
    const char *relay;
    const char *network;
};
void config_generate(const struct config_generate *g, struct strbuf *out);

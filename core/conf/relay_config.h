/* SPDX-License-Identifier: MIT */
#pragma once

/* The relay server's configuration: as core/conf/config.h, for config.md section 8.  Relative
 * paths resolve against the working directory, so they stay as written. */

#include "core/conf/schema.h"

struct mem;

struct relay_config {
    struct config_base base;
    int64_t version;
    struct {
        const char *key_file;
    } identity;
    struct {
        struct config_addrs listen_addresses;
    } network;
    struct {
        const char *network; /* NULL: the global one */
    } discovery;
    struct {
        const char *authorized_keys_file; /* NULL when missing */
        bool enable_connection_gating;
    } security;
    struct {
        int64_t max_reservations;
        int64_t max_circuits;
        int64_t buffer_size;
        int64_t max_reservations_per_ip;
        int64_t max_reservations_per_asn;
        int64_t reservation_ttl_ns;
        int64_t session_duration_ns; /* 0: unlimited */
        int64_t session_data_limit;  /* bytes; 0: unlimited */
    } resources;
    struct {
        bool splice;
    } relay;
    struct {
        bool enabled;
        const char *listen_address;
    } health;
    struct {
        bool metrics_enabled;
        const char *metrics_listen_address;
        bool audit_enabled;
    } telemetry;
};

extern const struct config_schema RELAY_CONFIG_SCHEMA;

/* As config_load(), config_parse(), config_check() and config_free(). */
NODISCARD int relay_config_load(struct mem *mem, const char *path, struct relay_config **ret_config,
                                struct problem *ret_problem);
NODISCARD int relay_config_parse(struct mem *mem, const char *path, struct bytes text,
                                 struct relay_config **ret_config, struct problem *ret_problem);
NODISCARD int relay_config_check(const struct relay_config *c, struct problem *ret_problem);
struct relay_config *relay_config_free(struct relay_config *c);
DEFINE_SCOPED_FREE(struct relay_config *, relay_config_free);

/* The name under which a relay looks for its config, in the working directory. */
#define RELAY_CONFIG_NAME "relay-server.yaml"

/* Writes the document of `relay setup`. */
struct strbuf;
void relay_config_generate(struct strbuf *out);

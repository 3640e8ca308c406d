/* SPDX-License-Identifier: MIT */
#include "core/conf/relay_config.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/base/time.h"
#include "core/conf/config_file.h"
#include "core/conf/schema_internal.h"

#define AT(field) offsetof(struct relay_config, field)

enum { RELAY_COUNT_MAX = 1 << 20 }; /* of anything: what a relay of 1 GiB could serve */

/* clang-format off */
static const struct config_option OPTIONS[] = {
    {"version", CONFIG_INT, AT(version), .fallback = "1", .generated = "1",
     .flags = CONFIG_ZERO_DEFAULT,
     .help = "Version of this file's format."},
    {"identity.key_file", CONFIG_PATH, AT(identity.key_file), .generated = "relay_node.key",
     .flags = CONFIG_REQUIRED,
     .help = "The relay's private key, mode 0600. Relative paths start at the working directory."},
    {"network.listen_addresses", CONFIG_ADDRS, AT(network.listen_addresses),
     .generated = "/ip4/0.0.0.0/tcp/7777\n/ip6/::/tcp/7777\n"
                  "/ip4/0.0.0.0/udp/7777/quic-v1\n/ip6/::/udp/7777/quic-v1",
     .flags = CONFIG_REQUIRED,
     .help = "Where to listen."},
    {"discovery.network", CONFIG_LABEL, AT(discovery.network), .flags = CONFIG_SHOW_IF_SET,
     .help = "A private DHT namespace, the same as the nodes'. Missing: the global one."},
    {"security.authorized_keys_file", CONFIG_PATH, AT(security.authorized_keys_file),
     .generated = "relay_authorized_keys",
     .help = "The peers that may use this relay, one a line."},
    {"security.enable_connection_gating", CONFIG_BOOL, AT(security.enable_connection_gating),
     .fallback = "false", .generated = "true",
     .help = "Refuse peers that are not in authorized_keys_file."},
    {"resources.max_reservations", CONFIG_INT, AT(resources.max_reservations),
     .fallback = "128", .flags = CONFIG_ZERO_DEFAULT, .max = RELAY_COUNT_MAX,
     .help = "Reservations in all."},
    {"resources.max_circuits", CONFIG_INT, AT(resources.max_circuits),
     .fallback = "16", .flags = CONFIG_ZERO_DEFAULT, .max = RELAY_COUNT_MAX,
     .help = "Open relayed connections per peer."},
    {"resources.buffer_size", CONFIG_INT, AT(resources.buffer_size),
     .fallback = "2048", .flags = CONFIG_ZERO_DEFAULT, .max = 1 << 20,
     .help = "Bytes of buffer for each direction of a relayed connection."},
    {"resources.max_reservations_per_ip", CONFIG_INT, AT(resources.max_reservations_per_ip),
     .fallback = "8", .flags = CONFIG_ZERO_DEFAULT, .max = RELAY_COUNT_MAX,
     .help = "Reservations per IP address of peers that are not authorized."},
    {"resources.max_reservations_per_asn", CONFIG_INT, AT(resources.max_reservations_per_asn),
     .fallback = "32", .flags = CONFIG_ZERO_DEFAULT, .max = RELAY_COUNT_MAX,
     .help = "Reservations per autonomous system of peers that are not authorized."},
    {"resources.reservation_ttl", CONFIG_DURATION, AT(resources.reservation_ttl_ns),
     .fallback = "1h", .flags = CONFIG_ZERO_DEFAULT, .min = SEC(10),
     .help = "How long a reservation lasts."},
    {"resources.session_duration", CONFIG_DURATION, AT(resources.session_duration_ns),
     .fallback = "0s",
     .help = "How long a relayed connection may last. 0 or missing: without limit."},
    {"resources.session_data_limit", CONFIG_SIZE, AT(resources.session_data_limit),
     .fallback = "0B",
     .help = "How much a relayed connection may carry each way. 0 or missing: without limit."},
    {"relay.splice", CONFIG_BOOL, AT(relay.splice), .fallback = "true", .flags = CONFIG_SHOW_IF_SET,
     .help = "Offer two peers with a relayed connection to join two TCP connections instead."},
    {"health.enabled", CONFIG_BOOL, AT(health.enabled), .fallback = "false",
     .help = "Answer health checks over HTTP."},
    {"health.listen_address", CONFIG_LISTEN, AT(health.listen_address),
     .fallback = "127.0.0.1:9090",
     .help = "Where to answer them."},
    {"telemetry.metrics.enabled", CONFIG_BOOL, AT(telemetry.metrics_enabled), .fallback = "false",
     .flags = CONFIG_SHOW_IF_SET,
     .help = "Serve metrics over HTTP."},
    {"telemetry.metrics.listen_address", CONFIG_LISTEN, AT(telemetry.metrics_listen_address),
     .fallback = "127.0.0.1:9091", .flags = CONFIG_SHOW_IF_SET,
     .help = "Where to serve them."},
    {"telemetry.audit.enabled", CONFIG_BOOL, AT(telemetry.audit_enabled), .fallback = "false",
     .flags = CONFIG_SHOW_IF_SET,
     .help = "Write one JSON line on standard error for each decision about access."},
};
/* clang-format on */

const struct config_schema RELAY_CONFIG_SCHEMA = {
    .program = "relay-server",
    .options = OPTIONS,
    .options_count = ARRAY_COUNT(OPTIONS),
};

static int check_together(struct relay_config *c) {
    if (!c->security.enable_connection_gating || c->security.authorized_keys_file != NULL)
        return 0;
    uint32_t line =
        schema_line(&RELAY_CONFIG_SCHEMA, &c->base, "security.enable_connection_gating");
    return schema_find(&c->base, true, line,
                       "security.authorized_keys_file is required when connection gating is "
                       "enabled");
}

int relay_config_parse(struct mem *mem, const char *path, struct bytes text,
                       struct relay_config **ret_config, struct problem *ret_problem) {
    SCOPED(relay_config_freep) struct relay_config *c = mem_alloc(mem, sizeof(*c));
    if (c == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s: %s", path, err_text(-ENOMEM));
    arena_init(&c->base.arena, mem);
    c->base.path = arena_strdup(&c->base.arena, path);
    if (c->base.path == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s: %s", path, err_text(-ENOMEM));

    int e = schema_read(&RELAY_CONFIG_SCHEMA, &c->base, text, ret_problem);
    if (e < 0)
        return e;
    if ((e = check_together(c)) < 0)
        return problem_set(ret_problem, e, "%s: %s", path, err_text(e));
    *ret_config = TAKE(c);
    return 0;
}

int relay_config_load(struct mem *mem, const char *path, struct relay_config **ret_config,
                      struct problem *ret_problem) {
    char *text;
    size_t len;
    int e = config_file_read(mem, path, &text, &len, ret_problem);
    if (e < 0)
        return e;
    e = relay_config_parse(mem, path, bytes_of(text, len), ret_config, ret_problem);
    (void)mem_free(mem, text);
    return e;
}

int relay_config_check(const struct relay_config *c, struct problem *ret_problem) {
    return schema_check(&c->base, ret_problem);
}

struct relay_config *relay_config_free(struct relay_config *c) {
    if (c == NULL)
        return NULL;
    struct mem *mem = c->base.arena.mem;
    arena_done(&c->base.arena);
    return mem_free(mem, c);
}

void relay_config_generate(struct strbuf *out) {
    strbuf_add(out, "# peerup relay configuration, written by 'peerup relay setup'.\n\n");
    schema_generate(&RELAY_CONFIG_SCHEMA, NULL, 0, out);
    strbuf_add(out,
               "\n# WebSocket, for networks that let only web traffic out; as further lines of\n"
               "# network.listen_addresses:\n"
               "#   - \"/ip4/0.0.0.0/tcp/443/ws\"\n"
               "#   - \"/ip6/::/tcp/443/ws\"\n"
               "\n# What the relay gives, with the values that count without this section.\n"
               "# Relayed connections have no limit of time or data unless one is set here.\n"
               "# resources:\n"
               "#   max_reservations: 128\n"
               "#   max_circuits: 16\n"
               "#   buffer_size: 2048\n"
               "#   max_reservations_per_ip: 8\n"
               "#   max_reservations_per_asn: 32\n"
               "#   reservation_ttl: \"1h\"\n"
               "#   session_duration: \"0s\"\n"
               "#   session_data_limit: \"0B\"\n"
               "\n# relay:\n"
               "#   splice: true\n"
               "\n# health:\n"
               "#   enabled: true\n"
               "#   listen_address: \"127.0.0.1:9090\"\n"
               "\n# telemetry:\n"
               "#   metrics:\n"
               "#     enabled: true\n"
               "#     listen_address: \"127.0.0.1:9091\"\n"
               "#   audit:\n"
               "#     enabled: true\n");
}

/* SPDX-License-Identifier: MIT */
#include "core/conf/config.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/base/time.h"
#include "core/conf/config_file.h"
#include "core/conf/schema_internal.h"
#include "core/conf/units.h"
#include "core/p2p/protocol_id.h"

#define AT(field)         offsetof(struct config, field)
#define AT_SERVICE(field) offsetof(struct config_service, field)
#define AT_NAME(field)    offsetof(struct config_name, field)

/* clang-format off */
static const struct config_option OPTIONS[] = {
    {"version", CONFIG_INT, AT(version), .fallback = "1", .generated = "1",
     .flags = CONFIG_ZERO_DEFAULT,
     .help = "Version of this file's format."},
    {"identity.key_file", CONFIG_PATH, AT(identity.key_file), .generated = "identity.key",
     .flags = CONFIG_REQUIRED,
     .help = "The node's private key, mode 0600. Relative paths start at this file's directory."},
    {"network.listen_addresses", CONFIG_ADDRS, AT(network.listen_addresses),
     .generated = "/ip4/0.0.0.0/tcp/0\n/ip4/0.0.0.0/udp/0/quic-v1\n"
                  "/ip6/::/tcp/0\n/ip6/::/udp/0/quic-v1",
     .flags = CONFIG_REQUIRED,
     .help = "Where to listen. Port 0 takes any free port."},
    {"network.transport", CONFIG_CHOICE, AT(network.transport), .fallback = "auto",
     .choices = "auto quic tcp", .flags = CONFIG_SHOW_IF_SET,
     .help = "What to connect over: auto (QUIC, with TCP a quarter of a second behind), quic or tcp. "
             "The other transport is a fallback: it is dialled when the chosen one fails, or has "
             "not connected after three seconds."},
    {"network.security", CONFIG_CHOICE, AT(network.security), .fallback = "auto",
     .choices = "auto tls noise", .flags = CONFIG_SHOW_IF_SET,
     .help = "What secures TCP connections: auto (both, TLS first), tls or noise. The other one is "
             "then neither proposed nor accepted; QUIC has its own TLS."},
    {"network.force_private_reachability", CONFIG_BOOL, AT(network.force_private_reachability),
     .fallback = "false", .generated = "false",
     .help = "Treat this node as unreachable from outside: addresses that others see are not "
             "announced, and nobody is asked to dial them. Reservations are kept in any case."},
    {"network.port_mapping", CONFIG_BOOL, AT(network.port_mapping), .fallback = "true",
     .flags = CONFIG_SHOW_IF_SET,
     .help = "Have the gateway of the home network (PCP, NAT-PMP, UPnP) pass on what comes to the ports that "
             "are listened on."},
    {"network.resource_limits_enabled", CONFIG_BOOL, AT(network.resource_limits_enabled),
     .fallback = "false",
     .help = "Publish metrics of the resource limits, which are in force either way."},
    {"network.stun_servers", CONFIG_SERVERS, AT(network.stun_servers),
     .flags = CONFIG_SHOW_IF_SET,
     .help = "STUN servers to learn the own public address from. Missing: the configured relays. "
             "An empty list turns STUN off."},
    {"relay.addresses", CONFIG_ADDRS, AT(relay.addresses), .generated = "",
     .flags = CONFIG_WANTED | CONFIG_NEEDS_PEER,
     .advice = "no relay is configured: peers are reached by their addresses only",
     .help = "Relays, each with /p2p/<peer id> at its end. The first one is used for invites."},
    {"relay.reservation_interval", CONFIG_DURATION, AT(relay.reservation_interval_ns),
     .fallback = "2m", .generated = "2m", .min = 1000000000,
     .help = "How often to renew the reservation on the relays."},
    {"relay.splice", CONFIG_BOOL, AT(relay.splice), .fallback = "true", .flags = CONFIG_SHOW_IF_SET,
     .help = "Have relays of this program join two TCP connections instead of relaying streams."},
    {"discovery.rendezvous", CONFIG_TEXT, AT(discovery.rendezvous),
     .fallback = "peerup-default-network", .generated = "peerup-default-network",
     .flags = CONFIG_REQUIRED,
     .help = "Published in the DHT, so that peers of one rendezvous find each other."},
    {"discovery.network", CONFIG_LABEL, AT(discovery.network), .flags = CONFIG_SHOW_IF_SET,
     .help = "A private DHT namespace. Missing: the global one."},
    {"discovery.bootstrap_peers", CONFIG_ADDRS, AT(discovery.bootstrap_peers), .generated = "",
     .flags = CONFIG_NEEDS_PEER | CONFIG_SKIP_BAD,
     .help = "Where to enter the DHT. Empty: the relays."},
    {"security.authorized_keys_file", CONFIG_PATH, AT(security.authorized_keys_file),
     .generated = "authorized_keys",
     .help = "The peers that may connect to this node, one a line."},
    {"security.enable_connection_gating", CONFIG_BOOL, AT(security.enable_connection_gating),
     .fallback = "true", .generated = "true",
     .help = "Refuse peers that are not in authorized_keys_file."},
    {"protocols.ping_pong.enabled", CONFIG_BOOL, AT(protocols.ping_pong_enabled),
     .fallback = "true", .generated = "true",
     .help = "Answer 'peerup ping'."},
    {"protocols.ping_pong.id", CONFIG_PROTOCOL, AT(protocols.ping_pong_id),
     .fallback = PROTOCOL_PINGPONG, .generated = PROTOCOL_PINGPONG, .flags = CONFIG_REQUIRED,
     .help = "The ping protocol, for answering and for asking."},
    {"services.<name>.enabled", CONFIG_BOOL, AT_SERVICE(enabled), .fallback = "false",
     .help = "Whether peers may use the service. Its name is a DNS label."},
    {"services.<name>.local_address", CONFIG_HOST_PORT, AT_SERVICE(local),
     .help = "The TCP server behind the service."},
    {"services.<name>.protocol", CONFIG_TEXT, AT_SERVICE(protocol),
     .help = "A note for people; without effect."},
    {"services.<name>.allowed_peers", CONFIG_PEERS, AT_SERVICE(allowed_peers),
     .flags = CONFIG_SKIP_BAD,
     .help = "Who may use the service. Missing or empty: every authorized peer."},
    {"names.<name>", CONFIG_TARGET, AT_NAME(target), .flags = CONFIG_SKIP_BAD,
     .help = "A name for a peer: its ID, or one or more addresses that end in /p2p/<peer id>."},
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

static const struct config_group GROUPS[] = {
    {"services", "service name", AT(services), AT(services_count), sizeof(struct config_service)},
    {"names", NULL, AT(names), AT(names_count), sizeof(struct config_name)},
};

const struct config_schema CONFIG_SCHEMA = {
    .program = "peerup",
    .options = OPTIONS,
    .options_count = ARRAY_COUNT(OPTIONS),
    .groups = GROUPS,
    .groups_count = ARRAY_COUNT(GROUPS),
    .paths_follow_file = true,
};

int config_find(struct mem *mem, const char *given, const char *home, char **ret_path,
                struct problem *ret_problem) {
    char home_path[PATH_MAX] = "";
    const char *const places[] = {"peerup.yaml", home_path, "/etc/peerup/config.yaml"};
    const char *found = NULL;

    if (home != NULL)
        (void)snprintf(home_path, sizeof(home_path), "%s/.config/peerup/config.yaml", home);
    if (given != NULL && access(given, F_OK) < 0)
        return problem_set(ret_problem, -ERR_CONFIG_NOT_FOUND, "config file not found: %s", given);
    for (size_t i = 0; i < ARRAY_COUNT(places) && found == NULL; i++)
        if (*places[i] != '\0' && access(places[i], F_OK) == 0)
            found = places[i];
    if (given != NULL)
        found = given;
    if (found == NULL)
        return problem_set(ret_problem, -ERR_CONFIG_NOT_FOUND,
                           "config file not found; searched:\n"
                           "  peerup.yaml\n"
                           "%s%s%s"
                           "  /etc/peerup/config.yaml\n\n"
                           "Run 'peerup init' to create one, or use --config <path>",
                           home == NULL ? "" : "  ", home_path, home == NULL ? "" : "\n");
    char *path = mem_strdup(mem, found);
    if (path == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s", err_text(-ENOMEM));
    *ret_path = path;
    return 0;
}

/* Names that would shadow a protocol of ours: /peerup/<name>/1.0.0. */
static const char *const RESERVED_NAMES[] = {"invite", "relay-pair", "peer-notify", "rtt-probe",
                                             "splice"};

static bool name_is_reserved(const char *name) {
    for (size_t i = 0; i < ARRAY_COUNT(RESERVED_NAMES); i++)
        if (strcmp(name, RESERVED_NAMES[i]) == 0)
            return true;
    return false;
}

int config_service_name_check(const char *name, struct problem *ret_problem) {
    if (*name == '\0')
        return problem_set(ret_problem, -EINVAL, "invalid service name: name cannot be empty");
    if (!dns_label_is_valid(name))
        return problem_set(ret_problem, -EINVAL, "invalid service name: \"%s\" %s", name,
                           DNS_LABEL_RULE);
    if (name_is_reserved(name))
        return problem_set(ret_problem, -EINVAL,
                           "invalid service name: \"%s\" is reserved for a built-in protocol",
                           name);
    return 0;
}

/* What no single row can say. */
static int check_together(struct config *c) {
    uint32_t line = schema_line(&CONFIG_SCHEMA, &c->base, "security.enable_connection_gating");
    if (c->security.enable_connection_gating && c->security.authorized_keys_file == NULL) {
        int e = schema_find(&c->base, true, line,
                            "security.authorized_keys_file is required when connection gating is "
                            "enabled");
        if (e < 0)
            return e;
    }
    for (uint32_t i = 0; i < c->services_count; i++) {
        const struct config_service *s = &c->services[i];
        int e = 0;
        if (name_is_reserved(s->item.key))
            e = schema_find(&c->base, true, s->item.line,
                            "services: invalid service name: \"%s\" is reserved for a built-in "
                            "protocol",
                            s->item.key);
        else if (s->enabled && s->local.text == NULL)
            e = schema_find(&c->base, false, s->item.line,
                            "services.%s: has no usable local_address and is not offered",
                            s->item.key);
        if (e < 0)
            return e;
    }
    return 0;
}

int config_parse(struct mem *mem, const char *path, struct bytes text, struct config **ret_config,
                 struct problem *ret_problem) {
    SCOPED(config_freep) struct config *c = mem_alloc(mem, sizeof(*c));
    if (c == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s: %s", path, err_text(-ENOMEM));
    arena_init(&c->base.arena, mem);
    c->base.path = arena_strdup(&c->base.arena, path);
    if (c->base.path == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s: %s", path, err_text(-ENOMEM));

    int e = schema_read(&CONFIG_SCHEMA, &c->base, text, ret_problem);
    if (e < 0)
        return e;
    if ((e = check_together(c)) < 0)
        return problem_set(ret_problem, e, "%s: %s", path, err_text(e));
    *ret_config = TAKE(c);
    return 0;
}

int config_load(struct mem *mem, const char *path, struct config **ret_config,
                struct problem *ret_problem) {
    char *text;
    size_t len;
    int e = config_file_read(mem, path, &text, &len, ret_problem);
    if (e < 0)
        return e;
    e = config_parse(mem, path, bytes_of(text, len), ret_config, ret_problem);
    (void)mem_free(mem, text);
    return e;
}

int config_check(const struct config *c, struct problem *ret_problem) {
    return schema_check(&c->base, ret_problem);
}

struct config *config_free(struct config *c) {
    if (c == NULL)
        return NULL;
    struct mem *mem = c->base.arena.mem;
    arena_done(&c->base.arena);
    return mem_free(mem, c);
}

const struct config_service *config_service_find(const struct config *c, const char *name) {
    for (uint32_t i = 0; i < c->services_count; i++)
        if (strcmp(c->services[i].item.key, name) == 0)
            return &c->services[i];
    return NULL;
}

const struct config_name *config_name_find(const struct config *c, const char *name) {
    for (uint32_t i = 0; i < c->names_count; i++)
        if (strcmp(c->names[i].item.key, name) == 0)
            return &c->names[i];
    return NULL;
}

void config_generate(const struct config_generate *g, struct strbuf *out) {
    const struct schema_override overrides[] = {
        {"relay.addresses", g->relay == NULL ? "" : g->relay},
        {"discovery.network", g->network},
    };

    strbuf_addf(out, "# peerup node configuration, written by '%s'.  See peerup.yaml(5).\n\n",
                g->generator);
    schema_generate(&CONFIG_SCHEMA, overrides, ARRAY_COUNT(overrides), out);
    strbuf_add(out, "\n# TCP servers that authorized peers may use.\n"
                    "# services:\n"
                    "#   ssh:\n"
                    "#     enabled: true\n"
                    "#     local_address: \"localhost:22\"\n"
                    "#   xrdp:\n"
                    "#     enabled: true\n"
                    "#     local_address: \"localhost:3389\"\n"
                    "#   web:\n"
                    "#     enabled: false\n"
                    "#     local_address: \"localhost:80\"\n"
                    "\n# Names for peers: an ID, or an address that ends in /p2p/<peer id>.\n"
                    "names: {}\n"
                    "\n# telemetry:\n"
                    "#   metrics:\n"
                    "#     enabled: true\n"
                    "#     listen_address: \"127.0.0.1:9091\"\n"
                    "#   audit:\n"
                    "#     enabled: true\n");
}

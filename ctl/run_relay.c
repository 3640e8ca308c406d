/* SPDX-License-Identifier: MIT */
#include "ctl/run_relay.h"

#include <stdio.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/version.h"
#include "core/conf/archive.h"
#include "core/conf/authkeys.h"
#include "core/conf/relay_config.h"
#include "core/conf/units.h"
#include "core/p2p/identity.h"
#include "ctl/gate_watch.h"
#include "ctl/limits.h"
#include "ctl/node.h"
#include "ctl/node_metrics.h"
#include "ctl/public_addrs.h"
#include "ctl/relay_admin.h"
#include "ctl/relay_status.h"
#include "ctl/stop_signals.h"
#include "ctl/systemd.h"
#include "ctl/telemetry_http.h"
#include "ctl/watchdog.h"
#include "relay/hop_service.h"
#include "transport/host.h"
#include "uring/reactor.h"

enum { SHOWN_ADDRS_MAX = 32, SHOWN_PROTOCOLS_MAX = 32 };

struct relay {
    const struct run_relay_config *cfg;
    struct node *node;
    struct stop_signals stop;
    struct gate_watch gate_watch;
    struct watchdog watchdog;
    struct relay_status status;
    struct telemetry_http http;
    struct relay_admin admin;
    struct metric_registry registry;
    struct node_metrics metrics;
};

static void say(const struct relay *r, const char *format, ...) PRINTF(2, 3);

static void say(const struct relay *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say_v(r->cfg->say, r->cfg->user, format, args);
    va_end(args);
}

static int fail_to_start(int error, const struct problem *why, struct problem *problem) {
    return problem_set(problem, error, "Failed to start: %s", why->text);
}

/* --- Before the node --- */

static int begin(const struct relay *r, struct problem *problem) {
    const struct relay_config *c = r->cfg->config;
    struct problem why = PROBLEM_INIT;

    say(r, "=== Private libp2p Relay Server (%s) ===\n", version_release());
    int e = relay_config_check(c, &why);
    if (e < 0)
        return fail_to_start(e, &why, problem);
    say(r, "Loaded configuration from %s", c->base.path);
    say(r, "Authentication: %s", c->security.enable_connection_gating ? "true" : "false");
    if (c->telemetry.audit_enabled)
        say(r, "Telemetry: audit logging enabled");
    return 0;
}

/* Tells whom the gate will let in; the node reads the list again. */
static int check_list(const struct relay *r, struct problem *problem) {
    SCOPED(authkeys_freep) struct authkeys *keys = NULL;
    const char *path = r->cfg->config->security.authorized_keys_file;
    struct problem why = PROBLEM_INIT;
    uint32_t count;

    if (!r->cfg->config->security.enable_connection_gating) {
        say(r, "WARNING: Connection gating is DISABLED - any peer can use this relay!");
        return 0;
    }
    int e = authkeys_load(r->cfg->mem, path, &keys, &why);
    if (e < 0)
        return problem_set(problem, e, "Failed to load authorized keys: %s", why.text);
    (void)authkeys_items(keys, &count);
    if (count == 0)
        say(r,
            "WARNING: %s is empty - nobody can use this relay!\n"
            "Authorize a peer with: peerup relay authorize <peer-id>",
            path);
    else
        say(r, "Loaded %u authorized peer(s) from %s", count, path);
    return 0;
}

/* --- The node by the config --- */

static int open_node(struct relay *r, struct problem *problem) {
    const struct relay_config *c = r->cfg->config;
    struct problem why = PROBLEM_INIT;
    char agent[64];

    struct multiaddr *listen = config_addrs_array(r->cfg->mem, &c->network.listen_addresses);
    if (listen == NULL)
        return problem_set(problem, -ENOMEM, "Failed to start: %s", err_text(ENOMEM));
    (void)snprintf(agent, sizeof(agent), "relay-server/%s", version_release());
    struct hop_service_config hop = {
        .reservations_max = (uint32_t)c->resources.max_reservations,
        .reservations_per_ip = (uint32_t)c->resources.max_reservations_per_ip,
        .reservations_per_asn = (uint32_t)c->resources.max_reservations_per_asn,
        .circuits_per_peer_max = (uint32_t)c->resources.max_circuits,
        .reservation_ttl = (nsec_t)c->resources.reservation_ttl_ns,
        .circuit_duration = (nsec_t)c->resources.session_duration_ns,
        .circuit_bytes = (uint64_t)c->resources.session_data_limit,
        .splices = c->relay.splice,
        .is_open = !c->security.enable_connection_gating,
    };
    struct node_config cfg = {
        .mem = r->cfg->mem,
        .log = r->cfg->log,
        .key_file = c->identity.key_file,
        .agent = agent,
        .listen = listen,
        .listen_count = c->network.listen_addresses.count,
        .authorized_keys_file =
            c->security.enable_connection_gating ? c->security.authorized_keys_file : NULL,
        .relay_service = &hop,
        .serves_stun = true,
        .serves_autonat = true,
        .serves_autonat_v1 = true,
        .conns_wanted = hop.reservations_max,
        .is_exclusive = true,
        .metrics = &r->metrics,
        .audit = c->telemetry.audit_enabled ? r->cfg->audit : NULL,
        .say = r->cfg->say,
        .say_user = r->cfg->user,
    };
    int e = node_open(&cfg, &r->node, &why);
    (void)mem_free(r->cfg->mem, listen);
    return e < 0 ? fail_to_start(e, &why, problem) : 0;
}

static void say_limits(const struct relay *r) {
    const struct relay_config *c = r->cfg->config;
    char duration[DURATION_TEXT_MAX], data[SIZE_TEXT_MAX];
    bool has_time = c->resources.session_duration_ns > 0;
    bool has_data = c->resources.session_data_limit > 0;

    say(r, "Relay limits: max_reservations=%lld, max_circuits=%lld, session=%s, data=%s%s",
        (long long)c->resources.max_reservations, (long long)c->resources.max_circuits,
        has_time ? duration_format(c->resources.session_duration_ns, duration) : "unlimited",
        has_data ? size_format(c->resources.session_data_limit, data) : "unlimited",
        has_data ? "/direction" : "");
}

static void say_addresses(const struct relay *r, const char *id) {
    struct multiaddr bound[SHOWN_ADDRS_MAX], shown[SHOWN_ADDRS_MAX];
    char text[MULTIADDR_TEXT_MAX];
    size_t bound_count = host_listen_addrs(node_host(r->node), bound, SHOWN_ADDRS_MAX);
    size_t count = public_addrs(bound, bound_count, shown, SHOWN_ADDRS_MAX);

    if (count == 0)
        say(r, "\nMultiaddrs: could not detect public IPs");
    else
        say(r, "\nMultiaddrs:");
    for (size_t i = 0; i < count; i++)
        say(r, "  %s/p2p/%s", multiaddr_format(&shown[i], text), id);
}

static void say_node(const struct relay *r) {
    const char *protocols[SHOWN_PROTOCOLS_MAX];
    char id[PEER_ID_TEXT_MAX];

    say(r, "Peer ID: %s", peer_id_format(&node_identity(r->node)->id, id));
    say(r, "Event loop: %s", reactor_features(node_reactor(r->node))->backend);
    say(r, "\nProtocols:");
    size_t count = host_protocols(node_host(r->node), protocols, SHOWN_PROTOCOLS_MAX);
    for (size_t i = 0; i < MIN(count, (size_t)SHOWN_PROTOCOLS_MAX); i++)
        say(r, "  %s", protocols[i]);
    say_addresses(r, id);
}

/* --- While it runs --- */

static int open_events(struct relay *r, struct problem *problem) {
    const struct relay_status_config status = {
        .reactor = node_reactor(r->node),
        .host = node_host(r->node),
        .every = RELAY_STATUS_EVERY,
        .say = r->cfg->say,
        .user = r->cfg->user,
    };

    int e = stop_signals_open(&r->stop, r->node);
    if (e == 0)
        e = gate_watch_open(&r->gate_watch, r->node, r->cfg->log);
    if (e == 0)
        e = watchdog_open(&r->watchdog, status.reactor);
    if (e == 0)
        e = relay_status_open(&r->status, &status);
    return e < 0 ? problem_set(problem, e, "Failed to start: %s", err_text(e)) : 0;
}

/* Last, and after READY=1: nobody who needs the relay waits for it. */
static void open_http(struct relay *r) {
    const struct relay_config *c = r->cfg->config;
    const struct telemetry_http_config cfg = {
        .reactor = node_reactor(r->node),
        .host = node_host(r->node),
        .log = r->cfg->log,
        .metrics_at = c->telemetry.metrics_enabled ? c->telemetry.metrics_listen_address : NULL,
        .health_at = c->health.enabled ? c->health.listen_address : NULL,
        .registry = &r->registry,
        .relay = node_relay_service(r->node),
        .say = r->cfg->say,
        .user = r->cfg->user,
    };
    telemetry_http_open(&r->http, &cfg);
}

static void close_events(struct relay *r) {
    telemetry_http_close(&r->http);
    relay_admin_close(&r->admin);
    relay_status_close(&r->status);
    watchdog_close(&r->watchdog);
    gate_watch_close(&r->gate_watch);
    stop_signals_close(&r->stop);
}

static int serve(struct relay *r, struct problem *problem) {
    int e = open_events(r, problem);
    if (e == 0) {
        config_keep_last_good(r->cfg->mem, r->cfg->config->base.path, r->cfg->log);
        relay_admin_open(&r->admin, node_reactor(r->node), r->cfg->log, r->cfg->config);
        say_node(r);
        systemd_notify_ready();
        open_http(r);
        say(r, "\nPrivate relay running.");
        e = node_run(r->node);
        systemd_notify_stopping();
        if (e < 0)
            (void)problem_set(problem, e, "the event loop failed: %s", err_text(e));
        else
            say(r, "Shutting down...");
    }
    close_events(r);
    return e;
}

int run_relay(const struct run_relay_config *cfg, struct problem *ret_problem) {
    struct relay r = {.cfg = cfg};

    int e = begin(&r, ret_problem);
    if (e == 0)
        e = check_list(&r, ret_problem);
    if (e < 0)
        return e;
    limits_raise_descriptors(cfg->log);
    metric_registry_init(&r.registry);
    node_metrics_open(&r.metrics, &r.registry);
    e = open_node(&r, ret_problem);
    if (e == 0) {
        say_limits(&r);
        e = serve(&r, ret_problem);
        r.node = node_free(r.node);
    }
    node_metrics_close(&r.metrics);
    metric_registry_done(&r.registry);
    return e;
}

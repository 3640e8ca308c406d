/* SPDX-License-Identifier: MIT */
#include "ctl/run_daemon.h"

#include <stdarg.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/version.h"
#include "core/conf/archive.h"
#include "core/conf/config.h"
#include "core/p2p/identity.h"
#include "ctl/bootstrap.h"
#include "ctl/gate.h"
#include "ctl/gate_watch.h"
#include "ctl/limits.h"
#include "ctl/netmon.h"
#include "ctl/node.h"
#include "ctl/node_metrics.h"
#include "ctl/say.h"
#include "ctl/stop_signals.h"
#include "ctl/systemd.h"
#include "ctl/telemetry_http.h"
#include "ctl/watchdog.h"
#include "relay/proto/reach.h"
#include "relay/service.h"
#include "transport/host.h"
#include "uring/reactor.h"

enum { SHOWN_ADDRS_MAX = 32 };

struct daemon {
    const struct run_daemon_config *cfg;
    struct node *node;
    struct stop_signals stop;
    struct gate_watch gate_watch;
    struct bootstrap *bootstrap;
    struct watchdog watchdog;
    struct telemetry_http http;
    struct metric_registry registry;
    struct node_metrics metrics;
};

static void say(const struct daemon *d, const char *format, ...) PRINTF(2, 3);

static void say(const struct daemon *d, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say_v(d->cfg->say, d->cfg->user, format, args);
    va_end(args);
}

/* --- Before the node --- */

static void say_config(const struct daemon *d) {
    const struct config *c = d->cfg->config;

    say(d, "peerup daemon %s (%s)\n", version_release(), version_commit());
    say(d, "Loaded configuration from %s", c->base.path);
    say(d, "Rendezvous: %s\n", c->discovery.rendezvous);
    if (c->security.enable_connection_gating)
        say(d, "Loading authorized peers from %s", c->security.authorized_keys_file);
    else
        say(d, "WARNING: Connection gating is DISABLED - any peer can connect!\n");
    if (c->telemetry.audit_enabled)
        say(d, "Telemetry: audit logging enabled");
}

/* --- The node by the config --- */

static int open_node(struct daemon *d, struct problem *problem) {
    const struct config *c = d->cfg->config;
    const struct config_addrs *addrs = &c->network.listen_addresses;
    struct mem *mem = d->cfg->mem;
    enum dial_preference transport;

    if (dial_preference_parse(c->network.transport, &transport) < 0)
        return problem_set(problem, -ERR_CONFIG_INVALID, "network.transport: unknown");
    struct multiaddr *listen = config_addrs_array(mem, addrs);
    if (listen == NULL)
        return problem_set(problem, -ENOMEM, "%s", err_text(ENOMEM));
    struct node_config cfg = {
        .mem = mem,
        .log = d->cfg->log,
        .key_file = c->identity.key_file,
        .listen = listen,
        .listen_count = addrs->count,
        .transport = transport,
        .security = c->network.security,
        .authorized_keys_file =
            c->security.enable_connection_gating ? c->security.authorized_keys_file : NULL,
        .ping_protocol = c->protocols.ping_pong_enabled ? c->protocols.ping_pong_id : NULL,
        .relays = &c->relay.addresses,
        .reservation_interval = (nsec_t)c->relay.reservation_interval_ns,
        .reserves = true,
        .serves_autonat = true,
        .punches = true,
        .maps_ports = c->network.port_mapping,
        .stun_servers = &c->network.stun_servers,
        .is_private = c->network.force_private_reachability,
        .splices = c->relay.splice,
        .serve_perf = true,
        .is_exclusive = true,
        .metrics = &d->metrics,
        .audit = c->telemetry.audit_enabled ? d->cfg->audit : NULL,
        .say = d->cfg->say,
        .say_user = d->cfg->user,
    };
    int e = node_open(&cfg, &d->node, problem);
    (void)mem_free(mem, listen);
    return e;
}

static void say_node(const struct daemon *d) {
    struct multiaddr addrs[SHOWN_ADDRS_MAX];
    char text[MULTIADDR_TEXT_MAX];
    char id[PEER_ID_TEXT_MAX];
    const struct gate_table *gate = node_gate(d->node);

    if (gate != NULL && gate_table_count(gate) == 0)
        say(d,
            "WARNING: %s is empty - nobody can connect!\n"
            "Authorize a peer with: peerup auth add <peer-id>",
            gate_table_path(gate));
    (void)peer_id_format(&node_identity(d->node)->id, id);
    say(d, "Peer ID: %s\n", id);
    size_t count = host_listen_addrs(node_host(d->node), addrs, SHOWN_ADDRS_MAX);
    for (size_t i = 0; i < count; i++)
        say(d, "Listening on %s/p2p/%s", multiaddr_format(&addrs[i], text), id);
    if (count == 0)
        say(d, "WARNING: no QUIC listen address - nobody can connect!");
    if (!d->cfg->config->protocols.ping_pong_enabled)
        say(d, "Ping-pong protocol disabled in config");
    say(d, "Event loop: %s\n", reactor_features(node_reactor(d->node))->backend);
}

/* Interfaces of which an address is global. */
static uint32_t count_interfaces(const struct netwatch_snapshot *s, struct reach_ips *ret_ips) {
    uint32_t count = 0;
    *ret_ips = (struct reach_ips){0};
    for (uint32_t i = 0; i < s->links_count; i++) {
        unsigned before = ret_ips->global_ip4_count + ret_ips->global_ip6_count;
        for (uint32_t j = 0; j < s->addrs_count; j++)
            if (s->addrs[j].link_index == s->links[i].index)
                reach_add_ip(ret_ips, &s->addrs[j].ip);
        count += ret_ips->global_ip4_count + ret_ips->global_ip6_count > before;
    }
    return count;
}

static void say_interfaces(const struct daemon *d) {
    const struct netwatch_snapshot *s = netwatch_snapshot(node_netmon(d->node)->watch);
    struct reach_ips ips;
    if (!s->is_known)
        return;
    uint32_t count = count_interfaces(s, &ips);
    say(d, "Network interfaces: %u with global addresses", count);
    if (ips.global_ip6_count > 0)
        say(d, "  Global IPv6: %u addresses (direct connections possible)", ips.global_ip6_count);
    if (ips.global_ip4_count > 0)
        say(d, "  Global IPv4: %u addresses", ips.global_ip4_count);
    if (count == 0)
        say(d, "  No global addresses detected - relay will be required");
}

/* A service that cannot be registered is logged and left out: the others are as good as before. */
static void open_service(const struct daemon *d, const struct config_service *s) {
    struct problem why = PROBLEM_INIT;
    struct service_config cfg = {
        .name = s->item.key,
        .host = s->local.host,
        .port = s->local.port,
        .is_restricted = s->allowed_peers.is_set,
        .allowed = s->allowed_peers.items,
        .allowed_count = s->allowed_peers.count,
    };
    if (services_add(node_services(d->node), &cfg, &why) < 0) {
        log_error(d->cfg->log, L_NODE, "service not registered", kv_str("service", s->item.key),
                  kv_str("reason", why.text));
        return;
    }
    say(d, "Exposing service: %s -> %s", s->item.key, s->local.text);
    if (s->allowed_peers.is_set)
        say(d, "  ACL: %u allowed peers", s->allowed_peers.count);
}

static void open_services(const struct daemon *d) {
    const struct config *c = d->cfg->config;
    for (uint32_t i = 0; i < c->services_count; i++)
        if (c->services[i].enabled)
            open_service(d, &c->services[i]);
}

static void on_bootstrapped(void *user, uint32_t connected) {
    say(user, "Connected to %u bootstrap peers", connected);
}

/* --- While it runs --- */

static int open_events(struct daemon *d, struct problem *problem) {
    int e = stop_signals_open(&d->stop, d->node);
    if (e == 0)
        e = gate_watch_open(&d->gate_watch, d->node, d->cfg->log);
    if (e == 0)
        e = watchdog_open(&d->watchdog, node_reactor(d->node));
    return e < 0 ? problem_set(problem, e, "cannot watch signals: %s", err_text(e)) : 0;
}

/* After READY=1: nobody who needs the daemon waits for it. */
static void open_http(struct daemon *d) {
    const struct config *c = d->cfg->config;
    const struct telemetry_http_config cfg = {
        .reactor = node_reactor(d->node),
        .host = node_host(d->node),
        .log = d->cfg->log,
        .metrics_at = c->telemetry.metrics_enabled ? c->telemetry.metrics_listen_address : NULL,
        .registry = &d->registry,
        .services = node_services(d->node),
        .say = d->cfg->say,
        .user = d->cfg->user,
    };
    telemetry_http_open(&d->http, &cfg);
}

static void close_events(struct daemon *d) {
    telemetry_http_close(&d->http);
    watchdog_close(&d->watchdog);
    gate_watch_close(&d->gate_watch);
    stop_signals_close(&d->stop);
}

static int serve(struct daemon *d, struct problem *problem) {
    int e = open_events(d, problem);
    if (e == 0) {
        config_keep_last_good(d->cfg->mem, d->cfg->config->base.path, d->cfg->log);
        say_node(d); /* who reads it may send signals from here on */
        say_interfaces(d);
        open_services(d);
        e = bootstrap_start(node_reactor(d->node), node_host(d->node), d->cfg->log,
                            &d->cfg->config->discovery.bootstrap_peers, on_bootstrapped, d,
                            &d->bootstrap);
    }
    if (e == 0) {
        systemd_notify_ready();
        open_http(d);
        e = node_run(d->node);
        if (e < 0)
            (void)problem_set(problem, e, "the event loop failed: %s", err_text(e));
        else
            say(d, "Received %s, shutting down...", stop_signals_name(&d->stop));
        systemd_notify_stopping();
    }
    d->bootstrap = bootstrap_free(d->bootstrap);
    close_events(d);
    return e;
}

int run_daemon(const struct run_daemon_config *cfg, struct problem *ret_problem) {
    struct daemon d = {.cfg = cfg};

    int e = config_check(cfg->config, ret_problem);
    if (e < 0)
        return e;
    say_config(&d);
    limits_raise_descriptors(cfg->log);
    metric_registry_init(&d.registry);
    node_metrics_open(&d.metrics, &d.registry);
    e = open_node(&d, ret_problem);
    if (e == 0) {
        e = serve(&d, ret_problem);
        d.node = node_free(d.node);
    }
    node_metrics_close(&d.metrics);
    metric_registry_done(&d.registry);
    if (e == 0)
        say(&d, "Daemon stopped.");
    return e;
}

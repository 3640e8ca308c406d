/* SPDX-License-Identifier: MIT */
#include "ctl/node.h"

#include <stdio.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/version.h"
#include "core/conf/authkeys.h"
#include "core/conf/schema.h"
#include "core/p2p/identity.h"
#include "ctl/gate.h"
#include "ctl/lock.h"
#include "ctl/netmon.h"
#include "ctl/node_metrics.h"
#include "ctl/reachability.h"
#include "ctl/stun_servers.h"
#include "ctl/sysenv.h"
#include "relay/autonat_service.h"
#include "relay/autonat_v1_service.h"
#include "relay/circuit_transport.h"
#include "relay/external_addrs.h"
#include "relay/holepunch.h"
#include "relay/hop_service.h"
#include "relay/ping.h"
#include "relay/portmap.h"
#include "relay/reservations.h"
#include "relay/service.h"
#include "relay/splice_client.h"
#include "relay/stranger.h"
#include "relay/stun_service.h"
#include "transport/host.h"
#include "transport/upgrade.h"
#include "uring/reactor.h"
#include "uring/resolver.h"

/* An expiry further away is looked at again then: the wall clock may be set meanwhile. */
#define EXPIRY_CHECK_MAX SEC(3600)
#define LISTEN_PATIENCE  SEC(1)
#define LISTEN_PAUSE     MSEC(50)

enum { LISTEN_MAX = 32 };

struct node {
    struct mem *mem;
    struct log *log;
    struct log *audit;
    struct log_limit audit_denied;
    struct node_metrics *metrics;
    struct identity identity;
    struct reactor *reactor;
    struct resolver *resolver;
    struct resolver *own_resolver; /* NULL: the caller's is used */
    struct netmon netmon;
    struct gate_table *gate;
    struct timer expiry;
    struct host *host;
    struct services *services;
    struct circuit_transport *circuit; /* the host's */
    struct reservations *reservations;
    struct reachability *reachability; /* NULL: we do not listen */
    struct holepunch *holepunch;
    struct portmap *portmap;
    struct hop_service *relay_service;
    struct stun_service *stun_service;
    struct stranger *stranger; /* who dials back for AutoNAT */
    struct autonat_service *autonat_service;
    struct autonat_v1_service *autonat_v1_service;
    struct splice_client *splice_client;
    struct ping_server *ping;
    int lock;
    bool has_expiry;
    bool services_closed;
    bool portmap_closed;
    bool relay_closed;
    bool stun_closed;
    bool stranger_closed;
    bool host_closed;
    bool is_closed;
};

static int open_reactor(struct node *n, const struct node_config *node_cfg,
                        struct problem *problem) {
    struct reactor_config cfg = {.mem = n->mem,
                                 .log = n->log,
                                 .backend = node_cfg->backend,
                                 .backend_context = node_cfg->backend_context};
    int e = reactor_new(&cfg, &n->reactor);
    if (e == -EINVAL)
        return problem_set(problem, e, "PEERUP_IO must be io_uring, epoll or empty");
    if (e < 0)
        return problem_set(problem, e, "cannot set up the event loop: %s", err_text(e));
    if (node_cfg->resolver == NULL)
        e = resolver_system_new(n->reactor, NULL, &n->own_resolver);
    n->resolver = node_cfg->resolver == NULL ? n->own_resolver : node_cfg->resolver;
    if (e == 0)
        e = netmon_open(&n->netmon, n->reactor, node_cfg->netwatch);
    return e < 0 ? problem_set(problem, e, "%s", err_text(e)) : 0;
}

/* --- The gate --- */

static void schedule_expiry(struct node *n) {
    walltime_t now = reactor_walltime(n->reactor);
    walltime_t next = gate_table_next_expiry(n->gate, now);
    if (next == AUTHKEY_NO_EXPIRY) {
        timer_stop(&n->expiry);
        return;
    }
    nsec_t wait = MIN((uint64_t)(next - now), EXPIRY_CHECK_MAX / SEC(1)) * SEC(1);
    timer_start(&n->expiry, reactor_now(n->reactor) + wait);
}

static void on_expiry(struct timer *t) {
    struct node *n = CONTAINER_OF(t, struct node, expiry);

    host_gate_changed(n->host);
    schedule_expiry(n);
}

int node_reload_gate(struct node *n, struct problem *ret_problem) {
    if (n->gate == NULL)
        return 0;
    int e = gate_table_reload(n->gate, ret_problem);
    if (e < 0)
        return e;
    host_gate_changed(n->host);
    schedule_expiry(n);
    return 0;
}

/* Strangers may come as often as they like, so what is written of those who were not let in has a
 * bound; metrics count them all. */
static void on_decided(void *user, const struct peer_id *peer, bool inbound, bool allowed) {
    struct node *n = user;
    char text[PEER_ID_SHORT_MAX];
    node_metrics_decided(n->metrics, allowed);
    if (!allowed && !log_allow(&n->audit_denied, reactor_now(n->reactor)))
        return;
    log_info(n->audit, L_GATE, "auth_decision", kv_str("peer", peer_id_format_short(peer, text)),
             kv_str("direction", inbound ? "inbound" : "outbound"),
             kv_str("result", allowed ? "allow" : "deny"));
}

static void on_list_changed(void *user, const struct peer_id *peer, bool is_added) {
    const struct node *n = user;
    char text[PEER_ID_SHORT_MAX];
    log_info(n->audit, L_GATE, "auth_change", kv_str("action", is_added ? "add" : "remove"),
             kv_str("peer", peer_id_format_short(peer, text)));
}

static int open_gate(struct node *n, const char *path, struct problem *problem) {
    if (path == NULL)
        return 0;
    int e = gate_table_new(n->mem, path, n->log, &n->gate, problem);
    if (e < 0)
        return e;
    gate_table_set_watcher(
        n->gate,
        &(struct gate_watcher){.decided = on_decided, .changed = on_list_changed, .user = n});
    e = timer_init(&n->expiry, n->reactor, on_expiry);
    if (e < 0)
        return problem_set(problem, e, "%s", err_text(e));
    n->has_expiry = true;
    schedule_expiry(n);
    return 0;
}

/* --- The host and what it serves --- */

static unsigned securities_of(const char *name) {
    if (name != NULL && strcmp(name, "tls") == 0)
        return UPGRADE_TLS;
    if (name != NULL && strcmp(name, "noise") == 0)
        return UPGRADE_NOISE;
    return UPGRADE_TLS | UPGRADE_NOISE;
}

/* A relay's clients stand idle all day, and strangers may be welcome: they must not be trimmed. */
static struct host_limits limits_of(const struct node_config *cfg) {
    return (struct host_limits){.conns_max = HOST_CONNS_MAX + cfg->conns_wanted,
                                .conns_high = HOST_CONNS_HIGH + cfg->conns_wanted,
                                .conns_low = HOST_CONNS_LOW + cfg->conns_wanted,
                                .grace = HOST_CONNS_GRACE};
}

/* The sockets of a process that was killed close a moment after it has gone, since its ring does:
 * whoever is started in its place finds their ports taken. */
static int host_new_patiently(struct node *n, const struct host_config *cfg,
                              struct problem *problem) {
    nsec_t until = reactor_now(n->reactor) + LISTEN_PATIENCE;
    int e = host_new(cfg, problem, &n->host);
    while (e == -EADDRINUSE && reactor_now(n->reactor) < until) {
        nsec_t again = reactor_now(n->reactor) + LISTEN_PAUSE;
        while (reactor_now(n->reactor) < again)
            if (reactor_turn(n->reactor, again) < 0)
                return e;
        e = host_new(cfg, problem, &n->host);
    }
    return e;
}

static int open_host(struct node *n, const struct node_config *cfg, struct problem *problem) {
    struct multiaddr listen[LISTEN_MAX];
    char agent[64];
    char text[MULTIADDR_TEXT_MAX];
    size_t count = 0;

    for (uint32_t i = 0; i < cfg->listen_count; i++) {
        enum multiaddr_kind kind = multiaddr_kind(&cfg->listen[i]);
        if (kind != MULTIADDR_KIND_QUIC && kind != MULTIADDR_KIND_TCP && kind != MULTIADDR_KIND_WS)
            log_info(n->log, L_NODE,
                     "only QUIC, TCP and WebSocket are listened on: address passed over",
                     kv_str("address", multiaddr_format(&cfg->listen[i], text)));
        else if (count == LISTEN_MAX)
            return problem_set(problem, -ERR_LIMIT, "more than %d listen addresses", LISTEN_MAX);
        else
            listen[count++] = cfg->listen[i];
    }
    (void)snprintf(agent, sizeof(agent), "peerup/%s", version_release());
    struct host_config host_cfg = {
        .reactor = n->reactor,
        .identity = &n->identity,
        .resolver = n->resolver,
        .netwatch = n->netmon.watch,
        .agent = cfg->agent == NULL ? agent : cfg->agent,
        .gate = n->gate == NULL ? cfg->gate : gate_table_gate(n->gate),
        .listen = listen,
        .listen_count = count,
        .prefer = cfg->transport,
        .securities = securities_of(cfg->security),
        .serve_perf = cfg->serve_perf,
        .limits = limits_of(cfg),
    };
    return host_new_patiently(n, &host_cfg, problem);
}

/* --- Our addresses, and direct ways instead of relayed ones --- */

static void on_addr_added(void *user) {
    const struct node *n = user;
    if (n->holepunch != NULL)
        holepunch_addrs_added(n->holepunch);
}

/* The one-sided dial is no punch. */
static void on_punched(void *user, const struct peer_id *peer, enum holepunch_outcome outcome,
                       nsec_t took) {
    const struct node *n = user;
    (void)peer;
    if (outcome != HOLEPUNCH_REVERSED)
        node_metrics_punched(n->metrics, outcome == HOLEPUNCH_SUCCEEDED, took);
}

/* The relays of the config are the user's own: their word on where we are seen counts. */
static int open_reachability(struct node *n, const struct node_config *cfg) {
    static const struct config_addrs no_relays = {.count = 0};
    struct peer_id trusted[EXTERNAL_TRUSTED_MAX];
    struct stun_servers servers = {.count = 0};
    struct multiaddr addr;
    size_t count = 0;
    for (uint32_t i = 0; cfg->relays != NULL && i < cfg->relays->count; i++) {
        if (count < EXTERNAL_TRUSTED_MAX)
            count += multiaddr_split_peer(&cfg->relays->items[i].addr, &addr, &trusted[count]) == 0;
    }
    if (cfg->stun_servers != NULL)
        stun_servers_choose(cfg->stun_servers, cfg->relays == NULL ? &no_relays : cfg->relays,
                            &servers);
    struct reachability_config reach_cfg = {.reactor = n->reactor,
                                            .host = n->host,
                                            .resolver = n->resolver,
                                            .netwatch = n->netmon.watch,
                                            .log = n->log,
                                            .trusted = trusted,
                                            .trusted_count = count,
                                            .stun_servers = servers.list,
                                            .stun_servers_count = servers.count,
                                            .is_private = cfg->is_private,
                                            .metrics = n->metrics,
                                            .addr_added = on_addr_added,
                                            .user = n,
                                            .say = cfg->say,
                                            .say_user = cfg->say_user};
    return reachability_new(&reach_cfg, &n->reachability);
}

static void on_mapped(void *user) {
    const struct node *n = user;
    struct multiaddr addrs[PORTMAP_PORTS_MAX];
    size_t count = portmap_addrs(n->portmap, addrs);
    external_addrs_set_mapped(reachability_external(n->reachability), addrs, count);
}

static int open_portmap(struct node *n) {
    struct multiaddr bound[LISTEN_MAX];
    size_t count = host_listen_addrs(n->host, bound, LISTEN_MAX);
    struct portmap_config cfg = {.reactor = n->reactor,
                                 .netwatch = n->netmon.watch,
                                 .log = n->log,
                                 .listen = bound,
                                 .listen_count = MIN(count, (size_t)LISTEN_MAX),
                                 .changed = on_mapped,
                                 .user = n};
    return portmap_new(&cfg, &n->portmap);
}

/* Who does not listen has no address to tell. */
static int open_punching(struct node *n, const struct node_config *cfg, struct problem *problem) {
    if (cfg->listen_count == 0)
        return 0;
    int e = open_reachability(n, cfg);
    if (e == 0 && cfg->punches) {
        struct holepunch_config punch_cfg = {.reactor = n->reactor,
                                             .host = n->host,
                                             .log = n->log,
                                             .external = reachability_external(n->reachability),
                                             .ended = on_punched,
                                             .user = n};
        e = holepunch_new(&punch_cfg, &n->holepunch);
    }
    if (e == 0 && cfg->maps_ports)
        e = open_portmap(n);
    return e < 0 ? problem_set(problem, e, "cannot set up hole punching: %s", err_text(e)) : 0;
}

/* --- Relays --- */

static int open_reservations(struct node *n, const struct node_config *cfg,
                             struct problem *problem) {
    const struct config_addrs *relays = cfg->relays;
    struct multiaddr *addrs = mem_alloc_array(n->mem, relays->count, sizeof(*addrs));
    if (addrs == NULL)
        return problem_set(problem, -ENOMEM, "%s", err_text(ENOMEM));
    for (uint32_t i = 0; i < relays->count; i++)
        addrs[i] = relays->items[i].addr;
    struct reservations_config reservations_cfg = {
        .reactor = n->reactor,
        .host = n->host,
        .circuit = n->circuit,
        .log = n->log,
        .relays = addrs,
        .relays_count = relays->count,
        .renew_interval = cfg->reservation_interval > 0 ? cfg->reservation_interval : NSEC_NEVER,
        .reserves = cfg->reserves,
    };
    int e = reservations_new(&reservations_cfg, problem, &n->reservations);
    (void)mem_free(n->mem, addrs);
    return e;
}

static int open_relay_service(struct node *n, const struct node_config *cfg,
                              struct problem *problem) {
    struct hop_service_config hop_cfg = *cfg->relay_service;
    hop_cfg.reactor = n->reactor;
    hop_cfg.host = n->host;
    hop_cfg.log = n->log;
    int e = hop_service_new(&hop_cfg, &n->relay_service);
    return e < 0 ? problem_set(problem, e, "cannot set up the relay: %s", err_text(e)) : 0;
}

static int open_stun_service(struct node *n, const struct node_config *cfg,
                             struct problem *problem) {
    struct stun_service_config stun_cfg = {.reactor = n->reactor, .host = n->host, .log = n->log};
    int e = cfg->serves_stun ? stun_service_new(&stun_cfg, &n->stun_service) : 0;
    return e < 0 ? problem_set(problem, e, "cannot set up STUN: %s", err_text(e)) : 0;
}

static int open_autonat_service(struct node *n, const struct node_config *cfg,
                                struct problem *problem) {
    if (!cfg->serves_autonat)
        return 0;
    int e = stranger_new(n->reactor, &n->stranger);
    if (e == 0) {
        struct autonat_service_config autonat_cfg = {.reactor = n->reactor,
                                                     .host = n->host,
                                                     .stranger = n->stranger,
                                                     .log = n->log,
                                                     .netwatch = n->netmon.watch};
        e = autonat_service_new(&autonat_cfg, &n->autonat_service);
    }
    if (e == 0 && cfg->serves_autonat_v1) {
        struct autonat_v1_service_config v1_cfg = {
            .reactor = n->reactor, .host = n->host, .stranger = n->stranger, .log = n->log};
        e = autonat_v1_service_new(&v1_cfg, &n->autonat_v1_service);
    }
    return e < 0 ? problem_set(problem, e, "cannot set up AutoNAT: %s", err_text(e)) : 0;
}

static int open_splice_client(struct node *n) {
    struct splice_client_config cfg = {
        .reactor = n->reactor, .host = n->host, .circuit = n->circuit, .log = n->log};
    return splice_client_new(&cfg, &n->splice_client);
}

static int open_relays(struct node *n, const struct node_config *cfg, struct problem *problem) {
    struct circuit_transport_config circuit_cfg = {
        .reactor = n->reactor, .host = n->host, .securities = securities_of(cfg->security)};
    int e = circuit_transport_new(&circuit_cfg, &n->circuit);
    if (e < 0)
        return problem_set(problem, e, "cannot set up circuits: %s", err_text(e));
    if (cfg->relay_service != NULL && (e = open_relay_service(n, cfg, problem)) < 0)
        return e;
    if (cfg->splices && (e = open_splice_client(n)) < 0)
        return problem_set(problem, e, "cannot set up spliced paths: %s", err_text(e));
    if (cfg->relays == NULL || cfg->relays->count == 0)
        return 0;
    return open_reservations(n, cfg, problem);
}

static int open_handlers(struct node *n, const struct node_config *cfg, struct problem *problem) {
    struct services_config services_cfg = {.reactor = n->reactor,
                                           .host = n->host,
                                           .resolver = n->resolver,
                                           .log = n->log,
                                           .audit = n->audit};
    int e = services_new(&services_cfg, &n->services);
    if (e == 0 && cfg->ping_protocol != NULL)
        e = ping_server_new(n->reactor, n->host, cfg->ping_protocol, &n->ping);
    if (e == -EEXIST)
        return problem_set(problem, e, "protocols.ping_pong.id: %s is a protocol already",
                           cfg->ping_protocol);
    return e < 0 ? problem_set(problem, e, "%s", err_text(e)) : 0;
}

static void start_netmon(struct node *n, const struct node_config *cfg) {
    struct netmon_config netmon_cfg = {.host = n->host,
                                       .reservations = n->reservations,
                                       .reachability = n->reachability,
                                       .holepunch = n->holepunch,
                                       .portmap = n->portmap,
                                       .metrics = n->metrics,
                                       .log = n->log,
                                       .say = cfg->say,
                                       .user = cfg->say_user};
    netmon_start(&n->netmon, &netmon_cfg);
}

static int open_all(struct node *n, const struct node_config *cfg, struct problem *problem) {
    int e = identity_load_or_create(cfg->key_file, sysenv_rng(), &n->identity, NULL, problem);
    if (e == 0 && cfg->is_exclusive)
        e = lock_take(cfg->key_file, &n->lock, problem);
    if (e == 0)
        e = open_reactor(n, cfg, problem);
    if (e == 0)
        e = open_gate(n, cfg->authorized_keys_file, problem);
    if (e == 0)
        e = open_host(n, cfg, problem);
    if (e == 0)
        e = open_punching(n, cfg, problem);
    if (e == 0)
        e = open_relays(n, cfg, problem);
    if (e == 0)
        e = open_stun_service(n, cfg, problem);
    if (e == 0)
        e = open_autonat_service(n, cfg, problem);
    if (e == 0)
        e = open_handlers(n, cfg, problem);
    if (e == 0)
        start_netmon(n, cfg);
    return e;
}

int node_open(const struct node_config *cfg, struct node **ret_node, struct problem *ret_problem) {
    struct node *n = mem_alloc(cfg->mem, sizeof(*n));
    if (n == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s", err_text(ENOMEM));
    n->mem = cfg->mem;
    n->log = cfg->log;
    n->audit = cfg->audit;
    n->audit_denied = LOG_LIMIT_INIT(100, MSEC(100));
    n->metrics = cfg->metrics;
    n->lock = -1;
    int e = open_all(n, cfg, ret_problem);
    if (e < 0) {
        (void)node_free(n);
        return e;
    }
    *ret_node = n;
    return 0;
}

/* --- Running and ending --- */

int node_run(struct node *n) {
    return reactor_run(n->reactor);
}

void node_stop(struct node *n) {
    reactor_stop(n->reactor);
}

static void on_services_closed(void *user) {
    ((struct node *)user)->services_closed = true;
}

static void on_portmap_closed(void *user) {
    ((struct node *)user)->portmap_closed = true;
}

static void on_relay_closed(void *user) {
    ((struct node *)user)->relay_closed = true;
}

static void on_stun_closed(void *user) {
    ((struct node *)user)->stun_closed = true;
}

static void on_stranger_closed(void *user) {
    ((struct node *)user)->stranger_closed = true;
}

static void on_host_closed(void *user) {
    ((struct node *)user)->host_closed = true;
}

/* false: the reactor is broken, or it took too long. */
static bool turn_until(struct node *n, const bool *done) {
    nsec_t deadline = reactor_now(n->reactor) + NODE_CLOSE_TIMEOUT;
    while (!*done && reactor_now(n->reactor) < deadline)
        if (reactor_turn(n->reactor, deadline) < 0)
            return false;
    return *done;
}

/* What closes by itself: the sockets of a host that could not be set up, the watch of signals. */
static void turn_until_no_handles(struct node *n) {
    nsec_t deadline = reactor_now(n->reactor) + NODE_CLOSE_TIMEOUT;
    int e = reactor_turn(n->reactor, 0);
    while (e == 0 && reactor_has_handles(n->reactor) && reactor_now(n->reactor) < deadline)
        e = reactor_turn(n->reactor, deadline);
}

/* What does not end in time keeps node_free() from freeing it. */
static void wait_for(struct node *n, const bool *done, const char *complaint) {
    if (!turn_until(n, done))
        log_warn(n->log, L_NODE, complaint);
}

/* What asks others. */
static void close_clients(struct node *n) {
    n->ping = ping_server_free(n->ping);
    n->holepunch = holepunch_free(n->holepunch);
    if (n->reachability != NULL)
        reachability_stop(n->reachability); /* its lookups end before the resolver does */
    n->reservations = reservations_free(n->reservations);
    if (n->portmap != NULL) {
        portmap_close(n->portmap, on_portmap_closed, n);
        wait_for(n, &n->portmap_closed, "port mapping did not end in time");
    }
}

/* What others ask. */
static void close_servers(struct node *n) {
    if (n->services != NULL) {
        services_close(n->services, on_services_closed, n);
        wait_for(n, &n->services_closed, "services did not end in time");
    }
    if (n->relay_service != NULL) {
        hop_service_close(n->relay_service, on_relay_closed, n);
        wait_for(n, &n->relay_closed, "circuits did not end in time");
    }
    n->autonat_service = autonat_service_free(n->autonat_service);
    n->autonat_v1_service = autonat_v1_service_free(n->autonat_v1_service);
    if (n->stranger != NULL) {
        stranger_close(n->stranger, on_stranger_closed, n);
        wait_for(n, &n->stranger_closed, "dial-backs did not end in time");
    }
    if (n->stun_service != NULL) {
        stun_service_close(n->stun_service, on_stun_closed, n);
        wait_for(n, &n->stun_closed, "STUN's sockets did not close in time");
    }
}

void node_close(struct node *n) {
    if (n->is_closed || n->reactor == NULL)
        return;
    n->is_closed = true;
    netmon_stop(&n->netmon);
    close_clients(n);
    close_servers(n);
    /* From now on the relay lets spliced paths go on for so long only as what is on them takes. */
    n->splice_client = splice_client_free(n->splice_client);
    n->reachability = reachability_free(n->reachability); /* peers need not hear of it any more */
    if (n->host != NULL) {
        host_close(n->host, on_host_closed, n);
        wait_for(n, &n->host_closed, "connections did not end in time");
    }
    /* Before the last turns, in which their descriptors close.  Nobody asks them any more. */
    if ((n->services == NULL || n->services_closed) && (n->host == NULL || n->host_closed)) {
        n->own_resolver = resolver_system_free(n->own_resolver);
        netmon_close(&n->netmon);
    }
    turn_until_no_handles(n);
}

struct node *node_free(struct node *n) {
    if (n == NULL)
        return NULL;
    node_close(n);
    if ((n->services != NULL && !n->services_closed) ||
        (n->portmap != NULL && !n->portmap_closed) ||
        (n->relay_service != NULL && !n->relay_closed) ||
        (n->stranger != NULL && !n->stranger_closed) ||
        (n->stun_service != NULL && !n->stun_closed) || (n->host != NULL && !n->host_closed)) {
        /* The kernel or a callback may still come back to it. */
        log_error(n->log, L_NODE, "the node did not end and is left behind");
        lock_release(&n->lock);
        return NULL;
    }
    n->portmap = portmap_free(n->portmap);
    n->services = services_free(n->services);
    n->relay_service = hop_service_free(n->relay_service);
    n->stranger = stranger_free(n->stranger);
    n->stun_service = stun_service_free(n->stun_service);
    n->host = host_free(n->host);
    if (n->has_expiry)
        timer_done(&n->expiry);
    n->gate = gate_table_free(n->gate);
    n->reactor = reactor_free(n->reactor);
    lock_release(&n->lock);
    identity_done(&n->identity);
    return mem_free(n->mem, n);
}

struct reactor *node_reactor(const struct node *n) {
    return n->reactor;
}

struct host *node_host(const struct node *n) {
    return n->host;
}

struct services *node_services(const struct node *n) {
    return n->services;
}

struct hop_service *node_relay_service(const struct node *n) {
    return n->relay_service;
}

struct reservations *node_reservations(const struct node *n) {
    return n->reservations;
}

const struct netmon *node_netmon(const struct node *n) {
    return &n->netmon;
}

const struct reachability *node_reachability(const struct node *n) {
    return n->reachability;
}

const struct autonat_service *node_autonat_service(const struct node *n) {
    return n->autonat_service;
}

const struct stun_service *node_stun_service(const struct node *n) {
    return n->stun_service;
}

struct splice_client *node_splice_client(const struct node *n) {
    return n->splice_client;
}

struct holepunch *node_holepunch(const struct node *n) {
    return n->holepunch;
}

const struct identity *node_identity(const struct node *n) {
    return &n->identity;
}

const struct gate_table *node_gate(const struct node *n) {
    return n->gate;
}

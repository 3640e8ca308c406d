/* SPDX-License-Identifier: MIT */
#include "ctl/client.h"

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/net_addr.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/names.h"
#include "ctl/limits.h"
#include "ctl/lock.h"
#include "ctl/node.h"
#include "uring/reactor.h"

enum { CLIENT_LISTEN_MAX = 4 };

static int check(const struct client_config *cfg, struct problem *problem) {
    const char *key_file = cfg->config->identity.key_file;

    if (key_file == NULL)
        return problem_set(problem, -ERR_CONFIG_INVALID, "%s: identity.key_file is required",
                           cfg->config->base.path);
    if (lock_is_taken(key_file))
        return problem_set(problem, -ERR_DAEMON_RUNNING,
                           "a daemon is running with this identity (%s): stop it, or use another "
                           "config with --config",
                           key_file);
    if (cfg->target->addrs_count == 0 && cfg->config->relay.addresses.count == 0)
        return problem_set(problem, -ERR_NO_ADDRESSES,
                           "no address is known for the peer, and there is no relay: give it as "
                           "/ip4/<address>/udp/<port>/quic-v1/p2p/<peer-id>, here or under names:, "
                           "or add a relay");
    return 0;
}

/* --- Whom it lets in --- */

static bool denies(struct gate *g, const struct peer_id *peer, walltime_t now) {
    (void)now;
    return !peer_id_equal(peer, &CONTAINER_OF(g, struct client, gate)->target);
}

/* --- Where it listens --- */

/* Where the config listens, but on any port: its own are a daemon's. */
static uint32_t any_ports(const struct config_addrs *configured,
                          struct multiaddr ret_listen[CLIENT_LISTEN_MAX]) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < configured->count && count < CLIENT_LISTEN_MAX; i++) {
        enum multiaddr_kind kind = multiaddr_kind(&configured->items[i].addr);
        struct net_addr at;
        if ((kind != MULTIADDR_KIND_QUIC && kind != MULTIADDR_KIND_TCP) ||
            multiaddr_to_net_addr(&configured->items[i].addr, &at) < 0)
            continue;
        at.port = 0;
        multiaddr_from_net_addr(&at, kind, &ret_listen[count]);
        count += !multiaddr_is_in(&ret_listen[count], ret_listen, count);
    }
    return count;
}

static int open_node(struct client *c, const struct client_config *cfg, struct problem *problem) {
    struct multiaddr listen[CLIENT_LISTEN_MAX];
    const struct config_addrs *relays = &cfg->config->relay.addresses;
    struct node_config node_cfg = {.mem = cfg->mem,
                                   .log = cfg->log,
                                   .key_file = cfg->config->identity.key_file,
                                   .gate = &c->gate,
                                   .transport = cfg->transport,
                                   .security = cfg->config->network.security,
                                   .relays = relays,
                                   .splices = cfg->config->relay.splice,
                                   .listen = listen,
                                   .punches = true,
                                   .is_private = cfg->config->network.force_private_reachability};
    if (cfg->punches && relays->count > 0)
        node_cfg.listen_count = any_ports(&cfg->config->network.listen_addresses, listen);
    if (node_cfg.listen_count == 0)
        return node_open(&node_cfg, &c->node, problem);
    struct problem why = PROBLEM_INIT;
    if (node_open(&node_cfg, &c->node, &why) == 0)
        return 0;
    node_cfg.listen_count = 0;
    int e = node_open(&node_cfg, &c->node, problem);
    if (e == 0) /* else it was not the listening, and the caller tells */
        log_warn(cfg->log, L_NODE, "not listening: what begins through a relay stays there",
                 kv_str("reason", why.text));
    return e;
}

int client_open(struct client *c, const struct client_config *cfg, struct problem *ret_problem) {
    *c = (struct client){.gate = {.denies = denies}};
    int e = check(cfg, ret_problem);
    if (e < 0)
        return e;
    limits_raise_descriptors(cfg->log);
    c->target = cfg->target->id;
    e = open_node(c, cfg, ret_problem);
    if (e < 0)
        return e;
    e = host_add_addrs(node_host(c->node), &cfg->target->id, cfg->target->addrs,
                       cfg->target->addrs_count);
    if (e == 0)
        e = stop_signals_open(&c->stop, c->node);
    if (e < 0) {
        client_close(c);
        return problem_set(ret_problem, e, "%s", err_text(e));
    }
    return 0;
}

static void on_connected(struct connect_request *r, const struct multiaddr *remote, int error) {
    struct client *c = CONTAINER_OF(r, struct client, connect);

    if (error < 0) {
        *c->problem = r->base.problem;
        client_end(c, error);
    } else {
        c->connected(c, remote, reactor_now(node_reactor(c->node)) - c->connect_began);
    }
}

int client_run(struct client *c, const struct target *target,
               void (*connected)(struct client *c, const struct multiaddr *remote, nsec_t took),
               struct problem *ret_problem) {
    nsec_t now = reactor_now(node_reactor(c->node));

    c->connected = connected;
    c->problem = ret_problem;
    c->connect_began = now;
    host_connect(node_host(c->node), &c->connect, &target->id, now + CLIENT_CONNECT_TIMEOUT,
                 on_connected);
    int e = node_run(c->node);
    connect_request_cancel(&c->connect);
    if (e < 0)
        return problem_set(ret_problem, e, "the event loop failed: %s", err_text(e));
    return c->error;
}

void client_end(struct client *c, int error) {
    c->error = error;
    node_stop(c->node);
}

void client_close(struct client *c) {
    if (c->node == NULL)
        return;
    stop_signals_close(&c->stop);
    c->node = node_free(c->node);
}

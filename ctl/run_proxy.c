/* SPDX-License-Identifier: MIT */
#include "ctl/run_proxy.h"

#include "core/base/err.h"
#include "core/base/net_addr.h"
#include "core/base/problem.h"
#include "core/conf/names.h"
#include "core/p2p/identity.h"
#include "ctl/client.h"
#include "ctl/node.h"
#include "relay/proxy.h"
#include "relay/relay_limit.h"

struct run {
    struct client client;
    const struct run_proxy_config *cfg;
    struct proxy *proxy;
    enum run_proxy_stage stage;
    bool proxy_closed;
};

static void on_refused(void *user, int error) {
    struct run *run = user;
    run->cfg->refused(run->cfg->user, error);
}

static void on_limit_met(void *user, int error, const struct conn_limit *limit) {
    struct run *run = user;
    char text[RELAY_LIMIT_TEXT_MAX];
    run->cfg->limit_met(run->cfg->user, error, relay_limit_format(error, limit, text));
}

static int open_proxy(struct run *run, struct problem *problem) {
    struct net_addr listen[2];

    proxy_listen_localhost(run->cfg->port, listen);
    struct proxy_config cfg = {
        .reactor = node_reactor(run->client.node),
        .host = node_host(run->client.node),
        .log = run->cfg->client.log,
        .peer = run->cfg->client.target->id,
        .service = run->cfg->service,
        .listen = listen,
        .listen_count = ARRAY_COUNT(listen),
        .refused = on_refused,
        .limit_met = on_limit_met,
        .user = run,
    };
    return proxy_open(&cfg, problem, &run->proxy);
}

static void on_connected(struct client *c, const struct multiaddr *remote, nsec_t took) {
    struct run *run = CONTAINER_OF(c, struct run, client);

    run->cfg->connected(run->cfg->user, remote, took);
    run->stage = RUN_PROXY_LISTEN;
    int e = open_proxy(run, c->problem);
    if (e < 0)
        client_end(c, e);
    else
        run->cfg->listening(run->cfg->user, proxy_addr(run->proxy)->port);
}

static void on_proxy_closed(void *user) {
    struct run *run = user;
    run->proxy_closed = true;
    node_stop(run->client.node);
}

static void close_proxy(struct run *run) {
    if (run->proxy == NULL)
        return;
    proxy_close(run->proxy, on_proxy_closed, run);
    if (node_run(run->client.node) == 0 && run->proxy_closed)
        run->proxy = proxy_free(run->proxy);
}

int run_proxy(const struct run_proxy_config *cfg, enum run_proxy_stage *ret_stage,
              struct problem *ret_problem) {
    struct run run = {.cfg = cfg, .stage = RUN_PROXY_START};

    int e = client_open(&run.client, &cfg->client, ret_problem);
    if (e == 0) {
        run.stage = RUN_PROXY_CONNECT;
        cfg->identified(cfg->user, &node_identity(run.client.node)->id);
        e = client_run(&run.client, cfg->client.target, on_connected, ret_problem);
        close_proxy(&run);
        client_close(&run.client);
    }
    if (e < 0)
        *ret_stage = run.stage;
    return e;
}

/* SPDX-License-Identifier: MIT */
#include "ctl/run_ping.h"

#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/names.h"
#include "ctl/client.h"
#include "ctl/node.h"
#include "ctl/ping_series.h"

struct run {
    struct client client;
    const struct run_ping_config *cfg;
    struct ping_series series;
};

static bool on_answered(struct ping_series *s, const struct ping_reply *reply) {
    struct run *run = CONTAINER_OF(s, struct run, series);
    run->cfg->answered(run->cfg->user, reply);
    return true;
}

static void end_run(struct run *run, int error) {
    if (error < 0)
        (void)problem_set(run->client.problem, error, "%s", err_text(error));
    client_end(&run->client, error);
}

static void on_ended(struct ping_series *s, int error) {
    end_run(CONTAINER_OF(s, struct run, series), error);
}

static void on_connected(struct client *c, const struct multiaddr *remote, nsec_t took) {
    struct run *run = CONTAINER_OF(c, struct run, client);
    (void)took;

    run->series = (struct ping_series){
        .reactor = node_reactor(c->node),
        .host = node_host(c->node),
        .peer = run->cfg->client.target->id,
        .protocol = run->cfg->client.config->protocols.ping_pong_id,
        .count = run->cfg->count,
        .interval = run->cfg->interval,
        .is_relayed = multiaddr_is_relayed(remote),
        .answered = on_answered,
        .ended = on_ended,
    };
    run->cfg->connected(run->cfg->user);
    int e = ping_series_start(&run->series);
    if (e < 0)
        end_run(run, e);
}

int run_ping(const struct run_ping_config *cfg, struct ping_stats *ret_stats,
             struct problem *ret_problem) {
    struct run run = {.cfg = cfg};

    int e = client_open(&run.client, &cfg->client, ret_problem);
    if (e < 0)
        return e;
    e = client_run(&run.client, cfg->client.target, on_connected, ret_problem);
    ping_series_cancel(&run.series);
    client_close(&run.client);
    if (e == 0)
        *ret_stats = run.series.stats;
    return e;
}

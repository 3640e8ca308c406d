/* SPDX-License-Identifier: MIT */
#include "ctl/run_ping.h"

#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/names.h"
#include "ctl/client.h"
#include "ctl/node.h"
#include "relay/ping.h"

struct run {
    struct client client;
    const struct run_ping_config *cfg;
    struct ping_request request;
    struct timer next;
    struct ping_stats stats;
    nsec_t asked_at;
    bool is_relayed;
};

static void ask(struct run *run);

static void on_done(struct ping_request *q, const struct ping_result *result) {
    struct run *run = CONTAINER_OF(q, struct run, request);
    struct ping_reply reply = {
        .seq = run->stats.sent + 1,
        .rtt = result->rtt,
        .error = result->error,
        .phase = result->phase,
        .is_relayed = run->is_relayed,
    };

    ping_stats_add(&run->stats, &reply);
    run->cfg->answered(run->cfg->user, &reply);
    if (run->cfg->count != 0 && run->stats.sent >= run->cfg->count)
        client_end(&run->client, 0);
    else
        timer_start(&run->next, run->asked_at + run->cfg->interval);
}

static void ask(struct run *run) {
    struct reactor *r = node_reactor(run->client.node);

    run->asked_at = reactor_now(r);
    int e = ping_request_start(&run->request, r, node_host(run->client.node),
                               &run->cfg->client.target->id,
                               run->cfg->client.config->protocols.ping_pong_id, on_done);
    if (e < 0) {
        (void)problem_set(run->client.problem, e, "%s", err_text(e));
        client_end(&run->client, e);
    }
}

static void on_next(struct timer *t) {
    ask(CONTAINER_OF(t, struct run, next));
}

static void on_connected(struct client *c, const struct multiaddr *remote, nsec_t took) {
    struct run *run = CONTAINER_OF(c, struct run, client);
    (void)took;

    run->is_relayed = multiaddr_is_relayed(remote);
    run->cfg->connected(run->cfg->user);
    ask(run);
}

static int run_with_timer(struct run *run, struct problem *problem) {
    int e = timer_init(&run->next, node_reactor(run->client.node), on_next);
    if (e < 0)
        return problem_set(problem, e, "%s", err_text(e));
    e = client_run(&run->client, run->cfg->client.target, on_connected, problem);
    ping_request_cancel(&run->request);
    timer_done(&run->next);
    return e;
}

int run_ping(const struct run_ping_config *cfg, struct ping_stats *ret_stats,
             struct problem *ret_problem) {
    struct run run = {.cfg = cfg};

    int e = client_open(&run.client, &cfg->client, ret_problem);
    if (e < 0)
        return e;
    e = run_with_timer(&run, ret_problem);
    client_close(&run.client);
    if (e == 0)
        *ret_stats = run.stats;
    return e;
}

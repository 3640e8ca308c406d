/* SPDX-License-Identifier: MIT */

/* libpeerup: pings. */

#include "core/base/err.h"
#include "ctl/node.h"
#include "ctl/peerup_internal.h"
#include "ctl/ping_series.h"

struct ping_call {
    struct call call;
    const char *target;
    struct peer_id peer;
    struct connect_request connect;
    struct ping_series series;
    uint64_t count;
    nsec_t interval;
    bool (*each)(void *user, const struct peerup_ping *ping);
    void *user;
};

static bool on_answered(struct ping_series *s, const struct ping_reply *reply) {
    struct ping_call *x = CONTAINER_OF(s, struct ping_call, series);
    struct peerup_ping ping = {
        .seq = reply->seq,
        .rtt_ms = ping_ms(reply->rtt),
        .is_relayed = reply->is_relayed,
        .error = reply->error,
    };
    return x->each == NULL || x->each(x->user, &ping);
}

static void on_ended(struct ping_series *s, int error) {
    call_finish(&CONTAINER_OF(s, struct ping_call, series)->call, error);
}

static void on_connected(struct connect_request *r, const struct multiaddr *remote, int error) {
    struct ping_call *x = CONTAINER_OF(r, struct ping_call, connect);
    struct peerup *p = x->call.p;

    if (error == 0) {
        x->series = (struct ping_series){
            .reactor = node_reactor(p->node),
            .host = node_host(p->node),
            .peer = x->peer,
            .protocol = p->ping_protocol,
            .count = x->count,
            .interval = x->interval,
            .is_relayed = multiaddr_is_relayed(remote),
            .answered = on_answered,
            .ended = on_ended,
        };
        error = ping_series_start(&x->series);
    }
    if (error < 0)
        call_finish(&x->call, error);
}

static void start_ping(struct call *c) {
    struct ping_call *x = CONTAINER_OF(c, struct ping_call, call);
    struct reactor *r = node_reactor(c->p->node);

    int e = peerup_find_peer(c->p, x->target, &x->peer);
    if (e < 0)
        call_finish(c, e);
    else
        host_connect(node_host(c->p->node), &x->connect, &x->peer,
                     reactor_now(r) + MSEC(PEERUP_CONNECT_TIMEOUT_MS), on_connected);
}

int peerup_ping(struct peerup *p, const char *target, uint64_t count, int interval_ms,
                bool (*each)(void *user, const struct peerup_ping *ping), void *user,
                struct peerup_ping_stats *ret_stats) {
    if (count == 0 || interval_ms < 0 || p->ping_protocol[0] == '\0')
        return -EINVAL;
    struct ping_call x = {
        .target = target,
        .count = count,
        .interval = MSEC(interval_ms),
        .each = each,
        .user = user,
    };
    int e = call_run(p, &x.call, start_ping);
    if (e < 0)
        return e;
    const struct ping_stats *s = &x.series.stats;
    *ret_stats = (struct peerup_ping_stats){
        .sent = s->sent,
        .received = s->received,
        .loss_percent = ping_stats_loss(s),
        .min_ms = ping_ms(s->min),
        .avg_ms = ping_stats_avg_ms(s),
        .max_ms = ping_ms(s->max),
    };
    return 0;
}

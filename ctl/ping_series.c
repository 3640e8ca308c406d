/* SPDX-License-Identifier: MIT */
#include "ctl/ping_series.h"

static void end(struct ping_series *s, int error) {
    timer_done(&s->next);
    s->is_open = false;
    s->ended(s, error);
}

static void on_done(struct ping_request *q, const struct ping_result *result) {
    struct ping_series *s = CONTAINER_OF(q, struct ping_series, request);
    struct ping_reply reply = {
        .seq = s->stats.sent + 1,
        .rtt = result->rtt,
        .error = result->error,
        .phase = result->phase,
        .is_relayed = s->is_relayed,
    };

    ping_stats_add(&s->stats, &reply);
    bool go_on = s->answered(s, &reply);
    if (!go_on || (s->count != 0 && s->stats.sent >= s->count))
        end(s, 0);
    else
        timer_start(&s->next, s->asked_at + s->interval);
}

static int ask(struct ping_series *s) {
    s->asked_at = reactor_now(s->reactor);
    return ping_request_start(&s->request, s->reactor, s->host, &s->peer, s->protocol, on_done);
}

static void on_next(struct timer *t) {
    struct ping_series *s = CONTAINER_OF(t, struct ping_series, next);
    int e = ask(s);
    if (e < 0)
        end(s, e);
}

int ping_series_start(struct ping_series *s) {
    s->stats = (struct ping_stats){0};
    int e = timer_init(&s->next, s->reactor, on_next);
    if (e < 0)
        return e;
    e = ask(s);
    if (e < 0) {
        timer_done(&s->next);
        return e;
    }
    s->is_open = true;
    return 0;
}

void ping_series_cancel(struct ping_series *s) {
    if (!s->is_open)
        return;
    s->is_open = false;
    ping_request_cancel(&s->request);
    timer_done(&s->next);
}

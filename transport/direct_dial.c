/* SPDX-License-Identifier: MIT */
#include "transport/direct_dial.h"

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/problem.h"
#include "transport/host_internal.h"
#include "transport/swarm_dial.h"

static bool is_tcp(const struct direct_try *t) {
    return multiaddr_has(&t->dial.to, MULTIADDR_TCP);
}

static void cancel_try(struct direct_try *t) {
    if (t->state == DIRECT_TRY_DIALLING || t->state == DIRECT_TRY_CONNECTED)
        t->dial.transport->ops->cancel(t->dial.transport, &t->dial);
    t->state = DIRECT_TRY_OVER;
}

/* --- The end --- */

static void leave(struct direct_dial *d) {
    for (size_t i = 0; i < d->tries_count; i++)
        cancel_try(&d->tries[i]);
    list_remove(&d->node);
    deferred_cancel(&d->work);
    timer_done(&d->again);
    d->pending = false;
}

static void on_work(struct deferred *w) {
    struct direct_dial *d = CONTAINER_OF(w, struct direct_dial, work);
    leave(d);
    d->done(d, d->error);
}

/* done() comes at the end of the turn. */
static void end(struct direct_dial *d, int error) {
    for (size_t i = 0; i < d->tries_count; i++)
        cancel_try(&d->tries[i]);
    timer_stop(&d->again);
    d->is_over = true;
    d->error = error;
    reactor_defer(d->host->reactor, &d->work);
}

static void end_if_nothing_runs(struct direct_dial *d) {
    for (size_t i = 0; i < d->tries_count; i++) {
        if (d->tries[i].state != DIRECT_TRY_OVER)
            return;
    }
    end(d, d->error);
}

void direct_dial_cancel(struct direct_dial *d) {
    if (d->pending)
        leave(d);
}

void direct_dial_fail_all(struct host *h) {
    list_for_each (node, &h->direct_dials) {
        struct direct_dial *d = LIST_ENTRY(node, struct direct_dial, node);
        if (!d->is_over)
            end(d, -ERR_SHUTDOWN);
    }
}

/* --- One address --- */

/* Refused, or reset, as by a peer that our half of a simultaneous open reached from another port
 * than it dialled; or our port is connected to it, by a dial of the peer's that need not come to
 * anything.
 */
static bool is_worth_another(const struct direct_try *t, int error) {
    return error == -ECONNREFUSED || error == -EADDRNOTAVAIL || error == -EADDRINUSE ||
           (error == -ERR_CONN_CLOSED && t->state == DIRECT_TRY_DIALLING);
}

static void try_failed(struct direct_try *t, int error) {
    struct direct_dial *d = t->owner;
    struct reactor *r = d->host->reactor;
    char text[MULTIADDR_TEXT_MAX];
    (void)multiaddr_format(&t->dial.to, text);
    log_debug(reactor_log(r), L_DIAL, "direct dial of an address failed", kv_str("address", text),
              kv_err(error));
    d->error = error;
    bool again = d->repeats && is_tcp(t) && is_worth_another(t, error);
    t->state = DIRECT_TRY_OVER;
    if (!again || d->rounds == DIRECT_DIAL_TRIES_MAX)
        return;
    t->state = DIRECT_TRY_RESTING;
    timer_start(&d->again, reactor_now(r) + DIRECT_DIAL_PAUSE);
}

/* The connection is the host's or is closed. */
static void take_conn(struct direct_dial *d, struct conn *c) {
    end(d, 0); /* before watches hear of the connection, who may wonder whose it is */
    d->error = host_add_conn(d->host, c);
    d->conn = c;
}

static void on_dialled(struct dial *dial, struct conn *c, int error, const struct problem *why) {
    struct direct_try *t = CONTAINER_OF(dial, struct direct_try, dial);
    struct direct_dial *d = t->owner;
    (void)why; /* the code says enough */
    if (error == 0) {
        t->state = DIRECT_TRY_OVER;
        take_conn(d, c);
        return;
    }
    try_failed(t, error);
    end_if_nothing_runs(d);
}

static void on_socket_connected(struct dial *dial) {
    CONTAINER_OF(dial, struct direct_try, dial)->state = DIRECT_TRY_CONNECTED;
}

static void start(struct direct_try *t) {
    struct transport *transport = t->dial.transport;
    int e = transport->ops->dial(transport, &t->dial);
    if (e == 0)
        t->state = DIRECT_TRY_DIALLING;
    else
        try_failed(t, e);
}

static void on_again(struct timer *timer) {
    struct direct_dial *d = CONTAINER_OF(timer, struct direct_dial, again);
    d->rounds++;
    for (size_t i = 0; i < d->tries_count; i++) {
        if (d->tries[i].state == DIRECT_TRY_RESTING)
            start(&d->tries[i]);
    }
    end_if_nothing_runs(d);
}

/* --- All of them --- */

static void add_addr(struct direct_dial *d, const struct direct_dial_config *cfg,
                     const struct multiaddr *a) {
    struct transport *transport = host_transport_for(d->host, a);
    if (d->tries_count == DIRECT_DIAL_ADDRS_MAX || transport == NULL || multiaddr_is_relayed(a) ||
        !dial_addr_is_possible(d->host, a))
        return;
    struct direct_try *t = &d->tries[d->tries_count++];
    *t = (struct direct_try){.dial = {.transport = transport,
                                      .expected = cfg->peer,
                                      .to = *a,
                                      .responder = cfg->responder,
                                      .from_any_port = cfg->from_any_port,
                                      .connected = on_socket_connected,
                                      .done = on_dialled},
                             .owner = d,
                             .state = DIRECT_TRY_OVER};
    list_init(&t->dial.node);
}

int host_dial_direct(struct host *h, struct direct_dial *d, const struct direct_dial_config *cfg,
                     void (*done)(struct direct_dial *d, int error)) {
    d->pending = false;
    int e = timer_init(&d->again, h->reactor, on_again);
    if (e < 0)
        return e;
    d->host = h;
    d->pending = true;
    d->is_over = false;
    d->repeats = cfg->repeats;
    d->rounds = 1;
    d->conn = NULL;
    d->error = h->closing ? -ERR_SHUTDOWN : -ERR_NO_ADDRESSES;
    d->tries_count = 0;
    d->done = done;
    deferred_init(&d->work, on_work);
    list_init(&d->node);
    list_push(&h->direct_dials, &d->node);
    for (size_t i = 0; i < cfg->addrs_count && !h->closing; i++)
        add_addr(d, cfg, &cfg->addrs[i]);
    for (size_t i = 0; i < d->tries_count; i++)
        start(&d->tries[i]);
    end_if_nothing_runs(d);
    return 0;
}

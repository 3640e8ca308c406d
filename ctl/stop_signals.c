/* SPDX-License-Identifier: MIT */
#include "ctl/stop_signals.h"

#include <signal.h>

#include "ctl/node.h"

static void stop(struct stop_signals *s, int signo) {
    s->received = signo;
    node_stop(s->node);
    stop_signals_close(s);
}

static void on_interrupt(struct signal_watch *w, int signo) {
    stop(CONTAINER_OF(w, struct stop_signals, interrupt), signo);
}

static void on_terminate(struct signal_watch *w, int signo) {
    stop(CONTAINER_OF(w, struct stop_signals, terminate), signo);
}

int stop_signals_open(struct stop_signals *s, struct node *n) {
    struct reactor *r = node_reactor(n);
    *s = (struct stop_signals){
        .node = n,
        .interrupt.raised = on_interrupt,
        .terminate.raised = on_terminate,
    };
    int e = signal_watch_open(r, &s->interrupt, SIGINT);
    if (e < 0)
        return e;
    e = signal_watch_open(r, &s->terminate, SIGTERM);
    if (e < 0) {
        signal_watch_close(r, &s->interrupt);
        return e;
    }
    s->is_open = true;
    return 0;
}

void stop_signals_close(struct stop_signals *s) {
    if (!s->is_open)
        return;
    s->is_open = false;
    signal_watch_close(node_reactor(s->node), &s->interrupt);
    signal_watch_close(node_reactor(s->node), &s->terminate);
}

const char *stop_signals_name(const struct stop_signals *s) {
    return s->received == SIGINT ? "interrupt" : "terminated";
}

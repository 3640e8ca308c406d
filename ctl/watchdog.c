/* SPDX-License-Identifier: MIT */
#include "ctl/watchdog.h"

#include "ctl/systemd.h"

static void on_timer(struct timer *t) {
    struct watchdog *w = CONTAINER_OF(t, struct watchdog, timer);

    systemd_notify_watchdog();
    timer_start(t, reactor_now(t->reactor) + w->every);
}

int watchdog_open(struct watchdog *w, struct reactor *r) {
    *w = (struct watchdog){.every = systemd_watchdog_interval() / 2};
    int e = timer_init(&w->timer, r, on_timer);
    if (e < 0)
        return e;
    w->is_open = true;
    if (w->every > 0)
        timer_start(&w->timer, reactor_now(r) + w->every);
    return 0;
}

void watchdog_close(struct watchdog *w) {
    if (w->is_open)
        timer_done(&w->timer);
    w->is_open = false;
}

/* SPDX-License-Identifier: MIT */
#include "ctl/systemd.h"

#include "core/base/base.h"

#if defined(PEERUP_HAVE_SYSTEMD)
#include <systemd/sd-daemon.h>

/* Nobody waits for these messages here, so a lost one is the service manager's to notice. */
static void notify(const char *state) {
    (void)sd_notify(0, state);
}

nsec_t systemd_watchdog_interval(void) {
    uint64_t usec = 0;
    return sd_watchdog_enabled(0, &usec) > 0 ? USEC(usec) : 0;
}

#else

static void notify(const char *state) {
    (void)state;
}

nsec_t systemd_watchdog_interval(void) {
    return 0;
}
#endif

void systemd_notify_ready(void) {
    notify("READY=1");
}

void systemd_notify_stopping(void) {
    notify("STOPPING=1");
}

void systemd_notify_reloading(void) {
    notify("RELOADING=1");
}

void systemd_notify_watchdog(void) {
    notify("WATCHDOG=1");
}

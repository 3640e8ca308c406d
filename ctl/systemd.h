/* SPDX-License-Identifier: MIT */
#pragma once

/* What the service manager is told: sd_notify(3).  Where libsystemd was not found at build time, or
 * nobody asked by NOTIFY_SOCKET, the calls do nothing. */

#include "core/base/time.h"

void systemd_notify_ready(void);
void systemd_notify_stopping(void);
void systemd_notify_reloading(void);
void systemd_notify_watchdog(void);

/* How often the watchdog wants a word; 0 when it is off. */
nsec_t systemd_watchdog_interval(void);

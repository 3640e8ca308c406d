/* SPDX-License-Identifier: MIT */
#pragma once

/* Answers the service manager's watchdog from the event loop: that a turn came here is what it asks
 * for.  What a restart does not cure, such as the network, is no reason to stay silent.
 *
 * Spec: behaviour.md, section 8. */

#include "uring/reactor.h"

struct watchdog {
    struct timer timer;
    nsec_t every;
    bool is_open;
};

/* Does nothing where no watchdog is on.  -ENOMEM */
NODISCARD int watchdog_open(struct watchdog *w, struct reactor *r);
/* Harmless when it is not open. */
void watchdog_close(struct watchdog *w);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Says again and again who is connected to a relay: "--- 2 connected peers ---" and a line with
 * each peer's short ID, RELAY_STATUS_PEERS_MAX of them.
 *
 * Spec: behaviour.md, section 9. */

#include "ctl/say.h"
#include "uring/reactor.h"

#define RELAY_STATUS_EVERY SEC(15)

enum { RELAY_STATUS_PEERS_MAX = 64 };

struct host;

struct relay_status_config {
    struct reactor *reactor;
    struct host *host;
    nsec_t every; /* RELAY_STATUS_EVERY, but in tests */
    say_fn *say;
    void *user;
};

struct relay_status {
    struct relay_status_config cfg;
    struct timer timer;
    bool is_open;
};

/* -ENOMEM */
NODISCARD int relay_status_open(struct relay_status *s, const struct relay_status_config *cfg);
/* Harmless when it is not open. */
void relay_status_close(struct relay_status *s);

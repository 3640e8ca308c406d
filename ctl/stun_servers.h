/* SPDX-License-Identifier: MIT */
#pragma once

/* Which STUN servers a node asks: those of network.stun_servers, or where that is missing the
 * configured relays, which answer on their QUIC port (decision 10).
 *
 * Thread: any. */

#include "core/conf/schema.h"
#include "relay/stun_prober.h"
#include "uring/resolver.h"

/* Points into itself: not to be copied. */
struct stun_servers {
    struct stun_server_name list[STUN_PROBER_SERVERS_MAX];
    char hosts[STUN_PROBER_SERVERS_MAX][RESOLVE_HOST_MAX]; /* of relays */
    size_t count;
};

/* `ret_servers` borrows from `named`.  Of a relay without a QUIC address its TCP port is asked over
 * UDP: it may well listen there, too.  What there is no room for is left out. */
void stun_servers_choose(const struct config_servers *named, const struct config_addrs *relays,
                         struct stun_servers *ret_servers);

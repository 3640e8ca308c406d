/* SPDX-License-Identifier: MIT */
#pragma once

/* Addresses in tests, from text. */

#include <criterion/criterion.h>

#include "core/base/net_addr.h"
#include "core/p2p/multiaddr.h"

static inline struct multiaddr maddr(const char *text) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(text, &a), 0, "%s", text);
    return a;
}

/* With a port, or without. */
static inline struct net_addr naddr(const char *text) {
    struct net_addr a;
    cr_assert(net_addr_parse(text, &a) == 0 || net_addr_parse_ip(text, &a) == 0, "%s", text);
    return a;
}

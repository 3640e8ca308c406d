/* SPDX-License-Identifier: MIT */
#pragma once

/* Where others can reach what listens here: unspecified listen addresses become one for each public
 * address of this machine's interfaces, in the order of the listen addresses; others stay.
 *
 * Spec: cli.md, section 8.2. */

#include "core/base/base.h"

struct multiaddr;
struct net_addr;

/* Those of this machine.  Returns how many were written, at most `max`. */
size_t public_addrs(const struct multiaddr *listen, size_t listen_count, struct multiaddr *out,
                    size_t max);

/* The same for given interfaces. */
size_t public_addrs_of(const struct multiaddr *listen, size_t listen_count,
                       const struct net_addr *interfaces, size_t interfaces_count,
                       struct multiaddr *out, size_t max);

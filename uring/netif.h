/* SPDX-License-Identifier: MIT */
#pragma once

/* The addresses of this machine's network interfaces, asked from the kernel anew at each call: what
 * "listening on 0.0.0.0" comes to, and what uring/netwatch.h has where netlink is refused.
 *
 * Thread: any. */

#include "core/base/net_addr.h"

struct netwatch_snapshot;

/* Addresses of interfaces that are up, port 0, loopback among them; not those that mean something
 * on one link only (IPv6 link-local).  Returns how many were written, at most `max`; or what
 * getifaddrs(3) fails with, -ENOMEM above all. */
NODISCARD ssize_t netif_addrs(struct net_addr *out, size_t max);

/* The same as a snapshot, without routes; of flags getifaddrs(3) knows none.  It asks by netlink
 * itself, so a system that refuses any socket of that kind leaves us blind: -EAFNOSUPPORT, ... */
NODISCARD int netif_snapshot(struct netwatch_snapshot *ret_snapshot);

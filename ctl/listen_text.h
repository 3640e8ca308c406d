/* SPDX-License-Identifier: MIT */
#pragma once

/* Where a config's "host:port" means to listen: at an IP address; "localhost" is both loopback
 * addresses, and an empty host all addresses of both families. */

#include "core/base/net_addr.h"

struct problem;

enum { LISTEN_TEXT_ADDRS_MAX = 2 };

/* Returns how many.  -EINVAL: another name, or no host:port. */
NODISCARD int listen_text_parse(const char *text, struct net_addr ret_addrs[LISTEN_TEXT_ADDRS_MAX],
                                struct problem *ret_problem);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Where a stream socket is: an IP address with port, or a Unix path. */

#include "core/base/net_addr.h"

enum { UNIX_PATH_MAX = 108 };

struct sock_addr {
    struct net_addr ip;            /* family NET_NONE: a Unix socket */
    char unix_path[UNIX_PATH_MAX]; /* NUL-terminated */
};

/* SPDX-License-Identifier: MIT */
#pragma once

/* What the running kernel lets us do; probed at start, printed by `status`. */

#include "core/base/base.h"

struct reactor_features {
    const char *backend; /* "io_uring", "epoll", "sim" */
    bool multishot_accept;
    bool multishot_recv;
    bool buffer_ring;
    bool buffer_ring_inc;
    bool recv_bundle;
    bool send_bundle;
    bool send_zerocopy;
    bool udp_gso;
    bool udp_gro;
    bool wait_min_timeout;
};

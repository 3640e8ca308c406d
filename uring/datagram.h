/* SPDX-License-Identifier: MIT */
#pragma once

/* Datagrams in batches of one size, as GRO delivers and GSO takes them. */

#include <sys/socket.h>

#include "core/base/net_addr.h"

/* One or more datagrams from one sender: `data` is cut every `segment_len` bytes, the last one may
 * be shorter.  Never empty.  Borrowed: valid during the callback only. */
struct udp_batch {
    uint8_t *data;
    size_t len;
    size_t segment_len; /* == len when there is one */
    struct net_addr remote;
    struct net_addr local; /* the address that was asked, with our port */
    uint8_t ecn;           /* the two ECN bits */
};

/* What a backend sends: at most 64 KiB to one destination. */
struct udp_out {
    const uint8_t *data;
    size_t len;
    size_t segment_len; /* == len when there is one */
    struct net_addr remote;
    struct net_addr local; /* family NET_NONE: the system picks the source */
    uint8_t ecn;
    /* What the kernel reads while the send is in flight. */
    struct msghdr msg;
    struct iovec iov;
    struct sockaddr_storage name;
    _Alignas(struct cmsghdr) uint8_t control[128];
};

/* SPDX-License-Identifier: MIT */
#include "ctl/public_addrs.h"

#include "core/base/net_addr.h"
#include "core/p2p/multiaddr.h"
#include "uring/netif.h"

enum { INTERFACE_ADDRS_MAX = 64 };

size_t public_addrs_of(const struct multiaddr *listen, size_t listen_count,
                       const struct net_addr *interfaces, size_t interfaces_count,
                       struct multiaddr *out, size_t max) {
    size_t count = 0;
    for (size_t i = 0; i < listen_count && count < max; i++) {
        enum multiaddr_kind kind = multiaddr_kind(&listen[i]);
        struct net_addr at;
        bool is_listened_on =
            kind == MULTIADDR_KIND_TCP || kind == MULTIADDR_KIND_WS || kind == MULTIADDR_KIND_QUIC;
        if (!is_listened_on || multiaddr_to_net_addr(&listen[i], &at) < 0)
            continue;
        if (!net_addr_is_unspecified(&at)) {
            out[count++] = listen[i];
            continue;
        }
        for (size_t j = 0; j < interfaces_count && count < max; j++) {
            struct net_addr here = interfaces[j];
            if (here.family != at.family || !net_addr_is_public(&here))
                continue;
            here.port = at.port;
            multiaddr_from_net_addr(&here, kind, &out[count++]);
        }
    }
    return count;
}

size_t public_addrs(const struct multiaddr *listen, size_t listen_count, struct multiaddr *out,
                    size_t max) {
    struct net_addr interfaces[INTERFACE_ADDRS_MAX];
    ssize_t count = netif_addrs(interfaces, INTERFACE_ADDRS_MAX);
    return public_addrs_of(listen, listen_count, interfaces, count < 0 ? 0 : (size_t)count, out,
                           max);
}

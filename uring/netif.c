/* SPDX-License-Identifier: MIT */
#include "uring/netif.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

static bool addr_of(const struct ifaddrs *i, struct net_addr *ret_addr) {
    struct net_addr a = {.family = NET_NONE};
    if (i->ifa_addr == NULL || (i->ifa_flags & IFF_UP) == 0)
        return false;
    if (i->ifa_addr->sa_family == AF_INET) {
        struct sockaddr_in sin;
        memcpy(&sin, i->ifa_addr, sizeof(sin));
        a.family = NET_IP4;
        memcpy(a.ip, &sin.sin_addr, sizeof(sin.sin_addr));
    } else if (i->ifa_addr->sa_family == AF_INET6) {
        struct sockaddr_in6 sin6;
        memcpy(&sin6, i->ifa_addr, sizeof(sin6));
        a.family = NET_IP6;
        memcpy(a.ip, &sin6.sin6_addr, sizeof(sin6.sin6_addr));
        if (net_addr_is_link_local(&a))
            return false;
    } else {
        return false;
    }
    *ret_addr = a;
    return true;
}

ssize_t netif_addrs(struct net_addr *out, size_t max) {
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0)
        return -errno;
    size_t count = 0;
    for (const struct ifaddrs *i = all; i != NULL && count < max; i = i->ifa_next) {
        if (addr_of(i, &out[count]))
            count++;
    }
    freeifaddrs(all);
    return (ssize_t)count;
}

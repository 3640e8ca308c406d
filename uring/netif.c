/* SPDX-License-Identifier: MIT */
#include "uring/netif.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "uring/netwatch.h"

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

static uint8_t prefix_len_of(const struct ifaddrs *i) {
    struct net_addr mask;
    struct ifaddrs of_mask = {.ifa_addr = i->ifa_netmask, .ifa_flags = IFF_UP};
    uint8_t len = 0;
    if (!addr_of(&of_mask, &mask))
        return 0;
    while (len < 8 * sizeof(mask.ip) && (mask.ip[len / 8] & 0x80 >> len % 8) != 0)
        len++;
    return len;
}

static void add_entry(const struct ifaddrs *i, struct netwatch_snapshot *into) {
    struct netwatch_addr a = {.link_index = if_nametoindex(i->ifa_name)};
    if (!addr_of(i, &a.ip) || !netwatch_lists(&a.ip) || a.link_index == 0)
        return;
    a.prefix_len = prefix_len_of(i);
    a.scope = net_addr_is_link_local(&a.ip) ? NETWATCH_SCOPE_LINK : NETWATCH_SCOPE_GLOBAL;
    netwatch_add_addr(into, &a);
    if (netwatch_link_of(into, a.link_index) != NULL)
        return;
    struct netwatch_link link = {.index = a.link_index,
                                 .is_running = (i->ifa_flags & IFF_RUNNING) != 0};
    (void)snprintf(link.name, sizeof(link.name), "%s", i->ifa_name);
    netwatch_add_link(into, &link);
}

int netif_snapshot(struct netwatch_snapshot *ret_snapshot) {
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0)
        return -errno;
    *ret_snapshot = (struct netwatch_snapshot){0};
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
        add_entry(i, ret_snapshot);
    freeifaddrs(all);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "ctl/stun_servers.h"

#include <stdio.h>

#include "core/base/net_addr.h"

_Static_assert((int)NET_ADDR_TEXT_MAX <= (int)RESOLVE_HOST_MAX, "an IP address fits, too");

/* Where a relay is, as host and port; false: under no such. */
static bool read_place(const struct multiaddr *relay, char ret_host[RESOLVE_HOST_MAX],
                       uint16_t *ret_port) {
    struct net_addr ip;
    struct multiaddr_part name;
    if (multiaddr_is_relayed(relay))
        return false;
    if (multiaddr_to_net_addr(relay, &ip) == 0) {
        (void)net_addr_format_ip(&ip, ret_host);
        *ret_port = ip.port;
    } else if (multiaddr_to_host(relay, &name, ret_port) == 0 &&
               name.value.len < RESOLVE_HOST_MAX) {
        (void)snprintf(ret_host, RESOLVE_HOST_MAX, "%.*s", (int)name.value.len,
                       (const char *)name.value.data);
    } else {
        return false;
    }
    return *ret_port != 0;
}

static bool has_host(const struct stun_servers *s, const char *host) {
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->list[i].host, host) == 0)
            return true;
    return false;
}

static void add_relay(struct stun_servers *s, const struct multiaddr *relay) {
    uint16_t port;
    if (s->count == STUN_PROBER_SERVERS_MAX || !read_place(relay, s->hosts[s->count], &port) ||
        has_host(s, s->hosts[s->count]))
        return;
    s->list[s->count] = (struct stun_server_name){s->hosts[s->count], port};
    s->count++;
}

void stun_servers_choose(const struct config_servers *named, const struct config_addrs *relays,
                         struct stun_servers *ret_servers) {
    struct stun_servers *s = ret_servers;
    s->count = 0;
    for (uint32_t i = 0; i < named->count && s->count < STUN_PROBER_SERVERS_MAX; i++)
        s->list[s->count++] = (struct stun_server_name){named->items[i].host, named->items[i].port};
    if (named->is_set)
        return;
    for (uint32_t i = 0; i < relays->count; i++)
        if (multiaddr_has(&relays->items[i].addr, MULTIADDR_QUIC_V1))
            add_relay(s, &relays->items[i].addr);
    for (uint32_t i = 0; i < relays->count; i++)
        add_relay(s, &relays->items[i].addr);
}

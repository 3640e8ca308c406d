/* SPDX-License-Identifier: MIT */
/* Goal: STUN asks whom the user named, else his relays, each host once.
 * Spec: decision 10. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ctl/stun_servers.h"

#define ID "/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"

static void choose(const struct config_servers *named, const char *const *relays,
                   uint32_t relays_count, struct stun_servers *ret_servers) {
    static struct config_addr items[40];
    struct config_addrs addrs = {.items = items, .count = relays_count};
    for (uint32_t i = 0; i < relays_count; i++)
        cr_assert_eq(multiaddr_parse(relays[i], &items[i].addr), 0, "%s", relays[i]);
    stun_servers_choose(named, &addrs, ret_servers);
}

Test(stun_servers, the_users_own_list_is_the_list) {
    static const char *const relays[] = {"/ip4/1.2.3.4/udp/7777/quic-v1" ID};
    struct config_host_port items[] = {{.host = "stun.example", .port = 3478},
                                       {.host = "::1", .port = 1}};
    struct config_servers named = {.items = items, .count = 2, .is_set = true};
    struct stun_servers s;
    choose(&named, relays, 1, &s);
    cr_assert_eq(s.count, 2);
    cr_assert_str_eq(s.list[0].host, "stun.example");
    cr_assert_eq(s.list[0].port, 3478);
    cr_assert_str_eq(s.list[1].host, "::1");
    named.count = 0;
    choose(&named, relays, 1, &s);
    cr_assert_eq(s.count, 0, "an empty one is off");
}

Test(stun_servers, else_relays_are_asked_each_once_and_on_the_quic_port_if_they_have_one) {
    static const char *const relays[] = {
        "/ip4/1.2.3.4/tcp/7777" ID,
        "/ip4/1.2.3.4/udp/7778/quic-v1" ID,
        "/dns4/relay.example/tcp/443/tls/ws" ID,
        "/ip6/2a01::1/udp/7777/quic-v1" ID,
        "/dnsaddr/relays.example" ID,
        "/ip4/5.6.7.8/tcp/1" ID "/p2p-circuit" ID,
    };
    struct config_servers named = {.count = 0};
    struct stun_servers s;
    choose(&named, relays, 6, &s);
    cr_assert_eq(s.count, 3);
    cr_assert_str_eq(s.list[0].host, "1.2.3.4");
    cr_assert_eq(s.list[0].port, 7778);
    cr_assert_str_eq(s.list[1].host, "2a01::1");
    cr_assert_str_eq(s.list[2].host, "relay.example");
    cr_assert_eq(s.list[2].port, 443);
}

Test(stun_servers, what_there_is_no_room_for_is_left_out) {
    struct config_host_port items[40];
    static char texts[40][128];
    const char *relays[40];
    for (unsigned i = 0; i < 40; i++) {
        items[i] = (struct config_host_port){.host = "a.example", .port = (uint16_t)(i + 1)};
        (void)snprintf(texts[i], sizeof(texts[i]), "/ip4/1.2.3.%u/tcp/1" ID, i);
        relays[i] = texts[i];
    }
    struct config_servers named = {.items = items, .count = 40, .is_set = true};
    struct stun_servers s;
    choose(&named, relays, 0, &s);
    cr_assert_eq(s.count, STUN_PROBER_SERVERS_MAX);
    named = (struct config_servers){.count = 0};
    choose(&named, relays, 40, &s);
    cr_assert_eq(s.count, STUN_PROBER_SERVERS_MAX);
}

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/net_addr.h"
#include "core/p2p/multiaddr.h"
#include "ctl/public_addrs.h"

enum { MAX_ADDRS = 8 };

static const char *const INTERFACES[] = {"127.0.0.1",   "::1",          "10.0.0.2", "45.33.32.10",
                                         "100.64.0.1",  "2a01:4f8::2",  "fd00::1",  "8.8.4.4",
                                         "192.168.1.2", "169.254.10.10"};

static size_t count_of(const char *const *listen, size_t count, size_t max, char texts[][128]) {
    struct net_addr interfaces[ARRAY_COUNT(INTERFACES)];
    struct multiaddr in[MAX_ADDRS], out[MAX_ADDRS];
    char text[MULTIADDR_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(INTERFACES); i++)
        cr_assert_eq(net_addr_parse_ip(INTERFACES[i], &interfaces[i]), 0);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(multiaddr_parse(listen[i], &in[i]), 0);
    size_t n = public_addrs_of(in, count, interfaces, ARRAY_COUNT(interfaces), out, max);
    for (size_t i = 0; i < n; i++)
        (void)snprintf(texts[i], 128, "%s", multiaddr_format(&out[i], text));
    return n;
}

Test(public_addrs, unspecified_ones_become_those_of_the_interfaces_and_others_stay) {
    static const char *const LISTEN[] = {
        "/ip4/0.0.0.0/tcp/7777",  "/ip6/::/udp/7777/quic-v1", "/ip4/0.0.0.0/tcp/443/ws",
        "/ip4/192.168.1.2/tcp/1", "/dns/relay.example/tcp/1", "/ip4/0.0.0.0/udp/7",
        "/ip6/::/tcp/443/tls/ws",
    };
    static const char *const WANTED[] = {
        "/ip4/45.33.32.10/tcp/7777",         "/ip4/8.8.4.4/tcp/7777",
        "/ip6/2a01:4f8::2/udp/7777/quic-v1", "/ip4/45.33.32.10/tcp/443/ws",
        "/ip4/8.8.4.4/tcp/443/ws",           "/ip4/192.168.1.2/tcp/1",
    };
    char texts[MAX_ADDRS][128];
    size_t n = count_of(LISTEN, ARRAY_COUNT(LISTEN), MAX_ADDRS, texts);
    cr_assert_eq(n, ARRAY_COUNT(WANTED), "%zu", n);
    for (size_t i = 0; i < n; i++)
        cr_expect_str_eq(texts[i], WANTED[i]);
}

Test(public_addrs, no_more_than_asked_are_written) {
    static const char *const LISTEN[] = {"/ip4/0.0.0.0/tcp/7777", "/ip4/1.1.1.1/tcp/1"};
    char texts[MAX_ADDRS][128];
    cr_assert_eq(count_of(LISTEN, 2, 0, texts), 0);
    cr_assert_eq(count_of(LISTEN, 2, 1, texts), 1);
    cr_assert_str_eq(texts[0], "/ip4/45.33.32.10/tcp/7777");
    cr_assert_eq(count_of(LISTEN, 0, MAX_ADDRS, texts), 0);
}

Test(public_addrs, this_machine_is_asked) {
    struct multiaddr listen, out[1];
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/tcp/7777", &listen), 0);
    cr_assert_eq(public_addrs(&listen, 1, out, 1), 1);
    cr_assert(multiaddr_equal(&out[0], &listen));
}

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "cli/relay_address.h"
#include "core/base/problem.h"

#define PEER "12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp"

Test(relay_address, short_forms_become_multiaddrs) {
    static const struct {
        const char *text;
        const char *addr;
        bool has_peer;
    } ROWS[] = {
        {"203.0.113.50", "/ip4/203.0.113.50/tcp/7777", false},
        {"203.0.113.50:1", "/ip4/203.0.113.50/tcp/1", false},
        {"203.0.113.50:65535", "/ip4/203.0.113.50/tcp/65535", false},
        {"::1", "/ip6/::1/tcp/7777", false},
        {"[::1]", "/ip6/::1/tcp/7777", false},
        {"[2001:db8::1]:8", "/ip6/2001:db8::1/tcp/8", false},
        {"/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4/udp/1/quic-v1", false},
        {"/dns/example.com/tcp/1/p2p/" PEER "/", "/dns/example.com/tcp/1/p2p/" PEER, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct relay_address a;
        cr_assert_eq(relay_address_parse(ROWS[i].text, &a, NULL), 0, "%s", ROWS[i].text);
        cr_expect_str_eq(a.text, ROWS[i].addr);
        cr_expect_eq(a.has_peer, ROWS[i].has_peer, "%s", ROWS[i].text);
    }
}

Test(relay_address, bad_forms_are_told_in_the_users_words) {
    static const char EXPECTED[] = "invalid relay address: expected IP:PORT, IP address, or full "
                                   "multiaddr starting with /";
    static const struct {
        const char *text;
        const char *problem;
    } ROWS[] = {
        {"", EXPECTED},
        {"relay", EXPECTED},
        {"[::1", EXPECTED},
        {"[::1]x", EXPECTED},
        {"1:2:3", EXPECTED},
        {"[::1]:", "invalid relay address: invalid port: "},
        {"1.2.3.4:x", "invalid relay address: invalid port: x"},
        {"1.2.3.4:-1", "invalid relay address: invalid port: -1"},
        {"1.2.3.4:+1", "invalid relay address: invalid port: +1"},
        {"relay:7777", "invalid relay address: invalid IP address: relay (hostnames not accepted)"},
        {":7777", "invalid relay address: invalid IP address:  (hostnames not accepted)"},
        {"/", "invalid multiaddr: /"},
        {"/nope/1", "invalid multiaddr: /nope/1"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct problem why = PROBLEM_INIT;
        struct relay_address a = {.text = "untouched"};
        cr_expect_eq(relay_address_parse(ROWS[i].text, &a, &why), -EINVAL, "%s", ROWS[i].text);
        cr_expect_str_eq(why.text, ROWS[i].problem);
        cr_expect_str_eq(a.text, "untouched");
    }
}

Test(relay_address, the_peer_is_appended_once_it_is_known) {
    struct problem why = PROBLEM_INIT;
    struct relay_address a;

    cr_assert_eq(relay_address_parse("1.2.3.4", &a, NULL), 0);
    cr_expect_eq(relay_address_add_peer(&a, "nobody", &why), -EINVAL);
    cr_expect_str_eq(why.text, "invalid Peer ID: failed to parse peer ID: nobody");
    cr_expect_str_eq(a.text, "/ip4/1.2.3.4/tcp/7777");
    cr_assert_eq(relay_address_add_peer(&a, PEER, &why), 0);
    cr_expect_str_eq(a.text, "/ip4/1.2.3.4/tcp/7777/p2p/" PEER);
    cr_expect(a.has_peer);
}

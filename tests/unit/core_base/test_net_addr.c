/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/net_addr.h"

Test(net_addr, text_forms_both_ways) {
    static const char *const rows[] = {
        "1.2.3.4:80",
        "0.0.0.0:0",
        "255.255.255.255:65535",
        "[::]:0",
        "[::1]:80",
        "[2001:db8::1]:443",
        "[fe80::1%3]:9000",
        "[fe80::1%4294967295]:9000",
        "[::ffff:1.2.3.4]:1",
        "[::102:304]:1", /* inet_ntop(3) says ::1.2.3.4 */
        "[1:2:3:4:5:6:7:8]:1",
        "[1::4:0:0:7:8]:1", /* the longest run of zeros */
        "[1:0:3:4:5:6:7:8]:1",
        "[0:0:3::]:1",
        "[::3:0:0:6:7:8]:1",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535",
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct net_addr a;
        char text[NET_ADDR_TEXT_MAX];
        cr_assert_eq(net_addr_parse(rows[i], &a), 0, "%s", rows[i]);
        if (strcmp(rows[i], "[::3:0:0:6:7:8]:1") == 0) {
            /* Two runs of two: the first is cut. */
            cr_assert_str_eq(net_addr_format(&a, text), "[::3:0:0:6:7:8]:1");
            continue;
        }
        cr_assert_str_eq(net_addr_format(&a, text), rows[i]);
    }
}

Test(net_addr, other_text_is_refused) {
    static const char *const rows[] = {
        "",
        "1.2.3.4",
        "1.2.3.4:",
        ":80",
        "1.2.3:80",
        "01.2.3.4:80",
        "1.2.3.4:-1",
        "1.2.3.4:+1",
        "1.2.3.4:1x",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[1.2.3.4]:1",
        "host:80",
        "[::1]:65536",
        "1.2.3.4:000001",
        "[fe80::1%eth0]:1",
        "[fe80::1%]:1",
        "[::1:80",
        "[]:80",
        "]:80",
        "1.2.3.4%1:80",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1",
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct net_addr a;
        cr_assert_eq(net_addr_parse(rows[i], &a), -EINVAL, "%s", rows[i]);
    }
}

Test(net_addr, no_address_has_an_empty_text) {
    struct net_addr none = {.family = NET_NONE};
    char text[NET_ADDR_TEXT_MAX] = "x";
    cr_assert_str_eq(net_addr_format(&none, text), "");
    cr_assert_not(net_addr_is_public(&none));
    cr_assert_not(net_addr_is_private(&none));
    cr_assert(net_addr_is_unspecified(&none));
}

Test(net_addr, scope_and_family_make_addresses_differ) {
    struct net_addr a;
    struct net_addr b;
    cr_assert_eq(net_addr_parse("[fe80::1%1]:80", &a), 0);
    cr_assert_eq(net_addr_parse("[fe80::1%2]:80", &b), 0);
    cr_assert_not(net_addr_equal(&a, &b));
    b.scope_id = 1;
    cr_assert(net_addr_equal(&a, &b));
    b.port = 81;
    cr_assert_not(net_addr_equal(&a, &b));
    cr_assert(net_addr_ip_equal(&a, &b));
    cr_assert_eq(net_addr_parse_ip("0.0.0.0", &a), 0);
    cr_assert_eq(net_addr_parse_ip("::", &b), 0);
    cr_assert_not(net_addr_ip_equal(&a, &b));
    cr_assert(net_addr_is_unspecified(&a));
    cr_assert(net_addr_is_unspecified(&b));
}

/* The table "Public or private" of libp2p's peer-ids-and-keys; each range at both its ends. */
Test(net_addr, classes_are_those_of_go) {
    enum class { PUBLIC, PRIVATE, NEITHER };
    static const struct {
        const char *ip;
        enum class class;
    } rows[] = {
        {"127.0.0.1", PRIVATE},
        {"10.255.255.255", PRIVATE},
        {"11.0.0.0", PUBLIC},
        {"100.63.255.255", PUBLIC},
        {"100.64.0.0", PRIVATE},
        {"100.127.255.255", PRIVATE},
        {"100.128.0.0", PUBLIC},
        {"172.15.255.255", PUBLIC},
        {"172.16.0.0", PRIVATE},
        {"172.31.255.255", PRIVATE},
        {"172.32.0.0", PUBLIC},
        {"192.168.1.1", PRIVATE},
        {"169.254.1.1", PRIVATE},
        {"0.1.2.3", NEITHER},
        {"192.0.0.63", NEITHER},
        {"192.0.0.64", PUBLIC},
        {"192.0.2.1", NEITHER},
        {"192.88.99.1", NEITHER},
        {"198.17.255.255", PUBLIC},
        {"198.18.0.0", NEITHER},
        {"198.19.255.255", NEITHER},
        {"198.20.0.0", PUBLIC},
        {"198.51.100.1", NEITHER},
        {"203.0.113.255", NEITHER},
        {"203.0.114.0", PUBLIC},
        {"223.255.255.255", PUBLIC},
        {"224.0.0.1", NEITHER},
        {"255.255.255.255", NEITHER},
        {"8.8.8.8", PUBLIC},
        {"::1", PRIVATE},
        {"::2", NEITHER},
        {"fc00::1", PRIVATE},
        {"fdff::1", PRIVATE},
        {"fe80::1", PRIVATE},
        {"febf::1", PRIVATE},
        {"fec0::1", NEITHER},
        {"ff02::1", NEITHER},
        {"2001:db8::1", NEITHER},
        {"2001:db9::1", PUBLIC},
        {"2000::1", PUBLIC},
        {"3fff::1", PUBLIC},
        {"4000::1", NEITHER},
        {"64:ff9b::a00:1", PUBLIC},
        {"64:ff9b:1::a00:1", PUBLIC},
        {"64:ff9b:2::1", NEITHER},
        {"::ffff:8.8.8.8", NEITHER},
        {"::", NEITHER},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct net_addr a;
        cr_assert_eq(net_addr_parse_ip(rows[i].ip, &a), 0, "%s", rows[i].ip);
        cr_assert_eq(net_addr_is_public(&a), rows[i].class == PUBLIC, "%s", rows[i].ip);
        cr_assert_eq(net_addr_is_private(&a), rows[i].class == PRIVATE, "%s", rows[i].ip);
    }
}

Test(net_addr, loopback_and_link_local_in_both_families) {
    static const struct {
        const char *ip;
        bool loopback;
        bool link_local;
    } rows[] = {
        {"127.1.2.3", true, false}, {"128.0.0.1", false, false},  {"::1", true, false},
        {"::2", false, false},      {"169.254.1.1", false, true}, {"fe80::1", false, true},
        {"fe40::1", false, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct net_addr a;
        cr_assert_eq(net_addr_parse_ip(rows[i].ip, &a), 0);
        cr_assert_eq(net_addr_is_loopback(&a), rows[i].loopback, "%s", rows[i].ip);
        cr_assert_eq(net_addr_is_link_local(&a), rows[i].link_local, "%s", rows[i].ip);
    }
}

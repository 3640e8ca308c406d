/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/problem.h"
#include "ctl/listen_text.h"

Test(listen_text, hosts_become_addresses) {
    static const struct {
        const char *text;
        const char *addrs[LISTEN_TEXT_ADDRS_MAX];
    } ROWS[] = {
        {"127.0.0.1:9090", {"127.0.0.1:9090"}},
        {"[::1]:80", {"[::1]:80"}},
        {"localhost:9091", {"127.0.0.1:9091", "[::1]:9091"}},
        {":9090", {"0.0.0.0:9090", "[::]:9090"}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct net_addr addrs[LISTEN_TEXT_ADDRS_MAX];
        char text[NET_ADDR_TEXT_MAX];
        int wanted = ROWS[i].addrs[1] == NULL ? 1 : 2;
        cr_assert_eq(listen_text_parse(ROWS[i].text, addrs, NULL), wanted, "%s", ROWS[i].text);
        for (int k = 0; k < wanted; k++)
            cr_expect_str_eq(net_addr_format(&addrs[k], text), ROWS[i].addrs[k]);
    }
}

Test(listen_text, names_and_nonsense_are_refused) {
    static const char *const ROWS[] = {
        "example.com:80",
        "1.2.3.4",
        "",
        "1.2.3.4:x",
        "1.2.3:80",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaa:80"};
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct net_addr addrs[LISTEN_TEXT_ADDRS_MAX];
        struct problem why = PROBLEM_INIT;
        cr_expect_eq(listen_text_parse(ROWS[i], addrs, &why), -EINVAL, "%s", ROWS[i]);
        cr_expect_str_neq(why.text, "");
    }
}

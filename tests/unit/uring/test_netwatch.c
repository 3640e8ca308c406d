/* SPDX-License-Identifier: MIT */
/* Goal: what counts as a change of the network is told, once, and nothing else is. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "uring/netwatch.h"

struct subject {
    struct netwatch watch;
    struct netwatch_change last;
    int told;
};

static void on_changed(void *user, const struct netwatch_change *change) {
    struct subject *x = user;
    x->told++;
    x->last = *change;
}

static struct netwatch_addr addr(const char *ip, uint32_t link) {
    struct netwatch_addr a = {.link_index = link, .prefix_len = 24};
    cr_assert_eq(net_addr_parse_ip(ip, &a.ip), 0, "%s", ip);
    return a;
}

static struct netwatch_route route(const char *gateway, uint32_t link, uint32_t metric) {
    struct netwatch_route r = {.link_index = link, .metric = metric, .family = NET_IP4};
    if (gateway != NULL)
        cr_assert_eq(net_addr_parse_ip(gateway, &r.gateway), 0, "%s", gateway);
    return r;
}

/* Two addresses and a default route, all on link 2. */
static struct netwatch_snapshot home(void) {
    struct netwatch_snapshot s = {.knows_routes = true};
    struct netwatch_addr a = addr("192.168.1.5", 2);
    struct netwatch_addr b = addr("2001:db8::5", 2);
    struct netwatch_route r = route("192.168.1.1", 2, 100);
    netwatch_add_addr(&s, &a);
    netwatch_add_addr(&s, &b);
    netwatch_add_route(&s, &r);
    netwatch_add_link(&s, &(struct netwatch_link){.index = 2, .name = "eth0", .is_running = true});
    return s;
}

static void subject_init(struct subject *x) {
    struct netwatch_snapshot s = home();
    *x = (struct subject){0};
    cr_assert_not(netwatch_snapshot(&x->watch)->is_known);
    netwatch_publish(&x->watch, &s, false);
    netwatch_set_watcher(&x->watch, on_changed, x);
}

/* Publishes and returns how often it was told of. */
static int told_of(struct subject *x, const struct netwatch_snapshot *s) {
    x->told = 0;
    netwatch_publish(&x->watch, s, false);
    return x->told;
}

Test(netwatch, the_first_snapshot_is_news_even_without_addresses) {
    struct subject x = {0};
    struct netwatch_snapshot none = {0};
    netwatch_set_watcher(&x.watch, on_changed, &x);
    cr_assert_eq(told_of(&x, &none), 1);
    cr_assert(netwatch_snapshot(&x.watch)->is_known);
    cr_assert_eq(told_of(&x, &none), 0);
}

Test(netwatch, the_same_in_another_order_is_no_change) {
    struct subject x;
    struct netwatch_snapshot s = home();
    subject_init(&x);
    struct netwatch_addr first = s.addrs[0];
    s.addrs[0] = s.addrs[1];
    s.addrs[1] = first;
    cr_assert_eq(told_of(&x, &s), 0);
}

Test(netwatch, addresses_are_counted_by_what_became_of_them) {
    struct subject x;
    struct netwatch_snapshot s = home();
    subject_init(&x);
    s.addrs[0] = addr("10.0.0.9", 2);
    s.addrs[1].is_deprecated = true;
    struct netwatch_addr more = addr("203.0.113.5", 3);
    netwatch_add_addr(&s, &more);
    cr_assert_eq(told_of(&x, &s), 1);
    cr_expect_eq(x.last.addrs_added, 2u);
    cr_expect_eq(x.last.addrs_removed, 1u);
    cr_expect_eq(x.last.addrs_altered, 1u);
    cr_expect_not(x.last.routes_differ);
    cr_expect_not(x.last.was_suspended);
    cr_expect_eq(netwatch_snapshot(&x.watch)->addrs_count, 3u);
}

Test(netwatch, each_flag_of_an_address_counts_and_so_does_its_link) {
    struct subject x;
    struct netwatch_snapshot s = home();
    subject_init(&x);
    s.addrs[1].is_temporary = true;
    cr_expect_eq(told_of(&x, &s), 1);
    s.addrs[1].is_deprecated = true;
    cr_expect_eq(told_of(&x, &s), 1);
    s.addrs[1].prefix_len = 64;
    cr_expect_eq(told_of(&x, &s), 1);
    s.addrs[1].scope = NETWATCH_SCOPE_LINK;
    cr_expect_eq(told_of(&x, &s), 1);
    cr_expect_eq(x.last.addrs_altered, 1u);
    s.addrs[1].link_index = 3;
    cr_expect_eq(told_of(&x, &s), 1);
    cr_expect_eq(x.last.addrs_added, 1u);
    cr_expect_eq(x.last.addrs_removed, 1u);
    cr_expect_eq(told_of(&x, &s), 0);
}

Test(netwatch, default_routes_count_by_gateway_link_metric_and_family) {
    struct subject x;
    struct netwatch_snapshot s = home();
    subject_init(&x);
    s.routes[0] = route("192.168.1.254", 2, 100);
    cr_expect_eq(told_of(&x, &s), 1);
    cr_expect(x.last.routes_differ);
    cr_expect_eq(x.last.addrs_added + x.last.addrs_removed + x.last.addrs_altered, 0u);
    s.routes[0].link_index = 3;
    cr_expect_eq(told_of(&x, &s), 1);
    s.routes[0].metric = 600;
    cr_expect_eq(told_of(&x, &s), 1);
    s.routes[0].family = NET_IP6;
    cr_expect_eq(told_of(&x, &s), 1);
    struct netwatch_route more = route(NULL, 4, 50);
    netwatch_add_route(&s, &more);
    cr_expect_eq(told_of(&x, &s), 1);
    s.routes_count = 0;
    cr_expect_eq(told_of(&x, &s), 1);
    cr_expect_eq(told_of(&x, &s), 0);
}

Test(netwatch, a_link_that_is_called_otherwise_is_seen_without_a_call) {
    struct subject x;
    struct netwatch_snapshot s = home();
    subject_init(&x);
    (void)snprintf(s.links[0].name, sizeof(s.links[0].name), "lan");
    s.links[0].is_running = false;
    cr_assert_eq(told_of(&x, &s), 0);
    const struct netwatch_link *l = netwatch_link_of(netwatch_snapshot(&x.watch), 2);
    cr_assert_not_null(l);
    cr_assert_str_eq(l->name, "lan");
    cr_assert_null(netwatch_link_of(netwatch_snapshot(&x.watch), 3));
}

Test(netwatch, waking_up_is_told_when_nothing_else_is) {
    struct subject x;
    struct netwatch_snapshot s = home();
    subject_init(&x);
    netwatch_publish(&x.watch, &s, true);
    cr_assert_eq(x.told, 1);
    cr_assert(x.last.was_suspended);
    cr_assert_eq(x.last.addrs_added + x.last.addrs_removed + x.last.addrs_altered, 0u);
    cr_assert_not(x.last.routes_differ);
}

Test(netwatch, nobody_is_told_after_the_watcher_went) {
    struct subject x;
    struct netwatch_snapshot none = {0};
    subject_init(&x);
    netwatch_set_watcher(&x.watch, NULL, NULL);
    cr_assert_eq(told_of(&x, &none), 0);
    cr_assert_eq(netwatch_snapshot(&x.watch)->addrs_count, 0u);
}

Test(netwatch, what_is_too_much_is_left_out_and_said) {
    struct netwatch_snapshot s = {0};
    for (uint32_t i = 0; i < NETWATCH_ADDRS_MAX; i++) {
        struct netwatch_addr a = {.ip = {.family = NET_IP4, .ip = {10, 0, 0, (uint8_t)i}}};
        netwatch_add_addr(&s, &a);
    }
    for (uint32_t i = 0; i < NETWATCH_ROUTES_MAX; i++)
        netwatch_add_route(&s, &(struct netwatch_route){.metric = i});
    for (uint32_t i = 0; i < NETWATCH_LINKS_MAX; i++)
        netwatch_add_link(&s, &(struct netwatch_link){.index = i});
    cr_assert_not(s.is_cut);
    netwatch_add_addr(&s, &s.addrs[0]);
    cr_expect(s.is_cut && s.addrs_count == NETWATCH_ADDRS_MAX);
    s.is_cut = false;
    netwatch_add_route(&s, &s.routes[0]);
    cr_expect(s.is_cut && s.routes_count == NETWATCH_ROUTES_MAX);
    s.is_cut = false;
    netwatch_add_link(&s, &s.links[0]);
    cr_expect(s.is_cut && s.links_count == NETWATCH_LINKS_MAX);
}

Test(netwatch, addresses_of_no_use_to_others_are_not_listed) {
    static const struct {
        const char *ip;
        bool listed;
    } ROWS[] = {{"127.0.0.1", false},  {"127.8.8.8", false},  {"0.0.0.0", false},
                {"::1", false},        {"::", false},         {"fe80::1", false},
                {"169.254.3.4", true}, {"10.1.2.3", true},    {"100.64.0.1", true},
                {"fd00::1", true},     {"2001:db8::1", true}, {"8.8.8.8", true}};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct net_addr ip;
        cr_assert_eq(net_addr_parse_ip(ROWS[i].ip, &ip), 0);
        cr_expect_eq(netwatch_lists(&ip), ROWS[i].listed, "%s", ROWS[i].ip);
    }
    cr_assert_not(netwatch_lists(&(struct net_addr){.family = NET_NONE}));
}

static void on_changed_free(void *user, const struct netwatch_change *change) {
    cr_assert_eq(change->addrs_removed, 2u);
    free(user);
}

Test(netwatch, may_go_while_it_tells) {
    struct netwatch *w = calloc(1, sizeof(*w));
    struct netwatch_snapshot s = home();
    struct netwatch_snapshot none = {0};
    netwatch_publish(w, &s, false);
    netwatch_set_watcher(w, on_changed_free, w);
    netwatch_publish(w, &none, false);
}

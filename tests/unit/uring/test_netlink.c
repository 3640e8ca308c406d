/* SPDX-License-Identifier: MIT */
/* Goal: of the kernel's messages what is to be listed is listed, and what is malformed harms
 * nobody. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "uring/netlink.h"

/* --- Messages as the kernel writes them --- */

struct writer {
    _Alignas(struct nlmsghdr) uint8_t data[32768];
    size_t len;
    size_t message_at;
};

static void pad(struct writer *w) {
    w->len = NLMSG_ALIGN(w->len);
}

static void begin(struct writer *w, uint16_t type, const void *body, size_t size) {
    struct nlmsghdr h = {.nlmsg_type = type};
    pad(w);
    w->message_at = w->len;
    cr_assert_leq(w->len + sizeof(h) + size, sizeof(w->data));
    memcpy(w->data + w->len, &h, sizeof(h));
    memcpy(w->data + w->len + sizeof(h), body, size);
    w->len += sizeof(h) + size;
}

static void end(struct writer *w) {
    uint32_t len = (uint32_t)(w->len - w->message_at);
    memcpy(w->data + w->message_at, &len, sizeof(len)); /* nlmsg_len comes first */
}

static void attr(struct writer *w, uint16_t type, const void *value, size_t size) {
    struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + size), .nla_type = type};
    pad(w);
    cr_assert_leq(w->len + sizeof(a) + size, sizeof(w->data));
    memcpy(w->data + w->len, &a, sizeof(a));
    if (size > 0)
        memcpy(w->data + w->len + sizeof(a), value, size);
    w->len += sizeof(a) + size;
    end(w);
}

static void attr_u32(struct writer *w, uint16_t type, uint32_t value) {
    attr(w, type, &value, sizeof(value));
}

static size_t ip_of(const char *text, uint8_t *out) {
    bool is_6 = strchr(text, ':') != NULL;
    cr_assert_eq(inet_pton(is_6 ? AF_INET6 : AF_INET, text, out), 1, "%s", text);
    return is_6 ? 16 : 4;
}

static void attr_ip(struct writer *w, uint16_t type, const char *text) {
    uint8_t ip[16];
    size_t size = ip_of(text, ip);
    attr(w, type, ip, size);
}

static uint8_t family_of(const char *ip) {
    return strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
}

static void put_addr(struct writer *w, const char *ip, uint32_t link, uint32_t flags) {
    struct ifaddrmsg m = {.ifa_family = family_of(ip), .ifa_prefixlen = 24, .ifa_index = link};
    begin(w, RTM_NEWADDR, &m, sizeof(m));
    attr_ip(w, IFA_ADDRESS, ip);
    attr_u32(w, IFA_FLAGS, flags);
}

static void put_link(struct writer *w, uint32_t index, const char *name, uint32_t flags) {
    struct ifinfomsg m = {.ifi_index = (int)index, .ifi_flags = flags};
    begin(w, RTM_NEWLINK, &m, sizeof(m));
    attr(w, IFLA_IFNAME, name, strlen(name) + 1);
}

static void begin_route(struct writer *w, uint8_t family, const struct rtmsg *others) {
    struct rtmsg m = {.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST};
    if (others != NULL)
        m = *others;
    m.rtm_family = family;
    begin(w, RTM_NEWROUTE, &m, sizeof(m));
    end(w);
}

static void put_route(struct writer *w, const char *gateway, uint32_t link, uint32_t metric) {
    begin_route(w, family_of(gateway), NULL);
    attr_ip(w, RTA_GATEWAY, gateway);
    attr_u32(w, RTA_OIF, link);
    attr_u32(w, RTA_PRIORITY, metric);
}

static struct bytes written(const struct writer *w) {
    return bytes_of(w->data, w->len);
}

enum { RUNS = IFF_UP | IFF_RUNNING };

static const struct netwatch_snapshot *dump_of(const struct writer *w) {
    static struct netlink_dump d;
    d = (struct netlink_dump){0};
    netlink_dump_add(&d, written(w));
    netlink_dump_end(&d);
    return &d.found;
}

static bool addr_is(const struct netwatch_addr *a, const char *ip) {
    struct net_addr expected;
    cr_assert_eq(net_addr_parse_ip(ip, &expected), 0, "%s", ip);
    return net_addr_ip_equal(&a->ip, &expected);
}

/* --- Addresses --- */

Test(netlink, addresses_have_their_link_scope_and_flags) {
    static struct writer w;
    static const struct {
        uint8_t kernel;
        uint8_t ours;
    } SCOPES[] = {{RT_SCOPE_UNIVERSE, NETWATCH_SCOPE_GLOBAL},
                  {RT_SCOPE_SITE, NETWATCH_SCOPE_GLOBAL},
                  {RT_SCOPE_LINK, NETWATCH_SCOPE_LINK},
                  {RT_SCOPE_HOST, NETWATCH_SCOPE_HOST},
                  {RT_SCOPE_NOWHERE, NETWATCH_SCOPE_HOST}};
    for (size_t i = 0; i < ARRAY_COUNT(SCOPES); i++) {
        struct ifaddrmsg m = {.ifa_family = AF_INET6,
                              .ifa_prefixlen = 64,
                              .ifa_index = 7,
                              .ifa_scope = SCOPES[i].kernel};
        w.len = 0;
        begin(&w, RTM_NEWADDR, &m, sizeof(m));
        attr_ip(&w, IFA_ADDRESS, "2001:db8::7");
        attr_u32(&w, IFA_FLAGS, IFA_F_TEMPORARY | IFA_F_DEPRECATED);
        put_link(&w, 7, "wlan0", RUNS);
        const struct netwatch_snapshot *s = dump_of(&w);
        cr_assert_eq(s->addrs_count, 1u);
        const struct netwatch_addr *a = &s->addrs[0];
        cr_expect(addr_is(a, "2001:db8::7"));
        cr_expect(a->link_index == 7 && a->prefix_len == 64 && a->scope == SCOPES[i].ours);
        cr_expect(a->is_temporary && a->is_deprecated);
        cr_assert_eq(s->links_count, 1u);
        cr_expect_str_eq(s->links[0].name, "wlan0");
        cr_expect(s->links[0].is_running && s->knows_routes && !s->is_cut);
    }
}

Test(netlink, an_address_that_is_not_proved_is_not_listed) {
    static const struct {
        uint32_t flags;
        bool listed;
    } ROWS[] = {{0, true},
                {IFA_F_PERMANENT, true},
                {IFA_F_TENTATIVE, false},
                {IFA_F_TENTATIVE | IFA_F_PERMANENT, false},
                {IFA_F_TENTATIVE | IFA_F_OPTIMISTIC, true},
                {IFA_F_DADFAILED, false},
                {IFA_F_TENTATIVE | IFA_F_OPTIMISTIC | IFA_F_DADFAILED, false}};
    static struct writer w;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        w.len = 0;
        put_addr(&w, "2001:db8::7", 2, ROWS[i].flags);
        put_link(&w, 2, "eth0", RUNS);
        cr_expect_eq(dump_of(&w)->addrs_count, ROWS[i].listed, "row %zu", i);
        cr_expect_eq(dump_of(&w)->links_count, ROWS[i].listed, "row %zu", i);
    }
}

Test(netlink, a_second_address_of_IPv4_is_not_a_temporary_one) {
    static struct writer w;
    put_addr(&w, "192.0.2.7", 2, IFA_F_SECONDARY);
    put_link(&w, 2, "eth0", RUNS);
    cr_assert_eq(dump_of(&w)->addrs_count, 1u);
    cr_assert_not(dump_of(&w)->addrs[0].is_temporary);
}

Test(netlink, flags_of_an_old_kernel_are_in_the_header) {
    static struct writer w;
    struct ifaddrmsg m = {.ifa_family = AF_INET6, .ifa_index = 2, .ifa_flags = IFA_F_TENTATIVE};
    begin(&w, RTM_NEWADDR, &m, sizeof(m));
    attr_ip(&w, IFA_ADDRESS, "2001:db8::7");
    put_link(&w, 2, "eth0", RUNS);
    cr_assert_eq(dump_of(&w)->addrs_count, 0u);
}

Test(netlink, of_a_point_to_point_link_the_near_end_is_ours) {
    static struct writer w;
    struct ifaddrmsg m = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 3};
    begin(&w, RTM_NEWADDR, &m, sizeof(m));
    attr_ip(&w, IFA_ADDRESS, "192.0.2.1");
    attr_ip(&w, IFA_LOCAL, "192.0.2.2");
    put_link(&w, 3, "ppp0", RUNS);
    cr_assert_eq(dump_of(&w)->addrs_count, 1u);
    cr_assert(addr_is(&dump_of(&w)->addrs[0], "192.0.2.2"));
}

Test(netlink, what_others_cannot_use_is_not_listed) {
    static struct writer w;
    static const char *const ips[] = {"127.0.0.1", "::1", "fe80::1"};
    for (size_t i = 0; i < ARRAY_COUNT(ips); i++)
        put_addr(&w, ips[i], 2, 0);
    put_link(&w, 2, "eth0", RUNS);
    cr_assert_eq(dump_of(&w)->addrs_count, 0u);
    cr_assert_eq(dump_of(&w)->links_count, 0u);
    cr_assert_not(netlink_is_event(bytes_of(w.data, w.message_at)), "nor worth a look");
}

Test(netlink, only_links_that_are_up_have_addresses) {
    static struct writer w;
    put_addr(&w, "192.0.2.1", 1, 0);
    put_addr(&w, "192.0.2.2", 2, 0);
    put_addr(&w, "192.0.2.3", 3, 0);
    put_addr(&w, "192.0.2.4", 4, 0); /* of a link that has gone meanwhile */
    put_link(&w, 1, "down", 0);
    put_link(&w, 2, "nocarrier", IFF_UP);
    put_link(&w, 3, "up", RUNS);
    put_link(&w, 5, "unused", RUNS);
    const struct netwatch_snapshot *s = dump_of(&w);
    cr_assert_eq(s->addrs_count, 2u);
    cr_expect(addr_is(&s->addrs[0], "192.0.2.2") && addr_is(&s->addrs[1], "192.0.2.3"));
    cr_assert_eq(s->links_count, 2u);
    cr_expect_str_eq(s->links[0].name, "nocarrier");
    cr_expect_not(s->links[0].is_running);
    cr_expect_str_eq(s->links[1].name, "up");
}

/* --- Routes --- */

Test(netlink, default_routes_have_gateway_link_and_metric) {
    static struct writer w;
    put_route(&w, "192.0.2.1", 2, 100);
    put_route(&w, "fe80::1", 2, 1024);
    begin_route(&w, AF_INET, NULL);
    attr_u32(&w, RTA_OIF, 3);
    put_link(&w, 2, "eth0", RUNS);
    put_link(&w, 3, "wg0", RUNS);
    const struct netwatch_snapshot *s = dump_of(&w);
    cr_assert_eq(s->routes_count, 3u);
    cr_expect(s->routes[0].family == NET_IP4 && s->routes[0].link_index == 2 &&
              s->routes[0].metric == 100 && s->routes[0].gateway.ip[3] == 1);
    cr_expect(s->routes[1].family == NET_IP6 && s->routes[1].metric == 1024);
    cr_expect_eq(s->routes[1].gateway.scope_id, 2u, "a link-local gateway is of its link");
    cr_expect(s->routes[2].link_index == 3 && s->routes[2].gateway.family == NET_NONE);
    cr_expect_eq(s->links_count, 2u);
}

Test(netlink, other_routes_are_not_listed_and_no_event) {
    static const struct rtmsg ROWS[] = {
        {.rtm_table = RT_TABLE_LOCAL, .rtm_type = RTN_UNICAST},
        {.rtm_table = RT_TABLE_UNSPEC, .rtm_type = RTN_UNICAST},
        {.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNREACHABLE},
        {.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_BLACKHOLE},
        {.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST, .rtm_dst_len = 8},
        {.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST, .rtm_src_len = 64},
        {.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST, .rtm_flags = RTM_F_CLONED},
        {.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST, .rtm_flags = RTNH_F_DEAD}};
    static struct writer w;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        w.len = 0;
        begin_route(&w, AF_INET6, &ROWS[i]);
        attr_ip(&w, RTA_GATEWAY, "fe80::1");
        attr_u32(&w, RTA_OIF, 2);
        cr_expect_not(netlink_is_event(written(&w)), "row %zu", i);
        put_link(&w, 2, "eth0", RUNS);
        cr_expect_eq(dump_of(&w)->routes_count, 0u, "row %zu", i);
    }
    w.len = 0;
    begin_route(&w, AF_BRIDGE, NULL);
    attr_u32(&w, RTA_OIF, 2);
    cr_expect_not(netlink_is_event(written(&w)));
}

Test(netlink, a_default_route_needs_a_link_with_a_carrier) {
    static struct writer w;
    put_route(&w, "192.0.2.1", 2, 0);
    put_route(&w, "198.51.100.1", 3, 0);
    put_route(&w, "203.0.113.1", 4, 0);
    put_link(&w, 2, "unplugged", IFF_UP);
    put_link(&w, 3, "down", 0);
    put_link(&w, 4, "eth0", RUNS);
    cr_assert_eq(dump_of(&w)->routes_count, 1u);
    cr_assert_eq(dump_of(&w)->routes[0].link_index, 4u);
    cr_assert_eq(dump_of(&w)->links_count, 1u);
}

static size_t put_hop(uint8_t *at, int link, uint8_t flags, const char *gateway) {
    uint8_t ip[16];
    size_t size = ip_of(gateway, ip);
    struct rtnexthop hop = {.rtnh_ifindex = link, .rtnh_flags = flags};
    struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + size), .nla_type = RTA_GATEWAY};
    hop.rtnh_len = (uint16_t)(sizeof(hop) + a.nla_len);
    memcpy(at, &hop, sizeof(hop));
    memcpy(at + sizeof(hop), &a, sizeof(a));
    memcpy(at + sizeof(hop) + sizeof(a), ip, size);
    return hop.rtnh_len;
}

static void put_multipath(struct writer *w) {
    uint8_t hops[256];
    size_t len = put_hop(hops, 2, 0, "192.0.2.1");
    len += put_hop(hops + len, 3, RTNH_F_DEAD, "198.51.100.1");
    len += put_hop(hops + len, 4, 0, "203.0.113.1");
    begin_route(w, AF_INET, NULL);
    attr_u32(w, RTA_PRIORITY, 20);
    attr(w, RTA_MULTIPATH, hops, len);
}

Test(netlink, each_living_hop_of_a_route_over_several_links_is_one) {
    static struct writer w;
    put_multipath(&w);
    put_link(&w, 2, "eth0", RUNS);
    put_link(&w, 3, "eth1", RUNS);
    put_link(&w, 4, "eth2", RUNS);
    const struct netwatch_snapshot *s = dump_of(&w);
    cr_assert_eq(s->routes_count, 2u);
    cr_expect(s->routes[0].link_index == 2 && s->routes[0].metric == 20);
    cr_expect(s->routes[1].link_index == 4 && s->routes[1].gateway.ip[0] == 203);
}

Test(netlink, hops_that_end_too_early_are_passed_over) {
    static struct writer w;
    for (uint16_t len = 0; len < 40; len++) {
        struct rtnexthop hop = {.rtnh_len = len, .rtnh_ifindex = 2};
        w.len = 0;
        begin_route(&w, AF_INET, NULL);
        attr(&w, RTA_MULTIPATH, &hop, sizeof(hop));
        put_link(&w, 2, "eth0", RUNS);
        cr_expect_eq(dump_of(&w)->routes_count, len == sizeof(hop), "%d", len);
    }
}

Test(netlink, an_IPv4_route_may_have_an_IPv6_gateway) {
    static struct writer w;
    uint8_t via[2 + 16];
    uint16_t family = AF_INET6;
    memcpy(via, &family, sizeof(family));
    (void)ip_of("fe80::9", via + sizeof(family));
    for (size_t size = 0; size <= sizeof(via); size++) {
        w.len = 0;
        begin_route(&w, AF_INET, NULL);
        attr(&w, RTA_VIA, via, size);
        attr_u32(&w, RTA_OIF, 2);
        put_link(&w, 2, "eth0", RUNS);
        const struct netwatch_snapshot *s = dump_of(&w);
        cr_assert_eq(s->routes_count, 1u);
        bool whole = size == sizeof(via);
        cr_expect_eq(s->routes[0].family, NET_IP4);
        cr_expect_eq(s->routes[0].gateway.family, whole ? NET_IP6 : NET_NONE);
        cr_expect_eq(s->routes[0].gateway.scope_id, whole ? 2u : 0u);
    }
}

/* --- Bounds --- */

Test(netlink, a_machine_with_more_than_fits_is_cut) {
    static struct writer w;
    for (int i = 0; i <= NETWATCH_ADDRS_MAX; i++) {
        char ip[32];
        (void)snprintf(ip, sizeof(ip), "10.0.0.%d", i + 1);
        put_addr(&w, ip, (uint32_t)i + 1, 0);
    }
    cr_assert(dump_of(&w)->is_cut);
    w.len = 0;
    for (uint32_t i = 0; i <= NETWATCH_ROUTES_MAX; i++)
        put_route(&w, "192.0.2.1", 1, i);
    put_link(&w, 1, "eth0", RUNS);
    cr_assert(dump_of(&w)->is_cut);
    cr_assert_eq(dump_of(&w)->routes_count, (uint32_t)NETWATCH_ROUTES_MAX);
    w.len = 0;
    for (uint32_t i = 0; i <= NETWATCH_LINKS_MAX; i++)
        put_addr(&w, "10.0.0.1", i + 1, 0);
    for (uint32_t i = 0; i <= NETWATCH_LINKS_MAX; i++)
        put_link(&w, i + 1, "a-name-of-16-byt", RUNS);
    const struct netwatch_snapshot *s = dump_of(&w);
    cr_assert(s->is_cut);
    cr_assert_eq(s->links_count, (uint32_t)NETWATCH_LINKS_MAX);
    cr_assert_eq(s->addrs_count, (uint32_t)NETWATCH_LINKS_MAX + 1, "its addresses stay");
    cr_assert_str_eq(s->links[0].name, "a-name-of-16-by");
}

/* --- Robustness: on a copy of the very size, for ASan --- */

static void all_kinds(struct writer *w) {
    w->len = 0;
    put_addr(w, "192.0.2.7", 2, IFA_F_PERMANENT);
    put_addr(w, "2001:db8::7", 2, IFA_F_TEMPORARY);
    put_route(w, "192.0.2.1", 2, 100);
    put_multipath(w);
    put_link(w, 2, "eth0", RUNS);
}

static void feed(const uint8_t *data, size_t len) {
    struct netlink_dump d = {0};
    uint8_t *copy = mem_alloc(mem_system(), len == 0 ? 1 : len);
    cr_assert_not_null(copy);
    memcpy(copy, data, len);
    netlink_dump_add(&d, bytes_of(copy, len));
    netlink_dump_end(&d);
    (void)netlink_is_event(bytes_of(copy, len));
    (void)mem_free(mem_system(), copy);
    cr_assert(d.found.addrs_count <= 2 && d.found.routes_count <= 4 && d.found.links_count <= 2);
}

Test(netlink, a_dump_that_is_cut_anywhere_gives_a_part_of_it) {
    static struct writer w;
    all_kinds(&w);
    cr_assert_eq(dump_of(&w)->addrs_count, 2u);
    cr_assert_eq(dump_of(&w)->routes_count, 2u);
    for (size_t len = 0; len <= w.len; len++)
        feed(w.data, len);
}

Test(netlink, any_byte_may_be_another) {
    static struct writer w;
    static const uint8_t values[] = {0, 1, 3, 4, 0x7f, 0x80, 0xff};
    all_kinds(&w);
    for (size_t at = 0; at < w.len; at++) {
        uint8_t before = w.data[at];
        for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
            w.data[at] = values[i];
            feed(w.data, w.len);
        }
        w.data[at] = before;
    }
}

Test(netlink, attributes_of_a_wrong_size_are_not_used) {
    static struct writer w;
    static const uint8_t zeros[20];
    for (size_t size = 0; size <= sizeof(zeros); size++) {
        struct ifaddrmsg m = {.ifa_family = AF_INET6, .ifa_index = 2};
        uint8_t ip[20] = {0x20, 1};
        w.len = 0;
        begin(&w, RTM_NEWADDR, &m, sizeof(m));
        attr(&w, IFA_ADDRESS, ip, size);
        begin(&w, RTM_NEWADDR, &m, sizeof(m));
        attr_ip(&w, IFA_ADDRESS, "2001:db8::7");
        attr(&w, IFA_FLAGS, zeros, size);
        put_link(&w, 2, "eth0", RUNS);
        /* Of a number the kernel may write more than we know of. */
        cr_expect_eq(dump_of(&w)->addrs_count, (uint32_t)(size == 16) + (size >= 4), "%zu", size);
    }
}

Test(netlink, what_a_dump_could_list_is_an_event) {
    static const struct {
        uint16_t type;
        bool is_event;
    } ROWS[] = {{RTM_NEWADDR, true}, {RTM_DELADDR, true},   {RTM_NEWLINK, true},
                {RTM_DELLINK, true}, {RTM_NEWNEIGH, false}, {RTM_NEWRULE, false},
                {NLMSG_NOOP, false}, {NLMSG_DONE, false}};
    static struct writer w;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        w.len = 0;
        put_addr(&w, "192.0.2.7", 2, 0);
        memcpy(w.data + offsetof(struct nlmsghdr, nlmsg_type), &ROWS[i].type, 2);
        cr_expect_eq(netlink_is_event(written(&w)), ROWS[i].is_event, "row %zu", i);
    }
    w.len = 0;
    put_route(&w, "192.0.2.1", 2, 0);
    cr_expect(netlink_is_event(written(&w)));
}

/* SPDX-License-Identifier: MIT */

/* Boxes one at a time and one behind the other: who reaches whom, and as whom.  RFC 4787 for UDP,
 * RFC 5382 for TCP. */

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/sim/nat_lab.h"
#include "tests/sim/tcp_model.h"
#include "tests/sim/udp_model.h"

enum { SEEDS = 8 };

static struct lab lab;

static bool is_preserving(enum sim_nat_ports how) {
    return how == NAT_PORTS_PRESERVED || how == NAT_PORTS_SHARED;
}

/* --- Every kind --- */

/* Runs a check for every kind, over UDP and TCP. */
static void for_all_kinds(void (*check)(const struct sim_nat_config *cfg, enum net_proto proto)) {
    for (int mapping = 0; mapping < NAT_DEPENDENCE_COUNT; mapping++)
        for (int filtering = 0; filtering < NAT_DEPENDENCE_COUNT; filtering++)
            for (int ports = 0; ports < NAT_PORTS_COUNT; ports++)
                for (int proto = PROTO_UDP; proto <= PROTO_TCP; proto++) {
                    struct sim_nat_config cfg = sim_nat_translator(
                        (enum sim_nat_dependence)mapping, (enum sim_nat_dependence)filtering,
                        (enum sim_nat_ports)ports);
                    lab_set_up(&lab, cfg);
                    check(&cfg, (enum net_proto)proto);
                    lab_done(&lab);
                }
}

#define CHECK_KIND(condition)                                                             \
    do {                                                                                  \
        bool holds_ = condition;                                                          \
        cr_assert(holds_, "%s: mapping %d, filtering %d, ports %d, proto %d", #condition, \
                  cfg->mapping, cfg->filtering, cfg->ports, proto);                       \
    } while (0)

static void check_filtering(const struct sim_nat_config *cfg, enum net_proto proto) {
    struct endpoint from = lab_open(lab.a, proto, INSIDE_PORT);
    struct endpoint asked = lab_open(lab.x, proto, 1);
    struct endpoint other_port = lab_open(lab.x, proto, 2);
    struct endpoint other_host = lab_open(lab.y, proto, 1);
    struct net_addr unused = lab_addr(LAB_PUBLIC, INSIDE_PORT);
    CHECK_KIND(!lab_reaches(&asked, &unused, &from));
    struct net_addr at = lab_seen(&from, &asked);
    CHECK_KIND(net_addr_ip_equal(&at, &lab.nat->box->addrs[0]));
    CHECK_KIND((at.port == INSIDE_PORT) == is_preserving(cfg->ports));
    CHECK_KIND(lab_reaches(&asked, &at, &from));
    uint64_t drops = lab.nat->drops[NAT_DROP_FILTERED];
    CHECK_KIND(lab_reaches(&other_port, &at, &from) == (cfg->filtering != NAT_ADDRESS_PORT));
    CHECK_KIND(lab_reaches(&other_host, &at, &from) == (cfg->filtering == NAT_INDEPENDENT));
    CHECK_KIND(lab.nat->drops[NAT_DROP_FILTERED] - drops == (uint64_t)cfg->filtering);
    at.port++;
    CHECK_KIND(!lab_reaches(&asked, &at, &from));
}

Test(sim_nat, the_filter_lets_in_whom_it_should_and_answers_leave_as_they_came) {
    for_all_kinds(check_filtering);
}

static void check_mapping(const struct sim_nat_config *cfg, enum net_proto proto) {
    struct endpoint from = lab_open(lab.a, proto, INSIDE_PORT);
    struct endpoint first = lab_open(lab.x, proto, 1);
    struct endpoint other_port = lab_open(lab.x, proto, 2);
    struct endpoint other_host = lab_open(lab.y, proto, 1);
    struct net_addr at[3] = {lab_seen(&from, &first), lab_seen(&from, &other_port),
                             lab_seen(&from, &other_host)};
    bool all_the_same = cfg->ports == NAT_PORTS_SHARED || cfg->mapping == NAT_INDEPENDENT;
    bool by_host = cfg->mapping == NAT_ADDRESS;
    CHECK_KIND(net_addr_equal(&at[0], &at[1]) == (all_the_same || by_host));
    CHECK_KIND(net_addr_equal(&at[0], &at[2]) == all_the_same);
    CHECK_KIND(net_addr_equal(&at[1], &at[2]) == all_the_same);
    if (cfg->ports == NAT_PORTS_SEQUENTIAL && cfg->mapping == NAT_ADDRESS_PORT) {
        CHECK_KIND(at[1].port == at[0].port + 1);
        CHECK_KIND(at[2].port == at[0].port + 2);
    }
    struct net_addr again = lab_seen(&from, &first);
    CHECK_KIND(net_addr_equal(&at[0], &again));
}

Test(sim_nat, remotes_share_a_mapping_as_the_kind_says) {
    for_all_kinds(check_mapping);
}

/* Two hosts with the same inside port: each has what is its own. */
static void check_two_hosts(const struct sim_nat_config *cfg, enum net_proto proto) {
    struct sim_host *b = lab_host(&lab, "5.1.3.1");
    sim_nat_join(lab.nat, b);
    struct endpoint from_a = lab_open(lab.a, proto, INSIDE_PORT);
    struct endpoint from_b = lab_open(b, proto, INSIDE_PORT);
    struct endpoint to_x = lab_open(lab.x, proto, 1);
    struct endpoint other_port = lab_open(lab.x, proto, 2);
    struct endpoint to_y = lab_open(lab.y, proto, 1);
    CHECK_KIND(!net_addr_ip_equal(&from_a.at, &from_b.at));
    struct net_addr a_at_x = lab_seen(&from_a, &to_x);
    struct net_addr b_at_other_port = lab_seen(&from_b, &other_port);
    struct net_addr b_at_x = lab_seen(&from_b, &to_x);
    struct net_addr b_at_y = lab_seen(&from_b, &to_y);
    CHECK_KIND(net_addr_ip_equal(&a_at_x, &b_at_x));
    CHECK_KIND(a_at_x.port != b_at_x.port);
    bool is_shared = cfg->ports == NAT_PORTS_SHARED;
    CHECK_KIND(net_addr_equal(&b_at_other_port, &a_at_x) ==
               (is_shared && cfg->mapping == NAT_ADDRESS_PORT));
    CHECK_KIND(net_addr_equal(&b_at_y, &a_at_x) == (is_shared && cfg->mapping != NAT_INDEPENDENT));
    CHECK_KIND(lab_reaches(&to_x, &b_at_x, &from_b));
    CHECK_KIND(lab_reaches(&other_port, &b_at_other_port, &from_b));
    CHECK_KIND(lab_reaches(&to_y, &b_at_y, &from_b));
    CHECK_KIND(lab_reaches(&to_x, &a_at_x, &from_a));
}

Test(sim_nat, two_hosts_may_use_the_same_port) {
    for_all_kinds(check_two_hosts);
}

/* What a stranger said to one of them is as much a reason not to share a port with the other. */
Test(sim_nat, a_shared_port_is_never_for_one_remote_twice) {
    lab_set_up(&lab, sim_nat_translator(NAT_ADDRESS_PORT, NAT_INDEPENDENT, NAT_PORTS_SHARED));
    struct sim_host *b = lab_host(&lab, "5.1.3.1");
    sim_nat_join(lab.nat, b);
    struct endpoint from_a = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    struct endpoint from_b = lab_open(b, PROTO_UDP, INSIDE_PORT);
    struct endpoint to_x = lab_open(lab.x, PROTO_UDP, 1);
    struct endpoint other_port = lab_open(lab.x, PROTO_UDP, 2);
    struct endpoint stranger = lab_open(lab.y, PROTO_UDP, 1);
    struct endpoint other_stranger = lab_open(lab.y, PROTO_UDP, 2);
    struct net_addr at = lab_seen(&from_a, &to_x);
    cr_assert(lab_reaches(&stranger, &at, &from_a));
    struct net_addr b_at_y = lab_seen(&from_b, &stranger);
    cr_assert_not(net_addr_equal(&b_at_y, &at));
    struct net_addr b_at_x = lab_seen(&from_b, &other_port);
    cr_assert(net_addr_equal(&b_at_x, &at));
    cr_assert(lab_reaches(&other_stranger, &at, &from_a)); /* who was first */
    lab_done(&lab);
}

Test(sim_nat, protocols_have_nothing_in_common) {
    for (int proto = PROTO_UDP; proto <= PROTO_TCP; proto++) {
        lab_set_up(&lab, lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT));
        enum net_proto other = proto == PROTO_UDP ? PROTO_TCP : PROTO_UDP;
        struct endpoint from = lab_open(lab.a, (enum net_proto)proto, INSIDE_PORT);
        struct endpoint to = lab_open(lab.x, (enum net_proto)proto, 1);
        struct endpoint from_other = lab_open(lab.a, other, INSIDE_PORT);
        struct endpoint to_other = lab_open(lab.x, other, 1);
        struct net_addr at = lab_seen(&from, &to);
        cr_assert_not(lab_reaches(&to_other, &at, &from_other));
        struct net_addr at_other = lab_seen(&from_other, &to_other);
        cr_assert(net_addr_equal(&at, &at_other));
        lab_done(&lab);
    }
}

Test(sim_nat, sequential_ports_go_on_where_one_is_free_again) {
    struct sim_nat_config cfg =
        sim_nat_translator(NAT_INDEPENDENT, NAT_INDEPENDENT, NAT_PORTS_SEQUENTIAL);
    cfg.ports_count = 3;
    lab_set_up(&lab, cfg);
    struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    struct endpoint to = lab_open(lab.x, PROTO_UDP, 1);
    uint16_t port = lab_seen(&from, &to).port;
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(port, 1024);
        cr_assert_lt(port, 1027);
        sim_nat_reboot(lab.nat);
        uint16_t next = lab_seen(&from, &to).port;
        cr_assert_eq(next, port == 1026 ? 1024 : port + 1);
        port = next;
    }
    lab_done(&lab);
}

/* RFC 4787 REQ-9: who is inside is seen from outside, also by those who are inside. */
static void check_hairpin(const struct sim_nat_config *cfg, enum net_proto proto) {
    struct sim_host *b = lab_host(&lab, "5.1.3.1");
    sim_nat_join(lab.nat, b);
    struct endpoint from = lab_open(lab.a, proto, INSIDE_PORT);
    struct endpoint to = lab_open(b, proto, INSIDE_PORT);
    struct endpoint third = lab_open(lab.x, proto, 1);
    struct net_addr a_at_x = lab_seen(&from, &third);
    struct net_addr b_at_x = lab_seen(&to, &third);
    CHECK_KIND(!lab_reaches(&from, &b_at_x, &to));
    CHECK_KIND(lab.nat->drops[NAT_DROP_HAIRPIN] == 1);
    lab.nat->config.hairpins = true;
    struct net_addr at;
    bool reached = lab_reach(&from, &b_at_x, &to, &at);
    CHECK_KIND(reached == (cfg->filtering == NAT_INDEPENDENT));
    CHECK_KIND(lab.nat->drops[NAT_DROP_HAIRPIN] == 1);
    if (reached) {
        CHECK_KIND(net_addr_ip_equal(&at, &lab.nat->box->addrs[0]));
        CHECK_KIND(net_addr_equal(&at, &a_at_x) ==
                   (cfg->mapping == NAT_INDEPENDENT || cfg->ports == NAT_PORTS_SHARED));
    }
}

Test(sim_nat, who_is_inside_is_reached_by_hairpin_only) {
    for_all_kinds(check_hairpin);
}

Test(sim_nat, a_strict_filter_lets_a_hairpin_in_that_was_asked_for) {
    struct sim_nat_config cfg = lab_kind(NAT_INDEPENDENT, NAT_ADDRESS_PORT);
    cfg.hairpins = true;
    lab_set_up(&lab, cfg);
    struct sim_host *b = lab_host(&lab, "5.1.3.1");
    sim_nat_join(lab.nat, b);
    struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    struct endpoint to = lab_open(b, PROTO_UDP, INSIDE_PORT);
    struct endpoint third = lab_open(lab.x, PROTO_UDP, 1);
    struct net_addr a_at = lab_seen(&from, &third);
    struct net_addr b_at = lab_seen(&to, &third);
    cr_assert_not(lab_reaches(&from, &b_at, &to));
    cr_assert(lab_reaches(&to, &a_at, &from));
    cr_assert(lab_reaches(&from, &b_at, &to));
    lab_done(&lab);
}

Test(sim_nat, neighbours_reach_each_other_without_the_box) {
    lab_set_up(&lab, lab_kind(NAT_ADDRESS_PORT, NAT_ADDRESS_PORT));
    struct sim_host *b = lab_host(&lab, "5.1.3.1");
    sim_nat_join(lab.nat, b);
    struct endpoint from = lab_open(lab.a, PROTO_TCP, INSIDE_PORT);
    struct endpoint to = lab_open(b, PROTO_TCP, INSIDE_PORT);
    net_power(lab.nat->box, false);
    struct net_addr at = lab_seen(&from, &to);
    cr_assert(net_addr_equal(&at, &from.at));
    cr_assert(net_addr_is_private(&at));
    /* What is public about B is gone, and its private address means nothing to others. */
    net_power(lab.nat->box, true);
    struct endpoint other = lab_open(lab.x, PROTO_TCP, 1);
    struct net_addr old = lab_addr("5.1.3.1", INSIDE_PORT);
    cr_assert_not(lab_reaches(&other, &old, &to));
    cr_assert_not(lab_reaches(&other, &to.at, &to));
    lab_done(&lab);
}

/* --- Public addresses --- */

static uint32_t addresses_seen(bool arbitrarily) {
    struct sim_nat_config cfg =
        sim_nat_translator(NAT_ADDRESS_PORT, NAT_INDEPENDENT, NAT_PORTS_RANDOM);
    cfg.pools_arbitrarily = arbitrarily;
    lab_set_up(&lab, cfg);
    struct net_addr second = lab_addr("5.1.0.2", 0);
    net_add_addr(lab.nat->box, &second);
    bool was[2] = {false, false};
    struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    for (uint16_t port = 1; port <= 16; port++) {
        struct endpoint to = lab_open(lab.x, PROTO_UDP, port);
        struct net_addr at = lab_seen(&from, &to);
        cr_assert(net_host_has(lab.nat->box, &at));
        was[net_addr_ip_equal(&at, &second)] = true;
        cr_assert(lab_reaches(&to, &at, &from));
    }
    lab_done(&lab);
    return (uint32_t)was[0] + was[1];
}

/* RFC 4787 REQ-2. */
Test(sim_nat, a_host_has_one_address_of_a_pool_or_any) {
    cr_assert_eq(addresses_seen(false), 1);
    cr_assert_eq(addresses_seen(true), 2);
}

Test(sim_nat, pools_are_paired_by_host) {
    lab_set_up(&lab, lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT));
    struct net_addr second = lab_addr("5.1.0.2", 0);
    net_add_addr(lab.nat->box, &second);
    struct sim_host *b = lab_host(&lab, "5.1.3.1");
    sim_nat_join(lab.nat, b);
    struct endpoint from_a = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    struct endpoint from_b = lab_open(b, PROTO_UDP, INSIDE_PORT);
    struct endpoint to = lab_open(lab.x, PROTO_UDP, 1);
    struct net_addr a_at = lab_seen(&from_a, &to);
    struct net_addr b_at = lab_seen(&from_b, &to);
    cr_assert_not(net_addr_ip_equal(&a_at, &b_at));
    cr_assert_eq(a_at.port, INSIDE_PORT);
    cr_assert_eq(b_at.port, INSIDE_PORT);
    lab_done(&lab);
}

Test(sim_nat, another_address_loses_what_the_old_one_had) {
    lab_set_up(&lab, lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT));
    struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    struct endpoint to = lab_open(lab.x, PROTO_UDP, 1);
    struct net_addr before = lab_seen(&from, &to);
    struct net_addr other = lab_addr("5.9.0.1", 0);
    sim_nat_readdress(lab.nat, 0, &other);
    cr_assert_eq(lab.nat->sessions_count, 0);
    cr_assert_not(lab_reaches(&to, &before, &from));
    struct net_addr after = lab_seen(&from, &to);
    cr_assert(net_addr_ip_equal(&after, &other));
    cr_assert(lab_reaches(&to, &after, &from));
    lab_done(&lab);
}

Test(sim_nat, an_address_of_a_pool_changes_alone) {
    lab_set_up(&lab, lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT));
    struct net_addr second = lab_addr("5.1.0.2", 0);
    struct net_addr other = lab_addr("5.9.0.1", 0);
    net_add_addr(lab.nat->box, &second);
    struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    struct endpoint to = lab_open(lab.x, PROTO_UDP, 1);
    struct net_addr at = lab_seen(&from, &to);
    uint32_t unused = net_addr_ip_equal(&at, &lab.nat->box->addrs[0]);
    sim_nat_readdress(lab.nat, unused, &other);
    cr_assert(lab_reaches(&to, &at, &from));
    lab_done(&lab);
}

/* --- Chance --- */

static uint16_t random_port(uint64_t seed) {
    lab_init(&lab, seed);
    lab.a = lab_host(&lab, "5.1.0.1");
    lab.x = lab_host(&lab, "5.1.1.1");
    lab.nat =
        lab_nat(lab.a, sim_nat_translator(NAT_INDEPENDENT, NAT_INDEPENDENT, NAT_PORTS_RANDOM));
    struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    struct endpoint to = lab_open(lab.x, PROTO_UDP, 1);
    uint16_t port = lab_seen(&from, &to).port;
    lab_done(&lab);
    return port;
}

Test(sim_nat, ports_are_the_seeds) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        cr_assert_eq(random_port(seed), random_port(seed));
        cr_assert_neq(random_port(seed), random_port(seed + 1));
        cr_assert_geq(random_port(seed), 1024);
    }
}

Test(sim_nat, random_kinds_are_all_kinds_and_the_seeds) {
    bool was[NAT_DEPENDENCE_COUNT][NAT_DEPENDENCE_COUNT][NAT_PORTS_COUNT] = {0};
    bool hairpins[2] = {false, false};
    bool resets[2] = {false, false};
    bool refreshes[2] = {false, false};
    struct sim_rand r, again;
    sim_rand_init(&r, 7, "test", 0);
    sim_rand_init(&again, 7, "test", 0);
    for (int i = 0; i < 1000; i++) {
        struct sim_nat_config cfg, same;
        sim_nat_random(&r, &cfg);
        sim_nat_random(&again, &same);
        cr_assert_eq(cfg.mapping, same.mapping);
        cr_assert_eq(cfg.udp_timeout, same.udp_timeout);
        was[cfg.mapping][cfg.filtering][cfg.ports] = true;
        hairpins[cfg.hairpins] = true;
        resets[cfg.resets] = true;
        refreshes[cfg.inbound_refreshes] = true;
        cr_assert_not(cfg.is_firewall);
        cr_assert_not(cfg.blocks_udp);
        cr_assert_geq(cfg.udp_timeout, SEC(30));
        cr_assert_leq(cfg.udp_timeout, SEC(300));
    }
    for (int m = 0; m < NAT_DEPENDENCE_COUNT; m++)
        for (int f = 0; f < NAT_DEPENDENCE_COUNT; f++)
            for (int p = 0; p < NAT_PORTS_COUNT; p++)
                cr_assert(was[m][f][p], "%d %d %d", m, f, p);
    cr_assert(hairpins[0] && hairpins[1]);
    cr_assert(resets[0] && resets[1]);
    cr_assert(refreshes[0] && refreshes[1]);
}

/* --- Refusing --- */

Test(sim_nat, unsolicited_tcp_is_dropped_or_reset) {
    for (int resets = 0; resets <= 1; resets++) {
        struct sim_nat_config cfg = lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT);
        cfg.resets = resets;
        lab_set_up(&lab, cfg);
        struct net_addr at = lab_addr(LAB_PUBLIC, INSIDE_PORT);
        struct sim_tcp *client = tcp_new_sock(lab.x);
        cr_assert_eq(tcp_connect_sock(client, &at), 0);
        lab_run_for(&lab, MSEC(100));
        cr_assert_eq(tcp_connect_result(client), resets ? -ECONNREFUSED : -EINPROGRESS);
        cr_assert_eq(lab.nat->drops[NAT_DROP_FILTERED], 1);
        tcp_close_sock(client, false);
        /* For UDP it changes nothing, and a reset is never answered. */
        struct endpoint from = lab_open(lab.x, PROTO_UDP, 1);
        struct endpoint to = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
        cr_assert_not(lab_reaches(&from, &at, &to));
        lab_done(&lab);
    }
}

Test(sim_nat, a_hairpin_to_nobody_is_reset_too) {
    struct sim_nat_config cfg = lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT);
    cfg.hairpins = true;
    cfg.resets = true;
    lab_set_up(&lab, cfg);
    struct net_addr at = lab_addr(LAB_PUBLIC, 9);
    struct sim_tcp *client = tcp_new_sock(lab.a);
    cr_assert_eq(tcp_connect_sock(client, &at), 0);
    lab_run_for(&lab, MSEC(100));
    cr_assert_eq(tcp_connect_result(client), -ECONNREFUSED);
    tcp_close_sock(client, false);
    lab_done(&lab);
}

/* --- Firewalls --- */

Test(sim_nat, a_firewall_filters_and_changes_no_address) {
    for (int family = NET_IP4; family <= NET_IP6; family += NET_IP6 - NET_IP4) {
        for (int filtering = 0; filtering < NAT_DEPENDENCE_COUNT; filtering++) {
            for (int proto = PROTO_UDP; proto <= PROTO_TCP; proto++) {
                const char *net = family == NET_IP4 ? "5.1.0.1" : "2a01:5:0::1";
                lab_init(&lab, 7);
                lab.a = lab_host(&lab, net);
                lab.x = lab_host(&lab, family == NET_IP4 ? "5.1.1.1" : "2a01:5:1::1");
                lab.y = lab_host(&lab, family == NET_IP4 ? "5.1.2.1" : "2a01:5:2::1");
                lab.nat = lab_nat(lab.a, sim_nat_firewall((enum sim_nat_dependence)filtering));
                struct endpoint from = lab_open(lab.a, (enum net_proto)proto, INSIDE_PORT);
                struct endpoint asked = lab_open(lab.x, (enum net_proto)proto, 1);
                struct endpoint other_port = lab_open(lab.x, (enum net_proto)proto, 2);
                struct endpoint other_host = lab_open(lab.y, (enum net_proto)proto, 1);
                cr_assert_not(lab_reaches(&asked, &from.at, &from));
                struct net_addr at = lab_seen(&from, &asked);
                cr_assert(net_addr_equal(&at, &from.at));
                cr_assert(lab_reaches(&asked, &at, &from));
                cr_assert_eq(lab_reaches(&other_port, &at, &from), filtering != NAT_ADDRESS_PORT);
                cr_assert_eq(lab_reaches(&other_host, &at, &from), filtering == NAT_INDEPENDENT);
                lab_done(&lab);
            }
        }
    }
}

/* IPv6 beside a NAT: the host keeps its address, and its box filters. */
Test(sim_nat, a_nat_is_a_firewall_for_ip6) {
    lab_init(&lab, 7);
    lab.a = lab_host(&lab, "5.1.0.1");
    lab.x = lab_host(&lab, "2a01:5:1::1");
    struct net_addr public6 = lab_addr("2a01:5:0::1", 0);
    net_add_addr(lab.a, &public6);
    lab.nat =
        lab_nat(lab.a, sim_nat_translator(NAT_ADDRESS_PORT, NAT_ADDRESS_PORT, NAT_PORTS_RANDOM));
    cr_assert_eq(lab.a->addrs_count, 2);
    cr_assert(net_addr_is_private(&lab.a->addrs[0]));
    cr_assert(net_host_has(lab.a, &public6));
    cr_assert_not(net_host_has(lab.nat->box, &public6));
    struct endpoint to = lab_open(lab.x, PROTO_UDP, 1);
    struct endpoint from = {.host = lab.a, .proto = PROTO_UDP, .at = public6};
    from.at.port = INSIDE_PORT;
    cr_assert_eq(udp_open_sock(lab.a, &from.at, &from.udp), 0);
    cr_assert_not(lab_reaches(&to, &from.at, &from));
    struct net_addr at = lab_seen(&from, &to);
    cr_assert(net_addr_equal(&at, &from.at));
    cr_assert(lab_reaches(&to, &from.at, &from));
    lab_done(&lab);
}

Test(sim_nat, a_firewall_may_pass_tcp_only) {
    struct sim_nat_config kinds[] = {lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT),
                                     sim_nat_firewall(NAT_INDEPENDENT)};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        kinds[i].blocks_udp = true;
        lab_set_up(&lab, kinds[i]);
        struct endpoint from_udp = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
        struct endpoint to_udp = lab_open(lab.x, PROTO_UDP, 1);
        struct endpoint from_tcp = lab_open(lab.a, PROTO_TCP, INSIDE_PORT);
        struct endpoint to_tcp = lab_open(lab.x, PROTO_TCP, 1);
        struct net_addr at = lab_seen(&from_tcp, &to_tcp);
        cr_assert(lab_reaches(&to_tcp, &at, &from_tcp));
        cr_assert_not(lab_reaches(&from_udp, &to_udp.at, &to_udp));
        cr_assert_eq(lab.nat->drops[NAT_DROP_BLOCKED], 1);
        cr_assert_not(lab_reaches(&to_udp, &at, &from_udp));
        cr_assert_eq(lab.nat->drops[NAT_DROP_BLOCKED], 2);
        lab_done(&lab);
    }
}

/* --- Its place --- */

Test(sim_nat, a_box_takes_over_the_links_of_its_host) {
    lab_init(&lab, 7);
    lab.a = lab_host(&lab, "5.1.0.1");
    lab.x = lab_host(&lab, "5.1.1.1");
    net_link(&lab.net, lab.a, lab.x)->quality.delay = MSEC(30);
    net_link(&lab.net, lab.x, lab.a)->quality.delay = MSEC(40);
    lab.nat = lab_nat(lab.a, lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT));
    struct sim_host *b = lab_host(&lab, "5.1.3.1");
    sim_nat_join(lab.nat, b);
    cr_assert_eq(net_link(&lab.net, lab.nat->box, lab.x)->quality.delay, MSEC(30));
    cr_assert_eq(net_link(&lab.net, lab.x, lab.nat->box)->quality.delay, MSEC(40));
    cr_assert_eq(net_link(&lab.net, lab.a, lab.nat->box)->quality.delay, LAB_LAN_DELAY);
    cr_assert_eq(net_link(&lab.net, lab.nat->box, lab.a)->quality.delay, LAB_LAN_DELAY);
    cr_assert_eq(net_link(&lab.net, lab.a, b)->quality.delay, LAB_LAN_DELAY);
    cr_assert_eq(net_link(&lab.net, b, lab.a)->quality.delay, LAB_LAN_DELAY);
    cr_assert(net_link_between(&lab.net, lab.a, lab.x) == net_link(&lab.net, lab.nat->box, lab.x));
    cr_assert(net_link_between(&lab.net, lab.x, b) == net_link(&lab.net, lab.x, lab.nat->box));
    cr_assert(net_link_between(&lab.net, lab.a, b) == net_link(&lab.net, lab.a, b));
    lab_done(&lab);
}

/* --- One behind the other --- */

static struct sim_nat_config carrier(enum sim_nat_dependence filtering) {
    struct sim_nat_config cfg = sim_nat_translator(NAT_INDEPENDENT, filtering, NAT_PORTS_RANDOM);
    cfg.inside = lab_addr("100.64.0.0", 0);
    return cfg;
}

Test(sim_nat, two_boxes_filter_as_the_stricter_one) {
    for (int outer = 0; outer < NAT_DEPENDENCE_COUNT; outer++) {
        for (int inner = 0; inner < NAT_DEPENDENCE_COUNT; inner++) {
            int strict = MAX(outer, inner);
            lab_set_up(&lab, lab_kind(NAT_INDEPENDENT, (enum sim_nat_dependence)inner));
            struct sim_nat *cgnat = lab_nat(lab.nat->box, carrier((enum sim_nat_dependence)outer));
            struct endpoint from = lab_open(lab.a, PROTO_TCP, INSIDE_PORT);
            struct endpoint asked = lab_open(lab.x, PROTO_TCP, 1);
            struct endpoint other_port = lab_open(lab.x, PROTO_TCP, 2);
            struct endpoint other_host = lab_open(lab.y, PROTO_TCP, 1);
            struct net_addr public = lab_addr(LAB_PUBLIC, 0);
            struct net_addr between = lab_addr("100.64.0.2", 0);
            cr_assert(net_host_has(cgnat->box, &public));
            cr_assert(net_host_has(lab.nat->box, &between));
            struct net_addr at = lab_seen(&from, &asked);
            cr_assert(net_addr_ip_equal(&at, &public));
            cr_assert_neq(at.port, INSIDE_PORT);
            cr_assert(lab_reaches(&asked, &at, &from));
            cr_assert_eq(lab_reaches(&other_port, &at, &from), strict != NAT_ADDRESS_PORT);
            cr_assert_eq(lab_reaches(&other_host, &at, &from), strict == NAT_INDEPENDENT);
            lab_done(&lab);
        }
    }
}

/* Two homes of one carrier: by what is public of them only if the carrier's box hairpins, whatever
 * their own do; by what is theirs in its network without. */
Test(sim_nat, homes_behind_one_carrier) {
    lab_set_up(&lab, lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT));
    struct sim_host *b = lab_host(&lab, "5.1.3.1");
    struct sim_nat *home = lab_nat(b, lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT));
    struct sim_nat *cgnat = lab_nat(lab.nat->box, carrier(NAT_INDEPENDENT));
    sim_nat_join(cgnat, home->box);
    struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    struct endpoint to = lab_open(b, PROTO_UDP, INSIDE_PORT);
    struct endpoint third = lab_open(lab.x, PROTO_UDP, 1);
    cr_assert(net_addr_equal(&from.at, &to.at)); /* 192.168.1.2, both */
    struct net_addr at = lab_seen(&to, &third);
    cr_assert_not(lab_reaches(&from, &at, &to));
    cr_assert_eq(cgnat->drops[NAT_DROP_HAIRPIN], 1);
    cgnat->config.hairpins = true;
    cr_assert(lab_reaches(&from, &at, &to));
    struct net_addr between = home->box->addrs[0];
    between.port = INSIDE_PORT;
    cgnat->config.hairpins = false;
    cr_assert(lab_reaches(&from, &between, &to));
    cr_assert(net_link_between(&lab.net, lab.a, b) == net_link(&lab.net, lab.nat->box, home->box));
    cr_assert(net_link_between(&lab.net, lab.x, b) == net_link(&lab.net, lab.x, cgnat->box));
    lab_done(&lab);
}

/* A second router in a home, with the range of the first. */
Test(sim_nat, two_boxes_may_have_the_same_range) {
    lab_set_up(&lab, lab_kind(NAT_INDEPENDENT, NAT_ADDRESS_PORT));
    struct sim_nat *outer = lab_nat(lab.nat->box, lab_kind(NAT_INDEPENDENT, NAT_ADDRESS_PORT));
    sim_nat_join(lab.nat, lab_host(&lab, "5.1.3.1"));
    struct sim_host *b = lab_host(&lab, "5.1.4.1");
    sim_nat_join(outer, b); /* 192.168.1.3, as the one who joined the inner box */
    struct endpoint from = lab_open(lab.a, PROTO_TCP, INSIDE_PORT);
    struct endpoint to = lab_open(lab.x, PROTO_TCP, 1);
    struct endpoint neighbour = lab_open(b, PROTO_TCP, 1);
    cr_assert(net_addr_equal(&lab.a->addrs[0], &lab.nat->box->addrs[0]));
    struct net_addr at = lab_seen(&from, &to);
    cr_assert(net_addr_ip_equal(&at, &outer->box->addrs[0]));
    cr_assert(lab_reaches(&to, &at, &from));
    cr_assert(lab_reaches(&neighbour, &to.at, &to));
    lab_done(&lab);
}

Test(sim_nat, a_firewall_before_a_nat_and_behind_it) {
    lab_set_up(&lab, lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT));
    struct sim_nat *before = lab_nat(lab.nat->box, sim_nat_firewall(NAT_ADDRESS_PORT));
    struct sim_nat *behind = lab_nat(lab.a, sim_nat_firewall(NAT_ADDRESS));
    struct endpoint from = lab_open(lab.a, PROTO_TCP, INSIDE_PORT);
    struct endpoint to = lab_open(lab.x, PROTO_TCP, 1);
    struct endpoint other = lab_open(lab.x, PROTO_TCP, 2);
    struct net_addr at = lab_seen(&from, &to);
    cr_assert(net_addr_ip_equal(&at, &lab.nat->box->addrs[0]));
    cr_assert(lab_reaches(&to, &at, &from));
    cr_assert_not(lab_reaches(&other, &at, &from));
    cr_assert_eq(before->drops[NAT_DROP_FILTERED], 1);
    cr_assert_eq(behind->drops[NAT_DROP_FILTERED], 0);
    lab_done(&lab);
}

/* --- TCP through it --- */

Test(sim_nat, tcp_has_the_mtu_of_its_way) {
    lab_set_up(&lab, lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT));
    net_link(&lab.net, lab.nat->box, lab.x)->quality.mtu = 1280;
    net_link(&lab.net, lab.x, lab.nat->box)->quality.mtu = 1280;
    struct net_addr at = lab_addr("5.1.1.1", 1);
    struct net_addr back = lab_addr(LAB_PUBLIC, 1);
    struct net_addr nobody = lab_addr("5.77.0.1", 1);
    net_link(&lab.net, lab.nat->box, lab.nat->box)->quality.mtu = 500; /* is on no way */
    cr_assert_eq(net_payload_max(&lab.net, lab.a, &at, PROTO_TCP), 1228);
    cr_assert_eq(net_payload_max(&lab.net, lab.x, &back, PROTO_TCP), 1228);
    cr_assert_eq(net_payload_max(&lab.net, lab.a, &back, PROTO_TCP), 1448);
    cr_assert_eq(net_payload_max(&lab.net, lab.a, &nobody, PROTO_TCP), 1448);
    net_link(&lab.net, lab.a, lab.nat->box)->quality.mtu = 1000;
    cr_assert_eq(net_payload_max(&lab.net, lab.a, &at, PROTO_TCP), 948);
    lab_done(&lab);
}

/* SPDX-License-Identifier: MIT */
/* Goal: each rule of the grade, in order, with its words.
 * Spec: behaviour, reachability grade. */
#include "relay/proto/reach.h"
#include "tests/unit/relay_nat/addrs.h"

/* Of addresses, NULL-terminated. */
static struct reach_ips ips_of(const char *const *texts) {
    struct reach_ips ips = {.local_count = 0};
    for (; *texts != NULL; texts++) {
        struct net_addr a = naddr(*texts);
        reach_add_ip(&ips, &a);
    }
    return ips;
}

#define IPS(...) ips_of((const char *const[]){__VA_ARGS__, NULL})

static void expect(struct reach_ips ips, struct reach_nat nat, char grade, const char *label,
                   const char *description) {
    struct reach_grade got = reach_grade(&ips, &nat);
    cr_assert_eq(got.grade, grade, "%c instead of %c: %s", got.grade, grade, description);
    cr_assert_str_eq(got.label, label);
    cr_assert_str_eq(got.description, description);
}

static struct reach_nat probed(enum nat_type type, bool is_external_known) {
    return (struct reach_nat){
        .is_probed = true, .is_external_known = is_external_known, .type = type};
}

static const struct reach_nat not_probed = {.is_probed = false};

Test(reach, public_addresses_come_first) {
    expect(IPS("2a00::1", "192.168.1.2"), probed(NAT_SYMMETRIC, true), 'A', "Excellent",
           "Public IPv6 detected");
    expect(IPS("2a00::1", "8.8.8.8"), not_probed, 'A', "Excellent", "Public IPv6 detected");
    expect(IPS("8.8.8.8", "100.64.0.1"), probed(NAT_SYMMETRIC, true), 'B', "Good",
           "Public IPv4 detected");
}

Test(reach, cgnat_comes_before_the_nats_type_once_probed) {
    expect(IPS("100.64.0.1"), probed(NAT_ADDRESS_RESTRICTED, true), 'D', "Poor",
           "CGNAT detected, hole-punch unlikely");
    expect(IPS("100.127.255.255"), probed(NAT_UNKNOWN, false), 'D', "Poor",
           "CGNAT detected, hole-punch unlikely");
    expect(IPS("100.64.0.1"), not_probed, 'D', "Poor", "No public address detected");
}

Test(reach, the_nats_type_decides_behind_one) {
    struct reach_ips home = IPS("192.168.1.2", "fd00::2");
    expect(home, probed(NAT_NONE, true), 'B', "Good", "STUN reports no NAT");
    expect(home, probed(NAT_FULL_CONE, true), 'B', "Good", "Hole-punchable NAT (full-cone)");
    expect(home, probed(NAT_ADDRESS_RESTRICTED, true), 'B', "Good",
           "Hole-punchable NAT (address-restricted)");
    expect(home, probed(NAT_PORT_RESTRICTED, true), 'C', "Fair", "Port-restricted NAT");
    expect(home, probed(NAT_SYMMETRIC, true), 'D', "Poor", "Symmetric NAT (CGNAT likely)");
    expect(home, probed(NAT_UNKNOWN, true), 'C', "Fair",
           "NAT type unknown, external address discovered");
    expect(home, probed(NAT_UNKNOWN, false), 'D', "Poor", "No public address detected");
    expect(home, not_probed, 'D', "Poor", "No public address detected");
}

Test(reach, a_machine_without_a_network_is_offline) {
    static const char offline[] = "No network connectivity detected";
    expect((struct reach_ips){.local_count = 0}, not_probed, 'F', "Offline", offline);
    expect(IPS("127.0.0.1", "::1", "fe80::1", "169.254.1.1", "0.0.0.0", "::"),
           probed(NAT_UNKNOWN, false), 'F', "Offline", offline);
    expect(IPS("127.0.0.1"), probed(NAT_ADDRESS_RESTRICTED, true), 'F', "Offline", offline);
}

Test(reach, what_is_global_follows_the_interfaces_rules) {
    static const struct {
        const char *text;
        unsigned ip4, ip6, local;
        bool is_cgnat;
    } rows[] = {
        {"8.8.8.8", 1, 0, 0, false},         {"192.0.2.1", 1, 0, 0, false},
        {"10.1.2.3", 0, 0, 1, false},        {"172.31.0.1", 0, 0, 1, false},
        {"172.32.0.1", 1, 0, 0, false},      {"100.63.0.1", 1, 0, 0, false},
        {"100.64.0.1", 0, 0, 1, true},       {"100.128.0.1", 1, 0, 0, false},
        {"224.0.0.1", 0, 0, 0, false},       {"239.1.1.1", 0, 0, 0, false},
        {"255.255.255.255", 0, 0, 0, false}, {"169.254.0.1", 0, 0, 0, false},
        {"2001:db8::1", 0, 1, 0, false},     {"fc00::1", 0, 0, 1, false},
        {"fe80::1", 0, 0, 0, false},         {"ff02::1", 0, 0, 0, false},
        {"6440::1", 0, 1, 0, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct reach_ips ips = IPS(rows[i].text);
        cr_assert_eq(ips.global_ip4_count, rows[i].ip4, "%s", rows[i].text);
        cr_assert_eq(ips.global_ip6_count, rows[i].ip6, "%s", rows[i].text);
        cr_assert_eq(ips.local_count, rows[i].local, "%s", rows[i].text);
        cr_assert_eq(ips.is_cgnat, rows[i].is_cgnat, "%s", rows[i].text);
    }
}

/* --- AutoNAT --- */

static void expect_reach(enum autonat_reach v2, bool has_v2_answer, enum autonat_v1_reach v1,
                         enum autonat_reach of_node, enum autonat_reach of_addr) {
    struct reach_asked asked = {
        .v2 = v2, .has_v2_answer = has_v2_answer, .v1 = v1, .is_v1_confirmed = true};
    cr_expect_eq(reach_of_node(&asked), of_node, "%d %d %d", v2, has_v2_answer, v1);
    cr_expect_eq(reach_of_addr(&asked), of_addr, "%d %d %d", v2, has_v2_answer, v1);
}

Test(reach, v1_counts_as_long_as_v2_has_no_answer) {
    enum autonat_reach none = AUTONAT_REACH_UNKNOWN;
    enum autonat_reach can = AUTONAT_REACH_PUBLIC;
    enum autonat_reach cannot = AUTONAT_REACH_PRIVATE;
    expect_reach(none, false, AUTONAT_V1_UNKNOWN, none, none);
    expect_reach(none, false, AUTONAT_V1_PRIVATE, cannot, cannot);
    expect_reach(none, true, AUTONAT_V1_PRIVATE, none, none); /* v2 spoke of another address */
    expect_reach(can, true, AUTONAT_V1_PRIVATE, can, can);
    expect_reach(cannot, true, AUTONAT_V1_PUBLIC, cannot, cannot);
}

Test(reach, v1_proves_nothing_and_so_has_nothing_announced) {
    expect_reach(AUTONAT_REACH_UNKNOWN, false, AUTONAT_V1_PUBLIC, AUTONAT_REACH_PUBLIC,
                 AUTONAT_REACH_UNKNOWN);
}

Test(reach, v1_takes_back_nothing_by_one_answer_or_that_somebody_vouches_for) {
    struct reach_asked asked = {.v1 = AUTONAT_V1_PRIVATE};
    cr_expect_eq(reach_of_addr(&asked), AUTONAT_REACH_UNKNOWN);
    cr_expect_eq(reach_of_node(&asked), AUTONAT_REACH_PRIVATE, "people hear it");
    asked.is_v1_confirmed = true;
    cr_expect_eq(reach_of_addr(&asked), AUTONAT_REACH_PRIVATE);
    asked.is_vouched_for = true;
    cr_expect_eq(reach_of_addr(&asked), AUTONAT_REACH_UNKNOWN);
    asked.v2 = AUTONAT_REACH_PRIVATE;
    cr_expect_eq(reach_of_addr(&asked), AUTONAT_REACH_PRIVATE, "v2 goes before all");
}

/* SPDX-License-Identifier: MIT */
#include "relay/proto/reach.h"

#include <string.h>

#include "core/base/net_addr.h"

/* 224.0.0.0/4, 255.255.255.255 and ff00::/8. */
static bool is_multicast_or_broadcast(const struct net_addr *a) {
    static const uint8_t broadcast[4] = {255, 255, 255, 255};
    if (a->family == NET_IP6)
        return a->ip[0] == 0xff;
    return a->ip[0] >> 4 == 14 || memcmp(a->ip, broadcast, sizeof(broadcast)) == 0;
}

void reach_add_ip(struct reach_ips *ips, const struct net_addr *ip) {
    if (net_addr_is_unspecified(ip) || net_addr_is_loopback(ip) || net_addr_is_link_local(ip) ||
        is_multicast_or_broadcast(ip))
        return;
    if (ip->family == NET_IP4 && ip->ip[0] == 100 && ip->ip[1] >> 6 == 1)
        ips->is_cgnat = true;
    if (net_addr_is_private(ip))
        ips->local_count++;
    else if (ip->family == NET_IP4)
        ips->global_ip4_count++;
    else
        ips->global_ip6_count++;
}

/* By the probe alone; NULL: it tells nothing. */
static const struct reach_grade *grade_of_nat(const struct reach_nat *nat) {
    static const struct reach_grade grades[] = {
        [NAT_UNKNOWN] = {'C', "Fair", "NAT type unknown, external address discovered"},
        [NAT_NONE] = {'B', "Good", "STUN reports no NAT"},
        [NAT_FULL_CONE] = {'B', "Good", "Hole-punchable NAT (full-cone)"},
        [NAT_ADDRESS_RESTRICTED] = {'B', "Good", "Hole-punchable NAT (address-restricted)"},
        [NAT_PORT_RESTRICTED] = {'C', "Fair", "Port-restricted NAT"},
        [NAT_SYMMETRIC] = {'D', "Poor", "Symmetric NAT (CGNAT likely)"},
    };
    if (nat->type == NAT_UNKNOWN && !nat->is_external_known)
        return NULL;
    return &grades[nat->type];
}

struct reach_grade reach_grade(const struct reach_ips *ips, const struct reach_nat *nat) {
    if (ips->global_ip6_count > 0)
        return (struct reach_grade){'A', "Excellent", "Public IPv6 detected"};
    if (ips->global_ip4_count > 0)
        return (struct reach_grade){'B', "Good", "Public IPv4 detected"};
    if (ips->local_count == 0)
        return (struct reach_grade){'F', "Offline", "No network connectivity detected"};
    if (nat->is_probed && ips->is_cgnat)
        return (struct reach_grade){'D', "Poor", "CGNAT detected, hole-punch unlikely"};
    const struct reach_grade *of_nat = nat->is_probed ? grade_of_nat(nat) : NULL;
    if (of_nat != NULL)
        return *of_nat;
    return (struct reach_grade){'D', "Poor", "No public address detected"};
}

static enum autonat_reach of_v1(const struct reach_asked *asked) {
    static const enum autonat_reach same[] = {[AUTONAT_V1_UNKNOWN] = AUTONAT_REACH_UNKNOWN,
                                              [AUTONAT_V1_PUBLIC] = AUTONAT_REACH_PUBLIC,
                                              [AUTONAT_V1_PRIVATE] = AUTONAT_REACH_PRIVATE};
    return asked->has_v2_answer ? AUTONAT_REACH_UNKNOWN : same[asked->v1];
}

enum autonat_reach reach_of_node(const struct reach_asked *asked) {
    return asked->v2 != AUTONAT_REACH_UNKNOWN ? asked->v2 : of_v1(asked);
}

enum autonat_reach reach_of_addr(const struct reach_asked *asked) {
    if (asked->v2 != AUTONAT_REACH_UNKNOWN)
        return asked->v2;
    bool counts = asked->is_v1_confirmed && !asked->is_vouched_for;
    return counts && of_v1(asked) == AUTONAT_REACH_PRIVATE ? AUTONAT_REACH_PRIVATE
                                                           : AUTONAT_REACH_UNKNOWN;
}

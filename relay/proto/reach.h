/* SPDX-License-Identifier: MIT */
#pragma once

/* How well others can reach this machine, as a grade for people: a pure function of what is known
 * of its interfaces and its NAT.  A firewall is not considered, so a good grade is no proof.
 *
 * Thread: any.
 */

#include "relay/proto/autonat_client.h"
#include "relay/proto/autonat_v1.h"
#include "relay/proto/nat_type.h"

struct net_addr;

/* What the interfaces tell; zeros and reach_add_ip() for each address of each interface that is
 * up. */
struct reach_ips {
    unsigned global_ip4_count;
    unsigned global_ip6_count;
    unsigned local_count; /* private and CGNAT: a network, and no address that others know */
    bool is_cgnat;        /* 100.64.0.0/10: the provider translates */
};

/* Loopback, link-local, multicast and unspecified addresses count for nothing. */
void reach_add_ip(struct reach_ips *ips, const struct net_addr *ip);

/* What a probe told (stun_client.h); zeros: none was made. */
struct reach_nat {
    bool is_probed;
    bool is_external_known;
    enum nat_type type;
};

/* What AutoNAT's servers said.  v1 speaks of a whole family and proves nothing, so it counts as
 * long as there is no answer of v2, and never makes an address one that strangers can dial.  Nor
 * does it take one back on a single answer, or from those who know better. */
struct reach_asked {
    enum autonat_reach v2; /* of the address, or of the node */
    bool has_v2_answer;    /* of any address */
    enum autonat_v1_reach v1;
    bool is_v1_confirmed;
    bool is_vouched_for; /* the address, by the gateway or by whom the user trusts */
};

/* Of one address, with its family's `v1`: for announcing it. */
enum autonat_reach reach_of_addr(const struct reach_asked *asked);

/* Of the node: for people. */
enum autonat_reach reach_of_node(const struct reach_asked *asked);

/* All static. */
struct reach_grade {
    char grade; /* 'A' to 'D', 'F' */
    const char *label;
    const char *description;
};

/* The first rule that matches. */
struct reach_grade reach_grade(const struct reach_ips *ips, const struct reach_nat *nat);

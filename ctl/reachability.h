/* SPDX-License-Identifier: MIT */
#pragma once

/* Where and how well others can reach a node: its external addresses (relay/external_addrs.h), what
 * STUN finds of its NAT, what AutoNAT's servers can dial, and a grade of it all.  A NAT is
 * "full-cone" once a stranger's dial of the QUIC address that STUN found came in.  Where nobody has
 * answered by AutoNAT v2, as relays of the Go program do not, the word of v1 counts.  Says and logs
 * what changes:
 *
 *   NAT type: address-restricted (external: 203.0.113.5:4001) [hole-punchable]
 *   Warning: STUN probe failed: no server answered
 *
 * Spec:   behaviour.md, sections 10.3 and 10.4; decision 10.
 * Thread: the reactor's. */

#include "ctl/say.h"
#include "relay/proto/reach.h"
#include "relay/stun_prober.h"

struct autonat_prober;
struct autonat_v1_prober;
struct external_addrs;
struct host;
struct log;
struct netwatch;
struct node_metrics;
struct peer_id;
struct reachability;
struct reactor;
struct resolver;

struct reachability_config {
    struct reactor *reactor;
    struct host *host; /* outlives this, as all below, and has no connection yet */
    struct resolver *resolver;
    const struct netwatch *netwatch;
    struct log *log;
    const struct peer_id *trusted; /* relays that the user named: their word counts */
    size_t trusted_count;
    const struct stun_server_name *stun_servers;
    size_t stun_servers_count; /* 0: STUN is off */
    /* network.force_private_reachability: nothing is announced that others see, and nobody asked
     * whether it can be dialled */
    bool is_private;
    struct node_metrics *metrics;   /* may be NULL */
    void (*addr_added)(void *user); /* one more external address is seen */
    void *user;
    say_fn *say; /* may be NULL */
    void *say_user;
};

/* -ENOMEM; -EEXIST: somebody serves AutoNAT's dial-backs on this host */
NODISCARD int reachability_new(const struct reachability_config *cfg,
                               struct reachability **ret_reachability);
/* Asks and is asked nothing any more; addresses stay announced.  Once. */
void reachability_stop(struct reachability *r);
/* Stops first if that was not done.  Accepts NULL, returns NULL. */
struct reachability *reachability_free(struct reachability *r);

/* What was found is of another network. */
void reachability_network_changed(struct reachability *r);

struct external_addrs *reachability_external(const struct reachability *r);
/* NULL: nobody is asked. */
const struct autonat_prober *reachability_autonat(const struct reachability *r);
const struct autonat_v1_prober *reachability_autonat_v1(const struct reachability *r);

struct reach_info {
    struct reach_ips ips;
    struct reach_nat nat;
    struct net_addr external; /* of the QUIC socket, by STUN; NET_NONE: unknown */
    struct reach_grade grade;
    enum autonat_reach reach; /* whether strangers dialled us, by AutoNAT */
};
/* As far as it is known now. */
void reachability_info(const struct reachability *r, struct reach_info *ret_info);

/* "NAT type: ..." as above.  Returns `out`. */
enum { REACH_TEXT_MAX = 160 };
const char *reach_info_text(const struct reach_info *info, char out[REACH_TEXT_MAX]);

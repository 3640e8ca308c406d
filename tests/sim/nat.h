/* SPDX-License-Identifier: MIT */
#pragma once

/* NATs and firewalls of the simulated network, in the words of RFC 4787 (UDP) and RFC 5382 (TCP).
 *
 *   host --lan-- box --link-- public network, or the network behind another box (CGNAT)
 *
 * A box is a place of the network (net.h) with others behind it.  What leaves through it gets a
 * mapping, an outside address and port for the inside one, and in the mapping a session for each
 * remote endpoint.  What arrives must be for a mapping, from a remote that the filter lets in by
 * the sessions that there are; it is given to the inside endpoint, gets a session too, and what
 * answers it leaves by the same mapping, as long as the session lives, unless there was a session
 * with that remote already.  All else is dropped.
 *
 *   mapping     which remotes share a mapping of one inside endpoint
 *   filtering   which remotes may come in because of a session: any, those of its address, itself
 *   ports       which outside port a new mapping gets
 *   hairpin     whether who is inside reaches the outside address of others who are
 *   time-outs   of sessions; a mapping lives as long as one of its sessions
 *
 * TCP sessions are transitory until both sides have acknowledged something, and again when both
 * have ended or one has reset.  In which order the first packets come does not matter, so both
 * sides may open at once; nor does it matter whether a SYN is among them: what is on its way when a
 * box has forgotten all is mapped anew, as Linux does it.
 *
 * IPv6 is never translated: a box is a firewall for it, as it is for IPv4 if it is told to be.  An
 * inside endpoint is then mapped to itself.
 *
 * All chance (ports, pools) is the box's own, from the seed.
 */

#include "tests/sim/net.h"

/* How much of a remote endpoint counts. */
enum sim_nat_dependence {
    NAT_INDEPENDENT,
    NAT_ADDRESS,
    NAT_ADDRESS_PORT,
    NAT_DEPENDENCE_COUNT,
};

enum sim_nat_ports {
    NAT_PORTS_PRESERVED,  /* the inside port, or a random one if another mapping has it */
    NAT_PORTS_SHARED,     /* the same, but mappings for other remotes do not matter, as on Linux */
    NAT_PORTS_RANDOM,     /* one of those that no mapping has */
    NAT_PORTS_SEQUENTIAL, /* the next of them, from a random one on */
    NAT_PORTS_COUNT,
};

struct sim_nat_config {
    bool is_firewall; /* IPv4 is not translated either */
    enum sim_nat_dependence mapping;
    enum sim_nat_dependence filtering;
    enum sim_nat_ports ports;
    uint32_t ports_count;   /* from 1024 on, for those that are not preserved */
    bool pools_arbitrarily; /* of several public addresses any mapping has any, not each host one */
    bool hairpins;
    bool blocks_udp;
    bool resets; /* unsolicited TCP is reset rather than dropped */
    bool inbound_refreshes;
    nsec_t udp_timeout;
    nsec_t tcp_transitory_timeout;
    nsec_t tcp_timeout; /* established */
    uint32_t sessions_max;
    struct net_addr inside; /* the range's first address: the box has the next, hosts those after */
    struct link_quality lan; /* between all in the network behind it, and to it */
};

enum sim_nat_drop {
    NAT_DROP_BLOCKED,  /* UDP */
    NAT_DROP_FILTERED, /* no mapping, or not for this remote */
    NAT_DROP_HAIRPIN,
    NAT_DROP_FULL, /* no room for a session, or no port is left */
    NAT_DROP_COUNT,
};

enum { NAT_BUCKETS = 64 };

struct sim_nat {
    struct sim_host *box; /* its addresses are the outside ones */
    struct sim_nat_config config;
    struct sim_rand rand;
    struct list by_inside[NAT_BUCKETS]; /* mappings, by inside port */
    struct list by_outside[NAT_BUCKETS];
    uint32_t sessions_count; /* those not yet found to have timed out are in it */
    uint32_t inside_count;   /* addresses given to who is behind it */
    uint32_t next_port;
    uint64_t drops[NAT_DROP_COUNT];
};

/* A translator for 192.168.1.0/24 that keeps to the RFCs: it drops what is unsolicited, has their
 * time-outs, refreshed by both directions, and room for 4,096 sessions; no hairpin. */
struct sim_nat_config sim_nat_translator(enum sim_nat_dependence mapping,
                                         enum sim_nat_dependence filtering,
                                         enum sim_nat_ports ports);
/* The same without translation. */
struct sim_nat_config sim_nat_firewall(enum sim_nat_dependence filtering);
/* Any kind of translator that may be met in the world, all of which pass UDP. */
void sim_nat_random(struct sim_rand *r, struct sim_nat_config *ret_config);

/* Puts a new box before a host, or before another box, which has no sockets or sessions yet.  The
 * box takes over its place: its links and, if it translates, its IPv4 addresses (one at least), for
 * which the host gets one from the inside range.  Links of hosts that are added later are up to
 * the caller.  Lives as long as the network. */
struct sim_nat *sim_nat_insert(struct sim_host *h, const struct sim_nat_config *cfg);
/* Moves a host or box, which has no sockets or sessions yet, behind a box that there is.  IPv4
 * addresses that it had are nobody's then, if the box translates. */
void sim_nat_join(struct sim_nat *n, struct sim_host *h);

/* All mappings are lost.  For a box that is also away for a while there is net_power(). */
void sim_nat_reboot(struct sim_nat *n);
/* An outside address becomes another, and its mappings are lost. */
void sim_nat_readdress(struct sim_nat *n, uint32_t index, const struct net_addr *to);

/* --- For net.c --- */

bool sim_nat_translates(const struct sim_nat *n, uint8_t family);
/* A packet has come to the box, over the link from p->from.  Takes it over. */
void sim_nat_arrive(struct sim_nat *n, struct packet *p);
/* NULL is allowed. */
void sim_nat_free(struct sim_nat *n);

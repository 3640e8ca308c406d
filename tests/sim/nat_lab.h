/* SPDX-License-Identifier: MIT */
#pragma once

/* What the tests of boxes share: a network of good links, and endpoints that try to reach each
 * other, over UDP or TCP alike. */

#include "tests/sim/nat.h"

struct lab {
    struct world world;
    struct net net;
    /* From lab_set_up(): A behind a box, which has the address that A had, X and Y in public. */
    struct sim_host *a;
    struct sim_host *x;
    struct sim_host *y;
    struct sim_nat *nat;
};

#define LAB_PUBLIC "5.1.0.1"

enum { INSIDE_PORT = 5000 };

/* An address and port that answers. */
struct endpoint {
    struct sim_host *host;
    enum net_proto proto;
    struct net_addr at;
    struct sim_udp *udp;
    struct sim_listener *listener;
};

#define LAB_DELAY     MSEC(10) /* of links between hosts */
#define LAB_LAN_DELAY MSEC(1)  /* of those behind a box that lab_nat() made */

/* Without hosts. */
void lab_init(struct lab *lab, uint64_t seed);
/* With those above. */
void lab_set_up(struct lab *lab, struct sim_nat_config cfg);
void lab_done(struct lab *lab);
void lab_run_until(struct lab *lab, nsec_t at);
void lab_run_for(struct lab *lab, nsec_t time);

struct net_addr lab_addr(const char *text, uint16_t port);
/* In the public network. */
struct sim_host *lab_host(struct lab *lab, const char *ip);
/* A translator that preserves ports where it can. */
struct sim_nat_config lab_kind(enum sim_nat_dependence mapping, enum sim_nat_dependence filtering);
/* Puts a box before a host. */
struct sim_nat *lab_nat(struct sim_host *h, struct sim_nat_config cfg);

/* At the host's first address. */
struct endpoint lab_open(struct sim_host *h, enum net_proto proto, uint16_t port);
/* A datagram that must be answered when it arrives, or a connection that is reset once both sides
 * have it.  Returns whether `to` got it, and as whom it saw `from`. */
bool lab_reach(const struct endpoint *from, const struct net_addr *at, const struct endpoint *to,
               struct net_addr *ret_seen);
/* Only that. */
bool lab_reaches(const struct endpoint *from, const struct net_addr *at, const struct endpoint *to);
/* As whom `to`, which is reached at its own address, sees `from`. */
struct net_addr lab_seen(const struct endpoint *from, const struct endpoint *to);

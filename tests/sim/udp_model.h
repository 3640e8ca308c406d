/* SPDX-License-Identifier: MIT */
#pragma once

/* Simulated UDP sockets.  A datagram to a port where nobody listens vanishes: what ICMP would say
 * of it reaches no socket that udp.h opens. */

#include "tests/sim/net.h"

enum { UDP_PACKET_COST = 256 }; /* what a kernel charges besides the bytes */

struct sim_udp {
    struct sim_sock sock;
    struct list queue; /* packets that arrived */
    size_t queued_bytes;
    size_t queue_bytes_max;
};

static inline struct sim_udp *udp_of(struct sim_sock *s) {
    return CONTAINER_OF(s, struct sim_udp, sock);
}

/* -EADDRINUSE, -EADDRNOTAVAIL */
NODISCARD int udp_open_sock(struct sim_host *h, const struct net_addr *local,
                            struct sim_udp **ret_udp);
void udp_close_sock(struct sim_udp *u);

/* One datagram. -EMSGSIZE, -ENETUNREACH, -EINVAL */
NODISCARD int udp_send_one(struct sim_udp *u, const struct net_addr *from,
                           const struct net_addr *to, uint8_t ecn, const uint8_t *data, size_t len);
/* Takes the packet over. */
void udp_arrive(struct sim_host *h, struct packet *p);

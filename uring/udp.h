/* SPDX-License-Identifier: MIT */
#pragma once

/* UDP sockets on the reactor, with GRO on receive and GSO on send, so that one system call moves
 * up to 64 KiB of equal-sized datagrams.  IP_PKTINFO tells which address was asked, so that answers
 * leave from it; ECN marks travel both ways; packets are sent with "don't fragment".
 *
 * Thread: the reactor's.
 */

#include "core/base/net_addr.h"
#include "uring/datagram.h"
#include "uring/op.h"

struct reactor;
struct udp_socket;

enum {
    UDP_SEND_BYTES_MAX = 65507,
    UDP_SEGMENTS_MAX = 64, /* the kernel's UDP_MAX_SEGMENTS on the oldest kernel that we support */
    UDP_RCVBUF_BYTES = 7 << 20,
    UDP_SNDBUF_BYTES = 7 << 20,
};

struct udp_events {
    void (*received)(struct udp_socket *u, const struct udp_batch *b);
    /* Receiving failed for good (not for errors that a peer can cause by ICMP). */
    void (*failed)(struct udp_socket *u, int error);
    void (*closed)(struct udp_socket *u);
};

struct udp_config {
    struct net_addr local; /* port 0 picks one */
};

struct udp_socket {
    struct reactor *reactor;
    const struct udp_events *events;
    struct net_addr bound;
    int fd;
    uint32_t ops_in_flight;
    struct op recv_op;
    struct op cancel_op;
    struct op close_op;
    uint32_t errors_in_row;
    bool gso;
    bool closing;
};

/* Opens, binds and starts receiving.  IPv6 sockets take IPv6 only.  Buffers are raised as far as
 * the system lets us (a shortfall is logged once).  -EADDRINUSE, -EADDRNOTAVAIL, -ENOMEM, ... */
NODISCARD int udp_open(struct udp_socket *u, struct reactor *r, const struct udp_config *cfg,
                       const struct udp_events *events);

/* Cancels what is in flight; ends in closed(), after every send has had its done(). */
void udp_close(struct udp_socket *u);

/* One GSO batch to one destination.  The memory must stay as it is until done(). */
struct udp_send {
    struct op op;
    struct udp_socket *socket;
    const uint8_t *data;
    size_t len;
    size_t segment_len; /* every datagram but the last has this size; == len for one */
    struct net_addr remote;
    struct net_addr local; /* family NET_NONE: the system picks the source */
    uint8_t ecn;
    /* 0, or a negative errno: -EMSGSIZE the path takes smaller packets only, others are transient
     * and mean loss. */
    void (*done)(struct udp_send *s, int error);
    /* Private: the part in flight. */
    struct udp_out out;
    size_t sent_bytes;
    int first_error;
    bool split; /* GSO was refused: one datagram at a time */
};

/* Starts a send.  Where the kernel or the device refuses GSO, the batch is sent datagram by
 * datagram and the socket remembers. */
void udp_send_start(struct udp_socket *u, struct udp_send *s);

/* SPDX-License-Identifier: MIT */
#pragma once

/* QUIC v1 on UDP sockets: the transport of /ip4|ip6/A/udp/N/quic-v1.
 *
 * One UDP socket per listen address, and peers are dialled from it, so that a NAT shows one mapping
 * for both directions.  Packets find their connection by its ID.  Under many half-open handshakes a
 * client must come back with a token (Retry) before it costs us anything; beyond a limit it is
 * refused.
 *
 * Memory: each connection has a quota of QUIC_CONN_QUOTA_BYTES for the payload of all its streams;
 *         sending takes at most QUIC_SEND_SLOTS slabs a socket from the reactor's pool.
 * Thread: the reactor's. */

#include "core/base/net_addr.h"
#include "transport/transport.h"
#include "uring/datagram.h"

struct reactor;
struct tls_cert;
struct quic_socket;

enum {
    QUIC_SEND_SLOTS = 16,
    QUIC_CONN_QUOTA_BYTES = 96 << 20,
    QUIC_CONNS_MAX = 16384,
    QUIC_HALF_OPEN_RETRY = 256, /* inbound handshakes running, above which Retry is asked for */
    QUIC_HALF_OPEN_MAX = 1024,
    QUIC_HALF_OPEN_PER_IP_MAX = 64, /* of one IPv4 address or IPv6 /64; loopback is not counted */
};

/* The certificate is copied, and so is the key of stateless resets (quic_packet_reset_key()).  NULL
 * is a random one, for who does not listen: nobody comes back to its port, and a key in two
 * processes at once would let one be asked for the resets of the other (RFC 9000, 21.11).
 * -ENOMEM, -ERR_CRYPTO */
NODISCARD int quic_transport_new(struct reactor *r, const struct tls_cert *cert,
                                 const uint8_t *reset_key, const struct transport_events *events,
                                 void *user, struct transport **ret_transport);

/* Sends a datagram that is not QUIC from the socket that would dial `to` (STUN, hole punching).
 *   -EAGAIN      no slot is free: as if it were lost on the way
 *   -ENETUNREACH no socket of that family
 *   -EMSGSIZE */
NODISCARD int quic_transport_send_raw(struct transport *t, const struct net_addr *to,
                                      struct bytes datagram);

/* Where datagrams that are not QUIC go; NULL: they are dropped. */
struct dgram_sink {
    void (*received)(struct dgram_sink *s, const struct net_addr *local,
                     const struct net_addr *remote, struct bytes datagram);
};
void quic_transport_set_sink(struct transport *t, struct dgram_sink *sink);

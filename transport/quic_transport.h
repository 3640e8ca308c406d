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
 *         sending takes at most QUIC_SEND_SLOTS slabs a socket from the reactor's pool; datagrams
 *         that are not QUIC have QUIC_RAW_SLOTS places of their own.
 * Thread: the reactor's. */

#include "core/base/net_addr.h"
#include "transport/transport.h"
#include "uring/datagram.h"

struct reactor;
struct tls_cert;
struct quic_socket;

enum {
    QUIC_SEND_SLOTS = 16,
    QUIC_RAW_SLOTS = 16, /* beside them, so that bulk does not keep STUN and punches from leaving */
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

/* --- Datagrams that are no connection's: STUN, hole punching --- */

enum dgram_kind {
    /* By first byte and magic cookie (RFC 8489, 5); nothing else of it was checked.  Who asks, and
     * who answers what we asked. */
    DGRAM_STUN_REQUEST,
    DGRAM_STUN_ANSWER,
    DGRAM_STRAY, /* not QUIC, or of no connection and beginning none: what a punching peer sends */
    DGRAM_KINDS_COUNT,
};

/* Where those of one kind go; embedded by its owner. */
struct dgram_sink {
    /* `local` is the address that was asked, with our port.  The bytes are borrowed. */
    void (*received)(struct dgram_sink *s, const struct net_addr *local,
                     const struct net_addr *remote, struct bytes datagram);
};

/* NULL: they are dropped, as are those above 2,000 (STUN, each kind) or 200 (strays) a second. */
void quic_transport_set_sink(struct transport *t, enum dgram_kind kind, struct dgram_sink *sink);

/* Sends a copy of a datagram of up to QUIC_PACKET_BYTES_MAX bytes: from the socket that would dial
 * `to`, or from an address that a sink was given as `local`, for an answer.  It may be lost, and
 * nobody is told.
 *   -EAGAIN         too many wait to be sent: as if it were lost on the way
 *   -EADDRNOTAVAIL  `from` is none of our addresses (any more), or of another family
 *   -EMSGSIZE       it is too long, or empty
 *   -ERR_SHUTDOWN, or what a socket cannot be opened with: -EAFNOSUPPORT, -ENOMEM, ... */
NODISCARD int quic_transport_send_raw(struct transport *t, const struct net_addr *from,
                                      const struct net_addr *to, struct bytes datagram);

struct dgram_stats {
    uint64_t received[DGRAM_KINDS_COUNT]; /* by a sink */
    uint64_t refused[DGRAM_KINDS_COUNT];  /* too many, or nobody wanted them */
    uint64_t sent;
    uint64_t dropped; /* there was no room: -EAGAIN */
    uint64_t failed;  /* the system did not take them */
};
const struct dgram_stats *quic_transport_dgram_stats(const struct transport *t);

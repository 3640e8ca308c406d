/* SPDX-License-Identifier: MIT */
#pragma once

/* What an endpoint does with a packet before a connection sees it, and the few packets that it
 * sends without one: Version Negotiation, Retry, Stateless Reset, refusal.  Pure functions.
 *
 * Spec: RFC 8999, RFC 9000 sections 5.2, 6, 8.1, 10.3; libp2p quic.md. */

#include "core/base/bytes.h"
#include "core/base/time.h"
#include "transport/proto/quic_conn.h"

struct identity;
struct rng;

enum quic_packet_kind {
    QUIC_PACKET_FOREIGN, /* not QUIC: STUN, hole-punching noise */
    QUIC_PACKET_SHORT,
    QUIC_PACKET_INITIAL, /* may begin a connection */
    QUIC_PACKET_LONG,    /* belongs to a connection that exists, or to none */
    QUIC_PACKET_VERSION, /* begins a connection in a version that we do not speak */
};

enum {
    QUIC_INITIAL_BYTES_MIN = 1200,
    QUIC_RESET_BYTES = 42,     /* size of the stateless resets that we send, as go's */
    QUIC_PACKET_OUT_MAX = 512, /* room for any packet that is made here */
};

/* Borrowed from the packet.  IDs of other versions may be up to 255 bytes. */
struct quic_packet {
    enum quic_packet_kind kind;
    struct bytes dcid;
    struct bytes scid;
    struct bytes token; /* of an INITIAL */
};

/* The key of the resets of all processes that one identity has, one after the other, on a port: so
 * a restarted one disowns the connections of the one that was killed.  go-libp2p's derivation. */
void quic_packet_reset_key(const struct identity *i, uint8_t ret_key[QUIC_RESET_KEY_BYTES]);

void quic_packet_parse(struct bytes packet, struct quic_packet *ret_packet);

/* Answers to `in`, written to `out` of QUIC_PACKET_OUT_MAX bytes; the length, or 0 when no answer
 * is due (or possible). */
size_t quic_packet_version_negotiation(const struct quic_packet *in, struct rng *rng, void *out);
size_t quic_packet_stateless_reset(const struct quic_packet *in, size_t in_len,
                                   const uint8_t reset_key[QUIC_RESET_KEY_BYTES], struct rng *rng,
                                   void *out);
/* CONNECTION_REFUSED: we take no more now. */
size_t quic_packet_refusal(const struct quic_packet *in, void *out);
/* Asks the client to come back with a token, which proves its address. */
size_t quic_packet_retry(const struct quic_packet *in, const struct net_addr *remote,
                         const uint8_t token_key[QUIC_RESET_KEY_BYTES], struct rng *rng, nsec_t now,
                         void *out);

/* Fills in what quic_conn_accept() needs.  -ERR_MALFORMED when the IDs are too long for version 1;
 * -ERR_BAD_SIGNATURE when a Retry token is forged, old or another client's. */
NODISCARD int quic_packet_initial(const struct quic_packet *in, const struct net_addr *remote,
                                  const uint8_t token_key[QUIC_RESET_KEY_BYTES], nsec_t now,
                                  struct quic_initial *ret_initial);

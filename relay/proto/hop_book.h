/* SPDX-License-Identifier: MIT */
#pragma once

/* The ledger of a relay: who holds a reservation, who has circuits, and what there is room for.
 * Engine: no I/O, no clock.
 *
 *   RESERVE   hop_book_reserve()                      answer its status; with OK the expiry
 *   CONNECT   hop_book_connect(), before the          answer its status, or go on: the circuit is
 *             stop stream is opened                   charged until hop_book_end()
 *   FORGET    hop_book_forget(), when the last connection to a peer closes, and when it is no
 *             longer authorized
 *   time      hop_book_tick() at hop_book_deadline()
 *
 * What comes before in the order of checks (connection relayed, gate, message) is the driver's.
 * A reservation belongs to a peer, not to a connection.  A circuit outlives the reservation that it
 * was made with: it ends with its streams.
 *
 * Spec:    libp2p relay-v2.  As in go-libp2p a peer's circuits are one number, whichever end of
 *          them it is, and both ends must have room.  Deviations: an IPv6 address counts by its
 *          /56, one customer; a renewal that is refused leaves the old reservation alone.
 * Memory:  from cfg.mem: under 300 bytes a reservation, under 200 a circuit whose ends have none.
 *          There are no more than reservations_max * circuits_per_peer_max circuits.  All
 *          operations are O(1).
 * Thread:  one at a time.
 */

#include "core/base/list.h"
#include "core/base/map.h"
#include "core/base/time.h"
#include "relay/proto/circuit_msg.h"

struct hop_peer;
struct net_addr;

struct hop_book_config {
    struct mem *mem;
    struct rng *rng;               /* used by init alone */
    uint32_t reservations_max;     /* none of these may be 0 (asserted) */
    uint32_t reservations_per_ip;  /* per IPv4 address or IPv6 /56 */
    uint32_t reservations_per_asn; /* see hop_book_reserve() */
    uint32_t circuits_per_peer_max;
    nsec_t ttl; /* of a reservation */
};

/* Each renewal is a signature of ours: a peer has so many in a time, which one that is honest never
 * comes near. */
enum { HOP_RENEWALS_MAX = 32 };
#define HOP_RENEWALS_PERIOD SEC(60)

/* Embedded by its owner; fields are the engine's. */
struct hop_book {
    struct hop_book_config cfg;
    struct map peers;    /* those with a reservation or a circuit */
    struct map networks; /* counts of reservations */
    struct list expiry;  /* reservations, the next to expire first */
    uint32_t reservations_count;
    uint32_t circuits_count;
    nsec_t now;
};

/* A circuit that is charged to both its ends.  Embedded by its owner; fields are the engine's. */
struct hop_circuit {
    struct hop_peer *source;
    struct hop_peer *destination;
};

/* -ENOMEM */
NODISCARD int hop_book_init(struct hop_book *b, const struct hop_book_config *cfg, nsec_t now);

/* Every circuit must have ended (asserted). */
void hop_book_done(struct hop_book *b);

/* Makes or renews the one reservation of `peer`.  `ip` is where its request came from, and where it
 * is counted from now on; NULL, or a loopback address (a reverse proxy's), is counted nowhere:
 * limits by address bind only peers that are not authorized (decision 7).
 *
 * The limit by autonomous system binds IPv6 alone, as in go.  We have no table of who announces
 * what: the /32, the least that registries give to a provider, stands for the system.  So a
 * provider with more is several, and those with less that share a /32 are one.
 *
 *   CIRCUIT_STATUS_OK                       *ret_expires_at is set
 *   CIRCUIT_STATUS_RESERVATION_REFUSED      one of the limits, or more than HOP_RENEWALS_MAX in
 *                                           HOP_RENEWALS_PERIOD
 *   CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED  out of memory
 * Refused, what the peer held before stays as it was. */
NODISCARD enum circuit_status hop_book_reserve(struct hop_book *b, const struct peer_id *peer,
                                               const struct net_addr *ip, nsec_t now,
                                               nsec_t *ret_expires_at);

/* Whether the peer has a reservation at this moment. */
bool hop_book_has(const struct hop_book *b, const struct peer_id *peer, nsec_t now);

/* Charges a circuit to both ends.  From a peer to itself it is charged twice.
 *   CIRCUIT_STATUS_OK                       *ret_circuit is to be given to hop_book_end()
 *   CIRCUIT_STATUS_NO_RESERVATION           the destination has none
 *   CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED  one of the ends, or all together, have as many as they
 *                                           may; or out of memory */
NODISCARD enum circuit_status hop_book_connect(struct hop_book *b, const struct peer_id *source,
                                               const struct peer_id *destination, nsec_t now,
                                               struct hop_circuit *ret_circuit);

/* Once for each circuit. */
void hop_book_end(struct hop_book *b, struct hop_circuit *c);

/* Drops the peer's reservation, if it has one. */
void hop_book_forget(struct hop_book *b, const struct peer_id *peer);

/* When the next reservation expires; NSEC_NEVER without any. */
nsec_t hop_book_deadline(const struct hop_book *b);

/* Drops what has expired.  Early calls are harmless; late ones only leave the counts too high. */
void hop_book_tick(struct hop_book *b, nsec_t now);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The transport of <relay's address>/p2p/<relay>/p2p-circuit: connections through a relay, by
 * circuit relay v2.  A circuit is a pair of streams that the relay joins; inside it runs the
 * upgrader, as over TCP, so that the relay sees ciphertext.
 *
 *   dialling    hop stream to the relay ─▶ CONNECT ─▶ STATUS ─▶ upgrade as initiator
 *   being dialled   stop stream of a relay ─▶ CONNECT ─▶ STATUS ─▶ upgrade as responder
 *
 * The relay is reached through the host, which dials it if need be; "/p2p/<relay>/p2p-circuit"
 * takes a relay of which the host knows where it is.  Only relays that circuit_transport_listen()
 * named may open stop streams: those where we keep a reservation (decision 1).  Who the far end is,
 * its handshake proves, and the host's gate is asked then.
 *
 * Connections are `relayed`, and `limited` where the relay sent a Limit message, whatever its
 * values (decision 2), which are in `limit`.
 *
 * Bounds: CIRCUIT_HALF_OPEN_MAX inbound circuits that are not connections yet; UPGRADE_TIMEOUT for
 *         each step.
 * Spec:   libp2p relay-v2.  Thread: the reactor's. */

#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"
#include "transport/conn.h"

struct circuit_transport;
struct host;
struct link;
struct reactor;

enum {
    CIRCUIT_HALF_OPEN_MAX = 64,
    CIRCUIT_RELAYS_MAX = 16,
    CIRCUIT_RELAY_ADDRS_MAX = 4, /* that we announce of each */
};

struct circuit_transport_config {
    struct reactor *reactor;
    struct host *host;
    unsigned securities; /* UPGRADE_... bits (transport/upgrade.h); 0: all */
};

/* Makes it and adds it to the host, which closes and frees it with itself.
 *   -ENOMEM, -ERR_CRYPTO */
NODISCARD int circuit_transport_new(const struct circuit_transport_config *cfg,
                                    struct circuit_transport **ret_transport);

/* We keep a reservation on that relay, or try to: its stop streams are accepted from now on.
 *   -ERR_LIMIT  CIRCUIT_RELAYS_MAX of them are there
 *   -EEXIST     the host has the protocol from somebody else */
NODISCARD int circuit_transport_listen(struct circuit_transport *t, const struct peer_id *relay);
bool circuit_transport_is_listening(struct circuit_transport *t, const struct peer_id *relay);
/* No more: connections through it live on. */
void circuit_transport_unlisten(struct circuit_transport *t, const struct peer_id *relay);

/* Where a relay that is listened on can be reached, without /p2p; peers are told by identify when
 * it changes.  None: the reservation is lost. */
void circuit_transport_announce(struct circuit_transport *t, const struct peer_id *relay,
                                const struct multiaddr *addrs, size_t count);

/* --- Spliced paths --- */

/* A link that leads to a peer through a relay, but is no stream of it (relay/splice_client.h): what
 * comes of it is a connection like a circuit's, and `spliced`.  Embedded by its owner. */
struct circuit_link {
    struct circuit_transport *transport;
    void *handle; /* the transport's */
    /* One, unless cancelled: a connection that is the host's, or an error. */
    void (*done)(struct circuit_link *l, struct conn *c, int error);
};

struct circuit_link_config {
    struct link *link;              /* taken over, also when the call fails */
    const struct multiaddr *local;  /* of the link; NULL: not known */
    const struct multiaddr *remote; /* <where the link leads>/p2p/R/p2p-circuit */
    const struct conn *circuit;     /* the one it is made beside, whose far end and limits it has */
    void (*done)(struct circuit_link *l, struct conn *c, int error);
};

/* Plays the part that we have in the circuit.  -ENOMEM, -ERR_SHUTDOWN */
NODISCARD int circuit_transport_upgrade(struct circuit_transport *t, struct circuit_link *l,
                                        const struct circuit_link_config *cfg);
/* Not after done(). */
void circuit_link_cancel(struct circuit_link *l);

/* The relay of a circuit's address, <the relay's address>/p2p/R/p2p-circuit.  false: it is none */
bool circuit_relay_of(const struct multiaddr *addr, struct peer_id *ret_relay);

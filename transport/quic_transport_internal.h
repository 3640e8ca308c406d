/* SPDX-License-Identifier: MIT */
#pragma once

/* What quic_transport.c (listening, dialling, ending), quic_socket.c (packets to and from UDP) and
 * quic_driver.c (one connection) share. */

#include "core/base/map.h"
#include "transport/half_open.h"
#include "transport/proto/quic_conn.h"
#include "transport/quic_transport.h"
#include "uring/reactor.h"
#include "uring/udp.h"

enum { QUIC_ROUTES_MAX = 16 };

/* So many a second. */
struct quic_budget {
    uint32_t left;
    nsec_t refill_at;
};

struct quic_transport {
    struct transport base;
    struct reactor *reactor;
    struct tls_context *tls;
    uint8_t reset_key[QUIC_RESET_KEY_BYTES];
    uint8_t token_key[QUIC_RESET_KEY_BYTES];
    struct map routes; /* connection ID -> struct quic_route */
    struct list sockets;
    struct list drivers;
    uint32_t drivers_count;
    struct half_open_book half_open;
    struct dgram_sink *sinks[DGRAM_KINDS_COUNT]; /* may be NULL */
    struct quic_budget dgram_budgets[DGRAM_KINDS_COUNT];
    struct dgram_stats dgram_stats;
    /* Packets without a connection that are looked at and answered: resets, version negotiation. */
    struct quic_budget answers;
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
};

struct quic_slot {
    struct udp_send send;
    struct quic_socket *socket;
    struct buf *buf;
    struct list node;
};

struct quic_raw {
    struct udp_send send;
    struct quic_socket *socket;
    struct list node;
    uint8_t data[QUIC_PACKET_BYTES_MAX];
};

struct quic_socket {
    struct udp_socket udp;
    struct quic_transport *transport;
    struct list node;
    bool listening;
    uint32_t drivers_count;
    struct quic_slot slots[QUIC_SEND_SLOTS];
    struct list free_slots;
    struct list waiting; /* drivers with something to send and no slot */
    struct quic_raw raws[QUIC_RAW_SLOTS];
    struct list free_raws;
};

struct quic_route {
    struct map_node node;
    struct quic_cid cid;
    struct quic_driver *driver; /* NULL: unused */
};

struct quic_driver {
    struct conn conn;
    struct quic_transport *transport;
    struct quic_socket *socket;
    struct quic_conn *engine;
    struct quota quota;
    struct timer timer;
    struct deferred work;
    struct list node;
    struct list wait_node;
    struct quic_route routes[QUIC_ROUTES_MAX];
    struct net_addr dial_local; /* what a dialler's engine knows as our address */
    struct net_addr reached_at; /* a dialler's: where the last packet arrived */
    struct dial *dial;          /* waiting for the handshake */
    struct half_open half_open; /* inbound, its handshake runs */
    bool handed_over;           /* the host knows the conn */
};

/* quic_socket.c */
NODISCARD int quic_socket_open(struct quic_transport *t, const struct net_addr *at, bool listening,
                               struct quic_socket **ret_socket);
/* The socket that dials `to`: a listening one where possible, else one of its own. */
NODISCARD int quic_socket_for(struct quic_transport *t, const struct net_addr *to,
                              struct quic_socket **ret_socket);
void quic_socket_close_if_unused(struct quic_socket *s);
/* A slot with an empty slab, or NULL. */
struct quic_slot *quic_socket_take_slot(struct quic_socket *s);
void quic_socket_return_slot(struct quic_slot *slot);
/* Wakes who has waited longest for a slot, if one is free.  It takes the slot, or has nothing to
 * send after all and returns it, or goes: each of them wakes the next. */
void quic_socket_wake_next(struct quic_socket *s);
void quic_socket_send(struct quic_slot *slot, const struct quic_batch *batch);

/* quic_dgram.c */
void quic_dgram_init(struct quic_socket *s);
/* A datagram that is no connection's. */
void quic_dgram_received(struct quic_transport *t, const struct quic_path *path,
                         struct bytes datagram);
bool quic_budget_take(struct quic_budget *b, uint32_t per_second, nsec_t now);

/* quic_driver.c */
extern const struct conn_ops quic_conn_ops;
NODISCARD int quic_driver_dial(struct quic_transport *t, struct quic_socket *s, struct dial *dial,
                               const struct net_addr *to);
NODISCARD int quic_driver_accept(struct quic_socket *s, const struct quic_initial *initial,
                                 const struct quic_path *path, struct quic_driver **ret_driver);
void quic_driver_recv(struct quic_driver *d, const struct quic_path *path, uint8_t ecn,
                      struct bytes packet);
/* A packet that found no connection, see quic_conn_recv_stray(); nothing unless it is the peer's.
 */
void quic_driver_recv_stray(struct quic_driver *d, const struct net_addr *remote,
                            struct bytes packet);
/* Has the connection looked at once this turn. */
void quic_driver_wake(struct quic_driver *d);
void quic_driver_close(struct quic_driver *d, uint64_t code);
/* Ends the dials from a socket to an address that the system cannot send to. */
void quic_driver_fail_dials(struct quic_socket *s, const struct net_addr *to, int error);
struct quic_driver *quic_driver_of(struct conn *c);

/* quic_transport.c */
static inline struct quic_transport *quic_transport_of(struct transport *t) {
    return CONTAINER_OF(t, struct quic_transport, base);
}
/* Called when a driver or socket has gone: a closing transport may be done. */
void quic_transport_check_closed(struct quic_transport *t);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Which external addresses others see of our sockets, as identify tells: whom enough of them agree
 * on is worth announcing, and whether they agree tells the NAT's type.  Engine: no I/O, no clock.
 *
 *   identify of a direct connection -> observed_add()      its end -> observed_conn_closed()
 *   observed_addrs(), observed_nat_type() at any time
 *
 * One peer's word is not enough to announce an address to others: a liar would direct them to a
 * victim.  Nor is it with a dial-back of AutoNAT, which the same liar makes: it proves that we can
 * be reached, and nothing of where.  So two must see an address before it is worth a question.
 *
 * A peer counts once, by what it said last, over however many connections, and so do peers of one
 * network (IPv4 /24, IPv6 /56), since one liar may have many addresses there.  Whom the user trusts
 * decides alone, and comes first.  Hole punching only tells the peer at hand and may use what one
 * observer says.
 *
 * Spec:    libp2p identify, "Observed addresses"; go-libp2p counts each IPv4 address.
 * Memory:  the struct, under 18 KiB; beyond OBSERVED_REPORTS_MAX connections the oldest report is
 *          forgotten, of those that are not trusted if there is one.
 * Thread:  one at a time.
 */

#include "core/base/bytes.h"
#include "core/base/net_addr.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"
#include "relay/proto/nat_type.h"

enum {
    OBSERVED_REPORTS_MAX = 128,
    OBSERVED_PER_LOCAL_MAX = 3, /* go's limit: as many external addresses has one socket */

    OBSERVED_TO_ANNOUNCE = 4, /* go's activation threshold */
    OBSERVED_TO_ASK = 2,      /* AutoNAT's servers, whose proof then is enough */
    OBSERVED_TO_PUNCH = 1,
};

/* What one connection's peer says. */
struct observed_report {
    uint64_t conn;            /* the driver's number for it */
    struct peer_id peer;      /* none: this connection's is nobody else's */
    enum multiaddr_kind kind; /* MULTIADDR_KIND_TCP, _WS or _QUIC */
    struct net_addr local;    /* the listen address that it uses; of any other it is useless */
    struct net_addr observer; /* the peer's */
    struct bytes addr;        /* observedAddr, undecoded */
    bool is_trusted;          /* its word alone is enough: a relay that the user named */
};

/* An external address of a socket. */
struct observed_addr {
    struct net_addr local;
    struct net_addr external;
    bool is_tcp;
    unsigned observers_count;
    bool is_trusted; /* one of them is */
};

struct observed_entry {
    uint64_t conn;
    struct peer_id peer;
    struct net_addr local;
    struct net_addr external;
    struct net_addr group; /* the observer's network */
    bool is_tcp;
    bool is_trusted;
    bool is_superseded; /* by what the peer said later of the same socket */
};

/* Embedded by its owner; fields are the engine's. */
struct observed {
    bool accept_private;
    size_t entries_count;
    struct observed_entry entries[OBSERVED_REPORTS_MAX]; /* oldest first */
};

/* `accept_private`: external addresses need not be public; for labs. */
void observed_init(struct observed *o, bool accept_private);

/* Replaces what the same connection said before.  Ignored (false) is what does not decode, is no
 * public IP address with a port, is relayed or of another transport or family than the connection,
 * or is translated IPv6 (NAT64); a former report stays then. */
bool observed_add(struct observed *o, const struct observed_report *report);

void observed_conn_closed(struct observed *o, uint64_t conn);

/* The addresses that at least `observers_min` networks see, or somebody trusted,
 * OBSERVED_PER_LOCAL_MAX of one socket: those that are trusted first, then those with more
 * observers, then those that are known longer.  Returns how many are written. */
size_t observed_addrs(const struct observed *o, unsigned observers_min, struct observed_addr *out,
                      size_t out_max);

/* The NAT of one socket as its observers' reports show it:
 *   NAT_UNKNOWN             fewer than two, or they are divided
 *   NAT_NONE                most see the socket's own address
 *   NAT_ADDRESS_RESTRICTED  most see one and the same
 *   NAT_SYMMETRIC           each sees another one */
enum nat_type observed_nat_type(const struct observed *o, const struct net_addr *local,
                                bool is_tcp);

/* SPDX-License-Identifier: MIT */
#pragma once

/* AutoNAT v1, server: what is to be dialled for a peer that asks, and how often.  Engine: no I/O,
 * no clock.
 *
 *   autonat_v1_enter()   a stream -> a place, which counts whether or not a request follows
 *   autonat_v1_ask()     its request -> an answer at once, or addresses to dial
 *   autonat_v1_leave()   its end
 *
 * Nobody is to be attacked through us: the IP address of what is dialled is the one that the peer
 * is seen at, whatever it says; only its ports and transports are the peer's.  The very address at
 * which it is seen comes first, as go's server has it: who dials from the port that it listens on
 * may know of no other.
 *
 * Spec:    libp2p AutoNAT v1, "Server (go)".
 * Memory:  the limits, about 2 KiB.
 * Thread:  one at a time.
 */

#include "core/base/net_addr.h"
#include "core/base/time.h"
#include "core/p2p/peer_id.h"
#include "relay/proto/autonat_msg.h"

enum {
    AUTONAT_V1_REQUESTS_PER_MINUTE = 30,
    AUTONAT_V1_PEER_REQUESTS_PER_MINUTE = 3,
    AUTONAT_V1_PEER_STREAMS_MAX = 2,
    AUTONAT_V1_DIALS_MAX = 16, /* addresses of a request that are dialled */
};

/* The driver's; go's. */
#define AUTONAT_V1_STREAM_TIMEOUT SEC(60)
#define AUTONAT_V1_DIAL_TIMEOUT   SEC(15)

struct autonat_v1_admitted {
    struct peer_id peer;
    bool is_open;
    nsec_t until; /* when it no longer counts */
};

/* Shared by all streams of a node; zeros are a new one. */
struct autonat_v1_limits {
    struct autonat_v1_admitted admitted[AUTONAT_V1_REQUESTS_PER_MINUTE];
};

/* A stream of `peer` came.  NULL: it, or all, have too many; answer AUTONAT_V1_E_DIAL_REFUSED. */
struct autonat_v1_admitted *autonat_v1_enter(struct autonat_v1_limits *l,
                                             const struct peer_id *peer, nsec_t now);
/* Accepts NULL. */
void autonat_v1_leave(struct autonat_v1_admitted *place);

struct autonat_v1_asker {
    const struct peer_id *peer;
    const struct multiaddr *observed; /* whence its connection comes; NULL: relayed */
    unsigned kinds;      /* of addresses that can be dialled: bits 1 << multiaddr_kind */
    bool accept_private; /* for labs */
};

struct autonat_v1_task {
    struct multiaddr addrs[AUTONAT_V1_DIALS_MAX];
    size_t addrs_count; /* 0: answer `status` at once */
    enum autonat_v1_status status;
};

/* A request, without its length.
 *   errors of autonat_v1_decode_dial(): reset the stream */
NODISCARD int autonat_v1_ask(const struct autonat_v1_asker *asker, struct bytes body,
                             struct autonat_v1_task *ret_task);

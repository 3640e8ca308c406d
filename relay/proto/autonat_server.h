/* SPDX-License-Identifier: MIT */
#pragma once

/* AutoNAT v2, server: dials one of a peer's addresses for it.  One engine a stream, and the limits
 * that all of them share.  Engine: no I/O, no clock.
 *
 *   messages in -> autonat_server_recv()       events <- autonat_server_next_event(), drained
 *   the dial's end -> autonat_server_dialled() time   -> autonat_server_tick() at _deadline()
 *   autonat_server_done() gives the peer's place back
 *
 * Nobody is to be attacked through us: an address whose IP is not the one that the peer is seen at
 * costs it 30,000 to 100,000 bytes first, and is dialled after a random wait of up to 3 s; only
 * public IP addresses are dialled, one a request.  The driver dials from another port, with another
 * key, and writes a DialBack with the nonce.
 *
 * Spec:    libp2p AutoNAT v2; limits of go-libp2p's server.
 * Memory:  the structs, under 1 and 5 KiB.
 * Thread:  one at a time.
 */

#include "core/base/net_addr.h"
#include "core/base/time.h"
#include "core/p2p/peer_id.h"
#include "relay/proto/autonat_msg.h"

struct rng;

enum {
    AUTONAT_REQUESTS_PER_MINUTE = 60,
    AUTONAT_PEER_REQUESTS_PER_MINUTE = 12,
    AUTONAT_DATA_REQUESTS_PER_MINUTE = 12,
    AUTONAT_PEER_STREAMS_MAX = 2,

    AUTONAT_INSPECTED_MAX = 50, /* addresses of a request that are looked at */
    AUTONAT_DATA_BYTES_MIN = 30000,
    AUTONAT_DATA_BYTES_SPAN = 70001, /* up to 100,000 */
    AUTONAT_DATA_FRAME_MIN = 100,    /* but for the last one */
};

#define AUTONAT_STREAM_TIMEOUT    SEC(15) /* all of it */
#define AUTONAT_DIAL_WAIT_MAX     SEC(3)
/* The driver's, for the connection.  go's server has 10 s, of which its transports take five;
 * rust's client waits 10 s for all of it, the pause included. */
#define AUTONAT_DIAL_TIMEOUT      SEC(5)
#define AUTONAT_DIAL_BACK_TIMEOUT SEC(5) /* the driver's, for the stream on it */

/* --- limits ---------------------------------------------------------------------------------- */

struct autonat_admitted {
    struct peer_id peer;
    bool is_open;
    bool has_data;
    nsec_t until; /* when it no longer counts */
};

/* Shared by all streams of a node; zeros are a new one. */
struct autonat_limits {
    struct autonat_admitted admitted[AUTONAT_REQUESTS_PER_MINUTE];
};

/* --- one stream ------------------------------------------------------------------------------ */

struct autonat_server_config {
    struct autonat_limits *limits; /* outlives the engine */
    struct rng *rng;
    struct peer_id peer;
    struct net_addr observed; /* whence the peer's connection comes; NET_NONE: relayed */
    unsigned kinds;           /* of addresses that the driver can dial: bits 1 << multiaddr_kind */
    unsigned lacking;         /* families that there is no way to from here: bits 1 << net_family */
    bool accept_private;      /* for labs */
};

enum autonat_server_event_type {
    AUTONAT_SERVER_EV_SEND, /* write `message` */
    AUTONAT_SERVER_EV_DIAL, /* dial `addr`, expect config.peer there, say `nonce` on a dial-back */
    /* Give a dial up if one runs.  error 0: close the stream behind what is to be written; else
     * reset it:
     *   -ERR_PROTOCOL_VIOLATION, what autonat_decode() gave, -ETIMEDOUT */
    AUTONAT_SERVER_EV_END,
};

struct autonat_server_event {
    enum autonat_server_event_type type;
    struct bytes message; /* the engine's */
    const struct multiaddr *addr;
    uint64_t nonce;
    int error;
};

enum autonat_server_state {
    AUTONAT_SERVER_READING,
    AUTONAT_SERVER_DATA,  /* being paid */
    AUTONAT_SERVER_PAUSE, /* before the dial */
    AUTONAT_SERVER_DIALLING,
    AUTONAT_SERVER_OVER,
};

/* Embedded by its owner; fields are the engine's. */
struct autonat_server {
    struct autonat_server_config config;
    struct autonat_admitted *place; /* NULL: was not admitted */
    uint8_t state;                  /* enum autonat_server_state */
    uint8_t events;                 /* bits by type */
    uint8_t message_len;
    uint8_t message[AUTONAT_SMALL_OUT_MAX];
    struct multiaddr addr;
    uint32_t addr_index;
    uint32_t data_left;
    uint64_t nonce;
    int error;
    nsec_t dial_at;
    nsec_t deadline;
    nsec_t now;
};

/* A peer that asks too often is answered at once. */
void autonat_server_init(struct autonat_server *s, const struct autonat_server_config *config,
                         nsec_t now);

/* Must be called in the end; the engine is not used any more. */
void autonat_server_done(struct autonat_server *s);

/* One message, without its length; ignored once the engine is over. */
void autonat_server_recv(struct autonat_server *s, struct bytes body, nsec_t now);

/* How the dial ended: AUTONAT_DIAL_OK when the nonce was said and answered. */
void autonat_server_dialled(struct autonat_server *s, enum autonat_dial_status status, nsec_t now);

bool autonat_server_next_event(struct autonat_server *s, struct autonat_server_event *ret_event);

/* NSEC_NEVER at the end. */
nsec_t autonat_server_deadline(const struct autonat_server *s);

/* Early calls are harmless. */
void autonat_server_tick(struct autonat_server *s, nsec_t now);

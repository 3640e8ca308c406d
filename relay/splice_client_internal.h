/* SPDX-License-Identifier: MIT */
#pragma once

/* What splice_client.c (peers, offers) and splice_client_path.c (one path) share. */

#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/map.h"
#include "core/p2p/multiaddr.h"
#include "relay/circuit_transport.h"
#include "relay/proto/splice_msg.h"
#include "relay/splice_client.h"
#include "relay/stream_frame.h"
#include "transport/host.h"
#include "transport/link.h"

struct splice_client {
    struct splice_client_config cfg;
    struct mem *mem;
    struct host_watch watch;
    struct protocol_handler handler;
    struct map peers;  /* struct splice_peer */
    struct list paths; /* all */
    uint32_t offers;   /* of them, that are not connections yet */
    struct splice_client_stats stats;
};

/* One path, of either side.
 *
 *   source        OPENING -> ASKING -> CONNECTING -> UPGRADING -> STANDING -> freed
 *   destination              ASKED  -> CONNECTING -> UPGRADING -> STANDING -> freed
 * and from each -> freed, when it fails. */
enum splice_path_state {
    SPLICE_PATH_OPENING,    /* a stream to the relay */
    SPLICE_PATH_ASKING,     /* ASK is said, the answer awaited */
    SPLICE_PATH_ASKED,      /* the OFFER is awaited */
    SPLICE_PATH_CONNECTING, /* to the relay by TCP */
    SPLICE_PATH_UPGRADING,
    SPLICE_PATH_STANDING,
};

struct splice_path {
    struct splice_client *client;
    struct list node;
    enum splice_path_state state;
    bool is_source;
    bool is_begun; /* `request` is made */
    struct peer_id relay;
    struct peer_id peer; /* the destination's from CONNECTING on */
    struct stream_request request;
    struct stream *stream; /* to the relay; NULL: it is over */
    struct stream_frame frame;
    struct timer timer;
    struct multiaddr at; /* where the relay is dialled */
    struct link *link;   /* while CONNECTING */
    struct circuit_link upgrade;
    const struct conn *conn; /* while STANDING */
    uint8_t preface[SPLICE_PREFACE_BYTES];
    uint8_t memory[SPLICE_MSG_MAX];
};

/* splice_client_path.c */

/* Asks the relay of this circuit, which we dialled.  -ENOMEM */
NODISCARD int splice_path_ask(struct splice_client *s, const struct conn *circuit,
                              struct splice_path **ret_path);
/* Takes over a stream of a relay's, which will offer one.  -ENOMEM leaves it with the caller. */
NODISCARD int splice_path_listen(struct splice_client *s, struct stream *stream);
/* Its connection is over, or the client goes: nobody is told. */
void splice_path_drop(struct splice_path *p);

/* splice_client.c */

/* The circuit with `peer` through `relay` that it is to be beside, or NULL: none stands, or there
 * is something better already. */
const struct conn *splice_client_circuit(const struct splice_client *s, const struct peer_id *peer,
                                         const struct peer_id *relay, bool is_source);
/* Where the relay listens for TCP.  -ERR_NO_ADDRESSES: that is not known */
NODISCARD int splice_client_relay_addr(const struct splice_client *s, const struct peer_id *relay,
                                       struct multiaddr *ret_addr);
/* A path is not made; it is freed after this call. */
void splice_client_failed(struct splice_client *s, const struct splice_path *p, int error);
/* It is: `p->conn` stands. */
void splice_client_made(struct splice_client *s, const struct splice_path *p);

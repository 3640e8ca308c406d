/* SPDX-License-Identifier: MIT */
#pragma once

/* The peers' side of spliced paths (relay/splice_service.h): a second connection beside a circuit,
 * for which the relay joins two sockets.
 *
 * Where we dialled the circuit the relay is asked, as soon as identify has told that the peer
 * speaks the protocol; when that fails, or the path ends, again after 30 s, 60 s, 2, 4, 8, 10, 10
 * ... minutes.  Where the peer dialled us the relay offers: relays where we keep a reservation
 * alone, and of peers with a circuit through it alone.
 *
 * Either way a token comes of it, the relay is dialled by TCP, and the link is made a connection
 * with the very peer of the circuit, each playing the part that it has there.  Nothing depends on
 * the token but whether the two meet.
 *
 * The relay's address is that of a connection to it over TCP, else one of TCP that it told, if it
 * is where another connection to it leads.  While a direct connection with the peer stands, none is
 * made; nor where there is one.  New streams prefer it to the circuit, which closes once it is
 * idle.
 *
 * Bounds:  SPLICE_OFFERS_MAX offers that are not connections yet; of paths that we ask for one a
 *          peer.
 * Spec:    docs/adr/0013-spliced-relay-path.md
 * Thread:  the reactor's. */

#include "core/base/base.h"
#include "core/base/time.h"

struct circuit_transport;
struct host;
struct log;
struct reactor;
struct splice_client;

enum { SPLICE_OFFERS_MAX = 16 };

#define SPLICE_FIRST_PAUSE   SEC(30)
#define SPLICE_LAST_PAUSE    SEC(600)
#define SPLICE_ANSWER_WITHIN SEC(25) /* the relay opens a stream, and a token is good for 10 s */
#define SPLICE_DIAL_WITHIN   SEC(10)

struct splice_client_config {
    struct reactor *reactor;
    struct host *host;                 /* outlives this, and has no connection yet */
    struct circuit_transport *circuit; /* the host's */
    struct log *log;                   /* may be NULL */
};

/* -ENOMEM; -EEXIST: somebody serves the protocol on this host */
NODISCARD int splice_client_new(const struct splice_client_config *cfg,
                                struct splice_client **ret_client);
/* Gives up what is being made, and tells relays that the paths which stand end.  Accepts NULL,
 * returns NULL. */
struct splice_client *splice_client_free(struct splice_client *s);

struct splice_client_stats {
    uint64_t made;
    uint64_t failed;
};
const struct splice_client_stats *splice_client_stats(const struct splice_client *s);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The upgrader: from a link, whatever made it, to a connection.
 *
 *   link -> multistream-select of the security -> handshake -> (multistream-select of the muxer,
 *   unless it was agreed in the handshake) -> yamux -> struct conn
 *
 * The role is independent of who connected (`inbound`): DCUtR and circuits need that.
 * When two dial each other in agreement, one as responder, and only that one's dial comes through,
 * the other end has accepted it and is a responder as well; then who `may_lead` becomes the
 * initiator when the peer's header has come without a proposal, and none has for
 * UPGRADE_LEAD_AFTER. An initiator with one security to propose sends its first message right
 * behind the name; with two it waits for the answer to the first. Bytes that a peer sends ahead go
 * from layer to layer, none is lost. Spec: connection-lifecycle.md.  Thread: the reactor's. */

#include "core/base/problem.h"
#include "core/base/time.h"
#include "core/p2p/identity.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"
#include "transport/conn.h"
#include "transport/link.h"
#include "uring/reactor.h"

struct tls_context;
struct upgrade;

/* Of the whole of it, from either side (rust's and js's limit; go's is 15 s). */
#define UPGRADE_TIMEOUT SEC(10)

#define UPGRADE_LEAD_AFTER MSEC(200)

enum { UPGRADE_TLS = 1, UPGRADE_NOISE = 2 };

/* What all upgrades of a host share; outlives them and their connections. */
struct upgrader {
    struct reactor *reactor;
    const struct identity *identity;
    struct tls_context *tls;
    /* UPGRADE_... bits that are proposed and accepted; both: TLS is proposed first. */
    unsigned securities;
    /* A connection and all its streams are over, and its conn is about to be freed. */
    void (*conn_gone)(struct upgrader *u, struct conn *c);
    /* One that failed or was cancelled has closed its link; closing_count others have not. */
    void (*upgrade_gone)(struct upgrader *u);
    uint32_t closing_count;
    void *user;
};

struct upgrade_config {
    struct link *link;              /* taken over, also when upgrade_start() fails */
    const struct peer_id *expected; /* copied; NULL: anybody */
    const struct multiaddr *remote; /* without /p2p; copied */
    const struct multiaddr *local;  /* NULL: not known yet */
    bool initiator;                 /* in security and multiplexing */
    bool may_lead;                  /* a responder: if the peer is one, too, we are not */
    bool inbound;                   /* they connected */
    nsec_t deadline;
    /* Exactly one, unless cancelled: a connection whose streams and events nobody hears of before
     * its events are set in this call, or an error with the sentence in `why`. */
    void (*done)(void *user, struct conn *c, int error, const struct problem *why);
    void *user;
};

/* -ENOMEM: the link is closing, as after a failure */
NODISCARD int upgrade_start(struct upgrader *u, const struct upgrade_config *cfg,
                            struct upgrade **ret_upgrade);
/* It may lead from now on; does nothing to an initiator. */
void upgrade_let_lead(struct upgrade *up);
/* Closes the link; done() does not come.  Not after done(). */
void upgrade_cancel(struct upgrade *up);

/* Closes a link that cannot be upgraded, as an upgrade that failed does; nobody else has its
 * events.
 */
void upgrade_abandon(struct upgrader *u, struct link *link);

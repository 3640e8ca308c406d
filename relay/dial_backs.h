/* SPDX-License-Identifier: MIT */
#pragma once

/* Takes the dial-backs of AutoNAT v2 servers: from whomever they come, as servers use throw-away
 * identities, but only while somebody waits for a nonce.  While one is expected, the gate lets
 * strangers in for this protocol alone (host_expect_guests()).
 *
 * A nonce that nobody waits for resets its stream.
 *
 * Bounds:  DIAL_BACKS_STREAMS_MAX streams at once, DIAL_BACKS_TIMEOUT each.
 * Spec:    libp2p AutoNAT v2, "Dial-back acceptor"; decision 1, "pending nonce".
 * Thread:  the reactor's. */

#include "core/base/list.h"
#include "core/base/time.h"
#include "core/p2p/multiaddr.h"

struct dial_backs;
struct host;
struct reactor;

enum { DIAL_BACKS_STREAMS_MAX = 16 };

#define DIAL_BACKS_TIMEOUT SEC(5)

/* Who waits for a nonce; embedded by its owner. */
struct dial_back_waiter {
    struct list node;
    /* Whether a connection that begins now may bring one. */
    bool (*expects)(const struct dial_back_waiter *w);
    /* While it waits, somebody was turned away, for want of a place or as nobody expected him. */
    void (*turned_away)(struct dial_back_waiter *w);
    /* Whether this nonce, which came from `remote`, is the one.  Called from the end of a turn; may
     * not free the waiter. */
    bool (*offer)(struct dial_back_waiter *w, uint64_t nonce, const struct multiaddr *remote);
};

/* -ENOMEM; -EEXIST: somebody serves the protocol on this host */
NODISCARD int dial_backs_new(struct reactor *r, struct host *h, struct dial_backs **ret_dial_backs);
/* Nobody may wait any more.  Accepts NULL, returns NULL. */
struct dial_backs *dial_backs_free(struct dial_backs *d);

void dial_backs_expect(struct dial_backs *d, struct dial_back_waiter *w);
/* Harmless when it does not wait. */
void dial_backs_forget(struct dial_back_waiter *w);

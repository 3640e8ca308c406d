/* SPDX-License-Identifier: MIT */
#pragma once

/* A relay's book of spliced paths in the making: whose token is still good, and which half of a
 * path is there.  Engine: no I/O, no clock.
 *
 *   splice_book_issue()    two tokens, one a side, for one path
 *   splice_book_redeem()   a leg has come with a token: of which path and side is it?
 *   splice_book_drop()     the path is made, or given up: what is left of its tokens is worthless
 *   time                   splice_book_expired() at splice_book_deadline()
 *
 * A token is good once, for SPLICE_TOKEN_LIFETIME, for its path and its side.  It is looked for
 * among all that there are, each compared to its last byte, so that the time it takes tells nothing
 * of how much of a guess was right, nor which of them was.
 *
 * A source has so many, and two peers with one another, in both directions together: one path is
 * all that two peers need, and another one replaces it when it is late or its end crosses with the
 * next beginning.  A destination has no limit of its own, for whoever asks could use it up, and
 * keep all others from it.
 *
 * A leg that waits has a ticket, and one ticket has at most one that waits: where both are there,
 * they are joined.  So the limits of tickets are those of waiting legs.
 *
 * Spec:    docs/adr/0013-spliced-relay-path.md
 * Memory:  the owners': a ticket is embedded.  All operations are O(SPLICE_TICKETS_MAX).
 * Thread:  one at a time.
 */

#include "core/base/list.h"
#include "core/base/rng.h"
#include "core/base/time.h"
#include "core/p2p/peer_id.h"
#include "relay/proto/splice_msg.h"

enum {
    SPLICE_TICKETS_MAX = 64,
    SPLICE_TICKETS_PER_SOURCE_MAX = 4,
    SPLICE_TICKETS_PER_PAIR_MAX = 2, /* whichever of the two is the source */
};

#define SPLICE_TOKEN_LIFETIME SEC(10)

enum splice_side { SPLICE_SOURCE, SPLICE_DESTINATION, SPLICE_SIDES };

/* A path in the making.  Embedded by its owner; all but the tokens are the engine's. */
struct splice_ticket {
    struct list node;
    struct peer_id peers[SPLICE_SIDES];
    uint8_t tokens[SPLICE_SIDES][SPLICE_TOKEN_BYTES]; /* to be given out */
    bool is_used[SPLICE_SIDES];
    nsec_t deadline;
};

/* Embedded by its owner; fields are the engine's. */
struct splice_book {
    struct rng *rng;
    struct list tickets; /* the oldest first */
    uint32_t count;
    nsec_t now;
};

void splice_book_init(struct splice_book *b, struct rng *rng, nsec_t now);

/* Makes a path's tokens.  -ERR_LIMIT: there are SPLICE_TICKETS_MAX, or as many as the source may
 * have, or the two with one another */
NODISCARD int splice_book_issue(struct splice_book *b, struct splice_ticket *t,
                                const struct peer_id *source, const struct peer_id *destination,
                                nsec_t now);

/* Uses a token up.  NULL: there is none like it, it was used, or it is too late. */
NODISCARD struct splice_ticket *splice_book_redeem(struct splice_book *b,
                                                   const uint8_t token[SPLICE_TOKEN_BYTES],
                                                   nsec_t now, enum splice_side *ret_side);

/* Both legs have come. */
static inline bool splice_ticket_is_complete(const struct splice_ticket *t) {
    return t->is_used[SPLICE_SOURCE] && t->is_used[SPLICE_DESTINATION];
}

/* Takes a ticket out and wipes its tokens.  Harmless for one that is zeros, or out already. */
void splice_book_drop(struct splice_book *b, struct splice_ticket *t);

/* When the next ticket is too late; NSEC_NEVER without any. */
nsec_t splice_book_deadline(const struct splice_book *b);

/* A ticket that is too late, or NULL: its owner gives the path up, and drops it. */
struct splice_ticket *splice_book_expired(struct splice_book *b, nsec_t now);

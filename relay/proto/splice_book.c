/* SPDX-License-Identifier: MIT */
#include "relay/proto/splice_book.h"

#include "core/base/err.h"
#include "core/base/mem.h"

static void advance(struct splice_book *b, nsec_t now) {
    assert(now >= b->now);
    b->now = now;
}

void splice_book_init(struct splice_book *b, struct rng *rng, nsec_t now) {
    *b = (struct splice_book){.rng = rng, .now = now};
    list_init(&b->tickets);
}

static bool is_between(const struct splice_ticket *t, const struct peer_id *source,
                       const struct peer_id *destination) {
    return peer_id_equal(&t->peers[SPLICE_SOURCE], source) &&
           peer_id_equal(&t->peers[SPLICE_DESTINATION], destination);
}

static bool has_room(const struct splice_book *b, const struct peer_id *source,
                     const struct peer_id *destination) {
    uint32_t of_source = 0;
    uint32_t of_pair = 0;
    list_for_each (node, &b->tickets) {
        const struct splice_ticket *t = LIST_ENTRY(node, const struct splice_ticket, node);
        of_source += peer_id_equal(&t->peers[SPLICE_SOURCE], source);
        of_pair += is_between(t, source, destination) || is_between(t, destination, source);
    }
    return b->count < SPLICE_TICKETS_MAX && of_source < SPLICE_TICKETS_PER_SOURCE_MAX &&
           of_pair < SPLICE_TICKETS_PER_PAIR_MAX;
}

int splice_book_issue(struct splice_book *b, struct splice_ticket *t, const struct peer_id *source,
                      const struct peer_id *destination, nsec_t now) {
    advance(b, now);
    if (!has_room(b, source, destination))
        return -ERR_LIMIT;
    *t = (struct splice_ticket){.peers = {*source, *destination},
                                .deadline = now + SPLICE_TOKEN_LIFETIME};
    rng_fill(b->rng, t->tokens, sizeof(t->tokens));
    list_init(&t->node);
    list_push(&b->tickets, &t->node);
    b->count++;
    return 0;
}

/* 0: they are the same. */
static unsigned difference(const uint8_t a[SPLICE_TOKEN_BYTES],
                           const uint8_t b[SPLICE_TOKEN_BYTES]) {
    volatile unsigned sum = 0; /* so that no compiler makes a way out of it */
    for (int i = 0; i < SPLICE_TOKEN_BYTES; i++)
        sum |= (unsigned)(a[i] ^ b[i]);
    return sum;
}

struct splice_ticket *splice_book_redeem(struct splice_book *b,
                                         const uint8_t token[SPLICE_TOKEN_BYTES], nsec_t now,
                                         enum splice_side *ret_side) {
    struct splice_ticket *found = NULL;
    enum splice_side side = SPLICE_SOURCE;
    advance(b, now);
    list_for_each (node, &b->tickets) {
        struct splice_ticket *t = LIST_ENTRY(node, struct splice_ticket, node);
        for (int i = 0; i < SPLICE_SIDES; i++) {
            if (difference(t->tokens[i], token) != 0)
                continue;
            found = t;
            side = (enum splice_side)i;
        }
    }
    if (found == NULL || found->is_used[side] || now >= found->deadline)
        return NULL;
    found->is_used[side] = true;
    *ret_side = side;
    return found;
}

void splice_book_drop(struct splice_book *b, struct splice_ticket *t) {
    if (t->deadline == 0)
        return;
    assert(b->count > 0);
    list_remove(&t->node);
    b->count--;
    t->deadline = 0;
    mem_wipe(t->tokens, sizeof(t->tokens));
}

static struct splice_ticket *oldest(const struct splice_book *b) {
    return list_is_empty(&b->tickets) ? NULL
                                      : LIST_ENTRY(b->tickets.next, struct splice_ticket, node);
}

nsec_t splice_book_deadline(const struct splice_book *b) {
    const struct splice_ticket *t = oldest(b);
    return t == NULL ? NSEC_NEVER : t->deadline;
}

struct splice_ticket *splice_book_expired(struct splice_book *b, nsec_t now) {
    struct splice_ticket *t = oldest(b);
    advance(b, now);
    return t != NULL && now >= t->deadline ? t : NULL;
}

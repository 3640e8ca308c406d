/* SPDX-License-Identifier: MIT */
/* The connections that there are to a peer: which of them are sound, and which one takes a stream.
 * Rules; transport/swarm.c and swarm_network.c act on them. */

#include "transport/host_internal.h"

/* A detour's address is the relay's, and says nothing of the connection inside. */
static bool is_over_quic(const struct conn *c) {
    return !c->relayed && multiaddr_has(&c->remote, MULTIADDR_QUIC_V1);
}

bool swarm_is_preferred(const struct conn *c, enum dial_preference prefer) {
    return prefer == DIAL_AUTO || is_over_quic(c) == (prefer == DIAL_QUIC);
}

/* How long a sign of life may take.  Lost packets of QUIC are sent again within it. */
static nsec_t answers_within(const struct conn *c) {
    return MAX(HOST_SUSPECT_AFTER, 3 * c->ops->rtt(c));
}

static nsec_t suspect_at(const struct conn *c) {
    nsec_t since = c->ops->unanswered_since == NULL ? NSEC_NEVER : c->ops->unanswered_since(c);
    if (since == NSEC_NEVER)
        return NSEC_NEVER;
    return since + answers_within(c);
}

/* Where both sides dialled, there are two connections over UDP, and when it stops passing, the one
 * that carries nothing just then knows nothing of it.  (Over IPv4 and IPv6, perhaps, of which one
 * may still pass: a race tells.) */
static bool shares_silence(const struct conn *idle, const struct conn *silent) {
    return is_over_quic(idle) && is_over_quic(silent) &&
           idle->opened_at < silent->ops->unanswered_since(silent);
}

void swarm_doubt(struct host_conn *hc) {
    struct conn *c = hc->conn;
    if (hc->closing || c->ops->probe == NULL)
        return;
    hc->doubted_at = reactor_now(hc->peer->host->reactor);
    c->ops->probe(c);
}

bool swarm_is_doubted(const struct host_conn *hc) {
    return hc->doubted_at != 0 && hc->conn->ops->heard_at(hc->conn) <= hc->doubted_at;
}

void swarm_doubt_replaced(struct host_conn *hc) {
    if (!is_over_quic(hc->conn) || hc->silent_at != 0)
        return;
    if (!swarm_is_doubted(hc))
        swarm_doubt(hc);
    hc->silent_at = reactor_now(hc->peer->host->reactor) + answers_within(hc->conn);
}

/* An answer to a later question may take as long. */
bool swarm_take_silent(struct host_conn *hc, nsec_t *ret_again) {
    if (hc->silent_at == 0)
        return false;
    nsec_t at = MAX(hc->silent_at, hc->doubted_at + answers_within(hc->conn));
    if (swarm_is_doubted(hc) && reactor_now(hc->peer->host->reactor) < at) {
        *ret_again = MIN(*ret_again, at);
        return false;
    }
    hc->silent_at = 0;
    return !hc->closing && swarm_is_doubted(hc) && swarm_has_sound_conn(hc->peer);
}

bool swarm_is_suspect(const struct host_conn *hc) {
    nsec_t now = reactor_now(hc->peer->host->reactor);
    if (swarm_is_doubted(hc) || suspect_at(hc->conn) <= now)
        return true;
    list_for_each (node, &hc->peer->conns) {
        const struct conn *other = LIST_ENTRY(node, const struct host_conn, node)->conn;
        if (suspect_at(other) <= now && shares_silence(hc->conn, other))
            return true;
    }
    return false;
}

nsec_t swarm_suspicion_due(const struct peer *p) {
    nsec_t now = reactor_now(p->host->reactor);
    nsec_t due = NSEC_NEVER;
    list_for_each (node, &p->conns) {
        const struct conn *c = LIST_ENTRY(node, const struct host_conn, node)->conn;
        nsec_t at = c->streams_count > 0 ? suspect_at(c) : NSEC_NEVER;
        if (at > now)
            due = MIN(due, at);
    }
    return due;
}

static bool has_sound_conn(const struct peer *p, bool takes_relayed) {
    list_for_each (node, &p->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, const struct host_conn, node);
        if (!hc->closing && !swarm_is_suspect(hc) && (takes_relayed || !hc->conn->relayed))
            return true;
    }
    return false;
}

bool swarm_has_sound_conn(const struct peer *p) {
    return has_sound_conn(p, true);
}

bool swarm_has_sound_direct_conn(const struct peer *p) {
    return has_sound_conn(p, false);
}

bool swarm_has_unlimited_conn(const struct peer *p) {
    list_for_each (node, &p->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, const struct host_conn, node);
        if (!hc->closing && !hc->conn->limited)
            return true;
    }
    return false;
}

/* Dials that crossed: both ends see the connections stand within that of one another. */
#define CROSSED_WITHIN SEC(5)

static bool is_newer(const struct host_conn *a, const struct host_conn *b) {
    const struct list *node = &b->node;
    while (node != &a->node && node != &b->peer->conns)
        node = node->next;
    return node == &a->node;
}

/* Which of two connections, of which one is enough, both ends go on with: they must say the same,
 * or each closes another one.  The newer is the less likely to be dead without our knowing; where
 * dials crossed, which is the newer may look different from there, and their dialler decides. */
static bool is_kept_before(const struct host_conn *a, const struct host_conn *b) {
    const struct conn *ca = a->conn;
    const struct conn *cb = b->conn;
    nsec_t gap = MAX(ca->opened_at, cb->opened_at) - MIN(ca->opened_at, cb->opened_at);
    if (ca->relayed != cb->relayed)
        return !ca->relayed;
    if (ca->spliced != cb->spliced)
        return ca->spliced;
    if (ca->inbound == cb->inbound || gap >= CROSSED_WITHIN)
        return is_newer(a, b);
    bool is_ours_kept = peer_id_compare(&a->peer->host->identity.id, &a->peer->id) < 0;
    return ca->inbound != is_ours_kept;
}

/* Whether a new stream goes over `x` rather than over `y` (connection-lifecycle.md, "Duplicate
 * connections"). */
static bool is_better(const struct host_conn *x, const struct host_conn *y,
                      enum dial_preference prefer) {
    const struct conn *a = x->conn;
    const struct conn *b = y->conn;
    if (a->relayed != b->relayed)
        return !a->relayed;
    if (a->spliced != b->spliced)
        return a->spliced;
    if (a->limited != b->limited) /* which a direct one never is */
        return !a->limited;
    if (swarm_is_preferred(a, prefer) != swarm_is_preferred(b, prefer))
        return swarm_is_preferred(a, prefer);
    /* Not that with more streams, as in go: what still counts as one here may be over there, and
     * the connection be closed as idle while we open another. */
    return is_kept_before(x, y);
}

const struct host_conn *swarm_confirmed_conn(const struct peer *p, bool takes_suspects) {
    list_for_each (node, &p->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, struct host_conn, node);
        if (!hc->closing && hc->conn->confirmed && (takes_suspects || !swarm_is_suspect(hc)))
            return hc;
    }
    return NULL;
}

struct host_conn *swarm_best_conn(const struct peer *p, const struct conn_choice *choice) {
    struct host_conn *best = NULL;
    bool has_confirmed = swarm_confirmed_conn(p, true) != NULL;
    list_for_each (node, &p->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, node);
        if (hc->closing || hc->full || hc->tried ||
            (swarm_is_suspect(hc) && !choice->takes_suspects) ||
            (hc->conn->limited && !choice->takes_limited))
            continue;
        /* The first streams need not wait for that, but a further connection may well be refused,
         * and they have a way already. */
        if (has_confirmed && !hc->conn->confirmed)
            continue;
        if (best == NULL || is_better(hc, best, choice->prefer))
            best = hc;
    }
    return best;
}

bool swarm_room_may_come(const struct peer *p) {
    list_for_each (node, &p->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, const struct host_conn, node);
        if (!hc->closing && !hc->conn->confirmed && !swarm_is_suspect(hc))
            return true;
    }
    return false;
}

bool swarm_is_in_doubt(const struct peer *p) {
    bool has_streams = false;
    list_for_each (node, &p->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, const struct host_conn, node);
        if (!swarm_is_suspect(hc))
            return false;
        has_streams |= hc->conn->streams_count > 0;
    }
    return has_streams;
}

/* --- One too many --- */

/* Over QUIC and over TCP are two kinds, each good for something; a detour is good for nothing where
 * there is a direct way. */
static bool stands_in(const struct host_conn *hc, const struct host_conn *spare) {
    if (hc == spare || hc->closing || !hc->conn->confirmed || swarm_is_suspect(hc))
        return false;
    bool is_of_its_kind = is_over_quic(hc->conn) == is_over_quic(spare->conn);
    return (is_of_its_kind || spare->conn->relayed) && is_kept_before(hc, spare);
}

/* Since when nothing is on a connection of ours that another one stands in for; NSEC_NEVER: none
 * does.  It counts from when there are both: a new one is often the peer's next step behind a
 * stream that it has just opened on the old one. */
static nsec_t spare_since(const struct host_conn *hc, nsec_t now) {
    nsec_t since = NSEC_NEVER;
    if (hc->closing || hc->conn->inbound)
        return NSEC_NEVER;
    list_for_each (node, &hc->peer->conns) {
        const struct host_conn *other = LIST_ENTRY(node, const struct host_conn, node);
        if (stands_in(other, hc))
            since = MIN(since, other->conn->opened_at);
    }
    if (since == NSEC_NEVER)
        return NSEC_NEVER;
    return MAX(since, hc->conn->streams_count > 0 ? now : hc->conn->idle_since);
}

struct host_conn *swarm_spare_conn(const struct peer *p, nsec_t *ret_again) {
    nsec_t now = reactor_now(p->host->reactor);
    nsec_t again = NSEC_NEVER;
    list_for_each (node, &p->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, node);
        nsec_t since = spare_since(hc, now);
        if (since == NSEC_NEVER)
            continue;
        if (now >= since + HOST_SPARE_AFTER)
            return hc;
        again = MIN(again, since + HOST_SPARE_AFTER);
    }
    *ret_again = again;
    return NULL;
}

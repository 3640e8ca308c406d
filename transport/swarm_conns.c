/* SPDX-License-Identifier: MIT */
/* The connections that there are to a peer: which of them are sound, and which one takes a stream.
 * Rules without side effects; transport/swarm.c acts on them. */

#include "transport/host_internal.h"

static bool is_over_quic(const struct conn *c) {
    return multiaddr_has(&c->remote, MULTIADDR_QUIC_V1);
}

bool swarm_is_preferred(const struct conn *c, enum dial_preference prefer) {
    return prefer == DIAL_AUTO || is_over_quic(c) == (prefer == DIAL_QUIC);
}

static nsec_t suspect_at(const struct conn *c) {
    nsec_t since = c->ops->unanswered_since == NULL ? NSEC_NEVER : c->ops->unanswered_since(c);
    if (since == NSEC_NEVER)
        return NSEC_NEVER;
    return since + MAX(HOST_SUSPECT_AFTER, 3 * c->ops->rtt(c));
}

/* Where both sides dialled, there are two connections over UDP, and when it stops passing, the one
 * that carries nothing just then knows nothing of it.  (Over IPv4 and IPv6, perhaps, of which one
 * may still pass: a race tells.) */
static bool shares_silence(const struct conn *idle, const struct conn *silent) {
    return is_over_quic(idle) && is_over_quic(silent) &&
           idle->opened_at < silent->ops->unanswered_since(silent);
}

bool swarm_is_suspect(const struct host_conn *hc) {
    nsec_t now = reactor_now(hc->peer->host->reactor);
    if (suspect_at(hc->conn) <= now)
        return true;
    list_for_each (node, &hc->peer->conns) {
        const struct conn *other = LIST_ENTRY(node, const struct host_conn, node)->conn;
        if (suspect_at(other) <= now && shares_silence(hc->conn, other))
            return true;
    }
    return false;
}

bool swarm_has_sound_conn(const struct peer *p) {
    list_for_each (node, &p->conns) {
        if (!swarm_is_suspect(LIST_ENTRY(node, const struct host_conn, node)))
            return true;
    }
    return false;
}

/* Whether a new stream goes over `a` rather than over `b`, which is older (connection-lifecycle.md,
 * "Duplicate connections"). */
static bool conn_is_better(const struct conn *a, const struct conn *b,
                           enum dial_preference prefer) {
    if (a->limited != b->limited)
        return !a->limited;
    if (a->relayed != b->relayed)
        return !a->relayed;
    if (swarm_is_preferred(a, prefer) != swarm_is_preferred(b, prefer))
        return swarm_is_preferred(a, prefer);
    return a->streams_count >= b->streams_count;
}

const struct host_conn *swarm_confirmed_conn(const struct peer *p, bool takes_suspects) {
    list_for_each (node, &p->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, struct host_conn, node);
        if (hc->conn->confirmed && (takes_suspects || !swarm_is_suspect(hc)))
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
            (swarm_is_suspect(hc) && !choice->takes_suspects))
            continue;
        /* The first streams need not wait for that, but a further connection may well be refused,
         * and they have a way already. */
        if (has_confirmed && !hc->conn->confirmed)
            continue;
        if (best == NULL || conn_is_better(hc->conn, best->conn, choice->prefer))
            best = hc;
    }
    return best;
}

bool swarm_room_may_come(const struct peer *p) {
    list_for_each (node, &p->conns) {
        const struct host_conn *hc = LIST_ENTRY(node, const struct host_conn, node);
        if (!hc->conn->confirmed && !swarm_is_suspect(hc))
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

/* SPDX-License-Identifier: MIT */
#include "relay/proto/autonat_client.h"

enum { CONFIRMATIONS_STABLE = 3 };

_Static_assert(AUTONAT_SERVERS_MAX <= 32, "a server has a bit in refused_by");

void autonat_client_init(struct autonat_client *c) {
    *c = (struct autonat_client){.tracked_count = 0};
}

/* --- what there is --------------------------------------------------------------------------- */

static struct autonat_tracked *find_addr(struct autonat_tracked *list, size_t count,
                                         const struct multiaddr *addr) {
    for (size_t i = 0; i < count; i++)
        if (multiaddr_equal(&list[i].addr, addr))
            return &list[i];
    return NULL;
}

static struct autonat_server_known *find_server(struct autonat_client *c,
                                                const struct peer_id *id) {
    for (size_t i = 0; i < c->servers_count; i++)
        if (peer_id_equal(&c->servers[i].id, id))
            return &c->servers[i];
    return NULL;
}

/* When a new address is asked about. */
static nsec_t admit_addr(struct autonat_client *c, nsec_t now) {
    nsec_t in_credit = now + AUTONAT_TRACKED_MAX * AUTONAT_ADDR_EVERY;
    nsec_t until = MAX(c->new_until, now) + AUTONAT_ADDR_EVERY;
    c->new_until = MIN(until, in_credit + AUTONAT_ADDR_WAIT_MAX);
    return c->new_until > in_credit ? now + (c->new_until - in_credit) : now;
}

void autonat_client_set_addrs(struct autonat_client *c, const struct multiaddr *addrs,
                              size_t addrs_count, nsec_t now) {
    struct autonat_tracked tracked[AUTONAT_TRACKED_MAX];
    size_t count = 0;
    for (size_t i = 0; i < addrs_count && count < AUTONAT_TRACKED_MAX; i++) {
        if (multiaddr_class(&addrs[i]) != MULTIADDR_PUBLIC || multiaddr_is_relayed(&addrs[i]) ||
            find_addr(tracked, count, &addrs[i]) != NULL)
            continue;
        const struct autonat_tracked *known = find_addr(c->tracked, c->tracked_count, &addrs[i]);
        if (known != NULL)
            tracked[count++] = *known;
        else
            tracked[count++] =
                (struct autonat_tracked){.addr = addrs[i], .next_at = admit_addr(c, now)};
    }
    memcpy(c->tracked, tracked, count * sizeof(*tracked));
    c->tracked_count = count;
}

void autonat_client_server_added(struct autonat_client *c, const struct peer_id *server,
                                 nsec_t now) {
    if (c->servers_count == AUTONAT_SERVERS_MAX || find_server(c, server) != NULL)
        return;
    c->servers[c->servers_count++] = (struct autonat_server_known){.id = *server, .ready_at = now};
}

/* Whether that server said so of this address. */
static bool is_refused_by(const struct autonat_tracked *t, size_t server) {
    return (t->refused_by & UINT32_C(1) << server) != 0;
}

static void set_refused_by(struct autonat_tracked *t, size_t server, bool is_refused) {
    uint32_t bit = UINT32_C(1) << server;
    t->refused_by = is_refused ? t->refused_by | bit : t->refused_by & ~bit;
}

static void forget_refusals(struct autonat_client *c, size_t server) {
    c->servers[server].forget_at = 0;
    for (size_t i = 0; i < c->tracked_count; i++)
        set_refused_by(&c->tracked[i], server, false);
}

static bool forget_denials(struct autonat_client *c) {
    bool changed = false;
    for (size_t i = 0; i < c->tracked_count; i++) {
        struct autonat_tracked *t = &c->tracked[i];
        if (t->reach != AUTONAT_REACH_PRIVATE)
            continue;
        t->reach = AUTONAT_REACH_UNKNOWN;
        t->confidence = 0;
        t->confirmations = 0;
        t->next_at = 0; /* whoever comes next */
        changed = true;
    }
    return changed;
}

/* The last one takes its place. */
bool autonat_client_server_gone(struct autonat_client *c, const struct peer_id *server) {
    const struct autonat_server_known *s = find_server(c, server);
    if (s == NULL)
        return false;
    size_t place = (size_t)(s - c->servers);
    size_t last = --c->servers_count;
    c->servers[place] = c->servers[last];
    for (size_t i = 0; i < c->tracked_count; i++) {
        struct autonat_tracked *t = &c->tracked[i];
        set_refused_by(t, place, is_refused_by(t, last));
        set_refused_by(t, last, false);
    }
    return c->servers_count == 0 && forget_denials(c);
}

/* --- probes ---------------------------------------------------------------------------------- */

/* What this server may be asked about and that waits longest; NULL: nothing. */
static struct autonat_tracked *first_for(struct autonat_client *c, size_t server) {
    struct autonat_tracked *first = NULL;
    for (size_t i = 0; i < c->tracked_count; i++) {
        struct autonat_tracked *t = &c->tracked[i];
        if (!t->is_asked && !is_refused_by(t, server) &&
            (first == NULL || t->next_at < first->next_at))
            first = t;
    }
    return first;
}

/* Of those that may be asked something now, the server that rests longest; NULL: there is none. */
static struct autonat_server_known *best_server(struct autonat_client *c, nsec_t now) {
    struct autonat_server_known *best = NULL;
    for (size_t i = 0; i < c->servers_count; i++) {
        struct autonat_server_known *s = &c->servers[i];
        const struct autonat_tracked *t = first_for(c, i);
        if (!s->is_asked && s->ready_at <= now && t != NULL && t->next_at <= now &&
            (best == NULL || s->ready_at < best->ready_at))
            best = s;
    }
    return best;
}

/* All that are due go into one request: a server takes the first that it can dial, so those that
 * wait longest come first. */
static void collect_due(struct autonat_client *c, size_t server, struct autonat_plan *plan,
                        nsec_t now) {
    while (plan->addrs_count < AUTONAT_ADDRS_MAX) {
        struct autonat_tracked *first = first_for(c, server);
        if (first == NULL || first->next_at > now)
            break;
        first->is_asked = true;
        plan->addrs[plan->addrs_count++] = first->addr;
    }
}

bool autonat_client_next(struct autonat_client *c, struct autonat_plan *ret_plan, nsec_t now) {
    for (size_t i = 0; i < c->servers_count; i++) {
        if (c->servers[i].forget_at != 0 && c->servers[i].forget_at <= now)
            forget_refusals(c, i);
    }
    struct autonat_server_known *s = best_server(c, now);
    if (c->probes_count == AUTONAT_PROBES_MAX || s == NULL)
        return false;
    struct autonat_plan plan = {.server = s->id};
    collect_due(c, (size_t)(s - c->servers), &plan, now);
    assert(plan.addrs_count > 0);
    s->is_asked = true;
    c->probes_count++;
    *ret_plan = plan;
    return true;
}

static enum autonat_reach reach_of(const struct autonat_tracked *t) {
    if (t->confidence >= AUTONAT_CONFIDENCE_MIN)
        return AUTONAT_REACH_PUBLIC;
    if (t->confidence <= -AUTONAT_CONFIDENCE_MIN)
        return AUTONAT_REACH_PRIVATE;
    bool keeps = (t->reach == AUTONAT_REACH_PUBLIC && t->confidence > 0) ||
                 (t->reach == AUTONAT_REACH_PRIVATE && t->confidence < 0);
    return keeps ? (enum autonat_reach)t->reach : AUTONAT_REACH_UNKNOWN;
}

static nsec_t interval_of(const struct autonat_tracked *t) {
    if (t->confirmations == CONFIRMATIONS_STABLE)
        return AUTONAT_STABLE_INTERVAL;
    bool is_sure =
        t->confidence == AUTONAT_CONFIDENCE_MAX || t->confidence == -AUTONAT_CONFIDENCE_MAX;
    return is_sure ? AUTONAT_REFRESH_INTERVAL : AUTONAT_NEW_INTERVAL;
}

static bool learn(struct autonat_tracked *t, bool is_reachable, nsec_t now) {
    int limit = is_reachable ? AUTONAT_CONFIDENCE_MAX : -AUTONAT_CONFIDENCE_MAX;
    if (t->confidence == limit) {
        t->confirmations = (uint8_t)MIN(t->confirmations + 1, CONFIRMATIONS_STABLE);
    } else {
        t->confirmations = 0;
        t->confidence = (int8_t)(t->confidence + (is_reachable ? 1 : -1));
    }
    t->next_at = now + interval_of(t);
    enum autonat_reach before = (enum autonat_reach)t->reach;
    t->reach = (uint8_t)reach_of(t);
    return t->reach != before;
}

static void server_done(struct autonat_client *c, const struct autonat_plan *plan,
                        enum autonat_verdict verdict, nsec_t now) {
    struct autonat_server_known *s = find_server(c, &plan->server);
    if (s == NULL)
        return;
    bool is_resting =
        verdict == AUTONAT_REJECTED || verdict == AUTONAT_FAILED || verdict == AUTONAT_NO_VERDICT;
    s->is_asked = false;
    s->ready_at = now + (is_resting ? AUTONAT_SERVER_REST : AUTONAT_SERVER_INTERVAL);
    if (verdict != AUTONAT_REFUSED)
        return;
    if (s->forget_at == 0) /* or each new one would put off what it refused before */
        s->forget_at = now + AUTONAT_REFRESH_INTERVAL;
    for (size_t i = 0; i < plan->addrs_count; i++) {
        struct autonat_tracked *t = find_addr(c->tracked, c->tracked_count, &plan->addrs[i]);
        if (t != NULL)
            set_refused_by(t, (size_t)(s - c->servers), true);
    }
}

bool autonat_client_done(struct autonat_client *c, const struct autonat_plan *plan,
                         const struct autonat_result *result, nsec_t now) {
    assert(c->probes_count > 0);
    c->probes_count--;
    enum autonat_verdict verdict = result->verdict;
    bool changed = false;
    for (size_t i = 0; i < plan->addrs_count; i++) {
        struct autonat_tracked *t = find_addr(c->tracked, c->tracked_count, &plan->addrs[i]);
        if (t == NULL)
            continue; /* no longer ours */
        t->is_asked = false;
        if (i == result->index && verdict == AUTONAT_NO_VERDICT)
            t->next_at = now + AUTONAT_NEW_INTERVAL;
        else if (i == result->index &&
                 (verdict == AUTONAT_REACHABLE || verdict == AUTONAT_UNREACHABLE))
            changed = learn(t, verdict == AUTONAT_REACHABLE, now);
    }
    server_done(c, plan, verdict, now);
    return changed;
}

enum autonat_reach autonat_client_reach(const struct autonat_client *c,
                                        const struct multiaddr *addr) {
    for (size_t i = 0; i < c->tracked_count; i++)
        if (multiaddr_equal(&c->tracked[i].addr, addr))
            return (enum autonat_reach)c->tracked[i].reach;
    return AUTONAT_REACH_UNKNOWN;
}

/* When this server may be asked something. */
static nsec_t server_deadline(const struct autonat_client *c, size_t server) {
    const struct autonat_server_known *s = &c->servers[server];
    nsec_t at = NSEC_NEVER; /* the largest */
    if (s->is_asked)
        return NSEC_NEVER;
    for (size_t i = 0; i < c->tracked_count; i++) {
        const struct autonat_tracked *t = &c->tracked[i];
        if (!t->is_asked)
            at = MIN(at, is_refused_by(t, server) ? MAX(t->next_at, s->forget_at) : t->next_at);
    }
    return MAX(at, s->ready_at);
}

nsec_t autonat_client_deadline(const struct autonat_client *c) {
    nsec_t at = NSEC_NEVER;
    if (c->probes_count == AUTONAT_PROBES_MAX)
        return NSEC_NEVER;
    for (size_t i = 0; i < c->servers_count; i++)
        at = MIN(at, server_deadline(c, i));
    return at;
}

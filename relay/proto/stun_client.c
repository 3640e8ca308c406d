/* SPDX-License-Identifier: MIT */
#include "relay/proto/stun_client.h"

#include "core/base/rng.h"

#define RETRY_FIRST SEC(1)

static void set_now(struct stun_client *c, nsec_t now) {
    assert(now >= c->now);
    c->now = now;
}

static void add_probe(struct stun_client *c, const struct net_addr *to) {
    if (c->probes_count == STUN_PROBES_MAX || to->port == 0)
        return;
    for (size_t i = 0; i < c->probes_count; i++)
        if (net_addr_equal(&c->probes[i].to, to))
            return;
    struct stun_probe *p = &c->probes[c->probes_count++];
    *p = (struct stun_probe){.to = *to, .state = STUN_ASKING, .next_at = c->now};
    rng_fill(c->rng, p->txid, sizeof(p->txid));
}

void stun_client_init(struct stun_client *c, enum net_family family, const struct net_addr *servers,
                      size_t servers_count, struct rng *rng, nsec_t now) {
    *c = (struct stun_client){.rng = rng, .now = now};
    for (size_t i = 0; i < servers_count; i++)
        if (servers[i].family == family)
            add_probe(c, &servers[i]);
}

/* When a probe acts next: not before the host of its server may be asked again. */
static nsec_t due_at(const struct stun_client *c, const struct stun_probe *p) {
    if (p->state != STUN_ASKING)
        return NSEC_NEVER;
    if (p->sends_count == STUN_SENDS_MAX)
        return p->next_at;
    nsec_t at = p->next_at;
    for (size_t i = 0; i < c->probes_count; i++) {
        const struct stun_probe *other = &c->probes[i];
        if (other->sends_count > 0 && net_addr_ip_equal(&other->to, &p->to))
            at = MAX(at, other->sent_at + STUN_HOST_INTERVAL);
    }
    return at;
}

bool stun_client_next_send(struct stun_client *c, struct net_addr *ret_to,
                           uint8_t ret_out[STUN_REQUEST_BYTES], nsec_t now) {
    set_now(c, now);
    for (size_t i = 0; i < c->probes_count; i++) {
        struct stun_probe *p = &c->probes[i];
        if (p->sends_count == STUN_SENDS_MAX || now < due_at(c, p))
            continue;
        p->next_at = now + (RETRY_FIRST << p->sends_count);
        p->sent_at = now;
        p->sends_count++;
        *ret_to = p->to;
        stun_encode_request(p->txid, ret_out);
        return true;
    }
    return false;
}

static struct stun_probe *find(struct stun_client *c, const struct net_addr *from,
                               const struct stun_msg *m) {
    for (size_t i = 0; i < c->probes_count; i++) {
        struct stun_probe *p = &c->probes[i];
        if (p->state == STUN_ASKING && p->sends_count > 0 && net_addr_equal(&p->to, from) &&
            memcmp(p->txid, m->txid, sizeof(p->txid)) == 0)
            return p;
    }
    return NULL;
}

bool stun_client_recv(struct stun_client *c, const struct net_addr *from, struct bytes datagram,
                      nsec_t now) {
    set_now(c, now);
    struct stun_msg m;
    if (stun_decode(datagram, &m) < 0 || m.unknown_count > 0)
        return false;
    struct stun_probe *p = find(c, from, &m);
    if (p == NULL)
        return false;
    if (m.type == STUN_BINDING_ERROR) {
        p->state = STUN_GIVEN_UP;
        return true;
    }
    if (m.type != STUN_BINDING_SUCCESS || m.mapped.family != from->family)
        return false;
    p->state = STUN_ANSWERED;
    p->mapped = m.mapped;
    if (m.other.family != NET_NONE) {
        struct net_addr other = *from;
        other.port = m.other.port;
        add_probe(c, &other);
    }
    return true;
}

nsec_t stun_client_deadline(const struct stun_client *c) {
    nsec_t at = NSEC_NEVER;
    for (size_t i = 0; i < c->probes_count; i++)
        at = MIN(at, due_at(c, &c->probes[i]));
    return at;
}

void stun_client_tick(struct stun_client *c, nsec_t now) {
    set_now(c, now);
    for (size_t i = 0; i < c->probes_count; i++) {
        struct stun_probe *p = &c->probes[i];
        if (p->state == STUN_ASKING && p->sends_count == STUN_SENDS_MAX && now >= p->next_at)
            p->state = STUN_GIVEN_UP;
    }
}

bool stun_client_is_over(const struct stun_client *c) {
    return stun_client_deadline(c) == NSEC_NEVER;
}

/* --- verdict --------------------------------------------------------------------------------- */

static bool is_among(const struct net_addr *a, const struct net_addr *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (net_addr_ip_equal(a, &list[i]) && a->port == list[i].port)
            return true;
    return false;
}

/* Whether an earlier probe of the same host counted. */
static bool is_host_known(const struct stun_probe *const *counted, size_t count,
                          const struct stun_probe *p) {
    for (size_t i = 0; i < count; i++)
        if (net_addr_ip_equal(&counted[i]->to, &p->to))
            return true;
    return false;
}

/* The verdict of answers that came through the same NATs; there is at least one. */
static void judge(const struct stun_probe *const *counted, size_t count,
                  struct stun_result *ret_result) {
    struct stun_result r = {.external = counted[0]->mapped, .answers_count = count};
    bool is_same = true;
    for (size_t i = 0; i < count; i++) {
        is_same = is_same && net_addr_equal(&counted[i]->mapped, &r.external);
        r.hosts_count += !is_host_known(counted, i, counted[i]);
    }
    if (!is_same)
        r.type = NAT_SYMMETRIC;
    else
        r.type = count < 2 ? NAT_UNKNOWN : NAT_ADDRESS_RESTRICTED;
    *ret_result = r;
}

/* Whether an answer came through a NAT. */
static bool is_mapped(const struct stun_probe *p, const struct net_addr *local,
                      size_t local_count) {
    return p->state == STUN_ANSWERED && !is_among(&p->mapped, local, local_count);
}

void stun_client_result(const struct stun_client *c, const struct net_addr *local,
                        size_t local_count, struct stun_result *ret_result) {
    const struct stun_probe *counted[STUN_PROBES_MAX];
    size_t count = 0;
    bool is_any_mapped = false;
    bool is_any_public = false;
    for (size_t i = 0; i < c->probes_count; i++) {
        const struct stun_probe *p = &c->probes[i];
        bool is_this_mapped = is_mapped(p, local, local_count);
        is_any_mapped = is_any_mapped || is_this_mapped;
        is_any_public = is_any_public || (is_this_mapped && net_addr_is_public(&p->mapped));
    }
    for (size_t i = 0; i < c->probes_count; i++) {
        const struct stun_probe *p = &c->probes[i];
        bool is_public = p->state == STUN_ANSWERED && net_addr_is_public(&p->mapped);
        bool is_of_use = is_any_mapped ? is_mapped(p, local, local_count) : is_public;
        if (is_of_use && (is_public || !is_any_public))
            counted[count++] = p;
    }
    *ret_result = (struct stun_result){.type = NAT_UNKNOWN, .external = {.family = NET_NONE}};
    if (count == 0)
        return;
    judge(counted, count, ret_result);
    if (!is_any_mapped)
        ret_result->type = NAT_NONE;
}

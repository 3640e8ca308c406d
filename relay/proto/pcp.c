/* SPDX-License-Identifier: MIT */
#include "relay/proto/pcp.h"

#include "core/base/rng.h"

#define PCP_RETRY_FIRST    SEC(3)    /* RFC 6887: IRT */
#define NATPMP_RETRY_FIRST MSEC(250) /* RFC 6886, section 3.1 */
#define NATPMP_REFUSED     SEC(300)  /* its errors have no lifetime */
#define REBORN_WAIT_MIN    SEC(2)
#define REBORN_WAIT_SPREAD SEC(3)

enum {
    PCP_SENDS_MAX = 3,
    NATPMP_SENDS_MAX = 6,
    JITTER_PERMILLE = 200, /* RFC 6887: a factor of 0.9 to 1.1 */

    /* A shorter lifetime would have us renew all the time, a longer one is nobody's intention. */
    LIFETIME_MIN_S = 60,
    LIFETIME_MAX_S = 86400,
    ERROR_MIN_S = 30, /* RFC 6887: the usual lifetimes of errors */
    ERROR_MAX_S = 1800,

    EPOCH_SLACK_S = 2,
    PCP_EPOCH_SHARE = 16, /* clocks may differ by so much of the time between */
    NATPMP_EPOCH_SHARE = 8,
};

static void set_now(struct pcp *p, nsec_t now) {
    assert(now >= p->now);
    p->now = now;
}

static struct pcp_try after(const struct pcp *p, nsec_t wait) {
    return (struct pcp_try){.at = p->now + wait};
}

static bool is_wanted(const struct pcp_mapping *m) {
    return m->state == PCP_UNMAPPED || m->state == PCP_MAPPED;
}

static void ask_all(struct pcp *p, nsec_t wait) {
    p->address_next = after(p, wait);
    for (size_t i = 0; i < p->mappings_count; i++)
        if (is_wanted(&p->mappings[i]))
            p->mappings[i].next = after(p, wait);
}

static void mapped(struct pcp_mapping *m, bool is_new) {
    m->state = PCP_MAPPED;
    if (is_new) {
        m->has_event = true;
        m->error = 0;
    }
}

/* Told once; silent while it stays so. */
static void unmapped(struct pcp_mapping *m, int error) {
    if (m->state == PCP_UNMAPPED && m->error == error)
        return;
    m->state = PCP_UNMAPPED;
    m->has_event = true;
    m->error = error;
}

void pcp_init(struct pcp *p, const struct net_addr *client, struct rng *rng, nsec_t now) {
    assert(client->family != NET_NONE);
    *p = (struct pcp){
        .rng = rng,
        .client = *client,
        .protocol = PCP_SPEAKS_PCP,
        .epoch_at = NSEC_NEVER,
        .address = {.family = NET_NONE},
        .now = now,
    };
}

size_t pcp_add(struct pcp *p, bool is_tcp, uint16_t internal_port, nsec_t now) {
    set_now(p, now);
    assert(p->mappings_count < PCP_MAPPINGS_MAX);
    assert(internal_port != 0);
    struct pcp_mapping *m = &p->mappings[p->mappings_count];
    *m = (struct pcp_mapping){
        .next = after(p, 0),
        .external = {.family = NET_NONE, .port = internal_port},
        .internal_port = internal_port,
        .is_tcp = is_tcp,
        .state = PCP_UNMAPPED,
    };
    rng_fill(p->rng, m->nonce, sizeof(m->nonce));
    if (p->is_resting)
        unmapped(m, -ETIMEDOUT);
    return p->mappings_count++;
}

void pcp_close(struct pcp *p, nsec_t now) {
    set_now(p, now);
    p->is_resting = false;
    for (size_t i = 0; i < p->mappings_count; i++) {
        struct pcp_mapping *m = &p->mappings[i];
        m->has_event = false;
        m->state = m->state == PCP_MAPPED ? PCP_REMOVING : PCP_REMOVED;
        m->next = after(p, 0);
    }
}

/* --- events ---------------------------------------------------------------------------------- */

/* An external address of a mapping: NAT-PMP gives it in two answers. */
static struct net_addr external_of(const struct pcp *p, const struct pcp_mapping *m) {
    struct net_addr external = m->external;
    if (p->protocol == PCP_SPEAKS_NATPMP) {
        external = p->address;
        external.port = m->external.port;
    }
    return external;
}

bool pcp_next_event(struct pcp *p, struct pcp_event *ret_event) {
    for (size_t i = 0; i < p->mappings_count; i++) {
        struct pcp_mapping *m = &p->mappings[i];
        if (!m->has_event || (m->error == 0 && external_of(p, m).family == NET_NONE))
            continue; /* its address is still to come */
        m->has_event = false;
        *ret_event = (struct pcp_event){.mapping = i, .error = m->error};
        if (m->error == 0)
            ret_event->external = external_of(p, m);
        return true;
    }
    return false;
}

/* --- sending --------------------------------------------------------------------------------- */

static unsigned sends_max(const struct pcp *p) {
    return p->protocol == PCP_SPEAKS_PCP ? PCP_SENDS_MAX : NATPMP_SENDS_MAX;
}

/* Counts a packet and says when the next one would go, or when it is given up. */
static void sent(struct pcp *p, struct pcp_try *t) {
    if (p->protocol == PCP_SPEAKS_PCP) {
        nsec_t wait = PCP_RETRY_FIRST << t->sends_count;
        t->at = p->now +
                wait / 1000 * (1000 - JITTER_PERMILLE / 2 + rng_below(p->rng, JITTER_PERMILLE + 1));
    } else {
        t->at = p->now + (NATPMP_RETRY_FIRST << t->sends_count);
    }
    t->sends_count++;
}

static size_t encode_map(const struct pcp *p, const struct pcp_mapping *m, uint8_t *out) {
    bool is_removing = m->state == PCP_REMOVING;
    uint32_t lifetime_s = is_removing ? 0 : PCP_LIFETIME_S;
    if (p->protocol == PCP_SPEAKS_NATPMP) {
        natpmp_encode_map(m->is_tcp, m->internal_port, is_removing ? 0 : m->external.port,
                          lifetime_s, out);
        return NATPMP_MAP_REQUEST_BYTES;
    }
    struct pcp_map_request request = {
        .client = p->client,
        .is_tcp = m->is_tcp,
        .internal_port = m->internal_port,
        .external = m->external,
        .lifetime_s = lifetime_s,
    };
    if (request.external.family == NET_NONE) {
        request.external = (struct net_addr){.family = p->client.family};
        request.external.port = m->external.port;
    }
    memcpy(request.nonce, m->nonce, sizeof(request.nonce));
    pcp_encode_map(&request, out);
    return PCP_REQUEST_BYTES;
}

static bool is_due(const struct pcp *p, const struct pcp_try *t) {
    return p->now >= t->at && t->sends_count < sends_max(p);
}

static bool is_address_wanted(const struct pcp *p) {
    if (p->protocol != PCP_SPEAKS_NATPMP)
        return false;
    for (size_t i = 0; i < p->mappings_count; i++)
        if (is_wanted(&p->mappings[i]))
            return true;
    return false;
}

bool pcp_next_send(struct pcp *p, uint8_t ret_out[PCP_OUT_MAX], size_t *ret_len, nsec_t now) {
    set_now(p, now);
    if (p->is_resting)
        return false;
    if (is_address_wanted(p) && is_due(p, &p->address_next)) {
        sent(p, &p->address_next);
        natpmp_encode_address(ret_out);
        *ret_len = NATPMP_ADDRESS_REQUEST_BYTES;
        return true;
    }
    for (size_t i = 0; i < p->mappings_count; i++) {
        struct pcp_mapping *m = &p->mappings[i];
        if (m->state == PCP_REMOVED || !is_due(p, &m->next))
            continue;
        sent(p, &m->next);
        *ret_len = encode_map(p, m, ret_out);
        if (m->state == PCP_REMOVING)
            m->state = PCP_REMOVED;
        return true;
    }
    return false;
}

/* --- answers --------------------------------------------------------------------------------- */

/* RFC 6887, section 8.5, and the looser RFC 6886, section 3.6: whether the gateway's clock ran on
 * since it was last heard. */
static bool is_epoch_right(const struct pcp *p, uint32_t epoch_s) {
    if (p->epoch_at == NSEC_NEVER)
        return true;
    uint64_t ours = (p->now - p->epoch_at) / SEC(1);
    if ((uint64_t)epoch_s + 1 < p->epoch_s)
        return false;
    uint64_t theirs = epoch_s < p->epoch_s ? 0 : epoch_s - p->epoch_s;
    if (p->protocol == PCP_SPEAKS_NATPMP)
        return theirs + EPOCH_SLACK_S >= ours - ours / NATPMP_EPOCH_SHARE;
    return theirs + EPOCH_SLACK_S >= ours - ours / PCP_EPOCH_SHARE &&
           ours + EPOCH_SLACK_S >= theirs - theirs / PCP_EPOCH_SHARE;
}

static void take_epoch(struct pcp *p, uint32_t epoch_s) {
    bool is_right = is_epoch_right(p, epoch_s);
    p->is_heard = true;
    p->epoch_s = epoch_s;
    p->epoch_at = p->now;
    /* Not at once: so a gateway that is out of its mind cannot have us ask for ever, and one that
     * all its clients notice has time (RFC 6887, section 8.5). */
    if (!is_right)
        ask_all(p, REBORN_WAIT_MIN + rng_below(p->rng, REBORN_WAIT_SPREAD));
}

static void renew_later(struct pcp *p, struct pcp_mapping *m, uint32_t lifetime_s) {
    lifetime_s = MAX(lifetime_s, (uint32_t)LIFETIME_MIN_S);
    nsec_t lifetime = SEC(MIN(lifetime_s, (uint32_t)LIFETIME_MAX_S));
    m->expires_at = p->now + lifetime;
    m->next = after(p, lifetime / 2 + rng_below(p->rng, lifetime / 8));
}

static void refused(struct pcp *p, struct pcp_mapping *m, nsec_t rest) {
    unmapped(m, -EACCES);
    m->next = after(p, rest);
}

static void speak_natpmp(struct pcp *p) {
    p->protocol = PCP_SPEAKS_NATPMP;
    p->is_heard = false;
    p->epoch_at = NSEC_NEVER;
    ask_all(p, 0);
}

static void speak_pcp(struct pcp *p) {
    p->protocol = PCP_SPEAKS_PCP;
    p->is_heard = false;
    p->epoch_at = NSEC_NEVER;
    ask_all(p, 0);
}

static void be_silent(struct pcp *p) {
    p->is_resting = true;
    p->rest_until = p->now + PCP_SILENT_REST;
    for (size_t i = 0; i < p->mappings_count; i++)
        if (p->mappings[i].state == PCP_UNMAPPED)
            unmapped(&p->mappings[i], -ETIMEDOUT);
}

void pcp_ask_again(struct pcp *p, nsec_t now) {
    set_now(p, now);
    if (p->is_resting) {
        p->is_resting = false;
        speak_pcp(p);
    } else {
        ask_all(p, 0);
    }
}

/* The gateway does not know PCP. */
static void fall_back(struct pcp *p) {
    if (p->client.family == NET_IP4)
        speak_natpmp(p);
    else
        be_silent(p); /* NAT-PMP has no IPv6 */
}

/* A mapping that was asked for and is still wanted. */
static bool awaits(const struct pcp_mapping *m, bool is_tcp, uint16_t internal_port) {
    return is_wanted(m) && m->next.sends_count > 0 && m->is_tcp == is_tcp &&
           m->internal_port == internal_port;
}

static void recv_pcp(struct pcp *p, struct bytes datagram) {
    struct pcp_map_response r;
    if (pcp_decode_map(datagram, &r) < 0)
        return;
    if (r.result == PCP_UNSUPP_VERSION) {
        if (!p->is_heard)
            fall_back(p);
        return;
    }
    for (size_t i = 0; i < p->mappings_count; i++) {
        struct pcp_mapping *m = &p->mappings[i];
        if (!awaits(m, r.is_tcp, r.internal_port) ||
            memcmp(m->nonce, r.nonce, sizeof(m->nonce)) != 0)
            continue;
        take_epoch(p, r.epoch_s);
        bool is_usable = r.external.port != 0 && !net_addr_is_unspecified(&r.external);
        if (r.result != PCP_SUCCESS || r.lifetime_s == 0 || !is_usable) {
            uint32_t rest_s = MAX(r.lifetime_s, (uint32_t)ERROR_MIN_S);
            refused(p, m, SEC(MIN(rest_s, (uint32_t)ERROR_MAX_S)));
            return;
        }
        bool is_new = m->state != PCP_MAPPED || !net_addr_equal(&m->external, &r.external);
        m->external = r.external;
        renew_later(p, m, r.lifetime_s);
        mapped(m, is_new);
        return;
    }
}

static void take_address(struct pcp *p, const struct natpmp_response *r) {
    if (p->address_next.sends_count == 0)
        return; /* nobody asked */
    take_epoch(p, r->epoch_s);
    /* Asked again with the next mapping that is renewed. */
    p->address_next = (struct pcp_try){.at = NSEC_NEVER};
    if (r->result != 0 || net_addr_is_unspecified(&r->external)) {
        p->address_next = after(p, NATPMP_REFUSED);
        return;
    }
    bool is_new = p->address.family == NET_NONE || !net_addr_ip_equal(&p->address, &r->external);
    p->address = r->external;
    for (size_t i = 0; i < p->mappings_count; i++)
        if (p->mappings[i].state == PCP_MAPPED)
            mapped(&p->mappings[i], is_new);
}

static void recv_natpmp(struct pcp *p, struct bytes datagram) {
    struct natpmp_response r;
    if (natpmp_decode(datagram, &r) < 0)
        return;
    if (r.result == PCP_UNSUPP_VERSION) /* a late answer to another request of PCP's */
        return;
    if (r.op == NATPMP_ADDRESS) {
        take_address(p, &r);
        return;
    }
    for (size_t i = 0; i < p->mappings_count; i++) {
        struct pcp_mapping *m = &p->mappings[i];
        if (!awaits(m, r.op == NATPMP_MAP_TCP, r.internal_port))
            continue;
        take_epoch(p, r.epoch_s);
        if (r.result != 0 || r.lifetime_s == 0 || r.external_port == 0) {
            refused(p, m, NATPMP_REFUSED);
            return;
        }
        bool is_renewal = m->state == PCP_MAPPED;
        bool is_new = !is_renewal || m->external.port != r.external_port;
        m->external = (struct net_addr){.family = NET_NONE, .port = r.external_port};
        renew_later(p, m, r.lifetime_s);
        mapped(m, is_new);
        if (is_renewal && p->address_next.at == NSEC_NEVER)
            p->address_next = after(p, 0);
        return;
    }
}

void pcp_recv(struct pcp *p, struct bytes datagram, nsec_t now) {
    set_now(p, now);
    if (datagram.len == 0 || p->is_resting)
        return;
    bool is_natpmp = datagram.data[0] == NATPMP_VERSION;
    if (p->protocol == PCP_SPEAKS_NATPMP && is_natpmp)
        recv_natpmp(p, datagram);
    else if (p->protocol == PCP_SPEAKS_PCP && !is_natpmp)
        recv_pcp(p, datagram);
    else if (p->protocol == PCP_SPEAKS_PCP && !p->is_heard)
        fall_back(p); /* so an old gateway answers a version that it does not know */
}

/* --- time ------------------------------------------------------------------------------------ */

static bool is_given_up(const struct pcp *p, const struct pcp_try *t) {
    return t->sends_count == sends_max(p) && p->now >= t->at;
}

static bool is_silent(const struct pcp *p) {
    if (is_address_wanted(p) && is_given_up(p, &p->address_next))
        return true;
    for (size_t i = 0; i < p->mappings_count; i++)
        if (is_wanted(&p->mappings[i]) && is_given_up(p, &p->mappings[i].next))
            return true;
    return false;
}

void pcp_tick(struct pcp *p, nsec_t now) {
    set_now(p, now);
    for (size_t i = 0; i < p->mappings_count; i++) {
        struct pcp_mapping *m = &p->mappings[i];
        if (m->state == PCP_MAPPED && now >= m->expires_at)
            unmapped(m, -ETIMEDOUT);
    }
    if (p->is_resting) {
        if (now < p->rest_until)
            return;
        p->is_resting = false;
        speak_pcp(p);
    } else if (is_silent(p)) {
        if (p->protocol == PCP_SPEAKS_PCP && !p->is_heard)
            fall_back(p);
        else
            be_silent(p);
    }
}

nsec_t pcp_deadline(const struct pcp *p) {
    nsec_t at = NSEC_NEVER;
    if (p->is_resting)
        at = p->rest_until;
    else if (is_address_wanted(p))
        at = p->address_next.at;
    for (size_t i = 0; i < p->mappings_count; i++) {
        const struct pcp_mapping *m = &p->mappings[i];
        if (m->state != PCP_REMOVED && !p->is_resting)
            at = MIN(at, m->next.at);
        if (m->state == PCP_MAPPED)
            at = MIN(at, m->expires_at);
    }
    return at;
}

/* SPDX-License-Identifier: MIT */
#include "tests/sim/nat.h"

#include <string.h>

enum {
    PORT_FIRST = 1024,
    PORTS_COUNT_DEFAULT = 65536 - PORT_FIRST,
    SESSIONS_MAX_DEFAULT = 4096,
    INSIDE_FIRST = 2,
    PPM = 1000000,
};

/* RFC 4787 REQ-5, its recommended value, and RFC 5382 REQ-5. */
#define UDP_TIMEOUT            SEC(300)
#define TCP_TRANSITORY_TIMEOUT SEC(240)
#define TCP_TIMEOUT            SEC(7440)

/* Bits of a session, for directions. */
enum { OUTWARDS = 1, INWARDS = 2, BOTH_WAYS = 3 };

struct mapping {
    struct list inside_node;
    struct list outside_node;
    struct list sessions; /* never empty for long */
    uint8_t proto;
    struct net_addr inside;
    struct net_addr outside;
    struct net_addr remote; /* of its first packet; how much of it counts, the kind says */
};

struct session {
    struct list node;
    struct net_addr remote;
    nsec_t expires;
    uint8_t proto;
    uint8_t acked; /* ways in which TCP_ACK went */
    uint8_t ended; /* and TCP_FIN, or, for both, TCP_RST */
};

static struct world *world_of(const struct sim_nat *n) {
    return n->box->net->world;
}

bool sim_nat_translates(const struct sim_nat *n, uint8_t family) {
    return family == NET_IP4 && !n->config.is_firewall;
}

static bool is_same(enum sim_nat_dependence how, const struct net_addr *a,
                    const struct net_addr *b) {
    switch (how) {
    case NAT_ADDRESS:
        return net_addr_ip_equal(a, b);
    case NAT_ADDRESS_PORT:
        return net_addr_equal(a, b);
    case NAT_INDEPENDENT:
    case NAT_DEPENDENCE_COUNT:
        break;
    }
    return true;
}

static void drop(struct sim_nat *n, struct packet *p, enum sim_nat_drop why) {
    static const char *const texts[NAT_DROP_COUNT] = {
        [NAT_DROP_BLOCKED] = "nat-blocked",
        [NAT_DROP_FILTERED] = "nat-filtered",
        [NAT_DROP_HAIRPIN] = "nat-hairpin",
        [NAT_DROP_FULL] = "nat-full",
    };
    n->drops[why]++;
    net_drop(n->box->net, p, texts[why]);
}

/* --- Sessions and mappings --- */

/* Those of its sessions that end at `until` or before, and itself with the last. */
static void forget(struct sim_nat *n, struct mapping *m, nsec_t until) {
    list_for_each_safe (node, &m->sessions) {
        struct session *s = LIST_ENTRY(node, struct session, node);
        if (s->expires > until)
            continue;
        list_remove(node);
        sim_free(s);
        n->sessions_count--;
    }
    if (list_is_empty(&m->sessions)) {
        list_remove(&m->inside_node);
        list_remove(&m->outside_node);
        sim_free(m);
    }
}

static struct mapping *mapping_by_inside(struct list *node) {
    return LIST_ENTRY(node, struct mapping, inside_node);
}

static struct mapping *mapping_by_outside(struct list *node) {
    return LIST_ENTRY(node, struct mapping, outside_node);
}

static void forget_all(struct sim_nat *n, nsec_t until) {
    for (size_t i = 0; i < NAT_BUCKETS; i++)
        list_for_each_safe (node, &n->by_inside[i])
            forget(n, mapping_by_inside(node), until);
}

/* Mappings with such a port, without what has timed out. */
static struct list *inside_bucket(struct sim_nat *n, uint16_t port) {
    struct list *bucket = &n->by_inside[port % NAT_BUCKETS];
    list_for_each_safe (node, bucket)
        forget(n, mapping_by_inside(node), world_of(n)->now);
    return bucket;
}

static struct list *outside_bucket(struct sim_nat *n, uint16_t port) {
    struct list *bucket = &n->by_outside[port % NAT_BUCKETS];
    list_for_each_safe (node, bucket)
        forget(n, mapping_by_outside(node), world_of(n)->now);
    return bucket;
}

static bool has_room(struct sim_nat *n) {
    if (n->sessions_count == n->config.sessions_max)
        forget_all(n, world_of(n)->now);
    return n->sessions_count < n->config.sessions_max;
}

static struct session *session_with(const struct mapping *m, const struct net_addr *remote) {
    list_for_each (node, &m->sessions) {
        struct session *s = LIST_ENTRY(node, struct session, node);
        if (net_addr_equal(&s->remote, remote))
            return s;
    }
    return NULL;
}

/* The session with a remote, or a new one; NULL: there is no room.  As long as no packet refreshes
 * a new one, it keeps the mapping no longer than the others do. */
static struct session *session_of(struct sim_nat *n, struct mapping *m,
                                  const struct net_addr *remote) {
    struct session *s = session_with(m, remote);
    if (s != NULL || !has_room(n))
        return s;
    s = sim_alloc(sizeof(*s));
    s->proto = m->proto;
    s->remote = *remote;
    list_for_each (node, &m->sessions)
        s->expires = MAX(s->expires, LIST_ENTRY(node, struct session, node)->expires);
    list_init(&s->node);
    list_push(&m->sessions, &s->node);
    n->sessions_count++;
    return s;
}

static nsec_t timeout_of(const struct sim_nat *n, const struct session *s) {
    if (s->proto == PROTO_UDP)
        return n->config.udp_timeout;
    if (s->acked == BOTH_WAYS && s->ended != BOTH_WAYS)
        return n->config.tcp_timeout;
    return n->config.tcp_transitory_timeout;
}

/* transitory -> established: both have acknowledged; -> transitory: both have ended, or one reset;
 * a SYN begins anew then. */
static void track_tcp(struct session *s, const struct packet *p, uint8_t way) {
    if ((p->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && s->ended == BOTH_WAYS)
        s->acked = s->ended = 0;
    if (p->flags & TCP_RST) {
        s->ended = BOTH_WAYS;
        return;
    }
    if (p->flags & TCP_FIN)
        s->ended |= way;
    if (p->flags & TCP_ACK)
        s->acked |= way;
}

static void pass(struct sim_nat *n, struct session *s, const struct packet *p, uint8_t way) {
    nsec_t before = timeout_of(n, s);
    if (p->proto == PROTO_TCP)
        track_tcp(s, p, way);
    nsec_t timeout = timeout_of(n, s);
    if (way == OUTWARDS || n->config.inbound_refreshes || timeout != before)
        s->expires = world_of(n)->now + timeout;
}

/* --- What a new mapping gets --- */

/* As `remote` tells mappings apart that share a port. */
static bool is_taken(struct sim_nat *n, enum net_proto proto, const struct net_addr *outside,
                     const struct net_addr *remote) {
    bool shared = n->config.ports == NAT_PORTS_SHARED;
    list_for_each (node, outside_bucket(n, outside->port)) {
        const struct mapping *m = mapping_by_outside(node);
        if (m->proto != proto || !net_addr_equal(&m->outside, outside))
            continue;
        if (!shared || is_same(n->config.mapping, &m->remote, remote) ||
            session_with(m, remote) != NULL)
            return true;
    }
    return false;
}

static bool choose_port(struct sim_nat *n, struct mapping *m) {
    enum sim_nat_ports how = n->config.ports;
    m->outside.port = m->inside.port;
    if ((how == NAT_PORTS_PRESERVED || how == NAT_PORTS_SHARED) &&
        !is_taken(n, m->proto, &m->outside, &m->remote))
        return true;
    uint32_t count = n->config.ports_count;
    uint32_t first = n->next_port;
    if (how != NAT_PORTS_SEQUENTIAL)
        first = (uint32_t)sim_rand_below(&n->rand, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (first + i) % count;
        m->outside.port = (uint16_t)(PORT_FIRST + at);
        if (is_taken(n, m->proto, &m->outside, &m->remote))
            continue;
        n->next_port = at + 1;
        return true;
    }
    return false;
}

/* RFC 4787 REQ-2: "paired", or not. */
static void choose_address(struct sim_nat *n, struct mapping *m) {
    uint64_t index = m->inside.ip[3];
    if (n->config.pools_arbitrarily)
        index = sim_rand_u64(&n->rand);
    m->outside = n->box->addrs[index % n->box->addrs_count];
}

/* NULL: no port is left. */
static struct mapping *mapping_new(struct sim_nat *n, const struct packet *p) {
    struct mapping *m = sim_alloc(sizeof(*m));
    m->proto = p->proto;
    m->inside = p->src;
    m->outside = p->src;
    m->remote = p->dst;
    if (sim_nat_translates(n, p->src.family)) {
        choose_address(n, m);
        if (!choose_port(n, m)) {
            sim_free(m);
            return NULL;
        }
    }
    list_init(&m->inside_node);
    list_init(&m->outside_node);
    list_init(&m->sessions);
    list_push(&n->by_inside[m->inside.port % NAT_BUCKETS], &m->inside_node);
    list_push(&n->by_outside[m->outside.port % NAT_BUCKETS], &m->outside_node);
    char texts[3][NET_ADDR_TEXT_MAX];
    world_trace(world_of(n), "box %u maps %s %s to %s for %s", n->box->index,
                m->proto == PROTO_UDP ? "udp" : "tcp", net_addr_format(&m->inside, texts[0]),
                net_addr_format(&m->outside, texts[1]), net_addr_format(&m->remote, texts[2]));
    return m;
}

/* --- Outwards --- */

/* By the mapping in which it has a session already, of two such the one that its kind says; or by
 * that one, or else a new one.  NULL: there is no room, or no port. */
static struct mapping *mapping_out(struct sim_nat *n, const struct packet *p) {
    struct mapping *found = NULL;
    struct mapping *asked = NULL;
    list_for_each (node, inside_bucket(n, p->src.port)) {
        struct mapping *m = mapping_by_inside(node);
        if (m->proto != p->proto || !net_addr_equal(&m->inside, &p->src))
            continue;
        bool is_its_kind = is_same(n->config.mapping, &m->remote, &p->dst);
        bool has_session = session_with(m, &p->dst) != NULL;
        if (is_its_kind && has_session)
            return m;
        if (is_its_kind && found == NULL)
            found = m;
        if (has_session && asked == NULL)
            asked = m;
    }
    if (asked != NULL)
        return asked;
    if (found == NULL && has_room(n))
        found = mapping_new(n, p);
    return found;
}

static void come_in(struct sim_nat *n, struct packet *p);

static void go_out(struct sim_nat *n, struct packet *p) {
    bool is_hairpin = net_host_has(n->box, &p->dst);
    if (is_hairpin && !n->config.hairpins) {
        drop(n, p, NAT_DROP_HAIRPIN);
        return;
    }
    struct mapping *m = mapping_out(n, p);
    struct session *s = m == NULL ? NULL : session_of(n, m, &p->dst);
    if (s == NULL) {
        drop(n, p, NAT_DROP_FULL);
        return;
    }
    pass(n, s, p, OUTWARDS);
    p->src = m->outside;
    if (is_hairpin)
        come_in(n, p);
    else
        net_forward(n->box, net_hop_out(n->box, &p->dst), p);
}

/* --- Inwards --- */

static bool lets_in(const struct sim_nat *n, const struct mapping *m,
                    const struct net_addr *remote) {
    list_for_each (node, &m->sessions)
        if (is_same(n->config.filtering, &LIST_ENTRY(node, struct session, node)->remote, remote))
            return true;
    return false;
}

/* Whom it is for; of several that share the port, first who has a session with that remote. */
static struct mapping *mapping_in(struct sim_nat *n, const struct packet *p) {
    struct mapping *found = NULL;
    list_for_each (node, outside_bucket(n, p->dst.port)) {
        struct mapping *m = mapping_by_outside(node);
        if (m->proto != p->proto || !net_addr_equal(&m->outside, &p->dst))
            continue;
        if (session_with(m, &p->src) != NULL)
            return m;
        if (found == NULL && lets_in(n, m, &p->src))
            found = m;
    }
    return found;
}

static void refuse(struct sim_nat *n, struct packet *p) {
    if (!n->config.resets) {
        drop(n, p, NAT_DROP_FILTERED);
        return;
    }
    n->drops[NAT_DROP_FILTERED]++;
    net_arrive(n->box, p); /* whose own TCP resets it, since no socket is there */
}

static void come_in(struct sim_nat *n, struct packet *p) {
    struct mapping *m = mapping_in(n, p);
    if (m == NULL) {
        refuse(n, p);
        return;
    }
    struct session *s = session_of(n, m, &p->src);
    if (s == NULL) {
        drop(n, p, NAT_DROP_FULL);
        return;
    }
    pass(n, s, p, INWARDS);
    p->dst = m->inside;
    net_forward(n->box, net_hop_in(n->box, &p->dst), p);
}

void sim_nat_arrive(struct sim_nat *n, struct packet *p) {
    if (n->config.blocks_udp && p->proto == PROTO_UDP)
        drop(n, p, NAT_DROP_BLOCKED);
    else if (p->from->behind == n->box)
        go_out(n, p);
    else
        come_in(n, p);
}

/* --- Making and changing boxes --- */

struct sim_nat_config sim_nat_translator(enum sim_nat_dependence mapping,
                                         enum sim_nat_dependence filtering,
                                         enum sim_nat_ports ports) {
    return (struct sim_nat_config){.mapping = mapping,
                                   .filtering = filtering,
                                   .ports = ports,
                                   .ports_count = PORTS_COUNT_DEFAULT,
                                   .inbound_refreshes = true,
                                   .udp_timeout = UDP_TIMEOUT,
                                   .tcp_transitory_timeout = TCP_TRANSITORY_TIMEOUT,
                                   .tcp_timeout = TCP_TIMEOUT,
                                   .sessions_max = SESSIONS_MAX_DEFAULT,
                                   .inside = {.family = NET_IP4, .ip = {192, 168, 1, 0}},
                                   .lan = {.delay = USEC(200), .mtu = 1500}};
}

struct sim_nat_config sim_nat_firewall(enum sim_nat_dependence filtering) {
    struct sim_nat_config cfg = sim_nat_translator(NAT_INDEPENDENT, filtering, NAT_PORTS_PRESERVED);
    cfg.is_firewall = true;
    return cfg;
}

void sim_nat_random(struct sim_rand *r, struct sim_nat_config *ret_config) {
    uint64_t mapping = sim_rand_below(r, NAT_DEPENDENCE_COUNT);
    uint64_t filtering = sim_rand_below(r, NAT_DEPENDENCE_COUNT);
    uint64_t ports = sim_rand_below(r, NAT_PORTS_COUNT);
    struct sim_nat_config cfg =
        sim_nat_translator((enum sim_nat_dependence)mapping, (enum sim_nat_dependence)filtering,
                           (enum sim_nat_ports)ports);
    cfg.pools_arbitrarily = sim_rand_chance(r, PPM / 8);
    cfg.hairpins = sim_rand_bool(r);
    cfg.resets = sim_rand_chance(r, PPM / 8);
    cfg.inbound_refreshes = sim_rand_bool(r);
    cfg.udp_timeout = sim_rand_range(r, SEC(30), UDP_TIMEOUT);
    cfg.tcp_transitory_timeout = sim_rand_range(r, SEC(30), TCP_TRANSITORY_TIMEOUT);
    cfg.tcp_timeout = sim_rand_scale(r, SEC(300), TCP_TIMEOUT);
    cfg.sessions_max = (uint32_t)sim_rand_scale(r, 1024, SESSIONS_MAX_DEFAULT);
    cfg.lan.delay = sim_rand_scale(r, USEC(50), MSEC(5));
    *ret_config = cfg;
}

/* The IPv4 addresses of a place that moves behind a box that translates; the one it gets is first.
 * `pool`: who takes the others over, or NULL. */
static void give_inside_address(struct sim_nat *n, struct sim_host *h, struct sim_host *pool) {
    struct net_addr old[HOST_ADDRS_MAX];
    struct net_addr inside = n->config.inside;
    uint32_t count = h->addrs_count;
    memcpy(old, h->addrs, sizeof(old));
    h->addrs_count = 0;
    inside.ip[3] = (uint8_t)(inside.ip[3] + INSIDE_FIRST + n->inside_count++);
    net_add_addr(h, &inside);
    for (uint32_t i = 0; i < count; i++) {
        if (old[i].family != NET_IP4)
            net_add_addr(h, &old[i]);
        else if (pool != NULL)
            net_add_addr(pool, &old[i]);
    }
}

static void wire(struct sim_nat *n, struct sim_host *h) {
    struct net *net = n->box->net;
    if (h->nat != NULL)
        assert(h->nat->sessions_count == 0);
    for (uint32_t i = 0; i < PLACES_MAX; i++) {
        struct sim_host *other = &net->hosts[i];
        if (other != h && (other == n->box || other->behind == n->box)) {
            *net_link(net, h, other) = (struct sim_link){.quality = n->config.lan};
            *net_link(net, other, h) = (struct sim_link){.quality = n->config.lan};
        }
    }
    h->behind = n->box;
}

static struct sim_nat *nat_new(struct sim_host *box, const struct sim_nat_config *cfg) {
    struct sim_nat *n = sim_alloc(sizeof(*n));
    n->box = box;
    n->config = *cfg;
    for (size_t i = 0; i < NAT_BUCKETS; i++) {
        list_init(&n->by_inside[i]);
        list_init(&n->by_outside[i]);
    }
    sim_rand_init(&n->rand, world_of(n)->seed, "nat", box->index);
    n->next_port = (uint32_t)sim_rand_below(&n->rand, cfg->ports_count);
    box->nat = n;
    return n;
}

struct sim_nat *sim_nat_insert(struct sim_host *h, const struct sim_nat_config *cfg) {
    struct net *net = h->net;
    struct sim_host *box = net_add_box(net);
    struct sim_nat *n = nat_new(box, cfg);
    box->behind = h->behind;
    for (uint32_t i = 0; i < PLACES_MAX; i++) {
        net->links[box->index][i] = net->links[h->index][i];
        net->links[i][box->index] = net->links[i][h->index];
    }
    if (sim_nat_translates(n, NET_IP4)) {
        give_inside_address(n, h, box);
        assert(box->addrs_count > 0);
    }
    wire(n, h);
    return n;
}

void sim_nat_join(struct sim_nat *n, struct sim_host *h) {
    if (sim_nat_translates(n, NET_IP4))
        give_inside_address(n, h, NULL);
    wire(n, h);
}

void sim_nat_reboot(struct sim_nat *n) {
    world_trace(world_of(n), "box %u forgets %u sessions", n->box->index, n->sessions_count);
    forget_all(n, NSEC_NEVER);
}

void sim_nat_readdress(struct sim_nat *n, uint32_t index, const struct net_addr *to) {
    assert(index < n->box->addrs_count);
    struct net_addr *at = &n->box->addrs[index];
    char text[NET_ADDR_TEXT_MAX];
    world_trace(world_of(n), "box %u is now %s", n->box->index, net_addr_format_ip(to, text));
    for (size_t i = 0; i < NAT_BUCKETS; i++) {
        list_for_each_safe (node, &n->by_outside[i]) {
            struct mapping *m = mapping_by_outside(node);
            if (net_addr_ip_equal(&m->outside, at))
                forget(n, m, NSEC_NEVER);
        }
    }
    *at = *to;
}

void sim_nat_free(struct sim_nat *n) {
    if (n == NULL)
        return;
    forget_all(n, NSEC_NEVER);
    sim_free(n);
}

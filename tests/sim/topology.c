/* SPDX-License-Identifier: MIT */

/* What a seed's network looks like, and what its nodes are asked to do. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/node.h"
#include "tests/sim/scenario_internal.h"
#include "transport/host.h"

enum {
    LISTEN_PORT = 4001,
    WS_PORT = 4002,
    BYTES_MAX = 1 << 20,
    SLOW_SECONDS_MAX = 20,
    HURRY_BYTES_MAX = 2000,
    HURRY_ROUND_TRIPS = 10,
    PUBLIC_NODES = 2, /* where the others are behind boxes */
    NEW_ADDR = 100,
    PPM = 1000000,
};

#define HURRY_RESERVATION SEC(10)

/* --- Links --- */

/* What waits in the buffers of a connection over TCP goes first: half a megabyte, twice, before an
 * answer to a new stream, which has MULTISTREAM_TIMEOUT. */
enum { RATE_MIN = 100 << 10, RATE_MIN_TCP = 512 << 10 };

static struct link_quality quality(struct scenario *s, uint32_t features) {
    struct sim_rand *r = &s->plan;
    /* A circuit's connection is over bytes in order, too, whatever carries it. */
    bool narrow = s->transports == TRANSPORTS_QUIC && !s->has_boxes;
    struct link_quality q = {.delay = sim_rand_scale(r, USEC(50), MSEC(150)), .mtu = 1500};
    if (features & 1)
        q.jitter = sim_rand_below(r, q.delay + 1);
    if (features & 2)
        q.loss_ppm = (uint32_t)sim_rand_scale(r, 100, PPM / 20);
    if (features & 4) {
        q.reorder_ppm = (uint32_t)sim_rand_scale(r, 100, PPM / 10);
        q.reorder_delay = sim_rand_scale(r, USEC(100), MSEC(20));
    }
    if (features & 8)
        q.dup_ppm = (uint32_t)sim_rand_scale(r, 100, PPM / 20);
    if (features & 16) {
        q.rate = sim_rand_scale(r, narrow ? RATE_MIN : RATE_MIN_TCP, 12 << 20);
        q.queue_bytes = (uint32_t)MAX((uint64_t)30000, q.rate * sim_rand_range(r, 20, 300) / 1000);
    }
    if (features & 32)
        q.mtu = (uint32_t)sim_rand_range(r, 1280, 1500);
    return q;
}

/* From a host to where the public network begins. */
static nsec_t inside_delay(const struct sim_host *h) {
    nsec_t delay = 0;
    for (; h->behind != NULL; h = h->behind)
        delay += h->behind->nat->config.lan.delay;
    return delay;
}

static void make_link(struct scenario *s, uint32_t a, uint32_t b, const struct link_quality *q) {
    nsec_t inside = inside_delay(s->nodes[a].host) + inside_delay(s->nodes[b].host);
    link_of(s, a, b)->quality = *q;
    s->rtt_max = MAX(s->rtt_max, 2 * (q->delay + q->jitter + q->reorder_delay + inside));
    if (q->rate > 0)
        s->rate_min = s->rate_min == 0 ? q->rate : MIN(s->rate_min, q->rate);
}

static void make_links(struct scenario *s) {
    uint32_t features = (uint32_t)sim_rand_u64(&s->plan);
    bool same_both_ways = sim_rand_bool(&s->plan);
    for (uint32_t a = 0; a < s->nodes_count; a++) {
        for (uint32_t b = 0; b < s->nodes_count; b++) {
            struct link_quality q =
                b < a && same_both_ways ? link_of(s, b, a)->quality : quality(s, features);
            make_link(s, a, b, &q);
        }
    }
}

/* A window is no narrower than the slowest rate needs. */
static void make_wire_buffers(struct scenario *s) {
    uint64_t min = MAX(RATE_MIN_TCP * s->rtt_max / SEC(1), (uint64_t)(16 << 10));
    for (uint32_t i = 0; i < s->nodes_count; i++)
        s->nodes[i].host->wire_buffer = (uint32_t)sim_rand_scale(&s->plan, min, 2 << 20);
}

/* --- Nodes --- */

static void add_addr(struct sim_host *h, const char *before, uint32_t number, const char *after) {
    char text[NET_ADDR_TEXT_MAX];
    struct net_addr a;
    (void)snprintf(text, sizeof(text), "%s%u%s", before, number, after);
    int e = net_addr_parse_ip(text, &a);
    assert(e == 0);
    net_add_addr(h, &a);
}

enum { LISTENS_QUIC = 1, LISTENS_TCP = 2, LISTENS_BOTH = 3, LISTENS_WS = 4, LISTENS_ALL = 7 };

static void listen_on(struct sim_node *n, const struct net_addr *a, enum multiaddr_kind kind) {
    struct net_addr at = *a;
    at.port = kind == MULTIADDR_KIND_WS ? WS_PORT : LISTEN_PORT;
    assert(n->listen_count < NODE_LISTEN_MAX);
    multiaddr_from_net_addr(&at, kind, &n->listen[n->listen_count++]);
}

static void listen_on_all(struct sim_node *n, unsigned kinds) {
    for (uint32_t i = 0; i < n->host->addrs_count; i++) {
        if (kinds & LISTENS_QUIC)
            listen_on(n, &n->host->addrs[i], MULTIADDR_KIND_QUIC);
        if (kinds & LISTENS_TCP)
            listen_on(n, &n->host->addrs[i], MULTIADDR_KIND_TCP);
        if (kinds & LISTENS_WS)
            listen_on(n, &n->host->addrs[i], MULTIADDR_KIND_WS);
    }
}

/* A quarter of the seeds knows QUIC alone, another TCP alone, another both, and in the others each
 * node decides, also for WebSocket. */
static unsigned some_kinds(struct scenario *s) {
    switch (s->transports) {
    case TRANSPORTS_QUIC:
        return LISTENS_QUIC;
    case TRANSPORTS_TCP:
        return LISTENS_TCP;
    case TRANSPORTS_BOTH:
        return LISTENS_BOTH;
    case TRANSPORTS_MIXED:
    case TRANSPORTS_COUNT:
        break;
    }
    return (unsigned)sim_rand_range(&s->plan, LISTENS_QUIC, LISTENS_ALL);
}

/* --- Boxes --- */

/* What its node is told of addresses comes after this. */
static void put_behind_box(struct scenario *s, uint32_t index) {
    struct sim_host *h = &s->net.hosts[index];
    const struct sim_host *before = s->net.hosts[index - 1].behind;
    struct sim_nat_config cfg;
    if (before != NULL && sim_rand_chance(&s->walls, PPM / 4)) {
        sim_nat_join(before->nat, h);
        return;
    }
    sim_nat_random(&s->walls, &cfg);
    struct sim_nat *home = sim_nat_insert(h, &cfg);
    if (sim_rand_chance(&s->walls, PPM / 4)) {
        sim_nat_random(&s->walls, &cfg);
        cfg.inside = (struct net_addr){.family = NET_IP4, .ip = {100, 64, 0, 0}};
        (void)sim_nat_insert(home->box, &cfg);
    }
}

/* --- Names --- */

static uint32_t zone_texts(const struct sim_zone *z, uint32_t host, const char **out,
                           uint32_t max) {
    const struct scenario *s = CONTAINER_OF(z, const struct scenario, zone);
    uint32_t count = MIN(s->nodes[host].listen_count, max);
    for (uint32_t i = 0; i < count; i++)
        out[i] = s->zone_texts[host][i];
    return count;
}

static void know_as(struct sim_node *n, const char *text) {
    int e = multiaddr_parse(text, &n->dialled[n->dialled_count++]);
    assert(e == 0);
}

/* Under its name each way of listening is one address, whatever the IP versions. */
static void know_by_name(struct sim_node *n, unsigned kinds) {
    static const char *const ways[] = {"udp/4001/quic-v1", "tcp/4001", "tcp/4002/ws"};
    for (size_t i = 0; i < ARRAY_COUNT(ways); i++) {
        char text[MULTIADDR_TEXT_MAX];
        (void)snprintf(text, sizeof(text), "/dns/host%u.test/%s", n->index, ways[i]);
        if (kinds & 1u << i)
            know_as(n, text);
    }
}

static void write_zone(struct scenario *s, const struct sim_node *n) {
    char id[PEER_ID_TEXT_MAX];
    char text[MULTIADDR_TEXT_MAX];
    (void)peer_id_format(&n->identity.id, id);
    for (uint32_t i = 0; i < n->listen_count; i++)
        (void)snprintf(s->zone_texts[n->index][i], ZONE_TEXT_MAX, "dnsaddr=%s/p2p/%s",
                       multiaddr_format(&n->listen[i], text), id);
}

static void know_by_dnsaddr(struct scenario *s, struct sim_node *n) {
    char text[MULTIADDR_TEXT_MAX];
    write_zone(s, n);
    (void)snprintf(text, sizeof(text), "/dnsaddr/host%u.test", n->index);
    know_as(n, text);
}

static void choose_name(struct scenario *s, struct sim_node *n, unsigned kinds) {
    uint64_t how = s->has_names ? sim_rand_below(&s->plan, 4) : 0;
    n->zone = &s->zone;
    s->zone.texts = zone_texts;
    if (n->host->behind != NULL)
        return; /* relays lead to it, and to them its ID is enough */
    if (how == 1) {
        know_by_name(n, kinds);
    } else if (how == 2) {
        know_by_dnsaddr(s, n);
    } else {
        memcpy(n->dialled, n->listen, sizeof(n->listen));
        n->dialled_count = n->listen_count;
    }
}

/* Any two nodes have something in common: some know one security, the others both. */
static void choose_dialling(struct scenario *s) {
    struct sim_rand *r = &s->plan;
    const char *security = sim_rand_bool(r) ? "tls" : "noise";
    bool some_know_one = sim_rand_bool(r);
    bool some_prefer = s->transports != TRANSPORTS_BOTH && sim_rand_bool(r);
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        struct sim_node *n = &s->nodes[i];
        if (some_know_one && sim_rand_bool(r))
            n->security = security;
        if (some_prefer)
            n->transport = (enum dial_preference)sim_rand_range(r, DIAL_AUTO, DIAL_TCP);
    }
}

static void make_nodes(struct scenario *s) {
    struct sim_rand *r = &s->plan;
    bool has_ip6 = sim_rand_bool(r);
    bool short_io = sim_rand_bool(r);
    bool small_buffers = sim_rand_bool(r);
    s->has_names = sim_rand_bool(r);
    s->transports = (enum transports)sim_rand_below(r, TRANSPORTS_COUNT);
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        struct sim_host *h = net_add_host(&s->net);
        struct sim_node *n = &s->nodes[i];
        add_addr(h, "5.1.", i, ".1");
        if (has_ip6)
            add_addr(h, "2a01:5:", i, "::1");
        if (s->has_boxes && i >= PUBLIC_NODES)
            put_behind_box(s, i);
        if (small_buffers)
            h->loopback_buffer = (uint32_t)sim_rand_scale(r, 2 << 10, 256 << 10);
        sim_node_init(n, &s->world, h, s->folder);
        n->io = (struct sim_backend_config){.short_io = short_io,
                                            .no_gso = sim_rand_chance(r, PPM / 8),
                                            .no_gro = sim_rand_chance(r, PPM / 8)};
        if (s->has_names)
            n->services_host = "localhost.test";
        unsigned kinds = some_kinds(s);
        listen_on_all(n, kinds);
        choose_name(s, n, kinds);
        n->services_count = (uint32_t)sim_rand_range(r, 1, NODE_SERVICES_MAX);
        for (uint32_t k = 0; k < n->services_count; k++)
            service_port_open(
                transfers_add_port(&s->transfers, h, (uint16_t)(SERVICE_PORT_FIRST + k)));
    }
}

static void make_gates(struct scenario *s) {
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        struct sim_node *n = &s->nodes[i];
        (void)snprintf(n->gate_file, sizeof(n->gate_file), "%s/gate-%u", s->folder, i);
        FILE *f = fopen(n->gate_file, "w");
        if (f == NULL || fchmod(fileno(f), 0600) < 0)
            abort();
        for (uint32_t k = 0; k < s->nodes_count; k++) {
            char id[PEER_ID_TEXT_MAX];
            (void)fprintf(f, "%s\n", peer_id_format(&s->nodes[k].identity.id, id));
        }
        if (fclose(f) != 0)
            abort();
    }
}

/* --- Moving --- */

/* One that listens to nothing in particular, so that it can be reached wherever it is; where there
 * are boxes, behind one: who is behind another could not be told, and would take its time. */
static void choose_mover(struct scenario *s) {
    uint32_t first = s->has_boxes ? (uint32_t)PUBLIC_NODES : 0;
    if (first == s->nodes_count || !sim_rand_chance(&s->moves, PPM / 3))
        return;
    s->mover = &s->nodes[sim_rand_range(&s->moves, first, s->nodes_count - 1)];
    s->mover->listens_everywhere = true;
}

static void readdress(struct multiaddr *addrs, uint32_t count, const struct net_addr *from,
                      const struct net_addr *to) {
    for (uint32_t i = 0; i < count; i++) {
        struct net_addr at;
        if (multiaddr_to_net_addr(&addrs[i], &at) < 0 || !net_addr_ip_equal(&at, from))
            continue;
        memcpy(at.ip, to->ip, sizeof(at.ip));
        multiaddr_from_net_addr(&at, multiaddr_kind(&addrs[i]), &addrs[i]);
    }
}

static void tell_others(struct scenario *s, const struct sim_node *n) {
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        struct sim_node *other = &s->nodes[i];
        if (other == n || !other->is_up)
            continue;
        int e =
            host_add_addrs(node_host(other->node), &n->identity.id, n->dialled, n->dialled_count);
        assert(e == 0);
        proc_wake(&other->proc);
    }
}

void node_readdress(struct scenario *s, struct sim_node *n) {
    struct netwatch_snapshot now;
    for (uint32_t i = 0; i < n->host->addrs_count; i++) {
        struct net_addr from = n->host->addrs[i];
        struct net_addr to = from;
        to.ip[to.family == NET_IP4 ? 3 : 15] += NEW_ADDR; /* which no neighbour has */
        net_readdress(n->host, i, &to);
        readdress(n->listen, n->listen_count, &from, &to);
        readdress(n->dialled, n->dialled_count, &from, &to);
    }
    if (s->zone_texts[n->index][0][0] != '\0')
        write_zone(s, n);
    sim_netwatch_read_host(n->host, &now);
    sim_netwatch_set(&n->netwatch, &now);
    tell_others(s, n);
}

/* Whom a node has a proxy to: of a relay, which has no relay, one who is in public. */
static const struct sim_node *proxied(const struct scenario *s, uint32_t owner, uint32_t to) {
    if (owner >= s->relays_count)
        return &s->nodes[to % s->nodes_count];
    return &s->nodes[to % PUBLIC_NODES == owner ? PUBLIC_NODES - 1 - owner : to % PUBLIC_NODES];
}

static void make_proxies(struct scenario *s) {
    struct sim_rand *r = &s->plan;
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        /* Someone at least leads to each, so that no node is alone. */
        uint64_t count = sim_rand_range(r, 1, MIN(3u, s->nodes_count - 1));
        for (uint64_t k = 0; k < count; k++) {
            uint32_t to = (uint32_t)(i + 1 + (k == 0 ? 0 : sim_rand_below(r, s->nodes_count - 1)));
            const struct sim_node *peer = proxied(s, i, to);
            (void)sim_node_add_proxy(&s->nodes[i], peer,
                                     (uint32_t)sim_rand_below(r, peer->services_count));
        }
    }
}

void topology_make(struct scenario *s) {
    s->nodes_count = (uint32_t)sim_rand_range(&s->plan, 2, HOSTS_MAX);
    make_nodes(s);
    if (sim_rand_bool(&s->plan))
        make_gates(s);
    if (s->has_boxes)
        relays_make(s);
    choose_dialling(s);
    make_links(s);
    make_wire_buffers(s);
    make_proxies(s);
    choose_mover(s);
}

/* --- Load --- */

static uint64_t some_bytes(struct scenario *s) {
    uint64_t max = BYTES_MAX;
    if (s->rate_min > 0)
        max = MIN(max, 2 * s->rate_min);
    return sim_rand_scale(&s->plan, 8, max);
}

/* Whether it may be: who is in public is also met over the circuit that it dialled. */
static bool is_relayed(const struct sim_proxy *p) {
    return p->owner->relays != NULL && p->to->relays != NULL;
}

/* Over a relay the way has two parts. */
static nsec_t rtt_of(const struct scenario *s, const struct sim_proxy *p) {
    return is_relayed(p) ? 2 * s->rtt_max : s->rtt_max;
}

/* Generous: what is looked for is that it ends. */
static nsec_t time_for(const struct scenario *s, const struct transfer_plan *p) {
    uint64_t bytes = p->bytes[0] + p->bytes[1];
    nsec_t time = SEC(60) + bytes / 5000 * rtt_of(s, p->proxy);
    if (s->rate_min > 0)
        time += bytes * 10 * SEC(1) / s->rate_min;
    for (int side = 0; side < 2; side++)
        if (p->rate[side] > 0)
            time += 2 * bytes * SEC(1) / p->rate[side];
    return time;
}

void load_add(struct scenario *s, const struct sim_proxy *p, nsec_t from, nsec_t until,
              bool strict) {
    struct sim_rand *r = &s->plan;
    /* Silence behind the relay is found by yamux alone, and later. */
    if (s->udp_is_cut && is_relayed(p))
        strict = false;
    struct transfer_plan plan = {.proxy = p,
                                 .bytes = {some_bytes(s), some_bytes(s)},
                                 .reset_at = {UINT64_MAX, UINT64_MAX},
                                 .order = (enum transfer_order)sim_rand_below(r, ORDER_COUNT),
                                 .begins = sim_rand_range(r, from, until),
                                 .must_end = NSEC_NEVER};
    for (int side = 0; side < 2; side++) {
        if (sim_rand_chance(r, PPM / 8))
            plan.bytes[side] = 8; /* little goes one way, or both */
        if (s->slow_readers_are_on && sim_rand_chance(r, PPM / 4))
            plan.rate[side] = sim_rand_scale(
                r, MAX((uint64_t)1024, plan.bytes[1 - side] / SLOW_SECONDS_MAX), 4 << 20);
        if (s->resets_are_on && !strict && sim_rand_chance(r, PPM / 8))
            plan.reset_at[side] = sim_rand_below(r, plan.bytes[0] + plan.bytes[1] + 1);
    }
    if (strict && s->hurry) {
        plan.bytes[0] = MIN(plan.bytes[0], (uint64_t)HURRY_BYTES_MAX);
        plan.bytes[1] = MIN(plan.bytes[1], (uint64_t)HURRY_BYTES_MAX);
        plan.must_end = plan.begins + SEC(5) + HURRY_ROUND_TRIPS * rtt_of(s, p);
        if (is_relayed(p)) /* which takes a reservation first */
            plan.must_end += HURRY_RESERVATION;
    } else if (strict) {
        plan.must_end = plan.begins + time_for(s, &plan);
    }
    (void)transfers_add(&s->transfers, &plan);
}

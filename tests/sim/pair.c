/* SPDX-License-Identifier: MIT */
#include "tests/sim/pair.h"

#include <stdio.h>
#include <string.h>

#include "core/conf/schema.h"
#include "ctl/node.h"
#include "relay/holepunch.h"
#include "relay/hop_service.h"
#include "relay/reservations.h"
#include "tests/sim/transfer.h"
#include "transport/host.h"

enum { A, B, RELAY, NODES_COUNT };

enum {
    LISTEN_PORT = 4001,
    WIRE_BUFFER = 256 << 10,
    RELAY_ROOM = 8,
    TRANSFER_BYTES = 2000,
    WAITING_SECONDS = 120,
    WAITING_PEERS = 2, /* the relay, and the other one */
};

#define RESERVED_WITHIN SEC(10)
#define CIRCUIT_WITHIN  SEC(10)
#define DIRECT_WITHIN   SEC(30) /* three attempts, each with ten seconds at most */
#define RELAYED_AGAIN   SEC(45) /* an idle circuit beside a direct connection is closed by then */
#define TRANSFER_WITHIN SEC(5)
#define BACK_WITHIN     SEC(5) /* decision 6 */
#define GIVEN_UP_WITHIN \
    (SEC(2) + MSEC(500)) /* circuits over the dead connection, and that is told */
#define EMPTY_WITHIN SEC(32)
#define STOPS_WITHIN SEC(10)
#define STEP         MSEC(5)
#define DELAY_MIN    MSEC(1)
#define DELAY_MAX    MSEC(100)

struct pair {
    struct world world;
    struct net net;
    struct transfers transfers;
    struct sim_rand plan;
    const struct pair_plan *cfg;
    struct sim_node nodes[NODES_COUNT];
    struct sim_proxy *proxy;
    struct sim_proxy *back; /* from B to A */
    struct config_addr relay_addrs[NODE_LISTEN_MAX];
    struct config_addrs relays;
};

/* --- The network --- */

static struct net_addr address(const char *text) {
    struct net_addr a;
    int e = net_addr_parse_ip(text, &a);
    assert(e == 0);
    return a;
}

static struct sim_host *add_host(struct pair *p) {
    static const char *const ip4[NODES_COUNT] = {"5.1.1.1", "5.1.2.1", "5.1.0.1"};
    static const char *const ip6[NODES_COUNT] = {"2a01:5:1::1", "2a01:5:2::1", "2a01:5:0::1"};
    struct sim_host *h = net_add_host(&p->net);
    struct net_addr a4 = address(ip4[h->index]);
    struct net_addr a6 = address(ip6[h->index]);
    if (p->cfg->families & PAIR_IP4)
        net_add_addr(h, &a4);
    if (p->cfg->families & PAIR_IP6)
        net_add_addr(h, &a6);
    h->wire_buffer = WIRE_BUFFER;
    return h;
}

/* Returns the outermost one. */
static struct sim_host *put_behind(struct sim_host *h, const struct pair_side *side) {
    for (uint32_t i = 0; i < side->boxes_count; i++)
        h = sim_nat_insert(h, &side->boxes[i])->box;
    return h;
}

static void make_link(struct pair *p, uint32_t from, uint32_t to) {
    struct sim_link *l = net_link_between(&p->net, p->nodes[from].host, p->nodes[to].host);
    if (l->quality.mtu > 0)
        return; /* of one home, or done */
    l->quality =
        (struct link_quality){.delay = sim_rand_scale(&p->plan, DELAY_MIN, DELAY_MAX), .mtu = 1500};
    l->quality.jitter = sim_rand_below(&p->plan, l->quality.delay / 4);
}

static void make_network(struct pair *p) {
    struct sim_host *outer[NODES_COUNT];
    for (uint32_t i = 0; i < NODES_COUNT; i++) {
        outer[i] = p->nodes[i].host = add_host(p);
    }
    for (uint32_t i = A; i <= B; i++)
        outer[i] = put_behind(outer[i], &p->cfg->sides[i]);
    if (p->cfg->has_shared)
        sim_nat_join(sim_nat_insert(outer[A], &p->cfg->shared), outer[B]);
    for (uint32_t from = 0; from < NODES_COUNT; from++) {
        for (uint32_t to = 0; to < NODES_COUNT; to++) {
            if (from != to)
                make_link(p, from, to);
        }
    }
}

/* --- The nodes --- */

static void listen_on(struct sim_node *n, const struct net_addr *at, enum multiaddr_kind kind) {
    struct net_addr a = *at;
    a.port = LISTEN_PORT;
    multiaddr_from_net_addr(&a, kind, &n->listen[n->listen_count++]);
}

static void make_node(struct pair *p, uint32_t index, const char *folder) {
    struct sim_node *n = &p->nodes[index];
    struct sim_host *h = n->host;
    sim_node_init(n, &p->world, h, folder);
    for (uint32_t i = 0; i < h->addrs_count; i++) {
        if (p->cfg->transports & PAIR_QUIC)
            listen_on(n, &h->addrs[i], MULTIADDR_KIND_QUIC);
        if (p->cfg->transports & PAIR_TCP)
            listen_on(n, &h->addrs[i], MULTIADDR_KIND_TCP);
    }
    n->services_count = index != RELAY;
    if (index != RELAY)
        n->relays = &p->relays;
}

static void make_relay(struct pair *p) {
    struct sim_node *relay = &p->nodes[RELAY];
    relay->is_relay = true;
    relay->relay_service = (struct hop_service_config){.reservations_max = RELAY_ROOM,
                                                       .reservations_per_ip = RELAY_ROOM,
                                                       .reservations_per_asn = RELAY_ROOM,
                                                       .circuits_per_peer_max = RELAY_ROOM,
                                                       .reservation_ttl = SEC(3600),
                                                       .is_open = true};
    p->relays.items = p->relay_addrs;
    for (uint32_t i = 0; i < relay->listen_count; i++) {
        struct multiaddr *a = &p->relay_addrs[p->relays.count++].addr;
        *a = relay->listen[i];
        int e = multiaddr_add_peer(a, &relay->identity.id);
        assert(e == 0);
    }
}

static void make_nodes(struct pair *p, const char *folder) {
    for (uint32_t i = 0; i < NODES_COUNT; i++)
        make_node(p, i, folder);
    make_relay(p);
    p->proxy = sim_node_add_proxy(&p->nodes[A], &p->nodes[B], 0);
    p->back = sim_node_add_proxy(&p->nodes[B], &p->nodes[A], 0);
    for (uint32_t i = A; i <= B; i++)
        service_port_open(transfers_add_port(&p->transfers, p->nodes[i].host, SERVICE_PORT_FIRST));
}

static void run_for(struct pair *p, nsec_t time) {
    world_run(&p->world, p->world.now + time);
}

static bool is_on(const struct pair *p, nsec_t until) {
    return !world_has_failed(&p->world) && p->world.now < until;
}

static void look_held(void *user, const struct reservation_info *info) {
    *(bool *)user = info->held;
}

static bool is_reserved(const struct sim_node *n) {
    bool held = false;
    if (n->is_up)
        reservations_each(node_reservations(n->node), look_held, &held);
    return held;
}

static void start_nodes(struct pair *p) {
    sim_node_start(&p->nodes[RELAY]);
    run_for(p, MSEC(100));
    for (uint32_t i = A; i <= B; i++) {
        run_for(p, sim_rand_below(&p->plan, SEC(1)));
        sim_node_start(&p->nodes[i]);
    }
    nsec_t until = p->world.now + RESERVED_WITHIN;
    while (is_on(p, until) && !(is_reserved(&p->nodes[A]) && is_reserved(&p->nodes[B])))
        run_for(p, STEP);
    if (p->world.now >= until)
        world_fail(&p->world, "no reservation");
    run_for(p, sim_rand_below(&p->plan, SEC(2)));
}

/* --- What happens --- */

struct ways {
    const struct sim_node *peer;
    uint32_t direct;
    uint32_t relayed;
};

static void count_way(void *user, const struct conn_info *info) {
    struct ways *w = user;
    if (!peer_id_equal(&info->peer, &w->peer->identity.id))
        return;
    w->relayed += multiaddr_is_relayed(&info->remote);
    w->direct += !multiaddr_is_relayed(&info->remote);
}

static struct ways ways_of(const struct pair *p, uint32_t from) {
    struct ways w = {.peer = &p->nodes[B + A - from]};
    host_each_conn(node_host(p->nodes[from].node), count_way, &w);
    return w;
}

static bool are_direct(const struct pair *p) {
    return ways_of(p, A).direct > 0 && ways_of(p, B).direct > 0;
}

static bool are_joined(const struct pair *p) {
    return are_direct(p) || (ways_of(p, A).relayed > 0 && ways_of(p, B).relayed > 0);
}

/* A small transfer from now on. */
static void add_transfer_by(struct pair *p, struct sim_proxy *proxy, nsec_t must_end) {
    struct transfer_plan plan = {.proxy = proxy,
                                 .bytes = {TRANSFER_BYTES, TRANSFER_BYTES},
                                 .reset_at = {UINT64_MAX, UINT64_MAX},
                                 .order = ORDER_ANSWER,
                                 .begins = p->world.now,
                                 .must_end = must_end};
    (void)transfers_add(&p->transfers, &plan);
}

/* One that must succeed. */
static void add_transfer(struct pair *p) {
    add_transfer_by(p, p->proxy, p->world.now + TRANSFER_WITHIN);
}

/* Returns when both had a direct connection, or NSEC_NEVER. */
static nsec_t meet(struct pair *p, struct pair_result *r) {
    nsec_t until = p->world.now + CIRCUIT_WITHIN;
    add_transfer(p);
    while (is_on(p, until) && !are_joined(p))
        run_for(p, STEP);
    nsec_t joined = p->world.now;
    if (joined >= until)
        world_fail(&p->world, "no circuit");
    until = joined + DIRECT_WITHIN;
    while (is_on(p, until) && !are_direct(p))
        run_for(p, STEP);
    r->is_direct = p->world.now < until;
    r->took = p->world.now - joined;
    r->attempts = (uint32_t)holepunch_stats(node_holepunch(p->nodes[B].node))->attempts;
    return joined;
}

/* The direct connection carries what comes, and the relay nothing any more. */
static void use_direct(struct pair *p) {
    struct hop_service_stats stats;
    add_transfer(p);
    run_for(p, RELAYED_AGAIN);
    hop_service_stats(node_relay_service(p->nodes[RELAY].node), &stats);
    if (!are_direct(p))
        world_fail(&p->world, "the direct connection did not last");
    else if (stats.circuits > 0)
        world_fail(&p->world, "%u circuits beside a direct connection", stats.circuits);
}

/* So does the circuit, and little is sent while the two try. */
static void use_circuit(struct pair *p, struct pair_result *r) {
    uint64_t before[] = {p->nodes[A].host->packets_sent, p->nodes[B].host->packets_sent};
    run_for(p, SEC(WAITING_SECONDS));
    for (uint32_t i = A; i <= B; i++) {
        uint64_t sent = p->nodes[i].host->packets_sent - before[i];
        r->rate = MAX(r->rate, (double)sent / WAITING_PEERS / WAITING_SECONDS);
    }
    if (!are_joined(p))
        world_fail(&p->world, "the circuit did not last");
    add_transfer(p);
    run_for(p, TRANSFER_WITHIN + MSEC(1));
}

static void count_tcp(void *user, const struct conn_info *info) {
    struct ways *w = user;
    bool is_tcp = !info->relayed && !multiaddr_has(&info->remote, MULTIADDR_QUIC_V1);
    if (peer_id_equal(&info->peer, &w->peer->identity.id))
        w->direct += is_tcp;
}

/* How many connections over TCP the relay has to B. */
static uint32_t count_back(const struct pair *p) {
    struct ways w = {.peer = &p->nodes[B]};
    host_each_conn(node_host(p->nodes[RELAY].node), count_tcp, &w);
    return w.direct;
}

static void cut_udp_at_b(struct pair *p, uint32_t cuts) {
    for (uint32_t i = 0; i < NODES_COUNT; i++) {
        if (i == B)
            continue;
        net_link_between(&p->net, p->nodes[i].host, p->nodes[B].host)->udp_cuts = cuts;
        net_link_between(&p->net, p->nodes[B].host, p->nodes[i].host)->udp_cuts = cuts;
    }
}

/* B has something to say, finds that UDP passes no more, and comes to the relay over TCP: A has
 * nothing to tell it by, and its next stream through the old circuit would wait until the relay's
 * connection to B times out. */
static void lose_udp(struct pair *p) {
    nsec_t until = p->world.now + BACK_WITHIN;
    if (count_back(p) > 0)
        return; /* it does without UDP */
    cut_udp_at_b(p, 1);
    add_transfer_by(p, p->back, NSEC_NEVER);
    while (is_on(p, until) && count_back(p) == 0)
        run_for(p, STEP);
    if (p->world.now >= until)
        world_fail(&p->world, "UDP stopped, and who is behind it is not back at the relay");
    run_for(p, GIVEN_UP_WITHIN);
    add_transfer(p);
    run_for(p, TRANSFER_WITHIN + MSEC(1));
    cut_udp_at_b(p, 0);
}

/* --- The end --- */

static void stop(struct pair *p, uint32_t index) {
    nsec_t until = p->world.now + STOPS_WITHIN;
    sim_node_stop(&p->nodes[index]);
    while (is_on(p, until) && p->nodes[index].is_running)
        run_for(p, MSEC(50));
    if (p->world.now >= until)
        world_fail(&p->world, "node %u does not stop", index);
}

static void stop_all(struct pair *p) {
    struct hop_service_stats stats;
    stop(p, A);
    stop(p, B);
    if (world_has_failed(&p->world))
        return;
    nsec_t until = p->world.now + EMPTY_WITHIN;
    do {
        run_for(p, MSEC(100));
        hop_service_stats(node_relay_service(p->nodes[RELAY].node), &stats);
    } while (stats.reservations + stats.circuits + stats.half_open > 0 && is_on(p, until));
    if (p->world.now >= until)
        world_fail(&p->world, "the relay has %u reservations and %u circuits of nobody",
                   stats.reservations, stats.circuits);
    stop(p, RELAY);
}

static void run_all(struct pair *p, struct pair_result *r) {
    start_nodes(p);
    if (!world_has_failed(&p->world))
        (void)meet(p, r);
    if (!world_has_failed(&p->world) && r->is_direct)
        use_direct(p);
    else if (!world_has_failed(&p->world))
        use_circuit(p, r);
    if (!world_has_failed(&p->world) && !r->is_direct && p->cfg->transports == PAIR_BOTH)
        lose_udp(p);
    if (!world_has_failed(&p->world))
        stop_all(p);
}

/* As in scenario.c: after a failure nothing is taken apart. */
static void free_all(struct pair *p) {
    transfers_done(&p->transfers);
    for (uint32_t i = 0; i < NODES_COUNT; i++)
        sim_node_done(&p->nodes[i]);
    net_done(&p->net);
    world_done(&p->world);
    sim_free(p);
}

void pair_run(const struct pair_plan *plan, uint64_t seed, const char *folder, bool prints_trace,
              struct pair_result *ret_result) {
    struct pair *p = sim_alloc(sizeof(*p));
    *ret_result = (struct pair_result){.is_direct = false};
    p->cfg = plan;
    world_init(&p->world, seed, prints_trace);
    net_init(&p->net, &p->world);
    transfers_init(&p->transfers, &p->world);
    sim_rand_init(&p->plan, seed, "plan", 0);
    make_network(p);
    make_nodes(p, folder);
    run_all(p, ret_result);
    ret_result->hash = p->world.hash;
    (void)snprintf(ret_result->failure, sizeof(ret_result->failure), "%s", p->world.failure);
    ret_result->is_over = true;
    if (!world_has_failed(&p->world))
        free_all(p);
}

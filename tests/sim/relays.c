/* SPDX-License-Identifier: MIT */

/* Relays, by which nodes behind boxes are reached, and what must hold of them. */

#include <string.h>

#include "core/conf/schema.h"
#include "ctl/node.h"
#include "ctl/reachability.h"
#include "relay/autonat_prober.h"
#include "relay/autonat_service.h"
#include "relay/hop_service_internal.h"
#include "relay/reservations.h"
#include "tests/sim/nat.h"
#include "tests/sim/scenario_internal.h"
#include "transport/host.h"

/* Of a peer: some for each of the others, and room for those that are still being given up. */
enum { CIRCUITS_MIN = 32, CIRCUITS_MAX = 256 };

/* How many relays offer spliced paths; through the others, circuits carry everything. */
enum { SPLICES_PPM = 600000 };

/* Decision 6, and the way to the relay and back for each step of a handshake and of the request. */
#define RESERVED_WITHIN      SEC(5)
#define RESERVED_ROUND_TRIPS 10
#define EMPTY_WITHIN         SEC(32)
#define RELAY_STOPS_WITHIN   SEC(30)

/* A relay that is full is asked after 15, 30, 60 s ... (relay/proto/reserver.h): within two minutes
 * so often, where a connection more does not make it worth a question. */
#define FULL_REST SEC(15)
enum { FULL_REFUSALS_MAX = 6 };

/* --- The topology --- */

static void choose_limits(struct scenario *s, struct sim_node *relay) {
    struct sim_rand *r = &s->walls;
    relay->is_relay = true;
    relay->relay_service = (struct hop_service_config){
        .reservations_max = (uint32_t)sim_rand_range(r, HOSTS_MAX, 128),
        .reservations_per_ip = HOSTS_MAX,
        .reservations_per_asn = (uint32_t)sim_rand_range(r, HOSTS_MAX, 32),
        .circuits_per_peer_max = (uint32_t)sim_rand_scale(r, CIRCUITS_MIN, CIRCUITS_MAX),
        .reservation_ttl = sim_rand_scale(r, SEC(60), SEC(3600)),
        .is_open = relay->gate_file[0] == '\0',
        .splices = sim_rand_chance(r, SPLICES_PPM),
    };
}

static void list_relay(struct scenario *s, const struct sim_node *relay) {
    for (uint32_t i = 0; i < relay->dialled_count; i++) {
        struct multiaddr *a = &s->relay_addrs[s->relays.count++].addr;
        *a = relay->dialled[i];
        int e = multiaddr_add_peer(a, &relay->identity.id);
        assert(e == 0);
    }
}

/* As by `relay serve`, a relay has no relays itself. */
void relays_make(struct scenario *s) {
    s->relays_count = (uint32_t)sim_rand_range(&s->walls, 1, RELAYS_MAX);
    s->relays.items = s->relay_addrs;
    for (uint32_t i = 0; i < s->relays_count; i++) {
        choose_limits(s, &s->nodes[i]);
        list_relay(s, &s->nodes[i]);
    }
    for (uint32_t i = s->relays_count; i < s->nodes_count; i++)
        s->nodes[i].relays = &s->relays;
}

/* --- Reservations --- */

struct check {
    struct scenario *s;
    const struct sim_node *node;
    const char *when;
    uint32_t held;
};

static void check_held(void *user, const struct reservation_info *info) {
    struct check *c = user;
    c->held += info->held;
    for (uint32_t i = 0; i < c->s->relays_count; i++)
        if (!info->held && peer_id_equal(&info->relay, &c->s->nodes[i].identity.id))
            world_fail(&c->s->world, "node %u has no reservation on relay %u %s", c->node->index, i,
                       c->when);
}

void relays_check_reserved(struct scenario *s, const char *when) {
    for (uint32_t i = s->relays_count; i < s->nodes_count && s->relays_count > 0; i++) {
        struct check c = {.s = s, .node = &s->nodes[i], .when = when};
        if (world_has_failed(&s->world))
            return;
        reservations_each(node_reservations(s->nodes[i].node), check_held, &c);
    }
    for (uint32_t i = 0; i < s->relays_count && !world_has_failed(&s->world); i++) {
        struct hop_service_stats stats;
        hop_service_stats(node_relay_service(s->nodes[i].node), &stats);
        if (stats.reservations != s->nodes_count - s->relays_count)
            world_fail(&s->world, "relay %u has %u reservations of %u nodes %s", i,
                       stats.reservations, s->nodes_count - s->relays_count, when);
    }
}

nsec_t relays_reserved_within(const struct scenario *s) {
    return RESERVED_WITHIN + RESERVED_ROUND_TRIPS * s->rtt_max;
}

static uint64_t refusals_of(const struct sim_node *relay) {
    struct hop_service_stats stats;
    uint64_t count = 0;
    hop_service_stats(node_relay_service(relay->node), &stats);
    for (int i = 0; i < HOP_STATUSES; i++)
        if (hop_statuses[i] != CIRCUIT_STATUS_OK)
            count += stats.answers[HOP_REQUEST_RESERVE][i];
    return count;
}

/* Some have no reservation, and ask for one seldom, until there is room.  Then each has one no
 * later than its next question: the longest rest is twice the one before. */
static void relay_is_full(struct scenario *s, struct sim_node *relay, uint32_t clients) {
    struct hop_service *hop = node_relay_service(relay->node);
    struct hop_service_stats stats;
    nsec_t lasts = sim_rand_scale(&s->splits, SEC(5), SEC(120));
    if (world_has_failed(&s->world))
        return;
    hop_service_stats(hop, &stats);
    uint32_t left_out = clients - MIN(clients, hop->book.cfg.reservations_max);
    if (stats.reservations != clients - left_out)
        world_fail(&s->world, "relay %u has %u reservations, and room for %u", relay->index,
                   stats.reservations, clients - left_out);
    world_run(&s->world, s->world.now + lasts);
    uint64_t refusals = refusals_of(relay);
    world_trace(&s->world, "relay %u was full for %llu s and refused %llu times", relay->index,
                (unsigned long long)(lasts / SEC(1)), (unsigned long long)refusals);
    if (refusals < left_out || refusals > left_out * FULL_REFUSALS_MAX)
        world_fail(&s->world, "relay %u was asked %llu times by %u for whom there was no room",
                   relay->index, (unsigned long long)refusals, left_out);
    hop->book.cfg.reservations_max = relay->relay_service.reservations_max;
    world_run(&s->world, s->world.now + 2 * (lasts + relays_reserved_within(s)) + FULL_REST);
}

/* A relay ends in order, which its peers see, and is back some time later without what it knew. */
void relays_come_back(struct scenario *s) {
    if (s->relays_count == 0)
        return;
    struct sim_node *relay = &s->nodes[sim_rand_below(&s->plan, s->relays_count)];
    nsec_t until = s->world.now + RELAY_STOPS_WITHIN;
    sim_node_stop(relay);
    while (relay->is_running && s->world.now < until && !world_has_failed(&s->world))
        world_run(&s->world, s->world.now + MSEC(50));
    if (relay->is_running) {
        world_fail(&s->world, "relay %u does not stop", relay->index);
        return;
    }
    world_run(&s->world, s->world.now + sim_rand_scale(&s->plan, MSEC(100), SEC(100)));
    uint32_t clients = s->nodes_count - s->relays_count;
    bool is_full = clients > 1 && sim_rand_bool(&s->splits);
    uint32_t room = relay->relay_service.reservations_max;
    if (is_full)
        relay->relay_service.reservations_max =
            (uint32_t)sim_rand_range(&s->splits, 1, clients - 1);
    sim_node_start(relay);
    world_run(&s->world, s->world.now + relays_reserved_within(s));
    relay->relay_service.reservations_max = room;
    if (is_full)
        relay_is_full(s, relay, clients);
    if (!world_has_failed(&s->world))
        relays_check_reserved(s, is_full ? "after it was full" : "after it came back");
}

/* --- Circuits --- */

static void count_relayed(void *user, const struct conn_info *info) {
    *(uint32_t *)user += multiaddr_is_relayed(&info->remote);
}

/* Each circuit and each spliced path is one connection at either end, and none waits for an answer.
 */
void relays_check_idle(struct scenario *s) {
    uint32_t ends = 0;
    uint32_t circuits = 0;
    for (uint32_t i = 0; i < s->nodes_count && s->relays_count > 0; i++)
        host_each_conn(node_host(s->nodes[i].node), count_relayed, &ends);
    for (uint32_t i = 0; i < s->relays_count; i++) {
        struct hop_service_stats stats;
        hop_service_stats(node_relay_service(s->nodes[i].node), &stats);
        world_trace(
            &s->world,
            "idle: relay %u has %u reservations, %u circuits, %u spliced paths, %u half-open", i,
            stats.reservations, stats.circuits, stats.spliced.standing, stats.half_open);
        circuits += stats.circuits + stats.spliced.standing;
        if (stats.half_open + stats.spliced.half_open > 0)
            world_fail(&s->world, "relay %u has %u half-open circuits while idle", i,
                       stats.half_open + stats.spliced.half_open);
    }
    if (ends != 2 * circuits)
        world_fail(&s->world, "%u circuits and paths of relays are %u connections of nodes",
                   circuits, ends);
}

/* --- What nodes learn of their addresses --- */

/* What is known of a node behind one box, which only that box decides. */
static void check_nat(struct scenario *s, const struct sim_node *n, const struct reach_info *info,
                      const struct autonat_prober_info *found) {
    const struct sim_nat_config *box = &n->host->behind->nat->config;
    /* Where a mapping gets the inside port, if no other has it, those of different times look
     * alike, and identify compares what was seen at different times. */
    bool is_symmetric = box->mapping == NAT_ADDRESS_PORT &&
                        (box->ports == NAT_PORTS_RANDOM || box->ports == NAT_PORTS_SEQUENTIAL);
    bool is_cone = box->mapping == NAT_INDEPENDENT && !box->pools_arbitrarily;
    enum nat_type type = info->nat.type;
    if (found->reachable > 0 && box->filtering == NAT_ADDRESS_PORT)
        world_fail(&s->world, "node %u takes %zu of its addresses for reachable, through a filter",
                   n->index, found->reachable);
    if (is_symmetric && type != NAT_SYMMETRIC && type != NAT_UNKNOWN)
        world_fail(&s->world, "node %u takes its symmetric NAT for %s", n->index,
                   nat_type_name(type));
    if (is_cone && type != NAT_ADDRESS_RESTRICTED && type != NAT_FULL_CONE && type != NAT_UNKNOWN)
        world_fail(&s->world, "node %u takes its cone for %s", n->index, nat_type_name(type));
}

static void check_node_reach(struct scenario *s, const struct sim_node *n) {
    const struct reachability *r = node_reachability(n->node);
    const struct sim_host *box = n->host->behind;
    struct autonat_prober_info found;
    struct reach_info info;
    reachability_info(r, &info);
    autonat_prober_info(reachability_autonat(r), &found);
    world_trace(&s->world, "idle: node %u%s: nat %s, %zu addresses reachable, %zu not, %zu unknown",
                n->index, box == NULL ? "" : ", behind a box", nat_type_name(info.nat.type),
                found.reachable, found.unreachable, found.unknown);
    if (box == NULL && found.unreachable > 0)
        world_fail(&s->world, "node %u is public and takes %zu of its addresses for unreachable",
                   n->index, found.unreachable);
    if (box != NULL && box->behind == NULL && !box->nat->config.is_firewall)
        check_nat(s, n, &info, &found);
}

void relays_check_reach(struct scenario *s) {
    for (uint32_t i = s->relays_count; i < s->nodes_count && s->relays_count > 0; i++)
        check_node_reach(s, &s->nodes[i]);
}

uint64_t relays_questions_of(const struct sim_node *n) {
    const struct autonat_prober *prober = reachability_autonat(node_reachability(n->node));
    const struct autonat_service *service = node_autonat_service(n->node);
    uint64_t count = 0;
    if (prober != NULL)
        for (size_t i = 0; i <= AUTONAT_FAILED; i++)
            count += autonat_prober_stats(prober)->ended[i];
    if (service != NULL) {
        const struct autonat_service_stats *stats = autonat_service_stats(service);
        count += stats->reached + stats->unreached + stats->refused + stats->failed;
    }
    return count;
}

uint32_t relays_circuits_of(const struct sim_node *n) {
    struct hop_service_stats stats;
    if (!n->is_relay)
        return 0;
    hop_service_stats(node_relay_service(n->node), &stats);
    return stats.circuits + stats.spliced.standing;
}

static bool is_empty(const struct sim_node *relay, struct hop_service_stats *ret_stats) {
    hop_service_stats(node_relay_service(relay->node), ret_stats);
    return ret_stats->reservations == 0 && ret_stats->circuits == 0 && ret_stats->half_open == 0 &&
           ret_stats->spliced.standing == 0;
}

void relays_check_empty(struct scenario *s) {
    for (uint32_t i = 0; i < s->relays_count; i++) {
        struct hop_service_stats stats;
        nsec_t until = s->world.now + EMPTY_WITHIN;
        while (!is_empty(&s->nodes[i], &stats) && s->world.now < until &&
               !world_has_failed(&s->world))
            world_run(&s->world, s->world.now + MSEC(100));
        if (!is_empty(&s->nodes[i], &stats))
            world_fail(&s->world, "relay %u has %u reservations, %u circuits, %u half-open of none",
                       i, stats.reservations, stats.circuits, stats.half_open);
    }
}

/* /p2p/<relay>/p2p-circuit, with an address before it or none. */
bool relays_is_through(const struct multiaddr *a, const struct sim_node *relay) {
    struct bytes left = multiaddr_bytes(a);
    struct multiaddr_part part;
    bool is_relay = false;
    while (multiaddr_next(&left, &part)) {
        if (part.code == MULTIADDR_P2P_CIRCUIT)
            return is_relay;
        is_relay = part.code == MULTIADDR_P2P &&
                   bytes_equal(part.value, peer_id_bytes(&relay->identity.id));
    }
    return false;
}

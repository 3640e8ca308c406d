/* SPDX-License-Identifier: MIT */
#include "tests/sim/scenario.h"

#include <stdio.h>
#include <string.h>

#include "ctl/node.h"
#include "tests/sim/scenario_internal.h"
#include "uring/reactor.h"

enum {
    STORM_TRANSFERS_PER_PROXY_MAX = 4,
    IDLE_SECONDS = 60,
    /* A node with a few connections, each with a keep-alive now and then. */
    IDLE_TURNS_PER_SECOND_MAX = 20,
    IDLE_PACKETS_SLACK = 20,
    IDLE_POOL_BYTES_MAX = 1 << 20,
};

#define STARTS_WITHIN SEC(2)
/* Decision 6: by then an idle connection to a peer that is gone, or was started again, is found
 * out. A transfer that begins before may still run into one, and be reset. */
#define FOUND_DEAD    SEC(32)
/* The longest that a client may be kept waiting by a proxy (PROXY_ATTEMPTS_MAX times
 * PROXY_OPEN_TIMEOUT, with 1, 2 and 4 s between), and then a dead peer to be found. */
#define LEFTOVERS_MAX SEC(240)
#define SETTLES       SEC(45)
#define STOPS_WITHIN  SEC(30)

static void run_for(struct scenario *s, nsec_t time) {
    world_run(&s->world, s->world.now + time);
}

/* --- Storm --- */

static void start_nodes(struct scenario *s) {
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        run_for(s, sim_rand_below(&s->plan, STARTS_WITHIN / s->nodes_count));
        sim_node_start(&s->nodes[i]);
    }
    run_for(s, MSEC(100));
}

static void add_loads(struct scenario *s, nsec_t from, nsec_t until, uint64_t max, bool strict) {
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        for (uint32_t k = 0; k < s->nodes[i].proxies_count; k++) {
            uint64_t count = strict ? max : sim_rand_range(&s->plan, 0, max);
            while (count-- > 0)
                load_add(s, &s->nodes[i].proxies[k], from, until, strict);
        }
    }
}

static void storm(struct scenario *s) {
    nsec_t lasts = sim_rand_scale(&s->plan, SEC(2), SEC(60));
    s->resets_are_on = sim_rand_bool(&s->plan);
    s->slow_readers_are_on = sim_rand_bool(&s->plan);
    add_loads(s, s->world.now, s->world.now + lasts, STORM_TRANSFERS_PER_PROXY_MAX, false);
    faults_start(s);
    run_for(s, lasts);
    if (!world_has_failed(&s->world))
        faults_heal(s);
}

/* --- Calm --- */

static bool all_are_up(const struct scenario *s) {
    for (uint32_t i = 0; i < s->nodes_count; i++)
        if (!s->nodes[i].is_up)
            return false;
    return true;
}

static void calm(struct scenario *s) {
    nsec_t until = s->world.now + STOPS_WITHIN;
    while (!all_are_up(s) && s->world.now < until && !world_has_failed(&s->world))
        run_for(s, MSEC(100));
    if (!all_are_up(s))
        world_fail(&s->world, "a node does not come back");
    nsec_t recovered = s->world.now + FOUND_DEAD;
    add_loads(s, s->world.now, recovered, 1, false);
    add_loads(s, recovered, recovered + SEC(5), 1, true);
    until = s->world.now + LEFTOVERS_MAX;
    /* What must end sooner fails at its own deadline. */
    while (!transfers_are_over(&s->transfers) && !world_has_failed(&s->world)) {
        run_for(s, MSEC(500));
        if (s->world.now < until)
            continue;
        for (uint32_t i = 0; i < s->transfers.count; i++)
            if (!s->transfers.items[i]->done && s->transfers.items[i]->plan.must_end == NSEC_NEVER)
                world_fail(&s->world, "transfer %u hangs since the storm", i);
        if (s->world.now > until + SEC(600))
            world_fail(&s->world, "a server waits for a client that is gone");
    }
}

/* --- Idle --- */

static void check_idle_node(struct scenario *s, const struct sim_node *n, uint64_t turns,
                            uint64_t packets) {
    struct buf_pool_stats pool;
    uint64_t packets_max = (uint64_t)IDLE_SECONDS * (s->nodes_count - 1) + IDLE_PACKETS_SLACK;
    buf_pool_stats(reactor_pool(node_reactor(n->node)), &pool);
    world_trace(&s->world, "idle: node %u made %llu turns, sent %llu packets, holds %zu bytes",
                n->index, (unsigned long long)turns, (unsigned long long)packets,
                pool.bytes_in_use);
    if (turns > (uint64_t)IDLE_TURNS_PER_SECOND_MAX * IDLE_SECONDS)
        world_fail(&s->world, "node %u made %llu turns in %d idle seconds", n->index,
                   (unsigned long long)turns, IDLE_SECONDS);
    if (packets > packets_max)
        world_fail(&s->world, "node %u sent %llu packets in %d idle seconds", n->index,
                   (unsigned long long)packets, IDLE_SECONDS);
    if (pool.bytes_in_use > IDLE_POOL_BYTES_MAX)
        world_fail(&s->world, "node %u holds %zu bytes of slabs while idle", n->index,
                   pool.bytes_in_use);
}

static void idle(struct scenario *s) {
    uint64_t turns[HOSTS_MAX];
    uint64_t packets[HOSTS_MAX];
    run_for(s, SETTLES);
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        turns[i] = s->nodes[i].proc.turns;
        packets[i] = s->nodes[i].host->packets_sent;
    }
    run_for(s, SEC(IDLE_SECONDS));
    for (uint32_t i = 0; i < s->nodes_count && !world_has_failed(&s->world); i++)
        check_idle_node(s, &s->nodes[i], s->nodes[i].proc.turns - turns[i],
                        s->nodes[i].host->packets_sent - packets[i]);
}

/* --- End --- */

static bool any_runs(const struct scenario *s) {
    for (uint32_t i = 0; i < s->nodes_count; i++)
        if (s->nodes[i].is_running)
            return true;
    return false;
}

static void end(struct scenario *s) {
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        sim_node_stop(&s->nodes[i]);
        run_for(s, sim_rand_below(&s->plan, MSEC(200)));
    }
    nsec_t until = s->world.now + STOPS_WITHIN;
    while (any_runs(s) && s->world.now < until && !world_has_failed(&s->world))
        run_for(s, MSEC(50));
    if (any_runs(s))
        world_fail(&s->world, "a node does not stop");
}

static void report(const struct scenario *s, nsec_t began, struct scenario_result *r) {
    *r = (struct scenario_result){.hash = s->world.hash,
                                  .events = s->world.traced,
                                  .virtual_seconds = (double)(s->world.now - began) / 1e9,
                                  .bytes = s->transfers.bytes,
                                  .nodes = s->nodes_count,
                                  .transfers = s->transfers.count,
                                  .broken = s->transfers.broken};
    (void)snprintf(r->failure, sizeof(r->failure), "%s", s->world.failure);
}

/* After a failure nothing is taken apart: the state is what somebody may want to look at, and what
 * it left may be freed by nobody. */
static void free_all(struct scenario *s) {
    transfers_done(&s->transfers);
    for (uint32_t i = 0; i < s->nodes_count; i++)
        sim_node_done(&s->nodes[i]);
    net_done(&s->net);
    world_done(&s->world);
    sim_free(s);
}

void scenario_run(uint64_t seed, const char *folder, bool prints_trace,
                  struct scenario_result *ret_result) {
    struct scenario *s = sim_alloc(sizeof(*s));
    world_init(&s->world, seed, prints_trace);
    nsec_t began = s->world.now;
    net_init(&s->net, &s->world);
    transfers_init(&s->transfers, &s->world);
    sim_rand_init(&s->plan, seed, "plan", 0);
    sim_rand_init(&s->fate, seed, "fate", 0);
    s->folder = folder;
    topology_make(s);
    start_nodes(s);
    storm(s);
    if (!world_has_failed(&s->world))
        calm(s);
    if (!world_has_failed(&s->world))
        idle(s);
    if (!world_has_failed(&s->world))
        end(s);
    report(s, began, ret_result);
    if (!world_has_failed(&s->world))
        free_all(s);
}

/* SPDX-License-Identifier: MIT */
#include "tests/sim/scenario.h"

#include <stdio.h>
#include <string.h>

#include "ctl/node.h"
#include "tests/sim/scenario_internal.h"
#include "transport/host.h"
#include "uring/reactor.h"

enum {
    STORM_TRANSFERS_PER_PROXY_MAX = 4,
    IDLE_SECONDS = 60,
    /* A node with a few connections, each with a keep-alive now and then. */
    IDLE_TURNS_PER_SECOND_MAX = 20,
    IDLE_TURNS_PER_CIRCUIT_MAX = 2, /* a second, of a relay */
    IDLE_PACKETS_SLACK = 20,
    /* Of one question of AutoNAT, which may cost 100 kB, to either end. */
    IDLE_PACKETS_QUESTION = 125,
    IDLE_TURNS_QUESTION = 250,
    IDLE_POOL_BYTES_MAX = 1 << 20,
    WAITING_SECONDS = 60,
    WAITING_CLIENTS = 3,
    WAITING_WINDOW = 10,
    WAITING_WINDOW_PACKETS = 12,
    /* A relay gets a question of STUN now and then, three times at each of two addresses. */
    WAITING_STUN = 6,
    WAITING_PUNCH = 60, /* of two nodes that meet elsewhere, over UDP: docs/internals/nat.md */
    PPM = 1000000,
};

#define STARTS_WITHIN     SEC(2)
/* Decision 6: by then an idle connection to a peer that is gone, or was started again, is found
 * out. A transfer that begins before may still run into one, and be reset. */
#define FOUND_DEAD        SEC(32)
#define FOUND_WITH_DATA   SEC(17)
#define UDP_FOUND_BLOCKED SEC(6)
/* The longest that a client may be kept waiting by a proxy (PROXY_ATTEMPTS_MAX times
 * PROXY_OPEN_TIMEOUT, with 1, 2 and 4 s between), and then a dead peer to be found. */
#define LEFTOVERS_MAX     SEC(240)
#define SETTLES           SEC(45)
/* By then relays have told nodes which of their addresses they can dial. */
#define ASKED_ABOUT       SEC(400)
#define STOPS_WITHIN      SEC(30)
/* Dials of all addresses of a peer; and then the kernel has nearly given up repeating the last
 * words of connections that were closed in vain. */
#define FIRST_ROUND       SEC(20)
/* After the event; where a round trip takes long, asking whether a connection lives does, too. */
#define NOTICED_WITHIN    SEC(3)

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

/* To each proxy `min` to `max` transfers. */
static void add_loads(struct scenario *s, nsec_t from, nsec_t until, uint64_t min, uint64_t max,
                      bool strict) {
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        for (uint32_t k = 0; k < s->nodes[i].proxies_count; k++) {
            uint64_t count = sim_rand_range(&s->plan, min, max);
            while (count-- > 0)
                load_add(s, &s->nodes[i].proxies[k], from, until, strict);
        }
    }
}

static void storm(struct scenario *s) {
    nsec_t lasts = sim_rand_scale(&s->plan, SEC(2), SEC(60));
    s->resets_are_on = sim_rand_bool(&s->plan);
    s->slow_readers_are_on = sim_rand_bool(&s->plan);
    add_loads(s, s->world.now, s->world.now + lasts, 0, STORM_TRANSFERS_PER_PROXY_MAX, false);
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

/* Each proxy carries a transfer that begins between the two and must succeed; those that may fail
 * must end too. */
static void wait_for_transfers(struct scenario *s, nsec_t from, nsec_t to) {
    add_loads(s, from, to, 1, 1, true);
    nsec_t until = s->world.now + LEFTOVERS_MAX;
    /* What must end sooner fails at its own deadline. */
    while (!transfers_are_over(&s->transfers) && !world_has_failed(&s->world)) {
        run_for(s, MSEC(500));
        if (s->world.now < until)
            continue;
        for (uint32_t i = 0; i < s->transfers.count; i++)
            if (!s->transfers.items[i]->done && s->transfers.items[i]->plan.must_end == NSEC_NEVER)
                world_fail(&s->world, "transfer %u hangs", i);
        if (s->world.now > until + SEC(600))
            world_fail(&s->world, "a server waits for a client that is gone");
    }
}

static void calm(struct scenario *s) {
    nsec_t until = s->world.now + STOPS_WITHIN;
    while (!all_are_up(s) && s->world.now < until && !world_has_failed(&s->world))
        run_for(s, MSEC(100));
    if (!all_are_up(s))
        world_fail(&s->world, "a node does not come back");
    nsec_t recovered = s->world.now + FOUND_DEAD;
    add_loads(s, s->world.now, recovered, 0, 1, false);
    if (s->relays_count > 0 && !world_has_failed(&s->world)) {
        world_run(&s->world, recovered + relays_reserved_within(s));
        recovered = s->world.now;
        relays_check_reserved(s, "after the storm");
    }
    wait_for_transfers(s, recovered, recovered + SEC(5));
}

/* --- Idle --- */

struct idle {
    uint64_t turns;
    uint64_t packets;
    uint64_t questions;
};

static void idle_now(const struct sim_node *n, struct idle *ret_idle) {
    *ret_idle = (struct idle){.turns = n->proc.turns,
                              .packets = n->host->packets_sent,
                              .questions = relays_questions_of(n)};
}

static void check_idle_node(struct scenario *s, const struct sim_node *n,
                            const struct idle *before) {
    struct buf_pool_stats pool;
    struct idle now;
    idle_now(n, &now);
    uint64_t turns = now.turns - before->turns;
    uint64_t packets = now.packets - before->packets;
    /* Each peer may have one under way at the beginning that is counted, and one at the end that is
     * not yet. */
    uint64_t questions = now.questions - before->questions;
    questions += s->relays_count > 0 ? 2 * (s->nodes_count - 1) : 0;
    uint32_t circuits = relays_circuits_of(n);
    /* Both ends of a circuit say now and then that they are there. */
    uint64_t peers = s->nodes_count - 1 + 2 * circuits;
    uint64_t packets_max = IDLE_SECONDS * peers + IDLE_PACKETS_SLACK;
    uint64_t turns_max =
        IDLE_SECONDS * (IDLE_TURNS_PER_SECOND_MAX + IDLE_TURNS_PER_CIRCUIT_MAX * circuits);
    packets_max += IDLE_PACKETS_QUESTION * questions;
    turns_max += IDLE_TURNS_QUESTION * questions;
    buf_pool_stats(reactor_pool(node_reactor(n->node)), &pool);
    world_trace(&s->world, "idle: node %u made %llu turns, sent %llu packets, holds %zu bytes",
                n->index, (unsigned long long)turns, (unsigned long long)packets,
                pool.bytes_in_use);
    if (turns > turns_max)
        world_fail(&s->world, "node %u made %llu turns in %d idle seconds", n->index,
                   (unsigned long long)turns, IDLE_SECONDS);
    if (packets > packets_max)
        world_fail(&s->world, "node %u sent %llu packets in %d idle seconds", n->index,
                   (unsigned long long)packets, IDLE_SECONDS);
    if (pool.bytes_in_use > IDLE_POOL_BYTES_MAX)
        world_fail(&s->world, "node %u holds %zu bytes of slabs while idle", n->index,
                   pool.bytes_in_use);
}

/* What a node does wrong while it should be idle. */
static void on_disturb(struct sim_event *e) {
    struct scenario *s = CONTAINER_OF(e, struct scenario, disturb);
    struct sim_host *h = s->nodes[0].host;
    if (s->world.sabotage == SABOTAGE_TURNS)
        proc_wake(&s->nodes[0].proc);
    else
        net_send(h, packet_new(PROTO_UDP, &h->addrs[0], &s->nodes[1].host->addrs[0], 0));
    world_after(&s->world, e, MSEC(20));
}

static void idle(struct scenario *s) {
    struct idle before[HOSTS_MAX];
    run_for(s, SETTLES);
    if (s->world.sabotage == SABOTAGE_TURNS || s->world.sabotage == SABOTAGE_TALK) {
        sim_event_init(&s->disturb, on_disturb);
        world_after(&s->world, &s->disturb, 0);
    }
    for (uint32_t i = 0; i < s->nodes_count; i++)
        idle_now(&s->nodes[i], &before[i]);
    run_for(s, SEC(IDLE_SECONDS));
    if (!world_has_failed(&s->world))
        relays_check_idle(s);
    for (uint32_t i = 0; i < s->nodes_count && !world_has_failed(&s->world); i++)
        check_idle_node(s, &s->nodes[i], &before[i]);
    if (s->relays_count == 0 || world_has_failed(&s->world))
        return;
    run_for(s, ASKED_ABOUT - SETTLES - SEC(IDLE_SECONDS));
    if (!world_has_failed(&s->world))
        relays_check_reach(s);
}

/* --- UDP stops passing --- */

static void cut_udp(struct scenario *s, uint32_t cuts) {
    world_trace(&s->world, cuts > 0 ? "UDP passes no more" : "UDP passes again");
    for (uint32_t a = 0; a < s->nodes_count; a++)
        for (uint32_t b = 0; b < s->nodes_count; b++)
            link_of(s, a, b)->udp_cuts = cuts;
}

static void max_rtt(void *user, const struct conn_info *info) {
    nsec_t *max = user;
    *max = MAX(*max, info->rtt);
}

/* A connection that had a slow time is given three of the round trips that it remembers. */
static nsec_t found_blocked(struct scenario *s) {
    nsec_t rtt = 0;
    for (uint32_t i = 0; i < s->nodes_count; i++)
        host_each_conn(node_host(s->nodes[i].node), max_rtt, &rtt);
    return MAX(UDP_FOUND_BLOCKED, 3 * rtt + SEC(1));
}

/* Decision 6: what is sent finds it out, and new streams go over TCP after 5 s. */
static void udp_blocked(struct scenario *s) {
    if (s->transports != TRANSPORTS_BOTH)
        return;
    s->resets_are_on = false;
    cut_udp(s, 1);
    add_loads(s, s->world.now, s->world.now, 1, 1, false);
    run_for(s, found_blocked(s));
    s->hurry = true;
    s->udp_is_cut = true;
    wait_for_transfers(s, s->world.now, s->world.now + SEC(1));
    s->hurry = false;
    s->udp_is_cut = false;
    cut_udp(s, 0);
    wait_for_transfers(s, s->world.now + FOUND_DEAD, s->world.now + FOUND_DEAD + SEC(5));
}

/* --- Both dial at once --- */

/* After all connections have died, every client wants to go somewhere at the same instant.  Who
 * dials from the ports that they listen on meets the other half-way. */
static void crossing(struct scenario *s) {
    for (uint32_t a = 0; a < s->nodes_count; a++)
        for (uint32_t b = 0; b < s->nodes_count; b++)
            link_of(s, a, b)->cuts++;
    run_for(s, FOUND_DEAD + SEC(1));
    for (uint32_t a = 0; a < s->nodes_count; a++)
        for (uint32_t b = 0; b < s->nodes_count; b++)
            link_of(s, a, b)->cuts--;
    s->hurry = true;
    wait_for_transfers(s, s->world.now, s->world.now);
    s->hurry = false;
}

/* --- Silence: a host dies, and decision 6 says when that is found --- */

struct count {
    const struct sim_node *peer;
    uint32_t conns;
};

static void count_conn(void *user, const struct conn_info *info) {
    struct count *c = user;
    c->conns += peer_id_equal(&info->peer, &c->peer->identity.id) ||
                relays_is_through(&info->remote, c->peer);
}

/* To it, and through it where it is a relay. */
static uint32_t conns_to(const struct sim_node *n, const struct sim_node *peer) {
    struct count c = {.peer = peer};
    host_each_conn(node_host(n->node), count_conn, &c);
    return c.conns;
}

/* `max`: of connections to the dead node that each may still have. */
static void check_forgotten(struct scenario *s, const struct sim_node *dead, const uint32_t *max,
                            const char *what) {
    for (uint32_t i = 0; i < s->nodes_count; i++)
        if (&s->nodes[i] != dead && conns_to(&s->nodes[i], dead) > max[i])
            world_fail(&s->world, "node %u still has a connection to dead node %u, %s", i,
                       dead->index, what);
}

/* Who has a connection to the dead node gets something to send over it.  When both dialled there
 * are two, and one of them stays idle. */
static void load_dead(struct scenario *s, const struct sim_node *dead, uint32_t *ret_max) {
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        struct sim_node *n = &s->nodes[i];
        uint32_t conns = n == dead ? 0 : conns_to(n, dead);
        bool loaded = false;
        for (uint32_t k = 0; k < n->proxies_count && conns > 0; k++) {
            if (n->proxies[k].to == dead)
                load_add(s, &n->proxies[k], s->world.now, s->world.now, false);
            loaded |= n->proxies[k].to == dead;
        }
        ret_max[i] = loaded ? conns - 1 : conns;
    }
}

/* Packets from each node to the dead one in each second. */
struct waiting {
    uint64_t before[HOSTS_MAX];
    uint32_t sent[HOSTS_MAX][WAITING_SECONDS];
};

static void count_waiting(struct scenario *s, const struct sim_node *dead, struct waiting *w) {
    for (uint32_t i = 0; i < s->nodes_count; i++)
        w->before[i] = link_of(s, i, dead->index)->packets;
    for (uint32_t second = 0; second < WAITING_SECONDS && !world_has_failed(&s->world); second++) {
        run_for(s, SEC(1));
        for (uint32_t i = 0; i < s->nodes_count; i++) {
            uint64_t now = link_of(s, i, dead->index)->packets;
            w->sent[i][second] = (uint32_t)(now - w->before[i]);
            w->before[i] = now;
        }
    }
}

static uint32_t max_within(const uint32_t sent[WAITING_SECONDS], uint32_t seconds) {
    uint32_t max = 0;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < WAITING_SECONDS; i++) {
        sum += sent[i] - (i < seconds ? 0 : sent[i - seconds]);
        max = MAX(max, sum);
    }
    return max;
}

/* Decision 6: a packet a second, whatever there is to wait for and however many addresses; and so
 * many `more`, all at once. */
static void check_waiting(struct scenario *s, const struct sim_node *from,
                          const struct sim_node *to, const struct waiting *w, uint32_t more) {
    const uint32_t *sent = w->sent[from->index];
    const struct sim_link *l = link_of(s, from->index, to->index);
    uint32_t nodes = 0;
    if (to->host->behind != NULL)
        return; /* nobody can dial it, and the link to its box is its neighbours', too */
    for (uint32_t k = 0; k < s->nodes_count; k++)
        nodes += link_of(s, k, to->index) == l; /* who are behind one box share it */
    more += to->is_relay ? WAITING_STUN : 0;
    uint32_t all = max_within(sent, WAITING_SECONDS);
    uint32_t within = max_within(sent, WAITING_WINDOW);
    world_trace(&s->world, "waiting: node %u sent %u packets to node %u, %u in %d s", from->index,
                all, to->index, within, WAITING_WINDOW);
    if (all > nodes * (WAITING_SECONDS + more) || within > nodes * (WAITING_WINDOW_PACKETS + more))
        world_fail(&s->world,
                   "node %u sent %u packets in %d s to node %u, which does not answer, and %u in "
                   "%d s",
                   from->index, all, WAITING_SECONDS, to->index, within, WAITING_WINDOW);
}

/* Somebody wants to go there all the time. */
static void load_add_several(struct scenario *s, const struct sim_proxy *p, nsec_t time) {
    nsec_t now = s->world.now;
    load_add(s, p, now, now + SEC(2), false);
    for (int i = 1; i < WAITING_CLIENTS; i++)
        load_add(s, p, now, now + time, false);
}

static void silence(struct scenario *s) {
    struct sim_node *dead = &s->nodes[sim_rand_below(&s->plan, s->nodes_count)];
    struct waiting waiting;
    uint32_t idle_conns[HOSTS_MAX];
    const uint32_t none[HOSTS_MAX] = {0};
    if (sim_rand_bool(&s->plan))
        return;
    s->resets_are_on = false; /* what is reset at once is not outstanding */
    host_down(s, dead);
    run_for(s, s->rtt_max + MSEC(100)); /* what it said last is no answer to what comes now */
    load_dead(s, dead, idle_conns);
    run_for(s, FOUND_WITH_DATA);
    check_forgotten(s, dead, idle_conns, "with data outstanding");
    run_for(s, FOUND_DEAD - FOUND_WITH_DATA);
    check_forgotten(s, dead, none, "idle");
    /* Clients that want to go there make their nodes dial in vain. */
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        struct sim_node *n = &s->nodes[i];
        for (uint32_t k = 0; k < n->proxies_count; k++)
            if (n->proxies[k].to == dead && n != dead)
                load_add_several(s, &n->proxies[k], FIRST_ROUND + SEC(WAITING_SECONDS));
    }
    run_for(s, FIRST_ROUND);
    count_waiting(s, dead, &waiting);
    for (uint32_t i = 0; i < s->nodes_count; i++)
        check_waiting(s, &s->nodes[i], dead, &waiting, 0);
    host_up(s, dead);
    sim_node_start(dead);
    if (dead->is_relay) {
        run_for(s, relays_reserved_within(s));
        if (world_has_failed(&s->world))
            return;
        relays_check_reserved(s, "after its host came back");
    }
    wait_for_transfers(s, s->world.now + SEC(5), s->world.now + SEC(10));
}

/* --- One way only --- */

static void load_between(struct scenario *s, const struct sim_node *from, const struct sim_node *to,
                         nsec_t time) {
    nsec_t found = s->world.now + FOUND_DEAD;
    for (uint32_t k = 0; k < from->proxies_count; k++) {
        if (from->proxies[k].to != to)
            continue;
        load_add_several(s, &from->proxies[k], time);
        if (time > FOUND_DEAD) /* somebody dials in vain as soon as none is left */
            load_add(s, &from->proxies[k], found, found + SEC(1), false);
    }
}

/* What one node sends to another vanishes, and not what the other one sends: each may take for
 * alive what the other has given up. */
static void one_way(struct scenario *s) {
    uint32_t a = (uint32_t)sim_rand_below(&s->splits, s->nodes_count);
    uint32_t b =
        (a + 1 + (uint32_t)sim_rand_below(&s->splits, s->nodes_count - 1)) % s->nodes_count;
    struct sim_node *mute = &s->nodes[a];
    struct sim_node *deaf = &s->nodes[b];
    struct waiting waiting;
    bool is_long = sim_rand_bool(&s->splits);
    nsec_t time = is_long ? FOUND_DEAD + FIRST_ROUND
                          : sim_rand_scale(&s->splits, SEC(1), FOUND_DEAD + FIRST_ROUND);
    if (!sim_rand_bool(&s->splits))
        return;
    world_trace(&s->world, "nothing passes from node %u to node %u", a, b);
    s->resets_are_on = false;
    link_of(s, a, b)->cuts++;
    load_between(s, mute, deaf, time);
    load_between(s, deaf, mute, time + (is_long ? SEC(WAITING_SECONDS) : 0));
    run_for(s, time);
    if (is_long) {
        count_waiting(s, mute, &waiting);
        /* They may meet through a relay, and punch holes. */
        check_waiting(s, deaf, mute, &waiting, s->relays_count > 0 ? WAITING_PUNCH : 0);
    }
    link_of(s, a, b)->cuts--;
    world_trace(&s->world, "packets pass again");
    /* Both ends have found out by then, or need to. */
    if (!is_long)
        run_for(s, FOUND_DEAD);
    run_for(s, relays_reserved_within(s));
    if (s->relays_count > 0 && !world_has_failed(&s->world))
        relays_check_reserved(s, "after packets passed one way only");
    s->hurry = is_long;
    if (!world_has_failed(&s->world))
        wait_for_transfers(s, s->world.now, s->world.now + SEC(1));
    s->hurry = false;
}

/* --- Another address: decision 6 says when that is made up for --- */

struct left {
    const struct sim_node *mover;
    struct net_addr addrs[HOST_ADDRS_MAX];
    uint32_t count;
    uint32_t conns;
};

static void count_left(void *user, const struct conn_info *info) {
    struct left *l = user;
    struct net_addr at;
    /* Others have the same private addresses behind boxes of their own. */
    if (!peer_id_equal(&info->peer, &l->mover->identity.id) ||
        multiaddr_to_net_addr(&info->remote, &at) < 0)
        return;
    for (uint32_t i = 0; i < l->count; i++)
        l->conns += net_addr_ip_equal(&at, &l->addrs[i]);
}

static void check_left(struct scenario *s, struct left *l) {
    for (uint32_t i = 0; i < s->nodes_count && !world_has_failed(&s->world); i++)
        host_each_conn(node_host(s->nodes[i].node), count_left, l);
    if (l->conns > 0)
        world_fail(&s->world, "%u connections still lead to where node %u was", l->conns,
                   l->mover->index);
}

/* Through a relay nobody learns that who is behind it has moved; the relay finds out as of the
 * dead. */
static void add_loads_around_mover(struct scenario *s, nsec_t from, nsec_t until) {
    for (uint32_t i = 0; i < s->nodes_count; i++) {
        for (uint32_t k = 0; k < s->nodes[i].proxies_count; k++) {
            if (!s->has_boxes || s->nodes[i].proxies[k].to != s->mover)
                load_add(s, &s->nodes[i].proxies[k], from, until, true);
        }
    }
}

static void moving(struct scenario *s) {
    struct left left = {.mover = s->mover};
    if (s->mover == NULL)
        return;
    s->resets_are_on = false;
    add_loads(s, s->world.now, s->world.now + SEC(2), 0, 1, false);
    run_for(s, sim_rand_below(&s->moves, SEC(3)));
    left.count = s->mover->host->addrs_count;
    memcpy(left.addrs, s->mover->host->addrs, sizeof(left.addrs));
    world_trace(&s->world, "node %u has other addresses", s->mover->index);
    node_readdress(s, s->mover);
    run_for(s, NOTICED_WITHIN + 5 * s->rtt_max);
    s->hurry = true;
    add_loads_around_mover(s, s->world.now, s->world.now + SEC(1));
    s->hurry = false;
    wait_for_transfers(s, s->world.now + FOUND_DEAD, s->world.now + FOUND_DEAD + SEC(5));
    check_left(s, &left);
}

/* --- A machine sleeps --- */

static void sleeping(struct scenario *s) {
    uint32_t first = s->relays_count;
    if (!sim_rand_chance(&s->naps, PPM / 3) || first == s->nodes_count)
        return;
    struct sim_node *n = &s->nodes[sim_rand_range(&s->naps, first, s->nodes_count - 1)];
    s->resets_are_on = false;
    /* Everybody has found it dead by then. */
    host_sleep(s, n, sim_rand_scale(&s->naps, FOUND_DEAD + SEC(1), SEC(600)));
    run_for(s, NOTICED_WITHIN + 5 * s->rtt_max);
    s->hurry = true;
    for (uint32_t k = 0; k < n->proxies_count; k++)
        load_add(s, &n->proxies[k], s->world.now, s->world.now + SEC(1), true);
    s->hurry = false;
    run_for(s, relays_reserved_within(s));
    if (s->relays_count > 0 && !world_has_failed(&s->world))
        relays_check_reserved(s, "after a machine woke up");
    if (!world_has_failed(&s->world))
        wait_for_transfers(s, s->world.now, s->world.now + SEC(5));
}

/* --- End --- */

static bool any_runs(const struct scenario *s) {
    for (uint32_t i = 0; i < s->nodes_count; i++)
        if (s->nodes[i].is_running)
            return true;
    return false;
}

static void stop_nodes(struct scenario *s, uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; i++) {
        sim_node_stop(&s->nodes[i]);
        run_for(s, sim_rand_below(&s->plan, MSEC(200)));
    }
}

static void end(struct scenario *s) {
    stop_nodes(s, s->relays_count, s->nodes_count);
    relays_check_empty(s);
    stop_nodes(s, 0, s->relays_count);
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
    for (uint32_t i = 0; i < s->nodes_count; i++)
        r->bytes_max = MAX(r->bytes_max, s->nodes[i].mem.bytes_max);
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

typedef void (*phase_fn)(struct scenario *s);

void scenario_run(const struct scenario_config *cfg, struct scenario_result *ret_result) {
    struct scenario *s = sim_alloc(sizeof(*s));
    world_init(&s->world, cfg->seed, cfg->prints_trace);
    s->world.sabotage = cfg->sabotage;
    nsec_t began = s->world.now;
    net_init(&s->net, &s->world);
    transfers_init(&s->transfers, &s->world);
    sim_rand_init(&s->plan, cfg->seed, "plan", 0);
    sim_rand_init(&s->fate, cfg->seed, "fate", 0);
    sim_rand_init(&s->walls, cfg->seed, "walls", 0);
    sim_rand_init(&s->moves, cfg->seed, "moves", 0);
    sim_rand_init(&s->naps, cfg->seed, "naps", 0);
    sim_rand_init(&s->splits, cfg->seed, "splits", 0);
    s->has_boxes = cfg->has_boxes;
    s->folder = cfg->folder;
    topology_make(s);
    start_nodes(s);
    const phase_fn phases[] = {storm,   calm,    idle,   crossing, udp_blocked, relays_come_back,
                               one_way, silence, moving, sleeping, end};
    for (size_t i = 0; i < ARRAY_COUNT(phases) && !world_has_failed(&s->world); i++)
        phases[i](s);
    report(s, began, ret_result);
    if (!world_has_failed(&s->world))
        free_all(s);
}

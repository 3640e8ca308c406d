/* SPDX-License-Identifier: MIT */
/* Goal: a scenario's network changes are told as a kernel's are: settled, once, in a turn. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "core/base/mem.h"
#include "tests/sim/backend_sim.h"
#include "tests/sim/netwatch_sim.h"

static struct world world;
static struct net net;
static struct sim_host *host;
static struct sim_proc proc;
static struct reactor *reactor;
static struct sim_netwatch watch;
static struct netwatch_change last;
static int told;

static void on_changed(void *user, const struct netwatch_change *change) {
    (void)user;
    told++;
    last = *change;
}

static void setup(void) {
    world_init(&world, 1, false);
    net_init(&net, &world);
    host = net_add_host(&net);
    net_add_addr(host, &(struct net_addr){.family = NET_IP4, .ip = {5, 1, 0, 1}});
    proc_start_alone(&proc, host);
    struct sim_backend_config io = {.proc = &proc};
    struct reactor_config cfg = {
        .mem = mem_system(), .backend = &backend_sim, .backend_context = &io};
    cr_assert_eq(reactor_new(&cfg, &reactor), 0);
    sim_netwatch_init(&watch, host);
    watch.reactor = reactor;
    netwatch_set_watcher(&watch.netwatch, on_changed, NULL);
}

static void teardown(void) {
    netwatch_set_watcher(&watch.netwatch, NULL, NULL);
    reactor = reactor_free(reactor);
    sim_netwatch_done(&watch);
    proc_done(&proc);
    net_done(&net);
    world_done(&world);
}

static int told_after(nsec_t time) {
    nsec_t until = reactor_now(reactor) + time;
    told = 0;
    while (reactor_now(reactor) < until)
        cr_assert_eq(reactor_turn(reactor, until), 0);
    return told;
}

TestSuite(sim_netwatch, .init = setup, .fini = teardown);

Test(sim_netwatch, begins_with_the_addresses_of_its_host) {
    const struct netwatch_snapshot *s = netwatch_snapshot(&watch.netwatch);
    cr_assert(s->is_known && s->knows_routes);
    cr_assert_eq(s->addrs_count, 1u);
    cr_expect(net_addr_ip_equal(&s->addrs[0].ip, &host->addrs[0]));
    cr_expect_eq(s->routes_count, 1u);
    cr_expect_not_null(netwatch_link_of(s, s->addrs[0].link_index));
    cr_assert_eq(told_after(SEC(10)), 0);
}

Test(sim_netwatch, changes_are_told_once_they_have_settled) {
    struct netwatch_snapshot s;
    net_add_addr(host, &(struct net_addr){.family = NET_IP6, .ip = {0x20, 1, 7}});
    sim_netwatch_read_host(host, &s);
    sim_netwatch_set(&watch, &s);
    cr_assert_eq(told_after(MSEC(400)), 0);
    s.addrs[0].is_deprecated = true;
    sim_netwatch_set(&watch, &s);
    cr_assert_eq(told_after(MSEC(200)), 1);
    cr_expect(last.addrs_added == 1 && last.addrs_altered == 1 && last.routes_differ);
    cr_assert_eq(told_after(SEC(10)), 0);
}

Test(sim_netwatch, waking_up_is_told) {
    sim_netwatch_wake_up(&watch);
    cr_assert_eq(told_after(SEC(1)), 1);
    cr_expect(last.was_suspended);
    sim_netwatch_set(&watch, netwatch_snapshot(&watch.netwatch));
    cr_assert_eq(told_after(SEC(1)), 0);
}

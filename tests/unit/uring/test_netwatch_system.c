/* SPDX-License-Identifier: MIT */
/* Goal: the kernel's own network state, in a namespace of the test's own, is known at once and its
 * changes are told when they have settled.  On the tests' backend, where time moves when a test
 * says; the last ones are on the kernel's backends. */
#include <dirent.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "core/base/strbuf.h"
#include "fake_backend.h"
#include "netns.h"
#include "tests/support/fail_mem.h"
#include "uring/netwatch.h"

struct bed {
    struct fake *fake;
    struct reactor *reactor;
    struct netwatch *watch;
    struct netwatch_change last;
    int told;
    int warnings;
    bool frees; /* when it is told */
    struct log log;
};

static void on_line(struct log *l, enum log_level level, const char *line, size_t len) {
    struct bed *b = l->context;
    (void)line;
    (void)len;
    b->warnings += level == LOG_WARN;
}

static void on_changed(void *user, const struct netwatch_change *change) {
    struct bed *b = user;
    b->told++;
    b->last = *change;
    if (b->frees)
        b->watch = netwatch_system_free(b->watch);
}

static void bed_open(struct bed *b) {
    *b = (struct bed){.log = {.sink = on_line, .context = b, .level_max = LOG_WARN}};
    b->fake = fake_new_with(&b->reactor, mem_system(), &b->log);
    cr_assert_eq(netwatch_system_new(b->reactor, &b->watch), 0);
    cr_assert_eq(b->told, 0);
    netwatch_set_watcher(b->watch, on_changed, b);
}

static void bed_close(struct bed *b) {
    b->watch = netwatch_system_free(b->watch);
    for (int i = 0; i < 4; i++)
        fake_turn(b->reactor);
    cr_assert_not(reactor_has_handles(b->reactor));
    fake_free(b->reactor);
}

/* Lets the backend do what a kernel's would: tell of a descriptor that has something. */
static bool serve(struct bed *b) {
    if (!fake_has(b->fake, OP_POLL))
        return false;
    struct pollfd p = {.fd = fake_find(b->fake, OP_POLL)->fd, .events = POLLIN};
    if (poll(&p, 1, 0) != 1)
        return false;
    fake_end(b->reactor, b->fake, OP_POLL, p.revents);
    return true;
}

static void pass(struct bed *b, nsec_t time) {
    b->fake->now += time;
    fake_turn(b->reactor);
    while (serve(b))
        ;
}

/* What was done since is told of; returns how often. */
static int told_after(struct bed *b, nsec_t time) {
    while (serve(b))
        ;
    b->told = 0;
    pass(b, time);
    return b->told;
}

static const struct netwatch_snapshot *now_of(const struct bed *b) {
    return netwatch_snapshot(b->watch);
}

static const struct netwatch_addr *find(const struct bed *b, const char *ip) {
    struct net_addr wanted;
    cr_assert_eq(net_addr_parse_ip(ip, &wanted), 0);
    for (uint32_t i = 0; i < now_of(b)->addrs_count; i++) {
        if (net_addr_ip_equal(&now_of(b)->addrs[i].ip, &wanted))
            return &now_of(b)->addrs[i];
    }
    return NULL;
}

/* An interface with one address of each family and a default route. */
static void configure(void) {
    netns_enter();
    netns_ip("link set veth0 up");
    netns_ip("addr add 192.168.7.5/24 dev veth0");
    netns_ip("addr add 2001:db8:7::5/64 dev veth0 nodad");
    netns_ip("route add default via 192.168.7.1 metric 100");
}

/* --- What is known --- */

Test(netwatch_system, the_state_is_known_when_it_opens) {
    static struct bed b;
    configure();
    netns_ip("-6 route add default via fe80::1 dev veth0 metric 1024");
    bed_open(&b);
    const struct netwatch_snapshot *s = now_of(&b);
    cr_assert(s->is_known && s->knows_routes && !s->is_cut);
    cr_assert_eq(s->addrs_count, 2u);
    const struct netwatch_addr *a = find(&b, "192.168.7.5");
    cr_assert_not_null(a);
    cr_expect(a->prefix_len == 24 && a->scope == NETWATCH_SCOPE_GLOBAL);
    cr_expect_not(a->is_temporary || a->is_deprecated);
    const struct netwatch_link *l = netwatch_link_of(s, a->link_index);
    cr_assert_not_null(l);
    cr_expect_str_eq(l->name, "veth0");
    cr_expect(l->is_running);
    cr_assert_not_null(find(&b, "2001:db8:7::5"));
    cr_assert_eq(s->routes_count, 2u);
    const struct netwatch_route *r4 = &s->routes[s->routes[0].family == NET_IP4 ? 0 : 1];
    const struct netwatch_route *r6 = &s->routes[s->routes[0].family == NET_IP4 ? 1 : 0];
    cr_expect(r4->metric == 100 && r4->gateway.ip[3] == 1 && r4->link_index == l->index);
    cr_expect(r6->family == NET_IP6 && r6->metric == 1024 && r6->gateway.ip[15] == 1);
    cr_expect_eq(b.warnings, 0);
    bed_close(&b);
}

Test(netwatch_system, a_machine_without_network_is_known_to_have_none) {
    static struct bed b;
    netns_enter();
    bed_open(&b);
    cr_assert(now_of(&b)->is_known && now_of(&b)->knows_routes);
    cr_assert_eq(now_of(&b)->addrs_count + now_of(&b)->routes_count + now_of(&b)->links_count, 0u);
    bed_close(&b);
}

/* --- Changes --- */

Test(netwatch_system, a_change_is_told_half_a_second_after_it_and_not_before) {
    static struct bed b;
    configure();
    bed_open(&b);
    netns_ip("addr add 192.168.7.6/24 dev veth0");
    cr_assert_eq(told_after(&b, MSEC(500) - 1), 0);
    cr_assert_null(find(&b, "192.168.7.6"));
    cr_assert_eq(told_after(&b, 1), 1);
    cr_assert_not_null(find(&b, "192.168.7.6"));
    cr_expect_eq(b.last.addrs_added, 1u);
    cr_expect_eq(b.last.addrs_removed + b.last.addrs_altered, 0u);
    cr_expect_not(b.last.routes_differ);
    cr_assert_eq(told_after(&b, SEC(60)), 0, "told twice");
    bed_close(&b);
}

Test(netwatch_system, several_changes_are_one) {
    static struct bed b;
    configure();
    bed_open(&b);
    netns_ip("addr del 192.168.7.5/24 dev veth0"); /* and the route goes with it */
    cr_assert_eq(told_after(&b, MSEC(300)), 0);
    netns_ip("addr add 10.1.1.5/24 dev veth0");
    netns_ip("route add default via 10.1.1.1");
    cr_assert_eq(told_after(&b, MSEC(200)), 1);
    cr_expect_eq(b.last.addrs_added, 1u);
    cr_expect_eq(b.last.addrs_removed, 1u);
    cr_expect(b.last.routes_differ);
    cr_assert_eq(told_after(&b, SEC(1)), 0);
    bed_close(&b);
}

Test(netwatch_system, what_is_undone_before_it_settles_is_not_told) {
    static struct bed b;
    configure();
    bed_open(&b);
    netns_ip("addr add 192.168.7.6/24 dev veth0");
    netns_ip("addr del 192.168.7.6/24 dev veth0");
    cr_assert_eq(told_after(&b, SEC(1)), 0);
    netns_ip("route add 198.51.100.0/24 via 192.168.7.1"); /* not a default one */
    netns_ip("link add veth2 type veth peer name veth3");
    netns_ip("link set veth2 up");
    cr_assert_eq(told_after(&b, SEC(1)), 0);
    bed_close(&b);
}

/* For what the kernel does, or tells, in its own time. */
static void wait_for_event(struct bed *b) {
    struct pollfd p = {.fd = fake_find(b->fake, OP_POLL)->fd, .events = POLLIN};
    cr_assert_eq(poll(&p, 1, 20000), 1, "the kernel told nothing in 20 s");
}

static void wait_until_told(struct bed *b) {
    while (told_after(b, MSEC(500)) == 0)
        wait_for_event(b);
    cr_assert_eq(b->told, 1);
}

Test(netwatch_system, each_kind_of_change_is_told) {
    static const struct {
        const char *command;
        uint32_t added;
        uint32_t removed;
        uint32_t altered;
        bool routes;
    } STEPS[] = {
        {"addr add 192.168.7.6/24 dev veth0", 1, 0, 0, false},
        {"addr del 192.168.7.6/24 dev veth0", 0, 1, 0, false},
        {"addr add 2001:db8:7::6/64 dev veth0 nodad", 1, 0, 0, false},
        {"addr change 2001:db8:7::6/64 dev veth0 valid_lft 600 preferred_lft 0 nodad", 0, 0, 1,
         false},
        {"addr del 2001:db8:7::6/64 dev veth0", 0, 1, 0, false},
        {"route add default via 192.168.7.254 metric 50", 0, 0, 0, true},
        {"route del default via 192.168.7.254 metric 50", 0, 0, 0, true},
        {"-6 route add default via fe80::1 dev veth0", 0, 0, 0, true},
        {"-6 route replace default via fe80::2 dev veth0", 0, 0, 0, true},
        {"-6 route del default dev veth0", 0, 0, 0, true},
        {"route replace default nexthop via 192.168.7.2 nexthop via 192.168.7.3", 0, 0, 0, true},
        {"link set veth0 down", 0, 2, 0, true},
        {"link set veth0 up", 1, 0, 0, false}, /* the kernel has dropped the other and the routes */
        {"link del veth0", 0, 1, 0, false},
    };
    static struct bed b;
    configure();
    bed_open(&b);
    for (size_t i = 0; i < ARRAY_COUNT(STEPS); i++) {
        netns_ip(STEPS[i].command);
        wait_until_told(&b);
        cr_expect(b.last.addrs_added == STEPS[i].added, "%s", STEPS[i].command);
        cr_expect(b.last.addrs_removed == STEPS[i].removed, "%s", STEPS[i].command);
        cr_expect(b.last.addrs_altered == STEPS[i].altered, "%s", STEPS[i].command);
        cr_expect(b.last.routes_differ == STEPS[i].routes, "%s", STEPS[i].command);
    }
    cr_assert_eq(now_of(&b)->addrs_count + now_of(&b)->routes_count, 0u);
    bed_close(&b);
}

Test(netwatch_system, a_link_without_carrier_has_no_default_route) {
    static struct bed b;
    configure();
    bed_open(&b);
    for (int up = 0; up <= 1; up++) {
        netns_ip(up == 1 ? "link set veth1 up" : "link set veth1 down");
        wait_until_told(&b);
        cr_expect(b.last.routes_differ);
        cr_expect_eq(now_of(&b)->routes_count, (uint32_t)up);
        cr_assert_not_null(find(&b, "192.168.7.5"));
        const struct netwatch_addr *a = find(&b, "192.168.7.5");
        cr_expect_eq(netwatch_link_of(now_of(&b), a->link_index)->is_running, up == 1);
    }
    bed_close(&b);
}

Test(netwatch_system, a_tentative_address_counts_when_it_has_proved_its_own) {
    static struct bed b;
    configure();
    netns_set("ipv6/neigh/veth0/retrans_time_ms", "100");
    netns_set("ipv6/conf/veth0/router_solicitation_delay", "0");
    bed_open(&b);
    netns_ip("addr add 2001:db8:7::66/64 dev veth0");
    if (told_after(&b, MSEC(500)) == 0)
        cr_assert_null(find(&b, "2001:db8:7::66"));
    while (find(&b, "2001:db8:7::66") == NULL) {
        wait_for_event(&b);
        (void)told_after(&b, MSEC(500));
    }
    bed_close(&b);
}

/* Goal: what the kernel had no room to tell of is found by looking at everything. */
Test(netwatch_system, lost_notifications_are_made_up_for) {
    static struct bed b;
    SCOPED(strbuf_free) struct strbuf lines = STRBUF_INIT(KIB(256));
    configure();
    bed_open(&b);
    for (int i = 0; i < 1000; i++)
        strbuf_addf(&lines, "addr %s 10.9.%d.%d/32 dev veth0\n", i % 2 == 0 ? "add" : "del",
                    i / 2 / 200, i / 2 % 200 + 1);
    strbuf_add(&lines, "addr add 10.8.0.1/24 dev veth0\n");
    cr_assert_eq(strbuf_error(&lines), 0);
    netns_ip_batch(strbuf_text(&lines));
    cr_assert_gt(netns_lost_count(), 0, "nothing was lost, so nothing is shown");
    cr_assert_eq(told_after(&b, MSEC(500)), 1);
    cr_assert_not_null(find(&b, "10.8.0.1"));
    cr_assert_eq(b.last.addrs_added, 1u);
    cr_assert_eq(now_of(&b)->addrs_count, 3u);
    netns_ip("addr del 10.8.0.1/24 dev veth0");
    cr_assert_eq(told_after(&b, MSEC(500)), 1, "it still hears");
    bed_close(&b);
}

/* Goal: a dump that the kernel marks as inconsistent is made anew, but not for ever. */
Test(netwatch_system, what_changes_under_a_dump_does_not_make_holes_in_it) {
    static struct bed b;
    SCOPED(strbuf_free) struct strbuf lines = STRBUF_INIT(KIB(64));
    configure();
    for (int i = 0; i < 1000; i++) /* more than a datagram has room for */
        strbuf_addf(&lines, "addr add 10.9.%d.%d/32 dev veth1\n", i / 200, i % 200 + 1);
    netns_ip_batch(strbuf_text(&lines));
    bed_open(&b);
    netns_ip("addr del 192.168.7.5/24 dev veth0");
    for (int i = 0; i < 3; i++) {
        char command[64];
        cr_assert_eq(b.told, 0, "%d", i);
        while (serve(&b))
            ;
        b.fake->now += MSEC(500);
        fake_turn(b.reactor); /* asked; the kernel has prepared the beginning of the answer */
        (void)snprintf(command, sizeof(command), "addr add 10.7.7.%d/32 dev veth1", i + 1);
        netns_ip(command);
        while (serve(&b))
            ;
    }
    cr_assert_eq(b.told, 1);
    cr_assert(b.last.routes_differ, "the default route went with the address");
    cr_assert(now_of(&b)->is_cut && now_of(&b)->routes_count == 0);
    bed_close(&b);
}

Test(netwatch_system, a_long_routing_table_takes_several_turns) {
    static struct bed b;
    SCOPED(strbuf_free) struct strbuf lines = STRBUF_INIT(MIB(4));
    configure();
    for (int i = 0; i < 20000; i++)
        strbuf_addf(&lines, "route add 10.%d.%d.%d/32 dev veth0\n", i >> 16, i >> 8 & 255, i & 255);
    cr_assert_eq(strbuf_error(&lines), 0);
    netns_ip_batch(strbuf_text(&lines));
    bed_open(&b);
    cr_assert(now_of(&b)->is_known && !now_of(&b)->is_cut);
    cr_assert_eq(now_of(&b)->routes_count, 1u);
    netns_ip("addr add 192.168.7.6/24 dev veth0");
    while (serve(&b))
        ;
    b.fake->now += MSEC(500);
    fake_turn(b.reactor);
    int turns = 0;
    while (serve(&b))
        turns++;
    cr_assert_gt(turns, 1);
    cr_assert_eq(b.told, 1);
    bed_close(&b);
}

/* --- Sleep --- */

Test(netwatch_system, waking_up_is_told_within_five_seconds) {
    static struct bed b;
    configure();
    bed_open(&b);
    b.fake->suspended += (int64_t)SEC(3600);
    cr_assert_eq(told_after(&b, SEC(5) - 1), 0);
    pass(&b, 1);
    cr_assert_eq(told_after(&b, 1), 1); /* a timer that is due at once fires in the next turn */
    cr_expect(b.last.was_suspended);
    cr_expect_eq(b.last.addrs_added + b.last.addrs_removed + b.last.addrs_altered, 0u);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(told_after(&b, SEC(5)), 0, "told again");
    b.fake->suspended += (int64_t)MSEC(900); /* two clocks are not read at the same instant */
    cr_assert_eq(told_after(&b, SEC(6)) + told_after(&b, SEC(1)), 0);
    bed_close(&b);
}

Test(netwatch_system, what_changed_during_sleep_is_told_with_it) {
    static struct bed b;
    configure();
    bed_open(&b);
    b.fake->suspended += (int64_t)SEC(3600);
    netns_ip("addr del 2001:db8:7::5/64 dev veth0");
    cr_assert_eq(told_after(&b, MSEC(500)), 1);
    cr_expect(b.last.was_suspended);
    cr_expect_eq(b.last.addrs_removed, 1u);
    cr_assert_eq(told_after(&b, SEC(5)) + told_after(&b, 1), 0);
    bed_close(&b);
}

/* --- Where the system refuses --- */

/* The system call `number` fails with `error` when its argument is `value`. */
static void deny(uint32_t number, uint32_t argument, uint32_t value, uint32_t error) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 (uint32_t)offsetof(struct seccomp_data, args) + 8 * argument),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_COUNT(code), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        cr_skip("seccomp is not to be had here");
}

Test(netwatch_system, without_notifications_addresses_are_looked_at_every_30_s) {
    static struct bed b;
    configure();
    deny(SYS_setsockopt, 1, SOL_NETLINK, EPERM);
    bed_open(&b);
    cr_assert_eq(b.warnings, 1);
    cr_assert(now_of(&b)->is_known && !now_of(&b)->knows_routes);
    cr_assert_eq(now_of(&b)->addrs_count, 2u);
    const struct netwatch_addr *a = find(&b, "192.168.7.5");
    cr_assert_not_null(a);
    cr_expect(a->prefix_len == 24 && find(&b, "2001:db8:7::5")->prefix_len == 64);
    cr_expect_str_eq(netwatch_link_of(now_of(&b), a->link_index)->name, "veth0");
    cr_expect(netwatch_link_of(now_of(&b), a->link_index)->is_running);
    netns_ip("addr add 192.168.7.6/24 dev veth0");
    cr_assert_eq(told_after(&b, SEC(30) - 1), 0);
    cr_assert_eq(told_after(&b, 1), 1);
    cr_expect_eq(b.last.addrs_added, 1u);
    cr_assert_eq(told_after(&b, SEC(30)), 0);
    b.fake->suspended += (int64_t)SEC(3600);
    cr_assert_eq(told_after(&b, SEC(5)) + told_after(&b, 1), 1, "waking up is seen here, too");
    cr_expect(b.last.was_suspended);
    cr_assert_eq(b.warnings, 1);
    bed_close(&b);
}

Test(netwatch_system, without_any_netlink_nothing_is_known_and_one_warning_says_so) {
    static struct bed b;
    configure();
    deny(SYS_socket, 0, AF_NETLINK, EAFNOSUPPORT);
    bed_open(&b);
    cr_assert_eq(b.warnings, 1);
    cr_assert_not(now_of(&b)->is_known);
    cr_assert_eq(told_after(&b, SEC(30)) + told_after(&b, SEC(30)), 0);
    cr_assert_eq(b.warnings, 1);
    bed_close(&b);
}

/* A profile that lets the socket be made, and not be used. */
Test(netwatch_system, a_socket_that_breaks_later_is_given_up) {
    static struct bed b;
    configure();
    bed_open(&b);
    netns_ip("addr add 192.168.7.6/24 dev veth0");
    deny(SYS_recvmsg, 2, MSG_DONTWAIT, EPERM); /* not those of getifaddrs() */
    cr_assert(serve(&b));
    cr_assert_eq(b.told, 1, "it looked by other means");
    cr_assert_eq(b.warnings, 1);
    cr_assert_not_null(find(&b, "192.168.7.6"));
    cr_assert_not(now_of(&b)->knows_routes);
    bed_close(&b);
}

/* --- Life --- */

Test(netwatch_system, may_go_while_it_tells) {
    static struct bed b;
    configure();
    bed_open(&b);
    b.frees = true;
    netns_ip("addr add 192.168.7.6/24 dev veth0");
    cr_assert_eq(told_after(&b, MSEC(500)), 1);
    cr_assert_null(b.watch);
    bed_close(&b);
}

Test(netwatch_system, may_go_while_it_tells_what_it_found_without_netlink) {
    static struct bed b;
    configure();
    bed_open(&b);
    b.frees = true;
    netns_ip("addr add 192.168.7.6/24 dev veth0");
    deny(SYS_recvmsg, 2, MSG_DONTWAIT, EPERM);
    cr_assert(serve(&b));
    cr_assert_eq(b.told, 1);
    cr_assert_eq(b.warnings, 1);
    cr_assert_null(b.watch);
    bed_close(&b);
}

Test(netwatch_system, may_go_in_the_middle_of_a_dump) {
    static struct bed b;
    configure();
    bed_open(&b);
    netns_ip("addr add 192.168.7.6/24 dev veth0");
    while (serve(&b))
        ;
    b.fake->now += MSEC(500);
    fake_turn(b.reactor); /* asked, and not yet read */
    bed_close(&b);
    cr_assert_eq(b.told, 0);
    cr_assert_null(netwatch_system_free(NULL));
}

static int open_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    cr_assert_not_null(dir);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

Test(netwatch_system, nothing_is_left_behind_when_memory_is_short) {
    struct fail_mem f;
    configure();
    int fds = open_fds();
    for (fail_mem_start(&f);; fail_mem_again(&f)) {
        struct bed b = {0};
        b.fake = fake_new_with(&b.reactor, &f.mem, NULL);
        if (b.fake != NULL) {
            int e = netwatch_system_new(b.reactor, &b.watch);
            cr_assert(e == 0 || e == -ENOMEM, "%d", e);
            cr_assert(e == 0 || f.failed);
            bed_close(&b);
        }
        cr_assert_eq(f.blocks, 0);
        cr_assert_eq(open_fds(), fds);
        if (!f.failed)
            break;
    }
}

Test(netwatch_system, changes_take_no_memory) {
    static struct bed b;
    struct fail_mem f;
    configure();
    fail_mem_start(&f);
    f.fail_at = 0;
    b.fake = fake_new_with(&b.reactor, &f.mem, NULL);
    cr_assert_eq(netwatch_system_new(b.reactor, &b.watch), 0);
    netwatch_set_watcher(b.watch, on_changed, &b);
    long calls = f.calls;
    netns_ip("addr add 192.168.7.6/24 dev veth0");
    cr_assert_eq(told_after(&b, MSEC(500)), 1);
    cr_assert_eq(f.calls, calls);
    bed_close(&b);
    cr_assert_eq(f.blocks, 0);
}

/* --- On the kernel's backends --- */

static void works_on(enum reactor_io io) {
    static struct bed b;
    struct reactor_config cfg = {.mem = mem_system(), .io = io};
    configure();
    cr_assert_eq(reactor_new(&cfg, &b.reactor), 0);
    cr_assert_eq(netwatch_system_new(b.reactor, &b.watch), 0);
    netwatch_set_watcher(b.watch, on_changed, &b);
    netns_ip("addr add 192.168.7.6/24 dev veth0");
    for (nsec_t until = reactor_now(b.reactor) + SEC(20); b.told == 0;) {
        cr_assert_lt(reactor_now(b.reactor), until, "not told");
        cr_assert_eq(reactor_turn(b.reactor, until), 0);
    }
    cr_assert_eq(b.last.addrs_added, 1u);
    b.watch = netwatch_system_free(b.watch);
    while (reactor_has_handles(b.reactor))
        cr_assert_eq(reactor_turn(b.reactor, reactor_now(b.reactor) + MSEC(10)), 0);
    b.reactor = reactor_free(b.reactor);
}

Test(netwatch_system, works_on_io_uring) {
    works_on(REACTOR_IO_URING);
}

Test(netwatch_system, works_on_epoll) {
    works_on(REACTOR_IO_EPOLL);
}

/* SPDX-License-Identifier: MIT */
/* Goal: a node acts on what its network watch says, and people read it.
 * Spec: behaviour.md, section 10.2. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/problem.h"
#include "ctl/netmon.h"
#include "ctl/node.h"
#include "ctl/node_metrics.h"
#include "folder.h"
#include "transport/host_internal.h"
#include "uring/netwatch.h"
#include "uring/reactor.h"

struct netmon_test {
    struct folder folder;
    struct metric_registry registry;
    struct node_metrics metrics;
    struct netwatch watch;
    struct node *node;
    int told;
    char text[SAY_BYTES_MAX];
};

static void hear(void *user, const char *text) {
    struct netmon_test *t = user;
    t->told++;
    (void)snprintf(t->text, sizeof(t->text), "%s", text);
}

static void begin(struct netmon_test *t, say_fn *say) {
    struct problem why = PROBLEM_INIT;
    *t = (struct netmon_test){.told = 0};
    folder_make(&t->folder);
    metric_registry_init(&t->registry);
    node_metrics_open(&t->metrics, &t->registry);
    struct node_config cfg = {
        .metrics = &t->metrics,
        .mem = mem_system(),
        .key_file = folder_file(&t->folder, "key"),
        .say = say,
        .say_user = t,
        .netwatch = &t->watch,
    };
    cr_assert_eq(node_open(&cfg, &t->node, &why), 0, "%s", why.text);
}

static void end(struct netmon_test *t) {
    t->node = node_free(t->node);
    node_metrics_close(&t->metrics);
    metric_registry_done(&t->registry);
    folder_remove(&t->folder);
}

static int64_t metric(const struct netmon_test *t, const char *name, const char *labels) {
    struct metric_cursor cursor = {0};
    struct metric_sample s;
    while (metric_next(&t->registry, &cursor, &s)) {
        if (strcmp(s.info->name, name) == 0 && strcmp(s.info->labels, labels) == 0)
            return (int64_t)s.value;
    }
    cr_fatal("no metric %s{%s}", name, labels);
    return 0;
}

static struct netwatch_snapshot network(size_t count, const char *const *ips) {
    struct netwatch_snapshot s = {.knows_routes = true};
    for (size_t i = 0; i < count; i++) {
        struct netwatch_addr a = {.link_index = 2};
        cr_assert_eq(net_addr_parse_ip(ips[i], &a.ip), 0);
        netwatch_add_addr(&s, &a);
    }
    return s;
}

Test(netmon, changes_are_told_to_people_and_to_the_host) {
    struct netmon_test t;
    begin(&t, hear);
    for (int i = 0; i < BLACK_HOLE_WINDOW; i++)
        black_hole_record(&node_host(t.node)->udp_hole, false);
    struct netwatch_snapshot s = network(2, (const char *const[]){"10.0.0.2", "1.2.3.4"});
    netwatch_publish(&t.watch, &s, false);
    cr_assert_eq(t.told, 1);
    cr_assert_str_eq(t.text, "Network change: +2 -0 IPs (ipv6=false ipv4=true)");
    cr_assert_not(black_hole_is_blocked(&node_host(t.node)->udp_hole));

    s = network(2, (const char *const[]){"10.0.0.2", "2a01::1"});
    netwatch_publish(&t.watch, &s, true);
    cr_assert_eq(t.told, 2);
    cr_assert_str_eq(t.text, "Network change: +1 -1 IPs (ipv6=true ipv4=false)");

    netwatch_publish(&t.watch, &s, true);
    cr_assert_eq(t.told, 3);
    cr_assert_str_eq(t.text, "Network change: the machine was suspended");

    netwatch_add_route(&s, &(struct netwatch_route){.link_index = 2, .family = NET_IP4});
    netwatch_publish(&t.watch, &s, false);
    cr_assert_eq(t.told, 4);
    cr_assert_str_eq(t.text, "Network change: another default route");
    end(&t);
}

Test(netmon, an_address_that_goes_soon_is_no_change_yet) {
    struct netmon_test t;
    begin(&t, hear);
    struct netwatch_snapshot s = network(1, (const char *const[]){"2a01::1"});
    netwatch_publish(&t.watch, &s, false);
    s.addrs[0].is_deprecated = true;
    netwatch_publish(&t.watch, &s, false);
    cr_assert_eq(t.told, 1);
    end(&t);
}

Test(netmon, nobody_has_to_read_and_a_closed_node_hears_nothing) {
    struct netmon_test t;
    begin(&t, NULL);
    struct netwatch_snapshot s = network(1, (const char *const[]){"10.0.0.2"});
    netwatch_publish(&t.watch, &s, false);
    node_close(t.node);
    s = network(0, NULL);
    netwatch_publish(&t.watch, &s, false);
    cr_assert_eq(t.told, 0);
    end(&t);
}

/* The addresses of one family are what counts, not how many there are. */
Test(netmon, public_addresses_and_their_changes_are_counted) {
    static const struct {
        const char *ips[3];
        int64_t ip4, ip6, ip4_changes, ip6_changes;
    } rows[] = {
        {{"10.0.0.2", "1.2.3.4", NULL}, 1, 0, 1, 0},
        {{"10.0.0.3", "1.2.3.4", NULL}, 1, 0, 1, 0},
        {{"1.2.3.5", NULL, NULL}, 1, 0, 2, 0},
        {{"1.2.3.5", "2a01::1", "2a01::2"}, 1, 2, 2, 1},
        {{"2a01::2", NULL, NULL}, 0, 1, 3, 2},
    };
    struct netmon_test t;
    begin(&t, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        size_t count = 0;
        while (count < 3 && rows[i].ips[count] != NULL)
            count++;
        struct netwatch_snapshot s = network(count, rows[i].ips);
        netwatch_publish(&t.watch, &s, false);
        cr_assert_eq(metric(&t, "peerup_interface_count", "ip_version=\"ipv4\""), rows[i].ip4);
        cr_assert_eq(metric(&t, "peerup_interface_count", "ip_version=\"ipv6\""), rows[i].ip6);
        cr_assert_eq(metric(&t, "peerup_network_change_total", "change_type=\"ipv4\""),
                     rows[i].ip4_changes, "row %zu", i);
        cr_assert_eq(metric(&t, "peerup_network_change_total", "change_type=\"ipv6\""),
                     rows[i].ip6_changes, "row %zu", i);
    }
    end(&t);
}

Test(node_metrics, punches_and_decisions_are_counted) {
    struct metric_registry registry;
    struct node_metrics m;
    metric_registry_init(&registry);
    node_metrics_open(&m, &registry);
    node_metrics_decided(&m, true);
    node_metrics_decided(&m, false);
    node_metrics_decided(&m, false);
    node_metrics_punched(&m, true, MSEC(30));
    node_metrics_punched(&m, false, SEC(10));
    cr_assert_eq(m.values[0], 1);
    cr_assert_eq(m.values[1], 2);
    cr_assert_eq(m.values[2], 1);
    cr_assert_eq(m.values[3], 1);
    cr_assert_eq(m.histograms[0].counts[2], 1, "above 20 ms, within 40 ms");
    cr_assert_eq(m.histograms[1].counts[10], 1, "above all bounds");
    cr_assert_eq(m.histograms[1].sum, SEC(10));
    node_metrics_decided(NULL, true);
    node_metrics_punched(NULL, true, 0);
    node_metrics_network(NULL, true, true);
    node_metrics_addrs(NULL, 1, 1);
    node_metrics_close(&m);
    metric_registry_done(&registry);
}

/* SPDX-License-Identifier: MIT */
/* Goal: a node knows how well others can reach it, and people read what STUN found.
 * Spec: behaviour.md, sections 10.3 and 10.4. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/conf/schema.h"
#include "ctl/node.h"
#include "ctl/node_metrics.h"
#include "ctl/reachability.h"
#include "relay/stun_service.h"
#include "tests/unit/ctl/folder.h"
#include "transport/host.h"
#include "uring/netwatch.h"
#include "uring/reactor.h"

struct reach_test {
    struct folder folder;
    struct netwatch watch;
    struct node *node;
    struct node *server;
    struct metric_registry registry;
    struct node_metrics metrics;
    int told;
    char text[SAY_BYTES_MAX];
};

static void hear(void *user, const char *text) {
    struct reach_test *t = user;
    t->told++;
    (void)snprintf(t->text, sizeof(t->text), "%s", text);
}

static void begin(struct reach_test *t) {
    folder_make(&t->folder);
    metric_registry_init(&t->registry);
    node_metrics_open(&t->metrics, &t->registry);
}

static void end(struct reach_test *t) {
    node_metrics_close(&t->metrics);
    metric_registry_done(&t->registry);
    folder_remove(&t->folder);
}

static struct node *open_node(struct reach_test *t, const char *key, const char *listen,
                              const struct config_servers *servers) {
    struct multiaddr at;
    struct problem why = PROBLEM_INIT;
    struct node *n;
    cr_assert_eq(multiaddr_parse(listen, &at), 0);
    struct node_config cfg = {.mem = mem_system(),
                              .key_file = folder_file(&t->folder, key),
                              .listen = &at,
                              .listen_count = 1,
                              .stun_servers = servers,
                              .serves_stun = servers == NULL,
                              .metrics = servers == NULL ? NULL : &t->metrics,
                              .say = hear,
                              .say_user = t,
                              .netwatch = &t->watch};
    cr_assert_eq(node_open(&cfg, &n, &why), 0, "%s", why.text);
    return n;
}

static void publish(struct reach_test *t, size_t count, const char *const *ips) {
    struct netwatch_snapshot s = {.knows_routes = true};
    for (size_t i = 0; i < count; i++) {
        struct netwatch_addr a = {.link_index = 2};
        cr_assert_eq(net_addr_parse_ip(ips[i], &a.ip), 0);
        netwatch_add_addr(&s, &a);
    }
    netwatch_publish(&t->watch, &s, false);
}

/* Of peerup_stun_probe_total. */
static uint64_t counted(struct reach_test *t, const char *result) {
    struct metric_cursor cursor = {0};
    struct metric_sample sample;
    while (metric_next(&t->registry, &cursor, &sample)) {
        if (strcmp(sample.info->name, "peerup_stun_probe_total") == 0 &&
            strstr(sample.info->labels, result) != NULL)
            return sample.value;
    }
    return UINT64_MAX; /* nobody counts */
}

static char grade_of(const struct node *n) {
    struct reach_info info;
    reachability_info(node_reachability(n), &info);
    return info.grade.grade;
}

Test(reachability, the_grade_follows_the_interfaces) {
    static struct reach_test t;
    begin(&t);
    t.node = open_node(&t, "a", "/ip4/127.0.0.1/tcp/0", &(struct config_servers){.is_set = true});
    publish(&t, 1, (const char *const[]){"10.0.0.2"});
    cr_assert_eq(grade_of(t.node), 'D');
    publish(&t, 2, (const char *const[]){"10.0.0.2", "1.2.3.4"});
    cr_assert_eq(grade_of(t.node), 'B');
    publish(&t, 1, (const char *const[]){"2a01::1"});
    cr_assert_eq(grade_of(t.node), 'A');
    publish(&t, 0, NULL);
    cr_assert_eq(grade_of(t.node), 'F');
    cr_assert_null(node_stun_service(t.node));
    t.node = node_free(t.node);
    end(&t);
}

Test(reachability, who_is_private_asks_nobody_whether_it_can_be_dialled) {
    static struct reach_test t;
    struct multiaddr at;
    struct problem why = PROBLEM_INIT;
    folder_make(&t.folder);
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/tcp/0", &at), 0);
    for (int is_private = 0; is_private < 2; is_private++) {
        struct node_config cfg = {.mem = mem_system(),
                                  .key_file = folder_file(&t.folder, "a"),
                                  .listen = &at,
                                  .listen_count = 1,
                                  .is_private = is_private == 1,
                                  .netwatch = &t.watch};
        cr_assert_eq(node_open(&cfg, &t.node, &why), 0, "%s", why.text);
        const struct reachability *r = node_reachability(t.node);
        cr_assert_eq(reachability_autonat(r) == NULL, is_private);
        cr_assert_eq(reachability_autonat_v1(r) == NULL, is_private);
        t.node = node_free(t.node);
    }
    folder_remove(&t.folder);
}

Test(reachability, a_node_asks_the_servers_of_its_config_and_says_what_came_of_it) {
    static struct reach_test t;
    struct config_host_port item = {.host = "127.0.0.1"};
    struct config_servers servers = {.items = &item, .count = 1, .is_set = true};
    struct multiaddr bound;
    struct net_addr at;
    begin(&t);
    t.server = open_node(&t, "b", "/ip4/127.0.0.1/udp/0/quic-v1", NULL);
    cr_assert_eq(host_listen_addrs(node_host(t.server), &bound, 1), 1);
    cr_assert_eq(multiaddr_to_net_addr(&bound, &at), 0);
    item.port = at.port;
    t.node = open_node(&t, "a", "/ip4/127.0.0.1/udp/0/quic-v1", &servers);
    publish(&t, 1, (const char *const[]){"10.0.0.2"});
    for (int i = 0; i < 4000 && counted(&t, "success") < 2; i++) {
        nsec_t soon = reactor_now(node_reactor(t.node)) + MSEC(1);
        cr_assert_eq(reactor_turn(node_reactor(t.node), soon), 0);
        cr_assert_eq(reactor_turn(node_reactor(t.server), 0), 0);
    }
    cr_assert_eq(counted(&t, "success"), 2u);
    cr_assert_eq(counted(&t, "failure"), 0u);
    cr_assert_str_eq(t.text, "NAT type: unknown", "loopback says nothing of a NAT");
    cr_assert_eq(stun_service_stats(node_stun_service(t.server))->answered, 2u);
    cr_assert_eq(grade_of(t.node), 'D');
    t.node = node_free(t.node);
    t.server = node_free(t.server);
    end(&t);
}

Test(reachability, the_text_says_type_address_and_what_it_means) {
    static const struct {
        enum nat_type type;
        bool is_cgnat;
        const char *external;
        const char *wanted;
    } ROWS[] = {
        {NAT_UNKNOWN, false, NULL, "NAT type: unknown"},
        {NAT_NONE, false, "203.0.113.5:4001", "NAT type: none (external: 203.0.113.5:4001)"},
        {NAT_FULL_CONE, false, "203.0.113.5:4001",
         "NAT type: full-cone (external: 203.0.113.5:4001) [hole-punchable]"},
        {NAT_ADDRESS_RESTRICTED, false, "[2a01::1]:4001",
         "NAT type: address-restricted (external: [2a01::1]:4001) [hole-punchable]"},
        {NAT_ADDRESS_RESTRICTED, true, "203.0.113.5:1",
         "NAT type: address-restricted (external: 203.0.113.5:1) [CGNAT]"},
        {NAT_SYMMETRIC, false, "203.0.113.5:1", "NAT type: symmetric (external: 203.0.113.5:1)"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        char text[REACH_TEXT_MAX];
        struct reach_info info = {.nat = {.is_probed = true, .type = ROWS[i].type},
                                  .ips = {.is_cgnat = ROWS[i].is_cgnat}};
        info.nat.is_external_known = ROWS[i].external != NULL;
        if (ROWS[i].external != NULL)
            cr_assert_eq(net_addr_parse(ROWS[i].external, &info.external), 0);
        cr_expect_str_eq(reach_info_text(&info, text), ROWS[i].wanted);
    }
}

/* SPDX-License-Identifier: MIT */

/* Service and proxy back to back, with a real TCP client and target. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/problem.h"
#include "relay/relay_limit.h"
#include "tests/support/fail_mem.h"
#include "tests/unit/relay/tunnel.h"

Test(tunnel, bytes_and_ends_travel_both_ways) {
    struct tunnel t;
    int client, target;
    struct service_info info;
    struct proxy_stats stats;
    tunnel_open(&t);
    client = connect_through(&t, &target);
    sock_send(client, "ping");
    turn_until(&t, sock_has(target, "ping"));
    sock_send(target, "pong!");
    turn_until(&t, sock_has(client, "pong!"));
    shutdown(client, SHUT_WR);
    turn_until(&t, sock_is_ended(target));
    close(target);
    turn_until(&t, sock_is_ended(client));
    close(client);
    turn_until(&t, fake_host_streams(t.near) == 0);

    cr_assert_eq(services_find(t.services, "echo", &info), 0);
    cr_assert_eq(info.connections, 1);
    cr_assert_eq(info.rx_bytes, 4);
    cr_assert_eq(info.tx_bytes, 5);
    cr_assert_eq(info.active, 0);
    cr_assert_gt(info.durations->sum, 0);
    uint64_t ended = 0;
    for (uint32_t i = 0; i <= SERVICE_DURATIONS.count; i++)
        ended += info.durations->counts[i];
    cr_assert_eq(ended, 1);
    proxy_stats(t.proxy, &stats);
    cr_assert_eq(stats.connections, 1);
    cr_assert_eq(stats.rx_bytes, 5);
    cr_assert_eq(stats.tx_bytes, 4);
    tunnel_close(&t);
}

Test(tunnel, a_server_that_speaks_first_is_heard) {
    struct tunnel t;
    int client, target;
    tunnel_open(&t);
    client = connect_through(&t, &target);
    sock_send(target, "220 ready\n");
    turn_until(&t, sock_has(client, "220 ready\n"));
    close(client);
    close(target);
    tunnel_close(&t);
}

Test(tunnel, a_reset_by_the_target_reaches_the_client) {
    struct tunnel t;
    int client, target;
    tunnel_open(&t);
    client = connect_through(&t, &target);
    sock_send(target, "part");
    turn_until(&t, sock_has(client, "part"));
    sock_abort(target);
    turn_until(&t, sock_is_reset(client));
    close(client);
    tunnel_close(&t);
}

Test(tunnel, a_reset_by_the_client_reaches_the_target) {
    struct tunnel t;
    int client, target;
    tunnel_open(&t);
    client = connect_through(&t, &target);
    sock_send(client, "part");
    turn_until(&t, sock_has(target, "part"));
    sock_abort(client);
    turn_until(&t, sock_is_reset(target));
    close(target);
    tunnel_close(&t);
}

/* With data under way in both directions and nobody reading. */
Test(tunnel, a_dead_connection_resets_both_tcp_ends) {
    struct tunnel t;
    int client, target;
    static char block[1 << 16];
    tunnel_open(&t);
    client = connect_through(&t, &target);
    for (int i = 0; i < 100; i++) {
        (void)!send(client, block, sizeof(block), MSG_NOSIGNAL);
        (void)!send(target, block, sizeof(block), MSG_NOSIGNAL);
        turn_while_busy(&t);
    }
    fake_host_kill(t.near, -ETIMEDOUT);
    turn_until(&t, sock_is_reset(client));
    turn_until(&t, sock_is_reset(target));
    close(client);
    close(target);
    tunnel_close(&t);
}

/* Decision 2: it ends with an error that names the limit. */
Test(tunnel, a_connection_that_met_its_relays_limit_is_told_of) {
    static const int errors[] = {-ERR_RELAY_DATA_LIMIT, -ERR_RELAY_TIME_LIMIT, -ERR_CONN_CLOSED};
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        struct tunnel t;
        int client, target;
        tunnel_open(&t);
        struct fake_conn *c = fake_connect(t.near, t.far, "/ip4/198.51.100.1/tcp/1/p2p-circuit",
                                           "/ip4/198.51.100.2/tcp/2/p2p-circuit");
        fake_conn_limit(c, &(struct conn_limit){.duration_s = 70, .data_bytes = 1 << 20});
        client = connect_through(&t, &target);
        fake_disconnect(c, errors[i]);
        turn_until(&t, sock_is_reset(client));
        turn_until(&t, sock_is_reset(target));
        cr_assert_eq(t.limits_met, i < 2);
        if (i < 2) {
            cr_assert_eq(t.limit_error, errors[i]);
            cr_assert_eq(t.limit_bytes, 1 << 20);
        }
        close(client);
        close(target);
        tunnel_close(&t);
    }
}

Test(relay_limit, is_named_with_its_value) {
    const struct conn_limit limit = {.duration_s = 90, .data_bytes = 64 << 20};
    const struct conn_limit most = {.data_bytes = UINT64_MAX};
    char text[RELAY_LIMIT_TEXT_MAX];
    cr_assert_str_eq(relay_limit_format(-ERR_RELAY_DATA_LIMIT, &limit, text), "64MB each way");
    cr_assert_str_eq(relay_limit_format(-ERR_RELAY_TIME_LIMIT, &limit, text), "1m30s");
    cr_assert_str_eq(relay_limit_format(-ERR_RELAY_DATA_LIMIT, &most, text),
                     "9223372036854775807B each way");
    cr_assert_not(relay_limit_is_met(0));
    cr_assert_not(relay_limit_is_met(-ERR_LIMIT));
}

/* Nobody listens at the local address. */
Test(tunnel, a_target_that_refuses_is_a_reset) {
    struct tunnel t;
    struct service_info info;
    tunnel_open(&t);
    close(t.target);
    int client = client_connect(&t);
    turn_until(&t, sock_is_reset(client));
    cr_assert_eq(services_find(t.services, "echo", &info), 0);
    cr_assert_eq(info.failed, 1);
    cr_assert_eq(info.connections, 0);
    t.target = dup(0);
    close(client);
    tunnel_close(&t);
}

Test(tunnel, an_unknown_service_is_refused_at_once) {
    struct tunnel t;
    tunnel_open(&t);
    tunnel_proxy_to(&t, "nothing");
    nsec_t began = reactor_now(t.reactor);
    int client = client_connect(&t);
    turn_until(&t, sock_is_reset(client));
    cr_assert_lt(reactor_now(t.reactor) - began, SEC(1));
    turn_until(&t, t.refusals == 1);
    cr_assert_eq(t.refusal, -ERR_PROTOCOL_NOT_SUPPORTED);
    close(client);
    tunnel_close(&t);
}

/* localhost is both loopback addresses: the target listens on IPv4 only, ::1 is never tried first.
 */
Test(tunnel, localhost_reaches_a_target_on_either_family) {
    struct tunnel t;
    tunnel_open(&t);
    tunnel_add_service(&t, &(struct service_config){
                               .name = "by-name", .host = "localhost", .port = t.target_port});
    tunnel_proxy_to(&t, "by-name");
    int target;
    int client = connect_through(&t, &target);
    sock_send(client, "hello");
    turn_until(&t, sock_has(target, "hello"));
    close(client);
    close(target);

    close(t.target);
    client = client_connect(&t);
    turn_until(&t, sock_is_reset(client));
    t.target = dup(0);
    close(client);
    tunnel_close(&t);
}

/* --- names, by a resolver of the test's own --- */

struct fixed_resolver {
    struct resolver resolver;
    struct resolve_request *asked;
    uint32_t cancelled;
};

static int fixed_start(struct resolver *v, struct resolve_request *r, const char *host) {
    struct fixed_resolver *f = CONTAINER_OF(v, struct fixed_resolver, resolver);
    cr_assert_str_eq(host, "files.example");
    f->asked = r;
    r->lookup = f;
    return 0;
}

static void fixed_cancel(struct resolver *v, struct resolve_request *r) {
    struct fixed_resolver *f = CONTAINER_OF(v, struct fixed_resolver, resolver);
    f->cancelled++;
    f->asked = NULL;
    r->lookup = NULL;
}

static void services_reopen(struct tunnel *t, struct resolver *resolver) {
    struct service_config cfg = {.name = "named", .host = "files.example", .port = t->target_port};
    struct problem problem = PROBLEM_INIT;
    struct services_config all = {.reactor = t->reactor, .host = t->far, .resolver = resolver};
    cr_assert_eq(services_remove(t->services, "echo"), 0);
    t->services = services_free(t->services);
    cr_assert_eq(services_new(&all, &t->services), 0);
    cr_assert_eq(services_add(t->services, &cfg, &problem), 0, "%s", problem.text);
    tunnel_proxy_to(t, "named");
}

/* The first address refuses, the second one answers. */
Test(tunnel, a_name_is_resolved_and_its_addresses_are_tried_in_turn) {
    struct tunnel t;
    struct fixed_resolver fixed = {.resolver = {fixed_start, fixed_cancel}};
    tunnel_open(&t);
    services_reopen(&t, &fixed.resolver);
    int client = client_connect(&t);
    turn_until(&t, fixed.asked != NULL);
    struct resolve_request *r = fixed.asked;
    r->lookup = NULL;
    r->count = 2;
    r->addrs[0] = (struct net_addr){.family = NET_IP4, .ip = {127, 0, 0, 99}};
    r->addrs[1] = (struct net_addr){.family = NET_IP4, .ip = {127, 0, 0, 1}};
    r->done(r, 0);
    int target;
    turn_until(&t, (target = target_accept(&t)) >= 0);
    close(client);
    close(target);
    tunnel_close(&t);
}

Test(tunnel, a_name_that_is_unknown_is_a_reset) {
    struct tunnel t;
    struct fixed_resolver fixed = {.resolver = {fixed_start, fixed_cancel}};
    tunnel_open(&t);
    services_reopen(&t, &fixed.resolver);
    int client = client_connect(&t);
    turn_until(&t, fixed.asked != NULL);
    fixed.asked->lookup = NULL;
    fixed.asked->done(fixed.asked, -ERR_NAME_NOT_FOUND);
    turn_until(&t, sock_is_reset(client));
    close(client);
    tunnel_close(&t);
}

Test(tunnel, a_client_that_gives_up_cancels_the_question) {
    struct tunnel t;
    struct fixed_resolver fixed = {.resolver = {fixed_start, fixed_cancel}};
    tunnel_open(&t);
    services_reopen(&t, &fixed.resolver);
    int client = client_connect(&t);
    turn_until(&t, fixed.asked != NULL);
    sock_abort(client);
    turn_until(&t, fixed.cancelled == 1);
    turn_until(&t, fake_host_streams(t.near) == 0);
    tunnel_close(&t);
}

/* The system's resolver knows one name everywhere. */
struct question {
    struct resolve_request request;
    int error;
    bool done;
};

static void on_resolved(struct resolve_request *r, int error) {
    struct question *q = CONTAINER_OF(r, struct question, request);
    q->error = error;
    q->done = true;
}

Test(tunnel, the_system_knows_localhost_and_not_what_is_no_name) {
    struct tunnel t;
    struct question known = {0}, unknown = {0}, dropped = {0};
    char long_name[RESOLVE_HOST_MAX + 1];
    tunnel_open(&t);
    cr_assert_eq(resolve_start(t.resolver, &known.request, "localhost", on_resolved), 0);
    cr_assert_eq(resolve_start(t.resolver, &unknown.request, "no name", on_resolved), 0);
    cr_assert_eq(resolve_start(t.resolver, &dropped.request, "localhost", on_resolved), 0);
    resolve_cancel(&dropped.request);
    turn_until(&t, known.done && unknown.done);
    cr_assert_eq(known.error, 0);
    cr_assert_gt(known.request.count, 0);
    cr_assert(net_addr_is_loopback(&known.request.addrs[0]));
    cr_assert_lt(unknown.error, 0);
    cr_assert_not(dropped.done);
    memset(long_name, 'a', sizeof(long_name));
    long_name[RESOLVE_HOST_MAX] = '\0';
    cr_assert_eq(resolve_start(t.resolver, &unknown.request, long_name, on_resolved), -EINVAL);
    tunnel_close(&t);
}

/* --- who may use a service --- */

Test(tunnel, a_peer_that_is_not_allowed_never_reaches_the_target) {
    struct tunnel t;
    struct service_info info;
    struct peer_id other = fake_peer_id("other"), near = fake_peer_id("near");
    tunnel_open(&t);
    tunnel_add_service(&t, &(struct service_config){.name = "theirs",
                                                    .host = "127.0.0.1",
                                                    .port = t.target_port,
                                                    .is_restricted = true,
                                                    .allowed = &other,
                                                    .allowed_count = 1});
    tunnel_add_service(&t, &(struct service_config){.name = "nobodys",
                                                    .host = "127.0.0.1",
                                                    .port = t.target_port,
                                                    .is_restricted = true});
    tunnel_add_service(&t, &(struct service_config){.name = "ours",
                                                    .host = "127.0.0.1",
                                                    .port = t.target_port,
                                                    .is_restricted = true,
                                                    .allowed = &near,
                                                    .allowed_count = 1});
    static const char *const closed[] = {"theirs", "nobodys"};
    for (size_t i = 0; i < ARRAY_COUNT(closed); i++) {
        tunnel_proxy_to(&t, closed[i]);
        int client = client_connect(&t);
        turn_until(&t, sock_is_reset(client));
        cr_assert_lt(target_accept(&t), 0, "%s", closed[i]);
        cr_assert_eq(services_find(t.services, closed[i], &info), 0);
        cr_assert_eq(info.denied, 1, "%s", closed[i]);
        char line[192], id[PEER_ID_SHORT_MAX];
        (void)snprintf(line, sizeof(line),
                       "{\"level\":\"WARN\",\"msg\":\"service_acl_denied\",\"audit\":{"
                       "\"peer\":\"%s\",\"service\":\"%s\"}}\n",
                       peer_id_format_short(&near, id), closed[i]);
        cr_assert_str_eq(t.audited, line);
        close(client);
    }
    tunnel_proxy_to(&t, "ours");
    int target;
    int client = connect_through(&t, &target);
    close(client);
    close(target);
    tunnel_close(&t);
}

/* --- the table --- */

Test(tunnel, bad_and_reserved_and_double_services_are_refused) {
    struct tunnel t;
    tunnel_open(&t);
    static const struct {
        const char *name, *host;
        uint16_t port;
        int error;
    } rows[] = {
        {"echo", "127.0.0.1", 1, -ERR_SERVICE_EXISTS},
        {"invite", "127.0.0.1", 1, -EINVAL},
        {"relay-pair", "127.0.0.1", 1, -EINVAL},
        {"peer-notify", "127.0.0.1", 1, -EINVAL},
        {"rtt-probe", "127.0.0.1", 1, -EINVAL},
        {"splice", "127.0.0.1", 1, -EINVAL},
        {"", "127.0.0.1", 1, -EINVAL},
        {"Upper", "127.0.0.1", 1, -EINVAL},
        {"-x", "127.0.0.1", 1, -EINVAL},
        {"ok", "", 1, -EINVAL},
        {"ok", "127.0.0.1", 0, -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct problem problem = PROBLEM_INIT;
        struct service_config cfg = {
            .name = rows[i].name, .host = rows[i].host, .port = rows[i].port};
        cr_assert_eq(services_add(t.services, &cfg, &problem), rows[i].error, "row %zu", i);
        cr_assert_neq(problem.text[0], '\0', "row %zu", i);
    }
    cr_assert_eq(services_remove(t.services, "absent"), -ERR_SERVICE_NOT_FOUND);
    cr_assert_eq(services_enable(t.services, "absent", true), -ERR_SERVICE_NOT_FOUND);
    tunnel_close(&t);
}

Test(tunnel, a_removed_service_refuses_new_streams_and_keeps_old_ones) {
    struct tunnel t;
    struct service_info info;
    int client, target;
    tunnel_open(&t);
    client = connect_through(&t, &target);
    cr_assert_eq(services_remove(t.services, "echo"), 0);
    cr_assert_eq(services_find(t.services, "echo", &info), -ERR_SERVICE_NOT_FOUND);
    int late = client_connect(&t);
    turn_until(&t, sock_is_reset(late));
    sock_send(client, "still");
    turn_until(&t, sock_has(target, "still"));
    close(late);
    close(client);
    close(target);
    tunnel_close(&t);
}

Test(tunnel, a_disabled_service_can_be_enabled_again) {
    struct tunnel t;
    int target;
    tunnel_open(&t);
    cr_assert_eq(services_enable(t.services, "echo", false), 0);
    int client = client_connect(&t);
    turn_until(&t, sock_is_reset(client));
    close(client);
    cr_assert_eq(services_enable(t.services, "echo", true), 0);
    client = connect_through(&t, &target);
    close(client);
    close(target);
    tunnel_close(&t);
}

/* --- opening streams --- */

Test(tunnel, what_may_pass_by_itself_is_tried_again) {
    struct tunnel t;
    int target;
    tunnel_open(&t);
    fake_host_fail(t.near, -ETIMEDOUT, 1);
    nsec_t began = reactor_now(t.reactor);
    int client = connect_through(&t, &target);
    cr_assert_geq(reactor_now(t.reactor) - began, SEC(1));
    cr_assert_eq(t.refusals, 0);
    close(client);
    close(target);
    tunnel_close(&t);
}

Test(tunnel, what_will_not_pass_resets_the_client_at_once) {
    static const int errors[] = {-ERR_GATED, -ERR_PEER_ID_MISMATCH, -ERR_NO_ADDRESSES};
    struct tunnel t;
    tunnel_open(&t);
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        fake_host_fail(t.near, errors[i], 1);
        nsec_t began = reactor_now(t.reactor);
        int client = client_connect(&t);
        turn_until(&t, sock_is_reset(client));
        cr_assert_lt(reactor_now(t.reactor) - began, MSEC(900), "row %zu", i);
        cr_assert_eq(t.refusal, errors[i], "row %zu", i);
        close(client);
    }
    tunnel_close(&t);
}

enum { LIMIT = 3, CLIENTS = 12 };

/* Closes the clients that have seen their end. */
static bool sweep(int clients[CLIENTS]) {
    bool all = true;
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i] >= 0 && sock_is_ended(clients[i])) {
            close(clients[i]);
            clients[i] = -1;
        }
        all = all && clients[i] < 0;
    }
    return all;
}

/* Decision 7: beyond the limit clients wait, in the proxy or in the backlog; none is lost. */
Test(tunnel, clients_beyond_the_limit_get_their_turn) {
    struct tunnel t;
    int clients[CLIENTS], target;
    tunnel_open(&t);
    fake_host_limit(t.near, LIMIT);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = client_connect(&t);
    for (int served = 0; served < CLIENTS; served++) {
        turn_until(&t, (sweep(clients), (target = target_accept(&t)) >= 0));
        cr_assert_leq(fake_host_streams(t.near), LIMIT);
        close(target); /* its client sees the end, and the next one is let in */
    }
    turn_until(&t, sweep(clients));
    cr_assert_eq(t.refusals, 0);
    tunnel_close(&t);
}

/* --- load and memory --- */

/* The fault row of the issue: a client that reads 1 KiB/s.  What is held for it stays within its
 * quotas, and another client is served meanwhile. */
Test(tunnel, a_slow_reader_grows_nothing_and_slows_nobody) {
    struct tunnel t;
    struct buf_pool_stats stats;
    int slow_target, target;
    static char block[1 << 16];
    size_t offered = 0, got = 0;
    tunnel_open(&t);
    int slow = connect_through(&t, &slow_target);
    int client = connect_through(&t, &target);
    for (int i = 0; i < 400; i++) {
        ssize_t n = send(slow_target, block, sizeof(block), MSG_NOSIGNAL);
        offered += n > 0 ? (size_t)n : 0;
        char taste[1024];
        (void)sock_read(slow, taste, sizeof(taste));
        turn_while_busy(&t);
    }
    buf_pool_stats(reactor_pool(t.reactor), &stats);
    size_t held = stats.bytes_in_use;
    for (size_t sent = 0; sent < (32u << 20);) {
        ssize_t n = send(target, block, sizeof(block), MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        char taste[1];
        (void)sock_read(slow, taste, sizeof(taste));
        turn_while_busy(&t);
        sock_drain(client, &got);
    }
    turn_until(&t, (sock_drain(client, &got), got >= (32u << 20)));
    buf_pool_stats(reactor_pool(t.reactor), &stats);
    /* One window of 256 KiB and what one turn brings, each way; the rest stands in the kernel. */
    cr_assert_lt(held, 4u << 20, "%zu bytes held of %zu offered", held, offered);
    cr_assert_lt(stats.bytes_in_use, 4u << 20);
    close(slow);
    close(slow_target);
    close(client);
    close(target);
    tunnel_close(&t);
}

/* Opened and dropped in every way, at random but always the same. */
Test(tunnel, a_thousand_connections_leave_nothing_behind, .timeout = 120) {
    enum { TOTAL = 1000, AT_ONCE = 40 };
    struct tunnel t;
    struct {
        int client, target;
    } open[AT_ONCE];
    unsigned seed = 1;
    tunnel_open(&t);
    turn_while_busy(&t);
    uint32_t descriptors = descriptors_open();
    for (int i = 0; i < AT_ONCE; i++)
        open[i].client = open[i].target = -1;

    for (int made = 0; made < TOTAL; made++) {
        int i = rand_r(&seed) % AT_ONCE;
        int how = rand_r(&seed) % 5;
        if (open[i].client >= 0 && how % 2 == 0)
            sock_abort(open[i].client);
        else if (open[i].client >= 0)
            close(open[i].client);
        if (open[i].target >= 0 && how < 3)
            close(open[i].target);
        else if (open[i].target >= 0)
            sock_abort(open[i].target);
        open[i].client = client_connect(&t);
        for (int turns = rand_r(&seed) % 8; turns > 0; turns--)
            cr_assert_geq(reactor_turn(t.reactor, 0), 0);
        /* Whoever is next in the backlog: not always the one that was just made. */
        open[i].target = target_accept(&t);
        if (how == 4 && open[i].target >= 0)
            (void)!send(open[i].target, "hello", 5, MSG_NOSIGNAL);
        (void)!send(open[i].client, "hi", 2, MSG_NOSIGNAL);
    }
    for (int i = 0; i < AT_ONCE; i++) {
        if (open[i].client >= 0)
            close(open[i].client);
        if (open[i].target >= 0)
            close(open[i].target);
    }
    /* Those that nobody accepted yet still stand in the target's backlog. */
    int late;
    turn_until(&t,
               ((late = target_accept(&t)) >= 0 ? close(late) : 0, fake_host_streams(t.near) == 0));
    turn_while_busy(&t);
    struct buf_pool_stats stats;
    buf_pool_stats(reactor_pool(t.reactor), &stats);
    cr_assert_eq(descriptors_open(), descriptors);
    tunnel_close(&t);
}

/* Everything open, in every state, when the program ends. */
Test(tunnel, closing_ends_what_is_open_in_any_state) {
    struct tunnel t;
    int target;
    tunnel_open(&t);
    int pumping = connect_through(&t, &target);
    fake_host_fail(t.near, -ETIMEDOUT, 1);
    int waiting = client_connect(&t);
    turn_while_busy(&t);
    fake_host_limit(t.near, 0);
    int limited = client_connect(&t);
    turn_while_busy(&t);
    int just_now = client_connect(&t);
    tunnel_close(&t);
    close(pumping);
    close(waiting);
    close(limited);
    close(just_now);
    close(target);
}

/* --- out of memory --- */

/* One connection through, as far as it gets. */
static void try_everything(struct tunnel *t) {
    if (tunnel_try_service(t, "echo") < 0 || tunnel_try_proxy(t, "echo") < 0)
        return;
    int client = client_connect(t);
    (void)!send(client, "hello", 5, MSG_NOSIGNAL);
    int target = -1;
    for (int i = 0; i < 40 && target < 0; i++) {
        cr_assert_geq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(1)), 0);
        target = target_accept(t);
    }
    turn_while_busy(t);
    close(client);
    if (target >= 0)
        close(target);
}

/* Whichever allocation fails: an error or a reset, and nothing is lost. */
Test(tunnel, every_allocation_may_fail) {
    struct fail_mem f;
    for (fail_mem_start(&f);; fail_mem_again(&f)) {
        struct tunnel t;
        long fail_at = f.fail_at;
        f.fail_at = 0;
        tunnel_prepare(&t, &f.mem);
        f.calls = 0;
        f.fail_at = fail_at;
        try_everything(&t);
        f.fail_at = 0;
        bool failed = f.failed;
        tunnel_close(&t);
        f.fail_at = fail_at;
        cr_assert_eq(f.blocks, 0, "call %ld%s: %ld blocks lost", fail_at,
                     f.for_good ? " and all after it" : "", f.blocks);
        if (!failed)
            break;
        f.failed = false;
    }
    /* Service, proxy, client and session, at the least. */
    cr_assert_geq(f.fail_at, 4, "%ld allocations failed", f.fail_at);
}

/* SPDX-License-Identifier: MIT */

/* The simulated network by itself: what the scenarios take for granted. */

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "tests/sim/tcp_model.h"
#include "tests/sim/udp_model.h"

static struct world world;
static struct net net;
static struct sim_host *a;
static struct sim_host *b;

static struct link_quality good(void) {
    return (struct link_quality){.delay = MSEC(10), .mtu = 1500};
}

static void setup(void) {
    world_init(&world, 7, false);
    net_init(&net, &world);
    a = net_add_host(&net);
    b = net_add_host(&net);
    net_add_addr(a, &(struct net_addr){.family = NET_IP4, .ip = {5, 1, 0, 1}});
    net_add_addr(b, &(struct net_addr){.family = NET_IP4, .ip = {5, 1, 1, 1}});
    net_link(&net, a, b)->quality = good();
    net_link(&net, b, a)->quality = good();
}

static void teardown(void) {
    net_done(&net);
    world_done(&world);
}

static void run_for(nsec_t time) {
    world_run(&world, world.now + time);
    cr_assert_not(world_has_failed(&world));
}

static struct net_addr port_of(const struct sim_host *h, uint16_t port) {
    struct net_addr at = h->addrs[0];
    at.port = port;
    return at;
}

static void both_ways(struct link_quality q) {
    net_link(&net, a, b)->quality = q;
    net_link(&net, b, a)->quality = q;
}

/* A connection from a to b. */
static struct sim_tcp *client;
static struct sim_tcp *server;

static void connect_pair(void) {
    struct net_addr at = port_of(b, 80);
    struct sim_listener *l;
    cr_assert_eq(tcp_listen_sock(b, &at, &l), 0);
    client = tcp_new_sock(a);
    cr_assert_eq(tcp_connect_sock(client, &at), 0);
    cr_assert_eq(tcp_connect_result(client), -EINPROGRESS);
    for (int i = 0; i < 100 && (server = tcp_accept_sock(l)) == NULL; i++)
        run_for(MSEC(100));
    cr_assert(server != NULL);
    cr_assert_eq(tcp_connect_result(client), 0);
    tcp_close_listener(l);
}

static void close_pair(void) {
    tcp_close_sock(client, false);
    tcp_close_sock(server, false);
}

static uint8_t byte_at(size_t at) {
    return (uint8_t)(at * 31 >> 3);
}

/* Returns the bytes taken. */
static size_t write_some(size_t at, size_t left) {
    uint8_t data[4096];
    size_t len = MIN(left, sizeof(data));
    for (size_t i = 0; i < len; i++)
        data[i] = byte_at(at + i);
    ssize_t n = len == 0 ? 0 : tcp_write_sock(client, data, len);
    cr_assert(n >= 0 || n == -EAGAIN, "%zd", n);
    return n > 0 ? (size_t)n : 0;
}

/* Bytes from client to server until the end; returns how long it took. */
static nsec_t pass(size_t len) {
    nsec_t began = world.now;
    size_t sent = 0;
    size_t got = 0;
    ssize_t n = -EAGAIN;
    while (n != 0) {
        uint8_t data[4096];
        for (size_t taken = 1; taken > 0; sent += taken)
            taken = write_some(sent, len - sent);
        if (sent == len && !client->fin_wanted)
            cr_assert_eq(tcp_shutdown_sock(client), 0);
        while ((n = tcp_read_sock(server, data, sizeof(data))) > 0)
            for (ssize_t i = 0; i < n; i++)
                cr_assert_eq(data[i], byte_at(got++));
        cr_assert(n == 0 || n == -EAGAIN, "%zd", n);
        if (n != 0)
            run_for(MSEC(1));
        cr_assert(world.now - began < SEC(600), "%zu of %zu bytes passed", got, len);
    }
    cr_assert_eq(got, len);
    return world.now - began;
}

TestSuite(sim_net, .init = setup, .fini = teardown);

Test(sim_net, tcp_opens_in_a_round_trip_and_ends) {
    connect_pair();
    uint8_t byte;
    cr_assert_eq(client->srtt, MSEC(20));
    cr_assert_eq(tcp_write_sock(client, "x", 1), 1);
    run_for(MSEC(9));
    cr_assert_eq(tcp_read_sock(server, &byte, 1), -EAGAIN);
    run_for(MSEC(2));
    cr_assert_eq(tcp_read_sock(server, &byte, 1), 1);
    close_pair();
    run_for(SEC(61));
    cr_assert(heap_first(&world.events) == NULL, "a socket lives on");
}

Test(sim_net, tcp_passes_whatever_a_link_does) {
    struct link_quality q = good();
    q.jitter = MSEC(15);
    q.loss_ppm = 50000;
    q.dup_ppm = 50000;
    q.reorder_ppm = 100000;
    q.reorder_delay = MSEC(30);
    q.mtu = 1280;
    both_ways(q);
    connect_pair();
    (void)pass(1 << 20);
    close_pair();
}

Test(sim_net, tcp_takes_the_rate_of_the_link) {
    struct link_quality q = good();
    q.rate = 1000000;
    q.queue_bytes = 40000;
    both_ways(q);
    connect_pair();
    nsec_t took = pass(4000000);
    cr_assert(took > SEC(4), "%llu ms", (unsigned long long)(took / MSEC(1)));
    cr_assert(took < SEC(6), "%llu ms", (unsigned long long)(took / MSEC(1)));
    close_pair();
}

Test(sim_net, tcp_pushes_back_and_goes_on) {
    uint8_t data[4096] = {0};
    a->wire_buffer = b->wire_buffer = 20000;
    connect_pair();
    size_t taken = 0;
    for (int i = 0; i < 1000; i++) {
        ssize_t n = tcp_write_sock(client, data, sizeof(data));
        taken += n > 0 ? (size_t)n : 0;
        run_for(MSEC(1));
    }
    cr_assert_eq(taken, 40000);
    run_for(SEC(300)); /* a full window is no reason to give up */
    size_t got = 0;
    for (int i = 0; i < 1000; i++) {
        ssize_t n = tcp_read_sock(server, data, sizeof(data));
        got += n > 0 ? (size_t)n : 0;
        run_for(MSEC(1));
    }
    cr_assert_eq(got, 40000);
    close_pair();
}

Test(sim_net, tcp_to_a_closed_port_is_refused) {
    struct net_addr at = port_of(b, 81);
    client = tcp_new_sock(a);
    cr_assert_eq(tcp_connect_sock(client, &at), 0);
    run_for(MSEC(21));
    cr_assert_eq(tcp_connect_result(client), -ECONNREFUSED);
    tcp_close_sock(client, false);
}

Test(sim_net, tcp_to_nobody_gives_up_after_two_minutes) {
    struct net_addr at = port_of(b, 80);
    net_power(b, false);
    client = tcp_new_sock(a);
    cr_assert_eq(tcp_connect_sock(client, &at), 0);
    run_for(SEC(126));
    cr_assert_eq(tcp_connect_result(client), -EINPROGRESS);
    run_for(SEC(2));
    cr_assert_eq(tcp_connect_result(client), -ETIMEDOUT);
    tcp_close_sock(client, false);
}

Test(sim_net, both_may_dial_at_once) {
    struct net_addr at_a = port_of(a, 1000);
    struct net_addr at_b = port_of(b, 1000);
    client = tcp_new_sock(a);
    server = tcp_new_sock(b);
    cr_assert_eq(sock_bind(&client->sock, &at_a), 0);
    cr_assert_eq(sock_bind(&server->sock, &at_b), 0);
    cr_assert_eq(tcp_connect_sock(client, &at_b), 0);
    cr_assert_eq(tcp_connect_sock(server, &at_a), 0);
    run_for(MSEC(50));
    cr_assert_eq(tcp_connect_result(client), 0);
    cr_assert_eq(tcp_connect_result(server), 0);
    (void)pass(10000);
    close_pair();
}

/* Goal: what was written before a reset may be read, and then the error comes, once. */
Test(sim_net, reset_comes_after_the_bytes_and_once) {
    uint8_t data[8];
    connect_pair();
    cr_assert_eq(tcp_write_sock(client, "abc", 3), 3);
    run_for(MSEC(50));
    tcp_close_sock(client, true);
    run_for(MSEC(50));
    cr_assert_eq(tcp_read_sock(server, data, sizeof(data)), 3);
    cr_assert_eq(tcp_read_sock(server, data, sizeof(data)), -ECONNRESET);
    cr_assert_eq(tcp_read_sock(server, data, sizeof(data)), 0);
    cr_assert_eq(tcp_write_sock(server, data, 1), -EPIPE);
    tcp_close_sock(server, false);
}

Test(sim_net, closing_with_unread_bytes_resets) {
    connect_pair();
    cr_assert_eq(tcp_write_sock(client, "abc", 3), 3);
    run_for(MSEC(50));
    tcp_close_sock(server, false);
    run_for(MSEC(50));
    cr_assert_eq(tcp_take_error(client), -ECONNRESET);
    tcp_close_sock(client, false);
}

Test(sim_net, tcp_gives_a_cut_link_up_after_its_retries) {
    connect_pair();
    net_link(&net, a, b)->cuts++;
    cr_assert_eq(tcp_write_sock(client, "abc", 3), 3);
    run_for(SEC(600));
    cr_assert_eq(client->state, TCPS_OPEN);
    run_for(SEC(600));
    cr_assert_eq(tcp_take_error(client), -ETIMEDOUT);
    close_pair();
}

Test(sim_net, what_its_owner_closed_is_given_up_sooner) {
    connect_pair();
    tcp_drop(&server->sock);
    net_link(&net, a, b)->cuts++;
    cr_assert_eq(tcp_write_sock(client, "abc", 3), 3);
    tcp_close_sock(client, false);
    run_for(SEC(30));
    cr_assert(heap_first(&world.events) != NULL, "nothing is sent again");
    run_for(SEC(270));
    cr_assert(heap_first(&world.events) == NULL, "a socket lives on");
}

/* Goal: a host that lost its power and dials from the port that it had gets through at its second
 * packet, and the other end learns that the old connection is over. */
Test(sim_net, an_older_connection_of_the_same_ports_gives_way) {
    struct net_addr at = port_of(b, 80);
    struct sim_listener *l;
    connect_pair();
    cr_assert_eq(tcp_write_sock(client, "abc", 3), 3); /* numbers begin at 0 here */
    run_for(MSEC(50));
    struct net_addr from = client->sock.local;
    tcp_drop(&client->sock);
    cr_assert_eq(tcp_listen_sock(b, &at, &l), 0);
    client = tcp_new_sock(a);
    cr_assert_eq(sock_bind(&client->sock, &from), 0);
    cr_assert_eq(tcp_connect_sock(client, &at), 0);
    run_for(MSEC(900));
    cr_assert_eq(tcp_connect_result(client), -EINPROGRESS);
    uint8_t data[8];
    cr_assert_eq(tcp_read_sock(server, data, sizeof(data)), 3);
    cr_assert_eq(tcp_take_error(server), -ECONNRESET);
    tcp_close_sock(server, false);
    run_for(MSEC(200));
    cr_assert_eq(tcp_connect_result(client), 0);
    server = tcp_accept_sock(l);
    cr_assert(server != NULL);
    tcp_close_listener(l);
    close_pair();
}

/* What a host keeps of an address that it has no more: sockets, from which nothing leaves. */
Test(sim_net, who_has_another_address_is_reached_there_and_silent_from_the_old_one) {
    struct net_addr other = {.family = NET_IP4, .ip = {5, 1, 0, 9}};
    struct net_addr any = {.family = NET_IP4, .port = 7};
    struct sim_udp *from, *to;
    connect_pair();
    cr_assert_eq(udp_open_sock(a, &any, &from), 0);
    cr_assert_eq(udp_open_sock(b, &any, &to), 0);
    net_readdress(a, 0, &other);
    cr_assert_eq(tcp_write_sock(client, "x", 1), 1);
    cr_assert_eq(tcp_write_sock(server, "x", 1), 1);
    run_for(SEC(1));
    cr_assert_not(tcp_can_read(server));
    cr_assert_not(tcp_can_read(client));

    struct net_addr none = {.family = NET_NONE};
    struct net_addr at = port_of(b, 7);
    cr_assert_eq(udp_send_one(from, &none, &at, 0, (const uint8_t *)"x", 1), 0);
    at = port_of(a, 7);
    cr_assert_eq(udp_send_one(to, &none, &at, 0, (const uint8_t *)"x", 1), 0);
    run_for(SEC(1));
    cr_assert(net_addr_ip_equal(&LIST_ENTRY(to->queue.next, struct packet, node)->src, &other));
    cr_assert_not(list_is_empty(&from->queue));
    close_pair();
}

Test(sim_net, udp_over_the_mtu_or_to_nobody_vanishes) {
    struct net_addr at_a = port_of(a, 1000);
    struct net_addr at_b = port_of(b, 1000);
    struct net_addr any = {.family = NET_NONE};
    uint8_t data[2000] = {0};
    struct sim_udp *from;
    struct sim_udp *to;
    cr_assert_eq(udp_open_sock(a, &at_a, &from), 0);
    cr_assert_eq(udp_open_sock(b, &at_b, &to), 0);
    net_link(&net, a, b)->quality.mtu = 1300;
    cr_assert_eq(udp_send_one(from, &any, &at_b, 0, data, 1272), 0);
    cr_assert_eq(udp_send_one(from, &any, &at_b, 0, data, 1273), 0);
    cr_assert_eq(udp_send_one(from, &any, &at_b, 0, data, 1473), -EMSGSIZE);
    at_b.port++;
    cr_assert_eq(udp_send_one(from, &any, &at_b, 0, data, 10), 0);
    run_for(MSEC(50));
    struct packet *p = LIST_ENTRY(list_shift(&to->queue), struct packet, node);
    cr_assert_eq(p->len, 1272);
    packet_free(p);
    cr_assert(list_is_empty(&to->queue));
    struct sim_udp *second;
    cr_assert_eq(udp_open_sock(a, &at_a, &second), -EADDRINUSE);
}

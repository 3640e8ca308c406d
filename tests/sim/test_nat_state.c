/* SPDX-License-Identifier: MIT */

/* What a box remembers: how long, how much, and what happens when it is lost. */

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/sim/nat_lab.h"
#include "tests/sim/tcp_model.h"

static struct lab lab;

/* --- Time-outs --- */

/* Something without socket from X, over the link so that it is at the box at `when`: whether that
 * lets it in. */
static bool comes_in(const struct endpoint *from, const struct net_addr *at, nsec_t when) {
    cr_assert_leq(lab.world.now, when - LAB_DELAY);
    lab_run_until(&lab, when - LAB_DELAY);
    uint64_t drops = lab.nat->drops[NAT_DROP_FILTERED];
    struct packet *p = packet_new(from->proto, &from->at, at, 1);
    p->flags = TCP_ACK;
    net_send(from->host, p);
    lab_run_until(&lab, when);
    return lab.nat->drops[NAT_DROP_FILTERED] == drops;
}

/* And the other way; what X would answer is lost. */
static void leaves(const struct endpoint *from, const struct endpoint *to, nsec_t when) {
    lab_run_until(&lab, when - LAB_LAN_DELAY);
    struct packet *p = packet_new(from->proto, &from->at, &to->at, 1);
    p->flags = TCP_ACK;
    net_link(&lab.net, to->host, lab.nat->box)->cuts++;
    net_send(from->host, p);
    lab_run_until(&lab, when + LAB_DELAY);
    net_link(&lab.net, to->host, lab.nat->box)->cuts--;
}

/* Where A is seen, after one datagram that was at the box at the returned time. */
static nsec_t open_udp(struct sim_nat_config cfg, struct endpoint *ret_from,
                       struct endpoint *ret_to, struct net_addr *ret_at) {
    cfg.udp_timeout = SEC(30);
    lab_set_up(&lab, cfg);
    *ret_from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    *ret_to = lab_open(lab.x, PROTO_UDP, 1);
    *ret_at = lab_addr(LAB_PUBLIC, INSIDE_PORT);
    nsec_t when = lab.world.now + LAB_LAN_DELAY;
    leaves(ret_from, ret_to, when);
    return when;
}

Test(sim_nat_state, udp_times_out_at_the_deadline_and_not_before) {
    struct endpoint from, to;
    struct net_addr at;
    nsec_t opened = open_udp(lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT), &from, &to, &at);
    cr_assert(comes_in(&to, &at, opened + SEC(30) - 1));
    lab_done(&lab);
    opened = open_udp(lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT), &from, &to, &at);
    cr_assert_not(comes_in(&to, &at, opened + SEC(30)));
    lab_done(&lab);
}

/* RFC 4787 REQ-6: what leaves refreshes, and what arrives may. */
Test(sim_nat_state, what_arrives_refreshes_if_it_should) {
    for (int refreshes = 0; refreshes <= 1; refreshes++) {
        struct endpoint from, to;
        struct net_addr at;
        struct sim_nat_config cfg = lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT);
        cfg.inbound_refreshes = refreshes;
        nsec_t opened = open_udp(cfg, &from, &to, &at);
        cr_assert(comes_in(&to, &at, opened + SEC(20)));
        cr_assert_eq(comes_in(&to, &at, opened + SEC(30)), refreshes);
        lab_done(&lab);
    }
}

Test(sim_nat_state, what_leaves_refreshes) {
    for (nsec_t early = 0; early <= 1; early++) {
        struct endpoint from, to;
        struct net_addr at;
        struct sim_nat_config cfg = lab_kind(NAT_INDEPENDENT, NAT_ADDRESS_PORT);
        cfg.inbound_refreshes = false;
        nsec_t opened = open_udp(cfg, &from, &to, &at);
        leaves(&from, &to, opened + SEC(20));
        cr_assert_eq(comes_in(&to, &at, opened + SEC(50) - early), early == 1);
        lab_done(&lab);
    }
}

/* Who is let in keeps a mapping alive only where what arrives does so. */
Test(sim_nat_state, strangers_keep_no_mapping_alive) {
    for (int refreshes = 0; refreshes <= 1; refreshes++) {
        struct endpoint from, to;
        struct net_addr at;
        struct sim_nat_config cfg = lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT);
        cfg.inbound_refreshes = refreshes;
        nsec_t opened = open_udp(cfg, &from, &to, &at);
        struct endpoint stranger = lab_open(lab.y, PROTO_UDP, 1);
        cr_assert(comes_in(&stranger, &at, opened + SEC(29)));
        cr_assert_eq(comes_in(&stranger, &at, opened + SEC(30)), refreshes);
        lab_done(&lab);
    }
}

Test(sim_nat_state, a_mapping_lives_as_long_as_a_session_and_the_filter_forgets_each) {
    struct endpoint from, to;
    struct net_addr at;
    nsec_t opened = open_udp(
        sim_nat_translator(NAT_INDEPENDENT, NAT_ADDRESS_PORT, NAT_PORTS_RANDOM), &from, &to, &at);
    struct endpoint other = lab_open(lab.y, PROTO_UDP, 1);
    at = lab_seen(&from, &other);
    leaves(&from, &other, opened + SEC(20));
    cr_assert_not(comes_in(&to, &at, opened + SEC(30)));
    struct net_addr again = lab_seen(&from, &to);
    cr_assert(net_addr_equal(&at, &again));
    lab_run_for(&lab, SEC(31));
    again = lab_seen(&from, &to);
    cr_assert_not(net_addr_equal(&at, &again));
    lab_done(&lab);
}

/* A connection from A to X, whose last packet was at the box at the returned time. */
static struct sim_tcp *client, *server;

static nsec_t open_tcp(struct sim_nat_config cfg, struct endpoint *ret_to) {
    cfg.tcp_transitory_timeout = SEC(30);
    cfg.tcp_timeout = SEC(3600);
    lab_set_up(&lab, cfg);
    *ret_to = lab_open(lab.x, PROTO_TCP, 1);
    client = tcp_new_sock(lab.a);
    struct net_addr at = lab.a->addrs[0];
    at.port = INSIDE_PORT;
    cr_assert_eq(sock_bind(&client->sock, &at), 0);
    nsec_t began = lab.world.now;
    cr_assert_eq(tcp_connect_sock(client, &ret_to->at), 0);
    lab_run_for(&lab, MSEC(500));
    cr_assert_eq(tcp_connect_result(client), 0);
    server = tcp_accept_sock(ret_to->listener);
    cr_assert(server != NULL);
    return began + 3 * LAB_LAN_DELAY + 2 * LAB_DELAY;
}

Test(sim_nat_state, established_tcp_times_out_at_its_deadline) {
    for (nsec_t early = 0; early <= 1; early++) {
        struct endpoint to;
        nsec_t opened = open_tcp(lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT), &to);
        struct net_addr at = server->remote;
        cr_assert_eq(comes_in(&to, &at, opened + SEC(3600) - early), early == 1);
        lab_done(&lab);
    }
}

/* Neither a SYN alone nor its answer is enough. */
Test(sim_nat_state, tcp_is_transitory_until_both_have_acknowledged) {
    for (nsec_t early = 0; early <= 1; early++) {
        for (int answered = 0; answered <= 1; answered++) {
            struct sim_nat_config cfg = lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT);
            cfg.tcp_transitory_timeout = SEC(30);
            cfg.inbound_refreshes = false;
            lab_set_up(&lab, cfg);
            struct endpoint to = lab_open(lab.x, PROTO_TCP, 1);
            struct sim_link *lost = answered ? net_link(&lab.net, lab.a, lab.nat->box)
                                             : net_link(&lab.net, lab.x, lab.nat->box);
            client = tcp_new_sock(lab.a);
            nsec_t opened = lab.world.now + LAB_LAN_DELAY;
            cr_assert_eq(tcp_connect_sock(client, &to.at), 0);
            struct net_addr at = lab_addr(LAB_PUBLIC, client->sock.local.port);
            lost->cuts++;
            lab_run_for(&lab, MSEC(500));
            tcp_close_sock(client, false);
            lab_run_until(&lab, opened + SEC(29));
            lost->cuts--;
            cr_assert_eq(comes_in(&to, &at, opened + SEC(30) - early), early == 1);
            lab_done(&lab);
        }
    }
}

Test(sim_nat_state, tcp_is_transitory_again_when_it_was_reset) {
    for (nsec_t early = 0; early <= 1; early++) {
        for (int by_server = 0; by_server <= 1; by_server++) {
            struct endpoint to;
            struct sim_nat_config cfg = lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT);
            cfg.inbound_refreshes = false;
            (void)open_tcp(cfg, &to);
            struct net_addr at = server->remote;
            nsec_t reset = lab.world.now + (by_server ? LAB_DELAY : LAB_LAN_DELAY);
            tcp_close_sock(by_server ? server : client, true);
            lab_run_for(&lab, SEC(1));
            tcp_close_sock(by_server ? client : server, true); /* it is broken */
            cr_assert_eq(comes_in(&to, &at, reset + SEC(30) - early), early == 1);
            lab_done(&lab);
        }
    }
}

Test(sim_nat_state, tcp_is_transitory_again_when_both_have_ended) {
    struct endpoint to;
    (void)open_tcp(lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT), &to);
    struct net_addr at = server->remote;
    tcp_close_sock(client, false);
    lab_run_for(&lab, SEC(40)); /* one side's end is not enough */
    cr_assert(comes_in(&to, &at, lab.world.now + LAB_DELAY));
    tcp_close_sock(server, false);
    lab_run_for(&lab, SEC(40));
    cr_assert_not(comes_in(&to, &at, lab.world.now + LAB_DELAY));
    lab_done(&lab);
}

Test(sim_nat_state, a_syn_begins_a_session_anew) {
    struct endpoint to;
    (void)open_tcp(lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT), &to);
    struct net_addr from = client->sock.local;
    tcp_close_sock(client, true);
    lab_run_for(&lab, SEC(1));
    tcp_close_sock(server, false);
    client = tcp_new_sock(lab.a);
    cr_assert_eq(sock_bind(&client->sock, &from), 0);
    cr_assert_eq(tcp_connect_sock(client, &to.at), 0);
    lab_run_for(&lab, SEC(1));
    server = tcp_accept_sock(to.listener);
    cr_assert(server != NULL);
    lab_run_for(&lab, SEC(600)); /* established as the first was */
    cr_assert(comes_in(&to, &server->remote, lab.world.now + LAB_DELAY));
    lab_done(&lab);
}

/* --- Bounds --- */

Test(sim_nat_state, a_full_table_drops_what_is_new_until_something_times_out) {
    struct sim_nat_config cfg = lab_kind(NAT_ADDRESS_PORT, NAT_ADDRESS_PORT);
    cfg.sessions_max = 3;
    cfg.udp_timeout = SEC(30);
    lab_set_up(&lab, cfg);
    struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    struct endpoint to[4];
    for (uint16_t i = 0; i < ARRAY_COUNT(to); i++) {
        to[i] = lab_open(lab.x, PROTO_UDP, (uint16_t)(i + 1));
        cr_assert_eq(lab_reaches(&from, &to[i].at, &to[i]), i < 3);
    }
    cr_assert_eq(lab.nat->drops[NAT_DROP_FULL], 1);
    cr_assert_eq(lab.nat->sessions_count, 3);
    cr_assert(lab_reaches(&from, &to[0].at, &to[0]));
    lab_run_for(&lab, SEC(29)); /* the others are over */
    struct endpoint other = lab_open(lab.a, PROTO_UDP, INSIDE_PORT + 1);
    cr_assert(lab_reaches(&other, &to[3].at, &to[3]));
    cr_assert(lab_reaches(&from, &to[0].at, &to[0]));
    cr_assert_eq(lab.nat->drops[NAT_DROP_FULL], 1);
    lab_done(&lab);
}

Test(sim_nat_state, a_full_table_lets_no_stranger_in) {
    struct sim_nat_config cfg = lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT);
    cfg.sessions_max = 1;
    lab_set_up(&lab, cfg);
    struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    struct endpoint to = lab_open(lab.x, PROTO_UDP, 1);
    struct endpoint stranger = lab_open(lab.y, PROTO_UDP, 1);
    struct net_addr at = lab_seen(&from, &to);
    cr_assert_not(lab_reaches(&stranger, &at, &from));
    cr_assert_eq(lab.nat->drops[NAT_DROP_FULL], 1);
    cr_assert(lab_reaches(&to, &at, &from));
    lab_done(&lab);
}

Test(sim_nat_state, no_port_is_left) {
    struct sim_nat_config cfg =
        sim_nat_translator(NAT_ADDRESS_PORT, NAT_INDEPENDENT, NAT_PORTS_RANDOM);
    cfg.ports_count = 2;
    lab_set_up(&lab, cfg);
    struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
    for (uint16_t port = 1; port <= 3; port++) {
        struct endpoint to = lab_open(lab.x, PROTO_UDP, port);
        cr_assert_eq(lab_reaches(&from, &to.at, &to), port <= 2);
    }
    cr_assert_eq(lab.nat->drops[NAT_DROP_FULL], 1);
    /* They are TCP's too, and the other protocol's are not taken. */
    struct endpoint from_tcp = lab_open(lab.a, PROTO_TCP, INSIDE_PORT);
    struct endpoint to_tcp = lab_open(lab.x, PROTO_TCP, 1);
    cr_assert(lab_reaches(&from_tcp, &to_tcp.at, &to_tcp));
    lab_done(&lab);
}

/* --- Forgetting --- */

Test(sim_nat_state, a_box_that_forgot_lets_nobody_in_until_asked_again) {
    for (int how = 0; how < 2; how++) {
        lab_set_up(&lab, lab_kind(NAT_INDEPENDENT, NAT_INDEPENDENT));
        struct endpoint from = lab_open(lab.a, PROTO_UDP, INSIDE_PORT);
        struct endpoint to = lab_open(lab.x, PROTO_UDP, 1);
        struct net_addr at = lab_seen(&from, &to);
        if (how == 0) {
            sim_nat_reboot(lab.nat);
        } else {
            net_power(lab.nat->box, false);
            cr_assert_not(lab_reaches(&from, &to.at, &to));
            net_power(lab.nat->box, true);
        }
        cr_assert_not(lab_reaches(&to, &at, &from));
        struct net_addr again = lab_seen(&from, &to);
        cr_assert(net_addr_equal(&at, &again));
        cr_assert(lab_reaches(&to, &at, &from));
        lab_done(&lab);
    }
}

/* A connection goes on with the port that it had; another port is reset by the far end. */
Test(sim_nat_state, tcp_lives_through_a_reboot_if_its_port_is_preserved) {
    for (int preserved = 0; preserved <= 1; preserved++) {
        struct endpoint to;
        (void)open_tcp(sim_nat_translator(NAT_INDEPENDENT, NAT_ADDRESS_PORT,
                                          preserved ? NAT_PORTS_PRESERVED : NAT_PORTS_RANDOM),
                       &to);
        uint8_t byte;
        sim_nat_reboot(lab.nat);
        cr_assert_eq(tcp_write_sock(client, "x", 1), 1);
        lab_run_for(&lab, SEC(1));
        cr_assert_eq(tcp_read_sock(server, &byte, 1), preserved ? 1 : -EAGAIN);
        cr_assert_eq(tcp_take_error(client), preserved ? 0 : -ECONNRESET);
        tcp_close_sock(client, true);
        lab_done(&lab);
    }
}

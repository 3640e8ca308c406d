/* SPDX-License-Identifier: MIT */
#include "tests/sim/nat_lab.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/sim/tcp_model.h"
#include "tests/sim/udp_model.h"

enum { SEED = 7 };

/* Longer than a round trip through any boxes, shorter than until a SYN is sent again. */
#define ENOUGH MSEC(500)

void lab_init(struct lab *lab, uint64_t seed) {
    world_init(&lab->world, seed, false);
    net_init(&lab->net, &lab->world);
}

void lab_set_up(struct lab *lab, struct sim_nat_config cfg) {
    lab_init(lab, SEED);
    lab->a = lab_host(lab, LAB_PUBLIC);
    lab->x = lab_host(lab, "5.1.1.1");
    lab->y = lab_host(lab, "5.1.2.1");
    lab->nat = lab_nat(lab->a, cfg);
}

void lab_done(struct lab *lab) {
    net_done(&lab->net);
    world_done(&lab->world);
}

void lab_run_until(struct lab *lab, nsec_t at) {
    world_run(&lab->world, at);
    cr_assert_not(world_has_failed(&lab->world));
}

void lab_run_for(struct lab *lab, nsec_t time) {
    lab_run_until(lab, lab->world.now + time);
}

struct net_addr lab_addr(const char *text, uint16_t port) {
    struct net_addr a;
    cr_assert_eq(net_addr_parse_ip(text, &a), 0, "%s", text);
    a.port = port;
    return a;
}

struct sim_host *lab_host(struct lab *lab, const char *ip) {
    const struct link_quality good = {.delay = LAB_DELAY, .mtu = 1500};
    struct sim_host *h = net_add_host(&lab->net);
    struct net_addr at = lab_addr(ip, 0);
    net_add_addr(h, &at);
    for (uint32_t i = 0; i < PLACES_MAX; i++) {
        lab->net.links[h->index][i].quality = good;
        lab->net.links[i][h->index].quality = good;
    }
    return h;
}

struct sim_nat_config lab_kind(enum sim_nat_dependence mapping, enum sim_nat_dependence filtering) {
    return sim_nat_translator(mapping, filtering, NAT_PORTS_PRESERVED);
}

struct sim_nat *lab_nat(struct sim_host *h, struct sim_nat_config cfg) {
    cfg.lan.delay = LAB_LAN_DELAY;
    return sim_nat_insert(h, &cfg);
}

struct endpoint lab_open(struct sim_host *h, enum net_proto proto, uint16_t port) {
    struct endpoint e = {.host = h, .proto = proto, .at = h->addrs[0]};
    e.at.port = port;
    if (proto == PROTO_UDP)
        cr_assert_eq(udp_open_sock(h, &e.at, &e.udp), 0);
    else
        cr_assert_eq(tcp_listen_sock(h, &e.at, &e.listener), 0);
    return e;
}

/* --- Reaching --- */

static void run(const struct endpoint *e, nsec_t time) {
    struct world *w = e->host->net->world;
    world_run(w, w->now + time);
    cr_assert_not(world_has_failed(w));
}

static void send_to(const struct endpoint *e, const struct net_addr *to) {
    const struct net_addr any = {.family = NET_NONE};
    cr_assert_eq(udp_send_one(e->udp, &any, to, 0, (const uint8_t *)"x", 1), 0);
}

/* Whether a datagram has come, and from where. */
static bool take(const struct endpoint *e, struct net_addr *ret_from) {
    struct list *node = list_shift(&e->udp->queue);
    if (node == NULL)
        return false;
    struct packet *p = LIST_ENTRY(node, struct packet, node);
    *ret_from = p->src;
    packet_free(p);
    return true;
}

static bool reach_by_udp(const struct endpoint *from, const struct net_addr *at,
                         const struct endpoint *to, struct net_addr *ret_seen) {
    struct net_addr answered;
    while (take(from, &answered) || take(to, &answered))
        ; /* what came before */
    send_to(from, at);
    run(from, ENOUGH);
    if (!take(to, ret_seen))
        return false;
    send_to(to, ret_seen);
    run(from, ENOUGH);
    cr_assert(take(from, &answered));
    cr_assert(net_addr_equal(&answered, at)); /* who asked sees the answer come from there */
    return true;
}

static bool reach_by_tcp(const struct endpoint *from, const struct net_addr *at,
                         const struct endpoint *to, struct net_addr *ret_seen) {
    struct sim_tcp *t = tcp_new_sock(from->host);
    cr_assert_eq(sock_bind(&t->sock, &from->at), 0);
    cr_assert_eq(tcp_connect_sock(t, at), 0);
    run(from, ENOUGH);
    int result = tcp_connect_result(t);
    struct sim_tcp *other = tcp_accept_sock(to->listener);
    cr_assert_eq(result == 0, other != NULL);
    tcp_close_sock(t, true);
    run(from, ENOUGH);
    if (other == NULL)
        return false;
    *ret_seen = other->remote;
    cr_assert_eq(tcp_take_error(other), -ECONNRESET);
    tcp_close_sock(other, false);
    return true;
}

bool lab_reach(const struct endpoint *from, const struct net_addr *at, const struct endpoint *to,
               struct net_addr *ret_seen) {
    cr_assert_eq(from->proto, to->proto);
    if (from->proto == PROTO_UDP)
        return reach_by_udp(from, at, to, ret_seen);
    return reach_by_tcp(from, at, to, ret_seen);
}

bool lab_reaches(const struct endpoint *from, const struct net_addr *at,
                 const struct endpoint *to) {
    struct net_addr ignored;
    return lab_reach(from, at, to, &ignored);
}

struct net_addr lab_seen(const struct endpoint *from, const struct endpoint *to) {
    struct net_addr at;
    cr_assert(lab_reach(from, &to->at, to, &at));
    return at;
}

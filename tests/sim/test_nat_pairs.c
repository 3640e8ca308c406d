/* SPDX-License-Identifier: MIT */

/* Which two kinds of NAT let their hosts meet: both learn from a third host how the other is seen,
 * and send there at the same time.  Packets decide, and must agree with what follows from RFC 4787.
 */

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/sim/nat_lab.h"
#include "tests/sim/nat_theory.h"
#include "tests/sim/tcp_model.h"
#include "tests/sim/udp_model.h"

enum { ROUNDS = 4 };

struct side {
    struct sim_nat_config cfg;
    struct endpoint end;
    struct net_addr seen; /* by the third host */
    bool got;             /* something from the other */
};

static struct lab lab;
static struct side sides[2];

static void set_up(const struct sim_nat_config *a, const struct sim_nat_config *b,
                   enum net_proto proto) {
    static const char *const ips[2] = {"5.1.0.1", "5.1.1.1"};
    lab_init(&lab, 7);
    struct sim_host *hosts[2] = {lab_host(&lab, ips[0]), lab_host(&lab, ips[1])};
    struct endpoint third = lab_open(lab_host(&lab, "5.1.2.1"), proto, 1);
    for (int i = 0; i < 2; i++) {
        sides[i] = (struct side){.cfg = i == 0 ? *a : *b};
        (void)lab_nat(hosts[i], sides[i].cfg);
        sides[i].end = lab_open(hosts[i], proto, INSIDE_PORT);
        cr_assert(lab_reach(&sides[i].end, &third.at, &third, &sides[i].seen));
        if (proto == PROTO_TCP)
            tcp_close_listener(sides[i].end.listener);
    }
}

/* --- What packets do --- */

static void send_to(const struct side *s, const struct net_addr *to) {
    const struct net_addr any = {.family = NET_NONE};
    cr_assert_eq(udp_send_one(s->end.udp, &any, to, 0, (const uint8_t *)"x", 1), 0);
}

/* Whatever comes is from the other, and is answered to where it came from. */
static void answer(struct side *s) {
    struct list *node;
    while ((node = list_shift(&s->end.udp->queue)) != NULL) {
        struct packet *p = LIST_ENTRY(node, struct packet, node);
        s->got = true;
        send_to(s, &p->src);
        packet_free(p);
    }
}

static bool punch_udp(const struct sim_nat_config *a, const struct sim_nat_config *b) {
    set_up(a, b, PROTO_UDP);
    for (int round = 0; round < ROUNDS; round++) {
        send_to(&sides[0], &sides[1].seen);
        send_to(&sides[1], &sides[0].seen);
        for (int i = 0; i < 10; i++) {
            lab_run_for(&lab, MSEC(20));
            answer(&sides[0]);
            answer(&sides[1]);
        }
    }
    bool met = sides[0].got && sides[1].got;
    lab_done(&lab);
    return met;
}

static bool punch_tcp(const struct sim_nat_config *a, const struct sim_nat_config *b) {
    struct sim_tcp *t[2];
    set_up(a, b, PROTO_TCP);
    for (int i = 0; i < 2; i++) {
        t[i] = tcp_new_sock(sides[i].end.host);
        cr_assert_eq(sock_bind(&t[i]->sock, &sides[i].end.at), 0);
        cr_assert_eq(tcp_connect_sock(t[i], &sides[1 - i].seen), 0);
    }
    lab_run_for(&lab, SEC(8)); /* SYNs at 0, 1, 3 and 7 s */
    bool met = true;
    for (int i = 0; i < 2; i++) {
        uint8_t byte;
        met &= tcp_connect_result(t[i]) == 0 && tcp_write_sock(t[i], "x", 1) == 1;
        lab_run_for(&lab, MSEC(100));
        met &= tcp_read_sock(t[1 - i], &byte, 1) == 1;
    }
    for (int i = 0; i < 2; i++)
        tcp_close_sock(t[i], true);
    lab_done(&lab);
    return met;
}

/* --- Every pair --- */

enum { KINDS_COUNT = NAT_DEPENDENCE_COUNT * NAT_DEPENDENCE_COUNT * NAT_PORTS_COUNT };

static struct sim_nat_config nth_kind(int n) {
    return sim_nat_translator(
        (enum sim_nat_dependence)(n % NAT_DEPENDENCE_COUNT),
        (enum sim_nat_dependence)(n / NAT_DEPENDENCE_COUNT % NAT_DEPENDENCE_COUNT),
        (enum sim_nat_ports)(n / (NAT_DEPENDENCE_COUNT * NAT_DEPENDENCE_COUNT)));
}

#define KIND_FORMAT  "mapping %d, filtering %d, ports %d"
#define KIND_ARGS(c) (c).mapping, (c).filtering, (c).ports

static void check_all(bool (*punch)(const struct sim_nat_config *a, const struct sim_nat_config *b),
                      bool (*theory)(const struct sim_nat_config *a,
                                     const struct sim_nat_config *b)) {
    uint32_t met = 0;
    for (int i = 0; i < KINDS_COUNT; i++) {
        for (int k = 0; k < KINDS_COUNT; k++) {
            struct sim_nat_config a = nth_kind(i);
            struct sim_nat_config b = nth_kind(k);
            bool expected = theory(&a, &b);
            cr_assert_eq(punch(&a, &b), expected, KIND_FORMAT " and " KIND_FORMAT ": not %d",
                         KIND_ARGS(a), KIND_ARGS(b), expected);
            met += expected;
        }
    }
    cr_assert_neq(met, 0);
    cr_assert_neq(met, KINDS_COUNT * KINDS_COUNT);
}

Test(sim_nat_pairs, udp_meets_where_it_should) {
    check_all(punch_udp, nat_meet);
}

Test(sim_nat_pairs, tcp_opens_at_once_between_those_that_keep_a_mapping) {
    check_all(punch_tcp, nat_meet_half_way);
}

/* The kinds that have names, as they are usually told of. */
Test(sim_nat_pairs, the_usual_table) {
    enum { FULL_CONE, RESTRICTED, PORT_RESTRICTED, LINUX, SYMMETRIC, NAMED_COUNT };
    const struct sim_nat_config named[NAMED_COUNT] = {
        sim_nat_translator(NAT_INDEPENDENT, NAT_INDEPENDENT, NAT_PORTS_RANDOM),
        sim_nat_translator(NAT_INDEPENDENT, NAT_ADDRESS, NAT_PORTS_RANDOM),
        sim_nat_translator(NAT_INDEPENDENT, NAT_ADDRESS_PORT, NAT_PORTS_RANDOM),
        sim_nat_translator(NAT_ADDRESS_PORT, NAT_ADDRESS_PORT, NAT_PORTS_SHARED),
        sim_nat_translator(NAT_ADDRESS_PORT, NAT_ADDRESS_PORT, NAT_PORTS_RANDOM),
    };
    static const char table[NAMED_COUNT][NAMED_COUNT + 1] = {
        [FULL_CONE] = "uuuuu", [RESTRICTED] = "uuuuu", [PORT_RESTRICTED] = "uuuu-",
        [LINUX] = "uuuu-",     [SYMMETRIC] = "uu---",
    };
    for (int i = 0; i < NAMED_COUNT; i++) {
        for (int k = 0; k < NAMED_COUNT; k++) {
            cr_assert_eq(punch_udp(&named[i], &named[k]), table[i][k] == 'u', "%d, %d", i, k);
            cr_assert_eq(punch_tcp(&named[i], &named[k]), i != SYMMETRIC && k != SYMMETRIC,
                         "%d, %d", i, k);
        }
    }
}

/* --- One by one --- */

static struct sim_nat_config strict(void) {
    return sim_nat_translator(NAT_INDEPENDENT, NAT_ADDRESS_PORT, NAT_PORTS_RANDOM);
}

/* Dials from where the third host saw it. */
static struct sim_tcp *dial(int side) {
    struct sim_tcp *t = tcp_new_sock(sides[side].end.host);
    cr_assert_eq(sock_bind(&t->sock, &sides[side].end.at), 0);
    cr_assert_eq(tcp_connect_sock(t, &sides[1 - side].seen), 0);
    return t;
}

/* The first SYN is dropped by a box that waits for its own side's; the second one opens. */
Test(sim_nat_pairs, tcp_need_not_begin_at_the_same_moment) {
    struct sim_nat_config cfg = strict();
    set_up(&cfg, &cfg, PROTO_TCP);
    struct sim_tcp *early = dial(0);
    lab_run_for(&lab, MSEC(500));
    cr_assert_eq(tcp_connect_result(early), -EINPROGRESS);
    struct sim_tcp *late = dial(1);
    lab_run_for(&lab, MSEC(100));
    cr_assert_eq(tcp_connect_result(early), 0);
    cr_assert_eq(tcp_connect_result(late), 0);
    lab_done(&lab);
}

/* RFC 5382 REQ-4 is why a box should say nothing: a reset ends what could have opened. */
Test(sim_nat_pairs, a_box_that_resets_spoils_it_for_who_is_early) {
    struct sim_nat_config cfg = strict();
    struct sim_nat_config resets = cfg;
    resets.resets = true;
    set_up(&cfg, &resets, PROTO_TCP);
    struct sim_tcp *early = dial(0);
    lab_run_for(&lab, MSEC(500));
    cr_assert_eq(tcp_connect_result(early), -ECONNREFUSED);
    tcp_close_sock(early, false);
    lab_done(&lab);
}

/* Both homes are behind boxes of carriers, too. */
Test(sim_nat_pairs, tcp_opens_through_two_boxes_on_each_side) {
    struct sim_nat_config home = strict();
    struct sim_nat_config carrier = strict();
    carrier.inside = lab_addr("100.64.0.0", 0);
    lab_init(&lab, 7);
    struct sim_host *hosts[2] = {lab_host(&lab, "5.1.0.1"), lab_host(&lab, "5.1.1.1")};
    struct endpoint third = lab_open(lab_host(&lab, "5.1.2.1"), PROTO_TCP, 1);
    for (int i = 0; i < 2; i++) {
        (void)lab_nat(lab_nat(hosts[i], home)->box, carrier);
        sides[i].end = lab_open(hosts[i], PROTO_TCP, INSIDE_PORT);
        cr_assert(lab_reach(&sides[i].end, &third.at, &third, &sides[i].seen));
    }
    struct sim_tcp *t[2] = {dial(0), dial(1)};
    lab_run_for(&lab, MSEC(100));
    cr_assert_eq(tcp_connect_result(t[0]), 0);
    cr_assert_eq(tcp_connect_result(t[1]), 0);
    lab_done(&lab);
}

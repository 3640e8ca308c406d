/* SPDX-License-Identifier: MIT */
/* Goal: strangers who are expected come in, few at once and for a short time; all others are denied
 * as ever.
 * Spec: decision 1, "pending nonce". */
#include "scripted.h"

struct guests {
    struct host_guests guests;
    bool expects;
    unsigned turned_away;
};

static struct script s;
static struct guests g;

static bool on_expects(struct host_guests *guests, const struct conn *c) {
    cr_assert(c->inbound);
    return CONTAINER_OF(guests, struct guests, guests)->expects;
}

static void on_turned_away(struct host_guests *guests) {
    CONTAINER_OF(guests, struct guests, guests)->turned_away++;
}

static void begin(void) {
    s.is_gated = true;
    s.allowed = NULL;
    script_init(&s, &(struct host_config){0});
    g = (struct guests){
        .guests = {.protocol = "/errand/1", .expects = on_expects, .turned_away = on_turned_away},
        .expects = true};
    host_expect_guests(s.host, &g.guests);
}

static struct script_conn *arrive(unsigned number) {
    struct peer_id peer = script_peer(number);
    return script_accept(&s, &peer, "/ip4/5.6.7.8/udp/9/quic-v1");
}

static bool is_denied(const struct script_conn *c) {
    return c->close_asked && c->close_code == CONN_CODE_GATED;
}

Test(swarm_guests, come_in_when_they_are_expected) {
    begin();
    struct script_conn *c = arrive(1);
    cr_assert_not(c->close_asked);
    cr_assert(host_conn_of(&c->conn)->is_guest);
    cr_assert_eq(c->streams_opened, 0, "nobody asks them who they are");
    g.expects = false;
    cr_assert(is_denied(arrive(2)));
    g.expects = true;
    host_expect_guests(s.host, NULL);
    cr_assert(is_denied(arrive(3)));
    cr_assert_not(c->close_asked);
    script_done(&s);
}

Test(swarm_guests, are_four_at_once_for_ten_seconds) {
    begin();
    struct script_conn *conns[HOST_GUESTS_MAX];
    for (unsigned i = 0; i < HOST_GUESTS_MAX; i++) {
        conns[i] = arrive(i + 1);
        cr_assert_not(conns[i]->close_asked);
        script_wait(&s, SEC(1));
    }
    cr_assert_eq(g.turned_away, 0);
    cr_assert(is_denied(arrive(9)));
    cr_assert_eq(g.turned_away, 1);
    script_wait(&s, HOST_GUEST_TIME - HOST_GUESTS_MAX * SEC(1) - 1);
    cr_assert_not(conns[0]->close_asked);
    script_wait(&s, 1);
    cr_assert(is_denied(conns[0]));
    cr_assert_not(conns[1]->close_asked);
    cr_assert_not(arrive(10)->close_asked, "its place is free");
    script_wait(&s, SEC(3));
    cr_assert(is_denied(conns[3]));
    script_done(&s);
}

Test(swarm_guests, who_is_listed_meanwhile_stays) {
    begin();
    struct script_conn *c = arrive(1);
    struct peer_id peer = script_peer(1);
    s.allowed = &peer;
    host_gate_changed(s.host);
    cr_assert_not(host_conn_of(&c->conn)->is_guest);
    cr_assert_eq(c->streams_opened, 1, "it is asked who it is now");
    script_wait(&s, 2 * HOST_GUEST_TIME);
    cr_assert_not(c->close_asked);
    script_done(&s);
}

/* Each goes at once, so that there is always a place. */
Test(swarm_guests, are_a_burst_and_then_one_each_two_seconds) {
    unsigned admitted = 0;
    begin();
    for (unsigned i = 0; i < 100; i++) {
        struct script_conn *c = arrive(i + 1);
        if (!c->close_asked) {
            admitted++;
            script_conn_over(c, 0, "");
        }
        script_wait(&s, MSEC(100));
    }
    cr_assert_geq(admitted, HOST_GUESTS_BURST);
    cr_assert_leq(admitted, HOST_GUESTS_BURST + SEC(10) / HOST_GUEST_EVERY);
    cr_assert_eq(g.turned_away, 100 - admitted);
    script_wait(&s, HOST_GUEST_EVERY);
    cr_assert_not(arrive(200)->close_asked);
    script_done(&s);
}

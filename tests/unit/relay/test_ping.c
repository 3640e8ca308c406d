/* SPDX-License-Identifier: MIT */

/* The ping of peerup-protocols, section 5, both sides. */

#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "relay/ping.h"
#include "tests/unit/relay/tunnel.h"

static const char PROTOCOL[] = "/pingpong/1.0.0";

struct pinger {
    struct ping_request request;
    struct ping_result result;
    bool done;
};

static void on_done(struct ping_request *q, const struct ping_result *result) {
    struct pinger *p = CONTAINER_OF(q, struct pinger, request);
    p->result = *result;
    p->done = true;
}

struct rig {
    struct tunnel loop; /* reactor and hosts only */
    struct ping_server *server;
};

static void rig_open(struct rig *rig) {
    *rig = (struct rig){0};
    cr_assert_eq(reactor_new(&(struct reactor_config){.mem = mem_system()}, &rig->loop.reactor), 0);
    rig->loop.far = fake_host_new(rig->loop.reactor, "far", NULL);
    rig->loop.near = fake_host_new(rig->loop.reactor, "near", rig->loop.far);
    cr_assert_eq(ping_server_new(rig->loop.reactor, rig->loop.far, PROTOCOL, &rig->server), 0);
}

static void rig_close(struct rig *rig) {
    rig->server = ping_server_free(rig->server);
    cr_assert_eq(fake_host_streams(rig->loop.near), 0);
    fake_host_free(rig->loop.near);
    fake_host_free(rig->loop.far);
    rig->loop.reactor = reactor_free(rig->loop.reactor);
}

static void ask(struct rig *rig, struct pinger *p, const char *protocol) {
    struct peer_id far = fake_peer_id("far");
    *p = (struct pinger){0};
    cr_assert_eq(
        ping_request_start(&p->request, rig->loop.reactor, rig->loop.near, &far, protocol, on_done),
        0);
    cr_assert_not(p->done);
}

Test(ping, a_ping_is_answered_and_timed) {
    struct rig rig;
    struct pinger p;
    rig_open(&rig);
    for (int i = 0; i < 3; i++) {
        ask(&rig, &p, PROTOCOL);
        turn_until(&rig.loop, p.done);
        cr_assert_eq(p.result.error, 0);
        cr_assert_lt(p.result.rtt, SEC(1));
    }
    turn_until(&rig.loop, fake_host_streams(rig.loop.near) == 0);
    rig_close(&rig);
}

Test(ping, a_peer_that_does_not_serve_it_is_an_error_of_opening) {
    struct rig rig;
    struct pinger p;
    rig_open(&rig);
    ask(&rig, &p, "/pingpong/2.0.0");
    turn_until(&rig.loop, p.done);
    cr_assert_eq(p.result.error, -ERR_PROTOCOL_NOT_SUPPORTED);
    cr_assert_str_eq(p.result.phase, "stream");

    fake_host_fail(rig.loop.near, -ETIMEDOUT, 1);
    ask(&rig, &p, PROTOCOL);
    turn_until(&rig.loop, p.done);
    cr_assert_eq(p.result.error, -ETIMEDOUT);
    cr_assert_str_eq(p.result.phase, "stream");
    rig_close(&rig);
}

Test(ping, a_dead_connection_is_an_error_of_reading) {
    struct rig rig;
    struct pinger p;
    rig_open(&rig);
    ask(&rig, &p, PROTOCOL);
    cr_assert_geq(reactor_turn(rig.loop.reactor, 0), 0);
    fake_host_kill(rig.loop.near, -ERR_CONN_CLOSED);
    turn_until(&rig.loop, p.done);
    rig_close(&rig);
}

Test(ping, a_cancelled_ping_says_nothing_in_any_state) {
    struct rig rig;
    struct pinger p;
    rig_open(&rig);
    ask(&rig, &p, PROTOCOL);
    ping_request_cancel(&p.request);
    turn_while_busy(&rig.loop);
    cr_assert_not(p.done);

    for (int turns = 1; turns < 4; turns++) {
        ask(&rig, &p, PROTOCOL);
        for (int i = 0; i < turns; i++)
            cr_assert_geq(reactor_turn(rig.loop.reactor, 0), 0);
        bool was_done = p.done;
        ping_request_cancel(&p.request);
        turn_while_busy(&rig.loop);
        cr_assert_eq(p.done, was_done, "after %d turns", turns);
    }
    rig_close(&rig);
}

Test(ping, sessions_that_are_open_end_with_the_server) {
    struct rig rig;
    struct pinger p;
    rig_open(&rig);
    ask(&rig, &p, PROTOCOL);
    cr_assert_geq(reactor_turn(rig.loop.reactor, 0), 0);
    rig.server = ping_server_free(rig.server);
    turn_until(&rig.loop, p.done);
    rig_close(&rig);
}

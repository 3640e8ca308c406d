/* SPDX-License-Identifier: MIT */
/* Goal: when a peer that is reached over a relay is asked for a hole punch, and when again; on a
 * clock that the test moves, with peers that never answer.
 * Spec: libp2p DCUtR; decision 6. */
#include <stdio.h>

#include "core/p2p/identity.h"
#include "relay/holepunch.h"
#include "relay/proto/dcutr.h"
#include "tests/unit/transport_host/scripted.h"

#define CIRCUIT \
    "/ip4/5.6.7.8/tcp/1/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB/p2p-circuit"
#define DIRECT "/ip4/5.6.7.9/udp/1/quic-v1"
#define Q1     "/ip4/9.8.7.6/udp/1/quic-v1"
#define T1     "/ip4/9.8.7.6/tcp/1"

struct world {
    struct script script;
    struct host_watch relayer; /* makes connections relayed */
    bool plays;
    struct holepunch *holepunch;
    struct script_conn *circuit;
    int reversed;
};

static void on_opened(struct host_watch *w, struct conn *c) {
    const struct world *world = CONTAINER_OF(w, const struct world, relayer);
    c->relayed = world->plays;
    c->limited = world->plays;
}

static void on_ended(void *user, const struct peer_id *peer, enum holepunch_outcome outcome,
                     nsec_t took) {
    struct world *w = user;
    cr_assert_lt(took, SEC(60));
    cr_assert(peer_id_equal(peer, &w->script.peer));
    w->reversed += outcome == HOLEPUNCH_REVERSED;
}

static void open_world(struct world *w) {
    *w = (struct world){.plays = true, .relayer.opened = on_opened};
    script_init(&w->script, &(struct host_config){0});
    host_watch(w->script.host, &w->relayer);
    struct holepunch_config cfg = {.reactor = w->script.reactor,
                                   .host = w->script.host,
                                   .accept_private = true,
                                   .ended = on_ended,
                                   .user = w};
    cr_assert_eq(holepunch_new(&cfg, &w->holepunch), 0);
}

static void close_world(struct world *w) {
    w->holepunch = holepunch_free(w->holepunch);
    script_done(&w->script);
}

#define CASE_CLOCK(name)                       \
    static void clock_##name(struct world *w); \
    Test(holepunch, name) {                    \
        static struct world w;                 \
        open_world(&w);                        \
        clock_##name(&w);                      \
        close_world(&w);                       \
    }                                          \
    static void clock_##name(struct world *w)

static struct script_conn *accept_circuit(struct world *w) {
    w->plays = true;
    return script_accept(&w->script, &w->script.peer, CIRCUIT);
}

static struct script_conn *accept_direct(struct world *w) {
    w->plays = false;
    return script_accept(&w->script, &w->script.peer, DIRECT);
}

static void identify(struct world *w, struct script_conn *c) {
    swarm_identified(host_conn_of(&c->conn));
    script_turn(&w->script);
}

/* A peer dialled us through a relay and has told who it is. */
static void meet(struct world *w) {
    w->circuit = accept_circuit(w);
    identify(w, w->circuit);
}

/* Streams of hole punching so far; the first of all was identify's. */
static uint32_t asked(const struct world *w) {
    return w->circuit->streams_opened - 1;
}

static void wait_for(struct world *w, nsec_t time) {
    script_wait(&w->script, time);
}

CASE_CLOCK(a_peer_is_asked_when_it_has_told_who_it_is_and_not_before) {
    w->circuit = accept_circuit(w);
    wait_for(w, SEC(5));
    cr_assert_eq(asked(w), 0);
    identify(w, w->circuit);
    cr_assert_eq(asked(w), 1);
}

CASE_CLOCK(who_never_answers_is_asked_again_ever_more_rarely) {
    static const nsec_t pauses[] = {SEC(30), SEC(60), SEC(120), SEC(300), SEC(600), SEC(600)};
    meet(w);
    for (uint32_t i = 0; i < ARRAY_COUNT(pauses); i++) {
        wait_for(w, DCUTR_EXCHANGE_TIMEOUT + pauses[i] - 1);
        cr_assert_eq(asked(w), i + 1, "before the time");
        wait_for(w, 1);
        cr_assert_eq(asked(w), i + 2);
    }
    cr_assert_eq(holepunch_stats(w->holepunch)->failed, 0, "it never came to a dial");
}

CASE_CLOCK(new_addresses_of_ours_are_tried_at_once) {
    meet(w);
    wait_for(w, DCUTR_EXCHANGE_TIMEOUT + SEC(1));
    cr_assert_eq(asked(w), 1);
    holepunch_network_changed(w->holepunch);
    script_turn(&w->script);
    cr_assert_eq(asked(w), 2);
    /* Under an upgrade that runs, behind it; then the pauses begin anew. */
    holepunch_network_changed(w->holepunch);
    wait_for(w, DCUTR_EXCHANGE_TIMEOUT);
    cr_assert_eq(asked(w), 3);
    wait_for(w, DCUTR_EXCHANGE_TIMEOUT + SEC(30));
    cr_assert_eq(asked(w), 4);
}

/* It never came to a dial: what the peer was not told may be what was missing. */
CASE_CLOCK(more_addresses_of_ours_are_tried_at_once_where_none_was) {
    meet(w);
    wait_for(w, DCUTR_EXCHANGE_TIMEOUT + SEC(1));
    cr_assert_eq(asked(w), 1);
    holepunch_addrs_added(w->holepunch);
    script_turn(&w->script);
    cr_assert_eq(asked(w), 2);
}

CASE_CLOCK(with_a_direct_connection_nothing_is_asked) {
    meet(w);
    struct script_conn *direct = accept_direct(w);
    wait_for(w, SEC(1000));
    cr_assert_eq(asked(w), 1);
    script_conn_over(direct, -ETIMEDOUT, "gone");
    cr_assert_eq(asked(w), 2, "the way is relayed again");
}

CASE_CLOCK(a_direct_connection_that_does_not_last_is_not_made_over_and_over) {
    meet(w);
    script_conn_over(accept_direct(w), -ETIMEDOUT, "gone");
    cr_assert_eq(asked(w), 1);
    wait_for(w, SEC(30) - 1);
    cr_assert_eq(asked(w), 1);
    wait_for(w, 1);
    cr_assert_eq(asked(w), 2);
}

CASE_CLOCK(with_the_relayed_connection_it_ends) {
    meet(w);
    script_conn_over(w->circuit, -ETIMEDOUT, "gone");
    wait_for(w, SEC(1000));
    cr_assert_eq(asked(w), 1);
    meet(w);
    cr_assert_eq(asked(w), 1, "a new one, a new beginning");
}

CASE_CLOCK(another_relayed_connection_takes_over) {
    meet(w);
    struct script_conn *other = accept_circuit(w);
    script_conn_over(w->circuit, -ETIMEDOUT, "gone");
    w->circuit = other;
    wait_for(w, DCUTR_EXCHANGE_TIMEOUT + SEC(30));
    cr_assert_eq(asked(w), 1);
}

CASE_CLOCK(a_peer_that_we_dialled_opens_itself) {
    script_knows(&w->script, &w->script.peer, 1, (const char *const[]){DIRECT});
    static struct script_connect c;
    script_connect(&w->script, &c, &w->script.peer);
    script_turn(&w->script);
    w->circuit = script_dial_ok(&w->script, DIRECT); /* relayed, as it is played */
    cr_assert(w->circuit->conn.relayed);
    identify(w, w->circuit);
    wait_for(w, SEC(100));
    cr_assert_eq(asked(w), 0);
}

CASE_CLOCK(where_each_dialled_the_other_one_side_opens) {
    static struct script_connect c;
    bool is_ours = peer_id_compare(&w->script.identity.id, &w->script.peer) < 0;
    script_knows(&w->script, &w->script.peer, 1, (const char *const[]){DIRECT});
    script_connect(&w->script, &c, &w->script.peer);
    script_turn(&w->script);
    (void)script_dial_ok(&w->script, DIRECT);
    meet(w);
    wait_for(w, SEC(1));
    cr_assert_eq(asked(w), is_ours ? 1 : 0);
}

CASE_CLOCK(what_is_known_of_the_peer_is_dialled_beside_it_for_a_second) {
    script_knows(&w->script, &w->script.peer, 2, (const char *const[]){Q1, T1});
    meet(w);
    cr_assert_eq(asked(w), 1);
    cr_assert(script_dial(&w->script, Q1) != NULL && script_dial(&w->script, T1) != NULL);
    cr_assert_not(script_dial(&w->script, T1)->responder);
    wait_for(w, DCUTR_DIRECT_TIMEOUT - 1);
    cr_assert_eq(w->script.dials_count, 2);
    wait_for(w, 1);
    cr_assert_eq(w->script.dials_count, 0);
    cr_assert_eq(asked(w), 1, "the stream goes on");
}

CASE_CLOCK(the_one_sided_dial_ends_everything) {
    script_knows(&w->script, &w->script.peer, 2, (const char *const[]){Q1, T1});
    meet(w);
    w->plays = false;
    (void)script_dial_ok(&w->script, Q1);
    cr_assert_eq(w->script.dials_count, 0);
    cr_assert_eq(w->reversed, 1);
    wait_for(w, SEC(1000));
    cr_assert_eq(asked(w), 1);
    cr_assert_eq(holepunch_stats(w->holepunch)->succeeded, 0, "no hole was punched");
}

CASE_CLOCK(freed_it_gives_up_what_runs) {
    script_knows(&w->script, &w->script.peer, 2, (const char *const[]){Q1, T1});
    meet(w);
    w->holepunch = holepunch_free(w->holepunch);
    cr_assert_eq(w->script.dials_cancelled, 2);
    wait_for(w, SEC(1000));
    cr_assert_eq(asked(w), 1);
}

CASE_CLOCK(without_room_for_a_stream_it_is_tried_later) {
    w->circuit = accept_circuit(w);
    w->circuit->streams_max = 1; /* identify's */
    identify(w, w->circuit);
    cr_assert_eq(asked(w), 0);
    w->circuit->streams_max = 2;
    wait_for(w, SEC(30));
    cr_assert_eq(asked(w), 1);
}

CASE_CLOCK(of_very_many_peers_some_wait_for_their_turn) {
    struct script_conn *circuits[HOLEPUNCH_ACTIVE_MAX + 2];
    for (unsigned i = 0; i < ARRAY_COUNT(circuits); i++) {
        struct peer_id peer = script_peer(100 + i);
        char from[64];
        (void)snprintf(from, sizeof(from), "/ip4/5.6.%u.8/udp/1/quic-v1", i);
        w->plays = true;
        circuits[i] = script_accept(&w->script, &peer, from);
        identify(w, circuits[i]);
    }
    w->circuit = circuits[HOLEPUNCH_ACTIVE_MAX - 1];
    cr_assert_eq(asked(w), 1);
    w->circuit = circuits[HOLEPUNCH_ACTIVE_MAX + 1];
    cr_assert_eq(asked(w), 0);
    wait_for(w, DCUTR_EXCHANGE_TIMEOUT + HOLEPUNCH_PAUSE_MIN);
    cr_assert_eq(asked(w), 1);
}

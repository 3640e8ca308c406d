/* SPDX-License-Identifier: MIT */
/* Goal: when a relay is asked for a spliced path, and when again; on a clock that the test moves,
 * with a relay that is not there or never answers.  What comes of it is tests/unit/relay_hosts.
 * Spec: ADR 13. */
#include "core/p2p/identity.h"
#include "core/p2p/pb.h"
#include "core/p2p/protocol_id.h"
#include "relay/splice_client.h"
#include "tests/unit/transport_host/scripted.h"

#define RELAY   "/ip4/5.6.7.8/tcp/1"
#define CIRCUIT RELAY "/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB/p2p-circuit"
#define DIRECT  "/ip4/5.6.7.9/udp/1/quic-v1"

enum { IDENTIFY_PROTOCOL_FIELD = 3 };

struct world {
    struct script script;
    struct host_watch relayer; /* makes connections relayed */
    bool plays;
    struct splice_client *client;
    struct script_conn *circuit;
};

static void on_opened(struct host_watch *w, struct conn *c) {
    const struct world *world = CONTAINER_OF(w, const struct world, relayer);
    c->relayed = world->plays;
    c->limited = world->plays;
}

static void open_world(struct world *w) {
    *w = (struct world){.plays = true, .relayer.opened = on_opened};
    script_init(&w->script, &(struct host_config){0});
    host_watch(w->script.host, &w->relayer);
    struct splice_client_config cfg = {.reactor = w->script.reactor, .host = w->script.host};
    cr_assert_eq(splice_client_new(&cfg, &w->client), 0);
}

static void close_world(struct world *w) {
    w->client = splice_client_free(w->client);
    script_done(&w->script);
}

#define CASE_CLOCK(name)                       \
    static void clock_##name(struct world *w); \
    Test(splice_client, name) {                \
        static struct world w;                 \
        open_world(&w);                        \
        clock_##name(&w);                      \
        close_world(&w);                       \
    }                                          \
    static void clock_##name(struct world *w)

/* A connection that we dial, for a stream that is given up. */
static struct script_conn *dial(struct world *w, const struct peer_id *peer, const char *addr) {
    static struct script_stream x;
    x = (struct script_stream){.done = 0};
    script_knows(&w->script, peer, 1, (const char *const[]){addr});
    script_open_with(&w->script, &x, peer, HOST_REQUEST_LIMITED);
    script_turn(&w->script);
    struct script_conn *c = script_dial_ok(&w->script, addr);
    cr_assert_not_null(x.stream);
    (void)stream_release(x.stream);
    script_turn(&w->script);
    return c;
}

/* The peer tells by identify what it speaks. */
static void tell(struct world *w, struct script_conn *c, const char *protocol) {
    uint8_t memory[64];
    struct wr out = wr_init(memory, sizeof(memory));
    pb_wr_bytes(&out, IDENTIFY_PROTOCOL_FIELD, bytes_of_str(protocol));
    swarm_told(host_conn_of(&c->conn), &(struct identify_message){.merged = wr_written(&out)});
    script_turn(&w->script);
}

static uint64_t failed(const struct world *w) {
    return splice_client_stats(w->client)->failed;
}

/* We have dialled a circuit to a peer that speaks the protocol. */
static void meet(struct world *w) {
    w->circuit = dial(w, &w->script.peer, CIRCUIT);
    cr_assert(w->circuit->conn.relayed);
    tell(w, w->circuit, PROTOCOL_SPLICE);
}

CASE_CLOCK(a_path_that_is_not_made_is_tried_again_ever_more_rarely) {
    static const int pauses_s[] = {30, 60, 120, 240, 480, 600, 600};
    meet(w); /* and there is no connection to the relay */
    cr_assert_eq(failed(w), 1);
    for (size_t i = 0; i < ARRAY_COUNT(pauses_s); i++) {
        script_wait(&w->script, SEC(pauses_s[i]) - MSEC(1));
        cr_assert_eq(failed(w), i + 1, "pause %zu", i);
        script_wait(&w->script, MSEC(1));
        cr_assert_eq(failed(w), i + 2, "pause %zu", i);
    }
}

CASE_CLOCK(a_peer_that_does_not_speak_it_is_let_alone_until_it_does) {
    w->circuit = dial(w, &w->script.peer, CIRCUIT);
    script_wait(&w->script, SEC(100));
    tell(w, w->circuit, "/other/1.0.0");
    script_wait(&w->script, SEC(100));
    cr_assert_eq(failed(w), 0);
    tell(w, w->circuit, PROTOCOL_SPLICE);
    cr_assert_eq(failed(w), 1);
}

CASE_CLOCK(nobody_is_asked_while_a_direct_connection_stands) {
    w->circuit = dial(w, &w->script.peer, CIRCUIT);
    w->plays = false;
    struct script_conn *direct = script_accept(&w->script, &w->script.peer, DIRECT);
    tell(w, w->circuit, PROTOCOL_SPLICE);
    script_wait(&w->script, SEC(5));
    cr_assert_eq(failed(w), 0);
    script_conn_over(direct, -ERR_CONN_CLOSED, "gone");
    script_turn(&w->script);
    cr_assert_eq(failed(w), 1);
}

CASE_CLOCK(a_circuit_that_the_peer_dialled_is_the_peers_to_ask_for) {
    w->circuit = script_accept(&w->script, &w->script.peer, CIRCUIT);
    tell(w, w->circuit, PROTOCOL_SPLICE);
    script_wait(&w->script, SEC(100));
    cr_assert_eq(failed(w), 0);
}

/* Goal: a new circuit to the same peer does not make us forget how often it failed. */
CASE_CLOCK(the_pause_outlives_the_circuit) {
    meet(w);
    script_conn_over(w->circuit, -ERR_CONN_CLOSED, "gone");
    script_wait(&w->script, SEC(5));
    meet(w);
    cr_assert_eq(failed(w), 1);
    script_wait(&w->script, SEC(25));
    cr_assert_eq(failed(w), 2);
    script_conn_over(w->circuit, -ERR_CONN_CLOSED, "gone");
    script_wait(&w->script, SEC(100)); /* and is forgotten when both are over */
    meet(w);
    cr_assert_eq(failed(w), 3);
}

CASE_CLOCK(a_relay_that_does_not_answer_is_waited_for_so_long_and_asked_again) {
    struct multiaddr addr;
    struct peer_id relay;
    cr_assert_eq(
        multiaddr_parse(RELAY "/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB", &addr),
        0);
    cr_assert_eq(multiaddr_split_peer(&addr, &addr, &relay), 0);
    w->plays = false;
    struct script_conn *c = dial(w, &relay, RELAY);
    w->plays = true;
    uint32_t before = c->streams_opened;
    meet(w);
    cr_assert_eq(c->streams_opened, before + 1);
    script_wait(&w->script, SEC(10) - MSEC(1)); /* of negotiating the protocol */
    cr_assert_eq(failed(w), 0);
    script_wait(&w->script, MSEC(1));
    cr_assert_eq(failed(w), 1);
    script_wait(&w->script, SPLICE_FIRST_PAUSE);
    cr_assert_eq(c->streams_opened, before + 2);
}

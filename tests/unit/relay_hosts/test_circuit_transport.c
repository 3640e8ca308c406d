/* SPDX-License-Identifier: MIT */

/* Goal: circuits carry connections like any other; each answer and end of a relay has its error,
 * and whatever goes wrong leaves nothing behind. Spec: libp2p relay-v2; decisions 1 (who may open
 * stop streams) and 2 (relayed, limited). */

#include <stdio.h>

#include "tests/unit/relay_hosts/circuits.h"
#include "transport/transport.h"

static const struct hop_service_config unlimited;

static struct peer_id somebody(uint8_t seed) {
    uint8_t bytes[ED25519_SEED_BYTES];
    struct identity identity;
    memset(bytes, seed, sizeof(bytes));
    cr_assert_eq(identity_from_seed(bytes, &identity), 0);
    struct peer_id id = identity.id;
    identity_done(&identity);
    return id;
}

/* b is connected to the relay, and listens there. */
static void open_listening(struct circuits *c, struct fixture *t) {
    circuits_open(c, t, NULL);
    party_knows(&t->b, &c->relay);
    connect_pair(&t->b, &c->relay);
    cr_assert_eq(circuit_transport_listen(c->at_b, &c->relay.identity.id), 0);
}

/* --- A circuit --- */

static void assert_circuit(const struct circuits *c, const struct conn *conn, bool inbound) {
    struct multiaddr at = circuit_addr(c);
    cr_assert(conn->relayed);
    cr_assert(conn->limited);
    cr_assert_eq(conn->inbound, inbound);
    cr_assert(multiaddr_equal(&conn->remote, &at));
}

CASE(circuit, carries_streams_both_ways_and_their_ends) {
    static struct circuits c;
    circuits_open(&c, t, &unlimited);
    circuits_reserve(&c);
    circuits_connect(&c);
    assert_circuit(&c, conn_to(&t->a, &t->b.identity.id), false);
    assert_circuit(&c, conn_to(&t->b, &t->a.identity.id), true);
    circuits_stream(&c);
    tap_write(&c.a, 3 << 20, true);
    tap_write(&c.b, 3 << 20, true);
    TURN_UNTIL(t, c.a.eof && c.b.eof);
    cr_assert_eq(c.a.got, 3 << 20);
    cr_assert_eq(c.b.got, 3 << 20);
    cr_assert_not(c.a.wrong || c.b.wrong);
    circuits_close(&c);
}

/* By the values that the relay sent; zeros are a limit that limits nothing. */
CASE(circuit, knows_its_limit_at_both_ends) {
    static const struct hop_service_config rows[] = {
        {.circuit_duration = SEC(70), .circuit_bytes = 123456}, {.circuit_duration = 0}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        static struct circuits c;
        circuits_open(&c, t, &rows[i]);
        circuits_reserve(&c);
        circuits_connect(&c);
        const struct conn *ends[] = {conn_to(&t->a, &t->b.identity.id),
                                     conn_to(&t->b, &t->a.identity.id)};
        for (size_t k = 0; k < 2; k++) {
            cr_assert(ends[k]->limited);
            cr_assert_eq(ends[k]->limit.duration_s, i == 0 ? 70 : 0);
            cr_assert_eq(ends[k]->limit.data_bytes, i == 0 ? 123456 : 0);
        }
        circuits_close(&c);
    }
}

CASE(circuit, ends_with_an_error_at_the_relays_limit) {
    static const struct hop_service_config limits = {.circuit_bytes = 300000};
    static struct circuits c;
    circuits_open(&c, t, &limits);
    circuits_reserve(&c);
    circuits_connect(&c);
    circuits_stream(&c);
    tap_write(&c.a, 1 << 20, true);
    TURN_UNTIL(t, c.a.closed == 1 && c.b.closed == 1);
    cr_assert_eq(c.a.closed_error, -ERR_RELAY_DATA_LIMIT);
    cr_assert_eq(c.b.closed_error, -ERR_RELAY_DATA_LIMIT);
    cr_assert_not(c.b.eof);
    TURN_UNTIL(t, conn_to(&t->a, &t->b.identity.id) == NULL &&
                      conn_to(&t->b, &t->a.identity.id) == NULL);
    cr_assert_eq(conns_count(&c.relay), 2, "the connections to the relay stay");
    circuits_close(&c);
}

CASE(circuit, ends_with_either_connection_to_the_relay) {
    for (int who = 0; who < 2; who++) {
        static struct circuits c;
        circuits_open(&c, t, &unlimited);
        circuits_reserve(&c);
        circuits_connect(&c);
        circuits_stream(&c);
        const struct party *party = who == 0 ? &t->a : &t->b;
        struct conn *conn = conn_to(&c.relay, &party->identity.id);
        conn->ops->close(conn, CONN_CODE_NONE);
        TURN_UNTIL(t, c.a.closed == 1 && c.b.closed == 1);
        TURN_UNTIL(t, conn_to(&t->a, &t->b.identity.id) == NULL);
        circuits_close(&c);
    }
}

/* With a relay that the host knows already, or that a source of addresses told. */
CASE_QUIC(circuit, needs_no_address_of_a_relay_that_is_known) {
    static struct circuits c;
    circuits_open(&c, t, &unlimited);
    circuits_reserve(&c);
    party_knows(&t->a, &c.relay);
    struct multiaddr at = {0};
    cr_assert_eq(multiaddr_add_peer(&at, &c.relay.identity.id), 0);
    cr_assert_eq(multiaddr_add(&at, MULTIADDR_P2P_CIRCUIT), 0);
    cr_assert_eq(host_add_addrs(t->a.host, &t->b.identity.id, &at, 1), 0);
    struct connecting x = circuits_try(&c, &t->b.identity.id);
    cr_assert_eq(x.error, 0, "%s", x.problem);
    circuits_close(&c);
}

/* To who asked for a circuit. */
static void say_status(struct said *s) {
    uint8_t out[CIRCUIT_OUT_MAX];
    struct hop_msg m = {.type = HOP_STATUS, .has_status = true, .status = CIRCUIT_STATUS_OK};
    ssize_t n = hop_msg_encode(&m, out);
    say(s, bytes_of(out, (size_t)n));
}

static void say_connect(struct said *s, const struct peer_id *from) {
    uint8_t out[CIRCUIT_OUT_MAX];
    struct stop_msg m = {.type = STOP_CONNECT, .has_peer = true, .peer = *from};
    say(s, bytes_of(out, stop_msg_encode(&m, out)));
}

/* What the one said goes to the other. */
static void forward(struct said *from, struct said *to) {
    if (from->got_len > 0)
        say(to, bytes_of(from->got, from->got_len));
    from->got_len = 0;
}

CASE(circuit, whose_far_end_makes_no_sense_is_none) {
    static struct circuits c;
    struct connecting x;
    circuits_open(&c, t, NULL);
    circuits_know(&c, &t->b.identity.id);
    connect_start(&x, &t->a, &t->b.identity.id, SEC(10));
    TURN_UNTIL(t, c.said_count == 1 && c.said[0].got_len > 0);
    say_status(&c.said[0]);
    say(&c.said[0], bytes_of_str("\x13/multistream/1.0.0\nnothing that makes sense"));
    stream_shutdown_write(c.said[0].stream);
    TURN_UNTIL(t, x.done == 1);
    cr_assert_lt(x.error, 0);
    cr_assert_eq(conns_count(&t->a), 1, "the one to the relay");
    circuits_close(&c);
}

/* A relay that leads us to somebody else: the handshake inside proves who is there. */
CASE(circuit, to_another_peer_is_none) {
    static struct circuits c;
    struct peer_id wanted = somebody(42);
    struct connecting x;
    open_listening(&c, t);
    circuits_know(&c, &wanted);
    connect_start(&x, &t->a, &wanted, SEC(10));
    TURN_UNTIL(t, c.said_count == 1 && c.said[0].got_len > 0);
    struct said *to_a = &c.said[0];
    struct said *to_b = relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
    say_connect(to_b, &t->a.identity.id);
    TURN_UNTIL(t, to_b->got_len > 0);
    to_a->got_len = 0;
    to_b->got_len = 0;
    say_status(to_a);
    while (x.done == 0) {
        cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + SEC(1)), 0);
        forward(to_a, to_b);
        forward(to_b, to_a);
    }
    cr_assert_eq(x.error, -ERR_PEER_ID_MISMATCH, "%s", x.problem);
    cr_assert_eq(conns_count(&t->b), 1, "the one to the relay");
    circuits_close(&c);
}

CASE_QUIC(circuit, is_gated_when_the_peer_is_proved) {
    static struct circuits c;
    circuits_open(&c, t, &unlimited);
    t->b.host->gate = &t->b.gate.gate;
    party_allow(&t->b, &c.relay);
    circuits_reserve(&c);
    circuits_know(&c, &t->b.identity.id);
    struct connecting x = circuits_try(&c, &t->b.identity.id);
    cr_assert_eq(x.error, -ERR_GATED, "%s", x.problem);
    cr_assert_eq(t->b.gate.inbound_denied, 1);
    circuits_close(&c);
}

/* --- What a relay may answer --- */

struct answer_row {
    struct hop_msg message;
    const char *raw; /* instead */
    size_t raw_len;
    bool ends;
    uint64_t reset_code; /* instead of all; UINT64_MAX: none */
    int error;
    const char *text;
};

#define STATUS(number)                                                       \
    .message = {.type = HOP_STATUS, .has_status = true, .status = (number)}, \
    .reset_code = UINT64_MAX
#define RAW(bytes) .raw = (bytes), .raw_len = sizeof(bytes) - 1, .reset_code = UINT64_MAX

static const struct answer_row answers[] = {
    {STATUS(CIRCUIT_STATUS_RESERVATION_REFUSED), .error = -ERR_PROTOCOL_VIOLATION,
     .text = "reservation refused (200)"},
    {STATUS(CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED), .error = -ERR_RESOURCE_LIMIT, .text = "(201)"},
    {STATUS(CIRCUIT_STATUS_PERMISSION_DENIED), .error = -ERR_RELAY_REFUSED, .text = "(202)"},
    {STATUS(CIRCUIT_STATUS_CONNECTION_FAILED), .error = -ECONNREFUSED, .text = "(203)"},
    {STATUS(CIRCUIT_STATUS_NO_RESERVATION), .error = -ERR_NO_RESERVATION, .text = "(204)"},
    {STATUS(CIRCUIT_STATUS_MALFORMED_MESSAGE), .error = -ERR_PROTOCOL_VIOLATION, .text = "(400)"},
    {STATUS(12345), .error = -ERR_PROTOCOL_VIOLATION, .text = "unknown status (12345)"},
    {.message = {.type = HOP_STATUS},
     .reset_code = UINT64_MAX,
     .error = -ERR_PROTOCOL_VIOLATION,
     .text = "makes no sense"},
    {.message = {.type = HOP_RESERVE},
     .reset_code = UINT64_MAX,
     .error = -ERR_PROTOCOL_VIOLATION,
     .text = "makes no sense"},
    {RAW("\x03\x0a\xff\xff"), .error = -ERR_PROTOCOL_VIOLATION, .text = "makes no sense"},
    {RAW("\xff\xff\x03"), .error = -ERR_LIMIT, .text = "breaks off"},
    {RAW("\x05\x08"), .ends = true, .error = -ERR_TRUNCATED, .text = "breaks off"},
    {RAW(""), .ends = true, .error = -ERR_TRUNCATED, .text = "breaks off"},
    {.reset_code = STREAM_CODE_NONE, .error = -ERR_STREAM_RESET, .text = "breaks off"},
    {.reset_code = STREAM_CODE_RESOURCE_LIMIT, .error = -ERR_RESOURCE_LIMIT, .text = "limit"},
    {.reset_code = STREAM_CODE_GATED, .error = -ERR_GATED, .text = "not authorized"},
};

static void answer(struct said *s, const struct answer_row *row) {
    uint8_t out[CIRCUIT_OUT_MAX];
    if (row->reset_code != UINT64_MAX) {
        stream_reset(s->stream, row->reset_code);
        return;
    }
    struct bytes b = bytes_of(row->raw, row->raw_len);
    if (row->raw == NULL)
        b = bytes_of(out, (size_t)hop_msg_encode(&row->message, out));
    if (b.len > 0)
        say(s, b);
    if (row->ends)
        stream_shutdown_write(s->stream);
}

CASE(circuit, that_the_relay_refuses_says_why) {
    static struct circuits c;
    circuits_open(&c, t, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        struct peer_id to = somebody((uint8_t)(20 + i));
        struct connecting x;
        circuits_know(&c, &to);
        connect_start(&x, &t->a, &to, SEC(10));
        TURN_UNTIL(t, c.said_count == i + 1 && c.said[i].got_len > 0);
        struct hop_msg m;
        cr_assert_eq(hop_msg_decode(bytes_of(c.said[i].got + 1, c.said[i].got_len - 1), &m), 0);
        cr_assert_eq((int)m.type, (int)HOP_CONNECT);
        cr_assert(m.has_peer && peer_id_equal(&m.peer, &to));
        answer(&c.said[i], &answers[i]);
        TURN_UNTIL(t, x.done == 1);
        cr_assert_eq(x.error, answers[i].error, "%zu: %s", i, x.problem);
        cr_assert_not_null(strstr(x.problem, answers[i].text), "%zu: %s", i, x.problem);
    }
    circuits_close(&c);
}

CASE_QUIC(circuit, over_who_is_no_relay_is_none) {
    static struct circuits c;
    circuits_open(&c, t, NULL);
    host_unhandle(c.relay.host, &c.hop);
    circuits_know(&c, &t->b.identity.id);
    struct connecting x = circuits_try(&c, &t->b.identity.id);
    cr_assert_eq(x.error, -ERR_PROTOCOL_NOT_SUPPORTED, "%s", x.problem);
    cr_assert_not_null(strstr(x.problem, "does not relay"), "%s", x.problem);
    circuits_close(&c);
}

CASE_QUIC(circuit, over_a_relay_that_is_not_there_is_none) {
    static struct circuits c;
    circuits_open(&c, t, NULL);
    party_end(&c.relay);
    circuits_know(&c, &t->b.identity.id);
    struct connecting x;
    connect_start(&x, &t->a, &t->b.identity.id, MSEC(300));
    TURN_UNTIL(t, x.done == 1);
    cr_assert_lt(x.error, 0);
    circuits_close(&c);
}

/* Which addresses are none that it dials. */
CASE_QUIC(circuit, addresses_that_are_none) {
    static struct circuits c;
    circuits_open(&c, t, NULL);
    struct transport *transport = LIST_ENTRY(t->a.host->transports.next, struct transport, node);
    cr_assert_str_eq(transport->ops->name, "circuit");
    struct multiaddr good = circuit_addr(&c);
    struct multiaddr twice = good;
    cr_assert_eq(multiaddr_add_peer(&twice, &t->b.identity.id), 0);
    cr_assert_eq(multiaddr_add(&twice, MULTIADDR_P2P_CIRCUIT), 0);
    struct multiaddr own = c.relay.addr;
    cr_assert_eq(multiaddr_add_peer(&own, &t->a.identity.id), 0);
    cr_assert_eq(multiaddr_add(&own, MULTIADDR_P2P_CIRCUIT), 0);
    struct multiaddr bare = {0};
    cr_assert_eq(multiaddr_add(&bare, MULTIADDR_P2P_CIRCUIT), 0);
    cr_assert(transport->ops->can_dial(transport, &good));
    cr_assert_not(transport->ops->can_dial(transport, &c.relay.addr), "direct");
    cr_assert_not(transport->ops->can_dial(transport, &twice), "two relays");
    cr_assert_not(transport->ops->can_dial(transport, &own), "we are the relay");
    cr_assert_not(transport->ops->can_dial(transport, &bare), "no relay");

    struct dial d = {.to = good, .expected = c.relay.identity.id};
    cr_assert_eq(transport->ops->dial(transport, &d), -ERR_UNSUPPORTED, "to the relay itself");
    d = (struct dial){.to = good, .expected = t->b.identity.id, .responder = true};
    cr_assert_eq(transport->ops->dial(transport, &d), -ERR_UNSUPPORTED, "as responder");
    d = (struct dial){.to = good, .expected = PEER_ID_NONE};
    cr_assert_eq(transport->ops->dial(transport, &d), -ERR_UNSUPPORTED, "to anybody");
    struct problem problem = PROBLEM_INIT;
    cr_assert_eq(transport->ops->listen(transport, &good, &problem), -ERR_UNSUPPORTED);
    circuits_close(&c);
}

/* --- What a relay may ask --- */

struct ask_row {
    struct stop_msg message;
    const char *raw; /* instead */
    size_t raw_len;
    enum circuit_status status;
};

static const struct ask_row asks[] = {
    {.message = {.type = STOP_CONNECT}, .status = CIRCUIT_STATUS_MALFORMED_MESSAGE},
    {.raw = "\x03\x0a\xff\xff", .raw_len = 4, .status = CIRCUIT_STATUS_MALFORMED_MESSAGE},
    {.message = {.type = STOP_STATUS, .has_status = true, .status = CIRCUIT_STATUS_OK},
     .status = CIRCUIT_STATUS_UNEXPECTED_MESSAGE},
};

CASE(circuit, that_is_asked_for_in_no_sensible_way_is_refused) {
    static struct circuits c;
    open_listening(&c, t);
    for (size_t i = 0; i < ARRAY_COUNT(asks); i++) {
        struct said *s = relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
        uint8_t out[CIRCUIT_OUT_MAX];
        struct bytes b = bytes_of(asks[i].raw, asks[i].raw_len);
        if (asks[i].raw == NULL)
            b = bytes_of(out, stop_msg_encode(&asks[i].message, out));
        say(s, b);
        TURN_UNTIL(t, s->eof);
        struct stop_msg m;
        cr_assert_eq(stop_msg_decode(bytes_of(s->got + 1, s->got_len - 1), &m), 0);
        cr_assert_eq((int)m.type, (int)STOP_STATUS);
        cr_assert_eq((int)m.status, (int)asks[i].status, "%zu: %d", i, (int)m.status);
    }
    circuits_close(&c);
}

CASE(circuit, whose_question_is_cut_is_none) {
    static struct circuits c;
    open_listening(&c, t);
    struct said *s = relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
    say(s, bytes_of("\x20\x08", 2));
    stream_shutdown_write(s->stream);
    TURN_UNTIL(t, s->closed == 1);
    cr_assert_eq(s->resets, 1);
    s = relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
    stream_reset(s->stream, STREAM_CODE_NONE);
    turn_for(t, MSEC(10));
    cr_assert_eq(conns_count(&t->b), 1);
    circuits_close(&c);
}

/* Decision 1. */
CASE(circuit, of_a_relay_that_is_not_listened_on_is_refused) {
    static struct circuits c;
    struct peer_id other = somebody(77);
    circuits_open(&c, t, NULL);
    party_knows(&t->b, &c.relay);
    connect_pair(&t->b, &c.relay);
    struct said *s = relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
    TURN_UNTIL(t, s->closed == 1);
    cr_assert_eq(s->error, -ERR_PROTOCOL_NOT_SUPPORTED, "stop is not even served");

    cr_assert_eq(circuit_transport_listen(c.at_b, &other), 0);
    s = relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
    TURN_UNTIL(t, s->closed == 1);
    cr_assert_eq(s->resets, 1);

    cr_assert_eq(circuit_transport_listen(c.at_b, &c.relay.identity.id), 0);
    circuit_transport_unlisten(c.at_b, &c.relay.identity.id);
    s = relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
    TURN_UNTIL(t, s->closed == 1);
    cr_assert_eq(s->resets, 1);
    circuits_close(&c);
}

CASE(circuit, beyond_the_bound_of_half_open_ones_is_refused) {
    static struct circuits c;
    open_listening(&c, t);
    for (int i = 0; i < CIRCUIT_HALF_OPEN_MAX; i++)
        (void)relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
    struct said *s = relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
    TURN_UNTIL(t, s->resets == 1);
    for (int i = 0; i < CIRCUIT_HALF_OPEN_MAX; i++)
        cr_assert_eq(c.said[i].resets, 0);
    /* One that ends makes room. */
    stream_reset(c.said[0].stream, STREAM_CODE_NONE);
    turn_for(t, MSEC(20));
    s = relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
    say(s, bytes_of("\x02\x08\x01", 3));
    TURN_UNTIL(t, s->eof);
    cr_assert_eq(s->resets, 0);
    circuits_close(&c);
}

CASE_QUIC(circuit, relays_that_are_listened_on_are_bounded) {
    static struct circuits c;
    circuits_open(&c, t, NULL);
    for (uint8_t i = 0; i < CIRCUIT_RELAYS_MAX; i++) {
        struct peer_id id = somebody((uint8_t)(100 + i));
        cr_assert_eq(circuit_transport_listen(c.at_b, &id), 0);
        cr_assert_eq(circuit_transport_listen(c.at_b, &id), 0, "once more is nothing");
    }
    cr_assert_eq(circuit_transport_listen(c.at_b, &c.relay.identity.id), -ERR_LIMIT);
    struct peer_id first = somebody(100);
    circuit_transport_unlisten(c.at_b, &first);
    circuit_transport_unlisten(c.at_b, &first);
    cr_assert_eq(circuit_transport_listen(c.at_b, &c.relay.identity.id), 0);
    circuits_close(&c);
}

/* --- What is announced --- */

CASE_QUIC(circuit, addresses_of_relays_are_the_hosts) {
    static struct circuits c;
    struct multiaddr at[CIRCUIT_RELAY_ADDRS_MAX + 1];
    struct multiaddr listed[CIRCUIT_RELAY_ADDRS_MAX + 2];
    circuits_open(&c, t, NULL);
    cr_assert_eq(circuit_transport_listen(c.at_b, &c.relay.identity.id), 0);
    for (size_t i = 0; i < ARRAY_COUNT(at); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "/ip4/8.8.8.8/tcp/%zu", i + 1);
        cr_assert_eq(multiaddr_parse(text, &at[i]), 0);
    }
    circuit_transport_announce(c.at_b, &c.relay.identity.id, at, ARRAY_COUNT(at));
    cr_assert_eq(host_listen_addrs(t->b.host, listed, ARRAY_COUNT(listed)),
                 CIRCUIT_RELAY_ADDRS_MAX);
    cr_assert_eq(multiaddr_add_peer(&at[0], &c.relay.identity.id), 0);
    cr_assert_eq(multiaddr_add(&at[0], MULTIADDR_P2P_CIRCUIT), 0);
    cr_assert(multiaddr_equal(&listed[0], &at[0]));
    cr_assert_eq(host_listen_addrs(t->b.host, listed, 1), 1);
    circuit_transport_announce(c.at_b, &c.relay.identity.id, NULL, 0);
    cr_assert_eq(host_listen_addrs(t->b.host, listed, ARRAY_COUNT(listed)), 0);
    circuits_close(&c);
}

/* --- The end --- */

/* In each phase of a dial: before the stream is open, before the answer, in the handshake. */
CASE(circuit, that_is_being_dialled_ends_with_the_host) {
    for (int phase = 0; phase < 3; phase++) {
        static struct circuits c;
        struct connecting x;
        circuits_open(&c, t, NULL);
        circuits_know(&c, &t->b.identity.id);
        connect_start(&x, &t->a, &t->b.identity.id, SEC(10));
        if (phase == 0)
            cr_assert_eq(reactor_turn(t->reactor, 0), 0);
        else
            TURN_UNTIL(t, c.said_count == 1 && c.said[0].got_len > 0);
        if (phase == 2) {
            say_status(&c.said[0]);
            size_t before = c.said[0].got_len;
            TURN_UNTIL(t, c.said[0].got_len > before);
        }
        party_end(&t->a);
        cr_assert_eq(x.done, 1);
        cr_assert_eq(x.error, -ERR_SHUTDOWN);
        circuits_close(&c);
    }
}

/* And one that we are dialled over: before the question, and in the handshake. */
CASE(circuit, that_is_being_accepted_ends_with_the_host) {
    for (int phase = 0; phase < 2; phase++) {
        static struct circuits c;
        open_listening(&c, t);
        struct said *s = relay_opens(&c, &t->b, PROTOCOL_CIRCUIT_STOP);
        turn_for(t, MSEC(5));
        if (phase == 1) {
            say_connect(s, &t->a.identity.id);
            TURN_UNTIL(t, s->got_len > 0);
        }
        party_end(&t->b);
        TURN_UNTIL(t, s->closed == 1);
        circuits_close(&c);
    }
}

CASE(circuit, that_stands_ends_with_the_host) {
    static struct circuits c;
    circuits_open(&c, t, &unlimited);
    circuits_reserve(&c);
    circuits_connect(&c);
    circuits_stream(&c);
    circuits_unreserve(&c);
    tap_end(&c.b);
    party_end(&t->b);
    TURN_UNTIL(t, c.a.closed == 1 && conn_to(&t->a, &t->b.identity.id) == NULL);
    circuits_close(&c);
}

/* --- Memory --- */

struct attempt {
    struct connect_request request;
    int done;
};

static void on_attempted(struct connect_request *r, const struct multiaddr *remote, int error) {
    (void)remote;
    (void)error;
    CONTAINER_OF(r, struct attempt, request)->done++;
}

/* A reservation and a circuit, as far as memory goes. */
static bool fails_at(struct fixture *t, long n, bool for_good) {
    static struct circuits c;
    struct attempt x = {.done = 0};
    struct problem problem = PROBLEM_INIT;
    circuits_open(&c, t, &unlimited);
    circuits_know(&c, &t->b.identity.id);
    struct multiaddr relay = relay_addr(&c);
    struct reservations_config cfg = {.reactor = t->reactor,
                                      .host = t->b.host,
                                      .circuit = c.at_b,
                                      .relays = &relay,
                                      .relays_count = 1,
                                      .renew_interval = NSEC_NEVER,
                                      .reserves = true};
    t->mem.calls = 0;
    t->mem.fail_at = n;
    t->mem.fail_for_good = for_good;
    nsec_t until = reactor_now(t->reactor) + MSEC(100);
    if (reservations_new(&cfg, &problem, &c.of_b) == 0) {
        while (!reservation_of(c.of_b).held && reactor_now(t->reactor) < until)
            cr_assert_eq(reactor_turn(t->reactor, until), 0);
    }
    until = reactor_now(t->reactor) + MSEC(100);
    host_connect(t->a.host, &x.request, &t->b.identity.id, until, on_attempted);
    while (x.done == 0)
        cr_assert_eq(reactor_turn(t->reactor, until), 0);
    bool failed = t->mem.calls >= n;
    t->mem.fail_at = 0;
    circuits_close(&c);
    cr_assert_eq(x.done, 1);
    return failed;
}

static void on_filler(struct timer *timer) {
    (void)timer;
}

static void on_never(struct dial *d, struct conn *conn, int error, const struct problem *why) {
    (void)d;
    (void)conn;
    (void)error;
    (void)why;
    cr_assert_fail("done() beside an error at once");
}

/* The request for a stream is refused before it is queued, and says so from inside the call. */
CASE_QUIC(circuit, that_has_no_memory_for_its_stream_is_an_error_at_once) {
    static struct circuits c;
    static struct timer fillers[1024];
    size_t count = 0;
    circuits_open(&c, t, NULL);
    party_knows(&t->a, &c.relay);
    struct transport *transport = LIST_ENTRY(t->a.host->transports.next, struct transport, node);
    struct dial d = {.to = circuit_addr(&c), .expected = t->b.identity.id, .done = on_never};
    /* Room for one timer is left: the circuit's own. */
    t->mem.fail_at = t->mem.calls + 1;
    t->mem.fail_for_good = true;
    while (timer_init(&fillers[count], t->reactor, on_filler) == 0)
        cr_assert(++count < ARRAY_COUNT(fillers));
    timer_done(&fillers[--count]);
    t->mem.fail_at = t->mem.calls + 2;
    cr_assert_eq(transport->ops->dial(transport, &d), -ENOMEM);
    t->mem.fail_at = 0;
    while (count > 0)
        timer_done(&fillers[--count]);
    circuits_close(&c);
}

/* All of the first ones, then fewer: a run takes up to a fifth of a second. */
static long next_after(long n) {
    return n + 1 + n / 6;
}

CASE_WS(circuit, may_be_refused_memory_once_at_any_place) {
    for (long n = 1; fails_at(t, n, false); n = next_after(n))
        ;
}

CASE_WS(circuit, may_be_refused_memory_for_good_from_any_place_on) {
    for (long n = 1; fails_at(t, n, true); n = next_after(n))
        ;
}

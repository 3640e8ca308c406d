/* SPDX-License-Identifier: MIT */

/* Goal: circuits are dialled, taken and refused, and reservations kept, between real hosts over
 * loopback, through our relay and through ones that misbehave.
 * Spec: libp2p relay-v2; decisions 1, 2. */

#include <string.h>

#include "core/p2p/protocol_id.h"
#include "relay/circuit_transport.h"
#include "relay/hop_service.h"
#include "relay/proto/circuit_msg.h"
#include "relay/reservations.h"
#include "relay/stream_frame.h"
#include "tests/unit/transport_host/hosts.h"
#include "transport/conn.h"
#include "transport/proto/identify.h"

/* What a scripted relay does with a hop stream. */
enum answer {
    ANSWER_NOTHING, /* reads, and is silent for ever */
    ANSWER_RESET,
    ANSWER_END, /* half of a message, then the end */
    ANSWER_JUNK,
    ANSWER_STATUS,
};

struct scripted_relay {
    struct protocol_handler hop;
    enum answer answer;
    uint32_t status;
    struct stream *held[8]; /* silent ones */
    size_t held_count;
    size_t asked;
};

struct place {
    struct fixture *t; /* a dials, b is dialled */
    struct party relay;
    struct scripted_relay script;
    struct hop_service *service; /* NULL: the scripted one */
    struct circuit_transport *circuit_a;
    struct circuit_transport *circuit_b;
    struct reservations *reservations;
    struct tap taps[2]; /* at b */
    struct handler handler;
    bool is_closed;
};

/* --- A relay by script --- */

static void on_scripted_closed(struct stream *s, int error) {
    struct scripted_relay *x = stream_user(s);
    (void)error;
    for (size_t i = 0; i < x->held_count; i++) {
        if (x->held[i] == s)
            x->held[i] = x->held[--x->held_count];
    }
    (void)stream_release(s);
}

static void on_scripted_event(struct stream *s) {
    (void)s;
}

static void on_scripted_code(struct stream *s, uint64_t code) {
    (void)s;
    (void)code;
}

static const struct stream_events scripted_events = {
    on_scripted_event, on_scripted_event, on_scripted_code, on_scripted_code, on_scripted_closed};

static void on_hop(struct protocol_handler *h, struct stream *s) {
    struct scripted_relay *x = CONTAINER_OF(h, struct scripted_relay, hop);
    uint8_t out[CIRCUIT_OUT_MAX];
    struct hop_msg m = {.type = HOP_STATUS, .has_status = true, .status = x->status};
    x->asked++;
    switch (x->answer) {
    case ANSWER_NOTHING:
        cr_assert(x->held_count < ARRAY_COUNT(x->held));
        x->held[x->held_count++] = s;
        stream_set_events(s, &scripted_events, x);
        return;
    case ANSWER_RESET:
        stream_reset(s, STREAM_CODE_NONE);
        break;
    case ANSWER_END:
        cr_assert_eq(stream_write_bytes(s, BYTES_LIT("\x05\x08")), 0);
        break;
    case ANSWER_JUNK:
        cr_assert_eq(stream_write_bytes(s, BYTES_LIT("\x02\xff\xff")), 0);
        break;
    case ANSWER_STATUS: {
        ssize_t n = hop_msg_encode(&m, out);
        cr_assert_eq(stream_write_bytes(s, bytes_of(out, (size_t)n)), 0);
        break;
    }
    }
    stream_shutdown_write(s);
    (void)stream_release(s);
}

/* --- The place --- */

static struct circuit_transport *circuits_of(struct place *p, struct party *who) {
    struct circuit_transport *c;
    struct circuit_transport_config cfg = {
        .reactor = p->t->reactor, .host = who->host, .securities = p->t->traits->securities};
    cr_assert_eq(circuit_transport_new(&cfg, &c), 0);
    return c;
}

static struct multiaddr relay_addr(const struct place *p) {
    struct multiaddr a = p->relay.addr;
    cr_assert_eq(multiaddr_add_peer(&a, &p->relay.identity.id), 0);
    return a;
}

/* b listens nowhere, and neither does a. */
static void place_open(struct place *p, struct fixture *t) {
    static const struct party_options nowhere = {.listen = ""};
    *p = (struct place){.t = t};
    party_open(&p->relay, t, 9, &(struct party_options){0});
    party_open(&t->a, t, 1, &nowhere);
    party_open(&t->b, t, 2, &nowhere);
    p->circuit_a = circuits_of(p, &t->a);
    p->circuit_b = circuits_of(p, &t->b);
    handler_open(&p->handler, &t->b, TEST_PROTOCOL, CLASS_ANY, p->taps, ARRAY_COUNT(p->taps));
    struct multiaddr way = relay_addr(p);
    cr_assert_eq(multiaddr_add(&way, MULTIADDR_P2P_CIRCUIT), 0);
    cr_assert_eq(host_add_addr(t->a.host, &t->b.identity.id, &way), 0);
}

static void relay_serves(struct place *p, uint64_t bytes_max) {
    struct hop_service_config cfg = {
        .reactor = p->t->reactor,
        .host = p->relay.host,
        .reservations_max = 8,
        .reservations_per_ip = 8,
        .reservations_per_asn = 8,
        .circuits_per_peer_max = 4,
        .reservation_ttl = SEC(3600),
        .circuit_bytes = bytes_max,
    };
    cr_assert_eq(hop_service_new(&cfg, &p->service), 0);
}

static void relay_is_scripted(struct place *p, enum answer answer, uint32_t status) {
    p->script = (struct scripted_relay){
        .hop = {.protocol = PROTOCOL_CIRCUIT_HOP, .protocol_class = CLASS_ANY, .accept = on_hop},
        .answer = answer,
        .status = status,
    };
    cr_assert_eq(host_handle(p->relay.host, &p->script.hop), 0);
}

static void b_reserves(struct place *p) {
    struct multiaddr relay = relay_addr(p);
    struct problem why;
    struct reservations_config cfg = {.reactor = p->t->reactor,
                                      .host = p->t->b.host,
                                      .circuit = p->circuit_b,
                                      .relays = &relay,
                                      .relays_count = 1,
                                      .renew_interval = NSEC_NEVER,
                                      .reserves = true};
    cr_assert_eq(reservations_new(&cfg, &why, &p->reservations), 0, "%s", why.text);
}

static void look_held(void *user, const struct reservation_info *info) {
    *(bool *)user = info->held;
}

static bool is_held(const struct place *p) {
    bool held = false;
    reservations_each(p->reservations, look_held, &held);
    return held;
}

static void on_service_closed(void *user) {
    ((struct place *)user)->is_closed = true;
}

static void relay_ends(struct place *p) {
    if (p->service != NULL) {
        hop_service_close(p->service, on_service_closed, p);
        TURN_UNTIL(p->t, p->is_closed);
        p->service = hop_service_free(p->service);
    }
    while (p->script.held_count > 0)
        (void)stream_release(p->script.held[--p->script.held_count]);
    party_end(&p->relay);
}

static void place_end(struct place *p) {
    p->reservations = reservations_free(p->reservations);
    for (size_t i = 0; i < ARRAY_COUNT(p->taps); i++)
        tap_end(&p->taps[i]);
    relay_ends(p);
    party_end(&p->t->a);
    party_end(&p->t->b);
}

static void reach_b(struct place *p) {
    relay_serves(p, 0);
    b_reserves(p);
    TURN_UNTIL(p->t, is_held(p));
}

static void open_to(struct tap *x, struct place *p, const struct peer_id *to) {
    *x = (struct tap){0};
    tap_open_with(x, &p->t->a, to, TEST_PROTOCOL, HOST_REQUEST_LIMITED);
}

static struct conn *conn_to(const struct party *from, const struct party *to) {
    struct peer *peer = swarm_find(from->host, &to->identity.id);
    if (peer == NULL || list_is_empty(&peer->conns))
        return NULL;
    return LIST_ENTRY(peer->conns.next, struct host_conn, node)->conn;
}

/* --- A circuit --- */

CASE(circuit, carries_a_connection_whose_ends_are_proved) {
    static struct place p;
    static struct tap x;
    place_open(&p, t);
    reach_b(&p);
    open_to(&x, &p, &t->b.identity.id);
    TURN_UNTIL(t, x.opened == 1);
    cr_assert_eq(x.open_error, 0);
    tap_write(&x, 3 << 20, true);
    TURN_UNTIL(t, p.taps[0].eof);
    cr_assert(p.taps[0].got == 3 << 20 && !p.taps[0].wrong);
    tap_write(&p.taps[0], 2 << 20, true);
    TURN_UNTIL(t, x.eof);
    cr_assert(x.got == 2 << 20 && !x.wrong);

    const struct conn *ours = conn_to(&t->a, &t->b);
    const struct conn *theirs = conn_to(&t->b, &t->a);
    cr_assert(ours->relayed && !ours->inbound && theirs->relayed && theirs->inbound);
    cr_assert(ours->limited && theirs->limited, "decision 2: our relay sends a limit of zeros");
    cr_assert_eq(multiaddr_kind(&theirs->remote), MULTIADDR_KIND_CIRCUIT);
    tap_end(&x);
    place_end(&p);
}

CASE(circuit, is_not_for_streams_that_take_no_limited_connection) {
    static struct place p;
    static struct tap x;
    static struct tap y;
    place_open(&p, t);
    reach_b(&p);
    open_to(&x, &p, &t->b.identity.id);
    TURN_UNTIL(t, x.opened == 1 && x.open_error == 0);
    tap_open(&y, &t->a, &t->b.identity.id, TEST_PROTOCOL);
    TURN_UNTIL(t, y.opened == 1);
    cr_assert_eq(y.open_error, -ERR_LIMITED_CONN);
    tap_end(&x);
    tap_end(&y);
    place_end(&p);
}

CASE(circuit, fails_where_nobody_is_behind_what_the_relay_says) {
    static struct place p;
    static struct tap x;
    place_open(&p, t);
    reach_b(&p);
    relay_ends(&p);
    party_open(&p.relay, t, 9, &(struct party_options){0});
    relay_is_scripted(&p, ANSWER_STATUS, CIRCUIT_STATUS_OK);
    struct multiaddr way = relay_addr(&p);
    cr_assert_eq(multiaddr_add(&way, MULTIADDR_P2P_CIRCUIT), 0);
    cr_assert_eq(host_add_addrs(t->a.host, &t->b.identity.id, &way, 1), 0);
    open_to(&x, &p, &t->b.identity.id);
    TURN_UNTIL(t, x.opened == 1);
    cr_assert_neq(x.open_error, 0);
    cr_assert_null(conn_to(&t->a, &t->b));
    tap_end(&x);
    place_end(&p);
}

/* --- Refusals --- */

CASE(circuit, errors_say_what_the_relay_said) {
    static const struct {
        uint32_t status;
        int error;
        const char *text;
    } rows[] = {
        {CIRCUIT_STATUS_NO_RESERVATION, -ERR_NO_RESERVATION, "no reservation (204)"},
        {CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED, -ERR_RESOURCE_LIMIT, "(201)"},
        {CIRCUIT_STATUS_PERMISSION_DENIED, -ERR_RELAY_REFUSED, "permission denied (202)"},
        {CIRCUIT_STATUS_CONNECTION_FAILED, -ECONNREFUSED, "connection failed (203)"},
        {CIRCUIT_STATUS_MALFORMED_MESSAGE, -ERR_PROTOCOL_VIOLATION, "(400)"},
        {7777, -ERR_PROTOCOL_VIOLATION, "unknown status (7777)"},
    };
    static struct place p;
    static struct tap x;
    place_open(&p, t);
    relay_is_scripted(&p, ANSWER_STATUS, 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        p.script.status = rows[i].status;
        open_to(&x, &p, &t->b.identity.id);
        TURN_UNTIL(t, x.opened == 1);
        cr_assert_eq(x.open_error, rows[i].error, "status %u: %d", rows[i].status, x.open_error);
        const char *text = x.request.base.problem.text;
        cr_assert(strstr(text, rows[i].text) != NULL, "%s", text);
        tap_end(&x);
    }
    place_end(&p);
}

CASE(circuit, a_relay_that_answers_nonsense_or_breaks_off_fails_the_dial) {
    static const enum answer answers[] = {ANSWER_RESET, ANSWER_END, ANSWER_JUNK};
    static struct place p;
    static struct tap x;
    place_open(&p, t);
    relay_is_scripted(&p, ANSWER_RESET, 0);
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        p.script.answer = answers[i];
        open_to(&x, &p, &t->b.identity.id);
        TURN_UNTIL(t, x.opened == 1);
        cr_assert_neq(x.open_error, 0);
        cr_assert_eq(p.script.asked, i + 1);
        tap_end(&x);
    }
    place_end(&p);
}

CASE(circuit, a_peer_that_does_not_relay_says_so) {
    static struct place p;
    static struct tap x;
    place_open(&p, t);
    open_to(&x, &p, &t->b.identity.id);
    TURN_UNTIL(t, x.opened == 1);
    cr_assert_eq(x.open_error, -ERR_PROTOCOL_NOT_SUPPORTED, "%d: %s", x.open_error,
                 x.request.base.problem.text);
    tap_end(&x);
    place_end(&p);
}

/* Whoever waited gives up; so does the host.  Nothing of the dial is left (place_end() looks). */
CASE(circuit, a_dial_can_be_given_up_while_the_relay_is_silent) {
    static struct place p;
    static struct tap x;
    place_open(&p, t);
    relay_is_scripted(&p, ANSWER_NOTHING, 0);
    open_to(&x, &p, &t->b.identity.id);
    TURN_UNTIL(t, p.script.held_count == 1);
    tap_end(&x);
    TURN_UNTIL(t, conn_to(&t->a, &p.relay) != NULL);
    party_end(&t->a);
    TURN_UNTIL(t, p.script.held_count == 0);
    place_end(&p);
}

/* --- Being dialled --- */

static void stop_from(struct place *p, struct tap *x, struct party *from) {
    party_knows(from, &p->t->b);
    tap_open(x, from, &p->t->b.identity.id, PROTOCOL_CIRCUIT_STOP);
}

/* Decision 1: stop is for relays where we keep a reservation. */
CASE(circuit, a_stop_stream_of_somebody_else_is_refused) {
    static struct place p;
    static struct tap x;
    static const struct party_options listening = {0};
    place_open(&p, t);
    party_end(&t->b);
    party_open(&t->b, t, 2, &listening);
    p.circuit_b = circuits_of(&p, &t->b);
    reach_b(&p);
    stop_from(&p, &x, &t->a);
    TURN_UNTIL(t, x.opened == 1 && x.open_error == 0);
    cr_assert_eq(stream_write_bytes(x.stream, BYTES_LIT("\x02\x08\x00")), 0);
    TURN_UNTIL(t, x.closed == 1);
    cr_assert(x.reset == 1 && x.reset_code == STREAM_CODE_GATED, "%d %llx", x.reset,
              (unsigned long long)x.reset_code);
    tap_end(&x);
    place_end(&p);
}

/* --- Reservations --- */

static bool announces_circuit(const struct place *p) {
    struct multiaddr addrs[HOST_ADVERTISED_MAX];
    const struct conn *c = conn_to(&p->t->b, &p->relay);
    size_t count = c == NULL ? 0 : host_advertised_addrs(p->t->b.host, c, addrs);
    for (size_t i = 0; i < count; i++) {
        if (multiaddr_is_relayed(&addrs[i]))
            return true;
    }
    return false;
}

CASE(reservation, is_announced_while_it_is_held) {
    static struct place p;
    place_open(&p, t);
    relay_serves(&p, 0);
    cr_assert_not(announces_circuit(&p));
    b_reserves(&p);
    TURN_UNTIL(t, announces_circuit(&p));
    cr_assert(is_held(&p));
    relay_ends(&p);
    TURN_UNTIL(t, !announces_circuit(&p));
    cr_assert_not(is_held(&p));
    place_end(&p);
}

CASE(reservation, ends_quietly_while_it_is_being_asked_for) {
    static struct place p;
    place_open(&p, t);
    relay_is_scripted(&p, ANSWER_NOTHING, 0);
    b_reserves(&p);
    TURN_UNTIL(t, p.script.held_count == 1);
    p.reservations = reservations_free(p.reservations);
    TURN_UNTIL(t, p.script.held_count == 0);
    place_end(&p);
}

CASE(reservation, a_relay_that_refuses_is_asked_again) {
    static struct place p;
    place_open(&p, t);
    relay_is_scripted(&p, ANSWER_JUNK, 0);
    b_reserves(&p);
    TURN_UNTIL(t, p.script.asked >= 2);
    cr_assert_not(is_held(&p));
    host_unhandle(p.relay.host, &p.script.hop);
    relay_serves(&p, 0);
    TURN_UNTIL(t, is_held(&p));
    place_end(&p);
}

CASE_QUIC(reservation, relays_are_named_with_their_ID) {
    static struct place p;
    struct problem why;
    place_open(&p, t);
    struct reservations_config cfg = {.reactor = t->reactor,
                                      .host = t->b.host,
                                      .circuit = p.circuit_b,
                                      .relays = &p.relay.addr,
                                      .relays_count = 1,
                                      .renew_interval = NSEC_NEVER,
                                      .reserves = true};
    cr_assert_eq(reservations_new(&cfg, &why, &p.reservations), -EINVAL);
    cr_assert(strstr(why.text, "/p2p/<peer ID> is missing") != NULL, "%s", why.text);
    place_end(&p);
}

/* --- Memory --- */

/* The n-th allocation fails, of all that reserving, dialling and a small transfer take. */
static bool survives(struct fixture *t, long fail_at) {
    static struct place p;
    static struct tap x;
    place_open(&p, t);
    reach_b(&p);
    t->mem.calls = 0;
    t->mem.fail_at = fail_at;
    open_to(&x, &p, &t->b.identity.id);
    TURN_UNTIL(t, x.opened == 1);
    bool is_open = x.open_error == 0;
    if (is_open)
        tap_write(&x, 1000, true);
    if (is_open)
        TURN_UNTIL(t, p.taps[0].eof || x.closed == 1);
    bool is_untouched = t->mem.calls < fail_at;
    t->mem.fail_at = 0;
    tap_end(&x);
    place_end(&p);
    return is_untouched;
}

CASE(circuit, the_nth_allocation_may_fail) {
    long n = 1;
    while (!survives(t, n))
        n += 1 + n / 8;
    cr_assert(n > 20, "%ld", n);
}

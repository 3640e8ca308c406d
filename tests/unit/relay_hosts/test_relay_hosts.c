/* SPDX-License-Identifier: MIT */

/* The relay between real hosts over loopback, on every stack: that payload passes whole, and whose
 * the slabs are when connections end in the middle.  What the relay answers is
 * tests/unit/relay_circuit. */

#include "core/p2p/protocol_id.h"
#include "relay/hop_service.h"
#include "relay/stream_frame.h"
#include "tests/unit/transport_host/hosts.h"
#include "transport/conn.h"

/* Asks, or is asked, and hands the stream over to a tap. */
struct talk {
    struct stream *stream;
    struct stream_request request;
    struct stream_frame frame;
    uint8_t memory[CIRCUIT_MSG_MAX];
    int got;
};

struct place {
    struct fixture *t;
    struct party relay; /* a and b are its clients */
    struct hop_service *service;
    struct protocol_handler stop;
    struct talk stopped;
    struct tap a;
    struct tap b;
    bool is_closed;
};

static void on_talk_readable(struct stream *s) {
    struct talk *k = stream_user(s);
    if (k->got == 0)
        k->got = stream_frame_read(&k->frame, s);
}

static void on_talk_event(struct stream *s) {
    (void)s;
}

static void on_talk_code(struct stream *s, uint64_t code) {
    (void)s;
    (void)code;
}

static void on_talk_closed(struct stream *s, int error) {
    struct talk *k = stream_user(s);
    if (k->got == 0)
        k->got = error;
}

static const struct stream_events talk_events = {on_talk_readable, on_talk_event, on_talk_code,
                                                 on_talk_code, on_talk_closed};

static void talk_attach(struct talk *k, struct stream *s) {
    k->stream = s;
    stream_frame_init(&k->frame, k->memory, sizeof(k->memory));
    stream_set_events(s, &talk_events, k);
}

static void on_talk_opened(struct stream_request *r, struct stream *s, int error) {
    struct talk *k = CONTAINER_OF(r, struct talk, request);
    cr_assert_eq(error, 0);
    talk_attach(k, s);
}

static void on_stop(struct protocol_handler *h, struct stream *s) {
    struct place *p = CONTAINER_OF(h, struct place, stop);
    talk_attach(&p->stopped, s);
}

static void talk_start(struct talk *k, struct place *p, struct party *from,
                       const struct hop_msg *m) {
    uint8_t out[CIRCUIT_OUT_MAX];
    *k = (struct talk){.got = 0};
    host_open_stream(from->host, &k->request, &p->relay.identity.id, PROTOCOL_CIRCUIT_HOP,
                     reactor_now(p->t->reactor) + SEC(5), on_talk_opened);
    TURN_UNTIL(p->t, k->stream != NULL);
    ssize_t n = hop_msg_encode(m, out);
    cr_assert_eq(stream_write_bytes(k->stream, bytes_of(out, (size_t)n)), 0);
}

static struct hop_msg talk_answer(struct talk *k, struct place *p) {
    struct hop_msg m = {.type = HOP_OTHER};
    TURN_UNTIL(p->t, k->got != 0);
    cr_assert_eq(k->got, 1);
    cr_assert_eq(hop_msg_decode(frame_body(&k->frame.frame), &m), 0);
    cr_assert_eq(m.status, CIRCUIT_STATUS_OK, "%s", circuit_status_text(m.status));
    return m;
}

/* To whom the circuit's bytes go from now on. */
static void talk_become(struct talk *k, struct place *p, struct tap *x) {
    cr_assert_eq(k->frame.rest.len, 0);
    tap_attach(x, p->t, TAKE(k->stream));
}

static void reserve(struct place *p, struct party *who, const struct multiaddr *came_to) {
    static struct talk k;
    talk_start(&k, p, who, &(struct hop_msg){.type = HOP_RESERVE});
    struct hop_msg m = talk_answer(&k, p);
    /* There is no public address here: the one that led to the relay. */
    struct multiaddr addr;
    cr_assert(circuit_next_addr(&m.reservation.addrs, &addr));
    cr_assert_eq(multiaddr_kind(&addr), multiaddr_kind(came_to));
    stream_shutdown_write(k.stream);
    k.stream = stream_release(k.stream);
}

static struct hop_service_stats stats_of(const struct place *p) {
    struct hop_service_stats stats;
    hop_service_stats(p->service, &stats);
    return stats;
}

/* From a to somebody, as the ends of two taps. */
static void circuit_between(struct place *p, struct tap *a, const struct party *to, struct tap *b) {
    static struct talk k;
    struct hop_msg connect = {.type = HOP_CONNECT, .has_peer = true, .peer = to->identity.id};
    uint8_t out[CIRCUIT_OUT_MAX];
    uint32_t before = stats_of(p).circuits;
    p->stopped = (struct talk){.got = 0};
    talk_start(&k, p, &p->t->a, &connect);
    TURN_UNTIL(p->t, p->stopped.got == 1);
    struct stop_msg ok = {.type = STOP_STATUS, .has_status = true, .status = CIRCUIT_STATUS_OK};
    size_t n = stop_msg_encode(&ok, out);
    cr_assert_eq(stream_write_bytes(p->stopped.stream, bytes_of(out, n)), 0);
    talk_become(&p->stopped, p, b);
    (void)talk_answer(&k, p);
    talk_become(&k, p, a);
    cr_assert_eq(stats_of(p).circuits, before + 1);
}

static void circuit_open(struct place *p) {
    circuit_between(p, &p->a, &p->t->b, &p->b);
}

static void know_at(struct party *p, const struct place *at, const struct multiaddr *addr) {
    cr_assert_eq(host_add_addr(p->host, &at->relay.identity.id, addr), 0);
}

/* The destination comes in over `other`, if that is not NULL. */
static void place_open(struct place *p, struct fixture *t, const struct hop_service_config *limits,
                       const char *other) {
    *p = (struct place){.t = t};
    party_open(&p->relay, t, 1, &(struct party_options){.gated = true, .also_listen = other});
    party_open(&t->a, t, 2, &(struct party_options){.listen = ""});
    party_open(&t->b, t, 3, &(struct party_options){.listen = ""});
    party_allow(&p->relay, &t->a);
    party_allow(&p->relay, &t->b);
    struct multiaddr addrs[2];
    size_t count = host_listen_addrs(p->relay.host, addrs, 2);
    size_t own = multiaddr_kind(&addrs[0]) == t->traits->kind ? 0 : 1;
    know_at(&t->a, p, &addrs[own]);
    know_at(&t->b, p, &addrs[count == 2 ? 1 - own : own]);
    struct hop_service_config cfg = *limits;
    cfg.reactor = t->reactor;
    cfg.host = p->relay.host;
    cfg.reservations_max = 8;
    cfg.reservations_per_ip = 8;
    cfg.reservations_per_asn = 8;
    cfg.circuits_per_peer_max = 4;
    cfg.reservation_ttl = SEC(3600);
    cr_assert_eq(hop_service_new(&cfg, &p->service), 0);
    p->stop = (struct protocol_handler){
        .protocol = PROTOCOL_CIRCUIT_STOP, .protocol_class = CLASS_ANY, .accept = on_stop};
    cr_assert_eq(host_handle(t->b.host, &p->stop), 0);
    reserve(p, &t->b, &addrs[count == 2 ? 1 - own : own]);
}

static void on_service_closed(void *user) {
    ((struct place *)user)->is_closed = true;
}

static void place_close(struct place *p) {
    hop_service_close(p->service, on_service_closed, p);
    TURN_UNTIL(p->t, p->is_closed);
    p->service = hop_service_free(p->service);
    tap_end(&p->a);
    tap_end(&p->b);
    party_end_start(&p->relay);
    party_end_start(&p->t->a);
    party_end_start(&p->t->b);
    party_end(&p->relay);
}

static const struct hop_service_config unlimited;

/* Both ways at once, to the last byte, and the ends. */
static void transfer(struct place *p, uint64_t bytes) {
    struct fixture *t = p->t;
    circuit_open(p);
    tap_write(&p->a, bytes, true);
    tap_write(&p->b, bytes, true);
    TURN_UNTIL(t, p->a.eof && p->b.eof);
    cr_assert_eq(p->a.got, bytes);
    cr_assert_eq(p->b.got, bytes);
    cr_assert_not(p->a.wrong || p->b.wrong);
    TURN_UNTIL(t, stats_of(p).circuits == 0);
    cr_assert_eq(stats_of(p).bytes.to_destination, bytes);
    cr_assert_eq(stats_of(p).bytes.to_source, bytes);
    cr_assert_eq(p->a.reset + p->b.reset, 0);
}

CASE(relay, passes_bytes_both_ways_and_the_ends) {
    static struct place p;
    place_open(&p, t, &unlimited, NULL);
    transfer(&p, 6 << 20);
    place_close(&p);
}

/* Between transports, each with its own way to account for slabs. */
CASE_QUIC(relay, passes_bytes_from_quic_to_tcp) {
    static struct place p;
    place_open(&p, t, &unlimited, stacks[STACK_TLS].any_ip4);
    transfer(&p, 6 << 20);
    place_close(&p);
}

CASE_WS(relay, passes_bytes_from_ws_to_quic) {
    static struct place p;
    place_open(&p, t, &unlimited, stacks[STACK_QUIC].any_ip4);
    transfer(&p, 6 << 20);
    place_close(&p);
}

/* Circuits share connections, and over yamux slabs.  A slow one holds up no other, and the slabs in
 * which its bytes wait are not charged to another one's destination, whose connection may end. */
CASE(relay, a_slow_reader_stalls_its_own_circuit_only) {
    static struct place p;
    static struct party c;
    static struct tap slow_a;
    static struct tap slow_c;
    place_open(&p, t, &unlimited, NULL);
    party_open(&c, t, 4, &(struct party_options){.listen = ""});
    party_allow(&p.relay, &c);
    party_knows(&c, &p.relay);
    host_unhandle(t->b.host, &p.stop);
    cr_assert_eq(host_handle(c.host, &p.stop), 0);
    reserve(&p, &c, &p.relay.addr);
    slow_a = (struct tap){.paused = false};
    slow_c = (struct tap){.paused = true};
    circuit_between(&p, &slow_a, &c, &slow_c);
    host_unhandle(c.host, &p.stop);
    cr_assert_eq(host_handle(t->b.host, &p.stop), 0);
    circuit_open(&p);

    tap_write(&slow_a, 8 << 20, true);
    tap_write(&p.a, 4 << 20, true);
    tap_write(&p.b, 4 << 20, true);
    TURN_UNTIL(t, p.a.eof && p.b.eof);
    cr_assert_eq(p.b.got, 4 << 20);
    TURN_UNTIL(t, stats_of(&p).circuits == 1);
    tap_end(&p.a);
    tap_end(&p.b);
    party_end(&t->b);
    TURN_UNTIL(t, conns_count(&p.relay) == 2);
    turn_for(t, MSEC(20));
    cr_assert_eq(slow_c.got, 0);
    cr_assert_lt(slow_a.written, 8 << 20);

    slow_c.paused = false;
    tap_read(&slow_c);
    tap_write(&slow_c, 1, true);
    TURN_UNTIL(t, slow_c.eof && slow_a.eof);
    cr_assert_eq(slow_c.got, 8 << 20);
    cr_assert_not(p.a.wrong || p.b.wrong || slow_a.wrong || slow_c.wrong);
    TURN_UNTIL(t, stats_of(&p).circuits == 0);
    tap_end(&slow_a);
    tap_end(&slow_c);
    party_end_start(&c);
    place_close(&p);
    party_end(&c);
}

/* The source's connection dies while the destination's still holds what came from it, and the other
 * way round: nobody's slabs are charged to what is gone. */
CASE(relay, slabs_outlive_the_connection_that_they_came_over) {
    for (int who = 0; who < 2; who++) {
        static struct place p;
        place_open(&p, t, &unlimited, NULL);
        circuit_open(&p);
        p.a.paused = true;
        p.b.paused = true;
        tap_write(&p.a, 32 << 20, false);
        tap_write(&p.b, 32 << 20, false);
        turn_for(t, MSEC(100));
        struct party *dies = who == 0 ? &t->a : &t->b;
        struct tap *left = who == 0 ? &p.b : &p.a;
        tap_end(who == 0 ? &p.a : &p.b);
        party_end(dies);
        TURN_UNTIL(t, stats_of(&p).circuits == 0);
        left->paused = false;
        tap_read(left);
        TURN_UNTIL(t, left->reset == 1);
        turn_for(t, MSEC(20));
        cr_assert_eq(stats_of(&p).reservations, who == 0 ? 1 : 0);
        place_close(&p);
        party_end(&t->a);
        party_end(&t->b);
    }
}

/* Who is no longer authorized loses its circuits with its connection. */
CASE(relay, deauthorization_ends_circuits) {
    static struct place p;
    place_open(&p, t, &unlimited, NULL);
    circuit_open(&p);
    tap_write(&p.a, 32 << 20, false);
    turn_for(t, MSEC(20));
    p.relay.gate.allowed_count = 1; /* a */
    host_gate_changed(p.relay.host);
    TURN_UNTIL(t, p.a.reset == 1 && stats_of(&p).circuits == 0);
    cr_assert_eq(stats_of(&p).reservations, 0);
    place_close(&p);
}

/* To the byte, with whatever slices the transport makes. */
CASE(relay, the_data_limit_is_exact) {
    static struct place p;
    struct hop_service_config limits = {.circuit_bytes = 1000003};
    place_open(&p, t, &limits, NULL);
    circuit_open(&p);
    tap_write(&p.a, 2 << 20, false);
    TURN_UNTIL(t, p.b.eof);
    cr_assert_eq(p.b.got, 1000003);
    cr_assert_not(p.b.wrong);
    tap_write(&p.b, 5, true);
    TURN_UNTIL(t, p.a.eof && stats_of(&p).circuits == 0);
    cr_assert_eq(p.a.got, 5);
    place_close(&p);
}

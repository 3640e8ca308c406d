/* SPDX-License-Identifier: MIT */
#include "tests/unit/relay_hosts/circuits.h"

#include "core/base/problem.h"

/* --- Streams that the test speaks --- */

static void on_said_readable(struct stream *s) {
    struct said *x = stream_user(s);
    struct slice in;
    ssize_t n;
    while ((n = stream_read(s, &in, 1)) == 1) {
        size_t len = MIN((size_t)in.len, sizeof(x->got) - x->got_len);
        memcpy(x->got + x->got_len, in.data, len);
        x->got_len += len;
        stream_consume(s, &in);
    }
    x->eof = x->eof || n == -ENODATA;
}

static void on_said_writable(struct stream *s) {
    (void)s;
}

static void on_said_stopped(struct stream *s, uint64_t code) {
    (void)s;
    (void)code;
}

static void on_said_reset(struct stream *s, uint64_t code) {
    struct said *x = stream_user(s);
    x->resets++;
    x->reset_code = code;
}

static void on_said_closed(struct stream *s, int error) {
    struct said *x = stream_user(s);
    x->closed++;
    x->error = error;
}

static const struct stream_events said_events = {
    .readable = on_said_readable,
    .writable = on_said_writable,
    .stopped = on_said_stopped,
    .reset = on_said_reset,
    .closed = on_said_closed,
};

static struct said *next_said(struct circuits *c) {
    cr_assert(c->said_count < SAID_MAX);
    struct said *x = &c->said[c->said_count++];
    *x = (struct said){.t = c->t};
    return x;
}

static void said_attach(struct said *x, struct stream *s) {
    x->stream = s;
    stream_set_events(s, &said_events, x);
}

struct said *circuits_adopt(struct circuits *c, struct stream *s) {
    struct said *x = next_said(c);
    said_attach(x, s);
    return x;
}

static void on_hop(struct protocol_handler *h, struct stream *s) {
    (void)circuits_adopt(CONTAINER_OF(h, struct circuits, hop), s);
}

static void on_relay_opened(struct stream_request *r, struct stream *s, int error) {
    cr_assert_eq(error, 0, "%s", r->base.problem.text);
    said_attach(CONTAINER_OF(r, struct said, request), s);
}

static struct said *opens(struct circuits *c, const struct party *from, const struct party *to,
                          const char *protocol) {
    struct said *x = next_said(c);
    host_open_stream(from->host, &x->request, &to->identity.id, protocol,
                     reactor_now(c->t->reactor) + SEC(5), on_relay_opened);
    TURN_UNTIL(c->t, x->stream != NULL);
    return x;
}

struct said *relay_opens(struct circuits *c, const struct party *to, const char *protocol) {
    return opens(c, &c->relay, to, protocol);
}

struct said *party_opens(struct circuits *c, const struct party *from, const char *protocol) {
    return opens(c, from, &c->relay, protocol);
}

void say(struct said *s, struct bytes b) {
    cr_assert_eq(stream_write_bytes(s->stream, b), 0);
}

/* --- The three --- */

static void open_service(struct circuits *c, const struct hop_service_config *limits) {
    struct hop_service_config cfg = *limits;
    cfg.reactor = c->t->reactor;
    cfg.host = c->relay.host;
    cfg.reservations_max = 8;
    cfg.reservations_per_ip = 8;
    cfg.reservations_per_asn = 8;
    cfg.circuits_per_peer_max = 4;
    cfg.reservation_ttl = SEC(3600);
    cfg.announces_private = true;
    cr_assert_eq(hop_service_new(&cfg, &c->service), 0);
}

static void open_transport(struct circuits *c, struct party *p, struct circuit_transport **ret) {
    struct circuit_transport_config cfg = {
        .reactor = c->t->reactor, .host = p->host, .securities = c->t->traits->securities};
    cr_assert_eq(circuit_transport_new(&cfg, ret), 0);
}

void circuits_open(struct circuits *c, struct fixture *t, const struct hop_service_config *limits) {
    circuits_open_also(c, t, limits, NULL);
}

void circuits_open_also(struct circuits *c, struct fixture *t,
                        const struct hop_service_config *limits, const char *also_listen) {
    *c = (struct circuits){.t = t};
    party_open(
        &c->relay, t, 1,
        &(struct party_options){.agent = "relay/1", .also_listen = also_listen, .gated = true});
    party_open(&t->a, t, 2, &(struct party_options){.listen = ""});
    party_open(&t->b, t, 3, &(struct party_options){.listen = ""});
    party_allow(&c->relay, &t->a);
    party_allow(&c->relay, &t->b);
    open_transport(c, &t->a, &c->at_a);
    open_transport(c, &t->b, &c->at_b);
    handler_open(&c->handler, &t->b, TEST_PROTOCOL, CLASS_ANY, &c->b, 1);
    if (limits != NULL) {
        open_service(c, limits);
        return;
    }
    c->hop = (struct protocol_handler){
        .protocol = PROTOCOL_CIRCUIT_HOP, .protocol_class = CLASS_ANY, .accept = on_hop};
    cr_assert_eq(host_handle(c->relay.host, &c->hop), 0);
}

static void on_service_closed(void *user) {
    ((struct circuits *)user)->service_closed = true;
}

void circuits_splice(struct circuits *c, const struct party *who) {
    bool is_a = who == &c->t->a;
    struct splice_client_config cfg = {
        .reactor = c->t->reactor, .host = who->host, .circuit = is_a ? c->at_a : c->at_b};
    cr_assert_eq(splice_client_new(&cfg, is_a ? &c->splice_a : &c->splice_b), 0);
}

void circuits_close_service(struct circuits *c) {
    if (c->service == NULL)
        return;
    hop_service_close(c->service, on_service_closed, c);
    TURN_UNTIL(c->t, c->service_closed);
    c->service = hop_service_free(c->service);
}

void circuits_close(struct circuits *c) {
    circuits_unreserve(c);
    tap_end(&c->a);
    tap_end(&c->b);
    for (size_t i = 0; i < c->said_count; i++) {
        stream_request_cancel(&c->said[i].request);
        c->said[i].stream = stream_release(c->said[i].stream);
    }
    circuits_close_service(c);
    c->splice_a = splice_client_free(c->splice_a);
    c->splice_b = splice_client_free(c->splice_b);
    party_end_start(&c->relay);
    party_end_start(&c->t->a);
    party_end_start(&c->t->b);
    party_end(&c->relay);
    party_end(&c->t->a);
    party_end(&c->t->b);
}

void circuits_deauthorize(struct circuits *c, const struct party *whom) {
    c->relay.gate.allowed_count = 0;
    party_allow(&c->relay, whom == &c->t->a ? &c->t->b : &c->t->a);
    host_gate_changed(c->relay.host);
}

struct multiaddr relay_addr(const struct circuits *c) {
    struct multiaddr a = c->relay.addr;
    cr_assert_eq(multiaddr_add_peer(&a, &c->relay.identity.id), 0);
    return a;
}

struct multiaddr circuit_addr(const struct circuits *c) {
    struct multiaddr a = relay_addr(c);
    cr_assert_eq(multiaddr_add(&a, MULTIADDR_P2P_CIRCUIT), 0);
    return a;
}

/* --- Reservations --- */

static void on_info(void *user, const struct reservation_info *info) {
    *(struct reservation_info *)user = *info;
}

struct reservation_info reservation_of(const struct reservations *r) {
    struct reservation_info info = {.held = false};
    reservations_each(r, on_info, &info);
    return info;
}

void circuits_reserve(struct circuits *c) {
    struct problem problem = PROBLEM_INIT;
    struct multiaddr relay = relay_addr(c);
    struct reservations_config cfg = {.reactor = c->t->reactor,
                                      .host = c->t->b.host,
                                      .circuit = c->at_b,
                                      .relays = &relay,
                                      .relays_count = 1,
                                      .renew_interval = NSEC_NEVER,
                                      .reserves = true};
    cr_assert_eq(reservations_new(&cfg, &problem, &c->of_b), 0, "%s", problem.text);
    TURN_UNTIL(c->t, reservation_of(c->of_b).addrs_count > 0);
    cr_assert(reservation_of(c->of_b).held);
}

void circuits_unreserve(struct circuits *c) {
    c->of_b = reservations_free(c->of_b);
}

/* --- Circuits --- */

void circuits_know(struct circuits *c, const struct peer_id *to) {
    struct multiaddr at = circuit_addr(c);
    cr_assert_eq(host_add_addrs(c->t->a.host, to, &at, 1), 0);
}

struct connecting circuits_try(struct circuits *c, const struct peer_id *to) {
    struct connecting x;
    connect_start(&x, &c->t->a, to, SEC(15));
    TURN_UNTIL(c->t, x.done == 1);
    return x;
}

void circuits_connect(struct circuits *c) {
    circuits_know(c, &c->t->b.identity.id);
    struct connecting x = circuits_try(c, &c->t->b.identity.id);
    cr_assert_eq(x.error, 0, "%s", x.problem);
    TURN_UNTIL(c->t, conn_to(&c->t->b, &c->t->a.identity.id) != NULL);
}

struct conn *conn_to(const struct party *who, const struct peer_id *to) {
    list_for_each (node, &who->host->conns) {
        struct host_conn *hc = LIST_ENTRY(node, struct host_conn, host_node);
        if (peer_id_equal(&hc->conn->peer, to))
            return hc->conn;
    }
    return NULL;
}

static void on_tap_opened(struct stream_request *r, struct stream *s, int error) {
    struct tap *x = CONTAINER_OF(r, struct tap, request);
    x->opened++;
    x->open_error = error;
    if (error == 0)
        tap_attach(x, x->t, s);
}

void circuits_stream(struct circuits *c) {
    c->a = (struct tap){.t = c->t};
    c->b = (struct tap){.t = c->t};
    c->handler.accepted = 0;
    host_open_stream_with(c->t->a.host, &c->a.request, &c->t->b.identity.id, TEST_PROTOCOL,
                          HOST_REQUEST_LIMITED, reactor_now(c->t->reactor) + SEC(5), on_tap_opened);
    TURN_UNTIL(c->t, c->a.opened == 1);
    cr_assert_eq(c->a.open_error, 0, "%s", c->a.request.base.problem.text);
    TURN_UNTIL(c->t, c->b.stream != NULL);
}

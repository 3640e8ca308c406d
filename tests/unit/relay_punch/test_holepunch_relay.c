/* SPDX-License-Identifier: MIT */
/* Goal: what begins as a circuit through our relay becomes a direct connection.
 * Spec: libp2p relay-v2, DCUtR. */
#include "relay/circuit_transport.h"
#include "relay/holepunch.h"
#include "relay/hop_service.h"
#include "relay/reservations.h"
#include "tests/unit/transport_host/hosts.h"

struct place {
    struct fixture *t; /* a dials, b is dialled */
    struct party relay;
    struct hop_service *service;
    struct circuit_transport *circuit_a;
    struct circuit_transport *circuit_b;
    struct reservations *reservations;
    struct holepunch *punch_a;
    struct holepunch *punch_b;
    bool is_closed;
};

static struct circuit_transport *circuits_of(const struct party *who) {
    struct circuit_transport *c;
    struct circuit_transport_config cfg = {
        .reactor = who->t->reactor, .host = who->host, .securities = who->t->traits->securities};
    cr_assert_eq(circuit_transport_new(&cfg, &c), 0);
    return c;
}

static struct holepunch *punching(const struct party *who) {
    struct holepunch *h;
    struct holepunch_config cfg = {
        .reactor = who->t->reactor, .host = who->host, .accept_private = true};
    cr_assert_eq(holepunch_new(&cfg, &h), 0);
    return h;
}

/* `a` listens nowhere, and says that it is where nobody is. */
static void place_open(struct place *p, struct fixture *t) {
    struct multiaddr dead;
    *p = (struct place){.t = t};
    party_open(&p->relay, t, 9, &(struct party_options){0});
    party_open(&t->a, t, 1, &(struct party_options){.listen = ""});
    party_open(&t->b, t, 2, &(struct party_options){.listen = NULL});
    cr_assert_eq(multiaddr_parse(t->traits->dead, &dead), 0);
    host_announce(t->a.host, &dead, 1);
    p->circuit_a = circuits_of(&t->a);
    p->circuit_b = circuits_of(&t->b);
    p->punch_a = punching(&t->a);
    p->punch_b = punching(&t->b);
    struct hop_service_config cfg = {.reactor = t->reactor,
                                     .host = p->relay.host,
                                     .reservations_max = 8,
                                     .reservations_per_ip = 8,
                                     .reservations_per_asn = 8,
                                     .circuits_per_peer_max = 4,
                                     .reservation_ttl = SEC(3600)};
    cr_assert_eq(hop_service_new(&cfg, &p->service), 0);
}

static void look_held(void *user, const struct reservation_info *info) {
    *(bool *)user = info->held;
}

static bool is_held(const struct place *p) {
    bool held = false;
    reservations_each(p->reservations, look_held, &held);
    return held;
}

static void b_reserves(struct place *p) {
    struct multiaddr relay = p->relay.addr;
    struct problem why;
    cr_assert_eq(multiaddr_add_peer(&relay, &p->relay.identity.id), 0);
    struct reservations_config cfg = {.reactor = p->t->reactor,
                                      .host = p->t->b.host,
                                      .circuit = p->circuit_b,
                                      .relays = &relay,
                                      .relays_count = 1,
                                      .renew_interval = NSEC_NEVER,
                                      .reserves = true};
    cr_assert_eq(reservations_new(&cfg, &why, &p->reservations), 0, "%s", why.text);
    TURN_UNTIL(p->t, is_held(p));
    cr_assert_eq(multiaddr_add(&relay, MULTIADDR_P2P_CIRCUIT), 0);
    cr_assert_eq(host_add_addr(p->t->a.host, &p->t->b.identity.id, &relay), 0);
}

static void on_closed(void *user) {
    ((struct place *)user)->is_closed = true;
}

static void place_close(struct place *p) {
    p->punch_a = holepunch_free(p->punch_a);
    p->punch_b = holepunch_free(p->punch_b);
    p->reservations = reservations_free(p->reservations);
    hop_service_close(p->service, on_closed, p);
    TURN_UNTIL(p->t, p->is_closed);
    p->service = hop_service_free(p->service);
    party_end(&p->relay);
    party_end(&p->t->a);
    party_end(&p->t->b);
}

static bool has_direct(const struct party *from, const struct party *to) {
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    size_t count = host_conns(from->host, &to->identity.id, conns, ARRAY_COUNT(conns));
    for (size_t i = 0; i < count; i++) {
        if (!conns[i]->relayed)
            return true;
    }
    return false;
}

CASE(circuit, becomes_a_direct_connection) {
    static struct place p;
    struct connecting c;
    place_open(&p, t);
    b_reserves(&p);
    connect_start(&c, &t->a, &t->b.identity.id, SEC(5));
    TURN_UNTIL(t, c.done == 1);
    cr_assert_eq(c.error, 0, "%s", c.problem);
    TURN_UNTIL(t, has_direct(&t->a, &t->b) && has_direct(&t->b, &t->a));
    TURN_UNTIL(t, holepunch_stats(p.punch_a)->succeeded == 1 &&
                      holepunch_stats(p.punch_b)->succeeded == 1);
    place_close(&p);
}

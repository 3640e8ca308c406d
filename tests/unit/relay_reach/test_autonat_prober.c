/* SPDX-License-Identifier: MIT */
/* Goal: connected peers that serve AutoNAT are asked about our public addresses, and nobody else
 * about anything.  What answers amount to is test_autonat_client.c's.
 * Spec: libp2p AutoNAT v2, "Client step". */
#include "core/p2p/protocol_id.h"
#include "relay/autonat_prober.h"
#include "tests/unit/relay_reach/talk.h"

#define SEEN "/ip4/8.8.8.8/udp/700/quic-v1"

struct world {
    struct fixture *t; /* a asks */
    struct autonat_prober *prober;
    struct listener server; /* b's */
    int changed;
};

static size_t on_more_addrs(void *user, struct multiaddr *out, size_t max) {
    (void)user;
    cr_assert_geq(max, 2);
    cr_assert_eq(multiaddr_parse(SEEN, &out[0]), 0);
    cr_assert_eq(multiaddr_parse("/ip4/10.0.0.1/udp/700/quic-v1", &out[1]), 0);
    return 2;
}

static void on_changed(void *user) {
    ((struct world *)user)->changed++;
}

static void begin(struct world *w, struct fixture *t, bool serves) {
    *w = (struct world){.t = t};
    party_open(&t->a, t, 1, &(struct party_options){0});
    party_open(&t->b, t, 2, &(struct party_options){0});
    party_knows(&t->a, &t->b);
    if (serves)
        listener_open(&w->server, &t->b, PROTOCOL_AUTONAT_REQUEST);
    struct autonat_prober_config cfg = {.reactor = t->reactor,
                                        .accept_private = true,
                                        .host = t->a.host,
                                        .more_addrs = on_more_addrs,
                                        .changed = on_changed,
                                        .user = w};
    cr_assert_eq(autonat_prober_new(&cfg, &w->prober), 0);
    connect_pair(&t->a, &t->b);
}

static void end(struct world *w) {
    w->prober = autonat_prober_free(w->prober);
    if (w->server.handler.protocol != NULL)
        listener_end(&w->server, &w->t->b);
}

static uint64_t ended(const struct world *w, enum autonat_verdict verdict) {
    return autonat_prober_stats(w->prober)->ended[verdict];
}

CASE(prober, a_server_is_asked_about_what_is_public) {
    static struct world w;
    struct autonat_msg m;
    struct bytes addr, left;
    struct multiaddr expected;
    struct autonat_prober_info info;
    uint8_t out[AUTONAT_SMALL_OUT_MAX];
    begin(&w, t, true);
    TURN_UNTIL(t, w.server.count == 1 && w.server.talks[0].got_len > 2);
    struct talk *x = &w.server.talks[0];
    cr_assert_eq(autonat_decode(bytes_of(x->got + 1, x->got_len - 1), &m), 0);
    left = m.addrs;
    cr_assert_eq(multiaddr_parse(SEEN, &expected), 0);
    cr_assert(autonat_next_addr(&left, &addr));
    cr_assert(bytes_equal(addr, multiaddr_bytes(&expected)));
    cr_assert_not(autonat_next_addr(&left, &addr), "loopback and private ones are not public");
    talk_say(x, bytes_of(out, autonat_encode_response(AUTONAT_OK, 0, AUTONAT_DIAL_E_DIAL, out)));
    TURN_UNTIL(t, ended(&w, AUTONAT_UNREACHABLE) == 1);
    autonat_prober_info(w.prober, &info);
    cr_assert_eq(info.servers, 1);
    cr_assert_eq(info.unknown, 1, "one answer is no verdict");
    cr_assert_eq(w.changed, 0);
    cr_assert_eq(autonat_prober_reach(w.prober, &expected), AUTONAT_REACH_UNKNOWN);
    end(&w);
}

CASE(prober, a_peer_that_does_not_list_it_is_not_asked) {
    static struct world w;
    struct autonat_prober_info info;
    begin(&w, t, false);
    TURN_UNTIL(t, only_conn(&t->a)->identified);
    turn_for(t, MSEC(20));
    autonat_prober_info(w.prober, &info);
    cr_assert_eq(info.servers, 0);
    end(&w);
}

CASE(prober, a_server_that_goes_is_forgotten) {
    static struct world w;
    struct autonat_prober_info info;
    begin(&w, t, true);
    TURN_UNTIL(t, w.server.count == 1);
    talk_end(&w.server.talks[0]);
    struct conn *c = conn_to(&t->b, &t->a.identity.id);
    c->ops->close(c, CONN_CODE_NONE);
    TURN_UNTIL(t, ended(&w, AUTONAT_FAILED) == 1);
    autonat_prober_info(w.prober, &info);
    cr_assert_eq(info.servers, 0);
    end(&w);
}

CASE(prober, it_may_end_while_it_asks) {
    static struct world w;
    begin(&w, t, true);
    TURN_UNTIL(t, w.server.count == 1);
    end(&w);
}

/* SPDX-License-Identifier: MIT */
/* Goal: a host learns from a server of v1 whether it can be dialled at all; a server dials nobody
 * but who asks.
 * Spec: libp2p AutoNAT v1. */
#include "core/p2p/protocol_id.h"
#include "relay/autonat_v1_prober.h"
#include "relay/autonat_v1_service.h"
#include "relay/proto/autonat_v1_server.h"
#include "relay/stranger.h"
#include "tests/unit/relay_reach/talk.h"

struct world {
    struct fixture *t; /* a asks, b serves */
    struct stranger *stranger;
    struct autonat_v1_service *service;
    struct autonat_v1_prober *prober;
    int changed;
    bool closed;
};

static void on_changed(void *user) {
    ((struct world *)user)->changed++;
}

static void on_closed(void *user) {
    ((struct world *)user)->closed = true;
}

static size_t own_addr(void *user, struct multiaddr *out, size_t max) {
    const struct world *w = user;
    cr_assert_geq(max, 1);
    out[0] = w->t->a.addr; /* loopback is told to nobody otherwise */
    return 1;
}

static void begin(struct world *w, struct fixture *t, bool serves) {
    *w = (struct world){.t = t};
    party_open(&t->a, t, 1, &(struct party_options){0});
    party_open(&t->b, t, 2, &(struct party_options){0});
    party_knows(&t->a, &t->b);
    struct autonat_v1_service_config cfg = {
        .reactor = t->reactor, .host = t->b.host, .accept_private = true};
    if (serves) {
        cr_assert_eq(stranger_new(t->reactor, &w->stranger), 0);
        cfg.stranger = w->stranger;
        cr_assert_eq(autonat_v1_service_new(&cfg, &w->service), 0);
    }
    struct autonat_v1_prober_config prober_cfg = {.reactor = t->reactor,
                                                  .host = t->a.host,
                                                  .more_addrs = own_addr,
                                                  .changed = on_changed,
                                                  .user = w,
                                                  .accept_private = true};
    cr_assert_eq(autonat_v1_prober_new(&prober_cfg, &w->prober), 0);
    connect_pair(&t->a, &t->b);
    TURN_UNTIL(t, only_conn(&t->a)->identified);
}

static void end(struct world *w) {
    w->prober = autonat_v1_prober_free(w->prober);
    w->service = autonat_v1_service_free(w->service);
    if (w->stranger != NULL) {
        stranger_close(w->stranger, on_closed, w);
        TURN_UNTIL(w->t, w->closed);
    }
    w->stranger = stranger_free(w->stranger);
}

static const struct autonat_v1_service_stats *stats_of(const struct world *w) {
    return autonat_v1_service_stats(w->service);
}

CASE(autonat_v1, who_can_be_dialled_is_public) {
    static struct world w;
    begin(&w, t, true);
    cr_assert_eq(autonat_v1_prober_reach(w.prober, NET_IP4), AUTONAT_V1_UNKNOWN);
    autonat_v1_prober_ask(w.prober);
    autonat_v1_prober_ask(w.prober); /* one at a time */
    TURN_UNTIL(t, w.changed == 1);
    cr_assert_eq(autonat_v1_prober_reach(w.prober, NET_IP4), AUTONAT_V1_PUBLIC);
    cr_assert_eq(stats_of(&w)->reached, 1u);
    TURN_UNTIL(t, conns_count(&t->a) == 1);
    end(&w);
}

CASE(autonat_v1, another_network_makes_it_unknown) {
    static struct world w;
    begin(&w, t, true);
    autonat_v1_prober_ask(w.prober);
    TURN_UNTIL(t, w.changed == 1);
    autonat_v1_prober_network_changed(w.prober);
    cr_assert_eq(w.changed, 2);
    cr_assert_eq(autonat_v1_prober_reach(w.prober, NET_IP4), AUTONAT_V1_UNKNOWN);
    autonat_v1_prober_ask(w.prober);
    autonat_v1_prober_network_changed(w.prober);
    cr_assert_eq(w.changed, 2, "who was asked in the old one is not heard");
    end(&w);
}

CASE(autonat_v1, nobody_is_asked_where_nobody_serves) {
    static struct world w;
    begin(&w, t, false);
    autonat_v1_prober_ask(w.prober);
    turn_for(t, MSEC(20));
    cr_assert_eq(w.changed, 0);
    end(&w);
}

/* --- A server that the test speaks for --- */

static void begin_scripted(struct world *w, struct fixture *t, struct listener *l) {
    *w = (struct world){.t = t};
    party_open(&t->a, t, 1, &(struct party_options){0});
    party_open(&t->b, t, 2, &(struct party_options){0});
    party_knows(&t->a, &t->b);
    listener_open(l, &t->b, PROTOCOL_AUTONAT_V1);
    struct autonat_v1_prober_config cfg = {.reactor = t->reactor,
                                           .host = t->a.host,
                                           .more_addrs = own_addr,
                                           .changed = on_changed,
                                           .user = w,
                                           .accept_private = true};
    cr_assert_eq(autonat_v1_prober_new(&cfg, &w->prober), 0);
    connect_pair(&t->a, &t->b);
    TURN_UNTIL(t, only_conn(&t->a)->identified);
}

static void lies(struct fixture *t, struct bytes answer, bool resets,
                 enum autonat_v1_reach wanted) {
    static struct world w;
    static struct listener l;
    begin_scripted(&w, t, &l);
    autonat_v1_prober_ask(w.prober);
    TURN_UNTIL(t, l.count == 1 && l.talks[0].got_len > 0);
    if (resets)
        stream_reset(l.talks[0].stream, STREAM_CODE_NONE);
    else
        talk_say(&l.talks[0], answer);
    TURN_UNTIL(t, l.talks[0].closed > 0 || l.talks[0].resets > 0 || l.talks[0].eof);
    cr_assert_eq(autonat_v1_prober_reach(w.prober, NET_IP4), wanted);
    cr_assert_eq(w.changed, wanted != AUTONAT_V1_UNKNOWN);
    cr_assert_eq(autonat_v1_prober_reach(w.prober, NET_IP6), AUTONAT_V1_UNKNOWN);
    /* Who goes takes his word along. */
    struct conn *c = conn_to(&t->b, &t->a.identity.id);
    c->ops->close(c, CONN_CODE_NONE);
    TURN_UNTIL(t, conn_to(&t->a, &t->b.identity.id) == NULL);
    cr_assert_eq(w.changed, 2 * (wanted != AUTONAT_V1_UNKNOWN));
    cr_assert_eq(autonat_v1_prober_reach(w.prober, NET_IP4), AUTONAT_V1_UNKNOWN);
    listener_end(&l, &t->b);
    end(&w);
    party_end(&t->a);
    party_end(&t->b);
}

CASE(autonat_v1, what_a_server_says_is_taken_for_what_it_is) {
    lies(t, BYTES_LIT("\x07\x08\x01\x1a\x03\x08\x64\x00"), false, AUTONAT_V1_UNKNOWN); /* cut */
    lies(t, BYTES_LIT("\x06\x08\x01\x1a\x02\x08\x64"), false, AUTONAT_V1_PRIVATE);
    lies(t, BYTES_LIT("\x06\x08\x01\x1a\x02\x08\x65"), false, AUTONAT_V1_UNKNOWN); /* refused */
    lies(t, BYTES_LIT("\x02\x08\x01"), false, AUTONAT_V1_UNKNOWN);
    lies(t, BYTES_LIT("\xff\xff\x7f"), false, AUTONAT_V1_UNKNOWN);
    lies(t, BYTES_LIT(""), true, AUTONAT_V1_UNKNOWN);
}

CASE(autonat_v1, that_we_cannot_be_dialled_is_confirmed_by_the_second_answer) {
    static struct world w;
    static struct listener l;
    begin_scripted(&w, t, &l);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(autonat_v1_prober_is_confirmed(w.prober, NET_IP4), i == 2);
        autonat_v1_prober_ask(w.prober);
        TURN_UNTIL(t, l.count == i + 1 && l.talks[i].got_len > 0);
        talk_say(&l.talks[i], BYTES_LIT("\x06\x08\x01\x1a\x02\x08\x64"));
        TURN_UNTIL(t, l.talks[i].eof);
    }
    cr_assert_eq(w.changed, 2);
    cr_assert_not(autonat_v1_prober_is_confirmed(w.prober, NET_IP6));
    listener_end(&l, &t->b);
    end(&w);
}

/* --- A client that the test speaks for --- */

static uint64_t status_of(const struct talk *x) {
    uint64_t status;
    cr_assert_eq(autonat_v1_decode_response(bytes_of(x->got + 1, x->got_len - 1), &status), 0);
    return status;
}

static void ask_by_hand(struct talk *x, struct fixture *t, const struct peer_id *self,
                        const struct multiaddr *addr) {
    static uint8_t out[AUTONAT_V1_OUT_MAX];
    talk_open(x, &t->a, &t->b.identity.id, PROTOCOL_AUTONAT_V1);
    talk_say(x, bytes_of(out, autonat_v1_encode_dial(self, addr, 1, out)));
    TURN_UNTIL(t, x->eof);
}

CASE(autonat_v1, who_asks_for_others_is_refused) {
    static struct world w;
    static struct talk x;
    begin(&w, t, true);
    ask_by_hand(&x, t, &t->b.identity.id, &t->a.addr);
    cr_assert_eq(status_of(&x), AUTONAT_V1_E_BAD_REQUEST);
    talk_end(&x);
    cr_assert_eq(stats_of(&w)->refused, 1u);
    end(&w);
}

CASE(autonat_v1, a_flood_is_refused_from_the_fourth_on) {
    static struct world w;
    static struct talk x;
    int ok = 0, refused = 0;
    begin(&w, t, true);
    for (int i = 0; i < 8; i++) {
        ask_by_hand(&x, t, &t->a.identity.id, &t->a.addr);
        ok += status_of(&x) == AUTONAT_V1_OK;
        refused += status_of(&x) == AUTONAT_V1_E_DIAL_REFUSED;
        talk_end(&x);
    }
    cr_assert_eq(ok, AUTONAT_V1_PEER_REQUESTS_PER_MINUTE);
    cr_assert_eq(refused, 8 - AUTONAT_V1_PEER_REQUESTS_PER_MINUTE);
    end(&w);
}

CASE(autonat_v1, silent_and_broken_clients_are_bounded) {
    static struct world w;
    static struct talk talks[AUTONAT_V1_PEER_STREAMS_MAX + 1];
    static struct talk *const last = &talks[AUTONAT_V1_PEER_STREAMS_MAX];
    begin(&w, t, true);
    for (size_t i = 0; i < AUTONAT_V1_PEER_STREAMS_MAX; i++) {
        talk_open(&talks[i], &t->a, &t->b.identity.id, PROTOCOL_AUTONAT_V1);
        talk_say(&talks[i], BYTES_LIT("\x40")); /* and no more */
    }
    talk_open(last, &t->a, &t->b.identity.id, PROTOCOL_AUTONAT_V1);
    talk_say(last, BYTES_LIT("\x40"));
    TURN_UNTIL(t, stats_of(&w)->refused == 1);
    TURN_UNTIL(t, last->eof);
    cr_assert_eq(status_of(last), AUTONAT_V1_E_DIAL_REFUSED);
    cr_assert_not(talk_is_lost(&talks[0]));
    talk_end(&talks[0]);
    TURN_UNTIL(t, stats_of(&w)->failed == 1);
    talk_open(&talks[0], &t->a, &t->b.identity.id, PROTOCOL_AUTONAT_V1);
    talk_say(&talks[0], BYTES_LIT("\x81\x40"));
    TURN_UNTIL(t, talks[0].resets > 0);
    cr_assert_eq(talks[0].reset_code, STREAM_CODE_PROTOCOL_VIOLATION);
    talk_end(last);
    talk_open(last, &t->a, &t->b.identity.id, PROTOCOL_AUTONAT_V1);
    TURN_UNTIL(t, last->eof); /* three a minute, though none of them asked */
    cr_assert_eq(status_of(last), AUTONAT_V1_E_DIAL_REFUSED);
    for (size_t i = 0; i < ARRAY_COUNT(talks); i++)
        talk_end(&talks[i]);
    end(&w);
}

CASE(autonat_v1, either_side_may_end_at_any_point) {
    for (int turns = 0; turns < 8; turns++) {
        static struct world w;
        begin(&w, t, true);
        autonat_v1_prober_ask(w.prober);
        for (int i = 0; i < turns && w.changed == 0; i++)
            cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(20)), 0);
        if (turns % 2 == 0)
            w.prober = autonat_v1_prober_free(w.prober);
        else
            w.service = autonat_v1_service_free(w.service);
        end(&w);
        party_end(&t->a);
        party_end(&t->b);
    }
}

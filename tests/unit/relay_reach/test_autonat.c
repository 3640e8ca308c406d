/* SPDX-License-Identifier: MIT */
/* Goal: a host has another one dial its addresses and believes the nonce alone; who breaks the
 * rules on either side gets nothing of it, and nothing is left of anybody. Spec: libp2p AutoNAT v2;
 * decision 1. */
#include "core/p2p/protocol_id.h"
#include "relay/autonat_question.h"
#include "relay/autonat_service.h"
#include "relay/dial_backs.h"
#include "relay/stranger.h"
#include "tests/unit/relay_reach/talk.h"

struct world {
    struct fixture *t; /* a asks, b serves */
    struct dial_backs *dial_backs;
    struct stranger *stranger;
    struct autonat_service *service;
    struct autonat_question *question;
    struct autonat_result result;
    int done;
    int served;
    bool is_reached;
    bool has_data;
    bool has_addr;
    bool closed;
};

static void on_done(void *user, const struct autonat_result *result) {
    struct world *w = user;
    w->done++;
    w->result = *result;
    w->question = autonat_question_free(w->question);
}

static void on_served(void *user, const struct autonat_served *what) {
    struct world *w = user;
    cr_assert(peer_id_equal(what->peer, &w->t->a.identity.id));
    w->served++;
    w->is_reached = what->is_reached;
    w->has_data = what->has_data;
    w->has_addr = what->addr != NULL;
}

static void on_closed(void *user) {
    ((struct world *)user)->closed = true;
}

static void open_asker(struct world *w, struct fixture *t, const struct party_options *a) {
    *w = (struct world){.t = t};
    party_open(&t->a, t, 1, a);
    party_open(&t->b, t, 2, &(struct party_options){0});
    party_knows(&t->a, &t->b);
    cr_assert_eq(dial_backs_new(t->reactor, t->a.host, &w->dial_backs), 0);
}

static void open_world(struct world *w, struct fixture *t, const struct party_options *a) {
    open_asker(w, t, a);
    cr_assert_eq(stranger_new(t->reactor, &w->stranger), 0);
    struct autonat_service_config cfg = {.reactor = t->reactor,
                                         .host = t->b.host,
                                         .stranger = w->stranger,
                                         .accept_private = true,
                                         .served = on_served,
                                         .user = w};
    cr_assert_eq(autonat_service_new(&cfg, &w->service), 0);
    connect_pair(&t->a, &t->b);
}

static void close_world(struct world *w) {
    w->question = autonat_question_free(w->question);
    w->dial_backs = dial_backs_free(w->dial_backs);
    w->service = autonat_service_free(w->service);
    if (w->stranger != NULL) {
        stranger_close(w->stranger, on_closed, w);
        TURN_UNTIL(w->t, w->closed);
    }
    w->stranger = stranger_free(w->stranger);
}

static void ask(struct world *w, const struct multiaddr *addr) {
    struct autonat_question_config cfg = {.reactor = w->t->reactor,
                                          .host = w->t->a.host,
                                          .dial_backs = w->dial_backs,
                                          .server = &w->t->b.identity.id,
                                          .addrs = addr,
                                          .addrs_count = 1,
                                          .done = on_done,
                                          .user = w};
    cr_assert_eq(autonat_question_new(&cfg, &w->question), 0);
    cr_assert_eq(w->done, 0, "a callback from inside the call");
}

/* The same port, at another address of loopback. */
static struct multiaddr elsewhere(const struct multiaddr *addr, uint8_t last) {
    struct net_addr at;
    struct multiaddr a;
    cr_assert_eq(multiaddr_to_net_addr(addr, &at), 0);
    at.family = NET_IP4;
    memcpy(at.ip, (uint8_t[]){127, 0, 0, last}, 4);
    multiaddr_from_net_addr(&at, multiaddr_kind(addr), &a);
    return a;
}

static const struct autonat_service_stats *stats_of(const struct world *w) {
    return autonat_service_stats(w->service);
}

/* --- Verdicts --- */

CASE(autonat, an_address_where_we_listen_is_reachable) {
    static struct world w;
    open_world(&w, t, &(struct party_options){0});
    ask(&w, &t->a.addr);
    TURN_UNTIL(t, w.done == 1 && w.served == 1);
    cr_assert_eq(w.result.verdict, AUTONAT_REACHABLE);
    cr_assert_eq(w.result.index, 0);
    cr_assert(w.is_reached && w.has_addr && !w.has_data);
    cr_assert_eq(stats_of(&w)->reached, 1u);
    TURN_UNTIL(t, conns_count(&t->a) == 1);
    close_world(&w);
}

CASE(autonat, the_gate_lets_the_stranger_in_for_that_alone) {
    static struct world w;
    open_world(&w, t, &(struct party_options){.gated = true});
    ask(&w, &t->a.addr);
    TURN_UNTIL(t, w.done == 1);
    cr_assert_eq(w.result.verdict, AUTONAT_REACHABLE);
    cr_assert_eq(t->a.gate.inbound_denied, 0);
    TURN_UNTIL(t, conns_count(&t->a) == 1);
    close_world(&w);
}

/* Over QUIC that takes the whole timeout. */
static void autonat_nobody_is_there(struct fixture *t) {
    static struct world w;
    struct multiaddr dead;
    open_world(&w, t, &(struct party_options){0});
    cr_assert_eq(multiaddr_parse(t->traits->dead, &dead), 0);
    ask(&w, &dead);
    TURN_UNTIL(t, w.done == 1 && w.served == 1);
    cr_assert_eq(w.result.verdict, AUTONAT_UNREACHABLE);
    cr_assert(w.has_addr && !w.is_reached);
    cr_assert_eq(stats_of(&w)->unreached, 1u);
    close_world(&w);
}

CASE_ON(tls, STACK_TLS, autonat_nobody_is_there)
CASE_ON(noise, STACK_NOISE, autonat_nobody_is_there)

static void autonat_an_address_elsewhere_is_paid_for(struct fixture *t) {
    static struct world w;
    open_world(&w, t, &(struct party_options){.listen = t->traits->all_ip4});
    struct multiaddr other = elsewhere(&t->a.addr, 77);
    ask(&w, &other);
    TURN_UNTIL(t, w.done == 1 && w.served == 1);
    cr_assert_eq(w.result.verdict, AUTONAT_REACHABLE);
    cr_assert(w.is_reached && w.has_data);
    close_world(&w);
}

CASE_ON(quic, STACK_QUIC, autonat_an_address_elsewhere_is_paid_for)
CASE_ON(tls, STACK_TLS, autonat_an_address_elsewhere_is_paid_for)

CASE(autonat, what_no_server_can_dial_is_refused) {
    static struct world w;
    struct multiaddr name;
    open_world(&w, t, &(struct party_options){0});
    cr_assert_eq(multiaddr_parse("/dns4/victim.example/tcp/80", &name), 0);
    ask(&w, &name);
    TURN_UNTIL(t, w.done == 1 && w.served == 1);
    cr_assert_eq(w.result.verdict, AUTONAT_REFUSED);
    cr_assert_not(w.has_addr);
    cr_assert_eq(stats_of(&w)->refused, 1u);
    close_world(&w);
}

CASE(autonat, who_does_not_serve_it_or_is_not_connected_fails) {
    static struct world w;
    open_asker(&w, t, &(struct party_options){0});
    ask(&w, &t->a.addr);
    TURN_UNTIL(t, w.done == 1);
    cr_assert_eq(w.result.verdict, AUTONAT_FAILED);
    cr_assert_eq(w.result.error, -ERR_NOT_CONNECTED);
    connect_pair(&t->a, &t->b);
    w.done = 0;
    ask(&w, &t->a.addr);
    TURN_UNTIL(t, w.done == 1);
    cr_assert_eq(w.result.error, -ERR_PROTOCOL_NOT_SUPPORTED);
    close_world(&w);
}

/* --- A server that lies --- */

struct liar {
    struct listener listener;
    struct talk nonce; /* from b to a */
};

/* The request's nonce, when it has come. */
static bool read_nonce(const struct liar *l, uint64_t *ret_nonce) {
    struct autonat_msg m;
    if (l->listener.count == 0 || l->listener.talks[0].got_len < 2)
        return false;
    const struct talk *x = &l->listener.talks[0];
    cr_assert_eq(x->got[0], x->got_len - 1, "a short request in one piece");
    cr_assert_eq(autonat_decode(bytes_of(x->got + 1, x->got_len - 1), &m), 0);
    cr_assert_eq(m.type, AUTONAT_DIAL_REQUEST);
    *ret_nonce = m.nonce;
    return true;
}

static void open_liar(struct world *w, struct liar *l, struct fixture *t, bool gated) {
    open_asker(w, t, &(struct party_options){.gated = gated});
    listener_open(&l->listener, &t->b, PROTOCOL_AUTONAT_REQUEST);
    connect_pair(&t->a, &t->b);
}

static void close_liar(struct world *w, struct liar *l) {
    talk_end(&l->nonce);
    listener_end(&l->listener, &w->t->b);
    close_world(w);
}

static void answer(struct liar *l, enum autonat_status status, uint32_t index,
                   enum autonat_dial_status dial_status) {
    uint8_t out[AUTONAT_SMALL_OUT_MAX];
    size_t n = autonat_encode_response(status, index, dial_status, out);
    talk_say(&l->listener.talks[0], bytes_of(out, n));
}

static void bring(struct liar *l, struct world *w, uint64_t nonce) {
    uint8_t out[AUTONAT_SMALL_OUT_MAX];
    talk_end(&l->nonce);
    talk_open_on(&l->nonce, &w->t->b, conn_to(&w->t->b, &w->t->a.identity.id),
                 PROTOCOL_AUTONAT_DIAL_BACK);
    talk_say(&l->nonce, bytes_of(out, autonat_encode_dial_back(nonce, out)));
}

CASE(autonat, a_nonce_over_our_own_connection_proves_nothing) {
    static struct world w;
    static struct liar l;
    uint64_t nonce = 0;
    open_liar(&w, &l, t, false);
    ask(&w, &t->a.addr);
    TURN_UNTIL(t, read_nonce(&l, &nonce));
    bring(&l, &w, nonce);
    TURN_UNTIL(t, talk_is_lost(&l.nonce));
    answer(&l, AUTONAT_OK, 0, AUTONAT_DIAL_E_DIAL_BACK);
    TURN_UNTIL(t, w.done == 1);
    cr_assert_eq(w.result.verdict, AUTONAT_NO_VERDICT);
    close_liar(&w, &l);
}

CASE(autonat, answers_that_make_no_sense_fail) {
    static const struct {
        uint32_t index;
        enum autonat_dial_status status;
    } ROWS[] = {{1, AUTONAT_DIAL_OK}, {0, AUTONAT_DIAL_UNUSED}, {4000000, AUTONAT_DIAL_E_DIAL}};
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        static struct world w;
        static struct liar l;
        uint64_t nonce;
        l = (struct liar){.nonce = {.stream = NULL}};
        open_liar(&w, &l, t, false);
        ask(&w, &t->a.addr);
        TURN_UNTIL(t, read_nonce(&l, &nonce));
        answer(&l, AUTONAT_OK, ROWS[i].index, ROWS[i].status);
        TURN_UNTIL(t, w.done == 1);
        cr_assert_eq(w.result.verdict, AUTONAT_FAILED, "row %zu", i);
        cr_assert_eq(w.result.error, -ERR_PROTOCOL_VIOLATION, "row %zu", i);
        close_liar(&w, &l);
        party_end(&t->a);
        party_end(&t->b);
    }
}

CASE(autonat, a_server_that_wants_too_much_or_goes_fails) {
    static struct world w;
    static struct liar l;
    uint8_t out[AUTONAT_SMALL_OUT_MAX];
    uint64_t nonce;
    open_liar(&w, &l, t, false);
    ask(&w, &t->a.addr);
    TURN_UNTIL(t, read_nonce(&l, &nonce));
    talk_say(&l.listener.talks[0],
             bytes_of(out, autonat_encode_data_request(0, AUTONAT_DATA_BYTES_MAX + 1, out)));
    TURN_UNTIL(t, w.done == 1);
    cr_assert_eq(w.result.verdict, AUTONAT_FAILED);
    w.done = 0;
    ask(&w, &t->a.addr);
    TURN_UNTIL(t, l.listener.count == 2);
    stream_reset(l.listener.talks[1].stream, STREAM_CODE_NONE);
    TURN_UNTIL(t, w.done == 1);
    cr_assert_eq(w.result.error, -ERR_STREAM_RESET);
    close_liar(&w, &l);
}

/* Wrong and repeated nonces, by strangers of their own. */
CASE(autonat, wrong_nonces_and_replays_are_reset) {
    static struct world w;
    static struct liar l;
    static struct talk talks[3];
    uint64_t nonce = 0;
    struct stranger *s;
    open_liar(&w, &l, t, true);
    party_allow(&t->a, &t->b);
    cr_assert_eq(stranger_new(t->reactor, &s), 0);
    w.stranger = s;
    ask(&w, &t->a.addr);
    TURN_UNTIL(t, read_nonce(&l, &nonce));
    /* A connection of the stranger's to speak over. */
    struct party other = {.t = t, .host = stranger_host(s)};
    cr_assert_eq(host_add_addrs(other.host, &t->a.identity.id, &t->a.addr, 1), 0);
    uint64_t said[3] = {nonce + 1, nonce, nonce};
    for (size_t i = 0; i < 3; i++) {
        uint8_t out[AUTONAT_SMALL_OUT_MAX];
        talk_open(&talks[i], &other, &t->a.identity.id, PROTOCOL_AUTONAT_DIAL_BACK);
        cr_assert(talks[i].stream != NULL);
        talk_say(&talks[i], bytes_of(out, autonat_encode_dial_back(said[i], out)));
        TURN_UNTIL(t, talk_is_lost(&talks[i]) || talks[i].got_len > 0);
        cr_assert_eq(talk_is_lost(&talks[i]), i != 1, "nonce %zu", i);
    }
    cr_assert_eq(talks[1].got_len, 1);
    cr_assert_eq(talks[1].got[0], 0);
    cr_assert_eq(w.done, 0, "the server has not said anything yet");
    answer(&l, AUTONAT_OK, 0, AUTONAT_DIAL_OK);
    TURN_UNTIL(t, w.done == 1);
    cr_assert_eq(w.result.verdict, AUTONAT_REACHABLE);
    for (size_t i = 0; i < 3; i++)
        talk_end(&talks[i]);
    close_liar(&w, &l);
}

/* --- Strangers at the gate --- */

CASE(autonat, strangers_are_let_in_while_a_nonce_is_due_and_for_nothing_else) {
    static struct world w;
    static struct liar l;
    static struct talk x;
    struct stranger *s;
    uint64_t nonce;
    open_liar(&w, &l, t, true);
    cr_assert_eq(stranger_new(t->reactor, &s), 0);
    w.stranger = s;
    struct party other = {.t = t, .host = stranger_host(s)};
    cr_assert_eq(host_add_addrs(other.host, &t->a.identity.id, &t->a.addr, 1), 0);
    talk_open(&x, &other, &t->a.identity.id, PROTOCOL_AUTONAT_DIAL_BACK);
    TURN_UNTIL(t, talk_is_lost(&x));
    cr_assert_eq(t->a.gate.inbound_denied, 1);
    talk_end(&x);
    ask(&w, &t->a.addr);
    TURN_UNTIL(t, read_nonce(&l, &nonce));
    talk_open(&x, &other, &t->a.identity.id, PROTOCOL_PING);
    TURN_UNTIL(t, talk_is_lost(&x));
    cr_assert_eq(x.reset_code, STREAM_CODE_GATED);
    cr_assert_eq(t->a.gate.inbound_denied, 1);
    talk_end(&x);
    close_liar(&w, &l);
}

struct late {
    struct dial_back_waiter waiter;
    int turned_away;
};

static bool expects_nobody(const struct dial_back_waiter *w) {
    (void)w;
    return false;
}

static void on_turned_away(struct dial_back_waiter *w) {
    CONTAINER_OF(w, struct late, waiter)->turned_away++;
}

/* Over a slow line the server comes after the time for which we expect it. */
CASE(autonat, who_is_denied_while_a_question_runs_may_have_been_the_server) {
    static struct world w;
    static struct talk x;
    struct late late = {.waiter = {.expects = expects_nobody, .turned_away = on_turned_away}};
    open_asker(&w, t, &(struct party_options){.gated = true});
    cr_assert_eq(stranger_new(t->reactor, &w.stranger), 0);
    struct party other = {.t = t, .host = stranger_host(w.stranger)};
    cr_assert_eq(host_add_addrs(other.host, &t->a.identity.id, &t->a.addr, 1), 0);
    dial_backs_expect(w.dial_backs, &late.waiter);
    talk_open(&x, &other, &t->a.identity.id, PROTOCOL_AUTONAT_DIAL_BACK);
    TURN_UNTIL(t, talk_is_lost(&x));
    cr_assert_eq(t->a.gate.inbound_denied, 1);
    cr_assert_eq(late.turned_away, 1);
    dial_backs_forget(&late.waiter);
    talk_end(&x);
    close_world(&w);
}

/* --- Clients that misbehave --- */

CASE(autonat, the_third_request_at_once_is_rejected) {
    static struct world w;
    static struct talk talks[3];
    open_world(&w, t, &(struct party_options){0});
    for (size_t i = 0; i < 3; i++)
        talk_open(&talks[i], &t->a, &t->b.identity.id, PROTOCOL_AUTONAT_REQUEST);
    for (size_t i = 0; i < 3; i++)
        talk_say(&talks[i], BYTES_LIT("\x40")); /* and no more */
    TURN_UNTIL(t, talks[2].eof);
    struct autonat_msg m;
    cr_assert_eq(autonat_decode(bytes_of(talks[2].got + 1, talks[2].got_len - 1), &m), 0);
    cr_assert_eq(m.status, AUTONAT_E_REQUEST_REJECTED);
    cr_assert_eq(talks[0].got_len + talks[1].got_len, 0);
    cr_assert_eq(stats_of(&w)->refused, 1u);
    for (size_t i = 0; i < 3; i++)
        talk_end(&talks[i]);
    close_world(&w);
}

CASE(autonat, a_flood_of_requests_is_cut_at_twelve_a_minute) {
    static struct world w;
    static struct talk x;
    open_world(&w, t, &(struct party_options){0});
    int rejected = 0;
    for (int i = 0; i < 20; i++) {
        uint8_t out[AUTONAT_OUT_MAX];
        struct multiaddr name;
        struct autonat_msg m;
        cr_assert_eq(multiaddr_parse("/dns4/victim.example/tcp/80", &name), 0);
        talk_open(&x, &t->a, &t->b.identity.id, PROTOCOL_AUTONAT_REQUEST);
        talk_say(&x, bytes_of(out, autonat_encode_request(&name, 1, 1, out)));
        TURN_UNTIL(t, x.eof);
        cr_assert_eq(autonat_decode(bytes_of(x.got + 1, x.got_len - 1), &m), 0);
        rejected += m.status == AUTONAT_E_REQUEST_REJECTED;
        talk_end(&x);
    }
    cr_assert_eq(rejected, 20 - AUTONAT_PEER_REQUESTS_PER_MINUTE);
    close_world(&w);
}

CASE(autonat, messages_beyond_the_limit_and_nonsense_reset_the_stream) {
    static struct world w;
    static struct talk x;
    static const uint8_t huge[] = {0x81, 0x40}; /* 8,193 */
    static const uint8_t nonsense[] = {3, 0xff, 0xff, 0xff};
    struct bytes rows[] = {BYTES_OF(huge), BYTES_OF(nonsense)};
    open_world(&w, t, &(struct party_options){0});
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        talk_open(&x, &t->a, &t->b.identity.id, PROTOCOL_AUTONAT_REQUEST);
        talk_say(&x, rows[i]);
        TURN_UNTIL(t, x.resets > 0);
        cr_assert_eq(x.reset_code, STREAM_CODE_PROTOCOL_VIOLATION, "row %zu", i);
        talk_end(&x);
    }
    cr_assert_eq(stats_of(&w)->failed, 2u);
    close_world(&w);
}

CASE(autonat, data_in_crumbs_does_not_pay) {
    static struct world w;
    static struct talk x;
    uint8_t out[AUTONAT_OUT_MAX];
    open_world(&w, t, &(struct party_options){0});
    struct multiaddr other = elsewhere(&t->a.addr, 78);
    talk_open(&x, &t->a, &t->b.identity.id, PROTOCOL_AUTONAT_REQUEST);
    talk_say(&x, bytes_of(out, autonat_encode_request(&other, 1, 1, out)));
    TURN_UNTIL(t, x.got_len > 0);
    struct autonat_msg m;
    cr_assert_eq(autonat_decode(bytes_of(x.got + 1, x.got_len - 1), &m), 0);
    cr_assert_eq(m.type, AUTONAT_DATA_REQUEST);
    cr_assert_geq(m.data_bytes, AUTONAT_DATA_BYTES_MIN);
    talk_say(&x, bytes_of(out, autonat_encode_data(AUTONAT_DATA_FRAME_MIN - 1, out)));
    TURN_UNTIL(t, x.resets > 0);
    cr_assert_eq(x.reset_code, STREAM_CODE_PROTOCOL_VIOLATION);
    cr_assert_not(w.is_reached || w.has_addr);
    talk_end(&x);
    close_world(&w);
}

/* --- Ends in the middle --- */

CASE(autonat, either_side_may_end_at_any_point) {
    for (int turns = 0; turns < 12; turns++) {
        static struct world w;
        open_world(&w, t, &(struct party_options){0});
        ask(&w, &t->a.addr);
        for (int i = 0; i < turns && w.done == 0; i++)
            cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(20)), 0);
        if (turns % 2 == 0)
            w.question = autonat_question_free(w.question);
        else
            w.service = autonat_service_free(w.service);
        close_world(&w);
        party_end(&t->a);
        party_end(&t->b);
    }
}

/* --- A stranger's dial --- */

struct hasty {
    struct deferred work;
    struct stranger_dial dial;
    struct reactor *reactor;
    bool is_cancelled;
    int done;
};

/* Queued before a turn's connections come, and so run before whoever waits for them. */
static void on_each_turn(struct deferred *d) {
    struct hasty *x = CONTAINER_OF(d, struct hasty, work);
    if (x->dial.state == STRANGER_DIALLING && x->dial.dial.is_over) {
        stranger_dial_cancel(&x->dial);
        x->is_cancelled = true;
        return;
    }
    reactor_defer(x->reactor, &x->work);
}

static void on_hasty_done(struct stranger_dial *d, enum autonat_dial_status status) {
    (void)status;
    CONTAINER_OF(d, struct hasty, dial)->done++;
}

CASE(autonat, a_dial_that_is_cancelled_as_it_succeeds_leaves_no_connection) {
    static struct world w;
    static struct hasty x;
    open_world(&w, t, &(struct party_options){0});
    struct stranger_dial_config cfg = {
        .peer = &t->a.identity.id, .addrs = &t->a.addr, .addrs_count = 1, .timeout = SEC(5)};
    x = (struct hasty){.reactor = t->reactor};
    deferred_init(&x.work, on_each_turn);
    cr_assert_eq(stranger_dial(w.stranger, &x.dial, &cfg, on_hasty_done), 0);
    reactor_defer(t->reactor, &x.work);
    TURN_UNTIL(t, x.is_cancelled);
    TURN_UNTIL(t, host_conns_count(stranger_host(w.stranger), &t->a.identity.id) == 0);
    cr_assert_eq(x.done, 0);
    TURN_UNTIL(t, conns_count(&t->a) == 1);
    close_world(&w);
}

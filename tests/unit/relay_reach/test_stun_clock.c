/* SPDX-License-Identifier: MIT */
/* Goal: silent STUN servers are asked so often and no more, and again when it may help; forged
 * answers change nothing.  The backend ends sends when the test says, and time stands.
 * Spec: decisions 6, 10. */
#include "core/base/err.h"
#include "relay/stun_prober.h"
#include "tests/unit/uring/fake_backend.h"
#include "transport/host.h"

struct world {
    struct reactor *reactor;
    struct fake *fake;
    struct host *host;
    struct stun_prober *prober;
    struct net_addr local;
    struct stun_finding found;
    int rounds;
    int sent;
    uint8_t txid[STUN_TXID_BYTES]; /* of the last request */
    struct net_addr asked;
    bool closed;
};

static void on_found(void *user, const struct stun_finding *f) {
    struct world *w = user;
    w->found = *f;
    w->rounds++;
}

static void setup(struct world *w) {
    static const struct stun_server_name servers[] = {{"5.6.7.8", 3478}};
    uint8_t seed[ED25519_SEED_BYTES] = {1};
    struct identity identity;
    struct multiaddr at;
    struct problem problem = PROBLEM_INIT;
    *w = (struct world){0};
    w->fake = fake_new(&w->reactor);
    reactor_make_current(w->reactor);
    cr_assert_eq(identity_from_seed(seed, &identity), 0);
    cr_assert_eq(multiaddr_parse("/ip4/192.0.2.1/udp/1000/quic-v1", &at), 0);
    cr_assert_eq(net_addr_parse("192.0.2.1:1000", &w->local), 0);
    struct host_config cfg = {.reactor = w->reactor,
                              .identity = &identity,
                              .agent = "test/1",
                              .listen = &at,
                              .listen_count = 1};
    cr_assert_eq(host_new(&cfg, &problem, &w->host), 0, "%s", problem.text);
    identity_done(&identity);
    struct stun_prober_config prober_cfg = {.reactor = w->reactor,
                                            .host = w->host,
                                            .servers = servers,
                                            .servers_count = 1,
                                            .found = on_found,
                                            .user = w};
    cr_assert_eq(stun_prober_new(&prober_cfg, &w->prober), 0);
}

static void on_closed(void *user) {
    ((struct world *)user)->closed = true;
}

static void take_requests(struct world *w) {
    while (fake_has(w->fake, OP_UDP_SEND)) {
        const struct udp_send *s =
            CONTAINER_OF(fake_find(w->fake, OP_UDP_SEND), struct udp_send, op);
        struct stun_msg m;
        cr_assert_eq(stun_decode(bytes_of(s->data, s->len), &m), 0);
        cr_assert_eq(m.type, STUN_BINDING_REQUEST);
        memcpy(w->txid, m.txid, sizeof(w->txid));
        w->asked = s->remote;
        w->sent++;
        fake_end(w->reactor, w->fake, OP_UDP_SEND, (int32_t)s->len);
    }
}

static void wait_for(struct world *w, nsec_t time) {
    nsec_t until = w->fake->now + time;
    while (w->fake->now < until) {
        nsec_t next = reactor_next_deadline(w->reactor);
        w->fake->now = MIN(MAX(next, w->fake->now), until);
        fake_turn(w->reactor);
        take_requests(w);
    }
}

static void teardown(struct world *w) {
    w->prober = stun_prober_free(w->prober);
    host_close(w->host, on_closed, w);
    for (int i = 0; i < 1000 && !w->closed; i++) {
        fake_turn(w->reactor);
        w->fake->now += MSEC(20);
    }
    cr_assert(w->closed);
    w->host = host_free(w->host);
    fake_free(w->reactor);
}

static void deliver_with(struct world *w, const struct net_addr *from, const uint8_t *txid,
                         const char *mapped, const struct net_addr *other) {
    static uint8_t data[STUN_ANSWER_MAX];
    struct net_addr at;
    cr_assert_eq(net_addr_parse(mapped, &at), 0);
    size_t len = stun_encode_success(txid, &at, other, data);
    struct udp_batch batch = {
        .data = data, .len = len, .segment_len = len, .remote = *from, .local = w->local};
    struct op *op = fake_find(w->fake, OP_UDP_RECV);
    op->data = &batch;
    op_complete(op, (int32_t)len, OP_MORE);
    take_requests(w);
}

static void deliver(struct world *w, const struct net_addr *from, const uint8_t *txid,
                    const char *mapped) {
    deliver_with(w, from, txid, mapped, NULL);
}

Test(stun_clock, a_silent_server_is_asked_three_times_and_again_ever_more_rarely) {
    static struct world w;
    setup(&w);
    wait_for(&w, SEC(20));
    cr_assert_eq(w.sent, STUN_SENDS_MAX);
    cr_assert_eq(w.rounds, 1);
    cr_assert_eq(w.found.unanswered, 1);
    cr_assert_eq(w.found.answered, 0);
    cr_assert_eq(w.found.result.external.family, NET_NONE);
    wait_for(&w, STUN_PROBER_RETRY);
    cr_assert_eq(w.rounds, 2);
    wait_for(&w, STUN_PROBER_RETRY);
    cr_assert_eq(w.rounds, 2, "the second pause is longer");
    wait_for(&w, STUN_PROBER_RETRY + SEC(10));
    cr_assert_eq(w.rounds, 3);
    wait_for(&w, SEC(7200));
    cr_assert_leq(w.rounds, 3 + 3 + 7200 / 600);
    cr_assert_geq(w.rounds, 3 + 7200 / 620);
    teardown(&w);
}

Test(stun_clock, an_answer_ends_the_round_and_the_next_is_ten_minutes_later) {
    static struct world w;
    setup(&w);
    wait_for(&w, MSEC(1));
    cr_assert_eq(w.sent, 1);
    deliver(&w, &w.asked, w.txid, "8.8.8.8:700");
    cr_assert_eq(w.rounds, 1);
    cr_assert_eq(w.found.answered, 1);
    struct net_addr mapped;
    cr_assert_eq(net_addr_parse("8.8.8.8:700", &mapped), 0);
    cr_assert(net_addr_equal(&w.found.result.external, &mapped));
    wait_for(&w, STUN_PROBER_REFRESH - SEC(1));
    cr_assert_eq(w.sent, 1);
    wait_for(&w, MSEC(1500));
    cr_assert_eq(w.sent, 2);
    teardown(&w);
}

Test(stun_clock, the_sockets_own_address_is_no_nat) {
    static struct world w;
    setup(&w);
    w.local = (struct net_addr){.family = NET_IP4, .ip = {192, 0, 2, 1}, .port = 1000};
    wait_for(&w, MSEC(1));
    deliver(&w, &w.asked, w.txid, "192.0.2.1:1000");
    cr_assert_eq(w.rounds, 1);
    /* Documentation's addresses are not public: nothing is known of others. */
    cr_assert_eq(w.found.result.type, NAT_UNKNOWN);
    teardown(&w);
}

Test(stun_clock, who_answers_unasked_is_not_heard) {
    static struct world w;
    struct net_addr liar;
    uint8_t wrong[STUN_TXID_BYTES] = {1};
    setup(&w);
    wait_for(&w, MSEC(1));
    cr_assert_eq(net_addr_parse("5.6.7.9:3478", &liar), 0);
    deliver(&w, &liar, w.txid, "9.9.9.9:9");
    deliver(&w, &w.asked, wrong, "9.9.9.9:9");
    cr_assert_eq(w.rounds, 0);
    deliver(&w, &w.asked, w.txid, "8.8.8.8:700");
    cr_assert_eq(w.rounds, 1);
    deliver(&w, &w.asked, w.txid, "9.9.9.9:9"); /* once more */
    cr_assert_eq(w.rounds, 1);
    cr_assert_eq(w.found.answered, 1);
    teardown(&w);
}

Test(stun_clock, changes_of_the_network_ask_once_a_second) {
    static struct world w;
    setup(&w);
    wait_for(&w, MSEC(1));
    deliver(&w, &w.asked, w.txid, "8.8.8.8:700");
    for (int i = 0; i < 20; i++) {
        stun_prober_network_changed(w.prober);
        wait_for(&w, MSEC(100));
    }
    cr_assert_leq(w.sent, 3);
    cr_assert_geq(w.sent, 2);
    teardown(&w);
}

/* A round over both ports of the server, which see us at these. */
static void both_ports(struct world *w, const char *first, const char *second) {
    struct net_addr other;
    int rounds = w->rounds;
    cr_assert_eq(net_addr_parse("5.6.7.8:3479", &other), 0);
    deliver_with(w, &w->asked, w->txid, first, &other);
    wait_for(w, SEC(2));
    cr_assert(net_addr_equal(&w->asked, &other));
    deliver(w, &w->asked, w->txid, second);
    cr_assert_eq(w->rounds, rounds + 1);
}

Test(stun_clock, another_type_is_asked_about_again_after_a_minute) {
    static struct world w;
    setup(&w);
    wait_for(&w, MSEC(1));
    both_ports(&w, "8.8.8.8:700", "8.8.8.8:701");
    cr_assert_eq(w.found.result.type, NAT_SYMMETRIC);
    int sent = w.sent;
    wait_for(&w, STUN_PROBER_RETRY + MSEC(500));
    cr_assert_eq(w.sent, sent + 1);
    both_ports(&w, "8.8.8.8:700", "8.8.8.8:700");
    cr_assert_eq(w.found.result.type, NAT_ADDRESS_RESTRICTED);
    sent = w.sent;
    wait_for(&w, STUN_PROBER_RETRY + MSEC(500));
    cr_assert_eq(w.sent, sent + 1);
    both_ports(&w, "8.8.8.8:700", "8.8.8.8:700");
    sent = w.sent;
    wait_for(&w, STUN_PROBER_REFRESH - SEC(1));
    cr_assert_eq(w.sent, sent, "no news");
    teardown(&w);
}

Test(stun_clock, one_answer_of_two_is_too_few_to_wait_long) {
    static struct world w;
    struct net_addr other;
    setup(&w);
    cr_assert_eq(net_addr_parse("5.6.7.8:3479", &other), 0);
    wait_for(&w, MSEC(1));
    deliver_with(&w, &w.asked, w.txid, "8.8.8.8:700", &other);
    wait_for(&w, SEC(20));
    cr_assert_eq(w.rounds, 1);
    cr_assert_eq(w.found.answered, 1);
    cr_assert_eq(w.found.unanswered, 1);
    cr_assert_eq(w.found.result.type, NAT_UNKNOWN);
    wait_for(&w, STUN_PROBER_RETRY);
    cr_assert_eq(w.sent, 1 + 2 * STUN_SENDS_MAX, "and the first port again, in vain");
    teardown(&w);
}

/* SPDX-License-Identifier: MIT */
/* Goal: all addresses are dialled at the same moment, the first connection wins, and neither what
 * stands nor the swarm's own rounds are touched.
 * Spec: libp2p DCUtR, "Addresses" and "TCP details". */
#include "core/base/err.h"
#include "scripted.h"
#include "transport/direct_dial.h"

#define Q1 "/ip4/1.2.3.4/udp/1/quic-v1"
#define T1 "/ip4/1.2.3.4/tcp/1"
#define T2 "/ip4/1.2.3.4/tcp/2"
#define RELAYED \
    "/ip4/5.6.7.8/tcp/1/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB/p2p-circuit"
#define OWN "/ip4/192.0.2.1/tcp/4001"

struct direct {
    struct direct_dial dial;
    int done;
    int error;
};

#define CASE_DIRECT(name)                          \
    static void direct_##name(struct script *s);   \
    Test(direct_dial, name) {                      \
        static struct script s;                    \
        script_init(&s, &(struct host_config){0}); \
        direct_##name(&s);                         \
        script_done(&s);                           \
    }                                              \
    static void direct_##name(struct script *s)

static void on_done(struct direct_dial *d, int error) {
    struct direct *x = CONTAINER_OF(d, struct direct, dial);
    x->done++;
    x->error = error;
}

static void dial_with(struct script *s, struct direct *x, struct direct_dial_config *cfg,
                      size_t count, const char *const *texts) {
    struct multiaddr addrs[DIRECT_DIAL_ADDRS_MAX + 1];
    *x = (struct direct){.done = 0};
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(multiaddr_parse(texts[i], &addrs[i]), 0, "%s", texts[i]);
    cfg->peer = s->peer;
    cfg->addrs = addrs;
    cfg->addrs_count = count;
    cr_assert_eq(host_dial_direct(s->host, &x->dial, cfg, on_done), 0);
    cr_assert_eq(x->done, 0, "a callback from inside the call");
}

#define DIAL(s, x, cfg, ...)                                                    \
    dial_with((s), (x), &(struct direct_dial_config)cfg, COUNT_OF(__VA_ARGS__), \
              (const char *const[]){__VA_ARGS__})
#define COUNT_OF(...) (sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
#define PLAIN \
    { .repeats = false }
#define REPEATING \
    { .repeats = true }

CASE_DIRECT(all_are_dialled_at_once_and_the_first_connection_ends_the_others) {
    static struct direct x;
    DIAL(s, &x, PLAIN, Q1, T1, T2);
    cr_assert_eq(s->dials_count, 3);
    cr_assert_not(script_dial(s, T1)->responder);
    struct script_conn *c = script_dial_ok(s, T2);
    cr_assert_eq(x.done, 1);
    cr_assert_eq(x.error, 0);
    cr_assert_eq(s->dials_cancelled, 2);
    struct conn *conns[2];
    cr_assert_eq(host_conns(s->host, &s->peer, conns, 2), 1);
    cr_assert(conns[0] == &c->conn);
    cr_assert_eq(c->streams_opened, 1, "identify asks whom we reached");
}

CASE_DIRECT(the_last_failure_is_the_answer_and_nothing_is_remembered_of_it) {
    static struct direct x;
    static struct script_connect c;
    DIAL(s, &x, PLAIN, Q1, T1);
    script_dial_fails(s, Q1, -ETIMEDOUT);
    cr_assert_eq(x.done, 0);
    script_dial_fails(s, T1, -ECONNREFUSED);
    cr_assert_eq(x.done, 1);
    cr_assert_eq(x.error, -ECONNREFUSED);
    /* The background leaves alone what rests after a failure. */
    script_knows(s, &s->peer, 1, (const char *const[]){T1});
    script_connect_with(s, &c, &s->peer, HOST_REQUEST_BACKGROUND);
    script_turn(s);
    cr_assert(script_dial(s, T1) != NULL);
}

CASE_DIRECT(what_cannot_be_dialled_directly_is_passed_over) {
    static struct direct x;
    DIAL(s, &x, PLAIN, RELAYED, OWN, "/ip4/1.2.3.4/tcp/0", "/ip4/1.2.3.4");
    cr_assert_eq(s->dials_count, 0);
    script_turn(s);
    cr_assert_eq(x.done, 1);
    cr_assert_eq(x.error, -ERR_NO_ADDRESSES);
}

CASE_DIRECT(a_transport_that_fails_at_once_is_heard_of_at_the_end_of_the_turn) {
    static struct direct x;
    s->refuse = -ENETUNREACH;
    DIAL(s, &x, PLAIN, Q1, T1);
    script_turn(s);
    cr_assert_eq(x.done, 1);
    cr_assert_eq(x.error, -ENETUNREACH);
}

CASE_DIRECT(the_responders_part_is_asked_for_in_each_dial) {
    static struct direct x;
    DIAL(s, &x, {.responder = true}, T1, T2);
    cr_assert(script_dial(s, T1)->responder);
    cr_assert(script_dial(s, T2)->responder);
    direct_dial_cancel(&x.dial);
}

CASE_DIRECT(any_port_is_asked_for_in_each_dial) {
    static struct direct x;
    DIAL(s, &x, {.from_any_port = true}, Q1, T1);
    cr_assert(script_dial(s, Q1)->from_any_port);
    cr_assert(script_dial(s, T1)->from_any_port);
    direct_dial_cancel(&x.dial);
}

CASE_DIRECT(what_refuses_is_dialled_again_a_moment_later_and_not_for_ever) {
    static struct direct x;
    DIAL(s, &x, REPEATING, Q1, T1);
    script_dial_fails(s, Q1, -ECONNREFUSED);
    for (int i = 1; i < DIRECT_DIAL_TRIES_MAX; i++) {
        script_dial_fails(s, T1, -ECONNREFUSED);
        script_wait(s, DIRECT_DIAL_PAUSE - 1);
        cr_assert_eq(s->dials_count, 0);
        cr_assert_eq(x.done, 0);
        script_wait(s, 1);
        cr_assert_eq(s->dials_count, 1, "TCP alone");
    }
    script_dial_fails(s, T1, -ECONNREFUSED);
    cr_assert_eq(x.done, 1);
    cr_assert_eq(x.error, -ECONNREFUSED);
    cr_assert_eq(s->dials_begun, 1 + DIRECT_DIAL_TRIES_MAX);
}

/* What the peer's own dial made of the same ports may come to nothing. */
CASE_DIRECT(what_is_taken_or_reset_before_it_is_connected_is_dialled_again) {
    static const int errors[] = {-EADDRNOTAVAIL, -EADDRINUSE, -ERR_CONN_CLOSED};
    static struct direct x;
    DIAL(s, &x, REPEATING, T1);
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        script_dial_fails(s, T1, errors[i]);
        script_wait(s, DIRECT_DIAL_PAUSE);
        cr_assert_eq(s->dials_count, 1, "%s", err_name(errors[i]));
    }
    struct dial *d = script_dial(s, T1);
    d->connected(d);
    script_dial_fails(s, T1, -ERR_CONN_CLOSED);
    cr_assert_eq(x.done, 1, "its upgrade failed");
    cr_assert_eq(x.error, -ERR_CONN_CLOSED);
}

CASE_DIRECT(other_failures_are_not_repeated) {
    static struct direct x;
    DIAL(s, &x, REPEATING, T1);
    script_dial_fails(s, T1, -ETIMEDOUT);
    cr_assert_eq(x.done, 1);
}

CASE_DIRECT(a_cancelled_one_says_nothing_more) {
    static struct direct x;
    DIAL(s, &x, REPEATING, T1, T2);
    script_dial_fails(s, T1, -ECONNREFUSED);
    direct_dial_cancel(&x.dial);
    direct_dial_cancel(&x.dial);
    cr_assert_eq(s->dials_cancelled, 1);
    script_wait(s, SEC(20));
    cr_assert_eq(s->dials_begun, 2);
    cr_assert_eq(x.done, 0);
}

CASE_DIRECT(cancelled_between_its_end_and_the_word_of_it_it_says_nothing) {
    static struct direct x;
    DIAL(s, &x, PLAIN, RELAYED);
    direct_dial_cancel(&x.dial);
    script_turn(s);
    cr_assert_eq(x.done, 0);
}

CASE_DIRECT(the_swarms_own_round_goes_on_beside_it) {
    static struct direct x;
    static struct script_connect c;
    script_knows(s, &s->peer, 1, (const char *const[]){Q1});
    script_connect(s, &c, &s->peer);
    script_turn(s);
    DIAL(s, &x, PLAIN, T1);
    cr_assert_eq(s->dials_count, 2);
    (void)script_dial_ok(s, T1);
    cr_assert_eq(x.error, 0);
    cr_assert(script_dial(s, Q1) != NULL);
    cr_assert_eq(c.done, 1, "who waited has a connection");
    (void)script_dial_ok(s, Q1);
}

CASE_DIRECT(beside_as_many_connections_as_there_may_be_it_fails) {
    static struct direct x;
    struct script_conn *c = NULL;
    DIAL(s, &x, PLAIN, T1);
    for (int i = 0; i < HOST_CONNS_PER_PEER_MAX; i++)
        (void)script_accept(s, &s->peer, "/ip4/9.9.9.9/udp/9/quic-v1");
    c = script_dial_ok(s, T1);
    cr_assert_eq(x.done, 1);
    cr_assert_eq(x.error, -ERR_RESOURCE_LIMIT);
    cr_assert(c->close_asked);
    cr_assert_eq(host_conns_count(s->host, &s->peer), HOST_CONNS_PER_PEER_MAX);
}

Test(direct_dial, a_closing_host_ends_it) {
    static struct script s;
    static struct direct x;
    script_init(&s, &(struct host_config){0});
    DIAL(&s, &x, PLAIN, T1);
    script_done(&s);
    cr_assert_eq(x.done, 1);
    cr_assert_eq(x.error, -ERR_SHUTDOWN);
}

/* SPDX-License-Identifier: MIT */
/* Goal: whichever allocation fails, a question ends once, and nothing is left of either side. */
#include "relay/autonat_question.h"
#include "relay/autonat_service.h"
#include "relay/dial_backs.h"
#include "relay/stranger.h"
#include "relay/stun_prober.h"
#include "relay/stun_service.h"
#include "tests/unit/relay_reach/talk.h"

struct world {
    struct fixture *t;
    struct dial_backs *dial_backs;
    struct stranger *stranger;
    struct autonat_service *service;
    struct autonat_question *question;
    struct stun_service *stun;
    struct stun_prober *prober;
    int done;
    int closed;
};

static void on_done(void *user, const struct autonat_result *result) {
    struct world *w = user;
    (void)result;
    w->done++;
    w->question = autonat_question_free(w->question);
}

static void on_closed(void *user) {
    ((struct world *)user)->closed++;
}

static void on_found(void *user, const struct stun_finding *f) {
    (void)user;
    (void)f;
}

/* 0 when all is open. */
static int open_all(struct world *w) {
    struct fixture *t = w->t;
    int e = dial_backs_new(t->reactor, t->a.host, &w->dial_backs);
    if (e == 0)
        e = stranger_new(t->reactor, &w->stranger);
    if (e == 0) {
        struct autonat_service_config cfg = {.reactor = t->reactor,
                                             .host = t->b.host,
                                             .stranger = w->stranger,
                                             .accept_private = true};
        e = autonat_service_new(&cfg, &w->service);
    }
    if (e == 0) {
        struct stun_service_config cfg = {.reactor = t->reactor, .host = t->b.host};
        e = stun_service_new(&cfg, &w->stun);
    }
    if (e == 0) {
        static const struct stun_server_name names[] = {{"127.0.0.1", 9}};
        struct stun_prober_config cfg = {.reactor = t->reactor,
                                         .host = t->a.host,
                                         .servers = names,
                                         .servers_count = 1,
                                         .found = on_found};
        e = stun_prober_new(&cfg, &w->prober);
    }
    return e;
}

static void ask(struct world *w) {
    struct fixture *t = w->t;
    struct autonat_question_config cfg = {.reactor = t->reactor,
                                          .host = t->a.host,
                                          .dial_backs = w->dial_backs,
                                          .server = &t->b.identity.id,
                                          .addrs = &t->a.addr,
                                          .addrs_count = 1,
                                          .done = on_done,
                                          .user = w};
    if (autonat_question_new(&cfg, &w->question) < 0)
        w->done++;
    /* A dial that its listener has no memory for takes its whole timeout: not waited for. */
    nsec_t until = reactor_now(t->reactor) + MSEC(100);
    while (w->done == 0 && reactor_now(t->reactor) < until)
        cr_assert_eq(reactor_turn(t->reactor, until), 0);
    cr_assert_leq(w->done, 1);
}

static void close_all(struct world *w) {
    int closing = (w->stranger != NULL) + (w->stun != NULL);
    w->question = autonat_question_free(w->question);
    w->dial_backs = dial_backs_free(w->dial_backs);
    w->service = autonat_service_free(w->service);
    w->prober = stun_prober_free(w->prober);
    if (w->stranger != NULL)
        stranger_close(w->stranger, on_closed, w);
    if (w->stun != NULL)
        stun_service_close(w->stun, on_closed, w);
    TURN_UNTIL(w->t, w->closed == closing);
    w->stranger = stranger_free(w->stranger);
    w->stun = stun_service_free(w->stun);
}

/* Whether an allocation failed. */
static bool fails_at(struct fixture *t, long n, bool while_it_opens) {
    static struct world w;
    w = (struct world){.t = t};
    party_open(&t->a, t, 1, &(struct party_options){0});
    party_open(&t->b, t, 2, &(struct party_options){0});
    party_knows(&t->a, &t->b);
    connect_pair(&t->a, &t->b);
    if (while_it_opens)
        t->mem.fail_at = t->mem.calls + n;
    long before = t->mem.calls;
    int e = open_all(&w);
    if (!while_it_opens) {
        cr_assert_eq(e, 0);
        before = t->mem.calls;
        t->mem.fail_at = t->mem.calls + n;
        ask(&w);
    }
    bool has_failed = t->mem.calls - before >= n;
    t->mem.fail_at = 0;
    close_all(&w);
    party_end(&t->a);
    party_end(&t->b);
    return has_failed;
}

CASE_QUIC(reach_memory, may_be_refused_while_it_opens) {
    long n = 1;
    while (fails_at(t, n, true))
        n++;
    cr_assert_gt(n, 8);
}

/* All of the first ones, then fewer: who waits in vain does so for a tenth of a second. */
CASE_QUIC(reach_memory, may_be_refused_to_a_question) {
    long n = 1;
    while (fails_at(t, n, false))
        n += 1 + n / 6;
    cr_assert_gt(n, 8);
}

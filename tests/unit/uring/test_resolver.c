/* SPDX-License-Identifier: MIT */
/* Goal: questions to a name server go over the reactor, and each ends once, whatever the server
 * does. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "dns_server.h"
#include "uring/reactor.h"
#include "uring/resolver.h"

struct question {
    struct resolve_request request;
    int done;
    int error;
    char texts[4][64];
};

struct bed {
    struct reactor *reactor;
    struct resolver *resolver;
    struct dns_server server;
};

static void bed_open(struct bed *b, enum reactor_io io) {
    dns_server_open(&b->server);
    struct reactor_config cfg = {.mem = mem_system(), .io = io};
    cr_assert_eq(reactor_new(&cfg, &b->reactor), 0);
    struct resolver_options options = {
        .servers = b->server.address, .timeout_ms = 100, .attempts = 1};
    cr_assert_eq(resolver_system_new(b->reactor, &options, &b->resolver), 0);
}

static void bed_turn(struct bed *b) {
    cr_assert_eq(reactor_turn(b->reactor, reactor_now(b->reactor) + MSEC(2)), 0);
    dns_server_turn(&b->server);
}

static void bed_close(struct bed *b) {
    b->resolver = resolver_system_free(b->resolver);
    while (reactor_has_handles(b->reactor))
        cr_assert_eq(reactor_turn(b->reactor, reactor_now(b->reactor) + MSEC(10)), 0);
    b->reactor = reactor_free(b->reactor);
    dns_server_close(&b->server);
}

#define CASE(name)                                     \
    static void case_##name(struct bed *b);            \
    CASE_ON(io_uring_resolver, REACTOR_IO_URING, name) \
    CASE_ON(epoll_resolver, REACTOR_IO_EPOLL, name)    \
    static void case_##name(struct bed *b)
#define CASE_ON(suite, io, name) \
    Test(suite, name) {          \
        static struct bed b;     \
        bed_open(&b, io);        \
        case_##name(&b);         \
        bed_close(&b);           \
    }

static void on_done(struct resolve_request *r, int error) {
    struct question *q = CONTAINER_OF(r, struct question, request);
    q->done++;
    q->error = error;
    for (uint32_t i = 0; i < r->texts_count && i < 4; i++)
        (void)snprintf(q->texts[i], sizeof(q->texts[i]), "%s", r->texts[i]);
}

static void ask(struct bed *b, struct question *q, enum resolve_kind kind, const char *host) {
    *q = (struct question){.done = 0};
    cr_assert_eq(resolve_start_kind(b->resolver, &q->request, kind, host, on_done), 0);
    cr_assert_eq(q->done, 0, "answered inside the call");
}

static void wait_for(struct bed *b, struct question *q) {
    nsec_t until = reactor_now(b->reactor) + SEC(20);
    while (q->done == 0) {
        cr_assert(reactor_now(b->reactor) < until, "no answer");
        bed_turn(b);
    }
    cr_assert_eq(q->done, 1);
}

static bool has(const struct question *q, const char *ip) {
    char text[NET_ADDR_TEXT_MAX];
    for (uint32_t i = 0; i < q->request.count; i++) {
        if (strcmp(net_addr_format_ip(&q->request.addrs[i], text), ip) == 0)
            return true;
    }
    return false;
}

CASE(a_name_has_the_addresses_that_were_asked_for) {
    static struct question q[3];
    ask(b, &q[0], RESOLVE_ADDRS, "both.test");
    ask(b, &q[1], RESOLVE_IP4, "both.test");
    ask(b, &q[2], RESOLVE_IP6, "both.test");
    for (size_t i = 0; i < 3; i++) {
        wait_for(b, &q[i]);
        cr_assert_eq(q[i].error, 0, "%s", err_text(q[i].error));
        cr_assert_eq(q[i].request.count, i == 0 ? 2 : 1);
        cr_assert_eq(has(&q[i], "192.0.2.1"), i != 2);
        cr_assert_eq(has(&q[i], "2001:db8::1"), i != 1);
        cr_assert_eq(q[i].request.addrs[0].port, 0);
    }
}

CASE(one_family_is_enough_and_more_addresses_than_fit_are_cut) {
    static struct question q;
    ask(b, &q, RESOLVE_ADDRS, "six.test");
    wait_for(b, &q);
    cr_assert(q.error == 0 && q.request.count == 1 && has(&q, "2001:db8::6"));
    ask(b, &q, RESOLVE_ADDRS, "many.test");
    wait_for(b, &q);
    cr_assert(q.error == 0 && q.request.count == RESOLVE_ADDRS_MAX);
}

CASE(texts_are_joined_by_record) {
    static struct question q;
    ask(b, &q, RESOLVE_TEXTS, "text.test");
    wait_for(b, &q);
    cr_assert_eq(q.error, 0);
    cr_assert_eq(q.request.texts_count, 2);
    cr_assert_str_eq(q.texts[0], "one");
    cr_assert_str_eq(q.texts[1], "two parts");
}

CASE(what_is_not_there_is_not_found) {
    static const struct {
        const char *name;
        enum resolve_kind kind;
    } ROWS[] = {{"nobody.test", RESOLVE_ADDRS},
                {"nobody.test", RESOLVE_TEXTS},
                {"six.test", RESOLVE_IP4},
                {"four.test", RESOLVE_TEXTS}};
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        static struct question q;
        ask(b, &q, ROWS[i].kind, ROWS[i].name);
        wait_for(b, &q);
        cr_assert_eq(q.error, -ERR_NAME_NOT_FOUND, "row %zu: %s", i, err_text(q.error));
    }
}

CASE(addresses_ask_nobody_and_the_hosts_file_counts) {
    static const char *const names[] = {"192.0.2.77", "2001:db8::77", "localhost"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        static struct question q;
        ask(b, &q, RESOLVE_ADDRS, names[i]);
        wait_for(b, &q);
        cr_assert(q.error == 0 && q.request.count > 0, "%s: %s", names[i], err_text(q.error));
        cr_assert(i == 2 || b->server.questions == 0);
    }
}

CASE(a_cut_answer_is_asked_for_again_over_TCP) {
    static struct question q;
    b->server.truncates = true;
    ask(b, &q, RESOLVE_TEXTS, "text.test");
    wait_for(b, &q);
    cr_assert_eq(q.error, 0, "%s", err_text(q.error));
    cr_assert_eq(q.request.texts_count, 2);
    cr_assert_eq(b->server.tcp_questions, 1);
}

CASE(a_server_that_is_silent_or_talks_nonsense_is_a_failure_for_now) {
    static struct question q;
    b->server.is_silent = true;
    ask(b, &q, RESOLVE_ADDRS, "both.test");
    wait_for(b, &q);
    cr_assert_eq(q.error, -EAGAIN, "%s", err_text(q.error));
    b->server.is_silent = false;
    b->server.is_garbled = true;
    ask(b, &q, RESOLVE_TEXTS, "text.test");
    wait_for(b, &q);
    cr_assert_eq(q.error, -EAGAIN, "%s", err_text(q.error));
}

CASE(a_cancelled_question_is_not_heard_of_and_harms_nobody) {
    static struct question q[2];
    ask(b, &q[0], RESOLVE_ADDRS, "both.test");
    ask(b, &q[1], RESOLVE_ADDRS, "four.test");
    resolve_cancel(&q[0].request);
    resolve_cancel(&q[0].request);
    wait_for(b, &q[1]);
    cr_assert_eq(q[1].error, 0);
    for (int i = 0; i < 20; i++)
        bed_turn(b);
    cr_assert_eq(q[0].done, 0);
    /* One that is in flight when the resolver goes. */
    b->server.is_silent = true;
    ask(b, &q[0], RESOLVE_TEXTS, "text.test");
    bed_turn(b);
    resolve_cancel(&q[0].request);
}

CASE(between_questions_no_descriptor_is_open) {
    static struct question q;
    cr_assert_not(reactor_has_handles(b->reactor));
    ask(b, &q, RESOLVE_ADDRS, "both.test");
    cr_assert(reactor_has_handles(b->reactor));
    wait_for(b, &q);
    for (int i = 0; i < 5; i++)
        bed_turn(b);
    cr_assert_not(reactor_has_handles(b->reactor));
    ask(b, &q, RESOLVE_ADDRS, "four.test");
    wait_for(b, &q);
    cr_assert_eq(q.error, 0);
}

CASE(too_many_questions_are_refused_and_so_is_a_name_that_is_too_long) {
    static struct question q[RESOLVE_QUESTIONS_MAX + 1];
    char name[RESOLVE_HOST_MAX + 1];
    memset(name, 'a', sizeof(name));
    name[RESOLVE_HOST_MAX] = '\0';
    cr_assert_eq(resolve_start(b->resolver, &q[0].request, name, on_done), -EINVAL);
    for (size_t i = 0; i < RESOLVE_QUESTIONS_MAX; i++)
        ask(b, &q[i], RESOLVE_IP4, "four.test");
    cr_assert_eq(resolve_start(b->resolver, &q[RESOLVE_QUESTIONS_MAX].request, "x", on_done),
                 -EAGAIN);
    for (size_t i = 0; i < RESOLVE_QUESTIONS_MAX; i++) {
        wait_for(b, &q[i]);
        cr_assert_eq(q[i].error, 0, "%zu: %s", i, err_text(q[i].error));
    }
}

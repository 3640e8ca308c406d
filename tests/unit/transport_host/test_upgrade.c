/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "links.h"
#include "transport/proto/tls_context.h"
#include "transport/tcp_link.h"
#include "transport/upgrade.h"

/* Goal: transport/upgrade.h: what it says first, what it takes in which order and cut anywhere, and
 * how it ends when the other side is not what it should be. */

#define HEADER "\x13/multistream/1.0.0\n"
#define TLS    "\x0b/tls/1.0.0\n"
#define NOISE  "\x07/noise\n"
#define NA     "\x03na\n"
/* 'H' announces 72 bytes. */
#define HTTP \
    "HTTP/1.1 400 Bad Request\r\nServer: example\r\nContent-Type: text/html; charset=utf-8\r\n"

/* One side: its identity, its upgrader, and what became of its one upgrade. */
struct side {
    struct fixture *t;
    struct identity identity;
    struct upgrader upgrader;
    struct upgrade *upgrade;
    int done;
    struct conn *conn;
    int error;
    struct problem why;
    int closed; /* the conn, or the link of what failed */
};

static void on_conn_gone(struct upgrader *u, struct conn *c) {
    struct side *x = CONTAINER_OF(u, struct side, upgrader);
    cr_assert(c == x->conn);
    x->closed++;
}

static void on_upgrade_gone(struct upgrader *u) {
    CONTAINER_OF(u, struct side, upgrader)->closed++;
}

static void side_open(struct side *x, struct fixture *t, uint8_t seed, unsigned securities) {
    uint8_t seed_bytes[ED25519_SEED_BYTES];
    memset(seed_bytes, seed, sizeof(seed_bytes));
    *x = (struct side){.t = t};
    cr_assert_eq(identity_from_seed(seed_bytes, &x->identity), 0);
    x->upgrader = (struct upgrader){.reactor = t->reactor,
                                    .identity = &x->identity,
                                    .securities = securities,
                                    .conn_gone = on_conn_gone,
                                    .upgrade_gone = on_upgrade_gone};
    struct tls_cert cert;
    cr_assert_eq(tls_cert_make(&x->identity, reactor_rng(t->reactor), &cert), 0);
    cr_assert_eq(tls_context_new(reactor_mem(t->reactor), &cert, &x->upgrader.tls), 0);
    tls_cert_done(&cert);
}

static void side_end(struct side *x) {
    if (x->conn != NULL && x->closed == 0)
        x->conn->ops->close(x->conn, 0);
    else if (x->conn == NULL && x->upgrade != NULL && x->done == 0)
        upgrade_cancel(x->upgrade);
    TURN_UNTIL(x->t, x->upgrade == NULL || x->closed == 1);
    cr_assert_eq(x->upgrader.closing_count, 0);
    x->upgrader.tls = tls_context_free(x->upgrader.tls);
}

static void ignore_confirmed(struct conn *c) {
    (void)c;
}

static void ignore_closed(struct conn *c, int error, const struct problem *why) {
    (void)c;
    (void)error;
    (void)why;
}

static const struct conn_events conn_events = {.confirmed = ignore_confirmed,
                                               .closed = ignore_closed};

static void on_done(void *user, struct conn *c, int error, const struct problem *why) {
    struct side *x = user;
    x->done++;
    cr_assert_eq(x->done, 1);
    cr_assert_eq(c == NULL, error < 0);
    x->conn = c;
    x->error = error;
    if (error < 0)
        x->why = *why;
    else
        c->events = &conn_events;
}

static void side_start(struct side *x, struct link *link, const struct peer_id *expected,
                       bool initiator, bool inbound) {
    struct multiaddr remote;
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/tcp/9", &remote), 0);
    struct upgrade_config cfg = {.link = link,
                                 .expected = expected,
                                 .remote = &remote,
                                 .initiator = initiator,
                                 .inbound = inbound,
                                 .deadline = reactor_now(x->t->reactor) + UPGRADE_TIMEOUT,
                                 .done = on_done,
                                 .user = x};
    cr_assert_eq(upgrade_start(&x->upgrader, &cfg, &x->upgrade), 0);
    cr_assert_eq(x->done, 0, "a callback from inside the call");
}

/* --- Two of us --- */

static void meet(struct fixture *t, unsigned securities_a, unsigned securities_b,
                 bool a_initiates) {
    static struct ends e;
    static struct side a;
    static struct side b;
    e = (struct ends){.listener_closed = false};
    tcp_ends_open(&e, t);
    side_open(&a, t, 1, securities_a);
    side_open(&b, t, 2, securities_b);
    side_start(&a, TAKE(e.a.link), &b.identity.id, a_initiates, false);
    side_start(&b, TAKE(e.b.link), NULL, !a_initiates, true);
    TURN_UNTIL(t, a.done == 1 && b.done == 1);
    cr_assert_eq(a.error, 0, "%s", a.why.text);
    cr_assert_eq(b.error, 0, "%s", b.why.text);
    cr_assert(peer_id_equal(&a.conn->peer, &b.identity.id));
    cr_assert(peer_id_equal(&b.conn->peer, &a.identity.id));
    cr_assert(!a.conn->inbound && b.conn->inbound);
    side_end(&a);
    side_end(&b);
}

CASE_QUIC(upgrade, finds_what_both_speak_whoever_initiates) {
    static const unsigned rows[][2] = {
        {UPGRADE_TLS, UPGRADE_TLS},
        {UPGRADE_NOISE, UPGRADE_NOISE},
        {UPGRADE_TLS | UPGRADE_NOISE, UPGRADE_TLS | UPGRADE_NOISE},
        {UPGRADE_TLS | UPGRADE_NOISE, UPGRADE_NOISE},
        {UPGRADE_TLS, UPGRADE_TLS | UPGRADE_NOISE},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        meet(t, rows[i][0], rows[i][1], true);
        meet(t, rows[i][1], rows[i][0], false);
    }
}

/* As two that punch a hole may: each accepted what became of the other's dial. */
CASE_QUIC(upgrade, of_two_responders_the_one_that_may_leads) {
    for (int late = 0; late < 2; late++) {
        static struct ends e;
        static struct side a;
        static struct side b;
        e = (struct ends){.listener_closed = false};
        tcp_ends_open(&e, t);
        side_open(&a, t, 1, UPGRADE_TLS | UPGRADE_NOISE);
        side_open(&b, t, 2, UPGRADE_NOISE);
        side_start(&a, TAKE(e.a.link), NULL, false, false);
        side_start(&b, TAKE(e.b.link), NULL, false, true);
        turn_for(t, late > 0 ? MSEC(50) : 0);
        cr_assert_eq(a.done + b.done, 0);
        upgrade_let_lead(a.upgrade);
        TURN_UNTIL(t, a.done == 1 && b.done == 1);
        cr_assert_eq(a.error, 0, "%s", a.why.text);
        cr_assert_eq(b.error, 0, "%s", b.why.text);
        side_end(&a);
        side_end(&b);
    }
}

CASE_QUIC(upgrade, who_may_lead_still_follows_an_initiator) {
    static struct ends e;
    static struct side a;
    static struct side b;
    tcp_ends_open(&e, t);
    side_open(&a, t, 1, UPGRADE_TLS | UPGRADE_NOISE);
    side_open(&b, t, 2, UPGRADE_NOISE);
    side_start(&a, TAKE(e.a.link), NULL, false, false);
    side_start(&b, TAKE(e.b.link), NULL, true, true);
    upgrade_let_lead(a.upgrade);
    upgrade_let_lead(b.upgrade);
    TURN_UNTIL(t, a.done == 1 && b.done == 1);
    cr_assert_eq(a.error, 0, "%s", a.why.text);
    cr_assert_eq(b.error, 0, "%s", b.why.text);
    side_end(&a);
    side_end(&b);
}

CASE_QUIC(upgrade, without_a_common_security_fails_on_both_sides) {
    static struct ends e;
    static struct side a;
    static struct side b;
    tcp_ends_open(&e, t);
    side_open(&a, t, 1, UPGRADE_TLS);
    side_open(&b, t, 2, UPGRADE_NOISE);
    side_start(&a, TAKE(e.a.link), NULL, true, false);
    side_start(&b, TAKE(e.b.link), NULL, false, true);
    TURN_UNTIL(t, a.done == 1 && b.done == 1);
    /* b finds a's first message behind the name that it refused, and leaves: as every failure
     * before the upgrade is done, without a word that is waited for. */
    cr_assert(a.error == -ERR_PROTOCOL_NOT_SUPPORTED || a.error == -ERR_CONN_CLOSED, "%d", a.error);
    cr_assert(b.error == -ERR_PROTOCOL_VIOLATION || b.error == -ERR_LIMIT, "%d", b.error);
    side_end(&a);
    side_end(&b);
}

CASE_QUIC(upgrade, names_whom_it_met_instead) {
    for (unsigned security = UPGRADE_TLS; security <= UPGRADE_NOISE; security++) {
        static struct ends e;
        static struct side a;
        static struct side b;
        e = (struct ends){.listener_closed = false};
        tcp_ends_open(&e, t);
        side_open(&a, t, 1, security);
        side_open(&b, t, 2, security);
        side_start(&a, TAKE(e.a.link), &a.identity.id, true, false);
        side_start(&b, TAKE(e.b.link), NULL, false, true);
        TURN_UNTIL(t, a.done == 1);
        char met[PEER_ID_TEXT_MAX];
        cr_assert_eq(a.error, -ERR_PEER_ID_MISMATCH);
        cr_assert(strstr(a.why.text, peer_id_format(&b.identity.id, met)) != NULL, "%s",
                  a.why.text);
        side_end(&a);
        TURN_UNTIL(t, b.done == 1);
        side_end(&b);
    }
}

/* --- Cut anywhere: somebody between two of us passes on a few bytes at a time --- */

struct relay {
    struct raw in;
    struct raw out;
    size_t in_sent;
    size_t out_sent;
};

static bool pass_on(struct raw *from, size_t *sent, struct raw *to, size_t cut) {
    size_t n = MIN(cut, from->got_len - *sent);
    if (n > 0)
        raw_write(to, from->got + *sent, n, SIZE_MAX);
    *sent += n;
    return n > 0;
}

CASE_QUIC(upgrade, takes_everything_cut_anywhere) {
    static const size_t cuts[] = {1, 7, 64, 1000};
    for (size_t i = 0; i < 2 * ARRAY_COUNT(cuts); i++) {
        static struct ends left;
        static struct ends right;
        static struct relay r;
        static struct side a;
        static struct side b;
        left = right = (struct ends){.listener_closed = false};
        r = (struct relay){.in_sent = 0};
        tcp_ends_open(&left, t);
        tcp_ends_open(&right, t);
        raw_attach(&r.in, &left.b);
        raw_attach(&r.out, &right.a);
        unsigned security = i % 2 == 0 ? UPGRADE_TLS : UPGRADE_NOISE;
        side_open(&a, t, 1, security);
        side_open(&b, t, 2, security);
        side_start(&a, TAKE(left.a.link), &b.identity.id, true, false);
        side_start(&b, TAKE(right.b.link), &a.identity.id, false, true);
        while (a.done == 0 || b.done == 0) {
            bool passed = pass_on(&r.in, &r.in_sent, &r.out, cuts[i / 2]);
            passed = pass_on(&r.out, &r.out_sent, &r.in, cuts[i / 2]) || passed;
            cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(passed ? 0 : 20)),
                         0);
        }
        cr_assert_eq(a.error, 0, "%zu: %s", i, a.why.text);
        cr_assert_eq(b.error, 0, "%zu: %s", i, b.why.text);
        link_close(r.in.link);
        link_close(r.out.link);
        side_end(&a);
        side_end(&b);
        TURN_UNTIL(t, r.in.closed == 1 && r.out.closed == 1);
    }
}

/* --- Somebody else --- */

struct against {
    struct ends e;
    struct raw raw;
    struct side x;
};

static void against_open(struct against *w, struct fixture *t, unsigned securities,
                         bool initiator) {
    *w = (struct against){.raw.closed = 0};
    tcp_ends_open(&w->e, t);
    raw_attach(&w->raw, &w->e.b);
    side_open(&w->x, t, 1, securities);
    side_start(&w->x, TAKE(w->e.a.link), NULL, initiator, !initiator);
}

static void against_close(struct against *w) {
    side_end(&w->x);
    link_close(w->raw.link);
    TURN_UNTIL(w->x.t, w->raw.closed == 1);
}

/* Known answer: rust's first segment, captured (multistream-select.md): 62 bytes. */
CASE_QUIC(upgrade, with_one_security_sends_its_first_message_right_behind_the_name) {
    static struct against w;
    against_open(&w, t, UPGRADE_NOISE, true);
    TURN_UNTIL(t, w.raw.got_len >= 62);
    cr_assert_eq(w.raw.got_len, 62);
    cr_assert_eq(w.raw.reads, 1, "it is one segment");
    cr_assert_eq(memcmp(w.raw.got, HEADER NOISE "\x00\x20", 30), 0);
    against_close(&w);
}

CASE_QUIC(upgrade, with_two_proposes_the_second_when_the_first_is_refused) {
    static struct against w;
    against_open(&w, t, UPGRADE_TLS | UPGRADE_NOISE, true);
    TURN_UNTIL(t, w.raw.got_len == 32);
    cr_assert_eq(memcmp(w.raw.got, HEADER TLS, 32), 0);
    raw_write_text(&w.raw, HEADER NA, 24);
    TURN_UNTIL(t, w.raw.got_len == 40);
    cr_assert_eq(memcmp(w.raw.got + 32, NOISE, 8), 0);
    raw_write_text(&w.raw, NA, 4);
    TURN_UNTIL(t, w.x.done == 1);
    cr_assert_eq(w.x.error, -ERR_PROTOCOL_NOT_SUPPORTED);
    against_close(&w);
}

CASE_QUIC(upgrade, answers_proposals_until_one_is_known) {
    static struct against w;
    against_open(&w, t, UPGRADE_NOISE, false);
    raw_write_text(&w.raw, HEADER "\x0d/secio/1.0.0\n" TLS "\x03ls\n" NOISE, 20 + 14 + 12 + 4 + 8);
    TURN_UNTIL(t, w.raw.got_len == 20 + 3 * 4 + 8);
    cr_assert_eq(memcmp(w.raw.got, HEADER NA NA NA NOISE, 40), 0);
    against_close(&w);
}

CASE_QUIC(upgrade, fails_over_what_is_not_libp2p) {
    static const struct {
        const char *bytes;
        size_t len;
        bool end;
        bool initiator;
        int error;
    } rows[] = {
        {HTTP, sizeof(HTTP) - 1, false, false, -ERR_PROTOCOL_VIOLATION},
        {HTTP, sizeof(HTTP) - 1, false, true, -ERR_PROTOCOL_VIOLATION},
        {"\xff\x7f", 2, false, false, -ERR_LIMIT},
        {HEADER, 20, true, true, -ERR_CONN_CLOSED},
        {HEADER, 20, true, false, -ERR_CONN_CLOSED},
        {"", 0, true, false, -ERR_CONN_CLOSED},
        {HEADER NOISE "\x00\x00", 30, false, false, -ERR_HANDSHAKE},
        {HEADER NOISE "\x00\x20yy", 32, true, false, -ERR_CONN_CLOSED},
        {HEADER NOISE "\xff\xff", 30, false, true, -ERR_HANDSHAKE},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        static struct against w;
        against_open(&w, t, UPGRADE_NOISE, rows[i].initiator);
        if (rows[i].len > 0)
            raw_write_text(&w.raw, rows[i].bytes, rows[i].len);
        if (rows[i].end)
            link_shutdown_write(w.raw.link);
        TURN_UNTIL(t, w.x.done == 1);
        cr_assert_eq(w.x.error, rows[i].error, "row %zu: %d, %s", i, w.x.error, w.x.why.text);
        cr_assert_neq(w.x.why.text[0], '\0', "row %zu", i);
        against_close(&w);
    }
}

CASE_QUIC(upgrade, ends_at_the_deadline_and_not_before) {
    static struct ends e;
    static struct raw raw;
    static struct side x;
    struct multiaddr remote;
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/tcp/9", &remote), 0);
    tcp_ends_open(&e, t);
    raw_attach(&raw, &e.b);
    side_open(&x, t, 1, UPGRADE_NOISE);
    nsec_t deadline = reactor_now(t->reactor) + MSEC(50);
    struct upgrade_config cfg = {.link = TAKE(e.a.link),
                                 .remote = &remote,
                                 .deadline = deadline,
                                 .done = on_done,
                                 .user = &x};
    cr_assert_eq(upgrade_start(&x.upgrader, &cfg, &x.upgrade), 0);
    TURN_UNTIL(t, x.done == 1);
    cr_assert_eq(x.error, -ETIMEDOUT);
    cr_assert_geq(reactor_now(t->reactor), deadline);
    TURN_UNTIL(t, raw.read_error != 0);
    side_end(&x);
    link_close(raw.link);
    TURN_UNTIL(t, raw.closed == 1);
}

CASE_QUIC(upgrade, may_be_cancelled_at_any_point) {
    static const char dialogue[] = HEADER NOISE "\x00\x20";
    for (size_t len = 0; len < sizeof(dialogue); len += 5) {
        static struct against w;
        against_open(&w, t, UPGRADE_NOISE, false);
        if (len > 0)
            raw_write_text(&w.raw, dialogue, len);
        for (int turn = 0; turn < 4; turn++)
            cr_assert_eq(reactor_turn(t->reactor, 0), 0);
        against_close(&w);
        cr_assert_eq(w.x.done, 0);
    }
}

CASE_QUIC(upgrade, without_memory_closes_the_link) {
    static struct against w;
    tcp_ends_open(&w.e, t);
    raw_attach(&w.raw, &w.e.b);
    side_open(&w.x, t, 1, UPGRADE_NOISE);
    struct multiaddr remote;
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/tcp/9", &remote), 0);
    struct upgrade_config cfg = {
        .link = TAKE(w.e.a.link), .remote = &remote, .done = on_done, .user = &w.x};
    t->mem.fail_at = t->mem.calls + 1;
    cr_assert_eq(upgrade_start(&w.x.upgrader, &cfg, &w.x.upgrade), -ENOMEM);
    t->mem.fail_at = 0;
    TURN_UNTIL(t, w.x.closed == 1 && w.raw.read_error == -ENODATA);
    cr_assert_eq(w.x.done, 0);
    against_close(&w);
}

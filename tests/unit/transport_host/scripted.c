/* SPDX-License-Identifier: MIT */
#include "scripted.h"

#include <stdio.h>
#include <string.h>

#include "core/base/net_addr.h"

/* --- Streams that swallow what is written --- */

struct script_muxed {
    struct script_conn *conn;
    struct list node;
    struct stream *owner;
    struct quota quota;
};

static struct script_muxed *muxed_of(struct muxed *m) {
    return (struct script_muxed *)m;
}

static void muxed_set_owner(struct muxed *m, struct stream *owner) {
    muxed_of(m)->owner = owner;
}

static ssize_t muxed_write(struct muxed *m, const struct slice *v, size_t count) {
    (void)m;
    for (size_t i = 0; i < count; i++) {
        struct slice taken = v[i];
        slice_unref(&taken);
    }
    return (ssize_t)count;
}

static ssize_t muxed_read(struct muxed *m, struct slice *out, size_t max) {
    (void)m;
    (void)out;
    (void)max;
    return 0;
}

static void muxed_credit(struct muxed *m, size_t bytes) {
    (void)m;
    (void)bytes;
}

static void muxed_shutdown(struct muxed *m) {
    (void)m;
}

static void muxed_end(struct muxed *m, uint64_t code) {
    (void)m;
    (void)code;
}

static void muxed_release(struct muxed *m) {
    list_remove(&muxed_of(m)->node);
    mem_free(mem_system(), muxed_of(m));
}

static struct quota *muxed_quota(struct muxed *m) {
    return &muxed_of(m)->quota;
}

static size_t muxed_unsent(const struct muxed *m) {
    (void)m;
    return 0;
}

/* --- Connections --- */

static struct script_conn *conn_of(struct conn *c) {
    return CONTAINER_OF(c, struct script_conn, conn);
}

static int conn_open_stream(struct conn *c, struct muxed **ret_muxed) {
    struct script_conn *sc = conn_of(c);
    if (sc->is_closed)
        return -ERR_CONN_CLOSED;
    if (sc->streams_opened >= sc->streams_max)
        return -EAGAIN;
    struct script_muxed *m = mem_alloc(mem_system(), sizeof(*m));
    cr_assert(m != NULL);
    m->conn = sc;
    m->quota = QUOTA_INIT(1 << 20, NULL);
    list_init(&m->node);
    list_push(&sc->streams, &m->node);
    sc->streams_opened++;
    *ret_muxed = (struct muxed *)m;
    return 0;
}

static void conn_admit(struct conn *c) {
    (void)c;
}

static void conn_close(struct conn *c, uint64_t code) {
    conn_of(c)->close_asked = true;
    conn_of(c)->close_code = code;
}

static nsec_t conn_rtt(const struct conn *c) {
    return CONTAINER_OF(c, const struct script_conn, conn)->rtt;
}

static nsec_t conn_unanswered_since(const struct conn *c) {
    return CONTAINER_OF(c, const struct script_conn, conn)->unanswered_since;
}

static void conn_probe(struct conn *c) {
    conn_of(c)->probes++;
}

static nsec_t conn_heard_at(const struct conn *c) {
    return CONTAINER_OF(c, const struct script_conn, conn)->heard_at;
}

static bool conn_can_move(const struct conn *c) {
    return CONTAINER_OF(c, const struct script_conn, conn)->can_move;
}

static const struct conn_ops conn_ops = {
    .muxed = {.set_owner = muxed_set_owner,
              .write = muxed_write,
              .read = muxed_read,
              .credit = muxed_credit,
              .shutdown_write = muxed_shutdown,
              .stop_reading = muxed_end,
              .reset = muxed_end,
              .release = muxed_release,
              .quota = muxed_quota,
              .unsent = muxed_unsent},
    .open_stream = conn_open_stream,
    .admit = conn_admit,
    .close = conn_close,
    .rtt = conn_rtt,
    .unanswered_since = conn_unanswered_since,
    .probe = conn_probe,
    .heard_at = conn_heard_at,
    .can_move = conn_can_move,
};

static struct script_conn *conn_new(struct script *s, const struct peer_id *peer,
                                    const struct multiaddr *remote, bool inbound) {
    struct script_conn *c = mem_alloc(mem_system(), sizeof(*c));
    cr_assert(c != NULL && s->conns_count < SCRIPT_CONNS_MAX);
    c->conn = (struct conn){.ops = &conn_ops,
                            .peer = *peer,
                            .remote = *remote,
                            .opened_at = reactor_now(s->reactor),
                            .inbound = inbound,
                            .confirmed = true};
    c->script = s;
    list_init(&c->streams);
    c->unanswered_since = NSEC_NEVER;
    c->rtt = MSEC(10);
    c->streams_max = 1000;
    s->conns[s->conns_count++] = c;
    return c;
}

static void conn_over(struct script_conn *c, int error, const char *why) {
    struct problem problem;
    struct list told;
    struct list *node;
    (void)problem_set(&problem, 0, "%s", why);
    cr_assert_not(c->is_closed);
    c->is_closed = true;
    /* An owner may release its stream here. */
    list_init(&told);
    list_splice(&told, &c->streams);
    while ((node = list_shift(&told)) != NULL) {
        list_push(&c->streams, node);
        stream_on_muxed(LIST_ENTRY(node, struct script_muxed, node)->owner, MUXED_CLOSED, 0,
                        error == 0 ? -ERR_CONN_CLOSED : error);
    }
    if (c->conn.events != NULL)
        c->conn.events->closed(&c->conn, error, &problem);
}

void script_conn_over(struct script_conn *c, int error, const char *why) {
    conn_over(c, error, why);
    script_turn(c->script);
}

/* --- The transport --- */

static struct script *script_of(const struct transport *t) {
    return CONTAINER_OF((struct transport *)(uintptr_t)t, struct script, transport);
}

static bool can_dial(const struct transport *t, const struct multiaddr *to) {
    (void)t;
    return multiaddr_has(to, MULTIADDR_UDP) || multiaddr_has(to, MULTIADDR_TCP);
}

static int start_dial(struct transport *t, struct dial *d) {
    struct script *s = script_of(t);
    if (s->refuse < 0)
        return s->refuse;
    cr_assert(s->dials_count < SCRIPT_DIALS_MAX);
    s->dials[s->dials_count++] = d;
    s->dials_begun++;
    return 0;
}

static void take_out(struct script *s, const struct dial *d) {
    size_t i = 0;
    while (i < s->dials_count && s->dials[i] != d)
        i++;
    cr_assert(i < s->dials_count, "no such dial is in flight");
    memmove(&s->dials[i], &s->dials[i + 1], (--s->dials_count - i) * sizeof(struct dial *));
}

static void cancel_dial(struct transport *t, struct dial *d) {
    take_out(script_of(t), d);
    script_of(t)->dials_cancelled++;
}

static int listen_at(struct transport *t, const struct multiaddr *at, struct problem *problem) {
    (void)t;
    (void)at;
    (void)problem;
    return -ERR_UNSUPPORTED;
}

static size_t listen_addrs(const struct transport *t, struct multiaddr *out, size_t max) {
    (void)t;
    cr_assert(max > 0);
    cr_assert_eq(multiaddr_parse("/ip4/192.0.2.1/tcp/4001", out), 0);
    return 1;
}

static void close_all(struct transport *t, uint64_t code, void (*closed)(void *user), void *user) {
    struct script *s = script_of(t);
    (void)code;
    cr_assert_eq(s->dials_count, 0, "a closing host left dials running");
    for (size_t i = 0; i < s->conns_count; i++) {
        if (!s->conns[i]->is_closed)
            conn_over(s->conns[i], 0, "");
    }
    closed(user);
}

static void free_transport(struct transport *t) {
    (void)t;
}

static const struct transport_ops transport_ops = {
    .name = "scripted",
    .can_dial = can_dial,
    .dial = start_dial,
    .cancel = cancel_dial,
    .listen = listen_at,
    .listen_addrs = listen_addrs,
    .close = close_all,
    .free = free_transport,
};

/* --- Names --- */

static int resolver_start(struct resolver *v, struct resolve_request *r, const char *host) {
    struct script *s = CONTAINER_OF(v, struct script, resolver);
    cr_assert(s->questions_count < SCRIPT_QUESTIONS_MAX);
    (void)snprintf(s->hosts[s->questions_count], RESOLVE_HOST_MAX, "%s", host);
    s->questions[s->questions_count++] = r;
    s->questions_asked++;
    r->lookup = s;
    return 0;
}

static void take_question(struct script *s, const struct resolve_request *r) {
    size_t i = 0;
    while (i < s->questions_count && s->questions[i] != r)
        i++;
    cr_assert(i < s->questions_count, "no such question is in flight");
    s->questions_count--;
    memmove(&s->questions[i], &s->questions[i + 1],
            (s->questions_count - i) * sizeof(s->questions[0]));
    memmove(&s->hosts[i], &s->hosts[i + 1], (s->questions_count - i) * sizeof(s->hosts[0]));
}

static void resolver_cancel(struct resolver *v, struct resolve_request *r) {
    take_question(CONTAINER_OF(v, struct script, resolver), r);
    r->lookup = NULL;
}

void script_resolve(struct script *s, const char *host, enum resolve_kind kind,
                    const char *answer) {
    static char words[2048];
    static const char *texts[RESOLVE_TEXTS_MAX];
    struct resolve_request *r = NULL;
    for (size_t i = 0; i < s->questions_count; i++) {
        if (strcmp(s->hosts[i], host) == 0 && s->questions[i]->kind == kind)
            r = s->questions[i];
    }
    cr_assert(r != NULL, "nobody asks for %s", host);
    take_question(s, r);
    r->lookup = NULL;
    (void)snprintf(words, sizeof(words), "%s", answer == NULL ? "" : answer);
    r->texts = texts;
    char *rest = NULL;
    for (char *w = strtok_r(words, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
        if (kind == RESOLVE_TEXTS)
            texts[r->texts_count++] = w;
        else
            cr_assert_eq(net_addr_parse_ip(w, &r->addrs[r->count++]), 0, "%s", w);
    }
    r->done(r, answer == NULL ? -ERR_NAME_NOT_FOUND : 0);
    script_turn(s);
}

/* --- The host --- */

static bool gate_denies(struct gate *g, const struct peer_id *peer, walltime_t now) {
    const struct script *s = CONTAINER_OF(g, struct script, gate);
    (void)now;
    return s->allowed == NULL || !peer_id_equal(s->allowed, peer);
}

struct peer_id script_peer(unsigned number) {
    struct identity identity;
    uint8_t seed[ED25519_SEED_BYTES] = {(uint8_t)number, (uint8_t)(number >> 8), 1};
    cr_assert_eq(identity_from_seed(seed, &identity), 0);
    return identity.id;
}

void script_init(struct script *s, const struct host_config *cfg) {
    struct host_config c = *cfg;
    uint8_t seed[ED25519_SEED_BYTES] = {7};
    bool is_gated = s->is_gated;
    const struct peer_id *allowed = s->allowed;
    *s = (struct script){.is_gated = is_gated, .allowed = allowed};
    s->fake = fake_new(&s->reactor);
    cr_assert_eq(identity_from_seed(seed, &s->identity), 0);
    s->gate.denies = gate_denies;
    s->transport.ops = &transport_ops;
    s->peer = script_peer(1);
    c.reactor = s->reactor;
    c.identity = &s->identity;
    c.agent = "scripted/1";
    s->resolver = (struct resolver){.start = resolver_start, .cancel = resolver_cancel};
    c.resolver = &s->resolver;
    c.netwatch = &s->netwatch;
    c.gate = is_gated ? &s->gate : NULL;
    reactor_make_current(s->reactor);
    struct problem problem;
    cr_assert_eq(host_new(&c, &problem, &s->host), 0);
    host_add_transport(s->host, &s->transport);
}

static void on_host_closed(void *user) {
    ((struct script *)user)->host_closed = true;
}

void script_done(struct script *s) {
    host_close(s->host, on_host_closed, s);
    script_turn(s);
    cr_assert(s->host_closed);
    s->host = host_free(s->host);
    for (size_t i = 0; i < s->conns_count; i++)
        mem_free(mem_system(), s->conns[i]);
    fake_free(s->reactor);
}

void script_turn(struct script *s) {
    for (int i = 0; i < 4; i++)
        fake_turn(s->reactor);
}

void script_wait(struct script *s, nsec_t time) {
    nsec_t until = s->fake->now + time;
    while (s->fake->now < until) {
        nsec_t next = reactor_next_deadline(s->reactor);
        s->fake->now = MIN(MAX(next, s->fake->now), until);
        script_turn(s);
    }
}

static void on_network_changed(void *user, const struct netwatch_change *change) {
    host_network_changed(((struct script *)user)->host, change);
}

void script_network(struct script *s, size_t count, const char *const *ips) {
    struct netwatch_snapshot now = {.knows_routes = true};
    for (size_t i = 0; i < count; i++) {
        struct netwatch_addr a = {.link_index = 2};
        cr_assert_eq(net_addr_parse_ip(ips[i], &a.ip), 0);
        netwatch_add_addr(&now, &a);
    }
    netwatch_set_watcher(&s->netwatch, on_network_changed, s);
    netwatch_publish(&s->netwatch, &now, false);
    script_turn(s);
}

void script_knows(struct script *s, const struct peer_id *peer, size_t count,
                  const char *const *texts) {
    struct multiaddr addrs[HOST_ADDRS_PER_PEER_MAX];
    cr_assert(count <= ARRAY_COUNT(addrs));
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(multiaddr_parse(texts[i], &addrs[i]), 0, "%s", texts[i]);
    cr_assert_eq(host_add_addrs(s->host, peer, addrs, count), 0);
    script_turn(s);
}

struct dial *script_dial(struct script *s, const char *addr) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(addr, &a), 0);
    for (size_t i = 0; i < s->dials_count; i++) {
        if (multiaddr_equal(&s->dials[i]->to, &a))
            return s->dials[i];
    }
    return NULL;
}

static struct dial *end_dial(struct script *s, const char *addr) {
    struct dial *d = script_dial(s, addr);
    cr_assert(d != NULL, "%s is not being dialled", addr);
    take_out(s, d);
    return d;
}

struct script_conn *script_dial_ok(struct script *s, const char *addr) {
    struct dial *d = end_dial(s, addr);
    struct script_conn *c = conn_new(s, &d->expected, &d->to, false);
    d->done(d, &c->conn, 0, NULL);
    script_turn(s);
    return c;
}

void script_dial_fails(struct script *s, const char *addr, int error) {
    struct dial *d = end_dial(s, addr);
    struct problem why;
    (void)problem_set(&why, 0, "%s", err_text(error));
    d->done(d, NULL, error, &why);
    script_turn(s);
}

struct script_conn *script_accept(struct script *s, const struct peer_id *peer, const char *addr) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(addr, &a), 0);
    struct script_conn *c = conn_new(s, peer, &a, true);
    s->transport.events->accepted(&s->transport, &c->conn);
    script_turn(s);
    return c;
}

/* --- Requests --- */

static void on_connected(struct connect_request *r, const struct multiaddr *remote, int error) {
    struct script_connect *c = CONTAINER_OF(r, struct script_connect, request);
    c->done++;
    c->error = error;
    if (error == 0)
        c->remote = *remote;
}

void script_connect_with(struct script *s, struct script_connect *c, const struct peer_id *peer,
                         unsigned flags) {
    *c = (struct script_connect){.done = 0};
    host_connect_with(s->host, &c->request, peer, flags, s->fake->now + SEC(600), on_connected);
}

void script_connect(struct script *s, struct script_connect *c, const struct peer_id *peer) {
    script_connect_with(s, c, peer, 0);
}

static void on_opened(struct stream_request *r, struct stream *stream, int error) {
    struct script_stream *x = CONTAINER_OF(r, struct script_stream, request);
    x->done++;
    x->error = error;
    x->stream = stream;
}

void script_open(struct script *s, struct script_stream *x, const struct peer_id *peer) {
    script_open_with(s, x, peer, 0);
}

void script_open_with(struct script *s, struct script_stream *x, const struct peer_id *peer,
                      unsigned flags) {
    *x = (struct script_stream){.done = 0};
    host_open_stream_with(s->host, &x->request, peer, "/scripted/1", flags, s->fake->now + SEC(600),
                          on_opened);
}

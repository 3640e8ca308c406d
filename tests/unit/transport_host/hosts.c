/* SPDX-License-Identifier: MIT */
#include "hosts.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/net_addr.h"
#include "transport/proto/yamux.h"
#include "transport/upgrade.h"

/* --- The fixture --- */

static void *counting_resize(struct mem *m, void *p, size_t size) {
    struct counting_mem *c = CONTAINER_OF(m, struct counting_mem, mem);
    c->calls += size > 0;
    if (size > 0 && c->fail_at > 0 &&
        (c->calls == c->fail_at || (c->fail_for_good && c->calls > c->fail_at)))
        return NULL;
    if (p == NULL && size > 0)
        c->live++;
    if (p != NULL && size == 0)
        c->live--;
    return mem_system()->resize(mem_system(), p, size);
}

static int open_fds_count(void) {
    DIR *dir = opendir("/proc/self/fd");
    cr_assert(dir != NULL);
    int count = 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static walltime_t wall_of_reactor(void *context) {
    return reactor_walltime(context);
}

#define TCP_TRAITS(address_kind, suffix, bits)                                              \
    {                                                                                       \
        .any_ip4 = "/ip4/127.0.0.1/tcp/0" suffix, .any_ip6 = "/ip6/::1/tcp/0" suffix,       \
        .all_ip4 = "/ip4/0.0.0.0/tcp/0" suffix, .dead = "/ip4/127.0.0.1/tcp/9" suffix,      \
        .kind = (address_kind), .securities = (bits), .window_first = YAMUX_WINDOW_FIRST,   \
        .window_max = YAMUX_WINDOW_MAX, .unsent_max = YAMUX_STREAM_UNSENT_MAX,              \
        .streams_max = YAMUX_STREAMS_OPEN_MAX, .streams_max_first = YAMUX_STREAMS_OPEN_MAX, \
    }

const struct stack_traits stacks[STACK_COUNT] = {
    [STACK_QUIC] =
        {
            .any_ip4 = "/ip4/127.0.0.1/udp/0/quic-v1",
            .any_ip6 = "/ip6/::1/udp/0/quic-v1",
            .all_ip4 = "/ip4/0.0.0.0/udp/0/quic-v1",
            .dead = "/ip4/127.0.0.1/udp/9/quic-v1",
            .kind = MULTIADDR_KIND_QUIC,
            .window_first = QUIC_STREAM_WINDOW_FIRST,
            .window_max = QUIC_STREAM_WINDOW_MAX,
            .unsent_max = QUIC_STREAM_UNSENT_MAX,
            .streams_max = 4096,
            .streams_max_first = 256,
            .tells_stop = true,
        },
    [STACK_TLS] = TCP_TRAITS(MULTIADDR_KIND_TCP, "", UPGRADE_TLS),
    [STACK_NOISE] = TCP_TRAITS(MULTIADDR_KIND_TCP, "", UPGRADE_NOISE),
    [STACK_WS] = TCP_TRAITS(MULTIADDR_KIND_WS, "/ws", UPGRADE_NOISE),
};

void fixture_init(struct fixture *t, enum stack stack, enum reactor_io io) {
    *t = (struct fixture){.stack = stack,
                          .traits = &stacks[stack],
                          .mem.mem.resize = counting_resize,
                          .fds_before = open_fds_count(),
                          .listen = stacks[stack].any_ip4};
    struct reactor_config cfg = {.mem = &t->mem.mem, .io = io};
    int error = reactor_new(&cfg, &t->reactor);
    if (io == REACTOR_IO_URING && (error == -ENOSYS || error == -EPERM))
        cr_skip("io_uring is refused on this system");
    cr_assert_eq(error, 0);
    t->env = (struct wolf_env){
        .rng = reactor_rng(t->reactor), .wall = wall_of_reactor, .context = t->reactor};
    t->env_before = wolf_env_set(&t->env);
}

void fixture_done(struct fixture *t) {
    party_end_start(&t->a);
    party_end_start(&t->b);
    party_end(&t->a);
    party_end(&t->b);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    struct buf_pool_stats stats;
    buf_pool_stats(reactor_pool(t->reactor), &stats);
    reactor_free(t->reactor);
    (void)wolf_env_set(t->env_before);
    cr_expect_eq(t->mem.live, 0, "%ld allocations are left", (long)t->mem.live);
    cr_expect_eq(open_fds_count(), t->fds_before);
}

void turn_for(struct fixture *t, nsec_t time) {
    nsec_t until = reactor_now(t->reactor) + time;
    while (reactor_now(t->reactor) < until)
        cr_assert_eq(reactor_turn(t->reactor, until), 0);
}

/* --- Parties --- */

static bool list_denies(struct gate *g, const struct peer_id *peer, walltime_t now) {
    const struct list_gate *l = CONTAINER_OF(g, struct list_gate, gate);
    (void)now;
    for (size_t i = 0; i < l->allowed_count; i++) {
        if (peer_id_equal(&l->allowed[i], peer))
            return false;
    }
    return true;
}

static void list_decided(struct gate *g, const struct peer_id *peer, bool inbound, bool allowed) {
    struct list_gate *l = CONTAINER_OF(g, struct list_gate, gate);
    (void)peer;
    if (inbound && allowed)
        l->inbound_allowed++;
    if (inbound && !allowed)
        l->inbound_denied++;
    if (!allowed)
        l->denied++;
}

void party_open(struct party *p, struct fixture *t, uint8_t seed, const struct party_options *o) {
    uint8_t seed_bytes[ED25519_SEED_BYTES];
    memset(seed_bytes, seed, sizeof(seed_bytes));
    *p = (struct party){.t = t, .gate.gate = {.denies = list_denies, .decided = list_decided}};
    cr_assert_eq(identity_from_seed(seed_bytes, &p->identity), 0);
    const char *listen = o->listen == NULL ? t->listen : o->listen;
    struct multiaddr at[2];
    struct host_config cfg = {.reactor = t->reactor,
                              .listen = at,
                              .identity = &p->identity,
                              .agent = o->agent == NULL ? "test/1" : o->agent,
                              .gate = o->gated ? &p->gate.gate : NULL,
                              .serve_perf = o->serve_perf,
                              .securities = t->traits->securities};
    if (listen[0] != '\0') {
        cr_assert_eq(multiaddr_parse(listen, &at[0]), 0);
        cfg.listen_count = 1;
    }
    if (o->also_listen != NULL) {
        cr_assert_eq(multiaddr_parse(o->also_listen, &at[1]), 0);
        cfg.listen_count = 2;
    }
    struct problem problem = PROBLEM_INIT;
    int error = host_new(&cfg, &problem, &p->host);
    if (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT) {
        fixture_done(t);
        cr_skip("no such address family here");
    }
    cr_assert_eq(error, 0, "%s", problem.text);
    if (cfg.listen_count > 0)
        cr_assert_eq(host_listen_addrs(p->host, &p->addr, 1), 1);
}

void silent_open(struct silent *s, const struct fixture *t) {
    bool quic = t->traits->kind == MULTIADDR_KIND_QUIC;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    s->fd = socket(AF_INET, (quic ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    cr_assert(s->fd >= 0);
    cr_assert_eq(bind(s->fd, (struct sockaddr *)&at, len), 0);
    if (!quic)
        cr_assert_eq(listen(s->fd, 16), 0);
    cr_assert_eq(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
    struct net_addr addr = {.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = ntohs(at.sin_port)};
    multiaddr_from_net_addr(&addr, t->traits->kind, &s->addr);
}

void silent_end(struct silent *s) {
    close(s->fd);
}

static void on_party_closed(void *user) {
    struct party *p = user;
    cr_assert_not(p->closed);
    p->closed = true;
}

void party_end_start(struct party *p) {
    if (p->host != NULL && !p->host->closing) {
        host_close(p->host, on_party_closed, p);
        cr_assert_not(p->closed, "a callback from inside the call");
    }
}

void party_end(struct party *p) {
    if (p->host == NULL)
        return;
    party_end_start(p);
    TURN_UNTIL(p->t, p->closed);
    p->host = host_free(p->host);
}

void party_allow(struct party *p, const struct party *whom) {
    cr_assert(p->gate.allowed_count < PEERS_LISTED_MAX);
    p->gate.allowed[p->gate.allowed_count++] = whom->identity.id;
}

void party_knows(struct party *p, const struct party *whom) {
    cr_assert_eq(host_add_addrs(p->host, &whom->identity.id, &whom->addr, 1), 0);
}

void open_pair(struct fixture *t) {
    party_open(&t->a, t, 1, &(struct party_options){.listen = "", .agent = "alice/1"});
    party_open(&t->b, t, 2, &(struct party_options){.serve_perf = true, .agent = "bob/2"});
    party_knows(&t->a, &t->b);
}

size_t conns_count(const struct party *p) {
    size_t count = 0;
    list_for_each (node, &p->host->conns) {
        count++;
    }
    return count;
}

struct host_conn *only_conn(const struct party *p) {
    cr_assert_eq(conns_count(p), 1);
    return LIST_ENTRY(p->host->conns.next, struct host_conn, host_node);
}

static void on_connected(struct connect_request *r, const struct multiaddr *remote, int error) {
    struct connecting *c = CONTAINER_OF(r, struct connecting, request);
    c->done++;
    c->error = error;
    if (error < 0)
        memcpy(c->problem, r->base.problem.text, sizeof(c->problem));
    cr_assert_eq(remote == NULL, error < 0);
}

void connect_start(struct connecting *c, struct party *from, const struct peer_id *to,
                   nsec_t timeout) {
    *c = (struct connecting){.done = 0};
    host_connect(from->host, &c->request, to, reactor_now(from->t->reactor) + timeout,
                 on_connected);
    cr_assert_eq(c->done, 0, "a callback from inside the call");
}

void connect_pair(struct party *from, struct party *to) {
    struct connecting c;
    connect_start(&c, from, &to->identity.id, SEC(5));
    TURN_UNTIL(from->t, c.done == 1);
    cr_assert_eq(c.error, 0, "%s", c.problem);
    TURN_UNTIL(from->t, conns_count(to) > 0);
}

/* --- Streams --- */

/* What streams carry: a table without a short period, repeated, so that it is copied and compared
 * in large pieces. */
enum { PATTERN_PERIOD = 65521 };

struct pattern {
    uint8_t bytes[PATTERN_PERIOD];
    bool made;
};

static const uint8_t *pattern_from(uint64_t at) {
    static struct pattern pattern;
    if (!pattern.made) {
        uint32_t state = 1;
        for (size_t i = 0; i < PATTERN_PERIOD; i++) {
            state = state * 1664525u + 1013904223u;
            pattern.bytes[i] = (uint8_t)(state >> 24);
        }
        pattern.made = true;
    }
    return pattern.bytes + at % PATTERN_PERIOD;
}

static size_t pattern_run(uint64_t at, size_t len) {
    return MIN(len, (size_t)(PATTERN_PERIOD - at % PATTERN_PERIOD));
}

static void pattern_fill(uint8_t *out, uint64_t at, size_t len) {
    while (len > 0) {
        size_t n = pattern_run(at, len);
        memcpy(out, pattern_from(at), n);
        out += n;
        at += n;
        len -= n;
    }
}

static bool pattern_matches(const uint8_t *in, uint64_t at, size_t len) {
    while (len > 0) {
        size_t n = pattern_run(at, len);
        if (memcmp(in, pattern_from(at), n) != 0)
            return false;
        in += n;
        at += n;
        len -= n;
    }
    return true;
}

void tap_end(struct tap *x) {
    stream_request_cancel(&x->request);
    x->stream = stream_release(x->stream);
}

void tap_read(struct tap *x) {
    struct slice in[4];
    ssize_t n = 0;
    while (x->stream != NULL && (n = stream_read(x->stream, in, ARRAY_COUNT(in))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            cr_assert(in[i].len > 0);
            x->wrong = x->wrong || !pattern_matches(in[i].data, x->got, in[i].len);
            x->got += in[i].len;
            stream_consume(x->stream, &in[i]);
        }
    }
    if (n == -ENODATA)
        x->eof = true;
    else if (n < 0)
        x->read_error = (int)n;
}

static bool is_dropped(struct tap *x) {
    cr_assert_eq(x->closed, 0, "an event after closed()");
    if (x->drop)
        tap_end(x);
    return x->drop;
}

static void on_readable(struct stream *s) {
    struct tap *x = stream_user(s);
    x->readable++;
    if (!is_dropped(x) && !x->paused)
        tap_read(x);
}

/* The quota is used up before a slab is to be had: what is offered then is nothing. */
static void ask_for_writable(struct tap *x) {
    struct slice none = SLICE_EMPTY;
    cr_assert_eq(stream_write(x->stream, &none, 1), 0);
}

static void push_pattern(struct tap *x) {
    struct fixture *t = x->t;
    while (x->written < x->to_write) {
        uint32_t len = (uint32_t)MIN(x->to_write - x->written, (uint64_t)65536);
        struct buf *b =
            buf_new(reactor_pool(t->reactor), buf_class_for(len), stream_quota(x->stream));
        if (b == NULL) {
            ask_for_writable(x);
            return;
        }
        pattern_fill(b->data, x->written, len);
        struct slice v = slice_of(b, 0, len);
        ssize_t n = stream_write(x->stream, &v, 1);
        if (n != 1)
            slice_unref(&v);
        if (n == 0)
            return; /* writable() follows */
        if (n < 0) {
            x->to_write = x->written;
            return;
        }
        x->written += len;
    }
    if (x->fin)
        stream_shutdown_write(x->stream);
}

static void on_writable(struct stream *s) {
    struct tap *x = stream_user(s);
    x->writable++;
    if (!is_dropped(x))
        push_pattern(x);
}

static void on_stopped(struct stream *s, uint64_t code) {
    struct tap *x = stream_user(s);
    x->stopped++;
    x->stop_code = code;
    cr_assert_eq(x->stopped, 1);
    (void)is_dropped(x);
}

static void on_reset(struct stream *s, uint64_t code) {
    struct tap *x = stream_user(s);
    x->reset++;
    x->reset_code = code;
    cr_assert_eq(x->reset, 1);
    (void)is_dropped(x);
}

static void on_closed(struct stream *s, int error) {
    struct tap *x = stream_user(s);
    bool dropped = is_dropped(x);
    x->closed++;
    x->closed_error = error;
    if (!dropped)
        x->stream = stream_release(s);
}

static const struct stream_events tap_events = {
    .readable = on_readable,
    .writable = on_writable,
    .stopped = on_stopped,
    .reset = on_reset,
    .closed = on_closed,
};

void tap_attach(struct tap *x, struct fixture *t, struct stream *s) {
    x->t = t;
    x->stream = s;
    stream_set_events(s, &tap_events, x);
}

void tap_write(struct tap *x, uint64_t bytes, bool fin) {
    x->to_write += bytes;
    x->fin = fin;
    push_pattern(x);
}

static void on_opened(struct stream_request *r, struct stream *s, int error) {
    struct tap *x = CONTAINER_OF(r, struct tap, request);
    x->opened++;
    x->open_error = error;
    cr_assert_eq(s == NULL, error < 0);
    if (s != NULL)
        tap_attach(x, x->t, s);
}

void tap_open(struct tap *x, struct party *from, const struct peer_id *to, const char *protocol) {
    x->t = from->t;
    host_open_stream(from->host, &x->request, to, protocol, reactor_now(from->t->reactor) + SEC(5),
                     on_opened);
    cr_assert_eq(x->opened, 0, "a callback from inside the call");
}

static void on_accepted(struct protocol_handler *ph, struct stream *s) {
    struct handler *h = CONTAINER_OF(ph, struct handler, handler);
    size_t index = h->accepted++;
    cr_assert_str_eq(stream_protocol(s), ph->protocol);
    if (index < h->taps_count) {
        tap_attach(&h->taps[index], h->t, s);
        return;
    }
    stream_reset(s, STREAM_CODE_RESOURCE_LIMIT);
    (void)stream_release(s);
}

void handler_open(struct handler *h, struct party *p, const char *protocol,
                  enum protocol_class class, struct tap *taps, size_t taps_count) {
    *h = (struct handler){.t = p->t, .taps = taps, .taps_count = taps_count};
    h->handler = (struct protocol_handler){
        .protocol = protocol, .protocol_class = class, .accept = on_accepted};
    cr_assert_eq(host_handle(p->host, &h->handler), 0);
}

void stream_pair_open(struct stream_pair *p, struct fixture *t) {
    *p = (struct stream_pair){.a.closed = 0};
    if (t->a.host == NULL)
        open_pair(t);
    handler_open(&p->handler, &t->b, TEST_PROTOCOL, CLASS_ANY, &p->b, 1);
    tap_open(&p->a, &t->a, &t->b.identity.id, TEST_PROTOCOL);
    TURN_UNTIL(t, p->a.opened == 1 && p->b.stream != NULL);
    cr_assert_eq(p->a.open_error, 0);
    /* The answer to the proposal, too. */
    turn_for(t, MSEC(5));
}

void stream_pair_end(struct stream_pair *p) {
    tap_end(&p->a);
    tap_end(&p->b);
}

/* SPDX-License-Identifier: MIT */
#include "hosts.h"
#include "transport/ping_service.h"
#include "transport/proto/perf.h"
#include "uring/netif.h"

/* Goal: identify, push, ping and perf as peers see them. */

/* --- Bytes of a stream, the first of them kept --- */

struct keeper {
    struct fixture *t;
    struct stream *stream;
    struct stream_request request;
    uint8_t bytes[IDENTIFY_OUT_MAX];
    size_t len;
    bool eof;
    uint64_t reset_code;
    bool reset;
    bool closed;
};

static void keeper_readable(struct stream *s) {
    struct keeper *k = stream_user(s);
    struct slice in;
    ssize_t n;
    while ((n = stream_read(s, &in, 1)) == 1) {
        size_t room = MIN(sizeof(k->bytes) - k->len, (size_t)in.len);
        memcpy(k->bytes + k->len, in.data, room);
        k->len += room;
        stream_consume(s, &in);
    }
    k->eof = k->eof || n == -ENODATA;
}

static void keeper_reset(struct stream *s, uint64_t code) {
    struct keeper *k = stream_user(s);
    k->reset = true;
    k->reset_code = code;
}

static void keeper_closed(struct stream *s, int error) {
    struct keeper *k = stream_user(s);
    (void)error;
    k->closed = true;
    k->stream = stream_release(s);
}

static const struct stream_events keeper_events = {
    .readable = keeper_readable, .reset = keeper_reset, .closed = keeper_closed};

static void keeper_opened(struct stream_request *r, struct stream *s, int error) {
    struct keeper *k = CONTAINER_OF(r, struct keeper, request);
    cr_assert_eq(error, 0);
    k->stream = s;
    stream_set_events(s, &keeper_events, k);
}

static void keeper_open(struct keeper *k, struct party *from, const struct peer_id *to,
                        const char *protocol) {
    k->t = from->t;
    host_open_stream(from->host, &k->request, to, protocol, reactor_now(from->t->reactor) + SEC(5),
                     keeper_opened);
    TURN_UNTIL(from->t, k->stream != NULL);
}

static struct identify_message decode(struct fixture *t, struct identify_reader *reader,
                                      struct bytes in) {
    nsec_t now = reactor_now(t->reactor);
    struct identify_event ev;
    identify_reader_init(reader, reactor_mem(t->reactor), now);
    identify_reader_recv(reader, in, now);
    identify_reader_recv_end(reader, now);
    cr_assert(identify_reader_next_event(reader, &ev));
    cr_assert_eq(ev.type, IDENTIFY_EV_MESSAGE);
    return ev.message;
}

/* --- Identify --- */

static size_t count_addrs(const struct fixture *t, const struct identify_message *m,
                          const struct peer_id *peer, bool *ret_loopback) {
    struct identify_walk w = identify_addrs(m, peer);
    struct multiaddr a;
    struct net_addr addr;
    size_t count = 0;
    *ret_loopback = false;
    while (identify_next_addr(&w, &a)) {
        cr_assert_eq(multiaddr_kind(&a), t->traits->kind);
        cr_assert_eq(multiaddr_to_net_addr(&a, &addr), 0);
        cr_assert_not(net_addr_is_unspecified(&addr));
        cr_assert(addr.port != 0);
        *ret_loopback = *ret_loopback || net_addr_is_loopback(&addr);
        count++;
    }
    return count;
}

CASE(identify, tells_protocols_agent_and_addresses_of_all_interfaces) {
    t->listen = t->traits->all_ip4;
    party_open(&t->b, t, 2, &(struct party_options){.agent = "bob/2"});
    party_open(&t->a, t, 1, &(struct party_options){.listen = "", .agent = "a"});
    struct net_addr listening;
    cr_assert_eq(multiaddr_to_net_addr(&t->b.addr, &listening), 0);
    cr_assert_eq(net_addr_parse_ip("127.0.0.1", &(struct net_addr){.port = 0}), 0);
    struct net_addr local = {.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = listening.port};
    multiaddr_from_net_addr(&local, t->traits->kind, &t->b.addr);
    party_knows(&t->a, &t->b);

    static struct keeper k;
    keeper_open(&k, &t->a, &t->b.identity.id, "/ipfs/id/1.0.0");
    TURN_UNTIL(t, k.eof);
    struct identify_reader reader;
    struct identify_message m = decode(t, &reader, bytes_of(k.bytes, k.len));
    cr_assert_str_eq(m.agent, "bob/2");
    cr_assert(identify_has_protocol(&m, "/ipfs/id/1.0.0"));
    cr_assert(identify_has_protocol(&m, "/ipfs/id/push/1.0.0"));
    cr_assert(identify_has_protocol(&m, "/ipfs/ping/1.0.0"));
    cr_assert_not(identify_has_protocol(&m, "/perf/1.0.0"));
    cr_assert(m.observed.len > 0);

    struct net_addr interfaces[64];
    ssize_t n = netif_addrs(interfaces, ARRAY_COUNT(interfaces));
    size_t ip4_count = 0;
    for (ssize_t i = 0; i < n; i++)
        ip4_count += interfaces[i].family == NET_IP4;
    bool loopback;
    cr_assert_eq(count_addrs(t, &m, &t->b.identity.id, &loopback), ip4_count);
    cr_assert(loopback, "this peer came over loopback");
    identify_reader_done(&reader);
    stream_release(k.stream);
}

CASE(identify, the_record_grows_with_each_answer) {
    open_pair(t);
    connect_pair(&t->a, &t->b);
    uint64_t before = t->b.host->record_seq;
    static struct keeper k;
    keeper_open(&k, &t->a, &t->b.identity.id, "/ipfs/id/1.0.0");
    TURN_UNTIL(t, k.eof);
    cr_assert(t->b.host->record_seq > before);
    cr_assert(t->b.host->record_seq >= (uint64_t)reactor_walltime(t->reactor) * 1000000000u);
    stream_release(k.stream);
}

/* --- Push --- */

/* a takes pushes with a handler of ours in the place of its own. */
static void open_pair_with_pushes_seen(struct fixture *t, struct handler *h, struct tap *taps,
                                       size_t taps_count) {
    open_pair(t);
    host_unhandle(t->a.host, &t->a.host->push_handler);
    handler_open(h, &t->a, "/ipfs/id/push/1.0.0", CLASS_ANY, taps, taps_count);
    connect_pair(&t->a, &t->b);
    TURN_UNTIL(t, only_conn(&t->b)->wants_push);
    turn_for(t, MSEC(10));
}

CASE(push, tells_of_new_protocols_once_for_all_changes_of_a_while) {
    static struct tap taps[4];
    static struct handler pushes;
    open_pair_with_pushes_seen(t, &pushes, taps, ARRAY_COUNT(taps));
    cr_assert_eq(pushes.accepted, 0, "nothing has changed yet");

    static struct handler added[3];
    handler_open(&added[0], &t->b, "/new/1", CLASS_ANY, NULL, 0);
    handler_open(&added[1], &t->b, "/new/2", CLASS_ANY, NULL, 0);
    TURN_UNTIL(t, pushes.accepted == 1 && taps[0].eof);
    turn_for(t, MSEC(20));
    cr_assert_eq(pushes.accepted, 1);

    nsec_t pushed_at = t->b.host->pushed_at;
    handler_open(&added[2], &t->b, "/new/3", CLASS_ANY, NULL, 0);
    host_unhandle(t->b.host, &added[1].handler);
    turn_for(t, MSEC(50));
    cr_assert_eq(pushes.accepted, 1);
    cr_assert_eq(t->b.host->push_timer.node.at, pushed_at + HOST_PUSH_INTERVAL);
    for (size_t i = 0; i < ARRAY_COUNT(taps); i++)
        tap_end(&taps[i]);
}

CASE(push, has_the_whole_state) {
    open_pair(t);
    static struct keeper k;
    static struct handler added;
    connect_pair(&t->a, &t->b);
    handler_open(&added, &t->b, "/new/1", CLASS_ANY, NULL, 0);
    keeper_open(&k, &t->a, &t->b.identity.id, "/ipfs/id/1.0.0");
    TURN_UNTIL(t, k.eof);
    struct identify_reader reader;
    struct identify_message m = decode(t, &reader, bytes_of(k.bytes, k.len));
    cr_assert(identify_has_protocol(&m, "/new/1"));
    identify_reader_done(&reader);
    stream_release(k.stream);
}

/* A peer that asked after the change knows it already. */
CASE(push, spares_peers_that_asked_since) {
    static struct tap taps[1];
    static struct handler pushes;
    open_pair_with_pushes_seen(t, &pushes, taps, 1);
    static struct handler added[2];
    handler_open(&added[0], &t->b, "/new/1", CLASS_ANY, NULL, 0);
    TURN_UNTIL(t, taps[0].eof);
    handler_open(&added[1], &t->b, "/new/2", CLASS_ANY, NULL, 0);
    cr_assert(only_conn(&t->b)->push_due);
    static struct keeper k;
    keeper_open(&k, &t->a, &t->b.identity.id, "/ipfs/id/1.0.0");
    TURN_UNTIL(t, k.eof);
    cr_assert_not(only_conn(&t->b)->push_due);
    stream_release(k.stream);
    tap_end(&taps[0]);
}

static size_t make_message(struct fixture *t, const char *agent, uint8_t *out) {
    static const char *const protocols[] = {"/only/this"};
    struct identify_info info = {.identity = &t->a.identity,
                                 .protocols = protocols,
                                 .protocols_count = 1,
                                 .protocol_version = "",
                                 .agent = agent,
                                 .record_seq = 1};
    ssize_t n = identify_encode(&info, out);
    cr_assert(n > 0);
    return (size_t)n;
}

CASE(push, replaces_all_that_was_known) {
    open_pair(t);
    connect_pair(&t->a, &t->b);
    TURN_UNTIL(t, only_conn(&t->b)->wants_push);
    static struct keeper k;
    keeper_open(&k, &t->a, &t->b.identity.id, "/ipfs/id/push/1.0.0");
    uint8_t out[IDENTIFY_OUT_MAX];
    size_t len = make_message(t, "renamed/3", out);
    /* In two pieces. */
    cr_assert_eq(stream_write_bytes(k.stream, bytes_of(out, 10)), 0);
    turn_for(t, MSEC(5));
    cr_assert_str_eq(only_conn(&t->b)->agent, "alice/1");
    cr_assert_eq(stream_write_bytes(k.stream, bytes_of(out + 10, len - 10)), 0);
    stream_shutdown_write(k.stream);
    TURN_UNTIL(t, strcmp(only_conn(&t->b)->agent, "renamed/3") == 0);
    cr_assert_not(only_conn(&t->b)->wants_push, "it is not in the new list");
    TURN_UNTIL(t, k.closed);
    cr_assert_not(k.reset);
    cr_assert_eq(only_conn(&t->b)->peer->pushes_count, 0);
}

CASE(push, that_is_malformed_costs_its_stream_only) {
    open_pair(t);
    connect_pair(&t->a, &t->b);
    TURN_UNTIL(t, only_conn(&t->b)->agent[0] != '\0');
    static const struct {
        const char *name;
        struct bytes bytes;
    } bad[] = {
        {"cut", {(const uint8_t *)"\x10\x32\x01", 3}},
        {"no protobuf", {(const uint8_t *)"\x03\xff\xff\xff", 4}},
        {"too long", {(const uint8_t *)"\x81\x80\x01", 3}},
        {"nothing", {(const uint8_t *)"", 0}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct keeper k = {.t = t};
        keeper_open(&k, &t->a, &t->b.identity.id, "/ipfs/id/push/1.0.0");
        if (bad[i].bytes.len > 0)
            cr_assert_eq(stream_write_bytes(k.stream, bad[i].bytes), 0);
        stream_shutdown_write(k.stream);
        TURN_UNTIL(t, k.reset);
        cr_assert_eq(k.reset_code, STREAM_CODE_PROTOCOL_VIOLATION, "%s", bad[i].name);
        if (k.stream != NULL)
            stream_release(k.stream);
        cr_assert_eq(conns_count(&t->b), 1, "%s", bad[i].name);
        cr_assert_str_eq(only_conn(&t->b)->agent, "alice/1", "%s", bad[i].name);
    }
    TURN_UNTIL(t, only_conn(&t->b)->peer->pushes_count == 0);
}

CASE(push, more_than_four_at_a_time_are_refused) {
    open_pair(t);
    static struct keeper k[5];
    for (size_t i = 0; i < 5; i++) {
        keeper_open(&k[i], &t->a, &t->b.identity.id, "/ipfs/id/push/1.0.0");
        turn_for(t, MSEC(5));
    }
    TURN_UNTIL(t, k[4].reset);
    cr_assert_eq(k[4].reset_code, STREAM_CODE_RESOURCE_LIMIT);
    cr_assert_eq(only_conn(&t->b)->peer->pushes_count, 4);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_not(k[i].reset);
        stream_release(k[i].stream);
    }
    if (k[4].stream != NULL)
        stream_release(k[4].stream);
    TURN_UNTIL(t, only_conn(&t->b)->peer->pushes_count == 0);
}

/* --- Ping --- */

struct pinging {
    struct host_ping ping;
    int done;
    nsec_t rtt;
    int error;
};

static void on_pong(struct host_ping *p, nsec_t rtt, int error) {
    struct pinging *x = CONTAINER_OF(p, struct pinging, ping);
    x->done++;
    x->rtt = rtt;
    x->error = error;
}

static void ping_start(struct pinging *x, struct fixture *t) {
    *x = (struct pinging){.done = 0};
    cr_assert_eq(host_ping_start(t->a.host, &x->ping, &t->b.identity.id,
                                 reactor_now(t->reactor) + SEC(5), on_pong),
                 0);
    cr_assert_eq(x->done, 0, "a callback from inside the call");
}

CASE(ping, dials_and_measures) {
    open_pair(t);
    static struct pinging x;
    for (int i = 0; i < 20; i++) {
        ping_start(&x, t);
        TURN_UNTIL(t, x.done == 1);
        cr_assert_eq(x.error, 0);
        cr_assert(x.rtt > 0);
        cr_assert(x.rtt < SEC(1));
    }
    TURN_UNTIL(t, only_conn(&t->b)->peer->pings_count == 0);
}

CASE(ping, can_be_cancelled_at_any_time) {
    open_pair(t);
    static struct pinging x;
    host_ping_cancel(&x.ping);
    for (int turns = 0; turns < 30; turns++) {
        ping_start(&x, t);
        for (int i = 0; i < turns && x.done == 0; i++)
            cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(1)), 0);
        host_ping_cancel(&x.ping);
        host_ping_cancel(&x.ping);
        cr_assert_eq(x.error, 0);
        turn_for(t, MSEC(2));
    }
}

CASE(ping, of_a_host_that_has_no_address_fails) {
    open_pair(t);
    static struct pinging x;
    struct identity other;
    uint8_t seed[ED25519_SEED_BYTES] = {9};
    cr_assert_eq(identity_from_seed(seed, &other), 0);
    cr_assert_eq(
        host_ping_start(t->a.host, &x.ping, &other.id, reactor_now(t->reactor) + SEC(5), on_pong),
        0);
    TURN_UNTIL(t, x.done == 1);
    cr_assert_eq(x.error, -ERR_NO_ADDRESSES);
}

CASE(ping, ends_with_the_connection) {
    open_pair(t);
    connect_pair(&t->a, &t->b);
    static struct pinging x;
    host_unhandle(t->b.host, &t->b.host->ping_handler);
    static struct tap silent;
    static struct handler handler;
    handler_open(&handler, &t->b, "/ipfs/ping/1.0.0", CLASS_ANY, &silent, 1);
    ping_start(&x, t);
    TURN_UNTIL(t, silent.got == 32);
    struct conn *c = only_conn(&t->b)->conn;
    c->ops->close(c, 0);
    TURN_UNTIL(t, x.done == 1);
    cr_assert_eq(x.error, -ERR_CONN_CLOSED);
    TURN_UNTIL(t, silent.closed == 1);
}

CASE(ping, an_answer_of_other_bytes_is_a_failure) {
    open_pair(t);
    host_unhandle(t->b.host, &t->b.host->ping_handler);
    static struct tap liar;
    static struct handler handler;
    handler_open(&handler, &t->b, "/ipfs/ping/1.0.0", CLASS_ANY, &liar, 1);
    static struct pinging x;
    ping_start(&x, t);
    TURN_UNTIL(t, liar.got == 32);
    tap_write(&liar, 32, false);
    TURN_UNTIL(t, x.done == 1);
    cr_assert_eq(x.error, -ERR_PROTOCOL_VIOLATION);
    TURN_UNTIL(t, liar.reset == 1);
    cr_assert_eq(liar.reset_code, STREAM_CODE_PROTOCOL_VIOLATION);
    tap_end(&liar);
}

CASE(ping, echoes_many_blocks_and_ends_with_the_peer) {
    open_pair(t);
    static struct tap x;
    tap_open(&x, &t->a, &t->b.identity.id, "/ipfs/ping/1.0.0");
    TURN_UNTIL(t, x.opened == 1);
    /* 4,000 blocks and a part of one, which is ignored. */
    tap_write(&x, 4000 * 32 + 5, true);
    TURN_UNTIL(t, x.closed == 1);
    cr_assert(x.eof);
    cr_assert_eq(x.closed_error, 0);
    cr_assert_eq(x.got, 4000 * 32);
    cr_assert_not(x.wrong);
}

CASE(ping, a_peer_that_reads_no_answers_is_not_heard) {
    open_pair(t);
    static struct tap x;
    x.paused = true;
    tap_open(&x, &t->a, &t->b.identity.id, "/ipfs/ping/1.0.0");
    TURN_UNTIL(t, x.opened == 1);
    tap_write(&x, 64 << 20, true);
    turn_for(t, MSEC(500));
    uint64_t stuck_at = x.written;
    cr_assert(stuck_at < 24 << 20, "%llu bytes", (unsigned long long)stuck_at);
    turn_for(t, MSEC(100));
    cr_assert_eq(x.written, stuck_at);
    tap_end(&x);
    TURN_UNTIL(t, only_conn(&t->b)->peer->pings_count == 0);
}

CASE(ping, a_third_stream_of_a_peer_is_refused) {
    open_pair(t);
    static struct tap x[3];
    for (size_t i = 0; i < 3; i++) {
        tap_open(&x[i], &t->a, &t->b.identity.id, "/ipfs/ping/1.0.0");
        TURN_UNTIL(t, x[i].opened == 1);
        tap_write(&x[i], 32, false);
        TURN_UNTIL(t, x[i].got == 32 || x[i].reset == 1);
    }
    cr_assert_eq(x[2].reset, 1);
    cr_assert_eq(x[2].reset_code, STREAM_CODE_RESOURCE_LIMIT);
    cr_assert_eq(x[0].reset + x[1].reset, 0);
    tap_end(&x[0]);
    TURN_UNTIL(t, only_conn(&t->b)->peer->pings_count == 1);
    static struct pinging p;
    ping_start(&p, t);
    TURN_UNTIL(t, p.done == 1);
    cr_assert_eq(p.error, 0);
    tap_end(&x[1]);
    tap_end(&x[2]);
}

/* --- Perf --- */

struct measuring {
    struct fixture *t;
    struct stream_request request;
    struct stream *stream;
    struct perf_opener engine;
    struct buf *filler;
    uint32_t owed;
    bool head_sent;
    bool done;
    int error;
    struct perf_event result;
};

static void measure_end(struct measuring *m, int error) {
    m->done = true;
    m->error = error;
    m->filler = buf_unref(m->filler);
    m->stream = stream_release(m->stream);
}

static void measure_work(struct measuring *m) {
    nsec_t now = reactor_now(m->t->reactor);
    struct slice in[8];
    ssize_t n;
    while ((n = stream_read(m->stream, in, ARRAY_COUNT(in))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            perf_opener_recv(&m->engine, slice_bytes(&in[i]), now);
            stream_consume(m->stream, &in[i]);
        }
    }
    if (n == -ENODATA)
        perf_opener_recv_end(&m->engine, now);
    for (;;) {
        if (m->owed == 0)
            m->owed = (uint32_t)perf_opener_fill(&m->engine, 65536, now);
        if (m->owed == 0)
            break;
        struct slice v = slice_of(buf_ref(m->filler), 0, m->owed);
        if (stream_write(m->stream, &v, 1) != 1) {
            slice_unref(&v);
            break;
        }
        m->owed = 0;
    }
    struct perf_event ev;
    while (m->owed == 0 && perf_opener_next_event(&m->engine, &ev)) {
        if (ev.type == PERF_EV_HALF_CLOSE) {
            stream_shutdown_write(m->stream);
            continue;
        }
        m->result = ev;
        measure_end(m, ev.type == PERF_EV_DONE ? 0 : ev.error);
        return;
    }
}

static void measure_io(struct stream *s) {
    measure_work(stream_user(s));
}

static void measure_reset(struct stream *s, uint64_t code) {
    measure_end(stream_user(s), (int)code);
}

static void measure_closed(struct stream *s, int error) {
    measure_end(stream_user(s), error == 0 ? -ERR_STREAM_RESET : error);
}

static const struct stream_events measure_events = {.readable = measure_io,
                                                    .writable = measure_io,
                                                    .reset = measure_reset,
                                                    .closed = measure_closed};

static void measure_opened(struct stream_request *r, struct stream *s, int error) {
    struct measuring *m = CONTAINER_OF(r, struct measuring, request);
    cr_assert_eq(error, 0);
    m->stream = s;
    stream_set_events(s, &measure_events, m);
    m->filler = buf_new(reactor_pool(m->t->reactor), BUF_64K, stream_quota(s));
    cr_assert(m->filler != NULL);
    memset(m->filler->data, 0, m->filler->size);
    uint8_t head[PERF_HEAD_BYTES];
    perf_opener_head(&m->engine, head, reactor_now(m->t->reactor));
    cr_assert_eq(stream_write_bytes(s, BYTES_OF(head)), 0);
    measure_work(m);
}

static void measure(struct measuring *m, struct fixture *t, uint64_t up, uint64_t down) {
    *m = (struct measuring){.t = t};
    perf_opener_init(&m->engine, up, down, reactor_now(t->reactor));
    host_open_stream(t->a.host, &m->request, &t->b.identity.id, "/perf/1.0.0",
                     reactor_now(t->reactor) + SEC(5), measure_opened);
    TURN_UNTIL(t, m->done);
}

CASE(perf, moves_64_MiB_each_way) {
    open_pair(t);
    static struct measuring m;
    measure(&m, t, 64 << 20, 64 << 20);
    cr_assert_eq(m.error, 0);
    cr_assert_eq(m.engine.bytes_downloaded, 64 << 20);
    /* The slabs that were in flight come back; the filler is one. */
    turn_for(t, MSEC(20));
    struct buf_pool_stats stats;
    buf_pool_stats(reactor_pool(t->reactor), &stats);
    cr_assert(stats.bytes_in_use_max < 64 << 20);
}

CASE(perf, counts_to_the_byte) {
    open_pair(t);
    static const uint64_t sizes[][2] = {{0, 0}, {1, 0}, {0, 1}, {5, 3}, {65537, 65535}};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        static struct measuring m;
        measure(&m, t, sizes[i][0], sizes[i][1]);
        cr_assert_eq(m.error, 0, "row %zu", i);
        cr_assert_eq(m.engine.bytes_downloaded, sizes[i][1], "row %zu", i);
    }
}

CASE(perf, asking_too_much_or_too_little_is_refused) {
    open_pair(t);
    struct keeper k = {.t = t};
    keeper_open(&k, &t->a, &t->b.identity.id, "/perf/1.0.0");
    cr_assert_eq(stream_write_bytes(k.stream, bytes_of("\1\0\0\0\0\0\0\0", 8)), 0);
    TURN_UNTIL(t, k.reset);
    cr_assert_eq(k.reset_code, STREAM_CODE_RESOURCE_LIMIT);
    stream_release(k.stream);
    k = (struct keeper){.t = t};
    keeper_open(&k, &t->a, &t->b.identity.id, "/perf/1.0.0");
    cr_assert_eq(stream_write_bytes(k.stream, bytes_of("\0\0\0", 3)), 0);
    stream_shutdown_write(k.stream);
    TURN_UNTIL(t, k.reset);
    cr_assert_eq(k.reset_code, STREAM_CODE_PROTOCOL_VIOLATION);
    stream_release(k.stream);
}

CASE(perf, a_peer_that_goes_half_way_leaves_nothing) {
    open_pair(t);
    struct keeper k = {.t = t};
    keeper_open(&k, &t->a, &t->b.identity.id, "/perf/1.0.0");
    cr_assert_eq(stream_write_bytes(k.stream, bytes_of("\0\0\0\0\4\0\0\0", 8)), 0);
    stream_shutdown_write(k.stream);
    turn_for(t, MSEC(1));
    stream_release(k.stream);
    turn_for(t, MSEC(100));
    struct buf_pool_stats stats;
    buf_pool_stats(reactor_pool(t->reactor), &stats);
    cr_assert(stats.bytes_in_use < 8 << 20, "%zu", stats.bytes_in_use);
}

/* Goal: what is served can be listed, also into less room. */
CASE_QUIC(services, are_listed) {
    const char *names[32];
    struct handler h;
    bool found = false;
    open_pair(t);
    size_t before = host_protocols(t->b.host, names, ARRAY_COUNT(names));
    cr_assert_geq(before, 3, "identify, push and ping at least");
    handler_open(&h, &t->b, TEST_PROTOCOL, CLASS_ANY, NULL, 0);
    cr_assert_eq(host_protocols(t->b.host, NULL, 0), before + 1);
    cr_assert_eq(host_protocols(t->b.host, names, ARRAY_COUNT(names)), before + 1);
    for (size_t i = 0; i < before + 1; i++)
        found = found || strcmp(names[i], TEST_PROTOCOL) == 0;
    cr_assert(found);
    names[1] = "untouched";
    cr_assert_eq(host_protocols(t->b.host, names, 1), before + 1);
    cr_assert_str_eq(names[1], "untouched");
    host_unhandle(t->b.host, &h.handler);
}

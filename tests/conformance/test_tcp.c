/* SPDX-License-Identifier: MIT */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

/* --- Echo --- */

static void echo_over(struct fixture *t, enum family family, uint32_t len) {
    struct pair p;
    if (!pair_open(&p, t, family))
        return;
    p.server.echo = true;
    tcp_read_start(&p.server.conn);
    tcp_read_start(&p.client.conn);
    struct slice s = pattern_slice(t, 0, len);
    tcp_write(&p.client.conn, &s, 1);
    TURN_UNTIL(t, p.client.got_len == len && p.client.written == 1);
    cr_assert_eq(p.client.sum, pattern_sum(len), "%s", family_names[family]);
    tcp_shutdown_write(&p.client.conn);
    TURN_UNTIL(t, p.client.eof == 1);
    cr_assert_eq(p.server.eof, 1);
    pair_end(&p);
}

CASE(tcp, echo_over_every_family) {
    for (enum family f = 0; f < FAMILY_COUNT; f++) {
        echo_over(t, f, 1);
        echo_over(t, f, 65536);
    }
}

CASE(tcp, addresses_of_both_ends_match) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    struct sock_addr a;
    struct sock_addr b;
    cr_assert_eq(tcp_local_addr(&p.client.conn, &a), 0);
    cr_assert_eq(tcp_remote_addr(&p.server.conn, &b), 0);
    cr_assert(net_addr_equal(&a.ip, &b.ip));
    cr_assert_eq(tcp_remote_addr(&p.client.conn, &a), 0);
    cr_assert_eq(tcp_local_addr(&p.server.conn, &b), 0);
    cr_assert(net_addr_equal(&a.ip, &b.ip));
    pair_end(&p);
}

CASE(tcp, tells_how_much_the_peer_acknowledged) {
    struct pair p;
    uint64_t before;
    uint64_t after;
    nsec_t at;
    cr_assert(pair_open(&p, t, V4));
    p.server.echo = true;
    tcp_read_start(&p.server.conn);
    tcp_read_start(&p.client.conn);
    cr_assert_eq(tcp_acked(&p.client.conn, &before, &at), 0);
    struct slice s = pattern_slice(t, 0, 1000);
    tcp_write(&p.client.conn, &s, 1);
    TURN_UNTIL(t, p.client.got_len == 1000); /* its echo */
    cr_assert_eq(tcp_acked(&p.client.conn, &after, &at), 0);
    cr_assert_eq(after, before + 1000);
    cr_assert_leq(at, reactor_now(t->reactor));
    pair_end(&p);
    struct tcp_conn never;
    tcp_conn_init(&never, t->reactor, NULL, NULL);
    cr_assert_eq(tcp_acked(&never, &after, &at), -ENOTSUP);
    cr_assert_eq(tcp_unsent(&never), -ENOTSUP);
}

CASE(tcp, tells_how_much_is_not_sent_yet) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    cr_assert_eq(tcp_unsent(&p.client.conn), 0);
    for (uint64_t at = 0; tcp_unsent(&p.client.conn) == 0; at += 65536) { /* nobody reads */
        cr_assert_lt(at, MIB(256));
        struct slice s = pattern_slice(t, at, 65536);
        tcp_write(&p.client.conn, &s, 1);
        TURN_UNTIL(t, !tcp_is_writing(&p.client.conn) || tcp_unsent(&p.client.conn) > 0);
    }
    tcp_read_start(&p.server.conn);
    TURN_UNTIL(t, !tcp_is_writing(&p.client.conn) && tcp_unsent(&p.client.conn) == 0);
    pair_end(&p);
}

/* --- Long streams --- */

struct source {
    struct peer *peer;
    uint64_t at;
    uint64_t len;
};

/* Fills a write with `count` slabs, as long as something is left. */
static void source_write(struct source *s, uint32_t count) {
    struct slice v[TCP_WRITE_SLICES_MAX];
    uint32_t n = 0;
    while (n < count && s->at < s->len) {
        uint32_t len = (uint32_t)MIN(s->len - s->at, (uint64_t)40000);
        v[n++] = pattern_slice(s->peer->t, s->at, len);
        s->at += len;
    }
    if (n > 0)
        tcp_write(&s->peer->conn, v, n);
}

/* Goal: a write of 16 slabs passes a reader that takes a little at a time, whole and in order. */
CASE(tcp, partial_writes_reach_a_slow_reader_whole) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    struct source s = {.peer = &p.client, .len = 8 << 20};
    while (p.server.got_len < s.len) {
        if (!tcp_is_writing(&p.client.conn))
            source_write(&s, TCP_WRITE_SLICES_MAX);
        int before = p.server.data;
        tcp_read_start(&p.server.conn);
        TURN_UNTIL(t, p.server.data > before);
        tcp_read_stop(&p.server.conn);
    }
    cr_assert_eq(p.server.sum, pattern_sum(s.len));
    TURN_UNTIL(t, !tcp_is_writing(&p.client.conn));
    pair_end(&p);
}

/* Goal: bytes of busy connections are never taken for each other's. */
CASE(tcp, ten_busy_connections_stay_apart) {
    enum { PAIRS = 10 };
    static struct pair pairs[PAIRS];
    struct source sources[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        cr_assert(pair_open(&pairs[i], t, V4));
        /* Each starts elsewhere in the pattern. */
        sources[i] = (struct source){.peer = &pairs[i].client, .at = (uint64_t)i * 1000};
        sources[i].len = sources[i].at + (3 << 20);
        tcp_read_start(&pairs[i].server.conn);
    }
    for (int finished = 0; finished < PAIRS;) {
        finished = 0;
        for (int i = 0; i < PAIRS; i++) {
            if (!tcp_is_writing(&pairs[i].client.conn))
                source_write(&sources[i], TCP_WRITE_SLICES_MAX);
            if (pairs[i].server.got_len == 3 << 20)
                finished++;
        }
        cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(10)), 0);
    }
    for (int i = 0; i < PAIRS; i++) {
        cr_assert_eq(pairs[i].server.sum, pattern_sum_from((uint64_t)i * 1000, 3 << 20));
        pair_end(&pairs[i]);
    }
}

/* Goal: when the reader stops, the write stays in flight and nothing more is taken from the pool;
 * when it goes on, so does the stream. */
CASE(tcp, stopped_reader_pushes_back) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    struct source s = {.peer = &p.client, .len = 64 << 20};
    tcp_read_start(&p.server.conn);
    source_write(&s, 1);
    TURN_UNTIL(t, p.server.got_len == s.at && p.client.written == 1);
    tcp_read_stop(&p.server.conn);

    int written_before;
    do { /* until the kernel takes no more */
        written_before = p.client.written;
        if (!tcp_is_writing(&p.client.conn))
            source_write(&s, TCP_WRITE_SLICES_MAX);
        turn_while_ready(t);
        cr_assert(s.at < s.len, "the kernel took 64 MiB");
    } while (p.client.written > written_before);
    uint64_t got_stopped = p.server.got_len;
    struct buf_pool_stats stats;
    buf_pool_stats(reactor_pool(t->reactor), &stats);
    size_t in_use = stats.bytes_in_use;
    turn_while_ready(t);
    cr_assert_eq(p.server.got_len, got_stopped);
    cr_assert(tcp_is_writing(&p.client.conn));
    buf_pool_stats(reactor_pool(t->reactor), &stats);
    cr_assert_eq(stats.bytes_in_use, in_use);

    tcp_read_start(&p.server.conn);
    TURN_UNTIL(t, p.server.got_len == s.at && !tcp_is_writing(&p.client.conn));
    cr_assert_eq(p.server.sum, pattern_sum(s.at));
    pair_end(&p);
}

static void stop_reading(struct peer *p, struct slice *s) {
    (void)s;
    tcp_read_stop(&p->conn);
}

/* Goal: after tcp_read_stop() nothing is given, bytes and end wait, and come after
 * tcp_read_start() in order. */
CASE(tcp, what_came_while_stopped_is_given_later) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    tcp_read_start(&p.server.conn);
    turn_while_ready(t);
    tcp_read_stop(&p.server.conn); /* with a receive in flight */
    struct slice s = pattern_slice(t, 0, 1000);
    tcp_write(&p.client.conn, &s, 1);
    tcp_shutdown_write(&p.client.conn);
    TURN_UNTIL(t, p.client.written == 1);
    turn_while_ready(t);
    cr_assert_eq(p.server.data, 0);
    cr_assert_eq(p.server.eof, 0);
    p.server.on_data = stop_reading;
    tcp_read_start(&p.server.conn);
    cr_assert_eq(p.server.data, 0, "a callback from inside the call");
    TURN_UNTIL(t, p.server.got_len == 1000);
    turn_while_ready(t);
    cr_assert_eq(p.server.eof, 0);
    tcp_read_start(&p.server.conn);
    TURN_UNTIL(t, p.server.eof == 1);
    cr_assert_eq(p.server.sum, pattern_sum(1000));
    pair_end(&p);
}

/* Goal: an idle or nearly idle connection does not hold 64 KiB for a few bytes. */
CASE(tcp, small_receives_are_charged_as_small_slabs) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    struct quota quota = QUOTA_INIT(1 << 20, NULL);
    p.server.conn.quota = &quota;
    p.server.keep = true;
    tcp_read_start(&p.server.conn);
    struct slice s = pattern_slice(t, 0, 64);
    tcp_write(&p.client.conn, &s, 1);
    TURN_UNTIL(t, p.server.got_len == 64);
    cr_assert_eq(quota.used_bytes, 1024);
    slice_unref(&p.server.kept);
    cr_assert_eq(quota.used_bytes, 0);
    pair_end(&p);
}

/* --- Ends --- */

/* Goal: each direction ends by itself: FIN one way, data and FIN the other. */
CASE(tcp, half_close_both_ways) {
    for (enum family f = 0; f < FAMILY_COUNT; f++) {
        struct pair p;
        if (!pair_open(&p, t, f))
            continue;
        tcp_read_start(&p.server.conn);
        tcp_read_start(&p.client.conn);
        struct slice s = pattern_slice(t, 0, 5000);
        tcp_write(&p.client.conn, &s, 1);
        tcp_shutdown_write(&p.client.conn); /* after the write in flight */
        TURN_UNTIL(t, p.server.eof == 1);
        cr_assert_eq(p.server.got_len, 5000u);
        cr_assert_eq(p.client.eof, 0);
        s = pattern_slice(t, 0, 7000);
        tcp_write(&p.server.conn, &s, 1);
        TURN_UNTIL(t, p.client.got_len == 7000);
        cr_assert_eq(p.client.eof, 0);
        tcp_shutdown_write(&p.server.conn);
        TURN_UNTIL(t, p.client.eof == 1);
        cr_assert_eq(p.client.failed + p.server.failed, 0);
        pair_end(&p);
    }
}

/* Goal: RST is an error and not an end. */
CASE(tcp, reset_is_seen_as_a_failure) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    tcp_read_start(&p.server.conn);
    turn_while_ready(t);
    tcp_reset(&p.client.conn);
    TURN_UNTIL(t, p.client.closed == 1 && p.server.failed == 1);
    cr_assert_eq(p.server.failed_error, -ECONNRESET);
    cr_assert_eq(p.server.eof, 0);
    pair_end(&p);
}

/* Goal: who does not read hears of a RST all the same, unread bytes or not. */
CASE(tcp, reset_reaches_who_does_not_read) {
    for (int unread = 0; unread < 2; unread++) {
        struct pair p;
        cr_assert(pair_open(&p, t, V4));
        if (unread > 0) {
            struct slice s = pattern_slice(t, 0, 1000);
            tcp_write(&p.client.conn, &s, 1);
            TURN_UNTIL(t, p.client.written == 1);
        }
        tcp_read_stop(&p.server.conn);
        turn_while_ready(t);
        cr_assert_eq(p.server.failed, 0);
        tcp_reset(&p.client.conn);
        TURN_UNTIL(t, p.client.closed == 1 && p.server.failed == 1);
        cr_assert_eq(p.server.failed_error, -ECONNRESET);
        cr_assert_eq(p.server.data, 0);
        pair_end(&p);
    }
}

/* Goal: a close delivers what the kernel has, then FIN. */
CASE(tcp, close_delivers_what_was_written) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    struct slice s = pattern_slice(t, 0, 30000);
    tcp_write(&p.client.conn, &s, 1);
    TURN_UNTIL(t, p.client.written == 1);
    peer_end(&p.client);
    tcp_read_start(&p.server.conn);
    TURN_UNTIL(t, p.server.eof == 1);
    cr_assert_eq(p.server.sum, pattern_sum(30000));
    pair_end(&p);
}

/* Goal: writing to a peer that is gone fails once, and does not raise SIGPIPE. */
CASE(tcp, writing_to_a_closed_peer_fails_without_a_signal) {
    for (enum family f = 0; f < FAMILY_COUNT; f++) {
        struct pair p;
        if (!pair_open(&p, t, f))
            continue;
        tcp_reset(&p.server.conn);
        TURN_UNTIL(t, p.server.closed == 1);
        struct source s = {.peer = &p.client, .len = 64 << 20};
        while (p.client.failed == 0) {
            if (!tcp_is_writing(&p.client.conn))
                source_write(&s, 1);
            cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(10)), 0);
        }
        cr_assert(p.client.failed_error == -EPIPE || p.client.failed_error == -ECONNRESET);
        pair_end(&p);
    }
}

/* Goal: receiving, sending and connecting are cut off by close; each ends, and there is one
 * closed(). */
CASE(tcp, close_with_everything_in_flight_ends_once) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    struct source s = {.peer = &p.client, .len = 64 << 20};
    tcp_read_start(&p.client.conn);
    int before;
    do { /* until a send stays in flight */
        before = p.client.written;
        if (!tcp_is_writing(&p.client.conn))
            source_write(&s, TCP_WRITE_SLICES_MAX);
        turn_while_ready(t);
    } while (p.client.written > before);
    cr_assert(p.client.conn.recv_op.flying);
    cr_assert(p.client.conn.send_op.flying);
    tcp_close(&p.client.conn);
    tcp_close(&p.client.conn);
    cr_assert_eq(p.client.closed, 0, "a callback from inside the call");
    TURN_UNTIL(t, p.client.closed == 1);
    turn_while_ready(t);
    cr_assert_eq(p.client.failed, 0);
    pair_end(&p);
}

CASE(tcp, close_in_the_turn_that_started_everything) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    struct slice s = pattern_slice(t, 0, 1000);
    tcp_read_start(&p.client.conn);
    tcp_write(&p.client.conn, &s, 1);
    tcp_close(&p.client.conn);
    TURN_UNTIL(t, p.client.closed == 1);
    pair_end(&p);
}

static void close_inside(struct peer *p, struct slice *s) {
    (void)s;
    tcp_close(&p->conn);
}

CASE(tcp, close_from_inside_data) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    struct source s = {.peer = &p.client, .len = 600000};
    p.server.on_data = close_inside;
    tcp_read_start(&p.server.conn);
    source_write(&s, TCP_WRITE_SLICES_MAX);
    TURN_UNTIL(t, p.server.closed == 1);
    cr_assert_eq(p.server.data, 1);
    pair_end(&p);
}

CASE(tcp, close_before_connecting) {
    struct peer p;
    peer_init(&p, t);
    tcp_close(&p.conn);
    cr_assert_eq(p.closed, 0, "a callback from inside the call");
    TURN_UNTIL(t, p.closed == 1);
}

/* --- Connecting --- */

CASE(tcp, refused_connection_says_so) {
    struct host h;
    struct peer p;
    cr_assert(host_open(&h, t, V4));
    host_end(&h); /* now nobody listens there */
    peer_init(&p, t);
    cr_assert_eq(tcp_connect(&p.conn, &h.addr, NULL), 0);
    TURN_UNTIL(t, p.connected == 1);
    cr_assert_eq(p.connected_error, -ECONNREFUSED);
    turn_while_ready(t);
    cr_assert_eq(p.failed, 0);
    peer_end(&p);
}

CASE(tcp, unix_path_that_does_not_exist) {
    NEEDS_KERNEL();
    struct peer p;
    struct sock_addr to = {.unix_path = "/tmp/peerup-conformance-nobody"};
    peer_init(&p, t);
    cr_assert_eq(tcp_connect(&p.conn, &to, NULL), 0);
    TURN_UNTIL(t, p.connected == 1);
    cr_assert_eq(p.connected_error, -ENOENT);
    peer_end(&p);
}

CASE(tcp, connects_from_a_given_address) {
    struct host h;
    struct peer client;
    struct peer server;
    struct sock_addr from = {.ip = {.family = NET_IP4, .ip = {127, 0, 0, 2}}};
    struct sock_addr seen;
    cr_assert(host_open(&h, t, V4));
    peer_init(&client, t);
    peer_init(&server, t);
    h.accept_into = &server;
    cr_assert_eq(tcp_connect(&client.conn, &h.addr, &from), 0);
    TURN_UNTIL(t, h.accepted == 1 && client.connected == 1);
    cr_assert_eq(tcp_remote_addr(&server.conn, &seen), 0);
    cr_assert(net_addr_ip_equal(&seen.ip, &from.ip));
    from.ip.ip[0] = 203; /* not an address of ours */
    struct peer other;
    peer_init(&other, t);
    cr_assert_eq(tcp_connect(&other.conn, &h.addr, &from), -EADDRNOTAVAIL);
    peer_end(&other);
    peer_end(&client);
    peer_end(&server);
    host_end(&h);
}

/* Goal: connections may leave from a port that we listen on, so that a NAT shows one mapping, and
 * yet nobody else can listen on it. */
CASE(tcp, connects_from_a_port_that_it_listens_on) {
    for (enum family family = V4; family <= V6; family++) {
        struct host h;
        struct host other;
        struct peer client;
        struct peer server;
        struct sock_addr seen;
        struct tcp_listener second;
        if (!host_open(&h, t, family))
            continue;
        cr_assert(host_open(&other, t, family));
        peer_init(&client, t);
        peer_init(&server, t);
        other.accept_into = &server;
        cr_assert_eq(tcp_connect(&client.conn, &other.addr, &h.addr), 0);
        TURN_UNTIL(t, other.accepted == 1 && client.connected == 1);
        cr_assert_eq(client.connected_error, 0);
        cr_assert_eq(tcp_remote_addr(&server.conn, &seen), 0);
        cr_assert(net_addr_equal(&seen.ip, &h.addr.ip));
        cr_assert_eq(tcp_listen(&second, t->reactor, &h.addr, h.listener.events), -EADDRINUSE);

        struct peer again;
        peer_init(&again, t);
        int error = tcp_connect(&again.conn, &other.addr, &h.addr);
        if (error == 0) {
            TURN_UNTIL(t, again.connected == 1);
            error = again.connected_error;
        }
        cr_assert(error == -EADDRNOTAVAIL || error == -EADDRINUSE, "%d", error);
        peer_end(&again);
        peer_end(&client);
        peer_end(&server);
        host_end(&other);
        host_end(&h);
    }
}

static void give_up(struct timer *timer);

struct attempt {
    struct peer peer;
    struct timer timer;
};

static void give_up(struct timer *timer) {
    tcp_close(&CONTAINER_OF(timer, struct attempt, timer)->peer.conn);
}

/* Goal: a connect that nobody answers ends when its owner's timer closes it.  A listener whose
 * backlog is full answers nobody. */
CASE(tcp, connect_without_an_answer_ends_by_the_owners_timer) {
    NEEDS_KERNEL();
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_storage name = {.ss_family = AF_INET};
    socklen_t name_len = sizeof(name);
    cr_assert_eq(bind(full, (struct sockaddr *)&name, 16), 0);
    cr_assert_eq(listen(full, 0), 0);
    cr_assert_eq(getsockname(full, (struct sockaddr *)&name, &name_len), 0);
    uint16_t port_be;
    memcpy(&port_be, (char *)&name + 2, 2);
    struct sock_addr to = {.ip = {.family = NET_IP4, .ip = {127, 0, 0, 1}}};
    to.ip.port = (uint16_t)(port_be >> 8 | port_be << 8);

    enum { ATTEMPTS = 4 };
    struct attempt attempts[ATTEMPTS];
    for (int i = 0; i < ATTEMPTS; i++) {
        struct attempt *a = &attempts[i];
        peer_init(&a->peer, t);
        cr_assert_eq(timer_init(&a->timer, t->reactor, give_up), 0);
        timer_start(&a->timer, reactor_now(t->reactor) + MSEC(30));
        cr_assert_eq(tcp_connect(&a->peer.conn, &to, NULL), 0);
    }
    for (int i = 0; i < ATTEMPTS; i++)
        TURN_UNTIL(t, attempts[i].peer.closed == 1);
    cr_assert_eq(attempts[ATTEMPTS - 1].peer.connected, 0, "the backlog was not full");
    for (int i = 0; i < ATTEMPTS; i++)
        timer_done(&attempts[i].timer);
    close(full);
}

/* --- Listening --- */

CASE(listener, address_in_use_is_told_at_once) {
    struct host h;
    struct tcp_listener second;
    cr_assert(host_open(&h, t, V4));
    cr_assert_eq(tcp_listen(&second, t->reactor, &h.addr, h.listener.events), -EADDRINUSE);
    host_end(&h);
    if (!host_open(&h, t, LOCAL))
        return;
    cr_assert_eq(tcp_listen(&second, t->reactor, &h.addr, h.listener.events), -EADDRINUSE);
    host_end(&h);
}

/* Goal: a paused listener leaves connections in the backlog, also when pause and resume follow each
 * other in one turn. */
CASE(listener, pause_leaves_connections_in_the_backlog) {
    struct host h;
    struct peer a;
    cr_assert(host_open(&h, t, V4));
    turn_while_ready(t);
    tcp_listener_pause(&h.listener);
    turn_while_ready(t);
    peer_init(&a, t);
    cr_assert_eq(tcp_connect(&a.conn, &h.addr, NULL), 0);
    TURN_UNTIL(t, a.connected == 1);
    turn_while_ready(t);
    cr_assert_eq(h.accepted, 0);
    tcp_listener_resume(&h.listener);
    tcp_listener_pause(&h.listener);
    tcp_listener_resume(&h.listener);
    TURN_UNTIL(t, h.accepted == 1);

    for (int i = 0; i < 3; i++) {
        tcp_listener_pause(&h.listener);
        cr_assert_eq(reactor_turn(t->reactor, 0), 0);
        tcp_listener_resume(&h.listener);
        tcp_listener_pause(&h.listener);
    }
    turn_while_ready(t);
    cr_assert_not(h.listener.accept_op.flying);
    peer_end(&a);
    host_end(&h);
}

CASE(listener, refused_handle_is_reset) {
    struct host h;
    struct peer a;
    cr_assert(host_open(&h, t, V4));
    peer_init(&a, t);
    cr_assert_eq(tcp_connect(&a.conn, &h.addr, NULL), 0);
    TURN_UNTIL(t, a.connected == 1 && h.accepted == 1);
    /* The RST may be there before the success of the connect is looked at. */
    if (a.connected_error == 0) {
        tcp_read_start(&a.conn);
        TURN_UNTIL(t, a.failed == 1);
        cr_assert_eq(a.failed_error, -ECONNRESET);
    } else {
        cr_assert_eq(a.connected_error, -ECONNRESET);
    }
    peer_end(&a);
    host_end(&h);
}

/* --- Many connections --- */

enum { SWARM_SLOTS = 64, SWARM_TOTAL = 1000 };

struct swarm_peer {
    struct peer peer;
    bool used;
    bool reset;
};

struct swarm {
    struct fixture *t;
    struct tcp_listener listener;
    struct sock_addr addr;
    struct swarm_peer clients[SWARM_SLOTS];
    struct swarm_peer servers[SWARM_SLOTS * 4];
    int opened;
    bool listener_closed;
    uint64_t seed;
};

static uint64_t swarm_random(struct swarm *s, uint64_t below) {
    s->seed ^= s->seed << 13;
    s->seed ^= s->seed >> 7;
    s->seed ^= s->seed << 17;
    return s->seed % below;
}

static struct swarm_peer *swarm_free_slot(struct swarm_peer *peers, int count) {
    for (int i = 0; i < count; i++)
        if (!peers[i].used || peers[i].peer.closed)
            return &peers[i];
    return NULL;
}

static void swarm_accepted(struct tcp_listener *l, int fd, const struct sock_addr *remote) {
    struct swarm *s = CONTAINER_OF(l, struct swarm, listener);
    struct swarm_peer *p = swarm_free_slot(s->servers, SWARM_SLOTS * 4);
    (void)remote;
    if (p == NULL || swarm_random(s, 10) == 0) {
        tcp_handle_close(s->t->reactor, fd, swarm_random(s, 2) == 0);
        return;
    }
    p->used = true;
    peer_init(&p->peer, s->t);
    tcp_conn_adopt(&p->peer.conn, fd);
    p->peer.echo = swarm_random(s, 2) == 0;
    tcp_read_start(&p->peer.conn);
}

static void swarm_listener_closed(struct tcp_listener *l) {
    CONTAINER_OF(l, struct swarm, listener)->listener_closed = true;
}

static void swarm_act(struct swarm *s, struct swarm_peer *p) {
    struct tcp_conn *c = &p->peer.conn;
    if (!p->used || !p->peer.is_open || c->closing)
        return;
    switch (swarm_random(s, 6)) {
    case 0:
        tcp_close(c);
        break;
    case 1:
        tcp_reset(c);
        break;
    case 2:
        if (!c->connecting && !c->dead)
            tcp_read_start(c);
        break;
    case 3:
        tcp_read_stop(c);
        break;
    default:
        if (!c->connecting && !c->dead && !c->writing && !c->shutdown_wanted && !p->peer.echo) {
            struct slice v = pattern_slice(s->t, 0, 1 + (uint32_t)swarm_random(s, 60000));
            tcp_write(c, &v, 1);
            if (swarm_random(s, 4) == 0)
                tcp_shutdown_write(c);
        }
        break;
    }
}

static bool swarm_is_gone(const struct swarm_peer *peers, int count) {
    for (int i = 0; i < count; i++)
        if (peers[i].used && peers[i].peer.is_open)
            return false;
    return true;
}

static void swarm_close_all(struct swarm_peer *peers, int count) {
    for (int i = 0; i < count; i++)
        if (peers[i].used && peers[i].peer.is_open)
            tcp_close(&peers[i].peer.conn);
}

static const struct tcp_listener_events swarm_events = {
    .accepted = swarm_accepted,
    .closed = swarm_listener_closed,
};

/* Goal: 1,000 connections opened, used and dropped at random leave no descriptor, operation or slab
 * behind (fixture_done() and reactor_free() count). */
CASE(tcp, a_thousand_connections_dropped_at_random_leave_nothing) {
    static struct swarm swarm;
    struct swarm *s = &swarm;
    memset(s, 0, sizeof(*s));
    s->t = t;
    reactor_random(t->reactor, &s->seed, sizeof(s->seed));
    const char *seed = getenv("PEERUP_SEED");
    if (seed != NULL)
        s->seed = strtoull(seed, NULL, 0);
    s->seed |= 1;
    fprintf(stderr, "PEERUP_SEED=%llu\n", (unsigned long long)s->seed);

    struct sock_addr at = {.ip = {.family = NET_IP4, .ip = {127, 0, 0, 1}}};
    cr_assert_eq(tcp_listen(&s->listener, t->reactor, &at, &swarm_events), 0);
    cr_assert_eq(tcp_listener_addr(&s->listener, &s->addr), 0);
    while (s->opened < SWARM_TOTAL) {
        struct swarm_peer *p = swarm_free_slot(s->clients, SWARM_SLOTS);
        if (p != NULL) {
            p->used = true;
            peer_init(&p->peer, t);
            cr_assert_eq(tcp_connect(&p->peer.conn, &s->addr, NULL), 0);
            s->opened++;
        }
        for (int i = 0; i < 3; i++) {
            swarm_act(s, &s->clients[swarm_random(s, SWARM_SLOTS)]);
            swarm_act(s, &s->servers[swarm_random(s, SWARM_SLOTS)]);
        }
        cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    }
    swarm_close_all(s->clients, SWARM_SLOTS);
    TURN_UNTIL(t, swarm_is_gone(s->clients, SWARM_SLOTS));
    tcp_listener_close(&s->listener);
    TURN_UNTIL(t, s->listener_closed);
    swarm_close_all(s->servers, SWARM_SLOTS * 4);
    TURN_UNTIL(t, swarm_is_gone(s->servers, SWARM_SLOTS * 4));
}

/* --- Shortage --- */

/* Goal: with every slab of the pool taken, receives wait inside and go on when slabs come back. */
CASE_POOL(shortage, receives_wait_for_slabs, 4 << 20) {
    enum { PAIRS = 4 };
    struct pair pairs[PAIRS];
    for (int i = 0; i < PAIRS; i++)
        cr_assert(pair_open(&pairs[i], t, V4));
    struct buf *taken[64];
    size_t taken_count = 0;
    for (int i = 0; i < PAIRS; i++) {
        struct slice s = pattern_slice(t, 0, 50000);
        tcp_write(&pairs[i].client.conn, &s, 1);
    }
    for (int i = 0; i < PAIRS; i++)
        TURN_UNTIL(t, pairs[i].client.written == 1);
    struct buf *b;
    while ((b = buf_new(reactor_pool(t->reactor), BUF_64K, NULL)) != NULL)
        taken[taken_count++] = b;
    cr_assert(taken_count > 16);
    for (int i = 0; i < PAIRS; i++)
        tcp_read_start(&pairs[i].server.conn);
    turn_while_ready(t);
    for (int i = 0; i < PAIRS; i++)
        cr_assert_eq(pairs[i].server.got_len, 0);

    peer_end(&pairs[0].server); /* a receive that waits for a slab can be cancelled */
    while (taken_count > 0)
        (void)buf_unref(taken[--taken_count]);
    for (int i = 1; i < PAIRS; i++) {
        TURN_UNTIL(t, pairs[i].server.got_len == 50000);
        cr_assert_eq(pairs[i].server.sum, pattern_sum(50000));
    }
    for (int i = 0; i < PAIRS; i++)
        pair_end(&pairs[i]);
}

/* --- Urgent data --- */

/* Goal: reading goes on behind an urgent byte, at which the kernel interrupts a receive. */
CASE(tcp, what_follows_urgent_data_arrives) {
    NEEDS_KERNEL();
    struct host h;
    struct peer server;
    cr_assert(host_open(&h, t, V4));
    peer_init(&server, t);
    h.accept_into = &server;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(h.addr.ip.port)};
    memcpy(&to.sin_addr, h.addr.ip.ip, 4);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    TURN_UNTIL(t, h.accepted == 1);
    cr_assert_eq(send(fd, "abc", 3, 0), 3);
    cr_assert_eq(send(fd, "!", 1, MSG_OOB), 1);
    cr_assert_eq(send(fd, "def", 3, 0), 3);
    tcp_read_start(&server.conn);
    TURN_UNTIL(t, server.got_len >= 6);
    close(fd);
    peer_end(&server);
    host_end(&h);
}

/* --- Counts --- */

/* Goal: once it runs, the data path allocates nothing.  The pool grows before, by as much as can be
 * on its way at once. */
CASE(tcp, streaming_allocates_nothing) {
    struct pair p;
    struct buf *warm[64];
    for (size_t i = 0; i < ARRAY_COUNT(warm); i++) {
        warm[i] = buf_new(reactor_pool(t->reactor), i < BUF_CLASS_COUNT ? i : BUF_64K, NULL);
        cr_assert_not_null(warm[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(warm); i++)
        buf_unref(warm[i]);
    cr_assert(pair_open(&p, t, V4));
    tcp_read_start(&p.server.conn);
    struct source s = {.peer = &p.client, .len = 4 << 20};
    uint64_t calls = 0;
    while (p.server.got_len < s.len) {
        if (!tcp_is_writing(&p.client.conn))
            source_write(&s, TCP_WRITE_SLICES_MAX);
        cr_assert_eq(reactor_turn(t->reactor, reactor_now(t->reactor) + MSEC(10)), 0);
        if (p.server.got_len < s.len / 2)
            calls = t->mem.calls;
    }
    cr_assert_eq(t->mem.calls, calls);
    TURN_UNTIL(t, !tcp_is_writing(&p.client.conn));
    pair_end(&p);
}

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/crypto/hash.h"
#include "pair.h"
#include "tests/support/fail_mem.h"
#include "tests/support/vectors.h"
#include "transport/proto/quic_conn_internal.h"

/* Goal: the contract of transport/proto/quic_conn.h.  Spec: RFC 9000; libp2p quic.md. */

static struct slice slab_of(struct pair *p, struct quota *q, size_t len, uint8_t fill) {
    struct buf *b = buf_new(p->pool, buf_class_for(len), q);
    cr_assert_not_null(b);
    memset(b->data, fill, len);
    return slice_of(b, 0, (uint32_t)len);
}

static void write_text(struct pair *p, struct quic_stream *s, const char *text) {
    struct slice v = slab_of(p, quic_stream_quota(s), strlen(text), 0);
    memcpy(v.data, text, strlen(text));
    cr_assert_eq(quic_stream_write(s, &v, 1), 1);
}

static size_t read_all(struct quic_stream *s, char *out, size_t size, ssize_t *ret_end) {
    size_t len = 0;
    struct slice v;
    ssize_t n;
    while ((n = quic_stream_read(s, &v, 1)) == 1) {
        cr_assert_leq(len + v.len, size);
        memcpy(out + len, v.data, v.len);
        len += v.len;
        quic_stream_credit(s, v.len);
        slice_unref(&v);
    }
    if (ret_end != NULL)
        *ret_end = n;
    return len;
}

static struct quic_stream *open_stream(struct side *s) {
    struct quic_stream *stream;
    cr_assert_eq(quic_stream_open(s->conn, &stream), 0);
    (void)pair_seen(s, stream);
    return stream;
}

/* The first stream that the other side opened and that is not released yet. */
static struct quic_stream *peers_stream(struct side *s) {
    for (size_t i = 0; i < s->seen_count; i++) {
        if (s->seen[i].opened && s->seen[i].stream != NULL)
            return s->seen[i].stream;
    }
    cr_assert_fail("the peer opened no stream");
    return NULL;
}

static void release(struct side *s, struct quic_stream *stream) {
    pair_seen(s, stream)->stream = NULL;
    quic_stream_release(stream);
}

Test(quic_conn, handshake_proves_both_peers) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    cr_assert(p.client.connected);
    cr_assert(p.server.connected);
    cr_assert(p.client.confirmed);
    cr_assert(peer_id_equal(quic_conn_peer(p.client.conn), &p.server.identity.id));
    cr_assert(peer_id_equal(quic_conn_peer(p.server.conn), &p.client.identity.id));
    pair_done(&p);
}

Test(quic_conn, handshake_survives_loss_of_every_third_packet) {
    struct pair p;
    pair_init(&p);
    p.loss_percent = 33;
    p.delay = MSEC(10);
    pair_connect(&p);
    cr_assert(p.client.confirmed);
    cr_assert(p.server.confirmed);
    pair_done(&p);
}

Test(quic_conn, client_comes_back_after_retry) {
    struct pair p;
    pair_init(&p);
    p.retry = true;
    pair_connect(&p);
    cr_assert(p.client.confirmed);
    pair_done(&p);
}

/* The two datagrams of a ClientHello of go-libp2p's, in `order`.  Without a token only what begins
 * with the beginning is kept; the address has not been proved. */
static void answer_clienthello_of_go(bool in_order) {
    struct pair p;
    uint8_t raw[2][1500];
    struct vectors v = vectors_open("quic");
    vectors_for_each(row, &v) {
        if (!row_is(row, "name", "go-v0.47 first four datagrams"))
            continue;
        json_t *datagrams = json_object_get(row, "datagrams");
        for (size_t i = 0; i < 2; i++)
            cr_assert_eq(row_hex(json_array_get(datagrams, i), "bytes", raw[i], 1500).len, 1280);
    }
    vectors_close(&v);
    pair_init(&p);
    pair_feed_server(&p, bytes_of(raw[in_order ? 0 : 1], 1280));
    pair_feed_server(&p, bytes_of(raw[in_order ? 1 : 0], 1280));
    cr_assert_eq(quic_conn_wants_retry(p.server.conn), !in_order);
    struct quic_batch batch;
    cr_assert_eq(quic_conn_pull(p.server.conn, (uint8_t[65536]){0}, 65507, &batch, p.now),
                 in_order);
    pair_done(&p);
}

Test(quic_conn, a_clienthello_of_two_packets_is_put_together) {
    answer_clienthello_of_go(true);
}

Test(quic_conn, a_client_whose_first_packets_were_reordered_is_asked_to_come_back) {
    answer_clienthello_of_go(false);
}

Test(quic_conn, another_peer_than_expected_is_refused_and_named) {
    struct pair p;
    pair_init(&p);
    p.expected = p.client.identity.id;
    pair_connect(&p);
    struct problem why = PROBLEM_INIT;
    char actual[PEER_ID_TEXT_MAX];
    cr_assert(p.client.closed);
    cr_assert_not(p.client.connected);
    cr_assert_eq(quic_conn_error(p.client.conn, &why), -ERR_PEER_ID_MISMATCH);
    cr_assert_not_null(strstr(why.text, peer_id_format(&p.server.identity.id, actual)));
    cr_assert_not(p.server.connected);
    pair_run_until_set(&p, &p.server.closed);
    cr_assert_eq(quic_conn_error(p.server.conn, &why), -ERR_HANDSHAKE);
    pair_done(&p);
}

/* --- TLS after the handshake --- */

/* What a side's TLS would say after the handshake. */
static void say_tls(struct side *s, struct bytes message) {
    cr_assert_eq(ngtcp2_conn_submit_crypto_data(s->conn->ngtcp2, NGTCP2_ENCRYPTION_LEVEL_1RTT,
                                                message.data, message.len),
                 0);
}

static void assert_still_open(struct pair *p) {
    struct quic_stream *a = open_stream(&p->client);
    write_text(p, a, "on");
    quic_stream_shutdown_write(a);
    pair_run_until(p, p->now + SEC(1));
    cr_assert(!p->client.closed && !p->server.closed);
    release(&p->client, a);
    release(&p->server, peers_stream(&p->server));
}

Test(quic_conn, the_librarys_session_goes_with_the_handshake) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    cr_assert_null(p.client.conn->tls.ssl);
    cr_assert_null(p.server.conn->tls.ssl);
    assert_still_open(&p);
    pair_done(&p);
}

Test(quic_conn, tickets_of_a_server_are_read_past) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    uint8_t ticket[3000] = {4, 0, 0x0b, 0xb4}; /* 2,996 bytes behind the head */
    for (size_t i = 0; i < 2; i++) {           /* in pieces, each in a packet of its own */
        size_t cuts[] = {0, 1, 3, 4, 700, sizeof(ticket)};
        for (size_t k = 0; k + 1 < ARRAY_COUNT(cuts); k++) {
            say_tls(&p.server, bytes_of(ticket + cuts[k], cuts[k + 1] - cuts[k]));
            pair_run_until(&p, p.now + MSEC(100));
        }
    }
    assert_still_open(&p);
    pair_done(&p);
}

static void expect_unexpected(bool from_server, struct bytes message) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    struct side *to = from_server ? &p.client : &p.server;
    say_tls(from_server ? &p.server : &p.client, message);
    pair_run_until(&p, p.now + SEC(1));
    struct problem why = PROBLEM_INIT;
    cr_assert(p.client.closed && p.server.closed);
    cr_assert_eq(quic_conn_error(to->conn, &why), -ERR_PROTOCOL_VIOLATION);
    cr_assert_str_eq(why.text, "the peer went on with TLS (alert 10)");
    pair_done(&p);
}

Test(quic_conn, other_messages_of_tls_end_the_connection) {
    expect_unexpected(true, BYTES_LIT("\x18\x00\x00\x01\x00"));              /* key_update */
    expect_unexpected(true, BYTES_LIT("\x04\x00\x00\x01x\x0d\x00\x00\x00")); /* and a request */
    expect_unexpected(false, BYTES_LIT("\x04\x00\x00\x01x"));                /* a client's ticket */
}

Test(quic_conn, bytes_and_end_travel_both_ways) {
    struct pair p;
    char text[64];
    ssize_t end;
    pair_init(&p);
    pair_connect(&p);
    struct quic_stream *ours = open_stream(&p.client);
    write_text(&p, ours, "ping");
    quic_stream_shutdown_write(ours);
    (void)pair_exchange(&p);
    struct quic_stream *theirs = peers_stream(&p.server);
    cr_assert_eq(read_all(theirs, text, sizeof(text), &end), 4);
    cr_assert_eq(memcmp(text, "ping", 4), 0);
    cr_assert_eq(end, -ENODATA);

    /* The other direction is still open after the first one ended. */
    write_text(&p, theirs, "pong");
    quic_stream_shutdown_write(theirs);
    (void)pair_exchange(&p);
    cr_assert_eq(read_all(ours, text, sizeof(text), &end), 4);
    cr_assert_eq(end, -ENODATA);
    pair_run_until(&p, p.now + SEC(1));
    cr_assert(pair_seen(&p.client, ours)->closed);
    cr_assert(pair_seen(&p.server, theirs)->closed);
    pair_done(&p);
}

/* Writes `total` bytes of a counter in 64 KiB slabs as fast as the stream takes them, reads them as
 * fast as they come, and compares. */
static void transfer(struct pair *p, size_t total) {
    struct quic_stream *ours = open_stream(&p->client);
    struct quic_stream *theirs = NULL;
    size_t seen_before = p->server.seen_count;
    size_t written = 0;
    size_t read = 0;
    struct slice held = SLICE_EMPTY;
    nsec_t give_up = p->now + SEC(600);
    while (read < total) {
        cr_assert_lt(p->now, give_up, "%zu of %zu bytes after 600 s", read, total);
        for (;;) {
            if (held.buf == NULL && written < total) {
                size_t n = MIN(total - written, (size_t)65536);
                held = slab_of(p, quic_stream_quota(ours), n, 0);
                for (size_t i = 0; i < n; i++)
                    held.data[i] = (uint8_t)((written + i) * 2654435761u >> 13);
            }
            if (held.buf == NULL)
                break;
            uint32_t len = held.len;
            ssize_t taken = quic_stream_write(ours, &held, 1);
            cr_assert_geq(taken, 0);
            if (taken == 0)
                break;
            held = SLICE_EMPTY;
            written += len;
        }
        if (!pair_exchange(p))
            pair_run_until(p, p->now + MSEC(1));
        if (theirs == NULL && p->server.seen_count > seen_before)
            theirs = p->server.seen[seen_before].stream;
        struct slice v;
        while (theirs != NULL && quic_stream_read(theirs, &v, 1) == 1) {
            for (uint32_t i = 0; i < v.len; i++)
                cr_assert_eq(v.data[i], (uint8_t)((read + i) * 2654435761u >> 13),
                             "byte %zu differs", read + i);
            read += v.len;
            quic_stream_credit(theirs, v.len);
            slice_unref(&v);
        }
    }
    cr_assert_eq(read, total);
}

Test(quic_conn, eight_mebibytes_arrive_whole) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    transfer(&p, MIB(8));
    pair_done(&p);
}

Test(quic_conn, bytes_arrive_whole_through_loss) {
    struct pair p;
    pair_init(&p);
    p.delay = MSEC(5);
    pair_connect(&p);
    p.loss_percent = 5;
    transfer(&p, MIB(2));
    p.loss_percent = 0;
    pair_done(&p);
}

/* A stream that its owner has released is freed when the connection ends, which must not happen
 * while a packet is being filled from it. */
Test(quic_conn, want_of_memory_while_sending_ends_the_connection_at_worst) {
    struct fail_mem f;
    for (fail_mem_start(&f);; fail_mem_again(&f)) {
        struct pair p;
        long fail_at = f.fail_at;
        pair_init(&p);
        p.mem = &f.mem;
        f.fail_at = 0;
        pair_connect(&p);
        cr_assert(p.client.confirmed);
        f.calls = 0;
        f.fail_at = fail_at;
        struct quic_stream *ours;
        if (quic_stream_open(p.client.conn, &ours) == 0) {
            for (int i = 0; i < 20; i++) {
                struct slice v = slab_of(&p, quic_stream_quota(ours), 100, 7);
                if (quic_stream_write(ours, &v, 1) != 1)
                    slice_unref(&v);
            }
            quic_stream_shutdown_write(ours);
            quic_stream_release(ours);
        }
        (void)pair_exchange(&p);
        bool failed = f.failed;
        f.fail_at = 0;
        pair_done(&p);
        cr_assert_eq(f.blocks, 0, "%ld blocks lost at the failure of call %ld", f.blocks, fail_at);
        if (!failed)
            break;
        f.fail_at = fail_at;
    }
}

/* Regression: ngtcp2 gives a connection up when 8,000 frames of a stream are lost at once, whatever
 * their size. */
Test(quic_conn, thousands_of_small_writes_lost_at_once_are_sent_again) {
    enum { WRITES = 12000, WRITE_BYTES = 40 };
    static uint8_t out[65536];
    static char got[WRITES * WRITE_BYTES];
    struct pair p;
    size_t written = 0;
    pair_init(&p);
    pair_connect(&p);
    transfer(&p, MIB(4)); /* opens the congestion window */
    struct quic_stream *ours = open_stream(&p.client);
    p.cut = true;
    for (size_t i = 0; i < WRITES; i++) {
        struct slice v = slab_of(&p, quic_stream_quota(ours), WRITE_BYTES, 7);
        struct quic_batch batch;
        if (quic_stream_write(ours, &v, 1) == 1)
            written += WRITE_BYTES;
        else
            slice_unref(&v);
        while (quic_conn_pull(p.client.conn, out, 65507, &batch, p.now))
            ;
        p.now += USEC(10);
        if (quic_conn_deadline(p.client.conn) <= p.now)
            quic_conn_tick(p.client.conn, p.now);
    }
    p.cut = false;
    cr_assert_gt(written, 4000u * WRITE_BYTES);
    pair_run_until(&p, p.now + SEC(5));
    cr_assert_not(p.client.closed);
    cr_assert_not(p.server.closed);
    struct quic_stream *theirs = p.server.seen[1].stream; /* the first was the transfer's */
    cr_assert_eq(read_all(theirs, got, sizeof(got), NULL), written);
    pair_done(&p);
}

Test(quic_conn, reset_reaches_the_peer_with_its_code) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    struct quic_stream *ours = open_stream(&p.client);
    write_text(&p, ours, "x");
    (void)pair_exchange(&p);
    struct quic_stream *theirs = peers_stream(&p.server);
    quic_stream_reset(ours, 0x1234);
    (void)pair_exchange(&p);
    struct seen *seen = pair_seen(&p.server, theirs);
    cr_assert(seen->reset);
    cr_assert(seen->stopped);
    cr_assert_eq(seen->code, 0x1234);
    struct slice v;
    cr_assert_eq(quic_stream_read(theirs, &v, 1), -ECONNRESET);
    pair_run_until(&p, p.now + SEC(1));
    cr_assert(seen->closed);
    pair_done(&p);
}

/* go closes a stream with STOP_SENDING(0) and FIN together: not an error for what was received. */
Test(quic_conn, stop_sending_with_end_keeps_what_was_received) {
    struct pair p;
    char text[16];
    ssize_t end;
    pair_init(&p);
    pair_connect(&p);
    struct quic_stream *ours = open_stream(&p.client);
    write_text(&p, ours, "bye");
    quic_stream_shutdown_write(ours);
    quic_stream_stop_reading(ours, 0);
    (void)pair_exchange(&p);
    struct quic_stream *theirs = peers_stream(&p.server);
    cr_assert(pair_seen(&p.server, theirs)->stopped);
    cr_assert_not(pair_seen(&p.server, theirs)->reset);
    cr_assert_eq(read_all(theirs, text, sizeof(text), &end), 3);
    cr_assert_eq(end, -ENODATA);
    struct slice v = slab_of(&p, quic_stream_quota(theirs), 1, 0);
    cr_assert_eq(quic_stream_write(theirs, &v, 1), -EPIPE);
    slice_unref(&v);
    pair_run_until(&p, p.now + SEC(1));
    cr_assert(pair_seen(&p.server, theirs)->closed);
    pair_done(&p);
}

Test(quic_conn, release_after_end_still_delivers_it) {
    struct pair p;
    char text[16];
    ssize_t end;
    pair_init(&p);
    pair_connect(&p);
    struct quic_stream *ours = open_stream(&p.client);
    write_text(&p, ours, "last words");
    quic_stream_shutdown_write(ours);
    release(&p.client, ours);
    (void)pair_exchange(&p);
    struct quic_stream *theirs = peers_stream(&p.server);
    cr_assert_eq(read_all(theirs, text, sizeof(text), &end), 10);
    cr_assert_eq(end, -ENODATA);
    pair_done(&p);
}

Test(quic_conn, a_reader_that_never_reads_stops_the_writer_and_nobody_else) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    struct quic_stream *stuck = open_stream(&p.client);
    size_t written = 0;
    for (int i = 0; i < 4096; i++) {
        struct slice v = slab_of(&p, quic_stream_quota(stuck), 65536, 1);
        if (quic_stream_write(stuck, &v, 1) == 1)
            written += 65536;
        else
            slice_unref(&v);
        if (!pair_exchange(&p))
            pair_run_until(&p, p.now + MSEC(1));
    }
    /* The first window, and what waits on our side. */
    cr_assert_leq(written, QUIC_STREAM_WINDOW_FIRST + QUIC_STREAM_UNSENT_MAX + 65536);
    cr_assert_leq(p.server.quota.used_bytes, QUIC_STREAM_WINDOW_FIRST + 65536 * 2);
    size_t before = p.client.packets_out;
    pair_run_until(&p, p.now + SEC(2));
    cr_assert_lt(p.client.packets_out - before, 20, "a busy loop on a closed window");
    transfer(&p, MIB(1) / 4);
    pair_done(&p);
}

Test(quic_conn, writable_follows_a_short_write) {
    struct pair p;
    char *sink = malloc(MIB(8));
    pair_init(&p);
    pair_connect(&p);
    struct quic_stream *ours = open_stream(&p.client);
    ssize_t n = 1;
    while (n == 1) {
        struct slice v = slab_of(&p, quic_stream_quota(ours), 65536, 1);
        n = quic_stream_write(ours, &v, 1);
        if (n != 1)
            slice_unref(&v);
    }
    cr_assert_eq(n, 0);
    cr_assert_not(pair_seen(&p.client, ours)->writable);
    for (int i = 0; i < 64 && !pair_seen(&p.client, ours)->writable; i++) {
        (void)pair_exchange(&p);
        if (p.server.seen_count > 0)
            (void)read_all(peers_stream(&p.server), sink, MIB(8), NULL);
    }
    cr_assert(pair_seen(&p.client, ours)->writable);
    pair_done(&p);
    free(sink);
}

Test(quic_conn, at_the_peers_limit_open_says_again_and_tells_when) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    struct quic_stream *streams[QUIC_STREAMS_FIRST];
    for (int i = 0; i < QUIC_STREAMS_FIRST; i++)
        streams[i] = open_stream(&p.client);
    struct quic_stream *more;
    cr_assert_eq(quic_stream_open(p.client.conn, &more), -EAGAIN);
    p.client.streams_available = false;
    /* One stream ends on both sides. */
    quic_stream_shutdown_write(streams[0]);
    (void)pair_exchange(&p);
    struct quic_stream *theirs = peers_stream(&p.server);
    char text[4];
    ssize_t end;
    (void)read_all(theirs, text, sizeof(text), &end);
    cr_assert_eq(end, -ENODATA);
    quic_stream_shutdown_write(theirs);
    release(&p.server, theirs);
    pair_run_until_set(&p, &p.client.streams_available);
    cr_assert_eq(quic_stream_open(p.client.conn, &more), 0);
    (void)pair_seen(&p.client, more);
    /* Admission raises the limit at once. */
    quic_conn_admit(p.server.conn);
    p.client.streams_available = false;
    pair_run_until_set(&p, &p.client.streams_available);
    pair_done(&p);
}

Test(quic_conn, close_reaches_the_peer_and_ends_all_streams) {
    struct pair p;
    struct problem why = PROBLEM_INIT;
    pair_init(&p);
    pair_connect(&p);
    struct quic_stream *ours = open_stream(&p.client);
    write_text(&p, ours, "x");
    (void)pair_exchange(&p);
    struct quic_stream *theirs = peers_stream(&p.server);
    quic_conn_close(p.server.conn, CONN_CODE_GATED, p.now);
    (void)pair_exchange(&p);
    cr_assert(p.client.closed);
    cr_assert(p.server.closed);
    cr_assert(pair_seen(&p.client, ours)->closed);
    cr_assert(pair_seen(&p.server, theirs)->closed);
    cr_assert_eq(quic_conn_error(p.client.conn, &why), -ERR_GATED);
    cr_assert_eq(quic_conn_error(p.server.conn, &why), 0);
    /* It goes when its streams are released and three probe timeouts have passed. */
    pair_run_until(&p, p.now + SEC(10));
    cr_assert_not(p.client.gone);
    release(&p.client, ours);
    release(&p.server, theirs);
    (void)pair_exchange(&p);
    cr_assert(p.client.gone);
    cr_assert(p.server.gone);
    pair_done(&p);
}

/* Over a slow path three probe timeouts are longer than anybody who shuts down should wait. */
Test(quic_conn, a_closed_connection_over_a_slow_path_goes_in_time) {
    struct pair p;
    pair_init(&p);
    p.delay = MSEC(1500);
    pair_connect(&p);
    quic_conn_close(p.client.conn, CONN_CODE_SHUTDOWN, p.now);
    (void)pair_exchange(&p); /* which takes a round trip, longer than the pause */
    pair_run_until(&p, p.now + 1);
    cr_assert(p.client.gone);
    pair_done(&p);
}

/* Whoever closes waits for all owners of streams to let go: they must hear of it. */
Test(quic_conn, own_close_ends_streams_that_were_received_whole_and_not_read) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    struct quic_stream *ours = open_stream(&p.client);
    write_text(&p, ours, "ping");
    quic_stream_shutdown_write(ours);
    (void)pair_exchange(&p);
    struct quic_stream *theirs = peers_stream(&p.server);
    quic_stream_shutdown_write(theirs);
    (void)pair_exchange(&p);
    cr_assert_eq(read_all(ours, NULL, 0, NULL), 0);
    pair_run_until(&p, p.now + SEC(1));
    cr_assert(pair_seen(&p.client, ours)->closed);
    cr_assert_not(pair_seen(&p.server, theirs)->closed, "it can still be read");

    pair_seen(&p.client, ours)->closed = false;
    quic_conn_close(p.client.conn, CONN_CODE_SHUTDOWN, p.now);
    (void)pair_exchange(&p);
    cr_assert(p.server.closed);
    cr_assert_not(pair_seen(&p.server, theirs)->closed, "it can be read even now");
    quic_conn_close(p.server.conn, CONN_CODE_SHUTDOWN, p.now);
    (void)pair_exchange(&p);
    cr_assert(pair_seen(&p.server, theirs)->closed);
    cr_assert_not(pair_seen(&p.client, ours)->closed, "told twice");
    pair_done(&p);
}

Test(quic_conn, a_peer_that_vanishes_with_data_outstanding_is_dead_after_15_s) {
    struct pair p;
    struct problem why = PROBLEM_INIT;
    pair_init(&p);
    pair_connect(&p);
    pair_run_until(&p, p.now + SEC(1));
    struct quic_stream *ours = open_stream(&p.client);
    p.cut = true;
    write_text(&p, ours, "anybody there?");
    nsec_t start = p.now;
    pair_run_until_set(&p, &p.client.closed);
    cr_assert_geq(p.now - start, SEC(15) - MSEC(1));
    cr_assert_leq(p.now - start, SEC(15) + MSEC(100));
    cr_assert_eq(quic_conn_error(p.client.conn, &why), -ETIMEDOUT);
    pair_done(&p);
}

/* The client does nothing about it but speak: its packets come from elsewhere.  RFC 9000, 9. */
Test(quic_conn, a_server_follows_a_client_whose_address_is_another) {
    struct pair p;
    struct net_addr elsewhere;
    pair_init(&p);
    p.delay = MSEC(10);
    pair_connect(&p);
    pair_run_until(&p, p.now + SEC(1));
    cr_assert_eq(net_addr_parse("198.51.100.7:1111", &elsewhere), 0);
    p.server.path.remote = elsewhere;
    nsec_t heard_at = quic_conn_heard_at(p.client.conn);
    nsec_t start = p.now;
    quic_conn_probe(p.client.conn);
    pair_run_until(&p, start + MSEC(30));
    cr_assert_gt(quic_conn_heard_at(p.client.conn), heard_at);
    pair_run_until(&p, start + MSEC(100));
    cr_assert(p.server.moved);
    cr_assert_not(p.client.moved);
    cr_assert(net_addr_equal(&quic_conn_path(p.server.conn)->remote, &elsewhere));
    cr_assert_eq(quic_conn_unanswered_since(p.client.conn), NSEC_NEVER);
    pair_done(&p);
}

Test(quic_conn, a_probe_is_one_packet_and_the_keep_alive_goes_on_as_before) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    pair_run_until(&p, p.now + SEC(1));
    size_t before = p.client.packets_out;
    quic_conn_probe(p.client.conn);
    pair_run_until(&p, p.now + SEC(5));
    cr_assert_eq(p.client.packets_out - before, 1);
    pair_run_until(&p, p.now + SEC(20));
    cr_assert_leq(p.client.packets_out - before, 5);
    cr_assert_gt(p.client.packets_out - before, 1);
    quic_conn_close(p.client.conn, CONN_CODE_NONE, p.now);
    quic_conn_probe(p.client.conn); /* harmless */
    pair_done(&p);
}

/* What a server that was restarted answers to the client's next packet. */
static size_t make_reset(struct pair *p, uint8_t ret_reset[QUIC_PACKET_OUT_MAX]) {
    static uint8_t out[65536];
    struct quic_batch batch;
    struct quic_packet in;
    write_text(p, open_stream(&p->client), "is this the server that I have been talking to?");
    cr_assert(quic_conn_pull(p->client.conn, out, sizeof(out), &batch, p->now));
    quic_packet_parse(bytes_of(out, batch.segment_len), &in);
    return quic_packet_stateless_reset(&in, batch.segment_len, p->reset_key, &p->rng.rng,
                                       ret_reset);
}

/* RFC 9000, 10.3 */
Test(quic_conn, the_reset_of_a_restarted_peer_ends_the_connection) {
    uint8_t reset[QUIC_PACKET_OUT_MAX];
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    p.cut = true;
    size_t n = make_reset(&p, reset);
    cr_assert_eq(n, QUIC_RESET_BYTES);
    quic_conn_recv_stray(p.client.conn, bytes_of(reset, n), p.now);
    pair_run_until(&p, p.now + MSEC(1));
    cr_assert(p.client.closed);
    cr_assert_eq(quic_conn_error(p.client.conn, NULL), -ERR_CONN_CLOSED);
    pair_done(&p);
}

Test(quic_conn, stray_packets_are_no_sign_of_life) {
    uint8_t reset[QUIC_PACKET_OUT_MAX];
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    pair_run_until(&p, p.now + SEC(1));
    p.cut = true;
    nsec_t start = p.now;
    size_t n = make_reset(&p, reset);
    reset[n - 1] ^= 1;
    while (!p.client.closed && p.now < start + SEC(40)) {
        quic_conn_recv_stray(p.client.conn, bytes_of(reset, n), p.now);
        pair_run_until(&p, p.now + SEC(1));
    }
    cr_assert_geq(p.now - start, SEC(15));
    cr_assert_leq(p.now - start, SEC(16));
    cr_assert_eq(quic_conn_error(p.client.conn, NULL), -ETIMEDOUT);
    pair_done(&p);
}

Test(quic_conn, an_idle_peer_that_vanishes_is_dead_within_30_s) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    pair_run_until(&p, p.now + SEC(3));
    p.cut = true;
    nsec_t start = p.now;
    pair_run_until_set(&p, &p.client.closed);
    cr_assert_leq(p.now - start, SEC(30));
    pair_done(&p);
}

Test(quic_conn, an_idle_connection_lives_on_with_few_packets) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    pair_run_until(&p, p.now + SEC(5));
    size_t before = p.client.packets_out + p.server.packets_out;
    pair_run_until(&p, p.now + SEC(600));
    cr_assert_not(p.client.closed);
    cr_assert_not(p.server.closed);
    cr_assert_lt(p.client.packets_out + p.server.packets_out - before, 400);
    pair_done(&p);
}

Test(quic_conn, datagrams_arrive_or_are_refused) {
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    size_t max = quic_conn_datagram_max(p.client.conn);
    cr_assert_geq(max, 1100);
    cr_assert_eq(quic_conn_send_datagram(p.client.conn, slab_of(&p, NULL, 100, 9)), 0);
    (void)pair_exchange(&p);
    cr_assert_eq(p.server.datagrams, 1);
    cr_assert_eq(p.server.datagram.len, 100);
    cr_assert_eq(p.server.datagram.data[99], 9);
    cr_assert_eq(quic_conn_send_datagram(p.client.conn, slab_of(&p, NULL, max, 9)), 0);
    (void)pair_exchange(&p);
    cr_assert_eq(p.server.datagrams, 2);
    max = quic_conn_datagram_max(p.client.conn); /* larger packets may have been found to fit */
    cr_assert_eq(quic_conn_send_datagram(p.client.conn, slab_of(&p, NULL, max + 1, 9)), -EMSGSIZE);
    for (int i = 0; i < QUIC_DATAGRAMS_QUEUED_MAX; i++)
        cr_assert_eq(quic_conn_send_datagram(p.client.conn, slab_of(&p, NULL, 10, 1)), 0);
    cr_assert_eq(quic_conn_send_datagram(p.client.conn, slab_of(&p, NULL, 10, 1)), -EAGAIN);
    (void)pair_exchange(&p);
    pair_done(&p);
}

Test(quic_conn, packets_fill_a_batch_of_64_kib) {
    struct pair p;
    static uint8_t out[65536];
    pair_init(&p);
    pair_connect(&p);
    transfer(&p, MIB(4)); /* the window of congestion opens, the path's MTU is found */
    struct quic_stream *ours = open_stream(&p.client);
    for (int i = 0; i < 4; i++) {
        struct slice v = slab_of(&p, quic_stream_quota(ours), 65536, 3);
        cr_assert_eq(quic_stream_write(ours, &v, 1), 1);
    }
    struct quic_batch batch;
    cr_assert(quic_conn_pull(p.client.conn, out, 65507, &batch, p.now));
    cr_assert_eq(batch.segment_len, QUIC_PACKET_BYTES_MAX, "segments of %zu", batch.segment_len);
    cr_assert_geq(batch.len, 60000);
    pair_done(&p);
}

/* 10,000 packets of rubbish to a live connection change nothing. */
Test(quic_conn, garbage_disturbs_nothing) {
    struct pair p;
    uint8_t junk[200];
    pair_init(&p);
    pair_connect(&p);
    for (int i = 0; i < 10000; i++) {
        rng_fill(&p.rng.rng, junk, sizeof(junk));
        quic_conn_recv(p.server.conn, &p.server.path, 0,
                       bytes_of(junk, 1 + rng_below(&p.rng.rng, sizeof(junk))), p.now);
    }
    cr_assert_not(p.server.closed);
    transfer(&p, 100000);
    pair_done(&p);
}

/* A dialogue of small messages: acknowledgements travel with the answers. */
Test(quic_conn, each_message_of_a_dialogue_is_one_packet) {
    struct pair p;
    char text[8];
    pair_init(&p);
    pair_connect(&p);
    p.delay = USEC(20);
    struct quic_stream *ours = open_stream(&p.client);
    write_text(&p, ours, "first");
    pair_run_until(&p, p.now + SEC(1));
    struct quic_stream *theirs = peers_stream(&p.server);
    (void)read_all(theirs, text, sizeof(text), NULL);
    size_t before = p.client.packets_out + p.server.packets_out;
    for (int i = 0; i < 100; i++) {
        write_text(&p, ours, "ping");
        for (int j = 0; j < 4; j++)
            (void)pair_exchange(&p);
        cr_assert_eq(read_all(theirs, text, sizeof(text), NULL), 4);
        for (int j = 0; j < 4; j++)
            (void)pair_exchange(&p);
        write_text(&p, theirs, "pong");
        for (int j = 0; j < 4; j++)
            (void)pair_exchange(&p);
        cr_assert_eq(read_all(ours, text, sizeof(text), NULL), 4);
    }
    cr_assert_leq(p.client.packets_out + p.server.packets_out - before, 210);
    pair_done(&p);
}

Test(quic_conn, a_lone_packet_is_acknowledged_within_two_milliseconds) {
    struct pair p;
    char text[8];
    pair_init(&p);
    pair_connect(&p);
    pair_run_until(&p, p.now + SEC(1));
    struct quic_stream *ours = open_stream(&p.client);
    write_text(&p, ours, "x");
    size_t before = p.server.packets_out;
    (void)pair_exchange(&p);
    (void)read_all(peers_stream(&p.server), text, sizeof(text), NULL);
    cr_assert_eq(p.server.packets_out, before);
    pair_run_until(&p, p.now + MSEC(2));
    cr_assert_eq(p.server.packets_out, before + 1);
    pair_done(&p);
}

Test(quic_conn, an_address_without_route_ends_the_dial_at_once_and_nothing_later) {
    struct pair p;
    struct problem why = PROBLEM_INIT;
    pair_init(&p);
    p.cut = true;
    pair_start(&p);
    quic_conn_unreachable(p.client.conn, -ENETUNREACH, p.now);
    (void)pair_exchange(&p);
    cr_assert(p.client.closed);
    cr_assert_eq(quic_conn_error(p.client.conn, &why), -ENETUNREACH);
    pair_done(&p);

    pair_init(&p);
    pair_connect(&p);
    quic_conn_unreachable(p.client.conn, -ENETUNREACH, p.now);
    (void)pair_exchange(&p);
    cr_assert_not(p.client.closed);
    pair_done(&p);
}

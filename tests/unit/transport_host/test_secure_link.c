/* SPDX-License-Identifier: MIT */
#include "links.h"
#include "transport/secure_link.h"
#include "transport/stream_link.h"
#include "transport/tcp_link.h"

/* Goal: transport/secure_link.h where it is more than a link (which test_link.c asks of it too):
 * handshakes, records of every size and cut, failures. */

/* `a` is a channel in the responder's role, the raw end the other side of its link. */
struct against_raw {
    struct ends e;
    struct raw raw;
};

static void against_raw_open(struct against_raw *w, struct fixture *t) {
    *w = (struct against_raw){.e.channel_a.initiator = false};
    tcp_ends_open(&w->e, t);
    raw_attach(&w->raw, &w->e.b);
    end_attach(&w->e.a, t, channel_over(&w->e, TAKE(w->e.a.link), &w->e.channel_a, NULL));
}

static void raw_shake_hands(struct against_raw *w) {
    raw_write_text(&w->raw, "XORH", 4);
    TURN_UNTIL(w->e.t, w->raw.got_len == 4);
    raw_write_text(&w->raw, "XORH", 4);
    TURN_UNTIL(w->e.t, w->e.a.secured);
    w->raw.got_len = 0;
}

static void against_raw_close(struct against_raw *w) {
    end_close(&w->e.a, false);
    link_close(w->raw.link);
    TURN_UNTIL(w->e.t, w->e.a.closed == 1 && w->raw.closed == 1);
}

/* Appends a record of `len` bytes of the pattern. */
static size_t record_append(uint8_t *out, uint64_t pattern_at, size_t len) {
    struct secure *s = xor_secure_new(mem_system(), &(struct xor_options){.initiator = false});
    struct end at = {.written = pattern_at};
    uint8_t *plain = out + XOR_HEADER_BYTES;
    for (size_t i = 0; i < len; i++)
        plain[i] = end_pattern(at.written + i);
    size_t bytes = secure_seal(s, bytes_of(plain, len), out);
    (void)secure_free(s);
    return bytes;
}

/* --- The handshake --- */

CASE_QUIC(secure_link, has_no_room_and_nothing_to_read_before_the_handshake) {
    static struct against_raw w;
    against_raw_open(&w, t);
    end_write(&w.e.a, 100);
    cr_assert_eq(w.e.a.written, 0);
    cr_assert_eq(w.e.a.writable, 0);
    raw_shake_hands(&w);
    TURN_UNTIL(t, w.e.a.written == 100 && w.raw.got_len > 100);
    cr_assert_eq(w.e.a.writable, 1);
    against_raw_close(&w);
}

CASE_QUIC(secure_link, takes_a_handshake_and_records_that_come_in_one_piece) {
    static struct against_raw w;
    static uint8_t bytes[64];
    against_raw_open(&w, t);
    raw_write_text(&w.raw, "XORH", 4);
    memcpy(bytes, "XORH", 4);
    size_t len = 4 + record_append(bytes + 4, 0, 5);
    len += record_append(bytes + len, 5, 6);
    raw_write(&w.raw, bytes, len, SIZE_MAX);
    TURN_UNTIL(t, w.e.a.got == 11);
    cr_assert(w.e.a.secured);
    against_raw_close(&w);
}

CASE_QUIC(secure_link, goes_on_with_what_was_read_before_it_was_made) {
    static struct ends e;
    static struct raw raw;
    static uint8_t bytes[64] = "XORHXORH";
    tcp_ends_open(&e, t);
    raw_attach(&raw, &e.b);
    e.a.paused = true;
    size_t len = 8 + record_append(bytes + 8, 0, 9);
    raw_write(&raw, bytes, len, 3);
    struct slice_queue rest;
    slice_queue_init(&rest, reactor_mem(t->reactor));
    struct slice in;
    while (rest.len < len) {
        ssize_t n = link_read(e.a.link, &in, 1);
        cr_assert(n >= 0);
        if (n > 0)
            cr_assert_eq(slice_queue_push(&rest, in), 0);
        cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    }
    e.a.paused = false;
    end_attach(&e.a, t, channel_over(&e, TAKE(e.a.link), &e.channel_a, &rest));
    cr_assert_eq(rest.count, 0);
    cr_assert(!e.a.secured, "a callback from inside the call");
    TURN_UNTIL(t, e.a.secured && e.a.got == 9);
    end_close(&e.a, false);
    link_close(raw.link);
    TURN_UNTIL(t, e.a.closed == 1 && raw.closed == 1);
}

CASE_QUIC(secure_link, that_refuses_the_peer_tells_both_sides_why) {
    static struct ends e = {.channel_b.refuses = true};
    secure_ends_start(&e, t);
    TURN_UNTIL(t, e.b.read_error != 0);
    cr_assert_eq(e.b.read_error, -ERR_PEER_ID_MISMATCH);
    cr_assert_str_not_empty(secure_link_engine(e.b.link)->problem.text);
    end_close(&e.b, false);
    TURN_UNTIL(t, e.a.read_error != 0);
    cr_assert_eq(e.a.read_error, -ERR_GATED, "the alert got lost");
    ends_close(&e);
    cr_assert(!e.a.secured && !e.b.secured);
    cr_assert_eq(e.b.closed_error, -ERR_PEER_ID_MISMATCH);
}

CASE_QUIC(secure_link, whose_peer_leaves_in_the_handshake_fails) {
    static struct against_raw w;
    against_raw_open(&w, t);
    raw_write_text(&w.raw, "XO", 2);
    link_shutdown_write(w.raw.link);
    TURN_UNTIL(t, w.e.a.read_error != 0);
    cr_assert_eq(w.e.a.read_error, -ERR_CONN_CLOSED);
    against_raw_close(&w);
    cr_assert(!w.e.a.secured);
}

CASE_QUIC(secure_link, may_be_closed_in_the_handshake) {
    static struct against_raw w;
    against_raw_open(&w, t);
    raw_write_text(&w.raw, "XORH", 4);
    TURN_UNTIL(t, w.raw.got_len == 4);
    end_close(&w.e.a, false);
    TURN_UNTIL(t, w.e.a.closed == 1 && w.raw.read_error == -ENODATA);
    cr_assert_eq(w.raw.got_len, 4);
    cr_assert_eq(w.e.a.closed_error, 0);
    against_raw_close(&w);
}

/* --- Records that we make --- */

CASE_QUIC(secure_link, seals_small_pieces_together_and_large_ones_from_where_they_lie) {
    static struct ends e;
    secure_ends_open(&e, t);
    struct slice v[20];
    for (size_t i = 0; i < ARRAY_COUNT(v); i++) {
        v[i] = end_slice(&e.a, 12);
        e.a.written += v[i].len;
    }
    cr_assert_eq(link_write(e.a.link, v, 20), 20);
    cr_assert_eq(xor_secure_sealed(secure_link_engine(e.a.link)), 1);

    /* Header and body twice: the bodies' rests share the record of the header that follows. */
    static const uint32_t sizes[] = {12, 65536, 12, 65536};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        v[i] = end_slice(&e.a, sizes[i]);
        e.a.written += v[i].len;
    }
    cr_assert_eq(link_write(e.a.link, v, 4), 4);
    cr_assert_leq(xor_secure_sealed(secure_link_engine(e.a.link)), 1 + 5);
    TURN_UNTIL(t, e.b.got == 240 + 2 * 65548);
    ends_close(&e);
}

CASE_QUIC(secure_link, leaves_the_end_of_a_slab_rather_than_cut_a_record_short) {
    static struct ends e = {.channel_a.plain_max = 15 << 10};
    static const uint32_t sizes[] = {12, 60 << 10, 12, 60 << 10};
    struct slice v[ARRAY_COUNT(sizes)];
    secure_ends_open(&e, t);
    for (size_t i = 0; i < ARRAY_COUNT(v); i++) {
        v[i] = end_slice(&e.a, sizes[i]);
        e.a.written += v[i].len;
    }
    cr_assert_eq(link_write(e.a.link, v, 4), 4);
    cr_assert_eq(xor_secure_sealed(secure_link_engine(e.a.link)), 2 * (1 + 4));
    TURN_UNTIL(t, e.b.got == e.a.written);
    ends_close(&e);
}

CASE_QUIC(secure_link, fills_records_of_every_size) {
    static const size_t sizes[] = {1, 15, 1024, 1025, 4096, 16384, 65519};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        static struct ends e;
        e = (struct ends){.channel_a.plain_max = sizes[i], .channel_b.plain_max = sizes[i]};
        uint64_t bytes = 300001 + (i > 1 ? 3000000 : 0);
        secure_ends_open(&e, t);
        end_write(&e.a, bytes);
        TURN_UNTIL(t, e.b.got == bytes);
        ends_close(&e);
    }
}

CASE_QUIC(secure_link, with_used_up_keys_fails_and_says_so) {
    static struct ends e = {.channel_a.seals_max = 3};
    secure_ends_open(&e, t);
    end_write(&e.a, 1 << 20);
    TURN_UNTIL(t, e.a.read_error != 0);
    cr_assert_eq(e.a.read_error, -ERR_CRYPTO);
    cr_assert_eq(e.a.write_error, -ERR_CRYPTO);
    end_close(&e.a, false);
    TURN_UNTIL(t, e.b.read_error != 0);
    cr_assert_eq(e.b.read_error, -ERR_GATED);
    ends_close(&e);
}

/* --- Records of others --- */

CASE_QUIC(secure_link, opens_records_cut_anywhere) {
    static const size_t sizes[] = {1, 2, 700, 1, 3, 4000, 9, 1};
    static uint8_t bytes[8192];
    static const size_t cuts[] = {1, 2, 3, 5, 7, 100, 1000};
    size_t len = 0;
    uint64_t plain = 0;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        len += record_append(bytes + len, plain, sizes[i]);
        plain += sizes[i];
    }
    for (size_t i = 0; i < ARRAY_COUNT(cuts); i++) {
        static struct against_raw w;
        against_raw_open(&w, t);
        raw_shake_hands(&w);
        raw_write(&w.raw, bytes, len, cuts[i]);
        TURN_UNTIL(t, w.e.a.got == plain);
        against_raw_close(&w);
    }
}

/* With its header it is longer than a slab. */
CASE_QUIC(secure_link, opens_the_longest_record) {
    static struct against_raw w;
    static uint8_t bytes[3 * (XOR_HEADER_BYTES + SECURE_BODY_MAX)];
    against_raw_open(&w, t);
    raw_shake_hands(&w);
    size_t len = 0;
    for (size_t i = 0; i < 3; i++)
        len += record_append(bytes + len, i * XOR_PLAIN_MAX, XOR_PLAIN_MAX);
    raw_write(&w.raw, bytes, len, SIZE_MAX);
    TURN_UNTIL(t, w.e.a.got == 3 * XOR_PLAIN_MAX);
    against_raw_close(&w);
}

CASE_QUIC(secure_link, passes_over_empty_records) {
    static struct against_raw w;
    static uint8_t bytes[16 << 10];
    against_raw_open(&w, t);
    raw_shake_hands(&w);
    w.e.a.keeps_credit = true;
    size_t len = 0;
    while (len + XOR_HEADER_BYTES + XOR_TAG_BYTES < sizeof(bytes)) {
        uint8_t *record = bytes + len;
        memcpy(record, "D\0\4\0\0\0", XOR_HEADER_BYTES + XOR_TAG_BYTES);
        len += XOR_HEADER_BYTES + XOR_TAG_BYTES;
    }
    /* More than the lower link holds without credit. */
    for (size_t sent = 0; sent < 2 * LINK_BUFFERED_MAX; sent += len)
        raw_write(&w.raw, bytes, len, SIZE_MAX);
    len = record_append(bytes, 0, 10);
    raw_write(&w.raw, bytes, len, SIZE_MAX);
    TURN_UNTIL(t, w.e.a.got == 10);
    against_raw_close(&w);
}

CASE_QUIC(secure_link, fails_over_records_that_are_not) {
    static const struct {
        const char *bytes;
        size_t len;
        bool end;
        int error;
    } rows[] = {
        {"?\0\1x", 4, false, -ERR_PROTOCOL_VIOLATION},
        {"D\0\1x", 4, false, -ERR_PROTOCOL_VIOLATION},
        {"D\0\5a\0\0\0\1", 8, false, -ERR_PROTOCOL_VIOLATION},
        {"D\0", 2, true, -ERR_TRUNCATED},
        {"D\0\5a\0\0", 6, true, -ERR_TRUNCATED},
        {"A\0\0", 3, false, -ERR_GATED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        static struct against_raw w;
        against_raw_open(&w, t);
        raw_shake_hands(&w);
        raw_write_text(&w.raw, rows[i].bytes, rows[i].len);
        if (rows[i].end)
            link_shutdown_write(w.raw.link);
        TURN_UNTIL(t, w.e.a.read_error != 0);
        cr_assert_eq(w.e.a.read_error, rows[i].error, "row %zu: %d", i, w.e.a.read_error);
        cr_assert_eq(w.e.a.got, 0, "row %zu", i);
        against_raw_close(&w);
        cr_assert_eq(w.e.a.closed_error, rows[i].error, "row %zu", i);
    }
}

CASE_QUIC(secure_link, ends_with_the_goodbye_and_passes_over_what_follows) {
    static struct against_raw w;
    against_raw_open(&w, t);
    raw_shake_hands(&w);
    raw_write_text(&w.raw, "E\0\0rubbish", 10);
    TURN_UNTIL(t, w.e.a.read_error != 0);
    cr_assert_eq(w.e.a.read_error, -ENODATA);
    end_write(&w.e.a, 10);
    link_shutdown_write(w.e.a.link);
    TURN_UNTIL(t, w.raw.read_error == -ENODATA);
    cr_assert_gt(w.raw.got_len, XOR_HEADER_BYTES + 10 + XOR_TAG_BYTES);
    cr_assert_eq(w.raw.got[w.raw.got_len - XOR_HEADER_BYTES], 'E');
    against_raw_close(&w);
    cr_assert_eq(w.e.a.closed_error, 0);
}

/* --- Memory --- */

/* One byte in a record and a segment of its own is the worst that a peer can do. */
CASE_QUIC(secure_link, bounds_what_a_peer_of_tiny_records_can_hold) {
    static struct against_raw w;
    against_raw_open(&w, t);
    raw_shake_hands(&w);
    w.e.a.paused = true;
    static uint8_t record[16];
    struct buf_pool_stats before;
    struct buf_pool_stats after;
    buf_pool_stats(reactor_pool(t->reactor), &before);
    for (uint64_t i = 0; i < 3000; i++) {
        size_t len = record_append(record, i, 1);
        raw_write(&w.raw, record, len, len - 1);
    }
    buf_pool_stats(reactor_pool(t->reactor), &after);
    cr_assert(after.bytes_in_use > before.bytes_in_use, "nothing was received");
    cr_assert(after.bytes_in_use < before.bytes_in_use + 2 * LINK_BUFFERED_MAX + (2 << 16));
    w.e.a.paused = false;
    end_read(&w.e.a);
    TURN_UNTIL(t, w.e.a.got == 3000);
    against_raw_close(&w);
}

/* Slabs for records are the lower link's; who else holds them gives them back some time. */
CASE_QUIC(secure_link, goes_on_when_slabs_are_to_be_had_again) {
    static struct ends e;
    struct slice held[64];
    size_t count = 0;
    tcp_ends_open(&e, t);
    struct link *lower = TAKE(e.a.link);
    struct xor_options initiator = {.initiator = true};
    end_attach(&e.a, t, channel_over(&e, lower, &initiator, NULL));
    end_attach(&e.b, t, channel_over(&e, TAKE(e.b.link), &e.channel_b, NULL));
    TURN_UNTIL(t, e.a.secured && e.b.secured);
    struct buf *b;
    while ((b = buf_new(reactor_pool(t->reactor), BUF_64K, link_quota(lower))) != NULL)
        held[count++] = slice_of(b, 0, 1);
    struct buf_pool_stats before, after;
    buf_pool_stats(reactor_pool(t->reactor), &before);
    end_write(&e.a, 1000003);
    turn_for(t, MSEC(20));
    buf_pool_stats(reactor_pool(t->reactor), &after);
    cr_assert_eq(e.b.got, 0);
    cr_assert_lt(after.refused - before.refused, 100, "it does not spin meanwhile");
    slice_unref(&held[--count]);
    TURN_UNTIL(t, e.b.got == 1000003);
    while (count > 0)
        slice_unref(&held[--count]);
    ends_close(&e);
}

CASE_QUIC(secure_link, leaves_all_with_the_caller_when_memory_is_short) {
    static struct ends e;
    tcp_ends_open(&e, t);
    struct secure *channel =
        xor_secure_new(reactor_mem(t->reactor), &(struct xor_options){.initiator = true});
    struct slice_queue rest;
    slice_queue_init(&rest, reactor_mem(t->reactor));
    struct link *link = NULL;
    t->mem.fail_at = t->mem.calls + 1;
    cr_assert_eq(secure_link_new(t->reactor, e.a.link, channel, &rest, NULL, &link), -ENOMEM);
    cr_assert_eq(link, NULL);
    (void)secure_free(channel);
    end_write(&e.a, 10);
    TURN_UNTIL(t, e.b.got == 10);
    ends_close(&e);
}

/* Slabs of a stream may have other views. */
CASE_QUIC(secure_link, runs_in_a_stream) {
    static struct ends e = {.secure = true};
    stream_ends_open(&e, t);
    struct xor_options initiator = {.initiator = true};
    struct xor_options responder = {.initiator = false};
    end_attach(&e.a, t, channel_over(&e, TAKE(e.a.link), &initiator, NULL));
    end_attach(&e.b, t, channel_over(&e, TAKE(e.b.link), &responder, NULL));
    end_write(&e.a, 3000001);
    end_write(&e.b, 1700003);
    TURN_UNTIL(t, e.b.got == 3000001 && e.a.got == 1700003);
    ends_close(&e);
}

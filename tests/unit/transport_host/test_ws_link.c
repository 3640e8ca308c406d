/* SPDX-License-Identifier: MIT */
#include "links.h"
#include "transport/proto/websocket.h"
#include "transport/ws_link.h"

/* Goal: transport/ws_link.h where it is more than a link (which test_link.c asks of it too):
 * upgrades, frames of every shape, control frames, failures. */

#define REQUEST                                                              \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"                    \
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" \
    "Sec-WebSocket-Version: 13\r\n\r\n"

/* A mask of zeros, so that a client's payload can be read here. */
#define NO_MASK "\0\0\0\0"

/* `a` is a server, the raw end a client; or the other way round. */
struct against_raw {
    struct ends e;
    struct link *lower; /* of a client */
    struct raw raw;
};

static void links_open(struct against_raw *w, struct fixture *t) {
    tcp_ends_open(&w->e, t);
    raw_attach(&w->raw, &w->e.b);
}

static void server_attach(struct against_raw *w, struct slice_queue *rest) {
    struct link *link;
    struct slice_queue nothing;
    slice_queue_init(&nothing, reactor_mem(w->e.t->reactor));
    if (rest == NULL)
        rest = &nothing;
    cr_assert_eq(ws_link_accept(w->e.t->reactor, TAKE(w->e.a.link), rest, &link), 0);
    cr_assert_eq(rest->count, 0);
    end_attach(&w->e.a, w->e.t, link);
}

/* Waits for the last line of the raw end's first answer or question, and drops it. */
static void raw_skip_head(struct against_raw *w) {
    TURN_UNTIL(w->e.t,
               w->raw.got_len >= 4 && memcmp(w->raw.got + w->raw.got_len - 4, "\r\n\r\n", 4) == 0);
    w->raw.got_len = 0;
}

static void server_open(struct against_raw *w, struct fixture *t) {
    links_open(w, t);
    server_attach(w, NULL);
    raw_write_text(&w->raw, REQUEST, sizeof(REQUEST) - 1);
    raw_skip_head(w);
}

static void client_start(struct against_raw *w, struct fixture *t) {
    struct link *link;
    links_open(w, t);
    w->lower = w->e.a.link;
    cr_assert_eq(ws_link_dial(t->reactor, TAKE(w->e.a.link), "a:80", &link), 0);
    end_attach(&w->e.a, t, link);
}

static void both_close(struct against_raw *w) {
    end_close(&w->e.a, false);
    link_close(w->raw.link);
    TURN_UNTIL(w->e.t, w->e.a.closed == 1 && w->raw.closed == 1);
}

/* A header for `len` bytes from a client. */
static size_t header_put(uint8_t *out, uint8_t first, uint64_t len) {
    size_t n = 0;
    out[n++] = first;
    if (len <= 125) {
        out[n++] = (uint8_t)(0x80 | len);
    } else if (len <= UINT16_MAX) {
        out[n++] = 0x80 | 126;
        out[n++] = (uint8_t)(len >> 8);
        out[n++] = (uint8_t)len;
    } else {
        out[n++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            out[n++] = (uint8_t)(len >> shift);
    }
    memset(out + n, 0, 4);
    return n + 4;
}

/* Such a frame, of the pattern from an offset on. */
static size_t frame_put(uint8_t *out, uint8_t first, uint64_t pattern_at, size_t len) {
    size_t n = header_put(out, first, len);
    for (size_t i = 0; i < len; i++)
        out[n + i] = end_pattern(pattern_at + i);
    return n + len;
}

static void expect_got(const struct raw *x, const char *text, size_t len) {
    cr_assert_eq(x->got_len, len);
    cr_assert_arr_eq(x->got, text, len);
}

/* --- The upgrade --- */

CASE_QUIC(ws_link, has_no_room_and_nothing_to_read_before_the_upgrade) {
    static struct against_raw w;
    links_open(&w, t);
    server_attach(&w, NULL);
    end_write(&w.e.a, 1);
    raw_write_text(&w.raw, REQUEST, sizeof(REQUEST) - 3);
    turn_for(t, MSEC(5));
    cr_assert_eq(w.e.a.written, 0);
    cr_assert_eq(w.e.a.writable, 0);
    cr_assert_eq(w.raw.got_len, 0);
    raw_write_text(&w.raw, "\r\n", 2);
    TURN_UNTIL(t, w.e.a.written == 1 && w.e.a.writable == 1);
    const uint8_t frame[] = {0x82, 1, end_pattern(0)};
    TURN_UNTIL(t, w.raw.got_len > 3 && memcmp(w.raw.got + w.raw.got_len - 3, frame, 3) == 0);
    both_close(&w);
}

CASE_QUIC(ws_link, takes_a_request_and_frames_that_come_in_one_piece_or_byte_by_byte) {
    for (size_t cut = 1; cut < 1000; cut += 998) {
        static uint8_t bytes[512];
        struct against_raw *w = calloc(1, sizeof(*w));
        size_t len = sizeof(REQUEST) - 1;
        links_open(w, t);
        server_attach(w, NULL);
        memcpy(bytes, REQUEST, len);
        len += frame_put(bytes + len, 0x82, 0, 5);
        len += frame_put(bytes + len, 0x82, 5, 140);
        raw_write(&w->raw, bytes, len, cut);
        TURN_UNTIL(t, w->e.a.got == 145);
        both_close(w);
        free(w);
    }
}

CASE_QUIC(ws_link, goes_on_with_what_was_read_before_it_was_made) {
    static struct against_raw w;
    static uint8_t bytes[512];
    struct slice in;
    struct slice_queue rest;
    links_open(&w, t);
    w.e.a.paused = true;
    size_t len = sizeof(REQUEST) - 1;
    memcpy(bytes, REQUEST, len);
    len += frame_put(bytes + len, 0x82, 0, 9);
    raw_write(&w.raw, bytes, len, 50);
    slice_queue_init(&rest, reactor_mem(t->reactor));
    while (rest.len < len) {
        ssize_t n = link_read(w.e.a.link, &in, 1);
        cr_assert(n >= 0);
        if (n > 0)
            cr_assert_eq(slice_queue_push(&rest, in), 0);
        cr_assert_eq(reactor_turn(t->reactor, 0), 0);
    }
    w.e.a.paused = false;
    server_attach(&w, &rest);
    cr_assert_eq(w.e.a.got, 0, "a callback from inside the call");
    TURN_UNTIL(t, w.e.a.got == 9);
    both_close(&w);
}

CASE_QUIC(ws_link, answers_what_is_no_upgrade_and_fails) {
    static struct against_raw w;
    links_open(&w, t);
    server_attach(&w, NULL);
    raw_write_text(&w.raw, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    TURN_UNTIL(t, w.e.a.read_error != 0);
    cr_assert_eq(w.e.a.read_error, -ERR_HANDSHAKE);
    end_close(&w.e.a, false);
    TURN_UNTIL(t, w.e.a.closed == 1 && w.raw.read_error != 0);
    cr_assert_eq(w.e.a.closed_error, -ERR_HANDSHAKE);
    cr_assert_eq(w.raw.read_error, -ENODATA, "the answer, and an end");
    cr_assert_eq(memcmp(w.raw.got, "HTTP/1.1 426 ", 13), 0);
    both_close(&w);
}

CASE_QUIC(ws_link, fails_when_the_server_refuses) {
    static struct against_raw w;
    struct slice none = SLICE_EMPTY;
    client_start(&w, t);
    cr_assert_eq(link_write(w.e.a.link, &none, 1), 0);
    raw_skip_head(&w);
    raw_write_text(&w.raw, "HTTP/1.1 404 Not Found\r\n\r\n", 26);
    TURN_UNTIL(t, w.e.a.read_error != 0 && w.e.a.writable == 1);
    cr_assert_eq(w.e.a.read_error, -ERR_HANDSHAKE);
    cr_assert_eq(link_write(w.e.a.link, &none, 1), -ERR_HANDSHAKE);
    both_close(&w);
}

CASE_QUIC(ws_link, fails_when_the_link_ends_before_the_upgrade) {
    static struct against_raw w;
    client_start(&w, t);
    raw_skip_head(&w);
    link_shutdown_write(w.raw.link);
    TURN_UNTIL(t, w.e.a.read_error != 0);
    cr_assert_eq(w.e.a.read_error, -ERR_CONN_CLOSED);
    both_close(&w);
}

CASE_QUIC(ws_link, may_be_closed_before_the_upgrade) {
    static struct against_raw w;
    client_start(&w, t);
    both_close(&w);
    cr_assert_eq(w.e.a.closed_error, 0);
}

CASE_QUIC(ws_link, needs_a_host_that_can_be_sent) {
    static struct against_raw w;
    struct link *link;
    links_open(&w, t);
    cr_assert_eq(ws_link_dial(t->reactor, w.e.a.link, "", &link), -EINVAL);
    cr_assert_eq(ws_link_dial(t->reactor, w.e.a.link, "a\r\nb", &link), -EINVAL);
    both_close(&w); /* the link is still the caller's */
}

/* --- Frames --- */

CASE_QUIC(ws_link, boundaries_of_messages_mean_nothing) {
    static struct against_raw w;
    static uint8_t bytes[300000];
    server_open(&w, t);
    size_t len = frame_put(bytes, 0x02, 0, 10); /* a message begins, goes on twice, ends */
    len += frame_put(bytes + len, 0x00, 10, 0);
    len += frame_put(bytes + len, 0x00, 10, 200);
    len += frame_put(bytes + len, 0x80, 210, 70000);
    len += frame_put(bytes + len, 0x82, 70210, 0);
    len += frame_put(bytes + len, 0x82, 70210, 65535);
    raw_write(&w.raw, bytes, len, SIZE_MAX);
    TURN_UNTIL(t, w.e.a.got == 70210 + 65535);
    cr_assert_eq(w.e.a.read_error, 0);
    both_close(&w);
}

/* A frame of four GiB is announced; what comes of it is handed over. */
CASE_QUIC(ws_link, keeps_nothing_of_a_frame_back) {
    static struct against_raw w;
    static uint8_t bytes[100000];
    server_open(&w, t);
    size_t n = header_put(bytes, 0x82, (uint64_t)4 << 30);
    for (size_t i = 0; i < 50000; i++)
        bytes[n + i] = end_pattern(i);
    raw_write(&w.raw, bytes, n + 50000, SIZE_MAX);
    TURN_UNTIL(t, w.e.a.got == 50000);
    link_shutdown_write(w.raw.link);
    TURN_UNTIL(t, w.e.a.read_error != 0);
    cr_assert_eq(w.e.a.read_error, -ERR_TRUNCATED, "an end inside a frame is none");
    both_close(&w);
}

CASE_QUIC(ws_link, an_end_between_frames_is_an_end) {
    static struct against_raw w;
    static uint8_t bytes[100];
    server_open(&w, t);
    raw_write(&w.raw, bytes, frame_put(bytes, 0x82, 0, 10), SIZE_MAX);
    link_shutdown_write(w.raw.link);
    TURN_UNTIL(t, w.e.a.read_error != 0);
    cr_assert_eq(w.e.a.read_error, -ENODATA);
    cr_assert_eq(w.e.a.got, 10);
    both_close(&w);
}

CASE_QUIC(ws_link, frames_that_break_the_protocol_fail_it_with_a_close) {
    static const struct {
        const char *bytes;
        size_t len;
        const char *why;
    } rows[] = {
        {"\x82\x03"
         "abc",
         5, "a client's frame without a mask"},
        {"\x81\x83" NO_MASK "abc", 9, "text"},
        {"\xc2\x83" NO_MASK "abc", 9, "a reserved bit"},
        {"\x80\x83" NO_MASK "abc", 9, "goes on with no message"},
        {"\x02\x83" NO_MASK "abc\x82\x83" NO_MASK "abc", 18, "a message inside a message"},
        {"\x09\x80" NO_MASK, 6, "a control frame in parts"},
        {"\x89\xfe\x00\x7e" NO_MASK, 8, "a control frame of 126 bytes"},
        {"\x83\x80" NO_MASK, 6, "an opcode that is none"},
        {"\x82\xfe\x00\x05" NO_MASK "abcde", 13, "a length that is not the shortest"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct against_raw *w = calloc(1, sizeof(*w));
        server_open(w, t);
        w->e.a.got = UINT64_MAX; /* what was whole before is not looked at */
        w->e.a.paused = true;
        raw_write_text(&w->raw, rows[i].bytes, rows[i].len);
        TURN_UNTIL(t, w->raw.got_len == 4);
        expect_got(&w->raw, "\x88\x02\x03\xea", 4);
        struct slice in;
        cr_assert_eq(link_read(w->e.a.link, &in, 1), -ERR_PROTOCOL_VIOLATION, "%s", rows[i].why);
        end_close(&w->e.a, false);
        TURN_UNTIL(t, w->e.a.closed == 1 && w->raw.read_error != 0);
        cr_assert_eq(w->raw.read_error, -ENODATA, "%s", rows[i].why);
        both_close(w);
        free(w);
    }
}

/* The raw end is the server: it reads a client's request and answers with the proof of its key. */
static void client_open(struct against_raw *w, struct fixture *t) {
    struct websocket server;
    char answer[WEBSOCKET_OUT_MAX];
    client_start(w, t);
    TURN_UNTIL(t,
               w->raw.got_len >= 4 && memcmp(w->raw.got + w->raw.got_len - 4, "\r\n\r\n", 4) == 0);
    websocket_init_server(&server);
    size_t n = websocket_recv(&server, bytes_of(w->raw.got, w->raw.got_len));
    cr_assert_eq(n, w->raw.got_len);
    cr_assert_eq(server.state, WEBSOCKET_OPEN);
    raw_write_text(&w->raw, answer, websocket_pull(&server, answer, sizeof(answer)));
    w->raw.got_len = 0;
}

CASE_QUIC(ws_link, a_server_that_masks_fails_it) {
    static struct against_raw w;
    client_open(&w, t);
    w.e.a.paused = true;
    raw_write_text(&w.raw, "\x82\x81" NO_MASK "x", 7);
    TURN_UNTIL(t, w.raw.got_len == 8); /* a Close, masked */
    struct slice in;
    cr_assert_eq(link_read(w.e.a.link, &in, 1), -ERR_PROTOCOL_VIOLATION);
    both_close(&w);
}

CASE_QUIC(ws_link, a_client_masks_each_frame_anew) {
    static struct against_raw w;
    client_open(&w, t);
    for (int i = 0; i < 2; i++) {
        uint64_t at = w.e.a.written;
        end_write(&w.e.a, 1);
        TURN_UNTIL(t, w.raw.got_len == 7 * ((size_t)i + 1));
        const uint8_t *frame = w.raw.got + 7 * i;
        cr_assert_eq(frame[0], 0x82);
        cr_assert_eq(frame[1], 0x81);
        cr_assert_eq(frame[6] ^ frame[2], end_pattern(at));
    }
    cr_assert_neq(memcmp(w.raw.got + 2, w.raw.got + 9, 4), 0);
    both_close(&w);
}

/* --- Control frames --- */

CASE_QUIC(ws_link, answers_pings_with_what_they_say) {
    static struct against_raw w;
    server_open(&w, t);
    raw_write_text(&w.raw, "\x89\x85" NO_MASK "hello", 11);
    TURN_UNTIL(t, w.raw.got_len == 7);
    expect_got(&w.raw, "\x8a\x05hello", 7);
    w.raw.got_len = 0;
    raw_write_text(&w.raw, "\x8a\x83" NO_MASK "any\x89\x80" NO_MASK, 15); /* a pong means nothing */
    TURN_UNTIL(t, w.raw.got_len == 2);
    expect_got(&w.raw, "\x8a\x00", 2);
    cr_assert_eq(w.e.a.got, 0);
    both_close(&w);
}

/* Pings of a peer that reads nothing pile up nowhere. */
CASE_QUIC(ws_link, has_at_most_one_answer_waiting) {
    static struct against_raw w;
    static uint8_t bytes[6 * 10000];
    server_open(&w, t);
    for (size_t i = 0; i < sizeof(bytes); i += 6)
        memcpy(bytes + i, "\x89\x80" NO_MASK, 6);
    raw_write(&w.raw, bytes, sizeof(bytes), SIZE_MAX);
    TURN_UNTIL(t, w.raw.got_len >= 2);
    turn_for(t, MSEC(20));
    cr_assert(w.raw.got_len < 2 * 1000, "%zu bytes", w.raw.got_len);
    both_close(&w);
}

CASE_QUIC(ws_link, a_ping_inside_a_message_is_answered_between_frames) {
    static struct against_raw w;
    static uint8_t bytes[200];
    server_open(&w, t);
    size_t len = frame_put(bytes, 0x02, 0, 50);
    len += frame_put(bytes + len, 0x89, 0, 0);
    len += frame_put(bytes + len, 0x80, 50, 50);
    raw_write(&w.raw, bytes, len, 1);
    TURN_UNTIL(t, w.e.a.got == 100 && w.raw.got_len == 2);
    expect_got(&w.raw, "\x8a\x00", 2);
    both_close(&w);
}

/* What waits for a slab inside a frame is dropped with the frame unfinished. */
CASE_QUIC(ws_link, answers_no_ping_inside_a_frame_that_a_failure_cuts) {
    static struct against_raw w;
    client_open(&w, t);
    end_write(&w.e.a, 1);
    TURN_UNTIL(t, w.raw.got_len == 7);
    struct quota *slabs = link_quota(w.lower);
    slabs->max_bytes = 4 << 10;
    end_write(&w.e.a, 60000);
    slabs->max_bytes = 0;
    raw_write_text(&w.raw, "\x89\x00\x82", 3);
    TURN_UNTIL(t, w.raw.got_len > 7);
    size_t sent = w.raw.got_len;
    link_shutdown_write(w.raw.link);
    TURN_UNTIL(t, w.e.a.read_error == -ERR_TRUNCATED);
    slabs->max_bytes = 4 << 10;
    turn_for(t, MSEC(20));
    cr_assert_eq(w.raw.got_len, sent);
    both_close(&w);
}

CASE_QUIC(ws_link, says_close_and_takes_close_as_the_end) {
    static struct against_raw w;
    server_open(&w, t);
    raw_write_text(&w.raw, "\x88\x82" NO_MASK "\x03\xe8\x82\x81" NO_MASK "x", 15);
    TURN_UNTIL(t, w.e.a.read_error == -ENODATA);
    cr_assert_eq(w.e.a.got, 0, "nothing follows a Close");
    cr_assert_eq(w.raw.got_len, 0, "ours is to come when we are done");
    link_shutdown_write(w.e.a.link);
    TURN_UNTIL(t, w.raw.read_error == -ENODATA);
    expect_got(&w.raw, "\x88\x02\x03\xe8", 4);
    both_close(&w);
}

CASE_QUIC(ws_link, says_close_when_it_is_closed) {
    static struct against_raw w;
    server_open(&w, t);
    end_close(&w.e.a, false);
    TURN_UNTIL(t, w.e.a.closed == 1 && w.raw.read_error != 0);
    expect_got(&w.raw, "\x88\x02\x03\xe8", 4);
    cr_assert_eq(w.raw.read_error, -ENODATA);
    both_close(&w);
}

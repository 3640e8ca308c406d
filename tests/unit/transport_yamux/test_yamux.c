/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "core/base/problem.h"
#include "raw.h"
#include "tests/support/fail_mem.h"
#include "tests/support/vectors.h"
#include "transport/proto/yamux_frame.h"

/* Goal: the session.  Spec: yamux.md, in brackets the section. */

#define GO_AWAY_PROTOCOL "000300000000000000000001"

static bool is_over(struct pair *p, unsigned side, int error) {
    (void)pair_drain(p, side);
    return p->side[side].closed && !yamux_is_open(p->side[side].y) &&
           yamux_error(p->side[side].y, NULL) == error;
}

/* --- [Header], [Vectors] --- */

Test(yamux_frame, of_each_vector_is_read_and_written_alike) {
    struct vectors v = vectors_open("yamux");
    vectors_for_each(row, &v) {
        uint8_t memory[64];
        uint8_t out[YAMUX_FRAME_BYTES];
        struct bytes b = row_hex(row, "bytes", memory, sizeof(memory));
        struct yamux_frame f;
        cr_assert_eq(yamux_frame_read(b.data, &f), 0, "%s", row_str(row, "name"));
        yamux_frame_write(&f, out);
        cr_assert_eq(memcmp(out, b.data, sizeof(out)), 0, "%s", row_str(row, "name"));
        size_t body = f.type == YAMUX_DATA ? f.length : 0;
        cr_assert_eq(b.len, sizeof(out) + body, "%s", row_str(row, "name"));
    }
    vectors_close(&v);
}

/* What each vector does to the side that hears it, and what that side then says. */
Test(yamux, understands_each_vector) {
    static const struct {
        const char *name;
        unsigned side;
        bool stream_1; /* the side has it open: the client its own, the server the peer's */
        const char *says;
        int error;
    } rows[] = {
        {"open-stream-1-by-window-update", SERVER, false, "000100020000000100000000", 0},
        {"open-stream-1-by-data", SERVER, false, "000100020000000100000000", 0},
        {"accept-stream-1", CLIENT, true, "", 0},
        {"accept-with-larger-window", CLIENT, true, "", 0},
        {"data-stream-1", CLIENT, true, "", 0},
        {"window-update-128KiB", CLIENT, true, "", 0},
        {"fin-by-window-update", SERVER, true, "", 0},
        {"fin-by-empty-data", SERVER, true, "", 0},
        {"rst-by-window-update", SERVER, true, "", 0},
        {"rst-with-error-code-0x1001", SERVER, true, "", 0},
        {"rst-by-data", SERVER, true, "", 0},
        {"syn-fin", SERVER, false, "000100020000000300000000", 0},
        {"syn-ack-fin-from-server-stream-2", CLIENT, false, "", 0},
        {"ping-request-id-0", CLIENT, false, "000200020000000000000000", 0},
        {"ping-response-id-0", CLIENT, false, "", 0},
        {"ping-request-deadbeef", SERVER, false, "0002000200000000deadbeef", 0},
        {"ping-response-deadbeef", SERVER, false, "", 0},
        {"go-away-normal", CLIENT, false, "", -ERR_CONN_CLOSED},
        {"go-away-protocol-error", CLIENT, false, "", -ERR_CONN_CLOSED},
        {"go-away-internal-error", CLIENT, false, "", -ERR_CONN_CLOSED},
        {"go-away-conn-gated-0x1007", CLIENT, true, "", -ERR_GATED},
    };
    struct vectors v = vectors_open("yamux");
    cr_assert_eq(json_array_size(v.rows), ARRAY_COUNT(rows));
    vectors_for_each(row, &v) {
        const char *name = row_str(row, "name");
        uint8_t memory[64];
        struct bytes b = row_hex(row, "bytes", memory, sizeof(memory));
        size_t i = 0;
        while (strcmp(rows[i].name, name) != 0)
            cr_assert_lt(++i, ARRAY_COUNT(rows), "%s", name);
        struct pair *p = raw_pair();
        unsigned side = rows[i].side;
        if (rows[i].stream_1 && side == CLIENT)
            (void)raw_open(p, CLIENT);
        else if (rows[i].stream_1)
            HEARS(p, SERVER, "000100010000000100000000");
        (void)raw_said(p, side);
        raw_hear(p, side, b);
        cr_assert_str_eq(raw_said(p, side), rows[i].says, "%s", name);
        cr_assert_eq(yamux_error(p->side[side].y, NULL), rows[i].error, "%s", name);
        pair_done(p);
    }
    vectors_close(&v);
}

/* Each read of the capture goes to the side that it was for, which accepts streams and says no
 * more than the peer did. */
Test(yamux, follows_a_conversation_of_go_with_go) {
    struct vectors v = vectors_open("transcripts");
    json_t *row = json_array_get(v.rows, 0);
    json_t *chunks = json_object_get(row, "chunks");
    struct pair *p = raw_pair();
    bool started = false;
    for (size_t i = 0; i < json_array_size(chunks); i++) {
        json_t *chunk = json_array_get(chunks, i);
        static uint8_t memory[1 << 16];
        struct bytes b = row_hex(chunk, "bytes", memory, sizeof(memory));
        started = started || bytes_start_with(b, HEX("000200010000000000000000"));
        if (!started)
            continue;
        unsigned side = row_is(chunk, "from", "dialer") ? SERVER : CLIENT;
        /* Streams of the hearer's own, which the capture acknowledges. */
        while (p->side[side].seen_count < 8 && side == CLIENT)
            (void)raw_open(p, CLIENT);
        raw_hear(p, side, b);
        (void)raw_said(p, side);
        cr_assert(yamux_is_open(p->side[side].y), "chunk %zu: %s", i, row_str(chunk, "meaning"));
    }
    cr_assert(started);
    for (unsigned id = 1; id <= 5; id += 2) {
        struct yamux_stream *s = raw_stream(p, SERVER, id);
        cr_assert_gt(raw_read(s, NULL, 0), 20, "stream %u", id);
    }
    cr_assert_gt(raw_read(raw_stream(p, CLIENT, 2), NULL, 0), 20);
    pair_done(p);
    vectors_close(&v);
}

/* --- [Message], [What go did with odd input] --- */

Test(yamux, ends_the_session_on_what_go_takes_for_an_attack) {
    static const struct {
        const char *what;
        const char *hears;
    } rows[] = {
        {"a SYN with an ID of ours", "000100010000000200000000"},
        {"a SYN on ID 0", "000100010000000000000000"},
        {"a second SYN on a live ID", "000100010000000100000000000100010000000100000000"},
        {"the same on data", "000100010000000100000000000000010000000100000000"},
        {"another version", "010100010000000100000000"},
        {"an unknown type", "000400000000000000000000"},
        {"more than the window at once", "00010001000000010000000000000000000000010004 0001"},
        {"more than the window with the opening", "000000010000000100040001"},
        {"a window beyond 32 bits", "0001000100000001fffc0000"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pair *p = raw_pair();
        char text[128];
        size_t len = 0;
        for (const char *c = rows[i].hears; *c != '\0'; c++)
            if (*c != ' ')
                text[len++] = *c;
        text[len] = '\0';
        raw_hear(p, SERVER, hex_into(text, (uint8_t[64]){0}, 64));
        cr_assert(is_over(p, SERVER, -ERR_PROTOCOL_VIOLATION), "%s", rows[i].what);
        const char *said = raw_said(p, SERVER);
        cr_assert_str_eq(said, GO_AWAY_PROTOCOL, "%s: %s", rows[i].what, said);
        pair_done(p);
    }
}

Test(yamux, goes_on_after_what_go_ignores) {
    static const struct {
        const char *what;
        const char *hears;
    } rows[] = {
        {"data for an unknown ID", "000000000000000700000003616263"},
        {"the same for ID 0", "000000000000000000000003616263"},
        {"credit for an unknown ID", "000100000000000700000003"},
        {"FIN and RST for unknown IDs", "000100040000000700000000000100080000000900000000"},
        {"flags above 8", "00020ff00000000000000000"},
        {"a ping with no flag", "000200000000000000000000"},
        {"a pong that nobody asked for", "000200020000000000000009"},
        {"a pong twice", "000200020000000000000000000200020000000000000000"},
        {"ACK for an unknown ID", "000100020000000700000000"},
    };
    struct pair *p = raw_pair();
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        raw_hear(p, SERVER, hex_into(rows[i].hears, (uint8_t[64]){0}, 64));
        const char *said = raw_said(p, SERVER);
        cr_assert_str_eq(said, "", "%s: %s", rows[i].what, said);
        HEARS(p, SERVER, "000200010000000000000007");
        said = raw_said(p, SERVER);
        cr_assert_str_eq(said, "000200020000000000000007", "%s: %s", rows[i].what, said);
    }
    cr_assert_eq(yamux_streams_count(p->side[SERVER].y), 0);
    pair_done(p);
}

Test(yamux, takes_a_ping_with_both_flags_and_an_id_for_a_request) {
    struct pair *p = raw_pair();
    HEARS(p, SERVER, "00020003000000090000002a");
    SAYS(p, SERVER, "00020002000000000000002a");
    pair_done(p);
}

Test(yamux, takes_ids_out_of_order) {
    struct pair *p = raw_pair();
    HEARS(p, SERVER, "000100010000000500000000000100010000000300000000");
    SAYS(p, SERVER, "000100020000000500000000000100020000000300000000");
    pair_done(p);
}

Test(yamux, takes_a_body_as_large_as_the_window) {
    struct pair *p = raw_pair();
    raw_frame(p, SERVER, 0, 1, 1, YAMUX_WINDOW_FIRST, YAMUX_WINDOW_FIRST);
    SAYS(p, SERVER, "000100020000000100000000");
    cr_assert_eq(raw_read(raw_stream(p, SERVER, 1), NULL, 0), YAMUX_WINDOW_FIRST);
    SAYS(p, SERVER, "000100000000000100040000");
    pair_done(p);
}

/* Every split point gives the same. */
Test(yamux, does_not_care_where_its_input_is_cut) {
    const char *input = "0002000100000000deadbeef"           /* ping */
                        "000000010000000100000003616263"     /* open with "abc" */
                        "00000005000000030000000568656c6c6f" /* open, "hello", end */
                        "000000000000000100000003646566"     /* "def" */
                        "000100080000000100001004"           /* reset 1 */
                        "000000000000000900000003676869";    /* for nobody */
    struct bytes in = hex_into(input, (uint8_t[128]){0}, 128);
    for (size_t cut = 0; cut <= in.len; cut++) {
        struct pair *p = raw_pair();
        raw_hear(p, SERVER, bytes_of(in.data, cut));
        raw_hear(p, SERVER, bytes_skip(in, cut));
        const char *said = raw_said(p, SERVER);
        cr_assert_str_eq(said, "0002000200000000deadbeef000100020000000300000000", "%zu: %s", cut,
                         said);
        struct yamux_stream *s = raw_stream(p, SERVER, 3);
        raw_reads(s, "hello");
        cr_assert_eq(raw_read(s, NULL, 0), -ENODATA);
        cr_assert_null(pair_seen_id(&p->side[SERVER], 1), "told of a stream that was reset");
        pair_done(p);
    }
}

/* --- [PING] --- */

Test(yamux, measures_the_round_trip_by_pings_of_which_one_is_outstanding) {
    struct pair *p = raw_pair();
    cr_assert_eq(yamux_rtt(p->side[CLIENT].y), 0);
    p->now += MSEC(40);
    HEARS(p, CLIENT, "000200020000000000000000");
    cr_assert_eq(yamux_rtt(p->side[CLIENT].y), MSEC(40));
    /* Traffic does not keep it from being measured anew. */
    nsec_t start = SEC(1);
    while (p->now < start + YAMUX_RTT_INTERVAL) {
        yamux_tick(p->side[CLIENT].y, p->now);
        SAYS(p, CLIENT, "");
        HEARS(p, CLIENT, "000000000000000700000000");
        p->now += SEC(1);
    }
    yamux_tick(p->side[CLIENT].y, p->now);
    SAYS(p, CLIENT, "000200010000000000000001");
    p->now += MSEC(60);
    HEARS(p, CLIENT, "000200020000000000000000"); /* not that one */
    HEARS(p, CLIENT, "000200020000000000000001");
    cr_assert_eq(yamux_rtt(p->side[CLIENT].y), MSEC(50));
    pair_done(p);
}

/* Decision 6: 30 s when idle. */
Test(yamux, idle_peer_that_died_is_found_within_30_s) {
    struct pair *p = raw_pair();
    struct yamux *y = p->side[CLIENT].y;
    p->now += MSEC(1);
    HEARS(p, CLIENT, "000200020000000000000000");
    nsec_t heard = p->now;
    cr_assert_eq(yamux_deadline(y), heard + YAMUX_PING_INTERVAL);
    p->now = heard + YAMUX_PING_INTERVAL - 1;
    yamux_tick(y, p->now);
    SAYS(p, CLIENT, "");
    p->now++;
    yamux_tick(y, p->now);
    SAYS(p, CLIENT, "000200010000000000000001");
    cr_assert_eq(yamux_deadline(y), p->now + YAMUX_SILENCE_MAX);
    p->now += YAMUX_SILENCE_MAX - 1;
    yamux_tick(y, p->now);
    cr_assert(yamux_is_open(y));
    p->now++;
    yamux_tick(y, p->now);
    cr_assert(is_over(p, CLIENT, -ETIMEDOUT));
    cr_assert_leq(p->now, heard + SEC(30));
    SAYS(p, CLIENT, "");
    pair_done(p);
}

/* Decision 6: 15 s with data outstanding. */
Test(yamux, peer_that_leaves_data_unanswered_is_found_within_15_s) {
    struct pair *p = raw_pair();
    struct yamux *y = p->side[CLIENT].y;
    HEARS(p, CLIENT, "000200020000000000000000");
    struct yamux_stream *s = raw_open(p, CLIENT);
    raw_write(p, s, "abc");
    p->now += MSEC(3);
    SAYS(p, CLIENT, "000000010000000100000003616263");
    nsec_t sent = p->now;
    cr_assert_eq(yamux_deadline(y), sent + YAMUX_PING_DELAY);
    p->now = yamux_deadline(y);
    yamux_tick(y, p->now);
    SAYS(p, CLIENT, "000200010000000000000001");
    cr_assert_eq(yamux_deadline(y), sent + YAMUX_SILENCE_MAX);
    p->now = yamux_deadline(y);
    yamux_tick(y, p->now);
    cr_assert(is_over(p, CLIENT, -ETIMEDOUT));
    cr_assert_eq(pair_seen_id(&p->side[CLIENT], 1)->error, -ETIMEDOUT);
    pair_done(p);
}

/* What was on its way when the peer died is no answer: found after 25 s once. */
Test(yamux, message_in_flight_when_the_peer_dies_answers_no_data) {
    struct pair *p = raw_pair();
    struct yamux *y = p->side[CLIENT].y;
    HEARS(p, CLIENT, "000200020000000000000000");
    struct yamux_stream *s = raw_open(p, CLIENT);
    raw_write(p, s, "abc");
    p->now += MSEC(3);
    SAYS(p, CLIENT, "000000010000000100000003616263");
    p->now += MSEC(3);
    HEARS(p, CLIENT, "000000000000000700000000");
    nsec_t heard = p->now;
    cr_assert_eq(yamux_deadline(y), heard + YAMUX_PING_DELAY);
    p->now = yamux_deadline(y);
    yamux_tick(y, p->now);
    SAYS(p, CLIENT, "000200010000000000000001");
    cr_assert_eq(yamux_deadline(y), heard + YAMUX_SILENCE_MAX);
    p->now = yamux_deadline(y);
    yamux_tick(y, p->now);
    cr_assert(is_over(p, CLIENT, -ETIMEDOUT));
    pair_done(p);
}

Test(yamux, a_probe_is_a_ping_at_once_and_its_answer_a_sign_of_life) {
    struct pair *p = raw_pair();
    struct yamux *y = p->side[CLIENT].y;
    HEARS(p, CLIENT, "000200020000000000000000");
    p->now += SEC(1);
    nsec_t heard_at = yamux_heard_at(y);
    yamux_probe(y);
    SAYS(p, CLIENT, "000200010000000000000001");
    yamux_probe(y); /* one is out */
    SAYS(p, CLIENT, "");
    cr_assert_eq(yamux_heard_at(y), heard_at);
    p->now += MSEC(10);
    HEARS(p, CLIENT, "000200020000000000000001");
    cr_assert_eq(yamux_heard_at(y), p->now);
    yamux_close(y, CONN_CODE_NONE, p->now);
    yamux_probe(y);
    SAYS(p, CLIENT, "000300000000000000000000"); /* nothing behind the last word */
    pair_done(p);
}

/* Data, a ping behind it, more data: the pong proves the former alone. */
Test(yamux, answer_to_a_ping_proves_what_was_sent_before_it) {
    struct pair *p = raw_pair();
    struct yamux *y = p->side[CLIENT].y;
    HEARS(p, CLIENT, "000200020000000000000000");
    struct yamux_stream *s = raw_open(p, CLIENT);
    raw_write(p, s, "abc");
    SAYS(p, CLIENT, "000000010000000100000003616263");
    p->now = yamux_deadline(y);
    yamux_tick(y, p->now);
    SAYS(p, CLIENT, "000200010000000000000001");
    raw_write(p, s, "d");
    SAYS(p, CLIENT, "00000000000000010000000164");
    p->now += MSEC(1);
    HEARS(p, CLIENT, "000200020000000000000001");
    cr_assert_eq(yamux_deadline(y), p->now + YAMUX_PING_DELAY);
    p->now = yamux_deadline(y);
    yamux_tick(y, p->now);
    SAYS(p, CLIENT, "000200010000000000000002");
    p->now += MSEC(1);
    HEARS(p, CLIENT, "000200020000000000000002");
    cr_assert_eq(yamux_deadline(y), p->now + YAMUX_PING_INTERVAL, "nothing is outstanding");
    pair_done(p);
}

/* A ping behind much data on a slow link comes too late to be answered in time. */
Test(yamux, peer_whose_system_acknowledges_more_and_more_is_not_given_up) {
    struct pair *p = raw_pair();
    struct yamux *y = p->side[CLIENT].y;
    uint64_t acked = 1000;
    HEARS(p, CLIENT, "000200020000000000000000");
    struct yamux_stream *s = raw_open(p, CLIENT);
    raw_write(p, s, "abc");
    SAYS(p, CLIENT, "000000010000000100000003616263");
    for (int i = 0; i < 10; i++) {
        p->now += SEC(10);
        yamux_link_acked(y, acked += 1310, p->now - MSEC(50));
        yamux_tick(y, p->now);
        SAYS(p, CLIENT, i == 0 ? "000200010000000000000001" : "");
        cr_assert(yamux_is_open(y));
    }
    nsec_t last = p->now - MSEC(50);
    yamux_link_acked(y, acked, p->now + SEC(1)); /* nothing new, however lately it was said */
    cr_assert_eq(yamux_deadline(y), last + YAMUX_SILENCE_MAX);
    p->now = last + YAMUX_SILENCE_MAX;
    yamux_tick(y, p->now);
    cr_assert(is_over(p, CLIENT, -ETIMEDOUT));
    pair_done(p);
}

Test(yamux, peers_that_answer_pings_stay_for_hours) {
    static struct pair p;
    pair_init(&p);
    pair_run_until(&p, p.now + SEC(3600));
    cr_assert(yamux_is_open(p.side[0].y));
    cr_assert(yamux_is_open(p.side[1].y));
    pair_done(&p);
}

/* A peer that talks but never answers a ping is alive while it talks. */
Test(yamux, peer_without_an_answer_to_pings_dies_of_silence_only) {
    struct pair *p = raw_pair();
    struct yamux *y = p->side[CLIENT].y;
    for (int i = 0; i < 100; i++) {
        p->now += SEC(1);
        HEARS(p, CLIENT, "000000000000000700000000");
        yamux_tick(y, p->now);
        SAYS(p, CLIENT, "");
    }
    p->now += YAMUX_SILENCE_MAX;
    yamux_tick(y, p->now);
    cr_assert(is_over(p, CLIENT, -ETIMEDOUT));
    pair_done(p);
}

/* --- [GO_AWAY] --- */

Test(yamux, tells_with_which_code_the_peer_went) {
    static const struct {
        const char *hears;
        int error;
    } rows[] = {
        {"000300000000000000000000", -ERR_CONN_CLOSED},
        {"000300000000000000000001", -ERR_CONN_CLOSED},
        {"000300000000000000001007", -ERR_GATED},
        {"000300000000000000001001", -ERR_RESOURCE_LIMIT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pair *p = raw_pair();
        (void)raw_open(p, CLIENT);
        raw_hear(p, CLIENT, hex_into(rows[i].hears, (uint8_t[64]){0}, 64));
        cr_assert(is_over(p, CLIENT, rows[i].error));
        cr_assert_eq(pair_seen_id(&p->side[CLIENT], 1)->error, rows[i].error);
        struct problem why = PROBLEM_INIT;
        (void)yamux_error(p->side[CLIENT].y, &why);
        cr_assert_neq(why.text[0], '\0');
        SAYS(p, CLIENT, "");
        pair_done(p);
    }
}

Test(yamux, close_says_the_code_and_nothing_else) {
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    raw_write(p, s, "abc");
    HEARS(p, CLIENT, "000200010000000000000007");
    yamux_close(p->side[CLIENT].y, CONN_CODE_GATED, p->now);
    SAYS(p, CLIENT, "000300000000000000001007");
    cr_assert(is_over(p, CLIENT, 0));
    cr_assert_eq(pair_seen_id(&p->side[CLIENT], 1)->error, -ERR_CONN_CLOSED);
    cr_assert_eq(pair_write(p, s, BYTES_LIT("x")), -ERR_CONN_CLOSED);
    struct yamux_stream *other;
    cr_assert_eq(yamux_stream_open(p->side[CLIENT].y, &other), -ERR_CONN_CLOSED);
    cr_assert_eq(yamux_deadline(p->side[CLIENT].y), NSEC_NEVER);
    pair_done(p);
}

Test(yamux, end_of_the_link_is_a_close_also_by_reset) {
    static const struct {
        int link;
        int error;
    } rows[] = {{0, -ERR_CONN_CLOSED},
                {-ENODATA, -ERR_CONN_CLOSED},
                {-ECONNRESET, -ERR_CONN_CLOSED},
                {-ETIMEDOUT, -ETIMEDOUT}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pair *p = raw_pair();
        (void)raw_open(p, CLIENT);
        yamux_recv_end(p->side[CLIENT].y, rows[i].link, p->now);
        cr_assert(is_over(p, CLIENT, rows[i].error));
        cr_assert_eq(pair_seen_id(&p->side[CLIENT], 1)->error, rows[i].error);
        SAYS(p, CLIENT, "");
        pair_done(p);
    }
}

Test(yamux, stream_received_whole_can_be_read_after_the_end) {
    struct pair *p = raw_pair();
    HEARS(p, SERVER,
          "000000010000000100000003616263000000010000000300000003646566"
          "000100040000000100000000");
    (void)raw_said(p, SERVER);
    struct yamux_stream *whole = raw_stream(p, SERVER, 1);
    yamux_stream_shutdown_write(whole);
    SAYS(p, SERVER, "000100040000000100000000");
    HEARS(p, SERVER, "000300000000000000000000");
    cr_assert(is_over(p, SERVER, -ERR_CONN_CLOSED));
    cr_assert(pair_seen_id(&p->side[SERVER], 3)->closed);
    cr_assert_not(pair_seen_id(&p->side[SERVER], 1)->closed);
    raw_reads(whole, "abc");
    cr_assert_eq(raw_read(whole, NULL, 0), -ENODATA);
    (void)pair_drain(p, SERVER);
    cr_assert(pair_seen_id(&p->side[SERVER], 1)->closed);
    cr_assert_eq(pair_seen_id(&p->side[SERVER], 1)->error, 0);
    pair_done(p);
}

/* --- [Limits] --- */

static void open_many(struct pair *p, unsigned first, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        raw_frame(p, SERVER, 1, 1, first + 2 * i, 0, 0);
}

Test(yamux, refuses_streams_beyond_its_limit_one_by_one) {
    struct pair *p = raw_pair();
    open_many(p, 1, YAMUX_STREAMS_FIRST);
    (void)raw_said(p, SERVER);
    open_many(p, 0x1001, 1);
    SAYS(p, SERVER, "000100080000100100001002");
    /* What the peer says of it meanwhile is drained. */
    HEARS(p, SERVER, "000000000000100100000003616263000100040000100100000000");
    SAYS(p, SERVER, "");
    cr_assert_eq(yamux_streams_count(p->side[SERVER].y), YAMUX_STREAMS_FIRST);
    yamux_admit(p->side[SERVER].y);
    open_many(p, 0x2001, YAMUX_STREAMS_MAX - YAMUX_STREAMS_FIRST);
    (void)raw_said(p, SERVER);
    open_many(p, 0x9001, 1);
    SAYS(p, SERVER, "000100080000900100001002");
    /* One that ends makes room. */
    HEARS(p, SERVER, "000100080000000100000000");
    open_many(p, 0x9003, 1);
    SAYS(p, SERVER, "000100020000900300000000");
    pair_done(p);
}

Test(yamux, opens_no_more_than_200_streams_and_tells_when_it_may_again) {
    struct pair *p = raw_pair();
    struct yamux *y = p->side[CLIENT].y;
    struct yamux_stream *s;
    for (int i = 0; i < YAMUX_STREAMS_OPEN_MAX; i++)
        (void)raw_open(p, CLIENT);
    cr_assert_eq(yamux_stream_open(y, &s), -EAGAIN);
    (void)raw_said(p, CLIENT);
    cr_assert_not(p->side[CLIENT].streams_available);
    HEARS(p, CLIENT, "000100080000000100000000");
    (void)raw_said(p, CLIENT);
    cr_assert(p->side[CLIENT].streams_available);
    cr_assert_eq(yamux_stream_id(raw_open(p, CLIENT)), 2 * YAMUX_STREAMS_OPEN_MAX + 1);
    cr_assert_eq(yamux_stream_open(y, &s), -EAGAIN);
    pair_done(p);
}

/* --- Out of memory --- */

Test(yamux, that_runs_out_of_memory_fails_in_order) {
    static struct pair p;
    static struct fail_mem f;
    for (fail_mem_start(&f);; fail_mem_again(&f)) {
        p.mem = &f.mem;
        pair_init(&p);
        if (p.side[0].y != NULL && p.side[1].y != NULL) {
            for (int i = 0; i < 12; i++) {
                struct yamux_stream *s;
                if (yamux_stream_open(p.side[0].y, &s) < 0)
                    continue;
                (void)pair_seen(&p.side[0], s);
                (void)pair_write(&p, s, BYTES_LIT("some bytes"));
                yamux_stream_shutdown_write(s);
            }
            pair_exchange(&p);
        }
        pair_done(&p);
        cr_assert_eq(f.blocks, 0);
        if (!f.failed)
            break;
    }
    cr_assert_eq(p.side[1].seen_count, 12);
}

/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "raw.h"
#include "transport/proto/write_pace.h"

/* Goal: streams, row by row of the state machine.  Spec: yamux.md, "Stream state machine". */

/* --- [Frames of ours]: go's forms --- */

Test(yamux_stream, opens_with_its_first_data) {
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    raw_write(p, s, "abc");
    SAYS(p, CLIENT, "000000010000000100000003616263");
    raw_write(p, s, "de");
    SAYS(p, CLIENT, "0000000000000001000000026465");
    pair_done(p);
}

Test(yamux_stream, opens_alone_when_nothing_was_written) {
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    SAYS(p, CLIENT, "000100010000000100000000");
    yamux_stream_shutdown_write(s);
    SAYS(p, CLIENT, "000100040000000100000000");
    yamux_stream_shutdown_write(raw_open(p, CLIENT));
    SAYS(p, CLIENT, "000100050000000300000000");
    pair_done(p);
}

Test(yamux_stream, of_the_server_has_even_ids) {
    struct pair *p = raw_pair();
    (void)raw_open(p, SERVER);
    SAYS(p, SERVER, "000100010000000200000000");
    (void)raw_open(p, SERVER);
    SAYS(p, SERVER, "000100010000000400000000");
    pair_done(p);
}

/* "Do not put FIN on a non-empty DATA frame when talking to go". */
Test(yamux_stream, ends_in_a_frame_of_its_own_behind_all_data) {
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    raw_write(p, s, "abc");
    raw_write(p, s, "de");
    yamux_stream_shutdown_write(s);
    cr_assert_eq(pair_write(p, s, BYTES_LIT("x")), -EPIPE);
    cr_assert_eq(yamux_stream_unsent(s), 5);
    SAYS(p, CLIENT, "0000000100000001000000056162636465000100040000000100000000");
    cr_assert_eq(yamux_stream_unsent(s), 0);
    pair_done(p);
}

Test(yamux_stream, reset_says_its_code_and_drops_what_waits) {
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    raw_write(p, s, "abc");
    (void)raw_said(p, CLIENT);
    raw_write(p, s, "de");
    yamux_stream_reset(s, 0x1001);
    SAYS(p, CLIENT, "000100080000000100001001");
    cr_assert(pair_seen_id(&p->side[CLIENT], 1)->closed);
    cr_assert_eq(pair_seen_id(&p->side[CLIENT], 1)->error, 0);
    cr_assert_eq(pair_write(p, s, BYTES_LIT("x")), -EPIPE);
    cr_assert_eq(yamux_stream_quota(s)->used_bytes, 0);
    pair_done(p);
}

Test(yamux_stream, reset_before_the_peer_heard_of_it_says_nothing) {
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    raw_write(p, s, "abc");
    yamux_stream_reset(s, 0x1001);
    SAYS(p, CLIENT, "");
    cr_assert(pair_seen_id(&p->side[CLIENT], 1)->closed);
    pair_release(p, CLIENT, s);
    cr_assert_eq(yamux_streams_count(p->side[CLIENT].y), 0);
    pair_done(p);
}

Test(yamux_stream, accepted_late_is_acknowledged_with_all_that_is_to_be_said) {
    struct pair *p = raw_pair();
    HEARS(p, CLIENT, "000100010000000200000000");
    struct yamux_event ev;
    cr_assert(yamux_next_event(p->side[CLIENT].y, &ev));
    cr_assert_eq(ev.type, YAMUX_EV_STREAM_OPENED);
    (void)pair_seen(&p->side[CLIENT], ev.stream);
    yamux_stream_shutdown_write(ev.stream);
    SAYS(p, CLIENT, "000100060000000200000000");
    pair_done(p);
}

/* --- The table --- */

enum state { NONE, SYN_SENT, OPEN, LOCAL_ENDED, REMOTE_ENDED, GONE };

/* A client whose stream 2 (of the peer; SYN_SENT: 1, its own) is in the state, all said. */
static struct pair *in_state(enum state state, struct yamux_stream **ret_stream) {
    struct pair *p = raw_pair();
    *ret_stream = NULL;
    if (state == NONE)
        return p;
    if (state == SYN_SENT)
        *ret_stream = raw_open(p, CLIENT);
    else
        HEARS(p, CLIENT, "000100010000000200000000");
    (void)raw_said(p, CLIENT);
    if (state != SYN_SENT)
        *ret_stream = raw_stream(p, CLIENT, 2);
    if (state == LOCAL_ENDED || state == GONE)
        yamux_stream_shutdown_write(*ret_stream);
    (void)raw_said(p, CLIENT);
    if (state == REMOTE_ENDED || state == GONE)
        HEARS(p, CLIENT, "000100040000000200000000");
    (void)raw_said(p, CLIENT);
    return p;
}

enum outcome {
    IGNORED,   /* nobody hears of it, nothing is said */
    DELIVERED, /* readable */
    ENDED,     /* readable, and the end */
    RESET_BOTH,
    RESET_READING, /* we had ended writing */
    RESET_WRITING, /* the peer had ended: what it sent stays */
    VIOLATION,
};

static void check_outcome(struct pair *p, struct yamux_stream *s, enum outcome outcome,
                          const char *what) {
    const char *said = raw_said(p, CLIENT);
    struct seen *seen = s == NULL ? NULL : pair_seen(&p->side[CLIENT], s);
    if (outcome == VIOLATION) {
        cr_assert_str_eq(said, "000300000000000000000001", "%s: %s", what, said);
        return;
    }
    cr_assert_str_eq(said, "", "%s: %s", what, said);
    cr_assert(yamux_is_open(p->side[CLIENT].y), "%s", what);
    if (s == NULL)
        return;
    cr_assert_eq(seen->reset, outcome == RESET_BOTH || outcome == RESET_READING, "%s", what);
    cr_assert_eq(seen->stopped, outcome == RESET_BOTH || outcome == RESET_WRITING, "%s", what);
    ssize_t n = raw_read(s, NULL, 0);
    switch (outcome) {
    case DELIVERED:
        cr_assert_eq(n, 3, "%s: %zd", what, n);
        cr_assert_eq(raw_read(s, NULL, 0), 0, "%s", what);
        break;
    case ENDED:
        cr_assert_eq(n, -ENODATA, "%s: %zd", what, n);
        break;
    case RESET_BOTH:
    case RESET_READING:
        cr_assert_eq(n, -ECONNRESET, "%s: %zd", what, n);
        break;
    case RESET_WRITING:
        cr_assert_eq(n, -ENODATA, "%s: %zd", what, n);
        break;
    case IGNORED:
    case VIOLATION:
        break;
    }
    if (outcome == RESET_BOTH || outcome == RESET_WRITING)
        cr_assert_eq(pair_write(p, s, BYTES_LIT("x")), -EPIPE, "%s", what);
}

Test(yamux_stream, takes_each_frame_in_each_state_as_the_table_says) {
    static const char *const frames[] = {
        "00010001%s00000000",       /* SYN */
        "00000000%s00000003616263", /* data */
        "00010004%s00000000",       /* FIN, go's */
        "00000004%s00000000",       /* FIN, rust's */
        "00010008%s00001004",       /* RST, go's */
        "00000008%s00000000",       /* RST, rust's */
    };
    static const struct {
        const char *name;
        enum state state;
        enum outcome outcomes[ARRAY_COUNT(frames)];
    } rows[] = {
        {"none", NONE, {IGNORED, IGNORED, IGNORED, IGNORED, IGNORED, IGNORED}},
        {"SYN sent", SYN_SENT, {VIOLATION, DELIVERED, ENDED, ENDED, RESET_BOTH, RESET_BOTH}},
        {"open", OPEN, {VIOLATION, DELIVERED, ENDED, ENDED, RESET_BOTH, RESET_BOTH}},
        {"half-closed local",
         LOCAL_ENDED,
         {VIOLATION, DELIVERED, ENDED, ENDED, RESET_READING, RESET_READING}},
        {"half-closed remote",
         REMOTE_ENDED,
         {VIOLATION, IGNORED, IGNORED, IGNORED, RESET_WRITING, RESET_WRITING}},
        {"gone", GONE, {IGNORED, IGNORED, IGNORED, IGNORED, IGNORED, IGNORED}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (size_t j = 0; j < ARRAY_COUNT(frames); j++) {
            if (j == 0 && (rows[i].state == NONE || rows[i].state == GONE))
                continue; /* opens a stream */
            char hex[64];
            char what[80];
            struct yamux_stream *s;
            struct pair *p = in_state(rows[i].state, &s);
            (void)snprintf(hex, sizeof(hex), frames[j],
                           rows[i].state == SYN_SENT ? "00000001" : "00000002");
            (void)snprintf(what, sizeof(what), "%s, %s", rows[i].name, hex);
            raw_hear(p, CLIENT, hex_into(hex, (uint8_t[64]){0}, 64));
            check_outcome(p, s, rows[i].outcomes[j], what);
            pair_done(p);
        }
    }
}

Test(yamux_stream, ends_by_our_part_in_each_state_as_the_table_says) {
    static const struct {
        enum state state;
        const char *shutdown;
        const char *reset;
    } rows[] = {
        {SYN_SENT, "000100040000000100000000", "000100080000000100001004"},
        {OPEN, "000100040000000200000000", "000100080000000200001004"},
        {LOCAL_ENDED, "", "000100080000000200001004"},
        {REMOTE_ENDED, "000100040000000200000000", "000100080000000200001004"},
        {GONE, "", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct yamux_stream *s;
        struct pair *p = in_state(rows[i].state, &s);
        yamux_stream_shutdown_write(s);
        cr_assert_str_eq(raw_said(p, CLIENT), rows[i].shutdown, "row %zu", i);
        yamux_stream_shutdown_write(s);
        cr_assert_str_eq(raw_said(p, CLIENT), "", "row %zu: twice", i);
        pair_done(p);

        p = in_state(rows[i].state, &s);
        yamux_stream_reset(s, 0x1004);
        cr_assert_str_eq(raw_said(p, CLIENT), rows[i].reset, "row %zu", i);
        yamux_stream_reset(s, 0x1005);
        cr_assert_str_eq(raw_said(p, CLIENT), "", "row %zu: twice", i);
        cr_assert(pair_seen(&p->side[CLIENT], s)->closed, "row %zu", i);
        pair_done(p);
    }
}

/* --- Ends --- */

Test(yamux_stream, tells_the_code_of_a_reset) {
    struct yamux_stream *s;
    struct pair *p = in_state(OPEN, &s);
    HEARS(p, CLIENT, "000100080000000200001008");
    (void)raw_said(p, CLIENT);
    cr_assert_eq(pair_seen(&p->side[CLIENT], s)->code, STREAM_CODE_GATED);
    cr_assert(pair_seen(&p->side[CLIENT], s)->closed);
    pair_done(p);
}

/* CLOSED is the last word: not before the reader has met the end. */
Test(yamux_stream, is_closed_when_both_ends_are_told_in_either_order) {
    for (int local_first = 0; local_first < 2; local_first++) {
        struct yamux_stream *s;
        struct pair *p = in_state(OPEN, &s);
        struct seen *seen = pair_seen(&p->side[CLIENT], s);
        if (local_first)
            yamux_stream_shutdown_write(s);
        (void)raw_said(p, CLIENT);
        HEARS(p, CLIENT, "000000000000000200000003616263000100040000000200000000");
        if (!local_first)
            yamux_stream_shutdown_write(s);
        (void)raw_said(p, CLIENT);
        cr_assert_not(seen->closed);
        struct slice v;
        cr_assert_eq(yamux_stream_read(s, &v, 1), 1);
        slice_unref(&v);
        (void)raw_said(p, CLIENT);
        cr_assert_not(seen->closed);
        cr_assert_eq(raw_read(s, NULL, 0), -ENODATA);
        (void)raw_said(p, CLIENT);
        cr_assert(seen->closed);
        cr_assert_eq(seen->error, 0);
        pair_done(p);
    }
}

Test(yamux_stream, body_comes_before_the_end_that_travels_with_it) {
    struct pair *p = raw_pair();
    HEARS(p, SERVER, "000000050000000100000003616263");
    SAYS(p, SERVER, "000100020000000100000000");
    struct yamux_stream *s = raw_stream(p, SERVER, 1);
    raw_reads(s, "abc");
    cr_assert_eq(raw_read(s, NULL, 0), -ENODATA);
    pair_done(p);
}

Test(yamux_stream, body_of_a_reset_is_drained) {
    struct yamux_stream *s;
    struct pair *p = in_state(OPEN, &s);
    HEARS(p, CLIENT,
          "000000080000000200000003616263"
          "0002000100000000000000aa");
    SAYS(p, CLIENT, "0002000200000000000000aa");
    pair_done(p);
}

Test(yamux_stream, released_with_an_end_asked_for_sends_all_and_drains) {
    struct yamux_stream *s;
    struct pair *p = in_state(OPEN, &s);
    raw_write(p, s, "abc");
    yamux_stream_shutdown_write(s);
    pair_release(p, CLIENT, s);
    SAYS(p, CLIENT, "000000000000000200000003616263000100040000000200000000");
    raw_frame(p, CLIENT, 0, 0, 2, 200000, 200000);
    SAYS(p, CLIENT, "000100000000000200030d40"); /* dropped, and credited */
    cr_assert_eq(yamux_streams_count(p->side[CLIENT].y), 1);
    HEARS(p, CLIENT, "000100040000000200000000");
    SAYS(p, CLIENT, "");
    cr_assert_eq(yamux_streams_count(p->side[CLIENT].y), 0);
    pair_done(p);
}

Test(yamux_stream, released_without_an_end_is_reset) {
    struct yamux_stream *s;
    struct pair *p = in_state(OPEN, &s);
    pair_release(p, CLIENT, s);
    SAYS(p, CLIENT, "000100080000000200000000");
    cr_assert_eq(yamux_streams_count(p->side[CLIENT].y), 0);
    pair_done(p);
}

Test(yamux_stream, released_that_the_peer_keeps_open_is_reset_after_a_while) {
    struct yamux_stream *s;
    struct pair *p = in_state(OPEN, &s);
    struct yamux *y = p->side[CLIENT].y;
    HEARS(p, CLIENT, "000200020000000000000000");
    yamux_stream_shutdown_write(s);
    pair_release(p, CLIENT, s);
    SAYS(p, CLIENT, "000100040000000200000000");
    nsec_t start = p->now;
    while (p->now < start + YAMUX_LINGER - SEC(1)) {
        p->now += SEC(1);
        HEARS(p, CLIENT, "000000000000000700000000");
        yamux_tick(y, p->now);
        (void)raw_said(p, CLIENT);
        cr_assert_eq(yamux_streams_count(y), 1);
    }
    cr_assert_eq(yamux_deadline(y), start + YAMUX_LINGER);
    p->now = start + YAMUX_LINGER;
    yamux_tick(y, p->now);
    SAYS(p, CLIENT, "000100080000000200000000");
    cr_assert_eq(yamux_streams_count(y), 0);
    pair_done(p);
}

Test(yamux_stream, that_only_stops_reading_goes_on_writing_and_drains) {
    struct yamux_stream *s;
    struct pair *p = in_state(OPEN, &s);
    raw_frame(p, CLIENT, 0, 0, 2, 100000, 100000);
    yamux_stream_stop_reading(s);
    SAYS(p, CLIENT, "");
    raw_frame(p, CLIENT, 0, 0, 2, 100000, 100000);
    SAYS(p, CLIENT, "000100000000000200030d40");
    cr_assert_eq(yamux_stream_read(s, &(struct slice){0}, 1), 0);
    raw_write(p, s, "abc");
    SAYS(p, CLIENT, "000000000000000200000003616263");
    yamux_stream_shutdown_write(s);
    SAYS(p, CLIENT, "000100040000000200000000");
    cr_assert_not(pair_seen(&p->side[CLIENT], s)->closed);
    HEARS(p, CLIENT, "000100040000000200000000");
    (void)raw_said(p, CLIENT);
    cr_assert(pair_seen(&p->side[CLIENT], s)->closed);
    pair_done(p);
}

/* --- [Flow control], to the byte --- */

static struct slice slab_of_zeros(struct pair *p, struct yamux_stream *s) {
    struct buf *b = buf_new(p->pool, BUF_64K, yamux_stream_quota(s));
    cr_assert_not_null(b);
    memset(b->data, 0, b->size);
    return slice_of(b, 0, b->size);
}

/* Writes as much as is taken; slabs. */
static int write_zeros(struct pair *p, struct yamux_stream *s, int slabs) {
    for (int i = 0; i < slabs; i++) {
        struct slice v = slab_of_zeros(p, s);
        if (yamux_stream_write(s, &v, 1) == 1)
            continue;
        slice_unref(&v);
        return i;
    }
    return slabs;
}

static size_t bytes_said(struct pair *p, unsigned side) {
    while (pair_drain(p, side) || pair_pull(p, side))
        ;
    size_t len = p->side[side].out.len;
    p->side[side].out.len = 0;
    return len;
}

Test(yamux_stream, sends_the_window_to_the_byte_and_what_is_added_to_it) {
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    cr_assert_eq(write_zeros(p, s, 8), 8);
    cr_assert_eq(bytes_said(p, CLIENT), YAMUX_WINDOW_FIRST + 4 * YAMUX_HEADER_BYTES);
    HEARS(p, CLIENT, "000100020000000100000001"); /* credit counts with ACK, too */
    cr_assert_eq(bytes_said(p, CLIENT), 1 + YAMUX_HEADER_BYTES);
    HEARS(p, CLIENT, "000100000000000100010000");
    /* What is left of a slab, and the first byte of the next. */
    cr_assert_eq(bytes_said(p, CLIENT), 65536 + YAMUX_HEADER_BYTES);
    cr_assert_eq(yamux_stream_unsent(s), 3 * 65536 - 1);
    pair_done(p);
}

/* Receives that were charged when they were complete, as TCP's are. */
static struct slice received_slab(struct pair *p, struct yamux_stream *s) {
    struct buf *b = buf_new(p->pool, BUF_64K, NULL);
    cr_assert_not_null(b);
    buf_charge(b, yamux_stream_quota(s));
    return slice_of(b, 0, b->size);
}

Test(yamux_stream, writers_that_together_hold_more_than_there_is_go_on) {
    enum { STREAMS = 150, SLABS = 4 };
    static struct yamux_stream *streams[STREAMS];
    static struct slice held[STREAMS][SLABS];
    static size_t taken[STREAMS];
    struct pair *p = raw_pair();
    for (size_t i = 0; i < STREAMS; i++) {
        streams[i] = raw_open(p, CLIENT);
        for (size_t k = 0; k < SLABS; k++)
            held[i][k] = received_slab(p, streams[i]);
        pair_seen(&p->side[CLIENT], streams[i])->writable = true;
    }
    cr_assert_gt(STREAMS * SLABS * 65536, YAMUX_SENDING_MAX);
    size_t left = STREAMS * SLABS;
    for (size_t moved = 1; moved > 0;) {
        moved = 0;
        for (size_t i = 0; i < STREAMS; i++) {
            struct seen *seen = pair_seen(&p->side[CLIENT], streams[i]);
            if (!seen->writable)
                continue;
            seen->writable = false;
            ssize_t n = yamux_stream_write(streams[i], held[i] + taken[i], SLABS - taken[i]);
            cr_assert_geq(n, 0);
            taken[i] += (size_t)n;
            moved += (size_t)n;
        }
        left -= moved;
        (void)bytes_said(p, CLIENT);
    }
    cr_expect_eq(left, 0, "%zu slabs are stuck", left);
    for (size_t i = 0; i < STREAMS; i++)
        for (size_t k = taken[i]; k < SLABS; k++)
            slice_unref(&held[i][k]);
    pair_done(p);
}

Test(yamux_stream, writer_with_nothing_on_its_way_is_told_of_room_for_one_slab) {
    enum { SLABS = YAMUX_SENDING_MAX / (64 << 10) };
    static struct slice held[SLABS];
    struct pair *p = raw_pair();
    struct yamux_stream *holder = raw_open(p, CLIENT);
    struct yamux_stream *s = raw_open(p, CLIENT);
    for (size_t i = 0; i < SLABS; i++)
        held[i] = received_slab(p, holder);
    cr_assert_eq(yamux_stream_write(s, &SLICE_EMPTY, 1), 0);
    (void)bytes_said(p, CLIENT);
    cr_assert_not(pair_seen(&p->side[CLIENT], s)->writable);
    slice_unref(&held[0]);
    cr_assert_not(pair_pull(p, CLIENT));
    cr_assert(pair_drain(p, CLIENT));
    cr_assert(pair_seen(&p->side[CLIENT], s)->writable);
    for (size_t i = 1; i < SLABS; i++)
        slice_unref(&held[i]);
    pair_done(p);
}

Test(yamux_stream, credit_of_the_opening_counts) {
    struct pair *p = raw_pair();
    HEARS(p, SERVER, "000100010000000100010000");
    (void)raw_said(p, SERVER);
    struct yamux_stream *s = raw_stream(p, SERVER, 1);
    cr_assert_eq(write_zeros(p, s, 8), 8);
    cr_assert_eq(bytes_said(p, SERVER), 5 * (65536 + YAMUX_HEADER_BYTES));
    pair_done(p);
}

Test(yamux_stream, begins_a_frame_with_a_slice_that_would_not_fit_into_the_last_one) {
    static const uint8_t zeros[40000];
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pair_write(p, s, BYTES_OF(zeros)), (ssize_t)sizeof(zeros));
    cr_assert_eq(bytes_said(p, CLIENT), 3 * (sizeof(zeros) + YAMUX_HEADER_BYTES));
    pair_done(p);
}

Test(yamux_stream, a_pull_ends_with_the_bytes_that_the_link_can_use) {
    static const uint8_t zeros[20000];
    struct pair *p = raw_pair();
    struct yamux_stream *a = raw_open(p, CLIENT);
    struct yamux_stream *b = raw_open(p, CLIENT);
    cr_assert_eq(write_zeros(p, a, 2), 2);
    cr_assert_eq(pair_write(p, b, BYTES_OF(zeros)), (ssize_t)sizeof(zeros));
    struct wire *out = &p->side[CLIENT].out;

    p->pull_bytes_max = 30000; /* a's turn, and then b's rest of it is more than a record */
    out->len = 0;
    cr_assert(pair_pull(p, CLIENT));
    cr_assert_eq(out->len, 30000 + YAMUX_HEADER_BYTES);
    out->len = 0;
    cr_assert(pair_pull(p, CLIENT));
    cr_assert_eq(out->len, 20000 + 16384 + 2 * YAMUX_HEADER_BYTES);

    p->pull_bytes_max = 1; /* a record at least */
    out->len = 0;
    cr_assert(pair_pull(p, CLIENT));
    cr_assert_eq(out->len, 16384 + YAMUX_HEADER_BYTES);
    out->len = 0;
    p->pull_bytes_max = SIZE_MAX;
    size_t rest = bytes_said(p, CLIENT);
    cr_assert_eq(rest, 131072 - 30000 - 2 * 16384 + 2 * YAMUX_HEADER_BYTES);
    pair_done(p);
}

Test(yamux_stream, takes_writes_up_to_its_bound_and_tells_when_it_takes_more) {
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    struct seen *seen = pair_seen(&p->side[CLIENT], s);
    cr_assert_eq(write_zeros(p, s, 100), YAMUX_STREAM_UNSENT_MAX / 65536);
    (void)bytes_said(p, CLIENT);
    cr_assert(seen->writable, "half of it was sent");
    cr_assert_eq(write_zeros(p, s, 100), YAMUX_WINDOW_FIRST / 65536);
    seen->writable = false;
    HEARS(p, CLIENT, "00010000000000010003ffff");
    (void)bytes_said(p, CLIENT);
    cr_assert_not(seen->writable, "a byte less than half of it");
    HEARS(p, CLIENT, "000100000000000100000001");
    (void)bytes_said(p, CLIENT);
    cr_assert(seen->writable);
    pair_done(p);
}

/* Goal: behind a slow path, or a closed window, no more waits than leaves in a while: a circuit is
 * a stream, and all that is said in it waits behind that. */
Test(yamux_stream, takes_less_where_little_leaves_and_more_again_a_while_later) {
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    HEARS(p, CLIENT, "000100000000000101000000");
    p->pull_bytes_max = 32768;
    cr_assert_eq(write_zeros(p, s, 100), YAMUX_STREAM_UNSENT_MAX / 65536);
    cr_assert_eq(yamux_stream_batch(s), WRITE_PACE_BYTES_MAX);
    cr_assert(pair_pull(p, CLIENT));
    p->now += 4 * WRITE_PACE_TARGET;
    cr_assert(pair_pull(p, CLIENT));
    cr_assert_eq(yamux_stream_batch(s), 16384, "64 KiB in 20 ms");
    cr_assert_eq(write_zeros(p, s, 1), 0);

    struct seen *seen = pair_seen(&p->side[CLIENT], s);
    p->pull_bytes_max = SIZE_MAX;
    (void)bytes_said(p, CLIENT); /* all at once, as a window does that opens */
    cr_assert(seen->writable);
    cr_assert_eq(yamux_stream_batch(s), 16384);
    cr_assert_eq(write_zeros(p, s, 100), 1, "a slab, which is more");
    p->now += MSEC(10) - 1;
    (void)bytes_said(p, CLIENT);
    cr_assert_eq(yamux_stream_batch(s), 16384);
    cr_assert_eq(write_zeros(p, s, 100), 1);
    p->now += 1;
    (void)bytes_said(p, CLIENT);
    cr_assert_eq(yamux_stream_batch(s), 32768);
    pair_done(p);
}

/* Goal: the writer's own pauses are not the path's. */
Test(yamux_stream, that_is_written_to_seldom_takes_as_much_as_before) {
    struct pair *p = raw_pair();
    struct yamux_stream *s = raw_open(p, CLIENT);
    HEARS(p, CLIENT, "000100000000000101000000");
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(write_zeros(p, s, 1), 1);
        (void)bytes_said(p, CLIENT);
        p->now += SEC(1);
    }
    cr_assert_eq(yamux_stream_batch(s), WRITE_PACE_BYTES_MAX);
    pair_done(p);
}

Test(yamux_stream, gives_credit_for_what_its_reader_credited_and_from_half_on) {
    struct yamux_stream *s;
    struct pair *p = in_state(OPEN, &s);
    raw_frame(p, CLIENT, 0, 0, 2, YAMUX_WINDOW_FIRST, YAMUX_WINDOW_FIRST);
    struct slice v;
    size_t read = 0;
    while (yamux_stream_read(s, &v, 1) == 1) {
        read += v.len;
        slice_unref(&v);
    }
    cr_assert_eq(read, YAMUX_WINDOW_FIRST);
    SAYS(p, CLIENT, "");
    yamux_stream_credit(s, YAMUX_WINDOW_FIRST / 2 - 1);
    SAYS(p, CLIENT, "");
    yamux_stream_credit(s, 1);
    SAYS(p, CLIENT, "000100000000000200020000");
    yamux_stream_credit(s, YAMUX_WINDOW_FIRST / 2);
    SAYS(p, CLIENT, "000100000000000200020000");
    /* A byte more than all of it. */
    raw_frame(p, CLIENT, 0, 0, 2, YAMUX_WINDOW_FIRST + 1, 0);
    SAYS(p, CLIENT, "000300000000000000000001");
    pair_done(p);
}

/* go's rule: an update less than 4 round trips after the last doubles. */
Test(yamux_stream, window_doubles_for_a_reader_that_keeps_up_and_not_for_a_slow_one) {
    struct yamux_stream *s;
    struct pair *p = in_state(OPEN, &s);
    p->now += MSEC(10);
    HEARS(p, CLIENT, "000200020000000000000000");
    cr_assert_eq(yamux_rtt(p->side[CLIENT].y), MSEC(10));
    uint32_t size = YAMUX_WINDOW_FIRST;
    p->now += MSEC(40);
    raw_frame(p, CLIENT, 0, 0, 2, size, size);
    cr_assert_eq(raw_read(s, NULL, 0), size);
    SAYS(p, CLIENT, "000100000000000200040000"); /* slow: as much as was read */
    p->now += MSEC(40) - 1;
    raw_frame(p, CLIENT, 0, 0, 2, size, size);
    cr_assert_eq(raw_read(s, NULL, 0), size);
    SAYS(p, CLIENT, "000100000000000200080000"); /* fast: that and as much again */
    p->now += MSEC(40);
    raw_frame(p, CLIENT, 0, 0, 2, 2 * size, 2 * size);
    cr_assert_eq(raw_read(s, NULL, 0), 2 * size);
    SAYS(p, CLIENT, "000100000000000200080000");
    while (size < YAMUX_WINDOW_MAX / 2) {
        size *= 2;
        p->now += MSEC(1);
        raw_frame(p, CLIENT, 0, 0, 2, size, size);
        cr_assert_eq(raw_read(s, NULL, 0), size);
        char expected[32];
        (void)snprintf(expected, sizeof(expected), "0001000000000002%08x", 2 * size);
        SAYS(p, CLIENT, expected);
    }
    raw_frame(p, CLIENT, 0, 0, 2, YAMUX_WINDOW_MAX, YAMUX_WINDOW_MAX);
    cr_assert_eq(raw_read(s, NULL, 0), YAMUX_WINDOW_MAX);
    SAYS(p, CLIENT, "000100000000000201000000"); /* go's limit */
    pair_done(p);
}

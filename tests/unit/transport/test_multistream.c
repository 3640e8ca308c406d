/* SPDX-License-Identifier: MIT */
/* Goal: both sides of multistream-select do what go-libp2p's do, whatever the cut of the bytes.
 * Spec: libp2p multistream-select. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "transport/proto/multistream.h"

#define HEADER  "\x13/multistream/1.0.0\n"
#define PING    "\x11/ipfs/ping/1.0.0\n"
#define NA      "\x03na\n"
#define PAYLOAD "payload that is not a frame"

static struct multistream responder(void) {
    struct multistream m;
    multistream_init(&m, &(struct multistream_config){.names_count = 0}, SEC(1));
    return m;
}

static struct multistream initiator(const char *const *names, size_t names_count) {
    struct multistream m;
    multistream_init(&m, &(struct multistream_config){names, names_count}, SEC(1));
    return m;
}

/* Everything that an engine wants to send, as text. */
static const char *pull_all(struct multistream *m) {
    static char out[MULTISTREAM_OUT_MAX + 1];
    size_t n = multistream_pull(m, out, MULTISTREAM_OUT_MAX, SEC(1));
    out[n] = '\0';
    return out;
}

static struct multistream_event next(struct multistream *m) {
    struct multistream_event event;
    cr_assert(multistream_next_event(m, &event), "an event was expected");
    return event;
}

static void expect_silence(struct multistream *m) {
    struct multistream_event event;
    cr_assert(!multistream_next_event(m, &event), "no event was expected");
}

static void expect_failure(struct multistream *m, int error) {
    struct multistream_event event = next(m);
    cr_assert_eq(event.type, MULTISTREAM_EV_FAILED);
    cr_assert_eq(event.error, error, "%s instead of %s", err_name(event.error), err_name(error));
    cr_assert_eq(multistream_deadline(m), NSEC_NEVER);
    expect_silence(m);
}

static size_t recv_text(struct multistream *m, const char *text) {
    return multistream_recv(m, bytes_of_str(text), SEC(1));
}

static void take_text(struct multistream *m, const char *text) {
    cr_assert_eq(recv_text(m, text), strlen(text), "\"%s\" was not taken whole", text);
}

/* A responder with its header sent. */
static struct multistream listening(void) {
    struct multistream m = responder();
    cr_assert_str_eq(pull_all(&m), HEADER);
    return m;
}

Test(multistream, the_responder_sends_its_header_before_it_has_read_anything) {
    struct multistream m = responder();
    cr_assert_str_eq(pull_all(&m), HEADER);
    cr_assert_str_eq(pull_all(&m), "");
}

Test(multistream, an_accepted_proposal_is_echoed_and_the_payload_left_untouched) {
    struct multistream m = listening();
    const char *in = HEADER PING PAYLOAD;
    size_t taken = recv_text(&m, in);
    cr_assert_str_eq(in + taken, PAYLOAD);

    struct multistream_event event = next(&m);
    cr_assert_eq(event.type, MULTISTREAM_EV_PROPOSAL);
    cr_assert(bytes_equal(event.name, BYTES_LIT("/ipfs/ping/1.0.0")));
    cr_assert_eq(recv_text(&m, PAYLOAD), 0, "nothing is taken while the driver decides");
    multistream_accept(&m, SEC(1));
    cr_assert_str_eq(pull_all(&m), PING);
    cr_assert(multistream_is_done(&m));
    cr_assert_eq(recv_text(&m, PAYLOAD), 0, "what follows belongs to the protocol");
    cr_assert_eq(multistream_deadline(&m), NSEC_NEVER);
    multistream_recv_end(&m, SEC(1));
    expect_silence(&m);
}

Test(multistream, refusals_are_answered_na_and_the_peer_may_propose_again) {
    struct multistream m = listening();
    take_text(&m, HEADER);
    for (int round = 0; round < 1000; round++) {
        take_text(&m, "\x06/none\n");
        cr_assert_eq(next(&m).type, MULTISTREAM_EV_PROPOSAL);
        multistream_refuse(&m, SEC(1));
        cr_assert_str_eq(pull_all(&m), NA);
    }
    take_text(&m, PING);
    cr_assert_eq(next(&m).type, MULTISTREAM_EV_PROPOSAL);
    multistream_accept(&m, SEC(1));
    cr_assert_str_eq(pull_all(&m), PING);
}

Test(multistream, names_are_compared_byte_for_byte_by_the_driver) {
    /* A trailing CR, a missing slash, an empty name: opaque bytes all of them. */
    static const char *const frames[] = {"\x12/ipfs/ping/1.0.0\r\n", "\x05none\n", "\x01\n"};
    struct multistream m = listening();
    take_text(&m, HEADER);
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        take_text(&m, frames[i]);
        struct multistream_event event = next(&m);
        cr_assert_eq(event.type, MULTISTREAM_EV_PROPOSAL);
        cr_assert(bytes_equal(event.name, bytes_of(frames[i] + 1, strlen(frames[i]) - 2)));
        multistream_refuse(&m, SEC(1));
        cr_assert_str_eq(pull_all(&m), NA);
    }
}

Test(multistream, ls_is_answered_na_without_asking_the_driver) {
    struct multistream m = listening();
    take_text(&m, HEADER "\x03ls\n");
    expect_silence(&m);
    cr_assert_str_eq(pull_all(&m), NA);
    take_text(&m, PING);
    cr_assert_eq(next(&m).type, MULTISTREAM_EV_PROPOSAL);
}

Test(multistream, payload_behind_a_refused_lazy_proposal_fails_only_after_na_was_sent) {
    struct multistream m = listening();
    take_text(&m, HEADER "\x06/none\n");
    cr_assert_eq(next(&m).type, MULTISTREAM_EV_PROPOSAL);
    multistream_refuse(&m, SEC(1));
    cr_assert_eq(recv_text(&m, "\xff\xff\xff"), 0);
    cr_assert_str_eq(pull_all(&m), NA);
    cr_assert_eq(recv_text(&m, "\xff\xff\xff"), 2);
    expect_failure(&m, -ERR_LIMIT);
}

Test(multistream, a_peer_that_does_not_read_cannot_make_us_queue_answers) {
    struct multistream m = responder();
    cr_assert_eq(recv_text(&m, HEADER "\x03ls\n"), 0, "our header was not pulled yet");
    cr_assert_str_eq(pull_all(&m), HEADER);
    cr_assert_eq(recv_text(&m, HEADER "\x03ls\n\x03ls\n"), 24, "only to the first answer");
}

/* The name of MULTISTREAM_NAME_MAX bytes is still shown; longer ones, to the largest frame, are
 * refused unseen. */
Test(multistream, long_names_are_refused_and_frames_beyond_1024_fail) {
    for (size_t n = MULTISTREAM_NAME_MAX; n <= MULTISTREAM_FRAME_MAX; n++) {
        uint8_t frame[2 + MULTISTREAM_FRAME_MAX];
        struct multistream m = listening();
        take_text(&m, HEADER);
        frame[0] = (uint8_t)(n & 0x7f) | 0x80;
        frame[1] = (uint8_t)(n >> 7);
        memset(frame + 2, 'x', n);
        frame[2 + n - 1] = '\n';
        cr_assert_eq(multistream_recv(&m, bytes_of(frame, 2 + n), SEC(1)), 2 + n);
        if (n - 1 <= MULTISTREAM_NAME_MAX) {
            cr_assert_eq(next(&m).name.len, n - 1);
            multistream_accept(&m, SEC(1));
            cr_assert(memcmp(pull_all(&m), frame, 2 + n) == 0);
        } else {
            expect_silence(&m);
            cr_assert_str_eq(pull_all(&m), NA);
        }
    }
    struct multistream m = listening();
    take_text(&m, HEADER);
    cr_assert_eq(recv_text(&m, "\x81\x08/x"), 2, "1025");
    expect_failure(&m, -ERR_LIMIT);
}

Test(multistream, malformed_frames_fail_in_every_reading_state) {
    static const struct {
        struct bytes in;
        int error;
    } rows[] = {
        {BYTES_LIT("\x02na"), -ERR_PROTOCOL_VIOLATION},          /* no newline */
        {BYTES_LIT("\x00"), -ERR_PROTOCOL_VIOLATION},            /* empty */
        {BYTES_LIT("\x83\x00na\n"), -ERR_PROTOCOL_VIOLATION},    /* length not minimal */
        {BYTES_LIT("\x83\x80\x00na\n"), -ERR_LIMIT},             /* nor this */
        {BYTES_LIT("\x81\x08"), -ERR_LIMIT},                     /* 1025 */
        {BYTES_LIT("\xff\x7f"), -ERR_LIMIT},                     /* 16383 */
        {BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff"), -ERR_LIMIT}, /* endless */
    };
    static const char *const names[] = {"/ipfs/ping/1.0.0"};

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (int state = 0; state < 4; state++) {
            struct multistream m = state < 2 ? responder() : initiator(names, 1);
            (void)pull_all(&m);
            if (state % 2 == 1)
                take_text(&m, HEADER);
            cr_assert_leq(multistream_recv(&m, rows[i].in, SEC(1)), rows[i].in.len);
            expect_failure(&m, rows[i].error);
        }
}

Test(multistream, a_first_frame_other_than_the_header_fails) {
    static const char *const firsts[] = {PING, NA, "\x13/multistream/1.0.1\n",
                                         "\x14/multistream/1.0.0\r\n"};
    static const char *const names[] = {"/ipfs/ping/1.0.0"};
    for (size_t i = 0; i < ARRAY_COUNT(firsts); i++) {
        struct multistream r = listening();
        (void)recv_text(&r, firsts[i]);
        expect_failure(&r, -ERR_PROTOCOL_VIOLATION);
        struct multistream m = initiator(names, 1);
        (void)pull_all(&m);
        (void)recv_text(&m, firsts[i]);
        expect_failure(&m, -ERR_PROTOCOL_VIOLATION);
    }
}

Test(multistream, the_lazy_initiator_gives_header_and_name_at_once_and_keeps_the_answer_apart) {
    static const char *const names[] = {"/ipfs/ping/1.0.0"};
    struct multistream m = initiator(names, 1);
    cr_assert_str_eq(pull_all(&m), HEADER PING, "one flight; the payload follows behind it");

    const char *in = HEADER PING PAYLOAD;
    size_t taken = recv_text(&m, in);
    cr_assert_str_eq(in + taken, PAYLOAD);
    struct multistream_event event = next(&m);
    cr_assert_eq(event.type, MULTISTREAM_EV_AGREED);
    cr_assert(bytes_equal(event.name, BYTES_LIT("/ipfs/ping/1.0.0")));
    cr_assert(multistream_is_done(&m));
    cr_assert_eq(multistream_deadline(&m), NSEC_NEVER);
    multistream_tick(&m, SEC(100));
    expect_silence(&m);
}

Test(multistream, na_to_the_only_candidate_is_refused) {
    static const char *const names[] = {"/ipfs/ping/1.0.0"};
    struct multistream m = initiator(names, 1);
    (void)pull_all(&m);
    take_text(&m, HEADER NA);
    cr_assert_eq(next(&m).type, MULTISTREAM_EV_REFUSED);
    cr_assert_eq(multistream_deadline(&m), NSEC_NEVER);
    expect_silence(&m);
}

Test(multistream, candidates_are_proposed_one_by_one_until_one_is_known) {
    static const char *const names[] = {"/tls/1.0.0", "/noise", "/plaintext/2.0.0"};
    struct multistream m = initiator(names, 3);
    cr_assert_str_eq(pull_all(&m), HEADER "\x0b/tls/1.0.0\n");
    take_text(&m, HEADER);
    take_text(&m, NA);
    expect_silence(&m);
    cr_assert_str_eq(pull_all(&m), "\x07/noise\n");
    take_text(&m, "\x07/noise\n");
    struct multistream_event event = next(&m);
    cr_assert_eq(event.type, MULTISTREAM_EV_AGREED);
    cr_assert(bytes_equal(event.name, BYTES_LIT("/noise")));
}

Test(multistream, na_to_the_last_candidate_is_refused) {
    static const char *const names[] = {"/tls/1.0.0", "/noise"};
    struct multistream m = initiator(names, 2);
    (void)pull_all(&m);
    take_text(&m, HEADER NA);
    cr_assert_str_eq(pull_all(&m), "\x07/noise\n");
    take_text(&m, NA);
    cr_assert_eq(next(&m).type, MULTISTREAM_EV_REFUSED);
}

Test(multistream, an_answer_that_was_not_asked_for_fails) {
    static const char *const names[] = {"/tls/1.0.0", "/noise"};
    struct multistream m = initiator(names, 2);
    (void)pull_all(&m);
    take_text(&m, HEADER "\x07/noise\n"); /* the second candidate was not proposed yet */
    expect_failure(&m, -ERR_PROTOCOL_VIOLATION);
}

/* A dialogue with refusals, a candidate that is known, and payload behind it. */
struct outcome {
    size_t proposals;
    size_t left; /* bytes of `in` that were not taken */
    char out[256];
    size_t out_len;
    int last_event; /* -1: none */
    int error;
};

static void drive(struct multistream *m, struct outcome *o) {
    struct multistream_event event;
    while (multistream_next_event(m, &event)) {
        o->last_event = (int)event.type;
        o->error = event.error;
        if (event.type != MULTISTREAM_EV_PROPOSAL)
            continue;
        o->proposals++;
        if (bytes_equal(event.name, BYTES_LIT("/ipfs/ping/1.0.0")))
            multistream_accept(m, SEC(1));
        else
            multistream_refuse(m, SEC(1));
    }
    if (m->state != MULTISTREAM_DEAD)
        o->out_len += multistream_pull(m, o->out + o->out_len, sizeof(o->out) - o->out_len, SEC(1));
}

/* Feeds `in` in pieces that end at a, b and the end. */
static struct outcome feed(struct multistream m, struct bytes in, size_t a, size_t b) {
    struct outcome o = {.last_event = -1};
    size_t ends[] = {a, b, in.len};
    size_t taken = 0;
    drive(&m, &o);
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++)
        while (taken < ends[i] && m.state != MULTISTREAM_DEAD) {
            size_t n = multistream_recv(&m, bytes_of(in.data + taken, ends[i] - taken), SEC(1));
            taken += n;
            drive(&m, &o);
            if (n == 0)
                break;
        }
    o.left = in.len - taken;
    return o;
}

static void expect_same_for_every_split(struct multistream m, struct bytes in) {
    struct outcome whole = feed(m, in, 0, 0);
    for (size_t a = 0; a <= in.len; a++)
        for (size_t b = a; b <= in.len; b++) {
            struct outcome o = feed(m, in, a, b);
            cr_assert_eq(o.proposals, whole.proposals, "at %zu, %zu", a, b);
            cr_assert_eq(o.last_event, whole.last_event, "at %zu, %zu", a, b);
            cr_assert_eq(o.error, whole.error, "at %zu, %zu", a, b);
            cr_assert_eq(o.left, whole.left, "at %zu, %zu", a, b);
            cr_assert_eq(o.out_len, whole.out_len, "at %zu, %zu", a, b);
            cr_assert(memcmp(o.out, whole.out, whole.out_len) == 0, "at %zu, %zu", a, b);
        }
}

Test(multistream, every_split_gives_the_same_result) {
    static const char *const names[] = {"/tls/1.0.0", "/noise"};
    expect_same_for_every_split(responder(), BYTES_LIT(HEADER "\x06/none\n\x03ls\n" PING PAYLOAD));
    expect_same_for_every_split(responder(), BYTES_LIT(HEADER "\x06/none\n\xff\xff\xff"));
    expect_same_for_every_split(initiator(names, 2), BYTES_LIT(HEADER NA "\x07/noise\n" PAYLOAD));
    expect_same_for_every_split(initiator(names, 2), BYTES_LIT(HEADER NA NA PAYLOAD));
    expect_same_for_every_split(initiator(names, 2), BYTES_LIT(HEADER "\x07/noisy\n" PAYLOAD));
}

Test(multistream, output_may_be_pulled_byte_by_byte) {
    static const char *const names[] = {"/ipfs/ping/1.0.0"};
    struct multistream m = initiator(names, 1);
    const char *expected = HEADER PING;
    for (size_t i = 0; i < strlen(expected); i++) {
        char byte;
        cr_assert_eq(multistream_pull(&m, &byte, 1, SEC(1)), 1);
        cr_assert_eq(byte, expected[i]);
    }
    cr_assert_str_eq(pull_all(&m), "");
}

Test(multistream, silence_times_out_at_the_deadline_and_not_before) {
    struct multistream m = responder();
    cr_assert_eq(multistream_deadline(&m), SEC(1) + MULTISTREAM_TIMEOUT);
    multistream_tick(&m, multistream_deadline(&m) - 1);
    expect_silence(&m);
    multistream_tick(&m, multistream_deadline(&m));
    expect_failure(&m, -ETIMEDOUT);
    multistream_tick(&m, SEC(100));
    expect_silence(&m);
}

Test(multistream, endless_refusals_are_ended_by_the_one_deadline) {
    struct multistream m = listening();
    take_text(&m, HEADER "\x06/none\n");
    cr_assert_eq(next(&m).type, MULTISTREAM_EV_PROPOSAL);
    multistream_refuse(&m, SEC(9));
    cr_assert_eq(multistream_deadline(&m), SEC(1) + MULTISTREAM_TIMEOUT);
    multistream_tick(&m, SEC(11));
    expect_failure(&m, -ETIMEDOUT);
}

Test(multistream, a_proposal_that_nobody_decided_gives_way_to_the_timeout) {
    struct multistream m = listening();
    take_text(&m, HEADER PING);
    multistream_tick(&m, SEC(11));
    expect_failure(&m, -ETIMEDOUT);
}

Test(multistream, the_end_of_the_peers_bytes_fails_only_when_more_is_needed) {
    struct multistream m = listening();
    take_text(&m, HEADER "\x11/ipfs");
    multistream_recv_end(&m, SEC(1));
    expect_failure(&m, -ERR_TRUNCATED);

    /* A lazy peer that only wants to push may end right behind its proposal. */
    m = listening();
    take_text(&m, HEADER PING);
    multistream_recv_end(&m, SEC(1));
    cr_assert_eq(next(&m).type, MULTISTREAM_EV_PROPOSAL);
    multistream_recv_end(&m, SEC(1));
    expect_silence(&m);
    multistream_accept(&m, SEC(1));
    multistream_recv_end(&m, SEC(1));
    cr_assert_str_eq(pull_all(&m), PING);

    /* Refused, it has nothing more to propose; the refusal goes out first. */
    m = listening();
    take_text(&m, HEADER PING);
    cr_assert_eq(next(&m).type, MULTISTREAM_EV_PROPOSAL);
    multistream_refuse(&m, SEC(1));
    multistream_recv_end(&m, SEC(1));
    expect_silence(&m);
    cr_assert_str_eq(pull_all(&m), NA);
    multistream_recv_end(&m, SEC(1));
    expect_failure(&m, -ERR_TRUNCATED);
}

/* Both took the responder's part; one turns round. */
Test(multistream, a_responder_that_was_proposed_nothing_may_lead) {
    static const char *const names[] = {"/tls/1.0.0", "/noise"};
    struct multistream m = listening();
    cr_assert(!multistream_is_idle(&m), "the peer's header is not there");
    take_text(&m, HEADER);
    cr_assert(multistream_is_idle(&m));
    multistream_lead(&m, &(struct multistream_config){names, 2}, SEC(2));
    cr_assert(!multistream_is_idle(&m));
    char out[MULTISTREAM_OUT_MAX + 1] = "";
    out[multistream_pull(&m, out, MULTISTREAM_OUT_MAX, SEC(2))] = '\0';
    cr_assert_str_eq(out, "\x0b/tls/1.0.0\n", "without a second header");
    cr_assert_eq(multistream_recv(&m, bytes_of_str(NA), SEC(2)), strlen(NA));
    out[multistream_pull(&m, out, MULTISTREAM_OUT_MAX, SEC(2))] = '\0';
    cr_assert_str_eq(out, "\x07/noise\n");
    cr_assert_eq(multistream_recv(&m, bytes_of_str("\x07/noise\n"), SEC(2)), 8);
    cr_assert_eq(next(&m).type, MULTISTREAM_EV_AGREED);
    cr_assert(multistream_is_done(&m));
}

Test(multistream, with_a_byte_of_a_proposal_a_responder_is_not_idle) {
    struct multistream m = listening();
    take_text(&m, HEADER "\x07");
    cr_assert(!multistream_is_idle(&m));
    take_text(&m, "/noise\n");
    cr_assert(!multistream_is_idle(&m));
    struct multistream i = initiator((const char *const[]){"/noise"}, 1);
    (void)pull_all(&i);
    take_text(&i, HEADER);
    cr_assert(!multistream_is_idle(&i));
}

/* Two engines on one pipe. */
Test(multistream, initiator_and_responder_agree) {
    static const char *const names[] = {"/tls/1.0.0", "/noise"};
    struct multistream i = initiator(names, 2);
    struct multistream r = responder();
    bool agreed = false;
    for (int turn = 0; turn < 10 && !agreed; turn++) {
        struct multistream_event event;
        char to_responder[MULTISTREAM_OUT_MAX + 1];
        memcpy(to_responder, pull_all(&i), sizeof(to_responder));
        const char *to_initiator = pull_all(&r);
        take_text(&r, to_responder);
        while (multistream_next_event(&r, &event)) {
            cr_assert_eq(event.type, MULTISTREAM_EV_PROPOSAL);
            if (bytes_equal(event.name, BYTES_LIT("/noise")))
                multistream_accept(&r, SEC(1));
            else
                multistream_refuse(&r, SEC(1));
        }
        take_text(&i, to_initiator);
        while (multistream_next_event(&i, &event)) {
            cr_assert_eq(event.type, MULTISTREAM_EV_AGREED);
            cr_assert(bytes_equal(event.name, BYTES_LIT("/noise")));
            agreed = true;
        }
    }
    cr_assert(agreed);
    cr_assert(multistream_is_done(&r));
}

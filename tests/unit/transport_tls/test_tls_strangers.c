/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "meeting.h"
#include "tests/support/vectors.h"

/* Goal: peers that behave unlike ours, in the handshake and after it.  Spec: libp2p tls.md; RFC
 * 8446. */

enum { BOTH_ROLES = 2, CLOSE_NOTIFY = 0, UNEXPECTED = 10, BAD_MAC = 20, OVERFLOW = 22 };
enum { ILLEGAL = 47, DECODE = 50, CERTIFICATE_REQUIRED = 116, NO_ALPN = 120 };

static void expect_open(const struct meeting *m, const char *muxer) {
    const struct secure *s = m->end.secure;
    cr_assert_eq(s->state, SECURE_OPEN, "%s", s->problem.text);
    cr_assert(peer_id_equal(&s->peer, &m->id));
    cr_assert(muxer == NULL ? s->muxer == NULL : strcmp(s->muxer, muxer) == 0);
}

static void expect_failed(const struct meeting *m, int error, const char *text) {
    const struct secure *s = m->end.secure;
    cr_assert_eq(s->state, SECURE_FAILED);
    cr_assert_eq(s->error, error, "%d: %s", s->error, s->problem.text);
    cr_assert_not_null(strstr(s->problem.text, text), "%s", s->problem.text);
}

/* --- Handshakes --- */

Test(tls_strangers, the_muxer_is_the_first_of_the_clients_list_that_the_server_knows) {
    static const struct {
        const char *theirs;
        const char *muxer;
    } rows[] = {{"/yamux/1.0.0,libp2p", "/yamux/1.0.0"},
                {"libp2p", NULL},
                {"/mplex/6.7.0,/yamux/1.0.0,libp2p", "/yamux/1.0.0"},
                {NULL, NULL}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (int server = 0; server < BOTH_ROLES; server++) {
            struct meeting m;
            struct stranger_config cfg = meeting_prepare(&m, server);
            cfg.alpn = rows[i].theirs;
            meeting_hold(&m, &cfg);
            expect_open(&m, rows[i].muxer);
            meeting_end(&m);
        }
    }
    struct meeting m;
    struct stranger_config cfg = meeting_prepare(&m, false);
    cfg.alpn = "libp2p,/yamux/1.0.0";
    meeting_hold(&m, &cfg);
    expect_open(&m, NULL);
    meeting_end(&m);
}

Test(tls_strangers, without_a_protocol_in_common_there_is_alert_120) {
    struct meeting m;
    struct stranger_config cfg = meeting_prepare(&m, false);
    cfg.alpn = "h2,http/1.1";
    meeting_hold(&m, &cfg);
    expect_failed(&m, -ERR_HANDSHAKE, "TLS handshake failed");
    cr_assert_eq(m.stranger.alert, NO_ALPN);
    meeting_end(&m);

    cfg = meeting_prepare(&m, true);
    cfg.alpn = "h2";
    meeting_hold(&m, &cfg);
    expect_failed(&m, -ERR_HANDSHAKE, "TLS alert 120, no_application_protocol");
    meeting_end(&m);
}

Test(tls_strangers, a_client_without_certificate_is_told_so) {
    struct meeting m;
    struct stranger_config cfg = meeting_prepare(&m, false);
    cfg.chain_count = 0;
    meeting_hold(&m, &cfg);
    expect_failed(&m, -ERR_BAD_CERTIFICATE, "certificate");
    cr_assert_eq(meeting_told_alert(&m), CERTIFICATE_REQUIRED);
    meeting_end(&m);
}

Test(tls_strangers, two_certificates_are_one_too_many) {
    for (int server = 0; server < BOTH_ROLES; server++) {
        struct meeting m;
        struct stranger_config cfg = meeting_prepare(&m, server);
        cfg.chain[1] = cfg.chain[0];
        cfg.chain_count = 2;
        meeting_hold(&m, &cfg);
        expect_failed(&m, -ERR_BAD_CERTIFICATE, "certificate");
        cr_assert_eq(meeting_told_alert(&m), 42);
        meeting_end(&m);
    }
}

Test(tls_strangers, all_suites_are_spoken) {
    static const char *const suites[] = {"TLS13-AES128-GCM-SHA256", "TLS13-AES256-GCM-SHA384",
                                         "TLS13-CHACHA20-POLY1305-SHA256"};
    for (size_t i = 0; i < ARRAY_COUNT(suites); i++) {
        for (int server = 0; server < BOTH_ROLES; server++) {
            struct meeting m;
            uint8_t got[16], out[256];
            struct stranger_config cfg = meeting_prepare(&m, server);
            cfg.suites = suites[i];
            meeting_hold(&m, &cfg);
            expect_open(&m, "/yamux/1.0.0");
            stranger_write(&m.stranger, BYTES_LIT("hello"));
            meeting_go_on(&m);
            cr_assert(bytes_equal(bytes_of(m.end.got, m.end.got_len), BYTES_LIT("hello")));
            size_t n = end_write(&m.end, BYTES_LIT("hi"), 2, out, sizeof(out));
            stranger_receive(&m.stranger, bytes_of(out, n));
            cr_assert_eq(stranger_read(&m.stranger, got, sizeof(got)), 2);
            meeting_end(&m);
        }
    }
}

/* Goal: go's own ClientHello, with a hybrid key share first, is answered without another round. */
Test(tls_strangers, gos_first_message_is_answered) {
    struct vectors v = vectors_open("transcripts");
    size_t seen = 0;
    vectors_for_each(row, &v) {
        size_t i;
        json_t *chunk;
        if (!row_is(row, "name", "go47-go47-tls-yamux"))
            continue;
        json_array_foreach(json_object_get(row, "chunks"), i, chunk) {
            static uint8_t bytes[4096];
            static uint8_t out[SECURE_PULL_MAX];
            struct bytes in = row_hex(chunk, "bytes", bytes, sizeof(bytes));
            if (!row_is(chunk, "from", "dialer") || in.len < 1000 || in.data[0] != 22)
                continue;
            struct world w;
            struct end e;
            world_init(&w);
            end_init(&e, &w, 1);
            end_open(&e, false, NULL);
            end_receive(&e, in);
            cr_assert_eq(e.secure->state, SECURE_HANDSHAKE, "%s", e.secure->problem.text);
            size_t n = end_pull(&e, out, sizeof(out));
            cr_assert_gt(n, 500);
            cr_assert(out[0] == 22 && out[5] == 2, "a ServerHello");
            /* A request for another hello would have the hash of "HelloRetryRequest" here. */
            cr_assert_neq(out[11], 0xcf);
            seen++;
            end_done(&e);
            world_done(&w);
        }
    }
    cr_assert_eq(seen, 1);
    vectors_close(&v);
}

static void expect_garbage_fails(struct bytes garbage, int error, int alert) {
    for (int initiator = 0; initiator < BOTH_ROLES; initiator++) {
        struct world w;
        struct end e;
        uint8_t out[SECURE_PULL_MAX];
        world_init(&w);
        end_init(&e, &w, 1);
        end_open(&e, initiator, NULL);
        (void)end_pull(&e, out, sizeof(out));
        end_receive(&e, garbage);
        cr_assert_eq(e.secure->state, SECURE_FAILED, "%d: %.20s", initiator, garbage.data);
        cr_assert_eq(e.secure->error, error, "%s", e.secure->problem.text);
        size_t n = end_pull(&e, out, sizeof(out));
        cr_assert_eq(n, 7, "an alert in the clear");
        cr_assert(out[0] == TLS_CONTENT_ALERT && out[5] == 2 && out[6] == alert, "alert %u",
                  out[6]);
        end_done(&e);
        world_done(&w);
    }
}

Test(tls_strangers, what_is_not_tls_is_refused_at_its_first_record) {
    static const uint8_t long_record[] = {22, 3, 3, 0x41, 0x01};
    static const uint8_t message[] = {22, 3, 3, 0, 4, 99, 0, 0, 0};
    expect_garbage_fails(BYTES_LIT("GET / HTTP/1.1\r\n"), -ERR_HANDSHAKE, UNEXPECTED);
    expect_garbage_fails(BYTES_LIT("\x13/multistream/1.0.0\n"), -ERR_HANDSHAKE, UNEXPECTED);
    expect_garbage_fails(BYTES_OF(long_record), -ERR_PROTOCOL_VIOLATION, OVERFLOW);
    expect_garbage_fails(BYTES_OF(message), -ERR_HANDSHAKE, UNEXPECTED);
}

Test(tls_strangers, a_handshake_has_an_end) {
    static const uint8_t change[] = {20, 3, 3, 0, 1, 1};
    struct world w;
    struct end e;
    world_init(&w);
    end_init(&e, &w, 1);
    end_open(&e, false, NULL);
    size_t sent = 0;
    while (e.secure->state == SECURE_HANDSHAKE && sent < 1 << 20) {
        end_receive(&e, BYTES_OF(change));
        sent += sizeof(change);
    }
    cr_assert_eq(e.secure->state, SECURE_FAILED);
    cr_assert_leq(sent, (64 << 10) + sizeof(change));
    end_done(&e);
    world_done(&w);
}

Test(tls_strangers, an_alert_in_the_handshake_says_what_it_is) {
    static const struct {
        uint8_t alert;
        int error;
        const char *text;
    } rows[] = {{49, -ERR_GATED, "authorized_keys"},
                {42, -ERR_HANDSHAKE, "(TLS alert 42, bad_certificate)"},
                {0, -ERR_HANDSHAKE, "closed during the handshake"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const uint8_t alert[] = {21, 3, 3, 0, 2, 2, rows[i].alert};
        struct world w;
        struct end e;
        world_init(&w);
        end_init(&e, &w, 1);
        end_open(&e, true, NULL);
        end_receive(&e, BYTES_OF(alert));
        cr_assert_eq(e.secure->state, SECURE_FAILED);
        cr_assert_eq(e.secure->error, rows[i].error, "%s", e.secure->problem.text);
        cr_assert_not_null(strstr(e.secure->problem.text, rows[i].text), "%s",
                           e.secure->problem.text);
        end_done(&e);
        world_done(&w);
    }
}

/* --- Records --- */

static void open_meeting(struct meeting *m, bool stranger_is_server) {
    struct stranger_config cfg = meeting_prepare(m, stranger_is_server);
    meeting_hold(m, &cfg);
    expect_open(m, "/yamux/1.0.0");
}

/* Our answer to the last record is this fatal alert, sealed. */
static void expect_alert(struct meeting *m, int alert) {
    uint8_t out[64];
    size_t len = 0;
    cr_assert_eq(meeting_hear(m, out, sizeof(out), &len), TLS_CONTENT_ALERT);
    cr_assert(len == 2 && out[0] == 2 && out[1] == alert, "alert %u", out[1]);
    cr_assert_eq(secure_seal(m->end.secure, BYTES_LIT("x"), out), 0, "nothing more is sealed");
}

Test(tls_strangers, the_librarys_keys_change_both_ways) {
    for (int server = 0; server < BOTH_ROLES; server++) {
        struct meeting m;
        uint8_t got[16], out[256];
        open_meeting(&m, server);
        for (size_t i = 1; i < 5; i++) {
            stranger_update_keys(&m.stranger); /* and asks for ours */
            stranger_write(&m.stranger, BYTES_LIT("hello"));
            meeting_go_on(&m);
            cr_assert_eq(m.end.got_len, 5 * i, "%s", m.end.secure->problem.text);
            size_t n = end_write(&m.end, BYTES_LIT("hi"), 2, out, sizeof(out));
            stranger_receive(&m.stranger, bytes_of(out, n));
            cr_assert_eq(stranger_read(&m.stranger, got, sizeof(got)), 2, "error %d",
                         m.stranger.error);
        }
        meeting_end(&m);
    }
}

Test(tls_strangers, several_requests_at_once_get_one_new_key) {
    static const uint8_t request[] = {24, 0, 0, 1, 1};
    struct meeting m;
    uint8_t out[64];
    size_t len = 0;
    open_meeting(&m, true);
    for (int i = 0; i < 3; i++) {
        meeting_send(&m, TLS_CONTENT_HANDSHAKE, BYTES_OF(request));
        tls_flow_update(&m.stranger.tx);
    }
    cr_assert_eq(meeting_hear(&m, out, sizeof(out), &len), TLS_CONTENT_HANDSHAKE);
    cr_assert(bytes_equal(bytes_of(out, len), BYTES_LIT("\x18\0\0\x01\0")));
    tls_flow_update(&m.stranger.rx);
    secure_close(m.end.secure);
    cr_assert_eq(meeting_hear(&m, out, sizeof(out), &len), TLS_CONTENT_ALERT);
    meeting_end(&m);
}

Test(tls_strangers, tickets_padding_and_empty_records_are_passed_over) {
    static uint8_t ticket[4 + 20000] = {4, 0, 0x4e, 0x20};
    static const uint8_t padded[] = {'h', 'i', 23, 0, 0, 0};
    struct meeting m;
    open_meeting(&m, true);
    meeting_send(&m, TLS_CONTENT_HANDSHAKE, bytes_of(ticket, 2));
    meeting_send(&m, TLS_CONTENT_HANDSHAKE, bytes_of(ticket + 2, 16000));
    meeting_send(&m, TLS_CONTENT_HANDSHAKE, bytes_of(ticket + 16002, sizeof(ticket) - 16002));
    meeting_send(&m, TLS_CONTENT_DATA, BYTES_EMPTY);
    meeting_send_inner(&m, BYTES_OF(padded));
    meeting_send(&m, TLS_CONTENT_DATA, bytes_of(ticket, TLS_PLAIN_MAX));
    cr_assert_eq(m.end.secure->state, SECURE_OPEN, "%s", m.end.secure->problem.text);
    cr_assert_eq(m.end.got_len, 2 + TLS_PLAIN_MAX);
    meeting_end(&m);
}

/* Goal: each way to break the rules ends the channel with its alert. */
Test(tls_strangers, what_breaks_the_rules_of_records_ends_the_channel) {
    static uint8_t zeros[TLS_BODY_MAX];
    static const struct {
        const char *what;
        enum tls_content type; /* 0: the content is the inner bytes */
        struct bytes content;
        int alert;
    } rows[] = {
        {"a record of padding alone", 0, {zeros, 9}, UNEXPECTED},
        {"a record of nothing", 0, {zeros, 0}, UNEXPECTED},
        {"too much plaintext", TLS_CONTENT_DATA, {zeros, TLS_PLAIN_MAX + 1}, OVERFLOW},
        {"an unknown type", 24, {zeros, 3}, UNEXPECTED},
        {"a sealed change of ciphers", TLS_CONTENT_CHANGE_CIPHER_SPEC, {zeros, 1}, UNEXPECTED},
        {"an alert of one byte", TLS_CONTENT_ALERT, {zeros, 1}, DECODE},
        {"an empty handshake record", TLS_CONTENT_HANDSHAKE, {zeros, 0}, UNEXPECTED},
        {"a finished message", TLS_CONTENT_HANDSHAKE, BYTES_LIT("\x14\0\0\0"), UNEXPECTED},
        {"a ticket from a client", TLS_CONTENT_HANDSHAKE, BYTES_LIT("\x04\0\0\0"), UNEXPECTED},
        {"a key update of two bytes", TLS_CONTENT_HANDSHAKE, BYTES_LIT("\x18\0\0\x02\0\0"),
         UNEXPECTED},
        {"a key update and more", TLS_CONTENT_HANDSHAKE, BYTES_LIT("\x18\0\0\x01\0\x18"),
         UNEXPECTED},
        {"a key update that asks for 2", TLS_CONTENT_HANDSHAKE, BYTES_LIT("\x18\0\0\x01\x02"),
         ILLEGAL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct meeting m;
        open_meeting(&m, false);
        if (rows[i].type == 0)
            meeting_send_inner(&m, rows[i].content);
        else
            meeting_send(&m, rows[i].type, rows[i].content);
        cr_assert_eq(m.end.secure->error, -ERR_PROTOCOL_VIOLATION, "%s: %d", rows[i].what,
                     m.end.secure->error);
        expect_alert(&m, rows[i].alert);
        meeting_end(&m);
    }
}

Test(tls_strangers, records_that_cannot_be_are_refused_by_their_header) {
    static const struct {
        uint8_t bytes[TLS_HEADER_BYTES + 20];
        size_t len;
        int alert;
    } rows[] = {{{23, 3, 3, 0x41, 0x01}, 5, OVERFLOW},
                {{20, 3, 3, 0, 1, 1}, 6, UNEXPECTED},
                {{21, 3, 3, 0, 2, 2, 42}, 7, UNEXPECTED},
                {{23, 3, 3, 0, 0}, 5, BAD_MAC},
                {{23, 3, 3, 0, 16}, 21, BAD_MAC}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct meeting m;
        open_meeting(&m, false);
        end_receive(&m.end, bytes_of(rows[i].bytes, rows[i].len));
        cr_assert_eq(m.end.error, -ERR_PROTOCOL_VIOLATION, "row %zu", i);
        expect_failed(&m, -ERR_PROTOCOL_VIOLATION, "TLS record");
        expect_alert(&m, rows[i].alert);
        meeting_end(&m);
    }
}

Test(tls_strangers, data_in_the_middle_of_a_message_is_refused) {
    struct meeting m;
    open_meeting(&m, true);
    meeting_send(&m, TLS_CONTENT_HANDSHAKE, BYTES_LIT("\x04\0\0\x09half"));
    meeting_send(&m, TLS_CONTENT_DATA, BYTES_LIT("x"));
    expect_failed(&m, -ERR_PROTOCOL_VIOLATION, "unexpected type");
    expect_alert(&m, UNEXPECTED);
    meeting_end(&m);
}

Test(tls_strangers, records_that_carry_nothing_are_counted) {
    struct meeting m;
    open_meeting(&m, true);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 32; i++)
            meeting_send(&m, TLS_CONTENT_DATA, BYTES_EMPTY);
        meeting_send(&m, TLS_CONTENT_DATA, BYTES_LIT("x"));
    }
    cr_assert_eq(m.end.secure->state, SECURE_OPEN);
    for (int i = 0; i < 33 && m.end.secure->state == SECURE_OPEN; i++)
        meeting_send(&m, TLS_CONTENT_DATA, BYTES_EMPTY);
    expect_failed(&m, -ERR_PROTOCOL_VIOLATION, "without data");
    meeting_end(&m);
}

Test(tls_strangers, a_first_alert_means_that_the_handshake_failed_and_a_later_one_the_connection) {
    struct meeting m;
    open_meeting(&m, true);
    meeting_send(&m, TLS_CONTENT_ALERT, BYTES_LIT("\x02\x31"));
    expect_failed(&m, -ERR_GATED, "authorized_keys");
    meeting_end(&m);

    open_meeting(&m, true);
    meeting_send(&m, TLS_CONTENT_DATA, BYTES_LIT("x"));
    meeting_send(&m, TLS_CONTENT_ALERT, BYTES_LIT("\x01\x50"));
    expect_failed(&m, -ERR_CONN_CLOSED, "(TLS alert 80, internal_error)");
    meeting_end(&m);

    /* A server has heard from its client already. */
    open_meeting(&m, false);
    meeting_send(&m, TLS_CONTENT_ALERT, BYTES_LIT("\x02\x14"));
    expect_failed(&m, -ERR_CONN_CLOSED, "alert 20");
    meeting_end(&m);
}

Test(tls_strangers, a_cancelled_user_is_followed_by_the_goodbye) {
    struct meeting m;
    open_meeting(&m, true);
    meeting_send(&m, TLS_CONTENT_ALERT, BYTES_LIT("\x01\x5a"));
    cr_assert_eq(m.end.secure->state, SECURE_OPEN);
    meeting_send(&m, TLS_CONTENT_ALERT, BYTES_LIT("\x01\x00"));
    cr_assert_eq(m.end.secure->state, SECURE_ENDED);
    cr_assert_eq(m.end.error, -ENODATA);
    meeting_end(&m);
}

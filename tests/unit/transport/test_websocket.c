/* SPDX-License-Identifier: MIT */
/* Goal: the upgrade of a WebSocket, wherever its bytes are cut; what is no upgrade is refused with
 * the status that says why.
 * Spec: RFC 6455, section 4. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/err.h"
#include "tests/support/fixed_rng.h"
#include "transport/proto/websocket.h"

/* The example of RFC 6455, section 1.3. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define PROOF  "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define FIRST  "GET / HTTP/1.1\r\n"
#define HOST   "Host: example.com:8080\r\n"
#define SWITCH "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEYED  "Sec-WebSocket-Key: " KEY "\r\n"
#define THE_13 "Sec-WebSocket-Version: 13\r\n"
#define END    "\r\n"

static struct bytes pull(struct websocket *w, char out[WEBSOCKET_OUT_MAX + 1]) {
    size_t n = websocket_pull(w, out, WEBSOCKET_OUT_MAX);
    out[n] = '\0';
    return bytes_of(out, n);
}

static size_t feed(struct websocket *w, struct bytes in, size_t piece) {
    size_t taken = 0;
    while (taken < in.len && w->state == WEBSOCKET_UPGRADING)
        taken += websocket_recv(w, bytes_of(in.data + taken, MIN(piece, in.len - taken)));
    return taken;
}

static void dial(struct websocket *w, const char *host) {
    struct fixed_rng rng;
    fixed_rng_init(&rng, 1);
    cr_assert_eq(websocket_init_client(w, host, &rng.rng), 0);
}

Test(websocket, both_sides_agree_wherever_it_is_cut) {
    for (size_t piece = 1; piece < 400; piece += piece < 10 ? 1 : 37) {
        struct websocket client, server;
        char out[WEBSOCKET_OUT_MAX + 1];
        dial(&client, "example.com:443");
        websocket_init_server(&server);
        struct bytes request = pull(&client, out);
        cr_assert_eq(feed(&server, request, piece), request.len);
        cr_assert_eq(server.state, WEBSOCKET_OPEN, "%s", server.problem.text);
        struct bytes answer = pull(&server, out);
        cr_assert_eq(feed(&client, answer, piece), answer.len);
        cr_assert_eq(client.state, WEBSOCKET_OPEN, "%s", client.problem.text);
        cr_assert_eq(pull(&client, out).len, 0);
    }
}

/* The lines that the spec's example has, in its own words. */
Test(websocket, the_example_of_the_spec_is_answered) {
    struct websocket w;
    char out[WEBSOCKET_OUT_MAX + 1];
    struct bytes request = BYTES_LIT(
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\nOrigin: http://example.com\r\n"
        "Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n");
    websocket_init_server(&w);
    cr_assert_eq(websocket_recv(&w, request), request.len);
    cr_assert_eq(w.state, WEBSOCKET_OPEN);
    cr_assert(bytes_equal(
        pull(&w, out),
        BYTES_LIT(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: " PROOF "\r\n\r\n")));
}

Test(websocket, a_request_names_the_host_and_what_it_wants) {
    struct websocket w;
    char out[WEBSOCKET_OUT_MAX + 1];
    dial(&w, "[2001:db8::1]:80");
    struct bytes request = pull(&w, out);
    cr_assert(bytes_start_with(request, BYTES_LIT("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n")));
    cr_assert_not_null(strstr(out, "\r\n" SWITCH));
    cr_assert_not_null(strstr(out, "\r\n" THE_13));
    cr_assert(bytes_equal(bytes_of(out + request.len - 4, 4), BYTES_LIT("\r\n\r\n")));
}

Test(websocket, what_no_host_has_is_not_sent) {
    char longest[WEBSOCKET_HOST_MAX + 2];
    struct websocket w;
    struct fixed_rng rng;
    static const char *const hosts[] = {"", "a b", "a\r\nX: y", "a/b", "u@h", "\xc3\xa9"};
    fixed_rng_init(&rng, 1);
    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++)
        cr_assert_eq(websocket_init_client(&w, hosts[i], &rng.rng), -EINVAL, "%zu", i);
    memset(longest, 'a', sizeof(longest));
    longest[WEBSOCKET_HOST_MAX + 1] = '\0';
    cr_assert_eq(websocket_init_client(&w, longest, &rng.rng), -EINVAL);
    longest[WEBSOCKET_HOST_MAX] = '\0';
    cr_assert_eq(websocket_init_client(&w, longest, &rng.rng), 0);
}

/* Frames may come in the same piece. */
Test(websocket, nothing_behind_the_upgrade_is_taken) {
    struct websocket w;
    struct bytes request = BYTES_LIT(FIRST HOST SWITCH KEYED THE_13 END "\x82\x80");
    websocket_init_server(&w);
    cr_assert_eq(websocket_recv(&w, request), request.len - 2);
    cr_assert_eq(w.state, WEBSOCKET_OPEN);
    cr_assert_eq(websocket_recv(&w, BYTES_LIT("\x82")), 0);
}

Test(websocket, requests_are_taken_in_any_form_that_http_allows) {
    static const char *const requests[] = {
        FIRST "host:a\r\nUPGRADE: \t WebSocket \r\nconnection:keep-alive, UPGRADE\r\n"
              "sec-websocket-key:" KEY "\r\nSEC-WEBSOCKET-VERSION:13\r\n\r\n",
        "GET /any/path?with=query HTTP/1.1\n" HOST SWITCH KEYED THE_13 "\n",
        FIRST HOST "Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: close\r\n"
                   "Connection: upgrade\r\n" KEYED THE_13 END,
        FIRST HOST SWITCH KEYED THE_13 "X-Empty:\r\n" END,
        "GET / HTTP/1.2\r\n" HOST SWITCH KEYED THE_13 END,
    };
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct websocket w;
        websocket_init_server(&w);
        (void)feed(&w, bytes_of_str(requests[i]), 5);
        cr_assert_eq(w.state, WEBSOCKET_OPEN, "row %zu: %s", i, w.problem.text);
    }
}

Test(websocket, requests_are_refused_with_the_status_that_says_why) {
    static const struct {
        const char *request;
        const char *status;
    } rows[] = {
        {"POST / HTTP/1.1\r\n" HOST SWITCH KEYED THE_13 END, "405 "},
        {"GET / HTTP/1.0\r\n" HOST SWITCH KEYED THE_13 END, "505 "},
        {"GET / HTTP/2.0\r\n" HOST SWITCH KEYED THE_13 END, "505 "},
        {"GET /\r\n" END, "400 "},
        {"GET  HTTP/1.1\r\n" END, "400 "},
        {"\r\n", "400 "},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 "},
        {"\x13/multistream/1.0.0\n", "400 "},
        {FIRST HOST END, "426 "},
        {FIRST HOST "Upgrade: websocket\r\n" KEYED THE_13 END, "426 "},
        {FIRST HOST "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEYED THE_13 END, "426 "},
        {FIRST HOST SWITCH KEYED "Sec-WebSocket-Version: 8\r\n" END, "426 "},
        {FIRST HOST SWITCH KEYED "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n" END,
         "426 "},
        {FIRST HOST SWITCH KEYED END, "400 "},
        {FIRST SWITCH KEYED THE_13 END, "400 "},
        {FIRST HOST HOST SWITCH KEYED THE_13 END, "400 "},
        {FIRST HOST SWITCH THE_13 END, "400 "},
        {FIRST HOST SWITCH KEYED KEYED THE_13 END, "400 "},
        {FIRST HOST SWITCH "Sec-WebSocket-Key: short\r\n" THE_13 END, "400 "},
        {FIRST HOST SWITCH "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEy\r\n" THE_13 END, "400 "},
        {FIRST HOST " folded\r\n" END, "400 "},
        {FIRST "Host : a\r\n" END, "400 "},
        {FIRST "no colon\r\n" END, "400 "},
        {FIRST ": nameless\r\n" END, "400 "},
        {FIRST "Host: a\rb\r\n" END, "400 "},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (size_t piece = 1; piece < 1000; piece += 500) {
            struct websocket w;
            char out[WEBSOCKET_OUT_MAX + 1];
            websocket_init_server(&w);
            (void)feed(&w, bytes_of_str(rows[i].request), piece);
            cr_assert_eq(w.state, WEBSOCKET_FAILED, "row %zu", i);
            cr_assert_eq(w.error, -ERR_HANDSHAKE);
            (void)pull(&w, out);
            cr_assert_eq(strncmp(out, "HTTP/1.1 ", 9), 0, "row %zu: %s", i, out);
            cr_assert_eq(strncmp(out + 9, rows[i].status, 4), 0, "row %zu: %s", i, out);
            cr_assert_not_null(strstr(out, "\r\nConnection: close\r\n"));
            bool is_426 = strcmp(rows[i].status, "426 ") == 0;
            cr_assert_eq(strstr(out, "\r\nSec-WebSocket-Version: 13\r\n") != NULL, is_426);
        }
    }
}

Test(websocket, a_long_line_that_does_not_count_is_passed_over) {
    static char request[WEBSOCKET_HEAD_MAX];
    static char cookie[6000];
    memset(cookie, 'c', sizeof(cookie) - 1);
    struct websocket w;
    int n = snprintf(request, sizeof(request), FIRST HOST "Cookie: %s\r\n" SWITCH KEYED THE_13 END,
                     cookie);
    websocket_init_server(&w);
    cr_assert_eq(websocket_recv(&w, bytes_of(request, (size_t)n)), n);
    cr_assert_eq(w.state, WEBSOCKET_OPEN);
}

Test(websocket, a_request_without_end_is_refused_at_the_limit) {
    struct websocket w;
    char out[WEBSOCKET_OUT_MAX + 1];
    size_t taken = 0;
    websocket_init_server(&w);
    cr_assert_eq(websocket_recv(&w, BYTES_LIT(FIRST)), 16);
    for (taken = 16; w.state == WEBSOCKET_UPGRADING; taken += 8)
        cr_assert_leq(websocket_recv(&w, BYTES_LIT("Aa: bb\r\n")), 8);
    cr_assert_leq(taken, WEBSOCKET_HEAD_MAX + 8);
    (void)pull(&w, out);
    cr_assert_eq(strncmp(out, "HTTP/1.1 431 ", 13), 0);
}

/* The key that fixed_rng makes is not the spec's, so the proof is the engine's own, from a server
 * that is asked the same. */
static void proof_for(struct websocket *client, char out[WEBSOCKET_OUT_MAX + 1]) {
    struct websocket server;
    char request[WEBSOCKET_OUT_MAX + 1];
    websocket_init_server(&server);
    struct bytes asked = pull(client, request);
    cr_assert_eq(websocket_recv(&server, asked), asked.len);
    (void)pull(&server, out);
    char *at = strstr(out, "Sec-WebSocket-Accept: ");
    cr_assert_not_null(at);
    memmove(out, at, strlen(at) - 1); /* without the blank line */
    out[strlen(at) - 2] = '\0';
}

Test(websocket, answers_that_are_none_are_not_taken) {
    static const struct {
        const char *head; /* the proof follows */
        const char *tail;
        const char *why; /* NULL: taken */
    } rows[] = {
        {"HTTP/1.1 101 Switching Protocols\r\n" SWITCH, END, NULL},
        {"HTTP/1.1 101\r\nServer: x\r\n" SWITCH, END, NULL},
        {"HTTP/1.1 404 Not Found\r\n", END, "404 Not Found"},
        {"HTTP/1.1 503 \x01\xff\r\n", END, "malformed"},
        {"HTTP/1.1\r\n", END, ""},
        {"HTTP/1.0 101 Switching Protocols\r\n" SWITCH, END, "HTTP/1.1"},
        {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n", END, "without switching"},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n", END, "without switching"},
        {"HTTP/1.1 101 x\r\n" SWITCH "Sec-WebSocket-Accept: " PROOF "\r\n", END, "another request"},
        {"HTTP/1.1 101 x\r\n" SWITCH, "Sec-WebSocket-Extensions: permessage-deflate\r\n" END,
         "extension"},
        {"HTTP/1.1 101 x\r\n" SWITCH, "Sec-WebSocket-Protocol: chat\r\n" END, "protocol"},
        {"\x13/multistream/1.0.0\n", END, "malformed"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct websocket w;
        char proof[WEBSOCKET_OUT_MAX + 1];
        char answer[WEBSOCKET_HEAD_MAX];
        dial(&w, "h");
        proof_for(&w, proof);
        int n = snprintf(answer, sizeof(answer), "%s%s%s", rows[i].head, proof, rows[i].tail);
        (void)feed(&w, bytes_of(answer, (size_t)n), 3);
        if (rows[i].why == NULL) {
            cr_assert_eq(w.state, WEBSOCKET_OPEN, "row %zu: %s", i, w.problem.text);
            continue;
        }
        cr_assert_eq(w.state, WEBSOCKET_FAILED, "row %zu", i);
        cr_assert_eq(w.error, -ERR_HANDSHAKE);
        cr_assert_not_null(strstr(w.problem.text, rows[i].why), "row %zu: %s", i, w.problem.text);
        cr_assert_eq(pull(&w, answer).len, 0, "a client says nothing more");
    }
}

/* SPDX-License-Identifier: MIT */
#include "transport/proto/websocket.h"

#include <stdio.h>
#include <strings.h>

#include "core/base/codec.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/crypto/hash.h"

enum { KEY_BYTES = 16 };

/* What a server's proof is made of, behind the client's key: RFC 6455, section 1.3. */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum {
    SEEN_HOST = 1 << 0,
    SEEN_UPGRADE = 1 << 1,    /* with the token "websocket" */
    SEEN_CONNECTION = 1 << 2, /* with the token "upgrade" */
    SEEN_KEY = 1 << 3,
    SEEN_VERSION = 1 << 4,
    SEEN_ACCEPT = 1 << 5,
};

enum { REQUEST_NEEDS = SEEN_HOST | SEEN_UPGRADE | SEEN_CONNECTION | SEEN_KEY | SEEN_VERSION };
enum { ANSWER_NEEDS = SEEN_UPGRADE | SEEN_CONNECTION | SEEN_ACCEPT };

enum {
    STATUS_BAD_REQUEST = 400,
    STATUS_NOT_GET = 405,
    STATUS_NOT_UPGRADE = 426,
    STATUS_TOO_LARGE = 431,
    STATUS_NOT_HTTP_1 = 505,
};

/* How a server refuses. */
static const struct {
    unsigned status;
    const char *reason;
    const char *headers;
    const char *body;
} refusals[] = {
    {STATUS_BAD_REQUEST, "Bad Request", "", "This is no WebSocket request.\n"},
    {STATUS_NOT_GET, "Method Not Allowed", "Allow: GET\r\n", "A WebSocket is asked for by GET.\n"},
    {STATUS_NOT_UPGRADE, "Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
     "Only WebSocket 13 is served here.\n"},
    {STATUS_TOO_LARGE, "Request Header Fields Too Large", "", "The request is too large.\n"},
    {STATUS_NOT_HTTP_1, "HTTP Version Not Supported", "", "Only HTTP/1.1 is served here.\n"},
};

static void fail(struct websocket *w, const char *why) {
    assert(w->state == WEBSOCKET_UPGRADING);
    w->state = WEBSOCKET_FAILED;
    const char *who = w->is_client ? "the server answers" : "a request was refused";
    w->error = problem_set(&w->problem, -ERR_HANDSHAKE, "WebSocket: %s: %s", who, why);
}

/* Room for what is formatted is asserted: all of it but the host, which was checked, is ours. */
PRINTF(2, 3) static void say(struct websocket *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(w->out, sizeof(w->out), format, args);
    va_end(args);
    assert(n > 0);
    assert((size_t)n < sizeof(w->out));
    w->out_len = (uint16_t)n;
}

static void refuse(struct websocket *w, unsigned status) {
    size_t i = 0;
    while (refusals[i].status != status)
        i++;
    say(w,
        "HTTP/1.1 %u %s\r\n%sContent-Type: text/plain\r\nContent-Length: %zu\r\n"
        "Connection: close\r\n\r\n%s",
        status, refusals[i].reason, refusals[i].headers, strlen(refusals[i].body),
        refusals[i].body);
    fail(w, refusals[i].reason);
}

/* The peer broke HTTP so that what follows means nothing. */
static void break_off(struct websocket *w, unsigned status, const char *why) {
    if (w->is_client)
        fail(w, why);
    else
        refuse(w, status);
}

static void proof_of(const char key[WEBSOCKET_KEY_CHARS],
                     char ret_text[WEBSOCKET_ACCEPT_CHARS + 1]) {
    char joined[WEBSOCKET_KEY_CHARS + sizeof(GUID) - 1];
    uint8_t digest[SHA1_BYTES];
    memcpy(joined, key, WEBSOCKET_KEY_CHARS);
    memcpy(joined + WEBSOCKET_KEY_CHARS, GUID, sizeof(GUID) - 1);
    sha1(bytes_of(joined, sizeof(joined)), digest);
    size_t n = codec_encode(CODEC_BASE64, BYTES_OF(digest), ret_text);
    assert(n == WEBSOCKET_ACCEPT_CHARS);
}

/* --- Text ------------------------------------------------------------------------------------ */

static bool is_same_word(struct bytes a, const char *b) {
    return a.len == strlen(b) && strncasecmp((const char *)a.data, b, a.len) == 0;
}

static bool is_blank(uint8_t c) {
    return c == ' ' || c == '\t';
}

static struct bytes trim(struct bytes b) {
    while (b.len > 0 && is_blank(b.data[0]))
        b = bytes_skip(b, 1);
    while (b.len > 0 && is_blank(b.data[b.len - 1]))
        b.len--;
    return b;
}

/* Up to the character, which is dropped; all of it when there is none. */
static struct bytes take_until(struct bytes *left, char c) {
    const uint8_t *at = left->len == 0 ? NULL : memchr(left->data, c, left->len);
    size_t n = at == NULL ? left->len : (size_t)(at - left->data);
    struct bytes taken = bytes_of(left->data, n);
    *left = bytes_skip(*left, at == NULL ? n : n + 1);
    return taken;
}

/* Whether a comma-separated list has the word. */
static bool list_has(struct bytes list, const char *word) {
    while (list.len > 0)
        if (is_same_word(trim(take_until(&list, ',')), word))
            return true;
    return false;
}

/* "HTTP/1.1" or a later one. */
static bool is_http_1(struct bytes version) {
    return version.len == 8 && memcmp(version.data, "HTTP/1.", 7) == 0 && version.data[7] >= '1' &&
           version.data[7] <= '9';
}

/* --- Lines ----------------------------------------------------------------------------------- */

static bool is_key(struct bytes text) {
    uint8_t key[KEY_BYTES];
    return text.len == WEBSOCKET_KEY_CHARS &&
           codec_decode(CODEC_BASE64, text, key, sizeof(key)) == KEY_BYTES;
}

/* The first thing that is wrong decides; the request is read to its end all the same. */
static void object(struct websocket *w, unsigned status) {
    if (w->refusal == 0)
        w->refusal = status;
}

static void request_line(struct websocket *w, struct bytes line) {
    struct bytes method = take_until(&line, ' ');
    struct bytes target = take_until(&line, ' ');
    if (target.len == 0 || line.len < 5 || memcmp(line.data, "HTTP/", 5) != 0)
        break_off(w, STATUS_BAD_REQUEST, "");
    else if (!is_http_1(line))
        break_off(w, STATUS_NOT_HTTP_1, "");
    else if (!bytes_equal(method, BYTES_LIT("GET")))
        object(w, STATUS_NOT_GET);
}

static void request_header(struct websocket *w, struct bytes name, struct bytes value) {
    if (is_same_word(name, "host")) {
        if (w->seen & SEEN_HOST || value.len == 0)
            object(w, STATUS_BAD_REQUEST);
        w->seen |= SEEN_HOST;
    } else if (is_same_word(name, "sec-websocket-key")) {
        if (w->seen & SEEN_KEY || !is_key(value))
            object(w, STATUS_BAD_REQUEST);
        else
            memcpy(w->key, value.data, WEBSOCKET_KEY_CHARS);
        w->seen |= SEEN_KEY;
    } else if (is_same_word(name, "sec-websocket-version")) {
        if (!bytes_equal(value, BYTES_LIT("13")))
            object(w, STATUS_NOT_UPGRADE);
        w->seen |= SEEN_VERSION;
    }
}

static void status_line(struct websocket *w, struct bytes line) {
    char why[80];
    if (!is_http_1(take_until(&line, ' '))) {
        fail(w, "not in HTTP/1.1");
        return;
    }
    struct bytes answer = line;
    if (bytes_equal(take_until(&line, ' '), BYTES_LIT("101")))
        return;
    size_t n = MIN(answer.len, sizeof(why) - 1);
    for (size_t i = 0; i < n; i++)
        why[i] = answer.data[i] <= '~' ? (char)answer.data[i] : '?';
    why[n] = '\0';
    fail(w, why);
}

static void answer_header(struct websocket *w, struct bytes name, struct bytes value) {
    if (is_same_word(name, "sec-websocket-accept")) {
        char proof[WEBSOCKET_ACCEPT_CHARS + 1];
        proof_of(w->key, proof);
        if (w->seen & SEEN_ACCEPT || !bytes_equal(value, bytes_of_str(proof)))
            fail(w, "another request");
        w->seen |= SEEN_ACCEPT;
    } else if (is_same_word(name, "sec-websocket-extensions") ||
               is_same_word(name, "sec-websocket-protocol")) {
        fail(w, "with an extension or a protocol that was not asked for");
    }
}

static void header_line(struct websocket *w, struct bytes line) {
    struct bytes value = line;
    struct bytes name = take_until(&value, ':');
    /* A folded line, a blank before the colon, or no colon: RFC 9112, section 5. */
    if (name.len == 0 || name.len == line.len || is_blank(name.data[0]) ||
        is_blank(name.data[name.len - 1])) {
        break_off(w, STATUS_BAD_REQUEST, "something malformed");
        return;
    }
    value = trim(value);
    if (is_same_word(name, "upgrade"))
        w->seen |= list_has(value, "websocket") ? SEEN_UPGRADE : 0u;
    else if (is_same_word(name, "connection"))
        w->seen |= list_has(value, "upgrade") ? SEEN_CONNECTION : 0u;
    else if (w->is_client)
        answer_header(w, name, value);
    else
        request_header(w, name, value);
}

static void request_end(struct websocket *w) {
    if (w->refusal == 0 &&
        (w->seen & (SEEN_UPGRADE | SEEN_CONNECTION)) != (SEEN_UPGRADE | SEEN_CONNECTION))
        w->refusal = STATUS_NOT_UPGRADE;
    if (w->refusal == 0 && (w->seen & REQUEST_NEEDS) != REQUEST_NEEDS)
        w->refusal = STATUS_BAD_REQUEST;
    if (w->refusal != 0) {
        refuse(w, w->refusal);
        return;
    }
    char proof[WEBSOCKET_ACCEPT_CHARS + 1];
    proof_of(w->key, proof);
    say(w,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\n\r\n",
        proof);
    w->state = WEBSOCKET_OPEN;
}

static void answer_end(struct websocket *w) {
    if ((w->seen & ANSWER_NEEDS) == ANSWER_NEEDS)
        w->state = WEBSOCKET_OPEN;
    else
        fail(w, "101 without switching protocols");
}

/* One line, without its end; of a long one what was kept, which is the beginning of its value. */
static void got_line(struct websocket *w) {
    struct bytes line = bytes_of(w->line, MIN(w->line_len, sizeof(w->line)));
    bool is_whole = w->line_len <= sizeof(w->line);
    w->line_len = 0;
    if (!w->has_first_line) {
        w->has_first_line = true;
        if (!is_whole)
            break_off(w, STATUS_TOO_LARGE, "something malformed");
        else if (w->is_client)
            status_line(w, line);
        else
            request_line(w, line);
    } else if (line.len > 0) {
        header_line(w, line);
    } else if (w->is_client) {
        answer_end(w);
    } else {
        request_end(w);
    }
}

/* A line ends with LF, before which CR is dropped; no other control character but a tab stands in
 * it. */
static void take(struct websocket *w, uint8_t c) {
    if (++w->head_len > WEBSOCKET_HEAD_MAX) {
        break_off(w, STATUS_TOO_LARGE, "too much");
        return;
    }
    bool after_cr =
        w->line_len > 0 && w->line_len <= sizeof(w->line) && w->line[w->line_len - 1] == '\r';
    if (c == '\n') {
        w->line_len -= after_cr;
        got_line(w);
    } else if (after_cr || c == 0x7f || (c < ' ' && c != '\t' && c != '\r')) {
        break_off(w, STATUS_BAD_REQUEST, "something malformed");
    } else {
        if (w->line_len < sizeof(w->line))
            w->line[w->line_len] = (char)c;
        w->line_len++;
    }
}

/* --- The whole ------------------------------------------------------------------------------- */

static bool is_host(const char *host) {
    size_t len = strlen(host);
    if (len == 0 || len > WEBSOCKET_HOST_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (host[i] <= ' ' || host[i] > '~' || strchr("/?#@\\\"<>", host[i]) != NULL)
            return false;
    return true;
}

int websocket_init_client(struct websocket *w, const char *host, struct rng *rng) {
    uint8_t key[KEY_BYTES];
    if (!is_host(host))
        return -EINVAL;
    *w = (struct websocket){.state = WEBSOCKET_UPGRADING, .is_client = true};
    rng_fill(rng, key, sizeof(key));
    size_t n = codec_encode(CODEC_BASE64, BYTES_OF(key), w->key);
    assert(n == WEBSOCKET_KEY_CHARS);
    say(w,
        "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
        host, w->key);
    return 0;
}

void websocket_init_server(struct websocket *w) {
    *w = (struct websocket){.state = WEBSOCKET_UPGRADING};
}

size_t websocket_recv(struct websocket *w, struct bytes in) {
    size_t taken = 0;
    while (taken < in.len && w->state == WEBSOCKET_UPGRADING)
        take(w, in.data[taken++]);
    return taken;
}

size_t websocket_pull(struct websocket *w, void *out, size_t size) {
    size_t n = MIN(size, (size_t)(w->out_len - w->out_sent));
    if (n > 0)
        memcpy(out, w->out + w->out_sent, n);
    w->out_sent = (uint16_t)(w->out_sent + n);
    return n;
}

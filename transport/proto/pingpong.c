/* SPDX-License-Identifier: MIT */
#include "transport/proto/pingpong.h"

#include "core/base/err.h"

/* From -> to; the opener begins in ASKING, the acceptor in READING.
 *
 *   ASKING     READING (all was pulled)    OVER
 *   READING    ANSWERING (acceptor)        OVER
 *   ANSWERING                              OVER
 */
static void set_state(struct pingpong *p, enum pingpong_state to) {
    static const uint8_t legal_next[] = {
        [PINGPONG_ASKING] = 1 << PINGPONG_READING | 1 << PINGPONG_OVER,
        [PINGPONG_READING] = 1 << PINGPONG_ANSWERING | 1 << PINGPONG_OVER,
        [PINGPONG_ANSWERING] = 1 << PINGPONG_OVER,
        [PINGPONG_OVER] = 0,
    };
    assert(legal_next[p->state] & 1 << to);
    p->state = (uint8_t)to;
}

static void set_now(struct pingpong *p, nsec_t now) {
    assert(now >= p->now);
    p->now = now;
}

static void end(struct pingpong *p, struct pingpong_event event) {
    set_state(p, PINGPONG_OVER);
    p->has_event = true;
    p->event = event;
}

static void fail(struct pingpong *p, int error) {
    end(p, (struct pingpong_event){.type = PINGPONG_EV_FAILED, .error = error});
}

void pingpong_init_opener(struct pingpong *p, nsec_t now) {
    *p = (struct pingpong){
        .out = "ping\n",
        .state = PINGPONG_ASKING,
        .is_opener = true,
        .deadline = now + PINGPONG_TIMEOUT,
        .now = now,
    };
}

void pingpong_init_acceptor(struct pingpong *p, nsec_t now) {
    *p = (struct pingpong){
        .out = "",
        .state = PINGPONG_READING,
        .deadline = now + PINGPONG_TIMEOUT,
        .now = now,
    };
}

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct bytes trimmed(struct bytes line) {
    while (line.len > 0 && is_space(line.data[0]))
        line = bytes_skip(line, 1);
    while (line.len > 0 && is_space(line.data[line.len - 1]))
        line.len--;
    return line;
}

static void got_line(struct pingpong *p) {
    struct bytes word = trimmed(bytes_of(p->line, p->line_len));
    if (!p->is_opener) {
        p->out = bytes_equal(word, BYTES_LIT("ping")) ? "pong\n" : "unknown\n";
        set_state(p, PINGPONG_ANSWERING);
    } else if (bytes_equal(word, BYTES_LIT("pong"))) {
        end(p, (struct pingpong_event){.type = PINGPONG_EV_DONE, .rtt = p->now - p->started_at});
    } else {
        fail(p, -ERR_PROTOCOL_VIOLATION);
    }
}

void pingpong_recv(struct pingpong *p, struct bytes in, nsec_t now) {
    set_now(p, now);
    /* An answer before the question is as wrong as any other. */
    if (p->state == PINGPONG_ASKING && in.len > 0)
        fail(p, -ERR_PROTOCOL_VIOLATION);
    for (size_t i = 0; i < in.len && p->state == PINGPONG_READING; i++) {
        if (p->line_len == PINGPONG_LINE_MAX) {
            fail(p, -ERR_LIMIT);
            return;
        }
        p->line[p->line_len++] = in.data[i];
        if (in.data[i] == '\n')
            got_line(p);
    }
}

void pingpong_recv_end(struct pingpong *p, nsec_t now) {
    set_now(p, now);
    if (p->state == PINGPONG_ASKING || p->state == PINGPONG_READING)
        fail(p, -ERR_TRUNCATED);
}

size_t pingpong_pull(struct pingpong *p, void *out, size_t size, nsec_t now) {
    set_now(p, now);
    if (size == 0 || (p->state != PINGPONG_ASKING && p->state != PINGPONG_ANSWERING))
        return 0;
    if (p->out_sent == 0)
        p->started_at = now;
    size_t left = strlen(p->out) - p->out_sent;
    size_t n = MIN(size, left);
    memcpy(out, p->out + p->out_sent, n);
    p->out_sent = (uint8_t)(p->out_sent + n);
    if (n < left)
        return n;
    if (p->is_opener)
        set_state(p, PINGPONG_READING);
    else
        end(p, (struct pingpong_event){.type = PINGPONG_EV_DONE});
    return n;
}

bool pingpong_next_event(struct pingpong *p, struct pingpong_event *ret_event) {
    if (!p->has_event)
        return false;
    p->has_event = false;
    *ret_event = p->event;
    return true;
}

nsec_t pingpong_deadline(const struct pingpong *p) {
    return p->state == PINGPONG_OVER ? NSEC_NEVER : p->deadline;
}

void pingpong_tick(struct pingpong *p, nsec_t now) {
    set_now(p, now);
    if (now >= pingpong_deadline(p))
        fail(p, -ETIMEDOUT);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/* peerup's own ping (the ID is configured, /pingpong/1.0.0 by default): one line there, one back,
 * one exchange a stream.  One engine for both sides, no I/O, no clock.
 *
 *   opener    sends "ping\n"; PINGPONG_EV_DONE when "pong" came back.
 *   acceptor  answers a line: "pong\n", or "unknown\n" when it was not "ping";
 *             PINGPONG_EV_DONE when the answer was pulled: half-close.
 *
 * White space around a line is trimmed, so "ping\r\n" works.
 * Spec:    peerup protocols, section 5.  The limit of a line and the deadline are ours: the Go
 *          program has none.
 * Memory:  the struct, under 150 bytes.
 * Thread:  one at a time.
 */

#include "core/base/bytes.h"
#include "core/base/time.h"

enum { PINGPONG_LINE_MAX = 64 }; /* newline included */

#define PINGPONG_TIMEOUT SEC(15)

enum pingpong_event_type { PINGPONG_EV_DONE, PINGPONG_EV_FAILED };

struct pingpong_event {
    enum pingpong_event_type type;
    nsec_t rtt; /* opener: from the first pull to the newline */
    /* PINGPONG_EV_FAILED, reset the stream:
     * -ERR_PROTOCOL_VIOLATION  opener: another answer than "pong"
     * -ERR_LIMIT               a line beyond PINGPONG_LINE_MAX
     * -ERR_TRUNCATED           the peer's bytes ended before a newline
     * -ETIMEDOUT */
    int error;
};

enum pingpong_state {
    PINGPONG_ASKING,    /* opener: "ping" is to be sent */
    PINGPONG_READING,   /* both: until the newline */
    PINGPONG_ANSWERING, /* acceptor */
    PINGPONG_OVER,
};

/* Embedded by its owner; fields are the engine's. */
struct pingpong {
    const char *out; /* a literal */
    uint8_t out_sent;
    uint8_t line_len;
    uint8_t state; /* enum pingpong_state */
    bool is_opener;
    bool has_event;
    uint8_t line[PINGPONG_LINE_MAX];
    struct pingpong_event event;
    nsec_t started_at;
    nsec_t deadline;
    nsec_t now;
};

void pingpong_init_opener(struct pingpong *p, nsec_t now);
void pingpong_init_acceptor(struct pingpong *p, nsec_t now);

/* Takes everything; what follows the newline is dropped. */
void pingpong_recv(struct pingpong *p, struct bytes in, nsec_t now);
void pingpong_recv_end(struct pingpong *p, nsec_t now);

/* Copies what is to be sent into `out`; returns the length. */
NODISCARD size_t pingpong_pull(struct pingpong *p, void *out, size_t size, nsec_t now);

/* One event in all. */
bool pingpong_next_event(struct pingpong *p, struct pingpong_event *ret_event);

/* NSEC_NEVER after the event. */
nsec_t pingpong_deadline(const struct pingpong *p);
void pingpong_tick(struct pingpong *p, nsec_t now);

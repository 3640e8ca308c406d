/* SPDX-License-Identifier: MIT */
#pragma once

/* multistream-select 1.0: agreeing on the protocol of a stream or connection.  Engine: no I/O, no
 * clock.
 *
 *   bytes in  -> multistream_recv()       events out -> multistream_next_event()
 *   bytes out <- multistream_pull()       time       -> multistream_tick() at the deadline
 *
 *   responder   sends its header at once.  Each proposal is an event that the driver answers with
 *               multistream_accept() or multistream_refuse(), by the protocols it speaks at that
 *               moment.  "ls" and names longer than any of ours are refused by the engine.
 *   initiator   sends its header with the first candidate; each "na" brings the next candidate.
 *               With one candidate it may be lazy: the driver sends the payload right behind what
 *               the first pull gave, and reads after MULTISTREAM_EV_AGREED.
 *
 * Bytes that recv does not take are the next layer's once EV_AGREED was given or accept was called;
 * before that they wait for the driver to answer or to pull.  When the peer has stopped reading
 * while the name is echoed, pull and drop: what it sent is still to be delivered.
 *
 * Spec:    libp2p multistream-select; frames as go-libp2p takes them.
 * Memory:  the struct, under 500 bytes, whatever the peer sends.
 * Thread:  one at a time.
 * After EV_REFUSED or EV_FAILED the engine is dead: only next_event, deadline and tick are
 * allowed; reset the stream with STREAM_CODE_NEGOTIATION_FAILED (0x1001).
 */

#include "core/base/bytes.h"
#include "core/base/frame.h"
#include "core/base/time.h"

enum {
    /* The largest length a frame may announce, newline included: go's and js's limit. */
    MULTISTREAM_FRAME_MAX = 1024,
    /* The longest name of ours (asserted).  Longer proposals can't be known. */
    MULTISTREAM_NAME_MAX = 140,
    MULTISTREAM_CANDIDATES_MAX = 4,
    /* What one pull can give at most: header, and a name with its frame. */
    MULTISTREAM_OUT_MAX = 20 + 2 + MULTISTREAM_NAME_MAX + 1,
};

/* Of a whole negotiation, as in go-libp2p, js and rust. */
#define MULTISTREAM_TIMEOUT SEC(10)

struct multistream_config {
    /* Initiator: the candidates, best first; the strings must live as long as the engine.
     * Responder: none. */
    const char *const *names;
    size_t names_count;
};

enum multistream_event_type {
    MULTISTREAM_EV_PROPOSAL, /* responder: accept or refuse `name` */
    MULTISTREAM_EV_AGREED,   /* initiator: the peer speaks `name` */
    MULTISTREAM_EV_REFUSED,  /* initiator: the peer speaks no candidate */
    MULTISTREAM_EV_FAILED,   /* see `error` */
};

struct multistream_event {
    enum multistream_event_type type;
    struct bytes name; /* valid until the next call that may change the engine */
    /* -ERR_PROTOCOL_VIOLATION  not multistream, or an answer that was not asked for
     * -ERR_LIMIT               a frame of more than MULTISTREAM_FRAME_MAX
     * -ERR_TRUNCATED           the peer's bytes ended
     * -ETIMEDOUT */
    int error;
};

enum multistream_state {
    MULTISTREAM_HEADER,   /* awaiting the peer's header */
    MULTISTREAM_PROPOSAL, /* responder: awaiting a name */
    MULTISTREAM_DECIDING, /* responder: awaiting the driver */
    MULTISTREAM_ANSWER,   /* initiator: awaiting the name or "na" */
    MULTISTREAM_DONE,
    MULTISTREAM_DEAD,
};

/* Embedded by its owner; fields are the engine's. */
struct multistream {
    const char *names[MULTISTREAM_CANDIDATES_MAX]; /* responder: none */
    uint8_t names_count;
    uint8_t name_index; /* the candidate that was proposed last */
    uint8_t state;      /* enum multistream_state */
    bool has_event;
    enum multistream_event_type event_type;
    int error;
    nsec_t deadline;
    nsec_t now; /* the newest seen: time must not go back */

    /* The frame being read: length prefix, then text and newline. */
    bool prefix_whole;
    bool frame_whole; /* kept until the next one begins */
    struct frame_len frame_len;
    uint16_t frame_got;
    uint8_t frame_last;                      /* its last byte so far */
    uint8_t frame[MULTISTREAM_NAME_MAX + 1]; /* its beginning */

    uint16_t out_len;
    uint16_t out_sent;
    uint8_t out[MULTISTREAM_OUT_MAX];
};

/* With names: initiator.  Without: responder. */
void multistream_init(struct multistream *m, const struct multistream_config *cfg, nsec_t now);

/* Takes bytes and returns how many.  Nothing is taken while there is something to pull (so that a
 * peer that does not read can't make us answer without end) or a proposal to decide. */
NODISCARD size_t multistream_recv(struct multistream *m, struct bytes in, nsec_t now);

/* The peer's bytes ended (FIN, EOF) and all were taken.  Does nothing once agreed, nor while an
 * answer of ours is due: call it again after each turn. */
void multistream_recv_end(struct multistream *m, nsec_t now);

/* Copies what is to be sent into `out`; returns the length, 0 when there is nothing. */
NODISCARD size_t multistream_pull(struct multistream *m, void *out, size_t size, nsec_t now);

/* A responder that has the peer's header and nothing behind it, where an initiator's proposal would
 * be. */
bool multistream_is_idle(const struct multistream *m);

/* Such a responder becomes the initiator, for two that both took the responder's part.  Names as in
 * multistream_init(), one at least. */
void multistream_lead(struct multistream *m, const struct multistream_config *cfg, nsec_t now);

/* The driver's answer to MULTISTREAM_EV_PROPOSAL.  After accept the negotiation is over, once the
 * echo is pulled. */
void multistream_accept(struct multistream *m, nsec_t now);
void multistream_refuse(struct multistream *m, nsec_t now);

/* The next event; false when there is none. */
bool multistream_next_event(struct multistream *m, struct multistream_event *ret_event);

/* When to tick: NSEC_NEVER after the last event. */
nsec_t multistream_deadline(const struct multistream *m);

/* Early calls are harmless. */
void multistream_tick(struct multistream *m, nsec_t now);

/* Whether the protocol is agreed: recv takes nothing any more. */
static inline bool multistream_is_done(const struct multistream *m) {
    return m->state == MULTISTREAM_DONE;
}

/* SPDX-License-Identifier: MIT */
#include "transport/proto/multistream.h"

#include "core/base/err.h"
#include "core/base/wr.h"

#define HEADER BYTES_LIT("/multistream/1.0.0")
#define NA     BYTES_LIT("na")
#define LS     BYTES_LIT("ls")

_Static_assert(MULTISTREAM_NAME_MAX + 1 < 1 << 14, "a frame's length fits two bytes of varint");

/* From -> to.  The responder goes HEADER -> PROPOSAL, the initiator HEADER -> ANSWER.
 *
 *   HEADER    PROPOSAL ANSWER                 DEAD
 *   PROPOSAL  DECIDING (PROPOSAL: "ls")       DEAD  ANSWER (leads)
 *   DECIDING  PROPOSAL (refused) DONE         DEAD
 *   ANSWER    ANSWER (next candidate) DONE    DEAD
 *   DONE, DEAD: nothing
 */
static const uint8_t legal_next[] = {
    [MULTISTREAM_HEADER] =
        1 << MULTISTREAM_PROPOSAL | 1 << MULTISTREAM_ANSWER | 1 << MULTISTREAM_DEAD,
    [MULTISTREAM_PROPOSAL] = 1 << MULTISTREAM_DECIDING | 1 << MULTISTREAM_PROPOSAL |
                             1 << MULTISTREAM_ANSWER | 1 << MULTISTREAM_DEAD,
    [MULTISTREAM_DECIDING] =
        1 << MULTISTREAM_PROPOSAL | 1 << MULTISTREAM_DONE | 1 << MULTISTREAM_DEAD,
    [MULTISTREAM_ANSWER] = 1 << MULTISTREAM_ANSWER | 1 << MULTISTREAM_DONE | 1 << MULTISTREAM_DEAD,
    [MULTISTREAM_DONE] = 0,
    [MULTISTREAM_DEAD] = 0,
};

static void set_state(struct multistream *m, enum multistream_state to) {
    assert(legal_next[m->state] & 1 << to);
    m->state = (uint8_t)to;
}

static void set_now(struct multistream *m, nsec_t now) {
    assert(now >= m->now);
    m->now = now;
}

static void emit(struct multistream *m, enum multistream_event_type type) {
    assert(!m->has_event);
    m->has_event = true;
    m->event_type = type;
}

/* A proposal that was not yet fetched gives way: the end is what counts. */
static void fail(struct multistream *m, int error) {
    set_state(m, MULTISTREAM_DEAD);
    m->error = error;
    m->has_event = false;
    emit(m, MULTISTREAM_EV_FAILED);
}

static void send_text(struct multistream *m, struct bytes text) {
    struct wr w = wr_init(m->out + m->out_len, sizeof(m->out) - m->out_len);
    assert(text.len <= MULTISTREAM_NAME_MAX);
    wr_uvarint(&w, text.len + 1);
    wr_bytes(&w, text);
    wr_u8(&w, '\n');
    ssize_t len = wr_done(&w);
    assert(len > 0);
    m->out_len = (uint16_t)(m->out_len + len);
}

static bool is_initiator(const struct multistream *m) {
    return m->names_count > 0;
}

static struct bytes candidate(const struct multistream *m) {
    return bytes_of_str(m->names[m->name_index]);
}

static void take_names(struct multistream *m, const struct multistream_config *cfg) {
    assert(cfg->names_count <= MULTISTREAM_CANDIDATES_MAX);
    m->names_count = (uint8_t)cfg->names_count;
    for (size_t i = 0; i < cfg->names_count; i++) {
        assert(strlen(cfg->names[i]) <= MULTISTREAM_NAME_MAX);
        m->names[i] = cfg->names[i];
    }
}

void multistream_init(struct multistream *m, const struct multistream_config *cfg, nsec_t now) {
    *m = (struct multistream){
        .state = MULTISTREAM_HEADER,
        .deadline = now + MULTISTREAM_TIMEOUT,
        .now = now,
    };
    take_names(m, cfg);
    /* Neither side waits for the other's header: js's responder sends it only after ours. */
    send_text(m, HEADER);
    if (is_initiator(m))
        send_text(m, candidate(m));
}

/* --- whole frames ---------------------------------------------------------------------------- */

static void got_proposal(struct multistream *m, struct bytes text) {
    if (text.len > MULTISTREAM_NAME_MAX || bytes_equal(text, LS)) {
        send_text(m, NA);
        set_state(m, MULTISTREAM_PROPOSAL);
        return;
    }
    set_state(m, MULTISTREAM_DECIDING);
    emit(m, MULTISTREAM_EV_PROPOSAL);
}

static void got_answer(struct multistream *m, struct bytes text) {
    if (bytes_equal(text, candidate(m))) {
        set_state(m, MULTISTREAM_DONE);
        emit(m, MULTISTREAM_EV_AGREED);
    } else if (!bytes_equal(text, NA)) {
        fail(m, -ERR_PROTOCOL_VIOLATION);
    } else if (m->name_index + 1 < m->names_count) {
        m->name_index++;
        send_text(m, candidate(m));
        set_state(m, MULTISTREAM_ANSWER);
    } else {
        set_state(m, MULTISTREAM_DEAD);
        emit(m, MULTISTREAM_EV_REFUSED);
    }
}

/* The text of the frame just read.  When it is longer than any name of ours only its length means
 * something, and comparisons stop at that. */
static struct bytes frame_text(const struct multistream *m) {
    return bytes_of(m->frame, (size_t)m->frame_len.value - 1);
}

static void got_frame(struct multistream *m) {
    if (m->frame_last != '\n') {
        fail(m, -ERR_PROTOCOL_VIOLATION);
        return;
    }
    if (m->state == MULTISTREAM_PROPOSAL) {
        got_proposal(m, frame_text(m));
    } else if (m->state == MULTISTREAM_ANSWER) {
        got_answer(m, frame_text(m));
    } else if (bytes_equal(frame_text(m), HEADER)) {
        set_state(m, is_initiator(m) ? MULTISTREAM_ANSWER : MULTISTREAM_PROPOSAL);
    } else {
        fail(m, -ERR_PROTOCOL_VIOLATION);
    }
}

/* --- bytes ----------------------------------------------------------------------------------- */

/* One byte of the length: minimal, not zero, at most MULTISTREAM_FRAME_MAX. */
static void take_prefix(struct multistream *m, uint8_t byte) {
    int e = frame_len_take(&m->frame_len, byte, MULTISTREAM_FRAME_MAX);
    m->prefix_whole = e == 1;
    if (e == -ERR_LIMIT)
        fail(m, e);
    else if (e < 0 || (m->prefix_whole && m->frame_len.value == 0))
        fail(m, -ERR_PROTOCOL_VIOLATION);
}

static size_t take_text(struct multistream *m, struct bytes in) {
    size_t n = MIN(in.len, (size_t)m->frame_len.value - m->frame_got);
    if (m->frame_got < sizeof(m->frame))
        memcpy(m->frame + m->frame_got, in.data, MIN(n, sizeof(m->frame) - m->frame_got));
    m->frame_got = (uint16_t)(m->frame_got + n);
    m->frame_last = in.data[n - 1];
    return n;
}

static void begin_frame(struct multistream *m) {
    m->frame_whole = false;
    m->prefix_whole = false;
    m->frame_len = (struct frame_len){.count = 0};
    m->frame_got = 0;
}

/* Refusals are sent before anything more is read: behind a lazy peer's refused proposal comes
 * payload, and as a frame that would be an error. */
static bool is_reading(const struct multistream *m) {
    return (m->state == MULTISTREAM_HEADER || m->state == MULTISTREAM_PROPOSAL ||
            m->state == MULTISTREAM_ANSWER) &&
           m->out_len == 0;
}

size_t multistream_recv(struct multistream *m, struct bytes in, nsec_t now) {
    assert(m->state != MULTISTREAM_DEAD);
    set_now(m, now);
    size_t taken = 0;
    while (taken < in.len && is_reading(m)) {
        if (m->frame_whole)
            begin_frame(m);
        if (!m->prefix_whole) {
            take_prefix(m, in.data[taken++]);
            continue;
        }
        taken += take_text(m, bytes_skip(in, taken));
        if (m->frame_got == m->frame_len.value) {
            m->frame_whole = true;
            got_frame(m);
        }
    }
    return taken;
}

void multistream_recv_end(struct multistream *m, nsec_t now) {
    set_now(m, now);
    if (is_reading(m))
        fail(m, -ERR_TRUNCATED);
}

size_t multistream_pull(struct multistream *m, void *out, size_t size, nsec_t now) {
    assert(m->state != MULTISTREAM_DEAD);
    set_now(m, now);
    size_t n = MIN(size, (size_t)(m->out_len - m->out_sent));
    if (n == 0)
        return 0;
    memcpy(out, m->out + m->out_sent, n);
    m->out_sent = (uint16_t)(m->out_sent + n);
    if (m->out_sent == m->out_len) {
        m->out_sent = 0;
        m->out_len = 0;
    }
    return n;
}

/* --- the driver's answers, events, time ------------------------------------------------------ */

bool multistream_is_idle(const struct multistream *m) {
    return m->state == MULTISTREAM_PROPOSAL && m->frame_whole;
}

void multistream_lead(struct multistream *m, const struct multistream_config *cfg, nsec_t now) {
    assert(multistream_is_idle(m));
    assert(cfg->names_count > 0);
    set_now(m, now);
    take_names(m, cfg);
    send_text(m, candidate(m));
    set_state(m, MULTISTREAM_ANSWER);
}

void multistream_accept(struct multistream *m, nsec_t now) {
    set_now(m, now);
    send_text(m, frame_text(m));
    set_state(m, MULTISTREAM_DONE);
}

void multistream_refuse(struct multistream *m, nsec_t now) {
    assert(m->state == MULTISTREAM_DECIDING);
    set_now(m, now);
    send_text(m, NA);
    set_state(m, MULTISTREAM_PROPOSAL);
}

bool multistream_next_event(struct multistream *m, struct multistream_event *ret_event) {
    if (!m->has_event)
        return false;
    m->has_event = false;
    *ret_event = (struct multistream_event){.type = m->event_type};
    switch (m->event_type) {
    case MULTISTREAM_EV_PROPOSAL:
        ret_event->name = frame_text(m);
        break;
    case MULTISTREAM_EV_AGREED:
        ret_event->name = candidate(m);
        break;
    case MULTISTREAM_EV_REFUSED:
        break;
    case MULTISTREAM_EV_FAILED:
        ret_event->error = m->error;
        break;
    }
    return true;
}

nsec_t multistream_deadline(const struct multistream *m) {
    bool is_over = m->state == MULTISTREAM_DONE || m->state == MULTISTREAM_DEAD;
    return is_over ? NSEC_NEVER : m->deadline;
}

void multistream_tick(struct multistream *m, nsec_t now) {
    set_now(m, now);
    if (now >= multistream_deadline(m))
        fail(m, -ETIMEDOUT);
}

/* SPDX-License-Identifier: MIT */
#include "transport/proto/yamux_internal.h"

/* No frame is made smaller than a record of the link only to end a pull on the byte. */
enum { BODY_CUT_MIN = 16 << 10 };

void yamux_answer(struct yamux *y, struct yamux_frame f) {
    assert(y->answers_count < YAMUX_ANSWERS_MAX);
    y->answers[(y->answers_first + y->answers_count) % YAMUX_ANSWERS_MAX] = f;
    y->answers_count++;
}

/* --- Headers: many share a small slab.  It is the session's own and charged to nobody, since what
 *     frees other slabs must not wait for one. --- */

static bool header_room(struct yamux *y) {
    if (y->headers != NULL && y->headers->size - y->headers_used >= YAMUX_HEADER_BYTES)
        return true;
    y->headers = buf_unref(y->headers);
    y->headers = buf_new(y->pool, BUF_1K, NULL);
    y->headers_used = 0;
    return y->headers != NULL;
}

static struct slice put_header(struct yamux *y, const struct yamux_frame *f) {
    struct slice s = slice_of(buf_ref(y->headers), y->headers_used, YAMUX_HEADER_BYTES);
    yamux_frame_write(f, s.data);
    y->headers_used += YAMUX_HEADER_BYTES;
    return s;
}

/* --- What there is to say, by rank --- */

static bool next_go_away(struct yamux *y, struct yamux_frame *ret_frame) {
    if (!y->go_away_due)
        return false;
    y->go_away_due = false;
    *ret_frame = (struct yamux_frame){.type = YAMUX_GO_AWAY, .length = y->go_away_code};
    return true;
}

static bool next_answer(struct yamux *y, struct yamux_frame *ret_frame) {
    if (y->answers_count == 0)
        return false;
    *ret_frame = y->answers[y->answers_first];
    y->answers_first = (y->answers_first + 1) % YAMUX_ANSWERS_MAX;
    y->answers_count--;
    return true;
}

/* What should be answered makes silence meaningful: from now on the peer must be heard. */
static void note_outstanding(struct yamux *y) {
    if (y->unanswered_since == NSEC_NEVER)
        y->unanswered_since = y->now;
}

static bool next_ping(struct yamux *y, struct yamux_frame *ret_frame) {
    if (!y->ping_due)
        return false;
    y->ping_due = false;
    y->ping_outstanding = true;
    y->ping_sent_at = y->now;
    y->data_since_ping = false;
    note_outstanding(y);
    *ret_frame =
        (struct yamux_frame){.type = YAMUX_PING, .flags = YAMUX_SYN, .length = y->ping_value};
    return true;
}

static uint32_t take_credit(struct yamux_stream *s) {
    struct yamux *y = s->session;
    if (!yamux_stream_owes_credit(s))
        return 0;
    /* Nobody reads what is drained: no reason to have it come faster. */
    nsec_t rtt = s->read_stopped ? 0 : y->rtt;
    uint32_t before = s->window.size;
    uint32_t delta =
        yamux_window_update(&s->window, y->now, rtt, YAMUX_SESSION_WINDOW_MAX - y->growth_granted);
    y->growth_granted = y->growth_granted - before + s->window.size;
    return delta;
}

/* One window update says all that a stream has to say. */
static bool next_control(struct yamux *y, struct yamux_frame *ret_frame) {
    if (list_is_empty(&y->controls))
        return false;
    struct yamux_stream *s = LIST_ENTRY(y->controls.next, struct yamux_stream, control_node);
    struct yamux_frame f = {.type = YAMUX_WINDOW_UPDATE, .stream_id = s->id};
    *ret_frame = f;
    if (s->state == YAMUX_STREAM_RESETTING) {
        ret_frame->flags = YAMUX_RST;
        ret_frame->length = s->code;
        yamux_stream_on_reset_sent(s);
        return true;
    }
    bool fin = s->fin_wanted && s->unsent.len == 0 && s->state != YAMUX_STREAM_LOCAL_ENDED;
    f.flags = (uint16_t)((s->syn_due ? YAMUX_SYN : 0) | (s->ack_due ? YAMUX_ACK : 0) |
                         (fin ? YAMUX_FIN : 0));
    f.length = take_credit(s);
    *ret_frame = f;
    s->syn_due = false;
    s->ack_due = false;
    if (fin)
        yamux_stream_on_fin_sent(s); /* which may free it */
    else
        yamux_stream_update_sendable(s);
    return true;
}

static bool next_frame(struct yamux *y, struct yamux_frame *ret_frame) {
    if (y->over)
        return next_go_away(y, ret_frame);
    return next_answer(y, ret_frame) || next_ping(y, ret_frame) || next_control(y, ret_frame);
}

static bool something_to_say(const struct yamux *y) {
    if (y->over)
        return y->go_away_due;
    return y->answers_count > 0 || y->ping_due || !list_is_empty(&y->controls) ||
           !list_is_empty(&y->sendable);
}

/* Moves the first `len` bytes of what waits to `out`, and their charge to the session. */
static size_t move_body(struct yamux_stream *s, uint32_t len, struct slice *out) {
    size_t count = 0;
    while (len > 0) {
        struct slice *first = slice_queue_at(&s->unsent, 0);
        struct slice part = slice_ref(first);
        part.len = MIN(first->len, len);
        if (part.buf->quota == &s->quota)
            buf_charge(part.buf, &s->session->sending);
        slice_queue_drop(&s->unsent, part.len);
        len -= part.len;
        out[count++] = part;
    }
    return count;
}

/* How much of what waits goes into a frame.  A slice that the largest body would cut is left for
 * the next one: as it is cut here it would be sealed, each part in records of its own. */
static uint32_t body_len(const struct yamux_stream *s, size_t slices_max, size_t bytes_max) {
    size_t most = MIN(MAX(bytes_max, (size_t)BODY_CUT_MIN), (size_t)YAMUX_BODY_MAX);
    uint32_t room = MIN(s->send_window, (uint32_t)most);
    uint32_t len = 0;
    for (uint32_t i = 0; i < s->unsent.count && i < slices_max && len < room; i++) {
        uint32_t next = slice_queue_at(&s->unsent, i)->len;
        if (i > 0 && next > room - len && s->send_window > room)
            break;
        len += MIN(next, room - len);
    }
    return len;
}

/* One frame of the stream whose turn it is: as much as its window, the largest body and what is
 * left of `max` slices and `*bytes` hold. */
static size_t pull_data(struct yamux *y, struct slice *out, size_t max, size_t *bytes) {
    struct yamux_stream *s = LIST_ENTRY(y->sendable.next, struct yamux_stream, send_node);
    uint32_t len = body_len(s, max - 1, *bytes);
    assert(len > 0);
    struct yamux_frame f = {.type = YAMUX_DATA, .stream_id = s->id, .length = len};
    if (s->syn_due)
        f.flags = YAMUX_SYN;
    s->syn_due = false;
    out[0] = put_header(y, &f);
    size_t count = 1 + move_body(s, len, out + 1);
    s->send_window -= len;
    *bytes -= MIN(*bytes, (size_t)len);
    y->data_since_ping = true;
    note_outstanding(y);
    list_remove(&s->send_node);
    yamux_stream_on_data_sent(s, len);
    return count;
}

size_t yamux_pull(struct yamux *y, struct slice *out, size_t max, size_t bytes_max, nsec_t now) {
    size_t count = 0;
    size_t bytes_left = bytes_max;
    assert(bytes_max > 0);
    assert(now >= y->now);
    assert(max >= 2);
    y->now = now;
    y->pull_failed = false;
    yamux_wake_starved(y);
    while (max - count >= 2 && bytes_left > 0 && something_to_say(y)) {
        struct yamux_frame f;
        if (!header_room(y)) {
            y->pull_failed = true;
            break;
        }
        if (next_frame(y, &f)) {
            out[count++] = put_header(y, &f);
            if (y->answers_count == 0)
                yamux_resume_input(y);
        } else {
            count += pull_data(y, out + count, max - count, &bytes_left);
        }
    }
    y->headers = buf_unref(y->headers); /* an idle session holds no slab */
    return count;
}

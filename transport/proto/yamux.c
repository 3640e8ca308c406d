/* SPDX-License-Identifier: MIT */
#include "transport/proto/yamux.h"

#include <stdio.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/proto/yamux_internal.h"

/* When a pull that found no memory for a header is worth trying again, or a writer without slabs
 * may have some: who frees them may be somebody who does not tell us. */
#define RETRY_AFTER MSEC(10)

/* --- Life --- */

int yamux_new(const struct yamux_config *cfg, nsec_t now, struct yamux **ret_yamux) {
    struct yamux *y = mem_alloc(cfg->mem, sizeof(*y));
    if (y == NULL)
        return -ENOMEM;
    y->mem = cfg->mem;
    y->user = cfg->user;
    if (map_init(&y->by_id, cfg->mem, cfg->rng) < 0) {
        (void)mem_free(cfg->mem, y);
        return -ENOMEM;
    }
    y->pool = cfg->pool;
    y->received = QUOTA_INIT(YAMUX_RECEIVED_MAX, cfg->quota);
    y->sending = QUOTA_INIT(YAMUX_SENDING_MAX, cfg->quota);
    y->now = now;
    y->peer_max = YAMUX_STREAMS_FIRST;
    y->next_id = cfg->client ? 1 : 2;
    y->id_parity = y->next_id & 1;
    y->resets_left = YAMUX_RESETS_BURST;
    y->resets_refilled_at = now;
    y->heard_at = now;
    y->unanswered_since = NSEC_NEVER;
    y->ping_sent_at = now;
    y->ping_due = true; /* the round trip is wanted from the start */
    list_init(&y->streams);
    list_init(&y->events);
    list_init(&y->controls);
    list_init(&y->sendable);
    list_init(&y->starved);
    list_init(&y->lingering);
    *ret_yamux = y;
    return 0;
}

struct yamux *yamux_free(struct yamux *y) {
    if (y == NULL)
        return NULL;
    list_for_each_safe (node, &y->streams) {
        struct yamux_stream *s = LIST_ENTRY(node, struct yamux_stream, node);
        assert(s->released || !s->announced);
        yamux_stream_on_session_over(s);
    }
    assert(y->streams_count == 0);
    assert(y->sending.used_bytes == 0);
    slice_unref(&y->input);
    assert(y->received.used_bytes == 0);
    map_done(&y->by_id);
    return mem_free(y->mem, y);
}

/* --- Ending --- */

static void end_session(struct yamux *y) {
    y->over = true;
    y->tell_over = true;
    y->ping_due = false;
    y->answers_count = 0;
    list_for_each_safe (node, &y->streams) {
        yamux_stream_on_session_over(LIST_ENTRY(node, struct yamux_stream, node));
    }
    assert(list_is_empty(&y->controls));
    assert(list_is_empty(&y->sendable));
}

void yamux_die(struct yamux *y, int error, const char *text) {
    if (y->over)
        return;
    y->error = problem_set(&y->problem, error, "%s", text);
    end_session(y);
}

void yamux_fail(struct yamux *y, int error, uint32_t code, const char *text) {
    if (y->over)
        return;
    y->go_away_due = true;
    y->go_away_code = code;
    yamux_die(y, error, text);
}

void yamux_recv_end(struct yamux *y, int error, nsec_t now) {
    assert(now >= y->now);
    y->now = now;
    /* go closes with a reset of TCP, in which its go-away is lost: not an error that says more. */
    if (error == 0 || error == -ENODATA || error == -ECONNRESET)
        yamux_die(y, -ERR_CONN_CLOSED, "the peer closed the connection");
    else
        yamux_die(y, error, err_text(error));
}

void yamux_close(struct yamux *y, uint64_t code, nsec_t now) {
    assert(now >= y->now);
    y->now = now;
    if (!y->over) {
        y->go_away_due = true;
        y->go_away_code = code > UINT32_MAX ? YAMUX_GO_AWAY_NORMAL : (uint32_t)code;
        end_session(y);
    }
    /* Streams that were received whole can be read to their end when the peer goes, but whoever
     * closes waits for their owners. */
    list_for_each (node, &y->streams) {
        struct yamux_stream *s = LIST_ENTRY(node, struct yamux_stream, node);
        if (!s->closed_told)
            s->error = y->error == 0 ? -ERR_CONN_CLOSED : y->error;
        yamux_stream_tell_closed_if_over(s);
    }
}

/* --- Frames in --- */

static void violated(struct yamux *y, const char *text) {
    yamux_fail(y, -ERR_PROTOCOL_VIOLATION, YAMUX_GO_AWAY_PROTOCOL_ERROR, text);
}

static void refuse_stream(struct yamux *y, uint32_t id) {
    yamux_answer(y, (struct yamux_frame){.type = YAMUX_WINDOW_UPDATE,
                                         .flags = YAMUX_RST,
                                         .stream_id = id,
                                         .length = STREAM_CODE_RESOURCE_LIMIT});
}

/* NULL: refused, or the session failed. */
static struct yamux_stream *open_by_peer(struct yamux *y, uint32_t id) {
    if (id == 0 || (id & 1) == y->id_parity) {
        violated(y, "the peer opened a stream with an ID that is not its to choose");
        return NULL;
    }
    if (yamux_stream_find(y, id) != NULL) {
        violated(y, "the peer opened a stream twice");
        return NULL;
    }
    struct yamux_stream *s;
    if (y->peer_count >= y->peer_max || yamux_stream_new(y, id, false, &s) < 0) {
        refuse_stream(y, id);
        return NULL;
    }
    s->events = YAMUX_STREAM_EV_OPENED;
    list_push(&y->events, &s->event_node);
    return s;
}

/* A peer may open and reset as fast as it likes what nobody has heard of; what has cost the users
 * something is rationed. */
static bool may_reset(struct yamux *y, const struct yamux_stream *s) {
    if (s->own || !s->announced)
        return true;
    nsec_t each = SEC(1) / YAMUX_RESETS_PER_SECOND;
    nsec_t refill = (y->now - y->resets_refilled_at) / each;
    y->resets_refilled_at += refill * each;
    y->resets_left = (uint32_t)MIN(y->resets_left + refill, (nsec_t)YAMUX_RESETS_BURST);
    if (y->resets_left == 0)
        return false;
    y->resets_left--;
    return true;
}

static void on_reset_frame(struct yamux *y, struct yamux_stream *s, uint32_t code) {
    if (may_reset(y, s))
        yamux_stream_on_reset(s, code);
    else
        yamux_fail(y, -ERR_PROTOCOL_VIOLATION, CONN_CODE_RATE_LIMITED,
                   "the peer resets its streams too often");
}

/* DATA and WINDOW_UPDATE.  Flags may sit on either, bodies come before the end that travels with
 * them. */
static void on_stream_frame(struct yamux *y, const struct yamux_frame *f) {
    bool is_data = f->type == YAMUX_DATA;
    struct yamux_stream *s = (f->flags & YAMUX_SYN) != 0 ? open_by_peer(y, f->stream_id)
                                                         : yamux_stream_find(y, f->stream_id);
    if (y->over)
        return;
    y->body_left = is_data ? f->length : 0;
    y->body_stream = NULL;
    /* A late frame for a stream that is gone, or whose opening we refused: drained, not answered.
     */
    if (s == NULL)
        return;
    if ((f->flags & YAMUX_RST) != 0) {
        on_reset_frame(y, s, is_data ? STREAM_CODE_NONE : f->length);
        return;
    }
    bool fin = (f->flags & YAMUX_FIN) != 0;
    if (is_data && f->length > 0) {
        if (!yamux_window_take(&s->window, f->length)) {
            violated(y, "the peer sent more than its window");
            return;
        }
        y->body_stream = s;
        y->body_ends = fin;
        return;
    }
    if (!is_data)
        yamux_stream_on_credit(s, f->length);
    if (fin && !y->over)
        yamux_stream_on_fin(s);
}

/* What comes may have been on its way before ours was read: that data arrived, the answer to a ping
 * behind it proves and nothing else. */
static void note_heard(struct yamux *y) {
    bool is_outstanding = y->ping_outstanding || y->data_since_ping;
    y->unanswered_since = is_outstanding ? y->now : NSEC_NEVER;
}

static void on_ping(struct yamux *y, const struct yamux_frame *f) {
    /* As go has it: with both flags it is a request, with none nothing. */
    if ((f->flags & YAMUX_SYN) != 0) {
        yamux_answer(
            y, (struct yamux_frame){.type = YAMUX_PING, .flags = YAMUX_ACK, .length = f->length});
        return;
    }
    if ((f->flags & YAMUX_ACK) == 0 || !y->ping_outstanding || f->length != y->ping_value)
        return;
    nsec_t measured = MAX(y->now - y->ping_sent_at, (nsec_t)1); /* 0 is not known */
    y->rtt = y->rtt == 0 ? measured : (y->rtt + measured) / 2;
    y->ping_outstanding = false;
    note_heard(y);
    y->ping_value++;
}

static void on_go_away(struct yamux *y, const struct yamux_frame *f) {
    if (f->length == CONN_CODE_GATED)
        yamux_die(y, -ERR_GATED, "the peer refused us: our ID is not in its authorized_keys");
    else if (f->length == CONN_CODE_RESOURCE_LIMIT)
        yamux_die(y, -ERR_RESOURCE_LIMIT, "the peer closed: its limits are reached");
    else {
        char text[80];
        (void)snprintf(text, sizeof(text), "the peer closed the connection (code 0x%x)", f->length);
        yamux_die(y, -ERR_CONN_CLOSED, text);
    }
}

static void on_frame(struct yamux *y) {
    struct yamux_frame f;
    if (yamux_frame_read(y->header, &f) < 0) {
        violated(y, "the peer does not speak yamux");
        return;
    }
    switch (f.type) {
    case YAMUX_DATA:
    case YAMUX_WINDOW_UPDATE:
        on_stream_frame(y, &f);
        break;
    case YAMUX_PING:
        on_ping(y, &f);
        break;
    case YAMUX_GO_AWAY:
        on_go_away(y, &f);
        break;
    }
}

static void take_body(struct yamux *y) {
    struct yamux_stream *s = y->body_stream;
    uint32_t n = MIN(y->body_left, y->input.len);
    y->body_left -= n;
    if (s != NULL) {
        struct slice part = slice_ref(&y->input);
        part.len = n;
        yamux_stream_on_body(s, part);
    }
    slice_skip(&y->input, n);
    if (s == NULL || y->body_left > 0)
        return;
    y->body_stream = NULL;
    if (y->body_ends)
        yamux_stream_on_fin(s);
}

static void take_header(struct yamux *y) {
    uint32_t n = MIN(YAMUX_HEADER_BYTES - y->header_len, y->input.len);
    memcpy(y->header + y->header_len, y->input.data, n);
    y->header_len += n;
    slice_skip(&y->input, n);
    if (y->header_len < YAMUX_HEADER_BYTES)
        return;
    y->header_len = 0;
    on_frame(y);
}

/* Each frame makes one answer at most. */
void yamux_resume_input(struct yamux *y) {
    while (y->input.len > 0 && !y->over) {
        if (y->body_left > 0)
            take_body(y);
        else if (y->answers_count < YAMUX_ANSWERS_MAX)
            take_header(y);
        else
            return;
    }
    slice_unref(&y->input);
}

void yamux_recv(struct yamux *y, struct slice in, nsec_t now) {
    assert(now >= y->now);
    assert(yamux_wants_input(y));
    y->now = now;
    y->heard_at = now;
    note_heard(y);
    y->input = in;
    yamux_resume_input(y);
    /* It waits in our account, not in the link's. */
    if (y->input.buf != NULL && y->input.buf->quota != &y->received)
        buf_charge(y->input.buf, &y->received);
}

bool yamux_wants_input(const struct yamux *y) {
    return y->input.buf == NULL && !y->over;
}

/* --- Time --- */

static nsec_t ping_at(const struct yamux *y) {
    if (y->ping_due || y->ping_outstanding)
        return NSEC_NEVER;
    nsec_t at = MIN(y->heard_at + YAMUX_PING_INTERVAL, y->ping_sent_at + YAMUX_RTT_INTERVAL);
    return y->unanswered_since == NSEC_NEVER ? at : MIN(at, y->unanswered_since + YAMUX_PING_DELAY);
}

static const struct yamux_stream *first_lingering(const struct yamux *y) {
    return list_is_empty(&y->lingering)
               ? NULL
               : LIST_ENTRY(y->lingering.next, struct yamux_stream, linger_node);
}

nsec_t yamux_deadline(const struct yamux *y) {
    bool retry = y->pull_failed || !list_is_empty(&y->starved);
    nsec_t retry_at = retry ? y->now + RETRY_AFTER : NSEC_NEVER;
    if (y->over)
        return retry_at;
    nsec_t at = MIN(retry_at, ping_at(y));
    if (y->unanswered_since != NSEC_NEVER)
        at = MIN(at, y->unanswered_since + YAMUX_SILENCE_MAX);
    if (first_lingering(y) != NULL)
        at = MIN(at, first_lingering(y)->linger_until);
    return at;
}

void yamux_tick(struct yamux *y, nsec_t now) {
    assert(now >= y->now);
    y->now = now;
    if (y->over)
        return;
    if (y->unanswered_since != NSEC_NEVER && now >= y->unanswered_since + YAMUX_SILENCE_MAX) {
        yamux_die(y, -ETIMEDOUT, "the peer does not answer");
        return;
    }
    if (now >= ping_at(y))
        y->ping_due = true;
    while (first_lingering(y) != NULL && first_lingering(y)->linger_until <= now) {
        struct list *node = list_shift(&y->lingering);
        yamux_stream_give_up(LIST_ENTRY(node, struct yamux_stream, linger_node));
    }
}

void yamux_link_acked(struct yamux *y, uint64_t bytes, nsec_t at) {
    if (bytes <= y->acked_bytes)
        return;
    y->acked_bytes = bytes;
    if (y->unanswered_since != NSEC_NEVER)
        y->unanswered_since = MAX(y->unanswered_since, at);
}

/* --- Events --- */

static const struct {
    uint8_t bit;
    enum yamux_event_type type;
} stream_events[] = {
    {YAMUX_STREAM_EV_OPENED, YAMUX_EV_STREAM_OPENED},
    {YAMUX_STREAM_EV_READABLE, YAMUX_EV_STREAM_READABLE},
    {YAMUX_STREAM_EV_WRITABLE, YAMUX_EV_STREAM_WRITABLE},
    {YAMUX_STREAM_EV_STOPPED, YAMUX_EV_STREAM_STOPPED},
    {YAMUX_STREAM_EV_RESET, YAMUX_EV_STREAM_RESET},
    {YAMUX_STREAM_EV_CLOSED, YAMUX_EV_STREAM_CLOSED},
};

/* The user has it from now on, which the peer is told: go opens no more than 256 streams that
 * nobody has accepted. */
static void announce(struct yamux_stream *s) {
    s->announced = true;
    s->ack_due = s->state != YAMUX_STREAM_RESETTING;
    yamux_stream_update_sendable(s);
}

static void take_event(struct yamux_stream *s, size_t i, struct yamux_event *ret_event) {
    s->events &= (uint8_t)~stream_events[i].bit;
    if (s->events == 0)
        list_remove(&s->event_node);
    *ret_event = (struct yamux_event){.type = stream_events[i].type, .stream = s};
    switch (ret_event->type) {
    case YAMUX_EV_STREAM_OPENED:
        announce(s);
        break;
    case YAMUX_EV_STREAM_STOPPED:
    case YAMUX_EV_STREAM_RESET:
        ret_event->code = s->code;
        break;
    case YAMUX_EV_STREAM_CLOSED:
        ret_event->error = s->error;
        break;
    case YAMUX_EV_STREAM_READABLE:
    case YAMUX_EV_STREAM_WRITABLE:
    case YAMUX_EV_STREAMS_AVAILABLE:
    case YAMUX_EV_CLOSED:
        break;
    }
}

static bool next_stream_event(struct yamux *y, struct yamux_event *ret_event) {
    if (list_is_empty(&y->events))
        return false;
    struct yamux_stream *s = LIST_ENTRY(y->events.next, struct yamux_stream, event_node);
    for (size_t i = 0; i < ARRAY_COUNT(stream_events); i++) {
        if ((s->events & stream_events[i].bit) == 0)
            continue;
        take_event(s, i, ret_event);
        return true;
    }
    assert(false); /* a stream in the list has something to tell */
    return false;
}

static bool take_flag(bool *flag) {
    bool was = *flag;
    *flag = false;
    return was;
}

bool yamux_next_event(struct yamux *y, struct yamux_event *ret_event) {
    *ret_event = (struct yamux_event){.type = YAMUX_EV_STREAMS_AVAILABLE};
    if (take_flag(&y->tell_streams) && !y->over)
        return true;
    if (next_stream_event(y, ret_event))
        return true;
    ret_event->type = YAMUX_EV_CLOSED;
    return take_flag(&y->tell_over);
}

/* --- The rest --- */

void *yamux_user(const struct yamux *y) {
    return y->user;
}

int yamux_error(const struct yamux *y, struct problem *ret_problem) {
    if (y->error < 0 && ret_problem != NULL)
        *ret_problem = y->problem;
    return y->error;
}

bool yamux_is_open(const struct yamux *y) {
    return !y->over;
}

uint32_t yamux_streams_count(const struct yamux *y) {
    return y->streams_count;
}

nsec_t yamux_rtt(const struct yamux *y) {
    return y->rtt;
}

void yamux_probe(struct yamux *y) {
    y->ping_due = !y->over && !y->ping_outstanding;
}

nsec_t yamux_heard_at(const struct yamux *y) {
    return y->heard_at;
}

void yamux_admit(struct yamux *y) {
    y->peer_max = YAMUX_STREAMS_MAX;
}

/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/wr.h"
#include "transport/proto/yamux_internal.h"

enum {
    /* Slabs of what waits to be sent: as much again for writers that fill theirs badly, and a
     * receive of the TCP side on its way. */
    STREAM_QUOTA_BYTES = 2 * YAMUX_STREAM_UNSENT_MAX + 4 * (64 << 10),
    /* Room below which nothing more is accepted: one receive of the TCP side is on its way. */
    STREAM_QUOTA_SPARE = 128 << 10,
    /* The largest slab: with less left, a writer might not get one for what it wants to write. */
    STREAM_QUOTA_LAST = 64 << 10,
};

/* Twice the pace's own time. */
#define PACE_GROWS_AFTER MSEC(10)

/* --- Life --- */

int yamux_stream_new(struct yamux *y, uint32_t id, bool own, struct yamux_stream **ret_stream) {
    struct yamux_stream *s = mem_alloc(y->mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->session = y;
    s->id = id;
    s->own = own;
    s->send_window = YAMUX_WINDOW_FIRST;
    s->quota = QUOTA_INIT(STREAM_QUOTA_BYTES, &y->sending);
    s->pace = WRITE_PACE_INIT;
    s->pace_since = NSEC_NEVER;
    yamux_window_init(&s->window, y->now);
    list_init(&s->node);
    list_init(&s->event_node);
    list_init(&s->control_node);
    list_init(&s->send_node);
    list_init(&s->starved_node);
    list_init(&s->linger_node);
    map_node_init(&s->id_node);
    slice_queue_init(&s->unsent, y->mem);
    slice_queue_init(&s->received, y->mem);
    slice_writer_init(&s->receiver, &s->received, y->pool, &y->received);
    struct wr w = wr_init(s->key, sizeof(s->key));
    wr_be32(&w, id);
    map_insert(&y->by_id, &s->id_node, BYTES_OF(s->key));
    list_push(&y->streams, &s->node);
    y->streams_count++;
    if (own)
        y->own_count++;
    else
        y->peer_count++;
    *ret_stream = s;
    return 0;
}

struct yamux_stream *yamux_stream_find(const struct yamux *y, uint32_t id) {
    uint8_t key[4];
    struct wr w = wr_init(key, sizeof(key));
    wr_be32(&w, id);
    struct map_node *n = map_find(&y->by_id, BYTES_OF(key));
    return n == NULL ? NULL : CONTAINER_OF(n, struct yamux_stream, id_node);
}

static void drop_outgoing(struct yamux_stream *s) {
    slice_queue_done(&s->unsent);
    list_remove(&s->send_node);
    list_remove(&s->starved_node);
    yamux_wake_starved(s->session);
}

/* Gives up what was received and what the reader still holds; a body that is on its way stays
 * accounted for. */
static void drop_incoming(struct yamux_stream *s) {
    size_t bytes = s->received.len + s->uncredited;
    slice_writer_done(&s->receiver);
    slice_queue_done(&s->received);
    s->uncredited = 0;
    yamux_window_give(&s->window, (uint32_t)bytes);
}

static void stream_free(struct yamux_stream *s) {
    struct yamux *y = s->session;
    drop_outgoing(s);
    drop_incoming(s);
    list_remove(&s->event_node);
    list_remove(&s->node);
    assert(y->streams_count > 0);
    y->streams_count--;
    assert(s->quota.used_bytes == 0);
    (void)mem_free(y->mem, s);
}

/* The peer's frames for it find nobody from now on, and the ID counts no longer. */
static void forget(struct yamux_stream *s) {
    struct yamux *y = s->session;
    map_remove(&y->by_id, &s->id_node);
    list_remove(&s->control_node);
    list_remove(&s->linger_node);
    y->growth_granted -= s->window.size - YAMUX_WINDOW_FIRST;
    if (y->body_stream == s)
        y->body_stream = NULL;
    if (!s->own) {
        assert(y->peer_count > 0);
        y->peer_count--;
        return;
    }
    assert(y->own_count > 0);
    y->own_count--;
    if (y->open_refused && !y->over) {
        y->open_refused = false;
        y->tell_streams = true;
    }
}

static void set_state(struct yamux_stream *s, enum yamux_stream_state to) {
    assert(s->state != YAMUX_STREAM_GONE);
    if (s->state == YAMUX_STREAM_RESETTING)
        assert(to == YAMUX_STREAM_GONE);
    if (to == YAMUX_STREAM_LOCAL_ENDED || to == YAMUX_STREAM_REMOTE_ENDED)
        assert(s->state == YAMUX_STREAM_OPEN);
    s->state = to;
    if (to == YAMUX_STREAM_GONE)
        forget(s);
}

/* Nothing that the peer sends for it is wanted, or nothing comes. */
static bool reading_over(const struct yamux_stream *s) {
    return s->fin_told || s->read_reset || s->read_stopped || s->released;
}

/* Frees a stream that both its owner and the wire are done with. */
static void free_if_done(struct yamux_stream *s) {
    if (s->released && s->state == YAMUX_STREAM_GONE)
        stream_free(s);
}

/* --- Events --- */

static void tell(struct yamux_stream *s, unsigned event_bits) {
    if (s->released)
        return;
    s->events |= (uint8_t)event_bits;
    if (!list_is_linked(&s->event_node))
        list_push(&s->session->events, &s->event_node);
}

/* CLOSED is told when nothing can follow it: what was received has been read, or never will be. */
void yamux_stream_tell_closed_if_over(struct yamux_stream *s) {
    bool gone = s->state == YAMUX_STREAM_GONE || s->state == YAMUX_STREAM_RESETTING;
    if (!gone || s->closed_told || !(reading_over(s) || s->error != 0))
        return;
    s->closed_told = true;
    tell(s, YAMUX_STREAM_EV_CLOSED);
}

/* --- Room for writers --- */

/* With nothing on its way a stream may go further: new ones can negotiate, and short messages pass,
 * while many others fill the connection. */
static bool has_quota(const struct yamux_stream *s) {
    return quota_left(&s->quota) >= (s->unsent.len == 0 ? STREAM_QUOTA_LAST : STREAM_QUOTA_SPARE);
}

size_t yamux_stream_batch(const struct yamux_stream *s) {
    return s->pace.bytes;
}

static size_t unsent_max(const struct yamux_stream *s) {
    return MIN(s->pace.bytes, (size_t)YAMUX_STREAM_UNSENT_MAX);
}

/* With nothing on its way it also takes what is charged to it already, which nothing but sending
 * gives back: writers that hold a receive each can together hold more than there is. */
static bool takes(const struct yamux_stream *s, const struct slice *v) {
    if (s->unsent.len >= unsent_max(s))
        return false;
    bool is_paid = v->buf != NULL && v->buf->quota == &s->quota;
    return has_quota(s) || (s->unsent.len == 0 && is_paid);
}

/* Told with hysteresis: half of the room must be free, or each frame sent would wake the writer. */
static void tell_writable_if_wanted(struct yamux_stream *s, bool has_room) {
    if (!s->want_writable || s->write_over || s->unsent.len > unsent_max(s) / 2)
        return;
    if (has_room) {
        s->want_writable = false;
        list_remove(&s->starved_node);
        tell(s, YAMUX_STREAM_EV_WRITABLE);
    } else if (!list_is_linked(&s->starved_node)) {
        list_push(&s->session->starved, &s->starved_node);
    }
}

/* Time counts while something waits; what the writer comes late with says nothing of the path.  A
 * window opens at once for what it has been closed for long, so that what leaves quickly is
 * believed only a while after the last look. */
static void note_sent(struct yamux_stream *s, uint32_t bytes) {
    nsec_t now = s->session->now;
    bool is_last = s->unsent.len == 0;
    if (s->pace_since == NSEC_NEVER)
        s->pace_since = now;
    s->pace_bytes += bytes;
    nsec_t took = now - s->pace_since;
    if (!is_last && took <= WRITE_PACE_TARGET && s->pace_bytes < s->pace.bytes)
        return;
    if (took > WRITE_PACE_TARGET || now - s->paced_at >= PACE_GROWS_AFTER) {
        write_pace_note(&s->pace, s->pace_bytes, took);
        s->paced_at = now;
    }
    s->pace_bytes = 0;
    s->pace_since = is_last ? NSEC_NEVER : now;
}

void yamux_stream_on_data_sent(struct yamux_stream *s, uint32_t bytes) {
    note_sent(s, bytes);
    yamux_stream_update_sendable(s); /* at the end of the row, if there is more */
    tell_writable_if_wanted(s, s->unsent.len == 0 || has_quota(s));
}

/* Room for one slab, which is for who has nothing on its way: others may hold the rest for long. */
static void wake_idle(struct list *waiting) {
    list_for_each_safe (node, waiting) {
        struct yamux_stream *s = LIST_ENTRY(node, struct yamux_stream, starved_node);
        if (s->unsent.len > 0 || !has_quota(s))
            continue;
        list_remove(node);
        tell_writable_if_wanted(s, true);
        return;
    }
}

/* Slabs may have been given back: those who found none left have their turn, as far as it goes
 * round. */
void yamux_wake_starved(struct yamux *y) {
    if (list_is_empty(&y->starved))
        return;
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &y->starved);
    size_t left = quota_left(&y->sending);
    while (left >= STREAM_QUOTA_SPARE && !list_is_empty(&waiting)) {
        struct list *node = list_shift(&waiting);
        struct yamux_stream *s = LIST_ENTRY(node, struct yamux_stream, starved_node);
        tell_writable_if_wanted(s, has_quota(s));
        if (!list_is_linked(node)) /* else its own quota is used up, too */
            left -= STREAM_QUOTA_SPARE;
    }
    if (left >= STREAM_QUOTA_LAST)
        wake_idle(&waiting);
    list_splice(&waiting, &y->starved);
    list_splice(&y->starved, &waiting);
}

/* --- What there is to send --- */

bool yamux_stream_owes_credit(const struct yamux_stream *s) {
    bool comes = s->state == YAMUX_STREAM_OPEN || s->state == YAMUX_STREAM_LOCAL_ENDED;
    return comes && yamux_window_is_due(&s->window);
}

static bool fin_is_due(const struct yamux_stream *s) {
    bool open = s->state == YAMUX_STREAM_OPEN || s->state == YAMUX_STREAM_REMOTE_ENDED;
    return open && s->fin_wanted && s->unsent.len == 0;
}

static void set_linked(struct list *head, struct list *node, bool wanted) {
    if (!wanted)
        list_remove(node);
    else if (!list_is_linked(node))
        list_push(head, node);
}

void yamux_stream_update_sendable(struct yamux_stream *s) {
    struct yamux *y = s->session;
    bool data = s->unsent.len > 0 && s->send_window > 0;
    /* SYN rides on the first data: rust opens no other way, and go and js take it.  Without data it
     * goes alone. */
    bool control = (s->syn_due && !data) || s->ack_due || fin_is_due(s) ||
                   s->state == YAMUX_STREAM_RESETTING || yamux_stream_owes_credit(s);
    if (s->state == YAMUX_STREAM_GONE)
        control = data = false;
    set_linked(&y->sendable, &s->send_node, data);
    set_linked(&y->controls, &s->control_node, control);
}

/* --- Ending both directions --- */

static void linger(struct yamux_stream *s) {
    struct yamux *y = s->session;
    if (!s->released || s->state != YAMUX_STREAM_LOCAL_ENDED || list_is_linked(&s->linger_node))
        return;
    s->linger_until = y->now + YAMUX_LINGER;
    list_push(&y->lingering, &s->linger_node);
}

/* Our reset: the peer is told, unless it has never heard of the stream. */
static void reset_both(struct yamux_stream *s, uint32_t code) {
    if (s->state == YAMUX_STREAM_GONE || s->state == YAMUX_STREAM_RESETTING)
        return;
    s->code = code;
    s->write_over = true;
    drop_outgoing(s);
    set_state(s, s->syn_due ? YAMUX_STREAM_GONE : YAMUX_STREAM_RESETTING);
    yamux_stream_update_sendable(s);
}

/* Memory is used up: what was received for it and not read goes. */
static void reset_for_memory(struct yamux_stream *s) {
    reset_both(s, STREAM_CODE_RESOURCE_LIMIT);
    s->code = STREAM_CODE_RESOURCE_LIMIT;
    s->read_reset = true;
    drop_incoming(s);
    tell(s, YAMUX_STREAM_EV_RESET);
    yamux_stream_tell_closed_if_over(s);
}

/* Who has most bytes unread makes room.  Not those that a reader holds: that would free nothing. */
static void make_room(struct yamux *y) {
    struct yamux_stream *largest = NULL;
    list_for_each (node, &y->streams) {
        struct yamux_stream *s = LIST_ENTRY(node, struct yamux_stream, node);
        if (s->received.len > 0 && (largest == NULL || s->received.len > largest->received.len))
            largest = s;
    }
    if (largest != NULL)
        reset_for_memory(largest);
}

/* --- Frames of the peer --- */

void yamux_stream_on_credit(struct yamux_stream *s, uint32_t bytes) {
    if (bytes > UINT32_MAX - s->send_window) {
        yamux_fail(s->session, -ERR_PROTOCOL_VIOLATION, YAMUX_GO_AWAY_PROTOCOL_ERROR,
                   "the peer granted more than a window can be");
        return;
    }
    s->send_window += bytes;
    yamux_stream_update_sendable(s);
}

/* The rest of what there is no room for. */
static void refuse_body(struct yamux_stream *s, size_t bytes) {
    yamux_window_give(&s->window, (uint32_t)bytes);
    if (!s->read_reset)
        reset_for_memory(s);
}

static void copy_body(struct yamux_stream *s, struct slice v) {
    struct bytes left = slice_bytes(&v);
    left = bytes_skip(left, slice_writer_add(&s->receiver, left));
    if (left.len > 0) {
        make_room(s->session);
        if (!s->read_reset)
            left = bytes_skip(left, slice_writer_add(&s->receiver, left));
    }
    if (left.len > 0)
        refuse_body(s, left.len);
    slice_unref(&v);
}

static void keep_body(struct yamux_stream *s, struct slice v) {
    struct yamux *y = s->session;
    if (v.buf->quota != &y->received)
        buf_charge(v.buf, &y->received);
    if (slice_queue_push(&s->received, v) < 0) {
        refuse_body(s, v.len);
        slice_unref(&v);
        return;
    }
    if (y->received.used_bytes > y->received.max_bytes || buf_pool_is_short(y->pool))
        make_room(y);
}

void yamux_stream_on_body(struct yamux_stream *s, struct slice v) {
    bool comes = s->state == YAMUX_STREAM_OPEN || s->state == YAMUX_STREAM_LOCAL_ENDED;
    if (!comes || s->read_stopped) {
        yamux_window_give(&s->window, v.len);
        slice_unref(&v);
        yamux_stream_update_sendable(s);
        return;
    }
    if (v.len < v.buf->size / YAMUX_VIEW_PARTS)
        copy_body(s, v);
    else
        keep_body(s, v);
    if (!s->read_reset)
        tell(s, YAMUX_STREAM_EV_READABLE);
}

void yamux_stream_on_fin(struct yamux_stream *s) {
    if (s->state == YAMUX_STREAM_OPEN)
        set_state(s, YAMUX_STREAM_REMOTE_ENDED);
    else if (s->state == YAMUX_STREAM_LOCAL_ENDED)
        set_state(s, YAMUX_STREAM_GONE);
    else
        return;
    s->fin_received = true;
    if (!s->read_stopped)
        tell(s, YAMUX_STREAM_EV_READABLE);
    yamux_stream_update_sendable(s);
    yamux_stream_tell_closed_if_over(s);
    free_if_done(s);
}

/* Ends both directions, but for what was received whole before. */
void yamux_stream_on_reset(struct yamux_stream *s, uint32_t code) {
    bool resetting = s->state == YAMUX_STREAM_RESETTING;
    bool writing = s->state != YAMUX_STREAM_LOCAL_ENDED && !resetting;
    bool reading = !s->fin_received && !s->read_stopped && !resetting;
    if (!resetting)
        s->code = code;
    s->write_over = true;
    drop_outgoing(s);
    set_state(s, YAMUX_STREAM_GONE);
    if (reading) {
        s->read_reset = true;
        drop_incoming(s);
    }
    if (!s->announced && !s->released) { /* nobody has heard of it, and nobody will */
        s->released = true;
        stream_free(s);
        return;
    }
    if (writing)
        tell(s, YAMUX_STREAM_EV_STOPPED);
    if (reading)
        tell(s, YAMUX_STREAM_EV_RESET);
    yamux_stream_tell_closed_if_over(s);
    free_if_done(s);
}

/* --- Frames of ours --- */

void yamux_stream_on_fin_sent(struct yamux_stream *s) {
    if (s->state == YAMUX_STREAM_REMOTE_ENDED) {
        set_state(s, YAMUX_STREAM_GONE);
        yamux_stream_tell_closed_if_over(s);
        free_if_done(s);
        return;
    }
    set_state(s, YAMUX_STREAM_LOCAL_ENDED);
    linger(s);
    yamux_stream_update_sendable(s);
}

void yamux_stream_on_reset_sent(struct yamux_stream *s) {
    set_state(s, YAMUX_STREAM_GONE);
    free_if_done(s);
}

void yamux_stream_give_up(struct yamux_stream *s) {
    reset_both(s, STREAM_CODE_NONE);
}

void yamux_stream_on_session_over(struct yamux_stream *s) {
    bool whole = s->state == YAMUX_STREAM_GONE;
    if (!whole) {
        s->error = s->session->error == 0 ? -ERR_CONN_CLOSED : s->session->error;
        s->write_over = true;
        set_state(s, YAMUX_STREAM_GONE);
    }
    drop_outgoing(s);
    list_remove(&s->control_node);
    if (!s->announced)
        s->released = true;
    yamux_stream_tell_closed_if_over(s);
    free_if_done(s);
}

/* --- What the user does --- */

int yamux_stream_open(struct yamux *y, struct yamux_stream **ret_stream) {
    if (!y->over && y->next_id > UINT32_MAX - 2)
        yamux_fail(y, -ERR_CONN_CLOSED, YAMUX_GO_AWAY_NORMAL, "the stream IDs are used up");
    if (y->over)
        return -ERR_CONN_CLOSED;
    if (y->own_count >= YAMUX_STREAMS_OPEN_MAX) {
        y->open_refused = true;
        return -EAGAIN;
    }
    struct yamux_stream *s;
    int e = yamux_stream_new(y, y->next_id, true, &s);
    if (e < 0)
        return e;
    y->next_id += 2;
    s->announced = true;
    s->syn_due = true;
    yamux_stream_update_sendable(s);
    *ret_stream = s;
    return 0;
}

void yamux_stream_set_user(struct yamux_stream *s, void *user) {
    s->user = user;
}

void *yamux_stream_user(const struct yamux_stream *s) {
    return s->user;
}

struct yamux *yamux_stream_session(const struct yamux_stream *s) {
    return s->session;
}

uint32_t yamux_stream_id(const struct yamux_stream *s) {
    return s->id;
}

struct quota *yamux_stream_quota(struct yamux_stream *s) {
    return &s->quota;
}

size_t yamux_stream_unsent(const struct yamux_stream *s) {
    return s->unsent.len;
}

ssize_t yamux_stream_write(struct yamux_stream *s, const struct slice *v, size_t count) {
    assert(!s->released);
    if (s->session->over)
        return -ERR_CONN_CLOSED;
    if (s->fin_wanted || s->write_over)
        return -EPIPE;
    size_t taken = 0;
    while (taken < count && takes(s, &v[taken]) && slice_queue_push(&s->unsent, v[taken]) == 0)
        taken++;
    s->want_writable = taken < count;
    if (s->want_writable && !has_quota(s) && !list_is_linked(&s->starved_node))
        list_push(&s->session->starved, &s->starved_node);
    yamux_stream_update_sendable(s);
    return (ssize_t)taken;
}

ssize_t yamux_stream_read(struct yamux_stream *s, struct slice *out, size_t max) {
    assert(!s->released);
    if (s->read_reset)
        return -ECONNRESET;
    size_t n = 0;
    while (n < max && slice_queue_shift(&s->received, &out[n])) {
        s->uncredited += out[n].len;
        n++;
    }
    if (s->received.count == 0)
        slice_writer_done(&s->receiver); /* an idle stream holds no slab */
    if (n > 0 || !s->fin_received || s->read_stopped)
        return (ssize_t)n;
    s->fin_told = true;
    yamux_stream_tell_closed_if_over(s);
    return -ENODATA;
}

void yamux_stream_credit(struct yamux_stream *s, size_t bytes) {
    /* A reset gave everything back already. */
    bytes = MIN(bytes, s->uncredited);
    s->uncredited -= bytes;
    yamux_window_give(&s->window, (uint32_t)bytes);
    yamux_stream_update_sendable(s);
}

void yamux_stream_shutdown_write(struct yamux_stream *s) {
    s->fin_wanted = true;
    yamux_stream_update_sendable(s);
}

void yamux_stream_stop_reading(struct yamux_stream *s) {
    if (s->read_stopped)
        return;
    s->read_stopped = true;
    drop_incoming(s);
    yamux_stream_update_sendable(s);
    yamux_stream_tell_closed_if_over(s);
}

void yamux_stream_reset(struct yamux_stream *s, uint64_t code) {
    reset_both(s, code > UINT32_MAX ? STREAM_CODE_NONE : (uint32_t)code);
    yamux_stream_stop_reading(s);
    yamux_stream_tell_closed_if_over(s);
}

void yamux_stream_release(struct yamux_stream *s) {
    assert(!s->released);
    if (!s->fin_wanted)
        reset_both(s, STREAM_CODE_NONE);
    yamux_stream_stop_reading(s);
    s->released = true;
    s->events = 0;
    list_remove(&s->event_node);
    linger(s);
    free_if_done(s);
}

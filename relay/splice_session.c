/* SPDX-License-Identifier: MIT */
/* One path: from the stream on which it is asked for to the end of what carries it. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/p2p/protocol_id.h"
#include "relay/splice_service_internal.h"
#include "transport/conn.h"
#include "transport/stream.h"

static nsec_t now_of(const struct splice_session *ss) {
    return reactor_now(ss->service->cfg.reactor);
}

static void enter(struct splice_session *ss, enum splice_state state) {
    assert(state > ss->state); /* there is no way back */
    ss->state = state;
}

/* --- Ends ------------------------------------------------------------------------------------ */

static void session_free(struct splice_session *ss) {
    struct splice_service *s = ss->service;
    assert(ss->state == SPLICE_STATE_CLOSING);
    if (ss->is_spliced)
        tcp_splice_done(&ss->splice);
    timer_done(&ss->timer);
    list_remove(&ss->node);
    (void)mem_free(s->mem, ss);
    splice_service_session_ended(s);
}

static void free_if_closed(struct splice_session *ss) {
    if (ss->legs[SPLICE_SOURCE] == NULL && ss->legs[SPLICE_DESTINATION] == NULL)
        session_free(ss);
}

static const char *end_text(const struct splice_session *ss, int error) {
    const struct tcp_splice_way *ways = ss->splice.ways;
    if (error == -ETIME)
        return "duration limit";
    if (ways[TCP_SPLICE_A_TO_B].is_limited || ways[TCP_SPLICE_B_TO_A].is_limited)
        return "data limit";
    return error == 0 ? "ended" : err_text(error);
}

static void log_end(const struct splice_session *ss, int error) {
    struct log *log = ss->service->cfg.log;
    char source[PEER_ID_SHORT_MAX];
    char destination[PEER_ID_SHORT_MAX];
    (void)peer_id_format_short(&ss->peers[SPLICE_SOURCE], source);
    (void)peer_id_format_short(&ss->peers[SPLICE_DESTINATION], destination);
    if (ss->state >= SPLICE_STATE_JOINED)
        log_info(log, L_RELAY, "spliced path closed", kv_str("source", source),
                 kv_str("destination", destination), kv_str("reason", end_text(ss, error)),
                 kv_uint("to_destination", ss->splice.ways[TCP_SPLICE_A_TO_B].bytes),
                 kv_uint("to_source", ss->splice.ways[TCP_SPLICE_B_TO_A].bytes),
                 kv_nsec("duration", now_of(ss) - ss->joined_at));
    else
        log_debug(log, L_RELAY, "spliced path not made", kv_str("source", source),
                  kv_str("destination", destination), kv_err(error));
}

static enum stream_code code_of(int error) {
    if (error == -ERR_SHUTDOWN)
        return STREAM_CODE_SHUTDOWN;
    if (error == -ERR_GATED)
        return STREAM_CODE_GATED;
    return error == -ETIME || error == -ERR_LIMIT || error == -ENOMEM ? STREAM_CODE_RESOURCE_LIMIT
                                                                      : STREAM_CODE_NONE;
}

static void drop_stream(struct splice_session *ss, int side, int error) {
    if (ss->streams[side] != NULL)
        stream_reset(ss->streams[side], code_of(error));
    stream_frame_done(&ss->frames[side]);
    ss->streams[side] = stream_release(ss->streams[side]);
}

void splice_session_end(struct splice_session *ss, int error) {
    struct splice_service *s = ss->service;
    if (ss->state == SPLICE_STATE_CLOSING)
        return;
    log_end(ss, error);
    if (ss->is_spliced)
        tcp_splice_stop(&ss->splice);
    for (int i = 0; i < SPLICE_SIDES; i++) {
        drop_stream(ss, i, error);
        if (ss->legs[i] != NULL)
            tcp_leg_close(ss->legs[i], error < 0);
    }
    stream_request_cancel(&ss->request);
    timer_stop(&ss->timer);
    splice_book_drop(&s->book, &ss->ticket);
    splice_service_set_expiry(s);
    if (ss->charge.source != NULL)
        hop_book_end(s->cfg.book, &ss->charge);
    if (ss->state >= SPLICE_STATE_JOINED) {
        s->stats.standing--;
    } else {
        s->stats.half_open--;
        s->stats.failed++;
    }
    list_remove(&ss->node);
    list_push(&s->closing, &ss->node);
    enter(ss, SPLICE_STATE_CLOSING);
    free_if_closed(ss);
}

/* --- An end without haste -------------------------------------------------------------------- */

/* What has arrived of that which came from the peers who have ended it.  The last of it waits in a
 * socket, where only its peer's system tells how it moves. */
static uint64_t moved_of(const struct splice_session *ss) {
    uint64_t moved = 0;
    for (int i = 0; i < SPLICE_SIDES; i++) {
        uint64_t acked = 0;
        nsec_t at;
        if (ss->streams[i] != NULL)
            continue;
        moved += ss->splice.ways[i].bytes;
        if (tcp_acked(tcp_leg_conn(ss->legs[1 - i]), &acked, &at) == 0)
            moved += acked;
    }
    return moved;
}

static nsec_t duration_end(const struct splice_session *ss) {
    nsec_t max = ss->service->cfg.duration_max;
    return max > 0 ? ss->joined_at + max : NSEC_NEVER;
}

/* The legs go on until they end by themselves: whoever has ended the path closes its leg, too,
 * behind what the other one has still to read. */
static void linger(struct splice_session *ss, enum splice_side side) {
    assert(ss->state >= SPLICE_STATE_JOINED);
    if (splice_session_is_denied(ss)) {
        splice_session_end(ss, -ERR_GATED);
        return;
    }
    drop_stream(ss, side, 0);
    if (ss->state == SPLICE_STATE_ENDING)
        return; /* the other one has, before */
    enter(ss, SPLICE_STATE_ENDING);
    splice_linger_begin(&ss->linger, moved_of(ss), duration_end(ss), now_of(ss));
    timer_start(&ss->timer, splice_linger_deadline(&ss->linger));
}

/* --- The legs -------------------------------------------------------------------------------- */

static void on_splice_ended(struct tcp_splice *splice, int error) {
    splice_session_end(CONTAINER_OF(splice, struct splice_session, splice), error);
}

/* -ERR_NOT_CONNECTED: the circuit is gone; -ERR_LIMIT: one of the two has as many as it may; and
 * errors of tcp_splice_start() */
static int join(struct splice_session *ss) {
    const struct splice_service_config *cfg = &ss->service->cfg;
    struct circuit_totals *totals = &ss->service->stats.bytes;
    if (!cfg->circuits.stands(cfg->circuits.user, ss->circuit))
        return -ERR_NOT_CONNECTED;
    if (hop_book_connect(cfg->book, &ss->peers[SPLICE_SOURCE], &ss->peers[SPLICE_DESTINATION],
                         now_of(ss), &ss->charge) != CIRCUIT_STATUS_OK)
        return -ERR_LIMIT;
    struct tcp_splice_config splice = {
        .a = tcp_leg_conn(ss->legs[SPLICE_SOURCE]),
        .b = tcp_leg_conn(ss->legs[SPLICE_DESTINATION]),
        .data_max = cfg->data_max,
        .totals = {[TCP_SPLICE_A_TO_B] = &totals->to_destination,
                   [TCP_SPLICE_B_TO_A] = &totals->to_source},
        .ended = on_splice_ended,
    };
    int e = tcp_splice_start(&ss->splice, cfg->reactor, &splice);
    ss->is_spliced = e == 0;
    return e;
}

static void log_joined(const struct splice_session *ss) {
    char source[PEER_ID_SHORT_MAX];
    char destination[PEER_ID_SHORT_MAX];
    log_info(
        ss->service->cfg.log, L_RELAY, "spliced path opened",
        kv_str("source", peer_id_format_short(&ss->peers[SPLICE_SOURCE], source)),
        kv_str("destination", peer_id_format_short(&ss->peers[SPLICE_DESTINATION], destination)));
}

static void join_if_complete(struct splice_session *ss) {
    struct splice_service *s = ss->service;
    if (ss->state != SPLICE_STATE_WAITING || !splice_ticket_is_complete(&ss->ticket))
        return;
    int e = join(ss);
    if (e < 0) {
        splice_session_end(ss, e);
        return;
    }
    for (int i = 0; i < SPLICE_SIDES; i++)
        tcp_leg_joined(ss->legs[i]);
    splice_book_drop(&s->book, &ss->ticket);
    splice_service_set_expiry(s);
    enter(ss, SPLICE_STATE_JOINED);
    ss->joined_at = now_of(ss);
    list_remove(&ss->node);
    list_push(&s->standing, &ss->node);
    s->stats.half_open--;
    s->stats.standing++;
    s->stats.joined++;
    log_joined(ss);
    timer_start(&ss->timer, duration_end(ss));
}

static void on_leg_lost(struct tcp_leg *leg, int error) {
    splice_session_end(tcp_leg_user(leg), error);
}

static void on_leg_closed(struct tcp_leg *leg) {
    struct splice_session *ss = tcp_leg_user(leg);
    assert(ss->state == SPLICE_STATE_CLOSING);
    ss->legs[ss->legs[SPLICE_SOURCE] == leg ? SPLICE_SOURCE : SPLICE_DESTINATION] = NULL;
    free_if_closed(ss);
}

static const struct tcp_leg_events leg_events = {.lost = on_leg_lost, .closed = on_leg_closed};

void splice_session_leg(struct splice_session *ss, enum splice_side side, struct tcp_leg *leg) {
    assert(ss->legs[side] == NULL); /* its token is good once */
    ss->legs[side] = leg;
    tcp_leg_take(leg, &leg_events, ss);
    join_if_complete(ss);
}

/* --- Answers --------------------------------------------------------------------------------- */

static int tell(struct splice_session *ss, enum splice_side side, const struct splice_msg *m) {
    uint8_t out[SPLICE_OUT_MAX];
    size_t n = splice_msg_encode(m, out);
    int e = stream_write_bytes(ss->streams[side], bytes_of(out, n));
    mem_wipe(out, sizeof(out));
    return e;
}

/* The last word to the source, whose stream ends behind it. */
static void refuse(struct splice_session *ss, enum circuit_status status, int error) {
    struct splice_msg m = {.type = SPLICE_STATUS, .has_status = true, .status = status};
    if (tell(ss, SPLICE_SOURCE, &m) == 0) {
        stream_shutdown_write(ss->streams[SPLICE_SOURCE]);
        stream_frame_done(&ss->frames[SPLICE_SOURCE]);
        ss->streams[SPLICE_SOURCE] = stream_release(ss->streams[SPLICE_SOURCE]);
    }
    splice_session_end(ss, error);
}

static struct splice_msg with_token(const struct splice_session *ss, enum splice_side side,
                                    struct splice_msg m) {
    m.has_token = true;
    memcpy(m.token, ss->ticket.tokens[side], SPLICE_TOKEN_BYTES);
    return m;
}

static void grant(struct splice_session *ss) {
    struct splice_msg m =
        with_token(ss, SPLICE_SOURCE,
                   (struct splice_msg){
                       .type = SPLICE_STATUS, .has_status = true, .status = CIRCUIT_STATUS_OK});
    enter(ss, SPLICE_STATE_WAITING);
    int e = tell(ss, SPLICE_SOURCE, &m);
    mem_wipe(&m, sizeof(m));
    if (e < 0)
        splice_session_end(ss, e);
    else
        join_if_complete(ss);
}

/* --- The destination ------------------------------------------------------------------------- */

static void take_answer(struct splice_session *ss, struct bytes body) {
    struct splice_msg m;
    int e = splice_msg_decode(body, &m);
    if (e == 0 && (m.type != SPLICE_STATUS || !m.has_status))
        e = -ERR_PROTOCOL_VIOLATION;
    if (e == 0 && m.status != CIRCUIT_STATUS_OK)
        e = -ECONNREFUSED;
    if (e < 0)
        refuse(ss, CIRCUIT_STATUS_CONNECTION_FAILED, e);
    else
        grant(ss);
}

/* -ERR_NOT_CONNECTED: behind another relay; -ERR_LIMIT: no more tokens */
static int offer(struct splice_session *ss) {
    struct splice_service *s = ss->service;
    if (stream_conn(ss->streams[SPLICE_DESTINATION])->relayed)
        return -ERR_NOT_CONNECTED;
    int e = splice_book_issue(&s->book, &ss->ticket, &ss->peers[SPLICE_SOURCE],
                              &ss->peers[SPLICE_DESTINATION], now_of(ss));
    if (e < 0)
        return e;
    splice_service_set_expiry(s);
    struct splice_msg m =
        with_token(ss, SPLICE_DESTINATION,
                   (struct splice_msg){
                       .type = SPLICE_OFFER, .has_peer = true, .peer = ss->peers[SPLICE_SOURCE]});
    e = tell(ss, SPLICE_DESTINATION, &m);
    mem_wipe(&m, sizeof(m));
    return e;
}

static const struct stream_events stream_events;

static void on_opened(struct stream_request *r, struct stream *stream, int error) {
    struct splice_session *ss = CONTAINER_OF(r, struct splice_session, request);
    if (error < 0) {
        refuse(ss, CIRCUIT_STATUS_CONNECTION_FAILED, error);
        return;
    }
    enter(ss, SPLICE_STATE_ASKING);
    timer_stop(&ss->timer); /* the token's time is the answer's, too */
    ss->streams[SPLICE_DESTINATION] = stream;
    stream_set_events(stream, &stream_events, ss);
    int e = offer(ss);
    if (e < 0)
        refuse(ss,
               e == -ERR_LIMIT ? CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED
                               : CIRCUIT_STATUS_CONNECTION_FAILED,
               e);
}

/* --- The source ------------------------------------------------------------------------------ */

static void take_question(struct splice_session *ss, struct bytes body) {
    const struct splice_service_config *cfg = &ss->service->cfg;
    struct splice_msg m;
    int e = splice_msg_decode(body, &m);
    if (e < 0 || (m.type == SPLICE_ASK && !m.has_peer)) {
        refuse(ss, CIRCUIT_STATUS_MALFORMED_MESSAGE, -ERR_MALFORMED);
        return;
    }
    if (m.type != SPLICE_ASK) {
        refuse(ss, CIRCUIT_STATUS_UNEXPECTED_MESSAGE, -ERR_PROTOCOL_VIOLATION);
        return;
    }
    ss->peers[SPLICE_DESTINATION] = m.peer;
    ss->circuit = cfg->circuits.find(cfg->circuits.user, &ss->peers[SPLICE_SOURCE], &m.peer);
    if (stream_conn(ss->streams[SPLICE_SOURCE])->relayed || ss->circuit == 0) {
        refuse(ss, CIRCUIT_STATUS_NO_RESERVATION, -ERR_NOT_CONNECTED);
        return;
    }
    enter(ss, SPLICE_STATE_OPENING);
    timer_stop(&ss->timer);
    host_open_stream_with(cfg->host, &ss->request, &ss->peers[SPLICE_DESTINATION], PROTOCOL_SPLICE,
                          HOST_REQUEST_NO_DIAL, now_of(ss) + SPLICE_OPEN_TIMEOUT, on_opened);
}

/* --- Both streams ---------------------------------------------------------------------------- */

/* After their one message they are silent until they end. */
static bool is_due(const struct splice_session *ss, enum splice_side side) {
    return ss->state == (side == SPLICE_SOURCE ? SPLICE_STATE_READING : SPLICE_STATE_ASKING);
}

static enum splice_side side_of(const struct splice_session *ss, const struct stream *stream) {
    return ss->streams[SPLICE_SOURCE] == stream ? SPLICE_SOURCE : SPLICE_DESTINATION;
}

/* Whoever speaks again breaks the path: a stream that is read no further tells no end.
 * -ERR_STREAM_RESET: it has ended */
static int read_silence(struct splice_session *ss, enum splice_side side) {
    struct slice s;
    if (ss->frames[side].rest.len > 0)
        return -ERR_PROTOCOL_VIOLATION;
    ssize_t n = stream_read(ss->streams[side], &s, 1);
    if (n <= 0)
        return n == 0 ? 0 : -ERR_STREAM_RESET;
    stream_consume(ss->streams[side], &s);
    return -ERR_PROTOCOL_VIOLATION;
}

/* A peer's own end of a path that stands is one without haste; so is that of one that says nothing
 * any more because it was started anew, which does no harm.  A peer that does not answer, or breaks
 * the rules, has none. */
static void gone(struct stream *stream, int error) {
    struct splice_session *ss = stream_user(stream);
    enum splice_side side = side_of(ss, stream);
    bool is_own = error == -ERR_STREAM_RESET || error == -ERR_CONN_CLOSED;
    if (ss->state >= SPLICE_STATE_JOINED && is_own)
        linger(ss, side);
    else if (ss->state == SPLICE_STATE_ASKING && side == SPLICE_DESTINATION)
        refuse(ss, CIRCUIT_STATUS_CONNECTION_FAILED, error);
    else
        splice_session_end(ss, error);
}

static void on_readable(struct stream *stream) {
    struct splice_session *ss = stream_user(stream);
    enum splice_side side = side_of(ss, stream);
    if (!is_due(ss, side)) {
        int e = read_silence(ss, side);
        if (e < 0)
            gone(stream, e);
        return;
    }
    int e = stream_frame_read(&ss->frames[side], stream);
    if (e == 0)
        return;
    struct bytes body = e < 0 ? BYTES_EMPTY : frame_body(&ss->frames[side].frame);
    if (e < 0 && side == SPLICE_SOURCE)
        splice_session_end(ss, e);
    else if (e < 0)
        refuse(ss, CIRCUIT_STATUS_CONNECTION_FAILED, e);
    else if (side == SPLICE_SOURCE)
        take_question(ss, body);
    else
        take_answer(ss, body);
}

static void on_event(struct stream *stream) {
    (void)stream; /* a message fits into a new stream */
}

static void on_stopped(struct stream *stream, uint64_t code) {
    (void)code;
    gone(stream, -ERR_STREAM_RESET);
}

static void on_closed(struct stream *stream, int error) {
    gone(stream, error == 0 ? -ERR_STREAM_RESET : error);
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .writable = on_event,
    .stopped = on_stopped,
    .reset = on_stopped,
    .closed = on_closed,
};

static void on_timer(struct timer *t) {
    struct splice_session *ss = CONTAINER_OF(t, struct splice_session, timer);
    nsec_t now = now_of(ss);
    bool is_joined = ss->state >= SPLICE_STATE_JOINED;
    if (ss->state == SPLICE_STATE_ENDING && splice_linger_goes_on(&ss->linger, moved_of(ss), now))
        timer_start(&ss->timer, splice_linger_deadline(&ss->linger));
    else
        splice_session_end(ss, is_joined && now >= duration_end(ss) ? -ETIME : -ETIMEDOUT);
}

/* --- For splice_service.c -------------------------------------------------------------------- */

bool splice_session_is_denied(const struct splice_session *ss) {
    const struct host *h = ss->service->cfg.host;
    return host_denies(h, &ss->peers[SPLICE_SOURCE]) ||
           host_denies(h, &ss->peers[SPLICE_DESTINATION]);
}

int splice_session_start(struct splice_service *s, struct stream *source) {
    struct splice_session *ss = mem_alloc(s->mem, sizeof(*ss));
    if (ss == NULL)
        return -ENOMEM;
    int e = timer_init(&ss->timer, s->cfg.reactor, on_timer);
    if (e < 0) {
        (void)mem_free(s->mem, ss);
        return e;
    }
    ss->service = s;
    ss->streams[SPLICE_SOURCE] = source;
    ss->peers[SPLICE_SOURCE] = *stream_peer(source);
    for (int i = 0; i < SPLICE_SIDES; i++)
        stream_frame_init(&ss->frames[i], ss->memory[i], sizeof(ss->memory[i]));
    list_init(&ss->node);
    list_push(&s->half_open, &ss->node);
    s->stats.half_open++;
    stream_set_events(source, &stream_events, ss);
    timer_start(&ss->timer, now_of(ss) + SPLICE_MESSAGE_TIMEOUT);
    return 0;
}

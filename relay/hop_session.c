/* SPDX-License-Identifier: MIT */
/* One stream of a client: what it wants, the answer, and the circuit that may come of it. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/p2p/protocol_id.h"
#include "relay/hop_service_internal.h"
#include "relay/stream_frame.h"
#include "transport/conn.h"

/* READING -> answered, freed          RESERVE, or what is nothing
 *         -> OPENING                  CONNECT: the stop stream is asked for
 *            -> ASKING                it is there; the destination is to answer
 *               -> RELAYING           both have their OK; the pump has the streams
 *                  -> freed
 * and from each before RELAYING -> freed when the source goes, -> answered, freed when the
 * destination does. */
enum session_state { SESSION_READING, SESSION_OPENING, SESSION_ASKING, SESSION_RELAYING };

struct hop_session {
    struct hop_service *service;
    struct list node; /* of the half-open ones, or the circuits */
    enum session_state state;
    struct stream *source;      /* until the pump has them */
    struct stream *destination; /* from ASKING on */
    struct peer_id source_id;
    struct peer_id destination_id; /* none, before a CONNECT names it */
    bool is_renewal;               /* of RESERVE, once it is granted */
    struct timer timer;
    uint8_t *message; /* the source's, then the destination's; NULL once RELAYING */
    struct stream_frame source_frame;
    struct stream_frame destination_frame;
    struct stream_request request;
    struct hop_circuit charge; /* from OPENING on */
    struct circuit_pump pump;
    uint64_t number; /* once RELAYING, as the next */
    nsec_t relaying_since;
};

static nsec_t now_of(const struct hop_session *ss) {
    return reactor_now(ss->service->cfg.reactor);
}

/* --- Ends ------------------------------------------------------------------------------------ */

static void session_free(struct hop_session *ss) {
    struct hop_service *s = ss->service;
    stream_request_cancel(&ss->request);
    stream_frame_done(&ss->source_frame);
    stream_frame_done(&ss->destination_frame);
    (void)stream_release(ss->source);
    (void)stream_release(ss->destination);
    if (ss->charge.source != NULL)
        hop_book_end(&s->book, &ss->charge);
    if (ss->state == SESSION_RELAYING)
        s->stats.circuits--;
    else
        s->stats.half_open--;
    circuit_pump_done(&ss->pump);
    timer_done(&ss->timer);
    list_remove(&ss->node);
    (void)mem_free(s->mem, ss->message);
    (void)mem_free(s->mem, ss);
    hop_service_session_ended(s);
}

/* Nobody is there to be answered. */
static void drop(struct hop_session *ss) {
    assert(ss->state != SESSION_RELAYING);
    ss->service->stats.unanswered++;
    stream_reset(ss->source, STREAM_CODE_NONE);
    if (ss->destination != NULL)
        stream_reset(ss->destination, STREAM_CODE_NONE);
    session_free(ss);
}

/* Writes a message to the source.  -EAGAIN, -ENOMEM and the errors of stream_write_bytes() */
static int tell_source(struct hop_session *ss, const struct hop_msg *m) {
    uint8_t out[CIRCUIT_OUT_MAX];
    ssize_t n = hop_msg_encode(m, out);
    assert(n > 0); /* the addresses leave room for all else */
    return stream_write_bytes(ss->source, bytes_of(out, (size_t)n));
}

static void note_answer(const struct hop_session *ss, enum hop_request request,
                        enum circuit_status status) {
    bool is_named = !peer_id_is_none(&ss->destination_id);
    hop_service_answered(ss->service,
                         &(struct hop_answer){.peer = &ss->source_id,
                                              .request = request,
                                              .destination = is_named ? &ss->destination_id : NULL,
                                              .status = status,
                                              .is_renewal = ss->is_renewal});
}

/* The last word: the source's stream ends behind it. */
static void answer(struct hop_session *ss, enum hop_request request, const struct hop_msg *m) {
    assert(m->type == HOP_STATUS);
    note_answer(ss, request, (enum circuit_status)m->status);
    int e = tell_source(ss, m);
    if (e == -EAGAIN || e == -ENOMEM)
        stream_reset(ss->source, STREAM_CODE_RESOURCE_LIMIT);
    else
        stream_shutdown_write(ss->source);
    if (ss->destination != NULL)
        stream_reset(ss->destination, STREAM_CODE_NONE);
    session_free(ss);
}

static void answer_status(struct hop_session *ss, enum hop_request request,
                          enum circuit_status status) {
    answer(ss, request,
           &(struct hop_msg){.type = HOP_STATUS, .has_status = true, .status = status});
}

/* --- The circuit ----------------------------------------------------------------------------- */

static const char *end_text(int error) {
    switch (error) {
    case 0:
        return "ended";
    case -ERR_LIMIT:
        return "data limit";
    case -ETIME:
        return "duration limit";
    default:
        return err_text(error);
    }
}

static void on_pump_closed(struct circuit_pump *p, int error) {
    struct hop_session *ss = CONTAINER_OF(p, struct hop_session, pump);
    char source[PEER_ID_SHORT_MAX];
    char destination[PEER_ID_SHORT_MAX];
    log_info(ss->service->cfg.log, L_RELAY, "circuit closed",
             kv_str("source", peer_id_format_short(&ss->source_id, source)),
             kv_str("destination", peer_id_format_short(&ss->destination_id, destination)),
             kv_str("reason", end_text(error)),
             kv_uint("to_destination", p->ways[CIRCUIT_TO_DESTINATION].bytes),
             kv_uint("to_source", p->ways[CIRCUIT_TO_SOURCE].bytes),
             kv_nsec("duration", now_of(ss) - ss->relaying_since));
    const struct hop_service_config *cfg = &ss->service->cfg;
    if (cfg->events != NULL && cfg->events->circuit_ended != NULL)
        cfg->events->circuit_ended(cfg->user, &ss->source_id, &ss->destination_id, error);
    session_free(ss);
}

static void begin_relaying(struct hop_session *ss) {
    struct hop_service *s = ss->service;
    char source[PEER_ID_SHORT_MAX];
    char destination[PEER_ID_SHORT_MAX];
    timer_stop(&ss->timer);
    ss->state = SESSION_RELAYING;
    ss->relaying_since = now_of(ss);
    ss->number = ++s->circuits_made;
    ss->message = mem_free(s->mem, ss->message);
    list_remove(&ss->node);
    list_push(&s->circuits, &ss->node);
    s->stats.half_open--;
    s->stats.circuits++;
    log_info(s->cfg.log, L_RELAY, "circuit opened",
             kv_str("source", peer_id_format_short(&ss->source_id, source)),
             kv_str("destination", peer_id_format_short(&ss->destination_id, destination)));
    circuit_pump_start(&ss->pump, &(struct circuit_pump_config){
                                      .source = TAKE(ss->source),
                                      .destination = TAKE(ss->destination),
                                      .source_rest = &ss->source_frame.rest,
                                      .destination_rest = &ss->destination_frame.rest,
                                      .data_max = s->cfg.circuit_bytes,
                                      .duration_max = s->cfg.circuit_duration,
                                      .totals = &s->stats.bytes,
                                      .closed = on_pump_closed,
                                  });
}

static void accept_circuit(struct hop_session *ss) {
    struct hop_service *s = ss->service;
    struct hop_msg ok = {.type = HOP_STATUS,
                         .has_status = true,
                         .status = CIRCUIT_STATUS_OK,
                         .has_limit = true,
                         .limit = s->limit};
    if (tell_source(ss, &ok) < 0) {
        drop(ss);
        return;
    }
    note_answer(ss, HOP_REQUEST_CONNECT, CIRCUIT_STATUS_OK);
    begin_relaying(ss);
}

/* --- The destination ------------------------------------------------------------------------- */

static void fail_connect(struct hop_session *ss, int error) {
    char destination[PEER_ID_SHORT_MAX];
    log_debug(ss->service->cfg.log, L_RELAY, "destination not reached",
              kv_str("destination", peer_id_format_short(&ss->destination_id, destination)),
              kv_err(error));
    answer_status(ss, HOP_REQUEST_CONNECT, CIRCUIT_STATUS_CONNECTION_FAILED);
}

static void on_destination_readable(struct stream *stream) {
    struct hop_session *ss = stream_user(stream);
    struct stop_msg m;
    int e = stream_frame_read(&ss->destination_frame, stream);
    if (e == 0)
        return;
    if (e == 1)
        e = stop_msg_decode(frame_body(&ss->destination_frame.frame), &m);
    if (e == 0 && m.type != STOP_STATUS)
        e = -ERR_PROTOCOL_VIOLATION;
    if (e == 0 && m.status != CIRCUIT_STATUS_OK)
        e = -ECONNREFUSED;
    if (e < 0)
        fail_connect(ss, e);
    else
        accept_circuit(ss);
}

static void on_destination_event(struct stream *stream) {
    (void)stream; /* CONNECT fits into a new stream */
}

static void on_destination_stopped(struct stream *stream, uint64_t code) {
    (void)stream; /* its answer may be there all the same; the pump's first write tells it again */
    (void)code;
}

static void on_destination_reset(struct stream *stream, uint64_t code) {
    (void)code;
    fail_connect(stream_user(stream), -ERR_STREAM_RESET);
}

static void on_destination_closed(struct stream *stream, int error) {
    fail_connect(stream_user(stream), error == 0 ? -ERR_TRUNCATED : error);
}

static const struct stream_events destination_events = {
    .readable = on_destination_readable,
    .writable = on_destination_event,
    .stopped = on_destination_stopped,
    .reset = on_destination_reset,
    .closed = on_destination_closed,
};

static int ask_destination(struct hop_session *ss) {
    struct stop_msg m = {.type = STOP_CONNECT,
                         .has_peer = true,
                         .peer = ss->source_id,
                         .has_limit = true,
                         .limit = ss->service->limit};
    uint8_t out[CIRCUIT_OUT_MAX];
    size_t n = stop_msg_encode(&m, out);
    if (stream_conn(ss->destination)->relayed)
        return -ERR_NOT_CONNECTED; /* a relay behind a relay */
    return stream_write_bytes(ss->destination, bytes_of(out, n));
}

static void on_opened(struct stream_request *r, struct stream *stream, int error) {
    struct hop_session *ss = CONTAINER_OF(r, struct hop_session, request);
    if (error < 0) {
        fail_connect(ss, error);
        return;
    }
    ss->state = SESSION_ASKING;
    ss->destination = stream;
    stream_set_events(stream, &destination_events, ss);
    stream_frame_init(&ss->destination_frame, ss->message, CIRCUIT_MSG_MAX);
    timer_start(&ss->timer, now_of(ss) + HOP_STOP_TIMEOUT);
    error = ask_destination(ss);
    if (error < 0)
        fail_connect(ss, error);
}

/* --- The source ------------------------------------------------------------------------------ */

static void reserve(struct hop_session *ss) {
    struct hop_scratch scratch;
    struct hop_msg m = {.type = HOP_STATUS, .has_status = true};
    m.status = hop_service_reserve(ss->service, stream_conn(ss->source), &scratch, &m.reservation,
                                   &ss->is_renewal);
    m.has_reservation = m.status == CIRCUIT_STATUS_OK;
    m.has_limit = m.has_reservation;
    m.limit = ss->service->limit;
    answer(ss, HOP_REQUEST_RESERVE, &m);
}

/* In the order of the spec, but for what could not be decoded at all. */
static enum circuit_status check_connect(struct hop_session *ss, const struct hop_msg *m) {
    struct hop_service *s = ss->service;
    if (stream_conn(ss->source)->relayed)
        return CIRCUIT_STATUS_PERMISSION_DENIED;
    if (!m->has_peer)
        return CIRCUIT_STATUS_MALFORMED_MESSAGE;
    hop_service_tick(s);
    return hop_book_connect(&s->book, &ss->source_id, &m->peer, now_of(ss), &ss->charge);
}

static void connect_to(struct hop_session *ss, const struct hop_msg *m) {
    if (m->has_peer)
        ss->destination_id = m->peer;
    enum circuit_status status = check_connect(ss, m);
    if (status != CIRCUIT_STATUS_OK) {
        answer_status(ss, HOP_REQUEST_CONNECT, status);
        return;
    }
    ss->state = SESSION_OPENING;
    timer_stop(&ss->timer);
    host_open_stream_with(ss->service->cfg.host, &ss->request, &ss->destination_id,
                          PROTOCOL_CIRCUIT_STOP, HOST_REQUEST_NO_DIAL,
                          now_of(ss) + HOP_OPEN_TIMEOUT, on_opened);
}

static void handle(struct hop_session *ss, const struct hop_msg *m) {
    switch (m->type) {
    case HOP_RESERVE:
        reserve(ss);
        break;
    case HOP_CONNECT:
        connect_to(ss, m);
        break;
    case HOP_STATUS:
    case HOP_OTHER:
        answer_status(ss, HOP_REQUEST_UNKNOWN, CIRCUIT_STATUS_UNEXPECTED_MESSAGE);
        break;
    }
}

/* What comes behind the message waits in the stream, for the pump. */
static void on_source_readable(struct stream *stream) {
    struct hop_session *ss = stream_user(stream);
    struct hop_msg m;
    if (ss->state != SESSION_READING)
        return;
    int e = stream_frame_read(&ss->source_frame, stream);
    if (e == 0)
        return;
    if (e == 1)
        e = hop_msg_decode(frame_body(&ss->source_frame.frame), &m);
    if (e == 0)
        handle(ss, &m);
    else if (e == -ERR_STREAM_RESET)
        drop(ss);
    else
        answer_status(ss, HOP_REQUEST_UNKNOWN, CIRCUIT_STATUS_MALFORMED_MESSAGE);
}

static void on_source_event(struct stream *stream) {
    (void)stream; /* an answer fits into a new stream */
}

static void on_source_gone(struct stream *stream, uint64_t code) {
    (void)code;
    drop(stream_user(stream));
}

static void on_source_closed(struct stream *stream, int error) {
    (void)error;
    drop(stream_user(stream));
}

static const struct stream_events source_events = {
    .readable = on_source_readable,
    .writable = on_source_event,
    .stopped = on_source_gone,
    .reset = on_source_gone,
    .closed = on_source_closed,
};

static void on_timeout(struct timer *t) {
    struct hop_session *ss = CONTAINER_OF(t, struct hop_session, timer);
    if (ss->state == SESSION_READING)
        drop(ss);
    else
        fail_connect(ss, -ETIMEDOUT);
}

/* --- For hop_service.c ----------------------------------------------------------------------- */

static int session_new(struct hop_service *s, struct hop_session **ret_session) {
    struct hop_session *ss = mem_alloc(s->mem, sizeof(*ss));
    if (ss == NULL)
        return -ENOMEM;
    ss->message = mem_alloc(s->mem, CIRCUIT_MSG_MAX);
    if (ss->message == NULL) {
        (void)mem_free(s->mem, ss);
        return -ENOMEM;
    }
    int e = timer_init(&ss->timer, s->cfg.reactor, on_timeout);
    if (e == 0) {
        e = circuit_pump_init(&ss->pump, s->cfg.reactor);
        if (e < 0)
            timer_done(&ss->timer);
    }
    if (e < 0) {
        (void)mem_free(s->mem, ss->message);
        (void)mem_free(s->mem, ss);
        return e;
    }
    *ret_session = ss;
    return 0;
}

int hop_session_start(struct hop_service *s, struct stream *source) {
    struct hop_session *ss;
    int e = session_new(s, &ss);
    if (e < 0)
        return e;
    ss->service = s;
    ss->source = source;
    ss->source_id = *stream_peer(source);
    stream_frame_init(&ss->source_frame, ss->message, CIRCUIT_MSG_MAX);
    stream_frame_init(&ss->destination_frame, ss->message, CIRCUIT_MSG_MAX);
    list_init(&ss->node);
    list_push(&s->half_open, &ss->node);
    s->stats.half_open++;
    stream_set_events(source, &source_events, ss);
    timer_start(&ss->timer, now_of(ss) + HOP_MESSAGE_TIMEOUT);
    return 0;
}

uint32_t hop_session_count(const struct hop_service *s, const struct peer_id *peer) {
    uint32_t count = 0;
    list_for_each (node, &s->half_open)
        count += peer_id_equal(&LIST_ENTRY(node, const struct hop_session, node)->source_id, peer);
    return count;
}

uint64_t hop_session_find_circuit(const struct hop_service *s, const struct peer_id *source,
                                  const struct peer_id *destination) {
    uint64_t number = 0;
    list_for_each (node, &s->circuits) {
        const struct hop_session *ss = LIST_ENTRY(node, const struct hop_session, node);
        if (peer_id_equal(&ss->source_id, source) &&
            peer_id_equal(&ss->destination_id, destination))
            number = ss->number;
    }
    return number;
}

bool hop_session_has_circuit(const struct hop_service *s, uint64_t number) {
    list_for_each (node, &s->circuits) {
        if (LIST_ENTRY(node, const struct hop_session, node)->number == number)
            return true;
    }
    return false;
}

/* What is half-open ends by its own time-outs. */
void hop_sessions_leave(struct hop_service *s, const struct conn *c) {
    list_for_each (node, &s->circuits) {
        struct circuit_pump *p = &LIST_ENTRY(node, struct hop_session, node)->pump;
        if (stream_conn(p->ways[CIRCUIT_TO_DESTINATION].from) == c ||
            stream_conn(p->ways[CIRCUIT_TO_SOURCE].from) == c)
            circuit_pump_abort(p, -ETIMEDOUT, STREAM_CODE_NONE);
    }
}

void hop_sessions_shut(struct hop_service *s) {
    list_for_each_safe (node, &s->half_open) {
        struct hop_session *ss = LIST_ENTRY(node, struct hop_session, node);
        answer_status(ss, ss->state == SESSION_READING ? HOP_REQUEST_UNKNOWN : HOP_REQUEST_CONNECT,
                      CIRCUIT_STATUS_PERMISSION_DENIED);
    }
    list_for_each (node, &s->circuits)
        circuit_pump_abort(&LIST_ENTRY(node, struct hop_session, node)->pump, -ERR_SHUTDOWN,
                           STREAM_CODE_SHUTDOWN);
}

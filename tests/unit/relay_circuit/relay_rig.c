/* SPDX-License-Identifier: MIT */
#include "tests/unit/relay_circuit/relay_rig.h"

#include <string.h>

#include "core/p2p/protocol_id.h"

/* --- The test's ends of streams --- */

static void read_message(struct peer_end *end) {
    int e = stream_frame_read(&end->frame, end->stream);
    if (e == -ERR_TRUNCATED)
        end->is_ended = true;
    if (e != 1)
        return;
    end->has_message = true;
    struct slice *rest = &end->frame.rest;
    if (rest->len == 0)
        return;
    memcpy(end->got, rest->data, rest->len);
    end->got_len = rest->len;
    stream_consume(end->stream, rest);
}

static void read_rest(struct peer_end *end) {
    struct slice s;
    ssize_t n;
    while ((n = stream_read(end->stream, &s, 1)) == 1) {
        cr_assert_leq(s.len, sizeof(end->got) - end->got_len);
        memcpy(end->got + end->got_len, s.data, s.len);
        end->got_len += s.len;
        stream_consume(end->stream, &s);
    }
    end->is_ended |= n == -ENODATA;
}

static void on_readable(struct stream *s) {
    struct peer_end *end = stream_user(s);
    if (!end->has_message)
        read_message(end);
    if (!end->is_ended && end->has_message)
        read_rest(end);
}

static void on_writable(struct stream *s) {
    (void)s;
}

static void on_stopped(struct stream *s, uint64_t code) {
    (void)code;
    ((struct peer_end *)stream_user(s))->was_stopped = true;
}

static void on_reset(struct stream *s, uint64_t code) {
    struct peer_end *end = stream_user(s);
    end->was_reset = true;
    end->reset_code = code;
}

static void on_closed(struct stream *s, int error) {
    struct peer_end *end = stream_user(s);
    end->is_closed = true;
    end->error = error;
}

static const struct stream_events end_events = {on_readable, on_writable, on_stopped, on_reset,
                                                on_closed};

static struct peer_end *end_new(struct relay_rig *rig) {
    struct peer_end *end = mem_alloc(mem_system(), sizeof(*end));
    cr_assert(end != NULL && rig->ends_count < ENDS_MAX);
    stream_frame_init(&end->frame, end->memory, sizeof(end->memory));
    rig->ends[rig->ends_count++] = end;
    return end;
}

static void attach(struct peer_end *end, struct stream *s) {
    end->stream = s;
    stream_set_events(s, &end_events, end);
}

static void on_opened(struct stream_request *r, struct stream *s, int error) {
    struct peer_end *end = CONTAINER_OF(r, struct peer_end, request);
    end->error = error;
    if (s != NULL)
        attach(end, s);
}

static void on_stop(struct protocol_handler *h, struct stream *s) {
    struct relay_rig *rig = CONTAINER_OF(h, struct relay_rig, stop);
    rig->stopped_at = end_new(rig);
    rig->stops++;
    attach(rig->stopped_at, s);
}

static void on_offered(struct protocol_handler *h, struct stream *s) {
    struct relay_rig *rig = CONTAINER_OF(h, struct relay_rig, offered);
    rig->offered_at = end_new(rig);
    attach(rig->offered_at, s);
}

void end_release(struct peer_end *end) {
    stream_frame_done(&end->frame);
    end->stream = stream_release(end->stream);
}

void end_write(struct peer_end *end, struct bytes b) {
    int e = stream_write_bytes(end->stream, b);
    cr_assert(e == 0 || e == -EPIPE);
}

void end_status(struct peer_end *end, enum circuit_status status) {
    uint8_t out[CIRCUIT_OUT_MAX];
    struct stop_msg m = {.type = STOP_STATUS, .has_status = true, .status = status};
    end_write(end, bytes_of(out, stop_msg_encode(&m, out)));
}

struct hop_msg end_answer(const struct peer_end *end, enum circuit_status status) {
    struct hop_msg m = {.type = HOP_OTHER};
    cr_assert(end->has_message, "no answer");
    cr_assert_eq(hop_msg_decode(frame_body(&end->frame.frame), &m), 0);
    cr_assert_eq((int)m.type, (int)HOP_STATUS);
    cr_assert(m.has_status);
    cr_assert_eq((int)m.status, (int)status, "%s", circuit_status_text(m.status));
    return m;
}

struct stop_msg end_asked(const struct peer_end *end) {
    struct stop_msg m = {.type = STOP_OTHER};
    cr_assert(end->has_message);
    cr_assert_eq(stop_msg_decode(frame_body(&end->frame.frame), &m), 0);
    cr_assert_eq((int)m.type, (int)STOP_CONNECT);
    return m;
}

/* --- The rig --- */

static void on_line(struct log *l, enum log_level level, const char *line, size_t len) {
    struct relay_rig *rig = CONTAINER_OF(l, struct relay_rig, log);
    (void)level;
    len = MIN(len, sizeof(rig->logged) - 1 - rig->logged_len);
    memcpy(rig->logged + rig->logged_len, line, len);
    rig->logged_len += len;
}

size_t rig_logged(const struct relay_rig *rig, const char *text) {
    size_t count = 0;
    for (const char *p = rig->logged; (p = strstr(p, text)) != NULL; p++)
        count++;
    return count;
}

void rig_prepare(struct relay_rig *rig) {
    *rig = (struct relay_rig){.mem.mem.resize = fail_mem_resize};
    rig->fake = fake_new_with(&rig->reactor, &rig->mem.mem, NULL);
    cr_assert_not_null(rig->fake);
    rig->relay = fake_host_new(rig->reactor, "relay", NULL);
    rig->a = fake_host_new(rig->reactor, "a", NULL);
    rig->b = fake_host_new(rig->reactor, "b", NULL);
    fake_host_set_key(rig->relay, 1);
    fake_host_set_key(rig->a, 2);
    fake_host_set_key(rig->b, 3);
    rig->conn_a = fake_connect(rig->a, rig->relay, "/ip4/198.51.100.1/tcp/50001",
                               "/ip4/192.168.7.7/tcp/7777");
    rig->conn_b = fake_connect(rig->b, rig->relay, "/ip4/198.51.100.2/tcp/50002",
                               "/ip4/192.168.7.7/tcp/7777");
    rig->stop = (struct protocol_handler){
        .protocol = PROTOCOL_CIRCUIT_STOP, .protocol_class = CLASS_ANY, .accept = on_stop};
    cr_assert_eq(host_handle(rig->b, &rig->stop), 0);
    rig->offered = (struct protocol_handler){
        .protocol = PROTOCOL_SPLICE, .protocol_class = CLASS_ANY, .accept = on_offered};
    cr_assert_eq(host_handle(rig->b, &rig->offered), 0);
    rig->log = (struct log){.sink = on_line, .level_max = LOG_INFO};
    rig->cfg = (struct hop_service_config){.reactor = rig->reactor,
                                           .host = rig->relay,
                                           .log = &rig->log,
                                           .reservations_max = 128,
                                           .reservations_per_ip = 8,
                                           .reservations_per_asn = 32,
                                           .circuits_per_peer_max = 16,
                                           .reservation_ttl = SEC(3600)};
}

void rig_start(struct relay_rig *rig) {
    cr_assert_eq(hop_service_new(&rig->cfg, &rig->service), 0);
}

void rig_open(struct relay_rig *rig) {
    rig_prepare(rig);
    rig_start(rig);
}

static void on_service_closed(void *user) {
    struct relay_rig *rig = user;
    cr_assert_not(rig->is_closed);
    rig->is_closed = true;
}

void rig_close_service(struct relay_rig *rig) {
    hop_service_close(rig->service, on_service_closed, rig);
    cr_assert_not(rig->is_closed, "told from inside a call");
    rig_turn(rig);
    cr_assert(rig->is_closed);
    rig->service = hop_service_free(rig->service);
}

void rig_close(struct relay_rig *rig) {
    if (rig->service != NULL)
        rig_close_service(rig);
    rig_turn(rig);
    for (size_t i = 0; i < rig->ends_count; i++) {
        stream_request_cancel(&rig->ends[i]->request);
        end_release(rig->ends[i]);
        (void)mem_free(mem_system(), rig->ends[i]);
    }
    host_unhandle(rig->b, &rig->stop);
    host_unhandle(rig->b, &rig->offered);
    fake_host_free(rig->a);
    fake_host_free(rig->b);
    fake_host_free(rig->relay);
    fake_free(rig->reactor);
    cr_assert_eq(rig->mem.blocks, 0);
}

void rig_turn(struct relay_rig *rig) {
    for (int i = 0; i < 60; i++)
        fake_turn(rig->reactor);
}

void rig_wait(struct relay_rig *rig, nsec_t time) {
    nsec_t until = reactor_now(rig->reactor) + time;
    while (reactor_now(rig->reactor) < until) {
        nsec_t next = MIN(reactor_next_deadline(rig->reactor), until);
        cr_assert_eq(reactor_turn(rig->reactor, next), 0);
        rig_turn(rig);
    }
}

struct hop_service_stats rig_stats(const struct relay_rig *rig) {
    struct hop_service_stats stats;
    hop_service_stats(rig->service, &stats);
    return stats;
}

uint64_t rig_answers(const struct relay_rig *rig, enum hop_request request,
                     enum circuit_status status) {
    struct hop_service_stats stats = rig_stats(rig);
    size_t i = 0;
    while (hop_statuses[i] != status)
        i++;
    return stats.answers[request][i];
}

/* --- Asking --- */

struct peer_end *rig_hop(struct relay_rig *rig, struct host *from) {
    return rig_stream(rig, from, PROTOCOL_CIRCUIT_HOP);
}

struct peer_end *rig_stream(struct relay_rig *rig, struct host *from, const char *protocol) {
    struct peer_end *end = end_new(rig);
    host_open_stream(from, &end->request, &host_identity(rig->relay)->id, protocol, NSEC_NEVER,
                     on_opened);
    fake_turn(rig->reactor);
    cr_assert_eq(end->error, 0);
    return end;
}

struct peer_end *rig_ask(struct relay_rig *rig, struct host *from, const struct hop_msg *m) {
    uint8_t out[CIRCUIT_OUT_MAX];
    struct peer_end *end = rig_hop(rig, from);
    ssize_t n = hop_msg_encode(m, out);
    cr_assert_gt(n, 0);
    end_write(end, bytes_of(out, (size_t)n));
    rig_turn(rig);
    return end;
}

struct peer_end *rig_reserve(struct relay_rig *rig, struct host *from) {
    return rig_ask(rig, from, &(struct hop_msg){.type = HOP_RESERVE});
}

struct peer_end *rig_connect(struct relay_rig *rig, struct host *from, const struct host *to) {
    return rig_ask(
        rig, from,
        &(struct hop_msg){.type = HOP_CONNECT, .has_peer = true, .peer = host_identity(to)->id});
}

void rig_circuit(struct relay_rig *rig, struct peer_end **ret_a, struct peer_end **ret_b) {
    (void)end_answer(rig_reserve(rig, rig->b), CIRCUIT_STATUS_OK);
    *ret_a = rig_connect(rig, rig->a, rig->b);
    *ret_b = rig->stopped_at;
    cr_assert_not_null(*ret_b);
    (void)end_asked(*ret_b);
    end_status(*ret_b, CIRCUIT_STATUS_OK);
    rig_turn(rig);
    (void)end_answer(*ret_a, CIRCUIT_STATUS_OK);
    cr_assert_eq(rig_stats(rig).circuits, 1);
}

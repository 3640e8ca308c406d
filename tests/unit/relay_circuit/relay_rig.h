/* SPDX-License-Identifier: MIT */
#pragma once

/* A relay between two peers: three hosts in memory, the hop service on one of them, and streams
 * whose ends are the test's own.  Time stands until it is moved. */

#include "core/base/err.h"
#include "core/base/log.h"
#include "relay/hop_service.h"
#include "relay/stream_frame.h"
#include "tests/support/fail_mem.h"
#include "tests/support/fake_host.h"
#include "tests/unit/uring/fake_backend.h"

/* The test's end of a stream. */
struct peer_end {
    struct stream *stream;
    struct stream_request request;
    struct stream_frame frame;
    uint8_t memory[CIRCUIT_MSG_MAX];
    uint8_t got[4096]; /* what came behind the message */
    size_t got_len;
    bool has_message;
    bool is_ended;
    bool was_reset;
    uint64_t reset_code;
    bool was_stopped;
    bool is_closed;
    int error; /* of opening it, or that closed() told */
};

enum { ENDS_MAX = 300 };

struct relay_rig {
    struct reactor *reactor;
    struct fake *fake;
    struct fail_mem mem;
    struct host *relay;
    struct host *a;
    struct host *b;
    struct fake_conn *conn_a;
    struct fake_conn *conn_b;
    struct hop_service_config cfg; /* of the service, before rig_start() */
    struct hop_service *service;
    struct protocol_handler stop;    /* of b */
    struct protocol_handler offered; /* the same, of spliced paths */
    struct peer_end *ends[ENDS_MAX];
    size_t ends_count;
    struct peer_end *stopped_at; /* the last stream that the relay opened to b */
    struct peer_end *offered_at;
    uint32_t stops;
    struct log log;
    char logged[16384];
    size_t logged_len;
    bool is_closed;
};

/* Hosts and connections; cfg has go's limits. */
void rig_prepare(struct relay_rig *rig);
void rig_start(struct relay_rig *rig);
void rig_open(struct relay_rig *rig); /* both */
void rig_close_service(struct relay_rig *rig);
/* Asserts that nothing is left. */
void rig_close(struct relay_rig *rig);

void rig_turn(struct relay_rig *rig);
/* Lets every timer fire when it is due. */
void rig_wait(struct relay_rig *rig, nsec_t time);
size_t rig_logged(const struct relay_rig *rig, const char *text);
struct hop_service_stats rig_stats(const struct relay_rig *rig);
uint64_t rig_answers(const struct relay_rig *rig, enum hop_request request,
                     enum circuit_status status);

/* Opens a stream to the relay, as the next. */
struct peer_end *rig_stream(struct relay_rig *rig, struct host *from, const char *protocol);
/* Opens a hop stream; what comes back is looked at by end_...() */
struct peer_end *rig_hop(struct relay_rig *rig, struct host *from);
/* The same, with this message, and some turns. */
struct peer_end *rig_ask(struct relay_rig *rig, struct host *from, const struct hop_msg *m);
struct peer_end *rig_reserve(struct relay_rig *rig, struct host *from);
struct peer_end *rig_connect(struct relay_rig *rig, struct host *from, const struct host *to);
/* Asserts that the answer is there, and that its status is this one. */
struct hop_msg end_answer(const struct peer_end *end, enum circuit_status status);
/* The relay's CONNECT. */
struct stop_msg end_asked(const struct peer_end *end);
/* Goes nowhere when the relay has reset it. */
void end_write(struct peer_end *end, struct bytes b);
void end_status(struct peer_end *end, enum circuit_status status);
/* Gives it up, as it is. */
void end_release(struct peer_end *end);
/* A circuit from a to b that stands; its ends. */
void rig_circuit(struct relay_rig *rig, struct peer_end **ret_a, struct peer_end **ret_b);

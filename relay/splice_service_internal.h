/* SPDX-License-Identifier: MIT */
#pragma once

/* What splice_service.c (tokens, legs, life) and splice_session.c (one path) share. */

#include "core/base/list.h"
#include "core/base/log.h"
#include "relay/proto/splice_linger.h"
#include "relay/splice_service.h"
#include "relay/stream_frame.h"
#include "transport/host.h"
#include "transport/tcp_leg.h"
#include "uring/splice.h"

struct splice_service {
    struct splice_service_config cfg;
    struct mem *mem;
    struct protocol_handler handler;
    struct host_watch watch;
    struct tcp_preface preface;
    struct splice_book book;
    struct timer expiry;   /* of the tokens */
    struct list half_open; /* splice_session.node */
    struct list standing;
    struct list closing;
    struct splice_service_stats stats;
    struct log_limit refusal_log;
    struct deferred close_check;
    void (*closed)(void *user);
    void *closed_user;
    bool is_closing;
};

/* The states of splice_service.h. */
enum splice_state {
    SPLICE_STATE_READING,
    SPLICE_STATE_OPENING,
    SPLICE_STATE_ASKING,
    SPLICE_STATE_WAITING,
    SPLICE_STATE_JOINED,
    SPLICE_STATE_ENDING,
    SPLICE_STATE_CLOSING, /* until its legs are closed */
};

struct splice_session {
    struct splice_service *service;
    struct list node;
    enum splice_state state;
    struct peer_id peers[SPLICE_SIDES];   /* the destination's from OPENING on */
    struct stream *streams[SPLICE_SIDES]; /* NULL, once JOINED: this peer has ended the path */
    struct stream_frame frames[SPLICE_SIDES];
    struct stream_request request;
    struct timer timer;
    uint64_t circuit;
    struct splice_ticket ticket; /* from ASKING on */
    struct tcp_leg *legs[SPLICE_SIDES];
    struct hop_circuit charge; /* from JOINED on, as the next */
    struct tcp_splice splice;
    bool is_spliced; /* `splice` is to be done with */
    nsec_t joined_at;
    struct splice_linger linger; /* while ENDING */
    uint8_t memory[SPLICE_SIDES][SPLICE_MSG_MAX];
};

/* splice_service.c */

/* When the next token is too late may have changed. */
void splice_service_set_expiry(struct splice_service *s);
/* A session is freed. */
void splice_service_session_ended(struct splice_service *s);

/* splice_session.c */

/* Takes over the stream.  -ENOMEM leaves it with the caller. */
NODISCARD int splice_session_start(struct splice_service *s, struct stream *source);
/* A leg with a good token of this session's. */
void splice_session_leg(struct splice_session *ss, enum splice_side side, struct tcp_leg *leg);
/* The gate does not let one of the two in any more. */
bool splice_session_is_denied(const struct splice_session *ss);
/* Ends it in any state, for this reason; an error resets the legs. */
void splice_session_end(struct splice_session *ss, int error);

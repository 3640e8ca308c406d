/* SPDX-License-Identifier: MIT */
#pragma once

/* A host on a reactor whose time stands until it is moved, and a transport whose dials and
 * connections do what a test says.  It takes every address that has /udp or /tcp. */

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "tests/unit/uring/fake_backend.h"
#include "transport/host.h"
#include "transport/host_internal.h"
#include "transport/swarm_dial.h"
#include "uring/netwatch.h"
#include "uring/resolver.h"

enum { SCRIPT_DIALS_MAX = 256, SCRIPT_CONNS_MAX = 256, SCRIPT_QUESTIONS_MAX = 64 };

struct script_conn {
    struct conn conn;
    struct script *script;
    struct list streams;
    nsec_t unanswered_since;
    nsec_t heard_at;
    uint32_t probes;
    bool can_move;
    nsec_t rtt;
    uint32_t streams_max; /* then -EAGAIN */
    uint32_t streams_opened;
    bool is_closed; /* told */
    uint64_t close_code;
    bool close_asked;
};

struct script {
    struct fake *fake;
    struct reactor *reactor;
    struct transport transport;
    struct host *host;
    struct identity identity;
    struct peer_id peer;                  /* someone else */
    struct dial *dials[SCRIPT_DIALS_MAX]; /* in flight, in the order in which they began */
    size_t dials_count;
    size_t dials_begun;
    size_t dials_cancelled;
    int refuse; /* what a dial fails with at once */
    struct script_conn *conns[SCRIPT_CONNS_MAX];
    size_t conns_count;
    struct resolver resolver;
    struct resolve_request *questions[SCRIPT_QUESTIONS_MAX]; /* in flight */
    char hosts[SCRIPT_QUESTIONS_MAX][RESOLVE_HOST_MAX];
    size_t questions_count;
    size_t questions_asked;
    struct netwatch netwatch;
    struct gate gate;
    const struct peer_id *allowed; /* by the gate; NULL: nobody */
    bool is_gated;
    bool host_closed;
};

void script_init(struct script *s, const struct host_config *cfg);
void script_done(struct script *s);

/* Ends the turn, and others as long as something is deferred. */
void script_turn(struct script *s);
/* Moves time in steps that let every timer fire when it is due. */
void script_wait(struct script *s, nsec_t time);

void script_knows(struct script *s, const struct peer_id *peer, size_t count,
                  const char *const *addrs);
/* The dial in flight to an address; NULL: none. */
struct dial *script_dial(struct script *s, const char *addr);
/* They end in a turn of their own. */
struct script_conn *script_dial_ok(struct script *s, const char *addr);
void script_dial_fails(struct script *s, const char *addr, int error);
/* Answers a question in flight, in a turn of its own: addresses, or texts, separated by blanks;
 * NULL is a failure. */
void script_resolve(struct script *s, const char *host, enum resolve_kind kind, const char *answer);
/* Our addresses are these now. */
void script_network(struct script *s, size_t count, const char *const *ips);
/* An inbound connection. */
struct script_conn *script_accept(struct script *s, const struct peer_id *peer, const char *addr);
/* The connection ends. */
void script_conn_over(struct script_conn *c, int error, const char *why);

struct peer_id script_peer(unsigned number);

/* Requests that record their end. */
struct script_connect {
    struct connect_request request;
    int done;
    int error;
    struct multiaddr remote;
};
void script_connect(struct script *s, struct script_connect *c, const struct peer_id *peer);
void script_connect_with(struct script *s, struct script_connect *c, const struct peer_id *peer,
                         unsigned flags);

struct script_stream {
    struct stream_request request;
    struct stream *stream;
    int done;
    int error;
};
void script_open(struct script *s, struct script_stream *x, const struct peer_id *peer);
void script_open_with(struct script *s, struct script_stream *x, const struct peer_id *peer,
                      unsigned flags);

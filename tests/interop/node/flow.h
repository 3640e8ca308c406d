/* SPDX-License-Identifier: MIT */
#pragma once

/* One stream of the test's protocols, from either side.
 *
 * Sending has one order: head, pattern (or zeros), digest, end; each may be missing.  Receiving is
 * counted, hashed as far as the body goes, and the rest kept.  What comes next is decided by the
 * kind, when enough has come or the peer has ended.
 *
 * Thread: the reactor's. */

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "core/crypto/hash.h"
#include "tests/interop/node/node.h"

struct batch;

enum flow_kind {
    FLOW_SERVE_SUM,
    FLOW_SERVE_REVERSE,
    FLOW_SERVE_RESET,
    FLOW_SUM,
    FLOW_REVERSE,
    FLOW_RESET,
    FLOW_PERF,
    FLOW_PING,
    FLOW_OPEN,
};

enum { FLOW_HEAD_BYTES = 8, FLOW_SMALL_MAX = SHA256_BYTES + 1, FLOW_PING_BYTES = 32 };

/* What is to be sent. */
struct flow_out {
    uint8_t small[FLOW_SMALL_MAX]; /* the head, or the digest */
    uint32_t small_len;
    uint64_t body_left;
    bool zeros;
    uint8_t tag;
    uint32_t block;
    bool hashed; /* the body, into `sum` */
    bool digest; /* which follows the body */
    bool end;    /* behind all */
    bool held;   /* nothing behind the head yet */
    struct slice chunk;
    wc_Sha256 hash;
    uint8_t sum[SHA256_BYTES];
};

/* What has come. */
struct flow_in {
    uint8_t head[FLOW_HEAD_BYTES];
    uint32_t head_len;
    uint32_t head_wanted;
    uint64_t body_wanted; /* hashed; UINT64_MAX: to the end */
    uint64_t body_got;
    uint8_t small[FLOW_SMALL_MAX]; /* behind the body, cut */
    uint32_t small_len;
    wc_Sha256 hash;
};

struct flow {
    struct list node;
    struct node *owner;
    struct batch *batch; /* NULL: served */
    enum flow_kind kind;
    struct stream_request request;
    struct stream *stream;
    bool opening;
    struct flow_out out;
    struct flow_in in;
    uint64_t size; /* of the command */
    uint32_t rounds_left;
    nsec_t sent_at;
};

/* What the commands ask for. */
struct flow_plan {
    enum flow_kind kind;
    struct peer_id peer;
    const char *protocol; /* outlives the flow */
    uint64_t size;        /* perf: what comes back */
    uint64_t up;
    uint32_t rounds;
    bool held;
};

/* Opens a stream and goes on until batch_flow_ended(), which never comes from inside this call. */
void flow_start(struct flow *f, struct node *n, struct batch *b, const struct flow_plan *plan,
                uint8_t tag, nsec_t deadline);
/* Lets go on what was held behind the head. */
void flow_let_go(struct flow *f);
/* Ends it without a word to the batch; the flow is the caller's again. */
void flow_stop(struct flow *f);

/* Serves the three protocols. */
void flow_serve(struct node *n);
void flow_stop_served(struct node *n);

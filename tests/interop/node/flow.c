/* SPDX-License-Identifier: MIT */
#include "tests/interop/node/flow.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "tests/interop/node/batch.h"

enum { READ_SLICES = 16, CHUNK_BYTES = 64 << 10 };

/* As the limits of perf: no test asks for more. */
#define ANSWER_BYTES_MAX   ((uint64_t)1 << 30)
/* More than all windows and queues between the two, so that a reset finds it under way. */
#define RESET_ANSWER_BYTES ((uint64_t)256 << 20)

static void put_u64(uint8_t out[FLOW_HEAD_BYTES], uint64_t v) {
    for (int i = 0; i < FLOW_HEAD_BYTES; i++)
        out[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t get_u64(const uint8_t in[FLOW_HEAD_BYTES]) {
    uint64_t v = 0;
    for (int i = 0; i < FLOW_HEAD_BYTES; i++)
        v = v << 8 | in[i];
    return v;
}

static void hash_begin(wc_Sha256 *h) {
    if (wc_InitSha256(h) != 0)
        abort();
}

static void hash_add(wc_Sha256 *h, struct bytes b) {
    if (wc_Sha256Update(h, b.data, (word32)b.len) != 0)
        abort();
}

static void hash_end(wc_Sha256 *h, uint8_t digest[SHA256_BYTES]) {
    if (wc_Sha256Final(h, digest) != 0)
        abort();
}

/* --- Life --- */

static bool is_served(const struct flow *f) {
    return f->batch == NULL;
}

static void release(struct flow *f) {
    slice_unref(&f->out.chunk);
    f->stream = stream_release(f->stream);
    list_remove(&f->node);
}

/* The exchange is over: 0, or what it failed with. */
static void finish(struct flow *f, int error) {
    struct batch *b = f->batch;
    if ((error < 0 || f->kind == FLOW_RESET) && f->stream != NULL)
        stream_reset(f->stream, STREAM_CODE_NONE);
    release(f);
    if (b == NULL)
        free(f);
    else
        batch_flow_ended(b, f, error);
}

void flow_stop(struct flow *f) {
    if (f->opening)
        stream_request_cancel(&f->request);
    if (f->stream != NULL)
        stream_reset(f->stream, STREAM_CODE_NONE);
    release(f);
}

/* --- Sending --- */

/* Differs from block to block, and from stream to stream by its tag. */
static void fill_pattern(uint8_t *out, uint32_t len, uint8_t tag, uint32_t block) {
    for (uint32_t i = 0; i < len; i++)
        out[i] = (uint8_t)(tag ^ (i * 7) ^ (block * 31));
}

/* 1: there is a chunk; 0: the stream holds all that it may, and writable() follows. */
static int make_chunk(struct flow *f) {
    struct flow_out *o = &f->out;
    if (o->chunk.len > 0)
        return 1;
    struct quota *quota = stream_quota(f->stream);
    struct buf *buf = buf_new(reactor_pool(f->owner->reactor), BUF_64K, quota);
    if (buf == NULL) {
        if (quota_left(quota) >= CHUNK_BYTES)
            return -ENOMEM;
        ssize_t n = stream_write(f->stream, &SLICE_EMPTY, 1); /* so that writable() follows */
        return n < 0 ? (int)n : 0;
    }
    uint32_t len = (uint32_t)MIN(o->body_left, (uint64_t)CHUNK_BYTES);
    if (o->zeros)
        memset(buf->data, 0, len);
    else
        fill_pattern(buf->data, len, o->tag, o->block++);
    if (o->hashed)
        hash_add(&o->hash, bytes_of(buf->data, len));
    o->chunk = slice_of(buf, 0, len);
    o->body_left -= len;
    return 1;
}

/* 1: all of the body is with the stream; 0: writable() goes on. */
static int send_body(struct flow *f) {
    while (f->out.body_left > 0 || f->out.chunk.len > 0) {
        int e = make_chunk(f);
        if (e <= 0)
            return e;
        ssize_t n = stream_write(f->stream, &f->out.chunk, 1);
        if (n <= 0)
            return (int)n;
        f->out.chunk = SLICE_EMPTY;
    }
    return 1;
}

static int send_small(struct flow *f) {
    if (f->out.small_len == 0)
        return 1;
    int e = stream_write_bytes(f->stream, bytes_of(f->out.small, f->out.small_len));
    if (e == -EAGAIN)
        return 0;
    if (e < 0)
        return e;
    f->out.small_len = 0;
    return 1;
}

static int send_all(struct flow *f) {
    struct flow_out *o = &f->out;
    for (;;) {
        int e = send_small(f);
        if (e <= 0 || o->held)
            return e;
        e = send_body(f);
        if (e <= 0)
            return e;
        if (!o->hashed)
            break;
        o->hashed = false;
        hash_end(&o->hash, o->sum);
        if (!o->digest)
            break;
        memcpy(o->small, o->sum, SHA256_BYTES);
        o->small_len = SHA256_BYTES;
    }
    if (o->end) {
        o->end = false;
        stream_shutdown_write(f->stream);
    }
    return 1;
}

/* A reset of what we answer is told either by an event or by a write that fails. */
static void count_reset(struct flow *f) {
    if (f->kind == FLOW_SERVE_REVERSE && f->in.head_len == FLOW_HEAD_BYTES)
        f->owner->counters.resets++;
}

/* May free the flow. */
static void send_on(struct flow *f) {
    bool was_held = f->out.held && f->out.small_len > 0;
    int e = send_all(f);
    if (e < 0) {
        count_reset(f);
        finish(f, e);
    } else if (was_held && f->out.small_len == 0) {
        batch_flow_ready(f->batch);
    }
}

void flow_let_go(struct flow *f) {
    if (!f->out.held)
        return;
    f->out.held = false;
    if (f->stream != NULL)
        send_on(f);
}

/* --- Receiving --- */

static void take(uint8_t *to, uint32_t *len, uint32_t max, struct bytes *in) {
    uint32_t n = (uint32_t)MIN(in->len, (size_t)(max - *len));
    memcpy(to + *len, in->data, n);
    *len += n;
    *in = bytes_of(in->data + n, in->len - n);
}

static void plan_pattern(struct flow *f, uint64_t body, bool digest) {
    f->out.body_left = body;
    f->out.hashed = true;
    f->out.digest = digest;
    f->out.end = true;
    hash_begin(&f->out.hash);
}

/* The eight bytes in front are there.  1: go on; else what the flow ends with. */
static int on_head(struct flow *f) {
    uint64_t v = get_u64(f->in.head);
    switch (f->kind) {
    case FLOW_SERVE_SUM:
        f->in.body_wanted = UINT64_MAX;
        return 1;
    case FLOW_SERVE_REVERSE:
        if (v > ANSWER_BYTES_MAX)
            return -ERR_LIMIT;
        plan_pattern(f, v, true);
        return 1;
    case FLOW_SERVE_RESET:
        return -ERR_STREAM_RESET; /* which was asked for */
    case FLOW_RESET:
        return 0;
    case FLOW_SUM:
    case FLOW_REVERSE:
    case FLOW_PERF:
    case FLOW_PING:
    case FLOW_OPEN:
        break;
    }
    return 1;
}

static void send_ball(struct flow *f) {
    fill_pattern(f->out.small, FLOW_PING_BYTES, 0, f->rounds_left);
    f->out.small_len = FLOW_PING_BYTES;
    f->in.small_len = 0;
    f->sent_at = reactor_now(f->owner->reactor);
}

static int on_ball(struct flow *f) {
    uint8_t expected[FLOW_PING_BYTES];
    fill_pattern(expected, FLOW_PING_BYTES, 0, f->rounds_left);
    if (memcmp(expected, f->in.small, FLOW_PING_BYTES) != 0)
        return -ERR_PROTOCOL_VIOLATION;
    batch_note_rtt(f->batch, reactor_now(f->owner->reactor) - f->sent_at);
    if (--f->rounds_left > 0) {
        send_ball(f);
        return 1;
    }
    stream_shutdown_write(f->stream);
    return 0;
}

/* 1: go on; else what the flow ends with. */
static int on_bytes(struct flow *f, struct bytes in) {
    if (f->in.head_len < f->in.head_wanted) {
        take(f->in.head, &f->in.head_len, f->in.head_wanted, &in);
        if (f->in.head_len == f->in.head_wanted) {
            int verdict = on_head(f);
            if (verdict <= 0)
                return verdict;
        }
    }
    if (f->kind == FLOW_PERF && (f->out.small_len > 0 || f->out.body_left > 0))
        batch_note_early(f->batch);
    size_t body = (size_t)MIN((uint64_t)in.len, f->in.body_wanted - f->in.body_got);
    hash_add(&f->in.hash, bytes_of(in.data, body));
    f->in.body_got += body;
    in = bytes_of(in.data + body, in.len - body);
    take(f->in.small, &f->in.small_len, FLOW_SMALL_MAX, &in);
    if (f->kind == FLOW_PING && f->in.small_len >= FLOW_PING_BYTES)
        return on_ball(f);
    return 1;
}

static bool small_is(const struct flow *f, const uint8_t digest[SHA256_BYTES]) {
    return f->in.small_len == SHA256_BYTES && memcmp(f->in.small, digest, SHA256_BYTES) == 0;
}

static void on_sum_end(struct flow *f) {
    if (f->in.head_len < FLOW_HEAD_BYTES || f->in.body_got != get_u64(f->in.head)) {
        finish(f, -ERR_TRUNCATED);
        return;
    }
    hash_end(&f->in.hash, f->out.small);
    f->out.small_len = SHA256_BYTES;
    f->out.end = true;
    int e = send_all(f); /* 32 bytes find room at the end of a stream that carried nothing back */
    if (e > 0)
        f->owner->counters.sums++;
    finish(f, e > 0 ? 0 : -ERR_RESOURCE_LIMIT);
}

static void on_reverse_end(struct flow *f) {
    uint8_t digest[SHA256_BYTES];
    hash_end(&f->in.hash, digest);
    if (f->in.body_got != f->size || !small_is(f, digest)) {
        finish(f, -ERR_PROTOCOL_VIOLATION);
        return;
    }
    memcpy(f->out.small, digest, SHA256_BYTES);
    f->out.small_len = SHA256_BYTES;
    f->out.end = true;
    int e = send_all(f);
    finish(f, e > 0 ? 0 : -ERR_RESOURCE_LIMIT);
}

/* The peer's end.  Ends the flow, or leaves the rest to what is still being sent. */
static void on_end(struct flow *f) {
    bool good = true;
    switch (f->kind) {
    case FLOW_SERVE_SUM:
        on_sum_end(f);
        return;
    case FLOW_REVERSE:
        on_reverse_end(f);
        return;
    case FLOW_SERVE_REVERSE:
        good = small_is(f, f->out.sum);
        f->owner->counters.reverses += good;
        break;
    case FLOW_SUM:
        good = small_is(f, f->out.sum);
        break;
    case FLOW_PERF:
    case FLOW_OPEN:
        batch_note_bytes(f->batch, f->in.body_got);
        break;
    case FLOW_SERVE_RESET:
    case FLOW_RESET:
    case FLOW_PING:
        good = false;
        break;
    }
    finish(f, good ? 0 : -ERR_PROTOCOL_VIOLATION);
}

static void on_readable(struct stream *s) {
    struct flow *f = stream_user(s);
    struct slice in[READ_SLICES];
    int verdict = 1;
    ssize_t n = 0;
    while (verdict > 0 && (n = stream_read(s, in, READ_SLICES)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (verdict > 0)
                verdict = on_bytes(f, slice_bytes(&in[i]));
            stream_consume(s, &in[i]);
        }
    }
    if (verdict <= 0)
        finish(f, verdict);
    else if (n == -ENODATA)
        on_end(f);
    else
        send_on(f);
}

static void on_writable(struct stream *s) {
    send_on(stream_user(s));
}

static void on_stopped(struct stream *s, uint64_t code) {
    struct flow *f = stream_user(s);
    (void)code;
    /* Behind its own end a peer may say that it reads no more: nothing is missing then. */
    if (f->out.body_left == 0 && f->out.small_len == 0 && f->out.chunk.len == 0)
        return;
    count_reset(f);
    finish(f, -ERR_STREAM_RESET);
}

static void on_reset(struct stream *s, uint64_t code) {
    struct flow *f = stream_user(s);
    (void)code;
    count_reset(f);
    finish(f, -ERR_STREAM_RESET);
}

static void on_closed(struct stream *s, int error) {
    finish(stream_user(s), error < 0 ? error : -ERR_STREAM_RESET);
}

static const struct stream_events events = {
    .readable = on_readable,
    .writable = on_writable,
    .stopped = on_stopped,
    .reset = on_reset,
    .closed = on_closed,
};

/* --- Using --- */

static void on_opened(struct stream_request *r, struct stream *s, int error) {
    struct flow *f = CONTAINER_OF(r, struct flow, request);
    f->opening = false;
    if (error < 0) {
        finish(f, error);
        return;
    }
    f->stream = s;
    stream_set_events(s, &events, f);
    send_on(f);
}

/* What each kind sends and expects. */
static void plan_out(struct flow *f, const struct flow_plan *plan) {
    struct flow_out *o = &f->out;
    put_u64(o->small, plan->kind == FLOW_RESET ? RESET_ANSWER_BYTES : plan->size);
    o->small_len = FLOW_HEAD_BYTES;
    o->held = plan->held;
    switch (plan->kind) {
    case FLOW_SUM:
        plan_pattern(f, plan->size, false);
        break;
    case FLOW_PERF:
        o->body_left = plan->up;
        o->zeros = true;
        o->end = true;
        break;
    case FLOW_OPEN:
        o->small_len = 0;
        o->body_left = plan->size;
        o->zeros = true;
        break;
    case FLOW_PING:
        send_ball(f);
        break;
    case FLOW_RESET:
    case FLOW_REVERSE:
    case FLOW_SERVE_SUM:
    case FLOW_SERVE_REVERSE:
    case FLOW_SERVE_RESET:
        break;
    }
}

static void plan_in(struct flow *f, const struct flow_plan *plan) {
    hash_begin(&f->in.hash);
    if (plan->kind == FLOW_RESET)
        f->in.head_wanted = FLOW_HEAD_BYTES;
    else if (plan->kind == FLOW_REVERSE)
        f->in.body_wanted = plan->size;
    else if (plan->kind == FLOW_PERF || plan->kind == FLOW_OPEN)
        f->in.body_wanted = UINT64_MAX;
}

void flow_start(struct flow *f, struct node *n, struct batch *b, const struct flow_plan *plan,
                uint8_t tag, nsec_t deadline) {
    *f = (struct flow){.owner = n, .batch = b, .kind = plan->kind, .size = plan->size};
    list_init(&f->node);
    f->rounds_left = plan->rounds;
    f->out.tag = tag;
    plan_out(f, plan);
    plan_in(f, plan);
    f->opening = true;
    host_open_stream_with(n->host, &f->request, &plan->peer, plan->protocol, HOST_REQUEST_LIMITED,
                          deadline, on_opened);
}

/* --- Serving --- */

static void serve(struct node *n, struct stream *s, enum flow_kind kind) {
    struct flow *f = node_alloc(sizeof(*f));
    f->owner = n;
    f->kind = kind;
    f->stream = s;
    f->in.head_wanted = FLOW_HEAD_BYTES;
    hash_begin(&f->in.hash);
    list_init(&f->node);
    list_push(&n->flows, &f->node);
    stream_set_events(s, &events, f);
}

static void on_sum(struct protocol_handler *h, struct stream *s) {
    serve(CONTAINER_OF(h, struct node, handlers[0]), s, FLOW_SERVE_SUM);
}

static void on_reverse(struct protocol_handler *h, struct stream *s) {
    serve(CONTAINER_OF(h, struct node, handlers[1]), s, FLOW_SERVE_REVERSE);
}

static void on_reset_wanted(struct protocol_handler *h, struct stream *s) {
    serve(CONTAINER_OF(h, struct node, handlers[2]), s, FLOW_SERVE_RESET);
}

void flow_serve(struct node *n) {
    static const struct protocol_handler served[SERVED_PROTOCOLS] = {
        {.protocol = SUM_PROTOCOL, .accept = on_sum},
        {.protocol = REVERSE_PROTOCOL, .accept = on_reverse},
        {.protocol = RESET_PROTOCOL, .accept = on_reset_wanted},
    };
    for (int i = 0; i < SERVED_PROTOCOLS; i++) {
        n->handlers[i] = served[i];
        n->handlers[i].protocol_class = CLASS_ANY;
        if (host_handle(n->host, &n->handlers[i]) < 0)
            abort();
    }
}

void flow_stop_served(struct node *n) {
    while (!list_is_empty(&n->flows)) {
        struct flow *f = LIST_ENTRY(n->flows.next, struct flow, node);
        assert(is_served(f));
        flow_stop(f);
        free(f);
    }
}

/* SPDX-License-Identifier: MIT */
#include "tests/interop/node/batch.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"

/* How long refused ones rest when none is left whose end they could wait for. */
#define QUEUE_REST MSEC(50)

struct batch {
    struct list node;
    struct node *owner;
    struct flow_plan plan;
    char protocol[128];
    struct list running;
    struct list refused; /* that wait for another's end */
    struct timer timer;  /* the command's end */
    struct timer rest;
    struct deferred work; /* lets go, or ends */
    nsec_t deadline;
    uint32_t left;     /* flows that are not over */
    uint32_t not_sent; /* heads */
    uint32_t failed;
    uint32_t refusals; /* that were queued */
    int error;         /* of the first that failed */
    bool queue;
    bool let_go;
    json_t *reply;
    json_t *rtts;
};

static void free_batch(struct batch *b) {
    while (!list_is_empty(&b->running)) {
        struct flow *f = LIST_ENTRY(b->running.next, struct flow, node);
        flow_stop(f);
        free(f);
    }
    struct list *node;
    while ((node = list_shift(&b->refused)) != NULL)
        free(LIST_ENTRY(node, struct flow, node));
    timer_done(&b->timer);
    timer_done(&b->rest);
    deferred_cancel(&b->work);
    list_remove(&b->node);
    json_decref(b->reply);
    free(b);
}

static void fail_reply(struct batch *b, const char *what) {
    char text[256];
    (void)snprintf(text, sizeof(text), "%u failed, %u open: %s", b->failed, b->left, what);
    (void)json_object_set_new(b->reply, "error", json_string(text));
}

static void outcome_reply(struct batch *b) {
    const char *outcome = "end";
    if (b->error == -ERR_PROTOCOL_NOT_SUPPORTED)
        outcome = "not opened";
    else if (b->error == -ERR_STREAM_RESET)
        outcome = "reset";
    else if (b->error < 0)
        outcome = "error";
    (void)json_object_set_new(b->reply, "outcome", json_string(outcome));
    (void)json_object_set_new(b->reply, "text", json_string(err_text(b->error)));
}

static void end(struct batch *b) {
    if (b->plan.kind == FLOW_OPEN)
        outcome_reply(b);
    else if (b->error < 0)
        fail_reply(b, err_text(b->error));
    if (b->queue)
        (void)json_object_set_new(b->reply, "refusals", json_integer(b->refusals));
    node_write(json_incref(b->reply));
    free_batch(b);
}

static void on_timeout(struct timer *t) {
    struct batch *b = CONTAINER_OF(t, struct batch, timer);
    fail_reply(b, "timed out");
    node_write(json_incref(b->reply));
    free_batch(b);
}

static void start_flow(struct batch *b, struct flow *f, uint8_t tag) {
    flow_start(f, b->owner, b, &b->plan, tag, b->deadline);
    list_push(&b->running, &f->node);
}

static void retry_one(struct batch *b) {
    struct list *node = list_shift(&b->refused);
    if (node != NULL) {
        struct flow *f = LIST_ENTRY(node, struct flow, node);
        start_flow(b, f, f->out.tag);
    }
}

static void on_rest(struct timer *t) {
    retry_one(CONTAINER_OF(t, struct batch, rest));
}

/* What a peer may do with a stream beyond its limits. */
static bool is_refusal(int error) {
    return error == -ERR_STREAM_RESET || error == -ERR_RESOURCE_LIMIT || error == -EPIPE ||
           error == -ERR_TRUNCATED || error == -ERR_PROTOCOL_NOT_SUPPORTED;
}

void batch_flow_ended(struct batch *b, struct flow *f, int error) {
    if (f->out.held && f->out.small_len > 0)
        batch_flow_ready(b);
    if (b->queue && is_refusal(error)) {
        b->refusals++;
        list_push(&b->refused, &f->node);
        if (list_is_empty(&b->running))
            timer_start(&b->rest, reactor_now(b->owner->reactor) + QUEUE_REST);
        return;
    }
    free(f);
    b->left--;
    if (error < 0) {
        b->failed++;
        if (b->error == 0)
            b->error = error;
    }
    retry_one(b);
    reactor_defer(b->owner->reactor, &b->work);
}

void batch_flow_ready(struct batch *b) {
    if (--b->not_sent == 0) {
        b->let_go = true;
        reactor_defer(b->owner->reactor, &b->work);
    }
}

/* At the end of the turn, so that no flow is walked over while another is being freed. */
static void work(struct deferred *d) {
    struct batch *b = CONTAINER_OF(d, struct batch, work);
    if (b->left == 0) {
        end(b);
        return;
    }
    if (!b->let_go)
        return;
    b->let_go = false;
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &b->running);
    struct list *node;
    while ((node = list_shift(&waiting)) != NULL) {
        list_push(&b->running, node);
        flow_let_go(LIST_ENTRY(node, struct flow, node));
    }
}

void batch_note_rtt(struct batch *b, nsec_t rtt) {
    if (b->rtts == NULL) {
        b->rtts = json_array();
        (void)json_object_set_new(b->reply, "rtt_us", b->rtts);
    }
    (void)json_array_append_new(b->rtts, json_integer((json_int_t)(rtt / USEC(1))));
}

void batch_note_bytes(struct batch *b, uint64_t bytes) {
    const char *name = b->plan.kind == FLOW_PERF ? "received" : "bytes";
    (void)json_object_set_new(b->reply, name, json_integer((json_int_t)bytes));
}

void batch_note_early(struct batch *b) {
    (void)json_object_set_new(b->reply, "early", json_true());
}

void batch_start(struct node *n, const struct flow_plan *plan, uint32_t count, bool queue,
                 nsec_t deadline, json_t *reply) {
    struct batch *b = node_alloc(sizeof(*b));
    b->owner = n;
    b->plan = *plan;
    (void)snprintf(b->protocol, sizeof(b->protocol), "%s", plan->protocol);
    b->plan.protocol = b->protocol;
    b->deadline = deadline;
    b->queue = queue;
    b->left = b->not_sent = count;
    b->reply = reply;
    if (plan->kind == FLOW_PERF)
        (void)json_object_set_new(reply, "early", json_false());
    list_init(&b->running);
    list_init(&b->refused);
    list_init(&b->node);
    list_push(&n->batches, &b->node);
    deferred_init(&b->work, work);
    if (timer_init(&b->timer, n->reactor, on_timeout) < 0 ||
        timer_init(&b->rest, n->reactor, on_rest) < 0)
        abort();
    timer_start(&b->timer, deadline);
    for (uint32_t i = 0; i < count; i++)
        start_flow(b, node_alloc(sizeof(struct flow)), (uint8_t)i);
    reactor_defer(n->reactor, &b->work);
}

void batch_stop_all(struct node *n) {
    while (!list_is_empty(&n->batches))
        free_batch(LIST_ENTRY(n->batches.next, struct batch, node));
}

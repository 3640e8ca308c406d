/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "relay/proto/circuit_msg.h"
#include "tests/interop/node/batch.h"
#include "tests/interop/node/node.h"

enum { TIMEOUT_MS = 20000 };

/* A line, and what most commands need of it. */
struct command {
    struct node *node;
    json_t *args;
    json_t *reply; /* with the ID */
    struct peer_id peer;
    nsec_t deadline;
};

static void answer(struct command *c, const char *error) {
    if (error != NULL)
        (void)json_object_set_new(c->reply, "error", json_string(error));
    node_write(json_incref(c->reply));
}

static const char *text_of(const struct command *c, const char *name) {
    const char *text = json_string_value(json_object_get(c->args, name));
    return text == NULL ? "" : text;
}

static uint64_t number_of(const struct command *c, const char *name) {
    return (uint64_t)json_integer_value(json_object_get(c->args, name));
}

/* --- Connections --- */

struct dialling {
    struct connect_request request;
    json_t *reply;
};

/* What a relay answered, of which the host knows the error alone; 0: no relay did. */
static int status_of(int error) {
    switch (error) {
    case -ERR_RESOURCE_LIMIT:
        return CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED;
    case -ERR_RELAY_REFUSED:
        return CIRCUIT_STATUS_PERMISSION_DENIED;
    case -ERR_NO_RESERVATION:
        return CIRCUIT_STATUS_NO_RESERVATION;
    default:
        return 0;
    }
}

static void on_connected(struct connect_request *r, const struct multiaddr *remote, int error) {
    struct dialling *d = CONTAINER_OF(r, struct dialling, request);
    (void)remote;
    if (error < 0) {
        if (status_of(error) != 0)
            (void)json_object_set_new(d->reply, "status", json_integer(status_of(error)));
        const char *why = r->base.problem.text;
        (void)json_object_set_new(d->reply, "error",
                                  json_string(why[0] == '\0' ? err_text(error) : why));
    }
    node_write(d->reply);
    free(d);
}

static void cmd_dial(struct command *c) {
    struct multiaddr addr, transport;
    struct peer_id peer = PEER_ID_NONE;
    int e = multiaddr_parse(text_of(c, "addr"), &addr);
    if (e == 0)
        e = multiaddr_split_peer(&addr, &transport, &peer);
    if (e == 0 && peer_id_is_none(&peer))
        e = -ERR_BAD_PEER_ID;
    if (e == 0)
        e = host_add_addrs(c->node->host, &peer, &transport, 1);
    if (e < 0) {
        answer(c, err_text(e));
        return;
    }
    char id[PEER_ID_TEXT_MAX];
    struct dialling *d = node_alloc(sizeof(*d));
    d->reply = json_incref(c->reply);
    (void)json_object_set_new(d->reply, "peer", json_string(peer_id_format(&peer, id)));
    host_connect_with(c->node->host, &d->request, &peer, HOST_REQUEST_LIMITED, c->deadline,
                      on_connected);
}

static void cmd_reserve(struct command *c) {
    struct multiaddr relay;
    int e = multiaddr_parse(text_of(c, "addr"), &relay);
    if (e < 0)
        answer(c, err_text(e));
    else
        node_reserve(c->node, &relay, c->deadline, json_incref(c->reply));
}

static void cmd_probe(struct command *c) {
    struct multiaddr addr;
    int e = multiaddr_parse(text_of(c, "addr"), &addr);
    if (e < 0)
        answer(c, err_text(e));
    else
        node_probe(c->node, &c->peer, &addr, json_incref(c->reply));
}

static void cmd_stats(struct command *c) {
    const struct counters *n = &c->node->counters;
    (void)json_object_set_new(c->reply, "sums", json_integer(n->sums));
    (void)json_object_set_new(c->reply, "reverses", json_integer(n->reverses));
    (void)json_object_set_new(c->reply, "resets", json_integer(n->resets));
    answer(c, NULL);
}

/* --- Streams --- */

static void start(struct command *c, struct flow_plan plan, uint32_t count) {
    bool queue = json_is_true(json_object_get(c->args, "queue"));
    plan.peer = c->peer;
    plan.size = number_of(c, plan.kind == FLOW_PERF ? "down" : "size");
    plan.held = plan.kind == FLOW_SUM && !queue;
    batch_start(c->node, &plan, count, queue, c->deadline, json_incref(c->reply));
}

static void cmd_ping(struct command *c) {
    uint32_t rounds = (uint32_t)number_of(c, "count");
    start(c, (struct flow_plan){FLOW_PING, .protocol = PING_PROTOCOL, .rounds = rounds}, 1);
}

static void cmd_perf(struct command *c) {
    start(c, (struct flow_plan){FLOW_PERF, .protocol = PERF_PROTOCOL, .up = number_of(c, "up")}, 1);
}

static void cmd_sum(struct command *c) {
    start(c, (struct flow_plan){FLOW_SUM, .protocol = SUM_PROTOCOL},
          (uint32_t)number_of(c, "count"));
}

static void cmd_reverse(struct command *c) {
    start(c, (struct flow_plan){FLOW_REVERSE, .protocol = REVERSE_PROTOCOL},
          (uint32_t)number_of(c, "count"));
}

static void cmd_reset(struct command *c) {
    start(c, (struct flow_plan){FLOW_RESET, .protocol = REVERSE_PROTOCOL}, 1);
}

static void cmd_open(struct command *c) {
    start(c, (struct flow_plan){FLOW_OPEN, .protocol = text_of(c, "proto")}, 1);
}

/* --- All of them --- */

static const struct {
    const char *name;
    void (*run)(struct command *c);
    bool needs_peer;
} commands[] = {
    {"dial", cmd_dial, false},  {"stats", cmd_stats, false}, {"ping", cmd_ping, true},
    {"perf", cmd_perf, true},   {"sum", cmd_sum, true},      {"reverse", cmd_reverse, true},
    {"reset", cmd_reset, true}, {"open", cmd_open, true},    {"reserve", cmd_reserve, false},
    {"probe", cmd_probe, true},
};

static void execute(struct command *c) {
    const char *name = text_of(c, "cmd");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (commands[i].needs_peer && peer_id_parse(text_of(c, "peer"), &c->peer) < 0)
            answer(c, "no such peer ID");
        else
            commands[i].run(c);
        return;
    }
    answer(c, "no such command");
}

void node_execute(struct node *n, const char *line) {
    json_error_t problem;
    struct command c = {.node = n, .args = json_loads(line, 0, &problem)};
    if (c.args == NULL)
        abort();
    uint64_t timeout_ms = number_of(&c, "timeout_ms");
    c.deadline = reactor_now(n->reactor) + MSEC(timeout_ms == 0 ? TIMEOUT_MS : timeout_ms);
    c.reply = json_object();
    (void)json_object_set(c.reply, "id", json_object_get(c.args, "id"));
    execute(&c);
    json_decref(c.reply);
    json_decref(c.args);
}

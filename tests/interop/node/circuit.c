/* SPDX-License-Identifier: MIT */
/* Reservations on relays, told by their difference from the last look. */

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/problem.h"
#include "relay/circuit_transport.h"
#include "relay/reservations.h"
#include "tests/interop/node/node.h"

struct reserving {
    struct list node;
    struct peer_id relay;
    struct reservations *reservations;
    nsec_t told_at; /* of the grant that was told; 0: none */
    json_t *reply;  /* NULL: the command is done */
    struct timer timer;
    bool failed; /* while the command waited */
};

void node_use_circuits(struct node *n, unsigned securities) {
    struct circuit_transport_config cfg = {
        .reactor = n->reactor, .host = n->host, .securities = securities};
    if (circuit_transport_new(&cfg, &n->circuit) < 0)
        abort();
}

json_t *node_limit_json(bool is_there, uint32_t duration_s, uint64_t data_bytes) {
    if (!is_there)
        return json_null();
    return json_pack("{s:I, s:I}", "duration", (json_int_t)duration_s, "data",
                     (json_int_t)data_bytes);
}

/* --- The command --- */

static void answer(struct reserving *r, const char *error) {
    if (r->reply == NULL)
        return;
    if (error != NULL)
        (void)json_object_set_new(r->reply, "error", json_string(error));
    node_write(TAKE(r->reply));
    timer_stop(&r->timer);
}

static void free_reserving(struct reserving *r) {
    r->reservations = reservations_free(r->reservations);
    timer_done(&r->timer);
    json_decref(r->reply);
    list_remove(&r->node);
    free(r);
}

static void on_timeout(struct timer *t) {
    struct reserving *r = CONTAINER_OF(t, struct reserving, timer);
    answer(r, "timed out");
    free_reserving(r);
}

static struct reserving *find(struct node *n, const struct peer_id *relay) {
    list_for_each (node, &n->reservings) {
        struct reserving *r = LIST_ENTRY(node, struct reserving, node);
        if (peer_id_equal(&r->relay, relay))
            return r;
    }
    return NULL;
}

bool node_reserves_on(struct node *n, const struct peer_id *relay) {
    return find(n, relay) != NULL;
}

static struct reserving *new_reserving(struct node *n, const struct peer_id *relay) {
    struct reserving *r = node_alloc(sizeof(*r));
    r->relay = *relay;
    if (timer_init(&r->timer, n->reactor, on_timeout) < 0)
        abort();
    list_init(&r->node);
    list_push(&n->reservings, &r->node);
    return r;
}

void node_reserve(struct node *n, const struct multiaddr *relay, nsec_t deadline, json_t *reply) {
    struct problem problem = PROBLEM_INIT;
    struct multiaddr addr;
    struct peer_id id;
    struct reservations_config cfg = {.reactor = n->reactor,
                                      .host = n->host,
                                      .circuit = n->circuit,
                                      .log = reactor_log(n->reactor),
                                      .relays = relay,
                                      .relays_count = 1,
                                      .renew_interval = NSEC_NEVER,
                                      .reserves = true};
    int e = n->circuit == NULL ? -ERR_UNSUPPORTED : multiaddr_split_peer(relay, &addr, &id);
    if (e < 0) {
        (void)json_object_set_new(reply, "error", json_string(err_text(e)));
        node_write(reply);
        return;
    }
    /* Where one is kept already, the relay is asked anew. */
    struct reserving *r = find(n, &id);
    if (r == NULL)
        r = new_reserving(n, &id);
    answer(r, "there is another command");
    r->reservations = reservations_free(r->reservations);
    r->reply = reply;
    timer_start(&r->timer, deadline);
    if (reservations_new(&cfg, &problem, &r->reservations) < 0) {
        answer(r, problem.text);
        free_reserving(r);
    }
}

/* --- The events --- */

static json_t *addrs_json(const struct reservation_info *info) {
    json_t *list = json_array();
    char text[MULTIADDR_TEXT_MAX];
    for (size_t i = 0; i < info->told_count; i++) {
        struct multiaddr addr = info->told[i];
        if (multiaddr_add_peer(&addr, &info->relay) == 0)
            (void)json_array_append_new(list, json_string(multiaddr_format(&addr, text)));
    }
    return list;
}

static void tell_granted(struct reserving *r, const struct reservation_info *info) {
    const struct reservation_grant *g = &info->last;
    char id[PEER_ID_TEXT_MAX];
    node_write(json_pack("{s:s, s:s, s:b, s:I, s:o, s:b, s:o}", "event", "reserved", "relay",
                         peer_id_format(&r->relay, id), "renewal", r->told_at != 0, "expire",
                         (json_int_t)g->expire, "addrs", addrs_json(info), "voucher",
                         g->has_voucher, "limit",
                         node_limit_json(g->has_limit, g->limit.duration_s, g->limit.data_bytes)));
    r->told_at = g->at;
    answer(r, NULL);
}

static void on_info(void *user, const struct reservation_info *info) {
    struct reserving *r = user;
    if (info->last.at != 0 && info->last.at != r->told_at) {
        tell_granted(r, info);
    } else if (info->error < 0 && r->reply != NULL) {
        if (info->status != 0)
            (void)json_object_set_new(r->reply, "status", json_integer(info->status));
        answer(r, err_text(info->error));
        r->failed = true;
    }
}

void node_report_reservations(struct node *n) {
    list_for_each_safe (node, &n->reservings) {
        struct reserving *r = LIST_ENTRY(node, struct reserving, node);
        reservations_each(r->reservations, on_info, r);
        if (r->failed)
            free_reserving(r);
    }
}

void node_stop_reserving(struct node *n) {
    while (!list_is_empty(&n->reservings))
        free_reserving(LIST_ENTRY(n->reservings.next, struct reserving, node));
}

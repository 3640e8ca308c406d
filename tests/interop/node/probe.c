/* SPDX-License-Identifier: MIT */
/* AutoNAT: questions by command, and a server with events about what it found. */

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "relay/autonat_question.h"
#include "relay/autonat_service.h"
#include "relay/autonat_v1_prober.h"
#include "relay/autonat_v1_service.h"
#include "relay/dial_backs.h"
#include "relay/stranger.h"
#include "tests/interop/node/node.h"

struct asking {
    struct list node;
    struct autonat_question *question;
    json_t *reply;
};

/* --- The client --- */

static void end_asking(struct asking *a) {
    a->question = autonat_question_free(a->question);
    list_remove(&a->node);
    node_write(a->reply);
    free(a);
}

static void on_done(void *user, const struct autonat_result *result) {
    static const char *const verdicts[] = {[AUTONAT_NO_VERDICT] = "none",
                                           [AUTONAT_REACHABLE] = "reachable",
                                           [AUTONAT_UNREACHABLE] = "unreachable",
                                           [AUTONAT_REFUSED] = "refused",
                                           [AUTONAT_REJECTED] = "rejected"};
    struct asking *a = user;
    if (result->verdict == AUTONAT_FAILED)
        (void)json_object_set_new(a->reply, "error", json_string(err_text(result->error)));
    else
        (void)json_object_set_new(a->reply, "verdict", json_string(verdicts[result->verdict]));
    end_asking(a);
}

/* --- The client of v1 --- */

static size_t on_more_addrs(void *user, struct multiaddr *out, size_t max) {
    const struct node *n = user;
    if (max == 0 || n->v1_reply == NULL)
        return 0;
    out[0] = n->v1_addr;
    return 1;
}

static void on_v1_verdict(void *user) {
    struct node *n = user;
    bool is_public = autonat_v1_prober_reach(n->v1_prober, NET_IP4) == AUTONAT_V1_PUBLIC;
    if (n->v1_reply == NULL)
        return;
    (void)json_object_set_new(n->v1_reply, "verdict",
                              json_string(is_public ? "reachable" : "unreachable"));
    node_write(TAKE(n->v1_reply));
}

static int open_v1_client(struct node *n) {
    struct autonat_v1_prober_config cfg = {.reactor = n->reactor,
                                           .host = n->host,
                                           .more_addrs = on_more_addrs,
                                           .changed = on_v1_verdict,
                                           .user = n};
    return autonat_v1_prober_new(&cfg, &n->v1_prober);
}

/* Of the one server that it is connected to. */
static void probe_by_v1(struct node *n, const struct multiaddr *addr, json_t *reply) {
    n->v1_addr = *addr;
    n->v1_reply = reply;
    autonat_v1_prober_ask(n->v1_prober);
}

void node_probe(struct node *n, const struct peer_id *server, const struct multiaddr *addr,
                json_t *reply) {
    if (n->v1_prober != NULL && n->v1_reply == NULL) {
        probe_by_v1(n, addr, reply);
        return;
    }
    if (n->dial_backs == NULL) {
        (void)json_object_set_new(reply, "error", json_string("-autonat is off"));
        node_write(reply);
        return;
    }
    struct asking *a = node_alloc(sizeof(*a));
    struct autonat_question_config cfg = {.reactor = n->reactor,
                                          .host = n->host,
                                          .dial_backs = n->dial_backs,
                                          .server = server,
                                          .addrs = addr,
                                          .addrs_count = 1,
                                          .done = on_done,
                                          .user = a};
    a->reply = reply;
    list_init(&a->node);
    list_push(&n->askings, &a->node);
    if (autonat_question_new(&cfg, &a->question) < 0)
        abort();
}

/* --- The server --- */

static void on_served(void *user, const struct autonat_served *what) {
    char text[MULTIADDR_TEXT_MAX];
    (void)user;
    json_t *event = json_pack("{s:s, s:b, s:b}", "event", "probed", "reached", what->is_reached,
                              "data", what->has_data);
    if (what->addr != NULL)
        (void)json_object_set_new(event, "addr", json_string(multiaddr_format(what->addr, text)));
    node_write(event);
}

static int open_server(struct node *n) {
    struct autonat_service_config cfg = {.reactor = n->reactor,
                                         .host = n->host,
                                         .stranger = n->stranger,
                                         .log = reactor_log(n->reactor),
                                         .served = on_served,
                                         .user = n};
    return autonat_service_new(&cfg, &n->autonat);
}

static int open_v1_server(struct node *n) {
    struct autonat_v1_service_config cfg = {
        .reactor = n->reactor, .host = n->host, .stranger = n->stranger};
    return autonat_v1_service_new(&cfg, &n->v1_server);
}

/* --- Both --- */

int node_use_autonat(struct node *n, const char *part) {
    if (strcmp(part, "off") == 0)
        return 0;
    if (strcmp(part, "client") == 0)
        return dial_backs_new(n->reactor, n->host, &n->dial_backs);
    if (strcmp(part, "v1-client") == 0)
        return open_v1_client(n);
    bool is_v1 = strcmp(part, "v1-server") == 0;
    if (!is_v1 && strcmp(part, "server") != 0)
        return -EINVAL;
    int e = stranger_new(n->reactor, &n->stranger);
    if (e < 0)
        return e;
    return is_v1 ? open_v1_server(n) : open_server(n);
}

static void on_closed(void *user) {
    struct node *n = user;
    n->stranger_closed = true;
}

void node_stop_autonat(struct node *n) {
    while (!list_is_empty(&n->askings)) {
        struct asking *a = LIST_ENTRY(n->askings.next, struct asking, node);
        (void)json_object_set_new(a->reply, "error", json_string("the node ends"));
        end_asking(a);
    }
    n->dial_backs = dial_backs_free(n->dial_backs);
    if (n->v1_reply != NULL)
        json_decref(TAKE(n->v1_reply));
    n->v1_prober = autonat_v1_prober_free(n->v1_prober);
    n->autonat = autonat_service_free(n->autonat);
    n->v1_server = autonat_v1_service_free(n->v1_server);
    if (n->stranger == NULL)
        return;
    stranger_close(n->stranger, on_closed, n);
    while (!n->stranger_closed)
        if (reactor_turn(n->reactor, reactor_now(n->reactor) + SEC(1)) < 0)
            exit(1);
    n->stranger = stranger_free(n->stranger);
}

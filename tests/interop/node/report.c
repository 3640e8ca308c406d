/* SPDX-License-Identifier: MIT */
/* Which connections there are, told by their difference from the last look; and who the peer says
 * that it is.  The host keeps the agent of that and no more, so when it is done we ask the peer
 * once more for the rest.  (js allows one stream of identify at a time.) */

#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "tests/interop/node/node.h"
#include "transport/conn.h"
#include "transport/proto/identify.h"

#define IDENTIFY_PROTOCOL "/ipfs/id/1.0.0"

struct reported {
    struct list node;
    struct node *owner;
    struct conn_info info;
    char agent[IDENTIFY_AGENT_SIZE]; /* that the host knows */
    bool here;                       /* seen in this look */
    struct stream_request request;
    bool opening;
    struct stream *stream;
    struct identify_reader reader;
    bool asked;
};

/* --- What identify tells --- */

static json_t *protocols_json(const struct identify_message *m) {
    json_t *list = json_array();
    struct identify_walk w = identify_protocols(m);
    struct bytes name;
    while (identify_next_protocol(&w, &name))
        (void)json_array_append_new(list, json_stringn((const char *)name.data, name.len));
    return list;
}

static json_t *addrs_json(const struct identify_message *m, const struct peer_id *peer) {
    json_t *list = json_array();
    struct identify_walk w = identify_addrs(m, peer);
    struct multiaddr addr;
    char text[MULTIADDR_TEXT_MAX];
    while (identify_next_addr(&w, &addr))
        (void)json_array_append_new(list, json_string(multiaddr_format(&addr, text)));
    return list;
}

static void tell_identified(const struct reported *r, const struct identify_message *m) {
    char id[PEER_ID_TEXT_MAX], observed[MULTIADDR_TEXT_MAX] = "";
    struct multiaddr addr;
    if (multiaddr_decode(m->observed, &addr) == 0)
        (void)multiaddr_format(&addr, observed);
    node_write(json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "event", "identified", "peer",
                         peer_id_format(&r->info.peer, id), "agent", r->agent, "protocol_version",
                         "", "observed", observed, "protocols", protocols_json(m), "listen",
                         addrs_json(m, &r->info.peer)));
}

static void end_reading(struct reported *r) {
    identify_reader_done(&r->reader);
    r->stream = stream_release(r->stream);
}

static void on_readable(struct stream *s) {
    struct reported *r = stream_user(s);
    nsec_t now = reactor_now(r->owner->reactor);
    struct slice in;
    ssize_t n;
    while ((n = stream_read(s, &in, 1)) == 1) {
        identify_reader_recv(&r->reader, slice_bytes(&in), now);
        stream_consume(s, &in);
    }
    if (n == -ENODATA)
        identify_reader_recv_end(&r->reader, now);
    struct identify_event ev;
    if (!identify_reader_next_event(&r->reader, &ev))
        return;
    if (ev.type == IDENTIFY_EV_MESSAGE)
        tell_identified(r, &ev.message);
    end_reading(r);
}

static void on_closed(struct stream *s, int error) {
    (void)error; /* then nothing is told, which the cell will miss */
    end_reading(stream_user(s));
}

static const struct stream_events events = {.readable = on_readable, .closed = on_closed};

static void on_opened(struct stream_request *request, struct stream *s, int error) {
    struct reported *r = CONTAINER_OF(request, struct reported, request);
    r->opening = false;
    if (error < 0)
        return;
    r->stream = s;
    identify_reader_init(&r->reader, reactor_mem(r->owner->reactor),
                         reactor_now(r->owner->reactor));
    stream_set_events(s, &events, r);
    stream_shutdown_write(s);
}

/* --- Connections --- */

static void tell(const struct reported *r, const char *event, json_t *more) {
    char id[PEER_ID_TEXT_MAX], remote[MULTIADDR_TEXT_MAX];
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s}", "event", event, "peer", peer_id_format(&r->info.peer, id),
                  "dir", r->info.inbound ? "inbound" : "outbound", "remote",
                  multiaddr_format(&r->info.remote, remote));
    (void)json_object_update_new(line, more);
    node_write(line);
}

static json_t *circuit_json(const struct conn_info *info) {
    const struct conn_limit *l = info->limit;
    json_t *more = json_pack("{s:b}", "relayed", info->relayed);
    if (info->relayed)
        (void)json_object_set_new(more, "limit",
                                  l == NULL ? json_null()
                                            : node_limit_json(true, l->duration_s, l->data_bytes));
    return more;
}

static void free_reported(struct reported *r) {
    if (r->opening)
        stream_request_cancel(&r->request);
    if (r->stream != NULL)
        end_reading(r);
    list_remove(&r->node);
    free(r);
}

static bool is_same(const struct conn_info *a, const struct conn_info *b) {
    return a->opened_at == b->opened_at && a->inbound == b->inbound &&
           peer_id_equal(&a->peer, &b->peer) && multiaddr_equal(&a->remote, &b->remote);
}

static void on_conn_closed(struct host_watch *w, struct conn *c) {
    struct node *n = CONTAINER_OF(w, struct node, watch);
    bool is_gone = host_conns_count(n->host, &c->peer) == 0 && !node_reserves_on(n, &c->peer);
    if (is_gone && host_add_addrs(n->host, &c->peer, NULL, 0) < 0)
        abort();
}

void node_watch_conns(struct node *n) {
    n->watch.closed = on_conn_closed;
    host_watch(n->host, &n->watch);
}

static void on_new(struct node *n, const struct conn_info *info) {
    struct reported *r = node_alloc(sizeof(*r));
    r->owner = n;
    r->info = *info;
    r->here = true;
    list_init(&r->node);
    list_push(&n->conns, &r->node);
    tell(r, "connected", circuit_json(info));
    r->info.limit = NULL; /* the connection's */
}

static void ask(struct reported *r, const char *agent) {
    (void)snprintf(r->agent, sizeof(r->agent), "%s", agent);
    r->asked = true;
    r->opening = true;
    host_open_stream_with(r->owner->host, &r->request, &r->info.peer, IDENTIFY_PROTOCOL,
                          HOST_REQUEST_LIMITED, reactor_now(r->owner->reactor) + SEC(10),
                          on_opened);
}

static void on_conn(void *user, const struct conn_info *info) {
    struct node *n = user;
    list_for_each (node, &n->conns) {
        struct reported *r = LIST_ENTRY(node, struct reported, node);
        if (!is_same(&r->info, info))
            continue;
        r->here = true;
        if (!r->asked && info->agent[0] != '\0')
            ask(r, info->agent);
        return;
    }
    on_new(n, info);
}

void node_report_conns(struct node *n) {
    list_for_each (node, &n->conns)
        LIST_ENTRY(node, struct reported, node)->here = false;
    host_each_conn(n->host, on_conn, n);
    for (struct list *node = n->conns.next; node != &n->conns;) {
        struct reported *r = LIST_ENTRY(node, struct reported, node);
        node = node->next;
        if (!r->here) {
            tell(r, "closed", json_object());
            free_reported(r);
        }
    }
}

void node_forget_conns(struct node *n) {
    host_unwatch(&n->watch);
    while (!list_is_empty(&n->conns))
        free_reported(LIST_ENTRY(n->conns.next, struct reported, node));
}

/* SPDX-License-Identifier: MIT */
/* Hole punching, and events about it. */

#include <stdlib.h>

#include "relay/external_addrs.h"
#include "relay/holepunch.h"
#include "tests/interop/node/node.h"
#include "transport/conn.h"

static void on_added(void *user) {
    struct node *n = user;
    if (n->holepunch == NULL)
        return;
    holepunch_network_changed(n->holepunch);
    if (!n->knows_itself)
        node_write(json_pack("{s:s, s:s}", "event", "punch", "state", "ready"));
    n->knows_itself = true;
}

static void on_ended(void *user, const struct peer_id *peer, enum holepunch_outcome outcome,
                     nsec_t took) {
    (void)took;
    static const char *const states[] = {[HOLEPUNCH_FAILED] = "failed",
                                         [HOLEPUNCH_SUCCEEDED] = "succeeded",
                                         [HOLEPUNCH_REVERSED] = "reversed"};
    const struct node *n = user;
    struct conn *conns[HOST_CONNS_PER_PEER_MAX];
    char id[PEER_ID_TEXT_MAX], text[MULTIADDR_TEXT_MAX];
    size_t count = host_conns(n->host, peer, conns, HOST_CONNS_PER_PEER_MAX);
    json_t *event = json_pack("{s:s, s:s, s:s}", "event", "punch", "state", states[outcome], "peer",
                              peer_id_format(peer, id));
    for (size_t i = 0; i < count; i++) {
        if (!conns[i]->relayed)
            (void)json_object_set_new(event, "addr",
                                      json_string(multiaddr_format(&conns[i]->remote, text)));
    }
    node_write(event);
}

void node_punch_holes(struct node *n) {
    struct external_addrs_config external_cfg = {
        .reactor = n->reactor, .host = n->host, .added = on_added, .user = n};
    if (external_addrs_new(&external_cfg, &n->external) < 0)
        abort();
    struct holepunch_config cfg = {.reactor = n->reactor,
                                   .host = n->host,
                                   .log = reactor_log(n->reactor),
                                   .external = n->external,
                                   .ended = on_ended,
                                   .user = n};
    if (holepunch_new(&cfg, &n->holepunch) < 0)
        abort();
}

void node_stop_punching(struct node *n) {
    n->holepunch = holepunch_free(n->holepunch);
    n->external = external_addrs_free(n->external);
}

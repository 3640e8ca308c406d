/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "core/p2p/peer_id.h"
#include "ctl/connected_peers.h"
#include "ctl/relay_status.h"
#include "tests/unit/transport_host/hosts.h"

struct heard {
    int count;
    char text[SAY_BYTES_MAX];
};

static void hear(void *user, const char *text) {
    struct heard *h = user;
    h->count++;
    (void)snprintf(h->text, sizeof(h->text), "%s", text);
}

CASE_QUIC(relay_status, tells_again_and_again_who_is_connected) {
    struct heard h = {0};
    struct relay_status s;
    char wanted[128], id[PEER_ID_SHORT_MAX];
    open_pair(t);
    const struct relay_status_config cfg = {
        .reactor = t->reactor, .host = t->b.host, .every = MSEC(1), .say = hear, .user = &h};
    cr_assert_eq(relay_status_open(&s, &cfg), 0);
    TURN_UNTIL(t, h.count == 2);
    cr_assert_str_eq(h.text, "--- 0 connected peers ---");

    connect_pair(&t->a, &t->b);
    (void)snprintf(wanted, sizeof(wanted), "--- 1 connected peers ---\n%s",
                   peer_id_format_short(&t->a.identity.id, id));
    TURN_UNTIL(t, strcmp(h.text, wanted) == 0);
    relay_status_close(&s);
    relay_status_close(&s);
}

CASE_QUIC(relay_status, waits_for_memory) {
    struct heard h = {0};
    struct relay_status s;
    open_pair(t);
    const struct relay_status_config cfg = {
        .reactor = t->reactor, .host = t->b.host, .every = MSEC(1), .say = hear, .user = &h};
    cr_assert_eq(relay_status_open(&s, &cfg), 0);
    t->mem.fail_at = t->mem.calls + 1;
    TURN_UNTIL(t, t->mem.calls > t->mem.fail_at);
    TURN_UNTIL(t, h.count > 0);
    relay_status_close(&s);
}

CASE_QUIC(connected_peers, are_found_or_there_is_no_memory) {
    struct connected_peers p;
    open_pair(t);
    connect_pair(&t->a, &t->b);
    t->mem.fail_at = t->mem.calls + 1;
    cr_assert_eq(connected_peers_find(t->b.host, &t->mem.mem, &p), -ENOMEM);
    cr_assert_eq(connected_peers_find(t->b.host, &t->mem.mem, &p), 0);
    cr_assert_eq(p.count, 1);
    cr_assert(peer_id_equal(&p.ids[0], &t->a.identity.id));
    connected_peers_done(&p);
}

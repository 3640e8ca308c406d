/* SPDX-License-Identifier: MIT */
/* Goal: each family is asked about in its own time, whatever connections end.
 * Spec: libp2p AutoNAT v1, "Client (go)". */
#include "core/p2p/protocol_id.h"
#include "relay/autonat_v1_prober.h"
#include "tests/unit/transport_host/scripted.h"
#include "transport/proto/identify.h"

struct world {
    struct script script;
    struct autonat_v1_prober *prober;
    unsigned asked;
};

/* None, so that a question ends at once. */
static size_t count_question(void *user, struct multiaddr *out, size_t max) {
    (void)out;
    (void)max;
    ((struct world *)user)->asked++;
    return 0;
}

static struct script_conn *meet_server(struct world *w, unsigned n, const char *from) {
    struct peer_id peer = script_peer(n);
    struct script_conn *c = script_accept(&w->script, &peer, from);
    struct identify_message m = {.merged = BYTES_LIT("\x1a\x15" PROTOCOL_AUTONAT_V1)};
    swarm_told(host_conn_of(&c->conn), &m);
    return c;
}

Test(autonat_v1_clock, who_goes_does_not_have_others_asked_too_soon) {
    static struct world w;
    script_init(&w.script, &(struct host_config){0});
    struct autonat_v1_prober_config cfg = {.reactor = w.script.reactor,
                                           .host = w.script.host,
                                           .more_addrs = count_question,
                                           .user = &w};
    cr_assert_eq(autonat_v1_prober_new(&cfg, &w.prober), 0);
    (void)meet_server(&w, 1, "/ip4/5.6.7.8/tcp/9");
    autonat_v1_prober_ask(w.prober);
    cr_assert_eq(w.asked, 1);
    struct script_conn *second = meet_server(&w, 2, "/ip6/2a00::1/tcp/9");
    script_conn_over(second, 0, "");
    script_wait(&w.script, AUTONAT_V1_RETRY - 1);
    cr_assert_eq(w.asked, 1, "not at the time of the family that is gone");
    script_wait(&w.script, 1);
    cr_assert_eq(w.asked, 2);
    w.prober = autonat_v1_prober_free(w.prober);
    script_done(&w.script);
}

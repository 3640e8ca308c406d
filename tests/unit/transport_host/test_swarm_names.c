/* SPDX-License-Identifier: MIT */
/* Goal: names in a peer's addresses are looked up before the race, and none holds it up for long.
 * Spec: libp2p connection-lifecycle.md, "Dial ranking" (levels, results). */
#include <stdio.h>
#include <string.h>

#include "scripted.h"

#define T1 "/ip4/1.2.3.4/tcp/1"

static struct script s;
static struct script_connect c;

static void dial(const char *a, const char *b) {
    script_init(&s, &(struct host_config){0});
    script_knows(&s, &s.peer, b == NULL ? 1 : 2, (const char *const[]){a, b});
    script_connect(&s, &c, &s.peer);
    script_turn(&s);
}

Test(swarm_names, a_name_is_dialled_at_its_addresses) {
    dial("/dns/a.test/udp/7/quic-v1", NULL);
    cr_assert_eq(s.dials_begun, 0);
    script_resolve(&s, "a.test", RESOLVE_ADDRS, "1.2.3.4 2a00::1");
    cr_assert(script_dial(&s, "/ip6/2a00::1/udp/7/quic-v1") != NULL);
    script_wait(&s, MSEC(250));
    cr_assert(script_dial(&s, "/ip4/1.2.3.4/udp/7/quic-v1") != NULL);
    (void)script_dial_ok(&s, "/ip4/1.2.3.4/udp/7/quic-v1");
    cr_assert(c.done == 1 && c.error == 0);
    script_done(&s);
}

Test(swarm_names, dns4_and_dns6_ask_for_one_family) {
    dial("/dns4/a.test/tcp/7", "/dns6/a.test/tcp/7");
    script_resolve(&s, "a.test", RESOLVE_IP4, "1.2.3.4");
    cr_assert_eq(s.dials_begun, 0, "the other name is still asked for");
    script_resolve(&s, "a.test", RESOLVE_IP6, "2a00::1");
    cr_assert(script_dial(&s, "/ip6/2a00::1/tcp/7") != NULL);
    script_done(&s);
}

Test(swarm_names, a_secure_WebSocket_keeps_its_name_for_the_certificate) {
    dial("/dns4/a.test/tcp/443/wss", "/dns4/b.test/tcp/443/tls/ws");
    script_resolve(&s, "a.test", RESOLVE_IP4, "1.2.3.4");
    script_resolve(&s, "b.test", RESOLVE_IP4, "1.2.3.5");
    script_wait(&s, SEC(1));
    cr_assert(script_dial(&s, "/ip4/1.2.3.4/tcp/443/tls/sni/a.test/ws") != NULL);
    cr_assert(script_dial(&s, "/ip4/1.2.3.5/tcp/443/tls/sni/b.test/ws") != NULL);
    script_done(&s);
}

Test(swarm_names, dnsaddr_gives_addresses_of_this_peer_and_further_names) {
    char text[512];
    char id[PEER_ID_TEXT_MAX];
    char other_id[PEER_ID_TEXT_MAX];
    struct peer_id other = script_peer(9);
    dial("/dnsaddr/a.test", NULL);
    (void)peer_id_format(&s.peer, id);
    (void)snprintf(text, sizeof(text),
                   "dnsaddr=/ip4/1.2.3.4/tcp/1/p2p/%s dnsaddr=/ip4/9.9.9.9/tcp/1/p2p/%s "
                   "dnsaddr=/dns4/b.test/tcp/2/p2p/%s v=spf1 dnsaddr=nonsense",
                   id, peer_id_format(&other, other_id), id);
    script_resolve(&s, "_dnsaddr.a.test", RESOLVE_TEXTS, text);
    script_resolve(&s, "b.test", RESOLVE_IP4, "1.2.3.5");
    script_wait(&s, SEC(1));
    cr_assert_eq(s.dials_begun, 2);
    cr_assert(script_dial(&s, T1) != NULL);
    cr_assert(script_dial(&s, "/ip4/1.2.3.5/tcp/2") != NULL);
    script_done(&s);
}

Test(swarm_names, dnsaddr_goes_four_levels_deep_and_not_in_circles) {
    dial("/dnsaddr/a.test", NULL);
    for (int i = 0; i < NAMES_DEPTH_MAX; i++) {
        cr_assert_eq(s.questions_count, 1);
        script_resolve(&s, "_dnsaddr.a.test", RESOLVE_TEXTS, "dnsaddr=/dnsaddr/a.test");
    }
    cr_assert_eq(s.questions_count, 0);
    cr_assert_eq(c.done, 1);
    cr_assert_eq(c.error, -ERR_NAME_NOT_FOUND);
    script_done(&s);
}

Test(swarm_names, records_without_end_are_bounded) {
    static char text[2048];
    size_t len = 0;
    for (int i = 0; i < 60; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "dnsaddr=/dnsaddr/n%d.test ", i);
    dial("/dnsaddr/a.test", NULL);
    script_resolve(&s, "_dnsaddr.a.test", RESOLVE_TEXTS, text);
    cr_assert_eq(s.questions_asked, NAMES_QUERIES_MAX);
    script_done(&s);
}

Test(swarm_names, a_name_that_does_not_resolve_is_told) {
    dial("/dns4/a.test/tcp/7", NULL);
    script_resolve(&s, "a.test", RESOLVE_IP4, NULL);
    cr_assert_eq(c.done, 1);
    cr_assert_eq(c.error, -ERR_NAME_NOT_FOUND);
    cr_assert(strstr(c.request.base.problem.text, "/dns4/a.test/tcp/7") != NULL);
    script_done(&s);
}

Test(swarm_names, a_silent_name_server_holds_addresses_up_for_two_seconds_at_most) {
    dial("/dns4/a.test/tcp/7", T1);
    script_wait(&s, SEC(2) - 1);
    cr_assert_eq(s.dials_begun, 0);
    script_wait(&s, 1);
    cr_assert(script_dial(&s, T1) != NULL);
    cr_assert_eq(s.questions_count, 0, "given up");
    script_done(&s);

    dial("/dns4/a.test/tcp/7", NULL);
    script_wait(&s, SEC(10) - 1);
    cr_assert_eq(c.done, 0);
    script_wait(&s, 1);
    cr_assert(c.done == 1 && c.error == -ERR_NAME_NOT_FOUND);
    script_done(&s);
}

Test(swarm_names, who_comes_while_the_background_asks_dials_what_rests) {
    static struct script_connect background;
    dial("/dns4/a.test/tcp/1", NULL);
    script_resolve(&s, "a.test", RESOLVE_IP4, "1.2.3.4");
    script_dial_fails(&s, T1, -ECONNREFUSED);
    cr_assert_eq(c.error, -ECONNREFUSED);
    script_wait(&s, SEC(1));
    script_connect_with(&s, &background, &s.peer, HOST_REQUEST_BACKGROUND);
    script_turn(&s);
    script_connect(&s, &c, &s.peer);
    script_turn(&s);
    script_resolve(&s, "a.test", RESOLVE_IP4, "1.2.3.4");
    cr_assert_eq(c.done, 0);
    if (s.questions_count > 0) /* a round of its own */
        script_resolve(&s, "a.test", RESOLVE_IP4, "1.2.3.4");
    cr_assert(script_dial(&s, T1) != NULL);
    script_done(&s);
}

Test(swarm_names, a_connection_in_doubt_does_not_ask_without_end) {
    static struct script_stream x;
    dial("/dns4/a.test/udp/1/quic-v1", NULL);
    script_resolve(&s, "a.test", RESOLVE_IP4, "1.2.3.4");
    struct script_conn *conn = script_dial_ok(&s, "/ip4/1.2.3.4/udp/1/quic-v1");
    script_open(&s, &x, &s.peer);
    script_turn(&s);
    conn->unanswered_since = s.fake->now;
    script_wait(&s, HOST_SUSPECT_AFTER);
    cr_assert_eq(s.questions_asked, 2);
    script_resolve(&s, "a.test", RESOLVE_IP4, "1.2.3.4");
    script_dial_fails(&s, "/ip4/1.2.3.4/udp/1/quic-v1", -ECONNREFUSED);
    while (s.questions_count > 0 && s.questions_asked < 20)
        script_resolve(&s, "a.test", RESOLVE_IP4, "1.2.3.4");
    cr_assert_leq(s.questions_asked, 3);
    (void)stream_release(x.stream);
    script_done(&s);
}

Test(swarm_names, closing_takes_the_questions_back) {
    dial("/dns4/a.test/tcp/7", NULL);
    cr_assert_eq(s.questions_count, 1);
    script_done(&s);
    cr_assert_eq(s.questions_count, 0);
    cr_assert_eq(c.error, -ERR_SHUTDOWN);
}

/* SPDX-License-Identifier: MIT */
/* Goal: what peers see of our listening sockets is known, and announced when enough of them agree
 * or the user's own relay says so.
 * Spec: libp2p identify, "Observed addresses". */
#include <stdio.h>

#include "core/base/net_addr.h"
#include "relay/external_addrs.h"
#include "tests/unit/transport_host/scripted.h"

#define LISTEN "/ip4/192.0.2.1/tcp/4001" /* the scripted host's */
#define SEEN   "/ip4/8.8.8.8/tcp/700"

struct world {
    struct script script;
    struct external_addrs *addrs;
    int added;
    int to_ask_added;
};

static void on_added(void *user) {
    ((struct world *)user)->added++;
}

static void on_to_ask_added(void *user) {
    ((struct world *)user)->to_ask_added++;
}

static void open_world(struct world *w, size_t trusted_count) {
    *w = (struct world){.added = 0};
    script_init(&w->script, &(struct host_config){0});
    struct external_addrs_config cfg = {.reactor = w->script.reactor,
                                        .host = w->script.host,
                                        .trusted = &w->script.peer,
                                        .trusted_count = trusted_count,
                                        .added = on_added,
                                        .to_ask_added = on_to_ask_added,
                                        .user = w};
    cr_assert_eq(external_addrs_new(&cfg, &w->addrs), 0);
}

static void close_world(struct world *w) {
    w->addrs = external_addrs_free(w->addrs);
    script_done(&w->script);
}

#define CASE_EXTERNAL(name)                       \
    static void external_##name(struct world *w); \
    Test(external_addrs, name) {                  \
        static struct world w;                    \
        open_world(&w, 0);                        \
        external_##name(&w);                      \
        close_world(&w);                          \
    }                                             \
    static void external_##name(struct world *w)

static struct multiaddr parse(const char *text) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(text, &a), 0, "%s", text);
    return a;
}

/* A connection of the n-th peer, from a network of its own, to where we listen. */
static struct script_conn *meet(struct world *w, unsigned n, const char *local) {
    struct peer_id peer = script_peer(n);
    char from[64];
    (void)snprintf(from, sizeof(from), "/ip4/5.6.%u.8/tcp/9", n);
    struct script_conn *c = script_accept(&w->script, &peer, from);
    c->conn.local = parse(local);
    return c;
}

static void tell(struct script_conn *c, const char *seen) {
    struct multiaddr a = parse(seen);
    swarm_observed(host_conn_of(&c->conn), multiaddr_bytes(&a));
}

static size_t seen_count(const struct world *w) {
    struct multiaddr out[EXTERNAL_ADDRS_MAX];
    return external_addrs_seen(w->addrs, out);
}

static uint32_t announced_count(const struct world *w) {
    return w->script.host->announced.count;
}

CASE_EXTERNAL(one_observer_is_enough_to_punch_with_and_four_to_announce) {
    struct script_conn *conns[4];
    struct multiaddr out[EXTERNAL_ADDRS_MAX];
    struct multiaddr expected = parse(SEEN);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(announced_count(w), 0);
        conns[i] = meet(w, i + 1, LISTEN);
        tell(conns[i], SEEN);
        cr_assert_eq(external_addrs_seen(w->addrs, out), 1);
        cr_assert(multiaddr_equal(&out[0], &expected));
    }
    cr_assert_eq(w->added, 1, "the same again is no news");
    cr_assert_eq(announced_count(w), 1);
    cr_assert(multiaddr_equal(&w->script.host->announced.items[0], &expected));
    script_conn_over(conns[1], 0, "");
    cr_assert_eq(announced_count(w), 0);
    cr_assert_eq(seen_count(w), 1);
}

CASE_EXTERNAL(it_is_news_again_when_it_was_gone) {
    struct script_conn *c = meet(w, 1, LISTEN);
    tell(c, SEEN);
    script_conn_over(c, 0, "");
    cr_assert_eq(seen_count(w), 0);
    cr_assert_eq(w->added, 1);
    tell(meet(w, 2, LISTEN), SEEN);
    cr_assert_eq(w->added, 2);
}

CASE_EXTERNAL(a_connections_new_word_replaces_its_old_one) {
    struct script_conn *c = meet(w, 1, LISTEN);
    tell(c, SEEN);
    tell(c, "/ip4/8.8.8.8/tcp/701");
    cr_assert_eq(seen_count(w), 1);
    cr_assert_eq(w->added, 2);
}

CASE_EXTERNAL(only_sockets_that_listen_count) {
    tell(meet(w, 1, "/ip4/192.0.2.1/tcp/50000"), SEEN);
    tell(meet(w, 2, "/ip4/192.0.2.2/tcp/4001"), SEEN);
    struct script_conn *c = meet(w, 3, LISTEN);
    c->conn.local = (struct multiaddr){0}; /* unknown */
    tell(c, SEEN);
    cr_assert_eq(seen_count(w), 0);
}

CASE_EXTERNAL(a_detours_word_is_of_no_use) {
    struct script_conn *c = meet(w, 1, LISTEN);
    c->conn.relayed = true;
    tell(c, SEEN);
    cr_assert_eq(seen_count(w), 0);
}

CASE_EXTERNAL(nor_is_what_no_punch_can_reach) {
    struct script_conn *c = meet(w, 1, LISTEN);
    tell(c, "/ip4/10.0.0.1/tcp/700");
    tell(c, "/ip4/8.8.8.8/udp/700/quic-v1");
    c->conn.remote = parse("/ip4/5.6.7.8/tcp/9/ws");
    tell(c, SEEN);
    cr_assert_eq(seen_count(w), 0);
    cr_assert_eq(w->added, 0);
}

Test(external_addrs, the_users_own_relay_is_enough_to_announce) {
    static struct world w;
    open_world(&w, 1);
    struct script_conn *c = meet(&w, 1, LISTEN); /* script.peer is the first one */
    tell(c, SEEN);
    cr_assert_eq(announced_count(&w), 1);
    tell(meet(&w, 2, LISTEN), "/ip4/8.8.8.8/tcp/701");
    cr_assert_eq(announced_count(&w), 1);
    cr_assert_eq(seen_count(&w), 2);
    script_conn_over(c, 0, "");
    cr_assert_eq(announced_count(&w), 0);
    close_world(&w);
}

Test(external_addrs, nothing_is_announced_any_more_when_it_ends) {
    static struct world w;
    open_world(&w, 1);
    tell(meet(&w, 1, LISTEN), SEEN);
    cr_assert_eq(announced_count(&w), 1);
    w.addrs = external_addrs_free(w.addrs);
    cr_assert_eq(announced_count(&w), 0);
    close_world(&w);
}

/* --- What a gateway maps --- */

/* On its word alone, and once: observers will see the same. */
CASE_EXTERNAL(what_a_gateway_maps_is_announced_until_it_does_not) {
    struct multiaddr out[EXTERNAL_ADDRS_MAX];
    struct multiaddr mapped[2] = {parse(SEEN), parse("/ip4/8.8.8.8/udp/700/quic-v1")};
    external_addrs_set_mapped(w->addrs, mapped, 2);
    cr_assert_eq(w->added, 1);
    cr_assert_eq(announced_count(w), 2);
    cr_assert(multiaddr_equal(&w->script.host->announced.items[0], &mapped[0]));
    tell(meet(w, 1, LISTEN), SEEN);
    tell(meet(w, 2, LISTEN), "/ip4/8.8.8.8/tcp/701");
    cr_assert_eq(external_addrs_seen(w->addrs, out), 3);
    cr_assert(multiaddr_equal(&out[1], &mapped[1]), "the mapped ones are the surest");
    cr_assert_eq(announced_count(w), 2);
    external_addrs_set_mapped(w->addrs, NULL, 0);
    cr_assert_eq(seen_count(w), 2, "observers see on");
    cr_assert_eq(announced_count(w), 0);
}

CASE_EXTERNAL(more_than_fit_are_cut) {
    struct multiaddr mapped[EXTERNAL_ADDRS_MAX + 1];
    char text[48];
    for (unsigned i = 0; i < ARRAY_COUNT(mapped); i++) {
        (void)snprintf(text, sizeof(text), "/ip4/8.8.8.8/tcp/%u", 100 + i);
        mapped[i] = parse(text);
    }
    external_addrs_set_mapped(w->addrs, mapped, ARRAY_COUNT(mapped));
    tell(meet(w, 1, LISTEN), SEEN);
    cr_assert_eq(seen_count(w), EXTERNAL_ADDRS_MAX);
}

/* --- STUN and AutoNAT --- */

static void probed(struct world *w, const char *external) {
    struct net_addr listen = {.family = NET_IP4, .ip = {192, 0, 2, 1}, .port = 4001};
    struct net_addr server = {.family = NET_IP4, .ip = {5, 6, 7, 8}, .port = 4001};
    struct net_addr at = {.family = NET_NONE};
    if (external != NULL)
        cr_assert_eq(net_addr_parse(external, &at), 0);
    external_addrs_probed(w->addrs, &listen, &at, &server);
}

CASE_EXTERNAL(a_stun_servers_word_is_the_users_own) {
    struct multiaddr expected = parse("/ip4/8.8.8.8/udp/700/quic-v1");
    probed(w, "8.8.8.8:700");
    cr_assert_eq(seen_count(w), 1);
    cr_assert_eq(w->added, 1);
    cr_assert_eq(announced_count(w), 1);
    cr_assert(multiaddr_equal(&w->script.host->announced.items[0], &expected));
    probed(w, "8.8.8.8:701");
    cr_assert_eq(seen_count(w), 1, "the new word replaces the old one");
    cr_assert_eq(w->added, 2);
    probed(w, "10.0.0.1:701");
    cr_assert_eq(seen_count(w), 0, "a server within our network tells nothing");
    probed(w, "8.8.8.8:701");
    probed(w, NULL);
    cr_assert_eq(seen_count(w), 0);
    cr_assert_eq(announced_count(w), 0);
}

static enum autonat_reach verdict;

static bool was_vouched_for;

static enum autonat_reach on_reach(void *user, const struct multiaddr *addr, bool is_vouched_for) {
    struct multiaddr expected = parse(SEEN);
    (void)user;
    cr_assert(multiaddr_equal(addr, &expected));
    was_vouched_for = is_vouched_for;
    return verdict;
}

static void open_judged(struct world *w, bool is_hidden) {
    *w = (struct world){.added = 0};
    verdict = AUTONAT_REACH_UNKNOWN;
    script_init(&w->script, &(struct host_config){0});
    struct external_addrs_config cfg = {.reactor = w->script.reactor,
                                        .host = w->script.host,
                                        .trusted = &w->script.peer,
                                        .trusted_count = 1,
                                        .is_hidden = is_hidden,
                                        .reach = on_reach,
                                        .added = on_added,
                                        .user = w};
    cr_assert_eq(external_addrs_new(&cfg, &w->addrs), 0);
}

static void judge(struct world *w, enum autonat_reach reach) {
    verdict = reach;
    external_addrs_reach_changed(w->addrs);
}

Test(external_addrs, what_strangers_cannot_dial_is_not_announced_whoever_sees_it) {
    static struct world w;
    open_judged(&w, false);
    tell(meet(&w, 1, LISTEN), SEEN);
    cr_assert_eq(announced_count(&w), 1);
    judge(&w, AUTONAT_REACH_PRIVATE);
    cr_assert_eq(announced_count(&w), 0);
    cr_assert_eq(seen_count(&w), 1, "it may be punched");
    judge(&w, AUTONAT_REACH_UNKNOWN);
    cr_assert_eq(announced_count(&w), 1);
    cr_assert_eq(w.added, 1);
    close_world(&w);
}

Test(external_addrs, the_gateway_and_whom_the_user_trusts_vouch_and_others_do_not) {
    static struct world w;
    struct multiaddr mapped = parse(SEEN);
    open_judged(&w, false);
    for (unsigned i = 0; i < 4; i++)
        tell(meet(&w, 2 + i, LISTEN), SEEN);
    cr_assert_eq(announced_count(&w), 1);
    cr_assert_not(was_vouched_for);
    external_addrs_set_mapped(w.addrs, &mapped, 1);
    cr_assert(was_vouched_for);
    external_addrs_set_mapped(w.addrs, NULL, 0);
    cr_assert_not(was_vouched_for);
    tell(meet(&w, 1, LISTEN), SEEN);
    cr_assert(was_vouched_for);
    close_world(&w);
}

Test(external_addrs, what_strangers_can_dial_is_announced_when_two_see_it) {
    static struct world w;
    open_judged(&w, false);
    tell(meet(&w, 2, LISTEN), SEEN);
    tell(meet(&w, 3, LISTEN), SEEN);
    cr_assert_eq(announced_count(&w), 0);
    judge(&w, AUTONAT_REACH_PUBLIC);
    cr_assert_eq(announced_count(&w), 1);
    close_world(&w);
}

/* It may be a victim's, and the dial-back his, to where we really are. */
Test(external_addrs, who_alone_sees_an_address_cannot_have_it_announced_by_dialling_us) {
    static struct world w;
    open_judged(&w, false);
    tell(meet(&w, 2, LISTEN), SEEN);
    struct script_conn *c = meet(&w, 2, LISTEN); /* the same peer, from elsewhere */
    c->conn.remote = parse("/ip4/5.6.77.8/tcp/9");
    tell(c, SEEN);
    judge(&w, AUTONAT_REACH_PUBLIC);
    cr_assert_eq(announced_count(&w), 0);
    cr_assert_eq(seen_count(&w), 1);
    close_world(&w);
}

static size_t to_ask_count(const struct world *w) {
    struct multiaddr out[EXTERNAL_ADDRS_MAX];
    return external_addrs_to_ask(w->addrs, out);
}

CASE_EXTERNAL(what_one_alone_sees_is_not_worth_a_question) {
    struct multiaddr mapped = parse("/ip4/8.8.8.8/tcp/800");
    tell(meet(w, 1, LISTEN), SEEN);
    cr_assert_eq(to_ask_count(w), 0);
    cr_assert_eq(w->to_ask_added, 0);
    struct script_conn *c = meet(w, 2, LISTEN);
    tell(c, SEEN);
    cr_assert_eq(to_ask_count(w), 1);
    cr_assert_eq(w->to_ask_added, 1);
    cr_assert_eq(w->added, 1, "it was seen before");
    tell(meet(w, 3, LISTEN), SEEN);
    cr_assert_eq(w->to_ask_added, 1);
    external_addrs_set_mapped(w->addrs, &mapped, 1);
    cr_assert_eq(to_ask_count(w), 2);
    cr_assert_eq(w->to_ask_added, 2);
}

Test(external_addrs, what_the_users_own_relay_sees_is_worth_a_question) {
    static struct world w;
    open_world(&w, 1);
    tell(meet(&w, 1, LISTEN), SEEN);
    cr_assert_eq(to_ask_count(&w), 1);
    cr_assert_eq(w.to_ask_added, 1);
    close_world(&w);
}

/* The last one takes what there is by then. */
static void use_up_news(struct world *w, struct script_conn *liar) {
    for (unsigned i = 0; i <= 60; i++) {
        char seen[64];
        (void)snprintf(seen, sizeof(seen), "/ip4/9.9.9.%u/tcp/700", i + 1);
        tell(liar, seen);
        script_wait(&w->script, SEC(1));
    }
}

/* And hides no news of others. */
CASE_EXTERNAL(who_sees_another_address_each_second_is_news_no_more) {
    use_up_news(w, meet(w, 1, LISTEN));
    int heard = w->added;
    cr_assert_eq(seen_count(w), 1);
    cr_assert_leq(heard, (int)EXTERNAL_NEWS_BURST + 60 / 10);
    cr_assert_geq(heard, (int)EXTERNAL_NEWS_BURST);
    cr_assert_eq(w->to_ask_added, 0);
    tell(meet(w, 2, LISTEN), SEEN);
    cr_assert_eq(w->added, heard, "one observer's word is one observer's word");
    struct script_conn *second = meet(w, 3, LISTEN);
    tell(second, SEEN);
    cr_assert_eq(w->to_ask_added, 1);
    cr_assert_eq(w->added, heard + 1, "confirmed, it is news");
    script_conn_over(second, 0, "");
    tell(meet(w, 4, LISTEN), SEEN);
    cr_assert_eq(w->added, heard + 1, "once");
}

/* Though nobody says anything else than before. */
CASE_EXTERNAL(what_was_no_news_for_want_of_room_is_when_there_is_some) {
    struct script_conn *c = meet(w, 2, LISTEN);
    use_up_news(w, meet(w, 1, LISTEN));
    tell(c, SEEN);
    int heard = w->added;
    script_wait(&w->script, EXTERNAL_NEWS_EVERY);
    tell(c, SEEN);
    cr_assert_eq(w->added, heard + 1);
}

Test(external_addrs, what_was_no_news_is_when_the_users_own_relay_sees_it) {
    static struct world w;
    open_world(&w, 1);
    use_up_news(&w, meet(&w, 2, LISTEN));
    tell(meet(&w, 3, LISTEN), SEEN);
    int heard = w.added;
    tell(meet(&w, 1, LISTEN), SEEN);
    cr_assert_eq(w.added, heard + 1);
    close_world(&w);
}

Test(external_addrs, what_a_gateway_maps_and_strangers_cannot_dial_is_not_announced) {
    static struct world w;
    struct multiaddr mapped = parse(SEEN);
    open_judged(&w, false);
    external_addrs_set_mapped(w.addrs, &mapped, 1);
    cr_assert_eq(announced_count(&w), 1);
    judge(&w, AUTONAT_REACH_PRIVATE);
    cr_assert_eq(announced_count(&w), 0);
    cr_assert_eq(seen_count(&w), 1);
    close_world(&w);
}

Test(external_addrs, who_is_hidden_announces_nothing) {
    static struct world w;
    open_judged(&w, true);
    tell(meet(&w, 1, LISTEN), SEEN);
    judge(&w, AUTONAT_REACH_PUBLIC);
    cr_assert_eq(announced_count(&w), 0);
    cr_assert_eq(seen_count(&w), 1);
    close_world(&w);
}

/* SPDX-License-Identifier: MIT */
/* Goal: a host asks another one over its QUIC socket where it is seen, on two ports, and nobody
 * gets more of the server than an answer. Spec: decision 10. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/proto/stun_server.h"
#include "relay/stun_prober.h"
#include "relay/stun_service.h"
#include "tests/unit/transport_host/hosts.h"
#include "uring/resolver.h"
#include "uring/sock.h"

struct world {
    struct fixture *t;
    struct stun_service *service; /* of b */
    struct stun_prober *prober;   /* of a */
    struct stun_finding found[2]; /* the last of each family */
    int rounds;
    bool closed;
};

static void on_found(void *user, const struct stun_finding *f) {
    struct world *w = user;
    w->found[f->listen.family == NET_IP6] = *f;
    w->rounds++;
}

static void on_closed(void *user) {
    ((struct world *)user)->closed = true;
}

static void serve(struct world *w, const struct party_options *o) {
    party_open(&w->t->b, w->t, 2, o);
    struct stun_service_config cfg = {.reactor = w->t->reactor, .host = w->t->b.host};
    cr_assert_eq(stun_service_new(&cfg, &w->service), 0);
}

static void ask_by(struct world *w, struct resolver *v, const char *const *hosts, size_t count) {
    struct stun_server_name names[4];
    for (size_t i = 0; i < count; i++) {
        struct net_addr at;
        cr_assert_eq(multiaddr_to_net_addr(&w->t->b.addr, &at), 0);
        names[i] = (struct stun_server_name){hosts[i], at.port};
    }
    struct stun_prober_config cfg = {.reactor = w->t->reactor,
                                     .host = w->t->a.host,
                                     .resolver = v,
                                     .servers = names,
                                     .servers_count = count,
                                     .found = on_found,
                                     .user = w};
    cr_assert_eq(stun_prober_new(&cfg, &w->prober), 0);
}

static void end(struct world *w) {
    w->prober = stun_prober_free(w->prober);
    if (w->service == NULL)
        return;
    stun_service_close(w->service, on_closed, w);
    cr_assert(!w->closed, "not from inside the call");
    TURN_UNTIL(w->t, w->closed);
    w->service = stun_service_free(w->service);
}

/* The one second port that there is. */
static struct net_addr second_of(const struct world *w) {
    struct net_addr seconds[STUN_SERVICE_SECONDS_MAX];
    cr_assert_eq(stun_service_seconds(w->service, seconds), 1);
    return seconds[0];
}

static struct net_addr addr_of(const struct party *p) {
    struct net_addr a;
    cr_assert_eq(multiaddr_to_net_addr(&p->addr, &a), 0);
    return a;
}

/* --- Both --- */

CASE_QUIC(stun, both_ports_of_a_server_answer) {
    static const char *const hosts[] = {"127.0.0.1"};
    struct world w = {.t = t};
    party_open(&t->a, t, 1, &(struct party_options){0});
    serve(&w, &(struct party_options){0});
    ask_by(&w, NULL, hosts, 1);
    TURN_UNTIL(t, w.rounds == 1);
    struct net_addr a = addr_of(&t->a);
    struct net_addr b = addr_of(&t->b);
    cr_assert_eq(w.found[0].answered, 2);
    cr_assert_eq(w.found[0].unanswered, 0);
    cr_assert(net_addr_equal(&w.found[0].listen, &a));
    cr_assert(net_addr_equal(&w.found[0].server, &b));
    /* It sees us where we listen, which on loopback says nothing of a NAT. */
    cr_assert_eq(w.found[0].result.type, NAT_UNKNOWN);
    cr_assert_eq(stun_service_stats(w.service)->answered, 2u);
    end(&w);
}

CASE_QUIC(stun, each_family_is_asked_over_its_own_socket) {
    static const char *const hosts[] = {"127.0.0.1", "::1", "not.looked.up"};
    struct world w = {.t = t};
    struct party_options o = {.listen = t->traits->all_ip4, .also_listen = t->traits->any_ip6};
    party_open(&t->a, t, 1, &o);
    serve(&w, &(struct party_options){0});
    ask_by(&w, NULL, hosts, 3);
    TURN_UNTIL(t, w.rounds == 2);
    struct multiaddr bound[2];
    struct net_addr at;
    cr_assert_eq(host_listen_addrs(t->a.host, bound, 2), 2);
    cr_assert_eq(w.found[0].answered, 2);
    cr_assert_eq(multiaddr_to_net_addr(&bound[0], &at), 0);
    cr_assert(net_addr_equal(&w.found[0].listen, &at));
    cr_assert_eq(w.found[1].answered, 0, "b has no such port in this family");
    cr_assert_eq(w.found[1].unanswered, 1);
    cr_assert_eq(w.found[1].server.family, NET_NONE);
    end(&w);
}

CASE_QUIC(stun, who_listens_for_no_quic_asks_nobody) {
    static const char *const hosts[] = {"127.0.0.1"};
    struct world w = {.t = t};
    party_open(&t->a, t, 1, &(struct party_options){.listen = "/ip4/127.0.0.1/tcp/0"});
    serve(&w, &(struct party_options){0});
    ask_by(&w, NULL, hosts, 1);
    turn_for(t, MSEC(50));
    cr_assert_eq(w.rounds, 0);
    cr_assert_eq(stun_service_stats(w.service)->answered, 0u);
    end(&w);
}

CASE_QUIC(stun, a_change_of_the_network_asks_anew) {
    static const char *const hosts[] = {"127.0.0.1"};
    struct world w = {.t = t};
    party_open(&t->a, t, 1, &(struct party_options){0});
    serve(&w, &(struct party_options){0});
    ask_by(&w, NULL, hosts, 1);
    TURN_UNTIL(t, w.rounds == 1);
    stun_prober_network_changed(w.prober);
    stun_prober_network_changed(w.prober);
    TURN_UNTIL(t, w.rounds == 2);
    cr_assert_eq(w.found[0].answered, 2);
    end(&w);
}

/* --- Names --- */

struct names {
    struct resolver resolver;
    struct resolve_request *asked[4];
    size_t count;
    int cancelled;
};

static int start_lookup(struct resolver *v, struct resolve_request *r, const char *host) {
    struct names *n = CONTAINER_OF(v, struct names, resolver);
    if (strcmp(host, "busy.test") == 0)
        return -EAGAIN;
    r->lookup = n;
    n->asked[n->count++] = r;
    return 0;
}

static void cancel_lookup(struct resolver *v, struct resolve_request *r) {
    (void)r;
    CONTAINER_OF(v, struct names, resolver)->cancelled++;
}

static void answer(struct resolve_request *r, int error) {
    r->lookup = NULL;
    r->done(r, error);
}

CASE_QUIC(stun, names_are_looked_up_and_one_that_is_not_found_holds_up_nobody) {
    static const char *const hosts[] = {"relay.test", "gone.test", "busy.test"};
    struct world w = {.t = t};
    struct names n = {.resolver = {.start = start_lookup, .cancel = cancel_lookup}};
    party_open(&t->a, t, 1, &(struct party_options){0});
    serve(&w, &(struct party_options){0});
    ask_by(&w, &n.resolver, hosts, 3);
    TURN_UNTIL(t, n.count == 2);
    cr_assert_eq(net_addr_parse_ip("127.0.0.1", &n.asked[0]->addrs[0]), 0);
    cr_assert_eq(net_addr_parse_ip("127.0.0.9", &n.asked[0]->addrs[1]), 0);
    n.asked[0]->count = 2;
    answer(n.asked[0], 0);
    cr_assert_eq(w.rounds, 0);
    answer(n.asked[1], -ERR_NAME_NOT_FOUND);
    TURN_UNTIL(t, w.rounds == 1);
    cr_assert_eq(w.found[0].answered, 2);
    cr_assert_eq(w.found[0].unanswered, 0, "one address of a family");
    end(&w);
}

CASE_QUIC(stun, lookups_end_with_it) {
    static const char *const hosts[] = {"relay.test"};
    struct world w = {.t = t};
    struct names n = {.resolver = {.start = start_lookup, .cancel = cancel_lookup}};
    party_open(&t->a, t, 1, &(struct party_options){0});
    party_open(&t->b, t, 2, &(struct party_options){0});
    ask_by(&w, &n.resolver, hosts, 1);
    TURN_UNTIL(t, n.count == 1);
    end(&w);
    cr_assert_eq(n.cancelled, 1);
}

/* --- The server, and who asks by hand --- */

struct stranger {
    int fd;
    struct net_addr addr;
};

static void stranger_open(struct stranger *s) {
    union sock_name name;
    socklen_t size = sizeof(name);
    struct sock_addr bound = {.ip = {.family = NET_IP4, .ip = {127, 0, 0, 1}}};
    int len = sock_name_from(&bound, &name);
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_geq(s->fd, 0);
    cr_assert_eq(bind(s->fd, &name.sa, (socklen_t)len), 0);
    cr_assert_eq(getsockname(s->fd, &name.sa, &size), 0);
    sock_name_to(&name, size, &bound);
    s->addr = bound.ip;
}

static void stranger_send(const struct stranger *s, const struct net_addr *to, struct bytes b) {
    union sock_name name;
    int size = sock_name_from(&(struct sock_addr){.ip = *to}, &name);
    cr_assert_eq(sendto(s->fd, b.data, b.len, 0, &name.sa, (socklen_t)size), (ssize_t)b.len);
}

static bool stranger_reads(const struct stranger *s, struct stun_msg *ret_msg,
                           struct net_addr *ret_from) {
    uint8_t data[512];
    union sock_name name;
    socklen_t size = sizeof(name);
    struct sock_addr from;
    ssize_t n = recvfrom(s->fd, data, sizeof(data), 0, &name.sa, &size);
    if (n < 0)
        return false;
    sock_name_to(&name, size, &from);
    *ret_from = from.ip;
    cr_assert_eq(stun_decode(bytes_of(data, (size_t)n), ret_msg), 0);
    return true;
}

CASE_QUIC(stun, each_port_names_the_other_one) {
    struct world w = {.t = t};
    struct net_addr ports[2];
    struct stranger s;
    uint8_t request[STUN_REQUEST_BYTES];
    serve(&w, &(struct party_options){.listen = t->traits->all_ip4});
    ports[0] =
        (struct net_addr){.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = addr_of(&t->b).port};
    ports[1] = second_of(&w);
    cr_assert(net_addr_is_unspecified(&ports[1]));
    memcpy(ports[1].ip, ports[0].ip, sizeof(ports[1].ip));
    stranger_open(&s);
    stun_encode_request((const uint8_t[STUN_TXID_BYTES]){7}, request);
    for (size_t i = 0; i < 2; i++) {
        struct stun_msg m;
        struct net_addr from;
        stranger_send(&s, &ports[i], BYTES_OF(request));
        TURN_UNTIL(t, stranger_reads(&s, &m, &from));
        cr_assert(net_addr_equal(&from, &ports[i]));
        cr_assert(net_addr_equal(&m.mapped, &s.addr));
        cr_assert(net_addr_equal(&m.other, &ports[1 - i]));
    }
    close(s.fd);
    end(&w);
}

CASE_QUIC(stun, a_second_port_that_is_taken_is_another_one) {
    struct world w = {.t = t};
    struct net_addr second;
    struct stranger s;
    stranger_open(&s);
    char listen[64];
    (void)snprintf(listen, sizeof(listen), "/ip4/127.0.0.1/udp/%u/quic-v1", s.addr.port - 1u);
    serve(&w, &(struct party_options){.listen = listen});
    second = second_of(&w);
    cr_assert_neq(second.port, s.addr.port);
    cr_assert_neq(second.port, 0);
    close(s.fd);
    end(&w);
}

CASE_QUIC(stun, a_flood_gets_what_the_engine_allows) {
    enum { FLOOD = 1000 };
    struct world w = {.t = t};
    struct stranger s;
    struct net_addr second;
    uint8_t request[STUN_REQUEST_BYTES];
    serve(&w, &(struct party_options){0});
    second = second_of(&w);
    const struct stun_service_stats *stats = stun_service_stats(w.service);
    nsec_t begun = reactor_now(t->reactor);
    stranger_open(&s);
    stun_encode_request((const uint8_t[STUN_TXID_BYTES]){7}, request);
    for (int i = 0; i < FLOOD; i++) {
        stranger_send(&s, &second, BYTES_OF(request));
        stranger_send(&s, &second, BYTES_LIT("no STUN at all"));
        if (i % 50 == 0)
            turn_for(t, 0);
    }
    turn_for(t, MSEC(50));
    uint64_t seconds = (uint64_t)((reactor_now(t->reactor) - begun) / SEC(1)) + 1;
    cr_assert_leq(stats->answered + stats->dropped,
                  STUN_SOURCE_BURST + (STUN_SOURCE_PER_SECOND + 1) * seconds);
    cr_assert_gt(stats->answered, 0u);
    cr_assert_gt(stats->ignored, 0u);
    close(s.fd);
    end(&w);
}

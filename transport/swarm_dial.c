/* SPDX-License-Identifier: MIT */
#include "transport/swarm_dial.h"

#include <stdio.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "transport/host_internal.h"

/* connection-lifecycle.md, "Dial ranking", limits; but for an address 10 s, not 15.  By then QUIC
 * and TCP have sent at 0, 1, 3 and 7 s, and would not again before 15: who begins anew hears sooner
 * of a peer that comes back (decision 6 wants it within 5 s), and cannot while a round stands. */
#define ADDRESS_TIMEOUT         SEC(10)
#define ADDRESS_TIMEOUT_PRIVATE SEC(5)
#define ROUND_TIMEOUT           SEC(60)
/* Ours: names that do not resolve must not hold up addresses that need no name. */
#define NAMES_TIMEOUT           SEC(10)
#define NAMES_TIMEOUT_BESIDE    SEC(2)
/* Of an address of a peer that does not answer. */
#define SLOW_DELAY_MAX          SEC(1)

static struct host *host_of(const struct dial_round *r) {
    return r->peer->host;
}

static nsec_t now_of(const struct dial_round *r) {
    return reactor_now(host_of(r)->reactor);
}

/* --- Which addresses --- */

static bool is_own(const struct host *h, const struct multiaddr *a, const struct net_addr *ip) {
    struct multiaddr own[HOST_LISTEN_MAX];
    size_t count = host_listen_addrs(h, own, HOST_LISTEN_MAX);
    for (size_t i = 0; i < count; i++) {
        struct net_addr bound;
        if (multiaddr_equal(&own[i], a))
            return true;
        if (multiaddr_kind(&own[i]) == multiaddr_kind(a) &&
            multiaddr_to_net_addr(&own[i], &bound) == 0 && net_addr_is_unspecified(&bound) &&
            bound.family == ip->family && bound.port == ip->port && net_addr_is_loopback(ip))
            return true;
    }
    return false;
}

bool dial_addr_is_possible(const struct host *h, const struct multiaddr *a) {
    struct net_addr ip;
    if (multiaddr_to_net_addr(a, &ip) < 0)
        return true; /* the transport that takes it will know */
    bool needs_zone = ip.family == NET_IP6 && net_addr_is_link_local(&ip) && ip.scope_id == 0;
    return ip.port != 0 && !net_addr_is_unspecified(&ip) && !needs_zone && !is_own(h, a, &ip);
}

/* Same IP address and port, without WebSocket. */
static bool is_plain_twin(const struct multiaddr *plain, const struct multiaddr *ws) {
    struct net_addr a;
    struct net_addr b;
    return multiaddr_kind(plain) == MULTIADDR_KIND_TCP && multiaddr_kind(ws) == MULTIADDR_KIND_WS &&
           multiaddr_to_net_addr(plain, &a) == 0 && multiaddr_to_net_addr(ws, &b) == 0 &&
           net_addr_equal(&a, &b);
}

static void add_addr(struct dial_round *r, const struct multiaddr *a) {
    if (r->addrs_count == DIAL_ADDRS_MAX || names_is_name(a) ||
        !dial_addr_is_possible(host_of(r), a) || host_transport_for(host_of(r), a) == NULL)
        return;
    for (uint32_t i = 0; i < r->addrs_count; i++) {
        if (multiaddr_equal(&r->addrs[i], a) || is_plain_twin(&r->addrs[i], a))
            return;
        if (is_plain_twin(a, &r->addrs[i])) {
            r->addrs[i] = *a;
            return;
        }
    }
    r->addrs[r->addrs_count++] = *a;
}

static void drop_addr(struct dial_round *r, uint32_t i) {
    r->addrs[i] = r->addrs[--r->addrs_count];
}

static void swap_addrs(struct dial_round *r, uint32_t i, uint32_t k) {
    struct multiaddr a = r->addrs[i];
    r->addrs[i] = r->addrs[k];
    r->addrs[k] = a;
}

static bool is_quic(const struct multiaddr *a) {
    return multiaddr_has(a, MULTIADDR_QUIC_V1);
}

static bool is_ip6(const struct multiaddr *a) {
    return multiaddr_has(a, MULTIADDR_IP6);
}

/* Whether a dial of it says something of the way out of here. */
static bool tells_of_the_way(const struct multiaddr *a) {
    return multiaddr_class(a) == MULTIADDR_PUBLIC && !multiaddr_is_relayed(a);
}

/* Passes addresses of a kind over that leads nowhere, as long as there is another way out: a
 * private address, which may be anybody's, is none, nor is a detour. */
static void drop_black_hole(struct dial_round *r, struct black_hole *b,
                            bool (*is_kind)(const struct multiaddr *a)) {
    uint32_t count = 0;
    uint32_t others = 0;
    for (uint32_t i = 0; i < r->addrs_count; i++) {
        if (!tells_of_the_way(&r->addrs[i]))
            continue;
        if (is_kind(&r->addrs[i]))
            count++;
        else
            others++;
    }
    if (count == 0 || black_hole_admits(b) || others == 0)
        return;
    for (uint32_t i = r->addrs_count; i-- > 0;) {
        if (tells_of_the_way(&r->addrs[i]) && is_kind(&r->addrs[i]))
            drop_addr(r, i);
    }
}

static void drop_other_transports(struct dial_round *r, enum dial_preference only) {
    for (uint32_t i = r->addrs_count; i-- > 0;) {
        if (is_quic(&r->addrs[i]) == (only == DIAL_QUIC) && !multiaddr_is_relayed(&r->addrs[i]))
            continue;
        drop_addr(r, i);
        r->has_left_out = true;
    }
}

static void drop_relayed(struct dial_round *r) {
    for (uint32_t i = r->addrs_count; i-- > 0;) {
        if (multiaddr_is_relayed(&r->addrs[i]))
            drop_addr(r, i);
    }
}

static nsec_t rests_until(const struct dial_round *r, const struct multiaddr *a) {
    return dial_backoff_until(&host_of(r)->backoff, &r->peer->id, a, now_of(r));
}

/* Moves the addresses that rest to the end and returns how many do not; the time at which the first
 * of the others may be dialled again. */
static uint32_t sort_by_rest(struct dial_round *r, nsec_t *ret_until) {
    uint32_t fresh = 0;
    *ret_until = NSEC_NEVER;
    for (uint32_t i = 0; i < r->addrs_count; i++) {
        nsec_t until = rests_until(r, &r->addrs[i]);
        if (until != 0) {
            *ret_until = MIN(*ret_until, until);
            continue;
        }
        swap_addrs(r, i, fresh++);
    }
    return fresh;
}

static int nothing_to_dial(const struct dial_round *r, struct problem *problem) {
    const struct addr_list *given = &r->peer->given;
    char text[MULTIADDR_TEXT_MAX];
    if (given->count == 0)
        return problem_set(problem, -ERR_NO_ADDRESSES, "%s", err_text(-ERR_NO_ADDRESSES));
    if (r->names.queries_count > 0 && r->names.results_count == 0)
        return problem_set(problem, -ERR_NAME_NOT_FOUND, "no address was found for %s%s",
                           multiaddr_format(&given->items[0], text),
                           given->count > 1 ? " and others" : "");
    return problem_set(
        problem, -ERR_NO_ADDRESSES, "none of the peer's addresses can be dialled from here: %s%s",
        multiaddr_format(&given->items[0], text), given->count > 1 ? " and others" : "");
}

static int all_rest(const struct dial_round *r, nsec_t until, struct problem *problem) {
    return problem_set(
        problem, -ERR_DIAL_BACKOFF,
        "all addresses of the peer failed a moment ago and rest: the next attempt is "
        "made in %u s at the earliest",
        (unsigned)((until - now_of(r) + SEC(1) - 1) / SEC(1)));
}

/* Of the first `count` addresses those remain that are to be dialled of a peer that does not
 * answer, and with them the detours, which ask others.  Returns how many. */
static uint32_t keep_pace(struct dial_round *r, uint32_t count) {
    uint32_t direct = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!multiaddr_is_relayed(&r->addrs[i]))
            swap_addrs(r, i, direct++);
    }
    uint32_t chosen = dial_pace_choose(&r->peer->pace, r->addrs, direct, r->wish.prefer);
    memmove(&r->addrs[chosen], &r->addrs[direct], (count - direct) * sizeof(r->addrs[0]));
    return chosen + count - direct;
}

/* What failed before may rest or not: it is asked as often as may be. */
static void rank_slowly(struct dial_round *r, uint32_t count) {
    struct dial_ranked ranked[DIAL_ADDRS_MAX];
    count = keep_pace(r, count);
    dial_rank(r->addrs, count, r->wish.prefer, ranked);
    /* Behind a preference's long delay the round would, too, and what is preferred not be asked
     * meanwhile. */
    for (uint32_t i = 0; i < count; i++)
        ranked[i].delay = MIN(ranked[i].delay, SLOW_DELAY_MAX);
    dial_race_init(&r->race, ranked, count, now_of(r));
}

/* Those that rest are dialled behind all others, and only if somebody waits. */
static void rank(struct dial_round *r, const struct dial_wish *wish, uint32_t fresh) {
    struct dial_ranked ranked[DIAL_ADDRS_MAX];
    dial_rank(r->addrs, fresh, wish->prefer, ranked);
    uint32_t resting = wish->background ? 0 : r->addrs_count - fresh;
    dial_rank(r->addrs + fresh, resting, wish->prefer, ranked + fresh);
    nsec_t behind = fresh > 0 ? ranked[fresh - 1].delay + DIAL_FALLBACK_DELAY : 0;
    for (uint32_t i = fresh; i < fresh + resting; i++) {
        ranked[i].index += fresh;
        ranked[i].delay += behind;
    }
    dial_race_init(&r->race, ranked, fresh + resting, now_of(r));
}

static void add_found(struct dial_round *r) {
    struct multiaddr found[HOST_SOURCE_ADDRS_MAX];
    list_for_each (node, &host_of(r)->sources) {
        struct addr_source *s = LIST_ENTRY(node, struct addr_source, node);
        size_t count = s->find(s, &r->peer->id, found, ARRAY_COUNT(found));
        for (size_t i = 0; i < count; i++)
            add_addr(r, &found[i]);
    }
}

static int choose_addrs(struct dial_round *r, struct problem *problem) {
    const struct dial_wish *wish = &r->wish;
    struct host *h = host_of(r);
    if (peer_id_equal(&r->peer->id, &h->identity.id))
        return problem_set(problem, -ERR_NO_ADDRESSES, "the peer is this host itself");
    for (uint32_t i = 0; i < r->names.results_count; i++)
        add_addr(r, &r->resolved[i]);
    for (uint32_t i = 0; i < r->peer->given.count; i++)
        add_addr(r, &r->peer->given.items[i]);
    for (uint32_t i = 0; i < r->peer->learnt.count; i++)
        add_addr(r, &r->peer->learnt.items[i]);
    add_found(r);
    drop_black_hole(r, &h->udp_hole, is_quic);
    drop_black_hole(r, &h->ip6_hole, is_ip6);
    if (wish->only_preferred)
        drop_other_transports(r, wish->prefer);
    if (wish->only_direct)
        drop_relayed(r);
    if (r->addrs_count == 0)
        return nothing_to_dial(r, problem);
    nsec_t until;
    uint32_t fresh = sort_by_rest(r, &until);
    if (fresh == 0 && wish->background) {
        r->has_left_out = true;
        return all_rest(r, until, problem);
    }
    r->has_left_out = r->has_left_out || (wish->background && fresh < r->addrs_count);
    dial_pace_begin(&r->peer->pace, now_of(r));
    if (dial_pace_is_slow(&r->peer->pace))
        rank_slowly(r, wish->background ? fresh : r->addrs_count);
    else
        rank(r, wish, fresh);
    return 0;
}

/* --- Names --- */

static void on_names(struct names *n) {
    swarm_wake(CONTAINER_OF(n, struct dial_round, names)->peer);
}

/* Asks for all names among the peer's addresses; names_until is set if there are any. */
static void ask_names(struct dial_round *r) {
    struct host *h = host_of(r);
    const struct addr_list *given = &r->peer->given;
    r->names = (struct names){.resolver = h->resolver,
                              .mem = reactor_mem(h->reactor),
                              .peer = r->peer->id,
                              .results = r->resolved,
                              .results_max = DIAL_ADDRS_MAX,
                              .done = on_names};
    names_init(&r->names);
    bool has_others = false;
    for (uint32_t i = 0; i < given->count; i++) {
        bool is_name = names_is_name(&given->items[i]);
        has_others = has_others || !is_name;
        if (is_name && h->resolver != NULL)
            names_add(&r->names, &given->items[i]);
    }
    if (names_is_asking(&r->names))
        r->names_until = now_of(r) + (has_others ? NAMES_TIMEOUT_BESIDE : NAMES_TIMEOUT);
}

/* --- What became of them --- */

/* Of several errors the one that tells most of the peer. */
static int weight(int error) {
    switch (error) {
    case -ERR_PEER_ID_MISMATCH:
    case -ERR_BAD_CERTIFICATE:
        return 5;
    case -ERR_GATED:
        return 4;
    case -ERR_RELAY_REFUSED:
    case -ERR_HANDSHAKE:
    case -ERR_RESOURCE_LIMIT:
    case -ERR_CONN_CLOSED:
        return 3;
    case -ERR_NO_RESERVATION:
    case -ECONNREFUSED:
        return 2;
    case -ETIMEDOUT:
        return 1;
    default:
        return 0;
    }
}

/* As much of a list as fits, then how many more there are. */
static void append(struct problem *problem, const char *what, const char *why) {
    enum { KEEP = 8 };
    size_t len = strlen(problem->text);
    if (len + KEEP >= sizeof(problem->text))
        return;
    size_t room = sizeof(problem->text) - len;
    int n = snprintf(problem->text + len, room, "%s%s%s%s", len == 0 ? "" : "; ", what,
                     *why == '\0' ? "" : ": ", why);
    if (n >= (int)room - KEEP)
        (void)snprintf(problem->text + len, room, "; ...");
}

static void note_failure(struct dial_round *r, const struct multiaddr *a, int error,
                         const char *why) {
    struct host *h = host_of(r);
    char text[MULTIADDR_TEXT_MAX];
    (void)multiaddr_format(a, text); /* the log's fields are not evaluated when nobody listens */
    log_debug(reactor_log(h->reactor), L_DIAL, "dial failed", kv_str("address", text),
              kv_err(error));
    dial_backoff_failed(&h->backoff, &r->peer->id, a, now_of(r));
    if (r->failed_count++ == 0 || weight(error) > weight(r->error))
        r->error = error;
    append(&r->problem, text, why);
}

static void note_way(struct dial_round *r, const struct multiaddr *a, bool success) {
    struct host *h = host_of(r);
    if (!tells_of_the_way(a))
        return;
    if (is_quic(a))
        black_hole_record(&h->udp_hole, success);
    if (is_ip6(a))
        black_hole_record(&h->ip6_hole, success);
}

/* Behind a way out that was tried later and is there already, another kind is taken for lost: who
 * cancelled it would else never find out, as long as there are two ways.  The mark is low enough
 * for some that were only slow. */
static void note_overtaken(struct dial_round *r, const struct dial_slot *winner) {
    struct host *h = host_of(r);
    const struct multiaddr *a = &winner->dial.to;
    if (!tells_of_the_way(a))
        return;
    for (size_t i = 0; i < ARRAY_COUNT(r->slots); i++) {
        const struct dial_slot *s = &r->slots[i];
        if (!s->running || s->place > winner->place || !tells_of_the_way(&s->dial.to))
            continue;
        if (is_quic(&s->dial.to) && !is_quic(a))
            black_hole_record(&h->udp_hole, false);
        if (is_ip6(&s->dial.to) && !is_ip6(a))
            black_hole_record(&h->ip6_hole, false);
    }
}

static void leave_slot(struct dial_slot *s) {
    struct dial_round *r = s->round;
    struct host *h = host_of(r);
    timer_stop(&s->deadline);
    s->running = false;
    if (!r->race.entries[s->place].is_tcp)
        return;
    assert(h->tcp_dials > 0);
    h->tcp_dials--;
    struct list *node = list_shift(&h->tcp_waiting);
    if (node != NULL)
        swarm_wake(LIST_ENTRY(node, struct dial_round, tcp_node)->peer);
}

static void cancel_slot(struct dial_slot *s) {
    s->dial.transport->ops->cancel(s->dial.transport, &s->dial);
    leave_slot(s);
}

static void end(struct dial_round *r, int error) {
    for (size_t i = 0; i < ARRAY_COUNT(r->slots); i++) {
        if (r->slots[i].running)
            cancel_slot(&r->slots[i]);
    }
    names_done(&r->names);
    list_remove(&r->tcp_node);
    timer_stop(&r->timer);
    r->is_over = true;
    r->error = error;
    swarm_wake(r->peer);
}

/* A detour's packets go to the relay. */
static void note_spent(const struct dial_slot *s) {
    struct dial_round *r = s->round;
    if (!multiaddr_is_relayed(&s->dial.to))
        dial_pace_spent(&r->peer->pace, now_of(r) - s->began_at);
}

static void slot_failed(struct dial_slot *s, int error, const char *why) {
    struct dial_round *r = s->round;
    note_failure(r, &s->dial.to, error, why);
    note_way(r, &s->dial.to, false);
    dial_race_failed(&r->race, s->place);
    swarm_wake(r->peer);
}

static void on_dialled(struct dial *d, struct conn *c, int error, const struct problem *why) {
    struct dial_slot *s = CONTAINER_OF(d, struct dial_slot, dial);
    struct dial_round *r = s->round;
    struct host *h = host_of(r);
    struct host_conn *hc;
    leave_slot(s);
    if (error < 0) {
        note_spent(s);
        slot_failed(s, error, why != NULL && why->text[0] != '\0' ? why->text : err_text(error));
        return;
    }
    error = swarm_add_conn(h, c, &hc);
    if (error < 0) {
        c->ops->close(c, CONN_CODE_NONE);
        slot_failed(s, error, err_text(error));
        return;
    }
    dial_backoff_succeeded(&h->backoff, &r->peer->id, &d->to);
    if (!c->relayed)
        dial_pace_reached(&r->peer->pace, &d->to);
    note_way(r, &d->to, true);
    note_overtaken(r, s);
    end(r, 0);
    identify_start(h, hc);
}

static void on_socket_connected(struct dial *d) {
    struct dial_slot *s = CONTAINER_OF(d, struct dial_slot, dial);
    dial_race_connected(&s->round->race, s->place, now_of(s->round));
    swarm_wake(s->round->peer);
}

static void on_slot_deadline(struct timer *t) {
    struct dial_slot *s = CONTAINER_OF(t, struct dial_slot, deadline);
    cancel_slot(s);
    note_spent(s);
    slot_failed(s, -ETIMEDOUT, "no answer");
}

/* --- The race --- */

static struct dial_slot *free_slot(struct dial_round *r) {
    struct dial_slot *s = r->slots;
    while (s->running)
        s++;
    assert(s < r->slots + ARRAY_COUNT(r->slots)); /* the race keeps to their number */
    return s;
}

static void start(struct dial_round *r, int place) {
    const struct dial_ranked *entry = &r->race.entries[place];
    struct host *h = host_of(r);
    struct dial_slot *s = free_slot(r);
    s->place = place;
    s->dial = (struct dial){.expected = r->peer->id,
                            .to = r->addrs[entry->index],
                            .connected = on_socket_connected,
                            .done = on_dialled};
    list_init(&s->dial.node);
    s->dial.transport = host_transport_for(h, &s->dial.to);
    int e = s->dial.transport->ops->dial(s->dial.transport, &s->dial);
    if (e < 0) {
        slot_failed(s, e, err_text(e));
        return;
    }
    s->running = true;
    s->began_at = now_of(r);
    h->tcp_dials += entry->is_tcp;
    dial_race_started(&r->race, place);
    timer_start(&s->deadline,
                now_of(r) + (entry->is_private ? ADDRESS_TIMEOUT_PRIVATE : ADDRESS_TIMEOUT));
}

static bool has_tcp_room(const struct host *h) {
    return h->tcp_dials < HOST_TCP_DIALS_MAX;
}

/* false: names are still looked up, or none of what they gave can be dialled. */
static bool begin_race(struct dial_round *r) {
    if (names_is_asking(&r->names) && now_of(r) < r->names_until) {
        timer_start(&r->timer, r->names_until);
        return false;
    }
    names_done(&r->names);
    r->names_until = 0;
    int e = choose_addrs(r, &r->problem);
    if (e < 0)
        end(r, e);
    return e == 0;
}

void dial_round_advance(struct dial_round *r) {
    struct host *h = host_of(r);
    nsec_t now = now_of(r);
    int place;
    if (r->is_over || (r->names_until != 0 && !begin_race(r)))
        return;
    if (now >= r->ends_at) {
        if (r->failed_count == 0)
            (void)problem_set(&r->problem, 0, "no answer");
        end(r, -ETIMEDOUT);
        return;
    }
    while ((place = dial_race_next(&r->race, has_tcp_room(h), now)) >= 0)
        start(r, place);
    if (dial_race_is_over(&r->race)) {
        end(r, r->error);
        return;
    }
    bool may_wait = !has_tcp_room(h) && dial_race_next(&r->race, true, now) >= 0;
    if (may_wait && !list_is_linked(&r->tcp_node))
        list_push(&h->tcp_waiting, &r->tcp_node);
    timer_start(&r->timer, MIN(dial_race_deadline(&r->race, !may_wait), r->ends_at));
}

static void on_round_timer(struct timer *t) {
    swarm_wake(CONTAINER_OF(t, struct dial_round, timer)->peer);
}

void dial_round_describe(const struct dial_round *r, struct problem *problem) {
    char text[MULTIADDR_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(r->slots); i++) {
        if (r->slots[i].running)
            append(problem, multiaddr_format(&r->slots[i].dial.to, text), "no answer yet");
    }
    if (r->failed_count > 0)
        append(problem, r->problem.text, "");
}

/* --- Life --- */

/* Timers of slots that were set up. */
static void done_timers(struct dial_round *r, size_t slots) {
    for (size_t i = 0; i < slots; i++)
        timer_done(&r->slots[i].deadline);
    timer_done(&r->timer);
}

static int init_timers(struct dial_round *r) {
    struct reactor *reactor = host_of(r)->reactor;
    int e = timer_init(&r->timer, reactor, on_round_timer);
    if (e < 0)
        return e;
    for (size_t i = 0; i < ARRAY_COUNT(r->slots); i++) {
        r->slots[i].round = r;
        e = timer_init(&r->slots[i].deadline, reactor, on_slot_deadline);
        if (e < 0) {
            done_timers(r, i);
            return e;
        }
    }
    return 0;
}

struct dial_round *dial_round_free(struct dial_round *r) {
    if (r == NULL)
        return NULL;
    if (!r->is_over)
        end(r, -ECANCELED);
    done_timers(r, ARRAY_COUNT(r->slots));
    return mem_free(reactor_mem(host_of(r)->reactor), r);
}

int dial_round_start(struct peer *p, const struct dial_wish *wish, struct problem *ret_problem,
                     struct dial_round **ret_round) {
    struct mem *mem = reactor_mem(p->host->reactor);
    struct dial_round *r = mem_alloc(mem, sizeof(*r));
    if (r == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s", err_text(-ENOMEM));
    r->peer = p;
    list_init(&r->tcp_node);
    r->wish = *wish;
    r->ends_at = now_of(r) + ROUND_TIMEOUT;
    int e = init_timers(r);
    if (e < 0) {
        (void)mem_free(mem, r);
        return problem_set(ret_problem, e, "%s", err_text(e));
    }
    ask_names(r);
    if (r->names_until == 0)
        e = choose_addrs(r, ret_problem);
    if (e < 0) {
        r->is_over = true;
        (void)dial_round_free(r);
        return e;
    }
    *ret_round = r;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "relay/proto/dcutr.h"

#include "core/base/err.h"
#include "core/base/net_addr.h"

/* --- addresses ------------------------------------------------------------------------------- */

/* The address without a trailing /p2p; what is behind it may be any ID, as the handshake proves the
 * peer anyway. */
static struct multiaddr without_peer(const struct multiaddr *a) {
    struct multiaddr transport;
    struct peer_id id;
    return multiaddr_split_peer(a, &transport, &id) == 0 ? transport : *a;
}

static bool is_dialable(const struct multiaddr *a, struct net_addr *ret_ip) {
    enum multiaddr_kind kind = multiaddr_kind(a);
    return (kind == MULTIADDR_KIND_TCP || kind == MULTIADDR_KIND_QUIC) &&
           multiaddr_to_net_addr(a, ret_ip) == 0 && ret_ip->port != 0 &&
           !net_addr_is_unspecified(ret_ip);
}

/* `bare` is one that is dialable. */
static bool add(struct dcutr_addrs *addrs, const struct multiaddr *bare) {
    if (addrs->count == DCUTR_ADDRS_MAX || multiaddr_is_in(bare, addrs->list, addrs->count))
        return false;
    addrs->list[addrs->count++] = *bare;
    return true;
}

bool dcutr_addrs_add(struct dcutr_addrs *addrs, const struct multiaddr *a, bool accept_private) {
    struct multiaddr bare = without_peer(a);
    struct net_addr ip;
    return is_dialable(&bare, &ip) && (accept_private || net_addr_is_public(&ip)) &&
           add(addrs, &bare);
}

static size_t count_private(const struct dcutr_addrs *addrs) {
    size_t count = 0;
    for (size_t i = 0; i < addrs->count; i++)
        count += multiaddr_class(&addrs->list[i]) == MULTIADDR_PRIVATE;
    return count;
}

bool dcutr_addrs_add_private(struct dcutr_addrs *addrs, const struct multiaddr *a) {
    struct multiaddr bare = without_peer(a);
    struct net_addr ip;
    return is_dialable(&bare, &ip) && net_addr_is_private(&ip) && !net_addr_is_loopback(&ip) &&
           !net_addr_is_link_local(&ip) && count_private(addrs) < DCUTR_PRIVATE_MAX &&
           add(addrs, &bare);
}

void dcutr_addrs_add_own_private(struct dcutr_addrs *addrs, const struct multiaddr *own,
                                 size_t own_count, const struct net_addr *main_ip) {
    struct net_addr ip;
    for (size_t i = 0; i < own_count; i++) {
        if (multiaddr_to_net_addr(&own[i], &ip) == 0 && net_addr_ip_equal(&ip, main_ip))
            (void)dcutr_addrs_add_private(addrs, &own[i]);
    }
    for (size_t i = 0; i < own_count; i++)
        (void)dcutr_addrs_add_private(addrs, &own[i]);
}

/* --- engine ---------------------------------------------------------------------------------- */

/* From -> to.
 *
 *   OPENING      CONNECTING (the stream is there)   LEFT_DIRECT  OVER
 *   CONNECTING   SYNCING (the peer's CONNECT)       LEFT_DIRECT  OVER
 *   SYNCING      DIALING (the timer, or SYNC)       LEFT_DIRECT  OVER
 *   DIALING      OPENING (the opener's next try)    LEFT_DIRECT  OVER
 *   LEFT_DIRECT  OVER
 *   OVER         nothing
 */
static void set_state(struct dcutr *d, enum dcutr_state to) {
    static const uint8_t legal_next[] = {
        [DCUTR_OPENING] = 1 << DCUTR_CONNECTING | 1 << DCUTR_LEFT_DIRECT | 1 << DCUTR_OVER,
        [DCUTR_CONNECTING] = 1 << DCUTR_SYNCING | 1 << DCUTR_LEFT_DIRECT | 1 << DCUTR_OVER,
        [DCUTR_SYNCING] = 1 << DCUTR_DIALING | 1 << DCUTR_LEFT_DIRECT | 1 << DCUTR_OVER,
        [DCUTR_DIALING] = 1 << DCUTR_OPENING | 1 << DCUTR_LEFT_DIRECT | 1 << DCUTR_OVER,
        [DCUTR_LEFT_DIRECT] = 1 << DCUTR_OVER,
        [DCUTR_OVER] = 0,
    };
    assert(legal_next[d->state] & 1 << to);
    d->state = (uint8_t)to;
}

static void emit(struct dcutr *d, enum dcutr_event_type type) {
    d->events = (uint16_t)(d->events | 1 << type);
}

static void begin(struct dcutr *d, nsec_t now) {
    assert(now >= d->now);
    assert(d->events == 0); /* drained after each call */
    d->now = now;
}

static void finish(struct dcutr *d, enum dcutr_event_type type) {
    set_state(d, DCUTR_OVER);
    d->direct_until = NSEC_NEVER;
    d->deadline = NSEC_NEVER;
    d->back_at = NSEC_NEVER;
    emit(d, type);
}

/* The exchange and its attempts are over.  A one-sided dial may still succeed. */
static void fail(struct dcutr *d, int error) {
    d->error = error;
    if (d->is_stream_ours)
        emit(d, DCUTR_EV_RESET);
    d->is_stream_ours = false;
    if (d->direct_until == NSEC_NEVER) {
        finish(d, DCUTR_EV_FAILED);
        return;
    }
    set_state(d, DCUTR_LEFT_DIRECT);
    d->deadline = NSEC_NEVER;
}

static void direct_over(struct dcutr *d) {
    d->direct_until = NSEC_NEVER;
    if (d->state == DCUTR_LEFT_DIRECT)
        finish(d, DCUTR_EV_FAILED);
}

/* The state is OPENING. */
static void open_stream(struct dcutr *d) {
    d->attempt++;
    d->deadline = d->now + DCUTR_EXCHANGE_TIMEOUT;
    emit(d, DCUTR_EV_OPEN);
}

static void attempt_failed(struct dcutr *d, int error) {
    assert(d->state == DCUTR_DIALING);
    d->back_at = NSEC_NEVER;
    if (d->role == DCUTR_ACCEPTOR || d->attempt == d->attempts_max) {
        fail(d, error);
        return;
    }
    set_state(d, DCUTR_OPENING);
    open_stream(d);
}

void dcutr_init(struct dcutr *d, const struct dcutr_config *config, nsec_t now) {
    bool is_opener = config->role == DCUTR_OPENER;
    unsigned attempts_max = config->attempts_max == 0 ? DCUTR_ATTEMPTS_MAX : config->attempts_max;
    assert(is_opener || !config->try_direct);
    assert(attempts_max <= DCUTR_ATTEMPTS_MAX);
    *d = (struct dcutr){
        .role = (uint8_t)config->role,
        .state = is_opener ? DCUTR_OPENING : DCUTR_CONNECTING,
        .attempts_max = (uint8_t)attempts_max,
        .accept_private = config->accept_private,
        .is_stream_ours = !is_opener,
        .deadline = now + DCUTR_EXCHANGE_TIMEOUT,
        .direct_until = NSEC_NEVER,
        .back_at = NSEC_NEVER,
        .now = now,
    };
    assert(config->own->count <= DCUTR_ADDRS_MAX);
    d->own = *config->own;
    d->connect_len = (uint16_t)dcutr_msg_encode(DCUTR_MSG_CONNECT, config->own->list,
                                                config->own->count, d->connect);
    if (config->try_direct) {
        d->direct_until = now + DCUTR_DIRECT_TIMEOUT;
        emit(d, DCUTR_EV_DIRECT);
    }
    if (config->own->count == 0)
        fail(d, -ERR_NO_ADDRESSES);
    else if (is_opener)
        open_stream(d);
    else
        d->attempt = 1;
}

void dcutr_stream_open(struct dcutr *d, nsec_t now) {
    begin(d, now);
    assert(d->role == DCUTR_OPENER);
    if (d->state != DCUTR_OPENING)
        return;
    set_state(d, DCUTR_CONNECTING);
    d->is_stream_ours = true;
    d->asked_at = now;
    emit(d, DCUTR_EV_SEND);
}

static bool needs_stream(const struct dcutr *d) {
    if (d->state == DCUTR_SYNCING)
        return d->role == DCUTR_ACCEPTOR;
    return d->state == DCUTR_OPENING || d->state == DCUTR_CONNECTING;
}

void dcutr_stream_failed(struct dcutr *d, int error, nsec_t now) {
    begin(d, now);
    assert(error < 0);
    if (!needs_stream(d))
        return;
    fail(d, error);
}

static void dial(struct dcutr *d) {
    set_state(d, DCUTR_DIALING);
    d->is_stream_ours = false;
    d->deadline = d->now + DCUTR_DIAL_TIMEOUT;
    if (d->role == DCUTR_OPENER)
        d->back_at = d->now + DCUTR_DIAL_BACK_DELAY;
    emit(d, DCUTR_EV_DIAL);
}

/* Whether it is where we are seen: IPv6 has no NATs to share. */
static bool is_own_ip4(const struct dcutr *d, const struct multiaddr *a) {
    struct net_addr ip;
    struct net_addr own;
    if (multiaddr_to_net_addr(a, &ip) < 0 || ip.family != NET_IP4 || !net_addr_is_public(&ip))
        return false;
    for (size_t i = 0; i < d->own.count; i++) {
        if (multiaddr_to_net_addr(&d->own.list[i], &own) == 0 && net_addr_ip_equal(&ip, &own))
            return true;
    }
    return false;
}

static bool is_neighbour(const struct dcutr *d) {
    for (size_t i = 0; i < d->peer.count; i++) {
        if (is_own_ip4(d, &d->peer.list[i]))
            return true;
    }
    return false;
}

/* Those that are ours, too, as bridges for containers are on most machines, lead to ourselves. */
static void take_private(struct dcutr *d, struct bytes addrs) {
    struct multiaddr a;
    while (dcutr_msg_next_addr(&addrs, &a)) {
        if (!multiaddr_is_in(&a, d->own.list, d->own.count))
            (void)dcutr_addrs_add_private(&d->peer, &a);
    }
}

/* The peer's CONNECT: it is answered by ours, or by SYNC when ours is what it answers.  What is of
 * no use is left out. */
static void take_connect(struct dcutr *d, struct bytes addrs) {
    struct bytes left = addrs;
    struct multiaddr a;
    d->peer.count = 0;
    while (dcutr_msg_next_addr(&left, &a))
        (void)dcutr_addrs_add(&d->peer, &a, d->accept_private);
    if (is_neighbour(d))
        take_private(d, addrs);
    if (d->peer.count == 0) {
        fail(d, -ERR_NO_ADDRESSES);
        return;
    }
    set_state(d, DCUTR_SYNCING);
    emit(d, DCUTR_EV_SEND);
    if (d->role == DCUTR_OPENER) {
        d->is_stream_ours = false;
        d->deadline = d->now + (d->now - d->asked_at) / 2;
    }
}

void dcutr_recv(struct dcutr *d, struct bytes body, nsec_t now) {
    begin(d, now);
    if (!d->is_stream_ours)
        return;
    struct dcutr_msg msg;
    int e = dcutr_msg_decode(body, &msg);
    if (e < 0)
        fail(d, e);
    else if (d->state == DCUTR_CONNECTING && msg.type == DCUTR_MSG_CONNECT)
        take_connect(d, msg.addrs);
    else if (d->state == DCUTR_SYNCING && msg.type == DCUTR_MSG_SYNC)
        dial(d);
    else
        fail(d, -ERR_PROTOCOL_VIOLATION);
}

void dcutr_connected(struct dcutr *d, nsec_t now) {
    begin(d, now);
    if (d->state == DCUTR_OVER)
        return;
    if (d->is_stream_ours)
        emit(d, DCUTR_EV_RESET);
    d->is_stream_ours = false;
    finish(d, DCUTR_EV_DONE);
}

void dcutr_direct_failed(struct dcutr *d, nsec_t now) {
    begin(d, now);
    if (d->direct_until != NSEC_NEVER)
        direct_over(d);
}

void dcutr_dial_failed(struct dcutr *d, nsec_t now) {
    begin(d, now);
    if (d->state == DCUTR_DIALING)
        attempt_failed(d, -EHOSTUNREACH);
}

/* CONNECT, and behind the peer's one the opener's SYNC. */
static void give_message(struct dcutr *d, struct dcutr_event *ret_event) {
    static const uint8_t sync[] = {0x03, 0x08, 0xac, 0x02};
    ret_event->message = bytes_of(d->connect, d->connect_len);
    if (d->role == DCUTR_OPENER && d->state == DCUTR_SYNCING) {
        ret_event->message = BYTES_OF(sync);
        ret_event->is_last = true;
    }
}

bool dcutr_next_event(struct dcutr *d, struct dcutr_event *ret_event) {
    if (d->events == 0)
        return false;
    enum dcutr_event_type type = (enum dcutr_event_type)__builtin_ctz(d->events);
    d->events = (uint16_t)(d->events & ~(1u << type));
    *ret_event = (struct dcutr_event){.type = type, .attempt = d->attempt};
    if (type == DCUTR_EV_SEND)
        give_message(d, ret_event);
    if (type == DCUTR_EV_DIAL || type == DCUTR_EV_DIAL_BACK)
        ret_event->addrs = &d->peer;
    if (type == DCUTR_EV_FAILED)
        ret_event->error = d->error;
    return true;
}

nsec_t dcutr_deadline(const struct dcutr *d) {
    return MIN(MIN(d->deadline, d->direct_until), d->back_at);
}

static void state_timed_out(struct dcutr *d) {
    if (d->state == DCUTR_SYNCING && d->role == DCUTR_OPENER) {
        dial(d);
        return;
    }
    if (d->state != DCUTR_DIALING) {
        fail(d, -ETIMEDOUT);
        return;
    }
    emit(d, DCUTR_EV_DIAL_END);
    attempt_failed(d, -ETIMEDOUT);
}

void dcutr_tick(struct dcutr *d, nsec_t now) {
    begin(d, now);
    if (now >= d->direct_until) {
        emit(d, DCUTR_EV_DIRECT_END);
        direct_over(d);
    }
    if (now >= d->deadline)
        state_timed_out(d);
    if (now >= d->back_at) {
        d->back_at = NSEC_NEVER;
        emit(d, DCUTR_EV_DIAL_BACK);
    }
}

/* SPDX-License-Identifier: MIT */
#include "relay/proto/autonat_server.h"

#include "core/base/err.h"
#include "core/base/rng.h"

#define MINUTE SEC(60)

/* --- limits ---------------------------------------------------------------------------------- */

/* A place for a stream of `peer`, NULL when it or all have too many. */
static struct autonat_admitted *admit(struct autonat_limits *l, const struct peer_id *peer,
                                      nsec_t now) {
    struct autonat_admitted *free_place = NULL;
    unsigned requests = 0;
    unsigned streams = 0;
    for (size_t i = 0; i < ARRAY_COUNT(l->admitted); i++) {
        struct autonat_admitted *a = &l->admitted[i];
        bool counts = a->until > now;
        if (!counts && !a->is_open) {
            free_place = a;
            continue;
        }
        if (!peer_id_equal(&a->peer, peer))
            continue;
        requests += counts;
        streams += a->is_open;
    }
    if (free_place == NULL || requests >= AUTONAT_PEER_REQUESTS_PER_MINUTE ||
        streams >= AUTONAT_PEER_STREAMS_MAX)
        return NULL;
    *free_place = (struct autonat_admitted){.peer = *peer, .is_open = true, .until = now + MINUTE};
    return free_place;
}

/* Whether data may be asked for: what it buys is a dial of somebody else's address. */
static bool admit_data(struct autonat_limits *l, struct autonat_admitted *place, nsec_t now) {
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(l->admitted); i++)
        count += l->admitted[i].has_data && l->admitted[i].until > now;
    if (count >= AUTONAT_DATA_REQUESTS_PER_MINUTE)
        return false;
    place->has_data = true;
    return true;
}

/* --- one stream ------------------------------------------------------------------------------ */

/* From -> to; each also to OVER.
 *
 *   READING   DATA (another IP address)   DIALLING (the peer's own)
 *   DATA      PAUSE (all came)
 *   PAUSE     DIALLING
 *   DIALLING  OVER
 *   OVER      nothing
 */
static void set_state(struct autonat_server *s, enum autonat_server_state to) {
    static const uint8_t legal_next[] = {
        [AUTONAT_SERVER_READING] =
            1 << AUTONAT_SERVER_DATA | 1 << AUTONAT_SERVER_DIALLING | 1 << AUTONAT_SERVER_OVER,
        [AUTONAT_SERVER_DATA] = 1 << AUTONAT_SERVER_PAUSE | 1 << AUTONAT_SERVER_OVER,
        [AUTONAT_SERVER_PAUSE] = 1 << AUTONAT_SERVER_DIALLING | 1 << AUTONAT_SERVER_OVER,
        [AUTONAT_SERVER_DIALLING] = 1 << AUTONAT_SERVER_OVER,
        [AUTONAT_SERVER_OVER] = 0,
    };
    assert(legal_next[s->state] & 1 << to);
    s->state = (uint8_t)to;
}

static void emit(struct autonat_server *s, enum autonat_server_event_type type) {
    s->events = (uint8_t)(s->events | 1 << type);
}

static void begin(struct autonat_server *s, nsec_t now) {
    assert(now >= s->now);
    assert(s->events == 0); /* drained after each call */
    s->now = now;
}

static void finish(struct autonat_server *s, int error) {
    set_state(s, AUTONAT_SERVER_OVER);
    s->error = error;
    emit(s, AUTONAT_SERVER_EV_END);
}

static void answer(struct autonat_server *s, enum autonat_status status, uint32_t addr_index,
                   enum autonat_dial_status dial_status) {
    s->message_len = (uint8_t)autonat_encode_response(status, addr_index, dial_status, s->message);
    emit(s, AUTONAT_SERVER_EV_SEND);
    finish(s, 0);
}

void autonat_server_init(struct autonat_server *s, const struct autonat_server_config *config,
                         nsec_t now) {
    *s = (struct autonat_server){
        .config = *config,
        .place = admit(config->limits, &config->peer, now),
        .state = AUTONAT_SERVER_READING,
        .deadline = now + AUTONAT_STREAM_TIMEOUT,
        .now = now,
    };
    if (s->place == NULL)
        answer(s, AUTONAT_E_REQUEST_REJECTED, 0, AUTONAT_DIAL_UNUSED);
}

void autonat_server_done(struct autonat_server *s) {
    if (s->place != NULL)
        s->place->is_open = false;
    s->place = NULL;
}

static void dial(struct autonat_server *s) {
    set_state(s, AUTONAT_SERVER_DIALLING);
    emit(s, AUTONAT_SERVER_EV_DIAL);
}

static bool is_dialable(const struct autonat_server *s, struct bytes raw,
                        struct multiaddr *ret_addr, struct net_addr *ret_ip) {
    struct multiaddr a;
    if (multiaddr_decode(raw, &a) < 0 || !(s->config.kinds >> multiaddr_kind(&a) & 1))
        return false;
    if (multiaddr_to_net_addr(&a, ret_ip) < 0 || ret_ip->port == 0 ||
        net_addr_is_unspecified(ret_ip) || (s->config.lacking >> ret_ip->family & 1))
        return false;
    if (!s->config.accept_private && !net_addr_is_public(ret_ip))
        return false;
    *ret_addr = a;
    return true;
}

/* The first address of use. */
static bool choose(struct autonat_server *s, struct bytes addrs, struct net_addr *ret_ip) {
    struct bytes raw;
    for (uint32_t i = 0; i < AUTONAT_INSPECTED_MAX && autonat_next_addr(&addrs, &raw); i++)
        if (is_dialable(s, raw, &s->addr, ret_ip)) {
            s->addr_index = i;
            return true;
        }
    return false;
}

static void ask_for_data(struct autonat_server *s) {
    set_state(s, AUTONAT_SERVER_DATA);
    s->data_left =
        AUTONAT_DATA_BYTES_MIN + (uint32_t)rng_below(s->config.rng, AUTONAT_DATA_BYTES_SPAN);
    s->message_len = (uint8_t)autonat_encode_data_request(s->addr_index, s->data_left, s->message);
    emit(s, AUTONAT_SERVER_EV_SEND);
}

/* Of a relayed peer nothing is known, and what a router does that we share is none of what others
 * meet. */
static bool may_judge(const struct autonat_server *s) {
    const struct net_addr *from = &s->config.observed;
    return from->family != NET_NONE && (s->config.accept_private || net_addr_is_public(from));
}

static void take_request(struct autonat_server *s, const struct autonat_msg *m) {
    struct net_addr ip;
    s->nonce = m->nonce;
    if (!may_judge(s))
        answer(s, AUTONAT_E_REQUEST_REJECTED, 0, AUTONAT_DIAL_UNUSED);
    else if (!choose(s, m->addrs, &ip))
        answer(s, AUTONAT_E_DIAL_REFUSED, 0, AUTONAT_DIAL_UNUSED);
    else if (net_addr_ip_equal(&ip, &s->config.observed))
        dial(s);
    else if (admit_data(s->config.limits, s->place, s->now))
        ask_for_data(s);
    else
        answer(s, AUTONAT_E_REQUEST_REJECTED, 0, AUTONAT_DIAL_UNUSED);
}

static void take_data(struct autonat_server *s, const struct autonat_msg *m) {
    bool is_last = m->data_bytes >= s->data_left;
    if (m->data_bytes > AUTONAT_DATA_FRAME_MAX ||
        (!is_last && m->data_bytes < AUTONAT_DATA_FRAME_MIN)) {
        finish(s, -ERR_PROTOCOL_VIOLATION);
        return;
    }
    s->data_left -= is_last ? s->data_left : (uint32_t)m->data_bytes;
    if (!is_last)
        return;
    set_state(s, AUTONAT_SERVER_PAUSE);
    s->dial_at = s->now + rng_below(s->config.rng, AUTONAT_DIAL_WAIT_MAX);
}

void autonat_server_recv(struct autonat_server *s, struct bytes body, nsec_t now) {
    struct autonat_msg m;
    begin(s, now);
    if (s->state == AUTONAT_SERVER_OVER)
        return;
    int e = autonat_decode(body, &m);
    if (e < 0)
        finish(s, e);
    else if (s->state == AUTONAT_SERVER_READING && m.type == AUTONAT_DIAL_REQUEST)
        take_request(s, &m);
    else if (s->state == AUTONAT_SERVER_DATA && m.type == AUTONAT_DATA_RESPONSE)
        take_data(s, &m);
    else
        finish(s, -ERR_PROTOCOL_VIOLATION);
}

void autonat_server_dialled(struct autonat_server *s, enum autonat_dial_status status, nsec_t now) {
    begin(s, now);
    assert(status != AUTONAT_DIAL_UNUSED);
    if (s->state == AUTONAT_SERVER_DIALLING)
        answer(s, AUTONAT_OK, s->addr_index, status);
}

bool autonat_server_next_event(struct autonat_server *s, struct autonat_server_event *ret_event) {
    if (s->events == 0)
        return false;
    enum autonat_server_event_type type = (enum autonat_server_event_type)__builtin_ctz(s->events);
    s->events = (uint8_t)(s->events & ~(1u << type));
    *ret_event = (struct autonat_server_event){.type = type};
    switch (type) {
    case AUTONAT_SERVER_EV_SEND:
        ret_event->message = bytes_of(s->message, s->message_len);
        break;
    case AUTONAT_SERVER_EV_DIAL:
        ret_event->addr = &s->addr;
        ret_event->nonce = s->nonce;
        break;
    case AUTONAT_SERVER_EV_END:
        ret_event->error = s->error;
        break;
    }
    return true;
}

nsec_t autonat_server_deadline(const struct autonat_server *s) {
    if (s->state == AUTONAT_SERVER_OVER)
        return NSEC_NEVER;
    return s->state == AUTONAT_SERVER_PAUSE ? MIN(s->dial_at, s->deadline) : s->deadline;
}

void autonat_server_tick(struct autonat_server *s, nsec_t now) {
    begin(s, now);
    if (s->state == AUTONAT_SERVER_OVER)
        return;
    if (now >= s->deadline)
        finish(s, -ETIMEDOUT);
    else if (s->state == AUTONAT_SERVER_PAUSE && now >= s->dial_at)
        dial(s);
}

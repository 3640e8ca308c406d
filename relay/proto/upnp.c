/* SPDX-License-Identifier: MIT */
#include "relay/proto/upnp.h"

#include "core/base/err.h"
#include "core/base/rng.h"

#define SEARCH_RETRY_FIRST SEC(1) /* then 2 and 3 s */

enum {
    SEARCHES_MAX = 3,
    EXTERNAL_PORT_MIN = 1024, /* of those that we make up */
};

static void set_now(struct upnp *u, nsec_t now) {
    assert(now >= u->now);
    u->now = now;
}

static bool is_wanted(const struct upnp_mapping *m) {
    return m->state == UPNP_UNMAPPED || m->state == UPNP_MAPPED;
}

/* Whether anything is to be asked of the gateway, sooner or later. */
static bool is_any_wanted(const struct upnp *u) {
    for (size_t i = 0; i < u->mappings_count; i++) {
        if (is_wanted(&u->mappings[i]))
            return true;
    }
    return false;
}

static bool is_any_removing(const struct upnp *u) {
    for (size_t i = 0; i < u->mappings_count; i++) {
        if (u->mappings[i].state == UPNP_REMOVING)
            return true;
    }
    return false;
}

static void search(struct upnp *u) {
    u->state = UPNP_SEARCHING;
    u->searches_count = 0;
    u->next_at = u->now;
}

static void unmapped(struct upnp_mapping *m, int error) {
    if (m->state == UPNP_UNMAPPED && m->error == error)
        return; /* told before */
    m->state = UPNP_UNMAPPED;
    m->has_event = true;
    m->error = error;
}

/* Nothing will come of it for now. */
static void rest(struct upnp *u, int error) {
    u->state = UPNP_RESTING;
    u->next_at = u->now + UPNP_REST;
    for (size_t i = 0; i < u->mappings_count; i++) {
        struct upnp_mapping *m = &u->mappings[i];
        m->next_at = u->now;
        if (is_wanted(m))
            unmapped(m, error);
        else if (m->state == UPNP_REMOVING)
            m->state = UPNP_REMOVED; /* it runs out */
    }
}

void upnp_init(struct upnp *u, const struct net_addr *gateway, const struct net_addr *client,
               struct rng *rng, nsec_t now) {
    assert(gateway->family == NET_IP4);
    assert(client->family == NET_IP4);
    *u = (struct upnp){.rng = rng,
                       .gateway = *gateway,
                       .client = *client,
                       .external = {.family = NET_NONE},
                       .now = now};
    search(u);
}

size_t upnp_add(struct upnp *u, bool is_tcp, uint16_t internal_port, nsec_t now) {
    set_now(u, now);
    assert(u->mappings_count < UPNP_MAPPINGS_MAX);
    assert(internal_port != 0);
    u->mappings[u->mappings_count] = (struct upnp_mapping){.next_at = now,
                                                           .internal_port = internal_port,
                                                           .external_port = internal_port,
                                                           .is_tcp = is_tcp,
                                                           .state = UPNP_UNMAPPED};
    return u->mappings_count++;
}

void upnp_ask_again(struct upnp *u, nsec_t now) {
    set_now(u, now);
    for (size_t i = 0; i < u->mappings_count; i++) {
        if (is_wanted(&u->mappings[i]))
            u->mappings[i].next_at = now;
    }
    u->external_at = now;
    if (!u->is_asking) /* else that tells whether it is still there */
        search(u);
}

/* Whether the gateway has a rule of ours, or makes one now. */
static bool may_be_there(const struct upnp *u, size_t mapping) {
    uint8_t state = u->mappings[mapping].state;
    bool is_on_its_way = u->is_asking && u->asking == mapping && u->action == UPNP_ADD_MAPPING;
    return state == UPNP_MAPPED || state == UPNP_LEFT || state == UPNP_REMOVING || is_on_its_way;
}

void upnp_yield(struct upnp *u, size_t mapping, uint16_t external_port, nsec_t now) {
    set_now(u, now);
    assert(mapping < u->mappings_count);
    assert(external_port != 0);
    struct upnp_mapping *m = &u->mappings[mapping];
    m->has_event = false;
    if (!may_be_there(u, mapping))
        m->state = UPNP_REMOVED;
    else if (m->external_port == external_port)
        m->state = UPNP_LEFT;
    else
        m->state = UPNP_REMOVING;
}

void upnp_resume(struct upnp *u, size_t mapping, nsec_t now) {
    set_now(u, now);
    assert(mapping < u->mappings_count);
    assert(!u->is_closing);
    struct upnp_mapping *m = &u->mappings[mapping];
    bool was_idle = !is_any_wanted(u);
    if (is_wanted(m))
        return;
    m->state = UPNP_UNMAPPED;
    m->error = 0;
    m->next_at = now;
    if (was_idle && (u->state == UPNP_SEARCHING || u->state == UPNP_RESTING))
        search(u);
}

void upnp_close(struct upnp *u, nsec_t now) {
    set_now(u, now);
    u->is_closing = true;
    for (size_t i = 0; i < u->mappings_count; i++) {
        struct upnp_mapping *m = &u->mappings[i];
        m->has_event = false;
        m->state = may_be_there(u, i) ? UPNP_REMOVING : UPNP_REMOVED;
    }
}

void upnp_abandon(struct upnp *u) {
    u->is_closing = true;
    for (size_t i = 0; i < u->mappings_count; i++) {
        u->mappings[i].has_event = false;
        u->mappings[i].state = UPNP_REMOVED;
    }
}

/* --- The search ------------------------------------------------------------------------------- */

bool upnp_next_search(struct upnp *u, nsec_t now) {
    set_now(u, now);
    if (u->is_closing || u->state != UPNP_SEARCHING || now < u->next_at ||
        u->searches_count == SEARCHES_MAX || !is_any_wanted(u))
        return false;
    u->searches_count++;
    u->next_at = now + u->searches_count * SEARCH_RETRY_FIRST;
    return true;
}

void upnp_recv_search(struct upnp *u, struct bytes datagram, nsec_t now) {
    struct upnp_url place;
    set_now(u, now);
    if (u->is_closing || u->state != UPNP_SEARCHING || u->searches_count == 0 ||
        upnp_parse_search_answer(datagram, &place) < 0 ||
        !net_addr_ip_equal(&place.at, &u->gateway))
        return;
    u->place = place;
    u->state = UPNP_DESCRIBING;
}

/* --- Requests --------------------------------------------------------------------------------- */

static void call_for(const struct upnp *u, const struct upnp_mapping *m, struct upnp_call *call) {
    *call = (struct upnp_call){.action = m->state == UPNP_REMOVING ? UPNP_DELETE_MAPPING
                                                                   : UPNP_ADD_MAPPING,
                               .is_tcp = m->is_tcp,
                               .external_port = m->external_port,
                               .internal_port = m->internal_port,
                               .client = u->client,
                               .lifetime_s = m->is_permanent ? 0 : UPNP_LIFETIME_S};
}

/* What is due, or SIZE_MAX.  Who has something to remove knows the service from before. */
static size_t find_due(const struct upnp *u) {
    for (size_t i = 0; i < u->mappings_count; i++) {
        const struct upnp_mapping *m = &u->mappings[i];
        bool is_due = is_wanted(m) && u->state == UPNP_READY && u->now >= m->next_at;
        if (is_due || m->state == UPNP_REMOVING)
            return i;
    }
    return SIZE_MAX;
}

bool upnp_next_request(struct upnp *u, struct net_addr *ret_to,
                       char ret_out[UPNP_REQUEST_BYTES_MAX], size_t *ret_len, nsec_t now) {
    set_now(u, now);
    if (u->is_asking)
        return false;
    u->asking = SIZE_MAX;
    if (u->state == UPNP_DESCRIBING && is_any_wanted(u)) {
        *ret_to = u->place.at;
        *ret_len = upnp_encode_get(&u->place, ret_out);
        u->is_asking = true;
        return true;
    }
    struct upnp_call call = {.action = UPNP_GET_EXTERNAL_ADDRESS};
    if (u->state != UPNP_READY || now < u->external_at || !is_any_wanted(u)) {
        u->asking = find_due(u);
        if (u->asking == SIZE_MAX)
            return false;
        call_for(u, &u->mappings[u->asking], &call);
    }
    *ret_to = u->service.control.at;
    *ret_len = upnp_encode_call(&u->service, &call, ret_out);
    u->action = call.action;
    u->is_asking = true;
    return true;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static void take_description(struct upnp *u, struct bytes body) {
    struct upnp_service service;
    if (upnp_parse_description(body, &u->place, &service) < 0 ||
        !net_addr_ip_equal(&service.control.at, &u->gateway)) {
        rest(u, -EACCES);
        return;
    }
    u->service = service;
    u->state = UPNP_READY;
    u->external_at = u->now;
}

static void take_external(struct upnp *u, struct bytes body) {
    struct net_addr ip;
    if (upnp_parse_external_address(body, &ip) < 0) {
        rest(u, -EACCES);
        return;
    }
    bool is_other = u->external.family == NET_NONE || !net_addr_ip_equal(&u->external, &ip);
    u->external = ip;
    u->external_at = u->now + SEC(UPNP_LIFETIME_S / 2);
    for (size_t i = 0; is_other && i < u->mappings_count; i++) {
        struct upnp_mapping *m = &u->mappings[i];
        m->has_event |= m->state == UPNP_MAPPED;
    }
}

static void take_mapping(struct upnp *u, struct upnp_mapping *m) {
    if (m->state != UPNP_MAPPED) {
        m->state = UPNP_MAPPED;
        m->error = 0;
        m->has_event = true;
    }
    m->ports_tried = 0;
    m->next_at = u->now + SEC(UPNP_LIFETIME_S / 2) + rng_below(u->rng, SEC(UPNP_LIFETIME_S / 8));
}

static void take_fault(struct upnp *u, struct upnp_mapping *m, unsigned fault) {
    if (fault == UPNP_FAULT_ONLY_PERMANENT && !m->is_permanent) {
        m->is_permanent = true;
        return; /* at once */
    }
    if (fault == UPNP_FAULT_CONFLICT && ++m->ports_tried < UPNP_PORTS_TRIED_MAX) {
        m->external_port =
            (uint16_t)(EXTERNAL_PORT_MIN + rng_below(u->rng, 65536 - EXTERNAL_PORT_MIN));
        return;
    }
    m->ports_tried = 0;
    m->external_port = m->internal_port;
    m->next_at = u->now + UPNP_REST;
    unmapped(m, -EACCES);
}

static void take_call(struct upnp *u, struct upnp_mapping *m, unsigned status, struct bytes body) {
    if (u->action == UPNP_DELETE_MAPPING)
        m->state = m->state == UPNP_REMOVING ? UPNP_REMOVED : m->state; /* whatever it says */
    else if (!is_wanted(m))
        return; /* to be removed at once, if it is there, or to be left */
    else if (status == 200)
        take_mapping(u, m);
    else
        take_fault(u, m, upnp_parse_fault(body));
}

void upnp_answered(struct upnp *u, unsigned status, struct bytes body, nsec_t now) {
    set_now(u, now);
    assert(u->is_asking);
    u->is_asking = false;
    if (u->asking != SIZE_MAX)
        take_call(u, &u->mappings[u->asking], status, body);
    else if (u->is_closing)
        return;
    else if (status != 200)
        rest(u, -EACCES);
    else if (u->state == UPNP_DESCRIBING)
        take_description(u, body);
    else
        take_external(u, body);
}

void upnp_failed(struct upnp *u, nsec_t now) {
    set_now(u, now);
    assert(u->is_asking);
    u->is_asking = false;
    if (!u->is_closing) {
        rest(u, -ETIMEDOUT);
        return;
    }
    for (size_t i = 0; i < u->mappings_count; i++) /* nor will there be one to the others */
        u->mappings[i].state = UPNP_REMOVED;
}

/* --- Events and time -------------------------------------------------------------------------- */

bool upnp_next_event(struct upnp *u, struct upnp_event *ret_event) {
    for (size_t i = 0; i < u->mappings_count; i++) {
        struct upnp_mapping *m = &u->mappings[i];
        if (!m->has_event)
            continue;
        m->has_event = false;
        *ret_event = (struct upnp_event){.mapping = i, .error = m->error};
        if (m->error == 0) {
            ret_event->external = u->external;
            ret_event->external.port = m->external_port;
        }
        return true;
    }
    return false;
}

nsec_t upnp_deadline(const struct upnp *u) {
    if (u->is_asking || u->is_closing)
        return NSEC_NEVER;
    if (is_any_removing(u))
        return u->now;
    if (!is_any_wanted(u))
        return NSEC_NEVER;
    if (u->state == UPNP_DESCRIBING)
        return u->now;
    if (u->state != UPNP_READY)
        return u->next_at;
    nsec_t at = u->external_at;
    for (size_t i = 0; i < u->mappings_count; i++) {
        if (is_wanted(&u->mappings[i]))
            at = MIN(at, u->mappings[i].next_at);
    }
    return at;
}

void upnp_tick(struct upnp *u, nsec_t now) {
    set_now(u, now);
    if (u->is_closing || now < u->next_at || !is_any_wanted(u))
        return;
    if (u->state == UPNP_RESTING)
        search(u);
    else if (u->state == UPNP_SEARCHING && u->searches_count == SEARCHES_MAX)
        rest(u, -ETIMEDOUT);
}

/* SPDX-License-Identifier: MIT */
#include "relay/proto/stun_server.h"

enum { IP4_SOURCE_BYTES = 4, IP6_SOURCE_BYTES = 7 }; /* an address, a /56 */

/* The family and the bytes that count. */
static uint64_t key_of(const struct net_addr *from) {
    size_t count = from->family == NET_IP4 ? IP4_SOURCE_BYTES : IP6_SOURCE_BYTES;
    uint64_t key = from->family;
    for (size_t i = 0; i < count; i++)
        key = key << 8 | from->ip[i];
    return key;
}

static bool is_over(const struct stun_source *x, nsec_t now) {
    return x->key == 0 || (x->is_settled && now - x->last_at >= STUN_SETTLED_TIME);
}

static struct stun_source *find(struct stun_server *s, uint64_t key) {
    for (size_t i = 0; i < STUN_SOURCES_MAX; i++)
        if (s->sources[i].key == key)
            return &s->sources[i];
    return NULL;
}

/* A place that is free, or the newcomer's that was silent longest: there is one, as not all may
 * settle. */
static struct stun_source *find_place(struct stun_server *s, nsec_t now) {
    struct stun_source *best = NULL;
    for (size_t i = 0; i < STUN_SOURCES_MAX; i++) {
        struct stun_source *x = &s->sources[i];
        if (is_over(x, now))
            return x;
        if (!x->is_settled && (best == NULL || x->last_at < best->last_at))
            best = x;
    }
    assert(best != NULL);
    return best;
}

static bool may_settle(const struct stun_server *s, const struct stun_source *x, nsec_t now) {
    size_t count = 0;
    if (now - x->first_at < STUN_SETTLES_AFTER)
        return false;
    for (size_t i = 0; i < STUN_SOURCES_MAX; i++)
        count += s->sources[i].is_settled && !is_over(&s->sources[i], now);
    return count < STUN_SETTLED_MAX;
}

static bool has_own(struct stun_source *x, nsec_t now) {
    return rate_take(&x->rate, SEC(1) / STUN_SOURCE_PER_SECOND, STUN_SOURCE_BURST, now);
}

static bool has_newcomers(struct stun_server *s, nsec_t now) {
    return rate_take(&s->newcomers, SEC(1) / STUN_ANSWERS_PER_SECOND, STUN_ANSWERS_BURST, now);
}

static bool may_answer_known(struct stun_server *s, struct stun_source *x, nsec_t now) {
    if (!has_own(x, now))
        return false;
    x->is_settled = x->is_settled || may_settle(s, x, now);
    if (!x->is_settled && !has_newcomers(s, now))
        return false;
    x->last_at = now;
    return true;
}

static bool may_answer(struct stun_server *s, const struct net_addr *from, nsec_t now) {
    uint64_t key = key_of(from);
    struct stun_source *x = find(s, key);
    if (x != NULL && !is_over(x, now))
        return may_answer_known(s, x, now);
    if (!has_newcomers(s, now))
        return false;
    if (x == NULL)
        x = find_place(s, now);
    *x = (struct stun_source){.key = key, .first_at = now, .last_at = now};
    return has_own(x, now);
}

size_t stun_server_answer(struct stun_server *s, const struct net_addr *from,
                          const struct net_addr *other, struct bytes datagram,
                          uint8_t ret_out[STUN_ANSWER_MAX], nsec_t now) {
    struct stun_msg request;
    if (stun_decode(datagram, &request) < 0 || request.type != STUN_BINDING_REQUEST)
        return 0;
    if (!may_answer(s, from, now))
        return 0;
    if (request.unknown_count > 0)
        return stun_encode_refusal(&request, ret_out);
    return stun_encode_success(request.txid, from, other, ret_out);
}

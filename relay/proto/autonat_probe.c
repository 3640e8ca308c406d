/* SPDX-License-Identifier: MIT */
#include "relay/proto/autonat_probe.h"

#include "core/base/err.h"
#include "core/base/net_addr.h"
#include "core/base/rng.h"

/* From -> to; each also to OVER.
 *
 *   ASKING   WAITING (pulled)
 *   WAITING  FEEDING (data wanted)  NONCE (the response came first)
 *   FEEDING  FED (all pulled)
 *   FED      NONCE
 *   NONCE    OVER
 *   OVER     nothing
 */
static void set_state(struct autonat_probe *p, enum autonat_probe_state to) {
    static const uint8_t legal_next[] = {
        [AUTONAT_PROBE_ASKING] = 1 << AUTONAT_PROBE_WAITING | 1 << AUTONAT_PROBE_OVER,
        [AUTONAT_PROBE_WAITING] =
            1 << AUTONAT_PROBE_FEEDING | 1 << AUTONAT_PROBE_NONCE | 1 << AUTONAT_PROBE_OVER,
        [AUTONAT_PROBE_FEEDING] = 1 << AUTONAT_PROBE_FED | 1 << AUTONAT_PROBE_OVER,
        [AUTONAT_PROBE_FED] = 1 << AUTONAT_PROBE_NONCE | 1 << AUTONAT_PROBE_OVER,
        [AUTONAT_PROBE_NONCE] = 1 << AUTONAT_PROBE_OVER,
        [AUTONAT_PROBE_OVER] = 0,
    };
    assert(legal_next[p->state] & 1 << to);
    p->state = (uint8_t)to;
}

static void set_now(struct autonat_probe *p, nsec_t now) {
    assert(now >= p->now);
    p->now = now;
}

static void finish(struct autonat_probe *p, struct autonat_result result) {
    set_state(p, AUTONAT_PROBE_OVER);
    p->result = result;
    p->has_result = true;
}

static void fail(struct autonat_probe *p, int error) {
    finish(p, (struct autonat_result){.verdict = AUTONAT_FAILED, .error = error});
}

void autonat_probe_init(struct autonat_probe *p, const struct multiaddr *addrs, size_t addrs_count,
                        struct rng *rng, nsec_t now) {
    assert(addrs_count > 0);
    assert(addrs_count <= AUTONAT_ADDRS_MAX);
    *p = (struct autonat_probe){
        .addrs_count = (uint32_t)addrs_count,
        .state = AUTONAT_PROBE_ASKING,
        .deadline = now + AUTONAT_PROBE_TIMEOUT,
        .now = now,
    };
    memcpy(p->addrs, addrs, addrs_count * sizeof(*addrs));
    while (p->nonce == 0) /* which is the one that a message without any has */
        rng_fill(rng, &p->nonce, sizeof(p->nonce));
}

size_t autonat_probe_pull(struct autonat_probe *p, uint8_t ret_out[AUTONAT_OUT_MAX], nsec_t now) {
    set_now(p, now);
    if (p->state == AUTONAT_PROBE_ASKING) {
        set_state(p, AUTONAT_PROBE_WAITING);
        p->expects_until = now + AUTONAT_DIAL_BACK_WINDOW;
        return autonat_encode_request(p->addrs, p->addrs_count, p->nonce, ret_out);
    }
    if (p->state != AUTONAT_PROBE_FEEDING)
        return 0;
    uint32_t n = MIN(p->data_left, (uint32_t)AUTONAT_DATA_FRAME);
    p->data_left -= n;
    if (p->data_left == 0) {
        set_state(p, AUTONAT_PROBE_FED);
        p->expects_until = now + AUTONAT_DIAL_BACK_WINDOW;
    }
    return autonat_encode_data(n, ret_out);
}

/* NET_NONE: a name's is not known. */
static uint8_t family_of(const struct multiaddr *a) {
    struct net_addr ip;
    return multiaddr_to_net_addr(a, &ip) < 0 ? NET_NONE : ip.family;
}

/* Both sides of what the nonce proves: it came, and over what the address is dialled with.  A
 * reverse proxy makes plain WebSocket of the secure one, and may come by another family. */
static bool is_proved(const struct autonat_probe *p) {
    const struct multiaddr *addr = &p->addrs[p->result.index];
    enum multiaddr_kind kind = multiaddr_kind(addr);
    if (kind == MULTIADDR_KIND_WSS)
        return p->has_nonce && p->nonce_kind == MULTIADDR_KIND_WS;
    uint8_t family = family_of(addr);
    return p->has_nonce && p->nonce_kind == kind &&
           (family == NET_NONE || p->nonce_family == family);
}

static void conclude(struct autonat_probe *p) {
    enum autonat_verdict verdict = is_proved(p) ? AUTONAT_REACHABLE : AUTONAT_NO_VERDICT;
    finish(p, (struct autonat_result){.verdict = verdict, .index = p->result.index});
}

static void take_data_request(struct autonat_probe *p, const struct autonat_msg *m) {
    bool is_wanted = m->data_bytes > 0 && m->data_bytes <= AUTONAT_DATA_BYTES_MAX;
    if (p->state != AUTONAT_PROBE_WAITING || m->addr_index >= p->addrs_count || !is_wanted) {
        fail(p, -ERR_PROTOCOL_VIOLATION);
        return;
    }
    p->data_left = (uint32_t)m->data_bytes;
    set_state(p, AUTONAT_PROBE_FEEDING);
    p->expects_until = 0; /* nobody is dialled before that is paid */
}

/* The server's word about one address. */
static void take_dial_status(struct autonat_probe *p, const struct autonat_msg *m) {
    if (m->addr_index >= p->addrs_count) {
        fail(p, -ERR_PROTOCOL_VIOLATION);
        return;
    }
    p->result.index = m->addr_index;
    if (m->dial_status == AUTONAT_DIAL_E_DIAL) {
        bool may_have_come = p->has_nonce || p->has_turned_away;
        enum autonat_verdict verdict = may_have_come ? AUTONAT_NO_VERDICT : AUTONAT_UNREACHABLE;
        finish(p, (struct autonat_result){.verdict = verdict, .index = m->addr_index});
    } else if (m->dial_status == AUTONAT_DIAL_E_DIAL_BACK) {
        conclude(p);
    } else if (m->dial_status != AUTONAT_DIAL_OK) {
        fail(p, -ERR_PROTOCOL_VIOLATION);
    } else if (p->has_nonce) {
        conclude(p);
    } else {
        set_state(p, AUTONAT_PROBE_NONCE);
        p->deadline = MIN(p->deadline, p->now + AUTONAT_NONCE_TIMEOUT);
    }
}

/* A server that refuses may do so before it read the data that it asked for. */
static void take_response(struct autonat_probe *p, const struct autonat_msg *m) {
    if (m->status == AUTONAT_E_REQUEST_REJECTED)
        finish(p, (struct autonat_result){.verdict = AUTONAT_REJECTED});
    else if (m->status == AUTONAT_E_DIAL_REFUSED)
        finish(p, (struct autonat_result){.verdict = AUTONAT_REFUSED});
    else if (m->status == AUTONAT_E_INTERNAL_ERROR)
        fail(p, -ECONNABORTED);
    else if (m->status != AUTONAT_OK || p->state == AUTONAT_PROBE_ASKING ||
             p->state == AUTONAT_PROBE_FEEDING)
        fail(p, -ERR_PROTOCOL_VIOLATION);
    else
        take_dial_status(p, m);
}

void autonat_probe_recv(struct autonat_probe *p, struct bytes body, nsec_t now) {
    struct autonat_msg m;
    set_now(p, now);
    if (p->state == AUTONAT_PROBE_OVER)
        return;
    int e = autonat_decode(body, &m);
    if (e < 0)
        fail(p, e);
    else if (m.type == AUTONAT_DATA_REQUEST)
        take_data_request(p, &m);
    else if (m.type == AUTONAT_DIAL_RESPONSE && p->state != AUTONAT_PROBE_NONCE)
        take_response(p, &m);
    else
        fail(p, -ERR_PROTOCOL_VIOLATION);
}

void autonat_probe_failed(struct autonat_probe *p, int error, nsec_t now) {
    assert(error < 0);
    set_now(p, now);
    /* Behind its response the server has nothing more to say. */
    if (p->state != AUTONAT_PROBE_OVER && p->state != AUTONAT_PROBE_NONCE)
        fail(p, error);
}

bool autonat_probe_dial_back(struct autonat_probe *p, uint64_t nonce,
                             const struct multiaddr *remote, nsec_t now) {
    set_now(p, now);
    if (nonce != p->nonce || p->has_nonce || p->state == AUTONAT_PROBE_OVER)
        return false;
    p->has_nonce = true;
    p->nonce_kind = multiaddr_kind(remote);
    p->nonce_family = family_of(remote);
    if (p->state == AUTONAT_PROBE_NONCE)
        conclude(p);
    return true;
}

bool autonat_probe_expects(const struct autonat_probe *p, nsec_t now) {
    return p->state != AUTONAT_PROBE_OVER && !p->has_nonce && now < p->expects_until;
}

void autonat_probe_turned_away(struct autonat_probe *p) {
    p->has_turned_away = true;
}

bool autonat_probe_result(struct autonat_probe *p, struct autonat_result *ret_result) {
    if (!p->has_result)
        return false;
    p->has_result = false;
    *ret_result = p->result;
    return true;
}

nsec_t autonat_probe_deadline(const struct autonat_probe *p) {
    return p->state == AUTONAT_PROBE_OVER ? NSEC_NEVER : p->deadline;
}

void autonat_probe_tick(struct autonat_probe *p, nsec_t now) {
    set_now(p, now);
    if (now < autonat_probe_deadline(p))
        return;
    if (p->state == AUTONAT_PROBE_NONCE)
        conclude(p);
    else
        fail(p, -ETIMEDOUT);
}

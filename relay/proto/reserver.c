/* SPDX-License-Identifier: MIT */
#include "relay/proto/reserver.h"

#include "core/base/err.h"
#include "core/base/rng.h"
#include "relay/proto/circuit_msg.h"
#include "relay/proto/voucher.h"

/* go renews at two minutes before the end, rust after three quarters. */
#define RENEW_BEFORE SEC(120)

/* The rows of the header's table: those of enum reserver_failure first. */
enum { BUSY = RESERVER_DENIED + 1, FULL, FAILURES };

static const struct {
    nsec_t first; /* each rest is twice the one before */
    nsec_t longest;
} rests[FAILURES] = {
    [RESERVER_UNREACHED] = {SEC(1), SEC(4)},
    [RESERVER_BROKEN] = {SEC(1), SEC(30)},
    [RESERVER_DENIED] = {SEC(5), SEC(60)},
    [BUSY] = {SEC(5), SEC(60)},
    [FULL] = {SEC(15), SEC(300)},
};

/* From -> to.
 *
 *   IDLE      RESTING (start)
 *   REACHING  ASKING (reached)  RESTING (failed, timeout, network changed)  IDLE (stop)
 *   ASKING    RESTING (answer, failed, timeout, network changed)            IDLE (stop)
 *   RESTING   REACHING (its time has come)                                  IDLE (stop)
 */
static const uint8_t legal_next[] = {
    [RESERVER_IDLE] = 1 << RESERVER_RESTING,
    [RESERVER_REACHING] = 1 << RESERVER_ASKING | 1 << RESERVER_RESTING | 1 << RESERVER_IDLE,
    [RESERVER_ASKING] = 1 << RESERVER_RESTING | 1 << RESERVER_IDLE,
    [RESERVER_RESTING] = 1 << RESERVER_REACHING | 1 << RESERVER_IDLE,
};

static void set_state(struct reserver *r, enum reserver_state to, nsec_t next_at) {
    assert(legal_next[r->state] & 1 << to);
    r->state = (uint8_t)to;
    r->next_at = next_at;
}

static void set_now(struct reserver *r, nsec_t now) {
    assert(now >= r->now);
    r->now = now;
}

static void emit(struct reserver *r, enum reserver_event event) {
    r->events = (uint8_t)(r->events | 1u << event);
}

static bool is_pending(const struct reserver *r, enum reserver_event event) {
    return (r->events & 1u << event) != 0;
}

static void withdraw(struct reserver *r, enum reserver_event event) {
    r->events = (uint8_t)(r->events & ~(1u << event));
}

static bool is_in_flight(const struct reserver *r) {
    return r->state == RESERVER_REACHING || r->state == RESERVER_ASKING;
}

/* --- attempts -------------------------------------------------------------------------------- */

static void begin_attempt(struct reserver *r) {
    r->began_at = r->now;
    r->not_before = r->now + RESERVER_SPACING;
    set_state(r, RESERVER_REACHING, r->now + RESERVER_REACH_TIMEOUT);
    emit(r, RESERVER_EV_ASK);
}

/* An attempt of which the driver does not know yet needs no giving up. */
static void give_up(struct reserver *r) {
    if (is_pending(r, RESERVER_EV_ASK))
        withdraw(r, RESERVER_EV_ASK);
    else
        emit(r, RESERVER_EV_GIVE_UP);
}

/* Rests until `at`, but keeps attempts apart. */
static void rest_until(struct reserver *r, nsec_t at) {
    at = MAX(at, r->not_before);
    if (r->state == RESERVER_RESTING)
        r->next_at = at;
    else
        set_state(r, RESERVER_RESTING, at);
    if (at <= r->now)
        begin_attempt(r);
}

/* Less up to a quarter, so that those who lost a relay together don't ask it together. */
static nsec_t jittered(struct reserver *r, nsec_t rest) {
    return rest - rng_below(r->cfg.rng, rest / 4 + 1);
}

/* The rest after the n-th failure of a kind in succession, n from 1. */
static nsec_t rest_after(struct reserver *r, unsigned kind, uint32_t n) {
    nsec_t rest = rests[kind].first;
    assert(n > 0);
    while (--n > 0 && rest < rests[kind].longest)
        rest *= 2;
    return jittered(r, MIN(rest, rests[kind].longest));
}

static void rest_after_failure(struct reserver *r, unsigned kind) {
    if (r->last_failure != kind)
        r->failures = 0;
    r->last_failure = (uint8_t)kind;
    r->failures++;
    nsec_t rest = rest_after(r, kind, r->failures);
    if (kind == RESERVER_UNREACHED)
        rest_until(r, MAX(r->began_at + rest, r->now + rest_after(r, kind, 1)));
    else
        rest_until(r, r->now + rest);
}

/* --- the reservation ------------------------------------------------------------------------- */

static void lose(struct reserver *r) {
    if (!r->held)
        return;
    r->held = false;
    withdraw(r, RESERVER_EV_HELD);
    emit(r, RESERVER_EV_LOST);
}

static nsec_t lifetime_of(walltime_t expire, walltime_t wall) {
    if (expire <= wall)
        return RESERVER_LIFETIME_UNKNOWN;
    uint64_t seconds = (uint64_t)expire - (uint64_t)wall;
    nsec_t lifetime = SEC(MIN(seconds, RESERVER_LIFETIME_MAX / SEC(1)));
    return MAX(lifetime, RESERVER_LIFETIME_MIN);
}

static nsec_t renew_after(const struct reserver *r, nsec_t lifetime) {
    nsec_t before_end = lifetime > RENEW_BEFORE ? lifetime - RENEW_BEFORE : 0;
    nsec_t after = MIN(lifetime / 4 * 3, MAX(before_end, lifetime / 2));
    return MIN(after, r->cfg.renew_interval);
}

/* What is left of an address behind the relay's ID; false: it is of no use. */
static bool strip(const struct reserver *r, const struct multiaddr *told,
                  struct multiaddr *ret_addr) {
    struct peer_id id;
    if (multiaddr_is_relayed(told))
        return false;
    int e = multiaddr_split_peer(told, ret_addr, &id);
    if (e == -ENOENT) {
        *ret_addr = *told;
        return true;
    }
    return e == 0 && ret_addr->len > 0 && peer_id_equal(&id, &r->cfg.relay);
}

static void take_addrs(struct reserver *r, struct bytes told) {
    struct multiaddr addrs[RESERVER_ADDRS_MAX];
    struct multiaddr one;
    size_t count = 0;
    bool changed = !r->held;
    while (count < RESERVER_ADDRS_MAX && circuit_next_addr(&told, &one)) {
        if (!strip(r, &one, &addrs[count]) || multiaddr_is_in(&addrs[count], addrs, count))
            continue;
        changed = changed || !multiaddr_is_in(&addrs[count], r->addrs, r->addrs_count);
        count++;
    }
    if (changed || count != r->addrs_count)
        r->addrs_changed = true;
    memcpy(r->addrs, addrs, count * sizeof(*addrs));
    r->addrs_count = count;
}

static void hold(struct reserver *r, const struct hop_msg *m, walltime_t wall) {
    nsec_t lifetime = lifetime_of(m->reservation.expire, wall);
    take_addrs(r, m->reservation.addrs);
    if (!r->held)
        r->held_since = r->now;
    r->held = true;
    r->held_until = r->now + lifetime;
    r->failures = 0;
    emit(r, RESERVER_EV_HELD);
    rest_until(r, r->now + renew_after(r, lifetime));
}

/* --- answers --------------------------------------------------------------------------------- */

/* Whether it is a reservation; or the kind of failure, and the error. */
static int judge(const struct reserver *r, const struct hop_msg *m, unsigned *ret_kind) {
    *ret_kind = RESERVER_BROKEN;
    if (m->type != HOP_STATUS || !m->has_status)
        return -ERR_PROTOCOL_VIOLATION;
    if (m->status == CIRCUIT_STATUS_RESERVATION_REFUSED) {
        *ret_kind = FULL;
        return -ERR_RESOURCE_LIMIT;
    }
    if (m->status == CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED) {
        *ret_kind = BUSY;
        return -ERR_RESOURCE_LIMIT;
    }
    if (m->status == CIRCUIT_STATUS_PERMISSION_DENIED) {
        *ret_kind = RESERVER_DENIED;
        return -ERR_NOT_AUTHORIZED;
    }
    if (m->status != CIRCUIT_STATUS_OK || !m->has_reservation)
        return -ERR_PROTOCOL_VIOLATION;
    if (m->reservation.expire == 0)
        return -ETIME;
    walltime_t voucher_expire; /* go does not look at it either */
    return m->reservation.voucher.len == 0
               ? 0
               : voucher_open(m->reservation.voucher, &r->cfg.relay, &r->cfg.self, &voucher_expire);
}

int reserver_answer(struct reserver *r, const struct hop_msg *m, walltime_t wall, nsec_t now) {
    assert(r->state == RESERVER_ASKING);
    set_now(r, now);
    unsigned kind;
    int e = judge(r, m, &kind);
    if (e < 0)
        rest_after_failure(r, kind);
    else
        hold(r, m, wall);
    return e;
}

void reserver_failed(struct reserver *r, enum reserver_failure why, nsec_t now) {
    assert(is_in_flight(r));
    set_now(r, now);
    rest_after_failure(r, why);
}

void reserver_reached(struct reserver *r, nsec_t now) {
    set_now(r, now);
    set_state(r, RESERVER_ASKING, now + RESERVER_ANSWER_TIMEOUT);
}

/* --- what else happens ----------------------------------------------------------------------- */

void reserver_init(struct reserver *r, const struct reserver_config *cfg, nsec_t now) {
    assert(cfg->renew_interval > 0);
    *r = (struct reserver){
        .cfg = *cfg, .state = RESERVER_IDLE, .last_failure = FAILURES, .next_at = NSEC_NEVER};
    set_now(r, now);
}

void reserver_start(struct reserver *r, nsec_t now) {
    assert(r->state == RESERVER_IDLE);
    set_now(r, now);
    r->failures = 0;
    r->short_holds = 0;
    rest_until(r, now);
}

void reserver_stop(struct reserver *r, nsec_t now) {
    set_now(r, now);
    if (r->state == RESERVER_IDLE)
        return;
    if (is_in_flight(r))
        give_up(r);
    lose(r);
    set_state(r, RESERVER_IDLE, NSEC_NEVER);
}

void reserver_conn_closed(struct reserver *r, nsec_t now) {
    set_now(r, now);
    if (!r->held)
        return;
    bool settled = now - r->held_since >= RESERVER_SETTLED_AFTER;
    r->short_holds = settled ? 0 : r->short_holds + 1;
    lose(r);
    if (is_in_flight(r))
        return;
    rest_until(r, settled ? now : now + rest_after(r, RESERVER_BROKEN, r->short_holds));
}

void reserver_conn_opened(struct reserver *r, nsec_t now) {
    set_now(r, now);
    bool was_unreached = r->failures > 0 && r->last_failure == RESERVER_UNREACHED;
    bool is_fine = r->held && r->failures == 0;
    if (r->state == RESERVER_RESTING && (is_fine || was_unreached))
        rest_until(r, now);
}

void reserver_network_changed(struct reserver *r, nsec_t now) {
    set_now(r, now);
    if (r->state == RESERVER_IDLE)
        return;
    r->failures = 0;
    r->short_holds = 0;
    if (is_in_flight(r))
        give_up(r);
    rest_until(r, now);
}

bool reserver_next_event(struct reserver *r, enum reserver_event *ret_event, bool *ret_changed) {
    for (unsigned event = RESERVER_EV_GIVE_UP; event <= RESERVER_EV_ASK; event++) {
        if (!is_pending(r, event))
            continue;
        withdraw(r, event);
        *ret_event = event;
        *ret_changed = event == RESERVER_EV_HELD && r->addrs_changed;
        if (event == RESERVER_EV_HELD)
            r->addrs_changed = false;
        return true;
    }
    return false;
}

nsec_t reserver_deadline(const struct reserver *r) {
    return r->held ? MIN(r->next_at, r->held_until) : r->next_at;
}

void reserver_tick(struct reserver *r, nsec_t now) {
    set_now(r, now);
    if (r->held && now >= r->held_until)
        lose(r);
    if (now < r->next_at)
        return;
    if (r->state == RESERVER_RESTING) {
        begin_attempt(r);
        return;
    }
    if (!is_in_flight(r))
        return;
    bool reached = r->state == RESERVER_ASKING;
    give_up(r);
    rest_after_failure(r, reached ? RESERVER_BROKEN : RESERVER_UNREACHED);
}

/* SPDX-License-Identifier: MIT */
#include "transport/proto/ping.h"

#include "core/base/err.h"
#include "core/base/rng.h"

/* --- acceptor -------------------------------------------------------------------------------- */

static void acceptor_set_now(struct ping_acceptor *p, nsec_t now) {
    assert(now >= p->now);
    p->now = now;
}

static void acceptor_end(struct ping_acceptor *p, int error) {
    assert(!p->over);
    p->over = true;
    p->has_event = true;
    p->error = error;
}

void ping_acceptor_init(struct ping_acceptor *p, nsec_t now) {
    *p = (struct ping_acceptor){
        .idle_deadline = now + PING_IDLE_TIMEOUT,
        .stream_deadline = now + PING_STREAM_TIMEOUT,
        .now = now,
    };
}

size_t ping_acceptor_recv(struct ping_acceptor *p, struct bytes in, nsec_t now) {
    acceptor_set_now(p, now);
    if (p->over)
        return 0;
    size_t n = MIN(in.len, (size_t)(PING_BYTES - p->got));
    if (n == 0)
        return 0;
    memcpy(p->block + p->got, in.data, n);
    p->got = (uint8_t)(p->got + n);
    if (p->got == PING_BYTES)
        p->idle_deadline = now + PING_IDLE_TIMEOUT;
    return n;
}

void ping_acceptor_recv_end(struct ping_acceptor *p, nsec_t now) {
    acceptor_set_now(p, now);
    p->ended = true;
    if (!p->over && p->got < PING_BYTES)
        acceptor_end(p, 0);
}

size_t ping_acceptor_pull(struct ping_acceptor *p, void *out, size_t size, nsec_t now) {
    acceptor_set_now(p, now);
    if (p->over || p->got < PING_BYTES)
        return 0;
    size_t n = MIN(size, (size_t)(PING_BYTES - p->sent));
    memcpy(out, p->block + p->sent, n);
    p->sent = (uint8_t)(p->sent + n);
    if (p->sent == PING_BYTES) {
        p->got = 0;
        p->sent = 0;
        if (p->ended)
            acceptor_end(p, 0);
    }
    return n;
}

bool ping_acceptor_next_event(struct ping_acceptor *p, int *ret_error) {
    if (!p->has_event)
        return false;
    p->has_event = false;
    *ret_error = p->error;
    return true;
}

nsec_t ping_acceptor_deadline(const struct ping_acceptor *p) {
    return p->over ? NSEC_NEVER : MIN(p->idle_deadline, p->stream_deadline);
}

void ping_acceptor_tick(struct ping_acceptor *p, nsec_t now) {
    acceptor_set_now(p, now);
    if (now >= ping_acceptor_deadline(p))
        acceptor_end(p, -ETIMEDOUT);
}

/* --- opener ---------------------------------------------------------------------------------- */

/* From -> to.
 *
 *   IDLE     SENDING (driver)          DEAD (bytes that nobody asked for)
 *   SENDING  WAITING (all was pulled)  DEAD
 *   WAITING  IDLE (the block is back)  DEAD
 *   DEAD     nothing
 */
static void set_state(struct ping_opener *p, enum ping_opener_state to) {
    static const uint8_t legal_next[] = {
        [PING_IDLE] = 1 << PING_SENDING | 1 << PING_DEAD,
        [PING_SENDING] = 1 << PING_WAITING | 1 << PING_DEAD,
        [PING_WAITING] = 1 << PING_IDLE | 1 << PING_DEAD,
        [PING_DEAD] = 0,
    };
    assert(legal_next[p->state] & 1 << to);
    p->state = (uint8_t)to;
}

static void opener_set_now(struct ping_opener *p, nsec_t now) {
    assert(now >= p->now);
    p->now = now;
}

static void emit(struct ping_opener *p, struct ping_event event) {
    p->has_event = true;
    p->event = event;
}

/* A pong that was not yet fetched gives way: the end is what counts. */
static void fail(struct ping_opener *p, int error) {
    set_state(p, PING_DEAD);
    emit(p, (struct ping_event){.type = PING_EV_FAILED, .error = error});
}

void ping_opener_init(struct ping_opener *p, struct rng *rng, nsec_t now) {
    *p = (struct ping_opener){.rng = rng, .state = PING_IDLE, .now = now};
}

void ping_opener_send(struct ping_opener *p, nsec_t now) {
    assert(!p->has_event);
    opener_set_now(p, now);
    set_state(p, PING_SENDING);
    rng_fill(p->rng, p->block, sizeof(p->block));
    p->sent = 0;
    p->got = 0;
    p->deadline = now + PING_ROUND_TIMEOUT;
}

void ping_opener_recv(struct ping_opener *p, struct bytes in, nsec_t now) {
    opener_set_now(p, now);
    if (in.len == 0 || p->state == PING_DEAD)
        return;
    size_t expected = p->state == PING_WAITING ? (size_t)(PING_BYTES - p->got) : 0;
    if (in.len > expected || memcmp(in.data, p->block + p->got, in.len) != 0) {
        fail(p, -ERR_PROTOCOL_VIOLATION);
        return;
    }
    p->got = (uint8_t)(p->got + in.len);
    if (p->got == PING_BYTES) {
        set_state(p, PING_IDLE);
        emit(p, (struct ping_event){.type = PING_EV_PONG, .rtt = now - p->started_at});
    }
}

void ping_opener_recv_end(struct ping_opener *p, nsec_t now) {
    opener_set_now(p, now);
    if (p->state == PING_SENDING || p->state == PING_WAITING)
        fail(p, -ERR_TRUNCATED);
}

size_t ping_opener_pull(struct ping_opener *p, void *out, size_t size, nsec_t now) {
    opener_set_now(p, now);
    if (p->state != PING_SENDING || size == 0)
        return 0;
    if (p->sent == 0)
        p->started_at = now;
    size_t n = MIN(size, (size_t)(PING_BYTES - p->sent));
    memcpy(out, p->block + p->sent, n);
    p->sent = (uint8_t)(p->sent + n);
    if (p->sent == PING_BYTES)
        set_state(p, PING_WAITING);
    return n;
}

bool ping_opener_next_event(struct ping_opener *p, struct ping_event *ret_event) {
    if (!p->has_event)
        return false;
    p->has_event = false;
    *ret_event = p->event;
    return true;
}

nsec_t ping_opener_deadline(const struct ping_opener *p) {
    bool is_under_way = p->state == PING_SENDING || p->state == PING_WAITING;
    return is_under_way ? p->deadline : NSEC_NEVER;
}

void ping_opener_tick(struct ping_opener *p, nsec_t now) {
    opener_set_now(p, now);
    if (now >= ping_opener_deadline(p))
        fail(p, -ETIMEDOUT);
}

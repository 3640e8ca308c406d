/* SPDX-License-Identifier: MIT */
/* The reserver, script: what the driver, the relay and the clock do are operations.  Oracles:
 * attempts come one at a time and a second apart, each ends once, HELD and LOST take turns, and
 * there is always something planned. */
#include "core/base/err.h"
#include "core/base/rng.h"
#include "relay/proto/circuit_msg.h"
#include "relay/proto/reserver.h"
#include "tests/fuzz/fuzz.h"

enum {
    OP_TICK,
    OP_REACHED,
    OP_ANSWER,
    OP_FAILED,
    OP_CLOSED,
    OP_NETWORK,
    OP_STOP,
    OP_START,
    OP_OPENED
};
enum { OP_COUNT = OP_OPENED + 1 };

/* In the last hour of the reservation of the vectors. */
#define WALL ((walltime_t)1800000000 - 3600)

/* What the driver of the engine knows. */
struct driver {
    struct reserver r;
    struct rng rng;
    nsec_t now;
    bool asked; /* an attempt is in flight */
    bool held;
    bool ever_asked;
    nsec_t asked_at;
};

static void count_up(struct rng *g, void *out, size_t size) {
    (void)g;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)(0x80 + i);
}

static void drain(struct driver *d) {
    enum reserver_event event;
    bool changed;
    while (reserver_next_event(&d->r, &event, &changed)) {
        switch (event) {
        case RESERVER_EV_GIVE_UP:
            assert(d->asked);
            d->asked = false;
            break;
        case RESERVER_EV_LOST:
            assert(d->held);
            d->held = false;
            break;
        case RESERVER_EV_HELD:
            assert(d->held || changed);
            d->held = true;
            break;
        case RESERVER_EV_ASK:
            assert(!d->asked);
            assert(!d->ever_asked || d->now - d->asked_at >= RESERVER_SPACING);
            d->asked = true;
            d->ever_asked = true;
            d->asked_at = d->now;
            break;
        }
    }
}

static void check(const struct driver *d) {
    size_t count;
    nsec_t deadline = reserver_deadline(&d->r);
    (void)reserver_addrs(&d->r, &count);
    assert(count <= RESERVER_ADDRS_MAX);
    assert(d->held || count == 0);
    assert(d->held == reserver_is_held(&d->r));
    assert((deadline == NSEC_NEVER) == (d->r.state == RESERVER_IDLE));
    if (deadline != NSEC_NEVER)
        assert(deadline <= d->now + RESERVER_LIFETIME_MAX);
    if (d->r.state == RESERVER_IDLE)
        assert(!d->asked && !d->held);
}

/* The outcome of the attempt in flight is told by one of these. */
static void end_attempt(struct driver *d, uint8_t op, uint8_t n, struct bytes message) {
    struct hop_msg m;
    if (op == OP_REACHED) {
        if (d->r.state == RESERVER_REACHING)
            reserver_reached(&d->r, d->now);
        return;
    }
    d->asked = false;
    if (op == OP_FAILED || d->r.state != RESERVER_ASKING || hop_msg_decode(message, &m) < 0) {
        reserver_failed(&d->r, n % (RESERVER_DENIED + 1), d->now);
        return;
    }
    int e = reserver_answer(&d->r, &m, WALL, d->now);
    if (e == 0)
        assert(reserver_is_held(&d->r));
}

static void step(struct driver *d, struct bytes *script) {
    uint8_t op = fuzz_u8(script) % OP_COUNT;
    uint8_t n = fuzz_u8(script);
    struct bytes message = op == OP_ANSWER ? fuzz_take(script, n) : BYTES_EMPTY;
    switch (op) {
    case OP_TICK:
        d->now += MSEC(n * 100);
        if (n == 255 && d->r.state != RESERVER_IDLE)
            d->now = MAX(d->now, reserver_deadline(&d->r));
        reserver_tick(&d->r, d->now);
        assert(reserver_deadline(&d->r) > d->now || d->r.state == RESERVER_IDLE);
        break;
    case OP_CLOSED:
        reserver_conn_closed(&d->r, d->now);
        break;
    case OP_OPENED:
        reserver_conn_opened(&d->r, d->now);
        break;
    case OP_NETWORK:
        reserver_network_changed(&d->r, d->now);
        break;
    case OP_STOP:
        reserver_stop(&d->r, d->now);
        break;
    case OP_START:
        if (d->r.state == RESERVER_IDLE)
            reserver_start(&d->r, d->now);
        break;
    default:
        if (d->asked)
            end_attempt(d, op, n, message);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    struct driver d = {.rng = {.fill = count_up}};
    struct reserver_config cfg = {
        .relay = {.len = 3, .bytes = {0, 1, 1}},
        .self = {.len = 3, .bytes = {0, 1, 2}},
        .rng = &d.rng,
        .renew_interval = NSEC_NEVER,
    };
    reserver_init(&d.r, &cfg, d.now);
    reserver_start(&d.r, d.now);
    drain(&d);
    while (script.len > 0) {
        step(&d, &script);
        drain(&d);
        check(&d);
    }
    return 0;
}

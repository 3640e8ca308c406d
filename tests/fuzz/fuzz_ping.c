/* SPDX-License-Identifier: MIT */
/* The small engines, ping, pingpong and perf, script: the first byte picks one, then each operation
 * feeds, pulls, advances the clock or ends the peer's bytes.  Oracles: one last event and silence
 * behind it, a deadline only before it, and each protocol's own sums. */
#include "core/base/rng.h"
#include "tests/fuzz/fuzz.h"
#include "transport/proto/perf.h"
#include "transport/proto/ping.h"
#include "transport/proto/pingpong.h"

enum { OP_FEED, OP_PULL, OP_TICK, OP_END, OP_COUNT };

/* One step of a script. */
struct step {
    uint8_t op;
    struct bytes in; /* OP_FEED */
    size_t size;     /* OP_PULL */
    nsec_t now;
};

static bool next_step(struct bytes *script, nsec_t *now, struct step *ret_step) {
    if (script->len == 0)
        return false;
    uint8_t op = fuzz_u8(script);
    size_t n = fuzz_u8(script);
    *ret_step = (struct step){.op = op % OP_COUNT, .size = n % 48};
    if (ret_step->op == OP_FEED)
        ret_step->in = fuzz_take(script, n % 80);
    if (ret_step->op == OP_TICK)
        *now += MSEC(n * 100);
    ret_step->now = *now;
    return true;
}

static void run_ping_acceptor(struct bytes script) {
    struct ping_acceptor p;
    struct step s;
    nsec_t now = 0;
    size_t taken = 0;
    size_t echoed = 0;
    bool over = false;
    ping_acceptor_init(&p, now);
    while (next_step(&script, &now, &s)) {
        uint8_t out[48];
        int error;
        if (s.op == OP_FEED)
            taken += ping_acceptor_recv(&p, s.in, now);
        else if (s.op == OP_PULL)
            echoed += ping_acceptor_pull(&p, out, s.size, now);
        else if (s.op == OP_TICK)
            ping_acceptor_tick(&p, now);
        else
            ping_acceptor_recv_end(&p, now);
        assert(echoed <= taken - taken % PING_BYTES);
        assert(taken - echoed <= PING_BYTES);
        while (ping_acceptor_next_event(&p, &error)) {
            assert(!over);
            over = true;
        }
        assert((ping_acceptor_deadline(&p) == NSEC_NEVER) == over);
        if (s.op == OP_TICK && !over)
            assert(ping_acceptor_deadline(&p) > now);
    }
}

static void count_up(struct rng *g, void *out, size_t size) {
    (void)g;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)i;
}

/* A new round begins whenever the last one ended well. */
static void run_ping_opener(struct bytes script) {
    struct rng rng = {.fill = count_up};
    struct ping_opener p;
    struct ping_event event;
    struct step s;
    nsec_t now = 0;
    size_t pulled = 0;
    bool over = false;
    ping_opener_init(&p, &rng, now);
    ping_opener_send(&p, now);
    while (next_step(&script, &now, &s)) {
        uint8_t out[48];
        if (s.op == OP_FEED)
            ping_opener_recv(&p, s.in, now);
        else if (s.op == OP_PULL)
            pulled = ping_opener_pull(&p, out, s.size, now);
        else if (s.op == OP_TICK)
            ping_opener_tick(&p, now);
        else
            ping_opener_recv_end(&p, now);
        assert(pulled <= PING_BYTES);
        while (ping_opener_next_event(&p, &event)) {
            assert(!over);
            over = event.type == PING_EV_FAILED;
            if (over)
                continue;
            assert(event.rtt <= PING_ROUND_TIMEOUT);
            ping_opener_send(&p, now);
        }
        assert((ping_opener_deadline(&p) == NSEC_NEVER) == over);
    }
}

static void run_pingpong(struct bytes script, bool is_opener) {
    struct pingpong p;
    struct pingpong_event event;
    struct step s;
    nsec_t now = 0;
    size_t sent = 0;
    bool over = false;
    if (is_opener)
        pingpong_init_opener(&p, now);
    else
        pingpong_init_acceptor(&p, now);
    while (next_step(&script, &now, &s)) {
        uint8_t out[48];
        if (s.op == OP_FEED)
            pingpong_recv(&p, s.in, now);
        else if (s.op == OP_PULL)
            sent += pingpong_pull(&p, out, s.size, now);
        else if (s.op == OP_TICK)
            pingpong_tick(&p, now);
        else
            pingpong_recv_end(&p, now);
        assert(sent <= sizeof("unknown"));
        while (pingpong_next_event(&p, &event)) {
            assert(!over);
            over = true;
            if (event.type == PINGPONG_EV_DONE)
                assert(sent > 0);
        }
        assert((pingpong_deadline(&p) == NSEC_NEVER) == over);
    }
}

static void run_perf_acceptor(struct bytes script) {
    enum { CAP = 1000 };
    struct perf_acceptor p;
    struct perf_event event;
    struct step s;
    nsec_t now = 0;
    bool ended = false;
    bool over = false;
    perf_acceptor_init(&p, CAP, now);
    while (next_step(&script, &now, &s)) {
        if (s.op == OP_FEED) {
            perf_acceptor_recv(&p, s.in, now);
        } else if (s.op == OP_PULL) {
            size_t n = perf_acceptor_fill(&p, s.size, now);
            assert(n <= s.size);
            assert(n == 0 || ended);
        } else if (s.op == OP_TICK) {
            perf_acceptor_tick(&p, now);
        } else {
            perf_acceptor_recv_end(&p, now);
            ended = true;
        }
        assert(p.bytes_received <= CAP);
        assert(p.bytes_sent <= CAP);
        while (perf_acceptor_next_event(&p, &event)) {
            assert(!over);
            over = true;
            if (event.type == PERF_EV_DONE)
                assert(p.bytes_sent == p.bytes_wanted);
        }
        assert((perf_acceptor_deadline(&p) == NSEC_NEVER) == over);
    }
}

static void run_perf_opener(struct bytes script) {
    struct perf_opener p;
    struct perf_event event;
    struct step s;
    uint8_t head[PERF_HEAD_BYTES];
    nsec_t now = 0;
    size_t filled = 0;
    bool half_closed = false;
    bool over = false;
    uint8_t upload = fuzz_u8(&script);
    uint8_t download = fuzz_u8(&script);
    perf_opener_init(&p, upload, download, now);
    perf_opener_head(&p, head, now);
    while (next_step(&script, &now, &s)) {
        if (s.op == OP_FEED)
            perf_opener_recv(&p, s.in, now);
        else if (s.op == OP_PULL)
            filled += perf_opener_fill(&p, s.size, now);
        else if (s.op == OP_TICK)
            perf_opener_tick(&p, now);
        else
            perf_opener_recv_end(&p, now);
        assert(p.bytes_uploaded == filled);
        assert(p.bytes_downloaded <= p.bytes_to_download);
        while (perf_opener_next_event(&p, &event)) {
            assert(!over);
            over = event.type != PERF_EV_HALF_CLOSE;
            if (!over) {
                assert(!half_closed);
                half_closed = true;
            }
            if (event.type == PERF_EV_DONE)
                assert(p.bytes_uploaded == p.bytes_to_upload &&
                       p.bytes_downloaded == p.bytes_to_download);
        }
        assert((perf_opener_deadline(&p) == NSEC_NEVER) == over);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    switch (fuzz_u8(&script) % 6) {
    case 0:
        run_ping_acceptor(script);
        break;
    case 1:
        run_ping_opener(script);
        break;
    case 2:
        run_pingpong(script, false);
        break;
    case 3:
        run_pingpong(script, true);
        break;
    case 4:
        run_perf_acceptor(script);
        break;
    default:
        run_perf_opener(script);
        break;
    }
    return 0;
}

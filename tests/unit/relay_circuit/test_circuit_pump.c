/* SPDX-License-Identifier: MIT */

/* The circuit pump between two streams in memory whose other ends are the test's own. */

#include "core/base/err.h"
#include "core/base/rng.h"
#include "relay/circuit_pump.h"
#include "tests/support/fake_host.h"
#include "tests/support/fixed_rng.h"
#include "tests/unit/uring/fake_backend.h"

/* The far end of one of the pump's streams: what a peer sees. */
struct far {
    struct stream *stream;
    uint64_t sent; /* of the pattern */
    uint64_t got;
    bool is_wrong; /* the bytes were not the pattern's */
    bool is_ended;
    bool is_paused;
    bool was_reset;
    uint64_t reset_code;
    bool was_stopped;
    uint64_t stop_code;
};

struct rig {
    struct reactor *reactor;
    struct fake *fake;
    struct circuit_pump pump;
    struct circuit_totals totals;
    struct stream *near[2]; /* the pump's */
    struct far far[2];      /* of the source, of the destination */
    struct slice rest[2];
    uint64_t data_max;
    nsec_t duration_max;
    int closed;
    int error;
};

/* The bytes of each direction differ. */
static uint8_t pattern(uint64_t at, int salt) {
    return (uint8_t)((at * 31 + (at >> 8)) ^ (salt == 0 ? 0x5a : 0xc3));
}

static void take_in(const struct rig *rig, struct far *f, const struct slice *s) {
    int salt = f == &rig->far[0]; /* the other end's */
    for (uint32_t i = 0; i < s->len; i++)
        f->is_wrong |= s->data[i] != pattern(f->got + i, salt);
    f->got += s->len;
}

static void far_read(const struct rig *rig, struct far *f, size_t max) {
    struct slice v[8];
    ssize_t n;
    while (!f->is_ended && !f->was_reset && max > 0 &&
           (n = stream_read(f->stream, v, MIN(ARRAY_COUNT(v), max))) != 0) {
        f->is_ended = n == -ENODATA;
        for (ssize_t i = 0; i < n; i++) {
            take_in(rig, f, &v[i]);
            stream_consume(f->stream, &v[i]);
            max--;
        }
        if (n < 0)
            break;
    }
}

static struct far *far_of(const struct rig *rig, const struct stream *s) {
    return (struct far *)&rig->far[rig->far[1].stream == s];
}

static void on_readable(struct stream *s) {
    struct rig *rig = stream_user(s);
    struct far *f = far_of(rig, s);
    if (!f->is_paused)
        far_read(rig, f, SIZE_MAX);
}

static void on_writable(struct stream *s) {
    (void)s;
}

static void on_stopped(struct stream *s, uint64_t code) {
    struct far *f = far_of(stream_user(s), s);
    f->was_stopped = true;
    f->stop_code = code;
}

static void on_reset(struct stream *s, uint64_t code) {
    struct far *f = far_of(stream_user(s), s);
    f->was_reset = true;
    f->reset_code = code;
}

static void on_closed(struct stream *s, int error) {
    (void)s;
    (void)error;
}

static const struct stream_events far_events = {on_readable, on_writable, on_stopped, on_reset,
                                                on_closed};

static void on_pump_closed(struct circuit_pump *p, int error) {
    struct rig *rig = CONTAINER_OF(p, struct rig, pump);
    rig->closed++;
    rig->error = error;
}

static void turn(struct rig *rig) {
    for (int i = 0; i < 200; i++)
        fake_turn(rig->reactor);
}

static void rig_prepare(struct rig *rig) {
    *rig = (struct rig){.rest = {SLICE_EMPTY, SLICE_EMPTY}};
    rig->fake = fake_new(&rig->reactor);
    for (int i = 0; i < 2; i++) {
        fake_stream_pair(rig->reactor, &rig->near[i], &rig->far[i].stream);
        stream_set_events(rig->far[i].stream, &far_events, rig);
    }
}

static void rig_start(struct rig *rig) {
    cr_assert_eq(circuit_pump_init(&rig->pump, rig->reactor), 0);
    circuit_pump_start(&rig->pump, &(struct circuit_pump_config){.source = rig->near[0],
                                                                 .destination = rig->near[1],
                                                                 .source_rest = &rig->rest[0],
                                                                 .destination_rest = &rig->rest[1],
                                                                 .data_max = rig->data_max,
                                                                 .duration_max = rig->duration_max,
                                                                 .totals = &rig->totals,
                                                                 .closed = on_pump_closed});
    cr_assert_eq(rig->closed, 0, "told from inside a call");
}

static void rig_open(struct rig *rig) {
    rig_prepare(rig);
    rig_start(rig);
}

/* Releasing asserts that no slab is charged to a stream any more. */
static void rig_close(struct rig *rig) {
    circuit_pump_abort(&rig->pump, -ERR_SHUTDOWN, STREAM_CODE_SHUTDOWN);
    turn(rig);
    cr_assert_eq(rig->closed, 1);
    circuit_pump_done(&rig->pump);
    for (int i = 0; i < 2; i++) {
        cr_expect_not(rig->far[i].is_wrong);
        stream_release(rig->far[i].stream);
    }
    fake_free(rig->reactor);
}

static struct slice pattern_slice(struct rig *rig, int from, uint32_t len, struct quota *quota) {
    struct buf *b = buf_new(reactor_pool(rig->reactor), buf_class_for(len), quota);
    cr_assert(b != NULL);
    for (uint32_t i = 0; i < len; i++)
        b->data[i] = pattern(rig->far[from].sent + i, from);
    return slice_of(b, 0, len);
}

/* Sends so many bytes of the pattern, as one slice.  false: there is no room. */
static bool far_send(struct rig *rig, int from, uint32_t len) {
    struct far *f = &rig->far[from];
    if (quota_left(stream_quota(f->stream)) < buf_class_size(BUF_64K))
        return false;
    struct slice s = pattern_slice(rig, from, len, stream_quota(f->stream));
    if (stream_write(f->stream, &s, 1) != 1) {
        slice_unref(&s);
        return false;
    }
    f->sent += len;
    return true;
}

static uint64_t passed(const struct rig *rig, enum circuit_direction to) {
    return rig->pump.ways[to].bytes;
}

/* --- Orderly ends --- */

Test(circuit_pump, carries_both_ways_and_ends_when_both_have_ended) {
    for (int first = 0; first < 2; first++) {
        struct rig rig;
        rig_open(&rig);
        cr_assert(far_send(&rig, 0, 3000));
        cr_assert(far_send(&rig, 1, 70));
        stream_shutdown_write(rig.far[first].stream);
        turn(&rig);
        cr_assert(rig.far[1 - first].is_ended);
        cr_assert_not(rig.far[first].is_ended);
        cr_assert_eq(rig.closed, 0);

        cr_assert(far_send(&rig, 1 - first, 500));
        turn(&rig);
        stream_shutdown_write(rig.far[1 - first].stream);
        turn(&rig);
        cr_assert_eq(rig.closed, 1);
        cr_assert_eq(rig.error, 0);
        cr_assert(rig.far[first].is_ended);
        cr_assert_eq(rig.far[1].got, rig.far[0].sent);
        cr_assert_eq(rig.far[0].got, rig.far[1].sent);
        cr_assert_eq(rig.totals.to_destination, rig.far[0].sent);
        cr_assert_eq(rig.totals.to_source, rig.far[1].sent);
        cr_assert_not(rig.far[0].was_reset || rig.far[1].was_reset);
        rig_close(&rig);
    }
}

/* What arrived before the pump was there, and ended: readable() was told to somebody else. */
Test(circuit_pump, looks_for_what_was_told_before_it_started) {
    struct rig rig;
    rig_prepare(&rig);
    cr_assert(far_send(&rig, 0, 100));
    stream_shutdown_write(rig.far[0].stream);
    cr_assert(far_send(&rig, 1, 200));
    stream_shutdown_write(rig.far[1].stream);
    turn(&rig);
    rig_start(&rig);
    turn(&rig);
    cr_assert_eq(rig.closed, 1);
    cr_assert_eq(rig.error, 0);
    cr_assert_eq(rig.far[0].got, 200);
    cr_assert_eq(rig.far[1].got, 100);
    rig_close(&rig);
}

/* The byte behind the handshake's last message belongs to the circuit, before all others. */
Test(circuit_pump, what_came_behind_the_handshake_goes_first) {
    struct rig rig;
    rig_prepare(&rig);
    for (int i = 0; i < 2; i++) {
        cr_assert(far_send(&rig, i, 10));
        cr_assert_eq(stream_read(rig.near[i], &rig.rest[i], 1), 1);
        cr_assert(far_send(&rig, i, 20));
    }
    rig_start(&rig);
    cr_assert_eq(rig.rest[0].len, 0);
    cr_assert_eq(rig.rest[1].len, 0);
    turn(&rig);
    cr_assert_eq(rig.far[0].got, 30);
    cr_assert_eq(rig.far[1].got, 30);
    rig_close(&rig);
}

/* --- Stops --- */

/* What go does to close: STOP_SENDING(0) and FIN.  What it sent before arrives, its end, too, and
 * the other side learns that nobody reads any more. */
Test(circuit_pump, an_end_as_go_closes_loses_nothing) {
    for (int who = 0; who < 2; who++) {
        struct rig rig;
        rig_open(&rig);
        cr_assert(far_send(&rig, who, 60000));
        cr_assert(far_send(&rig, 1 - who, 10));
        stream_stop_reading(rig.far[who].stream, 0);
        stream_shutdown_write(rig.far[who].stream);
        turn(&rig);
        cr_assert_eq(rig.far[1 - who].got, 60000);
        cr_assert(rig.far[1 - who].is_ended);
        cr_assert(rig.far[1 - who].was_stopped);
        cr_assert_eq(rig.far[1 - who].stop_code, 0);
        cr_assert_not(rig.far[1 - who].was_reset);
        cr_assert_eq(rig.closed, 1);
        cr_assert_eq(rig.error, 0);
        rig_close(&rig);
    }
}

Test(circuit_pump, a_stop_is_handed_on_and_the_other_way_goes_on) {
    struct rig rig;
    rig_open(&rig);
    rig.far[1].is_paused = true;
    while (far_send(&rig, 0, 60000))
        turn(&rig);
    cr_assert_gt(rig.pump.ways[CIRCUIT_TO_DESTINATION].held_count, 0);
    stream_stop_reading(rig.far[1].stream, 77);
    turn(&rig);
    cr_assert(rig.far[0].was_stopped);
    cr_assert_eq(rig.far[0].stop_code, 77);
    cr_assert_eq(rig.pump.ways[CIRCUIT_TO_DESTINATION].held_count, 0);
    cr_assert_eq(rig.closed, 0);
    cr_assert(far_send(&rig, 1, 1234));
    turn(&rig);
    cr_assert_eq(rig.far[0].got, 1234);
    stream_shutdown_write(rig.far[1].stream);
    turn(&rig);
    cr_assert_eq(rig.closed, 1);
    cr_assert_eq(rig.error, 0);
    rig_close(&rig);
}

/* The stop was told to the owner before: the first write tells it again. */
Test(circuit_pump, a_stop_before_the_start_is_found_by_the_first_write) {
    struct rig rig;
    rig_prepare(&rig);
    stream_stop_reading(rig.far[1].stream, 0);
    turn(&rig);
    rig_start(&rig);
    cr_assert(far_send(&rig, 0, 5));
    turn(&rig);
    cr_assert(rig.far[0].was_stopped);
    cr_assert_eq(rig.closed, 0);
    rig_close(&rig);
}

/* --- Resets and deaths --- */

Test(circuit_pump, a_reset_of_either_stream_resets_the_other) {
    for (int who = 0; who < 2; who++) {
        struct rig rig;
        rig_open(&rig);
        cr_assert(far_send(&rig, 1 - who, 100));
        turn(&rig);
        stream_reset(rig.far[who].stream, 99);
        turn(&rig);
        cr_assert_eq(rig.closed, 1);
        cr_assert_eq(rig.error, -ERR_STREAM_RESET);
        cr_assert(rig.far[1 - who].was_reset);
        cr_assert_eq(rig.far[1 - who].reset_code, STREAM_CODE_NONE);
        rig_close(&rig);
    }
}

/* One way has ended already; a reset of the other one is one all the same. */
Test(circuit_pump, a_reset_behind_the_others_end_is_handed_on) {
    struct rig rig;
    rig_open(&rig);
    stream_shutdown_write(rig.far[0].stream);
    turn(&rig);
    cr_assert(rig.far[1].is_ended);
    stream_reset(rig.far[1].stream, 0);
    turn(&rig);
    cr_assert_eq(rig.closed, 1);
    cr_assert_eq(rig.error, -ERR_STREAM_RESET);
    cr_assert(rig.far[0].was_reset);
    rig_close(&rig);
}

Test(circuit_pump, a_reset_before_the_start_is_found_by_the_first_read) {
    struct rig rig;
    rig_prepare(&rig);
    stream_reset(rig.far[1].stream, 0);
    turn(&rig);
    rig_start(&rig);
    turn(&rig);
    cr_assert_eq(rig.closed, 1);
    cr_assert_eq(rig.error, -ERR_STREAM_RESET);
    cr_assert(rig.far[0].was_reset);
    rig_close(&rig);
}

Test(circuit_pump, a_dead_connection_resets_the_other_stream) {
    for (int who = 0; who < 2; who++) {
        struct rig rig;
        rig_open(&rig);
        cr_assert(far_send(&rig, who, 4000));
        turn(&rig);
        fake_stream_kill(rig.near[who], -ETIMEDOUT);
        turn(&rig);
        cr_assert_eq(rig.closed, 1);
        cr_assert_eq(rig.error, -ETIMEDOUT);
        cr_assert(rig.far[1 - who].was_reset);
        rig_close(&rig);
    }
}

Test(circuit_pump, an_abort_drops_what_is_held_and_is_told_once) {
    struct rig rig;
    rig_open(&rig);
    rig.far[0].is_paused = true;
    rig.far[1].is_paused = true;
    while (far_send(&rig, 0, 60000) | far_send(&rig, 1, 60000))
        turn(&rig);
    cr_assert_gt(rig.pump.ways[CIRCUIT_TO_DESTINATION].held_count, 0);
    cr_assert_gt(rig.pump.ways[CIRCUIT_TO_SOURCE].held_count, 0);
    circuit_pump_abort(&rig.pump, -ERR_SHUTDOWN, STREAM_CODE_SHUTDOWN);
    circuit_pump_abort(&rig.pump, -ERR_STREAM_RESET, STREAM_CODE_NONE);
    cr_assert_eq(rig.closed, 0, "told from inside a call");
    turn(&rig);
    cr_assert_eq(rig.closed, 1);
    cr_assert_eq(rig.error, -ERR_SHUTDOWN);
    for (int i = 0; i < 2; i++) {
        cr_assert(rig.far[i].was_reset);
        cr_assert_eq(rig.far[i].reset_code, STREAM_CODE_SHUTDOWN);
    }
    rig_close(&rig);
}

/* Everything that can happen to either end, in every order of two, ends the pump once and leaves no
 * slab behind; orderly ends alone end it without an error. */
enum act { ACT_FIN, ACT_STOP, ACT_GO_CLOSE, ACT_RESET, ACT_DIE, ACT_COUNT };

static void act(struct rig *rig, int who, enum act what) {
    struct far *f = &rig->far[who];
    switch (what) {
    case ACT_FIN:
        stream_shutdown_write(f->stream);
        break;
    case ACT_STOP:
        stream_stop_reading(f->stream, 0);
        f->is_paused = true;
        break;
    case ACT_GO_CLOSE:
        stream_stop_reading(f->stream, 0);
        stream_shutdown_write(f->stream);
        f->is_paused = true;
        break;
    case ACT_RESET:
        stream_reset(f->stream, 0);
        f->is_paused = true;
        break;
    case ACT_DIE:
        if (rig->closed == 0)
            fake_stream_kill(rig->near[who], -ERR_CONN_CLOSED);
        break;
    case ACT_COUNT:
        break;
    }
}

/* Both ways are over. */
static bool ends_all(int who_a, enum act a, int who_b, enum act b) {
    bool is_over[2] = {false, false}; /* by the end that sends */
    int who[2] = {who_a, who_b};
    enum act acts[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        if (acts[i] >= ACT_GO_CLOSE)
            return true;
        is_over[acts[i] == ACT_FIN ? who[i] : 1 - who[i]] = true;
    }
    return is_over[0] && is_over[1];
}

Test(circuit_pump, every_end_in_every_order) {
    for (int row = 0; row < 2 * ACT_COUNT * 2 * ACT_COUNT * 2; row++) {
        struct rig rig;
        int who_a = row % 2, who_b = row / 2 % 2;
        enum act a = row / 4 % ACT_COUNT, b = row / 4 / ACT_COUNT % ACT_COUNT;
        bool at_once = row / 4 / ACT_COUNT / ACT_COUNT % 2 == 0;
        rig_open(&rig);
        cr_assert(far_send(&rig, 0, 5000));
        cr_assert(far_send(&rig, 1, 6000));
        act(&rig, who_a, a);
        if (!at_once)
            turn(&rig);
        act(&rig, who_b, b);
        turn(&rig);
        bool is_orderly = a <= ACT_GO_CLOSE && b <= ACT_GO_CLOSE;
        cr_assert_leq(rig.closed, 1);
        if (ends_all(who_a, a, who_b, b))
            cr_assert_eq(rig.closed, 1, "%d %d, %d %d, at once %d", who_a, a, who_b, b, at_once);
        if (is_orderly)
            cr_assert_eq(rig.error, 0, "%d %d, %d %d", who_a, a, who_b, b);
        rig_close(&rig);
    }
}

/* --- Limits --- */

/* The limit falls on every byte of slices of every size; exactly so many pass, then the end, and
 * the sender is told to stop.  The other way goes on. */
Test(circuit_pump, the_data_limit_is_exact) {
    static const uint32_t sizes[] = {1, 2, 3, 7, 1, 1, 16};
    for (uint64_t limit = 1; limit <= 40; limit++) {
        struct rig rig;
        rig_prepare(&rig);
        rig.data_max = limit;
        rig_start(&rig);
        for (size_t i = 0; i < ARRAY_COUNT(sizes) && !rig.far[0].was_stopped; i++) {
            cr_assert(far_send(&rig, 0, sizes[i]));
            if (limit % 2 == 0)
                turn(&rig);
        }
        turn(&rig);
        cr_assert_eq(rig.far[1].got, MIN(limit, (uint64_t)31));
        cr_assert_eq(rig.far[1].is_ended, limit <= 31, "limit %d", (int)limit);
        cr_assert_eq(rig.far[0].was_stopped, limit <= 31);
        cr_assert_not(rig.far[0].was_reset || rig.far[1].was_reset);

        cr_assert(far_send(&rig, 1, 1));
        turn(&rig);
        cr_assert_eq(rig.far[0].got, 1);
        stream_shutdown_write(rig.far[1].stream);
        stream_shutdown_write(rig.far[0].stream);
        turn(&rig);
        cr_assert_eq(rig.closed, 1);
        cr_assert_eq(rig.error, limit <= 31 || limit == 1 ? -ERR_LIMIT : 0);
        rig_close(&rig);
    }
}

/* What came behind the handshake counts, and each direction has its own count. */
Test(circuit_pump, the_data_limit_counts_what_came_behind_the_handshake) {
    struct rig rig;
    rig_prepare(&rig);
    rig.data_max = 6;
    for (int i = 0; i < 2; i++) {
        cr_assert(far_send(&rig, i, 10));
        cr_assert_eq(stream_read(rig.near[i], &rig.rest[i], 1), 1);
    }
    rig_start(&rig);
    turn(&rig);
    cr_assert_eq(rig.far[0].got, 6);
    cr_assert_eq(rig.far[1].got, 6);
    cr_assert(rig.far[0].is_ended && rig.far[1].is_ended);
    cr_assert_eq(rig.closed, 1);
    cr_assert_eq(rig.error, -ERR_LIMIT);
    rig_close(&rig);
}

/* While the reader is slow, the bytes before the limit wait, and arrive. */
Test(circuit_pump, the_data_limit_waits_for_a_slow_reader) {
    struct rig rig;
    rig_prepare(&rig);
    rig.data_max = 3 * FAKE_WINDOW_BYTES + 1;
    rig_start(&rig);
    rig.far[1].is_paused = true;
    while (far_send(&rig, 0, 50000))
        turn(&rig);
    cr_assert_not(rig.far[0].was_stopped);
    rig.far[1].is_paused = false;
    far_read(&rig, &rig.far[1], SIZE_MAX);
    while (!rig.far[0].was_stopped) {
        (void)far_send(&rig, 0, 50000);
        turn(&rig);
    }
    cr_assert_eq(rig.far[1].got, rig.data_max);
    cr_assert(rig.far[1].is_ended);
    rig_close(&rig);
}

Test(circuit_pump, the_duration_limit_resets_both_when_it_is_due_and_not_before) {
    struct rig rig;
    rig_prepare(&rig);
    rig.duration_max = SEC(120);
    rig_start(&rig);
    nsec_t due = reactor_now(rig.reactor) + SEC(120);
    cr_assert(far_send(&rig, 0, 10));
    cr_assert_eq(reactor_turn(rig.reactor, due - 1), 0);
    turn(&rig);
    cr_assert_eq(rig.far[1].got, 10);
    cr_assert_eq(rig.closed, 0);
    cr_assert_eq(reactor_turn(rig.reactor, due), 0);
    turn(&rig);
    cr_assert_eq(rig.closed, 1);
    cr_assert_eq(rig.error, -ETIME);
    cr_assert(rig.far[0].was_reset && rig.far[1].was_reset);
    rig_close(&rig);
}

/* --- Backpressure and memory --- */

static size_t bytes_in_use(const struct rig *rig) {
    struct buf_pool_stats stats;
    buf_pool_stats(reactor_pool(rig->reactor), &stats);
    return stats.bytes_in_use;
}

/* Nothing is read for a reader that does not read; when it goes on, so does all, and nothing is
 * lost. */
Test(circuit_pump, a_reader_that_does_not_read_holds_back_the_sender_and_memory) {
    struct rig rig;
    rig_open(&rig);
    rig.far[1].is_paused = true;
    while (far_send(&rig, 0, 8192))
        turn(&rig);
    uint64_t stuck = rig.far[0].sent;
    /* Two windows, and what a write may go beyond one. */
    cr_assert_leq(stuck, 2 * FAKE_WINDOW_BYTES + CIRCUIT_SLICES_MAX * 8192);
    cr_assert_leq(bytes_in_use(&rig), 2 * (2 * FAKE_WINDOW_BYTES + CIRCUIT_SLICES_MAX * 8192));
    cr_assert_leq(rig.pump.ways[CIRCUIT_TO_DESTINATION].held_count, CIRCUIT_SLICES_MAX);

    /* The other way is free. */
    cr_assert(far_send(&rig, 1, 777));
    turn(&rig);
    cr_assert_eq(rig.far[0].got, 777);

    rig.far[1].is_paused = false;
    far_read(&rig, &rig.far[1], SIZE_MAX);
    turn(&rig);
    cr_assert_eq(rig.far[1].got, stuck);
    cr_assert(far_send(&rig, 0, 8192));
    turn(&rig);
    cr_assert_eq(rig.far[1].got, stuck + 8192);
    cr_assert_eq(bytes_in_use(&rig), 0);
    rig_close(&rig);
}

/* Payload passes as it came, and what the destination holds is charged to it alone: the source's
 * stream can go before. */
Test(circuit_pump, slices_pass_by_reference_and_their_charge_with_them) {
    struct rig rig;
    rig_open(&rig);
    rig.far[1].is_paused = true;
    struct slice s = pattern_slice(&rig, 0, 60000, stream_quota(rig.far[0].stream));
    const uint8_t *data = s.data;
    struct slice second = slice_ref(&s);
    second.data += 50000;
    second.len -= 50000;
    s.len = 50000;
    struct slice both[] = {s, second};
    cr_assert_eq(stream_write(rig.far[0].stream, both, 2), 2);
    turn(&rig);
    cr_assert_eq(stream_quota(rig.far[0].stream)->used_bytes, 0);
    cr_assert_eq(stream_quota(rig.near[1])->used_bytes, 65536);

    stream_shutdown_write(rig.far[0].stream);
    stream_stop_reading(rig.far[0].stream, 0);
    stream_shutdown_write(rig.far[1].stream);
    turn(&rig);
    cr_assert_eq(rig.closed, 1);
    rig.far[0].stream = stream_release(rig.far[0].stream); /* asserts that nothing is charged */

    struct slice v[4];
    cr_assert_eq(stream_read(rig.far[1].stream, v, 4), 2);
    cr_assert_eq(v[0].data, data);
    cr_assert_eq(v[1].data, data + 50000);
    for (int i = 0; i < 2; i++) {
        take_in(&rig, &rig.far[1], &v[i]);
        stream_consume(rig.far[1].stream, &v[i]);
    }
    circuit_pump_done(&rig.pump);
    cr_assert_not(rig.far[1].is_wrong);
    stream_release(rig.far[1].stream);
    fake_free(rig.reactor);
}

/* A slab that others look at, too, stays theirs: its charge could not move. */
Test(circuit_pump, a_slice_of_a_shared_slab_is_copied) {
    struct rig rig;
    rig_open(&rig);
    rig.far[1].is_paused = true;
    struct slice s = pattern_slice(&rig, 0, 3000, stream_quota(rig.far[0].stream));
    struct slice others = slice_ref(&s);
    cr_assert_eq(stream_write(rig.far[0].stream, &s, 1), 1);
    turn(&rig);
    struct slice got;
    cr_assert_eq(stream_read(rig.far[1].stream, &got, 1), 1);
    cr_assert_neq(got.buf, others.buf);
    cr_assert_eq(got.buf->quota, stream_quota(rig.near[1]));
    cr_assert_eq(others.buf->quota, stream_quota(rig.far[0].stream));
    cr_assert_eq(others.buf->refs, 1);
    take_in(&rig, &rig.far[1], &got);
    stream_consume(rig.far[1].stream, &got);
    cr_assert_eq(rig.far[1].got, 3000);
    slice_unref(&others);
    rig_close(&rig);
}

/* No slab for the copy within the outgoing stream's quota: it waits like one for which there is no
 * room. */
Test(circuit_pump, a_copy_waits_for_the_quota) {
    struct rig rig;
    rig_open(&rig);
    rig.far[1].is_paused = true;
    struct quota *quota = stream_quota(rig.near[1]);
    struct slice s = pattern_slice(&rig, 0, 3000, stream_quota(rig.far[0].stream));
    struct slice others = slice_ref(&s);
    size_t max = quota->max_bytes;
    quota->max_bytes = 0;
    cr_assert_eq(stream_write(rig.far[0].stream, &s, 1), 1);
    turn(&rig);
    cr_assert_eq(rig.pump.ways[CIRCUIT_TO_DESTINATION].held_count, 1);
    cr_assert_eq(rig.closed, 0);
    quota->max_bytes = max;
    stream_credit(rig.far[1].stream, 0); /* as the reader does: writable() */
    turn(&rig);
    rig.far[1].is_paused = false;
    far_read(&rig, &rig.far[1], SIZE_MAX);
    cr_assert_eq(rig.far[1].got, 3000);
    slice_unref(&others);
    rig_close(&rig);
}

/* None for anybody: this circuit ends, and says why. */
Test(circuit_pump, a_copy_without_memory_ends_the_circuit) {
    struct rig rig;
    rig_open(&rig);
    struct buf *all[4096];
    size_t count = 0;
    struct slice s = pattern_slice(&rig, 0, 60000, stream_quota(rig.far[0].stream));
    struct slice others = slice_ref(&s);
    struct quota any = QUOTA_INIT(SIZE_MAX, NULL);
    while ((all[count] = buf_new(reactor_pool(rig.reactor), BUF_64K, &any)) != NULL)
        count++;
    cr_assert_eq(stream_write(rig.far[0].stream, &s, 1), 1);
    turn(&rig);
    cr_assert_eq(rig.closed, 1);
    cr_assert_eq(rig.error, -ENOMEM);
    cr_assert(rig.far[0].was_reset);
    cr_assert_eq(rig.far[0].reset_code, STREAM_CODE_RESOURCE_LIMIT);
    while (count > 0)
        buf_unref(all[--count]);
    slice_unref(&others);
    rig_close(&rig);
}

/* --- Anything --- */

struct random_run {
    struct rig rig;
    struct rng *rng;
    struct slice shared[8];
    uint32_t shared_count;
    uint64_t total[2];
    bool fin[2];
};

static void step_send(struct random_run *x, int from) {
    struct rig *rig = &x->rig;
    struct far *f = &rig->far[from];
    if (x->fin[from])
        return;
    if (f->sent == x->total[from]) {
        stream_shutdown_write(f->stream);
        x->fin[from] = true;
        return;
    }
    uint32_t len = 1 + rng_below(x->rng, rng_below(x->rng, 4) == 0 ? 65536 : 900);
    len = (uint32_t)MIN((uint64_t)len, x->total[from] - f->sent);
    if (quota_left(stream_quota(f->stream)) < buf_class_size(BUF_64K))
        return;
    struct slice s = pattern_slice(rig, from, len, stream_quota(f->stream));
    /* Some slabs are cut into several views, some are held by somebody else for a while. */
    struct slice v[4];
    uint32_t count = 0;
    while (s.len > 0 && count < 3) {
        v[count] = slice_ref(&s);
        v[count].len = 1 + rng_below(x->rng, s.len);
        slice_skip(&s, v[count].len);
        count++;
    }
    if (s.len > 0)
        v[count++] = slice_ref(&s);
    if (rng_below(x->rng, 4) == 0 && x->shared_count < ARRAY_COUNT(x->shared))
        x->shared[x->shared_count++] = slice_ref(&s);
    slice_unref(&s);
    ssize_t taken = stream_write(f->stream, v, count);
    cr_assert(taken >= 0 || taken == -EPIPE); /* stopped at the limit, of which we hear soon */
    for (uint32_t i = 0; i < count; i++) {
        if ((ssize_t)i < taken)
            f->sent += v[i].len;
        else
            slice_unref(&v[i]);
    }
}

static void drop_shared(struct random_run *x) {
    while (x->shared_count > 0)
        slice_unref(&x->shared[--x->shared_count]);
}

static void step(struct random_run *x) {
    struct rig *rig = &x->rig;
    int who = (int)rng_below(x->rng, 2);
    switch (rng_below(x->rng, 6)) {
    case 0:
    case 1:
        step_send(x, who);
        break;
    case 2:
    case 3:
        far_read(rig, &rig->far[who], 1 + rng_below(x->rng, 20));
        break;
    case 4:
        drop_shared(x);
        break;
    default:
        fake_turn(rig->reactor);
        break;
    }
}

/* Random sizes, cuts, readers and limits, both ways at once: every byte arrives, in order, once. */
Test(circuit_pump, random_transfers_arrive_whole) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        static struct random_run x;
        struct fixed_rng rng;
        x = (struct random_run){0};
        fixed_rng_init(&rng, seed);
        x.rng = &rng.rng;
        rig_prepare(&x.rig);
        x.rig.data_max = seed % 3 == 0 ? 1 + rng_below(x.rng, 300000) : 0;
        rig_start(&x.rig);
        for (int i = 0; i < 2; i++) {
            x.rig.far[i].is_paused = true;
            x.total[i] = rng_below(x.rng, 400000);
        }
        uint64_t steps = 0;
        while (x.rig.closed == 0 || !x.rig.far[0].is_ended || !x.rig.far[1].is_ended) {
            step(&x);
            for (int i = 0; i < 2; i++)
                x.fin[i] |= x.rig.far[i].was_stopped;
            cr_assert_lt(steps++, 2000000u, "seed %d", (int)seed);
        }
        bool is_cut = false;
        for (int i = 0; i < 2; i++) {
            uint64_t max = x.rig.data_max == 0 ? UINT64_MAX : x.rig.data_max;
            cr_assert_not(x.rig.far[i].is_wrong, "seed %d", (int)seed);
            cr_assert_eq(x.rig.far[i].got, MIN(x.total[1 - i], max), "seed %d", (int)seed);
            is_cut |= x.total[i] >= max;
        }
        cr_assert_eq(x.rig.error, is_cut ? -ERR_LIMIT : 0);
        cr_assert_eq(passed(&x.rig, CIRCUIT_TO_SOURCE), x.rig.far[0].got);
        drop_shared(&x);
        rig_close(&x.rig);
    }
}

/* SPDX-License-Identifier: MIT */

/* Goal: a circuit's link says that it met the limit of its relay, and says so of nothing else:
 * transport/stream_link.h. Spec: libp2p relay-v2 (Limit); decision 2. */

#include "core/base/err.h"
#include "tests/support/fake_host.h"
#include "tests/unit/uring/fake_backend.h"
#include "transport/stream_link.h"

struct rig {
    struct reactor *reactor;
    struct stream *far; /* the relay's */
    struct link *link;
    uint64_t got;
    int read_error;
    int write_error;
    int closed;
    int closed_error;
};

static void read_all(struct rig *rig) {
    struct slice in;
    ssize_t n;
    while ((n = link_read(rig->link, &in, 1)) == 1) {
        rig->got += in.len;
        link_consume(rig->link, &in);
    }
    if (n < 0)
        rig->read_error = (int)n;
}

static void on_readable(struct link *l) {
    read_all(l->user);
}

static void on_writable(struct link *l) {
    struct rig *rig = l->user;
    struct slice none = SLICE_EMPTY;
    ssize_t n = link_write(l, &none, 1);
    if (n < 0)
        rig->write_error = (int)n;
}

static void on_closed(struct link *l, int error) {
    struct rig *rig = l->user;
    rig->closed++;
    rig->closed_error = error;
}

static const struct link_events events = {on_readable, on_writable, on_closed};

static void on_io(struct stream *s) {
    (void)s;
}

static void on_code(struct stream *s, uint64_t code) {
    (void)s;
    (void)code;
}

static void on_far_closed(struct stream *s, int error) {
    (void)s;
    (void)error;
}

static const struct stream_events far_events = {on_io, on_io, on_code, on_code, on_far_closed};

static void turn(struct rig *rig) {
    for (int i = 0; i < 60; i++)
        fake_turn(rig->reactor);
}

static struct slice slice_new(struct rig *rig, uint32_t len, struct quota *quota) {
    struct buf *b = buf_new(reactor_pool(rig->reactor), buf_class_for(len), quota);
    cr_assert_not_null(b);
    memset(b->data, 7, len);
    return slice_of(b, 0, len);
}

/* `rest` bytes were read with the relay's answer. */
static void rig_open(struct rig *rig, struct conn_limit limit, uint32_t rest) {
    struct stream *near;
    struct slice ahead = SLICE_EMPTY;
    *rig = (struct rig){.closed = 0};
    (void)fake_new(&rig->reactor);
    fake_stream_pair(rig->reactor, &near, &rig->far);
    stream_set_events(rig->far, &far_events, NULL);
    if (rest > 0) {
        struct slice s = slice_new(rig, rest, stream_quota(rig->far));
        cr_assert_eq(stream_write(rig->far, &s, 1), 1);
        cr_assert_eq(stream_read(near, &ahead, 1), 1);
    }
    cr_assert_eq(stream_link_new(rig->reactor, near, &ahead, &limit, &rig->link), 0);
    link_set_events(rig->link, &events, rig);
    read_all(rig);
}

static void rig_close(struct rig *rig) {
    link_close(rig->link);
    turn(rig);
    cr_assert_eq(rig->closed, 1);
    (void)stream_release(rig->far);
    fake_free(rig->reactor);
}

/* The relay sends so much. */
static void hear(struct rig *rig, uint32_t bytes) {
    struct slice s = slice_new(rig, bytes, stream_quota(rig->far));
    cr_assert_eq(stream_write(rig->far, &s, 1), 1);
    turn(rig);
}

static void say(struct rig *rig, uint32_t bytes) {
    struct slice s = slice_new(rig, bytes, link_quota(rig->link));
    cr_assert_eq(link_write(rig->link, &s, 1), 1);
    turn(rig);
}

static void wait_until(struct rig *rig, nsec_t at) {
    cr_assert_eq(reactor_turn(rig->reactor, at), 0);
    turn(rig);
}

static const struct conn_limit bytes_1000 = {.data_bytes = 1000};

/* At the far end of what met the limit: so many bytes, and the end. */
Test(stream_link_limit, the_end_behind_the_last_byte_is_an_error_and_one_before_it_an_end) {
    for (uint32_t bytes = 999; bytes <= 1000; bytes++) {
        int error = bytes < 1000 ? -ENODATA : -ERR_RELAY_DATA_LIMIT;
        struct rig rig;
        rig_open(&rig, bytes_1000, 400);
        cr_assert_eq(rig.got, 400, "what was read ahead counts");
        hear(&rig, bytes - 400);
        cr_assert_eq(rig.read_error, 0, "nothing has ended yet");
        stream_shutdown_write(rig.far);
        turn(&rig);
        cr_assert_eq(rig.got, bytes);
        cr_assert_eq(rig.read_error, error);
        cr_assert_eq(rig.write_error, bytes < 1000 ? 0 : error, "who writes learns it, too");
        rig_close(&rig);
        cr_assert_eq(rig.closed_error, bytes < 1000 ? 0 : error);
    }
}

/* At the near end: the relay reads no more, over yamux without saying so, and then resets. */
Test(stream_link_limit, a_reset_after_the_last_byte_is_one_of_the_limit) {
    for (uint32_t bytes = 999; bytes <= 1000; bytes++) {
        int error = bytes < 1000 ? -ECONNRESET : -ERR_RELAY_DATA_LIMIT;
        struct rig rig;
        rig_open(&rig, bytes_1000, 0);
        say(&rig, bytes);
        stream_reset(rig.far, STREAM_CODE_NONE);
        turn(&rig);
        cr_assert_eq(rig.read_error, error);
        rig_close(&rig);
        cr_assert_eq(rig.closed_error, error);
    }
}

Test(stream_link_limit, a_relay_that_reads_no_more_has_met_it_or_may_still_speak) {
    for (uint32_t bytes = 999; bytes <= 1000; bytes++) {
        struct rig rig;
        rig_open(&rig, bytes_1000, 0);
        say(&rig, bytes);
        stream_stop_reading(rig.far, STREAM_CODE_NONE);
        turn(&rig);
        cr_assert_eq(rig.write_error, bytes < 1000 ? -EPIPE : -ERR_RELAY_DATA_LIMIT);
        cr_assert_eq(rig.read_error, bytes < 1000 ? 0 : -ERR_RELAY_DATA_LIMIT);
        rig_close(&rig);
    }
}

/* Our clock began with another message than the relay's. */
Test(stream_link_limit, a_reset_when_time_is_over_or_a_little_earlier_is_one_of_the_limit) {
    static const struct {
        uint32_t duration_s;
        nsec_t early;
    } rows[] = {{2, SEC(1)}, {600, SEC(1)}, {1, MSEC(500)}};
    for (size_t i = 0; i < ARRAY_COUNT(rows) * 2; i++) {
        bool is_due = i % 2 == 1;
        struct rig rig;
        rig_open(&rig, (struct conn_limit){.duration_s = rows[i / 2].duration_s}, 0);
        nsec_t due = reactor_now(rig.reactor) + SEC((nsec_t)rows[i / 2].duration_s);
        wait_until(&rig, due - rows[i / 2].early - !is_due);
        stream_reset(rig.far, STREAM_CODE_RESOURCE_LIMIT);
        turn(&rig);
        cr_assert_eq(rig.read_error, is_due ? -ERR_RELAY_TIME_LIMIT : -ECONNRESET, "row %zu", i);
        rig_close(&rig);
    }
}

/* Zeros are no limit, and the connection to the relay may die at any time. */
Test(stream_link_limit, other_ends_are_none) {
    struct rig rig;
    rig_open(&rig, (struct conn_limit){0}, 0);
    say(&rig, 2000);
    wait_until(&rig, reactor_now(rig.reactor) + SEC(100000));
    stream_reset(rig.far, STREAM_CODE_NONE);
    turn(&rig);
    cr_assert_eq(rig.read_error, -ECONNRESET);
    rig_close(&rig);

    rig_open(&rig, bytes_1000, 0);
    say(&rig, 1000);
    fake_stream_kill(rig.far, -ETIMEDOUT);
    turn(&rig);
    cr_assert_eq(rig.read_error, -ETIMEDOUT);
    rig_close(&rig);
}

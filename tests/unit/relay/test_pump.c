/* SPDX-License-Identifier: MIT */

/* The pump between a real TCP connection and a stream whose other end is the test's own. */

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "relay/pump.h"
#include "tests/unit/relay/tunnel.h"

struct rig {
    struct tunnel loop; /* only its reactor */
    struct pump pump;
    struct pump_totals totals;
    struct stream *near; /* the pump's */
    struct stream *far;  /* the test's */
    int sock;            /* the other end of the pump's TCP connection */
    int error;
    bool closed;
    bool far_reset;
    bool far_stopped;
};

static void on_far_reset(struct stream *s, uint64_t code) {
    (void)code;
    ((struct rig *)stream_user(s))->far_reset = true;
}

static void on_far_stopped(struct stream *s, uint64_t code) {
    (void)code;
    ((struct rig *)stream_user(s))->far_stopped = true;
}

static void on_far_event(struct stream *s) {
    (void)s;
}

static void on_far_closed(struct stream *s, int error) {
    (void)s;
    (void)error;
}

static const struct stream_events far_events = {on_far_event, on_far_event, on_far_stopped,
                                                on_far_reset, on_far_closed};

static void on_pump_closed(struct pump *p, int error) {
    struct rig *rig = CONTAINER_OF(p, struct rig, pump);
    rig->closed = true;
    rig->error = error;
}

static void rig_open(struct rig *rig) {
    int pair[2];
    *rig = (struct rig){0};
    cr_assert_eq(reactor_new(&(struct reactor_config){.mem = mem_system()}, &rig->loop.reactor), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    fake_stream_pair(rig->loop.reactor, &rig->near, &rig->far);
    stream_set_events(rig->far, &far_events, rig);
    rig->sock = pair[1];
    tcp_conn_init(&rig->pump.tcp, rig->loop.reactor, NULL, NULL);
    tcp_conn_adopt(&rig->pump.tcp, pair[0]);
    pump_start(&rig->pump, rig->near, &rig->totals, on_pump_closed);
}

static void rig_close(struct rig *rig) {
    pump_abort(&rig->pump, -ERR_SHUTDOWN, STREAM_CODE_SHUTDOWN);
    turn_until(&rig->loop, rig->closed);
    rig->far = stream_release(rig->far);
    close(rig->sock);
    rig->loop.reactor = reactor_free(rig->loop.reactor);
}

/* Reads what is there from the test's end of the stream; -1 instead of the count at its end. */
static ssize_t far_read(struct rig *rig, char *out, size_t size) {
    struct slice v[8];
    size_t got = 0;
    ssize_t n;
    while ((n = stream_read(rig->far, v, ARRAY_COUNT(v))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            cr_assert_leq(got + v[i].len, size);
            memcpy(out + got, v[i].data, v[i].len);
            got += v[i].len;
            stream_credit(rig->far, v[i].len);
            slice_unref(&v[i]);
        }
    }
    return n == -ENODATA && got == 0 ? -1 : (ssize_t)got;
}

static bool far_is_ended(struct rig *rig) {
    char byte[16];
    return far_read(rig, byte, sizeof(byte)) < 0;
}

static bool far_has(struct rig *rig, const char *text) {
    char got[256];
    ssize_t n = far_read(rig, got, sizeof(got));
    if (n <= 0)
        return false;
    cr_assert_eq((size_t)n, strlen(text));
    cr_assert_arr_eq(got, text, strlen(text));
    return true;
}

/* Either direction may end first; the other goes on, and the pump ends without an error. */
Test(pump, tcp_may_end_before_the_stream) {
    struct rig rig;
    rig_open(&rig);
    sock_send(rig.sock, "question");
    cr_assert_eq(shutdown(rig.sock, SHUT_WR), 0);
    turn_until(&rig.loop, far_has(&rig, "question"));
    turn_until(&rig.loop, far_is_ended(&rig));
    cr_assert_not(rig.closed);

    cr_assert_eq(stream_write_bytes(rig.far, BYTES_LIT("answer")), 0);
    turn_until(&rig.loop, sock_has(rig.sock, "answer"));
    cr_assert_not(rig.closed);
    stream_shutdown_write(rig.far);
    turn_until(&rig.loop, rig.closed);
    cr_assert(sock_is_ended(rig.sock));
    cr_assert_eq(rig.error, 0);
    cr_assert_eq(rig.totals.tx_bytes, 8);
    cr_assert_eq(rig.totals.rx_bytes, 6);
    rig_close(&rig);
}

Test(pump, the_stream_may_end_before_tcp) {
    struct rig rig;
    rig_open(&rig);
    cr_assert_eq(stream_write_bytes(rig.far, BYTES_LIT("banner")), 0);
    stream_shutdown_write(rig.far);
    turn_until(&rig.loop, sock_has(rig.sock, "banner"));
    turn_until(&rig.loop, sock_is_ended(rig.sock));
    cr_assert_not(rig.closed);

    sock_send(rig.sock, "reply");
    turn_until(&rig.loop, far_has(&rig, "reply"));
    cr_assert_eq(shutdown(rig.sock, SHUT_WR), 0);
    turn_until(&rig.loop, far_is_ended(&rig));
    turn_until(&rig.loop, rig.closed);
    cr_assert_eq(rig.error, 0);
    cr_assert_not(rig.far_reset);
    rig_close(&rig);
}

/* What go does to close: STOP_SENDING(0) together with FIN.  What it sent before arrives, the end
 * is an end, and what TCP sends meanwhile goes nowhere without an error. */
Test(pump, a_stream_that_the_peer_closed_as_go_does_ends_in_order) {
    struct rig rig;
    rig_open(&rig);
    cr_assert_eq(stream_write_bytes(rig.far, BYTES_LIT("last words")), 0);
    stream_stop_reading(rig.far, 0);
    stream_shutdown_write(rig.far);
    sock_send(rig.sock, "nobody hears this");
    turn_until(&rig.loop, rig.closed);
    cr_assert_eq(rig.error, 0);
    cr_assert(sock_has(rig.sock, "last words"));
    cr_assert(sock_is_ended(rig.sock));
    rig_close(&rig);
}

/* A peer that only stops reading still gets through what it sends. */
Test(pump, a_stopped_direction_drops_bytes_and_the_other_goes_on) {
    struct rig rig;
    rig_open(&rig);
    stream_stop_reading(rig.far, 0);
    turn_while_busy(&rig.loop);
    /* More than a socket's buffers hold: it is read and dropped. */
    size_t sent = 0;
    static char block[1 << 16];
    while (sent < (8u << 20)) {
        ssize_t n = send(rig.sock, block, sizeof(block), MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        turn(&rig.loop);
    }
    cr_assert_eq(stream_write_bytes(rig.far, BYTES_LIT("still here")), 0);
    turn_until(&rig.loop, sock_has(rig.sock, "still here"));
    cr_assert_not(rig.closed);
    stream_shutdown_write(rig.far);
    turn_until(&rig.loop, rig.closed);
    cr_assert_eq(rig.error, 0);
    rig_close(&rig);
}

/* Stopped while bytes wait for room: they are dropped, and TCP is read again. */
Test(pump, a_stop_releases_a_stalled_reader) {
    struct rig rig;
    static char block[1 << 16];
    rig_open(&rig);
    while (rig.pump.head_count == 0) {
        (void)!send(rig.sock, block, sizeof(block), MSG_NOSIGNAL);
        turn(&rig.loop);
    }
    stream_stop_reading(rig.far, 0);
    turn_until(&rig.loop, rig.pump.head_count == 0);
    cr_assert_eq(shutdown(rig.sock, SHUT_WR), 0);
    stream_shutdown_write(rig.far);
    turn_until(&rig.loop, rig.closed);
    cr_assert_eq(rig.error, 0);
    rig_close(&rig);
}

Test(pump, a_reset_of_the_stream_closes_tcp_at_once) {
    struct rig rig;
    rig_open(&rig);
    cr_assert_eq(stream_write_bytes(rig.far, BYTES_LIT("half of it")), 0);
    turn_until(&rig.loop, sock_has(rig.sock, "half of it"));
    stream_reset(rig.far, STREAM_CODE_NONE);
    turn_until(&rig.loop, rig.closed);
    cr_assert_eq(rig.error, -ERR_STREAM_RESET);
    rig_close(&rig);
}

/* A full stream stops the reading; nothing is lost when it goes on. */
Test(pump, a_full_stream_holds_tcp_back_and_loses_nothing) {
    struct rig rig;
    enum { TOTAL = 4 << 20 };
    static uint8_t block[1 << 16], got[FAKE_WINDOW_BYTES * 2];
    size_t sent = 0, seen = 0;
    rig_open(&rig);
    while (rig.pump.head_count == 0) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = (uint8_t)((sent + i) % 251);
        ssize_t n = send(rig.sock, block, sizeof(block), MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        turn(&rig.loop);
    }
    struct buf_pool_stats stats;
    buf_pool_stats(reactor_pool(rig.loop.reactor), &stats);
    cr_assert_leq(rig.near != NULL ? stream_quota(rig.near)->used_bytes : 0, 4 * FAKE_WINDOW_BYTES);

    while (seen < TOTAL) {
        if (sent < TOTAL) {
            size_t len = MIN(sizeof(block), (size_t)TOTAL - sent);
            for (size_t i = 0; i < len; i++)
                block[i] = (uint8_t)((sent + i) % 251);
            ssize_t n = send(rig.sock, block, len, MSG_NOSIGNAL);
            sent += n > 0 ? (size_t)n : 0;
        }
        turn(&rig.loop);
        ssize_t n = far_read(&rig, (char *)got, sizeof(got));
        cr_assert_geq(n, 0);
        for (ssize_t i = 0; i < n; i++)
            cr_assert_eq(got[i], (uint8_t)((seen + (size_t)i) % 251), "byte %zu", seen + (size_t)i);
        seen += (size_t)n;
    }
    cr_assert_eq(rig.totals.tx_bytes, TOTAL);
    rig_close(&rig);
}

Test(pump, an_abort_is_told_once_and_resets_the_stream) {
    struct rig rig;
    rig_open(&rig);
    sock_send(rig.sock, "x");
    turn_until(&rig.loop, rig.totals.tx_bytes == 1);
    pump_abort(&rig.pump, -ERR_SHUTDOWN, STREAM_CODE_SHUTDOWN);
    pump_abort(&rig.pump, -ECONNRESET, STREAM_CODE_NONE);
    turn_until(&rig.loop, rig.closed && rig.far_reset);
    cr_assert_eq(rig.error, -ERR_SHUTDOWN);
    rig_close(&rig);
}

/* SPDX-License-Identifier: MIT */

/* Goal: a spliced path in the making lasts as long as it may and not longer, whoever keeps silent
 * or goes, and leaves nothing behind.  The legs are in tests/unit/relay_hosts.  Spec: ADR 13. */

#include "core/p2p/protocol_id.h"
#include "relay/proto/splice_msg.h"
#include "tests/unit/relay_circuit/relay_rig.h"

/* How far the path has come. */
enum point { READING, ASKING, WAITING, POINTS };

struct making {
    struct relay_rig rig;
    struct peer_end *a; /* of the circuit */
    struct peer_end *b;
    struct peer_end *ask;
};

static void say(struct peer_end *end, const struct splice_msg *m) {
    uint8_t out[SPLICE_OUT_MAX];
    end_write(end, bytes_of(out, splice_msg_encode(m, out)));
}

static struct splice_msg told(const struct peer_end *end) {
    struct splice_msg m = {.type = SPLICE_OTHER};
    cr_assert(end->has_message);
    cr_assert_eq(splice_msg_decode(frame_body(&end->frame.frame), &m), 0);
    return m;
}

static uint32_t half_open(const struct making *m) {
    return rig_stats(&m->rig).spliced.half_open;
}

static void making_open(struct making *m, enum point point) {
    struct splice_msg ask = {.type = SPLICE_ASK, .has_peer = true};
    struct splice_msg ok = {.type = SPLICE_STATUS, .has_status = true, .status = CIRCUIT_STATUS_OK};
    rig_prepare(&m->rig);
    m->rig.cfg.splices = true;
    rig_start(&m->rig);
    rig_circuit(&m->rig, &m->a, &m->b);
    m->ask = rig_stream(&m->rig, m->rig.a, PROTOCOL_SPLICE);
    rig_turn(&m->rig);
    cr_assert_eq(half_open(m), 1);
    if (point >= ASKING) {
        ask.peer = host_identity(m->rig.b)->id;
        say(m->ask, &ask);
        rig_turn(&m->rig);
        cr_assert_eq(told(m->rig.offered_at).type, SPLICE_OFFER);
    }
    if (point >= WAITING) {
        say(m->rig.offered_at, &ok);
        rig_turn(&m->rig);
        cr_assert_eq(told(m->ask).status, CIRCUIT_STATUS_OK);
        cr_assert(told(m->ask).has_token);
    }
}

static bool is_over(const struct peer_end *end) {
    return end == NULL || end->was_reset || end->is_closed || end->is_ended;
}

static void making_close(struct making *m) {
    cr_assert_eq(half_open(m), 0);
    cr_assert_eq(rig_stats(&m->rig).spliced.failed, 1);
    cr_assert_eq(rig_stats(&m->rig).circuits, 1, "the circuit carries on");
    rig_close(&m->rig);
}

Test(splice_service, whoever_keeps_silent_is_waited_for_ten_seconds_and_not_longer) {
    for (enum point point = READING; point < POINTS; point++) {
        static struct making m;
        making_open(&m, point);
        rig_wait(&m.rig, SEC(10) - MSEC(1));
        cr_assert_not(m.ask->was_reset, "point %d", point);
        cr_assert_eq(half_open(&m), 1);
        rig_wait(&m.rig, MSEC(1));
        cr_assert(is_over(m.ask), "point %d", point);
        cr_assert(is_over(m.rig.offered_at), "point %d", point);
        making_close(&m);
    }
}

Test(splice_service, the_source_may_go_at_each_point) {
    for (enum point point = READING; point < POINTS; point++) {
        for (int i = 0; i < 2; i++) {
            static struct making m;
            making_open(&m, point);
            if (i == 0)
                stream_reset(m.ask->stream, STREAM_CODE_NONE);
            else
                stream_shutdown_write(m.ask->stream);
            rig_turn(&m.rig);
            cr_assert(is_over(m.rig.offered_at), "point %d", point);
            making_close(&m);
        }
    }
}

Test(splice_service, a_destination_that_goes_is_a_failed_connection) {
    for (int i = 0; i < 2; i++) {
        static struct making m;
        making_open(&m, ASKING);
        if (i == 0)
            stream_reset(m.rig.offered_at->stream, STREAM_CODE_NONE);
        else
            fake_disconnect(m.rig.conn_b, -ERR_CONN_CLOSED);
        rig_turn(&m.rig);
        cr_assert_eq(told(m.ask).status, CIRCUIT_STATUS_CONNECTION_FAILED);
        cr_assert_eq(half_open(&m), 0);
        rig_close(&m.rig);
    }
}

Test(splice_service, a_destination_that_does_not_speak_it_is_a_failed_connection) {
    static struct making m;
    making_open(&m, READING);
    struct splice_msg ask = {
        .type = SPLICE_ASK, .has_peer = true, .peer = host_identity(m.rig.b)->id};
    fake_host_fail(m.rig.relay, -ERR_NOT_CONNECTED, 1);
    say(m.ask, &ask);
    rig_turn(&m.rig);
    cr_assert_eq(told(m.ask).status, CIRCUIT_STATUS_CONNECTION_FAILED);
    making_close(&m);
}

Test(splice_service, a_relay_that_stops_ends_all) {
    for (enum point point = READING; point < POINTS; point++) {
        static struct making m;
        making_open(&m, point);
        cr_assert_not_null(fake_host_preface(m.rig.relay));
        rig_close_service(&m.rig);
        cr_assert_null(fake_host_preface(m.rig.relay));
        rig_turn(&m.rig);
        cr_assert(m.ask->was_reset);
        cr_assert_eq(m.ask->reset_code, STREAM_CODE_SHUTDOWN);
        cr_assert(is_over(m.rig.offered_at));
        rig_close(&m.rig);
    }
}

Test(splice_service, is_there_only_where_it_is_wanted) {
    struct relay_rig rig;
    rig_open(&rig);
    cr_assert_null(fake_host_preface(rig.relay));
    cr_assert_eq(rig_stats(&rig).spliced.joined, 0);
    rig_close(&rig);
}

/* Goal: without memory there is no path, and nothing else happens. */
Test(splice_service, without_memory_the_stream_is_reset) {
    struct relay_rig rig;
    struct peer_end *a;
    struct peer_end *b;
    rig_prepare(&rig);
    rig.cfg.splices = true;
    rig_start(&rig);
    rig_circuit(&rig, &a, &b);
    rig.mem.fail_at = rig.mem.calls + 1;
    struct peer_end *ask = rig_stream(&rig, rig.a, PROTOCOL_SPLICE);
    rig_turn(&rig);
    cr_assert(ask->was_reset);
    cr_assert_eq(ask->reset_code, STREAM_CODE_RESOURCE_LIMIT);
    cr_assert_eq(rig_stats(&rig).spliced.half_open, 0);
    cr_assert_eq(rig_stats(&rig).circuits, 1);
    rig.mem.fail_at = 0;
    rig_close(&rig);
}

Test(splice_service, does_not_begin_without_memory) {
    struct relay_rig rig;
    rig_prepare(&rig);
    rig.cfg.splices = true;
    int e = -ENOMEM;
    for (long i = 1; e == -ENOMEM; i++) {
        rig.mem.fail_at = rig.mem.calls + i;
        e = hop_service_new(&rig.cfg, &rig.service);
    }
    cr_assert_eq(e, 0);
    rig.mem.fail_at = 0;
    rig_close(&rig);
}

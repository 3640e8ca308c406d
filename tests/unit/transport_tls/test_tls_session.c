/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "channel.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "tests/fuzz/fuzz_mem.h"
#include "tests/support/fail_mem.h"

/* Goal: two of our own channels, from the first byte to the last.  Spec: libp2p tls.md; RFC 8446.
 */

enum { CHUNK_ALL = 1 << 20, BIG = 200000 };

struct two {
    struct world world;
    struct end client;
    struct end server;
};

static void two_init(struct two *t) {
    world_init(&t->world);
    end_init(&t->client, &t->world, 1);
    end_init(&t->server, &t->world, 2);
}

static void two_done(struct two *t) {
    end_done(&t->client);
    end_done(&t->server);
    world_done(&t->world);
}

static void two_open(struct two *t, size_t chunk) {
    end_open(&t->client, true, &t->server.identity.id);
    end_open(&t->server, false, NULL);
    (void)ends_exchange(&t->client, &t->server, chunk);
}

static void expect_open(const struct two *t) {
    cr_assert_eq(t->client.secure->state, SECURE_OPEN, "%s", t->client.secure->problem.text);
    cr_assert_eq(t->server.secure->state, SECURE_OPEN, "%s", t->server.secure->problem.text);
    cr_assert(peer_id_equal(&t->client.secure->peer, &t->server.identity.id));
    cr_assert(peer_id_equal(&t->server.secure->peer, &t->client.identity.id));
    cr_assert_str_eq(t->client.secure->muxer, "/yamux/1.0.0");
    cr_assert_str_eq(t->server.secure->muxer, "/yamux/1.0.0");
}

static void expect_pass(struct end *from, struct end *to, size_t len, size_t piece, size_t chunk) {
    uint8_t *plain = malloc(len);
    uint8_t *out = malloc(CHANNEL_ROOM);
    cr_assert(plain != NULL && out != NULL);
    for (size_t i = 0; i < len; i++)
        plain[i] = (uint8_t)(i * 31 + piece);
    size_t n = end_write(from, bytes_of(plain, len), piece, out, CHANNEL_ROOM);
    to->got_len = 0;
    for (size_t at = 0; at < n; at += chunk)
        end_receive(to, bytes_of(out + at, MIN(chunk, n - at)));
    cr_assert_eq(to->error, 0, "%s", to->secure->problem.text);
    cr_assert(bytes_equal(bytes_of(to->got, to->got_len), bytes_of(plain, len)), "%zu of %zu",
              to->got_len, len);
    free(plain);
    free(out);
}

Test(tls_session, proves_both_peers_agrees_on_yamux_and_carries_bytes) {
    struct two t;
    two_init(&t);
    two_open(&t, CHUNK_ALL);
    expect_open(&t);
    expect_pass(&t.client, &t.server, BIG, 16384, CHUNK_ALL);
    expect_pass(&t.server, &t.client, BIG, 16384, CHUNK_ALL);
    expect_pass(&t.server, &t.client, 1, 1, CHUNK_ALL);
    expect_pass(&t.client, &t.server, 1000, 7, 100);
    two_done(&t);
}

Test(tls_session, one_byte_at_a_time_is_the_same) {
    struct two t;
    two_init(&t);
    two_open(&t, 1);
    expect_open(&t);
    expect_pass(&t.client, &t.server, 20000, 16384, 1);
    two_done(&t);
}

Test(tls_session, a_peer_that_is_not_the_expected_one_is_named_and_told) {
    struct two t;
    char text[PEER_ID_TEXT_MAX];
    two_init(&t);
    end_open(&t.client, true, &t.client.identity.id);
    end_open(&t.server, false, NULL);
    (void)ends_exchange(&t.client, &t.server, CHUNK_ALL);
    cr_assert_eq(t.client.secure->state, SECURE_FAILED);
    cr_assert_eq(t.client.secure->error, -ERR_PEER_ID_MISMATCH);
    cr_assert(peer_id_equal(&t.client.secure->peer, &t.server.identity.id));
    cr_assert_not_null(
        strstr(t.client.secure->problem.text, peer_id_format(&t.server.identity.id, text)));
    cr_assert_eq(t.server.secure->state, SECURE_FAILED);
    cr_assert_eq(t.server.secure->error, -ERR_HANDSHAKE);
    cr_assert_not_null(strstr(t.server.secure->problem.text, "alert 42"), "%s",
                       t.server.secure->problem.text);
    two_done(&t);
}

Test(tls_session, a_client_that_is_not_the_expected_one_learns_it_with_the_first_record) {
    struct two t;
    two_init(&t);
    end_open(&t.client, true, NULL);
    end_open(&t.server, false, &t.server.identity.id);
    (void)ends_exchange(&t.client, &t.server, CHUNK_ALL);
    cr_assert_eq(t.server.secure->error, -ERR_PEER_ID_MISMATCH);
    cr_assert(peer_id_equal(&t.server.secure->peer, &t.client.identity.id));
    cr_assert_eq(t.client.secure->state, SECURE_FAILED);
    cr_assert_eq(t.client.secure->error, -ERR_HANDSHAKE, "%s", t.client.secure->problem.text);
    cr_assert_not_null(strstr(t.client.secure->problem.text, "alert 42"));
    two_done(&t);
}

Test(tls_session, goodbye_is_told_from_a_lost_connection) {
    struct two t;
    two_init(&t);
    two_open(&t, CHUNK_ALL);
    secure_close(t.client.secure);
    secure_close(t.client.secure);
    (void)ends_exchange(&t.client, &t.server, CHUNK_ALL);
    cr_assert_eq(t.server.secure->state, SECURE_ENDED);
    cr_assert_eq(t.server.error, -ENODATA);
    /* The other direction goes on. */
    expect_pass(&t.server, &t.client, 5000, 5000, CHUNK_ALL);
    secure_close(t.server.secure);
    (void)ends_exchange(&t.client, &t.server, CHUNK_ALL);
    cr_assert_eq(t.client.secure->state, SECURE_ENDED);
    two_done(&t);
}

/* Goal: keys are changed in time, by either side, in the middle of what is sent. */
Test(tls_session, used_up_keys_are_replaced_between_records) {
    struct two t;
    two_init(&t);
    t.client.records_per_key_max = 3;
    t.server.records_per_key_max = 5;
    two_open(&t, CHUNK_ALL);
    expect_open(&t);
    for (int i = 0; i < 4; i++) {
        expect_pass(&t.client, &t.server, 20000, 1000, CHUNK_ALL);
        expect_pass(&t.server, &t.client, 20000, 1000, 777);
    }
    two_done(&t);
}

/* Goal: each allocation of ours may fail, at any point of the handshake. */
Test(tls_session, out_of_memory_fails_in_order) {
    struct two t;
    struct fail_mem f;
    two_init(&t);
    t.server.mem = &f.mem;
    for (fail_mem_start(&f);; fail_mem_again(&f)) {
        struct tls_config cfg = {
            .mem = &f.mem, .context = t.server.context, .now = CHANNEL_WALL, .initiator = false};
        end_open(&t.client, true, NULL);
        t.server.in_len = 0;
        int e = tls_new(&cfg, &t.server.secure);
        if (e == 0) {
            (void)ends_exchange(&t.client, &t.server, CHUNK_ALL);
            enum secure_state state = t.server.secure->state;
            cr_assert(f.failed ? state != SECURE_OPEN : state == SECURE_OPEN);
            if (state == SECURE_FAILED)
                cr_assert_eq(t.server.secure->error, -ENOMEM, "%s", t.server.secure->problem.text);
        } else {
            cr_assert_eq(e, -ENOMEM);
        }
        t.server.secure = secure_free(t.server.secure);
        cr_assert_eq(f.blocks, 0);
        if (!f.failed)
            break;
    }
    two_done(&t);
}

/* Goal: what a host with many connections pays for each. */
Test(tls_session, an_open_channel_holds_two_keys_and_little_else) {
    struct two t;
    struct fuzz_mem m = fuzz_mem_make(KIB(16), 0);
    two_init(&t);
    t.server.mem = &m.mem;
    two_open(&t, CHUNK_ALL);
    expect_open(&t);
    cr_assert_lt(m.used, KIB(4), "%zu bytes", m.used);
    expect_pass(&t.client, &t.server, BIG, 16384, CHUNK_ALL);
    expect_pass(&t.server, &t.client, BIG, 16384, CHUNK_ALL);
    cr_assert_lt(m.used, KIB(4), "%zu bytes", m.used);
    t.server.secure = secure_free(t.server.secure);
    cr_assert_eq(m.used, 0);
    two_done(&t);
}

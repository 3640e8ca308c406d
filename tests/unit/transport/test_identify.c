/* SPDX-License-Identifier: MIT */
/* Goal: what we write fits every reader; what peers write is merged and bounded.  Known answers,
 * and every split point, are in tests/vectors/test_transport.c. Spec: libp2p identify. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/wr.h"
#include "core/p2p/envelope.h"
#include "core/p2p/identity.h"
#include "core/p2p/pb.h"
#include "tests/support/fail_mem.h"
#include "transport/proto/identify.h"

/* Identity A of the specs: seed 00 01 ... 1f; B: 20 21 ... 3f. */
static struct identity identity_of(uint8_t first) {
    struct identity id;
    uint8_t seed[ED25519_SEED_BYTES];
    for (size_t i = 0; i < sizeof(seed); i++)
        seed[i] = (uint8_t)(first + i);
    cr_assert_eq(identity_from_seed(seed, &id), 0);
    return id;
}

static struct multiaddr addr(const char *text) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(text, &a), 0, "%s", text);
    return a;
}

/* Feeds a whole stream and gives the one event.  The reader must be freed by the caller. */
static struct identify_event read_stream(struct identify_reader *r, struct bytes in) {
    struct identify_event event;
    identify_reader_init(r, mem_system(), 0);
    identify_reader_recv(r, in, 0);
    identify_reader_recv_end(r, 0);
    cr_assert(identify_reader_next_event(r, &event));
    cr_assert_eq(identify_reader_deadline(r), NSEC_NEVER);
    return event;
}

static void expect_error(struct bytes in, int error) {
    struct identify_reader r;
    struct identify_event event = read_stream(&r, in);
    cr_assert_eq(event.type, IDENTIFY_EV_FAILED);
    cr_assert_eq(event.error, error, "%s instead of %s", err_name(event.error), err_name(error));
    identify_reader_done(&r);
}

/* --- writing --------------------------------------------------------------------------------- */

#define RELAYED \
    "/ip4/44.0.0.2/tcp/1/p2p/12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp/p2p-circuit"

Test(identify, addresses_are_sorted_as_go_does_and_equal_ones_keep_their_order) {
    static const struct {
        const char *text;
        size_t place;
    } rows[] = {
        {"/ip6/::1/tcp/1", 11},
        {"/ip4/44.0.0.1/udp/1/webrtc-direct", 5},
        {"/ip4/192.168.0.1/udp/1/quic-v1", 7},
        {RELAYED, 2}, /* goes by its relay's transport */
        {"/ip4/127.0.0.1/udp/1/quic-v1", 10},
        {"/ip4/44.0.0.1/tcp/1", 3},
        {"/ip4/44.0.0.1/udp/1/quic-v1", 0},
        {"/ip4/44.0.0.1/udp/1/quic-v1/webtransport", 4},
        {"/ip4/10.0.0.1/tcp/1", 8},
        {"/ip6/2a00::1/udp/1/quic-v1", 1},
        {"/ip4/44.0.0.1/udp/1", 6},
        {"/dns4/localhost/tcp/1", 9}, /* go looks for loopback among IP addresses only */
        {"/ip6zone/1/ip6/::1/tcp/1", 12},
    };
    struct multiaddr addrs[ARRAY_COUNT(rows)];
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        addrs[i] = addr(rows[i].text);
    identify_sort_addrs(addrs, ARRAY_COUNT(rows));
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct multiaddr expected = addr(rows[i].text);
        cr_assert(multiaddr_equal(&addrs[rows[i].place], &expected), "%s", rows[i].text);
    }
}

static size_t count_addrs(const struct identify_message *m, const struct peer_id *peer) {
    struct identify_walk w = identify_addrs(m, peer);
    struct multiaddr a;
    size_t count = 0;
    while (identify_next_addr(&w, &a))
        count++;
    return count;
}

/* Encodes, with so many addresses and protocols, and reads it back. */
static ssize_t encode_sized(size_t addrs_count, size_t protocols_count, size_t *ret_addrs,
                            size_t *ret_protocols) {
    static struct multiaddr addrs[200];
    static char names[200][48];
    static const char *protocols[200];
    struct identity a = identity_of(0x00);
    for (size_t i = 0; i < addrs_count; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "/ip4/44.0.0.%zu/udp/4001/quic-v1", i + 1);
        addrs[i] = addr(text);
    }
    for (size_t i = 0; i < protocols_count; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "/a-protocol-of-30-bytes-%03zu/1", i);
        protocols[i] = names[i];
    }
    struct identify_info info = {
        .identity = &a,
        .addrs = addrs,
        .addrs_count = addrs_count,
        .protocols = protocols,
        .protocols_count = protocols_count,
        .protocol_version = "",
        .agent = "peerup/1",
    };
    uint8_t out[IDENTIFY_OUT_MAX];
    ssize_t n = identify_encode(&info, out);
    if (n > 0) {
        struct identify_reader r;
        struct identify_event event = read_stream(&r, bytes_of(out, (size_t)n));
        cr_assert_eq(event.type, IDENTIFY_EV_MESSAGE);
        cr_assert(event.message.record.len > 0);
        *ret_addrs = count_addrs(&event.message, &a.id);
        event.message.record = BYTES_EMPTY;
        cr_assert_eq(count_addrs(&event.message, &a.id), *ret_addrs, "unsigned: the same");
        struct bytes name;
        struct identify_walk w = identify_protocols(&event.message);
        for (*ret_protocols = 0; identify_next_protocol(&w, &name); ++*ret_protocols)
            cr_assert(bytes_equal(name, bytes_of_str(names[*ret_protocols])), "the first ones");
        identify_reader_done(&r);
    }
    identity_done(&a);
    return n;
}

Test(identify, the_best_addresses_then_the_protocols_then_more_addresses_are_written) {
    size_t addrs_count = 0;
    size_t protocols_count = 0;
    cr_assert_leq(encode_sized(10, 10, &addrs_count, &protocols_count), IDENTIFY_WRITE_WANTED + 2);
    cr_assert_eq(addrs_count, 10, "all of them fit");
    cr_assert_eq(protocols_count, 10);

    cr_assert_leq(encode_sized(200, 10, &addrs_count, &protocols_count), IDENTIFY_WRITE_WANTED + 2);
    cr_assert_gt(addrs_count, IDENTIFY_ADDRS_KEPT);
    cr_assert_lt(addrs_count, 200);
    cr_assert_eq(protocols_count, 10);

    ssize_t n = encode_sized(200, 90, &addrs_count, &protocols_count);
    cr_assert_gt(n, IDENTIFY_WRITE_WANTED + 2);
    cr_assert_leq(n, IDENTIFY_WRITE_MAX + 2);
    cr_assert_eq(addrs_count, IDENTIFY_ADDRS_KEPT);
    cr_assert_eq(protocols_count, 90);

    n = encode_sized(200, 200, &addrs_count, &protocols_count);
    cr_assert_gt(n, IDENTIFY_WRITE_MAX - 32);
    cr_assert_leq(n, IDENTIFY_WRITE_MAX + 2);
    cr_assert_eq(addrs_count, IDENTIFY_ADDRS_KEPT);
    cr_assert_gt(protocols_count, 100);
    cr_assert_lt(protocols_count, 200);

    n = encode_sized(2, 200, &addrs_count, &protocols_count);
    cr_assert_leq(n, IDENTIFY_WRITE_MAX + 2);
    cr_assert_eq(addrs_count, 2);
}

Test(identify, an_agent_beyond_all_limits_is_refused) {
    struct identity a = identity_of(0x00);
    char agent[IDENTIFY_WRITE_MAX];
    uint8_t out[IDENTIFY_OUT_MAX];
    memset(agent, 'x', sizeof(agent) - 1);
    agent[sizeof(agent) - 1] = '\0';
    struct identify_info info = {.identity = &a, .protocol_version = "", .agent = agent};
    cr_assert_eq(identify_encode(&info, out), -ERR_LIMIT);
    agent[3000] = '\0';
    cr_assert_gt(identify_encode(&info, out), 3000);
    identity_done(&a);
}

/* --- reading --------------------------------------------------------------------------------- */

/* Room to write streams into. */
struct stream {
    uint8_t memory[2 * IDENTIFY_READ_MAX];
    struct wr w;
};

static struct stream *stream_new(void) {
    struct stream *s = malloc(sizeof(*s));
    cr_assert_not_null(s);
    s->w = wr_init(s->memory, sizeof(s->memory));
    return s;
}

static struct bytes message(struct wr *fields) {
    cr_assert_eq(fields->error, 0);
    return wr_written(fields);
}

Test(identify, later_scalars_overwrite_and_lists_append) {
    uint8_t memory[256];
    struct stream *s = stream_new();
    struct wr m = wr_init(memory, sizeof(memory));
    pb_wr_bytes(&m, 6, BYTES_LIT("first"));
    pb_wr_bytes(&m, 3, BYTES_LIT("/a"));
    wr_uvarint_bytes(&s->w, message(&m));
    m = wr_init(memory, sizeof(memory));
    pb_wr_bytes(&m, 3, BYTES_LIT("/b"));
    pb_wr_bytes(&m, 6, BYTES_LIT("second\n\x7f\xc3"));
    wr_uvarint_bytes(&s->w, message(&m));

    struct identify_reader r;
    struct identify_event event = read_stream(&r, wr_written(&s->w));
    cr_assert_eq(event.type, IDENTIFY_EV_MESSAGE);
    cr_assert_str_eq(event.message.agent, "second???");
    cr_assert(identify_has_protocol(&event.message, "/a"));
    cr_assert(identify_has_protocol(&event.message, "/b"));
    identify_reader_done(&r);
    free(s);
}

Test(identify, unknown_fields_addresses_and_long_names_are_skipped) {
    uint8_t memory[4096];
    uint8_t long_name[IDENTIFY_PROTOCOL_BYTES_MAX + 1];
    struct identity a = identity_of(0x00);
    struct stream *s = stream_new();
    struct wr m = wr_init(memory, sizeof(memory));
    struct multiaddr good = addr("/ip4/44.0.0.1/udp/1/quic-v1");
    memset(long_name, 'x', sizeof(long_name));
    pb_wr_uint(&m, 99, 5);
    pb_wr_bytes(&m, 98, BYTES_LIT("?"));
    pb_wr_uint(&m, 6, 1); /* a known number of another type */
    pb_wr_bytes(&m, 2, BYTES_EMPTY);
    pb_wr_bytes(&m, 2, BYTES_LIT("\x04\x01"));
    pb_wr_bytes(&m, 2, multiaddr_bytes(&good));
    pb_wr_bytes(&m, 2, BYTES_LIT("\xff\xff\x01"));
    pb_wr_bytes(&m, 3, BYTES_EMPTY);
    pb_wr_bytes(&m, 3, BYTES_OF(long_name));
    pb_wr_bytes(&m, 3, bytes_of(long_name, sizeof(long_name) - 1));
    wr_uvarint_bytes(&s->w, message(&m));

    struct identify_reader r;
    struct identify_event event = read_stream(&r, wr_written(&s->w));
    struct bytes name;
    cr_assert_eq(event.type, IDENTIFY_EV_MESSAGE);
    cr_assert_eq(count_addrs(&event.message, &a.id), 1);
    struct identify_walk w = identify_protocols(&event.message);
    cr_assert(identify_next_protocol(&w, &name));
    cr_assert_eq(name.len, IDENTIFY_PROTOCOL_BYTES_MAX);
    cr_assert(!identify_next_protocol(&w, &name));
    cr_assert_str_eq(event.message.agent, "");
    identify_reader_done(&r);
    free(s);
}

/* A record is believed when it verifies and speaks for the peer; with a bad one, or one of rust's
 * domain, the unsigned addresses count. */
Test(identify, the_signed_record_decides_which_addresses_count) {
    struct identity a = identity_of(0x00);
    struct identity b = identity_of(0x20);
    struct multiaddr recorded = addr("/ip4/44.0.0.1/udp/1/quic-v1");
    struct multiaddr unsigned_addr = addr("/ip4/44.0.0.2/udp/2/quic-v1");
    uint8_t record[1024];
    uint8_t memory[2048];
    ssize_t n = peer_record_seal(&a, 1, &recorded, 1, record, sizeof(record));
    cr_assert_gt(n, 0);

    for (int broken = 0; broken < 2; broken++) {
        struct stream *s = stream_new();
        struct wr m = wr_init(memory, sizeof(memory));
        struct multiaddr got;
        if (broken)
            record[n - 1] ^= 1;
        pb_wr_bytes(&m, 2, multiaddr_bytes(&unsigned_addr));
        pb_wr_bytes(&m, 8, bytes_of(record, (size_t)n));
        wr_uvarint_bytes(&s->w, message(&m));
        struct identify_reader r;
        struct identify_event event = read_stream(&r, wr_written(&s->w));
        cr_assert_eq(event.type, IDENTIFY_EV_MESSAGE);
        struct identify_walk w = identify_addrs(&event.message, &a.id);
        cr_assert(identify_next_addr(&w, &got));
        cr_assert(multiaddr_equal(&got, broken ? &unsigned_addr : &recorded));
        cr_assert(!identify_next_addr(&w, &got));
        cr_assert_eq(count_addrs(&event.message, &b.id), broken ? 1 : 0);
        identify_reader_done(&r);
        free(s);
    }
}

Test(identify, lists_are_cut_at_their_limits) {
    uint8_t memory[IDENTIFY_MESSAGE_MAX];
    struct identity a = identity_of(0x00);
    struct multiaddr good = addr("/ip4/44.0.0.1/tcp/1");
    struct stream *s = stream_new();
    for (int i = 0; i < 4; i++) {
        struct wr m = wr_init(memory, sizeof(memory));
        for (int k = 0; k < 300; k++)
            pb_wr_bytes(&m, 3, BYTES_LIT("/x"));
        for (int k = 0; k < 150; k++)
            pb_wr_bytes(&m, 2, multiaddr_bytes(&good));
        wr_uvarint_bytes(&s->w, message(&m));
    }
    struct identify_reader r;
    struct identify_event event = read_stream(&r, wr_written(&s->w));
    struct bytes name;
    size_t count = 0;
    cr_assert_eq(event.type, IDENTIFY_EV_MESSAGE);
    for (struct identify_walk w = identify_protocols(&event.message);
         identify_next_protocol(&w, &name);)
        count++;
    cr_assert_eq(count, IDENTIFY_PROTOCOLS_MAX);
    cr_assert_eq(count_addrs(&event.message, &a.id), IDENTIFY_ADDRS_MAX);
    identify_reader_done(&r);
    free(s);
}

/* A message of exactly `size` bytes: one unknown field. */
static void write_sized(struct stream *s, size_t size) {
    wr_uvarint(&s->w, size);
    if (size == 0)
        return;
    size_t end = s->w.len + size;
    pb_wr_head(&s->w, 15, size > 130 ? size - 3 : size - 2);
    while (s->w.len < end)
        wr_u8(&s->w, 0);
    cr_assert_eq(s->w.len, end);
}

Test(identify, nine_messages_of_8192_bytes_are_read_and_no_more) {
    struct stream *s = stream_new();
    for (int i = 0; i < IDENTIFY_MESSAGES_MAX; i++)
        write_sized(s, IDENTIFY_MESSAGE_MAX);
    struct identify_reader r;
    struct identify_event event = read_stream(&r, wr_written(&s->w));
    cr_assert_eq(event.type, IDENTIFY_EV_MESSAGE);
    cr_assert_eq(event.message.merged.len, IDENTIFY_READ_MAX);
    identify_reader_done(&r);

    write_sized(s, 0);
    expect_error(wr_written(&s->w), -ERR_LIMIT);
    free(s);
}

Test(identify, a_message_of_8193_bytes_fails_before_memory_is_taken) {
    struct fail_mem f;
    struct identify_reader r;
    struct identify_event event;
    fail_mem_start(&f);
    f.fail_at = 0;
    identify_reader_init(&r, &f.mem, 0);
    identify_reader_recv(&r, BYTES_LIT("\x81\x40"), 0);
    cr_assert(identify_reader_next_event(&r, &event));
    cr_assert_eq(event.error, -ERR_LIMIT);
    cr_assert_eq(f.calls, 0);
    identify_reader_done(&r);
}

Test(identify, malformed_streams_fail) {
    expect_error(BYTES_EMPTY, -ERR_TRUNCATED);
    expect_error(BYTES_LIT("\x05"), -ERR_TRUNCATED);
    expect_error(BYTES_LIT("\x85"), -ERR_TRUNCATED);
    expect_error(BYTES_LIT("\x05\x2a\x00\x32\x01"), -ERR_TRUNCATED);
    expect_error(BYTES_LIT("\x85\x00\x2a\x00\x32\x01x"), -ERR_MALFORMED); /* padded length */
    expect_error(BYTES_LIT("\x80\x80\x01"), -ERR_LIMIT);
    expect_error(BYTES_LIT("\x02\x32\x05"), -ERR_MALFORMED); /* a field beyond its message */
    /* Joined, these two halves would be one good message. */
    expect_error(BYTES_LIT("\x03\x32\x05s\x03plx"), -ERR_MALFORMED);
}

Test(identify, empty_messages_count_but_are_no_failure) {
    struct identify_reader r;
    struct identify_event event = read_stream(&r, BYTES_LIT("\x00\x00"));
    cr_assert_eq(event.type, IDENTIFY_EV_MESSAGE);
    cr_assert_eq(event.message.merged.len, 0);
    identify_reader_done(&r);
}

Test(identify, without_memory_it_fails_and_leaks_nothing) {
    struct bytes in = BYTES_LIT("\x05\x2a\x00\x32\x01x\x05\x2a\x00\x32\x01y");
    struct fail_mem f;
    for (fail_mem_start(&f);; fail_mem_again(&f)) {
        struct identify_reader r;
        struct identify_event event;
        identify_reader_init(&r, &f.mem, 0);
        identify_reader_recv(&r, in, 0);
        identify_reader_recv_end(&r, 0);
        cr_assert(identify_reader_next_event(&r, &event));
        if (f.failed)
            cr_assert_eq(event.error, -ENOMEM);
        else
            cr_assert_eq(event.type, IDENTIFY_EV_MESSAGE);
        identify_reader_done(&r);
        cr_assert_eq(f.blocks, 0);
        if (!f.failed)
            break;
    }
}

Test(identify, silence_times_out_at_the_deadline_and_not_before) {
    struct identify_reader r;
    struct identify_event event;
    identify_reader_init(&r, mem_system(), SEC(1));
    identify_reader_recv(&r, BYTES_LIT("\x05\x2a\x00\x32\x01x"), SEC(2)); /* whole, but no end */
    cr_assert_eq(identify_reader_deadline(&r), SEC(1) + IDENTIFY_TIMEOUT);
    identify_reader_tick(&r, SEC(6) - 1);
    cr_assert(!identify_reader_next_event(&r, &event));
    identify_reader_tick(&r, SEC(6));
    cr_assert(identify_reader_next_event(&r, &event));
    cr_assert_eq(event.type, IDENTIFY_EV_FAILED);
    cr_assert_eq(event.error, -ETIMEDOUT);
    cr_assert_eq(identify_reader_deadline(&r), NSEC_NEVER);
    identify_reader_recv(&r, BYTES_LIT("late"), SEC(7));
    identify_reader_recv_end(&r, SEC(7));
    cr_assert(!identify_reader_next_event(&r, &event));
    identify_reader_done(&r);
}

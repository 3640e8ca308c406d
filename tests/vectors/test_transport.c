/* SPDX-License-Identifier: MIT */
/* Goal: the engines of transport/proto say and judge what other implementations do, byte for byte.
 * Spec: libp2p tls, multistream-select, identify, ping, perf. */
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/p2p/identity.h"
#include "tests/support/vectors.h"
#include "transport/proto/identify.h"
#include "transport/proto/multistream.h"
#include "transport/proto/perf.h"
#include "transport/proto/ping.h"
#include "transport/proto/tls_cert.h"

enum { ROW_BYTES_MAX = 4096 };

static const json_t *find_row(struct vectors *v, const char *name) {
    const json_t *found = NULL;
    vectors_for_each(row, v) {
        if (row_is(row, "name", name))
            found = row;
    }
    cr_assert_not_null(found, "no row %s", name);
    return found;
}

/* --- tls_certs.json -------------------------------------------------------------------------- */

/* 2027-01-15: behind the not-before of the one certificate that go-libp2p made. */
#define NOW ((walltime_t)1800000000)

static const char *verdict(struct bytes der, walltime_t now, struct tls_peer *ret_peer) {
    enum tls_cert_fault fault;
    int e = tls_cert_verify(der, now, ret_peer, &fault);
    if (e == 0)
        return "accept";
    cr_assert_eq(e, -ERR_BAD_CERTIFICATE);
    return tls_cert_fault_text(fault);
}

/* What each refused row is refused for; rows that are not here are to be accepted.  The two that
 * the spec leaves to the implementation have critical extensions that we don't know: refused, as by
 * rust-libp2p. */
static const struct {
    const char *name;
    enum tls_cert_fault fault;
} refused[] = {
    {"spec-4-invalid-signature", TLS_CERT_HOST_SIGNATURE},
    {"bad-unknown-critical-extension", TLS_CERT_UNKNOWN_CRITICAL},
    {"basic-constraints-ca-critical", TLS_CERT_UNKNOWN_CRITICAL},
    {"key-usage-critical", TLS_CERT_UNKNOWN_CRITICAL},
    {"bad-expired", TLS_CERT_EXPIRED},
    {"bad-not-yet-valid", TLS_CERT_NOT_YET_VALID},
    {"bad-no-extension", TLS_CERT_NO_EXTENSION},
    {"bad-host-signature", TLS_CERT_HOST_SIGNATURE},
    {"bad-prefix-without-colon", TLS_CERT_HOST_SIGNATURE},
    {"bad-self-signature", TLS_CERT_SELF_SIGNATURE},
    {"duplicate-extension", TLS_CERT_DUPLICATE_EXTENSION},
    {"extension-trailing-byte", TLS_CERT_EXTENSION_MALFORMED},
};

static const char *expected_verdict(const char *name) {
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++)
        if (strcmp(refused[i].name, name) == 0)
            return tls_cert_fault_text(refused[i].fault);
    return "accept";
}

Test(tls_cert, every_certificate_of_the_vectors_is_judged_as_wanted) {
    struct vectors v = vectors_open("tls_certs");
    cr_assert_eq(json_array_size(v.rows), 24);
    vectors_for_each(row, &v) {
        uint8_t memory[ROW_BYTES_MAX];
        struct tls_peer peer;
        char id[PEER_ID_TEXT_MAX];
        const char *name = row_str(row, "name");
        const char *wanted = row_str(row, "spec_expect");
        const char *got = verdict(row_hex(row, "cert", memory, sizeof(memory)), NOW, &peer);
        cr_assert_str_eq(got, expected_verdict(name), "%s: %s", name, got);
        if (strcmp(wanted, "implementation-defined") != 0)
            cr_assert_eq(strcmp(got, "accept") == 0, strcmp(wanted, "accept") == 0, "%s", name);
        if (strcmp(got, "accept") != 0)
            continue;
        /* Where go refuses, rust tells the ID. */
        const char *field = row_has(row, "peer_id_rust") ? "peer_id_rust" : "peer_id";
        cr_assert_str_eq(peer_id_format(&peer.id, id), row_str(row, field), "%s", name);
        cr_assert(peer_id_matches_key(&peer.id, &peer.key), "%s", name);
    }
    vectors_close(&v);
}

Test(tls_cert, the_window_includes_its_first_and_last_second) {
    static const struct {
        const char *row;
        walltime_t at;
        const char *verdict;
    } rows[] = {
        /* 1975-01-01T13:00:00Z as UTCTime, 4096-01-01T13:00:00Z as GeneralizedTime */
        {"spec-1-ed25519", 157813199, "the certificate is not valid yet"},
        {"spec-1-ed25519", 157813200, "accept"},
        {"spec-1-ed25519", 67090165200, "accept"},
        {"spec-1-ed25519", 67090165201, "the certificate has expired"},
        {"spec-1-ed25519", 0, "the certificate is not valid yet"},
        {"spec-1-ed25519", -1, "the certificate is not valid yet"},
        {"spec-1-ed25519", INT64_MAX, "the certificate has expired"},
        /* until 2000-01-01T00:00:00Z; from 3000-01-01T00:00:00Z */
        {"bad-expired", 946684800, "accept"},
        {"bad-expired", 946684801, "the certificate has expired"},
        {"bad-not-yet-valid", 32503679999, "the certificate is not valid yet"},
        {"bad-not-yet-valid", 32503680000, "accept"},
    };
    struct vectors v = vectors_open("tls_certs");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t memory[ROW_BYTES_MAX];
        struct tls_peer peer;
        const json_t *row = find_row(&v, rows[i].row);
        const char *got = verdict(row_hex(row, "cert", memory, sizeof(memory)), rows[i].at, &peer);
        cr_assert_str_eq(got, rows[i].verdict, "line %zu", i);
    }
    vectors_close(&v);
}

/* --- multistream.json, transcripts.json ------------------------------------------------------ */

#define HEADER "\x13/multistream/1.0.0\n"

/* What an engine has to say. */
static struct bytes pull(struct multistream *m, uint8_t out[MULTISTREAM_OUT_MAX]) {
    return bytes_of(out, multistream_pull(m, out, MULTISTREAM_OUT_MAX, 0));
}

/* An initiator with this candidate begins with header and frame; a responder that accepts what
 * comes answers the same. */
static void expect_negotiated(const char *name, struct bytes flight) {
    struct multistream initiator;
    struct multistream responder;
    struct multistream_event event;
    uint8_t out[MULTISTREAM_OUT_MAX];
    struct bytes frame = bytes_skip(flight, strlen(HEADER));

    multistream_init(&initiator, &(struct multistream_config){&name, 1}, 0);
    cr_assert(bytes_equal(pull(&initiator, out), flight), "%s: our first flight", name);
    multistream_init(&responder, &(struct multistream_config){NULL, 0}, 0);
    cr_assert(bytes_equal(pull(&responder, out), BYTES_LIT(HEADER)), "%s", name);
    cr_assert_eq(multistream_recv(&responder, flight, 0), flight.len, "%s", name);
    cr_assert(multistream_next_event(&responder, &event), "%s", name);
    cr_assert(bytes_equal(event.name, bytes_of_str(name)), "%s: proposed", name);
    multistream_accept(&responder, 0);
    cr_assert(bytes_equal(pull(&responder, out), frame), "%s: our echo", name);
    cr_assert_eq(multistream_recv(&initiator, flight, 0), flight.len, "%s", name);
    cr_assert(multistream_next_event(&initiator, &event), "%s", name);
    cr_assert_eq(event.type, MULTISTREAM_EV_AGREED, "%s", name);
}

static void expect_frame_refused(struct bytes frame, const char *name) {
    struct multistream m;
    struct multistream_event event;
    uint8_t out[MULTISTREAM_OUT_MAX];
    multistream_init(&m, &(struct multistream_config){NULL, 0}, 0);
    (void)pull(&m, out);
    cr_assert_leq(multistream_recv(&m, frame, 0), frame.len);
    cr_assert(multistream_next_event(&m, &event), "%s", name);
    cr_assert_eq(event.type, MULTISTREAM_EV_FAILED, "%s", name);
}

Test(multistream, frames_are_those_of_the_vectors) {
    struct vectors v = vectors_open("multistream");
    vectors_for_each(row, &v) {
        uint8_t memory[ROW_BYTES_MAX];
        const char *text = row_str(row, "text");
        size_t header_len = strlen(HEADER);
        memcpy(memory, HEADER, header_len);
        struct bytes b = row_hex(row, "bytes", memory + header_len, sizeof(memory) - header_len);
        if (row_is(row, "expect", "reject"))
            expect_frame_refused(b, row_str(row, "name"));
        else if (text != NULL && text[0] == '/' && strcmp(text, "/multistream/1.0.0") != 0)
            expect_negotiated(text, bytes_of(memory, header_len + b.len));
    }
    vectors_close(&v);
}

/* go's ping opener writes everything at once; the 32 bytes are the ping's. */
Test(multistream, a_lazy_opener_is_understood_to_the_byte) {
    struct vectors v = vectors_open("multistream");
    uint8_t memory[ROW_BYTES_MAX];
    struct bytes in = row_hex(find_row(&v, "lazy-initiator-ping"), "bytes", memory, sizeof(memory));
    struct multistream m;
    struct multistream_event event;
    struct ping_acceptor ping;
    uint8_t out[MULTISTREAM_OUT_MAX];
    multistream_init(&m, &(struct multistream_config){NULL, 0}, 0);
    (void)pull(&m, out);
    size_t taken = multistream_recv(&m, in, 0);
    cr_assert(multistream_next_event(&m, &event));
    multistream_accept(&m, 0);
    (void)pull(&m, out);
    struct bytes payload = bytes_skip(in, taken);
    cr_assert_eq(payload.len, PING_BYTES);
    ping_acceptor_init(&ping, 0);
    cr_assert_eq(ping_acceptor_recv(&ping, payload, 0), PING_BYTES);
    cr_assert_eq(ping_acceptor_pull(&ping, out, sizeof(out), 0), PING_BYTES);
    cr_assert(bytes_equal(bytes_of(out, PING_BYTES), payload));
    vectors_close(&v);
}

/* What each side of a captured connection said on one yamux stream: the payload of its DATA frames
 * (type 0), joined. */
static struct bytes said_on_stream(const json_t *row, const char *from, uint32_t stream_id,
                                   uint8_t out[ROW_BYTES_MAX]) {
    size_t len = 0;
    for (size_t i = 0; i < json_array_size(json_object_get(row, "chunks")); i++) {
        const json_t *chunk = json_array_get(json_object_get(row, "chunks"), i);
        uint8_t memory[ROW_BYTES_MAX];
        struct bytes b = row_hex(chunk, "bytes", memory, sizeof(memory));
        if (!row_is(chunk, "from", from))
            continue;
        while (b.len >= 12 && b.data[0] == 0) {
            uint32_t id = (uint32_t)b.data[4] << 24 | (uint32_t)b.data[5] << 16 |
                          (uint32_t)b.data[6] << 8 | b.data[7];
            size_t n = b.data[1] == 0 ? (size_t)(b.data[10] << 8 | b.data[11]) : 0;
            b = bytes_skip(b, 12);
            if (id == stream_id && n > 0) {
                memcpy(out + len, b.data, n);
                len += n;
            }
            b = bytes_skip(b, n);
        }
    }
    cr_assert_gt(len, 0);
    return bytes_of(out, len);
}

/* go-libp2p as the acceptor of our identify stream, and as our ping's, from the wire. */
Test(transcripts, we_read_what_go_answered) {
    struct vectors v = vectors_open("transcripts");
    const json_t *row = find_row(&v, "go47-go47-plaintext-yamux");
    static const char *const names[] = {"/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"};
    uint8_t memory[ROW_BYTES_MAX];
    uint8_t asked[ROW_BYTES_MAX];
    uint8_t out[MULTISTREAM_OUT_MAX];

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        uint32_t stream_id = (uint32_t)(2 * i + 1);
        struct bytes opener = said_on_stream(row, "dialer", stream_id, asked);
        struct bytes acceptor = said_on_stream(row, "listener", stream_id, memory);
        struct multistream m;
        struct multistream_event event;
        multistream_init(&m, &(struct multistream_config){&names[i], 1}, 0);
        struct bytes flight = pull(&m, out);
        cr_assert(bytes_start_with(opener, flight), "%s: go opens as we do", names[i]);
        size_t taken = multistream_recv(&m, acceptor, 0);
        cr_assert(multistream_next_event(&m, &event), "%s", names[i]);
        cr_assert_eq(event.type, MULTISTREAM_EV_AGREED, "%s", names[i]);
        struct bytes payload = bytes_skip(acceptor, taken);
        if (i == 1) { /* two pings */
            cr_assert(bytes_equal(payload, bytes_skip(opener, flight.len)));
            cr_assert_eq(payload.len, 2 * PING_BYTES);
            continue;
        }
        struct identify_reader r;
        struct identify_event identify;
        identify_reader_init(&r, mem_system(), 0);
        identify_reader_recv(&r, payload, 0);
        identify_reader_recv_end(&r, 0);
        cr_assert(identify_reader_next_event(&r, &identify));
        cr_assert_eq(identify.type, IDENTIFY_EV_MESSAGE);
        cr_assert(identify_has_protocol(&identify.message, "/ipfs/ping/1.0.0"));
        cr_assert_gt(identify.message.record.len, 0);
        struct peer_id go;
        struct multiaddr addr;
        cr_assert_eq(peer_id_parse(row_str(row, "listener"), &go), 0);
        struct identify_walk w = identify_addrs(&identify.message, &go);
        cr_assert(w.in_record, "go's signed record verifies");
        cr_assert(identify_next_addr(&w, &addr));
        identify_reader_done(&r);
    }
    vectors_close(&v);
}

/* --- identify.json --------------------------------------------------------------------------- */

/* Identity A of the specs: seed 00 01 ... 1f; B: 20 21 ... 3f. */
static struct identity identity_of(uint8_t first) {
    struct identity id;
    uint8_t seed[ED25519_SEED_BYTES];
    for (size_t i = 0; i < sizeof(seed); i++)
        seed[i] = (uint8_t)(first + i);
    cr_assert_eq(identity_from_seed(seed, &id), 0);
    return id;
}

static struct multiaddr addr_of(const char *text) {
    struct multiaddr a;
    cr_assert_eq(multiaddr_parse(text, &a), 0, "%s", text);
    return a;
}

Test(identify, the_full_message_is_written_byte_for_byte) {
    struct vectors v = vectors_open("identify");
    struct identity a = identity_of(0x00);
    struct multiaddr addrs[] = {addr_of("/ip4/192.0.2.1/tcp/4001"),
                                addr_of("/ip4/192.0.2.1/udp/4001/quic-v1")};
    struct multiaddr observed = addr_of("/ip4/198.51.100.7/udp/4001/quic-v1");
    static const char *const protocols[] = {"/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"};
    struct identify_info info = {
        .identity = &a,
        .addrs = addrs,
        .addrs_count = 2,
        .protocols = protocols,
        .protocols_count = 2,
        .observed = &observed,
        .protocol_version = "ipfs/0.1.0",
        .agent = "test/1.0",
        .record_seq = 1700000000000000000,
    };
    uint8_t out[IDENTIFY_OUT_MAX];
    uint8_t memory[ROW_BYTES_MAX];
    struct bytes expected =
        row_hex(find_row(&v, "identify-full"), "delimited", memory, sizeof(memory));
    cr_assert_eq(identify_encode(&info, out), (ssize_t)expected.len);
    cr_assert(bytes_equal(bytes_of(out, expected.len), expected));
    vectors_close(&v);
}

static void expect_full(const struct identify_message *m, const char *name) {
    struct identity a = identity_of(0x00);
    struct identity b = identity_of(0x20);
    struct multiaddr first = addr_of("/ip4/192.0.2.1/tcp/4001");
    struct multiaddr observed = addr_of("/ip4/198.51.100.7/udp/4001/quic-v1");
    struct multiaddr got;
    struct identify_walk w = identify_addrs(m, &a.id);
    cr_assert(w.in_record, "%s", name);
    cr_assert(identify_next_addr(&w, &got), "%s", name);
    cr_assert(multiaddr_equal(&got, &first), "%s", name);
    cr_assert(identify_next_addr(&w, &got), "%s", name);
    cr_assert(!identify_next_addr(&w, &got), "%s", name);
    w = identify_addrs(m, &b.id);
    cr_assert(!identify_next_addr(&w, &got), "%s: the record is another peer's", name);
    cr_assert(bytes_equal(m->observed, multiaddr_bytes(&observed)), "%s", name);
    cr_assert_str_eq(m->agent, "test/1.0", "%s", name);
    cr_assert(identify_has_protocol(m, "/ipfs/id/1.0.0"), "%s", name);
    cr_assert(identify_has_protocol(m, "/ipfs/ping/1.0.0"), "%s", name);
    cr_assert(!identify_has_protocol(m, "/ipfs/ping/1.0"), "%s", name);
}

Test(identify, messages_are_read_at_every_split_point) {
    struct vectors v = vectors_open("identify");
    vectors_for_each(row, &v) {
        uint8_t memory[ROW_BYTES_MAX];
        const char *name = row_str(row, "name");
        struct bytes in = row_hex(row, "delimited", memory, sizeof(memory));
        for (size_t split = 0; split <= in.len; split++) {
            struct identify_reader r;
            struct identify_event event;
            identify_reader_init(&r, mem_system(), 0);
            identify_reader_recv(&r, bytes_of(in.data, split), 0);
            identify_reader_recv(&r, bytes_skip(in, split), 0);
            cr_assert(!identify_reader_next_event(&r, &event), "%s: before the end", name);
            identify_reader_recv_end(&r, 0);
            cr_assert(identify_reader_next_event(&r, &event), "%s at %zu", name, split);
            cr_assert_eq(event.type, IDENTIFY_EV_MESSAGE, "%s at %zu", name, split);
            if (row_is(row, "name", "identify-minimal"))
                cr_assert_str_eq(event.message.agent, "x");
            else if (split % 16 == 0) /* verifying the record takes its time */
                expect_full(&event.message, name);
            identify_reader_done(&r);
        }
    }
    vectors_close(&v);
}

/* --- ping_perf.json -------------------------------------------------------------------------- */

/* The bytes of the ping vector. */
static void count_up(struct rng *g, void *out, size_t size) {
    (void)g;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)i;
}

Test(ping, both_sides_say_what_the_vector_says) {
    struct vectors v = vectors_open("ping_perf");
    const json_t *row = find_row(&v, "ping");
    uint8_t asked[64];
    uint8_t answered[64];
    uint8_t out[64];
    struct bytes ask = row_hex(row, "initiator_sends", asked, sizeof(asked));
    struct bytes answer = row_hex(row, "responder_sends", answered, sizeof(answered));
    struct rng rng = {.fill = count_up};
    struct ping_opener opener;
    struct ping_acceptor acceptor;
    struct ping_event event;

    ping_opener_init(&opener, &rng, 0);
    ping_opener_send(&opener, 0);
    cr_assert(bytes_equal(bytes_of(out, ping_opener_pull(&opener, out, sizeof(out), 0)), ask));
    ping_acceptor_init(&acceptor, 0);
    cr_assert_eq(ping_acceptor_recv(&acceptor, ask, 0), ask.len);
    cr_assert(
        bytes_equal(bytes_of(out, ping_acceptor_pull(&acceptor, out, sizeof(out), 0)), answer));
    ping_opener_recv(&opener, answer, MSEC(1));
    cr_assert(ping_opener_next_event(&opener, &event));
    cr_assert_eq(event.type, PING_EV_PONG);
    vectors_close(&v);
}

Test(perf, both_sides_send_what_the_vectors_say) {
    struct vectors v = vectors_open("ping_perf");
    vectors_for_each(row, &v) {
        const char *name = row_str(row, "name");
        if (strncmp(name, "perf-", 5) != 0)
            continue;
        uint8_t uploaded[64];
        uint8_t downloaded[64];
        uint8_t head[PERF_HEAD_BYTES];
        struct bytes up = row_hex(row, "initiator_sends", uploaded, sizeof(uploaded));
        struct bytes down = row_hex(row, "responder_sends", downloaded, sizeof(downloaded));
        struct perf_opener opener;
        struct perf_acceptor acceptor;
        struct perf_event event;

        perf_opener_init(&opener, up.len - PERF_HEAD_BYTES, down.len, 0);
        perf_opener_head(&opener, head, 0);
        cr_assert(bytes_start_with(up, BYTES_OF(head)), "%s", name);
        cr_assert_eq(perf_opener_fill(&opener, 100, 0), up.len - PERF_HEAD_BYTES, "%s", name);
        perf_acceptor_init(&acceptor, 100, 0);
        perf_acceptor_recv(&acceptor, up, 0);
        perf_acceptor_recv_end(&acceptor, 0);
        cr_assert_eq(perf_acceptor_fill(&acceptor, 100, 0), down.len, "%s", name);
        cr_assert(perf_acceptor_next_event(&acceptor, &event), "%s", name);
        cr_assert_eq(event.type, PERF_EV_DONE, "%s", name);
        perf_opener_recv(&opener, down, 0);
        perf_opener_recv_end(&opener, 0);
        cr_assert(perf_opener_next_event(&opener, &event), "%s", name);
        cr_assert_eq(event.type, PERF_EV_DONE, "%s", name);
    }
    vectors_close(&v);
}

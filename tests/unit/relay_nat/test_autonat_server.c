/* SPDX-License-Identifier: MIT */
/* Goal: one address is dialled for a peer, and nobody is attacked through us.
 * Spec: libp2p AutoNAT v2, "Server step". */
#include "core/base/err.h"
#include "relay/proto/autonat_server.h"
#include "tests/support/fixed_rng.h"
#include "tests/support/hex.h"
#include "tests/unit/relay_nat/addrs.h"

enum { KINDS = 1 << MULTIADDR_KIND_TCP | 1 << MULTIADDR_KIND_QUIC };

struct bed {
    struct autonat_limits limits;
    struct fixed_rng rng;
};

static void bed_init(struct bed *b) {
    *b = (struct bed){.limits = {.admitted = {{.is_open = false}}}};
    fixed_rng_init(&b->rng, 11);
}

static void init(struct autonat_server *s, struct bed *b, uint8_t peer, nsec_t now) {
    struct autonat_server_config config = {
        .limits = &b->limits,
        .rng = &b->rng.rng,
        .peer = {.len = 34, .bytes = {0x12, 0x20, peer}},
        .observed = naddr("5.6.7.8:9999"),
        .kinds = KINDS,
    };
    autonat_server_init(s, &config, now);
}

static struct autonat_server_event expect(struct autonat_server *s,
                                          enum autonat_server_event_type type) {
    struct autonat_server_event event;
    cr_assert(autonat_server_next_event(s, &event), "no event instead of %d", type);
    cr_assert_eq(event.type, type, "event %d instead of %d", event.type, type);
    return event;
}

static void expect_nothing(struct autonat_server *s) {
    struct autonat_server_event event;
    cr_assert_not(autonat_server_next_event(s, &event));
}

static void expect_end(struct autonat_server *s, int error) {
    struct autonat_server_event event = expect(s, AUTONAT_SERVER_EV_END);
    cr_assert_eq(event.error, error, "%s instead of %s", err_name(event.error), err_name(error));
    expect_nothing(s);
    cr_assert_eq(autonat_server_deadline(s), NSEC_NEVER);
}

static void expect_answer(struct autonat_server *s, struct bytes delimited) {
    cr_assert(bytes_equal(expect(s, AUTONAT_SERVER_EV_SEND).message, delimited));
    expect_end(s, 0);
}

static void request(struct autonat_server *s, const char *const *texts, size_t count, nsec_t now) {
    struct multiaddr addrs[AUTONAT_ADDRS_MAX];
    static uint8_t out[AUTONAT_OUT_MAX];
    for (size_t i = 0; i < count; i++)
        addrs[i] = maddr(texts[i]);
    size_t len = autonat_encode_request(addrs, count, 0x0102030405060708, out);
    size_t prefix = len > 128 ? 2 : 1;
    autonat_server_recv(s, bytes_of(out + prefix, len - prefix), now);
}

#define REQUEST(s, now, ...)                         \
    request((s), (const char *const[]){__VA_ARGS__}, \
            ARRAY_COUNT(((const char *const[]){__VA_ARGS__})), (now))

/* A frame with so many bytes of data. */
static void pay(struct autonat_server *s, size_t bytes, nsec_t now) {
    static uint8_t out[AUTONAT_OUT_MAX];
    size_t len = autonat_encode_data(bytes, out);
    size_t prefix = len > 128 ? 2 : 1;
    autonat_server_recv(s, bytes_of(out + prefix, len - prefix), now);
}

static uint64_t wanted(struct autonat_server *s) {
    struct autonat_msg m;
    struct bytes message = expect(s, AUTONAT_SERVER_EV_SEND).message;
    cr_assert_eq(autonat_decode(bytes_skip(message, 1), &m), 0);
    cr_assert_eq(m.type, AUTONAT_DATA_REQUEST);
    cr_assert_eq(m.addr_index, s->addr_index);
    expect_nothing(s);
    return m.data_bytes;
}

#define OWN     "/ip4/5.6.7.8/tcp/4001"
#define FOREIGN "/ip4/9.9.9.9/tcp/4001"

Test(autonat_server, the_peers_own_ip_is_dialled_at_once) {
    struct bed b;
    struct autonat_server s;
    struct multiaddr own = maddr(OWN);
    bed_init(&b);
    init(&s, &b, 1, SEC(1));
    expect_nothing(&s);
    REQUEST(&s, SEC(1), OWN);
    struct autonat_server_event event = expect(&s, AUTONAT_SERVER_EV_DIAL);
    cr_assert(multiaddr_equal(event.addr, &own));
    cr_assert_eq(event.nonce, 0x0102030405060708);
    expect_nothing(&s);
    autonat_server_dialled(&s, AUTONAT_DIAL_OK, SEC(2));
    expect_answer(&s, HEX("08120608c80118c801"));
    autonat_server_done(&s);
}

Test(autonat_server, the_first_usable_address_is_taken_and_named_by_its_place) {
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    init(&s, &b, 1, 0);
    REQUEST(&s, 0, "/ip4/192.168.1.2/tcp/4001", "/ip4/5.6.7.8/tcp/4001/ws",
            "/ip4/5.6.7.8/udp/4001/quic-v1/p2p/"
            "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB/p2p-circuit",
            "/dns4/example.com/tcp/4001", "/ip4/5.6.7.8/tcp/0", "/ip4/127.0.0.1/tcp/4001",
            "/ip4/5.6.7.8/udp/4001/quic-v1", OWN);
    struct multiaddr quic = maddr("/ip4/5.6.7.8/udp/4001/quic-v1");
    cr_assert(multiaddr_equal(expect(&s, AUTONAT_SERVER_EV_DIAL).addr, &quic));
    autonat_server_dialled(&s, AUTONAT_DIAL_E_DIAL, SEC(1));
    expect_answer(&s, HEX("09120708c80110061864"));
}

Test(autonat_server, undecodable_addresses_count_for_their_place) {
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    init(&s, &b, 1, 0);
    autonat_server_recv(&s,
                        HEX("0a10"
                            "0a02ffff"
                            "0a00"
                            "0a080405060708060fa1"),
                        0);
    (void)expect(&s, AUTONAT_SERVER_EV_DIAL);
    autonat_server_dialled(&s, AUTONAT_DIAL_E_DIAL_BACK, 0);
    expect_answer(&s, HEX("09120708c80110021865"));
}

Test(autonat_server, a_request_without_usable_addresses_is_refused) {
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    init(&s, &b, 1, 0);
    REQUEST(&s, 0, "/ip4/192.168.1.2/tcp/4001", "/ip4/0.0.0.0/tcp/4001");
    expect_answer(&s, HEX("0412020865"));
    init(&s, &b, 2, 0);
    autonat_server_recv(&s, HEX("0a00"), 0);
    expect_answer(&s, HEX("0412020865"));
}

Test(autonat_server, addresses_beyond_the_fiftieth_are_not_looked_at) {
    for (size_t bad = AUTONAT_INSPECTED_MAX - 1; bad <= AUTONAT_INSPECTED_MAX; bad++) {
        struct bed b;
        struct autonat_server s;
        uint8_t body[128] = {0x0a, (uint8_t)(2 * bad + 10)};
        for (size_t i = 0; i < bad; i++)
            body[2 + 2 * i] = 0x0a;
        static const uint8_t good[] = {0x0a, 8, 4, 5, 6, 7, 8, 6, 0x0f, 0xa1};
        memcpy(body + 2 + 2 * bad, good, sizeof(good));
        bed_init(&b);
        init(&s, &b, 1, 0);
        autonat_server_recv(&s, bytes_of(body, 12 + 2 * bad), 0);
        if (bad < AUTONAT_INSPECTED_MAX)
            (void)expect(&s, AUTONAT_SERVER_EV_DIAL);
        else
            expect_answer(&s, HEX("0412020865"));
    }
}

Test(autonat_server, labs_may_have_private_addresses_dialled) {
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    struct autonat_server_config config = {
        .limits = &b.limits,
        .rng = &b.rng.rng,
        .peer = {.len = 1},
        .observed = naddr("10.1.1.1:1"),
        .kinds = KINDS,
        .accept_private = true,
    };
    autonat_server_init(&s, &config, 0);
    REQUEST(&s, 0, "/ip4/0.0.0.0/tcp/4001", "/ip4/10.1.1.1/tcp/4001");
    (void)expect(&s, AUTONAT_SERVER_EV_DIAL);
}

Test(autonat_server, of_a_relayed_peer_and_of_one_beside_us_nothing_can_be_said) {
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    for (int i = 0; i < 3; i++) {
        struct autonat_server_config config = {
            .limits = &b.limits,
            .rng = &b.rng.rng,
            .peer = {.len = 34, .bytes = {0x12, 0x20, (uint8_t)i}},
            .observed = i == 0 ? naddr("10.1.1.1:1") : (struct net_addr){.family = NET_NONE},
            .kinds = KINDS,
            .accept_private = i == 2,
        };
        autonat_server_init(&s, &config, 0);
        REQUEST(&s, 0, OWN);
        expect_answer(&s, HEX("0412020864"));
        autonat_server_done(&s);
    }
}

/* --- other people's addresses ----------------------------------------------------------------- */

Test(autonat_server, a_family_that_we_have_no_way_to_is_passed_over) {
    static const char *const addrs[] = {"/ip6/2a01::1/tcp/4001", "/ip4/5.6.7.8/tcp/4001"};
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    struct autonat_server_config config = {
        .limits = &b.limits,
        .rng = &b.rng.rng,
        .peer = {.len = 34, .bytes = {0x12, 0x20, 1}},
        .observed = naddr("5.6.7.8:9999"),
        .kinds = KINDS,
        .lacking = 1 << NET_IP6,
    };
    autonat_server_init(&s, &config, 0);
    request(&s, addrs, 2, 0);
    struct multiaddr expected = maddr(addrs[1]);
    cr_assert(multiaddr_equal(expect(&s, AUTONAT_SERVER_EV_DIAL).addr, &expected));
    autonat_server_done(&s);
    autonat_server_init(&s, &config, SEC(1));
    request(&s, addrs, 1, SEC(1));
    expect_answer(&s, HEX("0412020865"));
    autonat_server_done(&s);
}

Test(autonat_server, another_ip_costs_data_and_a_random_wait) {
    nsec_t waits[20];
    uint64_t sizes[20];
    for (uint64_t i = 0; i < 20; i++) {
        struct bed b;
        struct autonat_server s;
        bed_init(&b);
        fixed_rng_init(&b.rng, 101 + 2 * i);
        init(&s, &b, 1, SEC(1));
        REQUEST(&s, SEC(1), FOREIGN);
        sizes[i] = wanted(&s);
        cr_assert_geq(sizes[i], 30000);
        cr_assert_leq(sizes[i], 100000);
        uint64_t left = sizes[i];
        for (; left > AUTONAT_DATA_FRAME; left -= AUTONAT_DATA_FRAME)
            pay(&s, AUTONAT_DATA_FRAME, SEC(2));
        cr_assert_eq(autonat_server_deadline(&s), SEC(16), "nothing before the last byte");
        pay(&s, left, SEC(2));
        expect_nothing(&s);
        waits[i] = autonat_server_deadline(&s) - SEC(2);
        cr_assert_lt(waits[i], SEC(3));
        autonat_server_tick(&s, SEC(2) + waits[i]);
        (void)expect(&s, AUTONAT_SERVER_EV_DIAL);
        autonat_server_dialled(&s, AUTONAT_DIAL_OK, SEC(6));
        expect_answer(&s, HEX("08120608c80118c801"));
    }
    cr_assert_neq(waits[0], waits[1]);
    cr_assert_neq(sizes[0], sizes[1]);
}

Test(autonat_server, frames_that_are_too_small_or_too_large_end_it) {
    static const size_t sizes[] = {0, 1, AUTONAT_DATA_FRAME_MIN - 1};
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        init(&s, &b, (uint8_t)i, 0);
        REQUEST(&s, 0, FOREIGN);
        (void)wanted(&s);
        pay(&s, AUTONAT_DATA_FRAME_MIN, 0);
        expect_nothing(&s);
        pay(&s, sizes[i], 0);
        expect_end(&s, -ERR_PROTOCOL_VIOLATION);
    }
    init(&s, &b, 9, 0);
    REQUEST(&s, 0, FOREIGN);
    (void)wanted(&s);
    static uint8_t body[AUTONAT_DATA_FRAME_MAX + 7] = {0x22, 0x84, 0x20, 0x0a, 0x81, 0x20};
    autonat_server_recv(&s, bytes_of(body, sizeof(body)), 0);
    expect_end(&s, -ERR_PROTOCOL_VIOLATION);
}

Test(autonat_server, twelve_requests_a_minute_may_name_another_ip) {
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    for (uint8_t i = 0; i < AUTONAT_DATA_REQUESTS_PER_MINUTE; i++) {
        init(&s, &b, i, SEC(1));
        REQUEST(&s, SEC(1), FOREIGN);
        (void)wanted(&s);
        autonat_server_done(&s);
    }
    init(&s, &b, 99, SEC(2));
    REQUEST(&s, SEC(2), FOREIGN);
    expect_answer(&s, HEX("0412020864"));
    autonat_server_done(&s);
    init(&s, &b, 99, SEC(2));
    REQUEST(&s, SEC(2), OWN);
    (void)expect(&s, AUTONAT_SERVER_EV_DIAL);
    autonat_server_done(&s);
    init(&s, &b, 98, SEC(61));
    REQUEST(&s, SEC(61), FOREIGN);
    (void)wanted(&s);
}

/* --- limits ----------------------------------------------------------------------------------- */

Test(autonat_server, a_peer_has_two_streams_at_once) {
    struct bed b;
    struct autonat_server s[3];
    bed_init(&b);
    init(&s[0], &b, 1, 0);
    init(&s[1], &b, 1, 0);
    init(&s[2], &b, 1, 0);
    expect_answer(&s[2], HEX("0412020864"));
    autonat_server_done(&s[2]);
    init(&s[2], &b, 2, 0);
    expect_nothing(&s[2]);
    autonat_server_done(&s[0]);
    autonat_server_done(&s[0]); /* harmless */
    init(&s[0], &b, 1, 0);
    expect_nothing(&s[0]);
}

Test(autonat_server, a_peer_has_twelve_requests_a_minute) {
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    for (int i = 0; i < AUTONAT_PEER_REQUESTS_PER_MINUTE; i++) {
        init(&s, &b, 1, SEC(1));
        expect_nothing(&s);
        autonat_server_done(&s);
    }
    init(&s, &b, 1, SEC(61) - 1);
    expect_answer(&s, HEX("0412020864"));
    autonat_server_recv(&s, HEX("0a00"), SEC(61) - 1); /* what it sent meanwhile */
    expect_nothing(&s);
    autonat_server_done(&s);
    init(&s, &b, 1, SEC(61));
    expect_nothing(&s);
}

Test(autonat_server, all_peers_together_have_sixty_requests_a_minute) {
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    for (int i = 0; i < AUTONAT_REQUESTS_PER_MINUTE; i++) {
        init(&s, &b, (uint8_t)i, SEC(1));
        expect_nothing(&s);
        autonat_server_done(&s);
    }
    init(&s, &b, 200, SEC(1));
    expect_answer(&s, HEX("0412020864"));
    autonat_server_done(&s);
    init(&s, &b, 200, SEC(61));
    expect_nothing(&s);
}

/* --- what the peer may do wrong --------------------------------------------------------------- */

Test(autonat_server, a_message_out_of_its_turn_ends_it) {
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    init(&s, &b, 1, 0);
    pay(&s, 200, 0);
    expect_end(&s, -ERR_PROTOCOL_VIOLATION);
    init(&s, &b, 2, 0);
    REQUEST(&s, 0, FOREIGN);
    (void)wanted(&s);
    REQUEST(&s, 0, OWN);
    expect_end(&s, -ERR_PROTOCOL_VIOLATION);
    init(&s, &b, 3, 0);
    REQUEST(&s, 0, OWN);
    (void)expect(&s, AUTONAT_SERVER_EV_DIAL);
    REQUEST(&s, 0, OWN);
    expect_end(&s, -ERR_PROTOCOL_VIOLATION);
    autonat_server_dialled(&s, AUTONAT_DIAL_OK, 0); /* given up */
    expect_nothing(&s);
    init(&s, &b, 4, 0);
    autonat_server_recv(&s, HEX("ff"), 0);
    expect_end(&s, -ERR_TRUNCATED);
}

Test(autonat_server, everything_ends_after_fifteen_seconds_and_not_before) {
    struct bed b;
    struct autonat_server s;
    bed_init(&b);
    for (int stage = 0; stage < 3; stage++) {
        init(&s, &b, 1, SEC(1));
        if (stage == 1) {
            REQUEST(&s, SEC(2), FOREIGN);
            (void)wanted(&s);
        } else if (stage == 2) {
            REQUEST(&s, SEC(2), OWN);
            (void)expect(&s, AUTONAT_SERVER_EV_DIAL);
        }
        cr_assert_eq(autonat_server_deadline(&s), SEC(16));
        autonat_server_tick(&s, SEC(16) - 1);
        expect_nothing(&s);
        autonat_server_tick(&s, SEC(16));
        expect_end(&s, -ETIMEDOUT);
        autonat_server_tick(&s, SEC(17));
        expect_nothing(&s);
        autonat_server_done(&s);
    }
}

Test(autonat_server, the_engines_stay_within_their_stated_size) {
    cr_assert_leq(sizeof(struct autonat_server), 1024);
    cr_assert_leq(sizeof(struct autonat_limits), 5 * 1024);
}

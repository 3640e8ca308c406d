/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/net_addr.h"
#include "core/p2p/multiaddr.h"
#include "tests/support/hex.h"

#define ID_A "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
#define ID_R "12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp"

static struct multiaddr addr_of(const char *text) {
    struct multiaddr a;
    int e = multiaddr_parse(text, &a);
    cr_assert_eq(e, 0, "%s: %s", text, err_name(e));
    return a;
}

static void assert_text(const struct multiaddr *a, const char *expected) {
    char text[MULTIADDR_TEXT_MAX];
    cr_assert_str_eq(multiaddr_format(a, text), expected);
}

Test(multiaddr, values_that_the_vectors_do_not_have) {
    static const struct {
        const char *text;
        const char *canonical; /* NULL: refused */
    } rows[] = {
        {"/tcp/00000000000000000000000000000000000000065535", "/tcp/65535"},
        {"/tcp/+1", NULL},
        {"/tcp/ 1", NULL},
        {"/tcp/", NULL},
        {"/tcp/99999999999999999999999", NULL},
        {"/memory/18446744073709551615", "/memory/18446744073709551615"},
        {"/memory/18446744073709551616", NULL},
        {"/ipcidr/255", "/ipcidr/255"},
        {"/ipcidr/256", NULL},
        {"/ip6/fe80::1%3/tcp/1", NULL},
        {"/ip6/::1.2.3.4/tcp/1", "/ip6/::102:304/tcp/1"},
        {"/ip6/1:0:0:2:0:0:0:3", "/ip6/1:0:0:2::3"},
        {"/ip4/1.2.3.4/tcp/1//", NULL},
        {"//", NULL},
        {"//ip4/1.2.3.4", NULL},
        {"/unix/", NULL},
        {"/unix/a/b/c/", "/unix/a/b/c"},
        {"/unix/a//", NULL},
        {"/http-path/a%2fb+c", "/http-path/a%2Fb%20c"},
        {"/http-path/a%2", NULL},
        {"/http-path/a%zz", NULL},
        {"/http-path/%00", "/http-path/%00"},
        {"/onion/timaq4ygg2iegci7:80", "/onion/timaq4ygg2iegci7:80"},
        {"/onion/TIMAQ4YGG2IEGCI7:80", "/onion/timaq4ygg2iegci7:80"},
        {"/onion/timaq4ygg2iegci7", NULL},
        {"/onion/timaq4ygg2iegci:80", NULL},
        {"/onion/timaq4ygg2iegci7:65536", NULL},
        {"/onion/:80", NULL},
        {"/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuq",
         "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuq"},
        {"/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertz", NULL},
        {"/garlic64/abcd", NULL},
        {"/certhash/zQmbWTwYGcmdyK9CYfNBcfs9nhZs17a6FQ4Y8oea278xx41",
         "/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g"},
        {"/certhash/b", NULL},
        {"/certhash/abc", NULL},
        {"/p2p/", NULL},
        {"/ipfs/" ID_A, "/p2p/" ID_A},
        {"/IP4/1.2.3.4", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct multiaddr a;
        int e = multiaddr_parse(rows[i].text, &a);
        cr_assert_eq(e, rows[i].canonical == NULL ? -ERR_BAD_MULTIADDR : 0, "%s: %s", rows[i].text,
                     err_name(e));
        if (e == 0)
            assert_text(&a, rows[i].canonical);
    }
}

Test(multiaddr, a_garlic64_destination_both_ways) {
    uint8_t in[400] = {0xbe, 0x03, 0x83, 0x03}; /* length 387 */
    char text[MULTIADDR_TEXT_MAX];
    struct multiaddr a;
    struct multiaddr b;
    memset(in + 4, 0xff, 387);
    in[4] = 0xfb; /* gives both characters that differ from base64 */
    cr_assert_eq(multiaddr_decode(bytes_of(in, 4 + 387), &a), 0);
    multiaddr_format(&a, text);
    cr_assert(strncmp(text, "/garlic64/-~~~", 14) == 0, "%s", text);
    cr_assert_eq(multiaddr_parse(text, &b), 0);
    cr_assert(multiaddr_equal(&a, &b));
    in[2] = 0x81; /* 385: too short */
    cr_assert_eq(multiaddr_decode(bytes_of(in, 4 + 385), &a), -ERR_BAD_MULTIADDR);
}

Test(multiaddr, binary_that_would_not_print_as_itself_is_refused) {
    static const struct {
        const char *name;
        const char *hex;
    } rows[] = {
        {"NUL in a name", "3503610062"},
        {"unix without a slash", "90030161"},
        {"unix that is a directory", "9003032f612f"},
        {"unix with NUL", "9003032f6100"},
        {"unix with a part behind it", "9003022f6106000c"},
        {"certhash that is none", "d2030400010203"},
        {"http-path of nothing", "e10300"},
        {"length with padding", "3581006162"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t memory[32];
        struct multiaddr a;
        cr_assert_eq(multiaddr_decode(hex_into(rows[i].hex, memory, sizeof(memory)), &a),
                     -ERR_BAD_MULTIADDR, "%s", rows[i].name);
    }
}

Test(multiaddr, limits_are_told_from_faults) {
    char text[4 * MULTIADDR_TEXT_MAX];
    uint8_t bytes[MULTIADDR_BYTES_MAX + 1];
    struct multiaddr a;
    size_t len = 0;
    for (int i = 0; i < MULTIADDR_PARTS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "/p2p-webrtc-direct");
    a = addr_of(text);
    char again[MULTIADDR_TEXT_MAX];
    cr_assert_str_eq(multiaddr_format(&a, again), text);
    cr_assert_eq(multiaddr_add(&a, MULTIADDR_QUIC_V1), -ERR_LIMIT);
    (void)snprintf(text + len, sizeof(text) - len, "/quic");
    cr_assert_eq(multiaddr_parse(text, &a), -ERR_LIMIT);

    memset(text, 'a', sizeof(text));
    memcpy(text, "/dns/", 5);
    text[5 + 508] = '\0'; /* 35, two bytes of length, 508: 511 */
    a = addr_of(text);
    cr_assert_eq(a.len, 511);
    cr_assert_eq(multiaddr_add(&a, MULTIADDR_QUIC_V1), -ERR_LIMIT);
    cr_assert_eq(a.len, 511);
    text[5 + 508] = 'a';
    text[5 + 510] = '\0';
    cr_assert_eq(multiaddr_parse(text, &a), -ERR_LIMIT);
    text[5 + 510] = 'a';
    text[sizeof(text) - 1] = '\0';
    cr_assert_eq(multiaddr_parse(text, &a), -ERR_LIMIT);

    memset(bytes, 0, sizeof(bytes));
    cr_assert_eq(multiaddr_decode(BYTES_OF(bytes), &a), -ERR_LIMIT);
    for (size_t i = 0; i < 42; i += 2)
        memcpy(bytes + i, "\xa2\x02", 2); /* p2p-circuit, 21 times */
    cr_assert_eq(multiaddr_decode(bytes_of(bytes, 42), &a), -ERR_LIMIT);
    cr_assert_eq(multiaddr_decode(bytes_of(bytes, 40), &a), 0);
}

/* The longest text: every value byte escaped. */
Test(multiaddr, the_longest_text_fits) {
    uint8_t in[MULTIADDR_BYTES_MAX];
    char text[MULTIADDR_TEXT_MAX];
    struct multiaddr a;
    struct multiaddr b;
    size_t len = 0;
    for (int i = 0; i < MULTIADDR_PARTS_MAX - 1; i++) {
        memcpy(in + len, "\x94\x02", 2); /* p2p-webrtc-direct, the longest name */
        len += 2;
    }
    size_t value = sizeof(in) - len - 4;
    memcpy(in + len, "\xe1\x03", 2);
    in[len + 2] = (uint8_t)(value | 0x80);
    in[len + 3] = (uint8_t)(value >> 7);
    memset(in + len + 4, ' ', value);
    cr_assert_eq(multiaddr_decode(BYTES_OF(in), &a), 0);
    cr_assert_eq(multiaddr_parse(multiaddr_format(&a, text), &b), 0);
    cr_assert(multiaddr_equal(&a, &b));
}

Test(multiaddr, every_cut_of_a_binary_address_is_shorter_or_refused) {
    struct multiaddr whole =
        addr_of("/ip4/1.2.3.4/udp/4001/quic-v1/p2p/" ID_R "/p2p-circuit/p2p/" ID_A);
    int accepted = 0;
    for (size_t n = 0; n < whole.len; n++) {
        struct multiaddr a;
        char text[MULTIADDR_TEXT_MAX];
        if (multiaddr_decode(bytes_of(whole.bytes, n), &a) < 0)
            continue;
        struct multiaddr again = addr_of(multiaddr_format(&a, text));
        cr_assert(multiaddr_equal(&a, &again), "%zu bytes", n);
        accepted++;
    }
    cr_assert_eq(accepted, 5, "one for each whole part but the last");
}

Test(multiaddr, parts_come_in_order_with_their_values) {
    struct multiaddr a = addr_of("/ip4/1.2.3.4/udp/443/quic-v1/p2p/" ID_A);
    static const uint32_t codes[] = {MULTIADDR_IP4, MULTIADDR_UDP, MULTIADDR_QUIC_V1,
                                     MULTIADDR_P2P};
    static const size_t sizes[] = {4, 2, 0, 38};
    struct multiaddr_part part;
    size_t i = 0;
    for (struct bytes left = multiaddr_bytes(&a); multiaddr_next(&left, &part); i++) {
        cr_assert_eq(part.code, codes[i]);
        cr_assert_eq(part.value.len, sizes[i]);
    }
    cr_assert_eq(i, 4);
    cr_assert(multiaddr_has(&a, MULTIADDR_P2P));
    cr_assert_not(multiaddr_has(&a, MULTIADDR_TCP));
}

Test(multiaddr, kinds_are_told_by_shape) {
    static const struct {
        const char *text;
        enum multiaddr_kind kind;
    } rows[] = {
        {"/ip4/1.2.3.4/tcp/1", MULTIADDR_KIND_TCP},
        {"/ip4/1.2.3.4/tcp/1/p2p/" ID_A, MULTIADDR_KIND_TCP},
        {"/ip6zone/3/ip6/fe80::1/udp/1/quic-v1", MULTIADDR_KIND_QUIC},
        {"/dns6/example.com/udp/1/quic-v1/p2p/" ID_A, MULTIADDR_KIND_QUIC},
        {"/ip6/::1/udp/1", MULTIADDR_KIND_UDP},
        {"/dns/example.com/tcp/1/ws", MULTIADDR_KIND_WS},
        {"/dns/example.com/tcp/1/wss", MULTIADDR_KIND_WSS},
        {"/dns4/example.com/tcp/1/tls/ws", MULTIADDR_KIND_WSS},
        {"/ip4/1.2.3.4/tcp/1/tls/sni/example.com/ws/p2p/" ID_A, MULTIADDR_KIND_WSS},
        {"/ip4/1.2.3.4/tcp/1/p2p/" ID_R "/p2p-circuit", MULTIADDR_KIND_CIRCUIT},
        {"/p2p/" ID_R "/p2p-circuit/p2p/" ID_A, MULTIADDR_KIND_CIRCUIT},
        {"/dnsaddr/bootstrap.libp2p.io", MULTIADDR_KIND_DNSADDR},
        {"/dnsaddr/bootstrap.libp2p.io/p2p/" ID_A, MULTIADDR_KIND_DNSADDR},
        {"/dnsaddr/example.com/tcp/1", MULTIADDR_KIND_OTHER},
        {"/ip4/1.2.3.4/udp/1/quic", MULTIADDR_KIND_OTHER},
        {"/ip4/1.2.3.4/udp/1/quic-v1/webtransport", MULTIADDR_KIND_OTHER},
        {"/ip4/1.2.3.4/udp/1/webrtc-direct", MULTIADDR_KIND_OTHER},
        {"/ip4/1.2.3.4", MULTIADDR_KIND_OTHER},
        {"/tcp/1", MULTIADDR_KIND_OTHER},
        {"/p2p/" ID_A, MULTIADDR_KIND_OTHER},
        {"/ip4/1.2.3.4/tcp/1/tcp/1", MULTIADDR_KIND_OTHER},
        {"/ip4/1.2.3.4/tcp/1/p2p/" ID_A "/p2p/" ID_A, MULTIADDR_KIND_OTHER},
        {"/ip6zone/3", MULTIADDR_KIND_OTHER},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct multiaddr a = addr_of(rows[i].text);
        cr_assert_eq(multiaddr_kind(&a), rows[i].kind, "%s", rows[i].text);
        cr_assert_eq(multiaddr_is_relayed(&a), rows[i].kind == MULTIADDR_KIND_CIRCUIT, "%s",
                     rows[i].text);
    }
}

Test(multiaddr, classes_go_by_the_first_address_or_name) {
    static const struct {
        const char *text;
        enum multiaddr_class class;
    } rows[] = {
        {"/ip4/8.8.8.8/tcp/1", MULTIADDR_PUBLIC},
        {"/ip4/192.168.1.1/udp/1/quic-v1", MULTIADDR_PRIVATE},
        {"/ip4/203.0.113.1/tcp/1", MULTIADDR_NEITHER},
        {"/ip4/10.0.0.1/tcp/1/p2p/" ID_R "/p2p-circuit", MULTIADDR_PRIVATE},
        {"/ip6/::ffff:8.8.8.8/tcp/1", MULTIADDR_NEITHER},
        {"/ip6zone/eth0/ip6/fe80::1/tcp/1", MULTIADDR_PRIVATE},
        {"/dns/localhost/tcp/1", MULTIADDR_PRIVATE},
        {"/dns4/a.LocalHost./tcp/1", MULTIADDR_PRIVATE},
        {"/dns4/notlocalhost/tcp/1", MULTIADDR_PUBLIC},
        {"/dns6/printer.local/tcp/1", MULTIADDR_NEITHER},
        {"/dns/a.home.arpa/tcp/1", MULTIADDR_NEITHER},
        {"/dns/arpa/tcp/1", MULTIADDR_PUBLIC},
        {"/dnsaddr/test/p2p/" ID_A, MULTIADDR_NEITHER},
        {"/dnsaddr/bootstrap.libp2p.io", MULTIADDR_PUBLIC},
        {"/p2p/" ID_R "/p2p-circuit", MULTIADDR_NEITHER},
        {"/tcp/1/ip4/8.8.8.8", MULTIADDR_NEITHER},
        {"/ip6zone/eth0", MULTIADDR_NEITHER},
        {"/memory/1", MULTIADDR_NEITHER},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct multiaddr a = addr_of(rows[i].text);
        cr_assert_eq(multiaddr_class(&a), rows[i].class, "%s", rows[i].text);
    }
}

Test(multiaddr, socket_addresses_both_ways) {
    static const struct {
        const char *socket;
        enum multiaddr_kind kind;
        const char *text;
    } rows[] = {
        {"1.2.3.4:4001", MULTIADDR_KIND_QUIC, "/ip4/1.2.3.4/udp/4001/quic-v1"},
        {"1.2.3.4:4001", MULTIADDR_KIND_TCP, "/ip4/1.2.3.4/tcp/4001"},
        {"[::1]:80", MULTIADDR_KIND_WS, "/ip6/::1/tcp/80/ws"},
        {"[::1]:65535", MULTIADDR_KIND_UDP, "/ip6/::1/udp/65535"},
        {"[fe80::1%3]:9", MULTIADDR_KIND_QUIC, "/ip6zone/3/ip6/fe80::1/udp/9/quic-v1"},
        {"0.0.0.0:0", MULTIADDR_KIND_TCP, "/ip4/0.0.0.0/tcp/0"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct net_addr in;
        struct net_addr back;
        struct multiaddr a;
        cr_assert_eq(net_addr_parse(rows[i].socket, &in), 0);
        multiaddr_from_net_addr(&in, rows[i].kind, &a);
        assert_text(&a, rows[i].text);
        cr_assert_eq(multiaddr_kind(&a), rows[i].kind);
        cr_assert_eq(multiaddr_to_net_addr(&a, &back), 0);
        cr_assert(net_addr_equal(&in, &back), "%s", rows[i].socket);
    }
}

Test(multiaddr, what_has_no_socket_address_says_so) {
    static const char *const rows[] = {"/dns/example.com/udp/1/quic-v1",
                                       "/ip4/1.2.3.4",
                                       "/ip4/1.2.3.4/sctp/1",
                                       ("/p2p/" ID_A),
                                       "/ip6zone/eth0/ip6/fe80::1/udp/1",
                                       "/ip6zone/4294967296/ip6/fe80::1/udp/1",
                                       "/ip6zone/3",
                                       "/tcp/1"};
    struct net_addr out;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct multiaddr a = addr_of(rows[i]);
        cr_assert_eq(multiaddr_to_net_addr(&a, &out), -ERR_UNSUPPORTED, "%s", rows[i]);
    }
}

Test(multiaddr, host_names_are_handed_out_for_resolving) {
    static const char *const others[] = {"/ip4/1.2.3.4/udp/1", "/dnsaddr/a.b/tcp/1", "/dns/a.b",
                                         ("/dns/a.b/p2p/" ID_A), "/tcp/1"};
    struct multiaddr a = addr_of("/dns4/example.com/udp/443/quic-v1/p2p/" ID_A);
    struct multiaddr_part name;
    uint16_t port;
    cr_assert_eq(multiaddr_to_host(&a, &name, &port), 0);
    cr_assert_eq(name.code, MULTIADDR_DNS4);
    cr_assert(bytes_equal(name.value, BYTES_LIT("example.com")));
    cr_assert_eq(port, 443);
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        a = addr_of(others[i]);
        cr_assert_eq(multiaddr_to_host(&a, &name, &port), -ERR_UNSUPPORTED, "%s", others[i]);
    }
}

Test(multiaddr, a_trailing_peer_comes_off_and_goes_on) {
    struct multiaddr a = addr_of("/ip4/1.2.3.4/udp/1/quic-v1/p2p/" ID_R "/p2p-circuit/p2p/" ID_A);
    struct multiaddr transport;
    struct peer_id id;
    char text[PEER_ID_TEXT_MAX];
    cr_assert_eq(multiaddr_split_peer(&a, &transport, &id), 0);
    assert_text(&transport, "/ip4/1.2.3.4/udp/1/quic-v1/p2p/" ID_R "/p2p-circuit");
    cr_assert_str_eq(peer_id_format(&id, text), ID_A);
    cr_assert_eq(multiaddr_split_peer(&transport, &a, &id), -ENOENT);
    cr_assert_eq(multiaddr_add_peer(&transport, &id), 0);
    cr_assert(multiaddr_equal(&transport, &a));

    a = addr_of("/p2p/" ID_A);
    cr_assert_eq(multiaddr_split_peer(&a, &a, &id), 0);
    cr_assert_eq(a.len, 0);
    cr_assert_eq(multiaddr_split_peer(&a, &a, &id), -ENOENT);
    cr_assert_eq(multiaddr_add(&a, MULTIADDR_P2P_CIRCUIT), 0);
    assert_text(&a, "/p2p-circuit");
}

/* go takes identity hashes of any length in an address; as a peer's ID we do not. */
Test(multiaddr, a_peer_that_can_be_none_is_found_when_it_is_split_off) {
    struct multiaddr a =
        addr_of("/p2p/1Eyy4V7W7v82Q6mMR35aptENGzRkm2pVwhH7uyH12tde4Kkp53AvFF2JiYpcp");
    struct multiaddr transport;
    struct peer_id id;
    cr_assert_eq(multiaddr_split_peer(&a, &transport, &id), -ERR_BAD_PEER_ID);
}

Test(multiaddr, is_in_a_list_or_not) {
    struct multiaddr list[2];
    struct multiaddr other;
    cr_assert_eq(multiaddr_parse("/ip4/1.2.3.4/tcp/1", &list[0]), 0);
    cr_assert_eq(multiaddr_parse("/ip4/1.2.3.4/tcp/2", &list[1]), 0);
    cr_assert_eq(multiaddr_parse("/ip4/1.2.3.4/tcp/3", &other), 0);
    cr_assert(multiaddr_is_in(&list[0], list, 2));
    cr_assert(multiaddr_is_in(&list[1], list, 2));
    cr_assert_not(multiaddr_is_in(&list[1], list, 1));
    cr_assert_not(multiaddr_is_in(&other, list, 2));
    cr_assert_not(multiaddr_is_in(&other, NULL, 0));
}

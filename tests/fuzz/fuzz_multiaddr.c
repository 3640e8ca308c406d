/* SPDX-License-Identifier: MIT */
/* Multiaddrs, raw: the input as binary and as text. */

#include "core/base/err.h"
#include "core/base/net_addr.h"
#include "core/p2p/multiaddr.h"
#include "tests/fuzz/fuzz.h"

static void check_parts(const struct multiaddr *a) {
    struct multiaddr_part part;
    size_t parts_count = 0;
    bool has_circuit = false;
    for (struct bytes left = multiaddr_bytes(a); multiaddr_next(&left, &part);) {
        parts_count++;
        assert(part.value.len <= a->len);
        assert(multiaddr_has(a, (enum multiaddr_code)part.code));
        has_circuit |= part.code == MULTIADDR_P2P_CIRCUIT;
    }
    assert(parts_count <= MULTIADDR_PARTS_MAX);
    assert(has_circuit == multiaddr_is_relayed(a));
}

static void check_text(const struct multiaddr *a) {
    char text[MULTIADDR_TEXT_MAX];
    assert(multiaddr_format(a, text) == text);
    assert(memchr(text, '\0', sizeof text) != NULL);
    struct multiaddr again;
    assert(multiaddr_parse(text, &again) == 0);
    assert(multiaddr_equal(a, &again));
}

static void check_binary(const struct multiaddr *a) {
    struct multiaddr again;
    assert(multiaddr_decode(multiaddr_bytes(a), &again) == 0);
    assert(multiaddr_equal(a, &again));
}

/* Whatever is read out of an address and put together again begins that address. */
static void check_views(const struct multiaddr *a) {
    enum multiaddr_kind kind = multiaddr_kind(a);
    struct net_addr ip;
    if (multiaddr_to_net_addr(a, &ip) == 0 &&
        (kind == MULTIADDR_KIND_TCP || kind == MULTIADDR_KIND_UDP || kind == MULTIADDR_KIND_QUIC)) {
        struct multiaddr again;
        struct net_addr ip_again;
        multiaddr_from_net_addr(&ip, kind, &again);
        assert(multiaddr_to_net_addr(&again, &ip_again) == 0);
        assert(net_addr_equal(&ip, &ip_again));
        assert(multiaddr_kind(&again) == kind);
        assert(multiaddr_class(&again) == multiaddr_class(a));
    }
    struct multiaddr_part name;
    uint16_t port;
    if (multiaddr_to_host(a, &name, &port) == 0)
        assert(name.value.len <= a->len);
    if (multiaddr_is_relayed(a))
        assert(kind == MULTIADDR_KIND_CIRCUIT);

    struct multiaddr transport;
    struct peer_id id;
    if (multiaddr_split_peer(a, &transport, &id) == 0) {
        assert(!peer_id_is_none(&id));
        assert(multiaddr_add_peer(&transport, &id) == 0);
        assert(multiaddr_equal(&transport, a));
    }
}

static void check(const struct multiaddr *a) {
    assert(a->len <= MULTIADDR_BYTES_MAX);
    check_parts(a);
    check_text(a);
    check_binary(a);
    check_views(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    struct multiaddr a;
    int e = multiaddr_decode(in, &a);
    assert(e == 0 || e == -ERR_BAD_MULTIADDR || e == -ERR_LIMIT);
    if (e == 0) {
        assert(bytes_equal(multiaddr_bytes(&a), in));
        check(&a);
    }

    char *text = fuzz_text(in);
    e = multiaddr_parse(text, &a);
    assert(e == 0 || e == -ERR_BAD_MULTIADDR || e == -ERR_LIMIT);
    if (e == 0)
        check(&a);
    free(text);
    return 0;
}

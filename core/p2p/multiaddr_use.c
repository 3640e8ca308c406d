/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/net_addr.h"
#include "core/p2p/multiaddr_internal.h"

static bool is_host(uint32_t code) {
    return code == MULTIADDR_IP4 || code == MULTIADDR_IP6 || code == MULTIADDR_DNS ||
           code == MULTIADDR_DNS4 || code == MULTIADDR_DNS6;
}

/* What follows the host, up to a trailing /p2p. */
static const struct shape {
    enum multiaddr_kind kind;
    uint8_t count;
    uint32_t codes[4];
} shapes[] = {
    {MULTIADDR_KIND_TCP, 1, {MULTIADDR_TCP}},
    {MULTIADDR_KIND_WS, 2, {MULTIADDR_TCP, MULTIADDR_WS}},
    {MULTIADDR_KIND_WSS, 2, {MULTIADDR_TCP, MULTIADDR_WSS}},
    {MULTIADDR_KIND_WSS, 3, {MULTIADDR_TCP, MULTIADDR_TLS, MULTIADDR_WS}},
    {MULTIADDR_KIND_WSS, 4, {MULTIADDR_TCP, MULTIADDR_TLS, MULTIADDR_SNI, MULTIADDR_WS}},
    {MULTIADDR_KIND_QUIC, 2, {MULTIADDR_UDP, MULTIADDR_QUIC_V1}},
    {MULTIADDR_KIND_UDP, 1, {MULTIADDR_UDP}},
};

enum multiaddr_kind multiaddr_kind(const struct multiaddr *a) {
    uint32_t codes[MULTIADDR_PARTS_MAX] = {0};
    size_t count = 0;
    struct multiaddr_part part;
    for (struct bytes left = multiaddr_bytes(a); multiaddr_next(&left, &part);) {
        if (part.code == MULTIADDR_P2P_CIRCUIT)
            return MULTIADDR_KIND_CIRCUIT;
        if (part.code == MULTIADDR_IP6ZONE && count == 0)
            continue;
        assert(count < MULTIADDR_PARTS_MAX);
        codes[count++] = part.code;
    }
    if (count > 1 && codes[count - 1] == MULTIADDR_P2P)
        count--;
    if (count == 1 && codes[0] == MULTIADDR_DNSADDR)
        return MULTIADDR_KIND_DNSADDR;
    if (count == 0 || !is_host(codes[0]))
        return MULTIADDR_KIND_OTHER;
    for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        const struct shape *s = &shapes[i];
        if (count - 1 == s->count && memcmp(codes + 1, s->codes, s->count * sizeof(*codes)) == 0)
            return s->kind;
    }
    return MULTIADDR_KIND_OTHER;
}

/* ---- public or private ------------------------------------------------------------------ */

/* Whether `name` is `suffix` or ends in a dot and it, in any case. */
static bool is_in_domain(struct bytes name, const char *suffix) {
    size_t len = strlen(suffix);
    if (name.len < len || (name.len > len && name.data[name.len - len - 1] != '.'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (tolower(name.data[name.len - len + i]) != suffix[i])
            return false;
    }
    return true;
}

static enum multiaddr_class class_of_name(struct bytes name) {
    static const char *const neither[] = {"local",   "test",         "home.arpa",
                                          "invalid", "in-addr.arpa", "ip6.arpa"};
    if (name.len > 1 && name.data[name.len - 1] == '.')
        name.len--;
    if (is_in_domain(name, "localhost"))
        return MULTIADDR_PRIVATE;
    for (size_t i = 0; i < ARRAY_COUNT(neither); i++) {
        if (is_in_domain(name, neither[i]))
            return MULTIADDR_NEITHER;
    }
    return MULTIADDR_PUBLIC;
}

static struct net_addr ip_of(const struct multiaddr_part *part) {
    struct net_addr ip = {.family = part->code == MULTIADDR_IP4 ? NET_IP4 : NET_IP6};
    memcpy(ip.ip, part->value.data, part->value.len);
    return ip;
}

/* The first part that is no zone; false for an empty address. */
static bool first_part(struct bytes *left, struct multiaddr_part *ret_part,
                       struct bytes *ret_zone) {
    struct multiaddr_part part;
    *ret_zone = BYTES_EMPTY;
    while (multiaddr_next(left, &part)) {
        if (part.code != MULTIADDR_IP6ZONE) {
            *ret_part = part;
            return true;
        }
        *ret_zone = part.value;
    }
    return false;
}

enum multiaddr_class multiaddr_class(const struct multiaddr *a) {
    struct bytes left = multiaddr_bytes(a);
    struct bytes zone;
    struct multiaddr_part part;
    if (!first_part(&left, &part, &zone))
        return MULTIADDR_NEITHER;
    if (part.code == MULTIADDR_DNSADDR)
        return class_of_name(part.value);
    if (!is_host(part.code))
        return MULTIADDR_NEITHER;
    if (part.code != MULTIADDR_IP4 && part.code != MULTIADDR_IP6)
        return class_of_name(part.value);
    struct net_addr ip = ip_of(&part);
    if (net_addr_is_public(&ip))
        return MULTIADDR_PUBLIC;
    return net_addr_is_private(&ip) ? MULTIADDR_PRIVATE : MULTIADDR_NEITHER;
}

/* ---- addresses of sockets --------------------------------------------------------------- */

void multiaddr_from_net_addr(const struct net_addr *in, enum multiaddr_kind kind,
                             struct multiaddr *ret_addr) {
    assert(in->family != NET_NONE);
    bool is_tcp = kind == MULTIADDR_KIND_TCP || kind == MULTIADDR_KIND_WS;
    assert(is_tcp || kind == MULTIADDR_KIND_QUIC || kind == MULTIADDR_KIND_UDP);
    struct wr w = wr_init(ret_addr->bytes, sizeof(ret_addr->bytes));
    if (in->scope_id != 0) {
        char zone[12];
        (void)snprintf(zone, sizeof(zone), "%u", in->scope_id);
        wr_uvarint(&w, MULTIADDR_IP6ZONE);
        wr_uvarint_bytes(&w, bytes_of_str(zone));
    }
    wr_uvarint(&w, in->family == NET_IP4 ? MULTIADDR_IP4 : MULTIADDR_IP6);
    wr_bytes(&w, bytes_of(in->ip, in->family == NET_IP4 ? 4 : 16));
    wr_uvarint(&w, is_tcp ? MULTIADDR_TCP : MULTIADDR_UDP);
    wr_be16(&w, in->port);
    if (kind == MULTIADDR_KIND_QUIC)
        wr_uvarint(&w, MULTIADDR_QUIC_V1);
    if (kind == MULTIADDR_KIND_WS)
        wr_uvarint(&w, MULTIADDR_WS);
    ssize_t len = wr_done(&w);
    assert(len > 0);
    ret_addr->len = (uint16_t)len;
}

static int parse_zone(struct bytes zone, uint32_t *ret_scope) {
    uint64_t v = 0;
    for (size_t i = 0; i < zone.len; i++) {
        if (zone.data[i] < '0' || zone.data[i] > '9')
            return -ERR_UNSUPPORTED;
        v = v * 10 + (uint64_t)(zone.data[i] - '0');
        if (v > UINT32_MAX)
            return -ERR_UNSUPPORTED;
    }
    *ret_scope = (uint32_t)v;
    return 0;
}

/* The port in the next part, if that is tcp or udp. */
static int next_port(struct bytes *left, uint16_t *ret_port) {
    struct multiaddr_part part;
    if (!multiaddr_next(left, &part) || (part.code != MULTIADDR_TCP && part.code != MULTIADDR_UDP))
        return -ERR_UNSUPPORTED;
    struct rd r = rd_init(part.value);
    *ret_port = rd_be16(&r);
    return 0;
}

int multiaddr_to_net_addr(const struct multiaddr *a, struct net_addr *ret_addr) {
    struct bytes left = multiaddr_bytes(a);
    struct bytes zone;
    struct multiaddr_part part;
    if (!first_part(&left, &part, &zone) ||
        (part.code != MULTIADDR_IP4 && part.code != MULTIADDR_IP6))
        return -ERR_UNSUPPORTED;
    struct net_addr addr = ip_of(&part);
    int e = next_port(&left, &addr.port);
    if (e == 0)
        e = parse_zone(zone, &addr.scope_id);
    if (e < 0)
        return e;
    *ret_addr = addr;
    return 0;
}

int multiaddr_to_host(const struct multiaddr *a, struct multiaddr_part *ret_name,
                      uint16_t *ret_port) {
    struct bytes left = multiaddr_bytes(a);
    struct multiaddr_part name;
    uint16_t port;
    if (!multiaddr_next(&left, &name) || name.code == MULTIADDR_IP4 || name.code == MULTIADDR_IP6 ||
        !is_host(name.code))
        return -ERR_UNSUPPORTED;
    int e = next_port(&left, &port);
    if (e < 0)
        return e;
    *ret_name = name;
    *ret_port = port;
    return 0;
}

/* ---- peers ------------------------------------------------------------------------------ */

int multiaddr_split_peer(const struct multiaddr *a, struct multiaddr *ret_transport,
                         struct peer_id *ret_id) {
    struct multiaddr_part part = {.code = 0};
    size_t before_last = 0;
    for (struct bytes left = multiaddr_bytes(a); left.len > 0;) {
        before_last = a->len - left.len;
        (void)multiaddr_next(&left, &part); /* something is left */
    }
    if (part.code != MULTIADDR_P2P)
        return -ENOENT;
    struct peer_id id;
    int e = peer_id_decode(part.value, &id);
    if (e < 0)
        return e;
    struct multiaddr transport = {.len = (uint16_t)before_last};
    memcpy(transport.bytes, a->bytes, before_last);
    *ret_transport = transport; /* may be `a` itself */
    *ret_id = id;
    return 0;
}

static size_t part_count(const struct multiaddr *a) {
    size_t n = 0;
    struct multiaddr_part part;
    for (struct bytes left = multiaddr_bytes(a); multiaddr_next(&left, &part);)
        n++;
    return n;
}

static int add(struct multiaddr *a, uint32_t code, const struct bytes *value) {
    struct wr w = wr_init(a->bytes, sizeof(a->bytes));
    w.len = a->len;
    wr_uvarint(&w, code);
    if (value != NULL)
        wr_uvarint_bytes(&w, *value);
    ssize_t len = wr_done(&w);
    if (len < 0 || part_count(a) == MULTIADDR_PARTS_MAX)
        return -ERR_LIMIT;
    a->len = (uint16_t)len;
    return 0;
}

int multiaddr_add_peer(struct multiaddr *a, const struct peer_id *id) {
    assert(!peer_id_is_none(id));
    struct bytes value = peer_id_bytes(id);
    return add(a, MULTIADDR_P2P, &value);
}

int multiaddr_add(struct multiaddr *a, enum multiaddr_code code) {
    assert(protocol_find_code((uint64_t)code)->type == VALUE_NONE);
    return add(a, code, NULL);
}

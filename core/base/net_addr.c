/* SPDX-License-Identifier: MIT */
#include "core/base/net_addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { IP6_GROUPS = 8, PORT_DIGITS_MAX = 5, SCOPE_DIGITS_MAX = 10 };

/* An address range, in the family that its table says. */
struct range {
    uint8_t ip[16];
    uint8_t bits;
};

/* The tables of go-multiaddr's manet, which decides for every go-libp2p peer what is worth
 * announcing; ours must agree with it. */
static const struct range private4[] = {
    {{127}, 8}, {{10}, 8}, {{100, 64}, 10}, {{172, 16}, 12}, {{192, 168}, 16}, {{169, 254}, 16},
};
static const struct range unroutable4[] = {
    {{0}, 8},        {{192, 0, 0}, 26},    {{192, 0, 2}, 24},   {{192, 88, 99}, 24},
    {{198, 18}, 15}, {{198, 51, 100}, 24}, {{203, 0, 113}, 24}, {{224}, 4},
    {{240}, 4},
};
static const struct range private6[] = {
    {{[15] = 1}, 128},
    {{0xfc}, 7},
    {{0xfe, 0x80}, 10},
};
static const struct range unroutable6[] = {
    {{0xff}, 8},
    {{0x20, 0x01, 0x0d, 0xb8}, 32},
};
static const struct range public6[] = {
    {{0x20}, 3},
};
/* Counted as public whatever IPv4 address they embed. */
static const struct range nat64[] = {
    {{0x00, 0x64, 0xff, 0x9b}, 96},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48},
};

static bool is_in(const struct net_addr *a, const struct range *r) {
    unsigned whole = r->bits / 8;
    unsigned rest = r->bits % 8;
    if (memcmp(a->ip, r->ip, whole) != 0)
        return false;
    return rest == 0 || (a->ip[whole] ^ r->ip[whole]) >> (8 - rest) == 0;
}

static bool is_in_any(const struct net_addr *a, const struct range *ranges, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (is_in(a, &ranges[i]))
            return true;
    }
    return false;
}

#define IS_IN_ANY(a, table) is_in_any(a, table, ARRAY_COUNT(table))

/* Decimal digits only, at most `digits_max` of them, at most `max`. */
static int parse_number(const char *text, size_t digits_max, uint64_t max, uint64_t *ret_value) {
    size_t len = strlen(text);
    if (len == 0 || len > digits_max)
        return -EINVAL;
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        v = v * 10 + (uint64_t)(text[i] - '0');
    }
    if (v > max)
        return -EINVAL;
    *ret_value = v;
    return 0;
}

int net_addr_parse_ip(const char *text, struct net_addr *ret_addr) {
    struct net_addr a = {.family = NET_IP4};
    if (inet_pton(AF_INET, text, a.ip) == 1) { /* takes no leading zeros */
        *ret_addr = a;
        return 0;
    }
    char ip[NET_ADDR_TEXT_MAX];
    size_t len = strlen(text);
    if (len >= sizeof(ip))
        return -EINVAL;
    memcpy(ip, text, len + 1);
    char *zone = strchr(ip, '%');
    uint64_t scope = 0;
    if (zone != NULL) {
        *zone = '\0';
        if (parse_number(zone + 1, SCOPE_DIGITS_MAX, UINT32_MAX, &scope) < 0)
            return -EINVAL;
    }
    a = (struct net_addr){.family = NET_IP6, .scope_id = (uint32_t)scope};
    if (inet_pton(AF_INET6, ip, a.ip) != 1)
        return -EINVAL;
    *ret_addr = a;
    return 0;
}

int net_addr_parse(const char *text, struct net_addr *ret_addr) {
    char ip[NET_ADDR_TEXT_MAX];
    size_t len = strlen(text);
    if (len >= sizeof(ip))
        return -EINVAL;
    memcpy(ip, text, len + 1);
    char *colon = strrchr(ip, ':');
    if (colon == NULL)
        return -EINVAL;
    *colon = '\0';
    char *begin = ip;
    bool in_brackets = ip[0] == '[';
    if (in_brackets) {
        if (colon == ip || colon[-1] != ']')
            return -EINVAL;
        colon[-1] = '\0';
        begin = ip + 1;
    }
    uint64_t port;
    if (parse_number(colon + 1, PORT_DIGITS_MAX, UINT16_MAX, &port) < 0)
        return -EINVAL;
    struct net_addr a;
    int e = net_addr_parse_ip(begin, &a);
    if (e < 0)
        return e;
    if (in_brackets != (a.family == NET_IP6))
        return -EINVAL;
    a.port = (uint16_t)port;
    *ret_addr = a;
    return 0;
}

static bool is_v4_mapped(const struct net_addr *a) {
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return a->family == NET_IP6 && memcmp(a->ip, prefix, sizeof(prefix)) == 0;
}

static uint16_t group(const struct net_addr *a, unsigned i) {
    const uint8_t *at = &a->ip[(size_t)i * 2];
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* The longest run of zero groups, the first of equals; shorter than two is none. */
static void find_zero_run(const struct net_addr *a, unsigned *ret_start, unsigned *ret_len) {
    unsigned best = IP6_GROUPS;
    unsigned best_len = 1;
    for (unsigned i = 0; i < IP6_GROUPS; i++) {
        unsigned n = 0;
        while (i + n < IP6_GROUPS && group(a, i + n) == 0)
            n++;
        if (n > best_len) {
            best = i;
            best_len = n;
        }
    }
    *ret_start = best;
    *ret_len = best == IP6_GROUPS ? 0 : best_len;
}

/* RFC 5952.  inet_ntop(3) would print ::102:304 as ::1.2.3.4, which Go does not. */
static void format_ip6(const struct net_addr *a, char *out, size_t size) {
    if (is_v4_mapped(a)) {
        (void)snprintf(out, size, "::ffff:%u.%u.%u.%u", a->ip[12], a->ip[13], a->ip[14], a->ip[15]);
        return;
    }
    unsigned zero_start;
    unsigned zero_len;
    find_zero_run(a, &zero_start, &zero_len);
    size_t len = 0;
    for (unsigned i = 0; i < IP6_GROUPS; i++) {
        if (i == zero_start) {
            len += (size_t)snprintf(out + len, size - len, "::");
            i += zero_len - 1;
            continue;
        }
        bool first = i == 0 || i == zero_start + zero_len;
        len += (size_t)snprintf(out + len, size - len, first ? "%x" : ":%x", group(a, i));
    }
    assert(len < size);
}

const char *net_addr_format_ip(const struct net_addr *a, char *out) {
    switch ((enum net_family)a->family) {
    case NET_IP4:
        (void)snprintf(out, NET_ADDR_TEXT_MAX, "%u.%u.%u.%u", a->ip[0], a->ip[1], a->ip[2],
                       a->ip[3]);
        return out;
    case NET_IP6:
        format_ip6(a, out, NET_ADDR_TEXT_MAX);
        return out;
    case NET_NONE:
        break;
    }
    out[0] = '\0';
    return out;
}

const char *net_addr_format(const struct net_addr *a, char *out) {
    char ip[NET_ADDR_TEXT_MAX];
    (void)net_addr_format_ip(a, ip);
    char scope[1 + SCOPE_DIGITS_MAX + 1] = "";
    if (a->scope_id != 0)
        (void)snprintf(scope, sizeof(scope), "%%%u", a->scope_id);
    /* 45 characters of address, 11 of scope, 8 around and behind: they fit. */
    switch ((enum net_family)a->family) {
    case NET_IP4:
        (void)snprintf(out, NET_ADDR_TEXT_MAX, "%.15s:%u", ip, a->port);
        return out;
    case NET_IP6:
        (void)snprintf(out, NET_ADDR_TEXT_MAX, "[%.41s%s]:%u", ip, scope, a->port);
        return out;
    case NET_NONE:
        break;
    }
    out[0] = '\0';
    return out;
}

bool net_addr_equal(const struct net_addr *a, const struct net_addr *b) {
    return net_addr_ip_equal(a, b) && a->port == b->port;
}

bool net_addr_ip_equal(const struct net_addr *a, const struct net_addr *b) {
    return a->family == b->family && a->scope_id == b->scope_id &&
           memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool net_addr_is_unspecified(const struct net_addr *a) {
    static const uint8_t zero[16];
    return memcmp(a->ip, zero, sizeof(zero)) == 0;
}

bool net_addr_is_loopback(const struct net_addr *a) {
    if (a->family == NET_IP4)
        return a->ip[0] == 127;
    return a->family == NET_IP6 && is_in(a, &private6[0]);
}

bool net_addr_is_link_local(const struct net_addr *a) {
    if (a->family == NET_IP4)
        return a->ip[0] == 169 && a->ip[1] == 254;
    return a->family == NET_IP6 && is_in(a, &private6[2]);
}

bool net_addr_is_private(const struct net_addr *a) {
    if (a->family == NET_IP4)
        return IS_IN_ANY(a, private4);
    return a->family == NET_IP6 && IS_IN_ANY(a, private6);
}

bool net_addr_is_public(const struct net_addr *a) {
    if (a->family == NET_IP4)
        return !IS_IN_ANY(a, private4) && !IS_IN_ANY(a, unroutable4);
    if (a->family != NET_IP6)
        return false;
    if (IS_IN_ANY(a, nat64))
        return true;
    return IS_IN_ANY(a, public6) && !IS_IN_ANY(a, unroutable6);
}

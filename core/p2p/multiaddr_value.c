/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "core/base/codec.h"
#include "core/base/err.h"
#include "core/base/net_addr.h"
#include "core/p2p/multiaddr_internal.h"
#include "core/p2p/multihash.h"

enum {
    ONION_PORT_BYTES = 2,
    ONION_HOST_BYTES_MAX = 35,
    /* As go-multiaddr has them: an I2P destination has at least this many bytes, and its hash 32 or
     * at least 35 (with a checksum). */
    GARLIC64_BYTES_MIN = 386,
    GARLIC32_BYTES_HASH = 32,
    GARLIC32_BYTES_MIN = 35,
};

static const struct protocol protocols[] = {
    {"ip4", MULTIADDR_IP4, 4, VALUE_IP4},
    {"tcp", MULTIADDR_TCP, 2, VALUE_NUMBER},
    {"dccp", 33, 2, VALUE_NUMBER},
    {"ip6", MULTIADDR_IP6, 16, VALUE_IP6},
    {"ip6zone", MULTIADDR_IP6ZONE, PROTOCOL_SIZE_VARIES, VALUE_NAME},
    {"ipcidr", 43, 1, VALUE_NUMBER},
    {"dns", MULTIADDR_DNS, PROTOCOL_SIZE_VARIES, VALUE_NAME},
    {"dns4", MULTIADDR_DNS4, PROTOCOL_SIZE_VARIES, VALUE_NAME},
    {"dns6", MULTIADDR_DNS6, PROTOCOL_SIZE_VARIES, VALUE_NAME},
    {"dnsaddr", MULTIADDR_DNSADDR, PROTOCOL_SIZE_VARIES, VALUE_NAME},
    {"sctp", 132, 2, VALUE_NUMBER},
    {"udp", MULTIADDR_UDP, 2, VALUE_NUMBER},
    {"p2p-webrtc-direct", 276, 0, VALUE_NONE},
    {"webrtc-direct", MULTIADDR_WEBRTC_DIRECT, 0, VALUE_NONE},
    {"webrtc", 281, 0, VALUE_NONE},
    {"p2p-circuit", MULTIADDR_P2P_CIRCUIT, 0, VALUE_NONE},
    {"udt", 301, 0, VALUE_NONE},
    {"utp", 302, 0, VALUE_NONE},
    {"unix", 400, PROTOCOL_SIZE_VARIES, VALUE_PATH},
    {"p2p", MULTIADDR_P2P, PROTOCOL_SIZE_VARIES, VALUE_PEER},
    {"ipfs", MULTIADDR_P2P, PROTOCOL_SIZE_VARIES, VALUE_PEER}, /* never printed: p2p comes first */
    {"https", 443, 0, VALUE_NONE},
    {"onion", 444, 12, VALUE_ONION},
    {"onion3", 445, 37, VALUE_ONION},
    {"garlic64", 446, PROTOCOL_SIZE_VARIES, VALUE_GARLIC64},
    {"garlic32", 447, PROTOCOL_SIZE_VARIES, VALUE_GARLIC32},
    {"tls", MULTIADDR_TLS, 0, VALUE_NONE},
    {"sni", MULTIADDR_SNI, PROTOCOL_SIZE_VARIES, VALUE_NAME},
    {"noise", 454, 0, VALUE_NONE},
    {"quic", 460, 0, VALUE_NONE}, /* draft 29: parsed, never dialled */
    {"quic-v1", MULTIADDR_QUIC_V1, 0, VALUE_NONE},
    {"webtransport", MULTIADDR_WEBTRANSPORT, 0, VALUE_NONE},
    {"certhash", MULTIADDR_CERTHASH, PROTOCOL_SIZE_VARIES, VALUE_CERTHASH},
    {"ws", MULTIADDR_WS, 0, VALUE_NONE},
    {"wss", MULTIADDR_WSS, 0, VALUE_NONE},
    {"http", 480, 0, VALUE_NONE},
    {"http-path", 481, PROTOCOL_SIZE_VARIES, VALUE_HTTP_PATH},
    {"memory", 777, 8, VALUE_NUMBER},
    {"plaintextv2", 7367777, 0, VALUE_NONE},
};

const struct protocol *protocol_find_code(uint64_t code) {
    for (size_t i = 0; i < ARRAY_COUNT(protocols); i++) {
        if (protocols[i].code == code)
            return &protocols[i];
    }
    return NULL;
}

const struct protocol *protocol_find_name(struct bytes name) {
    for (size_t i = 0; i < ARRAY_COUNT(protocols); i++) {
        if (bytes_equal(name, bytes_of_str(protocols[i].name)))
            return &protocols[i];
    }
    return NULL;
}

/* ---- from the wire ---------------------------------------------------------------------- */

static bool is_without(struct bytes b, char c) {
    return b.len == 0 || memchr(b.data, c, b.len) == NULL;
}

static bool is_multihash_of_key(struct bytes value) {
    struct multihash h;
    return multihash_decode(value, &h) == 0 && multihash_is_of_key(&h);
}

static bool is_multihash(struct bytes value) {
    struct multihash h;
    return multihash_decode(value, &h) == 0;
}

/* Beyond go's rules: no NUL in what is printed as it stands, and a path begins with '/', so that
 * every accepted address is the one that its text parses to. */
bool value_is_valid(const struct protocol *p, struct bytes value) {
    switch ((enum value_type)p->type) {
    case VALUE_NONE:
    case VALUE_IP4:
    case VALUE_IP6:
    case VALUE_NUMBER:
    case VALUE_ONION:
        return true;
    case VALUE_NAME:
        return value.len > 0 && is_without(value, '/') && is_without(value, '\0');
    case VALUE_PATH:
        return value.len > 1 && value.data[0] == '/' && value.data[value.len - 1] != '/' &&
               is_without(value, '\0');
    case VALUE_PEER:
        return is_multihash_of_key(value);
    case VALUE_CERTHASH:
        return is_multihash(value);
    case VALUE_GARLIC32:
        return value.len == GARLIC32_BYTES_HASH || value.len >= GARLIC32_BYTES_MIN;
    case VALUE_GARLIC64:
        return value.len >= GARLIC64_BYTES_MIN;
    case VALUE_HTTP_PATH:
        return value.len > 0;
    }
    return false;
}

/* ---- from text -------------------------------------------------------------------------- */

static int parse_ip(const struct protocol *p, struct bytes text, struct wr *w) {
    char ip[NET_ADDR_TEXT_MAX];
    struct net_addr a;
    if (text.len == 0 || text.len >= sizeof(ip) || !is_without(text, '%') ||
        !is_without(text, '\0'))
        return -ERR_BAD_MULTIADDR;
    memcpy(ip, text.data, text.len);
    ip[text.len] = '\0';
    if (net_addr_parse_ip(ip, &a) < 0)
        return -ERR_BAD_MULTIADDR;
    if (p->type == VALUE_IP4) {
        if (a.family != NET_IP4)
            return -ERR_BAD_MULTIADDR;
        wr_bytes(w, bytes_of(a.ip, 4));
        return 0;
    }
    if (a.family == NET_IP4) { /* go takes "/ip6/1.2.3.4" as the mapped address */
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        wr_bytes(w, BYTES_OF(mapped));
        wr_bytes(w, bytes_of(a.ip, 4));
        return 0;
    }
    wr_bytes(w, BYTES_OF(a.ip));
    return 0;
}

static void wr_number(struct wr *w, uint64_t v, size_t size) {
    while (size-- > 0)
        wr_u8(w, (uint8_t)(v >> (8 * size)));
}

/* Any number of leading zeros. */
static int parse_number(size_t size, struct bytes text, struct wr *w) {
    uint64_t v = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint64_t d = (uint64_t)text.data[i] - '0';
        if (d > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, d, &v))
            return -ERR_BAD_MULTIADDR;
    }
    if (text.len == 0 || (size < 8 && v >> (8 * size) != 0))
        return -ERR_BAD_MULTIADDR;
    wr_number(w, v, size);
    return 0;
}

static int parse_decoded(ssize_t len, const uint8_t *value, struct wr *w) {
    if (len < 0)
        return -ERR_BAD_MULTIADDR;
    wr_bytes(w, bytes_of(value, (size_t)len));
    return 0;
}

/* "host:port", the host in base32. */
static int parse_onion(const struct protocol *p, struct bytes text, struct wr *w) {
    const uint8_t *colon = text.len == 0 ? NULL : memchr(text.data, ':', text.len);
    if (colon == NULL)
        return -ERR_BAD_MULTIADDR;
    size_t host_len = (size_t)(colon - text.data);
    uint8_t host[ONION_HOST_BYTES_MAX];
    ssize_t len = codec_decode(CODEC_BASE32, bytes_of(text.data, host_len), host, sizeof(host));
    if (len != p->size - ONION_PORT_BYTES)
        return -ERR_BAD_MULTIADDR;
    wr_bytes(w, bytes_of(host, (size_t)len));
    return parse_number(ONION_PORT_BYTES, bytes_skip(text, host_len + 1), w);
}

/* I2P's base64 has '-' and '~' where the usual one has '+' and '/'. */
static uint8_t swap_garlic(uint8_t c) {
    static const uint8_t pairs[][2] = {{'+', '-'}, {'/', '~'}};
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        if (c == pairs[i][0] || c == pairs[i][1])
            return (uint8_t)(pairs[i][0] ^ pairs[i][1] ^ c);
    }
    return c;
}

static int parse_garlic64(struct bytes text, struct wr *w) {
    uint8_t swapped[2 * MULTIADDR_BYTES_MAX];
    uint8_t value[MULTIADDR_BYTES_MAX];
    if (text.len > sizeof(swapped))
        return -ERR_BAD_MULTIADDR;
    for (size_t i = 0; i < text.len; i++)
        swapped[i] = swap_garlic(text.data[i]);
    return parse_decoded(
        codec_decode(CODEC_BASE64, bytes_of(swapped, text.len), value, sizeof(value)), value, w);
}

/* Percent escapes; '+' is a space, as in go's QueryUnescape. */
static int parse_http_path(struct bytes text, struct wr *w) {
    while (text.len > 0) {
        uint8_t c = text.data[0];
        size_t taken = 1;
        if (c == '%') {
            if (text.len < 3 || codec_decode(CODEC_HEX, bytes_of(text.data + 1, 2), &c, 1) != 1)
                return -ERR_BAD_MULTIADDR;
            taken = 3;
        } else if (c == '+') {
            c = ' ';
        }
        wr_u8(w, c);
        text = bytes_skip(text, taken);
    }
    return 0;
}

static int parse_any(const struct protocol *p, struct bytes text, struct wr *w) {
    uint8_t value[MULTIADDR_BYTES_MAX];
    switch ((enum value_type)p->type) {
    case VALUE_NONE:
        return 0;
    case VALUE_IP4:
    case VALUE_IP6:
        return parse_ip(p, text, w);
    case VALUE_NUMBER:
        return parse_number((size_t)p->size, text, w);
    case VALUE_NAME:
    case VALUE_PATH:
        wr_bytes(w, text);
        return 0;
    case VALUE_PEER:
        return parse_decoded(multihash_parse(text, value, sizeof(value)), value, w);
    case VALUE_CERTHASH:
        return parse_decoded(multibase_decode(text, value, sizeof(value)), value, w);
    case VALUE_ONION:
        return parse_onion(p, text, w);
    case VALUE_GARLIC32:
        return parse_decoded(codec_decode(CODEC_BASE32, text, value, sizeof(value)), value, w);
    case VALUE_GARLIC64:
        return parse_garlic64(text, w);
    case VALUE_HTTP_PATH:
        return parse_http_path(text, w);
    }
    return -ERR_BAD_MULTIADDR;
}

int value_parse(const struct protocol *p, struct bytes text, struct wr *w) {
    size_t start = w->len;
    int e = parse_any(p, text, w);
    if (e == 0 && !value_is_valid(p, bytes_skip(wr_written(w), start)))
        e = -ERR_BAD_MULTIADDR;
    return e;
}

/* ---- to text ---------------------------------------------------------------------------- */

static void wr_text(struct wr *w, const char *text) {
    wr_bytes(w, bytes_of_str(text));
}

static void format_ip(const struct protocol *p, struct bytes value, struct wr *w) {
    struct net_addr a = {.family = p->type == VALUE_IP4 ? NET_IP4 : NET_IP6};
    char text[NET_ADDR_TEXT_MAX];
    memcpy(a.ip, value.data, value.len);
    wr_text(w, net_addr_format_ip(&a, text));
}

static void format_number(struct bytes value, struct wr *w) {
    uint64_t v = 0;
    for (size_t i = 0; i < value.len; i++)
        v = v << 8 | value.data[i];
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    wr_text(w, text);
}

static void format_coded(enum codec c, struct bytes value, struct wr *w) {
    char text[2 * MULTIADDR_BYTES_MAX];
    assert(codec_text_size(c, value.len) <= sizeof(text));
    (void)codec_encode(c, value, text);
    wr_text(w, text);
}

static void format_onion(struct bytes value, struct wr *w) {
    size_t host_len = value.len - ONION_PORT_BYTES;
    format_coded(CODEC_BASE32, bytes_of(value.data, host_len), w);
    wr_text(w, ":");
    format_number(bytes_skip(value, host_len), w);
}

static void format_garlic64(struct bytes value, struct wr *w) {
    size_t start = w->len;
    format_coded(CODEC_BASE64, value, w);
    for (size_t i = start; i < w->len; i++)
        w->start[i] = swap_garlic(w->start[i]);
}

static bool is_unreserved(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void format_http_path(struct bytes value, struct wr *w) {
    for (size_t i = 0; i < value.len; i++) {
        if (is_unreserved(value.data[i])) {
            wr_u8(w, value.data[i]);
        } else {
            wr_text(w, "%");
            format_coded(CODEC_HEX_UPPER, bytes_of(value.data + i, 1), w);
        }
    }
}

void value_format(const struct protocol *p, struct bytes value, struct wr *w) {
    switch ((enum value_type)p->type) {
    case VALUE_NONE:
        return;
    case VALUE_IP4:
    case VALUE_IP6:
        format_ip(p, value, w);
        return;
    case VALUE_NUMBER:
        format_number(value, w);
        return;
    case VALUE_NAME:
    case VALUE_PATH:
        wr_bytes(w, value);
        return;
    case VALUE_PEER:
        format_coded(CODEC_BASE58, value, w);
        return;
    case VALUE_CERTHASH:
        wr_text(w, "u");
        format_coded(CODEC_BASE64URL, value, w);
        return;
    case VALUE_ONION:
        format_onion(value, w);
        return;
    case VALUE_GARLIC32:
        format_coded(CODEC_BASE32, value, w);
        return;
    case VALUE_GARLIC64:
        format_garlic64(value, w);
        return;
    case VALUE_HTTP_PATH:
        format_http_path(value, w);
        return;
    }
}

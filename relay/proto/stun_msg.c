/* SPDX-License-Identifier: MIT */
#include "relay/proto/stun_msg.h"

#include "core/base/err.h"
#include "core/base/rd.h"
#include "core/base/wr.h"

#define COOKIE          0x2112a442u
#define FINGERPRINT_XOR 0x5354554eu

enum attribute {
    ATTR_MAPPED_ADDRESS = 0x0001,
    ATTR_ERROR_CODE = 0x0009,
    ATTR_UNKNOWN_ATTRIBUTES = 0x000a,
    ATTR_XOR_MAPPED_ADDRESS = 0x0020,
    ATTR_FINGERPRINT = 0x8028,
    ATTR_OTHER_ADDRESS = 0x802c,
};

enum {
    ATTR_HEAD_BYTES = 4,
    ATTR_OPTIONAL = 0x8000, /* may be ignored by who does not know it */
    FINGERPRINT_BYTES = 8,
    FAMILY_IP4 = 1,
    FAMILY_IP6 = 2,
    ERROR_UNKNOWN_ATTRIBUTE = 4 << 8 | 20,
};

bool stun_is_message(struct bytes datagram) {
    struct rd r = rd_init(datagram);
    uint16_t type = rd_be16(&r);
    uint16_t len = rd_be16(&r);
    uint32_t cookie = rd_be32(&r);
    (void)rd_bytes(&r, STUN_TXID_BYTES);
    return r.error == 0 && type >> 14 == 0 && cookie == COOKIE && len == r.left.len && len % 4 == 0;
}

/* --- reading --------------------------------------------------------------------------------- */

/* CRC-32 as in ITU V.42. */
static uint32_t crc32(struct bytes in) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < in.len; i++) {
        crc ^= in.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320u & (0 - (crc & 1)));
    }
    return ~crc;
}

/* What XOR-...-ADDRESS is made with: the cookie, then the transaction ID. */
static void xor_ip(struct net_addr *a, const uint8_t txid[STUN_TXID_BYTES]) {
    static const uint8_t cookie[] = {COOKIE >> 24, COOKIE >> 16 & 0xff, COOKIE >> 8 & 0xff,
                                     COOKIE & 0xff};
    size_t size = a->family == NET_IP4 ? 4 : 16;
    for (size_t i = 0; i < size; i++)
        a->ip[i] ^= i < sizeof(cookie) ? cookie[i] : txid[i - sizeof(cookie)];
    a->port ^= COOKIE >> 16;
}

static int read_address(struct bytes value, struct net_addr *ret_addr) {
    struct rd r = rd_init(value);
    struct net_addr a = {.family = NET_NONE};
    (void)rd_u8(&r);
    uint8_t family = rd_u8(&r);
    a.port = rd_be16(&r);
    struct bytes ip = rd_bytes(&r, family == FAMILY_IP4 ? 4 : 16);
    if (rd_done(&r) < 0 || (family != FAMILY_IP4 && family != FAMILY_IP6))
        return -ERR_MALFORMED;
    a.family = family == FAMILY_IP4 ? NET_IP4 : NET_IP6;
    memcpy(a.ip, ip.data, ip.len);
    *ret_addr = a;
    return 0;
}

/* Registered, harmless to us, and not to be answered with an error: servers of RFC 3489 send the
 * first two (SOURCE- and CHANGED-ADDRESS), clients may offer credentials that nobody asked for. */
static bool is_ignored(uint16_t attr) {
    static const uint16_t known[] = {0x0004, 0x0005, 0x0006, 0x0008, 0x0009,
                                     0x000a, 0x0014, 0x0015, 0x001c, 0x001e};
    for (size_t i = 0; i < ARRAY_COUNT(known); i++)
        if (attr == known[i])
            return true;
    return attr >= ATTR_OPTIONAL;
}

/* The first of a kind counts, and XOR-MAPPED-ADDRESS before MAPPED-ADDRESS, which some NATs
 * rewrite. */
struct found {
    struct net_addr plain;
    struct net_addr xored;
};

static int take_attribute(struct stun_msg *m, struct found *found, uint16_t attr,
                          struct bytes value) {
    struct net_addr *to = NULL;
    if (attr == ATTR_MAPPED_ADDRESS)
        to = &found->plain;
    else if (attr == ATTR_XOR_MAPPED_ADDRESS)
        to = &found->xored;
    else if (attr == ATTR_OTHER_ADDRESS)
        to = &m->other;
    else if (!is_ignored(attr) && m->unknown_count < STUN_UNKNOWN_MAX)
        m->unknown[m->unknown_count++] = attr;
    if (to == NULL || to->family != NET_NONE)
        return 0;
    int e = read_address(value, to);
    if (e == 0 && attr == ATTR_XOR_MAPPED_ADDRESS)
        xor_ip(to, m->txid);
    return e;
}

/* FINGERPRINT: over all before it, as the last one. */
static bool is_fingerprint_right(struct bytes datagram, struct bytes value, bool is_last) {
    struct rd r = rd_init(value);
    uint32_t expected =
        crc32(bytes_of(datagram.data, datagram.len - FINGERPRINT_BYTES)) ^ FINGERPRINT_XOR;
    return is_last && rd_be32(&r) == expected && rd_done(&r) == 0;
}

int stun_decode(struct bytes datagram, struct stun_msg *ret_msg) {
    if (!stun_is_message(datagram))
        return -ERR_UNSUPPORTED;
    struct stun_msg m = {.type = 0};
    struct found found = {.plain = {.family = NET_NONE}};
    struct rd r = rd_init(datagram);
    m.type = rd_be16(&r);
    (void)rd_bytes(&r, 6); /* length and cookie */
    memcpy(m.txid, rd_bytes(&r, STUN_TXID_BYTES).data, STUN_TXID_BYTES);
    while (rd_more(&r)) {
        uint16_t attr = rd_be16(&r);
        size_t len = rd_be16(&r);
        struct bytes value = rd_bytes(&r, len);
        (void)rd_bytes(&r, (4 - len % 4) % 4);
        if (r.error != 0)
            return -ERR_MALFORMED;
        if (attr == ATTR_FINGERPRINT && !is_fingerprint_right(datagram, value, r.left.len == 0))
            return -ERR_MALFORMED;
        int e = take_attribute(&m, &found, attr, value);
        if (e < 0)
            return e;
    }
    m.mapped = found.xored.family != NET_NONE ? found.xored : found.plain;
    *ret_msg = m;
    return 0;
}

/* --- writing --------------------------------------------------------------------------------- */

static void write_head(struct wr *w, enum stun_type type, size_t len,
                       const uint8_t txid[STUN_TXID_BYTES]) {
    wr_be16(w, (uint16_t)type);
    wr_be16(w, (uint16_t)len);
    wr_be32(w, COOKIE);
    wr_bytes(w, bytes_of(txid, STUN_TXID_BYTES));
}

static size_t ip_size(const struct net_addr *a) {
    assert(a->family == NET_IP4 || a->family == NET_IP6);
    return a->family == NET_IP4 ? 4 : 16;
}

static size_t address_size(const struct net_addr *a) {
    return ATTR_HEAD_BYTES + 4 + ip_size(a);
}

static void write_address(struct wr *w, enum attribute attr, const struct net_addr *a) {
    wr_be16(w, (uint16_t)attr);
    wr_be16(w, (uint16_t)(4 + ip_size(a)));
    wr_u8(w, 0);
    wr_u8(w, a->family == NET_IP4 ? FAMILY_IP4 : FAMILY_IP6);
    wr_be16(w, a->port);
    wr_bytes(w, bytes_of(a->ip, ip_size(a)));
}

void stun_encode_request(const uint8_t txid[STUN_TXID_BYTES], uint8_t ret_out[STUN_REQUEST_BYTES]) {
    struct wr w = wr_init(ret_out, STUN_REQUEST_BYTES);
    write_head(&w, STUN_BINDING_REQUEST, 0, txid);
    assert(w.error == 0);
}

size_t stun_encode_success(const uint8_t txid[STUN_TXID_BYTES], const struct net_addr *mapped,
                           const struct net_addr *other, uint8_t ret_out[STUN_ANSWER_MAX]) {
    struct wr w = wr_init(ret_out, STUN_ANSWER_MAX);
    struct net_addr xored = *mapped;
    xor_ip(&xored, txid);
    size_t len = address_size(mapped) + (other == NULL ? 0 : address_size(other));
    write_head(&w, STUN_BINDING_SUCCESS, len, txid);
    write_address(&w, ATTR_XOR_MAPPED_ADDRESS, &xored);
    if (other != NULL)
        write_address(&w, ATTR_OTHER_ADDRESS, other);
    assert(w.error == 0);
    return w.len;
}

size_t stun_encode_refusal(const struct stun_msg *request, uint8_t ret_out[STUN_ANSWER_MAX]) {
    assert(request->unknown_count > 0);
    struct wr w = wr_init(ret_out, STUN_ANSWER_MAX);
    size_t list = 2 * request->unknown_count;
    size_t padding = (4 - list % 4) % 4;
    write_head(&w, STUN_BINDING_ERROR, 2 * ATTR_HEAD_BYTES + 4 + list + padding, request->txid);
    wr_be16(&w, ATTR_ERROR_CODE);
    wr_be16(&w, 4);
    wr_be32(&w, ERROR_UNKNOWN_ATTRIBUTE);
    wr_be16(&w, ATTR_UNKNOWN_ATTRIBUTES);
    wr_be16(&w, (uint16_t)list);
    for (size_t i = 0; i < request->unknown_count; i++)
        wr_be16(&w, request->unknown[i]);
    for (size_t i = 0; i < padding; i++)
        wr_u8(&w, 0);
    assert(w.error == 0);
    return w.len;
}

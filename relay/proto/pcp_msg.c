/* SPDX-License-Identifier: MIT */
#include "relay/proto/pcp_msg.h"

#include "core/base/err.h"
#include "core/base/rd.h"
#include "core/base/wr.h"

enum { OP_MAP = 1, IS_RESPONSE = 0x80, IP_BYTES = 16, IANA_TCP = 6, IANA_UDP = 17 };

/* ::ffff:0:0/96: IPv4 in 16 bytes. */
static const uint8_t mapped_prefix[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* --- PCP ------------------------------------------------------------------------------------- */

static void write_ip(struct wr *w, const struct net_addr *a) {
    if (a->family == NET_IP4) {
        wr_bytes(w, BYTES_OF(mapped_prefix));
        wr_bytes(w, bytes_of(a->ip, 4));
    } else {
        wr_bytes(w, bytes_of(a->ip, IP_BYTES));
    }
}

static struct net_addr read_ip(struct bytes ip) {
    if (bytes_start_with(ip, BYTES_OF(mapped_prefix))) {
        struct net_addr a = {.family = NET_IP4};
        memcpy(a.ip, ip.data + sizeof(mapped_prefix), 4);
        return a;
    }
    struct net_addr a = {.family = NET_IP6};
    memcpy(a.ip, ip.data, ip.len);
    return a;
}

void pcp_encode_map(const struct pcp_map_request *request, uint8_t ret_out[PCP_REQUEST_BYTES]) {
    struct wr w = wr_init(ret_out, PCP_REQUEST_BYTES);
    /* No wish is said with an address of all zeros, of the family that is wanted. */
    struct net_addr external = {.family = request->client.family};
    if (request->external.family != NET_NONE)
        external = request->external;
    wr_u8(&w, PCP_VERSION);
    wr_u8(&w, OP_MAP);
    wr_be16(&w, 0);
    wr_be32(&w, request->lifetime_s);
    write_ip(&w, &request->client);
    wr_bytes(&w, BYTES_OF(request->nonce));
    wr_u8(&w, request->is_tcp ? IANA_TCP : IANA_UDP);
    wr_u8(&w, 0);
    wr_be16(&w, 0);
    wr_be16(&w, request->internal_port);
    wr_be16(&w, external.port);
    write_ip(&w, &external);
    assert(w.error == 0);
    assert(w.len == PCP_REQUEST_BYTES);
}

static int read_map(struct rd *r, struct pcp_map_response *m) {
    (void)rd_bytes(r, 12); /* reserved */
    struct bytes nonce = rd_bytes(r, PCP_NONCE_BYTES);
    uint8_t protocol = rd_u8(r);
    (void)rd_bytes(r, 3); /* reserved */
    m->internal_port = rd_be16(r);
    uint16_t external_port = rd_be16(r);
    struct bytes ip = rd_bytes(r, IP_BYTES);
    if (r->error != 0)
        return r->error;
    if (protocol != IANA_TCP && protocol != IANA_UDP)
        return -ERR_UNSUPPORTED;
    m->is_tcp = protocol == IANA_TCP;
    memcpy(m->nonce, nonce.data, nonce.len);
    m->external = read_ip(ip);
    m->external.port = external_port;
    return 0;
}

int pcp_decode_map(struct bytes datagram, struct pcp_map_response *ret_response) {
    struct rd r = rd_init(datagram);
    struct pcp_map_response m = {.version = rd_u8(&r)};
    uint8_t op = rd_u8(&r);
    (void)rd_u8(&r); /* reserved */
    m.result = rd_u8(&r);
    m.lifetime_s = rd_be32(&r);
    m.epoch_s = rd_be32(&r);
    if (r.error != 0)
        return r.error;
    if (m.version == NATPMP_VERSION || op != (IS_RESPONSE | OP_MAP))
        return -ERR_UNSUPPORTED;
    if (datagram.len > PCP_MESSAGE_MAX || datagram.len % 4 != 0)
        return -ERR_MALFORMED;
    if (m.version != PCP_VERSION) {
        *ret_response = (struct pcp_map_response){.version = m.version, .result = m.result};
        return 0;
    }
    int e = read_map(&r, &m);
    if (e == 0)
        *ret_response = m;
    return e;
}

/* --- NAT-PMP --------------------------------------------------------------------------------- */

void natpmp_encode_address(uint8_t ret_out[NATPMP_ADDRESS_REQUEST_BYTES]) {
    ret_out[0] = NATPMP_VERSION;
    ret_out[1] = NATPMP_ADDRESS;
}

void natpmp_encode_map(bool is_tcp, uint16_t internal_port, uint16_t external_port,
                       uint32_t lifetime_s, uint8_t ret_out[NATPMP_MAP_REQUEST_BYTES]) {
    struct wr w = wr_init(ret_out, NATPMP_MAP_REQUEST_BYTES);
    wr_u8(&w, NATPMP_VERSION);
    wr_u8(&w, is_tcp ? NATPMP_MAP_TCP : NATPMP_MAP_UDP);
    wr_be16(&w, 0);
    wr_be16(&w, internal_port);
    wr_be16(&w, external_port);
    wr_be32(&w, lifetime_s);
    assert(w.error == 0);
}

static int read_natpmp(struct rd *r, struct natpmp_response *m) {
    if (m->op == NATPMP_ADDRESS) {
        struct bytes ip = rd_bytes(r, 4);
        m->external.family = NET_IP4;
        if (r->error == 0)
            memcpy(m->external.ip, ip.data, ip.len);
    } else {
        m->internal_port = rd_be16(r);
        m->external_port = rd_be16(r);
        m->lifetime_s = rd_be32(r);
    }
    return rd_done(r);
}

int natpmp_decode(struct bytes datagram, struct natpmp_response *ret_response) {
    struct rd r = rd_init(datagram);
    uint8_t version = rd_u8(&r);
    uint8_t op = rd_u8(&r);
    struct natpmp_response m = {.result = rd_be16(&r), .epoch_s = rd_be32(&r)};
    if (r.error != 0)
        return r.error;
    if (version != NATPMP_VERSION || op < IS_RESPONSE || op > (IS_RESPONSE | NATPMP_MAP_TCP))
        return -ERR_UNSUPPORTED;
    m.op = (enum natpmp_op)(op & ~IS_RESPONSE);
    /* Who refuses may leave the rest out. */
    if (m.result == 0 || r.left.len > 0) {
        int e = read_natpmp(&r, &m);
        if (e < 0)
            return e;
    }
    *ret_response = m;
    return 0;
}

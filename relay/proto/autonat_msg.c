/* SPDX-License-Identifier: MIT */
#include "relay/proto/autonat_msg.h"

#include "core/base/err.h"
#include "core/p2p/pb.h"

enum { REQUEST_ADDR = 1, REQUEST_NONCE = 2 };
enum { RESPONSE_STATUS = 1, RESPONSE_ADDR_INDEX = 2, RESPONSE_DIAL_STATUS = 3 };
enum { DATA_REQUEST_ADDR_INDEX = 1, DATA_REQUEST_BYTES = 2 };
enum { DATA_RESPONSE_DATA = 1 };
enum { DIAL_BACK_NONCE = 1 };
enum { V1_TYPE = 1, V1_DIAL = 2, V1_RESPONSE = 3 };
enum { V1_TYPE_DIAL = 0, V1_TYPE_RESPONSE = 1 };
enum { V1_DIAL_PEER = 1, V1_PEER_ID = 1, V1_PEER_ADDR = 2, V1_RESPONSE_STATUS = 1 };
enum { V1_RESPONSE_ADDR = 3 };

/* --- v2, reading ----------------------------------------------------------------------------- */

static void take_field(struct autonat_msg *m, const struct pb_field *f, struct rd *r) {
    uint64_t index = 0;
    switch (m->type) {
    case AUTONAT_DIAL_REQUEST:
        if (pb_is_fixed64(f, REQUEST_NONCE))
            m->nonce = f->uint;
        break;
    case AUTONAT_DIAL_RESPONSE:
        if (pb_is_uint(f, RESPONSE_STATUS))
            m->status = f->uint;
        else if (pb_is_uint(f, RESPONSE_ADDR_INDEX))
            index = f->uint;
        else if (pb_is_uint(f, RESPONSE_DIAL_STATUS))
            m->dial_status = f->uint;
        break;
    case AUTONAT_DATA_REQUEST:
        if (pb_is_uint(f, DATA_REQUEST_ADDR_INDEX))
            index = f->uint;
        else if (pb_is_uint(f, DATA_REQUEST_BYTES))
            m->data_bytes = f->uint;
        break;
    case AUTONAT_DATA_RESPONSE:
        if (pb_is_bytes(f, DATA_RESPONSE_DATA))
            m->data_bytes = f->bytes.len;
        break;
    }
    if (index > UINT32_MAX)
        rd_fail(r, -ERR_MALFORMED);
    else if (index > 0)
        m->addr_index = (uint32_t)index;
}

static int decode_inner(enum autonat_msg_type type, struct bytes inner,
                        struct autonat_msg *ret_msg) {
    struct autonat_msg m = {.type = type};
    struct rd r = rd_init(inner);
    struct pb_field f;
    if (type == AUTONAT_DIAL_REQUEST)
        m.addrs = inner;
    while (pb_next(&r, &f))
        take_field(&m, &f, &r);
    int e = rd_done(&r);
    if (e == 0)
        *ret_msg = m;
    return e;
}

int autonat_decode(struct bytes body, struct autonat_msg *ret_msg) {
    if (body.len > AUTONAT_MESSAGE_MAX)
        return -ERR_LIMIT;
    struct rd r = rd_init(body);
    struct pb_field f;
    struct bytes inner = BYTES_EMPTY;
    uint32_t type = 0;
    while (pb_next(&r, &f)) {
        if (f.wire != PB_BYTES || f.number > AUTONAT_DATA_RESPONSE)
            continue;
        type = f.number; /* of a oneof the last counts */
        inner = f.bytes;
    }
    int e = rd_done(&r);
    if (e < 0)
        return e;
    if (type == 0)
        return -ERR_MALFORMED;
    return decode_inner((enum autonat_msg_type)type, inner, ret_msg);
}

/* The next field of this number that holds bytes. */
static bool next_bytes(struct bytes *left, uint32_t number, struct bytes *ret_addr) {
    struct rd r = rd_init(*left);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (pb_is_bytes(&f, number)) {
            *left = r.left;
            *ret_addr = f.bytes;
            return true;
        }
    *left = BYTES_EMPTY;
    return false;
}

bool autonat_next_addr(struct bytes *left, struct bytes *ret_addr) {
    return next_bytes(left, REQUEST_ADDR, ret_addr);
}

/* --- v2, writing ----------------------------------------------------------------------------- */

/* Length of the whole, then the head of the one field that it has. */
static struct wr begin(uint8_t *out, size_t size, enum autonat_msg_type type, size_t inner_len) {
    struct wr w = wr_init(out, size);
    wr_uvarint(&w, pb_bytes_size(type, inner_len));
    pb_wr_head(&w, type, inner_len);
    return w;
}

static size_t end(const struct wr *w) {
    ssize_t len = wr_done(w);
    assert(len > 0);
    return (size_t)len;
}

static size_t nonzero_size(uint32_t number, uint64_t value) {
    return value == 0 ? 0 : pb_uint_size(number, value);
}

static void write_nonzero(struct wr *w, uint32_t number, uint64_t value) {
    if (value != 0)
        pb_wr_uint(w, number, value);
}

static size_t addrs_size(uint32_t number, const struct multiaddr *addrs, size_t count) {
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pb_bytes_size(number, addrs[i].len);
    return size;
}

static void write_addrs(struct wr *w, uint32_t number, const struct multiaddr *addrs,
                        size_t count) {
    for (size_t i = 0; i < count; i++)
        pb_wr_bytes(w, number, multiaddr_bytes(&addrs[i]));
}

size_t autonat_encode_request(const struct multiaddr *addrs, size_t addrs_count, uint64_t nonce,
                              uint8_t ret_out[AUTONAT_OUT_MAX]) {
    assert(addrs_count <= AUTONAT_ADDRS_MAX);
    size_t len = addrs_size(REQUEST_ADDR, addrs, addrs_count);
    if (nonce != 0)
        len += pb_fixed64_size(REQUEST_NONCE);
    struct wr w = begin(ret_out, AUTONAT_OUT_MAX, AUTONAT_DIAL_REQUEST, len);
    write_addrs(&w, REQUEST_ADDR, addrs, addrs_count);
    if (nonce != 0)
        pb_wr_fixed64(&w, REQUEST_NONCE, nonce);
    return end(&w);
}

size_t autonat_encode_data(size_t data_bytes, uint8_t ret_out[AUTONAT_OUT_MAX]) {
    static const uint8_t zeros[AUTONAT_DATA_FRAME];
    assert(data_bytes <= sizeof(zeros));
    size_t len = pb_bytes_size(DATA_RESPONSE_DATA, data_bytes);
    struct wr w = begin(ret_out, AUTONAT_OUT_MAX, AUTONAT_DATA_RESPONSE, len);
    pb_wr_bytes(&w, DATA_RESPONSE_DATA, bytes_of(zeros, data_bytes));
    return end(&w);
}

size_t autonat_encode_data_request(uint32_t addr_index, uint64_t data_bytes,
                                   uint8_t ret_out[AUTONAT_SMALL_OUT_MAX]) {
    size_t len = nonzero_size(DATA_REQUEST_ADDR_INDEX, addr_index) +
                 nonzero_size(DATA_REQUEST_BYTES, data_bytes);
    struct wr w = begin(ret_out, AUTONAT_SMALL_OUT_MAX, AUTONAT_DATA_REQUEST, len);
    write_nonzero(&w, DATA_REQUEST_ADDR_INDEX, addr_index);
    write_nonzero(&w, DATA_REQUEST_BYTES, data_bytes);
    return end(&w);
}

size_t autonat_encode_response(enum autonat_status status, uint32_t addr_index,
                               enum autonat_dial_status dial_status,
                               uint8_t ret_out[AUTONAT_SMALL_OUT_MAX]) {
    size_t len = nonzero_size(RESPONSE_STATUS, status) +
                 nonzero_size(RESPONSE_ADDR_INDEX, addr_index) +
                 nonzero_size(RESPONSE_DIAL_STATUS, dial_status);
    struct wr w = begin(ret_out, AUTONAT_SMALL_OUT_MAX, AUTONAT_DIAL_RESPONSE, len);
    write_nonzero(&w, RESPONSE_STATUS, status);
    write_nonzero(&w, RESPONSE_ADDR_INDEX, addr_index);
    write_nonzero(&w, RESPONSE_DIAL_STATUS, dial_status);
    return end(&w);
}

/* --- v2, dial-back --------------------------------------------------------------------------- */

size_t autonat_encode_dial_back(uint64_t nonce, uint8_t ret_out[AUTONAT_SMALL_OUT_MAX]) {
    struct wr w = wr_init(ret_out, AUTONAT_SMALL_OUT_MAX);
    wr_uvarint(&w, nonce == 0 ? 0 : pb_fixed64_size(DIAL_BACK_NONCE));
    if (nonce != 0)
        pb_wr_fixed64(&w, DIAL_BACK_NONCE, nonce);
    return end(&w);
}

int autonat_decode_dial_back(struct bytes body, uint64_t *ret_nonce) {
    if (body.len > AUTONAT_MESSAGE_MAX)
        return -ERR_LIMIT;
    struct rd r = rd_init(body);
    struct pb_field f;
    uint64_t nonce = 0;
    while (pb_next(&r, &f))
        if (pb_is_fixed64(&f, DIAL_BACK_NONCE))
            nonce = f.uint;
    int e = rd_done(&r);
    if (e == 0)
        *ret_nonce = nonce;
    return e;
}

/* --- v1 -------------------------------------------------------------------------------------- */

size_t autonat_v1_encode_dial(const struct peer_id *self, const struct multiaddr *addrs,
                              size_t addrs_count, uint8_t ret_out[AUTONAT_V1_OUT_MAX]) {
    assert(addrs_count <= AUTONAT_V1_ADDRS_MAX);
    size_t peer =
        pb_bytes_size(V1_PEER_ID, self->len) + addrs_size(V1_PEER_ADDR, addrs, addrs_count);
    size_t dial = pb_bytes_size(V1_DIAL_PEER, peer);
    struct wr w = wr_init(ret_out, AUTONAT_V1_OUT_MAX);
    wr_uvarint(&w, pb_uint_size(V1_TYPE, V1_TYPE_DIAL) + pb_bytes_size(V1_DIAL, dial));
    pb_wr_uint(&w, V1_TYPE, V1_TYPE_DIAL);
    pb_wr_head(&w, V1_DIAL, dial);
    pb_wr_head(&w, V1_DIAL_PEER, peer);
    pb_wr_bytes(&w, V1_PEER_ID, peer_id_bytes(self));
    write_addrs(&w, V1_PEER_ADDR, addrs, addrs_count);
    return end(&w);
}

static int decode_v1_status(struct bytes response, uint64_t *ret_status) {
    struct rd r = rd_init(response);
    struct pb_field f;
    bool has_status = false;
    uint64_t status = 0;
    while (pb_next(&r, &f))
        if (pb_is_uint(&f, V1_RESPONSE_STATUS)) {
            has_status = true;
            status = f.uint;
        }
    int e = rd_done(&r);
    if (e == 0 && !has_status)
        e = -ERR_MALFORMED;
    if (e == 0)
        *ret_status = status;
    return e;
}

int autonat_v1_decode_response(struct bytes body, uint64_t *ret_status) {
    if (body.len > AUTONAT_V1_MESSAGE_MAX)
        return -ERR_LIMIT;
    struct rd r = rd_init(body);
    struct pb_field f;
    bool is_response = false;
    struct bytes response = BYTES_EMPTY;
    while (pb_next(&r, &f)) {
        if (pb_is_uint(&f, V1_TYPE))
            is_response = f.uint == V1_TYPE_RESPONSE;
        else if (pb_is_bytes(&f, V1_RESPONSE))
            response = f.bytes;
    }
    int e = rd_done(&r);
    if (e < 0)
        return e;
    return is_response ? decode_v1_status(response, ret_status) : -ERR_MALFORMED;
}

/* Every field of the peer must parse, since autonat_v1_next_addr() stops where one does not. */
static int decode_v1_peer(struct bytes peer, struct autonat_v1_dial *ret_dial) {
    struct rd r = rd_init(peer);
    struct pb_field f;
    struct autonat_v1_dial d = {.addrs = peer};
    while (pb_next(&r, &f))
        if (pb_is_bytes(&f, V1_PEER_ID))
            d.peer = f.bytes;
    int e = rd_done(&r);
    if (e == 0)
        *ret_dial = d;
    return e;
}

static int find_v1_peer(struct bytes dial, struct bytes *ret_peer) {
    struct rd r = rd_init(dial);
    struct pb_field f;
    bool has_peer = false;
    while (pb_next(&r, &f))
        if (pb_is_bytes(&f, V1_DIAL_PEER)) {
            has_peer = true;
            *ret_peer = f.bytes;
        }
    int e = rd_done(&r);
    return e == 0 && !has_peer ? -ERR_MALFORMED : e;
}

int autonat_v1_decode_dial(struct bytes body, struct autonat_v1_dial *ret_dial) {
    if (body.len > AUTONAT_V1_MESSAGE_MAX)
        return -ERR_LIMIT;
    struct rd r = rd_init(body);
    struct pb_field f;
    bool is_dial = false;
    struct bytes dial = BYTES_EMPTY, peer = BYTES_EMPTY;
    while (pb_next(&r, &f)) {
        if (pb_is_uint(&f, V1_TYPE))
            is_dial = f.uint == V1_TYPE_DIAL;
        else if (pb_is_bytes(&f, V1_DIAL))
            dial = f.bytes;
    }
    int e = rd_done(&r);
    if (e == 0 && !is_dial)
        e = -ERR_MALFORMED;
    if (e == 0)
        e = find_v1_peer(dial, &peer);
    return e < 0 ? e : decode_v1_peer(peer, ret_dial);
}

bool autonat_v1_next_addr(struct bytes *left, struct bytes *ret_addr) {
    return next_bytes(left, V1_PEER_ADDR, ret_addr);
}

size_t autonat_v1_encode_response(enum autonat_v1_status status, const struct multiaddr *addr,
                                  uint8_t ret_out[AUTONAT_V1_RESPONSE_MAX]) {
    size_t inner = pb_uint_size(V1_RESPONSE_STATUS, status);
    if (addr != NULL)
        inner += pb_bytes_size(V1_RESPONSE_ADDR, addr->len);
    struct wr w = wr_init(ret_out, AUTONAT_V1_RESPONSE_MAX);
    wr_uvarint(&w, pb_uint_size(V1_TYPE, V1_TYPE_RESPONSE) + pb_bytes_size(V1_RESPONSE, inner));
    pb_wr_uint(&w, V1_TYPE, V1_TYPE_RESPONSE);
    pb_wr_head(&w, V1_RESPONSE, inner);
    pb_wr_uint(&w, V1_RESPONSE_STATUS, status);
    if (addr != NULL)
        pb_wr_bytes(&w, V1_RESPONSE_ADDR, multiaddr_bytes(addr));
    return end(&w);
}

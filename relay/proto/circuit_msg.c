/* SPDX-License-Identifier: MIT */
#include "relay/proto/circuit_msg.h"

#include "core/base/err.h"
#include "core/p2p/pb.h"

enum {
    HOP_FIELD_TYPE = 1,
    HOP_FIELD_PEER = 2,
    HOP_FIELD_RESERVATION = 3,
    HOP_FIELD_LIMIT = 4,
    HOP_FIELD_STATUS = 5,

    STOP_FIELD_TYPE = 1,
    STOP_FIELD_PEER = 2,
    STOP_FIELD_LIMIT = 3,
    STOP_FIELD_STATUS = 4,

    PEER_FIELD_ID = 1, /* its addresses are empty in practice, and not used */

    RESERVATION_FIELD_EXPIRE = 1,
    RESERVATION_FIELD_ADDR = 2,
    RESERVATION_FIELD_VOUCHER = 3,

    LIMIT_FIELD_DURATION = 1,
    LIMIT_FIELD_DATA = 2,
};

_Static_assert(CIRCUIT_MSG_MAX < 1 << 14, "a message's length fits two bytes of varint");

const char *circuit_status_text(uint32_t status) {
    static const struct {
        uint32_t status;
        const char *text;
    } rows[] = {
        {CIRCUIT_STATUS_OK, "ok"},
        {CIRCUIT_STATUS_RESERVATION_REFUSED, "reservation refused"},
        {CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED, "resource limit exceeded"},
        {CIRCUIT_STATUS_PERMISSION_DENIED, "permission denied"},
        {CIRCUIT_STATUS_CONNECTION_FAILED, "connection failed"},
        {CIRCUIT_STATUS_NO_RESERVATION, "no reservation"},
        {CIRCUIT_STATUS_MALFORMED_MESSAGE, "malformed message"},
        {CIRCUIT_STATUS_UNEXPECTED_MESSAGE, "unexpected message"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (rows[i].status == status)
            return rows[i].text;
    return "unknown status";
}

/* --- parts ----------------------------------------------------------------------------------- */

/* Clamped, where go cuts off the upper half: 2^32 seconds are no "unlimited". */
static uint32_t to_u32(uint64_t v) {
    return (uint32_t)MIN(v, (uint64_t)UINT32_MAX);
}

static int peer_decode(struct bytes in, struct peer_id *ret_peer) {
    struct bytes id = BYTES_EMPTY;
    struct rd r = rd_init(in);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (pb_is_bytes(&f, PEER_FIELD_ID))
            id = f.bytes;
    int e = rd_done(&r);
    return e < 0 ? e : peer_id_decode(id, ret_peer);
}

static void peer_write(struct wr *w, uint32_t field, const struct peer_id *peer) {
    struct bytes id = peer_id_bytes(peer);
    pb_wr_head(w, field, pb_bytes_size(PEER_FIELD_ID, id.len));
    pb_wr_bytes(w, PEER_FIELD_ID, id);
}

static int limit_decode(struct bytes in, struct circuit_limit *ret_limit) {
    struct circuit_limit limit = {.duration_s = 0};
    struct rd r = rd_init(in);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (pb_is_uint(&f, LIMIT_FIELD_DURATION))
            limit.duration_s = to_u32(f.uint);
        else if (pb_is_uint(&f, LIMIT_FIELD_DATA))
            limit.data_bytes = f.uint;
    }
    int e = rd_done(&r);
    if (e == 0)
        *ret_limit = limit;
    return e;
}

static void limit_write(struct wr *w, uint32_t field, const struct circuit_limit *limit) {
    pb_wr_head(w, field,
               pb_uint_size(LIMIT_FIELD_DURATION, limit->duration_s) +
                   pb_uint_size(LIMIT_FIELD_DATA, limit->data_bytes));
    pb_wr_uint(w, LIMIT_FIELD_DURATION, limit->duration_s);
    pb_wr_uint(w, LIMIT_FIELD_DATA, limit->data_bytes);
}

static int reservation_decode(struct bytes in, struct circuit_reservation *ret_reservation) {
    struct circuit_reservation reservation = {.addrs = in};
    struct rd r = rd_init(in);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (pb_is_uint(&f, RESERVATION_FIELD_EXPIRE))
            reservation.expire = (walltime_t)MIN(f.uint, (uint64_t)INT64_MAX);
        else if (pb_is_bytes(&f, RESERVATION_FIELD_VOUCHER))
            reservation.voucher = f.bytes;
    }
    int e = rd_done(&r);
    if (e == 0)
        *ret_reservation = reservation;
    return e;
}

/* The next address of a reservation, as it came. */
static bool next_raw_addr(struct bytes *left, struct bytes *ret_raw) {
    struct rd r = rd_init(*left);
    struct pb_field f;
    bool found = false;
    while (!found && pb_next(&r, &f))
        found = pb_is_bytes(&f, RESERVATION_FIELD_ADDR);
    *left = r.left;
    if (found)
        *ret_raw = f.bytes;
    return found;
}

bool circuit_next_addr(struct bytes *left, struct multiaddr *ret_addr) {
    struct bytes raw;
    while (next_raw_addr(left, &raw))
        if (multiaddr_decode(raw, ret_addr) == 0)
            return true;
    return false;
}

void circuit_put_addr(struct wr *w, const struct multiaddr *addr) {
    pb_wr_bytes(w, RESERVATION_FIELD_ADDR, multiaddr_bytes(addr));
}

static size_t reservation_size(const struct circuit_reservation *reservation) {
    size_t size = pb_uint_size(RESERVATION_FIELD_EXPIRE, (uint64_t)reservation->expire);
    struct bytes raw;
    for (struct bytes left = reservation->addrs; next_raw_addr(&left, &raw);)
        size += pb_bytes_size(RESERVATION_FIELD_ADDR, raw.len);
    if (reservation->voucher.len > 0)
        size += pb_bytes_size(RESERVATION_FIELD_VOUCHER, reservation->voucher.len);
    return size;
}

static void reservation_write(struct wr *w, uint32_t field,
                              const struct circuit_reservation *reservation) {
    assert(reservation->expire >= 0);
    struct bytes raw;
    pb_wr_head(w, field, reservation_size(reservation));
    pb_wr_uint(w, RESERVATION_FIELD_EXPIRE, (uint64_t)reservation->expire);
    for (struct bytes left = reservation->addrs; next_raw_addr(&left, &raw);)
        pb_wr_bytes(w, RESERVATION_FIELD_ADDR, raw);
    if (reservation->voucher.len > 0)
        pb_wr_bytes(w, RESERVATION_FIELD_VOUCHER, reservation->voucher);
}

/* The body behind its length. */
static ssize_t add_length(const struct wr *body, uint8_t ret_out[CIRCUIT_OUT_MAX]) {
    ssize_t len = wr_done(body);
    if (len < 0)
        return len;
    struct wr w = wr_init(ret_out, CIRCUIT_OUT_MAX);
    wr_uvarint_bytes(&w, wr_written(body));
    return wr_done(&w);
}

/* --- hop ------------------------------------------------------------------------------------- */

static int hop_field(struct hop_msg *m, const struct pb_field *f) {
    if (pb_is_uint(f, HOP_FIELD_TYPE)) {
        m->type = (enum hop_type)MIN(f->uint, (uint64_t)HOP_OTHER);
    } else if (pb_is_bytes(f, HOP_FIELD_PEER)) {
        m->has_peer = true;
        return peer_decode(f->bytes, &m->peer);
    } else if (pb_is_bytes(f, HOP_FIELD_RESERVATION)) {
        m->has_reservation = true;
        return reservation_decode(f->bytes, &m->reservation);
    } else if (pb_is_bytes(f, HOP_FIELD_LIMIT)) {
        m->has_limit = true;
        return limit_decode(f->bytes, &m->limit);
    } else if (pb_is_uint(f, HOP_FIELD_STATUS)) {
        m->has_status = true;
        m->status = to_u32(f->uint);
    }
    return 0;
}

int hop_msg_decode(struct bytes in, struct hop_msg *ret_msg) {
    struct hop_msg m = {.type = HOP_RESERVE};
    struct rd r = rd_init(in);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        int e = hop_field(&m, &f);
        if (e < 0)
            return e;
    }
    int e = rd_done(&r);
    if (e == 0)
        *ret_msg = m;
    return e;
}

ssize_t hop_msg_encode(const struct hop_msg *m, uint8_t ret_out[CIRCUIT_OUT_MAX]) {
    uint8_t memory[CIRCUIT_MSG_MAX];
    struct wr w = wr_init(memory, sizeof(memory));
    assert(m->type != HOP_OTHER);
    pb_wr_uint(&w, HOP_FIELD_TYPE, m->type);
    if (m->has_peer)
        peer_write(&w, HOP_FIELD_PEER, &m->peer);
    if (m->has_reservation)
        reservation_write(&w, HOP_FIELD_RESERVATION, &m->reservation);
    if (m->has_limit)
        limit_write(&w, HOP_FIELD_LIMIT, &m->limit);
    if (m->has_status)
        pb_wr_uint(&w, HOP_FIELD_STATUS, m->status);
    return add_length(&w, ret_out);
}

/* --- stop ------------------------------------------------------------------------------------ */

static int stop_field(struct stop_msg *m, const struct pb_field *f) {
    if (pb_is_uint(f, STOP_FIELD_TYPE)) {
        m->type = (enum stop_type)MIN(f->uint, (uint64_t)STOP_OTHER);
    } else if (pb_is_bytes(f, STOP_FIELD_PEER)) {
        m->has_peer = true;
        return peer_decode(f->bytes, &m->peer);
    } else if (pb_is_bytes(f, STOP_FIELD_LIMIT)) {
        m->has_limit = true;
        return limit_decode(f->bytes, &m->limit);
    } else if (pb_is_uint(f, STOP_FIELD_STATUS)) {
        m->has_status = true;
        m->status = to_u32(f->uint);
    }
    return 0;
}

int stop_msg_decode(struct bytes in, struct stop_msg *ret_msg) {
    struct stop_msg m = {.type = STOP_CONNECT};
    struct rd r = rd_init(in);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        int e = stop_field(&m, &f);
        if (e < 0)
            return e;
    }
    int e = rd_done(&r);
    if (e == 0)
        *ret_msg = m;
    return e;
}

size_t stop_msg_encode(const struct stop_msg *m, uint8_t ret_out[CIRCUIT_OUT_MAX]) {
    uint8_t memory[CIRCUIT_MSG_MAX];
    struct wr w = wr_init(memory, sizeof(memory));
    assert(m->type != STOP_OTHER);
    pb_wr_uint(&w, STOP_FIELD_TYPE, m->type);
    if (m->has_peer)
        peer_write(&w, STOP_FIELD_PEER, &m->peer);
    if (m->has_limit)
        limit_write(&w, STOP_FIELD_LIMIT, &m->limit);
    if (m->has_status)
        pb_wr_uint(&w, STOP_FIELD_STATUS, m->status);
    ssize_t len = add_length(&w, ret_out);
    assert(len > 0);
    return (size_t)len;
}

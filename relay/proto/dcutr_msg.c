/* SPDX-License-Identifier: MIT */
#include "relay/proto/dcutr_msg.h"

#include "core/base/err.h"
#include "core/p2p/pb.h"

enum { FIELD_TYPE = 1, FIELD_ADDR = 2 };

int dcutr_msg_decode(struct bytes body, struct dcutr_msg *ret_msg) {
    if (body.len > DCUTR_MESSAGE_MAX)
        return -ERR_LIMIT;
    struct rd r = rd_init(body);
    struct pb_field f;
    uint64_t type = 0;
    while (pb_next(&r, &f))
        if (pb_is_uint(&f, FIELD_TYPE))
            type = f.uint;
    int e = rd_done(&r);
    if (e < 0)
        return e;
    /* The field is required, and proto2 takes an unknown value for an absent one. */
    if (type != DCUTR_MSG_CONNECT && type != DCUTR_MSG_SYNC)
        return -ERR_MALFORMED;
    *ret_msg = (struct dcutr_msg){.type = (enum dcutr_msg_type)type, .addrs = body};
    return 0;
}

bool dcutr_msg_next_addr(struct bytes *left, struct multiaddr *ret_addr) {
    struct rd r = rd_init(*left);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (!pb_is_bytes(&f, FIELD_ADDR) || multiaddr_decode(f.bytes, ret_addr) < 0)
            continue;
        *left = r.left;
        return true;
    }
    *left = BYTES_EMPTY;
    return false;
}

size_t dcutr_msg_encode(enum dcutr_msg_type type, const struct multiaddr *addrs, size_t addrs_count,
                        uint8_t ret_out[DCUTR_OUT_MAX]) {
    assert(type == DCUTR_MSG_CONNECT || addrs_count == 0);
    size_t size = pb_uint_size(FIELD_TYPE, type);
    size_t kept = 0;
    for (; kept < addrs_count; kept++) {
        size_t more = pb_bytes_size(FIELD_ADDR, addrs[kept].len);
        if (size + more > DCUTR_MESSAGE_MAX)
            break;
        size += more;
    }
    struct wr w = wr_init(ret_out, DCUTR_OUT_MAX);
    wr_uvarint(&w, size);
    pb_wr_uint(&w, FIELD_TYPE, type);
    for (size_t i = 0; i < kept; i++)
        pb_wr_bytes(&w, FIELD_ADDR, multiaddr_bytes(&addrs[i]));
    ssize_t len = wr_done(&w);
    assert(len > 0);
    return (size_t)len;
}

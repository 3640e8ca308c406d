/* SPDX-License-Identifier: MIT */
#include "transport/proto/yamux_frame.h"

#include "core/base/err.h"
#include "core/base/rd.h"
#include "core/base/wr.h"

int yamux_frame_read(const uint8_t *in, struct yamux_frame *ret_frame) {
    struct rd r = rd_init(bytes_of(in, YAMUX_FRAME_BYTES));
    uint8_t version = rd_u8(&r);
    uint8_t type = rd_u8(&r);
    if (version != 0 || type > YAMUX_GO_AWAY)
        return -ERR_MALFORMED;
    ret_frame->type = (enum yamux_type)type;
    ret_frame->flags = rd_be16(&r);
    ret_frame->stream_id = rd_be32(&r);
    ret_frame->length = rd_be32(&r);
    return rd_done(&r);
}

void yamux_frame_write(const struct yamux_frame *f, uint8_t *out) {
    struct wr w = wr_init(out, YAMUX_FRAME_BYTES);
    wr_u8(&w, 0);
    wr_u8(&w, (uint8_t)f->type);
    wr_be16(&w, f->flags);
    wr_be32(&w, f->stream_id);
    wr_be32(&w, f->length);
    assert(wr_done(&w) == YAMUX_FRAME_BYTES);
}
